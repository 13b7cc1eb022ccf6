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

# deals with two, three and four blocks that bring no higher sum of bounds, after which the best one gets more nodes:
# the more blocks the longer a deal takes, and with more than four, subsets are nearly as hard as the whole
_IDLE_DEALS = (6, 2, 1)
# nodes for an aim in the first deal, and by what they grow: a bound that is higher by one costs about three times more
_FIRST_NODES, _MORE_NODES = 2000, 3


class RankWork:
    """Finds rank rows of subsets that leave out one of several blocks of points: halves first, then larger ones.

    Each number of blocks has several deals. The one of the highest sum of bounds gets more nodes before there is one
    block more.

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
        n_blocks, best, idle, most = 2, -1, 0, _FIRST_NODES
        promising: list[SubsetTree] = []
        while n_blocks <= min(len(_IDLE_DEALS) + 1, len(self._target) // 2):
            block = self._dealt(n_blocks)
            for better in blocks(self._patterns, block, self._target, self._rng):
                block = better
                yield True
            trees = [
                SubsetTree(self._ranks, np.flatnonzero(block != k), self._patterns.add, record=self._record)
                for k in range(n_blocks)
            ]
            total = yield from self._solved(trees, most)
            if total > best:
                best, idle, promising = total, 0, trees
            else:
                idle += 1
            if idle >= _IDLE_DEALS[n_blocks - 2]:
                yield from self._solved(promising, most * _MORE_NODES)
                n_blocks, best, idle, most = n_blocks + 1, -1, 0, most * _MORE_NODES

    def _dealt(self, n_blocks: int) -> Indices:
        """Return a random block for each point, those of each target spread evenly."""
        order = np.argsort(self._target + self._rng.random(len(self._target)), kind="stable")
        block = np.empty(len(order), dtype=np.int64)
        block[order] = np.arange(len(order)) % n_blocks
        return block

    def _solved(self, trees: list[SubsetTree], most: int) -> Generator[bool, None, int]:
        """Find rank rows of the points of some trees; return the sum of what is proven, in units."""
        for tree in trees:
            proven, before = tree.proven, tree.nodes
            while not tree.raise_bound(most, self._proceed):
                self.nodes, before = self.nodes + tree.nodes - before, tree.nodes
                yield True
            self.nodes += tree.nodes - before
            if tree.proven > proven:
                self._ranks.add(tree.points, tree.proven, tree.row_record)
            yield True
        self.deals += 1
        return sum(tree.proven for tree in trees)
