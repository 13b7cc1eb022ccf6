"""The paper's robust model as a class of networks: who belongs to it, and that no method returns any other."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import plain
from bdnn import Budget, Network, Problem, Status
from bdnn.methods import METHODS
from bdnn.methods.incumbents import with_largest_margins
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.run import Run
from bdnn.network.intervals import robust_losses, unstable_points
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.tables import filled, medians, read_table

NORMS = ("inf", "1", "2")


# an independent check in rationals


def on_whole_ball(weights, bias, x, radius, norm):
    """What a neuron does on the ball around x: True, False, or None if it changes; in exact arithmetic."""
    w, r = [Fraction(v) for v in weights.tolist()], [Fraction(v) for v in radius]
    a = Fraction(bias) + sum((v * Fraction(u) for v, u in zip(w, x, strict=True)), Fraction(0))
    terms = [abs(v * s) for v, s in zip(w, r, strict=True)]
    if norm == "2":
        square = sum(t * t for t in terms)
        return True if a >= 0 and a * a >= square else False if a < 0 and a * a > square else None
    reach = sum(terms) if norm == "inf" else max(terms)
    return True if a >= reach else False if a < -reach else None


def on_whole_box(weights, bias, low, high):
    """What a neuron does on all integers of a box."""
    pairs = [sorted((w * u, w * v)) for w, u, v in zip(weights.tolist(), low, high, strict=True)]
    least, most = (int(bias) + sum(pair[side] for pair in pairs) for side in (0, 1))
    return True if least >= 0 else False if most < 0 else None


def is_open(network, x, radius, norm):
    """Whether a neuron of the first layer changes on the ball around a point."""
    weights, bias = network.layers[0]
    x, radius = np.asarray(x).tolist(), np.asarray(radius).tolist()
    if network.grid is None:
        return any(on_whole_ball(w, b, x, radius, norm) is None for w, b in zip(weights, bias.tolist(), strict=True))
    low, high = (plain.quantized(network.grid, [v + s * r for v, r in zip(x, radius, strict=True)]) for s in (-1, 1))
    return any(on_whole_box(w, b, low, high) is None for w, b in zip(weights, bias.tolist(), strict=True))


def is_of_the_class(network, problem):
    """Whether no neuron of the first layer changes on the ball of a point that has a weight."""
    used = np.flatnonzero(np.asarray(problem.sample_weight) > 0)
    return not any(is_open(network, problem.X[i], problem.robust_radius, problem.robust_norm) for i in used)


# who belongs to it


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("weights", ["continuous", "integer", "grid"])
def test_the_loss_is_infinite_exactly_outside_the_class(weights, norm):
    inside = outside = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        X = rng.integers(-3, 4, (int(rng.integers(2, 6)), 2)).astype(float)
        if weights == "grid":
            X[0] += 0.3
        y = np.arange(len(X)) % (2 + (seed % 3 == 0 and len(X) > 2))
        hidden = [(1,), (2,), (1, 2)][seed % 3]
        problem = Problem(
            X=X,
            y=y,
            hidden_layer_sizes=hidden,
            head=["threshold", "argmax"][seed % 2],
            weights="continuous" if weights == "continuous" else "integer",
            sample_weight=np.where(np.arange(len(X)) < 2, 1.0, rng.integers(0, 3, len(X))),
            robust_radius=[[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]][seed % 3],
            robust_norm=norm,
            robust_model="pattern",
        )
        grid = presolve(problem).grid
        assert (grid is not None) == (weights == "grid")
        network = plain.random_network(
            rng, 2, hidden, problem.classes, problem.head, problem.weights == "integer", grid
        )
        if grid is not None:  # thresholds among the integers of the grid
            (W, b), *rest = network.layers
            middle = grid.quantize(X[:1])[0]
            layers = [(W, b - (W @ middle).astype(int) + rng.integers(-40, 41, len(b))), *rest]
            network = Network(layers, network.head, network.classes, grid)
        loss = audit(network, problem).loss
        assert math.isfinite(loss) == is_of_the_class(network, problem)
        inside, outside = inside + math.isfinite(loss), outside + math.isinf(loss)
        radius = np.asarray(problem.robust_radius)
        found = unstable_points(network, problem.X, radius, norm).tolist()
        assert found == [is_open(network, x, radius, norm) for x in problem.X]
        if math.isfinite(loss):
            losses, _ = robust_losses(network, problem.X, problem.codes, radius, norm, "interval")
            assert loss == problem.sample_weight @ losses
    assert inside >= 15 and outside >= 15


@pytest.mark.parametrize("norm", NORMS)
def test_a_ball_that_touches_the_threshold_is_constant_from_above_only(norm):
    """All norms reach 1/2 along one axis, and 5/4, 1 and 7/4 with the weights 3 and 4."""
    for w, reach in (([2.0, 0.0], 0.5), ([3.0, 4.0], {"inf": 1.75, "1": 1.0, "2": 1.25}[norm])):
        for a, inside in (
            (reach, True),
            (-reach, False),
            (np.nextafter(-reach, -9), True),
            (np.nextafter(reach, 0), False),
        ):
            network = Network([([w], [a]), ([[1.0]], [-0.5])], "threshold", [0, 1])
            problem = Problem(
                X=[[0.0, 0.0], [99.0, 99.0]], y=[0, 1], hidden_layer_sizes=(1,), robust_radius=0.25,
                robust_norm=norm, robust_model="pattern",
            )  # fmt: skip
            assert math.isfinite(audit(network, problem).loss) == inside == is_of_the_class(network, problem)


def test_points_without_weight_do_not_matter():
    settings = dict(X=[[0.0], [1.0], [0.5]], y=[0, 1, 0], hidden_layer_sizes=(1,), robust_radius=0.2)
    network = Network([([[1.0]], [-0.5]), ([[1.0]], [-0.5])], "threshold", [0, 1])
    for weight, loss in (([1, 1, 1], math.inf), ([1, 1, 0], 0.0), ([1, 0, 1e-300], math.inf)):
        problem = Problem(**settings, robust_model="pattern", sample_weight=weight)
        found = audit(network, problem)
        assert found.loss == loss and found.n_wrong == 1
    assert audit(network, Problem(**settings)).loss == 1.0


@pytest.mark.parametrize("head", ["threshold", "argmax"])
def test_without_hidden_layer_and_without_radius_all_networks_belong_to_it(head):
    rng = np.random.default_rng(0)
    X, y = rng.integers(-3, 4, (12, 2)).astype(float), np.arange(12) % 3
    for hidden, radius in (((), 2.0), ((2,), 0.0)):
        settings = dict(X=X, y=y, hidden_layer_sizes=hidden, head=head, robust_radius=radius)
        for _ in range(30):
            network = plain.random_network(rng, 2, hidden, (0, 1, 2), head)
            assert (
                audit(network, Problem(**settings, robust_model="pattern")).loss
                == audit(network, Problem(**settings)).loss
            )


# what methods return

SETTINGS = {
    "exact": [dict(incumbents="search"), dict(incumbents="none")],
    "local_search": [dict(), dict(polish="none")],
    "alternating": [dict(), dict(incumbents="none", n_starts=3), dict(blocks="neurons")],
    "data_splitting": [dict(batch_size=4, max_splits=2), dict(batch_size=4, max_splits=3, incumbents="none")],
}


def outside_start(kind):
    number = float if kind == "continuous" else int
    first = np.array([[1, 1], [1, -1]], dtype=number), np.array([-4, 0], dtype=number)
    return Network([first, (np.array([[1, 1]], dtype=number), np.array([-1], dtype=number))], "threshold", [0, 1])


def wide_problem(kind, validation=False, **settings):
    rng = np.random.default_rng(4)
    X = rng.integers(0, 5, (10, 2)).astype(float)
    y = (X[:, 0] >= 3) != (np.arange(10) % 5 == 0)
    held_out = rng.integers(0, 5, (12, 2)).astype(float)
    return Problem(
        X=X,
        y=y.astype(int),
        hidden_layer_sizes=(2,),
        weights=kind,
        robust_radius=0.3,
        robust_model="pattern",
        validation=(held_out, (held_out.sum(axis=1) >= 4).astype(int)) if validation else None,
        **settings,
    )


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("kind", ["continuous", "integer"])
@pytest.mark.parametrize("method", SETTINGS)
def test_methods_return_networks_of_the_class(method, kind, validation):
    problem, start = wide_problem(kind, validation, sample_weight=[1, 2, 1, 0, 1, 1, 3, 1, 1, 1]), outside_start(kind)
    assert audit(start, problem).loss == math.inf
    for settings in SETTINGS[method]:
        for given in (None, start):
            budget = Budget(seconds=20, rounds=40 if method == "local_search" else None)
            result = METHODS[method](**settings)(problem, budget, given)
            assert is_of_the_class(result.network, problem)
            assert math.isfinite(result.objective) and result.objective == audit(result.network, problem).loss
            assert result.objective >= result.bound and result.audit.n_mismatched == 0
            assert result.network != start
            # networks that are right for a batch only, and the start, are told of but not taken
            outside = {entry.source for entry in result.history if math.isinf(entry.objective)}
            assert outside <= {"start", "data splitting"}


def test_a_start_outside_the_class_is_not_returned_when_interrupted():
    start = outside_start("continuous")

    def stop(_):
        raise KeyboardInterrupt

    try:
        result = LocalSearch()(wide_problem("continuous"), Budget(), start, stop)
    except KeyboardInterrupt:
        return  # nothing to return yet
    assert result.network != start and math.isfinite(result.objective)


def test_the_best_start_outside_the_class_is_no_help():
    """It is right everywhere without perturbations, and right on whole balls by the interval model."""
    layers = [([[1.0], [1.0]], [-0.5, -0.9]), ([[1.0, 1.0]], [-0.5])]
    start = Network(layers, "threshold", [0, 1])
    settings = dict(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=(2,), robust_radius=0.2)
    assert audit(start, Problem(**settings)).loss == 0
    problem = Problem(**settings, robust_model="pattern")
    assert audit(start, problem).loss == math.inf
    result = LocalSearch()(problem, Budget(rounds=5), start)
    assert result.objective == 0 and result.status == Status.OPTIMAL and is_of_the_class(result.network, problem)


def test_the_search_stays_above_the_proven_optimum_of_the_class_on_real_data():
    """Twenty rows on which networks with open neurons have more points right than any of the class."""
    table = read_table(Path(__file__).parents[1] / "examples" / "data" / "breast_cancer_wisconsin.csv", "target")
    X = filled(table, medians(table, np.arange(len(table.labels))))
    rows = np.random.default_rng(1).permutation(len(X))[:20]
    settings = dict(X=X[rows], y=table.labels[rows], hidden_layer_sizes=(2,), weights="integer", robust_radius=2.5)
    problem = Problem(**settings, robust_model="pattern")
    proven = METHODS["exact"](incumbents="none")(problem, Budget(seconds=60))
    assert proven.status == Status.OPTIMAL and proven.objective == 2
    assert LocalSearch()(Problem(**settings), Budget(rounds=50)).objective < 2
    for seed in range(4):
        result = LocalSearch()(problem, Budget(rounds=60, seed=seed))
        assert 2 <= result.objective <= 7 and is_of_the_class(result.network, problem)


def test_polish_does_not_leave_the_class():
    X = [[-3.0, -4.0], [3.0, 3.0], [-4.0, 1.0], [2.0, -3.0], [-2.0, 3.0], [4.0, -2.0]]
    problem = Problem(
        X=X, y=[0, 1, 1, 0, 0, 1], hidden_layer_sizes=(1,), robust_radius=[0.0, 2.0], robust_model="pattern"
    )
    layers = [([[-0.28244826, -0.10065976]], [0.61755169]), ([[0.95471518]], [0.28457534])]
    network = Network(layers, "threshold", [0, 1])
    assert audit(network, problem).loss == 3
    run = Run(problem, Budget().start(), None)
    assert audit(with_largest_margins(run, network, run.budget), problem).loss <= 3
