// Binding of the enumeration of integer neurons, in bdnn._native.search.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include "arrays.hpp"
#include "guard.hpp"
#include "search/integer_neurons.hpp"

namespace bdnn {

namespace {

using namespace nb::literals;
using search::Index;

constexpr std::int64_t MOST = std::int64_t{1} << 30;

// Copies, as indices are computed from the numbers.
std::vector<std::int32_t> numbers(const Vector<const std::int32_t>& given) { return {given.begin(), given.end()}; }

// Refuse points and weights whose sums may not fit.
void check_sums(const Matrix<const std::int32_t>& X, const Vector<const std::int32_t>& gain,
                const Vector<const std::int32_t>& low, const Vector<const std::int32_t>& high) {
    std::int64_t reach = 0, total = 0;
    for (std::size_t j = 0; j < X.shape(0); ++j) {
        require(low[j] <= high[j], "low", "must not be above high");
        std::int64_t largest = 0;
        for (std::size_t i = 0; i < X.shape(1); ++i)
            largest = std::max(largest, std::abs(std::int64_t{X.row(j)[i]}));
        largest *= std::max(std::abs(std::int64_t{low[j]}), std::abs(std::int64_t{high[j]}));
        require(largest < MOST && (reach += largest) < MOST, "X", "has values that are too large for the weights");
    }
    for (std::int32_t g : gain) require((total += std::abs(std::int64_t{g})) < MOST, "gain", "has values that are too large");
}

std::pair<bool, std::int64_t> integer_neurons(nb::handle X_array, nb::handle gain_array, nb::handle low_array,
                                              nb::handle high_array, nb::handle weights_array, nb::handle found_array,
                                              std::int64_t least, Index count, bool nonzero) {
    Matrix<const std::int32_t> X(X_array, "X");
    Vector<const std::int32_t> gain(gain_array, "gain"), low(low_array, "low"), high(high_array, "high");
    Vector<std::int32_t> weights(weights_array, "weights");
    Vector<std::int64_t> found(found_array, "found");
    std::size_t n = X.shape(0), p = X.shape(1);
    require(static_cast<std::int64_t>(p) < MOST, "X", "has too many points");
    gain.sized(0, p, "gain");
    low.sized(0, n, "low");
    high.sized(0, n, "high");
    weights.sized(0, n, "weights");
    found.sized(0, n + 1, "found");
    require(count >= 0, "count", "must not be negative");
    check_sums(X, gain, low, high);
    std::vector<std::int32_t> points(X.begin(), X.end()), gains = numbers(gain), least_weights = numbers(low),
                              largest_weights = numbers(high), at(weights.begin(), weights.end());
    for (std::size_t j = 0; j < n; ++j)
        require(at[j] >= least_weights[j] && at[j] <= largest_weights[j], "weights", "must be from low to high");
    for (std::size_t j = 0; j < n && nonzero; ++j)
        require(at[j] != 0 && least_weights[j] != 0 && largest_weights[j] != 0, "weights", "and ends must not be 0");
    std::vector<std::int64_t> best(found.begin(), found.end());
    bool more = false;
    {
        Signals poll;
        Released unlocked;
        search::IntegerNeurons neurons({static_cast<Index>(n), static_cast<Index>(p), points.data(), gains.data(),
                                        least_weights.data(), largest_weights.data(), nonzero});
        more = neurons.explore(at.data(), count, least, best.data(), poll);
    }
    std::copy(at.begin(), at.end(), weights.begin());
    std::copy(best.begin(), best.end(), found.begin());
    return {more, least};
}

}  // namespace

void bind_enumeration(nb::module_& m) {
    m.def("integer_neurons", &integer_neurons, "X"_a, "gain"_a, "low"_a, "high"_a, "weights"_a, "found"_a, "least"_a,
          "count"_a, "nonzero"_a);
}

}  // namespace bdnn
