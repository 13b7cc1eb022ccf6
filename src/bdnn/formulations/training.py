r"""Training as a mixed-integer linear program (J. Kurtz and B. Bah, arXiv:2110.11382, section 2).

For points i, layers k and neurons l, with weights W, biases b, activations u ∈ {0, 1} and products s = W u:

.. math::

    \min \; \sum_{i,c} \omega^{on}_{ic} u^K_{ic} + \omega^{off}_{ic} (1 - u^K_{ic})                         \tag{1}

    a^1_{il} = \sum_j W^1_{lj} x_{ij} + b^1_l, \qquad a^k_{il} = \sum_j s^k_{ilj} + b^k_l \;\; (k \ge 2)    \tag{2}

    a^k_{il} \ge  ε - M^k_i (1 - u^k_{il}), \qquad a^k_{il} \le -ε + M^k_i u^k_{il}                         \tag{3}

    \underline w u \le s \le \bar w u, \qquad w - \bar w (1 - u) \le s \le w - \underline w (1 - u)         \tag{4}

Losses are counted in `Presolved.loss_unit`, so that integer weights, or equal ones, give integer costs. The margin ε
stands on both sides. With integer weights on integer inputs every a is an integer, and (3) becomes exact: on is
a >= 0, off is a <= -1. The argmax head replaces (1) and the last layer's (3) by one binary z for each point and label
that occurs there, maximising Σ ω z subject to

.. math:: z_{ic} = 1 \;\Rightarrow\; a^K_{ic} - a^K_{ic'} \ge ε \quad (c' \ne c),                                \tag{5}

for integers with right-hand side 0 if c < c' and 1 if c > c', because ties go to the lowest index.

Without biases, a neuron whose inputs are all 0 fires, whatever its weights, and no margin can be asked of it (integer
weights need none). So the activations of points at 0 are fixed, and in deeper layers (3) has a + 1 - t in place of a,
where t_i = max_j u_ij; so has (5) for c < c'.

The big-M is ``M^1_i = ‖x_i‖₁ w̄ + b̄ + ε`` and deeper ``d_{k-1} w̄ + b̄ + ε``, where b̄ exceeds the largest possible
weighted sum, so that a constant neuron is never excluded.

Reductions, each of which can be left out and none of which changes the optimum:

- ``output_sign``: with one output and biases, replacing a neuron of the last hidden layer by its negation and its
  output weight v by -v leaves the network unchanged (u becomes 1 - u, the output bias gains v), so v >= 0.
- ``neuron_order``: the neurons of a hidden layer can be permuted, so their biases are ordered (without biases: their
  first weights).
- ``output_side``: of the two sides of (3) at an output, only the one that costs nothing is needed, since the
  objective chooses it by itself. The bound then even covers networks that are wrong on a point by less than ε.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bdnn.errors import InputError, MarginError
from bdnn.formulations import blocks
from bdnn.formulations.margin import DEFAULT_TOLERANCES, Tolerances, safe_margin
from bdnn.milp import Index, Milp, MilpBuilder
from bdnn.network import Floats, Layer, Network
from bdnn.presolve import Presolved

REDUCTIONS = ("output_sign", "neuron_order", "output_side")


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Columns of the variables.

    Attributes
    ----------
    weights, biases : list of ndarray
        One array of shape (d_k, d_{k-1}) and (d_k,) per layer; no biases without intercepts.
    fired : list of ndarray of shape (p, d_k)
        Activations of the thresholded layers.
    products : list of ndarray of shape (p, d_k, d_{k-1})
        For layers 2, …, K.
    awake : list of ndarray of shape (p,)
        t of the hidden layers, for continuous weights without biases.
    right : ndarray of shape (r,)
        z of the argmax head, for the points and labels in `right_of`, of shape (2, r).
    """

    weights: list[Index]
    biases: list[Index]
    fired: list[Index]
    products: list[Index]
    awake: list[Index]
    right: Index
    right_of: Index


