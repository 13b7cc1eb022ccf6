"""Compilation of the kernels beside the caller, so that a first call keeps its time limit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bdnn import background
from bdnn.budget import Budget

_MOMENT = 1.0


def ready(dtype: np.dtype[np.generic] | type, robust: bool, budget: Budget, meanwhile: Iterable[object] = ()) -> bool:
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
    meanwhile : iterable
        Gone through while there is something to wait for, which loading what was cached is not.

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
    key = f"bdnn search kernels, {name}, {'robust' if robust else 'plain'}"
    background.begin(key, lambda: _compile(name, robust))
    if not background.done(key, budget.within(_MOMENT)):
        for _ in meanwhile:
            if not background.is_running(key) or budget.exhausted:
                break
    return background.done(key, budget)


def _compile(dtype: str, robust: bool) -> None:
    from bdnn.presolve import presolve
    from bdnn.problem import Problem
    from bdnn.search.engine import Search
    from bdnn.search.points import points
    from bdnn.search.robust import RobustSearch
    from bdnn.search.separator import separators
    from bdnn.search.surrogate import Surrogate

    problem = Problem(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=(), robust_radius=0.1 if robust else 0.0)
    kind = RobustSearch if robust else Search
    search = kind(points(presolve(problem), dtype), 0)
    search.randomise()
    list(search.turns(np.arange(search.n_neurons)))
    network = Surrogate(np.zeros((2, 1), np.float32), np.eye(2, dtype=np.float32), [1], False, np.random.default_rng())
    network.epoch(0.01, 1)
    network.loss()
    if not robust:
        # four points that no threshold separates, so that walks are compiled too
        X, gains = np.arange(4.0)[None, :], np.array([1.0, -1.0, 1.0, -1.0])
        list(separators(X, gains, Budget(seconds=60).start(), np.random.default_rng(0), rounds=2))
