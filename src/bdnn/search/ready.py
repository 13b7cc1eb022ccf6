"""Compilation of the kernels beside the caller, so that a first call keeps its time limit."""

from __future__ import annotations

import threading

import numpy as np

from bdnn.budget import Budget

_threads: dict[tuple[str, bool], threading.Thread] = {}
_failures: dict[tuple[str, bool], BaseException] = {}
_lock = threading.Lock()


def ready(dtype: np.dtype[np.generic] | type, robust: bool, budget: Budget) -> bool:
    """Load or compile the kernels for points of a type; wait for it no longer than the budget lasts.

    The first call on a machine compiles for some ten seconds, later ones load what was cached on disk. Compilation goes
    on in a thread if the time is up.

    Parameters
    ----------
    dtype : numpy dtype
        float32 or float64.
    robust : bool
        Which search.
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
    key = (np.dtype(dtype).name, robust)
    with _lock:
        if key not in _threads:
            _threads[key] = threading.Thread(target=_compile, args=key, name=f"compile kernels {key}")
            _threads[key].start()
        thread = _threads[key]
    while thread.is_alive() and not budget.exhausted:
        thread.join(min(0.05, budget.remaining))
    if key in _failures:
        raise _failures[key]
    return not thread.is_alive()


def _compile(dtype: str, robust: bool) -> None:
    try:
        from bdnn.presolve import presolve
        from bdnn.problem import Problem
        from bdnn.search.engine import Search
        from bdnn.search.points import points
        from bdnn.search.robust import RobustSearch
        from bdnn.search.separator import separators

        problem = Problem(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=(), robust_radius=0.1 if robust else 0.0)
        kind = RobustSearch if robust else Search
        kind(points(presolve(problem), dtype), 0).randomise()
        if not robust:
            # four points that no threshold separates, so that walks are compiled too
            X, gains = np.arange(4.0)[None, :], np.array([1.0, -1.0, 1.0, -1.0])
            list(separators(X, gains, Budget(seconds=60).start(), np.random.default_rng(0), rounds=2))
    except BaseException as error:
        _failures[dtype, robust] = error
