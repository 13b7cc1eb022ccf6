"""The rows of a Parquet data set in parts, so that memory does not depend on how many there are.

Rows are numbered through all files, in the order of their names. Columns are read as `bdnn.tables.reading` reads those
of a single file: kinds are found on a sample, and hold for all rows.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn import labels as label_rules
from bdnn.columns import listed, quoted
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError, OutputError, UnknownLabelError
from bdnn.tables import database
from bdnn.tables.cells import Known, level_names
from bdnn.tables.dataset import DataSet
from bdnn.tables.kinds import Reader
from bdnn.tables.options import Reading
from bdnn.tables.reading import read_table
from bdnn.tables.scan import Scan, parts_of
from bdnn.tables.table import Table
from bdnn.tables.target import labels_of

if TYPE_CHECKING:
    from bdnn.types import Array, Bools, Floats, Indices

PART_ROWS = 2**18
"""Rows of a part, at most: some tens of megabytes for twenty columns."""

_PART_CELLS = 2**23  # of a part, where nothing else is asked for

_PLAIN_NAME = str.maketrans("*?[]", "----")  # no wildcards in the name of a file
_SIMPLE = ("numeric", "boolean", "date")  # kinds that a column of the file has by its type


class Part(NamedTuple):
    """Some rows in a row.

    Attributes
    ----------
    first : int
        Number of the first one, through all files.
    table : RawTable
        Columns of the inputs.
    codes : ndarray of shape (m,) or None
        Index of the class of each row, -1 where it has no label; None if no target was given.
    weight : ndarray of shape (m,) or None
        Weights of the rows.
    carried : dict of str to list of str
        Further columns as text.
    """

    first: int
    table: RawTable
    codes: Indices | None
    weight: Floats | None
    carried: dict[str, list[str]]


@dataclass(slots=True)
class LabeledRows:
    """The rows of a data set, with labels and weights of rows.

    Attributes
    ----------
    data : DataSet
        The files.
    target, weight : str or None
        Columns of labels and weights.
    missing_labels : {"error", "drop"}
        What to do with rows without a label.
    classes : ndarray or None
        Labels, once they are known.
    carry : tuple of str
        Columns to hand on as text.
    code_of : dict of str to int
        Index of the class of each label as it is written, -1 for none; once the classes are known.
    columns_at_once : int
        Columns that a query may read, 0 until it is known.
    """

    data: DataSet
    target: str | None
    weight: str | None = None
    missing_labels: str = "error"
    classes: Array | None = None
    carry: tuple[str, ...] = ()
    code_of: dict[str, int] = field(default_factory=dict)
    columns_at_once: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.data.columns
        if absent := [name for name in (self.target, self.weight) if name is not None and name not in names]:
            raise InputError(f"{self.data.name} has no {listed(absent)}; its columns are {quoted(list(names))}")

    @property
    def _reading(self) -> Reading:
        return Reading(na=self.data.na, kinds=self.data.kinds)

    @property
    def n_rows(self) -> int:
        """Rows of all files."""
        return self.data.n_rows

    @property
    def _columns_at_once(self) -> int:
        """Columns that a query may read."""
        if not self.columns_at_once:
            self.columns_at_once = min(database.parquet_columns_at_once(Path(file)) for file in self.data.files)
        return self.columns_at_once

    def kinds(self) -> list[str]:
        """Return what the columns of the inputs hold, by the types in the files."""
        return [self.data.columns[name].kind for name in self.data.names if name not in (self.target, self.weight)]

    def label_size(self) -> tuple[int, int]:
        """Return how many labels there are, about, and how many bytes the longest takes as text."""
        assert self.target is not None
        text = f"CAST({self.data.columns[self.target].sql} AS VARCHAR)"
        files = database.parquet_table(*map(Path, self.data.files))
        asked = f"SELECT approx_count_distinct({text}), max(length({text})) FROM {files}"
        row = database.connection().execute(asked).fetchone()
        assert row is not None
        return int(row[0]), int(row[1] or 0) * np.dtype("U1").itemsize

    def table(self, tidy: bool = True) -> Table:
        """Return all rows, in memory."""
        return self._read(self.data, self._reading, tidy)

    def find_classes(self, classes: Array | None = None) -> dict[int, int]:
        """Find the labels of all rows; return how many rows each class has, by its index.

        Parameters
        ----------
        classes : ndarray or None
            Those of a model, as which labels are read.

        Raises
        ------
        InputError
            If a row has no label, and these are not to be left out.
        UnknownLabelError
            If a label is none of the classes.
        """
        assert self.target is not None
        counts: Counter[str] = Counter()
        sql = self.data.columns[self.target].sql
        db = database.connection()
        for file in self.data.files:
            table = database.parquet_table(Path(file))
            query = f"SELECT coalesce(CAST({sql} AS VARCHAR), ''), count(*) FROM {table} GROUP BY 1"
            counts.update({str(text): int(count) for text, count in db.execute(query).fetchall()})
        texts = sorted(counts)
        known = np.full(len(texts), -1) if classes is None else label_rules.text_codes(texts, classes)
        words = None if self.data.na is None else self._reading.markers.everywhere
        bare = [text.strip() for text in texts]
        gap = [label_rules.is_missing(b) if words is None else b.lower() in words for b in bare]
        gaps = np.array(gap, dtype=bool) & (known < 0)
        if gaps.any() and self.missing_labels == "error":
            absent = sum(counts[text] for text, gone in zip(texts, gaps, strict=True) if gone)
            raise InputError(
                f"the target column {self.target!r} of {self.data.name} has no label in {absent} of {self.n_rows} "
                f"rows; label or remove them, or leave them out with --missing-labels drop"
            )
        used = np.flatnonzero(~gaps)
        if classes is None:
            each = labels_of([bare[i] for i in used.tolist()]) if len(used) else np.zeros(0)
            self.classes, codes = np.unique(each, return_inverse=True)
        else:
            self.classes, codes = classes, known[used]
            if odd := [texts[i] for i in used[codes < 0].tolist()]:
                raise UnknownLabelError(
                    f"labels in the target column {self.target!r} of {self.data.name} are not classes of the model "
                    f"({label_rules.listed(classes.tolist())}): {label_rules.listed(odd)}"
                )
        self.code_of = dict.fromkeys(texts, -1)
        of_class: Counter[int] = Counter()
        for i, code in zip(used.tolist(), codes.tolist(), strict=True):
            self.code_of[texts[i]] = code
            of_class[code] += counts[texts[i]]
        return dict(of_class)

    def sample(
        self,
        drawn: Callable[[int, int], Bools],
        excluded: Callable[[int, int], Bools],
        rare: Sequence[int] = (),
        tidy: bool = True,
    ) -> Table:
        """Return the rows that are drawn, read as the table of a single file.

        Parameters
        ----------
        drawn, excluded : callable
            Return which of some rows in a row are drawn, and which must not be taken, given the first and how many.
        rare : sequence of int
            Classes whose rows are all taken.
        tidy : bool
            Whether columns that cannot help are left out, except those that are the same in the sample only.
        """
        with tempfile.TemporaryDirectory(prefix="bdnn-sample-") as folder:
            place = Path(folder) / f"sample of {Path(self.data.name).name.translate(_PLAIN_NAME)}"
            self._write_sample(place, drawn, excluded, rare)
            reading = self._reading
            table = self._read(place, reading, tidy)
            left_out = [n for n in self.data.names if n not in (*table.names, self.target, self.weight)] if tidy else []
            kept = self._constant([str(place)], left_out) - self._constant(self.data.files, left_out)
            if kept:
                kinds = dict(reading.kinds) | {name: self._kind_to_keep(name) for name in sorted(kept)}
                table = self._read(place, Reading(na=reading.na, kinds=kinds), tidy)
        return table

    def _kind_to_keep(self, name: str) -> str:
        kind = self.data.columns[name].kind
        return kind if kind in _SIMPLE else "categorical"

    def _read(self, place: Path | DataSet, reading: Reading, tidy: bool) -> Table:
        return read_table(
            place, self.target, drop=self.data.drop, classes=self.classes, missing_labels=self.missing_labels,
            reading=reading, weight=self.weight, tidy=tidy,
        )  # fmt: skip

    def _write_sample(
        self,
        place: Path,
        drawn: Callable[[int, int], Bools],
        excluded: Callable[[int, int], Bools],
        rare: Sequence[int],
    ) -> None:
        db, first = database.connection(), 0
        groups = list(parts_of(list(self.data.columns), self._columns_at_once))
        texts = [text for text, code in self.code_of.items() if code in rare]
        for number, (file, count) in enumerate(zip(self.data.files, self.data.counts, strict=True)):
            numbered, chosen = _numbered(file), np.zeros(count, dtype=bool)
            if texts and self.target is not None:
                sql = self.data.columns[self.target].sql
                query = f"SELECT file_row_number FROM {numbered} WHERE list_contains($1, CAST({sql} AS VARCHAR))"
                chosen[db.execute(query, [texts]).fetchnumpy()["file_row_number"]] = True
            for at in range(0, count, PART_ROWS):
                piece, m = slice(at, at + PART_ROWS), min(PART_ROWS, count - at)
                chosen[piece] = (chosen[piece] | drawn(first + at, m)) & ~excluded(first + at, m)
            db.register("picked", {"row": np.flatnonzero(chosen)})
            for place_of, group in enumerate(groups):
                columns = ", ".join(_quoted(name) for name in group)
                rows = (
                    f"SELECT {columns} FROM {numbered} WHERE file_row_number IN (SELECT row FROM picked) "
                    f"ORDER BY file_row_number"
                )
                table = f"sample{place_of}"
                db.execute(f"CREATE TEMP TABLE {table} AS {rows}" if number == 0 else
                           f"INSERT INTO {table} BY NAME {rows}")  # fmt: skip
            db.unregister("picked")
            first += count
        try:
            whole = " POSITIONAL JOIN ".join(f"sample{number}" for number in range(len(groups)))
            db.execute(f"COPY (SELECT * FROM {whole}) TO {database.literal(str(place))} (FORMAT parquet)")
        except database.failures() as error:
            reason = str(error).splitlines()[0][:200]
            raise OutputError(f"cannot write a temporary sample of {self.data.name} ({reason}); set TMPDIR") from None

    def _constant(self, files: Sequence[str], names: Sequence[str]) -> set[str]:
        """Return the columns that are the same, or missing, in all rows of some files."""
        if not names:
            return set()
        values, known, n_rows = [set[object]() for _ in names], [0] * len(names), 0
        count_rows = 0
        for file in files:
            table = database.parquet_table(Path(file))
            for group in parts_of(range(len(names)), self._columns_at_once):
                asked = [
                    f"{what}({self.data.columns[names[k]].sql})" for k in group for what in ("min", "max", "count")
                ]
                row = database.connection().execute(f"SELECT count(*), {', '.join(asked)} FROM {table}").fetchone()
                assert row is not None
                count_rows = int(row[0])
                for place, k in enumerate(group):
                    low, high, count = row[3 * place + 1 : 3 * place + 4]
                    values[k] |= {value for value in (low, high) if value is not None}
                    known[k] += int(count)
            n_rows += count_rows
        return {name for k, name in enumerate(names) if len(values[k]) < 2 and known[k] in (0, n_rows)}

    def levels(self, known: Mapping[str, Known]) -> dict[str, tuple[str, ...]]:
        """Return the levels of columns of text in all rows, written as an encoder knows them."""
        found = {}
        for name, what in known.items():
            column = self.data.columns[name]
            if what.kind != "categorical" or column.kind != "categorical":
                continue
            texts: set[str] = set()
            for file in self.data.files:
                query = f"SELECT DISTINCT {column.sql} FROM {database.parquet_table(Path(file))}"
                texts |= {text for (text,) in database.connection().execute(query).fetchall() if text is not None}
            markers = self._reading.markers
            bare = sorted({text.strip() for text in texts if not markers.means_missing(text)})
            found[name] = tuple(sorted(set(level_names(bare, what).values())))
        return found

    def parts(self, known: Mapping[str, Known], most: int | None = None) -> Iterator[Part]:
        """Yield all rows, of columns that an encoder knows.

        Parameters
        ----------
        known : mapping of str to Known
            What is known of each column that is to be read.
        most : int or None
            Rows of a part, at most; None for `PART_ROWS`, or less of many columns.

        Raises
        ------
        InputError
            If a column holds what it should not, or a weight is none.
        """
        names = list(self.data.columns)
        if absent := [name for name in known if name not in names]:
            raise InputError(f"{self.data.name} has no {listed(absent)}; its columns are {quoted(names)}")
        index = {name: j for j, name in enumerate(names)}
        scan = Scan("", tuple(self.data.columns.values()), self._reading.markers, at_once=self._columns_at_once)
        most = most or min(PART_ROWS, max(_PART_CELLS // len(names), 1))
        first = 0
        for file, count in zip(self.data.files, self.data.counts, strict=True):
            for at in range(0, count, most):
                m = min(most, count - at)
                within = f"file_row_number >= {at} AND file_row_number < {at + m}"
                scan.table = f"(SELECT * EXCLUDE (file_row_number) FROM {_numbered(file)} WHERE {within})"
                try:
                    yield self._part(scan, index, known, file, first + at, at, m)
                except database.failures() as error:
                    reason = str(error).splitlines()[0][:200]
                    raise InputError(f"{file} cannot be read ({reason})") from None
            first += count

    def prepared(self, *_: object) -> None:
        """Return nothing: files are encoded by whoever reads them, not where they are."""

    def _part(
        self, scan: Scan, index: Mapping[str, int], known: Mapping[str, Known], file: str, first: int, at: int, m: int
    ) -> Part:
        """Return the rows of the table that a scan looks at, which begin at a row of a file."""
        simple = [
            n for n, k in known.items() if self.data.columns[n].kind in _SIMPLE and self.data.columns[n].kind == k.kind
        ]
        numbers = [n for n in simple if known[n].kind != "date"]
        columns = {
            n: RawColumn(n, known[n].kind, self._finite(n, values, file, at))
            for n, values in zip(numbers, scan.numbers([index[n] for n in numbers], m), strict=True)
        }
        for n in simple:
            if known[n].kind == "date":
                columns[n] = RawColumn(n, "date", scan.dates(index[n], "", m))
        if others := [n for n in known if n not in columns]:
            reader = Reader(
                file, scan, index, m, {}, known, lambda rows: [f"row {at + row} (from 0)" for row in rows],
                free_decimal=False,
            )  # fmt: skip
            columns |= {column.name: column for column in reader.read(others).columns}
        codes = None if self.target is None else self._codes(scan, index[self.target], m)
        weight = None if self.weight is None else self._weights(scan, index[self.weight], file, at, m)
        carried = {name: scan.texts(index[name]) for name in self.carry}
        return Part(first, RawTable(tuple(columns[n] for n in known)), codes, weight, carried)

    def _codes(self, scan: Scan, j: int, m: int) -> Indices:
        texts = list(self.code_of)
        codes = np.array([self.code_of[text] for text in texts], dtype=np.intp)
        return codes[scan.codes({j: texts}, m)[j]]

    @staticmethod
    def _finite(name: str, values: Floats, file: str, at: int) -> Floats:
        if np.isinf(values).any():
            row = at + int(np.argmax(np.isinf(values)))
            raise InputError(
                f"column {name!r} of {file} holds an infinite number in row {row} (from 0); accepted are finite "
                f"numbers, and missing values"
            )
        return values

    def _weights(self, scan: Scan, j: int, file: str, at: int, m: int) -> Floats:
        (weights,) = scan.numbers([j], m)
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(bad):
            raise InputError(
                f"weights must be numbers and not negative, but column {self.weight!r} of {file} holds "
                f"{weights[bad[0]]} in row {at + int(bad[0])} (from 0)"
            )
        return weights


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _numbered(file: str) -> str:
    """Return a file as the table of a query whose rows are numbered."""
    place = database.parquet_table(Path(file))
    return f"{place[:-1]}, file_row_number = true)"
