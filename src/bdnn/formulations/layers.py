"""What the training programs have in common while they are built layer by layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bdnn.formulations import blocks
from bdnn.milp.program import Index, MilpBuilder

if TYPE_CHECKING:
    from bdnn.formulations.scales import Scales
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices


@dataclass(eq=False, slots=True)
class Layout:
    """Columns of the variables, filled while the program is built.

    Attributes
    ----------
    weights, biases : list of ndarray
        One array of shape (d_k, d_{k-1}) and (d_k,) per layer; no biases without intercepts.
    fired : list of ndarray of shape (g, d_k)
        Activations of the thresholded layers, one row per group of points.
    products : list of ndarray of shape (g, d_k, d_{k-1})
        For layers 2, …, K.
    right : ndarray of shape (r,)
        z of the argmax head, for the groups and labels in `right_of`, of shape (2, r).
    absolute : list of ndarray of shape (d_k, d_{k-1})
        |W| or [W ≠ 0] of the regularizers ℓ1 and ℓ0; empty without.
    used : ndarray of shape (n',)
        For each input, whether its column may have weights; empty without a limit on the columns.
    shared : ndarray of shape (a,)
        v of the answers that several points share.
    sharing : tuple of ndarray
        For each of these points, its place in `shared`, the column of its output, and whether an output of 1 is wrong.
    """

    weights: list[Index] = field(default_factory=list)
    biases: list[Index] = field(default_factory=list)
    fired: list[Index] = field(default_factory=list)
    products: list[Index] = field(default_factory=list)
    right: Index = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    right_of: Index = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int32))
    absolute: list[Index] = field(default_factory=list)
    used: Index = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    shared: Index = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    sharing: tuple[Index, Index, Bools] | None = None


class LayerBuilder:
    """A program under construction.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem.
    scales : Scales
        Margin and bounds.
    active : collection of str
        Reductions in force.
    groups : ndarray of shape (p,) or None
        Group of each point; None for one group per point.
    rows : ndarray of shape (p,), bool, or None
        Points that need rows in the first layer; None for all.
    counted : bool
        Whether the loss is the objective.

    Attributes
    ----------
    milp : MilpBuilder
        Receives variables and rows.
    layout : Layout
        Columns so far.
    losses : blocks.LossTerms
        The loss so far.
    kept : ndarray of int
        Points with rows in the first layer.
    class_weight : ndarray of shape (g, n_classes)
        Weight of each label in each group.
    """

    def __init__(
        self,
        presolved: Presolved,
        scales: Scales,
        active: Collection[str],
        groups: Indices | None,
        rows: Bools | None,
        counted: bool,
    ) -> None:
        self.presolved, self.scales, self.problem = presolved, scales, presolved.problem
        self.integer, self.active = self.problem.weights == "integer", frozenset(active)
        self.milp, self.layout = MilpBuilder(), Layout()
        self.losses = blocks.LossTerms(self.milp, presolved, counted)
        self.groups = np.arange(len(presolved.X)) if groups is None else groups
        self.kept = np.arange(len(self.groups)) if rows is None else np.flatnonzero(rows)
        self.class_weight = self.by_group()

    def by_group(self, points: Bools | slice = slice(None)) -> Floats:
        """Return the weight of each label among some points of each group, of shape (g, n_classes)."""
        weight = np.zeros((int(self.groups.max(initial=-1)) + 1, self.presolved.class_weight.shape[1]))
        np.add.at(weight, self.groups[points], self.presolved.class_weight[points])
        return weight

    def is_last(self, k: int) -> bool:
        """Whether layer k, counted from 0, holds the outputs."""
        return k == len(self.problem.widths) - 1

    def least_weight(self, k: int) -> float:
        """Return the lower bound of the weights of layer k, except for signs in the first layer."""
        signed = k > 0 and self.problem.limits.signed
        return 0.0 if signed or (self.is_last(k) and "output_sign" in self.active) else -self.scales.weight

    def add_weights(self, k: int) -> tuple[Index, Index | None]:
        """Add the weights and, with intercepts, the biases of layer k."""
        inputs = self.problem.widths[k - 1] if k else self.presolved.X.shape[1]
        d, bound = self.problem.widths[k], self.scales.bias_bounds[k]
        low, high = self.least_weight(k), self.scales.weight
        sign = np.zeros(inputs) if k else self.problem.limits.signs[self.presolved.kept]
        W = self.milp.variables(
            (d, inputs), np.where(sign > 0, 0.0, low), np.where(sign < 0, 0.0, high), integer=self.integer
        )
        self.layout.weights.append(W)
        if k == 0 and self.problem.limits.caps:
            self.layout.used = blocks.choose_columns(self.milp, W, self.presolved, high)
        if not self.problem.fit_intercept:
            return W, None
        b = self.milp.variables((d,), -bound, bound, integer=self.integer)
        self.layout.biases.append(b)
        return W, b

    def order_neurons(self, k: int) -> None:
        """Order the neurons of a hidden layer by biases or, without biases, by first weights, if this is asked for."""
        W = self.layout.weights[k]
        if self.is_last(k) or len(W) == 1 or "neuron_order" not in self.active:
            return
        if self.layout.biases or W.shape[1]:
            key = self.layout.biases[k] if self.layout.biases else W[:, 0]
            self.milp.rows(np.column_stack([key[:-1], key[1:]]), [1, -1], 0, np.inf)

    def owner(self, k: int) -> tuple[Indices, Floats]:
        """Return the group and a valid M of each row of a neuron: of points in the first layer, of groups in others."""
        if k == 0:
            return self.groups[self.kept], self.scales.big_m(0)[self.kept]
        owner = np.arange(len(self.class_weight))
        return owner, np.broadcast_to(self.scales.big_m(k), owner.shape)
