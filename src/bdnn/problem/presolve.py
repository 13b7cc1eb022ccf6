"""Presolve: a smaller problem with the same optimum, and the way back to networks on raw inputs.

Equal rows are merged (their weights add; conflicting labels give an irreducible loss known before any solve), points
that no prediction can make better or worse are dropped, constant columns are dropped, and inputs are centered and
scaled: x' = (x - center) / scale. For continuous weights the center is the median (of much data: of part of the rows)
and the scale the largest absolute deviation, so that |x'| <= 1 and frequent values become 0. For integer weights the
center is an integer and the scale one common divisor of all columns, so that the set of integer networks stays the
same: a threshold of multiples of d can itself be rounded to a multiple of d. Comparisons of several outputs by an
argmax head cannot, so the divisor is 1 where such a head reads the inputs. Inputs that are not all integers are
quantized on a grid first, which becomes part of the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError
from bdnn.exact import signs
from bdnn.labels import listed
from bdnn.network.grid import InputGrid, grid_box
from bdnn.network.losses import step
from bdnn.network.network import Layer, Network
from bdnn.problem.collisions import irreducible_robust_loss, is_in_time
from bdnn.problem.merge import Inputs, compact, counts_up, merge
from bdnn.problem.scaling import spanning_grid, standardization

if TYPE_CHECKING:
    from bdnn.problem.problem import Problem
    from bdnn.types import Array, Floats, Indices, Reals

# points up to which those that are equal on fewer columns are merged: it takes a sort
_MAX_MERGED = 100_000
# weighted sums of integers stay exact in doubles, with room for biases
_LARGEST_SUM = 2.0**50


@dataclass(frozen=True, eq=False)
class Presolved:
    """A reduced problem.

    Attributes
    ----------
    problem : Problem
        Where it came from.
    stored_weight : ndarray of shape (p, n_classes)
        `class_weight`, of very many points in single precision if that is exact.
    stored_rows : ndarray of shape (p,) or None
        `rows`, None if they are all rows of the problem in their order.
    n_distinct : int
        Rows after merging duplicates, dropped points included.
    constant : float
        Loss of the points that were dropped.
    irreducible : float
        Loss that no classifier on these inputs, or on the grid of them, can avoid, `constant` included: of equal rows
        with different labels, and of points with different labels whose balls meet.
    grid_loss : float
        Part of `irreducible` that is due to the grid: rows of different labels that it makes equal, although their
        inputs differ.
    kept : ndarray of shape (n',)
        Columns of the problem that are used.
    center, scale : ndarray of shape (n,)
        The transformation of every column.
    grid : InputGrid or None
        Quantization that precedes it.
    answers : ndarray of shape (p,) or None
        Points with the same number, which have one label, count once: their loss is the largest among them. None: every
        point counts by itself.
    sought_overlaps : bool
        Whether the time was enough to look for points whose balls meet, where there are balls.
    """

    problem: Problem
    stored_weight: Reals
    stored_rows: Indices | None
    n_distinct: int
    constant: float
    irreducible: float
    kept: Indices
    center: Floats
    scale: Floats
    grid: InputGrid | None
    answers: Indices | None = None
    grid_loss: float = 0.0
    sought_overlaps: bool = True

    @property
    def everything(self) -> str:
        """The classifiers that `irreducible` is a bound for."""
        # with a radius, rows are compared before they are rounded
        on_grid = self.grid is not None and not self.problem.robust
        return "every classifier on " + (
            f"the grid of {self.problem.input_bits}-bit inputs" if on_grid else "these inputs"
        )

    @property
    def n_points(self) -> int:
        """Number of reduced points."""
        return len(self.stored_weight)

    @cached_property
    def X(self) -> Floats:
        """The reduced points, all distinct, of shape (p, n').

        Up to 100,000 rows of positive weight they are sorted, more are in the order of `rows`. They are kept in memory
        from the first use on: twice the data if that is in single precision.
        """
        points = np.empty((self.n_points, len(self.kept)))
        for rows, block in Inputs(np.asarray(self.problem.X), self.grid, self.stored_rows).blocks():
            points[rows] = (block[:, self.kept] - self.center[self.kept]) / self.scale[self.kept]
        return points

    @property
    def class_weight(self) -> Floats:
        """Total sample weight of each label at each point, of shape (p, n_classes)."""
        return self.stored_weight.astype(np.float64, copy=False)

    @property
    def rows(self) -> Indices:
        """The first row of the problem's X that became each point, of shape (p,)."""
        return np.arange(self.n_points) if self.stored_rows is None else self.stored_rows

    def label_totals(self) -> Floats:
        """Return the total weight of each label over the reduced points, of shape (n_classes,)."""
        return np.asarray(self.stored_weight.sum(axis=0, dtype=np.float64))

    def restricted(self, points: Indices) -> Presolved:
        """Return this problem on some of its points, with no constant loss."""
        rows = points if self.stored_rows is None else self.stored_rows[points]
        answers = None if self.answers is None else self.answers[points]
        weight = self.stored_weight[points]
        return replace(self, stored_weight=weight, stored_rows=rows, constant=0.0, answers=answers)

    def on_columns(self, columns: Indices) -> Presolved:
        """Return this problem for networks that use no other columns than the given ones.

        Points that are equal there become one, unless balls around them differ.
        """
        fewer = replace(self, kept=np.intersect1d(self.kept, columns))
        if self.problem.robust or self.answers is not None or self.n_points > _MAX_MERGED:
            return fewer
        X, loss = fewer.X, self.problem.loss
        first, point = np.zeros(min(len(X), 1), dtype=np.intp), np.zeros(len(X), dtype=np.intp)
        if X.shape[1] and len(X):
            first, point = np.unique(X, axis=0, return_index=True, return_inverse=True)[1:]
        weight = np.zeros((len(first), self.stored_weight.shape[1]))
        np.add.at(weight, point.ravel(), self.class_weight)
        irreducible, indifferent = self.constant + loss.irreducible(weight), loss.indifferent(weight)
        return replace(
            fewer,
            stored_weight=weight[~indifferent],
            stored_rows=self.rows[first[~indifferent]],
            constant=self.constant + loss.irreducible(weight[indifferent]),
            irreducible=max(irreducible, self.irreducible),
        )

    @property
    def strength(self) -> Floats:
        """Spread of each used column, which is what a weight of 1 on reduced inputs can do, of shape (n',)."""
        return np.asarray(self.X.std(axis=0)) if self.n_points else np.ones(len(self.kept))

    def within_limits(self, layers: list[Layer]) -> Network:
        """Return the network of layers on reduced inputs, without the weights that the problem does not allow."""
        limits = self.problem.limits
        return self.to_network(limits.projected(layers, self.kept, self.strength) if limits else layers)

    @property
    def radius(self) -> Floats:
        """Robust radius of each used column, in units of reduced inputs, of shape (n',)."""
        return np.asarray(np.asarray(self.problem.robust_radius)[self.kept] / self.scale[self.kept])

    def box(self) -> tuple[Floats, Floats]:
        """Return the least and largest reduced inputs of perturbed points on a grid, each of shape (p, n')."""
        assert self.grid is not None
        sides = grid_box(self.grid, self.raw_points.astype(np.float64), np.asarray(self.problem.robust_radius))
        low, high = ((side[:, self.kept] - self.center[self.kept]) / self.scale[self.kept] for side in sides)
        return low, high

    @property
    def raw_points(self) -> Reals:
        """The reduced points as they were, of shape (p, n) and the type of the problem's X: inputs for a `Network`."""
        X = np.asarray(self.problem.X)
        return X if self.stored_rows is None else X[self.stored_rows]

    def penalty(self, network: Network) -> float:
        """Return the regularizer of a network, over all weights on reduced inputs, without its factor; 0 if none."""
        kind = self.problem.regularizer
        layers = self.to_layers(network) if kind is not None else None
        weights = np.concatenate([W.ravel() for W, _ in layers or ()] or [np.zeros(0)])
        if kind == "l0":
            return float(np.count_nonzero(weights))
        return math.fsum(np.abs(weights) if kind == "l1" else weights * weights)

    @property
    def loss_step(self) -> float:
        """A number of which every achievable loss is an integer multiple; 0 if there is none."""
        return step(np.asarray(self.problem.sample_weight))

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
        limits = problem.limits.description()
        return f"networks with {hidden} hidden neurons, {problem.head} head, {kind}{biases}{limits}{robust}"

    def to_network(self, layers: list[Layer]) -> Network:
        """Return the network on raw inputs of layers that act on reduced inputs.

        Parameters
        ----------
        layers : list of Layer
            The first has weights of shape (d_1, n').

        Returns
        -------
        Network
            With centering and scaling folded into its first layer, each bias rounded once.
        """
        problem = self.problem
        weights: Array
        bias: Array
        integer = problem.weights == "integer"
        reduced_weights, reduced_bias = layers[0]
        n = len(self.center)
        if integer:
            weights = np.zeros((len(reduced_bias), n), dtype=np.int64)
            weights[:, self.kept] = np.rint(reduced_weights).astype(np.int64)
            divisor, center = int(self.scale[0]) if n else 1, [int(c) for c in self.center]
            bias = np.array(
                [
                    divisor * int(b) - sum(int(w[j]) * center[j] for j in self.kept)
                    for w, b in zip(weights, np.rint(reduced_bias), strict=True)
                ],
                dtype=np.int64,
            )
            rest = [Layer(np.rint(W).astype(np.int64), np.rint(b).astype(np.int64)) for W, b in layers[1:]]
        else:
            raw = np.zeros((len(reduced_bias), n))
            raw[:, self.kept] = reduced_weights / self.scale[self.kept]
            shifted = np.array([signs.shifted(w, b, self.center, -1) for w, b in zip(raw, reduced_bias, strict=True)])
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

    def differences(self, network: Network) -> list[str]:
        """Return in words why a network on raw inputs is not of this class; see `to_layers`."""
        problem, grid = self.problem, self.grid
        found = []
        mine = (network.n_features, *network.widths, network.head)
        asked = (len(self.center), *problem.widths, problem.head)
        if mine != asked:
            own, other = ("-".join(map(str, shape[:-1])) + f" with {shape[-1]} head" for shape in (mine, asked))
            found.append(f"a different architecture: {own}, not {other}")
        if not np.array_equal(network.classes, problem.classes):
            found.append(
                f"different classes: {listed(network.classes.tolist())}, not {listed(problem.classes.tolist())}"
            )
        if problem.weights == "integer":
            largest = max(int(np.abs(W).max(initial=0)) for W, _ in network.layers)
            if not network.is_integer:
                found.append("different weights: continuous, not integer")
            elif largest > problem.weight_bound:
                found.append(f"larger weights: up to {largest}, above the weight bound {problem.weight_bound}")
        if not problem.fit_intercept and any(np.any(b != 0) for _, b in network.layers):
            found.append("biases, which the problem does not have")
        if network.n_features == len(self.center) and (broken := problem.limits.violation(network)):
            found.append(f"weights that the problem's limits do not allow: {broken}")
        if network.grid is None or grid is None:
            if grid is not None:
                found.append("no input grid, although the problem has one")
            elif network.grid is not None:
                kind = "integer inputs" if problem.weights == "integer" else "continuous weights"
                found.append(f"inputs rounded to a grid, which a problem with {kind} does not have")
        elif network.grid.bits != grid.bits:
            found.append(f"a different input grid: {network.grid.bits} bits, not {grid.bits}")
        elif not (np.array_equal(network.grid.offset, grid.offset) and np.array_equal(network.grid.step, grid.step)):
            found.append(
                "a different input grid: the grid is made from the training rows, so start from a network trained on "
                "the same rows"
            )
        return found

    def to_layers(self, network: Network) -> list[Layer] | None:
        """Return the layers on reduced inputs of a network on raw inputs, or None if it is not of this class.

        A network is of this class if it has the problem's widths, head, classes, grid and, for integer weights,
        integers within the bound. Biases may have any value. Numbers that overflow on reduced inputs are not of it.
        """
        problem = self.problem
        if self.differences(network):
            return None
        weights, bias = network.layers[0]
        if problem.weights == "integer":
            divisor = int(self.scale[0]) if len(self.scale) else 1
            shift = [
                (int(b) + sum(int(v) * int(c) for v, c in zip(w, self.center, strict=True))) // divisor
                for w, b in zip(weights, bias, strict=True)
            ]
            first = Layer(weights[:, self.kept].astype(float), np.array(shift, dtype=float))
        else:
            floats = weights.astype(np.float64)
            try:
                shifted = [signs.shifted(w, b, self.center, 1) for w, b in zip(floats, bias, strict=True)]
            except OverflowError:
                return None
            with np.errstate(over="ignore"):
                first = Layer(floats[:, self.kept] * self.scale[self.kept], np.array(shifted))
            if not np.all(np.isfinite(first.weights)):
                return None
        return [first, *(Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in network.layers[1:])]


def presolve(problem: Problem, seconds: float = math.inf) -> Presolved:
    """Reduce a problem.

    Parameters
    ----------
    problem : Problem
        Any.
    seconds : float
        About how long pairs of points whose balls meet may be looked for.

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
    used = None if np.all(weight > 0) else np.flatnonzero(weight > 0)
    grid = None
    if problem.weights == "integer":
        everything = Inputs(X, None, None)
        if not all(np.array_equal(block, np.rint(block)) for _, block in everything.blocks()):
            grid = spanning_grid(Inputs(X, None, used), problem.input_bits)
        else:
            largest = np.max([np.abs(block).max(axis=0) for _, block in everything.blocks()], axis=0)
            if (reach := largest.sum() * problem.weight_bound) > _LARGEST_SUM:
                raise InputError(
                    "integer inputs are too large to be used exactly with integer weights: weighted sums reach "
                    f"{reach:.3g}, but at most {_LARGEST_SUM:.3g} is accepted; rescale them"
                )
    # points that are rounded to the same integers differ in what perturbed ones are rounded to
    merged = Inputs(X, None if problem.robust else grid, used)
    class_weight, first = merge(merged, problem.codes, weight, len(problem.classes))
    rows = first if used is None else used[first]
    n_distinct = len(rows)
    irreducible = problem.loss.irreducible(class_weight)
    grid_loss = 0.0
    if irreducible > 0.0 and merged.grid is not None:
        apart, _ = merge(Inputs(X, None, used), problem.codes, weight, len(problem.classes))
        grid_loss = max(irreducible - problem.loss.irreducible(apart), 0.0)
    constant, in_time = 0.0, True
    # with a radius, a point where all labels weigh the same can still be wrong for all of them
    if not problem.robust:
        indifferent = problem.loss.indifferent(class_weight)
        if np.any(indifferent):
            constant = problem.loss.irreducible(class_weight[indifferent])
            class_weight, rows = class_weight[~indifferent], rows[~indifferent]
    if problem.robust and problem.loss.one_per_point:
        radius, at = np.asarray(problem.robust_radius), X if counts_up(rows, len(X)) else X[rows]
        missed = problem.loss.label_costs(class_weight)
        in_time = is_in_time(missed, X.shape[1], seconds)
        irreducible = max(irreducible, irreducible_robust_loss(at, missed, radius, problem.robust_norm, seconds))
    # the order does not matter here, and all rows are read faster than chosen ones
    points = Inputs(X, grid, None if len(rows) == len(X) else rows)
    center, scale, kept = standardization(points, problem)
    return Presolved(
        problem=problem,
        stored_weight=compact(class_weight) if points.is_large else class_weight,
        stored_rows=None if counts_up(rows, len(X)) else rows,
        n_distinct=n_distinct,
        constant=constant,
        irreducible=irreducible,
        kept=kept,
        center=center,
        scale=scale,
        grid=grid,
        grid_loss=grid_loss,
        sought_overlaps=in_time,
    )
