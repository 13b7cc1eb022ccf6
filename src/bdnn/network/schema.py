"""What the reader of a packed network knows without it: the columns of its table, and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError
from bdnn.labels import label_array
from bdnn.network.column_format import ColumnFormat, Layout, format_from_dict

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array, Floats


class Encoded(Protocol):
    """A model: an encoder, and the labels of its classes."""

    @property
    def encoder_in_use(self) -> Encoder:
        """How columns become inputs."""

    @property
    def classes(self) -> Array:
        """Labels."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What the reader of packed bytes knows without them: columns and labels.

    Parameters
    ----------
    columns : sequence of ColumnFormat
        In the order of the table.
    classes : sequence of bool, int, float or str
        Labels of the classes, in the order of the outputs.
    named : bool
        Whether columns are found by their names, and not by their position.

    Raises
    ------
    InputError
        If names or labels are not different, or labels not of one type.

    Examples
    --------
    >>> schema = Schema([ColumnFormat("age", low=0, bits=7), ColumnFormat("height")], ["no", "yes"])
    >>> Schema.from_dict(schema.to_dict()) == schema
    True
    """

    columns: tuple[ColumnFormat, ...]
    classes: tuple[Any, ...]
    named: bool = True
    layout: Layout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        labels = tuple(label_array("classes", np.asarray(self.classes)).tolist())
        object.__setattr__(self, "classes", labels)
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"classes must be at least two different labels, got {labels!r}"[:200])
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names) or not names:
            raise InputError("a schema needs columns of different names, at least one")
        object.__setattr__(self, "layout", Layout(self.columns))

    @classmethod
    def of(cls, model: Encoded, data: Floats | RawTable | None = None) -> Self:
        """Return the schema of a model.

        Parameters
        ----------
        model : Model, EnsembleModel or another object with `encoder_in_use` and `classes`
            What predicts.
        data : RawTable, ndarray of shape (m, n_columns) or None
            Rows that say which columns hold integers, from where to where, and in which values are missing. Without
            them numeric columns are of real numbers, and all columns for which the model has a replacement may miss
            values.

        Returns
        -------
        Schema

        Raises
        ------
        InputError
            If the data do not fit the model.
        """
        encoder = model.encoder_in_use
        formats = [_format(code) for code in encoder.columns]
        if data is not None:
            formats = [each.of_values(*pair) for each, pair in zip(formats, _values(encoder, data), strict=True)]
        return cls(tuple(formats), tuple(np.asarray(model.classes).tolist()), encoder.named)

    @classmethod
    def plain(cls, names: Sequence[str] | None, n: int, classes: Sequence[Any]) -> Self:
        """Return the schema of n columns of real numbers and of classes; names that are equal are treated as none."""
        named = names is not None and len(set(names)) == n
        each = names if named and names is not None else [f"x{j}" for j in range(n)]
        return cls(tuple(ColumnFormat(name) for name in each), tuple(classes), named)

    @property
    def labels(self) -> Array:
        """The labels as an array."""
        return label_array("classes", np.array(self.classes))

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values that JSON can hold; defaults are left out."""
        return {
            "named": self.named,
            "classes": list(self.classes),
            "columns": [
                {
                    f.name: list(value) if isinstance(value, tuple) else value
                    for f in fields(ColumnFormat)
                    if (value := getattr(column, f.name)) != f.default
                }
                for column in self.columns
            ],
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Return the schema of plain values that may be hostile.

        Parameters
        ----------
        data : object
            As `to_dict` returns them, or anything else.

        Returns
        -------
        Schema

        Raises
        ------
        InputError
            If they are anything else.
        """
        if not isinstance(data, Mapping) or set(data) != {"named", "classes", "columns"}:
            raise InputError("a schema must be an object with 'named', 'classes' and 'columns'")
        named, classes, columns = data["named"], data["classes"], data["columns"]
        if not isinstance(named, bool) or not isinstance(classes, list) or not isinstance(columns, list):
            raise InputError("'named' of a schema must be true or false, 'classes' and 'columns' lists")
        if len({type(label) for label in classes}) != 1 or not isinstance(classes[0], bool | int | float | str):
            raise InputError("the classes of a schema must be labels of one type: truth values, numbers or text")
        return cls(tuple(format_from_dict(item) for item in columns), tuple(classes), named)


def _format(code: ColumnCode) -> ColumnFormat:
    return ColumnFormat(
        code.name, code.kind, levels=code.levels, rare=code.rare, missing=code.fill is not None or code.missing_bit
    )


def _values(encoder: Encoder, data: Floats | RawTable) -> list[tuple[Floats, bool]]:
    """Return the values of each column, and whether some are missing."""
    if isinstance(data, np.ndarray):
        if data.ndim != 2 or data.shape[1] != len(encoder.columns):
            raise InputError(f"data must have shape (m, {len(encoder.columns)}), got {data.shape}")
        columns = [np.asarray(column, dtype=np.float64) for column in data.T]
        gaps = [np.isnan(column) for column in columns]
        return [(column[~gap], bool(gap.any())) for column, gap in zip(columns, gaps, strict=True)]
    table = encoder.matched(data)
    return [(column.values[~column.missing], bool(column.missing.any())) for column in table.columns]
