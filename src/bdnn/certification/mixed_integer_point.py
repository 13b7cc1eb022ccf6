"""Points with features that take integers, behind an input grid or as they are integers themselves; others are real.

What is around such a point is in `stepped_point`, where and how far features can step in `integer_steps`, what real
features do beside the steps in `real_part`. Here are the attempts to round, and the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.certify import LEAF, LIMIT, CellTree, SubsetTree
from bdnn.certification.integer_support import DOWN, FURTHER, UP
from bdnn.certification.lattice import Lattice
from bdnn.certification.point import Pattern, Patterns, Point
from bdnn.certification.projection import nearest
from bdnn.certification.real_part import RealPart
from bdnn.certification.stepped_point import SteppedPoint
from bdnn.certification.support import INF, ONE
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.certification.adversarial import Plane
    from bdnn.certification.attacker import Perturbations
    from bdnn.certification.verdict import Evidence
    from bdnn.types import Bools, Floats, Indices

_MAX_RETURNS = 100  # rounds, each of which takes one step of an attack back: bounds their time
_ROUNDINGS = 16  # solutions that are rounded with care at first; later one in as many, as it takes longer than a node
_MAX_STEPS = 4096  # steps of a walk along a single row: they bound its time, as each looks at all columns


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


class MixedIntegerPoint(SteppedPoint):
    """A point with columns that are integers, counted from where the point is; others may be real.

    Parameters are those of `SteppedPoint`.
    """

    _roundings = 0
    _tried_first_steps = False

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
        first = np.where(slopes > 0, self.costs[:, UP], self.costs[:, DOWN])
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
            spent[best], ahead[best] = ahead[best], (first[best] + self.costs[best, FURTHER] * taken[best]) ** power
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
        """Take steps of the attack back, costly ones first, as long as the decision stays changed (norms 1 and 2)."""
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
        size = np.maximum(self.costs[:, FURTHER], 1e-300)
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
        first = np.where(e > 0, self.costs[:, UP], self.costs[:, DOWN])
        cost = np.where(self.stepped & (steps > 0), first + self.costs[:, FURTHER] * (steps - 1.0), 0.0)
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
