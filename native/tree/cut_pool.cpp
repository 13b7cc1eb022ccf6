#include "tree/cut_pool.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bdnn::tree {

namespace {

// Sums and products modulo 2^64, as two's complement: they are right if the true result fits, and nothing breaks if not.
std::int64_t wrapped(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::int64_t plus(std::int64_t a, std::int64_t b) { return wrapped(bits(a) + bits(b)); }
std::int64_t minus(std::int64_t a, std::int64_t b) { return wrapped(bits(a) - bits(b)); }
std::int64_t times(std::int64_t a, std::int64_t b) { return wrapped(bits(a) * bits(b)); }

double magnitude(std::int64_t a, std::int64_t b) { return std::fabs(static_cast<double>(a) * static_cast<double>(b)); }

}  // namespace

CutPool::CutPool(std::span<const std::int64_t> cost, std::size_t capacity)
    : cost_(cost.begin(), cost.end()), label_(capacity, -1), free_(capacity), multipliers_(capacity) {
    for (std::size_t k = 0; k < capacity; ++k) free_[k] = capacity - 1 - k;
}

// A hash of what the row says (G. Fowler, L. C. Noll and K.-P. Vo, by words).
std::uint64_t CutPool::key(const Row& row) const {
    std::uint64_t hash = 14695981039346656037ULL;
    const auto mix = [&](std::int64_t value) {
        hash = (hash ^ bits(value)) * 1099511628211ULL;
        hash ^= hash >> 32;
    };
    mix(row.rhs);
    for (const std::int64_t column : row.columns) mix(column);
    for (const std::int64_t value : row.values) mix(value);
    return hash;
}

std::int64_t CutPool::add(
    std::span<const std::int64_t> columns, std::span<const std::int64_t> values, std::int64_t rhs) {
    const std::uint64_t hash = key({columns, values, rhs});
    const auto [first, last] = known_.equal_range(hash);
    for (auto each = first; each != last; ++each) {
        const Row old = (*this)[each->second];
        if (old.rhs == rhs && std::ranges::equal(old.columns, columns) && std::ranges::equal(old.values, values))
            return -1;
    }
    const std::size_t label = size();
    known_.emplace(hash, label);
    columns_.insert(columns_.end(), columns.begin(), columns.end());
    values_.insert(values_.end(), values.begin(), values.end());
    starts_.push_back(static_cast<std::int64_t>(columns_.size()));
    rhs_.push_back(rhs);
    plain_.push_back(std::ranges::all_of(values, [](std::int64_t value) { return value == 1; }));
    slot_.push_back(OUTSIDE);
    sure_.push_back(false);
    return static_cast<std::int64_t>(label);
}

void CutPool::add_set(std::span<const std::int64_t> members, const std::int64_t* columns_of, std::size_t n,
                      std::int64_t always, std::span<std::int64_t> labels) {
    const Integers ones(members.size(), 1);
    Integers columns(members.size());
    for (std::size_t neuron = 0; neuron < n; ++neuron) {
        for (std::size_t k = 0; k < members.size(); ++k)
            columns[k] = columns_of[static_cast<std::size_t>(members[k]) * n + neuron];
        std::ranges::sort(columns);
        labels[neuron] = columns.empty() || columns.back() == always ? -2 : add(columns, ones, 1);
    }
}

std::size_t CutPool::enter(lp::Dictionary& D, std::span<const std::int64_t> labels) {
    std::vector<double> factors;
    std::size_t count = 0;
    for (const std::int64_t each : labels) {
        if (free_.empty()) break;
        const auto label = static_cast<std::size_t>(each);
        const Row row = (*this)[label];
        factors.assign(row.values.begin(), row.values.end());
        const std::size_t slot = free_.back();
        if (D.holds(slot) || D.rows() == D.capacity()) throw std::invalid_argument("the program has rows of others");
        D.add_row(slot, row.columns, factors, static_cast<double>(row.rhs));
        free_.pop_back();
        slot_[label] = static_cast<std::int64_t>(slot);
        label_[slot] = each;
        ++count;
    }
    return count;
}

void CutPool::drop(lp::Dictionary& D, double least) {
    Integers dropped(capacity());
    dropped.resize(D.drop_slack_rows(least, dropped));
    for (const std::int64_t each : dropped) {
        const auto slot = static_cast<std::size_t>(each);
        if (label_[slot] < 0) continue;  // a row of others
        slot_[static_cast<std::size_t>(label_[slot])] = OUTSIDE;
        label_[slot] = -1;
        free_.push_back(slot);
    }
}

void CutPool::discard(lp::Dictionary& D, std::span<const std::int64_t> labels) {
    for (const std::int64_t each : labels) {
        const auto label = static_cast<std::size_t>(each);
        if (slot_[label] >= 0 && slot_[label] < GONE) {
            label_[static_cast<std::size_t>(slot_[label])] = -1;
            free_.push_back(static_cast<std::size_t>(slot_[label]));
        }
        slot_[label] = GONE;
    }
    rebuild(D);
}

bool CutPool::rebuild(lp::Dictionary& D) const {
    Integers held, starts{0}, columns;
    std::vector<double> values, rhs;
    for (std::size_t slot = 0; slot < capacity(); ++slot) {
        rhs.push_back(0.0);
        if (label_[slot] >= 0) {
            const Row row = (*this)[static_cast<std::size_t>(label_[slot])];
            held.push_back(static_cast<std::int64_t>(slot));
            columns.insert(columns.end(), row.columns.begin(), row.columns.end());
            values.insert(values.end(), row.values.begin(), row.values.end());
            rhs.back() = static_cast<double>(row.rhs);
        }
        starts.push_back(static_cast<std::int64_t>(columns.size()));
    }
    return D.rebuild({held, starts, columns, values, rhs});
}

double CutPool::gap(std::size_t label, const double* x) const {
    const Row row = (*this)[label];
    const std::size_t n = row.columns.size();
    double lanes[4] = {};  // sums that do not wait for each other
    std::size_t e = 0;
    if (plain_[label]) {
        for (; e + 4 <= n; e += 4)
            for (std::size_t l = 0; l < 4; ++l) lanes[l] += x[row.columns[e + l]];
        for (; e < n; ++e) lanes[e % 4] += x[row.columns[e]];
    } else {
        for (; e < n; ++e) lanes[e % 4] += static_cast<double>(row.values[e]) * x[row.columns[e]];
    }
    return ((lanes[0] + lanes[2]) + (lanes[1] + lanes[3])) - static_cast<double>(row.rhs);
}

Integers CutPool::violated(std::span<const double> x, double least, std::size_t most) const {
    struct Found {
        double gap;
        std::int64_t label;
    };
    std::vector<Found> found;
    for (std::size_t label = 0; label < size(); ++label) {
        if (slot_[label] != OUTSIDE) continue;
        const double by = gap(label, x.data());
        if (by < -least) found.push_back({by, static_cast<std::int64_t>(label)});
    }
    if (found.size() > most) {
        const auto worse = [](const Found& a, const Found& b) {
            return a.gap < b.gap || (a.gap == b.gap && a.label < b.label);
        };
        std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(most), found.end(), worse);
        found.resize(most);
    }
    Integers labels;
    for (const Found& each : found) labels.push_back(each.label);
    std::ranges::sort(labels);
    return labels;
}

