"""Branch and cut over activations, against all dichotomies of a line and a plane and all output functions."""

import functools
import itertools

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.branch_and_cut.tree import Tree
from bdnn.methods.exact import ExactTraining
from clocks import ticking

plain = functools.partial(ExactTraining, formulation="activation", incumbents="none")


@functools.cache
def threshold_functions(d):
    """Truth tables of all threshold functions of up to three bits."""
    u = np.array(list(itertools.product([0, 1], repeat=d)))
    weights = itertools.product(range(-2, 3), repeat=d)
    found = {tuple((2 * (u @ w) >= t).tolist()) for w in weights for t in range(-13, 14)}
    assert len(found) == {1: 4, 2: 14, 3: 104}[d]
    return np.array(sorted(found), dtype=float)


def dichotomies(points):
    """What a threshold neuron can fire on distinct integer points of a line or a plane, of shape (count, p).

    A separating line can be moved until it touches two points; those on it are then split by a point of it.
    """
    m = len(points)
    points = [(*map(int, row), 0)[:2] for row in points]
    found = {(False,) * m, (True,) * m}
    for (x, y), (x2, y2) in itertools.combinations(points, 2):
        dx, dy = x2 - x, y2 - y
        side = [dx * (b - y) - dy * (a - x) for a, b in points]
        on = sorted((k for k in range(m) if side[k] == 0), key=lambda k: dx * points[k][0] + dy * points[k][1])
        for cut in range(len(on) + 1):
            for first in (False, True):
                fired = [s > 0 for s in side]
                for n, k in enumerate(on):
                    fired[k] = (n < cut) == first
                found |= {tuple(fired), tuple(not a for a in fired)}
    return np.array(sorted(found), dtype=float)


def optimum(X, y, weight, width):
    """Smallest loss of a threshold neuron (width 0), or of any threshold function of up to three."""
    points, place = np.unique(X, axis=0, return_inverse=True)
    on, off = (np.bincount(place.ravel(), weight * (y == label), len(points)) for label in (1, 0))
    fired = dichotomies(points)
    if width == 0:
        return on.sum() - (fired @ (on - off)).max()
    gains = []
    for corner in itertools.product([0, 1], repeat=width):
        visits = (on - off)[None]
        for bit in corner:
            visits = (visits[:, None] * (fired if bit else 1 - fired)[None]).reshape(-1, len(points))
        gains.append(visits.sum(axis=1))
    return on.sum() - (threshold_functions(width) @ np.array(gains)).max()


def random_case(seed, widths=(0, 1, 2, 3)):
    """Return points, labels, sample weights, and the width, all random."""
    rng = np.random.default_rng(seed)
    width = int(rng.choice(widths))
    m, n = int(rng.integers(6, [25, 25, 15, 9][width])), int(rng.integers(1, 3))
    # a coarse grid: repeats with conflicting labels, many points on a line
    X = rng.integers(0, rng.integers(3, 9), (m, n)) if rng.integers(2) else rng.integers(0, 1000, (m, n))
    y = np.r_[0, 1, rng.integers(0, 2, m - 2)]
    weight = [np.ones(m), rng.integers(1, 9, m).astype(float), rng.uniform(0.1, 2, m)][rng.integers(3)]
    return X.astype(float), y, weight, width


def problem_of(X, y, weight, width):
    return Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=(width,) if width else ())


def check(result, expected, problem):
    assert result.status == "optimal", result.message
    assert result.message in ("optimal", "nothing left to improve")
    assert result.objective == pytest.approx(expected, rel=2e-6, abs=2e-6)
    assert result.bound <= expected + 1e-9 * max(1.0, expected) or result.bound == result.objective
    wrong = result.network.predict(problem.X) != problem.y
    assert np.sum(np.asarray(problem.sample_weight)[wrong]) == pytest.approx(result.objective, abs=1e-9)
    assert result.audit.loss == result.objective and not result.audit.mismatch


@pytest.mark.parametrize("part", range(5))
def test_the_optimum_is_that_of_all_networks(part):
    for seed in range(20 * part, 20 * part + 20):
        case = random_case(seed)
        problem = problem_of(*case)
        check(plain()(problem, Budget(seconds=60)), optimum(*case), problem)


@pytest.mark.parametrize("seed", [89, 91])
def test_cases_in_which_rounding_left_nodes_undecided(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(0, 4))
    m, n = int(rng.integers(6, [26, 26, 18, 10][width])), int(rng.integers(1, 3))
    k = int(rng.integers(3, 9))
    X = rng.integers(0, k, (m, n)) if rng.integers(2) else rng.integers(0, 1000, (m, n))
    y, kind = rng.integers(0, 2, m), rng.integers(3)
    weight = [np.ones(m), rng.integers(1, 9, m).astype(float), rng.uniform(0.1, 2, m)][kind]
    problem = problem_of(X.astype(float), y, weight, width)
    check(plain()(problem, Budget(seconds=60)), optimum(X, y, weight, width), problem)


