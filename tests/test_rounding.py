"""Integer networks with the same decisions: kept exactly, as small as brute force finds, or refused with a reason."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import plain
from bdnn import BDNNError, Network
from bdnn.errors import InputError, RoundingError
from bdnn.network.grid import InputGrid
from bdnn.rounding import rounded
from clocks import ticking


def decisions(network, X):
    return [*(u.tolist() for u in network.activations(X)), network.predict_index(X).tolist()]


def largest(network):
    return tuple(int(np.abs(W).max(initial=0)) for W, _ in network.layers)


def random_case(rng):
    """A network of some kind and points on which it decides."""
    n, m, real = int(rng.integers(1, 6)), int(rng.integers(1, 40)), rng.random() < 0.5
    hidden = tuple(rng.integers(1, 5, rng.integers(0, 3)).tolist())
    head, n_classes = str(rng.choice(["threshold", "argmax"])), int(rng.integers(2, 5))
    X = rng.normal(size=(m, n)) if real else rng.integers(-3, 4, (m, n)).astype(float)
    X[rng.integers(0, m, m // 4)] = X[0]
    if rng.random() < 0.2:
        X[:, rng.integers(n)] = 2.0
    integer = rng.random() < 0.3
    grid = InputGrid.spanning(X, int(rng.integers(1, 5))) if integer and real else None
    network = plain.random_network(rng, n, hidden, tuple(range(n_classes)), head, integer=integer, grid=grid)
    if rng.random() < 0.2 and not integer:
        W, _ = network.layers[0]
        network = replace(network, layers=((W, -(W @ X[0])), *network.layers[1:]))  # a point on every threshold
    return network, X


@pytest.mark.parametrize("seed", range(4))
def test_decisions_are_kept_or_the_reason_is_given(seed):
    rng = np.random.default_rng(seed)
    found = refused = 0
    for _ in range(100):
        network, X = random_case(rng)
        bits, bound = int(rng.choice([2, 4, 8])), None if rng.random() < 0.8 else 1
        try:
            small = network.to_integer(X, input_bits=bits, weight_bound=bound, time_limit=0.5)
        except RoundingError as error:
            assert str(error).startswith("layer ")
            refused += 1
            continue
        found += 1
        assert small.is_integer
        assert decisions(small, X) == decisions(network, X)
        assert (small.grid is None) == (network.grid is None and bool(np.all(X == np.rint(X))))
        assert bound is None or max(largest(small)) <= bound
        if network.is_integer:
            assert all(a <= b for a, b in zip(largest(small), largest(network), strict=True))
            assert small.size_bytes <= network.size_bytes + 8 * sum(network.widths)
    assert found > 55
    assert refused >= 3


def smallest_by_brute_force(network, X, most):
    """Smallest P per layer by trying all weights, one neuron or one argmax head at a time; None above `most`."""
    signals = [np.asarray(X if network.grid is None else network.grid.quantize(X), dtype=float)]
    signals += [u.astype(float) for u in network.activations(X)]
    fired = signals[1:]
    found = []
    for k, (W, _) in enumerate(network.layers):
        d, n = W.shape
        S = signals[k]
        argmax = k == len(network.layers) - 1 and network.head == "argmax"
        for P in range(most + 1):
            vectors = [np.array(w) for w in itertools.product(range(-P, P + 1), repeat=n)]
            if argmax:
                winners = network.predict_index(X)
                fits = any(has_biases(S, np.array(ws), winners) for ws in itertools.product(vectors, repeat=d))
            else:
                fits = all(
                    any(
                        (S @ w)[fired[k][:, j] == 1].min(initial=np.inf)
                        > (S @ w)[fired[k][:, j] == 0].max(initial=-np.inf)
                        for w in vectors
                    )
                    for j in range(d)
                )
            if fits:
                found.append(P)
                break
        else:
            return None
    return tuple(found)


def has_biases(S, W, winners):
    """Whether two outputs can be given integer biases such that the winners win."""
    lead = S @ (W[0] - W[1])
    # output 0 wins if lead + b >= 0, output 1 if lead + b <= -1
    return lead[winners == 0].min(initial=np.inf) > lead[winners == 1].max(initial=-np.inf)


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("integer", [False, True])
def test_smallest_weights_agree_with_brute_force(head, integer):
    rng = np.random.default_rng(23)
    compared = 0
    for _ in range(40):
        n = int(rng.integers(1, 3)) if head == "argmax" else int(rng.integers(1, 4))
        hidden = (2,) if rng.random() < 0.5 else ()
        network = plain.random_network(rng, n, hidden, head=head, integer=integer)
        X = rng.integers(-3, 4, (int(rng.integers(2, 12)), n)).astype(float)
        expected = smallest_by_brute_force(network, X, 2 if head == "argmax" else 3)
        outcome = rounded(network, X)
        assert outcome.network is not None
        if expected is None:
            assert max(outcome.largest) > (2 if head == "argmax" else 3)
            continue
        compared += 1
        assert outcome.largest == expected
        assert outcome.bounds == expected
        assert outcome.proven
    assert compared > 30


def test_bounds_hold_where_they_do_not_meet_the_weights():
    rng = np.random.default_rng(29)
    for _ in range(5):
        X = np.rint(rng.normal(size=(300, 6)) * 20)
        network = Network([(rng.normal(size=(2, 6)), rng.normal(size=2)), ([[1.0, 1.0]], [-1.5])], "threshold", [0, 1])
        outcome = rounded(network, X, time_limit=1.0)
        assert outcome.network is not None
        assert decisions(outcome.network, X) == decisions(network, X)
        assert all(low <= P for low, P in zip(outcome.bounds, outcome.largest, strict=True))
        again = rounded(outcome.network, X, time_limit=0.3)
        assert all(a <= b for a, b in zip(again.largest, outcome.largest, strict=True))


def test_points_in_one_cell_are_the_reason():
    network = Network([([[1.0, 0.0], [0.0, 1.0]], [-0.61, 2.0]), ([[1.0, 1.0]], [-1.5])], "threshold", [0, 1])
    X = np.array([[0.0, 0.3], [0.5, 0.1], [0.52, 0.1], [1.0, 0.9], [0.62, 0.1]])
    with pytest.raises(RoundingError) as caught:
        network.to_integer(X, input_bits=1)
    message = str(caught.value)
    assert message == (
        "layer 1, neuron 1: it has to be on at some and off at others of 2 points, which the grid of 1 bits maps to "
        "the same integers; raise input_bits"
    )
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BDNNError)
    fine = network.to_integer(X, input_bits=8)
    assert decisions(fine, X) == decisions(network, X)
    assert fine.grid.bits == 8


def test_points_of_an_argmax_head_in_one_cell_are_the_reason():
    network = Network([([[1.0], [-1.0]], [-0.61, 0.61])], "argmax", [0, 1])
    X = np.array([[0.0], [0.6], [0.55], [0.45], [0.9]])
    with pytest.raises(RoundingError, match="layer 1, the output layer: it has to predict one class at some"):
        network.to_integer(X, input_bits=1)


def test_grid_points_that_no_weights_separate_are_the_reason():
    # on where x + y >= 1.2, but rounded to bits this is (0, 1) and (1, 0) against (0, 0) and (1, 1)
    X = np.array([[0.4, 1.0], [1.0, 0.4], [0.0, 0.0], [0.55, 0.55]])
    network = Network([([[1.0, 1.0]], [-1.2])], "threshold", [0, 1])
    assert network.predict_index(X).tolist() == [1, 1, 0, 0]
    with pytest.raises(
        RoundingError, match="layer 1, neuron 1: no weights keep its decisions on the grid, not even real"
    ):
        network.to_integer(X, input_bits=1)
    assert decisions(network.to_integer(X, input_bits=3), X) == decisions(network, X)


def test_a_bound_that_is_too_small_is_named():
    network = Network([([[3.0, 1.0, 1.0, 1.0]], [-2.5])], "threshold", [0, 1])
    X = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    assert network.to_integer(X).layers[0].weights.tolist() != []
    P = largest(network.to_integer(X))[0]
    assert P > 1
    with pytest.raises(
        RoundingError, match=f"needs integer weights of at least {P} .* weight_bound is {P - 1}; raise it"
    ):
        network.to_integer(X, weight_bound=P - 1)
    assert largest(network.to_integer(X, weight_bound=P)) == (P,)


def test_outputs_that_are_compared_keep_their_predictions():
    rng = np.random.default_rng(31)
    for _ in range(20):
        network = plain.random_network(rng, 2, (3,), (0, 1, 2), "threshold")
        X = rng.integers(-3, 4, (20, 2)).astype(float)
        small = network.to_integer(X, time_limit=1.0)
        assert decisions(small, X) == decisions(network, X)


def test_ties_go_to_the_lowest_index():
    network = Network([([[1.0], [1.0], [-1.0]], [0.0, 0.0, 0.0])], "argmax", [0, 1, 2])
    X = np.array([[2.0], [1.0], [0.0], [-1.0]])
    small = network.to_integer(X)
    assert small.predict_index(X).tolist() == [0, 0, 0, 2]
    assert plain.evaluate(small, X)[2] == [0, 0, 0, 2]
    assert largest(small) == (1,)


def test_huge_offsets_are_absorbed_by_the_bias():
    X = np.array([[1e9 + 3.0, 5.0], [1e9 + 1.0, 4.0], [1e9 + 7.0, -2.0]])
    network = Network([([[1.0, 0.25]], [-1e9 - 3.0])], "threshold", [0, 1])
    small = network.to_integer(X)
    assert decisions(small, X) == decisions(network, X)
    assert largest(small) == (1,)


def test_a_large_network_stays_within_its_time():
    rng = np.random.default_rng(37)
    X = rng.integers(0, 256, (3000, 100)).astype(float)
    W = rng.normal(size=(6, 100))
    network = Network([(W, -(W @ np.full(100, 128.0))), (rng.normal(size=(3, 6)), np.zeros(3))], "argmax", [0, 1, 2])
    with ticking(2.0, step=0.005, most_late=100):
        small = network.to_integer(X, time_limit=2.0)
    assert decisions(small, X) == decisions(network, X)


def test_the_smallest_size_is_what_counts():
    network = Network([([[7, 7, 7, 7]], [-10])], "threshold", [0, 1])
    X = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    small = network.to_integer(X)
    assert small.layers[0].weights.tolist() == [[1, 1, 1, 1]]
    assert small.size_bytes < network.size_bytes
    assert small.to_integer(X) == small


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_bound": 0}, "weight_bound must be a positive integer or None, got 0"),
        ({"weight_bound": True}, "weight_bound must be a positive integer or None, got True"),
        ({"weight_bound": 1.5}, "weight_bound must be a positive integer or None, got 1.5"),
        ({"time_limit": 0}, "time_limit must be a positive number of seconds, got 0"),
        ({"input_bits": 17}, "input_bits must be an integer from 1 to 16, got 17"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    network = Network([([[1.0]], [-0.1])], "threshold", [0, 1])
    with pytest.raises(InputError, match=message):
        network.to_integer([[0.5], [1.0]], **settings)


def test_no_points_are_refused():
    with pytest.raises(InputError, match="at least one row"):
        Network([([[1.0]], [-0.1])], "threshold", [0, 1]).to_integer(np.zeros((0, 1)))
