"""HiGHS behind the back-end protocol: answers, limits, events, interruption."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading

import numpy as np
import pytest

from bdnn import Budget, Problem
from bdnn.backends.highs import Highs
from bdnn.formulations import training
from bdnn.milp.program import Milp, MilpBuilder
from bdnn.problem.presolve import presolve
from cases import Case
from clocks import ticking


def knapsack(seed: int, n: int = 8) -> tuple[Milp, float]:
    """A small knapsack with an offset and an indicator row, and its optimum by enumeration."""
    rng = np.random.default_rng(seed)
    value, size = rng.integers(1, 20, n), rng.integers(1, 10, n)
    builder = MilpBuilder()
    x = builder.variables((n,), 0, 1, cost=-value.astype(float), integer=True)
    builder.rows(x[None, :], size[None, :].astype(float), -np.inf, size.sum() / 2)
    # x_0 = 1 forces x_1 + x_2 >= 1, and x_0 = 0 forces x_1 + x_2 <= 1
    block = (np.array([0, 2], dtype=np.int32), np.ones(2), x[1:3])
    builder.indicators(block, x[:1], 1.0, 1.0, 2.0)
    builder.offset = 100.0
    best = min(
        100.0 - value @ c
        for c in map(np.array, itertools.product([0, 1], repeat=n))
        if size @ c <= size.sum() / 2 and (c[1] + c[2] >= 1 if c[0] else c[1] + c[2] <= 1)
    )
    return builder.build(), float(best)


def hard_program(seed: int = 0) -> training.TrainingModel:
    """A training program that no computer solves within seconds."""
    rng = np.random.default_rng(seed)
    problem = Problem(X=rng.normal(size=(80, 5)), y=rng.integers(0, 2, 80), hidden_layer_sizes=(2,))
    return training.build(presolve(problem))


def solver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bdnn-highs"]


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_of_a_knapsack(seed):
    milp, best = knapsack(seed)
    solution = Highs().solve(milp, Budget())
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(best, abs=1e-9)
    assert solution.bound == pytest.approx(best, abs=1e-6)
    assert milp.objective(solution.x) == pytest.approx(best, abs=1e-9)
    assert milp.violation(solution.x) < 1e-9
    assert not solution.interrupted
    assert solution.seconds > 0


def test_a_program_without_a_solution():
    builder = MilpBuilder()
    x = builder.variables((2,), 0, 1, cost=1.0, integer=True)
    builder.rows(x[None, :], [[2.0, 2.0]], 1.0, 1.0)
    solution = Highs().solve(builder.build(), Budget())
    assert (solution.status, solution.x, solution.objective) == ("infeasible", None, math.inf)
    assert "no solution" in solution.message


def test_an_unbounded_program_is_a_failure_with_its_reason():
    builder = MilpBuilder()
    builder.variables((1,), 0, np.inf, cost=-1.0, integer=True)
    solution = Highs().solve(builder.build(), Budget())
    assert solution.status == "failed"
    assert "Unbounded" in solution.message


def test_events_tell_the_truth_and_only_improve():
    model, events = hard_program(), []
    solution = Highs().solve(model.milp, Budget(nodes=20), None, lambda event: events.append(event))
    found = [event for event in events if event.x is not None]
    assert len(found) >= 2
    for event in found:
        assert event.objective == pytest.approx(model.milp.objective(event.x), abs=1e-9)
        assert model.milp.violation(event.x) < 1e-6
    objectives, bounds = [e.objective for e in events], [e.bound for e in events]
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)
    assert all(a.objective > b.objective for a, b in itertools.pairwise(found))
    assert solution.objective <= objectives[-1]
    assert solution.bound >= bounds[-1]
    assert solution.bound <= solution.objective


def test_a_node_limit_leaves_the_incumbent():
    model = hard_program()
    solution = Highs().solve(model.milp, Budget(nodes=1))
    assert solution.status == "feasible"
    assert solution.message == "node limit reached"
    assert solution.nodes <= 2
    assert model.milp.objective(solution.x) == pytest.approx(solution.objective)
    assert solution.bound < solution.objective


def test_a_time_limit_is_kept():
    model = hard_program()
    with ticking(1.0, step=0.05, most_late=50):
        solution = Highs().solve(model.milp, Budget(seconds=1.0))
    assert solution.status in ("feasible", "no_solution")
    assert solution.message == "time limit reached"
    assert (solution.x is None) == (solution.status == "no_solution")


def test_a_clock_that_has_run_out_is_noticed():
    with ticking(0.0, step=1.0, most_late=20):
        solution = Highs().solve(hard_program().milp, Budget(seconds=1e-6).start())
    assert solution.message == "time limit reached"


def test_a_start_is_used():
    model = hard_program()
    good = Highs().solve(model.milp, Budget(nodes=20))
    again = Highs().solve(model.milp, Budget(nodes=1, seed=5), good.x)
    assert again.objective <= good.objective
    assert model.milp.violation(again.x) < 1e-6


def test_a_start_that_highs_misreads_does_no_harm():
    # HiGHS 1.16 carried this start over into its presolved program, gave it the value 2 instead of 3, and stopped
    case = Case(X=[[0], [6], [6], [6], [6], [4], [2]], y=[0, 2, 2, 0, 2, 2, 1])
    model = training.build(presolve(case.problem()))
    x = np.zeros(model.milp.n_columns)
    x[model.layout.weights[0]] = [[-1.0], [-1.0], [1.0]]
    x[model.layout.biases[0]] = [-0.25, 0.25, -0.25]
    x[model.layout.fired[0]] = [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert model.milp.violation(x) == 0
    assert model.milp.objective(x) == 3
    for start in (None, x):
        solution = Highs().solve(model.milp, Budget(), start)
        assert (solution.status, solution.objective, solution.bound) == ("optimal", 3, 3)
        assert model.milp.objective(solution.x) == 3


def test_an_event_that_returns_true_stops_the_solver():
    calls = []
    solution = Highs().solve(hard_program().milp, Budget(seconds=60), None, lambda event: calls.append(event) or True)
    assert calls
    assert solution.message == "stopped on request"
    assert not solution.interrupted


def test_an_error_of_the_listener_reaches_the_caller_and_stops_the_solver():
    def listener(event):
        raise LookupError("the listener's own")

    with pytest.raises(LookupError, match="the listener's own"):
        Highs().solve(hard_program().milp, Budget(seconds=600), None, listener)
    for thread in solver_threads():
        thread.join(60)
    assert not solver_threads()


@pytest.mark.parametrize("where", ["listener", "elsewhere"])
def test_an_interrupt_keeps_the_incumbent(where):
    model, seen = hard_program(), []

    def listener(event):
        if event.x is not None and not seen:
            seen.append(event)
            if where == "listener":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    solution = Highs().solve(model.milp, Budget(seconds=60), None, listener)
    assert solution.interrupted
    assert (solution.status, solution.message) == ("feasible", "stopped by Ctrl-C")
    assert solution.objective <= seen[0].objective
    assert model.milp.objective(solution.x) == pytest.approx(solution.objective)


def test_a_second_interrupt_ends_at_once():
    calls = []

    def listener(event):
        calls.append(event)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Highs().solve(hard_program().milp, Budget(seconds=60), None, listener)
    assert len(calls) == 2


def test_an_exception_inside_the_solver_is_a_failure(monkeypatch):
    class Broken:
        def __getattr__(self, name):
            return lambda *args: None

        def run(self):
            raise MemoryError("no more")

    monkeypatch.setattr(Milp, "to_highs", lambda self: Broken())
    milp, _ = knapsack(0)
    solution = Highs().solve(milp, Budget())
    assert (solution.status, solution.x) == ("failed", None)
    assert "no more" in solution.message


def test_the_same_seed_gives_the_same_answer_and_threads_are_accepted():
    model = hard_program()
    first, second = (Highs().solve(model.milp, Budget(nodes=3, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(first.x, second.x)
    assert (first.bound, first.nodes) == (second.bound, second.nodes)
    milp, best = knapsack(1)
    for threads in (2, 1):
        assert Highs().solve(milp, Budget(threads=threads)).objective == pytest.approx(best)
