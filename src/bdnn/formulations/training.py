r"""Training as a mixed-integer linear program (J. Kurtz and B. Bah, arXiv:2110.11382, section 2).

For points i, layers k and neurons l, with weights W, biases b, activations u ∈ {0, 1} and products s = W u:

.. math::

    \min \; \sum_{i,c} \omega^{on}_{ic} u^K_{ic} + \omega^{off}_{ic} (1 - u^K_{ic})                         \tag{1}

    a^1_{il} = \sum_j W^1_{lj} x_{ij} + b^1_l, \qquad a^k_{il} = \sum_j s^k_{ilj} + b^k_l \;\; (k \ge 2)    \tag{2}

    a^k_{il} \ge  ε - M^k_i (1 - u^k_{il}), \qquad a^k_{il} \le -ε + M^k_i u^k_{il}                         \tag{3}

    \underline w u \le s \le \bar w u, \qquad w - \bar w (1 - u) \le s \le w - \underline w (1 - u)         \tag{4}

The costs ω are the weights that are lost if an output fires or does not. They are counted in `Presolved.loss_unit`, so
that integer weights, or equal ones, give integer costs. Since u is binary, (4) makes s = w u exactly (G. P. McCormick,
doi:10.1007/BF01580665). The margin ε stands on both sides. With integer weights on integer inputs every a is an
integer, and (3) becomes exact without a margin: on is a >= 0, off is a <= -1. The argmax head replaces (1) and the last
layer's (3) by one binary z for each point and label that occurs there, maximizing Σ ω z subject to

.. math:: z_{ic} = 1 \;\Rightarrow\; a^K_{ic} - a^K_{ic'} \ge ε \quad (c' \ne c),                                \tag{5}

for integers with right-hand side 0 if c < c' and 1 if c > c', because ties go to the lowest index.

The big constants are

.. math:: M^1_i = \|x_i\|_1 \bar w + \bar b + ε, \qquad M^k_i = d_{k-1} \bar w + \bar b + ε \;\; (k \ge 2),

where b̄ exceeds the largest possible weighted sum, so that a constant neuron is never excluded.

Without biases, a neuron whose inputs are all 0 fires whatever its weights, and no margin can be asked of it. Then
the activations of points at 0 are fixed, and in deeper layers (3) has a - ε Σ_j u_j in place of a, with right-hand
sides 0 and -ε (1 + d_{k-1}), which still asks for at least ε on both sides when some input is 1; (5) likewise, with
right-hand side 0 if c < c'.

A regularizer adds ρ ‖W‖₁, by t >= ±W, or ρ ‖W‖₀, by binaries with |W| <= w̄ z, or ρ ‖W‖₂², as it is, over the weights
of all layers on reduced inputs, biases left out.

A limit on the columns adds a binary z for each, with -w̄ z <= W <= w̄ z for the weights of its inputs, and Σ z at most
the limit. Signs of weights are bounds of variables; with signs, weights above the first layer are not negative.

Points can be put into groups that share their activations (section 4 of the paper): u and s then exist once per group,
and only the rows of the first layer once per point.

Points with one answer (`Presolved.answers`: an input and attacks on it) count once. In (1) they have, instead of costs
of their own, the cost of one v with v >= u or v >= 1 - u (argmax head: v >= 1 - z) for each of them.

Reductions, each of which can be left out and none of which changes the optimum:

- ``output_sign``: with one output and biases, replacing a neuron of the last hidden layer by its negation and its
  output weight v by -v leaves the network unchanged (u becomes 1 - u, the output bias gains v), so v >= 0.
- ``neuron_order``: the neurons of a hidden layer can be permuted, so their biases are ordered (without biases: their
  first weights).
- ``output_side``: of the two sides of (3) at an output, only the one that costs nothing is needed, since the
  objective chooses it by itself. The bound then even covers networks that are wrong on a point by less than ε. Integer
  weights keep both sides: solvers that learn from conflicts, CP-SAT above all, would otherwise look again and again at
  points that are counted as wrong and are right (benchmarks/integer_exact.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from bdnn.errors import InputError
from bdnn.formulations import blocks
from bdnn.formulations.layers import LayerBuilder
from bdnn.formulations.model import TrainingModel
from bdnn.formulations.scales import Scales
from bdnn.milp.tolerances import DEFAULT_TOLERANCES, Tolerances

if TYPE_CHECKING:
    from bdnn.milp.program import Index
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Indices

REDUCTIONS = ("output_sign", "neuron_order", "output_side")


def nonzeros(presolved: Presolved, n_groups: int | None = None) -> int:
    """Return roughly how many matrix entries `build` would make, without making them."""
    widths, p = presolved.problem.widths, len(presolved.X)
    data = int(np.count_nonzero(presolved.X)) + 2 * p
    pairs = sum(a * b for a, b in itertools.pairwise(widths))
    argmax = presolved.problem.head == "argmax"
    last = 2 * (widths[-1] - 1) * int(np.count_nonzero(presolved.class_weight)) if argmax else 0
    if len(widths) == 1:
        return (data // max(p, 1)) * last if argmax else data * widths[0]
    share = 1.0 if n_groups is None else n_groups / max(p, 1)
    return int(data * widths[0] + share * (13 * p * pairs + last * widths[-2]))


def build(
    presolved: Presolved,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    reductions: Collection[str] = REDUCTIONS,
    *,
    groups: Indices | None = None,
    rows: Bools | None = None,
    loss_at_most: float | None = None,
) -> TrainingModel:
    """Build the training program of a reduced problem.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem, with at least one point.
    tolerances : Tolerances
        Of the solver that will be used; the margin is chosen from them.
    reductions : collection of str
        Subset of `REDUCTIONS`; those that are not valid for the architecture are left out.
    groups : ndarray of shape (p,) or None
        Group 0, 1, … of each point, whose points share their activations; None for one group per point.
    rows : ndarray of shape (p,), bool, or None
        Points that need rows in the first layer (the others follow from them); None for all.
    loss_at_most : float or None
        If given, the regularizer is minimized among the networks with at most this loss, in units of sample weight.

    Returns
    -------
    TrainingModel
        Program and translation.

    Raises
    ------
    InputError
        If a reduction is unknown.
    MarginError
        If no margin is safe, or the margin asked for is too small for the solver's tolerances.
    """
    unknown = set(reductions) - set(REDUCTIONS)
    if unknown:
        raise InputError(f"unknown reductions {sorted(unknown)}; accepted are {', '.join(REDUCTIONS)}")
    active = frozenset(reductions) & _valid_reductions(presolved, grouped=groups is not None)
    builder = _Builder(presolved, Scales.of(presolved, tolerances), active, groups, rows, loss_at_most is None)
    for k in range(len(presolved.problem.widths)):
        builder.add_layer(k)
    builder.share_losses()
    builder.losses.cap(loss_at_most)
    milp, layout, scales = builder.milp, builder.layout, builder.scales
    layout.absolute.extend(blocks.add_regularizer(milp, layout.weights, presolved, scales, loss_at_most is not None))
    return TrainingModel(milp.build(), layout, presolved, scales, active, builder.groups)


class _Builder(LayerBuilder):
    """The program under construction."""

    def __init__(
        self,
        presolved: Presolved,
        scales: Scales,
        active: Collection[str],
        groups: Indices | None,
        rows: Bools | None,
        counted: bool,
    ) -> None:
        super().__init__(presolved, scales, active, groups, rows, counted)
        self._points = sp.csr_matrix(presolved.X[self.kept])
        # points at 0 in a layer without biases: their activations are known
        zero = (scales.norms == 0) & scales.zero_fires
        self._zero, self._zero_group = zero[self.kept], np.zeros(len(self.class_weight), dtype=bool)
        self._zero_group[self.groups[zero]] = True
        self._shared = np.zeros(presolved.n_points, dtype=bool)
        if presolved.answers is not None:
            self._shared = np.bincount(presolved.answers)[presolved.answers] > 1
        self._counted = self.by_group(~self._shared)

    def add_layer(self, k: int) -> None:
        """Add a layer: weights, products, activations or losses, and rows."""
        W, b = self.add_weights(k)
        if k:
            sides = np.full(W.shape, self.least_weight(k)), np.full(W.shape, self.scales.weight)
            fired = self.layout.fired[-1]
            self.layout.products.append(blocks.products(self.milp, W, fired, *sides, implied=self.integer))
        self.order_neurons(k)
        if self.is_last(k) and self.problem.head == "argmax":
            self._add_argmax(k)
        else:
            self._add_neurons(k, W, b)

    def _add_neurons(self, k: int, W: Index, b: Index | None) -> None:
        """Add activations and the rows (3)."""
        scales, (owner, big_m) = self.scales, self.owner(k)
        fires = (self._zero_group & (k == 0))[:, None].astype(float)
        if self.is_last(k):
            u = self.losses.threshold(self._counted, fires)
        else:
            u = self.milp.variables((len(self.class_weight), len(W)), fires, 1, integer=True)
        on, off, _ = scales.above(W.shape[1]) if k else (scales.on, scales.off, 0.0)
        lower, upper = np.full(u.shape, on), np.full(u.shape, off)
        if self.is_last(k) and "output_side" in self.active:
            dear, cheap = self._one_sided(k, u.shape)
            lower[dear], upper[cheap] = -np.inf, np.inf
        lower, upper, binary = lower[owner], upper[owner], u[owner]
        if k == 0:
            lower[self._zero], upper[self._zero] = -np.inf, np.inf
            block = blocks.affine_of_data(self._points, W, b)
        elif scales.zero_fires:
            block = blocks.combination_of_products([(self.layout.products[-1], b, 1.0), self._sum_of_fired(len(W))])
        else:
            block = blocks.affine_of_products(self.layout.products[-1], b)
        self.layout.fired.append(u)
        self.milp.indicators(block, binary.T.ravel(), lower.T.ravel(), upper.T.ravel(), np.tile(big_m, len(W)))

    def _one_sided(self, k: int, shape: tuple[int, ...]) -> tuple[Bools, Bools]:
        """Return which outputs need no row that keeps them on, because that costs, or off, of shape (g, n_outputs)."""
        if k:  # a group has one output, like a point
            gain = self.losses.cost_of_firing(self.class_weight)
            dear, cheap = gain > 0, gain < 0
            if self._shared.any():  # what a shared loss costs depends on the other points
                mixed = np.count_nonzero(self.class_weight, axis=1) > 1
                dear[mixed], cheap[mixed] = False, False
            return dear, cheap
        # all points of a group must agree
        cost = self.losses.cost_of_firing(self.presolved.class_weight)
        dear, cheap = np.ones(shape, dtype=bool), np.ones(shape, dtype=bool)
        np.logical_and.at(dear, self.groups, cost > 0)
        np.logical_and.at(cheap, self.groups, cost < 0)
        return dear, cheap

    def _add_argmax(self, k: int) -> None:
        """Add z and the rows (5)."""
        layout, scales, (owner, big_m) = self.layout, self.scales, self.owner(k)
        zero_group = self._zero_group & (k == 0)
        layout.right, layout.right_of = self.losses.argmax(self.class_weight, zero_group, self._counted)

        def pair(c: int, other: int, at: Indices) -> tuple[blocks.Rows, ArrayLike]:
            terms = [(c, 1.0), (other, -1.0)]
            biases = layout.biases[k] if layout.biases else None
            bias = [None if biases is None else biases[j : j + 1] for j, _ in terms]
            if k:
                s = layout.products[-1][at]
                parts = [(s[:, j : j + 1], e, f) for (j, f), e in zip(terms, bias, strict=True)]
                if scales.zero_fires:
                    parts.append(self._sum_of_fired(1, at))
                return blocks.combination_of_products(parts), 0.0
            weights = [(layout.weights[k][j : j + 1], e, f) for (j, f), e in zip(terms, bias, strict=True)]
            return blocks.combination_of_data(self._points[at], weights), np.where(self._zero[at], np.inf, 0.0)

        right, ties = (layout.right, layout.right_of), self.integer or (scales.zero_fires and k > 0)
        n_outputs = self.problem.widths[k]
        blocks.argmax_rows(self.milp, right, owner, n_outputs, pair, 2 * big_m, scales.margin or 1.0, ties)

    def _sum_of_fired(self, d: int, at: Indices | slice = slice(None)) -> tuple[Index, None, float]:
        """Return the term -ε Σ_j u_ij of the rows of d neurons at some groups."""
        fired = self.layout.fired[-1][at]
        return np.broadcast_to(fired[:, None, :], (len(fired), d, fired.shape[1])), None, -self.scales.margin

    def share_losses(self) -> None:
        """Add the losses of the points that share them; each point has one label."""
        if not self._shared.any():
            return
        presolved, layout, points = self.presolved, self.layout, np.flatnonzero(self._shared)
        assert presolved.answers is not None
        first, answer = np.unique(presolved.answers[points], return_index=True, return_inverse=True)[1:]
        weight = presolved.class_weight[points]
        label = weight.argmax(axis=1)
        if layout.right.size:
            column = np.full((int(self.groups.max()) + 1, weight.shape[1]), -1, dtype=np.int32)
            column[tuple(layout.right_of)] = layout.right
            output, wrong = column[self.groups[points], label], np.zeros(len(points), dtype=bool)
        else:
            output, wrong = layout.fired[-1][self.groups[points], 0], label == 0
        missed = self.problem.loss.label_costs(weight).max(axis=1)
        layout.shared = self.losses.shared(missed[first], answer, output, wrong)
        layout.sharing = answer.astype(np.int32), output.astype(np.int32), wrong


def _valid_reductions(presolved: Presolved, grouped: bool) -> set[str]:
    problem = presolved.problem
    valid = {"neuron_order"}
    # where a row limits the loss, firing without its cost must be excluded; a group is given up as a whole, which rows
    # for both sides of each of its points would not allow
    if problem.head == "threshold" and (grouped or problem.weights == "continuous"):
        valid.add("output_side")
    # the signs of the weights imply this already
    if problem.hidden_layer_sizes and problem.n_outputs == 1 and problem.fit_intercept and not problem.limits.signed:
        valid.add("output_sign")
    return valid
