"""Long arrays, worked on in blocks of rows so that temporaries stay small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# 4 MB of doubles; the arithmetic of a layer holds about eight such arrays at a time
BLOCK_NUMBERS = 2**19


def row_blocks(m: int, width: int) -> Iterator[slice]:
    """Yield consecutive slices that cover m rows, each of at most `BLOCK_NUMBERS` numbers (or of one row).

    Parameters
    ----------
    m : int
        Number of rows.
    width : int
        Numbers per row.

    Yields
    ------
    slice
        Never empty.

    Examples
    --------
    >>> [(rows.start, rows.stop) for rows in row_blocks(5, BLOCK_NUMBERS // 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(BLOCK_NUMBERS // max(width, 1), 1)
    for start in range(0, m, step):
        yield slice(start, min(start + step, m))


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted distinct elements of an array of shape (m,), as `numpy.unique` does.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Numbers or strings, no NaN.

    Returns
    -------
    ndarray
        Sorted.
    """
    pieces = [np.unique(values[rows]) for rows in row_blocks(len(values), 1)]
    return np.unique(np.concatenate(pieces)) if len(pieces) > 1 else np.unique(values)


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy of an array."""
    values = values.copy()
    values.setflags(write=False)
    return values
