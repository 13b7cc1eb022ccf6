#include "certify/pattern_tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lp/scatter.hpp"

namespace bdnn::certify {

namespace {

constexpr std::size_t MOST_CUTS = 120;  // rows of a program that describe the norm
constexpr double SHAKE = 1e-7;          // costs that keep pivots from stalling
constexpr double FRACTION = 1e-7;   // from integers, of columns that are to be branched on
constexpr double VIOLATED = 1e-8;   // by what part a cut must be violated
constexpr double NARROW = 1e-9;     // keeps divisors away from 0

bool any(const std::vector<std::uint8_t>& flags) {
    return std::any_of(flags.begin(), flags.end(), [](std::uint8_t each) { return each != 0; });
}

// How many rows describe the norm at most: one for norm 1 over columns that go up or down.
std::size_t most_cuts(const Region& region) {
    if (region.norm == Norm::INF) return 0;
    return region.norm == Norm::ONE && !region.stepping() ? 1 : MOST_CUTS;
}

}  // namespace

PatternTree::PatternTree(Region region, std::vector<double> cost, std::size_t deepest)
    : region_(std::move(region)),
      program_(std::move(cost), region_.k() + most_cuts(region_)),
      support_(region_.norm),
      integer_support_(region_.norm),
      work_(region_.n()),
      root_low_(region_.low),
      root_high_(region_.high),
      root_ball_(region_.ball),
      // integers are branched on again and again
      deepest_(any(region_.whole) ? 64 * (region_.k() + region_.n()) + 64 : deepest) {
    for (std::size_t j = 0; j < region_.n(); ++j) program_.bound(j, region_.low[j], region_.high[j]);
}

// Small costs of columns, no two alike, so that pivots do not stall.
std::vector<double> PatternTree::scattered_costs(const Region& region, bool by_width) {
    std::vector<double> cost(region.n());
    for (std::size_t j = 0; j < region.n(); ++j) {
        const double width = by_width ? std::max(region.high[j] - region.low[j], NARROW) : 1.0;
        cost[j] = SHAKE / static_cast<double>(region.n()) / width * (0.5 + scatter(j));
    }
    return cost;
}

void PatternTree::add_ball_row() {
    if (region_.norm != Norm::ONE || region_.stepping()) return;
    const std::vector<double> values(region_.n(), -1.0 / region_.ball);
    program_.add_row(region_.k(), values, -1.0);
    program_.bound(program_.slack(region_.k()), 0.0, 1.0);
}

Stop PatternTree::explore(std::size_t most, Poll& poll) {
    constexpr std::size_t UNLIMITED = std::numeric_limits<std::size_t>::max();
    const std::size_t last = most < UNLIMITED - nodes_ ? nodes_ + most : UNLIMITED;
    while (true) {
        const bool offered = mode_ == Mode::RESUMED;
        if (const std::optional<Stop> stop = advance(last)) return *stop;
        switch (is_empty() ? Verdict::PRUNED : visit(offered, poll)) {
            case Verdict::PRUNED: mode_ = Mode::PRUNED; break;
            case Verdict::BRANCHED: break;
            case Verdict::CANDIDATE: mode_ = Mode::RESUMED; return Stop::CANDIDATE;
            case Verdict::LEAF: mode_ = Mode::PRUNED; return Stop::LEAF;
        }
        poll.spent(region_.k() + region_.n());
    }
}

// Count a node: the present one, or if that is pruned the one that comes after; return why there is none.
std::optional<Stop> PatternTree::advance(std::size_t last) {
    if (mode_ == Mode::PRUNED) {
        if (branches_.empty()) return Stop::DONE;
        const Branch left = branches_.back();
        branches_.pop_back();
        undo(left.trail);
        put(left.variable, left.low, left.high);
        mode_ = Mode::FRESH;
    }
    if (nodes_ >= last) return Stop::LIMIT;
    mode_ = Mode::FRESH;
    ++nodes_;
    return std::nullopt;
}

// Whether a smaller radius has left a branch on integers without any.
bool PatternTree::is_empty() const {
    for (std::size_t j = 0; j < region_.n(); ++j)
        if (program_.lower(j) > program_.upper(j)) return true;
    return false;
}

void PatternTree::put(std::size_t variable, double low, double high) {
    trail_.push_back({variable, program_.lower(variable), program_.upper(variable)});
    program_.bound(variable, low, high);
}

void PatternTree::undo(std::size_t length) {
    while (trail_.size() > length) {
        const Change& change = trail_.back();
        program_.bound(change.variable, change.low, change.high);
        trail_.pop_back();
    }
}

void PatternTree::branch(std::size_t variable, double first_low, double first_high, double low, double high) {
    branches_.push_back({trail_.size(), variable, low, high});
    put(variable, first_low, first_high);
}

// Branch on the column of integers whose value is farthest from an integer; whether there is one.
bool PatternTree::branch_whole() {
    std::optional<std::size_t> chosen;
    double away = FRACTION;
    for (std::size_t j = 0; j < region_.n(); ++j) {
        const double x = program_.value(j);
        // a program that was not solved may have columns outside of their bounds
        if (!region_.whole[j] || !(program_.lower(j) < x && x < program_.upper(j))) continue;
        const double part = x - std::floor(x);
        if (std::min(part, 1.0 - part) > away) {
            away = std::min(part, 1.0 - part);
            chosen = j;
        }
    }
    if (!chosen) return false;
    const std::size_t j = *chosen;
    const double x = program_.value(j), down = std::floor(x), low = program_.lower(j), high = program_.upper(j);
    if (x - down < 0.5)
        branch(j, low, down, down + 1.0, high);
    else
        branch(j, down + 1.0, high, low, down);
    return true;
}

bool PatternTree::branch_any() {
    for (std::size_t j = 0; j < region_.n(); ++j) {
        const double low = program_.lower(j), high = program_.upper(j);
        if (!region_.whole[j] || !(high - low > 0.5)) continue;
        const double at = std::min(std::max(rounded(program_.value(j)), low), high);
        if (at > low)
            branch(j, at, high, low, at - 1.0);
        else
            branch(j, at, at, at + 1.0, high);
        reopen();
        return true;
    }
    return false;
}

void PatternTree::shrink(double ball, const double* low, const double* high) {
    const std::size_t n = region_.n();
    if (region_.norm == Norm::ONE && !region_.stepping()) {
        // the slack is 1 - Σ e / ball with the ball of the root
        const std::size_t slack = program_.slack(region_.k());
        program_.bound(slack, std::max(0.0, 1.0 - ball / root_ball_), program_.upper(slack));
    }
    region_.ball = ball;
    const auto tighten = [&](std::size_t j, double& from, double& to) {
        if (j >= n) return;
        from = std::max(from, low[j]);
        to = std::min(to, high[j]);
    };
    for (std::size_t j = 0; j < n; ++j) {
        double from = program_.lower(j), to = program_.upper(j);
        tighten(j, from, to);
        program_.bound(j, from, to);
        tighten(j, root_low_[j], root_high_[j]);
    }
    for (Change& change : trail_) tighten(change.variable, change.low, change.high);
    for (Branch& left : branches_) tighten(left.variable, left.low, left.high);
}

StepCosts PatternTree::costs() const {
    return {region_.costs.data(), region_.whole.data()};
}

// h(g) for columns between bounds.
double PatternTree::reached(const double* g, Box box) {
    if (region_.stepping()) return integer_support_(g, region_.ball, box, costs());
    return support_(g, region_.ball, box).value;
}

bool PatternTree::cut(const double* g, double value) {
    if (!(value > 0.0)) return false;
    const std::size_t n = region_.n();
    double at = 0.0;
    for (std::size_t j = 0; j < n; ++j) at += g[j] * program_.value(j);
    if (!(at > value * (1.0 + VIOLATED))) return false;
    std::size_t label = region_.k() + cuts_;
    if (cuts_ < MOST_CUTS) {
        ++cuts_;
    } else {
        const std::ptrdiff_t dropped = program_.drop_slackest(region_.k());
        if (dropped == Dictionary::ABSENT) return false;
        label = static_cast<std::size_t>(dropped);
    }
    std::vector<double> values(n);
    double spread = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        values[j] = -g[j] / value;
        spread += std::fabs(values[j]) * std::max(std::fabs(root_low_[j]), std::fabs(root_high_[j]));
    }
    program_.add_row(label, values, -1.0);
    program_.bound(program_.slack(label), 0.0, 4.0 + 4.0 * spread);
    return true;
}

bool PatternTree::cut_steps(const double* pull) {
    integer_support_.ascent(program_.values(), pull, region_.n(), costs(), work_.data());
    return cut(work_.data(), reached(work_.data(), root()));
}

}  // namespace bdnn::certify
