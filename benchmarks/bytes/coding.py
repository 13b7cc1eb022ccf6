"""Models as bytes: three formats, each with a decoder whose model predicts the same.

Known without cost are the kind of model, the number of classes and the formats of the columns (`sources.Columns`).
All else is part of the bytes: sizes, which features are used, thresholds, quantisers, weights, leaves. Children of a
tree's node need no pointers, as nodes come in preorder. A threshold on an integer column takes the column's bits (none
for 0/1 columns), on a column of real numbers a float of 16 bits, or of 32 bits where the model says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np
from bitstream import Reader, Writer, count_bits, width_of
from sources import Columns

from bdnn import Network


def accuracy(model: Packed, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows that are predicted right."""
    return float(np.mean(model.predict(X) == y))


@dataclass(frozen=True, eq=False)
class Packed:
    """A model that can become bytes."""

    columns: Columns
    classes: int

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        raise NotImplementedError

    def write(self, out: Writer) -> None:
        """Write everything that is not known without cost."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """Return the bytes."""
        out = Writer()
        self.write(out)
        return out.to_bytes()

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.encode())

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Packed:
        """Return the model of these bytes."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Constant(Packed):
    """One class for all: no bytes, if the device has to be right about nothing."""

    label: int = 0

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return that class."""
        return np.full(len(X), self.label)

    def write(self, out: Writer) -> None:
        """Write the class."""
        out.unsigned(self.label, width_of(self.classes))

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Constant:
        """Return the model of these bytes."""
        return cls(columns, classes, Reader(data).unsigned(width_of(classes)))


# thresholds and selections


def storable(threshold: np.ndarray, feature: np.ndarray, columns: Columns, width: int) -> np.ndarray:
    """Return thresholds t of ``x > t`` as they can be stored: integers, or floats of that width."""
    with np.errstate(over="ignore"):
        real = threshold.astype(np.float16 if width == 16 else np.float32).astype(float)
    most = np.finfo(np.float16 if width == 16 else np.float32).max
    high = columns.low + 2.0**columns.bits - 1
    whole = np.clip(np.floor(threshold), columns.low[feature], high[feature])
    whole = np.where(columns.bits[feature] == 1, columns.low[feature], whole)
    return np.where(columns.bits[feature] > 0, whole, np.clip(real, -most, most))


def write_threshold(out: Writer, value: float, feature: int, columns: Columns, width: int) -> None:
    """Write a threshold of `storable`."""
    bits = int(columns.bits[feature])
    if bits == 0:
        out.real(value, width)
    elif bits > 1:
        out.unsigned(int(value - columns.low[feature]), bits)


def read_threshold(data: Reader, feature: int, columns: Columns, width: int) -> float:
    """Read as `write_threshold`."""
    bits = int(columns.bits[feature])
    if bits == 0:
        return data.real(width)
    return float(columns.low[feature] + (data.unsigned(bits) if bits > 1 else 0))


def write_selection(out: Writer, chosen: np.ndarray, n: int) -> None:
    """Write an ascending list of features, repeats allowed, in the shortest of four ways."""
    times = np.bincount(chosen, minlength=n)
    ways = [np.inf, np.inf, len(chosen) * width_of(n) + count_bits(len(chosen)), n + len(chosen)]
    if times.max(initial=0) <= 1:
        ways[1] = n
        ways[0] = 0 if len(chosen) == n else np.inf
    way = int(np.argmin(ways))
    out.unsigned(way, 2)
    if way == 1:
        for each in times:
            out.unsigned(each, 1)
    elif way == 2:
        out.count(len(chosen))
        for each in chosen:
            out.unsigned(each, width_of(n))
    elif way == 3:
        for each in times:
            out.unsigned(2 ** (int(each) + 1) - 2, int(each) + 1)


def read_selection(data: Reader, n: int) -> np.ndarray:
    """Read as `write_selection`."""
    way = data.unsigned(2)
    if way == 0:
        return np.arange(n)
    if way == 1:
        return np.flatnonzero([data.unsigned(1) for _ in range(n)])
    if way == 2:
        return np.array([data.unsigned(width_of(n)) for _ in range(data.count())], dtype=int)
    times = np.zeros(n, dtype=int)
    for feature in range(n):
        while data.unsigned(1):
            times[feature] += 1
    return np.repeat(np.arange(n), times)


# trees


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


# weighted sums in floats and 8 bits


@dataclass(frozen=True, eq=False)
class Dense(Packed):
    """Layers of weighted sums with ReLU between them, none for logistic regression.

    Attributes
    ----------
    chosen : ndarray of shape (k,)
        The features that are used, ascending.
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Float32 weights and biases; of quantised ones integers of 8 bits, and biases of float16. The outputs are one for
        two classes, else one a class, or one a class but the last, whose output is 0.
    scales : list of float or None
        Of quantised layers: value of a weight's 1, float32.
    exponents : ndarray of shape (k,) or None
        Of quantised layers: inputs are multiplied by 2 to that power.
    wide : bool
        Of quantised layers: whether the biases of the first one are of float32.
    """

    chosen: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]
    scales: list[float] | None = None
    exponents: np.ndarray | None = None
    wide: bool = False

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        signal = X[:, self.chosen]
        if self.exponents is not None:
            signal = signal * 2.0**self.exponents
        for k, (W, b) in enumerate(self.layers):
            scale = 1.0 if self.scales is None else self.scales[k]
            signal = signal @ (scale * W.astype(float)).T + b
            if k < len(self.layers) - 1:
                signal = np.maximum(signal, 0.0)
        if self.classes == 2:
            return (signal[:, 0] > 0).astype(np.int64)
        if signal.shape[1] < self.classes:
            signal = np.column_stack([signal, np.zeros(len(X))])
        return signal.argmax(axis=1)

    def centred(self) -> Dense:
        """Return the same model with an output for each of more than two classes, whose weights add up to 0."""
        if self.classes == 2:
            return self
        W, b = (np.concatenate([a, np.zeros_like(a[:1])]) for a in self.layers[-1])
        last = np.float32(W - W.mean(axis=0)).astype(float), np.float32(b - b.mean()).astype(float)
        return replace(self, layers=[*self.layers[:-1], last])

    def quantised(self, mean: np.ndarray, spread: np.ndarray, wide: bool) -> Dense:
        """Return the copy with weights of 8 bits, with the same sums in the first layer at the means of the features.

        Parameters
        ----------
        mean, spread : ndarray of shape (k,)
            Means and standard deviations of the used features.
        wide : bool
            Whether the biases of the first layer have 32 bits.
        """
        exponents = np.rint(-np.log2(np.maximum(spread, 1e-30))).astype(int)
        layers, scales = [], []
        for k, (W, b) in enumerate(self.layers):
            unit = 2.0**exponents if k == 0 else np.ones(W.shape[1])
            scale = float(np.float32(max(np.abs(W / unit).max(initial=0.0), 1e-30) / 127))
            small = np.rint(W / unit / scale)
            if k == 0:
                b = b + (W - scale * small * unit) @ mean
            kind = np.float32 if wide and k == 0 else np.float16
            layers.append((small.astype(np.int64), b.astype(kind).astype(float)))
            scales.append(scale)
        return Dense(self.columns, self.classes, self.chosen, layers, scales, exponents, wide)

    def write(self, out: Writer) -> None:
        """Write the selection, the widths, exponents, and layer after layer."""
        write_selection(out, self.chosen, len(self.columns))
        out.count(len(self.layers) - 1)
        for W, _ in self.layers[:-1]:
            out.count(len(W))
        out.unsigned(self.classes > 2 and len(self.layers[-1][1]) == self.classes, 1)
        out.unsigned(self.scales is not None, 1)
        if self.scales is not None:
            out.unsigned(self.wide, 1)
            write_integers(out, self.exponents)
        for k, (W, b) in enumerate(self.layers):
            if self.scales is not None:
                out.real(self.scales[k], 32)
            for value in W.ravel():
                out.real(value, 32) if self.scales is None else out.signed(value, 8)
            for value in b:
                out.real(value, 32 if self.scales is None or (self.wide and k == 0) else 16)

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Dense:
        """Return the model of these bytes."""
        source = Reader(data)
        chosen = read_selection(source, len(columns))
        widths = [source.count() for _ in range(source.count())]
        widths.append(classes if source.unsigned(1) else max(classes - 1, 1))
        small = bool(source.unsigned(1))
        wide = bool(source.unsigned(1)) if small else False
        exponents = read_integers(source, len(chosen)) if small else None
        layers, scales, before = [], [], len(chosen)
        for d in widths:
            if small:
                scales.append(source.real(32))
            W = [source.signed(8) if small else source.real(32) for _ in range(d * before)]
            b = [source.real(16 if small and (layers or not wide) else 32) for _ in range(d)]
            layers.append((np.array(W).reshape(d, before), np.array(b)))
            before = d
        return cls(columns, classes, chosen, layers, scales if small else None, exponents, wide)


def write_integers(out: Writer, values: np.ndarray) -> None:
    """Write integers: the least one, the width of the others counted from it, and those."""
    if len(values) == 0:
        return
    low, width = int(values.min()), width_of(int(values.max() - values.min()) + 1)
    out.unsigned(low < 0, 1)
    out.count(abs(low))
    out.count(width)
    for value in values:
        out.unsigned(int(value) - low, width)


def read_integers(data: Reader, number: int) -> np.ndarray:
    """Read as `write_integers`."""
    if number == 0:
        return np.zeros(0, dtype=np.int64)
    sign = -1 if data.unsigned(1) else 1
    low, width = sign * data.count(), data.count()
    return np.array([low + data.unsigned(width) for _ in range(number)], dtype=np.int64)


# binarized networks


@dataclass(frozen=True, eq=False)
class Front:
    """The integers that a binarized network sees: bits ``x > t``, or grids of powers of two.

    Attributes
    ----------
    chosen : ndarray of shape (k,)
        The features, ascending; a feature with several thresholds is repeated.
    threshold : ndarray of shape (k,) or None
        Of bits.
    bits : int
        Of grids; columns of integers with no more bits are taken as they are, counted from their least value.
    exponent, offset : ndarray of shape (k,) or None
        The input is ``clip(rint(x / 2**exponent) - offset, 0, 2**bits - 1)``; both 0 for columns taken as they are.
    """

    chosen: np.ndarray
    threshold: np.ndarray | None = None
    width: int = 16
    bits: int = 1
    exponent: np.ndarray | None = None
    offset: np.ndarray | None = None

    @classmethod
    def of_bits(cls, feature: np.ndarray, threshold: np.ndarray, columns: Columns, width: int = 16) -> Front:
        """Return different bits, sorted."""
        stored = storable(threshold, feature, columns, width)
        pairs = sorted(set(zip(feature.tolist(), stored.tolist(), strict=True)))
        return cls(np.array([f for f, _ in pairs], dtype=int), np.array([t for _, t in pairs]), width)

    @classmethod
    def of_grid(cls, chosen: np.ndarray, X: np.ndarray, columns: Columns, bits: int) -> Front:
        """Return grids that span the values of the features in X, without the outer hundredth at both ends."""
        chosen = np.sort(chosen)
        values = X[:, chosen]
        low, high = np.quantile(values, 0.01, axis=0), np.quantile(values, 0.99, axis=0)
        flat = high <= low
        low, high = np.where(flat, values.min(axis=0), low), np.where(flat, values.max(axis=0), high)
        span = np.maximum(high - low, 1e-9)
        exponent = np.ceil(np.log2(span / (2**bits - 1))).astype(int)
        offset = np.rint(low / 2.0**exponent).astype(np.int64)
        direct = _direct(chosen, columns, bits)
        return cls(chosen, None, 16, bits, np.where(direct, 0, exponent), np.where(direct, 0, offset))

    def integers(self, X: np.ndarray, columns: Columns) -> np.ndarray:
        """Return what the network sees of X."""
        values = X[:, self.chosen]
        if self.threshold is not None:
            return (values > self.threshold).astype(float)
        grid = np.clip(np.rint(values / 2.0**self.exponent) - self.offset, 0, 2.0**self.bits - 1)
        return np.where(_direct(self.chosen, columns, self.bits), values - columns.low[self.chosen], grid)

    def write(self, out: Writer, columns: Columns) -> None:
        """Write selection, and thresholds or quantisers."""
        out.unsigned(self.threshold is not None, 1)
        write_selection(out, self.chosen, len(columns))
        if self.threshold is not None:
            out.unsigned(self.width == 32, 1)
            for feature, value in zip(self.chosen, self.threshold, strict=True):
                write_threshold(out, value, int(feature), columns, self.width)
            return
        out.count(self.bits - 1)
        quantised = ~_direct(self.chosen, columns, self.bits)
        write_integers(out, self.exponent[quantised])
        write_integers(out, self.offset[quantised])

    @classmethod
    def read(cls, data: Reader, columns: Columns) -> Front:
        """Read as `write`."""
        has_bits = bool(data.unsigned(1))
        chosen = read_selection(data, len(columns))
        if has_bits:
            width = 32 if data.unsigned(1) else 16
            return cls(chosen, np.array([read_threshold(data, int(f), columns, width) for f in chosen]), width)
        bits = data.count() + 1
        quantised = ~_direct(chosen, columns, bits)
        exponent, offset = np.zeros((2, len(chosen)), dtype=np.int64)
        exponent[quantised] = read_integers(data, int(quantised.sum()))
        offset[quantised] = read_integers(data, int(quantised.sum()))
        return cls(chosen, None, 16, bits, exponent, offset)


def _direct(chosen: np.ndarray, columns: Columns, bits: int) -> np.ndarray:
    return (columns.bits[chosen] > 0) & (columns.bits[chosen] <= bits)


@dataclass(frozen=True, eq=False)
class Binarized(Packed):
    """A network of integers behind a front."""

    front: Front
    network: Network

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        return self.network.predict(self.front.integers(X, self.columns))

    def without_idle_inputs(self) -> Binarized:
        """Return the same model without inputs of weight 0 and hidden neurons that no later weight uses."""
        layers = [(W.copy(), b.copy()) for W, b in self.network.layers]
        for k in range(len(layers) - 1, 0, -1):
            used = np.any(layers[k][0] != 0, axis=0)
            used[0] |= not used.any()
            layers[k] = (layers[k][0][:, used], layers[k][1])
            layers[k - 1] = (layers[k - 1][0][used], layers[k - 1][1][used])
        used = np.any(layers[0][0] != 0, axis=0)
        used[0] |= not used.any()
        layers[0] = (layers[0][0][:, used], layers[0][1])
        front = self.front
        parts = {
            name: getattr(front, name)[used]
            for name in ("chosen", "threshold", "exponent", "offset")
            if getattr(front, name) is not None
        }
        front = Front(**parts, width=front.width, bits=front.bits)
        network = Network(layers, head=self.network.head, classes=self.network.classes)
        return Binarized(self.columns, self.classes, front, network)

    def write(self, out: Writer) -> None:
        """Write front, head, widths, and layer after layer: largest weight, weights, biases.

        Weights are digits to the base 2 P + 1, or one bit for each that says whether it is 0, and the others to the
        base 2 P, whichever is shorter.
        """
        self.front.write(out, self.columns)
        out.unsigned(self.network.head == "argmax", 1)
        out.count(len(self.network.layers) - 1)
        for W, _ in self.network.layers[:-1]:
            out.count(len(W) - 1)
        for W, b in self.network.layers:
            flat = W.ravel()
            P = max(int(np.abs(flat).max(initial=0)), 1)
            out.count(P - 1)
            filled = flat[flat != 0]
            sparse = len(flat) + len(filled) * log2(2 * P) < len(flat) * log2(2 * P + 1)
            out.unsigned(sparse, 1)
            if sparse:
                out.digits(flat != 0, 2)
                out.digits(np.where(filled > 0, filled + P - 1, filled + P), 2 * P)
            else:
                out.digits(flat + P, 2 * P + 1)
            write_integers(out, b)

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Binarized:
        """Return the model of these bytes."""
        source = Reader(data)
        front = Front.read(source, columns)
        head = "argmax" if source.unsigned(1) else "threshold"
        widths = [source.count() + 1 for _ in range(source.count())]
        widths.append(1 if head == "threshold" and classes == 2 else classes)
        layers, before = [], len(front.chosen)
        for d in widths:
            P = source.count() + 1
            if source.unsigned(1):
                flat = source.digits(d * before, 2)
                filled = source.digits(int(flat.sum()), 2 * P)
                flat[flat != 0] = np.where(filled >= P, filled - P + 1, filled - P)
            else:
                flat = source.digits(d * before, 2 * P + 1) - P
            layers.append((flat.reshape(d, before), read_integers(source, d)))
            before = d
        return cls(columns, classes, front, Network(layers, head=head, classes=np.arange(classes)))
