"""A valid call of everything that `bdnn._native` offers: the start of all fuzzing.

`CALLS` maps names such as "tree.CutPool.add" to functions that take a `World` and return a callable and its positional
arguments. Methods are those of the class, so that the structure is the first argument and can be replaced like others;
properties are read by a function. A `World` holds one structure of each class, made when it is first needed: calls that
are made in the same world meet structures on which others have worked.
"""

from __future__ import annotations

import math
import operator
import types
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from bdnn import _native
from bdnn._native import certify, search, tree, walk

Built = tuple[Callable[..., object], list[object]]
Builder = Callable[["World"], Built]

CALLS: dict[str, Builder] = {}


def submodules() -> dict[str, types.ModuleType]:
    """All submodules by name."""
    found = {name: getattr(_native, name) for name in dir(_native) if not name.startswith("_")}
    return {name: each for name, each in found.items() if isinstance(each, types.ModuleType)}


def public_names() -> Iterator[str]:
    """Names of all that can be called or read: functions, classes, their methods and properties."""
    for module_name, module in submodules().items():
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or not callable(value):
                continue
            yield f"{module_name}.{name}"
            if isinstance(value, type):
                yield from (f"{module_name}.{name}.{member}" for member in public_members(value))


def public_members(owner: type) -> Iterator[str]:
    """Methods and properties of a class of the extension, operators among them."""
    own = {name for base in owner.__mro__[:-1] for name in vars(base)}
    for name in dir(owner):
        operator_of_class = name in own and callable(getattr(owner, name)) and name not in ("__new__", "__init__")
        if name.startswith("_") and not operator_of_class:
            continue
        yield name


def writable_properties() -> Iterator[str]:
    """Properties that can be assigned to."""
    for module_name, module in submodules().items():
        for owner in vars(module).values():
            if isinstance(owner, type):
                for name, value in vars(owner).items():
                    if getattr(value, "fset", None) is not None:
                        yield f"{module_name}.{owner.__name__}.{name}"


def call(name: str) -> Callable[[Builder], Builder]:
    """Register the builder of a call."""

    def register(builder: Builder) -> Builder:
        assert name not in CALLS, name
        CALLS[name] = builder
        return builder

    return register


def reads(name: str, structure: str) -> None:
    """Register the reading of a property of one of the structures of a world."""
    function = operator.attrgetter(name)(_native)
    CALLS[name] = lambda world: (function.fget, [getattr(world, structure)])


def methods_without_arguments(owner: type, structure: str, *names: str) -> None:
    """Register methods that take nothing but the structure."""
    module = owner.__module__.rsplit(".")[-1]
    for name in names:
        CALLS[f"{module}.{owner.__name__}.{name}"] = lambda world, name=name: (
            getattr(owner, name),
            [getattr(world, structure)],
        )


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
        search.turn(state, -1, 0, 0.0, 1)
        return state

    @cached_property
    def robust_state(self) -> search.RobustState:
        robust = search.RobustState(*self.robust_arguments())
        search.robust_turn(robust, -1, 0, 0.0)
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


# ------------------------------------------------------------------------------------------------ search

CALLS["search.State"] = lambda w: (search.State, list(w.state_arguments))
for name in (
    "X",
    "class_weight",
    "center",
    "unit",
    "reach",
    "width",
    "w_from",
    "b_from",
    "W",
    "b",
    "loss",
    "doubt",
    "U",
    "A",
    "rng",
    "argmax",
    "bound",
    "intercept",
):
    reads(f"search.State.{name}", "state")
CALLS["search.RobustState"] = lambda w: (search.RobustState, w.robust_arguments())
for name in ("state", "low", "high", "radius", "reach", "norm", "penalty", "exact", "maybe"):
    reads(f"search.RobustState.{name}", "robust_state")
CALLS["search.StraightThrough"] = lambda w: (search.StraightThrough, w.training_arguments())
reads("search.StraightThrough.values", "training")
methods_without_arguments(search.StraightThrough, "training", "loss", "rounded")


@call("search.turn")
def _turn(w: World) -> Built:
    neuron = int(w.rng.integers(0, w.state.b.size))
    return search.turn, [w.state, neuron, 5, 0.4, 1 << 20]


