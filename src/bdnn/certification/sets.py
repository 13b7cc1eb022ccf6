"""Compiled branch and bound over sets of hidden neurons, for networks with one hidden layer.

An attack on a class needs neurons of enough weight in the state that helps it: Σ v_l y_l >= T with v > 0, where y_l = 1
demands that neuron l is in its helpful state, w_l·e + alpha_l >= 0, and y_l = 0 demands nothing. A node fixes some y.
The relaxation has y in [0, 1] and the rows w_l·e + alpha_l + M_l (1 - y_l) >= 0 on the perturbation set, whose norm
comes in exactly for norms inf and 1 (for which a column goes up or down, not both), and for norm 2 by the box around it
and by cuts g·e <= h(g) for directions g that separate the solution from what is in reach. Columns may take integers
only: then norm 1 comes in by cuts, too, h is that of `steps`, and columns are branched on. A node is pruned only if its
multipliers prove, with all rounding errors bounded, that Σ v_l y_l stays below T; neurons are fixed by the same proof.
No answer of the linear program is believed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bdnn.activation.covering import OPTIMAL, Dictionary, add_row, multipliers, penalties
from bdnn.certification.cell import empty_dictionary, nearest_two, solve
from bdnn.certification.steps import ascent, support_steps
from bdnn.certification.support import INF, ONE, TWO, UNIT, combined, support
from bdnn.compilation import compiled

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)

DONE, LIMIT, CANDIDATE, LEAF = 0, 1, 2, 3
FRESH, RESUMED, PRUNED = 0, 1, 2
DEPTH, TRAIL, NODES, MODE, CUTS = 0, 1, 2, 3, 4

SHAKE = 1e-7
GOLDEN = 0.6180339887498949
MOST_CUTS = 120
ROUNDS = 40
LATER_ROUNDS = 4
MOST_PIVOTS = 2000
_FRACTION = 1e-7


class Tree(NamedTuple):
    """The state of a search that can be interrupted and resumed.

    Attributes
    ----------
    D : Dictionary
        The relaxation: columns of e in units of `unit` radii, then y; rows of the neurons, then cuts.
    W, alpha, error, M, v : ndarray
        Rows in units of their reach, with the bounds of their errors, their constants M and weights.
    goal : ndarray of shape (2,)
        Below the first, Σ v y is too small for sure; from the second on it is enough for sure.
    ball : ndarray of shape (2,)
        The radius in units of the columns, rounded up, now and at the root.
    root : ndarray of shape (n, 2)
        Bounds of the columns at the root.
    whole : ndarray of shape (n,), bool
        Columns that take integers only.
    cost : ndarray of shape (n, 3) or (0, 3)
        Costs of steps, see `steps`; none for norm inf and where no column takes integers.
    trail, old : ndarray
        Variables whose bounds were changed, and the bounds before.
    level, branch, other : ndarray
        By depth: length of the trail, variable and bounds of the branch that is left.
    found : ndarray of shape (k,), bool
        The set of neurons that a stop is about.
    state : ndarray of shape (5,), int64
        Depth, length of the trail, nodes, mode, cuts.
    """

    D: Dictionary
    W: Any
    alpha: Any
    error: Any
    M: Any
    v: Any
    goal: Any
    ball: Any
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
def plant(
    norm: int,
    W: Any,
    alpha: Any,
    error: Any,
    M: Any,
    v: Any,
    goal: Any,
    ball: float,
    low: Any,
    high: Any,
    whole: Any,
    cost_of: Any,
) -> Tree:
    """Return a tree at its root, for columns between `low` and `high`."""
    k, n = W.shape
    cuts = most_cuts(norm, cost_of)
    cost = np.zeros(n + k)
    for j in range(n):
        width = max(high[j] - low[j], 1e-9)
        # a small cost of every column, so that pivots do not stall; away from where the rows want it
        cost[j] = SHAKE / n / width * (0.5 + ((j + 1) * GOLDEN) % 1.0)
    pull = combined(W, v)
    for j in range(n):
        if pull[j] > 0.0:
            cost[j] = -cost[j]
    for i in range(k):
        cost[n + i] = -v[i]
    D = empty_dictionary(cost, k + cuts, k + cuts)
    for j in range(n):
        D.lower[j], D.upper[j] = low[j], high[j]
    columns, values = np.empty(n + 1, dtype=np.int64), np.empty(n + 1)
    for j in range(n):
        columns[j] = j
    for i in range(k):
        for j in range(n):
            values[j] = W[i, j]
        columns[n], values[n] = n + i, -M[i]
        add_row(D, i, columns, values, -alpha[i] - M[i])
        D.upper[n + k + i] = 2.0 * (M[i] + abs(alpha[i]) + 2.0)
    if cuts == 1:
        add_sum(D, n, n + k + k, k, ball)
    deepest = 64 * k + 64 * n + 64 if np.any(whole) else 2 * k + 8
    return Tree(
        D, W, alpha, error, M, v, goal, np.array([ball, ball]), np.stack((low, high), 1), whole, cost_of,
        np.zeros(deepest, dtype=np.int64), np.zeros((deepest, 2)), np.zeros(deepest, dtype=np.int64),
        np.zeros(deepest, dtype=np.int64), np.zeros((deepest, 2)), np.zeros(k, dtype=np.bool_),
        np.zeros(5, dtype=np.int64),
    )  # fmt: skip


@_jit
def most_cuts(norm: int, cost: Any) -> int:
    """Return how many rows describe the norm at most; 1 for the one row of norm 1 over columns that go up or down."""
    if norm == INF:
        return 0
    return 1 if norm == ONE and not len(cost) else MOST_CUTS


@_jit
def put(t: Any, variable: int, low: float, high: float) -> None:
    """Change the bounds of a variable, to be undone later."""
    place = t.state[TRAIL]
    t.trail[place] = variable
    t.old[place, 0], t.old[place, 1] = t.D.lower[variable], t.D.upper[variable]
    t.state[TRAIL] = place + 1
    t.D.lower[variable], t.D.upper[variable] = low, high


@_jit
def undo(t: Any, length: int) -> None:
    """Restore the bounds that were changed since the trail had this length."""
    while t.state[TRAIL] > length:
        t.state[TRAIL] -= 1
        place = t.state[TRAIL]
        t.D.lower[t.trail[place]], t.D.upper[t.trail[place]] = t.old[place, 0], t.old[place, 1]


@_jit
def branch(t: Any, variable: int, first_low: float, first_high: float, low: float, high: float) -> None:
    """Go down into the first branch and keep the other for later."""
    depth = t.state[DEPTH]
    t.level[depth], t.branch[depth] = t.state[TRAIL], variable
    t.other[depth, 0], t.other[depth, 1] = low, high
    t.state[DEPTH] = depth + 1
    put(t, variable, first_low, first_high)


@_jit
def is_empty(t: Any) -> bool:
    """Whether a smaller radius has left a branch on integers without any."""
    for j in range(t.W.shape[1]):
        if t.D.lower[j] > t.D.upper[j]:
            return True
    return False


@_jit
def branch_whole(t: Any) -> bool:
    """Branch on the column of integers whose value is farthest from an integer; whether there is one."""
    D, column, away = t.D, -1, _FRACTION
    for j in range(t.W.shape[1]):
        # a program that was not solved may have columns outside of their bounds
        if t.whole[j] and D.lower[j] < D.x[j] < D.upper[j]:
            f = D.x[j] - np.floor(D.x[j])
            if min(f, 1.0 - f) > away:
                column, away = j, min(f, 1.0 - f)
    if column < 0:
        return False
    down = np.floor(D.x[column])
    if D.x[column] - down < 0.5:
        branch(t, column, D.lower[column], down, down + 1.0, D.upper[column])
    else:
        branch(t, column, down + 1.0, D.upper[column], D.lower[column], down)
    return True


@_jit
def branch_any(t: Any) -> bool:
    """Branch on a column of integers although the solution has integers only; whether one is left to branch on."""
    D = t.D
    for j in range(t.W.shape[1]):
        if t.whole[j] and D.upper[j] - D.lower[j] > 0.5:
            at = min(max(np.rint(D.x[j]), D.lower[j]), D.upper[j])
            if at > D.lower[j]:
                branch(t, j, at, D.upper[j], D.lower[j], at - 1.0)
            else:
                branch(t, j, at, at, at + 1.0, D.upper[j])
            t.state[MODE] = FRESH
            return True
    return False


@_jit
def shrink(norm: int, t: Any, ball: float, low: Any, high: Any) -> None:
    """Take over a smaller radius: bounds of all columns, also those that are to be restored."""
    n = t.W.shape[1]
    if norm == ONE and not len(t.cost):
        # the last slack is 1 - Σ e / ball with the ball of the root
        t.D.lower[len(t.D.x) - 1] = max(0.0, 1.0 - ball / t.ball[1])
    t.ball[0] = ball
    for j in range(n):
        t.D.lower[j], t.D.upper[j] = max(t.D.lower[j], low[j]), min(t.D.upper[j], high[j])
        t.root[j, 0], t.root[j, 1] = max(t.root[j, 0], low[j]), min(t.root[j, 1], high[j])
    for place in range(t.state[TRAIL]):
        j = t.trail[place]
        if j < n:
            t.old[place, 0], t.old[place, 1] = max(t.old[place, 0], low[j]), min(t.old[place, 1], high[j])
    for depth in range(t.state[DEPTH]):
        j = t.branch[depth]
        if j < n:
            t.other[depth, 0], t.other[depth, 1] = max(t.other[depth, 0], low[j]), min(t.other[depth, 1], high[j])


@_jit
def reached(norm: int, t: Any, g: Any, low: Any, high: Any) -> float:
    """Return h(g) for columns between bounds."""
    if len(t.cost):
        return support_steps(norm, g, t.ball[0], low, high, t.cost, t.whole)
    return support(norm, g, t.ball[0], low, high)[0]


@_jit
def _most(norm: int, t: Tree, factors: Any, g: Any, gains: Any) -> float:
    """Return an upper bound of Σ v y at the node; write what each neuron contributes with y = 1."""
    k, n = t.W.shape
    D = t.D
    if norm == INF:
        value = 0.0
        for j in range(n):
            value += g[j] * (D.upper[j] if g[j] > 0.0 else D.lower[j])
    else:
        value = reached(norm, t, g, D.lower[:n], D.upper[:n])
    total, noise, size = value, 0.0, abs(t.goal[0])
    for j in range(n):
        if g[j] != 0.0 and norm == INF:
            size += abs(g[j]) * max(abs(D.lower[j]), abs(D.upper[j]))
    for i in range(k):
        gains[i] = t.v[i] - factors[i] * t.M[i]
        if D.lower[n + i] == 1.0:
            total += gains[i]
        elif D.upper[n + i] == 1.0:
            total += max(gains[i], 0.0)
        total += factors[i] * (t.alpha[i] + t.M[i])
        noise += factors[i] * t.error[i]
        size += factors[i] * (abs(t.alpha[i]) + 2.0 * t.M[i] + 2.0) + t.v[i]
    return total + 1.01 * noise + 2.0 * (n + k + 20) * UNIT * (size + abs(value))


@_jit
def add_sum(D: Dictionary, n: int, slack: int, label: int, ball: float) -> None:
    """Add the row Σ e <= ball of the first n columns, whose slack is in parts of the ball."""
    add_row(D, label, np.arange(n), np.full(n, -1.0 / ball), -1.0)
    D.upper[slack] = 1.0


@_jit
def cut(t: Any, g: Any, value: float, first: int, before: int) -> bool:
    """Add the row g·e <= h(g) if the solution violates it, in the place of the slackest cut if there are too many.

    `first` is the label of the first cut, `before` the number of structural columns.
    """
    n, D = t.W.shape[1], t.D
    if value <= 0.0:
        return False
    at = 0.0
    for j in range(n):
        at += g[j] * D.x[j]
    if at <= value * (1.0 + 1e-8):
        return False
    label = first + t.state[CUTS]
    if t.state[CUTS] < MOST_CUTS:
        t.state[CUTS] += 1
    else:
        row, most = -1, 0.0
        for i in range(D.size[0]):
            if D.basic[i] >= before + first and D.x[D.basic[i]] > most:
                row, most = i, D.x[D.basic[i]]
        if row < 0:
            return False
        label = D.basic[row] - before
        last = D.size[0] - 1
        if row != last:
            D.T[row] = D.T[last]
            D.constant[row], D.norm[row], D.basic[row] = D.constant[last], D.norm[last], D.basic[last]
            D.place[D.basic[row]] = -1 - row
        D.size[0] = last
    columns, values = np.empty(n, dtype=np.int64), np.empty(n)
    spread = 0.0
    for j in range(n):
        columns[j], values[j] = j, -g[j] / value
        spread += abs(values[j]) * max(abs(t.root[j, 0]), abs(t.root[j, 1]))
    add_row(D, label, columns, values, -1.0)
    D.lower[before + label], D.upper[before + label] = 0.0, 4.0 + 4.0 * spread
    return True


@_jit
def cut_steps(norm: int, t: Any, pull: Any, first: int, before: int) -> bool:
    """Add a cut where the steps of the solution cost too much; `pull` says where those at 0 are wanted to go."""
    n = t.W.shape[1]
    g = np.empty(n)
    ascent(norm, t.D.x[:n], pull, t.cost, t.whole, g)
    return cut(t, g, reached(norm, t, g, t.root[:, 0], t.root[:, 1]), first, before)


@_jit
def advance(t: Any, last: int) -> int:
    """Count a node: the current one, or if that is pruned the one that comes after; return why there is none, or -1."""
    state = t.state
    if state[MODE] == PRUNED:
        if state[DEPTH] == 0:
            return DONE
        state[DEPTH] -= 1
        depth = state[DEPTH]
        undo(t, t.level[depth])
        put(t, t.branch[depth], t.other[depth, 0], t.other[depth, 1])
        state[MODE] = FRESH
    if state[NODES] >= last:
        return LIMIT
    state[MODE] = FRESH
    state[NODES] += 1
    return -1


@_jit
def explore(norm: int, t: Tree, most: int) -> int:
    """Go on with the search for at most `most` nodes; return why it stopped.

    After `CANDIDATE` the mode is `RESUMED`, after `LEAF` it is `PRUNED`: whoever answers may change it.
    """
    k, n = t.W.shape
    D, state = t.D, t.state
    factors, out, gains = np.empty(k), np.empty(len(D.x) - n - k), np.empty(k)
    relaxed, point = np.empty(k), np.zeros(n)
    last = state[NODES] + most
    while True:
        offered = state[MODE] == RESUMED
        stop = advance(t, last)
        if stop >= 0:
            return stop
        if is_empty(t):
            state[MODE] = PRUNED
            continue
        pruned, leaf, code = False, False, 0
        # at the root the cuts are yet to be found
        for _ in range(ROUNDS if state[NODES] == 1 or len(t.cost) else LATER_ROUNDS):
            possible, sure, unfixed = 0.0, 0.0, 0
            for i in range(k):
                if D.upper[n + i] == 1.0:
                    possible += t.v[i]
                    if D.lower[n + i] == 1.0:
                        sure += t.v[i]
                    else:
                        unfixed += 1
            if possible < t.goal[0]:
                pruned = True
                break
            leaf = unfixed == 0 or sure >= t.goal[1]
            code = solve(D, -t.goal[0] + 2.0 * SHAKE + 1e-9, MOST_PIVOTS)
            multipliers(D, 4.0 * (possible + 1.0) if code == 2 else 0.0, out)
            for i in range(k):
                factors[i] = max(out[i], 0.0)
            g = combined(t.W, factors)
            bound = _most(norm, t, factors, g, gains)
            if bound < t.goal[0]:
                pruned = True
                break
            fixed = 0
            for i in range(k):
                if D.lower[n + i] < D.upper[n + i] and bound - abs(gains[i]) < t.goal[0]:
                    value_ = 1.0 if gains[i] > 0.0 else 0.0
                    put(t, n + i, value_, value_)
                    fixed += 1
            more = False
            if len(t.cost):
                # columns at 0 are wanted where neurons are to be helpful
                more = code == OPTIMAL and cut_steps(norm, t, combined(t.W, t.v * D.x[n : n + k]), k, n + k)
            elif norm == TWO and code == OPTIMAL:
                # the y of the solution stand for a polyhedron: if that is out of reach, its multipliers make a cut
                for i in range(k):
                    relaxed[i] = t.alpha[i] + t.M[i] * (1.0 - D.x[n + i])
                near = nearest_two(t.W, relaxed, D.lower[:n], D.upper[:n], t.ball[0] * (1.0 + 1e-7))
                if near.radius > t.ball[0] * (1.0 + 1e-7):
                    g = combined(t.W, near.factors)
                    more = cut(t, g, support(norm, g, t.ball[0], D.lower[:n], D.upper[:n])[0], k, n + k)
                else:
                    point[:] = near.point
            if fixed == 0 and not more:
                break
        if pruned:
            state[MODE] = PRUNED
            continue
        weight = 0.0
        for i in range(k):
            if norm == TWO and not len(t.cost):
                t.found[i] = t.alpha[i] + np.dot(t.W[i], point) >= -1e-9
            else:
                t.found[i] = D.x[n + k + i] - t.M[i] * (1.0 - D.x[n + i]) >= -1e-9
            if t.found[i]:
                weight += t.v[i]
        if code == OPTIMAL and not offered and weight >= t.goal[0]:
            state[MODE] = RESUMED
            return CANDIDATE
        if leaf:
            if state[TRAIL] + k + 4 < len(t.trail) and branch_whole(t):
                continue
            for i in range(k):
                t.found[i] = D.lower[n + i] == 1.0
            state[MODE] = PRUNED
            return LEAF
        chosen, best = -1, -1.0
        for i in range(k):
            if D.lower[n + i] == D.upper[n + i]:
                continue
            y = D.x[n + i]
            score = 1e-9 * t.v[i]
            if code == OPTIMAL and 1e-6 < y < 1.0 - 1e-6 and D.place[n + i] < 0:
                down, up = penalties(D, -1 - D.place[n + i])
                down, up = min(down, 4.0), min(up, 4.0)
                score = (down + 1e-4) * (up + 1e-4)
            if score > best:
                chosen, best = i, score
        if chosen < 0 or state[TRAIL] + k + 4 >= len(t.trail):
            for i in range(k):
                t.found[i] = D.lower[n + i] == 1.0
            state[MODE] = PRUNED
            return LEAF
        y = D.x[n + chosen]
        if y >= 0.5:
            branch(t, n + chosen, 1.0, 1.0, 0.0, 0.0)
        else:
            branch(t, n + chosen, 0.0, 0.0, 1.0, 1.0)
