"""Radii of points of which every feature that matters moves in steps: exact, or the last distance that is proven.

A search proves a radius up to a part in ten million below the attack that it found. Where features take integers, or
lie behind a grid, the inputs of a point have certain distances only. If none of these lies between the radius that is
proven and the attack, the attack is nearest, and its distance is the smallest perturbation, exactly. Otherwise, a proof
about integers reaches as far as the last of their distances that does not exceed it.

Distances are ‖(z - x) / s‖ for inputs z. In norm inf they are those of single features, which are all tried. In the
norms 1 and 2 they, or their squares, are sums of one number per feature: multiples of the greatest common divisor of
all steps, or, where that is too fine to decide, one of the sums, which are listed if they are few. All arithmetic is
rational; that more distances are thought of than there are does no harm but to leave the question open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from bdnn.certification.attacker import float_above, float_below, root_above, root_below
from bdnn.certification.mixed_point import WholePoint
from bdnn.certification.point import Point
from bdnn.certification.support import INF, ONE
from bdnn.types import Floats, Indices

_MOST_UNITS = 64
_MOST_STEPS = 20_000
_MOST_SUMS = 200_000
_MOST_DIGITS = 4096


def on_lattice(point: Point, proven: float, attack: Floats | None) -> tuple[float, bool]:
    """Return the radius that a proof amounts to, and whether it is the smallest perturbation.

    Parameters
    ----------
    point : Point
        The point, with the whole first layer.
    proven : float
        No input up to this distance, included, is decided otherwise.
    attack : ndarray of shape (n,) or None
        The nearest input known that is.

    Returns
    -------
    radius : float
        The distance of the attack, rounded down, if no input can be nearer. Else `proven`, or for integers without a
        grid the last of their distances that does not exceed it.
    exact : bool
        Whether it is the former.
    """
    if not isinstance(point, WholePoint) or not point.pure or proven == math.inf:
        return proven, False
    square = point.allowed.norm not in (INF, ONE)
    reached = Fraction(proven) ** 2 if square else Fraction(proven)
    if attack is not None:
        least = point.allowed.measure(point.x, attack)
        if _none_between(point, proven, reached, least):
            return (root_below(least) if square else float_below(least)), True
    if point.network.grid is not None:
        return proven, False
    last = _last(point, proven, reached)
    return min(root_above(last) if square else float_above(last), proven), False


def _none_between(point: WholePoint, proven: float, reached: Fraction, least: Fraction) -> bool:
    """Whether no input has a distance between what is proven and that of an attack, both left out."""
    if least <= reached:
        return True
    if point.network.grid is None and (unit := _unit(point)) and (math.ceil(least / unit) - 1) * unit <= reached:
        return True
    if point.allowed.norm == INF:
        return _next_step(point, proven, least) >= least
    sums = _sums(point, least)
    return sums is not None and not any(reached < s < least for s in sums)


def _next_step(point: WholePoint, proven: float, least: Fraction) -> Fraction:
    """Return the least distance of a feature that is out of reach, or `least` if none is below that (norm inf)."""
    low, high = point.steps_within(proven)
    found = least
    for side, step, further in ((-1.0, low, point.low < low), (1.0, high, point.high > high)):
        z, c = point.moved(np.where(further, step + side, 0.0)), point.columns
        # roundings of a quotient are far smaller
        near = np.abs(z - point.x)[c] / point.allowed.scale[c] <= float(least) * (1.0 + 1e-12)
        found = min(found, *_costs(point, np.flatnonzero(further & near), z), least)
    return found


def _costs(point: WholePoint, which: Indices, z: Floats) -> Iterator[Fraction]:
    """Yield the distances that some columns go in an input."""
    known: dict[tuple[float, float, float], Fraction] = {}  # many columns have the same integers and scales
    c = point.columns[which]
    for way in zip(z[c].tolist(), point.x[c].tolist(), point.allowed.scale[c].tolist(), strict=True):
        if way not in known:
            known[way] = abs(Fraction(way[0]) - Fraction(way[1])) / Fraction(way[2])
        yield known[way]


def _last(point: WholePoint, proven: float, reached: Fraction) -> Fraction:
    """Return the last distance of integers, for norm 2 its square, that does not exceed what is proven."""
    if point.allowed.norm == INF:
        low, high = point.steps_within(proven)
        pairs = zip(np.maximum(-low, high).tolist(), _scales(point), strict=True)
        return max((Fraction(steps) / scale for steps, scale in set(pairs)), default=Fraction(0))
    unit = _unit(point)
    return (reached // unit) * unit if unit else reached


def _scales(point: WholePoint) -> list[Fraction]:
    return [Fraction(scale) for scale in point.allowed.scale[point.columns].tolist()]


def _unit(point: WholePoint) -> Fraction | None:
    """Return a number of which all distances of integers are multiples, for norm 2 their squares; None if too fine."""
    scales = sorted(set(point.allowed.scale[point.columns].tolist()))
    if not 0 < len(scales) <= _MOST_UNITS:
        return None
    units = [1 / Fraction(scale) for scale in scales]
    common = math.lcm(*(unit.denominator for unit in units))
    unit = Fraction(math.gcd(*(int(unit * common) for unit in units)), common)
    return unit if point.allowed.norm in (INF, ONE) else unit * unit  # the gcd of squares is the square of the gcd


def _sums(point: WholePoint, least: Fraction) -> list[Fraction] | None:
    """Return all distances of inputs below a number, for norm 2 their squares; None if there are too many."""
    square = point.allowed.norm != ONE
    low, high = point.steps_within(root_above(least) if square else float_above(least))
    if np.sum(high - low) > _MOST_STEPS:
        return None
    choices = [[Fraction(0)] for _ in low]
    for side, most in ((-1.0, -low), (1.0, high)):
        for t in range(1, int(most.max(initial=0.0)) + 1):
            which = np.flatnonzero(most >= t)
            z = point.moved(np.where(most >= t, side * t, 0.0))
            for k, cost in zip(which.tolist(), _costs(point, which, z), strict=True):
                choices[k].append(cost * cost if square else cost)
    # as integers with a common denominator, which are added much faster
    listed = {tuple(sorted(set(costs))) for costs in choices}
    common = math.lcm(*(cost.denominator for costs in listed for cost in costs))
    if common.bit_length() > _MOST_DIGITS:
        return None
    top, sums, work = math.ceil(least * common), {0}, 0
    for costs in choices:
        whole = [int(cost * common) for cost in set(costs)]
        work += len(sums) * len(whole)
        if work > _MOST_SUMS:
            return None
        sums = {s + cost for s in sums for cost in whole if s + cost < top}
    return [Fraction(s, common) for s in sums]