@call("search.turns")
def _turns(w: World) -> Built:
    neurons = w.rng.integers(0, w.state.b.size, size=6)
    total = float(w.state.loss.sum())
    return search.turns, [
        w.state,
        neurons,
        w.rng.integers(1, 6, size=6),
        0.4,
        7,
        total,
        total,
        np.zeros(w.state.W.size),
        np.zeros(w.state.b.size),
    ]


@call("search.gains")
def _gains(w: World) -> Built:
    p = w.POINTS
    neuron = int(w.rng.integers(0, w.state.b.size))
    return search.gains, [w.state, neuron, 0, 2, np.zeros(p, dtype=np.int32), np.zeros(p), np.zeros(p)]


@call("search.robust_turn")
def _robust_turn(w: World) -> Built:
    return search.robust_turn, [w.robust_state, int(w.rng.integers(0, w.state.b.size)), 4, 0.3]


@call("search.StraightThrough.steps")
def _steps(w: World) -> Built:
    return search.StraightThrough.steps, [w.training, w.rng.permutation(w.POINTS), 5, 0.01]


@call("search.line_search")
def _line_search(w: World) -> Built:
    return search.line_search, [*w.line(), bool(w.rng.random() < 0.5), np.array([5], dtype=np.uint64)]


@call("search.lattice_search")
def _lattice_search(w: World) -> Built:
    return search.lattice_search, [*w.line(), -3.0, 8.0, np.array([5], dtype=np.uint64)]


@call("search.integer_neurons")
def _integer_neurons(w: World) -> Built:
    n, p = 2, w.POINTS
    integers = [w.rng.integers(-3, 4, size=shape).astype(np.int32) for shape in ((n, p), p)]
    low, high = np.full(n, -2, dtype=np.int32), np.full(n, 2, dtype=np.int32)
    return search.integer_neurons, [*integers, low, high, low.copy(), np.zeros(n + 1, dtype=np.int64), 0, 1000]


@call("search.toward")
def _toward(w: World) -> Built:
    n, p = w.FEATURES, w.POINTS
    points = np.sort(w.rng.permutation(p)[:8]).astype(np.int32)
    return search.toward, [
        w.rng.normal(size=(n, p)).astype(w.real),
        np.zeros(n),
        np.ones(n),
        np.array([0, 2]),
        points,
        w.rng.normal(size=8),
        w.rng.normal(size=8),
        0.7,
        1,
        0.1,
    ]


# ------------------------------------------------------------------------------------------------ linear programs

CALLS["tree.Dictionary"] = lambda w: (tree.Dictionary, [w.cost.astype(float), w.CAPACITY, w.CAPACITY + 2])
for name in ("x", "lower", "upper", "d", "cost", "basic", "nonbasic", "place", "norm", "size", "state", "T"):
    reads(f"tree.Dictionary.{name}", "program")
CALLS["tree.drop_slack_rows"] = lambda w: (tree.drop_slack_rows, [w.program, 0.5, np.zeros(w.CAPACITY, dtype=np.int64)])
CALLS["tree.settle"] = lambda w: (tree.settle, [w.program])
CALLS["tree.dual_simplex"] = lambda w: (tree.dual_simplex, [w.program, math.inf, 200, go_on])
CALLS["tree.multipliers"] = lambda w: (tree.multipliers, [w.program, 0.0, np.zeros(w.CAPACITY)])
CALLS["tree.copy_into"] = lambda w: (tree.copy_into, [w.new_program(), w.program])


@call("tree.add_row")
def _add_row(w: World) -> Built:
    columns, values, rhs = w.row()
    held = {int(each) - w.COLUMNS for each in w.program.basic[: int(w.program.size[0])]}
    held |= {int(each) - w.COLUMNS for each in w.program.nonbasic}
    free = [label for label in range(w.CAPACITY) if label not in held]
    return tree.add_row, [w.program, free[0] if free else 0, columns, values.astype(float), float(rhs)]


@call("tree.rebuild")
def _rebuild(w: World) -> Built:
    rows = [w.row() for _ in range(w.CAPACITY)]
    starts = np.cumsum([0, *(len(row[0]) for row in rows)])
    columns, values = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
    return tree.rebuild, [
        w.program,
        w.rng.permutation(w.CAPACITY)[:6],
        starts,
        columns,
        values.astype(float),
        np.ones(len(rows)),
    ]


@call("tree.penalties")
def _penalties(w: World) -> Built:
    return tree.penalties, [w.program, int(w.rng.integers(0, max(1, int(w.program.size[0]))))]


