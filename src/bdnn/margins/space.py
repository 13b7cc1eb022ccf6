"""Inputs of a layer, and the largest margins there of its neurons and outputs that leave every decision unchanged."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.exact import signs
from bdnn.linear_programs import LinearProgram
from bdnn.margins.margin_programs import by_linear_program
from bdnn.margins.ordering import OrderingConstraints, Scores
from bdnn.margins.support_vectors import euclidean
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats, Indices, Norm

# points whose distances are compared in rational arithmetic; more would take seconds, and bounds are used for them
_MAX_RATIONAL = 2000
# the same where one error bound covers all points: with more of them, a bound for each is cheaper
_MAX_QUICK = 50
# relative gain of a margin that is worth a change: above the rounding of the margins themselves
_GAIN = 1e-9
# logarithm of the largest factor of a neuron, so that no product with it overflows
_LARGEST_LOGARITHM = 300.0
_SOLVED = Status.OPTIMAL, Status.FEASIBLE


@dataclass(frozen=True, eq=False, slots=True)
class Space:
    """Distinct inputs of a layer, as they are and standardized.

    Attributes
    ----------
    points : ndarray of shape (p, n)
        The inputs.
    rows : ndarray of shape (p,)
        A row of the data for each input.
    largest : ndarray of shape (n,)
        Largest absolute value of each column.
    scaled : ndarray of shape (p, n')
        Columns that vary, (points - center) / scale.
    kept : ndarray of shape (n',)
        Indices of these columns.
    center : ndarray of shape (n,)
        Median of each column, or 0.
    scale : ndarray of shape (n',)
        Largest deviation from it, or 1.
    norm : {"inf", "1", "2"}
        Norm of the distances.
    tolerance : float
        Relative distance from the largest margin that is good enough.
    """

    points: Floats
    rows: Indices
    largest: Floats
    scaled: Floats
    kept: Indices
    center: Floats
    scale: Floats
    norm: Norm
    tolerance: float

    @classmethod
    def of(cls, signal: Floats, standardize: bool, norm: Norm, tolerance: float) -> Space:
        """Return the space of a signal of shape (m, n); rows are merged, and zeros and ones are not standardized."""
        if standardize:
            # rows are not merged here: equal ones cost less than looking for them
            rows, points = np.arange(len(signal)), signal
            middle = (len(points) - 1) // 2  # column by column, without copies of them all
            center = np.array([np.partition(column, middle)[middle] for column in points.T], dtype=np.float64)
        else:
            _, rows = np.unique(np.packbits(signal.astype(bool), axis=1), axis=0, return_index=True)
            points, center = signal[rows], np.zeros(signal.shape[1])
        with np.errstate(over="ignore"):
            low, high = points.min(axis=0), points.max(axis=0)
            deviation = np.maximum(high - center, center - low)
        varies = (high > low) & np.isfinite(deviation)
        kept = np.flatnonzero(varies)
        scale = deviation[kept] if standardize else np.ones(len(kept))
        with np.errstate(over="ignore", under="ignore"):
            scaled = points[:, kept]
            scaled -= center[kept]
            scaled /= scale
        return cls(points, rows, np.maximum(np.abs(low), np.abs(high)), scaled, kept, center, scale, norm, tolerance)

    def of_columns(self, columns: Indices) -> Space:
        """Return the space of some of the columns, in ascending order."""
        among = np.isin(self.kept, columns)
        return replace(
            self,
            points=np.ascontiguousarray(self.points[:, columns]),
            largest=self.largest[columns],
            scaled=np.ascontiguousarray(self.scaled[:, among]),
            kept=np.searchsorted(columns, self.kept[among]),
            center=self.center[columns],
            scale=self.scale[among],
        )

    def inwards(self, weights: Floats, bias: Floats) -> Scores:
        """Scores of standardized inputs that equal those of the inputs, rounded."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return weights[:, self.kept] * self.scale, _shifted(weights, bias, self.center, 1)

    def outward(self, weights: Floats, bias: Floats) -> Scores:
        """Scores of inputs from those of standardized inputs, each bias rounded once."""
        W = np.zeros((len(bias), self.points.shape[1]))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            W[:, self.kept] = weights / self.scale
        if not np.all(np.isfinite(W)):
            return W, np.full(len(bias), np.nan)
        with np.errstate(over="ignore"):
            return W + 0.0, _shifted(W, bias, self.center, -1) + 0.0

    def size(self, weights: Floats) -> float:
        """Return the norm of the weights in units of standardized inputs, by which differences are divided."""
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
        comparisons = OrderingConstraints.of_neuron(self.scaled, on)
        best = weights, bias
        margin = self._margin(best, on, low=False)
        for w, b in self._candidates(comparisons, weights[None, :], np.array([bias]), deadline):
            candidate = w[0], float(b[0])
            found = self._margin(candidate, on, low=True)
            if found > margin * (1 + _GAIN):
                best, margin = candidate, found
        return best

    def none_shrank(self, new: Scores, old: Scores, on: Bools) -> bool:
        """Whether no neuron's margin became smaller, which the rounding of factors can cause."""
        return all(
            not np.any(w)  # constant
            or self._margin((w, float(b)), on[:, j], low=True)
            >= self._margin((old[0][j], float(old[1][j])), on[:, j], low=False)
            for j, (w, b) in enumerate(zip(*new, strict=True))
        )

    def outputs(self, layer: Scores, winners: Indices, deadline: float) -> Scores:
        """Return the outputs of an argmax head with the largest margin found."""
        (weights, bias), n_outputs = layer, len(layer[1])
        if np.all(winners == winners[0]):
            return np.zeros_like(weights), (np.arange(n_outputs) == winners[0]).astype(np.float64)
        comparisons = OrderingConstraints.of_argmax(self.scaled, winners, n_outputs)
        best, margin = layer, self._lead(layer, winners, low=False)
        for w, b in self._candidates(comparisons, weights, bias, deadline):
            candidate = w, b
            if not np.array_equal(signs.largest(self.points, w, b)[0], winners):
                continue
            found = self._lead(candidate, winners, low=True)
            if found > margin * (1 + _GAIN):
                best, margin = candidate, found
        return best

    def _candidates(
        self, comparisons: OrderingConstraints, weights: Floats, bias: Floats, deadline: float
    ) -> list[Scores]:
        """Return scores of inputs that may have larger margins than the given ones."""
        W, b = self.inwards(weights, bias)
        if not (np.all(np.isfinite(W)) and np.all(np.isfinite(b))) or not W.size:
            return []
        old = _centered(comparisons, W, b)
        found = [old]
        if self.norm == "2":
            new, new_bias, finished = euclidean(comparisons, old, deadline, self.tolerance)
        else:
            program = by_linear_program(comparisons, old, deadline, self.tolerance, norm=self.norm)
            new, new_bias, finished = program.weights, program.bias, program.finished
        if np.all(np.isfinite(new)) and np.all(np.isfinite(new_bias)):
            new, new_bias = _centered(comparisons, new, new_bias)
            found.append((new, new_bias))
            if not finished or float(comparisons.differences(new, new_bias).min()) <= 0:
                found.append(self._blend(comparisons, old, (new, new_bias)))
        outside = [self.outward(*scores) for scores in found]
        return [(w, c) for w, c in outside if np.all(np.isfinite(w)) and np.all(np.isfinite(c))]

    def _blend(self, comparisons: OrderingConstraints, old: Scores, new: Scores) -> Scores:
        """Return the best mixture of two scores, of which the second need not satisfy all comparisons.

        On the line between them, the margin is a concave function divided by a convex one where it is positive, so it
        has a single peak.
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
        return _centered(comparisons, (1 - t) * old[0] + t * new[0], (1 - t) * old[1] + t * new[1])

    def _inner_size(self, weights: Floats) -> float:
        flat = np.abs(weights).ravel()
        if self.norm == "2":
            return float(np.linalg.norm(flat))
        return float(flat.sum() if self.norm == "inf" else flat.max(initial=0.0))

    def _margin(self, neuron: tuple[Floats, float], on: Bools, low: bool) -> float:
        """Least distance of a point from the hyperplane, -1 if a point is on its wrong side.

        It is exact but for one rounding, or a lower or upper bound if too many points would need rational arithmetic.
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
        if len(least) > _MAX_RATIONAL:
            bound = (distance - radius).min() if low else (distance + radius).min()
            return max(float(bound), 0.0) / size
        return float(min(abs(signs.rational(self.points[i], weights, bias)) for i in least)) / size

    def _quick_margin(self, weights: Floats, bias: float, on: Bools) -> float | None:
        """Return the exact margin by one error bound for all points, None if it leaves too many of them undecided."""
        size = self.size(weights[None, :])
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            a = self.points @ weights + bias
            reach = float(np.abs(weights) @ self.largest) + abs(bias)
            error = 1.01 * (len(weights) + 2) * signs.UNIT_ROUNDOFF * reach + (len(weights) + 1) * 5e-324
            distance = np.abs(a)
            near = np.flatnonzero(~(distance > min(float(distance.min()) + 2 * error, math.inf)) | ~(distance > error))
        if not (0 < size < math.inf and math.isfinite(error) and 0 < len(near) <= _MAX_QUICK):
            return None
        sure = distance > error
        if np.any((a >= 0)[sure] != on[sure]):
            return -1.0
        exact = [signs.rational(self.points[i], weights, bias) for i in near]
        if any((value >= 0) != on[i] for value, i in zip(exact, near, strict=True)):
            return -1.0
        return float(min(abs(value) for value in exact)) / size

    def _lead(self, layer: Scores, winners: Indices, low: bool) -> float:
        """Return the least lead of the winners in the manner of `_margin`; 0 on a tie."""
        weights, bias = layer
        out = signs.affine(self.points, weights, bias)
        size = self.size(weights)
        if not 0 < size < math.inf:
            return -1.0
        p = np.arange(len(winners))
        lead = out.values[p, winners][:, None] - out.values
        lead[p, winners] = np.inf
        if out.radius is None:
            return float(lead.min()) / size
        error = out.radius[p, winners][:, None] + out.radius + 2.0**-52 * np.abs(out.values)
        least = np.argwhere(lead - error <= (lead + error).min())
        if len(least) > _MAX_RATIONAL:
            return max(float((lead - error).min() if low else (lead + error).min()), 0.0) / size
        exact = (
            signs.rational(self.points[i], weights[winners[i]], bias[winners[i]])
            - signs.rational(self.points[i], weights[c], bias[c])
            for i, c in least
        )
        return float(min(exact)) / size


def _shifted(weights: Floats, bias: Floats, center: Floats, sign: int) -> Floats:
    """Return biases after a shift of the inputs, inf where one is beyond all doubles."""
    found = np.full(len(bias), math.inf)
    for j, (w, b) in enumerate(zip(weights, bias, strict=True)):
        with suppress(OverflowError):
            found[j] = signs.shifted(w, float(b), center, sign)
    return found


def _centered(comparisons: OrderingConstraints, weights: Floats, bias: Floats) -> Scores:
    """Return the same weights with the biases that maximize the least difference."""
    lead = comparisons.differences(weights, bias)
    if comparisons.n_nodes == 1:
        on = comparisons.better == 0
        return weights, bias + (lead[~on].min() - lead[on].min()) / 2
    return weights, _best_biases(comparisons, weights, bias)


def _best_biases(comparisons: OrderingConstraints, weights: Floats, bias: Floats) -> Floats:
    """Return the biases of several nodes that maximize the least lead: a small linear program over pairs."""
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


def balanced(layer: Scores, points: Floats, winners: Indices) -> Scores:
    """Return the neurons, each by a positive factor, such that the given ones have the largest pre-activations.

    Factors change neither what fires nor a margin. Where no output or several fire, the class is that of the largest
    pre-activation, so the logarithms of the factors must differ by certain amounts; the network is returned as it is
    if they cannot.
    """
    if not len(points):
        return layer
    weights, bias = layer
    a = points @ weights.T + bias
    C, p = len(bias), np.arange(len(points))
    own = a[p, winners][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.abs(a)) - np.log(np.abs(own))
    ratio = np.where(own >= 0, ratio, -ratio)
    # a winner that fires competes with the outputs that fire, and one that does not fire with those that do not
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
    # factors of similar size matter less than a clear order
    cost = np.concatenate([np.zeros(C), [1e-3, -1.0]])
    low, high = (np.append(np.full(C + 1, s * _LARGEST_LOGARITHM), end) for s, end in ((-1, -np.inf), (1, 0.1)))
    program = LinearProgram(cost, low, high, (np.array(A), np.full(len(A), -np.inf), np.array(b)))
    if program.solve() not in _SOLVED:
        return layer
    factor = np.exp(program.x[:C])
    return weights * factor[:, None], bias * factor
