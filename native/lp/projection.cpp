#include "lp/projection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "certify/dictionary.hpp"
#include "certify/vector_loops.hpp"
#include "lp/scatter.hpp"

namespace bdnn::certify {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr std::size_t MOST_PIVOTS = 3000;  // far more than programs of a few hundred columns take
constexpr double SHAKE = 1e-6;             // costs that keep pivots from stalling
constexpr int ATTEMPTS = 4;         // dictionaries made anew; the second is sound but in theory
constexpr double FEASIBLE = 1e-10;  // violations of rows in units of their magnitude
constexpr double SMALL = 1e-300;    // keeps divisors away from 0
constexpr int MOST_TURNS = 60;      // Newton's method on the radius takes a handful
constexpr double GROWN = 1e-13;     // a radius that grows by less does not

// What all norms begin with: the distance of the farthest row alone.
class Projection {
  public:
    Projection(Norm norm, const HalfSpaces& rows, Box box, double stop, Poll& poll)
        : rows_(rows), box_(box), stop_(stop), poll_(poll), support_(norm), point_(rows.n), factors_(rows.k) {
        start();
    }

    bool ended() const { return ended_; }

    Nearest result() { return {std::move(point_), std::move(factors_), radius_}; }

  protected:
    const HalfSpaces rows_;
    const Box box_;
    const double stop_;
    Poll& poll_;
    SupportFunction support_;
    std::vector<double> point_, factors_;
    double radius_ = 0.0;

    bool too_far() const { return radius_ > stop_ || radius_ == INFINITE; }

    // Take over multipliers if they prove a larger distance.
    bool raise(const double* factors) {
        const double further = support_.distance(rows_, factors, box_);
        if (!(further > radius_)) return false;
        radius_ = further;
        std::copy_n(factors, rows_.k, factors_.begin());
        return true;
    }

    // About the largest Σ |w_j e_j| of a row within the radius.
    double magnitude(std::size_t i) { return std::max(support_.magnitude(rows_.row(i), radius_, box_), SMALL); }

  private:
    void start() {
        std::optional<std::size_t> farthest;
        for (std::size_t i = 0; i < rows_.k; ++i) {
            if (!(rows_.alpha[i] < 0.0)) continue;
            const double r = support_.smallest_radius(rows_.row(i), -rows_.alpha[i], box_);
            if (!farthest || r > radius_) {
                radius_ = r;
                farthest = i;
            }
        }
        poll_.spent(rows_.k * rows_.n);
        if (farthest) factors_[*farthest] = 1.0;
        ended_ = !farthest || too_far();
    }

    bool ended_ = false;
};

// A linear program with all rows at hand, whose dictionary is made anew when it has lost digits.
class CheckedProgram {
  public:
    CheckedProgram(std::vector<double> cost, std::size_t k, Poll& poll)
        : poll_(poll), v_(cost.size()), program_(std::move(cost), k), A_(k * v_), rhs_(k) {}

    Dictionary& program() { return program_; }
    double* row(std::size_t i) { return A_.data() + i * v_; }

    void add(std::size_t i, double rhs) {
        rhs_[i] = rhs;
        program_.add_row(i, {row(i), v_}, rhs);
        poll_.spent(v_);
    }

    Outcome solve() {
        Outcome outcome = program_.solve(INFINITE, MOST_PIVOTS, poll_);
        for (int k = 0; k < ATTEMPTS && lost() > FEASIBLE; ++k) {
            program_.rebuild(A_.data(), rhs_.data(), rhs_.size(), poll_);
            outcome = program_.solve(INFINITE, MOST_PIVOTS, poll_);
        }
        return outcome;
    }

  private:
    // The largest difference between a slack and what the row makes of the columns.
    double lost() {
        double most = 0.0;
        for (std::size_t i = 0; i < rhs_.size(); ++i) {
            const double value = loops::dot(row(i), program_.values(), v_) - rhs_[i];
            most = std::max(most, std::fabs(value - program_.value(v_ + i)));
        }
        poll_.spent(A_.size());
        return most;
    }

    Poll& poll_;
    std::size_t v_;
    Dictionary program_;
    std::vector<double> A_, rhs_;
};

class InfProjection : public Projection {
  public:
    using Projection::Projection;

    void run() {
        double violated = INFINITE;
        for (int k = 0; k < ATTEMPTS; ++k) {
            // a dictionary of many pivots has lost digits: with a new one the radius goes on growing
            if (grow()) return;
            const double before = std::exchange(violated, violation());
            if (violated <= FEASIBLE || violated >= before) return;
        }
    }

