// Improve one neuron, all others fixed, by exact line searches over the points at which it matters.
#pragma once

#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "search/columns.hpp"
#include "search/directions.hpp"
#include "search/evaluate.hpp"
#include "search/gains.hpp"
#include "search/interrupt.hpp"

namespace bdnn::search {

// Share of Newton steps among the directions of several weights.
inline constexpr double SMOOTHED = 0.5;

struct Effort {
    Index moves;     // line searches
    double spread;   // share of those along random directions and Newton steps (integers: with random jumps of weights)
    Index most;      // of more points than this, a random part is used
};

// The best integer step, in the middle of an interval.
inline double integer_step(const Interval& best) {
    if (best.left == -std::numeric_limits<double>::infinity()) return std::min(0.0, best.right - 1.0);
    if (best.right == std::numeric_limits<double>::infinity()) return std::max(0.0, best.left);
    return std::floor((best.left + best.right - 1.0) / 2.0);
}

// Keep outputs that compete, whose scale means nothing, within bounds: by a power of two, so no winner changes. Return
// the change of the total loss, which is none unless numbers underflow.
template <class Real>
double rescale_outputs(State<Real>& st, Interrupt& interrupt) {
    Index last = st.layers.last();
    double size = 0.0;
    for (Index i = st.layers.first_weight[last]; i < st.layers.weights(); ++i) size = std::max(size, std::fabs(st.W[i]));
    if (!(size > 1e-300 && size < 1e300) || (size > 1e-6 && size < 1e6)) return 0.0;
    double factor = std::ldexp(1.0, -static_cast<int>(std::floor(std::log2(size)))), change = 0.0;
    for (Index i = st.layers.first_weight[last]; i < st.layers.weights(); ++i) st.W[i] *= factor;
    for (Index i = st.layers.first_neuron[last]; i < st.layers.neurons(); ++i) st.b[i] *= factor;
    for (Index i = st.layers.first_neuron[last]; i < st.layers.neurons(); ++i) change += update(st, i, interrupt);
    return change;
}

// The weights of a neuron as they were.
class Kept {
  public:
    Kept(const double* w, Index n, double b) : w_(w, w + n), b_(b) {}
    void restore(double* w, double& b) const {
        std::copy(w_.begin(), w_.end(), w);
        b = b_;
    }

  private:
    std::vector<double> w_;
    double b_;
};

// Evaluate a network after a change of a neuron, and take the change back if the loss has grown: of a part of the points,
// or of sums that are rounded, the whole loss may have. Return the change of the loss.
template <class Updater>
double update_or_restore(Updater& update, Index number, const Kept& before, double* w, double& b, Interrupt& interrupt) {
    double change = update.run(number, interrupt);
    if (!(change > 0.0) || interrupt.stopped()) return change;
    before.restore(w, b);
    return change + update.run(number, interrupt);
}

// `Signal` is what the neuron reads: inputs, or what the layer below fires.
template <class Real, class Signal>
class ImproveNeuron {
  public:
    ImproveNeuron(State<Real>& st, Index number, Effort effort)
        : st_(st), neuron_(st.layers.place(number)), number_(number), effort_(effort), random_(&st.random_state),
          n_(st.layers.inputs(neuron_.layer)), w_(st.W.data() + st.layers.weights_of(neuron_)),
          sign_(st.sign.data() + st.layers.weights_of(neuron_)), b_(st.b[number]),
          integer_(st.bound > 0), order_(n_ + 1), pool_(n_), chosen_(std::max<Index>(n_, 1)), v_(chosen_.size()),
          newton_(n_ + 1) {
        std::iota(order_.begin(), order_.end(), Index{0});
        std::iota(pool_.begin(), pool_.end(), Index{0});
        next_ = n_ + 1;
    }

