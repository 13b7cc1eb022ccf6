"""Classes of single inputs against those of the network, which are exact."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from bdnn import Network
from bdnn.certification.attacker import perturbations
from bdnn.certification.classify import ExactClassifier


@pytest.mark.parametrize("seed", range(40))
def test_is_the_class_of_the_network(seed):
    rng = np.random.default_rng(seed)
    n, outputs = int(rng.integers(1, 6)), int(rng.choice([1, 2, 4]))
    widths = [n, *rng.integers(1, 5, size=rng.integers(0, 3)), outputs]
    integer = bool(rng.random() < 0.5)

    def numbers(*shape):
        # often equal, so that many inputs lie on borders and outputs tie
        return rng.integers(-2, 3, size=shape) if integer else rng.integers(-3, 4, size=shape) / 10.0

    layers = [(numbers(d, k), numbers(d)) for k, d in pairwise(widths)]
    network = Network(layers, head="threshold" if outputs == 1 else "argmax", classes=range(max(outputs, 2)))
    decide = ExactClassifier(network)
    X = np.concatenate([rng.integers(-4, 5, size=(60, n)) / 10.0, rng.normal(size=(20, n)), np.zeros((1, n))])
    X = np.concatenate([X, X[:20] * 1e-310, X[:20] * 1e200])
    assert [decide(x) for x in X] == network.predict_index(X).tolist()


def test_of_sums_that_overflow():
    network = Network([([[1e300, -1e300], [1e300, 1.0]], [0.0, 0.0])], head="argmax", classes=range(2))
    X = np.array([[1e200, 1e200], [-1e200, 1e200], [1e200, 0.0], [0.0, -1e200]])
    decide = ExactClassifier(network)
    assert [decide(x) for x in X] == network.predict_index(X).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_of_points_beside_borders(seed):
    # as near as doubles come, so that sums in double precision do not tell the side
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    W, b = rng.normal(size=(3, n)) * 10.0 ** rng.integers(-6, 6, size=(3, n)), rng.normal(size=3)
    network = Network([(W, b), (np.ones((1, 3)), [-1.5])], head="threshold", classes=range(2))
    decide = ExactClassifier(network)
    X = rng.normal(size=(60, n))
    X[:, 0] -= (X @ W[0] + b[0]) / W[0, 0]
    steps = rng.integers(-2, 3, size=60)
    X[:, 0] = np.where(
        steps > 0, np.nextafter(X[:, 0], np.inf), np.where(steps < 0, np.nextafter(X[:, 0], -np.inf), X[:, 0])
    )
    assert [decide(x) for x in X] == network.predict_index(X).tolist()


def test_of_factors_that_cannot_be_split():
    network = Network([([[1e305, 1.0]], [-1.0])], head="threshold", classes=range(2))
    X = np.array([[1e-305, 0.0], [1e-305, 1e-20], [1e-305, -1e-20], [9.999999999999999e-306, 1e-17]])
    decide = ExactClassifier(network)
    assert [decide(x) for x in X] == network.predict_index(X).tolist()


@pytest.mark.parametrize("seed", range(10))
def test_distances_are_rounded_up_to_the_last_digit(seed):
    rng = np.random.default_rng(seed)
    network = Network([([[1.0] * 5], [0.0])], head="threshold", classes=range(2))
    for unit in (1.0, 3.0):
        allowed = perturbations(network, "inf", unit)
        for _ in range(100):
            x = rng.normal(size=5) * 10.0 ** rng.integers(-20, 20, size=5)
            z = x + rng.normal(size=5) * 10.0 ** rng.integers(-20, 20, size=5)
            exact = max(
                abs(Fraction(a) - Fraction(b)) / Fraction(unit) for a, b in zip(x.tolist(), z.tolist(), strict=True)
            )
            found = allowed.distance(x, z)
            assert Fraction(found) >= exact > Fraction(math.nextafter(found, 0.0)) or found == exact == 0
