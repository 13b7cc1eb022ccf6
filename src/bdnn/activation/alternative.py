"""Compiled kernel for the alternative linear program: μ >= 0 with Σ μ_i v_i = 0 and Σ μ_i = 1, at least cost.

The support of a vertex is a set of rows that no w makes all positive: an *inseparable* set. With costs that say how
much the current solution gives up each row, cheap vertices are violated cuts. Residuals of Σ μ_i v_i are allowed at a
high price, so there is always a vertex to go on from, and the prices π at the optimum are weights: if the optimum is
positive although some rows cost nothing, then -π separates these.

A primal simplex method with an explicit inverse: p + 1 rows (p numbers per row), one column per point. All that is
found here is a proposal: sets are proven and weights audited in exact arithmetic elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)
_inner = compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
_fast = compiled(fastmath={"reassoc", "contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)

_TOLERANCE = 1e-9
_REFACTOR = 100


class Alternative(NamedTuple):
    """The program and its basis.

    Attributes
    ----------
    V : ndarray of shape (p + 1, m)
        Rows as columns, below them a row of ones.
    basis : ndarray of shape (p + 1,), int64
        Basic columns; m + 2k and m + 2k + 1 are the residuals +e_k and -e_k.
    inverse : ndarray of shape (p + 1, p + 1)
        Of the basis.
    mu : ndarray of shape (p + 1,)
        Basic values.
    prices : ndarray of shape (p + 1,)
        Of the last optimum.
    count : ndarray of shape (2,), int64
        Pivots since the last factorisation, and in all.
    """

    V: Any
    basis: Any
    inverse: Any
    mu: Any
    prices: Any
    count: Any


def alternative(rows: NDArray[np.float64]) -> Alternative:
    """Return the program for signed rows of shape (m, p)."""
    m, p = rows.shape
    V = np.ascontiguousarray(np.vstack([rows.T, np.ones((1, m))]))
    A = Alternative(
        V, np.zeros(p + 1, dtype=np.int64), np.zeros((p + 1, p + 1)), np.zeros(p + 1), np.zeros(p + 1),
        np.zeros(2, dtype=np.int64),
    )  # fmt: skip
    restart(A, 0)
    return A


@_jit
def restart(A: Alternative, first: int) -> None:
    """Begin with one row and residuals."""
    p, m = len(A.mu) - 1, A.V.shape[1]
    A.inverse[:] = 0.0
    for k in range(p):
        # residual column sign * e_k takes up -v[k]
        v = A.V[k, first]
        sign = -1.0 if v > 0.0 else 1.0
        A.basis[k] = m + 2 * k + (0 if sign > 0.0 else 1)
        A.inverse[k, k] = sign
        A.inverse[k, p] = -sign * v
        A.mu[k] = abs(v)
    A.basis[p], A.inverse[p, p], A.mu[p] = first, 1.0, 1.0
    A.count[0] = 0


@_inner
def _factorise(A: Alternative) -> bool:
    q, m = len(A.mu), A.V.shape[1]
    B = np.zeros((q, q))
    for k in range(q):
        j = A.basis[k]
        if j < m:
            for i in range(q):
                B[i, k] = A.V[i, j]
        else:
            B[(j - m) // 2, k] = 1.0 if (j - m) % 2 == 0 else -1.0
    inverse = np.eye(q)
    for k in range(q):
        r = k
        for i in range(k + 1, q):
            if abs(B[i, k]) > abs(B[r, k]):
                r = i
        if abs(B[r, k]) < 1e-12:
            return False
        if r != k:
            for j in range(q):
                B[k, j], B[r, j] = B[r, j], B[k, j]
                inverse[k, j], inverse[r, j] = inverse[r, j], inverse[k, j]
        f = 1.0 / B[k, k]
        for j in range(q):
            B[k, j] *= f
            inverse[k, j] *= f
        for i in range(q):
            if i != k and B[i, k] != 0.0:
                f = B[i, k]
                for j in range(q):
                    B[i, j] -= f * B[k, j]
                    inverse[i, j] -= f * inverse[k, j]
    A.inverse[:] = inverse
    for i in range(q):
        A.mu[i] = max(inverse[i, q - 1], 0.0)
    A.count[0] = 0
    return True


@_fast
def _price(V: Any, prices: Any, cost: Any, reduced: Any) -> None:
    q, m = V.shape
    for j in range(m):
        reduced[j] = cost[j] - prices[q - 1]
    for k in range(q - 1):
        y = prices[k]
        if y != 0.0:
            row = V[k]
            for j in range(m):
                reduced[j] -= y * row[j]


@_inner
def _store(A: Alternative, given: Any, most: float, sets: Any, sizes: Any, found: int) -> int:
    """Write the support down as a set if `given` violates it and it is new; return the number of sets."""
    q, m = len(A.mu), A.V.shape[1]
    total, size = 0.0, 0
    for k in range(q):
        if A.mu[k] > _TOLERANCE:
            if A.basis[k] >= m:
                return found
            total += given[A.basis[k]]
            size += 1
            if total >= most:
                return found
    if found == len(sets):
        return found
    row = sets[found]
    size = 0
    for k in range(q):
        if A.mu[k] > _TOLERANCE:
            i = size
            while i > 0 and row[i - 1] > A.basis[k]:
                row[i] = row[i - 1]
                i -= 1
            row[i] = A.basis[k]
            size += 1
    for s in range(found):
        if sizes[s] == size:
            same = True
            for i in range(size):
                if sets[s, i] != row[i]:
                    same = False
                    break
            if same:
                return found
    sizes[found] = size
    return found + 1


@_jit
def separate(
    A: Alternative,
    cost: Any,
    residual: float,
    given: Any,
    most: float,
    limit: int,
    sets: Any,
    sizes: Any,
    found: int,
) -> tuple[float, int]:
    """Minimise Σ cost_i μ_i + residual · |Σ μ_i v_i|₁ and collect supports that `given` violates.

    Parameters
    ----------
    A : Alternative
        Program; the basis is where to start and where it ends.
    cost : ndarray of shape (m,)
        Price of each row.
    residual : float
        Price of the residuals.
    given : ndarray of shape (m,)
        Supports with Σ given < `most` are collected.
    most : float
    limit : int
        Pivots at most.
    sets : ndarray of shape (capacity, p + 1), int64
        Receives supports, sorted.
    sizes : ndarray of shape (capacity,), int64
        Receives their sizes.
    found : int
        Supports there already.

    Returns
    -------
    objective : float
        The optimum, or infinity if it was not reached.
    found : int
        Supports there now.
    """
    q, m = len(A.mu), A.V.shape[1]
    reduced, direction = np.empty(m), np.empty(q)
    stalled = 0
    for _ in range(limit):
        if A.count[0] >= _REFACTOR and not _factorise(A):
            restart(A, int(np.argmin(cost)))
        for k in range(q):
            A.prices[k] = 0.0
        for i in range(q):
            j = A.basis[i]
            c = cost[j] if j < m else residual
            if c != 0.0:
                for k in range(q):
                    A.prices[k] += c * A.inverse[i, k]
        _price(A.V, A.prices, cost, reduced)
        entering, best = -1, -_TOLERANCE
        if stalled < 50:
            for j in range(m):
                if reduced[j] < best:
                    entering, best = j, reduced[j]
        else:
            for j in range(m):
                if reduced[j] < -_TOLERANCE:
                    entering, best = j, reduced[j]
                    break
        for k in range(q - 1):
            for side in range(2):
                value = residual - (A.prices[k] if side == 0 else -A.prices[k])
                if value < best and not (entering >= 0 and stalled >= 50):
                    entering, best = m + 2 * k + side, value
        if entering < 0:
            found = _store(A, given, most, sets, sizes, found)
            total = 0.0
            for i in range(q):
                j = A.basis[i]
                total += A.mu[i] * (cost[j] if j < m else residual)
            return total, found
        if entering < m:
            for i in range(q):
                total = 0.0
                for k in range(q):
                    total += A.inverse[i, k] * A.V[k, entering]
                direction[i] = total
        else:
            k = (entering - m) // 2
            sign = 1.0 if (entering - m) % 2 == 0 else -1.0
            for i in range(q):
                direction[i] = sign * A.inverse[i, k]
        # two passes: the largest pivot among the rows that block within a tolerance
        step = np.inf
        for i in range(q):
            if direction[i] > 1e-9:
                step = min(step, (A.mu[i] + 1e-11) / direction[i])
        if step == np.inf:
            if not _factorise(A):
                restart(A, int(np.argmin(cost)))
            stalled += 1
            continue
        leaving, size = -1, 0.0
        for i in range(q):
            if direction[i] > 1e-9 and A.mu[i] / direction[i] <= step:
                if direction[i] > size or (stalled >= 50 and A.basis[i] < A.basis[leaving]):
                    leaving, size = i, direction[i]
        step = max(A.mu[leaving] / direction[leaving], 0.0)
        stalled = stalled + 1 if step <= 1e-12 else 0
        for i in range(q):
            A.mu[i] = max(A.mu[i] - step * direction[i], 0.0)
        A.mu[leaving] = step
        pivot = A.inverse[leaving]
        f = 1.0 / direction[leaving]
        for k in range(q):
            pivot[k] *= f
        for i in range(q):
            if i != leaving and direction[i] != 0.0:
                f = direction[i]
                row = A.inverse[i]
                for k in range(q):
                    row[k] -= f * pivot[k]
        A.basis[leaving] = entering
        A.count[0] += 1
        A.count[1] += 1
    return np.inf, found
