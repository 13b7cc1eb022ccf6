"""Columns of arrays, lists and data frames, as they are: numbers, truth values, text, categories and dates.

Frames of pandas, polars and pyarrow are recognized by their methods; none of these libraries is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.columns import names_of, quoted
from bdnn.encoding import kinds
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Array, Bools

Categorical = str | None | Sequence[Any]
"""What `categorical_features` may be: "from_dtype", None, or a sequence of indices or names, or a mask."""


def is_frame(X: object) -> bool:
    """Return whether X is a data frame of pandas, polars or pyarrow."""
    return isinstance(X, RawTable) or hasattr(X, "iloc") or hasattr(X, "get_columns") or hasattr(X, "column_names")


def is_plain(X: Any, categorical: Categorical) -> bool:
    """Return whether all columns are numbers of the kinds that NumPy has, so that X is an array of numbers as it is.

    Raises
    ------
    InputError
        If X is a query of polars.
    """
    if hasattr(X, "lazy") and hasattr(X, "collect"):
        raise InputError("X is a LazyFrame, which is a query and holds no rows yet: give X.collect()")
    if not (categorical is None or isinstance(categorical, str)):
        return False
    if isinstance(X, RawTable):
        return False
    if hasattr(X, "iloc"):
        dtypes = getattr(X, "dtypes", None)
        each = [] if dtypes is None else [dtypes] if isinstance(dtypes, np.dtype) else list(dtypes)
        return bool(each) and all(isinstance(dtype, np.dtype) and dtype.kind in "iufc" for dtype in each)
    if is_frame(X):
        return False
    if isinstance(X, np.ndarray):
        return X.dtype.kind not in "OUSTmM"
    # sparse matrices, and whatever else scikit-learn knows or refuses
    return not isinstance(X, list | tuple) or _array(X).dtype.kind not in "OUSmM"


def raw_table(X: Any, categorical: Categorical = "from_dtype") -> RawTable:
    """Return the columns of X.

    Parameters
    ----------
    X : array-like of shape (m, n), or data frame
        Of pandas, polars, pyarrow or another library whose frames are mappings of columns; a `RawTable` is returned as
        it is.
    categorical : "from_dtype", None, or sequence
        Columns that are categorical whatever they hold: those whose type is categorical; none; or those of a sequence
        of indices or names, or a mask. Text is always categorical.

    Returns
    -------
    RawTable
        Columns without names are called ``x0`` and so on.

    Raises
    ------
    InputError
        If X is not two-dimensional, holds anything but numbers, text and dates, or `categorical` is not as described.

    Examples
    --------
    >>> table = raw_table([["red", 1.0], [None, 2.0]])
    >>> [(column.name, column.kind, column.levels) for column in table.columns]
    [('x0', 'categorical', ('red',)), ('x1', 'numeric', ())]
    """
    if isinstance(X, RawTable):
        return X
    if is_frame(X):
        columns = list(_columns(X))
        given = names_of(X) or range(len(columns))
        names = [name if isinstance(name, str) else f"x{j}" for j, name in enumerate(given)]
    else:
        array = _array(X)
        if array.ndim != 2:
            raise InputError(f"Expected 2D array, got an array of shape {array.shape} instead; reshape your data")
        columns, names = list(array.T), [f"x{j}" for j in range(array.shape[1])]
    if len(set(names)) < len(names):
        raise InputError(f"columns need different names, got {quoted(names)}")
    if not names or not len(columns[0]):
        raise InputError(f"Found array with {len(columns[0]) if names else 0} sample(s) and {len(names)} feature(s)")
    chosen = categorical_mask(categorical, names)
    by_type = isinstance(categorical, str)
    return RawTable(tuple(_column(n, c, bool(f), by_type) for n, c, f in zip(names, columns, chosen, strict=True)))


def categorical_mask(categorical: Categorical, names: Sequence[str]) -> Bools:
    """Return which columns a setting names, bool of shape (n,).

    Parameters
    ----------
    categorical : "from_dtype", None, or sequence
        See `raw_table`; the two words name none.
    names : sequence of str
        Names of the columns.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    InputError
        If it is not as described.
    """
    mask = np.zeros(len(names), dtype=bool)
    if categorical is None or (isinstance(categorical, str) and categorical == "from_dtype"):
        return mask
    accepted = "categorical_features must be 'from_dtype', None, or a list of indices or names of columns, or a mask"
    if isinstance(categorical, str) or not np.iterable(categorical):
        raise InputError(f"{accepted}, got {categorical!r}")
    entries = list(categorical)
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        if len(entries) != len(names):
            raise InputError(f"{accepted} of {len(names)} entries, one for each column; got {len(entries)}")
        return np.array(entries, dtype=bool)
    for entry in entries:
        if isinstance(entry, str) and entry in names:
            mask[list(names).index(entry)] = True
        elif isinstance(entry, int | np.integer) and not isinstance(entry, bool) and 0 <= entry < len(names):
            mask[int(entry)] = True
        else:
            raise InputError(f"{accepted}; {entry!r} is none of the {len(names)} columns {quoted(list(names))}")
    return mask


def _array(X: Any) -> Array:
    """Return an array that keeps each entry as it is, where they are not all numbers."""
    if isinstance(X, np.ndarray):
        return X
    try:
        array = np.asarray(X)
    except ValueError:
        array = np.asarray(X, dtype=object)
    # numbers beside text would become text
    return np.asarray(X, dtype=object) if array.dtype.kind in "USmM" and isinstance(X, list | tuple) else array


def _columns(X: Any) -> Iterable[Any]:
    if hasattr(X, "iloc"):
        if getattr(X, "ndim", 2) != 2:
            raise InputError(f"Expected 2D array, got a {type(X).__name__} of {X.ndim} dimension(s); reshape your data")
        return [X.iloc[:, j] for j in range(X.shape[1])]
    if hasattr(X, "get_columns"):
        return list(X.get_columns())
    if hasattr(X, "itercolumns"):  # pyarrow
        return list(X.itercolumns())
    columns: Mapping[str, Any] = X
    return [columns[name] for name in names_of(X) or ()]


def _column(name: str, values: Any, categorical: bool, by_type: bool) -> RawColumn:
    """Return a column from any of the libraries."""
    if isinstance(values, np.ndarray):
        return _of_array(name, values, categorical)
    if hasattr(values, "dtype") and hasattr(values, "iloc"):
        return _of_pandas(name, values, categorical, by_type)
    kind = str(getattr(values, "dtype", getattr(values, "type", "")))
    if kind.startswith(("Categorical", "Enum", "dictionary")):
        column = kinds.from_values(name, _listed(values), categorical=True)
        return column if categorical or by_type else _numbers_if_possible(column)
    if hasattr(values, "to_numpy") and not categorical and kind.lower().startswith(("int", "uint", "float", "double")):
        return kinds.numeric(name, np.asarray(values.to_numpy()))
    if kind.startswith(("Datetime", "Date", "timestamp", "date")) and not categorical:
        return _of_array(name, np.asarray(values.to_numpy()), categorical)
    return kinds.from_values(name, _listed(values), categorical)


def _listed(values: Any) -> list[Any]:
    for way in ("to_list", "to_pylist"):
        if hasattr(values, way):
            return list(getattr(values, way)())
    return list(values)


def _of_array(name: str, values: Array, categorical: bool) -> RawColumn:
    kind = values.dtype.kind
    if kind == "M":
        column = RawColumn(name, "date", values.astype("datetime64[us]"))
    elif kind == "b":
        column = RawColumn(name, "boolean", values.astype(np.float64))
    elif kind in "iuf":
        column = kinds.numeric(name, values)
    elif kind == "m":
        raise InputError(f"column {name!r} holds durations; give numbers, such as seconds")
    else:
        return kinds.from_values(name, values.tolist() if kind != "O" else list(values), categorical)
    return kinds.as_kind(column, "categorical") if categorical else column


def _of_pandas(name: str, values: Any, categorical: bool, by_type: bool) -> RawColumn:
    dtype = values.dtype
    if hasattr(dtype, "categories"):
        column = kinds.coded(name, np.asarray(values.cat.codes), list(dtype.categories))
        return column if categorical or by_type else _numbers_if_possible(column)
    if isinstance(dtype, np.dtype):
        return _of_array(name, values.to_numpy(), categorical)
    kind = getattr(dtype, "kind", "O")
    if kind == "M":
        if getattr(dtype, "tz", None) is not None:
            values = values.dt.tz_convert(None)  # in UTC, as for files and other frames
        return _of_array(name, values.to_numpy(dtype="datetime64[us]"), categorical)
    if kind in "iufb":
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        column = RawColumn(name, "boolean" if kind == "b" else "numeric", numbers)
        return kinds.as_kind(column, "categorical") if categorical else column
    if kind == "m":
        raise InputError(f"column {name!r} holds durations; give numbers, such as seconds")
    if str(dtype).startswith(("str", "large_string")):  # all text, so that pandas may count it
        codes, texts = values.factorize()
        return kinds.coded(name, codes, list(texts))
    return kinds.from_values(name, values.tolist(), categorical)


def _numbers_if_possible(column: RawColumn) -> RawColumn:
    """Return a categorical column as numbers, if all of its levels are."""
    try:
        return kinds.as_kind(column, "numeric")
    except InputError:
        return column
