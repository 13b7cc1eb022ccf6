"""All pairs of halfspaces: the least loss of two hidden neurons is that of brute force and that of branch and cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bdnn import Budget, Problem
from bdnn.errors import NotCoveredError
from bdnn.methods import exact_pairs
from bdnn.methods.exact import ExactTraining
from bdnn.methods.exact_halfspaces import UNFINISHED
from bdnn.methods.exact_pairs import Pairs, covers, divisions, least_pairs
from bdnn.problem.presolve import presolve
from cases import Case, loss_by_hand
from methods.test_exact_halfspaces import WIDE, closed_where_both_agree, enumeration, random_points
from methods.test_exact_halfspaces import divisions as by_hyperplanes


@pytest.mark.parametrize(("n", "most"), [(1, 12), (2, 13)])
def test_every_division_is_there_once(n, most):
    for seed in range(20):
        rng = np.random.default_rng([n, seed])
        X = random_points(rng, n, most)
        expected = by_hyperplanes(X)
        for points in (X, X * WIDE + 7.0, np.ldexp(X, rng.integers(-300, 300, n))):
            found = divisions(points)
            assert not found[:, 0].any()
            both = np.vstack([found, 1 - found]).astype(bool)
            assert len(both) == len(expected)
            assert set(map(tuple, both.tolist())) == expected, (n, seed)


def test_points_in_general_position_have_as_many_divisions_as_cover_counts():
    X = np.random.default_rng(0).normal(size=(40, 2))
    assert len(divisions(X)) == 1 + 39 + 39 * 38 // 2


def test_points_that_are_in_line_up_to_the_last_digit():
    X = np.column_stack([[0.1, 0.2, 0.4], [0.1, 0.2, 0.4]])
    ahead = X.copy()
    ahead[1, 1] = np.nextafter(0.2, 1.0)
    assert len(divisions(X)) == 3  # none of the ends alone with the other end
    assert len(divisions(ahead)) == 4


def test_few_points():
    assert divisions(np.zeros((1, 2))).tolist() == [[0]]
    assert divisions(np.zeros((1, 0))).tolist() == [[0]]
    assert sorted(divisions(np.array([[0.0, 1.0], [5.0, 1.0]])).tolist()) == [[0, 0], [0, 1]]


def functions_of_two():
    """All threshold functions of two variables, by their values where the variables are 00, 01, 10 and 11."""
    return [values for values in itertools.product((0, 1), repeat=4) if values not in ((0, 1, 1, 0), (1, 0, 0, 1))]


@pytest.mark.parametrize("block", [3, 512])
def test_the_least_cost_is_that_of_all_functions_of_all_pairs(block, monkeypatch):
    monkeypatch.setattr(exact_pairs, "_BLOCK", block)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sides = divisions(random_points(rng, 2, 8))
        gain = rng.integers(-5, 6, sides.shape[1]) * (1 if seed % 2 else 2**30)
        expected = min(
            int(gain @ np.array(function)[2 * h + k])
            for h, k in itertools.combinations_with_replacement(sides, 2)
            for function in functions_of_two()
        )
        *_, (value, pair) = least_pairs(sides, gain, 10**12)
        first, second = pair.hidden(sides)
        on = first & second if pair.both else first | second
        assert value == gain[on].sum() == expected, seed
        assert list(least_pairs(sides, gain, expected))[-1][0] == expected


def test_a_problem_as_brute_force_has_it():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = random_points(rng, 1 + seed % 2, 6)
        X = X[rng.integers(0, len(X), len(X) + 3)]  # with equal rows
        y = rng.integers(0, 2, len(X))
        y[:2] = 0, 1
        weight = [None, rng.integers(0, 4, len(X)) + 1.0, rng.integers(1, 9, len(X)) / 4][seed % 3]
        case = Case(X=X, y=y, sample_weight=weight, head=["threshold", "argmax"][seed % 2], hidden=(2,))
        result = enumeration()(case.problem())
        assert result.status == "optimal", result.message
        assert result.objective == result.bound == case.optimum() == loss_by_hand(result.network, case)
        assert result.nodes == 0


def test_branch_and_cut_agrees():
    closed = 0
    for seed in range(40):
        rng = np.random.default_rng([3, seed])
        m = int(rng.integers(8, 22))
        X = [rng.integers(0, 6, (m, 2)).astype(float), rng.normal(size=(m, 2))][seed % 2]
        y = rng.integers(0, 2, m)
        y[:2] = 0, 1
        weight = [np.ones(m), rng.integers(1, 5, m).astype(float), rng.uniform(0.5, 2.0, m)][seed % 3]
        problem = Problem(
            X=X, y=y, sample_weight=weight, hidden_layer_sizes=(2,), head=["threshold", "argmax"][seed % 2]
        )
        closed += closed_where_both_agree(problem, seed)
    assert closed > 36


def test_automatic_training_sees_all_pairs():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    wider = np.column_stack([X, X[:, 0] * 2.0, np.ones(60)])  # columns that do not count
    results = [ExactTraining()(Problem(X=each, y=y, hidden_layer_sizes=(2,))) for each in (X, wider)]
    for result in results:
        assert (result.status, result.nodes) == ("optimal", 0)
        assert result.history[-1].source == "enumeration"
        assert result.bound_of == "networks with 2 hidden neurons, threshold head, any real weights"
    assert results[0].objective == results[1].objective


def test_a_limit_leaves_no_bound(monkeypatch):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(300, 2)), rng.integers(0, 2, 300)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    result = enumeration()(problem, Budget(seconds=0.05))
    assert (result.status, result.bound, result.message.split(";")[0]) == ("feasible", 0.0, UNFINISHED)
    pairs, asked = Pairs.of(presolve(problem)), itertools.count()
    finished, _, network = pairs.search(300.0, lambda: next(asked) < 305)
    assert not finished
    assert network is not None  # the best so far


def test_what_is_not_covered_is_refused():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    for problem in (
        Problem(X=X, y=y, hidden_layer_sizes=(2,)),
        Problem(X=X[:, :2], y=y, hidden_layer_sizes=(3,)),
        Problem(X=X[:, :2], y=y, hidden_layer_sizes=(2, 2)),
        Problem(X=X[:, :2], y=y, hidden_layer_sizes=(2,), fit_intercept=False),
        Problem(X=X[:, :2], y=np.arange(30) % 3, hidden_layer_sizes=(2,)),
        Problem(X=rng.normal(size=(500, 2)), y=rng.integers(0, 2, 500), hidden_layer_sizes=(2,)),
    ):
        assert covers(presolve(problem))
        with pytest.raises(NotCoveredError):
            enumeration()(problem)


def test_estimates_grow_with_the_points():
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    seconds = [Pairs.of(presolve(Problem(X=X[:m], y=y[:m], hidden_layer_sizes=(2,)))).seconds for m in (50, 200)]
    assert 0 < seconds[0] < seconds[1] / 100
