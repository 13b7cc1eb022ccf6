"""The margin is out of the solver's reach, or the program is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bdnn import Problem
from bdnn.backends.highs import Highs
from bdnn.errors import MarginError
from bdnn.formulations import training
from bdnn.milp.tolerances import Tolerances
from bdnn.problem.presolve import presolve


def built(problem: Problem) -> training.TrainingModel:
    return training.build(presolve(problem))


def test_the_automatic_margin_is_out_of_the_solvers_reach():
    rng = np.random.default_rng(4)
    for hidden, head, n in itertools.product([(), (3,), (4, 2)], ["threshold", "argmax"], [1, 20, 20000]):
        X = rng.normal(size=(20, n)) ** 3 * 10.0 ** rng.integers(-6, 6, n)
        model = built(Problem(X=X, y=rng.integers(0, 3, 20), hidden_layer_sizes=hidden, head=head))
        tolerances = Highs.capabilities.tolerances
        # a binary off by the tolerance relaxes its row by M times that, in both layers that meet in a product
        reach = 2 * model.milp.indicators.big_m.max() * tolerances.integrality + tolerances.feasibility
        assert 2 * reach < model.margin < 0.01
        assert f"margin >= {model.margin:.3g}" in model.scope


def test_a_margin_that_is_asked_for_is_used_or_refused():
    X, y = [[0.0, 3.0], [1.0, 0.0], [2.0, 2.0]], [0, 1, 0]
    assert built(Problem(X=X, y=y, margin=0.01)).margin == 0.01
    with pytest.raises(MarginError, match="margin 1e-09 is too small for the solver's tolerances: it needs at least"):
        built(Problem(X=X, y=y, margin=1e-9))
    # two binaries off by the tolerance, in the row itself and in a product, must not bridge half the margin
    big_m = built(Problem(X=X, y=y, margin=0.01)).milp.indicators.big_m.max()
    with pytest.raises(MarginError):
        built(Problem(X=X, y=y, margin=3.9 * big_m * Highs.capabilities.tolerances.integrality))
    # what the message calls enough is enough
    with pytest.raises(MarginError) as refusal:
        built(Problem(X=X, y=y, margin=1e-9))
    enough = float(str(refusal.value).split("at least ")[1].split()[0])
    assert built(Problem(X=X, y=y, margin=1.01 * enough)).margin == 1.01 * enough


def test_too_many_columns_are_refused():
    rng = np.random.default_rng(5)
    reduced = presolve(Problem(X=rng.normal(size=(5, 3000)), y=[0, 1, 0, 1, 0]))
    assert training.build(reduced).margin < 0.01
    with pytest.raises(MarginError, match=r"with 3000 varying columns no margin up to 0\.01 is safe"):
        training.build(reduced, Tolerances(integrality=1e-6, feasibility=1e-6))


def test_too_large_integers_are_refused_by_column():
    X = np.array([[0, 1], [10**9, 2], [123456789, 4], [5, 0]])
    problem = Problem(X=X, y=[0, 1, 0, 1], weights="integer", feature_names=["income", "age"])
    with pytest.raises(MarginError, match=r"too large for the solver's tolerance.*rescale column 'income'"):
        built(problem)
    # a common divisor is no obstacle
    built(Problem(X=X // 10**9 * 10**9, y=[0, 1, 0, 1], weights="integer"))
    assert built(Problem(X=X % 1000, y=[0, 1, 0, 1], weights="integer")).margin == 0
