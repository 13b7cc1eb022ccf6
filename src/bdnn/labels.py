"""Labels: one notion of a class for data from Python and for the text of a table.

A label is a number only if writing it again gives the same text; so ``01`` is no 1. Where the classes of a model are
known, text is read as these: the text of the class itself, else what stands for the same truth value or number.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdnn.errors import InputError

MISSING_RULES = ("error", "drop")

_MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}
_LARGEST_INTEGER = 2**63 - 1
_MOST_SHOWN = 5


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


def text_codes(cells: Sequence[str], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return which class each text stands for.

    Parameters
    ----------
    cells : sequence of str
        Text of labels, without blanks around it.
    classes : ndarray of shape (n_classes,)
        Classes of a model.

    Returns
    -------
    ndarray of shape (m,)
        Indices into the classes, -1 where the text is none of them.

    Notes
    -----
    The text of a class itself comes first. Truth values are also ``true`` and ``false`` in any case and the numbers 1
    and 0; numbers are also read from other text of exactly the same number. Classes that are text are nothing else.

    Examples
    --------
    >>> text_codes(["TRUE", "0", "maybe"], np.array([False, True])).tolist()
    [1, 0, -1]
    >>> text_codes(["01", "1"], np.array(["01", "02"])).tolist()
    [0, -1]
    """
    labels = classes.tolist()
    itself = {str(label): code for code, label in enumerate(labels)}
    known: dict[str, int] = {}
    for text in set(cells):
        code = itself.get(text)
        known[text] = _code_of_same_value(text, labels) if code is None else code
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
    for value, at in list(found.items())[:_MOST_SHOWN]:
        numbers = ", ".join(map(str, at[:_MOST_SHOWN])) + (", …" if len(at) > _MOST_SHOWN else "")
        parts.append(f"{str(value)[:40]!r} ({where}{'s' if len(at) > 1 else ''} {numbers})")
    return ", ".join(parts) + (f" and {len(found) - _MOST_SHOWN} others" if len(found) > _MOST_SHOWN else "")


def listed(classes: Sequence[Any]) -> str:
    """Return classes as text; of many only the first."""
    shown = ", ".join(str(label)[:40] for label in classes[:8])
    return shown if len(classes) <= 8 else f"{shown}, … ({len(classes)} in all)"


def plain(labels: Any) -> Any:
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


def check_discrete(what: str, labels: NDArray[Any]) -> None:
    """Raise InputError if labels are numbers that are not all whole, as the targets of a regression are.

    Parameters
    ----------
    what : str
        Name of the labels in the message.
    labels : ndarray of shape (m,)
        Labels, or text of a table.

    Raises
    ------
    InputError
        If they are floats, or text of numbers, and some of them are not whole.
    """
    if labels.dtype.kind == "f":
        known = labels[np.isfinite(labels)]
        different, fractional = np.unique(known), bool(np.any(known != np.rint(known)))
    elif labels.dtype.kind == "U" and all(map(is_number, cells := np.unique(labels).tolist())):
        # however they are written: 0.50 is text as a label
        different = np.unique(np.array(cells, dtype=np.float64))
        fractional = bool(np.any(different != np.rint(different)))
    else:
        return
    if fractional:
        some = [float(value) for value in different if value != np.rint(value)][:3]
        raise InputError(
            f"Unknown label type: continuous. {what} looks like the target of a regression: "
            f"{len(different)} different number{'s' if len(different) > 1 else ''}, not all whole, such as "
            f"{', '.join(f'{value:g}' for value in some)}. Classes are needed: cut the numbers into ranges, or name "
            f"classes by text or whole numbers"
        )
