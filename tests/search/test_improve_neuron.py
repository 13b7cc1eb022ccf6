"""What improving a neuron reports is what the network does, always, and it never gets worse."""

import numpy as np
import pytest

import plain
from bdnn.search import kernels
from search.states import (
    MOST,
    audited,
    contents,
    copy_of,
    hostile_state,
    layers_of,
    network_of,
    refresh,
    state_of,
)


def improve(state, neuron, moves=20, spread=0.5, most=MOST):
    return kernels.improve_neuron(state, int(neuron), moves, spread, most)


def assert_is_fresh(state):
    """Everything a state holds is what is computed from its weights."""
    other = copy_of(state)
    for values in (other.U, other.A, other.loss, other.doubt):
        values[:] = 1
    total = refresh(other)
    assert np.array_equal(state.loss, other.loss) and total == other.loss.sum()
    stop = state.b_from[-2] if state.argmax else None  # activations of argmax outputs are not used
    assert np.array_equal(state.U[:stop], other.U[:stop])
    np.testing.assert_allclose(state.A, other.A, rtol=1e-12, atol=1e-12 * np.abs(other.A).max(initial=0.0))
    if not state.argmax:
        stored = len(state.b) - state.A.shape[1]
        assert np.array_equal(state.A.T >= 0, state.U[stored:])


def assert_is_of_its_class(state):
    assert np.all(np.isfinite(state.W)) and np.all(np.isfinite(state.b))
    if state.bound > 0:
        assert np.abs(state.W).max() <= state.bound
        assert np.array_equal(state.W, np.rint(state.W)) and np.array_equal(state.b, np.rint(state.b))
    if not state.intercept:
        assert not state.b.any()


@pytest.mark.parametrize("integer", [False, True], ids=["continuous", "integer"])
@pytest.mark.parametrize("single", [False, True], ids=["double", "single"])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_audited_one_after_every_improvement(seed, integer, single):
    rng, better = np.random.default_rng([seed, integer, single]), 0
    for _ in range(14):
        state = hostile_state(rng, integer=integer, single=single)
        total = float(state.loss.sum())
        assert np.array_equal(state.loss, audited(state))
        for neuron in rng.permutation(np.tile(np.arange(len(state.b)), 2)):
            most = MOST if rng.random() < 0.8 else int(rng.integers(1, 30))
            change = improve(state, neuron, int(rng.integers(1, 30)), float(rng.random()), most)
            assert change <= 0
            total += change
            better += change < 0
            losses = audited(state)
            assert total == losses.sum() and np.array_equal(state.loss, losses)
            assert_is_of_its_class(state)
        assert_is_fresh(state)
    assert better > 14


def test_neurons_without_a_bias_whose_weights_are_all_0():
    rng = np.random.default_rng(10)
    for seed in range(200):
        X, y = rng.normal(size=(6, 1)), rng.integers(0, 2, 6)
        state = state_of(X, np.eye(2)[y], (), "threshold", intercept=False, seed=seed + 1)
        total = refresh(state)
        total += improve(state, 0)
        assert_is_of_its_class(state)
        assert total == audited(state).sum()


def test_the_loss_is_the_one_of_rational_arithmetic():
    """As above against the twin of the tests, which shares nothing with the package."""
    rng = np.random.default_rng(1)
    for number in range(20):
        state = hostile_state(rng, integer=bool(number % 2))
        for neuron in range(len(state.b)):
            improve(state, neuron)
        network, weight = network_of(state), np.asarray(state.class_weight, dtype=float)
        outputs, fired, _ = plain.evaluate(network, np.asarray(state.X).T)
        for i, loss in enumerate(state.loss):
            labels = range(weight.shape[1])
            points = [plain.point_loss(network.head, outputs[i], fired[i][-1], c) for c in labels]
            assert loss == weight[i] @ points


def test_weights_of_points_that_are_no_integers():
    rng = np.random.default_rng(2)
    for number in range(25):
        state = hostile_state(rng, integer=bool(number % 2))
        state.class_weight[:] = rng.random(state.class_weight.shape) * 10.0 ** rng.integers(-6, 7)
        refresh(state)
        total, tiny = float(state.loss.sum()), 1e-12 * state.class_weight.sum()
        for neuron in rng.permutation(len(state.b)):
            change = improve(state, neuron)
            assert change <= tiny
            total += change
            np.testing.assert_allclose(state.loss, audited(state), rtol=0, atol=tiny)
            assert abs(total - audited(state).sum()) <= tiny
        assert_is_of_its_class(state)


