// The rows of a covering program: all that were found, those the linear program holds, and exact bounds from them.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "lp/dictionary.hpp"

namespace bdnn::tree {

using lp::Index;
using Integers = std::vector<std::int64_t>;

// Rows a·x >= h with integer coefficients, labeled in turn. Those in the linear program have a slot there.
class CutPool {
  public:
    static constexpr std::int64_t OUTSIDE = -1, GONE = std::int64_t{1} << 40;

    CutPool(std::span<const std::int64_t> cost, std::size_t capacity);

    struct Row {
        std::span<const std::int64_t> columns, values;
        std::int64_t rhs;
    };

    std::size_t size() const { return rhs_.size(); }
    std::size_t columns() const { return cost_.size(); }
    std::size_t capacity() const { return label_.size(); }
    std::size_t room() const { return free_.size(); }
    std::int64_t slot(std::size_t label) const { return slot_[label]; }
    const Integers& slots() const { return slot_; }
    Row operator[](std::size_t label) const {
        const auto start = static_cast<std::size_t>(starts_[label]), end = static_cast<std::size_t>(starts_[label + 1]);
        return {{columns_.data() + start, end - start}, {values_.data() + start, end - start}, rhs_[label]};
    }

    // Store a row; return its label, -1 if it is there already.
    std::int64_t add(std::span<const std::int64_t> columns, std::span<const std::int64_t> values, std::int64_t rhs);

    // Put rows that are outside into the linear program, as many as there is room for; return how many.
    std::size_t enter(lp::Dictionary& D, std::span<const std::int64_t> labels);

    // Take rows out of the linear program whose slack is basic and at least `least`.
    void drop(lp::Dictionary& D, double least);

    // Take rows out for good.
    void discard(lp::Dictionary& D, std::span<const std::int64_t> labels);

    // Make the linear program anew of the rows that it holds.
    bool rebuild(lp::Dictionary& D) const;

    // Rows outside the linear program that a point violates by more than `least`: the worst, at most `most`, by label.
    Integers violated(std::span<const double> x, double least, std::size_t most) const;

    // By how much a point exceeds the right-hand side of a row.
    double gap(std::size_t label, const double* x) const;

    // Store for each of `n` neurons the row that one of some demands is not met, Σ x[columns_of[member, neuron]] >= 1, but
    // for rows with the column `always`, which is 1; write its label, -1 if it is there already, -2 if it asks for
    // nothing.
    void add_set(std::span<const std::int64_t> members, const std::int64_t* columns_of, std::size_t n,
                 std::int64_t always, std::span<std::int64_t> labels);

    struct Bound {
        std::int64_t total = 0;  // the bound times the scale
        bool valid = false;      // whether all sums are exact
        Integers labels, multipliers, reduced;
    };

    // A lower bound within a box of integers, exact: from the multipliers of the linear program, in units of `unit`,
    // rounded to multiples of 1 / scale.
    Bound bound(lp::Dictionary& D, double farkas, double unit, std::int64_t scale, std::span<const double> lower,
                std::span<const double> upper);

    struct Question {
        std::span<const double> lower, upper;  // the box, of integers
        double cutoff;                         // stop as soon as the objective exceeds this
        std::size_t pivots;                    // at most
        double fresh;                          // after so many pivots in all the program is made anew
        double farkas;                         // what a proof of infeasibility is to be about
        double unit;
        std::int64_t scale;
    };

    // Solve the linear program within a box and compute the bound, which stays in `last`.
    lp::Outcome solve(lp::Dictionary& D, const Question& question, Poll& poll);
    const Bound& last() const { return last_; }

    // Rows of the last bound that have not been marked as sure; the others have been.
    Integers unsure() const;
    void mark_sure(std::size_t label) { sure_[label] = true; }

  private:
    static constexpr double LARGEST = 4611686018427387904.0;  // 2^62: sums of magnitudes up to this are exact

    std::uint64_t key(const Row& row) const;
    bool add_up(Bound& bound, std::int64_t scale, std::span<const double> lower, std::span<const double> upper) const;

    Integers cost_;
    Integers starts_{0}, columns_, values_, rhs_;
    std::vector<bool> plain_;  // whether all values are 1
    Integers slot_;   // of each row: its label in the linear program, OUTSIDE or GONE
    Integers label_;  // of each slot: the row, or -1
    std::vector<std::size_t> free_;
    std::unordered_multimap<std::uint64_t, std::size_t> known_;
    std::vector<double> multipliers_;
    std::vector<bool> sure_;  // whether a row has been marked
    Bound last_;
};

}  // namespace bdnn::tree
