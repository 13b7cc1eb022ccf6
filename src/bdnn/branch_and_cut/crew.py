"""Crews: workers that do jobs, in threads of this process or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from bdnn.branch_and_cut.subtree import Job, Site
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.branch_and_cut.guide import MakeDescend
    from bdnn.problem.presolve import Presolved

# seconds to wait for threads that were asked to stop: kernels look up every 10 ms, and one step takes about a second
_PATIENCE = 5.0
# seconds of the shortest job: handing it out takes a millisecond
_SHORTEST = 0.1


@dataclass(frozen=True, slots=True)
class Returned:
    """A job that came back.

    Attributes
    ----------
    job : int
        Its number.
    outcome : object
        What it brought; None if it was lost.
    """

    job: int
    outcome: object


class Crew(Protocol):
    """Workers at one or several sites, which may come and go."""

    @property
    def size(self) -> int:
        """Workers that there are now."""
        ...

    @property
    def here(self) -> bool:
        """Whether the workers are threads of this process."""
        ...

    @property
    def shortest(self) -> float:
        """Seconds of the shortest job that is worth its way."""
        ...

    @property
    def n_out(self) -> int:
        """Jobs that were handed out and have not come back."""
        ...

    def wanted(self) -> list[str]:
        """Return sites, one for each job that is wanted there now, the most urgent first."""
        ...

    def hand_out(self, site: str, number: int, job: Job) -> None:
        """Let a job be done, at a site if it can be; its number is the next of `job_numbers`."""
        ...

    def returned(self, seconds: float) -> list[Returned]:
        """Return what has come back, waiting up to so many seconds for the first.

        Errors in a job that are not those of its machine are raised here.
        """
        ...

    def recall(self) -> None:
        """Let jobs that are out come to an end soon, with what they have if that can be had."""
        ...


OpenCrew = Callable[["Presolved", int], AbstractContextManager[Crew]]
"""Gives a crew for a problem and a seed, for as long as it is needed."""


class Threads:
    """Workers in threads of this process, at one site: the kernels of the compiled core work side by side.

    Parameters
    ----------
    reduced : Presolved
        The problem.
    seed : int
        Of the variety of the sets that are found.
    size : int
        Threads.
    make_descend : callable or None
        As for `Site`.
    """

    here, shortest = True, _SHORTEST

    def __init__(self, reduced: Presolved, seed: int, size: int, make_descend: MakeDescend | None = None) -> None:
        self._site, self.size, self.n_out = Site(reduced, seed, make_descend), size, 0
        self._jobs, self._done = SimpleQueue[tuple[int, Job] | None](), SimpleQueue[tuple[int, object]]()
        self._stop = Event()
        self._threads = [Thread(target=self._serve, name=f"bdnn-subtrees-{k}", daemon=True) for k in range(size)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def wanted(self) -> list[str]:
        """Return the site as often as there are threads without a job."""
        return [""] * (self.size - self.n_out)

    def hand_out(self, site: str, number: int, job: Job) -> None:
        """Let a job be done by the next thread that is free."""
        self._stop.clear()
        self.n_out += 1
        self._jobs.put((number, job))

    def returned(self, seconds: float) -> list[Returned]:
        """Return what has come back, waiting up to so many seconds for the first."""
        found: list[Returned] = []
        while self.n_out:
            try:
                number, outcome = self._done.get(timeout=0.0 if found else seconds)
            except Empty:
                break
            self.n_out -= 1
            if isinstance(outcome, BaseException):
                raise BDNNError("a thread that worked on a subtree failed") from outcome
            found.append(Returned(number, outcome))
        return found

    def recall(self) -> None:
        """Let all threads finish what they do, within milliseconds, with what they have."""
        self._stop.set()

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            number, job = item
            try:
                outcome = job.do(self._site, self._stop.is_set)
            except BaseException as error:  # raised where the outcome is waited for
                outcome = error
            self._done.put((number, outcome))
