"""Largest margins in the Euclidean norm, by the dual active-set method of D. Goldfarb and A. Idnani.

It adds one violated comparison at a time (Math. Prog. 27, 1983, doi:10.1007/BF02591962), so it never needs more than a
working set of rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.clock import reading
from bdnn.margins.ordering import OrderingConstraints, Scores, first_rows, next_rows

if TYPE_CHECKING:
    from bdnn.types import Floats

# how far a bias may move per unit of its own norm, in widths of the data: so far that the norm hardly holds it back
_BIAS_REACH = 10.0
# numbers in the factors of the active set: 800 MB
_LARGEST_BASIS = 100_000_000


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


def euclidean(comparisons: OrderingConstraints, start: Scores, deadline: float, tolerance: float) -> Separator:
    """Maximize the margin in the Euclidean norm.

    Parameters
    ----------
    comparisons : OrderingConstraints
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
    working = first_rows(lead, n)
    nearest = np.unique(comparisons.point[working])
    shift = comparisons.points[nearest].mean(axis=0)  # near the boundary, so that biases are small
    reach = float(np.sqrt(np.max(((comparisons.points[nearest] - shift) ** 2).sum(axis=1)))) or 1.0
    kappa = _BIAS_REACH * reach
    size = nodes * (n + 1)
    known = np.zeros(len(comparisons), dtype=bool)
    known[working] = True
    A, T = comparisons.rows(working, shift)
    normals = np.hstack([A, kappa * T])
    center = np.zeros(nodes)
    h = np.ones(len(working))
    state, steps, largest = _ActiveSet(size), 0, 8 * size + 1000

    def scores() -> Scores:
        W = state.v[: nodes * n].reshape(nodes, n)
        return W, center + kappa * state.v[nodes * n :] - W @ shift

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
            missing = next_rows(lead, missing, size)
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
            center = center + kappa * moved
        h = 1.0 - T @ center
        state.refresh(h[state.active])