    // Return the change of the total loss, never positive but for rounding.
    double run(Interrupt& interrupt) {
        if (!find_points()) return 0.0;
        interrupt_ = &interrupt;
        Columns<Signal> columns(signal(), n_, st_.points, active_, q_, st_.work.columns, interrupt_);
        columns_ = &columns;
        prepare();
        now_ = loops::objective(q_, a_, g_);
        const Kept before(w_, n_, b_);
        for (Index move = 0; move < effort_.moves && !interrupt.wanted(q_); ++move) try_move();
        if (interrupt.stopped()) {  // an evaluation would take too long, and what the last move computed may be of no use
            before.restore(w_, b_);
            return 0.0;
        }
        if (!changed_) return 0.0;
        if (!integer_ && !st_.competes(neuron_.layer)) normalize();
        Update<Real> update(st_);
        double change = update_or_restore(update, number_, before, w_, b_, interrupt);
        return st_.competes(neuron_.layer) && !integer_ ? change + rescale_outputs(st_, interrupt) : change;
    }

  private:
    static constexpr bool INPUTS = !std::is_same_v<Signal, std::uint8_t>;

    const Signal* signal() const {
        if constexpr (INPUTS)
            return st_.data.X;
        else
            return st_.fired(st_.layers.first_neuron[neuron_.layer - 1]);
    }
    double scale(Index j) const { return INPUTS ? st_.data.scale[j] : 1.0; }
    double middle(Index j) const { return INPUTS ? st_.data.median[j] : 0.5; }

    bool find_points() {
        Index p = st_.points, step = p / effort_.most + (p % effort_.most != 0 ? 1 : 0);
        Index first = random_.below(step), most = p / step + 1;
        active_ = st_.work.active.get(most);
        g_ = st_.work.gain.get(most);
        a_ = st_.work.sum.get(most);
        q_ = Gains<Real>(st_, number_, st_.work.forward).collect(first, step, active_, g_, a_);
        return q_ > 0;
    }

    // Pre-activations less the scores to beat, and the length of the weights in steps.
    void prepare() {
        s_ = st_.work.slope.get(q_);
        trial_ = st_.work.trial.get(q_);
        for (Index r = 0; r < q_; ++r) a_[r] = b_ - a_[r];
        ColumnSum<Signal> sum(q_, a_, interrupt_);
        length_ = 0.0;
        for (Index j = 0; j < n_; ++j) {
            if (w_[j] == 0.0) continue;
            columns_->add_to(sum, w_[j], j);
            length_ = std::max(length_, scale(j) > 0.0 ? std::fabs(w_[j]) / scale(j) : 0.0);
        }
        if (!(1e-200 < length_ && length_ < 1e200)) length_ = 1.0;
    }

    // A direction with a shift of the bias, and the best step along it; or a jump of a few integer weights, with the
    // best bias for it.
    void try_move() {
        if (!choose()) return;
        slopes();
        const double* base = a_;
        double t = 0.0;
        if (jump_) {
            double* jumped = st_.work.jumped.get(q_);
            loops::move(q_, a_, 1.0, s_, jumped);
            base = jumped;
            loops::fill(q_, 1.0, s_);
        }
        Line line{q_, base, s_, g_};
        if (integer_ && count_ > 0 && !jump_) {
            Index j = chosen_[0];
            t = lattice_search(line, least(j) - w_[j], choices(j), random_, st_.work.jumped).t;
        } else if (!jump_ || st_.intercept) {
            Interval best = st_.work.line.minimise(line, integer_, random_, *interrupt_);
            t = integer_ ? integer_step(best) : allowed(real_step(best));
        }
        if (jump_ || t != 0.0) accept(base, t);
    }

    // The values that an integer weight may have: the least one, and how many.
    double least(Index j) const { return sign_[j] > 0 ? 0.0 : static_cast<double>(-st_.bound); }
    Index choices(Index j) const { return sign_[j] != 0 ? st_.bound + 1 : 2 * st_.bound + 1; }

    // The part of a step along which weights keep their signs.
    double allowed(double t) const {
        for (Index c = 0; c < count_; ++c) {
            Index j = chosen_[c];
            if (j >= 0 && sign_[j] * (w_[j] + t * v_[c]) < 0.0) t = v_[c] != 0.0 ? -w_[j] / v_[c] : 0.0;
        }
        return t;
    }

