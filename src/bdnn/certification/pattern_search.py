"""The search over activation patterns of the first hidden layer: growing radii, and one tree for each of them.

What a pattern must do to be an attack differs between networks with one hidden layer (`one_layer`) and deeper ones
(`deep`); how features move differs between points (`point`, `mixed_integer_point`). Neither is known here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn._native.certify import DONE, LIMIT, CellTree, SubsetTree
from bdnn.certification.directions import attack_along_directions
from bdnn.certification.support import UNIT

if TYPE_CHECKING:
    from bdnn.certification.point import Pattern, Point
    from bdnn.types import Bools, Floats, Indices

NODES_PER_CALL = 64  # between reports, so that limits and listeners are heeded although a node may take long
_GROWTH = 1.5  # factor between radii: a radius that is too small costs little, one that is too large a tree without end
_ACCELERATION = 1.2  # factor by which that factor grows, as points that are far from any attack would need many radii
_MIN_RADIUS, _MAX_RADIUS = 1e-9, 1e300  # limits of the first radius, so that growing by factors gets somewhere
_MAX_GROWTH = 1e7  # growth of radii without any attack after which there is probably none
_HARD = 256  # nodes after which an attack is looked for along random directions, too
_DIRECTIONS = 64  # random directions that are tried then


class Ranges(NamedTuple):
    """What neurons of the first layer can do within a radius.

    Attributes
    ----------
    largest : ndarray of shape (d,)
        About the largest change of each neuron's sum.
    down : ndarray of shape (d,)
        By how much each sum can fall.
    active, inactive : ndarray of shape (d,), bool
        Whether a neuron surely fires, or surely does not, with rounding errors.
    """

    largest: Floats
    down: Floats
    active: Bools
    inactive: Bools


class Rows(NamedTuple):
    """Rows of some neurons in units of the largest changes of their sums, as the trees want them.

    Attributes
    ----------
    weights, alpha, error : ndarray of shape (k, columns), (k,), (k,)
        The rows, their values at the point and bounds of the errors of these.
    size : ndarray of shape (k,)
        The units.
    """

    weights: Floats
    alpha: Floats
    error: Floats
    size: Floats


def ranges_within(point: Point, W: Floats, alpha: Floats, radius: float) -> Ranges:
    """Return what neurons with rows W, and values alpha at the point, can do within a radius."""
    largest, up, down = point.row_ranges(W, radius)
    slack = 1.01 * point.error + 4.0 * (len(point.columns) + 20) * UNIT * (largest + np.abs(alpha)) + 1e-300
    return Ranges(largest, down, alpha - down > slack, alpha + up < -slack)


def rows_of(point: Point, W: Floats, alpha: Floats, largest: Floats, chosen: Indices, unit: float) -> Rows:
    """Return the rows of some neurons for a tree whose columns have some unit."""
    size = np.maximum(largest[chosen], 1e-300)
    scaled = alpha[chosen] / size
    error = point.error[chosen] / size + 4.0 * UNIT * np.abs(scaled)
    return Rows(point.spread(W[chosen], size, unit), scaled, error, size)


class PatternSearch(ABC):
    """The search for inputs at which the first layer does what changes the decision.

    Parameters
    ----------
    point : Point
        Of a network with hidden layers; attacks and doubts are noted in its evidence.
    """

    def __init__(self, point: Point) -> None:
        self.point = point

    @property
    @abstractmethod
    def is_impossible(self) -> bool:
        """Whether no pattern at all changes the decision."""

    @abstractmethod
    def first_radius(self) -> float:
        """Return about the radius at which something begins to be possible, inf if nothing ever is."""

    @abstractmethod
    def tree(self, radius: float) -> SubsetTree | CellTree | None:
        """Return a tree of patterns within a radius; None if nothing is left to be searched."""

    @abstractmethod
    def pattern(self) -> Pattern:
        """Return what the unstable neurons do at the node where the tree stopped."""

    @abstractmethod
    def wins(self, pattern: Pattern) -> bool:
        """Whether unstable neurons that do so, and stable ones, change the decision."""

    @abstractmethod
    def attack(self, pattern: Pattern) -> None:
        """Look for the nearest attack where neurons do so, after a node has suggested them."""

    @abstractmethod
    def improve(self, real: Point, active: Bools) -> None:
        """Improve an attack by the real features alone, where neurons fire as given."""

    def run(self) -> float:
        """Search; return a radius that is proven.

        Returns
        -------
        float
            No input up to this distance, included, changes the decision, but for cells that the evidence has noted;
            inf if none at all does.
        """
        if self.is_impossible:
            return math.inf
        point, evidence = self.point, self.point.evidence
        point.try_first_steps()
        end, growth, first = point.farthest, _GROWTH, point.first_radius(self.first_radius)
        first = min(max(first * _GROWTH, _MIN_RADIUS), _MAX_RADIUS) if first < math.inf else min(end, 1.0)
        radius, evidence.floor = first, 0.0
        while True:
            # small radii first: they are quick, and what is proven stands if the time runs out
            radius = min(radius, end, point.radius)
            proven = self._decide(radius)
            evidence.floor = max(evidence.floor, proven)
            if proven >= point.radius or point.is_broken:
                return proven
            if evidence.attack is None and (proven >= end or radius > _MAX_GROWTH * first):
                return math.inf if proven >= end and evidence.least == math.inf else proven
            growth *= _ACCELERATION
            radius *= growth

    def _decide(self, radius: float) -> float:
        """Search at a radius, which shrinks with every attack found; return what is proven."""
        point, unit, tree = self.point, radius, self.tree(radius)
        if tree is None:
            return radius
        while (code := self.explore(tree)) != DONE:
            point.visit(self, tree, code, radius, unit)
            if point.is_broken:
                return 0.0
            if not point.fixed and point.radius < radius:
                radius = point.radius
                tree.shrink(*point.box(radius, unit))
        return radius

    def explore(self, tree: SubsetTree | CellTree) -> int:
        """Go on with a tree, report, and try random directions where it turns out to be hard; return why it stopped."""
        point, before = self.point, tree.nodes
        code = tree.explore(NODES_PER_CALL, point.pause)
        point.pause(tree.nodes - before)
        hard = code == LIMIT and point.evidence.attack is None and tree.nodes >= _HARD
        if hard and not point.directions_tried:
            point.directions_tried = True
            attack_along_directions(point, np.random.default_rng(0), _DIRECTIONS)
        return code
