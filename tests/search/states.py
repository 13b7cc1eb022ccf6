"""States of a search made from plain arrays, random hostile ones among them, and the networks they stand for."""

from __future__ import annotations

import numpy as np

from bdnn import Network
from bdnn.search import kernels

MOST = 1 << 21


def state_of(X, class_weight, hidden, head, *, bound=0, intercept=True, seed=1, dtype=np.float64):
    """A state for points of shape (p, n), all weights 0 and nothing evaluated."""
    X = np.asarray(X, dtype=np.float64)
    spread = X.std(axis=0)
    n_outputs = 1 if head == "threshold" and class_weight.shape[1] == 2 else class_weight.shape[1]
    return kernels.new_state(
        np.ascontiguousarray(X.T.astype(dtype)),
        class_weight.astype(dtype),
        np.median(X, axis=0),
        np.where(spread > 0, 1 / np.where(spread > 0, spread, 1.0), 0.0),
        np.abs(X).max(axis=0),
        (*hidden, n_outputs),
        head == "argmax",
        bound,
        intercept,
        seed,
    )


def layers_of(state):
    """Views of the weights and biases of each layer."""
    layers, n_in = [], len(state.X)
    for k, width in enumerate(state.width.tolist()):
        weights = state.W[state.w_from[k] : state.w_from[k + 1]].reshape(width, n_in)
        layers.append((weights, state.b[state.b_from[k] : state.b_from[k + 1]]))
        n_in = width
    return layers


def network_of(state):
    """The network that a state stands for, with classes 0, 1, ..."""
    kind = np.int64 if state.bound > 0 else np.float64
    layers = [(W.astype(kind), b.astype(kind)) for W, b in layers_of(state)]
    if kind is np.int64:
        assert all(np.array_equal(a, b) for pair, other in zip(layers, layers_of(state), strict=True) for a, b in zip(pair, other, strict=True))  # fmt: skip # noqa: E501
    head = "argmax" if state.argmax else "threshold"
    return Network(layers, head=head, classes=range(state.class_weight.shape[1]))


def audited(state):
    """Loss of every point, by the sign-exact evaluation of the package."""
    X, network = np.asarray(state.X, dtype=np.float64).T, network_of(state)
    losses = np.zeros(len(X))
    for c, weight in enumerate(state.class_weight.T.astype(np.float64)):
        losses += weight * network.losses(X, np.full(len(X), c))[0]
    return losses


def refresh(state, neuron=-1):
    """Bring a state up to date after a change of one neuron, or of any; return the change of its loss."""
    return kernels.improve_neuron(state, neuron, 0, 0.0, 1)


ARRAYS = ("W", "b", "doubt", "U", "A", "loss", "rng")
GIVEN = ("X", "class_weight", "center", "unit", "reach")


def contents(state):
    """All arrays of a state."""
    return [np.array(getattr(state, name)) for name in (*GIVEN, *ARRAYS)]


def copy_of(state, **given):
    """A state that shares nothing with another; some of the arrays it is made from can be others."""
    arrays = [given.get(name, np.array(getattr(state, name))) for name in GIVEN]
    other = kernels.new_state(*arrays, state.width.tolist(), state.argmax, state.bound, state.intercept, 1)
    for name in ARRAYS:
        getattr(other, name)[...] = getattr(state, name)
    return other


def hostile_points(rng, p, n, integer):
    """Points with ties, duplicates, constant columns, large offsets and wild scales; integers if these are wanted."""
    X = rng.normal(size=(p, n)) if rng.random() < 0.4 else rng.integers(-2, 3, (p, n)).astype(float)
    if rng.random() < 0.3:
        X[rng.integers(0, p, p // 3)] = X[rng.integers(p)]
    if integer:
        return np.rint(X * (1 if rng.random() < 0.7 else 1000)) + (1e7 if rng.random() < 0.1 else 0.0)
    if rng.random() < 0.3:
        X[:, rng.integers(n)] = rng.integers(-1, 2)
    if rng.random() < 0.4:
        X *= 10.0 ** rng.choice([-6, 0, 6], n)
    if rng.random() < 0.3:
        X += 1e7
    if rng.random() < 0.3:
        X = X.astype(np.float32).astype(np.float64)
    return X


def hostile_state(rng, *, integer, single=False, zeros=False):
    """A random network of any kind under search on hostile points, many of which lie on thresholds, evaluated.

    Without `zeros`, no neuron without a bias has weights 0 only.
    """
    p, n = int(rng.integers(1, 60)), int(rng.integers(1, 6))
    hidden = tuple(rng.integers(1, 6, rng.integers(0, 4)).tolist())
    n_classes, head = int(rng.integers(2, 5)), str(rng.choice(["threshold", "argmax"]))
    X = hostile_points(rng, p, n, integer)
    class_weight = np.zeros((p, n_classes))
    class_weight[np.arange(p), rng.integers(0, n_classes, p)] = rng.integers(1, 4, p)
    if rng.random() < 0.4:
        class_weight += rng.integers(0, 3, class_weight.shape) * (rng.random((p, 1)) < 0.3)
    if single:
        X = X.astype(np.float32).astype(np.float64)
    bound, intercept = int(rng.choice([1, 3, 7])) if integer else 0, bool(rng.random() < 0.8)
    state = state_of(
        X, class_weight, hidden, head, bound=bound, intercept=intercept, seed=int(rng.integers(1, 2**62)),
        dtype=np.float32 if single else np.float64,
    )  # fmt: skip
    signal = X
    for k, (W, b) in enumerate(layers_of(state)):
        if integer:
            W[:] = rng.integers(-bound, bound + 1, W.shape)
        elif rng.random() < 0.5:
            W[:] = rng.normal(size=W.shape) * (state.unit if k == 0 else 1.0)
        else:
            W[:] = rng.integers(-2, 3, W.shape) * 2.0 ** rng.integers(-3, 4)
        if not (integer or intercept or zeros):
            W[~W.any(axis=1)] = 0.5
        if intercept:
            # thresholds at points, on paper and perhaps in doubles
            b[:] = -(W * signal[rng.integers(0, p, len(b))]).sum(axis=1)
            loose = rng.random(len(b)) < 0.3
            b[loose] += np.rint(rng.normal(size=loose.sum())) if integer else rng.normal(size=loose.sum())
        if len(b) > 1 and rng.random() < 0.4:  # neurons that are alike, and outputs that tie
            one, other = rng.integers(len(b), size=2)
            W[one], b[one] = W[other], b[other]
        signal = (signal @ W.T + b >= 0).astype(float)
    refresh(state)
    return state
