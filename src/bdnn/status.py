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
class Progress:
    """State of a running method: seconds since the start, best audited objective, bound, nodes, what it is doing.

    `rounds` are those of the local search that runs, or was the last to run.
    """

    seconds: float
    objective: float
    bound: float
    nodes: int
    phase: str
    rounds: int = 0

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
