"""The exact line search over parts of the rows: sums of buckets travel, then single breakpoints, never rows.

Along a line the loss changes at one breakpoint per row. Each part of the rows adds up the jumps in every bucket of the
axis ``u = t / (scale + abs(t))``; the coordinator adds these sums and knows the loss at every border of two buckets.
Inside a bucket it cannot be lower than at its start by more than its negative jumps, so that only few buckets can hold
the minimum; the parts are asked for the breakpoints of these alone, which are added up where they are equal. Where that
would still be many, the buckets are made finer first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.partitions.tasks import MOST_BREAKPOINTS, Breakpoints, Buckets, Found, Lines, Setting, Weights
from bdnn.types import Bools, Floats

if TYPE_CHECKING:
    from bdnn.partitions.rows import Rows

# buckets when a range is made finer: two megabytes of sums for a line
_FINE = 2**17
# how often: each time a bucket becomes 2^17 times as narrow, as far as doubles tell places apart
_MOST_FINER = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the loss is least along a line: for left < t < right; `change` is it less the loss at t = 0."""

    change: float
    left: float
    right: float


def whole_axis(scale: float, count: int) -> list[float]:
    """Return an axis from -1 to 1."""
    return [scale, -1.0, count / 2]


def at_borders(before: Floats, jumps: Floats) -> Floats:
    """Return the objective less that at t = 0 at the borders of buckets, of shape (lines, count + 1)."""
    count = jumps.shape[1] // 2
    steps = np.column_stack([before, jumps.reshape(-1, count, 2).sum(axis=2)])
    return np.asarray(np.cumsum(steps, axis=1))


def least_possible(borders: Floats, jumps: Floats) -> Floats:
    """Return a lower bound of the objective in each bucket, of shape (lines, count)."""
    return borders[:, :-1] + jumps[:, 1::2]


def place_of(u: float, axis: Sequence[float] | Floats) -> float:
    """Return t of a place on an axis, which must be between -1 and 1."""
    return float(axis[0]) * u / (1.0 - abs(u))


def best_border(borders: Floats, axis: Floats) -> tuple[float, float]:
    """Return the least objective at a border of one line, and t in the middle of the longest run of such borders."""
    least = float(borders.min())
    at = np.flatnonzero(borders == least)
    runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    run = max(runs, key=len)
    u = float(axis[1]) + (run[0] + run[-1]) / 2 / float(axis[2])
    most = 1.0 - 0.25 / float(axis[2])  # in the outer buckets, whose borders are at infinity
    return least, place_of(min(max(u, -most), most), axis)


def exact_intervals(
    rows: Rows,
    setting: Setting,
    weights: Weights,
    lines: Sequence[Lines],
    check: Callable[[], None] | None = None,
    most: int = MOST_BREAKPOINTS,
    finer_count: int = _FINE,
) -> list[Interval]:
    """Return the best interval of each of some single lines, exactly; of equally good ones the widest on the axis.

    Parameters
    ----------
    rows : Rows
        All of them.
    setting, weights : Setting, Weights
        The network.
    lines : sequence of Lines
        One direction each, on a whole axis.
    check : callable or None
        See `Rows.total`.
    most : int
        Breakpoints of a line that are collected.
    finer_count : int
        Buckets of an axis that is made finer.

    Returns
    -------
    list of Interval
    """
    searches = [_Search(each) for each in lines]
    finer = 0
    while todo := [search for search in searches if search.interval is None]:
        sums = rows.total(Buckets(setting, weights, tuple(s.lines for s in todo)), check)
        for search, before, jumps in zip(todo, sums.before, sums.jumps, strict=True):
            search.take_sums(before, jumps)
        finer += 1
        limit = most if finer <= _MOST_FINER else 2**62
        wanted = tuple(s.wanted.astype(np.uint8) for s in todo)
        task = Breakpoints(setting, weights, tuple(s.lines for s in todo), wanted, limit)
        answers: list[Found] = rows.total(task, check)
        for search, found in zip(todo, answers, strict=True):
            search.take_breakpoints(found, finer_count)
    return [search.interval for search in searches if search.interval is not None]


