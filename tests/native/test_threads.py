"""Long work, threads and processes: calls of the compiled core that meet others."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest

from bdnn._native import certify, search, tree, walk
from bdnn.errors import InputError
from native.calls import World
from native.guards import backstop, processor_time  # noqa: F401  # every test uses the fixture

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
    search.improve_neuron(state, -1, 0, 0.0, 1)
    search.improve_robust_neuron(robust, -1, 0, 0.0)
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
        "improve_neuron": (search.improve_neuron, [state, 0, 2**31 - 2, 0.5, 1 << 30]),
        "improve_neurons": (
            search.improve_neurons,
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
        "improve_robust_neuron": (search.improve_robust_neuron, [robust, 0, 2**31 - 2, 0.5]),
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
            return search.improve_robust_neuron(network[1], neuron, 0, 0.0)
        return search.improve_neuron(network[0], neuron, 0, 0.0, 1)

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


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
@pytest.mark.parametrize("perturbed", [False, True])
def test_a_move_can_be_interrupted_and_leaves_the_network_as_it_was(perturbed):
    p = 1_000_000
    rng = np.random.default_rng(1)
    X, weight = rng.normal(size=(3, p)), np.eye(2)[rng.integers(0, 2, p)]
    state = search.State(X, weight, np.zeros(3), np.ones(3), np.full(3, 9.0), [1], False, 0, True, 1)
    state.W[:] = rng.normal(size=3)
    robust = search.RobustState(state, X - 0.1, X + 0.1, np.full(3, 0.1), np.full(3, 9.0), 0, 0.0, True)
    search.improve_robust_neuron(robust, -1, 0, 0.0) if perturbed else search.improve_neuron(state, -1, 0, 0.0, 1)
    before = state.W.copy(), state.b.copy(), state.loss.copy()
    most = 2**31 - 2  # moves that take days: the call ends within one of them
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), processor_time(rng.uniform(0.05, 0.2)):
            if perturbed:
                search.improve_robust_neuron(robust, 0, most, 0.5)
            else:
                search.improve_neuron(state, 0, most, 0.5, 1 << 30)
        for kept, now in zip(before, (state.W, state.b, state.loss), strict=True):
            assert np.array_equal(kept, now)


# ------------------------------------------------------------------------------------------------ threads and processes


def kernels(world: World) -> list[Callable[[], object]]:
    """Work on every structure of a world."""
    return [
        lambda: search.improve_neuron(world.state, 0, 5, 0.5, 1 << 20),
        lambda: search.improve_robust_neuron(world.robust_state, 0, 5, 0.5),
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
