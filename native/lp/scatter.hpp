// A sequence that fills [0, 1) evenly, however many of its numbers are taken: fractional parts of multiples of the golden
// ratio. Small costs made of it break ties without a preferred direction.
#pragma once

#include <cmath>
#include <cstddef>

namespace bdnn {

inline double scatter(std::size_t j) {
    const double product = static_cast<double>(j + 1) * 0.6180339887498949;
    return product - std::floor(product);
}

}  // namespace bdnn
