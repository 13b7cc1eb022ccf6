#include "enumeration/coordinates.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>

#include "numerics.hpp"

namespace bdnn::enumeration {

namespace {

// Exponent of the last digit of a double that is not 0.
int last_digit(double x) {
    int exponent = 0;
    const auto digits = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(x), &exponent), 53));
    return exponent - 53 + std::countr_zero(digits);
}

// The same column with absolute values up to 1 and small integers, as far as that is possible without rounding.
std::pair<std::vector<double>, int> compact(const double* x, Index points) {
    std::vector<double> values(x, x + points);
    double largest = 0.0;
    for (double v : values) largest = std::max(largest, std::fabs(v));
    if (largest == 0.0) return {values, 0};
    const int scale = std::ilogb(largest) + 2;
    for (double& v : values) {
        const double scaled = std::ldexp(v, -scale);
        if (std::ldexp(scaled, scale) != v) return {values, -Coordinates::MOST_BITS - 1};  // it was too small
        v = scaled;
    }
    std::vector<double> moved = values;
    const double origin = *std::min_element(values.begin(), values.end());
    bool exact = true;
    for (double& v : moved) {
        const Pair difference = two_sum(v, -origin);
        exact = exact && difference.low == 0.0;
        v = difference.high;
    }
    if (exact) values = std::move(moved);
    int unit = 0;
    for (double v : values)
        if (v != 0.0) unit = std::min(unit, last_digit(v));
    if (exact && unit >= -53) {
        std::int64_t divisor = 0;
        for (double v : values) divisor = std::gcd(divisor, static_cast<std::int64_t>(std::ldexp(v, -unit)));
        if (divisor > 0) {
            std::int64_t most = 1;
            for (double& v : values) {
                const auto whole = static_cast<std::int64_t>(std::ldexp(v, -unit)) / divisor;
                most = std::max(most, whole);
                v = static_cast<double>(whole);
            }
            unit = -static_cast<int>(std::bit_width(static_cast<std::uint64_t>(most)));
            for (double& v : values) v = std::ldexp(v, unit);
        }
    }
    return {values, unit};
}

}  // namespace

bool Coordinates::too_wide() const {
    return std::any_of(unit.begin(), unit.end(), [](int u) { return u < -MOST_BITS; });
}

Coordinates coordinates(int inputs, Index points, const double* X) {
    Coordinates result;
    for (int k = 0; k < inputs; ++k) {
        auto [values, unit] = compact(X + k * points, points);
        result.values.push_back(std::move(values));
        result.unit.push_back(unit);
    }
    return result;
}

}  // namespace bdnn::enumeration
