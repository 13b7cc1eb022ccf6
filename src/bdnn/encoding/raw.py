"""Columns of a table as they are: numbers, truth values, text and dates, from any source.

Files (`bdnn.tables`) and data frames (`bdnn.estimators`) are read into them; an encoder turns them into inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bdnn.columns import places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.types import Array, Floats, Indices

Kind = Literal["numeric", "boolean", "categorical", "date"]

FEW_LEVELS = 20
"""The default of `max_categories`: as many values of text may differ in all rows without naming these."""


@dataclass(frozen=True, eq=False, slots=True)
class RawColumn:
    """One column.

    Attributes
    ----------
    name : str
        Unique in its table.
    kind : {"numeric", "boolean", "categorical", "date"}
        What it holds.
    values : ndarray of shape (m,)
        Numeric: float64, NaN where missing. Boolean: float64 of 0 and 1, NaN where missing. Categorical: int32 codes of
        `levels`, -1 where missing. Date: datetime64[us], NaT where missing.
    levels : tuple of str
        Of a categorical column, as text, in any order; empty for other kinds. Whole numbers are written without a
        point, truth values as ``true`` and ``false``, so that files and data frames agree.
    """

    name: str
    kind: Kind
    values: Array
    levels: tuple[str, ...] = ()

    @property
    def missing(self) -> Array:
        """Where it is missing, bool of shape (m,)."""
        if self.kind == "categorical":
            return np.asarray(self.values < 0)
        return np.asarray(np.isnat(self.values) if self.kind == "date" else np.isnan(self.values))

    def texts(self, rows: Indices) -> list[str | float]:
        """Return some cells as they are written in a table: numbers as such, all else as text, empty where missing."""
        values, gone = self.values[rows], self.missing[rows].tolist()
        each: list[Any] = values.tolist()
        if self.kind == "categorical":
            each = [self.levels[code] for code in each]
        elif self.kind == "boolean":
            each = ["true" if value == 1 else "false" for value in each]
        elif self.kind == "date":
            each = [str(value).removesuffix("T00:00:00") for value in values.astype("datetime64[s]")]
        return ["" if gap else value for value, gap in zip(each, gone, strict=True)]

    def take(self, rows: Indices | slice) -> RawColumn:
        """Return some rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, eq=False, slots=True)
class RawTable:
    """Columns of the same length.

    Attributes
    ----------
    columns : tuple of RawColumn
        In the order of the table.
    """

    columns: tuple[RawColumn, ...]

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def n_missing(self) -> Indices:
        """Missing values of each column."""
        return np.array([int(column.missing.sum()) for column in self.columns], dtype=np.intp)

    def take(self, rows: Indices | slice) -> RawTable:
        """Return some rows."""
        return RawTable(tuple(column.take(rows) for column in self.columns))

    def select(self, what: str, names: Sequence[str]) -> RawTable:
        """Return some columns in the order of names; `what` names the table in an InputError if one is missing."""
        return RawTable(tuple(self.columns[j] for j in places(what, self.names, names)))

    def numbers(self, whole_hours: bool = True) -> Floats:
        """Return numbers, of shape (m, n), that are equal where cells are equal, and NaN where they are missing.

        Dates of the same hour are equal, unless they are to be told apart: no input tells minutes.
        """
        out = np.empty((len(self), len(self.columns)))
        for j, column in enumerate(self.columns):
            values = column.values
            if column.kind == "date":
                values = (values.astype("datetime64[h]") if whole_hours else values).astype(np.int64)
            out[:, j] = values
            if column.kind not in ("numeric", "boolean"):
                out[column.missing, j] = np.nan
        return out
