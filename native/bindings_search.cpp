// Bindings of bdnn._native.search: types, shapes and finiteness are checked here.
//
// Structures check their arrays once, when they are made. Python may change numbers in these arrays later: kernels take
// no index from such numbers, so that nothing worse than a wrong result can come of it. What determines indices is handed
// out read-only.
#include <atomic>
#include <memory>
#include <string>
#include <variant>

#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "search_tools.hpp"
#include "binding_tools.hpp"
#include "search/improve_interval.hpp"
#include "search/improve_neuron.hpp"
#include "search/line_buckets.hpp"

namespace bdnn {

namespace {

using namespace nb::literals;
using namespace search_bindings;

// A network under search: the class that Python sees, for points in single or double precision.
class PyState {
  public:
    PyState(nb::object X, nb::object class_weight, nb::object center, nb::object unit, nb::object reach,
            const std::vector<Index>& widths, bool argmax, Index bound, bool intercept, std::uint64_t seed)
        : X_(X), class_weight_(class_weight), center_(center), unit_(unit), reach_(reach) {
        require(seed != 0, "seed", "must not be 0");
        require(bound >= 0 && bound <= MOST_BOUND, "bound", "must be from 0 to 2^24");
        if (is_single(X, "X"))
            make<float>(widths, argmax, bound, intercept, seed);
        else
            make<double>(widths, argmax, bound, intercept, seed);
    }

    template <class Call>
    decltype(auto) visit(Call call) {
        return std::visit([&](auto& state) -> decltype(auto) { return call(*state); }, state_);
    }
    search::SearchedNetwork& net() {
        return visit([](auto& state) -> search::SearchedNetwork& { return state; });
    }
    Index neuron(Index number, Index least = 0) {
        require(number >= least && number < net().layers.neurons(), "neuron", "is not one of the network");
        return number;
    }

    nb::object X_, class_weight_, center_, unit_, reach_;
    std::atomic_flag busy;

  private:
    template <class Real>
    void make(const std::vector<Index>& widths, bool argmax, Index bound, bool intercept, std::uint64_t seed) {
        Matrix<const Real> X(X_, "X"), weight(class_weight_, "class_weight");
        std::size_t n = X.shape(0), p = X.shape(1), classes = weight.shape(1);
        require(static_cast<Index>(p) <= MOST_POINTS, "X", "has too many points");
        Vector<const double> center(center_, "center"), unit(unit_, "unit"), reach(reach_, "reach");
        X.finite("X");
        weight.sized(0, p, "class_weight").finite("class_weight");
        center.sized(0, n, "center");
        unit.sized(0, n, "unit");
        reach.sized(0, n, "reach");
        search::Layers layers = layers_of(static_cast<Index>(n), widths);
        bool single = !argmax && layers.outputs() == 1 && classes == 2;
        require(classes >= 2 && (single || layers.outputs() == static_cast<Index>(classes)), "class_weight",
                "must have a column for each output, or two columns for a single output with a threshold");
        require(layers.neurons() <= MOST_WEIGHTS * 16 / std::max<Index>(1, static_cast<Index>(p)), "widths",
                "stand for too many activations");
        search::Data<Real> data{static_cast<Index>(n), static_cast<Index>(p), static_cast<Index>(classes), X.data(),
                                weight.data(),         center.data(),         unit.data(),                 reach.data()};
        state_ = std::make_unique<search::State<Real>>(std::move(layers), data, argmax, bound, intercept, seed);
    }

    std::variant<std::unique_ptr<search::State<double>>, std::unique_ptr<search::State<float>>> state_;
};

// A network under search whose inputs are perturbed; it shares weights and losses with another state.
class PyRobustState {
  public:
    PyRobustState(nb::object state, nb::object low, nb::object high, nb::object radius, nb::object reach, int norm,
                  double penalty, bool exact)
        : state_(state), low_(low), high_(high), radius_(radius), reach_(reach) {
        require(nb::isinstance<PyState>(state), "state", "must be a State");
        require(norm >= 0 && norm <= 2, "norm", "must be 0, 1 or 2");
        require(std::isfinite(penalty) && penalty >= 0, "penalty", "must be finite and not negative");
        base().visit([&](auto& net) { make(net, norm, penalty, exact); });
    }

    PyState& base() { return nb::cast<PyState&>(state_); }
    template <class Call>
    decltype(auto) visit(Call call) {
        return std::visit([&](auto& state) -> decltype(auto) { return call(*state); }, interval_);
    }

    nb::object state_, low_, high_, radius_, reach_;

