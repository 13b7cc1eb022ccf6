"""Small integer weights by HiGHS: dives through a linear program, and the least largest weight by a mixed-integer one.

Both start from the comparisons near the boundary and add those that a solution fails.
"""

from __future__ import annotations

import math

import numpy as np

from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.margins.integer_scores import IntegerScores
from bdnn.margins.ordering import least
from bdnn.status import Status
from bdnn.types import Floats, Indices

# weights of a dive or a program: with more, a solve takes seconds
MOST_COLUMNS = 300
# weighted sums up to here: HiGHS's tolerance of 1e-9, relative to them, leaves integers apart
_SAFE_SUM = 1e6
# comparisons that fail and are added together: fewer take more solves, more make each of them slower
_ROWS_AT_ONCE = 50
# any slack beyond 1 will do; without a limit the first rows may leave the program unbounded
_LARGEST_SLACK = 1e6
# the least P itself, not one that is nearly the least
_EXACT = {"mip_rel_gap": 0.0, "mip_feasibility_tolerance": 1e-9}


def dive(scores: IntegerScores, P: int, deadline: float) -> bool:
    """Fix one weight after another to an integer up to P, with the others free to make up for it.

    The columns of the widest range come first: their rounding errors weigh most.
    """
    d, n = scores.given[0].shape
    size = d * n
    low = np.concatenate([np.full(size, -float(P)), np.full(d + 1, -np.inf)])
    high = np.concatenate([np.full(size, float(P)), np.full(d, np.inf), [_LARGEST_SLACK]])
    program = LinearProgram(np.append(np.zeros(size + d), -1.0), low, high)
    points = scores.comparisons.points
    spread = np.repeat(np.ptp(points, axis=0)[None, :], d, axis=0).ravel()
    order = np.argsort(-spread, kind="stable")

    def slack() -> tuple[float, Floats]:
        if program.solve(deadline) != Status.OPTIMAL:
            return -math.inf, np.zeros(size + d + 1)
        x = program.x
        return float(x[-1]), x

    rows, entered = scores.near, np.arange(0)
    for _ in range(10):
        A, T = scores.comparisons.rows(rows)
        program.add_rows(np.hstack([A, T, -np.ones((len(rows), 1))]), scores.strict[rows], np.inf)
        entered = np.union1d(entered, rows)
        program.set_bounds(order, -float(P), float(P))
        best, x = slack()
        for j in order:
            if best < -1e-7 or reading() > deadline:
                return False
            near = float(np.clip(np.rint(x[j]), -P, P))
            other = float(np.clip(near + (1.0 if x[j] > near else -1.0), -P, P))
            program.set_bounds(np.array([j]), near, near)
            best, y = slack()
            if best < -1e-7:
                program.set_bounds(np.array([j]), other, other)
                best, y = slack()
            x = y
        if best < -1e-7:
            return False
        W = np.rint(x[:size]).reshape(d, n)
        if scores.accept(W):
            return True
        rows = _next_rows(scores, W, x[size : size + d], entered)
        if not len(rows):
            return False
    return False


def minimize_largest(scores: IntegerScores, deadline: float, most: int) -> None:
    """Minimise the largest weight by mixed-integer programs over the comparisons near the boundary.

    Biases may be real: if there are real ones there are integers.
    """
    d, n = scores.given[0].shape
    if d * n > MOST_COLUMNS:
        return
    size = d * n
    ceiling = int(min(scores.largest - 1, most, scores.limit))
    widest = float(np.abs(scores.comparisons.points).max())
    if ceiling < scores.bound or widest * ceiling > _SAFE_SUM:
        return  # sums so large are beyond the solver's tolerances
    # columns: weights, biases, the largest weight
    low = np.concatenate([np.full(size, -ceiling), np.full(d, -np.inf), [scores.bound]]).astype(np.float64)
    high = np.concatenate([np.full(size, ceiling), np.full(d, np.inf), [ceiling]]).astype(np.float64)
    cost = np.append(np.zeros(size + d), 1.0)
    whole = np.concatenate([np.ones(size), np.zeros(d), [1]]).astype(bool)
    sides = np.zeros((2 * size, size + d + 1))
    sides[np.arange(2 * size), np.repeat(np.arange(size), 2)] = np.tile([1.0, -1.0], size)
    sides[:, -1] = 1.0
    program = LinearProgram(cost, low, high, integer=whole, options=_EXACT)
    program.add_rows(sides, 0.0, np.inf)
    entered = np.arange(0)
    rows = scores.near
    while reading() < deadline:
        program.add_rows(
            np.hstack([*scores.comparisons.rows(rows), np.zeros((len(rows), 1))]), scores.strict[rows], np.inf
        )
        entered = np.union1d(entered, rows)
        status = program.solve(deadline)
        if status == Status.INFEASIBLE:
            scores.bound = ceiling + 1
            return
        if math.isfinite(program.bound):
            scores.bound = max(scores.bound, min(math.ceil(program.bound - 1e-6), ceiling + 1))
        if status == Status.NO_SOLUTION:
            return
        x = program.x
        W = np.rint(x[:size]).reshape(d, n)
        if scores.accept(W):
            return
        rows = _next_rows(scores, W, x[size : size + d], entered)
        if not len(rows):
            return


def _next_rows(scores: IntegerScores, weights: Floats, bias: Floats, entered: Indices) -> Indices:
    """Return the comparisons that a program gets next: those that came near the boundary, and some that scores fail."""
    lead = scores.comparisons.differences(weights, bias) - scores.strict
    lead[entered] = np.inf
    failing = least(lead, np.flatnonzero(lead < -1e-6), _ROWS_AT_ONCE)
    return np.union1d(np.setdiff1d(scores.near, entered), failing)
