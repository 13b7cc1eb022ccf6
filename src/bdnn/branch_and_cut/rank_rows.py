"""Rank rows: what no network avoids on a subset of the points, proven by a tree of its own, is a row for larger trees.

An inseparable set says that one of a few points is lost. A rank row says how much is lost on a hundred: with S the soft
constraints of a subset of the points and W their costs, Σ_S W e >= r(S), the least cost of the program on S alone. Its
tree may use the rank rows of smaller subsets, so that proofs build on one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.lemmas import Lemmas
from bdnn.branch_and_cut.proof_log import Record

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cut_pool import Rows
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
    record : Record, Lemmas or None
        Of the tree that has proven it, or of clauses that have, if trees are recorded. It names rank rows found
        earlier only.
    """

    points: Indices
    columns: Integers
    values: Integers
    bound: int
    record: Record | Lemmas | None = None


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
    floor : int or None
        The number of the one that proves most of all points.
    """

    def __init__(self, program: Program, cuts: Cuts) -> None:
        self.program, self.cuts, self.rows = program, cuts, list[RankRow]()
        self.floor: int | None = None
        # of the sets of the cuts, one after the other, whose members these are
        self._members, self._ends = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, points: Indices, bound: int, record: Record | Lemmas | None = None) -> None:
        """Store what was proven of some points."""
        every = len(points) == len(self.program.points)
        if every and (self.floor is None or bound > self.rows[self.floor].bound):
            self.floor = len(self.rows)
        columns = np.flatnonzero(np.isin(self.program.points.soft_point, points)).astype(np.int64)
        self.rows.append(RankRow(points, columns, self.program.cost[columns], bound, record))

    def entered(self, rows: Rows, begin: int) -> list[tuple[int, int]]:
        """Make rows of the rank rows from a number on; return the numbers and labels of those that were not there."""
        labels = [rows.add(rank.columns, rank.values, rank.bound) for rank in self.rows[begin:]]
        return [(number, label) for number, label in enumerate(labels, start=begin) if label >= 0]

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
        own = _record(arrays, f" rank {number} {kind}", len(ranks.cuts)) if record else None
        if own is not None and max(own.ranks, default=-1) >= number:
            raise ValueError("proofs of rank rows")
        ranks.add(part, int(table[number, 1]), own)


def _record(arrays: dict[str, Array], place: str, n_cuts: int) -> Record | Lemmas:
    """Return the record of a rank row."""
    stored = {name.removesuffix(place): values for name, values in arrays.items() if name.endswith(place)}
    if any(name.startswith("lemmas") for name in stored):
        return Lemmas.from_arrays(stored, n_cuts)
    own = Record()
    own.from_arrays(stored, n_cuts)
    return own


def solution(program: Program, weights: Floats) -> Bools:
    """Return which columns are 1 in the solution of weights that go with the signed rows, but for rounding errors."""
    products = program.points.rows @ weights.T
    unmet = np.zeros(program.columns.shape, dtype=bool)
    np.logical_or.at(unmet, program.points.row_requirement, products <= 0.0)
    x = np.zeros(len(program.cost), dtype=bool)
    x[program.columns[unmet]] = True
    for soft, _, members in program.linking_rows:
        x[soft] |= x[members[1:]].all()
    return x
