// Branch and bound over patterns of hidden neurons, which can be interrupted and resumed.
//
// A node fixes the state of some neurons of the first layer; the linear program of a node has columns for the
// perturbation e and rows for the neurons. The norm comes in exactly for norms inf and 1 (for which a column goes up or
// down, not both), and for norm 2 by the box around it and by cuts g·e <= h(g). Columns may take integers only: then
// norm 1 comes in by cuts, too, h is that of `IntegerSupportFunction`, and columns are branched on. A node is pruned
// only by a proof from multipliers with all rounding errors bounded; no answer of the linear program is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "certify/dictionary.hpp"
#include "certify/integer_support.hpp"
#include "poll.hpp"
#include "certify/support.hpp"

namespace bdnn::certify {

// Why a search stops: everything is done; the nodes asked for are; there is a pattern to try; or one to decide, at a
// leaf.
enum class Stop { DONE = 0, LIMIT = 1, CANDIDATE = 2, LEAF = 3 };

// The perturbation set and the rows of the open neurons around a point.
struct Region {
    Norm norm;
    std::vector<double> W, alpha, error;  // k rows in units of their reach, and bounds of the errors of alpha
    double ball;                          // the radius in units of the columns, rounded up
    std::vector<double> low, high;        // bounds of the n columns, low <= 0 <= high
    std::vector<std::uint8_t> whole;      // columns that take integers only
    std::vector<double> costs;            // of steps, see `StepCosts`; empty for norm inf and where no column is whole

    std::size_t k() const { return alpha.size(); }
    std::size_t n() const { return low.size(); }
    bool stepping() const { return !costs.empty(); }
    HalfSpaces rows() const { return {W.data(), alpha.data(), error.data(), k(), n()}; }
};

class PatternTree {
  public:
    virtual ~PatternTree() = default;

    // Go on with the search for at most `most` nodes; return why it stopped. The node of a leaf is left afterward.
    Stop explore(std::size_t most, Poll& poll);

    // Look at the present node again, as if for the first time.
    void reopen() { mode_ = Mode::FRESH; }

    // Branch on a column of integers although the solution has integers only; whether one is left to branch on.
    bool branch_any();

    // Take over a smaller radius: bounds of all columns, also those that are to be restored.
    void shrink(double ball, const double* low, const double* high);

    // Whether there is no room to go deeper, so that a leaf may be none.
    bool is_full() const { return trail_.size() + region_.k() + 4 >= deepest_; }

    std::size_t nodes() const { return nodes_; }
    double ball() const { return region_.ball; }
    std::size_t rows() const { return region_.k(); }
    std::size_t columns() const { return region_.n(); }
    // The columns of the last program, and their least values at the node.
    const double* solution() const { return program_.values(); }
    const double* lower() const { return program_.lowers(); }

  protected:
    enum class Verdict { PRUNED, BRANCHED, CANDIDATE, LEAF };

    // `cost` of all columns of the program; neurons may have columns of their own behind those of the region.
    PatternTree(Region region, std::vector<double> cost, std::size_t deepest);

    // Look at a node; `offered` says whether its candidate was told before.
    virtual Verdict visit(bool offered, Poll& poll) = 0;

    Region region_;
    Dictionary program_;
    SupportFunction support_;
    IntegerSupportFunction integer_support_;

    StepCosts costs() const;
    Box box() const { return {program_.lowers(), program_.uppers(), region_.n()}; }
    Box root() const { return {root_low_.data(), root_high_.data(), region_.n()}; }
    // The node is the root, where the cuts are yet to be found.
    bool at_root() const { return nodes_ == 1; }
    double reached(const double* g, Box box);
    void put(std::size_t variable, double low, double high);
    void branch(std::size_t variable, double first_low, double first_high, double low, double high);
    bool branch_whole();
    // Add the row g·e <= value if the solution violates it, in the place of the slackest cut if there are too many.
    bool cut(const double* g, double value);
    // Add a cut where the steps of the solution cost too much; `pull` says where those at 0 are wanted to go.
    bool cut_steps(const double* pull);
    // For norm 1 without integers: the row Σ e <= ball.
    void add_ball_row();

    static std::vector<double> scattered_costs(const Region& region, bool by_width);

    std::vector<double> work_;  // a vector of the size of a row

  private:
    enum class Mode { FRESH, RESUMED, PRUNED };
    struct Change {
        std::size_t variable;
        double low, high;  // the bounds before
    };
    struct Branch {
        std::size_t trail, variable;
        double low, high;  // of the branch that is left
    };

    std::optional<Stop> advance(std::size_t last);
    void undo(std::size_t length);
    bool is_empty() const;

    std::vector<double> root_low_, root_high_;
    double root_ball_;
    std::vector<Change> trail_;
    std::vector<Branch> branches_;
    std::size_t deepest_;
    std::size_t nodes_ = 0, cuts_ = 0;
    Mode mode_ = Mode::FRESH;
};

// Sets of helpful neurons, for networks with one hidden layer.
//
// An attack on a class needs neurons of enough weight in the state that helps it: Σ v_l y_l >= T with v > 0, where
// y_l = 1 demands that neuron l is in its helpful state, w_l·e + alpha_l >= 0, and y_l = 0 demands nothing. A node fixes
// some y. The relaxation has y in [0, 1] and the rows w_l·e + alpha_l + M_l (1 - y_l) >= 0. A node is pruned if its
// multipliers prove that Σ v_l y_l stays below T; neurons are fixed by the same proof.
class SubsetTree : public PatternTree {
  public:
    struct Goal {
        double low;   // below this, Σ v y is too small for sure
        double high;  // from this on, it is enough for sure
    };

