// Support functions of perturbation sets, and what a combination of half-spaces excludes.
//
// A perturbation set is {e : |e| <= r, low <= e <= high} with low <= 0 <= high, in units of the scale. Its support
// function h(g, r) = max g·e has a closed form for each norm: by weak duality, any price of the radius gives an upper
// bound, so only rounding errors stand between a number computed here and a proof, and these are bounded (N. J. Higham,
// Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 4.2).
#pragma once

#include <cstddef>
#include <vector>

namespace bdnn::certify {

enum class Norm { INF = 0, ONE = 1, TWO = 2 };

// A box around 0.
struct Box {
    const double *low, *high;
    std::size_t n;
};

// Half-spaces W e + alpha >= 0, W row by row; `error` bounds the errors of alpha, or is null where nobody asks.
struct HalfSpaces {
    const double *W, *alpha, *error;
    std::size_t k, n;

    const double* row(std::size_t i) const { return W + i * n; }
};

struct Support {
    double value;  // h, rounded
    double slope;  // in r, from the right
};

// Support functions in a norm; it holds memory to work in, so every thread needs one of its own.
class SupportFunction {
  public:
    explicit SupportFunction(Norm norm) : norm_(norm) {}

    Norm norm() const { return norm_; }

    // h(g, r) and its slope.
    Support operator()(const double* g, double r, Box box);

    // About the largest Σ |w_j e_j| of the set.
    double magnitude(const double* w, double r, Box box);

    // The largest g·e and Σ |g_j e_j| of a box alone, which need not hold 0.
    double box_value(const double* g, Box box);
    double box_magnitude(const double* g, Box box);

    // About the smallest r with h(g, r) >= need; infinite if there is none.
    double smallest_radius(const double* g, double need, Box box);

    // Whether factors >= 0 prove that no e of the set has W e + alpha >= 0 in all rows.
    bool excludes(const HalfSpaces& rows, const double* factors, double r, Box box);

    // A radius, as large as can be told, of a closed set in which no e has W e + alpha >= 0; 0 if none is.
    double proven_radius(const HalfSpaces& rows, const double* factors, Box box);

    // The smallest radius with h(Σ factors_i W_i, r) >= -Σ factors_i alpha_i, about.
    double distance(const HalfSpaces& rows, const double* factors, Box box);

  private:
    void fold(const double* g, Box box);
    Support filled(double r);
    Support filled_inf(double r) const;
    Support filled_one(double r);
    Support filled_two(double r);
    double root_one(double need);
    void heap_by_size();
    std::size_t next_by_size(std::size_t& left);
    bool is_smaller(std::size_t a, std::size_t b) const {
        return size_[a] < size_[b] || (size_[a] == size_[b] && a > b);
    }
    double widest(Box box) const;

    Norm norm_;
    std::vector<double> size_, room_;   // of the form in question: |g_j|, and how far e_j can go
    std::vector<std::size_t> heap_;     // features, the largest size on top
    double price_ = 0.0;                // norm 2: of the radius before, from which those for larger ones go down
    std::vector<double> combined_;
};

// Write Σ factors_i W_i.
void combine(const HalfSpaces& rows, const double* factors, double* g);

// The largest |z_j - x_j|, rounded up.
double largest_move(const double* x, const double* z, std::size_t n);

}  // namespace bdnn::certify
