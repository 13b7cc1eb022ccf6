"""Points with features that take integers, behind an input grid or as they are integers themselves; others are real.

Where and how far features can step is in `integer_steps`, what real features do beside the steps in `real_part`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bdnn._native.certify import LEAF, LIMIT, CellTree, SubsetTree
from bdnn.certification.adversarial import Plane
from bdnn.certification.attacker import Perturbations
from bdnn.certification.integer_steps import IntegerSteps
from bdnn.certification.integer_support import DOWN, FURTHER, UP, support_steps
from bdnn.certification.lattice import Lattice
from bdnn.certification.point import Pattern, Patterns, Point
from bdnn.certification.projection import nearest
from bdnn.certification.real_part import RealPart
from bdnn.certification.support import INF, ONE, UNIT, reaches, smallest_radii
from bdnn.certification.verdict import Evidence
from bdnn.network.network import Layer, Network
from bdnn.types import Bools, Floats, Indices

_MAX_SUM = 2.0**53  # sums of integers below it are exact in doubles
_MAX_RETURNS = 100  # steps of an attack that are taken back, one in each round; most attacks keep far fewer
_ROUNDINGS = 16  # solutions that are rounded with care at first; later one in as many, as it takes longer than a node
_MAX_STEPS = 4096  # of a walk along a single row; each costs about 20 µs
_TIES = 5e-8  # cuts see a part in 1e8


def point_at(
    network: Network,
    allowed: Perturbations,
    integer: Bools,
    x: Floats,
    code: int,
    limit: float,
    pause: Callable[[int], None],
    plane: Plane | None = None,
    evidence: Evidence | None = None,
) -> Point:
    """Return a point of the kind that the network and the features call for; see `MixedIntegerPoint`."""
    if network.grid is None and not np.any(integer & allowed.free):
        return Point(network, allowed, x, code, limit, pause, plane, evidence)
    return MixedIntegerPoint(network, allowed, integer, x, code, limit, pause, plane, evidence)


def _has_exact_sums(form: Layer | Plane) -> bool:
    """Whether sums of integers with these weights are integers that are known exactly."""
    if isinstance(form, Plane):
        numbers = [*form.weights, form.constant]
        return all(number.denominator == 1 for number in numbers) and sum(map(abs, numbers)) < _MAX_SUM
    return all(np.array_equal(a, np.rint(a)) and np.abs(a).sum() < _MAX_SUM for a in form)


class MixedIntegerPoint(Point):
    """A point with columns that are integers, counted from where the point is; others may be real.

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
        self._costs, s = np.ones((len(self.columns), 3)), self.stepped
        self._costs[s] = self.steps.costs(self.columns[s], self.low[s], self.high[s])
        self._roundings, self._tried_first_steps = 0, False

    def seen(self, z: Floats) -> Floats:
        """Return what the first layer sees of inputs."""
        return self.steps.seen(z)

    def column_units(self) -> Floats:
        """Return what a move of one unit of a column is in units of the first layer."""
        return np.where(self.steps.stepping, 1.0, self.allowed.scale)[self.columns]

    def room(self) -> tuple[Floats, Floats]:
        """Return how far each feature can go down and up, in steps or in units of the scale, rounded outwards."""
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
        return self.stepped, np.where(self.stepped[:, None], self._costs / unit * (1.0 - 2.0 * UNIT), 1.0)

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

    def try_first_steps(self) -> None:
        """Offer the nearest of the inputs that are one step away, and with a plane those that steps along it reach."""
        if self._tried_first_steps or self.evidence.attack is not None:
            return
        self._tried_first_steps = True
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
        if self.plane is not None and self.integral and len(self.columns) and self.allowed.norm != INF:
            self._walk()

    def _walk(self) -> None:
        """Take the steps that the form of the plane gains most by for their cost, until the decision changes."""
        side = -1.0 if self.alpha[0] >= 0 else 1.0
        slopes, power = side * self.W[0], 1.0 if self.allowed.norm == ONE else 2.0
        first = np.where(slopes > 0, self._costs[:, UP], self._costs[:, DOWN])
        room = np.where(slopes > 0, self.high, -self.low)
        taken, value = np.zeros(len(slopes)), -abs(float(self.alpha[0]))
        spent, ahead = np.zeros(len(slopes)), first**power
        gain = np.abs(slopes)
        for _ in range(_MAX_STEPS):
            rate = np.where(taken < room, gain / np.maximum(ahead - spent, 1e-300), 0.0)
            best = int(np.argmax(rate))
            if rate[best] <= 0.0:
                return
            taken[best] += 1.0
            value += gain[best]
            spent[best], ahead[best] = ahead[best], (first[best] + self._costs[best, FURTHER] * taken[best]) ** power
            if value >= 0.0 and self.offer(self.moved(np.sign(slopes) * taken)):
                return

    def try_rounded(self, e: Floats, pattern: Pattern) -> bool:
        """Offer the input that moves lead to, or with real columns the nearest one of the cell; whether it is nearer.

        Parameters
        ----------
        e : ndarray
            Moves of the columns.
        pattern : Pattern
            Neurons of the first layer that are to fire, and not to, for the real columns.
        """
        known = self.evidence.distance
        z = self.moved(np.clip(e, self.low, self.high))
        self.offer(z)
        if (real := self._real_part(z)) is not None:
            real.search_cell(pattern)
        if not self.evidence.distance < known:
            return False
        if (rest := self._real_part_of_attack()) is not None:
            # steps were rounded: this may be another cell, of which the nearest input is wanted as well
            real, active = rest
            real.search_cell(Pattern(active, ~active))
        self._take_back_steps()
        return True

    def _real_part(self, z: Floats) -> RealPart | None:
        """Return the real features beside the steps that lead to an input; None if there is nothing to move."""
        if self.integral:
            return None
        real = RealPart(self, self.steps.stepping, np.where(self.steps.stepping, z, self.x), self.radius)
        return real if real.limit >= 0.0 else None

    def _real_part_of_attack(self) -> tuple[RealPart, Bools] | None:
        """Return the real features beside the steps of the attack, and what fires there; None if nothing."""
        attack = self.evidence.attack
        real = None if attack is None else self._real_part(attack)
        if attack is None or real is None:
            return None
        return real, self.W @ self.steps_of(attack) + self.alpha >= 0

    def _take_back_steps(self) -> None:
        """Take steps of the attack back, the dearest first, as long as the decision stays changed (norms 1 and 2)."""
        for _ in range(_MAX_RETURNS if self.allowed.norm != INF else 0):
            z, known = self.evidence.attack, self.evidence.distance
            if z is None:
                return
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
            if not self.evidence.distance < known:
                return

    def _round_solution(self, columns: Floats, pattern: Pattern, radius: float) -> bool:
        """Offer integers near the solution of a program, or near points well inside of the cell that it is about.

        Parameters
        ----------
        columns : ndarray
            The solution, in units of the radius where features are real.
        pattern : Pattern
            Neurons of the first layer that are to fire, and not to.
        radius : float
            Radius of the program.

        Returns
        -------
        bool
            Whether there is a nearer attack than before.
        """
        e = columns * np.where(self.stepped, 1.0, radius)
        if self._least_cost(e) < self.evidence.distance and self.try_rounded(e, pattern):
            return True
        # what follows takes longer than a node does
        self._roundings += 1
        if self._roundings > _ROUNDINGS and self._roundings % _ROUNDINGS:
            return False
        W, alpha, error = self.sides(pattern)
        if not len(alpha):
            return False
        _, low, high = self.box(radius, 1.0)
        size = np.maximum(self._costs[:, FURTHER], 1e-300)
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
            if near.radius < math.inf and self.try_rounded(near.point / size, pattern):
                return True
        return False

    def _least_cost(self, e: Floats) -> float:
        """Return about what the steps nearest to moves cost, rounded down."""
        steps = np.abs(np.rint(e))
        first = np.where(e > 0, self._costs[:, UP], self._costs[:, DOWN])
        cost = np.where(self.stepped & (steps > 0), first + self._costs[:, FURTHER] * (steps - 1.0), 0.0)
        if self.allowed.norm == INF:
            return float(cost.max(initial=0.0))
        return float(np.linalg.norm(cost, 1 if self.allowed.norm == ONE else 2)) * (1.0 - 1e-12)

    def close_cell(self, pattern: Pattern, radius: float) -> None:
        """Note the doubt about a leaf that is feasible up to rounding, but whose input is no attack."""
        self.evidence.doubtful = True
        self.evidence.doubt(self.evidence.floor)

    def visit(self, search: Patterns, tree: SubsetTree | CellTree, code: int, radius: float, unit: float) -> None:
        """Round what a node of a tree suggests; go on below leaves that are feasible up to rounding, but no attacks."""
        if code == LIMIT:
            return
        pattern = search.pattern()
        if self._round_solution(tree.solution, pattern, unit):
            if (rest := self._real_part_of_attack()) is not None:
                # the steps were rounded, so that neurons may be in other states than in the program
                search.improve(*rest)
            tree.reopen()  # the rest of the node is left
        elif code == LEAF and tree.is_full:
            self.close_cell(pattern, radius)
        elif code == LEAF and search.wins(pattern) and not tree.branch_any():
            self._close_steps(tree.lower, pattern, radius)

    def exclude_half_space(self, active: bool) -> float | None:
        """Return None: steps make even a single row a search."""
        return None

    def lattice_radius(self, proven: float) -> tuple[float, bool]:
        """Return the radius that a proof amounts to, and whether it is exactly the smallest perturbation."""
        if not self.integral:
            return proven, False
        lattice = Lattice(self.steps, self.allowed, self.x, self.columns, self.low, self.high)
        return lattice.radius(proven, self.evidence.attack)

    def _close_steps(self, steps: Floats, pattern: Pattern, radius: float) -> None:
        """Close a leaf whose steps are all fixed: a single input, or a cell of the real features.

        Parameters
        ----------
        steps : ndarray
            Moves of the columns; real ones do not matter.
        pattern : Pattern
            Neurons of the first layer that are to fire, and not to, for the real columns.
        radius : float
            Radius of the program.
        """
        z = self.moved(np.where(self.stepped, steps, 0.0))
        if self.integral:
            self.offer(z)
            return
        radius = min(radius, self.radius)
        real = RealPart(self, self.steps.stepping, z, radius)
        if real.limit < 0.0:
            return
        proven, listed = real.search_cell(pattern)
        left = real.left(min(radius, self.radius))
        if proven >= left or self.is_broken:
            return
        if any(real.excluded_exactly(pattern, multipliers, left) for multipliers in listed):
            return
        if self.fixed:
            self.evidence.doubtful = True
        else:
            self.evidence.doubt(real.total(proven))

    def relaxed(self) -> Point:
        """Return the point without any rounding, to look for directions."""
        grid, layers = self.network.grid, self.network.layers
        if grid is not None:
            weights, bias = (a.astype(np.float64) for a in layers[0])
            first = Layer(weights / grid.step, bias - (weights / grid.step) @ grid.offset)
            layers = (first, *(Layer(*(a.astype(np.float64) for a in layer)) for layer in layers[1:]))
        network = Network(layers, head=self.network.head, classes=self.network.classes)
        return Point(network, self.allowed, self.x, self.code, self.limit, self.pause)

    def rounded(self, columns: Indices, moves: Floats) -> Floats:
        """Return the inputs, shape (k, n), that moves of features lead to, in units of the scale."""
        inputs = np.repeat(self.x[None, :], len(moves), axis=0)
        inputs[:, columns] += moves * self.allowed.scale[columns]
        inputs = np.clip(inputs, self.allowed.lower, self.allowed.upper)
        return np.where(self.integer, self.x + np.trunc(inputs - self.x), inputs)

    def changes(self, columns: Indices, moves: Floats) -> Bools:
        """Whether moves of the columns of the relaxed point, of shape (k, columns), change it once rounded."""
        return np.asarray(self.network.predict_index(self.rounded(columns, moves)) != self.code)

    def try_move(self, columns: Indices, e: Floats) -> None:
        """Offer what a move of the columns of the relaxed point leads to, rounded, and what is near."""
        steps = self.steps_of(self.rounded(columns, e[None, :])[0])
        active = self.W @ steps + self.alpha >= 0
        self.try_rounded(steps, Pattern(active, ~active))
