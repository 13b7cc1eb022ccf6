// Bindings of bdnn._native.tree, inseparable sets and their proofs: types, shapes and finiteness are checked here.
#include <cmath>
#include <memory>
#include <vector>

#include "binding_tools.hpp"
#include "exact/dixon.hpp"
#include "exact/enclosure.hpp"
#include "guard.hpp"
#include "lp/gordan.hpp"

namespace bdnn {

namespace {

using Index = std::int64_t;

// ------------------------------------------------------------------------------------------------- alternatives

using Alternative = Guarded<lp::Alternative>;

Alternative* make_alternative(nb::handle object) {
    const Matrix<const double> rows(object, "rows");
    rows.finite("rows");
    require(rows.shape(0) > 0, "rows", "must not be empty");
    require(rows.shape(0) < MOST && rows.shape(1) < MOST, "rows", "are too many");
    return new Alternative(rows.data(), rows.shape(0), rows.shape(1));
}

// One program, or several in turn if there are several rows of costs.
nb::tuple separate(Alternative& A, nb::handle cost_object, double residual, nb::handle given_object, double most,
                   std::int64_t limit, nb::handle sets_object, nb::handle sizes_object,
                   std::int64_t found, nb::object proceed) {
    const Vector<const double> given(given_object, "given");
    given.sized(0, A.points(), "given").finite("given");
    require(std::isfinite(residual), "residual", "must be finite");
    const Matrix<std::int64_t> sets(sets_object, "sets");
    sets.sized(1, A.size(), "sets");
    const Vector<std::int64_t> sizes(sizes_object, "sizes");
    sizes.sized(0, sets.shape(0), "sizes");
    within(found, sets.shape(0) + 1, "found");
    const auto there = static_cast<std::size_t>(found);
    for (std::size_t s = 0; s < there; ++s) within(sizes[s], A.size() + 1, "sizes");
    std::vector<std::span<const double>> costs;
    Vector<const double> cost;
    Matrix<const double> several;
    if (nb::ndarray<nb::ndim<2>> array; nb::try_cast(cost_object, array, false)) {
        several = Matrix<const double>(cost_object, "cost");
        several.sized(1, A.points(), "cost").finite("cost");
        for (std::size_t k = 0; k < several.shape(0); ++k) costs.emplace_back(several.row(k), several.shape(1));
    } else {
        cost = Vector<const double>(cost_object, "cost");
        cost.sized(0, A.points(), "cost").finite("cost");
        costs.push_back(span_of(cost));
    }
    const Use use(A);
    lp::Alternative::Sets collected{sets.data(), sizes.data(), sets.shape(0), there};
    Signals poll(std::move(proceed));
    double objective = 0.0;
    {
        Released release;
        const auto pivots = static_cast<std::size_t>(std::max<std::int64_t>(limit, 0));
        for (const std::span<const double> each : costs)
            objective = A.separate({each, residual, span_of(given), most, pivots}, collected, poll);
    }
    return nb::make_tuple(objective, collected.found);
}

}  // namespace

void bind_alternatives(nb::module_& m) {
    nb::class_<Alternative> type(m, "Alternative", "The alternative linear program of signed rows, and its basis.");
    type.def("__init__", [](Alternative* self, nb::handle rows) {
        const std::unique_ptr<Alternative> made(make_alternative(rows));
        new (self) Alternative(std::move(*made));
    });
    using Square = nb::ndarray<nb::numpy, const double, nb::ndim<2>>;
    type.def_prop_ro(
        "V",
        [](nb::handle self) {
            Alternative& A = nb::cast<Alternative&>(self);
            return Square(A.V.data(), {A.size(), A.points()}, self);
        },
        "Rows as columns, below them a row of ones.");
    type.def_prop_ro(
        "inverse",
        [](nb::handle self) {
            Alternative& A = nb::cast<Alternative&>(self);
            return Square(A.inverse.data(), {A.size(), A.size()}, self, {static_cast<std::int64_t>(A.stride()), 1});
        },
        "Of the basis.");
    bind_view<const Index, &lp::Alternative::basis>(
        type, "basis", "Basic columns; m + 2k and m + 2k + 1 are the residuals +e_k and -e_k.");
    bind_view<const double, &lp::Alternative::mu>(type, "mu", "Basic values.");
    bind_view<const double, &lp::Alternative::prices>(type, "prices", "Of the last optimum.");
    bind_view<const Index, &lp::Alternative::count>(type, "count", "Pivots since the last factorization, and in all.");
    m.def("restart", [](Alternative& A, std::int64_t first) {
        const std::size_t row = within(first, A.points(), "first");
        const Use use(A);
        A.restart(row);
    });
    m.def("separate", &separate, nb::arg("A"), nb::arg("cost"), nb::arg("residual"), nb::arg("given"), nb::arg("most"),
          nb::arg("limit"), nb::arg("sets"), nb::arg("sizes"), nb::arg("found"),
          nb::arg("proceed") = nb::none());
}

namespace {

// ------------------------------------------------------------------------------------------------- lifting

// Entries are copied, as Python may change its own, and held as long as the structure.
struct HeldLifting {
    HeldLifting(const Matrix<const std::int64_t>& odd_, const Matrix<const std::int64_t>& shift_, Poll& poll)
        : odd(odd_.begin(), odd_.end()), shift(shift_.begin(), shift_.end()),
          lifting(odd.data(), shift.data(), odd_.shape(0), odd_.shape(1), poll) {}

