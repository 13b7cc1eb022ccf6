"""How one column becomes inputs; `bdnn.encoding.encoder` describes these inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from bdnn.encoding.level_text import level_text
from bdnn.encoding.raw import Kind, RawColumn
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices

PARTS = ("year", "month", "day", "weekday", "hour")
"""Inputs of a date; the last one is used only if times differ."""


@dataclass(frozen=True, slots=True)
class ColumnCode:
    """How one column becomes inputs; see `bdnn.encoding.encoder`.

    Attributes
    ----------
    name : str
        Of the column.
    kind : {"numeric", "boolean", "categorical", "date"}
        The kind as which it is read.
    fill : float, str or None
        The replacement of a missing value: a number (0 or 1 for a boolean column), a level, or the text of a date; None
        if that is not known.
    levels : tuple of str
        Levels that have a bit of their own.
    rare : tuple of str
        Levels that share one.
    thresholds : tuple of float
        Ascending; none if the value itself is the input.
    parts : tuple of str
        Parts of a date, among `PARTS`.
    missing_bit : bool
        Whether a bit says where it is missing.
    used : bool
        Whether it gives inputs at all.
    """

    name: str
    kind: Kind
    fill: float | str | None = None
    levels: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    parts: tuple[str, ...] = ()
    missing_bit: bool = False
    used: bool = True

    def __post_init__(self) -> None:
        what = f"column {self.name[:60]!r} of the encoder"
        if self.kind not in get_args(Kind):
            raise InputError(f"{what} must be of kind {', '.join(get_args(Kind))}, got {self.kind!r}"[:200])
        known = (*self.levels, *self.rare)
        if len(set(known)) < len(known) or (known and self.kind != "categorical"):
            raise InputError(f"{what} must have different levels, and only if it is categorical")
        t = np.array(self.thresholds, dtype=np.float64)
        if len(t) and (self.kind != "numeric" or not np.all(np.isfinite(t)) or not np.all(np.diff(t) > 0)):
            raise InputError(f"{what} must have finite, ascending thresholds, and only if it is numeric")
        if self.parts not in ((PARTS, PARTS[:-1]) if self.kind == "date" and self.used else ((),)):
            raise InputError(f"{what} must have the parts of a date if it is one, and only then")
        self._check_fill(what)

    def _check_fill(self, what: str) -> None:
        fill, kind = self.fill, self.kind
        if fill is None:
            return
        if kind in ("categorical", "date"):
            good = isinstance(fill, str)
            if good and kind == "date":
                try:
                    good = not np.isnat(np.datetime64(cast("str", fill), "us"))
                except ValueError:
                    good = False
        else:
            good = isinstance(fill, int | float) and not isinstance(fill, bool) and bool(np.isfinite(fill))
            good = good and (kind == "numeric" or fill in (0, 1))
        if not good:
            raise InputError(f"{what} replaces missing values by {fill!r}, which is not of kind {kind}"[:200])

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of levels that the network can tell from each other."""
        return (*(f"{self.name}={level}" for level in self.levels), *([f"{self.name} rare"] if self.rare else []))

    @property
    def n_values(self) -> int:
        """Number of inputs, not counting the missing bit."""
        if not self.used:
            return 0
        if self.kind == "categorical":
            return max(len(self.groups) - (len(self.groups) <= 2), 0)
        return len(self.parts) if self.kind == "date" else max(len(self.thresholds), 1)

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.n_values + (self.used and self.missing_bit)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, before equal ones are numbered."""
        names: Sequence[str] = (self.name,)
        if self.kind == "categorical":
            names = self.groups[len(self.groups) - self.n_values :]
        elif self.kind == "date":
            names = [f"{self.name} {part}" for part in self.parts]
        elif self.thresholds:
            names = [f"{self.name}>={level_text(t)}" for t in self.thresholds]
        own = (*names, f"{self.name} missing") if self.missing_bit else tuple(names)
        return own if self.used else ()

    def states(self) -> Floats:
        """Return the inputs of each group of levels, or of false and true, of shape (n_states, n_values)."""
        if self.kind == "boolean":
            return np.array([[0.0], [1.0]])
        n = len(self.groups)
        return np.eye(n)[:, n - self.n_values :] if n else np.zeros((0, 0))

    def group_of(self, levels: Sequence[str]) -> Indices:
        """Return the group of each level, -1 if the training did not have it, and one more entry for missing values."""
        where = {level: g for g, level in enumerate(self.levels)} | dict.fromkeys(self.rare, len(self.levels))
        filled = where.get(cast("str", self.fill), -1)
        return np.array([*(where.get(level, -1) for level in levels), filled], dtype=np.intp)

    def write(self, column: RawColumn, group: Indices, out: Floats) -> None:
        """Write inputs of shape (m, n_inputs) for a column of this kind; `group` is `group_of` its levels."""
        n, values, gaps = self.n_values, column.values, column.missing
        if self.missing_bit:
            out[:, n] = gaps
        if self.kind == "categorical":
            bit = group[values] - (len(self.groups) - n)
            rows = np.flatnonzero(bit >= 0)
            out[:, :n] = 0.0
            out[rows, bit[rows]] = 1.0
            return
        if gaps.any():
            values = values.copy()
            values[gaps] = self.fill
        if self.kind == "date":
            out[:, :n] = date_parts(values)[:, :n]
        elif self.thresholds:
            out[:, :n] = values[:, None] >= np.array(self.thresholds)
        else:
            out[:, 0] = values


def date_parts(values: Array) -> Floats:
    """Return year, month, day, weekday and hour of dates, all of them known, of shape (m, 5)."""
    months, days = values.astype("datetime64[M]"), values.astype("datetime64[D]")
    month, day = months.astype(np.int64), days.astype(np.int64)
    hour = (values - days) // np.timedelta64(1, "h")
    # months are counted from January 1970, and the first of January 1970 was a Thursday
    parts = (1970 + month // 12, 1 + month % 12, 1 + (days - months.astype("datetime64[D]")).astype(np.int64))
    return np.stack([*parts, (day + 3) % 7, hour], axis=1).astype(np.float64)


_DEFAULTS = {f.name: f.default for f in fields(ColumnCode)}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str, "kind": str, "fill": (str, int, float), "levels": str, "rare": str, "thresholds": (int, float),
    "parts": str, "missing_bit": bool, "used": bool,
}  # fmt: skip
_LISTS = ("levels", "rare", "thresholds", "parts")


def column_json(code: ColumnCode) -> dict[str, Any]:
    """Return, as plain values, how one column becomes inputs; defaults are left out."""
    values = {name: getattr(code, name) for name in _DEFAULTS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != _DEFAULTS[name]
    }


def column_from_json(item: object) -> ColumnCode:
    """Return how one column becomes inputs, from plain values that may be hostile.

    Parameters
    ----------
    item : object
        As `column_json` writes it, or anything else.

    Returns
    -------
    ColumnCode

    Raises
    ------
    InputError
        If it is anything else.
    """
    if not isinstance(item, dict) or not {"name", "kind"} <= set(item) <= set(_TYPES):
        raise InputError("a column of an encoder must be an object with 'name' and 'kind'")
    values: dict[str, Any] = {}
    for name, value in item.items():
        many = name in _LISTS
        if many and not isinstance(value, list):
            raise InputError(f"{name!r} of a column of an encoder must be a list")
        for entry in value if many else [value]:
            if not isinstance(entry, _TYPES[name]) or (isinstance(entry, bool) and _TYPES[name] is not bool):
                raise InputError(f"{name!r} of a column of an encoder cannot hold a {type(entry).__name__}")
            if isinstance(entry, int | float) and not abs(entry) <= sys.float_info.max:
                raise InputError(f"{name!r} of a column of an encoder holds a number that is too large")
        values[name] = tuple(float(v) if name == "thresholds" else v for v in value) if many else value
    return ColumnCode(**values)


def in_words(code: ColumnCode) -> str:
    """Return the inputs of a column in words."""
    n = code.n_values
    if not code.n_inputs:
        return "left out"
    if code.kind == "categorical":
        words = f"{n} bit{'s' if n != 1 else ''} for {len(code.levels)} level{'s' if len(code.levels) != 1 else ''}"
        words += f" and {len(code.rare)} rare ones together" if code.rare else ""
    elif code.kind == "date":
        words = ", ".join(code.parts)
    elif code.thresholds:
        words = f"{n} threshold{'s' if n != 1 else ''}"
    else:
        words = "as it is" if code.kind == "numeric" else "1 bit"
    return words + (", 1 bit for missing" if code.missing_bit else "")
