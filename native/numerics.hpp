// Floating-point arithmetic without rounding errors, and bounds on them. Compiled without contraction and without
// fast-math: every line relies on each operation being rounded by itself.
#pragma once

#include <cstddef>

#include "buffer.hpp"

namespace bdnn {

// A sum and what was rounded off (D. E. Knuth).
struct Pair {
    double high, low;
};

inline Pair two_sum(double x, double y) {
    double high = x + y;
    double back = high - x;
    return {high, (x - (high - back)) + (y - back)};
}

// A product and what was rounded off (T. J. Dekker, doi:10.1007/BF01397083).
inline Pair two_product(double x, double y) {
    double high = x * y;
    double c = 134217729.0 * x;
    double x1 = c - (c - x), x2 = x - x1;
    c = 134217729.0 * y;
    double y1 = c - (c - y), y2 = y - y1;
    return {high, ((x1 * y1 - high) + x1 * y2 + x2 * y1) + x2 * y2};
}

// A sum held exactly, as numbers without overlap, the largest last (J. R. Shewchuk, Adaptive precision floating-point
// arithmetic and fast robust geometric predicates, doi:10.1007/PL00009321, figure 6 with zeros left out).
class ExactSum {
  public:
    // Room for so many terms; a product counts twice.
    explicit ExactSum(std::size_t terms) : parts_(room_.get(terms + 1)) {}

    void add(double x) {
        std::size_t kept = 0;
        for (std::size_t k = 0; k < count_; ++k) {
            Pair sum = two_sum(x, parts_[k]);
            if (sum.low != 0.0) parts_[kept++] = sum.low;
            x = sum.high;
        }
        if (x != 0.0 || kept == 0) parts_[kept++] = x;
        count_ = kept;
    }

    void add_product(double x, double y) {
        Pair product = two_product(x, y);
        add(product.low);
        add(product.high);
    }

    // The largest part: nearly the sum, and of its sign.
    double value() const { return count_ ? parts_[count_ - 1] : 0.0; }

  private:
    Room<double> room_;
    double* parts_;
    std::size_t count_ = 0;
};

// Twice the standard bound on the rounding error of a sum of n products and a constant whose absolute values add up to
// `size`, which holds for sums in any order (N. J. Higham, doi:10.1137/1.9780898718027, section 3.1).
inline double rounding_bound(std::ptrdiff_t n, double size) { return static_cast<double>(n + 2) * 2.3e-16 * size; }

}  // namespace bdnn
