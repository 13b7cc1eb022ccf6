"""All halfspaces of points with few coordinates: the least loss is that of brute force and that of branch and cut."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest

from bdnn import Budget, Problem
from bdnn._native.search import halfspaces
from bdnn.errors import InputError, NotCoveredError
from bdnn.exact.independence import independent_columns
from bdnn.methods import starts
from bdnn.methods.exact import ExactTraining
from bdnn.methods.exact_halfspaces import UNFINISHED, Arrangement, covers
from bdnn.problem.presolve import presolve
from cases import Case, loss_by_hand, neuron_patterns

# exact images of integers whose digits fill doubles, so that nothing can be computed exactly in them
WIDE = float(3 * (2**28 + 1))
enumeration = partial(ExactTraining, formulation="enumeration", incumbents="none")
tree = partial(ExactTraining, formulation="activation", incumbents="none")


def best_halfspace(X, gain, proceed=None):
    inside = np.zeros(len(X), dtype=np.uint8)
    finished, least = halfspaces(np.ascontiguousarray(X.T, dtype=float), gain, inside, 1, proceed)
    return finished, least, inside.astype(bool)


def random_points(rng, n, most):
    """Distinct integer points that span the space, on coarse grids with many in line and in a plane."""
    while True:
        X = np.unique(rng.integers(0, rng.choice([2, 3, 4, 9]), (rng.integers(n + 1, most + 1), n)), axis=0)
        if len(X) > n and np.linalg.matrix_rank(X - X[0]) == n:
            return rng.permutation(X).astype(float)


def divisions(X):
    """All ways in which halfspaces divide integer points that span the space, by hyperplanes through some of them."""
    m, n = X.shape
    found, seen = {(False,) * m, (True,) * m}, set()
    for corners in itertools.combinations(range(m), n) if n else ():
        edges = X[list(corners[1:])] - X[corners[0]]
        minors = [np.linalg.det(np.delete(edges, k, axis=1)) if n > 1 else 1.0 for k in range(n)]
        normal = np.rint(minors) * (-1) ** np.arange(n)
        side = (X - X[corners[0]]) @ normal
        on = side == 0
        if not normal.any() or on.tobytes() in seen:
            continue
        seen.add(on.tobytes())
        for part in divisions(np.delete(X[on], np.argmax(normal != 0), axis=1)):
            for inside in (side > 0, side < 0):
                inside[on] = part
                found.add(tuple(inside.tolist()))
    return found


@pytest.mark.parametrize(("n", "most"), [(1, 6), (2, 7), (3, 7)])
def test_the_oracle_finds_what_linear_programs_find(n, most):
    X = random_points(np.random.default_rng(n), n, most)
    patterns = neuron_patterns(tuple(map(tuple, X.tolist())), "continuous")
    assert divisions(X) == set(map(tuple, patterns.astype(bool).tolist()))


@pytest.mark.parametrize(("n", "most", "seeds"), [(1, 12, 10), (2, 12, 25), (3, 9, 20), (4, 8, 6)])
def test_the_best_halfspace_is_that_of_brute_force(n, most, seeds):
    for seed in range(seeds):
        rng = np.random.default_rng([n, seed])
        X = random_points(rng, n, most)
        gain = rng.integers(-4, 5, len(X))
        patterns = divisions(X)
        expected = min(gain[list(inside)].sum() for inside in patterns)
        for points in (X, X * WIDE + 7.0, np.ldexp(X, rng.integers(-300, 300, n))):
            finished, least, inside = best_halfspace(points, gain)
            assert finished
            assert least == gain[inside].sum() == expected, (n, seed)
            assert tuple(inside.tolist()) in patterns, (n, seed)


@pytest.mark.parametrize("grid", [6, 9, 1000])
def test_many_points_in_the_plane(grid):
    # more than are looked at without buckets
    rng = np.random.default_rng(grid)
    X = np.unique(rng.integers(0, grid, (40, 2)), axis=0).astype(float)
    gain = rng.integers(-4, 5, len(X))
    patterns = divisions(X)
    expected = min(gain[list(inside)].sum() for inside in patterns)
    for points in (X, X * WIDE - 5.0):
        finished, least, inside = best_halfspace(points, gain)
        assert finished
        assert least == gain[inside].sum() == expected
        assert tuple(inside.tolist()) in patterns


def test_many_points_in_few_planes():
    # planes with more than a dozen points, which are not sorted again for each pair of them
    rng = np.random.default_rng(0)
    flat = rng.permutation(np.array(list(itertools.product(range(4), repeat=2))))
    X = rng.permutation(np.column_stack([np.vstack([flat, flat[:14]]), np.arange(30) // 16]).astype(float))
    gain = rng.integers(-4, 5, len(X))
    patterns = divisions(X)
    expected = min(gain[list(inside)].sum() for inside in patterns)
    for points in (X, X * WIDE):
        finished, least, inside = best_halfspace(points, gain)
        assert finished
        assert least == gain[inside].sum() == expected
        assert tuple(inside.tolist()) in patterns


def test_points_that_are_in_line_up_to_the_last_digit():
    x = np.array([0.1, 0.2, 0.4, 0.1, 0.4])
    line = np.array([0.1, 0.2, 0.4, 0.9, 0.0])  # the first three are in line, multiples of one double
    gain = np.array([1, -2, 1, 2, 2])  # the second is to be cut off alone
    for change, least in ((0.0, -1), (1.0, -2), (-1.0, -2)):
        y = line.copy()
        y[1] = np.nextafter(y[1], y[1] + change)
        gain[3:] = (9, -9) if change < 0 else (-9, 9)
        finished, found, inside = best_halfspace(np.column_stack([x, y]), gain)
        assert finished
        assert found == gain[inside].sum() == least - 9


def test_a_problem_as_brute_force_has_it():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 4))
        X = random_points(rng, n, 6)
        X = X[rng.integers(0, len(X), len(X) + 3)]  # with equal rows
        y = rng.integers(0, 2, len(X))
        y[:2] = 0, 1
        weight = [None, rng.integers(0, 4, len(X)) + 1.0, rng.integers(1, 9, len(X)) / 4][seed % 3]
        case = Case(X=X, y=y, sample_weight=weight, head=["threshold", "argmax"][seed % 2])
        result = enumeration()(case.problem())
        assert result.status == "optimal", result.message
        assert result.objective == result.bound == case.optimum() == loss_by_hand(result.network, case)
        assert result.nodes == 0


def closed_where_both_agree(problem, seed):
    """Whether branch and cut closes a problem; neither bound may be above what the other one finds."""
    ours, other = (method()(problem, Budget(seconds=20)) for method in (enumeration, tree))
    assert ours.status == "optimal", (seed, ours.message)
    assert ours.objective == ours.audit.loss
    assert other.bound <= ours.objective * (1 + 1e-9), seed
    assert ours.bound <= other.objective * (1 + 1e-9), seed
    return other.status == "optimal"


def test_branch_and_cut_agrees(monkeypatch):
    # neither starts nor larger margins matter here
    monkeypatch.setattr(starts, "layered", lambda *_: iter(()))
    monkeypatch.setattr("bdnn.methods.exact.polish", lambda *_: True)
    monkeypatch.setattr("bdnn.methods.exact_activation.polish", lambda *_: True)
    closed = 0
    for seed in range(80):
        rng = np.random.default_rng([7, seed])
        n = int(rng.integers(1, 5))
        m = int(rng.integers(n + 3, (30, 30, 24, 16)[n - 1]))
        X = [rng.integers(0, 7, (m, n)).astype(float), np.round(rng.normal(size=(m, n)), 1), rng.normal(size=(m, n))]
        score = X[seed % 3] @ rng.normal(size=n) + 0.4 * rng.normal(size=m)
        y = (score > np.median(score)).astype(int)
        weight = [np.ones(m), rng.integers(1, 5, m).astype(float), rng.uniform(0.5, 2.0, m)][seed // 3 % 3]
        problem = Problem(X=X[seed % 3], y=y, sample_weight=weight, hidden_layer_sizes=())
        closed += closed_where_both_agree(problem, seed)
    assert closed > 76


def test_each_output_of_several_classes_is_a_halfspace_of_its_own():
    rng = np.random.default_rng(5)
    X, y = rng.integers(0, 6, (40, 2)).astype(float), rng.integers(0, 3, 40)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(), head="threshold")
    result = enumeration()(problem)
    alone = [enumeration()(Problem(X=X, y=(y == c).astype(int), hidden_layer_sizes=())).objective for c in range(3)]
    assert result.status == "optimal"
    assert result.objective == sum(alone)


def test_columns_that_are_affine_functions_of_others_do_not_count():
    rng = np.random.default_rng(3)
    X = rng.integers(0, 9, (60, 2)).astype(float)
    y = rng.integers(0, 2, 60)
    wider = np.column_stack([X[:, 0], 3 * X[:, 0] - 1, np.full(60, 4.0), X[:, 1], X.sum(axis=1), X @ [2, -5]])
    assert independent_columns(wider, 4).tolist() == [0, 3]
    narrow, wide = (enumeration()(Problem(X=each, y=y, hidden_layer_sizes=())) for each in (X, wider))
    assert wide.status == narrow.status == "optimal"
    assert wide.objective == narrow.objective


def test_dependence_is_decided_without_rounding():
    x = np.array([0.1, 0.2, 0.3, 0.7])
    assert independent_columns(np.column_stack([x, 2 * x]), 2).tolist() == [0]
    assert independent_columns(np.column_stack([x, 3 * x]), 2).tolist() == [0, 1]  # 3 * x is rounded
    assert independent_columns(np.column_stack([x, 2 * x, x**2, x**3]), 2) is None
    assert independent_columns(np.full((3, 2), 5.0), 2).tolist() == []


def test_automatic_training_sees_all_halfspaces_of_few_features():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 2)), rng.integers(0, 2, 150)
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    result = ExactTraining()(problem)
    assert (result.status, result.nodes) == ("optimal", 0)
    assert result.history[-1].source == "enumeration"
    assert result.bound_of == "networks with no hidden neurons, threshold head, any real weights"
    # certificates, checkpoints and limits on nodes are the tree's
    small = Problem(X=X[:40], y=y[:40], hidden_layer_sizes=())
    certified = ExactTraining(certificate=True)(small)
    assert certified.certificate is not None
    assert certified.objective == ExactTraining()(small).objective


def test_what_takes_long_begins_with_the_tree(monkeypatch):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    monkeypatch.setattr("bdnn.methods.exact_activation._AT_ONCE", 0.0)
    result = ExactTraining()(problem, Budget(seconds=60))
    assert result.status == "optimal"
    assert result.nodes > 0
    assert result.objective == enumeration()(problem).objective


def test_a_limit_leaves_no_bound():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(500, 3)), rng.integers(0, 2, 500)
    gain = 1 - 2 * y
    asked = []
    finished, least, inside = best_halfspace(X, gain, lambda: bool(asked.append(1)))
    assert not finished
    assert len(asked) == 1
    assert gain[inside].sum() == least < 0
    result = enumeration()(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(seconds=0.05))
    assert (result.status, result.bound, result.message.split(";")[0]) == ("feasible", 0.0, UNFINISHED)


def test_ctrl_c_ends_the_enumeration_with_the_best_network():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(500, 3)), rng.integers(0, 2, 500)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        best_halfspace(X, 1 - 2 * y, interrupt)


def test_what_is_not_covered_is_refused():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(30, 5)), rng.integers(0, 2, 30)
    settings = {"hidden_layer_sizes": ()}
    for problem in (
        Problem(X=X, y=y, **settings),
        Problem(X=X[:, :2], y=y, fit_intercept=False, **settings),
        Problem(X=X[:, :2], y=y, max_features=1, **settings),
        Problem(X=X[:, :2], y=np.arange(30) % 3, head="argmax", **settings),
        Problem(X=X[:, :2] * 2.0 ** rng.integers(-400, 400, (30, 1)), y=y, **settings),
    ):
        assert covers(presolve(problem))
        with pytest.raises(NotCoveredError):
            enumeration()(problem)


def test_numbers_too_far_apart_for_the_core_are_refused():
    X = np.array([[1e-200, 1.0, 3.0, 1e200], [0.0, 1.0, 2.0, 1.0]])
    with pytest.raises(InputError, match="digits"):
        halfspaces(X, np.ones(4, dtype=np.int64), np.zeros(4, dtype=np.uint8), 1, None)


def test_estimates_grow_with_the_points():
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    seconds = [Arrangement.of(presolve(Problem(X=X[:m], y=y[:m], hidden_layer_sizes=()))).seconds for m in (100, 400)]
    assert 0 < seconds[0] < seconds[1] / 32
