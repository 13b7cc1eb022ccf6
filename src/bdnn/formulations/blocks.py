"""Building blocks of the formulations: affine maps, products of a binary and a weight, losses, regularizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from bdnn.errors import BDNNError
from bdnn.milp.program import Index, MilpBuilder
from bdnn.types import Bools, Floats, Indices

if TYPE_CHECKING:
    from bdnn.formulations.scales import Scales
    from bdnn.problem.presolve import Presolved

Rows = tuple[Index, Floats, Index]
"""CSR arrays (indptr, data, indices) of a block of rows."""


def affine_of_data(points: sp.csr_matrix, weights: Index, bias: Index | None) -> Rows:
    """Rows ``Σ_j x_ij W_lj + b_l``, neuron by neuron and, within a neuron, point by point.

    Parameters
    ----------
    points : csr_matrix of shape (p, n)
        Data; zeros cost nothing.
    weights : ndarray of shape (d, n)
        Columns of W.
    bias : ndarray of shape (d,) or None
        Columns of b, or None without biases.

    Returns
    -------
    tuple
        CSR arrays of d * p rows.
    """
    return combination_of_data(points, [(weights, bias, 1.0)])


def combination_of_data(points: sp.csr_matrix, terms: list[tuple[Index, Index | None, float]]) -> Rows:
    """Rows ``Σ_t f_t (Σ_j x_ij W^t_lj + b^t_l)`` for terms (W^t, b^t, f_t); all W^t have shape (d, n)."""
    p, width = points.shape[0], len(terms)
    n_neurons = len(terms[0][0])
    with_bias = terms[0][1] is not None
    entries = np.diff(points.indptr)
    per_row = width * (entries + with_bias)
    start = np.concatenate([[0], np.cumsum(per_row)])
    data = np.empty((n_neurons, start[-1]))
    indices = np.empty((n_neurons, start[-1]), dtype=np.int32)
    # where the entries of term t of each row go, which is the same for every neuron
    position = np.arange(points.nnz) + np.repeat(start[:-1] - points.indptr[:-1], entries)
    for t, (weights, bias, factor) in enumerate(terms):
        place = position + np.repeat(t * (entries + with_bias), entries)
        data[:, place] = factor * points.data
        for neuron in range(n_neurons):
            indices[neuron, place] = weights[neuron][points.indices]
        if bias is not None:
            last = start[:-1] + (t + 1) * (entries + 1) - 1
            data[:, last] = factor
            indices[:, last] = bias[:, None]
    indptr = np.concatenate([[0], np.cumsum(np.tile(per_row, n_neurons))])
    if indptr[-1] != n_neurons * start[-1] or len(indptr) != n_neurons * p + 1:
        raise BDNNError(f"rows of {n_neurons} neurons at {p} points do not add up")
    return indptr, data.ravel(), indices.ravel()


def affine_of_products(products: Index, bias: Index | None) -> Rows:
    """Rows ``Σ_j s_ilj + b_l`` for products of shape (p, d, d_in), neuron by neuron, then point by point."""
    return combination_of_products([(products, bias, 1.0)])


def combination_of_products(terms: list[tuple[Index, Index | None, float]]) -> Rows:
    """Rows ``Σ_t f_t (Σ_j s^t_ilj + b^t_l)`` for terms (s^t of shape (p, d, d_in), b^t, f_t)."""
    parts, coefficients = [], []
    for products, bias, factor in terms:
        p, d, d_in = products.shape
        parts.append(products.transpose(1, 0, 2).reshape(d * p, d_in))
        if bias is not None:
            parts.append(np.repeat(bias, p)[:, None])
        coefficients.append(np.full(d_in + (bias is not None), factor))
    columns, values = np.hstack(parts), np.concatenate(coefficients)
    count, width = columns.shape
    indptr = np.arange(count + 1, dtype=np.int64) * width
    return indptr.astype(np.int32), np.tile(values, count), columns.ravel().astype(np.int32)


def affine_of_fired(fired: Index, weights: Floats) -> Rows:
    """Rows ``Σ_j W_lj u_ij`` for columns u of shape (p, d_in) and numbers W of shape (d, d_in), neuron by neuron."""
    p, d = len(fired), len(weights)
    used = weights != 0
    indptr = np.concatenate([[0], np.cumsum(np.repeat(used.sum(axis=1), p))])
    data = [np.tile(row[nonzero], p) for row, nonzero in zip(weights, used, strict=True)]
    indices = [fired[:, nonzero].ravel() for nonzero in used]
    if len(indptr) != p * d + 1:
        raise BDNNError(f"rows of {d} neurons at {p} points do not add up")
    return indptr, np.concatenate([np.zeros(0), *data]), np.concatenate([np.zeros(0, np.int32), *indices])


def products(
    builder: MilpBuilder, weights: Index, fired: Index, lower: Floats, upper: Floats, *, implied: bool = False
) -> Index:
    """Add s_ilj = W_lj u_ij by McCormick rows, exact for binary u (G. P. McCormick, doi:10.1007/BF01580665).

    Parameters
    ----------
    builder : MilpBuilder
        Receives variables and rows.
    weights : ndarray of shape (d, d_in)
        Columns of W.
    fired : ndarray of shape (p, d_in)
        Columns of the binary u.
    lower, upper : ndarray of shape (d, d_in)
        Bounds of W.
    implied : bool
        Whether W is integer.

    Returns
    -------
    ndarray of shape (p, d, d_in)
        Columns of s.
    """
    shape = (fired.shape[0], *weights.shape)
    low, high = (np.broadcast_to(a, shape) for a in (lower, upper))
    s = builder.variables(shape, np.minimum(low, 0), np.maximum(high, 0), implied=implied)
    w, u = (np.broadcast_to(a, shape) for a in (weights, fired[:, None, :]))

    def add(
        columns: Sequence[Index], coefficients: list[ArrayLike], row_lower: ArrayLike, row_upper: ArrayLike
    ) -> None:
        values = np.column_stack([np.broadcast_to(np.asarray(c, dtype=float), s.size) for c in coefficients])
        builder.rows(np.column_stack(columns), values, row_lower, row_upper)

    s_, w_, u_ = (a.ravel() for a in (s, w, u))
    low_, high_ = low.ravel(), high.ravel()
    add([s_, u_], [1, -high_], -np.inf, 0)  # s <= w̄ u
    if np.any(lower):
        add([s_, u_], [1, -low_], 0, np.inf)  # s >= w̲ u; with w̲ = 0 the bound of s says it
    add([w_, s_, u_], [1, -1, low_], low_, np.inf)  # s <= w - w̲ (1 - u)
    add([w_, s_, u_], [1, -1, high_], -np.inf, high_)  # s >= w - w̄ (1 - u)
    return s


def choose_columns(builder: MilpBuilder, weights: Index, presolved: Presolved, largest: float) -> Index:
    """Add a binary for each column of the table that has inputs, and limit the number of columns with weights.

    Parameters
    ----------
    builder : MilpBuilder
        Receives variables and rows.
    weights : ndarray of shape (d, n')
        Columns of the weights of the first layer.
    presolved : Presolved
        The reduced problem, with a limit on the columns.
    largest : float
        Bound on the absolute value of a weight.

    Returns
    -------
    ndarray of shape (n',)
        For each input, the binary of its column.
    """
    limits = presolved.problem.limits
    column = np.unique(limits.groups[presolved.kept], return_inverse=True)[1].ravel()
    used = builder.variables((int(column.max(initial=-1)) + 1,), 0, 1, integer=True)
    if not len(used):
        return used
    w = weights.ravel()
    z = np.broadcast_to(used[column], weights.shape).ravel()
    builder.rows(np.column_stack([w, z]), [1.0, -largest], -np.inf, 0)
    builder.rows(np.column_stack([w, z]), [1.0, largest], 0, np.inf)
    builder.rows(used[None, :], np.ones(len(used)), -np.inf, float(limits.most or 0))
    return used[column]


class LossTerms:
    """The loss of a program, in units of `Presolved.loss_unit`, as its objective or capped by a row.

    Parameters
    ----------
    builder : MilpBuilder
        Receives variables and rows.
    presolved : Presolved
        The reduced problem.
    counted : bool
        Whether the loss is the objective.
    """

    def __init__(self, builder: MilpBuilder, presolved: Presolved, counted: bool) -> None:
        self._builder, self._presolved, self._counted = builder, presolved, counted
        self._loss = presolved.problem.loss
        self._columns, self._costs = np.zeros(0, dtype=np.int32), np.zeros(0)
        self._constant = float(self.in_units(presolved.constant))

    def in_units(self, weight: ArrayLike) -> Floats:
        """Return weights in the program's unit."""
        units = np.asarray(weight) / self._presolved.loss_unit
        return np.rint(units) if self._presolved.loss_step else units

    def cost_of_firing(self, class_weight: Floats) -> Floats:
        """Return what firing costs beyond not firing, of shape (g, n_outputs), for class weights (g, n_classes)."""
        on, off = self._loss.costs(class_weight)
        return self.in_units(on) - self.in_units(off)

    def threshold(self, class_weight: Floats, least: ArrayLike = 0.0, fixed: dict[int, Floats] | None = None) -> Index:
        """Add the output activations u >= least, of shape (g, n_outputs), with their costs: equation (1).

        Outputs in `fixed` have the given activations, of shape (g,), and no column.
        """
        cost = self.cost_of_firing(class_weight)
        constant = float(self.in_units(self._loss.costs(class_weight)[1]).sum())
        for output, fired in (fixed or {}).items():
            constant += float(cost[:, output] @ fired)
        return self._add(np.delete(cost, list(fixed or {}), axis=1), constant, least=least)

    def robust_threshold(self, class_weight: Floats) -> tuple[Index, Index]:
        """Add the lower and upper output activations, of shape (g, n_outputs), with their costs.

        Not being surely on costs as much as not firing, and not being surely off costs as much as firing.
        """
        on, off = (self.in_units(cost) for cost in self._loss.costs(class_weight))
        columns = self._add(np.stack([-off, on]), float(off.sum()))
        return columns[0], columns[1]

    def argmax(self, class_weight: Floats, zero: Bools, counted: Floats | None = None) -> tuple[Index, Index]:
        """Add a binary z for each group and label that occurs in it, and return it with its groups and labels.

        Groups in `zero`, of shape (g,), get label 0 whatever the weights. Only the weights `counted`, of shape
        (g, n_classes), have a cost; None for all.
        """
        occurs = np.argwhere(class_weight > 0)
        weight = self.in_units(self._loss.costs(class_weight if counted is None else counted)[1])
        possible = ~zero[occurs[:, 0]] | (occurs[:, 1] == 0)
        cost = -weight[tuple(occurs.T)]
        return self._add(cost, float(weight.sum()), most=possible), occurs.T.astype(np.int32)

    def shared(self, weight: Floats, answer: Indices, output: Index, wrong: Bools) -> Index:
        """Add losses v that several outputs share: v = 1 if one of them is wrong.

        Parameters
        ----------
        weight : ndarray of shape (a,)
            Weight of each loss.
        answer : ndarray of shape (q,)
            Loss of each output, from 0.
        output : ndarray of shape (q,)
            Columns of binaries.
        wrong : ndarray of shape (q,), bool
            The value of the binary for which the output is wrong.

        Returns
        -------
        ndarray of shape (a,)
            Columns of v.
        """
        v = self._add(self.in_units(weight), 0.0)
        pairs = np.column_stack([v[answer], output])
        signs = np.column_stack([np.ones(len(pairs)), np.where(wrong, -1.0, 1.0)])
        self._builder.rows(pairs, signs, np.where(wrong, 0.0, 1.0), np.inf)  # v >= u, or v >= 1 - u
        return v

    def _add(self, cost: Floats, constant: float, least: ArrayLike = 0.0, most: ArrayLike = 1.0) -> Index:
        counted = cost if self._counted else np.zeros_like(cost)
        columns = self._builder.variables(cost.shape, least, most, cost=counted, integer=True)
        self._columns = np.concatenate([self._columns, columns.ravel()])
        self._costs = np.concatenate([self._costs, cost.ravel()])
        self._constant += constant
        if self._counted:
            self._builder.offset = self._constant
        return columns

    def cap(self, loss: float | None) -> None:
        """Add a row that limits the loss to at most `loss`, in units of sample weight."""
        if loss is None:
            return
        units = loss / self._presolved.loss_unit
        # the limit is raised a little for the rounding of sums; where losses have steps of 1, that is harmless
        most = round(units) + 1e-6 if self._presolved.loss_step else units * (1 + 1e-9) + 1e-9
        self._builder.rows(self._columns[None, :], self._costs[None, :], -np.inf, most - self._constant)


def argmax_rows(
    builder: MilpBuilder,
    right: tuple[Index, Index],
    owner: ArrayLike,
    n_classes: int,
    pair: Callable[[int, int, Indices], tuple[Rows, ArrayLike]],
    big_m: ArrayLike,
    least: float,
    lowest_wins: bool,
) -> None:
    """Add the rows (5) of an argmax head.

    Parameters
    ----------
    builder : MilpBuilder
        Receives the rows.
    right : tuple of ndarray
        The binaries z and, of shape (2, r), their groups and labels.
    owner : ndarray of shape (p,)
        Group of each point that has rows.
    n_classes : int
        Outputs.
    pair : callable
        ``pair(c, c', at)`` gives the rows of the points `at` for a_c - a_c', and the constant to be added to each (inf
        where no row is needed).
    big_m : ndarray of shape (p,)
        Bounds of the differences.
    least : float
        Least difference, ε or 1.
    lowest_wins : bool
        Whether ties may be decided by the index, so that 0 is enough for c < c'.
    """
    z, (group, label_of) = right
    owner, big_m = np.asarray(owner), np.asarray(big_m)
    count = max(int(np.max(owner, initial=-1)), int(np.max(group, initial=-1))) + 1
    column = np.full((count, n_classes), -1, dtype=np.int32)
    column[group, label_of] = z
    for label in range(n_classes):
        binary = column[owner, label]
        at = np.flatnonzero(binary >= 0)
        for other in range(n_classes):
            if other == label or not len(at):
                continue
            block, constant = pair(label, other, at)
            side = 0.0 if lowest_wins and label < other else least
            builder.indicators(block, binary[at], side - np.asarray(constant), np.inf, big_m[at])


def add_regularizer(
    builder: MilpBuilder, weights: list[Index], presolved: Presolved, scales: Scales, alone: bool
) -> list[Index]:
    """Add the regularizer to the objective.

    Parameters
    ----------
    builder : MilpBuilder
        Receives variables and rows.
    weights : list of ndarray
        Columns of the weights, one array per layer.
    presolved : Presolved
        The reduced problem.
    scales : Scales
        Bounds of the weights.
    alone : bool
        Whether the regularizer is the whole objective (the second step of a lexicographic minimization).

    Returns
    -------
    list of ndarray
        Columns of |W| or [W ≠ 0] for ℓ1 and ℓ0, else empty.
    """
    problem = presolved.problem
    lexicographic = problem.regularization == "lexicographic"
    if problem.regularizer is None or (lexicographic and not alone):
        return []
    factor = 1.0 if lexicographic else float(problem.regularization) / presolved.loss_unit
    added = []
    for W in weights:
        if problem.regularizer == "l2":
            builder.squares(W, factor)
            continue
        count = problem.regularizer == "l0"
        high = 1.0 if count else scales.weight
        t = builder.variables(W.shape, 0, high, cost=factor, integer=count, implied=problem.weights == "integer")
        pairs = np.column_stack([t.ravel(), W.ravel()])
        per_unit = scales.weight if count else 1.0
        builder.rows(pairs, [per_unit, -1.0], 0, np.inf)
        builder.rows(pairs, [per_unit, 1.0], 0, np.inf)
        added.append(t)
    return added