  private:
    double violation() {
        double most = 0.0;
        for (std::size_t i = 0; i < rows_.k; ++i) {
            const double slack = rows_.alpha[i] + loops::dot(rows_.row(i), point_.data(), rows_.n);
            if (slack < 0.0) most = std::max(most, -slack / magnitude(i));
        }
        return most;
    }

    // Columns: e in units of the radius at hand, and the largest violation in units of the magnitudes of rows.
    CheckedProgram program(const std::vector<double>& size) {
        const std::size_t n = rows_.n, k = rows_.k;
        std::vector<double> cost(n + 1);
        for (std::size_t j = 0; j < n; ++j) {
            cost[j] = SHAKE / static_cast<double>(n) * scatter(j);
        }
        cost[n] = 1.0;
        CheckedProgram checked(std::move(cost), k, poll_);
        Dictionary& D = checked.program();
        double worst = 0.0;
        for (std::size_t i = 0; i < k; ++i) worst = std::max(worst, -rows_.alpha[i] / size[i]);
        limit(D);
        D.bound(n, 0.0, worst + 1.0);
        for (std::size_t i = 0; i < k; ++i) {
            double* row = checked.row(i);
            for (std::size_t j = 0; j < n; ++j) row[j] = rows_.row(i)[j] * (unit_ / size[i]);
            row[n] = 1.0;
            const double rhs = -rows_.alpha[i] / size[i];
            checked.add(i, rhs);
            D.bound(D.slack(i), 0.0, 4.0 * (worst + 4.0) + 2.0 * std::fabs(rhs));
        }
        return checked;
    }

    void limit(Dictionary& D) const {
        for (std::size_t j = 0; j < rows_.n; ++j)
            D.bound(j, std::max(box_.low[j], -radius_) / unit_, std::min(box_.high[j], radius_) / unit_);
    }

    // Let the radius grow by programs in one dictionary; return whether it passed `stop`.
    bool grow() {
        unit_ = radius_;
        std::vector<double> size(rows_.k), out(rows_.k);
        for (std::size_t i = 0; i < rows_.k; ++i) size[i] = magnitude(i);
        CheckedProgram checked = program(size);
        Dictionary& D = checked.program();
        for (int turn = 0; turn < MOST_TURNS; ++turn) {
            // from now on only the violation counts
            if (turn == 1) D.set_costs(rows_.n, 0.0);
            const Outcome outcome = checked.solve();
            D.multipliers(0.0, out);
            double total = 0.0;
            for (std::size_t i = 0; i < rows_.k; ++i) total += out[i] /= size[i];
            if (!(total > 0.0)) {
                if (turn == 0) continue;
                break;
            }
            const double before = radius_;
            if (raise(out.data())) {
                if (too_far()) return true;
                limit(D);
                if (!(radius_ > before * (1.0 + GROWN)) && turn > 1) break;
            } else if (turn > 1 || outcome != Outcome::OPTIMAL) {
                break;
            }
        }
        checked.solve();
        for (std::size_t j = 0; j < rows_.n; ++j) point_[j] = D.value(j) * unit_;
        return false;
    }

    double unit_ = 1.0;
};

class OneProjection : public Projection {
  public:
    using Projection::Projection;

    // Columns: features that go up, and features that go down, in units of the distance of the farthest row.
    void run() {
        const double unit = radius_, certainly = 1e6;  // a bound of infeasible programs beyond any distance in units
        list_columns();
        const std::size_t v = feature_.size(), k = rows_.k;
        CheckedProgram checked(std::vector<double>(v, 1.0), k, poll_);
        Dictionary& D = checked.program();
        for (std::size_t c = 0; c < v; ++c)
            D.bound(c, 0.0, (side_[c] > 0.0 ? box_.high[feature_[c]] : -box_.low[feature_[c]]) / unit);
        std::vector<double> size(k), out(k);
        for (std::size_t i = 0; i < k; ++i) {
            size[i] = magnitude(i);
            for (std::size_t c = 0; c < v; ++c)
                checked.row(i)[c] = side_[c] * rows_.row(i)[feature_[c]] * (unit / size[i]);
            checked.add(i, -rows_.alpha[i] / size[i]);
        }
        const Outcome outcome = checked.solve();
        D.multipliers(outcome == Outcome::INFEASIBLE ? certainly : 0.0, out);
        for (std::size_t i = 0; i < k; ++i) out[i] /= size[i];
        raise(out.data());
        for (std::size_t c = 0; c < v; ++c) point_[feature_[c]] += side_[c] * D.value(c) * unit;
    }

