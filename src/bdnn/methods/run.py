"""A run of a training method: its best networks by audited objective, its best bound, and its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.errors import BDNNError, InputError
from bdnn.formulations.model import scaled
from bdnn.formulations.scales import regularized_margin
from bdnn.methods.candidate import Candidate
from bdnn.problem.audit import audit
from bdnn.problem.presolve import Presolved, presolve
from bdnn.result import BoundStep, Incumbent, Result
from bdnn.status import Progress, ProgressCallback, Status, TeamState

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem

# relative error of a solver's bound: its tolerances are 1e-6 or less, see `bdnn.milp.tolerances`
_BOUND_ERROR = 1e-6
# relative error of sums of sample weights in another order: far above the roundoff of 10^6 of them
_SUM_ERROR = 1e-9
# bounds within a thousandth of the time so far are one point of a plot
_SAME_MOMENT = 1e-3
# share of the time for finding points whose balls meet: they only improve the trivial bound
_OVERLAP_SHARE = 0.1


class Run:
    """The best networks so far and the best bound.

    Parameters
    ----------
    problem : Problem
        What to train on.
    budget : Budget
        With a running clock.
    on_progress : callable or None
        Receives a `Progress` with news.
    reduced : Presolved or None
        The problem, presolved, if that has been done.

    Raises
    ------
    InputError
        If networks of this run are not compared by the problem's robust model.
    """

    robust_models: tuple[str, ...] = ("interval", "pattern")

    def __init__(
        self, problem: Problem, budget: Budget, on_progress: ProgressCallback | None, reduced: Presolved | None = None
    ) -> None:
        if problem.robust and problem.robust_model not in self.robust_models:
            raise InputError(
                f"this method does not support robust_model={problem.robust_model!r}, only 'interval' and 'pattern'; "
                f"the methods 'exact' and 'data_splitting' of BDNNClassifier support all three"
            )
        self._problem, self._budget, self._on_progress = problem, budget, on_progress
        self._save: Callable[[], None] | None = None
        self._best: Candidate | None = None
        self._chosen: Candidate | None = None
        self._held: tuple[Candidate, str] | None = None
        self._phase, self._solver = "start", ""
        self._timings: dict[str, float] = {}
        self._shortfalls: list[str] = []
        with self.phase("presolve"):
            self._reduced = reduced or presolve(problem, _OVERLAP_SHARE * budget.remaining)
        if not self._reduced.sought_overlaps:
            self.fell_short("the time limit is too short to look for points whose balls meet")
        # a number of which every objective is a multiple, or 0; asked for at every step of a search
        self._step = 0.0 if problem.penalty_factor else self._reduced.loss_step
        self._unit = self._reduced.loss_unit
        weights = np.asarray(problem.sample_weight)
        # what two losses may differ by and be the same: far less than any row weighs
        self._close = self._step / 4 if self._step else 2 * _BOUND_ERROR * float(weights[weights > 0].min())
        self._bound, self._scope = self._reduced.irreducible, self._reduced.everything
        self._nodes = self._earlier_nodes = self._rounds = self._n_mismatched = self._n_solved = 0
        # a regularizer that comes second is not known to be least before that was asked
        self._penalty_proven = problem.regularization != "lexicographic"
        self._team: TeamState | None = None
        self._starts: list[Candidate] = []
        self._history: list[Incumbent] = []
        self._bounds = [BoundStep(budget.elapsed, self._bound)]
        self._audit_seconds, self._told = 0.0, math.inf

    # what is known

    @property
    def problem(self) -> Problem:
        """What is trained on."""
        return self._problem

    @property
    def reduced(self) -> Presolved:
        """The problem, presolved."""
        return self._reduced

    @property
    def budget(self) -> Budget:
        """Limits of the run."""
        return self._budget

    @property
    def best(self) -> Candidate | None:
        """The network of least objective so far, if there is one."""
        return self._best

    @property
    def incumbent(self) -> Candidate:
        """The network of least objective so far, where there must be one."""
        if self._best is None:
            raise BDNNError("no network is known yet")
        return self._best

    @property
    def chosen(self) -> Candidate | None:
        """The network to return: of highest accuracy on the held-out data if there are any, else the best."""
        return self._chosen

    @property
    def bound(self) -> float:
        """No network of the problem has a smaller objective."""
        return self._bound

    @property
    def scope(self) -> str:
        """What the bound bounds."""
        return self._scope

    @property
    def bounds(self) -> tuple[BoundStep, ...]:
        """The course of the bound."""
        return tuple(self._bounds)

    @property
    def starts(self) -> tuple[Candidate, ...]:
        """Networks that came from no solver."""
        return tuple(self._starts)

    @property
    def solver(self) -> str:
        """Name of the solver, empty before one was called."""
        return self._solver

    @property
    def nodes(self) -> int:
        """Branch-and-bound nodes so far, those of earlier runs that this one goes on from included."""
        return self._nodes

    @property
    def rounds(self) -> int:
        """Rounds of the local search that is running, or was the last to run."""
        return self._rounds

    @property
    def n_solved(self) -> int:
        """Programs that were solved, or at least bounded."""
        return self._n_solved

    @property
    def audit_seconds(self) -> float:
        """How long the last audit took."""
        return self._audit_seconds

    @property
    def penalty_proven(self) -> bool:
        """Whether the regularizer that comes second is known to be least."""
        return self._penalty_proven

    @property
    def current_phase(self) -> str:
        """What is being done."""
        return self._phase

    def is_closed(self, objective: float) -> bool:
        """Whether the bound meets an objective, up to the rounding of sums of weights."""
        return objective <= self._bound or self.equal(self._bound, objective)

    def equal(self, bound: float, objective: float) -> bool:
        """Whether a bound and an objective are the same up to the rounding of sums of weights."""
        if self._step:
            return abs(objective - bound) <= min(_SUM_ERROR * max(objective, self._step), self._close)
        return abs(objective - bound) <= max(2 * _BOUND_ERROR * objective, self._close)

    @property
    def closed(self) -> bool:
        """Whether the bound meets the best objective."""
        return self._best is not None and self.is_closed(self._best.objective)

    # limits

    @property
    def nodes_left(self) -> int | None:
        """Branch-and-bound nodes that the budget still allows; None for no limit."""
        if self._budget.nodes is None:
            return None
        return max(0, self._budget.nodes - (self._nodes - self._earlier_nodes))

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
        return replace(self._budget.within(seconds), nodes=None if left is None else -(-left // parts))

    # networks

    def evaluate(self, network: Network, solver_objective: float | None = None) -> Candidate:
        """Audit a network, without submitting it; `solver_objective` is what a solver said of it.

        With the regularizers ℓ1 and ℓ2 its continuous weights are made as small as the margin allows.
        """
        began = reading()
        margin = regularized_margin(self._problem)
        if margin is not None and (layers := self._reduced.to_layers(network)) is not None:
            network = self._reduced.to_network(scaled(self._reduced, layers, margin))
        penalty = self._reduced.penalty(network)
        weighted = self._problem.penalty_factor * penalty
        audited = audit(network, self._problem, None if solver_objective is None else solver_objective - weighted)
        accuracy = self._accuracy(network)
        self._audit_seconds = reading() - began
        return Candidate(network, audited, penalty, audited.loss + weighted, accuracy)

    def _accuracy(self, network: Network) -> float | None:
        """Return the accuracy on the held-out data, as their rows are weighted; None if there are none."""
        if self._problem.validation is None:
            return None
        X, codes, weight = self._problem.validation
        return float(np.average(network.predict_index(X) == codes, weights=np.asarray(weight)))

    def submit(
        self, network: Network, source: str, solver_objective: float | None = None, *, log: bool = True
    ) -> Candidate:
        """Audit a network, keep it if it is better than the best, and return its evaluation.

        Without `log` it does not go to the history, nor is it taken for its accuracy on held-out data.
        """
        candidate = self.evaluate(network, solver_objective)
        self._admit(candidate, source, log)
        return candidate

    def hold(self, network: Network, source: str) -> None:
        """Audit a network and keep it until `release`: what a method finds by itself has precedence.

        Of networks of the same loss those that a search finds with all their neurons are the better guess for other
        data.
        """
        self._held = self.evaluate(network), source

    def release(self) -> None:
        """Submit what is held back; whatever has been found meanwhile and is no worse stays."""
        if self._held is not None:
            (candidate, source), self._held = self._held, None
            self._admit(candidate, source, log=True)

    def _admit(self, candidate: Candidate, source: str, log: bool) -> None:
        self._n_mismatched += candidate.audit.mismatch
        if source != "solver":
            self._starts.append(candidate)
        if math.isinf(candidate.objective):
            return  # not a network of the problem
        # both are set before anything is reported: a listener may raise
        if log or self._problem.validation is None:
            self.choose(candidate)
        if self._best is None or candidate.rank < self._best.rank:
            self._best = candidate
            if log:
                seconds = self._budget.elapsed
                self.record(Incumbent(seconds, candidate.objective, source, candidate.accuracy))
            self.report()

    def add_start(self, candidate: Candidate) -> None:
        """Note a network that solvers may start from."""
        self._starts.append(candidate)

    def choose(self, candidate: Candidate) -> None:
        """Take a network as the one to return, if it is better on the held-out data, or without any, better at all."""
        old = self._chosen
        if old is None or (-(candidate.accuracy or 0.0), *candidate.rank) < (-(old.accuracy or 0.0), *old.rank):
            self._chosen = candidate

    def replace(self, old: Candidate, network: Network) -> None:
        """Put a network in the place of the best and the chosen one if it is no worse than `old`, also on new data."""
        candidate = self.evaluate(network)
        if candidate.rank <= old.rank and (candidate.accuracy or 0.0) >= (old.accuracy or 0.0):
            self._chosen = candidate
            if self._best is old or (self._best is not None and candidate.rank <= self._best.rank):
                self._best = candidate

    # bounds

    def raise_bound(self, bound: float, *, exact: bool = False) -> None:
        """Take a dual bound, in loss units, raised to the next possible loss.

        A solver's is lowered by its tolerances before, one of exact arithmetic by the rounding of sums.
        """
        if math.isfinite(bound):
            safe = bound - (_SUM_ERROR * abs(bound) if exact else _BOUND_ERROR * max(1.0, abs(bound)))
            self.restore_bound((math.ceil(safe) if self._step else safe) * self._reduced.loss_unit)

    def restore_bound(self, bound: float) -> None:
        """Take a bound in units of the objective, such as that of an earlier run on the problem, if it is better."""
        if bound > self._bound:
            self._bound = bound
            self._record_bound(bound)

    def covers(self, scope: str) -> None:
        """Say what the bound bounds."""
        self._scope = scope

    def _record_bound(self, bound: float) -> None:
        """Put a bound into the course of bounds; in place of the last one if that was at nearly the same time."""
        now = self._budget.elapsed
        if len(self._bounds) > 1 and now - self._bounds[-1].seconds <= _SAME_MOMENT * now:
            self._bounds.pop()
        self._bounds.append(BoundStep(now, bound))

    @contextmanager
    def phase(self, name: str, shown: str = "", *, reports: bool = True) -> Iterator[None]:
        """Report a phase of the run as it begins, and add its seconds to the timings.

        Parameters
        ----------
        name : str
            In the timings.
        shown : str, default=""
            What progress says is being done, if that is more than the name.
        reports : bool, default=True
            Whether there is a report as it begins.
        """
        before, self._phase = self._phase, shown or name
        began = reading()
        try:
            if reports:
                self.report()
            yield
        finally:
            self._phase = before
            self._timings[name] = self._timings.get(name, 0.0) + reading() - began

    def report(self, part: Progress | None = None) -> None:
        """Tell those who save the run, and then the listener, where things stand, or where a part of the run does."""
        if self._save is not None:
            self._save()
        if self._on_progress is not None and self._best is not None:
            self._told = min(self._told, self._best.objective, part.objective if part else math.inf)
            phase, rounds = (part.phase, part.rounds) if part else (self._phase, self._rounds)
            seconds, bound = self._budget.elapsed, min(self._bound, self._told)
            self._on_progress(Progress(seconds, self._told, bound, self._nodes, phase, rounds, self._team))

    def save_with(self, save: Callable[[], None] | None) -> None:
        """Call `save` with every report from now on, before the listener: the moment to write down what is known."""
        self._save = save

    def record(self, entry: Incumbent) -> None:
        """Put an entry into the history."""
        self._history.append(entry)

    def fell_short(self, what: str) -> None:
        """Note what could not be done for lack of time, beyond a gap that is not closed."""
        if what not in self._shortfalls:
            self._shortfalls.append(what)

    def name_solver(self, name: str) -> None:
        """Note which solver is called."""
        self._solver = name

    def count_nodes(self, nodes: int, team: TeamState | None = None) -> None:
        """Note how many nodes there are so far, as `nodes` counts them, and how those stand who work on them."""
        self._nodes, self._team = nodes, team

    def resume_nodes(self, nodes: int) -> None:
        """Take over the number of nodes of earlier runs, which the budget does not count."""
        self._nodes = self._earlier_nodes = nodes

    def count_rounds(self, rounds: int) -> None:
        """Note how many rounds the local search has done."""
        self._rounds = rounds

    def count_solved(self) -> None:
        """Note that a program was solved, or at least bounded."""
        self._n_solved += 1

    def count_mismatch(self) -> None:
        """Note that a solver's solution was worse than it said."""
        self._n_mismatched += 1

    def prove_penalty(self, proven: bool) -> None:
        """Note whether the regularizer that comes second is known to be least."""
        self._penalty_proven = proven

    def result(self, method: str, message: str, interrupted: bool) -> Result:
        """Return the outcome.

        Parameters
        ----------
        method : str
            Its name.
        message : str
            Why it ended.
        interrupted : bool
            Whether Ctrl-C came.

        Returns
        -------
        Result
            With the chosen network; one must have been submitted.
        """
        if interrupted or self._shortfalls or self._budget.exhausted:
            # plain methods, left to themselves, return what they found; a listener may raise, and the run is over
            self._on_progress = None
            self.release()
        chosen = self._chosen
        assert chosen is not None
        self._timings["total"] = self._budget.elapsed
        closed = self.is_closed(chosen.objective)
        # with weights that have no common unit a bound that is nearly there proves no more than it says
        whole = bool(self._step or self._problem.penalty_factor)
        bound = chosen.objective if closed and whole else min(chosen.objective, self._bound)
        if self._bounds[-1].bound != bound:  # a sum of weights, rounded in another order
            self._record_bound(bound)
        return Result(
            network=chosen.network,
            status=Status.OPTIMAL if closed and (self._penalty_proven or chosen.penalty == 0) else Status.FEASIBLE,
            objective=chosen.objective,
            bound=bound,
            bound_of=self._scope,
            irreducible=self._reduced.irreducible,
            irreducible_of=self._reduced.everything,
            grid_loss=self._reduced.grid_loss,
            audit=replace(chosen.audit, n_mismatched=self._n_mismatched),
            method=method,
            solver=self._solver,
            message=self._full_message(message),
            interrupted=interrupted,
            n_rows=len(self._problem.codes),
            n_distinct=self._reduced.n_distinct,
            nodes=self._nodes,
            penalty=chosen.penalty,
            validation_accuracy=chosen.accuracy,
            history=tuple(self._history),
            bounds=tuple(BoundStep(step.seconds, min(step.bound, bound)) for step in self._bounds),
            timings=dict(self._timings),
            shortfalls=tuple(self._shortfalls),
            weighted=bool(np.any(np.asarray(self._problem.sample_weight) != 1.0)),
        )

    def _full_message(self, message: str) -> str:
        """Return why the run ended, and what else there is to be said of it."""
        if self._n_mismatched:
            message += f"; {self._n_mismatched} solution(s) of the solver had a larger loss than it reported"
        message = "; ".join([message, *(what for what in self._shortfalls if what != message)])
        if self._reduced.grid_loss:
            message += (
                f"; the {self._problem.input_bits}-bit grid of the inputs makes rows of different labels equal, which "
                f"costs {self._reduced.grid_loss:g} of the loss: raise input_bits, or rescale the inputs"
            )
        return message
