// Loops over dense rows and columns, compiled for wider processors, too (clones.hpp). The length of rows is a multiple
// of LANES, what is beyond their end is 0. Sums have LANES accumulators, whatever the processor.
#pragma once

#include <cstddef>

namespace bdnn::lp::loops {

inline constexpr std::size_t LANES = 8;

constexpr std::size_t padded(std::size_t n) { return (n + LANES - 1) / LANES * LANES; }

// x · y.
double dot(const double* x, const double* y, std::size_t width);

// y += a x; any width will do.
void add_scaled(double* y, double a, const double* x, std::size_t width);

// out_p = M_p · x for each of some rows.
void multiply(const double* M, std::size_t stride, std::size_t rows, std::size_t width, const double* x, double* out);

// tau_p = M_p · rho and then M_p -= factor_p rho, for each of some rows, in one pass over memory.
void subtract_outer(double* M, std::size_t stride, std::size_t rows, std::size_t width, const double* factor,
                    const double* rho, double* tau);

// M_p -= factor_p rho for each of some rows.
void subtract_multiples(double* M, std::size_t stride, std::size_t rows, std::size_t width, const double* factor,
                        const double* rho);

// y = x / a; any width will do, and in what follows.
void divide(double* y, const double* x, double a, std::size_t width);

// score_i = how far value_i is outside of its bounds, squared and divided by norm_i, 0 if by no more than `tolerance`;
// return the largest.
double score(const double* value, const double* low, const double* high, const double* norm, std::size_t n,
             double tolerance, double* score);

// slope_j = sign alpha_j side_j and ratio_j = max(d_j side_j, 0) / slope_j, infinite where the slope is at most `least`;
// return the least ratio.
double ratios(const double* alpha, const double* side, const double* d, std::size_t n, double sign, double least,
              double* slope, double* ratio);

// The least of some numbers, none of which is not a number; infinite if there are none.
double minimum(const double* x, std::size_t n);

// out_j = cost_j - constant - Σ_k price_k V_kj, for `rows` rows of n numbers, in this order.
void reduce(const double* V, std::size_t n, std::size_t rows, const double* price, const double* cost, double constant,
            double* out);

// up_p = min(up_p, cost / t) where t = side column_p is above `least`, down_p = min(down_p, -cost / t) where it is below.
void lower_ratios(const double* column, std::size_t n, double side, double cost, double least, double* down, double* up);

}  // namespace bdnn::lp::loops
