// Bindings of bdnn._native.certify: types, shapes and finiteness are checked here.
#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "certify_tools.hpp"
#include "lp/scatter.hpp"
#include "certify/classify.hpp"
#include "certify/integer_support.hpp"
#include "certify/support.hpp"
#include "lp/projection.hpp"

namespace bdnn {

namespace {

using namespace certify;
using namespace certify_bindings;
using namespace nb::literals;

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

void bind_patterns(nb::module_& m);

void bind_certify(nb::module_& m) {
    bind_support(m);
    bind_patterns(m);
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
