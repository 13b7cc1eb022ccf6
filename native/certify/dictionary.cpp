#include "certify/dictionary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/vector_loops.hpp"

namespace bdnn::certify {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr double FEASIBLE = 1e-9;   // violations of bounds that do not count
constexpr double PIVOT = 1e-9;      // smallest pivots
constexpr double DUAL = 1e-11;      // ratios that are taken to be equal
constexpr double NOISE = 1e-6;      // gaps that may be rounding errors
constexpr double VANISHED = 1e-13;  // coefficients that are rounding errors
constexpr double SOUND = 1e-7;      // pivots and reduced costs of a basis that is taken over

std::size_t padded(std::size_t n) { return (n + 7) / 8 * 8; }

}  // namespace

Dictionary::Dictionary(std::vector<double> cost, std::size_t labels)
    : v_(cost.size()),
      stride_(padded(v_)),
      T_(labels * stride_),
      nonbasic_(v_),
      place_(v_ + labels),
      x_(v_ + labels),
      lower_(v_ + labels),
      upper_(v_ + labels, INFINITE),
      cost_(cost),
      d_(std::move(cost)),
      room_(v_),
      side_(v_, 1.0),
      steps_(v_) {
    for (std::size_t j = 0; j < v_; ++j) {
        nonbasic_[j] = j;
        place_[j] = static_cast<std::ptrdiff_t>(j);
        upper_[j] = 1.0;
    }
    constant_.reserve(labels);
    norm_.reserve(labels);
    basic_.reserve(labels);
    ratios_.reserve(v_);
    d_.resize(stride_);
}

void Dictionary::set_costs(std::size_t count, double cost) {
    std::fill_n(cost_.begin(), count, cost);
    for (std::size_t j = 0; j < v_; ++j) d_[j] = nonbasic_[j] < v_ ? cost_[nonbasic_[j]] : 0.0;
    for (std::size_t i = 0; i < rows(); ++i)
        if (basic_[i] < v_ && cost_[basic_[i]] != 0.0) loops::add_scaled(d_.data(), cost_[basic_[i]], row(i), v_);
}

void Dictionary::add_row(
    std::size_t label, std::span<const double> values, double rhs, std::ptrdiff_t at, double extra) {
    const std::size_t i = rows();
    double* mine = row(i);
    std::fill_n(mine, stride_, 0.0);
    double constant = -rhs;
    const auto add = [&](std::size_t column, double a) {
        const std::ptrdiff_t place = place_[column];
        if (place >= 0) {
            mine[place] += a;
        } else if (a != 0.0) {
            const auto other = static_cast<std::size_t>(-1 - place);
            constant += a * constant_[other];
            loops::add_scaled(mine, a, row(other), v_);
        }
    };
    for (std::size_t j = 0; j < values.size(); ++j) add(j, values[j]);
    if (at != ABSENT) add(static_cast<std::size_t>(at), extra);
    double value = constant;
    for (std::size_t j = 0; j < v_; ++j) {
        if (std::fabs(mine[j]) < VANISHED) mine[j] = 0.0;
        value += mine[j] * x_[nonbasic_[j]];
    }
    const std::size_t variable = slack(label);
    constant_.push_back(constant);
    basic_.push_back(variable);
    norm_.push_back(1.0 + loops::dot(mine, mine, v_));
    place_[variable] = -1 - static_cast<std::ptrdiff_t>(i);
    bound(variable, 0.0, INFINITE);
    x_[variable] = value;
}

std::ptrdiff_t Dictionary::drop_slackest(std::size_t first) {
    std::ptrdiff_t slackest = ABSENT;
    double most = 0.0;
    for (std::size_t i = 0; i < rows(); ++i)
        if (basic_[i] >= slack(first) && x_[basic_[i]] > most) {
            slackest = static_cast<std::ptrdiff_t>(i);
            most = x_[basic_[i]];
        }
    if (slackest == ABSENT) return ABSENT;
    const auto gone = static_cast<std::size_t>(slackest);
    const std::size_t last = rows() - 1, label = basic_[gone] - v_;
    if (gone != last) {
        std::copy_n(row(last), stride_, row(gone));
        constant_[gone] = constant_[last];
        norm_[gone] = norm_[last];
        basic_[gone] = basic_[last];
        place_[basic_[gone]] = -1 - slackest;
    }
    constant_.pop_back();
    norm_.pop_back();
    basic_.pop_back();
    return static_cast<std::ptrdiff_t>(label);
}

