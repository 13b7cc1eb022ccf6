"""Work that is done once beside the caller, such as compilation, so that a first call keeps its time limit.

A process that forks waits for such work first: a compiler's locks that a thread holds at the fork would never be
released in the child, which would wait for them for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable

from bdnn.budget import Budget

_threads: dict[Hashable, threading.Thread] = {}
_failures: dict[Hashable, BaseException] = {}
_finished: set[Hashable] = set()
_lock = threading.Lock()


def begin(key: Hashable, work: Callable[[], None]) -> None:
    """Start work on a thread unless that was done before; `key` names it."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            _failures[key] = error
        else:
            _finished.add(key)

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


def _finish() -> None:
    """Wait for all work, except on a thread that does it; before a fork."""
    for thread in list(_threads.values()):
        if thread is not threading.current_thread() and thread.is_alive():
            thread.join()


def _forget_unfinished() -> None:
    """Make work that was begun while others were waited for begin again; in the child of a fork."""
    global _lock
    _lock = threading.Lock()
    for key in set(_threads) - _finished - set(_failures):
        del _threads[key]


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_finish, after_in_child=_forget_unfinished)
