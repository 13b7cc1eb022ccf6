"""Sign-exact evaluation of affine maps.

Floats are rationals, so ``sign(w·x + b)`` has one right answer. Floating-point summation in any order differs from it
by at most ``γ(n+1) (|w|·|x| + |b|)`` with ``γ(k) = k u / (1 - k u)``, ``u = 2**-53`` (N. J. Higham, *Accuracy and
Stability of Numerical Algorithms*, 2nd ed., §3.1, doi:10.1137/1.9780898718027). Outside that bound the float sign is
right; inside it the value is recomputed with `fractions.Fraction`. Where everything is integer and below ``2**53`` the
float result is exact and no bound is needed. This is determined for each input by itself, so that the results for an
input do not depend on those beside it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.arrays import BLOCK_NUMBERS, row_blocks

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices

UNIT_ROUNDOFF = 2.0**-53
"""Largest relative error of a rounded double."""
_EXACT = 2.0**53  # integers up to here are doubles
_TINY = 5e-324  # the least positive double, and the largest error of a product that underflows


class Affine(NamedTuple):
    """Values of an affine map with exact signs.

    Attributes
    ----------
    values : ndarray of shape (m, d)
        Pre-activations, rounded, but each with the sign of the exact value (an exact zero is 0).
    radius : ndarray of shape (m, d) or None
        Bound on the rounding error of `values`, 0 in rows that are exact; None if all are.
    n_rational : int
        Number of entries whose sign needed rational arithmetic.
    """

    values: Floats
    radius: Floats | None
    n_rational: int


def _is_integral(a: Floats) -> bool:
    return bool(np.all(a == np.rint(a)))


def rational(x: Floats, weights: Floats, bias: float) -> Fraction:
    """Return ``weights · x + bias`` exactly.

    Parameters
    ----------
    x, weights : ndarray of shape (n,)
        Finite floats.
    bias : float
        Finite.

    Returns
    -------
    Fraction
        The exact value.

    Examples
    --------
    >>> import numpy as np
    >>> rational(np.array([0.1, 0.2]), np.array([1.0, 1.0]), -0.3) > 0
    True
    """
    used = (x != 0) & (weights != 0)
    # all denominators are powers of two, so sums need no common factors: total / 2^shift
    total, denominator = float(bias).as_integer_ratio()
    shift = denominator.bit_length() - 1
    for w, v in zip(weights[used].tolist(), x[used].tolist(), strict=True):
        (a, b), (c, d) = w.as_integer_ratio(), v.as_integer_ratio()
        own = b.bit_length() + d.bit_length() - 2
        if own > shift:
            total, shift = total << (own - shift), own
        total += a * c << (shift - own)
    return Fraction(total, 1 << shift)


def _rounded(value: Fraction) -> float:
    """Nearest float of the same sign; never 0 for a value that is not 0."""
    try:
        near = float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
    if near == 0.0 and value != 0:
        return _TINY if value > 0 else -_TINY
    return near


def affine(x: Floats, weights: Floats, bias: Floats) -> Affine:
    """Evaluate ``x @ weights.T + bias`` with exact signs; of many inputs in blocks, so that temporaries stay small.

    Parameters
    ----------
    x : ndarray of shape (m, n)
        Finite inputs.
    weights : ndarray of shape (d, n)
        Finite weights.
    bias : ndarray of shape (d,)
        Finite biases.

    Returns
    -------
    Affine
        Values whose signs are exact, the radius of their rounding error and the number of rational evaluations.
    """
    if x.size <= BLOCK_NUMBERS:
        return _affine(x, weights, bias)
    values, radius, n_rational = np.empty((len(x), len(bias))), np.zeros((len(x), len(bias))), 0
    for rows in row_blocks(*x.shape):
        part = _affine(x[rows], weights, bias)
        values[rows], n_rational = part.values, n_rational + part.n_rational
        if part.radius is not None:
            radius[rows] = part.radius
    return Affine(values, radius, n_rational)


def _affine(x: Floats, weights: Floats, bias: Floats) -> Affine:
    """Evaluate some inputs as `affine` does."""
    used = np.any(weights != 0, axis=0)
    if not np.all(used):  # the first network of every training has no weights
        x, weights = x[:, used], weights[:, used]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        values = x @ weights.T + bias
        magnitude = np.abs(x) @ np.abs(weights).T + np.abs(bias)
        exact = np.zeros(len(x), dtype=bool)
        if _is_integral(weights) and _is_integral(bias):
            if np.all(magnitude < _EXACT) and _is_integral(x):
                return Affine(values, None, 0)
            exact = np.all(magnitude < _EXACT, axis=1) & np.all(x == np.rint(x), axis=1)
        n = x.shape[1]
        # 1.01: the magnitude is itself rounded; the last term covers products that underflow
        radius = 1.01 * (n + 2) * UNIT_ROUNDOFF * magnitude + (n + 1) * _TINY
        radius[exact] = 0.0
        doubtful = ~(np.abs(values) > radius) & ~exact[:, None]
        doubtful[:, ~np.any(weights != 0, axis=1)] = False  # such a value is the bias itself
    rows, columns = np.nonzero(doubtful)
    for i, j in zip(rows, columns, strict=True):
        values[i, j] = _rounded(rational(x[i], weights[j], bias[j]))
    return Affine(values, radius, len(rows))


def largest(x: Floats, weights: Floats, bias: Floats) -> tuple[Indices, int]:
    """Return for each input the index of the exactly largest component of the affine map, the lowest on a tie.

    Parameters
    ----------
    x, weights, bias : ndarray of shape (m, n), (d, n), (d,)
        As in `affine`.

    Returns
    -------
    winners : ndarray of shape (m,)
        Index of the largest component.
    n_rational : int
        Number of values that needed rational arithmetic.
    """
    values, radius, _ = affine(x, weights, bias)
    winners = np.argmax(values, axis=1)
    if radius is None:
        return winners, 0
    with np.errstate(over="ignore", invalid="ignore"):
        sure = (values - radius).max(axis=1, keepdims=True)
        candidates = ~(values + radius < sure)
    n_rational = 0
    # a radius of 0 means exact values, whose argmax is right
    for i in np.flatnonzero((candidates.sum(axis=1) != 1) & (radius[:, 0] > 0)):
        columns = np.flatnonzero(candidates[i])
        exact = [rational(x[i], weights[j], bias[j]) for j in columns]
        winners[i] = columns[exact.index(max(exact))]
        n_rational += len(columns)
    return winners, n_rational


def shifted(weights: Floats, bias: float, center: Floats, sign: int) -> float:
    """Return ``bias + sign * weights · center``, rounded once.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        Finite.
    bias : float
        Finite.
    center : ndarray of shape (n,)
        Finite.
    sign : {1, -1}
        Added or subtracted.

    Returns
    -------
    float
        The nearest double.

    Raises
    ------
    OverflowError
        If it is beyond all doubles.

    Examples
    --------
    >>> shifted(np.array([1e20, -1e20, 3.0]), 0.5, np.ones(3), -1)
    -2.5
    """
    used = np.flatnonzero((weights != 0) & (center != 0))
    total = sum((Fraction(float(weights[j])) * Fraction(float(center[j])) for j in used), Fraction(0))
    return float(Fraction(float(bias)) + sign * total)
