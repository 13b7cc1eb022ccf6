"""Small linear programs whose rows come and go: minimize w·x, A x >= h, lower <= x <= upper.

The simplex method works on a dictionary (V. Chvátal, Linear Programming, 1983, chapter 2): basic variables and the
objective as functions of the non-basic ones. What is kept of it is an inverse as large as the number of basic
columns, from which rows and columns follow (see `native/lp/dictionary.hpp`): every reduced cost is at hand for fixing,
rows of the dictionary for branching, and nothing is called in between. Box constraints are handled by the bounded dual
method with flips (the long-step rule; I. Maros, Computational Techniques of the Simplex Method, 2003, chapter 10), so a
program whose bounds or rows have changed is re-solved from where it stands.

Rounding errors do no harm to proofs: what a node proves is recomputed from the multipliers in exact arithmetic.

Variables are numbered: columns from 0, then the slack of each row by its label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import (
    Dictionary,
    add_row,
    copy_into,
    drop_slack_rows,
    dual_simplex,
    multipliers,
    penalties,
    penalties_of,
    rebuild,
    settle,
)

if TYPE_CHECKING:
    from bdnn.types import Floats

__all__ = [
    "CUT_OFF",
    "INFEASIBLE",
    "OBJECTIVE",
    "OPTIMAL",
    "PIVOTS",
    "UNFINISHED",
    "Dictionary",
    "add_row",
    "copy_into",
    "dictionary",
    "drop_slack_rows",
    "dual_simplex",
    "multipliers",
    "penalties",
    "penalties_of",
    "rebuild",
    "settle",
]

# how a solve ended, as the core numbers it
OPTIMAL, CUT_OFF, INFEASIBLE, UNFINISHED = 0, 1, 2, 3
OBJECTIVE, PIVOTS = 0, 1  # places in `Dictionary.state`


def dictionary(cost: Floats, capacity: int, labels: int) -> Dictionary:
    """Return a program without rows; columns between 0 and 1."""
    return Dictionary(np.ascontiguousarray(cost, dtype=np.float64), capacity, labels)
