"""Lossless integers: small integer weights that decide every given point as given real weights do.

With the activations of the points fixed, layers and neurons are independent. The conditions on their weights, and how
the smallest largest weight is enclosed, are in docs/mathematics/polish.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.clock import reading
from bdnn.errors import InputError, RoundingError
from bdnn.margins.integer_scores import LARGEST_WEIGHT
from bdnn.margins.integer_search import IntegerSearch
from bdnn.margins.ordering import REFERENCE, OrderingConstraints
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.types import Array, Bools, Floats, Indices


@dataclass(frozen=True, eq=False, slots=True)
class Rounding:
    """Outcome of a search for small integer weights.

    Attributes
    ----------
    network : Network or None
        With integer weights and the same decisions on the data; None if there is none, or none was found.
    largest : tuple of int
        Largest absolute weight of each of its layers, empty without network.
    bounds : tuple of int
        For each layer a number that the largest absolute weight of no such layer is below.
    reason : str or None
        Why there is no network.
    """

    network: Network | None
    largest: tuple[int, ...]
    bounds: tuple[int, ...]
    reason: str | None = None

    @property
    def proven(self) -> bool:
        """Whether every layer's largest weight is the smallest one."""
        return self.network is not None and self.largest == self.bounds


def rounded(
    network: Network,
    X: Floats,
    *,
    grid: InputGrid | None = None,
    weight_bound: int | None = None,
    time_limit: float = 10.0,
    keep_signs: bool = False,
) -> Rounding:
    """Search for the integer network with the same decisions on X and the smallest largest weight per layer.

    Parameters
    ----------
    network : Network
        Any.
    X : ndarray of shape (m, n_features)
        At least one row; integers unless there is a grid.
    grid : InputGrid or None
        Quantization to put in front of the network; None for that of the network, or none.
    weight_bound : int or None
        Largest absolute weight that is accepted.
    time_limit : float
        Seconds for the search. Checks on all points are not interrupted.
    keep_signs : bool, default=False
        Whether weights keep their signs or become 0, and those that are 0 stay 0: limits on columns and signs of the
        training still hold then. Bounds are those of all weights.

    Returns
    -------
    Rounding
        All activations and the predicted classes on X are those of `network`, verified exactly. The largest weights
        are the smallest ones found, and the smallest ones there are only where the bound is met. Bounds come from
        multipliers of the linear program, checked in integer arithmetic for single neurons and up to a tolerance for
        outputs that are compared with each other, from enumeration, and from the mixed-integer solver's word.

    Notes
    -----
    Decisions are kept neuron by neuron: another integer network with other activations but the same predictions may
    have smaller weights. Layers and neurons are numbered from 1 in messages.
    """
    deadline = reading() + time_limit
    grid = grid if grid is not None else network.grid
    signals = [X if grid is None else grid.quantize(X), *(u.astype(np.float64) for u in network.activations(X))]
    fired = [u.astype(bool) for u in signals[1:]]
    predicted = network.predict_index(X)
    n_layers = len(network.layers)
    layers: list[_Layer] = []
    for k, (W, b) in enumerate(network.layers):
        if k == 0 and grid is not None and network.grid is None:
            W, b = W * grid.step, b + W @ grid.offset  # nearly the same scores, of grid integers
        layer = _Layer(k + 1, signals[k], np.asarray(W), np.asarray(b), network.is_integer, keep_signs)
        last = k == n_layers - 1
        winners = predicted if last and len(b) > 1 else None
        reason = layer.prepare(None if last and network.head == "argmax" else fired[k], winners, grid)
        if reason is not None:
            return Rounding(None, (), tuple(1 for _ in network.layers), reason)
        layers.append(layer)
    for left, layer in zip(range(n_layers, 0, -1), reversed(layers), strict=True):  # later layers are fast
        layer.search(reading() + max(deadline - reading(), 0.0) / left, weight_bound)
    bounds = tuple(layer.bound for layer in layers)
    for layer in layers:
        reason = layer.failure(weight_bound, grid)
        if reason is not None:
            return Rounding(None, (), bounds, reason)
    numbers = [layer.numbers() for layer in layers]
    for k, (_, bias) in enumerate(numbers, start=1):
        if any(abs(int(b)) > 2**53 for b in bias):
            return Rounding(None, (), bounds, f"layer {k}: biases exceed 2**53; shift or rescale the inputs")
    found = replace(network, layers=tuple(Layer(W, b) for W, b in numbers), grid=grid)
    largest = tuple(int(np.abs(W).max(initial=0)) for W, _ in found.layers)
    same = np.array_equal(found.predict_index(X), predicted) and all(
        np.array_equal(new, old) for new, old in zip(found.activations(X), fired, strict=True)
    )
    if not same:
        return Rounding(None, (), bounds, "the integers that were found do not survive the exact check of decisions")
    return Rounding(found, largest, bounds)


