"""Search with a limit on the columns: which of them, by swaps, and a search of weights on each choice.

A network that uses a set of columns is a network on the data without the others, where equal rows are one point. So the
search on a choice is the plain search on fewer inputs, and the choice is what changes: columns are dropped and others
taken in, from where the weights were, and now and then all of it begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.network.network import Layer
from bdnn.search.engine import Search
from bdnn.search.points import Points, points

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Indices

# steps of the search on all columns whose largest weights are the first choice: a descent, or part of it
_FIRST_STEPS = 40
# perturbations in vain that end the work on a choice that was never seen, and on the best one after a round of swaps
_NEW_PATIENCE, _BEST_PATIENCE = 5, 60
# swaps in vain, for each column, after which the best choice is worked on and another one is begun with
_SWAPS_PER_COLUMN = 3
# columns that are exchanged where another choice is begun with
_KICK = 2


def chooses(data: Points) -> bool:
    """Whether a network may not use all columns that vary."""
    limits = data.reduced.problem.limits
    return limits.most is not None and limits.most < len(np.unique(limits.groups[data.reduced.kept]))


class SupportSearch:
    """A search on one thread for networks that use few columns; for its callers it is like `Search`.

    Parameters
    ----------
    data : Points
        With all columns.
    seed : int
        Of all its random choices.
    collect : bool, default=False
        Collect local optima, and go on when no point is wrong any more.
    kind : type of Search
        The search of weights.

    Attributes
    ----------
    best : float
        Least loss so far, on the points of `data`.
    rounds : int
        Choices of columns so far, and perturbations on them.
    optima : list of Network
        Local optima, if they are collected; to be emptied by the caller.
    """

    def __init__(self, data: Points, seed: int, collect: bool = False, kind: type[Search] = Search) -> None:
        self._data, self._seed, self._collect, self._kind = data, seed, collect, kind
        self._rng = np.random.default_rng([seed, 0xC01])
        limits = data.reduced.problem.limits
        # columns of which some input varies
        self._groups = np.unique(limits.groups[data.reduced.kept])
        self._limits, self._most = limits, limits.most or 0
        self._seen: set[tuple[int, ...]] = set()
        self._finished = 0
        self._running: Search | None = None
        self._found: tuple[float, Network | None] = (math.inf, None)
        self.best = math.inf
        self.optima: list[Network] = []

    @property
    def rounds(self) -> int:
        """Choices and perturbations so far."""
        return self._finished + (0 if self._running is None else self._running.rounds)

    @property
    def started(self) -> bool:
        """Whether the first start is there, with a descent: choices of columns begin from it."""
        return self.rounds > 0

    def best_network(self) -> Network:
        """Return the best network so far."""
        network = self._found[1]
        assert network is not None
        return network

    def _reduced(self, chosen: Indices) -> Presolved:
        """Return the problem on some columns."""
        return self._data.reduced.on_columns(np.flatnonzero(np.isin(self._limits.groups, chosen)))

    def _search(self, reduced: Presolved) -> Search:
        """Return a search on a reduced problem, which counts as the one that is running."""
        if self._running is not None:
            self._finished += self._running.rounds + 1
        self._running = self._kind(points(reduced), int(self._rng.integers(2**31)), self._collect)
        return self._running

    def _keep(self, search: Search) -> float:
        """Take over the best network of a search on some columns, and return its loss on all of the points."""
        constant = search.points.reduced.constant - self._data.reduced.constant
        loss = search.best + constant
        if loss < self.best:
            # in this order, as another thread may read them
            self._found = loss, search.best_network()
            self.best = loss
        self.optima += search.optima
        search.optima = []
        return loss

    def _work(self, chosen: Indices, given: Network | None, patience: int, budget: Budget) -> Iterator[None]:
        """Search on a choice of columns, from a network that uses no others if there is one."""
        search = self._search(self._reduced(chosen))
        search.begin(budget)
        if given is not None:
            search.load(given)
        elif search.state.intercept and search.points.reduced.n_points:
            yield from search.smooth(budget)
        else:
            search.randomize()
        yield from search.approach()
        for _ in search.descend():
            self._keep(search)
            yield
        self._keep(search)
        for _ in search.perturbations(patience, budget):
            self._keep(search)
            yield
        self._keep(search)

    def _first_choice(self, budget: Budget, given: Network | None) -> Iterator[None]:
        """Choose the columns of the largest weights that a network on all of them has."""
        if given is not None:
            weights = given.layers[0].weights
        else:
            search = self._search(self._data.reduced)
            search.begin(budget)
            if search.state.intercept:
                yield from search.smooth(budget)
            else:
                search.randomize()
            for number, _ in enumerate(search.descend()):
                yield
                if number >= _FIRST_STEPS:
                    break
            search.optima = []
            weights = search.network().layers[0].weights
        reduced, size = self._data.reduced, np.zeros(len(weights[0]))
        size[reduced.kept] = (
            np.abs(weights[:, reduced.kept]).sum(axis=0) * reduced.scale[reduced.kept] * reduced.strength
        )
        by_group = np.bincount(self._limits.groups, size, minlength=self._limits.n_groups)[self._groups]
        # a little chance, as every thread begins with this
        by_group = by_group * np.exp(0.1 * self._rng.normal(size=len(by_group)))
        self._chosen = self._groups[np.sort(np.argsort(-by_group, kind="stable")[: self._most])]

    def _neighbor(self, chosen: Indices, swaps: int) -> Indices:
        """Return another choice, which differs in so many columns; one that was not seen, if it is soon found."""
        other = chosen
        outside = np.setdiff1d(self._groups, chosen)
        swaps = min(swaps, len(outside), len(chosen))
        for _ in range(2 * len(self._groups)):
            kept = self._rng.permutation(chosen)[swaps:]
            other = np.sort(np.concatenate([kept, self._rng.permutation(outside)[:swaps]]))
            if tuple(other.tolist()) not in self._seen:
                break
        self._seen.add(tuple(other.tolist()))
        return other

    def _restricted(self, network: Network | None, chosen: Indices) -> Network | None:
        """Return a network without the weights of all other columns; None if no weight is left."""
        if network is None:
            return None
        (W, b), *rest = network.layers
        W = np.where(np.isin(self._limits.groups, chosen), W, 0)
        return replace(network, layers=(Layer(W, b), *rest)) if W.any() else None

    def run(self, budget: Budget, given: Network | None = None) -> Iterator[None]:
        """Search without end; see `Search.run`."""
        yield from self._first_choice(budget, given)
        chosen, attempt = self._chosen, 0
        self._seen.add(tuple(chosen.tolist()))
        yield from self._work(chosen, given, _NEW_PATIENCE, budget)
        while self.best > 0 or self._collect:
            # from where the last choice ended: its own best network, not that of all
            current = self._now()
            yield from self._swaps(chosen, current, budget)
            chosen = self._best_choice()
            yield from self._work(chosen, self.best_network() if attempt % 2 else None, _BEST_PATIENCE, budget)
            attempt += 1
            chosen = self._neighbor(self._best_choice(), _KICK)
            if attempt % 4 == 3:
                self._seen.clear()  # a second look, from other weights
            yield from self._work(chosen, None, _NEW_PATIENCE, budget)

    def _now(self) -> tuple[float, Network]:
        """Return the loss and the network of the choice that was worked on last."""
        search = self._running
        assert search is not None
        return search.best + search.points.reduced.constant, search.best_network()

    def _best_choice(self) -> Indices:
        """Return the columns of the best network, and some others if it does not use as many as it may."""
        used = self._limits.used(self.best_network().layers[0].weights)
        others = self._rng.permutation(np.setdiff1d(self._groups, used))
        return np.sort(np.concatenate([used, others[: max(self._most - len(used), 0)]]))

    def _swaps(self, chosen: Indices, current: tuple[float, Network], budget: Budget) -> Iterator[None]:
        """Exchange one column for another as long as that helps."""
        stalled, limit = 0, _SWAPS_PER_COLUMN * len(self._groups)
        while stalled < limit and (self.best > 0 or self._collect):
            other = self._neighbor(chosen, 1)
            yield from self._work(other, self._restricted(current[1], other), _NEW_PATIENCE, budget)
            found = self._now()
            stalled = 0 if found[0] < current[0] else stalled + 1
            if found[0] <= current[0]:
                chosen, current = other, found
