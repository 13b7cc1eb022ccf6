// The point of a polyhedron that is nearest to the origin, with multipliers that prove it.
//
// The polyhedron is {e : W e + alpha >= 0, low <= e <= high} with low <= 0 <= high. Norm 1 is a linear program with
// costs. Norm inf is a sequence of programs, each of which minimizes the largest violation within a radius; its
// multipliers make one half-space of all, whose distance, a closed form, is the next radius (Newton's method on the
// radius; W. Dinkelbach, doi:10.1287/mnsc.13.7.492). Norm 2 is the dual of a projection, a smooth concave function of
// the multipliers, maximized by a projected Newton method (D. P. Bertsekas, doi:10.1137/0320018). Multipliers are never
// trusted: see `SupportFunction::excludes`.
#pragma once

#include <vector>

#include "poll.hpp"
#include "certify/support.hpp"

namespace bdnn::certify {

struct Nearest {
    std::vector<double> point;    // about the nearest point, feasible up to rounding if the solver ended well
    std::vector<double> factors;  // multipliers >= 0 of the rows
    double radius;                // about its distance, from the multipliers; infinite if there is no such point
};

// Find the nearest point; give up once the distance exceeds `stop`.
Nearest nearest(Norm norm, const HalfSpaces& rows, Box box, double stop, Poll& poll);

}  // namespace bdnn::certify
