// Bindings of bdnn._native.tree, clauses and refutations: types, shapes and ranges are checked here.
#include <algorithm>
#include <memory>
#include <vector>

#include "binding_tools.hpp"
#include "guard.hpp"
#include "tree/clauses.hpp"

namespace bdnn {

namespace {

using tree::Literal;
using Clauses = Guarded<tree::Clauses>;

// sums of costs stay far from the end of 64 bits, and numbers of literals within 32
constexpr std::int64_t MOST_COST = std::int64_t{1} << 60;
constexpr std::size_t MOST_COLUMNS = std::size_t{1} << 28;

std::span<const std::int64_t> costs_of(const Vector<const std::int64_t>& cost, std::int64_t most) {
    require(cost.size() < MOST_COLUMNS, "cost", "is too long");
    std::int64_t total = 0;
    for (const std::int64_t each : cost) {
        require(each >= 0 && each < MOST_COST - total, "cost", "must not be negative, and less than 2^60 in all");
        total += each;
    }
    require(most >= 0 && most < MOST_COST, "most", "must be from 0 to below 2^60");
    return span_of(cost);
}

std::vector<Literal> literals_of(const Vector<const std::int64_t>& given, std::size_t columns) {
    given.within(0, static_cast<std::int64_t>(2 * columns), "literals");
    std::vector<Literal> literals(given.begin(), given.end());
    std::vector<Literal> sorted = literals;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t k = 1; k < sorted.size(); ++k)
        require(tree::column_of(sorted[k]) != tree::column_of(sorted[k - 1]), "literals", "must be of different columns");
    return literals;
}

void add_clause(Clauses& clauses, nb::handle object) {
    const Vector<const std::int64_t> literals(object, "literals");
    const Use use(clauses);
    clauses.add(literals_of(literals, clauses.columns()));
}

void add_clause_set(Clauses& clauses, nb::handle members_object, nb::handle columns_object) {
    const Vector<const std::int64_t> members(members_object, "members");
    const Matrix<const std::int64_t> columns(columns_object, "columns");
    members.within(0, static_cast<std::int64_t>(columns.shape(0)), "members");
    const Use use(clauses);
    std::vector<Literal> literals;
    for (std::size_t k = 0; k < columns.shape(1); ++k) {
        literals.clear();
        for (const std::int64_t member : members)
            literals.push_back(static_cast<Literal>(
                2 * within(columns.row(static_cast<std::size_t>(member))[k], clauses.columns(), "columns")));
        std::sort(literals.begin(), literals.end());
        literals.erase(std::unique(literals.begin(), literals.end()), literals.end());
        clauses.add(literals);
    }
}

int solve_clauses(Clauses& clauses, std::int64_t conflicts, nb::object proceed) {
    require(conflicts >= 0 && conflicts < MOST_COST, "conflicts", "must be from 0 to below 2^60");
    const Use use(clauses);
    Signals poll(std::move(proceed));
    Released release;
    return static_cast<int>(clauses.solve(conflicts, poll));
}

nb::tuple refutation(Clauses& clauses) {
    const Use use(clauses);
    require(clauses.refuted(), "clauses", "are not refuted");
    tree::Refutation found;
    {
        const Released release;
        found = clauses.refutation();
    }
    return nb::make_tuple(copied(found.given), copied(Integers(found.lemmas.values.begin(), found.lemmas.values.end())),
                          copied(found.lemmas.ends),
                          copied(Integers(found.reasons.values.begin(), found.reasons.values.end())),
                          copied(found.reasons.ends));
}

// Lists of numbers from `low` to below `high`.
template <class T>
tree::Lists<T> lists(nb::handle values_object, nb::handle ends_object, std::int64_t low, std::int64_t high,
                     const char* name) {
    const Vector<const std::int64_t> values(values_object, name), ends(ends_object, name);
    values.within(low, high, name);
    ends.within(0, static_cast<std::int64_t>(values.size()) + 1, name);
    require(ends.size() > 0 && ends[0] == 0 && ends[ends.size() - 1] == static_cast<std::int64_t>(values.size()), name,
            "must have ends from 0 to the number of values");
    for (std::size_t k = 1; k < ends.size(); ++k) require(ends[k - 1] <= ends[k], name, "must have ends that ascend");
    return {std::vector<T>(values.begin(), values.end()), Integers(ends.begin(), ends.end())};
}

bool refutes(nb::handle cost_object, std::int64_t most, nb::handle given_object, nb::handle given_ends_object,
             nb::handle lemmas_object, nb::handle lemma_ends_object, nb::handle reasons_object,
             nb::handle reason_ends_object) {
    const Vector<const std::int64_t> cost(cost_object, "cost");
    const std::span<const std::int64_t> costs = costs_of(cost, most);
    const auto end = static_cast<std::int64_t>(2 * cost.size());
    const auto given = lists<Literal>(given_object, given_ends_object, 0, end, "given");
    tree::Refutation refutation;
    refutation.lemmas = lists<Literal>(lemmas_object, lemma_ends_object, 0, end, "lemmas");
    refutation.reasons =
        lists<std::int32_t>(reasons_object, reason_ends_object, tree::BY_COST, std::int64_t{1} << 31, "reasons");
    const Released release;
    return tree::holds(costs, most, given, refutation);
}

}  // namespace

void bind_clauses(nb::module_& m) {
    nb::class_<Clauses> type(m, "Clauses", "Clauses over columns of 0 and 1, beside a limit on what they cost.");
    type.def("__init__", [](Clauses* self, nb::handle object, std::int64_t most) {
        const Vector<const std::int64_t> cost(object, "cost");
        const std::unique_ptr<Clauses> made(new Clauses(costs_of(cost, most), most));
        new (self) Clauses(std::move(*made));
    });
    type.def_prop_ro("given", [](const Clauses& clauses) { return clauses.given(); }, "Clauses that were added.");
    type.def_prop_ro("conflicts", [](const Clauses& clauses) { return clauses.conflicts(); }, "Conflicts so far.");
    type.def_prop_ro("numbers", [](const Clauses& clauses) { return clauses.numbers(); },
                     "Literals and reasons that are kept.");
    type.def("add", &add_clause, "Add a clause: twice the column, plus one where it is to be 0.");
    type.def("add_set", &add_clause_set, "Add the clauses of a set of requirements, one for each neuron.");
    type.def("solve", &solve_clauses, nb::arg("conflicts"), nb::arg("proceed") = nb::none());
    type.def("columns_on", [](Clauses& clauses) {
        const Use use(clauses);
        const std::vector<bool> found = clauses.columns_on();
        bool* data = new bool[found.size()];
        std::copy(found.begin(), found.end(), data);
        return owned(data, found.size());
    });
    type.def("refutation", &refutation);
    m.def("refutes", &refutes);
}

}  // namespace bdnn
