"""What is around a point with features that take integers: columns, boxes, costs and the inputs that steps lead to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.adversarial import Plane
from bdnn.certification.integer_steps import IntegerSteps
from bdnn.certification.integer_support import DOWN, UP, support_steps
from bdnn.certification.point import Point
from bdnn.certification.support import INF, ONE, UNIT, reaches, smallest_radii

if TYPE_CHECKING:
    from bdnn.certification.attacker import Perturbations
    from bdnn.certification.verdict import Evidence
    from bdnn.network.network import Layer, Network
    from bdnn.types import Bools, Floats

_MAX_SUM = 2.0**53  # sums of integers below it are exact in doubles
_TIES = 5e-8  # part by which a proof may end below an attack: cuts see a part in 1e8


def _has_exact_sums(form: Layer | Plane) -> bool:
    """Whether sums of integers with these weights are integers that are known exactly."""
    if isinstance(form, Plane):
        numbers = [*form.weights, form.constant]
        return all(number.denominator == 1 for number in numbers) and sum(map(abs, numbers)) < _MAX_SUM
    return all(np.array_equal(a, np.rint(a)) and np.abs(a).sum() < _MAX_SUM for a in form)


class SteppedPoint(Point):
    """The first layer around a point with columns that are integers, counted from where it is; others may be real.

    Parameters
    ----------
    network : Network
        With or without a grid.
    allowed : Perturbations
        What the attacker may do.
    integer : ndarray of shape (n,), bool
        Features that are integers themselves.
    x, code, limit, pause, plane, evidence : optional
        As for `Point`; a plane is a form of what the network sees.
    """

    def __init__(
        self,
        network: Network,
        allowed: Perturbations,
        integer: Bools,
        x: Floats,
        code: int,
        limit: float,
        pause: Callable[[int], None],
        plane: Plane | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self._reached: tuple[float, Floats, Floats] | None = None
        low, high = np.where(integer, np.ceil(allowed.lower), allowed.lower), allowed.upper
        allowed = replace(allowed, lower=low, upper=np.where(integer, np.floor(high), high))
        self.integer, self.steps = integer, IntegerSteps(network.grid, allowed, integer, x)
        super().__init__(network, allowed, x, code, limit, pause, plane, evidence)
        self.stepped = self.steps.stepping[self.columns]
        self.integral = bool(np.all(self.stepped))
        exact = _has_exact_sums(network.layers[0] if plane is None else plane)
        if exact and self.integral and np.all(self.at == np.rint(self.at)):
            # sums are integers: half a unit more keeps those that fire apart from those that do not
            self.alpha = self.alpha + 0.5
            self.error = self.error + 2.0 * UNIT * np.abs(self.alpha)
        self.costs, s = np.ones((len(self.columns), 3)), self.stepped
        self.costs[s] = self.steps.costs(self.columns[s], self.low[s], self.high[s])

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of inputs."""
        return self.steps.seen(z)

    def column_units(self) -> Floats:
        """Return what a move of one unit of a column is in units of the first layer."""
        return np.where(self.steps.stepping, 1.0, self.allowed.scale)[self.columns]

    def room(self) -> tuple[Floats, Floats]:
        """Return how far each feature can go down and up, in steps or in units of the scale, rounded outward."""
        low, high = self.allowed.room(self.x)
        c = np.flatnonzero(self.steps.stepping)
        low[c], high[c] = self.steps.within(c, math.inf)
        return low, high

    def box(self, radius: float, unit: float) -> tuple[float, Floats, Floats]:
        """Return the radius in some units, and bounds of the columns: integers in reach, or as for `Point`."""
        low = np.where(self.low == 0.0, 0.0, np.nextafter(np.maximum(self.low, -radius) / unit, -np.inf))
        high = np.where(self.high == 0.0, 0.0, np.nextafter(np.minimum(self.high, radius) / unit, np.inf))
        if self._reached is None or self._reached[0] != radius:  # asked for in several units
            self._reached = radius, *self.steps.within(self.columns[self.stepped], radius)
        low[self.stepped], high[self.stepped] = self._reached[1:]
        ball = math.nextafter(math.nextafter(self._last_distance(radius) / unit, math.inf), math.inf)
        return math.inf if self.allowed.norm == INF else ball, low, high

    def _last_distance(self, radius: float) -> float:
        """Return the last distance up to a radius that integers in equal units have, rounded up; else the radius."""
        scale = self.allowed.scale[self.columns]
        if not self.integral or self.network.grid is not None or not len(scale) or np.any(scale != scale[0]):
            return radius
        steps = radius * float(scale[0])
        if self.allowed.norm != ONE:
            steps *= steps
        if not steps < 2.0**40:
            return radius
        last = math.floor(steps * (1.0 + 1e-12))
        return (last if self.allowed.norm == ONE else math.sqrt(last)) / float(scale[0]) * (1.0 + 1e-15)

    def step_costs(self, unit: float) -> tuple[Bools, Floats]:
        """Return which columns take integers, and what their steps cost in some units; nothing for norm inf."""
        if self.allowed.norm == INF:
            return self.stepped, np.zeros((0, 3))
        return self.stepped, np.where(self.stepped[:, None], self.costs / unit * (1.0 - 2.0 * UNIT), 1.0)

    def spread(self, rows: Floats, size: Floats, unit: float) -> Floats:
        """Return rows in units of their sizes, for the columns of `box`."""
        return np.ascontiguousarray(rows * (np.where(self.stepped, 1.0, unit) / size[:, None]))

    def row_ranges(self, rows: Floats, radius: float) -> tuple[Floats, Floats, Floats]:
        """Return by row a bound of Σ |w_j e_j|, and bounds of w·e and -w·e, within a radius."""
        norm, (ball, low, high), (integer, costs) = self.allowed.norm, self.box(radius, 1.0), self.step_costs(1.0)
        if norm == INF:
            return reaches(norm, rows, ball, low, high)
        cap, least = np.maximum(-low, high), costs.copy()
        least[:, UP] = least[:, DOWN] = np.minimum(costs[:, UP], costs[:, DOWN])
        return (
            np.array([support_steps(norm, np.abs(w), ball, -cap, cap, least, integer) for w in rows]),
            np.array([support_steps(norm, w, ball, low, high, costs, integer) for w in rows]),
            np.array([support_steps(norm, -w, ball, low, high, costs, integer) for w in rows]),
        )

    @property
    def radius(self) -> float:
        """Radius within which there is something to prove; below that of other inputs as far away as the attack."""
        if self.fixed:
            return self.limit
        if self.integral and self.allowed.norm == INF and self.evidence.attack is not None:
            return math.nextafter(self.evidence.distance, 0.0)  # what is in reach is a box, which leaves out the ties
        return self.evidence.distance * (1.0 - _TIES)

    @property
    def farthest(self) -> float:
        """Radius within which everything is in reach."""
        if not np.all(np.isfinite([self.low, self.high])):
            return math.inf
        ends = [np.abs(self.moved(end) - self.x)[self.columns] for end in (self.low, self.high)]
        far = np.maximum(*ends) / self.allowed.scale[self.columns]
        return float(far.max(initial=0.0) if self.allowed.norm == INF else far.sum()) * (1.0 + 1e-12)

    def first_radius(self, estimate: Callable[[], float]) -> float:
        """Return the distance at which the first integer changes, or a neuron by real features alone."""
        steps = [np.where(self.low < 0, -1.0, 0.0), np.where(self.high > 0, 1.0, 0.0)]
        moves = [np.abs(self.moved(s) - self.x)[self.columns] / self.allowed.scale[self.columns] for s in steps]
        use = [self.stepped & (s != 0) for s in steps]
        first = min(float(m[u].min(initial=math.inf)) for m, u in zip(moves, use, strict=True))
        real = ~self.stepped
        if not np.any(real):
            return first
        side = np.where(self.alpha >= 0, -1.0, 1.0)
        rows = np.ascontiguousarray(self.W[:, real] * side[:, None])
        near = smallest_radii(self.allowed.norm, rows, np.abs(self.alpha), self.low[real], self.high[real])
        # a neuron at 0 says nothing of how far it is to others
        return float(min(first, near[near > 1e-9].min(initial=math.inf)))

    def moved(self, e: Floats) -> Floats:
        """Return the nearest input with given steps, rounded, in the columns; real ones move as they are."""
        z, steps = self.x.copy(), np.where(self.stepped, np.rint(e), 0.0)
        real = self.columns[~self.stepped]
        z[real] += e[~self.stepped] * self.allowed.scale[real]
        used = np.flatnonzero(steps != 0)
        where = self.columns[used]
        z[where] = self.steps.ends_of(where, steps[used])
        return z

    def steps_of(self, z: Floats) -> Floats:
        """Return the moves of the columns that lead to an input."""
        c = self.columns
        return np.where(self.stepped, (self.seen(z) - self.at)[c], (z - self.x)[c] / self.allowed.scale[c])

    def offer(self, z: Floats) -> bool:
        """Take an input as the attack if it is one, allowed and nearer than the one known."""
        z = self.allowed.clip(self.x, z)
        return bool(np.all(z[self.integer] == np.rint(z[self.integer]))) and super().offer(z)
