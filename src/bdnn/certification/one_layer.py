"""Networks with one hidden layer: which sets of neurons make a class win, and the search among them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.certify import SubsetTree
from bdnn.certification.pattern_search import PatternSearch, ranges_within, rows_of
from bdnn.certification.point import Pattern, Point
from bdnn.certification.support import smallest_radii

if TYPE_CHECKING:
    from bdnn.certification.adversarial import AdversarialClass
    from bdnn.types import Bools, Indices

_MAX_DROPS = 6  # times that neurons are left out of a set, each of which asks for a nearest point
_BAND = 1e-12  # part of a sum of weights that its rounding errors stay far below
_MARGIN = 1e-11  # by which a neuron that need not fire is let go, far above the rounding errors of its bound


class SubsetSearch(PatternSearch):
    """The search for inputs at which a class wins, among the sets of neurons that are in the state that favors it.

    Parameters
    ----------
    point : Point
        Of a network with one hidden layer, or with a single row.
    adversary : AdversarialClass
        The class.
    """

    def __init__(self, point: Point, adversary: AdversarialClass) -> None:
        super().__init__(point)
        self._adversary, self._signs = adversary, adversary.signs
        side = np.where(self._signs >= 0, 1.0, -1.0)
        # rows of which it helps the class that they are >= 0
        self._W, self._alpha = point.W * side[:, None], point.alpha * side
        self._size = max((abs(v) for v in adversary.v), default=0) or 1
        self._weight = np.array([float(abs(v) / self._size) for v in adversary.v])
        self._goal = -adversary.beta - sum(v for v in adversary.v if v < 0)

    @property
    def is_impossible(self) -> bool:
        """Whether the class does not win even if every neuron that can change helps it."""
        constant = ~np.any(self.point.W, axis=1)
        helpful = np.where(constant, (self.point.alpha >= 0) == (self._signs > 0), True)
        return not self._adversary.wins_with(helpful)

    def first_radius(self) -> float:
        """Return about the radius below which too few neurons can be helpful, by their own distances."""
        point = self.point
        radii = smallest_radii(point.allowed.norm, self._W, -self._alpha, point.low, point.high)
        for radius in np.unique(radii[radii < math.inf]).tolist():
            if self._adversary.wins_with(radii <= radius):
                return float(radius)
        return math.inf

    def tree(self, radius: float) -> SubsetTree | None:
        """Return a tree of sets within a radius; None if nothing is left to be searched."""
        point, matters = self.point, self._signs != 0
        ranges = ranges_within(point, self._W, self._alpha, radius)
        self._stable = matters & ranges.active
        self._unstable = unstable = np.flatnonzero(matters & ~ranges.active & ~ranges.inactive)
        gains = [abs(v) for v in self._adversary.v]
        missing = self._goal - sum(gains[i] for i in np.flatnonzero(self._stable).tolist())
        possible = sum(gains[i] for i in unstable.tolist())
        if possible < missing or (possible == missing and self._adversary.strict):
            return None
        if not len(unstable):
            nobody = np.zeros(len(self._alpha), bool)
            point.close_cell(Pattern(nobody, nobody), radius)
            return None
        rows = rows_of(point, self._W, self._alpha, ranges.largest, unstable, radius)
        self._needed = float(missing / self._size)
        self._tree = SubsetTree(
            point.allowed.norm,
            rows.weights,
            rows.alpha,
            rows.error,
            np.maximum(-(rows.alpha - ranges.down[unstable] / rows.size), 0.0) + rows.error + _MARGIN,
            self._weight[unstable],
            self._goals(unstable),
            *point.box(radius, radius),
            *point.step_costs(radius),
        )
        return self._tree

    def _goals(self, unstable: Indices) -> tuple[float, float]:
        """Return the weights below which a set does not win, and from which on it does, with rounding errors."""
        if self._adversary.is_small_integral:
            # sums are multiples of 1 / size: half of that separates those that win
            half = float(Fraction(1, 2) / self._size)
            goal = self._needed + (half if self._adversary.strict else -half)
            return goal, goal
        band = _BAND * (float(self._weight[unstable].sum()) + abs(self._needed))
        return self._needed - band, self._needed + band

    def pattern(self) -> Pattern:
        """Return which unstable neurons help, where the tree stopped; the others are free."""
        helpful = np.zeros(len(self._alpha), dtype=bool)
        helpful[self._unstable[self._tree.found]] = True
        return self._pattern(helpful)

    def _pattern(self, helpful: Bools) -> Pattern:
        return Pattern(helpful & (self._signs > 0), helpful & (self._signs < 0))

    def wins(self, pattern: Pattern) -> bool:
        """Whether the class wins with neurons that do so, and stable ones."""
        return self._adversary.wins_with(pattern.active | pattern.inactive | self._stable)

    def attack(self, pattern: Pattern) -> None:
        """Look for the nearest attack with a set of helpful neurons, and then without those that it does not need."""
        self._drop(self.point, pattern.active | pattern.inactive)

    def improve(self, real: Point, active: Bools) -> None:
        """Improve an attack by the real features alone, where neurons fire as given."""
        helpful, unstable = np.zeros(len(active), dtype=bool), self._unstable
        helpful[unstable] = np.where(active, self._signs > 0, self._signs < 0)[unstable]
        self._drop(real, helpful)

    def _drop(self, point: Point, helpful: Bools) -> None:
        evidence, weight = point.evidence, self._weight
        for _ in range(_MAX_DROPS):
            known = evidence.distance
            _, (multipliers, *_) = point.search_cell(self._pattern(helpful))
            if point.is_broken or not evidence.distance < known:
                return
            spare = float(weight[helpful].sum()) - self._needed
            dropped = False
            for i in np.argsort(-multipliers):
                if helpful[i] and multipliers[i] > 0 and weight[i] < spare:
                    helpful[i], dropped = False, True
                    spare -= weight[i]
            if not dropped:
                return
