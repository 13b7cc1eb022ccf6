"""A training program together with the translation between its solutions and networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError, MarginError
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.formulations.layers import Layout
    from bdnn.formulations.scales import Scales
    from bdnn.milp.program import Index, Milp
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Floats, Indices


@dataclass(frozen=True, eq=False, slots=True)
class TrainingModel:
    """The program of a reduced problem, and the translation between its solutions and networks.

    Attributes
    ----------
    milp : Milp
        The program; its objective is the training loss in units of `Presolved.loss_unit`.
    layout : Layout
        The columns of its variables.
    presolved : Presolved
        The reduced problem.
    scales : Scales
        Margin and bounds.
    reductions : frozenset of str
        The symmetry reductions in force.
    groups : ndarray of shape (p,)
        Group of each point; the points of a group share their activations.
    """

    milp: Milp
    layout: Layout
    presolved: Presolved
    scales: Scales
    reductions: frozenset[str]
    groups: Indices

    @property
    def margin(self) -> float:
        """ε, or 0 for integer weights."""
        return self.scales.margin

    @property
    def scope(self) -> str:
        """The class of networks for whose loss the program's bound holds."""
        if self.presolved.problem.weights == "integer":
            return self.presolved.scope
        problem, margin, zero = self.presolved.problem, self.margin, ""
        if self.scales.zero_fires:
            margin, zero = margin * max(problem.widths), " except where all inputs of a neuron are 0"
        return (
            f"{self.presolved.scope}, margin >= {margin:.3g} on the training points{zero} "
            f"(inputs scaled to |x| <= 1, weights to |w| <= 1)"
        )

    def decode(self, x: Floats) -> Network:
        """Return the network, on raw inputs, of a solution vector."""
        problem, layout = self.presolved.problem, self.layout
        bound = float(problem.weight_bound) if problem.weights == "integer" else 1.0
        layers = []
        for k, columns in enumerate(layout.weights):
            W = within(np.clip(x[columns], -bound, bound), k, self.presolved, x[layout.used])
            if problem.regularizer == "l0" and layout.absolute:
                W = np.where(x[layout.absolute[k]] > 0.5, W, 0.0)
            b = x[layout.biases[k]] if layout.biases else np.zeros(len(columns))
            layers.append(Layer(W, b))
        if problem.weights == "continuous" and problem.regularizer not in ("l1", "l2"):
            layers = self._scaled(layers)  # solvers return weights as small as the margin, which are hard to read
        return self.presolved.to_network(layers)

    def encode(self, network: Network) -> Floats:
        """Return the solution vector of a network.

        Parameters
        ----------
        network : Network
            On raw inputs.

        Returns
        -------
        ndarray of shape (n_columns,)
            A feasible point whose objective is the network's training loss, in the program's unit.

        Raises
        ------
        InputError
            If the network is not of the problem's class.
        MarginError
            If a pre-activation is closer to its threshold than the margin.
        """
        layers, x = self.canonical_layers(network), np.zeros(self.milp.n_columns)
        layout, signal = self.layout, self.presolved.X
        representatives = np.unique(self.groups, return_index=True)[1]
        for k, (W, b) in enumerate(layers):
            self.put_layer(x, k, W, b)
            if k:
                x[layout.products[k - 1]] = signal[:, None, :] * W
            values = signal @ W.T + b
            if k < len(layout.fired):
                fired = (values >= 0).astype(np.float64)
                signal = fired if k else fired[representatives]
                x[layout.fired[k]] = signal
        if layout.right.size:
            group, labels = layout.right_of
            winners = np.argmax(values, axis=1)
            if len(layers) == 1:  # a group is right if all its points are
                misses = np.zeros((len(representatives), values.shape[1]))
                np.add.at(misses, self.groups, winners[:, None] != np.arange(values.shape[1]))
                x[layout.right] = misses[group, labels] == 0
            else:
                x[layout.right] = winners[group] == labels
        if layout.sharing is not None:
            answer, output, wrong = layout.sharing
            np.maximum.at(x, layout.shared[answer], np.where(wrong, x[output], 1.0 - x[output]))
        if self.milp.violation(x) > self.scales.tolerances.feasibility:
            raise MarginError(
                f"a pre-activation of the network is within the margin {self.margin:.3g} of its threshold"
            )
        return x

    def canonical_layers(self, network: Network) -> list[Layer]:
        """Return the layers of a network on reduced inputs, scaled and in the order that the reductions ask for."""
        layers = self.presolved.to_layers(network)
        if layers is None:
            raise InputError("the network has a different architecture or different weights than the problem asks for")
        integer = self.presolved.problem.weights == "integer"
        if not integer:
            layers = self._scaled(layers)
        return bounded(self.presolved, self._ordered(self._positive_outputs(layers, integer)), self.scales.bias_bounds)

    def put_layer(self, x: Floats, k: int, W: Floats, b: Floats) -> None:
        """Write the weights and biases of layer k into a solution vector."""
        layout = self.layout
        x[layout.weights[k]] = W
        if k == 0 and layout.used.size:
            mark_used(x, layout.used, W)
        if layout.biases:
            x[layout.biases[k]] = b
        if layout.absolute:
            x[layout.absolute[k]] = W != 0 if self.presolved.problem.regularizer == "l0" else np.abs(W)

    def _scaled(self, layers: list[Layer]) -> list[Layer]:
        return scaled(self.presolved, layers, self.margin)

    def _positive_outputs(self, layers: list[Layer], integer: bool) -> list[Layer]:
        if "output_sign" not in self.reductions:
            return layers
        (W, b), (v, c) = layers[-2], layers[-1]
        flip = v[0] < 0
        factor = np.where(flip, -1.0, 1.0)
        # on integers, a <= -1 is off: the negation of a is -a - 1
        hidden = Layer(W * factor[:, None], b * factor - (flip if integer else 0))
        return [*layers[:-2], hidden, Layer(np.abs(v), c + v[0][flip].sum())]

    def _ordered(self, layers: list[Layer]) -> list[Layer]:
        if "neuron_order" not in self.reductions:
            return layers
        layers = list(layers)
        for k in range(len(layers) - 1):
            (W, b), (V, c) = layers[k], layers[k + 1]
            if not self.presolved.problem.fit_intercept and not W.shape[1]:
                continue
            # biases are clipped first, since the order must hold for those that are written
            bound = self.scales.bias_bounds[k]
            order = np.argsort(-(np.clip(b, -bound, bound) if self.layout.biases else W[:, 0]), kind="stable")
            layers[k], layers[k + 1] = Layer(W[order], b[order]), Layer(V[:, order], c)
        return layers


