"""Rank rows: what no network avoids on a subset of the points, proven by a tree of its own, is a row for larger trees.

An inseparable set says that one of a few points is lost. A rank row says how much is lost on a hundred: with S the soft
constraints of a subset of the points and W their costs, Σ_S W e >= r(S), the least cost of the program on S alone. Its
tree may use the rank rows of smaller subsets, so that proofs build on one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.frontier import Node
from bdnn.branch_and_cut.proof_log import Record
from bdnn.branch_and_cut.tree import Tree

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.program import Program
    from bdnn.types import Array, Bools, Floats, Indices, Integers


@dataclass(frozen=True, slots=True, eq=False)
class RankRow:
    """The costs of some points are at least a bound.

    Attributes
    ----------
    points : ndarray of shape (k,)
        Places in `Points.point`, ascending.
    columns, values : ndarray of shape (s,), int64
        Soft constraints of these points, and their costs in units.
    bound : int
        What no network costs less than on them, in units.
    record : Record or None
        Of the tree that has proven it, if trees are recorded. It names rank rows found earlier only.
    """

    points: Indices
    columns: Integers
    values: Integers
    bound: int
    record: Record | None = None


class RankRows:
    """The rank rows of one program, in the order in which they were found; trees take new ones by themselves.

    Parameters
    ----------
    program : Program
        Of all points.
    cuts : Cuts
        Inseparable sets, shared with trees.

    Attributes
    ----------
    rows : list of RankRow
        All that were found.
    """

    def __init__(self, program: Program, cuts: Cuts) -> None:
        self.program, self.cuts, self.rows = program, cuts, list[RankRow]()
        # of the sets of the cuts, one after the other, whose members these are
        self._members, self._ends = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, points: Indices, bound: int, record: Record | None = None) -> None:
        """Store what was proven of some points."""
        columns = np.flatnonzero(np.isin(self.program.points.soft_point, points)).astype(np.int64)
        self.rows.append(RankRow(points, columns, self.program.cost[columns], bound, record))

    def sets_within(self, inside: Bools, begin: int) -> Integers:
        """Return the sets from a number on whose requirements are all marked."""
        known = len(self._ends) - 1
        if known < len(self.cuts):
            new = self.cuts.sets[known:]
            self._members = np.concatenate([self._members, *new])
            ends = self._ends[-1] + np.cumsum([len(members) for members in new])
            self._ends = np.concatenate([self._ends, ends])
        starts, n = self._ends[begin:-1], len(self._ends) - 1 - begin
        if n <= 0:
            return np.zeros(0, dtype=np.int64)
        outside = np.add.reduceat(~inside[self._members[starts[0] :]], starts - starts[0])
        return begin + np.flatnonzero(outside == 0)


def ranks_to_arrays(ranks: RankRows, kind: str) -> dict[str, Array]:
    """Return rank rows as arrays, to be stored; `kind` tells several of them apart."""
    rows = list(ranks.rows)
    arrays: dict[str, Array] = {
        f"rank points {kind}": np.concatenate([*(row.points for row in rows), np.zeros(0, dtype=np.int64)]),
        f"rank bounds {kind}": np.array([(len(row.points), row.bound) for row in rows], dtype=np.int64).reshape(-1, 2),
    }
    for number, row in enumerate(rows):
        if row.record is not None:
            arrays |= {f"{name} rank {number} {kind}": values for name, values in row.record.to_arrays().items()}
    return arrays


def restore_ranks(arrays: dict[str, Array], kind: str, ranks: RankRows, *, record: bool) -> None:
    """Put the rank rows of a checkpoint into new ones; in `bdnn.branch_and_cut.checkpoint.undamaged`.

    Checkpoints of earlier versions have none. The cuts must have been restored.
    """
    if f"rank bounds {kind}" not in arrays:
        return
    table, points = arrays[f"rank bounds {kind}"], arrays[f"rank points {kind}"].astype(np.int64)
    if table.shape[1:] != (2,) or np.any(table < 1) or table[:, 0].sum() != len(points):
        raise ValueError("rank bounds")
    for number, part in enumerate(np.split(points, np.cumsum(table[:, 0])[:-1]) if len(table) else []):
        if part[0] < 0 or part[-1] >= len(ranks.program.points) or np.any(np.diff(part) <= 0):
            raise ValueError("rank points")
        own = None
        if record:
            own = Record()
            own.from_arrays({name: arrays[f"{name} rank {number} {kind}"] for name in own.to_arrays()}, len(ranks.cuts))
            if max(own.ranks, default=-1) >= number:
                raise ValueError("proofs of rank rows")
        ranks.add(part, int(table[number, 1]), own)


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
            replace(program, cost=cost), ranks.cuts, float(cost.sum()), _unused, record=record, ranks=ranks,
            given_up=given_up,
        )  # fmt: skip
        self._root = Node(0, 0, 0, self._heap[0].lower.copy(), self._heap[0].upper.copy())
        self.points, self.proven, self._found = points, 0, found
        self.row_record: Record | None = None
        self._everything = float(cost.sum())
        self.exact = not self._everything
        # points of small weight are not worth an aim of their own
        self._step = max(1, round(float(cost[cost > 0].mean()))) if cost.any() else 1
        self._aim, self._since = math.inf, 0  # of this aim: nodes before

    def raise_bound(self, most: int, proceed: Callable[[], bool]) -> bool:
        """Aim higher and higher, as long as an aim takes at most some nodes; return False if `proceed` said no before.

        Parameters
        ----------
        most : int
            Nodes for one aim.
        proceed : callable
            Asked at every node and round; if it says no, the work can be gone on with.
        """
        while not self.exact:
            limit = most if self._aim < math.inf else 1  # the first node shows what to aim at

            def go_on(limit: int = limit) -> bool:
                return self.nodes - self._since < limit and proceed()

            self.run(go_on)
            if not self.closed and self.nodes - self._since < limit:
                return False
            self._take()
            if self._aim < math.inf and not self.closed:
                return True
            self._begin(self.proven + self._step)
        return True

    def _take(self) -> None:
        """Note what is proven."""
        if self.bound > self.proven:
            self.proven = int(self.bound)
            if self.record is not None:
                self.row_record = self.finish_record()
        # a network was found that costs no more
        self.exact = (self.closed and self.best < self._aim) or self.proven >= self._everything

    def _begin(self, aim: float) -> None:
        """Begin anew, to show that nothing costs less than an aim."""
        self._aim, self.best, self._since = aim, aim, self.nodes
        if self.record is not None:
            self.record = Record()
        known = 0 if self.record is not None else self.proven
        root = Node(known, 0, 0, self._root.lower.copy(), self._root.upper.copy())
        self.resume([root], self.gain, self.tried, self.nodes, -1)

    def _new_sets(self) -> Iterable[int]:
        return self.ranks.sets_within(self._inside, self._taken).tolist() if self.ranks is not None else ()

    def _evaluate(self, weights: Floats) -> float:
        if self._found is not None:
            self._found(weights)
        return float(self.program.solution(weights) @ self.program.cost)


def _unused(network: object) -> float:
    return math.inf
