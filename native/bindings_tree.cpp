// Bindings of bdnn._native.tree, linear programs and cuts: types, shapes and finiteness are checked here.
#include <cmath>
#include <memory>

#include "binding_tools.hpp"
#include "guard.hpp"
#include "lp/dictionary.hpp"
#include "tree/cut_pool.hpp"

namespace bdnn {

void bind_alternatives(nb::module_& m);
void bind_clauses(nb::module_& m);
void bind_exact(nb::module_& m);

namespace {

using lp::Index;

// Programs have no more rows: they are for thousands.
constexpr std::size_t MOST_ROWS = std::size_t{1} << 20;

// ------------------------------------------------------------------------------------------------- linear programs

using Program = Guarded<lp::Dictionary>;

Program* make_program(nb::handle cost_object, std::int64_t capacity, std::int64_t labels) {
    const Vector<const double> cost(cost_object, "cost");
    cost.finite("cost");
    within(capacity, MOST_ROWS, "capacity");
    within(labels, MOST_ROWS, "labels");
    require(cost.size() < MOST, "cost", "is too long");
    return new Program(span_of(cost), static_cast<std::size_t>(capacity), static_cast<std::size_t>(labels));
}

void add_row(Program& D, std::int64_t label_given, nb::handle columns_object, nb::handle values_object, double rhs) {
    const Vector<const std::int64_t> columns(columns_object, "columns");
    const Vector<const double> values(values_object, "values");
    const std::size_t label = within(label_given, D.labels(), "label");
    columns.within(0, static_cast<std::int64_t>(D.columns()), "columns");
    values.sized(0, columns.size(), "values").finite("values");
    require(std::isfinite(rhs), "rhs", "must be finite");
    const Use use(D);
    require(!D.holds(label), "label", "is that of another row");
    require(D.rows() < D.capacity(), "program", "is full");
    D.add_row(label, span_of(columns), span_of(values), rhs);
}

std::size_t drop_slack_rows(Program& D, double least, nb::handle dropped_object) {
    const Vector<std::int64_t> dropped(dropped_object, "dropped");
    const Use use(D);
    require(dropped.size() >= D.rows(), "dropped", "must have room for all rows");
    const Released release;
    return D.drop_slack_rows(least, {dropped.data(), dropped.size()});
}

void settle(Program& D) {
    const Use use(D);
    D.settle();
}

int dual_simplex(Program& D, double cutoff, std::int64_t most, nb::object proceed) {
    const Use use(D);
    Signals poll(std::move(proceed));
    Released release;
    return static_cast<int>(D.solve(cutoff, static_cast<std::size_t>(std::max<std::int64_t>(most, 0)), poll));
}

bool rebuild(Program& D, nb::handle labels_object, nb::handle starts_object, nb::handle columns_object,
             nb::handle values_object, nb::handle rhs_object) {
    const Vector<const std::int64_t> labels(labels_object, "labels"), starts(starts_object, "starts");
    const Vector<const std::int64_t> columns(columns_object, "columns");
    const Vector<const double> values(values_object, "values"), rhs(rhs_object, "rhs");
    columns.within(0, static_cast<std::int64_t>(D.columns()), "columns");
    values.sized(0, columns.size(), "values").finite("values");
    rhs.finite("rhs");
    starts.sized(0, rhs.size() + 1, "starts").within(0, static_cast<std::int64_t>(columns.size()) + 1, "starts");
    for (std::size_t k = 0; k + 1 < starts.size(); ++k) require(starts[k] <= starts[k + 1], "starts", "must ascend");
    labels.within(0, static_cast<std::int64_t>(std::min(D.labels(), rhs.size())), "labels");
    require(labels.size() <= D.capacity(), "labels", "must be no more than the program has room for");
    std::vector<bool> seen(D.labels());
    for (const std::int64_t label : labels) {
        require(!seen[static_cast<std::size_t>(label)], "labels", "must differ");
        seen[static_cast<std::size_t>(label)] = true;
    }
    const Use use(D);
    return D.rebuild({span_of(labels), span_of(starts), span_of(columns), span_of(values), span_of(rhs)});
}

// The row that shows infeasibility may have been changed from Python.
void check_shown_row(const lp::Dictionary& D, double farkas) {
    if (!(farkas > 0.0)) return;
    const double shown = D.state[2], row = shown >= 0.0 ? shown : -1.0 - shown;
    require(row >= 0.0 && row < static_cast<double>(D.rows()) && row == std::floor(row), "state",
            "does not name a row that shows infeasibility");
}

void multipliers(Program& D, double farkas, nb::handle out_object) {
    const Vector<double> out(out_object, "out");
    out.sized(0, D.labels(), "out");
    const Use use(D);
    check_shown_row(D, farkas);
    D.multipliers(farkas, {out.data(), out.size()});
}

nb::tuple penalties(Program& D, std::int64_t r) {
    const Use use(D);
    const lp::Penalties found = D.penalties(within(r, D.rows(), "r"));
    return nb::make_tuple(found.down, found.up);
}

nb::ndarray<nb::numpy, double, nb::ndim<2>> penalties_of(Program& D, nb::handle object) {
    const Vector<const std::int64_t> columns(object, "columns");
    columns.within(0, static_cast<std::int64_t>(D.columns()), "columns");
    const Use use(D);
    for (const std::int64_t column : columns) require(D.place[column] < 0, "columns", "must be basic");
    const std::size_t n = columns.size();
    double* data = new double[2 * n];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<double*>(p); });
    {
        const Released release;
        D.penalties_of(span_of(columns), {data, n}, {data + n, n});
    }
    return nb::ndarray<nb::numpy, double, nb::ndim<2>>(data, {2, n}, owner);
}

