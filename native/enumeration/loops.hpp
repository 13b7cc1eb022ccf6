// Loops over all points of a pencil of hyperplanes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bdnn::enumeration {

using Index = std::ptrdiff_t;

inline constexpr int MOST_INPUTS = 4;

namespace loops {

// Values of two linear forms at all points: those that vanish on what the hyperplanes of a pencil have in common.
// `x` holds the points by input.
void forms(int inputs, Index points, const double* const* x, const double* origin, const double* first,
           const double* second, double* a, double* b);

// Keys that ascend with the angle of (a, b), or of (-a, -b) if that is in the upper half-plane, and the buckets of keys.
struct Keys {
    const double *a, *b;
    const double* error;  // bound on the errors of a and of b at each point
    const double* gain;
    double shift, scale;  // bucket = (key + shift) * scale
    double* key;
    double* turned;  // gain, with the other sign where (a, b) was reversed, 0 where it is (0, 0)
    double* doubt;   // bound on the error of the key
    std::int32_t* bucket;
};

struct Sums {
    std::int64_t flat = 0;  // points with (0, 0)
    bool unsure = false;    // whether a key is so near an end of its bucket that it may belong to the next one
};

Sums keys(Index points, const Keys& given);

}  // namespace loops

}  // namespace bdnn::enumeration
