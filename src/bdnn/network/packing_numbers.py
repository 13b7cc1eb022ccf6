"""Bytes as one large number, from which digits are divided off: what the packed format is made of.

A string of bytes is a number, least significant byte first. A digit of the base B is what remains when the number is
divided by B; the quotient is the number that the following digits come from. So no digit takes more than its share, and
bits are rounded up to whole bytes only once, at the end. Digits whose values are not equally likely come from an *urn*:
a value s that was drawn k times before has the weight 2 k + 1, and a value of larger weight takes less (Krichevsky and
Trofimov 1981; the division by weights is the asymmetric numeral system of Duda, arXiv:1311.2540).

docs/packed_format.md is the specification.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.errors import PackedError

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Integers

LARGEST = 2**53
"""Integers that a network may have."""

FREE, PER_BIT, PER_SLOT = 2**12, 2**8, 2**6
"""Numbers that any string may stand for, and more for each of its bits and each slot: layers of less than 3000 neurons
whose inputs and neurons are all used have fewer weights to a bit, even if nearly all are 0."""

_WORD = 62  # bits of a group of digits: they fit into 64 with a sign
_BLOCK = 8  # draws that are combined before the large number is touched
_ENOUGH = 100  # bits of the number, after which its logarithm says everything about its growth
_NEAR = 1e-6  # bits; far more than the rounding errors of logarithms, which are below 1e-8
_DECIMALS = 15  # digits behind the point: doubles hold no more of numbers around 1
_LN2 = math.log(2)


class Step(NamedTuple):
    """``x -> x // drawn * total + add(x % drawn)``: what puts digits onto a number."""

    drawn: int
    total: int
    weights: Sequence[tuple[int, int, int]]
    """Of the last draw first: weight, weights before it, total; empty for plain digits."""
    digit: int = 0

    def onto(self, x: int) -> int:
        """Return the number with these digits."""
        if not self.weights:
            return x * self.total + self.digit
        high, low = divmod(x, self.drawn)
        for weight, before, total in self.weights:
            above, rest = divmod(low, weight)
            low = above * total + before + rest
        return high * self.total + low


class Digits(ABC):
    """Some digits."""

    bits: float
    """How much they add to the logarithm of the number to the base 2."""

    @abstractmethod
    def backward(self) -> Iterator[Step]:
        """Yield what puts them onto a number, the last digits first."""


class Digit(Digits):
    """One digit."""

    def __init__(self, value: int, base: int) -> None:
        self._value, self._base = value, base
        self.bits = math.log2(base)

    def backward(self) -> Iterator[Step]:
        """See the base."""
        yield Step(1, self._base, (), self._value)


class Uniform(Digits):
    """Digits of the same base."""

    def __init__(self, values: Array, base: int) -> None:
        self._values, self._base = values, base
        self.bits = len(values) * math.log2(base)

    def backward(self) -> Iterator[Step]:
        """See the base."""
        size, powers = _groups(self._base)
        if self._base == 1:
            return
        for start in reversed(range(0, len(self._values), size)):
            part = self._values[start : start + size]
            value = int(part[0]) if size == 1 else int(part.astype(np.int64) @ powers[: len(part)])
            yield Step(1, self._base ** len(part), (), value)


class Urn(Digits):
    """Values from 0 to ``size - 1``, each more likely the more often it was drawn before."""

    def __init__(self, values: Array, size: int) -> None:
        self._values, self._size = values, size
        self._counts = np.bincount(values, minlength=size).tolist()
        n, half = len(values), size / 2
        drawn = sum(math.lgamma(c + 0.5) - math.lgamma(0.5) for c in self._counts if c)
        self.bits = (math.lgamma(n + half) - math.lgamma(half) - drawn) / _LN2

    def backward(self) -> Iterator[Step]:
        """See the base."""
        weights = [2 * c + 1 for c in self._counts]
        stop = len(self._values)
        while stop > 0:
            start = max(stop - _BLOCK, 0)
            steps, drawn, all_totals = [], 1, 1
            for place in range(stop - 1, start - 1, -1):
                s, total = int(self._values[place]), 2 * place + self._size
                weights[s] -= 2
                steps.append((weights[s], sum(weights[:s]), total))
                drawn, all_totals = drawn * weights[s], all_totals * total
            yield Step(drawn, all_totals, steps)
            stop = start


