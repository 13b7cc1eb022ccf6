"""What is known of the columns of a table: the formats of their values, and the inputs that they can give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.encoding.codes import PARTS, ColumnCode
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.encoding.raw import Kind
    from bdnn.types import Floats, Indices

MOST_BITS = 16
"""Of the values of integer columns: wider ones are treated as real numbers."""

_SCALES = (1, 10, 100, 1000)  # of decimals: measured tables seldom have more digits behind the point


@dataclass(frozen=True, slots=True)
class ColumnFormat:
    """What is known of one column.

    Attributes
    ----------
    name : str
        Of the column.
    kind : {"numeric", "boolean", "categorical", "date"}
        What it holds.
    low, bits : int or None
        Numeric columns of integers: the least value, and the bits that its values take when they are counted from
        there, 1 to 16. None for real numbers.
    scale : int
        Integers per unit: the values are the doubles nearest to k / `scale`, for k from `low` on.
    levels, rare : tuple of str
        Categorical columns: levels that networks can tell from each other, and those that they only see together.
    missing : bool
        Whether values may be missing.

    Raises
    ------
    InputError
        If something is not as described.
    """

    name: str
    kind: Kind = "numeric"
    low: int | None = None
    bits: int | None = None
    scale: int = 1
    levels: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    missing: bool = False

    def __post_init__(self) -> None:
        if self.kind != "numeric" or self.levels or self.rare:
            ColumnCode(self.name, self.kind, levels=self.levels, rare=self.rare, used=False)  # checks both
        given = (self.low, self.bits, self.scale)
        integer = all(type(value) is int for value in given)
        if not integer and given != (None, None, 1):
            raise InputError(f"column {self.name!r} needs integers as low, bits and scale, got {given}")
        if integer and not (self.kind == "numeric" and abs(given[0]) <= 2**53 and 1 <= given[1] <= MOST_BITS):  # type: ignore[arg-type, operator]
            raise InputError(
                f"column {self.name!r} must be numeric, with a least value up to 2**53 and 1 to {MOST_BITS} bits, to "
                f"be one of integers; got {self.kind}, low={self.low}, bits={self.bits}"
            )
        if not 1 <= self.scale <= 10**9:
            raise InputError(f"the scale of column {self.name!r} must be from 1 to 10^9, got {self.scale}")

    @property
    def high(self) -> int | None:
        """The largest integer, None for real numbers."""
        return None if self.low is None or self.bits is None else self.low + (1 << self.bits) - 1

    @property
    def is_bit(self) -> bool:
        """Whether it is a numeric column of 0 and 1."""
        return (self.low, self.bits, self.scale) == (0, 1, 1)

    def of_values(self, values: Floats, missing: bool) -> ColumnFormat:
        """Return the same for the values that there are, none of them missing."""
        known = replace(self, low=None, bits=None, scale=1, missing=missing)
        if self.kind != "numeric" or not len(values):
            return known
        for scale in _SCALES:
            k = np.rint(values * scale)
            low, high = float(k.min()), float(k.max())
            if high - low >= 2**MOST_BITS or max(abs(low), abs(high)) > 2**53:
                return known
            if np.array_equal(k / scale, values):
                return replace(known, low=int(low), bits=max(int(high - low).bit_length(), 1), scale=scale)
        return known


class Layout:
    """The slots of columns: the places where an input can come from.

    Attributes
    ----------
    columns : sequence of ColumnFormat
        The columns.
    numeric, date, is_bit, missing : ndarray of shape (n_columns,), bool
        Of the columns: whether they are numeric, dates, numeric of 0 and 1, and whether values may be missing.
    low, high, scale : ndarray of shape (n_columns,)
        Of integer columns; NaN for others.
    parts : ndarray of shape (n_columns,)
        How many inputs columns that are not numeric have, but for the missing bit.
    slots : int
        Their number, if numeric columns have one for their values and one for thresholds.
    """

    def __init__(self, columns: Sequence[ColumnFormat]) -> None:
        self.columns = columns
        self.numeric = np.array([c.kind == "numeric" for c in columns])
        self.date = np.array([c.kind == "date" for c in columns])
        self.is_bit = np.array([c.is_bit for c in columns])
        self.missing = np.array([c.missing for c in columns])
        self.low = np.array([np.nan if c.low is None else c.low for c in columns], dtype=float)
        self.high = np.array([np.nan if c.high is None else c.high for c in columns], dtype=float)
        self.scale = np.array([c.scale for c in columns], dtype=float)
        self.parts = np.array([parts_of(c) for c in columns], dtype=np.intp)
        self.slots = int(self.starts(2)[-1])

    def starts(self, mode: int) -> Indices:
        """Return the first slot of each column, and the number of slots; mode 2 has values and thresholds."""
        sizes = np.where(self.numeric, 2 if mode == 2 else 1, self.parts) + self.missing
        return np.concatenate([[0], np.cumsum(sizes)])


def parts_of(column: ColumnFormat) -> int:
    """Return how many inputs a column has, but for a missing bit and the thresholds of numeric ones."""
    return len(PARTS) if column.kind == "date" else plain_code(column).n_values


def plain_code(column: ColumnFormat) -> ColumnCode:
    """Return the code of a column that is used with all its inputs."""
    parts = PARTS if column.kind == "date" else ()
    return ColumnCode(column.name, column.kind, levels=column.levels, rare=column.rare, parts=parts)


_TYPES = {
    "name": str, "kind": str, "low": int, "bits": int, "scale": int, "levels": list, "rare": list, "missing": bool,
}  # fmt: skip


def format_from_dict(item: object) -> ColumnFormat:
    """Return the format of a column of plain values that may be hostile, or raise InputError."""
    if not isinstance(item, dict) or not {"name"} <= set(item) <= set(_TYPES):
        raise InputError(f"a column of a schema must be an object with 'name', and some of {', '.join(_TYPES)}")
    for name, value in item.items():
        if type(value) is not _TYPES[name] or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            raise InputError(f"{name!r} of a column of a schema cannot be {value!r}"[:200])
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in item.items()}
    return ColumnFormat(**values)
