"""Boosted trees that take few bytes, as networks: a hidden layer of their leaves, and outputs that are integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from bdnn._native import boosting
from bdnn.compact.inputs import BitInputs
from bdnn.network.layer import Layer
from bdnn.network.packing_thresholds import LEAST_DROPPED, MOST_DROPPED

if TYPE_CHECKING:
    from bdnn.compact.inputs import Source
    from bdnn.compact.plans import Boosting
    from bdnn.compact.proposals import Rows
    from bdnn.types import Array, Floats, Indices, Integers

_LEAST_ROWS, _SHARE_OF_ROWS = 20, 40
"""Rows of a leaf, and the share of all rows that is as good if it is less."""
_SLACK = 0.25
"""Of the way to the next threshold, to either side, within which a threshold may lie so that it has few bits."""
_REAL_BITS, _SPLIT_BITS, _TREE_BITS = 9.0, 8.0, 5.0
"""About what a threshold of real numbers takes, and a node and its leaf, and the first leaf of a tree."""
_STUMP, _STUMPS = 2, 3
"""Leaves of a stump, and how many times as many stumps there is room for as of other trees: many ask for the same."""
_VALUE_BITS = 1.5
"""About what each further value of a leaf takes."""
_LARGEST_VALUE = 63
"""Of a leaf."""
_MEASURED = 4
"""How often the bytes of a beginning are counted to find how many trees there is room for."""
_CAREFUL = 1.005
"""By how much more they are taken to be after a beginning that was too long."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """Thresholds that trees may ask for.

    Attributes
    ----------
    feature : ndarray of shape (k,)
        Inputs of the encoder, ascending.
    threshold : ndarray of shape (k,)
        Ascending where the input is the same.
    start : ndarray of shape (n_inputs + 1,)
        First threshold of each input, and how many there are.
    price : ndarray of shape (k,)
        Bits of the first use of each, about.
    """

    feature: Indices
    threshold: Floats
    start: Integers
    price: Floats

    @classmethod
    def of(cls, X: Floats, source: Source, most: int) -> Cuts:
        """Return at most so many thresholds of each input, about as many rows between any two."""
        feature: list[int] = []
        threshold: list[float] = []
        price: list[float] = []
        start = [0]
        bits = source.bits
        for j in range(X.shape[1]):
            found = [] if source.dated[j] else _thresholds(X[:, j], bool(source.whole[j]), most)
            feature += [j] * len(found)
            threshold += found
            price += [
                1.0 + (min(float(bits[j]), _REAL_BITS) if bits[j] != 1 else 0.0) if bits[j] else _REAL_BITS
            ] * len(found)
            start.append(len(feature))
        return cls(
            np.array(feature, dtype=np.intp), np.array(threshold), np.array(start, dtype=np.int64), np.array(price)
        )

    def bins(self, X: Floats) -> Array:
        """Return how many thresholds of each input each row reaches, by input."""
        ends = zip(self.start[:-1].tolist(), self.start[1:].tolist(), X.T, strict=True)
        return np.array([np.searchsorted(self.threshold[a:b], x, side="right") for a, b, x in ends], dtype=np.uint8)


def _thresholds(column: Floats, whole: bool, most: int) -> list[float]:
    """Return ascending thresholds, at quantiles of values that count as the square roots of their rows.

    So a value of most rows leaves thresholds to the others.
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) - 1 <= most:
        gaps = [*pairwise(values.tolist())]
    else:
        reached = np.cumsum(np.sqrt(counts))
        near = np.arange(1, most + 1) / (most + 1)
        slack = _SLACK / (most + 1)
        low, high = (np.searchsorted(reached, reached[-1] * (near + d)) for d in (-slack, slack))
        high = np.minimum(high + 1, len(values) - 1)
        gaps = [*zip(values[low].tolist(), values[high].tolist(), strict=True)]
    if whole:
        return sorted({float(np.floor((a + b) / 2) + 1 if b - a > 1 else b) for a, b in gaps if a < b})
    short = (_short(a, b) for a, b in gaps if a < b)
    return sorted({each for each in short if each is not None})