class Choice(Digits):
    """Some of n things, as their place among all choices of so many."""

    def __init__(self, chosen: Sequence[int], n: int) -> None:
        self._chosen, self._n = chosen, n
        self.bits = log2_comb(n, len(chosen))

    def backward(self) -> Iterator[Step]:
        """See the base."""
        place = sum(math.comb(c, k) for k, c in enumerate(self._chosen, start=1))
        yield Step(1, math.comb(self._n, len(self._chosen)), (), place)


class Writer:
    """Collects digits in the order in which they are read."""

    def __init__(self) -> None:
        self._parts: list[Digits] = []
        self.bits = 0.0

    def _add(self, part: Digits) -> None:
        self._parts.append(part)
        self.bits += part.bits

    def append(self, other: Writer) -> None:
        """Append what another one has collected."""
        self._parts += other._parts
        self.bits += other.bits

    def shortest(self, ways: Sequence[tuple[int, Writer]], number: int) -> None:
        """Append a digit that says which of a number of ways follows, and the shortest of those that are possible."""
        way, best = min(ways, key=lambda each: each[1].bits)
        self.digit(way, number)
        self.append(best)

    def digit(self, value: int, base: int) -> None:
        """Append a digit from 0 to ``base - 1``."""
        if base > 1:
            self._add(Digit(value, base))

    def digits(self, values: Array, base: int) -> None:
        """Append digits of the same base."""
        self._add(Uniform(values, base))

    def urn(self, values: Array, size: int) -> None:
        """Append draws from an urn with values from 0 to ``size - 1``."""
        self._add(Urn(values, size))

    def choice(self, chosen: Sequence[int], n: int) -> None:
        """Append different numbers below n, which ascend, when it is known how many they are."""
        self._add(Choice(chosen, n))

    def count(self, value: int) -> None:
        """Append a number >= 0: how many bits follow the first one of ``value + 1``, one by one, and those bits."""
        width = (value + 1).bit_length() - 1
        self.digits(np.array([1] * width + [0]), 2)
        self.digit(value + 1 - (1 << width), 1 << width)

    def integers(self, values: Integers) -> None:
        """Append integers of a known number: the least one, and by how much each of them exceeds it."""
        n = len(values)
        if not n:
            return
        low, high = int(values.min()), int(values.max())
        width = abs(low).bit_length()
        self.count(width)
        if low:
            self.digit(abs(low) - (1 << width >> 1), 1 << width >> 1)
            self.digit(low < 0, 2)
        if n > 1:
            width = (high - low).bit_length()
            self.count(width)
            base = 1 << width
            if n > 2 * width > 0:  # it pays to say how large the largest is
                self.digit(high - low - (base >> 1), base >> 1)
                base = high - low + 1
            self.digits(values - low, base)

    def reals(self, values: Floats) -> None:
        """Append doubles of a known number, exactly: as decimals, or in 16, 32 or 64 bits."""
        if not len(values):
            return
        ways = [(3, _floats(values, np.float64, np.uint64))]
        with np.errstate(over="ignore"):
            ways += [
                (way, _floats(values, kind, view))
                for way, kind, view in ((1, np.float16, np.uint16), (2, np.float32, np.uint32))
                if np.array_equal(values.astype(kind).astype(np.float64), values)
            ]
        if (decimal := _decimal(values)) is not None:
            ways.append((0, decimal))
        self.shortest(ways, 4)

    def to_bytes(self, weights: int, slots: int) -> bytes:
        """Return the bytes, at least one, and as many as a reader wants for so many numbers of a network."""
        x = 0
        for part in reversed(self._parts):
            for step in part.backward():
                x = step.onto(x)
        return x.to_bytes(max((x.bit_length() + 7) // 8, _least(weights, slots)), "little")

    def size(self, weights: int, slots: int) -> int:
        """Return how many bytes these are, mostly without computing them: by logarithms."""
        x, done = 0, 0.0
        for part in reversed(self._parts):
            for step in part.backward():
                x = step.onto(x)
                done += math.log2(step.total) - math.log2(step.drawn)
                if x.bit_length() > _ENOUGH:
                    break
            if x.bit_length() > _ENOUGH:
                break
        bits = 0.0 if x == 0 else math.log2(x) + max(self.bits - done, 0.0)
        if x.bit_length() > _ENOUGH and abs(bits / 8 - round(bits / 8)) * 8 < _NEAR:
            return len(self.to_bytes(weights, slots))
        size = (x.bit_length() + 7) // 8 if x.bit_length() <= _ENOUGH else math.floor(bits / 8) + 1
        return max(size, _least(weights, slots))


class Reader:
    """Reads what a `Writer` wrote, in the same order, from bytes that may be hostile."""

    def __init__(self, data: bytes, slots: int) -> None:
        self._x = int.from_bytes(data, "little")
        self._left = FREE + PER_BIT * 8 * len(data) + PER_SLOT * slots

    def charge(self, numbers: int) -> int:
        """Return a number of numbers that are to be made, unless they are too many for so few bytes."""
        self._left -= numbers
        if self._left < 0:
            raise PackedError("they stand for more numbers than so few bytes may")
        return numbers

    def end(self) -> None:
        """Raise PackedError if something is left."""
        if self._x:
            raise PackedError("something is left behind the end")

    def digit(self, base: int) -> int:
        """Read as `Writer.digit`."""
        self._x, value = divmod(self._x, base)
        return value

    def digits(self, n: int, base: int) -> Array:
        """Read as `Writer.digits`."""
        size, powers = _groups(base)
        if size == 1:
            return np.array([self.digit(base) for _ in range(n)], dtype=np.int64 if base <= 2**_WORD else np.uint64)
        full = base**size
        groups = _split(self.digit(full ** (n // size)), n // size, full)
        found = np.array(groups, dtype=np.int64)[:, None] // powers % base
        rest = n % size
        last = np.array(self.digit(base**rest), dtype=np.int64) // powers[:rest] % base
        return np.concatenate([found.ravel(), last])

    def urn(self, n: int, size: int) -> Integers:
        """Read as `Writer.urn`."""
        weights, found = [1] * size, []
        for start in range(0, n, _BLOCK):
            totals = range(2 * start + size, 2 * min(start + _BLOCK, n) + size, 2)
            high, low = divmod(self._x, math.prod(totals))
            drawn = 1
            for total in totals:
                above, place = divmod(low, total)
                s = 0
                while place >= weights[s]:
                    place -= weights[s]
                    s += 1
                low = above * weights[s] + place
                drawn *= weights[s]
                weights[s] += 2
                found.append(s)
            self._x = high * drawn + low
        return np.array(found, dtype=np.int64)

    def choice(self, k: int, n: int) -> list[int]:
        """Read as `Writer.choice`."""
        place, found, below = self.digit(math.comb(n, k)), [], n
        for left in range(k, 0, -1):
            low, high = left - 1, below - 1  # the largest c with C(c, left) <= place is between them
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if math.comb(middle, left) <= place else (low, middle - 1)
            place -= math.comb(low, left)
            found.append(low)
            below = low
        return found[::-1]

    def count(self) -> int:
        """Read as `Writer.count`."""
        width = 0
        while self.digit(2):
            width += 1
            if width > _WORD:
                raise PackedError("they hold a number that is too large")
        return (1 << width) - 1 + self.digit(1 << width)

    def integers(self, n: int) -> Integers:
        """Read as `Writer.integers`."""
        if n == 0:
            return np.zeros(0, dtype=np.int64)
        width = self.count()
        if width > _WORD:
            raise PackedError("they hold an integer beyond 2**53")
        low = (1 << width >> 1) + self.digit(1 << width >> 1) if width else 0
        low = -low if low and self.digit(2) else low
        base = 1
        if n > 1:
            width = self.count()
            base = 1 << min(width, _WORD)
            if n > 2 * width > 0:
                base = (base >> 1) + self.digit(base >> 1) + 1
        if max(abs(low), base) > 2 * LARGEST:
            raise PackedError("they hold an integer beyond 2**53")
        return low + self.digits(n, base) if base > 1 else np.full(n, low, dtype=np.int64)

    def reals(self, n: int) -> Floats:
        """Read as `Writer.reals`."""
        if n == 0:
            return np.zeros(0)
        way = self.digit(4)
        if way == 0:
            scale = self.integers(n)
            if np.any((scale < 0) | (scale > _DECIMALS)):
                raise PackedError("they hold a decimal of too many digits")
            return np.asarray(self.integers(n) / 10.0**scale)
        kind, view = ((np.float16, np.uint16), (np.float32, np.uint32), (np.float64, np.uint64))[way - 1]
        with np.errstate(invalid="ignore"):
            values = self.digits(n, 2 ** (8 << way)).astype(view).view(kind).astype(np.float64)
        if not np.all(np.isfinite(values)):
            raise PackedError("they hold NaN or infinity")
        return values


def log2_comb(n: int, k: int) -> float:
    """Return the logarithm to the base 2 of the number of choices of k out of n."""
    if min(k, n - k) <= _BLOCK:
        return math.log2(math.comb(n, k))
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / _LN2


def _least(weights: int, slots: int) -> int:
    """Return how many bytes a string must have to stand for so many numbers."""
    return max(1, -(-(weights - FREE - PER_SLOT * slots) // (8 * PER_BIT)))


def _split(x: int, n: int, base: int) -> list[int]:
    """Return n digits of a number, halves first: few divisions of large numbers are faster than many by small ones."""
    if n <= _BLOCK:
        found = []
        for _ in range(n):
            x, digit = divmod(x, base)
            found.append(digit)
        return found
    high, low = divmod(x, base ** (n // 2))
    return _split(low, n // 2, base) + _split(high, n - n // 2, base)


@lru_cache(maxsize=64)
def _groups(base: int) -> tuple[int, Integers]:
    """Return how many digits go together, and the powers that they count."""
    size = max(1, math.floor(_WORD / math.log2(base))) if base > 1 else _WORD
    return size, np.array([base**k for k in range(size)] if size > 1 else [1], dtype=np.int64)


def _floats(values: Floats, kind: type[np.floating], view: type[np.unsignedinteger]) -> Writer:
    out = Writer()
    out.digits(values.astype(kind).view(view), 2 ** (8 * np.dtype(kind).itemsize))
    return out


def _decimal(values: Floats) -> Writer | None:
    """Return numbers as integers that are divided by powers of ten, or None if some of them are none."""
    if np.abs(values).max() > LARGEST:
        return None
    scale, left = np.zeros(len(values), dtype=np.int64), np.ones(len(values), dtype=bool)
    for digits in range(_DECIMALS + 1):
        scaled = np.rint(values[left] * 10.0**digits)
        scale[left] = digits
        left[left] = (scaled / 10.0**digits != values[left]) | (np.abs(scaled) > LARGEST)
        if not left.any():
            break
    else:
        return None
    ways = []
    for each in (scale, np.full(len(values), scale.max())):
        scaled = np.rint(values * 10.0**each)
        if np.abs(scaled).max() <= LARGEST and np.array_equal(scaled / 10.0**each, values):
            way = Writer()
            way.integers(each)
            way.integers(scaled.astype(np.int64))
            ways.append(way)
    return min(ways, key=lambda way: way.bits) if ways else None
