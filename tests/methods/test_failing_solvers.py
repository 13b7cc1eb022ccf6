"""Solvers that fail: whatever they do, the best network and a clear status remain."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.backends import BACKENDS
from bdnn.backends.highs import Highs
from bdnn.backends.protocol import MilpSolution
from bdnn.errors import InputError
from bdnn.methods import METHODS
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.starts import random_network
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve

WITH_SOLVER = [method for method in METHODS if method != "local_search"]


class Scripted:
    """A solver that does as told."""

    name = "scripted"
    capabilities = Highs.capabilities
    behavior = "crash"

    @classmethod
    def is_available(cls):
        return True

    def solve(self, milp, budget, start=None, on_event=None):
        if self.behavior == "crash":
            raise RuntimeError("segment missing")
        if self.behavior == "interrupt":
            raise KeyboardInterrupt
        nothing = MilpSolution(Status.NO_SOLUTION, None, math.inf, -math.inf, 3, 0.1, "time limit reached")
        if self.behavior == "nothing":
            return nothing
        if self.behavior == "failed":
            return replace(nothing, status=Status.FAILED, message="numerical trouble")
        assert self.behavior == "lie"
        honest = Highs().solve(milp, budget, start, None)
        return replace(honest, objective=honest.objective - 1, bound=honest.bound - 1)


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setitem(BACKENDS, "scripted", Scripted)
    return Scripted


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return Problem(X=rng.integers(0, 4, size=(14, 2)), y=rng.integers(0, 2, size=14), hidden_layer_sizes=(2,))


@pytest.mark.parametrize("method", WITH_SOLVER)
@pytest.mark.parametrize("behavior", ["crash", "nothing", "failed", "interrupt"])
def test_the_best_network_remains(scripted, problem, method, behavior, monkeypatch):
    monkeypatch.setattr(scripted, "behavior", behavior)
    start = random_network(presolve(problem), np.random.default_rng(5))
    result = METHODS[method](solver="scripted", incumbents="none")(problem, Budget(seconds=5), start)
    assert result.status == Status.FEASIBLE
    assert result.objective == audit(result.network, problem).loss <= audit(start, problem).loss
    assert result.bound == result.irreducible
    assert result.interrupted == (behavior == "interrupt")
    expected = {"crash": "segment missing", "failed": "numerical trouble", "interrupt": "Ctrl-C"}
    if behavior in expected:
        assert expected[behavior] in result.message


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_keeps_the_best_network_wherever_it_comes(problem, method):
    """Interrupted at every progress report in turn."""
    start = random_network(presolve(problem), np.random.default_rng(5))
    budget = Budget(seconds=60, rounds=50, nodes=50 if method in WITH_SOLVER else None)
    for number in range(8):
        seen = []

        def listener(progress, seen=seen, number=number):
            seen.append(progress)
            if len(seen) > number:
                raise KeyboardInterrupt

        result = METHODS[method]()(problem, budget, start, listener)
        assert result.interrupted == (len(seen) > number)
        assert result.objective == audit(result.network, problem).loss <= seen[-1].objective
        assert seen[0].objective <= audit(start, problem).loss
        assert result.interrupted == ("Ctrl-C" in result.message)
        assert (result.status == Status.OPTIMAL) == (result.objective == result.bound)


@pytest.mark.parametrize("method", WITH_SOLVER)
def test_a_solver_that_crashes_leaves_the_network_of_the_search(scripted, method):
    rng = np.random.default_rng(1)
    problem = Problem(X=rng.integers(0, 4, size=(40, 2)), y=rng.integers(0, 2, size=40), hidden_layer_sizes=(1,))
    result = METHODS[method](solver="scripted")(problem, Budget(seconds=30))
    assert "segment missing" in result.message
    assert (result.status, result.bound) == (Status.FEASIBLE, result.irreducible)
    assert result.objective == audit(result.network, problem).loss
    assert result.objective <= LocalSearch(polish="none")(problem, Budget(rounds=1, seed=0)).objective


def test_a_lie_about_the_loss_is_reported(scripted, problem, monkeypatch):
    monkeypatch.setattr(scripted, "behavior", "lie")
    problem = Problem(X=problem.X, y=problem.y, hidden_layer_sizes=())
    truth = METHODS["exact"]()(problem, Budget(seconds=60))
    result = METHODS["exact"](solver="scripted", incumbents="none")(problem, Budget(seconds=60))
    assert result.objective == truth.objective == audit(result.network, problem).loss > result.irreducible
    assert result.audit.n_mismatched > 0 and "larger loss than it reported" in result.message
    # its bound is one too low, so nothing is proven
    assert result.status == Status.FEASIBLE and result.bound < result.objective


def test_a_solver_that_refuses_later_costs_nothing(scripted, problem, monkeypatch):
    """The first program is refused loudly; a later one only ends the run."""
    calls = []

    def solve(self, milp, budget, start=None, on_event=None):
        calls.append(milp)
        if len(calls) >= limits[0]:
            raise InputError("too large for this license")
        return Highs().solve(milp, budget, start, on_event)

    monkeypatch.setattr(scripted, "solve", solve)
    limits = [1]
    with pytest.raises(InputError, match="too large"):
        METHODS["data_splitting"](solver="scripted", incumbents="none")(problem, Budget(seconds=20))
    calls.clear()
    limits[0] = 2
    result = METHODS["data_splitting"](solver="scripted", incumbents="none")(problem, Budget(seconds=20))
    assert result.message == "too large for this license" and result.status == Status.FEASIBLE
    assert result.objective == audit(result.network, problem).loss
