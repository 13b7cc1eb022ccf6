"""A limit on nodes is one of the whole run, whatever programs, trees or points it solves; rounds are another thing."""

import math
from typing import ClassVar

import numpy as np
import pytest

from bdnn import Budget, Network, Problem, Status, clock
from bdnn.backends import BACKENDS
from bdnn.backends.highs import Highs
from bdnn.backends.protocol import MilpSolution, SolveEvent
from bdnn.errors import InputError
from bdnn.methods import METHODS
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.worst_case import AttackAndRepair


def test_nodes_and_rounds_are_two_things():
    limits = Budget(nodes=7, rounds=np.int32(5))
    assert (limits.nodes, limits.rounds) == (7, 5)
    assert (limits.within(3.0).nodes, limits.within(3.0).rounds) == (7, 5)
    problem = Problem(X=[[0.0], [1.0], [2.0], [3.0]], y=[0, 1, 0, 1], hidden_layer_sizes=())
    with pytest.raises(InputError, match=r"no branch-and-bound nodes.*Budget\(nodes=7\).*Budget\(rounds=\.\.\.\)"):
        LocalSearch()(problem, limits)


HARD = np.random.default_rng(0).integers(0, 6, (40, 3)).astype(float), np.random.default_rng(1).integers(0, 2, 40)


class Counting:
    """A solver that tells of each call how many nodes it was allowed, and uses all of them."""

    name = "counting"
    capabilities = Highs.capabilities
    allowed: ClassVar[list[int]] = []

    @classmethod
    def is_available(cls):
        return True

    def solve(self, milp, budget, start=None, on_event=None):
        self.allowed.append(budget.nodes)
        if on_event is not None:
            on_event(SolveEvent(None, math.inf, -math.inf, budget.nodes))
        return MilpSolution(Status.NO_SOLUTION, None, math.inf, -math.inf, self.used(budget.nodes), 0.0, "node limit")

    @staticmethod
    def used(allowed):
        return min(allowed, 4)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("alternating", {}),
        ("alternating", {"n_starts": 5, "blocks": "neurons"}),
        ("data_splitting", {}),
        ("exact", {"formulation": "big_m"}),
        ("exact", {"formulation": "big_m", "regularization": "lexicographic"}),
        ("data_splitting", {"regularization": "lexicographic"}),
        ("exact", {"robust_model": "worst_case"}),
        ("data_splitting", {"robust_model": "worst_case"}),
    ],
)
def test_a_node_limit_is_one_of_the_whole_run(method, settings, monkeypatch):
    """However many programs a method solves, one after the other."""
    monkeypatch.setitem(BACKENDS, "counting", Counting)
    monkeypatch.setattr(Counting, "allowed", [])
    X, y = HARD
    of_problem = {}
    if "regularization" in settings:
        of_problem = {"regularizer": "l1", "regularization": settings["regularization"]}
    if "robust_model" in settings:
        of_problem = {"robust_model": "worst_case", "robust_radius": 0.2}
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), **of_problem)
    own = {name: value for name, value in settings.items() if name not in ("regularization", "robust_model")}
    trainer = METHODS[method](solver="counting", incumbents="none", **own)
    if "robust_model" in settings:
        trainer = AttackAndRepair(trainer)
    result = trainer(problem, Budget(seconds=60, nodes=10))
    used = [Counting.used(nodes) for nodes in Counting.allowed]
    assert 0 < sum(used) <= 10 and min(Counting.allowed) >= 1
    assert result.nodes == sum(used)
    for number, nodes in enumerate(Counting.allowed):
        assert nodes <= 10 - sum(used[:number])


def test_highs_divides_its_nodes_among_rounds_of_tangents():
    """With squares in the constraints HiGHS is called once for every round of rows."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (30, 3)).astype(float), rng.integers(0, 2, 30)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(), robust_radius=0.1, robust_norm="2")
    for nodes in (1, 5, 40):
        result = METHODS["exact"](solver="highs", incumbents="none")(problem, Budget(nodes=nodes, seconds=60))
        assert result.nodes <= nodes + 1  # HiGHS may count the root that it ends in


def test_only_what_was_asked_for_is_proven_of_the_regulariser():
    """A loss that is proven says nothing of a penalty that no time or no nodes were left for."""
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    problem = Problem(X=X, y=y, hidden_layer_sizes=(), regularizer="l1", regularization="lexicographic")
    start = Network([([[1.0]], [-1.5])], head="threshold", classes=[0, 1])
    with clock.replaced(iter(np.concatenate([np.zeros(4), np.arange(1.0, 1e5)])).__next__):
        late = METHODS["exact"](incumbents="none")(problem, Budget(seconds=2.0), start)
    assert late.objective == late.bound == 0 and late.penalty > 0
    assert late.status == Status.FEASIBLE
    assert METHODS["exact"](incumbents="none")(problem, Budget(seconds=60), start).status == Status.OPTIMAL
