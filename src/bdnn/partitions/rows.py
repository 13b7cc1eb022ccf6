"""Encoded rows that tasks are done on, wherever they are: here in blocks of a store, on threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bdnn.partitions.store import Store
    from bdnn.partitions.tasks import Task

A = TypeVar("A")


class Rows(ABC):
    """Parts of the rows, on which a task is done where they are."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def answers(self, task: Task[A]) -> Iterator[tuple[A, int]]:
        """Yield the answer of a task for each part of the rows, in their order, and how many rows that is of."""

    def total(self, task: Task[A], check: Callable[[], None] | None = None) -> A:
        """Return the answer of a task for all rows.

        Parameters
        ----------
        task : Task
            What is summed.
        check : callable or None
            Called again and again meanwhile; what it raises ends the task.
        """
        answer: A | None = None
        for own, _ in self.answers(task):
            answer = own if answer is None else task.added(answer, own)
            if check is not None:
                check()
        assert answer is not None
        return answer


class StoredRows(Rows):
    """Rows in the blocks of a store; at most one block for each thread, and one more, is in memory.

    Parameters
    ----------
    store : Store
        The blocks, one at least.
    threads : int
        That work at a time.
    """

    def __init__(self, store: Store, threads: int = 1) -> None:
        self._store, self._threads = store, threads

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self._store.n_rows

    def answers(self, task: Task[A]) -> Iterator[tuple[A, int]]:
        """Yield the answer of a task for each block, and how many rows that is of."""

        def of(number: int) -> tuple[A, int]:
            block = self._store.block(number)
            return task.of(block), block.n_rows

        if self._threads == 1 or len(self._store) < 2:
            yield from map(of, range(len(self._store)))
            return
        open_: deque[Future[tuple[A, int]]] = deque()
        with ThreadPoolExecutor(self._threads, "bdnn-rows") as pool:
            try:
                for number in range(len(self._store)):
                    open_.append(pool.submit(of, number))
                    if len(open_) > self._threads:
                        yield open_.popleft().result()
                while open_:
                    yield open_.popleft().result()
            finally:
                for each in open_:
                    each.cancel()
