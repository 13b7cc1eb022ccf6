"""Exact robust losses."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from bdnn import Network
from bdnn.network.grid import InputGrid
from bdnn.network.intervals import dual_norm, robust_losses

NORMS = ("inf", "1", "2")
HEADS = [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)]


def random_network(rng, widths, head, classes, integer, grid=None):
    n_in, layers = 2, []
    for width in (*widths, 1 if head == "threshold" and classes == 2 else classes):
        draw = (lambda size: rng.integers(-2, 3, size=size)) if integer else (lambda size: rng.normal(size=size))
        layers.append((draw((width, n_in)), draw(width)))
        n_in = width
    return Network(layers, head, list(range(classes)), grid)


def on_ball(rng, norm, count):
    """Points of the unit ball: corners, axes, its surface and its inside."""
    special = {
        "inf": list(itertools.product((-1, 0, 1), repeat=2)),
        "1": [(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)],
        "2": [(1, 0), (-1, 0), (0, 1), (0, -1), (0.6, 0.8), (-0.6, 0.8), (0.6, -0.8), (-0.6, -0.8), (0, 0)],
    }[norm]
    d = rng.normal(size=(count, 2))
    d /= np.linalg.norm(d, ord={"inf": np.inf, "1": 1, "2": 2}[norm], axis=1)[:, None]
    return np.vstack([special, d * (1 - 1e-12), d * rng.uniform(size=(count, 1))])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("head", "classes"), HEADS)
@pytest.mark.parametrize("hidden", [(), (2,), (3, 2)])
@pytest.mark.parametrize("integer", [False, True])
def test_no_perturbation_is_worse(norm, head, classes, hidden, integer):
    rng = np.random.default_rng(len(hidden) + 10 * classes)
    ball = on_ball(rng, norm, 200)
    certified = 0
    for _ in range(6):
        network = random_network(rng, hidden, head, classes, integer)
        radius = rng.choice([0.0, 0.25, 0.5], size=2)
        X, codes = rng.integers(-3, 4, size=(6, 2)).astype(float), rng.integers(0, classes, size=6)
        interval, _ = robust_losses(network, X, codes, radius, norm)
        pattern, _ = robust_losses(network, X, codes, radius, norm, "pattern")
        assert np.all(network.losses(X, codes)[0] <= interval) and np.all(interval <= pattern)
        for i in range(6):
            moved = X[i] + ball * radius
            worst = network.losses(moved, np.full(len(moved), codes[i]))[0].max()
            assert worst <= interval[i]
            certified += interval[i] == 0
    assert certified > 0


@pytest.mark.parametrize("norm", NORMS)
def test_a_single_neuron_is_decided_exactly_on_the_boundary(norm):
    """w = (3, 4), b = 0 and radius 1/4: the reach is 7/4, 1 or 5/4; touching the threshold from above is still on."""
    network = Network([([[3.0, 4.0]], [0.0])], "threshold", [0, 1])
    reach = {"inf": Fraction(7, 4), "1": Fraction(1), "2": Fraction(5, 4)}[norm]
    radius = np.full(2, 0.25)
    hair = 2.0**-45
    for shift in (-hair, 0.0, hair):
        x = np.array([[float(reach) / 3 if norm != "inf" else 0.0, 0.0]])
        if norm == "inf":
            x[0, 1] = float(reach) / 4
        x[0, 1] += shift
        exact = 3 * Fraction(float(x[0, 0])) + 4 * Fraction(float(x[0, 1]))
        on, _ = robust_losses(network, x, np.array([1]), radius, norm)
        off, _ = robust_losses(network, -x, np.array([0]), radius, norm)
        assert bool(on[0]) == (exact < reach)
        # off needs the whole closed ball below the threshold
        assert bool(off[0]) == (exact <= reach)


def test_radius_zero_is_the_nominal_loss():
    rng = np.random.default_rng(0)
    for head, classes in HEADS:
        for hidden in ((), (2,), (2, 2)):
            network = random_network(rng, hidden, head, classes, True)
            X, codes = rng.integers(-3, 4, size=(40, 2)).astype(float), rng.integers(0, classes, size=40)
            for norm in NORMS:
                robust, _ = robust_losses(network, X, codes, np.zeros(2), norm)
                np.testing.assert_array_equal(robust, network.losses(X, codes)[0])


def test_monotone_in_the_radius_and_scaling_commutes():
    rng = np.random.default_rng(1)
    network = random_network(rng, (3,), "threshold", 2, False)
    (W, b), *rest = network.layers
    X, codes = rng.normal(size=(30, 2)), rng.integers(0, 2, size=30)
    scaled = Network([(W / [4.0, 0.5], b), *rest], "threshold", [0, 1])
    for norm in NORMS:
        before = np.zeros(30)
        for r in (0.0, 0.125, 0.25, 0.5, 1.0):
            loss, _ = robust_losses(network, X, codes, np.full(2, r), norm)
            assert np.all(loss >= before)
            before = loss
            same, _ = robust_losses(scaled, X * [4.0, 0.5], codes, r * np.array([4.0, 0.5]), norm)
            np.testing.assert_array_equal(loss, same)


@pytest.mark.parametrize("norm", NORMS)
def test_inputs_on_a_grid_are_perturbed_before_they_are_rounded(norm):
    rng = np.random.default_rng(2)
    grid = InputGrid(np.array([-2.0, 0.0]), np.array([0.25, 1.0]), 4)
    for head, classes in HEADS:
        network = random_network(rng, (2,), head, classes, True, grid)
        X, codes = rng.uniform(-2, 2, size=(20, 2)), rng.integers(0, classes, size=20)
        radius = np.array([0.3, 0.6])
        losses, _ = robust_losses(network, X, codes, radius, norm)
        for i in range(20):
            moved = X[i] + on_ball(rng, norm, 300) * radius
            assert network.losses(moved, np.full(len(moved), codes[i]))[0].max() <= losses[i]


def test_dual_norms_bound_what_a_ball_can_do():
    rng = np.random.default_rng(3)
    for norm in NORMS:
        w = rng.normal(size=(5, 2))
        best = (on_ball(rng, norm, 5000) @ w.T).max(axis=0)
        bound = dual_norm(w, norm)
        assert np.all(best <= bound + 1e-12) and np.all(best >= 0.99 * bound)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("head", "classes"), HEADS)
@pytest.mark.parametrize("hidden", [(), (2,), (3, 2)])
@pytest.mark.parametrize("grid", [False, True])
def test_blocks_and_precision_do_not_matter(monkeypatch, norm, head, classes, hidden, grid):
    rng = np.random.default_rng(len(hidden) + 10 * classes)
    X, codes, radius = rng.integers(-12, 13, size=(40, 2)) / 4, rng.integers(0, classes, size=40), np.array([0.25, 0.5])
    network = random_network(rng, hidden, head, classes, True, InputGrid.spanning(X, 4) if grid else None)
    for model in ("interval", "pattern"):
        losses, n_rational = robust_losses(network, X, codes, radius, norm, model)
        for block in (1, 30, 2**19):
            monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", block)
            for data in (X, X.astype(np.float32)):
                again, count = robust_losses(network, data, codes, radius, norm, model)
                assert (again.tolist(), count) == (losses.tolist(), n_rational)


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
def test_neurons_without_weights_are_their_biases(norm):
    rng = np.random.default_rng(5)
    X, weights = rng.normal(size=(40, 3)), np.zeros((4, 3))
    weights[3] = [0.5, -1.0, 0.25]
    hidden = weights, np.array([0.0, -0.0, -1e-300, 0.1])
    network = Network([hidden, (np.array([[1.0, 1.0, -4.0, 1.0]]), np.array([-2.5]))], "threshold", [0, 1])
    losses, n_rational = robust_losses(network, X, np.ones(40, dtype=int), np.full(3, 0.2), norm)
    size = {"inf": 1.75, "1": 1.0, "2": np.sqrt(1.3125)}[norm]
    # the first two are on, the third is off; the output is on where the fourth is surely on
    assert losses.tolist() == (X @ weights[3] + 0.1 < 0.2 * size).astype(int).tolist()
    assert n_rational == 0
