"""Compiled kernels of the search under perturbations: bounds of pre-activations, states, a neuron's turn.

Names are as in `bdnn.search.kernels`; see `bdnn.search.robust` for the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bdnn.search.kernels import _inner, _jit, _objective, _set, layer_of, line_search, normal, uniform


class RobustState(NamedTuple):
    """A network under robust search; names as in `bdnn.search.kernels.State`.

    Attributes
    ----------
    low, high : ndarray of shape (n, p)
        Least and largest inputs on a grid; the inputs themselves where there is none.
    radius : ndarray of shape (n,)
        Of each feature; 0 on a grid, where `low` and `high` hold it.
    norm : int64
        0, 1, 2 for the norms "inf", "1", "2".
    penalty : float
        In the model of the paper, loss of a point at which a neuron of the first layer is open: more than all others
        together, as such networks are not of the model; else 0.
    exact : bool
        Whether the bounds of the first layer are free of rounding errors.
    on, maybe : ndarray of shape (sum of widths, p), uint8
        Surely on; not surely off.
    """

    low: Any
    high: Any
    radius: Any
    norm: Any
    class_weight: Any
    centre: Any
    unit: Any
    reach: Any
    width: Any
    W: Any
    b: Any
    w_from: Any
    b_from: Any
    on: Any
    maybe: Any
    loss: Any
    argmax: Any
    penalty: Any
    exact: Any
    bound: Any
    intercept: Any
    rng: Any


@_inner
def _copy(source, target):
    for i in range(target.shape[0]):
        target[i] = source[i]


@_inner
def _ball(rs, w):
    """Return how far the ball reaches: the dual norm of the weights times the radii."""
    total = 0.0
    for j in range(w.shape[0]):
        v = abs(w[j]) * rs.radius[j]
        if rs.norm == 0:
            total += v
        elif rs.norm == 1:
            total = max(total, v)
        else:
            total += v * v
    return np.sqrt(total) if rs.norm == 2 else total


@_inner
def _limits(rs, k, row, points, least, most):
    """Bounds of a neuron's pre-activation at some points, without its rounding error."""
    n_in = rs.low.shape[0] if k == 0 else rs.width[k - 1]
    at = rs.w_from[k] + row * n_in
    w = rs.W[at : at + n_in]
    bias = rs.b[rs.b_from[k] + row]
    _set(least, bias)
    _set(most, bias)
    size = abs(bias)
    for j in range(n_in):
        v = w[j]
        if v == 0.0:
            continue
        size += abs(v) * (rs.reach[j] if k == 0 else 1.0)
        if k == 0:
            low, high = (rs.low[j], rs.high[j]) if v > 0.0 else (rs.high[j], rs.low[j])
            for r in range(points.shape[0]):
                least[r] += v * low[points[r]]
                most[r] += v * high[points[r]]
        else:
            on, maybe = rs.on[rs.b_from[k - 1] + j], rs.maybe[rs.b_from[k - 1] + j]
            low8, high8 = (on, maybe) if v > 0.0 else (maybe, on)
            for r in range(points.shape[0]):
                least[r] += v * low8[points[r]]
                most[r] += v * high8[points[r]]
    doubt = (n_in + 4) * 4e-16 * size
    if k == 0:
        ball = _ball(rs, w)
        doubt += 1e-14 * ball
        for r in range(points.shape[0]):
            least[r] -= ball
            most[r] += ball
    return 0.0 if rs.exact or (k > 0 and rs.bound > 0) else doubt


@_inner
def _sure_win(rs, c, other, on, maybe, i, k):
    """Whether output c surely beats another at point i; `on` and `maybe` are the states of the layer below."""
    n_in = rs.low.shape[0] if k == 0 else rs.width[k - 1]
    at, to = rs.w_from[k] + c * n_in, rs.w_from[k] + other * n_in
    total = rs.b[rs.b_from[k] + c] - rs.b[rs.b_from[k] + other]
    size = abs(total)
    ball = 0.0
    for j in range(n_in):
        v = rs.W[at + j] - rs.W[to + j]
        if k == 0:
            x = rs.low[j, i] if v > 0.0 else rs.high[j, i]
            reach = abs(v) * rs.radius[j]
            ball = max(ball, reach) if rs.norm == 1 else (ball + reach if rs.norm == 0 else ball + reach * reach)
        else:
            x = float(on[j]) if v > 0.0 else float(maybe[j])
        total += v * x
        size += abs(v * x)
    if rs.norm == 2:
        ball = np.sqrt(ball)
    total -= ball
    # a tie goes to the lower index; rounding counts as doubt
    if rs.exact or (k > 0 and rs.bound > 0) or size == 0.0:
        return total > 0.0 or (total == 0.0 and c < other)
    return total > (n_in + 4) * 4e-16 * (size + ball)


