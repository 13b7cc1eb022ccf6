"""Training as a covering program over activations: columns, linking rows, and the networks of its solutions.

The program chooses the *requirements* that a neuron need not meet and the *soft constraints* that the network need not
meet, such that no neuron has to meet all requirements of an inseparable set. It is stated in
docs/mathematics/activation.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.output_functions import MAX_BITS, Cubes, OutputFunction, functions
from bdnn.branch_and_cut.output_maps import MAX_MAPS, OutputMap, identity, output_maps
from bdnn.errors import BDNNError
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.problem.presolve import Presolved
    from bdnn.problem.problem import Problem
    from bdnn.types import Floats, Indices, Integers

# largest weight of a soft constraint, in units: sums of many are still exact in 64 bits and in doubles
_MAX_WEIGHT = 1 << 30
# relative distance within which a loss is a whole number of units
_WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class Points:
    """What all output functions share: the points, what they ask for and what they cost.

    Attributes
    ----------
    reduced : Presolved
        The problem.
    point : ndarray of shape (p,)
        Points of the reduced problem with a preference, in its order.
    soft_point : ndarray of shape (g,)
        Of each soft constraint, its place in `point`; ascending. With one output, or an argmax head, there is one for
        each point.
    target : ndarray of shape (g,)
        What costs least: a class, or ``2 k`` for output k of several to be off and ``2 k + 1`` for on.
    weight : ndarray of shape (g,), int64
        Least cost of missing the constraint, in units.
    unit : float
        Of the weights, in units of sample weight. Costs are exact multiples of it, or rounded down.
    exact : bool
        Whether costs are exact multiples.
    base : float
        Loss that no network avoids.
    """

    reduced: Presolved
    point: Indices
    soft_point: Indices
    target: Indices
    weight: Integers
    unit: float
    exact: bool
    base: float

    @classmethod
    def of(cls, reduced: Presolved) -> Points:
        """Return the points of a problem."""
        holder, target, cost = reduced.problem.loss.preferences(reduced.class_weight)
        point, soft_point = np.unique(holder, return_inverse=True)
        unit, exact = reduced.loss_step, True
        units = cost / unit if unit else np.zeros(0)
        if not unit or units.max(initial=0.0) > _MAX_WEIGHT or not np.all(units == np.rint(units)):
            unit, exact = (float(cost.max(initial=0.0)) or 1.0) / _MAX_WEIGHT, False
            units = np.floor(cost / unit)
        weight = units.astype(np.int64)
        if exact and len(weight):
            divisor = int(np.gcd.reduce(weight))
            weight, unit = weight // divisor, unit * divisor
        return cls(reduced, point, soft_point, target, weight, unit, exact, reduced.irreducible)

    def __len__(self) -> int:
        return len(self.point)

    @property
    def n_classes(self) -> int:
        """Classes of the problem."""
        return len(self.reduced.problem.classes)

    @cached_property
    def requirement_point(self) -> Indices:
        """Of each requirement, its place in `point`; ascending."""
        return np.repeat(np.arange(len(self)), 2 if _two_sided(self.reduced.problem) else 1)

    @cached_property
    def signs(self) -> Floats:
        """+1 where neurons are to be on, -1 where off; of shape (m,), for each requirement."""
        if _two_sided(self.reduced.problem):
            return np.tile([1.0, -1.0], len(self))
        return np.where((self.target == 0) & (self.n_classes == 2), -1.0, 1.0)

    @cached_property
    def row_requirement(self) -> Indices:
        """The requirement of each signed row."""
        return np.repeat(np.arange(len(self.signs)), self.n_classes - 1 if self._compares else 1)

    @cached_property
    def rows(self) -> Floats:
        """Signed rows of reduced inputs, for linear programs; see `_signed`."""
        return self._signed(self.reduced.X[self.point])

    @cached_property
    def raw_rows(self) -> Floats:
        """Signed rows of raw inputs, for proofs; left out are columns that do not vary."""
        return self._signed(self.reduced.raw_points[self.point][:, self.reduced.kept].astype(np.float64))

    @property
    def _compares(self) -> bool:
        """Whether rows compare the scores of more than two classes."""
        problem = self.reduced.problem
        return self.n_classes > 2 and problem.head == "argmax" and not problem.hidden_layer_sizes

    def _signed(self, X: Floats) -> Floats:
        """Return the rows that must have positive products with the weights.

        In general one for each requirement, ``±(x, 1)``. If scores of C > 2 classes are compared, one for each point
        and each class it must beat: (x, 1) in the place of the wanted class and -(x, 1) in that of the other (Kesler's
        construction); the scores of the last class are 0.
        """
        extended = np.hstack([X, np.ones((len(X), 1))])
        if not self._compares:
            return np.ascontiguousarray(self.signs[:, None] * extended[self.requirement_point])
        classes, width = self.n_classes, extended.shape[1]
        rows = np.zeros((len(X), classes - 1, classes, width))
        for c in range(classes):
            mine = np.flatnonzero(self.target == c)
            rows[mine, :, c] = extended[mine, None, :]
            for k, other in enumerate(other for other in range(classes) if other != c):
                rows[mine, k, other] = -extended[mine]
        return np.ascontiguousarray(rows[:, :, :-1].reshape(len(X) * (classes - 1), (classes - 1) * width))

    def pairs(self) -> Integers:
        """Return the inseparable pairs of signed rows that ask the same point for on and off, of shape (k, 2)."""
        if not _two_sided(self.reduced.problem):
            return np.zeros((0, 2), dtype=np.int64)
        return np.arange(len(self.signs), dtype=np.int64).reshape(-1, 2)

    def loss(self, units: float) -> float:
        """Return the loss that an objective in units of the program stands for."""
        return self.base + units * self.unit

    def units(self, loss: float) -> float:
        """Return the objective, in units of the program, of a loss."""
        value = (loss - self.base) / self.unit
        nearest = float(np.rint(value))
        return nearest if abs(value - nearest) < _WHOLE * max(1.0, abs(nearest)) else value


@dataclass(frozen=True, eq=False)
class Program:
    """The covering program of one output function.

    Attributes
    ----------
    points : Points
        Of the problem.
    function : OutputFunction or OutputMap
        Of the hidden neurons, or of the only layer.
    columns : ndarray of shape (m, d), int64
        Column of each z_jl; columns 0 to g - 1 are the e_g.
    cost : ndarray of shape (v,), int64
        Objective.
    linking_rows : list of (g, k, columns)
        Linking rows: columns of e_g and the z_jl of the k-th cube of constraint g that has a row.
    always : int
        The column that is always 1, the last one; -1 if there is none.
    """

    points: Points
    function: OutputFunction | OutputMap
    columns: Integers
    cost: Integers
    linking_rows: list[tuple[int, int, Integers]]
    always: int = -1

    @classmethod
    def of(cls, points: Points, function: OutputFunction | OutputMap) -> Program:
        """Return the program of an output function."""
        d, n_soft = function.n_bits, len(points.weight)
        soft_parts = _parts(points.soft_point, len(points))
        requirement_parts = _parts(points.requirement_point, len(points))
        values = (points.signs > 0).astype(int).tolist()
        wanted = points.target.tolist()
        templates: dict[tuple[tuple[int, ...], tuple[int, ...]], _Template] = {}
        columns = np.empty((len(values), d), dtype=np.int64)
        linking_rows: list[tuple[int, int, Integers]] = []
        v = n_soft
        for soft, requirements in zip(soft_parts, requirement_parts, strict=True):
            key = tuple(wanted[soft]), tuple(values[requirements])
            if key not in templates:
                templates[key] = _Template.of([function.wrong[target] for target in key[0]], key[1], d)
            template = templates[key]
            first, v = v, v + template.n_own
            # what numbers of a template stand for: soft constraints, then own columns; -1 is replaced below
            meaning = np.concatenate([np.arange(soft.start, soft.stop), np.arange(first, v), [-1]])
            columns[requirements] = meaning[template.columns]
            linking_rows += [(soft.start + number, k, meaning[members]) for number, k, members in template.linking_rows]
        always = v if np.any(columns < 0) else -1
        columns[columns < 0] = always
        cost = np.zeros(v + (always >= 0), dtype=np.int64)
        cost[:n_soft] = points.weight
        return cls(points, function, columns, cost, linking_rows, always)

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
        first = Layer(weights[:, :-1], weights[:, -1])
        if isinstance(self.function, OutputMap):
            if self.function.weights is None:
                raise BDNNError("an output function without weights has no network")
            last = self.function.weights.astype(np.float64)
            return reduced.to_network([first, Layer(last[:, :-1], last[:, -1])])
        w, threshold = np.array([self.function.weights], dtype=np.float64), float(self.function.threshold)
        if argmax:  # the second class must be ahead, not only equal
            output = Layer(np.vstack([np.zeros_like(w), w]), np.array([0.0, 0.5 - threshold]))
        else:
            output = Layer(w, np.array([-threshold]))
        return reduced.to_network([first, output])


@dataclass(frozen=True, eq=False)
class _Template:
    """Columns and linking rows of a point: soft constraints count from 0, own columns on from there, -1 is always 1."""

    columns: Integers
    n_own: int
    linking_rows: list[tuple[int, int, Integers]]

    @classmethod
    def of(cls, wrong: list[Cubes], values: tuple[int, ...], d: int) -> _Template:
        """Return the template of the cubes that miss each soft constraint, and of requirements for values."""
        soft_of: dict[tuple[int, int], set[int]] = {}
        for number, cubes in enumerate(wrong):
            for literal in (literal for cube in cubes for literal in cube):
                soft_of.setdefault(literal, set()).add(number)
        shared = {
            cube[0]: number for number, cubes in enumerate(wrong) for cube in cubes
            if len(cube) == 1 and len(soft_of[cube[0]]) == 1
        }  # fmt: skip
        column_of: dict[tuple[int, int], int] = {}
        n_own = 0
        for literal in ((neuron, 1 - value) for value in values for neuron in range(d)):
            if literal in shared:
                column_of[literal] = shared[literal]
            elif literal in soft_of:
                column_of[literal] = len(wrong) + n_own
                n_own += 1
        columns = [[column_of.get((neuron, 1 - value), -1) for neuron in range(d)] for value in values]
        linking_rows = [
            (number, k, np.array([number, *(column_of[literal] for literal in cube)], dtype=np.int64))
            for number, cubes in enumerate(wrong)
            for k, cube in enumerate(cube for cube in cubes if len(cube) != 1 or cube[0] not in shared)
        ]
        return cls(np.array(columns, dtype=np.int64), n_own, linking_rows)


def _parts(owner: Indices, n: int) -> list[slice]:
    """Return where 0 to n - 1 are in an ascending array."""
    ends = np.searchsorted(owner, np.arange(n + 1)).tolist()
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def _one_hot(problem: Problem) -> bool:
    """Whether each class has a threshold output."""
    return not problem.loss.one_per_point


def _two_sided(problem: Problem) -> bool:
    """Whether points ask some neurons to be on and others to be off."""
    return len(problem.classes) > 2 and (_one_hot(problem) or bool(problem.hidden_layer_sizes))


def covers(reduced: Presolved) -> str:
    """Return why the activation programs do not cover a problem, or an empty string.

    They cover continuous weights with biases, without regularizer and robust radius, and no hidden layer or one: with
    two classes one of up to five neurons, with more classes one that has up to 100 output maps, see
    `bdnn.branch_and_cut.output_maps.output_maps`. With an argmax head over more than two classes, equal rows must have
    equal labels. Limits on columns and signs are not looked at: without them, a bound holds all the same.
    """
    problem = reduced.problem
    if problem.weights != "continuous":
        return "integer weights"
    if not problem.fit_intercept:
        return "no biases"
    if problem.regularizer is not None:
        return "a regularizer"
    if problem.robust:
        return "a robust radius"
    if len(problem.hidden_layer_sizes) > 1:
        return "more than one hidden layer"
    classes = len(problem.classes)
    if classes > 2 and not _one_hot(problem):
        ordered = np.sort(problem.loss.label_costs(reduced.class_weight), axis=1)
        if np.any(ordered[:, 0] != ordered[:, -2]):
            return "equal rows with different labels of more than two classes"
    if problem.hidden_layer_sizes:
        (width,) = problem.hidden_layer_sizes
        if width > MAX_BITS:
            return "more than five hidden neurons"
        if classes > 2 and output_maps(problem.head, width, classes) is None:
            return f"too many output functions (more than {MAX_MAPS})"
    return ""


def n_columns(reduced: Presolved) -> int:
    """Return about how many columns the program of an output function has at most."""
    problem = reduced.problem
    width = problem.hidden_layer_sizes[0] if problem.hidden_layer_sizes else 0
    soft = problem.n_outputs if _one_hot(problem) else 1
    return len(reduced.class_weight) * (soft + (2 if _two_sided(problem) else 1) * width)


def programs(reduced: Presolved) -> list[Program]:
    """Return one program for each output function that a problem's networks need."""
    points, problem = Points.of(reduced), reduced.problem
    sizes, classes = problem.hidden_layer_sizes, len(problem.classes)
    if classes == 2:
        return [Program.of(points, function) for function in functions(sizes[0] if sizes else 1)]
    maps = output_maps(problem.head, sizes[0], classes) if sizes else (identity(problem.head, classes),)
    if maps is None:
        raise BDNNError(f"no output functions are known of layers {sizes} and {classes} classes")
    return [Program.of(points, function) for function in maps]
