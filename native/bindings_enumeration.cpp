// Bindings of enumerations, of integer neurons and of halfspaces, in bdnn._native.search.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <numeric>

#include "arrays.hpp"
#include "enumeration/halfspaces.hpp"
#include "guard.hpp"
#include "search/integer_neurons.hpp"

namespace bdnn {

namespace {

using namespace nb::literals;
using search::Index;

constexpr std::int64_t MOST = std::int64_t{1} << 30;
// sums of gains are exact in doubles
constexpr std::int64_t MOST_GAIN = std::int64_t{1} << 52;

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

std::pair<bool, std::int64_t> halfspaces(nb::handle X_array, nb::handle gain_array, nb::handle inside_array,
                                         std::int64_t least, nb::object proceed) {
    Matrix<const double> X(X_array, "X");
    Vector<const std::int64_t> gain(gain_array, "gain");
    Vector<std::uint8_t> inside(inside_array, "inside");
    const std::size_t n = X.shape(0), p = X.shape(1);
    require(n >= 1 && n <= enumeration::MOST_INPUTS, "X", "must have 1 to 4 rows");
    require(p >= 1 && static_cast<std::int64_t>(p) < MOST, "X", "must have points, and not too many");
    X.finite("X");
    gain.sized(0, p, "gain");
    inside.sized(0, p, "inside");
    std::int64_t total = 0;
    for (std::int64_t g : gain)
        require(g > -MOST_GAIN && g < MOST_GAIN && (total += std::abs(g)) < MOST_GAIN, "gain", "has values that are too large");
    require(least > -MOST_GAIN && least < MOST_GAIN, "least", "must be below 2^52 in absolute value");
    const enumeration::Coordinates data = enumeration::coordinates(static_cast<int>(n), static_cast<Index>(p), X.data());
    require(!data.too_wide(), "X", "has a row of numbers whose digits are too far apart");
    const std::vector<double> gains(gain.begin(), gain.end());
    std::vector<Index> points(p);
    std::iota(points.begin(), points.end(), Index{0});
    std::vector<int> inputs(n);
    std::iota(inputs.begin(), inputs.end(), 0);
    double best = static_cast<double>(least);
    bool found = false, finished = false;
    std::vector<std::uint8_t> result;
    {
        Signals poll(std::move(proceed));
        Released unlocked;
        enumeration::Halfspaces search(data, inputs, poll);
        found = search.search(points, gains.data(), best);
        finished = !poll.stopped();
        result = search.inside();
    }
    if (found) std::copy(result.begin(), result.end(), inside.begin());
    return {finished, static_cast<std::int64_t>(best)};
}

}  // namespace

void bind_enumeration(nb::module_& m) {
    m.def("integer_neurons", &integer_neurons, "X"_a, "gain"_a, "low"_a, "high"_a, "weights"_a, "found"_a, "least"_a,
          "count"_a, "nonzero"_a);
    m.def("halfspaces", &halfspaces, "X"_a, "gain"_a, "inside"_a, "least"_a, "proceed"_a.none());
}

}  // namespace bdnn
