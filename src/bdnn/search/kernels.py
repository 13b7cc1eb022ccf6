"""Compiled kernels of the search: exact line search, gains of a neuron, a neuron's turn.

A network under search is a `State`: all arrays are updated in place. Inputs are stored by feature, weights act on raw
inputs, so the numbers in a state are those of the network it stands for. Layers are numbered from 0; *signal* is what a
layer reads. Compilation happens at the first call and is cached on disk; the module is imported at use only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
# sums in any order: exact for integer sample weights, and every accepted move is recounted
_fast = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False, fastmath={"reassoc"})

SAMPLE = 64
MOST_BUCKETS = 8192


class State(NamedTuple):
    """A network under search; see the module.

    Attributes
    ----------
    X : ndarray of shape (n, p), float32 or float64
        Points by feature.
    class_weight : ndarray of shape (p, C)
        Weight of each label at each point.
    total : ndarray of shape (p,)
        Their sum.
    centre, unit : ndarray of shape (n,)
        A typical value of each feature, and the length of a step along it.
    width : ndarray of shape (K,), int64
        Neurons of each layer.
    W, b : ndarray
        All weights and biases, layer by layer, row by row.
    w_from, b_from : ndarray of shape (K + 1,), int64
        Where each layer begins in `W` and `b`.
    U : ndarray of shape (sum of widths, p), uint8
        What each neuron fires; the rows of an argmax output are not used.
    A : ndarray of shape (p, sum of widths)
        Pre-activations of the layers above the first, or of the only one.
    loss : ndarray of shape (p,)
        Of each point.
    argmax : bool
        Head.
    bound : int64
        Largest absolute weight of integer networks; 0 for continuous ones.
    intercept : bool
        Whether neurons have biases.
    rng : ndarray of shape (1,), uint64
        State of the generator.
    """

    X: Any
    class_weight: Any
    total: Any
    centre: Any
    unit: Any
    width: Any
    W: Any
    b: Any
    w_from: Any
    b_from: Any
    U: Any
    A: Any
    loss: Any
    argmax: Any
    bound: Any
    intercept: Any
    rng: Any


@_jit
def uniform(rng):
    """Next number of the generator, in [0, 1): xorshift64*."""
    x = rng[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    rng[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@_jit
def normal(rng):
    """Standard normal number (Box and Muller)."""
    u = 1.0 - uniform(rng)
    return np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586 * uniform(rng))


@_jit
def _bounds_of_sample(a, s, integer):
    """Range of t that holds most of the breakpoints: between the extremes of a sample, its tails left out."""
    q = a.shape[0]
    sample = np.empty(SAMPLE)
    n = 0
    step = max(1, q // SAMPLE)
    for k in range(min(SAMPLE, q)):
        i = k * step
        if s[i] != 0.0:
            t = -a[i] / s[i]
            j = n
            while j > 0 and sample[j - 1] > t:
                sample[j] = sample[j - 1]
                j -= 1
            sample[j] = t
            n += 1
    if n == 0:
        return -1.0, 1.0
    cut = n // 20
    low, high = sample[cut], sample[n - 1 - cut]
    if integer:
        low, high = np.floor(low), np.ceil(high) + 1.0
    if not high > low:
        return low - 0.5, low + 0.5
    return low, high


@_fast
def _bucket(a, s, g, low, per, top, bucket, d):
    """Bucket and jump of every breakpoint; return the objective at t = -inf less the one at t = 0."""
    start = 0.0
    for i in range(a.shape[0]):
        x = (-a[i] / s[i] - low) * per
        x = x if x > 0.0 else 0.0
        x = x if x < top else top
        bucket[i] = np.int32(x)
        v = 0.0 if s[i] == 0.0 else g[i]
        d[i] = v if s[i] > 0.0 else -v
        start += (v if s[i] < 0.0 else 0.0) - (v if a[i] >= 0.0 else 0.0)
    return start


@_fast
def _bucket_integer(a, s, g, low, per, top, bucket, d):
    """As `_bucket`, where t takes integer values: breakpoint T means that the jump is done for all t >= T."""
    start = 0.0
    for i in range(a.shape[0]):
        q = -a[i] / s[i]
        t = np.ceil(q) if s[i] > 0.0 else np.floor(q) + 1.0
        x = (t - low) * per
        x = x if x > 0.0 else 0.0
        x = x if x < top else top
        bucket[i] = np.int32(x)
        v = 0.0 if s[i] == 0.0 else g[i]
        d[i] = v if s[i] > 0.0 else -v
        start += (v if s[i] < 0.0 else 0.0) - (v if a[i] >= 0.0 else 0.0)
    return start


@_jit
def _histogram(bucket, d, sums):
    """Positive and negative jumps of each bucket."""
    for i in range(bucket.shape[0]):
        sums[bucket[i], 1 if d[i] < 0.0 else 0] += d[i]


@_jit
def _pick(bucket, wanted, out):
    n = 0
    for i in range(bucket.shape[0]):
        out[n] = i
        n += wanted[bucket[i]]
    return n


@_jit
def _insertion(t, order, first, last):
    """Sort `order[first:last]` by t, and by index where t is equal."""
    for k in range(first + 1, last):
        i = order[k]
        j = k
        while j > first and t[order[j - 1]] > t[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@_jit
def line_search(a, s, g, integer, rng, d, bucket, picked):
    """Minimise ``sum of g_i [a_i + t s_i >= 0]`` over t, exactly.

    Parameters
    ----------
    a, s, g : ndarray of shape (q,)
        Pre-activations, their slopes, and gains: losses of firing less losses of not firing.
    integer : bool
        Whether t takes integer values only.
    rng : ndarray of shape (1,), uint64
        Chooses among equally good intervals.
    d, bucket, picked : ndarray of shape (q + 1,), float64, int32, int32
        Work space.

    Returns
    -------
    change : float
        Best objective less that of t = 0.
    left, right : float
        The best interval: ``left < t < right``, or ``left <= t < right`` for integers. The outer ones are infinite.

    Notes
    -----
    Breakpoints go into buckets by value. At the border of two buckets the objective is known from the sums of the
    buckets; inside a bucket it cannot be lower than at its start by more than its negative jumps. Only buckets in which
    the minimum may lie are sorted.
    """
    q = a.shape[0]
    low, high = _bounds_of_sample(a, s, integer)
    count = max(8, min(MOST_BUCKETS, q // 4))
    per = count / (high - low)
    d, bucket = d[:q], bucket[:q]
    if integer:
        value = _bucket_integer(a, s, g, low, per, count - 1.0, bucket, d)
    else:
        value = _bucket(a, s, g, low, per, count - 1.0, bucket, d)
    sums = np.zeros((count, 2))
    _histogram(bucket, d, sums)
    starts = np.empty(count + 1)
    least = value
    for k in range(count):
        starts[k] = value
        value += sums[k, 0] + sums[k, 1]
        least = min(least, value)
    starts[count] = value
    wanted = np.zeros(count, np.uint8)
    for k in range(count):
        if sums[k, 0] != 0.0 or sums[k, 1] != 0.0:
            touches = starts[k] == least or starts[k + 1] == least
            wanted[k] = touches or starts[k] + sums[k, 1] < least
    n = _pick(bucket, wanted, picked)
    keys = np.empty(n)
    for k in range(n):
        i = picked[k]
        t = -a[i] / s[i]
        if integer:
            t = np.ceil(t) if s[i] > 0.0 else np.floor(t) + 1.0
        keys[k] = t if s[i] != 0.0 else np.inf
    order = np.argsort(keys)
    best, left, right, ties = np.inf, 0.0, 0.0, 0
    previous, behind = -np.inf, -1
    current = starts[0]
    for k in range(n + 1):
        i = -1
        t, at = np.inf, count
        if k < n and keys[order[k]] < np.inf:
            i = picked[order[k]]
            t, at = keys[order[k]], bucket[i]
        known = True
        if at != behind:
            # buckets that were not picked may lie between: then both ends of this interval are not breakpoints
            for m in range(behind + 1, at):
                known = known and sums[m, 0] == 0.0 and sums[m, 1] == 0.0
            current = starts[at]
        if known and t > previous:
            if current < best:
                best, left, right, ties = current, previous, t, 1
            elif current == best:
                ties += 1
                if uniform(rng) * ties < 1.0:
                    left, right = previous, t
        if i < 0:
            break
        current += d[i]
        previous, behind = t, at
    return best, left, right


@_jit
def lattice_search(a, s, g, t_min, t_max, rng):
    """As `line_search` for few integer t: return the change and the best t in [t_min, t_max]."""
    count = int(t_max - t_min) + 1
    jumps = np.zeros(count + 1)
    value = 0.0
    for i in range(a.shape[0]):
        if s[i] == 0.0:
            continue
        q = -a[i] / s[i]
        t = np.ceil(q) if s[i] > 0.0 else np.floor(q) + 1.0
        v = g[i] if s[i] > 0.0 else -g[i]
        value -= g[i] if a[i] >= 0.0 else 0.0
        value += g[i] if s[i] < 0.0 else 0.0
        if t <= t_min:
            jumps[0] += v
        elif t <= t_max:
            jumps[int(t - t_min)] += v
    best, where, ties = np.inf, t_min, 0
    for k in range(count):
        value += jumps[k]
        if value < best:
            best, where, ties = value, t_min + k, 1
        elif value == best:
            ties += 1
            if uniform(rng) * ties < 1.0:
                where = t_min + k
    return best, where


@_jit
def _stored_from(st):
    """First neuron whose pre-activations are stored."""
    return st.b_from[1] if st.width.shape[0] > 1 else 0


@_jit
def layer_of(st, neuron):
    """Layer of a neuron, and its row there; neurons are numbered through all layers."""
    k = 0
    while neuron >= st.b_from[k + 1]:
        k += 1
    return k, neuron - st.b_from[k]


@_jit
def _loss_above(st, i, k, z, u):
    """Loss of point i if the pre-activations of layer k are in ``z[0]``; ``z[1]`` and ``u`` are work space."""
    last = st.width.shape[0] - 1
    here = 0
    while k < last:
        n_in, n_out = st.width[k], st.width[k + 1]
        for j in range(n_in):
            u[j] = 1.0 if z[here, j] >= 0.0 else 0.0
        w = st.w_from[k + 1]
        for c in range(n_out):
            total = 0.0
            for j in range(n_in):
                total += st.W[w + c * n_in + j] * u[j]
            z[1 - here, c] = total + st.b[st.b_from[k + 1] + c]
        here = 1 - here
        k += 1
    n_out = st.width[last]
    if st.argmax:
        best = 0
        for c in range(1, n_out):
            if z[here, c] > z[here, best]:
                best = c
        return st.total[i] - st.class_weight[i, best]
    if n_out == 1:
        return st.class_weight[i, 0] if z[here, 0] >= 0.0 else st.class_weight[i, 1]
    loss = 0.0
    for c in range(n_out):
        own = st.class_weight[i, c]
        loss += st.total[i] - own if z[here, c] >= 0.0 else own
    return loss


@_jit
def refresh(st, rows, n_rows, k):
    """Recompute the given points from the activations of layer k on; return the change of the total loss."""
    last = st.width.shape[0] - 1
    stored = _stored_from(st)
    for r in range(n_rows):
        i = rows[r]
        for layer in range(k + 1, last + 1):
            n_in, n_out, w = st.width[layer - 1], st.width[layer], st.w_from[layer]
            below, at = st.b_from[layer - 1], st.b_from[layer]
            for c in range(n_out):
                total = 0.0
                for j in range(n_in):
                    if st.U[below + j, i]:
                        total += st.W[w + c * n_in + j]
                total += st.b[at + c]
                st.A[i, at - stored + c] = total
                st.U[at + c, i] = total >= 0.0
    return _reloss(st, rows, n_rows)


@_jit
def gains(st, k, row, g, offset):
    """Loss of firing less loss of not firing, of one neuron at every point.

    For an output of an argmax head *firing* means to win, and `offset` receives the score to beat; it is 0 otherwise.
    """
    p = st.total.shape[0]
    last = st.width.shape[0] - 1
    first = _stored_from(st)
    if k == last and st.argmax:
        at = st.b_from[last] - first
        for i in range(p):
            best = 1 if row == 0 else 0
            for c in range(best + 1, st.width[last]):
                if c != row and st.A[i, at + c] > st.A[i, at + best]:
                    best = c
            g[i] = st.class_weight[i, best] - st.class_weight[i, row]
            beat = st.A[i, at + best]
            offset[i] = np.nextafter(beat, np.inf) if best < row else beat  # ties go to the lowest index
        return
    if k == last:
        for i in range(p):
            offset[i] = 0.0
            if st.width[last] == 1:
                g[i] = st.class_weight[i, 0] - st.class_weight[i, 1]
            else:
                g[i] = st.total[i] - 2.0 * st.class_weight[i, row]
        return
    n_in, n_out = st.width[k], st.width[k + 1]
    at, w = st.b_from[k + 1] - first, st.w_from[k + 1]
    me = st.b_from[k] + row
    widest = 1
    for c in range(last + 1):
        widest = max(widest, st.width[c])
    z, u = np.empty((2, widest)), np.empty(widest)
    top = k + 1 == last
    for i in range(p):
        offset[i] = 0.0
        fires = st.U[me, i]
        if not (top and st.argmax):
            # no output changes its sign: no gain
            same = True
            for c in range(n_out):
                v = st.W[w + c * n_in + row]
                now = st.A[i, at + c]
                then = now - v if fires else now + v
                same = same and ((now >= 0.0) == (then >= 0.0))
            if same:
                g[i] = 0.0
                continue
        for c in range(n_out):
            v = st.W[w + c * n_in + row]
            z[0, c] = st.A[i, at + c] - v if fires else st.A[i, at + c] + v
        other = _loss_above(st, i, k + 1, z, u)
        g[i] = st.loss[i] - other if fires else other - st.loss[i]


@_jit
def _pre_activations(st, k, row, rows, q, a):
    """Pre-activations of one neuron at the first q of the given points."""
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    w = st.w_from[k] + row * n_in
    bias = st.b[st.b_from[k] + row]
    for r in range(q):
        a[r] = 0.0
    for j in range(n_in):
        v = st.W[w + j]
        if v != 0.0:
            if k == 0:
                for r in range(q):
                    a[r] += v * st.X[j, rows[r]]
            else:
                below = st.b_from[k - 1] + j
                for r in range(q):
                    a[r] += v * st.U[below, rows[r]]
    for r in range(q):
        a[r] += bias


@_fast
def _objective(a, g):
    total = 0.0
    for i in range(a.shape[0]):
        total += g[i] if a[i] >= 0.0 else 0.0
    return total


@_jit
def turn(st, neuron, moves, spread):
    """Improve one neuron, all others fixed, by exact line searches over its active points.

    Parameters
    ----------
    st : State
        Changed in place.
    neuron : int
        Numbered through all layers.
    moves : int
        Line searches.
    spread : float
        Share of the searches along random directions; the others go along coordinates and the bias.

    Returns
    -------
    float
        Change of the total loss, never positive.
    """
    k, row = layer_of(st, neuron)
    p = st.total.shape[0]
    rng = st.rng
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    gain, offset = np.empty(p), np.empty(p)
    gains(st, k, row, gain, offset)
    active = np.empty(p, np.int32)
    q = 0
    for i in range(p):
        active[q] = i
        q += 1 if gain[i] != 0.0 else 0
    if q == 0:
        return 0.0
    a = np.empty(q)
    _pre_activations(st, k, row, active, q, a)
    g = np.empty(q)
    for r in range(q):
        g[r] = gain[active[r]]
        a[r] -= offset[active[r]]
    # signals of the active points
    S = np.empty((n_in, q), st.X.dtype)
    for j in range(n_in):
        if k == 0:
            for r in range(q):
                S[j, r] = st.X[j, active[r]]
        else:
            below = st.b_from[k - 1] + j
            for r in range(q):
                S[j, r] = st.U[below, active[r]]
    w = st.W[st.w_from[k] + row * n_in : st.w_from[k] + (row + 1) * n_in]
    b_at = st.b_from[k] + row
    size = 1e-300
    for j in range(n_in):
        size = max(size, abs(w[j]) / (st.unit[j] if k == 0 else 1.0))
    d, bucket, picked = np.empty(q + 1), np.empty(q + 1, np.int32), np.empty(q + 1, np.int32)
    s, a_new = np.empty(q), np.empty(q)
    v, chosen = np.zeros(n_in), np.empty(n_in, np.int64)
    order = np.arange(n_in + 1)
    at = n_in + 1
    changed = False
    w_old, b_old = w.copy(), st.b[b_at]
    integer = st.bound > 0
    now = _objective(a, g)
    for _ in range(moves):
        # a direction
        n_chosen = 0
        if n_in == 0 or uniform(rng) >= spread or integer:
            if at > n_in:
                at = 0
                for j in range(n_in, 0, -1):
                    other = int(uniform(rng) * (j + 1))
                    order[j], order[other] = order[other], order[j]
            j = order[at]
            at += 1
            if j < n_in:
                chosen[0], n_chosen = j, 1
                v[j] = 1.0 if integer else (st.unit[j] if k == 0 else 1.0)
        else:
            n_chosen = min(n_in, 2 + int(3.0 * uniform(rng)))
            if uniform(rng) < 0.15:
                n_chosen = n_in
            for c in range(n_chosen):
                j = c if n_chosen == n_in else int(uniform(rng) * n_in)
                chosen[c] = j
                v[j] = normal(rng) * (st.unit[j] if k == 0 else 1.0)
        if n_chosen == 0 and not st.intercept:
            continue
        if n_chosen == 0:
            shift = 1.0
        elif integer or not st.intercept:
            shift = 0.0
        elif uniform(rng) < 0.5:
            i = int(uniform(rng) * q)  # turn about a point
            shift = 0.0
            for c in range(n_chosen):
                shift -= v[chosen[c]] * S[chosen[c], i]
        else:
            shift = 0.0
            for c in range(n_chosen):
                shift -= v[chosen[c]] * (st.centre[chosen[c]] if k == 0 else 0.5)
        for r in range(q):
            s[r] = shift
        for c in range(n_chosen):
            j = chosen[c]
            if c > 0 and n_chosen < n_in:
                repeated = False
                for e in range(c):
                    repeated = repeated or chosen[e] == j
                if repeated:
                    chosen[c] = -1
                    continue
            x = v[j]
            for r in range(q):
                s[r] += x * S[j, r]
        if integer and n_chosen > 0:
            change, t = lattice_search(a, s, g, -st.bound - w[chosen[0]], st.bound - w[chosen[0]], rng)
        else:
            change, left, right = line_search(a, s, g, integer, rng, d, bucket, picked)
            if integer:
                if left == -np.inf:
                    t = min(0.0, right - 1.0)
                elif right == np.inf:
                    t = max(0.0, left)
                else:
                    t = np.floor((left + right - 1.0) / 2.0)
            elif left == -np.inf:
                t = 0.0 if right > 0.0 else right - size
            elif right == np.inf:
                t = 0.0 if left < 0.0 else left + size
            else:
                t = 0.5 * (left + right)
        if change <= 0.0 and t != 0.0:
            for r in range(q):
                a_new[r] = a[r] + t * s[r]
            then = _objective(a_new, g)
            if then <= now:  # rounding may have moved a point across
                now = then
                a, a_new = a_new, a
                for c in range(n_chosen):
                    if chosen[c] >= 0:
                        w[chosen[c]] += t * v[chosen[c]]
                st.b[b_at] += t * shift
                changed = True
        for c in range(n_chosen):
            if chosen[c] >= 0:
                v[chosen[c]] = 0.0
    if not changed:
        return 0.0
    change = settle(st, neuron)
    if change > 0.0:  # rounding: sums of weights in another order
        w[:] = w_old
        st.b[b_at] = b_old
        change += settle(st, neuron)
    return change


@_jit
def settle(st, neuron):
    """Bring everything up to date after a change of one neuron; return the change of the total loss."""
    k, row = layer_of(st, neuron)
    p = st.total.shape[0]
    last = st.width.shape[0] - 1
    everywhere = np.arange(p).astype(np.int32)
    a = np.empty(p)
    _pre_activations(st, k, row, everywhere, p, a)
    rows = np.empty(p, np.int32)
    n = 0
    me = st.b_from[k] + row
    first = _stored_from(st)
    if k == last and st.argmax:
        at = st.b_from[k] - first + row
        for i in range(p):
            if st.A[i, at] != a[i]:
                st.A[i, at] = a[i]
                rows[n] = i
                n += 1
        return _reloss(st, rows, n)
    for i in range(p):
        fires = a[i] >= 0.0
        if fires != (st.U[me, i] != 0):
            st.U[me, i] = fires
            rows[n] = i
            n += 1
        if me >= first:
            st.A[i, me - first] = a[i]
    if k == last:
        return _reloss(st, rows, n)
    return refresh(st, rows, n, k)


@_jit
def _reloss(st, rows, n):
    """Recompute the loss of points whose output layer is up to date."""
    last = st.width.shape[0] - 1
    n_out = st.width[last]
    at, stored = st.b_from[last], _stored_from(st)
    change = 0.0
    for r in range(n):
        i = rows[r]
        loss = 0.0
        if st.argmax:
            best = 0
            for c in range(1, n_out):
                if st.A[i, at - stored + c] > st.A[i, at - stored + best]:
                    best = c
            loss = st.total[i] - st.class_weight[i, best]
        elif n_out == 1:
            loss = st.class_weight[i, 0] if st.U[at, i] else st.class_weight[i, 1]
        else:
            for c in range(n_out):
                own = st.class_weight[i, c]
                loss += st.total[i] - own if st.U[at + c, i] else own
        change += loss - st.loss[i]
        st.loss[i] = loss
    return change


@_jit
def fill(st):
    """Compute activations, pre-activations and losses of all points from the weights; return the total loss."""
    p = st.total.shape[0]
    everywhere = np.arange(p).astype(np.int32)
    a = np.empty(p)
    last = st.width.shape[0] - 1
    for row in range(st.width[0]):
        _pre_activations(st, 0, row, everywhere, p, a)
        for i in range(p):
            st.U[row, i] = a[i] >= 0.0
            if last == 0:
                st.A[i, row] = a[i]
    st.loss[:] = 0.0
    return refresh(st, everywhere, p, 0)


@_jit
def sweep(st, order, moves, spread):
    """Give each neuron of `order` a turn; return the change of the total loss."""
    change = 0.0
    for neuron in order:
        change += turn(st, neuron, moves, spread)
    return change
