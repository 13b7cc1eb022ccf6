"""Good linear separators: the fewest points, by weight, on the wrong side of one hyperplane.

This is what one neuron has to solve while all others are fixed. The problem, and the hinge programs and walks on
vertices that work on it here, are described in docs/mathematics/local_search.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bdnn._native.walk import ArrangementWalk
from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.status import Status
from bdnn.types import Bools, Floats

if TYPE_CHECKING:
    from bdnn.budget import Budget

# points and features of a task, and numbers in its table, to bound the time of a hinge program
_MAX_POINTS, _MIN_POINTS, _MAX_FEATURES, _MAX_ENTRIES = 2000, 200, 500, 200_000
# what is added to slacks before they are inverted: reweighting begins soft and ends hard
_SOFTENING = np.geomspace(1.0, 0.02, 12)
# lines that the walk of the first round searches, twice as many in each further one, and the most
_FIRST_EFFORT, _MAX_EFFORT = 2_000, 20_000
# numbers read between looks at the clock: some hundredths of a second
_OPERATIONS = 2e7
# size of values at points that count as on the hyperplane: the rounding errors of a walk
_TINY = 1e-9
# error of an inverse, in any entry, from which on a step of Newton's method need not make it smaller
_FAR = 0.5


def separators(
    X: ArrayLike,
    g: ArrayLike,
    budget: Budget,
    rng: np.random.Generator,
    *,
    start: tuple[ArrayLike, float] | None = None,
    rounds: int = 1000,
) -> Iterator[tuple[Floats, float]]:
    """Find neurons with small ``sum of g_i [w.x_i + b >= 0]``, cheap ones first.

    Parameters
    ----------
    X : array-like of shape (n, p)
        Points by feature.
    g : array-like of shape (p,)
        Gains: negative where the neuron should fire, positive where it should not; points with 0 are left out.
    budget : Budget
        Its time limit; without one the number of rounds ends the search.
    rng : numpy.random.Generator
        As long as time does not run out, the candidates depend on its state only.
    start : tuple of array-like of shape (n,) and float, or None
        Weights and bias from which the first walk begins.
    rounds : int, default=1000
        How often to begin anew.

    Yields
    ------
    w : ndarray of shape (n,)
        Weights.
    b : float
        Bias. The boundary lies midway between the nearest points on both sides.

    Notes
    -----
    A candidate is yielded when it is the best so far, and at the end of each round, for diversity. The search ends
    when no point is on the wrong side. Made for up to about 2,000 points and 100 features. Of more points a part is
    used, most of them near a least-squares boundary, but candidates are compared on all; with more than 500 features
    the only candidate is a start or a constant.
    """
    budget = budget.start()
    task = _Task.of(X, g)
    if not len(task.g):
        return
    best = task.constant()
    if start is not None:
        given = np.append(np.asarray(start[0], dtype=np.float64), float(start[1]))
        best = min(best, task.scored(given[:-1], float(given[-1])), key=lambda c: c[0])
    if best[0] == 0 or len(task.X) > _MAX_FEATURES:
        yield best[1:]
        return
    part = task.part(rng)
    hinge = _Hinge(part)
    weight = np.abs(part.g)
    effort = _FIRST_EFFORT
    for k in range(rounds):
        cost = weight * (rng.exponential(size=len(weight)) if k else 1.0)
        first: tuple[float, Floats] | None = None
        for softening in _SOFTENING:
            slope = None if budget.exhausted else hinge.solve(cost, budget)
            if slope is None:
                break
            found = task.candidate(slope)
            if first is None or found[0] < first[0]:
                first = found[0], slope
            if found[0] < best[0]:
                best = found
                yield best[1:]
                if best[0] == 0:
                    return
            cost = weight / (softening + np.maximum(0.0, 1.0 - hinge.margins(slope)))
            cost /= cost.max()
        if budget.exhausted:
            if not k:
                yield best[1:]
            return
        begin = np.zeros(len(part.Z)) if first is None else first[1]
        if start is not None and not k:
            begin = task.standardized(given[:-1], float(given[-1]))
        if not begin.any():
            begin = rng.normal(size=len(begin))
        local = task.candidate(begin)
        for found in _Walk(part, begin, rng).candidates(task, effort, budget):
            local = min(local, found, key=lambda c: c[0])
            if found[0] < best[0]:
                best = found
                yield best[1:]
                if best[0] == 0:
                    return
        if local is not best:
            yield local[1:]
        if budget.exhausted:
            return
        effort = min(2 * effort, _MAX_EFFORT)


Separator = tuple[float, Floats, float]
"""Weight of the points on the wrong side, weights, bias."""


class _Task(NamedTuple):
    """The points that matter, as given and standardized.

    Attributes
    ----------
    X : ndarray of shape (n, p)
    g : ndarray of shape (p,)
        Scaled by a power of two so that the largest is near 1.
    Z : ndarray of shape (n + 1, p)
        Standardized features and a row of ones; *slopes* are coefficients of these rows.
    center, scale : ndarray of shape (n,)
    """

    X: Floats
    g: Floats
    Z: Floats
    center: Floats
    scale: Floats

    @classmethod
    def of(cls, X: ArrayLike, g: ArrayLike) -> _Task:
        points, gains = np.asarray(X, dtype=np.float64), np.asarray(g, dtype=np.float64)
        matters = gains != 0.0
        points, gains = np.ascontiguousarray(points[:, matters]), gains[matters]
        if not len(gains):
            nothing = np.zeros(len(points))
            return cls(points, gains, np.zeros((len(points) + 1, 0)), nothing, nothing)
        gains = gains * 2.0 ** -math.floor(math.log2(float(np.abs(gains).max())))
        center = points.mean(axis=1)
        spread = np.sqrt(((points - center[:, None]) ** 2).mean(axis=1))
        varies = spread > 1e-13 * np.abs(points).max(axis=1)
        scale = np.divide(1.0, spread, out=np.zeros(len(points)), where=varies)
        Z = np.vstack([(points - center[:, None]) * scale[:, None], np.ones(len(gains))])
        return cls(points, gains, Z, center, scale)

    @property
    def least(self) -> float:
        """Sum of the gains of the points that should fire."""
        return float(self.g[self.g < 0].sum())

    def constant(self) -> Separator:
        """Return the better of the two neurons without weights."""
        off, on = float(self.g[self.g > 0].sum()), -self.least
        return min(off, on), np.zeros(len(self.X)), 1.0 if off < on else -1.0

    def scored(self, w: Floats, b: float) -> Separator:
        """Return a neuron with its value, its boundary moved midway between the nearest points."""
        a = w @ self.X + b
        fires = a >= 0
        value = self.loss(fires)
        if fires.any() and not fires.all():
            shift = -0.5 * (float(a[fires].min()) + float(a[~fires].max()))
            moved = self.loss(w @ self.X + (b + shift) >= 0)
            if moved <= value:
                return moved, w, b + shift
        return value, w, b

    def loss(self, fires: Bools) -> float:
        """Return the weight of the points on the wrong side; it is 0 only if there are none."""
        return float(np.abs(self.g[fires != (self.g < 0)]).sum())

    def candidate(self, slope: Floats) -> Separator:
        """Return the neuron of a slope."""
        w = slope[:-1] * self.scale
        return self.scored(w, float(slope[-1] - w @ self.center))

    def standardized(self, w: Floats, b: float) -> Floats:
        """Return the slope of a neuron."""
        scaled = np.divide(w, self.scale, out=np.zeros(len(w)), where=self.scale > 0)
        return np.append(scaled, b + w @ self.center)

    def part(self, rng: np.random.Generator) -> _Task:
        """Return a task of bearable size: of too many points, those near a boundary and some of the others."""
        p, most = len(self.g), max(_MIN_POINTS, min(_MAX_POINTS, _MAX_ENTRIES // len(self.Z)))
        if p <= most:
            return self
        root = np.sqrt(np.abs(self.g))
        gram = (self.Z * root**2) @ self.Z.T + 1e-6 * p * np.eye(len(self.Z))
        slope = np.linalg.solve(gram, self.Z @ -self.g)
        order = np.argsort(np.abs(slope @ self.Z))
        near = order[: 3 * most // 4]
        chosen = np.sort(np.concatenate([near, rng.choice(order[len(near) :], most - len(near), replace=False)]))
        Z = np.ascontiguousarray(self.Z[:, chosen])
        return self._replace(X=np.ascontiguousarray(self.X[:, chosen]), g=self.g[chosen], Z=Z)


class _Hinge:
    """The dual of the hinge program: max sum of alpha, sum of s_i alpha_i (x_i, 1) = 0, 0 <= alpha <= cost."""

    def __init__(self, task: _Task) -> None:
        self.Z, self.sign = task.Z, -np.sign(task.g)
        rows, columns = task.Z.shape
        entries, zero = task.Z * self.sign, np.zeros(rows)
        # a basis that is dual feasible is worth more than a smaller program
        self.program = LinearProgram(
            -np.ones(columns), np.zeros(columns), np.ones(columns), (entries, zero, zero), options={"presolve": "off"}
        )
        self.index = np.arange(columns)

    def solve(self, cost: Floats, budget: Budget) -> Floats | None:
        """Return the slope with the least sum of slacks times cost; None if the solver did not finish."""
        self.program.set_bounds(self.index, 0.0, cost)
        if self.program.solve(reading() + budget.remaining) != Status.OPTIMAL:
            return None
        return -self.program.multipliers

    def margins(self, slope: Floats) -> Floats:
        """Return by how much each point is on the right side, of shape (p,)."""
        return np.asarray(self.sign * (slope @ self.Z))


class _Walk:
    """A walk from vertex to vertex.

    `lines[0]` is the current hyperplane, `lines[k]` the direction in which it turns when point `basis[k]` is let go
    of and moves to the positive side by 1; `table` holds the values of all lines at all points. Before a direction has
    met a point its `basis` is -1, or -2 if there is none to meet.
    """

    def __init__(self, task: _Task, slope: Floats, rng: np.random.Generator) -> None:
        self.task = task
        size = len(task.Z)
        first = slope / np.abs(slope).max()
        axes = np.eye(size)
        j = int(np.argmax(np.abs(first)))
        axes[:, j] = axes[:, 0]
        axes[:, 0] = first
        self.lines = np.ascontiguousarray(np.linalg.qr(axes)[0].T)
        self.lines[0] = first
        self.table = np.ascontiguousarray(self.lines @ task.Z)
        self.looked = max(2.0, size / rng.uniform(4.0, 8.0))
        tenure, seed = rng.uniform(2.0, 10.0), int(rng.integers(1, 2**63, size=1, dtype=np.uint64)[0])
        self.walk = ArrangementWalk(self.table, self.lines, task.g, tenure, self.looked, seed)

    def candidates(self, whole: _Task, effort: int, budget: Budget) -> Iterator[Separator]:
        """Walk until `effort` lines have been searched; yield what is promising, with its value in `whole`."""
        size, p = self.table.shape
        same = whole is self.task
        target = whole.candidate(self.lines[0])[0] + whole.least if same else math.inf
        steps, done = int(effort / self.looked) + size, 0
        chunk = max(1, min(100, int(_OPERATIONS / (p * (size + 40 * self.looked)))))
        while done < steps and not budget.exhausted:
            until = min(steps, done + chunk)
            done, value = self.walk.run(until, target)
            if value < target:
                found = whole.candidate(self.turned())
                target = min(target, found[0] + whole.least) if same else value
                yield found
            if done == until and not self.refresh():
                return

    def turned(self) -> Floats:
        """Return the current hyperplane, turned a little so that the points on it come to their sides."""
        basis, inside = self.walk.basis, self.walk.inside
        held = np.flatnonzero(basis >= 0)
        side = np.where(self.task.g[basis[held]] < 0, 1.0, -1.0)
        a, change = self.table[0], side @ self.table[held]
        crosses = (inside == 0) & (np.abs(a) > _TINY) & (a * change < 0)
        length = 0.5 * float(np.min(np.abs(a[crosses] / change[crosses]), initial=1e3))
        return np.asarray(self.lines[0] + length * (side @ self.lines[held]))

    def refresh(self) -> bool:
        """Remove rounding errors by a step of Newton's method for the inverse, and recompute the table.

        Returns
        -------
        bool
            Whether they were small enough for that: points of a basis may be so nearly dependent that they are not.
        """
        held = np.flatnonzero(self.walk.basis >= 0)
        points = self.task.Z[:, self.walk.basis[held]]
        with np.errstate(over="ignore", invalid="ignore"):
            error = self.lines @ points
            error[held, np.arange(len(held))] -= 1.0
            if not np.all(np.abs(error) < _FAR):  # asked so that NaN fails, too
                return False
            self.lines -= error @ self.lines[held]
        np.dot(self.lines, self.task.Z, out=self.table)
        return True
