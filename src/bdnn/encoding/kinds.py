"""Columns from values of any kind, the text of levels, and columns read as another kind than their own.

The text of a level is that of the value without blanks around it; whole numbers are written without a point, other
numbers as Python writes them, truth values as ``true`` and ``false``, dates as ``2024-01-31``, with the time behind a
``T`` unless it is midnight, in UTC if they have a time zone. Text without any character is missing. So a column is the
same whether it comes from a file or from a data frame, however these store it.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.columns import quoted
from bdnn.encoding.level_text import level_text as level_text
from bdnn.encoding.level_text import naive
from bdnn.encoding.raw import Kind, RawColumn
from bdnn.errors import InputError
from bdnn.labels import is_missing, is_number

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices

_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}  # a boolean is the input 1 if it is true, else 0
_ZONE = re.compile(r"\d:?\d\d(?:\.\d+)?\s*(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")


def coded(name: str, codes: Array, values: Iterable[object]) -> RawColumn:
    """Return a categorical column of codes, -1 where missing, and the values that they stand for.

    Parameters
    ----------
    name : str
        Of the column.
    codes : ndarray of shape (m,)
        Integers.
    values : iterable
        Of any kind; values of the same text become one level, and those without text are missing.

    Returns
    -------
    RawColumn
    """
    where: dict[str, int] = {}
    texts = [level_text(value) for value in values]
    level = [where.setdefault(text, len(where)) if text else -1 for text in texts]
    return RawColumn(name, "categorical", np.array([*level, -1], dtype=np.int32)[codes], tuple(where))


def from_values(name: str, values: Sequence[Any] | Array, categorical: bool = False) -> RawColumn:
    """Return the column made of values of any kind.

    Parameters
    ----------
    name : str
        Of the column.
    values : sequence
        Python objects. None, NaN and the missing values of pandas are missing.
    categorical : bool
        Whether it is to be categorical, whatever the values are.

    Returns
    -------
    RawColumn
        A boolean column if all are truth values, numeric if all are numbers, date if all are dates, else categorical.

    Raises
    ------
    InputError
        If a number is complex, or an integer is beyond the range of double precision.
    """
    each, codes = _distinct(list(values))
    gap = np.array([is_gap(value) for value in each], dtype=bool)
    present = [value for value, gone in zip(each, gap.tolist(), strict=True) if not gone]
    if any(isinstance(value, complex | np.complexfloating) for value in present):
        raise InputError(f"Complex data not supported: column {name!r} holds complex numbers")
    kind = "categorical" if categorical else _kind_of(present)
    if kind == "categorical":
        place = np.where(gap, -1, np.cumsum(~gap) - 1)
        return coded(name, place[codes], present)
    if kind == "date":
        days = [np.datetime64("NaT" if gone else naive(value), "us") for value, gone in _both(each, gap)]
        return RawColumn(name, "date", np.array(days, dtype="datetime64[us]")[codes])
    try:
        numbers = [math.nan if gone else float(value) for value, gone in _both(each, gap)]
    except OverflowError:
        raise InputError(
            f"column {name!r} holds an integer beyond the range of double precision (1.8e308): scale the column, or "
            "leave it out"
        ) from None
    return RawColumn(name, kind, np.array(numbers, dtype=np.float64)[codes])


def _distinct(values: list[Any]) -> tuple[list[Any], Indices]:
    """Return the different values, and the index of each value among them; 1 and True count as different."""
    keys: list[Any] = values
    if not set(map(type, values)) <= {str, type(None)}:
        keys = list(zip(map(type, values), values, strict=True))
    try:
        known = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    except TypeError:  # some cannot be keys
        keys = [(type(value), _hashable(value)) for value in values]
        known = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    each = list(known) if keys is values else [value for _, value in known]
    return each, np.fromiter(map(known.__getitem__, keys), np.intp, len(keys))


def is_gap(value: object) -> bool:
    """Return whether a value stands for a missing one: None, NaN, NaT or the missing value of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def as_kind(column: RawColumn, kind: Kind) -> RawColumn:
    """Return a column read as the kind that it had in the training.

    Parameters
    ----------
    column : RawColumn
        The column as it was given.
    kind : {"numeric", "boolean", "categorical", "date"}
        The kind that is wanted.

    Returns
    -------
    RawColumn
        The column itself if it is of this kind. Anything can be read as categorical, by the text of its values; text as
        the number, truth value or date that it stands for; 0 and 1 as truth values, and these as numbers.

    Raises
    ------
    InputError
        If a value cannot be read as this kind.
    """
    if column.kind == kind:
        return column
    if not len(column.values) or column.missing.all():
        return _all_missing(column, kind)
    if kind == "categorical":
        return _as_categorical(column)
    if column.kind == "categorical":
        return _from_text(column, kind)
    if kind == "numeric" and column.kind == "boolean":
        return replace(column, kind=kind)
    if kind == "boolean" and column.kind == "numeric":
        odd = column.values[~np.isin(column.values, (0.0, 1.0)) & ~column.missing]
        if not len(odd):
            return replace(column, kind=kind)
        raise InputError(f"column {column.name!r} holds {level_text(odd[0])!r}, but was trained on as truth values")
    raise InputError(f"column {column.name!r} is {column.kind}, but was trained on as {kind}")


