// The bounded dual simplex method of `Dictionary`, and its pivots.
#include <algorithm>
#include <cmath>

#include "lp/dictionary.hpp"
#include "lp/loops.hpp"
#include "lp/tolerances.hpp"

namespace bdnn::lp {

namespace {

constexpr double FEASIBLE = 1e-9;   // violations of bounds that do not count
constexpr double DUAL = 1e-11;      // ratios that are taken to be equal
constexpr double AGREED = 1e-7;     // pivots from a row and from a column may differ by so much
constexpr double CANCELLED = 1e-6;  // a length that has shrunk to this part has too few digits left

}  // namespace

// While a program is solved, basic variables are held by row, and by column which way non-basic ones may go.
class Dictionary::Session {
  public:
    explicit Session(Dictionary& D) : D_(D) { load(); }
    ~Session() { store(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void load() {
        for (std::size_t i = 0; i < D_.rows(); ++i) {
            const std::size_t variable = spot(D_.basic[i]);
            D_.value_[i] = D_.x[variable];
            D_.low_[i] = D_.lower[variable];
            D_.high_[i] = D_.upper[variable];
        }
        for (std::size_t j = 0; j < D_.v_; ++j) D_.note_side(j);
    }
    void store() {
        for (std::size_t i = 0; i < D_.rows(); ++i) D_.x[spot(D_.basic[i])] = D_.value_[i];
    }

  private:
    Dictionary& D_;
};

// Note where the variable of a column may go: 1 up from its lower bound, -1 down from its upper one, 0 nowhere.
void Dictionary::note_side(std::size_t j) {
    const std::size_t variable = spot(nonbasic[j]);
    side_[j] = x[variable] == upper[variable] ? -1.0 : 1.0;
    if (!(room(j) > 0.0)) side_[j] = 0.0;
}

Outcome Dictionary::solve(double cutoff, std::size_t most, Poll& poll) {
    Session session(*this);
    for (std::size_t turn = 0; turn < most; ++turn) {
        poll.spent(k_ * k_ + 16 * rows() + 4 * v_);
        if (state[OBJECTIVE] > cutoff) return Outcome::CUT_OFF;
        if (poll.stopped()) break;
        const Leaving leaving = most_violated();
        if (leaving.row < 0) return Outcome::OPTIMAL;
        const std::size_t r = spot(leaving.row);
        row(r);
        double missing = leaving.missing;
        const Index entering = choose_entering(leaving.below ? 1.0 : -1.0, missing);
        flip();
        if (entering < 0) {
            if (missing > NOISE) {
                state[FARKAS] = static_cast<double>(leaving.below ? leaving.row : -1 - leaving.row);
                return Outcome::INFEASIBLE;
            }
            value_[r] = leaving.bound;  // rounding errors, not a contradiction
            continue;
        }
        const Step unit{spot(entering), 1.0};
        direction_of({&unit, 1});
        if (std::fabs(direction_[r] - alpha_[unit.column]) > AGREED * (1.0 + std::fabs(alpha_[unit.column])) &&
            stale_ > 0) {
            reinvert();
            session.load();
            continue;
        }
        pivot(r, unit.column, leaving.bound);
    }
    return Outcome::UNFINISHED;
}

// The row that is farthest outside of its bounds, in units of its length (steepest edge).
Dictionary::Leaving Dictionary::most_violated() {
    const double worst =
        loops::score(value_.data(), low_.data(), high_.data(), norm.data(), rows(), FEASIBLE, score_.data());
    if (!(worst > 0.0)) return {-1, true, 0.0, 0.0};
    std::size_t r = 0;
    while (score_[r] != worst) ++r;
    const bool below = !(value_[r] - high_[r] > low_[r] - value_[r]);
    const double bound = below ? low_[r] : high_[r];
    return {static_cast<Index>(r), below, bound, std::fabs(value_[r] - bound)};
}

// Choose the column that enters, the largest pivot of those with the least ratio, after passing columns whose whole box
// does not close the gap: these are to be flipped. Return -1 if there is none.
Index Dictionary::choose_entering(double sign, double& missing) {
    flips_.clear();
    double least = loops::ratios(alpha_.data(), side_.data(), d.data(), v_, sign, PIVOT, slope_.data(), ratio_.data());
    while (least < INFINITE) {
        const double limit = least + DUAL * (1.0 + least);
        double gain = 0.0, largest = 0.0;
        Index chosen = -1;
        group_.clear();
        for (std::size_t j = 0; j < v_; ++j) {
            if (!(ratio_[j] <= limit)) continue;
            group_.push_back(j);
            gain += slope_[j] * room(j);
            if (slope_[j] > largest) {
                largest = slope_[j];
                chosen = static_cast<Index>(j);
            }
        }
        // else a flip could close the gap and leave nothing to pivot on
        if (!(gain < missing - NOISE)) return chosen;
        for (const std::size_t j : group_) {
            flips_.push_back({j, side_[j] * room(j)});
            missing -= slope_[j] * room(j);
            ratio_[j] = INFINITE;
        }
        least = loops::minimum(ratio_.data(), v_);
    }
    return -1;
}

// Put the variables of `flips_` at their other bounds.
void Dictionary::flip() {
    if (flips_.empty()) return;
    direction_of(flips_);
    loops::add_scaled(value_.data(), 1.0, direction_.data(), rows());
    for (const Step& step : flips_) {
        const std::size_t variable = spot(nonbasic[step.column]);
        x[variable] = step.length > 0.0 ? upper[variable] : lower[variable];
        side_[step.column] = -side_[step.column];
        state[OBJECTIVE] += d[step.column] * step.length;
    }
}

// ---------------------------------------------------------------------------------------------- pivots

// Move the basic variable of row r to a bound and let the non-basic one of column s take its place; rho_, alpha_, y_ and
// direction_ are theirs.
void Dictionary::pivot(std::size_t r, std::size_t s, double bound) {
    const double step = (bound - value_[r]) / alpha_[s];
    const std::size_t leaving = spot(basic[r]), entering = spot(nonbasic[s]);
    loops::add_scaled(value_.data(), step, direction_.data(), rows());
    value_[r] = x[entering] + step;
    low_[r] = lower[entering];
    high_[r] = upper[entering];
    x[leaving] = bound;
    state[OBJECTIVE] += d[s] * step;
    exchange(r, s);
    note_side(s);
}

void Dictionary::exchange(std::size_t r, std::size_t s) {
    const double pivot = alpha_[s];
    subtract_from_inverse(basic[r], pivot);
    update_weights(r, pivot);
    const double rate = d[s] / pivot;
    if (rate != 0.0) loops::add_scaled(d.data(), -rate, alpha_.data(), v_);
    d[s] = rate;
    swap_in_basis(r, s, pivot);
    for (const std::size_t i : imprecise_) norm[i] = weight(i);
    state[PIVOTS] += 1.0;
    stale_ += 1;
}

// Subtract from each row of the inverse its multiple of rho_; the row that leaves stays.
void Dictionary::subtract_from_inverse(Index leaving, double pivot) {
    loops::divide(factor_.data(), y_.data(), pivot, k_);
    if (!is_slack(leaving)) factor_[spot(inside_[spot(leaving)])] = 0.0;
    loops::subtract_outer(G_.data(), stride_, k_, loops::padded(k_), factor_.data(), rho_.data(), tau_.data());
}

// Update the squared lengths of the rows of the inverse of the basis matrix (Forrest and Goldfarb), which has rho_, and
// -1 at the row itself if its slack is basic.
void Dictionary::update_weights(std::size_t r, double pivot) {
    const bool slack_leaves = is_slack(basic[r]);
    const double length = loops::dot(rho_.data(), rho_.data(), loops::padded(k_)) + (slack_leaves ? 1.0 : 0.0);
    std::fill(dense_.begin(), dense_.end(), 0.0);
    imprecise_.clear();
    for (std::size_t p = 0; p < k_; ++p) {
        const std::size_t variable = spot(inner_row_[p]), i = spot(-1 - place[variable]);
        dense_[variable] = tau_[p];
        const double f = factor_[p], before = norm[i] + f * f * length;
        norm[i] = before - 2.0 * f * tau_[p];
        if (!(norm[i] > CANCELLED * before)) imprecise_.push_back(i);
    }
    for (const std::size_t i : loose_) {
        const double f = direction_[i] / pivot;
        if (f == 0.0 || i == r) continue;
        const double tau = product((*store_)[label_of(basic[i])], dense_.data());
        norm[i] = std::max(norm[i] + f * (f * length - 2.0 * tau), 1.0);
    }
    norm[r] = std::max(length / (pivot * pivot), TINY);
}

// Let the basic variable of row r and the non-basic one of column s change places.
void Dictionary::swap_in_basis(std::size_t r, std::size_t s, double pivot) {
    const Index leaving = basic[r], entering = nonbasic[s];
    const std::size_t gone = spot(inside_[spot(leaving)]), came = spot(inside_[spot(entering)]);
    const bool slack_leaves = is_slack(leaving), slack_enters = is_slack(entering);
    if (slack_leaves && slack_enters) {
        put_column(came, leaving);
    } else if (slack_leaves) {
        tighten(r);
        if (k_ == room_) grow();
        put_row(k_, entering, pivot);
        put_column(k_, leaving);
        inverse_row(k_)[k_] = 1.0 / pivot;
        k_ += 1;
    } else if (slack_enters) {
        drop_row(gone);
        drop_column(came);
        loosen(r);
        k_ -= 1;
    } else {
        put_row(gone, entering, pivot);
    }
    basic[r] = entering;
    nonbasic[s] = leaving;
    place[spot(entering)] = -1 - static_cast<Index>(r);
    place[spot(leaving)] = static_cast<Index>(s);
    source_[s] = slack_leaves ? v_ + spot(inside_[spot(leaving)]) : spot(leaving);
}

// Write the row of a column that has become basic.
void Dictionary::put_row(std::size_t p, Index variable, double pivot) {
    double* mine = inverse_row(p);
    for (std::size_t t = 0; t < k_; ++t) mine[t] = -rho_[t] / pivot;
    std::fill(mine + k_, mine + stride_, 0.0);
    inner_row_[p] = variable;
    inside_[spot(variable)] = static_cast<Index>(p);
}

// Write the column of a row whose slack has left the basis, except for what `put_row` writes.
void Dictionary::put_column(std::size_t t, Index variable) {
    for (std::size_t p = 0; p < k_; ++p) inverse_row(p)[t] = factor_[p];
    inner_column_[t] = variable;
    inside_[spot(variable)] = static_cast<Index>(t);
}

void Dictionary::drop_row(std::size_t p) {
    const std::size_t last = k_ - 1;
    if (p == last) return;
    std::copy_n(inverse_row(last), stride_, inverse_row(p));
    inner_row_[p] = inner_row_[last];
    inside_[spot(inner_row_[p])] = static_cast<Index>(p);
}

void Dictionary::drop_column(std::size_t t) {
    const std::size_t last = k_ - 1;
    for (std::size_t p = 0; p < last; ++p) {
        double* mine = inverse_row(p);
        mine[t] = mine[last];
        mine[last] = 0.0;
    }
    inner_column_[t] = inner_column_[last];
    inside_[spot(inner_column_[t])] = static_cast<Index>(t);
    source_[spot(place[spot(inner_column_[t])])] = v_ + t;
}

// Make room for more rows and columns of the inverse.
void Dictionary::grow() {
    const std::size_t wider = std::min(loops::padded(std::max<std::size_t>(2 * k_, 32)), rho_.size());
    std::vector<double> larger(wider * wider);
    for (std::size_t p = 0; p < k_; ++p) std::copy_n(inverse_row(p), k_, larger.data() + p * wider);
    G_.swap(larger);
    stride_ = room_ = wider;
}

}  // namespace bdnn::lp
