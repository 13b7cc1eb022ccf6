"""Classes of single inputs against those of the network, which are exact."""

from itertools import pairwise

import numpy as np
import pytest

from bdnn import Network
from bdnn.certification.decider import Decider


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
    decide = Decider(network)
    X = np.concatenate([rng.integers(-4, 5, size=(60, n)) / 10.0, rng.normal(size=(20, n)), np.zeros((1, n))])
    X = np.concatenate([X, X[:20] * 1e-310, X[:20] * 1e200])
    assert [decide(x) for x in X] == network.predict_index(X).tolist()


def test_of_sums_that_overflow():
    network = Network([([[1e300, -1e300], [1e300, 1.0]], [0.0, 0.0])], head="argmax", classes=range(2))
    X = np.array([[1e200, 1e200], [-1e200, 1e200], [1e200, 0.0], [0.0, -1e200]])
    decide = Decider(network)
    assert [decide(x) for x in X] == network.predict_index(X).tolist()
