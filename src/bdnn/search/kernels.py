"""Compiled kernels of the search: exact line search, gains of a neuron, a neuron's turn.

A network under search is a `State`: all arrays are updated in place. Inputs are stored by feature, weights act on raw
inputs, so the numbers in a state are those of the network it stands for. Layers are numbered from 0; *signal* is what a
layer reads. Compilation happens at the first call and is cached on disk; the module is imported at use only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bdnn.compilation import compiled
from bdnn.search.directions import FEW_FEATURES, MOST_FEATURES, toward

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)
# functions for compiled code only: a call from Python would crash
_inner = compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
# called for every point, with a whole state: handing it over and counting references to its arrays takes longer than
# the work does. Such functions allocate nothing; what allocates for them says so, as it would inherit their options
_per_point = compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, forceinline=True, **_OPTIONS)
_allocating = compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=True, forceinline=False, **_OPTIONS)
# sums in any order: exact for integer sample weights, and every accepted move is recounted
_fast = compiled(fastmath={"reassoc"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)

SAMPLE = 64
MOST_BUCKETS = 8192
BLOCK = 32768
SMOOTHED = 0.5
"""Share of Newton steps among the directions of several weights."""


class State(NamedTuple):
    """A network under search; see the module.

    Attributes
    ----------
    X : ndarray of shape (n, p), float32 or float64
        Points by feature.
    class_weight : ndarray of shape (p, C), float32 or float64
        Weight of each label at each point.
    centre, unit : ndarray of shape (n,)
        A typical value of each feature, and the length of a step along it.
    reach : ndarray of shape (n,)
        Largest absolute value of each feature.
    width : ndarray of shape (K,), int64
        Neurons of each layer.
    W, b : ndarray
        All weights and biases, layer by layer, row by row.
    w_from, b_from : ndarray of shape (K + 1,), int64
        Where each layer begins in `W` and `b`.
    doubt : ndarray of shape (sum of widths,)
        Bound on the rounding error of the pre-activations of each neuron.
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
    centre: Any
    unit: Any
    reach: Any
    width: Any
    W: Any
    b: Any
    w_from: Any
    b_from: Any
    doubt: Any
    U: Any
    A: Any
    loss: Any
    argmax: Any
    bound: Any
    intercept: Any
    rng: Any


def new_state(X, class_weight, centre, unit, reach, widths, argmax, bound, intercept, seed):
    """Return a state with all weights 0 whose activations are not computed; see `State` for the arguments."""
    n, p = X.shape
    width = np.array(widths, dtype=np.int64)
    inputs = np.concatenate([[n], width[:-1]])
    b_from = np.concatenate([[0], np.cumsum(width)]).astype(np.int64)
    neurons = int(b_from[-1])
    return State(
        X=X,
        class_weight=class_weight,
        centre=centre,
        unit=unit,
        reach=reach,
        width=width,
        W=np.zeros(int((width * inputs).sum())),
        b=np.zeros(neurons),
        w_from=np.concatenate([[0], np.cumsum(width * inputs)]).astype(np.int64),
        b_from=b_from,
        doubt=np.zeros(neurons),
        U=np.zeros((neurons, p), dtype=np.uint8),
        A=np.zeros((p, neurons - int(b_from[1]) if len(width) > 1 else neurons)),
        loss=np.zeros(p),
        argmax=bool(argmax),
        bound=np.int64(bound),
        intercept=bool(intercept),
        rng=np.array([seed], dtype=np.uint64),
    )


