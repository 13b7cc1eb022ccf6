#include "certify/classify.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/exact_numerics.hpp"
#include "certify/vector_loops.hpp"

namespace bdnn::certify {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr double EXACT = 0x1p53;   // integers below this have no rounding errors
constexpr double LARGE = 1e140;    // sums of larger numbers are not bounded here

bool is_integral(std::span<const double> numbers) {
    return std::all_of(numbers.begin(), numbers.end(), [](double a) { return a == std::rint(a); });
}

Accumulator exact_sum(const Classifier::Layer& layer, std::size_t i, const double* x) {
    Accumulator sum;
    sum.add_product(layer.bias[i], 1.0);
    const double* w = layer.weights.data() + i * layer.inputs;
    for (std::size_t j = 0; j < layer.inputs; ++j) sum.add_product(w[j], x[j]);
    return sum;
}

}  // namespace

Classifier::Layer Classifier::layer(std::span<const double> weights, std::span<const double> bias) {
    const std::size_t inputs = weights.size() / bias.size();
    Layer made{inputs, {weights.begin(), weights.end()}, {bias.begin(), bias.end()}, {}};
    for (std::size_t i = 0; i < bias.size(); ++i)
        made.integral.push_back(is_integral(weights.subspan(i * inputs, inputs)) && bias[i] == std::rint(bias[i]));
    return made;
}

// Rounding errors, with the size S = |b| + Σ |w_j x_j|: that of a sum in any order is at most γ(n + 1) S (N. J. Higham,
// Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 4.2), that in twice the precision at most
// UNIT |value| + γ(n + 1)² S (see `dot_twice`), each with what n products lose that underflow. 1.01, 2 and 4 cover that
// S is itself rounded, and γ.
Classifier::Sum Classifier::sum(const Layer& layer, std::size_t i, const double* x, bool integral) {
    const double *w = layer.weights.data() + i * layer.inputs, b = layer.bias[i];
    const loops::Pair sums = loops::sums(w, x, layer.inputs);
    const double value = b + sums.first, size = std::fabs(b) + sums.second;
    if (!(size < LARGE)) return {value, INFINITE};
    if (integral && layer.integral[i] && size < EXACT) return {value, 0.0};
    const auto n = static_cast<double>(layer.inputs);
    const double radius = 1.01 * (n + 2.0) * UNIT * size + (n + 1.0) * TINY;
    if (std::fabs(value) > radius) return {value, radius};
    const double twice = dot_twice(w, b, x, layer.inputs), part = (n + 2.0) * UNIT;
    // factors too large to be split
    if (!std::isfinite(twice)) return {value, INFINITE};
    return {twice, 2.0 * UNIT * std::fabs(twice) + 4.0 * part * part * size + 8.0 * (n + 1.0) * TINY};
}

bool Classifier::fires(const Layer& layer, std::size_t i, const double* x, bool integral) {
    const Sum found = sum(layer, i, x, integral);
    if (found.radius == 0.0 || std::fabs(found.value) > found.radius) return found.value >= 0.0;
    return exact_sum(layer, i, x).sign() >= 0;
}

std::size_t Classifier::winner(const Layer& layer, const double* x, bool integral) {
    std::vector<Sum> sums;
    double sure = -INFINITE;
    for (std::size_t c = 0; c < layer.bias.size(); ++c) {
        sums.push_back(sum(layer, c, x, integral));
        if (sums[c].radius < INFINITE) sure = std::max(sure, sums[c].value - sums[c].radius);
    }
    // of sums that are not finite nothing is known
    std::vector<std::size_t> candidates;
    for (std::size_t c = 0; c < sums.size(); ++c)
        if (sums[c].radius == INFINITE || sums[c].value + sums[c].radius >= sure) candidates.push_back(c);
    std::size_t best = candidates.front();
    if (candidates.size() == 1) return best;
    Accumulator highest = exact_sum(layer, best, x);
    for (std::size_t k = 1; k < candidates.size(); ++k) {
        Accumulator other = exact_sum(layer, candidates[k], x), difference = other;
        difference.subtract(highest);
        if (difference.sign() <= 0) continue;
        highest = other;
        best = candidates[k];
    }
    return best;
}

std::size_t Classifier::operator()(const double* x) const {
    std::vector<double> signal(x, x + inputs()), next;
    bool integral = is_integral(signal);
    for (std::size_t k = 0; k + 1 < layers_.size(); ++k) {
        const Layer& layer = layers_[k];
        next.clear();
        for (std::size_t i = 0; i < layer.bias.size(); ++i)
            next.push_back(fires(layer, i, signal.data(), integral) ? 1.0 : 0.0);
        signal.swap(next);
        integral = true;
    }
    const Layer& last = layers_.back();
    if (last.bias.size() == 1) return fires(last, 0, signal.data(), integral) ? 1 : 0;
    return winner(last, signal.data(), integral);
}

}  // namespace bdnn::certify