class _Search:
    """The search along one line."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.interval: Interval | None = None
        self.wanted: Bools = np.zeros(0, dtype=bool)
        self._inside: tuple[float, float] = (-1.0, 1.0)  # the minimum lies there

    def take_sums(self, before: Floats, jumps: Floats) -> None:
        """Choose the buckets in which the minimum may lie: also those beside the best borders, for its ends."""
        borders = at_borders(before, jumps)
        self._borders, self._moves = borders[0], np.any(jumps.reshape(-1, 2) != 0, axis=1)
        lower = least_possible(borders, jumps)[0]
        low, per = self.lines.axes[0, 1:]
        edges = low + np.arange(self.lines.count + 1) / per
        # what lies outside is in the outer buckets of a finer axis, and known to be no better
        possible = (edges[1:] > self._inside[0]) & (edges[:-1] < self._inside[1])
        least = float(self._borders.min())
        touches = (self._borders[:-1] == least) | (self._borders[1:] == least)
        self.wanted = self._moves & (touches | ((lower < least) & possible))

    def take_breakpoints(self, found: Found, finer_count: int) -> None:
        """Take what was asked for; where that is too much, make the axis finer."""
        if found.t is not None:
            self.interval = self._best(found.t, found.up + found.down)
            return
        low, per = self.lines.axes[0, 1:]
        at = np.flatnonzero(self.wanted)
        # a bucket more on both sides, as their ends are rounded
        self._inside = (low + (at[0] - 1) / per, low + (at[-1] + 2) / per)
        begin, end = max(low + (at[0] - 2) / per, -1.0), min(low + (at[-1] + 3) / per, 1.0)
        axis = np.array([[self.lines.axes[0, 0], begin, finer_count / (end - begin)]])
        self.lines = replace(self.lines, axes=axis, count=finer_count)

    def _best(self, t: Floats, jump: Floats) -> Interval:
        """Return the best of the intervals between breakpoints."""
        scale, low, per = self.lines.axes[0]
        u = _on_axis(t, scale)
        bucket = np.clip((u - low) * per, 0, self.lines.count - 1).astype(np.intp)
        total = np.cumsum(jump)
        begin = np.searchsorted(bucket, bucket)  # the first breakpoint of the same bucket
        above = self._borders[bucket] + total - (total[begin] - jump[begin])
        below = np.concatenate([above - jump, self._borders[-1:]])
        # an interval is known from both sides if no bucket between them moves that was not asked for
        hidden = np.concatenate([[0], np.cumsum(self._moves & ~self.wanted)])
        starts, ends = np.concatenate([[0], bucket + 1]), np.concatenate([bucket, [self.lines.count]])
        known = hidden[np.maximum(ends, starts)] == hidden[starts]
        left, right = np.concatenate([[-np.inf], t]), np.concatenate([t, [np.inf]])
        value = np.where(known, below, np.inf)
        least = float(value.min())
        width = np.where(value == least, _on_axis(right, scale) - _on_axis(left, scale), -1.0)
        best = int(np.argmax(width))
        return Interval(least, float(left[best]), float(right[best]))


def _on_axis(t: Floats, scale: float) -> Floats:
    """Return places of t, as the kernel computes them."""
    return np.asarray(np.copysign(1.0 - scale / (scale + np.abs(t)), t))


def middle_of(interval: Interval, scale: float) -> float:
    """Return a place well inside an interval: in the middle, or as far as the line is long beyond its only end."""
    left, right = interval.left, interval.right
    if math.isinf(left) and math.isinf(right):
        return 0.0
    if math.isinf(left):
        return min(0.0, right - scale)
    if math.isinf(right):
        return max(0.0, left + scale)
    return left / 2 + right / 2
