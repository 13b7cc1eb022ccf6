"""Reading a table: its columns as they are, labels, weights, and what was assumed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn import labels as label_rules
from bdnn.columns import listed, places, quoted
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError, UnknownLabelError
from bdnn.tables import advice, database
from bdnn.tables.cells import Known
from bdnn.tables.file import TableFile, table_file
from bdnn.tables.header import Called, called
from bdnn.tables.kinds import Reader
from bdnn.tables.options import Reading
from bdnn.tables.scan import Scan
from bdnn.tables.table import Table
from bdnn.tables.target import copies, differ_by_case, labels_of, written_twice
from bdnn.tables.useless import without_useless

if TYPE_CHECKING:
    from bdnn.tables.dataset import DataSet
    from bdnn.types import Array, Floats

GUESS = ""
"""The target that stands for a column named target, label, class or y, or else the last one."""

_TARGETS = ("target", "label", "class", "y")
_PLAIN = Reading()


def read_table(
    path: str | os.PathLike[str] | DataSet,
    target: str | None = None,
    features: Sequence[str] | None = None,
    drop: Iterable[str] = (),
    *,
    classes: Array | None = None,
    missing_labels: str = "error",
    reading: Reading = _PLAIN,
    known: Mapping[str, Known] | None = None,
    weight: str | None = None,
    ids: Iterable[str] = (),
    carry: Sequence[str] = (),
    carry_if_any: Sequence[str] = (),
    tidy: bool = False,
    check: Callable[[int, int], None] | None = None,
) -> Table:
    """Read a table from a CSV file of any delimiter, or a Parquet file; packed files are unpacked.

    Parameters
    ----------
    path : path-like or DataSet
        The file; ``-`` is standard input, and a folder or pattern a Parquet data set.
    target : str or None
        Column of the labels; `GUESS` to find it.
    features : sequence of str or None
        Columns to read, in this order; None for all but those that other parameters name. Other columns do not matter.
    drop : iterable of str
        Columns to leave out. Here, in `ids`, in `carry` and among the kinds of `reading`, several names may be one text
        with commas between them, unless there is a column of that name.
    classes : ndarray or None
        Classes of a model, as which labels are read; None to find out what they are.
    missing_labels : {"error", "drop"}
        What to do with rows that have no label.
    reading : Reading
        The settings for reading the file that are given.
    known : mapping of str to Known or None
        What a model says about its columns, which decides how they are read.
    weight : str or None
        Column of the weights of rows.
    ids : iterable of str
        Columns that name rows and are not inputs.
    carry : sequence of str
        Columns to carry along as text, beside the inputs.
    carry_if_any : sequence of str
        Columns to carry along if they are there, before the others.
    tidy : bool
        Whether to leave out columns that cannot help any network: row numbers, constant and repeated columns, and text
        that differs in most rows.
    check : callable or None
        Is given the numbers of rows and columns before these are read; what it raises ends the reading.

    Returns
    -------
    Table
        The table, whose notes say what was assumed.

    Raises
    ------
    UnknownLabelError
        If a label is not one of the classes.
    InputError
        If the file is empty or malformed, a column is missing, duplicated or not what it should be, or a label is
        missing.
    OSError
        If the file cannot be read.
    """
    task = _Task(
        target, None if features is None else tuple(features), tuple(drop), classes, missing_labels, reading,
        dict(known or {}), weight, tuple(ids), tuple(carry), tuple(carry_if_any), tidy, check,
    )  # fmt: skip
    expected = tuple(known or ()) or tuple(features or ())
    asked = [name for name in (target, weight, *task.drop, *task.ids, *task.carry, *reading.kinds) if name]
    for copied in (False, True):
        with table_file(path, reading, expected, asked, copied=copied) as file:
            try:
                return task.read(file)
            except database.failures() as error:
                if copied or file.word == "row":
                    reason = str(error).splitlines()[0][:200]
                    raise InputError(f"{file.name} cannot be read as a table ({reason})") from None
    raise AssertionError("the second try returns or raises")


@dataclass(frozen=True, slots=True)
class _Task:
    """What to read from a file; see `read_table`."""

    target: str | None
    features: tuple[str, ...] | None
    drop: tuple[str, ...]
    classes: Array | None
    missing_labels: str
    reading: Reading
    known: dict[str, Known]
    weight: str | None
    ids: tuple[str, ...]
    carry: tuple[str, ...]
    carry_if_any: tuple[str, ...]
    tidy: bool
    check: Callable[[int, int], None] | None

    def read(self, file: TableFile) -> Table:
        """Return the table."""
        names = called(file.names, file.header)
        kinds = {name: kind for key, kind in self.reading.kinds.items() for name in split_names([key], names.all)}
        there = [name for name in self.carry_if_any if name in names.all and name not in self.carry]
        dropped = split_names(self.drop, names.all)
        named = replace(
            self,
            drop=(*dropped, *(new for new, name in names.repeats.items() if name in dropped)),
            ids=tuple(split_names(self.ids, names.all)),
            carry=(*there, *split_names(self.carry, names.all)),
            reading=replace(self.reading, kinds=kinds),
        )
        return named._read(file, names)

    def _read(self, file: TableFile, names: Called) -> Table:
        notes = list(file.notes)
        if gone := [name for name in self.carry_if_any if name not in names.all]:
            notes.append(f"there is no {listed(gone)} to name the rows, as in the training")
        scan = Scan(file.table, file.columns, self.reading.markers, file.decimal)
        if file.small:
            scan.keep()
        target = self.target
        if target == GUESS:
            others = {*self.drop, *self.ids, self.weight, *self.carry}

            def filled(name: str) -> bool:
                return any(map(str.strip, scan.texts_of(names.all.index(name))))

            target, how = guessed_target([name for name in names.all if name not in others], names.unnamed, filled)
            notes.append(how)
        wanted = self._wanted(file, names, target)
        used = [
            *wanted,
            *([target] if target is not None else []),
            *([self.weight] if self.weight else []),
            *self.carry,
        ]
        notes += advice.repeats(file.name, names.repeats, used, {target, self.weight})
        index = dict(zip(used, places(f"the columns of {file.name}", names.all, used), strict=True))
        if file.word == "row":
            there, asked = [(name, file.columns[index[name]]) for name in used], len(wanted)
            advice.refuse_types(
                file.name, there[:asked], "leave it out with --drop" if self.features is None else "give another"
            )
            advice.refuse_types(
                file.name, [c for c in there[asked:] if c[0] not in self.carry], "take another column than"
            )
        n_rows, n_before = scan.leave_out_blank_tail(sorted(set(index.values())))
        if not n_rows:
            raise InputError(f"{file.name} has a header but no rows")
        if self.check is not None:
            self.check(n_rows, len(used))
        if n_rows < n_before:
            n_blank = n_before - n_rows
            rows = "rows are" if n_blank > 1 else "row is"
            notes.append(f"{n_blank} {rows} left out at the end: without any cell")

        def where(numbers: Sequence[int]) -> list[str]:
            return [f"row {row} (from 0)" if file.word == "row" else f"line {row}" for row in file.lines(numbers)]

        free = self.reading.decimal is None and file.word == "line"
        reader = Reader(
            file.name, scan, index, n_rows, self.reading.kinds, self.known, where,
            day_first=file.decimal == "," or file.delimiter == ";", free_decimal=free, tidy=self.tidy,
        )  # fmt: skip
        try:
            found = reader.read(wanted)
        except InputError as error:
            if not file.totals:
                raise
            raise InputError(f"{error}; {file.totals}") from None
        columns = found.columns
        if self.tidy:
            columns, left_out = without_useless(
                columns, found.left_out, names.unnamed, {*self.reading.kinds, *self.known}
            )
            notes += left_out
        inputs = {column.name for column in columns}
        notes += [*found.notes, *(note for name, note in found.date_notes.items() if name in inputs)]
        if not columns:
            raise InputError(f"{file.name} has no feature columns left; {'; '.join(notes) or quoted(names.all)}")
        labels = None
        kept, merged = np.arange(n_rows), ""
        if target is not None:
            labels, kept, merged = self._labels(file, scan, index[target], target, n_rows, notes)
        weight = None if self.weight is None else self._weights(file, scan, index[self.weight], n_rows)[kept]
        carried = {name: scan.texts(index[name]) for name in self.carry}
        table, n_unlabeled = RawTable(tuple(columns)), n_rows - len(kept)
        if n_unlabeled:
            table = table.take(kept)
            carried = {name: [cells[i] for i in kept.tolist()] for name, cells in carried.items()}
        if self.tidy and labels is not None:
            notes += [advice.copy_of_target(name, target) for name in copies(table, labels)]
        return Table(
            table, labels, kept, target, weight, carried, n_unlabeled, merged, tuple(notes), found.decimal,
            file.header, found.forms, len(file.columns), self.drop, self.ids,
        )  # fmt: skip

    def _wanted(self, file: TableFile, names: Called, target: str | None) -> list[str]:
        """Return the columns of the inputs."""
        kinds = self.reading.kinds
        asked = [*([target] if target is not None else []), *([self.weight] if self.weight else [])]
        asked += [*self.carry, *(self.features or ()), *self.drop, *self.ids, *(kinds if self.features is None else ())]
        if absent := [name for name in dict.fromkeys(asked) if name not in names.all]:
            hint = advice.absent(absent, names.all, target)
            if not file.header and not names.all[0].startswith(tuple(absent)):
                hint = "; the file has no line of names: write one above the data"
            elif len(names.all) == 1:
                hint = "; if it has more columns, give their --delimiter"
            elif not hint and set(absent) <= set(self.features or ()):
                hint = "; the model needs it, with empty cells where its values are not known"
            raise InputError(f"{file.name} has no {listed(absent)}; its columns are {quoted(names.all)}{hint}")
        if self.features is not None:
            wanted = list(self.features)
        else:
            out = {
                *self.drop,
                *self.ids,
                target,
                self.weight,
                *self.carry,
                *(n for n, kind in kinds.items() if kind == "drop"),
            }
            wanted = [name for name in names.all if name not in out]
        if not wanted:
            raise InputError(f"{file.name} has no feature columns; its columns are {quoted(names.all)}")
        return wanted

    def _labels(
        self, file: TableFile, scan: Scan, j: int, target: str, n_rows: int, notes: list[str]
    ) -> tuple[Array, Array, str]:
        """Return the labels of the rows that have one, these rows, and which labels are written in several ways."""
        what = f"the target column {target!r} of {file.name}"
        texts = sorted(scan.texts_of(j))
        codes = scan.codes({j: texts}, n_rows)[j]
        bare = [text.strip() for text in texts]
        classes = None if self.classes is None else label_rules.text_codes(texts, self.classes)
        words = None if self.reading.na is None else self.reading.markers.everywhere
        gaps = np.array([label_rules.is_missing(b) if words is None else b.lower() in words for b in bare], dtype=bool)
        if classes is not None:
            gaps &= classes < 0
        absent = np.flatnonzero(gaps[codes])
        if len(absent) and self.missing_labels == "error":
            shown = self._places(file, absent, [bare[c] for c in codes[absent].tolist()])
            raise InputError(
                f"{what} has no label in {len(absent)} of {n_rows} rows: {shown}; label or remove them, or leave them "
                f"out with --missing-labels drop"
            )
        kept = np.flatnonzero(~gaps[codes])
        if not len(kept):
            raise InputError(f"{what} has no label in any row")
        codes = codes[kept]
        if classes is None or self.classes is None:
            used = np.flatnonzero(~gaps)
            place = np.cumsum(~gaps) - 1
            each = labels_of([bare[c] for c in used.tolist()])
            if alike := differ_by_case(each):
                notes.append(
                    f"labels that differ only by upper and lower case are different classes: {quoted(alike)} (write "
                    f"them alike if they are one)"
                )
            # that blanks around numbers do not count goes without saying
            written = texts if each.dtype.kind == "U" else bare
            several = used[written_twice(each.tolist(), [written[c] for c in used.tolist()])]
            rows = np.flatnonzero(np.isin(codes, several))
            merged = self._places(file, kept[rows], [written[c] for c in codes[rows].tolist()]) if len(rows) else ""
            return each[place[codes]], kept, merged
        unknown = np.flatnonzero(classes[codes] < 0)
        if len(unknown):
            shown = self._places(file, kept[unknown], [bare[c] for c in codes[unknown].tolist()])
            raise UnknownLabelError(
                f"{len(unknown)} of {len(kept)} labels in {what} are not classes of the model "
                f"({label_rules.listed(self.classes.tolist())}): {shown}"
            )
        return self.classes[classes[codes]], kept, ""

    @staticmethod
    def _places(file: TableFile, rows: Array, cells: Sequence[str]) -> str:
        shown = label_rules.places_text(zip(cells, file.lines(rows.tolist()), strict=True), file.word)
        return f"{shown}, rows from 0" if file.word == "row" else shown

    def _weights(self, file: TableFile, scan: Scan, j: int, n_rows: int) -> Floats:
        """Return the weights of rows."""
        (weights,) = scan.numbers([j], n_rows)
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(bad):
            cells = scan.texts(j)
            shown = self._places(file, bad[:1], [cells[int(bad[0])]])
            raise InputError(
                f"weights must be numbers and not negative, but column {self.weight!r} of {file.name} holds {shown}"
            )
        return weights


def guessed_target(
    free: Sequence[str], unnamed: Collection[str] = (), filled: Callable[[str], bool] | None = None
) -> tuple[str, str]:
    """Return the target among columns that may be it, and a note on it.

    Some columns have no name; these are skipped at the end if they are not filled.
    """
    for word in _TARGETS:
        if fitting := [name for name in free if name.lower() == word]:
            return fitting[0], f"the target is column {fitting[0]!r} (--target)"
    for name in reversed(free):
        if name not in unnamed:
            return name, f"the target is the last column, {name!r} (--target)"
        if filled is not None and filled(name):
            return name, f"the target is the last column, which has no name and is called {name!r} (--target)"
    raise InputError(f"there is no target column among {quoted(free)}; give --target")


def split_names(words: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return names of columns; a text that is none of them may hold several, with commas between them."""
    found: list[str] = []
    for word in words:
        found += [word] if word in names or "," not in word else [part.strip() for part in word.split(",")]
    return list(dict.fromkeys(found))
