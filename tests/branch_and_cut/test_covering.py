"""The dual simplex method against HiGHS, through changes of bounds and rows."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.branch_and_cut import linear_program as covering

MOST = 2000
PARTS = ("x", "lower", "upper", "d", "cost", "basic", "nonbasic", "place", "norm", "size", "state", "T")


class Pair:
    """A program in a dictionary, and what is in it."""

    def __init__(self, cost, capacity=60):
        self.v, self.cost = len(cost), np.asarray(cost, dtype=float)
        self.D = covering.dictionary(self.cost, capacity, capacity)
        self.rows = {}
        self.free = list(range(capacity))

    def add(self, columns, values, rhs):
        label = self.free.pop(0)
        self.rows[label] = np.asarray(columns, dtype=np.int64), np.asarray(values, dtype=float), float(rhs)
        covering.add_row(self.D, label, *self.rows[label])

    def drop(self, least):
        out = np.zeros(60, dtype=np.int64)
        labels = out[: covering.drop_slack_rows(self.D, least, out)].tolist()
        for label in labels:
            assert self.slack(label, self.D.x) >= least - 1e-7
            del self.rows[label]
            self.free.append(label)
        return labels

    def slack(self, label, x):
        columns, values, rhs = self.rows[label]
        return float(values @ x[columns]) - rhs

    def box(self, lower, upper):
        self.D.lower[: self.v], self.D.upper[: self.v] = lower, upper

    def solve(self, cutoff=np.inf):
        covering.settle(self.D)
        return covering.dual_simplex(self.D, cutoff, MOST)

    def rebuild(self):
        size = max(self.rows, default=-1) + 1
        parts = [self.rows.get(label, (np.zeros(0, dtype=np.int64), np.zeros(0), 0.0)) for label in range(size)]
        return covering.rebuild(
            self.D,
            np.array(sorted(self.rows), dtype=np.int64),
            np.cumsum([0, *(len(c) for c, _, _ in parts)]),
            np.concatenate([c for c, _, _ in parts]),
            np.concatenate([a for _, a, _ in parts]),
            np.array([h for _, _, h in parts]),
        )

    def highs(self, lower=None, upper=None):
        """Optimum, infinite if there is none."""
        A, b = np.zeros((len(self.rows), self.v)), np.zeros(len(self.rows))
        for k, (columns, values, rhs) in enumerate(self.rows.values()):
            np.subtract.at(A[k], columns, values)
            b[k] = -rhs
        lower = self.D.lower[: self.v] if lower is None else lower
        upper = self.D.upper[: self.v] if upper is None else upper
        found = linprog(self.cost, A_ub=A, b_ub=b, bounds=np.column_stack([lower, upper]))
        assert found.status in (0, 2)
        return float(found.fun) if found.status == 0 else np.inf

    def check(self):
        """Solve; status, objective and point agree with HiGHS."""
        status, expected = self.solve(), self.highs()
        assert status == (covering.INFEASIBLE if np.isinf(expected) else covering.OPTIMAL)
        if status == covering.OPTIMAL:
            x = self.D.x[: self.v]
            assert self.D.state[covering.OBJECTIVE] == pytest.approx(expected, abs=1e-7)
            assert self.cost @ x == pytest.approx(expected, abs=1e-7)
            assert np.all(x >= self.D.lower[: self.v] - 1e-7) and np.all(x <= self.D.upper[: self.v] + 1e-7)
            assert all(self.slack(label, x) >= -1e-7 for label in self.rows)
            self.check_duals(expected)
        return status

    def check_duals(self, expected):
        """The multipliers prove the optimum."""
        out = np.zeros(60)
        covering.multipliers(self.D, 0.0, out)
        assert dual_bound(self, out) == pytest.approx(expected, abs=1e-7)


def dual_bound(pair, multipliers):
    assert np.all(multipliers >= 0.0)
    assert set(np.flatnonzero(multipliers)) <= set(pair.rows)
    reduced, total = pair.cost.copy(), 0.0
    for label, (columns, values, rhs) in pair.rows.items():
        total += multipliers[label] * rhs
        np.subtract.at(reduced, columns, multipliers[label] * values)
    return total + np.minimum(reduced * pair.D.lower[: pair.v], reduced * pair.D.upper[: pair.v]).sum()


def random_row(rng, v, plain=False):
    columns = rng.permutation(v)[: rng.integers(1, min(v, 8) + 1)]
    if plain or rng.random() < 0.6:
        return columns, np.ones(len(columns)), 1
    values = rng.choice([-1, 1], len(columns))
    # between what is always true and what is never
    return columns, values, int(rng.integers(-np.sum(values < 0), np.sum(values > 0) + 2))


def random_box(rng, v):
    sides = rng.choice(3, v, p=[0.7, 0.2, 0.1])
    return (sides == 2).astype(float), (sides != 1).astype(float)


def random_cost(rng, v):
    kind = rng.integers(4)
    return [np.ones(v), rng.integers(0, 3, v), rng.integers(1, 1000, v), rng.uniform(0, 2, v)][kind]


@pytest.mark.parametrize("part", range(4))
def test_rows_come_and_go_and_bounds_change(part):
    statuses = []
    for seed in range(20 * part, 20 * part + 20):
        rng = np.random.default_rng(seed)
        pair = Pair(random_cost(rng, int(rng.integers(1, 25))))
        for _ in range(8):
            for _ in range(rng.integers(1, 7)):
                if len(pair.free) > 1:
                    pair.add(*random_row(rng, pair.v, plain=seed % 2 == 0))
            if rng.random() < 0.4:
                pair.box(*random_box(rng, pair.v))
            elif rng.random() < 0.5:
                pair.box(np.zeros(pair.v), np.ones(pair.v))
            statuses.append(pair.check())
            if statuses[-1] == covering.OPTIMAL and rng.random() < 0.5:
                pair.drop(rng.choice([1e-6, 0.5]))
                if rng.random() < 0.3:
                    pair.check()
    assert {covering.OPTIMAL, covering.INFEASIBLE} == set(statuses)


def test_duplicate_and_degenerate_rows():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # all pairs of few columns with equal costs: every basis is degenerate
        v = int(rng.integers(3, 8))
        pair = Pair(np.full(v, float(seed % 3)))
        for columns in itertools.combinations(range(v), 2):
            for _ in range(rng.integers(1, 3)):
                pair.add(columns, np.ones(2), 1)
        pair.check()
        pair.box(*random_box(rng, v))
        pair.check()


def test_no_row_is_left_and_none_was_there():
    pair = Pair(np.ones(3))
    assert pair.check() == covering.OPTIMAL
    pair.add([0, 1], [1, 1], 1)
    pair.add([2], [1], 0)
    assert pair.check() == covering.OPTIMAL
    assert pair.drop(0.0) == [1]  # the other one has a non-basic slack
    pair.add([0, 1, 2], [1, 1, 1], 1)
    assert pair.check() == covering.OPTIMAL
    assert pair.D.state[covering.OBJECTIVE] == pytest.approx(1)


@pytest.mark.parametrize("seed", [223, 1925, 2852, 2919, 3019, 3468])
def test_flips_that_close_a_gap_up_to_rounding_keep_the_duals(seed):
    # a gap of 1 that flips close but for 1e-16: without a pivot, flipped columns would be left at their worse bound
    rng = np.random.default_rng(seed)
    pair = Pair(rng.integers(0, 4, 16))
    for _ in range(40):
        columns = rng.permutation(16)[: rng.integers(2, 5)]
        pair.add(columns, np.ones(len(columns)), 1)
    for _ in range(6):
        lower = (rng.random(16) < 0.15).astype(float)
        pair.box(lower, np.maximum(lower, rng.random(16) < 0.8))
        pair.check()


def test_cut_off():
    tried = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pair = Pair(rng.integers(1, 5, 15))
        for _ in range(20):
            pair.add(*random_row(rng, 15, plain=True))
        optimum = pair.highs()
        status = pair.solve(optimum - 0.3)
        assert status == covering.CUT_OFF
        assert optimum - 0.3 < pair.D.state[covering.OBJECTIVE] <= optimum + 1e-7
        out = np.zeros(60)
        covering.multipliers(pair.D, 0.0, out)
        assert optimum - 0.3 < dual_bound(pair, out) <= optimum + 1e-7
        assert pair.solve(optimum + 0.3) == covering.OPTIMAL
        tried += 1
    assert tried == 60


def test_a_limit_on_pivots():
    rng = np.random.default_rng(0)
    pair = Pair(np.ones(20))
    for _ in range(30):
        pair.add(*random_row(rng, 20, plain=True))
    covering.settle(pair.D)
    assert covering.dual_simplex(pair.D, np.inf, 1) == covering.UNFINISHED
    assert pair.D.state[covering.PIVOTS] == 1
    assert pair.check() == covering.OPTIMAL


def test_infeasibility_is_proven_beyond_any_value():
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        pair = Pair(random_cost(rng, 10))
        for _ in range(12):
            pair.add(*random_row(rng, 10))
        pair.box(*random_box(rng, 10))
        if pair.solve() != covering.INFEASIBLE:
            continue
        found += 1
        out = np.zeros(60)
        for value in (1.0, 1e3, 1e9):
            covering.multipliers(pair.D, value, out)
            assert dual_bound(pair, out) >= value * (1 - 1e-7)
    assert found > 30


def test_a_small_violation_is_proven_too():
    # every two of 25 columns sum to at least 1, all of them to at most 12: short by half a column
    pair = Pair(np.ones(25), capacity=400)
    for columns in itertools.combinations(range(25), 2):
        pair.add(columns, np.ones(2), 1)
    pair.add(np.arange(25), -np.ones(25), -12)
    assert pair.solve() == covering.INFEASIBLE
    out = np.zeros(400)
    covering.multipliers(pair.D, 100.0, out)
    assert dual_bound(pair, out) >= 100 * (1 - 1e-7)


def test_a_rebuilt_dictionary_stands_at_the_same_point():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pair = Pair(random_cost(rng, int(rng.integers(2, 20))))
        for _ in range(20):
            pair.add(*random_row(rng, pair.v, plain=True))
        if seed % 2:
            pair.box(*random_box(rng, pair.v))
        if pair.check() != covering.OPTIMAL:
            continue
        if seed % 3 == 0:
            pair.drop(1e-6)
        x, objective, basic = pair.D.x[: pair.v].copy(), pair.D.state[covering.OBJECTIVE], basis(pair)
        assert pair.rebuild()
        assert basis(pair) == basic
        assert pair.D.state[covering.PIVOTS] == 0
        np.testing.assert_allclose(pair.D.x[: pair.v], x, atol=1e-9)
        assert pair.D.state[covering.OBJECTIVE] == pytest.approx(objective, abs=1e-9)
        pivots = pair.D.state[covering.PIVOTS]
        assert pair.check() == covering.OPTIMAL
        assert pair.D.state[covering.PIVOTS] == pivots
        for label in pair.rows:
            assert pair.D.x[pair.v + label] == pytest.approx(pair.slack(label, x), abs=1e-9)


def basis(pair):
    return set(pair.D.basic[: pair.D.size[0]].tolist())


def test_a_copy_is_independent():
    rng = np.random.default_rng(3)
    pair = Pair(rng.integers(1, 5, 12))
    for _ in range(15):
        pair.add(*random_row(rng, 12, plain=True))
    pair.check()
    copy = Pair(pair.cost)
    copy.rows, copy.free = dict(pair.rows), list(pair.free)
    covering.copy_into(copy.D, pair.D)
    before = [np.array(getattr(pair.D, part)) for part in PARTS]
    for column in range(12):
        for side in (0.0, 1.0):
            covering.copy_into(copy.D, pair.D)
            copy.D.lower[column] = copy.D.upper[column] = side
            copy.check()
            copy.add([(column + 1) % 12, (column + 2) % 12], [1, 1], 2)
            copy.check()
            copy.free.insert(0, max(copy.rows))
            del copy.rows[max(copy.rows)]
    for part, old in zip(PARTS, before, strict=True):
        np.testing.assert_array_equal(getattr(pair.D, part), old)


def test_penalties_are_below_the_true_increase():
    tight, all_of_them = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        pair = Pair(random_cost(rng, 12))
        for _ in range(20):
            columns = rng.permutation(12)[: rng.integers(2, 4)]
            pair.add(columns, np.ones(len(columns)), 1)
        if seed % 2:
            pair.box(*random_box(rng, 12))
        if pair.check() != covering.OPTIMAL:
            continue
        D, objective = pair.D, pair.D.state[covering.OBJECTIVE]
        basic = np.flatnonzero(D.place[:12] < 0)
        one_by_one = np.array([covering.penalties(D, -1 - place) for place in D.place[basic].tolist()]).reshape(-1, 2)
        np.testing.assert_allclose(covering.penalties_of(D, basic), one_by_one.T, rtol=1e-9, atol=1e-12)
        for column in range(12):
            if D.place[column] >= 0 or not 1e-6 < D.x[column] < 1 - 1e-6:
                continue
            for side, penalty in enumerate(covering.penalties(D, -1 - D.place[column])):
                lower, upper = D.lower[:12].copy(), D.upper[:12].copy()
                lower[column] = upper[column] = side
                increase = pair.highs(lower, upper) - objective
                assert 0.0 <= penalty <= increase + 1e-7
                all_of_them += 1
                tight += penalty > 1e-7 and penalty > increase - 1e-7
    assert all_of_them > 60
    assert tight > 10
