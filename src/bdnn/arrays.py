"""Long arrays, worked on in blocks of rows so that temporaries stay small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.errors import InputError
from bdnn.types import Bools, Floats, Indices

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


def runs(rows: NDArray[Any], keys: NDArray[Any]) -> tuple[Indices, Bools]:
    """Return the order that sorts rows, and which of the sorted ones differ from the one before, without copies of all.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Rows of which equal ones are looked for, no NaN.
    keys : ndarray of shape (m,)
        What they are sorted by: equal rows have equal keys.

    Returns
    -------
    order : ndarray of int
        Equal rows come in their own order.
    differs : ndarray of bool
        The first one does.

    Examples
    --------
    >>> rows = np.array([[2, 1], [0, 0], [2, 1]])
    >>> [part.tolist() for part in runs(rows, rows[:, 0])]
    [[1, 0, 2], [True, True, False]]
    """
    order = np.argsort(keys, kind="stable")
    differs = np.ones(len(order), dtype=bool)
    for part in row_blocks(len(order) - 1, rows.shape[1]):
        before, after = rows[order[part]], rows[order[part.start + 1 : part.stop + 1]]
        np.any(before != after, axis=1, out=differs[part.start + 1 : part.stop + 1])
    return order, differs


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy of an array."""
    values = values.copy()
    values.setflags(write=False)
    return values


@overload
def real_numbers(what: str, values: ArrayLike, single: Literal[False] = False) -> Floats: ...


@overload
def real_numbers(what: str, values: ArrayLike, single: Literal[True]) -> NDArray[np.floating[Any]]: ...


def real_numbers(what: str, values: ArrayLike, single: bool = False) -> NDArray[np.floating[Any]]:
    """Return `values` as an array of doubles.

    Parameters
    ----------
    what : str
        Name of the values in the message.
    values : array-like
        Numbers; an array of doubles is returned as it is.
    single : bool
        Whether an array of float32 is returned as it is, too.

    Returns
    -------
    ndarray
        Of the same shape; NaN and infinity pass.

    Raises
    ------
    InputError
        If they are text (also text of digits), dates, complex, ragged or too large for a float.
    """
    try:
        raw = np.asarray(values)
        if raw.dtype.kind in "US" or (raw.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in raw.flat)):
            reason = "got text; encode it first"
        elif raw.dtype.kind in "cmM":
            reason = f"got {raw.dtype}"
        elif raw.dtype.kind == "O" and raw.ndim == 0:
            reason = f"got {type(values).__name__}"
        else:
            if single and raw.dtype == np.float32:
                return raw
            with np.errstate(over="ignore"):
                return raw.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
    raise InputError(f"{what} must be real numbers: {reason}")
