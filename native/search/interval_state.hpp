// Networks under search whose inputs are perturbed: neurons surely fire, surely do not, or are unstable.
#pragma once

#include <cmath>

#include "search/evaluate.hpp"
#include "search/state.hpp"

namespace bdnn::search {

enum class Norm { inf = 0, one = 1, two = 2 };

template <class Real>
struct IntervalState {
    IntervalState(State<Real>& state, const Real* least, const Real* greatest, const double* radii,
                  const double* largest_inputs, Norm of_ball, double unstable, bool integers)
        : net(state), low(least), high(greatest), radius(radii), largest(largest_inputs), norm(of_ball),
          penalty(unstable), exact(integers), maybe(state.layers.neurons() * state.points) {}

    std::uint8_t* surely(Index neuron) const { return net.fired(neuron); }
    std::uint8_t* perhaps(Index neuron) const { return maybe.data() + neuron * net.points; }

    State<Real>& net;       // weights and loss; what it says to fire surely does
    const Real *low, *high; // least and largest inputs on a grid, by feature; the inputs themselves where there is none
    const double* radius;   // of each feature; 0 on a grid, where `low` and `high` hold it
    const double* largest;  // largest absolute value of each feature, perturbed
    Norm norm;
    double penalty;  // loss of a point at which a neuron of the first layer is unstable, where that is not allowed; or 0
    bool exact;      // whether the bounds of the first layer are free of rounding errors
    Zeros<std::uint8_t> maybe;  // not surely off
    WorkSpace work;
    bool halfway = false;  // as that of a State
    Room<unsigned char> high_columns;
};

// How far the ball moves a neuron: the dual norm of the weights times the radii.
inline double ball_reach(Norm norm, Index n, const double* w, const double* radius) {
    double total = 0.0;
    for (Index j = 0; j < n; ++j) {
        double v = std::fabs(w[j]) * radius[j];
        if (norm == Norm::inf)
            total += v;
        else if (norm == Norm::one)
            total = std::max(total, v);
        else
            total += v * v;
    }
    return norm == Norm::two ? std::sqrt(total) : total;
}

// Bound the rounding error of sums of n products and the reach of a ball.
inline double interval_error(Index n, double size) { return static_cast<double>(n + 4) * 4e-16 * size; }

// Bounds of the pre-activations of a neuron at m points, without their rounding error; that is returned. A call of
// add(sum, v, j, upper) adds v times the largest or the least values of signal j.
template <class Signal, class Real, class Add>
double limits(const IntervalState<Real>& st, Layers::Place neuron, Index m, Add add, double* least, double* most,
              Interrupt* interrupt = nullptr) {
    const Layers& layers = st.net.layers;
    Index k = neuron.layer, n = layers.inputs(k);
    const double* w = st.net.W.data() + layers.weights_of(neuron);
    double bias = st.net.b[layers.number(neuron)], size = std::fabs(bias);
    loops::fill(m, bias, least);
    loops::fill(m, bias, most);
    {
        ColumnSum<Signal> low(m, least, interrupt), high(m, most, interrupt);
        for (Index j = 0; j < n; ++j) {
            if (w[j] == 0.0) continue;
            size += std::fabs(w[j]) * (k == 0 ? st.largest[j] : 1.0);
            add(low, w[j], j, !(w[j] > 0.0));
            add(high, w[j], j, w[j] > 0.0);
        }
    }
    double error = interval_error(n, size);
    if (k == 0) {
        double ball = ball_reach(st.norm, n, w, st.radius);
        error += 1e-14 * ball;
        loops::add(m, -ball, least);
        loops::add(m, ball, most);
    }
    return st.exact || (k > 0 && st.net.bound > 0) ? 0.0 : error;
}

// States of a layer at some points: row j begins at `on[j]` and `maybe[j]`.
struct States {
    std::vector<const std::uint8_t*> on, maybe;
};

// Evaluates layers from the states of one below them.
template <class Real>
class IntervalForward {
  public:
    explicit IntervalForward(const IntervalState<Real>& st) : st_(st) {}

    // Losses of m points, of which points[r] are the numbers, if a layer has these states.
    void losses(Index layer, States states, const std::int32_t* points, Index m, double* loss) {
        const Layers& layers = st_.net.layers;
        Index stop = st_.net.argmax ? layers.last() - 1 : layers.last();
        for (; layer < stop; ++layer) {
            Index width = layers.width[layer + 1];
            std::uint8_t* next = signals_[layer % 2].get(2 * width * m);
            for (Index c = 0; c < width; ++c) evaluate({layer + 1, c}, states, m, next + 2 * c * m, next + (2 * c + 1) * m);
            states.on.resize(width), states.maybe.resize(width);
            for (Index c = 0; c < width; ++c) states.on[c] = next + 2 * c * m, states.maybe[c] = next + (2 * c + 1) * m;
        }
        for (Index r = 0; r < m; ++r) loss[r] = output_loss(states, points[r], r);
    }

