"""Labels: one notion of a class for data from Python and for the text of a table.

A label is a number only if writing it again gives the same text; so ``01`` is not 1. Where the classes of a model are
known, text is read as one of these: as the text of the class itself, or else as what stands for the same truth value or
number.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Hashable, Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.errors import InputError, UnknownLabelError

if TYPE_CHECKING:
    from bdnn.types import Indices

MISSING_RULES = ("error", "drop")

_MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}
_LARGEST_INTEGER = 2**63 - 1  # of int64
_MAX_SHOWN = 5  # in a message, which should fit on a few lines


def is_number(text: str) -> bool:
    """Return whether text is a plain decimal number, such as ``12``, ``-0.5`` or ``1.5e3``.

    Parameters
    ----------
    text : str
        Without blanks around it.

    Returns
    -------
    bool
        False for what Python takes as well: ``1_000``, other digits than 0 to 9, ``nan`` and ``infinity``.

    Examples
    --------
    >>> [is_number(text) for text in ("-.5", "1.5e3", "1_1", "0x10", "nan", "\u0661")]
    [True, True, False, False, False, False]
    """
    return _NUMBER.fullmatch(text) is not None


def is_missing(text: str) -> bool:
    """Return whether text in a target column says that there is no label, such as ``NA``, ``null`` or nothing."""
    return text.lower() in _MISSING


def from_text(cells: Sequence[str]) -> NDArray[Any]:
    """Return the labels that a column of text stands for.

    Parameters
    ----------
    cells : sequence of str
        No missing ones, without blanks around them.

    Returns
    -------
    ndarray of shape (m,)
        Integers or floats if writing each of them again gives the same text, else the text.

    Examples
    --------
    >>> from_text(["1", "2"]), from_text(["01", "2"])
    (array([1, 2]), array(['01', '2'], dtype='<U2'))
    """
    different = set(cells)
    for kind, again in ((int, str), (float, repr)):
        try:
            values = {text: kind(text) for text in different if is_number(text)}
        except ValueError:
            continue
        same = len(values) == len(different) and all(again(value) == text for text, value in values.items())
        if same and (kind is float or all(abs(value) <= _LARGEST_INTEGER for value in values.values())):
            return np.array([values[text] for text in cells], dtype=np.int64 if kind is int else np.float64)
    return np.array(cells)


def text_codes(cells: Sequence[str], classes: NDArray[Any]) -> Indices:
    """Return which class each text stands for.

    Parameters
    ----------
    cells : sequence of str
        Text of labels, as it is written.
    classes : ndarray of shape (n_classes,)
        Classes of a model.

    Returns
    -------
    ndarray of shape (m,)
        Indices into the classes, -1 where the text is none of them.

    Notes
    -----
    The text of a class itself comes first, then the text without the blanks around it, then the only class that is the
    same without the blanks around its own. Truth values are also ``true`` and ``false`` in any case and the numbers 1
    and 0; numbers are also read from other text of exactly the same number. Classes that are text are nothing else.

    Examples
    --------
    >>> text_codes(["TRUE", "0", "maybe"], np.array([False, True])).tolist()
    [1, 0, -1]
    >>> text_codes(["01", "1"], np.array(["01", "02"])).tolist()
    [0, -1]
    >>> text_codes(["x", "x ", " x"], np.array(["x", "x "])).tolist()
    [0, 1, 0]
    """
    labels = classes.tolist()
    itself = {str(label): code for code, label in enumerate(labels)}
    bare: dict[str, int] = {}
    for text, code in itself.items():
        bare[text.strip()] = -1 if text.strip() in bare else code
    bare.pop("", None)  # which is no label
    known: dict[str, int] = {}
    for text in set(cells):
        stripped = text.strip()
        found = itself.get(text, itself.get(stripped, bare.get(stripped)))
        known[text] = _code_of_same_value(stripped, labels) if found is None else found
    return np.array([known[text] for text in cells], dtype=np.intp)


def _code_of_same_value(text: str, labels: list[Any]) -> int:
    """Return the code of the label that is no text and the same as some text, or -1."""
    value: Any = _TRUTH.get(text.lower())
    truth = value is not None
    if not truth:
        if not is_number(text):
            return -1
        try:
            value = decimal.Decimal(text)
        except decimal.InvalidOperation:  # an exponent beyond all numbers
            return -1
    for code, label in enumerate(labels):
        if isinstance(label, bool) if truth else isinstance(label, bool | int):
            if value == label:
                return code
        elif isinstance(label, float) and not truth and float(text) == label:
            return code
    return -1


def places_text(values: Iterable[tuple[Any, int]], where: str) -> str:
    """Return some values in quotes, each with the first of its places.

    Parameters
    ----------
    values : iterable of (value, place)
        In the order of their places.
    where : str
        What places are called: ``line`` or ``row``.

    Returns
    -------
    str
        Of many values and places only the first.

    Examples
    --------
    >>> places_text([("NA", 2), ("", 5), ("NA", 9)], "line")
    "'NA' (lines 2, 9), '' (line 5)"
    """
    found: dict[Hashable, list[int]] = {}
    for value, place in values:
        found.setdefault(value if isinstance(value, str) else repr(value), []).append(place)
    parts = []
    for value, at in list(found.items())[:_MAX_SHOWN]:
        numbers = ", ".join(map(str, at[:_MAX_SHOWN])) + (", …" if len(at) > _MAX_SHOWN else "")
        parts.append(f"{str(value)[:40]!r} ({where}{'s' if len(at) > 1 else ''} {numbers})")
    return ", ".join(parts) + (f" and {len(found) - _MAX_SHOWN} others" if len(found) > _MAX_SHOWN else "")


def listed(classes: Sequence[Any]) -> str:
    """Return classes as text; of many only the first."""
    shown = ", ".join(str(label)[:40] for label in classes[:8])
    return shown if len(classes) <= 8 else f"{shown}, … ({len(classes)} in all)"


def check_present(what: str, labels: ArrayLike | None) -> None:
    """Raise InputError if labels are missing: None, NaN, or what pandas puts in their place.

    Parameters
    ----------
    what : str
        Name of the labels in the message.
    labels : array-like
        Of any kind.

    Raises
    ------
    InputError
        If some of them are missing; the message names the first rows, counted from 0.
    """
    dtype = getattr(labels, "dtype", None)
    if labels is None or (isinstance(dtype, np.dtype) and dtype.kind not in "fOTmM"):
        return
    try:
        # NumPy makes text of a NaN between strings
        each = np.asarray(labels, dtype=object)
    except (TypeError, ValueError):
        return  # ragged, which is refused elsewhere
    if each.ndim == 2 and each.shape[1] == 1:
        each = each[:, 0]
    if each.ndim != 1:
        return
    absent = [(label, row) for row, label in enumerate(each) if _is_absent(label)]
    if absent:
        raise InputError(
            f"{what} must not hold missing labels, but there is no label in {len(absent)} of {len(each)} rows: "
            f"{places_text([(str(label), row) for label, row in absent], 'row')}; label these rows or leave them out"
        )


def _is_absent(label: object) -> bool:
    if label is None:
        return True
    try:
        return bool(label != label)
    except TypeError:  # pandas.NA is neither equal to itself nor not
        return type(label).__name__ == "NAType"
    except ValueError:  # an array
        return False


def plain(labels: ArrayLike) -> ArrayLike:
    """Return labels of a nullable, categorical or object column as the array of booleans or integers they stand for.

    Parameters
    ----------
    labels : array-like
        Of any kind.

    Returns
    -------
    array-like
        `labels` unless all are booleans, or all integers, of a column of another kind. Text becomes an array of
        objects if it comes from a column whose kind NumPy does not know.

    Examples
    --------
    >>> plain(np.array([True, False], dtype=object))
    array([ True, False])
    """
    dtype = getattr(labels, "dtype", None)
    if dtype is None or getattr(labels, "ndim", 1) != 1 or (isinstance(dtype, np.dtype) and dtype.kind not in "OT"):
        return labels
    each = [label.item() if isinstance(label, np.generic) else label for label in np.asarray(labels, dtype=object)]
    kinds = {type(label) for label in each}
    if kinds == {bool}:
        return np.array(each, dtype=bool)
    if kinds == {int} and all(-(2**63) <= label < 2**63 for label in each):
        return np.array(each, dtype=np.int64)
    if kinds == {str} and not (isinstance(dtype, np.dtype) and dtype.kind == "O"):
        return np.array(each, dtype=object)
    return labels


def label_array(what: str, labels: ArrayLike) -> NDArray[Any]:
    """Return class labels as an array of shape (m,), or raise InputError.

    Parameters
    ----------
    what : str
        Name of the labels in the message.
    labels : array-like of shape (m,)
        All numbers or all strings, none missing.

    Returns
    -------
    ndarray of shape (m,)
        The labels.

    Raises
    ------
    InputError
        If they are not as described.
    """
    check_present(what, labels)
    labels = plain(labels)
    try:
        array = np.asarray(labels)
    except ValueError:
        raise InputError(f"{what} must have shape (m,), got rows that differ in length") from None
    if array.ndim != 1:
        raise InputError(f"{what} must have shape (m,), got {array.shape}")
    # object arrays hold anything, and a list of numbers and strings becomes an array of strings
    if array.dtype.kind in "OU":
        each = np.asarray(labels, dtype=object)
        if not (all(isinstance(v, str) for v in each) or all(isinstance(v, Real | np.bool_) for v in each)):
            kinds = sorted({type(v).__name__ for v in each})
            raise InputError(
                f"{what} must be of one kind (all numbers or all strings), got a mixture of {', '.join(kinds)}"
            )
    missing = array != array
    if array.dtype.kind in "fc":
        missing = ~np.isfinite(array)
    if np.any(missing):
        raise InputError(f"{what} must not hold missing or infinite labels, got {array[missing][0]!r}")
    return array


def label_codes(classes: NDArray[Any], labels: ArrayLike, count: int) -> Indices:
    """Return the index into the classes of a network of each of `count` labels.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Different labels.
    labels : array-like of shape (count,)
        Labels that are among them.
    count : int
        Number of points.

    Returns
    -------
    ndarray of shape (count,)
        The indices.

    Raises
    ------
    InputError
        If there are more or fewer labels.
    UnknownLabelError
        If a label is not one of the classes.
    """
    array = label_array("y", labels)
    if len(array) != count:
        raise InputError(f"y must have one label per row of X ({count}), got {len(array)}")
    where = {label: c for c, label in enumerate(classes.tolist())}
    unknown = [(label, row) for row, label in enumerate(array.tolist()) if label not in where]
    if unknown:
        raise UnknownLabelError(
            f"{len(unknown)} of {count} labels are not classes of the network ({listed(classes.tolist())}): "
            f"{places_text(unknown, 'row')}"
        )
    return np.array([where[label] for label in array.tolist()], dtype=np.intp)
