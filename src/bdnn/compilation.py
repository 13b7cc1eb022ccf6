"""Compiled functions that are kept on disk where that is possible, and work without it where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

_said: list[str] = []


def compiled(**options: Any) -> Callable[..., Any]:
    """Return a decorator that compiles a function at its first use and keeps the code on disk, if there is a place.

    Where neither the installation nor the user's cache folder can be written, or the disk is full, the function is
    compiled anew in each process, and one warning says so.

    Parameters
    ----------
    **options : Any
        Of `numba.njit`, without `cache`.

    Returns
    -------
    callable
        The decorator.
    """
    import numba  # it takes long to import, and some modules need it only at first use

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            kept: Any = numba.njit(cache=True, **options)(function)
        except RuntimeError as error:  # numba found no folder that it can write
            plain = numba.njit(**options)(function)
            _say(error)
            return plain
        _save_if_possible(kept._cache)
        return kept

    return decorate


def _save_if_possible(cache: Any) -> None:
    save = cache.save_overload

    def saved(*arguments: Any) -> None:
        try:
            save(*arguments)
        except OSError as error:
            _say(error)

    cache.save_overload = saved


def _say(error: Exception) -> None:
    """Warn once in this process."""
    if not _said:
        _said.append(str(error))
        warnings.warn(
            f"compiled functions cannot be kept on disk ({error}), so every process compiles them anew, which takes "
            "some ten seconds; set NUMBA_CACHE_DIR to a folder that can be written and has space",
            RuntimeWarning,
            stacklevel=2,
        )
