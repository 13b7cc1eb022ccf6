"""Boosted trees on a diet (N. Herrmann et al., arXiv:2510.26557): every first use of a feature or a threshold is paid.

The paper changes the source of LightGBM, whose public penalties know features but no thresholds; this is the same
Newton boosting with the same penalized gains. Prices are the bits that the dictionary of `packed_shared` grows by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

import numpy as np
from bitstream import width_of
from codebook import Codebooks, Sum
from packed_shared import short_half
from packed_trees import Tree
from pool import BUDGETS, FEW, Candidate, Path, Rows, everything, judged
from scipy.sparse import csr_array
from sources import Columns, Split

SHAPES = ((2, 0.3), (2, 0.8), (4, 0.15), (4, 0.5), (8, 0.2), (16, 0.3))
"""Leaves and learning rate."""
PENALTIES = (0.0, 1e-5, 1e-4)
"""Of log loss a row that a bit of the dictionary costs."""
VALUES = (10, 80)
"""Thresholds of a feature at most."""
MOST_TREES = {True: 250, False: 400}
"""Of two classes, and of more; of small tables, which have four folds, a third."""
DAMPING = 1.0
"""Added to second derivatives, as in the other boosting rival."""
REAL_BITS = 12
"""Of a threshold on a column of real numbers, about, without trailing zeros."""


@dataclass(eq=False)
class Conditions:
    """Thresholds that may be asked for, and which rows pass them."""

    feature: np.ndarray
    threshold: np.ndarray
    price: np.ndarray
    passed: np.ndarray
    """Of shape (conditions, rows)."""
    last: csr_array = field(repr=False)
    """For each row, of each feature, the highest threshold that is passed."""
    ends: np.ndarray
    """The next feature's first condition."""

    @classmethod
    def of(cls, X: np.ndarray, columns: Columns, most: int) -> Conditions:
        """Return at most so many thresholds of each feature, about as many rows between any two."""
        feature, threshold, highest = [], [], []
        for k, column in enumerate(X.T):
            found = _thresholds(column, int(columns.bits[k]), most)
            rank = np.searchsorted(found, column, side="left")  # number of thresholds below the value
            highest.append(np.where(rank > 0, rank - 1 + len(feature), -1))
            feature += [k] * len(found)
            threshold += found
        features = np.array(feature, dtype=int)
        bits = columns.bits[features]
        at = np.array(highest)
        rows = np.broadcast_to(np.arange(len(X)), at.shape)[at >= 0]
        last = csr_array((np.ones(len(rows)), (at[at >= 0], rows)), shape=(len(feature), len(X)))
        passed = X.T[features] > np.array(threshold)[:, None] if feature else np.zeros((0, len(X)), dtype=bool)
        ends = np.searchsorted(features, features, side="right")
        price = np.where(bits == 0, REAL_BITS, np.where(bits == 1, 0, bits)) + 1.0
        return cls(features, np.array(threshold), price, passed, last, ends)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return for each condition the sums of these columns over the rows that pass it."""
        there = self.last @ values
        below = np.concatenate([np.cumsum(there[::-1], axis=0)[::-1], np.zeros((1, values.shape[1]))])
        return below[:-1] - below[self.ends]


def _thresholds(column: np.ndarray, bits: int, most: int) -> list[float]:
    """Return ascending thresholds, of real numbers such of few bits.

    Where there are too many values they lie at quantiles, values weighted by the square root of their rows, so that a
    value of most rows leaves thresholds to the others.
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) - 1 <= most:
        gaps = list(pairwise(values))
    else:
        reached = np.cumsum(np.sqrt(counts))
        near = np.arange(1, most + 1) / (most + 1)
        slack = 0.25 / (most + 1)  # of the way to the next one, to either side
        low, high = (np.searchsorted(reached, reached[-1] * (near + d)) for d in (-slack, slack))
        gaps = [(values[a], values[min(b + 1, len(values) - 1)]) for a, b in zip(low, high, strict=True)]
        gaps = [(a, b) for a, b in gaps if a < b]
    if bits:
        return sorted({float(np.floor((a + b) / 2)) if b - a > 1 else float(a) for a, b in gaps})
    return sorted({short_half(float(a), float(b)) for a, b in gaps})


@dataclass(eq=False)
class _Leaf:
    """A node that may be split: its rows, sums of gradients, second derivatives and rows, and those by condition."""

    rows: np.ndarray
    total: np.ndarray
    sums: np.ndarray | None
    node: int


