// Linear programs whose rows come and go: minimize cost·x, A x >= rhs, lower <= x <= upper, with few entries in each row.
//
// The simplex method is told in terms of a dictionary (V. Chvátal, Linear Programming, 1983, chapter 2): basic variables
// and the objective as functions of the others. It is not stored. With B the columns whose variables are basic and R the
// rows whose slacks are not (they are as many), the kernel K = A[R, B] has an inverse G, and
//
//     x_B = G (rhs_R + s_R - A[R, N] x_N),        s_L = A[L, B] x_B + A[L, N] x_N - rhs_L
//
// for the other columns N and rows L. G is all that is kept and updated at a pivot, by an outer product; rows and columns
// of the dictionary follow from it and the sparse rows (R. E. Bixby, Solving real-world linear programs, 2002,
// doi:10.1287/opre.50.1.3.17780, for the revised method in general). With a few hundred columns G fits into the
// second-level cache; nothing is factorized and nothing called in between.
//
// Box constraints are handled by the bounded dual method with flips (the long-step rule; I. Maros, Computational
// Techniques of the Simplex Method, 2003, chapter 10), rows are chosen by dual steepest edge (J. J. Forrest and
// D. Goldfarb, Steepest-edge simplex algorithms for linear programming, 1992, doi:10.1007/BF01581089). A program whose
// bounds or rows have changed is re-solved from where it stands.
//
// Rounding errors do no harm to proofs: what a node proves is recomputed from the multipliers in exact arithmetic.
//
// Variables are numbered: columns from 0, then the slack of each row by its label.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "poll.hpp"
#include "lp/sparse_rows.hpp"

namespace bdnn::lp {

enum class Outcome : int { OPTIMAL, CUT_OFF, INFEASIBLE, UNFINISHED };

// How much the objective rises at least if a fractional variable goes down, or up.
struct Penalties {
    double down, up;
};

class Dictionary {
  public:
    // A program without rows; columns between 0 and 1. It holds `capacity` rows at most, with labels below `labels`.
    Dictionary(std::span<const double> cost, std::size_t capacity, std::size_t labels);

    std::size_t columns() const { return v_; }
    std::size_t capacity() const { return norm.size(); }
    std::size_t labels() const { return x.size() - v_; }
    std::size_t rows() const { return static_cast<std::size_t>(size[0]); }
    bool holds(std::size_t label) const { return store_->holds(label); }
    double objective() const { return state[0]; }
    double pivots() const { return state[1]; }

    // Add the row values·x[columns] >= rhs, under a label that is not in use; there must be room.
    void add_row(std::size_t label, std::span<const Index> columns, std::span<const double> values, double rhs);

    // Remove rows whose slack is basic and at least `least`; write their labels and return how many.
    std::size_t drop_slack_rows(double least, std::span<Index> dropped);

    // Put non-basic variables at the bound that suits their reduced cost; recompute basic ones and the objective.
    void settle();

    // Re-solve after `settle`; stop as soon as the objective exceeds `cutoff`, after `most` pivots, or if `poll` says so.
    Outcome solve(double cutoff, std::size_t most, Poll& poll);

    struct Csr {
        std::span<const Index> labels, starts, columns;
        std::span<const double> values, rhs;
    };

    // Make the program anew of the rows with some labels, in CSR form by label, with the same basis if it can be; return
    // whether that basis was sound.
    bool rebuild(const Csr& rows);

    // Write the multiplier of each row by its label. If `farkas` is positive: multipliers of infeasibility, which prove
    // about that as a bound, whatever the costs >= 0.
    void multipliers(double farkas, std::span<double> out);

    // What branching on the basic variable of a row costs.
    Penalties penalties(std::size_t r);

    // Do this for columns that are basic, all at once.
    void penalties_of(std::span<const Index> variables, std::span<double> down, std::span<double> up);

    // Compute row r of the dictionary: the coefficient of each non-basic variable, by column.
    const double* row(std::size_t r);

    // Stand where another program of the same shape stands.
    void copy_from(const Dictionary& other);

    // Seen by Python. By variable:
    std::vector<double> x, lower, upper;
    std::vector<Index> place;  // column of a non-basic variable, -1 - row of a basic one
    // by column:
    std::vector<double> cost, d;  // d: reduced costs
    std::vector<Index> nonbasic;
    // by row:
    std::vector<Index> basic;
    std::vector<double> norm;  // squared lengths of the rows of the inverse of the basis matrix
    std::array<Index, 1> size{};
    // objective, pivots since the program was made, and the row that shows infeasibility
    std::array<double, 3> state{};

  private:
    struct Leaving {
        Index row;
        bool below;
        double bound, missing;
    };
    struct Step {
        std::size_t column;
        double length;
    };

    bool is_slack(Index variable) const { return variable >= static_cast<Index>(v_); }
    std::size_t label_of(Index variable) const { return static_cast<std::size_t>(variable) - v_; }
    double* inverse_row(std::size_t p) { return G_.data() + p * stride_; }
    SparseRows& rows_to_change();

    // a pivot and its parts
    class Session;
    double room(std::size_t j) const { return upper[static_cast<std::size_t>(nonbasic[j])] - lower[static_cast<std::size_t>(nonbasic[j])]; }
    void note_side(std::size_t j);
    Leaving most_violated();
    Index choose_entering(double sign, double& missing);
    void flip();
    void compute_rho(std::size_t r);
    void direction_of(std::span<const Step> steps);
    void inner_direction();
    void pivot(std::size_t r, std::size_t s, double bound);
    void exchange(std::size_t r, std::size_t s);
    void subtract_from_inverse(Index leaving, double pivot);
    void update_weights(std::size_t r, double pivot);
    void swap_in_basis(std::size_t r, std::size_t s, double pivot);
    void put_row(std::size_t p, Index variable, double pivot);
    void put_column(std::size_t t, Index variable);
    void drop_row(std::size_t p);
    void drop_column(std::size_t t);
    void grow();
    void loosen(std::size_t i);
    void tighten(std::size_t i);

    // making anew
    void forget_basis();
    bool invert(const std::vector<bool>& enters, std::vector<bool>& leaves);
    void reinvert();
    void note_basis(std::vector<bool>& enters, std::vector<bool>& leaves) const;
    void place_row(std::size_t label);
    void recompute_costs();
    double weight(std::size_t r);

    std::size_t v_;
    std::shared_ptr<SparseRows> store_;  // shared by copies until one of them changes it

    // the inverse kernel: a row for each basic column, a column for each row whose slack is not basic
    std::size_t k_ = 0, stride_ = 0, room_ = 0;
    std::vector<double> G_;
    std::vector<Index> inner_row_, inner_column_;  // the variable of each row, the slack of each column
    std::vector<Index> inside_;                    // of a variable: its row or column of the inverse kernel
    std::size_t stale_ = 0;                        // pivots since the kernel was inverted

    std::vector<std::size_t> loose_, loose_at_;  // rows whose slack is basic, and where each is in that list
    std::vector<std::size_t> source_;            // by column: where its coefficient is in row_

    // work space; by row or column of the inverse:
    std::vector<double> rho_, u_, y_, factor_, tau_;
    // by column:
    std::vector<double> row_, alpha_, side_, slope_, ratio_, dense_;
    std::vector<std::size_t> group_;
    std::vector<Step> flips_;
    // by row:
    std::vector<double> direction_, value_, low_, high_, score_;
    std::vector<std::size_t> imprecise_;  // rows whose weights have lost digits
};

}  // namespace bdnn::lp
