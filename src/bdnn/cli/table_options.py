"""Options that say how a table is read, and which of its rows and columns are taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bdnn import labels, tables
from bdnn.cli.options import FILE, Command, with_options
from bdnn.errors import InputError
from bdnn.tables.dataset import is_pattern

TABLE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


class RowsType(click.Path):
    """A table, or a Parquet data set: a folder or a pattern."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return Path(value) if is_pattern(value) else super().convert(value, param, ctx)


ROWS = RowsType(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


class Names(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``a,b`` for two names, or one name with commas in it; which of them is known only with the table."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if not str(value).strip():
            self.fail("the name of a column is empty", param, ctx)
        return str(value)


_FORMAT: tuple[Callable[[Command], Command], ...] = (
    click.option("--delimiter", default=None,
                     help="Between columns: a character, tab, or space for any number of blanks.  [default: found]"),
    click.option("--decimal", type=click.Choice([".", ","]), default=None,
                     help="Decimal sign.  [default: found]"),
    click.option("--encoding", default=None, help="Of the text, such as cp1252 or utf-16.  [default: found]"),
    click.option("--na", default=None, metavar="TEXT[,TEXT]",
                     help="What stands for a missing value, besides empty cells.  [default: ?, NA, N/A, NaN, null, "
                     "\\N and their like]"),
    click.option("--no-header", is_flag=True,
                     help="The first line holds data, and columns are called column1, column2, …"),)  # fmt: skip


def table_options(command: Command) -> Command:
    """Give a command the options that say which rows and columns of a table are trained on, and how it is read."""
    options = (
        click.option("--target", default=None,
                     help="Column of the labels.  [default: one named target, label, class or y, else the last]"),
        click.option("--weight", default=None, help="Column of the weights of rows.  [default: all rows weigh 1]"),
        click.option("--id", "ids", multiple=True, type=Names(), metavar="COLUMN[,COLUMN]",
                     help="Columns that name rows: no inputs, but carried into predictions; may be repeated."),
        click.option("--drop", multiple=True, type=Names(), metavar="COLUMN[,COLUMN]",
                     help="Columns to leave out; may be repeated."),
        click.option("--numeric", multiple=True, type=Names(), metavar="COLUMN[,COLUMN]",
                     help="Columns to read as numbers, and to keep; may be repeated."),
        click.option("--categorical", multiple=True, type=Names(), metavar="COLUMN[,COLUMN]",
                     help="Columns to read as text, and to keep; may be repeated."),
        click.option("--types", type=FILE, default=None,
                     help="Kinds of columns: a JSON object, or CSV lines of a column and its kind (numeric, boolean, "
                     "categorical, date, a date with its format such as date:%d/%m/%Y, or drop)."),
        click.option("--missing", type=click.Choice(tables.MISSING_RULES), default="median", show_default=True,
                     help="Missing values: replace by the median or the most frequent level of the training rows, or "
                     "refuse."),
        click.option("--missing-labels", type=click.Choice(labels.MISSING_RULES), default="error", show_default=True,
                     help="Rows without a label (empty, ?, NA, NaN, null): refuse, or leave out."),
        click.option("--test-fraction", type=float, default=0.25, show_default=True,
                     help="Fraction of the rows held out for the accuracy, stratified; 0 for none."),
    )  # fmt: skip
    return with_options(with_options(command, _FORMAT), options)


def format_options(command: Command) -> Command:
    """Give a command the options that say how the text of a table is read, which it gets as its `reading`."""

    @wraps(command)
    def with_reading(**values: Any) -> None:
        command(reading=reading_of(**{name: values.pop(name) for name in FORMAT_OPTIONS}), **values)

    return with_options(with_reading, _FORMAT)


FORMAT_OPTIONS = ("delimiter", "decimal", "encoding", "na", "no_header")
"""Names of the values of the options on the text of a table."""


def reading_of(
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    na: str | None = None,
    no_header: bool = False,
    numeric: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    types: Path | None = None,
) -> tables.Reading:
    """Return how a table is read from the values of options.

    Raises
    ------
    InputError
        If they contradict each other, or a file of kinds cannot be used.
    """
    kinds = {} if types is None else tables.kinds_from_file(types)
    for option, kind, names in (("numeric", "numeric", numeric), ("categorical", "categorical", categorical)):
        for name in names:
            if kinds.setdefault(name, kind) != kind:
                raise InputError(f"--{option} {name} contradicts the kind {kinds[name]!r} that is given otherwise")
    markers = None if na is None else tuple(na.split(","))
    return tables.Reading(delimiter, decimal, encoding, markers, False if no_header else None, kinds)


def label_options(command: Command) -> Command:
    """Give a command the options that say how a model's data are read, and where their labels are."""
    options = (
        click.option("--target", default=None,
                     help="Column of the labels.  [default: the one the model was trained on]"),
        click.option("--missing-labels", type=click.Choice(labels.MISSING_RULES), default=None,
                     help="Rows without a label (empty, ?, NA, NaN, null): refuse, or leave out.  "
                     "[default: as in the training]"),
    )  # fmt: skip
    return with_options(format_options(command), options)
