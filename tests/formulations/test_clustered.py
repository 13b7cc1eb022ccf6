"""Programs with clusters that share activations."""

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.backends.highs import Highs
from bdnn.formulations import clusters as clustered
from bdnn.formulations import training
from bdnn.formulations.clusters import extreme_points
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve


def reduced_problem(seed, points=10, **settings):
    rng = np.random.default_rng(seed)
    problem = Problem(X=rng.normal(size=(points, 2)), y=rng.integers(0, 2, size=points), **settings)
    return problem, presolve(problem)


def optimum(model):
    solution = Highs().solve(model.milp, Budget(seconds=60))
    assert solution.status == Status.OPTIMAL
    return solution


@pytest.mark.parametrize("hidden", [(), (2,)])
def test_between_the_constant_and_the_exact_model(hidden):
    problem, reduced = reduced_problem(0, hidden_layer_sizes=hidden)
    rng = np.random.default_rng(1)
    exact = optimum(training.build(reduced)).objective
    single = optimum(clustered.build(reduced, np.arange(10))).objective
    assert single == pytest.approx(exact)
    one = optimum(clustered.build(reduced, np.zeros(10, dtype=int))).objective
    assert one == pytest.approx(np.bincount(problem.codes).min())
    for _ in range(5):
        clusters = rng.integers(0, 4, size=10)
        model = clustered.build(reduced, clusters)
        solution = optimum(model)
        assert exact - 1e-6 <= solution.objective <= one + 1e-6
        network = model.decode(solution.x)
        assert audit(network, problem).loss <= solution.objective * reduced.loss_unit + 1e-6
        if hidden:  # the points of a cluster share what the hidden neurons do
            fired = network.activations(problem.X)[0]
            order = np.lexsort(problem.X.T[::-1])
            for cluster in range(4):
                assert len(np.unique(fired[order][clusters == cluster], axis=0)) <= 1


def test_hull_rows_change_no_optimum():
    _, reduced = reduced_problem(3, points=14, hidden_layer_sizes=(2,))
    clusters = np.arange(14) % 2
    dropped = clustered.build(reduced, clusters, hull_seconds=10)
    full = clustered.build(reduced, clusters, hull_seconds=0)
    assert len(dropped.milp.indicators) < len(full.milp.indicators)
    assert optimum(dropped).objective == pytest.approx(optimum(full).objective)


def test_extreme_points():
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.5, 0], [0.2, 0.7]])
    keep = extreme_points(square, np.zeros(7, dtype=int), 10)
    assert keep.tolist() == [True] * 4 + [False] * 3
    # alone in its group, or with one other, nothing is redundant
    assert extreme_points(square, np.array([0, 0, 0, 0, 1, 2, 2]), 10).tolist() == [True] * 7
    assert extreme_points(square, np.zeros(7, dtype=int), 0).all()
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(60, 2))
    from scipy.spatial import ConvexHull

    expected = np.zeros(60, dtype=bool)
    expected[ConvexHull(cloud).vertices] = True
    np.testing.assert_array_equal(extreme_points(cloud, np.zeros(60, dtype=int), 60), expected)
