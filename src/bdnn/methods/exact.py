"""Exact training: presolve, a start, the mixed-integer program, and an audit of everything it proposes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from bdnn.audit import Audit, audit
from bdnn.backends import backend
from bdnn.backends.protocol import Backend, MilpSolution, SolveEvent
from bdnn.budget import Budget
from bdnn.errors import BDNNError, InputError
from bdnn.formulations import training
from bdnn.methods import start as starts
from bdnn.network import Floats, Network
from bdnn.presolve import Presolved, presolve
from bdnn.problem import Problem, choice
from bdnn.result import Incumbent, Progress, ProgressCallback, Result, Status

FORMULATIONS = ("big_m",)

_MOST_NONZEROS = 100_000_000
_NONZEROS_PER_SECOND = 4_000_000
_ROUNDING = 1e-6


class _Race:
    """The best network so far, by audited loss, and the best bound."""

    def __init__(
        self, problem: Problem, reduced: Presolved, budget: Budget, on_progress: ProgressCallback | None
    ) -> None:
        self.problem, self.reduced, self.budget, self._on_progress = problem, reduced, budget, on_progress
        self.network: Network | None = None
        self.audit = Audit(math.inf, 0, 0)
        self.bound, self.nodes, self.phase = reduced.irreducible, 0, "start"
        self.n_mismatched = 0
        self.history: list[Incumbent] = []
        self.starts: list[tuple[float, Network]] = []

    @property
    def loss(self) -> float:
        """Audited loss of the best network."""
        return self.audit.loss

    @property
    def closed(self) -> bool:
        """Whether the bound meets the loss, up to the rounding of sums of weights."""
        tolerance = 1e-9 if self.reduced.loss_step else 2 * _ROUNDING
        return self.loss - self.bound <= tolerance * max(self.loss, self.reduced.loss_unit)

    def enter(self, network: Network, source: str, solver_loss: float | None = None) -> None:
        """Audit a network and keep it if it is better than the best, or as good and the solver's own."""
        audited = audit(network, self.problem, solver_loss)
        self.n_mismatched += audited.mismatch
        if source != "solver":
            self.starts.append((audited.loss, network))
        if self.network is None or audited.loss < self.loss:
            self.network, self.audit = network, audited
            self.history.append(Incumbent(self.budget.elapsed, audited.loss, source))
            self.report()

    def raise_bound(self, solver_bound: float) -> None:
        """Take a solver's dual bound, in loss units, lowered by its rounding, raised to the next possible loss."""
        if math.isfinite(solver_bound):
            safe = solver_bound - _ROUNDING * max(1.0, abs(solver_bound))
            units = math.ceil(safe) if self.reduced.loss_step else safe
            self.bound = max(self.bound, units * self.reduced.loss_unit)

    def report(self) -> None:
        """Tell the listener where things stand."""
        if self._on_progress is not None:
            bound = min(self.bound, self.loss)
            self._on_progress(Progress(self.budget.elapsed, self.loss, bound, self.nodes, self.phase))


