"""Compiled kernels for the point of a polyhedron that is nearest to the origin, with multipliers that prove it.

The polyhedron is {e : W e + alpha >= 0, L <= e <= U} with L <= 0 <= U. Norm 1 is a linear program with costs. Norm inf
is a sequence of programs, each of which minimises the largest violation within a radius; its multipliers make one
half-space of all, whose distance, a closed form, is the next radius (Newton's method on the radius; W. Dinkelbach,
doi:10.1287/mnsc.13.7.492). Norm 2 is the dual of a projection, a smooth concave function of the multipliers, maximised
by a projected Newton method (D. P. Bertsekas, doi:10.1137/0320018). Multipliers are never trusted: see `support`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bdnn.activation.covering import Dictionary, add_row, dual_simplex, multipliers, rebuild, settle
from bdnn.certification.support import INF, ONE, combined, magnitude, smallest_radius
from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)

_MOST_PIVOTS = 3000
_SHAKE = 1e-6
_GOLDEN = 0.6180339887498949
_NONE = -1
_ATTEMPTS = 4
_FEASIBLE = 1e-10


class Nearest(NamedTuple):
    """A nearest point.

    Attributes
    ----------
    point : ndarray of shape (n,)
        About the nearest point, feasible up to rounding if the solver ended well.
    factors : ndarray of shape (k,)
        Multipliers >= 0 of the rows.
    radius : float
        About its distance, from the multipliers; inf if there is no such point.
    """

    point: Any
    factors: Any
    radius: float


@_jit
def scatter(j: int) -> float:
    """Return the j-th number of a sequence that fills [0, 1) evenly, however many of it are taken."""
    return ((j + 1) * _GOLDEN) % 1.0


@_jit
def empty_dictionary(cost: Any, capacity: int, labels: int) -> Dictionary:
    """Return a program without rows; columns between 0 and 1."""
    v = len(cost)
    upper = np.full(v + labels, np.inf)
    upper[:v] = 1.0
    place = np.zeros(v + labels, dtype=np.int64)
    place[:v] = np.arange(v)
    return Dictionary(
        np.zeros((capacity, v)), np.zeros(capacity), np.zeros(v + labels), np.zeros(v + labels), upper, cost.copy(),
        cost.copy(), np.zeros(capacity, dtype=np.int64), np.arange(v), place, np.ones(capacity),
        np.zeros(1, dtype=np.int64), np.zeros(3),
    )  # fmt: skip


@_jit
def reprice(D: Dictionary) -> None:
    """Recompute the reduced costs after a change of the costs."""
    v = len(D.d)
    for j in range(v):
        D.d[j] = D.cost[D.nonbasic[j]] if D.nonbasic[j] < v else 0.0
    for i in range(D.size[0]):
        if D.basic[i] < v:
            c = D.cost[D.basic[i]]
            if c != 0.0:
                for j in range(v):
                    D.d[j] += c * D.T[i, j]


@_jit
def solve(D: Dictionary, cutoff: float, most: int) -> int:
    """Solve anew from the present basis after bounds have changed."""
    settle(D)
    return dual_simplex(D, cutoff, most)


@_jit
def nearest(norm: int, W: Any, alpha: Any, L: Any, U: Any, stop: float) -> Nearest:
    """Find the nearest point; give up once the distance exceeds `stop`."""
    if norm == INF:
        return _nearest_inf(W, alpha, L, U, stop)
    if norm == ONE:
        return _nearest_one(W, alpha, L, U)
    return nearest_two(W, alpha, L, U, stop)


@_jit
def _single(norm: int, W: Any, alpha: Any, L: Any, U: Any) -> tuple[int, float]:
    """Return the row that is farthest away, and its distance."""
    far, row = 0.0, _NONE
    for i in range(len(alpha)):
        if alpha[i] < 0.0:
            r = smallest_radius(norm, W[i], -alpha[i], L, U)
            if r > far or row == _NONE:
                far, row = r, i
    return row, far


@_jit
def _nearest_inf(W: Any, alpha: Any, L: Any, U: Any, stop: float) -> Nearest:
    k, n = W.shape
    point, factors = np.zeros(n), np.zeros(k)
    row, r = _single(INF, W, alpha, L, U)
    if row == _NONE:
        return Nearest(point, factors, 0.0)
    factors[row] = 1.0
    if r > stop or r == np.inf:
        return Nearest(point, factors, r)
    violated = np.inf
    for _ in range(_ATTEMPTS):
        # a dictionary of many pivots has lost digits: with a new one the radius goes on growing
        r, ended = _grown_inf(W, alpha, L, U, stop, r, factors, point)
        if ended:
            break
        before, violated = violated, 0.0
        for i in range(k):
            slack = alpha[i] + np.dot(W[i], point)
            violated = max(violated, -slack / max(magnitude(INF, W[i], r, L, U), 1e-300))
        if violated <= _FEASIBLE or violated >= before:
            break
    return Nearest(point, factors, r)


@_jit
def _grown_inf(
    W: Any, alpha: Any, L: Any, U: Any, stop: float, r: float, factors: Any, point: Any
) -> tuple[float, bool]:
    """Let the radius grow by programs in one dictionary; return it, and whether it passed `stop`."""
    k, n = W.shape
    unit, size, worst = r, np.ones(k), 0.0
    for i in range(k):
        size[i] = max(magnitude(INF, W[i], r, L, U), 1e-300)
        worst = max(worst, -alpha[i] / size[i])
    cost = np.empty(n + 1)
    for j in range(n):
        cost[j] = _SHAKE / n * scatter(j)
    cost[n] = 1.0
    D = empty_dictionary(cost, k, k)
    columns = np.arange(n + 1)
    A, rhs = np.ones((k, n + 1)), -alpha / size
    for j in range(n):
        D.lower[j], D.upper[j] = max(L[j], -r) / unit, min(U[j], r) / unit
    D.upper[n] = worst + 1.0
    for i in range(k):
        for j in range(n):
            A[i, j] = W[i, j] * (unit / size[i])
        add_row(D, i, columns, A[i], rhs[i])
        D.upper[n + 1 + i] = 4.0 * (worst + 4.0) + 2.0 * abs(rhs[i])
    out = np.empty(k)
    for turn in range(60):
        if turn == 1:
            D.cost[:n] = 0.0
            reprice(D)
        code = _solved(D, A, rhs)
        multipliers(D, 0.0, out)
        total = 0.0
        for i in range(k):
            out[i] = max(out[i], 0.0) / size[i]
            total += out[i]
        if total <= 0.0:
            if turn == 0:
                continue
            break
        need = 0.0
        for i in range(k):
            need -= out[i] * alpha[i]
        further = smallest_radius(INF, combined(W, out), need, L, U)
        if further > r:
            grown = further > r * (1.0 + 1e-13)
            factors[:] = out
            r = further
            if r > stop or r == np.inf:
                return r, True
            for j in range(n):
                D.lower[j], D.upper[j] = max(L[j], -r) / unit, min(U[j], r) / unit
            if not grown and turn > 1:
                break
        elif turn > 1 or code != 0:
            break
    _solved(D, A, rhs)
    for j in range(n):
        point[j] = D.x[j] * unit
    return r, False


@_jit
def _solved(D: Dictionary, A: Any, rhs: Any) -> int:
    """Solve as `solve` does, with all rows A x >= rhs; a dictionary that has lost digits is made anew."""
    k, v = A.shape
    code = solve(D, np.inf, _MOST_PIVOTS)
    for _ in range(_ATTEMPTS):
        lost = 0.0
        for i in range(k):
            lost = max(lost, abs(np.dot(A[i], D.x[:v]) - rhs[i] - D.x[v + i]))
        if lost <= _FEASIBLE:
            break
        starts = np.arange(k + 1) * v
        columns = np.arange(k * v) % v
        rebuild(D, np.arange(k), starts, columns, A.ravel(), rhs)
        code = dual_simplex(D, np.inf, _MOST_PIVOTS)
    return code


@_jit
def _nearest_one(W: Any, alpha: Any, L: Any, U: Any) -> Nearest:
    k, n = W.shape
    point, factors = np.zeros(n), np.zeros(k)
    row, r = _single(ONE, W, alpha, L, U)
    if row == _NONE:
        return Nearest(point, factors, 0.0)
    factors[row] = 1.0
    if r == np.inf:
        return Nearest(point, factors, r)
    unit, v = r, 0
    feature, side = np.empty(2 * n, dtype=np.int64), np.empty(2 * n)
    for j in range(n):
        if U[j] > 0.0:
            feature[v], side[v] = j, 1.0
            v += 1
        if L[j] < 0.0:
            feature[v], side[v] = j, -1.0
            v += 1
    D = empty_dictionary(np.ones(v), k, k)
    size = np.ones(k)
    columns, A, rhs = np.arange(v), np.empty((k, v)), np.empty(k)
    for c in range(v):
        D.upper[c] = (U[feature[c]] if side[c] > 0.0 else -L[feature[c]]) / unit
    for i in range(k):
        size[i] = max(magnitude(ONE, W[i], r, L, U), 1e-300)
        for c in range(v):
            A[i, c] = side[c] * W[i, feature[c]] * (unit / size[i])
        rhs[i] = -alpha[i] / size[i]
        add_row(D, i, columns, A[i], rhs[i])
    code = _solved(D, A, rhs)
    out = np.empty(k)
    multipliers(D, 1e6 if code == 2 else 0.0, out)
    need = 0.0
    for i in range(k):
        out[i] = max(out[i], 0.0) / size[i]
        need -= out[i] * alpha[i]
    further = smallest_radius(ONE, combined(W, out), need, L, U)
    if further > r:
        r = further
        factors[:] = out
    for c in range(v):
        point[feature[c]] += side[c] * D.x[c] * unit
    return Nearest(point, factors, r)


@_jit
def _clipped(W: Any, factors: Any, L: Any, U: Any) -> Any:
    return np.minimum(np.maximum(combined(W, factors), L), U)


@_jit
def _dual(W: Any, alpha: Any, factors: Any, e: Any) -> float:
    """Value of the dual: least of ½‖e‖² - factors·(W e + alpha) over the box, e being where it is least."""
    total = 0.0
    for j in range(len(e)):
        total += 0.5 * e[j] * e[j]
    for i in range(len(factors)):
        if factors[i] != 0.0:
            total -= factors[i] * (alpha[i] + np.dot(W[i], e))
    return total


@_jit
def nearest_two(W: Any, alpha: Any, L: Any, U: Any, stop: float) -> Nearest:
    """Do this for norm 2."""
    k, n = W.shape
    factors = np.zeros(k)
    row, r = _single(2, W, alpha, L, U)
    if row == _NONE:
        return Nearest(np.zeros(n), factors, 0.0)
    factors[row] = 1.0
    if r > stop or r == np.inf:
        return Nearest(np.zeros(n), factors, r)
    best, size = factors.copy(), np.empty(k)
    for i in range(k):
        size[i] = max(np.sqrt(np.dot(W[i], W[i])), 1e-300)
    V, a = W.copy(), np.empty(k)
    for i in range(k):
        V[i] /= size[i]
        # in units of the distance of the farthest row
        a[i] = alpha[i] / size[i] / r
    unit = r
    low, high = L / unit, U / unit
    x = np.zeros(k)
    e = _clipped(V, x, low, high)
    value = 0.0
    for _ in range(200):
        slack = a + V @ e
        # rows that count: those with a multiplier, or violated
        count, worst = 0, 0.0
        active = np.empty(k, dtype=np.int64)
        for i in range(k):
            worst = max(worst, -slack[i], min(x[i], abs(slack[i])) if slack[i] > 0.0 else 0.0)
            if slack[i] < 0.0 or x[i] > 0.0:
                active[count] = i
                count += 1
        if worst <= 1e-13 or count == 0:
            break
        g = combined(V, x)
        H, rhs = np.zeros((count, count)), np.empty(count)
        free = np.empty(n)
        for j in range(n):
            free[j] = 1.0 if low[j] < g[j] < high[j] else 0.0
        trace = 0.0
        for p in range(count):
            scaled = V[active[p]] * free
            for q in range(p + 1):
                H[p, q] = np.dot(scaled, V[active[q]])
                H[q, p] = H[p, q]
            trace += H[p, p]
            rhs[p] = -slack[active[p]]
        for p in range(count):
            H[p, p] += 1e-14 * (trace + 1e-8)
        step = np.linalg.solve(H, rhs)
        rate, improved = 1.0, False
        # rows at zero whose step goes down hold the others up: they stay
        for _ in range(60):
            y = x.copy()
            for p in range(count):
                y[active[p]] = max(0.0, x[active[p]] + rate * step[p])
            at = _clipped(V, y, low, high)
            gained = _dual(V, a, y, at)
            if gained > value + 1e-16 * abs(value):
                improved = True
                break
            rate *= 0.5
        if not improved:
            # the gradient always improves
            rate = 1.0
            for _ in range(80):
                y = np.maximum(x - rate * slack, 0.0)
                at = _clipped(V, y, low, high)
                gained = _dual(V, a, y, at)
                if gained > value + 1e-16 * abs(value):
                    improved = True
                    break
                rate *= 0.5
        if not improved:
            break
        x, e, value = y, at, gained
        need, factor = 0.0, x / size
        for i in range(k):
            need -= factor[i] * alpha[i]
        further = smallest_radius(2, combined(W, factor), need, L, U)
        if further > r:
            r, best = further, factor
            if r > stop or r == np.inf:
                break
    return Nearest(e * unit, best, r)
