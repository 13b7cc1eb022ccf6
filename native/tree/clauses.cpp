// Search and its columns; what is learned from conflicts is in conflicts.cpp.
//
// The method is that of solvers for satisfiability since GRASP (Marques-Silva & Sakallah 1999, doi:10.1109/12.769433) and
// Chaff (Moskewicz et al. 2001, doi:10.1145/378239.379017): two watched literals, clauses from the first unique
// implication point, activities, restarts.
#include "tree/clauses.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace bdnn::tree {

namespace {

constexpr double DECAY = 1.0 / 0.95, LARGEST = 1e100;
constexpr std::int64_t RESTART = 100;  // conflicts, times a term of the sequence of Luby et al.

// 1 1 2 1 1 2 4 1 1 2 1 1 2 4 8 …
std::int64_t luby(std::int64_t k) {
    std::int64_t size = 1;
    int power = 0;
    while (size < k + 1) {
        size = 2 * size + 1;
        ++power;
    }
    while (size - 1 != k) {
        size = (size - 1) / 2;
        --power;
        k %= size;
    }
    return std::int64_t{1} << power;
}

}  // namespace

Clauses::Clauses(std::span<const std::int64_t> cost, std::int64_t most)
    : cost_(cost.begin(), cost.end()), most_(most) {
    const std::size_t v = cost_.size();
    values_.resize(2 * v);
    watches_.resize(2 * v);
    phase_.assign(v, -1);
    reason_.assign(v, NONE);
    unit_.assign(v, NONE);
    level_.resize(v);
    place_.resize(v);
    seen_.resize(v);
    activity_.resize(v);
    heap_place_.assign(v, -1);
    for (std::size_t j = 0; j < v; ++j) {
        push(j);
        if (cost_[j] > 0) costly_.push_back(static_cast<std::uint32_t>(j));
    }
    std::stable_sort(costly_.begin(), costly_.end(), [&](auto a, auto b) { return cost_[a] > cost_[b]; });
}

void Clauses::add(std::span<const Literal> literals) {
    undo(0);
    const Index number = log(literals);
    is_given_[static_cast<std::size_t>(number)] = true;
    ++n_given_;
    reasons_log_.end();
    if (refuted_) return;
    const Index clause = keep(literals, number, 0);
    // those that are open or true first
    const std::span<Literal> own = literals_of(clauses_.back());
    std::stable_partition(own.begin(), own.end(), [&](Literal literal) { return !is_false(literal); });
    if (own.empty() || is_false(own[0])) {
        refute(clause);
        return;
    }
    if (own.size() > 1) watch(clause);
    if ((own.size() == 1 || is_false(own[1])) && !is_true(own[0])) assign(own[0], clause);
}

Outcome Clauses::solve(std::int64_t most_conflicts, Poll& poll) {
    const std::int64_t last = n_conflicts_ + most_conflicts;
    std::int64_t until = n_conflicts_, restarts = 0;
    undo(0);
    while (!refuted_) {
        const Index conflict = propagate(poll);
        if (conflict != NONE) {
            ++n_conflicts_;
            if (level() == 0) {
                refute(conflict);
                break;
            }
            learn(conflict);
            continue;
        }
        if (level() == 0) note_units();
        if (trail_.size() == columns()) return Outcome::MODEL;
        if (n_conflicts_ >= last || poll.stopped()) return Outcome::UNDECIDED;
        if (n_conflicts_ >= until && level() > 0) {
            until = n_conflicts_ + RESTART * luby(restarts++);
            undo(0);
            reduce();
            continue;
        }
        decide();
    }
    return Outcome::REFUTED;
}

std::vector<bool> Clauses::columns_on() const {
    std::vector<bool> found(columns());
    for (std::size_t j = 0; j < columns(); ++j)
        found[j] = values_[2 * j] > 0 || (values_[2 * j] == 0 && phase_[j] > 0);
    return found;
}

// ---------------------------------------------------------------------------------------------------------- the trail

Clauses::Index Clauses::keep(std::span<const Literal> literals, Index number, std::uint32_t depth) {
    clauses_.push_back({memory_.size(), static_cast<std::uint32_t>(literals.size()), depth, number});
    memory_.insert(memory_.end(), literals.begin(), literals.end());
    return static_cast<Index>(clauses_.size()) - 1;
}

void Clauses::watch(Index clause) {
    const std::span<Literal> own = literals_of(clauses_[static_cast<std::size_t>(clause)]);
    watches_[own[0]].push_back({clause, own[1]});
    watches_[own[1]].push_back({clause, own[0]});
}

void Clauses::assign(Literal literal, Index reason) {
    const std::size_t column = column_of(literal);
    values_[literal] = 1;
    values_[negated(literal)] = -1;
    reason_[column] = reason;
    level_[column] = static_cast<std::uint32_t>(level());
    place_[column] = static_cast<std::uint32_t>(trail_.size());
    trail_.push_back(literal);
    if (!is_negative(literal) && cost_[column] > 0) {
        spent_ += cost_[column];
        paid_.push_back(static_cast<std::uint32_t>(column));
    }
}

