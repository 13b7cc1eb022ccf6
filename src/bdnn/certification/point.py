"""One point: the first layer around it in folded units, attacks on it and cells near it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bdnn.certification.attacker import Perturbations
from bdnn.certification.classify import Decider
from bdnn.certification.projection import nearest
from bdnn.certification.support import INF, ONE, TWO, UNIT, magnitude, magnitudes, proven_radius, reaches
from bdnn.clock import reading
from bdnn.exact import signs
from bdnn.network.network import Network
from bdnn.types import Bools, Floats

TOLERANCE = 1e-8
_MARGINS = (0.0, 2e-9, 1e-7, 1e-5)
_NEAR = 1e-7
_FEW = 64  # with more features the rational arithmetic of a point on the border takes too long to begin with


class Stopped(Exception):
    """The time for a point is up, or the user pressed Ctrl-C."""


class Ends(NamedTuple):
    """How far a column can go down and up, in units of its scale; None is for no limit."""

    scale: Fraction
    down: Fraction | None
    up: Fraction | None


class Plane(NamedTuple):
    """A linear form of the inputs, in exact numbers."""

    weights: list[Fraction]
    constant: Fraction

    def value(self, x: Floats) -> Fraction:
        """Return its value."""
        pairs = zip(self.weights, x.tolist(), strict=True)
        return sum((w * Fraction(v) for w, v in pairs if w and v), self.constant)


class Point:
    """What is known of one point, and the rows of the first layer around it.

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
    """

    def __init__(
        self,
        network: Network,
        allowed: Perturbations,
        x: Floats,
        code: int,
        limit: float,
        pause: Callable[[int], None],
        plane: Plane | None = None,
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
        self.W = np.ascontiguousarray(weights[:, self.columns] * self.lengths())
        if plane is None:
            out = signs.affine(self.at[None, :], weights, bias)
            self.alpha, error = out.values[0], 0.0 if out.radius is None else out.radius[0]
        else:
            self.alpha, error = np.array([float(plane.value(self.at))]), 0.0
        self.error = error + 2.0 * UNIT * np.abs(self.alpha) + 1e-300
        self.ways = np.concatenate([self.high > 0, self.low < 0])
        self.decide = Decider(network)
        self.attack: Floats | None = None
        self.distance = math.inf
        self.doubtful, self.shot = False, plane is not None
        self.floor = 0.0
        self.least_move = 1e-300
        """A radius that does not count, for margins where the nearest point is the point itself."""
        self.least = math.inf
        """Smallest radius that a cell was proven for, where that was not the radius asked for."""

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of an input."""
        return z

    def room(self) -> tuple[Floats, Floats]:
        """Return how far each feature can go down (<= 0) and up, in units of the columns, rounded outwards."""
        return self.allowed.room(self.x)

    def lengths(self) -> Floats:
        """Return what a move of one unit of a column is in units of the first layer."""
        return self.allowed.scale[self.columns]

    @property
    def radius(self) -> float:
        """Radius within which there is something to prove."""
        if self.fixed:
            return self.limit
        return self.distance * (1.0 - TOLERANCE) if self.distance < math.inf else math.inf

    @property
    def farthest(self) -> float:
        """Radius beyond which nothing more can be reached, inf if there is none."""
        cap = np.maximum(-self.low, self.high)
        if self.allowed.norm == INF:
            return float(cap.max(initial=0.0)) * (1.0 + 1e-12)
        return float(cap.sum()) * (1.0 + 1e-12)

    def box(self, radius: float, unit: float) -> tuple[float, Floats, Floats]:
        """Return the radius, and lower and upper bounds of the columns, in some units, rounded outwards."""
        ball = math.nextafter(math.nextafter(radius / unit, math.inf), math.inf)
        if self.allowed.norm == ONE:
            cap = np.nextafter(np.minimum(np.concatenate([self.high, -self.low]), radius) / unit, np.inf)[self.ways]
            return ball, np.zeros(len(cap)), cap
        low = np.nextafter(np.maximum(self.low, -radius) / unit, -np.inf)
        high = np.nextafter(np.minimum(self.high, radius) / unit, np.inf)
        return ball, np.where(self.low == 0.0, 0.0, low), np.where(self.high == 0.0, 0.0, high)

    def reaches(self, rows: Floats, radius: float) -> tuple[Floats, Floats, Floats]:
        """Return by row about the largest Σ |w_j e_j|, and the largest w·e and -w·e, within a radius."""
        return reaches(self.allowed.norm, rows, radius, self.low, self.high)

    def spread(self, rows: Floats, reach: Floats, unit: float) -> Floats:
        """Return rows in units of their reach for the columns of `box`; for norm 1 those up, then those down."""
        rows = rows * (unit / reach)[:, None]
        return np.ascontiguousarray(np.hstack([rows, -rows])[:, self.ways]) if self.allowed.norm == ONE else rows

    def steps(self, unit: float) -> tuple[Bools, Floats]:
        """Return which columns of `box` take integers, and what their steps cost; see `steps`."""
        count = int(np.count_nonzero(self.ways)) if self.allowed.norm == ONE else len(self.columns)
        return np.zeros(count, dtype=bool), np.zeros((0, 3))

    def offer(self, z: Floats) -> bool:
        """Take an input as the attack if it is one, allowed and nearer than the one known."""
        z = self.allowed.clip(self.x, z)
        if not np.isfinite(z).all() or self.decide(z) == self.code:
            return False
        distance = self.allowed.distance(self.x, z)
        if self.fixed and not self.allowed.within(self.x, z, self.limit):
            return False
        if distance < self.distance:
            self.attack, self.distance = z, distance
        return True

    def moved(self, e: Floats) -> Floats:
        """Return the input that a move in folded units leads to."""
        z = self.x.copy()
        z[self.columns] += e * self.allowed.scale[self.columns]
        return z

    def changes(self, moves: Floats) -> Bools:
        """Whether moves, of shape (k, columns), change the decision, in floating point."""
        values = moves @ self.W.T + self.alpha
        layers = self.network.layers
        for weights, bias in layers[1:]:
            values = (values >= 0).astype(np.float64) @ weights.T + bias
        if len(layers[-1].bias) == 1:
            return np.asarray((values[:, 0] >= 0) != (self.code == 1))
        return np.asarray(np.argmax(values, axis=1) != self.code)

    def touch(self, e: Floats) -> bool:
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

    def sides(self, on: Bools, off: Bools) -> tuple[Floats, Floats, Floats, Bools]:
        """Return rows W e + alpha >= 0, error bounds, and which are strict, of neurons that are to fire, or not to."""
        chosen = np.concatenate([np.flatnonzero(on), np.flatnonzero(off)])
        side = np.where(np.arange(len(chosen)) < np.count_nonzero(on), 1.0, -1.0)
        return self.W[chosen] * side[:, None], self.alpha[chosen] * side, self.error[chosen], side < 0

    def close(self, on: Bools, off: Bools) -> tuple[float, list[Floats]]:
        """Look for the nearest input where neurons fire as given; offer it as an attack.

        Parameters
        ----------
        on, off : ndarray of shape (d,), bool
            Neurons of the first layer that are to fire, and not to.

        Returns
        -------
        radius : float
            No input up to this distance, included, has these neurons so; 0 if nothing is proven.
        factors : list of ndarray of shape (d,)
            Multipliers of the neurons, in units of their reach; also those that prove that no input has them so by a
            margin, if there are such.
        """
        W, alpha, error, _ = self.sides(on, off)
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
                    self.touch(tight)
                break
            if margin == 0.0:
                tight = near.point
                if len(self.x) <= _FEW and self.touch(tight):
                    break
            elif self.offer(self.moved(near.point)):
                break
        else:
            self.touch(tight)
        chosen = np.concatenate([np.flatnonzero(on), np.flatnonzero(off)])
        spread = [np.zeros(len(self.alpha)) for _ in listed]
        for whole, factors in zip(spread, listed, strict=True):
            whole[chosen] = factors * np.maximum(size, 1e-300)
        return proven, spread

    def settle(self, on: Bools, off: Bools, radius: float) -> None:
        """Close a cell for good: prove that it is out of reach, or find an attack in it, or remember the doubt."""
        proven, listed = self.close(on, off)
        radius = min(radius, self.radius)
        if proven >= radius or (self.fixed and self.attack is not None):
            return
        # where the attack is as good as at the border, arithmetic without rounding would not add anything
        near = not self.fixed and self.distance <= proven * (1.0 + _NEAR)
        if not near and any(self.excluded_exactly(on, off, factors, radius) for factors in listed):
            return
        if self.fixed:
            self.doubtful = True
        else:
            self.least = min(self.least, proven)

    def excluded_exactly(self, on: Bools, off: Bools, factors: Floats, radius: float) -> bool:
        """Whether multipliers, rounded to simple fractions, prove in rational arithmetic that none is in reach."""
        chosen = np.flatnonzero(factors > 1e-12 * factors.max(initial=0.0))
        if not len(chosen):
            return False
        unit = radius if 0.0 < radius < math.inf else 1.0
        sizes = {i: magnitude(self.allowed.norm, self.W[i], unit, self.low, self.high) or 1.0 for i in chosen.tolist()}
        rows = [self.exact_row(i) for i in sizes]
        # one factor for all makes them integers, which are much faster to add
        common = math.lcm(*(number.denominator for slopes, value in rows for number in (*slopes, value)))
        whole = [[int(number * common) for number in (*slopes, value)] for slopes, value in rows]
        top = max(factors[i] / sizes[i] for i in sizes)
        for digits in (10**15, 1000):
            simple = [Fraction(factors[i] / sizes[i] / top).limit_denominator(digits) for i in sizes]
            use = math.lcm(*(f.denominator for f in simple))
            signed = [int(f * use) * (1 if on[i] else -1) for f, i in zip(simple, sizes, strict=True)]
            sums = [sum(f * row[k] for f, row in zip(signed, whole, strict=True)) for k in range(len(self.columns) + 1)]
            strict = any(f < 0 for f in signed)
            if below(self.allowed.norm, self.ends, sums[:-1], -sums[-1], radius, strict):
                return True
        return False

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


