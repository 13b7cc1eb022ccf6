// Improve one neuron of a network whose inputs are perturbed; as improve_neuron.hpp.
//
// A neuron's state at a point depends on two numbers, the least and the largest pre-activation on the ball, so its part
// of the loss is again a sum of jumps, with two breakpoints a point. The two numbers are linear along a half-line on which
// no weight changes its sign (norm "inf", grids, layers above the first); for the norms 1 and 2 the reach of the ball is
// taken as linear for the proposal, and what is proposed counts only if the true objective does not grow.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "search/improve_neuron.hpp"
#include "search/interval_state.hpp"

namespace bdnn::search {

// Gains of a neuron: of surely firing over being unstable, and of being unstable over surely not firing.
template <class Real>
class IntervalGains {
  public:
    IntervalGains(const IntervalState<Real>& st, Layers::Place neuron)
        : st_(st), neuron_(neuron), forward_(st), zeros_(BLOCK, 0), ones_(BLOCK, 1) {}

    // Collect the points at which these are not both 0, and append the gains; return how many there are, 0 after an
    // interrupt.
    Index collect(std::int32_t* active, double* firing, double* unstable_gain, Interrupt& interrupt) {
        Index q = 0, p = st_.net.points;
        for (Index start = 0; start < p; start += BLOCK) {
            Index m = gather(start, std::min(BLOCK, p - start));
            if (interrupt.wanted(3 * st_.net.layers.neurons() * m)) return 0;
            for (int state = 0; state < 3; ++state) evaluate(state, m);
            const std::int32_t* points = points_.get(BLOCK + 1);
            for (Index r = 0; r < m; ++r) {
                active[q] = points[r];
                firing[q] = loss_[2].get(BLOCK)[r] - loss_[1].get(BLOCK)[r];
                unstable_gain[q] = loss_[1].get(BLOCK)[r] - loss_[0].get(BLOCK)[r];
                q += firing[q] != 0.0 || unstable_gain[q] != 0.0 ? 1 : 0;
            }
        }
        return q;
    }

  private:
    // The points of a block that count, and the states of the neuron's layer there.
    Index gather(Index start, Index block) {
        std::int32_t* points = points_.get(BLOCK + 1);
        Index m = 0, but = neuron_.layer == 0 ? neuron_.row : -1;
        for (Index i = start; i < start + block; ++i) {
            points[m] = static_cast<std::int32_t>(i);
            m += st_.penalty > 0.0 && unstable(st_, i, but) ? 0 : 1;
        }
        Index width = st_.net.layers.width[neuron_.layer], first = st_.net.layers.first_neuron[neuron_.layer];
        std::uint8_t* copy = copy_.get(2 * width * BLOCK);
        states_.on.resize(width), states_.maybe.resize(width);
        for (Index c = 0; c < width; ++c) {
            loops::gather(m, st_.surely(first + c), points, copy);
            states_.on[c] = copy, copy += m;
            loops::gather(m, st_.perhaps(first + c), points, copy);
            states_.maybe[c] = copy, copy += m;
        }
        return m;
    }

    // Losses with the neuron off (0), unstable (1) or on (2).
    void evaluate(int state, Index m) {
        double* loss = loss_[state].get(BLOCK);
        if (state == 1 && st_.penalty > 0.0 && neuron_.layer == 0 && st_.net.layers.count() > 1) {
            std::fill(loss, loss + m, st_.penalty);
            return;
        }
        states_.on[neuron_.row] = state == 2 ? ones_.data() : zeros_.data();
        states_.maybe[neuron_.row] = state >= 1 ? ones_.data() : zeros_.data();
        forward_.losses(neuron_.layer, states_, points_.get(BLOCK + 1), m, loss);
    }

    const IntervalState<Real>& st_;
    Layers::Place neuron_;
    IntervalForward<Real> forward_;
    std::vector<std::uint8_t> zeros_, ones_;
    States states_;
    Room<double> loss_[3];
    Room<std::uint8_t> copy_;
    Room<std::int32_t> points_;
};

// `Signal` is what the neuron reads: inputs, or the states of the layer below.
template <class Real, class Signal>
class ImproveInterval {
  public:
    ImproveInterval(IntervalState<Real>& st, Index number, Effort effort)
        : st_(st), net_(st.net), neuron_(net_.layers.place(number)), number_(number), effort_(effort),
          random_(&net_.random_state), n_(net_.layers.inputs(neuron_.layer)),
          w_(net_.W.data() + net_.layers.weights_of(neuron_)), b_(net_.b[number]), integer_(net_.bound > 0), v_(n_) {}

