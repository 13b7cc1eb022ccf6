"""What passes the doors of the compiled core: checked arguments or an error, and never a crash.

Every call of `native.calls` is made with mutated arguments: other types and layouts of arrays, other sizes, numbers
that are none, indices outside, integers and floats at the ends of their ranges, other objects. Each must return or
raise one of a few errors; arrays are embedded in larger ones to see that nothing outside of them is written. With
BDNN_FUZZ_ROUNDS the number of random rounds is set.
"""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bdnn._native import search
from native.calls import CALLS, World, public_names, submodules, writable_properties
from native.guards import ENDLESS, REFUSED, attempt, backstop  # noqa: F401  # every test uses the fixture

ROUNDS = int(os.environ.get("BDNN_FUZZ_ROUNDS", "50"))
FLOATS = [math.nan, math.inf, -math.inf, 1e308, -1e308, -0.0, 0.0, 5e-324, -1.0]
INTEGERS = [0, 1, -1, 2, 2**29, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**70, -(2**70)]
STRANGE = [None, "x", b"x", [], (), {}, 1j, np.zeros(3), np.float64(0.5), np.int64(1), object()]


# ------------------------------------------------------------------------------------------------ guards


# ------------------------------------------------------------------------------------------------ mutations


def other_arrays(value: np.ndarray, rng: np.random.Generator) -> Iterator[object]:
    """Arrays that are almost the given one."""
    for dtype in (
        np.float32,
        np.float64,
        np.int32,
        np.int64,
        np.uint8,
        np.uint64,
        np.bool_,
        object,
        np.complex128,
        "U3",
        "datetime64[s]",
        [("a", "f8")],
        value.dtype.newbyteorder(),
    ):
        yield np.zeros(value.shape, dtype=dtype)
    yield value.tolist()
    yield np.repeat(value, 2, axis=-1)[..., ::2] if value.ndim else value
    yield value[::-1] if value.ndim else value
    yield np.asfortranarray(value)
    frozen = value.copy()
    frozen.flags.writeable = False
    yield frozen
    memory = np.zeros(value.nbytes + 1, dtype=np.uint8)
    askew = memory[1:].view(value.dtype).reshape(value.shape)
    askew[...] = value
    yield askew
    yield np.zeros((0,) * value.ndim, dtype=value.dtype)
    for axis, change in itertools.product(range(value.ndim), (-1, 1)):
        shape = list(value.shape)
        shape[axis] = max(0, shape[axis] + change)
        yield np.zeros(shape, dtype=value.dtype)
        yield np.resize(value, shape) if value.size else np.zeros(shape, dtype=value.dtype)
        shape[axis] = 0
        yield np.zeros(shape, dtype=value.dtype)
    yield value[None]
    yield value.ravel()
    yield np.zeros((), dtype=value.dtype)
    yield np.broadcast_to(value[:1], value.shape) if value.size else value
    yield memoryview(value)
    yield value.view(np.matrix) if value.ndim == 2 else np.ma.masked_array(value)
    yield from injected(value, rng)


