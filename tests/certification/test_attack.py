"""The quick search: what it returns is an attack, and never nearer than what is certified."""

import numpy as np
import pytest

from adversaries import distances
from bdnn import Network, attack, certify
from bdnn.errors import InputError
from plain import random_network


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
@pytest.mark.parametrize("hidden", [(), (6,), (5, 4)])
def test_attacks_are_attacks_and_not_nearer_than_certified(norm, hidden):
    rng = np.random.default_rng(len(hidden))
    ratios = []
    for _ in range(6):
        network = random_network(rng, 5, hidden, ("a", "b", "c"), "argmax")
        X, scale = rng.uniform(0, 1, (6, 5)), rng.uniform(0.5, 2, 5)
        settings = {"norm": norm, "lower": 0.0, "upper": 1.0, "scale": scale, "frozen": [4]}
        found, proven = attack(network, X, **settings), certify(network, X, **settings)
        hit = np.isfinite(found.distance)
        assert np.array_equal(hit, ~np.isnan(found.inputs).any(axis=1))
        assert np.all(network.predict_index(found.inputs[hit]) != network.predict_index(X[hit]))
        assert np.all((found.inputs[hit] >= 0) & (found.inputs[hit] <= 1)) and np.all(found.inputs[hit, 4] == X[hit, 4])
        np.testing.assert_allclose(distances(X[hit], found.inputs[hit], norm, scale), found.distance[hit], rtol=1e-12)
        assert np.all(found.distance >= proven.radius)
        known = np.isfinite(proven.distance)
        ratios += (found.distance[known] / proven.distance[known]).tolist()
    assert np.median(ratios) < 1.2
    assert np.mean(np.isinf(ratios)) < 0.2


def test_labels_radius_and_seed():
    rng = np.random.default_rng(0)
    network = random_network(rng, 4, (6,), ("a", "b"))
    X = rng.uniform(-1, 1, (20, 4))
    y = rng.choice(["a", "b"], 20)
    free = attack(network, X, y)
    wrong = network.predict(X) != y
    assert np.all(free.distance[wrong] == 0) and np.array_equal(free.inputs[wrong], X[wrong])
    near = attack(network, X, y, radius=0.1)
    assert np.all((near.distance <= 0.1) | np.isinf(near.distance))
    again = attack(network, X, y, seed=0)
    assert np.array_equal(free.distance, again.distance)


def test_a_frozen_or_constant_network_has_no_attack():
    network = Network([([[1.0, 2.0]], [0.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    assert np.isinf(attack(network, [[0.3, 0.4]], frozen=[0, 1]).distance[0])


def test_bad_input():
    network = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match="restarts must be a positive integer, got 0"):
        attack(network, [[1.0]], restarts=0)
    with pytest.raises(InputError, match=r"integer=True needs integers, but row 0 has 0\.5 in feature 0"):
        attack(network, [[0.5]], integer=True)