    // Return the change of the total loss, never positive but for rounding.
    double run(Interrupt& interrupt) {
        IntervalUpdate<Real> update(st_);
        if (net_.competes(neuron_.layer)) return random_steps(update, interrupt);
        if (!find_points(interrupt)) return 0.0;
        interrupt_ = &interrupt;
        Columns<Signal> low(least_signal(), n_, net_.points, active_, q_, st_.work.columns, interrupt_);
        Columns<Signal> high(greatest_signal(), n_, net_.points, active_, q_, st_.high_columns, interrupt_);
        low_ = &low, high_ = least_signal() == greatest_signal() ? &low : &high;
        const Kept before(w_, n_, b_);
        find_limits(a_);
        now_ = loops::objective(2 * q_, a_, g_);
        for (Index move = 0; move < effort_.moves && !interrupt.wanted(2 * q_); ++move) try_move();
        if (interrupt.stopped()) {  // what the last move computed may be of no use
            before.restore(w_, b_);
            return 0.0;
        }
        if (!changed_) return 0.0;
        return update_or_restore(update, number_, before, w_, b_, interrupt);
    }

  private:
    static constexpr bool INPUTS = !std::is_same_v<Signal, std::uint8_t>;
    static constexpr double INFINITE = std::numeric_limits<double>::infinity();

    const Signal* least_signal() const {
        if constexpr (INPUTS)
            return st_.low;
        else
            return st_.surely(net_.layers.first_neuron[neuron_.layer - 1]);
    }
    const Signal* greatest_signal() const {
        if constexpr (INPUTS)
            return st_.high;
        else
            return st_.perhaps(net_.layers.first_neuron[neuron_.layer - 1]);
    }
    double scale(Index j) const { return INPUTS ? net_.data.scale[j] : 1.0; }
    double middle(Index j) const { return INPUTS ? net_.data.median[j] : 0.5; }

    // Outputs that compete have no state of their own: small random steps, judged by the whole loss.
    double random_steps(IntervalUpdate<Real>& update, Interrupt& interrupt) {
        double total = 0.0;
        for (Index move = std::max<Index>(1, effort_.moves / 8); move > 0 && !interrupt.wanted(net_.points); --move) {
            const Kept before(w_, n_, b_);
            random_step();
            total += update_or_restore(update, number_, before, w_, b_, interrupt);
        }
        return total;
    }

    void random_step() {
        Index j = random_.below(n_ + (net_.intercept ? 1 : 0));
        if (n_ == 0 && !net_.intercept) return;
        double bound = static_cast<double>(net_.bound);
        if (j == n_)
            b_ += integer_ ? std::rint(2.0 * random_.normal()) : random_.normal() * (1.0 + std::fabs(b_) * 0.3);
        else if (integer_)
            w_[j] = std::floor(random_.uniform() * (2.0 * bound + 1.0)) - bound;
        else
            w_[j] += random_.normal() * (std::fabs(w_[j]) + 0.3 * scale(j));
    }

    bool find_points(Interrupt& interrupt) {
        Index p = net_.points;
        active_ = st_.work.active.get(p + 1);
        double* gain = st_.work.gain.get(2 * (p + 1));
        q_ = IntervalGains<Real>(st_, neuron_).collect(active_, gain, gain + p + 1, interrupt);
        std::copy(gain + p + 1, gain + p + 1 + q_, gain + q_);
        g_ = gain;
        a_ = st_.work.sum.get(2 * q_);
        s_ = st_.work.slope.get(2 * q_);
        trial_ = st_.work.trial.get(2 * q_);
        return q_ > 0;
    }

    void find_limits(double* a) {
        auto add = [this](ColumnSum<Signal>& sum, double v, Index j, bool upper) {
            (upper ? high_ : low_)->add_to(sum, v, j);
        };
        limits<Signal>(st_, neuron_, q_, add, a, a + q_, interrupt_);
    }

