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

import numpy as np

from bdnn import _native
from bdnn._native import boosting, certify, margins, search, tree, walk
from native.world import World, go_on, pause

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
    "sign",
):
    reads(f"search.State.{name}", "state")
CALLS["search.RobustState"] = lambda w: (search.RobustState, w.robust_arguments())
for name in ("state", "low", "high", "radius", "reach", "norm", "penalty", "exact", "maybe"):
    reads(f"search.RobustState.{name}", "robust_state")
CALLS["search.StraightThrough"] = lambda w: (search.StraightThrough, w.training_arguments())
reads("search.StraightThrough.values", "training")
methods_without_arguments(search.StraightThrough, "training", "loss", "rounded")


@call("search.improve_neuron")
def _improve_neuron(w: World) -> Built:
    neuron = int(w.rng.integers(0, w.state.b.size))
    return search.improve_neuron, [w.state, neuron, 5, 0.4, 1 << 20]


@call("search.improve_neurons")
def _improve_neurons(w: World) -> Built:
    neurons = w.rng.integers(0, w.state.b.size, size=6)
    total = float(w.state.loss.sum())
    return search.improve_neurons, [
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


def _lines(w: World, count: int) -> tuple[int, np.ndarray, np.ndarray]:
    neuron = int(w.rng.integers(0, w.state.b.size))
    k = int(np.searchsorted(w.state.b_from, neuron, side="right")) - 1
    inputs = w.FEATURES if k == 0 else int(w.state.width[k - 1])
    axes = np.column_stack([w.rng.random(count) + 0.1, np.full(count, -1.0), np.full(count, 4.0)])
    return neuron, w.rng.normal(size=(count, inputs + 1)), axes


@call("search.line_sums")
def _line_sums(w: World) -> Built:
    neuron, directions, axes = _lines(w, 3)
    return search.line_sums, [w.state, neuron, directions, axes, np.zeros(3), np.zeros((3, 16))]


@call("search.line_breakpoints")
def _line_breakpoints(w: World) -> Built:
    neuron, directions, axes = _lines(w, 1)
    wanted = w.rng.integers(0, 2, 8).astype(np.uint8)
    return search.line_breakpoints, [w.state, neuron, directions[0], axes[0], wanted]


@call("search.improve_robust_neuron")
def _improve_robust_neuron(w: World) -> Built:
    return search.improve_robust_neuron, [w.robust_state, int(w.rng.integers(0, w.state.b.size)), 4, 0.3]


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
    return search.integer_neurons, [*integers, low, high, low.copy(), np.zeros(n + 1, dtype=np.int64), 0, 1000, True]


@call("search.halfspaces")
def _halfspaces(w: World) -> Built:
    n, p = int(w.rng.integers(1, 5)), w.POINTS
    X = w.rng.integers(-3, 4, size=(n, p)) * float(w.rng.choice([1.0, 0.1, 1e-30]))
    return search.halfspaces, [X, w.rng.integers(-3, 4, size=p), np.zeros(p, dtype=np.uint8), 1, go_on]


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


CALLS["tree.Clauses"] = lambda w: (tree.Clauses, [w.cost, 3])
for name in ("given", "conflicts", "numbers"):
    reads(f"tree.Clauses.{name}", "clauses")
methods_without_arguments(tree.Clauses, "clauses", "columns_on")
methods_without_arguments(tree.Clauses, "refuted", "refutation")
CALLS["tree.Clauses.add"] = lambda w: (tree.Clauses.add, [w.clauses, w.literals()])
CALLS["tree.Clauses.solve"] = lambda w: (tree.Clauses.solve, [w.clauses, 100, go_on])


@call("tree.Clauses.add_set")
def _(w: World) -> Built:
    columns = w.rng.integers(0, w.COLUMNS, size=(6, 2))
    return tree.Clauses.add_set, [w.clauses, np.array([0, 2, 5]), columns]


@call("tree.refutes")
def _(w: World) -> Built:
    given = np.array([0, 1])  # that column 0 is 1, and is 0
    return tree.refutes, [w.cost, 3, given, np.arange(3), given[:0], np.zeros(2, int), given, np.array([0, 2])]


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
CALLS["margins.LeastNorm"] = lambda w: (margins.LeastNorm, [w.FEATURES])
for name in ("point", "active"):
    reads(f"margins.LeastNorm.{name}", "least_norm")
CALLS["margins.LeastNorm.enter"] = lambda w: (
    margins.LeastNorm.enter,
    [w.least_norm, *w.half_spaces, 1e-9, 1000, go_on],
)
CALLS["margins.LeastNorm.refresh"] = lambda w: (margins.LeastNorm.refresh, [w.least_norm, w.half_spaces[1]])
CALLS["margins.LeastNorm.relabel"] = lambda w: (margins.LeastNorm.relabel, [w.least_norm, np.arange(w.POINTS)])

# ------------------------------------------------------------------------------------------------ boosting


@call("boosting.grown")
def _grown(w: World) -> Built:
    rows, start = 30, np.array([0, 3, 4, 9])
    bins = w.rng.integers(0, np.diff(start)[:, None] + 1, (3, rows)).astype(np.uint8)
    classes = int(w.rng.integers(2, 4))
    codes, weight, price = w.rng.integers(0, classes, rows), w.rng.random(rows) + 0.5, w.rng.random(9) + 1.0
    shape, gains = (classes, price, 4, bool(w.rng.integers(2))), (0.3, 0.15, 20, 1.0, 1, 1e-3)
    return boosting.grown, [bins, start, codes, weight, *shape, *gains, 3.0, 4.0, 2.0, 200.0, go_on]


@call("boosting.add")
def _add(w: World) -> Built:
    start, output = np.array([0, 3, 4, 9]), int(w.rng.integers(-1, 2))
    bins = w.rng.integers(0, np.diff(start)[:, None] + 1, (3, 20)).astype(np.uint8)
    nodes = np.array([5, -1, 2, -1, -1]), np.array([1, 0, 3, 1, 2])
    values = w.rng.integers(-9, 9, (3, 2 if output < 0 else 1))
    return boosting.add, [bins, start, np.array([0]), np.array([output]), *nodes, values, np.zeros((20, 2), np.int64)]


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