  private:
    template <class Real>
    void make(search::State<Real>& net, int norm, double penalty, bool exact) {
        Matrix<const Real> low(low_, "low"), high(high_, "high");
        Vector<const double> radius(radius_, "radius"), reach(reach_, "reach");
        for (auto [array, name] : {std::pair{&low, "low"}, std::pair{&high, "high"}})
            array->sized(0, net.data.features, name).sized(1, net.points, name).finite(name);
        radius.sized(0, net.data.features, "radius").finite("radius");
        reach.sized(0, net.data.features, "reach");
        interval_ = std::make_unique<search::IntervalState<Real>>(net, low.data(), high.data(), radius.data(),
                                                                  reach.data(), static_cast<search::Norm>(norm), penalty,
                                                                  exact);
    }

    std::variant<std::unique_ptr<search::IntervalState<double>>, std::unique_ptr<search::IntervalState<float>>>
        interval_;
};

search::Effort effort_of(Index moves, double spread, Index most) {
    require(moves >= 0 && moves <= MOST_POINTS, "moves", "must not be negative, or huge");
    require(std::isfinite(spread), "spread", "must be finite");
    positive(most, "most");
    return {moves, spread, most};
}

double improve_neuron(PyState& st, Index neuron, Index moves, double spread, Index most) {
    search::Effort effort = effort_of(moves, spread, most);
    st.neuron(neuron, moves == 0 ? -1 : 0);
    Use use(st.busy, "state");
    return st.visit([&](auto& state) {
        return released([&](search::Interrupt& stop) { return search::improve_neuron(state, neuron, effort, stop); });
    });
}

double improve_robust_neuron(PyRobustState& st, Index neuron, Index moves, double spread) {
    search::Effort effort = effort_of(moves, spread, 1);
    st.base().neuron(neuron, moves == 0 ? -1 : 0);
    Use use(st.base().busy, "state");
    return st.visit([&](auto& state) {
        return released([&](search::Interrupt& stop) { return search::improve_neuron(state, neuron, effort, stop); });
    });
}

std::pair<double, double> improve_neurons(PyState& st, nb::handle neurons_array, nb::handle moves_array,
                                          double spread, Index most, double total, double best, nb::handle W_array,
                                          nb::handle b_array) {
    Vector<const std::int64_t> neurons(neurons_array, "neurons"), moves(moves_array, "moves");
    search::SearchedNetwork& net = st.net();
    moves.sized(0, neurons.size(), "moves").within(0, MOST_POINTS, "moves");
    neurons.within(0, net.layers.neurons(), "neurons");
    effort_of(0, spread, most);
    Vector<double> W(W_array, "W"), b(b_array, "b");
    W.sized(0, net.W.size(), "W");
    b.sized(0, net.b.size(), "b");
    Use use(st.busy, "state");
    return st.visit([&](auto& state) {
        return released([&](search::Interrupt& stop) {
            for (std::size_t each = 0; each < neurons.size(); ++each) {
                total += search::improve_neuron(state, neurons[each], {moves[each], spread, most}, stop);
                if (stop.stopped()) break;  // the total is that of some points only
                if (!(total < best)) continue;
                best = total;
                std::copy(net.W.data(), net.W.data() + net.W.size(), W.data());
                std::copy(net.b.data(), net.b.data() + net.b.size(), b.data());
            }
            return std::pair{total, best};
        });
    });
}

Index gains(PyState& st, Index neuron, Index first, Index step, nb::handle active_array, nb::handle g_array,
            nb::handle offset_array) {
    st.neuron(neuron);
    positive(step, "step");
    require(first >= 0, "first", "must not be negative");
    Vector<std::int32_t> active(active_array, "active");
    Vector<double> g(g_array, "g"), offset(offset_array, "offset");
    Index p = st.net().points, looked = first < p ? (p - first - 1) / step + 1 : 0;
    for (auto [size, name] : {std::pair{active.size(), "active"}, std::pair{g.size(), "g"},
                              std::pair{offset.size(), "offset"}})
        require(static_cast<Index>(size) >= looked, name, "must have room for all points that are looked at");
    step = std::min(step, p + 1);  // the next point is a number of the type
    Use use(st.busy, "state");
    return st.visit([&](auto& state) {
        return released([&](search::Interrupt&) {
            return search::Gains(state, neuron, state.work.forward)
                .collect(first, step, active.data(), g.data(), offset.data());
        });
    });
}

// An axis of buckets, from scale, low end and buckets per unit.
search::Axis axis_of(const double* numbers, Index count) {
    for (Index k = 0; k < 3; ++k) require(std::isfinite(numbers[k]), "axes", "must be finite");
    require(numbers[0] > 0.0 && numbers[2] > 0.0, "axes", "must have a positive scale, and buckets");
    require(count >= 1 && count <= MOST_POINTS / 2, "sums", "must have from 1 to 2^30 buckets");
    return {numbers[0], numbers[1], numbers[2], count};
}

void line_sums(PyState& st, Index neuron, nb::handle directions_array, nb::handle axes_array, nb::handle before_array,
               nb::handle sums_array) {
    Matrix<const double> directions(directions_array, "directions"), axes(axes_array, "axes");
    Vector<double> before(before_array, "before");
    Matrix<double> sums(sums_array, "sums");
    const search::Layers& layers = st.net().layers;
    Index inputs = layers.inputs(layers.place(st.neuron(neuron)).layer);
    std::size_t lines = directions.shape(0);
    directions.sized(1, static_cast<std::size_t>(inputs) + 1, "directions").finite("directions");
    axes.sized(0, lines, "axes").sized(1, 3, "axes");
    before.sized(0, lines, "before");
    sums.sized(0, lines, "sums");
    require(sums.shape(1) % 2 == 0, "sums", "must have two entries for each bucket");
    std::vector<search::Axis> each;
    for (std::size_t k = 0; k < lines; ++k) each.push_back(axis_of(axes.row(k), static_cast<Index>(sums.shape(1) / 2)));
    Use use(st.busy, "state");
    st.visit([&](auto& state) {
        return released([&](search::Interrupt& stop) {
            search::with_lines(state, neuron, stop, [&](auto& found) {
                for (std::size_t k = 0; k < lines && !stop.stopped(); ++k)
                    before[k] += found.sums(directions.row(k), directions.row(k)[inputs], each[k], sums.row(k));
            });
            return 0;
        });
    });
}

nb::tuple line_breakpoints(PyState& st, Index neuron, nb::handle direction_array, nb::handle axis_array,
                           nb::handle wanted_array) {
    Vector<const double> direction(direction_array, "direction"), axis(axis_array, "axis");
    Vector<const std::uint8_t> wanted(wanted_array, "wanted");
    const search::Layers& layers = st.net().layers;
    Index inputs = layers.inputs(layers.place(st.neuron(neuron)).layer);
    direction.sized(0, static_cast<std::size_t>(inputs) + 1, "direction").finite("direction");
    axis.sized(0, 3, "axis");
    search::Axis buckets = axis_of(axis.data(), static_cast<Index>(wanted.size()));
    std::vector<search::Jumps> jumps;
    {
        Use use(st.busy, "state");
        jumps = st.visit([&](auto& state) {
            return released([&](search::Interrupt& stop) {
                std::vector<search::Jumps> all;
                search::with_lines(state, neuron, stop, [&](auto& found) {
                    all = found.breakpoints(direction.data(), direction[inputs], buckets, wanted.data());
                });
                return all;
            });
        });
    }
    auto part = [&](double search::Jumps::* member) {
        std::vector<double> values;
        values.reserve(jumps.size());
        for (const search::Jumps& each : jumps) values.push_back(each.*member);
        return copied(values);
    };
    return nb::make_tuple(part(&search::Jumps::t), part(&search::Jumps::up), part(&search::Jumps::down));
}

// Points on a line, from three arrays of the same length.
struct PyLine {
    PyLine(nb::handle a_array, nb::handle s_array, nb::handle g_array)
        : a(a_array, "a"), s(s_array, "s"), g(g_array, "g") {
        require(static_cast<Index>(a.size()) <= MOST_POINTS, "a", "has too many points");
        s.sized(0, a.size(), "s");
        g.sized(0, a.size(), "g");
    }
    search::Line line() const { return {static_cast<Index>(a.size()), a.data(), s.data(), g.data()}; }

