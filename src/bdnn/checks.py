"""Checks of names and numbers that come from outside; what passes is plain NumPy."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TypeVar

import numpy as np

from bdnn.errors import InputError

Entry = TypeVar("Entry")


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


def entry(what: str, name: str, table: Mapping[str, Entry], known: Iterable[str] | None = None) -> Entry:
    """Return what a table has by a name.

    Parameters
    ----------
    what : str
        What is looked for, in a word.
    name : str
        What was given.
    table : mapping
        By name.
    known : iterable of str or None
        Names that an error lists, None for those of the table.

    Returns
    -------
    object
        The entry.

    Raises
    ------
    InputError
        If there is none of the name.
    """
    if name not in table:
        raise InputError(f"the {what} must be one of {', '.join(table if known is None else known)}, got {name!r}")
    return table[name]


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
        Threads if it is positive; None for those that `joblib.parallel_config` asks for on this machine, or else 1; -1
        for all processors that this process may use (its affinity and the limits of its container count), -2 for all
        but one and so on, but one at least.

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
        return _configured()
    if isinstance(n_jobs, bool | np.bool_) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise InputError(
            f"n_jobs must be a positive integer, -1 for all processors, -2 for all but one and so on, or None for 1, "
            f"got {n_jobs!r}"
        )
    return _counted(int(n_jobs))


def _counted(n_jobs: int) -> int:
    if n_jobs > 0:
        return n_jobs
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + n_jobs)


def _configured() -> int:
    """Return the threads of this machine that joblib is configured for; a solver cannot use those of a cluster."""
    if "joblib" not in sys.modules:  # nobody has, and its import takes long
        return 1
    from joblib.parallel import get_active_backend

    backend, n_jobs = get_active_backend()
    is_local = type(backend).__module__ == "joblib._parallel_backends"
    return _counted(int(n_jobs)) if is_local and n_jobs else 1
