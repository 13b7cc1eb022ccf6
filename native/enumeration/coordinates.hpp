// Coordinates of points, moved and scaled without rounding so that as much as possible is exact in doubles.
#pragma once

#include <vector>

#include "enumeration/loops.hpp"

namespace bdnn::enumeration {

// Coordinates by input, divided by powers of two and by what they have in common.
struct Coordinates {
    std::vector<std::vector<double>> values;  // of absolute value up to 1
    std::vector<int> unit;                    // values are multiples of 2^unit, of each input

    // Bits beyond which wide integers may have no room.
    static constexpr int MOST_BITS = 256;

    // Whether the digits of some input are too far apart for wide integers.
    bool too_wide() const;
};

// Coordinates of points that are given by input.
Coordinates coordinates(int inputs, Index points, const double* X);

}  // namespace bdnn::enumeration