@dataclass(frozen=True, slots=True)
class ExactTraining:
    """Train to global optimality, or to a bound, by a mixed-integer program.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes HiGHS.
    formulation : {"auto", "big_m"}
        "big_m" is the model of the paper, section 2.
    reductions : tuple of str
        Symmetry reductions, see `bdnn.formulations.training`.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, section 2.
    """

    solver: str = "auto"
    formulation: str = "auto"
    reductions: tuple[str, ...] = training.REDUCTIONS

    def __call__(
        self,
        problem: Problem,
        budget: Budget | None = None,
        start: Network | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Result:
        """Train.

        Parameters
        ----------
        problem : Problem
            What to train on.
        budget : Budget or None
            Limits; None for none.
        start : Network or None
            A network of the problem's class to start from; the result is never worse.
        on_progress : callable or None
            Receives a `Progress` with every new incumbent and several times a second.

        Returns
        -------
        Result
            With the best network found, also after a limit or Ctrl-C.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        MarginError
            If no margin is safe.
        """
        choice("formulation", self.formulation, ("auto", *FORMULATIONS))
        solver = backend(self.solver)
        budget = (budget or Budget()).start()
        timings: dict[str, float] = {}
        with _timed(timings, "presolve"):
            reduced = presolve(problem)
        race = _Race(problem, reduced, budget, on_progress)
        scope, interrupted, ran = "every classifier on these inputs", False, ""
        try:
            with _timed(timings, "start"):
                _enter_starts(race, start)
            message = "nothing left to improve" if race.closed else _too_large(reduced, budget)
            if not message:
                race.phase = "build"
                race.report()
                with _timed(timings, "build"):
                    model = training.build(reduced, solver.capabilities.tolerances, self.reductions)
                race.phase, ran = "solve", solver.name
                with _timed(timings, "solve"):
                    solution = _solve(race, model, solver)
                message, interrupted = solution.message, solution.interrupted
                if race.bound > reduced.irreducible or solution.status == Status.OPTIMAL:
                    scope = model.scope
        except KeyboardInterrupt:
            if race.network is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        assert race.network is not None
        if race.n_mismatched:
            message += f"; {race.n_mismatched} solution(s) of the solver had a larger loss than it reported"
        timings["total"] = budget.elapsed
        return Result(
            network=race.network,
            status=Status.OPTIMAL if race.closed else Status.FEASIBLE,
            objective=race.loss,
            bound=race.loss if race.closed else race.bound,
            bound_of=scope,
            irreducible=reduced.irreducible,
            audit=replace(race.audit, n_mismatched=race.n_mismatched),
            method="exact",
            solver=ran,
            message=message,
            interrupted=interrupted,
            n_rows=len(problem.codes),
            n_distinct=reduced.n_distinct,
            nodes=race.nodes,
            history=tuple(race.history),
            timings=timings,
        )


def _enter_starts(race: _Race, start: Network | None) -> None:
    if start is not None:
        if race.reduced.to_layers(start) is None:
            raise InputError(
                "the start network has another architecture, other classes or other weights than the problem"
            )
        race.enter(start, "start")
    race.enter(starts.constant(race.reduced), "constant")
    if not race.closed:
        for network in starts.layered(race.reduced, race.budget):
            race.enter(network, "linear")
            if race.closed:
                break


def _solve(race: _Race, model: training.TrainingModel, solver: Backend) -> MilpSolution:
    unit = race.reduced.loss_unit
    x = None
    for _, network in sorted(race.starts, key=lambda start: start[0]):
        try:
            x = model.encode(network)
            break
        except InputError:
            pass  # its margin is too small for the program: it only stays as a network to beat

    def propose(solution: Floats, objective: float) -> None:
        if np.all(np.isfinite(solution)):
            race.enter(model.decode(solution), "solver", objective * unit)
        else:
            race.n_mismatched += 1

    listening = False

    def on_event(event: SolveEvent) -> bool:
        nonlocal listening
        listening = True
        race.nodes = event.nodes
        race.raise_bound(event.bound)
        if event.x is not None:
            propose(event.x, event.objective)
        race.report()
        listening = False
        return race.closed

    try:
        solution = solver.solve(model.milp, race.budget, x, on_event)
    except BDNNError:
        raise
    except Exception as error:
        if listening:  # the listener's error, not the solver's
            raise
        solution = MilpSolution(
            Status.FAILED, None, math.inf, -math.inf, race.nodes, 0.0, f"the solver failed: {error!r}"
        )
    race.nodes = solution.nodes
    race.raise_bound(solution.bound)
    if solution.x is not None:
        propose(solution.x, solution.objective)
    return solution


@contextmanager
def _timed(timings: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        timings[phase] = time.monotonic() - began


def _too_large(reduced: Presolved, budget: Budget) -> str:
    """Why the program should not even be built, or an empty string."""
    count = training.nonzeros(reduced)
    if count > _MOST_NONZEROS:
        return (
            f"the program would have {count:.3g} matrix entries, more than {_MOST_NONZEROS:.0e}; no bound was computed"
        )
    if count / _NONZEROS_PER_SECOND > budget.remaining:
        return f"time limit too short to build a program of {count:.3g} matrix entries; no bound was computed"
    return ""
