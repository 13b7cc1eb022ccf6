// What a network does at the points: pre-activations, what fires, and the loss, with the exact sign everywhere.
#pragma once

#include <algorithm>
#include <cmath>

#include "numerics.hpp"
#include "search/columns.hpp"
#include "search/interrupt.hpp"
#include "search/state.hpp"

namespace bdnn::search {

// The pre-activation of a neuron at point i, less that of the neuron in another row of its layer (-1: of none), with the
// exact sign.
template <class Real>
double exact_sum(const State<Real>& st, Layers::Place neuron, Index less, Index i) {
    const Layers& layers = st.layers;
    Index k = neuron.layer, n = layers.inputs(k);
    const double* w = st.W.data() + layers.weights_of(neuron);
    const double* w_less = less < 0 ? nullptr : st.W.data() + layers.weights_of({k, less});
    ExactSum sum(4 * n + 2);
    sum.add(st.b[layers.number(neuron)]);
    if (w_less) sum.add(-st.b[layers.number({k, less})]);
    for (Index j = 0; j < n; ++j) {
        double x = k == 0 ? static_cast<double>(st.data.feature(j)[i]) : st.fired(layers.first_neuron[k - 1] + j)[i];
        if (x == 0.0) continue;
        sum.add_product(w[j], x);
        if (w_less) sum.add_product(-w_less[j], x);
    }
    return sum.value();
}

// Bound the rounding errors of the pre-activations of a neuron.
template <class Real>
void update_error(State<Real>& st, Index number) {
    Layers::Place neuron = st.layers.place(number);
    Index n = st.layers.inputs(neuron.layer);
    const double* w = st.W.data() + st.layers.weights_of(neuron);
    double size = std::fabs(st.b[number]);
    for (Index j = 0; j < n; ++j) size += std::fabs(w[j]) * (neuron.layer == 0 ? st.data.largest[j] : 1.0);
    st.error[number] = rounding_bound(n, size);
}

// Add weights times signals to sums, those that are not 0; signal j begins at signal + j * stride.
template <class Signal>
void add_signals(Index m, Index n, const double* w, const Signal* signal, Index stride, double* out) {
    ColumnSum<Signal> sum(m, out);
    for (Index j = 0; j < n; ++j)
        if (w[j] != 0.0) sum.add(w[j], signal + j * stride);
}

// Pre-activations of a neuron at m points from `start` on.
template <class Real>
void pre_activations(const State<Real>& st, Layers::Place neuron, Index start, Index m, double* a) {
    Index k = neuron.layer, n = st.layers.inputs(k);
    const double* w = st.W.data() + st.layers.weights_of(neuron);
    loops::fill(m, 0.0, a);
    if (k == 0)
        add_signals(m, n, w, st.data.X + start, st.points, a);
    else
        add_signals(m, n, w, st.fired(st.layers.first_neuron[k - 1]) + start, st.points, a);
    loops::add(m, st.b[st.layers.number(neuron)], a);
}

// Loss of point i if the output layer has these pre-activations.
template <class Real>
double output_loss(const State<Real>& st, Index i, const double* sums) {
    const Real* weight = st.data.weights_of(i);
    Index n_out = st.layers.outputs();
    if (n_out == 1) return weight[sums[0] >= 0.0 ? 0 : 1];
    double total = 0.0;
    for (Index c = 0; c < st.data.classes; ++c) total += weight[c];
    if (st.argmax) {
        Index best = 0;
        for (Index c = 1; c < n_out; ++c)
            if (sums[c] > sums[best]) best = c;
        return total - weight[best];
    }
    double loss = 0.0;
    for (Index c = 0; c < n_out; ++c) loss += sums[c] >= 0.0 ? total - weight[c] : weight[c];
    return loss;
}

// Loss of point i where outputs compete, by their stored pre-activations; ties go to the lowest index.
template <class Real>
double winner_loss(const State<Real>& st, Index i) {
    Index last = st.layers.last(), first = st.layers.first_neuron[last], best = 0;
    const double* sums = st.sums_of(last, i);
    for (Index c = 1; c < st.layers.outputs(); ++c) {
        double lead = sums[c] - sums[best];
        if (std::fabs(lead) <= st.error[first + c] + st.error[first + best]) lead = exact_sum(st, {last, c}, best, i);
        if (lead > 0.0) best = c;
    }
    const Real* weight = st.data.weights_of(i);
    double loss = -static_cast<double>(weight[best]);
    for (Index c = 0; c < st.data.classes; ++c) loss += weight[c];
    return loss;
}

// Recomputes some points of a block from the activations of a layer on.
template <class Real>
class Refresh {
  public:
    explicit Refresh(State<Real>& st) : st_(st) {}

    // Add to `change` what the loss changes at points start + at[0], start + at[1], ...
    void run(Index layer, Index start, const std::int32_t* at, Index m, bool all, double& change) {
        for (Index k = layer + 1; k < st_.layers.count(); ++k) evaluate(k, start, at, m, all);
        for (Index r = 0; r < m; ++r) {
            Index i = start + at[r];
            double loss = st_.argmax ? winner_loss(st_, i) : output_loss(st_, i, st_.sums_of(st_.layers.last(), i));
            change += loss - st_.loss[i];
            st_.loss[i] = loss;
        }
    }

