"""Points whose features take integers: behind an input grid, or because they are integers themselves.

The attacker moves raw inputs, the network sees integers that are a monotone function of them in double arithmetic. So
what is in reach of one feature within a radius are the integers between two, found by quantising the last floats within
the radius; and the shortest move to an integer ends at the first float that is rounded to it. Features that are
integers and lie behind a grid move from integer to integer, and some integers of the grid may have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from bdnn.certification.attacker import Perturbations, float_above, integer_mask, root_above
from bdnn.certification.integer_support import DOWN, MORE, UP, support_steps
from bdnn.certification.point import Plane, Point
from bdnn.certification.projection import nearest
from bdnn.certification.quantization import edges, part
from bdnn.certification.support import INF, ONE, UNIT, reaches, smallest_radii
from bdnn.errors import InputError
from bdnn.network.network import Layer, Network
from bdnn.types import Bools, Floats, Indices

_LARGEST = 2.0**53
_POLISHINGS = 100
_TRIES = 16
_STEPS = 4096
_TIES = 5e-8  # cuts see a part in 1e8
_TINY = 2.0**-900  # products above it keep all of their digits


def integer_features(network: Network, integer: Any, points: Floats) -> Bools:
    """Return which features are integers; check that those of the points are.

    Parameters
    ----------
    network : Network
        Whose features these are.
    integer : bool or array-like
        Whether all are; or a mask of shape (n,), indices, or names.
    points : ndarray of shape (m, n)
        The points.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    InputError
        If a feature is unknown, or a point has no integer in one of these features.
    """
    mask = integer_mask(network, integer)
    for wrong, what in ((points != np.rint(points), "integers"), (np.abs(points) > _LARGEST, "integers up to 2**53")):
        if np.any(wrong & mask):
            i, j = np.argwhere(wrong & mask)[0].tolist()
            asked = "integer=True" if isinstance(integer, bool | np.bool_) else f"integer with feature {j}"
            raise InputError(f"{asked} needs {what}, but row {i} has {points[i, j]:g} in feature {j}")
    return mask


def point_at(
    network: Network,
    allowed: Perturbations,
    integer: Bools,
    x: Floats,
    code: int,
    limit: float,
    pause: Callable[[int], None],
    plane: Plane | None = None,
) -> Point:
    """Return a point of the kind that the network and the features call for; parameters are those of `WholePoint`."""
    if network.grid is None and not np.any(integer & allowed.free):
        return Point(network, allowed, x, code, limit, pause, plane)
    return WholePoint(network, allowed, integer, x, code, limit, pause, plane)


def _integral(form: Layer | Plane) -> bool:
    """Whether sums of integers with these weights are integers that are known exactly."""
    if isinstance(form, Plane):
        numbers = [*form.weights, form.constant]
        return all(number.denominator == 1 for number in numbers) and sum(map(abs, numbers)) < _LARGEST
    return all(np.array_equal(a, np.rint(a)) and np.abs(a).sum() < _LARGEST for a in form)


class WholePoint(Point):
    """A point with columns that are integers, counted from where the point is; others may be real.

    Parameters
    ----------
    network : Network
        With or without a grid.
    allowed : Perturbations
        What the attacker may do.
    integer : ndarray of shape (n,), bool
        Features that are integers themselves.
    x, code, limit, pause, plane : optional
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
    ) -> None:
        self.integer = integer
        self._reached: tuple[float, Floats, Floats] | None = None
        self.stepping = integer if network.grid is None else np.ones(len(x), dtype=bool)
        low, high = np.where(integer, np.ceil(allowed.lower), allowed.lower), allowed.upper
        allowed = replace(allowed, lower=low, upper=np.where(integer, np.floor(high), high))
        super().__init__(network, allowed, x, code, limit, pause, plane)
        self.stepped = self.stepping[self.columns]
        self.pure = bool(np.all(self.stepped))
        whole = _integral(network.layers[0] if plane is None else plane)
        if whole and self.pure and np.all(self.at == np.rint(self.at)):
            # sums are integers: half a unit more keeps those that fire apart from those that do not
            self.alpha = self.alpha + 0.5
            self.error = self.error + 2.0 * UNIT * np.abs(self.alpha)
        self.costs, self.tries, self.tried = self._costs(), 0, False

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of inputs."""
        return z if self.network.grid is None else self.network.grid.quantise(z)

    def lengths(self) -> Floats:
        """Return what a move of one unit of a column is in units of the first layer."""
        return np.where(self.stepping, 1.0, self.allowed.scale)[self.columns]

    def room(self) -> tuple[Floats, Floats]:
        """Return how far each feature can go down and up, in steps or in units of the scale, rounded outwards."""
        low, high = self.allowed.room(self.x)
        c = np.flatnonzero(self.stepping)
        low[c], high[c] = self._reachable(c, math.inf)
        return low, high

    def _ends(self, c: Indices, radius: float) -> tuple[Floats, Floats]:
        """Return the smallest and the largest floats of features within the radius and the bounds, exactly."""
        x, scale = self.x[c], self.allowed.scale[c]
        low, high, free = self.allowed.lower[c], self.allowed.upper[c], self.allowed.free[c]
        if radius == math.inf:
            return np.where(free, low, x), np.where(free, high, x)
        ends, way = [], radius * scale
        # products with powers of two have no rounding errors, unless they are tiny
        even = (np.frexp(scale)[0] == 0.5) & ((way > _TINY) | (radius == 0.0))
        for side, bound in ((-1, low), (1, high)):
            with np.errstate(over="ignore", invalid="ignore"):
                z = x + side * way
                rest = z - x
                error = (x - (z - rest)) + (side * way - rest)  # of the sum, exactly (D. E. Knuth)
                z = np.where(even & (side * error < 0.0), np.nextafter(z, x), z)
            for j in self._doubtful(c, z, x, way, side, ~even | ~np.isfinite(error)):
                exact = Fraction(float(x[j])) + side * Fraction(radius) * Fraction(float(scale[j]))
                end = float(exact)
                z[j] = math.nextafter(end, float(x[j])) if (Fraction(end) - exact) * side > 0 else end
            z = np.minimum(z, bound) if side > 0 else np.maximum(z, bound)
            ends.append(np.where(free, z, x))
        return ends[0], ends[1]

    def _doubtful(self, c: Indices, z: Floats, x: Floats, way: Floats, side: int, rounded: Bools) -> list[int]:
        """Return which ends that were rounded are worth to be found exactly: the last integer depends on it."""
        if not rounded.any():
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            blur = 2.0 * np.spacing(np.abs(x) + way)
        further, back = z + side * blur, z - side * blur
        apart = self._within(c, further, side) != self._within(c, back, side)
        return np.flatnonzero(rounded & apart & np.isfinite(further)).tolist()

    def _within(self, c: Indices, z: Floats, side: int) -> Floats:
        """Return the last integers that are seen of features which go to a side up to given values."""
        z = np.where(self.integer[c], np.ceil(z) if side < 0 else np.floor(z), z)
        return z if self.network.grid is None else part(self.network.grid, c).quantise(z)

    def _reachable(self, c: Indices, radius: float) -> tuple[Floats, Floats]:
        """Return the least and the largest steps of features within a radius."""
        low, high = self._ends(c, radius)
        at = self.seen(self.x)[c]
        return np.minimum(self._within(c, low, -1) - at, 0.0), np.maximum(self._within(c, high, 1) - at, 0.0)

    def steps_within(self, radius: float) -> tuple[Floats, Floats]:
        """Return the least and the largest steps of the columns within a radius, exactly; of a pure point."""
        return self._reachable(self.columns, radius)

    def _costs(self) -> Floats:
        """Return what the steps of the columns cost, rounded down, as `steps` wants it; 1 for real columns."""
        c = self.columns[self.stepped]
        costs, scale, grid = np.ones((len(self.columns), 3)), self.allowed.scale[c], self.network.grid
        if grid is None:
            costs[self.stepped] = (1.0 / scale * (1.0 - 4.0 * UNIT))[:, None]
            return costs
        one, at = part(grid, c), self.at[c]
        # borders lie where they should, up to a few roundings of the numbers that make them
        blur = 32.0 * UNIT * (np.abs(one.offset) + 2.0**grid.bits * one.step)
        more = np.maximum(one.step - blur, 0.0) / scale * (1.0 - 8.0 * UNIT)
        for side, place in ((1.0, UP), (-1.0, DOWN)):
            can = self.high[self.stepped] > 0 if side > 0 else self.low[self.stepped] < 0
            # where there is no such step, any other will do
            ends = np.clip(at + side, *((1.0, 2.0**grid.bits - 1.0) if side > 0 else (0.0, 2.0**grid.bits - 2.0)))
            edge = edges(one, ends, side)
            costs[self.stepped, place] = np.where(can, np.abs(edge - self.x[c]) / scale * (1.0 - 8.0 * UNIT), more)
        costs[self.stepped, MORE] = more
        return costs

    def box(self, radius: float, unit: float) -> tuple[float, Floats, Floats]:
        """Return the radius in some units, and bounds of the columns: integers in reach, or as for `Point`."""
        low = np.where(self.low == 0.0, 0.0, np.nextafter(np.maximum(self.low, -radius) / unit, -np.inf))
        high = np.where(self.high == 0.0, 0.0, np.nextafter(np.minimum(self.high, radius) / unit, np.inf))
        if self._reached is None or self._reached[0] != radius:  # asked for in several units
            self._reached = radius, *self._reachable(self.columns[self.stepped], radius)
        low[self.stepped], high[self.stepped] = self._reached[1:]
        ball = math.nextafter(math.nextafter(self._last_distance(radius) / unit, math.inf), math.inf)
        return math.inf if self.allowed.norm == INF else ball, low, high

    def _last_distance(self, radius: float) -> float:
        """Return the last distance up to a radius that integers in equal units have, rounded up; else the radius."""
        scale = self.allowed.scale[self.columns]
        if not self.pure or self.network.grid is not None or not len(scale) or np.any(scale != scale[0]):
            return radius
        steps = radius * float(scale[0])
        if self.allowed.norm != ONE:
            steps *= steps
        if not steps < 2.0**40:
            return radius
        last = math.floor(steps * (1.0 + 1e-12))
        return (last if self.allowed.norm == ONE else math.sqrt(last)) / float(scale[0]) * (1.0 + 1e-15)

    def steps(self, unit: float) -> tuple[Bools, Floats]:
        """Return which columns take integers, and what their steps cost in some units; nothing for norm inf."""
        if self.allowed.norm == INF:
            return self.stepped, np.zeros((0, 3))
        return self.stepped, np.where(self.stepped[:, None], self.costs / unit * (1.0 - 2.0 * UNIT), 1.0)

    def spread(self, rows: Floats, reach: Floats, unit: float) -> Floats:
        """Return rows in units of their reach, for the columns of `box`."""
        return np.ascontiguousarray(rows * (np.where(self.stepped, 1.0, unit) / reach[:, None]))

    def reaches(self, rows: Floats, radius: float) -> tuple[Floats, Floats, Floats]:
        """Return by row a bound of Σ |w_j e_j|, and bounds of w·e and -w·e, within a radius."""
        norm, (ball, low, high), (whole, costs) = self.allowed.norm, self.box(radius, 1.0), self.steps(1.0)
        if norm == INF:
            return reaches(norm, rows, ball, low, high)
        cap, least = np.maximum(-low, high), costs.copy()
        least[:, UP] = least[:, DOWN] = np.minimum(costs[:, UP], costs[:, DOWN])
        return (
            np.array([support_steps(norm, np.abs(w), ball, -cap, cap, least, whole) for w in rows]),
            np.array([support_steps(norm, w, ball, low, high, costs, whole) for w in rows]),
            np.array([support_steps(norm, -w, ball, low, high, costs, whole) for w in rows]),
        )

    @property
    def radius(self) -> float:
        """Radius within which there is something to prove; below that of other inputs as far away as the attack."""
        if self.fixed:
            return self.limit
        if self.pure and self.allowed.norm == INF and self.distance < math.inf:
            return math.nextafter(self.distance, 0.0)  # what is in reach is a box, which leaves out the ties
        return self.distance * (1.0 - _TIES)

    @property
    def farthest(self) -> float:
        """Radius within which everything is in reach."""
        if not np.all(np.isfinite([self.low, self.high])):
            return math.inf
        ends = [np.abs(self.moved(end) - self.x)[self.columns] for end in (self.low, self.high)]
        far = np.maximum(*ends) / self.allowed.scale[self.columns]
        return float(far.max(initial=0.0) if self.allowed.norm == INF else far.sum()) * (1.0 + 1e-12)

    def first_change(self) -> float:
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
        wanted, side = self.at[where] + steps[used], np.sign(steps[used])
        if self.network.grid is not None and len(used):
            wanted = edges(part(self.network.grid, where), wanted, side)
            whole = self.integer[where]
            wanted = np.where(whole & (side > 0), np.ceil(wanted), np.where(whole, np.floor(wanted), wanted))
        z[where] = wanted
        return z

    def steps_of(self, z: Floats) -> Floats:
        """Return the moves of the columns that lead to an input."""
        c = self.columns
        return np.where(self.stepped, (self.seen(z) - self.at)[c], (z - self.x)[c] / self.allowed.scale[c])

    def offer(self, z: Floats) -> bool:
        """Take an input as the attack if it is one, allowed and nearer than the one known."""
        z = self.allowed.clip(self.x, z)
        return bool(np.all(z[self.integer] == np.rint(z[self.integer]))) and super().offer(z)

    def try_steps(self) -> None:
        """Offer the nearest of the inputs that are one step away, and with a plane those that steps along it reach."""
        if self.tried or self.attack is not None:
            return
        self.tried = True
        inputs = []
        for side, can in ((-1.0, self.stepped & (self.low < 0)), (1.0, self.stepped & (self.high > 0))):
            c = self.columns[can]
            each = np.repeat(self.x[None, :], len(c), axis=0)
            each[np.arange(len(c)), c] = self.moved(np.where(can, side, 0.0))[c]
            inputs.append(each)
        steps = np.vstack(inputs)
        other = steps[self.network.predict_index(steps) != self.code]
        far = np.sum(np.abs(other - self.x) / self.allowed.scale, axis=1)  # of one feature: the same in all norms
        if len(other):
            self.offer(other[int(np.argmin(far))])
        if self.plane is not None and self.pure and len(self.columns) and self.allowed.norm != INF:
            self._walk()

    def _walk(self) -> None:
        """Take the steps that the form of the plane gains most by for their cost, until the decision changes."""
        side = -1.0 if self.alpha[0] >= 0 else 1.0
        slopes, power = side * self.W[0], 1.0 if self.allowed.norm == ONE else 2.0
        first = np.where(slopes > 0, self.costs[:, UP], self.costs[:, DOWN])
        room = np.where(slopes > 0, self.high, -self.low)
        taken, value = np.zeros(len(slopes)), -abs(float(self.alpha[0]))
        spent, ahead = np.zeros(len(slopes)), first**power
        gain = np.abs(slopes)
        for _ in range(_STEPS):
            rate = np.where(taken < room, gain / np.maximum(ahead - spent, 1e-300), 0.0)
            best = int(np.argmax(rate))
            if rate[best] <= 0.0:
                return
            taken[best] += 1.0
            value += gain[best]
            spent[best], ahead[best] = ahead[best], (first[best] + self.costs[best, MORE] * taken[best]) ** power
            if value >= 0.0 and self.offer(self.moved(np.sign(slopes) * taken)):
                return

    def land(self, e: Floats, on: Bools, off: Bools) -> bool:
        """Offer the input that moves lead to, or with real columns the nearest one of the cell; whether it is nearer.

        Parameters
        ----------
        e : ndarray
            Moves of the columns.
        on, off : ndarray of shape (d,), bool
            Neurons of the first layer that are to fire, and not to, for the real columns.
        """
        known = self.distance
        z = self.moved(np.clip(e, self.low, self.high))
        self.offer(z)
        if not self.pure:
            rest = RealRest(self, np.where(self.stepping, z, self.x), self.radius)
            if rest.limit >= 0.0:
                rest.close(on, off)
        if not self.distance < known:
            return False
        if (rest_of := self.rest()) is not None:
            # steps were rounded: this may be another cell, of which the nearest input is wanted as well
            real, fires = rest_of
            real.close(fires, ~fires)
        self.polish()
        return True

    def rest(self) -> tuple[RealRest, Bools] | None:
        """Return the real features beside the steps of the attack, and what fires there; None if nothing."""
        if self.pure or self.attack is None:
            return None
        rest = RealRest(self, np.where(self.stepping, self.attack, self.x), self.radius)
        return (rest, self.W @ self.steps_of(self.attack) + self.alpha >= 0) if rest.limit >= 0.0 else None

    def polish(self) -> None:
        """Take steps of the attack back, the dearest first, as long as the decision stays changed (norms 1 and 2)."""
        for _ in range(_POLISHINGS if self.allowed.norm != INF else 0):
            if self.attack is None:
                return
            z, known = self.attack, self.distance
            e = self.steps_of(z)
            used = np.flatnonzero(self.stepped & (np.rint(e) != 0))
            c = self.columns[used]
            tries = []
            for target in (self.moved(np.where(self.stepped, e - np.sign(e), 0.0)), self.x):
                each = np.repeat(z[None, :], len(used), axis=0)
                each[np.arange(len(used)), c] = target[c]
                tries.append(each)
            inputs = np.vstack(tries)
            power = 1 if self.allowed.norm == ONE else 2
            saved = [
                (np.abs(z - self.x)[c] / self.allowed.scale[c]) ** power
                - (np.abs(each[np.arange(len(c)), c] - self.x[c]) / self.allowed.scale[c]) ** power
                for each in tries
            ]
            gain = np.where(self.network.predict_index(inputs) != self.code, np.concatenate(saved), 0.0)
            if not np.any(gain > 0):
                return
            self.offer(inputs[int(np.argmax(gain))])
            if not self.distance < known:
                return

    def improved(self, columns: Floats, on: Bools, off: Bools, radius: float) -> bool:
        """Offer integers near the solution of a program, or near points well inside of the cell that it is about.

        Parameters
        ----------
        columns : ndarray
            The solution, in units of the radius where features are real.
        on, off : ndarray of shape (d,), bool
            Neurons of the first layer that are to fire, and not to.
        radius : float
            Radius of the program.

        Returns
        -------
        bool
            Whether there is a nearer attack than before.
        """
        e = columns * np.where(self.stepped, 1.0, radius)
        if self._least_cost(e) < self.distance and self.land(e, on, off):
            return True
        # what follows takes longer than a node does
        self.tries += 1
        if self.tries > _TRIES and self.tries % _TRIES:
            return False
        W, alpha, error, _ = self.sides(on, off)
        if not len(alpha):
            return False
        _, low, high = self.box(radius, 1.0)
        size = np.maximum(self.costs[:, MORE], 1e-300)
        # a vertex has as many fractions as there are rows; rounding each of them moves a row by half a weight
        most = 0.5 * np.sort(np.abs(W * self.stepped), axis=1)[:, -len(alpha) :].sum(axis=1)
        for share in (1.0, 0.5, 0.2):
            near = nearest(
                self.allowed.norm,
                W / size,
                alpha - share * most - error,
                low * size,
                high * size,
                math.inf,
                self.pause,
            )
            if near.radius < math.inf and self.land(near.point / size, on, off):
                return True
        return False

    def _least_cost(self, e: Floats) -> float:
        """Return about what the steps nearest to moves cost, rounded down."""
        steps = np.abs(np.rint(e))
        first = np.where(e > 0, self.costs[:, UP], self.costs[:, DOWN])
        cost = np.where(self.stepped & (steps > 0), first + self.costs[:, MORE] * (steps - 1.0), 0.0)
        if self.allowed.norm == INF:
            return float(cost.max(initial=0.0))
        return float(np.linalg.norm(cost, 1 if self.allowed.norm == ONE else 2)) * (1.0 - 1e-12)

    def settle(self, on: Bools, off: Bools, radius: float) -> None:
        """Remember the doubt about a leaf that is feasible up to rounding, but whose input is no attack."""
        self.doubtful = True
        self.least = min(self.least, self.floor)

    def settle_steps(self, steps: Floats, on: Bools, off: Bools, radius: float) -> None:
        """Close a leaf whose steps are all fixed: a single input, or a cell of the real features.

        Parameters
        ----------
        steps : ndarray
            Moves of the columns; real ones do not matter.
        on, off : ndarray of shape (d,), bool
            Neurons of the first layer that are to fire, and not to, for the real columns.
        radius : float
            Radius of the program.
        """
        z = self.moved(np.where(self.stepped, steps, 0.0))
        if self.pure:
            self.offer(z)
            return
        rest = RealRest(self, z, min(radius, self.radius))
        if rest.limit < 0.0:
            return
        proven, listed = rest.close(on, off)
        left = rest.left(min(radius, self.radius))
        if proven >= left or (self.fixed and self.attack is not None):
            return
        if any(rest.excluded_exactly(on, off, factors, left) for factors in listed):
            return
        if self.fixed:
            self.doubtful = True
        else:
            self.least = min(self.least, rest.total(proven))

    def relaxed(self) -> Point:
        """Return the point without any rounding, to look for directions."""
        grid, layers = self.network.grid, self.network.layers
        if grid is not None:
            weights, bias = (a.astype(np.float64) for a in layers[0])
            first = Layer(weights / grid.step, bias - (weights / grid.step) @ grid.offset)
            layers = (first, *(Layer(*(a.astype(np.float64) for a in layer)) for layer in layers[1:]))
        network = Network(layers, head=self.network.head, classes=self.network.classes)
        return Point(network, self.allowed, self.x, self.code, self.limit, self.pause)

    def landed(self, columns: Indices, moves: Floats) -> Floats:
        """Return the inputs, shape (k, n), that moves of features lead to, in units of the scale."""
        inputs = np.repeat(self.x[None, :], len(moves), axis=0)
        inputs[:, columns] += moves * self.allowed.scale[columns]
        inputs = np.clip(inputs, self.allowed.lower, self.allowed.upper)
        return np.where(self.integer, self.x + np.trunc(inputs - self.x), inputs)


class RealRest(Point):
    """The real features of a point, the others having taken their steps; what it finds is offered to the point.

    Parameters
    ----------
    whole : WholePoint
        The point.
    z : ndarray of shape (n,)
        The input after the steps.
    radius : float
        Distance from the point up to which attacks matter.
    """

    def __init__(self, whole: WholePoint, z: Floats, radius: float) -> None:
        self.whole, self.spent = whole, whole.allowed.measure(whole.x, z)
        allowed = replace(whole.allowed, free=whole.allowed.free & ~whole.stepping)
        limit = self.left(radius)
        super().__init__(whole.network, allowed, z, whole.code, limit, whole.pause, whole.plane)
        self.fixed, self.attack, self.distance = whole.fixed, whole.attack, whole.distance
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
        norm = self.whole.allowed.norm
        far = Fraction(radius) if norm in (INF, ONE) else Fraction(radius) ** 2
        if far < self.spent:
            return -1.0
        if norm == INF:
            return radius
        return float_above(far - self.spent) if norm == ONE else root_above(far - self.spent)

    def total(self, proven: float) -> float:
        """Return the distance from the point that a distance of the real features makes, rounded down."""
        norm = self.whole.allowed.norm
        if proven == math.inf:
            return math.inf
        if norm == INF:
            return max(proven, math.nextafter(float(self.spent), 0.0))
        if norm == ONE:
            return math.nextafter(float(self.spent + Fraction(proven)), 0.0)
        return root_above(self.spent + Fraction(proven) ** 2) * (1.0 - 4.0 * UNIT)

    def offer(self, z: Floats) -> bool:
        """Offer an input to the point."""
        taken = self.whole.offer(z)
        self.attack, self.distance = self.whole.attack, self.whole.distance
        return taken