    // Take from a direction of several weights what those at 0 may not do, or every step along it would be 0.
    void keep_signs() {
        for (Index c = 0; c < count_ && count_ > 1; ++c) {
            Index j = chosen_[c];
            if (j >= 0 && w_[j] == 0.0 && sign_[j] * v_[c] < 0.0) v_[c] = 0.0;
        }
    }

    void slopes() {
        loops::fill(q_, shift_, s_);
        ColumnSum<Signal> sum(q_, s_, interrupt_);
        for (Index c = 0; c < count_; ++c)
            if (chosen_[c] >= 0) columns_->add_to(sum, v_[c], chosen_[c]);
    }

    // Choose weights, how they move, and how the bias moves with them; false if nothing can.
    bool choose() {
        count_ = 0;
        jump_ = integer_ && n_ > 0 && random_.uniform() < effort_.spread;
        if (jump_)
            choose_jump();
        else if (n_ == 0 || integer_ || random_.uniform() >= effort_.spread)
            choose_coordinate();
        else
            choose_several();
        if (count_ == 0 && !st_.intercept) return false;
        bool bends = INPUTS && !integer_ && st_.intercept && n_ > 1;
        if (bends && count_ > 1 && random_.uniform() < SMOOTHED) {
            choose_newton();
            keep_signs();
            return true;
        }
        for (Index c = 0; c < count_; ++c) choose_value(c);
        if (!integer_) keep_signs();
        shift_ = count_ == 0 ? 1.0 : 0.0;
        if (count_ > 0 && !integer_ && st_.intercept) turn_about_a_point();
        return true;
    }

    void choose_jump() {
        double u = random_.uniform();
        count_ = std::min<Index>(n_, 1 + static_cast<Index>(3.0 * (u * u)));
        for (Index c = 0; c < count_; ++c) chosen_[c] = random_.below(n_);
    }

    // The next of all coordinates and the bias, in random order.
    void choose_coordinate() {
        if (next_ > n_) {
            next_ = 0;
            for (Index j = n_; j > 0; --j) std::swap(order_[j], order_[random_.below(j + 1)]);
        }
        Index j = order_[next_++];
        if (j < n_) chosen_[0] = j, count_ = 1;
    }

    void choose_several() {
        bool all = random_.uniform() < 0.15;
        count_ = all ? n_ : std::min<Index>(n_, 2 + static_cast<Index>(3.0 * random_.uniform()));
        for (Index c = 0; c < count_; ++c) chosen_[c] = count_ == n_ ? c : random_.below(n_);
    }

    void choose_newton() {
        if constexpr (INPUTS) {
            count_ = n_ <= MOST_FEATURES ? n_ : FEW_FEATURES;
            for (Index c = 0; c < count_; ++c) {
                std::swap(pool_[c], pool_[c + random_.below(n_ - c)]);
                chosen_[c] = pool_[c];
            }
            // as wide as the nearest of a few or many points is away from the boundary
            Smoothing smoothing{std::numeric_limits<double>::infinity(), 0, 0.0};
            for (Index few = static_cast<Index>(std::exp2(6.0 * random_.uniform())); few > 0; --few)
                smoothing.width = std::min(smoothing.width, std::fabs(a_[random_.below(q_)]));
            smoothing.start = random_.below(q_);
            // compilers replace powers of constants by functions that round otherwise: 10^-4u
            smoothing.ridge = std::exp(-9.210340371976182 * random_.uniform());
            std::vector<double> median(count_), unit(count_);
            for (Index c = 0; c < count_; ++c) median[c] = middle(chosen_[c]), unit[c] = scale(chosen_[c]);
            auto column = [this](Index c) { return columns_->values(chosen_[c]); };
            st_.work.newton.find(count_, q_, column, median.data(), unit.data(), a_, g_, smoothing, newton_.data());
            for (Index c = 0; c < count_; ++c) v_[c] = newton_[c];
            shift_ = newton_[count_];
        }
    }

    // How much a chosen weight moves; one that was drawn twice moves once.
    void choose_value(Index c) {
        Index j = chosen_[c];
        for (Index other = 0; other < c; ++other)
            if (chosen_[other] == j) chosen_[c] = -1;
        if (chosen_[c] < 0) return;
        if (jump_)
            v_[c] = std::floor(random_.uniform() * static_cast<double>(choices(j))) + least(j) - w_[j];
        else if (integer_)
            v_[c] = 1.0;
        else
            v_[c] = scale(j) * (count_ == 1 ? 1.0 : random_.normal());
    }

