"""What passes the doors of the compiled core: checked arguments or an error, and never a crash.

Every call of `native.calls` is made with mutated arguments: other types and layouts of arrays, other sizes, numbers
that are none, indices outside, integers and floats at the ends of their ranges, other objects. Each must return or
raise one of a few errors; arrays are embedded in larger ones to see that nothing outside of them is written. With
BDNN_FUZZ_ROUNDS the number of random rounds is set.
"""

from __future__ import annotations

import faulthandler
import itertools
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from bdnn._native import certify, search, tree, walk
from bdnn.errors import InputError
from native.calls import CALLS, World, public_names, submodules, writable_properties

ROUNDS = int(os.environ.get("BDNN_FUZZ_ROUNDS", "150"))
REFUSED = (InputError, TypeError, ValueError, OverflowError, MemoryError)
# long work may be asked for here: an argument of these is a number of steps, which Ctrl-C ends
ENDLESS = {
    "search.turn": 2,
    "search.robust_turn": 2,
    "tree.dual_simplex": 2,
    "tree.separate": 5,
    "tree.CutPool.solve": 5,
    "walk.ArrangementWalk.run": 1,
    "certify.SubsetTree.explore": 1,
    "certify.CellTree.explore": 1,
}
FLOATS = [math.nan, math.inf, -math.inf, 1e308, -1e308, -0.0, 0.0, 5e-324, -1.0]
INTEGERS = [0, 1, -1, 2, 2**29, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**70, -(2**70)]
STRANGE = [None, "x", b"x", [], (), {}, 1j, np.zeros(3), np.float64(0.5), np.int64(1), object()]


# ------------------------------------------------------------------------------------------------ guards


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt inside when so much processor time has been used, as Ctrl-C would."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@pytest.fixture(autouse=True)
def backstop() -> Iterator[None]:
    """End the process with a trace if a kernel hangs and does not even look for signals."""
    faulthandler.dump_traceback_later(600, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


class Guarded:
    """Copies of arrays, each in the middle of memory with a pattern."""

    ROOM = 128

    def __init__(self) -> None:
        self.blocks: list[tuple[np.ndarray, int, int]] = []

    def __call__(self, value: object) -> object:
        """The value with all arrays in it embedded."""
        if type(value) in (list, tuple):
            return type(value)(map(self, value))
        if type(value) is not np.ndarray or value.dtype.hasobject or not value.flags.c_contiguous:
            return value
        if not value.flags.aligned or not value.flags.writeable:
            return value
        block = np.full(2 * self.ROOM + value.nbytes, 0xA5, dtype=np.uint8)
        shift = -block.ctypes.data % 64
        start, end = shift + self.ROOM // 2, shift + self.ROOM // 2 + value.nbytes
        inside = block[start:end].view(value.dtype).reshape(value.shape)
        inside[...] = value
        self.blocks.append((block, start, end))
        return inside

    def check(self) -> None:
        """Nothing around the arrays has changed."""
        for block, start, end in self.blocks:
            assert (block[:start] == 0xA5).all() and (block[end:] == 0xA5).all(), "written outside of an array"


def touch(value: object) -> None:
    """Read all of a result."""
    if isinstance(value, np.ndarray):
        value.copy()
    elif isinstance(value, list | tuple):
        for each in value:
            touch(each)


def attempt(name: str, function: Callable[..., object], arguments: list[object], seconds: float = 20.0) -> str:
    """Make a call that may be refused; return what came of it."""
    guarded = Guarded()
    try:
        with warnings.catch_warnings(), processor_time(seconds):
            warnings.simplefilter("ignore")  # of structures that were never made
            touch(function(*map(guarded, arguments)))
        outcome = "returned"
    except REFUSED as error:
        outcome = type(error).__name__
    except KeyboardInterrupt:
        outcome = "interrupted"
        place = ENDLESS.get(name)
        many = place is not None and place < len(arguments) and arguments[place]
        assert isinstance(many, int | np.integer) and many > 1000, f"{called(name, arguments)} hangs"
    except Exception as error:
        pytest.fail(f"{called(name, arguments)} raised {type(error).__name__}: {error}")
    guarded.check()
    return outcome


def called(name: str, arguments: list[object]) -> str:
    """A call in a message; the call itself was given copies of the arrays."""
    return f"{name}({', '.join(map(described, arguments))})"


def described(value: object) -> str:
    """An argument in a message."""
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape} {np.array2string(value, threshold=20)}>"
    return repr(value)[:200]


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
    return [*STRANGE, type(value), uninitialised(type(value)), search.State, uninitialised(search.State)]


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


def uninitialised(kind: type) -> object:
    """An object whose constructor has not run."""
    return kind.__new__(kind)


def raises(*_: object) -> None:
    """A callback that fails."""
    raise ValueError


# ------------------------------------------------------------------------------------------------ tests


def test_every_binding_has_a_call():
    assert set(CALLS) == set(public_names())
    assert list(writable_properties()) == []  # arrays are written to in place
    assert set(submodules()) == {"search", "tree", "walk", "margins", "certify"}


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


