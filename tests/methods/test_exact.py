"""The exact method finds what brute force finds, and says so."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest

from bdnn import Budget, Problem, Result
from bdnn.branch_and_cut.program import covers
from bdnn.methods import starts as start
from bdnn.methods.exact import ExactTraining
from bdnn.network.losses import step
from bdnn.problem.presolve import presolve
from cases import POINTS, Case, all_labels, loss_by_hand, some_labels

CUBE = list(itertools.product([0, 1], repeat=3))
GRID = list(itertools.product([0, 1, 2], repeat=2))
plain = partial(ExactTraining, incumbents="none")


@pytest.fixture(autouse=True)
def one_start(monkeypatch):
    """Leave something for the solver to do."""
    layered = start.layered
    monkeypatch.setattr(start, "layered", lambda *call: itertools.islice(layered(*call), 1))


def assert_optimal(case: Case, **settings: object) -> None:
    """The paper's program, and the other one where it applies."""
    problem, expected = case.problem(), case.optimum()
    formulations = ("big_m",) if covers(presolve(problem)) else ("big_m", "activation")
    for formulation in formulations:
        result = plain(formulation=formulation, **settings)(problem, Budget(seconds=60))
        assert_result(result, case, expected)


def assert_result(result: Result, case: Case, expected: float) -> None:
    assert result.status == "optimal", (case, result.message)
    assert result.objective == pytest.approx(expected, rel=1e-9, abs=1e-12), case
    assert result.objective == result.audit.loss == loss_by_hand(result.network, case), case
    if step(np.asarray(case.problem().sample_weight)):
        assert result.objective == result.bound and result.gap == 0
    else:  # no more than was proven, of rounded costs
        assert result.bound <= result.objective <= result.bound + 2e-6 * max(result.objective, 0.1)
    assert not result.audit.mismatch
    assert result.audit.n_mismatched == 0, case


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("name", ["line", "square", "line with repeats", "collinear in the plane"])
def test_every_dichotomy_of_a_few_points(name, hidden, head):
    # all of them for the square under a threshold, every sixth one elsewhere
    every = 1 if head == "threshold" and name == "square" else 6
    for y in all_labels(len(POINTS[name]))[::every]:
        assert_optimal(Case(X=POINTS[name], y=y, hidden=hidden, head=head))


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (2, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("name", list(POINTS)[-3:])
def test_sampled_dichotomies_of_up_to_eight_points(name, hidden, head):
    for y in some_labels(1, len(POINTS[name]), 2 if len(hidden) < 2 else 1):
        assert_optimal(Case(X=POINTS[name], y=y, hidden=hidden, head=head))


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (1, 2)], ids=str)
def test_from_the_networks_of_a_local_search(hidden, biases, head, weights):
    name = "square with center, doubled"
    for n_classes in (2, 3):
        for y in some_labels(10, len(POINTS[name]), 1, n_classes):
            case = Case(X=POINTS[name], y=y, hidden=hidden, head=head, biases=biases, weights=weights)
            assert_optimal(case, incumbents="search")


@pytest.mark.parametrize("hidden", [(2, 2), (1, 2)], ids=str)
def test_every_dichotomy_of_a_square_with_two_hidden_layers(hidden):
    for y in all_labels(4):
        assert_optimal(Case(X=POINTS["square"], y=y, hidden=hidden))


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize("name", ["line", "square", "square with center, doubled"])
def test_three_classes(name, hidden, head):
    for y in some_labels(2, len(POINTS[name]), 2, n_classes=3):
        assert_optimal(Case(X=POINTS[name], y=y, hidden=hidden, head=head))


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (2, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_continuous_weights_without_biases(n_classes, hidden, head):
    # a point at the origin fires every neuron, and so does a hidden pattern of zeros every neuron above it
    for name in ("line", "square with center, doubled"):
        for y in some_labels(3, len(POINTS[name]), 1, n_classes):
            assert_optimal(Case(X=POINTS[name], y=y, hidden=hidden, head=head, biases=False))


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (2, 2), (1, 2)], ids=str)
def test_every_dichotomy_of_a_square_with_ternary_weights(hidden, biases):
    for number, y in enumerate(all_labels(4)):
        assert_optimal(Case(X=POINTS["square"], y=y, hidden=hidden, weights="integer", biases=biases))
        if number % 3 == 0:
            case = Case(X=POINTS["square"], y=y, hidden=hidden, head="argmax", weights="integer", biases=biases)
            assert_optimal(case)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("points", [CUBE, GRID], ids=["cube", "grid"])
