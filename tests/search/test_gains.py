"""The gains of a neuron against a forward pass in NumPy in which it is switched on and off."""

import numpy as np
import pytest

from bdnn.search import kernels
from search.states import contents, hostile_state, layers_of, refresh, state_of


def losses(head, class_weight, scores):
    """Loss of every point from the pre-activations of the output layer."""
    total = class_weight.sum(axis=1)
    if head == "argmax":
        return total - class_weight[np.arange(len(scores)), np.argmax(scores, axis=1)]
    if scores.shape[1] == 1:
        return np.where(scores[:, 0] >= 0, class_weight[:, 0], class_weight[:, 1])
    return np.where(scores >= 0, total[:, None] - class_weight, class_weight).sum(axis=1)


def forward(state, neuron=-1, value=0.0):
    """Losses, and the pre-activations of the outputs, with one neuron fixed to fire or not."""
    head, signal = "argmax" if state.argmax else "threshold", np.asarray(state.X, dtype=float).T
    class_weight = np.asarray(state.class_weight, dtype=float)
    last = len(state.width) - 1
    for k, (W, b) in enumerate(layers_of(state)):
        scores = signal @ W.T + b
        signal = (scores >= 0).astype(float)
        if state.b_from[k] <= neuron < state.b_from[k + 1]:
            row = neuron - state.b_from[k]
            signal[:, row] = value
            if k == last:
                scores[:, row] = np.where(value, np.inf, -np.inf)
    return losses(head, class_weight, scores), scores


def gains(state, neuron, first=0, step=1):
    p = len(state.loss)
    active, g, beat = np.full(p, -1, np.int32), np.full(p, np.nan), np.full(p, np.nan)
    count = kernels.gains(state, neuron, first, step, active, g, beat)
    return active[:count], g[:count], beat[:count]


def check(state):
    before = contents(state)
    n_outputs, n_neurons = int(state.width[-1]), len(state.b)
    for neuron in range(n_neurons):
        expected = forward(state, neuron, 1.0)[0] - forward(state, neuron, 0.0)[0]
        active, g, beat = gains(state, neuron)
        assert np.array_equal(active, np.flatnonzero(expected))
        assert np.array_equal(g, expected[active])
        row = neuron - (n_neurons - n_outputs)
        if state.argmax and row >= 0:
            # it wins if and only if its score reaches the one to beat
            scores = forward(state)[1][active]
            assert np.array_equal(scores[:, row] >= beat, np.argmax(scores, axis=1) == row)
            for tried, wins in ((beat, True), (np.nextafter(beat, -np.inf), False)):
                scores[:, row] = tried
                assert np.all((np.argmax(scores, axis=1) == row) == wins)
        else:
            assert not beat.any()
    for mine, theirs in zip(before, contents(state), strict=True):
        assert np.array_equal(mine, theirs)


def exact_state(rng, hidden, n_classes, head, dtype=np.float64):
    """A state whose sums are exact in doubles: small integers everywhere, so that many points lie on thresholds."""
    p, n = 40, 3
    class_weight = rng.integers(0, 4, (p, n_classes)) * (rng.random((p, n_classes)) < 0.6)
    state = state_of(rng.integers(-2, 3, (p, n)), class_weight, hidden, head, dtype=dtype)
    for W, b in layers_of(state):
        W[:], b[:] = rng.integers(-2, 3, W.shape), rng.integers(-2, 3, b.shape)
    refresh(state)
    return state


@pytest.mark.parametrize("hidden", [(), (3,), (4, 3), (2, 3, 2)], ids=str)
@pytest.mark.parametrize(("n_classes", "head"), [(2, "threshold"), (2, "argmax"), (3, "threshold"), (4, "argmax")])
def test_gains_are_what_switching_a_neuron_changes(hidden, n_classes, head):
    rng = np.random.default_rng([len(hidden), n_classes])
    matter = 0
    for _ in range(15):
        state = exact_state(rng, hidden, n_classes, head)
        check(state)
        matter += sum(len(gains(state, neuron)[0]) for neuron in range(len(state.b)))
    assert matter > 100


@pytest.mark.parametrize("seed", range(4))
def test_gains_of_real_weights_on_hostile_points(seed):
    rng, checked = np.random.default_rng(seed), 0
    for _ in range(60):
        state = hostile_state(rng, integer=False)
        layers = layers_of(state)
        for W, b in layers[1:]:  # sums in any order are exact
            W[:], b[:] = rng.integers(-2, 3, W.shape), rng.integers(-2, 3, b.shape)
        refresh(state)
        W, b = layers[0]
        a = np.asarray(state.X, float).T @ W.T + b
        # signs that doubles cannot decide are no matter of gains
        if len(layers) > 1 and np.all(np.abs(a) > 1e-12 * (np.abs(state.X.T) @ np.abs(W.T) + np.abs(b))):
            check(state)
            checked += 1
    assert checked > 5


def test_gains_of_single_precision():
    rng = np.random.default_rng(5)
    for _ in range(10):
        check(exact_state(rng, (3, 2), 3, "argmax", np.float32))


def test_weights_of_points_need_not_be_integers():
    rng = np.random.default_rng(6)
    for head, n_classes in (("threshold", 2), ("threshold", 3), ("argmax", 3)):
        state = exact_state(rng, (3,), n_classes, head)
        state.class_weight[:] = rng.random(state.class_weight.shape)
        refresh(state)
        for neuron in range(len(state.b)):
            expected = forward(state, neuron, 1.0)[0] - forward(state, neuron, 0.0)[0]
            active, g, _ = gains(state, neuron)
            found = np.zeros(len(expected))
            found[active] = g
            np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("first", "step"), [(0, 2), (1, 2), (3, 7), (0, 100), (39, 40)])
def test_a_part_of_the_points(first, step):
    state = exact_state(np.random.default_rng(7), (3,), 3, "argmax")
    for neuron in range(len(state.b)):
        active, g, beat = gains(state, neuron)
        chosen = (active >= first) & ((active - first) % step == 0)
        part = gains(state, neuron, first, step)
        for whole, some in zip((active, g, beat), part, strict=True):
            assert np.array_equal(whole[chosen], some)
