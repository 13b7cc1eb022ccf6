"""Reading tables from CSV files: numbers, labels, and one documented rule for missing values.

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

import numpy as np
from numpy.typing import NDArray

from bdnn.errors import InputError
from bdnn.network import Array, Floats

MISSING = ("", "?")
MISSING_RULES = ("median", "error")

_DELIMITERS = (",", ";", "\t")
_MOST_NAMED = 8


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
        Target column as integers, floats or strings, whichever fits first.
    """

    names: tuple[str, ...]
    X: Floats
    labels: Array | None

    @property
    def n_missing(self) -> NDArray[np.intp]:
        """Missing values of each column."""
        return np.asarray(np.isnan(self.X).sum(axis=0))


def read_table(
    path: str | os.PathLike[str],
    target: str | None = None,
    features: Sequence[str] | None = None,
    drop: Iterable[str] = (),
) -> Table:
    """Read a CSV file with a header line; ``.gz`` is unpacked. Commas, semicolons or tabs separate.

    Parameters
    ----------
    path : path-like
        The file, UTF-8.
    target : str or None
        Column of the labels.
    features : sequence of str or None
        Columns to read, in this order; None for all but `target` and `drop`.
    drop : iterable of str
        Columns to leave out.

    Returns
    -------
    Table
        With NaN for missing values.

    Raises
    ------
    InputError
        If the file is empty or malformed, a column is missing or holds text, a number is not finite, or a label is
        missing.
    OSError
        If the file cannot be read.
    """
    header, rows, lines = _cells(Path(path))
    where = {name: j for j, name in enumerate(header)}
    wanted = [*([target] if target is not None else []), *(features or ()), *drop]
    if absent := [name for name in wanted if name not in where]:
        raise InputError(f"{path} has no {_listed(absent)}; its columns are {_quoted(header)}")
    left_out = {*drop, target}
    names = tuple(features if features is not None else (name for name in header if name not in left_out))
    if not names:
        raise InputError(f"{path} has no feature columns; its columns are {_quoted(header)}")
    columns = [np.array([row[where[name]].strip() for row in rows]) for name in names]
    values = [_numeric(column) for column in columns]
    if text := [name for name, column in zip(names, values, strict=True) if column is None]:
        example = next(v for v in columns[names.index(text[0])] if v not in MISSING and not _is_number(str(v)))
        raise InputError(
            f"{_listed(text)} of {path} hold{'s' if len(text) == 1 else ''} text (for example {str(example)[:40]!r}); "
            f"encode as numbers first (for example one-hot with pandas.get_dummies) or leave out"
        )
    X = np.column_stack([column for column in values if column is not None])
    for name, column, raw in zip(names, X.T, columns, strict=True):
        bad = ~np.isfinite(column) & ~np.isin(raw, MISSING)
        if bad.any():
            i = int(np.argmax(bad))
            raise InputError(
                f"column {name!r} of {path} holds {str(raw[i])!r} in line {lines[i]}; accepted are finite numbers, and "
                f"empty cells or '?' for missing values"
            )
    return Table(names, X, None if target is None else _labels(path, target, rows, lines, where[target]))


def medians(table: Table, rows: NDArray[np.intp]) -> Floats:
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


def filled(table: Table, fill: Sequence[float] | Floats | None) -> Floats:
    """Return the values with missing ones replaced.

    Parameters
    ----------
    table : Table
        Data.
    fill : sequence of float or None
        One replacement per column; None if missing values are not allowed.

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
            f"{int(missing.sum())} values are missing in {_listed(names)}, and nothing is known to replace them with: "
            "fill them in or leave these rows out, or train by 'bdnn train --missing median', which keeps the medians"
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
    if len(set(header)) != len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise InputError(f"{path} has more than one {_listed(twice)}; rename one")
    return header, rows, lines


def _numeric(column: Array) -> Floats | None:
    """Return the numbers of a column, NaN where missing, or None if it holds text."""
    missing = np.isin(column, MISSING)
    values = np.full(len(column), np.nan)
    try:
        values[~missing] = column[~missing].astype(np.float64)
    except ValueError:
        return None
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(path: str | os.PathLike[str], target: str, rows: list[list[str]], lines: list[int], j: int) -> Array:
    column = np.array([row[j].strip() for row in rows])
    missing = np.isin(column, MISSING)
    if missing.any():
        line = lines[int(np.argmax(missing))]
        raise InputError(f"the target column {target!r} of {path} has no label in line {line}; label or remove the row")
    for kind in (np.int64, np.float64):
        try:
            labels: Array = column.astype(kind)
        except (ValueError, OverflowError):
            continue
        if not np.all(np.isfinite(labels)):
            break
        return labels
    return column


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown}, … ({len(names)} in all)"


def _listed(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {_quoted(names)}"
