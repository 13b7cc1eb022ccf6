"""A smooth start for the robust search: stochastic gradients of what neurons do on the whole ball.

Signals are pairs of lower and upper activations, propagated as in `bdnn.network.intervals`; the loss is that of the
worst outputs (S. Gowal et al., arXiv:1810.12715, for real-valued networks). Thresholds pass gradients where the
pre-activation is small (Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma
and J. Ba, arXiv:1412.6980), and the radius grows from 0, since at the whole radius every neuron is unstable at first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from bdnn.clock import reading
from bdnn.network.losses import Loss
from bdnn.search.starts import shuffled
from bdnn.types import Floats, Singles

# pre-activations up to which thresholds pass gradients: wider than the 1 of the plain surrogate
_WINDOW = 3.0
# share of the training during which the radius grows
_GROWING = 0.5
# seconds between looks at the clock
_SLICE = 0.05
# points evaluated at a time, for little memory
_ROWS = 4096
# rates of Adam, as its paper recommends
_KEEP = (np.float32(0.9), np.float32(0.999))
# largest exponent: its exponential still fits into single precision
_MAX_EXPONENT = np.float32(60.0)

Signals = list[tuple[Singles, Singles]]


class RobustSurrogate:
    """A network in single precision and the state of its training.

    Parameters
    ----------
    Z : ndarray of shape (m, n), float32
        Centered points.
    radius : ndarray of shape (n,)
        Of the features of Z.
    norm : {"inf", "1", "2"}
        Of the ball.
    class_weight : ndarray of shape (m, C), float32
        Weight of each label at each point, 1 a point on average.
    widths : sequence of int
        Neurons of each layer, outputs included.
    argmax : bool
        Whether outputs compete.
    rng : numpy.random.Generator
        Initial weights and the order of the points.

    Attributes
    ----------
    layers : list of (ndarray of shape (d, d_in), ndarray of shape (d,))
        Weights and biases.
    """

    def __init__(
        self,
        Z: Singles,
        radius: Floats,
        norm: str,
        class_weight: Singles,
        widths: Sequence[int],
        argmax: bool,
        rng: np.random.Generator,
    ) -> None:
        self._Z, self._radius, self._norm = Z, radius.astype(np.float32), norm
        self._weight, self._argmax, self._rng = class_weight, argmax, rng
        self.layers: list[tuple[Singles, Singles]] = []
        for d, n in zip(widths, [Z.shape[1], *widths[:-1]], strict=True):
            side = 1 / math.sqrt(max(n, 1))
            W = rng.uniform(-side, side, (d, n)).astype(np.float32)
            self.layers.append((W, rng.uniform(-side, side, d).astype(np.float32)))
        self._values = [a for layer in self.layers for a in layer]
        self._first = [np.zeros_like(a) for a in self._values]
        self._second = [np.zeros_like(a) for a in self._values]
        self._steps = 0

    def train(self, epochs: int, rate: float, batch: int, seconds: float) -> Iterator[None]:
        """Train while the radius grows, and leave the network of least loss at the whole radius.

        Parameters
        ----------
        epochs : int
            Passes over the points.
        rate : float
            Learning rate at the start.
        batch : int
            Points a step.
        seconds : float
            Time after which it ends earlier.

        Yields
        ------
        None
            Every few hundredths of a second.
        """
        began = last = reading()
        best, kept = math.inf, [a.copy() for a in self._values]
        try:
            for number in range(epochs):
                order = shuffled(self._rng, len(self._Z), batch)
                for at in range(0, len(order), batch):
                    now = reading()
                    done = max((number + at / len(order)) / epochs, (now - began) / seconds)
                    if done >= 1.0:
                        break
                    self._step(order[at : at + batch], min(1.0, done / _GROWING), rate * (1.0 - done) + rate / 100)
                    if now - last > _SLICE:
                        last = now
                        yield
                if done >= _GROWING:
                    loss = self.loss()
                    yield
                    if loss < best:
                        best, kept = loss, [a.copy() for a in self._values]
                if done >= 1.0:
                    break
        finally:  # also if the caller stops here
            if best < math.inf:
                for a, b in zip(self._values, kept, strict=True):
                    a[:] = b

    def loss(self) -> float:
        """Return the total weight of the outputs (points, if outputs compete) that are not surely right."""
        total = 0.0
        for start in range(0, len(self._Z), _ROWS):
            sums, _ = self._forward(self._Z[start : start + _ROWS], 1.0)
            low, high = sums[-1]
            weight = self._weight[start : start + _ROWS]
            if self._argmax:
                for c in range(weight.shape[1]):
                    others = np.delete(high, c, axis=1).max(axis=1)
                    total += float(weight[low[:, c] <= others, c].sum())
            else:
                fire, rest = self._targets(weight)
                total += float(fire[low < 0].sum() + rest[high >= 0].sum())
        return total

    def _targets(self, weight: Singles) -> tuple[Singles, Singles]:
        """Return the weights for firing and for not firing of each output."""
        fire = Loss("threshold", weight.shape[1]).wanted(weight)
        return fire, weight.sum(axis=1, keepdims=True) - fire

    def _reach(self, W: Singles) -> tuple[Singles, Singles]:
        """Return how far the ball moves each neuron of the first layer, and the gradient with respect to W."""
        size = W * self._radius
        if self._norm == "inf":
            return np.abs(size).sum(axis=1), self._radius * np.sign(W)
        if self._norm == "2":
            reach = np.linalg.norm(size, axis=1)
            return reach, self._radius * size / np.maximum(reach, np.float32(1e-20))[:, None]
        far = np.abs(size).argmax(axis=1)
        slope = np.zeros_like(W)
        rows = np.arange(len(W))
        slope[rows, far] = self._radius[far] * np.sign(W[rows, far])
        return np.abs(size[rows, far]), slope

    def _forward(self, Z: Singles, share: float) -> tuple[Signals, Signals]:
        """Return lower and upper pre-activations of each layer, and the signals between."""
        W, b = self.layers[0]
        a, reach = Z @ W.T + b, np.float32(share) * self._reach(W)[0]
        sums, signals = [(a - reach, a + reach)], list[tuple[Singles, Singles]]()
        for W, b in self.layers[1:]:
            low, high = ((side >= 0).astype(np.float32) for side in sums[-1])
            signals.append((low, high))
            up, down = np.maximum(W, 0), np.minimum(W, 0)
            sums.append((low @ up.T + high @ down.T + b, high @ up.T + low @ down.T + b))
        return sums, signals

    def _step(self, rows: np.ndarray, share: float, rate: float) -> None:
        Z = self._Z[rows]
        sums, signals = self._forward(Z, share)
        low, high = self._slopes(*sums[-1], self._weight[rows])
        gradients: list[Singles] = []
        for k in range(len(self.layers) - 1, 0, -1):
            W = self.layers[k][0]
            below, above = signals[k - 1]
            G = np.where(W > 0, low.T @ below + high.T @ above, low.T @ above + high.T @ below)
            gradients[:0] = [G, low.sum(axis=0) + high.sum(axis=0)]
            up, down = np.maximum(W, 0), np.minimum(W, 0)
            low, high = low @ up + high @ down, low @ down + high @ up
            low = low * (np.abs(sums[k - 1][0]) <= _WINDOW)
            high = high * (np.abs(sums[k - 1][1]) <= _WINDOW)
        both = low + high
        spread = np.float32(share) * (high - low).sum(axis=0)
        gradients[:0] = [both.T @ Z + spread[:, None] * self._reach(self.layers[0][0])[1], both.sum(axis=0)]
        self._steps += 1
        keep_1, keep_2 = _KEEP
        length, scale = np.float32(rate / (1 - 0.9**self._steps)), np.float32(1 / (1 - 0.999**self._steps))
        for value, g, first, second in zip(self._values, gradients, self._first, self._second, strict=True):
            first += (1 - keep_1) * (g - first)
            second += (1 - keep_2) * (g * g - second)
            value -= length * first / (np.sqrt(scale * second) + np.float32(1e-8))

    def _slopes(self, low: Singles, high: Singles, weight: Singles) -> tuple[Singles, Singles]:
        """Return the gradient of the mean loss by the lower and the upper outputs."""
        share = np.float32(1.0 / len(low))
        if not self._argmax:
            fire, rest = self._targets(weight)
            return (
                -share * fire / (1 + np.exp(np.clip(low, -_MAX_EXPONENT, _MAX_EXPONENT))),
                share * rest / (1 + np.exp(np.clip(-high, -_MAX_EXPONENT, _MAX_EXPONENT))),
            )
        below, above = np.zeros_like(low), np.zeros_like(high)
        for c in np.flatnonzero(weight.any(axis=0)):
            rows = np.flatnonzero(weight[:, c])
            worst = high[rows]
            worst[:, c] = low[rows, c]
            part = np.exp(worst - worst.max(axis=1, keepdims=True))
            part *= share * weight[rows, c, None] / part.sum(axis=1, keepdims=True)
            below[rows, c] += part[:, c] - share * weight[rows, c]
            part[:, c] = 0.0
            above[rows] += part
        return below, above
