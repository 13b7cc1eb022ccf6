"""Training as a covering program over activations: columns, link rows, and the networks of its solutions.

For one neuron, point i asks to be on (s_i = +1) or off (-1); it is right at all points of a set exactly if the signed
rows s_i (x_i, 1) of the set have positive products with some weights. The program chooses which points a neuron may be
wrong at:

    z_il = 1: neuron l need not be right at point i;    e_i = 1: the network need not be right at point i;

    minimise Σ W_i e_i,
    Σ_{i in S} z_il >= 1                        for every neuron l and every inseparable set S of signed rows,
    Σ_{l in Q} z_il <= |Q| - 1 + e_i            for every blocker Q of the output function if s_i = +1, implicant if -1.

Where Q is a single neuron, z_il = e_i. The output function f is monotone: hidden neurons with negative output weights
are replaced by their complements. With f(u) = u this is training without a hidden layer. There, an argmax over
more than two classes is covered, too: a point then has several rows, and z_i1 says that not all need be positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bdnn.activation.functions import OutputFunction, functions
from bdnn.network import Floats, Layer, Network
from bdnn.presolve import Presolved

Integers = NDArray[np.int64]

_LARGEST_WEIGHT = 1 << 30


@dataclass(frozen=True, eq=False)
class Points:
    """What all output functions share: the points, what they ask for and what they cost.

    Attributes
    ----------
    reduced : Presolved
        The problem.
    point : ndarray of shape (p,)
        Points of the reduced problem with a preference, in its order.
    wanted : ndarray of shape (p,)
        Class that costs least at each point.
    weight : ndarray of shape (p,), int64
        Least cost of being wrong, in units.
    unit : float
        Of the weights, in units of sample weight. Costs are exact multiples of it, or rounded down.
    exact : bool
        Whether costs are exact multiples.
    base : float
        Loss that no network avoids.
    """

    reduced: Presolved
    point: NDArray[np.intp]
    wanted: NDArray[np.intp]
    weight: Integers
    unit: float
    exact: bool
    base: float

    @classmethod
    def of(cls, reduced: Presolved) -> Points:
        """Return the points of a problem with two classes, or an argmax head."""
        class_weight = reduced.class_weight
        wanted = np.argmax(class_weight, axis=1)
        ordered = np.sort(class_weight, axis=1)
        difference = ordered[:, -1] - ordered[:, -2]
        point = np.flatnonzero(difference)
        cost = difference[point]
        unit, exact = reduced.loss_step, True
        units = cost / unit if unit else np.zeros(0)
        if not unit or units.max(initial=0.0) > _LARGEST_WEIGHT or not np.all(units == np.rint(units)):
            unit, exact = float(cost.max(initial=1.0)) / _LARGEST_WEIGHT, False
            units = np.floor(cost / unit)
        weight = units.astype(np.int64)
        if exact and len(weight):
            divisor = int(np.gcd.reduce(weight))
            weight, unit = weight // divisor, unit * divisor
        return cls(reduced, point, wanted[point], weight, unit, exact, reduced.irreducible)

    def __len__(self) -> int:
        return len(self.point)

    @property
    def n_classes(self) -> int:
        """Classes of the problem."""
        return len(self.reduced.problem.classes)

    @property
    def signs(self) -> Floats:
        """+1 where the second class of two is wanted, -1 where the first is; of shape (p,)."""
        return np.where(self.wanted == 0, -1.0, 1.0)

    @cached_property
    def row_point(self) -> NDArray[np.intp]:
        """The point of each signed row."""
        return np.repeat(np.arange(len(self)), self.n_classes - 1)

    @cached_property
    def rows(self) -> Floats:
        """Signed rows of reduced inputs, for linear programs; see `_signed`."""
        return self._signed(self.reduced.X[self.point])

    @cached_property
    def raw_rows(self) -> Floats:
        """Signed rows of raw inputs, for proofs; left out are columns that do not vary."""
        return self._signed(self.reduced.raw_points[self.point][:, self.reduced.kept].astype(np.float64))

    def _signed(self, X: Floats) -> Floats:
        """Return the rows that must have positive products with the weights.

        With two classes one for each point, ``±(x, 1)``. With C > 2, one for each point and each class it must beat:
        (x, 1) in the place of the wanted class and -(x, 1) in that of the other (Kesler's construction); the scores of
        the last class are 0.
        """
        extended = np.hstack([X, np.ones((len(X), 1))])
        classes = self.n_classes
        if classes == 2:
            return np.ascontiguousarray(self.signs[:, None] * extended)
        width = extended.shape[1]
        rows = np.zeros((len(X), classes - 1, classes, width))
        for c in range(classes):
            mine = np.flatnonzero(self.wanted == c)
            rows[mine, :, c] = extended[mine, None, :]
            for k, other in enumerate(other for other in range(classes) if other != c):
                rows[mine, k, other] = -extended[mine]
        return np.ascontiguousarray(rows[:, :, :-1].reshape(len(X) * (classes - 1), (classes - 1) * width))

    def loss(self, units: float) -> float:
        """Return the loss that an objective in units of the program stands for."""
        return self.base + units * self.unit

    def units(self, loss: float) -> float:
        """Return the objective, in units of the program, of a loss."""
        value = (loss - self.base) / self.unit
        nearest = float(np.rint(value))
        return nearest if abs(value - nearest) < 1e-6 * max(1.0, abs(nearest)) else value


@dataclass(frozen=True, eq=False)
class Program:
    """The covering program of one output function.

    Attributes
    ----------
    points : Points
        Of the problem.
    function : OutputFunction
        Of the hidden neurons, or of the only neuron.
    columns : ndarray of shape (p, d), int64
        Column of each z_il; columns 0 to p - 1 are the e_i.
    cost : ndarray of shape (v,), int64
        Objective.
    links : list of (i, k, columns)
        Link rows: columns e_i and z_il of the k-th set of at least two neurons.
    """

    points: Points
    function: OutputFunction
    columns: Integers
    cost: Integers
    links: list[tuple[int, int, Integers]]

    @classmethod
    def of(cls, points: Points, function: OutputFunction) -> Program:
        """Return the program of an output function."""
        p, d = len(points), function.n_bits
        sets = {1.0: function.blockers, -1.0: function.implicants}
        columns = np.empty((p, d), dtype=np.int64)
        links: list[tuple[int, int, Integers]] = []
        v = p
        for i, sign in enumerate(points.signs.tolist()):
            single = {q[0] for q in sets[sign] if len(q) == 1}
            for neuron in range(d):
                if neuron in single:
                    columns[i, neuron] = i
                else:
                    columns[i, neuron] = v
                    v += 1
            for k, q in enumerate(q for q in sets[sign] if len(q) > 1):
                links.append((i, k, np.concatenate([[i], columns[i, list(q)]]).astype(np.int64)))
        cost = np.zeros(v, dtype=np.int64)
        cost[:p] = points.weight
        return cls(points, function, columns, cost, links)

    @property
    def n_neurons(self) -> int:
        """Neurons whose activations the program chooses."""
        return self.function.n_bits

    def network(self, weights: Floats) -> Network:
        """Return the network of weights that go with the signed rows, of shape (d, columns of the rows)."""
        reduced, classes = self.points.reduced, self.points.n_classes
        argmax = reduced.problem.head == "argmax"
        if not reduced.problem.hidden_layer_sizes:
            if argmax:
                # with two classes the rows are about the second, else the last has score 0
                parts = np.zeros((classes, len(reduced.kept) + 1))
                parts[slice(1, 2) if classes == 2 else slice(0, -1)] = weights.reshape(classes - 1, -1)
                weights = parts
            return reduced.to_network([Layer(weights[:, :-1], weights[:, -1])])
        w, threshold = np.array([self.function.weights], dtype=np.float64), float(self.function.threshold)
        if argmax:  # the second class must be ahead, not only equal
            last = Layer(np.vstack([np.zeros_like(w), w]), np.array([0.0, 0.5 - threshold]))
        else:
            last = Layer(w, np.array([-threshold]))
        return reduced.to_network([Layer(weights[:, :-1], weights[:, -1]), last])


def covers(reduced: Presolved) -> str:
    """Return why the activation programs do not cover a problem, or an empty string.

    They cover continuous weights with biases, two classes with one threshold output or an argmax head, and no hidden
    layer or one of up to five neurons, without regulariser and robust radius; without hidden layer also an argmax head
    over more classes.
    """
    problem = reduced.problem
    if problem.weights != "continuous":
        return "integer weights"
    if not problem.fit_intercept:
        return "no biases"
    if problem.regularizer is not None:
        return "a regulariser"
    if problem.robust:
        return "a robust radius"
    if problem.n_outputs > 1 and problem.head == "threshold":
        return "several threshold outputs"
    if len(problem.classes) > 2 and problem.hidden_layer_sizes:
        return "hidden neurons with more than two classes"
    if len(problem.hidden_layer_sizes) > 1:
        return "more than one hidden layer"
    if len(problem.classes) > 2:
        ordered = np.sort(reduced.class_weight, axis=1)
        if np.any(ordered[:, 0] != ordered[:, -2]):
            return "equal rows with different labels of more than two classes"
    if problem.hidden_layer_sizes and problem.hidden_layer_sizes[0] > 5:
        return "more than five hidden neurons"
    return ""


def n_columns(reduced: Presolved) -> int:
    """Return about how many columns the program of an output function has at most."""
    problem = reduced.problem
    width = problem.hidden_layer_sizes[0] if problem.hidden_layer_sizes else 0
    return len(reduced.class_weight) * (1 + width)


def programs(reduced: Presolved) -> list[Program]:
    """Return one program for each output function that a problem's networks need."""
    points = Points.of(reduced)
    width = reduced.problem.hidden_layer_sizes[0] if reduced.problem.hidden_layer_sizes else 1
    return [Program.of(points, function) for function in functions(width)]
