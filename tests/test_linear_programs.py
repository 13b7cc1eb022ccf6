"""The session of linear programs against SciPy and brute force."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.linear_programs import LinearProgram
from bdnn.status import Status
from clocks import ticking


@pytest.mark.parametrize("seed", range(5))
def test_rows_and_bounds_change_between_solves(seed):
    rng = np.random.default_rng(seed)
    cost, rows = rng.normal(size=4), rng.normal(size=(6, 4))
    low, high, right = -np.ones(4), np.ones(4), rng.uniform(0.1, 1.0, 6)
    program = LinearProgram(cost, low, high, (rows[:2], np.full(2, -np.inf), right[:2]))

    def check(count):
        assert program.solve() == Status.OPTIMAL
        bounds = np.column_stack([low, high])
        assert cost @ program.x == pytest.approx(linprog(cost, rows[:count], right[:count], bounds=bounds).fun)
        assert len(program.multipliers) == count

    check(2)
    program.add_rows(rows[2:], -np.inf, right[2:])
    check(6)
    low[1:3], high[1:3] = -0.1, [0.1, 0.2]
    program.set_bounds(np.array([2, 1]), -0.1, np.array([0.2, 0.1]))
    check(6)
    program.add_rows(np.ones((1, 4)), 5.0, np.inf)
    assert program.solve() == Status.INFEASIBLE


@pytest.mark.parametrize("seed", range(5))
def test_integers_and_their_bound(seed):
    rng = np.random.default_rng(seed)
    cost, rows, right = rng.normal(size=3), rng.normal(size=(3, 3)), rng.uniform(0.5, 2.0, 3)
    program = LinearProgram(cost, np.full(3, -2.0), np.full(3, 2.0), integer=np.ones(3, dtype=bool))
    program.add_rows(rows, -np.inf, right)
    assert program.solve() == Status.OPTIMAL
    every = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    best = min(float(cost @ x) for x in every if np.all(rows @ x <= right))
    assert cost @ program.x == pytest.approx(best) == pytest.approx(program.bound, abs=1e-3)


def test_a_search_ends_at_its_deadline():
    rng = np.random.default_rng(0)
    n = 60
    program = LinearProgram(
        -rng.integers(1, 100, n).astype(float), np.zeros(n), np.ones(n), integer=np.ones(n, dtype=bool),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    program.add_rows(rng.integers(1, 100, (30, n)).astype(float), -np.inf, 25.0 * n)
    # HiGHS has a limit of its own, by another clock, which a busy machine must not meet first
    with ticking(limit=60.0, step=0.6) as clock:
        assert program.solve(60.0) in (Status.FEASIBLE, Status.NO_SOLUTION)
    assert clock.late
