"""Margin polish: the same decisions on the training points, made as clearly as possible.

With the activations of the training points fixed, each neuron is free to be any hyperplane between the inputs at which
it is on and those at which it is off, and the one with the largest margin is the safest guess for other inputs and
leaves most room for rounding. The outputs of an argmax head are treated together: the winner at each point stays, its
least lead over the others becomes as large as possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.checks import real_numbers
from bdnn.clock import reading
from bdnn.columns import numbers_in_order
from bdnn.errors import InputError
from bdnn.exact import signs
from bdnn.linear_programs import LinearProgram
from bdnn.margins.margin_programs import by_linear_program
from bdnn.margins.ordering import Comparisons
from bdnn.margins.support_vectors import euclidean
from bdnn.network.intervals import RobustModel, open_points, robust_losses
from bdnn.network.network import Layer, Network
from bdnn.status import Status
from bdnn.types import Bools, Floats, Indices, Norm

_MOST_RATIONAL = 2000
_MOST_QUICK = 50
_GAIN = 1e-9
_LARGEST_LOGARITHM = 300.0
_SOLVED = Status.OPTIMAL, Status.FEASIBLE


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
) -> Network:
    """Return a network with the same activations and predictions on X whose neurons have the largest margins.

    The margin of a neuron is the least distance from its hyperplane of an input of its layer, in the given norm; for
    the first layer, inputs are first centred by the median and scaled by the largest deviation from it, as in
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
        Index into the classes of each label; needed with a robust radius only.
    budget : Budget or None
        Time limit; what is polished when it ends is returned.
    norm : {"2", "1", "inf"}
        Norm of the distances: the Euclidean margin is a quadratic program, the others are linear ones.
    tolerance : float
        Relative distance from the largest margin that is good enough.
    robust_radius : float or array-like of shape (n_features,)
        If not 0, no point's robust loss may grow: a neuron whose polished form would make one grow is kept.
    robust_norm, robust_model
        As in `Problem`.

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
    2001. See `bdnn.margins.ordering` for the method.

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
    inputs = [values if network.grid is None else network.grid.quantise(values), *(u.astype(float) for u in fired)]
    last = len(network.layers) - 1
    left = sum(network.widths[:-1]) + (1 if network.head == "argmax" else network.widths[-1])
    for k, layer in enumerate(network.layers):
        if clock.exhausted:
            break
        space = _Space.of(inputs[k], standardise=k == 0, norm=norm, tolerance=tolerance)
        if k == last and network.head == "argmax":
            winners = predicted[space.rows]
            better = space.outputs(layer, winners, _deadline(clock, left))
            network = guard.accepted(network, k, better)
            continue
        together = k == last and len(layer.bias) > 1  # outputs that are compared where not exactly one fires
        found: list[tuple[Floats, float]] = []
        for j in range(len(layer.bias)):
            if clock.exhausted:
                break
            w, b = space.neuron(layer.weights[j], float(layer.bias[j]), fired[k][space.rows, j], _deadline(clock, left))
            left -= 1
            found.append((w, b))
            if not together:
                network = guard.accepted(network, k, _with_neurons(network.layers[k], {j: (w, b)}))
        if together and found:
            compared = np.flatnonzero(fired[k][space.rows].sum(axis=1) != 1)
            points, winners = space.points[compared], predicted[space.rows][compared]
            for some in (dict(enumerate(found)), *({j: neuron} for j, neuron in enumerate(found))):
                balanced = _balanced(_with_neurons(network.layers[k], some), points, winners)
                candidate = _with_layer(network, k, balanced)
                if (
                    np.array_equal(candidate.predict_index(values), predicted)
                    and np.array_equal(candidate.activations(values)[-1], fired[k])
                    and space.none_shrank(balanced, layer, fired[k][space.rows])
                ):
                    network = guard.accepted(network, k, balanced)
                    if len(some) > 1:
                        break
    return network


