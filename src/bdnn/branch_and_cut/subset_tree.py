"""Trees for some of the points, which prove rank rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.frontier import Node
from bdnn.branch_and_cut.proof_log import Record
from bdnn.branch_and_cut.rank_rows import solution
from bdnn.branch_and_cut.tree import Tree

if TYPE_CHECKING:
    from bdnn.branch_and_cut.rank_rows import RankRows
    from bdnn.types import Floats, Indices


class SubsetTree(Tree):
    """Branch and cut for some of the points: all others are given up, and cost nothing.

    Parameters
    ----------
    ranks : RankRows
        Of the program of all points.
    points : ndarray of shape (k,)
        Places in `Points.point`, ascending.
    found : callable or None
        Receives the weights of networks that were found, which go with the signed rows.
    record : bool
        Whether proofs are written down.

    Attributes
    ----------
    proven : int
        What no network costs less than on the points, in units.
    exact : bool
        Whether a network costs just that.
    row_record : Record or None
        The proof of it, if proofs are written down.
    """

    def __init__(
        self, ranks: RankRows, points: Indices, found: Callable[[Floats], None] | None = None, *, record: bool = False
    ) -> None:
        program, every = ranks.program, ranks.program.points
        inside = np.zeros(len(every), dtype=bool)
        inside[points] = True
        self._inside = inside[every.requirement_point]
        given_up = np.ones(len(program.cost), dtype=bool)
        given_up[: len(every.soft_point)] = ~inside[every.soft_point]
        given_up[program.columns[self._inside].ravel()] = False
        if program.always >= 0:
            given_up[program.always] = True
        cost = np.where(given_up, 0, program.cost)
        super().__init__(
            replace(program, cost=cost), ranks.cuts, float(cost.sum()), _unused, record=record, ranks=ranks
        )
        # proofs do not say that they are 1: no row asks for less, and they cost nothing
        self._heap[0].lower[given_up] = 1
        self._root = Node(0, 0, 0, self._heap[0].lower.copy(), self._heap[0].upper.copy())
        self.points, self.proven, self._found = points, 0, found
        self.row_record: Record | None = None
        self._everything = float(cost.sum())
        self.exact = not self._everything
        # points of small weight are not worth an aim of their own
        self._step = max(1, round(float(cost[cost > 0].mean()))) if cost.any() else 1
        self._aim, self._since = math.inf, 0  # of this aim: nodes before
        self._written = False  # whether the record of this aim is finished

    def raise_bound(self, most: int, proceed: Callable[[], bool]) -> bool:
        """Aim higher and higher, as long as an aim takes at most some nodes; return False if `proceed` said no before.

        Afterward it can be asked for once more, with more nodes for an aim.

        Parameters
        ----------
        most : int
            Nodes for one aim.
        proceed : callable
            Asked at every node and round; if it says no, the work can be gone on with.
        """
        if self._written and not self.exact:
            self._begin(self.proven + self._step)
        while not self.exact:
            limit = most if self._aim < math.inf else 1  # the first node shows what to aim at

            def go_on(limit: int = limit) -> bool:
                return self.nodes - self._since < limit and proceed()

            self.run(go_on)
            closed = self.closed
            if not closed and self.n_waiting and self.nodes - self._since < limit:
                return False
            self._take(closed=closed)
            if self._aim < math.inf and not closed:
                return True
            self._begin(self.proven + self._step)
        return True

    def _take(self, *, closed: bool) -> None:
        """Note what is proven; after a new proof, a recorded tree cannot be gone on with until it is begun anew."""
        if self.bound > self.proven:
            self.proven = int(self.bound)
            if self.record is not None:
                self.row_record, self._written = self.finish_record(), True
        # a network was found that costs no more
        self.exact = (closed and self.best < self._aim) or self.proven >= self._everything

    def _begin(self, aim: float) -> None:
        """Begin anew, to show that nothing costs less than an aim."""
        self._aim, self.best, self._since, self._written = aim, aim, self.nodes, False
        if self.record is not None:
            self.record = Record()
        known = 0 if self.record is not None else self.proven
        root = Node(known, 0, 0, self._root.lower.copy(), self._root.upper.copy())
        self.resume([root], self.gain, self.tried, self.nodes, -1)

    def _new_sets(self) -> Iterable[int]:
        return self.ranks.sets_within(self._inside, self._taken).tolist() if self.ranks is not None else ()

    def evaluate(self, weights: Floats) -> float:
        """Return what a network costs on the points."""
        if self._found is not None:
            self._found(weights)
        return float(solution(self.program, weights) @ self.program.cost)


def _unused(network: object) -> float:
    return math.inf