    std::vector<std::int64_t> odd, shift;
    exact::Lifting lifting;
};
using Lifting = Guarded<HeldLifting>;

Lifting* make_lifting(nb::handle odd_object, nb::handle shift_object) {
    constexpr std::int64_t LARGEST = std::int64_t{1} << 62;
    const Matrix<const std::int64_t> odd(odd_object, "odd"), shift(shift_object, "shift");
    odd.within(-LARGEST, LARGEST, "odd");
    shift.sized(0, odd.shape(0), "shift").sized(1, odd.shape(1), "shift").within(0, exact::Lifting::LONGEST, "shift");
    Signals poll;
    return new Lifting(odd, shift, poll);
}

nb::tuple solve_lifting(Lifting& held, std::int64_t which) {
    const Use use(held);
    const std::size_t t = within(which, held.lifting.others.size(), "which");
    Signals poll;
    exact::Lifting::Solution found;
    {
        Released release;
        found = held.lifting.solve(t, poll);
    }
    const std::size_t rank = held.lifting.pivots.size(), count = rank ? found.digits.size() / rank : 0;
    std::int64_t* data = new std::int64_t[found.digits.size()];
    std::copy(found.digits.begin(), found.digits.end(), data);
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
    return nb::make_tuple(nb::ndarray<nb::numpy, std::int64_t, nb::ndim<2>>(data, {count, rank}, owner), found.bound);
}

nb::list numbers_of(nb::handle object) {
    const Matrix<const std::int64_t> digits(object, "digits");
    digits.within(0, exact::PRIME, "digits");
    std::vector<std::uint8_t> bytes;
    const std::size_t count = digits.shape(1);
    const std::size_t width = exact::numbers_of(digits.data(), digits.shape(0), count, bytes);
    nb::list numbers;
    const nb::object from_bytes = nb::handle(reinterpret_cast<PyObject*>(&PyLong_Type)).attr("from_bytes");
    for (std::size_t c = 0; c < count; ++c)
        numbers.append(from_bytes(nb::bytes(bytes.data() + c * width, width), "little"));
    return numbers;
}

nb::tuple euclid_steps(std::int64_t x, std::int64_t y) {
    constexpr std::int64_t LARGEST = std::int64_t{1} << 62;
    require(x >= 0 && x < LARGEST, "x", "must have at most 62 digits");
    require(y >= 0 && y < LARGEST, "y", "must have at most 62 digits");
    const exact::Steps steps = exact::euclid_steps(x, y);
    return nb::make_tuple(steps.a, steps.b, steps.c, steps.d);
}

nb::ndarray<nb::numpy, bool, nb::ndim<1>> enclosed(nb::handle rows_object, nb::handle supports_object) {
    const Matrix<const double> rows(rows_object, "rows");
    const Matrix<const std::int64_t> supports(supports_object, "supports");
    supports.sized(1, rows.shape(1) + 1, "supports").within(0, static_cast<std::int64_t>(rows.shape(0)), "supports");
    const std::size_t n = supports.shape(0);
    std::unique_ptr<bool[]> verdicts(new bool[n]);
    {
        Signals poll;
        Released release;
        exact::Enclosure enclosure(rows.data(), rows.shape(1));
        for (std::size_t k = 0; k < n; ++k) {
            poll.spent(4 * supports.shape(1) * supports.shape(1) * supports.shape(1));
            verdicts[k] = enclosure.holds(supports.row(k));
        }
    }
    return owned(verdicts.release(), n);
}

bool enclosed_support(nb::handle rows_object, nb::handle support_object) {
    const Matrix<const double> rows(rows_object, "rows");
    const Vector<const std::int64_t> support(support_object, "support");
    support.within(0, static_cast<std::int64_t>(rows.shape(0)), "support");
    return exact::enclosed_without_constants(rows.data(), rows.shape(1), support.data(), support.size());
}

}  // namespace

void bind_exact(nb::module_& m) {
    nb::class_<Lifting> type(m, "Lifting", "Which rows of a matrix depend on rows before them, and how, modulo a prime.");
    type.def("__init__", [](Lifting* self, nb::handle odd, nb::handle shift) {
        const std::unique_ptr<Lifting> made(make_lifting(odd, shift));
        new (self) Lifting(std::move(*made));
    });
    type.def_prop_ro("pivots", [](const Lifting& held) { return copied(held.lifting.pivots); }, nb::rv_policy::move,
                     "Rows that are independent.");
    type.def_prop_ro("others", [](const Lifting& held) { return copied(held.lifting.others); }, nb::rv_policy::move,
                     "Rows that depend on rows before them.");
    type.def("solve", &solve_lifting, "Return the digits of a dependent row's solution, and a bound on its length.");
    m.def("euclid_steps", &euclid_steps);
    m.def("numbers_of", &numbers_of, "Return the values of columns of digits in base PRIME, the lowest first.");
    m.def("enclosed", &enclosed, "Tell which supports of p + 1 rows are inseparable beyond doubt.");
    m.def("enclosed_support", &enclosed_support,
          "Tell this of one support, after features are left out that do not vary at its points.");
    m.attr("PRIME") = exact::PRIME;
    m.attr("DIGIT") = exact::DIGIT;
}

}  // namespace bdnn