def _all_missing(column: RawColumn, kind: Kind) -> RawColumn:
    gaps: dict[str, Array] = {
        "categorical": np.array(-1, dtype=np.int32),
        "date": np.array("NaT", dtype="datetime64[us]"),
    }
    return RawColumn(column.name, kind, np.full(len(column.values), gaps.get(kind, np.array(np.nan))))


def _as_categorical(column: RawColumn) -> RawColumn:
    known = ~column.missing
    different, codes = np.unique(column.values[known], return_inverse=True)
    values: list[object] = [bool(v) for v in different] if column.kind == "boolean" else list(different)
    place = np.full(len(column.values), -1, dtype=np.intp)
    place[known] = codes.ravel()
    return coded(column.name, place, values)


def _from_text(column: RawColumn, kind: Kind) -> RawColumn:
    """Read text as numbers, truth values or dates."""
    used = set(np.unique(column.values).tolist())
    gap: Any = np.datetime64("NaT", "us") if kind == "date" else math.nan
    values, odd = [], []
    for code, text in enumerate(column.levels):
        value = gap if code not in used or is_missing(text.strip()) else _read(text.strip(), kind)
        values.append(gap if value is None else value)
        odd += [text] * (value is None)
    if odd:
        what = {"numeric": "numbers", "boolean": "truth values", "date": "dates"}[kind]
        raise InputError(
            f"column {column.name!r} holds {quoted(odd)}, but was trained on as {what}; leave these values empty "
            f"where they are not known"
        )
    dtype = "datetime64[us]" if kind == "date" else np.float64
    return RawColumn(column.name, kind, np.array([*values, gap], dtype=dtype)[column.values])


def _read(text: str, kind: Kind) -> Any:
    """Return the value that text stands for, or None."""
    if kind == "date":
        try:
            # NumPy reads no offsets from UTC
            with_zone = _ZONE.search(text)
            return np.datetime64(naive(datetime.datetime.fromisoformat(text)) if with_zone else text, "us")
        except ValueError:
            return None
    if kind == "boolean":
        return _TRUTH.get(text.lower())
    value = float(text) if is_number(text) else _TRUTH.get(text.lower(), math.inf)
    return value if math.isfinite(value) else None


def _kind_of(values: Sequence[object]) -> Kind:
    if values and all(isinstance(value, bool | np.bool_) for value in values):
        return "boolean"
    # decimal.Decimal is not a Real, but it is a number
    if all(isinstance(value, Real | np.bool_) or type(value).__name__ == "Decimal" for value in values):
        return "numeric"
    return "date" if all(isinstance(value, datetime.date | np.datetime64) for value in values) else "categorical"


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value


def _both(values: Sequence[Any], gaps: Array) -> Iterable[tuple[Any, bool]]:
    return zip(values, gaps.tolist(), strict=True)


def numeric(name: str, values: Array) -> RawColumn:
    """Return a numeric column of an array of numbers, as doubles."""
    return RawColumn(name, "numeric", np.asarray(values, dtype=np.float64))


def lower_median(values: Floats | Array) -> Any:
    """Return the lower median of values, none missing: the smaller of the middle two if their number is even."""
    middle = (len(values) - 1) // 2
    return np.partition(values, middle)[middle]


def counts_of(column: RawColumn) -> Indices:
    """Return how often each level of a categorical column occurs."""
    return np.bincount(column.values[column.values >= 0], minlength=len(column.levels)).astype(np.intp)