@pytest.mark.parametrize("seed", range(4))
def test_updates_of_one_neuron_after_any_change(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        state = hostile_state(rng, integer=bool(rng.integers(2)))
        for _ in range(6):
            neuron, total = int(rng.integers(len(state.b))), state.loss.sum()
            k = int(np.searchsorted(state.b_from, neuron, side="right")) - 1
            row, (W, b) = neuron - state.b_from[k], layers_of(state)[k]
            W[row] = rng.integers(-2, 3, W.shape[1]) if rng.random() < 0.5 else np.roll(W[row], 1)
            if rng.random() < 0.5:
                b[row] = rng.integers(-2, 3)
            change = refresh(state, neuron)
            assert total + change == state.loss.sum()
            assert np.array_equal(state.loss, audited(state))
            assert_is_fresh(state)


def test_an_update_without_a_change_changes_nothing():
    rng = np.random.default_rng(3)
    for _ in range(20):
        state = hostile_state(rng, integer=False)
        before = contents(state)
        assert all(refresh(state, neuron) == 0.0 for neuron in range(len(state.b)))
        for mine, theirs in zip(contents(state), before, strict=True):
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("integer", [False, True], ids=["continuous", "integer"])
def test_points_in_single_precision_give_the_same(integer):
    rng = np.random.default_rng(4)
    for _ in range(20):
        single = hostile_state(rng, integer=integer, single=True)
        double = copy_of(single, X=single.X.astype(np.float64), class_weight=single.class_weight.astype(np.float64))
        for neuron in rng.permutation(len(single.b)):
            assert improve(single, neuron) == improve(double, neuron)
        for mine, theirs in zip(contents(single), contents(double), strict=True):
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("integer", [False, True], ids=["continuous", "integer"])
def test_equal_seeds_give_equal_networks(integer):
    rng = np.random.default_rng(5)
    one = hostile_state(rng, integer=integer)
    other = copy_of(one)
    for neuron in range(len(one.b)):
        improve(one, neuron)
        improve(other, neuron)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(contents(one), contents(other), strict=True))


@pytest.mark.parametrize("head", ["threshold", "argmax"])
def test_more_points_than_a_block(head):
    """Blocks of points, and improvements on a part of them."""
    rng = np.random.default_rng(6)
    p = 2 * kernels.BLOCK + 17
    X = np.round(rng.normal(size=(p, 2)), 1)
    y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 0] > 1)
    state = state_of(X, np.eye(3)[y], (3,), head)
    for W, b in layers_of(state):
        W[:], b[:] = rng.integers(-2, 3, W.shape), rng.integers(-1, 2, b.shape)
    total = refresh(state)
    for most in (MOST, 5000, 100, 1):
        for neuron in range(len(state.b)):
            change = improve(state, neuron, 5, 0.5, most)
            total += change
            assert change <= 0
    assert total == state.loss.sum() and np.array_equal(state.loss, audited(state))
    assert_is_fresh(state)
    assert total < 0.3 * p


@pytest.mark.parametrize(
    ("scale", "integer"), [(1e-140, False), (1e-60, False), (1e60, False), (1e140, False), (2.0**30, True)]
)
def test_scales_far_from_one(scale, integer):
    rng = np.random.default_rng(7)
    for _ in range(10):
        X = rng.integers(-4, 5, (30, 3)).astype(float) * scale
        y = rng.integers(0, 2, 30)
        state = state_of(X, np.eye(2)[y], (3,), "threshold", bound=3 if integer else 0)
        for k, (W, b) in enumerate(layers_of(state)):
            W[:] = rng.integers(-2, 3, W.shape) / (1.0 if integer or k else scale)
            b[:] = rng.integers(-2, 3, b.shape)
        total = refresh(state)
        for neuron in (0, 1, 2, 3, 0, 1, 2, 3):
            total += improve(state, neuron)
            assert total == audited(state).sum()
        assert_is_of_its_class(state)
        assert total <= 12


def test_a_neuron_that_does_not_matter_stays():
    state = state_of([[0.0], [1.0]], np.eye(2), (2,), "threshold")
    (W, b), (V, c) = layers_of(state)
    W[:], b[:], V[:], c[:] = 1.0, -0.5, [[0.0, 1.0]], -0.5
    assert refresh(state) == 0.0
    before = copy_of(state)
    assert improve(state, 0) == improve(state, 1) == 0.0
    assert np.array_equal(state.W[:1], before.W[:1]) and state.b[0] == before.b[0]


def test_one_neuron_finds_a_separator_that_exists():
    """A few improvements with coordinates and the bias solve what single line searches can."""
    X = np.arange(20.0)[:, None]
    state = state_of(X, np.eye(2)[(X[:, 0] > 12).astype(int)], (), "threshold")
    refresh(state)
    assert state.loss.sum() == 13
    for _ in range(5):
        improve(state, 0)
    assert state.loss.sum() == 0
    assert 12 < -state.b[0] / state.W[0] < 13


@pytest.mark.parametrize("bound", [1, 7])
def test_integers_stay_within_the_bound(bound):
    rng = np.random.default_rng(8)
    X, y = rng.integers(-5, 6, (60, 4)), rng.integers(0, 3, 60)
    for seed in range(10):
        state = state_of(X, np.eye(3)[y], (3, 2), "argmax", bound=bound, seed=seed + 1)
        for W, b in layers_of(state):
            W[:], b[:] = rng.integers(-bound, bound + 1, W.shape), rng.integers(-5, 6, b.shape)
        refresh(state)
        reached = set()
        for neuron in np.tile(np.arange(len(state.b)), 3):
            improve(state, neuron, spread=0.7)
            assert_is_of_its_class(state)
            reached.update(np.abs(state.W).tolist())
        assert len(reached) > bound / 2
