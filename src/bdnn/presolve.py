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
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bdnn.errors import InputError
from bdnn.network import Array, Floats, InputGrid, Layer, Network
from bdnn.problem import Problem
from bdnn.robustness import grid_box

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
    rows : ndarray of shape (p,)
        A row of the problem's X that became each point.
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
    rows: NDArray[np.intp]
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

    def firing_costs(self, class_weight: Floats) -> tuple[Floats, Floats]:
        """Return the losses of firing and of not firing, per point and output of a threshold head.

        Parameters
        ----------
        class_weight : ndarray of shape (g, n_classes)
            Total weight of each label at each point, or group of points.

        Returns
        -------
        on, off : ndarray of shape (g, n_outputs)
            In units of sample weight.
        """
        if self.problem.n_outputs == 1:
            return class_weight[:, :1], class_weight[:, 1:]
        return class_weight.sum(axis=1, keepdims=True) - class_weight, class_weight

    def restricted(self, points: NDArray[np.intp]) -> Presolved:
        """Return this problem on some of its points, with no constant loss."""
        some = {name: getattr(self, name)[points] for name in ("X", "class_weight", "rows")}
        return replace(self, **some, constant=0.0)

    @property
    def radius(self) -> Floats:
        """Robust radius of each used column, in units of reduced inputs, of shape (n',)."""
        return np.asarray(np.asarray(self.problem.robust_radius)[self.kept] / self.scale[self.kept])

    def box(self) -> tuple[Floats, Floats]:
        """Return the least and largest reduced inputs of perturbed points on a grid, each of shape (p, n')."""
        assert self.grid is not None
        sides = grid_box(self.grid, self.raw_points, np.asarray(self.problem.robust_radius))
        low, high = ((side[:, self.kept] - self.centre[self.kept]) / self.scale[self.kept] for side in sides)
        return low, high

    @property
    def raw_points(self) -> Floats:
        """The reduced points as they were, of shape (p, n): inputs for a `Network`."""
        return np.asarray(self.problem.X)[self.rows]

    def penalty(self, network: Network) -> float:
        """Return the regulariser of a network, over all weights on reduced inputs, without its factor; 0 if none."""
        kind = self.problem.regularizer
        layers = self.to_layers(network) if kind is not None else None
        weights = np.concatenate([W.ravel() for W, _ in layers or ()] or [np.zeros(0)])
        if kind == "l0":
            return float(np.count_nonzero(weights))
        return math.fsum(np.abs(weights) if kind == "l1" else weights * weights)

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
        robust = ""
        if problem.robust:
            radius = np.unique(np.asarray(problem.robust_radius))
            shown = f"{radius[0]:g}" if len(radius) == 1 else f"{radius[0]:g} to {radius[-1]:g}"
            robust = f", robust ({problem.robust_model}) within radius {shown}, norm {problem.robust_norm}"
        return f"networks with {hidden} hidden neurons, {problem.head} head, {kind}{biases}{robust}"

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
    used = np.flatnonzero(weight > 0)
    # points that are rounded to the same integers differ in what perturbed ones are rounded to
    merged = np.asarray(problem.X) if problem.robust else X
    points, class_weight, first = _merged(merged[used], problem.codes[used], weight[used], len(problem.classes))
    rows = used[first]
    points = X[rows] + 0.0
    n_distinct = len(points)
    irreducible = _irreducible(class_weight, one_hot=problem.head == "threshold" and problem.n_outputs > 1)
    constant = 0.0
    indifferent = np.all(class_weight == class_weight[:, :1], axis=1)
    # with a radius, such a point can still be wrong for both labels
    if not problem.robust and (problem.head == "argmax" or problem.n_outputs == 1):
        constant = math.fsum(class_weight[indifferent, 1:].ravel())
        points, class_weight, rows = points[~indifferent], class_weight[~indifferent], rows[~indifferent]
    centre, scale, kept = _standardisation(points, problem)
    return Presolved(
        problem=problem,
        X=(points[:, kept] - centre[kept]) / scale[kept],
        class_weight=class_weight,
        rows=rows,
        n_distinct=n_distinct,
        constant=constant,
        irreducible=irreducible,
        kept=kept,
        centre=centre,
        scale=scale,
        grid=grid,
    )


def _merged(
    X: Floats, codes: NDArray[np.intp], weight: Floats, n_classes: int
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return the distinct rows, sorted, with the total weight of each label and the first row that is equal."""
    if X.shape[1]:
        points, first, index = np.unique(X + 0.0, axis=0, return_index=True, return_inverse=True)
    else:
        points, first, index = X[:1], np.zeros(1, dtype=np.intp), np.zeros(len(X), dtype=np.intp)
    flat = index.ravel() * n_classes + codes
    totals = np.bincount(flat, weights=weight, minlength=len(points) * n_classes)
    return points, np.asarray(totals, dtype=np.float64).reshape(len(points), n_classes), first


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
