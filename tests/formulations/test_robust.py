"""Robust training programs: solvers, models and norms against each other and against sampling."""

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest

from bdnn import BDNNClassifier, Budget, Network, Problem, Status
from bdnn.backends import BACKENDS, available, backend
from bdnn.errors import InputError, MarginError
from bdnn.formulations import robust
from bdnn.methods import METHODS
from bdnn.methods.starts import random_network
from bdnn.network.intervals import robust_losses
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.tables import filled, medians, read_table
from clocks import ticking

NORMS = ("inf", "1", "2")
ARCHITECTURES = {
    "no hidden": dict(hidden_layer_sizes=()),
    "hidden": dict(hidden_layer_sizes=(2,)),
    "two hidden": dict(hidden_layer_sizes=(1, 2)),
    "one-hot": dict(hidden_layer_sizes=(1,), head="threshold", classes=3),
    "argmax": dict(hidden_layer_sizes=(1,), head="argmax", classes=3),
    "argmax, no hidden": dict(hidden_layer_sizes=(), head="argmax", classes=3),
    "ternary": dict(hidden_layer_sizes=(2,), weights="integer"),
    "ternary, argmax, no hidden": dict(hidden_layer_sizes=(), weights="integer", head="argmax", classes=3),
    "ternary on a grid": dict(hidden_layer_sizes=(2,), weights="integer", input_bits=3, fractions=True),
    "ternary on a grid, argmax": dict(
        hidden_layer_sizes=(), weights="integer", input_bits=3, fractions=True, head="argmax", classes=3
    ),
}


def problem_of(seed, points=6, classes=2, fractions=False, **settings):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(-1, 4, size=(points, 2)).astype(float), rng.integers(0, classes, size=points)
    y[:classes] = range(classes)
    if fractions:
        X = X + rng.choice([0.0, 0.25, 0.5], size=X.shape)
    return Problem(X=X, y=y, **settings)


def exact(problem, solver="auto"):
    result = METHODS["exact"](incumbents="none", solver=solver)(problem, Budget(seconds=60))
    assert result.status == Status.OPTIMAL, result.message
    assert result.audit.n_mismatched == 0
    return result


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", ARCHITECTURES)
def test_solvers_agree_models_are_ordered_and_points_hold(case, norm):
    settings = dict(ARCHITECTURES[case], robust_radius=0.3, robust_norm=norm)
    optimum = {}
    for model in ("interval", "pattern"):
        problem = problem_of(5, **settings, robust_model=model)
        found = {}
        for solver in available():
            try:
                backend(solver, problem)
            except InputError:
                continue
            found[solver] = exact(problem, solver)
        values = {name: result.objective for name, result in found.items()}
        assert len(set(values.values())) == 1, values
        optimum[model] = values[next(iter(values))]
    nominal = exact(problem_of(5, **ARCHITECTURES[case])).objective
    assert nominal <= optimum["interval"] <= optimum["pattern"]
    # what counts as right is right on the ball
    network, rng = found["highs"].network, np.random.default_rng(0)
    radius = np.full(2, 0.3)
    losses, _ = robust_losses(network, problem.X, problem.codes, radius, norm)
    d = rng.normal(size=(1000, 2))
    d /= np.linalg.norm(d, ord={"inf": np.inf, "1": 1, "2": 2}[norm], axis=1)[:, None] * (1 + 1e-12)
    d[:4] = 0 if norm != "inf" else list(itertools.product((-1, 1), repeat=2))
    for x, code, loss in zip(problem.X, problem.codes, losses, strict=True):
        moved = x + d * radius
        assert network.losses(moved, np.full(1000, code))[0].max() <= loss


def test_interval_is_strictly_better_on_real_data():
    table = read_table(Path(__file__).parents[2] / "examples" / "data" / "breast_cancer_wisconsin.csv", "target")
    rows = np.random.default_rng(0).permutation(699)[:20]
    X = filled(table, medians(table, np.arange(699)))[rows]
    settings = dict(X=X, y=table.labels[rows], hidden_layer_sizes=(2,), robust_radius=2.5)
    found = {m: exact(Problem(**settings, robust_model=m)).objective for m in ("interval", "pattern")}
    assert found == {"interval": 1, "pattern": 6}


