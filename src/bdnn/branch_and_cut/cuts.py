"""Inseparable sets of requirements: found by the alternative linear program, proven exactly before they count."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import enclosed_support
from bdnn.branch_and_cut import alternative
from bdnn.exact import separability as exact
from bdnn.types import Bools, Floats, Integers

if TYPE_CHECKING:
    from bdnn.branch_and_cut.program import Points

# price of residuals, beside costs of 0 to 1: they leave the basis first
_RESIDUAL = 100.0
# pivots of one linear program, fewer where rows are long, so that a call takes about a second at most: operations are
# limited, but some pivots are always allowed; and the factor by which there may be more where an answer is needed
_MAX_PIVOTS, _MAX_OPERATIONS, _MIN_PIVOTS, _PATIENCE = 5000, 2e9, 50, 20
# standard deviation of the logarithms of costs, so that sets vary, and the most that a requirement costs beside
_SPREAD, _NOISE = 0.8, 1e-5
# cost of requirements that are given up for good: more than a whole set costs, so that none contains them
_AVOIDED = 3.0
# how much a set must be violated: well above the tolerances of the linear program
_VIOLATION = 1e-3
# sets that one call may find
_MAX_FOUND = 64

# verdicts of exact arithmetic
_UNKNOWN, _PROVEN, _FALSE = 0, 1, 2


class Cuts:
    """All inseparable sets found so far, numbered.

    Parameters
    ----------
    points : Points
        Whose signed rows are asked about.
    rng : numpy.random.Generator
        Source of the variety of sets.

    Attributes
    ----------
    sets : list of ndarray of int64
        Requirements of each set, ascending.
    supports : list of ndarray of int64
        Signed rows that make them inseparable.
    n_given : int
        Sets that were there from the start: the pairs of `Points.pairs`.
    proceed : callable or None
        Asked about every 10 ms while sets are sought; if it says no, that ends as at a limit of pivots.
    """

    def __init__(self, points: Points, rng: np.random.Generator) -> None:
        self.points, self.sets = points, list[Integers]()
        self._rng = rng
        self.proceed: Callable[[], bool] | None = None
        self._known: dict[bytes, int] = {}
        self.supports: list[Integers] = []
        self._proven = np.zeros(0, dtype=np.int8)
        self._multipliers: dict[int, tuple[list[int], list[int]]] = {}
        rows = points.rows
        self._program = alternative.alternative(rows)
        self._pivots = max(_MIN_PIVOTS, min(_MAX_PIVOTS, int(_MAX_OPERATIONS / (rows.size + rows.shape[1] ** 2 + 1))))
        self._buffer = np.zeros((_MAX_FOUND, rows.shape[1] + 1), dtype=np.int64)
        self._sizes = np.zeros(_MAX_FOUND, dtype=np.int64)
        for pair in points.pairs():
            self.add(pair)
        self.n_given = len(self.sets)

    def __len__(self) -> int:
        return len(self.sets)

    def add(self, support: Integers) -> int:
        """Store the requirements of some signed rows, ascending; return the number of the set, -1 if it is known."""
        known = len(self.sets)
        number = self.put(support)
        return number if number == known else -1

    def put(self, support: Integers) -> int:
        """Store the requirements of some signed rows, ascending, if they are new; return the number of the set."""
        members = self.points.row_requirement[support].astype(np.int64, copy=False)
        if not (members[1:] > members[:-1]).all():  # several rows of one requirement
            members = np.unique(members)
        key = members.tobytes()
        if key in self._known:
            return self._known[key]
        self._known[key] = number = len(self.sets)
        self.sets.append(members)
        self.supports.append(np.array(support, dtype=np.int64))
        return number

    def proven(self, numbers: set[int]) -> dict[int, bool]:
        """Tell which of some sets are inseparable beyond doubt; what is cheap to decide is decided for all sets."""
        n = len(self.sets)
        new = range(len(self._proven), n)
        if new:
            verdicts = np.zeros(len(new), dtype=np.int8)
            size = self.points.raw_rows.shape[1] + 1
            square = [number for number in new if len(self.supports[number]) == size]
            if square:
                supports = np.array([self.supports[number] for number in square])
                verdicts[np.array(square) - new.start] = exact.enclosed_many(self.points.raw_rows, supports)
            self._proven = np.concatenate([self._proven, verdicts])
        for number in numbers:
            if self._proven[number] == _UNKNOWN:
                sure = enclosed_support(self.points.raw_rows, self.supports[number])
                sure = sure or self.multipliers(number) is not None
                self._proven[number] = _PROVEN if sure else _FALSE
        return {number: bool(self._proven[number] == _PROVEN) for number in numbers}

    def multipliers(self, number: int) -> tuple[list[int], list[int]] | None:
        """Return signed rows and positive integers whose combination of them vanishes, or None if there are none."""
        if number not in self._multipliers:
            support = self.supports[number]
            combination = exact.multipliers(self.points.raw_rows[support])
            if combination is None:
                return None
            self._multipliers[number] = support[combination[0]].tolist(), combination[1]
        return self._multipliers[number]

    def separate(self, given: Floats, tries: int, avoided: Bools | None = None) -> list[Integers]:
        """Return inseparable sets of signed rows, not yet proven, of which `given` gives up less than one in all.

        Parameters
        ----------
        given : ndarray of shape (m,)
            How much each requirement is given up, 0 to 1.
        tries : int
            Linear programs solved, each with other costs.
        avoided : ndarray of shape (m,), bool, or None
            Requirements that are given up for good.
        """
        given = given[self.points.row_requirement]
        avoided = None if avoided is None else avoided[self.points.row_requirement]
        shape = tries, len(given)
        # prices per multiplier, not per point: their scale is arbitrary, so it is varied a lot
        cost = given * np.exp(_SPREAD * self._rng.normal(size=shape)) + _NOISE * self._rng.random(shape)
        if avoided is not None:
            cost[:, avoided] += _AVOIDED
        _, n_found = self._solve(cost, given, 1.0 - _VIOLATION, self._pivots, self.proceed)
        return [self._buffer[k, : self._sizes[k]].copy() for k in range(n_found)]

    def weights(self, given: Bools) -> tuple[Floats | None, Integers | None]:
        """Return weights that meet all requirements not given up, or signed rows that show there are none.

        Neither, if rounding errors leave the question open.
        """
        given = given[self.points.row_requirement]
        cost = given.astype(np.float64)
        # not to be interrupted: without an answer the node is given up
        objective, n_found = self._solve(cost, cost, 0.5, _PATIENCE * self._pivots, None)
        if n_found:
            return None, self._buffer[0, : self._sizes[0]].copy()
        weights: Floats = -self._program.prices[:-1]
        if np.isfinite(objective) and exact.separates(weights, self.points.rows[~given]):
            return weights, None
        return None, None

    def _solve(
        self, cost: Floats, given: Floats, most: float, pivots: int, proceed: Callable[[], bool] | None
    ) -> tuple[float, int]:
        return alternative.separate(
            self._program, cost, _RESIDUAL, given, most, pivots, self._buffer, self._sizes, 0, proceed
        )