def within(W: Floats, k: int, presolved: Presolved, used: Floats) -> Floats:
    """Return the weights of layer k of a solution, without wrong signs and unused columns within the tolerance."""
    limits = presolved.problem.limits
    if k == 0:
        W = np.where(W * limits.signs[presolved.kept] < 0, 0.0, W)
    elif limits.signed:
        W = np.maximum(W, 0.0)
    return np.where(used > 0.5, W, 0.0) if k == 0 and used.size else W


def mark_used(x: Floats, used: Index, W: Floats) -> None:
    """Write which columns have weights into a solution vector."""
    np.maximum.at(x, used, np.any(W != 0, axis=0).astype(np.float64))


def scaled(presolved: Presolved, layers: list[Layer], margin: float) -> list[Layer]:
    """Scale continuous neurons, which changes no activation: one by one if thresholded, all together at an argmax.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem.
    layers : list of Layer
        On reduced inputs.
    margin : float
        ε.

    Returns
    -------
    list of Layer
        Layers with largest weight 1 or, for the regularizers ℓ1 and ℓ2, with the smallest weights that keep the margin.
    """
    problem, result, signal = presolved.problem, [], presolved.X
    shrink = problem.regularizer in ("l1", "l2")
    for k, (W, b) in enumerate(layers):
        argmax = k == len(layers) - 1 and problem.head == "argmax"
        size = np.abs(W).max(axis=1, initial=0.0)
        if argmax:
            size = np.full_like(size, size.max() or np.ptp(b))
        elif problem.fit_intercept:
            # a neuron without weights is a constant: any bias of the right sign will do
            b = np.where(size > 0, b, np.where(b < 0, -1.0, 1.0))
        size = np.where(size > 0, size, 1.0)
        values = (signal @ W.T + b) / size
        if shrink:
            if argmax:
                ordered = np.sort(values, axis=1)
                least = np.full_like(size, (ordered[:, -1] - ordered[:, -2]).min(initial=np.inf))
            else:
                least = np.abs(values).min(axis=0, initial=np.inf)
            # slightly more than the margin, to allow for later rounding
            size = size * np.where(np.isfinite(least), np.maximum(least / (margin * (1 + 1e-9)), 1.0), 1.0)
        result.append(Layer(W / size[:, None], b / size))
        signal = (values >= 0).astype(np.float64)
    return result


def bounded(presolved: Presolved, layers: list[Layer], bias_bounds: list[float]) -> list[Layer]:
    """Move biases into their bounds, which leaves the network unchanged on the training points.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem.
    layers : list of Layer
        On reduced inputs, weights within their bounds.
    bias_bounds : list of float
        b̄ of each layer.

    Returns
    -------
    list of Layer
        Layers with the same activations.
    """
    if not presolved.problem.fit_intercept:
        return layers
    result = [Layer(W, np.clip(b, -B, B)) for (W, b), B in zip(layers, bias_bounds, strict=True)]
    if presolved.problem.head == "argmax":
        # only differences count, and an output 2 b̄ below another one never wins
        (W, b), B = layers[-1], bias_bounds[-1]
        result[-1] = Layer(W, np.maximum(b - b.max(), -2 * B) + B)
    return result
