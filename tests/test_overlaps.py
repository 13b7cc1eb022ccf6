"""Robust loss that no classifier can avoid: against covers by linear programming and brute force."""

import itertools

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from bdnn import Budget, Problem
from bdnn.methods import ExactTraining
from bdnn.problem.collisions import irreducible_robust_loss
from bdnn.problem.presolve import presolve

NORMS = {"inf": np.inf, "1": 1, "2": 2}


def lightest_cover(X, class_weight, radius, norm):
    """Least weight that is lost if no two points with different labels and meeting balls are both right."""
    moving = radius > 0
    nodes = np.argwhere(class_weight > 0)
    edges = []
    for (a, (i, c)), (b, (j, d)) in itertools.combinations(enumerate(nodes), 2):
        apart = np.linalg.norm((X[i] - X[j])[moving] / radius[moving], NORMS[norm])
        if c != d and apart <= 2 * (1 - 1e-9) and np.array_equal(X[i][~moving], X[j][~moving]):
            edges.append(np.isin(np.arange(len(nodes)), [a, b]).astype(float))
    if not edges:
        return 0.0
    solved = milp(
        class_weight[tuple(nodes.T)],
        constraints=LinearConstraint(np.array(edges), lb=1.0),
        integrality=np.ones(len(nodes)),
        bounds=(0, 1),
    )
    return solved.fun


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(8))
def test_two_classes_are_a_lightest_cover(norm, seed):
    rng = np.random.default_rng(seed)
    p = 25
    X = rng.normal(size=(p, 3))
    X[:, 2] = rng.integers(0, 2, p)
    radius = np.array([0.4, 0.6, 0.0 if seed % 2 else 0.3])
    class_weight = rng.integers(0, 4, (p, 2)) * rng.choice([1.0, 0.25])
    class_weight[:, 0] += class_weight.sum(axis=1) == 0
    expected = lightest_cover(X, class_weight, radius, norm)
    assert irreducible_robust_loss(X, class_weight, radius, norm) == pytest.approx(expected, abs=1e-12)
    assert expected > 0


@pytest.mark.parametrize("seed", range(4))
def test_more_classes_and_odd_weights_stay_below(seed):
    rng = np.random.default_rng(seed)
    X, radius = rng.normal(size=(20, 2)), np.array([0.3, 0.3])
    class_weight = np.eye(3)[rng.integers(0, 3, 20)] * rng.uniform(0.1, 3.0, (20, 1))
    found = irreducible_robust_loss(X, class_weight, radius, "inf")
    assert 0 < found <= lightest_cover(X, class_weight, radius, "inf") * (1 + 1e-12)


def test_touching_balls_are_not_claimed_to_meet_where_rounding_may_deceive():
    X, weight = np.array([[0.0], [2.0 + 1e-9], [1e12], [1e12 + 2.0]]), np.eye(2)[[0, 1, 0, 1]]
    assert irreducible_robust_loss(X, weight, np.array([1.0]), "inf") == 0.0
    assert irreducible_robust_loss(X, weight, np.array([1.01]), "inf") == 2.0


@pytest.mark.parametrize("seed", range(3))
def test_presolve_brings_points_and_labels_together(seed):
    rng = np.random.default_rng(seed)
    X, y, radius = rng.normal(size=(30, 2)), rng.integers(0, 2, 30), np.array([0.3, 0.2])
    X = np.vstack([X, X[:3]])
    y = np.concatenate([y, [0, 1, 1]])
    expected = lightest_cover(X, np.eye(2)[y], radius, "inf")
    problem = Problem(X=X, y=y, hidden_layer_sizes=(1,), robust_radius=radius)
    assert presolve(problem).irreducible == pytest.approx(expected)


def test_little_time_and_no_pair():
    X, weight = np.zeros((2, 1)), np.eye(2)
    assert irreducible_robust_loss(X, weight, np.array([1.0]), "inf") == 1.0
    assert irreducible_robust_loss(X, weight, np.array([1.0]), "inf", seconds=0.0) == 0.0
    assert irreducible_robust_loss(np.array([[0.0], [9.0]]), weight, np.array([1.0]), "inf") == 0.0


@pytest.mark.parametrize("model", ["interval", "pattern"])
@pytest.mark.parametrize("seed", range(4))
def test_no_training_result_is_below(model, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), robust_radius=0.5, robust_model=model)
    # without the bound: the solver has to find out
    import bdnn.problem.presolve

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bdnn.problem.presolve, "irreducible_robust_loss", lambda *_: 0.0)
        result = ExactTraining(solver="highs", incumbents="none")(problem, Budget(seconds=60))
    assert str(result.status) == "optimal"
    assert presolve(problem).irreducible <= result.objective


def test_one_hot_losses_are_not_bounded_by_it():
    X, y = np.array([[0.0], [0.1], [5.0]]), np.array([0, 1, 2])
    problem = Problem(X=X, y=y, head="threshold", hidden_layer_sizes=(), robust_radius=1.0)
    assert presolve(problem).irreducible == 0.0
