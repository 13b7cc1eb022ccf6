"""The alternative linear program: μ >= 0 with Σ μ_i v_i = 0 and Σ μ_i = 1, at least cost.

The support of a vertex is a set of rows that no w makes all positive: an *inseparable* set. With costs that say how
much the current solution gives up each row, cheap vertices are violated cuts. Residuals of Σ μ_i v_i are allowed at a
high price, so there is always a vertex to go on from, and the prices π at the optimum are weights: if the optimum is
positive although some rows cost nothing, then -π separates these.

A primal simplex method with an explicit inverse: p + 1 rows (p numbers per row), one column per point. All that is
found here is a proposal: sets are proven and weights audited in exact arithmetic elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import Alternative, restart, separate

if TYPE_CHECKING:
    from bdnn.types import Floats

__all__ = ["Alternative", "alternative", "restart", "separate"]


def alternative(rows: Floats) -> Alternative:
    """Return the program for signed rows of shape (m, p), at a vertex of one row and residuals."""
    return Alternative(np.ascontiguousarray(rows, dtype=np.float64))
