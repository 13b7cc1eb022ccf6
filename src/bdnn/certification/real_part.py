"""The real features of a point whose other features have taken their steps."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from bdnn.certification.attacker import float_above, root_above
from bdnn.certification.point import Point
from bdnn.certification.support import INF, ONE, UNIT

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats


class RealPart(Point):
    """The real features of a point, the others having taken their steps; what it finds is offered to the point.

    Parameters
    ----------
    parent : Point
        The point.
    stepping : ndarray of shape (n,), bool
        Features of the point that take steps.
    z : ndarray of shape (n,)
        The input after the steps.
    radius : float
        Distance from the point up to which attacks matter.
    """

    def __init__(self, parent: Point, stepping: Bools, z: Floats, radius: float) -> None:
        self._parent, self._spent = parent, parent.allowed.measure(parent.x, z)
        allowed = replace(parent.allowed, free=parent.allowed.free & ~stepping)
        limit = self.left(radius)
        super().__init__(parent.network, allowed, z, parent.code, limit, parent.pause, parent.plane, parent.evidence)
        self.fixed = parent.fixed
        if 0.0 < limit < math.inf:
            self.least_move = limit

    @property
    def radius(self) -> float:
        """How far the real features can move."""
        return self.limit

    def left(self, radius: float) -> float:
        """Return how far the real features can move within a radius of the point, rounded up; below 0 if it is less."""
        if radius == math.inf:
            return radius
        norm = self._parent.allowed.norm
        far = Fraction(radius) if norm in (INF, ONE) else Fraction(radius) ** 2
        if far < self._spent:
            return -1.0
        if norm == INF:
            return radius
        return float_above(far - self._spent) if norm == ONE else root_above(far - self._spent)

    def total(self, proven: float) -> float:
        """Return the distance from the point that a distance of the real features makes, rounded down."""
        norm = self._parent.allowed.norm
        if proven == math.inf:
            return math.inf
        if norm == INF:
            return max(proven, math.nextafter(float(self._spent), 0.0))
        if norm == ONE:
            return math.nextafter(float(self._spent + Fraction(proven)), 0.0)
        return root_above(self._spent + Fraction(proven) ** 2) * (1.0 - 4.0 * UNIT)

    def offer(self, z: Floats) -> bool:
        """Offer an input to the point."""
        return self._parent.offer(z)
