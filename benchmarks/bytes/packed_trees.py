"""Trees, forests and sums of trees as bytes; nodes come in preorder, so that children need no pointers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from bitstream import Reader, Writer, count_bits, width_of
from coding import Packed, read_threshold, write_threshold
from sources import Columns


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes in preorder: feature (-1 for a leaf), threshold, right child, and the leaf's class or integer."""

    feature: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def leaves(self, X: np.ndarray) -> np.ndarray:
        """Return the value of each row's leaf."""
        at = np.zeros(len(X), dtype=np.int64)
        active = np.flatnonzero(self.feature[at] >= 0)
        while len(active):
            node = at[active]
            right = X[active, self.feature[node]] > self.threshold[node]
            at[active] = np.where(right, self.right[node], node + 1)
            active = active[self.feature[at[active]] >= 0]
        return self.value[at]

    @classmethod
    def preorder(cls, feature, threshold, left, right, value) -> Tree:
        """Return the tree with its nodes brought to preorder; leaves have a negative feature."""
        order, stack, place = [], [0], np.zeros(len(feature), dtype=np.int64)
        while stack:
            node = stack.pop()
            place[node] = len(order)
            order.append(node)
            if feature[node] >= 0:
                stack += [right[node], left[node]]
        chosen = np.array(order)
        inner = feature[chosen] >= 0
        to = np.where(inner, place[np.where(inner, right[chosen], 0)], 0)
        return cls(feature[chosen], threshold[chosen], to, np.where(inner, 0, value[chosen]).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Trees(Packed):
    """A tree, a forest whose leaves are classes that are voted for, or a sum of trees.

    Attributes
    ----------
    trees : list of Tree
        Of a sum: for each output in turn, leaves being integers of 8 bits.
    scale : float
        0 for votes; of a sum: value of a leaf's 1, float32.
    baseline : ndarray of shape (outputs,)
        Where sums begin, float32. One output for two classes, else one a class.
    width : int
        Bits of thresholds on real columns.
    """

    trees: list[Tree]
    scale: float = 0.0
    baseline: np.ndarray | None = None
    width: int = 16

    @property
    def outputs(self) -> int:
        """Trees of one stage."""
        return 1 if self.baseline is None else len(self.baseline)

    def staged(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield class indices of all beginnings, of one stage, of two, and so on; ties go to the lowest."""
        outputs = self.outputs if self.scale else self.classes
        sums = np.zeros((outputs, len(X)), dtype=np.int64)
        for number, tree in enumerate(self.trees, start=1):
            if self.scale:
                sums[(number - 1) % outputs] += tree.leaves(X)
            else:
                sums[tree.leaves(X), np.arange(len(X))] += 1
            if number % self.outputs == 0:
                values = self.scale * sums + self.baseline[:, None] if self.scale else sums
                yield (values[0] > 0).astype(np.int64) if outputs == 1 else values.argmax(axis=0)

    def staged_sizes(self) -> list[int]:
        """Return the bytes of all beginnings."""
        bits = np.cumsum([self.tree_bits(tree) for tree in self.trees])[self.outputs - 1 :: self.outputs]
        return [ceil((self._head_bits(number * self.outputs) + each) / 8) for number, each in enumerate(bits, start=1)]

    def beginning(self, index: int) -> Trees:
        """Return the first ``index + 1`` stages."""
        return replace(self, trees=self.trees[: (index + 1) * self.outputs])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        *_, last = self.staged(X)
        return last

    def _head_bits(self, number: int) -> int:
        return 2 + count_bits(number) + (32 * (1 + len(self.baseline)) if self.scale else 0)

    def write(self, out: Writer) -> None:
        """Write threshold width, trees, and of sums the scale and baseline."""
        n = len(self.columns)
        out.unsigned(self.width == 32, 1)
        out.unsigned(self.scale != 0.0, 1)
        if self.scale:
            out.real(self.scale, 32)
            for value in self.baseline:
                out.real(value, 32)
        out.count(len(self.trees))
        for tree in self.trees:
            for feature, threshold, value in zip(tree.feature, tree.threshold, tree.value, strict=True):
                out.unsigned(feature >= 0, 1)
                if feature >= 0:
                    out.unsigned(feature, width_of(n))
                    write_threshold(out, threshold, int(feature), self.columns, self.width)
                elif self.scale:
                    out.signed(value, 8)
                else:
                    out.unsigned(value, width_of(self.classes))

    @property
    def size(self) -> int:
        """Number of bytes; the same as of `encode`, only faster."""
        return ceil((self._head_bits(len(self.trees)) + sum(map(self.tree_bits, self.trees))) / 8)

    def tree_bits(self, tree: Tree) -> int:
        """Return the bits of one tree."""
        used = tree.feature[tree.feature >= 0]
        bits = self.columns.bits[used]
        thresholds = np.where(bits == 0, self.width, np.where(bits == 1, 0, bits)).sum()
        leaf = 8 if self.scale else width_of(self.classes)
        return int(
            len(tree.feature) + len(used) * width_of(len(self.columns)) + thresholds + leaf * (tree.feature < 0).sum()
        )

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Trees:
        """Return the model of these bytes."""
        source = Reader(data)
        width, sums = 32 if source.unsigned(1) else 16, source.unsigned(1)
        scale, baseline = 0.0, None
        if sums:
            scale = source.real(32)
            baseline = np.array([source.real(32) for _ in range(1 if classes == 2 else classes)])
        trees = []
        for _ in range(source.count()):
            features, thresholds, rights, values, waiting = [], [], [], [], []
            while True:
                node = len(features)
                inner = bool(source.unsigned(1))
                feature = source.unsigned(width_of(len(columns))) if inner else -1
                features.append(feature)
                thresholds.append(read_threshold(source, feature, columns, width) if inner else 0.0)
                rights.append(0)
                leaf = 0 if inner else source.signed(8) if sums else source.unsigned(width_of(classes))
                values.append(leaf)
                if inner:
                    waiting.append(node)
                elif waiting:
                    rights[waiting.pop()] = node + 1
                else:
                    break
            trees.append(Tree(*(np.array(each) for each in (features, thresholds, rights, values))))
        return cls(columns, classes, trees, scale, baseline, width)
