"""Kernel vectors of integer matrices: solve modulo a prime, lift to a power of it, recover the rationals.

Rows of floats become integers times powers of two. A square system is solved modulo a prime and its solution is lifted
digit by digit (J. D. Dixon, *Exact solution of linear equations using p-adic expansions*, Numer. Math. 40, 1982,
doi:10.1007/BF01459082); numerators and denominator are recovered from the digits by Euclid's algorithm. The results are
right unless the prime divides a determinant that is not 0; the caller checks them.

The multipliers of a support of n + 2 points with n features have about ``60 n`` binary digits. Elimination without
fractions (E. H. Bareiss) handles numbers of that length ``n**3 / 3`` times, the lifting only ``n`` times.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn._native.tree import DIGIT, PRIME, Lifting, euclid_steps, numbers_of

if TYPE_CHECKING:
    from bdnn.types import Floats, Integers


class Scaled(NamedTuple):
    """Rows as integers ``sign · odd · 2**shift``, columns and rows divided by powers of two.

    Attributes
    ----------
    odd : ndarray of shape (k, p), int64
        Odd parts of the entries with their signs, 0 for an entry that is 0.
    shift : ndarray of shape (k, p), int64
        Exponents, at least 0.
    row : ndarray of shape (k,), int64
        Row i was divided by ``2**row[i]``.
    """

    odd: Integers
    shift: Integers
    row: Integers


def scaled(rows: Floats) -> Scaled:
    """Write rows as integers as short as powers of two by rows and columns make them.

    Parameters
    ----------
    rows : ndarray of shape (k, p)
        Finite floats; no row is 0.

    Returns
    -------
    Scaled
        The integers and the powers of two of the rows.
    """
    fraction, exponent = np.frexp(rows)
    odd = (fraction * 2.0**53).astype(np.int64)
    lowest = np.frexp((odd & -odd).astype(np.float64))[1] - 1  # number of trailing zeros
    zero = odd == 0
    lowest[zero] = 0
    odd >>= lowest
    shift = (exponent + lowest).astype(np.int64)
    shift[zero] = 1 << 20
    shift -= shift.min(axis=0)
    row = shift.min(axis=1)
    # a column of zeros has shift 0 in every row and must not count
    empty = zero.all(axis=0)
    if empty.any():
        shift[:, empty] = 1 << 20
        row = shift.min(axis=1)
    shift -= row[:, None]
    shift[zero] = 0
    return Scaled(odd, shift, row)


def _reconstruct(value: int, modulus: int, largest: int) -> tuple[int, int]:
    """Return the fraction of numerator at most `largest` that is `value` modulo `modulus` (P. S. Wang 1981)."""
    r, s = modulus, value
    t, u = 0, 1
    enough = largest.bit_length() + 64
    while s > largest:
        length = r.bit_length()
        if length > enough:
            a, b, c, d = euclid_steps(r >> (length - 60), s >> (length - 60))
            if b != 0:
                r, s = a * r + b * s, c * r + d * s
                t, u = a * t + b * u, c * t + d * u
                continue
        quotient, rest = divmod(r, s)
        r, s = s, rest
        t, u = u, t - quotient * u
    return (s, u) if u > 0 else (-s, -u)


def _rationals(digits: Integers, bound: float) -> tuple[list[int], int]:
    """Recover numerators and the common denominator of a solution from its digits."""
    # a combination without pattern has almost the common denominator of all; what is lost are small factors
    coefficients = (np.arange(1, digits.shape[1] + 1) * 2654435761 >> 7) % 65521 + 1
    value = 0
    for digit in (digits @ coefficients)[::-1].tolist():
        value = value * PRIME + digit
    modulus = int(PRIME ** len(digits))
    bits = math.floor(bound) + 2  # the logarithm is rounded
    _, denominator = _reconstruct(value % modulus, modulus, 1 << (bits + 30))
    # numerators and a small factor of the denominator are determined by half of the digits
    half = min(len(digits), math.ceil((bits + 60) / DIGIT))
    modulus = int(PRIME**half)
    largest = 1 << bits
    numerators: list[int] = []
    for value in numbers_of(digits[:half]):
        numerator = value * denominator % modulus
        if largest < numerator < modulus - largest:
            numerator, factor = _reconstruct(numerator, modulus, largest)
            denominator *= factor
            numerators = [n * factor for n in numerators]
        elif numerator > largest:
            numerator -= modulus
        numerators.append(numerator)
    return numerators, denominator


def kernel(matrix: Scaled) -> tuple[list[list[int]], list[int]]:
    """Return a basis of ``{μ : Σ μ_i v_i = 0}``, unless the prime divides the wrong determinant.

    Parameters
    ----------
    matrix : Scaled
        The rows v_i.

    Returns
    -------
    vectors : list of list of int
        The basis.
    places : list of int
        Vector j is positive at ``places[j]`` and 0 at the other places. No places prove that the rows are independent.
    """
    lifting = Lifting(matrix.odd, matrix.shift)
    names, places = lifting.pivots.tolist(), lifting.others.tolist()
    vectors = []
    for which, place in enumerate(places):
        digits, bound = lifting.solve(which)
        numerators, denominator = _rationals(digits, bound)
        vector = [0] * len(matrix.odd)
        for i, numerator in zip(names, numerators, strict=True):
            vector[i] = numerator
        vector[place] = denominator
        vectors.append(vector)
    return vectors, places
