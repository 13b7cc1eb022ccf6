#include "search/integer_neurons.hpp"

#include <algorithm>

namespace bdnn::search {

IntegerNeurons::IntegerNeurons(const IntegerPoints& data)
    : data_(data), sums_(static_cast<std::size_t>((data.inputs + 1) * data.points)),
      packed_(static_cast<std::size_t>(data.points)), sorted_(static_cast<std::size_t>(data.points)) {
    for (Index j = 0; j < data.inputs; ++j) {
        const std::int32_t* x = data.X + j * data.points;
        auto [low, high] = std::minmax_element(x, x + data.points);
        least_.push_back(data.points ? *low : 0);
        largest_.push_back(data.points ? *high : 0);
    }
    for (Index i = 0; i < data.points; ++i) {
        std::int64_t gain = data.gain[i];
        packed_[i] = gain * (std::int64_t{1} << 32) + std::max<std::int64_t>(0, -gain);
    }
}

void IntegerNeurons::load(const std::int32_t* weights) {
    std::fill(sums(0), sums(0) + data_.points, 0);
    for (Index j = 0; j < data_.inputs; ++j) {
        const std::int32_t *x = data_.X + j * data_.points, *below = sums(j), w = weights[j];
        std::int32_t* out = sums(j + 1);
        for (Index i = 0; i < data_.points; ++i) out[i] = below[i] + w * x[i];
    }
}

// To the next weights: the last ones change first. False after the last.
bool IntegerNeurons::advance(std::int32_t* weights) {
    Index j = data_.inputs - 1;
    while (j >= 0 && weights[j] >= data_.high[j]) --j;
    if (j < 0) return false;
    weights[j] += data_.nonzero && weights[j] == -1 ? 2 : 1;
    for (Index k = j + 1; k < data_.inputs; ++k) weights[k] = data_.low[k];
    for (Index k = j; k < data_.inputs; ++k) {
        const std::int32_t *x = data_.X + k * data_.points, *below = sums(k), w = weights[k];
        std::int32_t* out = sums(k + 1);
        for (Index i = 0; i < data_.points; ++i) out[i] = below[i] + w * x[i];
    }
    return true;
}

void IntegerNeurons::look(const std::int32_t* weights, std::int64_t& least, std::int64_t* found) {
    std::int32_t low = 0, high = 0;
    for (Index j = 0; j < data_.inputs; ++j) {
        low += weights[j] * (weights[j] > 0 ? least_[j] : largest_[j]);
        high += weights[j] * (weights[j] > 0 ? largest_[j] : least_[j]);
    }
    int shift = 0;
    while (((high - low) >> shift) >= MOST_BUCKETS) ++shift;
    const Index count = ((high - low) >> shift) + 1;
    std::fill(buckets_, buckets_ + count, 0);
    const std::int32_t* sum = sums(data_.inputs);
    for (Index i = 0; i < data_.points; ++i) buckets_[(sum[i] - low) >> shift] += packed_[i];
    // nothing fires, then more and more
    std::int64_t now = 0, bound = 0;
    for (Index b = count - 1; b >= 0; --b) {
        const std::int64_t below = buckets_[b] & 0xFFFFFFFF;
        bound = std::min(bound, now - below);
        now += (buckets_[b] - below) >> 32;
    }
    if (bound < least) look_closely(weights, least, found);
}

void IntegerNeurons::look_closely(const std::int32_t* weights, std::int64_t& least, std::int64_t* found) {
    const std::int32_t* sum = sums(data_.inputs);
    for (Index i = 0; i < data_.points; ++i) sorted_[i] = {sum[i], data_.gain[i]};
    std::sort(sorted_.begin(), sorted_.end());
    std::int64_t now = 0, best = 0, bias = data_.points ? -(std::int64_t{sorted_.back().first} + 1) : -1;
    for (Index i = data_.points - 1; i >= 0; --i) {
        now += sorted_[i].second;
        if (now < best && (i == 0 || sorted_[i - 1].first != sorted_[i].first)) {
            best = now;
            bias = -std::int64_t{sorted_[i].first};
        }
    }
    if (best >= least) return;
    least = best;
    std::copy(weights, weights + data_.inputs, found);
    found[data_.inputs] = bias;
}

bool IntegerNeurons::explore(std::int32_t* weights, Index count, std::int64_t& least, std::int64_t* found,
                             Poll& poll) {
    load(weights);
    for (Index n = 0; n < count && !poll.stopped(); ++n) {
        look(weights, least, found);
        poll.spent(static_cast<std::size_t>(data_.points) + MOST_BUCKETS);
        if (!advance(weights)) return false;
    }
    return true;
}

}  // namespace bdnn::search
