"""Device inputs: which integers stand for the values of a column, and tables made into them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bdnn.columns import listed, quoted
from bdnn.encoding.codes import PARTS, ColumnCode, date_parts
from bdnn.encoding.kinds import as_kind, level_text
from bdnn.errors import InputError
from bdnn.export.program import INPUT_TYPES, INTEGER_TYPES, DeviceInput, smallest_type

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawColumn, RawTable
    from bdnn.types import Array, Floats, Integers

_Given = TypeVar("_Given")

LOWEST, HIGHEST = -(2**31) + 1, 2**31 - 1
"""Device integers: 32 bits, of which the least is left for missing values."""

PART_RANGES = {"year": (1, 9999), "month": (1, 12), "day": (1, 31), "weekday": (0, 6), "hour": (0, 23)}
"""Device integers of the parts of a date: years of four digits, and weekdays from 0 for Monday."""

_FEW = 4  # columns that a suggestion names even if one scale would do for all
_DIGITS = 9  # of decimal scales: more do not fit into 32 bits
_DECIMAL: tuple[int, ...] = tuple(10**digits for digits in range(_DIGITS + 1))  # from coarse to fine


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What is declared of the columns that a device gives.

    Attributes
    ----------
    scale : dict of str to int
        Integers per unit, by column.
    every_scale : int or None
        The same for all other numeric columns.
    ranges : dict of str to (Fraction, Fraction)
        Least and largest value, in units of the table, by column; of parts of dates by column and part.
    missing : tuple of str
        Columns whose values may be missing, besides those of which the model or the data say so.
    """

    scale: Mapping[str, int] = field(default_factory=dict)
    every_scale: int | None = None
    ranges: Mapping[str, tuple[Fraction, Fraction]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, scale in (*self.scale.items(), *([("", self.every_scale)] if self.every_scale is not None else [])):
            if isinstance(scale, bool) or not isinstance(scale, int) or not 1 <= scale <= 10**_DIGITS:
                of = f" of column {name!r}" if name else ""
                raise InputError(f"the scale{of} must be an integer from 1 to 10^{_DIGITS}, got {scale!r}")
        for name, (low, high) in self.ranges.items():
            if low > high:
                raise InputError(
                    f"the range of column {name!r} must go from a number to a larger one, got {float(low):g} to "
                    f"{float(high):g}"
                )

    def check_names(self, columns: Sequence[ColumnCode]) -> None:
        """Raise InputError if a column is declared that a model does not take."""
        names = [code.name for code in columns]
        for what, given, known in (
            ("scales", self.scale, names), ("ranges", self.ranges, ranged(columns)),
            ("missing values", self.missing, names),
        ):  # fmt: skip
            if unknown := [name for name in given if name not in set(known)]:
                raise InputError(f"{what} are declared for {listed(unknown)}, but the columns of the model are "
                                 f"{quoted(known)}")  # fmt: skip


def ranged(columns: Sequence[ColumnCode]) -> list[str]:
    """Return the names by which ranges of columns are declared: each part of a date has one of its own."""
    return [name for code in columns for name in (_part_names(code) if code.kind == "date" else [code.name])]


def for_numbers(columns: Iterable[ColumnCode], given: _Given) -> dict[str, _Given]:
    """Return the same for each numeric column, by name."""
    return {code.name: given for code in columns if code.kind == "numeric"}


def _part_names(code: ColumnCode) -> list[str]:
    return [f"{code.name} {part}" for part in code.parts]


def scales_of(
    codes: Sequence[ColumnCode], raw: Sequence[bool], interface: Interface, data: Mapping[str, RawColumn] | None
) -> dict[str, int]:
    """Return the scale of each numeric column.

    Parameters
    ----------
    codes : sequence of ColumnCode
        Columns that are used.
    raw : sequence of bool
        Whether the network takes a column as integers, without a grid or thresholds.
    interface : Interface
        What is declared.
    data : dict of str to RawColumn or None
        Columns of a table.

    Returns
    -------
    dict of str to int

    Raises
    ------
    InputError
        If some are neither declared nor known from the data; the message says what to declare.
    """
    found: dict[str, int] = {}
    lacking: list[str] = []
    suggested: list[str] = []
    uneven: list[str] = []
    for code, as_integers in zip(codes, raw, strict=True):
        if code.kind != "numeric":
            continue
        name, declared = code.name, interface.scale.get(code.name, interface.every_scale)
        if as_integers:
            if code.name in interface.scale and declared != 1:
                raise InputError(f"column {name!r} enters the network as an integer, so its scale is 1; got {declared}")
            found[name] = 1
        elif declared is not None:
            found[name] = declared
        else:
            values = None if data is None else data[name].values[~data[name].missing]
            if values is not None and len(values) and np.all(values == np.rint(values)):
                found[name] = 1
                continue
            lacking.append(name)
            scale = _decimal_scale(values)
            suggested.append(f"{name}={scale}")
            if values is not None and np.any(np.rint(values * scale) / scale != values):
                uneven.append(name)
    if lacking:
        hint = "whose values are no integers" if data is not None else "whose values may be real numbers"
        different = {text.rpartition("=")[2] for text in suggested}
        shown = ",".join(suggested) if len(different) > 1 or len(suggested) < _FEW else different.pop()
        raise InputError(
            f"a device takes integers; declare how many of them are one unit of {listed(lacking)}, {hint}"
            f": for example --scale {quote(shown)}"
            f"{'' if data is not None else ', or give a table with --data'}"
            + (f"; round {listed(uneven)} in the table before, to what the device will measure: no scale of 16 bits "
               f"has all values" if uneven else "")
        )  # fmt: skip
    return found


def decimal_scales(columns: Iterable[RawColumn]) -> dict[str, int]:
    """Return by name the smallest power of ten for each numeric column on whose scale all known values lie, above 1.

    Values that are on no such scale are rounded on the finest one that 16 bits hold.
    """
    known = ((column.name, column.values[~column.missing]) for column in columns if column.kind == "numeric")
    return {name: scale for name, values in known if (scale := _decimal_scale(values)) > 1}


def _decimal_scale(values: Array | None) -> int:
    """Return the smallest power of ten on whose scale all values lie, 1 if they are not known."""
    if values is None or not len(values):
        return 1
    for scale in _DECIMAL:
        if np.all(np.abs(values) * scale <= HIGHEST) and np.array_equal(np.rint(values * scale) / scale, values):
            return scale
    # values that are on no scale are rounded on the finest one that 16 bits hold
    largest = float(np.abs(values).max())
    return max((scale for scale in _DECIMAL if largest * scale < INTEGER_TYPES["int16"][1]), default=1)


def numeric_input(
    code: ColumnCode,
    scale: int,
    interface: Interface,
    cuts: Sequence[int] | None,
    column: RawColumn | None,
) -> DeviceInput:
    """Return the device input of a numeric column.

    Parameters
    ----------
    code : ColumnCode
        How it becomes inputs.
    scale : int
        Integers per unit.
    interface : Interface
        What is declared.
    cuts : sequence of int or None
        Integers at which the network can tell values apart, where no range is known; None if it takes the integers
        themselves.
    column : RawColumn or None
        Its values in a table.

    Returns
    -------
    DeviceInput
        Of the declared range; else of the range of a type that holds the values of the table, or without one the cuts,
        or 32 bits.

    Raises
    ------
    InputError
        If the integers do not fit into 32 bits.
    """
    gaps = _has_gaps(code, interface, column)
    if code.name in interface.ranges:
        first, last = interface.ranges[code.name]
        low, high = math.ceil(first * scale), math.floor(last * scale)
        if low > high:
            raise InputError(f"no integer of the scale {scale} is in the declared range of column {code.name!r}")
    else:
        values = None if column is None else column.values[~column.missing]
        if values is not None and len(values):
            low, high = round(Fraction(float(values.min())) * scale), round(Fraction(float(values.max())) * scale)
        elif cuts is not None:
            # values beyond the 16 bits can be saturated without a change
            wide = any(abs(cut) >= INTEGER_TYPES["int16"][1] for cut in cuts)
            low, high = (LOWEST, HIGHEST) if wide else (-INTEGER_TYPES["int16"][1], INTEGER_TYPES["int16"][1])
        else:
            low, high = LOWEST, HIGHEST
    if low < LOWEST or high > HIGHEST:
        raise InputError(f"column {code.name!r} has integers from {low} to {high}, which do not fit into 32 bits; "
                         f"declare a smaller scale or range")  # fmt: skip
    declared = code.name in interface.ranges
    for name in INPUT_TYPES[INPUT_TYPES.index(smallest_type(low, high, INPUT_TYPES)) :]:
        first_of, last_of = max(INTEGER_TYPES[name][0], LOWEST - 1), INTEGER_TYPES[name][1]
        if low < first_of or high > last_of:
            continue
        missing = None
        if gaps:
            free = [end for end, taken in ((first_of, low == first_of), (last_of, high == last_of)) if not taken]
            if not free:
                continue
            missing = free[0]
        if not declared:
            low, high = first_of + (missing == first_of), last_of - (missing == last_of)
            low = max(low, LOWEST)
        return DeviceInput(code.name, "numeric", low, high, scale, missing, declared=declared)
    raise InputError(f"column {code.name!r} leaves no integer of 32 bits for missing values")


def _has_gaps(code: ColumnCode, interface: Interface, column: RawColumn | None) -> bool:
    known = code.fill is not None
    return known and (code.missing_bit or code.name in interface.missing or
                      (column is not None and bool(column.missing.any())))  # fmt: skip


def coded_input(code: ColumnCode, interface: Interface, column: RawColumn | None) -> DeviceInput:
    """Return the device input of a boolean or categorical column."""
    gaps = _has_gaps(code, interface, column)
    if code.kind == "boolean":
        return DeviceInput(code.name, "boolean", 0, 1, missing=2 if gaps else None, declared=True)
    last = len(code.levels) + bool(code.rare)
    return DeviceInput(code.name, "categorical", 0, last, 1, last + 1 if gaps else None, code.levels, code.rare, True)


def part_code(code: ColumnCode, nth: int) -> ColumnCode:
    """Return one part of a date as a numeric column."""
    fill = None if code.fill is None else float(date_parts(np.array([code.fill], dtype="datetime64[us]"))[0, nth])
    return ColumnCode(_part_names(code)[nth], "numeric", fill)


def date_input(code: ColumnCode, nth: int, interface: Interface, column: RawColumn | None) -> DeviceInput:
    """Return the device input of a part of a date."""
    as_number = part_code(code, nth)
    low, high = PART_RANGES[code.parts[nth]]
    ranges = {as_number.name: interface.ranges.get(as_number.name, (Fraction(low), Fraction(high)))}
    gaps = (as_number.name,) if _has_gaps(code, interface, column) else ()
    found = numeric_input(as_number, 1, Interface(ranges=ranges, missing=gaps), None, None)
    return replace(found, column=code.name, kind="date", part=code.parts[nth])


def device_rows(inputs: Sequence[DeviceInput], table: RawTable) -> Integers:
    """Return the device integers of a table.

    Parameters
    ----------
    inputs : sequence of DeviceInput
        What the device gives.
    table : RawTable
        Its columns are found by name.

    Returns
    -------
    ndarray of shape (m, n_inputs), int64

    Raises
    ------
    InputError
        If a value is missing, on no integer of its scale or out of range; the message names row (counted from 1) and
        column.
    """
    names = list(dict.fromkeys(each.column for each in inputs))  # a date has several inputs
    chosen = dict(zip(names, table.select("the rows for the device", names).columns, strict=True))
    out = np.zeros((len(table), len(inputs)), dtype=np.int64)
    for place, each in enumerate(inputs):
        column = as_kind(chosen[each.column], each.kind)
        gaps = column.missing
        if gaps.any() and each.missing is None:
            raise InputError(
                f"row {np.argmax(gaps) + 1}, column {each.column!r}: the value is missing, and the device has no "
                f"integer for that; declare --missing {each.column}"
            )
        if each.kind == "categorical":
            integers = _level_codes(each, column.levels)[column.values]
        else:
            values = column.values
            if each.kind == "date":
                values = date_parts(np.where(gaps, np.datetime64(0, "us"), values))[:, PARTS.index(each.part)]
            integers = _on_scale(each, np.where(gaps, 0.0, values), ~gaps)
        out[:, place] = integers if each.missing is None else np.where(gaps, each.missing, integers)
    return out


def _level_codes(source: DeviceInput, levels: Sequence[str]) -> Integers:
    where = {level: code for code, level in enumerate(source.levels)} | dict.fromkeys(source.rare, len(source.levels))
    other = source.other
    assert other is not None
    return np.array([*(where.get(level, other) for level in levels), other], dtype=np.int64)


def _word(name: str) -> str:
    """Return a name as a shell takes it at the beginning of a word."""
    return f"'{name}'" if " " in name else name


def _finer(source: DeviceInput, values: Floats) -> str:
    """Return what to do where values are not on the scale of an input."""
    scale, decimals = _decimal_scale(values), len(str(source.scale)) - 1
    if np.array_equal(np.rint(values * np.float64(scale)) / scale, values):
        return f"declare a finer one with --scale {_word(source.column)}={scale}"
    what = f"round it in the table to what the device will measure, to {decimals} decimals for this scale"
    return f"no scale of 16 bits has all values of the column: {what}"


def _on_scale(source: DeviceInput, values: Floats, known: Array) -> Integers:
    k = np.rint(values * np.float64(source.scale))
    for wrong, why in (
        (k / source.scale != values, f"is no integer on the scale {source.scale}; {_finer(source, values[known])}"),
        ((k < source.low) | (k > source.high), f"is not in the range from {source.low / source.scale:g} to "
                                               f"{source.high / source.scale:g} of the device; declare one with "
                                               f"--range {_word(source.name)}=LOW:HIGH"),
    ):  # fmt: skip
        if np.any(bad := wrong & known):
            row = int(np.argmax(bad))
            raise InputError(f"row {row + 1}, column {source.name!r}: {level_text(float(values[row]))} {why}")
    return k.astype(np.int64)
