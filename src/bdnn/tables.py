"""Reading tables from CSV files: numbers, labels, and one documented rule for missing values.

Numbers are plain decimals. Labels are read by `bdnn.labels`: as the classes of a model where one is known.

A missing value is an empty cell or ``?``. It is replaced by the lower median of its column (the middle of the sorted
known values, the lower of two), so that integer columns stay integer; the replacements come from the training rows and
are stored with the model.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn import labels as label_rules
from bdnn.columns import listed, places, quoted
from bdnn.errors import InputError, UnknownLabelError

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices

MISSING = ("", "?")
MISSING_RULES = ("median", "error")

_DELIMITERS = (",", ";", "\t")
_PLAIN = frozenset("0123456789+-.eE")
_ACCEPTED = "accepted are finite decimal numbers such as 12, -0.5 or 1.5e3, and empty cells or '?' for missing values"
_NO_FILL = "there is nothing to replace them with"


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Numeric columns of a file, and its labels.

    Attributes
    ----------
    names : tuple of str
        Features.
    X : ndarray of shape (m, n)
        Their values, NaN where missing.
    labels : ndarray of shape (m,) or None
        Target column as integers, floats or strings, whichever is written like it, or as classes of a model.
    rows : ndarray of shape (m,)
        Numbers of the rows in the file, counted from 0.
    n_unlabeled : int
        Rows of the file that were left out because they have no label.
    merged : str
        Labels that differ only by blanks around them and were read as one, with their lines; empty if there are none.
    """

    names: tuple[str, ...]
    X: Floats
    labels: Array | None
    rows: Indices
    n_unlabeled: int = 0
    merged: str = ""

    @property
    def n_missing(self) -> Indices:
        """Missing values of each column."""
        return np.asarray(np.isnan(self.X).sum(axis=0))


def read_table(
    path: str | os.PathLike[str],
    target: str | None = None,
    features: Sequence[str] | None = None,
    drop: Iterable[str] = (),
    *,
    classes: Array | None = None,
    missing_labels: str = "error",
) -> Table:
    """Read a CSV file with a header line; ``.gz`` is unpacked. Commas, semicolons or tabs separate.

    Parameters
    ----------
    path : path-like
        The file, UTF-8.
    target : str or None
        Column of the labels.
    features : sequence of str or None
        Columns to read, in this order; None for all but `target` and `drop`. Other columns do not matter.
    drop : iterable of str
        Columns to leave out.
    classes : ndarray or None
        Classes of a model, as which labels are read; None to find out what they are.
    missing_labels : {"error", "drop"}
        What is done with rows that have no label.

    Returns
    -------
    Table
        With NaN for missing values.

    Raises
    ------
    UnknownLabelError
        If a label is not one of the classes.
    InputError
        If the file is empty or malformed, a column is missing, there twice or holds text, a number is not finite, or a
        label is missing.
    OSError
        If the file cannot be read.
    """
    header, rows, lines = _cells(Path(path))
    wanted = [*([target] if target is not None else []), *(features or ()), *drop]
    if absent := [name for name in wanted if name not in header]:
        raise InputError(f"{path} has no {listed(absent)}; its columns are {quoted(header)}")
    left_out = {*drop, target}
    names = tuple(features if features is not None else (name for name in header if name not in left_out))
    if not names:
        raise InputError(f"{path} has no feature columns; its columns are {quoted(header)}")
    where = dict(zip(names, places(f"the columns of {path}", header, names), strict=True))
    numbers, labels, n_unlabeled, merged = np.arange(len(rows)), None, 0, ""
    if target is not None:
        (j,) = places(f"the columns of {path}", header, [target])
        what = f"the target column {target!r} of {path}"
        written = [row[j] for row in rows]
        labels, kept = _labels(what, written, lines, classes, missing_labels)
        if classes is None and labels.dtype.kind == "U":
            merged = _merged([(written[i], lines[i]) for i in kept])
        numbers, n_unlabeled = numbers[kept], len(rows) - len(kept)
        if n_unlabeled:
            rows, lines = [rows[i] for i in kept], [lines[i] for i in kept]
    values, text = [], []
    for name in names:
        column = [row[where[name]].strip() for row in rows]
        numbers_or_text = _numeric(f"column {name!r} of {path}", column, lines)
        if isinstance(numbers_or_text, str):
            text.append((name, numbers_or_text))
        else:
            values.append(numbers_or_text)
    if text:
        raise InputError(
            f"{listed([name for name, _ in text])} of {path} hold{'s' if len(text) == 1 else ''} text (for example "
            f"{text[0][1]}); encode as numbers first (for example one-hot with pandas.get_dummies) or leave out"
        )
    X = np.column_stack(values)
    return Table(names, X, labels, numbers, n_unlabeled, merged)


def medians(table: Table, rows: Indices) -> Floats:
    """Return the lower median of the known values of each column among the given rows.

    Parameters
    ----------
    table : Table
        Data.
    rows : ndarray of int
        Rows to use.

    Returns
    -------
    ndarray of shape (n,)
        Replacements for missing values.

    Raises
    ------
    InputError
        If a column has no known value there.
    """
    fill = np.empty(len(table.names))
    for j, name in enumerate(table.names):
        column = table.X[rows, j]
        known = column[~np.isnan(column)]
        if not len(known):
            raise InputError(f"column {name!r} has no known value in the training rows; leave it out")
        fill[j] = np.quantile(known, 0.5, method="lower")
    return fill


