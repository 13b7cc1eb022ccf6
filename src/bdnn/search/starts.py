"""A smooth start for the search: stochastic gradients through the thresholds.

Thresholds pass gradients where the pre-activation is at most 1 in absolute value (the straight-through estimator of
Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma and J. Ba,
arXiv:1412.6980). It is a start only: exact line search takes over from its best epoch. Steps run in the compiled core
without Python's lock, so that several searches do not wait for each other; products of matrices go to SciPy's BLAS.
With integers, steps evaluate rounded weights and move the real ones behind them (M. Courbariaux, Y. Bengio and
J.-P. David, BinaryConnect, NeurIPS 2015, arXiv:1511.00363).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg  # noqa: F401  # its BLAS is that of the kernels, and must be loaded before threads are limited

from bdnn._native.search import StraightThrough
from bdnn.clock import reading
from bdnn.network.losses import Loss

if TYPE_CHECKING:
    from bdnn.types import Floats, Integers, Singles

# seconds of a slice, and steps of the first one, which measures them
_SLICE, _FIRST_STEPS = 0.05, 8
# neighbors that stay together in a shuffle, a cache line or more, in tables of at least this many steps
_GROUP, _MANY_STEPS = 8, 16
# points whose combination a neuron of integers starts from
_MAX_COMBINED = 1000
# root mean square of the weights of a start of integers: small, so that steps soon change what neurons decide
_INTEGER_SPREAD = 0.1


class Surrogate:
    """A network in single precision and the state of its training.

    Parameters
    ----------
    Z : ndarray of shape (m, n), float32
        Standardized points. Groups of neighbors stay together, which saves most of the time that memory takes: where
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
        Largest absolute value of integer weights; 0 for real weights. With integers, steps evaluate rounded
        weights: of a grid whose step is 1.4 times the mean absolute weight for P = 1, which drops weights below 0.7
        times the mean, and finer for a larger bound P; and the first layer starts from random combinations of points,
        since nothing would move weights away from directions in which the points do not differ.

    Attributes
    ----------
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Weights and biases: views of one vector, `values`.
    """

    def __init__(
        self, Z: Singles, class_weight: Singles, widths: Sequence[int], argmax: bool, rng: np.random.Generator,
        bound: int = 0,
    ) -> None:  # fmt: skip
        self._Z, self._rng = np.ascontiguousarray(Z), rng
        loss = Loss("argmax" if argmax else "threshold", class_weight.shape[1])
        target = np.ascontiguousarray(loss.wanted(class_weight))
        self._training = StraightThrough(
            self._Z, target, class_weight.sum(axis=1), list(widths), bool(argmax), int(bound)
        )  # fmt: skip
        self.values: Singles = self._training.values
        inputs = [Z.shape[1], *widths[:-1]]
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
                    points = self._Z[rng.permutation(len(Z))[:_MAX_COMBINED]]
                    W[:] = rng.normal(size=(d, len(points))) @ points / math.sqrt(max(len(points), 1))
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
            count = int(_SLICE / self._seconds_of_step) if self._seconds_of_step else _FIRST_STEPS
            until = min(len(order), at + batch * max(1, count))
            began, before = reading(), self._steps
            self._steps = self._training.steps(order[at:until], batch, rate)
            self._seconds_of_step = max(1e-7, (reading() - began) / (self._steps - before))
            at = until
            yield

    def loss(self) -> float:
        """Return the total weight of the wrong outputs (wrong points if outputs compete)."""
        return self._training.loss()

    def integers(self) -> list[tuple[Floats, Floats]]:
        """Return integer weights and real biases of each layer, in units of these weights, as doubles."""
        used, factor = (a.astype(np.float64) for a in self._training.rounded())
        layers, at, neuron = [], 0, 0
        for W, b in self.layers:
            f = factor[neuron : neuron + len(b)]
            weights = used[at : at + W.size].reshape(W.shape) / f[:, None]
            layers.append((np.rint(weights), used[at + W.size : at + W.size + len(b)] / f))
            at, neuron = at + W.size + len(b), neuron + len(b)
        return layers


def shuffled(rng: np.random.Generator, m: int, batch: int) -> Integers:
    """Return 0, ..., m - 1 in random order; of many points, small groups stay together."""
    group = _GROUP if m >= _MANY_STEPS * batch else 1
    starts = rng.permutation((m + group - 1) // group) * group
    order = (starts[:, None] + np.arange(group)).ravel()
    return order[order < m] if m % group else order
