"""The surrogate of integer weights against a plain twin, and what it is for: margins that hold on other points."""

import copy

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bdnn import Budget, Network, Problem
from bdnn.methods.local_search import LocalSearch
from bdnn.problem.presolve import presolve
from bdnn.search.engine import Search
from bdnn.search.points import points
from bdnn.search.smooth import shared_spread
from bdnn.search.starts import Surrogate
from search.test_surrogate import KINDS, Adam, doubles, flat, gradient, unflat


def rounded(layers, bound, argmax):
    """Layers of factor times integers whose biases are those of signals that are 0 or 1, and the factors."""
    found, factors = [], []
    for k, (W, b) in enumerate(layers):
        last, spread = k == len(layers) - 1, 1.0 if k == 0 else 0.5
        step = 1.4 * np.abs(W).mean(axis=1, keepdims=True) / bound**0.6
        Q = np.clip(np.rint(W / step), -bound, bound)
        squares = (Q**2).sum(axis=1)
        size = np.sqrt(np.maximum(squares, 1))
        if last and argmax:
            size = np.full(len(b), np.sqrt(max(squares.mean(), 1)))
        f = (1.6 if last else 1.0) / (spread * size)
        bias = b - (0.5 * f * Q.sum(axis=1) if k else 0)
        if k and last and argmax:
            bias = f * np.rint(bias / f)
        found.append((f[:, None] * Q, bias))
        factors.append(f)
    return found, factors


def sample(seed, bound, hidden, n_classes, argmax, m=60, n=3):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(m, n))
    class_weight = np.zeros((m, n_classes))
    class_weight[np.arange(m), rng.integers(0, n_classes, m)] = rng.random(m) + 0.5
    class_weight *= m / class_weight.sum()
    widths = [*hidden, 1 if n_classes == 2 and not argmax else n_classes]
    # doubles, so that both round alike
    return Z, class_weight, Surrogate(Z, class_weight, widths, argmax, rng, bound), rng


@pytest.mark.parametrize("bound", [1, 3])
@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_steps_move_the_weights_behind_the_rounded_ones(hidden, n_classes, argmax, bound):
    Z, class_weight, network, rng = sample(1, bound, hidden, n_classes, argmax)
    layers, order, adam, batch = doubles(network), copy.deepcopy(rng), Adam(network.values.size), 25
    for rate in (0.01, 0.02, 0.003):
        network.epoch(rate, batch)
        for some in np.split(order.permutation(len(Z)), range(batch, len(Z), batch)):
            found = gradient(rounded(layers, bound, argmax)[0], Z[some], class_weight[some], argmax)
            # signals are centered, but for the inputs
            moved = [(gW - 0.5 * gb[:, None] if k else gW, gb) for k, (gW, gb) in enumerate(found)]
            layers = unflat(adam.step(flat(layers), flat(moved), rate), layers)
    np.testing.assert_allclose(network.values, flat(layers), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bound", [1, 2, 7])
@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_the_integers_are_the_rounded_network(hidden, n_classes, argmax, bound):
    Z, class_weight, network, _ = sample(2, bound, hidden, n_classes, argmax, m=500)
    for _ in range(3):
        network.epoch(0.02, 50)
    expected, factors = rounded(doubles(network), bound, argmax)
    integers = network.integers()
    for (W, b), (V, c), f in zip(integers, expected, factors, strict=True):
        assert np.array_equal(W, np.rint(W)) and np.abs(W).max() <= bound
        np.testing.assert_allclose(W * f[:, None], V, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(b * f, c, rtol=1e-12, atol=1e-12)
    same = Network(integers, head="argmax" if argmax else "threshold", classes=range(n_classes))
    losses = [same.losses(Z, np.full(len(Z), c))[0] @ class_weight[:, c] for c in range(n_classes)]
    if not (argmax and hidden):  # there, sums of rounded products break ties of integers
        assert network.loss() == pytest.approx(sum(losses), rel=1e-9)


def test_weights_stay_in_the_span_of_the_points():
    """Where no point differs there is nothing to learn, so nothing may be left of the random start."""
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 30))
    network = Surrogate(Z, np.eye(2)[rng.integers(0, 2, 20)], [4, 1], False, rng, 1)
    W, _ = network.layers[0]
    basis = np.linalg.svd(Z, full_matrices=False)[2][:2]
    np.testing.assert_allclose(W @ basis.T @ basis, W, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (30,)])
def test_ternary_networks_of_few_points_hold_on_others(hidden):
    """Ten images of each digit; rounding after training, which keeps no margin, gets 46 to 73 % of the others."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(4)
    few = np.concatenate([rng.choice(np.flatnonzero(y == c), 10, replace=False) for c in range(10)])
    others = np.setdiff1d(np.arange(len(y)), few)
    problem = Problem(X=X[few], y=y[few], hidden_layer_sizes=hidden, weights="integer")
    result = LocalSearch()(problem, Budget(rounds=2, seconds=60))
    assert result.objective == 0
    assert np.abs(result.network.layers[0].weights).max() == 1
    assert np.mean(result.network.predict(X[others]) == y[others]) > 0.8


def test_features_of_very_different_size_are_rounded_afterwards():
    """A large feature that says nothing would drown a small one that says all."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.integers(0, 10**6, (400, 2)), rng.integers(-3, 4, (400, 2))])
    y = X[:, 2] - X[:, 3] >= 1
    search = Search(points(presolve(Problem(X=X, y=y, hidden_layer_sizes=(), weights="integer"))), 0)
    list(search.smooth(Budget().start()))
    assert search.best_network().layers[0].weights.tolist() == [[0, 0, 1, -1]]


def test_the_shared_spread_is_that_of_random_combinations():
    rng = np.random.default_rng(6)
    Z = (rng.normal(size=(200, 3)) @ rng.normal(size=(3, 40))).astype(np.float32)
    weights = rng.normal(size=(20_000, 200)) @ Z
    expected = 0.5 * np.sqrt(np.mean((weights @ Z.T) ** 2) / np.mean((weights**2).sum(axis=1)))
    assert shared_spread(Z) == pytest.approx(expected, rel=0.05)
    assert shared_spread(np.zeros((3, 2), np.float32)) == 1
