"""One point: the first layer around it in units of the perturbation, attacks on it and cells near it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bdnn._native.certify import CANDIDATE, LEAF, CellTree, SubsetTree
from bdnn.certification.classify import ExactClassifier
from bdnn.certification.exact_exclusion import Ends, excludes_exactly
from bdnn.certification.projection import nearest
from bdnn.certification.support import INF, ONE, UNIT, magnitude, magnitudes, proven_radius, reaches
from bdnn.certification.verdict import Evidence
from bdnn.exact import signs

if TYPE_CHECKING:
    from bdnn.certification.adversarial import Plane
    from bdnn.certification.attacker import Perturbations
    from bdnn.network.network import Network
    from bdnn.types import Bools, Floats, Indices

_TOLERANCE = 1e-8  # part by which a proof may end below an attack: as much as the programs of a tree can tell
_MARGINS = (0.0, 2e-9, 1e-7, 1e-5)  # margins of rows, least first, until rounding leaves an input inside
_NEAR = 1e-7  # part below an attack up to which exact arithmetic would not add a digit that counts (see `verdict`)
_TINY = 1e-300  # divisors and radii are kept above it, so that nothing is divided by 0
_FEW = 64  # with more features the rational arithmetic of a point on a boundary takes too long to begin with


class Pattern(NamedTuple):
    """Neurons of the first layer that are to fire, and not to; arrays of shape (d,), bool."""

    active: Bools
    inactive: Bools

    @property
    def chosen(self) -> Indices:
        """The neurons, those that are to fire first."""
        return np.concatenate([np.flatnonzero(self.active), np.flatnonzero(self.inactive)])


class Patterns(Protocol):
    """A search over patterns of the first layer, as a point sees it; see `pattern_search.PatternSearch`."""

    def pattern(self) -> Pattern:
        """Return what the unstable neurons do at the node where the tree stopped."""

    def wins(self, pattern: Pattern) -> bool:
        """Whether unstable neurons that do so, and stable ones, change the decision."""

    def attack(self, pattern: Pattern) -> None:
        """Look for the nearest attack where neurons do so."""

    def improve(self, real: Point, active: Bools) -> None:
        """Improve an attack by the real features alone, where neurons fire as given."""


class Point:
    """One point, and the rows of the first layer around it.

    Parameters
    ----------
    network : Network
        Without a grid.
    allowed : Perturbations
        What the attacker may do.
    x : ndarray of shape (n,)
        The point, within the bounds.
    code : int
        Index of the class that it is predicted as.
    limit : float
        Distance up to which attacks matter: the radius in question, else inf.
    pause : callable
        Called with the number of new nodes several times a second; raises `Stopped` when the time is up.
    plane : Plane or None
        The only row, instead of those of the first layer.
    evidence : Evidence or None
        What searches around this point have found so far; None for nothing.

    Attributes
    ----------
    W, alpha, error : ndarray of shape (d, columns), (d,), (d,)
        Rows of the first layer in units of the columns, their values at the point and bounds of the errors of these.
    columns : ndarray of int
        Features that can move and matter.
    low, high : ndarray of shape (columns,)
        How far each can go down (<= 0) and up.
    """

    integral = False
    """Whether all columns take integers."""

    def __init__(
        self,
        network: Network,
        allowed: Perturbations,
        x: Floats,
        code: int,
        limit: float,
        pause: Callable[[int], None],
        plane: Plane | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self.network, self.allowed, self.x, self.code, self.pause = network, allowed, x, code, pause
        self.limit, self.fixed, self.plane = limit, limit < math.inf, plane
        if plane is None:
            weights, bias = (a.astype(np.float64) for a in network.layers[0])
        else:
            weights, bias = np.array([[float(w) for w in plane.weights]]), np.zeros(1)
        low, high = self.room()
        self.at = self.seen(x)
        self.columns = np.flatnonzero((low < high) & np.any(weights != 0, axis=0))
        self.low, self.high = low[self.columns], high[self.columns]
        self.W = np.ascontiguousarray(weights[:, self.columns] * self.column_units())
        if plane is None:
            out = signs.affine(self.at[None, :], weights, bias)
            self.alpha, error = out.values[0], 0.0 if out.radius is None else out.radius[0]
        else:
            self.alpha, error = np.array([float(plane.value(self.at))]), 0.0
        self.error = error + 2.0 * UNIT * np.abs(self.alpha) + _TINY
        self.ways = np.concatenate([self.high > 0, self.low < 0])
        self.classify = ExactClassifier(network)
        self.evidence = evidence or Evidence()
        self.directions_tried = plane is not None
        self.least_move = _TINY
        """A radius that does not count, for margins where the nearest point is the point itself."""

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of an input."""
        return z

    def room(self) -> tuple[Floats, Floats]:
        """Return how far each feature can go down (<= 0) and up, in units of the columns, rounded outward."""
        return self.allowed.room(self.x)

    def column_units(self) -> Floats:
        """Return what a move of one unit of a column is in units of the first layer."""
        return self.allowed.scale[self.columns]

    @property
    def radius(self) -> float:
        """Radius within which there is something to prove."""
        if self.fixed:
            return self.limit
        return self.evidence.distance * (1.0 - _TOLERANCE)

    @property
    def is_broken(self) -> bool:
        """Whether there is an attack within the radius in question, so that nothing is left to be done."""
        return self.fixed and self.evidence.attack is not None

    @property
    def farthest(self) -> float:
        """Radius beyond which nothing more can be reached, inf if there is none."""
        cap = np.maximum(-self.low, self.high)
        if self.allowed.norm == INF:
            return float(cap.max(initial=0.0)) * (1.0 + 1e-12)
        return float(cap.sum()) * (1.0 + 1e-12)

    def box(self, radius: float, unit: float) -> tuple[float, Floats, Floats]:
        """Return the radius, and lower and upper bounds of the columns, in some units, rounded outward."""
        ball = math.nextafter(math.nextafter(radius / unit, math.inf), math.inf)
        if self.allowed.norm == ONE:
            cap = np.nextafter(np.minimum(np.concatenate([self.high, -self.low]), radius) / unit, np.inf)[self.ways]
            return ball, np.zeros(len(cap)), cap
        low = np.nextafter(np.maximum(self.low, -radius) / unit, -np.inf)
        high = np.nextafter(np.minimum(self.high, radius) / unit, np.inf)
        return ball, np.where(self.low == 0.0, 0.0, low), np.where(self.high == 0.0, 0.0, high)

    def row_ranges(self, rows: Floats, radius: float) -> tuple[Floats, Floats, Floats]:
        """Return by row about the largest Σ |w_j e_j|, and the largest w·e and -w·e, within a radius."""
        return reaches(self.allowed.norm, rows, radius, self.low, self.high)

    def spread(self, rows: Floats, size: Floats, unit: float) -> Floats:
        """Return rows in units of their sizes for the columns of `box`; for norm 1 those up, then those down."""
        rows = rows * (unit / size)[:, None]
        return np.ascontiguousarray(np.hstack([rows, -rows])[:, self.ways]) if self.allowed.norm == ONE else rows

    def step_costs(self, unit: float) -> tuple[Bools, Floats]:
        """Return which columns of `box` take integers, and what their steps cost; see `integer_support`."""
        count = int(np.count_nonzero(self.ways)) if self.allowed.norm == ONE else len(self.columns)
        return np.zeros(count, dtype=bool), np.zeros((0, 3))

    def offer(self, z: Floats) -> bool:
        """Take an input as the attack if it is one, allowed and nearer than the one known."""
        z = self.allowed.clip(self.x, z)
        if not np.isfinite(z).all() or self.classify(z) == self.code:
            return False
        distance = self.allowed.distance(self.x, z)
        if self.fixed and not self.allowed.within(self.x, z, self.limit):
            return False
        self.evidence.offer(z, distance)
        return True

    def moved(self, e: Floats) -> Floats:
        """Return the input that a move leads to."""
        z = self.x.copy()
        z[self.columns] += e * self.allowed.scale[self.columns]
        return z

    def relaxed(self) -> Point:
        """Return the point without any rounding of features, to look for directions."""
        return self

    def changes(self, columns: Indices, moves: Floats) -> Bools:
        """Whether moves of the columns of the relaxed point, of shape (k, columns), change the decision, about."""
        values = moves @ self.W.T + self.alpha
        layers = self.network.layers
        for weights, bias in layers[1:]:
            values = (values >= 0).astype(np.float64) @ weights.T + bias
        if len(layers[-1].bias) == 1:
            return np.asarray((values[:, 0] >= 0) != (self.code == 1))
        return np.asarray(np.argmax(values, axis=1) != self.code)

    def try_move(self, columns: Indices, e: Floats) -> None:
        """Offer the input that a move of the columns of the relaxed point leads to."""
        self.offer(self.moved(e))

    def try_first_steps(self) -> None:
        """Offer inputs that are near and cheap to try, before a search; there are none among real numbers."""

    def first_radius(self, estimate: Callable[[], float]) -> float:
        """Return the radius to begin a search with: that of its own estimate where features are real."""
        return estimate()

    def visit(self, search: Patterns, tree: SubsetTree | CellTree, code: int, radius: float, unit: float) -> None:
        """Do what a tree stopped for.

        Parameters
        ----------
        search : Patterns
            The search that the tree belongs to.
        tree : SubsetTree or CellTree
            The tree.
        code : int
            Why it stopped.
        radius : float
            Radius of the tree.
        unit : float
            Radius that the tree was made for, the unit of its real columns.
        """
        if code == CANDIDATE:
            search.attack(search.pattern())
        elif code == LEAF and search.wins(pattern := search.pattern()):
            self.close_cell(pattern, radius)

    def exclude_half_space(self, active: bool) -> float | None:
        """Return a radius within which the only row does not fire, or fires if not `active`; None if that is a search.

        Parameters
        ----------
        active : bool
            Whether the row is to fire for an attack.

        Returns
        -------
        float or None
            No input up to this distance, included, is an attack.
        """
        pattern = Pattern(np.array([active]), np.array([not active]))
        end = self.radius if self.radius < math.inf else self.farthest
        proven, listed = self.search_cell(pattern)
        if proven < min(end, self.radius) and not self.is_broken:
            exact = any(self.excluded_exactly(pattern, multipliers, end) for multipliers in listed)
            self.evidence.doubtful |= self.fixed and not exact
            return end if exact else proven
        return proven

    def lattice_radius(self, proven: float) -> tuple[float, bool]:
        """Return the radius that a proof amounts to, and whether it is exactly the smallest perturbation."""
        return proven, False

    def offer_boundary(self, e: Floats) -> bool:
        """Offer a move that is nearest without any margin."""
        z = self.moved(e)
        if self.fixed and self.allowed.norm == INF:
            z = self.allowed.pulled_in(self.x, z, self.limit)
        return self.offer(z) or self.offer(self.simple(z))

    def simple(self, z: Floats) -> Floats:
        """Return an input whose bounds and short decimals are restored, for cells without inside."""
        near = np.round(z, 6)
        for end in (self.allowed.lower, self.allowed.upper, self.x):
            near = np.where(np.abs(z - end) <= 1e-9 * (1.0 + np.abs(z)), end, near)
        return np.where(np.abs(z - near) <= 1e-9 * (1.0 + np.abs(z)), near, z)

    def sides(self, pattern: Pattern) -> tuple[Floats, Floats, Floats]:
        """Return rows W e + alpha >= 0, and error bounds, of neurons that are to fire, or not to."""
        chosen = pattern.chosen
        side = np.where(np.arange(len(chosen)) < np.count_nonzero(pattern.active), 1.0, -1.0)
        return self.W[chosen] * side[:, None], self.alpha[chosen] * side, self.error[chosen]

    def search_cell(self, pattern: Pattern) -> tuple[float, list[Floats]]:
        """Look for the nearest input where neurons fire as given; offer it as an attack.

        Parameters
        ----------
        pattern : Pattern
            Neurons of the first layer that are to fire, and not to.

        Returns
        -------
        radius : float
            No input up to this distance, included, has these neurons so; 0 if nothing is proven.
        multipliers : list of ndarray of shape (d,)
            Multipliers of the neurons, in units of their largest changes; also those that prove that no
            input has them so by a margin, if there are such.
        """
        W, alpha, error = self.sides(pattern)
        norm, proven, listed = self.allowed.norm, 0.0, []
        size, tight = np.zeros(len(alpha)), np.zeros(len(self.columns))
        stop = self.radius * (1.0 + 1e-6)
        for margin in _MARGINS:
            if not len(alpha):
                self.offer(self.x)
                listed.append(np.zeros(0))
                break
            shifted = alpha - margin * size - 4.0 * error if margin else alpha
            near = nearest(norm, W, shifted, self.low, self.high, stop, self.pause)
            listed.append(near.factors)
            if margin == 0.0:
                proven = proven_radius(norm, W, alpha, error, near.factors, self.low, self.high)
                unit = max(near.radius, self.least_move) if near.radius < math.inf else 1.0
                size = magnitudes(norm, W, unit, self.low, self.high)
            if near.radius > stop or near.radius == math.inf:
                if margin and len(self.x) > _FEW:
                    self.offer_boundary(tight)
                break
            if margin == 0.0:
                tight = near.point
                if len(self.x) <= _FEW and self.offer_boundary(tight):
                    break
            elif self.offer(self.moved(near.point)):
                break
        else:
            self.offer_boundary(tight)
        by_neuron = [np.zeros(len(self.alpha)) for _ in listed]
        for multipliers, factors in zip(by_neuron, listed, strict=True):
            multipliers[pattern.chosen] = factors * np.maximum(size, _TINY)
        return proven, by_neuron

    def close_cell(self, pattern: Pattern, radius: float) -> None:
        """Close a cell for good: prove that it is out of reach, or find an attack in it, or remember the doubt."""
        proven, listed = self.search_cell(pattern)
        radius = min(radius, self.radius)
        if proven >= radius or self.is_broken:
            return
        # where the attack is as good as on the boundary, arithmetic without rounding would not add anything
        near = not self.fixed and self.evidence.distance <= proven * (1.0 + _NEAR)
        if not near and any(self.excluded_exactly(pattern, multipliers, radius) for multipliers in listed):
            return
        if self.fixed:
            self.evidence.doubtful = True
        else:
            self.evidence.doubt(proven)

    def excluded_exactly(self, pattern: Pattern, multipliers: Floats, radius: float) -> bool:
        """Whether multipliers, rounded to simple fractions, prove in rational arithmetic that none is in reach."""
        chosen = np.flatnonzero(multipliers > 1e-12 * multipliers.max(initial=0.0))
        if not len(chosen):
            return False
        norm, unit = self.allowed.norm, radius if 0.0 < radius < math.inf else 1.0
        sizes = [magnitude(norm, self.W[i], unit, self.low, self.high) or 1.0 for i in chosen.tolist()]
        ratios = [multipliers[i] / size for i, size in zip(chosen.tolist(), sizes, strict=True)]
        rows = [self.exact_row(i) for i in chosen.tolist()]
        return excludes_exactly(norm, self.ends, rows, pattern.active[chosen].tolist(), ratios, radius)

    def exact_row(self, i: int) -> tuple[list[Fraction], Fraction]:
        """Return the weights of the columns of a row, and its value at the point."""
        if self.plane is not None:
            return [self.plane.weights[j] for j in self.columns.tolist()], self.plane.value(self.at)
        weights, bias = (a.astype(np.float64) for a in self.network.layers[0])
        return [Fraction(w) for w in weights[i, self.columns].tolist()], signs.rational(self.x, weights[i], bias[i])

    @cached_property
    def ends(self) -> list[Ends]:
        """Scale of each column, and how far it can go down and up."""
        allowed, found = self.allowed, []
        for j in self.columns.tolist():
            scale, at = Fraction(float(allowed.scale[j])), Fraction(float(self.x[j]))
            rooms = [
                abs(Fraction(float(end)) - at) / scale if math.isfinite(end) else None
                for end in (allowed.lower[j], allowed.upper[j])
            ]
            found.append(Ends(scale, *rooms))
        return found
