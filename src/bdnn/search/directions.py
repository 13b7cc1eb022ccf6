"""Directions for line searches that look at all weights of a neuron: Newton steps of a smoothed loss.

With other neurons fixed, a neuron's part of the loss is ``sum of g_i [a_i >= 0]``. If the jump is replaced by a ramp of
some width, the gradient comes from the points near the boundary only, weighted by how near they are. Solved against the
covariance of such points it turns the neuron in the right sense also where features are correlated, where single
coordinates and random directions stall. Widths are random: wide ramps see far, narrow ones what can be gained next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from bdnn.compilation import compiled

F = TypeVar("F", bound=Callable[..., Any])


def _inner(function: F) -> F:
    kept: F = compiled(
        nogil=True, error_model="numpy", boundscheck=False, no_cpython_wrapper=True, no_cfunc_wrapper=True,
        fastmath={"reassoc", "contract"},
    )(function)  # fmt: skip
    return kept


MOST_NEAR = 2048
MOST_FEATURES = 128
FEW_FEATURES = 32


@_inner
def _solve(H: Any, v: Any) -> None:
    """Solve in place by Cholesky's method; H is positive definite, its lower part is used."""
    n = v.shape[0]
    for j in range(n):
        for k in range(j):
            H[j, j] -= H[j, k] * H[j, k]
        H[j, j] = np.sqrt(max(H[j, j], 1e-300))
        for i in range(j + 1, n):
            total = H[i, j]
            for k in range(j):
                total -= H[i, k] * H[j, k]
            H[i, j] = total / H[j, j]
    for i in range(n):
        total = v[i]
        for k in range(i):
            total -= H[i, k] * v[k]
        v[i] = total / H[i, i]
    for i in range(n - 1, -1, -1):
        v[i] /= H[i, i]
        for k in range(i):
            v[k] -= H[i, k] * v[i]


@_inner
def toward(
    X: Any, centre: Any, unit: Any, features: Any, points: Any, a: Any, g: Any, width: float, start: int, ridge: float
) -> Any:
    """Return the direction of a Newton step of the smoothed loss.

    Parameters
    ----------
    X : ndarray of shape (n, p)
        Points by feature.
    centre, unit : ndarray of shape (n,)
        A typical value of each feature, and the length of a step along it.
    features : ndarray of shape (f,), int64
        Those whose weights move.
    points : ndarray of shape (q,), int32
        The points at which the neuron matters.
    a, g : ndarray of shape (q,)
        Pre-activations and gains there.
    width : float
        Of the ramp.
    start : int
        Where to begin among the points; of very many that are near, the first ones from there on are used.
    ridge : float
        What is added to the covariance, as a share of its mean variance.

    Returns
    -------
    ndarray of shape (f + 1,)
        Changes of the weights of the features and, last, of the bias; 0 where numbers overflow. The largest weight is
        one step long.
    """
    n, q = features.shape[0], points.shape[0]
    index, near = np.empty(MOST_NEAR, np.int64), np.empty(MOST_NEAR)
    count, at = 0, start
    for _ in range(q):
        x = abs(a[at])
        if x < width:
            index[count], near[count] = at, 1.0 - x / width
            count += 1
            if count == MOST_NEAR:
                break
        at = at + 1 if at + 1 < q else 0
    Z = np.empty((n + 1, count))
    for j in range(n):
        x = X[features[j]]
        for r in range(count):
            Z[j, r] = (x[points[index[r]]] - centre[features[j]]) * unit[features[j]]
    Z[n] = 1.0
    H, v = np.empty((n + 1, n + 1)), np.empty(n + 1)
    row = np.empty(count)
    some = min(count, 4 * (n + 1))
    trace = 0.0
    for j in range(n + 1):
        total = 0.0
        for r in range(count):
            total -= near[r] * g[index[r]] * Z[j, r]
        v[j] = total
        for r in range(some):
            row[r] = near[r] * Z[j, r]
        for i in range(j + 1):
            total = 0.0
            for r in range(some):
                total += row[r] * Z[i, r]
            H[j, i] = total
        trace += H[j, j]
    add = ridge * trace / (n + 1) + 1e-12
    for j in range(n + 1):
        H[j, j] += add
    _solve(H, v)
    size = 0.0
    for j in range(n + 1):
        if not abs(v[j]) < 1e200:  # nor if it is not a number
            v[:] = 0.0
            return v
        if j < n:
            size = max(size, abs(v[j]))
    scale = 1.0 / size if size > 1e-200 else 0.0
    v[n] *= scale
    for j in range(n):
        v[j] *= scale * unit[features[j]]
        v[n] -= v[j] * centre[features[j]]
    return v
