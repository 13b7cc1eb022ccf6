"""Networks for any method to begin with: given ones, constant and linear ones, and those of a local search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.backends.threads import INTERRUPTED
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.libraries import limited_threads
from bdnn.methods import starts
from bdnn.polish import polished
from bdnn.search.engine import Search
from bdnn.search.interval_engine import RobustSearch
from bdnn.search.points import points
from bdnn.search.supports import SupportSearch, chooses

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.search.points import Points

NO_TIME_TO_POLISH = "the time limit left no time to make the margins larger"
NO_OPTIMUM = "the time limit passed before the search reached a first local optimum"

# how long a polish is estimated to take before its first neuron: the time of some audits, and seconds for each number
_POLISH_AUDITS, _POLISH_SECONDS = 3.0, 6e-8
# numbers of a table beyond which no network is polished, as the documentation of `LocalSearch` says
_MAX_POLISHED = 100_000_000
# share of the time for submitting networks of a search, so that audits do not slow it down
_SUBMIT_SHARE = 0.05
# seconds between reports
_REPORT_SECONDS = 0.1
# least rounds of a search, fewer with held-out data, where each round is audited; then it ends when it has done three
# times as many as led to its best network
_MIN_ROUNDS, _MIN_JUDGED, _PATIENCE = 400, 100, 3
# share of the time that a search for a solver's start may take, and its most seconds and rounds: most of the time is
# left to the solver
_SHARE, _SECONDS, _ROUNDS = 0.1, 5.0, 200


def submit_given(run: Run, start: Network | None, *, holds_linear: bool = True) -> None:
    """Submit the user's start, which must be of the problem's class, and a constant network, and hold a linear one.

    This takes milliseconds, so whatever a limit cuts off later, there is something better than a constant.

    Raises
    ------
    InputError
        If the start is of another class.
    """
    if start is not None:
        if run.reduced.to_layers(start) is None:
            different = "; ".join(run.reduced.differences(start))
            raise InputError(
                f"the start network is not of the problem's class: it has "
                f"{different or 'weights that overflow on these inputs'}"
            )
        run.submit(start, "start")
    run.submit(starts.constant(run.reduced), "constant")
    if holds_linear and not run.closed and run.reduced.n_points:
        run.hold(starts.linear(run.reduced, run.budget.seed), "linear")


def submit_starts(run: Run, start: Network | None) -> None:
    """Submit what `submit_given` submits, unless that was done, and a few networks that are fitted layer by layer."""
    if not run.starts:
        submit_given(run, start)
    if not run.closed:
        for network in starts.layered(run.reduced, run.budget):
            run.submit(network, "linear")
            if run.closed:
                break


def submit_incumbents(
    run: Run,
    start: Network | None,
    rounds: int = _ROUNDS,
    max_seconds: float = _SECONDS,
    *,
    polishes: bool = True,
) -> bool:
    """Submit what `submit_given` submits, and the outcome of a short local search, for a solver to start from.

    Parameters
    ----------
    run : Run
        Receives the networks.
    start : Network or None
        A network of the problem's class.
    rounds : int
        Of the search, at most.
    max_seconds : float
        Of the search, which takes a tenth of the time that is left at most.
    polishes : bool
        Whether the margins of the best network are made largest.

    Returns
    -------
    bool
        Whether there was a search: not if it was begun too late.

    Raises
    ------
    InputError
        If the start is of another class.
    """
    submit_given(run, start)
    if run.closed:
        return False
    budget = run.budget
    seconds = min(_SHARE * budget.remaining, max_seconds)
    rounds = rounds if budget.rounds is None else min(rounds, budget.rounds)
    short = replace(budget.within(seconds), rounds=rounds)
    submitted = len(run.starts)
    _, interrupted = search_into(run, short, start)
    if interrupted:
        raise KeyboardInterrupt
    run.release()
    if len(run.starts) == submitted or run.best is None:
        return False
    if polishes:  # solvers want a margin
        polish(run, short)
    run.add_start(run.best)
    return True


# margins


def polish(run: Run, budget: Budget) -> bool:
    """Put the network of largest margins in the place of the best one; return whether there was time to begin."""
    run.release()
    before = run.chosen
    if before is None or not _has_margins(run.problem):
        return True
    if budget.remaining < seconds_of_polish(run):
        return False
    with run.phase("polish"):
        network = with_largest_margins(run, before.network, budget)
        if network != before.network:
            run.replace(before, network)
    return True


def with_largest_margins(run: Run, network: Network, budget: Budget) -> Network:
    """Return the network of largest margins with the same decisions on the training points.

    Networks of integers or without biases stay as they are, and so do those of more data than is polished in the time.
    """
    problem = run.problem
    if not _has_margins(problem):
        return network
    return polished(
        network,
        # distinct points whose label matters, so that weights and repeated rows give the same network
        np.asarray(problem.X) if problem.robust else run.reduced.raw_points,
        codes=problem.codes if problem.robust else None,
        budget=budget,
        robust_radius=problem.robust_radius,
        robust_norm=problem.robust_norm,
        robust_model=problem.robust_model,
        limits=problem.limits or None,
    )


def _has_margins(problem: Problem) -> bool:
    """Whether there are margins to be made larger, and not more data than is polished at all."""
    return problem.weights == "continuous" and problem.fit_intercept and np.size(problem.X) <= _MAX_POLISHED


def seconds_of_polish(run: Run) -> float:
    """Return about how long a polish takes at least."""
    return _POLISH_AUDITS * run.audit_seconds + _POLISH_SECONDS * np.size(run.problem.X)


# local search


def search_into(
    run: Run,
    budget: Budget,
    start: Network | None = None,
    *,
    data: Points | None = None,
    polishes: bool = False,
    promised: bool = False,
    descends: bool = True,
    longer: int = 1,
) -> tuple[str, bool]:
    """Search, and submit the networks found to the run.

    Parameters
    ----------
    run : Run
        Receives networks and progress.
    budget : Budget
        Limits of the search.
    start : Network or None
        Where it starts.
    data : Points or None
        The points, if they are there already.
    polishes : bool
        Whether local optima are polished before they are judged on held-out data.
    promised : bool
        Whether it is a shortfall of the run if the time is not enough for one descent.
    descends : bool
        Whether there is a search beyond the first start.
    longer : int
        Factor of the epochs of surrogates.

    Returns
    -------
    message : str
        Why it stopped.
    interrupted : bool
        Whether Ctrl-C came.
    """
    if budget.exhausted:
        return unsearched(run, promised), False
    kind: type[Search] = RobustSearch if run.problem.robust else Search
    with run.phase("build", reports=False):  # some milliseconds
        data, collect = data or points(run.reduced), run.problem.validation is not None
        search: Search | SupportSearch
        if chooses(data):
            search = SupportSearch(data, budget.seed, collect, kind)
        else:
            search = kind(data, budget.seed, collect)
    if budget.exhausted:
        return unsearched(run, promised), False
    if isinstance(search, Search):
        search.longer = longer
    watch = _Watch(run, budget, search, polishes, descends)
    with run.phase("search"), limited_threads(1):
        try:
            for _ in search.run(budget, start):
                if watch.finished():
                    break
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        watch.submit()
    if promised and descends and not interrupted and watch.late and search.rounds == 0:
        run.fell_short(NO_OPTIMUM)
    return INTERRUPTED if interrupted else watch.message, interrupted


def unsearched(run: Run, promised: bool) -> str:
    """Return why there was no search."""
    message = "the time limit leaves no time for the search"
    if promised:
        run.fell_short(message)
    return message


class _Watch:
    """Submits the best network of a search now and then, and says when to stop."""

    def __init__(
        self, run: Run, budget: Budget, search: Search | SupportSearch, polishes: bool, descends: bool
    ) -> None:
        self._run, self._budget, self._search, self._polishes = run, budget, search, polishes
        self._submitted, self._next, self._reported = np.inf, 0.0, 0.0
        self._best, self._rounds_of_best = np.inf, 0
        self._next_judged = 0.0
        self._descends, self.late = descends, False
        self.message = "nothing left to improve"

    def finished(self) -> bool:
        """Report, and return whether the search is over."""
        run, rounds, best = self._run, self._search.rounds, self._search.best
        now = reading()
        if best < self._submitted and now >= self._next:
            self.submit()
        if now - self._reported > _REPORT_SECONDS:
            self._reported = now
            run.count_rounds(rounds)
            run.report()
        held_out = run.problem.validation is not None
        if held_out:
            self._judge()
        elif run.closed or best <= 0:
            return True
        if self._budget.exhausted:
            self.message, self.late = "time limit reached", True
            return True
        if not self._descends and self._search.started:
            self.message = "trained by gradients only"
            return True
        if self._budget.rounds is not None:
            return self._ended("round limit reached", rounds >= self._budget.rounds)
        patience = _MIN_ROUNDS
        if held_out:
            patience = _MIN_JUDGED
            best = -(run.chosen.accuracy or 0.0) if run.chosen is not None else np.inf
        if best < self._best:
            self._best, self._rounds_of_best = best, rounds
        over = rounds > max(patience, _PATIENCE * self._rounds_of_best)
        return self._ended(f"{rounds - self._rounds_of_best} rounds brought no improvement", over)

    def _ended(self, why: str, over: bool) -> bool:
        """Return whether the search is over, and keep why if it is."""
        self.message = why if over else self.message
        return over

    def _judge(self) -> None:
        """Judge local optima on the held-out data; not so many that this takes most of the time."""
        while self._search.optima:
            network = self._search.optima.pop()
            now = reading()
            if now < self._next_judged:
                continue
            if self._polishes:
                network = with_largest_margins(self._run, network, self._budget)
            self._run.submit(network, "search")
            self._next_judged = 2 * reading() - now

    def submit(self) -> None:
        """Submit the best network; not so often that audits take much of the time."""
        self._run.count_rounds(self._search.rounds)
        if self._search.best < self._submitted:
            began = reading()
            self._submitted = self._search.best
            self._run.submit(self._search.best_network(), "search")
            self._next = reading() + (reading() - began) / _SUBMIT_SHARE