CutPool::Bound CutPool::bound(lp::Dictionary& D, double farkas, double unit, std::int64_t scale,
                              std::span<const double> lower, std::span<const double> upper) {
    D.multipliers(farkas / unit, multipliers_);
    const double factor = static_cast<double>(scale) * unit;
    Bound found;
    found.valid = true;
    for (std::size_t slot = 0; slot < capacity(); ++slot) {
        if (!(multipliers_[slot] > 0.25 / factor) || label_[slot] < 0) continue;
        const double rounded = std::nearbyint(multipliers_[slot] * factor);
        found.labels.push_back(label_[slot]);
        found.valid = found.valid && rounded < LARGEST;
        found.multipliers.push_back(rounded < LARGEST ? static_cast<std::int64_t>(rounded) : 0);
    }
    found.valid = found.valid && add_up(found, scale, lower, upper);
    if (!found.valid) {
        found.total = -(std::int64_t{1} << 62);
        found.reduced.assign(columns(), 0);
    }
    return found;
}

// Compute reduced costs and the bound, both times the scale; return whether they are exact.
bool CutPool::add_up(
    Bound& bound, std::int64_t scale, std::span<const double> lower, std::span<const double> upper) const {
    Integers& reduced = bound.reduced;
    double size = 0.0, constant = 0.0, reach = 1.0;
    reduced.resize(columns());
    for (std::size_t j = 0; j < columns(); ++j) {
        reduced[j] = times(scale, cost_[j]);
        size += magnitude(scale, cost_[j]);
        reach = std::max({reach, std::fabs(lower[j]), std::fabs(upper[j])});
    }
    for (std::size_t k = 0; k < bound.labels.size(); ++k) {
        const Row row = (*this)[static_cast<std::size_t>(bound.labels[k])];
        const std::int64_t multiplier = bound.multipliers[k];
        bound.total = plus(bound.total, times(multiplier, row.rhs));
        constant += magnitude(multiplier, row.rhs);
        for (std::size_t e = 0; e < row.columns.size(); ++e) {
            std::int64_t& mine = reduced[static_cast<std::size_t>(row.columns[e])];
            mine = minus(mine, times(multiplier, row.values[e]));
            size += magnitude(multiplier, row.values[e]);
        }
    }
    if (!(constant + size * reach <= LARGEST)) return false;
    for (std::size_t j = 0; j < columns(); ++j)
        bound.total = plus(bound.total, std::min(times(reduced[j], static_cast<std::int64_t>(lower[j])),
                                                 times(reduced[j], static_cast<std::int64_t>(upper[j]))));
    return true;
}

lp::Outcome CutPool::solve(lp::Dictionary& D, const Question& question, Poll& poll) {
    std::ranges::copy(question.lower, D.lower.begin());
    std::ranges::copy(question.upper, D.upper.begin());
    if (D.pivots() > question.fresh) rebuild(D);
    D.settle();
    const lp::Outcome outcome = D.solve(question.cutoff, question.pivots, poll);
    if (outcome == lp::Outcome::UNFINISHED) rebuild(D);
    const double farkas = outcome == lp::Outcome::INFEASIBLE ? question.farkas : 0.0;
    last_ = bound(D, farkas, question.unit, question.scale, question.lower, question.upper);
    return outcome;
}

Integers CutPool::unsure() const {
    Integers labels;
    for (const std::int64_t label : last_.labels)
        if (!sure_[static_cast<std::size_t>(label)]) labels.push_back(label);
    return labels;
}

}  // namespace bdnn::tree
