"""Quantization thresholds of an input grid: the first floats that are rounded to its integers, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.network.grid import InputGrid

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices


def restricted(grid: InputGrid, c: Indices) -> InputGrid:
    """Return the grid of some of the features."""
    return InputGrid(grid.offset[c], grid.step[c], grid.bits)


def thresholds(grid: InputGrid, integers: Floats, side: Floats | float) -> Floats:
    """Return for each feature the first float that is rounded to an integer, from below (side 1) or above (side -1)."""
    up = np.asarray(side) > 0
    lower = lower_thresholds(grid, np.where(up, integers, integers + 1.0))
    return np.where(up, lower, np.nextafter(lower, -np.inf))


def lower_thresholds(grid: InputGrid, integers: Floats) -> Floats:
    """Return for each feature the smallest float that is rounded to an integer, 1 to ``2**bits - 1``, or to more.

    Parameters
    ----------
    grid : InputGrid
        Of n features.
    integers : ndarray of shape (n,)
        One integer per feature.

    Returns
    -------
    ndarray of shape (n,)
        In units of the features.

    Examples
    --------
    >>> lower_thresholds(InputGrid(np.array([0.0]), np.array([1.0]), 2), np.array([1.0])).tolist()
    [0.5000000000000001]
    """
    guess = (integers - 0.5) * grid.step + grid.offset
    width = np.spacing(np.abs(guess)) + np.spacing(np.abs(grid.offset)) + np.spacing(grid.step)
    low, high = guess - width, guess + width
    while np.any(wrong := grid.quantize(low) >= integers):
        width = np.where(wrong, 2.0 * width, width)
        low = np.where(wrong, guess - width, low)
    while np.any(wrong := grid.quantize(high) < integers):
        width = np.where(wrong, 2.0 * width, width)
        high = np.where(wrong, guess + width, high)
    while True:
        middle = low + 0.5 * (high - low)
        between = (middle > low) & (middle < high)
        if not np.any(between):
            return np.asarray(high)
        reached = grid.quantize(middle) >= integers
        high, low = np.where(between & reached, middle, high), np.where(between & ~reached, middle, low)
