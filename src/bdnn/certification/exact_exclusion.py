"""Proofs in rational arithmetic that no input within a radius fulfills some linear inequalities."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from bdnn.certification.support import ONE, TWO

_DENOMINATORS = (10**15, 1000)  # of multipliers: nearly all digits of a double, else simple ones, which may be exact


class Ends(NamedTuple):
    """How far a column can go down and up, in units of its scale; None is for no limit."""

    scale: Fraction
    down: Fraction | None
    up: Fraction | None


def excludes_exactly(
    norm: int,
    ends: list[Ends],
    rows: list[tuple[list[Fraction], Fraction]],
    active: list[bool],
    multipliers: list[float],
    radius: float,
) -> bool:
    """Whether multipliers, rounded to simple fractions, prove that no input of the closed set fulfills all rows.

    Parameters
    ----------
    norm : int
        `support.INF`, `support.ONE` or `support.TWO`.
    ends : list of Ends
        Scale and limits of each column.
    rows : list of (weights, value at the point)
        Linear forms.
    active : list of bool
        Whether each is to be >= 0; else < 0.
    multipliers : list of float
        Of the rows, not negative, not all 0.
    radius : float
        Of the set; inf for no limit.

    Returns
    -------
    bool
        Yes is a proof; no says nothing.
    """
    # one factor for all makes them integers, which are much faster to add
    common = math.lcm(*(number.denominator for slopes, value in rows for number in (*slopes, value)))
    integers = [[int(number * common) for number in (*slopes, value)] for slopes, value in rows]
    top = max(multipliers)
    for digits in _DENOMINATORS:
        simple = [Fraction(multiplier / top).limit_denominator(digits) for multiplier in multipliers]
        use = math.lcm(*(f.denominator for f in simple))
        signed = [int(f * use) * (1 if fires else -1) for f, fires in zip(simple, active, strict=True)]
        sums = [sum(f * row[k] for f, row in zip(signed, integers, strict=True)) for k in range(len(ends) + 1)]
        if stays_below(norm, ends, sums[:-1], -sums[-1], radius, any(f < 0 for f in signed)):
            return True
    return False


def stays_below(norm: int, ends: list[Ends], slopes: list[int], need: int, radius: float, strict: bool) -> bool:
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
