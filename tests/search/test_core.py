"""What passes the doors of the compiled search: checked arrays, or the package's error; never a crash."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from bdnn._native import search
from bdnn.errors import InputError
from search.states import hostile_state, refresh, state_of

SEED = np.array([1], dtype=np.uint64)
TYPES = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.uint64, np.bool_, object, "U3"]


def given(p=6, n=2, classes=2, dtype=np.float64):
    """Arguments that make a state, by name."""
    rng = np.random.default_rng(0)
    return dict(
        X=rng.normal(size=(n, p)).astype(dtype),
        class_weight=np.eye(classes)[rng.integers(0, classes, p)].astype(dtype),
        center=np.zeros(n),
        unit=np.ones(n),
        reach=np.full(n, 9.0),
        widths=[3, 1 if classes == 2 else classes],
        argmax=False,
        bound=0,
        intercept=True,
        seed=1,
    )


def state(**changes):
    return search.State(**(given() | changes))


def work(p, size=None):
    size = p if size is None else size
    return np.empty(size, np.int32), np.empty(size), np.empty(size)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (dict(X=np.zeros((2, 6), dtype=np.float32)), "class_weight"),  # of one type
        (dict(X=np.zeros((2, 6), dtype=np.int64)), "X"),
        (dict(X=np.zeros((6, 2)).T), "X"),
        (dict(X=np.zeros((2, 12))[:, ::2]), "X"),
        (dict(X=np.zeros(12)), "X"),
        (dict(X=np.full((2, 6), np.nan)), "X"),
        (dict(X=np.full((2, 6), np.inf)), "X"),
        (dict(X=[[0.0]]), "X"),
        (dict(class_weight=np.zeros((5, 2))), "class_weight"),
        (dict(class_weight=np.zeros((6, 3))), "class_weight"),
        (dict(class_weight=np.zeros((6, 1))), "class_weight"),
        (dict(class_weight=np.full((6, 2), -np.inf)), "class_weight"),
        (dict(center=np.zeros(3)), "center"),
        (dict(unit=np.zeros(2, dtype=np.float32)), "unit"),
        (dict(reach=np.zeros((2, 1))), "reach"),
        (dict(widths=[]), "widths"),
        (dict(widths=[3, 0]), "widths"),
        (dict(widths=[-1, 1]), "widths"),
        (dict(widths=[2**40, 1]), "widths"),
        (dict(widths=[2**16, 2**16, 1]), "widths"),
        (dict(widths=[1] * 1001), "widths"),
        (dict(widths=[3, 2]), None),
        (dict(widths=[3, 3]), "class_weight"),
        (dict(widths=[3, 1], argmax=True), "class_weight"),
        (dict(bound=-1), "bound"),
        (dict(bound=2**40), "bound"),
        (dict(seed=0), "seed"),
    ],
)
def test_states_are_made_of_what_fits_together(changes, name):
    if name is None:
        state(**changes)
        return
    with pytest.raises(InputError, match=f"^{name} "):
        state(**changes)


def test_attributes_that_determine_places_cannot_be_written():
    st = state()
    for name in ("width", "w_from", "b_from"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(st, name)[0] = 100
    with pytest.raises(AttributeError):
        st.W = np.zeros(3)


def test_views_outlive_the_state():
    W, loss = state().W, state().loss
    W[:] = 1.0
    assert W.sum() == 9.0 and loss.sum() == 0.0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda st: search.improve_neuron(st, 4, 5, 0.5, 100), "neuron"),
        (lambda st: search.improve_neuron(st, -1, 5, 0.5, 100), "neuron"),
        (lambda st: search.improve_neuron(st, -2, 0, 0.5, 100), "neuron"),
        (lambda st: search.improve_neuron(st, 0, -1, 0.5, 100), "moves"),
        (lambda st: search.improve_neuron(st, 0, 1, np.nan, 100), "spread"),
        (lambda st: search.improve_neuron(st, 0, 1, 0.5, 0), "most"),
        (lambda st: search.gains(st, 9, 0, 1, *work(6)), "neuron"),
        (lambda st: search.gains(st, 0, -1, 1, *work(6)), "first"),
        (lambda st: search.gains(st, 0, 0, 0, *work(6)), "step"),
        (lambda st: search.gains(st, 0, 0, 1, *work(6, 5)), "active"),
        (lambda st: search.gains(st, 0, 0, 1, np.empty(6, np.int64), *work(6)[1:]), "active"),
        (
            lambda st: search.improve_neurons(st, np.array([0, 4]), np.array([1, 1]), 0.5, 9, 1.0, 1.0, st.W, st.b),
            "neurons",
        ),
        (lambda st: search.improve_neurons(st, np.array([0]), np.array([1, 1]), 0.5, 9, 1.0, 1.0, st.W, st.b), "moves"),
        (lambda st: search.improve_neurons(st, np.array([0]), np.array([-1]), 0.5, 9, 1.0, 1.0, st.W, st.b), "moves"),
        (lambda st: search.improve_neurons(st, np.array([0]), np.array([1]), 0.5, 9, 1.0, 1.0, st.W[1:], st.b), "W"),
        (lambda st: search.improve_neurons(st, np.array([0]), np.array([1]), 0.5, 9, 1.0, 1.0, st.W, np.zeros(3)), "b"),
        (lambda st: search.RobustState(st, st.X, st.X[:1], np.zeros(2), np.ones(2), 0, 0.0, False), "high"),
        (lambda st: search.RobustState(st, st.X, st.X, np.zeros(3), np.ones(2), 0, 0.0, False), "radius"),
        (lambda st: search.RobustState(st, st.X, st.X, np.zeros(2), np.ones(2), 3, 0.0, False), "norm"),
        (lambda st: search.RobustState(st, st.X, st.X, np.zeros(2), np.ones(2), 0, np.inf, False), "penalty"),
    ],
)
def test_calls_on_states(call, name):
    with pytest.raises(InputError, match=f"^{name} "):
        call(state())


def test_empty_things():
    empty = search.State(**(given(p=0) | dict(center=np.zeros(2))))
    assert search.improve_neuron(empty, -1, 0, 0.5, 1) == search.improve_neuron(empty, 0, 5, 0.5, 1) == 0.0
    assert search.gains(empty, 0, 0, 1, *work(0)) == 0
    nothing = np.zeros(0)
    assert search.line_search(nothing, nothing, nothing, False, SEED.copy()) == (0.0, -np.inf, np.inf)
    assert search.lattice_search(nothing, nothing, nothing, -1.0, 1.0, SEED.copy())[0] == 0.0
    no_features = search.State(**(given(n=0) | dict(X=np.zeros((0, 6)))))
    assert search.improve_neuron(no_features, -1, 0, 0.5, 1) >= 0.0
    assert all(search.improve_neuron(no_features, neuron, 20, 0.5, 100) <= 0.0 for neuron in range(4))


def test_numbers_that_are_spoiled_later_do_no_harm():
    """Python can write anything into the arrays of a state: results are worthless then, but nothing worse."""
    rng = np.random.default_rng(1)
    for number in range(60):
        st = hostile_state(rng, integer=bool(number % 2), single=number % 3 == 0)
        target = [st.X, st.class_weight, st.W, st.b, st.A, st.loss, st.doubt, st.unit, st.center, st.reach][number % 10]
        flat = target.reshape(-1)
        flat[rng.integers(0, flat.size, 3)] = rng.choice([np.nan, np.inf, -np.inf, 1e38, -0.0], 3).astype(target.dtype)
        if number % 4 == 0:
            st.U[:] = rng.integers(0, 256, st.U.shape)
        with np.errstate(all="ignore"):
            for neuron in range(len(st.b)):
                search.improve_neuron(st, neuron, 12, 0.7, int(rng.choice([1, 7, 1000])))
                search.gains(st, neuron, 0, 1, *work(len(st.loss)))
            refresh(st)


def test_a_state_is_for_one_thread_at_a_time():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(20_000, 5))
    st = state_of(X, np.eye(2)[rng.integers(0, 2, 20_000)], (5,), "threshold")
    st.W[:] = rng.normal(size=st.W.shape)
    refresh(st)
    outcomes = []

    def run():
        try:
            for neuron in range(6):
                search.improve_neuron(st, neuron, 200, 0.5, 10**6)
            outcomes.append("done")
        except InputError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in outcomes
    assert set(outcomes) <= {"done", "state is in use by another thread"}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda a: search.line_search(a, a[:2], a, False, SEED), "s"),
        (lambda a: search.line_search(a, a, a, False, SEED.astype(np.int64)), "rng"),
        (lambda a: search.line_search(a, a, a, False, np.zeros(2, np.uint64)), "rng"),
        (lambda a: search.line_search(a.astype(np.float32), a, a, False, SEED), "a"),
        (lambda a: search.line_search(np.zeros((3, 1)), a, a, False, SEED), "a"),
        (lambda a: search.line_search(np.zeros(6)[::2], a, a, False, SEED), "a"),
        (lambda a: search.lattice_search(a, a, a, 0.5, 3.0, SEED), "t_min"),
        (lambda a: search.lattice_search(a, a, a, np.nan, 3.0, SEED), "t_min"),
        (lambda a: search.lattice_search(a, a, a, -1e300, 3.0, SEED), "t_min"),
        (lambda a: search.lattice_search(a, a, a, 3.0, 2.0, SEED), "t_max"),
        (lambda a: search.lattice_search(a, a, a, 0.0, np.inf, SEED), "t_max"),
        (lambda a: search.lattice_search(a, a, a, 0.0, 1e12, SEED), "t_max"),
    ],
)
def test_calls_on_lines(call, name):
    with pytest.raises(InputError, match=f"^{name} "):
        call(np.zeros(3))


def test_a_generator_that_cannot_be_written_is_refused():
    fixed = SEED.copy()
    fixed.flags.writeable = False
    with pytest.raises(InputError, match=r"rng .* can be written"):
        search.line_search(np.zeros(3), np.zeros(3), np.zeros(3), False, fixed)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, 5e-324])
def test_lines_of_any_numbers_end(bad):
    rng = np.random.default_rng(3)
    for size in (1, 9, 200, 3000):
        a, s, g = rng.normal(size=(3, size))
        for values in (a, s, g):
            values[rng.integers(0, size, max(1, size // 3))] = bad
        for integer in (False, True):
            assert len(search.line_search(a, s, g, integer, SEED.copy())) == 3
        assert -3.0 <= search.lattice_search(a, s, g, -3.0, 3.0, SEED.copy())[1] <= 3.0


def training(**changes):
    rng = np.random.default_rng(0)
    arguments = dict(
        Z=rng.normal(size=(9, 2)).astype(np.float32),
        target=np.ones((9, 1), np.float32),
        weight=np.ones(9, np.float32),
        widths=[3, 1],
        argmax=False,
        bound=0,
    )
    return search.StraightThrough(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (dict(Z=np.zeros((9, 2), np.int32)), "Z"),
        (dict(Z=np.zeros((9, 2))), "target"),
        (dict(Z=np.zeros((2, 9), np.float32).T), "Z"),
        (dict(target=np.ones((9, 2), np.float32)), "target"),
        (dict(weight=np.ones(8, np.float32)), "weight"),
        (dict(widths=[3, -1]), "widths"),
        (dict(widths=[2**31, 2**31]), "widths"),
        (dict(bound=-2), "bound"),
    ],
)
def test_trainings_are_made_of_what_fits_together(changes, name):
    with pytest.raises(InputError, match=f"^{name} "):
        training(**changes)


@pytest.mark.parametrize(
    ("order", "batch", "rate", "name"),
    [
        (np.array([0, 9]), 2, 0.1, "order"),
        (np.array([-1]), 2, 0.1, "order"),
        (np.array([0], np.int32), 2, 0.1, "order"),
        (np.array([0]), 0, 0.1, "batch"),
        (np.array([0]), 1, np.nan, "rate"),
    ],
)
def test_steps_of_a_training(order, batch, rate, name):
    with pytest.raises(InputError, match=f"^{name} "):
        training().steps(order, batch, rate)


def test_trainings_of_numbers_that_are_not_finite_end():
    for bound in (0, 1, 2**15):
        one = training(bound=bound)
        one.values[:] = [np.nan, np.inf, -np.inf] + [1e38] * (len(one.values) - 3)
        assert one.steps(np.arange(9), 10**9, 0.1) == 1
        one.loss()
        one.rounded()


def random_argument(rng):
    """Anything that a careless caller may hand over."""
    kind = rng.integers(9)
    if kind == 0:
        return None
    if kind == 1:
        return int(rng.choice([-(2**62), -1, 0, 1, 3, 2**31, 2**62]))
    if kind == 2:
        return float(rng.choice([np.nan, np.inf, -1.0, 0.5, 1e300]))
    if kind == 3:
        return [1, 2]
    shape = tuple(rng.integers(0, 7, rng.integers(0, 4)).tolist())
    dtype = TYPES[rng.integers(len(TYPES))]
    array = np.zeros(shape, dtype=dtype)
    if array.dtype.kind == "f":
        array[...] = rng.choice([0.0, 1.0, np.nan, np.inf, -1e38], shape).astype(dtype)
    if kind == 4 and array.ndim:
        return array[..., ::2]
    if kind == 5:
        return array.T
    if kind == 6:
        array.flags.writeable = False
    return array


def test_random_arguments_raise_what_python_can_catch():
    """Half of the arguments are right, so that the others are reached too."""
    rng = np.random.default_rng(4)
    right = {
        search.improve_neuron: lambda: [state(), 0, 3, 0.5, 100],
        search.improve_neurons: lambda: [state(), *np.array([[0], [2]]), 0.5, 9, 1.0, 1.0, np.zeros(9), np.zeros(4)],
        search.gains: lambda: [state(), 0, 0, 1, *work(6)],
        search.line_search: lambda: [np.ones(4), np.ones(4), np.ones(4), False, SEED.copy()],
        search.lattice_search: lambda: [np.ones(4), np.ones(4), np.ones(4), -1.0, 1.0, SEED.copy()],
        search.toward: lambda: [
            np.ones((2, 4)), np.ones(2), np.ones(2), np.array([0, 1]), np.arange(4, dtype=np.int32), np.ones(4),
            np.ones(4), 2.0, 1, 0.1,
        ],
        search.RobustState: lambda: [state(), np.ones((2, 6)), np.ones((2, 6)), np.ones(2), np.ones(2), 0, 0.0, False],
        search.improve_robust_neuron: lambda: [
            search.RobustState(state(), np.ones((2, 6)), np.ones((2, 6)), np.ones(2), np.ones(2), 0, 0.0, False),
            0, 3, 0.5,
        ],
        search.State: lambda: list(given().values()),
        search.StraightThrough: lambda: [np.ones((9, 2)), np.ones((9, 1)), np.ones(9), [3, 1], False, 0],
        training().steps: lambda: [np.arange(9), 4, 0.1],
    }  # fmt: skip
    refused = 0
    for call, arguments in right.items():
        call(*arguments())
        for _ in range(300):
            given_ = arguments()
            for place in range(len(given_)):
                if rng.random() < 0.3:
                    given_[place] = random_argument(rng)
            try:
                call(*given_)
            except (InputError, TypeError, OverflowError, ValueError):
                refused += 1
    assert refused > 2000


def test_ctrl_c_ends_a_long_improvement():
    """In the main thread of a fresh process; the state is whole afterwards."""
    script = """
import _thread, threading, time
import numpy as np
from bdnn._native import search
rng = np.random.default_rng(0)
X = rng.normal(size=(5, 100_000))
weight, ones = np.eye(2)[rng.integers(0, 2, 100_000)], np.ones(5)
st = search.State(X, weight, 0 * ones, ones, 9 * ones, [1], False, 0, True, 1)
search.improve_neuron(st, -1, 0, 0.5, 1)
threading.Timer(0.3, _thread.interrupt_main).start()
try:
    search.improve_neuron(st, 0, 10**9, 0.5, 10**6)
except KeyboardInterrupt:
    losses = np.array(st.loss)
    assert search.improve_neuron(st, 0, 0, 0.5, 1) == 0.0 and np.array_equal(losses, st.loss)
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n", done.stderr
