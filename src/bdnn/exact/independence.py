"""Which columns are no affine functions of others, decided without rounding."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices

# relative residual that is no rounding error of a solution of a few equations; what is below is decided in fractions
_CLEAR = 1e-6


def independent_columns(X: Floats, most: int) -> Indices | None:
    """Return columns of which all others are affine functions, none of them one of the columns before it.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Finite floats.
    most : int
        Columns that are of interest.

    Returns
    -------
    ndarray of shape (k,) or None
        None if there are more than `most`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(4.0)
    >>> independent_columns(np.column_stack([x, 2 * x + 1, x**2, np.ones(4)]), 2).tolist()
    [0, 2]
    """
    chosen: list[int] = []
    rows = [0]  # in which the chosen columns and the constant are independent
    for j in range(X.shape[1] if len(X) else 0):
        row = _other_row(X, chosen, rows, j)
        if row is None:
            continue
        if len(chosen) == most:
            return None
        chosen.append(j)
        rows.append(row)
    return np.array(chosen, dtype=np.intp)


def _other_row(X: Floats, chosen: list[int], rows: list[int], j: int) -> int | None:
    """Return a row where column j is not what the rows make of the chosen columns; None if it is so everywhere."""
    factors = _solution([[*map(Fraction, X[row, chosen].tolist()), Fraction(1)] for row in rows], X[rows, j].tolist())

    def residual(row: int) -> Fraction:
        values = [*map(Fraction, X[row, chosen].tolist()), Fraction(1)]
        return Fraction(float(X[row, j])) - sum(map(Fraction.__mul__, factors, values), Fraction(0))

    try:
        rounded = np.array([float(factor) for factor in factors])
    except OverflowError:
        rounded = np.full(len(factors), np.nan)
    with np.errstate(all="ignore"):
        values = np.column_stack([X[:, chosen], np.ones(len(X))])
        size = np.abs(values) @ np.abs(rounded) + np.abs(X[:, j])
        share = np.abs(X[:, j] - values @ rounded) / size
    share[~np.isfinite(share)] = 0.0
    # what floats show clearly first, then everything
    likely = int(np.argmax(share))
    if share[likely] > _CLEAR and residual(likely):
        return likely
    return next((row for row in range(len(X)) if residual(row)), None)


def _solution(matrix: list[list[Fraction]], right: list[float]) -> list[Fraction]:
    """Return the solution of a regular system of equations."""
    table = [[*row, Fraction(value)] for row, value in zip(matrix, right, strict=True)]
    n = len(table)
    for k in range(n):
        pivot = next(i for i in range(k, n) if table[i][k])
        table[k], table[pivot] = table[pivot], table[k]
        table[k] = [value / table[k][k] for value in table[k]]
        for i in range(n):
            if i != k and table[i][k]:
                factor = table[i][k]
                table[i] = [a - factor * b for a, b in zip(table[i], table[k], strict=True)]
    return [row[n] for row in table]