  private:
    void list_columns() {
        for (std::size_t j = 0; j < rows_.n; ++j) {
            if (box_.high[j] > 0.0) {
                feature_.push_back(j);
                side_.push_back(1.0);
            }
            if (box_.low[j] < 0.0) {
                feature_.push_back(j);
                side_.push_back(-1.0);
            }
        }
    }

    std::vector<std::size_t> feature_;
    std::vector<double> side_;
};

// Rows V e + a >= 0 of length 1, and everything in units of the distance of the farthest row. The dual of a point e is
// the least of |e|²/2 - x·(V e + a) over the box, a concave function of x >= 0 whose gradient is -(V e + a).
class TwoProjection : public Projection {
  public:
    using Projection::Projection;

    void run() {
        scale();
        Trial at = trial(std::vector<double>(rows_.k));
        std::vector<double> out(rows_.k), before(rows_.k);
        for (int turn = 0; turn < MOST_NEWTON; ++turn) {
            poll_.spent(4 * rows_.k * rows_.n);
            slacks(at.e);
            if (!find_active(at.x)) break;
            if (!newton_step(at) && !gradient_step(at)) break;
            for (std::size_t i = 0; i < rows_.k; ++i) out[i] = at.x[i] / size_[i];
            if (raise(out.data()) && too_far()) break;
        }
        for (std::size_t j = 0; j < rows_.n; ++j) point_[j] = at.e[j] * unit_;
    }

  private:
    static constexpr int MOST_NEWTON = 200;      // it takes some 10
    static constexpr int MOST_HALVINGS = 60;     // of a Newton step; a gradient step gets a few more
    static constexpr int MOST_RETREATS = 80;
    static constexpr double SOLVED = 1e-13;      // violations in units of the distance
    static constexpr double IMPROVED = 1e-16;    // of the value of the dual
    static constexpr double RIDGE = 1e-14, LEAST_RIDGE = 1e-22;  // keep the Hessian regular

    struct Trial {
        std::vector<double> x, g, e;  // multipliers, V' x, and that in the box
        double value;
    };

    void scale() {
        const std::size_t k = rows_.k, n = rows_.n;
        unit_ = radius_;
        V_.assign(rows_.W, rows_.W + k * n);
        size_.resize(k);
        a_.resize(k);
        slack_.resize(k);
        for (std::size_t i = 0; i < k; ++i) {
            double* row = V_.data() + i * n;
            size_[i] = std::max(std::sqrt(loops::dot(row, row, n)), SMALL);
            for (std::size_t j = 0; j < n; ++j) row[j] /= size_[i];
            a_[i] = rows_.alpha[i] / size_[i] / unit_;
        }
        low_.resize(n);
        high_.resize(n);
        for (std::size_t j = 0; j < n; ++j) {
            low_[j] = box_.low[j] / unit_;
            high_[j] = box_.high[j] / unit_;
        }
        free_.resize(n);
    }

    HalfSpaces unit_rows() const { return {V_.data(), a_.data(), nullptr, rows_.k, rows_.n}; }

    Trial trial(std::vector<double> x) const {
        const std::size_t n = rows_.n;
        Trial made{std::move(x), std::vector<double>(n), std::vector<double>(n), 0.0};
        combine(unit_rows(), made.x.data(), made.g.data());
        loops::clip(made.g.data(), low_.data(), high_.data(), made.e.data(), n);
        // Σ x_i (V_i e) = g·e
        double constant = 0.0;
        for (std::size_t i = 0; i < rows_.k; ++i) constant += made.x[i] * a_[i];
        made.value = 0.5 * loops::dot(made.e.data(), made.e.data(), n) - loops::dot(made.g.data(), made.e.data(), n) - constant;
        return made;
    }

    void slacks(const std::vector<double>& e) {
        for (std::size_t i = 0; i < rows_.k; ++i)
            slack_[i] = a_[i] + loops::dot(V_.data() + i * rows_.n, e.data(), rows_.n);
    }

    // List the rows that count, those with a multiplier or violated; return whether there is something left to do.
    bool find_active(const std::vector<double>& x) {
        active_.clear();
        double worst = 0.0;
        for (std::size_t i = 0; i < rows_.k; ++i) {
            worst = std::max({worst, -slack_[i], slack_[i] > 0.0 ? std::min(x[i], slack_[i]) : 0.0});
            if (slack_[i] < 0.0 || x[i] > 0.0) active_.push_back(i);
        }
        return worst > SOLVED && !active_.empty();
    }

