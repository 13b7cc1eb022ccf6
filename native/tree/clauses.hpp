// Clauses over columns of 0 and 1 beside a limit on what they cost: conflict-driven search, which either finds columns
// that meet all clauses or shows, by clauses learned from conflicts, that there are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "poll.hpp"

namespace bdnn::tree {

// Twice the column, plus one if the column is to be 0.
using Literal = std::uint32_t;

inline constexpr Literal negated(Literal literal) { return literal ^ 1U; }
inline constexpr std::size_t column_of(Literal literal) { return literal >> 1U; }
inline constexpr bool is_negative(Literal literal) { return (literal & 1U) != 0; }

// In place of the number of a clause: the limit on costs.
inline constexpr std::int32_t BY_COST = -1;

// Lists of numbers, one after another.
template <class T>
struct Lists {
    std::vector<T> values;
    std::vector<std::int64_t> ends{0};

    std::size_t size() const { return ends.size() - 1; }
    std::span<const T> operator[](std::size_t k) const {
        return std::span<const T>(values).subspan(
            static_cast<std::size_t>(ends[k]), static_cast<std::size_t>(ends[k + 1] - ends[k]));
    }
    void end() { ends.push_back(static_cast<std::int64_t>(values.size())); }
};

// Why there are no columns that meet all clauses and the limit. Each lemma follows from clauses before it: if all of its
// literals are false, its reasons, one after another, leave one literal each that is not false, and the last leaves none.
// Reasons are numbers: BY_COST, from 0 on those of `given`, then those of the lemmas. The last lemma is empty.
struct Refutation {
    std::vector<std::int64_t> given;  // numbers of the clauses, as they were added, that lemmas rest on; ascending
    Lists<Literal> lemmas;
    Lists<std::int32_t> reasons;
};

enum class Outcome { UNDECIDED = -1, REFUTED = 0, MODEL = 1 };

class Clauses {
  public:
    // Columns that are 1 cost at most `most` in all; costs are not negative.
    Clauses(std::span<const std::int64_t> cost, std::int64_t most);

    std::size_t columns() const { return cost_.size(); }
    // Clauses that were given, and all numbers that are kept of them and of what was learned.
    std::size_t given() const { return n_given_; }
    std::size_t numbers() const { return log_.values.size() + reasons_log_.values.size(); }
    std::int64_t conflicts() const { return n_conflicts_; }
    bool refuted() const { return refuted_; }

    // Add a clause of different columns; its number is that of the clauses before it.
    void add(std::span<const Literal> literals);

    // Search until there are columns, a refutation, so many more conflicts, or `poll` says no.
    Outcome solve(std::int64_t most_conflicts, Poll& poll);

    // The columns that were found; before, what each of them was last.
    std::vector<bool> columns_on() const;

    // Why there are none.
    Refutation refutation() const;

  private:
    using Index = std::int32_t;
    static constexpr Index NONE = -2;

    struct Clause {
        std::size_t begin;  // of its literals in `memory_`, the watched ones first
        std::uint32_t size;
        std::uint32_t depth;  // levels of decisions that its literals were of when it was learned, 0 if it was given
        Index number;
    };
    struct Watch {
        Index clause;
        Literal other;  // if it is true, the clause need not be looked at
    };

    bool is_true(Literal literal) const { return values_[literal] > 0; }
    bool is_false(Literal literal) const { return values_[literal] < 0; }
    std::size_t level() const { return level_starts_.size(); }
    std::span<Literal> literals_of(const Clause& clause) { return {memory_.data() + clause.begin, clause.size}; }

    Index keep(std::span<const Literal> literals, Index number, std::uint32_t depth);
    void watch(Index clause);
    void assign(Literal literal, Index reason);
    Index propagate(Poll& poll);
    Index propagate_clauses(Literal made_false);
    Index propagate_cost();
    void undo(std::size_t level);
    void decide();

    // conflicts
    void antecedents(Index reason, Literal implied, std::vector<Literal>& into);
    void learn(Index conflict);
    void collect(Index conflict);
    void shorten();
    bool is_redundant(Literal literal);
    std::uint32_t count_levels();
    void install();
    void refute(Index conflict);
    Index log(std::span<const Literal> literals);
    void note_units();
    Index number_of(Index reason) const { return reason == BY_COST ? BY_COST : clauses_[static_cast<std::size_t>(reason)].number; }

    // columns by activity
    void bump(std::size_t column);
    void decay();
    void push(std::size_t column);
    std::size_t pop();
    void sift_up(std::size_t place);
    void sift_down(std::size_t place);

    void reduce();

    std::vector<std::int64_t> cost_;
    std::int64_t most_, spent_ = 0;
    std::vector<std::uint32_t> costly_;  // columns that cost something, the most first
    std::vector<std::uint32_t> paid_;  // those that are 1, as they became so

    std::vector<std::int8_t> values_;  // of each literal: 1 true, -1 false, 0 open
    std::vector<std::int8_t> phase_;  // of each column, what it was last
    std::vector<Index> reason_, unit_;  // of each column: the clause that implied it, the number of its unit lemma
    std::vector<std::uint32_t> level_, place_;  // of each column: of the decision, and on the trail
    std::vector<Literal> trail_;
    std::vector<std::size_t> level_starts_;
    std::size_t head_ = 0, noted_ = 0;

    std::vector<Literal> memory_;
    std::vector<Clause> clauses_;
    std::vector<std::vector<Watch>> watches_;  // of each literal: clauses to look at when it becomes false
    std::vector<std::uint32_t> learned_;

    Lists<Literal> log_;  // all clauses by number, given or learned
    Lists<std::int32_t> reasons_log_;  // of each of them, its reasons; none for given ones
    std::vector<bool> is_given_;
    std::size_t n_given_ = 0;
    bool refuted_ = false;
    Index empty_ = NONE;  // the number of the last lemma

    // scratch of an analysis
    std::vector<bool> seen_;
    std::vector<Literal> lemma_, around_;
    std::vector<std::uint32_t> used_;  // places on the trail of the literals whose reasons were used
    std::vector<Index> unit_reasons_;
    std::vector<std::uint32_t> touched_;

    std::vector<double> activity_;
    std::vector<std::uint32_t> heap_;
    std::vector<std::int64_t> heap_place_;
    double increment_ = 1.0;
    std::int64_t n_conflicts_ = 0, next_reduction_ = 0;
};

// Whether a refutation is one, for given clauses in the order of `Refutation::given`.
bool holds(std::span<const std::int64_t> cost, std::int64_t most, const Lists<Literal>& given,
           const Refutation& refutation);

}  // namespace bdnn::tree