    // Go along a half-line to its best point, if the objective does not grow.
    void try_move() {
        if (!choose()) return;
        const Kept before(w_, n_, b_);
        move_weights(-start_);
        if (start_ != 0.0)
            find_limits(trial_);
        else
            std::copy(a_, a_ + 2 * q_, trial_);
        slopes();
        double t = best_step();
        if (interrupt_->stopped()) return;
        move_weights(t);
        if (integer_)
            for (Index j = 0; j < n_; ++j) w_[j] = std::rint(w_[j]);
        find_limits(trial_);
        if (interrupt_->stopped()) return;
        double then = loops::objective(2 * q_, trial_, g_);
        if (then <= now_) {
            now_ = then;
            std::swap(a_, trial_);
            changed_ = true;
        } else {
            before.restore(w_, b_);
        }
    }

    void move_weights(double t) {
        for (Index j = 0; j < n_; ++j) w_[j] += t * v_[j];
        b_ += t * shift_;
    }

    // Choose a half-line, where on it the weights are now, and where it ends; false if there is none.
    bool choose() {
        std::fill(v_.begin(), v_.end(), 0.0);
        shift_ = 0.0, start_ = 0.0, farthest_ = INFINITE;
        bias_only_ = n_ == 0 || random_.uniform() < 1.5 / (static_cast<double>(n_) + 1.0);
        if (bias_only_) {
            shift_ = 1.0;
            return net_.intercept;
        }
        if (integer_ || random_.uniform() >= effort_.spread) {
            if (!choose_coordinate()) return false;
        } else {
            choose_several();
        }
        if (!integer_ && net_.intercept) turn_about_a_point();
        return true;
    }

    // From weight 0 to one side.
    bool choose_coordinate() {
        Index j = random_.below(n_);
        v_[j] = (integer_ ? 1.0 : scale(j)) * (random_.uniform() < 0.5 ? 1.0 : -1.0);
        if (v_[j] == 0.0) return false;
        start_ = w_[j] / v_[j];
        if (integer_) farthest_ = static_cast<double>(net_.bound);
        return true;
    }

    // Until the first weight changes its sign.
    void choose_several() {
        bool all = random_.uniform() < 0.15;
        Index count = all ? n_ : std::min<Index>(n_, 2 + static_cast<Index>(3.0 * random_.uniform()));
        for (Index c = 0; c < count; ++c) {
            Index j = count == n_ ? c : random_.below(n_);
            v_[j] = random_.normal() * scale(j);
        }
        for (Index j = 0; j < n_; ++j)
            if (v_[j] * w_[j] < 0.0) farthest_ = std::min(farthest_, -w_[j] / v_[j]);
    }

    // Let the bias move so that the boundary stays at a point, or in the middle of all.
    void turn_about_a_point() {
        Index pivot = random_.uniform() < 0.5 ? random_.below(q_) : -1;
        for (Index j = 0; j < n_; ++j)
            if (v_[j] != 0.0) shift_ -= v_[j] * (pivot < 0 ? middle(j) : static_cast<double>(low_->at(j, pivot)));
    }

    // How fast the bounds move along the half-line.
    void slopes() {
        loops::fill(2 * q_, shift_, s_);
        {
            ColumnSum<Signal> least(q_, s_, interrupt_), most(q_, s_ + q_, interrupt_);
            for (Index j = 0; j < n_; ++j) {
                if (v_[j] == 0.0) continue;
                (grows(j) ? low_ : high_)->add_to(least, v_[j], j);
                (grows(j) ? high_ : low_)->add_to(most, v_[j], j);
            }
        }
        double ball = INPUTS ? ball_slope() : 0.0;
        loops::add(q_, -ball, s_);
        loops::add(q_, ball, s_ + q_);
    }

    // Whether a weight is positive on the half-line.
    bool grows(Index j) const { return w_[j] > 0.0 || (w_[j] == 0.0 && v_[j] > 0.0); }