void copy_into(Program& target, Program& D) {
    require(target.columns() == D.columns() && target.capacity() == D.capacity() && target.labels() == D.labels(),
            "target", "must have the shape of the program");
    const Use use(D);
    if (&target == &D) return;
    const Use other(target);
    const Released release;
    target.copy_from(D);
}

nb::ndarray<nb::numpy, double, nb::ndim<2>> dictionary_of(Program& D) {
    const Use use(D);
    const std::size_t n = D.rows(), v = D.columns();
    double* data = new double[n * v];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<double*>(p); });
    for (std::size_t r = 0; r < n; ++r) std::copy_n(D.row(r), v, data + r * v);
    return nb::ndarray<nb::numpy, double, nb::ndim<2>>(data, {n, v}, owner);
}

void bind_programs(nb::module_& m) {
    nb::class_<Program> type(m, "Dictionary", "A linear program whose rows come and go, and where its solution stands.");
    type.def("__init__", [](Program* self, nb::handle cost, std::int64_t capacity, std::int64_t labels) {
        const std::unique_ptr<Program> made(make_program(cost, capacity, labels));
        new (self) Program(std::move(*made));
    });
    bind_view<double, &lp::Dictionary::x>(type, "x", "Values of all variables.");
    bind_view<double, &lp::Dictionary::lower>(type, "lower", "Lower bounds of all variables.");
    bind_view<double, &lp::Dictionary::upper>(type, "upper", "Upper bounds of all variables.");
    bind_view<double, &lp::Dictionary::d>(type, "d", "Reduced costs of the non-basic variables.");
    bind_view<const double, &lp::Dictionary::cost>(type, "cost", "The objective.");
    bind_view<const Index, &lp::Dictionary::basic>(type, "basic", "The variable of each row.");
    bind_view<const Index, &lp::Dictionary::nonbasic>(type, "nonbasic", "The variable of each column.");
    bind_view<const Index, &lp::Dictionary::place>(
        type, "place", "Column of a non-basic variable, -1 - row of a basic one.");
    bind_view<const double, &lp::Dictionary::norm>(type, "norm", "Weights of the rows in the choice of pivots.");
    bind_view<const Index, &lp::Dictionary::size>(type, "size", "Rows in use.");
    bind_view<double, &lp::Dictionary::state>(
        type, "state", "Objective, pivots since the program was made, and the row that shows infeasibility.");
    type.def_prop_ro("T", &dictionary_of, nb::rv_policy::move, "Coefficients of the non-basic variables in the basic ones, computed anew.");
    m.def("add_row", &add_row);
    m.def("drop_slack_rows", &drop_slack_rows);
    m.def("settle", &settle);
    m.def("dual_simplex", &dual_simplex, nb::arg("D"), nb::arg("cutoff"), nb::arg("most"),
          nb::arg("proceed") = nb::none());
    m.def("rebuild", &rebuild);
    m.def("multipliers", &multipliers);
    m.def("penalties", &penalties);
    m.def("penalties_of", &penalties_of);
    m.def("copy_into", &copy_into);
}

