"""Robust loss that no classifier can avoid: where the balls of points with different labels meet.

One of two such points is wrong on its ball; docs/mathematics/worst_case.md states the cover that follows from this.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices, Norm, Reals

# numbers that are compared at most, and in a second: presolve takes less than a minute
_MAX_PRODUCTS = 5_000_000_000
_PRODUCTS_PER_SECOND = 100_000_000  # on one core
# pairs of points in a flow: its arrays take some hundred megabytes
_MAX_PAIRS = 5_000_000
# bits of the largest weight: they leave room for sums in the 32 bits of SciPy's flows
_BITS = 28
_LARGEST = 2.0**_BITS  # larger weights are rounded down to multiples
_POWERS = {"inf": np.inf, "1": 1.0, "2": 2.0}  # by the names of the norms


def irreducible_robust_loss(
    X: Reals, label_costs: Floats, radius: Floats, norm: Norm, seconds: float = math.inf
) -> float:
    """Return a bound on the robust loss of every classifier with one loss per point.

    Parameters
    ----------
    X : ndarray of shape (p, n)
        Distinct points, in the units of the radii.
    label_costs : ndarray of shape (p, n_classes)
        What it costs at each point that a label is not predicted; see `bdnn.network.losses.Loss.label_costs`.
    radius : ndarray of shape (n,)
        Radius of each feature.
    norm : {"inf", "1", "2"}
        Norm of the balls.
    seconds : float
        About how long to look for pairs.

    Returns
    -------
    float
        In units of sample weight; 0 if there is no pair, or the data are too large to be looked through in the time.
    """
    labels = _labels(label_costs)
    most = min(_MAX_PRODUCTS, _PRODUCTS_PER_SECOND * seconds / len(labels))
    return max(_irreducible_for(X, label_costs, label, radius, norm, most) for label in labels)


def is_in_time(label_costs: Floats, n_features: int, seconds: float) -> bool:
    """Tell whether `irreducible_robust_loss` looks for pairs of all labels that it would look for with more time.

    Parameters
    ----------
    label_costs : ndarray of shape (p, n_classes)
        What it costs at each point that a label is not predicted; see `bdnn.network.losses.Loss.label_costs`.
    n_features : int
        Numbers of a point.
    seconds : float
        About how long to look for pairs.

    Returns
    -------
    bool
        False if it leaves a label out for lack of time.
    """
    labels = _labels(label_costs)
    most = _PRODUCTS_PER_SECOND * seconds / len(labels)
    products = [float(len(left)) * len(right) * n_features for left, right in (_sides(label_costs, c) for c in labels)]
    return not any(most < count <= _MAX_PRODUCTS for count in products)


def _labels(label_costs: Floats) -> list[int]:
    return list(range(label_costs.shape[1])) if label_costs.shape[1] > 2 else [0]


def _sides(label_costs: Floats, label: int) -> tuple[Indices, Indices]:
    """Return the points of a label, and those of others."""
    others = np.delete(label_costs, label, axis=1).sum(axis=1)
    return np.flatnonzero(label_costs[:, label] > 0), np.flatnonzero(others > 0)


def _irreducible_for(X: Reals, label_costs: Floats, label: int, radius: Floats, norm: Norm, most: float) -> float:
    """Return the bound of one label against all others, 0 if it takes more than `most` comparisons of numbers."""
    here, others = label_costs[:, label], np.delete(label_costs, label, axis=1).sum(axis=1)
    left, right = _sides(label_costs, label)
    if float(len(left)) * len(right) * X.shape[1] > most:
        return 0.0
    pairs = _meeting(X[left].astype(np.float64), X[right].astype(np.float64), radius, norm)
    if not len(pairs[0]):
        return 0.0
    supply, demand = here[left], others[right]
    unit = 1.0
    if max(supply.max(), demand.max()) > _LARGEST or np.any(supply % 1) or np.any(demand % 1):
        # in integers, rounded down, so that the flow is no larger than a true one
        unit = math.ldexp(1.0, math.frexp(max(supply.max(), demand.max()))[1] - _BITS)
    return unit * _largest_flow(pairs, *(np.floor(w / unit).astype(np.int32) for w in (supply, demand)))


def _meeting(A: Floats, B: Floats, radius: Floats, norm: Norm) -> tuple[Indices, Indices]:
    """Return pairs of rows of A and B whose balls surely have an input in common: not farther apart than two radii."""
    moving = radius > 0
    first, second = A[:, moving] / radius[moving], B[:, moving] / radius[moving]
    largest = max(np.abs(first).max(initial=0.0), np.abs(second).max(initial=0.0))
    # rounding of quotients, differences and sums
    reach = 2.0 - (largest * 2.0**-50 + 1e-12) * (1 if norm == "inf" else max(int(moving.sum()), 1))
    if reach <= 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    one, other = cKDTree(first), cKDTree(second)
    power = _POWERS[norm]
    while one.count_neighbors(other, reach, p=power) > _MAX_PAIRS:
        reach *= 0.8  # some of the pairs bound the loss as well
    found = one.sparse_distance_matrix(other, reach, p=power, output_type="coo_matrix")
    rows, columns = found.row.astype(np.intp), found.col.astype(np.intp)
    if not moving.all():
        same = np.all(A[rows][:, ~moving] == B[columns][:, ~moving], axis=1)
        rows, columns = rows[same], columns[same]
    return rows, columns


def _largest_flow(pairs: tuple[Indices, Indices], supply: NDArray[np.int32], demand: NDArray[np.int32]) -> int:
    """Return the value of the largest flow from the left to the right along the pairs."""
    a, b = len(supply), len(demand)
    source, sink = a + b, a + b + 1
    rows, columns = pairs
    tails = np.concatenate([np.full(a, source), rows, a + np.arange(b)])
    heads = np.concatenate([np.arange(a), a + columns, np.full(b, sink)])
    capacity = np.concatenate([supply, np.minimum(supply[rows], demand[columns]), demand]).astype(np.int32)
    graph = coo_matrix((capacity, (tails, heads)), shape=(a + b + 2, a + b + 2)).tocsr()
    return int(maximum_flow(graph, source, sink).flow_value)
