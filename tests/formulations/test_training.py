"""The training program: networks in, networks out; reductions; margins; big-M."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from bdnn import Budget, Network, Problem
from bdnn.backends.highs import Highs
from bdnn.errors import InputError, MarginError
from bdnn.formulations import training
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from cases import POINTS, Case, some_labels

TOLERANCE = 1e-9
ARCHITECTURES = [(), (1,), (3,), (3, 2), (2, 2, 2)]
SUBSETS = [s for k in range(4) for s in itertools.combinations(training.REDUCTIONS, k)]


def data(rng: np.random.Generator, weights: str, n_classes: int) -> dict[str, Any]:
    """Fourteen rows, four of them repeats with more weight, with columns of very different sizes."""
    X = rng.normal(size=(10, 3)) * [1e-3, 1.0, 1e4] + [0.0, 5.0, 1e5]
    if weights == "integer":
        X = rng.integers(-4, 5, (10, 3)) * 3
    X = np.vstack([X, X[:4]])
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 14 - n_classes)])
    return {
        "X": X,
        "y": y,
        "weights": weights,
        "sample_weight": np.where(np.arange(14) < 10, rng.integers(1, 4, 14), 5),
    }


def random_network(rng: np.random.Generator, problem: Problem, biases: bool = True) -> Network:
    """A network of the problem's class; the planes of its first neurons pass between the points."""
    X, layers, signal = np.asarray(problem.X), [], np.asarray(problem.X)
    spread = np.ptp(X, axis=0)
    for k, d in enumerate(problem.widths):
        if problem.weights == "integer":
            W = rng.integers(-problem.weight_bound, problem.weight_bound + 1, (d, signal.shape[1]))
        else:
            W = rng.normal(size=(d, signal.shape[1])) * 10.0 ** rng.uniform(-3, 3, (d, 1))
            W = W / spread if k == 0 else W
        if k == len(problem.widths) - 1 and problem.head == "argmax":
            W = W if problem.weights == "integer" else W / np.abs(W).max(axis=1, keepdims=True)
            b = -(W @ signal.mean(axis=0)) + rng.uniform(-0.5, 0.5, d)
        else:
            b = -np.einsum("ij,ij->i", W, signal[rng.integers(0, len(signal), d)])
            reach = np.abs(W * (spread if k == 0 else 1)).max(axis=1)
            b = b + (rng.integers(-1, 2, d) if problem.weights == "integer" else reach * rng.uniform(-0.5, 0.5, d))
        b = np.rint(b).astype(int) if problem.weights == "integer" else b
        b = b if biases else np.zeros_like(b)
        layers.append((W, b))
        signal = (signal @ W.T + b >= 0).astype(float)
    return Network(layers, problem.head, problem.classes)


def scale_of(X: np.ndarray) -> np.ndarray:
    """Largest deviation from the median of the distinct rows."""
    rows = np.unique(X, axis=0)
    return np.abs(rows - np.quantile(rows, 0.5, axis=0, method="lower")).max(axis=0)


def distance_to_thresholds(network: Network, problem: Problem) -> float:
    """Smallest |a| of any neuron and point, or difference to the largest score, after scaling."""
    signal = np.asarray(problem.X)
    scale = scale_of(signal)
    nearest = np.inf
    for k, (W, b) in enumerate(network.layers):
        size = np.abs(W * scale).max(axis=1) if k == 0 else np.abs(W).max(axis=1)
        a = signal @ W.T + b
        if k == len(network.layers) - 1 and network.head == "argmax":
            ordered = np.sort(a / size.max(), axis=1)
            return min(nearest, float((ordered[:, -1] - ordered[:, -2]).min()))
        nearest = min(nearest, float(np.abs(a / size).min()))
        signal = (a >= 0).astype(float)
    return nearest


def built(problem: Problem, reductions: tuple[str, ...] = training.REDUCTIONS) -> training.TrainingModel:
    return training.build(presolve(problem), reductions=reductions)