Clauses::Index Clauses::propagate(Poll& poll) {
    while (true) {
        const Index by_cost = propagate_cost();
        if (by_cost != NONE) return by_cost;
        if (head_ == trail_.size()) return NONE;
        const Literal made_false = negated(trail_[head_]);
        poll.spent(8 + watches_[made_false].size());  // may throw: then this one is still to be done
        ++head_;
        const Index conflict = propagate_clauses(made_false);
        if (conflict != NONE) return conflict;
    }
}

// Columns that cost more than what is left are 0.
Clauses::Index Clauses::propagate_cost() {
    if (spent_ > most_) return BY_COST;
    for (const std::uint32_t column : costly_) {
        if (spent_ + cost_[column] <= most_) break;
        const auto literal = static_cast<Literal>(2 * column);
        if (values_[literal] == 0) assign(negated(literal), BY_COST);
    }
    return NONE;
}

Clauses::Index Clauses::propagate_clauses(Literal made_false) {
    std::vector<Watch>& watching = watches_[made_false];
    std::size_t kept = 0;
    for (std::size_t k = 0; k < watching.size(); ++k) {
        const Watch each = watching[k];
        if (is_true(each.other)) {
            watching[kept++] = each;
            continue;
        }
        const std::span<Literal> own = literals_of(clauses_[static_cast<std::size_t>(each.clause)]);
        if (own[0] == made_false) std::swap(own[0], own[1]);
        std::size_t next = 2;
        while (next < own.size() && is_false(own[next])) ++next;
        if (!is_true(own[0]) && next < own.size()) {
            std::swap(own[1], own[next]);
            watches_[own[1]].push_back({each.clause, own[0]});
            continue;
        }
        watching[kept++] = {each.clause, own[0]};
        if (is_true(own[0])) continue;
        if (is_false(own[0])) {
            while (++k < watching.size()) watching[kept++] = watching[k];
            watching.resize(kept);
            return each.clause;
        }
        assign(own[0], each.clause);
    }
    watching.resize(kept);
    return NONE;
}

void Clauses::undo(std::size_t to) {
    if (level() <= to) return;
    const std::size_t start = level_starts_[to];
    for (std::size_t k = trail_.size(); k-- > start;) {
        const Literal literal = trail_[k];
        const std::size_t column = column_of(literal);
        values_[literal] = values_[negated(literal)] = 0;
        phase_[column] = is_negative(literal) ? -1 : 1;
        reason_[column] = NONE;
        if (!is_negative(literal) && cost_[column] > 0) {
            spent_ -= cost_[column];
            paid_.pop_back();
        }
        if (heap_place_[column] < 0) push(column);
    }
    trail_.resize(start);
    level_starts_.resize(to);
    head_ = start;
}

void Clauses::decide() {
    std::size_t column = pop();
    while (values_[2 * column] != 0) column = pop();
    level_starts_.push_back(trail_.size());
    assign(static_cast<Literal>(2 * column + (phase_[column] < 0 ? 1 : 0)), NONE);
}

// ------------------------------------------------------------------------------------------------- columns by activity

void Clauses::bump(std::size_t column) {
    activity_[column] += increment_;
    if (activity_[column] > LARGEST) {
        for (double& each : activity_) each /= LARGEST;
        increment_ /= LARGEST;
    }
    if (heap_place_[column] >= 0) sift_up(static_cast<std::size_t>(heap_place_[column]));
}

void Clauses::decay() { increment_ *= DECAY; }

void Clauses::push(std::size_t column) {
    heap_.push_back(static_cast<std::uint32_t>(column));
    heap_place_[column] = static_cast<std::int64_t>(heap_.size()) - 1;
    sift_up(heap_.size() - 1);
}

std::size_t Clauses::pop() {
    const std::uint32_t first = heap_.front(), last = heap_.back();
    heap_.pop_back();
    heap_place_[first] = -1;
    if (!heap_.empty()) {
        heap_.front() = last;
        heap_place_[last] = 0;
        sift_down(0);
    }
    return first;
}

void Clauses::sift_up(std::size_t place) {
    const std::uint32_t column = heap_[place];
    while (place > 0 && activity_[heap_[(place - 1) / 2]] < activity_[column]) {
        heap_[place] = heap_[(place - 1) / 2];
        heap_place_[heap_[place]] = static_cast<std::int64_t>(place);
        place = (place - 1) / 2;
    }
    heap_[place] = column;
    heap_place_[column] = static_cast<std::int64_t>(place);
}

void Clauses::sift_down(std::size_t place) {
    const std::uint32_t column = heap_[place];
    while (2 * place + 1 < heap_.size()) {
        std::size_t child = 2 * place + 1;
        if (child + 1 < heap_.size() && activity_[heap_[child + 1]] > activity_[heap_[child]]) ++child;
        if (activity_[heap_[child]] <= activity_[column]) break;
        heap_[place] = heap_[child];
        heap_place_[heap_[place]] = static_cast<std::int64_t>(place);
        place = child;
    }
    heap_[place] = column;
    heap_place_[column] = static_cast<std::int64_t>(place);
}

}  // namespace bdnn::tree
