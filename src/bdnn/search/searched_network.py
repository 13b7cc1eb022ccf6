"""The network of a search: weights and activations as a `State`, the best ones so far, and back to a `Network`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.network.network import Layer, Network
from bdnn.search import kernels
from bdnn.types import Floats

if TYPE_CHECKING:
    from bdnn.search.points import Points

# sizes of competing outputs beyond which they are scaled: far from where sums overflow or lose small terms
_LARGE, _SMALL = 1e6, 1e-6

Weights = tuple[Floats, Floats]
"""All weights and biases of a network, as in a `State`."""


class SearchedNetwork:
    """A network under search, and the best one so far.

    Parameters
    ----------
    points : Points
        What to train on.
    rng : numpy.random.Generator
        Seeds the kernels.

    Attributes
    ----------
    state : State
        Weights, and what neurons do on the points.
    total : float
        Loss of the network under search, on the points.
    best : float
        Least loss so far; `best_network` gives the network.
    """

    def __init__(self, points: Points, rng: np.random.Generator) -> None:
        problem = points.reduced.problem
        self.points, self._integer = points, problem.weights == "integer"
        self.state = kernels.new_state(
            points.X,
            problem.loss.label_costs(points.class_weight),
            points.center,
            points.unit,
            points.reach,
            problem.widths,
            problem.head == "argmax",
            problem.weight_bound if problem.weights == "integer" else 0,
            problem.fit_intercept,
            int(rng.integers(1, 2**62)),
        )
        limits = problem.limits
        self._signed = limits.signed
        if self._signed:
            self.state.sign[:] = 1  # above the first layer
            first = slice(0, int(self.state.w_from[1]))
            self.state.sign[first] = np.tile(limits.signs[points.reduced.kept], int(self.state.width[0]))
        self._inputs = np.concatenate([[points.X.shape[0]], self.state.width[:-1]]).astype(np.int64)
        self.total = self.best = math.inf
        self._saved: Weights = self.snapshot()

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return len(self.state.b)

    def load(self, network: Network) -> None:
        """Take over a network of the problem's class."""
        reduced = self.points.reduced
        left_out = np.setdiff1d(np.arange(network.n_features), reduced.kept)
        if np.any(network.layers[0].weights[:, left_out]):
            # these columns do not vary: their part goes to the bias
            reduced_layers = reduced.to_layers(network)
            assert reduced_layers is not None
            network = reduced.to_network(reduced_layers)
        layers = [Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in network.layers]
        self.set_layers([Layer(layers[0].weights[:, reduced.kept], layers[0].bias), *layers[1:]])

    def set_layers(self, layers: list[Layer]) -> None:
        """Take over layers on the used columns, weights with the wrong sign as 0; keep them if they are the best."""
        self.state.W[:] = np.concatenate([W.ravel() for W, _ in layers])
        self.state.b[:] = np.concatenate([b for _, b in layers])
        self._with_signs(slice(None))
        self.total = self._update(-1)
        self._keep_best()

    def _with_signs(self, at: slice) -> None:
        """Put weights with the wrong sign to 0."""
        if self._signed:
            W, sign = self.state.W[at], self.state.sign[at]
            W[W * sign < 0] = 0.0

    def _update(self, neuron: int) -> float:
        """Evaluate a neuron with new weights and return the change of the loss; for -1 all of them, and the loss."""
        return kernels.improve_neuron(self.state, neuron, 0, 0.0, 1)

    def _layer(self, neuron: int) -> tuple[int, int]:
        """Layer of a neuron and its row there."""
        k = int(np.searchsorted(self.state.b_from, neuron, side="right")) - 1
        return k, neuron - int(self.state.b_from[k])

    def _keep_best(self) -> None:
        """Keep the network under search if it is the best so far."""
        if self.total < self.best:
            self._saved = self.snapshot()
            self.best = self.total

    def best_network(self) -> Network:
        """Return the best network so far."""
        return self.network(self._saved)

    def network(self, weights: Weights | None = None) -> Network:
        """Return the network of some weights; by default, of those under search."""
        st, reduced = self.state, self.points.reduced
        W, b = (st.W, st.b) if weights is None else weights
        kind: type[np.int64] | type[np.float64] = np.int64 if self._integer else np.float64
        layers = []
        for k, (d, n_in) in enumerate(zip(st.width, self._inputs, strict=True)):
            rows = W[st.w_from[k] : st.w_from[k + 1]].reshape(d, n_in)
            if k == 0:
                full = np.zeros((d, len(reduced.center)))
                full[:, reduced.kept] = rows
                rows = full
            bias = b[st.b_from[k] : st.b_from[k + 1]]
            layers.append(Layer((rows + 0.0).astype(kind), (bias + 0.0).astype(kind)))
        problem = reduced.problem
        return Network(
            tuple(layers),
            head=problem.head,  # type: ignore[arg-type]  # 'auto' was resolved by Problem
            classes=problem.classes,
            grid=reduced.grid,
            feature_names=problem.feature_names,  # type: ignore[arg-type]  # a tuple since validation
        )

    def snapshot(self) -> Weights:
        """Return a copy of the weights under search."""
        return self.state.W.copy(), self.state.b.copy()

    def restore(self, saved: Weights) -> None:
        """Go back to other weights; only neurons that differ are evaluated again."""
        st, (W, b) = self.state, saved
        for neuron in range(self.n_neurons):
            at = self._weights_of(neuron)
            if st.b[neuron] != b[neuron] or not np.array_equal(st.W[at], W[at]):
                st.W[at], st.b[neuron] = W[at], b[neuron]
                self.total += self._update(neuron)

    def _weights_of(self, neuron: int) -> slice:
        k, row = self._layer(neuron)
        start = int(self.state.w_from[k] + row * self._inputs[k])
        return slice(start, start + int(self._inputs[k]))

    def _rescale_outputs(self) -> None:
        """Keep competing outputs, which no improvement of a neuron scales, within bounds: by a power of two."""
        st = self.state
        outputs = slice(int(st.w_from[-2]), int(st.w_from[-1]))
        size = float(np.abs(st.W[outputs]).max(initial=0.0))
        if self._integer or not st.argmax or not (size > _LARGE or 0 < size < _SMALL):
            return
        factor = 2.0 ** -math.floor(math.log2(size))
        st.W[outputs] *= factor
        st.b[st.b_from[-2] :] *= factor
        for neuron in range(int(st.b_from[-2]), self.n_neurons):
            self.total += self._update(neuron)
