// What is learned from conflicts, and what each lemma rests on.
#include <algorithm>

#include "tree/clauses.hpp"

namespace bdnn::tree {

namespace {

// learned clauses that are kept in any case; conflicts until some are dropped, and how many more each time
constexpr std::uint32_t SHALLOW = 3;
constexpr std::int64_t FIRST_REDUCTION = 4000, LATER_REDUCTION = 1000;

}  // namespace

Clauses::Index Clauses::log(std::span<const Literal> literals) {
    log_.values.insert(log_.values.end(), literals.begin(), literals.end());
    log_.end();
    is_given_.push_back(false);
    return static_cast<Index>(log_.size()) - 1;
}

// Put the literals that were false, and so implied one, or were in conflict, into a list.
void Clauses::antecedents(Index reason, Literal implied, std::vector<Literal>& into) {
    into.clear();
    if (reason == BY_COST) {
        const std::uint32_t until = reason_[column_of(implied)] == BY_COST && is_true(implied)
                                        ? place_[column_of(implied)]
                                        : static_cast<std::uint32_t>(trail_.size());
        for (const std::uint32_t column : paid_) {
            if (place_[column] >= until) break;
            into.push_back(static_cast<Literal>(2 * column + 1));
        }
        return;
    }
    for (const Literal literal : literals_of(clauses_[static_cast<std::size_t>(reason)]))
        if (is_false(literal)) into.push_back(literal);
}

void Clauses::learn(Index conflict) {
    collect(conflict);
    shorten();
    for (const std::uint32_t column : touched_) seen_[column] = false;
    touched_.clear();
    std::sort(used_.begin(), used_.end());
    log(lemma_);
    reasons_log_.values.insert(reasons_log_.values.end(), unit_reasons_.begin(), unit_reasons_.end());
    for (const std::uint32_t place : used_) reasons_log_.values.push_back(number_of(reason_[column_of(trail_[place])]));
    reasons_log_.values.push_back(number_of(conflict));
    reasons_log_.end();
    install();
    decay();
}

// The clause of the first unique implication point: one literal of the last level, found last, is first.
void Clauses::collect(Index conflict) {
    lemma_.assign(1, 0);
    used_.clear();
    unit_reasons_.clear();
    std::size_t open = 0, place = trail_.size();
    Index reason = conflict;
    Literal implied = 0;
    while (true) {
        antecedents(reason, implied, around_);
        for (const Literal literal : around_) {
            const std::size_t column = column_of(literal);
            if (seen_[column]) continue;
            seen_[column] = true;
            touched_.push_back(static_cast<std::uint32_t>(column));
            if (level_[column] == 0) {
                unit_reasons_.push_back(unit_[column]);
                continue;
            }
            bump(column);
            if (level_[column] == level())
                ++open;
            else
                lemma_.push_back(literal);
        }
        do --place;
        while (!seen_[column_of(trail_[place])]);
        implied = trail_[place];
        if (--open == 0) break;
        used_.push_back(static_cast<std::uint32_t>(place));
        reason = reason_[column_of(implied)];
    }
    lemma_[0] = negated(implied);
}

// Leave out literals that the others imply.
void Clauses::shorten() {
    const std::size_t size = lemma_.size();
    // a column that is left out stays marked: what it is implied by is in the clause
    std::size_t kept = 1;
    for (std::size_t k = 1; k < size; ++k)
        if (!is_redundant(lemma_[k])) lemma_[kept++] = lemma_[k];
    lemma_.resize(kept);
}

bool Clauses::is_redundant(Literal literal) {
    const std::size_t column = column_of(literal);
    const Index reason = reason_[column];
    if (reason == NONE) return false;
    antecedents(reason, negated(literal), around_);
    for (const Literal other : around_)
        if (!seen_[column_of(other)] && level_[column_of(other)] > 0) return false;
    for (const Literal other : around_) {
        const std::size_t beside = column_of(other);
        if (level_[beside] > 0 || seen_[beside]) continue;
        seen_[beside] = true;
        touched_.push_back(static_cast<std::uint32_t>(beside));
        unit_reasons_.push_back(unit_[beside]);
    }
    used_.push_back(place_[column]);
    return true;
}

std::uint32_t Clauses::count_levels() {
    std::vector<std::uint32_t> levels;
    for (const Literal literal : lemma_) levels.push_back(level_[column_of(literal)]);
    std::sort(levels.begin(), levels.end());
    return static_cast<std::uint32_t>(std::unique(levels.begin(), levels.end()) - levels.begin());
}

// Go back to where the new clause leaves one literal, and take that.
void Clauses::install() {
    const std::uint32_t depth = count_levels();
    std::size_t back = 0;
    if (lemma_.size() > 1) {
        const auto last = std::max_element(lemma_.begin() + 1, lemma_.end(), [&](Literal a, Literal b) {
            return level_[column_of(a)] < level_[column_of(b)];
        });
        back = level_[column_of(*last)];
        std::iter_swap(lemma_.begin() + 1, last);
    }
    undo(back);
    const Index clause = keep(lemma_, static_cast<Index>(log_.size()) - 1, depth);
    learned_.push_back(static_cast<std::uint32_t>(clause));
    if (lemma_.size() > 1) watch(clause);
    assign(lemma_[0], clause);
}

// Make lemmas of one literal of all that is fixed.
void Clauses::note_units() {
    for (; noted_ < trail_.size(); ++noted_) {
        const Literal literal = trail_[noted_];
        const std::size_t column = column_of(literal);
        const Index reason = reason_[column];
        if (reason != BY_COST && clauses_[static_cast<std::size_t>(reason)].size == 1) {
            unit_[column] = clauses_[static_cast<std::size_t>(reason)].number;
            continue;
        }
        antecedents(reason, literal, around_);
        for (const Literal other : around_) reasons_log_.values.push_back(unit_[column_of(other)]);
        reasons_log_.values.push_back(number_of(reason));
        reasons_log_.end();
        unit_[column] = log({&literal, 1});
    }
}

// Learn the empty clause from a conflict where nothing was decided.
void Clauses::refute(Index conflict) {
    note_units();
    antecedents(conflict, 0, around_);
    for (const Literal literal : around_) reasons_log_.values.push_back(unit_[column_of(literal)]);
    reasons_log_.values.push_back(number_of(conflict));
    reasons_log_.end();
    empty_ = log({});
    refuted_ = true;
}

// Drop half of the learned clauses now and then, those of many levels first; nothing is decided, nothing to propagate.
void Clauses::reduce() {
    if (next_reduction_ == 0) next_reduction_ = FIRST_REDUCTION;
    if (n_conflicts_ < next_reduction_) return;
    next_reduction_ = n_conflicts_ + FIRST_REDUCTION + LATER_REDUCTION * (n_conflicts_ / FIRST_REDUCTION);
    std::vector<bool> dropped(clauses_.size());
    std::vector<std::uint32_t> deep;
    for (const std::uint32_t clause : learned_)
        if (clauses_[clause].depth > SHALLOW) deep.push_back(clause);
    std::stable_sort(deep.begin(), deep.end(), [&](auto a, auto b) { return clauses_[a].depth > clauses_[b].depth; });
    for (std::size_t k = 0; k < deep.size() / 2; ++k) dropped[deep[k]] = true;
    for (const Literal literal : trail_) {
        const Index reason = reason_[column_of(literal)];
        if (reason >= 0) dropped[static_cast<std::size_t>(reason)] = false;
    }
    // what remains moves together
    std::vector<Index> renamed(clauses_.size(), NONE);
    std::vector<Clause> clauses;
    std::vector<Literal> memory;
    for (std::size_t k = 0; k < clauses_.size(); ++k) {
        if (dropped[k]) continue;
        renamed[k] = static_cast<Index>(clauses.size());
        const std::span<const Literal> own = literals_of(clauses_[k]);
        Clause moved = clauses_[k];
        moved.begin = memory.size();
        memory.insert(memory.end(), own.begin(), own.end());
        clauses.push_back(moved);
    }
    clauses_ = std::move(clauses);
    memory_ = std::move(memory);
    for (Index& reason : reason_)
        if (reason >= 0) reason = renamed[static_cast<std::size_t>(reason)];
    for (std::vector<Watch>& watching : watches_) {
        std::erase_if(watching, [&](const Watch& each) { return renamed[static_cast<std::size_t>(each.clause)] == NONE; });
        for (Watch& each : watching) each.clause = renamed[static_cast<std::size_t>(each.clause)];
    }
    std::vector<std::uint32_t> learned;
    for (const std::uint32_t clause : learned_)
        if (renamed[clause] != NONE) learned.push_back(static_cast<std::uint32_t>(renamed[clause]));
    learned_ = std::move(learned);
}

// ---------------------------------------------------------------------------------------------------------- refutations

// Of all lemmas only those that the last one rests on.
Refutation Clauses::refutation() const {
    std::vector<bool> needed(log_.size());
    needed[static_cast<std::size_t>(empty_)] = true;
    for (std::size_t k = log_.size(); k-- > 0;) {
        if (!needed[k]) continue;
        for (const std::int32_t reason : reasons_log_[k])
            if (reason != BY_COST) needed[static_cast<std::size_t>(reason)] = true;
    }
    Refutation found;
    std::vector<std::int32_t> renamed(log_.size(), BY_COST);
    std::int64_t order = 0;
    std::int32_t count = 0;
    for (std::size_t k = 0; k < log_.size(); ++k) {
        if (!is_given_[k]) continue;
        if (needed[k]) {
            found.given.push_back(order);
            renamed[k] = count++;
        }
        ++order;
    }
    for (std::size_t k = 0; k < log_.size(); ++k) {
        if (is_given_[k] || !needed[k]) continue;
        renamed[k] = count++;
        const std::span<const Literal> literals = log_[k];
        found.lemmas.values.insert(found.lemmas.values.end(), literals.begin(), literals.end());
        found.lemmas.end();
        for (const std::int32_t reason : reasons_log_[k])
            found.reasons.values.push_back(reason == BY_COST ? BY_COST : renamed[static_cast<std::size_t>(reason)]);
        found.reasons.end();
    }
    return found;
}

namespace {

// What is true if all literals of a lemma are false, reason by reason.
class Consequences {
  public:
    Consequences(std::span<const std::int64_t> cost, std::int64_t most) : cost_(cost), most_(most) {
        values_.resize(2 * cost.size());
    }

