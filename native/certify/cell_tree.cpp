// Bits of the first layer, for networks of any depth.
#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/exact_numerics.hpp"
#include "certify/pattern_tree.hpp"
#include "certify/vector_loops.hpp"

namespace bdnn::certify {

namespace {

constexpr std::size_t MOST_PIVOTS = 2000;  // of a program; one that is left then is branched on
constexpr int ROUNDS = 40;                 // of cuts
constexpr double NEAR = 0.05;              // in units of the reach: neurons nearer to 0 count alike
constexpr double INFINITE = std::numeric_limits<double>::infinity();

}  // namespace

UpperLayers::UpperLayers(
    std::span<const double> numbers, std::span<const std::int64_t> widths, std::span<const bool> exact, std::size_t code)
    : width_(static_cast<std::size_t>(widths[0])), code_(code) {
    std::size_t place = 0;
    for (std::size_t k = 0; k + 1 < widths.size(); ++k) {
        const auto inputs = static_cast<std::size_t>(widths[k]), outputs = static_cast<std::size_t>(widths[k + 1]);
        const std::span<const double> weights = numbers.subspan(place, inputs * outputs);
        const std::span<const double> bias = numbers.subspan(place + inputs * outputs, outputs);
        place += inputs * outputs + outputs;
        if (k + 2 < widths.size()) {
            hidden_.push_back(layer(weights, bias, inputs, exact[k]));
        } else {
            one_output_ = outputs == 1;
            last_ = one_output_ ? layer(weights, bias, inputs, exact[k]) : margins(weights, bias, inputs, exact[k], code);
        }
    }
}

// Bands: a sum of `inputs` products in any order is off by γ(inputs + 1) times the sum of their sizes, which is at most
// that of the weights for inputs between 0 and 1; differences of weights are off by a rounding more. Four times that.
UpperLayers::Layer UpperLayers::layer(
    std::span<const double> weights, std::span<const double> bias, std::size_t inputs, bool exact) {
    Layer made{inputs, exact, {}, {}, {}, {}};
    for (double weight : weights) {
        made.positive.push_back(std::max(weight, 0.0));
        made.negative.push_back(std::min(weight, 0.0));
    }
    for (std::size_t i = 0; i < bias.size(); ++i) {
        double size = std::fabs(bias[i]);
        for (double weight : weights.subspan(i * inputs, inputs)) size += std::fabs(weight);
        made.sums.push_back({bias[i], exact ? 0.0 : 4.0 * static_cast<double>(inputs + 4) * UNIT * size});
    }
    return made;
}

UpperLayers::Layer UpperLayers::margins(
    std::span<const double> weights, std::span<const double> bias, std::size_t inputs, bool exact, std::size_t code) {
    Layer made{inputs, exact, {}, {}, {}, {}};
    const std::span<const double> own = weights.subspan(code * inputs, inputs);
    for (std::size_t c = 0; c < bias.size(); ++c) {
        if (c == code) continue;
        const std::span<const double> other = weights.subspan(c * inputs, inputs);
        double size = std::fabs(bias[code]) + std::fabs(bias[c]);
        for (std::size_t j = 0; j < inputs; ++j) {
            made.positive.push_back(std::max(own[j] - other[j], 0.0));
            made.negative.push_back(std::min(own[j] - other[j], 0.0));
            size += std::fabs(own[j]) + std::fabs(other[j]);
        }
        made.sums.push_back({bias[code] - bias[c], exact ? 0.0 : 4.0 * static_cast<double>(inputs + 4) * UNIT * size});
        made.loses_ties.push_back(c < code || !exact);
    }
    return made;
}

double UpperLayers::Layer::least(std::size_t i, const double* low, const double* high) const {
    return sums[i].bias + loops::dot(positive.data() + i * inputs, low, inputs) +
           loops::dot(negative.data() + i * inputs, high, inputs);
}

double UpperLayers::Layer::most(std::size_t i, const double* low, const double* high) const {
    return least(i, high, low);
}

bool UpperLayers::wins(const double* low, const double* high) const {
    if (one_output_) {
        if (code_ == 1) {
            const double least = last_.least(0, low, high);
            return least >= last_.sums[0].band && (least > 0.0 || last_.exact);
        }
        return last_.most(0, low, high) < -last_.sums[0].band;
    }
    for (std::size_t c = 0; c < last_.sums.size(); ++c) {
        const double margin = last_.least(c, low, high), band = last_.sums[c].band;
        if (!(margin >= band) || (margin <= band && last_.loses_ties[c])) return false;
    }
    return true;
}

bool UpperLayers::constant(const double* low, const double* high) const {
    std::vector<double> least(low, low + width_), most(high, high + width_), next_least, next_most;
    for (const Layer& layer : hidden_) {
        next_least.clear();
        next_most.clear();
        for (std::size_t i = 0; i < layer.sums.size(); ++i) {
            const double a = layer.least(i, least.data(), most.data()), b = layer.most(i, least.data(), most.data());
            const double band = layer.sums[i].band;
            next_least.push_back(a >= band && (a > 0.0 || layer.exact) ? 1.0 : 0.0);
            next_most.push_back(b < -band ? 0.0 : 1.0);
        }
        least.swap(next_least);
        most.swap(next_most);
    }
    return wins(least.data(), most.data());
}

CellTree::CellTree(
    Region region,
    UpperLayers upper,
    std::vector<std::size_t> open,
    std::vector<double> low,
    std::vector<double> high,
    std::vector<double> influence)
    : PatternTree(region, scattered_costs(region, false), 2 * open.size() + 8),
      upper_(std::move(upper)),
      open_(std::move(open)),
      low_(std::move(low)),
      high_(std::move(high)),
      influence_(std::move(influence)),
      found_(open_.size()),
      factors_(open_.size()),
      g_(region_.n()) {
    const HalfSpaces rows = region_.rows();
    for (std::size_t i = 0; i < rows.k; ++i) {
        // the slack of a row is w·e + alpha
        program_.add_row(i, {rows.row(i), rows.n}, -rows.alpha[i]);
        const double reach = 2.0 * (std::fabs(rows.alpha[i]) + 2.0);
        program_.bound(program_.slack(i), -reach, reach);
    }
    add_ball_row();
}

PatternTree::Verdict CellTree::visit(bool offered, Poll& poll) {
    const std::size_t unfixed = read_bits();
    if (upper_.constant(low_.data(), high_.data()) || relax(poll)) return Verdict::PRUNED;
    const bool full = is_full();
    if (unfixed == 0 && !full && branch_whole()) return Verdict::BRANCHED;
    if (unfixed == 0 || full) return Verdict::LEAF;
    if (outcome_ == Outcome::OPTIMAL && !offered && is_candidate()) return Verdict::CANDIDATE;
    branch_neuron();
    return Verdict::BRANCHED;
}

// Write the bits of the node; return how many are open.
std::size_t CellTree::read_bits() {
    std::size_t unfixed = 0;
    for (std::size_t i = 0; i < open_.size(); ++i) {
        const bool on = is_on(i), off = !on && is_off(i);
        low_[open_[i]] = on ? 1.0 : 0.0;
        high_[open_[i]] = off ? 0.0 : 1.0;
        found_[i] = on ? 1 : off ? 0 : -1;
        unfixed += !on && !off;
    }
    return unfixed;
}

// Solve the program of the fixed bits, and again with cuts; whether they are proven to be out of reach.
bool CellTree::relax(Poll& poll) {
    for (int round = 0; round < ROUNDS; ++round) {
        outcome_ = program_.solve(INFINITE, MOST_PIVOTS, poll);
        if (outcome_ == Outcome::INFEASIBLE) return out_of_reach();
        if (outcome_ != Outcome::OPTIMAL || !separate()) return false;
        poll.spent(region_.W.size());
    }
    return false;
}

bool CellTree::separate() {
    if (region_.stepping()) {
        // where the bits that are fixed pull the columns
        for (std::size_t i = 0; i < found_.size(); ++i) factors_[i] = found_[i] < 0 ? 0.0 : found_[i] > 0 ? 1.0 : -1.0;
        combine(region_.rows(), factors_.data(), g_.data());
        return cut_steps(g_.data());
    }
    if (region_.norm != Norm::TWO) return false;
    std::copy_n(program_.values(), g_.size(), g_.begin());
    return cut(g_.data(), reached(g_.data(), box()));
}

// Whether the multipliers prove that the fixed bits cannot be had; rounding errors as in `SubsetTree::bound`.
bool CellTree::out_of_reach() {
    const HalfSpaces rows = region_.rows();
    program_.infeasible_combination(factors_);
    for (std::size_t i = 0; i < rows.k; ++i)
        // small ones on open rows only weaken the proof
        if ((factors_[i] > 0.0 && !is_on(i)) || (factors_[i] < 0.0 && !is_off(i))) factors_[i] = 0.0;
    combine(rows, factors_.data(), g_.data());
    if (!loops::finite(g_.data(), rows.n)) return false;
    const double value = reached(g_.data(), box());
    double total = value, noise = 0.0, size = std::fabs(value);
    for (std::size_t i = 0; i < rows.k; ++i) {
        total += factors_[i] * rows.alpha[i];
        noise += std::fabs(factors_[i]) * rows.error[i];
        size += std::fabs(factors_[i]) * (std::fabs(rows.alpha[i]) + 2.0);
    }
    const double doubt = 2.0 * static_cast<double>(rows.n + rows.k + 20) * UNIT * size;
    return total + 1.01 * noise + doubt + 1e-300 < 0.0;
}

// Whether the bits of the solution are decided otherwise; they are what is found then.
bool CellTree::is_candidate() {
    for (std::size_t i = 0; i < open_.size(); ++i)
        if (found_[i] < 0) low_[open_[i]] = high_[open_[i]] = program_.value(program_.slack(i)) >= 0.0 ? 1.0 : 0.0;
    if (upper_.constant(low_.data(), high_.data())) return false;
    for (std::size_t i = 0; i < open_.size(); ++i) found_[i] = low_[open_[i]] > 0.0 ? 1 : 0;
    return true;
}

// Branch on a neuron near 0 that counts much.
void CellTree::branch_neuron() {
    std::size_t chosen = 0;
    double best = -1.0;
    for (std::size_t i = 0; i < open_.size(); ++i) {
        if (is_on(i) || is_off(i)) continue;
        const double score = influence_[i] / (std::fabs(program_.value(program_.slack(i))) + NEAR);
        if (score > best) {
            best = score;
            chosen = i;
        }
    }
    const std::size_t variable = program_.slack(chosen);
    const double low = program_.lower(variable), high = program_.upper(variable);
    if (program_.value(variable) >= 0.0)
        branch(variable, 0.0, high, low, 0.0);
    else
        branch(variable, low, 0.0, 0.0, high);
}

}  // namespace bdnn::certify
