"""What the exact method makes of solvers that lie, fail or stop, of limits and of interruptions."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import bdnn.backends
from bdnn import Budget, Network, Problem, Result
from bdnn.backends.highs import Highs
from bdnn.backends.protocol import MilpSolution, SolveEvent
from bdnn.errors import InputError, MarginError
from bdnn.methods.exact import ExactTraining
from bdnn.problem.audit import audit

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 6, (16, 2)), RNG.integers(0, 2, 16)
PROBLEM = Problem(X=X, y=Y, hidden_layer_sizes=(1,))
START, OPTIMUM = 5.0, 3.0
paper = partial(ExactTraining, formulation="big_m")
plain = partial(paper, incumbents="none")
# nobody solves this one within a minute
HARD = Problem(X=RNG.normal(size=(80, 5)), y=RNG.integers(0, 2, 80), hidden_layer_sizes=(2,))


def nothing(message: str, **changes: Any) -> MilpSolution:
    solution = MilpSolution("no_solution", None, math.inf, -math.inf, 0, 0.0, message)
    return replace(solution, **changes)


@pytest.fixture
def train_with(monkeypatch):
    """Train, from the constant network, with a solver whose `solve` is the given function."""
    monkeypatch.setattr("bdnn.methods.starts.layered", lambda *call: iter(()))

    def train(solve, problem: Problem = PROBLEM, **settings: Any) -> Result:
        class Fake(Highs):
            name = "fake"

            def solve(self, milp, budget, start=None, on_event=None):
                return solve(super().solve, milp, budget, start, on_event)

        monkeypatch.setitem(bdnn.backends.BACKENDS, "fake", Fake)
        result = plain(solver="fake")(problem, settings.pop("budget", Budget(seconds=60)), **settings)
        # whatever the solver said, the result is true
        assert result.objective == result.audit.loss == audit(result.network, problem).loss
        assert result.bound <= result.objective
        assert (result.status == "optimal") == (result.bound == result.objective)
        return result

    return train


def test_an_honest_solver_for_comparison(train_with):
    result = train_with(lambda honest, *call: honest(*call))
    assert (result.status, result.objective, result.solver) == ("optimal", OPTIMUM, "fake")
    assert result.history[0].objective == START
    assert result.audit.n_mismatched == 0
    assert [i.objective for i in result.history] == sorted({i.objective for i in result.history}, reverse=True)
    assert {i.source for i in result.history} == {"constant", "solver"}


def test_a_solver_that_reports_too_small_a_loss(train_with):
    def lie(honest, *call):
        return replace(honest(*call[:3]), objective=0.0, bound=0.0, status="optimal")

    result = train_with(lie)
    assert (result.status, result.objective, result.bound) == ("feasible", OPTIMUM, 0)
    assert result.audit.n_mismatched == 1
    assert "1 solution(s) of the solver had a larger loss than it reported" in result.message
    assert result.to_dict()["audit"]["n_mismatched"] == 1


def test_a_solver_that_lies_on_the_way(train_with):
    def lie(honest, milp, budget, start, on_event):
        solution = honest(milp, budget, start)
        on_event(SolveEvent(solution.x, solution.objective - 2, -math.inf, 7))
        return nothing("tired")

    result = train_with(lie)
    assert (result.status, result.objective, result.nodes) == ("feasible", OPTIMUM, 0)
    assert result.audit.n_mismatched == 1
    assert result.audit.solver_loss == OPTIMUM - 2
    assert result.audit.mismatch


def test_a_solver_whose_solution_is_worse_than_the_start(train_with):
    def spoil(honest, milp, budget, start, on_event):
        return replace(honest(milp, budget, start), x=np.zeros(milp.n_columns), objective=0.0, bound=-math.inf)

    result = train_with(spoil)
    assert (result.status, result.objective) == ("feasible", START)
    assert result.audit.n_mismatched == 1


@pytest.mark.parametrize("rubbish", [math.nan, math.inf])
def test_a_solver_whose_solution_is_no_network(train_with, rubbish):
    def spoil(honest, milp, budget, start, on_event):
        on_event(SolveEvent(np.full(milp.n_columns, rubbish), 0.0, -math.inf, 1))
        return nothing("", status="optimal", x=np.full(milp.n_columns, rubbish), objective=0.0)

    result = train_with(spoil)
    assert (result.status, result.objective) == ("feasible", START)
    assert result.audit.n_mismatched == 2


@pytest.mark.parametrize("status", ["no_solution", "infeasible", "failed", "optimal"])
def test_a_solver_without_a_solution(train_with, status):
    result = train_with(lambda *call: nothing("why it ended", status=status))
    assert (result.status, result.objective, result.bound) == ("feasible", START, 0)
    assert "why it ended" in result.message


def test_a_bound_is_believed_whatever_the_status(train_with):
    result = train_with(lambda *call: nothing("crashed", status="failed", bound=START))
    assert (result.status, result.objective) == ("optimal", START)
    # a bound between two possible losses is as good as the larger one
    assert train_with(lambda *call: nothing("", bound=START - 0.9)).status == "optimal"
    assert train_with(lambda *call: nothing("", bound=START - 1.0)).bound == START - 1
    assert train_with(lambda *call: nothing("", bound=math.nan)).bound == 0


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), MemoryError(), ZeroDivisionError("1/0")])
def test_a_solver_that_raises(train_with, error):
    def fail(honest, milp, budget, start, on_event):
        solution = honest(milp, budget, start)
        on_event(SolveEvent(solution.x, solution.objective, 2.0, 3))
        raise error

    result = train_with(fail)
    assert (result.status, result.objective, result.bound) == ("feasible", OPTIMUM, 2)
    assert "the solver failed" in result.message
    assert type(error).__name__ in result.message


def test_a_refusal_of_the_solver_is_passed_on(train_with):
    def refuse(*call):
        raise InputError("this solver takes integer weights only")

    with pytest.raises(InputError, match="integer weights only"):
        train_with(refuse)


def test_an_error_of_the_listener_is_passed_on():
    def listener(progress):
        if progress.phase == "solve":
            raise LookupError("the listener's own")

    with pytest.raises(LookupError, match="the listener's own"):
        plain()(HARD, Budget(seconds=60), None, listener)


def test_an_interrupt_raised_by_the_solver(train_with):
    def interrupt(honest, milp, budget, start, on_event):
        solution = honest(milp, budget, start)
        on_event(SolveEvent(solution.x, solution.objective, 1.0, 3))
        raise KeyboardInterrupt

    result = train_with(interrupt)
    assert result.interrupted
    assert (result.status, result.objective, result.bound) == ("feasible", OPTIMUM, 1)
    assert result.message == "stopped by Ctrl-C"
    assert result.timings["total"] >= result.timings["solve"]


@pytest.mark.parametrize("source", ["listener", "thread"])
def test_ctrl_c_while_the_solver_runs(source):
    sent = []

    def listener(progress):
        if progress.phase == "solve" and not sent:
            sent.append(progress)
            if source == "listener":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    result = plain()(HARD, Budget(seconds=60), None, listener)
    assert result.interrupted
    assert result.status == "feasible"
    assert result.message == "stopped by Ctrl-C"
    assert result.objective == audit(result.network, HARD).loss <= sent[0].objective
    assert 0 <= result.bound < result.objective


@pytest.mark.parametrize(
    ("incumbents", "phase"),
    [("none", "start"), ("none", "build"), *(("search", p) for p in ("start", "search", "build"))],
)
def test_ctrl_c_before_the_solver_runs(incumbents, phase):
    def listener(progress):
        if progress.phase == phase:
            raise KeyboardInterrupt

    result = paper(incumbents=incumbents)(HARD, Budget(seconds=60), None, listener)
    assert result.interrupted
    assert (result.status, result.solver, result.bound) == ("feasible", "", 0)
    assert result.objective == audit(result.network, HARD).loss


def test_ctrl_c_before_there_is_a_network(monkeypatch):
    def interrupt(reduced):
        raise KeyboardInterrupt

    monkeypatch.setattr("bdnn.methods.starts.constant", interrupt)
    with pytest.raises(KeyboardInterrupt):
        plain()(HARD)


def test_a_node_limit():
    result = plain(solver="highs")(HARD, Budget(nodes=1))
    assert (result.status, result.message, result.solver) == ("feasible", "node limit reached", "highs")
    assert result.nodes <= 2
    assert 0 <= result.bound < result.objective
    assert 0 < result.gap <= 1


def test_a_program_that_is_too_large_is_not_built(monkeypatch):
    monkeypatch.setattr("bdnn.methods.milp_run._MAX_ENTRIES", 1000)
    result = plain()(HARD)
    assert (result.status, result.solver, result.bound) == ("feasible", "", 0)
    assert "more than 1e+03; no bound was computed" in result.message
    assert "build" not in result.timings
    monkeypatch.setattr("bdnn.methods.milp_run._MAX_ENTRIES", 10**9)
    monkeypatch.setattr(Highs, "capabilities", replace(Highs.capabilities, entries_per_second=10))
    result = plain(solver="highs")(HARD, Budget(seconds=100))
    assert "time limit is too short for a program" in result.message


def random_start(rng: np.random.Generator) -> Network:
    W, v = rng.normal(size=(2, 5)), rng.normal(size=(1, 2))
    return Network([(W, rng.normal(size=2)), (v, rng.normal(size=1))], "threshold", [0, 1])


def test_the_result_is_never_worse_than_the_start():
    problem = Problem(X=HARD.X[:16], y=HARD.y[:16], hidden_layer_sizes=(2,))
    good = plain()(problem, Budget(nodes=5)).network
    rng = np.random.default_rng(1)
    for start in [good, *(random_start(rng) for _ in range(3))]:
        result = plain()(problem, Budget(nodes=1), start)
        assert result.objective <= audit(start, problem).loss
        assert result.history[0].source == "start"
        assert result.history[0].objective == audit(start, problem).loss


def test_the_solver_is_given_the_best_start_that_it_can_express(train_with):
    given = []

    def note(honest, milp, budget, start, on_event):
        assert milp.violation(start) <= 1e-9
        given.append(milp.objective(start))
        return nothing("")

    train_with(note)
    good = plain()(PROBLEM, Budget(seconds=60)).network
    assert train_with(note, start=good).objective == OPTIMUM
    # the same network with a neuron that is almost 0 at a point
    (W, b), output = good.layers
    nearest = np.argmin(np.abs(X @ W[0] + b[0]))
    touching = Network([(W, -(X[nearest] @ W.T) + 1e-9), output], "threshold", [0, 1])
    result = train_with(note, start=touching)
    assert given == [START, OPTIMUM, START]
    assert result.objective == min(START, audit(touching, PROBLEM).loss)


def test_the_solver_starts_from_the_network_of_a_local_search(monkeypatch):
    given = []

    class Fake(Highs):
        name = "fake"

        def solve(self, milp, budget, start=None, on_event=None):
            assert milp.violation(start) <= 1e-9
            given.append(milp.objective(start))
            return nothing("tired")

    monkeypatch.setitem(bdnn.backends.BACKENDS, "fake", Fake)
    result = paper(solver="fake")(PROBLEM, Budget(seconds=60))
    assert given == [OPTIMUM]
    assert (result.status, result.objective, result.message) == ("feasible", OPTIMUM, "tired")
    assert (result.history[0].source, result.history[0].objective) == ("constant", START)
    assert {i.source for i in result.history[1:]} == {"search"}


def test_a_start_within_the_margin_is_kept_all_the_same():
    # x >= 1 exactly: right on every point, and no network with a margin is better
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 1], hidden_layer_sizes=(1,))
    start = Network([([[1.0]], [-1.0]), ([[1.0]], [-1.0])], "threshold", [0, 1])
    result = plain()(problem, None, start)
    assert result.network == start
    assert (result.status, result.objective) == ("optimal", 0)


def test_a_start_of_another_class_is_refused():
    for start in (
        Network([([[1.0] * 5], [0.0])], "threshold", [0, 1]),
        Network(random_start(np.random.default_rng(2)).layers, "threshold", ["no", "yes"]),
    ):
        with pytest.raises(InputError, match="start network is not of"):
            plain()(HARD, None, start)


def test_unusable_settings_are_refused():
    with pytest.raises(InputError, match="formulation must be one of 'auto', 'activation', 'big_m'"):
        plain(formulation="small_m")(PROBLEM)
    with pytest.raises(InputError, match="solver must be one of"):
        plain(solver="none")(PROBLEM)
    with pytest.raises(InputError, match="incumbents must be one of 'search', 'none', got 'both'"):
        ExactTraining(incumbents="both")(PROBLEM)
    with pytest.raises(InputError, match="unknown reductions"):
        plain(reductions=("sorting",))(PROBLEM)
    with pytest.raises(MarginError, match="margin 1e-12 is too small"):
        plain()(Problem(X=X, y=Y, margin=1e-12))


@pytest.mark.parametrize("incumbents", ["search", "none"])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_the_same_seed_gives_the_same_network(weights, incumbents):
    problem = Problem(X=X, y=Y, hidden_layer_sizes=(2,), weights=weights)
    first, second = (ExactTraining(incumbents=incumbents)(problem, Budget(nodes=10, seed=4)) for _ in range(2))
    assert first.network == second.network
    assert (first.bound, first.nodes, first.message) == (second.bound, second.nodes, second.message)


@pytest.mark.parametrize(
    ("incumbents", "phases"),
    [("none", ["start", "build", "solve"]), ("search", ["start", "search", "polish", "build", "solve"])],
)
def test_progress_is_reported_and_consistent(incumbents, phases):
    seen = []
    result = paper(incumbents=incumbents)(PROBLEM, Budget(seconds=60), None, seen.append)
    assert [p.phase for p in seen] == sorted((p.phase for p in seen), key=phases.index)
    assert {p.phase for p in seen} == set(phases)
    for before, after in itertools.pairwise(seen):
        assert before.seconds <= after.seconds
        assert before.objective >= after.objective >= result.objective
        assert before.bound <= after.bound <= result.bound
    assert all(0 <= p.gap <= 1 for p in seen)
    searching = {"search", "polish"} if incumbents == "search" else set()
    assert set(result.timings) == {"presolve", "start", "build", "solve", "total"} | searching
    assert sum(result.timings.values()) <= 3 * result.timings["total"] + 1e-3
