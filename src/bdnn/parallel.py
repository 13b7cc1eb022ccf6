"""Independent work: tasks that joblib does on threads, in processes or on a cluster, as it is configured.

Without a configuration tasks are done on threads of this process: the kernels work without Python's lock. Inside of
``with joblib.parallel_config("loky", n_jobs=2)`` they are done by two processes, inside of
``with joblib.parallel_config("dask")`` by the workers of the cluster that a `distributed.Client` is connected to. One
worker is this thread. What a task finds must not depend on where it is done: a task has a seed of its own, and
libraries use one thread in it, as sums depend on how they are split.

What tasks share travels once to every process: it is a file that becomes a memory map, if it is large, or is scattered
(Dask), so that a task is what is its own and a reference.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from bdnn.libraries import limited_threads
from bdnn.stopping import Stop

if TYPE_CHECKING:
    from bdnn.types import Array

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Found = TypeVar("Found")

# bytes from which an array travels by itself: less is as quick within the rest
_OWN_BUFFER = 1 << 12
# bytes from which a file is worth its while: less travels with every task
_LARGE = 1 << 18
# bytes at whose multiples arrays begin, as those of NumPy do, which adds the numbers of others in another order
_ALIGNED = 16


class Workers(Generic[Shared]):
    """Those who do tasks, with what the tasks share; a context manager.

    Parameters
    ----------
    threads : int
        How many tasks are done at the same time at most; a cluster has its own number.
    shared : object
        What all tasks need. It is not changed.
    asked : Stop or None
        A request that others may make, too; None for one of its own.
    batches : bool
        Whether several tasks may travel at once where they are short; not where they were made of a good length.

    Attributes
    ----------
    count : int
        How many tasks are done at the same time.
    stop : Stop
        The request. It is made by Ctrl-C while tasks are done by others than this thread, which would meet a
        KeyboardInterrupt itself; that comes through if it is repeated.
    here : bool
        Whether tasks see the memory of this process, so that what they change is seen.
    """

    def __init__(self, threads: int, shared: Shared, asked: Stop | None = None, *, batches: bool = True) -> None:
        self._threads, self._shared, self._batches = threads, shared, batches
        self.count, self.stop, self.here = 1, asked or Stop(), True
        self._stack = ExitStack()
        self._backend: Any = None
        self._parallel: Any = None
        self._packed: tuple[Any, ...] = ()
        self._token = f"{os.getpid()}-{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        if self._threads == 1 and "joblib" not in sys.modules:  # nobody has configured it, and its import takes long
            return self
        import joblib
        from joblib.parallel import get_active_backend

        self._backend = backend = get_active_backend(prefer="threads")[0]
        self.count = max(1, int(backend.effective_n_jobs(self._threads)))
        if self.count == 1:
            return self
        self.here = bool(getattr(backend, "supports_sharedmem", False))
        with ExitStack() as stack:
            if not self.here:
                client = getattr(backend, "client", None)
                self._packed = packed(self._shared)
                if client is not None:
                    # to all workers: Dask would leave the tasks to the one that has the data. Without a hash, by which
                    # data that were released a moment ago could be taken for these
                    self._packed = tuple(client.scatter([self._packed], broadcast=True, hash=False))
                    stack.callback(_forget_on, client, self._token)
                elif sum(each.nbytes for each in self._packed) >= _LARGE:
                    # joblib's own memory maps end with a second of waiting for processes that still have them
                    folder = stack.enter_context(TemporaryDirectory(prefix="bdnn-", ignore_cleanup_errors=True))
                    self._packed = (_Stored.of(self._packed, os.path.join(folder, "shared")),)
                stack.enter_context(self.stop.reaches_processes(client))
            # tasks are handed out when somebody is free, so the time that they are given is what is left then; where
            # processes do them, and they take less than some tenths of a second, joblib hands out several at once
            plan = {"pre_dispatch": "n_jobs", "batch_size": "auto" if self._batches else 1, "prefer": "threads"}
            returns = "generator_unordered" if backend.supports_return_generator else "list"
            self._parallel = stack.enter_context(joblib.Parallel(self._threads, return_as=returns, **plan))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._packed = ()
        self._stack.close()

    def do(self, work: Callable[[Shared, Task, Stop], Found], tasks: Iterable[Task]) -> Generator[tuple[int, Found]]:
        """Do tasks, and yield their numbers and what was found, in the order in which they are done.

        Parameters
        ----------
        work : callable
            A function of a module, which is given what is shared, a task and the request to stop.
        tasks : iterable
            Tasks: asked for one after the other as somebody becomes free, perhaps on another thread and a few in
            advance. They go on after a request to stop: `work` or this may end early then.

        Yields
        ------
        number : int
            Of the task.
        found : object
            What `work` returns.
        """
        with limited_threads(1):
            # of a cluster, all workers but one may have gone: then joblib would do the tasks here
            if self._parallel is None or self._backend.effective_n_jobs(self._threads) == 1:
                for number, task in enumerate(tasks):
                    yield number, work(self._shared, task, self.stop)
                return
            numbered, away = enumerate(tasks), dict[int, Task]()
            with self.stop.instead_of_signals():
                found = iter(self._parallel(self._jobs(work, numbered, away)))
                try:
                    for each in found:
                        away.pop(each[0], None)
                        yield each
                except BaseException as error:
                    if _lost_a_process(error) and not self.stop.requested:
                        found.close()
                        warnings.warn(
                            "a process that did a part of the work has died; the rest is done in this one",
                            RuntimeWarning,
                            stacklevel=2,
                        )
                        for number, task in itertools.chain(sorted(away.items()), numbered):
                            yield number, work(self._shared, task, self.stop)
                        return
                    ended = self.stop.requested and not self.here and isinstance(error, Exception)
                    self.stop.request()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of outcomes that nobody will see
                        if hasattr(found, "close"):
                            found.close()
                    if not ended:  # else the request has ended processes, as Ctrl-C does to those of Dask in a terminal
                        raise

    def _jobs(
        self, work: Callable[[Shared, Task, Stop], Found], numbered: Iterator[tuple[int, Task]], away: dict[int, Task]
    ) -> Iterator[Any]:
        from joblib import delayed

        for number, task in numbered:
            away[number] = task
            if self.here:
                yield delayed(_done_here)(work, self._shared, number, task, self.stop)
            else:
                yield delayed(_done_away)(work, self._token, number, task, self.stop, *self._packed)


def _lost_a_process(error: BaseException) -> bool:
    """Whether a process of joblib's own has died, as for want of memory; one of Dask is replaced by Dask."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


