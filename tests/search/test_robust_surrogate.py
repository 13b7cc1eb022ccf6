"""The surrogate of the robust loss: its loss against the exact one, its gradients against differences."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bdnn import BDNNClassifier, Network
from bdnn.network.intervals import robust_losses
from bdnn.search.interval_starts import RobustSurrogate

NORMS = ["inf", "1", "2"]


def surrogate(norm, widths, argmax, seed=0, m=60, n=5, classes=2):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(m, n)).astype(np.float32)
    codes = rng.integers(0, classes, m)
    weight = np.eye(classes, dtype=np.float32)[codes]
    radius = rng.uniform(0.0, 0.3, n)
    return RobustSurrogate(Z, radius, norm, weight, widths, argmax, rng), Z, codes, radius


def surely_right(layers, z, code, radius, norm):
    """Whether the lower output of a class is above the upper ones of all others, neuron by neuron."""
    low = high = z.astype(float)
    for k, (W, b) in enumerate(layers):
        ranges = []
        for w, c in zip(W, b, strict=True):
            if k == 0:
                # the dual norm of the scaled weights
                reach = np.linalg.norm(w * radius.astype(np.float32), {"inf": 1, "1": np.inf, "2": 2}[norm])
                ranges.append((w @ low + c - reach, w @ low + c + reach))
            else:
                least = sum(v * (low[j] if v > 0 else high[j]) for j, v in enumerate(w))
                most = sum(v * (high[j] if v > 0 else low[j]) for j, v in enumerate(w))
                ranges.append((least + c, most + c))
        lower, upper = np.array(ranges).T
        low, high = (lower >= 0).astype(float), (upper >= 0).astype(float)
    return all(lower[code] > upper[other] for other in range(len(lower)) if other != code)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("widths", "argmax", "classes"), [((3, 1), False, 2), ((4, 3, 1), False, 2), ((4, 3), True, 3), ((4, 3), False, 3)]
)
def test_loss_is_the_three_valued_one(norm, widths, argmax, classes):
    network, Z, codes, radius = surrogate(norm, widths, argmax, classes=classes)
    head = "argmax" if argmax else "threshold"
    same = Network(
        [(W.astype(float), b.astype(float)) for W, b in network.layers], head=head, classes=list(range(classes))
    )
    # single and double precision agree unless a sum is nearly 0, which no seed here gives
    exact, _ = robust_losses(same, Z.astype(float), codes, radius.astype(np.float32).astype(float), norm)
    if argmax:
        # lower against upper output, which is a little coarser than their difference
        wrong = sum(not surely_right(same.layers, z, code, radius, norm) for z, code in zip(Z, codes, strict=True))
        assert network.loss() == wrong
        assert exact.sum() <= wrong < len(Z)
    else:
        assert network.loss() == exact.sum()


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_of_the_reach(norm):
    network = surrogate(norm, (3, 1), False)[0]
    W = network.layers[0][0].astype(np.float64)
    reach, slope = network._reach(W)
    step = 1e-6
    for row, column in np.ndindex(W.shape):
        moved = W.copy()
        moved[row, column] += step
        assert (network._reach(moved)[0][row] - reach[row]) / step == pytest.approx(slope[row, column], abs=1e-4)


@pytest.mark.parametrize(("argmax", "outputs"), [(False, 1), (False, 3), (True, 3)])
def test_slopes_of_the_outputs(argmax, outputs):
    rng = np.random.default_rng(3)
    network = surrogate("inf", (4, outputs), argmax, classes=max(outputs, 2))[0]
    low = rng.normal(size=(6, outputs))
    high = low + rng.uniform(0, 1, low.shape)
    weight = rng.uniform(0, 1, (6, max(outputs, 2))).astype(np.float32)

    def mean_loss(low, high):
        if argmax:
            total = 0.0
            for c in range(outputs):
                worst = high.copy()
                worst[:, c] = low[:, c]
                total += float((weight[:, c] * (np.log(np.exp(worst).sum(axis=1)) - worst[:, c])).sum())
            return total / len(low)
        fire, rest = network._targets(weight)
        return float((fire * np.log1p(np.exp(-low)) + rest * np.log1p(np.exp(high))).sum()) / len(low)

    below, above = network._slopes(low, high, weight)
    for place in np.ndindex(low.shape):
        for side, slope in ((low, below), (high, above)):
            moved = side.copy()
            moved[place] += 1e-6
            pair = (moved, high) if side is low else (low, moved)
            change = (mean_loss(*pair) - mean_loss(low, high)) / 1e-6
            assert change == pytest.approx(slope[place], abs=1e-4)


def test_many_features():
    """Where growing the radius alone leaves 26 of 361 points, as every neuron soon is open at every point."""
    X, y = load_digits(return_X_y=True)
    few = np.isin(y, (4, 9))
    larger = np.stack([np.kron(x.reshape(8, 8), np.ones((3, 3))).ravel() for x in X[few]])
    larger += np.random.default_rng(0).normal(scale=2.0, size=larger.shape)
    clf = BDNNClassifier((8,), method="local_search", robust_radius=2.0, time_limit=3, random_state=0)
    clf.fit(larger, y[few])
    assert clf.result_.objective <= 10
    assert clf.certify(larger[:50], y[few][:50], radius=2.0).robust_accuracy > 0.9


def test_time_ends_training():
    network = surrogate("inf", (3, 1), False)[0]
    before = network.loss()
    assert sum(1 for _ in network.train(10**6, 0.01, 16, 0.3)) > 0
    assert network.loss() <= before
