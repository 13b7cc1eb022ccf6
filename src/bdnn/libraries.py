"""How many threads the numerical libraries of the process use."""

from __future__ import annotations

import functools
import sys
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController


def limited_threads(count: int, only: str | None = None) -> AbstractContextManager[Any]:
    """Return a context in which BLAS and OpenMP use at most so many threads.

    Parameters
    ----------
    count : int
        Threads of each library.
    only : {"blas", "openmp"} or None
        Which kind of library is meant; None for both.

    Returns
    -------
    context manager
        It restores what was before.
    """
    context: AbstractContextManager[Any] = _controller(len(sys.modules)).limit(limits=count, user_api=only)
    return context


# looking for the libraries takes a millisecond or two, a tenth of a small fit; a new module may have loaded another one
@functools.lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:
    return ThreadpoolController()
