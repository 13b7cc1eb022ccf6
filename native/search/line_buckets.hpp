// Lines of a neuron over a part of the rows: sums of jumps by bucket, and the breakpoints of some buckets.
//
// The objective along a line is a sum over rows, so parts of the rows need not meet: each tells the jumps in its buckets,
// these are added, and only the buckets in which the minimum may lie are asked for their breakpoints. The axis is
// u = t / (scale + |t|), which has no ends: every breakpoint falls between -1 and 1, and buckets are finest near t = 0.
#pragma once

#include <cstdint>
#include <vector>

#include "search/columns.hpp"
#include "search/gains.hpp"
#include "search/interrupt.hpp"

namespace bdnn::search {

// Buckets of an axis: number k holds low + k / per <= u < low + (k + 1) / per; the outer ones also what lies beyond.
struct Axis {
    double scale, low, per;
    Index count;
};

// For at most CHUNK points the jump at each breakpoint, and twice its bucket, one more where the jump is negative; return
// the objective at t = -inf less that at t = 0.
double places(Index m, const double* a, const double* s, const double* g, const Axis& axis, std::int32_t* slot,
              double* jump);

// What happens at one value of t: the positive and the negative jumps.
struct Jumps {
    double t, up, down;
};

// Sort by t and add up what happens at the same t.
void merge_equal(std::vector<Jumps>& jumps);

// The points of a state at which a neuron matters; `Signal` is what the neuron reads.
template <class Real, class Signal>
class NeuronLines {
  public:
    NeuronLines(State<Real>& st, Index number, const Signal* signal, Interrupt& interrupt)
        : interrupt_(interrupt), n_(st.layers.inputs(st.layers.place(number).layer)),
          active_(st.work.active.get(st.points)), g_(st.work.gain.get(st.points)), a_(st.work.sum.get(st.points)),
          q_(Gains<Real>(st, number, st.work.forward).collect(0, 1, active_, g_, a_)),
          columns_(signal, n_, st.points, active_, q_, st.work.columns, &interrupt), s_(st.work.slope.get(q_)) {
        for (Index r = 0; r < q_; ++r) a_[r] = st.b[number] - a_[r];
        add(st.W.data() + st.layers.weights_of(st.layers.place(number)), a_);
    }

    // Add the jumps of a line to the sums of its buckets; return the objective at t = -inf less that at t = 0.
    double sums(const double* v, double shift, const Axis& axis, double* into) {
        double jump[loops::CHUNK], before = 0.0;
        std::int32_t slot[loops::CHUNK];
        pieces(v, shift, axis, slot, jump, before, [&](Index, Index m) {
            for (Index r = 0; r < m; ++r) into[slot[r]] += jump[r];
        });
        return before;
    }

    // The jumps in the buckets that are wanted.
    std::vector<Jumps> breakpoints(const double* v, double shift, const Axis& axis, const std::uint8_t* wanted) {
        double jump[loops::CHUNK], before = 0.0;
        std::int32_t slot[loops::CHUNK];
        std::vector<Jumps> found;
        pieces(v, shift, axis, slot, jump, before, [&](Index begin, Index m) {
            for (Index r = 0; r < m; ++r)
                if (wanted[slot[r] / 2] && jump[r] != 0.0)
                    found.push_back({-a_[begin + r] / s_[begin + r], std::max(jump[r], 0.0), std::min(jump[r], 0.0)});
        });
        merge_equal(found);
        return found;
    }

  private:
    void add(const double* w, double* out) {
        ColumnSum<Signal> sum(q_, out, &interrupt_);
        for (Index j = 0; j < n_; ++j)
            if (w[j] != 0.0) columns_.add_to(sum, w[j], j);
    }

    template <class Use>
    void pieces(const double* v, double shift, const Axis& axis, std::int32_t* slot, double* jump, double& before,
                Use use) {
        loops::fill(q_, shift, s_);
        add(v, s_);
        for (Index begin = 0; begin < q_ && !interrupt_.wanted(loops::CHUNK); begin += loops::CHUNK) {
            Index m = std::min(loops::CHUNK, q_ - begin);
            before += places(m, a_ + begin, s_ + begin, g_ + begin, axis, slot, jump);
            use(begin, m);
        }
    }

    Interrupt& interrupt_;
    Index n_;
    std::int32_t* active_;
    double *g_, *a_;
    Index q_;
    Columns<Signal> columns_;
    double* s_;
};

// Call with the lines of a neuron, whatever it reads.
template <class Real, class Call>
void with_lines(State<Real>& st, Index number, Interrupt& interrupt, Call call) {
    Index layer = st.layers.place(number).layer;
    if (layer == 0) {
        NeuronLines<Real, Real> lines(st, number, st.data.X, interrupt);
        call(lines);
    } else {
        NeuronLines<Real, std::uint8_t> lines(st, number, st.fired(st.layers.first_neuron[layer - 1]), interrupt);
        call(lines);
    }
}

}  // namespace bdnn::search
