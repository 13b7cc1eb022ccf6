"""The points of a problem as the search wants them: by feature, unscaled, in single precision where that is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bdnn.network import Array, Floats
from bdnn.presolve import Presolved
from bdnn.rows import row_blocks

_LARGE = 10_000_000


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
    centre, unit, reach : ndarray of shape (n',)
        Median, inverse of the standard deviation (of the value of a constant column) and largest absolute value.
    """

    reduced: Presolved
    X: Array
    class_weight: Array
    centre: Floats
    unit: Floats
    reach: Floats


def points(reduced: Presolved, dtype: str | None = None) -> Points:
    """Return the points of a presolved problem by feature; by default in single precision if there are many."""
    problem, rows, kept = reduced.problem, reduced.rows, reduced.kept
    p, n = len(rows), len(kept)
    large = p * n > _LARGE if dtype is None else dtype == "float32"
    raw = np.asarray(problem.X)
    X = np.empty((n, p), dtype=np.float32 if large else np.float64)
    for block in row_blocks(p, max(raw.shape[1], 1)):
        values = raw[rows[block]]
        if reduced.grid is not None:
            values = reduced.grid.quantise(values.astype(np.float64))
        values = values[:, kept]
        X[:, block] = values.T
        if X.dtype == np.float32 and values.dtype != np.float32 and not np.array_equal(X[:, block], values.T):
            X = X.astype(np.float64)
            X[:, block] = values.T
    reach = np.array([max(abs(float(column.min())), abs(float(column.max()))) for column in X]) if p else np.zeros(n)
    spread = np.array([float(column.std(dtype=np.float64)) for column in X]) if p else np.zeros(n)
    # columns without variation do the work of biases where there are none
    spread = np.where(spread > 0, spread, np.where(reach > 0, reach, 1.0))
    # one type for both, as the kernels are compiled
    weight = np.asarray(reduced.class_weight)
    if X.dtype == np.float32 and np.array_equal(weight, weight.astype(np.float32)):
        weight = weight.astype(np.float32)
    elif X.dtype == np.float32:
        X = X.astype(np.float64)
    return Points(
        reduced=reduced,
        X=X,
        class_weight=weight,
        centre=np.asarray(reduced.centre[kept], dtype=np.float64),
        unit=1 / spread,
        reach=reach,
    )