@_inner
def _loss_from(rs, i, k, on, maybe):
    """Loss of point i if layer k has these states; the first rows of `on` and `maybe` of shape (2, widest)."""
    last = rs.width.shape[0] - 1
    here = 0
    stop = last - 1 if rs.argmax else last
    while k < stop:
        n_in, n_out, w = rs.width[k], rs.width[k + 1], rs.w_from[k + 1]
        for c in range(n_out):
            least = rs.b[rs.b_from[k + 1] + c]
            most, size = least, abs(least)
            for j in range(n_in):
                v = rs.W[w + c * n_in + j]
                size += abs(v)
                if v > 0.0:
                    least += v * on[here, j]
                    most += v * maybe[here, j]
                else:
                    least += v * maybe[here, j]
                    most += v * on[here, j]
            doubt = 0.0 if rs.bound > 0 else (n_in + 4) * 4e-16 * size
            on[1 - here, c] = least >= doubt
            maybe[1 - here, c] = not most < -doubt
        here = 1 - here
        k += 1
    n_classes = rs.class_weight.shape[1]
    total, loss = 0.0, 0.0
    for c in range(n_classes):
        total += rs.class_weight[i, c]
    if rs.argmax:
        for c in range(n_classes):
            if rs.class_weight[i, c] > 0.0:
                for other in range(n_classes):
                    if other != c and not _sure_win(rs, c, other, on[here], maybe[here], i, last):
                        loss += rs.class_weight[i, c]
                        break
        return loss
    n_out = rs.width[last]
    if n_out == 1:
        return (rs.class_weight[i, 0] if maybe[here, 0] else 0.0) + (0.0 if on[here, 0] else rs.class_weight[i, 1])
    for c in range(n_out):
        own = rs.class_weight[i, c]
        loss += (0.0 if on[here, c] else own) + ((total - own) if maybe[here, c] else 0.0)
    return loss


@_inner
def _open(rs, i, but):
    """Whether a neuron of the first layer, other than `but`, is open at point i."""
    for row in range(rs.width[0]):
        if row != but and rs.on[row, i] != rs.maybe[row, i]:
            return True
    return False


@_inner
def _states(rs, i, k, on, maybe):
    for j in range(rs.width[k]):
        on[0, j] = rs.on[rs.b_from[k] + j, i]
        maybe[0, j] = rs.maybe[rs.b_from[k] + j, i]


@_inner
def _widest(rs):
    most = 1
    for k in range(rs.width.shape[0]):
        most = max(most, rs.width[k])
    return most


@_inner
def _robust_update(rs, neuron):
    """Bring everything up to date after a change of one neuron, -1: of all; return the change of the total loss."""
    p = rs.loss.shape[0]
    last = rs.width.shape[0] - 1
    everything = neuron < 0
    begin = 0
    if not everything:
        begin, _ = layer_of(rs, neuron)
    points = np.arange(p).astype(np.int32)
    least, most = np.empty(p), np.empty(p)
    competing = last if rs.argmax else last + 1
    for k in range(begin, competing):
        for row in range(rs.width[k]):
            me = rs.b_from[k] + row
            if k == begin and not everything and me != neuron:
                continue
            doubt = _limits(rs, k, row, points, least, most)
            for i in range(p):
                rs.on[me, i] = least[i] >= doubt
                rs.maybe[me, i] = not most[i] < -doubt
    widest = _widest(rs)
    on, maybe = np.zeros((2, widest), np.uint8), np.zeros((2, widest), np.uint8)
    change = 0.0
    if everything:
        _set(rs.loss, 0.0)
    for i in range(p):
        if rs.penalty > 0.0 and last > 0 and _open(rs, i, -1):
            loss = rs.penalty
        elif rs.argmax and last == 0:
            loss = _loss_from(rs, i, 0, on, maybe)
        else:
            k = last - 1 if rs.argmax else last
            _states(rs, i, k, on, maybe)
            loss = _loss_from(rs, i, k, on, maybe)
        change += loss - rs.loss[i]
        rs.loss[i] = loss
    return change


