"""The clock that limits and timings are read from; a test may put one of its own in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_source: Callable[[], float] = time.monotonic


def reading() -> float:
    """Return the seconds on the clock, which never goes back; only differences mean something."""
    return _source()


@contextmanager
def replaced(source: Callable[[], float]) -> Iterator[None]:
    """Read another clock inside a block of code, in every thread.

    Parameters
    ----------
    source : callable
        Returns seconds; must never go back.
    """
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
