"""Logistic regression and ReLU networks as bytes, in floats of 32 bits or with weights of 8 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from bitstream import Reader, Writer
from coding import Packed, read_integers, read_selection, write_integers, write_selection
from sources import Columns


@dataclass(frozen=True, eq=False)
class Dense(Packed):
    """Layers of weighted sums with ReLU between them, none for logistic regression.

    Attributes
    ----------
    chosen : ndarray of shape (k,)
        The features that are used, ascending.
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Float32 weights and biases; of quantized ones integers of 8 bits, and biases of float16. The outputs are one for
        two classes, else one a class, or one a class but the last, whose output is 0.
    scales : list of float or None
        Of quantized layers: value of a weight's 1, float32.
    exponents : ndarray of shape (k,) or None
        Of quantized layers: inputs are multiplied by 2 to that power.
    wide : bool
        Of quantized layers: whether the biases of the first one are of float32.
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

    def centered(self) -> Dense:
        """Return the same model with an output for each of more than two classes, whose weights add up to 0."""
        if self.classes == 2:
            return self
        W, b = (np.concatenate([a, np.zeros_like(a[:1])]) for a in self.layers[-1])
        last = np.float32(W - W.mean(axis=0)).astype(float), np.float32(b - b.mean()).astype(float)
        return replace(self, layers=[*self.layers[:-1], last])

    def quantized(self, mean: np.ndarray, spread: np.ndarray, wide: bool) -> Dense:
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
