// Inseparable sets beyond doubt, by error bounds in floating point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bdnn::exact {

// Tells of supports of p + 1 rows of p numbers whether they have positive multipliers mu, Σ mu_i v_i = 0.
//
// With the rows as columns and a last row of ones, multipliers solve B mu = e. Let R be an approximate inverse, m > 0 an
// approximate solution, E = I - R B and r = e - B m. In the norm max |x_i| / m_i, if E is less than alpha < 1, then B is
// regular and mu - m = (I - E)^-1 R r is at most delta / (1 - alpha), where delta is that of R r. So alpha + delta < 1
// proves mu > 0 (S. M. Rump, Verification methods, Acta Numerica 19, 2010, section 10, doi:10.1017/S096249291000005X, with
// the norm fitted to the claim). A computed product of n terms is off by at most gamma(n) times that of absolute values,
// in any order of summation (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.5,
// doi:10.1137/1.9780898718027).
//
// All that is summed up here is nonnegative, so that its own rounding is relative and below the percent that is added at
// the end. The same percent covers products that underflow: each is off by at most 2^-1022, and no two numbers beyond
// 2^300 or, for m, below 2^-300 multiply it.
class Enclosure {
  public:
    // `rows` holds rows of p numbers and stays where it is.
    Enclosure(const double* rows, std::size_t p);

    // Whether a support of p + 1 rows has positive multipliers, for sure; false says nothing.
    bool holds(const std::int64_t* support);

  private:
    bool fill(const std::int64_t* support);
    bool invert();
    bool positive();

    const double* rows_;
    std::size_t p_, size_, stride_;
    std::vector<double> B_, left_, R_;  // of shape (size, stride)
    std::vector<double> m_, reached_, residual_, error_;
};

// Which features of a support of `count` rows of p numbers vary; the last number of each row is no feature. Rows of the
// form ±(x, 1) only: a feature that is the same at all points vanishes wherever the last number does, and may be left
// out. For other rows all features are named.
std::vector<std::size_t> varying_features(const double* rows, std::size_t p, const std::int64_t* support, std::size_t count);

// Do what `Enclosure` does for one support of any size, constant features left out: false unless as many numbers are left
// as there are rows, less one.
bool enclosed_without_constants(
    const double* rows, std::size_t p, const std::int64_t* support, std::size_t count);

}  // namespace bdnn::exact