    // States of one neuron at m points.
    void evaluate(Layers::Place neuron, const States& below, Index m, std::uint8_t* on, std::uint8_t* maybe) {
        double *least = least_.get(m), *most = most_.get(m);
        auto add = [&](ColumnSum<std::uint8_t>& sum, double v, Index j, bool upper) {
            sum.add(v, upper ? below.maybe[j] : below.on[j]);
        };
        double error = limits<std::uint8_t>(st_, neuron, m, add, least, most);
        loops::fire_interval(m, least, most, error, on, maybe, changed_.get(m));
    }

  private:
    double output_loss(const States& states, Index i, Index r) const {
        const Real* weight = st_.net.data.weights_of(i);
        if (st_.net.argmax) return winner_loss(states, i, r);
        Index n_out = st_.net.layers.outputs();
        if (n_out == 1)
            return (states.maybe[0][r] ? static_cast<double>(weight[0]) : 0.0) +
                   (states.on[0][r] ? 0.0 : static_cast<double>(weight[1]));
        double total = 0.0, loss = 0.0;
        for (Index c = 0; c < st_.net.data.classes; ++c) total += weight[c];
        for (Index c = 0; c < n_out; ++c) {
            double own = weight[c];
            loss += (states.on[c][r] ? 0.0 : own) + (states.maybe[c][r] ? total - own : 0.0);
        }
        return loss;
    }

    double winner_loss(const States& states, Index i, Index r) const {
        const Real* weight = st_.net.data.weights_of(i);
        double loss = 0.0;
        for (Index c = 0; c < st_.net.data.classes; ++c) {
            if (!(weight[c] > 0)) continue;
            for (Index other = 0; other < st_.net.data.classes; ++other) {
                if (other == c || surely_wins(states, c, other, i, r)) continue;
                loss += weight[c];
                break;
            }
        }
        return loss;
    }

    // Whether output c surely beats another; a tie goes to the lower index, and rounding counts against it.
    bool surely_wins(const States& states, Index c, Index other, Index i, Index r) const {
        const Layers& layers = st_.net.layers;
        Index k = layers.last(), n = layers.inputs(k), p = st_.net.points;
        const double* w = st_.net.W.data() + layers.weights_of({k, c});
        const double* rival = st_.net.W.data() + layers.weights_of({k, other});
        double total = st_.net.b[layers.number({k, c})] - st_.net.b[layers.number({k, other})];
        double size = std::fabs(total), ball = 0.0;
        for (Index j = 0; j < n; ++j) {
            double v = w[j] - rival[j], x;
            if (k == 0) {
                x = v > 0.0 ? st_.low[j * p + i] : st_.high[j * p + i];
                double reach = std::fabs(v) * st_.radius[j];
                if (st_.norm == Norm::one)
                    ball = std::max(ball, reach);
                else
                    ball += st_.norm == Norm::inf ? reach : reach * reach;
            } else {
                x = v > 0.0 ? states.on[j][r] : states.maybe[j][r];
            }
            total += v * x;
            size += std::fabs(v * x);
        }
        if (st_.norm == Norm::two) ball = std::sqrt(ball);
        total -= ball;
        if (st_.exact || (k > 0 && st_.net.bound > 0) || size == 0.0) return total > 0.0 || (total == 0.0 && c < other);
        return total > interval_error(n, size + ball);
    }

    const IntervalState<Real>& st_;
    Room<std::uint8_t> signals_[2], changed_;
    Room<double> least_, most_;
};

// Whether a neuron of the first layer, other than one, is unstable at point i.
template <class Real>
bool unstable(const IntervalState<Real>& st, Index i, Index but) {
    for (Index row = 0; row < st.net.layers.width[0]; ++row)
        if (row != but && st.surely(row)[i] != st.perhaps(row)[i]) return true;
    return false;
}

// Brings a state up to date after a change of one neuron, or of all.
template <class Real>
class IntervalUpdate {
  public:
    explicit IntervalUpdate(IntervalState<Real>& st) : st_(st), forward_(st) {}

