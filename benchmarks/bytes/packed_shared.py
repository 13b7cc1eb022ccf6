"""Sums of trees as bytes that share one dictionary of conditions and one codebook of leaf values.

The layout follows N. Herrmann et al., "Boosted Trees on a Diet", arXiv:2510.26557: nodes hold indices only, as wide as
the dictionary and the codebook need. As only signs and the largest of sums count, all values are integers and there is
no scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from bitstream import Reader, Writer, width_of
from coding import Packed, read_integers, read_selection, write_integers, write_selection
from packed_trees import Tree
from sources import Columns

HALF = 16
"""Bits of a threshold on a column of real numbers before trailing zeros that all of them have are left out."""


@dataclass(frozen=True, eq=False)
class Shared(Packed):
    """A sum of trees.

    Attributes
    ----------
    trees : list of Tree
        The value of a leaf is its number in the tree, counted in preorder.
    entries : list of ndarray of shape (leaves, width)
        Of each tree's leaves: positions in the codebook. Of width 1, trees belong to the outputs in turn; else leaves
        have a value for every output.
    codebook : ndarray of int
        Values of leaves.
    baseline : ndarray of int of shape (outputs,)
        Where the sums begin. One output for two classes, else one a class.
    """

    trees: list[Tree]
    entries: list[np.ndarray]
    codebook: np.ndarray
    baseline: np.ndarray

    @property
    def outputs(self) -> int:
        """Number of sums."""
        return 1 if self.classes == 2 else self.classes

    @cached_property
    def width(self) -> int:
        """Number of values of a leaf."""
        return self.entries[0].shape[1] if self.entries else 1

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices; ties go to the lowest."""
        sums = np.tile(self.baseline, (len(X), 1))
        for number, (tree, entries) in enumerate(zip(self.trees, self.entries, strict=True)):
            values = self.codebook[entries[tree.leaves(X)]]
            if self.width > 1:
                sums += values
            else:
                sums[:, number % self.outputs] += values[:, 0]
        return decided(sums)

    @cached_property
    def conditions(self) -> list[tuple[int, float]]:
        """Return the different pairs of feature and threshold, ascending."""
        found = set()
        for tree in self.trees:
            inner = tree.feature >= 0
            found |= set(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))
        return sorted(found)

    @cached_property
    def _shapes(self) -> list[tuple[bool, ...]]:
        """Return for every tree which nodes have children; one entry if all trees are alike."""
        shapes = [tuple((tree.feature >= 0).tolist()) for tree in self.trees]
        return shapes[:1] if len(set(shapes)) == 1 else shapes

    def _write_head(self, out: Writer) -> None:
        features = np.array([feature for feature, _ in self.conditions], dtype=int)
        write_selection(out, features, len(self.columns))
        halves = [_half(t) for feature, t in self.conditions if self.columns.bits[feature] == 0]
        dropped = min((_trailing_zeros(each) for each in halves), default=HALF - 1)
        out.unsigned(dropped, 4)
        for feature, threshold in self.conditions:
            bits = int(self.columns.bits[feature])
            if bits == 0:
                out.unsigned(_half(threshold) >> dropped, HALF - dropped)
            elif bits > 1:
                out.unsigned(int(threshold - self.columns.low[feature]), bits)
        out.count(len(self.codebook))
        write_integers(out, self.codebook)
        write_integers(out, self.baseline)
        if self.classes > 2:
            out.unsigned(self.width > 1, 1)
        out.count(len(self.trees))
        if self.trees:
            out.unsigned(len(self._shapes) == 1, 1)

    def write(self, out: Writer) -> None:
        """Write conditions, codebook and baseline, then tree after tree the shape and indices."""
        self._write_head(out)
        at = {condition: number for number, condition in enumerate(self.conditions)}
        wide, leaf = width_of(len(at)), width_of(len(self.codebook))
        for number, (tree, entries) in enumerate(zip(self.trees, self.entries, strict=True)):
            shape_follows = number < len(self._shapes)
            for feature, threshold, value in zip(tree.feature, tree.threshold, tree.value, strict=True):
                if shape_follows:
                    out.unsigned(feature >= 0, 1)
                if feature >= 0:
                    out.unsigned(at[int(feature), float(threshold)], wide)
                else:
                    for entry in entries[value]:
                        out.unsigned(entry, leaf)

    @property
    def size(self) -> int:
        """Number of bytes; the same as of `encode`, only faster."""
        out = Writer()
        self._write_head(out)
        inner = sum(int((tree.feature >= 0).sum()) for tree in self.trees)
        leaves = inner + len(self.trees)
        bits = inner * width_of(len(self.conditions)) + leaves * self.width * width_of(len(self.codebook))
        return ceil((out.bits + sum(map(len, self._shapes)) + bits) / 8)

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Shared:
        """Return the model of these bytes."""
        source, outputs = Reader(data), 1 if classes == 2 else classes
        conditions = []
        features = read_selection(source, len(columns))
        dropped = source.unsigned(4)
        for feature in features:
            bits = int(columns.bits[feature])
            if bits == 0:
                half = np.array(source.unsigned(HALF - dropped) << dropped, dtype=np.uint16)
                threshold = float(half.view(np.float16))
            else:
                threshold = float(columns.low[feature] + (source.unsigned(bits) if bits > 1 else 0))
            conditions.append((int(feature), threshold))
        codebook = read_integers(source, source.count())
        baseline = read_integers(source, outputs)
        width = outputs if classes > 2 and source.unsigned(1) else 1
        trees, entries = [], []
        number = source.count()
        alike = bool(source.unsigned(1)) if number else False
        for _ in range(number):
            shape = [tree_feature >= 0 for tree_feature in trees[0].feature] if alike and trees else None
            tree, found = _read_tree(source, conditions, shape, width, width_of(len(codebook)))
            trees.append(tree)
            entries.append(found)
        return cls(columns, classes, trees, entries, codebook, baseline)