// ------------------------------------------------------------------------------------------------- rows and exact bounds

using Pool = Guarded<tree::CutPool>;

Pool* make_pool(nb::handle cost_object, std::int64_t capacity) {
    const Vector<const std::int64_t> cost(cost_object, "cost");
    within(capacity, MOST_ROWS, "capacity");
    require(cost.size() < MOST, "cost", "is too long");
    return new Pool(span_of(cost), static_cast<std::size_t>(capacity));
}

void check_match(const Pool& pool, const Program& D) {
    require(pool.columns() == D.columns() && pool.capacity() == D.capacity() && pool.capacity() == D.labels(), "program",
            "must have the columns and the capacity of the rows");
}

std::int64_t add_to_pool(Pool& pool, nb::handle columns_object, nb::handle values_object, std::int64_t rhs) {
    const Vector<const std::int64_t> columns(columns_object, "columns"), values(values_object, "values");
    columns.within(0, static_cast<std::int64_t>(pool.columns()), "columns");
    values.sized(0, columns.size(), "values");
    const Use use(pool);
    return pool.add(span_of(columns), span_of(values), rhs);
}

nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>> add_set_to_pool(Pool& pool, nb::handle members_object,
                                                                  nb::handle columns_object, std::int64_t always) {
    const Vector<const std::int64_t> members(members_object, "members");
    const Matrix<const std::int64_t> columns(columns_object, "columns");
    members.within(0, static_cast<std::int64_t>(columns.shape(0)), "members");
    for (const std::int64_t member : members)
        for (std::size_t k = 0; k < columns.shape(1); ++k)
            within(columns.row(static_cast<std::size_t>(member))[k], pool.columns(), "columns");
    const Use use(pool);
    Integers labels(columns.shape(1));
    pool.add_set(span_of(members), columns.data(), columns.shape(1), always, labels);
    return copied(labels);
}

// Labels of rows, each of them once.
Vector<const std::int64_t> labels_of(const Pool& pool, nb::handle object) {
    Vector<const std::int64_t> labels(object, "labels");
    labels.within(0, static_cast<std::int64_t>(pool.size()), "labels");
    return labels;
}

std::size_t enter(Pool& pool, Program& D, nb::handle object) {
    check_match(pool, D);
    const Vector<const std::int64_t> labels = labels_of(pool, object);
    const Use use(pool), other(D);
    std::vector<bool> seen(pool.size());
    for (const std::int64_t each : labels) {
        const auto label = static_cast<std::size_t>(each);
        require(pool.slot(label) == tree::CutPool::OUTSIDE && !seen[label], "labels", "must be of rows that are outside");
        seen[label] = true;
    }
    return pool.enter(D, span_of(labels));
}

// Bounds of the columns, integers of 32 bits.
std::span<const double> box_side(const Pool& pool, const Vector<const double>& side, const char* name) {
    side.sized(0, pool.columns(), name);
    for (const double value : side) require(std::fabs(value) <= 2147483648.0, name, "must be integers of 32 bits");
    return span_of(side);
}

