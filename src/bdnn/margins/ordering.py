"""Largest margins: linear scores that order given points in a given way, as clearly as they can.

A *comparison* says that at some point one node must have the larger score. The nodes are the neurons of a layer, with
scores a = W x + b, and the *ground*, whose score is 0: a neuron that is on beats the ground, one that is off is beaten
by it; with an argmax head the winner beats every other output. The margin of comparisons is

    max_{W, b} min_r (a_better(r)(x_r) - a_worse(r)(x_r)) / ‖W‖_*,

with biases left out of the norm ‖·‖_*, the dual of the norm in which distances of points are measured. For one neuron
and the Euclidean norm this is the hard-margin support vector machine (B. E. Boser, I. M. Guyon and V. N. Vapnik, COLT
1992, doi:10.1145/130385.130401), for an argmax head its multiclass form (K. Crammer and Y. Singer, JMLR 2, 2001).

The Euclidean norm is solved by the dual active-set method of D. Goldfarb and A. Idnani (Math. Prog. 27, 1983,
doi:10.1007/BF02591962), which adds one violated comparison at a time and so never needs more than a working set of
rows; the other norms by linear programs whose rows are generated in the same way.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.status import Status
from bdnn.types import Bools, Floats, Indices

Norm = Literal["inf", "1", "2"]

GROUND = -1
"""The node whose score is 0."""

_BIAS_REACH = 10.0
_LARGEST_BASIS = 100_000_000
# a hundredth of those of HiGHS: the gap, whose inverse bounds integer weights, can be tiny
_TOLERANCES = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}


class Comparisons:
    """What must beat what, at which points.

    Parameters
    ----------
    points : ndarray of shape (p, n)
        Inputs.
    point, better, worse : ndarray of shape (r,), int
        Comparison r holds at ``points[point[r]]``: node ``better[r]`` beats node ``worse[r]``; -1 is the ground.
    n_nodes : int
        Nodes, the ground not counted.
    """

    def __init__(self, points: Floats, point: Indices, better: Indices, worse: Indices, n_nodes: int) -> None:
        self.points, self.point, self.better, self.worse = points, point, better, worse
        self.n_nodes = n_nodes

    @classmethod
    def of_neuron(cls, points: Floats, on: Bools) -> Comparisons:
        """Return the comparisons of one neuron that must be on at some points and off at the others."""
        return cls(points, np.arange(len(points)), np.where(on, 0, GROUND), np.where(on, GROUND, 0), 1)

    @classmethod
    def of_argmax(cls, points: Floats, winners: Indices, n_nodes: int) -> Comparisons:
        """Return the comparisons of outputs of which the given one must have the largest score at each point."""
        point, worse = np.nonzero(winners[:, None] != np.arange(n_nodes))
        return cls(points, point, winners[point], worse, n_nodes)

    def __len__(self) -> int:
        return len(self.point)

    def differences(self, weights: Floats, bias: Floats) -> Floats:
        """Return by how much the better node leads in each comparison, of shape (r,)."""
        scores = self.points @ weights.T + bias
        if self.n_nodes == 1:
            a = scores[:, 0] if len(self) == len(scores) else scores[self.point, 0]
            return np.where(self.better == 0, a, -a)
        padded = np.hstack([scores, np.zeros((len(scores), 1))])
        return np.asarray(padded[self.point, self.better] - padded[self.point, self.worse])

    def rows(self, which: Indices, shift: Floats | None = None) -> tuple[Floats, Floats]:
        """Return coefficients of weights, (k, n_nodes * n), and of biases, (k, n_nodes), of some comparisons."""
        x = self.points[self.point[which]]
        if shift is not None:
            x = x - shift
        k, n = x.shape
        weights, bias = np.zeros((k, self.n_nodes, n)), np.zeros((k, self.n_nodes))
        for nodes, sign in ((self.better[which], 1.0), (self.worse[which], -1.0)):
            some = np.flatnonzero(nodes != GROUND)
            weights[some, nodes[some]] = sign * x[some]
            bias[some, nodes[some]] = sign
        return weights.reshape(k, -1), bias


class Separator(NamedTuple):
    """Scores that make all comparisons, or nearly.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes, n)
    bias : ndarray of shape (n_nodes,)
    finished : bool
        Whether they are the best up to the tolerance; otherwise time ran out and some comparisons may fail.
    """

    weights: Floats
    bias: Floats
    finished: bool


class _ActiveSet:
    """Least-norm point of growing sets of half-spaces {v : n·v >= h}, by Goldfarb and Idnani's method.

    Invariant: v is the least-norm point of the active half-spaces' boundaries, with multipliers >= 0, so its norm is a
    lower bound on that of every point of all half-spaces. Active normals are kept as N = Q R.
    """

    def __init__(self, size: int) -> None:
        self.v = np.zeros(size)
        self.active: list[int] = []
        self.multipliers = np.zeros(0)
        self._Q = np.zeros((size, 16), order="F")
        self._R = np.zeros((16, 16), order="F")

    def add(self, label: int, normal: Floats, h: float) -> bool:
        """Enter a violated half-space, leaving others where they no longer bind; False if nothing is left to do."""
        from scipy.linalg.lapack import dtrtrs

        own, length = 0.0, float(normal @ normal)
        while True:
            k = len(self.active)
            Q = self._Q[:, :k]
            c = Q.T @ normal
            z = normal - Q @ c
            again = Q.T @ z
            z -= Q @ again
            c += again
            r = dtrtrs(self._R[:k, :k], c)[0] if k else c
            zz = float(z @ z)
            full = math.inf
            if zz > 1e-20 * length and k < len(normal):
                full = max(h - float(normal @ self.v), 0.0) / zz
            blocking = np.flatnonzero(r > 1e-13 * max(1.0, float(np.abs(r).max(initial=0.0))))
            ratios = self.multipliers[blocking] / r[blocking]
            step = min(full, float(ratios.min(initial=math.inf)))
            if not math.isfinite(step):
                return False
            self.multipliers = np.maximum(self.multipliers - step * r, 0.0)
            own += step
            if math.isfinite(full):
                self.v = self.v + step * z
            if step == full:
                self._append(label, z / math.sqrt(zz), c, math.sqrt(zz), own)
                return True
            self._drop(int(blocking[np.argmin(ratios)]))

    def _append(self, label: int, q: Floats, c: Floats, diagonal: float, multiplier: float) -> None:
        k = len(self.active)
        if k == self._Q.shape[1]:
            grown = min(2 * k, self._Q.shape[0])
            Q, R = np.zeros((len(self.v), grown), order="F"), np.zeros((grown, grown), order="F")
            Q[:, :k], R[:k, :k] = self._Q, self._R
            self._Q, self._R = Q, R
        self._Q[:, k], self._R[:k, k], self._R[k, :k], self._R[k, k] = q, c, 0.0, diagonal
        self.active.append(label)
        self.multipliers = np.append(self.multipliers, multiplier)

    def _drop(self, j: int) -> None:
        from scipy.linalg import qr_delete

        k = len(self.active)
        if j < k - 1:
            Q, R = qr_delete(self._Q[:, :k], self._R[:k, :k], j, which="col", check_finite=False)
            self._Q[:, : k - 1], self._R[: k - 1, : k - 1] = Q[:, : k - 1], R[: k - 1, : k - 1]
        del self.active[j]
        self.multipliers = np.delete(self.multipliers, j)

    def refresh(self, h: Floats) -> None:
        """Recompute point and multipliers from the active set and its right-hand sides, dropping what does not bind."""
        from scipy.linalg.lapack import dtrtrs

        h = h.copy()
        while True:
            k = len(self.active)
            if not k:
                self.v = np.zeros(len(self.v))
                return
            R = self._R[:k, :k]
            y = dtrtrs(R, h, trans=1)[0]
            multipliers = dtrtrs(R, y)[0]
            worst = int(np.argmin(multipliers))
            if multipliers[worst] >= 0:
                break
            self._drop(worst)
            h = np.delete(h, worst)
        self.multipliers = multipliers
        self.v = self._Q[:, :k] @ y


def euclidean(comparisons: Comparisons, start: tuple[Floats, Floats], deadline: float, tolerance: float) -> Separator:
    """Maximise the margin in the Euclidean norm.

    Parameters
    ----------
    comparisons : Comparisons
        They must be possible, and not by biases alone.
    start : tuple of ndarray, of shapes (n_nodes, n) and (n_nodes,)
        Scores that make all comparisons, or nearly; they suggest which matter.
    deadline : float
        Reading of `bdnn.clock` at which to stop.
    tolerance : float
        Relative distance from the largest margin that is good enough.

    Returns
    -------
    Separator
        Scaled so that the least difference is about 1.

    Notes
    -----
    Biases carry no norm, but the method needs one: a small one is given to their distance from their last values, and
    these are updated until it plays no part (proximal point algorithm, R. T. Rockafellar, SIAM J. Control Optim. 14,
    1976, doi:10.1137/0314056).
    """
    nodes, n = start[0].shape
    lead = comparisons.differences(*start)
    first = min(len(lead), 200 + 2 * n)
    working = np.sort(np.argpartition(lead, first - 1)[:first])
    nearest = np.unique(comparisons.point[working])
    shift = comparisons.points[nearest].mean(axis=0)  # near the boundary, so that biases are small
    reach = float(np.sqrt(np.max(((comparisons.points[nearest] - shift) ** 2).sum(axis=1)))) or 1.0
    kappa = _BIAS_REACH * reach
    size = nodes * (n + 1)
    known = np.zeros(len(comparisons), dtype=bool)
    known[working] = True
    A, T = comparisons.rows(working, shift)
    normals = np.hstack([A, kappa * T])
    centre = np.zeros(nodes)
    h = np.ones(len(working))
    state, steps, largest = _ActiveSet(size), 0, 8 * size + 1000

    def scores() -> tuple[Floats, Floats]:
        W = state.v[: nodes * n].reshape(nodes, n)
        return W, centre + kappa * state.v[nodes * n :] - W @ shift

    while True:
        stuck = False
        slack = normals @ state.v - h
        while slack.min() < -0.5 * tolerance:
            q = int(np.argmin(slack))
            if reading() > deadline or size * len(state.active) > _LARGEST_BASIS:
                return Separator(*scores(), False)
            stuck = q in state.active or not state.add(q, normals[q], float(h[q]))
            if stuck:
                break
            steps += 1
            slack = normals @ state.v - h
        state.refresh(h[state.active])
        W, b = scores()
        lead = comparisons.differences(W, b)
        missing = np.flatnonzero((lead < 1.0 - tolerance) & ~known)
        if stuck and not len(missing):
            return Separator(W, b, False)
        if len(missing):
            most = 50 + size // 4
            if len(missing) > most:
                missing = missing[np.argpartition(lead[missing], most - 1)[:most]]
            known[missing] = True
            if len(working) > largest:  # forget what is far from binding
                keep = np.union1d(np.array(state.active, dtype=np.intp), np.flatnonzero(normals @ state.v - h < 1.0))
                place = {int(old): new for new, old in enumerate(keep)}
                state.active = [place[j] for j in state.active]
                known[np.delete(working, keep)] = False
                working, normals, T = working[keep], normals[keep], T[keep]
                largest = max(largest, 2 * len(working))
            A, more = comparisons.rows(missing, shift)
            working, T = np.concatenate([working, missing]), np.vstack([T, more])
            normals = np.vstack([normals, np.hstack([A, kappa * more])])
        else:
            moved, size_of_weights = state.v[nodes * n :], float(state.v[: nodes * n] @ state.v[: nodes * n])
            if float(moved @ moved) <= tolerance * size_of_weights or reading() > deadline:
                return Separator(W, b, True)
            centre = centre + kappa * moved
        h = 1.0 - T @ centre
        state.refresh(h[state.active])


class Bound(NamedTuple):
    """Outcome of the linear program over weights of bounded size.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes, n)
        Scaled so that the size of the weights is 1.
    bias : ndarray of shape (n_nodes,)
    gap : float
        Least difference in units of `required`; its inverse is the smallest size of weights.
    rows : ndarray of shape (k,)
        Comparisons of the working set.
    multipliers : ndarray of shape (k,)
        Of these rows, >= 0.
    finished : bool
        Whether `gap` is the largest.
    """

    weights: Floats
    bias: Floats
    gap: float
    rows: Indices
    multipliers: Floats
    finished: bool


def by_linear_program(
    comparisons: Comparisons,
    start: tuple[Floats, Floats],
    deadline: float,
    tolerance: float,
    *,
    norm: Norm = "1",
    required: Floats | None = None,
) -> Bound:
    """Maximise the least difference over weights of size 1: their largest entry ("1") or their sum ("inf").

    Parameters
    ----------
    comparisons, start, deadline, tolerance
        As in `euclidean`.
    norm : {"1", "inf"}
        Norm in which distances of points are measured; the size of weights is its dual.
    required : ndarray of shape (r,) or None
        Unit of each difference, 0 or 1; None for 1 everywhere.

    Returns
    -------
    Bound
        Until `finished`, some comparisons outside the working set may fail.
    """
    nodes, n = start[0].shape
    unit = np.ones(len(comparisons)) if required is None else required
    lead = comparisons.differences(*start)
    first = min(len(lead), 200 + 2 * n)
    working = np.sort(np.argpartition(lead, first - 1)[:first])
    known = np.zeros(len(comparisons), dtype=bool)
    size = nodes * n
    # columns: weights (as differences of two for the sum), biases, gap
    parts = 1 if norm == "1" else 2
    low = np.concatenate([np.full(parts * size, -1.0 if parts == 1 else 0.0), np.full(nodes, -np.inf), [0.0]])
    high = np.concatenate([np.ones(parts * size), np.full(nodes, np.inf), [np.inf]])
    cost = np.append(np.zeros(len(low) - 1), -1.0)
    sum_of_weights = np.append(np.ones(parts * size), np.zeros(nodes + 1))[None, :]
    first_rows = (sum_of_weights, np.array([-np.inf]), np.ones(1)) if parts == 2 else None
    program = LinearProgram(cost, low, high, first_rows, options=_TOLERANCES)
    offset = parts - 1
    # a power of 2, so that dividing by it is exact
    largest = float(np.abs(comparisons.points).max(initial=0.0))
    scale = 2.0 ** round(math.log2(largest)) if largest > 0 else 1.0

    def add(which: Indices) -> None:
        A, T = comparisons.rows(which)
        A = A / scale
        blocks = [A, T, -unit[which][:, None]] if parts == 1 else [A, -A, T, -unit[which][:, None]]
        program.add_rows(np.hstack(blocks), 0.0, np.inf)
        known[which] = True

    add(working)
    W, b, gap, multipliers = start[0], start[1], 0.0, np.zeros(len(working))
    while True:
        if deadline <= reading() or program.solve(deadline) != Status.OPTIMAL:
            return Bound(W, b, gap, working, multipliers, False)
        x = program.x
        multipliers = np.maximum(np.abs(program.multipliers[offset:]), 0.0)
        w = x[:size] if parts == 1 else x[:size] - x[size : 2 * size]
        W, b, gap = w.reshape(nodes, n), x[parts * size : parts * size + nodes] * scale, float(x[-1]) * scale
        lead = comparisons.differences(W, b) - gap * unit
        missing = np.flatnonzero((lead < -tolerance * gap) & ~known)
        if not len(missing):
            return Bound(W, b, gap, working, multipliers, True)
        most = 50 + size // 4
        if len(missing) > most:
            missing = missing[np.argpartition(lead[missing], most - 1)[:most]]
        add(missing)
        working = np.concatenate([working, missing])
        multipliers = np.concatenate([multipliers, np.zeros(len(missing))])