class Booster:
    """Boosting on the given conditions; remembers what has been paid for."""

    def __init__(self, conditions: Conditions, n: int, labels: np.ndarray, classes: int, penalty: float) -> None:
        self._conditions, self._rows = conditions, len(labels)
        self._paid, self._known = np.zeros(len(conditions.feature), dtype=bool), np.zeros(n, dtype=bool)
        self._feature_price = width_of(n)
        self._penalty = penalty * len(labels)
        self._least = min(20, len(labels) // 40 + 1)  # rows of a leaf, as of the other boosting rival
        self._targets = (labels[:, None] == np.arange(classes)).astype(float)
        if classes == 2:
            self._targets = self._targets[:, 1:]
        share = np.clip(self._targets.mean(axis=0), 1e-6, 1 - 1e-6)
        self.baseline = np.log(share / (1 - share)) if classes == 2 else np.log(share)

    def boosted(self, leaves: int, rate: float, most: int) -> Sum:
        """Return the sum after so many trees at most; it ends where no tree gains anything."""
        sums = np.tile(self.baseline, (self._rows, 1))
        trees, values = [], []
        outputs = sums.shape[1]
        for _ in range(max(1, most // outputs)):
            if outputs == 1:
                shares = 1 / (1 + np.exp(-sums))
            else:
                shares = np.exp(sums - sums.max(axis=1, keepdims=True))
                shares /= shares.sum(axis=1, keepdims=True)
            for k in range(outputs):
                share = shares[:, k]
                given = np.column_stack([share - self._targets[:, k], share * (1 - share), np.ones(self._rows)])
                tree, found, places = self._grown(given, leaves)
                trees.append(tree)
                values.append(rate * found[:, None])
                sums[:, k] += rate * found[places]
            if all(len(tree.feature) == 1 for tree in trees[-outputs:]):
                break
        return Sum(trees, values, self.baseline)

    def _cost(self) -> np.ndarray:
        """Return the price of every condition; what is paid is free."""
        first = np.where(self._known[self._conditions.feature], 0.0, self._feature_price)
        return self._penalty * np.where(self._paid, 0.0, self._conditions.price + first)

    def _best(self, leaf: _Leaf) -> tuple[float, int]:
        """Return the largest gain and its condition; 0 if there is none."""
        if leaf.sums is None or not len(leaf.sums) or leaf.total[2] < 2 * self._least:
            return 0.0, -1
        right, left = leaf.sums, leaf.total - leaf.sums
        gain = sum(each[:, 0] ** 2 / (each[:, 1] + DAMPING) for each in (right, left))
        gain = (gain - leaf.total[0] ** 2 / (leaf.total[1] + DAMPING)) / 2 - self._cost()
        gain[(right[:, 2] < self._least) | (left[:, 2] < self._least)] = -np.inf
        at = int(gain.argmax())
        # less is rounding
        return (float(gain[at]), at) if gain[at] > 1e-9 * self._rows else (0.0, -1)

    def _grown(self, given: np.ndarray, leaves: int) -> tuple[Tree, np.ndarray, np.ndarray]:
        """Grow a tree best-first; return it, the values of its leaves, and the leaf of every row."""
        conditions = self._conditions
        everything = np.ones(self._rows, dtype=bool)
        open_ = [_Leaf(everything, given.sum(axis=0), conditions.sums(given), 0)]
        feature, threshold, left, right = [-1], [0.0], [0], [0]
        while len(open_) < leaves:
            gain, at, number = max((*self._best(leaf), -k) for k, leaf in enumerate(open_))
            if gain <= 0.0:
                break
            leaf = open_.pop(-number)
            self._paid[at] = self._known[conditions.feature[at]] = True
            feature[leaf.node], threshold[leaf.node] = int(conditions.feature[at]), float(conditions.threshold[at])
            left[leaf.node], right[leaf.node] = len(feature), len(feature) + 1
            above = leaf.rows & conditions.passed[at]
            inside = leaf.sums[at].copy()
            # nobody asks the children of a tree that is full
            sums = conditions.sums(given * above[:, None]) if len(open_) + 2 < leaves else None
            rest = None if sums is None else leaf.sums - sums
            open_.append(_Leaf(leaf.rows & ~conditions.passed[at], leaf.total - inside, rest, len(feature)))
            open_.append(_Leaf(above, inside, sums, len(feature) + 1))
            for each, value in ((feature, -1), (threshold, 0.0), (left, 0), (right, 0)):
                each += [value, value]
        own = np.full(len(feature), -1)
        own[[leaf.node for leaf in open_]] = np.arange(len(open_))
        tree = Tree.preorder(*(np.array(each) for each in (feature, threshold, left, right)), own)
        order = tree.value[tree.feature < 0]
        numbered = np.where(tree.feature < 0, np.cumsum(tree.feature < 0) - 1, 0)
        values, places = np.zeros(len(open_)), np.zeros(self._rows, dtype=np.int64)
        for number, k in enumerate(order):
            values[number] = -open_[k].total[0] / (open_[k].total[1] + DAMPING)
            places[open_[k].rows] = number
        return Tree(tree.feature, tree.threshold, tree.right, numbered), values, places


def stages(most: int) -> list[int]:
    """Return numbers of rounds: all up to 16, then steps of an eighth."""
    found = list(range(1, min(most, 16) + 1))
    while found and found[-1] < most:
        found.append(min(most, ceil(found[-1] * 1.125)))
    return found


def diet(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Boost with all settings; beginnings with codebooks of all sizes are candidates."""
    pool, outputs = [], 1 if split.classes == 2 else split.classes
    limit = MOST_TREES[outputs == 1] // (3 if len(everything(split)[1]) <= FEW else 1)
    known: dict[tuple[int, int], tuple[Rows, Conditions]] = {}

    def conditions(rows: Rows, most: int) -> Conditions:
        if (id(rows), most) not in known:
            known[id(rows), most] = rows, Conditions.of(rows[0], split.columns, most)
        return known[id(rows), most][1]

    for most in VALUES:
        for penalty in PENALTIES:
            for leaves, rate in SHAPES:
                notes: list[str] = []

                def grown(rows: Rows, leaves=leaves, rate=rate, most=most, penalty=penalty, notes=notes) -> Path:
                    booster = Booster(conditions(rows, most), len(split.columns), rows[1], split.classes, penalty)
                    # so many as surely fill the largest budget
                    trees = int(min(limit, max(BUDGETS) * 8 / (4 * leaves)))
                    whole = booster.boosted(leaves, rate, trees)
                    path = Codebooks(split, whole, rows, [k * outputs for k in stages(trees // outputs)])
                    if not notes:
                        notes += [path.note(k) for k in range(len(path))]
                    return path

                text = f"{leaves} leaves, rate {rate}, {penalty:g} a bit, {most} thresholds a feature"
                pool += judged(split, grown, lambda k, notes=notes, text=text: f"{notes[k]}, {text}")
    return {"boosting on a diet": pool}
