"""Largest margins in the norms whose duals are the largest entry and the sum: linear programs with generated rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.margins.ordering import OrderingConstraints, Scores, first_rows, next_rows
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices, Norm

# a hundredth of HiGHS's default tolerances: the gap, whose inverse bounds integer weights, can be tiny
_TOLERANCES = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}


class Bound(NamedTuple):
    """Outcome of the linear program over weights of bounded size.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes, n)
        Weights, scaled so that their size is 1.
    bias : ndarray of shape (n_nodes,)
    gap : float
        Least difference in units of `required`; its inverse is the smallest size of weights.
    rows : ndarray of shape (k,)
        Comparisons of the working set.
    multipliers : ndarray of shape (k,)
        Multipliers of these rows, >= 0.
    finished : bool
        Whether `gap` is the largest possible one.
    """

    weights: Floats
    bias: Floats
    gap: float
    rows: Indices
    multipliers: Floats
    finished: bool


def by_linear_program(
    comparisons: OrderingConstraints,
    start: Scores,
    deadline: float,
    tolerance: float,
    *,
    norm: Norm = "1",
    required: Floats | None = None,
) -> Bound:
    """Maximize the least difference over weights of size 1: their largest entry ("1") or their sum ("inf").

    Parameters
    ----------
    comparisons, start, deadline, tolerance
        As in `euclidean`.
    norm : {"1", "inf"}
        Norm in which distances of points are measured; the size of weights is its dual.
    required : ndarray of shape (r,) or None
        Unit of each difference, 0 or 1; None stands for 1 everywhere.

    Returns
    -------
    Bound
        Unless it is `finished`, some comparisons outside the working set may fail.
    """
    nodes, n = start[0].shape
    unit = np.ones(len(comparisons)) if required is None else required
    lead = comparisons.differences(*start)
    working = first_rows(lead, n)
    known = np.zeros(len(comparisons), dtype=bool)
    size = nodes * n
    # columns: weights (as differences of two for the sum), biases, gap
    parts = 1 if norm == "1" else 2
    low = np.concatenate([np.full(parts * size, -1.0 if parts == 1 else 0.0), np.full(nodes, -np.inf), [0.0]])
    high = np.concatenate([np.ones(parts * size), np.full(nodes, np.inf), [np.inf]])
    cost = np.append(np.zeros(len(low) - 1), -1.0)
    sum_of_weights = np.append(np.ones(parts * size), np.zeros(nodes + 1))[None, :]
    sums = (sum_of_weights, np.array([-np.inf]), np.ones(1)) if parts == 2 else None
    program = LinearProgram(cost, low, high, sums, options=_TOLERANCES)
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
        missing = next_rows(lead, missing, size)
        add(missing)
        working = np.concatenate([working, missing])
        multipliers = np.concatenate([multipliers, np.zeros(len(missing))])
