"""The clock that limits and timings are read from; a test may put one of its own in its place."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_source: Callable[[], float] = time.monotonic


def reading() -> float:
    """Return the seconds on the clock, which never goes back; only differences mean something."""
    return _source()


def place() -> str:
    """Return what names the clock: readings of processes of the same place may be compared, "" with no others."""
    return _machine() if _source is time.monotonic else ""


@functools.cache
def _machine() -> str:
    import platform

    try:  # Linux: since its start all processes have the same clock
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        started = ""
    return f"{platform.node()} {started}"


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