nb::tuple bound(Pool& pool, Program& D, double farkas, double unit, std::int64_t scale, nb::handle lower_object,
                nb::handle upper_object) {
    check_match(pool, D);
    const Vector<const double> lower(lower_object, "lower"), upper(upper_object, "upper");
    const std::span<const double> low = box_side(pool, lower, "lower"), high = box_side(pool, upper, "upper");
    require(unit > 0.0 && std::isfinite(unit), "unit", "must be positive");
    require(scale > 0, "scale", "must be positive");
    const Use use(pool), other(D);
    check_shown_row(D, farkas / unit);
    const tree::CutPool::Bound found = pool.bound(D, farkas, unit, scale, low, high);
    return nb::make_tuple(found.total, copied(found.labels), copied(found.multipliers), copied(found.reduced));
}

// Solve within a box and prove; return the outcome, the bound times the scale, and the rows that are not marked as sure.
nb::tuple solve_pool(Pool& pool, Program& D, nb::handle lower_object, nb::handle upper_object, double cutoff,
                     std::int64_t pivots, double fresh, double farkas, double unit, std::int64_t scale,
                     nb::object proceed) {
    check_match(pool, D);
    const Vector<const double> lower(lower_object, "lower"), upper(upper_object, "upper");
    require(unit > 0.0 && std::isfinite(unit), "unit", "must be positive");
    require(scale > 0, "scale", "must be positive");
    const tree::CutPool::Question question{
        box_side(pool, lower, "lower"), box_side(pool, upper, "upper"), cutoff,
        static_cast<std::size_t>(std::max<std::int64_t>(pivots, 0)), fresh, farkas, unit, scale};
    const Use use(pool), other(D);
    Signals poll(std::move(proceed));
    lp::Outcome outcome;
    {
        Released release;
        outcome = pool.solve(D, question, poll);
    }
    return nb::make_tuple(static_cast<int>(outcome), pool.last().total, copied(pool.unsure()));
}

// Fix columns of 0 and 1 whose other value costs more than there is to spare, in the box of a node and in that of the
// linear program; return those that stay at 0 and at 1, or None if there are none.
nb::object fix(Pool& pool, std::int64_t slack, nb::handle node_lower_object, nb::handle node_upper_object,
               nb::handle lower_object, nb::handle upper_object) {
    const Vector<std::int8_t> node_lower(node_lower_object, "node_lower"), node_upper(node_upper_object, "node_upper");
    const Vector<double> lower(lower_object, "lower"), upper(upper_object, "upper");
    node_lower.sized(0, pool.columns(), "node_lower");
    node_upper.sized(0, pool.columns(), "node_upper");
    lower.sized(0, pool.columns(), "lower");
    upper.sized(0, pool.columns(), "upper");
    const Use use(pool);
    const Integers& reduced = pool.last().reduced;
    require(reduced.size() == pool.columns(), "rows", "have no bound yet");
    require(slack >= 0, "slack", "must not be negative");
    Integers off, on;
    for (std::size_t j = 0; j < reduced.size(); ++j) {
        if (node_lower[j] != 0 || node_upper[j] != 1) continue;
        if (reduced[j] > slack) {
            off.push_back(static_cast<std::int64_t>(j));
            node_upper[j] = 0;
            upper[j] = 0.0;
        } else if (reduced[j] < -slack) {
            on.push_back(static_cast<std::int64_t>(j));
            node_lower[j] = 1;
            lower[j] = 1.0;
        }
    }
    if (off.empty() && on.empty()) return nb::none();
    return nb::make_tuple(copied(off), copied(on));
}

