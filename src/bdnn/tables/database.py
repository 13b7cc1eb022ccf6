"""Files as tables in DuckDB queries. DuckDB writes no files, loads no extensions and uses one thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bdnn.labels import is_number

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


_LONGEST_LINE = 2_000_000  # bytes, the reader's own limit, with which its buffers grow; longer lines are copied first
_ROWS_AT_ONCE = 2**14  # of lines that are handed on
_UNPACKED_BYTES = 5 * 10**7  # of columns of a group of rows of a Parquet file that are read beside each other
_WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMBERS = (*_WHOLE_NUMBERS, "UHUGEINT", "FLOAT", "DOUBLE")
_DATES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")
_TEXTS = ("VARCHAR", "UUID", "TIME", "TIME_NS", "TIME WITH TIME ZONE", "JSON", "BIT")
READABLE = ("", "numeric", "boolean", "categorical", "date")
"""What columns hold that can be read; see `Column`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Attributes
    ----------
    sql : str
        The column in a query.
    kind : str
        The kind that a Parquet file states: numeric, boolean, categorical, date, or the type itself if it is none of
        these. Empty for a CSV file.
    """

    sql: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Markers:
    """What stands for a missing value, in lower case.

    Attributes
    ----------
    everywhere : tuple of str
        In each column.
    numbers : tuple of str
        In columns of numbers as well.
    values : tuple of float
        Numbers that stand for a missing value.
    given : tuple of str or None
        Words that the user gave, as written; None for the usual ones.
    """

    everywhere: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    given: tuple[str, ...] | None = None

    def means_missing(self, cell: str) -> bool:
        """Return whether a cell stands for a missing value in a column that does not hold numbers."""
        text = cell.strip().lower()
        return text in self.everywhere or (bool(self.values) and is_number(text) and float(text) in self.values)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the cells of a column look like, as counts.

    Attributes
    ----------
    rows : int
        All cells.
    numbers : int
        Cells that are numbers.
    commas : int
        Cells that are numbers only with a decimal comma.
    gaps : int
        Cells that are not numbers and stand for a missing value in a column of numbers.
    padded : int
        Whole numbers with a leading zero.
    odd : bool
        Whether a number may be infinite or in a notation that is not accepted.
    """

    rows: int
    numbers: int
    commas: int
    gaps: int
    padded: int
    odd: bool


@dataclass(frozen=True, slots=True)
class TextProfile:
    """What the cells that are not missing look like in a column of text.

    Attributes
    ----------
    known, different : int
        How many there are, and how many different ones.
    truths : int
        How many are ``true`` and ``false`` in any case.
    numbers, different_numbers : int
        How many are plain numbers, and how many different ones.
    low, high : str
        The first and the last one in alphabetical order.
    """

    known: int
    different: int
    truths: int
    numbers: int
    different_numbers: int
    low: str
    high: str


def literal(text: str) -> str:
    """Return text as a literal of a query."""
    return "'" + text.replace("'", "''") + "'"


def connection(threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return a database in memory that writes nothing and loads nothing; its time zone is UTC everywhere."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_file_cache": False,
    }
    database = duckdb.connect(":memory:", config=settings)
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET enable_progress_bar = false")  # it would be printed among the output of commands
    return database


def failures() -> tuple[type[Exception], ...]:
    """Return the error for a file that is not as it was declared to be."""
    import duckdb

    return (duckdb.Error,)


def _place(path: Path) -> str:
    """Return the literal of a path, in which no character is a wildcard."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path.absolute())))


def csv_table(path: Path, packed: str, delimiter: str, skip: int, width: int, longest: int = 0) -> str:
    """Return a CSV file as the table of a query, with columns c0, c1, … of text, if no row has more characters."""
    most = max(_LONGEST_LINE, 4 * longest)  # a character has at most four bytes
    names = ", ".join(f"'c{j}': 'VARCHAR'" for j in range(width))
    return (
        f"read_csv({_place(path)}, auto_detect=false, header=false, skip={skip}, delim={literal(delimiter)}, "
        f"quote='\"', escape='\"', compression={literal(packed)}, max_line_size={most}, "
        f"columns={{{names}}})"
    )


def parquet_table(*paths: Path) -> str:
    """Return a Parquet file, or several with the same columns, as the table of a query."""
    if len(paths) == 1:
        return f"read_parquet({_place(paths[0])})"
    return f"read_parquet([{', '.join(map(_place, paths))}], union_by_name = true)"


def parquet_columns(path: Path) -> dict[str, Column]:
    """Return the columns of a Parquet file by name."""
    found = {}
    for name, kind, *_ in connection().execute(f"DESCRIBE SELECT * FROM {parquet_table(path)}").fetchall():
        means, sql = kind, '"' + name.replace('"', '""') + '"'
        if kind in _NUMBERS or kind.startswith("DECIMAL"):
            means = "numeric"
        elif kind in _DATES:
            means = "date"
        elif kind == "BOOLEAN":
            means = "boolean"
        elif kind in _TEXTS or kind.startswith("ENUM"):
            means = "categorical"
            sql = sql if kind == "VARCHAR" else f"CAST({sql} AS VARCHAR)"
        found[name] = Column(sql, means)
    return found


def parquet_columns_at_once(path: Path) -> int:
    """Return how many columns of a Parquet file may be read by one query.

    Of each column that it reads, a query holds what a group of rows has, packed and unpacked.
    """
    query = f"SELECT max(total_compressed_size + total_uncompressed_size) FROM parquet_metadata({_place(path)})"
    answer = connection().execute(query).fetchone()
    most = answer[0] if answer is not None else None
    return max(1, _UNPACKED_BYTES // max(int(most or 0), 1))


def lines(path: Path, packed: str) -> Iterator[str]:
    """Yield the lines of a compressed text file in UTF-8 without their ends."""
    table = (
        f"read_csv({_place(path)}, auto_detect=false, header=false, delim='\x01', quote='', escape='', "
        f"compression={literal(packed)}, max_line_size={_LONGEST_LINE}, columns={{'line': 'VARCHAR'}})"
    )
    answer = connection().execute(f"SELECT line FROM {table}")
    while some := answer.fetchmany(_ROWS_AT_ONCE):
        yield from (line or "" for (line,) in some)