Outcome Dictionary::solve(double cutoff, std::size_t most, Poll& poll) {
    settle();
    poll.spent(rows() * v_);
    return dual_simplex(cutoff, most, poll);
}

void Dictionary::place_nonbasic(std::size_t j) {
    const std::size_t variable = nonbasic_[j];
    const double low = lower_[variable], high = upper_[variable];
    room_[j] = high - low;
    // as at the lower end where both are the same
    side_[j] = x_[variable] == high ? -1.0 : 1.0;
}

// Put non-basic variables at the bound that suits their reduced cost; recompute basic values and the objective.
void Dictionary::settle() {
    for (std::size_t j = 0; j < v_; ++j) {
        const std::size_t variable = nonbasic_[j];
        x_[variable] = upper_[variable] < INFINITE && d_[j] < 0.0 ? upper_[variable] : lower_[variable];
        place_nonbasic(j);
        steps_[j] = x_[variable];
    }
    for (std::size_t i = 0; i < rows(); ++i) x_[basic_[i]] = constant_[i] + loops::dot(row(i), steps_.data(), v_);
    objective_ = loops::dot(cost_.data(), x_.data(), v_);
}

// The row that is farthest outside of its bounds, in units of its length (steepest edge).
Dictionary::Leaving Dictionary::leaving() const {
    Leaving found{ABSENT, true};
    double worst = 0.0;
    for (std::size_t i = 0; i < rows(); ++i) {
        const std::size_t variable = basic_[i];
        const double value = x_[variable], under = lower_[variable] - value, over = value - upper_[variable];
        const double gap = over > under ? over : under;
        if (!(gap > FEASIBLE)) continue;
        const double score = gap * gap / norm_[i];
        if (score > worst) {
            worst = score;
            found = {static_cast<std::ptrdiff_t>(i), !(over > under)};
        }
    }
    return found;
}

// Columns that close the gap when they leave their bound, with the rise of the dual at which they would.
void Dictionary::collect_ratios(const double* row, double sign) {
    where_.resize(v_);
    std::size_t count = 0;
    for (std::size_t j = 0; j < v_; ++j) {
        const double t = sign * row[j] * side_[j];  // how fast the gap closes
        where_[count] = j;
        count += static_cast<std::size_t>(t > PIVOT) & static_cast<std::size_t>(room_[j] > 0.0);
    }
    ratios_.resize(count);
    for (std::size_t k = 0; k < count; ++k) {
        const std::size_t j = where_[k];
        const double d = d_[j] * side_[j];
        ratios_[k] = {(d > 0.0 ? d : 0.0) / std::fabs(row[j]), j};
    }
}

// The column to enter: those whose whole box does not close the gap are flipped, in the order of their ratios.
Dictionary::Entering Dictionary::entering(const double* row, double sign, double missing) {
    collect_ratios(row, sign);
    // one order only, whatever library sorts
    const auto later = [](const Ratio& a, const Ratio& b) {
        return a.ratio > b.ratio || (a.ratio == b.ratio && a.column > b.column);
    };
    bool heaped = false;
    auto end = ratios_.end();
    while (end != ratios_.begin()) {
        double limit;
        auto first = ratios_.begin();
        if (!heaped) {
            // the first group is found without any order, and most often there is no other
            const auto least = std::min_element(first, end, [](const Ratio& a, const Ratio& b) { return a.ratio < b.ratio; });
            limit = least->ratio + DUAL * (1.0 + least->ratio);
            first = end;
            for (auto each = end; each != ratios_.begin();)
                if (!((--each)->ratio > limit)) std::iter_swap(each, --first);
        } else {
            limit = first->ratio + DUAL * (1.0 + first->ratio);
            auto from = end;
            while (from != ratios_.begin() && ratios_.front().ratio <= limit)
                std::pop_heap(ratios_.begin(), from--, later);
            first = from;
        }
        // `first` to `end`: columns of about the same ratio; none if it is no number
        if (first == end) return {ABSENT, missing};
        std::ptrdiff_t chosen = ABSENT;
        double gain = 0.0, size = 0.0;
        for (auto each = first; each != end; ++each) {
            const double t = std::fabs(row[each->column]);
            gain += t * room_[each->column];
            if (t > size) {
                size = t;
                chosen = static_cast<std::ptrdiff_t>(each->column);
            }
        }
        // else a flip could close the gap and leave nothing to pivot on
        if (!(gain < missing - NOISE)) return {chosen, missing};
        for (auto each = first; each != end; ++each) {
            missing -= std::fabs(row[each->column]) * room_[each->column];
            flip(each->column);
        }
        end = first;
        if (!heaped) {
            std::make_heap(ratios_.begin(), end, later);
            heaped = true;
        }
    }
    return {ABSENT, missing};
}

