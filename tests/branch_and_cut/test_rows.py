"""Exact bounds of covering programs, against all their solutions; rows that come and go."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.branch_and_cut import linear_program as covering
from bdnn.branch_and_cut.cut_pool import Rows


def random_rows(rng, v, count, plain=False):
    for _ in range(count):
        columns = np.sort(rng.permutation(v)[: rng.integers(1, 5)]).astype(np.int64)
        values = np.ones(len(columns), dtype=np.int64)
        if not plain and rng.random() < 0.3:
            values[0] = -1
        yield columns, values, int(rng.integers(0, 2)) if values[0] < 0 else 1


def random_box(rng, v):
    sides = rng.choice(3, v, p=[0.7, 0.2, 0.1])
    return (sides == 2).astype(float), (sides != 1).astype(float)


def random_cost(rng, v, kind):
    largest = [2, 5, 1000, 1 << 30][kind]
    return rng.integers(0, largest, v).astype(np.int64)


def filled(cost, rows, capacity=100):
    made = Rows(cost, capacity)
    for row in rows:
        if (label := made.add(*row)) >= 0:
            assert made.enter(np.array([label])) == 1
    return made


def stored(rows):
    return [rows.row(label) for label in range(rows.n_rows)]


def integer_optimum(cost, listed, lower, upper):
    """Smallest cost of a point of the cube, infinite if no point satisfies all rows."""
    x = np.array(list(itertools.product([0, 1], repeat=len(cost))))
    good = np.all((x >= lower) & (x <= upper), axis=1)
    for columns, values, rhs in listed:
        good &= x[:, columns] @ values >= rhs
    return int((x @ cost)[good].min()) if good.any() else np.inf


def linear_optimum(cost, listed, lower, upper):
    A, b = np.zeros((len(listed), len(cost))), np.array([-float(rhs) for _, _, rhs in listed])
    for k, (columns, values, _) in enumerate(listed):
        A[k, columns] = -values
    # costs of about 1, for the tolerances of HiGHS
    unit = max(1.0, float(cost.max()))
    found = linprog(cost / unit, A_ub=A, b_ub=b, bounds=np.column_stack([lower, upper]))
    assert found.status in (0, 2)
    return found.fun * unit if found.status == 0 else np.inf


def bound_by_hand(rows, labels, multipliers, lower, upper):
    """The bound times the scale, in integers of any size, and the reduced costs."""
    reduced = [int(c) * rows.scale for c in rows.cost]
    total = 0
    for label, multiplier in zip(labels.tolist(), multipliers.tolist(), strict=True):
        assert multiplier >= 0
        columns, values, rhs = rows.row(label)
        total += multiplier * rhs
        for column, value in zip(columns.tolist(), values.tolist(), strict=True):
            reduced[column] -= multiplier * value
    return total + sum(min(r * int(a), r * int(b)) for r, a, b in zip(reduced, lower, upper, strict=True)), reduced


@pytest.mark.parametrize("kind", range(4))
def test_bounds_are_exact_and_as_good_as_the_linear_program(kind):
    statuses = set()
    for seed in range(25):
        rng = np.random.default_rng(seed)
        v = int(rng.integers(2, 13))
        cost = random_cost(rng, v, kind)
        rows = filled(cost, random_rows(rng, v, 15))
        for lower, upper in [(np.zeros(v), np.ones(v)), random_box(rng, v), random_box(rng, v)]:
            status = rows.solve(lower, upper, np.inf)
            statuses.add(status)
            infeasible = status == covering.INFEASIBLE
            farkas = 3.0 * max(1, int(cost.sum())) if infeasible else 0.0
            total, labels, multipliers, reduced = rows.prove(lower, upper, farkas=farkas)
            assert (total, reduced.tolist()) == bound_by_hand(rows, labels, multipliers, lower, upper)
            best = integer_optimum(cost, stored(rows), lower, upper)
            assert total <= best * rows.scale
            expected = linear_optimum(cost, stored(rows), lower, upper)
            if infeasible:
                assert np.isinf(best) and np.isinf(expected)
                assert total > cost.sum() * rows.scale
            else:
                assert rows.objective(rows.D) == pytest.approx(expected, rel=1e-7, abs=1e-7)
                assert total / rows.scale == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert statuses == {covering.OPTIMAL, covering.INFEASIBLE}


def test_reduced_costs_bound_the_other_value_of_a_column():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cost = random_cost(rng, 9, 1)
        rows = filled(cost, random_rows(rng, 9, 15))
        lower, upper = np.zeros(9), np.ones(9)
        rows.solve(lower, upper, np.inf)
        total, _, _, reduced = rows.prove(lower, upper)
        for column, r in enumerate(reduced.tolist()):
            lower[column] = upper[column] = float(r > 0)
            assert total + abs(r) <= integer_optimum(cost, stored(rows), lower, upper) * rows.scale
            lower[column], upper[column] = 0.0, 1.0


def test_any_multipliers_give_a_valid_bound():
    rng = np.random.default_rng(0)
    cost = random_cost(rng, 8, 1) + 1
    rows = filled(cost, random_rows(rng, 8, 12, plain=True))
    rows.solve(np.zeros(8), np.ones(8), np.inf)
    best, distinct = integer_optimum(cost, stored(rows), np.zeros(8), np.ones(8)), set()
    for _ in range(50):
        rows.D.d[:] = rng.normal(size=8)
        total, _, _, _ = rows.prove(np.zeros(8), np.ones(8))
        assert total <= best * rows.scale
        distinct.add(total)
    assert len(distinct) > 40


def test_sums_that_could_overflow_give_no_bound():
    cost = np.full(4, 1 << 20, dtype=np.int64)
    rows = filled(cost, [(np.arange(4), np.ones(4, dtype=np.int64), 1)])
    rows.solve(np.zeros(4), np.ones(4), np.inf)
    assert rows.prove(np.zeros(4), np.ones(4))[0] == rows.scale << 20
    place = rows.D.place[4]
    assert place >= 0  # the row binds
    rows.D.d[place] = 2.0**61 / rows.scale / (1 << 20)
    total, _, _, reduced = rows.prove(np.zeros(4), np.ones(4))
    assert total < 0
    assert not reduced.any()


def test_the_scale_leaves_room_for_proofs_of_infeasibility():
    for weight in (1, 1 << 10, 1 << 30):
        cost = np.full(200, weight, dtype=np.int64)
        ones = np.ones(2, dtype=np.int64)
        # an odd cycle, of which at most half minus 1 are allowed: short by half a column
        listed = [(np.array([k, (k + 1) % 199]), ones, 1) for k in range(199)]
        listed.append((np.arange(199), -np.ones(199, dtype=np.int64), -99))
        rows = filled(cost, listed, capacity=300)
        lower, upper = np.zeros(200), np.ones(200)
        assert rows.solve(lower, upper, np.inf) == covering.INFEASIBLE
        goal = 100 * weight
        total, _, _, _ = rows.prove(lower, upper, farkas=2.0 * goal)
        assert total > goal * rows.scale
        assert cost.sum() * rows.scale < 2**62


def test_known_rows_are_not_stored_twice():
    rows = Rows(np.ones(3, dtype=np.int64), 10)
    ones = np.ones(2, dtype=np.int64)
    assert rows.add(np.array([0, 1]), ones, 1) == 0
    assert rows.add(np.array([0, 1]), ones, 1) == -1
    assert rows.add(np.array([0, 2]), ones, 1) == 1
    assert rows.add(np.array([0, 1]), ones, 0) == 2
    assert rows.add(np.array([0, 1]), -ones, 1) == 3
    assert rows.n_rows == 4


def test_many_rows_are_stored():
    rng = np.random.default_rng(0)
    rows, kept = Rows(np.ones(40, dtype=np.int64), 10), []
    for row in random_rows(rng, 40, 6000):
        if rows.add(*row) >= 0:
            kept.append(row)
    assert rows.n_rows == len(kept) > 4000
    for label, (columns, values, rhs) in enumerate(kept):
        found = rows.row(label)
        assert (found[0].tolist(), found[1].tolist(), found[2]) == (columns.tolist(), values.tolist(), rhs)


def test_violated_rows_are_those_outside_the_program_the_worst_if_there_are_many():
    rng = np.random.default_rng(1)
    rows = Rows(np.ones(10, dtype=np.int64), 20)
    for row in random_rows(rng, 10, 200):
        rows.add(*row)
    assert rows.enter(np.arange(0, 20, 2)) == 10
    x = rng.uniform(0, 0.5, 10)
    gap = np.array([rhs - values @ x[columns] for columns, values, rhs in stored(rows)])
    outside = ~np.isin(np.arange(rows.n_rows), np.arange(0, 20, 2))
    expected = np.flatnonzero(outside & (gap > 1e-4))
    assert np.array_equal(np.sort(rows.violated(x, most=1000)), expected)
    np.testing.assert_allclose(rows.gaps(expected, x), -gap[expected])
    few = rows.violated(x, most=7)
    assert len(set(few.tolist())) == 7
    assert np.min(gap[few]) >= np.sort(gap[expected])[-7] - 1e-12


def test_rows_are_dropped_and_enter_again():
    rng = np.random.default_rng(2)
    cost = random_cost(rng, 12, 1)
    rows = Rows(cost, 15)
    for row in random_rows(rng, 12, 60, plain=True):
        rows.add(*row)
    lower, upper, dropped = np.zeros(12), np.ones(12), 0
    while True:
        assert rows.solve(lower, upper, np.inf) == covering.OPTIMAL
        room = rows.room
        rows.drop()
        dropped += rows.room - room
        violated = rows.violated(rows.D.x[:12])
        if not len(violated):
            break
        room = rows.room
        assert rows.enter(violated) == min(room, len(violated))
        assert sum(rows.slot[: rows.n_rows] >= 0) == 15 - rows.room == rows.D.size[0]
    assert dropped > 0
    assert rows.objective(rows.D) == pytest.approx(linear_optimum(cost, stored(rows), lower, upper), abs=1e-7)


@pytest.mark.parametrize("all_of_them", [False, True], ids=["some", "all"])
def test_discarded_rows_count_no_more(all_of_them):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        cost = random_cost(rng, 8, 1) + 1
        rows = filled(cost, random_rows(rng, 8, 20, plain=True))
        lower, upper = np.zeros(8), np.ones(8)
        rows.solve(lower, upper, np.inf)
        _, labels, _, _ = rows.prove(lower, upper)
        gone = list(range(rows.n_rows)) if all_of_them else labels.tolist()[:2]
        rows.discard(gone)
        rows.discard(gone[:1])
        left = [rows.row(label) for label in range(rows.n_rows) if label not in gone]
        assert rows.room == 100 - len(left)
        assert rows.solve(lower, upper, np.inf) == covering.OPTIMAL
        assert rows.objective(rows.D) == pytest.approx(
            linear_optimum(cost, left, lower, upper) if left else 0, abs=1e-7
        )
        total, labels, _, _ = rows.prove(lower, upper)
        assert not set(labels.tolist()) & set(gone)
        assert total <= integer_optimum(cost, left, lower, upper) * rows.scale
        assert not set(rows.violated(np.zeros(8)).tolist()) & set(gone)
        # room that was won is used again
        label = rows.add(np.arange(8), np.ones(8, dtype=np.int64), 8)
        rows.enter(np.array([label]))
        assert rows.solve(lower, upper, np.inf) == covering.OPTIMAL
        assert rows.objective(rows.D) == pytest.approx(cost.sum())


def test_a_cutoff_in_units():
    for weight in (1, 7, 1 << 25):
        cost = np.full(6, weight, dtype=np.int64)
        ones = np.ones(2, dtype=np.int64)
        rows = filled(cost, [(np.array([k, k + 1]), ones, 1) for k in range(0, 6, 2)])
        lower, upper = np.zeros(6), np.ones(6)
        assert rows.solve(lower, upper, 2.0 * weight) == covering.CUT_OFF
        assert rows.prove(lower, upper)[0] > 2 * weight * rows.scale
        assert rows.solve(lower, upper, 3.0 * weight) == covering.OPTIMAL
        assert rows.prove(lower, upper)[0] == 3 * weight * rows.scale


def test_a_program_is_made_anew_after_many_pivots():
    rng = np.random.default_rng(4)
    cost = random_cost(rng, 12, 2)
    rows = filled(cost, random_rows(rng, 12, 30, plain=True))
    rows.solve(np.zeros(12), np.ones(12), np.inf)
    rows.D.state[covering.PIVOTS] = 1e6
    rows.D.d[:] += 1e-3 * rng.normal(size=12)  # as rounding errors would
    lower, upper = np.zeros(12), np.ones(12)
    assert rows.solve(lower, upper, np.inf) == covering.OPTIMAL
    assert rows.objective(rows.D) == pytest.approx(linear_optimum(cost, stored(rows), lower, upper), abs=1e-7)
    assert rows.D.state[covering.PIVOTS] < 1000
