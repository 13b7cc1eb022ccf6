r"""Training one block of neurons with all others fixed (J. Kurtz and B. Bah, arXiv:2110.11382, local search).

The block is a set L of neurons of layer k. Upstream activations are data v_i, downstream weights are constants, so
there are no products, and points with the same v_i are one point:

.. math::

    a^k_{il} = \sum_j W_{lj} v_{ij} + b_l \;\; (l \in L), \qquad
    a^h_{il} = \sum_j W^h_{lj} u^{h-1}_{ij} + b^h_l \;\; (h > k, \; W^h, b^h \text{ fixed})                   \tag{1}

with the thresholds and losses of `bdnn.formulations.training`. Neurons of layer k outside L are data, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from bdnn.errors import InputError, MarginError
from bdnn.formulations import blocks
from bdnn.formulations.model import bounded, scaled
from bdnn.formulations.scales import Scales
from bdnn.milp.program import Index, Milp, MilpBuilder
from bdnn.milp.tolerances import DEFAULT_TOLERANCES, Tolerances
from bdnn.network.network import Layer, Network
from bdnn.problem.presolve import Presolved
from bdnn.types import Floats, Indices


@dataclass(frozen=True, eq=False, slots=True)
class BlockModel:
    """The program of one block.

    Attributes
    ----------
    milp : Milp
        The program; its objective is that of the whole network, in units of `Presolved.loss_unit`, but for the
        regulariser of the fixed weights.
    presolved : Presolved
        The reduced problem.
    scales : Scales
        Margin and bounds.
    network : Network
        The network whose other neurons stay.
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

    def decode(self, x: Floats) -> Network:
        """Return the network, on raw inputs, of a solution vector."""
        W, b = (a.copy() for a in self.layers[self.layer])
        W[self.neurons] = np.clip(x[self.weights], -self.scales.weight, self.scales.weight)
        if self.presolved.problem.regularizer == "l0" and self.absolute.size:
            W[self.neurons] = np.where(x[self.absolute] > 0.5, W[self.neurons], 0.0)
        if self.biases.size:
            b[self.neurons] = x[self.biases]
        layers = [*self.layers]
        layers[self.layer] = Layer(W, b)
        changed, kept = self.presolved.to_network(layers).layers[self.layer], self.network.layers[self.layer]
        # all other neurons stay as they are, to the last bit
        W, b = kept.weights.copy(), kept.bias.copy()
        W[self.neurons], b[self.neurons] = changed.weights[self.neurons], changed.bias[self.neurons]
        layers = [*self.network.layers]
        layers[self.layer] = Layer(W, b)
        return replace(self.network, layers=tuple(layers))

    def encode(self, network: Network) -> Floats:
        """Return the solution vector of a network that differs from the fixed one in the block only.

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
            raise InputError("the network has another architecture or other weights than the problem asks for")
        layers = layers if integer else scaled(self.presolved, layers, self.scales.margin)
        layers = bounded(self.presolved, layers, self.scales.bias_bounds)
        W, b = layers[k][0][self.neurons], layers[k][1][self.neurons]
        x = np.zeros(self.milp.n_columns)
        x[self.weights] = W
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
        The network, on raw inputs, whose other neurons stay.
    layer : int
        Index of the block's layer, from 0.
    neurons : collection of int or None
        Neurons of the block; None for the whole layer. The outputs of an argmax head go together.
    tolerances : Tolerances
        Of the solver that will be used.
    loss_at_most : float or None
        If given, the regulariser is minimised among the networks with at most this loss, in units of sample weight.

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
        raise InputError("the network has another architecture or other weights than the problem asks for")
    scales = Scales.of(presolved, tolerances)
    layers = layers if integer else scaled(presolved, layers, scales.margin)
    layers = bounded(presolved, layers, scales.bias_bounds)
    last = len(layers) - 1
    whole = neurons is None or (argmax and layer == last)
    L = np.arange(len(layers[layer].bias)) if whole else np.unique(np.asarray(list(neurons or ()), dtype=np.intp))
    signal, class_weight, norms, first = _inputs(presolved, network, layer, scales)

    builder = MilpBuilder()
    losses = blocks.Losses(builder, presolved, counted=loss_at_most is None)
    none = np.zeros(0, dtype=np.int32)
    W = builder.variables((len(L), signal.shape[1]), -scales.weight, scales.weight, integer=integer)
    bound = scales.bias_bounds[layer]
    b = builder.variables((len(L),), -bound, bound, integer=integer) if problem.fit_intercept else None
    points = sp.csr_matrix(signal)
    others = np.setdiff1d(np.arange(len(layers[layer].bias)), L)
    others_fire = np.zeros((len(signal), 0))
    if len(others):
        others_fire = network.activations(presolved.raw_points[first])[layer][:, others].astype(np.float64)
    right: tuple[Index, Index] = (none, np.zeros((2, 0), dtype=np.int32))
    fired: list[Index] = []
    constant = np.zeros((len(signal), len(L)))
    big_m = np.repeat(scales.big_m(layer, norms * scales.weight)[:, None], len(L), axis=1)
    block = blocks.affine_of_data(points, W, b)
    zero = (norms == 0) & scales.zero_fires
    on, off = scales.on, scales.off
    for h in range(layer, last + 1):
        if h > layer:
            V, c = layers[h]
            on, off, shift = scales.above(V.shape[1])
            V = V - shift
            constant = np.broadcast_to(c, (len(signal), len(c))).astype(np.float64)
            if h == layer + 1:
                constant, V = constant + others_fire @ V[:, others].T, V[:, L]
            big_m = np.abs(V).sum(axis=1) + np.abs(constant) + max(1.0, -off) + 1.0
            block = blocks.affine_of_fired(fired[-1], V)
            zero = np.zeros(len(signal), dtype=bool)
        if h == last and argmax:
            right = losses.argmax(class_weight, zero)
            inputs = fired[-1] if fired else none

            def pair(c1: int, c2: int, at: Indices) -> tuple[blocks.Rows, Floats]:
                if layer == last:
                    biases = [None if b is None else b[j : j + 1] for j in (c1, c2)]
                    terms = [(W[j : j + 1], e, f) for j, e, f in zip((c1, c2), biases, (1.0, -1.0), strict=True)]
                    return blocks.combination_of_data(points[at], terms), np.where(zero[at], np.inf, 0.0)  # noqa: B023
                # called in this turn of the loop; the shift must not cancel in the difference
                rows = blocks.affine_of_fired(inputs[at], (V[c1] - V[c2] - shift)[None, :])  # noqa: B023
                ones = others_fire[at].sum(axis=1) if layer == last - 1 else 0.0
                return rows, constant[at, c1] - constant[at, c2] - shift * ones  # noqa: B023

            blocks.argmax_rows(
                builder,
                right,
                np.arange(len(signal)),
                len(layers[h].bias),
                pair,
                2 * big_m.max(axis=1),
                scales.margin or 1.0,
                integer or (scales.zero_fires and h > 0),
            )
            break
        if h == last:
            # outputs outside the block are data
            fixed = {} if h > layer else {j: others_fire[:, i] for i, j in enumerate(others.tolist())}
            u = losses.threshold(class_weight, zero[:, None].astype(float), fixed)
        else:
            u = builder.variables(constant.shape, zero[:, None].astype(float), 1, integer=True)
        fired.append(u)
        lower = np.where(zero[:, None], -np.inf, on - constant).T.ravel()
        upper = np.where(zero[:, None], np.inf, off - constant).T.ravel()
        builder.indicators(block, u.T.ravel(), lower, upper, big_m.T.ravel())
    losses.cap(loss_at_most)
    absolute = blocks.regulariser(builder, [W], presolved, scales, loss_at_most is not None)
    return BlockModel(
        milp=builder.build(),
        presolved=presolved,
        scales=scales,
        network=network,
        layers=layers,
        layer=layer,
        neurons=L,
        weights=W,
        biases=none if b is None else b,
        absolute=absolute[0] if absolute else none,
        signal=signal,
        fired=fired,
        right=right,
    )


def _inputs(
    presolved: Presolved, network: Network, layer: int, scales: Scales
) -> tuple[Floats, Floats, Floats, Indices]:
    """Return the distinct inputs of a layer, their class weights and 1-norms, and a point that has each."""
    if layer == 0:
        return presolved.X, presolved.class_weight, scales.norms, np.arange(len(presolved.X))
    fired = network.activations(presolved.raw_points)[layer - 1].astype(np.float64)
    distinct, first, index = np.unique(fired, axis=0, return_index=True, return_inverse=True)
    class_weight = np.zeros((len(distinct), presolved.class_weight.shape[1]))
    np.add.at(class_weight, index.ravel(), presolved.class_weight)
    norms = distinct.sum(axis=1) if scales.zero_fires else np.full(len(distinct), float(fired.shape[1]))
    return distinct, class_weight, norms, first


def nonzeros(presolved: Presolved, layer: int, neurons: Collection[int] | None) -> int:
    """Return at most how many matrix entries `build` would make, roughly, without making them."""
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
