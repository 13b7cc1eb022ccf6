// Bindings of bdnn._native.margins: types, shapes and finiteness are checked here.
#include "binding_tools.hpp"
#include "guard.hpp"
#include "margins/least_norm.hpp"

namespace bdnn {

namespace {

using margins::LeastNorm;
using Point = Guarded<LeastNorm>;

// Raise InputError unless each active half-space is one of `count`.
void check_active(const Point& point, std::size_t count, const char* name) {
    for (const LeastNorm::Index each : point.active)
        require(static_cast<std::size_t>(each) < count, name, "must have an entry for each active half-space");
}

int enter(Point& point, nb::handle normals_object, nb::handle h_object, double tolerance, std::int64_t most,
          nb::object proceed) {
    const Matrix<const double> normals(normals_object, "normals");
    normals.sized(1, point.point.size(), "normals").finite("normals");
    const Vector<const double> h(h_object, "h");
    h.sized(0, normals.shape(0), "h").finite("h");
    require(tolerance >= 0.0, "tolerance", "must not be negative");
    require(most >= 0, "most", "must not be negative");
    const Use use(point);
    Signals poll(std::move(proceed));
    const Released release;
    return static_cast<int>(
        point.enter({normals.data(), span_of(h)}, tolerance, static_cast<std::size_t>(most), poll));
}

void refresh(Point& point, nb::handle h_object) {
    const Vector<const double> h(h_object, "h");
    h.finite("h");
    const Use use(point);
    check_active(point, h.size(), "h");
    const Released release;
    point.refresh(span_of(h));
}

void relabel(Point& point, nb::handle numbers_object) {
    const Vector<const std::int64_t> numbers(numbers_object, "numbers");
    numbers.within(0, static_cast<std::int64_t>(MOST), "numbers");
    const Use use(point);
    check_active(point, numbers.size(), "numbers");
    for (LeastNorm::Index& each : point.active) each = numbers[static_cast<std::size_t>(each)];
}

template <auto member>
auto copy_of(Point& point) {
    const Use use(point);
    return copied(point.*member);
}

}  // namespace

void bind_margins(nb::module_& m) {
    nb::class_<Point> type(m, "LeastNorm", "The point of least norm in half-spaces, and those at whose boundary it is.");
    type.def("__init__", [](Point* self, std::int64_t size) {
        new (self) Point(within(size, MOST, "size"));
    }, nb::arg("size"));
    type.def_prop_ro("point", &copy_of<&LeastNorm::point>, nb::rv_policy::automatic, "The point.");
    type.def_prop_ro("active", &copy_of<&LeastNorm::active>, nb::rv_policy::automatic,
                     "Numbers of these half-spaces.");
    type.def("enter", &enter, nb::arg("normals"), nb::arg("h"), nb::arg("tolerance"), nb::arg("most"), nb::arg("proceed").none(),
             "Enter violated half-spaces until there is none, at most so many; return 0 if so, 1 if that is impossible, "
             "2 if `proceed` has ended it or too many are active.");
    type.def("refresh", &refresh, nb::arg("h"), "Recompute the point for other right-hand sides.");
    type.def("relabel", &relabel, nb::arg("numbers"), "Give half-spaces other numbers, by the old ones.");
}

}  // namespace bdnn
