"""Bits, most significant first, and the numbers that models store in them."""

from __future__ import annotations

from math import ceil

import numpy as np


class Writer:
    """Collects bits."""

    def __init__(self) -> None:
        self._value, self.bits = 0, 0

    def unsigned(self, value: int, width: int) -> None:
        """Append a number from 0 to ``2**width - 1``."""
        value = int(value)
        if not 0 <= value < 1 << width:
            raise ValueError(f"{value} does not fit {width} bits")
        self._value, self.bits = self._value << width | value, self.bits + width

    def signed(self, value: int, width: int) -> None:
        """Append a number in two's complement."""
        half = 1 << width >> 1
        self.unsigned(int(value) + half, width)

    def count(self, value: int) -> None:
        """Append a number >= 0 in the Elias gamma code of ``value + 1``: 1, 3, 3, 5, 5, 5, 5, 7, ... bits."""
        width = (int(value) + 1).bit_length()
        self.unsigned(0, width - 1)
        self.unsigned(int(value) + 1, width)

    def real(self, value: float, width: int) -> None:
        """Append a floating-point number of 16 or 32 bits."""
        kind, integer = (np.float16, np.uint16) if width == 16 else (np.float32, np.uint32)
        self.unsigned(int(np.array(value, dtype=kind).view(integer)), width)

    def to_bytes(self) -> bytes:
        """Return all bits, filled up with zeros to whole bytes."""
        size = ceil(self.bits / 8)
        return (self._value << (8 * size - self.bits)).to_bytes(size)


class Reader:
    """Reads what a `Writer` wrote, in the same order."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def unsigned(self, width: int) -> int:
        """Read as `Writer.unsigned`."""
        self._left -= width
        if self._left < 0:
            raise ValueError("the data end too early")
        return self._value >> self._left & ((1 << width) - 1)

    def signed(self, width: int) -> int:
        """Read as `Writer.signed`."""
        return self.unsigned(width) - (1 << width >> 1)

    def count(self) -> int:
        """Read as `Writer.count`."""
        zeros = 0
        while self.unsigned(1) == 0:
            zeros += 1
        return ((1 << zeros) | self.unsigned(zeros)) - 1

    def real(self, width: int) -> float:
        """Read as `Writer.real`."""
        kind, integer = (np.float16, np.uint16) if width == 16 else (np.float32, np.uint32)
        return float(np.array(self.unsigned(width), dtype=integer).view(kind))


def count_bits(value: int) -> int:
    """Return the bits of `Writer.count`."""
    return 2 * (value + 1).bit_length() - 1


def width_of(values: int) -> int:
    """Return the bits that tell so many values apart."""
    return max(values - 1, 0).bit_length()