    // As Update::run.
    double run(Index neuron, Interrupt& interrupt) {
        const Layers& layers = st_.net.layers;
        bool everything = neuron < 0;
        Index p = st_.net.points, layer = everything ? 0 : layers.place(neuron).layer;
        Index first = everything ? 0 : neuron, last = everything ? layers.width[0] - 1 : neuron;
        bool competes = st_.net.competes(layer);
        if (everything) std::fill(st_.net.loss.data(), st_.net.loss.data() + p, 0.0);
        double change = 0.0;
        const Index work = 2 * (last - first + 1) * (layers.inputs(layer) + 1);
        for (Index start = 0; start < p; start += BLOCK) {
            Index m = std::min(BLOCK, p - start);
            if ((st_.halfway = interrupt.wanted(work * m))) return change;
            std::uint8_t* changed = changed_.get(BLOCK);
            std::fill(changed, changed + m, everything || competes ? 1 : 0);
            if (!competes)
                for (Index each = first; each <= last; ++each) evaluate(each, start, m);
            Index count = collect(start, m);
            if (count) change += refresh(layer, count);
        }
        return change;
    }

  private:
    void evaluate(Index number, Index start, Index m) {
        Layers::Place neuron = st_.net.layers.place(number);
        Index p = st_.net.points;
        double *least = least_.get(BLOCK), *most = most_.get(BLOCK), error;
        if (neuron.layer == 0) {
            auto add = [&](ColumnSum<Real>& sum, double v, Index j, bool upper) {
                sum.add(v, (upper ? st_.high : st_.low) + j * p + start);
            };
            error = limits<Real>(st_, neuron, m, add, least, most);
        } else {
            Index below = st_.net.layers.first_neuron[neuron.layer - 1];
            auto add = [&](ColumnSum<std::uint8_t>& sum, double v, Index j, bool upper) {
                sum.add(v, (upper ? st_.perhaps(below + j) : st_.surely(below + j)) + start);
            };
            error = limits<std::uint8_t>(st_, neuron, m, add, least, most);
        }
        loops::fire_interval(m, least, most, error, st_.surely(number) + start, st_.perhaps(number) + start,
                             changed_.get(BLOCK));
    }

    // The points at which something changed.
    Index collect(Index start, Index m) {
        const std::uint8_t* changed = changed_.get(BLOCK);
        std::int32_t* points = points_.get(BLOCK + 1);
        Index count = 0;
        for (Index r = 0; r < m; ++r) {
            points[count] = static_cast<std::int32_t>(start + r);
            count += changed[r] ? 1 : 0;
        }
        return count;
    }

    // Recompute these points from the states of a layer on; return the change of their loss.
    double refresh(Index layer, Index m) {
        const Layers& layers = st_.net.layers;
        const std::int32_t* points = points_.get(BLOCK + 1);
        Index top = st_.net.argmax ? layers.last() - 1 : layers.last();
        States states;
        if (top >= 0) {
            states = gathered(std::min(layer, top), points, m);
            for (Index k = std::min(layer, top) + 1; k <= top; ++k) {
                raise(k, states, points, m);
                states = gathered(k, points, m);
            }
        }
        double* loss = loss_.get(BLOCK);
        forward_.losses(std::max<Index>(top, 0), states, points, m, loss);
        double change = 0.0;
        for (Index r = 0; r < m; ++r) {
            Index i = points[r];
            if (st_.penalty > 0.0 && layers.last() > 0 && unstable(st_, i, -1)) loss[r] = st_.penalty;
            change += loss[r] - st_.net.loss[i];
            st_.net.loss[i] = loss[r];
        }
        return change;
    }

    // Evaluate a layer at some points.
    void raise(Index k, const States& below, const std::int32_t* points, Index m) {
        std::uint8_t *on = on_.get(BLOCK), *maybe = maybe_.get(BLOCK);
        for (Index c = 0; c < st_.net.layers.width[k]; ++c) {
            forward_.evaluate({k, c}, below, m, on, maybe);
            Index number = st_.net.layers.number({k, c});
            for (Index r = 0; r < m; ++r) {
                st_.surely(number)[points[r]] = on[r];
                st_.perhaps(number)[points[r]] = maybe[r];
            }
        }
    }

    // Copies of the states of a layer at some points.
    States gathered(Index k, const std::int32_t* points, Index m) {
        Index width = st_.net.layers.width[k], first = st_.net.layers.first_neuron[k];
        std::uint8_t* copy = copy_.get(2 * st_.net.layers.widest() * BLOCK);
        States states;
        for (Index c = 0; c < width; ++c) {
            loops::gather(m, st_.surely(first + c), points, copy);
            states.on.push_back(copy), copy += m;
            loops::gather(m, st_.perhaps(first + c), points, copy);
            states.maybe.push_back(copy), copy += m;
        }
        return states;
    }

    IntervalState<Real>& st_;
    IntervalForward<Real> forward_;
    Room<double> least_, most_, loss_;
    Room<std::uint8_t> changed_, on_, maybe_, copy_;
    Room<std::int32_t> points_;
};

}  // namespace bdnn::search