    Vector<const double> a, s, g;
};

std::tuple<double, double, double> line_search(nb::handle a, nb::handle s, nb::handle g, bool integer,
                                               nb::handle rng_array) {
    PyLine points(a, s, g);
    Vector<std::uint64_t> rng(rng_array, "rng");
    rng.sized(0, 1, "rng");
    search::Interval best = released([&](search::Interrupt& stop) {
        return search::LineSearch().minimise(points.line(), integer, Random(rng.data()), stop);
    });
    return {best.change, best.left, best.right};
}

std::pair<double, double> lattice_search(nb::handle a, nb::handle s, nb::handle g, double t_min, double t_max,
                                         nb::handle rng_array) {
    PyLine points(a, s, g);
    Vector<std::uint64_t> rng(rng_array, "rng");
    rng.sized(0, 1, "rng");
    constexpr double LARGEST = 1e15;
    require(std::fabs(t_min) <= LARGEST && t_min == std::floor(t_min), "t_min", "must be an integer");
    require(t_max >= t_min && t_max - t_min <= static_cast<double>(MOST_BOUND), "t_max",
            "must be at least t_min, and not more than 2^24 above it");
    Index count = static_cast<Index>(t_max - t_min) + 1;
    Released unlocked;
    Room<double> room;
    search::Step best = search::lattice_search(points.line(), t_min, count, Random(rng.data()), room);
    return {best.change, best.t};
}

template <class Real>
void newton_step(nb::handle X_array, nb::handle center_array, nb::handle unit_array, nb::handle features_array,
                 nb::handle points_array, nb::handle a_array, nb::handle g_array, search::Smoothing smoothing,
                 std::vector<double>& step) {
    Matrix<const Real> X(X_array, "X");
    Vector<const double> center(center_array, "center"), unit(unit_array, "unit"), a(a_array, "a"), g(g_array, "g");
    Vector<const std::int64_t> features(features_array, "features");
    Vector<const std::int32_t> points(points_array, "points");
    center.sized(0, X.shape(0), "center");
    unit.sized(0, X.shape(0), "unit");
    features.within(0, static_cast<Index>(X.shape(0)), "features");
    points.within(0, static_cast<Index>(X.shape(1)), "points");
    a.sized(0, points.size(), "a");
    g.sized(0, points.size(), "g");
    Index n = static_cast<Index>(features.size()), q = static_cast<Index>(points.size());
    require(smoothing.start >= 0 && smoothing.start < q, "start", "must be one of the points");
    require(n <= 4096, "features", "must not be more than 4096");
    std::vector<double> median(n), scale(n);
    for (Index c = 0; c < n; ++c) median[c] = center[features[c]], scale[c] = unit[features[c]];
    Room<unsigned char> room;
    search::Columns<Real> columns(X.data(), static_cast<Index>(X.shape(0)), static_cast<Index>(X.shape(1)),
                                  points.data(), q, room);
    step.resize(n + 1);
    auto newton = std::make_unique<search::NewtonStep>();
    newton->find(
        n, q, [&](Index c) { return columns.values(features[c]); }, median.data(), scale.data(), a.data(), g.data(),
        smoothing, step.data());
}

nb::ndarray<nb::numpy, double, nb::ndim<1>> toward(nb::handle X, nb::handle center, nb::handle unit,
                                                   nb::handle features, nb::handle points, nb::handle a, nb::handle g,
                                                   double width, Index start, double ridge) {
    std::vector<double> step;
    search::Smoothing smoothing{width, start, ridge};
    if (is_single(X, "X"))
        newton_step<float>(X, center, unit, features, points, a, g, smoothing, step);
    else
        newton_step<double>(X, center, unit, features, points, a, g, smoothing, step);
    double* copy = new double[step.size()];
    std::copy(step.begin(), step.end(), copy);
    return owned(copy, step.size());
}

void bind_state(nb::module_& m) {
    auto indices = [](std::vector<Index> search::Layers::* member) {
        return [member](PyState& st) {
            std::vector<Index>& values = st.net().layers.*member;
            return nb::ndarray<nb::numpy, const Index, nb::c_contig>(values.data(), {values.size()}, nb::find(st));
        };
    };
    nb::class_<PyState>(m, "State", "A network under search; see bdnn.search.kernels.")
        .def(nb::init<nb::object, nb::object, nb::object, nb::object, nb::object, const std::vector<Index>&, bool, Index,
                      bool, std::uint64_t>(),
             "X"_a, "class_weight"_a, "center"_a, "unit"_a, "reach"_a, "widths"_a, "argmax"_a, "bound"_a, "intercept"_a,
             "seed"_a)
        .def_ro("X", &PyState::X_)
        .def_ro("class_weight", &PyState::class_weight_)
        .def_ro("center", &PyState::center_)
        .def_ro("unit", &PyState::unit_)
        .def_ro("reach", &PyState::reach_)
        .def_prop_ro("width", indices(&search::Layers::width))
        .def_prop_ro("w_from", indices(&search::Layers::first_weight))
        .def_prop_ro("b_from", indices(&search::Layers::first_neuron))
        .def_prop_ro("W", [](PyState& st) { return view(st, st.net().W.data(), {st.net().W.size()}); })
        .def_prop_ro("b", [](PyState& st) { return view(st, st.net().b.data(), {st.net().b.size()}); })
        .def_prop_ro("loss", [](PyState& st) { return view(st, st.net().loss.data(), {st.net().loss.size()}); })
        .def_prop_ro("sign", [](PyState& st) { return view(st, st.net().sign.data(), {st.net().sign.size()}); })
        .def_prop_ro("doubt",
                     [](PyState& st) {
                         return st.visit([&](auto& s) { return view(st, s.error.data(), {s.error.size()}); });
                     })
        .def_prop_ro("U",
                     [](PyState& st) {
                         std::size_t neurons = st.net().b.size(), p = st.net().points;
                         return st.visit([&](auto& s) { return view(st, s.fires.data(), {neurons, p}); });
                     })
        .def_prop_ro("A",
                     [](PyState& st) {
                         std::size_t p = st.net().points;
                         return st.visit([&](auto& s) {
                             return view(st, s.sums.data(), {p, static_cast<std::size_t>(s.stored)});
                         });
                     })
        .def_prop_ro("rng", [](PyState& st) { return view(st, &st.net().random_state, {1}); })
        .def_prop_ro("argmax", [](PyState& st) { return st.net().argmax; })
        .def_prop_ro("bound", [](PyState& st) { return st.net().bound; })
        .def_prop_ro("intercept", [](PyState& st) { return st.net().intercept; });
    m.def("improve_neuron", &improve_neuron, "state"_a, "neuron"_a, "moves"_a, "spread"_a, "most"_a);
    m.def("improve_neurons", &improve_neurons, "state"_a, "neurons"_a, "moves"_a, "spread"_a, "most"_a, "total"_a,
          "best"_a, "W"_a, "b"_a);
    m.def("gains", &gains, "state"_a, "neuron"_a, "first"_a, "step"_a, "active"_a, "g"_a, "offset"_a);
}

void bind_robust_state(nb::module_& m) {
    nb::class_<PyRobustState>(m, "RobustState", "A network under robust search; see bdnn.search.interval_engine.")
        .def(nb::init<nb::object, nb::object, nb::object, nb::object, nb::object, int, double, bool>(), "state"_a,
             "low"_a, "high"_a, "radius"_a, "reach"_a, "norm"_a, "penalty"_a, "exact"_a)
        .def_ro("state", &PyRobustState::state_)
        .def_ro("low", &PyRobustState::low_)
        .def_ro("high", &PyRobustState::high_)
        .def_ro("radius", &PyRobustState::radius_)
        .def_ro("reach", &PyRobustState::reach_)
        .def_prop_ro("norm",
                     [](PyRobustState& st) { return st.visit([](auto& s) { return static_cast<int>(s.norm); }); })
        .def_prop_ro("penalty", [](PyRobustState& st) { return st.visit([](auto& s) { return s.penalty; }); })
        .def_prop_ro("exact", [](PyRobustState& st) { return st.visit([](auto& s) { return s.exact; }); })
        .def_prop_ro("maybe", [](PyRobustState& st) {
            std::size_t neurons = st.base().net().b.size(), p = st.base().net().points;
            return st.visit([&](auto& s) { return view(st, s.maybe.data(), {neurons, p}); });
        });
    m.def("improve_robust_neuron", &improve_robust_neuron, "state"_a, "neuron"_a, "moves"_a, "spread"_a);
}

}  // namespace

void bind_enumeration(nb::module_& m);
void bind_training(nb::module_& m);

void bind_search(nb::module_& m) {
    bind_enumeration(m);
    bind_state(m);
    bind_robust_state(m);
    bind_training(m);
    m.def("line_sums", &line_sums, "state"_a, "neuron"_a, "directions"_a, "axes"_a, "before"_a, "sums"_a);
    m.def("line_breakpoints", &line_breakpoints, "state"_a, "neuron"_a, "direction"_a, "axis"_a, "wanted"_a);
    m.def("line_search", &line_search, "a"_a, "s"_a, "g"_a, "integer"_a, "rng"_a);
    m.def("lattice_search", &lattice_search, "a"_a, "s"_a, "g"_a, "t_min"_a, "t_max"_a, "rng"_a);
    m.def("toward", &toward, "X"_a, "center"_a, "unit"_a, "features"_a, "points"_a, "a"_a, "g"_a, "width"_a, "start"_a,
          "ridge"_a);
    m.attr("BLOCK") = search::BLOCK;
    m.attr("MOST_NEAR") = search::MOST_NEAR;
    m.attr("__all__") = nb::make_tuple("BLOCK", "MOST_NEAR", "RobustState", "State", "StraightThrough", "gains", "halfspaces",
                                       "improve_neuron", "improve_neurons", "improve_robust_neuron", "integer_neurons",
                                       "lattice_search", "line_breakpoints", "line_search", "line_sums", "toward");
}

}  // namespace bdnn
