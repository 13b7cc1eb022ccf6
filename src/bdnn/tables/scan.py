"""Queries of a table in a file: DuckDB reads every cell as text and turns it into numbers, dates and codes of levels.

Only the cells of small files are kept in a database. Of others each query scans the file again and reads only the
columns that it is about, so memory does not depend on the length of cells or on columns that are not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bdnn.tables.database import Column, Markers, Profile, TextProfile, connection, literal
from bdnn.tables.notation import Notation, one_group

if TYPE_CHECKING:
    from bdnn.types import Array, Floats

_Item = TypeVar("_Item")
_BLANKS = " \t\r\n\v\f\u00a0\ufeff"
_MANY_TEXTS = 2**15  # different cells of a column that are fetched to be looked at here; more are counted by the reader
_MANY_BYTES = 2**25  # of these texts, which are there several times for a moment
_COLUMNS_AT_ONCE = 250  # of one query, whose text and state grow with them
_TEXTS_AT_ONCE = 16  # of a Parquet file, whose columns are read one by one: what counts texts takes megabytes each
_VALUES_AT_ONCE = 2**21  # cells of one answer: 16 MB, which is there twice for a moment; a quarter of larger tables
_FIRST_ROWS = 1000  # that are looked at before all
_ROWS_NAMED = 64  # places that are looked up for a message


class Scan:
    """Queries of a table in a file; each of them reads it once.

    Parameters
    ----------
    table : str
        The table in a query.
    columns : sequence of Column
        Its columns.
    markers : Markers
        What stands for missing values.
    decimal : str
        Decimal sign, a point or a comma.
    threads : int
        Number of threads that may be used.
    at_once : int
        Columns that a query reads at most: those of a Parquet file are unpacked beside each other.
    """

    def __init__(
        self, table: str, columns: Sequence[Column], markers: Markers, decimal: str = ".", threads: int = 1,
        at_once: int = _COLUMNS_AT_ONCE,
    ) -> None:  # fmt: skip
        self.table, self.columns, self.markers, self.decimal = table, tuple(columns), markers, decimal
        self.at_once = min(at_once, _COLUMNS_AT_ONCE)
        self.written: dict[int, Notation] = {}  # columns whose numbers are written in another way
        self._db = connection(threads)
        self._where = ""

    @property
    def _texts_at_once(self) -> int:
        """Columns whose different cells one query counts: a file of text is read anew by each query."""
        return self.at_once if any(not column.kind for column in self.columns) else min(self.at_once, _TEXTS_AT_ONCE)

    def keep(self) -> None:
        """Keep all cells in memory, so that later queries need not read the file."""
        self._db.execute(f"CREATE TEMP TABLE cells AS SELECT * FROM {self.table}")
        self.table = "cells"

    def leave_out_blank_tail(self, used: Sequence[int]) -> tuple[int, int]:
        """Leave out the last rows without any text from now on; return how many rows there are, and were.

        In a table with one column, all blank rows are left out: blank lines are not rows.
        """
        if len(self.columns) == 1:
            self._where = f" WHERE {self._trimmed(self._raw(0))} <> ''"
        last, count = 0, 0
        # only where the columns that are used are blank must the others be looked at
        for columns in (used, range(len(self.columns))):
            known = f"coalesce({', '.join(self._raw(j) for j in columns)}) IS NOT NULL"
            numbered = f"SELECT row_number() OVER () AS row, {known} AS known FROM {self.table}{self._where}"
            last, count = self._row(f"SELECT coalesce(max(row) FILTER (known), 0), count(*) FROM ({numbered})")
            if last == count:
                return int(count), int(count)
        self._where += f" LIMIT {last}"
        return int(last), int(count)

    def profiles(self, columns: Sequence[int]) -> list[Profile]:
        """Return what columns look like."""
        found: list[Profile] = []
        words = ", ".join(map(literal, (*self.markers.everywhere, *self.markers.numbers)))
        text = "CASE WHEN v IS NULL THEN c END"
        figures = (
            f"count(*), count(v), count(TRY_CAST(replace({text}, ',', '.') AS DOUBLE)), "
            f"count_if(c IS NULL OR coalesce(lower({self._trimmed(text)}) IN ({words}), FALSE)), "
            "count_if(c >= '00' AND c < '0:' AND NOT contains(c, '.') AND NOT contains(c, ',')), "
            # NaN is larger than infinity here
            "coalesce(NOT isfinite(min(v)) OR NOT isfinite(max(v)) OR max(contains(c, '_')), FALSE)"
        )
        for part in parts_of(columns, self.at_once):
            for *counts, odd in self._of_each(figures, part, {"c": self._raw, "v": self._number}):
                rows, known, commas, gaps, padded = (int(count or 0) for count in counts)
                found.append(Profile(rows, known, commas, gaps, padded, bool(odd)))
        return found

    def different(self, columns: Sequence[int]) -> list[dict[str, int] | None]:
        """Return the different cells of columns, as they are written, and how often they occur; None if there are many.

        Absent cells are counted as empty ones.
        """
        found: list[dict[str, int] | None] = []
        for part in parts_of(columns, self._texts_at_once):
            sizes = self._of_each("approx_count_distinct(c), max(strlen(c))", part, {"c": self._raw})
            few = [
                j
                for j, (n, most) in zip(part, sizes, strict=True)
                if n <= _MANY_TEXTS and n * (most or 0) <= _MANY_BYTES
            ]
            histograms = self._of_each("histogram(coalesce(c, ''))", few, {"c": self._raw}) if few else []
            counts = {j: histogram for j, (histogram,) in zip(few, histograms, strict=True)}
            found += [{str(t): int(n) for t, n in (counts[j] or {}).items()} if j in counts else None for j in part]
        return found

    def text_profiles(self, columns: Sequence[int]) -> list[TextProfile]:
        """Return what columns of many different texts look like; truth values are not counted, being few."""
        found: list[TextProfile] = []
        for part in parts_of(columns, self._texts_at_once):
            inner = ", ".join(f"{self._text(j)} AS t{j}, {self._number(j)} AS v{j}" for j in part)
            asked = []
            for j in part:
                asked += [
                    f"count(t{j})",
                    f"count(DISTINCT hash(t{j})) FILTER (t{j} IS NOT NULL)",
                    f"count(v{j}) FILTER (t{j} IS NOT NULL)",
                    f"count(DISTINCT v{j}) FILTER (t{j} IS NOT NULL)",
                    f"min(t{j})",
                    f"max(t{j})",
                ]
            figures = self._row(f"SELECT {', '.join(asked)} FROM (SELECT {inner} FROM {self.table}{self._where})")
            for k in range(len(part)):
                known, different, numbers, different_numbers, low, high = figures[6 * k : 6 * k + 6]
                found.append(TextProfile(known, different, 0, numbers, different_numbers, low or "", high or ""))
        return found

    def count_dates(self, column: int, formats: Sequence[str]) -> list[int]:
        """Return how many cells of a column are dates by each format, or NaT; empty is 2026-01-31 12:00:00."""
        asked = ", ".join(f"count({_date('t', form)}) + count_if(t = 'NaT')" for form in formats)
        inner = f"SELECT {self._text(column)} AS t FROM {self.table}{self._where}"
        return [int(count) for count in self._row(f"SELECT {asked} FROM ({inner})")] if formats else []

    def texts_of(self, column: int) -> list[str]:
        """Return the different cells of a column, however many there are."""
        query = f"SELECT DISTINCT coalesce({self._raw(column)}, '') FROM {self.table}{self._where}"
        return [text for (text,) in self._db.execute(query).fetchall()]

    def numbers(self, columns: Sequence[int], n_rows: int) -> list[Floats]:
        """Return the numbers of columns, NaN where one is missing or the cell is something else."""
        return [
            np.asarray(values, dtype=np.float64)
            for values in self._fetched([self._known_number(j) for j in columns], n_rows, np.nan)
        ]

    def dates(self, column: int, form: str, n_rows: int) -> Array:
        """Return dates and times, in UTC where they have a time zone, as datetime64[us], NaT where there is none."""
        sql = f"CAST({self.columns[column].sql} AS TIMESTAMP)"
        if not self.columns[column].kind:
            sql = f"CAST({_date(self._text(column), form)} AS TIMESTAMP)"
        (values,) = self._fetched([sql], n_rows, np.datetime64("NaT", "us"))
        return np.asarray(values).astype("datetime64[us]")

    def codes(self, texts: Mapping[int, Sequence[str]], n_rows: int) -> dict[int, Array]:
        """Return, for each cell of some columns, its index among the different cells of its column."""
        names = {j: f"cells{j}" for j, cells in texts.items() if cells}
        for j, name in names.items():
            self._db.execute(f"CREATE TEMP TABLE {name}t AS SELECT unnest($1::VARCHAR[]) AS t", [list(texts[j])])
            self._db.execute(f"CREATE TYPE {name} AS ENUM (SELECT t FROM {name}t)")
        asked = [
            f"CAST(enum_code(CAST(coalesce({self._raw(j)}, '') AS {name})) AS INTEGER)" for j, name in names.items()
        ]
        codes = dict(zip(names, self._fetched(asked, n_rows, -1), strict=True))
        for name in names.values():
            self._db.execute(f"DROP TYPE {name}")
            self._db.execute(f"DROP TABLE {name}t")
        return {j: np.asarray(values, dtype=np.int32) for j, values in codes.items()}

    def ambiguous(self, columns: Sequence[int]) -> list[int]:
        """Return the columns in which each number with a decimal sign has three digits behind it, such as 1.234."""
        sign, pattern = literal(self.decimal), literal(one_group(self.decimal))
        for limit in (f" LIMIT {_FIRST_ROWS}", ""):  # the first rows rule out most columns
            found: list[int] = []
            for part in parts_of(columns, self.at_once):
                cells = ", ".join(f"{self._raw(j)} AS c{j}" for j in part)
                asked = ", ".join(
                    f"count_if(contains(c{j}, {sign})), "
                    f"count_if(contains(c{j}, {sign}) AND NOT regexp_full_match({self._trimmed(f'c{j}')}, {pattern}))"
                    for j in part
                )
                source = f"SELECT * FROM (SELECT {cells} FROM {self.table}{self._where}){limit}"
                figures = self._row(f"SELECT {asked} FROM ({source})")
                found += [j for j, n, others in zip(part, figures[::2], figures[1::2], strict=True) if n and not others]
            columns = found
        return list(columns)

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column as they are written, empty where there is none."""
        rows = self._db.execute(f"SELECT {self._raw(column)} FROM {self.table}{self._where}").fetchall()
        return ["" if text is None else text for (text,) in rows]

    def places(self, column: int, what: str, most: int = _ROWS_NAMED) -> list[tuple[int, str]]:
        """Return the first rows, from 0, and the cells of a column for which something is true, for a message.

        Parameters
        ----------
        column : int
            Which one.
        what : str
            A condition on its text ``t`` and its number ``v``, such as ``v IS NULL``; missing values are left out.
        most : int
            Largest number that is returned.
        """
        columns = f"{self._text(column, numbers=True)} AS t, {self._number(column)} AS v, {self._raw(column)} AS c"
        query = f"SELECT row_number() OVER () - 1 AS row, {columns} FROM {self.table}{self._where}"
        known = f"t IS NOT NULL AND ({what})"
        rows = self._db.execute(f"SELECT row, t FROM ({query}) WHERE {known} LIMIT {most}").fetchall()
        return [(int(row), text) for row, text in rows]

    def first_date(self, column: int, form: str) -> list[tuple[int, str]]:
        """Return the first row, from 0, and the cell of a column that is a date of a format, for a message."""
        return self.places(column, f"{_date('t', form)} IS NOT NULL", 1)

    def not_dates(self, column: int, form: str) -> list[tuple[int, str]]:
        """Return the first rows, from 0, and the cells of a column that are not dates of a format, for a message."""
        return self.places(column, f"{_date('t', form)} IS NULL AND t <> 'NaT'")

    def _of_each(
        self, figures: str, columns: Sequence[int], cells: Mapping[str, Callable[[int], str]]
    ) -> list[tuple[Any, ...]]:
        """Return the same figures of each of some columns, of names that stand for some text or number of a cell.

        Cells are put one below the other, so that a query is planned for one column, not for hundreds.
        """
        lists = ", ".join(f"unnest([{', '.join(map(each, columns))}]) AS {name}" for name, each in cells.items())
        source = f"SELECT unnest(range({len(columns)})) AS j, {lists} FROM (SELECT * FROM {self.table}{self._where})"
        return self._db.execute(f"SELECT {figures} FROM ({source}) GROUP BY j ORDER BY j").fetchall()

    def _row(self, query: str) -> tuple[Any, ...]:
        answer = self._db.execute(query).fetchone()
        assert answer is not None
        return tuple(answer)

    def _raw(self, j: int) -> str:
        column = self.columns[j]
        return column.sql if column.kind in ("", "categorical") else f"CAST({column.sql} AS VARCHAR)"

    @staticmethod
    def _trimmed(text: str) -> str:
        return f"trim({text}, {literal(_BLANKS)})"

    def _text(self, j: int, *, numbers: bool = False) -> str:
        """Return the text of a cell without blanks around it, NULL where it is missing."""
        text, value = self._trimmed(self._raw(j)), self._number(j)
        return f"CASE WHEN NOT ({self._is_missing(text, value, numbers=numbers)}) THEN {text} END"

    def _number(self, j: int) -> str:
        column = self.columns[j]
        if column.kind in ("numeric", "boolean"):
            return f"CAST({column.sql} AS DOUBLE)"
        if column.kind == "date":
            return "CAST(NULL AS DOUBLE)"
        text = column.sql
        if way := self.written.get(j):
            text = f"replace(replace({text}, {literal(way.separator)}, ''), ',', '.')"
        elif self.decimal == ",":  # a point is no decimal sign then
            text = f"CASE WHEN NOT contains({text}, '.') THEN replace({text}, ',', '.') END"
        return f"coalesce(TRY_CAST({text} AS DOUBLE), TRY_CAST({self._trimmed(text)} AS DOUBLE))"

    def _known_number(self, j: int) -> str:
        """Return the number of a cell, NULL or NaN where it is missing."""
        value, gaps = self._number(j), []
        if self.markers.values:
            gaps.append(f"{value} IN ({self._values()})")
        # the database reads texts such as 1_000 as numbers
        words = [word for word in self.markers.everywhere if "_" in word]
        if words and not self.columns[j].kind:
            gaps.append(f"lower({self._trimmed(self._raw(j))}) IN ({', '.join(map(literal, words))})")
        return f"CASE WHEN NOT ({' OR '.join(gaps)}) THEN {value} END" if gaps else value

    def _values(self) -> str:
        """Return the numbers that stand for missing values, of which one may be infinite."""
        return ", ".join(f"CAST('{value!r}' AS DOUBLE)" for value in self.markers.values)

    def _is_missing(self, text: str, value: str = "", *, numbers: bool = False) -> str:
        words = (*self.markers.everywhere, *(self.markers.numbers if numbers else ()))
        condition = f"lower({text}) IN ({', '.join(map(literal, words))})"
        if self.markers.values and value:
            condition += f" OR {value} IN ({self._values()})"
        return f"coalesce({condition}, FALSE)"

    def _fetched(self, columns: Sequence[str], n_rows: int, missing: float | np.datetime64) -> list[Array]:
        """Return the values of columns; those read at once take little memory compared with the whole table."""
        at_once = max(1, _VALUES_AT_ONCE // max(n_rows, 1), len(columns) // 4)
        found: list[Array] = []
        for part in parts_of(columns, min(at_once, self.at_once)):
            named = ", ".join(f"{sql} AS r{k}" for k, sql in enumerate(part))
            answer = self._db.execute(f"SELECT {named} FROM {self.table}{self._where}").fetchnumpy()
            for k in range(len(part)):
                values = answer.pop(f"r{k}")
                found.append(values.filled(missing) if isinstance(values, np.ma.MaskedArray) else values)
        return found


def _date(text: str, form: str) -> str:
    if not form:  # it must begin with a year of four digits, or 5-6-7 would be a date
        # with a time zone: a plain timestamp would forget the offset from UTC in 2026-01-31 12:00:00+09:00
        return f"CASE WHEN {text} LIKE '____-%' OR {text} LIKE '____/%' THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
    return f"try_strptime({text}, {literal(form)})"


def parts_of(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield items in parts of so many at most."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
