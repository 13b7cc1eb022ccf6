// Support functions of perturbation sets in which features take integers, for norms 1 and 2.
//
// Columns t are steps from the point. That of an integer feature costs nothing at t = 0, `up` or `down` for the first
// step and `more` for every further one; that of a real feature costs `more` |t|. The set is {t : Σ c_j(t_j) <= r,
// low <= t <= high}, for norm 2 with squares of costs and of r. By weak duality the largest g·t is at most
//
//     λ B + Σ_j max_t (g_j t - λ φ_j(t)),    φ = c, B = r for norm 1,    φ = c² / 2, B = r² / 2 for norm 2,
//
// for any price λ >= 0, and each of these maxima, taken over integers where the feature takes integers, has a closed
// form. Costs are rounded down and r is rounded up, and the sums come with a bound of their rounding errors.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "certify/support.hpp"

namespace bdnn::certify {

// What steps cost. Columns of `costs`: every further step, the first one up, the first one down.
struct StepCosts {
    const double* costs = nullptr;        // n rows of three, or null where steps cost nothing (norm inf, real columns)
    const std::uint8_t* whole = nullptr;  // by column, whether it takes integers only

    double more(std::size_t j) const { return costs[3 * j]; }
    double first(std::size_t j, bool up) const { return costs[3 * j + (up ? 1 : 2)]; }

    // φ(t) of a column.
    double operator()(Norm norm, std::size_t j, double t) const {
        if (t == 0.0) return 0.0;
        const double c = whole[j] ? first(j, t > 0.0) + more(j) * (std::fabs(t) - 1.0) : more(j) * std::fabs(t);
        return norm == Norm::ONE ? c : 0.5 * c * c;
    }
};

// The integer that is nearest, the even one of two; |a| may be anything.
inline double rounded(double a) {
    constexpr double SHIFT = 0x1.8p52;
    return std::fabs(a) < 0x1p51 ? (a + SHIFT) - SHIFT : std::rint(a);
}

// Support functions over steps; it holds memory to work in, so every thread needs one of its own.
class IntegerSupportFunction {
  public:
    explicit IntegerSupportFunction(Norm norm) : norm_(norm) {}

    // An upper bound of g·t on the set, about that of the best price; far below 0 if the set is empty. Rounding errors
    // are accounted for.
    double operator()(const double* g, double r, Box box, const StepCosts& cost);

    // Write a subgradient of the cost at x, of its convex hull over the integers; `pull` decides on its sign at 0.
    void ascent(const double* x, const double* pull, std::size_t n, const StepCosts& cost, double* g) const;

  private:
    struct Priced {
        double total;  // Σ max (g t - λ φ(t))
        double spent;  // Σ φ(t) where that is reached
        double size;   // Σ |g t| + λ φ(t)
    };
    struct Column {  // folded so that g > 0
        double g, near, far;
        double start, start_cost;  // t where nothing is gained or lost but what the bounds demand
        double more, first;
        bool whole;
    };
    struct Tangent {
        double price, value, slope;
    };

    void fold(const double* g, Box box, const StepCosts& cost);
    Priced priced(double price) const;
    double cost_of(const Column& column, double t) const;
    double best_step(const Column& column, double price) const;
    Tangent tangent(double price);
    double minimum(Tangent left, Tangent right);

    Norm norm_;
    std::vector<Column> columns_;
    double fixed_spent_ = 0.0;  // what columns without a pull must cost
    double budget_ = 0.0, noise_ = 0.0, best_ = 0.0, blur_ = 0.0;
};

}  // namespace bdnn::certify
