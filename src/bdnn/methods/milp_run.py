"""Solving a mixed-integer program into a run: every solution is a network that is submitted, the bound is raised."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.backends.protocol import Backend, MilpSolution, SolveEvent
from bdnn.errors import BDNNError, InputError
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.methods.candidate import Candidate
    from bdnn.methods.run import Run
    from bdnn.milp.program import Milp
    from bdnn.network.network import Network
    from bdnn.types import Floats

# matrix entries that are built at all: an entry takes 12 bytes, several times over while it is handed to a solver
_MAX_ENTRIES = 100_000_000


def too_large(entries: int, solver: Backend, budget: Budget) -> str | None:
    """Say why a program with so many matrix entries should not even be built; None if it may be."""
    if entries > _MAX_ENTRIES:
        return f"the program would have {entries:.3g} matrix entries, more than {_MAX_ENTRIES:.0e}"
    if entries / solver.capabilities.entries_per_second > budget.remaining:
        return f"the time limit is too short for a program of {entries:.3g} matrix entries"
    return None


class NetworkModel(Protocol):
    """A program whose solutions are networks."""

    @property
    def milp(self) -> Milp:
        """The program."""
        ...

    def encode(self, network: Network) -> Floats:
        """Return the solution vector of a network."""
        ...

    def decode(self, x: Floats) -> Network:
        """Return the network of a solution vector."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """How a solve ended, and the networks it found.

    Attributes
    ----------
    solution : MilpSolution
        From the solver.
    best : Candidate or None
        The best network among its solutions, by audit on all points.
    last : Candidate or None
        The network of its best solution, by its own objective.
    """

    solution: MilpSolution
    best: Candidate | None
    last: Candidate | None


def solve_into(
    run: Run,
    solver: Backend,
    model: NetworkModel,
    budget: Budget,
    starts: Iterable[Network],
    *,
    bounds: bool,
    compares: bool = True,
    log: bool = True,
) -> Outcome:
    """Solve a program and submit all its solutions to the run.

    Parameters
    ----------
    run : Run
        Receives networks, nodes and perhaps bounds.
    solver : Backend
        Solves. If it crashes, or refuses a program after it has solved others, the status is `failed` and nothing is
        raised.
    model : NetworkModel
        The program.
    budget : Budget
        Limits of the solve.
    starts : iterable of Network
        The first that the program can express is the starting solution.
    bounds : bool
        Whether the program's dual bound holds for every network of the problem.
    compares : bool
        Whether the program's objective is that of the network, so that it can be compared with the audit.
    log : bool
        Whether new best networks go to the history.

    Returns
    -------
    Outcome
        How the solve ended, and the networks it found.
    """
    first = not run.solver
    run.name_solver(solver.name)
    receiver = _Receiver(run, model, bounds, compares, log)
    try:
        solution = solver.solve(model.milp, budget, _encoded(model, starts), receiver.on_event)
    except Exception as error:
        # the listener's errors are not the solver's; that the solver cannot be used at all is said at once, but later
        # on, it must not cost the networks found so far
        refused = isinstance(error, BDNNError)
        if receiver.listening or (refused and first):
            raise
        message = str(error) if refused else f"the solver failed: {error!r}"
        solution = MilpSolution(Status.FAILED, None, math.inf, -math.inf, 0, 0.0, message)
    receiver.finish(solution)
    return Outcome(solution, receiver.best, receiver.last)


def _encoded(model: NetworkModel, starts: Iterable[Network]) -> Floats | None:
    """Return the solution vector of the first network that a program can express."""
    for network in starts:
        try:
            return model.encode(network)
        except InputError:
            continue  # its margin is too small for the program: it stays as the network to beat
    return None


class _Receiver:
    """Takes what a solver says while it solves, and at the end, into the run."""

    def __init__(self, run: Run, model: NetworkModel, bounds: bool, compares: bool, log: bool) -> None:
        self._run, self._model, self._nodes = run, model, run.nodes
        self._bounds, self._compares, self._log = bounds, compares, log
        self.best: Candidate | None = None
        self.last: Candidate | None = None
        self.listening = False

    def on_event(self, event: SolveEvent) -> bool:
        """Take news; return whether the solver should stop."""
        self.listening = True
        self._run.count_nodes(self._nodes + event.nodes)
        if self._bounds:
            self._run.raise_bound(event.bound)
        if event.x is not None:
            self._submit(event.x, event.objective)
        self._run.report()
        self.listening = False
        return self._bounds and self._run.closed

    def finish(self, solution: MilpSolution) -> None:
        """Take the outcome of the solve."""
        self._run.count_nodes(self._nodes + solution.nodes)
        if solution.status in (Status.OPTIMAL, Status.INFEASIBLE) or math.isfinite(solution.bound):
            self._run.count_solved()
        if self._bounds:
            self._run.raise_bound(solution.bound)
        if solution.x is not None:
            self._submit(solution.x, solution.objective)

    def _submit(self, x: Floats, objective: float) -> None:
        if not np.all(np.isfinite(x)):
            self._run.count_mismatch()
            return
        network, unit = self._model.decode(x), self._run.reduced.loss_unit
        self.last = self._run.submit(network, "solver", objective * unit if self._compares else None, log=self._log)
        if self.best is None or self.last.rank < self.best.rank:
            self.best = self.last
