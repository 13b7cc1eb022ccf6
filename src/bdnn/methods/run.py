"""The best networks of a run so far, by audited objective, and the best bound: what every method keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bdnn.backends.protocol import Backend, MilpSolution, SolveEvent
from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.errors import BDNNError, InputError
from bdnn.formulations.model import scaled
from bdnn.formulations.scales import regularized_margin
from bdnn.milp.program import Milp
from bdnn.network.network import Network
from bdnn.problem.audit import Audit, audit
from bdnn.problem.presolve import presolve
from bdnn.problem.problem import Problem
from bdnn.result import BoundStep, Incumbent, Result
from bdnn.status import Progress, ProgressCallback, Status
from bdnn.types import Floats

_ROUNDING = 1e-6
_SAME_MOMENT = 1e-3
_MOST_ENTRIES = 100_000_000
_OVERLAP_SHARE = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Runner:
    """A network in the race.

    Attributes
    ----------
    network : Network
        Itself.
    audit : Audit
        Its sign-exact evaluation.
    penalty : float
        Its regulariser, without the factor.
    objective : float
        Loss plus weighted regulariser.
    accuracy : float or None
        On the held-out data.
    """

    network: Network
    audit: Audit
    penalty: float
    objective: float
    accuracy: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """Objective, then regulariser: lower is better."""
        return self.objective, self.penalty


class Race:
    """The best networks so far and the best bound.

    Parameters
    ----------
    problem : Problem
        What to train on.
    budget : Budget
        With a running clock.
    on_progress : callable or None
        Receives a `Progress` with news.

    Attributes
    ----------
    reduced : Presolved
        The problem, presolved.
    best : Runner or None
        Of least objective.
    chosen : Runner or None
        The one to return: of highest accuracy on the held-out data if there are any, else the best.
    bound : float
        On the objective of every network.
    phase : str
        What is being done, for the progress.
    solver : str
        Name of the solver, once it was called.
    nodes : int
        Branch-and-bound nodes so far, those of earlier runs that this one goes on from included.
    nodes_before : int
        Those of earlier runs.
    rounds : int
        Rounds of the local search that is running, or was the last to run.
    keep : callable or None
        Called with every report, before the listener: the moment to write down what is known.
    n_mismatched : int
        Solutions of solvers with a larger loss than reported.
    penalty_proven : bool
        Whether the regulariser that comes second is known to be least.
    starts : list of Runner
        Networks that came from no solver.
    history : list of Incumbent
        To be returned.
    bounds : list of BoundStep
        To be returned.
    n_solved : int
        Programs that were solved, or at least bounded.
    audit_seconds : float
        How long the last audit took.
    shortfalls : list of str
        What could not be done for lack of time, to be returned.
    """

    robust_models: tuple[str, ...] = ("interval", "pattern")

    def __init__(self, problem: Problem, budget: Budget, on_progress: ProgressCallback | None) -> None:
        if problem.robust and problem.robust_model not in self.robust_models:
            raise InputError(
                f"this method does not train for robust_model={problem.robust_model!r}, but for 'interval' and "
                f"'pattern'; the methods 'exact' and 'data_splitting' of BDNNClassifier take all"
            )
        self.problem, self.budget, self._on_progress = problem, budget, on_progress
        self.timings: dict[str, float] = {}
        self.shortfalls: list[str] = []
        with self.timed("presolve"):
            self.reduced = presolve(problem, _OVERLAP_SHARE * budget.remaining)
            if not self.reduced.sought_overlaps:
                self.shortfalls.append("the time limit is too short to look for points whose balls meet")
        # a number of which every objective is a multiple, or 0; asked for at every step of a search
        self._step = 0.0 if problem.penalty_factor else self.reduced.loss_step
        self._unit = self.reduced.loss_unit
        self.best: Runner | None = None
        self.chosen: Runner | None = None
        self.bound, self.phase, self.solver = self.reduced.irreducible, "start", ""
        self.nodes, self.nodes_before, self.rounds = 0, 0, 0
        self.keep: Callable[[], None] | None = None
        self.n_mismatched = 0
        # a regulariser that comes second is not known to be least before that was asked
        self.penalty_proven = problem.regularization != "lexicographic"
        self.starts: list[Runner] = []
        self.history: list[Incumbent] = []
        self.bounds = [BoundStep(budget.elapsed, self.bound)]
        self.audit_seconds, self.n_solved = 0.0, 0
        self._held: tuple[Runner, str] | None = None

    def fell_short(self, what: str) -> None:
        """Note what could not be done for lack of time, beyond a gap that is not closed."""
        if what not in self.shortfalls:
            self.shortfalls.append(what)

    def is_closed(self, objective: float) -> bool:
        """Whether the bound meets an objective, up to the rounding of sums of weights."""
        return objective <= self.bound or self.equal(self.bound, objective)

    def equal(self, bound: float, objective: float) -> bool:
        """Whether a bound and an objective are the same up to the rounding of sums of weights."""
        tolerance = 1e-9 if self._step else 2 * _ROUNDING
        return abs(objective - bound) <= tolerance * max(objective, self._unit)

    @property
    def closed(self) -> bool:
        """Whether the bound meets the best objective."""
        return self.best is not None and self.is_closed(self.best.objective)

    @property
    def incumbent(self) -> Runner:
        """The best network, where there must be one."""
        if self.best is None:
            raise BDNNError("no network is known yet")
        return self.best

    @property
    def nodes_left(self) -> int | None:
        """Branch-and-bound nodes that the budget still allows; None for no limit."""
        if self.budget.nodes is None:
            return None
        return max(0, self.budget.nodes - (self.nodes - self.nodes_before))

    @property
    def out_of_nodes(self) -> bool:
        """Whether the limit on nodes is reached."""
        return self.nodes_left == 0

    def share(self, seconds: float, parts: int = 1) -> Budget:
        """Return the budget of one of several programs that follow one another.

        Parameters
        ----------
        seconds : float
            For this program.
        parts : int
            Programs that are to share the nodes that are left; some must be, see `out_of_nodes`.

        Returns
        -------
        Budget
            Starts now.
        """
        left = self.nodes_left
        return replace(self.budget.within(seconds), nodes=None if left is None else -(-left // parts))

    def evaluate(self, network: Network, solver_objective: float | None = None) -> Runner:
        """Audit a network, without entering it; `solver_objective` is what a solver said of it.

        With the regularisers ℓ1 and ℓ2 its continuous weights are made as small as the margin allows.
        """
        began = reading()
        margin = regularized_margin(self.problem)
        if margin is not None and (layers := self.reduced.to_layers(network)) is not None:
            network = self.reduced.to_network(scaled(self.reduced, layers, margin))
        penalty = self.reduced.penalty(network)
        weighted = self.problem.penalty_factor * penalty
        audited = audit(network, self.problem, None if solver_objective is None else solver_objective - weighted)
        accuracy = None
        if self.problem.validation is not None:
            X, codes = self.problem.validation
            accuracy = float(np.mean(network.predict_index(X) == codes))
        self.audit_seconds = reading() - began
        return Runner(network, audited, penalty, audited.loss + weighted, accuracy)

    def enter(
        self, network: Network, source: str, solver_objective: float | None = None, *, log: bool = True
    ) -> Runner:
        """Audit a network, keep it if it is better than the best, and return its evaluation.

        Without `log` it does not go to the history, nor is it taken for its accuracy on held-out data.
        """
        runner = self.evaluate(network, solver_objective)
        self._admit(runner, source, log)
        return runner

    def hold(self, network: Network, source: str) -> None:
        """Audit a network and keep it until `release`: what a method finds by itself has its turn first.

        Of networks of the same loss those that a search finds with all their neurons are the better guess for other
        data.
        """
        self._held = self.evaluate(network), source

    def release(self) -> None:
        """Enter what is held back; whatever has been found meanwhile and is no worse stays."""
        if self._held is not None:
            (runner, source), self._held = self._held, None
            self._admit(runner, source, log=True)

    def _admit(self, runner: Runner, source: str, log: bool) -> None:
        self.n_mismatched += runner.audit.mismatch
        if source != "solver":
            self.starts.append(runner)
        if math.isinf(runner.objective):
            return  # not a network of the problem
        # both are set before anything is reported: a listener may raise
        if log or self.problem.validation is None:
            self.choose(runner)
        if self.best is None or runner.rank < self.best.rank:
            self.best = runner
            if log:
                seconds = self.budget.elapsed
                self.history.append(Incumbent(seconds, runner.objective, source, runner.accuracy))
            self.report()

    def choose(self, runner: Runner) -> None:
        """Take a network as the one to return, if it is better on the held-out data, or without any, better at all."""
        old = self.chosen
        if old is None or (-(runner.accuracy or 0.0), *runner.rank) < (-(old.accuracy or 0.0), *old.rank):
            self.chosen = runner

    def replace(self, old: Runner, network: Network) -> None:
        """Put a network in the place of the best and the chosen one if it is no worse than `old`, also on new data."""
        runner = self.evaluate(network)
        if runner.rank <= old.rank and (runner.accuracy or 0.0) >= (old.accuracy or 0.0):
            self.chosen = runner
            if self.best is old or (self.best is not None and runner.rank <= self.best.rank):
                self.best = runner

    def raise_bound(self, solver_bound: float) -> None:
        """Take a solver's dual bound, in loss units, lowered by its rounding, raised to the next possible loss."""
        if math.isfinite(solver_bound):
            safe = solver_bound - _ROUNDING * max(1.0, abs(solver_bound))
            bound = (math.ceil(safe) if self._step else safe) * self.reduced.loss_unit
            if bound > self.bound:
                self.bound = bound
                self._record_bound(bound)

    def restore_bound(self, bound: float) -> None:
        """Take the bound of an earlier run on the same problem, in units of the objective."""
        if bound > self.bound:
            self.bound = bound
            self._record_bound(bound)

    def _record_bound(self, bound: float) -> None:
        """Put a bound into the course of bounds; in place of the last one if that was at nearly the same time."""
        now = self.budget.elapsed
        if len(self.bounds) > 1 and now - self.bounds[-1].seconds <= _SAME_MOMENT * now:
            self.bounds.pop()
        self.bounds.append(BoundStep(now, bound))

    def report(self) -> None:
        """Tell those who keep the run, and then the listener, where things stand."""
        if self.keep is not None:
            self.keep()
        if self._on_progress is not None and self.best is not None:
            objective = self.best.objective
            seconds, bound = self.budget.elapsed, min(self.bound, objective)
            self._on_progress(Progress(seconds, objective, bound, self.nodes, self.phase, self.rounds))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the seconds of a block of code to the timings."""
        began = reading()
        try:
            yield
        finally:
            self.timings[phase] = self.timings.get(phase, 0.0) + reading() - began

    def result(self, method: str, message: str, scope: str, interrupted: bool) -> Result:
        """Return the outcome; `scope` says what the bound bounds."""
        if interrupted or self.shortfalls or self.budget.exhausted:
            # plain methods, left to themselves, return what they found; a listener may raise, and the run is over
            self._on_progress = None
            self.release()
        chosen = self.chosen
        assert chosen is not None
        if self.n_mismatched:
            message += f"; {self.n_mismatched} solution(s) of the solver had a larger loss than it reported"
        message = "; ".join([message, *(what for what in self.shortfalls if what != message)])
        if self.reduced.grid_loss:
            message += (
                f"; the {self.problem.input_bits}-bit grid of the inputs makes rows of different labels equal, which "
                f"costs {self.reduced.grid_loss:g} of the loss: raise input_bits, or rescale the inputs"
            )
        self.timings["total"] = self.budget.elapsed
        closed = self.is_closed(chosen.objective)
        bound = chosen.objective if closed else self.bound
        if self.bounds[-1].bound != bound:  # a sum of weights, rounded in another order
            self._record_bound(bound)
        return Result(
            network=chosen.network,
            status=Status.OPTIMAL if closed and (self.penalty_proven or chosen.penalty == 0) else Status.FEASIBLE,
            objective=chosen.objective,
            bound=bound,
            bound_of=scope,
            irreducible=self.reduced.irreducible,
            irreducible_of=self.reduced.everything,
            grid_loss=self.reduced.grid_loss,
            audit=replace(chosen.audit, n_mismatched=self.n_mismatched),
            method=method,
            solver=self.solver,
            message=message,
            interrupted=interrupted,
            n_rows=len(self.problem.codes),
            n_distinct=self.reduced.n_distinct,
            nodes=self.nodes,
            penalty=chosen.penalty,
            validation_accuracy=chosen.accuracy,
            history=tuple(self.history),
            bounds=tuple(BoundStep(step.seconds, min(step.bound, bound)) for step in self.bounds),
            timings=dict(self.timings),
            shortfalls=tuple(self.shortfalls),
        )


def too_large(entries: int, solver: Backend, budget: Budget) -> str | None:
    """Why a program with so many matrix entries should not even be built; None if it may be."""
    if entries > _MOST_ENTRIES:
        return f"the program would have {entries:.3g} matrix entries, more than {_MOST_ENTRIES:.0e}"
    if entries / solver.capabilities.entries_per_second > budget.remaining:
        return f"the time limit is too short for a program of {entries:.3g} matrix entries"
    return None


class Model(Protocol):
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
    best : Runner or None
        The best network among its solutions, by audit on all points.
    last : Runner or None
        The network of its best solution, by its own objective.
    """

    solution: MilpSolution
    best: Runner | None
    last: Runner | None


