"""Grid, center and scale of the inputs of a problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.arrays import row_blocks
from bdnn.errors import InputError
from bdnn.network.grid import InputGrid

if TYPE_CHECKING:
    from bdnn.problem.merge import Inputs
    from bdnn.problem.problem import Problem
    from bdnn.types import Floats, Indices

# smallest deviation that is scaled to 1: its inverse, a factor of weights, stays far from overflow
_SMALLEST_DEVIATION = 1e-150
# rows that the medians of large data are taken from: any value near the middle will do
_MEDIAN_ROWS = 10_000
# rows, beside the extremes, that decide how a grid is laid
_GRID_ROWS = 4_000


def spanning_grid(inputs: Inputs, bits: int) -> InputGrid:
    """Return the grid of integer weights: that of the rows, or of some of very many and the extremes."""
    stride = -(-len(inputs) // _GRID_ROWS)
    if stride == 1:
        return InputGrid.spanning(inputs.take(slice(None)), bits)
    sides = [(block.min(axis=0), block.max(axis=0)) for _, block in inputs.blocks()]
    extremes = [np.min([low for low, _ in sides], axis=0), np.max([high for _, high in sides], axis=0)]
    return InputGrid.spanning(np.vstack([inputs.take(slice(None, None, stride)), *extremes]), bits)


def standardization(points: Inputs, problem: Problem) -> tuple[Floats, Floats, Indices]:
    """Return center and scale of every column, and the columns that vary."""
    p, n = len(points), points.X.shape[1]
    if not p:
        return np.zeros(n), np.ones(n), np.arange(0)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for _, block in points.blocks():
        # by column in contiguous memory: twice as fast as along the rows
        columns = np.ascontiguousarray(block.T)
        np.minimum(low, columns.min(axis=1), out=low)
        np.maximum(high, columns.max(axis=1), out=high)
    center = np.zeros(n)
    # without biases nothing can absorb a shift
    if problem.fit_intercept:
        # any value near the middle will do: of much data, the median of every so many rows
        step = max(p // _MEDIAN_ROWS, 1) if points.is_large else 1
        every = np.arange(0, p, step)
        middle = (len(every) - 1) // 2
        sample = np.empty((n, len(every)))
        for rows in row_blocks(len(every), n):
            sample[:, rows] = points.take(every[rows]).T
        for column in sample:
            column.partition(middle)
        center = sample[:, middle].copy()
    # rounding is monotone: this is the largest of the rounded deviations
    deviation = np.maximum(high - center, center - low)
    kept = np.flatnonzero(deviation > 0)
    if problem.weights == "integer":
        compares_outputs = problem.head == "argmax" and not problem.hidden_layer_sizes
        divisor = 1 if compares_outputs else _divisor(points, center, kept)
        return center, np.full(n, float(divisor)), kept
    if np.any(deviation[kept] < _SMALLEST_DEVIATION):
        column = problem.feature_labels[kept[np.argmin(deviation[kept])]]
        raise InputError(f"column {column!r} varies by less than {_SMALLEST_DEVIATION:g}; rescale it or leave it out")
    return center, np.where(deviation > 0, deviation, 1.0), kept


def _divisor(points: Inputs, center: Floats, kept: Indices) -> int:
    """Return the greatest common divisor of all integers after centering, 1 if all are 0."""
    divisor = 0
    for _, block in points.blocks():
        values = np.abs(block[:, kept] - center[kept]).astype(np.int64)
        divisor = math.gcd(divisor, int(np.gcd.reduce(values, axis=None)))
        if divisor == 1:
            break
    return max(divisor, 1)