    // Whether a lemma follows from its reasons, each of them a clause or the limit.
    template <class ClauseOf>
    bool follow(std::span<const Literal> lemma, std::span<const std::int32_t> reasons, const ClauseOf& clause_of) {
        bool contradicted = false;
        for (const Literal literal : lemma) contradicted |= !take(negated(literal));
        for (const std::int32_t reason : reasons) {
            if (contradicted) break;
            if (reason == BY_COST)
                contradicted = !limit();
            else if (const auto next = single(clause_of(reason)); next.known)
                contradicted = next.none || !take(next.literal);
        }
        for (const Literal literal : trail_) values_[literal] = values_[negated(literal)] = 0;
        trail_.clear();
        spent_ = 0;
        return contradicted;
    }

  private:
    struct Single {
        bool known, none;
        Literal literal;
    };

    // The only literal of a clause that is not false.
    Single single(std::span<const Literal> clause) const {
        Single found{true, true, 0};
        for (const Literal literal : clause) {
            if (values_[literal] < 0) continue;
            if (!found.none) return {false, false, 0};
            found.none = false;
            found.literal = literal;
        }
        return found;
    }

    bool take(Literal literal) {
        if (values_[literal] != 0) return values_[literal] > 0;
        values_[literal] = 1;
        values_[negated(literal)] = -1;
        trail_.push_back(literal);
        if (!is_negative(literal)) spent_ += cost_[column_of(literal)];
        return true;
    }

