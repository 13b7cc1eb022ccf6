r"""Training one block of neurons with all others fixed (J. Kurtz and B. Bah, arXiv:2110.11382, local search).

The block is a set L of neurons of layer k. Upstream activations are data v_i, downstream weights are constants, so
there are no products, and points with the same v_i count as one point:

.. math::

    a^k_{il} = \sum_j W_{lj} v_{ij} + b_l \;\; (l \in L), \qquad
    a^h_{il} = \sum_j W^h_{lj} u^{h-1}_{ij} + b^h_l \;\; (h > k, \; W^h, b^h \text{ fixed})                   \tag{1}

with the thresholds and losses of `bdnn.formulations.training`. The neurons of layer k outside L are data, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp

from bdnn.errors import InputError, MarginError
from bdnn.formulations import blocks
from bdnn.formulations.model import bounded, mark_used, scaled, within
from bdnn.formulations.scales import Scales
from bdnn.milp.program import Index, Milp, MilpBuilder
from bdnn.milp.tolerances import DEFAULT_TOLERANCES, Tolerances
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices


@dataclass(frozen=True, eq=False, slots=True)
class BlockModel:
    """The program of one block.

    Attributes
    ----------
    milp : Milp
        The program; its objective is that of the whole network, in units of `Presolved.loss_unit`, except for the
        regularizer of the fixed weights.
    presolved : Presolved
        The reduced problem.
    scales : Scales
        Margin and bounds.
    network : Network
        The network whose other neurons are kept.
    layers : list of Layer
        The same on reduced inputs, scaled.
    layer : int
        k, from 0.
    neurons : ndarray of shape (b,)
        L.
    weights, biases, absolute : ndarray
        Columns of the free weights (b, d_{k-1}), biases (b,) and |W| or [W ≠ 0] (b, d_{k-1}); empty if there are none.
    signal : ndarray of shape (q, d_{k-1})
        The distinct inputs v of the layer.
    fired : list of ndarray
        Columns of the activations from layer k on, of shape (q, b) and (q, d_h).
    right : tuple of ndarray
        z of the argmax head, with points and labels.
    used : ndarray of shape (n',)
        For each input of a first layer, whether its column may have weights; empty without a limit on the columns.
    """

    milp: Milp
    presolved: Presolved
    scales: Scales
    network: Network
    layers: list[Layer]
    layer: int
    neurons: Indices
    weights: Index
    biases: Index
    absolute: Index
    signal: Floats
    fired: list[Index]
    right: tuple[Index, Index]
    used: Index

    def decode(self, x: Floats) -> Network:
        """Return the network, on raw inputs, of a solution vector."""
        W, b = (a.copy() for a in self.layers[self.layer])
        found = np.clip(x[self.weights], -self.scales.weight, self.scales.weight)
        W[self.neurons] = within(found, self.layer, self.presolved, x[self.used])
        if self.presolved.problem.regularizer == "l0" and self.absolute.size:
            W[self.neurons] = np.where(x[self.absolute] > 0.5, W[self.neurons], 0.0)
        if self.biases.size:
            b[self.neurons] = x[self.biases]
        layers = [*self.layers]
        layers[self.layer] = Layer(W, b)
        changed, kept = self.presolved.to_network(layers).layers[self.layer], self.network.layers[self.layer]
        # all other neurons are kept exactly as they are
        W, b = kept.weights.copy(), kept.bias.copy()
        W[self.neurons], b[self.neurons] = changed.weights[self.neurons], changed.bias[self.neurons]
        layers = [*self.network.layers]
        layers[self.layer] = Layer(W, b)
        return replace(self.network, layers=tuple(layers))

    def encode(self, network: Network) -> Floats:
        """Return the solution vector of a network that differs from the fixed one only in the block.

        Parameters
        ----------
        network : Network
            On raw inputs.

        Returns
        -------
        ndarray of shape (n_columns,)
            A feasible point.

        Raises
        ------
        InputError
            If the network is not of the problem's class.
        MarginError
            If a pre-activation is closer to its threshold than the margin.
        """
        problem, k = self.presolved.problem, self.layer
        integer = problem.weights == "integer"
        layers = self.presolved.to_layers(network)
        if layers is None:
            raise InputError("the network has a different architecture or different weights than the problem asks for")
        layers = layers if integer else scaled(self.presolved, layers, self.scales.margin)
        layers = bounded(self.presolved, layers, self.scales.bias_bounds)
        W, b = layers[k][0][self.neurons], layers[k][1][self.neurons]
        x = np.zeros(self.milp.n_columns)
        x[self.weights] = W
        if self.used.size:
            fixed = np.delete(layers[k][0], self.neurons, axis=0)
            mark_used(x, self.used, np.vstack([W, fixed]))
        if self.biases.size:
            x[self.biases] = b
        if self.absolute.size:
            x[self.absolute] = W != 0 if problem.regularizer == "l0" else np.abs(W)
        full = self.layers[k][0].copy(), self.layers[k][1].copy()
        full[0][self.neurons], full[1][self.neurons] = W, b
        signal = self.signal
        for h, (V, c) in enumerate([Layer(*full), *self.layers[k + 1 :]]):
            values = signal @ V.T + c
            signal = (values >= 0).astype(np.float64)
            if h < len(self.fired):
                x[self.fired[h]] = signal[:, self.neurons] if h == 0 else signal
        z, (point, label) = self.right
        x[z] = np.argmax(values, axis=1)[point] == label
        if self.milp.violation(x) > self.scales.tolerances.feasibility:
            raise MarginError(f"a pre-activation of the network is within the margin {self.scales.margin:.3g} of 0")
        return x


def build(
    presolved: Presolved,
    network: Network,
    layer: int,
    neurons: Collection[int] | None = None,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    *,
    loss_at_most: float | None = None,
) -> BlockModel:
    """Build the program of a block.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem, with at least one point.
    network : Network
        The network, on raw inputs, whose other neurons are kept.
    layer : int
        Index of the block's layer, from 0.
    neurons : collection of int or None
        Neurons of the block; None for the whole layer. The outputs of an argmax head must be in one block.
    tolerances : Tolerances
        Of the solver that will be used.
    loss_at_most : float or None
        If given, the regularizer is minimized among the networks with at most this loss, in units of sample weight.

    Returns
    -------
    BlockModel
        Program and translation.

    Raises
    ------
    InputError
        If the network is not of the problem's class.
    MarginError
        If no margin is safe.
    """
    problem = presolved.problem
    integer, argmax = problem.weights == "integer", problem.head == "argmax"
    layers = presolved.to_layers(network)
    if layers is None:
        raise InputError("the network has a different architecture or different weights than the problem asks for")
    scales = Scales.of(presolved, tolerances)
    layers = layers if integer else scaled(presolved, layers, scales.margin)
    layers = bounded(presolved, layers, scales.bias_bounds)
    everything = neurons is None or (argmax and layer == len(layers) - 1)
    free = (
        np.arange(len(layers[layer].bias)) if everything else np.unique(np.asarray(list(neurons or ()), dtype=np.intp))
    )
    builder = _Builder(presolved, network, layers, scales, layer, free, loss_at_most is None)
    for h in range(layer, len(layers)):
        builder.add_layer(h)
    builder.losses.cap(loss_at_most)
    absolute = blocks.add_regularizer(builder.milp, [builder.weights], presolved, scales, loss_at_most is not None)
    none = np.zeros(0, dtype=np.int32)
    return BlockModel(
        milp=builder.milp.build(),
        presolved=presolved,
        scales=scales,
        network=network,
        layers=layers,
        layer=layer,
        neurons=free,
        weights=builder.weights,
        biases=none if builder.biases is None else builder.biases,
        absolute=absolute[0] if absolute else none,
        signal=builder.signal,
        fired=builder.fired,
        right=builder.right,
        used=builder.used,
    )


class _Sums(NamedTuple):
    """Pre-activations of a layer at the distinct inputs of the block.

    Attributes
    ----------
    rows : Rows
        Their variable part, neuron by neuron.
    constant, big_m : ndarray of shape (q, d)
        Their constant part, and a valid M.
    on, off : float
        Least pre-activation of a neuron that fires, and largest of one that does not.
    weights : ndarray of shape (d, d_in)
        In a layer above the block, the weights of those activations below that are variables, less `shift`.
    shift : float
        The amount subtracted from each weight, so that zero inputs keep no margin; see `Scales.above`.
    """

    rows: blocks.Rows
    constant: Floats
    big_m: Floats
    on: float
    off: float
    weights: Floats
    shift: float


class _Builder:
    """The program under construction."""

    def __init__(
        self,
        presolved: Presolved,
        network: Network,
        layers: list[Layer],
        scales: Scales,
        layer: int,
        free: Indices,
        counted: bool,
    ) -> None:
        problem = presolved.problem
        self.problem, self.scales, self.layers, self.layer, self.free = problem, scales, layers, layer, free
        self.integer = problem.weights == "integer"
        self.signal, self._class_weight, self._norms, first = _inputs(presolved, network, layer, scales)
        self.milp = MilpBuilder()
        self.losses = blocks.LossTerms(self.milp, presolved, counted)
        d, bound = len(free), scales.bias_bounds[layer]
        shape = (d, self.signal.shape[1])
        limits = problem.limits
        sign = limits.signs[presolved.kept] if layer == 0 else np.full(shape[1], int(limits.signed))
        low, high = np.where(sign > 0, 0.0, -scales.weight), np.where(sign < 0, 0.0, scales.weight)
        self.weights = self.milp.variables(shape, low, high, integer=self.integer)
        self.used = np.zeros(0, dtype=np.int32)
        if layer == 0 and limits.caps:
            self.used = blocks.choose_columns(self.milp, self.weights, presolved, scales.weight)
            fixed = np.any(np.delete(layers[0][0], free, axis=0) != 0, axis=0)
            if fixed.any():  # columns of other neurons
                taken = self.used[fixed]
                self.milp.rows(taken[:, None], [1.0], 1, 1)
        self.biases: Index | None = None
        if problem.fit_intercept:
            self.biases = self.milp.variables((d,), -bound, bound, integer=self.integer)
        self._points = sp.csr_matrix(self.signal)
        self._others = np.setdiff1d(np.arange(len(layers[layer].bias)), free)
        self._others_fire = np.zeros((len(self.signal), 0))
        if len(self._others):
            fired = network.activations(presolved.raw_points[first])[layer]
            self._others_fire = fired[:, self._others].astype(np.float64)
        self.right: tuple[Index, Index] = (np.zeros(0, dtype=np.int32), np.zeros((2, 0), dtype=np.int32))
        self.fired: list[Index] = []

    def add_layer(self, h: int) -> None:
        """Add the activations or losses of the block's layer, or of one above it, and their rows."""
        sums = self._own_sums() if h == self.layer else self._sums_above(h)
        last = h == len(self.layers) - 1
        zero = np.zeros(len(self.signal), dtype=bool)
        if h == self.layer:
            zero = (self._norms == 0) & self.scales.zero_fires
        if last and self.problem.head == "argmax":
            self._add_argmax(h, sums, zero)
            return
        if last:
            # outputs outside the block are data
            outside = enumerate(self._others.tolist()) if h == self.layer else ()
            fixed = {j: self._others_fire[:, i] for i, j in outside}
            u = self.losses.threshold(self._class_weight, zero[:, None].astype(float), fixed)
        else:
            u = self.milp.variables(sums.constant.shape, zero[:, None].astype(float), 1, integer=True)
        self.fired.append(u)
        lower = np.where(zero[:, None], -np.inf, sums.on - sums.constant).T.ravel()
        upper = np.where(zero[:, None], np.inf, sums.off - sums.constant).T.ravel()
        self.milp.indicators(sums.rows, u.T.ravel(), lower, upper, sums.big_m.T.ravel())

    def _own_sums(self) -> _Sums:
        scales, d = self.scales, len(self.free)
        big_m = np.repeat(scales.big_m(self.layer, self._norms * scales.weight)[:, None], d, axis=1)
        rows = blocks.affine_of_data(self._points, self.weights, self.biases)
        return _Sums(rows, np.zeros((len(self.signal), d)), big_m, scales.on, scales.off, np.zeros((d, 0)), 0.0)

    def _sums_above(self, h: int) -> _Sums:
        V, c = self.layers[h]
        on, off, shift = self.scales.above(V.shape[1])
        V = V - shift
        constant = np.broadcast_to(c, (len(self.signal), len(c))).astype(np.float64)
        if h == self.layer + 1:
            constant, V = constant + self._others_fire @ V[:, self._others].T, V[:, self.free]
        big_m = np.abs(V).sum(axis=1) + np.abs(constant) + max(1.0, -off) + 1.0
        return _Sums(blocks.affine_of_fired(self.fired[-1], V), constant, big_m, on, off, V, shift)

    def _add_argmax(self, h: int, sums: _Sums, zero: Bools) -> None:
        self.right = self.losses.argmax(self._class_weight, zero)

        def own(c1: int, c2: int, at: Indices) -> tuple[blocks.Rows, Floats]:
            W, b = self.weights, self.biases
            biases = [None if b is None else b[j : j + 1] for j in (c1, c2)]
            terms = [(W[j : j + 1], e, f) for j, e, f in zip((c1, c2), biases, (1.0, -1.0), strict=True)]
            return blocks.combination_of_data(self._points[at], terms), np.where(zero[at], np.inf, 0.0)

        def above(c1: int, c2: int, at: Indices) -> tuple[blocks.Rows, Floats]:
            # the shift must not cancel in the difference
            V, shift = sums.weights, sums.shift
            rows = blocks.affine_of_fired(self.fired[-1][at], (V[c1] - V[c2] - shift)[None, :])
            ones = self._others_fire[at].sum(axis=1) if h == self.layer + 1 else 0.0
            return rows, sums.constant[at, c1] - sums.constant[at, c2] - shift * ones

        blocks.argmax_rows(
            self.milp,
            self.right,
            np.arange(len(self.signal)),
            len(self.layers[h].bias),
            own if h == self.layer else above,
            2 * sums.big_m.max(axis=1),
            self.scales.margin or 1.0,
            self.integer or (self.scales.zero_fires and h > 0),
        )


def _inputs(
    presolved: Presolved, network: Network, layer: int, scales: Scales
) -> tuple[Floats, Floats, Floats, Indices]:
    """Return the distinct inputs of a layer, their class weights and 1-norms, and a point that has each of them."""
    if layer == 0:
        return presolved.X, presolved.class_weight, scales.norms, np.arange(len(presolved.X))
    fired = network.activations(presolved.raw_points)[layer - 1].astype(np.float64)
    distinct, first, index = np.unique(fired, axis=0, return_index=True, return_inverse=True)
    class_weight = np.zeros((len(distinct), presolved.class_weight.shape[1]))
    np.add.at(class_weight, index.ravel(), presolved.class_weight)
    norms = distinct.sum(axis=1) if scales.zero_fires else np.full(len(distinct), float(fired.shape[1]))
    return distinct, class_weight, norms, first


def nonzeros(presolved: Presolved, layer: int, neurons: Collection[int] | None) -> int:
    """Return a rough upper limit on the number of matrix entries that `build` would make, without making them."""
    problem = presolved.problem
    widths, p = problem.widths, len(presolved.X)
    free = widths[layer] if neurons is None else len(neurons)
    inputs = widths[layer - 1] if layer else presolved.X.shape[1]
    # at most 2**inputs binary signals are distinct
    q = p if layer == 0 else min(p, 2 ** min(inputs, 60))
    pairs = free * (inputs + 2)
    if layer + 1 < len(widths):
        pairs += widths[layer + 1] * (free + 1) + sum(a * b for a, b in itertools.pairwise(widths[layer + 1 :]))
    if problem.head == "argmax":
        pairs += 2 * (widths[-1] - 1) * (free if layer >= len(widths) - 2 else widths[-2])
    return q * pairs
