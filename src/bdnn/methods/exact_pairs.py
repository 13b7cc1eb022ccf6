"""Exact training with two hidden neurons on one or two features: all pairs of halfspaces of the points.

A hidden neuron divides m points by a halfspace, in the plane in at most ``2 (1 + (m - 1) + C(m - 1, 2))`` ways (T. M.
Cover, doi:10.1109/PGEC.1965.264137). What an output does with two of them is a threshold function of two variables: a
constant, one of them or its complement, or a conjunction or disjunction of the two or their complements. The complement
of a halfspace is one, too, and so are all points. So each network is on where both of some two halfspaces are, or where
one of them is. With g the costs of being on, less those of being off, the cost of a conjunction is ``Σ_i g_i h_i k_i``:
one entry of a product of matrices, whose rows are halfspaces and columns points. That of the other conjunctions of h, k
and their complements is the same entry and sums over one of them, and a disjunction is the complement of a conjunction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.methods.exact_halfspaces import Costs, independent, refused, separator
from bdnn.network.network import Layer

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bits, Bools, Floats, Indices, Integers

MAX_FEATURES = 2
"""Independent features of points."""
# points: so many in the plane have 80,000 halfspaces, whose pairs take minutes
_MAX_POINTS = 400
# halfspaces of a block of pairs: sums of that many pairs stay near the processor
_BLOCK = 512
# sums of costs up to which single precision has them without rounding; doubles have all that `Costs` allows
_SINGLE = 2.0**24
# seconds for a pair, for a pair and a point, and for a line and a point, measured with 150 points of two features
_PER_PAIR, _PER_LOOK, _PER_SIDE = 2e-9, 2.5e-11, 1e-8
# the rounding error of a difference of products of differences, as a share of the products
_ERROR = 2.0**-49


@dataclass(frozen=True, eq=False)
class Pairs:
    """All ways in which two hidden neurons and an output can divide the points of a problem.

    Attributes
    ----------
    reduced : Presolved
        The problem, which `covers` has nothing against.
    columns : ndarray of shape (k,)
        Independent ones among the used columns.
    """

    reduced: Presolved
    columns: Indices

    @classmethod
    def of(cls, reduced: Presolved) -> Pairs:
        """Return the pairs of a problem that is covered."""
        columns = independent(reduced, MAX_FEATURES)
        assert columns is not None
        return cls(reduced, columns)

    @property
    def seconds(self) -> float:
        """About how many seconds it takes to see all pairs."""
        m = self.reduced.n_points
        count = sum(math.comb(max(m - 1, 0), k) for k in range(len(self.columns) + 1))
        return _PER_SIDE * m**3 + 0.5 * count**2 * (_PER_PAIR + _PER_LOOK * m)

    def search(self, best: float, proceed: Callable[[], bool]) -> tuple[bool, float, Network | None]:
        """Go through all pairs; the parameters and what is returned are those of `Arrangement.search`."""
        costs = Costs.of(self.reduced)
        gain, base = costs.gain[:, 0], costs.base
        points = np.asarray(self.reduced.raw_points[:, self.reduced.kept[self.columns]], dtype=np.float64)
        sides = divisions(points, proceed)
        if sides is None:
            return False, 0.0, None
        least, found, finished = costs.target(best) - base, None, True
        for value, pair in least_pairs(sides, gain, least):
            if value < least:
                least, found = value, pair
            if not proceed():
                finished = False
                break
        bound = costs.bound(base + least)
        return finished, bound, None if found is None else self._network(*found.hidden(sides), conjunction=found.both)

    def _network(self, first: Bools, second: Bools, *, conjunction: bool) -> Network | None:
        """Return the network that is on where both halfspaces are, or one of them; None if no floats were found."""
        points = self.reduced.X[:, self.columns]
        weights, bias = np.zeros((2, len(self.reduced.kept))), np.zeros(2)
        for k, side in enumerate((first, second)):
            found = separator(points, side)
            if found is None:
                return None
            weights[k, self.columns], bias[k] = found[:-1], found[-1]
        output, level = np.ones((1, 2)), np.array([-1.5 if conjunction else -0.5])
        if self.reduced.problem.head == "argmax":  # the second class against the first, whose score is 0
            output, level = np.vstack([np.zeros_like(output), output]), np.append(0.0, level)
        return self.reduced.to_network([Layer(weights, bias), Layer(output, level)])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two halfspaces and what is done with them.

    Attributes
    ----------
    rows : tuple of int
        Rows of `divisions`.
    complements : tuple of bool
        Whether each stands for its complement.
    both : bool
        Whether the output is on where both are, not where one of them is.
    """

    rows: tuple[int, int]
    complements: tuple[bool, bool]
    both: bool

    def hidden(self, sides: Bits) -> tuple[Bools, Bools]:
        """Return where the two hidden neurons are on."""
        first, second = (
            sides[row].astype(bool) ^ complement for row, complement in zip(self.rows, self.complements, strict=True)
        )
        return first, second


