"""A crew on a cluster: jobs are tasks of Dask, which may be lost at any time."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.crew import Returned
from bdnn.clock import reading
from bdnn.cluster.connection import check_workers, connected
from bdnn.cluster.worker import Software, do
from bdnn.errors import BDNNError, InputError

if TYPE_CHECKING:
    from distributed import Client, Future

    from bdnn.branch_and_cut.crew import Crew
    from bdnn.branch_and_cut.guide import MakeDescend
    from bdnn.branch_and_cut.subtree import Job
    from bdnn.problem.presolve import Presolved

# seconds of the shortest job: its way there and back takes some hundredths, which the job in the queue bridges
_SHORTEST = 0.3
# jobs for each thread of a worker: one that runs and one that is there when it ends
_JOBS_PER_THREAD = 2
# seconds between looks at the workers and at tasks of which nothing is heard
_LOOK = 0.5
# seconds to wait for an outcome that a worker has: beyond, the worker is gone
_FETCH = 10.0


@contextmanager
def cluster_crew(
    reduced: Presolved, seed: int, cluster: object, make_descend: MakeDescend | None = None
) -> Iterator[Crew]:
    """Give the workers of a cluster as a crew.

    Parameters
    ----------
    reduced : Presolved
        The problem.
    seed : int
        Of the variety of the sets that are found.
    cluster : distributed.Client or str
        As for `bdnn.cluster.connection.connected`.
    make_descend : callable or None
        As for `bdnn.branch_and_cut.subtree.Site`; it travels with the problem.

    Raises
    ------
    InputError
        If there is no such cluster, or a worker runs other versions.
    """
    with connected(cluster) as client:
        check_workers(client)
        crew = Workers(client, reduced, seed, make_descend)
        try:
            yield crew
        finally:
            crew.recall()


@dataclass
class _Task:
    """A job that is out."""

    number: int
    site: str
    future: Future
    told: bool = field(default=False)


class Workers:
    """The workers of a cluster, each at the site of its process.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    reduced : Presolved
        The problem: it travels once to each worker.
    seed : int
        Of the variety of the sets that are found.
    make_descend : callable or None
        As for `cluster_crew`.
    """

    here, shortest = False, _SHORTEST

    def __init__(self, client: Client, reduced: Presolved, seed: int, make_descend: MakeDescend | None = None) -> None:
        self._client, self._seed = client, seed
        self._software = Software.here()
        self._name = uuid.uuid4().hex[:12]
        self._problem, self._sent = pickle.dumps((reduced, make_descend), protocol=pickle.HIGHEST_PROTOCOL), 0
        self._held: Future | None = None  # the problem, on the cluster
        self._tasks: dict[int, _Task] = {}
        self._ended = SimpleQueue[int]()
        self._threads: dict[str, int] = {}
        self._looked = -np.inf

    @property
    def size(self) -> int:
        """Threads of all workers that there are now."""
        self._look()
        return sum(self._threads.values())

    @property
    def n_out(self) -> int:
        """Tasks that have not come back."""
        return len(self._tasks)

    def wanted(self) -> list[str]:
        """Return sites, first those where a thread has nothing to do."""
        self._look()
        out = dict.fromkeys(self._threads, 0)
        for task in self._tasks.values():
            if task.site in out:
                out[task.site] += 1
        places = [
            ((k + 1) / threads, site)
            for site, threads in self._threads.items()
            for k in range(out[site], _JOBS_PER_THREAD * threads)
        ]
        return [site for _, site in sorted(places)]

    def hand_out(self, site: str, number: int, job: Job) -> None:
        """Make a task of a job; another worker may do it where the one that it is meant for is gone."""
        future = self._client.submit(
            do,
            (self._software.bdnn, self._software.python),
            self._name,
            int(np.random.default_rng([self._seed, *site.encode()]).integers(1 << 31)),
            self._problem_there(),
            pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL),
            key=f"bdnn-{job.kind}-{self._name}-{number}",
            workers=[site],
            allow_other_workers=True,
            retries=0,
            pure=False,
        )
        self._tasks[number] = _Task(number, site, future)
        future.add_done_callback(lambda _: self._ended.put(number))

    def returned(self, seconds: float) -> list[Returned]:
        """Return what has come back, waiting up to so many seconds for the first."""
        found: list[Returned] = []
        end = reading() + seconds
        while self._tasks:
            wait = 0.0 if found else min(_LOOK, max(0.0, end - reading()))
            try:
                numbers = [self._ended.get(timeout=wait) if wait else self._ended.get_nowait()]
            except Empty:
                numbers = [] if found else self._quiet()
                if found or (not numbers and reading() >= end):
                    break
            for number in numbers:
                if number in self._tasks:
                    found.append(self._ending(self._tasks.pop(number)))
        return found

    def recall(self) -> None:
        """Take all tasks back: those that run end within milliseconds, and what they have is lost."""
        futures = [task.future for task in self._tasks.values()]
        self._tasks.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)

    def _quiet(self) -> list[int]:
        """Return tasks that have ended without a word, as after a restart of the scheduler."""
        gone = self._client.status not in ("running", "connecting")
        return [number for number, task in self._tasks.items() if gone or task.future.status in ("cancelled", "lost")]

    def _ending(self, task: _Task) -> Returned:
        """Return what a task has brought, None if it is lost."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            if task.future.status in ("finished", "error") and self._client.status == "running":
                return Returned(task.number, task.future.result(timeout=_FETCH))
        except (KilledWorker, FutureCancelledError, OSError, TimeoutError, MemoryError):
            pass
        except InputError:  # versions of a worker that came later
            raise
        except Exception as error:
            raise BDNNError(f"a task on the cluster failed: {type(error).__name__}: {error}") from error
        self._looked = -np.inf  # its worker may be gone
        return Returned(task.number, None)

    def _problem_there(self) -> Future:
        """Return the problem on the cluster; if it is gone with its workers it is made there anew."""
        import dask

        if self._held is None or self._held.status in ("cancelled", "lost", "error"):
            self._sent += 1
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
                self._held = self._client.submit(
                    bytes, self._problem, key=f"bdnn-problem-{self._name}-{self._sent}", pure=False
                )
        return self._held

    def _look(self) -> None:
        """Ask for the workers now and then."""
        if reading() - self._looked < _LOOK:
            return
        try:
            self._threads = dict(self._client.nthreads()) if self._client.status == "running" else {}
        except OSError:
            self._threads = {}
        self._looked = reading()
