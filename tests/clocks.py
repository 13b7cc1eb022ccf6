"""Clocks that tests own, in the place of the one that limits are read from."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bdnn import clock


class Ticking:
    """A clock that moves on a little at every reading, however long that takes.

    Work that ignores its limit does not hang a test, nor does a slow machine fail one: what is counted are readings.

    Parameters
    ----------
    limit : float
        Seconds after which work should end.
    step : float
        Seconds from one reading to the next.
    most_late : int
        Readings after the limit that are accepted; the next one fails.
    """

    def __init__(self, limit: float = math.inf, step: float = 0.01, most_late: int = 1000) -> None:
        self.limit, self.step, self.most_late = limit, step, most_late
        self.readings = self.late = 0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            self.readings += 1
            now = self.readings * self.step
            self.late += now > self.limit
            if self.late > self.most_late:
                raise AssertionError(f"work goes on, {self.most_late} readings of the clock after its limit")
            return now


@contextmanager
def ticking(limit: float = math.inf, step: float = 0.01, most_late: int = 1000) -> Iterator[Ticking]:
    """Read a `Ticking` clock inside a block."""
    source = Ticking(limit, step, most_late)
    with clock.replaced(source):
        yield source


class Hand:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
