"""Short searches from given networks, for methods that find starts by other means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.budget import Budget
from bdnn.libraries import limited_threads
from bdnn.search.engine import Search
from bdnn.search.points import points

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved

# rounds of a search
_ROUNDS = 100


class Descents:
    """Searches of a hundred rounds, each from a network that it is given.

    Parameters
    ----------
    reduced : Presolved
        The problem.
    seed : int
        Of their random choices.
    """

    def __init__(self, reduced: Presolved, seed: int) -> None:
        self._points = points(reduced)
        self._seed = int(np.random.default_rng([seed, 0xDE5CE7]).integers(1 << 31))
        self._best = np.inf

    def __call__(self, start: Network, number: int, seconds: float) -> Network | None:
        """Return a network that is better than all that were returned before, or None.

        Parameters
        ----------
        start : Network
            Where the search begins.
        number : int
            Of the search: others make other choices.
        seconds : float
            That it may take.
        """
        search, budget = Search(self._points, self._seed ^ number), Budget(seconds=seconds).start()
        with limited_threads(1):
            for _ in search.run(budget, start):
                if search.rounds >= _ROUNDS or search.best <= 0 or budget.exhausted:
                    break
        if search.best >= self._best:
            return None
        self._best = search.best
        return search.best_network()
