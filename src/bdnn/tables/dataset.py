"""Parquet data sets of several files with the same columns."""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bdnn.columns import listed, quoted
from bdnn.errors import InputError
from bdnn.tables import database
from bdnn.tables.database import Column

_WILD = frozenset("*?[")
_SPECIAL = frozenset('"$`\\!')  # what double quotes of a shell do not take as it is
_MAGIC = b"PAR1"  # at the beginning of a Parquet file
_TEXTS = (".csv", ".csv.gz", ".tsv", ".txt")  # names of tables as text


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Return whether a path stands for a data set of several files: a folder, or a pattern that is no file."""
    text = os.fspath(path)
    return os.path.isdir(text) or (bool(_WILD & set(text)) and not os.path.exists(text))


def open_parquet(path: str | os.PathLike[str], *, drop: Sequence[str] = (), na: Sequence[str] | None = None) -> DataSet:
    """Open a data set of Parquet files, whose rows need not fit into memory.

    Parameters
    ----------
    path : path-like
        A folder, in which all files that end in ``.parquet`` are taken, a pattern such as ``"data/2026-*.parquet"``, or
        a file.
    drop : sequence of str
        Columns to leave out.
    na : sequence of str or None
        What stands for a missing value in text, besides empty cells; None for the usual words.

    Returns
    -------
    DataSet
        For `BDNNClassifier.fit`, with the names of the columns of labels and weights, and for `predict` and `score`.

    Raises
    ------
    InputError
        If there is no such file, or the files do not have the same columns.
    """
    text = os.fspath(path)
    if os.path.isdir(text):
        files = sorted(str(file) for file in Path(text).rglob("*.parquet"))
        name = os.path.basename(os.path.normpath(text))
    else:
        files = [text] if os.path.exists(text) else sorted(glob.glob(text, recursive=True))
        name = os.path.basename(text) if len(files) == 1 and files[0] == text else text
    if not files:
        what = "no file matches it"
        if os.path.isdir(text):
            what = "the folder holds no file that ends in .parquet"
            tables = sorted(str(file) for file in Path(text).iterdir() if file.name.lower().endswith(_TEXTS))
            if tables:
                what += f"; {_advice(tables, os.path.join(text, f'*{Path(tables[0]).suffix}'))}"
        raise InputError(f"there is no data set {text!r}: {what}")
    return _opened(tuple(files), name, tuple(drop), None if na is None else tuple(na))


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a Parquet file."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _advice(files: Sequence[str], pattern: str) -> str:
    """Return what to do with files that a pattern matches and that are not Parquet files."""
    return (
        f"a data set of several files must be of Parquet files: give a single CSV file, such as "
        f"{shlex.quote(files[0])}, or make a Parquet file of all of them: {parquet_command(pattern, 'all.parquet')}"
    )


def parquet_command(files: str, made: str) -> str:
    """Return the command that makes a Parquet file of CSV files."""
    code = f"import duckdb; duckdb.read_csv({files!r}).write_parquet({made!r})"
    return f"python -c {shlex.quote(code)}" if set(code) & _SPECIAL else f'python -c "{code}"'


def _opened(files: tuple[str, ...], name: str, drop: tuple[str, ...], na: tuple[str, ...] | None) -> DataSet:
    columns: dict[str, Column] = {}
    counts = []
    db = database.connection()
    for file in files:
        try:
            own = database.parquet_columns(Path(file))
            row = db.execute(f"SELECT count(*) FROM {database.parquet_table(Path(file))}").fetchone()
        except database.failures() as error:
            if not (is_parquet(file) or file.endswith(".parquet")):
                matched = f"{name!r} matches {len(files)} files, and {file}" if len(files) > 1 else file
                raise InputError(f"{matched} is not a Parquet file; {_advice(files, name)}") from None
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"{file} cannot be read as a Parquet file ({reason})") from None
        columns = columns or own
        if {n: c.kind for n, c in own.items()} != {n: c.kind for n, c in columns.items()}:
            odd = sorted(
                n for n in {*own, *columns} if getattr(own.get(n), "kind", 0) != getattr(columns.get(n), "kind", 0)
            )
            raise InputError(
                f"{file} does not have the columns of {files[0]}: {listed(odd)} "
                f"{'differ in kind, or are' if len(odd) > 1 else 'differs in kind, or is'} not in both; a data set "
                f"needs the same columns in all files"
            )
        counts.append(int(row[0]) if row else 0)
    if absent := [each for each in drop if each not in columns]:
        raise InputError(f"{name} has no {listed(absent)}; its columns are {quoted(list(columns))}")
    if not sum(counts):
        raise InputError(f"{name} has no rows")
    return DataSet(name, files, tuple(counts), columns, drop, na)


@dataclass(frozen=True, eq=False, slots=True)
class DataSet:
    """Parquet files with the same columns; see `open_parquet`.

    Attributes
    ----------
    name : str
        In messages.
    files : tuple of str
        In the order of their rows.
    counts : tuple of int
        Rows of each.
    columns : dict of str to Column
        Columns of the files.
    drop : tuple of str
        Columns that are left out.
    na : tuple of str or None
        What stands for missing values in text, besides empty cells; None for the usual words.
    kinds : mapping of str to str
        Kinds of columns that are given, as in `bdnn.tables.Reading`.
    """

    name: str
    files: tuple[str, ...]
    counts: tuple[int, ...]
    columns: Mapping[str, Column]
    drop: tuple[str, ...] = ()
    na: tuple[str, ...] | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Rows of all files."""
        return sum(self.counts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are not left out."""
        return tuple(name for name in self.columns if name not in self.drop)
