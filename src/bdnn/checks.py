"""Checks of arrays, labels and names that come from outside; what passes is plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.errors import InputError, UnknownLabelError
from bdnn.labels import check_present, listed, places_text, plain
from bdnn.types import Indices


def name_tuple(what: str, names: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """Return `names` as a tuple of `count` strings (None stays None), or raise InputError."""
    if names is None:
        return None
    if isinstance(names, str) or not np.iterable(names):
        raise InputError(f"{what} must be a sequence of {count} names or None, got {names!r}")
    listed = tuple(str(name) for name in names)
    if len(listed) != count:
        raise InputError(f"{what} must have one name per column ({count}), got {len(listed)}")
    return listed


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


def radius_limit(radius: float | None) -> float:
    """Return a radius in question as a float, inf for None, or raise InputError if it is no finite number >= 0."""
    if radius is None:
        return np.inf
    if isinstance(radius, bool | np.bool_) or not isinstance(radius, Real) or not 0 <= radius < np.inf:
        raise InputError(f"radius must be a finite number >= 0, or None for the smallest perturbations, got {radius!r}")
    return float(radius)


def thread_count(n_jobs: int | None) -> int:
    """Return the number of threads that a setting asks for, counted as joblib counts.

    Parameters
    ----------
    n_jobs : int or None
        Threads if it is positive, and None for 1; -1 for all processors that this process may use (its affinity and the
        limits of its container count), -2 for all but one and so on, but one at least.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    InputError
        If it is 0 or no integer.

    Examples
    --------
    >>> thread_count(None), thread_count(3), thread_count(-1000)
    (1, 3, 1)
    """
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, bool | np.bool_) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise InputError(
            f"n_jobs must be a positive integer, -1 for all processors, -2 for all but one and so on, or None for 1, "
            f"got {n_jobs!r}"
        )
    if n_jobs > 0:
        return int(n_jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(n_jobs))
