"""How a computation ends, and how it stands meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a computation ended."""

    OPTIMAL = "optimal"
    """The bound meets the objective."""
    FEASIBLE = "feasible"
    """Stopped with a network and a gap; give it more time to close it."""
    INFEASIBLE = "infeasible"
    """No solution exists."""
    NO_SOLUTION = "no_solution"
    """Stopped before any solution was found."""
    FAILED = "failed"
    """The solver failed; see the message."""


@dataclass(frozen=True, slots=True)
class TeamState:
    """How several workers stand: how many they are, tasks that are out, and open nodes that nobody works on."""

    workers: int
    tasks: int
    frontier: int

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' * (self.workers != 1)}"
        return f"{workers}, {self.tasks} task{'s' * (self.tasks != 1)}, {self.frontier} open"


@dataclass(frozen=True, slots=True)
class TrialState:
    """How something stands that is tried: what it is, and its accuracy on held-out rows, None until it is judged."""

    what: str
    accuracy: float | None = None

    def __str__(self) -> str:
        known = self.accuracy is not None
        return f"{self.what}: {self.accuracy:.1%} of held-out rows" if known else f"{self.what} under way"


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a running method: seconds since the start, best audited objective, bound, nodes, what it is doing.

    `rounds` are those of the local search that runs, or was the last to run; `team` is None unless several work.
    `trial` is None unless several things are tried: objective and bound are then those of one of them, on a part of the
    rows, and are not to be compared with those of another.
    """

    seconds: float
    objective: float
    bound: float
    nodes: int
    phase: str
    rounds: int = 0
    team: TeamState | None = None
    trial: TrialState | None = None

    @property
    def gap(self) -> float:
        """Relative gap, as in `Result.gap`."""
        return relative_gap(self.objective, self.bound)


ProgressCallback = Callable[[Progress], None]


def relative_gap(objective: float, bound: float) -> float:
    """Return (objective - bound) / objective; 0 if the bound meets the objective, inf if the quotient makes no sense.

    Examples
    --------
    >>> relative_gap(4.0, 3.0)
    0.25
    """
    if objective <= bound:
        return 0.0
    return (objective - bound) / objective if 0 < objective < math.inf else math.inf
