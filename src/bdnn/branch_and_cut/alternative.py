"""The alternative linear program, whose cheap vertices are violated cuts.

It is stated in docs/mathematics/activation.md. Residuals of Σ μ_i v_i are allowed at a high price, so there is always a
vertex to go on from. The method is a primal simplex method with an explicit inverse: p + 1 rows (p numbers per row),
one column per point. All that is found here is a proposal: sets are proven and weights audited in exact arithmetic
elsewhere.
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