def solve_into(
    race: Race,
    solver: Backend,
    model: Model,
    budget: Budget,
    starts: Iterable[Network],
    *,
    bounds: bool,
    compares: bool = True,
    log: bool = True,
) -> Outcome:
    """Solve a program and enter all its solutions into the race.

    Parameters
    ----------
    race : Race
        Receives networks, nodes and perhaps bounds.
    solver : Backend
        Solves. If it crashes, or refuses a program after it has solved others, the status is `failed` and nothing is
        raised.
    model : Model
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
    first = not race.solver
    unit, nodes, race.solver = race.reduced.loss_unit, race.nodes, solver.name
    best: Runner | None = None
    last: Runner | None = None
    listening = False

    def enter(x: Floats, objective: float) -> None:
        nonlocal best, last
        if not np.all(np.isfinite(x)):
            race.n_mismatched += 1
            return
        last = race.enter(model.decode(x), "solver", objective * unit if compares else None, log=log)
        if best is None or last.rank < best.rank:
            best = last

    def on_event(event: SolveEvent) -> bool:
        nonlocal listening
        listening = True
        race.nodes = nodes + event.nodes
        if bounds:
            race.raise_bound(event.bound)
        if event.x is not None:
            enter(event.x, event.objective)
        race.report()
        listening = False
        return bounds and race.closed

    start = None
    for network in starts:
        try:
            start = model.encode(network)
            break
        except InputError:
            continue  # its margin is too small for the program: it stays as the network to beat
    try:
        solution = solver.solve(model.milp, budget, start, on_event)
    except Exception as error:
        # the listener's errors are not the solver's; that the solver cannot be used at all is said at once, but later
        # on, it must not cost the networks found so far
        refused = isinstance(error, BDNNError)
        if listening or (refused and first):
            raise
        message = str(error) if refused else f"the solver failed: {error!r}"
        solution = MilpSolution(Status.FAILED, None, math.inf, -math.inf, 0, 0.0, message)
    race.nodes = nodes + solution.nodes
    race.n_solved += solution.status in (Status.OPTIMAL, Status.INFEASIBLE) or math.isfinite(solution.bound)
    if bounds:
        race.raise_bound(solution.bound)
    if solution.x is not None:
        enter(solution.x, solution.objective)
    return Outcome(solution, best, last)