def covers(reduced: Presolved) -> str:
    """Return why the pairs of halfspaces of a problem cannot be gone through, or an empty string."""
    problem = reduced.problem
    if problem.hidden_layer_sizes != (2,):
        return "hidden layers other than one of two neurons"
    if len(problem.classes) > 2:
        return "more than two classes behind a hidden layer"
    if reduced.n_points > _MAX_POINTS:
        return f"more than {_MAX_POINTS} points and a hidden layer"
    return refused(reduced, MAX_FEATURES)


def divisions(points: Floats, proceed: Callable[[], bool] = lambda: True) -> Bits | None:
    """Return how halfspaces divide points of a line or a plane.

    Parameters
    ----------
    points : ndarray of shape (m, k)
        Different finite points, with k at most 2.
    proceed : callable
        Asked for each point whether to go on.

    Returns
    -------
    ndarray of shape (c, m), int8, or None
        Each division once: of two that are complements the one whose first point is 0. None if `proceed` said no.
    """
    m = len(points)
    plane = np.zeros((m, 2))
    plane[:, : points.shape[1]] = points
    exact = [_whole_numbers(column) for column in plane.T]
    order = np.lexsort(plane.T[::-1])  # of points in line, the order on the line
    found = [np.zeros((1, m), dtype=np.int8)]
    for i in range(m):
        if not proceed():
            return None
        found += _through(plane, exact, i, order)
    rows = np.vstack(found)
    rows ^= rows[:, :1]
    packed = np.unique(np.packbits(rows, axis=1), axis=0)
    return np.unpackbits(packed, axis=1, count=m).astype(np.int8)


def _whole_numbers(values: Floats) -> list[int]:
    """Return floats as integers, in units of the largest power of two of which all are multiples."""
    ratios = [float(value).as_integer_ratio() for value in values]
    unit = max(below for _, below in ratios)
    return [above * (unit // below) for above, below in ratios]


def _through(plane: Floats, exact: list[list[int]], i: int, order: Indices) -> list[Bits]:
    """Return the divisions by lines through a point, as its first one, and another one."""
    others = np.arange(i + 1, len(plane))
    if not len(others):
        return []
    x, y = (plane - plane[i]).T
    one, two = np.outer(x[others], y), np.outer(y[others], x)
    cross = one - two
    with np.errstate(invalid="ignore", over="ignore"):
        unsure = ~(np.abs(cross) > _ERROR * (np.abs(one) + np.abs(two)))
    side = np.sign(cross, where=~unsure, out=np.zeros_like(cross)).astype(np.int8)
    X, Y = exact
    for row, p in zip(*np.nonzero(unsure), strict=True):
        j = others[row]
        value = (X[j] - X[i]) * (Y[p] - Y[i]) - (Y[j] - Y[i]) * (X[p] - X[i])
        side[row, p] = (value > 0) - (value < 0)
    on = side == 0
    count = on.sum(axis=1)
    positive = (side > 0).astype(np.int8)
    plain = np.flatnonzero(count == 2)
    found = []
    for first in (0, 1):
        for second in (0, 1):
            rows = positive[plain]
            rows[:, i] = first
            rows[np.arange(len(plain)), others[plain]] = second
            found.append(rows)
    for row in np.flatnonzero(count > 2).tolist():
        if np.flatnonzero(on[row])[:2].tolist() != [i, int(others[row])]:
            continue  # it was seen from its first two points
        line = order[on[row][order]]
        before = np.tri(len(line) + 1, len(line), -1, dtype=np.int8)  # the first k points, for each k
        rows = np.repeat(positive[row][None], 2 * len(before), axis=0)
        rows[:, line] = np.vstack([before, 1 - before])
        found.append(rows)
    return found


def least_pairs(sides: Bits, gain: Integers, least: int) -> Iterator[tuple[int, Pair]]:
    """Give pairs that cost less and less, and at each block of pairs the best so far once more.

    Parameters
    ----------
    sides : ndarray of shape (c, m), int8
        As `divisions` returns them.
    gain : ndarray of shape (m,), int64
        What it costs at each point that the output is on, less what it costs that it is off.
    least : int
        Cost to be beaten.
    """
    kind = np.float32 if np.abs(gain).sum() < _SINGLE else np.float64
    H, everything = sides.astype(kind), float(gain.sum())
    G = H * gain.astype(kind)
    alone = G.sum(axis=1, dtype=np.float64).astype(kind)
    best: tuple[int, Pair] = (least, Pair((0, 0), (False, False), True))
    for low in range(0, len(H), _BLOCK):
        a = alone[low : low + _BLOCK, None]
        for high in range(low, len(H), _BLOCK):
            b = alone[None, high : high + _BLOCK]
            both = G[low : low + _BLOCK] @ H[high : high + _BLOCK].T
            rest = both - a
            for complements, table in (
                ((False, False), both),
                ((False, True), -rest),
                ((True, False), b - both),
                ((True, True), rest + (kind(everything) - b)),
            ):
                for conjunction, at in ((True, int(table.argmin())), (False, int(table.argmax()))):
                    value = int(table.flat[at])
                    value = value if conjunction else int(everything) - value
                    if value < best[0]:
                        row, column = divmod(at, table.shape[1])
                        first, second = complements
                        # where one of two halfspaces is, is where not both of their complements are
                        flipped = (first, second) if conjunction else (not first, not second)
                        best = value, Pair((low + row, high + column), flipped, conjunction)
            yield best