def _read_tree(
    source: Reader, conditions: list[tuple[int, float]], shape: list[bool] | None, width: int, leaf: int
) -> tuple[Tree, np.ndarray]:
    """Read a tree and the entries of its leaves."""
    features, thresholds, rights, values, entries, waiting = [], [], [], [], [], []
    while True:
        node = len(features)
        inner = bool(source.unsigned(1)) if shape is None else shape[node]
        feature, threshold = conditions[source.unsigned(width_of(len(conditions)))] if inner else (-1, 0.0)
        features.append(feature)
        thresholds.append(threshold)
        rights.append(0)
        values.append(0 if inner else len(entries))
        if inner:
            waiting.append(node)
            continue
        entries.append([source.unsigned(leaf) for _ in range(width)])
        if not waiting:
            break
        rights[waiting.pop()] = node + 1
    return Tree(*(np.array(each) for each in (features, thresholds, rights, values))), np.array(entries)


def decided(sums: np.ndarray) -> np.ndarray:
    """Return class indices of the sums of all outputs."""
    return (sums[:, 0] > 0).astype(np.int64) if sums.shape[1] == 1 else sums.argmax(axis=1)


def _half(value: float) -> int:
    return int(np.array(value, dtype=np.float16).view(np.uint16))


def _trailing_zeros(value: int) -> int:
    return HALF - 1 if value == 0 else min(HALF - 1, (value & -value).bit_length() - 1)


def short_half(low: float, high: float) -> float:
    """Return a threshold t with ``low <= t < high`` that has as many trailing zero bits as possible.

    Where float16 has none in between, the nearest one to the middle.
    """
    most = float(np.finfo(np.float16).max)
    middle = float(np.clip((low + high) / 2, -most, most))
    sign, bits = (_half(middle) & 0x8000), _half(middle) & 0x7FFF
    for dropped in range(HALF - 2, 0, -1):
        step = 1 << dropped
        rounded = (bits + step // 2) // step * step
        found = float(np.array(rounded | sign, dtype=np.uint16).view(np.float16)) if rounded < 0x7C00 else np.inf
        if low <= found < high:
            return found or 0.0  # never a negative zero
    return float(np.float16(middle)) or 0.0
