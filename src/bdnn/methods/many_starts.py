"""Several starts of a local search: independent searches, each with a seed of its own, of which the best one counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bdnn.backends.threads import INTERRUPTED
from bdnn.methods.incumbents import NO_OPTIMUM, search_into, unsearched
from bdnn.methods.run import Run
from bdnn.parallel import Workers, seeds
from bdnn.search.points import Points, points
from bdnn.stopping import Stop, Teller

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network


@dataclass(frozen=True, slots=True)
class Settings:
    """Of every search, as `search_into` takes them."""

    polishes: bool
    descends: bool
    longer: int


@dataclass(frozen=True, eq=False, slots=True)
class _Start:
    """A search to be done: its seed, when it has to end, where it starts, and who is told."""

    number: int
    seed: int
    budget: Budget
    following: int
    given: Network | None
    tell: Teller


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    """What a search found: the network of least loss, that of highest held-out accuracy, and why it ended."""

    networks: tuple[Network, ...]
    closed: bool
    rounds: int
    message: str
    interrupted: bool


def starts_into(run: Run, budget: Budget, start: Network | None, count: int, settings: Settings) -> tuple[str, bool]:
    """Search from several starts, and submit the networks found to the run.

    The searches count one after the other, up to the first one that leaves nothing to improve; so the outcome does not
    depend on how many are done at the same time.

    Parameters
    ----------
    run : Run
        Receives networks and progress.
    budget : Budget
        Limits of all searches, whose time they share; as many as its threads are done at the same time.
    start : Network or None
        Where the first of them starts.
    count : int
        Searches.
    settings : Settings
        Of each.

    Returns
    -------
    message : str
        Why they stopped.
    interrupted : bool
        Whether Ctrl-C came.
    """
    if budget.exhausted:
        return unsearched(run, promised=True), False
    with run.phase("build", reports=False):
        data = points(run.reduced)
    with run.phase("search"), Workers(min(budget.threads, count), (data, settings)) as workers:
        tasks = _Starts(run, budget, start, count, workers)
        try:
            for number, found in workers.do(_search, tasks):
                tasks.take(number, found)
        except KeyboardInterrupt:
            tasks.interrupted = True
        tasks.finish()
    if budget.exhausted and settings.descends and run.rounds == 0 and not tasks.interrupted:
        run.fell_short(NO_OPTIMUM)
    return INTERRUPTED if tasks.interrupted else tasks.message, tasks.interrupted


class _Starts:
    """Searches to be done, and what they found, in their order."""

    def __init__(
        self,
        run: Run,
        budget: Budget,
        start: Network | None,
        count: int,
        workers: Workers[tuple[Points, Settings]],
    ) -> None:
        self._run, self._budget, self._start, self._workers = run, budget, start, workers
        self._seeds = seeds(budget.seed, count)
        self._waiting: dict[int, _Found] = {}
        self._next, self._rounds, self._closed = 0, 0, False
        self.message, self.interrupted = "nothing left to improve", False

    def __iter__(self) -> Iterator[_Start]:
        tell, count = Teller(self._workers.stop, self._run.report), len(self._seeds)
        for number, seed in enumerate(self._seeds):
            if self._closed or self.interrupted or self._workers.stop.requested:
                return
            # rounds of searches, done at the same time, from this one on
            following = math.ceil((count - number) / self._workers.count)
            yield _Start(number, seed, self._budget, following, None if number else self._start, tell)

    def take(self, number: int, found: _Found) -> None:
        """Take what a search found."""
        self._waiting[number] = found
        while self._next in self._waiting:
            self._count(self._waiting.pop(self._next))
            self._next += 1
        self._run.report()

    def finish(self) -> None:
        """Take what was found after searches that did not end, which an interruption leaves."""
        self.interrupted |= self._workers.stop.requested and not self._closed
        for number in sorted(self._waiting):
            self._count(self._waiting[number])

    def _count(self, found: _Found) -> None:
        if self._closed:
            return
        self._rounds += found.rounds
        self._run.count_rounds(self._rounds)
        for network in found.networks:
            self._run.submit(network, "search")
        self.message = found.message
        self.interrupted |= found.interrupted
        if found.closed:
            self._closed = True
            self._workers.stop.request()


def _search(shared: tuple[Points, Settings], task: _Start, stop: Stop) -> _Found:
    """Search from one start."""
    (data, settings), reduced = shared, shared[0].reduced
    budget = replace(task.budget.within(task.budget.remaining / task.following), seed=task.seed, threads=1)
    run = Run(reduced.problem, budget, task.tell, reduced)
    try:
        message, interrupted = search_into(
            run, budget, task.given, data=data, polishes=settings.polishes, promised=True,
            descends=settings.descends, longer=settings.longer,
        )  # fmt: skip
    except KeyboardInterrupt:  # while the last network was submitted
        message, interrupted = INTERRUPTED, True
    chosen = run.chosen if run.chosen is not run.best else None
    networks = tuple(each.network for each in (run.best, chosen) if each is not None)
    closed = run.closed and run.problem.validation is None
    return _Found(networks, closed, run.rounds, message, interrupted)
