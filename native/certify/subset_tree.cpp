// Sets of helpful neurons, for networks with one hidden layer.
#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/exact_numerics.hpp"
#include "certify/pattern_tree.hpp"
#include "certify/vector_loops.hpp"
#include "lp/projection.hpp"

namespace bdnn::certify {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr std::size_t MOST_PIVOTS = 2000;  // of a program; one that is left then is branched on
constexpr int ROUNDS = 40, LATER_ROUNDS = 4;  // of cuts at the root and below
constexpr double SHAKE = 1e-7;             // as of the costs of columns: what they may add to the objective
constexpr double ROUNDING = 1e-9;          // of objectives, of sums and of rows whose units are their reach
constexpr double BALL_BLUR = 1e-7;         // cuts see a part in 1e8
constexpr double INTEGRAL = 1e-6;          // from 0 and 1, of y that are not fractional
constexpr double WEAK = 1e-4;              // added to penalties, so that products compare where one is 0
constexpr double STRONG = 4.0;             // penalties that need no comparison: weights are 1 at most

std::vector<double> costs_of(const Region& region, const std::vector<double>& v, std::vector<double> cost) {
    // away from where the rows want the columns
    std::vector<double> pull(region.n());
    combine(region.rows(), v.data(), pull.data());
    for (std::size_t j = 0; j < region.n(); ++j)
        if (pull[j] > 0.0) cost[j] = -cost[j];
    for (double weight : v) cost.push_back(-weight);
    return cost;
}

}  // namespace

SubsetTree::SubsetTree(Region region, std::vector<double> M, std::vector<double> v, Goal goal)
    : PatternTree(region, costs_of(region, v, scattered_costs(region, true)), 2 * v.size() + 8),
      M_(std::move(M)),
      v_(std::move(v)),
      goal_(goal),
      found_(v_.size()),
      factors_(v_.size()),
      gains_(v_.size()),
      g_(region_.n()),
      relaxed_(v_.size()),
      point_(region_.n()) {
    const HalfSpaces rows = region_.rows();
    for (std::size_t i = 0; i < rows.k; ++i) {
        program_.add_row(i, {rows.row(i), rows.n}, -rows.alpha[i] - M_[i], static_cast<std::ptrdiff_t>(y(i)), -M_[i]);
        program_.bound(program_.slack(i), 0.0, 2.0 * (M_[i] + std::fabs(rows.alpha[i]) + 2.0));
    }
    add_ball_row();
}

PatternTree::Verdict SubsetTree::visit(bool offered, Poll& poll) {
    if (relax(poll) == Relaxed::PRUNED) return Verdict::PRUNED;
    const double weight = round_off();
    if (outcome_ == Outcome::OPTIMAL && !offered && weight >= goal_.low) return Verdict::CANDIDATE;
    return leaf_ ? close_leaf() : branch_neuron();
}

// Solve the relaxation, and again with the neurons that it fixes and the cuts that it violates.
SubsetTree::Relaxed SubsetTree::relax(Poll& poll) {
    const int rounds = at_root() || region_.stepping() ? ROUNDS : LATER_ROUNDS;
    for (int round = 0; round < rounds; ++round) {
        if (!count()) return Relaxed::PRUNED;
        outcome_ = program_.solve(-goal_.low + 2.0 * SHAKE + ROUNDING, MOST_PIVOTS, poll);
        program_.multipliers(outcome_ == Outcome::INFEASIBLE ? 4.0 * (possible_ + 1.0) : 0.0, factors_);
        const double most = bound();
        if (most < goal_.low) return Relaxed::PRUNED;
        const std::size_t fixed = fix(most);
        const bool more = separate(poll);
        if (fixed == 0 && !more) break;
    }
    return Relaxed::SOLVED;
}

// Sum up the weights of neurons; whether they may be enough.
bool SubsetTree::count() {
    double sure = 0.0;
    std::size_t open = 0;
    possible_ = 0.0;
    for (std::size_t i = 0; i < v_.size(); ++i) {
        if (program_.upper(y(i)) != 1.0) continue;
        possible_ += v_[i];
        if (is_in(i))
            sure += v_[i];
        else
            ++open;
    }
    leaf_ = open == 0 || sure >= goal_.high;
    return !(possible_ < goal_.low);
}