@call("tree.penalties_of")
def _penalties_of(w: World) -> Built:
    return tree.penalties_of, [w.program, np.flatnonzero(w.program.place[: w.COLUMNS] < 0)]


CALLS["tree.CutPool"] = lambda w: (tree.CutPool, [w.cost, w.CAPACITY])
for name in ("room", "slots"):
    reads(f"tree.CutPool.{name}", "pool")
methods_without_arguments(tree.CutPool, "pool", "__len__", "proof")
CALLS["tree.CutPool.add"] = lambda w: (tree.CutPool.add, [w.pool, *w.row()])
CALLS["tree.CutPool.row"] = lambda w: (tree.CutPool.row, [w.pool, int(w.rng.integers(0, len(w.pool)))])
CALLS["tree.CutPool.enter"] = lambda w: (tree.CutPool.enter, [w.pool, w.pooled, w.labels(-1)[:2]])
CALLS["tree.CutPool.drop"] = lambda w: (tree.CutPool.drop, [w.pool, w.pooled, 0.5])
CALLS["tree.CutPool.discard"] = lambda w: (tree.CutPool.discard, [w.pool, w.pooled, w.labels()[:2]])
CALLS["tree.CutPool.rebuild"] = lambda w: (tree.CutPool.rebuild, [w.pool, w.pooled])
CALLS["tree.CutPool.violated"] = lambda w: (tree.CutPool.violated, [w.pool, w.rng.random(w.COLUMNS), 0.01, 3])
CALLS["tree.CutPool.gaps"] = lambda w: (tree.CutPool.gaps, [w.pool, w.labels(), w.rng.random(w.COLUMNS)])
CALLS["tree.CutPool.mark_sure"] = lambda w: (tree.CutPool.mark_sure, [w.pool, w.labels()[:3]])
CALLS["tree.CutPool.bound"] = lambda w: (tree.CutPool.bound, [w.pool, w.pooled, 0.0, 1.0, 1000, *w.box()])
CALLS["tree.CutPool.enter_violated"] = lambda w: (
    tree.CutPool.enter_violated,
    [w.pool, w.pooled, np.zeros(w.COLUMNS), 0.01, 2],
)


@call("tree.CutPool.add_set")
def _add_set(w: World) -> Built:
    columns = w.rng.integers(0, w.COLUMNS, size=(6, 2))
    return tree.CutPool.add_set, [w.pool, np.array([0, 2, 5]), columns, w.COLUMNS - 1]


@call("tree.CutPool.solve")
def _solve(w: World) -> Built:
    pool = w.pool
    return tree.CutPool.solve, [pool, w.pooled, *w.box(), math.inf, 100, 50.0, 100.0, 1.0, 1000, go_on]


@call("tree.CutPool.fix")
def _fix(w: World) -> Built:
    n = w.COLUMNS
    sides = np.zeros(n, dtype=np.int8), np.ones(n, dtype=np.int8), np.zeros(n), np.ones(n)
    return tree.CutPool.fix, [w.pool, 0, *sides]


# ------------------------------------------------------------------------------------------------ exact numbers

CALLS["tree.Alternative"] = lambda w: (tree.Alternative, [w.rows()])
for name in ("V", "inverse", "basis", "mu", "prices", "count"):
    reads(f"tree.Alternative.{name}", "alternative")
CALLS["tree.restart"] = lambda w: (tree.restart, [w.alternative, int(w.rng.integers(0, 10))])


@call("tree.separate")
def _separate(w: World) -> Built:
    cost = w.rng.random(10) if w.rng.random() < 0.5 else w.rng.random((3, 10))
    sets, sizes = np.zeros((4, 4), dtype=np.int64), np.zeros(4, dtype=np.int64)
    sets[0, :2], sizes[0] = (1, 2), 2
    return tree.separate, [w.alternative, cost, 50.0, w.rng.random(10), 0.9, 300, sets, sizes, 1, go_on]


CALLS["tree.Lifting"] = lambda w: (tree.Lifting, w.lifting_arguments())
for name in ("pivots", "others"):
    reads(f"tree.Lifting.{name}", "lifting")
