"""Plans judged by folds of the rows, each plan and fold as a task of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bdnn.clock import reading
from bdnn.libraries import limited_threads
from bdnn.network.packing import packed_size
from bdnn.stopping import Stop, Teller

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.compact.inputs import Placed
    from bdnn.compact.plans import Plan
    from bdnn.compact.proposals import Rows
    from bdnn.compact.training import Trainer
    from bdnn.network.schema import Schema

_SHARE_OF_A_SEARCH = 0.25
"""Of the time left that one search may take: whatever else is to be tried needs some, too."""
_LEAST_OF_A_SEARCH = 0.05
"""Seconds."""


@dataclass(frozen=True, eq=False, slots=True)
class Folds:
    """What all tasks need: for each fold who trains, and rows to judge by."""

    trainers: list[Trainer]
    tests: list[Rows]
    schema: Schema

    def size(self, placed: Placed) -> int:
        """Return the bytes of a network."""
        return packed_size(placed.network, self.schema, placed.encoder)


@dataclass(frozen=True, slots=True)
class Task:
    """A plan to be judged by a fold.

    Attributes
    ----------
    plan : Plan
        Itself.
    fold : int
        Number of the fold.
    budget : Budget
        Of the whole search.
    known : dict
        What has been made for the plan on the rows of the fold.
    first : dict
        Thresholds of the first fold, by which plans are the same.
    reserve : float
        Seconds that have to be left.
    """

    plan: Plan
    fold: int
    budget: Budget
    known: dict[Any, Any]
    first: dict[Any, Any]
    reserve: float


@dataclass(frozen=True, slots=True)
class Part:
    """What a fold says: the weight of the rows that are right, bytes, seconds, and what was made for the plan."""

    right: float
    size: int
    seconds: float
    known: dict[Any, Any]


def judged_by_fold(folds: Folds, task: Task, stop: Stop) -> tuple[Part | None, bool]:
    """Train a network without a fold and judge it by it.

    Returns
    -------
    part : Part or None
        None if a smaller plan is the same, there is no time left, or it was asked to stop.
    late : bool
        Whether there is no time left.
    """
    plan, k = task.plan, task.fold
    trainer, test = folds.trainers[k], folds.tests[k]
    left = task.budget.remaining - task.reserve
    if left <= 0 or stop.requested:
        return None, left <= 0
    folds.trainers[0].learn(task.first)
    trainer.learn(task.known)
    if folds.trainers[0].is_repeated(plan, known=k > 0):
        return None, False
    began, limits = reading(), task.budget.within(max(left * _SHARE_OF_A_SEARCH, _LEAST_OF_A_SEARCH))
    try:
        with limited_threads(1, "openmp"):  # a limit of OpenMP is one of the thread that sets it
            trained = trainer.network(plan, limits, Teller(stop))
    except KeyboardInterrupt:
        if not stop.requested:
            raise
        return None, False
    right = float(test.weight[trained.answers(test.X) == test.y].sum())
    placed = trained.placed()
    seconds = max(reading() - began, trainer.shared_seconds(plan))
    return Part(right, folds.size(placed) if k == 0 else 0, seconds, trainer.known(plan)), False