// An upper bound of Σ v y at the node, and what each neuron contributes with y = 1.
//
// For factors f >= 0 of the rows, Σ v y <= Σ v y + Σ f (w·e + alpha + M (1 - y)) <= h(Σ f w) + Σ f (alpha + M) +
// Σ (v - f M) y. Rounding errors, as in `SupportFunction::excludes`: rows are in units of their reach, so that
// |w·e| <= 1 and entries of Σ f w are off by what moves h by γ(k + 2) Σ f at most; h has n terms of fewer than 8
// roundings, the sums 3 k terms, whose sizes `size` adds up. (n + k + 20) UNIT (size + |h|) is taken twice.
double SubsetTree::bound() {
    const HalfSpaces rows = region_.rows();
    combine(rows, factors_.data(), g_.data());
    if (!loops::finite(g_.data(), rows.n)) return INFINITE;
    double size = std::fabs(goal_.low), value;
    if (region_.norm == Norm::INF) {
        // columns that were branched on need not hold 0
        value = support_.box_value(g_.data(), box());
        size += support_.box_magnitude(g_.data(), box());
    } else {
        value = reached(g_.data(), box());
    }
    double total = value, noise = 0.0;
    for (std::size_t i = 0; i < rows.k; ++i) {
        gains_[i] = v_[i] - factors_[i] * M_[i];
        if (is_in(i))
            total += gains_[i];
        else if (!is_out(i))
            total += std::max(gains_[i], 0.0);
        total += factors_[i] * (rows.alpha[i] + M_[i]);
        noise += factors_[i] * rows.error[i];
        size += factors_[i] * (std::fabs(rows.alpha[i]) + 2.0 * M_[i] + 2.0) + v_[i];
    }
    return total + 1.01 * noise + 2.0 * static_cast<double>(rows.n + rows.k + 20) * UNIT * (size + std::fabs(value));
}

// Fix the neurons whose other state the bound rules out; return how many.
std::size_t SubsetTree::fix(double bound) {
    std::size_t fixed = 0;
    for (std::size_t i = 0; i < v_.size(); ++i) {
        if (!is_open(i) || !(bound - std::fabs(gains_[i]) < goal_.low)) continue;
        const double state = gains_[i] > 0.0 ? 1.0 : 0.0;
        put(y(i), state, state);
        ++fixed;
    }
    return fixed;
}

bool SubsetTree::separate(Poll& poll) {
    if (outcome_ != Outcome::OPTIMAL) return false;
    if (region_.stepping()) {
        // columns at 0 are wanted where neurons are to be helpful
        for (std::size_t i = 0; i < v_.size(); ++i) relaxed_[i] = v_[i] * program_.value(y(i));
        combine(region_.rows(), relaxed_.data(), g_.data());
        poll.spent(region_.W.size());
        return cut_steps(g_.data());
    }
    return region_.norm == Norm::TWO && separate_two(poll);
}

// The y of the solution stand for a polyhedron: if that is out of reach, its multipliers make a cut.
bool SubsetTree::separate_two(Poll& poll) {
    HalfSpaces rows = region_.rows();
    for (std::size_t i = 0; i < rows.k; ++i) relaxed_[i] = rows.alpha[i] + M_[i] * (1.0 - program_.value(y(i)));
    rows.alpha = relaxed_.data();
    const double far = region_.ball * (1.0 + BALL_BLUR);
    const Nearest near = nearest(Norm::TWO, rows, box(), far, poll);
    if (!(near.radius > far)) {
        point_ = near.point;
        return false;
    }
    combine(rows, near.factors.data(), g_.data());
    return cut(g_.data(), reached(g_.data(), box()));
}

// The neurons that are helpful in the solution; return their weight.
double SubsetTree::round_off() {
    const HalfSpaces rows = region_.rows();
    const bool by_point = region_.norm == Norm::TWO && !region_.stepping();
    double weight = 0.0;
    for (std::size_t i = 0; i < rows.k; ++i) {
        const double value = by_point ? rows.alpha[i] + loops::dot(rows.row(i), point_.data(), rows.n)
                                      : program_.value(program_.slack(i)) - M_[i] * (1.0 - program_.value(y(i)));
        found_[i] = value >= -ROUNDING;
        if (found_[i]) weight += v_[i];
    }
    return weight;
}

void SubsetTree::demand_fixed() {
    for (std::size_t i = 0; i < v_.size(); ++i) found_[i] = is_in(i);
}

PatternTree::Verdict SubsetTree::close_leaf() {
    if (!is_full() && branch_whole()) return Verdict::BRANCHED;
    demand_fixed();
    return Verdict::LEAF;
}

PatternTree::Verdict SubsetTree::branch_neuron() {
    std::ptrdiff_t chosen = -1;
    double best = -1.0;
    for (std::size_t i = 0; i < v_.size(); ++i) {
        if (!is_open(i)) continue;
        const double found = score(i);
        if (found > best) {
            best = found;
            chosen = static_cast<std::ptrdiff_t>(i);
        }
    }
    if (chosen < 0 || is_full()) {
        demand_fixed();
        return Verdict::LEAF;
    }
    const std::size_t variable = y(static_cast<std::size_t>(chosen));
    const double first = program_.value(variable) >= 0.5 ? 1.0 : 0.0;
    branch(variable, first, first, 1.0 - first, 1.0 - first);
    return Verdict::BRANCHED;
}

// How much a branch on a neuron is worth: the product of what both sides lose.
double SubsetTree::score(std::size_t i) const {
    const double value = program_.value(y(i));
    const bool fractional = INTEGRAL < value && value < 1.0 - INTEGRAL;
    if (outcome_ != Outcome::OPTIMAL || !fractional || !program_.is_basic(y(i))) return 1e-9 * v_[i];
    const Dictionary::Penalties penalty = program_.penalties(y(i));
    return (std::min(penalty.down, STRONG) + WEAK) * (std::min(penalty.up, STRONG) + WEAK);
}

}  // namespace bdnn::certify
