"""What is said of columns that cannot be read as they are: what was found, and what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bdnn.errors import InputError
from bdnn.tables.database import READABLE, Column

_TYPES = {"STRUCT": "structures", "MAP": "maps", "UNION": "unions", "BLOB": "bytes", "INTERVAL": "durations"}


def refuse_types(what: str, columns: Sequence[tuple[str, Column]], advice: str = "leave it out with --drop") -> None:
    """Raise an error if a column of a Parquet file is of a type that is neither a number, text nor a date.

    Parameters
    ----------
    what : str
        Name of the file.
    columns : sequence of (str, Column)
        Columns that are to be read, by name.
    advice : str
        What to do, before the name of the column.
    """
    for name, column in columns:
        if column.kind not in READABLE:
            head = column.kind.partition("(")[0]
            holds = "lists" if column.kind.endswith("]") else _TYPES.get(head, f"values of the type {column.kind[:40]}")
            raise InputError(
                f"column {name!r} of {what} holds {holds}, which are neither numbers, text nor dates; {advice} "
                f"{shlex.quote(name)}"
            )