void Dictionary::flip(std::size_t j) {
    const std::size_t variable = nonbasic_[j];
    const bool up = side_[j] > 0.0;
    const double step = up ? room_[j] : -room_[j];
    x_[variable] = up ? upper_[variable] : lower_[variable];
    side_[j] = -side_[j];
    objective_ += d_[j] * step;
    flipped_.push_back(j);
    steps_[j] = step;
}

void Dictionary::apply_flips() {
    if (flipped_.empty()) return;
    for (std::size_t i = 0; i < rows(); ++i) {
        const double* mine = row(i);
        double moved = 0.0;
        for (std::size_t j : flipped_) moved += mine[j] * steps_[j];
        x_[basic_[i]] += moved;
    }
    flipped_.clear();
}

void Dictionary::move(std::size_t column, double step) {
    for (std::size_t i = 0; i < rows(); ++i) x_[basic_[i]] += row(i)[column] * step;
    x_[nonbasic_[column]] += step;
    objective_ += d_[column] * step;
}

Outcome Dictionary::dual_simplex(double cutoff, std::size_t most, Poll& poll) {
    for (std::size_t turn = 0; turn < most; ++turn) {
        if (objective_ > cutoff) return Outcome::CUT_OFF;
        const Leaving out = leaving();
        if (out.row == ABSENT) return Outcome::OPTIMAL;
        const auto r = static_cast<std::size_t>(out.row);
        const std::size_t variable = basic_[r];
        const double bound = out.below ? lower_[variable] : upper_[variable];
        const Entering in = entering(row(r), out.below ? 1.0 : -1.0, std::fabs(x_[variable] - bound));
        apply_flips();
        poll.spent(rows() * v_);
        if (in.column == ABSENT) {
            if (in.missing <= NOISE) {
                x_[variable] = bound;  // rounding errors, not a contradiction
                continue;
            }
            infeasible_ = out;
            return Outcome::INFEASIBLE;
        }
        const auto s = static_cast<std::size_t>(in.column);
        move(s, (bound - x_[variable]) / row(r)[s]);
        x_[variable] = bound;
        pivot(r, s);
        place_nonbasic(s);
    }
    return Outcome::UNFINISHED;
}

// Exchange the basic variable of row r with the non-basic one of column s.
void Dictionary::pivot(std::size_t r, std::size_t s) {
    double* main = row(r);
    const double inverse = 1.0 / main[s];
    main[s] = 0.0;
    where_.resize(v_);
    std::size_t count = 0;
    for (std::size_t j = 0; j < v_; ++j) {
        const double t = -main[j] * inverse;
        main[j] = std::fabs(t) < VANISHED ? 0.0 : t;
        where_[count] = j;
        count += static_cast<std::size_t>(main[j] != 0.0);
    }
    where_.resize(count);
    const bool dense = 3 * count > v_;
    main[s] = inverse;
    constant_[r] *= -inverse;
    norm_[r] = 1.0 + loops::dot(main, main, v_);
    for (std::size_t i = 0; i < rows(); ++i) {
        double* mine = row(i);
        const double a = mine[s];
        if (i == r || a == 0.0) continue;
        constant_[i] += a * constant_[r];
        mine[s] = 0.0;
        if (dense) {
            norm_[i] = 1.0 + loops::add_scaled_squares(mine, a, main, v_);
        } else {
            for (std::size_t j : where_) mine[j] += a * main[j];
            mine[s] = a * inverse;
            norm_[i] = 1.0 + loops::dot(mine, mine, v_);
        }
    }
    const double a = d_[s];
    d_[s] = 0.0;
    if (a != 0.0) {
        for (std::size_t j : where_) d_[j] += a * main[j];
        d_[s] = a * inverse;
    }
    std::swap(basic_[r], nonbasic_[s]);
    place_[basic_[r]] = -1 - static_cast<std::ptrdiff_t>(r);
    place_[nonbasic_[s]] = static_cast<std::ptrdiff_t>(s);
}

