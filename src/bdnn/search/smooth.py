"""Smooth starts of a search: points made ready for a surrogate, its training, and the layers that come of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.clock import reading
from bdnn.network.network import Layer
from bdnn.search.starts import Surrogate

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.search.kernels import State
    from bdnn.types import Floats, Singles

# points of a sample, to bound the time and memory of a start; line search looks at all of them anyway
_MAX_ROWS = 200_000
# gradient steps and epochs: they bound the time of a start, which line search goes on from
_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 4000, 8, 300
# points of a step, and of a small step, which tables of few points get
_BATCH, _SMALL_BATCH, _FEW_POINTS = 256, 64, 1000
# learning rate at the start and at the end
_RATE, _LAST_RATE = 0.01, 1e-4
# networks of integers may train for more epochs, by a factor and up to a number, within a share of the time
_LONGER, _MAX_LONGER, _LONGER_SHARE = 5, 100, 0.4
# features from which on networks of integers are rounded in training, see `_rounds_in_training`
_MANY_FEATURES = 8
# ratio of the quartiles of the features' scales up to which these count as alike
_ALIKE = 100.0
# points beyond which thresholds are sharper, by a power of their number, and the largest factor
_SHARP_POINTS, _SHARPER, _SHARPEST = 4000, 0.35, 3.0
# rows that are copied to double precision at a time, and rows of a matrix of products
_BLOCK, _MAX_COMPARED = 4096, 1000
# seconds for each product of the first layer when a network is taken over: an estimate, to end in time
_SECONDS_PER_PRODUCT = 1.5e-9
# the smallest total weight that is scaled to the number of points
_TINY = 1e-300


class Sample(NamedTuple):
    """Points by row of mean 0 and variance near 1.

    Attributes
    ----------
    Z : ndarray of shape (m, n), float32
        Standardized points.
    weight : ndarray of shape (m, C), float32
        Of labels, 1 a point on average.
    mean : ndarray of shape (n,)
        What was subtracted.
    """

    Z: Singles
    weight: Singles
    mean: Floats

    @classmethod
    def of(cls, state: State, rng: np.random.Generator, scale: Floats) -> Sample:
        """Return a random sample of the points of a state, each feature multiplied by its scale.

        A value can be as many standard deviations from the mean as the square root of the number of rows. What is
        further away in units of the features, which then are those of the other values, is brought to that distance,
        and the median takes the place of the mean.
        """
        rows = rng.permutation(state.X.shape[1])[:_MAX_ROWS]
        m, n = len(rows), state.X.shape[0]
        mean = np.array([column[rows].mean(dtype=np.float64) for column in state.X]) if n else np.zeros(0)
        Z = np.empty((m, n), dtype=np.float32)
        for start in range(0, m, _BLOCK):  # little memory beyond Z
            block = slice(start, start + _BLOCK)
            Z[block] = ((state.X[:, rows[block]].astype(np.float64) - mean[:, None]) * scale[:, None]).T
        far = np.float32(2.0 * math.sqrt(max(m, 1)))
        largest = np.maximum(Z.max(axis=0, initial=0.0), -Z.min(axis=0, initial=0.0))
        for j in np.flatnonzero(largest > far).tolist():
            column = state.X[j, rows].astype(np.float64)
            mean[j] = np.median(column)
            Z[:, j] = np.clip((column - mean[j]) * scale[j], -far, far)
        weight = state.class_weight[rows].astype(np.float32)
        weight *= np.float32(m / max(float(weight.sum(dtype=np.float64)), _TINY))
        return cls(Z, weight, mean)

    @property
    def schedule(self) -> tuple[int, int]:
        """Points of a step, and epochs."""
        m = len(self.Z)
        batch = _BATCH if m >= _FEW_POINTS else _SMALL_BATCH
        return batch, int(np.clip(_STEPS * batch / m, _MIN_EPOCHS, _MAX_EPOCHS))

    def raw_layers(self, layers: list[tuple[Singles, Singles]], scale: Floats) -> list[Layer]:
        """Return layers on standardized points, of these scales, as layers on raw ones."""
        raw = [Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in layers]
        first = raw[0].weights * scale
        raw[0] = Layer(first, raw[0].bias - first @ self.mean)
        return raw


class SmoothStart:
    """The training of a surrogate, whose best epoch is a start.

    Parameters
    ----------
    state : State
        What is searched.
    rng : numpy.random.Generator
        Of its random choices.
    longer : int
        Factor of the number of epochs.
    """

    def __init__(self, state: State, rng: np.random.Generator, longer: int = 1) -> None:
        self._state, self._rounds, self._longer = state, _rounds_in_training(state), longer
        self._scale = _shared_scale(state.unit) if self._rounds else state.unit
        self._sample = sample = Sample.of(state, rng, self._scale)
        self._spread = 1.0
        if self._rounds:
            self._spread = shared_spread(sample.Z)
            sample.Z[:] /= np.float32(self._spread)
        bound = state.bound if self._rounds else 0
        self._network = Surrogate(sample.Z, sample.weight, state.width.tolist(), bool(state.argmax), rng, bound)
        self._best, self._saved = math.inf, self._network.values.copy()

    def train(self, budget: Budget) -> Iterator[None]:
        """Train until the epochs or the time are over; yields every few hundredths of a second."""
        network, (batch, epochs) = self._network, self._sample.schedule
        epochs *= self._longer
        n, p = self._state.X.shape
        longest = epochs
        if self._rounds and budget.rounds is None:
            longest = max(epochs, min(_LONGER * epochs, _MAX_LONGER))
        # seconds of a slice, of judging the network, and of taking it over
        slice_, judging, taking = 0.0, 0.0, _SECONDS_PER_PRODUCT * n * p * int(self._state.width[0])
        late, number = False, -1
        while (number := number + 1) < epochs:
            first = began = reading()
            for _ in network.slices(_RATE * (1 - number / epochs) + _LAST_RATE, batch):
                slice_ = max(slice_, reading() - began)
                late = budget.remaining < 3 * slice_ + 2 * judging + taking
                if late:
                    break
                yield
                began = reading()
            if number == 0 and longest > epochs:
                # where many points allow few epochs, integers gain from more
                each = reading() - first
                epochs = int(np.clip(_LONGER_SHARE * budget.remaining / each, epochs, longest))
            if number >= epochs // 2 or number % 4 == 3 or late:
                began = reading()
                self._judge()
                judging = max(judging, reading() - began)
            if (self._best == 0.0 and not self._rounds) or late:
                break

    def _judge(self) -> None:
        """Keep the network if it is the best epoch so far."""
        loss = self._network.loss()
        # rounded networks go on: later ones have wider margins
        if loss < self._best or (loss == self._best and self._rounds):
            self._best, self._saved = loss, self._network.values.copy()

    def layers(self) -> list[Layer]:
        """Return the layers of the best epoch so far, on raw points."""
        self._network.values[:] = self._saved
        if self._rounds:
            return self._of_integers()
        layers = self._sample.raw_layers(self._network.layers, self._scale)
        return [self._rounded(layer) for layer in layers] if self._state.bound else layers

    def _rounded(self, layer: Layer) -> Layer:
        """Scale every neuron to the largest integer weights and round."""
        size = np.abs(layer.weights).max(axis=1, initial=0.0)
        factor = np.where(size > 0, self._state.bound / np.where(size > 0, size, 1.0), 1.0)
        return Layer(np.rint(layer.weights * factor[:, None]), np.rint(layer.bias * factor))

    def _of_integers(self) -> list[Layer]:
        """Return the layers of a surrogate of integers with integer biases: the same, but for ties of the argmax."""
        layers = [Layer(W, b) for W, b in self._network.integers()]
        W, b = layers[0]
        layers[0] = Layer(W, b / (self._scale / self._spread)[0] - W @ self._sample.mean)
        return [
            # an integer sum is >= a threshold if it is >= the next integer
            Layer(W, np.rint(b) if self._state.argmax and k == len(layers) - 1 else np.floor(b))
            for k, (W, b) in enumerate(layers)
        ]


def _rounds_in_training(state: State) -> bool:
    """Whether a start rounds before every step: integers act on raw features, so these must be of similar size.

    Otherwise features of large numbers would drown the others, and it is better to round afterward, which gives them
    no weight.
    """
    if not state.bound or len(state.unit) < _MANY_FEATURES:
        return False  # with few features line searches find the margins themselves, from more varied starts
    low, high = np.quantile(state.unit, [0.25, 0.75])
    return bool(high < _ALIKE * low)


def _shared_scale(scale: Floats) -> Floats:
    """Return the same scale for all features, as raw features have 1."""
    return np.full_like(scale, 1 / math.sqrt(np.mean(1 / scale**2)))


def shared_spread(Z: Singles) -> float:
    """Return half the spread of the sum that a random combination of points makes on the points, per unit of its size.

    Features of images, say, move together, so sums spread more widely than those of independent features, and the
    thresholds of a surrogate would pass few gradients. Few points want wide margins, which is what that gives; many
    points, which a network cannot learn by heart, are learned better where each threshold hears only of the points near
    it: the spread of more than 4,000 points is divided by a small power of their number.
    """
    part = Z[:_MAX_COMPARED].astype(np.float64)
    products = part @ part.T
    trace = float(np.trace(products))
    half = 0.5 * math.sqrt(float((products**2).sum()) / (len(part) * trace)) if trace > 0 else 1.0
    return half / float(np.clip((len(Z) / _SHARP_POINTS) ** _SHARPER, 1.0, _SHARPEST))