    SubsetTree(Region region, std::vector<double> M, std::vector<double> v, Goal goal);

    // The set of neurons that a stop is about.
    const std::vector<std::uint8_t>& found() const { return found_; }

  protected:
    Verdict visit(bool offered, Poll& poll) override;

  private:
    enum class Relaxed { PRUNED, SOLVED };

    std::size_t y(std::size_t i) const { return region_.n() + i; }
    bool is_open(std::size_t i) const { return program_.lower(y(i)) < program_.upper(y(i)); }
    bool is_in(std::size_t i) const { return program_.lower(y(i)) == 1.0; }
    bool is_out(std::size_t i) const { return program_.upper(y(i)) == 0.0; }
    double least(const double* alpha, std::size_t i) const;

    Relaxed relax(Poll& poll);
    bool count();
    double bound();
    std::size_t fix(double bound);
    bool separate(Poll& poll);
    bool separate_two(Poll& poll);
    double round_off();
    void demand_fixed();
    Verdict close_leaf();
    Verdict branch_neuron();
    double score(std::size_t i) const;

    std::vector<double> M_, v_;
    Goal goal_;
    std::vector<std::uint8_t> found_;

    // of the node
    Outcome outcome_ = Outcome::OPTIMAL;
    bool leaf_ = false;
    double possible_ = 0.0;                 // Σ v over neurons that are not ruled out
    std::vector<double> factors_, gains_;   // multipliers, and what each neuron contributes with y = 1
    std::vector<double> g_, relaxed_, point_;
};

// The layers above the first, as a function of its bits.
class UpperLayers {
  public:
    // `numbers`: per layer the weights, row by row, then the biases; `widths`: of the first hidden layer and of all
    // above it; `exact`: per layer, whether all of its numbers are integers whose sums are exact.
    UpperLayers(
        std::span<const double> numbers, std::span<const std::int64_t> widths, std::span<const bool> exact, std::size_t code);

    std::size_t width() const { return width_; }

    // Whether all inputs between `low` and `high` give class `code`, for sure.
    bool constant(const double* low, const double* high) const;

  private:
    struct Sum {
        double bias, band;  // `band` bounds the rounding errors
    };
    // Sums over inputs between bounds: the positive weights meet the one bound, the negative ones the other.
    struct Layer {
        std::size_t inputs;
        bool exact;
        std::vector<double> positive, negative;  // row by row
        std::vector<Sum> sums;
        std::vector<std::uint8_t> loses_ties;

        double least(std::size_t i, const double* low, const double* high) const;
        double most(std::size_t i, const double* low, const double* high) const;
    };

    static Layer layer(std::span<const double> weights, std::span<const double> bias, std::size_t inputs, bool exact);
    static Layer margins(
        std::span<const double> weights, std::span<const double> bias, std::size_t inputs, bool exact, std::size_t code);
    bool wins(const double* low, const double* high) const;

    std::size_t width_, code_;
    std::vector<Layer> hidden_;
    Layer last_;        // one output, or the differences of the output of the class to the others
    bool one_output_;
};

// Bits of the first layer, for networks of any depth.
//
// A node fixes some bits; it is pruned if interval arithmetic shows that the class is the same for all completions, or
// if multipliers prove that no perturbation in reach gives the fixed bits: with s_l(e) = w_l·e + alpha_l between bounds
// that are 0 on one side for a fixed bit, factors mu of any sign exclude a node if
// mu·alpha + h(Σ mu_l w_l) < Σ min(mu_l lower_l, mu_l upper_l) = 0.
class CellTree : public PatternTree {
  public:
    // `open`: the neurons of the rows; `low` and `high`: least and largest bits of all neurons at the root;
    // `influence`: weights of the open neurons, to choose among them.
    CellTree(
        Region region,
        UpperLayers upper,
        std::vector<std::size_t> open,
        std::vector<double> low,
        std::vector<double> high,
        std::vector<double> influence);

    // By open neuron 1 where the bit is on, 0 off, -1 open, of what a stop is about.
    const std::vector<std::int64_t>& found() const { return found_; }

  protected:
    Verdict visit(bool offered, Poll& poll) override;

  private:
    bool is_on(std::size_t i) const { return program_.lower(program_.slack(i)) == 0.0; }
    bool is_off(std::size_t i) const { return program_.upper(program_.slack(i)) == 0.0; }
    std::size_t read_bits();
    bool relax(Poll& poll);
    bool separate();
    bool out_of_reach();
    bool is_candidate();
    void branch_neuron();

    UpperLayers upper_;
    std::vector<std::size_t> open_;
    std::vector<double> low_, high_, influence_;
    std::vector<std::int64_t> found_;
    Outcome outcome_ = Outcome::OPTIMAL;
    std::vector<double> factors_, g_;
};

}  // namespace bdnn::certify
