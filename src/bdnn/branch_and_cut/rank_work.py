"""Which subsets of the points get rank rows, and how much work each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.rank_blocks import Patterns, blocks
from bdnn.branch_and_cut.subset_tree import SubsetTree

if TYPE_CHECKING:
    from bdnn.branch_and_cut.rank_blocks import Separators
    from bdnn.branch_and_cut.rank_rows import RankRows
    from bdnn.types import Indices

# deals with a number of blocks that bring no higher sum of bounds, after which there is one block more
_IDLE_DEALS = 1
# blocks at most: subsets that leave out less are nearly as hard as the whole
_MOST_BLOCKS = 4
# nodes for an aim in the first deal, and by what they grow: a bound that is higher by one costs about three times more
_FIRST_NODES, _MORE_NODES = 2000, 3


class RankWork:
    """Finds rank rows of subsets that leave out one of several blocks of points: halves first, then larger ones.

    Parameters
    ----------
    ranks : RankRows
        Receives them.
    seed : list of int
        Of the choice.
    separators : Separators or None
        Finds networks of one neuron.
    record : bool
        Whether proofs are written down.

    Attributes
    ----------
    nodes : int
        Nodes solved.
    deals : int
        Deals of blocks that are done.
    done : bool
        Whether nothing is left to do.
    """

    def __init__(
        self, ranks: RankRows, seed: list[int], separators: Separators | None = None, *, record: bool = False
    ) -> None:
        self._ranks, self._record, self._rng = ranks, record, np.random.default_rng(seed)
        points = ranks.program.points
        self._target = np.zeros(len(points), dtype=np.int64)
        self._target[points.soft_point] = points.target
        self._patterns = Patterns(ranks.program, self._rng, separators)
        self.nodes, self.deals, self.done = 0, 0, False
        self._proceed: Callable[[], bool] = lambda: True
        self._course = self._work()

    def work(self, proceed: Callable[[], bool]) -> None:
        """Go on until `proceed`, which is asked at every node and round, says no."""
        self._proceed = proceed
        while not self.done and proceed():
            self.done = not next(self._course, False)

    def _work(self) -> Iterator[bool]:
        """Work; give True where that can be interrupted."""
        n_blocks, best, idle, most = 2, 0, 0, _FIRST_NODES
        while n_blocks <= min(_MOST_BLOCKS, len(self._target) // 2):
            block = self._dealt(n_blocks)
            for better in blocks(self._patterns, block, self._target, self._rng):
                block = better
                yield True
            total = 0
            for k in range(n_blocks):
                total += yield from self._solve(np.flatnonzero(block != k), most)
            self.deals += 1
            idle = 0 if total > best else idle + 1
            best = max(best, total)
            if idle >= _IDLE_DEALS:
                n_blocks, best, idle, most = n_blocks + 1, 0, 0, most * _MORE_NODES

    def _dealt(self, n_blocks: int) -> Indices:
        """Return a random block for each point, those of each target spread evenly."""
        order = np.argsort(self._target + self._rng.random(len(self._target)), kind="stable")
        block = np.empty(len(order), dtype=np.int64)
        block[order] = np.arange(len(order)) % n_blocks
        return block

    def _solve(self, points: Indices, most: int) -> Generator[bool, None, int]:
        """Find a rank row of some points; return what was proven, in units."""
        tree = SubsetTree(self._ranks, points, self._patterns.add, record=self._record)
        before = 0
        while not tree.raise_bound(most, self._proceed):
            self.nodes, before = self.nodes + tree.nodes - before, tree.nodes
            yield True
        self.nodes += tree.nodes - before
        if tree.proven > 0:
            self._ranks.add(points, tree.proven, tree.row_record)
        yield True
        return tree.proven
