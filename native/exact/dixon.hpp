// Kernel vectors of integer matrices, by lifting: solve modulo a prime, then digit by digit (J. D. Dixon, Exact solution
// of linear equations using p-adic expansions, Numer. Math. 40, 1982, doi:10.1007/BF01459082).
//
// A square system is solved modulo a prime and its solution is lifted to enough digits in base of the prime for
// numerators and denominator to be recovered from. The results are right unless the prime divides a determinant that is
// not 0; the caller checks them.
#pragma once

#include <cstdint>
#include <vector>

#include "poll.hpp"

namespace bdnn::exact {

// Products of two residues fit into 58 bits.
inline constexpr std::int64_t PRIME = (std::int64_t{1} << 29) - 3;
inline constexpr double DIGIT = 28.99;  // a little less than its logarithm

// The rows v_i of a matrix of integers odd · 2^shift, and which of them depend on rows before them.
class Lifting {
  public:
    // `odd` and `shift` are of shape (k, p) and stay where they are; at least 0 and below LONGEST are the shifts.
    static constexpr std::int64_t LONGEST = 1 << 16;
    Lifting(const std::int64_t* odd, const std::int64_t* shift, std::size_t k, std::size_t p, Poll& poll);

    // Rows that are independent modulo the prime, and rows that depend on rows before them, ascending.
    std::vector<std::int64_t> pivots, others;

    struct Solution {
        std::vector<std::int64_t> digits;  // of shape (L, rank), the lowest first; none if the rank is 0
        double bound = 0.0;                // logarithm of a bound on the numerators and on the denominator
    };

    // Solve Σ y_i v_i = -v_t over the pivots i, where t is dependent row number `which`.
    Solution solve(std::size_t which, Poll& poll);

  private:
    using Word = std::uint64_t;

    std::int64_t odd(std::size_t i, std::size_t j) const { return odd_[i * p_ + j]; }
    std::int64_t shift(std::size_t i, std::size_t j) const { return shift_[i * p_ + j]; }
    std::size_t rank() const { return pivots.size(); }
    std::size_t row_of(std::size_t s) const { return static_cast<std::size_t>(pivots[s]); }

    void measure();
    void reduce();
    void eliminate(Poll& poll);
    void invert(Poll& poll);
    void split();
    double bound_of(std::size_t t) const;
    std::int64_t limb(std::size_t row, std::size_t column, std::size_t m) const;
    void subtract_digit(const std::vector<std::int32_t>& digit, std::vector<std::int64_t>& rest) const;
    void carry(std::int64_t* rest) const;
    std::int64_t modulo(const std::int64_t* rest) const;
    std::int64_t divide(std::int64_t* rest) const;

    const std::int64_t *odd_, *shift_;
    std::size_t k_, p_;
    std::size_t longest_ = 1;           // bits of the longest entry
    std::vector<double> row_length_, column_length_;  // logarithms of norms, -1 for a norm of 0
    std::vector<Word> residue_;
    std::vector<std::size_t> column_;   // of each pivot
    std::vector<std::uint32_t> inverse_;  // of the square system modulo the prime
    // the square system in limbs so short that sums over a row of products with digits fit into 63 bits
    unsigned bits_ = 0;
    std::size_t n_limbs_ = 0;
    std::vector<std::int32_t> limbs_;
};

// Values of columns of digits in base of the prime, the lowest first; `digits` is of shape (L, count). Each number is
// written as `width` bytes, the lowest first; return the width.
std::size_t numbers_of(const std::int64_t* digits, std::size_t length, std::size_t count, std::vector<std::uint8_t>& bytes);

// The steps of Euclid's algorithm that the leading 60 digits x, y determine (D. E. Knuth, The Art of Computer Programming
// 2, section 4.5.2, Algorithm L, by D. H. Lehmer): afterward the numbers are a x + b y and c x + d y.
struct Steps {
    std::int64_t a, b, c, d;
};
Steps euclid_steps(std::int64_t x, std::int64_t y);

}  // namespace bdnn::exact
