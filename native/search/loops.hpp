// Loops over points: plain code that compilers vectorize, with versions for wider processors (clones.hpp).
//
// Sums over points are kept in LANES independent accumulators, whatever the processor: their order is fixed, but is not
// that of the points. Sums of integer sample weights are exact in any order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bdnn::search::loops {

using Index = std::ptrdiff_t;

inline constexpr Index LANES = 8;
// Points worked on at a time: their numbers stay in the first-level cache.
inline constexpr Index CHUNK = 512;

// out[r] = signal[points[r]].
void gather(Index m, const float* signal, const std::int32_t* points, float* out);
void gather(Index m, const double* signal, const std::int32_t* points, double* out);
void gather(Index m, const std::uint8_t* signal, const std::int32_t* points, std::uint8_t* out);

// out[r] += v[0] x[0][r], then v[1] x[1][r] and so on; with `points`, x[j][points[r]].
void add_columns(Index m, Index count, const double* v, const float* const* x, double* out);
void add_columns(Index m, Index count, const double* v, const double* const* x, double* out);
void add_columns(Index m, Index count, const double* v, const std::uint8_t* const* x, double* out);
void add_gathered(Index m, double v, const float* x, const std::int32_t* points, double* out);
void add_gathered(Index m, double v, const double* x, const std::int32_t* points, double* out);
void add_gathered(Index m, double v, const std::uint8_t* x, const std::int32_t* points, double* out);

void fill(Index m, double value, double* out);
void add(Index m, double value, double* out);

// Sum of the gains of points that fire.
double objective(Index m, const double* a, const double* g);

// out = a + t s, in the first or any version; return its objective.
void move(Index m, const double* a, double t, const double* s, double* out);
double move_and_sum(Index m, const double* a, double t, const double* s, const double* g, double* out);

// Breakpoints of at most CHUNK points: for each its jump of the objective, and a slot, which is twice its bucket, and
// one more where the jump is negative; return the objective at t = -inf less that at t = 0.
struct Buckets {
    double low, per, last;
};
double breakpoints(Index m, const double* a, const double* s, const double* g, Buckets buckets, bool integer,
                   std::uint16_t* slot, double* jump);
double breakpoints(Index m, const double* a, const double* s, const double* g, Buckets buckets, bool integer,
                   std::int32_t* slot, double* jump);

// Mark the slots of buckets in which the minimum may lie: the objective is `starts` at their borders, `least` is the
// least of these, and `sums` has the positive and the negative jumps of each.
void choose_slots(Index buckets, const double* starts, double least, const double* sums, std::uint8_t* wanted);

// The count + 1 smallest of some numbers, in order; `count` is below SMALLEST.
inline constexpr Index SMALLEST = 4;
void smallest(Index m, const double* values, double* out);

// How many of the pre-activations are within the rounding error of 0.
Index doubtful(Index m, const double* a, double error);

// Whether one of eight pre-activations is nearer to 0 than that.
inline bool any_near(const double* a, double width) {
    int near = 0;
    for (Index r = 0; r < 8; ++r) near |= (a[r] < width ? 1 : 0) & (-a[r] < width ? 1 : 0);
    return near != 0;
}

// Mark where moving a pre-activation by v away from what fires, or to it, changes its sign.
void mark_flips(Index m, const double* a, const std::uint8_t* fires, double v, std::uint8_t* flips);

// What fires; marks the points at which that changed.
void fire(Index m, const double* a, std::uint8_t* fires, std::uint8_t* changed);

// The same for bounds of pre-activations: what surely fires, and what may.
void fire_interval(Index m, const double* least, const double* most, double error, std::uint8_t* on,
                   std::uint8_t* maybe, std::uint8_t* changed);

// Sum of x[r] y[r].
double dot(Index m, const double* x, const double* y);

// H[j][i] = sum of weight[r] x[j][r] x[i][r] for i >= j; x and H have n rows.
void weighted_products(Index n, Index m, const double* x, Index stride, const double* weight, double* work, double* H);

// Solve H v = v in place by Cholesky's method; H is positive definite, its upper part is used.
void solve_positive(Index n, double* H, double* v);

}  // namespace bdnn::search::loops
