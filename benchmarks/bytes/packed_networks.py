"""Binarized networks as bytes: the integers they see, and packed integer weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
from bitstream import Reader, Writer
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