@dataclass(frozen=True, eq=False, slots=True)
class TrainingModel:
    """The program of a reduced problem, and the translation between its solutions and networks.

    Attributes
    ----------
    milp : Milp
        The program; its objective is the training loss in units of `Presolved.loss_unit`.
    layout : Layout
        Where its variables are.
    presolved : Presolved
        The reduced problem.
    margin : float
        ε, or 0 for integer weights.
    reductions : frozenset of str
        The symmetry reductions in force.
    bias_bounds : list of float
        b̄ of each layer.
    tolerances : Tolerances
        What the margin was chosen for.
    """

    milp: Milp
    layout: Layout
    presolved: Presolved
    margin: float
    reductions: frozenset[str]
    bias_bounds: list[float]
    tolerances: Tolerances

    @property
    def scope(self) -> str:
        """The class of networks whose loss the program's bound bounds."""
        if self.presolved.problem.weights == "integer":
            return self.presolved.scope
        zero = "" if self.presolved.problem.fit_intercept else " except where all inputs of a neuron are 0"
        return (
            f"{self.presolved.scope}, margin >= {self.margin:.3g} on the training points{zero} "
            f"(inputs scaled to |x| <= 1, weights to |w| <= 1)"
        )

    def decode(self, x: Floats) -> Network:
        """Return the network, on raw inputs, of a solution vector."""
        problem, layout = self.presolved.problem, self.layout
        bound = float(problem.weight_bound) if problem.weights == "integer" else 1.0
        layers = []
        for k, columns in enumerate(layout.weights):
            W = np.clip(x[columns], -bound, bound)
            b = x[layout.biases[k]] if layout.biases else np.zeros(len(columns))
            layers.append(Layer(W, b))
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
        layers = self.presolved.to_layers(network)
        if layers is None:
            raise InputError("the network has another architecture or other weights than the problem asks for")
        integer = self.presolved.problem.weights == "integer"
        layers = self._bounded(self._ordered(self._positive_outputs(self._scaled(layers), integer)))
        x = np.zeros(self.milp.n_columns)
        layout, signal = self.layout, self.presolved.X
        for k, (W, b) in enumerate(layers):
            x[layout.weights[k]] = W
            if layout.biases:
                x[layout.biases[k]] = b
            if k:
                x[layout.products[k - 1]] = signal[:, None, :] * W
            values = signal @ W.T + b
            if k < len(layout.fired):
                fired = values >= 0
                x[layout.fired[k]] = fired
                signal = fired.astype(np.float64)
                if k < len(layout.awake):
                    x[layout.awake[k]] = fired.any(axis=1)
        if layout.right.size:
            points, labels = layout.right_of
            x[layout.right] = np.argmax(values, axis=1)[points] == labels
        if self.milp.violation(x) > self.tolerances.feasibility:
            raise MarginError(
                f"a pre-activation of the network is within the margin {self.margin:.3g} of its threshold"
            )
        return x

    def _scaled(self, layers: list[Layer]) -> list[Layer]:
        """Scale neurons to largest weight 1: each by itself where it is thresholded, all together at an argmax."""
        problem = self.presolved.problem
        if problem.weights == "integer":
            return layers
        scaled = []
        for k, (W, b) in enumerate(layers):
            size = np.abs(W).max(axis=1, initial=0.0)
            if k == len(layers) - 1 and problem.head == "argmax":
                size = np.full_like(size, size.max() or np.ptp(b))
            elif problem.fit_intercept:
                # a neuron without weights is a constant: any bias of the right sign will do
                b = np.where(size > 0, b, np.where(b < 0, -1.0, 1.0))
            size = np.where(size > 0, size, 1.0)
            scaled.append(Layer(W / size[:, None], b / size))
        return scaled

    def _bounded(self, layers: list[Layer]) -> list[Layer]:
        """Move biases into their bounds, which leaves the network as it is on the training points."""
        if not self.presolved.problem.fit_intercept:
            return layers
        bounded = [Layer(W, np.clip(b, -B, B)) for (W, b), B in zip(layers, self.bias_bounds, strict=True)]
        if self.presolved.problem.head == "argmax":
            # only differences count, and an output 2 b̄ below another one never wins
            (W, b), B = layers[-1], self.bias_bounds[-1]
            bounded[-1] = Layer(W, np.maximum(b - b.max(), -2 * B) + B)
        return bounded

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
            # clipped first: the order must hold for the biases that are written
            bound = self.bias_bounds[k]
            order = np.argsort(-(np.clip(b, -bound, bound) if self.layout.biases else W[:, 0]), kind="stable")
            layers[k], layers[k + 1] = Layer(W[order], b[order]), Layer(V[:, order], c)
        return layers