void bind_pool_rows(nb::class_<Pool>& type) {
    type.def("__init__", [](Pool* self, nb::handle cost, std::int64_t capacity) {
        const std::unique_ptr<Pool> made(make_pool(cost, capacity));
        new (self) Pool(std::move(*made));
    });
    type.def("__len__", [](const Pool& pool) { return pool.size(); });
    type.def_prop_ro("room", [](const Pool& pool) { return pool.room(); }, "Rows that still fit into the program.");
    type.def_prop_ro("slots", [](const Pool& pool) { return copied(pool.slots()); }, nb::rv_policy::move,
                     "Of each row its label in the linear program, -1 if it is outside, 2^40 if it is gone for good.");
    type.def("add", &add_to_pool, "Store a row; return its label, -1 if it is there already.");
    type.def("add_set", &add_set_to_pool,
             "Store the row of a set of demands for each neuron; return labels, -1 if it is there, -2 if it asks nothing.");
    type.def("row", [](const Pool& pool, std::int64_t label) {
        const tree::CutPool::Row row = pool[within(label, pool.size(), "label")];
        return nb::make_tuple(copied(Integers(row.columns.begin(), row.columns.end())),
                              copied(Integers(row.values.begin(), row.values.end())), row.rhs);
    });
}

void bind_pool_in_program(nb::class_<Pool>& type) {
    type.def("enter", &enter, "Put rows into the linear program, as many as there is room for; return how many.");
    type.def("drop", [](Pool& pool, Program& D, double least) {
        check_match(pool, D);
        const Use use(pool), other(D);
        const Released release;
        pool.drop(D, least);
    });
    type.def("discard", [](Pool& pool, Program& D, nb::handle object) {
        check_match(pool, D);
        const Vector<const std::int64_t> labels = labels_of(pool, object);
        const Use use(pool), other(D);
        pool.discard(D, span_of(labels));
    });
    type.def("rebuild", [](Pool& pool, Program& D) {
        check_match(pool, D);
        const Use use(pool), other(D);
        const Released release;
        return pool.rebuild(D);
    });
    type.def("violated", [](Pool& pool, nb::handle x_object, double least, std::int64_t most) {
        const Vector<const double> x(x_object, "x");
        x.sized(0, pool.columns(), "x");
        require(most >= 0, "most", "must not be negative");
        const Use use(pool);
        return copied(pool.violated(span_of(x), least, static_cast<std::size_t>(most)));
    });
    type.def("gaps", [](Pool& pool, nb::handle object, nb::handle x_object) {
        const Vector<const double> x(x_object, "x");
        x.sized(0, pool.columns(), "x");
        std::vector<double> gaps;
        for (const std::int64_t label : labels_of(pool, object))
            gaps.push_back(pool.gap(static_cast<std::size_t>(label), x.data()));
        return copied(gaps);
    });
    type.def("bound", &bound);
    type.def("solve", &solve_pool, nb::arg("D"), nb::arg("lower"), nb::arg("upper"), nb::arg("cutoff"),
             nb::arg("pivots"), nb::arg("fresh"), nb::arg("farkas"), nb::arg("unit"), nb::arg("scale"),
             nb::arg("proceed") = nb::none());
    type.def("proof", [](Pool& pool) {
        const Use use(pool);
        return nb::make_tuple(copied(pool.last().labels), copied(pool.last().multipliers));
    });
    type.def("mark_sure", [](Pool& pool, nb::handle object) {
        for (const std::int64_t label : labels_of(pool, object)) pool.mark_sure(static_cast<std::size_t>(label));
    });
    type.def("fix", &fix);
    type.def("enter_violated", [](Pool& pool, Program& D, nb::handle x_object, double least, std::int64_t most) {
        check_match(pool, D);
        const Vector<const double> x(x_object, "x");
        x.sized(0, pool.columns(), "x");
        require(most >= 0, "most", "must not be negative");
        const Use use(pool), other(D);
        const Released release;
        return pool.enter(D, pool.violated(span_of(x), least, static_cast<std::size_t>(most)));
    });
}

void bind_pool(nb::module_& m) {
    nb::class_<Pool> type(m, "CutPool", "All rows of a covering program, and those that the linear program holds.");
    bind_pool_rows(type);
    bind_pool_in_program(type);
}

}  // namespace

void bind_tree(nb::module_& m) {
    bind_programs(m);
    bind_pool(m);
    bind_alternatives(m);
    bind_clauses(m);
    bind_exact(m);
}

}  // namespace bdnn
