"""Work that is done once beside the caller, such as compilation, so that a first call keeps its time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from bdnn.budget import Budget

_threads: dict[Hashable, threading.Thread] = {}
_failures: dict[Hashable, BaseException] = {}
_lock = threading.Lock()


def begin(key: Hashable, work: Callable[[], None]) -> None:
    """Start work on a thread unless that was done before; `key` names it."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            _failures[key] = error

    with _lock:
        if key not in _threads:
            _threads[key] = threading.Thread(target=run, name=f"{key}")
            _threads[key].start()


def is_running(key: Hashable) -> bool:
    """Whether work that was begun still goes on."""
    return _threads[key].is_alive()


def done(key: Hashable, budget: Budget) -> bool:
    """Wait for work that was begun, no longer than a budget lasts; it goes on if the time is up.

    Returns
    -------
    bool
        Whether it is done.

    Raises
    ------
    Exception
        What the work raised, if it failed.
    """
    thread = _threads[key]
    while thread.is_alive() and not budget.exhausted:
        thread.join(min(0.05, budget.remaining))
    if key in _failures:
        raise _failures[key]
    return not thread.is_alive()
