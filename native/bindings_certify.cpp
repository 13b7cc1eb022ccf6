// Bindings of bdnn._native.certify: types, shapes and finiteness are checked here.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>

#include "arrays.hpp"
#include "lp/scatter.hpp"
#include "certify/classify.hpp"
#include "certify/integer_support.hpp"
#include "certify/pattern_tree.hpp"
#include "poll.hpp"
#include "certify/support.hpp"
#include "lp/projection.hpp"

namespace bdnn {

namespace {

using namespace certify;
using namespace nb::literals;
using Floats = Vector<const double>;
using Rows = Matrix<const double>;
using Flags = Vector<const bool>;

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr std::size_t BRIEF = 20'000;  // operations that take some 10 microseconds: not worth letting the GIL go

Norm norm_of(int norm) {
    require(norm >= 0 && norm <= 2, "norm", "must be 0 (inf), 1 or 2");
    return static_cast<Norm>(norm);
}

double number(double value, const char* name) {
    require(!std::isnan(value), name, "must be a number, not NaN");
    return value;
}

double distance(double value, const char* name) {
    require(value >= 0.0, name, "must be a number from 0 on");
    return value;
}

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> copied(const T* values, std::size_t count) {
    auto* data = new T[count];
    std::copy_n(values, count, data);
    return owned(data, count);
}

nb::ndarray<nb::numpy, bool, nb::ndim<1>> flags_of(const std::vector<std::uint8_t>& values) {
    auto* data = new bool[values.size()];
    std::transform(values.begin(), values.end(), data, [](std::uint8_t each) { return each != 0; });
    return owned(data, values.size());
}

template <class T>
std::vector<T> vector_of(const Vector<const T>& values) {
    return {values.begin(), values.end()};
}

// Bounds of columns. Around a point they hold 0; those of integers may be infinite.
struct Bounds {
    Floats low, high;

    Bounds(nb::handle low_object, nb::handle high_object, std::size_t n) : low(low_object, "low"), high(high_object, "high") {
        low.sized(0, n, "low");
        high.sized(0, n, "high");
        for (std::size_t j = 0; j < n; ++j) {
            require(low[j] <= 0.0, "low", "must not exceed 0, nor be NaN");
            require(high[j] >= 0.0, "high", "must be 0 or more, and not NaN");
        }
    }

    Box box() const { return {low.data(), high.data(), low.size()}; }
};

// What steps cost, and which columns take integers.
struct Steps {
    Rows costs;
    Flags whole;

    Steps(nb::handle costs_object, nb::handle whole_object, std::size_t n) : costs(costs_object, "costs"), whole(whole_object, "whole") {
        whole.sized(0, n, "whole");
        costs.sized(1, 3, "costs");
        for (double each : costs) require(each >= 0.0, "costs", "must be numbers from 0 on");
    }
};

// Rows need not be finite: those of networks with huge weights are not, and then nothing is proven.
struct Sides {
    Rows W;
    Floats alpha;
    std::optional<Floats> error;

    Sides(nb::handle W_object, nb::handle alpha_object) : W(W_object, "W"), alpha(alpha_object, "alpha") {
        alpha.sized(0, W.shape(0), "alpha");
    }

    Sides(nb::handle W_object, nb::handle alpha_object, nb::handle error_object) : Sides(W_object, alpha_object) {
        error.emplace(error_object, "error");
        error->sized(0, W.shape(0), "error");
        for (double each : *error) require(each >= 0.0, "error", "must be numbers from 0 on");
    }

    HalfSpaces rows() const {
        return {W.data(), alpha.data(), error ? error->data() : nullptr, W.shape(0), W.shape(1)};
    }
};

// Calls a function of Python, which may raise.
class PythonPoll : public Poll {
  public:
    explicit PythonPoll(nb::object pause) : pause_(std::move(pause)) {}

  protected:
    bool ask() override {
        Held held;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        if (!pause_.is_none()) pause_(0);
        return true;
    }

