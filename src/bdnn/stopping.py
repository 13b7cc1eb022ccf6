"""A request to stop that reaches tasks wherever they are done, and the listener by which it ends a run."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.clock import reading

if TYPE_CHECKING:
    from bdnn.status import Progress, ProgressCallback

# seconds between looks at a file, and at an event of Dask, which asks the scheduler: a user waits no longer for Ctrl-C
_LOOK, _ASK = 0.1, 0.5
# seconds within which signals are one request: programs such as `timeout` send it to a process and then to its group
_SAME_REQUEST = 1.0
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Stop:
    """A request to stop, which tasks look at wherever they are done."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._file: str | None = None
        self._client: Any = None
        self._name: str | None = None
        self._next, self._travelled = -np.inf, False

    def __reduce__(self) -> tuple[Callable[..., Stop], tuple[str | None, str | None]]:
        return _arrived_stop, (self._file, self._name)

    @property
    def requested(self) -> bool:
        """Whether tasks should end."""
        if not self._event.is_set() and self._travelled and reading() >= self._next:
            self._next = reading() + (_LOOK if self._name is None else _ASK)
            if self._heard():
                self._event.set()
        return self._event.is_set()

    def _heard(self) -> bool:
        if self._file is not None and os.path.exists(self._file):
            return True
        if self._name is None:
            return False
        from distributed import Event  # type: ignore[import-not-found, unused-ignore]

        try:
            return bool(Event(self._name).is_set())
        except Exception:  # whoever wanted the outcome has gone, and so has the scheduler
            return True

    def request(self) -> None:
        """Ask tasks to end; this does not wait, so a handler of signals may call it."""
        if self._event.is_set():
            return
        self._event.set()
        if self._file is not None:
            with suppress(OSError):  # it has been removed: nothing is being done any more
                open(self._file, "wb").close()
        if self._name is not None:
            threading.Thread(target=self._tell_dask, daemon=True).start()

    def _tell_dask(self) -> None:
        from distributed import Event  # type: ignore[import-not-found, unused-ignore]

        with suppress(Exception):  # the scheduler has gone, and the tasks with it
            Event(self._name, client=self._client).set()

    @contextmanager
    def reaches_processes(self, client: Any) -> Iterator[None]:
        """Let the request reach tasks in other processes of this machine, and of Dask."""
        folder = tempfile.mkdtemp(prefix="bdnn-")
        self._file = os.path.join(folder, "stop")
        if client is not None:
            self._client, self._name = client, f"bdnn-{uuid.uuid4().hex}"
        if self._event.is_set():
            self._event.clear()
            self.request()  # of processes, too
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._file = self._name = self._client = None

    @contextmanager
    def instead_of_signals(self) -> Iterator[None]:
        """Take the first signal that would raise KeyboardInterrupt as a request, on the main thread, which gets them.

        joblib would break off whatever is being done, and what that has found so far would be lost.
        """
        before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        came = -np.inf

        def take(number: int, frame: FrameType | None) -> None:
            nonlocal came
            try:
                before[number](number, frame)
            except KeyboardInterrupt:
                if self._event.is_set() and reading() - came >= _SAME_REQUEST:
                    raise
                came = reading()
                self.request()

        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
                handler = signal.getsignal(number)
                if callable(handler) and not isinstance(handler, signal.Handlers):
                    before[number] = handler
                    signal.signal(number, take)
        try:
            yield
        finally:
            for number, handler in before.items():
                with suppress(ValueError):  # a generator that is collected on another thread
                    signal.signal(number, handler)


def _arrived_stop(file: str | None, name: str | None) -> Stop:
    stop = Stop()
    stop._file, stop._name, stop._travelled = file, name, True
    return stop


class Teller:
    """A listener for tasks: it ends a run when that is asked for, and tells another listener where that can hear.

    Parameters
    ----------
    stop : Stop
        The request.
    listener : callable or None
        Told of progress by one thread at a time; it does not travel to other processes.
    """

    def __init__(self, stop: Stop, listener: ProgressCallback | None = None) -> None:
        self._stop, self._listener, self._lock = stop, listener, threading.Lock()

    def __reduce__(self) -> tuple[type[Teller], tuple[Stop]]:
        return type(self), (self._stop,)

    def __call__(self, progress: Progress) -> None:
        """Tell, or raise KeyboardInterrupt, upon which a method returns its best network."""
        if self._stop.requested:
            raise KeyboardInterrupt
        if self._listener is not None:
            with self._lock:
                self._listener(progress)
