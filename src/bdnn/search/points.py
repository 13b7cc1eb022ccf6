"""The points of a problem as the search wants them: by feature, unscaled, in single precision where that is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.arrays import row_blocks

if TYPE_CHECKING:
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Array, Floats, Reals

# values of a column that are sorted for its quartiles, which need not be exact
_MAX_SORTED = 4_000
# ratio of the standard deviation to that of the middle part from which extremes make the former useless
_EXTREME = 16.0
# numbers beyond which single precision is taken for its memory: 40 MB instead of 80
_LARGE = 10_000_000
# interquartile range of a normal distribution, in standard deviations
_QUARTILES = 1.35


@dataclass(frozen=True, eq=False, slots=True)
class Points:
    """The points of a problem as the kernels want them; shared by all searches.

    Attributes
    ----------
    reduced : Presolved
        Where they come from.
    X : ndarray of shape (n', p), float32 or float64
        By feature, used columns only, on the grid if there is one; their values are exact.
    class_weight : ndarray of shape (p, C)
        Weight of each label.
    center, unit, reach : ndarray of shape (n',)
        Median, inverse of the standard deviation (of the value of a constant column; where a few extremes make that
        many times as large as the spread of the others, of theirs) and largest absolute value.
    """

    reduced: Presolved
    X: Array
    class_weight: Array
    center: Floats
    unit: Floats
    reach: Floats


def points(reduced: Presolved, dtype: str | None = None) -> Points:
    """Return the points of a presolved problem by feature; by default in single precision if there are many."""
    p, kept = reduced.n_points, reduced.kept
    large = (dtype or dtype_of(p * len(kept))) == "float32"
    # one type for both, as the kernels are compiled
    weight = _single(reduced.stored_weight) if large else None
    X = None if weight is None else _by_feature(reduced, np.float32)
    if weight is None or X is None:
        weight, X = reduced.class_weight, _by_feature(reduced, np.float64)
    assert X is not None  # doubles hold everything
    reach, spread = np.zeros((2, len(X)))
    if p:
        reach[:] = [max(abs(float(column.min())), abs(float(column.max()))) for column in X]
        spread[:] = [deviation(column) for column in X]
    # columns without variation do the work of biases where there are none
    spread = np.where(spread > 0, spread, np.where(reach > 0, reach, 1.0))
    return Points(
        reduced=reduced,
        X=X,
        class_weight=weight,
        center=np.asarray(reduced.center[kept], dtype=np.float64),
        unit=1 / spread,
        reach=reach,
    )


def dtype_of(size: int) -> str:
    """Return the type in which so many numbers are searched, if it holds them exactly."""
    return "float32" if size > _LARGE else "float64"


def _single(values: Reals) -> Array | None:
    """Return values in single precision, None if that would change one."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32, copy=False)
    return single if single is values or np.array_equal(single, values) else None


def _by_feature(reduced: Presolved, dtype: type[np.float32] | type[np.float64]) -> Array | None:
    """Return the used columns of the points, of shape (n', p); None if the type does not hold all numbers."""
    raw, rows, kept = np.asarray(reduced.problem.X), reduced.stored_rows, reduced.kept
    every = len(kept) == raw.shape[1]
    X = np.empty((len(kept), reduced.n_points), dtype=dtype)
    for block in row_blocks(reduced.n_points, max(raw.shape[1], 1)):
        values = raw[block if rows is None else rows[block]]
        if reduced.grid is not None:
            values = reduced.grid.quantize(values.astype(np.float64))
        if not every:
            values = values[:, kept]
        if dtype is np.float32 and values.dtype != np.float32:
            single = _single(values)
            if single is None:
                return None
            values = single
        X[:, block] = values.T
    return X


def deviation(column: Array) -> float:
    """Return the standard deviation of a column, but that of its middle part if extremes are all that makes it."""
    mean, total = column.mean(dtype=np.float64), 0.0
    for block in row_blocks(len(column), 1):
        off = column[block] - mean
        total += float((off * off).sum())
    whole = math.sqrt(total / len(column))
    part = np.sort(column[:: -(-len(column) // _MAX_SORTED)])
    # as of a bell curve; nothing where most values are the same
    quarter = len(part) // 4
    middle = (float(part[len(part) - 1 - quarter]) - float(part[quarter])) / _QUARTILES
    return middle if 0.0 < _EXTREME * middle < whole else whole
