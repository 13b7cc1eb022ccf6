"""Models as bytes: every kind of model has a decoder whose model predicts the same.

Known without cost are the kind of model, the number of classes and the formats of the columns (`sources.Columns`).
All else is part of the bytes: sizes, which features are used, thresholds, quantizers, weights, leaves. A threshold on
an integer column takes the column's bits (none for 0/1 columns), on a column of real numbers a float of 16 bits, or of
32 bits where the model says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from bitstream import Reader, Writer, count_bits, width_of
from sources import Columns


@dataclass(frozen=True, eq=False)
class Packed(ABC):
    """A model that can become bytes."""

    columns: Columns
    classes: int

    @abstractmethod
    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""

    @abstractmethod
    def write(self, out: Writer) -> None:
        """Write everything that is not known without cost."""

    def encode(self) -> bytes:
        """Return the bytes."""
        out = Writer()
        self.write(out)
        return out.to_bytes()

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.encode())

    def decoded(self, data: bytes) -> Packed:
        """Return the model of these bytes, which has the same columns and classes."""
        return self.decode(data, self.columns, self.classes)

    @classmethod
    @abstractmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Packed:
        """Return the model of these bytes."""


@dataclass(frozen=True, eq=False)
class Constant(Packed):
    """One class for all: no bytes, if the device has to be right about nothing."""

    label: int = 0

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return that class."""
        return np.full(len(X), self.label)

    def write(self, out: Writer) -> None:
        """Write the class."""
        out.unsigned(self.label, width_of(self.classes))

    @classmethod
    def decode(cls, data: bytes, columns: Columns, classes: int) -> Constant:
        """Return the model of these bytes."""
        return cls(columns, classes, Reader(data).unsigned(width_of(classes)))


def storable(threshold: np.ndarray, feature: np.ndarray, columns: Columns, width: int) -> np.ndarray:
    """Return thresholds t of ``x > t`` as they can be stored: integers, or floats of that width."""
    with np.errstate(over="ignore"):
        real = threshold.astype(np.float16 if width == 16 else np.float32).astype(float)
    most = np.finfo(np.float16 if width == 16 else np.float32).max
    high = columns.low + 2.0**columns.bits - 1
    whole = np.clip(np.floor(threshold), columns.low[feature], high[feature])
    whole = np.where(columns.bits[feature] == 1, columns.low[feature], whole)
    return np.where(columns.bits[feature] > 0, whole, np.clip(real, -most, most))


def write_threshold(out: Writer, value: float, feature: int, columns: Columns, width: int) -> None:
    """Write a threshold of `storable`."""
    bits = int(columns.bits[feature])
    if bits == 0:
        out.real(value, width)
    elif bits > 1:
        out.unsigned(int(value - columns.low[feature]), bits)


def read_threshold(data: Reader, feature: int, columns: Columns, width: int) -> float:
    """Read as `write_threshold`."""
    bits = int(columns.bits[feature])
    if bits == 0:
        return data.real(width)
    return float(columns.low[feature] + (data.unsigned(bits) if bits > 1 else 0))


def write_selection(out: Writer, chosen: np.ndarray, n: int) -> None:
    """Write an ascending list of features, repeats allowed, in the shortest of four ways."""
    times = np.bincount(chosen, minlength=n)
    ways = [np.inf, np.inf, len(chosen) * width_of(n) + count_bits(len(chosen)), n + len(chosen)]
    if times.max(initial=0) <= 1:
        ways[1] = n
        ways[0] = 0 if len(chosen) == n else np.inf
    way = int(np.argmin(ways))
    out.unsigned(way, 2)
    if way == 1:
        for each in times:
            out.unsigned(each, 1)
    elif way == 2:
        out.count(len(chosen))
        for each in chosen:
            out.unsigned(each, width_of(n))
    elif way == 3:
        for each in times:
            out.unsigned(2 ** (int(each) + 1) - 2, int(each) + 1)


def read_selection(data: Reader, n: int) -> np.ndarray:
    """Read as `write_selection`."""
    way = data.unsigned(2)
    if way == 0:
        return np.arange(n)
    if way == 1:
        return np.flatnonzero([data.unsigned(1) for _ in range(n)])
    if way == 2:
        return np.array([data.unsigned(width_of(n)) for _ in range(data.count())], dtype=int)
    times = np.zeros(n, dtype=int)
    for feature in range(n):
        while data.unsigned(1):
            times[feature] += 1
    return np.repeat(np.arange(n), times)


def write_integers(out: Writer, values: np.ndarray) -> None:
    """Write integers: the least one, the width of the others counted from it, and those."""
    if len(values) == 0:
        return
    low, width = int(values.min()), width_of(int(values.max() - values.min()) + 1)
    out.unsigned(low < 0, 1)
    out.count(abs(low))
    out.count(width)
    for value in values:
        out.unsigned(int(value) - low, width)


def read_integers(data: Reader, number: int) -> np.ndarray:
    """Read as `write_integers`."""
    if number == 0:
        return np.zeros(0, dtype=np.int64)
    sign = -1 if data.unsigned(1) else 1
    low, width = sign * data.count(), data.count()
    return np.array([low + data.unsigned(width) for _ in range(number)], dtype=np.int64)
