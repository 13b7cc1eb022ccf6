"""Encoded rows that tasks are done on, wherever they are: here in blocks of a store, on threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from bdnn.partitions.store import Block, Store
    from bdnn.partitions.tasks import Task

A = TypeVar("A")


class Rows(Protocol):
    """Parts of the rows, on which a task is done where they are."""

    @property
    def n_rows(self) -> int:
        """How many rows there are."""

    def total(self, task: Task[A], check: Callable[[], None] | None = None) -> A:
        """Return the answer of a task for all rows.

        Parameters
        ----------
        task : Task
            What is summed.
        check : callable or None
            Called again and again meanwhile; what it raises ends the task.
        """


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows in the blocks of a store; at most one block for each thread, and one more, is in memory."""

    store: Store
    threads: int = 1

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.store.n_rows

    def total(self, task: Task[A], check: Callable[[], None] | None = None) -> A:
        """Return the answer of a task for all rows; answers are added in the order of the blocks."""
        if self.threads == 1 or len(self.store) < 2:
            answer: A | None = None
            for block in self.store:
                own = task.of(block)
                answer = own if answer is None else task.added(answer, own)
                if check is not None:
                    check()
            assert answer is not None
            return answer
        return self._on_threads(task, check)

    def _on_threads(self, task: Task[A], check: Callable[[], None] | None) -> A:
        def of(number: int) -> A:
            block: Block = self.store.block(number)
            return task.of(block)

        answer: A | None = None
        open_: deque[Future[A]] = deque()
        with ThreadPoolExecutor(self.threads, "bdnn-rows") as pool:
            try:
                for number in range(len(self.store) + self.threads):
                    if number < len(self.store):
                        open_.append(pool.submit(of, number))
                    if number >= self.threads and open_:
                        own = open_.popleft().result()
                        answer = own if answer is None else task.added(answer, own)
                        if check is not None:
                            check()
            finally:
                for each in open_:
                    each.cancel()
        assert answer is not None
        return answer
