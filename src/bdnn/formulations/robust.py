r"""Robust training (J. Kurtz and B. Bah, arXiv:2110.11382, robust optimization), and a less conservative model.

With radii r and the dual norm ‖·‖_* of the ball's norm, the pre-activation of neuron l of the first layer ranges over
a ± ρ_l with ρ_l >= ‖r ∘ W_l‖_*: by ξ >= ±r ∘ W and their sum (norm ∞), by ρ >= ±r_j W_j (norm 1), by a cone (norm 2;
for solvers without cones by tangent rows, J. E. Kelley, doi:10.1137/0108053). Activations are three-valued: u⁻ = 1
stable active, u⁺ = 0 stable inactive, else unstable.

.. math::

    u^-_{il} = 1 \Rightarrow a_{il} - ρ_l \ge ε, \qquad u^+_{il} = 0 \Rightarrow a_{il} + ρ_l \le -ε,
    \qquad u^- \le u^+                                                                                       \tag{1}

    t^-_{ilj} \le W_{lj} u^-_{ij}, \; t^-_{ilj} \le W_{lj} u^+_{ij}, \qquad
    t^+_{ilj} \ge W_{lj} u^-_{ij}, \; t^+_{ilj} \ge W_{lj} u^+_{ij}                                          \tag{2}

In layers k >= 2, (1) has Σ_j t⁻ + b in place of a - ρ and Σ_j t⁺ + b in place of a + ρ. A point counts as right only if
its output is right for every value of the unstable neurons. The other rows are those of
`bdnn.formulations.training`. The paper's model ("pattern") asks for u⁻ = u⁺ in the first layer: hidden neurons are
constant on every ball. Every solution of it is one of this model ("interval"), whose optimum is therefore never worse.

Inputs on a grid are rounded after the perturbation, so each point has a box of integers [x⁻, x⁺], and (1) has
Σ_j W⁺ x⁻ - W⁻ x⁺ with W = W⁺ - W⁻ (and the reverse) in place of a ∓ ρ. Balls of the norms 1 and 2 are replaced by what
their bounding boxes are rounded to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from bdnn.errors import MarginError
from bdnn.formulations import blocks, training
from bdnn.formulations.layers import LayerBuilder
from bdnn.formulations.model import TrainingModel
from bdnn.formulations.scales import Scales
from bdnn.milp.tolerances import DEFAULT_TOLERANCES, Tolerances
from bdnn.network.intervals import dual_norm
from bdnn.types import Bools, Floats, Indices

if TYPE_CHECKING:
    from bdnn.milp.program import Index
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved

Fill = Callable[[Floats], None]
"""A function that computes the values of some columns from those of earlier ones."""


@dataclass(frozen=True, eq=False, slots=True)
class RobustModel(TrainingModel):
    """The robust program: a training model whose layout has the lower activations.

    Besides milp, layout, presolved, scales, reductions and groups, it has `fills`: functions that compute, in turn, all
    columns of a solution vector except for weights and biases.
    """

    fills: list[Fill]

    def encode(self, network: Network) -> Floats:
        """Return the solution vector of a network; see `TrainingModel.encode`.

        Activations that hold by less than the margin are written as unstable, so with the interval model every network
        has one, and its objective is never below the network's robust loss.
        """
        layers, x = self.canonical_layers(network), np.zeros(self.milp.n_columns)
        for k, (W, b) in enumerate(layers):
            self.put_layer(x, k, W, b)
        for fill in self.fills:
            fill(x)
        if self.milp.violation(x) > self.scales.tolerances.feasibility:
            raise MarginError("the network's first layer is not constant on the balls by the margin")
        return x


def build(
    presolved: Presolved,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    reductions: Collection[str] = training.REDUCTIONS,
    *,
    groups: Indices | None = None,
    rows: Bools | None = None,
    loss_at_most: float | None = None,
) -> RobustModel:
    """Build the robust training program of a reduced problem.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem, with at least one point and a positive radius.
    tolerances : Tolerances
        Of the solver that will be used; the margin is chosen from them.
    reductions : collection of str
        Symmetry reductions of `bdnn.formulations.training`; those that are not valid here are left out.
    groups : ndarray of shape (p,) or None
        Group 0, 1, … of each point, whose points share their activations; None for one group per point.
    rows : ndarray of shape (p,), bool, or None
        Points that need rows in the first layer (the others follow from them); None for all.
    loss_at_most : float or None
        If given, the regularizer is minimized among the networks with at most this loss, in units of sample weight.

    Returns
    -------
    RobustModel
        Program and translation.

    Raises
    ------
    MarginError
        If no margin is safe, or the margin asked for is too small for the solver's tolerances.
    """
    scales = Scales.of(presolved, tolerances)
    builder = _Builder(presolved, scales, reductions, groups, rows, loss_at_most is None)
    for k in range(len(presolved.problem.widths)):
        builder.add_layer(k)
    builder.losses.cap(loss_at_most)
    absolute = blocks.add_regularizer(builder.milp, builder.layout.weights, presolved, scales, loss_at_most is not None)
    builder.layout.absolute.extend(absolute)
    milp = builder.milp.build()
    return RobustModel(milp, builder.layout, presolved, scales, builder.active, builder.groups, builder.fills)


class _Builder(LayerBuilder):
    """The program under construction."""

    def __init__(
        self,
        presolved: Presolved,
        scales: Scales,
        reductions: Collection[str],
        groups: Indices | None,
        rows: Bools | None,
        counted: bool,
    ) -> None:
        problem = presolved.problem
        # perturbed inputs are real, and for real numbers the negation of a >= 0 is not a <= -1
        flips = problem.weights != "integer" and bool(problem.hidden_layer_sizes) and problem.n_outputs == 1
        active = frozenset(reductions) & ({"neuron_order"} | ({"output_sign"} if flips else set()))
        super().__init__(presolved, scales, active, groups, rows, counted)
        self.pattern = problem.robust_model == "pattern"
        self.fills: list[Fill] = []
        self._low: Index = np.zeros((0, 0), dtype=np.int32)
        self._high: Index = self._low

    def add_layer(self, k: int) -> None:
        """Add a layer: weights, activations or losses, and rows."""
        problem, scales, last, low = self.problem, self.scales, self.is_last(k), self.least_weight(k)
        W, b = self.add_weights(k)
        assert b is not None  # robust problems have biases
        self.order_neurons(k)
        (owner, big_m), d = self.owner(k), len(W)
        if last and problem.head == "argmax":
            self._add_argmax(k, owner, 2 * big_m)
            return
        rows_low, rows_high = self._first_rows(W, b, scales.weight) if k == 0 else self._deeper_rows(W, b, low)
        count = len(self.class_weight)
        if last:
            lower, upper = self.losses.robust_threshold(self.class_weight)
        elif k == 0 and self.pattern:
            lower = upper = self.milp.variables((count, d), 0, 1, integer=True)
        else:
            lower, upper = (self.milp.variables((count, d), 0, 1, integer=True) for _ in range(2))
            self.milp.rows(np.column_stack([upper.ravel(), lower.ravel()]), [1, -1], 0, np.inf)
        self._fill_activations(rows_low, lower, owner, scales.on, upward=True)
        if upper is not lower:
            self._fill_activations(rows_high, upper, owner, scales.off, upward=False)
        stacked = np.tile(big_m, d)
        self.milp.indicators(rows_low, lower[owner].T.ravel(), scales.on, np.inf, stacked)
        self.milp.indicators(rows_high, upper[owner].T.ravel(), -np.inf, scales.off, stacked)
        self.layout.fired.append(lower)
        self._low, self._high = lower, upper

    def _fill_activations(self, rows: blocks.Rows, columns: Index, owner: Indices, side: float, upward: bool) -> None:
        """u⁻ = 1 if all rows of its group are at least `side`; u⁺ = 1 unless all are at most `side`."""
        tolerance = self.scales.tolerances.feasibility / 2

        def fill(x: Floats) -> None:
            values = _times(rows, x).reshape(columns.shape[1], len(owner)).T
            holds = values >= side - tolerance if upward else values <= side + tolerance
            together = np.ones(columns.shape, dtype=bool)
            np.logical_and.at(together, owner, holds)
            x[columns] = together if upward else ~together

        self.fills.append(fill)

    def _first_rows(self, W: Index, b: Index, bound: float) -> tuple[blocks.Rows, blocks.Rows]:
        """Rows of the least and the largest pre-activation of neurons on the inputs."""
        presolved, kept = self.presolved, self.kept
        if presolved.grid is not None:
            low, high = (a[kept] for a in presolved.box())
            P = self.milp.variables(W.shape, 0, bound, implied=True)
            N = self.milp.variables(W.shape, 0, bound, implied=True)
            self.milp.rows(np.column_stack([W.ravel(), P.ravel(), N.ravel()]), [1, -1, 1], 0, 0)

            def fill(x: Floats) -> None:
                x[P], x[N] = np.maximum(x[W], 0), np.maximum(-x[W], 0)

            self.fills.append(fill)
            parts = np.hstack([P, N])
            return (
                blocks.affine_of_data(sp.csr_matrix(np.hstack([low, -high])), parts, b),
                blocks.affine_of_data(sp.csr_matrix(np.hstack([high, -low])), parts, b),
            )
        reach = self._dual_norms(W, bound)
        points, ones = presolved.X[kept], np.ones((len(kept), 1))
        parts = np.hstack([W, reach[:, None]])
        return (
            blocks.affine_of_data(sp.csr_matrix(np.hstack([points, -ones])), parts, b),
            blocks.affine_of_data(sp.csr_matrix(np.hstack([points, ones])), parts, b),
        )

    def _dual_norms(self, W: Index, bound: float) -> Index:
        """Add ρ_l >= ‖r ∘ W_l‖_* for each row of W, whose entries are at most `bound`."""
        radius, norm, builder = self.presolved.radius, self.problem.robust_norm, self.milp
        perturbed = np.flatnonzero(radius > 0)
        w, r = W[:, perturbed], radius[perturbed]
        most = float(dual_norm(radius[None, :], norm)[0]) * bound
        rho = builder.variables((len(W),), 0, most * (1 + 1e-9))
        factor = np.broadcast_to(r, w.shape).ravel()
        if norm == "inf":
            xi = builder.variables(w.shape, 0, r * bound)
            for sign in (1.0, -1.0):
                pairs = np.column_stack([xi.ravel(), w.ravel()])
                builder.rows(pairs, np.column_stack([np.ones(w.size), sign * factor]), 0, np.inf)
            sums = np.concatenate([[1.0], np.full(len(r), -1.0)])
            builder.rows(np.column_stack([rho, xi]), sums, 0, np.inf)
            self.fills.append(lambda x: x.__setitem__(xi, np.abs(x[w] * r)))
        elif norm == "1":
            for sign in (1.0, -1.0):
                pairs = np.column_stack([np.repeat(rho, len(r)), w.ravel()])
                builder.rows(pairs, np.column_stack([np.ones(w.size), sign * factor]), 0, np.inf)
        else:
            for row, column in zip(w, rho.tolist(), strict=True):
                builder.cone(column, row, r)
        self.fills.append(lambda x: x.__setitem__(rho, dual_norm(x[w] * r, norm)))
        return rho

    def _deeper_rows(self, W: Index, b: Index, low: float) -> tuple[blocks.Rows, blocks.Rows]:
        """Rows of the least and the largest pre-activation of neurons on three-valued activations: (2)."""
        below, above = self._products(W, low)
        if below is above or low >= 0:
            return blocks.affine_of_products(below, b), blocks.affine_of_products(above, b)
        bound = self.scales.weight
        least = self._extreme(below, above, bound, smallest=True)
        most = self._extreme(below, above, bound, smallest=False)
        return blocks.affine_of_products(least, b), blocks.affine_of_products(most, b)

    def _products(self, W: Index, low: float) -> tuple[Index, Index]:
        """Add W u⁻ and W u⁺, of shape (g, d, d_in); the same columns twice if u⁻ and u⁺ are the same."""
        bounds = np.full(W.shape, low), np.full(W.shape, self.scales.weight)
        products = []
        for u in [self._low] if self._high is self._low else [self._low, self._high]:
            s = blocks.products(self.milp, W, u, *bounds, implied=self.integer)
            self.fills.append(lambda x, s=s, u=u: x.__setitem__(s, x[u][:, None, :] * x[W]))  # type: ignore[misc]
            products.append(s)
        return products[0], products[-1]

    def _extreme(self, first: Index, second: Index, bound: float, smallest: bool) -> Index:
        """Add t <= both of two columns, or t >= both."""
        t = self.milp.variables(first.shape, -bound, bound, implied=self.integer)
        sides = (0.0, np.inf) if smallest else (-np.inf, 0.0)
        for s in (first, second):
            self.milp.rows(np.column_stack([s.ravel(), t.ravel()]), [1, -1], *sides)
        choose = np.minimum if smallest else np.maximum
        self.fills.append(lambda x: x.__setitem__(t, choose(x[first], x[second])))
        return t

    def _add_argmax(self, k: int, owner: Indices, big_m: Floats) -> None:
        """Add z and, for each pair of outputs, rows of the least difference."""
        W, b, scales = self.layout.weights[-1], self.layout.biases[-1], self.scales
        layout, never = self.layout, np.zeros(len(self.class_weight), dtype=bool)
        layout.right, layout.right_of = self.losses.argmax(self.class_weight, never)
        below, above = self._products(W, -scales.weight) if k else (W, W)
        checks: list[tuple[int, Indices, blocks.Rows, float]] = []
        exact = self.integer and (k > 0 or self.presolved.grid is not None)
        least = 1.0 if exact else max(scales.margin, -scales.off if self.integer else 0.0)

        def pair(c: int, other: int, at: Indices) -> tuple[blocks.Rows, ArrayLike]:
            offset = self._difference(b[c : c + 1], b[other : other + 1], 2 * scales.bias_bounds[k])
            if k == 0:
                D = self._difference(W[c], W[other], 2 * scales.weight)
                rows, _ = self._first_rows(D[None, :], offset, 2 * scales.weight)
                rows = _selected(rows, at)
            else:
                first = self._difference(below[at, c], below[at, other], 2 * scales.weight)
                if below is not above:
                    second = self._difference(above[at, c], above[at, other], 2 * scales.weight)
                    first = self._extreme(first, second, 2 * scales.weight, smallest=True)
                rows = blocks.affine_of_products(first[:, None, :], offset)
            side = 0.0 if self.integer and c < other else least
            checks.append((c, np.asarray(at), rows, side))
            return rows, 0.0

        right = (layout.right, layout.right_of)
        blocks.argmax_rows(self.milp, right, owner, len(b), pair, big_m, least, self.integer)
        tolerance = scales.tolerances.feasibility / 2

        def fill(x: Floats) -> None:
            wins = np.ones((len(self.class_weight), len(b)), dtype=bool)
            for c, at, rows, side in checks:
                np.logical_and.at(wins[:, c], owner[at], _times(rows, x) >= side - tolerance)
            x[layout.right] = wins[tuple(layout.right_of)]

        self.fills.append(fill)

    def _difference(self, first: Index, second: Index, bound: float) -> Index:
        """Add t = first - second."""
        t = self.milp.variables(first.shape, -bound, bound, implied=self.integer)
        columns = np.column_stack([t.ravel(), first.ravel(), second.ravel()])
        self.milp.rows(columns, [1, -1, 1], 0, 0)
        self.fills.append(lambda x: x.__setitem__(t, x[first] - x[second]))
        return t


def _times(rows: blocks.Rows, x: Floats) -> Floats:
    indptr, data, indices = rows
    return np.asarray(sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, len(x))) @ x)


def _selected(rows: blocks.Rows, at: Indices) -> blocks.Rows:
    """Return some of the rows."""
    indptr, data, indices = rows
    matrix = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, int(indices.max(initial=0)) + 1))[at]
    return matrix.indptr, matrix.data, matrix.indices


def build_model(presolved: Presolved, *arguments: Any, **settings: Any) -> TrainingModel:
    """Build the program of `bdnn.formulations.training`, or the robust one if the problem has a radius."""
    return (build if presolved.problem.robust else training.build)(presolved, *arguments, **settings)


def nonzeros(presolved: Presolved, n_groups: int | None = None) -> int:
    """Return roughly how many matrix entries `build_model` would make, without making them."""
    return (3 if presolved.problem.robust else 1) * training.nonzeros(presolved, n_groups)


def with_fixed_layers(
    model: TrainingModel, network: Network, layer: int, neurons: Collection[int] | None = None
) -> TrainingModel:
    """Return the program with all weights but those of one block fixed to a network's.

    Parameters
    ----------
    model : TrainingModel
        Built without reductions, so that neurons keep their places.
    network : Network
        On raw inputs.
    layer : int
        Index of the block's layer, from 0.
    neurons : collection of int or None
        Neurons of the block; None for all.

    Returns
    -------
    TrainingModel
        The program in which the other weights and biases have equal lower and upper bounds.
    """
    lower, upper = model.milp.lower.copy(), model.milp.upper.copy()
    for k, (W, b) in enumerate(model.canonical_layers(network)):
        fixed = np.ones(len(b), dtype=bool)
        if k == layer:
            fixed[:] = False if neurons is None else ~np.isin(np.arange(len(b)), list(neurons))
        columns = [model.layout.weights[k][fixed].ravel(), model.layout.biases[k][fixed]]
        values = [W[fixed].ravel(), b[fixed]]
        for which, value in zip(columns, values, strict=True):
            lower[which] = upper[which] = value
    return replace(model, milp=replace(model.milp, lower=lower, upper=upper))
