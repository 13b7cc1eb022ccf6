"""Training with clusters of points that share activations (J. Kurtz and B. Bah, arXiv:2110.11382, data splitting).

The program is that of `bdnn.formulations.training` with one binary per cluster and neuron; it is stated in
docs/mathematics/clustered.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.formulations import robust, training
from bdnn.milp.tolerances import DEFAULT_TOLERANCES, Tolerances

if TYPE_CHECKING:
    from bdnn.formulations.model import TrainingModel
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices

# a residual of least squares up to this counts as 0: it is the rounding of numbers up to 1
_HULL_RESIDUAL = 1e-12
# number of directions in which extreme points are looked for first; with these, few points need least squares
_DIRECTIONS = 64


def build(
    presolved: Presolved,
    clusters: Indices,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    reductions: Collection[str] = training.REDUCTIONS,
    *,
    hull_seconds: float = 1.0,
) -> TrainingModel:
    """Build the clustered program.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem, or a part of its points.
    clusters : ndarray of shape (p,)
        Cluster of each point, any integers.
    tolerances : Tolerances
        Of the solver that will be used.
    reductions : collection of str
        Subset of `bdnn.formulations.training.REDUCTIONS`.
    hull_seconds : float, default=1.0
        Time for finding points inside hulls; points not examined by then keep their rows.

    Returns
    -------
    TrainingModel
        Program and translation.
    """
    groups = np.unique(clusters, return_inverse=True)[1].ravel()
    rows = None
    if not (presolved.problem.robust and presolved.grid is not None):  # boxes differ in size
        rows = extreme_points(presolved.X, groups, hull_seconds)
    return robust.build_model(presolved, tolerances, reductions, groups=groups, rows=rows)


def extreme_points(X: Floats, groups: Indices, seconds: float) -> Bools:
    """Return which points cannot be left out; in each group, the others lie in the convex hull of those kept.

    Parameters
    ----------
    X : ndarray of shape (p, n)
        Points.
    groups : ndarray of shape (p,)
        Group of each.
    seconds : float
        Points not examined after this time are kept.

    Returns
    -------
    ndarray of shape (p,), bool
        Points to keep.
    """
    deadline = reading() + seconds
    keep = np.ones(len(X), dtype=bool)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(X.shape[1], _DIRECTIONS))
    for group in np.flatnonzero(np.bincount(groups) > 2):
        members = np.flatnonzero(groups == group)
        # the farthest point in a direction is extreme: no program is needed to know it
        projected = X[members] @ directions
        known = set(members[np.r_[projected.argmax(axis=0), projected.argmin(axis=0)]].tolist())
        for i in members:
            if reading() > deadline:
                return keep
            if int(i) not in known:
                others = members[keep[members] & (members != i)]
                keep[i] = not _in_hull(X[i], X[others])
    return keep


def _in_hull(x: Floats, points: Floats) -> bool:
    """Whether x = Σ λ_i p_i with λ >= 0 and Σ λ = 1, decided by non-negative least squares."""
    from scipy.optimize import nnls

    scale = max(1.0, float(np.abs(points).max(initial=0.0)))
    system = np.vstack([(points - x).T / scale, np.ones(len(points))])
    try:
        _, residual = nnls(system, np.r_[np.zeros(len(x)), 1.0])
    except RuntimeError:  # there were too many iterations to know, so the point is kept
        return False
    return bool(residual <= _HULL_RESIDUAL)