@_inner
def uniform(rng):
    """Return the next number of the generator, in [0, 1): xorshift64*."""
    x = rng[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    rng[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@_inner
def normal(rng):
    """Return a standard normal number (Box and Muller)."""
    u = 1.0 - uniform(rng)
    return np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586 * uniform(rng))


@_inner
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


@_inner
def _histogram(bucket, d, sums):
    """Positive and negative jumps of each bucket."""
    for i in range(bucket.shape[0]):
        sums[bucket[i], 1 if d[i] < 0.0 else 0] += d[i]


@_inner
def _pick(bucket, wanted, out):
    n = 0
    for i in range(bucket.shape[0]):
        out[n] = i
        n += wanted[bucket[i]]
    return n


@_inner
def _set(a, value):
    for i in range(a.shape[0]):
        a[i] = value


@_inner
def _sort(keys, order, first, last, work):
    """Sort the indices ``order[first:last]`` by their keys (merge sort; compiles faster than numpy's)."""
    k = first + 1
    while k < last and keys[order[k - 1]] <= keys[order[k]]:
        k += 1
    if k >= last:
        return  # a layer above the first has few different breakpoints: most buckets hold a single one
    for start in range(first, last, 16):
        for k in range(start + 1, min(last, start + 16)):
            i = order[k]
            j = k
            while j > start and keys[order[j - 1]] > keys[i]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = i
    width = 16
    while width < last - first:
        for low in range(first, last, 2 * width):
            middle, high = min(low + width, last), min(low + 2 * width, last)
            i, j = low, middle
            for k in range(low, high):
                if i < middle and (j >= high or keys[order[i]] <= keys[order[j]]):
                    work[k] = order[i]
                    i += 1
                else:
                    work[k] = order[j]
                    j += 1
        for k in range(first, last):
            order[k] = work[k]
        width *= 2


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
    moving = 0
    for k in range(n):
        i = picked[k]
        if s[i] != 0.0:
            t = -a[i] / s[i]
            if integer:
                t = np.ceil(t) if s[i] > 0.0 else np.floor(t) + 1.0
            picked[moving], keys[moving] = i, t
            moving += 1
    n = moving
    # by bucket, then within each
    ends = np.zeros(count + 1, np.int64)
    for k in range(n):
        ends[bucket[picked[k]] + 1] += 1
    for k in range(count):
        ends[k + 1] += ends[k]
    order, work = np.empty(n, np.int32), np.empty(n, np.int32)
    for k in range(n):
        at = bucket[picked[k]]
        order[ends[at]] = k
        ends[at] += 1
    first = 0
    for k in range(count):
        if ends[k] > first:
            _sort(keys, order, first, ends[k], work)
            first = ends[k]
    best, left, right, ties = np.inf, 0.0, 0.0, 0
    previous, behind = -np.inf, -1
    current = starts[0]
    for k in range(n + 1):
        i = -1
        t, at = np.inf, count
        if k < n:
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


@_inner
def _stored_from(st):
    """First neuron whose pre-activations are stored."""
    return st.b_from[1] if st.width.shape[0] > 1 else 0


@_inner
def layer_of(st, neuron):
    """Layer of a neuron, and its row there; neurons are numbered through all layers."""
    k = 0
    while neuron >= st.b_from[k + 1]:
        k += 1
    return k, neuron - st.b_from[k]


@_inner
def _add(parts, n, x):
    """Add x exactly to a sum that is held as n numbers without overlap, the largest last (J. R. Shewchuk, 1997)."""
    kept = 0
    for k in range(n):
        y = parts[k]
        total = x + y
        back = total - x
        low = (x - (total - back)) + (y - back)
        if low != 0.0:
            parts[kept] = low
            kept += 1
        x = total
    if x != 0.0 or kept == 0:
        parts[kept] = x
        kept += 1
    return kept


@_inner
def _add_product(parts, n, x, y):
    """Add x times y exactly (T. J. Dekker's product)."""
    high = x * y
    c = 134217729.0 * x
    x1 = c - (c - x)
    x2 = x - x1
    c = 134217729.0 * y
    y1 = c - (c - y)
    y2 = y - y1
    low = ((x1 * y1 - high) + x1 * y2 + x2 * y1) + x2 * y2
    return _add(parts, _add(parts, n, low), high)


@_allocating
def _exact(st, k, row, less, i):
    """Pre-activation of a neuron at point i, less that of another of its layer (-1: of none), with the exact sign.

    References
    ----------
    J. R. Shewchuk, Adaptive precision floating-point arithmetic and fast robust geometric predicates,
    doi:10.1007/PL00009321.
    """
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    parts = np.empty(4 * n_in + 8)
    parts[0] = 0.0
    n = _add(parts, 1, st.b[st.b_from[k] + row])
    if less >= 0:
        n = _add(parts, n, -st.b[st.b_from[k] + less])
    for j in range(n_in):
        x = float(st.X[j, i]) if k == 0 else float(st.U[st.b_from[k - 1] + j, i])
        if x != 0.0:
            n = _add_product(parts, n, st.W[st.w_from[k] + row * n_in + j], x)
            if less >= 0:
                n = _add_product(parts, n, -st.W[st.w_from[k] + less * n_in + j], x)
    return parts[n - 1]


@_inner
def _update_doubt(st, neuron):
    """Bound the rounding errors of a neuron: twice the standard bound of a sum of products."""
    k, row = layer_of(st, neuron)
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    size = abs(st.b[st.b_from[k] + row])
    for j in range(n_in):
        size += abs(st.W[st.w_from[k] + row * n_in + j]) * (st.reach[j] if k == 0 else 1.0)
    st.doubt[neuron] = (n_in + 2) * 2.3e-16 * size


@_per_point
def _output_loss(st, i, z):
    """Loss of point i if the output layer has the pre-activations z."""
    n_out = st.width[st.width.shape[0] - 1]
    n_classes = st.class_weight.shape[1]
    if n_out == 1:
        return float(st.class_weight[i, 0] if z[0] >= 0.0 else st.class_weight[i, 1])
    total = 0.0
    for c in range(n_classes):
        total += st.class_weight[i, c]
    if st.argmax:
        best = 0
        for c in range(1, n_out):
            if z[c] > z[best]:
                best = c
        return total - st.class_weight[i, best]
    loss = 0.0
    for c in range(n_out):
        own = st.class_weight[i, c]
        loss += total - own if z[c] >= 0.0 else own
    return loss


@_per_point
def _loss_above(st, i, k, z, u):
    """Loss of point i if layer k has the pre-activations ``z[0]``; the rest of z and u is work space."""
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
    return _output_loss(st, i, z[here])


@_inner
def _widest(st):
    most = 1
    for k in range(st.width.shape[0]):
        most = max(most, st.width[k])
    return most


@_per_point
def _refresh(st, i, k):
    """Recompute point i from the activations of layer k on; return the change of its loss."""
    last = st.width.shape[0] - 1
    stored = _stored_from(st)
    for layer in range(k + 1, last + 1):
        n_in, n_out, w = st.width[layer - 1], st.width[layer], st.w_from[layer]
        below, at = st.b_from[layer - 1], st.b_from[layer]
        for c in range(n_out):
            total = 0.0
            for j in range(n_in):
                if st.U[below + j, i]:
                    total += st.W[w + c * n_in + j]
            total += st.b[at + c]
            if abs(total) <= st.doubt[at + c]:
                total = _exact(st, layer, c, -1, i)
            st.A[i, at - stored + c] = total
            st.U[at + c, i] = total >= 0.0
    scores = st.A[i, st.b_from[last] - stored :]
    if st.argmax:
        best = 0
        for c in range(1, st.width[last]):
            lead = scores[c] - scores[best]
            if abs(lead) <= st.doubt[st.b_from[last] + c] + st.doubt[st.b_from[last] + best]:
                lead = _exact(st, last, c, best, i)
            if lead > 0.0:
                best = c
        loss = -float(st.class_weight[i, best])
        for c in range(st.class_weight.shape[1]):
            loss += st.class_weight[i, c]
    else:
        loss = _output_loss(st, i, scores)
    change = loss - st.loss[i]
    st.loss[i] = loss
    return change


@_per_point
def _gain(st, i, k, row, z, u):
    """Return loss of firing less loss of not firing, of one neuron at point i, and the score to beat.

    For an output of an argmax head *firing* means to win against that score; otherwise the score is 0.
    """
    last = st.width.shape[0] - 1
    stored = _stored_from(st)
    if k == last and st.argmax:
        at = st.b_from[last] - stored
        best = 1 if row == 0 else 0
        for c in range(best + 1, st.width[last]):
            if c != row and st.A[i, at + c] > st.A[i, at + best]:
                best = c
        beat = st.A[i, at + best]
        gain = float(st.class_weight[i, best]) - st.class_weight[i, row]
        return gain, np.nextafter(beat, np.inf) if best < row else beat  # ties go to the lowest index
    if k == last:
        if st.width[last] == 1:
            return float(st.class_weight[i, 0]) - st.class_weight[i, 1], 0.0
        total = 0.0
        for c in range(st.class_weight.shape[1]):
            total += st.class_weight[i, c]
        return total - 2.0 * st.class_weight[i, row], 0.0
    n_in, n_out = st.width[k], st.width[k + 1]
    at, w = st.b_from[k + 1] - stored, st.w_from[k + 1]
    fires = st.U[st.b_from[k] + row, i]
    same = not (k + 1 == last and st.argmax)
    for c in range(n_out):
        v = st.W[w + c * n_in + row]
        now = st.A[i, at + c]
        z[0, c] = now - v if fires else now + v
        same = same and ((now >= 0.0) == (z[0, c] >= 0.0))
    if same:
        return 0.0, 0.0
    other = _loss_above(st, i, k + 1, z, u)
    return st.loss[i] - other if fires else other - st.loss[i], 0.0


@_jit
def gains(st, neuron, first, step, active, g, offset):
    """Find the points at which a neuron matters, among first, first + step, ...

    Parameters
    ----------
    st : State
        Is not changed.
    neuron : int
        Numbered through all layers.
    first, step : int
        Which points to look at.
    active, g, offset : ndarray, int32, float64, float64
        Receive the points, their gains and, for outputs of an argmax head, the scores to beat; as long as the number of
        points looked at.

    Returns
    -------
    int
        How many there are.
    """
    k, row = layer_of(st, neuron)
    widest = _widest(st)
    z, u = np.empty((2, widest)), np.empty(widest)
    q = 0
    for i in range(first, st.loss.shape[0], step):
        gain, beat = _gain(st, i, k, row, z, u)
        active[q], g[q], offset[q] = i, gain, beat
        q += 1 if gain != 0.0 else 0
    return q


@_inner
def _slopes(st, k, j, x, points, s):
    """Add x times the signal j of layer k at the given points to s."""
    if k == 0:
        signal = st.X[j]
        for r in range(points.shape[0]):
            s[r] += x * signal[points[r]]
    else:
        fired = st.U[st.b_from[k - 1] + j]
        for r in range(points.shape[0]):
            s[r] += x * fired[points[r]]


@_fast
def _objective(a, g):
    total = 0.0
    for i in range(a.shape[0]):
        total += g[i] if a[i] >= 0.0 else 0.0
    return total


@_inner
def _move(a, t, s, out):
    for r in range(a.shape[0]):
        out[r] = a[r] + t * s[r]


@_jit
def turn(st, neuron, moves, spread, most):
    """Improve one neuron, all others fixed, by exact line searches over the points at which it matters.

    Parameters
    ----------
    st : State
        Changed in place.
    neuron : int
        Numbered through all layers.
    moves : int
        Line searches.
    spread : float
        Share of the searches along random directions and Newton steps (integer weights: with random jumps of a few
        weights); the others go along coordinates and the bias.
    most : int
        If there are more points than this, a random part of them is used; then the turn counts only if the loss of all
        points does not grow.

    With no moves, everything is brought up to date after a change of the neuron; see `_update`.

    Returns
    -------
    float
        Change of the total loss, never positive but for rounding.
    """
    if moves == 0:
        return _update(st, neuron)
    k, row = layer_of(st, neuron)
    rng = st.rng
    p = st.loss.shape[0]
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    step = (p + most - 1) // most
    first = int(uniform(rng) * step)
    size = p // step + 1
    active, g, a = np.empty(size, np.int32), np.empty(size), np.empty(size)
    q = gains(st, neuron, first, step, active, g, a)
    if q == 0:
        return 0.0
    active, g, a = active[:q], g[:q], a[:q]
    w = st.W[st.w_from[k] + row * n_in : st.w_from[k] + (row + 1) * n_in]
    b_at = st.b_from[k] + row
    for r in range(q):
        a[r] = st.b[b_at] - a[r]
    length = 0.0
    for j in range(n_in):
        if w[j] != 0.0:
            _slopes(st, k, j, w[j], active, a)
            unit = st.unit[j] if k == 0 else 1.0
            length = max(length, abs(w[j]) / unit if unit > 0.0 else 0.0)
    if not 1e-200 < length < 1e200:
        length = 1.0
    d, bucket, picked = np.empty(q + 1), np.empty(q + 1, np.int32), np.empty(q + 1, np.int32)
    s, a_new, jumped = np.empty(q), np.empty(q), np.empty(q)
    v, chosen = np.zeros(n_in), np.empty(n_in, np.int64)
    order = np.arange(n_in + 1)
    at = n_in + 1
    changed = False
    ahead, pool = np.zeros(1), np.arange(n_in)
    w_old, b_old = w.copy(), st.b[b_at]
    integer = st.bound > 0
    now = _objective(a, g)
    bends = k == 0 and not integer and st.intercept and n_in > 1
    for _ in range(moves):
        # a direction v with a shift of the bias; or a jump of a few integer weights, with the best bias for it
        n_chosen = 0
        jump = integer and n_in > 0 and uniform(rng) < spread
        if jump:
            n_chosen = min(n_in, 1 + int(3.0 * uniform(rng) ** 2))
            for c in range(n_chosen):
                chosen[c] = int(uniform(rng) * n_in)
        elif n_in == 0 or integer or uniform(rng) >= spread:
            if at > n_in:
                at = 0
                for j in range(n_in, 0, -1):
                    other = int(uniform(rng) * (j + 1))
                    order[j], order[other] = order[other], order[j]
            j = order[at]
            at += 1
            if j < n_in:
                chosen[0], n_chosen = j, 1
        else:
            n_chosen = n_in if uniform(rng) < 0.15 else min(n_in, 2 + int(3.0 * uniform(rng)))
            for c in range(n_chosen):
                chosen[c] = c if n_chosen == n_in else int(uniform(rng) * n_in)
        if n_chosen == 0 and not st.intercept:
            continue
        smoothed = bends and n_chosen > 1 and uniform(rng) < SMOOTHED
        if smoothed:
            n_chosen = n_in if n_in <= MOST_FEATURES else FEW_FEATURES
            for c in range(n_chosen):
                other = c + int(uniform(rng) * (n_in - c))
                pool[c], pool[other] = pool[other], pool[c]
                chosen[c] = pool[c]
            # as wide as the nearest of a few or many points is away from the boundary
            width = np.inf
            for _ in range(int(2.0 ** (6.0 * uniform(rng)))):
                width = min(width, abs(a[int(uniform(rng) * q)]))
            start, ridge = int(uniform(rng) * q), 10.0 ** (-4.0 * uniform(rng))
            ahead = toward(st.X, st.centre, st.unit, chosen[:n_chosen], active, a, g, width, start, ridge)
        for c in range(n_chosen):
            j = chosen[c]
            if smoothed:
                v[j] = ahead[c]
                continue
            for e in range(c):
                if chosen[e] == j:
                    chosen[c] = -1  # drawn twice
            if chosen[c] < 0:
                continue
            if jump:
                v[j] = np.floor(uniform(rng) * (2.0 * st.bound + 1.0)) - st.bound - w[j]
            elif integer:
                v[j] = 1.0
            else:
                v[j] = (st.unit[j] if k == 0 else 1.0) * (1.0 if n_chosen == 1 else normal(rng))
        shift = 1.0 if n_chosen == 0 else ahead[n_chosen] if smoothed else 0.0
        if n_chosen > 0 and not integer and st.intercept and not smoothed:
            pivot = active[int(uniform(rng) * q)] if uniform(rng) < 0.5 else -1  # turn about a point
            for c in range(n_chosen):
                j = chosen[c]
                if j < 0:
                    continue
                if pivot < 0:
                    shift -= v[j] * (st.centre[j] if k == 0 else 0.5)
                else:
                    shift -= v[j] * (st.X[j, pivot] if k == 0 else st.U[st.b_from[k - 1] + j, pivot])
        _set(s, shift)
        for c in range(n_chosen):
            if chosen[c] >= 0:
                _slopes(st, k, chosen[c], v[chosen[c]], active, s)
        t = 0.0
        base = a
        if jump:
            _move(a, 1.0, s, jumped)
            base = jumped
            _set(s, 1.0)
        if integer and n_chosen > 0 and not jump:
            j = chosen[0]
            change, t = lattice_search(a, s, g, -st.bound - w[j], st.bound - w[j], rng)
        elif not jump or st.intercept:
            change, left, right = line_search(base, s, g, integer, rng, d, bucket, picked)
            if integer:
                if left == -np.inf:
                    t = min(0.0, right - 1.0)
                elif right == np.inf:
                    t = max(0.0, left)
                else:
                    t = np.floor((left + right - 1.0) / 2.0)
            elif left == -np.inf:
                t = 0.0 if right > 0.0 else right - length * (0.5 + uniform(rng))
            elif right == np.inf:
                t = 0.0 if left < 0.0 else left + length * (0.5 + uniform(rng))
            else:
                # near the middle but in no special position, so that no other point lies exactly on the threshold
                t = left + (0.4 + 0.2 * uniform(rng)) * (right - left)
        if jump or t != 0.0:
            _move(base, t, s, a_new)
            then = _objective(a_new, g)
            if then <= now:  # rounding may have moved a point across
                now = then
                a, a_new = a_new, a
                for c in range(n_chosen):
                    if chosen[c] >= 0:
                        w[chosen[c]] += (1.0 if jump else t) * v[chosen[c]]
                st.b[b_at] += t if jump else t * shift
                changed = True
        for c in range(n_chosen):
            if chosen[c] >= 0:
                v[chosen[c]] = 0.0
    if not changed:
        return 0.0
    if not integer and not (k == st.width.shape[0] - 1 and st.argmax):
        _normalise(st, k, w, b_at)
    change = 0.0
    for _ in range(2):
        change += _update(st, neuron)
        if change <= 0.0:
            break
        for j in range(n_in):
            w[j] = w_old[j]
        st.b[b_at] = b_old
    return change


@_jit
def turns(st, neurons, moves, spread, most, total, best, W, b):
    """Give several neurons a turn, one after the other, and keep the best network.

    Parameters
    ----------
    st, spread, most
        As for `turn`.
    neurons, moves : ndarray of int64
        Neurons, and line searches of each.
    total, best : float
        Loss of the network, and the least so far.
    W, b : ndarray
        Receive weights and biases whenever the loss is less than that.

    Returns
    -------
    total, best : float
        Now.
    """
    for each in range(neurons.shape[0]):
        total += turn(st, neurons[each], moves[each], spread, most)
        if total < best:
            best = total
            W[:], b[:] = st.W, st.b
    return total, best


@_inner
def _normalise(st, k, w, b_at):
    """Bring the weights of a neuron near 1, on scaled inputs, by a power of two: no sign changes."""
    size = 0.0
    for j in range(w.shape[0]):
        unit = st.unit[j] if k == 0 else 1.0
        if unit > 0.0:
            size = max(size, abs(w[j]) / unit)
    if 1e-200 < size < 1e200 and (size > 4.0 or size < 0.25):
        factor = 2.0 ** -np.floor(np.log2(size))
        for j in range(w.shape[0]):
            w[j] *= factor
        st.b[b_at] *= factor


@_inner
def _pre_activations(st, k, row, start, a):
    """Pre-activations of one neuron at the points from `start` on, as many as `a` holds."""
    n_in = st.X.shape[0] if k == 0 else st.width[k - 1]
    w = st.w_from[k] + row * n_in
    m = a.shape[0]
    _set(a, 0.0)
    for j in range(n_in):
        v = st.W[w + j]
        if v != 0.0:
            if k == 0:
                signal = st.X[j, start : start + m]
                for r in range(m):
                    a[r] += v * signal[r]
            else:
                fired = st.U[st.b_from[k - 1] + j, start : start + m]
                for r in range(m):
                    a[r] += v * fired[r]
    bias = st.b[st.b_from[k] + row]
    for r in range(m):
        a[r] += bias


@_inner
def _update(st, neuron):
    """Bring everything up to date after a change of one neuron; return the change of the total loss.

    For neuron -1 everything is computed anew from the weights.
    """
    everything = neuron < 0
    p = st.loss.shape[0]
    last = st.width.shape[0] - 1
    stored = _stored_from(st)
    first_neuron, last_neuron = (0, st.width[0] - 1) if everything else (neuron, neuron)
    k, _ = layer_of(st, first_neuron)
    competes = k == last and st.argmax
    if everything:
        for each in range(st.b.shape[0]):
            _update_doubt(st, each)
        _set(st.loss, 0.0)
    else:
        _update_doubt(st, neuron)
    buffer, news = np.empty(min(p, BLOCK)), np.empty(min(p, BLOCK), np.uint8)
    change = 0.0
    for start in range(0, p, BLOCK):
        m = min(BLOCK, p - start)
        a = buffer[:m]
        _set(news, everything or competes)
        for each in range(first_neuron, last_neuron + 1):
            row = each - st.b_from[k]
            _pre_activations(st, k, row, start, a)
            for r in range(m):
                i = start + r
                if abs(a[r]) <= st.doubt[each]:
                    a[r] = _exact(st, k, row, -1, i)
                fires = a[r] >= 0.0
                news[r] |= fires != (st.U[each, i] != 0)
                st.U[each, i] = fires
                if each >= stored:
                    st.A[i, each - stored] = a[r]
        for r in range(m):
            if news[r]:
                change += _refresh(st, start + r, k)
    return change