def filled(table: Table, fill: Sequence[float] | Floats | None, without: str = "") -> Floats:
    """Return the values with missing ones replaced.

    Parameters
    ----------
    table : Table
        Data.
    fill : sequence of float or None
        One replacement per column; None if missing values are not allowed.
    without : str
        Why there are no replacements, for the message.

    Returns
    -------
    ndarray of shape (m, n)
        Finite values.

    Raises
    ------
    InputError
        If values are missing and `fill` is None.
    """
    missing = np.isnan(table.X)
    if not missing.any():
        return table.X
    if fill is None:
        names = [name for name, count in zip(table.names, table.n_missing, strict=True) if count]
        raise InputError(
            f"{int(missing.sum())} values are missing in {listed(names)}, and {without or _NO_FILL}: fill them in or "
            f"leave these rows out, or train with 'bdnn train --missing median', which keeps the medians"
        )
    return np.where(missing, np.asarray(fill, dtype=np.float64), table.X)


def _cells(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return header, rows and the line number of each row."""
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is not a sound gzip file ({error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    if not text.strip():
        raise InputError(f"{path} is empty; a CSV file with a header line and at least one row is needed")
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count), strict=True)
    header: list[str] = []
    rows, lines = [], []
    try:
        for row in reader:
            if not row:
                continue
            if not header:
                header = [name.strip() for name in row]
                continue
            if len(row) != len(header):
                raise InputError(f"{path}, line {reader.line_num}: {len(row)} cells, but the header has {len(header)}")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None
    if not rows:
        raise InputError(f"{path} has a header but no rows")
    return header, rows, lines


def _numeric(what: str, column: list[str], lines: list[int]) -> Floats | str:
    """Return the numbers of a column, NaN where missing, or the first cell that is text; else raise InputError."""
    values = np.full(len(column), np.nan)
    known = [i for i, cell in enumerate(column) if cell not in MISSING]
    cells = [column[i] for i in known]
    try:
        # these characters make plain numbers, or nothing that Python takes for a number
        if not _PLAIN.issuperset("".join(cells)):
            raise ValueError
        values[known] = np.array(cells, dtype=np.str_).astype(np.float64) if cells else ()
    except ValueError:
        i = next(i for i in known if not label_rules.is_number(column[i]))
        if _means_a_number(column[i]):
            raise InputError(f"{what} holds {column[i][:40]!r} in line {lines[i]}; {_ACCEPTED}") from None
        return f"{column[i][:40]!r} in line {lines[i]}"
    infinite = np.isinf(values)
    if infinite.any():
        i = int(np.argmax(infinite))
        raise InputError(f"{what} holds {column[i][:40]!r} in line {lines[i]}; {_ACCEPTED}")
    return values


def _means_a_number(text: str) -> bool:
    """Whether text that is no plain number is one in another notation, or says that there is none."""
    try:
        float(text)
    except ValueError:
        try:
            int(text, 0)
        except ValueError:
            return label_rules.is_missing(text)
    return True


def _labels(
    what: str, cells: list[str], lines: list[int], classes: Array | None, missing_labels: str
) -> tuple[Array, list[int]]:
    """Return the labels of a column of text, and the indices of the rows that have one."""
    codes = None if classes is None else label_rules.text_codes(cells, classes)
    cells = [cell.strip() for cell in cells]
    missing = [label_rules.is_missing(cell) and (codes is None or codes[i] < 0) for i, cell in enumerate(cells)]
    absent, kept = [i for i, gap in enumerate(missing) if gap], [i for i, gap in enumerate(missing) if not gap]
    if absent and missing_labels == "error":
        shown = label_rules.places_text([(cells[i], lines[i]) for i in absent], "line")
        raise InputError(
            f"{what} has no label in {len(absent)} of {len(cells)} rows: {shown}; label or remove them, or leave them "
            f"out with --missing-labels drop"
        )
    if not kept:
        raise InputError(f"{what} has no label in any row")
    if codes is None or classes is None:
        return label_rules.from_text([cells[i] for i in kept]), kept
    if unknown := [(cells[i], lines[i]) for i in kept if codes[i] < 0]:
        raise UnknownLabelError(
            f"{len(unknown)} of {len(kept)} labels in {what} are not classes of the model "
            f"({label_rules.listed(classes.tolist())}): {label_rules.places_text(unknown, 'line')}"
        )
    return classes[codes[kept]], kept


def _merged(cells: list[tuple[str, int]]) -> str:
    """Return the cells, with their lines, that are equal to others only without the blanks around them."""
    texts: dict[str, set[str]] = {}
    for cell, _ in cells:
        texts.setdefault(cell.strip(), set()).add(cell)
    several = [(cell, line) for cell, line in cells if len(texts[cell.strip()]) > 1]
    return label_rules.places_text(several, "line")
