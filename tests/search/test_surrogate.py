"""The surrogate against a plain re-derivation in double precision, and its gradients against finite differences."""

import copy

import numpy as np
import pytest

from bdnn import Network
from bdnn.search.starts import Surrogate, shuffled


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def targets(class_weight, n_outputs):
    """Weight for each output to fire, and the weight of each point."""
    return class_weight[:, 1:] if n_outputs == 1 else class_weight, class_weight.sum(axis=1, keepdims=True)


def smooth_loss(out, class_weight, argmax):
    """Cross-entropy, on average over the points."""
    target, total = targets(class_weight, out.shape[1])
    if argmax:
        return -(target * np.log(softmax(out))).sum() / len(out)
    return -(target * np.log(sigmoid(out)) + (total - target) * np.log(sigmoid(-out))).sum() / len(out)


def gradient(layers, Z, class_weight, argmax):
    """Of the loss, where thresholds pass gradients at pre-activations of at most 1."""
    signals, sums = [Z], []
    for W, b in layers:
        sums.append(signals[-1] @ W.T + b)
        signals.append((sums[-1] >= 0).astype(float))
    target, total = targets(class_weight, len(layers[-1][1]))
    delta = (total * (softmax(sums[-1]) if argmax else sigmoid(sums[-1])) - target) / len(Z)
    found = []
    for k in reversed(range(len(layers))):
        found.insert(0, (delta.T @ signals[k], delta.sum(axis=0)))
        if k:
            delta = (delta @ layers[k][0]) * (np.abs(sums[k - 1]) <= 1)
    return found


def flat(layers):
    return np.concatenate([a.ravel() for pair in layers for a in pair])


class Adam:
    """Steps of Kingma and Ba, algorithm 1, with their constants."""

    def __init__(self, size):
        self.m, self.v, self.t = np.zeros(size), np.zeros(size), 0

    def step(self, values, g, rate):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        return values - rate * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


def unflat(values, like):
    found, at = [], 0
    for W, b in like:
        found.append((values[at : at + W.size].reshape(W.shape), values[at + W.size : at + W.size + b.size]))
        at += W.size + b.size
    return found


def doubles(network):
    return [(W.astype(float), b.astype(float)) for W, b in network.layers]


def sample(seed, m=60, n=3, hidden=(4,), n_classes=2, argmax=False):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(m, n)).astype(np.float32)
    class_weight = np.zeros((m, n_classes), dtype=np.float32)
    class_weight[np.arange(m), rng.integers(0, n_classes, m)] = rng.random(m) + 0.5
    class_weight *= np.float32(m) / class_weight.sum()
    widths = [*hidden, 1 if n_classes == 2 and not argmax else n_classes]
    return Z, class_weight, Surrogate(Z, class_weight, widths, argmax, rng), rng


KINDS = [((), 2, False), ((), 3, True), ((4,), 2, False), ((4,), 3, False), ((5, 3), 4, True), ((3, 3, 2), 2, True)]


@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_epochs_are_steps_of_adam_along_the_gradient(hidden, n_classes, argmax):
    Z, class_weight, network, rng = sample(1, hidden=hidden, n_classes=n_classes, argmax=argmax)
    layers, order = doubles(network), copy.deepcopy(rng)
    adam, rates, batch = Adam(network.values.size), (0.01, 0.02, 0.003), 25
    for rate in rates:
        network.epoch(rate, batch)
        shuffled = order.permutation(len(Z))
        for start in range(0, len(Z), batch):
            some = shuffled[start : start + batch]
            g = flat(gradient(layers, Z[some].astype(float), class_weight[some].astype(float), argmax))
            layers = unflat(adam.step(flat(layers), g, rate), layers)
    np.testing.assert_allclose(network.values, flat(layers), atol=1e-5)
    np.testing.assert_array_equal(network.values, flat(network.layers))


@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_steps_in_double_precision_are_those_of_the_twin(hidden, n_classes, argmax):
    Z, class_weight, single, rng = sample(8, m=300, hidden=hidden, n_classes=n_classes, argmax=argmax)
    Z, class_weight = Z.astype(float), class_weight.astype(float)
    network = Surrogate(Z, class_weight, [len(b) for _, b in single.layers], argmax, rng)
    layers, order, adam, batch = doubles(network), copy.deepcopy(rng), Adam(network.values.size), 64
    for rate in (0.01, 0.02):
        network.epoch(rate, batch)
        for some in np.split(order.permutation(len(Z)), range(batch, len(Z), batch)):
            layers = unflat(
                adam.step(flat(layers), flat(gradient(layers, Z[some], class_weight[some], argmax)), rate), layers
            )
    np.testing.assert_allclose(network.values, flat(layers), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("m", "batch"), [(1, 64), (999, 64), (1024, 64), (5001, 256), (5003, 64)])
