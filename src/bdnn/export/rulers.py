"""Steps at equal distances, as the ends of a grid are, in five integers instead of a table of all cuts.

The number of cuts that are not above x is 1 + ⌊(2^f (x - first) + a) / s⌋ from the first cut on and below the last
one. Such integers a and s are those of lines between points of a strip; they are looked for in exact arithmetic, and
every cut is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Integers

LEAST_CUTS = 6  # fewer cost no more as a table
_FINEST = 20  # bits behind the point: grids of 8 bits need up to 16 or so
_PAIRS = 1_024  # cuts of which all pairs are compared; of more, only the slope of the whole
_TRIED = 5  # slopes, in the middle of those that are possible
_WORD = 2**31  # the generated code computes in signed integers of 32 bits, which stay below it


class Ruler(NamedTuple):
    """Where the steps begin and end, and the line between: a, s and f."""

    first: int
    last: int
    offset: int
    step: int
    bits: int


def ruler_of(cuts: tuple[int, ...]) -> Ruler | None:
    """Return the ruler of ascending cuts with the least number of bits, or None.

    Examples
    --------
    >>> ruler_of((10, 14, 18, 22, 26, 30, 34))
    Ruler(first=10, last=34, offset=0, step=4, bits=0)
    """
    if len(cuts) < LEAST_CUTS:
        return None
    return next((ruler for bits in range(_FINEST + 1) if (ruler := _with_bits(cuts, bits)) is not None), None)


def _with_bits(cuts: tuple[int, ...], bits: int) -> Ruler | None:
    p = (np.array(cuts, dtype=np.int64) - cuts[0]) << bits
    m = len(p)
    if int(p[-1]) >= _WORD:
        return None
    low, high = p - (1 << bits) + 1, p  # a line q s - a has to be between them at q = 0, 1, …
    for step in _slopes(low, high):
        line = np.arange(m, dtype=np.int64) * step
        least, most = int((line - high)[:-1].max()), int((line - low)[1:].min())
        if 0 <= least <= most and least + int(p[-1]) < _WORD:
            ruler = Ruler(cuts[0], cuts[-1], least, step, bits)
            return ruler if _is_exact(ruler, cuts) else None
    return None


def _slopes(low: Integers, high: Integers) -> list[int]:
    m = len(low)
    if m > _PAIRS:
        middle = round(int(high[-1]) / (m - 1))
        return [s for s in (middle, middle - 1, middle + 1) if s > 0]
    q = np.arange(m)
    apart = q[None, :] - q[:, None]
    pairs = (apart > 0) & (q[:, None] < m - 1) & (q[None, :] > 0)
    upper, lower = high[None, :] - low[:, None], low[None, :] - high[:, None]
    free = pairs & (q[:, None] > 0) & (q[None, :] < m - 1)
    least = int(np.max(-((-lower[pairs]) // apart[pairs])))
    most = int(np.min(upper[free] // apart[free])) if free.any() else least
    middle = (least + most) // 2
    tried = sorted(range(max(least, 1), most + 1), key=lambda s: abs(s - middle)) if most - least < _WORD else []
    return tried[:_TRIED]


def _is_exact(ruler: Ruler, cuts: tuple[int, ...]) -> bool:
    """Whether a ruler counts right at every cut and just below it, and so, since it never falls, everywhere."""
    at = np.array(cuts, dtype=np.int64)

    def count(x: Integers) -> Integers:
        inside = 1 + ((((x - ruler.first) << ruler.bits) + ruler.offset) // ruler.step)
        return np.where(x < ruler.first, 0, np.where(x >= ruler.last, len(cuts), inside))

    n = np.arange(1, len(cuts) + 1)
    return bool(np.array_equal(count(at), n) and np.array_equal(count(at - 1), n - 1))
