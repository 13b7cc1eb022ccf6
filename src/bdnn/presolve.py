"""Presolve: a smaller problem with the same optimum, and the way back to networks on raw inputs.

Equal rows are merged (their weights add; conflicting labels give an irreducible loss known before any solve), points
that no prediction can make better or worse are dropped, constant columns are dropped, and inputs are centred and
scaled: x' = (x - centre) / scale. For continuous weights the centre is the median and the scale the largest absolute
deviation, so that |x'| <= 1 and frequent values become 0. For integer weights the centre is an integer and the scale
one common divisor of all columns, so that the set of integer networks stays the same: a threshold of multiples of d can
itself be rounded to a multiple of d. Comparisons of several outputs by an argmax head cannot, so the divisor is 1 where
such a head reads the inputs. Inputs that are not all integers are quantised on a grid first, which becomes part of the
network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bdnn.errors import InputError
from bdnn.network import Array, Floats, InputGrid, Layer, Network
from bdnn.problem import Problem

_SMALLEST_DEVIATION = 1e-150
_LARGEST_SUM = 2.0**50


@dataclass(frozen=True, eq=False, slots=True)
class Presolved:
    """A reduced problem.

    Attributes
    ----------
    problem : Problem
        Where it came from.
    X : ndarray of shape (p, n')
        Distinct reduced points, sorted.
    class_weight : ndarray of shape (p, n_classes)
        Total sample weight of each label at each point.
    n_distinct : int
        Rows after merging duplicates, dropped points included.
    constant : float
        Loss of the points that were dropped.
    irreducible : float
        Loss that no classifier on these inputs can avoid, `constant` included.
    kept : ndarray of shape (n',)
        Columns of the problem that are used.
    centre, scale : ndarray of shape (n,)
        The transformation of every column.
    grid : InputGrid or None
        Quantisation that precedes it.
    """

    problem: Problem
    X: Floats
    class_weight: Floats
    n_distinct: int
    constant: float
    irreducible: float
    kept: NDArray[np.intp]
    centre: Floats
    scale: Floats
    grid: InputGrid | None

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the reduced points."""
        return float(self.class_weight.sum())

    @property
    def cost_on(self) -> Floats:
        """Loss of firing, per point and output of a threshold head, shape (p, n_outputs)."""
        w = self.class_weight
        return w[:, :1] if self.problem.n_outputs == 1 else w.sum(axis=1, keepdims=True) - w

    @property
    def cost_off(self) -> Floats:
        """Loss of not firing, per point and output of a threshold head, shape (p, n_outputs)."""
        return self.class_weight[:, 1:] if self.problem.n_outputs == 1 else self.class_weight

    @property
    def loss_step(self) -> float:
        """A number of which every achievable loss is an integer multiple; 0 if there is none."""
        weights = np.unique(np.asarray(self.problem.sample_weight))
        weights = weights[weights > 0]
        if np.all(weights == np.rint(weights)) and weights[-1] < 2.0**53:
            return float(math.gcd(*(int(w) for w in weights)))
        return float(weights[0]) if np.all(np.fmod(weights, weights[0]) == 0) else 0.0

    @property
    def loss_unit(self) -> float:
        """Unit in which programs count losses: the loss step, or else the mean positive sample weight."""
        weights = np.asarray(self.problem.sample_weight)
        return self.loss_step or float(weights[weights > 0].mean())

    @property
    def scope(self) -> str:
        """The class of networks that a formulation of this problem covers, margin left out."""
        problem = self.problem
        hidden = "-".join(map(str, problem.hidden_layer_sizes)) or "no"
        biases = "" if problem.fit_intercept else ", no biases"
        if problem.weights == "continuous":
            kind = "any real weights"
        else:
            kind = f"integer weights in {{-{problem.weight_bound}..{problem.weight_bound}}}"
            if self.grid is not None:
                kind += f", inputs on the {self.grid.bits}-bit grid"
        return f"networks with {hidden} hidden neurons, {problem.head} head, {kind}{biases}"

    def to_network(self, layers: list[Layer]) -> Network:
        """Return the network on raw inputs of layers that act on reduced inputs.

        Parameters
        ----------
        layers : list of Layer
            The first has weights of shape (d_1, n').

        Returns
        -------
        Network
            With centring and scaling folded into its first layer, each bias rounded once.
        """
        problem = self.problem
        weights: Array
        bias: Array
        integer = problem.weights == "integer"
        reduced_weights, reduced_bias = layers[0]
        n = len(self.centre)
        if integer:
            weights = np.zeros((len(reduced_bias), n), dtype=np.int64)
            weights[:, self.kept] = np.rint(reduced_weights).astype(np.int64)
            divisor, centre = int(self.scale[0]) if n else 1, [int(c) for c in self.centre]
            bias = np.array(
                [
                    divisor * int(b) - sum(int(w[j]) * centre[j] for j in self.kept)
                    for w, b in zip(weights, np.rint(reduced_bias), strict=True)
                ],
                dtype=np.int64,
            )
            rest = [Layer(np.rint(W).astype(np.int64), np.rint(b).astype(np.int64)) for W, b in layers[1:]]
        else:
            raw = np.zeros((len(reduced_bias), n))
            raw[:, self.kept] = reduced_weights / self.scale[self.kept]
            shifted = np.array([self._shifted(w, b, -1) for w, b in zip(raw, reduced_bias, strict=True)])
            # + 0.0: no negative zeros in saved models
            weights, bias = raw + 0.0, shifted + 0.0
            rest = [Layer(W + 0.0, b + 0.0) for W, b in layers[1:]]
        return Network(
            (Layer(weights, bias), *rest),
            head=problem.head,  # type: ignore[arg-type]  # 'auto' was resolved by Problem
            classes=problem.classes,
            grid=self.grid,
            feature_names=problem.feature_names,  # type: ignore[arg-type]  # a tuple since validation
        )

    def _shifted(self, weights: Floats, bias: float, sign: int) -> float:
        """Return ``bias + sign * weights · centre``, rounded once."""
        return float(
            Fraction(float(bias))
            + sign
            * sum(
                (Fraction(float(weights[j])) * Fraction(float(self.centre[j])) for j in np.flatnonzero(weights)),
                Fraction(0),
            )
        )

    def to_layers(self, network: Network) -> list[Layer] | None:
        """Return the layers on reduced inputs of a network on raw inputs, or None if it is not of this class.

        A network is of this class if it has the problem's widths, head, classes, grid and, for integer weights,
        integers within the bound. Biases may have any value. Numbers that overflow on reduced inputs are not of it.
        """
        problem = self.problem
        same_grid = (network.grid is None) == (self.grid is None) and (
            self.grid is None
            or network.grid is None
            or (
                network.grid.bits == self.grid.bits
                and np.array_equal(network.grid.offset, self.grid.offset)
                and np.array_equal(network.grid.step, self.grid.step)
            )
        )
        if (
            network.widths != problem.widths
            or network.head != problem.head
            or network.n_features != len(self.centre)
            or not np.array_equal(network.classes, problem.classes)
            or not same_grid
            or (not problem.fit_intercept and any(np.any(b != 0) for _, b in network.layers))
        ):
            return None
        weights, bias = network.layers[0]
        if problem.weights == "integer":
            if not network.is_integer or any(
                np.abs(W).max(initial=0) > problem.weight_bound for W, _ in network.layers
            ):
                return None
            divisor = int(self.scale[0]) if len(self.scale) else 1
            shift = [
                (int(b) + sum(int(v) * int(c) for v, c in zip(w, self.centre, strict=True))) // divisor
                for w, b in zip(weights, bias, strict=True)
            ]
            first = Layer(weights[:, self.kept].astype(float), np.array(shift, dtype=float))
        else:
            floats = weights.astype(np.float64)
            try:
                shifted = [self._shifted(w, b, 1) for w, b in zip(floats, bias, strict=True)]
            except OverflowError:
                return None
            with np.errstate(over="ignore"):
                first = Layer(floats[:, self.kept] * self.scale[self.kept], np.array(shifted))
            if not np.all(np.isfinite(first.weights)):
                return None
        return [first, *(Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in network.layers[1:])]


def presolve(problem: Problem) -> Presolved:
    """Reduce a problem.

    Parameters
    ----------
    problem : Problem
        Any.

    Returns
    -------
    Presolved
        The smaller problem, what it cost, and the way back.

    Raises
    ------
    InputError
        If integers of the inputs are too large for exact arithmetic.
    """
    X, weight = np.asarray(problem.X), np.asarray(problem.sample_weight)
    grid = None
    if problem.weights == "integer":
        if not np.all(X == np.rint(X)):
            grid = InputGrid.spanning(X[weight > 0], problem.input_bits)
            X = grid.quantise(X)
        elif np.abs(X).max(axis=0).sum() * problem.weight_bound > _LARGEST_SUM:
            raise InputError(
                "integer inputs are too large to be used exactly with integer weights: weighted sums reach "
                f"{np.abs(X).max(axis=0).sum() * problem.weight_bound:.3g}, at most {_LARGEST_SUM:.3g} is accepted; "
                "rescale them"
            )
    points, class_weight = _merged(X[weight > 0], problem.codes[weight > 0], weight[weight > 0], len(problem.classes))
    n_distinct = len(points)
    irreducible = _irreducible(class_weight, one_hot=problem.head == "threshold" and problem.n_outputs > 1)
    constant = 0.0
    indifferent = np.all(class_weight == class_weight[:, :1], axis=1)
    if problem.head == "argmax" or problem.n_outputs == 1:
        constant = math.fsum(class_weight[indifferent, 1:].ravel())
        points, class_weight = points[~indifferent], class_weight[~indifferent]
    centre, scale, kept = _standardisation(points, problem)
    return Presolved(
        problem=problem,
        X=(points[:, kept] - centre[kept]) / scale[kept],
        class_weight=class_weight,
        n_distinct=n_distinct,
        constant=constant,
        irreducible=irreducible,
        kept=kept,
        centre=centre,
        scale=scale,
        grid=grid,
    )


def _merged(X: Floats, codes: NDArray[np.intp], weight: Floats, n_classes: int) -> tuple[Floats, Floats]:
    """Distinct rows, sorted, with the total weight of each label."""
    if X.shape[1]:
        points, index = np.unique(X + 0.0, axis=0, return_inverse=True)
    else:
        points, index = X[:1], np.zeros(len(X), dtype=np.intp)
    flat = index.ravel() * n_classes + codes
    totals = np.bincount(flat, weights=weight, minlength=len(points) * n_classes)
    return points, np.asarray(totals, dtype=np.float64).reshape(len(points), n_classes)


def _irreducible(class_weight: Floats, one_hot: bool) -> float:
    total = class_weight.sum(axis=1, keepdims=True)
    if one_hot:
        return math.fsum(np.minimum(class_weight, total - class_weight).ravel())
    # the sum of the losing labels, not a difference, which would round
    return math.fsum(np.sort(class_weight, axis=1)[:, :-1].ravel())


def _standardisation(points: Floats, problem: Problem) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Centre and scale of every column, and the columns that vary."""
    n = points.shape[1]
    if not len(points):
        return np.zeros(n), np.ones(n), np.arange(0)
    centre = np.quantile(points, 0.5, axis=0, method="lower") if n else np.zeros(0)
    if not problem.fit_intercept:
        centre = np.zeros(n)  # without biases nothing can absorb a shift
    deviation = np.abs(points - centre).max(axis=0)
    kept = np.flatnonzero(deviation > 0)
    if problem.weights == "integer":
        values = np.unique(np.abs(points[:, kept] - centre[kept])).astype(np.int64)
        compares_outputs = problem.head == "argmax" and not problem.hidden_layer_sizes
        divisor = int(np.gcd.reduce(values)) if len(values) and not compares_outputs else 1
        return centre, np.full(n, float(max(divisor, 1))), kept
    if np.any(deviation[kept] < _SMALLEST_DEVIATION):
        column = problem.feature_labels[kept[np.argmin(deviation[kept])]]
        raise InputError(f"column {column!r} varies by less than {_SMALLEST_DEVIATION:g}; rescale it or leave it out")
    return centre, np.where(deviation > 0, deviation, 1.0), kept
