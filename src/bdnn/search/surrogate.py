"""A smooth start for the search: stochastic gradients through the thresholds.

Thresholds pass gradients where the pre-activation is at most 1 in absolute value (the straight-through estimator of
Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma and J. Ba,
arXiv:1412.6980). It is a start only: exact line search takes over from its best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

# keeps the moments of weights without gradients above the denormal numbers, which are very slow
_NORMAL = np.float32(1e-25)
_BLOCK = 4096


class Surrogate:
    """A network in single precision and the state of its training.

    Parameters
    ----------
    Z : ndarray of shape (m, n), float32
        Standardised points.
    class_weight : ndarray of shape (m, C), float32
        Weight of each label at each point, 1 a point on average.
    widths : sequence of int
        Neurons of each layer, outputs included.
    argmax : bool
        Whether outputs compete (softmax); else each output is a logistic regression.
    rng : numpy.random.Generator
        Initial weights and the order of the points.

    Attributes
    ----------
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Weights and biases: views of one vector.
    """

    def __init__(
        self, Z: Singles, class_weight: Singles, widths: Sequence[int], argmax: bool, rng: np.random.Generator
    ) -> None:
        self._Z, self._class_weight, self._argmax, self._rng = Z, class_weight, argmax, rng
        self._target = class_weight if argmax or len(widths) == 0 or widths[-1] > 1 else class_weight[:, 1:]
        self._weight = class_weight.sum(axis=1, keepdims=True)
        inputs = [Z.shape[1], *widths[:-1]]
        size = sum(d * (n + 1) for d, n in zip(widths, inputs, strict=True))
        self.values = np.empty(size, dtype=np.float32)
        self._gradient = np.zeros_like(self.values)
        self._moments = np.zeros((2, size), dtype=np.float32)
        self._work = np.empty((2, size), dtype=np.float32)
        self._steps = 0
        self.layers, self._gradients = self._views(self.values, widths, inputs), []
        self._gradients = self._views(self._gradient, widths, inputs)
        for W, b in self.layers:
            bound = 1 / math.sqrt(max(W.shape[1], 1))
            W[:], b[:] = rng.uniform(-bound, bound, W.shape), rng.uniform(-bound, bound, b.shape)

    @staticmethod
    def _views(vector: Singles, widths: Sequence[int], inputs: Sequence[int]) -> list[tuple[Singles, Singles]]:
        views, at = [], 0
        for d, n in zip(widths, inputs, strict=True):
            views.append((vector[at : at + d * n].reshape(d, n), vector[at + d * n : at + d * (n + 1)]))
            at += d * (n + 1)
        return views

    def epoch(self, rate: float, batch: int) -> None:
        """Take one pass over the points in random order, so many a step."""
        order = self._rng.permutation(len(self._Z))
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            self._backward(self._Z[some], self._target[some], self._weight[some])
            self._step(np.float32(rate))

    def _backward(self, signal: Singles, target: Singles, weight: Singles) -> None:
        signals, sums = [signal], []
        for W, b in self.layers:
            a = signals[-1] @ W.T
            a += b
            sums.append(a)
            signals.append((a >= 0).astype(np.float32))
        out = sums[-1]
        if self._argmax:
            delta = np.exp(out - out.max(axis=1, keepdims=True))
            delta *= weight / delta.sum(axis=1, keepdims=True)
        else:
            delta = weight / (1 + np.exp(-np.clip(out, -60, 60)))
        delta -= target
        delta *= np.float32(1 / len(signal))
        for k in range(len(self.layers) - 1, -1, -1):
            np.matmul(delta.T, signals[k], out=self._gradients[k][0])
            np.sum(delta, axis=0, out=self._gradients[k][1])
            if k:
                delta = delta @ self.layers[k][0]
                delta *= np.abs(sums[k - 1]) <= 1

    def _step(self, rate: np.float32) -> None:
        """Take a step of Adam with its usual constants."""
        self._steps += 1
        g, (first, second), (one, two) = self._gradient, self._moments, self._work
        first *= np.float32(0.9)
        np.multiply(g, np.float32(0.1), out=one)
        one += _NORMAL
        first += one
        second *= np.float32(0.999)
        np.multiply(g, g, out=two)
        two *= np.float32(0.001)
        two += _NORMAL
        second += two
        np.multiply(second, np.float32(1 / (1 - 0.999**self._steps)), out=two)
        np.sqrt(two, out=two)
        two += np.float32(1e-8)
        np.divide(first, two, out=one)
        one *= np.float32(rate / (1 - 0.9**self._steps))
        self.values -= one

    def loss(self) -> float:
        """Return the total weight of the wrong outputs (wrong points if outputs compete)."""
        total = 0.0
        for start in range(0, len(self._Z), _BLOCK):
            block = slice(start, start + _BLOCK)
            signal: Any = self._Z[block]
            for W, b in self.layers[:-1]:
                signal = (signal @ W.T + b >= 0).astype(np.float32)
            W, b = self.layers[-1]
            out = signal @ W.T + b
            target, weight = self._target[block], self._weight[block]
            if self._argmax:
                right = np.take_along_axis(target, np.argmax(out, axis=1)[:, None], axis=1)
                total += float((weight - right).sum(dtype=np.float64))
            else:
                total += float(np.where(out >= 0, weight - target, target).sum(dtype=np.float64))
        return total