    double ball_slope() const {
        double reach = ball_reach(st_.norm, n_, w_, st_.radius), ball = 0.0;
        Index largest = 0;
        for (Index j = 1; j < n_; ++j)
            if (std::fabs(w_[j]) * st_.radius[j] > std::fabs(w_[largest]) * st_.radius[largest]) largest = j;
        for (Index j = 0; j < n_; ++j) {
            if (v_[j] == 0.0) continue;
            double outward = (grows(j) ? v_[j] : -v_[j]) * st_.radius[j];
            if (st_.norm == Norm::inf || (st_.norm == Norm::one && j == largest))
                ball += outward;
            else if (st_.norm == Norm::two)
                ball += reach > 0.0 ? v_[j] * w_[j] * (st_.radius[j] * st_.radius[j]) / reach
                                    : std::fabs(v_[j]) * st_.radius[j];
        }
        return ball;
    }

    // How far to go from the beginning of the half-line.
    double best_step() {
        bool jump = integer_ && !bias_only_;
        double t = 0.0;
        if (jump) {
            // a random weight, with the best bias for it
            t = std::floor(random_.uniform() * (farthest_ + 1.0));
            const double* slope = s_;
            loops::add_columns(2 * q_, 1, &t, &slope, trial_);
            loops::fill(2 * q_, 1.0, s_);
            if (!net_.intercept) return t;
        } else if (!bias_only_) {
            leave_out();
        }
        Interval best = st_.work.line.minimise({2 * q_, trial_, s_, g_}, integer_, random_, *interrupt_);
        if (jump) {
            b_ += integer_step(best);
            return t;
        }
        if (!bias_only_) best.left = std::max(best.left, 0.0), best.right = std::min(best.right, farthest_);
        return integer_ ? integer_step(best) : real_step(best);
    }

    // What happens before the half-line begins or after it ends is left out.
    void leave_out() {
        for (Index r = 0; r < 2 * q_; ++r) {
            if (r % PIECE == 0 && interrupt_->wanted(PIECE)) return;
            if (s_[r] == 0.0) continue;
            double t = -trial_[r] / s_[r];
            if (t <= 0.0 || t >= farthest_) s_[r] = 0.0;
        }
    }

    double real_step(const Interval& best) {
        if (best.left == -INFINITE)
            return best.right > 0.0 ? 0.0 : best.right - (0.5 + random_.uniform()) * (1.0 + std::fabs(best.right));
        if (best.right == INFINITE)
            return best.left < start_ ? start_ : best.left + (0.5 + random_.uniform()) * (0.1 + std::fabs(best.left));
        return best.left + (0.4 + 0.2 * random_.uniform()) * (best.right - best.left);
    }

    IntervalState<Real>& st_;
    State<Real>& net_;
    Layers::Place neuron_;
    Index number_;
    Effort effort_;
    Random random_;
    Index n_;  // inputs of the neuron
    double* w_;
    double& b_;
    bool integer_;

    // the points at which it matters: least pre-activations of all, then largest ones
    Index q_ = 0;
    std::int32_t* active_ = nullptr;
    double *g_ = nullptr, *a_ = nullptr, *s_ = nullptr, *trial_ = nullptr;
    Columns<Signal>*low_ = nullptr, *high_ = nullptr;
    Interrupt* interrupt_ = nullptr;
    double now_ = 0.0;
    bool changed_ = false;

    // the half-line that is tried
    bool bias_only_ = false;
    std::vector<double> v_;
    double shift_ = 0.0, start_ = 0.0, farthest_ = INFINITE;
};

// As ImproveInterval::run; with no moves, everything is brought up to date after a change of the neuron (-1: of all),
// and first what an interrupt left halfway.
template <class Real>
double improve_neuron(IntervalState<Real>& st, Index neuron, Effort effort, Interrupt& interrupt) {
    if (st.halfway && neuron >= 0) IntervalUpdate<Real>(st).run(-1, interrupt);
    if (effort.moves == 0) return IntervalUpdate<Real>(st).run(neuron, interrupt);
    if (st.net.points == 0) return 0.0;
    if (st.net.layers.place(neuron).layer == 0) return ImproveInterval<Real, Real>(st, neuron, effort).run(interrupt);
    return ImproveInterval<Real, std::uint8_t>(st, neuron, effort).run(interrupt);
}

}  // namespace bdnn::search
