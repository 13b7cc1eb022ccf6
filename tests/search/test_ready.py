"""Compilation beside the caller: a time limit holds, an error is raised, and later calls work."""

import time

import numpy as np
import pytest

from bdnn import Budget, Problem, Status, background
from bdnn.methods.local_search import LocalSearch
from bdnn.search import ready as module
from bdnn.search.ready import ready


@pytest.fixture
def uncompiled(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(background, "_threads", {})
    monkeypatch.setattr(background, "_failures", {})


def sleeps(seconds, monkeypatch):
    calls = []

    def compile_slowly(*args):
        calls.append(args)
        time.sleep(seconds)

    monkeypatch.setattr(module, "_compile", compile_slowly)
    return calls


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.dtype(np.float64)])
def test_ready(dtype):
    assert ready(dtype, False, Budget().start())
    began = time.monotonic()
    assert ready(dtype, False, Budget(seconds=60).start())
    assert time.monotonic() - began < 1


def test_a_limit_shorter_than_the_compilation(uncompiled, monkeypatch):
    calls = sleeps(1.0, monkeypatch)
    began = time.monotonic()
    assert ready(np.float64, False, Budget(seconds=0.2).start()) is False
    assert 0.15 < time.monotonic() - began < 0.9
    # it goes on: the next call waits for the rest of it, and it is not begun again
    assert ready(np.float64, False, Budget(seconds=0.1).start()) is False
    assert ready(np.float64, False, Budget(seconds=30).start()) is True
    assert 0.9 < time.monotonic() - began < 5
    assert ready(np.float64, False, Budget(seconds=1e-3).start()) is True
    assert len(calls) == 1


def test_a_spent_budget(uncompiled, monkeypatch):
    sleeps(0.3, monkeypatch)
    budget = Budget(seconds=1e-9).start()
    assert ready(np.float64, False, budget) is False
    assert ready(np.float64, False, Budget().start()) is True


def test_types_are_compiled_one_by_one(uncompiled, monkeypatch):
    calls = sleeps(0.0, monkeypatch)
    assert all(ready(dtype, False, Budget().start()) for dtype in (np.float32, np.float64, "float64", np.float32))
    assert [args[0] for args in calls] == ["float32", "float64"]


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


def test_training_keeps_its_limit_and_says_why(uncompiled, monkeypatch):
    sleeps(1.5, monkeypatch)
    began = time.monotonic()
    result = LocalSearch()(PROBLEM, Budget(seconds=0.3))
    assert time.monotonic() - began < 1.2
    assert "compiled" in result.message and not result.interrupted
    assert (result.status, result.objective, result.nodes) == (Status.FEASIBLE, 2.0, 0)
    assert LocalSearch()(PROBLEM, Budget(seconds=30)).objective == 0.0


def test_training_raises_what_compilation_raised(uncompiled, monkeypatch):
    def fail(dtype, *rest):
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "_compile", fail)
    with pytest.raises(OSError, match="the disk is full"):
        LocalSearch()(PROBLEM, Budget(seconds=30))


def test_what_is_done_while_waiting(uncompiled, monkeypatch):
    sleeps(1.6, monkeypatch)
    went = []

    def other():
        for number in range(100):
            went.append(number)
            time.sleep(0.1)
            yield number

    assert ready(np.float64, False, Budget(seconds=30).start(), other())
    assert 1 <= len(went) < 50
    before = len(went)
    # nothing once it is compiled
    assert ready(np.float64, False, Budget(seconds=30).start(), other())
    assert len(went) == before


def test_without_the_search_separators_are_returned(uncompiled, monkeypatch):
    sleeps(4.0, monkeypatch)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    problem = Problem(X=X, y=(X @ [1.0, -2.0, 0.5] > 0.1).astype(int), hidden_layer_sizes=(2,))
    began = time.monotonic()
    result = LocalSearch()(problem, Budget(seconds=2.5))
    assert time.monotonic() - began < 4.0
    assert "compiled" in result.message
    assert result.objective <= 10