def test_ternary_networks_on_cube_and_grid(points, hidden, biases):
    for y in some_labels(4, len(points), 2):
        assert_optimal(Case(X=points, y=y, hidden=hidden, weights="integer", biases=biases))
        assert_optimal(Case(X=points, y=y, hidden=hidden, head="argmax", weights="integer", biases=biases))


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize("biases", [True, False])
def test_ternary_networks_for_three_classes(head, hidden, biases):
    for y in some_labels(5, 4, 2, n_classes=3):
        assert_optimal(Case(X=POINTS["square"], y=y, hidden=hidden, head=head, weights="integer", biases=biases))


@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
def test_integer_weights_up_to_two(hidden):
    for name in ("line", "square with center, doubled"):
        for y in some_labels(6, len(POINTS[name]), 3):
            assert_optimal(Case(X=POINTS[name], y=y, hidden=hidden, weights="integer", bound=2))
    for y in some_labels(6, 5, 3, n_classes=3):
        head = "argmax" if len(hidden) and hidden[0] == 1 else "threshold"
        assert_optimal(Case(X=POINTS["line"], y=y, hidden=hidden, head=head, weights="integer", bound=2))


@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_quantised_inputs(hidden, bits):
    rng = np.random.default_rng(bits)
    for y in some_labels(7, 7, 2):
        X = rng.normal(size=(7, 2))
        assert_optimal(Case(X=X, y=y, hidden=hidden, weights="integer", bits=bits))
        assert_optimal(Case(X=X * 1e3 + 5e4, y=y, hidden=hidden, weights="integer", bits=bits, biases=False))


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", [(), (2,), (1, 2)], ids=str)
def test_sample_weights(hidden, head, weights):
    rng = np.random.default_rng(8)
    name = "square with center, doubled"
    for y in some_labels(8, 6, 1):
        for sample_weight in (rng.integers(0, 4, 6) + (y == y[0]), 3.0 * rng.integers(1, 5, 6), rng.uniform(0.1, 2, 6)):
            assert_optimal(
                Case(X=POINTS[name], y=y, sample_weight=sample_weight, hidden=hidden, head=head, weights=weights)
            )


def test_ties_of_an_argmax_head_go_to_the_lowest_index():
    # two equal scores at a point count for the first label only: with weights from {-1, 0, 1} and no biases, both
    # scores are 0 at the origin
    assert_optimal(Case(X=[[0], [1]], y=[1, 0], head="argmax", weights="integer", biases=False))
    assert_optimal(Case(X=[[0], [1]], y=[0, 1], head="argmax", weights="integer", biases=False))


def test_an_argmax_head_on_inputs_with_a_common_divisor():
    # these labels need scores whose ties the remainders of the biases break: on the halved inputs they cannot be had
    y = [0, 0, 0, 1, 1, 0, 1, 1, 2]
    doubled = Case(X=2 * np.array(GRID), y=y, head="argmax", weights="integer")
    assert doubled.optimum() == 0
    assert_optimal(doubled)
    halved = Case(X=GRID, y=y, head="argmax", weights="integer")
    assert halved.optimum() == 1
    assert_optimal(halved)


def test_a_program_whose_start_highs_misreads():
    # HiGHS 1.16 gave the start of this program, worth 3, the value 2 and looked no further
    assert_optimal(Case(X=[[0], [6], [6], [6], [6], [4], [2]], y=[0, 2, 2, 0, 2, 2, 1]))


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_order_of_rows_and_columns_does_not_matter(weights):
    rng = np.random.default_rng(9)
    X, y = rng.integers(0, 4, (10, 3)), rng.integers(0, 2, 10)
    losses = set()
    for _ in range(4):
        rows, columns = rng.permutation(10), rng.permutation(3)
        problem = Problem(X=X[rows][:, columns], y=y[rows], hidden_layer_sizes=(1,), weights=weights)
        result = plain()(problem)
        assert result.status == "optimal"
        losses.add(result.objective)
    assert len(losses) == 1


def test_equal_rows_with_different_labels_cost_what_is_irreducible():
    problem = Problem(X=[[1.0], [1.0], [1.0], [2.0]], y=["a", "b", "b", "a"], sample_weight=[0.5, 1, 1, 1])
    result = plain()(problem)
    assert (result.objective, result.irreducible, result.status) == (0.5, 0.5, "optimal")
    assert (result.n_rows, result.n_distinct, result.nodes) == (4, 2, 0)


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("X", [np.zeros((4, 2)), np.zeros((4, 0))], ids=["constant columns", "no columns"])
def test_inputs_without_information_are_answered_by_the_larger_class(X, weights):
    result = plain()(Problem(X=X, y=[0, 1, 1, 1], weights=weights))
    assert (result.objective, result.status) == (1, "optimal")
    assert result.network.predict(X).tolist() == [1, 1, 1, 1]