def seeds(seed: int, count: int) -> list[int]:
    """Return seeds of tasks, from 0 to 2**31 - 1; the first is the seed itself, the others do not depend on how many.

    Examples
    --------
    >>> seeds(7, 3)[:2] == seeds(7, 2), seeds(7, 1)
    (True, [7])
    """
    spawned = np.random.SeedSequence(seed).spawn(count)[1:]
    return [seed, *(int(each.generate_state(1)[0]) >> 1 for each in spawned)][:count]


def packed(value: object) -> tuple[Array, ...]:
    """Return bytes from which `unpacked` makes a value again; those of every larger array are an array of their own."""
    try:  # joblib needs it, for what is defined in a user's script or notebook; earlier ones bring their own
        import cloudpickle  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        from joblib.externals import cloudpickle

    buffers: list[Array] = []

    def is_within(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _OWN_BUFFER:
            return True
        buffers.append(np.asarray(raw))
        return False

    head = cloudpickle.dumps(value, protocol=5, buffer_callback=is_within)
    return np.frombuffer(head, dtype=np.uint8), *buffers


def unpacked(parts: tuple[Array, ...]) -> Any:
    """Return a value whose arrays are views of the parts that `packed` made; it may be read-only."""
    head, *buffers = parts
    return pickle.loads(
        head.data, buffers=[each if each.ctypes.data % _ALIGNED == 0 else each.copy() for each in buffers]
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """What `packed` made, in a file: its path, and the bytes of each part."""

    path: str
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, parts: tuple[Array, ...], path: str) -> _Stored:
        """Write a file, in which parts begin at multiples of what arrays need."""
        with open(path, "wb") as file:
            for part in parts:
                file.write(part.data)
                file.write(bytes(-part.nbytes % _ALIGNED))
        return cls(path, tuple(part.nbytes for part in parts))

    def parts(self) -> tuple[Array, ...]:
        """Return the parts as views of a memory map, which lasts as long as they do."""
        whole, begin, parts = np.memmap(self.path, dtype=np.uint8, mode="r"), 0, []
        for size in self.sizes:
            parts.append(np.asarray(whole[begin : begin + size]))
            begin += size + -size % _ALIGNED
        return tuple(parts)


def _done_here(work: Callable[..., Found], shared: object, number: int, task: object, stop: Stop) -> tuple[int, Found]:
    with _alone(), limited_threads(1, "openmp"):  # which is a limit of each thread, while that of BLAS is of all
        return number, work(shared, task, stop)


def _done_away(
    work: Callable[..., Found], token: str, number: int, task: object, stop: Stop, *parts: Any
) -> tuple[int, Found]:
    if threading.current_thread() is threading.main_thread() and not token.startswith(f"{os.getpid()}-"):
        # a terminal sends Ctrl-C to all processes: this one is told by whoever waits for it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parts = parts[0] if isinstance(parts[0], tuple) else parts  # Dask has them as one
    with _alone(), _one_thread, limited_threads(1, "openmp"):
        return number, work(_kept(token, parts), task, stop)


@contextmanager
def _alone() -> Iterator[None]:
    """Do what is inside without further workers."""
    import joblib

    with joblib.parallel_config("sequential"):
        yield


class _OneThread:
    """Limits BLAS to one thread while any task is done in a process, whichever ends last."""

    def __init__(self) -> None:
        self._lock, self._users, self._stack = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stack.enter_context(limited_threads(1, "blas"))

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()


_one_thread = _OneThread()

_keeping = threading.Lock()
_last: dict[str, Any] = {}
"""What the tasks share that this process did last: the next task probably has the same, and what it has prepared."""


def _kept(token: str, parts: tuple[Any, ...]) -> Any:
    with _keeping:
        if token not in _last:
            _last.clear()
            _last[token] = unpacked(parts[0].parts() if isinstance(parts[0], _Stored) else parts)
        return _last[token]


async def _forget(token: str) -> None:  # which Dask does not wait for
    _last.pop(token, None)


def _forget_on(client: Any, token: str) -> None:
    """Free the memory of the workers of Dask; other processes end some minutes after their last task."""
    with suppress(Exception):  # they may have gone
        client.run(_forget, token, wait=False, on_error="ignore")