CALLS["tree.Lifting.solve"] = lambda w: (tree.Lifting.solve, [w.lifting, 0])
CALLS["tree.euclid_steps"] = lambda w: (tree.euclid_steps, sorted(w.rng.integers(0, 2**60, size=2).tolist())[::-1])
CALLS["tree.numbers_of"] = lambda w: (tree.numbers_of, [w.rng.integers(0, tree.PRIME, size=(5, 3))])
CALLS["tree.enclosed"] = lambda w: (tree.enclosed, [w.rows(), w.rng.integers(0, 10, size=(4, 4))])
CALLS["tree.enclosed_support"] = lambda w: (tree.enclosed_support, [w.rows(), w.rng.permutation(10)[:4]])
CALLS["walk.ArrangementWalk"] = lambda w: (walk.ArrangementWalk, list(w.walk_arguments))
for name in ("step", "basis", "inside"):
    reads(f"walk.ArrangementWalk.{name}", "walk")
CALLS["walk.ArrangementWalk.run"] = lambda w: (walk.ArrangementWalk.run, [w.walk, w.walk.step + 20, -math.inf])

# ------------------------------------------------------------------------------------------------ certification

CALLS["certify.support"] = lambda w: (certify.support, [w.norm(), w.form(), 0.7, *w.bounds()])
CALLS["certify.smallest_radius"] = lambda w: (certify.smallest_radius, [w.norm(), w.form(), 0.4, *w.bounds()])
CALLS["certify.smallest_radii"] = lambda w: (certify.smallest_radii, [w.norm(), w.forms(), w.form(4), *w.bounds()])
CALLS["certify.magnitude"] = lambda w: (certify.magnitude, [w.norm(), w.form(), 0.7, *w.bounds()])
CALLS["certify.magnitudes"] = lambda w: (certify.magnitudes, [w.norm(), w.forms(), 0.7, *w.bounds()])
CALLS["certify.reaches"] = lambda w: (certify.reaches, [w.norm(), w.forms(), 0.7, *w.bounds()])
CALLS["certify.excludes"] = lambda w: (
    certify.excludes,
    [w.norm(), w.forms(), w.form(4), np.full(4, 1e-12), w.rng.random(4), 0.7, *w.bounds()],
)
CALLS["certify.proven_radius"] = lambda w: (
    certify.proven_radius,
    [w.norm(), w.forms(), w.form(4), np.full(4, 1e-12), w.rng.random(4), *w.bounds()],
)
CALLS["certify.scatter"] = lambda w: (certify.scatter, [int(w.rng.integers(0, 1000))])
CALLS["certify.largest_move"] = lambda w: (certify.largest_move, [w.form(), w.form()])
CALLS["certify.support_steps"] = lambda w: (
    certify.support_steps,
    [
        int(w.rng.integers(1, 3)),
        w.form(),
        1.5,
        np.full(5, -2.0),
        np.full(5, 2.0),
        np.ones((5, 3)),
        w.rng.random(5) < 0.7,
    ],
)
CALLS["certify.nearest"] = lambda w: (certify.nearest, [w.norm(), w.forms(), w.form(4), *w.bounds(), math.inf, pause])
CALLS["certify.SubsetTree"] = lambda w: (certify.SubsetTree, w.subset_arguments())
CALLS["certify.CellTree"] = lambda w: (certify.CellTree, w.cell_arguments())
for owner, structure in ((certify.SubsetTree, "subsets"), (certify.CellTree, "cells")):
    for name in ("nodes", "ball", "is_full", "solution", "lower", "found"):
        reads(f"certify.{owner.__name__}.{name}", structure)
    methods_without_arguments(owner, structure, "reopen", "branch_any")
    CALLS[f"certify.{owner.__name__}.explore"] = lambda w, owner=owner, structure=structure: (
        owner.explore,
        [getattr(w, structure), 20, pause],
    )
    CALLS[f"certify.{owner.__name__}.shrink"] = lambda w, owner=owner, structure=structure: (
        owner.shrink,
        [
            tree := getattr(w, structure),
            min(tree.ball, 1.0),
            -0.9 * np.ones(len(tree.lower)),
            0.9 * np.ones(len(tree.lower)),
        ],
    )
CALLS["certify.UpperLayers"] = lambda w: (certify.UpperLayers, w.upper_arguments())
CALLS["certify.UpperLayers.constant"] = lambda w: (certify.UpperLayers.constant, [w.upper, np.zeros(5), np.ones(5)])
CALLS["certify.Classifier"] = lambda w: (certify.Classifier, [w.layers()])
CALLS["certify.Classifier.__call__"] = lambda w: (certify.Classifier.__call__, [w.classifier, w.form(3)])
