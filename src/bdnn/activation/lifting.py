"""Kernel vectors of integer matrices: solve modulo a prime, lift to a power of it, recover the rationals.

Rows of floats become integers times powers of two. A square system is solved modulo a prime and its solution is lifted
digit by digit (J. D. Dixon, *Exact solution of linear equations using p-adic expansions*, Numer. Math. 40, 1982,
doi:10.1007/BF01459082); numerators and denominator are recovered from the digits by Euclid's algorithm. The results are
right unless the prime divides a determinant that is not 0; the caller checks them.

The multipliers of a support of n + 2 points with n features have about ``60 n`` binary digits. Elimination without
fractions (E. H. Bareiss) handles numbers of that length ``n**3 / 3`` times, the lifting only ``n`` times.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.compilation import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_PRIME = 2**29 - 3  # products fit into 58 bits; a constant, so that compiled code divides by it without a division
_DIGIT = 28.99  # a little less than its logarithm


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


def _lift(odd: Any, shift: Any, which: int) -> Any:
    """Solve ``Σ y_i v_i = -v_t`` for a row t that depends on those before it, to enough digits in base ``_PRIME``.

    Compiled. Pivot rows and columns are those of an elimination modulo the prime; t is dependent row number `which`.
    Norms of rows and columns bound the determinants (J. Hadamard), and with them the number of digits.

    Returns
    -------
    pivots : ndarray of shape (rank,), int64
        Pivot rows.
    others : ndarray of shape (k - rank,), int64
        Rows that depend on rows before them, modulo the prime.
    digits : ndarray of shape (L, rank), int64
        Digits of the solution, the lowest first; none if there is no dependent row.
    bound : float
        Logarithm of a bound on the numerators and on the denominator.
    """

    def inverse_of(a: Any) -> Any:  # compiled in place
        result, square, exponent = np.uint64(1), a, _PRIME - 2
        while exponent > 0:
            if exponent & 1:
                result = result * square % np.uint64(_PRIME)
            square = square * square % np.uint64(_PRIME)
            exponent >>= 1
        return result

    k, p = odd.shape
    modulus = np.uint64(_PRIME)
    zero, one = np.uint64(0), np.uint64(1)
    # --- logarithms of the norms of rows and then of columns
    longest = 1
    lengths = np.full(k + p, -1.0)
    for i in range(k):
        for j in range(p):
            if odd[i, j] != 0:
                length = np.log2(abs(float(odd[i, j]))) + shift[i, j]
                longest = max(longest, int(length) + 2)
                for r in (i, k + j):
                    high, low = max(lengths[r], length), min(lengths[r], length)
                    if lengths[r] < 0.0:
                        lengths[r] = length
                    else:
                        lengths[r] = high + 0.5 * np.log2(1.0 + 4.0 ** (low - high))
    # --- residues
    power = np.empty(longest + 1, np.uint64)
    power[0] = one
    for n in range(longest):
        power[n + 1] = (power[n] + power[n]) % modulus
    residue = np.empty((k, p), np.uint64)
    for i in range(k):
        for j in range(p):
            a = np.uint64(abs(odd[i, j])) % modulus * power[shift[i, j]] % modulus
            residue[i, j] = modulus - a if odd[i, j] < 0 and a != zero else a
    # --- pivots
    work = residue.copy()
    row = np.empty(min(k, p), np.int64)
    column = np.empty(min(k, p), np.int64)
    others = np.empty(k, np.int64)
    rank = 0
    n_others = 0
    for i in range(k):
        for s in range(rank):
            a = work[i, column[s]]
            if a != zero:
                factor = modulus - a
                for j in range(p):
                    work[i, j] = (work[i, j] + factor * work[row[s], j]) % modulus
        found = -1
        for j in range(p):
            if work[i, j] != zero:
                found = j
                break
        if found < 0:
            others[n_others] = i
            n_others += 1
            continue
        row[rank] = i
        column[rank] = found
        rank += 1
        inverse = inverse_of(work[i, found])
        for j in range(p):
            work[i, j] = work[i, j] * inverse % modulus
    bound = 0.0
    shortest = lengths[others[0]] if n_others else 0.0
    for s in range(rank):
        bound += lengths[row[s]]
        shortest = min(shortest, lengths[row[s]])
    by_column = 0.0
    for s in range(rank):
        by_column += lengths[k + column[s]]
    if n_others:
        bound = min(bound + lengths[others[which]] - shortest, by_column)
    if n_others == 0 or rank == 0:
        return row[:rank], others[:n_others], np.empty((0, rank), np.int64), bound
    # --- inverse of the square system, by Gauss and Jordan
    t = others[which]
    left = np.empty((rank, 2 * rank), np.uint64)
    for i in range(rank):
        for j in range(rank):
            left[i, j] = residue[row[j], column[i]]
            left[i, rank + j] = one if i == j else zero
    for s in range(rank):
        found = s
        while left[found, s] == zero:
            found += 1
        if found != s:
            for j in range(2 * rank):
                left[s, j], left[found, j] = left[found, j], left[s, j]
        inverse = inverse_of(left[s, s])
        for j in range(s, 2 * rank):
            left[s, j] = left[s, j] * inverse % modulus
        for i in range(rank):
            a = left[i, s]
            if i != s and a != zero:
                factor = modulus - a
                for j in range(s, 2 * rank):
                    left[i, j] = (left[i, j] + factor * left[s, j]) % modulus
    solve = np.empty((rank, rank), np.uint32)
    for i in range(rank):
        for j in range(rank):
            solve[i, j] = np.uint32(left[i, rank + j])
    # --- the system in limbs so short that the sum over a row of products with digits fits into 63 bits
    size = min(28, 33 - int(np.ceil(np.log2(rank + 1))))
    n_limbs = (longest + size - 1) // size
    mask = np.int64((1 << size) - 1)
    limbs = np.empty((n_limbs, rank, rank), np.int32)
    rest = np.zeros((rank, n_limbs + 3), np.int64)
    for i in range(rank):
        for j in range(rank + 1):
            source = row[j] if j < rank else t
            a = abs(odd[source, column[i]])
            sign = -1 if odd[source, column[i]] < 0 else 1
            for m in range(n_limbs):
                drop = m * size - shift[source, column[i]]
                part = np.int64(0)
                if drop >= 0:
                    if drop < 63:
                        part = (a >> drop) & mask
                elif -drop < size:
                    part = ((a & mask) << -drop) & mask
                if j < rank:
                    limbs[m, i, j] = np.int32(sign * part)
                else:
                    rest[i, m] = -sign * part
    top = n_limbs + 2
    base = np.int64(1) << size
    signed = np.int64(_PRIME)
    right = np.empty(rank, np.uint32)
    for i in range(rank):
        for m in range(top):
            rest[i, m + 1] += rest[i, m] >> size
            rest[i, m] &= mask
        value = np.int64(0)
        for m in range(top, -1, -1):
            value = (value * base + rest[i, m]) % signed
        right[i] = np.uint32(value)
    # --- digits: solve modulo the prime, subtract, divide by the prime without remainder
    n_digits = int(np.ceil((2.0 * bound + 64.0) / _DIGIT))
    digits = np.empty((n_digits, rank), np.int64)
    digit = np.empty(rank, np.int32)
    for step in range(n_digits):
        for i in range(rank):
            total = zero
            start = 0
            while start < rank:
                stop = min(start + 32, rank)
                block = zero
                for j in range(start, stop):
                    block += np.uint64(solve[i, j]) * np.uint64(right[j])
                total += block % modulus
                start = stop
            total %= modulus
            digit[i] = np.int32(total)
            digits[step, i] = np.int64(total)
        for m in range(n_limbs):
            for i in range(rank):
                product = np.int64(0)
                for j in range(rank):
                    product += np.int64(limbs[m, i, j]) * np.int64(digit[j])
                rest[i, m] -= product
        for i in range(rank):
            for m in range(top):
                rest[i, m + 1] += rest[i, m] >> size
                rest[i, m] &= mask
            remainder = np.int64(0)
            value = np.int64(0)
            for m in range(top, -1, -1):
                remainder = remainder * base + rest[i, m]
                quotient = remainder // signed
                remainder -= quotient * signed
                rest[i, m] = quotient
                value = (value * base + quotient) % signed
            right[i] = np.uint32(value)
    return row[:rank], others[:n_others], digits, bound


def _steps(x: Any, y: Any) -> Any:
    """Do the steps of Euclid's algorithm that the leading 60 digits x, y determine; compiled.

    See D. E. Knuth, *The Art of Computer Programming* 2, §4.5.2, Algorithm L (D. H. Lehmer).
    """
    a, b, c, d = np.int64(1), np.int64(0), np.int64(0), np.int64(1)
    while y + c != 0 and y + d != 0:
        quotient = (x + a) // (y + c)
        if quotient != (x + b) // (y + d):
            break
        a, b, c, d = c, d, a - quotient * c, b - quotient * d
        x, y = y, x - quotient * y
    return a, b, c, d


@functools.cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile `_lift` and `_steps`, at first use: numba takes long to import."""
    compile_ = compiled(nogil=True, error_model="numpy")
    return compile_(_lift), compile_(_steps)


