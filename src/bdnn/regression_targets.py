"""Numbers that look like the target of a regression, where classes are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bdnn.errors import InputError
from bdnn.labels import is_number

if TYPE_CHECKING:
    from bdnn.types import Indices

_LIKE_A_REGRESSION = "looks like the target of a regression"
# numbers that are classes recur: targets of regressions have many values, most of them in few rows. Whole numbers may
# be codes of classes, so more of them pass
_FEW_CLASSES = 20
_MANY_CLASSES = 50  # whole numbers
_FEW_ROWS = 10  # per value on average; also the share, a tenth, of values in one row only


def check_discrete(what: str, labels: NDArray[Any]) -> None:
    """Raise InputError if labels are numbers as the targets of a regression are.

    Parameters
    ----------
    what : str
        Name of the labels in the message.
    labels : ndarray of shape (m,)
        Labels, or text of a table.

    Raises
    ------
    InputError
        If they are floats that are not all whole, more than 20 different numbers that are kept as text and are not all
        whole, or more than 50 whole numbers, on average in fewer than 10 rows, of which a tenth is in one row only.
    """
    different, counts = _different_numbers(labels)
    fractional = [float(value) for value in different if value != np.rint(value)][:3]
    number = f"{len(different)} different number{'s' if len(different) > 1 else ''}"
    if fractional and (labels.dtype.kind == "f" or len(different) > _FEW_CLASSES):
        shown = ", ".join(f"{value:g}" for value in fractional)
        found = f"Unknown label type: continuous. {what} {_LIKE_A_REGRESSION}: {number}, not all whole, such as {shown}"
    elif (
        not fractional
        and labels.dtype.kind != "U"  # numbers with leading zeros are names
        and len(different) > _MANY_CLASSES
        and len(different) * _FEW_ROWS > counts.sum()
        and np.sum(counts == 1) * _FEW_ROWS > len(different)
    ):
        found = (
            f"{what} {_LIKE_A_REGRESSION}: {number} in {counts.sum()} rows, {np.sum(counts == 1)} of them in only "
            f"one row"
        )
    else:
        return
    or_whole = " or whole numbers" if fractional else ""
    raise InputError(f"{found}. Classes are needed: cut the numbers into ranges, or name classes by text{or_whole}")


def regression_hint(what: str, labels: NDArray[Any]) -> str:
    """Return why labels that pass `check_discrete` may still be the target of a regression, or an empty string.

    Parameters
    ----------
    what : str
        Name of the labels.
    labels : ndarray of shape (m,)
        Labels, or text of a table.

    Returns
    -------
    str
        Not empty if they are more than 20 different numbers, on average in fewer than 10 rows, and some in one only.
    """
    different, counts = _different_numbers(labels)
    if len(different) <= _FEW_CLASSES or len(different) * _FEW_ROWS <= counts.sum() or counts.min() > 1:
        return ""
    return (
        f"{what} {_LIKE_A_REGRESSION}: {len(different)} different numbers in {counts.sum()} rows. Each is taken as a "
        f"class of its own; unless this is intended, cut the numbers into ranges"
    )


def _different_numbers(labels: NDArray[Any]) -> tuple[NDArray[Any], Indices]:
    """Return the finite numbers among labels, and how often each occurs; none if the labels are not all numbers."""
    if labels.dtype.kind == "f":
        labels = labels[np.isfinite(labels)]
    elif labels.dtype.kind == "U" and all(map(is_number, set(labels.tolist()))):
        # however they are written: 0.50 is text as a label
        labels = labels.astype(np.float64)
    elif labels.dtype.kind not in "iu":
        labels = np.zeros(0)
    different, counts = np.unique(labels, return_counts=True)
    return different, counts