# ------------------------------------------------------------------------------------------------ long work


def long_calls() -> dict[str, tuple[Callable[..., object], list[object]]]:
    """Calls that would take very long."""
    rng = np.random.default_rng(0)
    p, size = 4000, 8
    lines = np.linalg.qr(rng.normal(size=(size, size)))[0]
    walking = walk.ArrangementWalk(lines @ rng.normal(size=(size, p)), lines.copy(), rng.normal(size=p), 3.0, 3.0, 1)
    X, weight = rng.normal(size=(10, p)), np.eye(2)[rng.integers(0, 2, p)]
    state = search.State(X, weight, np.zeros(10), np.ones(10), np.full(10, 9.0), [5, 1], False, 0, True, 1)
    state.W[:] = rng.normal(size=state.W.size)
    robust = search.RobustState(state, X - 0.1, X + 0.1, np.full(10, 0.1), np.full(10, 9.0), 0, 0.0, True)
    search.turn(state, -1, 0, 0.0, 1)
    search.robust_turn(robust, -1, 0, 0.0)
    k, n = 60, 12
    W = rng.normal(size=(k, n))
    W /= np.abs(W).sum(axis=1)[:, None]
    box = -np.ones(n), np.ones(n)
    around = np.full(k, 1e-12)
    subsets = certify.SubsetTree(
        0,
        W,
        -np.full(k, 0.05),
        around,
        np.full(k, 0.9),
        np.ones(k),
        (45.5, 45.5),
        math.inf,
        *box,
        np.zeros(n, dtype=bool),
        np.zeros((0, 3)),
    )
    one_point = walk.ArrangementWalk(np.ones((1, 0)), np.ones((1, 1)), np.zeros(0), 0.0, 0.0, 1)
    most = 2**62
    return {
        "walk": (walking.run, [most, -math.inf]),
        "walk without points": (one_point.run, [most, -math.inf]),
        "turn": (search.turn, [state, 0, 2**31 - 2, 0.5, 1 << 30]),
        "turns": (
            search.turns,
            [
                state,
                np.zeros(10**6, dtype=np.int64),
                np.full(10**6, 3),
                0.5,
                1 << 30,
                0.0,
                0.0,
                np.zeros(state.W.size),
                np.zeros(state.b.size),
            ],
        ),
        "robust turn": (search.robust_turn, [robust, 0, 2**31 - 2, 0.5]),
        "subsets": (subsets.explore, [most]),
    }


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
@pytest.mark.parametrize("name", list(long_calls()))
def test_long_work_can_be_interrupted(name):
    function, arguments = long_calls()[name]
    for _ in range(2):  # and can be taken up again
        with pytest.raises(KeyboardInterrupt), processor_time(0.1):
            function(*arguments)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
@pytest.mark.parametrize("perturbed", [False, True])
def test_an_evaluation_can_be_interrupted_and_is_made_up_for(perturbed):
    p, hidden = 400_000, 40
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(1, p)), np.eye(2)[rng.integers(0, 2, p)]
    around = X - 0.1, X + 0.1, np.full(1, 0.1), np.full(1, 9.0), 0, 0.0, True

    def evaluated(neuron):
        if perturbed:
            return search.robust_turn(network[1], neuron, 0, 0.0)
        return search.turn(network[0], neuron, 0, 0.0, 1)

    def made():
        state = search.State(X, weight, np.zeros(1), np.ones(1), np.full(1, 9.0), [hidden, 1], False, 0, True, 1)
        return state, search.RobustState(state, *around) if perturbed else None

    network = made()
    evaluated(-1)
    before = network[0].loss.copy()
    network[0].W[:], network[0].b[:] = rng.normal(size=2 * hidden), rng.normal(size=hidden + 1)
    with pytest.raises(KeyboardInterrupt), processor_time(0.01):
        while True:
            evaluated(-1)
    assert not np.array_equal(network[0].loss, before)
    evaluated(0)  # of one neuron, but of no avail unless all are
    halfway, network = network, made()
    network[0].W[:], network[0].b[:] = halfway[0].W, halfway[0].b
    evaluated(-1)
    assert np.array_equal(halfway[0].loss, network[0].loss)


# ------------------------------------------------------------------------------------------------ threads and processes


def kernels(world: World) -> list[Callable[[], object]]:
    """Work on every structure of a world."""
    return [
        lambda: search.turn(world.state, 0, 5, 0.5, 1 << 20),
        lambda: search.robust_turn(world.robust_state, 0, 5, 0.5),
        lambda: world.training.steps(np.arange(world.POINTS), 4, 0.01),
        lambda: world.training.rounded(),
        lambda: tree.dual_simplex(world.program, math.inf, 100),
        lambda: (tree.settle(world.program), world.program.T),
        lambda: world.pool.solve(world.pooled, *world.box(), math.inf, 100, 50.0, 100.0, 1.0, 1000),
        lambda: (world.pool.proof(), world.pool.slots),
        lambda: tree.separate(
            world.alternative,
            np.ones(10),
            50.0,
            np.ones(10),
            0.9,
            50,
            np.zeros((4, 4), dtype=np.int64),
            np.zeros(4, dtype=np.int64),
            0,
        ),
        lambda: world.lifting.solve(0),
        lambda: world.walk.run(world.walk.step + 10, -math.inf),
        lambda: world.subsets.explore(5),
        lambda: (world.cells.explore(5), world.cells.solution),
        lambda: world.classifier(np.zeros(3)),
    ]


