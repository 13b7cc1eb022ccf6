"""Compiled branch and bound over the bits of the first hidden layer, for networks of any depth.

The layers above are a function of these bits. A node fixes some of them; it is pruned if interval arithmetic shows that
the class is the same for all completions, or if multipliers prove that no perturbation in reach gives the fixed bits:
with s_l(e) = w_l·e + alpha_l between bounds that are 0 on one side for a fixed bit, factors mu of any sign exclude a
node if mu·alpha + h(Σ mu_l w_l) < Σ min(mu_l lower_l, mu_l upper_l). Ball and cuts are as in `sets`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bdnn.activation.covering import FARKAS, INFEASIBLE, OPTIMAL, Dictionary, add_row
from bdnn.certification.cell import empty_dictionary, solve
from bdnn.certification.sets import (
    CANDIDATE,
    GOLDEN,
    LEAF,
    MODE,
    MOST_PIVOTS,
    NODES,
    PRUNED,
    RESUMED,
    ROUNDS,
    SHAKE,
    TRAIL,
    add_sum,
    advance,
    branch,
    branch_whole,
    cut,
    cut_steps,
    is_empty,
    most_cuts,
    reached,
)
from bdnn.certification.support import TWO, UNIT, combined, support
from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)


class Upper(NamedTuple):
    """The layers above the first.

    Attributes
    ----------
    numbers : ndarray
        Per layer the weights, row by row, then the biases.
    widths : ndarray of int64
        Width of the first hidden layer and of all above it.
    exact : ndarray of bool
        Per layer, whether all of its numbers are integers whose sums are exact.
    code : int
        The class of the point.
    """

    numbers: Any
    widths: Any
    exact: Any
    code: int


class CellTree(NamedTuple):
    """The state of a search that can be interrupted and resumed; fields as in `sets.Tree`.

    Attributes
    ----------
    D : Dictionary
        Columns of e in units of `ball`; the slack of a row is s_l.
    W, alpha, error : ndarray
        Rows of the open neurons, in units of their reach.
    ball : ndarray of shape (2,)
        The radius in units of the columns, now and at the root.
    open : ndarray of shape (k,), int64
        The neurons of the rows.
    low, high : ndarray of shape (d,)
        Least and largest bits of all neurons of the first layer at the root.
    influence : ndarray of shape (k,)
        Weight of the bits, to choose among them.
    root, whole, cost, trail, old, level, branch, other, state : ndarray
        As in `sets.Tree`.
    found : ndarray of shape (k,), int64
        1 where the bit is on, 0 off, -1 open, of what a stop is about.
    """

    D: Dictionary
    W: Any
    alpha: Any
    error: Any
    ball: Any
    open: Any
    low: Any
    high: Any
    influence: Any
    root: Any
    whole: Any
    cost: Any
    trail: Any
    old: Any
    level: Any
    branch: Any
    other: Any
    found: Any
    state: Any


@_jit
def plant_cells(
    norm: int,
    W: Any,
    alpha: Any,
    error: Any,
    ball: float,
    low: Any,
    high: Any,
    open_: Any,
    bits: Any,
    influence: Any,
    whole: Any,
    cost_of: Any,
) -> CellTree:
    """Return a tree at its root; `bits` of shape (2, d) are the least and largest bits."""
    k, n = W.shape
    cuts = most_cuts(norm, cost_of)
    cost = np.empty(n)
    for j in range(n):
        cost[j] = SHAKE / n * (0.5 + ((j + 1) * GOLDEN) % 1.0)
    D = empty_dictionary(cost, k + cuts, k + cuts)
    for j in range(n):
        D.lower[j], D.upper[j] = low[j], high[j]
    columns = np.arange(n)
    for i in range(k):
        add_row(D, i, columns, W[i], -alpha[i])
        D.lower[n + i], D.upper[n + i] = -2.0 * (abs(alpha[i]) + 2.0), 2.0 * (abs(alpha[i]) + 2.0)
    if cuts == 1:
        add_sum(D, n, n + k, k, ball)
    size = 64 * (k + n) + 64 if np.any(whole) else 2 * k + 8
    return CellTree(
        D, W, alpha, error, np.array([ball, ball]), open_, bits[0].copy(), bits[1].copy(), influence,
        np.stack((low, high), 1), whole, cost_of, np.zeros(size, dtype=np.int64), np.zeros((size, 2)),
        np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64), np.zeros((size, 2)),
        np.zeros(k, dtype=np.int64), np.zeros(5, dtype=np.int64),
    )  # fmt: skip


@_jit
def constant_class(upper: Upper, low: Any, high: Any) -> bool:
    """Whether every input of the upper layers between `low` and `high` gives the class of the point, for sure."""
    place, layers = 0, len(upper.widths) - 1
    least, most = low, high
    for k in range(layers):
        below, d = upper.widths[k], upper.widths[k + 1]
        weights = upper.numbers[place : place + below * d].reshape((d, below))
        bias = upper.numbers[place + below * d : place + below * d + d]
        place += below * d + d
        last = k == layers - 1
        if last and d > 1:
            for c in range(d):
                if c == upper.code:
                    continue
                value = bias[upper.code] - bias[c]
                size = abs(bias[upper.code]) + abs(bias[c])
                for j in range(below):
                    w = weights[upper.code, j] - weights[c, j]
                    value += w * (least[j] if w > 0.0 else most[j])
                    size += abs(weights[upper.code, j]) + abs(weights[c, j])
                band = 0.0 if upper.exact[k] else 4.0 * (below + 4) * UNIT * size
                if value < band or (value <= band and (c < upper.code or not upper.exact[k])):
                    return False
            return True
        lower_, upper_ = np.empty(d), np.empty(d)
        for i in range(d):
            a, b, size = bias[i], bias[i], abs(bias[i])
            for j in range(below):
                w = weights[i, j]
                size += abs(w)
                if w > 0.0:
                    a += w * least[j]
                    b += w * most[j]
                else:
                    a += w * most[j]
                    b += w * least[j]
            band = 0.0 if upper.exact[k] else 4.0 * (below + 4) * UNIT * size
            lower_[i] = 1.0 if a >= band and (a > 0.0 or upper.exact[k]) else 0.0
            upper_[i] = 0.0 if b < -band else 1.0
        if last:
            return lower_[0] == 1.0 if upper.code == 1 else upper_[0] == 0.0
        least, most = lower_, upper_
    return False


@_jit
def _signed_factors(t: CellTree, out: Any) -> None:
    """Write the multipliers of the row that shows infeasibility, of any sign, 1 at most in size."""
    D, n, k = t.D, t.W.shape[1], t.W.shape[0]
    out[:] = 0.0
    r = int(D.state[FARKAS])
    side = 1.0
    if r < 0:
        r, side = -1 - r, -1.0
    for j in range(n):
        label = D.nonbasic[j] - n
        if 0 <= label < k:
            out[label] = -side * D.T[r, j]
    label = D.basic[r] - n
    if 0 <= label < k:
        out[label] = side
    top = 0.0
    for i in range(k):
        top = max(top, abs(out[i]))
    for i in range(k):
        # small ones on open rows only weaken the proof
        out[i] = out[i] / max(top, 1e-300)


@_jit
def _out_of_reach(norm: int, t: CellTree, factors: Any) -> bool:
    """Whether factors prove that the fixed bits cannot be had."""
    k, n = t.W.shape
    D = t.D
    for i in range(k):
        fixed_on, fixed_off = D.lower[n + i] == 0.0, D.upper[n + i] == 0.0
        if (factors[i] > 0.0 and not fixed_on) or (factors[i] < 0.0 and not fixed_off):
            factors[i] = 0.0
    g = combined(t.W, factors)
    value = reached(norm, t, g, D.lower[:n], D.upper[:n])
    total, noise, size = value, 0.0, abs(value)
    for i in range(k):
        total += factors[i] * t.alpha[i]
        noise += abs(factors[i]) * t.error[i]
        size += abs(factors[i]) * (abs(t.alpha[i]) + 2.0)
    return total + 1.01 * noise + 2.0 * (n + k + 20) * UNIT * size + 1e-300 < 0.0


@_jit
def explore_cells(norm: int, t: CellTree, upper: Upper, most: int) -> int:
    """Go on with the search for at most `most` nodes; return why it stopped, as `sets.explore` does."""
    k, n = t.W.shape
    D, state = t.D, t.state
    factors, g = np.empty(k), np.empty(n)
    low, high = t.low.copy(), t.high.copy()
    last = state[NODES] + most
    while True:
        offered = state[MODE] == RESUMED
        stop = advance(t, last)
        if stop >= 0:
            return stop
        if is_empty(t):
            state[MODE] = PRUNED
            continue
        unfixed = 0
        for i in range(k):
            low[t.open[i]], high[t.open[i]], t.found[i] = 0.0, 1.0, -1
            if D.lower[n + i] == 0.0:
                low[t.open[i]], t.found[i] = 1.0, 1
            elif D.upper[n + i] == 0.0:
                high[t.open[i]], t.found[i] = 0.0, 0
            else:
                unfixed += 1
        if constant_class(upper, low, high):
            state[MODE] = PRUNED
            continue
        pruned, code = False, OPTIMAL
        for _ in range(ROUNDS):
            code = solve(D, np.inf, MOST_PIVOTS)
            if code == INFEASIBLE:
                _signed_factors(t, factors)
                pruned = _out_of_reach(norm, t, factors)
                break
            if code != OPTIMAL or (norm != TWO and not len(t.cost)):
                break
            if len(t.cost):
                # where the bits that are fixed pull the columns
                g[:] = 0.0
                for i in range(k):
                    if t.found[i] >= 0:
                        g += (2.0 * t.found[i] - 1.0) * t.W[i]
                if not cut_steps(norm, t, g, k, n):
                    break
                continue
            for j in range(n):
                g[j] = D.x[j]
            if not cut(t, g, support(norm, g, t.ball[0], D.lower[:n], D.upper[:n])[0], k, n):
                break
        if pruned:
            state[MODE] = PRUNED
            continue
        full = state[TRAIL] + k + 4 >= len(t.trail)
        if unfixed == 0 and not full and branch_whole(t):
            continue
        if unfixed == 0 or full:
            state[MODE] = PRUNED
            return LEAF
        if code == OPTIMAL and not offered:
            for i in range(k):
                on = 1.0 if D.x[n + i] >= 0.0 else 0.0
                if t.found[i] < 0:
                    low[t.open[i]], high[t.open[i]] = on, on
            if not constant_class(upper, low, high):
                for i in range(k):
                    t.found[i] = int(low[t.open[i]])
                state[MODE] = RESUMED
                return CANDIDATE
        chosen, best = -1, -1.0
        for i in range(k):
            if D.lower[n + i] != 0.0 and D.upper[n + i] != 0.0:
                score = t.influence[i] / (abs(D.x[n + i]) + 0.05)
                if score > best:
                    chosen, best = i, score
        variable = n + chosen
        if D.x[variable] >= 0.0:
            branch(t, variable, 0.0, D.upper[variable], D.lower[variable], 0.0)
        else:
            branch(t, variable, D.lower[variable], 0.0, 0.0, D.upper[variable])
