"""Compilation beside the caller: a time limit holds, an error is raised, and later calls work."""

import threading

import numpy as np
import pytest

from bdnn import Budget, Problem, background
from bdnn.methods.local_search import LocalSearch
from bdnn.search import ready as module
from bdnn.search.ready import ready
from clocks import ticking


@pytest.fixture
def uncompiled(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(background, "_threads", {})
    monkeypatch.setattr(background, "_failures", {})


@pytest.fixture
def compiler(monkeypatch):
    """A compiler that goes on until `go` is set; `calls` are what it was asked for."""

    class Compiler:
        def __init__(self):
            self.calls, self.go = [], threading.Event()

        def __call__(self, *args):
            self.calls.append(args)
            assert self.go.wait(60)

    compiler = Compiler()
    monkeypatch.setattr(module, "_compile", compiler)
    yield compiler
    compiler.go.set()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.dtype(np.float64)])
def test_ready(dtype):
    assert ready(dtype, False, Budget().start())
    with ticking(most_late=0) as clock:
        assert ready(dtype, False, Budget(seconds=60).start())
    assert clock.readings < 20


def test_a_limit_shorter_than_the_compilation(uncompiled, compiler):
    with ticking(0.2, most_late=20):
        assert ready(np.float64, False, Budget(seconds=0.2).start()) is False
    # it goes on: the next call waits for the rest of it, and it is not begun again
    with ticking():
        assert ready(np.float64, False, Budget(seconds=0.1).start()) is False
    compiler.go.set()
    assert ready(np.float64, False, Budget().start()) is True
    assert ready(np.float64, False, Budget(seconds=1e-3).start()) is True
    assert len(compiler.calls) == 1


def test_a_spent_budget(uncompiled, compiler):
    budget = Budget(seconds=1e-9).start()
    assert ready(np.float64, False, budget) is False
    compiler.go.set()
    assert ready(np.float64, False, Budget().start()) is True


def test_types_are_compiled_one_by_one(uncompiled, compiler):
    compiler.go.set()
    assert all(ready(dtype, False, Budget().start()) for dtype in (np.float32, np.float64, "float64", np.float32))
    assert [args[0] for args in compiler.calls] == ["float32", "float64"]


@pytest.mark.parametrize("error", [OSError("the disk is full"), MemoryError("no memory")])
def test_what_compilation_raises_is_raised_every_time(uncompiled, monkeypatch, error):
    import bdnn.search.engine as engine

    def fail(*args):
        raise error

    monkeypatch.setattr(engine.kernels, "new_state", fail)
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            ready(np.float64, False, Budget().start())


PROBLEM = Problem(X=[[0.0], [1.0], [2.0], [3.0]], y=[0, 1, 1, 0], hidden_layer_sizes=(2,))


def test_training_keeps_its_limit_and_says_why(uncompiled, compiler):
    with ticking(3.0):
        result = LocalSearch()(PROBLEM, Budget(seconds=3.0))
    assert "compiled" in result.message and not result.interrupted
    assert result.shortfalls == (
        "the time limit passed before the search was compiled, which is done once; train again",
    )
    # a constant has two of the four points wrong
    assert result.nodes == 0 and result.objective < 2.0
    compiler.go.set()
    assert LocalSearch()(PROBLEM, Budget()).objective == 0.0


def test_training_raises_what_compilation_raised(uncompiled, monkeypatch):
    def fail(dtype, *rest):
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "_compile", fail)
    with pytest.raises(OSError, match="the disk is full"):
        LocalSearch()(PROBLEM, Budget(seconds=30))


def test_what_is_done_while_waiting(uncompiled, compiler):
    went = []

    def other():
        for number in range(100):
            went.append(number)
            if number == 7:
                compiler.go.set()
                background._threads["bdnn search kernels, float64, plain"].join(60)
            yield number

    with ticking(step=0.1):
        assert ready(np.float64, False, Budget(seconds=1000).start(), other())
    assert len(went) == 8
    # nothing once it is compiled
    assert ready(np.float64, False, Budget().start(), other())
    assert len(went) == 8


def test_without_the_search_separators_are_returned(uncompiled, compiler):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    problem = Problem(X=X, y=(X @ [1.0, -2.0, 0.5] > 0.1).astype(int), hidden_layer_sizes=(2,))
    with ticking(5.0):
        result = LocalSearch()(problem, Budget(seconds=5.0))
    assert "compiled" in result.message
    assert result.objective <= 10
