"""Inseparable sets from the alternative linear program, against HiGHS and exact multipliers."""

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.branch_and_cut.alternative import alternative, separate
from bdnn.exact.separability import multipliers, separates

RESIDUAL = 100.0


class Asked:
    """A program and the sets that it found."""

    def __init__(self, rows, capacity=64):
        self.rows, self.A = np.asarray(rows, dtype=float), alternative(np.asarray(rows, dtype=float))
        self.sets = np.zeros((capacity, self.rows.shape[1] + 1), dtype=np.int64)
        self.sizes = np.zeros(capacity, dtype=np.int64)
        self.found = 0

    def __call__(self, cost, given=None, most=1.0, limit=5000):
        given = cost if given is None else given
        before = self.found
        objective, self.found = separate(self.A, cost, RESIDUAL, given, most, limit, self.sets, self.sizes, self.found)
        return objective, [self.sets[k, : self.sizes[k]] for k in range(before, self.found)]

    def highs(self, cost):
        m, p = self.rows.shape
        A = np.vstack([np.hstack([self.rows.T, np.eye(p), -np.eye(p)]), np.r_[np.ones(m), np.zeros(2 * p)]])
        found = linprog(np.r_[cost, np.full(2 * p, RESIDUAL)], A_eq=A, b_eq=np.r_[np.zeros(p), 1.0])
        assert found.status == 0
        return found.fun


def signed(X, rng, fires=None):
    X = np.asarray(X, dtype=float)
    signs = rng.choice([-1.0, 1.0], len(X)) if fires is None else np.where(fires, 1.0, -1.0)
    return signs[:, None] * np.column_stack([X, np.ones(len(X))])


def normal(rng):
    return rng.normal(size=(rng.integers(2, 60), rng.integers(1, 6)))


def one_hot(rng):
    return np.column_stack([np.eye(4)[rng.integers(0, 4, 40)], np.eye(3)[rng.integers(0, 3, 40)]])


DATA = {
    "normal": normal,
    "one column": lambda rng: rng.normal(size=(rng.integers(2, 30), 1)),
    "one point": lambda rng: rng.normal(size=(1, rng.integers(1, 4))),
    "duplicates": lambda rng: np.repeat(rng.normal(size=(10, 3)), 3, axis=0),
    "integer grid": lambda rng: rng.integers(-2, 3, (40, 3)),
    "one-hot": one_hot,
    "bits": lambda rng: rng.integers(0, 2, (50, 6)),
    "collinear": lambda rng: np.outer(rng.integers(-5, 6, 20), [1, 2, -1]),
    "a constant column": lambda rng: np.column_stack([rng.normal(size=(20, 2)), np.ones(20)]),
    "a zero column": lambda rng: np.column_stack([rng.normal(size=(20, 2)), np.zeros(20)]),
    "no columns": lambda rng: np.zeros((10, 0)),
}


@pytest.mark.parametrize("name", DATA)
def test_objective_sets_and_weights(name):
    kept, separated = 0, 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = DATA[name](rng)
        # every other time separable, by an affine function that is not 0 on the data
        fires = X @ rng.normal(size=X.shape[1]) + 0.3 * rng.normal() > 0 if seed % 2 else None
        asked = Asked(signed(X, rng, fires))
        m = len(X)
        for k in range(6):
            given = np.zeros(m) if k == 5 else rng.choice([0.0, 0.3, 0.5, 1.0], m) * (rng.random(m) < 0.1 + 0.15 * k)
            spread = given * rng.uniform(0.7, 1.3, m) + 1e-5 * rng.random(m)
            for cost in (given, spread):
                objective, sets = asked(cost, given, 1.0 - 1e-3)
                assert objective == pytest.approx(asked.highs(cost), abs=1e-7)
                kept += len(sets)
                for members in sets:
                    assert np.all(np.diff(members) > 0)
                    assert given[members].sum() < 1.0 - 1e-3
                    found = multipliers(asked.rows[members])
                    assert found is not None and len(found[0]) == len(members)
                free = given == 0
                if objective > 1e-6 and np.array_equal(cost, given) and free.any():
                    assert separates(-asked.A.prices[:-1], asked.rows[free])
                    separated += 1
        assert len({tuple(asked.sets[k, : asked.sizes[k]]) for k in range(asked.found)}) == asked.found
    assert kept > 0 or name == "one point"
    assert separated > 0


@pytest.mark.parametrize("name", ["normal", "integer grid", "one-hot", "duplicates"])
def test_sets_of_several_programs_are_distinct_and_no_more_than_there_is_room_for(name):
    rng = np.random.default_rng(0)
    asked, most = Asked(signed(DATA[name](rng), rng), capacity=20), 0.9
    for _ in range(500):
        given = rng.choice([0.0, 0.0, 0.0, 0.4], len(asked.rows))
        _, sets = asked(rng.random(len(given)) + given, given, most)
        for members in sets:
            assert given[members].sum() < most
            assert multipliers(asked.rows[members]) is not None
        if asked.found == 20:
            break
    assert asked.found == 20
    assert len({tuple(asked.sets[k, : asked.sizes[k]]) for k in range(20)}) == 20
    asked(np.zeros(len(asked.rows)))
    assert asked.found == 20


def test_every_inseparable_problem_is_recognised():
    verdicts = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        asked = Asked(signed(rng.integers(0, 4, (rng.integers(2, 9), 2)), rng))
        objective, sets = asked(np.zeros(len(asked.rows)))
        separable = linprog(
            np.zeros(3), A_ub=-asked.rows, b_ub=-np.ones(len(asked.rows)), bounds=(None, None)
        ).status == 0  # fmt: skip
        assert (len(sets) == 0) == separable == (objective > 1e-9)
        assert separable == separates(-asked.A.prices[:-1], asked.rows)
        verdicts.append(separable)
    assert 30 < sum(verdicts) < 120


def test_a_limit_on_pivots():
    rng = np.random.default_rng(0)
    asked = Asked(signed(rng.normal(size=(40, 5)), rng))
    cost = rng.random(40)
    assert asked(cost, limit=2) == (np.inf, [])
    objective, _ = asked(cost)  # goes on from there
    assert objective == pytest.approx(asked.highs(cost), abs=1e-7)


def test_many_pivots_keep_the_basis_accurate():
    rng = np.random.default_rng(5)
    asked = Asked(signed(rng.normal(size=(80, 8)), rng))
    for _ in range(60):
        cost = rng.random(80)
        objective, _ = asked(cost)
        q = 9
        B = np.column_stack([column(asked, j) for j in asked.A.basis.tolist()])
        assert np.abs(asked.A.inverse @ B - np.eye(q + 1)).max() < 1e-8
    assert asked.A.count[1] > 500
    assert objective == pytest.approx(asked.highs(cost), abs=1e-7)


def column(asked, j):
    m, p = asked.rows.shape
    if j < m:
        return asked.A.V[:, j]
    return (1.0 if (j - m) % 2 == 0 else -1.0) * np.eye(p + 1)[(j - m) // 2]