def below(norm: int, ends: list[Ends], slopes: list[int], need: int, radius: float, strict: bool) -> bool:
    """Whether a linear form stays below `need` on the closed set, or does not exceed it if `strict`; exactly.

    For norm 2 ball and bounds are each left out once, so that the answer may be no although yes would be right.
    """
    r = Fraction(radius) if math.isfinite(radius) else None
    sizes, rooms = [], []
    for slope, end in zip(slopes, ends, strict=True):
        if slope:
            sizes.append(abs(slope) if end.scale == 1 else abs(slope) * end.scale)
            rooms.append(end.up if slope > 0 else end.down)

    def less(most: Fraction | int) -> bool:
        return most < need or (strict and most == need)

    if norm == ONE and r is not None:
        most, left = Fraction(0), r
        for size, room in sorted(zip(sizes, rooms, strict=True), key=lambda pair: -pair[0]):
            step = left if room is None else min(room, left)
            most, left = most + size * step, left - step
        return less(most)
    if norm == TWO and r is not None:
        square = r * r * sum(size * size for size in sizes)
        if need > 0 and (square < need * need or (strict and square == need * need)):
            return True
    # numbers of the same denominator are added first: mostly the radius
    sums: dict[Fraction, Fraction | int] = {}
    for size, room in zip(sizes, rooms, strict=True):
        caps = [cap for cap in (room, r) if cap is not None]
        if not caps:
            return False
        cap = min(caps)
        sums[cap] = sums.get(cap, 0) + size
    return less(sum((size * cap for cap, size in sums.items()), Fraction(0)))


class Clock:
    """Limits of time for one point, and a place to report to.

    Parameters
    ----------
    end : float
        Reading of `bdnn.clock` at which the point must be left.
    report : callable
        Called with the number of new nodes; raises `Stopped` to end.
    """

    def __init__(self, end: float, report: Callable[[int], None]) -> None:
        self.end, self.report, self.nodes = end, report, 0

    def __call__(self, nodes: int) -> None:
        """Count nodes and stop if the time is up."""
        self.nodes += nodes
        self.report(nodes)
        if reading() >= self.end:
            raise Stopped
