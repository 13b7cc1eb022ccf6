"""One structure of each class of the compiled core, made when it is first needed, for calls that meet each other."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from bdnn._native import certify, margins, search, tree, walk


def go_on() -> bool:
    """What kernels ask: whether to go on."""
    return True


def pause(_: int) -> None:
    """What kernels of certification call now and then."""


class World:
    """One structure of each class, and random numbers for the arguments of calls."""

    POINTS, FEATURES, COLUMNS, CAPACITY = 12, 3, 7, 9

    def __init__(self, seed: int | np.random.Generator) -> None:
        self.rng = np.random.default_rng(seed)

    # -------------------------------------------------------------------------------------------- search

    @cached_property
    def real(self) -> type:
        """Precision of the points."""
        return np.float32 if self.rng.random() < 0.4 else np.float64

    @cached_property
    def state_arguments(self) -> list[object]:
        rng, p, n = self.rng, self.POINTS, self.FEATURES
        argmax = bool(rng.random() < 0.5)
        return [
            rng.normal(size=(n, p)).astype(self.real),
            np.eye(2)[rng.integers(0, 2, p)].astype(self.real),
            np.zeros(n),
            np.ones(n),
            np.full(n, 9.0),
            [3, 2, 2 if argmax else 1],
            argmax,
            int(rng.choice([0, 1, 3])),
            bool(rng.random() < 0.8),
            int(rng.integers(1, 2**62)),
        ]

    @cached_property
    def state(self) -> search.State:
        state = search.State(*self.state_arguments)
        state.W[:] = self.rng.integers(-1, 2, size=state.W.size)
        search.improve_neuron(state, -1, 0, 0.0, 1)
        return state

    @cached_property
    def robust_state(self) -> search.RobustState:
        robust = search.RobustState(*self.robust_arguments())
        search.improve_robust_neuron(robust, -1, 0, 0.0)
        return robust

    def robust_arguments(self) -> list[object]:
        X, n, rng = self.state.X, self.FEATURES, self.rng
        radius = np.full(n, 0.1)
        low, high = (np.ascontiguousarray(X + side * radius[:, None], dtype=X.dtype) for side in (-1, 1))
        return [
            self.state,
            low,
            high,
            radius,
            np.full(n, 9.0),
            int(rng.integers(0, 3)),
            float(rng.choice([0.0, 0.5])),
            bool(rng.random() < 0.5),
        ]

    def training_arguments(self) -> list[object]:
        rng, p, n = self.rng, self.POINTS, self.FEATURES
        outputs, real = int(rng.integers(1, 4)), self.real
        return [
            rng.normal(size=(p, n)).astype(real),
            rng.random((p, outputs)).astype(real),
            np.ones(p, dtype=real),
            [4, outputs],
            bool(rng.random() < 0.5),
            int(rng.choice([0, 1, 7])),
        ]

    @cached_property
    def training(self) -> search.StraightThrough:
        training = search.StraightThrough(*self.training_arguments())
        training.values[:] = self.rng.normal(size=training.values.size)
        return training

    def line(self) -> list[object]:
        """Pre-activations, slopes and gains of points on a line."""
        q = int(self.rng.integers(1, 150))
        return [*self.rng.normal(size=(2, q)).round(1), self.rng.normal(size=q)]

    # -------------------------------------------------------------------------------------------- linear programs

    @cached_property
    def cost(self) -> np.ndarray:
        return self.rng.integers(1, 4, size=self.COLUMNS)

    def new_program(self) -> tree.Dictionary:
        return tree.Dictionary(self.cost.astype(float), self.CAPACITY, self.CAPACITY)

    def row(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Columns, values and right-hand side."""
        columns = np.sort(self.rng.permutation(self.COLUMNS)[: self.rng.integers(1, 5)])
        values = (
            np.ones(len(columns), dtype=np.int64) if self.rng.random() < 0.5 else self.rng.integers(1, 3, len(columns))
        )
        return columns, values, 1

    @cached_property
    def program(self) -> tree.Dictionary:
        """A program with rows of its own, solved."""
        program = self.new_program()
        for label in range(5):
            columns, values, rhs = self.row()
            tree.add_row(program, label, columns, values.astype(float), float(rhs))
        tree.settle(program)
        tree.dual_simplex(program, math.inf, 100)
        return program

    @cached_property
    def pooled(self) -> tree.Dictionary:
        """The program of the pool."""
        return self.new_program()

    @cached_property
    def pool(self) -> tree.CutPool:
        pool = tree.CutPool(self.cost, self.CAPACITY)
        labels = [pool.add(*self.row()) for _ in range(8)]
        pool.enter(self.pooled, np.array([label for label in labels[:5] if label >= 0]))
        pool.solve(self.pooled, *self.box(), math.inf, 100, 50.0, 100.0, 1.0, 1000)
        return pool

    @cached_property
    def clauses(self) -> tree.Clauses:
        """Clauses that can be met."""
        clauses = tree.Clauses(self.cost, 3)
        for _ in range(6):
            clauses.add(self.literals())
        return clauses

    def literals(self) -> np.ndarray:
        """Literals of some columns."""
        columns = self.rng.permutation(self.COLUMNS)[: self.rng.integers(1, 5)]
        return 2 * columns + self.rng.integers(0, 2, size=len(columns))

    @cached_property
    def refuted(self) -> tree.Clauses:
        """Clauses that ask for more than the limit allows."""
        clauses = tree.Clauses(self.cost, 1)
        for column in range(3):
            clauses.add(np.array([2 * column, 2 * column + 2]))
            clauses.add(np.array([2 * column, 2 * column + 3]))
        clauses.solve(1000)
        return clauses

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of columns."""
        upper = (self.rng.random(self.COLUMNS) < 0.9).astype(float)
        return np.zeros(self.COLUMNS), upper

    def labels(self, slot: int | None = None) -> np.ndarray:
        """Labels of rows of the pool: all, or those with a certain slot."""
        slots = self.pool.slots
        return np.arange(len(slots)) if slot is None else np.flatnonzero(slots == slot)

    def rows(self, m: int = 10, n: int = 3) -> np.ndarray:
        """Signed points: rows with their sign as the last entry."""
        sign = self.rng.choice([-1.0, 1.0], size=(m, 1))
        return np.hstack([sign * self.rng.normal(size=(m, n - 1)).round(2), sign])

    @cached_property
    def alternative(self) -> tree.Alternative:
        return tree.Alternative(self.rows())

    def lifting_arguments(self) -> list[object]:
        odd = self.rng.integers(-9, 10, size=(6, 3))
        return [odd, self.rng.integers(0, 40, size=(6, 3))]

    @cached_property
    def lifting_given(self) -> list[object]:
        return self.lifting_arguments()

    @cached_property
    def lifting(self) -> tree.Lifting:
        return tree.Lifting(*self.lifting_given)

    @cached_property
    def walk_arguments(self) -> list[object]:
        size, p = 4, 30
        lines = np.linalg.qr(self.rng.normal(size=(size, size)))[0]
        table = lines @ self.rng.normal(size=(size, p))
        return [np.ascontiguousarray(table), np.ascontiguousarray(lines), self.rng.normal(size=p), 3.0, 2.0, 77]

    @cached_property
    def walk(self) -> walk.ArrangementWalk:
        return walk.ArrangementWalk(*self.walk_arguments)

    # -------------------------------------------------------------------------------------------- margins

    @cached_property
    def half_spaces(self) -> list[object]:
        """Normals and right-hand sides, of a point with some norm."""
        normals = self.rng.normal(size=(self.POINTS, self.FEATURES))
        return [normals, normals @ self.rng.normal(size=self.FEATURES) - self.rng.random(self.POINTS)]

    @cached_property
    def least_norm(self) -> margins.LeastNorm:
        point = margins.LeastNorm(self.FEATURES)
        point.enter(*self.half_spaces, 1e-9, 1000, None)
        return point

    # -------------------------------------------------------------------------------------------- certification

    def norm(self) -> int:
        return int(self.rng.integers(0, 3))

    def bounds(self, n: int = 5) -> list[object]:
        return [-self.rng.random(n), self.rng.random(n)]

    def form(self, n: int = 5) -> np.ndarray:
        return self.rng.normal(size=n)

    def forms(self, k: int = 4, n: int = 5) -> np.ndarray:
        return self.rng.normal(size=(k, n))

    def region(self, norm: int, k: int, n: int) -> tuple[list[object], list[object]]:
        """What trees of both kinds are given: before and after what is their own."""
        W, alpha = self.forms(k, n), self.rng.normal(size=k)
        whole = norm != 0 and self.rng.random() < 0.5
        reach = np.abs(W).sum(axis=1)
        low, high = (np.full(n, -2.0), np.full(n, 2.0)) if whole else (-np.ones(n), np.ones(n))
        front = [norm, W / reach[:, None], alpha / reach, np.full(k, 1e-12)]
        back = [math.inf if norm == 0 else 1.0, low, high, np.full(n, whole), np.ones((n if whole else 0, 3))]
        return front, back

    def subset_arguments(self, k: int = 6, n: int = 4) -> list[object]:
        front, (ball, low, high, whole, costs) = self.region(self.norm(), k, n)
        return [*front, np.full(k, 0.3), np.ones(k), (2.5, 2.5), ball, low, high, whole, costs]

    @cached_property
    def subsets(self) -> certify.SubsetTree:
        return certify.SubsetTree(*self.subset_arguments())

    def upper_arguments(self, width: int = 5) -> list[object]:
        outputs = int(self.rng.integers(1, 4))
        count = (width + 1) * 2 + 3 * outputs
        numbers = self.rng.integers(-2, 3, size=count).astype(float)
        return [numbers, np.array([width, 2, outputs]), np.array([True, False]), 0]

    @cached_property
    def upper(self) -> certify.UpperLayers:
        return certify.UpperLayers(*self.upper_arguments())

    def cell_arguments(self) -> list[object]:
        k, n, width = 5, 3, 5
        front, (ball, low, high, whole, costs) = self.region(self.norm(), k, n)
        ends = np.stack([np.zeros(width), np.ones(width)])
        return [*front, self.upper, ball, low, high, np.arange(k), ends, np.ones(k), whole, costs]

    @cached_property
    def cells(self) -> certify.CellTree:
        return certify.CellTree(*self.cell_arguments())

    def layers(self) -> list[object]:
        return [(self.forms(4, 3), self.form(4)), (self.forms(2, 4), self.form(2))]

    @cached_property
    def classifier(self) -> certify.Classifier:
        return certify.Classifier(self.layers())
