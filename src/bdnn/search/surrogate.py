"""A smooth start for the search: stochastic gradients through the thresholds.

Thresholds pass gradients where the pre-activation is at most 1 in absolute value (the straight-through estimator of
Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma and J. Ba,
arXiv:1412.6980). It is a start only: exact line search takes over from its best epoch. Steps are compiled and run
without Python's lock, so that several searches do not wait for each other; products of matrices go to BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import scipy.linalg  # noqa: F401  # its BLAS is that of the kernels, and must be loaded before threads are limited
from numpy.typing import NDArray

from bdnn.clock import reading
from bdnn.compilation import compiled
from bdnn.search.rounded import rounded

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

_SLICE = 0.05
_FIRST_STEPS = 8
_GROUP = 8
_BLOCK = 256
_MOST_COMBINED = 1000
_INTEGER_SPREAD = 0.1

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    # of any order of sums and products; infinities and what is not a number keep their meaning
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def _jit(function: F) -> F:
    kept: F = compiled(**_OPTIONS)(function)
    return kept


def _inner(function: F) -> F:
    kept: F = compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return kept


class Surrogate:
    """A network in single precision and the state of its training.

    Parameters
    ----------
    Z : ndarray of shape (m, n), float32
        Standardised points. Groups of neighbours stay together, which saves most of the time that memory takes: where
        there are many points, they should come in random order.
    class_weight : ndarray of shape (m, C), float32
        Weight of each label at each point, 1 a point on average.
    widths : sequence of int
        Neurons of each layer, outputs included.
    argmax : bool
        Whether outputs compete (softmax); else each output is a logistic regression.
    rng : numpy.random.Generator
        Initial weights and the order of the points.
    bound : int, default=0
        Largest absolute value of integer weights; 0 for real weights. With integers, steps evaluate rounded weights,
        see `bdnn.search.rounded`, and the first layer starts from random combinations of points, since nothing would
        move weights away from directions in which the points do not differ.

    Attributes
    ----------
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Weights and biases: views of one vector, `values`.
    """

    def __init__(
        self, Z: Singles, class_weight: Singles, widths: Sequence[int], argmax: bool, rng: np.random.Generator,
        bound: int = 0,
    ) -> None:  # fmt: skip
        self._Z, self._argmax, self._rng = np.ascontiguousarray(Z), bool(argmax), rng
        several = argmax or widths[-1] > 1
        self._target = np.ascontiguousarray(class_weight if several else class_weight[:, 1:])
        self._weight = class_weight.sum(axis=1)
        self._width = np.array(widths, dtype=np.int64)
        self._bound = bound
        inputs = [Z.shape[1], *widths[:-1]]
        size = sum(d * (n + 1) for d, n in zip(widths, inputs, strict=True))
        self.values = np.empty(size, dtype=Z.dtype)
        self._gradient = np.zeros_like(self.values)
        self._moments = np.zeros((2, size), dtype=Z.dtype)
        self._steps, self._seconds_of_step = 0, 0.0
        self.layers: list[tuple[Singles, Singles]] = []
        at = 0
        for d, n in zip(widths, inputs, strict=True):
            most = 1 / math.sqrt(max(n, 1))
            W, b = self.values[at : at + d * n].reshape(d, n), self.values[at + d * n : at + d * (n + 1)]
            W[:], b[:] = rng.uniform(-most, most, W.shape), rng.uniform(-most, most, b.shape)
            if bound:
                b[:] = 0.0
                if not self.layers:
                    some = self._Z[rng.permutation(len(Z))[:_MOST_COMBINED]]
                    W[:] = rng.normal(size=(d, len(some))) @ some / math.sqrt(max(len(some), 1))
            self.layers.append((W, b))
            at += d * (n + 1)
        for W, _ in self.layers if bound else ():
            W *= np.float32(_INTEGER_SPREAD / (math.sqrt(float((W * W).mean())) if W.any() else 1.0))

    def epoch(self, rate: float, batch: int) -> None:
        """Take one pass over the points in random order, so many a step."""
        for _ in self.slices(rate, batch):
            pass

    def slices(self, rate: float, batch: int) -> Iterator[None]:
        """As `epoch`; yields every few hundredths of a second."""
        order = shuffled(self._rng, len(self._Z), batch)
        at = 0
        while at < len(order):
            few = int(_SLICE / self._seconds_of_step) if self._seconds_of_step else _FIRST_STEPS
            until = min(len(order), at + batch * max(1, few))
            began, before = reading(), self._steps
            self._steps = steps(
                self._Z, self._target, self._weight, order[at:until], batch, self._width, self._argmax, self.values,
                self._gradient, self._moments, self._steps, rate, self._bound,
            )  # fmt: skip
            self._seconds_of_step = max(1e-7, (reading() - began) / (self._steps - before))
            at = until
            yield

    def loss(self) -> float:
        """Return the total weight of the wrong outputs (wrong points if outputs compete)."""
        values = self._rounded()[0] if self._bound else self.values
        return float(loss(self._Z, self._target, self._weight, self._width, self._argmax, values))

    def _rounded(self) -> tuple[Singles, Singles]:
        used: Singles = np.empty_like(self.values)
        factor: Singles = np.empty_like(self.values, shape=int(self._width.sum()))
        rounded(self.values, self._width, self._Z.shape[1], self._bound, self._argmax, used, factor)
        return used, factor

    def integers(self) -> list[tuple[Floats, Floats]]:
        """Return integer weights and real biases of each layer, in units of these weights, as doubles."""
        used, factor = (a.astype(np.float64) for a in self._rounded())
        layers, at, neuron = [], 0, 0
        for W, b in self.layers:
            f = factor[neuron : neuron + len(b)]
            weights = used[at : at + W.size].reshape(W.shape) / f[:, None]
            layers.append((np.rint(weights), used[at + W.size : at + W.size + len(b)] / f))
            at, neuron = at + W.size + len(b), neuron + len(b)
        return layers


def shuffled(rng: np.random.Generator, m: int, batch: int) -> NDArray[np.int64]:
    """Return 0, ..., m - 1 in random order; of many points, small groups stay together."""
    group = _GROUP if m >= 16 * batch else 1
    starts = rng.permutation((m + group - 1) // group) * group
    order = (starts[:, None] + np.arange(group)).ravel()
    return order[order < m] if m % group else order


@_inner
def _forward(points: Any, values: Any, width: Any, sums: Any, signals: Any) -> None:
    """Pre-activations and signals of all layers, one after the other, each of shape (d, m)."""
    m, n_in = points.shape
    at, to = 0, 0
    for k in range(width.shape[0]):
        d = width[k]
        W, b = values[at : at + d * n_in].reshape(d, n_in), values[at + d * n_in : at + d * (n_in + 1)]
        a = sums[to : to + d * m].reshape(d, m)
        if n_in == 0:
            a[:] = 0.0
        elif k == 0:
            np.dot(W, points.T, a)
        else:
            np.dot(W, signals[to - n_in * m : to].reshape(n_in, m), a)
        u = signals[to : to + d * m].reshape(d, m)
        for c in range(d):
            for r in range(m):
                a[c, r] += b[c]
                u[c, r] = a[c, r] >= 0.0
        at, to, n_in = at + d * (n_in + 1), to + d * m, d


@_inner
def _softmax(out: Any, target: Any, weight: Any, delta: Any, work: Any) -> None:
    """Gradient of the cross-entropy by the competing outputs, times the number of points."""
    d, m = out.shape
    for r in range(m):
        work[r] = out[0, r]
    for c in range(1, d):
        for r in range(m):
            work[r] = max(work[r], out[c, r])
    total = np.zeros_like(work)
    for c in range(d):
        for r in range(m):
            delta[c, r] = np.exp(out[c, r] - work[r])
            total[r] += delta[c, r]
    for r in range(m):
        total[r] = weight[r] / total[r]
    for c in range(d):
        for r in range(m):
            delta[c, r] = delta[c, r] * total[r] - target[c, r]


@_jit
def steps(
    Z: Any, class_weight: Any, weight: Any, order: Any, batch: int, width: Any, argmax: bool, values: Any,
    gradient: Any, moments: Any, taken: int, rate: float, bound: int,
) -> int:  # fmt: skip
    """Take a step of Adam, with its usual constants, for each batch of points.

    Parameters
    ----------
    Z : ndarray of shape (m, n), float32
        Points.
    class_weight : ndarray of shape (m, outputs), float32
        Weight for each output to fire.
    weight : ndarray of shape (m,), float32
        Weight of each point.
    order : ndarray of int64
        Points to go through.
    batch : int
        So many a step.
    width : ndarray of shape (K,), int64
        Neurons of each layer.
    argmax : bool
        Whether outputs compete.
    values, gradient : ndarray of shape (size,), float32
        Weights and biases of each layer, and work space.
    moments : ndarray of shape (2, size), float32
        Of Adam.
    taken : int
        Steps so far.
    rate : float
        Learning rate.
    bound : int
        Largest absolute value of integer weights; 0 for real weights.

    Returns
    -------
    int
        Steps so far.
    """
    n, size, layers = Z.shape[1], values.shape[0], width.shape[0]
    neurons, widest, d_out = width.sum(), width.max(), width[layers - 1]
    points = np.empty((batch, n), Z.dtype)
    target_of, weight_of = np.empty(batch * d_out, Z.dtype), np.empty(batch, Z.dtype)
    sums, signals = np.empty(batch * neurons, Z.dtype), np.empty(batch * neurons, Z.dtype)
    deltas, work = np.empty((2, batch * widest), Z.dtype), np.empty(batch, Z.dtype)
    # constants of the type of the values: doubles are slower
    zero, one, most, tiny = Z.dtype.type(0.0), Z.dtype.type(1.0), Z.dtype.type(60.0), Z.dtype.type(1e-8)
    keep_1, add_1, keep_2, add_2 = (
        Z.dtype.type(0.9), Z.dtype.type(0.1), Z.dtype.type(0.999), Z.dtype.type(0.001)
    )  # fmt: skip
    half = Z.dtype.type(0.5)
    # keeps the moments of weights without gradients above the denormal numbers, which are very slow
    normal = Z.dtype.type(1e-25)
    used = np.empty_like(values) if bound > 0 else values
    factor = np.empty(neurons, Z.dtype)
    for start in range(0, order.shape[0], batch):
        if bound > 0:
            rounded(values, width, n, bound, argmax, used, factor)
        m = min(batch, order.shape[0] - start)
        target = target_of[: d_out * m].reshape(d_out, m)
        for r in range(m):
            i = order[start + r]
            for j in range(n):
                points[r, j] = Z[i, j]
            for c in range(d_out):
                target[c, r] = class_weight[i, c]
            weight_of[r] = weight[i]
        _forward(points[:m], used, width, sums, signals)
        to, at, here = m * (neurons - d_out), size, 0
        out = sums[to : to + d_out * m].reshape(d_out, m)
        delta = deltas[0, : d_out * m].reshape(d_out, m)
        if argmax:
            _softmax(out, target, weight_of[:m], delta, work[:m])
        else:
            for c in range(d_out):
                for r in range(m):
                    x = max(-most, min(most, out[c, r]))
                    delta[c, r] = weight_of[r] / (one + np.exp(-x)) - target[c, r]
        share = one / Z.dtype.type(m)
        for c in range(d_out):
            for r in range(m):
                delta[c, r] *= share
        for k in range(layers - 1, -1, -1):
            d, n_in = width[k], width[k - 1] if k > 0 else n
            at -= d * (n_in + 1)
            delta = deltas[here, : d * m].reshape(d, m)
            G = gradient[at : at + d * n_in].reshape(d, n_in)
            for c in range(d):
                total = zero
                for r in range(m):
                    total += delta[c, r]
                gradient[at + d * n_in + c] = total
            if k == 0:
                if n > 0:
                    np.dot(delta, points[:m], G)
                continue
            to -= n_in * m
            np.dot(delta, signals[to : to + n_in * m].reshape(n_in, m).T, G)
            if bound > 0:  # of centred signals
                for c in range(d):
                    for j in range(n_in):
                        G[c, j] -= half * gradient[at + d * n_in + c]
            below = deltas[1 - here, : n_in * m].reshape(n_in, m)
            np.dot(used[at : at + d * n_in].reshape(d, n_in).T, delta, below)
            for c in range(n_in):
                for r in range(m):
                    below[c, r] = below[c, r] if abs(sums[to + c * m + r]) <= one else zero
            here = 1 - here
        taken += 1
        length, scale = Z.dtype.type(rate / (1 - 0.9**taken)), Z.dtype.type(1 / (1 - 0.999**taken))
        for i in range(size):
            g = gradient[i]
            first = keep_1 * moments[0, i] + (add_1 * g + normal)
            second = keep_2 * moments[1, i] + (add_2 * g * g + normal)
            moments[0, i], moments[1, i] = first, second
            values[i] -= length * first / (np.sqrt(scale * second) + tiny)
    return taken


@_jit
def loss(Z: Any, class_weight: Any, weight: Any, width: Any, argmax: bool, values: Any) -> float:
    """Return the weight of the wrong outputs, or of the wrong points if outputs compete; see `steps`."""
    neurons, d_out = width.sum(), width[width.shape[0] - 1]
    sums, signals = np.empty(_BLOCK * neurons, Z.dtype), np.empty(_BLOCK * neurons, Z.dtype)
    total = 0.0
    for start in range(0, Z.shape[0], _BLOCK):
        m = min(_BLOCK, Z.shape[0] - start)
        _forward(Z[start : start + m], values, width, sums, signals)
        to = m * (neurons - d_out)
        out = sums[to : to + d_out * m].reshape(d_out, m)
        for r in range(m):
            i = start + r
            best = 0
            for c in range(d_out):
                if argmax:
                    best = c if out[c, r] > out[best, r] else best
                elif out[c, r] >= 0.0:
                    total += weight[i] - class_weight[i, c]
                else:
                    total += class_weight[i, c]
            if argmax:
                total += weight[i] - class_weight[i, best]
    return total