  private:
    void evaluate(Index k, Index start, const std::int32_t* at, Index m, bool all) {
        const Layers& layers = st_.layers;
        Index n = layers.inputs(k), stride = st_.points;
        const std::uint8_t* signal = st_.fired(layers.first_neuron[k - 1]) + start;
        if (!all) {
            std::uint8_t* some = signals_.get(n * m);
            for (Index j = 0; j < n; ++j) loops::gather(m, signal + j * stride, at, some + j * m);
            signal = some, stride = m;
        }
        double* a = sums_.get(m);
        for (Index c = 0; c < layers.width[k]; ++c) {
            Layers::Place neuron{k, c};
            Index number = layers.number(neuron);
            loops::fill(m, 0.0, a);
            add_signals(m, n, st_.W.data() + layers.weights_of(neuron), signal, stride, a);
            loops::add(m, st_.b[number], a);
            if (loops::doubtful(m, a, st_.error[number])) decide(neuron, start, at, m, a);
            std::uint8_t* fires = st_.fired(number);
            for (Index r = 0; r < m; ++r) {
                Index i = start + at[r];
                st_.sums_of(k, i)[c] = a[r];
                fires[i] = a[r] >= 0.0;
            }
        }
    }

    void decide(Layers::Place neuron, Index start, const std::int32_t* at, Index m, double* a) {
        double error = st_.error[st_.layers.number(neuron)];
        for (Index r = 0; r < m; ++r)
            if (std::fabs(a[r]) <= error) a[r] = exact_sum(st_, neuron, -1, start + at[r]);
    }

    State<Real>& st_;
    Room<std::uint8_t> signals_;
    Room<double> sums_;
};

// Brings a state up to date after a change of one neuron, or of all.
template <class Real>
class Update {
  public:
    explicit Update(State<Real>& st) : st_(st), refresh_(st) {}

    // Return the change of the total loss; for neuron -1 everything is computed anew from the weights. An interrupt
    // leaves the state halfway.
    double run(Index neuron, Interrupt& interrupt) {
        bool everything = neuron < 0;
        Index first = everything ? 0 : neuron, last = everything ? st_.layers.width[0] - 1 : neuron;
        if (everything) {
            for (Index each = 0; each < st_.layers.neurons(); ++each) update_error(st_, each);
            std::fill(st_.loss.data(), st_.loss.data() + st_.points, 0.0);
        } else {
            update_error(st_, neuron);
        }
        Index layer = st_.layers.place(first).layer;
        bool all = everything || st_.competes(layer);
        Index most = std::min(BLOCK, st_.points);
        a_.get(most), changed_.get(most), at_.get(most);
        double change = 0.0;
        const Index work = (last - first + 1) * (st_.layers.inputs(layer) + 1);
        for (Index start = 0; start < st_.points; start += BLOCK) {
            Index m = std::min(BLOCK, st_.points - start);
            if ((st_.halfway = interrupt.wanted(work * m))) return change;
            std::uint8_t* changed = changed_.get(m);
            std::fill(changed, changed + m, all ? 1 : 0);
            for (Index each = first; each <= last; ++each) evaluate(each, start, m);
            Index count = collect(m);
            if (count) refresh_.run(layer, start, at_.get(m), count, count == m, change);
        }
        return change;
    }

  private:
    void evaluate(Index number, Index start, Index m) {
        Layers::Place neuron = st_.layers.place(number);
        double *a = a_.get(m), error = st_.error[number];
        pre_activations(st_, neuron, start, m, a);
        if (loops::doubtful(m, a, error))
            for (Index r = 0; r < m; ++r)
                if (std::fabs(a[r]) <= error) a[r] = exact_sum(st_, neuron, -1, start + r);
        loops::fire(m, a, st_.fired(number) + start, changed_.get(m));
        if (number < st_.stored_from) return;
        double* sums = st_.sums_of(neuron.layer, start) + neuron.row;
        for (Index r = 0; r < m; ++r) sums[r * st_.stored] = a[r];
    }

    // The points at which something changed.
    Index collect(Index m) {
        const std::uint8_t* changed = changed_.get(m);
        std::int32_t* at = at_.get(m);
        Index count = 0;
        for (Index r = 0; r < m; ++r) {
            at[count] = static_cast<std::int32_t>(r);
            count += changed[r];
        }
        return count;
    }

    State<Real>& st_;
    Refresh<Real> refresh_;
    Room<double> a_;
    Room<std::uint8_t> changed_;
    Room<std::int32_t> at_;
};

// As Update::run.
template <class Real>
double update(State<Real>& st, Index neuron, Interrupt& interrupt) {
    return Update<Real>(st).run(neuron, interrupt);
}

}  // namespace bdnn::search