void Dictionary::rebuild(const double* A, const double* rhs, std::size_t count, Poll& poll) {
    std::vector<bool> enters(v_), leaves(x_.size());
    for (std::size_t variable : basic_)
        if (variable < v_) enters[variable] = true;
    for (std::size_t variable : nonbasic_)
        if (variable >= v_) leaves[variable] = true;
    const std::vector<double> kept = x_, low = lower_, high = upper_;
    basic_.clear();
    constant_.clear();
    norm_.clear();
    for (std::size_t j = 0; j < v_; ++j) {
        nonbasic_[j] = j;
        place_[j] = static_cast<std::ptrdiff_t>(j);
        d_[j] = cost_[j];
    }
    for (std::size_t i = 0; i < count; ++i) add_row(i, {A + i * v_, v_}, rhs[i]);
    for (std::size_t j = 0; j < v_; ++j) {
        if (!enters[j]) continue;
        std::ptrdiff_t r = ABSENT;
        double largest = SOUND;
        for (std::size_t i = 0; i < count; ++i) {
            if (basic_[i] < v_ || !leaves[basic_[i]]) continue;
            const double size = std::fabs(row(i)[place_[j]]);
            if (size > largest) {
                r = static_cast<std::ptrdiff_t>(i);
                largest = size;
            }
        }
        if (r == ABSENT) continue;
        leaves[basic_[static_cast<std::size_t>(r)]] = false;
        pivot(static_cast<std::size_t>(r), static_cast<std::size_t>(place_[j]));
        poll.spent(count * v_);
    }
    x_ = kept;
    lower_ = low;
    upper_ = high;
    for (std::size_t j = 0; j < v_; ++j)
        if (nonbasic_[j] >= v_ && d_[j] < 0.0 && d_[j] > -SOUND) d_[j] = 0.0;
}

void Dictionary::multipliers(double farkas, std::span<double> out) const {
    std::fill(out.begin(), out.end(), 0.0);
    const auto write = [&](std::size_t variable, double value) {
        if (variable >= v_ && variable - v_ < out.size() && value > 0.0) out[variable - v_] = value;
    };
    if (!(farkas > 0.0)) {
        for (std::size_t j = 0; j < v_; ++j) write(nonbasic_[j], d_[j]);
        return;
    }
    const auto r = static_cast<std::size_t>(infeasible_.row);
    const bool below = infeasible_.below;
    const std::size_t variable = basic_[r];
    const double gap = below ? lower_[variable] - x_[variable] : x_[variable] - upper_[variable];
    const double strength = farkas / std::max(gap, NOISE);
    const double* mine = row(r);
    for (std::size_t j = 0; j < v_; ++j) write(nonbasic_[j], strength * (below ? -mine[j] : mine[j]));
    if (below) write(variable, strength);
}

void Dictionary::infeasible_combination(std::span<double> out) const {
    std::fill(out.begin(), out.end(), 0.0);
    const auto r = static_cast<std::size_t>(infeasible_.row);
    const double side = infeasible_.below ? 1.0 : -1.0;
    double top = 0.0;
    const auto write = [&](std::size_t variable, double value) {
        if (variable < v_ || variable - v_ >= out.size()) return;
        out[variable - v_] = value;
        top = std::max(top, std::fabs(value));
    };
    for (std::size_t j = 0; j < v_; ++j) write(nonbasic_[j], -side * row(r)[j]);
    write(basic_[r], side);
    for (double& factor : out) factor /= std::max(top, 1e-300);
}

Dictionary::Penalties Dictionary::penalties(std::size_t variable) const {
    const auto r = static_cast<std::size_t>(-1 - place_[variable]);
    const loops::Pair least = loops::least_ratios(row(r), d_.data(), room_.data(), side_.data(), PIVOT, v_);
    const double fraction = x_[variable] - std::floor(x_[variable]);
    return {least.first * fraction, least.second * (1.0 - fraction)};
}

}  // namespace bdnn::certify