def nonzeros(presolved: Presolved) -> int:
    """Return roughly how many matrix entries `build` would make, without making them."""
    widths, p = presolved.problem.widths, len(presolved.X)
    data, pairs = (
        int(np.count_nonzero(presolved.X)) + 2 * p,
        sum(a * b for a, b in itertools.pairwise(widths)),
    )
    argmax = presolved.problem.head == "argmax"
    last = 2 * (widths[-1] - 1) * int(np.count_nonzero(presolved.class_weight)) if argmax else 0
    if len(widths) == 1:
        return (data // max(p, 1)) * last if argmax else data * widths[0]
    return data * widths[0] + 13 * p * pairs + last * widths[-2]


def build(
    presolved: Presolved, tolerances: Tolerances = DEFAULT_TOLERANCES, reductions: Collection[str] = REDUCTIONS
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
    problem = presolved.problem
    widths, n = problem.widths, presolved.X.shape[1]
    integer, argmax = problem.weights == "integer", problem.head == "argmax"
    bound = float(problem.weight_bound) if integer else 1.0
    valid = {"neuron_order"} | ({"output_side"} if not argmax else set())
    if len(widths) > 1 and widths[-1] == 1 and problem.fit_intercept:
        valid.add("output_sign")
    active = frozenset(reductions) & valid

    norms = np.abs(presolved.X).sum(axis=1)
    reach = [float(norms.max(initial=0.0)) * bound, *(d * bound for d in widths[:-1])]
    margin = safe_margin(presolved, reach, argmax, tolerances)
    # b̄: a neuron must be able to be constant, with its margin
    bias_bounds = [
        (r + (1.0 if integer else max(margin, 1.0 if r == 0 else 0.0))) * problem.fit_intercept for r in reach
    ]

    def in_units(weight: Floats | float) -> Floats:
        units = np.asarray(weight) / presolved.loss_unit
        return np.rint(units) if presolved.loss_step else units

    builder = MilpBuilder()
    layout = Layout([], [], [], [], [], np.zeros(0, dtype=np.int32), np.zeros((2, 0), dtype=np.int32))
    points = sp.csr_matrix(presolved.X)
    on, off = (0.0, -1.0) if integer else (margin, -margin)
    zero_fires = not integer and not problem.fit_intercept
    for k, d in enumerate(widths):
        last = k == len(widths) - 1
        low, high = np.full((d, widths[k - 1] if k else n), -bound), np.full((d, widths[k - 1] if k else n), bound)
        if last and "output_sign" in active:
            low[:] = 0.0
        W = builder.variables(low.shape, low, high, integer=integer)
        layout.weights.append(W)
        b = None
        if problem.fit_intercept:
            b = builder.variables((d,), -bias_bounds[k], bias_bounds[k], integer=integer)
            layout.biases.append(b)
        if k:
            layout.products.append(blocks.products(builder, W, layout.fired[-1], low, high))
        if not last and d > 1 and "neuron_order" in active and (b is not None or W.shape[1]):
            key = b if b is not None else W[:, 0]
            builder.rows(np.column_stack([key[:-1], key[1:]]), [1, -1], 0, np.inf)
        row_reach = (norms if k == 0 else np.full(len(norms), float(widths[k - 1]))) * bound
        big_m = row_reach + bias_bounds[k] + (1.0 if integer else margin)
        at_zero = np.full(len(norms), zero_fires) & (norms == 0) & (k == 0)
        if k and zero_fires:
            on, off, big_m = margin - 1, -margin - 1, big_m + 1
        if last and argmax:
            builder.offset = float(in_units(presolved.constant + presolved.total_weight))
            weight = in_units(presolved.class_weight)
            layout = _argmax(builder, layout, weight, points, big_m + row_reach + bias_bounds[k], margin, at_zero)
            break
        cost_on, cost_off = (in_units(presolved.cost_on), in_units(presolved.cost_off)) if last else (0.0, 0.0)
        least = at_zero[:, None].astype(float)
        u = builder.variables((len(norms), d), least, 1, cost=np.subtract(cost_on, cost_off), integer=True)
        lower, upper = np.full(u.shape, on), np.full(u.shape, off)
        lower[at_zero], upper[at_zero] = -np.inf, np.inf
        if last:
            builder.offset = float(in_units(presolved.constant) + np.sum(cost_off))
            if "output_side" in active:
                lower[presolved.cost_on > presolved.cost_off] = -np.inf
                upper[presolved.cost_on < presolved.cost_off] = np.inf
        if k == 0:
            block = blocks.affine_of_data(points, W, b)
        elif zero_fires:
            terms = [(layout.products[-1], b, 1.0), _asleep(layout.awake[-1], d)]
            block = blocks.combination_of_products(terms)
        else:
            block = blocks.affine_of_products(layout.products[-1], b)
        layout.fired.append(u)
        if zero_fires and not last:
            layout.awake.append(_awake(builder, u))
        builder.indicators(block, u.T.ravel(), lower.T.ravel(), upper.T.ravel(), np.tile(big_m, d))
    return TrainingModel(
        builder.build(), layout, presolved, 0.0 if integer else margin, active, bias_bounds, tolerances
    )


def _awake(builder: MilpBuilder, fired: Index) -> Index:
    """Add t_i = max_j u_ij."""
    p, d = fired.shape
    t = builder.variables((p,), 0, 1)
    builder.rows(np.column_stack([np.repeat(t, d), fired.ravel()]), [1, -1], 0, np.inf)
    builder.rows(np.column_stack([fired, t]), [1] * d + [-1], 0, np.inf)
    return t


def _asleep(awake: Index, d: int) -> tuple[Index, None, float]:
    """Term -t_i of the rows of d neurons; the 1 of 1 - t goes to the right-hand side."""
    return np.broadcast_to(awake[:, None, None], (len(awake), d, 1)), None, -1.0


def _argmax(
    builder: MilpBuilder,
    layout: Layout,
    weight: Floats,
    points: sp.csr_matrix,
    big_m: Floats,
    margin: float,
    at_zero: NDArray[np.bool_],
) -> Layout:
    """Equation (5); `weight` has shape (p, n_classes), `big_m` bounds differences of two outputs."""
    occurs = np.argwhere(weight > 0)
    possible = ~at_zero[occurs[:, 0]] | (occurs[:, 1] == 0)
    z = builder.variables((len(occurs),), 0, possible, cost=-weight[tuple(occurs.T)], integer=True)
    W, b = layout.weights[-1], layout.biases[-1] if layout.biases else None
    integer = margin == 0
    for label in range(len(W)):
        here = occurs[:, 1] == label
        rows = occurs[here, 0]
        for other in range(len(W)):
            if other == label or not len(rows):
                continue
            pair = [(c, None if b is None else b[c : c + 1], f) for c, f in ((label, 1.0), (other, -1.0))]
            right_side = np.full(len(rows), float(label > other) if integer else margin)
            if layout.products:
                s = layout.products[-1][rows]
                terms = [(s[:, c : c + 1], bias, f) for c, bias, f in pair]
                if layout.awake and label < other:
                    terms.append(_asleep(layout.awake[-1][rows], 1))
                    right_side -= 1
                block = blocks.combination_of_products(terms)
            else:
                block = blocks.combination_of_data(points[rows], [(W[c : c + 1], bias, f) for c, bias, f in pair])
                right_side[at_zero[rows]] = -np.inf
            builder.indicators(block, z[here], right_side, np.inf, big_m[rows])
    return replace(layout, right=z, right_of=occurs.T.astype(np.int32))
