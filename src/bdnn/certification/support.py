"""Compiled support functions of perturbation sets, and what a combination of half-spaces excludes.

A perturbation set is {e : ‖e‖ <= r, L <= e <= U} with L <= 0 <= U, in units of the scale. Its support function
h(g, r) = max g·e has a closed form for each norm: by weak duality, any price of the radius gives an upper bound, so
only rounding errors stand between a number computed here and a proof, and these are bounded (N. J. Higham, *Accuracy
and Stability of Numerical Algorithms*, 2nd ed., §3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)

INF, ONE, TWO = 0, 1, 2
NORMS = {"inf": INF, "1": ONE, "2": TWO}

UNIT = 2.0**-53


@_jit
def support(norm: int, g: Any, r: float, L: Any, U: Any) -> tuple[float, float]:
    """Return h(g, r), rounded, and its slope in r from the right."""
    n = len(g)
    if norm == INF:
        total, slope = 0.0, 0.0
        for j in range(n):
            size = abs(g[j])
            cap = U[j] if g[j] > 0.0 else -L[j]
            if cap > r:
                slope += size
                total += size * r
            elif size > 0.0:
                total += size * cap
        return total, slope
    size, cap = np.abs(g), np.empty(n)
    for j in range(n):
        cap[j] = U[j] if g[j] > 0.0 else -L[j]
    if norm == ONE:
        if r == 0.0:
            slope = 0.0
            for j in range(n):
                if cap[j] > 0.0:
                    slope = max(slope, size[j])
            return 0.0, slope
        # most often the best feature has room for all
        best = 0
        for j in range(n):
            if size[j] > size[best]:
                best = j
        price = 0.0
        if n and cap[best] >= r:
            if cap[best] > r:
                return size[best] * r, size[best]
        left = r
        order = np.argsort(-size)
        for k in range(n):
            j = order[k]
            if cap[j] > left:
                price = size[j]
                break
            left -= cap[j]
        total = price * r
        for j in range(n):
            if size[j] > price:
                total += (size[j] - price) * cap[j]
        return total, price
    price, full = 0.0, np.zeros(n, dtype=np.bool_)
    rest, slope = r * r, 0.0
    for _ in range(n + 1):
        square = 0.0
        for j in range(n):
            if not full[j] and cap[j] > 0.0:
                square += size[j] * size[j]
        if r == 0.0:
            return 0.0, np.sqrt(square)
        if square <= 0.0 or rest <= 0.0:
            price = 0.0
            break
        price = np.sqrt(square / rest)
        more = False
        for j in range(n):
            if not full[j] and size[j] > price * cap[j]:
                full[j] = True
                rest -= cap[j] * cap[j]
                more = True
        if not more:
            break
    total = 0.5 * price * r * r
    for j in range(n):
        if size[j] == 0.0 or cap[j] == 0.0:
            continue
        if price * cap[j] > size[j]:
            total += 0.5 * size[j] * (size[j] / price)
        else:
            total += size[j] * cap[j] - 0.5 * price * cap[j] * cap[j]
    return total, price * r


@_jit
def smallest_radius(norm: int, g: Any, need: float, L: Any, U: Any) -> float:
    """Return about the smallest r with h(g, r) >= need; inf if there is none."""
    if need <= 0.0:
        return 0.0
    r = 0.0
    # h is concave in r: Newton's method rises to the root and, where h is piecewise linear, ends there
    for _ in range(200):
        value, slope = support(norm, g, r, L, U)
        missing = need - value
        if missing <= 4e-16 * need:
            return r
        if slope <= 0.0:
            return np.inf
        step = missing / slope
        if r + step <= r:
            return r
        r += step
    return r


@_jit
def combined(W: Any, factors: Any) -> Any:
    """Return the sum of the rows of W times the factors."""
    g = np.zeros(W.shape[1])
    for i in range(len(factors)):
        if factors[i] != 0.0:
            for j in range(len(g)):
                g[j] += factors[i] * W[i, j]
    return g


@_jit
def excludes(norm: int, W: Any, alpha: Any, error: Any, factors: Any, r: float, L: Any, U: Any) -> bool:
    """Whether factors >= 0 prove that no e of the set has W e + alpha >= 0 in all rows.

    `error` bounds the errors of `alpha`; entries of W are off by a unit in the last place or two, L and U are rounded
    outwards.
    """
    g = combined(W, factors)
    value = support(norm, g, r, L, U)[0]
    constant, noise, size = 0.0, 0.0, 0.0
    for i in range(len(factors)):
        if factors[i] > 0.0:
            constant += factors[i] * alpha[i]
            noise += factors[i] * error[i]
            size += factors[i] * (abs(alpha[i]) + magnitude(norm, W[i], r, L, U))
        elif factors[i] < 0.0:
            return False
    n = len(g) + len(factors) + 20
    return constant + value + 1.01 * noise + 2.0 * n * UNIT * (size + value) + 1e-300 < 0.0


@_jit
def magnitude(norm: int, w: Any, r: float, L: Any, U: Any) -> float:
    """Return about the largest Σ |w_j e_j| of the set."""
    cap = np.maximum(-L, U)
    return support(norm, np.abs(w), r, -cap, cap)[0]


@_jit
def magnitudes(norm: int, W: Any, r: float, L: Any, U: Any) -> Any:
    """Return this for every row."""
    found = np.empty(len(W))
    for i in range(len(W)):
        found[i] = magnitude(norm, W[i], r, L, U)
    return found


@_jit
def reaches(norm: int, W: Any, r: float, L: Any, U: Any) -> tuple[Any, Any, Any]:
    """Return by row about the largest Σ |w_j e_j| of the set, and the largest w·e and -w·e."""
    up, down = np.empty(len(W)), np.empty(len(W))
    for i in range(len(W)):
        up[i], down[i] = support(norm, W[i], r, L, U)[0], support(norm, -W[i], r, L, U)[0]
    return magnitudes(norm, W, r, L, U), up, down


@_jit
def smallest_radii(norm: int, W: Any, need: Any, L: Any, U: Any) -> Any:
    """Return by row about the smallest r with h(w, r) >= need; inf if there is none."""
    found = np.empty(len(W))
    for i in range(len(W)):
        found[i] = smallest_radius(norm, W[i], need[i], L, U)
    return found


@_jit
def largest_move(x: Any, z: Any) -> float:
    """Return the largest |z_j - x_j|, rounded up."""
    far = 0.0
    for j in range(len(x)):
        moved = z[j] - x[j]
        # what the subtraction lost (the sum of two numbers by D. E. Knuth)
        part = moved - z[j]
        lost = (z[j] - (moved - part)) - (x[j] + part)
        size = abs(moved)
        if lost != 0.0 and (lost > 0.0) == (moved > 0.0):
            size = np.nextafter(size, np.inf)
        far = max(far, size)
    return far


@_jit
def proven_radius(norm: int, W: Any, alpha: Any, error: Any, factors: Any, L: Any, U: Any) -> float:
    """Return a radius, as large as can be told, of a closed set in which no e has W e + alpha >= 0; 0 if none is."""
    need = 0.0
    for i in range(len(factors)):
        need -= factors[i] * alpha[i]
    if need <= 0.0:
        return 0.0
    r = smallest_radius(norm, combined(W, factors), need, L, U)
    if r == np.inf:
        # beyond the largest room nothing grows any more
        r = 0.0
        for j in range(len(L)):
            far = max(-L[j], U[j])
            if far < np.inf:
                r = r + far if norm == ONE else max(r, far) if norm == INF else np.sqrt(r * r + far * far)
        r = 2.0 * r + 1.0
        return np.inf if excludes(norm, W, alpha, error, factors, r, L, U) else 0.0
    shrink = 4.0 * UNIT
    for _ in range(24):
        at = r * (1.0 - shrink)
        if excludes(norm, W, alpha, error, factors, at, L, U):
            return at
        shrink *= 4.0
    return 0.0