def injected(value: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Arrays of the same type and shape with numbers that should not be there, in one place and everywhere."""
    if value.size == 0:
        return
    if value.dtype.kind == "f":
        numbers: list[object] = [*FLOATS, 1e-310, 1e200, -1e200, 0.5]
    elif value.dtype.kind in "iu":
        ends = np.iinfo(value.dtype)
        numbers = [ends.min, ends.max, 0, 1, -1, value.size, len(value), 2**31, 2**40, 2**62, -(2**62)]
        numbers = [each for each in numbers if ends.min <= each <= ends.max]
    elif value.dtype.kind == "b":
        yield np.full(value.shape, 0xFF, dtype=np.uint8).view(bool)
        yield ~value
        return
    else:
        return
    with np.errstate(over="ignore"):
        for number in numbers:
            changed = value.copy()
            changed.flat[rng.integers(0, value.size)] = number
            yield changed
            yield np.full(value.shape, number).astype(value.dtype)


def other_objects(value: object, rng: np.random.Generator) -> list[object]:
    """What else may be given for an argument."""
    if isinstance(value, np.ndarray):
        return [*other_arrays(value, rng), *STRANGE[:8]]
    if isinstance(value, bool):
        return [not value, 2, math.nan, *STRANGE]
    if isinstance(value, int):
        return [*INTEGERS, value + 1, 0.5, 2.0, math.nan, *STRANGE]
    if isinstance(value, float):
        return [*FLOATS, *INTEGERS, np.float32(1), *STRANGE]
    if isinstance(value, list | tuple):
        return [*sequences(value, rng), *STRANGE]
    if callable(value):
        return [None, "x", 3, lambda: True, lambda *_: False, lambda *_: "x", lambda *_: None, raises]
    return [*STRANGE, type(value), uninitialized(type(value)), search.State, uninitialized(search.State)]


def sequences(value: list[object] | tuple[object, ...], rng: np.random.Generator) -> Iterator[object]:
    """Lists and tuples with one entry changed, one more or one fewer."""
    kind = type(value)
    for place, each in enumerate(value):
        for other in other_objects(each, rng):
            yield kind([*value[:place], other, *value[place + 1 :]])
    yield kind(value[:-1])
    yield kind([*value, value[-1]])
    yield kind(list(value) * 400)
    yield list(value) if kind is tuple else tuple(value)


def uninitialized(kind: type) -> object:
    """An object whose constructor has not run."""
    return kind.__new__(kind)


def raises(*_: object) -> None:
    """A callback that fails."""
    raise ValueError


# ------------------------------------------------------------------------------------------------ tests


def test_every_binding_has_a_call():
    assert set(CALLS) == set(public_names())
    assert list(writable_properties()) == []  # arrays are written to in place
    assert set(submodules()) == {"boosting", "search", "tree", "walk", "margins", "certify"}


@pytest.mark.parametrize("name", CALLS)
def test_right_arguments(name):
    for seed in range(10):
        function, arguments = CALLS[name](World(seed))
        assert attempt(name, function, arguments) == "returned"


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_one_by_one(name):
    seed = sum(map(ord, name))
    rng = np.random.default_rng(seed)
    count = len(CALLS[name](World(seed))[1])
    outcomes = []
    for place in range(count):
        more = True
        turn = 0
        while more:
            world = World(seed)
            function, arguments = CALLS[name](world)
            others = other_objects(arguments[place], rng)
            more = turn + 1 < len(others)
            arguments[place] = others[turn]
            outcomes.append(attempt(name, function, arguments, 0.3 if place == ENDLESS.get(name) else 20.0))
            # what the call left behind is still sound
            function, arguments = CALLS[name](world)
            attempt(name, function, arguments)
            turn += 1
    function, arguments = CALLS[name](World(seed))
    outcomes += [attempt(name, function, arguments[:-1]), attempt(name, function, [*arguments, None])]
    assert {"InputError", "TypeError"} & set(outcomes)


def mutated(name: str, world: World, rng: np.random.Generator) -> tuple[Callable[..., object], list[object]]:
    """A call with up to two arguments changed, or one given twice."""
    function, arguments = CALLS[name](world)
    for place in rng.permutation(len(arguments))[: rng.integers(0, 3)]:
        others = other_objects(arguments[place], rng)
        arguments[place] = others[rng.integers(0, len(others))]
    if rng.random() < 0.1:
        place, other = rng.integers(0, len(arguments), size=2)
        arguments[place] = arguments[other]
    return function, arguments


def spoil(world: World, rng: np.random.Generator) -> None:
    """Write something into an array that a structure shares with Python."""
    structure = getattr(
        world, ("state", "robust_state", "training", "program", "pooled", "walk", "lifting")[rng.integers(0, 7)]
    )
    shared = [value for name in dir(structure) if isinstance(value := getattr(structure, name), np.ndarray)]
    if structure is world.__dict__.get("walk"):
        shared += world.walk_arguments[:3]
    if structure is world.__dict__.get("lifting"):
        shared += world.lifting_given
    shared = [value for value in shared if value.flags.writeable and value.size]
    if shared:
        array = shared[rng.integers(0, len(shared))]
        others = list(injected(array, rng))
        array[...] = others[rng.integers(0, len(others))]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_structures_under_random_calls(seed):
    rng = np.random.default_rng(1000 + seed)
    world = World(seed)
    names = list(CALLS)
    for _ in range(60):
        name = names[rng.integers(0, len(names))]
        try:
            if rng.random() < 0.15:
                spoil(world, rng)
            function, arguments = mutated(name, world, rng)
        except REFUSED:
            continue  # no structure can be made of what was written into the others
        attempt(name, function, arguments, 0.3 if name in ENDLESS else 20.0)


def test_structures_are_made_once():
    world = World(1)
    for name in ("search.State", "tree.Dictionary", "walk.ArrangementWalk", "certify.CellTree", "tree.Alternative"):
        kind, arguments = CALLS[name](world)
        made = kind(*arguments)
        with warnings.catch_warnings(), pytest.raises(TypeError):
            warnings.simplefilter("ignore")
            made.__init__(*arguments)  # views of the first one would be left without memory


def test_what_is_shared_outlives_its_structure():
    world = World(2)
    views = [
        world.state.W,
        world.state.A,
        world.program.x,
        world.training.values,
        world.alternative.V,
        world.walk.basis,
    ]
    before = [view.copy() for view in views]
    del world
    assert all(map(np.array_equal, views, before))
