"""Largest margins in the Euclidean norm, by the dual active-set method of D. Goldfarb and A. Idnani.

It adds one violated comparison at a time (Math. Prog. 27, 1983, doi:10.1007/BF02591962), so it never needs more than a
working set of rows. The compiled core holds the active set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn._native import margins
from bdnn.clock import reading
from bdnn.margins.ordering import OrderingConstraints, Scores, first_rows, next_rows

if TYPE_CHECKING:
    from bdnn.types import Floats

# how far a bias may move per unit of its own norm, in widths of the data: far enough that the norm hardly limits it
_BIAS_REACH = 10.0
# numbers in the factors of the active set: 800 MB
_LARGEST_BASIS = 100_000_000
_STUCK, _UNFINISHED = 1, 2  # how `LeastNorm.enter` ends


class Separator(NamedTuple):
    """Scores that satisfy all comparisons, or nearly do.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes, n)
    bias : ndarray of shape (n_nodes,)
    finished : bool
        Whether they are the best up to the tolerance; if not, time ran out, and some comparisons may fail.
    """

    weights: Floats
    bias: Floats
    finished: bool


def euclidean(comparisons: OrderingConstraints, start: Scores, deadline: float, tolerance: float) -> Separator:
    """Maximize the margin in the Euclidean norm.

    Parameters
    ----------
    comparisons : OrderingConstraints
        They must be satisfiable, and not by biases alone.
    start : tuple of ndarray, of shapes (n_nodes, n) and (n_nodes,)
        Scores that satisfy all comparisons, or nearly do; they suggest which comparisons matter.
    deadline : float
        Reading of `bdnn.clock` at which to stop.
    tolerance : float
        Relative distance from the largest margin that is good enough.

    Returns
    -------
    Separator
        Scores, scaled so that the least difference is about 1.

    Notes
    -----
    The norm leaves out the biases, but the method needs one for them: a small one is given to their distance from their
    last values, and these are updated until it has no effect (proximal point algorithm, R. T. Rockafellar, SIAM J.
    Control Optim. 14, 1976, doi:10.1137/0314056).
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
    largest = 8 * size + 1000
    state = margins.LeastNorm(size)

    def scores(v: Floats) -> Scores:
        W = v[: nodes * n].reshape(nodes, n)
        return W, center + kappa * v[nodes * n :] - W @ shift

    while True:
        ended = state.enter(normals, h, 0.5 * tolerance, _LARGEST_BASIS // size, lambda: reading() <= deadline)
        if ended == _UNFINISHED:
            return Separator(*scores(state.point), False)
        state.refresh(h)
        v = state.point
        W, b = scores(v)
        lead = comparisons.differences(W, b)
        missing = np.flatnonzero((lead < 1.0 - tolerance) & ~known)
        if ended == _STUCK and not len(missing):
            return Separator(W, b, False)
        if len(missing):
            missing = next_rows(lead, missing, size)
            known[missing] = True
            if len(working) > largest:  # drop the comparisons that are far from binding
                keep = np.union1d(state.active, np.flatnonzero(normals @ v - h < 1.0))
                numbers = np.zeros(len(working), dtype=np.int64)
                numbers[keep] = np.arange(len(keep))
                state.relabel(numbers)
                known[np.delete(working, keep)] = False
                working, normals, T = working[keep], normals[keep], T[keep]
                largest = max(largest, 2 * len(working))
            A, more = comparisons.rows(missing, shift)
            working, T = np.concatenate([working, missing]), np.vstack([T, more])
            normals = np.vstack([normals, np.hstack([A, kappa * more])])
        else:
            moved, size_of_weights = v[nodes * n :], float(v[: nodes * n] @ v[: nodes * n])
            if float(moved @ moved) <= tolerance * size_of_weights or reading() > deadline:
                return Separator(W, b, True)
            center = center + kappa * moved
        h = 1.0 - T @ center
        state.refresh(h)
