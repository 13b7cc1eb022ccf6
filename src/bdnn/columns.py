"""Columns of named tables: the one place where they are put into the order of other names, or refused.

Everything that takes a network and inputs, or a network and a problem, passes here first: with names on both sides the
names decide, whatever their order; if one side has none, the position does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from bdnn.errors import InputError

_MAX_NAMED = 8  # names in a message, which should fit on a few lines


def names_of(X: object) -> tuple[Any, ...] | None:
    """Return the names of the columns of a data frame, or None.

    Parameters
    ----------
    X : object
        A frame of pandas, polars, pyarrow or another library with ``columns``, ``column_names`` or the interchange
        protocol; or an array, a list, or anything else.

    Returns
    -------
    tuple or None
        One entry per column, of which some are strings. None without names, and where no name is a string: these are
        positions.

    Examples
    --------
    >>> names_of([[1.0, 2.0]]) is None
    True
    """
    if isinstance(X, np.ndarray | list | tuple):
        return None
    # pyarrow's `columns` are the data
    labels = next((found for name in ("column_names", "columns") if np.iterable(found := getattr(X, name, None))), None)
    if labels is None and hasattr(X, "__dataframe__"):
        labels = X.__dataframe__().column_names()
    if labels is None:
        return None
    listed = tuple(labels)
    return listed if any(isinstance(name, str) for name in listed) else None


def in_order(what: str, X: ArrayLike, names: Sequence[str] | None) -> ArrayLike:
    """Return a table with its columns in the order of names; other columns are left out.

    Parameters
    ----------
    what : str
        Name of the table in messages.
    X : array-like
        The table.
    names : sequence of str or None
        Names of the columns that are wanted.

    Returns
    -------
    array-like
        X itself if it has no names, if none are wanted, or if its columns are as they should be.

    Raises
    ------
    InputError
        If a column is missing, or there is more than one of its name.
    """
    given = None if names is None else names_of(X)
    if names is None or given is None or given == tuple(names):
        return X
    chosen = places(what, given, names)
    if hasattr(X, "iloc"):
        frame: ArrayLike = X.iloc[:, chosen]
        return frame
    if hasattr(X, "select"):
        table: ArrayLike = X.select(list(names))
        return table
    columns = cast("Mapping[str, ArrayLike]", X)
    return np.column_stack([np.asarray(columns[name]) for name in names])


def numbers_in_order(what: str, values: ArrayLike, names: Sequence[str] | None) -> ArrayLike:
    """Return one number per column in the order of names, if the numbers have names, as a series of pandas does.

    Parameters
    ----------
    what : str
        Name of the numbers in messages.
    values : array-like
        A series whose index holds names, or anything else, which is returned as it is.
    names : sequence of str or None
        Names of the columns.

    Returns
    -------
    array-like
        One number per name.

    Raises
    ------
    InputError
        If a name is missing, or there is more than one of it.
    """
    labels = getattr(values, "index", None)
    if names is None or labels is None or callable(labels) or not hasattr(values, "iloc") or np.ndim(values) != 1:
        return values
    given = tuple(labels)
    if given == tuple(names) or not any(isinstance(name, str) for name in given):
        return values
    return np.asarray(values)[places(what, given, names)]


def places(what: str, given: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return where each of some names is among the given ones.

    Parameters
    ----------
    what : str
        Name of what has the given names, in messages.
    given : sequence
        Names.
    names : sequence of str
        Names that are looked for.

    Returns
    -------
    list of int
        One index per name that is looked for.

    Raises
    ------
    InputError
        If a name is missing, or there is more than one of it.

    Examples
    --------
    >>> places("inputs", ["b", "more", "a"], ["a", "b"])
    [2, 0]
    """
    where: dict[Any, int] = {}
    twice = set()
    for index, name in enumerate(given):
        if name in where:
            twice.add(name)
        where.setdefault(name, index)
    if absent := [name for name in names if name not in where]:
        raise InputError(f"{what} have no {listed(absent)}; their columns are {quoted(given)}")
    if repeated := [name for name in dict.fromkeys(names) if name in twice]:
        raise InputError(f"{what} have more than one {listed(repeated)}; rename or remove the others")
    return [where[name] for name in names]


def permutation(what: str, own: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return where each of some names is among those of what was trained, which must be the same in any order.

    Parameters
    ----------
    what : str
        What was trained, in messages.
    own : sequence of str
        Its names.
    names : sequence of str
        Names of the data.

    Returns
    -------
    list of int
        One index per name of the data.

    Raises
    ------
    InputError
        If there are other names.

    Examples
    --------
    >>> permutation("the network", ["a", "b"], ["b", "a"])
    [1, 0]
    """
    if set(names) != set(own):
        more = [name for name in names if name not in set(own)]
        fewer = [name for name in own if name not in set(names)]
        differences = [f"lack {quoted(fewer)}"] * bool(fewer) + [f"also have {quoted(more)}"] * bool(more)
        raise InputError(
            f"{what} takes the columns {quoted(own)}, but the data {' and '.join(differences)}; "
            f"give the columns of the network, in any order"
        )
    return places(f"the columns of {what}", own, names)


def quoted(names: Sequence[Any]) -> str:
    """Return names in quotes; of many only the first."""
    shown = ", ".join(repr(name if not isinstance(name, str) else name[:60]) for name in names[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown}, … ({len(names)} in all)"


def listed(names: Sequence[Any]) -> str:
    """Return names in quotes after the word column, or columns."""
    return f"column{'s' if len(names) > 1 else ''} {quoted(names)}"
