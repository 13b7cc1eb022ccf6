// Small linear programs whose bounds and rows change: minimize cost·x, A x >= rhs, lower <= x <= upper.
//
// The bounded dual simplex method on a whole dictionary (V. Chvátal, Linear Programming, 1983, chapter 2): basic
// variables and the objective as functions of the others. Columns whose whole box does not close the gap of the leaving
// row are flipped to their other bound (the long-step rule; I. Maros, Computational Techniques of the Simplex Method,
// 2003, chapter 10). No answer is believed: what counts as a proof is recomputed from the multipliers.
//
// Variables are numbered: columns from 0 on, then the slack of each row by its label.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "poll.hpp"

namespace bdnn::certify {

enum class Outcome { OPTIMAL, CUT_OFF, INFEASIBLE, UNFINISHED };

class Dictionary {
  public:
    static constexpr std::ptrdiff_t ABSENT = -1;

    // A program without rows, with columns between 0 and 1, for rows with labels below `labels`.
    Dictionary(std::vector<double> cost, std::size_t labels);

    std::size_t columns() const { return v_; }
    std::size_t rows() const { return basic_.size(); }

    double value(std::size_t variable) const { return x_[variable]; }
    double lower(std::size_t variable) const { return lower_[variable]; }
    double upper(std::size_t variable) const { return upper_[variable]; }
    const double* values() const { return x_.data(); }
    const double* lowers() const { return lower_.data(); }
    const double* uppers() const { return upper_.data(); }
    std::size_t slack(std::size_t label) const { return v_ + label; }
    bool is_basic(std::size_t variable) const { return place_[variable] < 0; }

    // Change bounds; `solve` takes them into account.
    void bound(std::size_t variable, double low, double high) {
        lower_[variable] = low;
        upper_[variable] = high;
    }

    // Change the costs of the first columns, and the reduced costs.
    void set_costs(std::size_t count, double cost);

    // Add the row Σ_j values_j x_j >= rhs of the first columns, plus `extra` times the column `at` if there is one.
    void add_row(std::size_t label, std::span<const double> values, double rhs, std::ptrdiff_t at = ABSENT, double extra = 0.0);

    // Remove the row whose slack is basic and largest, of those with a label from `first` on; return the label, or
    // ABSENT if there is none with a slack above 0.
    std::ptrdiff_t drop_slackest(std::size_t first);

    // Solve anew from the present basis; stop once the objective exceeds `cutoff`, or after `most` pivots.
    Outcome solve(double cutoff, std::size_t most, Poll& poll);

    // Make the dictionary anew of rows A x >= rhs, labeled in turn, with the same basis if it can be.
    void rebuild(const double* A, const double* rhs, std::size_t count, Poll& poll);

    // Write the multipliers of the labels below `count`. If `farkas` is positive: those of infeasibility, which prove
    // about that as a bound, whatever the costs are.
    void multipliers(double farkas, std::span<double> out) const;

    // Write what the infeasible row makes of the labels below `count`: of any sign, 1 at most in size.
    void infeasible_combination(std::span<double> out) const;

    struct Penalties {
        double down, up;
    };

    // How much the objective rises at least if a basic variable that is fractional goes down, or up.
    Penalties penalties(std::size_t variable) const;

  private:
    struct Leaving {
        std::ptrdiff_t row;
        bool below;
    };
    struct Entering {
        std::ptrdiff_t column;  // ABSENT if none can enter
        double missing;         // what flips have left of the gap
    };

    double* row(std::size_t i) { return T_.data() + i * stride_; }
    const double* row(std::size_t i) const { return T_.data() + i * stride_; }
    void settle();
    void place_nonbasic(std::size_t j);
    void measure(std::size_t i);
    Outcome dual_simplex(double cutoff, std::size_t most, Poll& poll);
    Leaving leaving() const;
    Entering entering(const double* row, double sign, double missing);
    void collect_ratios(const double* row, double sign);
    void flip(std::size_t j);
    void apply_flips();
    void move(std::size_t column, double step);
    void pivot(std::size_t r, std::size_t s);

    std::size_t v_, stride_;
    std::vector<double> T_;         // of each row the coefficients of the non-basic variables, up to `stride_`
    std::vector<double> constant_;  // by row
    std::vector<double> norm_;      // squared length by row, 1 included
    std::vector<std::size_t> basic_;
    std::vector<std::size_t> nonbasic_;
    std::vector<std::ptrdiff_t> place_;  // column of a non-basic variable, -1 - row of a basic one
    std::vector<double> x_, lower_, upper_;
    std::vector<double> cost_, d_;  // d_: reduced costs by column
    double objective_ = 0.0;
    Leaving infeasible_{0, true};

    // by column while a program is being solved: how wide the box is, and 1 at its lower end, -1 at its upper one
    std::vector<double> room_, side_;

    struct Ratio {
        double ratio;
        std::size_t column;
    };
    std::vector<Ratio> ratios_;
    std::vector<std::size_t> flipped_, where_;
    std::vector<double> steps_;
};

}  // namespace bdnn::certify