    bool better(const Trial& next, const Trial& at) const {
        return next.value > at.value + IMPROVED * std::fabs(at.value);
    }

    bool newton_step(Trial& at) {
        if (!solve_newton(at.g)) return false;
        double rate = 1.0;
        for (int k = 0; k < MOST_HALVINGS; ++k, rate *= 0.5) {
            std::vector<double> x = at.x;
            for (std::size_t p = 0; p < active_.size(); ++p)
                x[active_[p]] = std::max(0.0, at.x[active_[p]] + rate * step_[p]);
            Trial next = trial(std::move(x));
            poll_.spent(rows_.k * rows_.n);
            if (better(next, at)) {
                at = std::move(next);
                return true;
            }
        }
        return false;
    }

    // The gradient always improves.
    bool gradient_step(Trial& at) {
        double rate = 1.0;
        for (int k = 0; k < MOST_RETREATS; ++k, rate *= 0.5) {
            std::vector<double> x = at.x;
            for (std::size_t i = 0; i < rows_.k; ++i) x[i] = std::max(x[i] - rate * slack_[i], 0.0);
            Trial next = trial(std::move(x));
            poll_.spent(rows_.k * rows_.n);
            if (better(next, at)) {
                at = std::move(next);
                return true;
            }
        }
        return false;
    }

    // Solve H step = -slack for the Hessian H of the active rows over the features that are not at their bounds, by
    // H = L L'; return whether H is positive definite in floating point.
    bool solve_newton(const std::vector<double>& g) {
        const std::size_t count = active_.size(), n = rows_.n;
        loops::inside(g.data(), low_.data(), high_.data(), free_.data(), n);
        std::vector<double>& H = hessian_;
        H.resize(count * count);
        double trace = 0.0;
        for (std::size_t p = 0; p < count; ++p) {
            const double* row = V_.data() + active_[p] * n;
            for (std::size_t q = 0; q <= p; ++q)
                H[p * count + q] = loops::dot_masked(row, V_.data() + active_[q] * n, free_.data(), n);
            trace += H[p * count + p];
            poll_.spent(p * n);
        }
        step_.resize(count);
        for (std::size_t p = 0; p < count; ++p) {
            H[p * count + p] += RIDGE * trace + LEAST_RIDGE;
            step_[p] = -slack_[active_[p]];
        }
        return factorise(count) && substitute(count);
    }

    bool factorise(std::size_t count) {
        double* H = hessian_.data();
        for (std::size_t p = 0; p < count; ++p) {
            for (std::size_t q = 0; q < p; ++q)
                H[p * count + q] = (H[p * count + q] - loops::dot(H + p * count, H + q * count, q)) / H[q * count + q];
            const double left = H[p * count + p] - loops::dot(H + p * count, H + p * count, p);
            if (!(left > 0.0)) return false;
            H[p * count + p] = std::sqrt(left);
        }
        return true;
    }

    bool substitute(std::size_t count) {
        const double* H = hessian_.data();
        for (std::size_t p = 0; p < count; ++p)
            step_[p] = (step_[p] - loops::dot(H + p * count, step_.data(), p)) / H[p * count + p];
        for (std::size_t p = count; p-- > 0;) {
            step_[p] /= H[p * count + p];
            for (std::size_t q = 0; q < p; ++q) step_[q] -= H[p * count + q] * step_[p];
        }
        return std::all_of(step_.begin(), step_.end(), [](double each) { return std::isfinite(each); });
    }

    double unit_ = 1.0;
    std::vector<double> V_, size_, a_, low_, high_, slack_, free_, hessian_, step_;
    std::vector<std::size_t> active_;
};

template <class Method>
Nearest found(Norm norm, const HalfSpaces& rows, Box box, double stop, Poll& poll) {
    Method method(norm, rows, box, stop, poll);
    if (!method.ended()) method.run();
    return method.result();
}

}  // namespace

Nearest nearest(Norm norm, const HalfSpaces& rows, Box box, double stop, Poll& poll) {
    switch (norm) {
        case Norm::INF: return found<InfProjection>(norm, rows, box, stop, poll);
        // a program with costs has no use for a radius to stop at
        case Norm::ONE: return found<OneProjection>(norm, rows, box, INFINITE, poll);
        default: return found<TwoProjection>(norm, rows, box, stop, poll);
    }
}

}  // namespace bdnn::certify