def work_in_threads(tasks: list[list[Callable[[], object]]], times: int) -> tuple[int, list[BaseException]]:
    """Run lists of calls at once; return how many ended well, and the errors."""
    errors: list[BaseException] = []
    done = itertools.count()

    def run(mine: list[Callable[[], object]]) -> None:
        for _ in range(times):
            for task in mine:
                try:
                    task()
                    next(done)
                except BaseException as error:
                    errors.append(error)

    threads = [threading.Thread(target=run, args=(mine,)) for mine in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next(done), errors


def made(seed: int) -> World:
    """A world with all its structures."""
    world = World(seed)
    for kernel in kernels(world):
        kernel()
    return world


def test_two_threads_on_two_structures_do_what_one_does():
    alone, others = [made(seed) for seed in (1, 2)], [made(seed) for seed in (1, 2)]
    for world in alone:
        done, errors = work_in_threads([kernels(world)], 30)
        assert not errors
    done, errors = work_in_threads([kernels(world) for world in others], 30)
    assert not errors and done == 2 * 30 * len(kernels(others[0]))
    for one, other in zip(alone, others, strict=True):
        for a, b in (
            (one.state, other.state),
            (one.training, other.training),
            (one.program, other.program),
            (one.pooled, other.pooled),
            (one.alternative, other.alternative),
            (one.walk, other.walk),
        ):
            for name in dir(a):
                if isinstance(getattr(a, name), np.ndarray):
                    assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def test_two_threads_on_one_structure_are_kept_apart():
    world = made(3)
    done, errors = work_in_threads([kernels(world), kernels(world)[::-1], kernels(world)], 40)
    assert done > 0
    assert all(isinstance(error, InputError) for error in errors), errors


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
def test_long_work_keeps_others_off_and_lets_other_threads_run():
    run, arguments = long_calls()["walk"]
    walking, refused = run.__self__, []

    def others() -> None:
        while walking.step == 0:
            pass
        while len(refused) < 5:
            try:
                run(1, 0.0)
            except InputError as error:
                refused.append(error)
            else:
                break

    thread = threading.Thread(target=others)
    with pytest.raises(KeyboardInterrupt), processor_time(1.0):
        thread.start()
        run(*arguments)
    thread.join()
    assert len(refused) == 5


def test_callbacks_find_the_structure_in_use():
    rng = np.random.default_rng(5)
    function, arguments = long_calls()["subsets"]
    subsets = function.__self__
    said: list[BaseException] = []

    def ask(_: int) -> None:
        try:
            subsets.explore(1)
        except InputError as error:
            said.append(error)
        raise ValueError

    with pytest.raises(ValueError):
        function(*arguments, ask)
    assert len(said) == 1
    rows = rng.normal(size=(3000, 40))
    alternative = tree.Alternative(rows)
    given = [
        rng.random((100, 3000)),
        50.0,
        rng.random(3000),
        0.9,
        10**6,
        np.zeros((4, 41), dtype=np.int64),
        np.zeros(4, dtype=np.int64),
        0,
    ]
    turned = []

    def proceed() -> bool:
        try:
            tree.separate(alternative, *given)
        except InputError as error:
            turned.append(error)
        return False

    tree.separate(alternative, *given, proceed)
    assert len(turned) == 1


def test_bounds_are_not_read_while_they_are_computed():
    rng = np.random.default_rng(6)
    columns, rows = 300, 1500
    cost = np.ones(columns, dtype=np.int64)
    pool, program = tree.CutPool(cost, rows), tree.Dictionary(np.ones(columns), rows, rows)
    labels = [pool.add(np.sort(rng.permutation(columns)[:6]), np.ones(6, dtype=np.int64), 1) for _ in range(rows)]
    pool.enter(program, np.array(labels))
    box = np.zeros(columns), np.ones(columns)
    sides = np.zeros(columns, dtype=np.int8), np.ones(columns, dtype=np.int8), *box
    refused = []

    def proceed() -> bool:
        for read in (pool.proof, lambda: pool.fix(0, *sides)):
            try:
                read()
            except InputError as error:
                refused.append(error)
        return False

    pool.solve(program, *box, math.inf, 10**6, 1e9, 1.0, 1.0, 1, proceed)
    assert len(refused) == 2
    assert len(pool.proof()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_processes():
    world = made(4)
    for again in (False, True):  # before and after the child has done its work
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for kernel in [*kernels(world), *kernels(made(5))]:
                    kernel()
                status = 0
            finally:
                os._exit(status)
        if again:
            for kernel in kernels(world):
                kernel()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for kernel in kernels(world):
            kernel()
