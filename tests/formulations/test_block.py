"""Programs of one block of neurons."""

import itertools

import numpy as np
import pytest

from bdnn import Budget, Network, Problem, Status
from bdnn.backends.highs import Highs
from bdnn.errors import MarginError
from bdnn.formulations import block
from bdnn.methods.starts import random_network
from bdnn.network.network import Layer
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve

ARCHITECTURES = [
    dict(hidden_layer_sizes=(2,)),
    dict(hidden_layer_sizes=(2, 3)),
    dict(hidden_layer_sizes=(3, 2), weights="integer"),
    dict(hidden_layer_sizes=(2,), classes=3, head="threshold"),
    dict(hidden_layer_sizes=(2, 2), classes=3, head="argmax"),
    dict(hidden_layer_sizes=(2,), classes=3, head="argmax", weights="integer", weight_bound=3),
    dict(hidden_layer_sizes=(2, 2), classes=3, head="argmax", fit_intercept=False),
    dict(hidden_layer_sizes=(2, 2), fit_intercept=False),
]


def problem_of(seed, points=12, **settings):
    rng = np.random.default_rng(seed)
    classes = settings.pop("classes", 2)
    X, y = rng.integers(-2, 3, size=(points, 3)).astype(float), rng.integers(0, classes, size=points)
    return Problem(X=X, y=y, sample_weight=rng.integers(1, 4, size=points), **settings)


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=str)
def test_encoded_networks_are_feasible_with_their_loss_and_decode_to_themselves(settings):
    problem = problem_of(0, **settings)
    reduced, rng = presolve(problem), np.random.default_rng(1)
    encoded = 0
    for _ in range(10):
        network = random_network(reduced, rng)
        loss = audit(network, problem).loss
        for layer, width in enumerate(problem.widths):
            for neurons in (None, [0], [width - 1]):
                model = block.build(reduced, network, layer, neurons)
                try:
                    x = model.encode(network)
                except MarginError:
                    continue  # a tie of continuous weights
                encoded += 1
                assert model.milp.objective(x) * reduced.loss_unit == pytest.approx(loss)
                again = model.decode(x)
                for before, after in zip(network.activations(problem.X), again.activations(problem.X), strict=True):
                    np.testing.assert_array_equal(before, after)
                if problem.head == "argmax":  # scaling single outputs of a one-hot head may change their order
                    np.testing.assert_array_equal(network.predict(problem.X), again.predict(problem.X))
    assert encoded > 10


def test_a_block_of_ternary_weights_against_brute_force():
    problem = problem_of(2, points=6, hidden_layer_sizes=(2,), weights="integer")
    reduced = presolve(problem)
    for seed in range(5):
        network = random_network(reduced, np.random.default_rng(seed))
        for layer, neuron in ((0, 0), (0, 1), (1, 0)):
            inputs = problem.X.shape[1] if layer == 0 else 2
            best = np.inf
            for w in itertools.product((-1, 0, 1), repeat=inputs):
                for b in range(-7, 7):
                    layers = [Layer(W.copy(), c.copy()) for W, c in network.layers]
                    layers[layer].weights[neuron] = w
                    layers[layer].bias[neuron] = b
                    best = min(best, audit(Network(tuple(layers), "threshold", network.classes), problem).loss)
            solution = Highs().solve(block.build(reduced, network, layer, [neuron]).milp, Budget())
            assert solution.status == Status.OPTIMAL
            assert solution.objective * reduced.loss_unit == pytest.approx(best)


def test_points_with_equal_inputs_of_a_deep_layer_are_one():
    problem = problem_of(3, points=200, hidden_layer_sizes=(2,))
    network = random_network(presolve(problem), np.random.default_rng(0))
    assert len(block.build(presolve(problem), network, 1).signal) <= 4
    assert block.build(presolve(problem), network, 1).milp.n_columns < 10
    assert block.nonzeros(presolve(problem), 1, None) < 50
