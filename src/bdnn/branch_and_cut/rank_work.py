"""Which subsets of the points get rank rows, and how much work each: chosen by what it has paid so far."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.rank_rows import RankRows, SubsetTree

if TYPE_CHECKING:
    from bdnn.types import Indices

# points of the first subsets, for each weight of a neuron, and the part of all points that they are at least and at
# most: fewer points can be learned without a loss, and nearly all are as hard as the whole
_POINTS_PER_WEIGHT, _LEAST_PART, _LARGEST_PART = 6, 0.25, 0.8
# factor between sizes that are compared, and subsets of each that are
_GROWTH, _COMPARED = 1.2, 3
# how often each point is in a subset of a round: sums over subsets that cover all points alike bound the whole best
_COVERED = 4
# nodes for an aim in the first round, and by what they grow from round to round: a bound that is higher by one costs
# about three times the nodes
_FIRST_NODES, _MORE_NODES = 100, 3


class RankWork:
    """Finds rank rows, round by round: the next has more nodes for each subset, and larger subsets if they pay.

    In a round subsets are dealt from a shuffled deck of all points. Subsets of two sizes are tried, and the size that
    proves more for each point is gone on with.

    Parameters
    ----------
    ranks : RankRows
        Receives them.
    seed : int
        Of the deals.
    record : bool
        Whether proofs are written down.

    Attributes
    ----------
    nodes : int
        Nodes solved.
    rounds : int
        Rounds that are done.
    """

    def __init__(self, ranks: RankRows, seed: int, *, record: bool = False) -> None:
        self._ranks, self._record, self._rng = ranks, record, np.random.default_rng(seed)
        self._points = points = ranks.program.points
        self._weight = np.bincount(points.soft_point, points.weight, len(points))
        self.nodes = self.rounds = 0
        self._deck = np.zeros(0, dtype=np.int64)
        self._proceed: Callable[[], bool] = lambda: True
        self._course = self._work()

    def work(self, proceed: Callable[[], bool]) -> None:
        """Go on until `proceed`, which is asked at every node and round, says no."""
        self._proceed = proceed
        while proceed() and next(self._course, False):
            pass

    def _work(self) -> Generator[bool, None, None]:
        """Work; give True where that can be interrupted."""
        n = len(self._points)
        size = max(_LEAST_PART * n, float(_POINTS_PER_WEIGHT * self._points.rows.shape[1]))
        size = min(size, _LARGEST_PART * n)
        most = _FIRST_NODES
        while n:
            size = yield from self._round(size, most)
            self.rounds, most = self.rounds + 1, most * _MORE_NODES

    def _round(self, size: float, most: int) -> Generator[bool, None, float]:
        """Try subsets of a size, and of larger ones as long as these pay more; return the last that did."""
        n, left = len(self._points), float(_COVERED * len(self._points))
        density: dict[float, float] = {}
        while left > 0:
            larger = min(_GROWTH * size, _LARGEST_PART * n)
            for each in (size, larger):
                if each in density:
                    continue
                proven: list[float] = []
                for _ in range(_COMPARED):
                    left -= each
                    proven.append((yield from self._solve(self._deal(round(each)), most)))
                density[each] = float(np.mean(proven))
            if larger > size and density[larger] >= density[size]:
                size = larger
                continue
            while left > 0:
                left -= size
                yield from self._solve(self._deal(round(size)), most)
        return size

    def _deal(self, size: int) -> Indices:
        """Return the next points of the deck, of which every point comes as often as every other."""
        taken = np.zeros(0, dtype=np.int64)
        while len(taken) < size:
            if not len(self._deck):
                self._deck = self._shuffled()
            fresh = self._deck[~np.isin(self._deck, taken)][: size - len(taken)]
            self._deck = self._deck[~np.isin(self._deck, fresh)]
            taken = np.concatenate([taken, fresh])
        return np.sort(taken)

    def _shuffled(self) -> Indices:
        """Return all points in random order, those of each target spread evenly."""
        points = self._points
        target = np.zeros(len(points), dtype=np.int64)
        target[points.soft_point] = points.target
        place = np.empty(len(points))
        for wanted in np.unique(target):
            mine = self._rng.permutation(np.flatnonzero(target == wanted))
            place[mine] = (np.arange(len(mine)) + self._rng.random()) / len(mine)
        return np.argsort(place, kind="stable")

    def _solve(self, points: Indices, most: int) -> Generator[bool, None, float]:
        """Find a rank row of some points; return what was proven for each unit of their weight."""
        tree = SubsetTree(self._ranks, points, record=self._record)
        before = 0
        while not tree.raise_bound(most, self._proceed):
            self.nodes, before = self.nodes + tree.nodes - before, tree.nodes
            yield True
        self.nodes += tree.nodes - before
        if tree.proven > 0:
            self._ranks.add(points, tree.proven, tree.row_record)
        yield True
        return tree.proven / max(float(self._weight[points].sum()), 1.0)