@pytest.mark.parametrize("norm", NORMS)
def test_one_neuron_on_a_line_against_brute_force(norm):
    """In one dimension all norms agree: try every threshold and direction."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        x, y = np.round(rng.uniform(0, 4, size=9), 2), rng.integers(0, 2, size=9)
        y[:2] = [0, 1]
        for r in (0.0, 0.2, 0.5):
            edges = np.sort(np.concatenate([x - r - 0.004, x - r + 0.004, x + r - 0.004, x + r + 0.004]))
            best = min(np.sum(y == 0), np.sum(y == 1))
            for t, sign in itertools.product(edges, (1, -1)):
                s = sign * (x - t)
                best = min(best, int(np.sum(np.where(y == 1, s - r < 0, s + r >= 0))))
            problem = Problem(X=x[:, None], y=y, hidden_layer_sizes=(), robust_radius=r, robust_norm=norm)
            assert exact(problem).objective == best


def test_radius_zero_is_nominal_and_the_optimum_never_improves_as_it_grows():
    for case in ("hidden", "argmax", "ternary"):
        values = []
        for r in (0.0, 1e-3, 0.2, 0.5, 1.0, 3.0):
            values.append(exact(problem_of(9, points=7, **ARCHITECTURES[case], robust_radius=r)).objective)
        assert values == sorted(values)
        assert values[0] == exact(problem_of(9, points=7, **ARCHITECTURES[case])).objective
        assert values[0] < values[-1]


@pytest.mark.parametrize("norm", NORMS)
def test_radii_per_feature_and_scaling_commute(norm):
    problem = problem_of(11, points=8, hidden_layer_sizes=(2,), robust_radius=[0.2, 0.6], robust_norm=norm)
    factor = np.array([1000.0, 0.125])
    scaled = Problem(
        X=problem.X * factor,
        y=problem.y,
        hidden_layer_sizes=(2,),
        robust_radius=np.array([0.2, 0.6]) * factor,
        robust_norm=norm,
    )
    first, second = exact(problem), exact(scaled)
    assert first.objective == second.objective
    assert audit(first.network, problem).loss == first.objective


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", ARCHITECTURES)
def test_encoded_networks_are_feasible_and_never_below_their_robust_loss(case, norm):
    problem = problem_of(13, points=10, **ARCHITECTURES[case], robust_radius=0.15, robust_norm=norm)
    reduced, rng = presolve(problem), np.random.default_rng(0)
    model, exact_ones = robust.build(reduced), 0
    for _ in range(20):
        network = random_network(reduced, rng)
        x = model.encode(network)
        value, loss = model.milp.objective(x) * reduced.loss_unit, audit(network, problem).loss
        assert value >= loss - 1e-9
        exact_ones += value == pytest.approx(loss)
        assert audit(model.decode(x), problem).loss <= value + 1e-9
    assert exact_ones >= 3  # the others have ties


def test_pattern_refuses_a_network_that_is_not_constant_on_a_ball():
    problem = Problem(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=(1,), robust_radius=0.2, robust_model="pattern")
    model = robust.build(presolve(problem))
    layers = [([[1.0]], [-0.5]), ([[1.0]], [-0.5])]
    assert model.milp.objective(model.encode(Network(layers, "threshold", [0, 1]))) == 0
    layers[0] = ([[1.0]], [-0.1])
    with pytest.raises(MarginError, match="not constant"):
        model.encode(Network(layers, "threshold", [0, 1]))


@functools.cache
def optimum(case, model):
    return exact(small_ball(case, model)).objective


def small_ball(case, model):
    return problem_of(15, points=7, **ARCHITECTURES[case], robust_radius=0.2, robust_model=model)


@pytest.mark.parametrize("model", ["interval", "pattern"])
@pytest.mark.parametrize("method", ["alternating", "data_splitting"])
@pytest.mark.parametrize("incumbents", ["search", "none"])
@pytest.mark.parametrize("case", ["hidden", "argmax", "ternary", "ternary on a grid"])
def test_heuristics_audit_the_robust_loss(case, incumbents, method, model):
    problem = small_ball(case, model)
    start = random_network(presolve(problem), np.random.default_rng(1))
    result = METHODS[method](incumbents=incumbents)(problem, Budget(seconds=20), start)
    assert result.objective == audit(result.network, problem).loss <= audit(start, problem).loss
    assert result.audit.n_mismatched == 0
    assert result.objective >= optimum(case, model)


@pytest.mark.skipif("scip" not in available(), reason="solver scip is not installed")
def test_cones_and_tangents_have_the_same_optimum():
    rng = np.random.default_rng(17)
    for _ in range(3):
        X, y = rng.normal(size=(14, 3)), rng.integers(0, 2, size=14)
        problem = Problem(X=X, y=y, hidden_layer_sizes=(), robust_radius=0.3, robust_norm="2")
        assert exact(problem, "highs").objective == exact(problem, "scip").objective


def test_tangents_stop_at_the_time_limit_with_a_network():
    rng = np.random.default_rng(18)
    X, y = rng.normal(size=(60, 8)), rng.integers(0, 2, size=60)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(3,), robust_radius=0.2, robust_norm="2")
    with ticking(3.0, step=0.03, most_late=100):
        result = METHODS["exact"](incumbents="none", solver="highs")(problem, Budget(seconds=3))
    assert result.status == Status.FEASIBLE and result.timings["total"] < 6
    assert BACKENDS["highs"].capabilities.quadratic is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(robust_radius=-0.1), "robust_radius must be finite and not negative, got -0.1"),
        (dict(robust_radius=float("nan")), "robust_radius must be finite and not negative, got nan"),
        (dict(robust_radius=[0.1, 0.2, 0.3]), r"one entry per column \(2,\), got \(3,\)"),
        (dict(robust_radius="much"), "robust_radius must be real numbers"),
        (dict(robust_radius=0.1, robust_norm="3"), "robust_norm must be one of 'inf', '1', '2'"),
        (dict(robust_radius=0.1, robust_model="fuzzy"), "robust_model must be one of 'interval', 'pattern'"),
        (dict(robust_radius=0.1, fit_intercept=False), "robust training needs biases"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        BDNNClassifier(**settings).fit([[0.0, 1.0], [1.0, 2.0]], [0, 1])


def test_estimator_and_model_file(tmp_path):
    X, y = [[0.0, 0.0], [1.0, 1.0], [3.0, 3.0], [4.0, 4.0], [6.0, 6.0]], [0, 0, 1, 1, 0]
    clf = BDNNClassifier(hidden_layer_sizes=(), robust_radius=[0.5, 0.25], random_state=0).fit(X, y)
    assert clf.result_.objective == 1 and "robust (interval) within radius 0.25 to 0.5" in clf.result_.bound_of
    clf.save(tmp_path / "m.json")
    from bdnn import load

    again = load(tmp_path / "m.json")
    assert again.robust_radius == [0.5, 0.25] and again.network_ == clf.network_
