"""Steps of features that take integers: which are within reach of a point, where they end and what they cost.

The attacker moves raw inputs, the network sees integers that are a monotone function of them in double arithmetic. So
what is in reach of one feature within a radius are the integers between two, found by quantizing the last floats within
the radius; and the shortest move to an integer ends at the first float that is rounded to it. Features that are
integers and lie behind a grid move from integer to integer, and some integers of the grid may have none.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.integer_support import DOWN, FURTHER, UP
from bdnn.certification.quantization import restricted, thresholds
from bdnn.certification.support import UNIT

if TYPE_CHECKING:
    from bdnn.certification.attacker import Perturbations
    from bdnn.network.grid import InputGrid
    from bdnn.types import Bools, Floats, Indices

_MIN_EXACT = 2.0**-900  # products above it keep all of their digits


class IntegerSteps:
    """Steps of the features of one point that take integers, counted from where the point is.

    Parameters
    ----------
    grid : InputGrid or None
        What the inputs are rounded to, if they are.
    allowed : Perturbations
        What the attacker may do; bounds of features that are integers are integers.
    integer : ndarray of shape (n,), bool
        Features that are integers themselves.
    x : ndarray of shape (n,)
        The point.

    Attributes
    ----------
    stepping : ndarray of shape (n,), bool
        Features that take integers: all of them behind a grid, else those that are integers.
    """

    def __init__(self, grid: InputGrid | None, allowed: Perturbations, integer: Bools, x: Floats) -> None:
        self._grid, self._allowed, self._integer, self._x = grid, allowed, integer, x
        self.stepping = integer if grid is None else np.ones(len(x), dtype=bool)
        self._at = self.seen(x)

    @property
    def behind_grid(self) -> bool:
        """Whether the inputs are rounded to a grid."""
        return self._grid is not None

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of inputs."""
        return z if self._grid is None else self._grid.quantize(z)

    def within(self, c: Indices, radius: float) -> tuple[Floats, Floats]:
        """Return the least and the largest steps of features c within a radius, exactly."""
        low, high = self._ends(c, radius)
        at = self._at[c]
        return np.minimum(self._last(c, low, -1) - at, 0.0), np.maximum(self._last(c, high, 1) - at, 0.0)

    def _ends(self, c: Indices, radius: float) -> tuple[Floats, Floats]:
        """Return the smallest and the largest floats of features within the radius and the bounds, exactly."""
        x, scale = self._x[c], self._allowed.scale[c]
        low, high, free = self._allowed.lower[c], self._allowed.upper[c], self._allowed.free[c]
        if radius == math.inf:
            return np.where(free, low, x), np.where(free, high, x)
        ends, way = [], radius * scale
        # products with powers of two have no rounding errors, unless they are tiny
        even = (np.frexp(scale)[0] == 0.5) & ((way > _MIN_EXACT) | (radius == 0.0))
        for side, bound in ((-1, low), (1, high)):
            with np.errstate(over="ignore", invalid="ignore"):
                z = x + side * way
                rest = z - x
                error = (x - (z - rest)) + (side * way - rest)  # of the sum, exactly (D. E. Knuth)
                z = np.where(even & (side * error < 0.0), np.nextafter(z, x), z)
            for j in self._ambiguous(c, z, x, way, side, ~even | ~np.isfinite(error)):
                exact = Fraction(float(x[j])) + side * Fraction(radius) * Fraction(float(scale[j]))
                end = float(exact)
                z[j] = math.nextafter(end, float(x[j])) if (Fraction(end) - exact) * side > 0 else end
            z = np.minimum(z, bound) if side > 0 else np.maximum(z, bound)
            ends.append(np.where(free, z, x))
        return ends[0], ends[1]

    def _ambiguous(self, c: Indices, z: Floats, x: Floats, way: Floats, side: int, rounded: Bools) -> list[int]:
        """Return which ends that were rounded must be found exactly, as the last integer depends on it."""
        if not rounded.any():
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            blur = 2.0 * np.spacing(np.abs(x) + way)
        further, back = z + side * blur, z - side * blur
        apart = self._last(c, further, side) != self._last(c, back, side)
        return np.flatnonzero(rounded & apart & np.isfinite(further)).tolist()

    def _last(self, c: Indices, z: Floats, side: int) -> Floats:
        """Return the last integers that are seen of features which go to a side up to given values."""
        z = np.where(self._integer[c], np.ceil(z) if side < 0 else np.floor(z), z)
        return z if self._grid is None else restricted(self._grid, c).quantize(z)

    def ends_of(self, c: Indices, steps: Floats) -> Floats:
        """Return the values of features c nearest to the point after some steps, none of them 0."""
        wanted, side = self._at[c] + steps, np.sign(steps)
        if self._grid is None or not len(c):
            return wanted
        wanted = thresholds(restricted(self._grid, c), wanted, side)
        integer = self._integer[c]
        return np.where(integer & (side > 0), np.ceil(wanted), np.where(integer, np.floor(wanted), wanted))

    def costs(self, c: Indices, low: Floats, high: Floats) -> Floats:
        """Return what steps of features c cost, rounded down, as `integer_support` wants it.

        Parameters
        ----------
        c : ndarray of shape (k,)
            Features.
        low, high : ndarray of shape (k,)
            Their least and largest steps.

        Returns
        -------
        ndarray of shape (k, 3)
        """
        scale, grid = self._allowed.scale[c], self._grid
        if grid is None:
            return np.repeat((1.0 / scale * (1.0 - 4.0 * UNIT))[:, None], 3, axis=1)
        one, at, costs = restricted(grid, c), self._at[c], np.empty((len(c), 3))
        # thresholds lie where they should, up to a few roundings of the numbers that make them
        blur = 32.0 * UNIT * (np.abs(one.offset) + 2.0**grid.bits * one.step)
        costs[:, FURTHER] = further = np.maximum(one.step - blur, 0.0) / scale * (1.0 - 8.0 * UNIT)
        for side, place, can in ((1.0, UP, high > 0), (-1.0, DOWN, low < 0)):
            # where there is no such step, any other will do
            ends = np.clip(at + side, *((1.0, 2.0**grid.bits - 1.0) if side > 0 else (0.0, 2.0**grid.bits - 2.0)))
            first = np.abs(thresholds(one, ends, side) - self._x[c]) / scale * (1.0 - 8.0 * UNIT)
            costs[:, place] = np.where(can, first, further)
        return costs
