"""Networks near solutions of linear programs: what they imitate, how much time they take, and what they find."""

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.branch_and_cut import guide as module
from bdnn.branch_and_cut.guide import Guide, guide_of
from bdnn.branch_and_cut.program import programs
from bdnn.methods.exact import ExactTraining
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.search.descents import Descents


def problem(seed, hidden=(2,), rows=60, noise=0):
    """Rows that a network of two neurons tells apart, but for some labels."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(rows, 3)), 3)
    y = ((X @ [1.0, -2.0, 0.5] >= -0.3) & (X @ [-1.5, -1.0, 1.0] >= -0.4)).astype(int)
    y[:noise] = 1 - y[:noise]
    y[-2:] = 0, 1
    return Problem(X=X, y=y, hidden_layer_sizes=hidden)


class Descend:
    """Notes what it is given; each takes some seconds of the clock."""

    def __init__(self, clock, seconds=1.0, answers=()):
        self.clock, self.seconds, self.answers, self.starts, self.limits = clock, seconds, list(answers), [], []

    def __call__(self, start, number, seconds):
        assert number == len(self.starts)
        self.starts.append(start)
        self.limits.append(seconds)
        self.clock[0] += self.seconds
        return self.answers.pop(0) if self.answers else None


@pytest.fixture
def clock(monkeypatch):
    """Seconds, in a list."""
    seconds = [0.0]
    monkeypatch.setattr(module, "reading", lambda: seconds[0])
    return seconds


@pytest.mark.parametrize("seed", range(5))
def test_a_solution_gives_a_network_that_meets_what_it_asks_for(seed, clock):
    given = problem(seed, rows=200)
    program = next(each for each in programs(presolve(given)) if each.n_neurons == 2)
    rng = np.random.default_rng(seed)
    rows = program.points.rows
    weights = rng.normal(size=(rows.shape[1], 2))
    x = np.zeros(len(program.cost))
    x[program.columns] = rows @ weights < 0  # the requirements that they do not meet
    descend = Descend(clock)
    guide = Guide(descend)
    clock[0] += 0.4
    assert guide.network(program, x, 1.0) is None
    (start,) = descend.starts
    wrong = audit(start, given).loss - audit(program.network(weights.T), given).loss
    assert wrong <= 0.1 * len(given.X)


@pytest.mark.parametrize("gap", [0.0, 0.2, 1.0])
def test_descents_take_a_share_of_the_time_that_falls_with_the_gap_and_with_failures(gap, clock):
    program = programs(presolve(problem(0)))[0]
    descend = Descend(clock, 0.1)
    guide = Guide(descend)
    x = np.full(len(program.cost), 0.5)
    worked = 0.0
    for _ in range(5000):
        clock[0] += 0.01
        worked += 0.01
        guide.network(program, x, gap)
    spent = 0.1 * len(descend.starts)
    most = 0.25 * gap / (1 + len(descend.starts) / 100) * worked
    assert spent <= most + 0.1 + 1e-9
    assert spent >= most - 0.3
    assert max(descend.limits, default=0.0) <= 0.5


def test_what_is_found_is_handed_on_and_ends_the_row_of_failures(clock):
    program = programs(presolve(problem(0)))[0]
    found = object()
    few, many = Descend(clock, 0.1), Descend(clock, 0.1, [found] * 10_000)
    for descend, wanted in ((few, set()), (many, {found})):
        guide, x = Guide(descend), np.full(len(program.cost), 0.5)
        seen = set()
        for _ in range(10_000):
            clock[0] += 0.01
            seen.add(guide.network(program, x, 1.0))
        assert seen == wanted | {None}
    assert len(many.starts) > 1.5 * len(few.starts)


def test_other_work_between_nodes_does_not_count(clock):
    program = programs(presolve(problem(0)))[0]
    descend = Descend(clock, 0.6)
    guide, x = Guide(descend), np.full(len(program.cost), 0.5)
    clock[0] += 1e6
    guide.network(program, x, 1.0)
    guide.network(program, x, 1.0)
    guide.network(program, x, 1.0)
    assert len(descend.starts) == 1


def test_without_hidden_layer_there_is_no_guide():
    assert guide_of(presolve(problem(0, hidden=())), 0, Descents) is None
    assert guide_of(presolve(problem(0)), 0, None) is None
    assert guide_of(presolve(problem(0)), 0, Descents) is not None


@pytest.mark.parametrize("seed", range(3))
def test_descents_return_only_what_is_better_than_before(seed):
    given = problem(seed, noise=6)
    reduced, rng = presolve(given), np.random.default_rng(seed)
    descents, program = Descents(reduced, seed), programs(reduced)[0]
    losses = []
    for number in range(12):
        start = program.network(rng.normal(size=(program.n_neurons, program.points.rows.shape[1])))
        network = descents(start, number, 5.0)
        if network is not None:
            losses.append(audit(network, given).loss)
            assert losses[-1] <= audit(start, given).loss
    assert losses
    assert losses == sorted(set(losses), reverse=True)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_exact_training_with_a_guide_finds_the_optimum(seed, jobs, monkeypatch):
    monkeypatch.setattr(module, "_SHARE", 1e9)  # at every node
    given = problem(seed, rows=14, noise=4)
    plain = ExactTraining(formulation="activation", incumbents="none")(given, Budget(seconds=60, nodes=100_000))
    guided = ExactTraining(formulation="activation", incumbents="none", certificate=True)(
        given, Budget(seconds=60, threads=jobs)
    )
    assert plain.status == guided.status == Status.OPTIMAL
    assert plain.objective == guided.objective == guided.bound