@pytest.mark.parametrize("width", [0, 1, 2, 3])
def test_every_labelling_of_six_points(width):
    X = np.array([[0, 0], [1, 2], [2, 4], [3, 1], [0, 3], [2, 2]], dtype=float)
    for labels in list(itertools.product([0, 1], repeat=6))[1 : 32 : 2 if width == 3 else 1]:
        y = np.array(labels)
        problem = problem_of(X, y, np.ones(6), width)
        check(plain()(problem, Budget(seconds=60)), optimum(X, y, np.ones(6), width), problem)


def hard(seed):
    """A case that needs nodes."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 30, (15, 2)).astype(float), np.r_[0, 1, rng.integers(0, 2, 13)]
    weight = [np.ones(15), rng.uniform(0.5, 2, 15)][seed % 2]
    return X, y, weight, 2


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_whenever_the_nodes_run_out(seed):
    case = hard(seed)
    expected, bounds = optimum(*case), []
    for nodes in (1, 2, 5, 20):
        result = plain()(problem_of(*case), Budget(nodes=nodes, seconds=60))
        assert result.nodes <= nodes
        assert result.bound <= expected * (1 + 2e-6) and result.objective >= expected - 1e-9
        assert (result.status == "optimal") == (result.message in ("optimal", "nothing left to improve"))
        if result.status != "optimal":
            assert (result.status, result.message) == ("feasible", "node limit reached")
        bounds.append(result.bound)
    assert bounds == sorted(bounds)
    assert result.bound > 0


def test_bounds_hold_whenever_the_time_runs_out():
    case = hard(0)
    expected = optimum(*case)
    plain()(problem_of(*case), Budget(nodes=1, seconds=60))  # kernels
    for seconds in (1e-3, 0.02, 0.05, 0.1):
        result = plain()(problem_of(*case), Budget(seconds=seconds))
        assert result.bound <= expected * (1 + 2e-6) and result.objective >= expected - 1e-9
        assert result.status == "optimal" or "limit" in result.message


@pytest.mark.parametrize("seed", range(4))
def test_an_interruption_leaves_a_valid_bound_and_the_best_network(seed, monkeypatch):
    monkeypatch.setattr("bdnn.branch_and_cut.engine._REPORT", -1.0)  # told at every node and round
    case = hard(seed)
    expected, moments = optimum(*case), np.random.default_rng(seed).integers(2, 60, 6)
    interrupted = 0
    for moment in moments.tolist():
        told = []

        def stop(progress, told=told, moment=moment):
            told.append(progress)
            if len(told) == moment:
                raise KeyboardInterrupt

        result = plain()(problem_of(*case), Budget(seconds=60), on_progress=stop)
        assert all(progress.bound <= expected * (1 + 2e-6) for progress in told)
        assert result.bound <= expected * (1 + 2e-6)
        assert result.objective >= expected - 1e-9
        assert result.objective <= min(progress.objective for progress in told)
        assert result.interrupted == (len(told) >= moment)
        interrupted += result.interrupted
        if result.interrupted:
            assert result.message == "stopped by Ctrl-C"
        else:
            assert result.status == "optimal"
    assert interrupted > 0


def test_the_same_seed_gives_the_same_result():
    for seed in range(3):
        first, second = (plain()(problem_of(*hard(seed)), Budget(seed=7, seconds=60)) for _ in range(2))
        assert (first.nodes, first.objective, first.bound) == (second.nodes, second.objective, second.bound)
        for (W, b), (W2, b2) in zip(first.network.layers, second.network.layers, strict=True):
            assert np.array_equal(W, W2) and np.array_equal(b, b2)
        assert plain()(problem_of(*hard(seed)), Budget(seed=8, seconds=60)).objective == first.objective


@pytest.mark.parametrize("relative", [1e-9, 1e-12, 2.0**-45])
def test_points_that_nearly_touch(relative):
    # separable, by little; and the same with the two nearest points exchanged, which is not
    X = np.array([[0.0], [0.2], [0.5], [0.5 * (1 + relative)], [0.7], [1.0]])
    for labels, expected in (([0, 0, 0, 1, 1, 1], 0), ([0, 0, 1, 0, 1, 1], 1)):
        result = plain()(Problem(X=X, y=labels, hidden_layer_sizes=()), Budget(seconds=30))
        assert result.bound <= expected <= result.objective
        assert result.objective == expected or result.status == "feasible"


@pytest.mark.parametrize("width", [0, 2])
def test_badly_scaled_columns(width):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = np.r_[0, 1, rng.integers(0, 2, 8)]
        for grid, scale in ((6, [2.0**-100, 2.0**100]), (10**6, [1e-8, 1e8])):
            X = rng.integers(0, grid, (10, 2))
            expected = optimum(X, y, np.ones(10), width)
            result = plain()(problem_of(X * scale, y, np.ones(10), width), Budget(seconds=30))
            assert (result.status, result.objective) == ("optimal", expected), (seed, scale, result.message)
            # far from the origin in units of the spacing
            result = plain()(problem_of(X + 2.0**40, y, np.ones(10), width), Budget(seconds=30))
            assert result.bound <= expected <= result.objective
            assert result.objective == expected or result.status == "feasible"


def test_the_paper_model_agrees():
    compared = 0
    for seed in range(8):
        X, y, weight, width = random_case(seed, widths=(0, 1, 2))
        problem = problem_of(X[:9], np.r_[y[:8], 1 - y[0]][: len(X[:9])], weight[:9], width)
        ours = plain()(problem, Budget(seconds=60))
        theirs = ExactTraining(solver="highs", formulation="big_m", incumbents="none")(problem, Budget(seconds=60))
        assert ours.status == theirs.status == "optimal"
        assert theirs.objective >= ours.objective - 2e-6
        compared += theirs.objective <= ours.objective + 2e-6
    assert compared >= 6


def test_a_short_limit_is_kept():
    rng = np.random.default_rng(0)
    problem = problem_of(rng.normal(size=(150, 5)), rng.integers(0, 2, 150), np.ones(150), 2)
    plain()(problem_of(*hard(0)), Budget(nodes=1, seconds=60))
    with ticking(1.0, step=2e-3, most_late=100):
        result = plain()(problem, Budget(seconds=1.0))
    assert (result.status, result.message) == ("feasible", "time limit reached")
    assert 0 <= result.bound < result.objective


def test_probing_trees_lift_bounds_no_higher_than_the_optimum(monkeypatch):
    monkeypatch.setattr("bdnn.branch_and_cut.engine._ALONE", 0.0)
    monkeypatch.setattr("bdnn.branch_and_cut.engine._FAR", 1.0)
    monkeypatch.setattr("bdnn.branch_and_cut.engine._MANY", np.inf)  # no rank rows, which would close the gap
    monkeypatch.setattr("bdnn.branch_and_cut.engine._PROBING_SLICE", 0.02)
    monkeypatch.setattr("bdnn.branch_and_cut.engine._SLICE", 0.02)
    lifted = []
    lift = Tree.lift
    monkeypatch.setattr(Tree, "lift", lambda self, *proven: (lifted.append(proven), lift(self, *proven)))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y = rng.integers(0, 30, (24, 2)).astype(float), np.r_[0, 1, rng.integers(0, 2, 22)]
        case = X, y, np.ones(24), [0, 2][seed % 2]
        expected, told = optimum(*case), []
        problem = problem_of(*case)
        result = plain()(
            problem, Budget(seconds=60), on_progress=lambda progress, told=told: told.append(progress.bound)
        )
        check(result, expected, problem)
        assert max(told) <= expected
        assert told == sorted(told)
    assert len(lifted) > 3


@pytest.mark.parametrize("seed", range(24))
def test_weights_of_very_different_sizes_give_no_bound_above_the_optimum(seed):
    """Costs without a common unit are rounded; what a small row costs must not be lost beside a large one."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 4, (8, 1)).astype(float), rng.permutation(np.r_[0, 1, rng.integers(0, 2, 6)])
    weight = 10.0 ** rng.uniform(-6, 6, 8) if seed % 2 else rng.choice([0.2, 1e6, 0.1, 7.3e-4], 8)
    hidden = [(), (2,)][seed // 2 % 2]
    problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=hidden)
    best = ExactTraining(formulation="enumeration")(problem, Budget(seconds=60))
    assert best.status == Status.OPTIMAL
    for formulation in ("activation", "auto", "big_m"):
        result = ExactTraining(formulation=formulation)(problem, Budget(seconds=20))
        assert result.bound <= best.objective * (1 + 1e-9) and result.objective >= best.objective * (1 - 1e-9)
        if result.status == Status.OPTIMAL:
            assert result.objective <= best.objective + 3e-6 * max(best.objective, weight.min())


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-13, 1e12])
def test_the_unit_of_weights_does_not_matter(scale):
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]], dtype=float), [0, 1, 1, 0, 0, 1]
    weight = scale * np.array([0.7, 0.3, 0.9, 0.51, 0.2, 0.6])
    result = plain()(Problem(X=X, y=np.array(y), sample_weight=weight, hidden_layer_sizes=(2,)), Budget(seconds=60))
    assert result.status == Status.OPTIMAL
    assert result.objective == pytest.approx(0.2 * scale) and result.bound == pytest.approx(0.2 * scale)
