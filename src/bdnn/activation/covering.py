"""Compiled kernels for small linear programs whose rows come and go: minimise w·x, A x >= h, lower <= x <= upper.

The simplex method keeps the whole dictionary (V. Chvátal, Linear Programming, 1983, chapter 2): basic variables and the
objective as functions of the non-basic ones. That is wasteful for large programs and the quickest way for those of the
tree, which have a few hundred columns and rows: a pivot is one pass over memory, every reduced cost and every
row of the inverse is at hand for branching and fixing, and nothing is called in between. Box constraints are handled
by the bounded dual method with flips (the long-step rule; I. Maros, Computational Techniques of the Simplex Method,
2003, chapter 10), so a program whose bounds or rows have changed is re-solved from where it stands.

Rounding errors do no harm to proofs: what a node proves is recomputed from the multipliers in exact arithmetic.

Variables are numbered: structural ones from 0, then the slack of each row that was ever added (the label of a row).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)
# sums in any order and fused multiply-adds: what counts is recomputed exactly
_fast = compiled(fastmath={"reassoc", "contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)

OPTIMAL, CUT_OFF, INFEASIBLE, UNFINISHED = 0, 1, 2, 3

PRIMAL_TOLERANCE = 1e-9
_PIVOT = 1e-9
_DUAL = 1e-11
_NOISE = 1e-6

ROWS, OBJECTIVE, PIVOTS, FARKAS = 0, 0, 1, 2


class Dictionary(NamedTuple):
    """A covering program and where its solution stands.

    Attributes
    ----------
    T : ndarray of shape (capacity, v)
        Coefficients of the non-basic variables in the basic ones.
    constant : ndarray of shape (capacity,)
        Of the basic variables.
    x : ndarray of shape (v + labels,)
        Values of all variables, slacks of removed rows not kept up to date.
    lower, upper : ndarray of shape (v + labels,)
        Bounds of all variables.
    d : ndarray of shape (v,)
        Reduced costs of the non-basic variables.
    cost : ndarray of shape (v,)
        The objective.
    basic : ndarray of shape (capacity,), int64
        The variable of each row.
    nonbasic : ndarray of shape (v,), int64
        The variable of each column.
    place : ndarray of shape (v + labels,), int64
        Column of a non-basic variable, -1 - row of a basic one.
    norm : ndarray of shape (capacity,)
        Squared length of each row, 1 included.
    size : ndarray of shape (1,), int64
        Rows in use.
    state : ndarray of shape (3,)
        Objective, pivots since the dictionary was made, and the row that shows infeasibility.
    """

    T: Any
    constant: Any
    x: Any
    lower: Any
    upper: Any
    d: Any
    cost: Any
    basic: Any
    nonbasic: Any
    place: Any
    norm: Any
    size: Any
    state: Any


def dictionary(cost: NDArray[np.float64], capacity: int, labels: int) -> Dictionary:
    """Return a program without rows; columns between 0 and 1."""
    v = len(cost)
    return Dictionary(
        np.zeros((capacity, v)), np.zeros(capacity), np.zeros(v + labels), np.zeros(v + labels),
        np.concatenate([np.ones(v), np.full(labels, np.inf)]), cost.astype(np.float64).copy(), cost.astype(np.float64),
        np.zeros(capacity, dtype=np.int64), np.arange(v, dtype=np.int64),
        np.concatenate([np.arange(v, dtype=np.int64), np.zeros(labels, dtype=np.int64)]), np.ones(capacity),
        np.zeros(1, dtype=np.int64), np.zeros(3),
    )  # fmt: skip


@_jit
def add_row(D: Dictionary, label: int, columns: Any, values: Any, rhs: float) -> None:
    """Add a row values·x[columns] >= rhs; its slack is variable v + label."""
    v = len(D.d)
    i = D.size[0]
    D.size[0] += 1
    row = D.T[i]
    row[:] = 0.0
    constant = -rhs
    for k in range(len(columns)):
        place, a = D.place[columns[k]], values[k]
        if place >= 0:
            row[place] += a
        else:
            other = D.T[-1 - place]
            constant += a * D.constant[-1 - place]
            for j in range(v):
                row[j] += a * other[j]
    D.constant[i] = constant
    variable = v + label
    D.basic[i], D.place[variable] = variable, -1 - i
    D.lower[variable], D.upper[variable] = 0.0, np.inf
    total, value = 1.0, constant
    for j in range(v):
        t = row[j]
        if abs(t) < 1e-13:
            row[j] = 0.0
            continue
        total += t * t
        value += t * D.x[D.nonbasic[j]]
    D.norm[i], D.x[variable] = total, value


@_jit
def drop_slack_rows(D: Dictionary, least: float, dropped: Any) -> int:
    """Remove rows whose slack is basic and at least `least`; write their labels and return how many."""
    v, count, i = len(D.d), 0, 0
    while i < D.size[0]:
        variable = D.basic[i]
        if variable >= v and D.x[variable] >= least:
            dropped[count] = variable - v
            count += 1
            last = D.size[0] - 1
            if i != last:
                D.T[i] = D.T[last]
                D.constant[i], D.norm[i], D.basic[i] = D.constant[last], D.norm[last], D.basic[last]
                D.place[D.basic[i]] = -1 - i
            D.size[0] = last
        else:
            i += 1
    return count


@_fast
def _pivot(D: Dictionary, r: int, s: int) -> None:
    """Exchange the basic variable of row r with the non-basic one of column s."""
    v, rows = len(D.d), D.size[0]
    entering, leaving = D.nonbasic[s], D.basic[r]
    pivot = D.T[r]
    inverse = 1.0 / pivot[s]
    where = np.empty(v, dtype=np.int64)
    count = 0
    for j in range(v):
        if pivot[j] != 0.0 and j != s:
            t = -pivot[j] * inverse
            if abs(t) < 1e-13:
                pivot[j] = 0.0
            else:
                pivot[j] = t
                where[count] = j
                count += 1
    pivot[s] = inverse
    D.constant[r] *= -inverse
    dense = 3 * count > v
    total = 1.0 + inverse * inverse
    for k in range(count):
        total += pivot[where[k]] ** 2
    D.norm[r] = total
    for i in range(rows):
        if i == r:
            continue
        row = D.T[i]
        a = row[s]
        if a == 0.0:
            continue
        D.constant[i] += a * D.constant[r]
        row[s] = 0.0
        if dense:
            for j in range(v):
                row[j] += a * pivot[j]
        else:
            for k in range(count):
                row[where[k]] += a * pivot[where[k]]
            row[s] = a * inverse
        total = 1.0
        for j in range(v):
            total += row[j] * row[j]
        D.norm[i] = total
    a = D.d[s]
    D.d[s] = 0.0
    if a != 0.0:
        for k in range(count):
            D.d[where[k]] += a * pivot[where[k]]
        D.d[s] = a * inverse
    D.basic[r], D.nonbasic[s] = entering, leaving
    D.place[entering], D.place[leaving] = -1 - r, s
    D.state[PIVOTS] += 1.0


@_jit
def settle(D: Dictionary) -> None:
    """Put non-basic variables at the bound that suits their reduced cost, and recompute basic values and objective."""
    v = len(D.d)
    for j in range(v):
        variable = D.nonbasic[j]
        if D.upper[variable] < np.inf and D.d[j] < 0.0:
            D.x[variable] = D.upper[variable]
        else:
            D.x[variable] = D.lower[variable]
    values = np.empty(v)
    for j in range(v):
        values[j] = D.x[D.nonbasic[j]]
    for i in range(D.size[0]):
        total = D.constant[i]
        row = D.T[i]
        for j in range(v):
            total += row[j] * values[j]
        D.x[D.basic[i]] = total
    objective = 0.0
    for k in range(v):
        objective += D.cost[k] * D.x[k]
    D.state[OBJECTIVE] = objective


@_jit
def dual_simplex(D: Dictionary, cutoff: float, most: int) -> int:
    """Re-solve after `settle`; stop as soon as the objective exceeds `cutoff`, or after `most` pivots."""
    v = len(D.d)
    ratios, order = np.empty(v), np.empty(v, dtype=np.int64)
    for _ in range(most):
        if D.state[OBJECTIVE] > cutoff:
            return CUT_OFF
        r, worst, below = -1, 0.0, True
        for i in range(D.size[0]):
            variable = D.basic[i]
            value = D.x[variable]
            gap = D.lower[variable] - value
            low = True
            if value - D.upper[variable] > gap:
                gap, low = value - D.upper[variable], False
            if gap > PRIMAL_TOLERANCE:
                score = gap * gap / D.norm[i]
                if score > worst:
                    r, worst, below = i, score, low
        if r < 0:
            return OPTIMAL
        leaving = D.basic[r]
        bound = D.lower[leaving] if below else D.upper[leaving]
        missing = abs(D.x[leaving] - bound)
        sign = 1.0 if below else -1.0
        row = D.T[r]
        count = 0
        for j in range(v):
            t = sign * row[j]
            if abs(t) <= _PIVOT:
                continue
            variable = D.nonbasic[j]
            room = D.upper[variable] - D.lower[variable]
            if room <= 0.0:
                continue
            at_upper = D.x[variable] == D.upper[variable]
            if t > 0.0 and not at_upper:
                ratios[count] = max(D.d[j], 0.0) / t
            elif t < 0.0 and at_upper:
                ratios[count] = max(-D.d[j], 0.0) / -t
            else:
                continue
            order[count] = j
            count += 1
        # flips: pass the columns whose whole box does not close the gap
        s = -1
        while count > 0:
            least = np.inf
            for k in range(count):
                if ratios[k] < least:
                    least = ratios[k]
            limit = least + _DUAL * (1.0 + least)
            chosen, size = -1, 0.0
            gain = 0.0
            for k in range(count):
                if ratios[k] <= limit:
                    t = abs(row[order[k]])
                    variable = D.nonbasic[order[k]]
                    gain += t * (D.upper[variable] - D.lower[variable])
                    if t > size:
                        chosen, size = k, t
            if gain < missing - _NOISE:  # else a flip could close the gap and leave nothing to pivot on
                kept = 0
                for k in range(count):
                    j = order[k]
                    if ratios[k] <= limit:
                        variable = D.nonbasic[j]
                        room = D.upper[variable] - D.lower[variable]
                        step = room if D.x[variable] == D.lower[variable] else -room
                        D.x[variable] += step
                        if D.x[variable] != D.lower[variable]:
                            D.x[variable] = D.upper[variable]
                        D.state[OBJECTIVE] += D.d[j] * step
                        missing -= abs(row[j]) * room
                        for i in range(D.size[0]):
                            a = D.T[i, j]
                            if a != 0.0:
                                D.x[D.basic[i]] += a * step
                    else:
                        ratios[kept], order[kept] = ratios[k], j
                        kept += 1
                count = kept
                continue
            s = order[chosen]
            break
        if s < 0 and missing <= _NOISE:
            D.x[leaving] = bound  # rounding errors, not a contradiction
            continue
        if s < 0:
            D.state[FARKAS] = float(r) if below else float(-1 - r)
            return INFEASIBLE
        entering = D.nonbasic[s]
        step = (bound - D.x[leaving]) / row[s]
        for i in range(D.size[0]):
            a = D.T[i, s]
            if a != 0.0:
                D.x[D.basic[i]] += a * step
        D.x[entering] += step
        D.x[leaving] = bound
        D.state[OBJECTIVE] += D.d[s] * step
        _pivot(D, r, s)
    return UNFINISHED


@_jit
def rebuild(D: Dictionary, labels: Any, starts: Any, columns: Any, values: Any, rhs: Any) -> bool:
    """Make the dictionary anew of the rows with some labels, in CSR form by label, with the same basis if it can be.

    Return whether that basis was sound.
    """
    v, rows = len(D.d), len(labels)
    enters = np.zeros(v, dtype=np.bool_)
    for i in range(D.size[0]):
        if D.basic[i] < v:
            enters[D.basic[i]] = True
    leaves = np.zeros(len(D.x), dtype=np.bool_)
    for j in range(v):
        if D.nonbasic[j] >= v:
            leaves[D.nonbasic[j]] = True
    D.size[0] = 0
    for j in range(v):
        D.nonbasic[j], D.place[j], D.d[j] = j, j, D.cost[j]
    kept = D.x.copy()
    for k in range(rows):
        label = labels[k]
        add_row(
            D, label, columns[starts[label] : starts[label + 1]], values[starts[label] : starts[label + 1]], rhs[label]
        )
    for j in range(v):
        if not enters[j]:
            continue
        r, largest = -1, 1e-7
        for i in range(rows):
            if D.basic[i] >= v and leaves[D.basic[i]] and abs(D.T[i, D.place[j]]) > largest:
                r, largest = i, abs(D.T[i, D.place[j]])
        if r < 0:
            continue
        leaves[D.basic[r]] = False
        _pivot(D, r, D.place[j])
    D.x[:] = kept
    D.state[PIVOTS] = 0.0
    sound = True
    for j in range(v):
        variable = D.nonbasic[j]
        if variable >= v and D.d[j] < 0.0:
            sound = sound and D.d[j] > -1e-7
            D.d[j] = max(D.d[j], 0.0) if D.d[j] > -1e-7 else D.d[j]
    settle(D)
    return sound


@_jit
def multipliers(D: Dictionary, farkas: float, out: Any) -> None:
    """Write the multiplier of each row by its label into `out`, which is zeroed.

    If `farkas` is positive: multipliers of infeasibility, which prove about that as a bound, whatever the costs >= 0.
    """
    v = len(D.d)
    out[:] = 0.0
    if farkas <= 0.0:
        for j in range(v):
            if D.nonbasic[j] >= v and D.d[j] > 0.0:
                out[D.nonbasic[j] - v] = D.d[j]
        return
    r = int(D.state[FARKAS])
    below = r >= 0
    r = r if below else -1 - r
    variable = D.basic[r]
    gap = D.lower[variable] - D.x[variable] if below else D.x[variable] - D.upper[variable]
    strength = farkas / max(gap, _NOISE)
    for j in range(v):
        value = -D.T[r, j] if below else D.T[r, j]
        if D.nonbasic[j] >= v and value > 0.0:
            out[D.nonbasic[j] - v] = strength * value
    if variable >= v and below:
        out[variable - v] = strength


@_jit
def penalties(D: Dictionary, r: int) -> tuple[float, float]:
    """Return how much the objective rises at least if the fractional variable of a row goes down, or up."""
    v = len(D.d)
    variable = D.basic[r]
    value = D.x[variable]
    down, up = np.inf, np.inf
    for j in range(v):
        t = D.T[r, j]
        if abs(t) <= _PIVOT:
            continue
        other = D.nonbasic[j]
        if D.upper[other] <= D.lower[other]:
            continue
        if D.x[other] == D.upper[other]:
            t = -t
        ratio = abs(D.d[j]) / abs(t)
        if t > 0.0:
            up = min(up, ratio)
        else:
            down = min(down, ratio)
    fraction = value - np.floor(value)
    return down * fraction, up * (1.0 - fraction)


@_jit
def copy_into(target: Dictionary, D: Dictionary) -> None:
    """Make `target`, of the same shape, stand where D stands."""
    rows = D.size[0]
    target.size[0] = rows
    target.T[:rows] = D.T[:rows]
    target.constant[:rows], target.norm[:rows], target.basic[:rows] = D.constant[:rows], D.norm[:rows], D.basic[:rows]
    target.x[:], target.lower[:], target.upper[:], target.d[:] = D.x, D.lower, D.upper, D.d
    target.nonbasic[:], target.place[:], target.state[:] = D.nonbasic, D.place, D.state