def assert_round_trip(model: training.TrainingModel, network: Network) -> None:
    problem = model.presolved.problem
    x = model.encode(network)
    assert x.shape == (model.milp.n_columns,)
    assert model.milp.violation(x) <= TOLERANCE
    loss = audit(network, problem).loss
    assert model.milp.objective(x) * model.presolved.loss_unit == pytest.approx(loss, rel=1e-12, abs=1e-12)
    back = model.decode(x)
    assert audit(back, problem).loss == loss
    flipped = "output_sign" in model.reductions
    for k, (mine, theirs) in enumerate(zip(network.activations(problem.X), back.activations(problem.X), strict=True)):
        # neurons may have been exchanged, or replaced by their negations
        patterns = [{min(bytes(u), bytes(1 - u)) if flipped else bytes(u) for u in a.T} for a in (mine, theirs)]
        assert patterns[0] == patterns[1], k
    if problem.head == "argmax":
        np.testing.assert_array_equal(network.predict(problem.X), back.predict(problem.X))


@pytest.mark.parametrize("reductions", [training.REDUCTIONS, ()], ids=["reduced", "plain"])
@pytest.mark.parametrize("hidden", ARCHITECTURES, ids=str)
@pytest.mark.parametrize(("head", "n_classes"), [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_round_trip_of_random_networks(weights, head, n_classes, hidden, reductions):
    rng = np.random.default_rng(0)
    n_done = 0
    for _ in range(12):
        settings = data(rng, weights, n_classes)
        problem = Problem(**settings, hidden_layer_sizes=hidden, head=head, weight_bound=2)
        model, network = built(problem, reductions), random_network(rng, problem)
        if weights == "integer" or distance_to_thresholds(network, problem) >= 1.01 * model.margin:
            assert_round_trip(model, network)
            n_done += 1
    assert n_done >= 8


@pytest.mark.parametrize("hidden", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_round_trip_without_biases(weights, head, hidden):
    rng = np.random.default_rng(1)
    n_done = 0
    for _ in range(40):
        settings = data(rng, weights, 3)
        settings["X"] = np.where(np.arange(14)[:, None] == 3, 0.0, settings["X"])
        problem = Problem(**settings, hidden_layer_sizes=hidden, head=head, fit_intercept=False)
        try:
            assert_round_trip(built(problem), random_network(rng, problem, biases=False))
        except MarginError:
            # a pattern without a 1 is 0 for every neuron above: allowed; sums of 0 of other patterns are not
            assert weights == "continuous"
            continue
        n_done += 1
    assert n_done >= 8


@pytest.mark.parametrize("reductions", [training.REDUCTIONS, ()], ids=["reduced", "plain"])
def test_round_trip_of_constant_neurons(reductions):
    X, y = [[0.0, 1.0], [2.0, 0.5], [3.0, 4.0]], [0, 1, 1]
    model = built(Problem(X=X, y=y), reductions)
    for first, second in itertools.product([5.0, 0.0, -1e-3], repeat=2):
        for v in ([1.0, -1.0], [0.0, 0.0], [-2.0, -2.0]):
            network = Network([(np.zeros((2, 2)), [first, second]), ([v], [0.5])], "threshold", [0, 1])
            assert_round_trip(model, network)


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("hidden", [(), (2,)], ids=str)
def test_round_trip_of_an_argmax_head_whose_biases_are_far_from_0(weights, hidden):
    rng = np.random.default_rng(2)
    problem = Problem(**data(rng, weights, 3), hidden_layer_sizes=hidden, head="argmax")
    model = built(problem)
    *below, (W, b) = random_network(rng, problem).layers
    for shift in (10**9, -(10**9)):
        assert_round_trip(model, Network([*below, (W, b + shift)], "argmax", [0, 1, 2]))
        # the last label never wins
        never = b + np.array([0, 0, shift]) if shift < 0 else b - np.array([0, 0, 10**7])
        assert_round_trip(model, Network([*below, (W, never)], "argmax", [0, 1, 2]))
    constant = Network([*below, (0 * W, 0 * b + [3, 7, 5])], "argmax", [0, 1, 2])
    assert_round_trip(model, constant)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("reductions", [training.REDUCTIONS, ()], ids=["reduced", "plain"])
def test_networks_within_the_margin_are_refused(layer, reductions):
    rng = np.random.default_rng(3)
    settings = data(rng, "continuous", 2)
    problem = Problem(**settings, hidden_layer_sizes=(2, 2))
    model = built(problem, reductions)
    scale = scale_of(settings["X"])
    n_refused = n_accepted = 0
    while min(n_refused, n_accepted) < 5:
        network = random_network(rng, problem)
        if distance_to_thresholds(network, problem) < 10 * model.margin:
            continue
        layers = [(W, b.copy()) for W, b in network.layers]
        W, b = layers[layer]
        signal = settings["X"] if layer == 0 else network.activations(settings["X"])[0].astype(float)
        size = np.abs(W[0] * (scale if layer == 0 else 1)).max()
        a = signal @ W[0] + b[0]
        for wanted in (-0.5, 0.0, 0.5, -2.0, 2.0):
            # the point nearest to the threshold is moved to a multiple of the margin
            moved = [(V, c.copy()) for V, c in layers]
            moved[layer][1][0] += wanted * model.margin * size - a[np.argmin(np.abs(a))]
            other = Network(moved, "threshold", [0, 1])
            if abs(wanted) < 1:
                with pytest.raises(MarginError, match="within the margin"):
                    model.encode(other)
                n_refused += 1
            elif distance_to_thresholds(other, problem) > 1.5 * model.margin:
                assert_round_trip(model, other)
                n_accepted += 1


def test_an_output_within_the_margin_is_refused_where_it_is_right():
    problem = Problem(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=())
    for reductions in (training.REDUCTIONS, ()):
        model = built(problem, reductions)
        for bias in (-1.0, -0.5 * model.margin):
            with pytest.raises(MarginError):
                model.encode(Network([([[1.0]], [bias])], "threshold", [0, 1]))


def test_networks_of_another_class_are_refused():
    problem = Problem(X=[[0], [1], [2]], y=[0, 1, 0], hidden_layer_sizes=(1,), weights="integer")
    model = built(problem)
    output = ([[1]], [0])
    for layers, classes in [
        ([([[1]], [0])], [0, 1]),
        ([([[1], [1]], [0, 0]), ([[1, 1]], [0])], [0, 1]),
        ([([[2]], [0]), output], [0, 1]),
        ([([[1.0]], [0.0]), ([[1.0]], [0.0])], [0, 1]),
        ([([[1]], [0]), output], [0, 2]),
    ]:
        with pytest.raises(InputError, match="a different architecture or different weights"):
            model.encode(Network(layers, "threshold", classes))


REDUCIBLE = [
    Case(X=POINTS[name], y=some_labels(seed, len(POINTS[name]), 1, n_classes)[0], **settings)
    for seed, (name, n_classes, settings) in enumerate(
        itertools.product(
            ["square with center, doubled", "line"],
            [2, 3],
            [
                {"hidden": ()},
                {"hidden": (2,)},
                {"hidden": (2,), "head": "argmax"},
                {"hidden": (1, 2)},
                {"hidden": (2,), "weights": "integer"},
                {"hidden": (2,), "weights": "integer", "head": "argmax", "biases": False},
                {"hidden": (2, 1), "weights": "integer"},
                {"hidden": (2,), "biases": False},
                {"hidden": (1,), "sample_weight": [0.5, 1.25, 2, 0.75, 1, 1]},
            ],
        )
    )
    if len(settings.get("sample_weight", POINTS[name])) == len(POINTS[name])
]


@pytest.mark.parametrize("case", REDUCIBLE, ids=lambda c: f"{c.head}-{c.hidden}-{c.weights}-{c.biases}")
def test_no_reduction_changes_the_optimum(case):
    reduced = presolve(case.problem())
    expected = case.optimum()
    done = set()
    for subset in SUBSETS:
        model = training.build(reduced, reductions=subset)
        if model.reductions not in done:
            done.add(model.reductions)
            solution = Highs().solve(model.milp, Budget(seconds=60))
            assert solution.status == "optimal"
            assert solution.objective * reduced.loss_unit == pytest.approx(expected, abs=1e-6), (subset, case)
            assert audit(model.decode(solution.x), case.problem()).loss == pytest.approx(expected, abs=1e-9)


def test_only_valid_reductions_are_in_force():
    def active(**settings: Any) -> set[str]:
        return set(built(Problem(X=[[0], [1], [2]], y=settings.pop("y", [0, 1, 0]), **settings)).reductions)

    assert active() == {"output_sign", "neuron_order", "output_side"}
    assert active(hidden_layer_sizes=()) == {"neuron_order", "output_side"}
    assert active(fit_intercept=False) == {"neuron_order", "output_side"}
    assert active(head="argmax") == {"neuron_order"}
    # integer weights keep both sides of every output
    assert active(weights="integer") == {"output_sign", "neuron_order"}
    assert active(head="threshold", y=[0, 1, 2]) == {"neuron_order", "output_side"}
    with pytest.raises(InputError, match="unknown reductions \\['order'\\]"):
        built(Problem(X=[[0], [1]], y=[0, 1]), ("order",))


def test_reductions_restrict_the_program():
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 0])
    network = Network([([[1.0], [1.0]], [-1.5, -0.5]), ([[-1.0, 1.0]], [-0.5])], "threshold", [0, 1])
    plain = built(problem, ())
    x = plain.encode(network)
    np.testing.assert_array_equal(x[plain.layout.weights[1]], [[-1, 1]])
    for reduction in ("output_sign", "neuron_order"):
        reduced = built(problem, (reduction,))
        assert reduced.milp.n_columns == len(x)
        assert reduced.milp.violation(x) > 0.1
        assert reduced.milp.violation(reduced.encode(network)) <= TOLERANCE
    # a point that is wrong by less than the margin is allowed by one program only
    nearly = Network([([[1.0], [1.0]], [-1.5, -0.5]), ([[-1.0, 1.0]], [0.5e-12])], "threshold", [0, 1])
    built(problem, ("output_side",)).encode(nearly)
    with pytest.raises(MarginError):
        plain.encode(nearly)


@pytest.mark.parametrize("case", REDUCIBLE, ids=lambda c: f"{c.head}-{c.hidden}-{c.weights}-{c.biases}")
def test_every_big_m_is_valid_and_not_wasteful(case):
    for reductions in (training.REDUCTIONS, ()):
        milp = training.build(presolve(case.problem()), reductions=reductions).milp
        cond = milp.indicators
        positive, negative = cond.rows.maximum(0), cond.rows.minimum(0)
        most = positive @ milp.upper + negative @ milp.lower
        least = positive @ milp.lower + negative @ milp.upper
        on, off = np.isfinite(cond.lower_on), np.isfinite(cond.upper_off)
        assert np.all(least[on] >= (cond.lower_on - cond.big_m)[on] - 1e-12)
        assert np.all(most[off] <= (cond.upper_off + cond.big_m)[off] + 1e-12)
        assert np.all(cond.big_m <= np.maximum(most, -least) + 3)


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("hidden", ARCHITECTURES, ids=str)
def test_the_size_is_known_before_building(hidden, head, weights):
    rng = np.random.default_rng(6)
    problem = Problem(**data(rng, weights, 3), hidden_layer_sizes=hidden, head=head)
    reduced = presolve(problem)
    milp = training.build(reduced).milp
    actual = milp.with_big_m()[0].nnz
    assert 0.5 * actual <= training.nonzeros(reduced) <= 2 * actual


def test_the_scope_names_the_class_of_networks():
    X, y = [[0.0], [1.5], [2.0]], [0, 1, 0]
    scope = built(Problem(X=X, y=y, hidden_layer_sizes=(3, 2), head="argmax")).scope
    assert "3-2 hidden neurons, argmax head, any real weights" in scope
    scope = built(Problem(X=X, y=y, hidden_layer_sizes=(), weights="integer", weight_bound=3, input_bits=4)).scope
    assert "no hidden neurons" in scope and "{-3..3}" in scope and "4-bit grid" in scope and "margin" not in scope
    assert "no biases" in built(Problem(X=X, y=y, fit_intercept=False)).scope
