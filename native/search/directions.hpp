// Directions for line searches that look at all weights of a neuron: Newton steps of a smoothed loss.
//
// With other neurons fixed, a neuron's part of the loss is the sum of g_i [a_i >= 0]. If the jump is replaced by a ramp of
// some width, the gradient comes from the points near the boundary only, weighted by how near they are. Solved against
// the covariance of such points it turns the neuron in the right sense also where features are correlated, where single
// coordinates and random directions stall. Widths are random: wide ramps see far, narrow ones what can be gained next.
#pragma once

#include <algorithm>
#include <cmath>

#include "buffer.hpp"
#include "search/loops.hpp"

namespace bdnn::search {

using loops::Index;

// Of very many points near the boundary, the first ones are used; the covariance takes a few for each feature.
inline constexpr Index MOST_NEAR = 2048;
inline constexpr Index MOST_FEATURES = 128;
inline constexpr Index FEW_FEATURES = 32;

struct Smoothing {
    double width;  // of the ramp
    Index start;   // where to begin among the points
    double ridge;  // what is added to the covariance, as a share of its mean variance
};

class NewtonStep {
  public:
    // The direction for a neuron with pre-activations a and gains g at q points, of which column(c)[r] is feature c, with
    // its median and scale. Write the changes of the n weights and, last, of the bias; 0 where numbers overflow. The
    // largest weight is one step long.
    template <class Column>
    void find(Index n, Index q, Column column, const double* median, const double* scale, const double* a,
              const double* g, Smoothing smoothing, double* step) {
        Index count = near_points(q, a, g, smoothing);
        double* rows = rows_.get((n + 1) * count);
        for (Index j = 0; j < n; ++j) {
            auto x = column(j);
            double *row = rows + j * count, middle = median[j], unit = scale[j];
            for (Index r = 0; r < count; ++r) row[r] = (static_cast<double>(x[index_[r]]) - middle) * unit;
        }
        std::fill(rows + n * count, rows + (n + 1) * count, 1.0);
        gradient_and_covariance(n + 1, count, smoothing.ridge, step);
        loops::solve_positive(n + 1, covariance_.get((n + 1) * (n + 1)), step);
        finish(n, median, scale, step);
    }

  private:
    // Collect the points nearer than the width, how near each is, and that times its gain; return how many.
    Index near_points(Index q, const double* a, const double* g, Smoothing smoothing) {
        count_ = 0;
        look(smoothing.start, q, a, g, smoothing.width);
        look(0, smoothing.start, a, g, smoothing.width);
        return count_;
    }

    void look(Index at, Index stop, const double* a, const double* g, double width) {
        constexpr Index FEW_AT_ONCE = 8;  // most are not near
        while (at < stop && count_ < MOST_NEAR) {
            Index until = std::min(stop, at + FEW_AT_ONCE);
            if (until - at == FEW_AT_ONCE && !loops::any_near(a + at, width)) {
                at = until;
                continue;
            }
            for (; at < until && count_ < MOST_NEAR; ++at) {
                double x = std::fabs(a[at]);
                if (!(x < width)) continue;
                double near = 1.0 - x / width;
                index_[count_] = at, near_[count_] = near, pull_[count_++] = -near * g[at];
            }
        }
    }

    void gradient_and_covariance(Index n, Index count, double ridge, double* v) {
        const double* rows = rows_.get(n * count);
        double* H = covariance_.get(n * n);
        for (Index j = 0; j < n; ++j) v[j] = loops::dot(count, pull_, rows + j * count);
        Index some = std::min(count, 4 * n);
        loops::weighted_products(n, some, rows, count, near_, weighted_.get(count), H);
        double trace = 0.0;
        for (Index j = 0; j < n; ++j) trace += H[j * n + j];
        double add = ridge * trace / static_cast<double>(n) + 1e-12;
        for (Index j = 0; j < n; ++j) H[j * n + j] += add;
    }

    // From standardized to raw features; the largest weight is one step long.
    static void finish(Index n, const double* median, const double* scale, double* v) {
        double size = 0.0;
        for (Index j = 0; j <= n; ++j) {
            if (!(std::fabs(v[j]) < 1e200)) {  // nor if it is not a number
                std::fill(v, v + n + 1, 0.0);
                return;
            }
            if (j < n) size = std::max(size, std::fabs(v[j]));
        }
        double factor = size > 1e-200 ? 1.0 / size : 0.0;
        v[n] *= factor;
        for (Index j = 0; j < n; ++j) {
            v[j] *= factor * scale[j];
            v[n] -= v[j] * median[j];
        }
    }

    Index count_ = 0;
    Index index_[MOST_NEAR];
    double near_[MOST_NEAR], pull_[MOST_NEAR];
    Room<double> rows_, covariance_, weighted_;
};

}  // namespace bdnn::search
