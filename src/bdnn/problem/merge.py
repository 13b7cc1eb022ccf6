"""Equal rows of inputs become one point, whose labels keep their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bdnn.arrays import row_blocks, runs

if TYPE_CHECKING:
    from bdnn.network.grid import InputGrid
    from bdnn.types import Floats, Indices, Reals

# rows that are sorted, which needs several copies of them (80 MB each); if there are more, their hashes are compared
_SORTED_ROWS = 100_000
_SORTED_NUMBERS = 10_000_000  # the same in numbers
# multipliers of common 64-bit hashes: odd, with about as many ones as zeros
_HASH_FACTORS = 0x9FB21C651E98DF25, 0xD6E8FEB86659FD93


@dataclass(frozen=True, eq=False, slots=True)
class Inputs:
    """Rows of raw inputs as the reduced problem sees them, quantized and without negative zeros, made block by block.

    `chosen` names the rows, None all of them.
    """

    X: Reals
    grid: InputGrid | None
    chosen: Indices | None

    def __len__(self) -> int:
        return len(self.X if self.chosen is None else self.chosen)

    @property
    def is_large(self) -> bool:
        """Whether there are so many numbers that copies of them are to be avoided."""
        return bool(len(self) * self.X.shape[1] > _SORTED_NUMBERS)

    def take(self, rows: slice | Indices) -> Floats:
        """Return some of the chosen rows."""
        X = self.X[rows if self.chosen is None else self.chosen[rows]]
        return (X.astype(np.float64, copy=False) if self.grid is None else self.grid.quantize(X)) + 0.0

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield all chosen rows."""
        for rows in row_blocks(len(self), self.X.shape[1]):
            yield rows, self.take(rows)


def merge(inputs: Inputs, codes: Indices, weight: Floats, n_classes: int) -> tuple[Floats, Indices]:
    """Return the total weight of each label at each distinct row, and the first of the chosen rows that is equal.

    Few rows are sorted; many are left in the order of their first occurrence.
    """
    if inputs.chosen is not None:
        codes, weight = codes[inputs.chosen], weight[inputs.chosen]
    if len(inputs) > _SORTED_ROWS or inputs.is_large:
        first, index = _equal_rows(inputs)
    elif inputs.X.shape[1]:
        first, index = _sorted_rows(inputs.take(slice(None)))
    else:
        first, index = np.zeros(1, dtype=np.intp), np.zeros(len(inputs), dtype=np.intp)
    if index is None:
        totals = np.zeros((len(first), n_classes))
        totals[first, codes] = weight
        return totals, first
    flat = index.ravel() * n_classes
    flat += codes
    sums = np.bincount(flat, weights=weight, minlength=len(first) * n_classes)
    return np.asarray(sums, dtype=np.float64).reshape(len(first), n_classes), first


def _sorted_rows(rows: Floats) -> tuple[Indices, Indices]:
    """Return the first of each class of equal rows, in the order of their numbers, and the class of each row.

    That is what `numpy.unique` says, which needs several copies of all rows.
    """
    order, differs = runs(rows, rows.view([(f"f{j}", rows.dtype) for j in range(rows.shape[1])]).ravel())
    index = np.empty(len(rows), dtype=np.intp)
    index[order] = np.cumsum(differs) - 1
    return order[differs], index


def _equal_rows(inputs: Inputs) -> tuple[Indices, Indices | None]:
    """Return the first of each class of equal rows, in order, and the class of each row, None if all rows differ.

    Rows of equal hashes are compared. Where hashes deceive, rows are sorted.
    """
    hashes = _hashes(inputs)
    ordered = np.sort(hashes)
    starts = np.ones(len(hashes), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    del ordered
    if np.all(starts):
        return np.arange(len(hashes)), None
    # stable: the first of each run of equal hashes is the first in the data
    order = np.argsort(hashes, kind="stable")
    del hashes
    lengths = np.diff(np.flatnonzero(starts), append=len(order))
    alike = np.empty_like(order)
    alike[order] = np.repeat(order[starts], lengths)
    del order, starts, lengths
    deceived = [np.zeros(0, dtype=np.intp)]
    for rows in row_blocks(len(alike), inputs.X.shape[1]):
        some = rows.start + np.flatnonzero(alike[rows] != np.arange(rows.start, rows.stop))
        unequal = np.any(inputs.take(some) != inputs.take(alike[some]), axis=1)
        deceived.append(alike[some[unequal]])
    if len(runs := np.unique(np.concatenate(deceived))):
        mixed = np.flatnonzero(np.isin(alike, runs))
        _, first, index = np.unique(inputs.take(mixed), axis=0, return_index=True, return_inverse=True)
        alike[mixed] = mixed[first][index.ravel()]
    is_first = np.empty(len(alike), dtype=bool)
    for rows in row_blocks(len(alike), 1):
        is_first[rows] = alike[rows] == np.arange(rows.start, rows.stop)
    return np.flatnonzero(is_first), (np.cumsum(is_first) - 1)[alike]


def _hashes(inputs: Inputs) -> NDArray[np.uint64]:
    """Return 64 bits for each row, the same for rows of the same numbers."""
    one, other = (np.uint64(factor) for factor in _HASH_FACTORS)
    hashes = np.zeros(len(inputs), dtype=np.uint64)
    for rows, block in inputs.blocks():
        mixed = hashes[rows]
        # each step can be undone, so that two rows meet only by chance
        for bits in np.ascontiguousarray(block.T).view(np.uint64):
            bits *= one
            bits ^= bits >> np.uint64(32)
            mixed ^= bits
            mixed *= other
            mixed ^= mixed >> np.uint64(29)
    return hashes


def counts_up(rows: Indices, m: int) -> bool:
    """Whether rows are 0, 1, …, m - 1."""
    return len(rows) == m and all(
        np.array_equal(rows[some], np.arange(some.start, some.stop)) for some in row_blocks(m, 1)
    )


def compact(values: Floats) -> Reals:
    """Return a matrix in single precision if that changes no number, else as it is."""
    single = np.empty(values.shape, dtype=np.float32)
    for rows in row_blocks(*values.shape):
        with np.errstate(over="ignore", under="ignore"):
            single[rows] = values[rows]
        if not np.array_equal(single[rows], values[rows]):
            return values
    return single
