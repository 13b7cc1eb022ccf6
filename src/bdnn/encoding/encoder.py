"""The encoder of the columns of a table as inputs of a network, which is a part of the model.

Notes
-----
By kind, a column gives these inputs, in the order of the columns:

- *numeric*: its value. With thresholds t₁ < … < t_k, it is a bit for each: 1 if x ≥ t, compared exactly; the input is
  called ``age>=39.5``.
- *boolean*: 1 for true, 0 for false.
- *categorical*: one bit for each level kept, called ``color=red``, in the order of their text, and one for all rare
  levels together, called ``color rare``. Of two such groups only the last one has a bit, and one alone has none. A
  level that was not seen in the training sets no bit.
- *date*: year, month, day and weekday (0 for Monday), called ``date year`` and so on, and the hour if times differ
  in the training.

A missing value is replaced: by the lower median of the training rows, or for a categorical column by the most frequent
level. If the column has a *missing bit*, called ``age missing``, it is the last of its inputs, and 1 where the value is
missing. Columns that are not used give no inputs. A name that is taken already is followed by a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.arrays import row_blocks
from bdnn.columns import listed, permutation
from bdnn.encoding.codes import ColumnCode, column_from_json, column_json, in_words
from bdnn.encoding.kinds import as_kind, counts_of
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoder of a `RawTable` as inputs; see the module.

    Parameters
    ----------
    columns : tuple of ColumnCode
        Different names.
    named : bool
        Whether the names are those of a table, and not numbers in disguise (``x0`` and so on).

    Attributes
    ----------
    input_names : tuple of str
        Different names of the inputs.
    column_of_input : ndarray of shape (n_inputs,)
        Index of the column from which each input comes.
    is_identity : bool
        Whether the inputs are the columns themselves, where no value is missing.

    Raises
    ------
    InputError
        If two columns have the same name, or no column gives an input.

    Examples
    --------
    >>> from bdnn.encoding.raw import RawColumn
    >>> color = RawColumn("color", "categorical", np.array([0, 1, 2, -1]), ("red", "green", "blue"))
    >>> encoder = Encoder((ColumnCode("color", "categorical", "red", ("blue", "green", "red"), missing_bit=True),))
    >>> encoder.input_names
    ('color=blue', 'color=green', 'color=red', 'color missing')
    >>> encoder.transform(RawTable((color,)))[2:].tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """

    columns: tuple[ColumnCode, ...]
    named: bool = True
    input_names: tuple[str, ...] = field(init=False, compare=False)
    column_of_input: Indices = field(init=False, compare=False)
    is_identity: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise InputError(f"an encoder needs columns of different names, got more than one {listed(twice)}")
        names: dict[str, int] = {}
        for code in self.columns:
            for name in code.input_names:
                free = name
                while free in names:  # requests for a name are counted, which saves time if many names are the same
                    names[name] += 1
                    free = f"{name} ({names[name]})"
                names[free] = 1
        if not names:
            raise InputError("no column gives inputs: all hold nothing, one level only, or text that is never the same")
        counts = [code.n_inputs for code in self.columns]
        object.__setattr__(self, "input_names", tuple(names))
        object.__setattr__(self, "column_of_input", np.repeat(np.arange(len(counts)), counts))
        plain = all(
            code.used and code.kind in ("numeric", "boolean") and not code.thresholds and not code.missing_bit
            for code in self.columns
        )
        object.__setattr__(self, "is_identity", plain)

    @classmethod
    def identity(cls, names: Sequence[str] | None, n: int, fill: Sequence[float] | Floats | None) -> Encoder:
        """Return the encoder of n numeric columns that are inputs as they are.

        Parameters
        ----------
        names : sequence of str or None
            Their names; if some of them are equal, as is possible for arrays, they are treated as no names.
        n : int
            Number of columns.
        fill : sequence of float or None
            Replacements of missing values, if they are known.

        Returns
        -------
        Encoder
        """
        named = names is not None and len(set(names)) == n
        each = names if named and names is not None else [f"x{j}" for j in range(n)]
        values = [None] * n if fill is None else [float(value) for value in fill]
        return cls(tuple(ColumnCode(name, "numeric", v) for name, v in zip(each, values, strict=True)), named)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(code.name for code in self.columns)

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return len(self.input_names)

    def matched(self, raw: RawTable) -> RawTable:
        """Return the columns of a table that are encoded: found by name, in order, read as the kinds in the training.

        Raises
        ------
        InputError
            If a column is missing, or holds what cannot be read as its kind.
        """
        chosen = raw if raw.names == self.names else raw.select("inputs", self.names)
        return RawTable(tuple(as_kind(c, code.kind) for c, code in zip(chosen.columns, self.columns, strict=True)))

    def transform(self, raw: RawTable) -> Floats:
        """Return the inputs of a table.

        Parameters
        ----------
        raw : RawTable
            Its columns are found by name; others are left out.

        Returns
        -------
        ndarray of shape (m, n_inputs)

        Raises
        ------
        InputError
            If a column is missing, holds what cannot be read as its kind, or lacks a value that has no replacement.
        """
        table = self.matched(raw)
        self.check_gaps(table)
        out = np.empty((len(table), self.n_inputs))
        jobs = [
            (code, column, code.group_of(column.levels), slice(place.start, place.stop))
            for code, column, place in zip(self.columns, table.columns, self.input_slices(), strict=True)
            if code.n_inputs
        ]
        for rows in row_blocks(len(table), self.n_inputs):
            for code, column, group, place in jobs:
                code.write(replace(column, values=column.values[rows]), group, out[rows, place])
        return out

    def input_slices(self) -> Iterator[slice]:
        """Yield where the inputs of each column are."""
        start = 0
        for code in self.columns:
            yield slice(start, start + code.n_inputs)
            start += code.n_inputs

    def check_gaps(self, table: RawTable) -> None:
        """Raise InputError if a value of a matched table is missing that has no replacement."""
        unknown = [j for j, code in enumerate(self.columns) if code.used and code.fill is None]
        gaps = {j: int(table.columns[j].missing.sum()) for j in unknown}
        if bad := [self.columns[j].name for j, count in gaps.items() if count]:
            raise InputError(
                f"{sum(gaps.values())} values are missing in {listed(bad)}, and the model keeps nothing to replace "
                f"them with: fill them in or leave these rows out"
            )

    def unseen(self, raw: RawTable) -> dict[str, int]:
        """Return, for each column with levels that the training did not have, the number of rows with such levels.

        Parameters
        ----------
        raw : RawTable
            Its columns are found by name.

        Returns
        -------
        dict of str to int
            Only columns with such rows.

        Raises
        ------
        InputError
            If a column is missing, or holds what cannot be read as its kind.
        """
        found = {}
        for code, column in zip(self.columns, self.matched(raw).columns, strict=True):
            if code.kind == "categorical" and code.used:
                known = set(code.levels) | set(code.rare)
                new = np.array([level not in known for level in column.levels], dtype=bool)
                if new.any() and (count := int(counts_of(column)[new].sum())):
                    found[code.name] = count
        return found

    def for_columns(self, names: Sequence[str]) -> Encoder:
        """Return the same encoder for columns in another order.

        Raises
        ------
        InputError
            If the names are not those of this encoder.
        """
        if tuple(names) == self.names:
            return self
        return replace(self, columns=tuple(self.columns[j] for j in permutation("the network", self.names, names)))

    def renamed(self, names: Sequence[str], named: bool) -> Encoder:
        """Return the same encoder for columns of other names, in the same order.

        Raises
        ------
        InputError
            If there are more or fewer names than columns.
        """
        if tuple(names) == self.names and named == self.named:
            return self
        if len(names) != len(self.columns):
            raise InputError(
                f"the model to start from takes {len(self.columns)} columns, but the data have {len(names)}"
            )
        pairs = zip(self.columns, names, strict=True)
        return Encoder(tuple(replace(code, name=name) for code, name in pairs), named)

    def with_fill_of(self, other: Encoder) -> Encoder:
        """Return the same encoder with the replacements of another one where it has none itself."""
        pairs = zip(self.columns, other.columns, strict=True)
        return replace(
            self,
            columns=tuple(
                replace(code, fill=more.fill) if code.fill is None and code.kind == more.kind else code
                for code, more in pairs
            ),
        )

    @property
    def network_names(self) -> tuple[str, ...] | None:
        """Names that a network gives its inputs: none if they are the columns of an array as they are."""
        return self.input_names if self.named or not self.is_identity else None

    def per_input(self, what: str, values: Array, others: float) -> Array:
        """Return numbers of columns as numbers of inputs: those of numeric columns, and `others` for bits and dates.

        Raises
        ------
        InputError
            If there is not one number for each column.
        """
        if values.shape != (len(self.columns),):
            raise InputError(
                f"{what} must be a number or one per column, of shape ({len(self.columns)},), got shape {values.shape}"
            )
        spread = values[self.column_of_input]
        spread[~self.numeric_inputs()] = others
        return spread

    def numeric_inputs(self) -> Array:
        """Return which inputs are values of numeric columns, bool of shape (n_inputs,)."""
        which = np.zeros(self.n_inputs, dtype=bool)
        for code, place in zip(self.columns, self.input_slices(), strict=True):
            if code.kind == "numeric" and not code.thresholds and code.used:
                which[place.start] = True
        return which

    def description(self) -> list[tuple[str, str, str]]:
        """Return for each column its name, its kind, and its inputs in words."""
        return [(code.name, code.kind, in_words(code)) for code in self.columns]

    def to_json(self) -> dict[str, Any]:
        """Return the encoder as plain values; defaults are left out."""
        return {"named": self.named, "columns": [column_json(code) for code in self.columns]}

    @staticmethod
    def from_json(data: object) -> Encoder:
        """Return the encoder of plain values that may be hostile.

        Raises
        ------
        InputError
            If they are not as `to_json` writes them.
        """
        if not isinstance(data, dict) or not isinstance(data.get("named"), bool):
            raise InputError("an encoder must be an object with 'named' and 'columns'")
        columns = data.get("columns")
        if not isinstance(columns, list):
            raise InputError("the columns of an encoder must be a list")
        return Encoder(tuple(column_from_json(item) for item in columns), data["named"])