  private:
    nb::object pause_;
};

// Run without the GIL, so that other threads go on; the GIL is kept for what takes microseconds.
template <class Work>
auto released(std::size_t operations, const Work& work) {
    if (operations < BRIEF) return work();
    Released open;
    return work();
}

nb::tuple support(int norm, nb::handle g, double r, nb::handle low, nb::handle high) {
    const Floats form(g, "g");
    const Bounds bounds(low, high, form.size());
    const Support found = SupportFunction(norm_of(norm))(form.data(), distance(r, "r"), bounds.box());
    return nb::make_tuple(found.value, found.slope);
}

double smallest_radius(int norm, nb::handle g, double need, nb::handle low, nb::handle high) {
    const Floats form(g, "g");
    const Bounds bounds(low, high, form.size());
    return SupportFunction(norm_of(norm)).smallest_radius(form.data(), number(need, "need"), bounds.box());
}

auto smallest_radii(int norm, nb::handle W, nb::handle need, nb::handle low, nb::handle high) {
    const Sides sides(W, need);
    const Bounds bounds(low, high, sides.W.shape(1));
    SupportFunction h(norm_of(norm));
    const HalfSpaces rows = sides.rows();
    std::vector<double> found(rows.k);
    released(rows.k * rows.n, [&] {
        for (std::size_t i = 0; i < rows.k; ++i) found[i] = h.smallest_radius(rows.row(i), rows.alpha[i], bounds.box());
    });
    return copied(found.data(), found.size());
}

double magnitude(int norm, nb::handle w, double r, nb::handle low, nb::handle high) {
    const Floats form(w, "w");
    const Bounds bounds(low, high, form.size());
    return SupportFunction(norm_of(norm)).magnitude(form.data(), distance(r, "r"), bounds.box());
}

auto magnitudes(int norm, nb::handle W, double r, nb::handle low, nb::handle high) {
    const Rows rows(W, "W");
    const Bounds bounds(low, high, rows.shape(1));
    SupportFunction h(norm_of(norm));
    distance(r, "r");
    std::vector<double> found(rows.shape(0));
    released(rows.size(), [&] {
        for (std::size_t i = 0; i < found.size(); ++i) found[i] = h.magnitude(rows.row(i), r, bounds.box());
    });
    return copied(found.data(), found.size());
}

nb::tuple reaches(int norm, nb::handle W, double r, nb::handle low, nb::handle high) {
    const Rows rows(W, "W");
    const std::size_t k = rows.shape(0), n = rows.shape(1);
    const Bounds bounds(low, high, n);
    SupportFunction h(norm_of(norm));
    distance(r, "r");
    std::vector<double> both(k), up(k), down(k), opposite(n);
    released(3 * rows.size(), [&] {
        for (std::size_t i = 0; i < k; ++i) {
            std::transform(rows.row(i), rows.row(i) + n, opposite.begin(), std::negate<>());
            both[i] = h.magnitude(rows.row(i), r, bounds.box());
            up[i] = h(rows.row(i), r, bounds.box()).value;
            down[i] = h(opposite.data(), r, bounds.box()).value;
        }
    });
    return nb::make_tuple(copied(both.data(), k), copied(up.data(), k), copied(down.data(), k));
}

bool excludes(
    int norm, nb::handle W, nb::handle alpha, nb::handle error, nb::handle factors, double r, nb::handle low, nb::handle high) {
    const Sides sides(W, alpha, error);
    const Floats combination(factors, "factors");
    combination.sized(0, sides.W.shape(0), "factors");
    const Bounds bounds(low, high, sides.W.shape(1));
    return SupportFunction(norm_of(norm)).excludes(sides.rows(), combination.data(), distance(r, "r"), bounds.box());
}

double proven_radius(
    int norm, nb::handle W, nb::handle alpha, nb::handle error, nb::handle factors, nb::handle low, nb::handle high) {
    const Sides sides(W, alpha, error);
    const Floats combination(factors, "factors");
    combination.sized(0, sides.W.shape(0), "factors");
    const Bounds bounds(low, high, sides.W.shape(1));
    SupportFunction h(norm_of(norm));
    return released(
        4 * sides.W.size(), [&] { return h.proven_radius(sides.rows(), combination.data(), bounds.box()); });
}

double largest_move(nb::handle x, nb::handle z) {
    const Floats from(x, "x"), to(z, "z");
    to.sized(0, from.size(), "z");
    return certify::largest_move(from.data(), to.data(), from.size());
}

double support_steps(
    int norm, nb::handle g, double r, nb::handle low, nb::handle high, nb::handle costs, nb::handle whole) {
    const Floats form(g, "g"), least(low, "low"), most(high, "high");
    least.sized(0, form.size(), "low");
    most.sized(0, form.size(), "high");
    const Steps steps(costs, whole, form.size());
    steps.costs.sized(0, form.size(), "costs");
    const std::vector<std::uint8_t> flags(steps.whole.begin(), steps.whole.end());
    const Norm kind = norm_of(norm);
    require(kind != Norm::INF, "norm", "must be 1 or 2 where steps have costs");
    // not for the bounds of a point alone: branches may leave 0 out
    return IntegerSupportFunction(kind)(
        form.data(), distance(r, "r"), {least.data(), most.data(), form.size()}, {steps.costs.data(), flags.data()});
}

nb::tuple nearest_point(
    int norm, nb::handle W, nb::handle alpha, nb::handle low, nb::handle high, double stop, nb::object pause) {
    const Sides sides(W, alpha);
    const Bounds bounds(low, high, sides.W.shape(1));
    const Norm kind = norm_of(norm);
    number(stop, "stop");
    PythonPoll poll(std::move(pause));
    const Nearest found = released(
        sides.W.size() * sides.W.shape(0), [&] { return nearest(kind, sides.rows(), bounds.box(), stop, poll); });
    return nb::make_tuple(
        copied(found.point.data(), found.point.size()), copied(found.factors.data(), found.factors.size()), found.radius);
}

Region region_of(
    int norm,
    nb::handle W,
    nb::handle alpha,
    nb::handle error,
    double ball,
    nb::handle low,
    nb::handle high,
    nb::handle whole,
    nb::handle costs) {
    const Sides sides(W, alpha, error);
    const std::size_t n = sides.W.shape(1);
    const Bounds bounds(low, high, n);
    const Steps steps(costs, whole, n);
    const Norm kind = norm_of(norm);
    require(ball > 0.0, "ball", "must be positive");
    require(kind == Norm::INF || ball < INFINITE, "ball", "must be finite but for norm inf");
    if (kind == Norm::INF)
        steps.costs.sized(0, 0, "costs");
    else if (steps.costs.size() != 0 || std::any_of(steps.whole.begin(), steps.whole.end(), [](bool b) { return b; }))
        steps.costs.sized(0, n, "costs");
    return {kind,
            {sides.W.begin(), sides.W.end()},
            vector_of(sides.alpha),
            vector_of(*sides.error),
            ball,
            vector_of(bounds.low),
            vector_of(bounds.high),
            {steps.whole.begin(), steps.whole.end()},
            {steps.costs.begin(), steps.costs.end()}};
}

// A tree that only one thread works on at a time.
template <class Tree>
class Guarded {
  public:
    template <class... Arguments>
        requires std::is_constructible_v<Tree, Arguments...>
    explicit Guarded(Arguments&&... arguments) : tree_(std::forward<Arguments>(arguments)...) {}
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    class Use {
      public:
        explicit Use(Guarded& owner) : owner_(owner) {
            if (owner.busy_.exchange(true)) throw InputError("this tree is in use by another thread");
        }
        ~Use() { owner_.busy_ = false; }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        Tree* operator->() { return &owner_.tree_; }

      private:
        Guarded& owner_;
    };

