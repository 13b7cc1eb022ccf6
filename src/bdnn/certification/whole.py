"""Points whose features take integers: behind an input grid, or because they are integers themselves (norm inf).

The attacker moves raw inputs, the network sees integers that are a monotone function of them in double arithmetic. So
what is in reach within a radius is a box of integers, found by quantising the last floats within the radius; and the
shortest move to an integer ends at the first float that is rounded to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bdnn import signs
from bdnn.certification.cell import nearest
from bdnn.certification.perturbation import Bools, Perturbations
from bdnn.certification.point import Point
from bdnn.certification.support import INF, UNIT
from bdnn.network import Floats, InputGrid, Network


class WholePoint(Point):
    """A point whose columns are integers, counted from where the point is.

    Parameters
    ----------
    network : Network
        With or without a grid; without one the features are integers.
    allowed : Perturbations
        What the attacker may do, norm inf.
    x, code, limit, pause : optional
        As for `Point`.
    """

    whole = True

    def __init__(
        self,
        network: Network,
        allowed: Perturbations,
        x: Floats,
        code: int,
        limit: float,
        pause: Callable[[int], None],
    ) -> None:
        self.network, self.allowed, self.x, self.code, self.pause = network, allowed, x, code, pause
        self.limit, self.fixed, self.plane = limit, limit < math.inf, None
        self.attack, self.distance, self.least, self.floor = None, math.inf, math.inf, 0.0
        self.doubtful, self.shot = False, True
        self.at = self.quantised(x)
        weights, bias = (a.astype(np.float64) for a in network.layers[0])
        every = np.arange(len(x))
        self.columns = every
        low, high = self._reachable(math.inf)
        self.columns = np.flatnonzero((low < high) & np.any(weights != 0, axis=0))
        self.low, self.high = low[self.columns], high[self.columns]
        self.ways = np.zeros(0, dtype=bool)
        self.W = np.ascontiguousarray(weights[:, self.columns])
        out = signs.affine(self.at[None, :], weights, bias)
        self.alpha, error = out.values[0], 0.0 if out.radius is None else out.radius[0]
        if network.is_integer:
            # sums are integers: half a unit more keeps those that fire apart from those that do not
            self.alpha = self.alpha + 0.5
        self.error = error + 2.0 * UNIT * np.abs(self.alpha) + 1e-300

    def quantised(self, z: Floats) -> Floats:
        """Return the integers of an input."""
        return z if self.network.grid is None else self.network.grid.quantise(z)

    def _ends(self, radius: float) -> tuple[Floats, Floats]:
        """Return the smallest and the largest floats of the columns within the radius and the bounds, exactly."""
        c = self.columns
        x, scale = self.x[c], self.allowed.scale[c]
        low, high, free = self.allowed.lower[c], self.allowed.upper[c], self.allowed.free[c]
        if radius == math.inf:
            return np.where(free, low, x), np.where(free, high, x)
        ends = []
        for side, bound in ((-1, low), (1, high)):
            z = x + side * (radius * scale)
            further, back = np.nextafter(np.nextafter(z, side * np.inf), side * np.inf), np.nextafter(z, x)
            back = np.nextafter(back, x)
            # only where a float more or less matters is it worth finding the last one
            for j in np.flatnonzero(self._integers(further) != self._integers(back)).tolist():
                far = Fraction(radius) * Fraction(float(scale[j]))
                end = float(further[j])
                while abs(Fraction(end) - Fraction(float(x[j]))) > far:
                    end = math.nextafter(end, float(x[j]))
                z[j] = end
            z = np.minimum(z, bound) if side > 0 else np.maximum(z, bound)
            ends.append(np.where(free, z, x))
        return ends[0], ends[1]

    def _integers(self, z: Floats, side: int = 0) -> Floats:
        """Return the integers of values of the columns; without a grid, what is in reach of them on a side."""
        grid = self.network.grid
        if grid is None:
            return np.ceil(z) if side < 0 else np.floor(z)
        return InputGrid(grid.offset[self.columns], grid.step[self.columns], grid.bits).quantise(z)

    def _reachable(self, radius: float) -> tuple[Floats, Floats]:
        low, high = self._ends(radius)
        at = self.at[self.columns]
        return np.minimum(self._integers(low, -1) - at, 0.0), np.maximum(self._integers(high, 1) - at, 0.0)

    def extent(self, radius: float) -> tuple[float, Floats, Floats]:
        """Return a radius without effect, and the box of integers within a radius."""
        return (math.inf, *self._reachable(radius))

    def box(self, radius: float, unit: float) -> tuple[float, Floats, Floats]:
        """Return the box of integers within a radius."""
        return (math.inf, *self._reachable(radius))

    def unit(self, radius: float) -> float:
        """Return the unit of the columns."""
        return 1.0

    def spread(self, rows: Floats) -> Floats:
        """Return rows for the columns."""
        return rows

    @property
    def farthest(self) -> float:
        """Radius within which every integer is in reach."""
        ends = [self.moved(self.low), self.moved(self.high)] if np.all(np.isfinite([self.low, self.high])) else []
        return max((self.allowed.distance(self.x, z) for z in ends), default=math.inf) * (1.0 + 1e-12)

    def first_change(self) -> float:
        """Return the distance at which the first integer changes."""
        steps = [np.where(self.low < 0, -1.0, 0.0), np.where(self.high > 0, 1.0, 0.0)]
        moves = [np.abs(self.moved(s) - self.x)[self.columns] / self.allowed.scale[self.columns] for s in steps]
        return float(
            min((m[s != 0].min(initial=math.inf) for m, s in zip(moves, steps, strict=True)), default=math.inf)
        )

    def moved(self, e: Floats) -> Floats:
        """Return the nearest input with given integers, rounded, in the columns."""
        z, steps = self.x.copy(), np.rint(e)
        used = np.flatnonzero(steps != 0)
        if not len(used):
            return z
        where = self.columns[used]
        wanted = self.at[where] + steps[used]
        grid = self.network.grid
        if grid is None:
            z[where] = wanted
            return z
        part = InputGrid(grid.offset[where], grid.step[where], grid.bits)
        up = steps[used] > 0
        first = first_floats(part, np.where(up, wanted, wanted + 1.0))
        z[where] = np.where(up, first, np.nextafter(first, -np.inf))
        return z

    def improved(self, columns: Floats, on: Bools, off: Bools, radius: float) -> bool:
        """Offer integers near the solution of a program, or near points well inside of the cell that it is about.

        Parameters
        ----------
        columns : ndarray
            The solution.
        on, off : ndarray of shape (d,), bool
            Neurons of the first layer that are to fire, and not to.
        radius : float
            Radius of the program.

        Returns
        -------
        bool
            Whether there is a nearer attack than before.
        """
        known = self.distance
        if self.offer(self.moved(np.clip(columns, self.low, self.high))) and self.distance < known:
            return True
        W, alpha, error, _ = self.sides(on, off)
        if not len(alpha):
            return False
        low, high = self._reachable(radius)
        # a vertex has as many fractions as there are rows; rounding each of them moves a row by half a weight
        most = 0.5 * np.sort(np.abs(W), axis=1)[:, -len(alpha) :].sum(axis=1)
        for part in (1.0, 0.5, 0.2):
            near = nearest(INF, W, alpha - part * most - error, low, high, math.inf)
            if near.radius < math.inf and self.offer(self.moved(near.point)) and self.distance < known:
                return True
        return False

    def settle(self, on: Bools, off: Bools, radius: float) -> None:
        """Remember the doubt about a leaf that is feasible up to rounding, but whose input is no attack."""
        self.doubtful = True
        self.least = min(self.least, self.floor)


def first_floats(grid: InputGrid, integers: Floats) -> NDArray[np.float64]:
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
    >>> first_floats(InputGrid(np.array([0.0]), np.array([1.0]), 2), np.array([1.0])).tolist()
    [0.5000000000000001]
    """
    guess = (integers - 0.5) * grid.step + grid.offset
    width = np.spacing(np.abs(guess)) + np.spacing(np.abs(grid.offset)) + np.spacing(grid.step)
    low, high = guess - width, guess + width
    while np.any(wrong := grid.quantise(low) >= integers):
        width = np.where(wrong, 2.0 * width, width)
        low = np.where(wrong, guess - width, low)
    while np.any(wrong := grid.quantise(high) < integers):
        width = np.where(wrong, 2.0 * width, width)
        high = np.where(wrong, guess + width, high)
    while True:
        middle = low + 0.5 * (high - low)
        between = (middle > low) & (middle < high)
        if not np.any(between):
            return np.asarray(high)
        reached = grid.quantise(middle) >= integers
        high, low = np.where(between & reached, middle, high), np.where(between & ~reached, middle, low)
