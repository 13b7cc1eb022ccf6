// Loops over vectors. Sums have eight accumulators, in a fixed order that does not depend on the processor; any order
// has the error bounds of one after the other (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
// section 4.2).
#pragma once

#include <cstddef>

namespace bdnn::certify::loops {

// Σ a_j b_j.
double dot(const double* a, const double* b, std::size_t n);

// Σ a_j b_j c_j.
double dot_masked(const double* a, const double* b, const double* c, std::size_t n);

// y += a x.
void add_scaled(double* y, double a, const double* x, std::size_t n);

// y += a x; return Σ y_j².
double add_scaled_squares(double* y, double a, const double* x, std::size_t n);

// size_j = |g_j|, room_j = how far e_j can go where g_j e_j grows, between low <= 0 and high >= 0.
void fold(const double* g, const double* low, const double* high, double* size, double* room, std::size_t n);

// size_j = |w_j|, room_j = max(-low_j, high_j).
void fold_both(const double* w, const double* low, const double* high, double* size, double* room, std::size_t n);

struct Pair {
    double first, second;
};

// Σ size_j min(room_j, r), and Σ size_j over room_j > r.
Pair capped(const double* size, const double* room, double r, std::size_t n);

// Σ size_j², over those with room_j > 0 that are not full, and Σ room_j² over those that are: size_j > price room_j.
// Return also how many are full.
Pair water(const double* size, const double* room, double price, std::size_t n, double& full);

// Σ max over 0 <= t <= room_j of size_j t - price t² / 2, for a price above 0.
double water_value(const double* size, const double* room, double price, std::size_t n);

// Σ size_j room_j, where 0 times infinity is 0.
double product(const double* size, const double* room, std::size_t n);

// Whether all are finite.
bool finite(const double* a, std::size_t n);

// e = min(max(g, low), high).
void clip(const double* g, const double* low, const double* high, double* e, std::size_t n);

// free_j = 1 where low_j < g_j < high_j, else 0.
void inside(const double* g, const double* low, const double* high, double* free, std::size_t n);

// The least |d_j| / |t_j| over columns with room_j > 0 and |t_j| > tolerance, where t_j times side_j is negative, and
// where it is positive; infinite if there is none.
Pair least_ratios(
    const double* t, const double* d, const double* room, const double* side, double tolerance, std::size_t n);

// values_i and sizes_i of a row: Σ w_j x_j and Σ |w_j x_j|.
Pair sums(const double* w, const double* x, std::size_t n);

}  // namespace bdnn::certify::loops