    Use use() { return Use(*this); }

  private:
    Tree tree_;
    std::atomic<bool> busy_{false};
};

using GuardedSubsets = Guarded<SubsetTree>;
using GuardedCells = Guarded<CellTree>;

// What trees of both kinds have in common.
template <class Tree>
void bind_tree_methods(nb::class_<Guarded<Tree>>& tree) {
    using Held = Guarded<Tree>;
    tree.def(
        "explore",
        [](Held& held, std::size_t nodes, nb::object pause) {
            auto used = held.use();
            PythonPoll poll(std::move(pause));
            Released open;
            return static_cast<int>(used->explore(nodes, poll));
        },
        nb::arg("nodes"), nb::arg("pause").none() = nb::none());
    tree.def("reopen", [](Held& held) { held.use()->reopen(); });
    tree.def("branch_any", [](Held& held) { return held.use()->branch_any(); });
    tree.def("shrink", [](Held& held, double ball, nb::handle low, nb::handle high) {
        auto used = held.use();
        const Bounds bounds(low, high, used->columns());
        require(ball > 0.0, "ball", "must be positive");
        used->shrink(ball, bounds.low.data(), bounds.high.data());
    });
    tree.def_prop_ro("nodes", [](Held& held) { return held.use()->nodes(); });
    tree.def_prop_ro("ball", [](Held& held) { return held.use()->ball(); });
    tree.def_prop_ro("is_full", [](Held& held) { return held.use()->is_full(); });
    tree.def_prop_ro("solution", [](Held& held) {
        auto used = held.use();
        return copied(used->solution(), used->columns());
    }, nb::rv_policy::automatic);
    tree.def_prop_ro("lower", [](Held& held) {
        auto used = held.use();
        return copied(used->lower(), used->columns());
    }, nb::rv_policy::automatic);
}

void make_subset_tree(
    GuardedSubsets* place,
    int norm,
    nb::handle W,
    nb::handle alpha,
    nb::handle error,
    nb::handle M,
    nb::handle v,
    std::pair<double, double> goal,
    double ball,
    nb::handle low,
    nb::handle high,
    nb::handle whole,
    nb::handle costs) {
    Region region = region_of(norm, W, alpha, error, ball, low, high, whole, costs);
    const Floats slack(M, "M"), weights(v, "v");
    slack.sized(0, region.k(), "M");
    weights.sized(0, region.k(), "v");
    number(goal.first, "goal");
    number(goal.second, "goal");
    new (place) GuardedSubsets(
        std::move(region), vector_of(slack), vector_of(weights), SubsetTree::Goal{goal.first, goal.second});
}

UpperLayers upper_of(nb::handle numbers, nb::handle widths, nb::handle exact, std::size_t code) {
    const Floats listed(numbers, "numbers");
    const Vector<const std::int64_t> sizes(widths, "widths");
    const Flags integral(exact, "exact");
    listed.finite("numbers");
    require(sizes.size() >= 2, "widths", "must name the inputs and one layer at least");
    sizes.within(1, std::int64_t{1} << 31, "widths");
    integral.sized(0, sizes.size() - 1, "exact");
    std::size_t count = 0;
    for (std::size_t k = 0; k + 1 < sizes.size(); ++k) {
        count += static_cast<std::size_t>(sizes[k] + 1) * static_cast<std::size_t>(sizes[k + 1]);
        require(count <= listed.size(), "numbers", "must hold the weights and biases of all layers");
    }
    require(count == listed.size(), "numbers", "must hold the weights and biases of all layers, and no more");
    const auto outputs = static_cast<std::size_t>(sizes[sizes.size() - 1]);
    require(code < std::max<std::size_t>(outputs, 2), "code", "must be the index of a class");
    return {{listed.data(), listed.size()}, {sizes.data(), sizes.size()}, {integral.data(), integral.size()}, code};
}

void make_cell_tree(
    GuardedCells* place,
    int norm,
    nb::handle W,
    nb::handle alpha,
    nb::handle error,
    const UpperLayers& upper,
    double ball,
    nb::handle low,
    nb::handle high,
    nb::handle open,
    nb::handle bits,
    nb::handle influence,
    nb::handle whole,
    nb::handle costs) {
    Region region = region_of(norm, W, alpha, error, ball, low, high, whole, costs);
    const Vector<const std::int64_t> neurons(open, "open");
    neurons.sized(0, region.k(), "open").within(0, static_cast<std::int64_t>(upper.width()), "open");
    const Rows ends(bits, "bits");
    ends.sized(0, 2, "bits").sized(1, upper.width(), "bits").finite("bits");
    for (double each : ends) require(each == 0.0 || each == 1.0, "bits", "must be 0 or 1");
    const Floats weights(influence, "influence");
    weights.sized(0, region.k(), "influence").finite("influence");
    new (place) GuardedCells(
        std::move(region), upper, std::vector<std::size_t>(neurons.begin(), neurons.end()),
        std::vector<double>(ends.row(0), ends.row(0) + upper.width()),
        std::vector<double>(ends.row(1), ends.row(1) + upper.width()), vector_of(weights));
}

void make_classifier(Classifier* place, nb::sequence layers) {
    std::vector<Classifier::Layer> made;
    for (nb::handle each : layers) {
        require(nb::isinstance<nb::tuple>(each) && nb::len(each) == 2, "layers", "must be pairs of weights and biases");
        const Rows weights(each[0], "weights");
        const Floats bias(each[1], "bias");
        weights.finite("weights");
        bias.sized(0, weights.shape(0), "bias").finite("bias");
        require(bias.size() > 0, "bias", "must not be empty");
        if (!made.empty()) weights.sized(1, made.back().bias.size(), "weights");
        Classifier::Layer layer = Classifier::layer({weights.data(), weights.size()}, {bias.data(), bias.size()});
        made.push_back(std::move(layer));
    }
    require(!made.empty(), "layers", "must not be empty");
    new (place) Classifier(std::move(made));
}

void bind_support(nb::module_& m) {
    m.def("support", &support, "norm"_a, "g"_a, "r"_a, "low"_a, "high"_a);
    m.def("smallest_radius", &smallest_radius, "norm"_a, "g"_a, "need"_a, "low"_a, "high"_a);
    m.def("smallest_radii", &smallest_radii, "norm"_a, "W"_a, "need"_a, "low"_a, "high"_a);
    m.def("magnitude", &magnitude, "norm"_a, "w"_a, "r"_a, "low"_a, "high"_a);
    m.def("magnitudes", &magnitudes, "norm"_a, "W"_a, "r"_a, "low"_a, "high"_a);
    m.def("reaches", &reaches, "norm"_a, "W"_a, "r"_a, "low"_a, "high"_a);
    m.def("excludes", &excludes, "norm"_a, "W"_a, "alpha"_a, "error"_a, "factors"_a, "r"_a, "low"_a, "high"_a);
    m.def("proven_radius", &proven_radius, "norm"_a, "W"_a, "alpha"_a, "error"_a, "factors"_a, "low"_a, "high"_a);
    m.def("scatter", &scatter, "j"_a);
    m.def("largest_move", &largest_move, "x"_a, "z"_a);
    m.def("support_steps", &support_steps, "norm"_a, "g"_a, "r"_a, "low"_a, "high"_a, "costs"_a, "whole"_a);
    m.def(
        "nearest", &nearest_point, "norm"_a, "W"_a, "alpha"_a, "low"_a, "high"_a, "stop"_a, "pause"_a.none() = nb::none());
}

}  // namespace

void bind_certify(nb::module_& m) {
    bind_support(m);
    for (const auto& [name, stop] : {std::pair{"DONE", Stop::DONE}, {"LIMIT", Stop::LIMIT}, {"CANDIDATE", Stop::CANDIDATE}, {"LEAF", Stop::LEAF}})
        m.attr(name) = static_cast<int>(stop);
    nb::class_<GuardedSubsets> subsets(m, "SubsetTree");
    subsets.def(
        "__init__", &make_subset_tree, "norm"_a, "W"_a, "alpha"_a, "error"_a, "M"_a, "v"_a, "goal"_a, "ball"_a, "low"_a,
        "high"_a, "whole"_a, "costs"_a);
    bind_tree_methods(subsets);
    subsets.def_prop_ro("found", [](GuardedSubsets& held) { return flags_of(held.use()->found()); }, nb::rv_policy::automatic);
    nb::class_<UpperLayers>(m, "UpperLayers")
        .def(
            "__init__",
            [](UpperLayers* place, nb::handle numbers, nb::handle widths, nb::handle exact, std::size_t code) {
                new (place) UpperLayers(upper_of(numbers, widths, exact, code));
            },
            "numbers"_a, "widths"_a, "exact"_a, "code"_a)
        .def(
            "constant",
            [](const UpperLayers& upper, nb::handle low, nb::handle high) {
                const Floats least(low, "low"), most(high, "high");
                least.sized(0, upper.width(), "low").finite("low");
                most.sized(0, upper.width(), "high").finite("high");
                return upper.constant(least.data(), most.data());
            },
            "low"_a, "high"_a);
    nb::class_<GuardedCells> cells(m, "CellTree");
    cells.def(
        "__init__", &make_cell_tree, "norm"_a, "W"_a, "alpha"_a, "error"_a, "upper"_a, "ball"_a, "low"_a, "high"_a,
        "open"_a, "bits"_a, "influence"_a, "whole"_a, "costs"_a);
    bind_tree_methods(cells);
    cells.def_prop_ro("found", [](GuardedCells& held) {
        auto used = held.use();
        return copied(used->found().data(), used->found().size());
    }, nb::rv_policy::automatic);
    nb::class_<Classifier>(m, "Classifier")
        .def("__init__", &make_classifier, "layers"_a)
        .def(
            "__call__",
            [](const Classifier& classifier, nb::handle x) {
                const Floats input(x, "x");
                input.sized(0, classifier.inputs(), "x").finite("x");
                return classifier(input.data());
            },
            "x"_a);
    m.attr("__all__") = nb::make_tuple(
        "CANDIDATE", "DONE", "LEAF", "LIMIT", "CellTree", "Classifier", "SubsetTree", "UpperLayers", "excludes",
        "largest_move", "magnitude", "magnitudes", "nearest", "proven_radius", "reaches", "scatter", "smallest_radii",
        "smallest_radius", "support", "support_steps");
}

}  // namespace bdnn