    bool limit() {
        if (spent_ > most_) return false;
        for (std::size_t j = 0; j < cost_.size(); ++j)
            if (values_[2 * j] == 0 && spent_ + cost_[j] > most_) take(static_cast<Literal>(2 * j + 1));
        return true;
    }

    std::span<const std::int64_t> cost_;
    std::int64_t most_, spent_ = 0;
    std::vector<std::int8_t> values_;
    std::vector<Literal> trail_;
};

}  // namespace

bool holds(std::span<const std::int64_t> cost, std::int64_t most, const Lists<Literal>& given,
           const Refutation& refutation) {
    const Lists<Literal>& lemmas = refutation.lemmas;
    if (lemmas.size() == 0 || lemmas.size() != refutation.reasons.size() || !lemmas[lemmas.size() - 1].empty())
        return false;
    Consequences consequences(cost, most);
    for (std::size_t k = 0; k < lemmas.size(); ++k) {
        const auto before = static_cast<std::int64_t>(given.size() + k);
        for (const std::int32_t reason : refutation.reasons[k])
            if (reason != BY_COST && (reason < 0 || reason >= before)) return false;
        const auto clause_of = [&](std::int32_t reason) {
            const auto number = static_cast<std::size_t>(reason);
            return number < given.size() ? given[number] : lemmas[number - given.size()];
        };
        if (!consequences.follow(lemmas[k], refutation.reasons[k], clause_of)) return false;
    }
    return true;
}

}  // namespace bdnn::tree
