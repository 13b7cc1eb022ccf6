// Bindings of bdnn._native.walk: types, shapes and finiteness are checked here.
#include <cmath>
#include <memory>

#include "arrays.hpp"
#include "guard.hpp"
#include "search/arrangement_walk.hpp"

namespace bdnn {

namespace {

// Arrays are held as long as the structure; Python writes to them between runs.
struct HeldWalk {
    HeldWalk(Matrix<double> table, Matrix<double> lines, Vector<const double> g,
             search::ArrangementWalk::Settings settings)
        : table(table), lines(lines), g(g),
          walk(table.data(), lines.data(), g.data(), table.shape(0), table.shape(1), settings) {}

    Matrix<double> table, lines;
    Vector<const double> g;
    search::ArrangementWalk walk;
};
using Walk = Guarded<HeldWalk>;

Walk* make_walk(nb::handle table_object, nb::handle lines_object, nb::handle g_object, double tenure, double looked,
                std::uint64_t seed) {
    const Matrix<double> table(table_object, "table"), lines(lines_object, "lines");
    const Vector<const double> g(g_object, "g");
    table.finite("table");
    require(table.shape(0) > 0, "table", "must not be empty");
    require(table.shape(1) < 0xffffffff, "table", "has too many points");
    lines.sized(0, table.shape(0), "lines").sized(1, table.shape(0), "lines").finite("lines");
    g.sized(0, table.shape(1), "g").finite("g");
    require(tenure >= 0.0 && tenure <= 1e9, "tenure", "must be from 0 to 1e9");
    require(looked >= 0.0, "looked", "must not be negative");
    return new Walk(table, lines, g, search::ArrangementWalk::Settings{tenure, looked, seed});
}

nb::tuple run_walk(Walk& held, std::int64_t until, double target) {
    const Use use(held);
    Signals poll;
    double value = 0.0;
    {
        Released release;
        value = held.walk.run(until, target, poll);
    }
    return nb::make_tuple(held.walk.step, value);
}

}  // namespace

void bind_walk(nb::module_& m) {
    nb::class_<Walk> type(m, "ArrangementWalk", "A walk from vertex to vertex of the arrangement of all separators.");
    type.def("__init__", [](Walk* self, nb::handle table, nb::handle lines, nb::handle g, double tenure, double looked,
                            std::uint64_t seed) {
        const std::unique_ptr<Walk> made(make_walk(table, lines, g, tenure, looked, seed));
        new (self) Walk(std::move(*made));
    }, nb::arg("table"), nb::arg("lines"), nb::arg("g"), nb::arg("tenure"), nb::arg("looked"), nb::arg("seed"));
    type.def_prop_ro("step", [](const Walk& held) { return held.walk.step; }, "Steps taken.");
    type.def_prop_ro(
        "basis",
        [](nb::handle self) {
            auto& basis = nb::cast<Walk&>(self).walk.basis;
            return nb::ndarray<nb::numpy, const std::int64_t, nb::ndim<1>>(basis.data(), {basis.size()}, self);
        },
        "The point of each line, -1 before it has met one, -2 if there is none to meet.");
    type.def_prop_ro(
        "inside",
        [](nb::handle self) {
            auto& inside = nb::cast<Walk&>(self).walk.inside;
            return nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>>(inside.data(), {inside.size()}, self);
        },
        "1 for points that are on the hyperplane by construction.");
    type.def("run", &run_walk, "Go on to a step, or to the first vertex below the target; return step and objective.");
}

}  // namespace bdnn
