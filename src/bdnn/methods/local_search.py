"""Local search in weight space on all the data: exact line search, many starts, and a margin polish at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.methods.run import Race
from bdnn.methods.starts import enter_given
from bdnn.network.network import Network
from bdnn.polish import polished
from bdnn.problem.problem import Problem, choice
from bdnn.result import Result
from bdnn.status import ProgressCallback

if TYPE_CHECKING:
    from bdnn.search.engine import Search

POLISHES = ("margin", "none")
INCUMBENTS = ("search", "none")
NO_TIME_TO_POLISH = "the time limit left no time to make the margins larger"

_POLISH_SHARE, _MOST_POLISH_SHARE = 0.1, 0.3
_POLISH_AUDITS, _POLISH_SECONDS = 3.0, 6e-8  # of a polish before its first neuron: passes of an audit, and by number
_MOST_POLISHED = 100_000_000
_AUDIT_SHARE = 0.05
_LEAST_ROUNDS = 400
_LEAST_JUDGED = 100
_INCUMBENT_SHARE = 0.1
_INCUMBENT_SECONDS = 5.0
_INCUMBENT_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class LocalSearch:
    """Train by local search with exact line searches along directions in weight space.

    The loss is piecewise constant along every direction; its breakpoints are sorted and the best interval is taken. A
    descent gives every neuron of every layer its turn until nothing improves, then neurons are kicked and repaired.
    Starts come from a gradient surrogate and at random; threads search independently.

    Parameters
    ----------
    polish : {"margin", "none"}, default="margin"
        "margin" moves every neuron of the best network to the separator of largest margin between the training points
        it fires on and the others, which changes no decision on them; of up to 10^8 input numbers.

    References
    ----------
    Exact line search for the 0/1 loss: T. Nguyen and S. Sanner, Algorithms for direct 0-1 loss optimization in binary
    classification, ICML 2013.
    """

    polish: str = "margin"

    def __call__(
        self,
        problem: Problem,
        budget: Budget | None = None,
        start: Network | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Result:
        """Train.

        Parameters
        ----------
        problem : Problem
            What to train on.
        budget : Budget or None
            Limits; None for none. With a limit on rounds and one thread, equal seeds give equal networks. Without one
            the search ends when many rounds in a row bring nothing. There are no branch-and-bound nodes to be limited.
        start : Network or None
            A network of the problem's class to start from; the result is never worse.
        on_progress : callable or None
            Receives a `Progress` several times a second.

        Returns
        -------
        Result
            With the best network found, also after a limit or Ctrl-C. Its bound is trivial: local search proves
            nothing.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        """
        choice("polish", self.polish, POLISHES)
        budget = (budget or Budget()).start()
        if budget.nodes is not None:
            raise InputError(
                f"local search has no branch-and-bound nodes to be limited, got Budget(nodes={budget.nodes}): limit "
                "its rounds, Budget(rounds=...)"
            )
        start = None if start is None else start.for_columns(problem.feature_names)
        race = Race(problem, budget, on_progress)
        message, interrupted = "nothing left to improve", False
        try:
            with race.timed("start"):
                enter_given(race, start)
            if not race.closed:
                limits = self._time_to_search(race)
                message, interrupted = search_into(race, limits, start, polishes=self.polish == "margin", promised=True)
            if self.polish == "margin" and not interrupted and not polish(race, budget):
                race.fell_short(NO_TIME_TO_POLISH)
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        result = race.result("local_search", message, race.reduced.everything, interrupted)
        return replace(result, nodes=race.rounds)

    def _time_to_search(self, race: Race) -> Budget:
        """Return the budget of the search: the rest is for the polish and the last audit."""
        remaining = race.budget.remaining - 2 * race.audit_seconds
        least, share = _seconds_of_polish(race), 0.0
        if self.polish == "margin" and least <= _MOST_POLISH_SHARE * remaining:
            share = max(_POLISH_SHARE, least / remaining if remaining else 0.0)
        return race.budget.within((1 - share) * remaining)


def polish(race: Race, budget: Budget) -> bool:
    """Put the network of largest margins in the place of the best one; return whether there was time to begin."""
    race.release()
    before = race.chosen
    if before is None or not _has_margins(race.problem):
        return True
    if budget.remaining < _seconds_of_polish(race):
        return False
    race.phase = "polish"
    with race.timed("polish"):
        network = with_largest_margins(race, before.network, budget)
        if network != before.network:
            race.replace(before, network)
    return True


def with_largest_margins(race: Race, network: Network, budget: Budget) -> Network:
    """Return the network of largest margins with the same decisions on the training points.

    Networks of integers or without biases stay as they are, and so do those of more data than is polished in the time.
    """
    problem = race.problem
    if not _has_margins(problem):
        return network
    return polished(
        network,
        # distinct points whose label matters, so that weights and repeated rows give the same network
        np.asarray(problem.X) if problem.robust else race.reduced.raw_points,
        codes=problem.codes if problem.robust else None,
        budget=budget,
        robust_radius=problem.robust_radius,
        robust_norm=problem.robust_norm,
        robust_model=problem.robust_model,
    )


def _has_margins(problem: Problem) -> bool:
    """Whether there are margins to be made larger, and not more data than is polished at all."""
    return problem.weights == "continuous" and problem.fit_intercept and np.size(problem.X) <= _MOST_POLISHED


def _seconds_of_polish(race: Race) -> float:
    """Return about how long a polish takes at least."""
    return _POLISH_AUDITS * race.audit_seconds + _POLISH_SECONDS * np.size(race.problem.X)


def enter_incumbents(
    race: Race,
    start: Network | None,
    rounds: int = _INCUMBENT_ROUNDS,
    most_seconds: float = _INCUMBENT_SECONDS,
    *,
    polishes: bool = True,
) -> bool:
    """Enter the user's start, a constant network, and the outcome of a short local search, for a solver to start from.

    Parameters
    ----------
    race : Race
        Receives the networks.
    start : Network or None
        A network of the problem's class.
    rounds : int
        Of the search, at most.
    most_seconds : float
        Of the search, which takes a tenth of the time that is left at most.
    polishes : bool
        Whether the margins of the best network are made largest.

    Returns
    -------
    bool
        Whether there was a search: not if it was compiled for the first time, which takes longer, or begun too late.

    Raises
    ------
    InputError
        If the start is of another class.
    """
    enter_given(race, start)
    if race.closed:
        return False
    budget = race.budget
    seconds = min(_INCUMBENT_SHARE * budget.remaining, most_seconds)
    rounds = rounds if budget.rounds is None else min(rounds, budget.rounds)
    short = replace(budget.within(seconds), rounds=rounds, threads=1)
    entered = len(race.starts)
    _, interrupted = search_into(race, short, start)
    if interrupted:
        raise KeyboardInterrupt
    race.release()
    if len(race.starts) == entered or race.best is None:
        return False
    if polishes:  # solvers want a margin
        polish(race, short)
    race.starts.append(race.best)
    return True


def search_into(
    race: Race, budget: Budget, start: Network | None = None, *, polishes: bool = False, promised: bool = False
) -> tuple[str, bool]:
    """Search and enter the networks found into the race.

    Parameters
    ----------
    race : Race
        Receives networks and progress.
    budget : Budget
        Limits of the search.
    start : Network or None
        Where one of the threads starts.
    polishes : bool
        Whether local optima are polished before they are judged on held-out data.
    promised : bool
        Whether it is a shortfall of the run if the time is not enough for one descent.

    Returns
    -------
    message : str
        Why it stopped.
    interrupted : bool
        Whether Ctrl-C came.
    """
    from bdnn.search.engine import Search
    from bdnn.search.interval_engine import RobustSearch
    from bdnn.search.points import points

    if budget.exhausted:
        return _unsearched(race, promised), False
    race.phase = "build"
    with race.timed("build"):
        data = points(race.reduced)
    race.phase = "search"
    race.report()
    kind = RobustSearch if race.problem.robust else Search
    with race.timed("build"):
        collect = race.problem.validation is not None
        searches = [kind(data, budget.seed + number, collect) for number in range(budget.threads)]
    if budget.exhausted:
        return _unsearched(race, promised), False
    relay = _Relay(race, budget, searches, polishes)
    with race.timed("search"), ThreadpoolController().limit(limits=1):
        try:
            if len(searches) == 1:
                for _ in searches[0].run(budget, start):
                    if relay.finished():
                        break
            else:
                with _threads(searches, budget, start) as (running, errors):
                    while not errors and any(thread.is_alive() for thread in running):
                        time.sleep(0.02)
                        if relay.finished():
                            break
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        relay.enter()
    if promised and not interrupted and relay.late and min(search.rounds for search in searches) == 0:
        race.fell_short("the time limit passed before the search reached a first local optimum")
    return "stopped by Ctrl-C" if interrupted else relay.message, interrupted


def _unsearched(race: Race, promised: bool) -> str:
    """Return why there was no search."""
    message = "the time limit passed before the search was begun"
    if promised:
        race.fell_short(message)
    return message


class _Relay:
    """Brings the best network of all searches into the race, now and then, and says when to stop."""

    def __init__(self, race: Race, budget: Budget, searches: list[Search], polishes: bool) -> None:
        self._race, self._budget, self._searches, self._polishes = race, budget, searches, polishes
        self._entered, self._next, self._shown = np.inf, 0.0, 0.0
        self._best, self._rounds_of_best = np.inf, 0
        self._next_judged = 0.0
        self.late = False
        self.message = "nothing left to improve"

    def finished(self) -> bool:
        """Report, and return whether the search is over."""
        rounds = min(search.rounds for search in self._searches)
        best = min(search.best for search in self._searches)
        now = reading()
        if best < self._entered and now >= self._next:
            self.enter()
        if now - self._shown > 0.1:
            self._shown = now
            self._race.rounds = sum(search.rounds for search in self._searches)
            self._race.report()
        held_out = self._race.problem.validation is not None
        if held_out:
            self._judge()
        elif self._race.closed or best <= 0:
            return True
        if self._budget.exhausted:
            self.message, self.late = "time limit reached", True
            return True
        if self._budget.rounds is not None:
            self.message = "round limit reached"
            return rounds >= self._budget.rounds
        patience = _LEAST_ROUNDS
        if held_out:
            chosen, patience = self._race.chosen, _LEAST_JUDGED
            best = -(chosen.accuracy or 0.0) if chosen is not None else np.inf
        if best < self._best:
            self._best, self._rounds_of_best = best, rounds
        self.message = f"{rounds - self._rounds_of_best} rounds brought nothing"
        return rounds > max(patience, 3 * self._rounds_of_best)

    def _judge(self) -> None:
        """Judge local optima on the held-out data; not so many that this takes most of the time."""
        for search in self._searches:
            while search.optima:
                network = search.optima.pop()
                now = reading()
                if now < self._next_judged:
                    continue
                if self._polishes:
                    network = with_largest_margins(self._race, network, self._budget)
                self._race.enter(network, "search")
                self._next_judged = 2 * reading() - now

    def enter(self) -> None:
        """Enter the best network; not so often that audits take much of the time."""
        search = min(self._searches, key=lambda each: each.best)
        self._race.rounds = sum(each.rounds for each in self._searches)
        if search.best < self._entered:
            began = reading()
            self._entered = search.best
            self._race.enter(search.best_network(), "search")
            self._next = reading() + (reading() - began) / _AUDIT_SHARE


@contextmanager
def _threads(
    searches: list[Search], budget: Budget, start: Network | None
) -> Iterator[tuple[list[threading.Thread], list[BaseException]]]:
    """Run searches on threads until the block ends; an error of one of them is raised then."""
    stop, errors = threading.Event(), list[BaseException]()

    def work(search: Search, given: Network | None) -> None:
        try:
            for _ in search.run(budget, given):
                if stop.is_set() or (budget.rounds is not None and search.rounds >= budget.rounds):
                    break
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(search, start if number == 0 else None), daemon=True)
        for number, search in enumerate(searches)
    ]
    try:  # an interruption may come while they are started
        for thread in threads:
            thread.start()
        yield threads, errors
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if errors:
        raise errors[0]
