"""Compilation of the kernels beside the caller, so that a first call keeps its time limit."""

from __future__ import annotations

import threading

import numpy as np

from bdnn.budget import Budget

_threads: dict[str, threading.Thread] = {}
_failures: dict[str, BaseException] = {}
_lock = threading.Lock()


def ready(dtype: np.dtype[np.generic] | type, budget: Budget) -> bool:
    """Load or compile the kernels for points of a type; wait for it no longer than the budget lasts.

    The first call on a machine compiles for some ten seconds, later ones load what was cached on disk. Compilation goes
    on in a thread if the time is up.

    Parameters
    ----------
    dtype : numpy dtype
        float32 or float64.
    budget : Budget
        With a running clock.

    Returns
    -------
    bool
        Whether the kernels can be called now.

    Raises
    ------
    Exception
        What compilation raised, if it failed.
    """
    name = np.dtype(dtype).name
    with _lock:
        if name not in _threads:
            _threads[name] = threading.Thread(target=_compile, args=(name,), name=f"compile {name} kernels")
            _threads[name].start()
        thread = _threads[name]
    while thread.is_alive() and not budget.exhausted:
        thread.join(min(0.05, budget.remaining))
    if name in _failures:
        raise _failures[name]
    return not thread.is_alive()


def _compile(name: str) -> None:
    try:
        from bdnn.search import kernels

        X, ones = np.array([[0.0, 1.0]], dtype=name), np.ones(1)
        kernels.turn(
            kernels.new_state(X, np.eye(2, dtype=name), ones, ones, ones, (1,), False, 0, True, 1), -1, 0, 0.0, 1
        )
    except BaseException as error:
        _failures[name] = error
