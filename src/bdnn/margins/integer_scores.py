"""Integer scores: what integer weights must satisfy, the biases that go with them, and HiGHS in search of small ones.

Dives through a linear program and the mixed-integer program for the least largest weight start from the comparisons
near the boundary and add those that a solution fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.margins.ordering import OrderingConstraints, least
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices

# weighted sums of points stay this small, so that their differences are exact in doubles
_LARGEST_SUM = 2.0**51
# largest weight that is tried: its products with inputs up to 2**13 are still exact in doubles
LARGEST_WEIGHT = 2**40
# multipliers of a linear program are rounded to integers of this many bits, which hardly weakens a bound
_MULTIPLIER_BITS = 40
# weights of a dive or a program: with more, a single solve takes too much of a search that lasts seconds
MAX_COLUMNS = 300
# weighted sums up to here: HiGHS's tolerance of 1e-9, relative to them, leaves integers apart
_SAFE_SUM = 1e6
# failing comparisons that are added together: fewer would take more solves, and more would make each solve slower
_ROWS_AT_ONCE = 50
# any slack beyond 1 will do; without a limit, the first rows may leave the program unbounded
_LARGEST_SLACK = 1e6
# the least P itself, not one that is nearly the least
_EXACT = {"mip_rel_gap": 0.0, "mip_feasibility_tolerance": 1e-9}


class IntegerScores:
    """Integer scores of one neuron, or of outputs that are compared with each other, at distinct integer points.

    Parameters
    ----------
    comparisons : OrderingConstraints
        What the scores must decide.
    strict : ndarray of shape (r,)
        Least difference in each: 1 where a tie is not enough, else 0.
    real_weights : ndarray of shape (d, n)
        Weights that satisfy the comparisons.
    real_bias : ndarray of shape (d,)
        Their biases.
    keep_signs : bool, default=False
        Whether each integer must have the sign of its real weight, or be 0.

    Attributes
    ----------
    given : tuple of ndarray
        The real scores.
    low, high : ndarray of shape (d, n)
        Least and largest value of each weight, in units of the largest absolute value of all weights.
    weights : ndarray of shape (d, n), int64, or None
        The smallest integers found.
    bias : list of int or None
        Their biases.
    bound : int
        A lower bound on the largest weight of any integer scores.
    near : ndarray of int
        Comparisons near the boundary, which rule out most candidates.
    limit : int
        Largest weight whose sums are exact.
    """

    def __init__(
        self,
        comparisons: OrderingConstraints,
        strict: Floats,
        real_weights: Floats,
        real_bias: Floats,
        keep_signs: bool = False,
    ) -> None:
        self.keep_signs = keep_signs
        # of the largest weight: the least and the largest value of each
        self.low, self.high = (np.full_like(real_weights, side, dtype=np.float64) for side in (-1, 1))
        if keep_signs:
            self.low, self.high = np.where(real_weights < 0, -1.0, 0.0), np.where(real_weights > 0, 1.0, 0.0)
        self.comparisons, self.strict, self.given = comparisons, strict, (real_weights, real_bias)
        self.weights: Array | None = None
        self.bias: list[int] | None = None
        self.bound = 0
        self.near = np.arange(0)
        sums = np.abs(comparisons.points).sum(axis=1)
        self.limit = int(min(LARGEST_WEIGHT, _LARGEST_SUM / max(float(sums.max(initial=0.0)), 1.0)))

    @property
    def largest(self) -> float:
        """Largest weight found, infinite if none."""
        return math.inf if self.weights is None else int(np.abs(self.weights).max(initial=0))

    def accept(self, weights: Floats) -> bool:
        """Take integer weights if they satisfy all comparisons and are smaller; else remember those that fail."""
        size = float(np.abs(weights).max(initial=0.0))
        if size > self.limit or size >= self.largest:
            return False
        if np.any(weights < size * self.low) or np.any(weights > size * self.high):
            return False
        bias, decisive = self.biases(weights)
        if bias is None:
            self.near = np.union1d(self.near, decisive)
            return False
        if any(abs(b) > 2**52 for b in bias):
            return False
        self.weights, self.bias = weights.astype(np.int64), bias
        return True

    def biases(self, weights: Floats) -> tuple[list[int] | None, Indices]:
        """Return integer biases for integer weights, None if there are none, and the comparisons that decide this."""
        zero = np.zeros(len(weights))
        needed = self.strict - self.comparisons.differences(weights, zero)
        if len(weights) == 1:
            on = self.comparisons.better == 0
            # b >= needed where on, -b >= needed where off
            ends = [
                np.flatnonzero(side)[[np.argmax(needed[side])]] if side.any() else np.arange(0) for side in (on, ~on)
            ]
            low = int(needed[ends[0][0]]) if len(ends[0]) else None
            high = -int(needed[ends[1][0]]) if len(ends[1]) else None
            which = np.concatenate(ends)
            if low is None or high is None:
                return [low if low is not None else high if high is not None else 0], which
            return ([(low + high) // 2] if low <= high else None), which
        return self._potentials(needed)

    def _potentials(self, needed: Floats) -> tuple[list[int] | None, Indices]:
        """Solve b_better - b_worse >= needed in integers by longest paths; the last node is the reference."""
        C = self.comparisons.n_nodes
        better, worse = self.comparisons.better % (C + 1), self.comparisons.worse % (C + 1)
        pair = better * (C + 1) + worse
        order = np.lexsort((needed, pair))
        final = order[np.flatnonzero(np.append(np.diff(pair[order]) != 0, True))]
        edges = [(int(worse[r]), int(better[r]), int(needed[r])) for r in final]
        ways = []
        for backwards in (False, True):
            level = [0] * (C + 1)
            for _ in range(C + 2):
                changed = False
                for low, high, gap in edges:
                    a, z = (high, low) if backwards else (low, high)
                    if level[a] + gap > level[z]:
                        level[z], changed = level[a] + gap, True
                if not changed:
                    break
            else:
                return None, final
            ways.append([-v for v in level] if backwards else level)
        ways = [[v - way[C] for v in way] for way in ways]  # the reference is at 0
        return [(a + z) // 2 for a, z in zip(*ways, strict=True)][:C], final

    def passing(self, candidates: Floats) -> Iterator[Floats]:
        """Yield each of the k candidates, of shape (d, n), that satisfies the comparisons near the boundary."""
        near = self.near
        if candidates.shape[1] > 1:
            some = self.restricted(near)
            yield from (W for W in candidates if some.biases(W)[0] is not None)
            return
        values = self.comparisons.points[self.comparisons.point[near]] @ candidates[:, 0].T
        on = self.comparisons.better[near] == 0
        good = values[on].min(axis=0, initial=np.inf) > values[~on].max(axis=0, initial=-np.inf)
        yield from candidates[good]

    def restricted(self, rows: Indices) -> IntegerScores:
        """Return the same with only some of the comparisons."""
        c = self.comparisons
        point, place = np.unique(c.point[rows], return_inverse=True)
        some = OrderingConstraints(c.points[point], place.ravel(), c.better[rows], c.worse[rows], c.n_nodes)
        return IntegerScores(some, self.strict[rows], *self.given, self.keep_signs)

    def proven(self, rows: Indices, multipliers: Floats, gap: float) -> int:
        """Return a lower bound on the largest weight from multipliers of the linear program.

        For one neuron: with μ >= 0 and equal sums over the points that are on and off, so that the bias cancels,
        Σ_off μ <= Σ ±μ w·s <= P ‖Σ ±μ s‖_1. Multipliers are made integers first, so nothing is rounded.
        """
        if self.comparisons.n_nodes > 1:
            return math.ceil((1 - 1e-6) / gap - 1e-6) if gap > 1e-12 else 1
        used = np.flatnonzero(multipliers > 0)
        if not len(used):
            return 1
        rows, top = rows[used], float(multipliers.max())
        whole = [round(v / top * 2**_MULTIPLIER_BITS) for v in multipliers[used].tolist()]
        on = [bool(v) for v in self.comparisons.better[rows] == 0]
        excess = sum(v if o else -v for v, o in zip(whole, on, strict=True))
        side = [i for i, o in enumerate(on) if o == (excess < 0)]
        if not side:
            return 1
        whole[max(side, key=lambda i: whole[i])] += abs(excess)
        signed = np.array([v if o else -v for v, o in zip(whole, on, strict=True)], dtype=object)
        points = self.comparisons.points[self.comparisons.point[rows]].astype(np.int64).astype(object)
        total = int(sum(abs(int(v)) for v in signed @ points))
        return -(-sum(v for v, o in zip(whole, on, strict=True) if not o) // total) if total else 1


def dive(scores: IntegerScores, P: int, deadline: float) -> bool:
    """Fix one weight after another to an integer up to P, with the others free to make up for it.

    The columns of the widest range come first: their rounding errors weigh most.
    """
    d, n = scores.given[0].shape
    size = d * n
    least_of, most_of = float(P) * scores.low.ravel(), float(P) * scores.high.ravel()
    low = np.concatenate([least_of, np.full(d + 1, -np.inf)])
    high = np.concatenate([most_of, np.full(d, np.inf), [_LARGEST_SLACK]])
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
        program.set_bounds(order, least_of[order], most_of[order])
        best, x = slack()
        for j in order:
            if best < -1e-7 or reading() > deadline:
                return False
            near = float(np.clip(np.rint(x[j]), least_of[j], most_of[j]))
            other = float(np.clip(near + (1.0 if x[j] > near else -1.0), least_of[j], most_of[j]))
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
    """Minimize the largest weight by mixed-integer programs over the comparisons near the boundary.

    Biases may be real: if real ones exist, integer ones exist, too.
    """
    d, n = scores.given[0].shape
    if d * n > MAX_COLUMNS:
        return
    size = d * n
    ceiling = int(min(scores.largest - 1, most, scores.limit))
    widest = float(np.abs(scores.comparisons.points).max())
    if ceiling < scores.bound or widest * ceiling > _SAFE_SUM:
        return  # sums this large are beyond the solver's tolerances
    # columns: weights, biases, the largest weight
    sides_of = [ceiling * side.ravel() for side in (scores.low, scores.high)]
    low = np.concatenate([sides_of[0], np.full(d, -np.inf), [scores.bound]]).astype(np.float64)
    high = np.concatenate([sides_of[1], np.full(d, np.inf), [ceiling]]).astype(np.float64)
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
    """Return the comparisons that a program gets next: those near the boundary, and some that the scores fail."""
    lead = scores.comparisons.differences(weights, bias) - scores.strict
    lead[entered] = np.inf
    failing = least(lead, np.flatnonzero(lead < -1e-6), _ROWS_AT_ONCE)
    return np.union1d(np.setdiff1d(scores.near, entered), failing)