class _Layer:
    """One layer: its distinct inputs and the independent searches for its neurons."""

    def __init__(
        self, number: int, signal: Floats, weights: Array, bias: Array, is_integer: bool, keep_signs: bool
    ) -> None:
        self.keep_signs = keep_signs
        self.number, self.weights, self.bias, self.is_integer = number, weights, bias, is_integer
        small = signal.astype(_smallest_type(signal))
        _, self.rows, self.cell = np.unique(small, axis=0, return_index=True, return_inverse=True)
        self.cell = self.cell.ravel()
        points = signal[self.rows]
        self.kept = np.flatnonzero(points.max(axis=0, initial=-np.inf) > points.min(axis=0, initial=np.inf))
        self.center = np.sort(points, axis=0)[len(points) // 2]
        self.points = points[:, self.kept] - self.center[self.kept]
        self.searches: list[tuple[Indices, IntegerSearch]] = []
        self.largest_given = int(np.abs(weights).max(initial=0)) if is_integer else None

    def prepare(self, fired: Bools | None, winners: Indices | None, grid: InputGrid | None) -> str | None:
        """Set up the searches; return why there is no solution if equal inputs need different decisions."""
        cells = len(self.rows)
        for j, column in enumerate(fired.T if fired is not None else ()):
            on = np.bincount(self.cell, weights=column, minlength=cells)
            mixed = (on > 0) & (on < np.bincount(self.cell, minlength=cells))
            if np.any(mixed):
                return self._conflict(
                    f"neuron {j + 1}", mixed[self.cell].sum(), grid, "be on at some and off at others"
                )
        if winners is not None:
            mixed = np.zeros(cells, dtype=bool)
            mixed[self.cell[winners != winners[self.rows][self.cell]]] = True
            if np.any(mixed):
                what = "predict one class at some and another at others"
                return self._conflict("the output layer", mixed[self.cell].sum(), grid, what)
        p, C = len(self.points), len(self.bias)
        if fired is None:
            assert winners is not None
            comparisons = OrderingConstraints.of_argmax(self.points, winners[self.rows], C)
            self._add(np.arange(C), comparisons, comparisons.better > comparisons.worse)
            return None
        on_at = fired[self.rows]
        several = np.flatnonzero(on_at.sum(axis=1) != 1) if winners is not None else np.arange(0)
        if len(several):
            # where not exactly one output fires, the outputs are compared with each other
            assert winners is not None
            point, node = np.divmod(np.arange(p * C), C)
            fires = on_at.ravel()
            some = OrderingConstraints.of_argmax(self.points[several], winners[self.rows][several], C)
            comparisons = OrderingConstraints(
                self.points,
                np.concatenate([point, several[some.point]]),
                np.concatenate([np.where(fires, node, REFERENCE), some.better]),
                np.concatenate([np.where(fires, REFERENCE, node), some.worse]),
                C,
            )
            self._add(np.arange(C), comparisons, np.concatenate([~fires, some.better > some.worse]))
            return None
        for j in range(C):
            self._add(np.array([j]), OrderingConstraints.of_neuron(self.points, on_at[:, j]), ~on_at[:, j])
        return None

    def _conflict(self, where: str, count: int, grid: InputGrid | None, what: str) -> str:
        bits = "" if grid is None else f" of {grid.bits} bits"
        remedy = "raise input_bits" if grid is None or grid.bits < 16 else "leave out such points or rescale the inputs"
        return (
            f"layer {self.number}, {where}: it has to {what} of {count} points, "
            f"which the grid{bits} maps to the same integers; {remedy}"
        )

    def _add(self, nodes: Indices, comparisons: OrderingConstraints, strict: Bools) -> None:
        W = self.weights[nodes].astype(np.float64)
        b = self.bias[nodes] + W @ self.center
        self.searches.append(
            (nodes, IntegerSearch(comparisons, strict.astype(np.float64), W[:, self.kept], b, self.keep_signs))
        )

    @property
    def bound(self) -> int:
        """Lower bound on the largest weight."""
        return max(search.bound for _, search in self.searches)

    def search(self, deadline: float, weight_bound: int | None) -> None:
        """Find small weights for every neuron, then try again for the one that has the largest."""
        most = LARGEST_WEIGHT if weight_bound is None else weight_bound
        for left, (_, search) in zip(range(len(self.searches), 0, -1), self.searches, strict=True):
            if self.largest_given is not None:
                search.accept_given()
            search.begin(reading() + max(deadline - reading(), 0.0) / (2 * left), most)
        if any(search.impossible or (search.weights is None and search.bound > most) for _, search in self.searches):
            return
        while reading() < deadline:
            search = max((search for _, search in self.searches), key=lambda t: t.largest)
            if search.largest <= self.bound or search.exhausted:
                return
            search.improve(self.bound, deadline, most)

    def failure(self, weight_bound: int | None, grid: InputGrid | None) -> str | None:
        """Return why no weights were found, None if they were."""
        if self._given_is_best and (weight_bound is None or (self.largest_given or 0) <= weight_bound):
            return None
        for nodes, search in self.searches:
            if search.weights is not None and (weight_bound is None or search.largest <= weight_bound):
                continue
            where = f"layer {self.number}, " + (f"neuron {nodes[0] + 1}" if len(nodes) == 1 else "the output layer")
            if search.impossible:
                wrong = int(np.count_nonzero(search.comparisons.differences(*search.given) < 0))
                return (
                    f"{where}: no weights keep its decisions on the grid, not even real ones; the original weights "
                    f"fail in {wrong} comparisons of distinct grid points; raise input_bits"
                )
            if weight_bound is not None and search.bound > weight_bound:
                return (
                    f"{where}: it needs integer weights of at least {search.bound} to keep its decisions, "
                    f"weight_bound is {weight_bound}; raise it"
                )
            tried = f" up to weight_bound {weight_bound}" if weight_bound is not None else ""
            bits = ", or use other input_bits" if grid is not None else ", or make them smaller integers"
            return (
                f"{where}: no integer weights{tried} were found that keep its decisions (at least {search.bound} is "
                f"needed); raise weight_bound or time_limit, polish the network first "
                f"(from bdnn.polish import polished){bits}"
            )
        return None

    def numbers(self) -> tuple[Array, Array]:
        """Return the integer weights and biases on uncentered inputs."""
        if self._given_is_best:
            return self.weights, self.bias
        weights = np.zeros(self.weights.shape, dtype=np.int64)
        bias = np.zeros(len(self.bias), dtype=object)
        for nodes, search in self.searches:
            assert search.weights is not None and search.bias is not None
            weights[np.ix_(nodes, self.kept)] = search.weights
            for j, b in zip(nodes, search.bias, strict=True):
                bias[j] = b - sum(int(w) * int(c) for w, c in zip(weights[j], self.center, strict=True))
        return weights, bias if any(abs(b) > 2**53 for b in bias) else bias.astype(np.int64)

    @property
    def _given_is_best(self) -> bool:
        """Whether the layer has integer weights and no smaller ones were found."""
        return self.largest_given is not None and (
            max(search.largest for _, search in self.searches) >= self.largest_given
        )


def _smallest_type(a: Floats) -> Any:
    low, high = a.min(initial=0.0), a.max(initial=0.0)
    return next(
        t for t in (np.int8, np.int16, np.int32, np.int64) if np.iinfo(t).min <= low and high <= np.iinfo(t).max
    )


def to_integer(
    network: Network,
    X: ArrayLike,
    input_bits: int,
    weight_bound: int | None,
    time_limit: float,
    keep_signs: bool,
) -> Network:
    """Return a network of small integers with the same decisions on X, or raise an error: `Network.to_integer`."""
    values = network.check_inputs(X).astype(np.float64, copy=False)
    if not len(values):
        raise InputError("rounding to integers needs at least one row of inputs, got none")
    if weight_bound is not None and (
        isinstance(weight_bound, bool) or not isinstance(weight_bound, int | np.integer) or weight_bound < 1
    ):
        raise InputError(f"weight_bound must be a positive integer or None, got {weight_bound!r}")
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | float) or not time_limit > 0:
        raise InputError(f"time_limit must be a positive number of seconds, got {time_limit!r}")
    grid = network.grid
    if grid is None and not np.all(values == np.rint(values)):
        grid = InputGrid.spanning(values, input_bits)
    outcome = rounded(
        network, values, grid=grid, weight_bound=weight_bound, time_limit=time_limit, keep_signs=keep_signs
    )
    if outcome.network is None:
        raise RoundingError(outcome.reason)
    return outcome.network
