"""Networks with two or more hidden layers: the search over what the neurons of the first do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.certify import CellTree, UpperLayers
from bdnn.certification.pattern_search import PatternSearch, ranges_within, rows_of
from bdnn.certification.point import Pattern, Point
from bdnn.certification.support import TWO, smallest_radii
from bdnn.network.network import Network

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats

_MAX_EXACT = 2.0**50  # sums of integers below this, and of a few more, are exact in doubles
_NEAR_BALL = 1.0 + 1e-3  # part of a ball beyond which a relaxed solution (norm 2) leads to no attack inside


class CellSearch(PatternSearch):
    """The search for inputs that are decided otherwise, among the cells of the first layer.

    Parameters
    ----------
    point : Point
        Of a network with hidden layers.
    """

    def __init__(self, point: Point) -> None:
        super().__init__(point)
        network = point.network
        self._upper = _upper_layers(network, point.code)
        self._tail = Network(network.layers[1:], network.head, network.classes)

    @property
    def is_impossible(self) -> bool:
        """Whether the decision is the same whatever the neurons that can change do."""
        now, constant = (self.point.alpha >= 0).astype(np.float64), ~np.any(self.point.W, axis=1)
        return self._upper.constant(np.where(constant, now, 0.0), np.where(constant, now, 1.0))

    def first_radius(self) -> float:
        """Return about the radius at which the first neuron changes."""
        point = self.point
        side = np.where(point.alpha >= 0, -1.0, 1.0)
        radii = smallest_radii(point.allowed.norm, side[:, None] * point.W, np.abs(point.alpha), point.low, point.high)
        return float(radii.min())

    def tree(self, radius: float) -> CellTree | None:
        """Return a tree of cells within a radius; None if nothing is left to be searched."""
        point = self.point
        ranges = ranges_within(point, point.W, point.alpha, radius)
        still = ranges.largest == 0.0
        self._active = np.where(still, point.alpha >= 0, ranges.active)
        inactive = np.where(still, point.alpha < 0, ranges.inactive)
        bits = np.stack([self._active, ~inactive]).astype(np.float64)
        if self._upper.constant(bits[0], bits[1]):
            return None
        self._unstable = unstable = np.flatnonzero(~self._active & ~inactive)
        if not len(unstable):
            if self._changed(bits[0]):
                point.evidence.least = 0.0
                point.evidence.doubtful = True
            return None
        rows = rows_of(point, point.W, point.alpha, ranges.largest, unstable, radius)
        influence = np.abs(point.network.layers[1].weights[:, unstable]).sum(axis=0).astype(np.float64)
        self._tree = CellTree(
            point.allowed.norm,
            rows.weights,
            rows.alpha,
            rows.error,
            self._upper,
            *point.box(radius, radius),
            unstable,
            bits,
            influence + 1e-9,  # neurons without any come last, but are not forgotten
            *point.step_costs(radius),
        )
        return self._tree

    def pattern(self) -> Pattern:
        """Return what the unstable neurons do where the tree stopped; some are still free."""
        active, inactive = np.zeros((2, len(self.point.alpha)), dtype=bool)
        active[self._unstable[self._tree.found == 1]] = True
        inactive[self._unstable[self._tree.found == 0]] = True
        return Pattern(active, inactive)

    def wins(self, pattern: Pattern) -> bool:
        """Whether the upper layers decide otherwise with neurons that do so, and stable ones."""
        return self._changed(np.where(pattern.active | self._active, 1.0, 0.0))

    def _changed(self, bits: Floats) -> bool:
        return bool(self._tail.predict_index(bits[None, :])[0] != self.point.code)

    def attack(self, pattern: Pattern) -> None:
        """Look for the nearest attack where neurons do so, unless that would be outside of the ball."""
        tree = self._tree
        if self.point.allowed.norm != TWO or np.linalg.norm(tree.solution) <= _NEAR_BALL * tree.ball:
            self.point.search_cell(pattern)

    def improve(self, real: Point, active: Bools) -> None:
        """Leave the attack as it is: neurons that it does not need are not known above the first layer."""


def _upper_layers(network: Network, code: int) -> UpperLayers:
    """Return the layers above the first as the kernels want them."""
    numbers = [np.concatenate([w.ravel(), b]).astype(np.float64) for w, b in network.layers[1:]]
    exact = [bool(np.all(a == np.rint(a)) and np.abs(a).sum() < _MAX_EXACT) for a in numbers]
    return UpperLayers(np.concatenate(numbers), np.array(network.widths, dtype=np.int64), np.array(exact), code)
