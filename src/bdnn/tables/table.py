"""A table as it was read, and the rule for missing numbers in models without an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bdnn.columns import listed
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array, Floats, Indices

MISSING_RULES = ("median", "error")

_NO_FILL = "there is nothing to replace them with"


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Columns of a file, and its labels.

    Attributes
    ----------
    features : RawTable
        Columns of the inputs, as they come.
    labels : ndarray of shape (m,) or None
        Target column as integers, floats or strings, according to how it is written, or as classes of a model.
    rows : ndarray of shape (m,)
        Numbers of the rows in the file, counted from 0.
    target : str or None
        Name of the target column.
    weight : ndarray of shape (m,) or None
        Weights of the rows.
    carried : dict of str to list of str
        Columns that are carried along as text.
    n_unlabeled : int
        Rows of the file that were left out because they have no label.
    merged : str
        Labels that differ only by blanks around them, or in how a number is written, and were read as one, with their
        lines; empty if there are none.
    notes : tuple of str
        What was assumed, one sentence each.
    decimal : str
        Decimal sign.
    header : bool
        Whether the file names its columns.
    forms : dict of str to str
        Formats of columns of dates.
    n_columns : int
        Columns of the file.
    drop, ids : tuple of str
        Columns that were left out, and that name rows.
    """

    features: RawTable
    labels: Array | None
    rows: Indices
    target: str | None = None
    weight: Floats | None = None
    carried: Mapping[str, list[str]] = field(default_factory=dict)
    n_unlabeled: int = 0
    merged: str = ""
    notes: tuple[str, ...] = ()
    decimal: str = "."
    header: bool = True
    forms: Mapping[str, str] = field(default_factory=dict)
    n_columns: int = 0
    drop: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the inputs."""
        return self.features.names

    @property
    def X(self) -> Floats:
        """Their values as numbers, of shape (m, n), NaN where missing; a new array each time."""
        return self.features.numbers()

    @property
    def n_missing(self) -> Indices:
        """Missing values of each column."""
        return self.features.n_missing


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
    for j, column in enumerate(table.features.columns):
        values = np.asarray(column.values[rows], dtype=np.float64)
        known = values[~np.isnan(values)]
        if not len(known):
            raise InputError(f"column {column.name!r} has no known value in the training rows; leave it out")
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
    X = table.X
    missing = np.isnan(X)
    if not missing.any():
        return X
    if fill is None:
        names = [name for name, count in zip(table.names, table.n_missing, strict=True) if count]
        raise InputError(
            f"{int(missing.sum())} values are missing in {listed(names)}, and {without or _NO_FILL}: fill them in or "
            f"leave these rows out, or train with 'bdnn train --missing median', which keeps the medians"
        )
    np.copyto(X, np.broadcast_to(np.asarray(fill, dtype=np.float64), X.shape), where=missing)
    return X
