"""Regularizers against brute force on ternary networks."""

import functools
import itertools
from functools import partial

import numpy as np
import pytest

from bdnn import BDNNClassifier, Budget, Problem, Status
from bdnn.backends import available
from bdnn.errors import InputError
from bdnn.methods import METHODS


def dichotomies(signal):
    """Each pattern of a ternary neuron on the rows of `signal`, with the fewest non-zero weights that give it."""
    found = {}
    reach = int(np.abs(signal).sum(axis=1).max()) + 1
    for w in itertools.product((-1, 0, 1), repeat=signal.shape[1]):
        sums = signal @ np.array(w)
        for b in range(-reach, reach + 1):
            pattern, count = tuple((sums + b >= 0).astype(int)), sum(map(abs, w))
            found[pattern] = min(found.get(pattern, count), count)
    return found


@functools.cache
def five_points(seed, hidden):
    """Five points, their labels, and all (loss, non-zeros) of networks with so many hidden neurons."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(-1, 2, size=(5, 2)), rng.integers(0, 2, size=5)
    y[:2] = [0, 1]
    return X, y, frontier(X, y, hidden)


def frontier(X, y, hidden):
    """All (loss, non-zeros) of networks with so many hidden neurons."""
    first = dichotomies(X)
    if hidden == 0:
        return {(int(np.sum(np.array(u) != y)), count) for u, count in first.items()}
    pairs = set()
    for chosen in itertools.combinations_with_replacement(first.items(), hidden):
        signal, cost = np.array([u for u, _ in chosen]).T, sum(count for _, count in chosen)
        pairs |= {(int(np.sum(np.array(u) != y)), cost + count) for u, count in dichotomies(signal).items()}
    return pairs


CASES = [(seed, hidden) for seed in range(2) for hidden in (0, 1, 2)]
plain = partial(METHODS["exact"], incumbents="none")
SOLVERS = [(r, s) for s in available() for r in ("l1", "l0", "l2") if (r, s) != ("l2", "highs")]


@pytest.mark.parametrize(("regularizer", "solver"), SOLVERS)
@pytest.mark.parametrize(("seed", "hidden"), CASES)
def test_against_brute_force(seed, hidden, regularizer, solver):
    X, y, pairs = five_points(seed, hidden)
    settings = dict(X=X, y=y, hidden_layer_sizes=(hidden,) * (hidden > 0), weights="integer", regularizer=regularizer)
    # for ternary weights the three regularizers are equal
    for factor in (0.05, 0.3):
        result = plain(solver=solver)(Problem(**settings, regularization=factor), Budget(seconds=60))
        assert result.status == Status.OPTIMAL and result.audit.n_mismatched == 0
        assert result.objective == pytest.approx(min(loss + factor * count for loss, count in pairs))
    result = plain(solver=solver)(Problem(**settings, regularization="lexicographic"), Budget(seconds=60))
    assert (result.objective, result.penalty) == min(pairs)
    assert (result.status == Status.OPTIMAL and "proven least" in result.message) or result.penalty == 0


@pytest.mark.parametrize("method", ["alternating", "data_splitting"])
@pytest.mark.parametrize("regularization", [0.1, "lexicographic"])
@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_heuristics_keep_the_regulariser_small(method, regularization, incumbents):
    rng = np.random.default_rng(4)
    X, y = rng.integers(0, 4, size=(12, 4)), rng.integers(0, 2, size=12)
    settings = dict(X=X, y=y, hidden_layer_sizes=(2,), weights="integer")
    problem = Problem(**settings, regularizer="l0", regularization=regularization)
    result = METHODS[method](incumbents=incumbents)(problem, Budget(seconds=30))
    weights = np.concatenate([W.ravel() for W, _ in result.network.layers])
    assert result.penalty == np.count_nonzero(weights)
    factor = 0.0 if regularization == "lexicographic" else regularization
    assert result.objective == pytest.approx(result.audit.loss + factor * result.penalty)
    exact = plain()(problem, Budget(seconds=30))
    assert (result.objective, result.penalty) >= (exact.bound, 0)
    if method == "alternating" and regularization == "lexicographic":
        free = METHODS[method](incumbents=incumbents)(Problem(**settings), Budget(seconds=30))
        assert result.objective == free.objective
        assert result.penalty <= sum(np.count_nonzero(W) for W, _ in free.network.layers)


@pytest.mark.skipif("scip" not in available(), reason="solver scip is not installed")
def test_least_squares_of_one_neuron_is_the_maximum_margin_separator():
    """With separable points, the least ‖w‖₂² at margin ε is (ε / distance)² for the widest separating band."""
    X, y = [[0.0, 0.0], [0.0, 2.0], [4.0, 0.0], [4.0, 2.0]], [0, 0, 1, 1]
    settings = dict(hidden_layer_sizes=(), regularizer="l2", regularization="lexicographic", margin=0.01)
    result = plain(solver="scip")(Problem(X=X, y=y, **settings), Budget(seconds=60))
    assert result.objective == 0
    # the center is (0, 0), the scale (4, 2): the band between x' = 0 and x' = 1 has half-width 1/2
    assert result.penalty == pytest.approx((0.01 / 0.5) ** 2, rel=1e-4)
    (W, b), *_ = result.network.layers
    assert W[0, 1] == pytest.approx(0, abs=1e-8)
    assert -b[0] / W[0, 0] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(regularizer="l3", regularization=1.0), "regularizer must be one of 'l1', 'l0', 'l2'"),
        (dict(regularizer="l1"), "cannot be combined with"),
        (dict(regularization=1.0), "cannot be combined with"),
        (dict(regularization="lexicographic"), "cannot be combined with"),
        (dict(regularizer="l1", regularization=-1.0), "non-negative number or 'lexicographic'"),
        (dict(regularizer="l1", regularization=float("nan")), "non-negative number or 'lexicographic'"),
        (dict(regularizer="l1", regularization="both"), "non-negative number or 'lexicographic'"),
        (dict(regularizer="l2", regularization=1.0, solver="highs"), "cannot minimize the quadratic"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        BDNNClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
