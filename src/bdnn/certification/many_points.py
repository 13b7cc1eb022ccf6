"""Questions to many points: limits, progress, workers, and the verdicts as arrays."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.budget import Budget
from bdnn.certification.limits import Stopped
from bdnn.certification.result import Certification
from bdnn.certification.verdict import Verdict
from bdnn.clock import reading
from bdnn.parallel import Workers
from bdnn.status import Progress, ProgressCallback
from bdnn.stopping import Stop

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats

_EVERY = 0.2  # seconds between reports: smooth for a reader, nothing for the searches
# points of a task: most take a millisecond, and a task some of them on its way to another process, but a few take a
# minute: so the first tasks are large, and later ones a share of what is left for each worker, down to so many seconds
_TASKS_PER_WORKER, _MOST_POINTS, _LEAST_SECONDS = 4, 512, 0.05


class Asked(Protocol):
    """What is asked of every point; it travels to workers."""

    def answer(self, i: int, report: Callable[[int], None]) -> Verdict:
        """Return the verdict on a point, which is right itself.

        It calls a function with the number of new nodes, which may raise `Stopped`.
        """
        ...


class _Run:
    """Verdicts, nodes and progress of all points.

    Threads share one; in another process it only limits the time.
    """

    def __init__(self, budget: Budget, listener: ProgressCallback | None, verdicts: list[Verdict]) -> None:
        self.budget, self.listener, self.verdicts = budget, listener, verdicts
        self.nodes, self.last = 0, -math.inf
        self.done: list[int] = []
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_Run], tuple[Budget, None, list[Verdict]]]:
        return type(self), (self.budget, None, [])

    def take(self, i: int, verdict: Verdict) -> None:
        """Keep the verdict on a point."""
        self.verdicts[i] = verdict
        self.done.append(i)

    def report(self, nodes: int) -> None:
        """Count nodes of a thread, and tell the listener, one thread at a time."""
        with self.lock:
            self.nodes += nodes
            now = reading()
            if self.listener is None or now - self.last < _EVERY:
                return
            self.last = now
            attacked = sum(self.verdicts[i].attack is not None for i in self.done)
            robust = sum(self.verdicts[i].robust for i in self.done)
            m = len(self.verdicts)
            phase = f"{len(self.done)} of {m} points"
            self.listener(Progress(self.budget.elapsed, float(m - robust), float(attacked), self.nodes, phase))


class _Nodes:
    """Counts the nodes of a point, up to a limit."""

    def __init__(self, run: _Run, stop: Stop, limit: float) -> None:
        self._run, self._stop, self._limit = run, stop, limit
        self.count = 0

    @property
    def spent(self) -> bool:
        """Whether the limit is reached."""
        return self.count >= self._limit

    def __call__(self, nodes: int) -> None:
        """Count nodes, and stop where that is wanted."""
        self.count += nodes
        if self.spent or self._stop.requested or self._run.budget.exhausted:
            raise Stopped
        self._run.report(nodes)


def decided(
    points: Floats,
    clean: Bools,
    asked: Asked,
    budget: Budget | None,
    threads: int,
    on_progress: ProgressCallback | None,
) -> tuple[list[Verdict], bool]:
    """Answer a question for every point that is right itself.

    Parameters
    ----------
    points : ndarray of shape (m, n)
        Points, of which attacks are variants.
    clean : ndarray of shape (m,), bool
        Which of them are right.
    asked : Asked
        The question.
    budget : Budget or None
        Limits of the whole run.
    threads : int
        Points that are decided at the same time; see `bdnn.parallel`.
    on_progress : callable or None
        Listener.

    Returns
    -------
    verdicts : list of Verdict
        Of all points.
    interrupted : bool
        Whether Ctrl-C ended the run early, which leaves the rest undecided.
    """
    run = _Run((budget or Budget()).start(), on_progress, [Verdict() for _ in points])
    for i in np.flatnonzero(~clean).tolist():
        run.take(i, Verdict(0.0, points[i].copy(), 0.0, True))  # known without any search
    places = np.flatnonzero(clean).tolist()
    try:
        with Workers(min(threads, max(len(places), 1)), asked, batches=False) as workers:
            tasks = _Tasks(places, asked, run, workers)
            for number, answer in workers.do(_answered, tasks):
                tasks.take(number, answer)
            return run.verdicts, workers.stop.requested and not tasks.spent
    except KeyboardInterrupt:
        return run.verdicts, True


_Task = tuple[list[int], float, _Run]
"""The places of some points, the nodes that are left, and the run."""


class _Tasks:
    """Points for workers, some for each task, and their verdicts.

    A limit on nodes acts as if one point followed the other: a verdict counts if the points before it leave that many
    nodes, and the first point for which they do not is decided again, with what they leave.
    """

    def __init__(self, places: list[int], asked: Asked, run: _Run, workers: Workers[Asked]) -> None:
        self._places, self._asked, self._run, self._workers = places, asked, run, workers
        self._left = math.inf if run.budget.nodes is None else float(run.budget.nodes)
        self._ordered = self._left < math.inf
        self._single = self._ordered or workers.count == 1
        self._given: list[float] = []
        self._begins: list[int] = []
        self._answered, self._seconds = 0, 0.0
        self._waiting: dict[int, tuple[Verdict, int]] = {}
        self._next = 0

    @property
    def spent(self) -> bool:
        """Whether the limit on nodes is reached."""
        return self._left <= 0

    def __iter__(self) -> Iterator[_Task]:
        begin = 0
        while begin < len(self._places) and not self._workers.stop.requested:
            end = begin + (1 if self._single else self._size(len(self._places) - begin))
            self._given.append(self._left)
            self._begins.append(begin)
            yield self._places[begin:end], self._left, self._run
            begin = end

    def _size(self, left: int) -> int:
        """Return how many of the points that are left are the next task."""
        share = left // (_TASKS_PER_WORKER * self._workers.count)
        least = _LEAST_SECONDS * self._answered / max(self._seconds, 1e-9)
        return int(min(max(share, least, 1), _MOST_POINTS))

    def take(self, number: int, answers: list[tuple[Verdict, int]]) -> None:
        """Take what a task found."""
        if not self._workers.here:
            self._run.report(sum(nodes for _, nodes in answers))
        if not self._ordered:
            self._answered += len(answers)
            self._seconds += sum(verdict.seconds for verdict, _ in answers)
            for i, (verdict, _) in zip(self._places[self._begins[number] :], answers, strict=False):
                self._run.take(i, verdict)
            return
        if not answers:
            return
        self._waiting[number] = answers[0]
        while not self.spent and self._next in self._waiting:
            self._keep(self._next, *self._waiting.pop(self._next))
            self._next += 1

    def _keep(self, number: int, verdict: Verdict, nodes: int) -> None:
        """Keep the verdict on the point that is next."""
        i = self._places[number]
        if nodes >= self._left:
            if self._given[number] != self._left:
                counter = _Nodes(self._run, self._workers.stop, self._left)
                verdict, nodes = self._asked.answer(i, counter), counter.count
            self._workers.stop.request()
        self._run.take(i, verdict)
        self._left -= nodes


def _answered(asked: Asked, task: _Task, stop: Stop) -> list[tuple[Verdict, int]]:
    """Decide points: the verdict on each and its nodes, of those before a request to stop."""
    places, left, run = task
    answers: list[tuple[Verdict, int]] = []
    for i in places:
        if stop.requested:
            break
        counter = _Nodes(run, stop, left)
        answers.append((asked.answer(i, counter), counter.count))
    return answers


def collected(
    points: Floats,
    clean: Bools,
    verdicts: list[Verdict],
    asked: float | None,
    norm: str,
    interrupted: bool,
) -> Certification:
    """Return verdicts as arrays; `asked` is the radius in question."""
    radius = np.array([v.radius for v in verdicts])
    distance = np.array([v.distance for v in verdicts])
    decided = np.array([v.decided for v in verdicts], dtype=bool)
    attack = np.full(points.shape, np.nan)
    for i, v in enumerate(verdicts):
        if v.attack is not None:
            attack[i] = v.attack
    robust = clean.copy() if asked is None else decided & (distance == np.inf)
    return Certification(
        robust=robust,
        undecided=~decided,
        radius=radius,
        attained=(distance == radius) & np.isfinite(distance),
        attack=attack,
        distance=distance,
        clean=clean,
        seconds=np.array([v.seconds for v in verdicts]),
        nodes=np.array([v.nodes for v in verdicts], dtype=np.int64),
        asked=None if asked is None else float(asked),
        norm=norm,
        interrupted=interrupted,
    )
