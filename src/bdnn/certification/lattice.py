"""Radii of points of which every feature that matters moves in steps: exact, or the last distance that is proven.

A search proves a radius up to a part in ten million below the attack that it found. Where features take integers, or
lie behind a grid, the inputs of a point have certain distances only. If none of these lies between the radius that is
proven and the attack, the attack is nearest, and its distance is the smallest perturbation, exactly. Otherwise, a proof
about integers reaches as far as the last of their distances that does not exceed it.

Distances are ‖(z - x) / s‖ for inputs z. In norm inf they are those of single features, which are all tried. In the
norms 1 and 2 they, or their squares, are sums of one number per feature: multiples of the greatest common divisor of
all steps, or, where that is too fine to decide, one of the sums, which are listed if they are few. All arithmetic is
rational; considering more distances than there are does no harm, except that it may leave the question open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.attacker import Perturbations, float_above, float_below, root_above, root_below
from bdnn.certification.support import INF, ONE

if TYPE_CHECKING:
    from bdnn.certification.integer_steps import IntegerSteps
    from bdnn.types import Floats, Indices

# each of these limits keeps the rational arithmetic of a point below about a second
_MAX_UNITS = 64  # scales that differ
_MAX_STEPS = 20_000  # steps of all features together
_MAX_SUMS = 200_000  # sums of the steps of features
_MAX_BITS = 4096  # bits of the common denominator of sums


@dataclass(frozen=True, eq=False, slots=True)
class Lattice:
    """Distances of inputs from a point of which every feature that matters moves in steps.

    Attributes
    ----------
    steps : IntegerSteps
        Steps of its features.
    allowed : Perturbations
        What the attacker may do.
    x : ndarray of shape (n,)
        The point.
    columns : ndarray of int
        Features that can move and matter.
    low, high : ndarray of shape (columns,)
        How many steps each can go down (<= 0) and up.
    """

    steps: IntegerSteps
    allowed: Perturbations
    x: Floats
    columns: Indices
    low: Floats
    high: Floats

    def radius(self, proven: float, attack: Floats | None) -> tuple[float, bool]:
        """Return the radius that a proof amounts to, and whether it is the smallest perturbation.

        Parameters
        ----------
        proven : float
            No input up to this distance, included, is decided otherwise.
        attack : ndarray of shape (n,) or None
            The nearest input known that is.

        Returns
        -------
        radius : float
            The distance of the attack, rounded down, if no input can be nearer. Else `proven`, or for integers without
            a grid the last of their distances that does not exceed it.
        exact : bool
            Whether it is the former.
        """
        if proven == math.inf:
            return proven, False
        square = self.allowed.norm not in (INF, ONE)
        reached = Fraction(proven) ** 2 if square else Fraction(proven)
        if attack is not None:
            least = self.allowed.measure(self.x, attack)
            if self._none_between(proven, reached, least):
                return (root_below(least) if square else float_below(least)), True
        if self.steps.behind_grid:
            return proven, False
        last = self._last(proven, reached)
        return min(root_above(last) if square else float_above(last), proven), False

    def _moved(self, steps: Floats) -> Floats:
        """Return the nearest input with given steps of the columns."""
        z, used = self.x.copy(), np.flatnonzero(steps != 0)
        z[self.columns[used]] = self.steps.ends_of(self.columns[used], steps[used])
        return z

    def _none_between(self, proven: float, reached: Fraction, least: Fraction) -> bool:
        """Whether no input has a distance between what is proven and that of an attack, both left out."""
        if least <= reached:
            return True
        if not self.steps.behind_grid and (unit := self._unit()) and (math.ceil(least / unit) - 1) * unit <= reached:
            return True
        if self.allowed.norm == INF:
            return self._next_step(proven, least) >= least
        sums = self._sums(least)
        return sums is not None and not any(reached < s < least for s in sums)

    def _next_step(self, proven: float, least: Fraction) -> Fraction:
        """Return the least distance of a feature that is out of reach, or `least` if none is below that (norm inf)."""
        low, high = self.steps.within(self.columns, proven)
        found = least
        for side, step, further in ((-1.0, low, self.low < low), (1.0, high, self.high > high)):
            z, c = self._moved(np.where(further, step + side, 0.0)), self.columns
            # roundings of a quotient are far smaller
            near = np.abs(z - self.x)[c] / self.allowed.scale[c] <= float(least) * (1.0 + 1e-12)
            found = min(found, *self._costs(np.flatnonzero(further & near), z), least)
        return found

    def _costs(self, which: Indices, z: Floats) -> Iterator[Fraction]:
        """Yield the distances that some columns go in an input."""
        known: dict[tuple[float, float, float], Fraction] = {}  # many columns have the same integers and scales
        c = self.columns[which]
        for way in zip(z[c].tolist(), self.x[c].tolist(), self.allowed.scale[c].tolist(), strict=True):
            if way not in known:
                known[way] = abs(Fraction(way[0]) - Fraction(way[1])) / Fraction(way[2])
            yield known[way]

    def _last(self, proven: float, reached: Fraction) -> Fraction:
        """Return the last distance of integers, for norm 2 its square, that does not exceed what is proven."""
        if self.allowed.norm == INF:
            low, high = self.steps.within(self.columns, proven)
            pairs = zip(np.maximum(-low, high).tolist(), self._scales(), strict=True)
            return max((Fraction(steps) / scale for steps, scale in set(pairs)), default=Fraction(0))
        unit = self._unit()
        return (reached // unit) * unit if unit else reached

    def _scales(self) -> list[Fraction]:
        return [Fraction(scale) for scale in self.allowed.scale[self.columns].tolist()]

    def _unit(self) -> Fraction | None:
        """Return what all distances of integers are multiples of, for norm 2 their squares; None if too fine."""
        scales = sorted(set(self.allowed.scale[self.columns].tolist()))
        if not 0 < len(scales) <= _MAX_UNITS:
            return None
        units = [1 / Fraction(scale) for scale in scales]
        common = math.lcm(*(unit.denominator for unit in units))
        unit = Fraction(math.gcd(*(int(unit * common) for unit in units)), common)
        return unit if self.allowed.norm in (INF, ONE) else unit * unit  # the gcd of squares is the square of the gcd

    def _sums(self, least: Fraction) -> list[Fraction] | None:
        """Return all distances of inputs below a number, for norm 2 their squares; None if there are too many."""
        square = self.allowed.norm != ONE
        low, high = self.steps.within(self.columns, root_above(least) if square else float_above(least))
        if np.sum(high - low) > _MAX_STEPS:
            return None
        choices = [[Fraction(0)] for _ in low]
        for side, most in ((-1.0, -low), (1.0, high)):
            for t in range(1, int(most.max(initial=0.0)) + 1):
                which = np.flatnonzero(most >= t)
                z = self._moved(np.where(most >= t, side * t, 0.0))
                for k, cost in zip(which.tolist(), self._costs(which, z), strict=True):
                    choices[k].append(cost * cost if square else cost)
        # as integers with a common denominator, which are added much faster
        listed = {tuple(sorted(set(costs))) for costs in choices}
        common = math.lcm(*(cost.denominator for costs in listed for cost in costs))
        if common.bit_length() > _MAX_BITS:
            return None
        top, sums, work = math.ceil(least * common), {0}, 0
        for costs in choices:
            integers = [int(cost * common) for cost in set(costs)]
            work += len(sums) * len(integers)
            if work > _MAX_SUMS:
                return None
            sums = {s + cost for s in sums for cost in integers if s + cost < top}
        return [Fraction(s, common) for s in sums]