    // Let the bias move so that the boundary stays at a point, or in the middle of all.
    void turn_about_a_point() {
        Index pivot = random_.uniform() < 0.5 ? random_.below(q_) : -1;
        for (Index c = 0; c < count_; ++c) {
            Index j = chosen_[c];
            if (j >= 0) shift_ -= v_[c] * (pivot < 0 ? middle(j) : static_cast<double>(columns_->at(j, pivot)));
        }
    }

    double real_step(const Interval& best) {
        constexpr double INFINITE = std::numeric_limits<double>::infinity();
        if (best.left == -INFINITE)
            return best.right > 0.0 ? 0.0 : best.right - length_ * (0.5 + random_.uniform());
        if (best.right == INFINITE) return best.left < 0.0 ? 0.0 : best.left + length_ * (0.5 + random_.uniform());
        // near the middle but in no special position, so that no other point lies exactly on the threshold
        return best.left + (0.4 + 0.2 * random_.uniform()) * (best.right - best.left);
    }

    // Go there unless the objective grows: rounding may move a point across.
    void accept(const double* base, double t) {
        double then = loops::move_and_sum(q_, base, t, s_, g_, trial_);
        if (!(then <= now_)) return;
        now_ = then;
        std::swap(a_, trial_);
        for (Index c = 0; c < count_; ++c)
            if (Index j = chosen_[c]; j >= 0) {
                w_[j] += (jump_ ? 1.0 : t) * v_[c];
                if (sign_[j] * w_[j] < 0.0) w_[j] = 0.0;  // by rounding; the whole loss is computed again at the end
            }
        b_ += jump_ ? t : t * shift_;
        changed_ = true;
    }

    // Bring the weights near 1, on scaled inputs, by a power of two: no sign changes.
    void normalize() {
        double size = 0.0;
        for (Index j = 0; j < n_; ++j)
            if (scale(j) > 0.0) size = std::max(size, std::fabs(w_[j]) / scale(j));
        if (!(1e-200 < size && size < 1e200 && (size > 4.0 || size < 0.25))) return;
        double factor = std::ldexp(1.0, -static_cast<int>(std::floor(std::log2(size))));
        for (Index j = 0; j < n_; ++j) w_[j] *= factor;
        b_ *= factor;
    }

    State<Real>& st_;
    Layers::Place neuron_;
    Index number_;
    Effort effort_;
    Random random_;
    Index n_;  // inputs of the neuron
    double* w_;
    const std::int8_t* sign_;
    double& b_;
    bool integer_;

    // the points at which it matters
    Index q_ = 0;
    std::int32_t* active_ = nullptr;
    double *g_ = nullptr, *a_ = nullptr, *s_ = nullptr, *trial_ = nullptr;
    Columns<Signal>* columns_ = nullptr;
    Interrupt* interrupt_ = nullptr;
    double length_ = 1.0, now_ = 0.0;
    bool changed_ = false;

    // the move that is tried
    bool jump_ = false;
    Index count_ = 0;
    double shift_ = 0.0;
    std::vector<Index> order_, pool_, chosen_;
    Index next_;
    std::vector<double> v_, newton_;
};

// As ImproveNeuron::run; with no moves, everything is brought up to date after a change of the neuron (-1: of all).
// What an interrupt left halfway is evaluated first; what that changes was never returned.
template <class Real>
double improve_neuron(State<Real>& st, Index neuron, Effort effort, Interrupt& interrupt) {
    if (st.halfway && neuron >= 0) update(st, -1, interrupt);
    if (effort.moves == 0) return update(st, neuron, interrupt);
    if (st.points == 0) return 0.0;
    if (st.layers.place(neuron).layer == 0) return ImproveNeuron<Real, Real>(st, neuron, effort).run(interrupt);
    return ImproveNeuron<Real, std::uint8_t>(st, neuron, effort).run(interrupt);
}

}  // namespace bdnn::search