@_inner
def _weigh(rs, k, row, active, g):
    """Gains of being surely on (first half of g) and of not being surely off, where they are not both 0."""
    p = rs.loss.shape[0]
    widest = _widest(rs)
    on, maybe = np.zeros((2, widest), np.uint8), np.zeros((2, widest), np.uint8)
    q = 0
    loss = np.empty(3)
    for i in range(p):
        if rs.penalty > 0.0 and _open(rs, i, row if k == 0 else -1):
            continue
        for state in range(3):
            _states(rs, i, k, on, maybe)
            on[0, row], maybe[0, row] = state == 2, state >= 1
            loss[state] = _loss_from(rs, i, k, on, maybe)
        if rs.penalty > 0.0 and k == 0 and rs.width.shape[0] > 1:
            loss[1] = rs.penalty
        active[q], g[0, q], g[1, q] = i, loss[2] - loss[1], loss[1] - loss[0]
        q += 1 if g[0, q] != 0.0 or g[1, q] != 0.0 else 0
    return q


@_jit
def robust_turn(rs, neuron, moves, spread):
    """Improve one neuron, all others fixed; as `bdnn.search.kernels.turn`."""
    if moves == 0:
        return _robust_update(rs, neuron)
    k, row = layer_of(rs, neuron)
    last = rs.width.shape[0] - 1
    rng, p = rs.rng, rs.loss.shape[0]
    n_in = rs.low.shape[0] if k == 0 else rs.width[k - 1]
    w = rs.W[rs.w_from[k] + row * n_in : rs.w_from[k] + (row + 1) * n_in]
    b_at = rs.b_from[k] + row
    integer = rs.bound > 0
    w_old, b_old = w.copy(), rs.b[b_at]
    if rs.argmax and k == last:
        # no state of its own: small random steps, judged by the whole loss
        total = 0.0
        for _ in range(max(1, moves // 8)):
            _copy(w, w_old)
            b_old = rs.b[b_at]
            j = int(uniform(rng) * (n_in + (1 if rs.intercept else 0)))
            if j == n_in:
                step = 1.0 + abs(b_old) * 0.3
                rs.b[b_at] += np.rint(2.0 * normal(rng)) if integer else normal(rng) * step
            elif integer:
                w[j] = np.floor(uniform(rng) * (2.0 * rs.bound + 1.0)) - rs.bound
            else:
                w[j] += normal(rng) * (abs(w[j]) + 0.3 * (rs.unit[j] if k == 0 else 1.0))
            change = _robust_update(rs, neuron)
            if change > 0.0:
                _copy(w_old, w)
                rs.b[b_at] = b_old
                change += _robust_update(rs, neuron)
            total += change
        return total
    active, gain = np.empty(p + 1, np.int32), np.empty((2, p + 1))
    q = _weigh(rs, k, row, active, gain)
    if q == 0:
        return 0.0
    points = active[:q]
    g, a, s, trial = np.empty(2 * q), np.empty(2 * q), np.empty(2 * q), np.empty(2 * q)
    _copy(gain[0, :q], g[:q])
    _copy(gain[1, :q], g[q:])
    d, bucket, picked = np.empty(2 * q + 1), np.empty(2 * q + 1, np.int32), np.empty(2 * q + 1, np.int32)
    _limits(rs, k, row, points, a[:q], a[q:])
    now = _objective(a, g)
    v = np.zeros(n_in)
    for _ in range(moves):
        _set(v, 0.0)
        shift = 0.0
        start = 0.0  # where on the half-line the weights are now
        farthest = np.inf
        bias_only = n_in == 0 or uniform(rng) < 1.5 / (n_in + 1.0)
        if bias_only:
            if not rs.intercept:
                continue
            shift = 1.0
        elif integer or uniform(rng) >= spread:
            j = int(uniform(rng) * n_in)
            # from weight 0 to one side
            v[j] = (1.0 if integer else (rs.unit[j] if k == 0 else 1.0)) * (1.0 if uniform(rng) < 0.5 else -1.0)
            if v[j] == 0.0:
                continue
            start = w[j] / v[j]
            if integer:
                farthest = float(rs.bound)
        else:
            n_chosen = n_in if uniform(rng) < 0.15 else min(n_in, 2 + int(3.0 * uniform(rng)))
            for c in range(n_chosen):
                j = c if n_chosen == n_in else int(uniform(rng) * n_in)
                v[j] = normal(rng) * (rs.unit[j] if k == 0 else 1.0)
            for j in range(n_in):
                if v[j] * w[j] < 0.0:
                    farthest = min(farthest, -w[j] / v[j])
        if not bias_only and not integer and rs.intercept:
            pivot = points[int(uniform(rng) * q)] if uniform(rng) < 0.5 else -1
            for j in range(n_in):
                if v[j] != 0.0:
                    if pivot < 0:
                        shift -= v[j] * (rs.centre[j] if k == 0 else 0.5)
                    else:
                        shift -= v[j] * (rs.low[j, pivot] if k == 0 else rs.on[rs.b_from[k - 1] + j, pivot])
        # weights and bounds at the beginning of the half-line, and slopes along it
        w_before, b_before = w.copy(), rs.b[b_at]
        for j in range(n_in):
            w[j] -= start * v[j]
        rs.b[b_at] -= start * shift
        if start != 0.0:
            _limits(rs, k, row, points, trial[:q], trial[q:])
        else:
            _copy(a, trial)
        _set(s, shift)
        size = 0.0
        ball = 0.0
        norm2 = _ball(rs, w) if k == 0 else 0.0
        largest = -1
        for j in range(n_in):
            if k == 0 and rs.norm == 1:
                if largest < 0 or abs(w[j]) * rs.radius[j] > abs(w[largest]) * rs.radius[largest]:
                    largest = j
        for j in range(n_in):
            if v[j] == 0.0:
                continue
            size = max(size, abs(v[j]))
            up = w[j] > 0.0 or (w[j] == 0.0 and v[j] > 0.0)
            if k == 0:
                low, high = (rs.low[j], rs.high[j]) if up else (rs.high[j], rs.low[j])
                for r in range(q):
                    s[r] += v[j] * low[points[r]]
                    s[q + r] += v[j] * high[points[r]]
                if rs.norm == 0:
                    ball += (v[j] if up else -v[j]) * rs.radius[j]
                elif rs.norm == 1:
                    if j == largest:
                        ball += (v[j] if up else -v[j]) * rs.radius[j]
                elif norm2 > 0.0:
                    ball += v[j] * w[j] * rs.radius[j] ** 2 / norm2
                else:
                    ball += abs(v[j]) * rs.radius[j]
            else:
                on, maybe = rs.on[rs.b_from[k - 1] + j], rs.maybe[rs.b_from[k - 1] + j]
                low8, high8 = (on, maybe) if up else (maybe, on)
                for r in range(q):
                    s[r] += v[j] * low8[points[r]]
                    s[q + r] += v[j] * high8[points[r]]
        for r in range(q):
            s[r] -= ball
            s[q + r] += ball
        t, step = 0.0, 0.0
        jump = integer and not bias_only
        if jump:
            # a random weight, with the best bias for it
            t = np.floor(uniform(rng) * (farthest + 1.0))
            for r in range(2 * q):
                trial[r] += t * s[r]
            _set(s, 1.0)
        if not jump or rs.intercept:
            if not bias_only and not jump:
                # what happens before the half-line begins or after it ends is left out
                for r in range(2 * q):
                    if s[r] != 0.0:
                        x = -trial[r] / s[r]
                        if x <= 0.0 or x >= farthest:
                            s[r] = 0.0
            _, left, right = line_search(trial, s, g, integer, rng, d, bucket, picked)
            if not bias_only and not jump:
                left, right = max(left, 0.0), min(right, farthest)
            if integer:
                if left == -np.inf:
                    step = min(0.0, right - 1.0)
                elif right == np.inf:
                    step = max(0.0, left)
                else:
                    step = np.floor((left + right - 1.0) / 2.0)
                if jump:
                    rs.b[b_at] += step
                else:
                    t = step
            elif left == -np.inf:
                t = 0.0 if right > 0.0 else right - (0.5 + uniform(rng)) * (1.0 + abs(right))
            elif right == np.inf:
                t = start if left < start else left + (0.5 + uniform(rng)) * (0.1 + abs(left))
            else:
                t = left + (0.4 + 0.2 * uniform(rng)) * (right - left)
        for j in range(n_in):
            w[j] += t * v[j]
        rs.b[b_at] += t * shift
        if integer:
            for j in range(n_in):
                w[j] = np.rint(w[j])
        _limits(rs, k, row, points, trial[:q], trial[q:])
        then = _objective(trial, g)
        if then <= now:
            now = then
            a, trial = trial, a
        else:
            _copy(w_before, w)
            rs.b[b_at] = b_before
    change = _robust_update(rs, neuron)
    if change > 0.0:
        _copy(w_old, w)
        rs.b[b_at] = b_old
        change += _robust_update(rs, neuron)
    return change
