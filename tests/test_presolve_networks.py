"""Presolve's way back: networks on raw inputs from layers on reduced ones, and the reverse."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest

import plain
from bdnn import Network, Problem
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer
from bdnn.problem.presolve import presolve

pytestmark = pytest.mark.filterwarnings("error")

HEADS = [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)]


def data(seed, n_classes, m=40):
    """Integers with a common divisor next to a shift, repeated rows, a constant column, rows without weight."""
    rng = np.random.default_rng([seed, n_classes])
    X = np.column_stack([rng.integers(-2, 3, (m, 2)) * 6.0 + 1e7, np.full(m, 9.0), rng.integers(0, 3, m) * 3.0])
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, m - n_classes)])
    weight = rng.integers(0, 5, m).astype(float)
    weight[:n_classes] = 1.0
    return {"X": X, "y": y, "sample_weight": weight}


def layers_for(reduced, rng, bound=None):
    """Random layers on reduced inputs."""
    layers, width = [], reduced.X.shape[1]
    for d in reduced.problem.widths:
        if bound is None:
            layers.append(Layer(rng.uniform(-1, 1, (d, width)), rng.uniform(-1, 1, d)))
        else:
            W, b = rng.integers(-bound, bound + 1, (d, width)), rng.integers(-4, 5, d)
            layers.append(Layer(W.astype(float), b.astype(float)))
        if not reduced.problem.fit_intercept:
            layers[-1].bias[:] = 0.0
        width = d
    return layers


def smallest_distance(layers, points, head):
    """Smallest |pre-activation|, or difference of outputs for an argmax, over all points and layers."""
    signal, least = points, np.inf
    for k, (W, b) in enumerate(layers):
        values = signal @ W.T + b
        if k == len(layers) - 1 and head == "argmax":
            pairs = itertools.combinations(values.T, 2)
            return min(least, *(float(np.abs(a - c).min()) for a, c in pairs))
        least = min(least, float(np.abs(values).min()))
        signal = (values >= 0).astype(float)
    return least


def same_behavior(network, layers, reduced):
    """The network on raw rows fires and predicts as the layers do on the reduced rows."""
    problem = reduced.problem
    X = problem.X if reduced.grid is None else reduced.grid.quantize(problem.X)
    points = ((X - reduced.center) / reduced.scale)[:, reduced.kept]
    count = points[problem.sample_weight > 0]
    _, fired, predicted = plain.evaluate(network, problem.X[problem.sample_weight > 0])
    for x, pattern, label in zip(count.tolist(), fired, predicted, strict=True):
        values, expected = plain.forward(layers, x)
        if problem.head == "argmax":
            assert label == plain.lowest_argmax(values)
            pattern, expected = pattern[:-1], expected[:-1]
        assert pattern == expected


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)])
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_integer_round_trip_gives_the_same_numbers(head, n_classes, hidden, biases):
    problem = Problem(
        **data(0, n_classes),
        head=head,
        hidden_layer_sizes=hidden,
        weights="integer",
        weight_bound=3,
        fit_intercept=biases,
    )
    reduced, rng = presolve(problem), np.random.default_rng(1)
    for _ in range(10):
        layers = layers_for(reduced, rng, bound=3)
        network = reduced.to_network(layers)
        assert network.is_integer
        same_behavior(network, layers, reduced)
        back = reduced.to_layers(network)
        for (W, b), (V, c) in zip(layers, back, strict=True):
            assert np.array_equal(W, V) and np.array_equal(b, c)
        assert reduced.to_network(back) == network


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)])
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_any_integer_network_behaves_the_same_on_reduced_inputs(head, n_classes, hidden, biases):
    settings = {"head": head, "hidden_layer_sizes": hidden, "weights": "integer", "weight_bound": 3}
    # shifted less than in `data`, so that the random biases below matter
    points = data(2, n_classes)
    points["X"] = points["X"] - np.array([1e7 - 1, 1e7 + 2, 0, 0])
    problem = Problem(**points, **settings, fit_intercept=biases)
    reduced, rng = presolve(problem), np.random.default_rng(3)
    used = [0, 1, 3] if biases else [0, 1, 2, 3]
    assert reduced.kept.tolist() == used
    for _ in range(12):
        network = plain.random_network(rng, 4, hidden, range(n_classes), head, integer=True)
        layers = [(W, b * rng.integers(0, 9) * biases) for W, b in network.layers]
        network = Network(layers, head=head, classes=range(n_classes))
        same_behavior(network, reduced.to_layers(network), reduced)


def test_argmax_of_integer_inputs_with_a_common_divisor_keeps_its_optimum():
    points = np.array([[0, 1], [0, 0], [1, 1], [1, 0], [-1, 1], [-1, 1], [0, 1], [-1, -1], [-1, 1]])
    y = np.array([0, 2, 0, 1, 2, 1, 1, 0, 1])
    weights = np.array(list(itertools.product((-1, 0, 1), repeat=6))).reshape(-1, 3, 2)

    def fewest_errors(X, reach):
        scores = np.einsum("wcj,mj->wmc", weights, X)
        biases = itertools.product((0,), range(-reach, reach + 1), range(-reach, reach + 1))
        return min(int(((scores + b).argmax(axis=2) != y).sum(axis=1).min()) for b in biases)

    # the scores of neighbors differ by 2 on the raw inputs, and ties there can be broken in any order
    assert (fewest_errors(2 * points, 9), fewest_errors(points, 5)) == (3, 4)
    problem = Problem(X=2 * points, y=y, weights="integer", head="argmax", hidden_layer_sizes=())
    reduced = presolve(problem)
    errors = 0.0
    for b in itertools.product((0,), range(-9, 10), range(-9, 10)):
        winners = (np.einsum("wcj,mj->wmc", weights, reduced.X) + b).argmax(axis=2)
        loss = reduced.class_weight.sum() - reduced.class_weight[np.arange(len(reduced.X)), winners].sum(axis=1)
        errors = min(errors or np.inf, float(loss.min()))
    assert errors + reduced.constant == 3


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)])
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_continuous_round_trip(head, n_classes, hidden, biases):
    problem = Problem(**data(4, n_classes), head=head, hidden_layer_sizes=hidden, fit_intercept=biases)
    reduced, rng, tried = presolve(problem), np.random.default_rng(5), 0
    for _ in range(15):
        layers = layers_for(reduced, rng)
        if smallest_distance(layers, reduced.X, head) < 1e-6:
            continue
        tried += 1
        network = reduced.to_network(layers)
        same_behavior(network, layers, reduced)
        back = reduced.to_layers(network)
        for (W, b), (V, c) in zip(layers, back, strict=True):
            assert V == pytest.approx(W, rel=1e-14)
            assert c == pytest.approx(b, abs=1e-8)
        again = reduced.to_network(back)
        assert np.array_equal(again.predict(problem.X), network.predict(problem.X))
    assert tried >= 3


@pytest.mark.parametrize("seed", range(3))
def test_centring_is_folded_with_one_rounding(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 5)) * 10.0 ** rng.integers(-6, 7, 5) + rng.choice([0.0, 1e7, -1e-3], 5)
    X[:, 2] = 0.1
    reduced = presolve(Problem(X=X, y=np.arange(20) % 2, hidden_layer_sizes=(4,)))
    layers = layers_for(reduced, rng)
    network = reduced.to_network(layers)
    W, b = network.layers[0]
    assert reduced.kept.tolist() == [0, 1, 3, 4]
    assert W[:, 2].tolist() == [0.0] * 4
    assert np.array_equal(W[:, reduced.kept], layers[0].weights / reduced.scale[reduced.kept])
    for row, folded, bias in zip(W.tolist(), b.tolist(), layers[0].bias.tolist(), strict=True):
        terms = (Fraction(w) * Fraction(c) for w, c in zip(row, reduced.center.tolist(), strict=True))
        assert folded == float(Fraction(bias) - sum(terms))
    for row, unfolded, bias in zip(W.tolist(), reduced.to_layers(network)[0].bias.tolist(), b.tolist(), strict=True):
        terms = (Fraction(w) * Fraction(c) for w, c in zip(row, reduced.center.tolist(), strict=True))
        assert unfolded == float(Fraction(bias) + sum(terms))
    assert np.array_equal(network.layers[1].weights, layers[1].weights)


def test_weights_on_constant_columns_are_folded_into_the_bias():
    reduced = presolve(Problem(X=[[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]], y=[0, 1, 1], hidden_layer_sizes=()))
    network = Network([([[2.0, 3.0]], [-16.0])], head="threshold", classes=[0, 1])
    ((W, b),) = reduced.to_layers(network)
    assert (W.tolist(), b.tolist()) == ([[2.0]], [2.0 * 2 + 3.0 * 5 - 16.0])


def test_no_negative_zeros_and_names_and_grid_travel():
    data = {"X": [[0.5, 2.0], [1.5, 4.0]], "y": ["n", "y"], "feature_names": ["u", "v"], "hidden_layer_sizes": ()}
    reduced = presolve(Problem(**data))
    network = reduced.to_network([Layer(np.array([[-0.0, 1.0]]), np.array([-0.0]))])
    assert not any(np.any(np.signbit(a[a == 0])) for layer in network.layers for a in layer)
    assert (network.feature_names, network.classes.tolist()) == (("u", "v"), ["n", "y"])
    quantized = presolve(Problem(**data, weights="integer", input_bits=4))
    network = quantized.to_network([Layer(np.array([[1.0, -1.0]]), np.array([0.0]))])
    assert network.grid is quantized.grid
    assert network.grid.bits == 4


@pytest.mark.parametrize("bits", [2, 8])
def test_quantised_round_trip(bits):
    rng = np.random.default_rng(bits)
    X = rng.normal(size=(40, 3)) * np.array([1.0, 1e6, 1.0]) + np.array([0.0, 0.0, 1e7])
    settings = {"weights": "integer", "weight_bound": 2, "input_bits": bits, "hidden_layer_sizes": (2,)}
    reduced = presolve(Problem(X=X, y=rng.integers(0, 2, 40), **settings))
    for _ in range(20):
        layers = layers_for(reduced, rng, bound=2)
        network = reduced.to_network(layers)
        same_behavior(network, layers, reduced)
        assert reduced.to_network(reduced.to_layers(network)) == network


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_reduction_keeps_the_loss_of_every_network(weights, head, n_classes):
    problem = Problem(**data(6, n_classes), head=head, hidden_layer_sizes=(2,), weights=weights, weight_bound=3)
    reduced, rng, tried = presolve(problem), np.random.default_rng(7), 0
    for _ in range(25):
        layers = layers_for(reduced, rng, bound=3 if weights == "integer" else None)
        if weights == "continuous" and smallest_distance(layers, reduced.X, head) < 1e-6:
            continue
        tried += 1
        network = reduced.to_network(layers)
        outputs, fired, _ = plain.evaluate(network, problem.X)
        raw = sum(
            w * plain.point_loss(head, values, pattern[-1], code)
            for w, values, pattern, code in zip(problem.sample_weight, outputs, fired, problem.codes, strict=True)
        )
        small = reduced.constant
        for x, label_weights in zip(reduced.X.tolist(), reduced.class_weight.tolist(), strict=True):
            values, pattern = plain.forward(layers, x)
            small += sum(w * plain.point_loss(head, values, pattern[-1], c) for c, w in enumerate(label_weights))
        assert small == raw
        assert raw >= reduced.irreducible
    assert tried >= 3


def test_networks_of_another_class_are_refused():
    problem = Problem(X=[[0.0, 2.0], [1.0, 0.0], [2.0, 1.0]], y=[0, 1, 1], hidden_layer_sizes=(2,), weights="integer")
    reduced = presolve(problem)
    hidden, out = (np.ones((2, 2), int), np.zeros(2, int)), (np.ones((1, 2), int), np.zeros(1, int))
    good = Network([hidden, out], head="threshold", classes=[0, 1])
    assert reduced.to_layers(good) is not None
    both = (np.ones((2, 2), int), np.zeros(2, int))
    grid = InputGrid(np.zeros(2), np.ones(2), 8)
    for other in (
        Network([out], head="threshold", classes=[0, 1]),
        Network([(np.ones((3, 2), int), np.zeros(3, int)), (np.ones((1, 3), int), [0])], "threshold", [0, 1]),
        Network([(np.ones((2, 3), int), np.zeros(2, int)), out], head="threshold", classes=[0, 1]),
        Network([hidden, both], head="argmax", classes=[0, 1]),
        Network([hidden, out], head="threshold", classes=[1, 0]),
        Network([hidden, out], head="threshold", classes=["a", "b"]),
        Network([hidden, out], head="threshold", classes=[0, 1], grid=grid),
        Network([(hidden[0] * 2, hidden[1]), out], head="threshold", classes=[0, 1]),
        Network([(W * 1.0, b * 1.0) for W, b in (hidden, out)], head="threshold", classes=[0, 1]),
    ):
        assert reduced.to_layers(other) is None
    no_biases = presolve(dataclasses.replace(problem, fit_intercept=False))
    assert no_biases.to_layers(good) is not None
    biased = Network([hidden, (out[0], [1])], head="threshold", classes=[0, 1])
    assert no_biases.to_layers(biased) is None
    assert reduced.to_layers(biased) is not None


def test_networks_on_another_grid_are_refused():
    problem = Problem(X=[[0.5, 2.0], [1.5, 0.0]], y=[0, 1], hidden_layer_sizes=(), weights="integer")
    reduced = presolve(problem)
    network = reduced.to_network([Layer(np.array([[1.0, -1.0]]), np.array([0.0]))])
    assert reduced.to_layers(network) is not None
    grid = network.grid
    for other in (
        None,
        InputGrid(grid.offset, grid.step, 7),
        InputGrid(grid.offset + 0.5, grid.step, 8),
        InputGrid(grid.offset, grid.step * 2, 8),
    ):
        assert reduced.to_layers(dataclasses.replace(network, grid=other)) is None


def test_networks_that_overflow_on_reduced_inputs_are_refused():
    X = [[1e150, 1.0], [7e149, 0.0], [1e150, 2.0]]
    reduced = presolve(Problem(X=X, y=[0, 1, 1], hidden_layer_sizes=()))
    for weights in ([[1e300, 1.0]], [[1e200, -1e-3]]):
        assert reduced.to_layers(Network([(weights, [0.0])], head="threshold", classes=[0, 1])) is None
    centered = presolve(Problem(X=[[-1e150], [0.0], [1e150]], y=[0, 1, 1], hidden_layer_sizes=()))
    assert centered.to_layers(Network([([[1e300]], [0.0])], head="threshold", classes=[0, 1])) is None
    assert centered.to_layers(Network([([[1e158]], [0.0])], head="threshold", classes=[0, 1]))[0].weights[0, 0] == 1e308
