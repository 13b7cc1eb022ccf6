"""Binarized networks as bytes: the integers they see, and packed integer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, log2
from typing import ClassVar

import numpy as np
from bitstream import Reader, Writer, width_of
from coding import (
    Packed,
    read_integers,
    read_selection,
    read_threshold,
    storable,
    write_integers,
    write_selection,
    write_threshold,
)
from sources import Columns

from bdnn import Network


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

    def only(self, used: np.ndarray) -> Front:
        """Return some of the inputs."""
        parts = {
            name: getattr(self, name)[used]
            for name in ("chosen", "threshold", "exponent", "offset")
            if getattr(self, name) is not None
        }
        return Front(**parts, width=self.width, bits=self.bits)

    def write(self, out: Writer, columns: Columns) -> None:
        """Write selection, and thresholds or quantizers."""
        out.unsigned(self.threshold is not None, 1)
        write_selection(out, self.chosen, len(columns))
        if self.threshold is not None:
            out.unsigned(self.width == 32, 1)
            for feature, value in zip(self.chosen, self.threshold, strict=True):
                write_threshold(out, value, int(feature), columns, self.width)
            return
        out.count(self.bits - 1)
        quantized = ~_direct(self.chosen, columns, self.bits)
        write_integers(out, self.exponent[quantized])
        write_integers(out, self.offset[quantized])

    @classmethod
    def read(cls, data: Reader, columns: Columns) -> Front:
        """Read as `write`."""
        has_bits = bool(data.unsigned(1))
        chosen = read_selection(data, len(columns))
        if has_bits:
            width = 32 if data.unsigned(1) else 16
            return cls(chosen, np.array([read_threshold(data, int(f), columns, width) for f in chosen]), width)
        bits = data.count() + 1
        quantized = ~_direct(chosen, columns, bits)
        exponent, offset = np.zeros((2, len(chosen)), dtype=np.int64)
        exponent[quantized] = read_integers(data, int(quantized.sum()))
        offset[quantized] = read_integers(data, int(quantized.sum()))
        return cls(chosen, None, 16, bits, exponent, offset)


def _direct(chosen: np.ndarray, columns: Columns, bits: int) -> np.ndarray:
    return (columns.bits[chosen] > 0) & (columns.bits[chosen] <= bits)


Condition = tuple[int, float, bool]
"""``x[feature] > threshold``, or not."""


@dataclass(frozen=True, eq=False)
class Rules:
    """Hidden neurons that fire if all of some conditions hold, as a front of a network's last layer.

    Attributes
    ----------
    bits : Front
        Thresholds.
    signs : ndarray of shape (rules, bits)
        1 where a rule needs a bit, -1 where it needs that the bit is not there, 0 where it does not matter. These are
        the weights of the neurons; their thresholds are the numbers of bits that they need.
    """

    bits: Front
    signs: np.ndarray

    @classmethod
    def of(cls, rules: Sequence[Sequence[Condition]], columns: Columns) -> Rules:
        """Return rules from their conditions, of storable thresholds."""
        feature, threshold = (np.array(each) for each in zip(*{c[:2] for rule in rules for c in rule}, strict=True))
        bits = Front.of_bits(feature, threshold, columns)
        place = {pair: k for k, pair in enumerate(zip(bits.chosen.tolist(), bits.threshold.tolist(), strict=True))}
        signs = np.zeros((len(rules), len(place)), dtype=np.int64)
        for row, rule in zip(signs, rules, strict=True):
            for feature, threshold, holds in rule:
                row[place[feature, threshold]] = 1 if holds else -1
        return cls(bits, signs)

    @property
    def bias(self) -> np.ndarray:
        """Biases of the neurons."""
        return -(self.signs > 0).sum(axis=1)

    def integers(self, X: np.ndarray, columns: Columns) -> np.ndarray:
        """Return which rules hold for the rows of X."""
        return (self.bits.integers(X, columns) @ self.signs.T.astype(float) + self.bias >= 0).astype(float)

    def only(self, used: np.ndarray) -> Rules:
        """Return some of the rules, without bits that only others need."""
        signs = self.signs[used]
        needed = np.any(signs != 0, axis=0)
        return Rules(self.bits.only(needed), signs[:, needed])

    def write(self, out: Writer, columns: Columns) -> None:
        """Write bits, the number of rules, and of each rule how many conditions, on which bits, and their signs.

        The bits of a rule are one number, their place among all choices of so many bits.
        """
        self.bits.write(out, columns)
        numbers = np.count_nonzero(self.signs, axis=1)
        out.count(len(self.signs) - 1)
        out.count(int(numbers.max()))
        for row, number in zip(self.signs, numbers, strict=True):
            chosen = np.flatnonzero(row)
            out.unsigned(int(number), width_of(int(numbers.max()) + 1))
            place = sum(comb(int(each), k) for k, each in enumerate(chosen, start=1))
            out.unsigned(place, width_of(comb(len(row), int(number))))
            for sign in row[chosen]:
                out.unsigned(sign > 0, 1)

    @classmethod
    def read(cls, data: Reader, columns: Columns) -> Rules:
        """Read as `write`."""
        bits = Front.read(data, columns)
        signs = np.zeros((data.count() + 1, len(bits.chosen)), dtype=np.int64)
        width = width_of(data.count() + 1)
        for row in signs:
            number = data.unsigned(width)
            place, below, chosen = data.unsigned(width_of(comb(len(row), number))), len(row), []
            for k in range(number, 0, -1):
                below = next(each for each in range(below - 1, -1, -1) if comb(each, k) <= place)
                place -= comb(below, k)
                chosen.append(below)
            for each in reversed(chosen):
                row[each] = 1 if data.unsigned(1) else -1
        return cls(bits, signs)


@dataclass(frozen=True, eq=False)
class Binarized(Packed):
    """A network of integers behind a front."""

    reader: ClassVar[type[Front] | type[Rules]] = Front

    front: Front | Rules
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
        network = Network(layers, head=self.network.head, classes=self.network.classes)
        return type(self)(self.columns, self.classes, self.front.only(used), network)

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
        front = cls.reader.read(source, columns)
        head = "argmax" if source.unsigned(1) else "threshold"
        widths = [source.count() + 1 for _ in range(source.count())]
        widths.append(1 if head == "threshold" and classes == 2 else classes)
        layers, before = [], len(front.chosen) if isinstance(front, Front) else len(front.signs)
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


@dataclass(frozen=True, eq=False)
class Ruled(Binarized):
    """A network of integers whose first hidden layer are rules; `network` is the rest of it."""

    reader: ClassVar[type[Front] | type[Rules]] = Rules

    @property
    def whole(self) -> Network:
        """The network behind the thresholds, with the rules as hidden neurons."""
        layers = [(self.front.signs, self.front.bias), *self.network.layers]
        return Network(layers, head=self.network.head, classes=self.network.classes)
