"""The interface of a back-end: a MILP solver behind one function, with its capabilities as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.milp.program import Milp
    from bdnn.milp.tolerances import Tolerances
    from bdnn.status import Status
    from bdnn.types import Floats


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a solver can do.

    Attributes
    ----------
    continuous : bool
        Continuous variables; without them, only integer weights on integer inputs can be trained.
    indicators : bool
        Native indicator rows; without them, they are passed as big-M rows.
    quadratic : bool
        Squares in the objective.
    tolerances : Tolerances
        Tolerances that the back-end sets.
    entries_per_second : int
        Rough number of matrix entries that can be passed to the solver in a second; larger programs are not started.
    """

    continuous: bool
    indicators: bool
    quadratic: bool
    tolerances: Tolerances
    entries_per_second: int


@dataclass(frozen=True, slots=True)
class SolveEvent:
    """News from a running solver.

    Attributes
    ----------
    x : ndarray of shape (n,) or None
        A new incumbent, if there is one.
    objective, bound : float
        The solver's incumbent value (inf if none) and dual bound (-inf if none).
    nodes : int
        Branch-and-bound nodes so far.
    """

    x: Floats | None
    objective: float
    bound: float
    nodes: int


EventCallback = Callable[[SolveEvent], bool]
"""A function that gets news and returns whether to stop; it runs on the thread that called `Backend.solve`."""


@dataclass(frozen=True, slots=True)
class MilpSolution:
    """The outcome of a solve; an incumbent is kept whatever the reason for its end.

    Attributes
    ----------
    status : Status
        `optimal`, `feasible`, `infeasible`, `no_solution` or `failed`.
    x : ndarray of shape (n,) or None
        Best solution known.
    objective, bound : float
        Its value (inf if none) and the dual bound (-inf if none).
    nodes : int
        Branch-and-bound nodes.
    seconds : float
        Wall-clock time of the solve.
    message : str
        Why it stopped.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    status: Status
    x: Floats | None
    objective: float
    bound: float
    nodes: int
    seconds: float
    message: str
    interrupted: bool = False


class Backend(Protocol):
    """A MILP solver."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    @classmethod
    def is_available(cls) -> bool:
        """Whether the solver's package is installed; takes no license."""
        ...

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimize.

        Parameters
        ----------
        milp : Milp
            The program.
        budget : Budget
            Limits; a running clock is honored.
        start : ndarray of shape (n,) or None
            A feasible solution to start from.
        on_event : callable or None
            Called with each incumbent and with progress; returning True stops the solve.

        Returns
        -------
        MilpSolution
            The outcome, also after a limit, an interruption or a failure.
        """
        ...
