"""Margin polish: the same decisions on the training points, made as clearly as possible.

With the activations of the training points fixed, each neuron, and the outputs of an argmax head together, get the
largest margin. The margin is defined in docs/mathematics/polish.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import real_numbers
from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.columns import numbers_in_order
from bdnn.errors import InputError
from bdnn.exact import signs
from bdnn.margins.space import Space, balanced
from bdnn.network.intervals import robust_losses, unstable_points
from bdnn.network.network import Layer, Network
from bdnn.problem.feature_limits import FeatureLimits
from bdnn.types import Bools, Floats, Indices, Integers, Norm, RobustModel


def polished(
    network: Network,
    X: ArrayLike,
    *,
    codes: Sequence[int] | Indices | None = None,
    budget: Budget | None = None,
    norm: Norm = "2",
    tolerance: float = 1e-6,
    robust_radius: float | ArrayLike = 0.0,
    robust_norm: Norm = "inf",
    robust_model: RobustModel = "interval",
    limits: FeatureLimits | None = None,
) -> Network:
    """Return a network with the same activations and predictions on X whose neurons have the largest margins.

    The margin of a neuron is the least distance from its hyperplane of an input of its layer, in the given norm; for
    the first layer, inputs are first centered by the median and scaled by the largest deviation from it, as in
    `bdnn.problem.presolve`. The margin of an argmax head is the least lead of the winner over another output, in units
    of the norm of all output weights together. No neuron's margin shrinks: one that cannot be improved, or not in the
    time, stays as it is.

    Parameters
    ----------
    network : Network
        With continuous weights; a network of integers is returned unchanged, as larger margins would need other
        integers.
    X : array-like of shape (m, n_features)
        Training inputs.
    codes : array-like of shape (m,) or None
        Index into the classes of each label; needed only with a robust radius.
    budget : Budget or None
        Time limit; what is polished when it ends is returned.
    norm : {"2", "1", "inf"}
        Norm of the distances: the Euclidean margin is a quadratic program, the others are linear ones.
    tolerance : float
        Relative distance from the largest margin that is good enough.
    robust_radius : float or array-like of shape (n_features,)
        If not 0, no point's robust loss may grow: a neuron whose polished form would make one grow is left unchanged.
    robust_norm, robust_model
        As in `Problem`.
    limits : FeatureLimits or None
        Of the problem that the network was trained on, if it has some: columns without weights stay without, and
        weights keep their signs. Weights that would change their sign are left out, one after another, so margins
        under signs need not be the largest.

    Returns
    -------
    Network
        Verified with exact signs: the activations and the predicted classes of all rows of X are those of `network`.

    Raises
    ------
    InputError
        If the data do not fit the network, or a setting is not as described.

    Notes
    -----
    A neuron that is on for all of X, or off for all of X, becomes the constant neuron with weights 0 and bias 1 or -1:
    the limit of ever larger margins. The data do not say where its boundary should be.

    References
    ----------
    B. E. Boser, I. M. Guyon and V. N. Vapnik, COLT 1992, doi:10.1145/130385.130401; K. Crammer and Y. Singer, JMLR 2,
    2001. See docs/mathematics/polish.md for the method.

    Examples
    --------
    >>> net = Network([([[1.0]], [-0.1])], head="threshold", classes=[0, 1])
    >>> polished(net, [[0.0], [1.0]]).layers[0].bias / polished(net, [[0.0], [1.0]]).layers[0].weights[:, 0]
    array([-0.5])
    """
    values = network.check_inputs(X).astype(np.float64, copy=False)
    for what, value, accepted in (("norm", norm, Norm), ("robust_norm", robust_norm, Norm)):
        if value not in get_args(accepted):
            raise InputError(f"{what} must be one of {', '.join(get_args(accepted))}, got {value!r}")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance must be a number between 0 and 1, got {tolerance!r}")
    radius = real_numbers("robust_radius", numbers_in_order("radii", robust_radius, network.feature_names))
    if radius.shape not in ((), (network.n_features,)):
        raise InputError(f"robust_radius must be a number or have shape ({network.n_features},), got {radius.shape}")
    radius = np.broadcast_to(radius, (network.n_features,))
    guard = _Guard.of(network, values, codes, radius, robust_norm, robust_model)
    if network.is_integer or not len(values):
        return network
    clock = (budget or Budget()).start()
    fired = [u.astype(bool) for u in network.activations(values)]
    predicted = network.predict_index(values)
    inputs = [values if network.grid is None else network.grid.quantize(values), *(u.astype(float) for u in fired)]
    last = len(network.layers) - 1
    left = sum(network.widths[:-1]) + (1 if network.head == "argmax" else network.widths[-1])
    for k, layer in enumerate(network.layers):
        if clock.exhausted:
            break
        space = Space.of(inputs[k], standardize=k == 0, norm=norm, tolerance=tolerance)
        freedom = _Freedom.of(limits, layer, k)
        if k == last and network.head == "argmax":
            winners = predicted[space.rows]
            outputs = freedom.columns_of(space).outputs(freedom.part(layer), winners, _deadline(clock, left))
            network = guard.accepted(network, k, Layer(freedom.whole(outputs[0]), outputs[1]))
            continue
        together = k == last and len(layer.bias) > 1  # outputs that are compared where not exactly one fires
        found: list[tuple[Floats, float]] = []
        for j in range(len(layer.bias)):
            if clock.exhausted:
                break
            w, b = freedom.neuron(space, layer, j, fired[k][space.rows, j], _deadline(clock, left))
            left -= 1
            found.append((w, b))
            if not together:
                network = guard.accepted(network, k, _with_neurons(network.layers[k], {j: (w, b)}))
        if together and found:
            network = _balanced(network, k, found, space, fired[k], predicted, guard, values)
    return network


def _deadline(clock: Budget, left: int) -> float:
    """Return when the next of the neurons left must be done so that the others get as much time."""
    return reading() + clock.remaining / max(left, 1)


def _balanced(
    network: Network,
    k: int,
    found: list[tuple[Floats, float]],
    space: Space,
    fired: Bools,
    predicted: Indices,
    guard: _Guard,
    X: Floats,
) -> Network:
    """Return the network with the outputs found, by factors that keep the predictions: all of them, or those that can.

    Where not exactly one output fires, their pre-activations are compared.
    """
    layer, on = network.layers[k], fired[space.rows]
    compared = np.flatnonzero(on.sum(axis=1) != 1)
    points, winners = space.points[compared], predicted[space.rows][compared]
    for some in (dict(enumerate(found)), *({j: neuron} for j, neuron in enumerate(found))):
        outputs = Layer(*balanced(_with_neurons(network.layers[k], some), points, winners))
        candidate = _with_layer(network, k, outputs)
        if (
            np.array_equal(candidate.predict_index(X), predicted)
            and np.array_equal(candidate.activations(X)[-1], fired)
            and space.none_shrank(outputs, layer, on)
        ):
            network = guard.accepted(network, k, outputs)
            if len(some) > 1:
                break
    return network


def _with_layer(network: Network, k: int, layer: Layer) -> Network:
    return replace(network, layers=(*network.layers[:k], layer, *network.layers[k + 1 :]))


def _with_neurons(layer: Layer, changed: dict[int, tuple[Floats, float]]) -> Layer:
    W, b = layer.weights.copy(), layer.bias.copy()
    for j, (weights, bias) in changed.items():
        W[j], b[j] = weights, bias
    return Layer(W, b)


@dataclass(frozen=True, eq=False, slots=True)
class _Freedom:
    """What the neurons of a layer may use: some of its inputs, with some signs.

    Attributes
    ----------
    used : ndarray of shape (n,), bool
        The inputs.
    signs : ndarray of shape (n,)
        Of their weights, 0 for free ones.
    """

    used: Bools
    signs: Integers

    @classmethod
    def of(cls, limits: FeatureLimits | None, layer: Layer, k: int) -> _Freedom:
        n = layer.weights.shape[1]
        used, signs = np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64)
        if limits is not None and k:
            signs[:] = limits.signed
        elif limits is not None:
            signs = limits.signs
            if limits.caps:
                used = np.isin(limits.groups, limits.used(layer.weights))
        return cls(used, signs)

    def columns_of(self, space: Space, used: Bools | None = None) -> Space:
        """Return the space of some of the inputs, by default of those that may be used."""
        chosen = self.used if used is None else used
        return space if chosen.all() else space.of_columns(np.flatnonzero(chosen))

    def part(self, layer: Layer) -> Layer:
        """Return a layer on the inputs that may be used."""
        return Layer(layer.weights[:, self.used], layer.bias)

    def whole(self, weights: Floats) -> Floats:
        """Return weights on all inputs."""
        full = np.zeros((len(weights), len(self.used)))
        full[:, self.used] = weights
        return full

    def neuron(self, space: Space, layer: Layer, j: int, on: Bools, deadline: float) -> tuple[Floats, float]:
        """Return the weights and bias of the largest margin found for a neuron."""
        old, bias = layer.weights[j], float(layer.bias[j])
        if self.used.all() and not self.signs.any():
            return space.neuron(old, bias, on, deadline)
        used = self.used.copy()
        while True:
            found, found_bias = self.columns_of(space, used).neuron(old[used], bias, on, deadline)
            weights = np.zeros(len(used))
            weights[used] = found
            wrong = weights * self.signs < 0
            if not wrong.any():
                break
            used &= ~wrong
        new = Layer(weights[None, :], np.array([found_bias]))
        same = np.array_equal(signs.affine(space.points, *new).values[:, 0] >= 0, on)
        kept = same and space.none_shrank(new, Layer(old[None, :], np.array([bias])), on[:, None])
        return (weights, found_bias) if kept else (old, bias)


@dataclass(frozen=True, eq=False, slots=True)
class _Guard:
    """Robust losses that must not grow; in the model of the paper, no point may become open either."""

    X: Floats
    codes: Indices | None
    radius: Floats
    norm: Norm
    model: RobustModel
    losses: Indices | None

    @classmethod
    def of(
        cls,
        network: Network,
        X: Floats,
        codes: Sequence[int] | Indices | None,
        radius: Floats,
        norm: Norm,
        model: RobustModel,
    ) -> _Guard:
        if not np.all(np.isfinite(radius)) or np.any(radius < 0):
            raise InputError("robust_radius must be finite and not negative")
        if model not in get_args(RobustModel):
            raise InputError(f"robust_model must be one of {', '.join(get_args(RobustModel))}, got {model!r}")
        if not np.any(radius > 0):
            return cls(X, None, radius, norm, model, None)
        y = None if codes is None else np.asarray(codes)
        if y is None or y.shape != (len(X),) or y.dtype.kind not in "iu":
            raise InputError("a robust radius needs codes: for each row of X the index into classes of its label")
        y = y.astype(np.intp)
        return cls(X, y, radius, norm, model, _judged(network, X, y, radius, norm, model))

    def accepted(self, network: Network, k: int, layer: Layer) -> Network:
        """Return the network with another layer k, or the network itself if a robust loss would grow."""
        if all(np.array_equal(new, old) for new, old in zip(layer, network.layers[k], strict=True)):
            return network
        changed = _with_layer(network, k, layer)
        if self.codes is None:
            return changed
        losses = _judged(changed, self.X, self.codes, self.radius, self.norm, self.model)
        assert self.losses is not None
        return network if np.any(losses > self.losses) else changed


def _judged(network: Network, X: Floats, codes: Indices, radius: Floats, norm: Norm, model: RobustModel) -> Indices:
    """Return the robust loss of each point; a second column says which points are open where that counts."""
    losses, _ = robust_losses(network, X, codes, radius, norm, model)
    if model == "interval" or len(network.layers) == 1:
        return losses[:, None]
    return np.column_stack([losses, unstable_points(network, X, radius, norm)])