def test_orders_have_each_point_once(m, batch):
    order = shuffled(np.random.default_rng(9), m, batch)
    assert sorted(order) == list(range(m))
    if m >= 16 * batch:  # groups of eight, which themselves are shuffled
        assert np.mean(np.diff(order) == 1) > 0.8 and np.mean(np.diff(order[::8]) == 8) < 0.2


def test_slices_do_not_change_what_is_found(monkeypatch):
    found = []
    for seconds in (0.0, 1e-4, 1e9):
        monkeypatch.setattr("bdnn.search.starts._SLICE", seconds)
        _, _, network, _ = sample(10, m=3000)
        pauses = sum(1 for _ in range(3) for _ in network.slices(0.01, 64))
        found.append((pauses, network.values.tolist()))
    assert found[0][1] == found[1][1] == found[2][1]
    assert found[0][0] > found[2][0]


@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_gradients_of_the_outputs_are_finite_differences(hidden, n_classes, argmax):
    """Of the twin above, in the last layer, where nothing crosses a threshold."""
    Z, class_weight, network, _ = sample(2, hidden=hidden, n_classes=n_classes, argmax=argmax)
    layers, weight = doubles(network), class_weight.astype(float)
    signal = Z.astype(float)
    for W, b in layers[:-1]:
        signal = (signal @ W.T + b >= 0).astype(float)
    (W, b), h = layers[-1], 1e-6
    for values, found in zip((W, b), gradient(layers, Z.astype(float), weight, argmax)[-1], strict=True):
        for at in np.ndindex(values.shape):
            old, losses = values[at], []
            for step in (h, -h):
                values[at] = old + step
                losses.append(smooth_loss(signal @ W.T + b, weight, argmax))
            values[at] = old
            assert found[at] == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-7)


@pytest.mark.parametrize(("n_classes", "argmax"), [(2, False), (3, True), (3, False)])
def test_gradients_below_a_threshold_are_those_of_a_ramp(n_classes, argmax):
    """What a hidden neuron fires grows by its pre-activation if that is at most 1, in finite differences."""
    Z, class_weight, network, _ = sample(3, n_classes=n_classes, argmax=argmax)
    (W, b), (V, c) = doubles(network)
    weight, h = class_weight.astype(float), 1e-6
    a = Z @ W.T + b
    fired, near = (a >= 0).astype(float), np.abs(a) <= 1
    (gW, gb), _ = gradient([(W, b), (V, c)], Z.astype(float), weight, argmax)
    for j in range(len(b)):
        for moved, found in ((np.ones(len(Z)), gb[j]), (Z[:, 0].astype(float), gW[j, 0])):
            losses = []
            for step in (h, -h):
                u = fired.copy()
                u[:, j] += step * moved * near[:, j]
                losses.append(smooth_loss(u @ V.T + c, weight, argmax))
            assert found == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-7)


@pytest.mark.parametrize(("hidden", "n_classes", "argmax"), KINDS, ids=str)
def test_the_loss_is_that_of_the_network(hidden, n_classes, argmax):
    for seed in range(5):
        Z, class_weight, network, _ = sample(seed, m=5000, hidden=hidden, n_classes=n_classes, argmax=argmax)
        network.epoch(0.01, 200)
        same = Network(doubles(network), head="argmax" if argmax else "threshold", classes=range(n_classes))
        expected = sum(
            class_weight[:, c].astype(float) @ same.losses(Z, np.full(len(Z), c))[0] for c in range(n_classes)
        )
        assert network.loss() == pytest.approx(expected, rel=1e-6)


def test_what_is_linear_is_learned():
    rng = np.random.default_rng(4)
    Z = rng.normal(size=(300, 2)).astype(np.float32)
    Z = Z[np.abs(Z @ [1.0, 2.0] - 0.3) > 0.3]
    class_weight = np.eye(2, dtype=np.float32)[(Z @ [1.0, 2.0] > 0.3).astype(int)]
    for widths, argmax in (([1], False), ([2], True), ([4, 1], False)):
        network = Surrogate(Z, class_weight, widths, argmax, np.random.default_rng(5))
        first = network.loss()
        for _ in range(150):
            network.epoch(0.02, 32)
        assert network.loss() <= 2 < first


def test_weights_without_a_gradient_stay_and_no_number_is_denormal():
    Z, _, network, _ = sample(6, n=3)
    Z[:, 2] = 0.0
    before = network.layers[0][0][:, 2].copy()
    for _ in range(300):
        network.epoch(0.01, 64)
    np.testing.assert_allclose(network.layers[0][0][:, 2], before, atol=1e-6)
    assert np.all(np.isfinite(network.values))


def test_points_without_columns():
    class_weight = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    network = Surrogate(np.zeros((3, 0), np.float32), class_weight, [2, 1], False, np.random.default_rng(7))
    for _ in range(200):
        network.epoch(0.05, 2)
    assert network.loss() == 1.0