def _short(low: float, high: float) -> float | None:
    """Return a threshold above `low`, at most `high`, of single precision with as many last bits 0 as possible."""
    if low < 0.0 <= high:
        return 0.0
    with np.errstate(over="ignore"):
        middle = np.float32(low / 2 + high / 2)
    if not np.isfinite(middle):
        return None
    size = int(np.abs(middle).view(np.uint32))
    for dropped in range(MOST_DROPPED, LEAST_DROPPED - 1, -1):
        step = 1 << dropped
        rounded = np.uint32((size + step // 2) // step * step)
        found = float(np.copysign(rounded.view(np.float32), middle))
        if low < found <= high:
            return found
    return None


@dataclass(frozen=True, eq=False)
class Boosted:
    """Trees in the order in which they were boosted; beginnings of it are networks.

    Attributes
    ----------
    cuts : Cuts
        What they may ask for.
    roots, output, threshold, first, values : ndarray of int
        As `bdnn._native.boosting.grown` returns them; values of shape (leaves, width).
    baseline : ndarray of int of shape (outputs,)
        Where the sums begin.
    """

    cuts: Cuts
    roots: Integers
    output: Integers
    threshold: Integers
    first: Integers
    values: Integers
    baseline: Integers

    @classmethod
    def of(
        cls,
        cuts: Cuts,
        rows: tuple[Array, Rows],
        classes: int,
        how: Boosting,
        most_bits: float,
        proceed: Callable[[], bool] | None = None,
    ) -> Boosted:
        """Boost until the trees take about so many bits, on bins of rows and these rows."""
        bins, (_, y, weight) = rows
        outputs = 1 if classes == 2 else classes
        wide = outputs if how.together else 1
        more = _VALUE_BITS * (wide - 1)
        roots, output, threshold, first, values, baseline = boosting.grown(
            bins, cuts.start, np.asarray(y, dtype=np.int64), np.ascontiguousarray(weight), classes, cuts.price,
            how.leaves, how.together and outputs > 1, how.rate, how.step, _LARGEST_VALUE, how.damping,
            min(_LEAST_ROWS, len(y) // _SHARE_OF_ROWS + 1), how.penalty, float(np.log2(max(len(bins), 2))),
            _SPLIT_BITS + more, _TREE_BITS + more, most_bits * (_STUMPS if how.leaves == _STUMP else 1), proceed,
        )  # fmt: skip
        return cls(cuts, roots, output, threshold, first, values.reshape(-1, wide), np.rint(baseline).astype(np.int64))

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def outputs(self) -> int:
        """Number of sums."""
        return len(self.baseline)

    @property
    def stumps(self) -> bool:
        """Whether all trees have two leaves."""
        return len(self.threshold) == 3 * len(self.roots)

    def sums(self, bins: Array, trees: int) -> Integers:
        """Return the sums of the first trees, shape (m, outputs)."""
        found = np.tile(self.baseline, (bins.shape[1], 1))
        boosting.add(
            bins,
            self.cuts.start,
            self.roots[:trees],
            self.output[:trees],
            self.threshold,
            self.first,
            self.values,
            found,
        )
        return found

    def answers(self, bins: Array, trees: int) -> Indices:
        """Return class indices by the first trees."""
        sums = self.sums(bins, trees)
        return np.asarray(sums[:, 0] >= 0 if self.outputs == 1 else sums.argmax(axis=1), dtype=np.intp)

    def layers(self, trees: int) -> tuple[BitInputs, tuple[Layer, Layer]]:
        """Return the network of the first trees: a hidden layer of leaves."""
        end = int(self.roots[trees]) if trees < len(self.roots) else len(self.threshold)
        asked = self.threshold[:end]
        used = np.unique(asked[asked >= 0])
        place = np.zeros(len(self.cuts.feature), dtype=np.int64)
        place[used] = np.arange(len(used))
        bits = BitInputs(self.cuts.feature[used], self.cuts.threshold[used])
        paths = np.zeros((end, len(used)), dtype=np.int8)
        order: list[int] = []
        threshold, first = asked.tolist(), self.first[:end].tolist()
        owner: list[int] = []
        for root, output in zip(self.roots[:trees].tolist(), self.output[:trees].tolist(), strict=True):
            waiting = [root]
            while waiting:
                node = waiting.pop()
                if threshold[node] < 0:
                    order.append(node)
                    owner.append(output)
                    continue
                low = first[node]
                paths[low : low + 2] = paths[node]
                bit = place[threshold[node]]
                paths[low, bit], paths[low + 1, bit] = -1, 1
                waiting += [low + 1, low]
        W = paths[order].astype(np.int64)
        own = self.values[self.first[order]]
        if own.shape[1] == self.outputs:
            V = own
        else:
            V = np.zeros((len(order), self.outputs), dtype=np.int64)
            V[np.arange(len(order)), owner] = own[:, 0]
        bias = self.baseline
        if self.stumps:
            W, V, bias = _merged(W, V, np.array(owner), bias)
        kept = V.any(axis=1)
        W, V = W[kept], V[kept]
        return bits, (Layer(W, -(W > 0).sum(axis=1)), Layer(np.ascontiguousarray(V.T), bias))

    def beginning(self, most: int, size: Callable[[int], int] | None) -> int:
        """Return how many trees there is room for in so many bytes, or nearly; `size` says what some of them take."""
        if not len(self):
            return 0
        bits = self.estimates()
        if size is None:
            return int(np.searchsorted(bits, 8 * most, side="right"))
        fitting, ratio = 0, 1.0
        for _ in range(_MEASURED):
            number = int(np.searchsorted(bits * ratio, 8 * most, side="right"))
            if number <= fitting:
                break
            taken = size(number)
            if taken <= most:
                fitting = number
                if number == len(self):
                    break
            ratio = 8 * taken / bits[number - 1] * (1.0 if taken <= most else _CAREFUL)
        return fitting

    def estimates(self) -> Floats:
        """Return about how many bits each beginning takes."""
        ends = np.append(self.roots[1:], len(self.threshold))
        trees = np.arange(1, len(ends) + 1)
        asked = self.threshold
        inner = asked >= 0
        is_root = np.zeros(len(asked), dtype=bool)
        is_root[self.roots] = True
        at = ends - 1
        # thresholds, by their first use
        where = np.flatnonzero(inner)
        _, firsts = np.unique(asked[where], return_index=True)
        new = np.zeros(len(asked))
        new[where[firsts]] = 1.0
        priced = np.zeros(len(asked))
        priced[where[firsts]] = self.cuts.price[asked[where[firsts]]]
        n = np.cumsum(new)[at]
        columns = len(self.cuts.start) - 1
        total: Floats = 40.0 + np.cumsum(priced)[at] * 0.9 + _log2_comb(n + columns, np.minimum(n, columns))
        groups = 1 if self.output[0] < 0 or self.outputs == 1 else self.outputs
        total += groups * _log2_comb(n + trees / groups - 1, n - 1)
        # which nodes have children: about 0.8 bits each but for roots
        nodes = np.cumsum(~is_root)[at]
        total += 0.8 * nodes
        below = inner & ~is_root
        total += _urn_bits(asked[below], np.cumsum(below)[at], n)
        flat = self.values[self.first[~inner]].ravel()
        total += _urn_bits(
            flat, np.cumsum(~inner)[at] * self.values.shape[1],
            2.0 * np.maximum.accumulate(np.abs(flat))[np.cumsum(~inner)[at] * self.values.shape[1] - 1] + 1,
        )  # fmt: skip
        return total


def _merged(W: Integers, V: Integers, owner: Integers, bias: Integers) -> tuple[Integers, Integers, Integers]:
    """Return stumps of which no two ask for the same, and whose first leaf has no value: that of both is a bias.

    Leaves of a stump follow each other, that of bits that are 0 first.
    """
    bit = W[1::2].argmax(axis=1)
    _, first, same = np.unique(np.column_stack([owner[::2], bit]), axis=0, return_index=True, return_inverse=True)
    summed = np.zeros((len(first), V.shape[1]), dtype=np.int64)
    np.add.at(summed, same.ravel(), V[1::2] - V[::2])
    return W[1::2][first], summed, bias + V[::2].sum(axis=0)


def _log2_comb(n: Floats, k: Floats) -> Floats:
    return np.asarray((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)) / np.log(2))


def _urn_bits(values: Integers, ends: Integers, size: Floats) -> Floats:
    """Return what the first draws of an urn take, for several numbers of draws and values that there may be."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    fresh = np.diff(ordered, prepend=ordered[:1] - 1) != 0
    begun = np.maximum.accumulate(np.where(fresh, np.arange(len(ordered)), 0))
    before = np.zeros(len(values))
    before[order] = np.arange(len(ordered)) - begun
    gained = np.concatenate([[0.0], np.cumsum(np.log2(before + 0.5))])
    return np.asarray((gammaln(ends + size / 2) - gammaln(size / 2)) / np.log(2) - gained[ends])
