"""Exact verdicts on one neuron: whether a set of signed rows is inseparable, and whether a weight vector separates it.

A row is ``v_i = s_i (x_i, 1)`` with the wanted sign ``s_i``, or any vector whose product with the weights must be
positive. Gordan's theorem, in docs/mathematics/activation.md, gives either answer a proof that is checked without
rounding: integer multipliers by `multipliers`, weights by `separates`. `enclosed` proves that multipliers exist without
giving them, by an error bound in floating point.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import enclosed as _native_enclosed
from bdnn.exact.dixon import kernel, scaled
from bdnn.exact.signs import affine

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats, Indices


def _vertex(vectors: Sequence[Sequence[int]], places: Sequence[int]) -> list[int] | None:
    """Find a vector of smallest support among the nonnegative combinations of kernel vectors, or None if there is none.

    Kernel vector j is positive at ``places[j]`` and 0 at the other places, so a nonnegative vector of the kernel has
    nonnegative coefficients. Those with sum 1 that make all entries nonnegative are a polytope. A walk from basis to
    basis by least indices ends at a vertex of it or shows that it is empty (T. Terlaky 1985,
    doi:10.1080/02331938508843067, without an objective).
    """
    if len(vectors) == 1:
        return list(vectors[0]) if min(vectors[0]) >= 0 else None
    columns = [[Fraction(a, vector[place]) for a in vector] for vector, place in zip(vectors, places, strict=True)]
    free = list(places[1:])
    # each other entry is constant + Σ coefficient · free entry
    table = {i: [a, *(column[i] - a for column in columns[1:])] for i, a in enumerate(columns[0]) if i not in free}
    while True:
        leaving = min((i for i, row in table.items() if row[0] < 0), default=None)
        if leaving is None:
            break
        pivot_row = table.pop(leaving)
        entering = min((j for q, j in enumerate(free, 1) if pivot_row[q] > 0), default=None)
        if entering is None:
            return None
        q = free.index(entering) + 1
        pivot = pivot_row[q]
        free[q - 1] = leaving
        solved = [-a / pivot for a in pivot_row]
        solved[q] = 1 / pivot
        for row in table.values():
            factor = row[q]
            row[q] = Fraction(0)
            for c, a in enumerate(solved):
                row[c] += factor * a
        table[entering] = solved
    values = {i: row[0] for i, row in table.items()}
    common = math.lcm(*(value.denominator for value in values.values()))
    return [int(values.get(i, Fraction(0)) * common) for i in range(len(vectors[0]))]


def multipliers(rows: Floats) -> tuple[list[int], list[int]] | None:
    """Prove that rows are inseparable: positive integers with ``Σ μ_i v_i = 0``, exactly.

    Parameters
    ----------
    rows : ndarray of shape (k, p)
        Finite floats; usually the support of a vertex of the dual linear program, whose multipliers are unique up to
        their scale.

    Returns
    -------
    tuple of list of int and list of int, or None
        Indices of rows that are inseparable, ascending, and their multipliers, whose greatest common divisor is 1.
        None if none were found, which proves nothing by itself: rows may be separable, a number may not be finite, or
        several sets of rows may have multipliers.

    Notes
    -----
    Powers of two are taken out of columns, which does not change the multipliers, and of rows, which changes them by
    these powers. The time grows with the number of bits that are left, about 60 for usual features and thousands for a
    feature with values from 1e-300 to 1e300.

    Examples
    --------
    >>> import numpy as np
    >>> multipliers(np.array([[1.0, 0.0], [0.0, 1.0], [-0.5, -2.0]]))
    ([0, 1, 2], [1, 4, 2])
    >>> multipliers(np.array([[1.0, 0.0], [0.0, 1.0]])) is None
    True
    """
    if len(rows) == 0 or not np.all(np.isfinite(rows)):
        return None
    some = rows.any(axis=1)
    if not some.all():
        return [int(np.argmin(some))], [1]
    matrix = scaled(np.ascontiguousarray(rows, dtype=np.float64))
    odd, shift, divided = matrix
    vectors, places = kernel(matrix)
    found = _vertex(vectors, places) if places else None
    if found is None:
        return None
    support = [i for i, mu in enumerate(found) if mu > 0]
    factors = [found[i] for i in support]
    if int(shift.max()) <= 9:  # 62 bits
        columns = (odd << shift)[support].T.tolist()
    else:
        columns = (odd[support].astype(object) << shift[support].astype(object)).T.tolist()
    # the proof: whatever came before, this makes the rows inseparable
    if any(sum(map(operator.mul, factors, column)) for column in columns):
        return None
    most = int(divided.max())
    if most:
        factors = [mu << (most - n) for mu, n in zip(factors, divided[support].tolist(), strict=True)]
    divisor = math.gcd(*factors)
    return support, [mu // divisor for mu in factors]


def enclosed_many(rows: Floats, supports: Indices) -> Bools:
    """Tell which supports of p + 1 rows are inseparable beyond doubt, by error bounds in floating point.

    Parameters
    ----------
    rows : ndarray of shape (m, p)
        Finite floats.
    supports : ndarray of shape (N, p + 1)
        Indices of rows.

    Returns
    -------
    ndarray of shape (N,), bool
        True only if the rows of the support have positive multipliers. False says nothing.

    Notes
    -----
    With the rows as columns and a last row of ones, multipliers solve ``B μ = e``; that the solution is positive is
    shown by an approximate inverse and bounds on all rounding errors (S. M. Rump, *Verification methods*, Acta Numerica
    19, 2010, §10, doi:10.1017/S096249291000005X); see `native/exact/enclosure.hpp` for the argument.
    """
    n, size = supports.shape
    if rows.shape[1] + 1 != size:
        return np.zeros(n, dtype=bool)
    return _native_enclosed(
        np.ascontiguousarray(rows, dtype=np.float64), np.ascontiguousarray(supports, dtype=np.int64)
    )


def enclosed(rows: Floats) -> bool:
    """Tell whether p + 1 rows are inseparable beyond doubt; see `enclosed_many`.

    Parameters
    ----------
    rows : ndarray of shape (p + 1, p)
        Finite floats.

    Returns
    -------
    bool
        True only if the rows have positive multipliers. False says nothing.

    Examples
    --------
    >>> import numpy as np
    >>> enclosed(np.array([[1.0, 0.0], [0.0, 1.0], [-0.1, -0.2]]))
    True
    >>> enclosed(np.array([[1.0, 0.0], [0.0, 1.0], [-0.1, 0.0]]))
    False
    """
    return bool(enclosed_many(rows, np.arange(len(rows))[None, :])[0])


def separates(weights: Floats, rows: Floats) -> bool:
    """Tell exactly whether every row has a positive product with the weights.

    Parameters
    ----------
    weights : ndarray of shape (p,)
        Finite floats.
    rows : ndarray of shape (k, p)
        Finite floats.

    Returns
    -------
    bool
        Whether the weights prove that the rows are separable.

    Examples
    --------
    >>> import numpy as np
    >>> separates(np.array([1.0, 1.0, -0.3]), np.array([[0.1, 0.2, 1.0]]))
    True
    """
    if not np.all(np.isfinite(weights)):
        return False
    return bool(np.all(affine(rows, weights[None, :], np.zeros(1)).values > 0))
