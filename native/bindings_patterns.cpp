// Bindings of trees of activation patterns, in bdnn._native.certify.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>

#include "arrays.hpp"
#include "certify_tools.hpp"
#include "certify/pattern_tree.hpp"

namespace bdnn {

namespace {

using namespace certify;
using namespace certify_bindings;
using namespace nb::literals;

nb::ndarray<nb::numpy, bool, nb::ndim<1>> flags_of(const std::vector<std::uint8_t>& values) {
    auto* data = new bool[values.size()];
    std::transform(values.begin(), values.end(), data, [](std::uint8_t each) { return each != 0; });
    return owned(data, values.size());
}

template <class T>
std::vector<T> vector_of(const Vector<const T>& values) {
    return {values.begin(), values.end()};
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

}  // namespace

void bind_patterns(nb::module_& m) {
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
}

}  // namespace bdnn
