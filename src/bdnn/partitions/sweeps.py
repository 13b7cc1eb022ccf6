"""Improving a network on all rows: lines for all neurons in one pass, and only changes that the next pass confirms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.partitions.directions import Directions
from bdnn.partitions.line_search import (
    at_borders,
    best_border,
    exact_intervals,
    least_possible,
    middle_of,
    whole_axis,
)
from bdnn.partitions.tasks import Buckets, Change, Evaluation, Lines, Setting, Sums, Weights, places_of

if TYPE_CHECKING:
    from bdnn.partitions.rows import Rows
    from bdnn.partitions.store import Block
    from bdnn.types import Floats, Indices

# lines of a pass: with twenty inputs it takes about as long as reading the blocks seven times, and each pass has to pay
# for its own reading
_LINES = 144
# lines of a neuron, within these limits
_LEAST_LINES, _MOST_LINES = 4, 24
# buckets of a line: one holds a thousandth of the rows, and all sums of a pass take some megabytes
_BUCKETS = 2048
# rounds without a better network after which the search ends
_PATIENCE = 3
# sizes of weights beyond which a neuron is scaled, by a power of two, so that no sign changes
_LARGE, _SMALL = 4.0, 0.25


class Sweeps:
    """Rounds over all rows, each of which may improve the network.

    A round takes one pass for the sums of all lines. The loss at every border of two buckets is exact, so the best
    borders of all neurons are candidates; a second pass evaluates the best change, the best two together, and so on,
    and the best of these is taken if it is better. Only where no border is better does a round search the most
    promising line of each neuron exactly, inside its buckets.

    Parameters
    ----------
    rows : Rows
        All of them.
    setting : Setting
        What they have in common.
    sample : Block
        Rows by which directions are chosen.
    seed : int
        Of the directions.
    check : callable
        Called several times in each pass; what it raises ends the pass and the search.
    allowed : ndarray of int or None
        Inputs of the first layer whose weights may move; None for all.

    Attributes
    ----------
    weights : Weights
        The best network, at first the one to begin with.
    loss : float
        Its loss on all rows, with exact signs.
    rounds, passes : int
        So far.
    pass_seconds : float
        The longest pass.
    """

    def __init__(
        self,
        rows: Rows,
        setting: Setting,
        weights: Weights,
        sample: Block,
        seed: int,
        check: Callable[[], None],
        allowed: Indices | None = None,
    ) -> None:
        self._rows, self._setting, self._check = rows, setting, check
        self._directions = Directions(setting, sample, seed, allowed)
        self._rng = np.random.default_rng([seed, 0x5EE9])
        self._places = places_of(setting)
        self.weights, self.loss = weights, math.inf
        self.rounds = self.passes = 0
        self.pass_seconds = 0.0

    def begin(self) -> None:
        """Evaluate the network to begin with."""
        self.loss = float(self._evaluated(())[0])

    def _timed(self, began: float) -> None:
        self.passes += 1
        self.pass_seconds = max(self.pass_seconds, reading() - began)

    def _evaluated(self, changes: tuple[Change, ...]) -> Floats:
        began = reading()
        totals = self._rows.total(Evaluation(self._setting, self.weights, changes), self._check)
        self._timed(began)
        return totals

    def run(self, least: float = 0.0, rounds: int | None = None, after: Callable[[], None] | None = None) -> bool:
        """Go on until some rounds in a row bring nothing, or the loss is no more than `least`.

        Parameters
        ----------
        least : float
            A loss that no network is below.
        rounds : int or None
            Of which there are no more, in all.
        after : callable or None
            Called after each round.

        Returns
        -------
        bool
            Whether nothing was left to improve; False after so many rounds.
        """
        stalled = 0
        while self.loss > least and stalled < _PATIENCE:
            if rounds is not None and self.rounds >= rounds:
                return False
            stalled = 0 if self._round() else stalled + 1
            self.rounds += 1
            if after is not None:
                after()
        return True

    def _round(self) -> bool:
        """Try lines of all neurons; return whether the network is better."""
        self._directions.look_at(self.weights)
        lines = self._lines()
        if not lines:
            return False
        began = reading()
        sums = self._rows.total(Buckets(self._setting, self.weights, tuple(lines)), self._check)
        self._timed(began)
        return self._take(self._at_borders(lines, sums)) or self._take(self._inside(lines, sums))

    def _lines(self) -> list[Lines]:
        number = int(np.clip(_LINES // len(self._places), _LEAST_LINES, _MOST_LINES))
        most = max(1, _LINES // number)
        neurons = self._rng.permutation(len(self._places))[:most]
        found = (self._directions.lines(int(neuron), number, _BUCKETS) for neuron in np.sort(neurons))
        return [each for each in found if each is not None]

    def _at_borders(self, lines: list[Lines], sums: Sums) -> list[tuple[float, Change]]:
        """Return the best change of each neuron that ends at a border of buckets, with what it brings."""
        found = []
        for each, before, jumps in zip(lines, sums.before, sums.jumps, strict=True):
            borders = at_borders(before, jumps)
            k = int(np.argmin(borders.min(axis=1)))
            value, t = best_border(borders[k], each.axes[k])
            if value < 0.0:
                found.append((value, self._change(each, k, t)))
        return found

    def _inside(self, lines: list[Lines], sums: Sums) -> list[tuple[float, Change]]:
        """Return the best change of each neuron along the line that may still be better inside of buckets."""
        single = []
        for each, before, jumps in zip(lines, sums.before, sums.jumps, strict=True):
            lower = least_possible(at_borders(before, jumps), jumps).min(axis=1)
            k = int(np.argmin(lower))
            if lower[k] < 0.0:
                axis = np.array([whole_axis(float(each.axes[k, 0]), each.count)])
                single.append(Lines(each.neuron, each.directions[k : k + 1], axis, each.count))
        if not single:
            return []
        began = reading()
        intervals = exact_intervals(self._rows, self._setting, self.weights, single, self._check)
        self._timed(began)
        pairs = zip(single, intervals, strict=True)
        return [
            (interval.change, self._change(line, 0, middle_of(interval, float(line.axes[0, 0]))))
            for line, interval in pairs
            if interval.change < 0.0
        ]

    def _change(self, lines: Lines, k: int, t: float) -> Change:
        """Return the change of a neuron at a place on one of its lines."""
        place, n = self._places[lines.neuron]
        step = lines.directions[k]
        w = self.weights.W[place : place + n] + t * step[:-1]
        b = float(self.weights.b[lines.neuron] + t * step[-1])
        first = lines.neuron < self._setting.widths[0]
        last = len(self.weights.b) - self._setting.widths[-1]
        if self._setting.loss.head == "threshold" or lines.neuron < last:
            sizes = np.abs(w) / (self._setting.scale if first else 1.0)
            size = float(sizes.max(initial=0.0))
            if 0.0 < size < math.inf and (size > _LARGE or size < _SMALL):
                factor = 2.0 ** -math.floor(math.log2(size))
                w, b = w * factor, b * factor
        return Change(lines.neuron, place, w, b)

    def _take(self, found: list[tuple[float, Change]]) -> bool:
        """Take the best of the changes one after the other, if all rows say that this is better."""
        changes = [change for _, change in sorted(found, key=lambda pair: pair[0]) if np.all(np.isfinite(change.w))]
        changes = [change for change in changes if math.isfinite(change.b)]
        if not changes:
            return False
        totals = self._evaluated(tuple(changes))
        best = int(np.argmin(totals))
        if not totals[best] < self.loss:
            return False
        for change in changes[:best]:
            self.weights = self.weights.changed(change)
        self.loss = float(totals[best])
        return True
