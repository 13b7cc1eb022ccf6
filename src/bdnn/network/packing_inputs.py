"""The inputs of a packed network: which columns it takes, and how each of its inputs is made of its column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.encoding.codes import PARTS, ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, PackedError
from bdnn.network.column_format import Layout, plain_code
from bdnn.network.packing_numbers import LARGEST, Writer
from bdnn.network.packing_thresholds import read_thresholds, write_thresholds

if TYPE_CHECKING:
    from bdnn.network.packing_numbers import Reader
    from bdnn.types import Array, Bools, Floats, Indices

MISSING = -1
"""The part of a column that says where it is missing."""

Fill = float | str | None


class Inputs(NamedTuple):
    """Inputs of a network in the order of the columns, as arrays of shape (n_inputs,)."""

    column: Indices
    """Index of the column."""
    part: Indices
    """Which level or part of a date, or `MISSING`; else 0."""
    threshold: Floats
    """Of bits ``x >= t``; NaN for others."""

    @classmethod
    def of(cls, encoder: Encoder) -> Inputs:
        """Return the inputs of an encoder."""
        column: list[int] = []
        part: list[int] = []
        threshold: list[float] = []
        for j, code in enumerate(encoder.columns):
            n = code.n_values
            column += [j] * code.n_inputs
            part += [0] * n if code.kind == "numeric" else list(range(n))
            threshold += code.thresholds if code.thresholds and code.used else [np.nan] * n
            if code.n_inputs > n:
                part.append(MISSING)
                threshold.append(np.nan)
        return cls(np.array(column, dtype=np.intp), np.array(part, dtype=np.intp), np.array(threshold, dtype=float))

    @classmethod
    def plain(cls, n: int) -> Inputs:
        """Return n numeric columns as they are."""
        return cls(np.arange(n), np.zeros(n, dtype=np.intp), np.full(n, np.nan))

    def take(self, which: Array) -> Inputs:
        """Return some inputs."""
        return Inputs(self.column[which], self.part[which], self.threshold[which])

    @property
    def has_threshold(self) -> Bools:
        """Which are bits ``x >= t``."""
        return ~np.isnan(self.threshold)


def ranges(layout: Layout, inputs: Inputs, fills: Sequence[Fill] | None) -> tuple[Floats, Floats]:
    """Return the least and largest value of each input, NaN where they are not known to be integers."""
    value = layout.numeric[inputs.column] & ~inputs.has_threshold & (inputs.part != MISSING)
    low, high = np.zeros(len(value)), np.ones(len(value))
    whole = layout.scale == 1
    if fills is not None:
        for c in np.flatnonzero(layout.missing & layout.numeric & whole).tolist():
            fill = fills[c]
            whole[c] &= isinstance(fill, int | float) and fill == int(fill) and layout.low[c] <= fill <= layout.high[c]
    j = inputs.column[value]
    low[value], high[value] = (np.where(whole[j], ends[j], np.nan) for ends in (layout.low, layout.high))
    of_date = layout.date[inputs.column] & (inputs.part != MISSING)
    low[of_date] = high[of_date] = np.nan
    return low, high


def write_selection(out: Writer, chosen: Array, n: int) -> None:
    """Append ascending numbers below n: all once, or different ones, or some of them repeated."""
    k = len(chosen)
    if k == n and np.array_equal(chosen, np.arange(n)):
        out.digit(0, 3)
    elif np.all(np.diff(chosen) > 0):
        out.digit(1, 3)
        out.digit(k, n + 1)
        out.choice(chosen.tolist(), n)
    else:
        out.digit(2, 3)
        out.count(k - 2)
        out.choice((chosen + np.arange(k)).tolist(), n + k - 1)


def read_selection(data: Reader, n: int) -> Indices:
    """Read as `write_selection`."""
    way = data.digit(3)
    if way == 0:
        return np.arange(data.charge(n))
    if way == 1:
        return np.array(data.choice(data.charge(data.digit(n + 1)), n), dtype=np.intp)
    k = data.charge(data.count() + 2)
    if n == 0:
        raise PackedError("they choose inputs that are not there")
    return np.array(data.choice(k, n + k - 1), dtype=np.intp) - np.arange(k)


def write_inputs(
    out: Writer, inputs: Inputs, fills: Sequence[Fill] | None, layout: Layout, short: bool = False
) -> None:
    """Append which columns are used, and how; inputs are those that the network takes.

    Parameters
    ----------
    out : Writer
        Where to.
    inputs : Inputs
        Those that have weight.
    fills : sequence or None
        Replacements of missing values, for each column; groups of levels as numbers, see `fills_of`.
    layout : Layout
        What the reader knows of the columns.
    short : bool
        Whether the thresholds of each column of real numbers may be written by few of their bits.

    Raises
    ------
    InputError
        If a replacement is needed and not known.
    """
    column, of_missing = inputs.column, inputs.part == MISSING
    value = layout.numeric[column] & ~of_missing
    either = value & layout.is_bit[column] & ~((inputs.threshold <= 0) | (inputs.threshold > 1))
    has_threshold = inputs.has_threshold & ~either
    mode = 0 if not has_threshold.any() else 2 if np.any(value & ~has_threshold & ~either) else 1
    out.digit(mode, 3)
    bits = has_threshold | (either & (mode == 1))
    start = layout.starts(mode)
    offset = np.where(of_missing, start[1:][column] - start[column] - 1, np.where(bits & (mode == 2), 1, inputs.part))
    write_selection(out, start[column] + offset, int(start[-1]))
    write_thresholds(out, column[bits], np.where(either, 1.0, inputs.threshold)[bits], layout, short)
    filled = np.unique(column[~of_missing & layout.missing[column]])
    if len(filled):
        _write_fills(out, inputs, bits, fills, filled.tolist(), layout)


def fills_of(encoder: Encoder) -> list[Fill]:
    """Return the replacements of an encoder: numbers, groups of levels (-1 for none), and hours of dates."""
    return [_fill_of(code) for code in encoder.columns]


def _fill_of(code: ColumnCode) -> Fill:
    if code.kind == "categorical":
        return int(code.group_of(())[-1])
    if code.fill is None or code.kind != "date":
        return code.fill
    return int(np.datetime64(str(code.fill), "h").astype(np.int64))


def _write_fills(
    out: Writer, inputs: Inputs, bits: Bools, fills: Sequence[Fill] | None, columns: list[int], layout: Layout
) -> None:
    hours, numbers = [], []
    for c in columns:
        form, fill = layout.columns[c], None if fills is None else fills[c]
        if not isinstance(fill, int | float):
            raise InputError(
                f"the schema says that values of column {form.name!r} may be missing, but the model has nothing to "
                f"replace them with"
            )
        mine = (inputs.column == c) & (inputs.part != MISSING)
        thresholds = inputs.threshold[mine]
        if bits[mine].all() and form.kind == "numeric":
            known = np.isnan(thresholds)  # the value of a column of 0 and 1, which is a bit as it is
            out.digit(int(np.sum(fill >= np.where(known, 1.0, thresholds))), len(thresholds) + 1)
        elif form.kind == "numeric":
            numbers.append(float(fill if np.isnan(thresholds).all() else fill >= thresholds[0]))
        elif form.kind == "date":
            hours.append(int(fill))
        else:
            n = len(plain_code(form).groups) if form.kind == "categorical" else 1
            out.digit(int(fill) + (form.kind == "categorical"), n + 1)
    out.integers(np.array(hours, dtype=np.int64))
    out.reals(np.array(numbers, dtype=float))


def read_inputs(data: Reader, layout: Layout, short: bool = False) -> tuple[Inputs, dict[int, Fill]]:
    """Read as `write_inputs`: the inputs, and the replacements of those columns that need one."""
    mode = data.digit(3)
    start = layout.starts(mode)
    slots = read_selection(data, int(start[-1]))
    column = np.searchsorted(start, slots, side="right") - 1
    offset, last = slots - start[column], start[column + 1] - start[column] - 1
    of_missing = layout.missing[column] & (offset == last)
    bits = layout.numeric[column] & ~of_missing & (offset == (mode == 2)) & (mode > 0)
    if np.any((np.diff(slots) == 0) & ~bits[1:]):
        raise PackedError("they take an input twice")
    if mode == 2 and np.any(np.diff(column)[np.diff(bits.astype(int)) != 0] == 0):
        values = np.bincount(column[layout.numeric[column] & ~bits & ~of_missing], minlength=len(layout.columns))
        if np.any(values & (np.bincount(column[bits], minlength=len(layout.columns)) > 0)):
            raise PackedError("they take the value of a column and thresholds of it")
    part = np.where(of_missing, MISSING, np.where(layout.numeric[column], 0, offset))
    threshold = np.full(len(slots), np.nan)
    threshold[bits] = read_thresholds(data, column[bits], layout, short)
    inputs = Inputs(column, part, threshold)
    filled = np.unique(column[~of_missing & layout.missing[column]]).tolist()
    return inputs, _read_fills(data, inputs, filled, layout)


def _read_fills(data: Reader, inputs: Inputs, columns: list[int], layout: Layout) -> dict[int, Fill]:
    fills: dict[int, Fill] = {}
    dates, numbers = [], []
    for c in columns:
        form = layout.columns[c]
        thresholds = inputs.threshold[(inputs.column == c) & (inputs.part != MISSING)]
        if form.kind == "numeric" and not np.isnan(thresholds).any():
            above = data.digit(len(thresholds) + 1)
            fills[c] = float(thresholds[above - 1]) if above else float(np.nextafter(thresholds[0], -np.inf))
        elif form.kind == "numeric":
            numbers.append(c)
        elif form.kind == "date":
            dates.append(c)
        elif form.kind == "boolean":
            fills[c] = float(data.digit(2))
        else:
            code = plain_code(form)
            group = data.digit(len(code.groups) + 1) - 1
            # text that is no level stands for none: levels never have blanks around them
            fills[c] = " " if group < 0 else (*form.levels, *form.rare[:1])[group]
    hours = data.integers(len(dates))
    if np.any(np.abs(hours) > LARGEST // 3_600_000_000):  # microseconds that 64 bits hold
        raise PackedError("they hold a date that is out of range")
    fills |= {c: str(np.datetime64(int(h), "h")) for c, h in zip(dates, hours, strict=True)}
    return fills | dict(zip(numbers, data.reals(len(numbers)).tolist(), strict=True))


_ANY: dict[str, Fill] = {"numeric": 0.0, "boolean": 0.0, "categorical": " ", "date": "1970-01-01"}


def encoder_of(layout: Layout, named: bool, inputs: Inputs, fills: dict[int, Fill]) -> tuple[Encoder, Indices]:
    """Return an encoder that makes these inputs, perhaps among others, and where each of them is.

    If the inputs are columns of numbers as they are, so are those of the encoder, and it makes all of them. Else it
    makes no inputs of columns that are not used. These have some replacement of missing values, as they decide nothing.
    """
    kinds = {form.kind for form in layout.columns}
    everything = not len(inputs.column)
    plain = kinds <= {"numeric", "boolean"} and not (inputs.has_threshold.any() or (inputs.part == MISSING).any())
    thresholds: dict[int, list[float]] = {}
    parts: dict[int, set[int]] = {}
    for c, part, threshold in zip(*(each.tolist() for each in inputs), strict=True):
        parts.setdefault(c, set()).add(part)
        if threshold == threshold:
            thresholds.setdefault(c, []).append(threshold)
    nothing: set[int] = set()
    codes = []
    for c, form in enumerate(layout.columns):
        mine = parts.get(c, nothing)
        used = plain or everything or bool(mine)
        timed = len(PARTS) - 1 in mine
        codes.append(
            ColumnCode(
                form.name,
                form.kind,
                # what is not used may be missing, whatever the schema says
                fills.get(c, _ANY[form.kind] if form.missing or not mine else None),
                form.levels,
                form.rare,
                tuple(thresholds.get(c, ())),
                () if form.kind != "date" or not used else PARTS if timed else PARTS[:-1],
                MISSING in mine or (everything and form.missing),
                used,
            )
        )
    encoder = Encoder(tuple(codes), named)
    start = np.array([each.start for each in encoder.input_slices()], dtype=np.intp)
    values = np.array([code.n_values for code in codes], dtype=np.intp)
    column = inputs.column
    # thresholds of a column are counted; those of a column are neighbors
    first = np.searchsorted(column, column)
    rank = np.where(inputs.has_threshold, np.arange(len(column)) - first, inputs.part)
    return encoder, start[column] + np.where(inputs.part == MISSING, values[column], rank)