def _deadline(clock: Budget, left: int) -> float:
    """When the next of the neurons left must be done so that the others get as much time."""
    return reading() + clock.remaining / max(left, 1)


def _with_layer(network: Network, k: int, layer: Layer) -> Network:
    return replace(network, layers=(*network.layers[:k], layer, *network.layers[k + 1 :]))


def _with_neurons(layer: Layer, changed: dict[int, tuple[Floats, float]]) -> Layer:
    W, b = layer.weights.copy(), layer.bias.copy()
    for j, (weights, bias) in changed.items():
        W[j], b[j] = weights, bias
    return Layer(W, b)


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
    """Robust loss of each point; a second column says which points are open where that counts."""
    losses, _ = robust_losses(network, X, codes, radius, norm, model)
    if model == "interval" or len(network.layers) == 1:
        return losses[:, None]
    return np.column_stack([losses, open_points(network, X, radius, norm)])


@dataclass(frozen=True, eq=False, slots=True)
class _Space:
    """Distinct inputs of a layer, and the same standardised.

    Attributes
    ----------
    points : ndarray of shape (p, n)
    rows : ndarray of shape (p,)
        A row of the data for each.
    largest : ndarray of shape (n,)
        Largest absolute value of each column.
    scaled : ndarray of shape (p, n')
        Columns that vary, (points - centre) / scale.
    """

    points: Floats
    rows: Indices
    largest: Floats
    scaled: Floats
    kept: Indices
    centre: Floats
    scale: Floats
    norm: Norm
    tolerance: float

    @classmethod
    def of(cls, signal: Floats, standardise: bool, norm: Norm, tolerance: float) -> _Space:
        if standardise:
            # no merging: equal rows cost less than looking for them
            rows, points = np.arange(len(signal)), signal
            centre = np.quantile(points, 0.5, axis=0, method="lower") if points.shape[1] else np.zeros(0)
        else:
            _, rows = np.unique(np.packbits(signal.astype(bool), axis=1), axis=0, return_index=True)
            points, centre = signal[rows], np.zeros(signal.shape[1])
        with np.errstate(over="ignore"):
            low, high = points.min(axis=0), points.max(axis=0)
            deviation = np.maximum(high - centre, centre - low)
        varies = (high > low) & np.isfinite(deviation)
        kept = np.flatnonzero(varies)
        scale = deviation[kept] if standardise else np.ones(len(kept))
        with np.errstate(over="ignore", under="ignore"):
            scaled = (points[:, kept] - centre[kept]) / scale
        return cls(points, rows, np.maximum(np.abs(low), np.abs(high)), scaled, kept, centre, scale, norm, tolerance)

    def inwards(self, weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Scores of standardised inputs that equal those of the inputs, rounded."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return weights[:, self.kept] * self.scale, np.array(
                [_shifted(w, float(b), self.centre, 1) for w, b in zip(weights, bias, strict=True)]
            )

    def outwards(self, weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Scores of inputs from those of standardised inputs, each bias rounded once."""
        W = np.zeros((len(bias), self.points.shape[1]))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            W[:, self.kept] = weights / self.scale
        if not np.all(np.isfinite(W)):
            return W, np.full(len(bias), np.nan)
        with np.errstate(over="ignore"):
            return W + 0.0, np.array(
                [_shifted(w, float(b), self.centre, -1) + 0.0 for w, b in zip(W, bias, strict=True)]
            )

    def size(self, weights: Floats) -> float:
        """Norm of the weights in units of standardised inputs, by which differences are divided."""
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.abs(weights[:, self.kept] * self.scale).ravel()
        if not len(scaled):
            return 0.0
        if self.norm == "2":
            top = float(scaled.max())
            return top * float(np.linalg.norm(scaled / top)) if 0 < top < math.inf else top
        return float(scaled.sum() if self.norm == "inf" else scaled.max())

    def neuron(self, weights: Floats, bias: float, on: Bools, deadline: float) -> tuple[Floats, float]:
        """Return the weights and bias of the largest margin found."""
        if on.all() or not on.any():
            return np.zeros(len(weights)), 1.0 if on.all() else -1.0
        comparisons = Comparisons.of_neuron(self.scaled, on)
        best = weights, bias
        margin = self._margin(best, on, low=False)
        for w, b in self._candidates(comparisons, weights[None, :], np.array([bias]), deadline):
            candidate = w[0], float(b[0])
            found = self._margin(candidate, on, low=True)
            if found > margin * (1 + _GAIN):
                best, margin = candidate, found
        return best

    def none_shrank(self, new: Layer, old: Layer, on: Bools) -> bool:
        """Whether no neuron's margin became smaller, which the rounding of factors can do."""
        return all(
            not np.any(w)  # constant
            or self._margin((w, float(b)), on[:, j], low=True)
            >= self._margin((old.weights[j], float(old.bias[j])), on[:, j], low=False)
            for j, (w, b) in enumerate(zip(*new, strict=True))
        )

    def outputs(self, layer: Layer, winners: Indices, deadline: float) -> Layer:
        """Return the outputs of an argmax head with the largest margin found."""
        n_outputs = len(layer.bias)
        if np.all(winners == winners[0]):
            return Layer(np.zeros_like(layer.weights), (np.arange(n_outputs) == winners[0]).astype(np.float64))
        comparisons = Comparisons.of_argmax(self.scaled, winners, n_outputs)
        best, margin = layer, self._lead(layer, winners, low=False)
        for w, b in self._candidates(comparisons, layer.weights, layer.bias, deadline):
            candidate = Layer(w, b)
            if not np.array_equal(signs.largest(self.points, w, b)[0], winners):
                continue
            found = self._lead(candidate, winners, low=True)
            if found > margin * (1 + _GAIN):
                best, margin = candidate, found
        return best

    def _candidates(
        self, comparisons: Comparisons, weights: Floats, bias: Floats, deadline: float
    ) -> list[tuple[Floats, Floats]]:
        """Return scores of inputs that may have larger margins than the given ones."""
        W, b = self.inwards(weights, bias)
        if not (np.all(np.isfinite(W)) and np.all(np.isfinite(b))) or not W.size:
            return []
        old = _centred(comparisons, W, b)
        found = [old]
        if self.norm == "2":
            new, new_bias, finished = euclidean(comparisons, old, deadline, self.tolerance)
        else:
            program = by_linear_program(comparisons, old, deadline, self.tolerance, norm=self.norm)
            new, new_bias, finished = program.weights, program.bias, program.finished
        if np.all(np.isfinite(new)) and np.all(np.isfinite(new_bias)):
            new, new_bias = _centred(comparisons, new, new_bias)
            found.append((new, new_bias))
            if not finished or float(comparisons.differences(new, new_bias).min()) <= 0:
                found.append(self._blend(comparisons, old, (new, new_bias)))
        outside = [self.outwards(*scores) for scores in found]
        return [(w, c) for w, c in outside if np.all(np.isfinite(w)) and np.all(np.isfinite(c))]

    def _blend(
        self, comparisons: Comparisons, old: tuple[Floats, Floats], new: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """Return the best mixture of two scores, of which the second need not make all comparisons.

        On the line between them the margin is a concave function by a convex one where it is positive, so it has one
        peak.
        """
        sizes = [self._inner_size(W) or 1.0 for W, _ in (old, new)]
        old, new = (old[0] / sizes[0], old[1] / sizes[0]), (new[0] / sizes[1], new[1] / sizes[1])
        lead, other = (comparisons.differences(*scores) for scores in (old, new))

        def margin(t: float) -> float:
            least = float(((1 - t) * lead + t * other).min())
            return least / (self._inner_size((1 - t) * old[0] + t * new[0]) or 1.0) if least > 0 else least

        low, high = 0.0, 1.0
        for _ in range(60):
            left, right = low + 0.382 * (high - low), low + 0.618 * (high - low)
            if margin(left) >= margin(right):
                high = right
            else:
                low = left
        t = (low + high) / 2
        return _centred(comparisons, (1 - t) * old[0] + t * new[0], (1 - t) * old[1] + t * new[1])

    def _inner_size(self, weights: Floats) -> float:
        flat = np.abs(weights).ravel()
        if self.norm == "2":
            return float(np.linalg.norm(flat))
        return float(flat.sum() if self.norm == "inf" else flat.max(initial=0.0))

    def _margin(self, neuron: tuple[Floats, float], on: Bools, low: bool) -> float:
        """Least distance of a point from the hyperplane, -1 if a point is on its wrong side.

        Exact but for one rounding; where too many points would need rational arithmetic, a lower or an upper bound.
        """
        weights, bias = neuron
        quick = self._quick_margin(weights, bias, on)
        if quick is not None:
            return quick
        out = signs.affine(self.points, weights[None, :], np.array([bias]))
        a = out.values[:, 0]
        if not np.array_equal(a >= 0, on):
            return -1.0
        size = self.size(weights[None, :])
        if not 0 < size < math.inf:
            return -1.0
        distance = np.abs(a)
        if out.radius is None:
            return float(distance.min()) / size
        radius = out.radius[:, 0]
        least = np.flatnonzero(distance - radius <= (distance + radius).min())
        if len(least) > _MOST_RATIONAL:
            bound = (distance - radius).min() if low else (distance + radius).min()
            return max(float(bound), 0.0) / size
        return float(min(abs(signs.rational(self.points[i], weights, bias)) for i in least)) / size

    def _quick_margin(self, weights: Floats, bias: float, on: Bools) -> float | None:
        """Exact margin by one error bound for all points, None if it leaves too many of them undecided."""
        size = self.size(weights[None, :])
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            a = self.points @ weights + bias
            reach = float(np.abs(weights) @ self.largest) + abs(bias)
            error = 1.01 * (len(weights) + 2) * 2.0**-53 * reach + (len(weights) + 1) * 5e-324
            distance = np.abs(a)
            near = np.flatnonzero(~(distance > min(float(distance.min()) + 2 * error, math.inf)) | ~(distance > error))
        if not (0 < size < math.inf and math.isfinite(error) and 0 < len(near) <= _MOST_QUICK):
            return None
        sure = distance > error
        if np.any((a >= 0)[sure] != on[sure]):
            return -1.0
        exact = [signs.rational(self.points[i], weights, bias) for i in near]
        if any((value >= 0) != on[i] for value, i in zip(exact, near, strict=True)):
            return -1.0
        return float(min(abs(value) for value in exact)) / size

    def _lead(self, layer: Layer, winners: Indices, low: bool) -> float:
        """Least lead of the winners, as `_margin`; 0 on a tie."""
        out = signs.affine(self.points, layer.weights, layer.bias)
        size = self.size(layer.weights)
        if not 0 < size < math.inf:
            return -1.0
        p = np.arange(len(winners))
        lead = out.values[p, winners][:, None] - out.values
        lead[p, winners] = np.inf
        if out.radius is None:
            return float(lead.min()) / size
        error = out.radius[p, winners][:, None] + out.radius + 2.0**-52 * np.abs(out.values)
        least = np.argwhere(lead - error <= (lead + error).min())
        if len(least) > _MOST_RATIONAL:
            return max(float((lead - error).min() if low else (lead + error).min()), 0.0) / size
        exact = (
            signs.rational(self.points[i], layer.weights[winners[i]], layer.bias[winners[i]])
            - signs.rational(self.points[i], layer.weights[c], layer.bias[c])
            for i, c in least
        )
        return float(min(exact)) / size


def _shifted(weights: Floats, bias: float, centre: Floats, sign: int) -> float:
    """Return ``bias + sign * weights · centre``, rounded once."""
    used = np.flatnonzero((weights != 0) & (centre != 0))
    total = sum((Fraction(float(weights[j])) * Fraction(float(centre[j])) for j in used), Fraction(0))
    try:
        return float(Fraction(bias) + sign * total)
    except OverflowError:
        return math.inf


def _centred(comparisons: Comparisons, weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Return the same weights with the biases that make the least difference largest."""
    lead = comparisons.differences(weights, bias)
    if comparisons.n_nodes == 1:
        on = comparisons.better == 0
        return weights, bias + (lead[~on].min() - lead[on].min()) / 2
    return weights, _best_biases(comparisons, weights, bias)


def _best_biases(comparisons: Comparisons, weights: Floats, bias: Floats) -> Floats:
    """Return the biases of several nodes that make the least lead largest: a small linear program over pairs."""
    C = comparisons.n_nodes
    least = np.full((C, C), np.inf)
    np.minimum.at(least, (comparisons.better, comparisons.worse), comparisons.differences(weights, bias))
    pairs = np.argwhere(np.isfinite(least))
    A, unit = np.zeros((len(pairs), C + 1)), float(np.abs(least[np.isfinite(least)]).max()) or 1.0
    rows = np.arange(len(pairs))
    A[rows, pairs[:, 0]], A[rows, pairs[:, 1]], A[:, C] = -1.0, 1.0, 1.0
    cost = np.zeros(C + 1)
    cost[C] = -1.0
    limit = np.full(C + 1, 4.0 * C)
    right = least[tuple(pairs.T)] / unit
    program = LinearProgram(cost, np.append(-limit[:C], -np.inf), limit, (A, np.full(len(A), -np.inf), right))
    return bias + unit * program.x[:C] if program.solve() in _SOLVED else bias


def _balanced(layer: Layer, points: Floats, winners: Indices) -> Layer:
    """Return the neurons, each by a positive factor, such that the given ones have the largest pre-activations.

    Factors change neither what fires nor a margin. Where none or several outputs fire the class is that of the largest
    pre-activation, so the logarithms of the factors must differ by certain amounts; the network is returned as it is
    if they cannot.
    """
    if not len(points):
        return layer
    a = points @ layer.weights.T + layer.bias
    C, p = len(layer.bias), np.arange(len(points))
    own = a[p, winners][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.abs(a)) - np.log(np.abs(own))
    ratio = np.where(own >= 0, ratio, -ratio)
    # a winner that fires competes with those that fire, one that does not with those that do not
    needed = np.where((a >= 0) == (own >= 0), ratio, -np.inf)
    needed[p, winners] = -np.inf
    sign = np.where(own[:, 0] >= 0, 1.0, -1.0)
    # columns: logarithms of the factors, the largest of them in absolute value, the least slack
    A = [np.concatenate([s * (np.arange(C) == c), [-1.0, 0.0]]) for c in range(C) for s in (1.0, -1.0)]
    b = [0.0] * len(A)
    for y in range(C):
        for s in (1.0, -1.0):
            some = (winners == y) & (sign == s)
            if not some.any():
                continue
            for c, least in enumerate(needed[some].max(axis=0)):
                if c != y and math.isfinite(least):
                    A.append(np.concatenate([s * (np.arange(C) == c) - s * (np.arange(C) == y), [0.0, 1.0]]))
                    b.append(-least)
    # a wide order of magnitude matters less than a clear order
    cost = np.concatenate([np.zeros(C), [1e-3, -1.0]])
    low, high = (np.append(np.full(C + 1, s * _LARGEST_LOGARITHM), end) for s, end in ((-1, -np.inf), (1, 0.1)))
    program = LinearProgram(cost, low, high, (np.array(A), np.full(len(A), -np.inf), np.array(b)))
    if program.solve() not in _SOLVED:
        return layer
    factor = np.exp(program.x[:C])
    return Layer(layer.weights * factor[:, None], layer.bias * factor)
