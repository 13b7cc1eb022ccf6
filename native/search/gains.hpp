// The points at which a neuron matters: loss of firing less loss of not firing, all other neurons fixed.
#pragma once

#include <cmath>
#include <limits>

#include "search/evaluate.hpp"

namespace bdnn::search {

template <class Real>
class Gains {
  public:
    Gains(const State<Real>& st, Index number, Room<double>& room)
        : st_(st), neuron_(st.layers.place(number)), widest_(st.layers.widest()), z_(room.get(3 * widest_)) {}

    // Write the points among first, first + step, ... at which the neuron matters, their gains and, for outputs that
    // compete, the scores to beat; all as long as the number of points looked at. Return how many there are.
    Index collect(Index first, Index step, std::int32_t* active, double* gain, double* beat) {
        Index k = neuron_.layer, last = st_.layers.last(), q = 0;
        auto each = [&](auto gain_at) {
            for (Index i = first; i < st_.points; i += step) {
                active[q] = static_cast<std::int32_t>(i);
                beat[q] = 0.0;
                gain[q] = gain_at(i, beat[q]);
                q += gain[q] != 0.0 ? 1 : 0;
            }
        };
        if (st_.competes(k))
            each([this](Index i, double& score) { return of_competitor(i, score); });
        else if (k == last)
            each([this](Index i, double&) { return of_output(i); });
        else if (step == 1 && st_.stored == 1 && !st_.competes(last))
            return of_hidden_with_one_above(first, active, gain, beat);
        else
            each([this](Index i, double&) { return of_hidden(i); });
        return q;
    }

  private:
    // For an output that competes, *firing* means to win against this score.
    double of_competitor(Index i, double& beat) const {
        const double* sums = st_.sums_of(neuron_.layer, i);
        Index row = neuron_.row, best = row == 0 ? 1 : 0;
        for (Index c = best + 1; c < st_.layers.outputs(); ++c)
            if (c != row && sums[c] > sums[best]) best = c;
        beat = sums[best];
        // ties go to the lowest index
        if (best < row) beat = std::nextafter(beat, std::numeric_limits<double>::infinity());
        const Real* weight = st_.data.weights_of(i);
        return static_cast<double>(weight[best]) - static_cast<double>(weight[row]);
    }

    double of_output(Index i) const {
        const Real* weight = st_.data.weights_of(i);
        if (st_.layers.outputs() == 1) return static_cast<double>(weight[0]) - static_cast<double>(weight[1]);
        double total = 0.0;
        for (Index c = 0; c < st_.data.classes; ++c) total += weight[c];
        return total - 2.0 * static_cast<double>(weight[neuron_.row]);
    }

    double of_hidden(Index i) {
        const Layers& layers = st_.layers;
        Index k = neuron_.layer, n_in = layers.width[k], n_out = layers.width[k + 1];
        const double* w = st_.W.data() + layers.first_weight[k + 1] + neuron_.row;
        const double* sums = st_.sums_of(k + 1, i);
        bool fires = st_.fired(layers.number(neuron_))[i] != 0, same = !st_.competes(k + 1);
        for (Index c = 0; c < n_out; ++c) {
            double v = w[c * n_in], now = sums[c];
            z_[c] = fires ? now - v : now + v;
            same = same && (now >= 0.0) == (z_[c] >= 0.0);
        }
        if (same) return 0.0;
        double other = loss_above(i, k + 1);
        return fires ? st_.loss[i] - other : other - st_.loss[i];
    }

    // Where there is one output and nothing between: the points at which it changes are found many at a time.
    Index of_hidden_with_one_above(Index first, std::int32_t* active, double* gain, double* beat) {
        const std::uint8_t* fires = st_.fired(st_.layers.number(neuron_));
        double v = st_.W[st_.layers.first_weight[neuron_.layer + 1] + neuron_.row];
        std::uint8_t flips[loops::CHUNK];
        Index q = 0;
        for (Index start = first; start < st_.points; start += loops::CHUNK) {
            Index m = std::min(loops::CHUNK, st_.points - start);
            loops::mark_flips(m, st_.sums.data() + start, fires + start, v, flips);
            for (Index r = 0; r < m; ++r) {
                if (!flips[r]) continue;
                Index i = start + r;
                active[q] = static_cast<std::int32_t>(i), beat[q] = 0.0;
                gain[q] = of_hidden(i);
                q += gain[q] != 0.0 ? 1 : 0;
            }
        }
        return q;
    }

    // Loss of point i if layer k has the pre-activations z.
    double loss_above(Index i, Index k) {
        const Layers& layers = st_.layers;
        double *here = z_, *next = z_ + widest_, *signal = z_ + 2 * widest_;
        for (; k < layers.last(); ++k) {
            Index n_in = layers.width[k], n_out = layers.width[k + 1];
            for (Index j = 0; j < n_in; ++j) signal[j] = here[j] >= 0.0 ? 1.0 : 0.0;
            const double* w = st_.W.data() + layers.first_weight[k + 1];
            for (Index c = 0; c < n_out; ++c) {
                double total = 0.0;
                for (Index j = 0; j < n_in; ++j) total += w[c * n_in + j] * signal[j];
                next[c] = total + st_.b[layers.first_neuron[k + 1] + c];
            }
            std::swap(here, next);
        }
        return output_loss(st_, i, here);
    }

    const State<Real>& st_;
    Layers::Place neuron_;
    Index widest_;
    double* z_;  // pre-activations of two layers, and a signal
};

}  // namespace bdnn::search
