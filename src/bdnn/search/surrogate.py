"""A smooth start for wide or deep networks: stochastic gradients through the thresholds.

Thresholds pass gradients where the pre-activation is at most 1 in absolute value (the straight-through estimator of
Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma and J. Ba,
arXiv:1412.6980). It is a start only: exact line search takes over from its best epoch.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)


@_jit
def _adam(values, grad, first, second, size, fix):
    tiny, zero = np.float32(1e-30), np.float32(0.0)
    for i in range(values.shape[0]):
        g = grad[i]
        m1 = np.float32(0.9) * first[i] + np.float32(0.1) * g
        m2 = np.float32(0.999) * second[i] + np.float32(0.001) * g * g
        # numbers below the normal range are very slow
        first[i] = m1 if abs(m1) > tiny else zero
        second[i] = m2 if m2 > tiny else zero
        values[i] -= size * first[i] / (np.sqrt(second[i] * fix) + np.float32(1e-8))


@_jit
def epoch(Z, class_weight, order, width, w_from, b_from, W, b, moments, steps, rate, batch, argmax):
    """Take one pass over the points, in place.

    Parameters
    ----------
    Z : ndarray of shape (p, n), float32
        Standardised points.
    class_weight : ndarray of shape (p, C), float32
        Weight of each label at each point, 1 on average.
    order : ndarray of shape (p,), int64
        Points in the order of the pass.
    width, w_from, b_from : ndarray of int64
        As in `bdnn.search.kernels.State`.
    W, b : ndarray, float32
        Parameters.
    moments : ndarray of shape (2, len(W) + len(b)), float32
        Of the gradients.
    steps : int
        Taken before.
    rate : float
        Learning rate.
    batch : int
        Points per step.
    argmax : bool
        Whether outputs compete (softmax); else each output is a logistic regression.

    Returns
    -------
    int
        Steps taken in all.
    """
    p, n = Z.shape
    layers = width.shape[0]
    last = layers - 1
    n_w = W.shape[0]
    grad = np.empty(n_w + b.shape[0], np.float32)
    total = b_from[layers]
    pre = np.empty(total * batch, np.float32)
    act = np.empty(total * batch, np.float32)
    back = np.empty(total * batch, np.float32)
    X = np.empty((batch, n), np.float32)
    cw = np.empty((batch, class_weight.shape[1]), np.float32)
    one = np.float32(1.0)
    for start in range(0, p, batch):
        m = min(batch, p - start)
        for r in range(m):
            X[r] = Z[order[start + r]]
            cw[r] = class_weight[order[start + r]]
        for k in range(layers):
            d = width[k]
            signal = X[:m] if k == 0 else act[b_from[k - 1] * batch : b_from[k - 1] * batch + m * width[k - 1]].reshape(
                m, width[k - 1]
            )
            weights = W[w_from[k] : w_from[k + 1]].reshape(d, signal.shape[1])
            a = pre[b_from[k] * batch : b_from[k] * batch + m * d].reshape(m, d)
            np.dot(signal, weights.T, a)
            u = act[b_from[k] * batch : b_from[k] * batch + m * d].reshape(m, d)
            for r in range(m):
                for c in range(d):
                    a[r, c] += b[b_from[k] + c]
                    u[r, c] = one if a[r, c] >= 0 else np.float32(0.0)
        d = width[last]
        a = pre[b_from[last] * batch : b_from[last] * batch + m * d].reshape(m, d)
        delta = back[b_from[last] * batch : b_from[last] * batch + m * d].reshape(m, d)
        for r in range(m):
            weight = np.float32(0.0)
            for c in range(cw.shape[1]):
                weight += cw[r, c]
            if argmax:
                top = a[r, 0]
                for c in range(1, d):
                    top = max(top, a[r, c])
                norm = np.float32(0.0)
                for c in range(d):
                    delta[r, c] = np.exp(a[r, c] - top)
                    norm += delta[r, c]
                for c in range(d):
                    delta[r, c] = (weight * delta[r, c] / norm - cw[r, c]) / m
            else:
                for c in range(d):
                    own = cw[r, c] if d > 1 else cw[r, 1]
                    delta[r, c] = (weight / (one + np.exp(-a[r, c])) - own) / m
        for k in range(last, -1, -1):
            d = width[k]
            delta = back[b_from[k] * batch : b_from[k] * batch + m * d].reshape(m, d)
            signal = X[:m] if k == 0 else act[b_from[k - 1] * batch : b_from[k - 1] * batch + m * width[k - 1]].reshape(
                m, width[k - 1]
            )
            np.dot(delta.T, signal, grad[w_from[k] : w_from[k + 1]].reshape(d, signal.shape[1]))
            for c in range(d):
                g = np.float32(0.0)
                for r in range(m):
                    g += delta[r, c]
                grad[n_w + b_from[k] + c] = g
            if k > 0:
                below = width[k - 1]
                weights = W[w_from[k] : w_from[k + 1]].reshape(d, below)
                down = back[b_from[k - 1] * batch : b_from[k - 1] * batch + m * below].reshape(m, below)
                np.dot(delta, weights, down)
                a = pre[b_from[k - 1] * batch : b_from[k - 1] * batch + m * below].reshape(m, below)
                for r in range(m):
                    for c in range(below):
                        if abs(a[r, c]) > one:
                            down[r, c] = np.float32(0.0)
        steps += 1
        fix1, fix2 = np.float32(1.0 / (1.0 - 0.9**steps)), np.float32(1.0 / (1.0 - 0.999**steps))
        _adam(W, grad[:n_w], moments[0, :n_w], moments[1, :n_w], np.float32(rate) * fix1, fix2)
        _adam(b, grad[n_w:], moments[0, n_w:], moments[1, n_w:], np.float32(rate) * fix1, fix2)
    return steps


@_jit
def errors(Z, class_weight, width, w_from, b_from, W, b, argmax):
    """Return the total weight of the points that the network gets wrong, in blocks of points."""
    p = Z.shape[0]
    layers = width.shape[0]
    block = 4096
    loss = 0.0
    for start in range(0, p, block):
        stop = min(p, start + block)
        signal = Z[start:stop]
        for k in range(layers):
            weights = W[w_from[k] : w_from[k + 1]].reshape(width[k], signal.shape[1])
            a = np.dot(signal, weights.T)
            for r in range(a.shape[0]):
                for c in range(a.shape[1]):
                    a[r, c] += b[b_from[k] + c]
            if k < layers - 1:
                for r in range(a.shape[0]):
                    for c in range(a.shape[1]):
                        a[r, c] = np.float32(1.0) if a[r, c] >= 0 else np.float32(0.0)
            signal = a
        for r in range(signal.shape[0]):
            i = start + r
            total = 0.0
            for c in range(class_weight.shape[1]):
                total += class_weight[i, c]
            if argmax:
                best = 0
                for c in range(1, signal.shape[1]):
                    if signal[r, c] > signal[r, best]:
                        best = c
                loss += total - class_weight[i, best]
            elif signal.shape[1] == 1:
                loss += class_weight[i, 0] if signal[r, 0] >= 0 else class_weight[i, 1]
            else:
                for c in range(signal.shape[1]):
                    own = class_weight[i, c]
                    loss += total - own if signal[r, c] >= 0 else own
    return loss
