"""Compiled support functions of perturbation sets in which features take integers, for norms 1 and 2.

Columns t are steps from the point. That of an integer feature costs nothing at t = 0, `first` for one step up or down
and `more` for every further one; that of a real feature costs `more` |t|. The set is {t : Σ c_j(t_j) <= r,
L <= t <= U}, for norm 2 with squares of costs and of r. By weak duality the largest g·t is at most

    λ B + Σ_j max_t (g_j t - λ φ_j(t)),    φ = c, B = r for norm 1,    φ = c² / 2, B = r² / 2 for norm 2,

for any price λ >= 0, and each of these maxima, taken over integers where the feature takes integers, has a closed form.
Costs are rounded down and r is rounded up, and the sums come with a bound of their rounding errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bdnn.certification.support import ONE, UNIT
from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)

MORE, UP, DOWN = 0, 1, 2
"""Columns of an array of costs: of every further step, of the first one up, of the first one down."""

_TURNS = 60
_GROWTH = 8.0
_NEAR = 1e-9
_EMPTY = 1e30


@_jit
def _cost(norm: int, cost: Any, whole: bool, t: float) -> float:
    """Return φ(t)."""
    if t == 0.0:
        return 0.0
    if whole:
        c = (cost[UP] if t > 0.0 else cost[DOWN]) + cost[MORE] * (abs(t) - 1.0)
    else:
        c = cost[MORE] * abs(t)
    return c if norm == ONE else 0.5 * c * c


@_jit
def _priced(norm: int, g: Any, price: float, low: Any, high: Any, cost: Any, whole: Any) -> tuple[float, float, float]:
    """Return Σ max (g t - price φ(t)), the cost Σ φ(t) where that is reached, and the size of the numbers summed."""
    total, spent, size = 0.0, 0.0, 0.0
    for j in range(len(g)):
        # nothing is better on the other side of 0
        best = min(max(0.0, low[j]), high[j])
        phi = _cost(norm, cost[j], whole[j], best)
        value = g[j] * best - price * phi
        if g[j] != 0.0:
            side = 1.0 if g[j] > 0.0 else -1.0
            near, far = (low[j], high[j]) if g[j] > 0.0 else (-high[j], -low[j])
            near = max(near, 1.0 if whole[j] else 0.0)
            if near <= far:
                top = far
                if norm == ONE and abs(g[j]) < price * cost[j, MORE]:
                    top = near
                pull = price * cost[j, MORE] * cost[j, MORE]
                if norm != ONE and pull > 0.0:
                    top = abs(g[j]) / pull
                    if whole[j]:
                        top = np.rint(1.0 + top - cost[j, UP if side > 0.0 else DOWN] / cost[j, MORE])
                # one more on both sides, in case that the best place was rounded
                for k in range(-1, 2):
                    if k != 0 and not whole[j]:
                        continue
                    t = side * min(max(top + k, near), far)
                    at = _cost(norm, cost[j], whole[j], t)
                    gain = g[j] * t - price * at
                    if gain > value:
                        best, phi, value = t, at, gain
        total += value
        spent += phi
        size += abs(g[j] * best) + price * phi
    return total, spent, size


@_jit
def support_steps(norm: int, g: Any, r: float, low: Any, high: Any, cost: Any, whole: Any) -> float:
    """Return an upper bound of g·t on the set, about that of the best price; far below 0 if the set is empty.

    Rounding errors are accounted for.
    """
    budget = r if norm == ONE else 0.5 * r * r
    noise = 8.0 * (len(g) + 20.0) * UNIT
    left, spent, size = _priced(norm, g, 0.0, low, high, cost, whole)
    best, slope_left = left + noise * size, budget - spent
    if size == 0.0 and spent * (1.0 - noise) > budget:
        return -_EMPTY
    if slope_left >= 0.0 or size == 0.0:
        return best
    price_left, price = 0.0, size / max(budget, 1e-300)
    value, slope = left, slope_left
    for _ in range(_TURNS):
        total, spent, size = _priced(norm, g, price, low, high, cost, whole)
        value, slope = total + price * budget, budget - spent
        best = min(best, value + noise * (size + price * budget))
        if slope >= 0.0:
            break
        price_left, left, slope_left = price, value, slope
        price *= _GROWTH
    price_right, right, slope_right = price, value, slope
    # the function of the price is convex: tangents meet where it is about least
    for turn in range(_TURNS):
        if slope_right <= 0.0:
            break
        price = (right - left + slope_left * price_left - slope_right * price_right) / (slope_left - slope_right)
        line = left + slope_left * (price - price_left)
        if turn % 3 == 2:
            price = 0.5 * (price_left + price_right)
        if not price_left < price < price_right:
            break
        total, spent, size = _priced(norm, g, price, low, high, cost, whole)
        value, slope = total + price * budget, budget - spent
        best = min(best, value + noise * (size + price * budget))
        if slope == 0.0 or best - line <= 2.0 * noise * (size + price * budget):
            break
        if slope < 0.0:
            price_left, left, slope_left = price, value, slope
        else:
            price_right, right, slope_right = price, value, slope
    return best


@_jit
def ascent(norm: int, x: Any, pull: Any, cost: Any, whole: Any, g: Any) -> None:
    """Write a subgradient of the cost at x, of its convex hull over the integers; `pull` decides on its sign at 0."""
    for j in range(len(g)):
        t = np.rint(x[j])
        if not whole[j]:
            if norm != ONE:
                g[j] = cost[j, MORE] * cost[j, MORE] * x[j]
            else:
                side = np.sign(x[j]) if abs(x[j]) > _NEAR else np.sign(pull[j])
                g[j] = side * cost[j, MORE]
        elif abs(x[j] - t) > _NEAR:
            t = np.floor(x[j])
            g[j] = _cost(norm, cost[j], True, t + 1.0) - _cost(norm, cost[j], True, t)
        elif t == 0.0:
            side = np.sign(pull[j])
            g[j] = side * _cost(norm, cost[j], True, side)
        else:
            g[j] = 0.5 * (_cost(norm, cost[j], True, t + 1.0) - _cost(norm, cost[j], True, t - 1.0))
