"""Signals that end a run: Ctrl-C, and what batch systems, containers, `timeout` and closed terminals send.

The first one is a KeyboardInterrupt, which training and certification answer with the best result so far; while
results are written it is only noted. Another one, a second or more later, ends the program at once.

Foreign code can swallow an exception that comes at the wrong moment, as calls back from C do. So code that works for
long asks again: see `repeated` and `heard`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from bdnn.clock import reading

if TYPE_CHECKING:
    from bdnn.status import Progress, ProgressCallback

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
# `timeout` signals the process and then its group, so the same request can come twice
_SAME_REQUEST_SECONDS = 1.0
# seconds after which work that still goes on has missed the request; work that is ending takes less
_PATIENCE = 2.0


class _Requests:
    """What was asked for since the command began."""

    def __init__(self) -> None:
        self.name, self.came, self.finishing = "", 0.0, False

    def take(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        if not self.name:
            self.name, self.came = signal.Signals(number).name, reading()
            if not self.finishing:
                raise KeyboardInterrupt
        elif reading() - self.came >= _SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


_requests = _Requests()


@contextmanager
def heeded() -> Iterator[None]:
    """Take signals as requests to stop; on the main thread only, and only those that nobody else takes or ignores."""
    global _requests
    _requests = _Requests()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, _requests.take)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def finishing() -> Iterator[None]:
    """Keep a first request from breaking off the block, which saves and reports what was found."""
    _requests.finishing = True
    try:
        yield
    finally:
        _requests.finishing = False


def requested() -> str:
    """Return what asked to stop, as a user would call it; an empty string if nothing did."""
    return "Ctrl-C" if _requests.name == "SIGINT" else _requests.name


def repeated(patience: float | None = None) -> None:
    """Raise a KeyboardInterrupt again if the work goes on some seconds after a request to stop (None: as a rule)."""
    if not _requests.name or _requests.finishing:
        return
    if reading() - _requests.came >= (_PATIENCE if patience is None else patience):
        _requests.came = reading()
        raise KeyboardInterrupt


def heard(listener: ProgressCallback | None) -> ProgressCallback:
    """Return a listener that asks again where a request to stop was swallowed, and then does what another one does."""

    def listen(progress: Progress) -> None:
        repeated()
        if listener is not None:
            listener(progress)

    return listen