def _reconstruct(value: int, modulus: int, largest: int) -> tuple[int, int]:
    """Return the fraction of numerator at most `largest` that is `value` modulo `modulus` (P. S. Wang 1981)."""
    steps = _compiled()[1]
    r, s = modulus, value
    t, u = 0, 1
    enough = largest.bit_length() + 64
    while s > largest:
        length = r.bit_length()
        if length > enough:
            a, b, c, d = steps(r >> (length - 60), s >> (length - 60))
            if b != 0:
                r, s = a * r + b * s, c * r + d * s
                t, u = a * t + b * u, c * t + d * u
                continue
        quotient, rest = divmod(r, s)
        r, s = s, rest
        t, u = u, t - quotient * u
    return (s, u) if u > 0 else (-s, -u)


def _from_digits(digits: Integers) -> list[int]:
    """Values of columns of digits in base ``_PRIME``, the lowest first."""
    if len(digits) % 2:
        digits = np.concatenate([digits, np.zeros_like(digits[:1])])
    pairs = digits[0::2] + digits[1::2] * _PRIME
    square = _PRIME**2
    values = []
    for column in pairs.T[:, ::-1].tolist():
        value = 0
        for digit in column:
            value = value * square + digit
        values.append(value)
    return values


def _rationals(digits: Integers, bound: float) -> tuple[list[int], int]:
    """Recover numerators and the common denominator of a solution from its digits."""
    # a combination without pattern has almost the common denominator of all; what is lost are small factors
    coefficients = (np.arange(1, digits.shape[1] + 1) * 2654435761 >> 7) % 65521 + 1
    value = 0
    for digit in (digits @ coefficients)[::-1].tolist():
        value = value * _PRIME + digit
    modulus = int(_PRIME ** len(digits))
    bits = math.floor(bound) + 2  # the logarithm is rounded
    _, denominator = _reconstruct(value % modulus, modulus, 1 << (bits + 30))
    # numerators and a small factor of the denominator are determined by half of the digits
    half = min(len(digits), math.ceil((bits + 60) / _DIGIT))
    modulus = int(_PRIME**half)
    largest = 1 << bits
    numerators: list[int] = []
    for value in _from_digits(digits[:half]):
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
    lift, _ = _compiled()
    pivots, others, digits, bound = lift(matrix.odd, matrix.shift, 0)
    names, places = pivots.tolist(), others.tolist()
    vectors = []
    for which, place in enumerate(places):
        if which > 0:
            _, _, digits, bound = lift(matrix.odd, matrix.shift, which)
        numerators, denominator = _rationals(digits, bound)
        vector = [0] * len(matrix.odd)
        for i, numerator in zip(names, numerators, strict=True):
            vector[i] = numerator
        vector[place] = denominator
        vectors.append(vector)
    return vectors, places
