"""Attack and repair: training for the exact worst case over balls around the training points.

The loss of a point is 1 if any input of its ball is decided wrong. A program with finitely many inputs of the balls is
a relaxation, so its optimum bounds the least worst-case loss; certification of its solution either finds no further
attack, and then the solution is optimal, or gives inputs that the next program has as rows. The three-valued model of
`bdnn.formulations.robust` counts a point as wrong as soon as it cannot exclude that open neurons combine badly, which
here need not be possible for any single input.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bdnn.backends import backend
from bdnn.backends.protocol import Backend
from bdnn.backends.threads import NODE_LIMIT
from bdnn.budget import Budget
from bdnn.errors import InputError
from bdnn.formulations import robust
from bdnn.methods.data_splitting import DataSplitting, Splitting
from bdnn.methods.exact import ExactTraining
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.run import solve_into, too_large
from bdnn.methods.starts import enter_given
from bdnn.methods.worst_case_run import WorstCaseRace
from bdnn.network.network import Network
from bdnn.problem.problem import Problem
from bdnn.result import Result
from bdnn.status import ProgressCallback, Status

_DERIVED = ("classes", "codes")
_SEARCH_SHARE = 0.1
_INTERVAL_SHARE = 0.5
_SHARE = 0.5
_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AttackAndRepair:
    """Train for the worst case: solve, attack the solution, add the attacks as rows, until none is left.

    Parameters
    ----------
    inner : ExactTraining or DataSplitting
        How the programs are solved. Exact: the paper's program to the end, with a bound. Splitting: after every split
        the attacks found join the clusters of their points.

    References
    ----------
    The loop is that of cutting planes for robust optimisation: A. Mutapcic and S. Boyd, doi:10.1080/10556780802712889.
    """

    inner: ExactTraining | DataSplitting

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
            With a radius and ``robust_model="worst_case"``.
        budget : Budget or None
            Limits; None for none. A node limit holds for all programs together, but not for certification.
        start : Network or None
            A network of the problem's class to start from; the result is never worse.
        on_progress : callable or None
            Receives a `Progress` with every new incumbent and several times a second.

        Returns
        -------
        Result
            With the best network found, also after a limit, Ctrl-C or a failure of the solver. Its objective is the
            certified worst-case loss, points that could not be decided included.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        MarginError
            If no margin is safe.
        """
        if not isinstance(self.inner, ExactTraining | DataSplitting):
            raise InputError(
                "robust_model='worst_case' is trained by the methods 'exact' and 'data_splitting'; "
                "'local_search' and 'alternating' take 'interval' and 'pattern'"
            )
        if getattr(self.inner, "certificate", False) or getattr(self.inner, "checkpoint", None) is not None:
            raise InputError("robust_model='worst_case' writes neither certificates nor checkpoints; leave both out")
        budget = (budget or Budget()).start()
        start = None if start is None else start.for_columns(problem.feature_names)
        if not problem.hidden_layer_sizes:
            return self.inner(_with_intervals(problem), budget, start, on_progress)
        solver = backend(self.inner.solver, problem)
        race = WorstCaseRace(problem, budget, on_progress)
        message, scope, interrupted = "nothing left to improve", race.reduced.everything, False
        try:
            enter_given(race, start, holds_linear=False)  # three-valued training has one
            # the three-valued loss first: networks are never worse than it says
            three_valued = _with_intervals(problem)
            first: list[tuple[Any, float]] = [(self.inner, _INTERVAL_SHARE)]
            if self.inner.incumbents == "search":
                first.insert(0, (LocalSearch(), _SEARCH_SHARE))
            race.phase = "intervals"
            race.report()
            for trainer, share in first:
                if race.out_of_nodes:
                    break
                with race.timed("intervals"):
                    limits, searches = race.share(share * budget.remaining), isinstance(trainer, LocalSearch)
                    found = trainer(three_valued, replace(limits, nodes=None) if searches else limits, start)
                    race.nodes += 0 if searches else found.nodes
                    race.enter(found.network, "intervals")
                start = found.network
                if found.interrupted:
                    raise KeyboardInterrupt
                if race.closed:
                    break
            if not race.closed:
                if isinstance(self.inner, DataSplitting):
                    message, interrupted, proven = _repair_splitting(race, solver, self.inner)
                else:
                    message, interrupted, proven = _repair_exactly(race, solver, self.inner)
                scope = proven or scope
                if not race.n_solved and not race.closed and not interrupted:
                    race.fell_short("no program was solved")
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        message += f"; {race.n_attacks} attacks"
        if race.n_undecided:
            race.fell_short(f"{race.n_undecided} points undecided and counted as wrong")
        method = "data_splitting" if isinstance(self.inner, DataSplitting) else "exact"
        return race.result(method, message, scope, interrupted)


def _repair_exactly(race: WorstCaseRace, solver: Backend, method: ExactTraining) -> tuple[str, bool, str]:
    """Return why it stopped, whether by Ctrl-C, and what the bound covers (empty: no better than trivial)."""
    scope, tolerances = "", solver.capabilities.tolerances

    race.extend(None if race.best is None else race.best.network)
    seconds = 0.0
    while True:
        if race.budget.exhausted:
            return "time limit reached", False, scope
        if race.out_of_nodes:
            return NODE_LIMIT, False, scope
        if reason := too_large(robust.nonzeros(race.reduced), solver, race.budget):
            return reason, False, scope
        race.phase = f"{len(race.reduced.X)} inputs: build"
        race.report()
        with race.timed("build"):
            model = robust.build_model(race.reduced, tolerances, method.reductions)
        race.phase = f"{len(race.reduced.X)} inputs: solve"
        seconds, bound = max(_SHARE * race.budget.remaining, _LEAST_SECONDS, seconds), race.bound
        assert race.best is not None
        with race.timed("solve"):
            starts = [race.best.network]
            outcome = solve_into(race, solver, model, race.share(seconds), starts, bounds=True)
        solution = outcome.solution
        if race.bound > bound:
            scope = model.scope.replace(race.reduced.scope, race.scope, 1)
        if race.closed:
            return "no attack is left", False, scope
        if solution.status == Status.FAILED or solution.interrupted:
            return solution.message, solution.interrupted, scope
        new = race.extend(outcome.last.network) if outcome.last else ()
        if not len(new) and (solution.status == Status.OPTIMAL or race.budget.nodes is not None):
            return solution.message, False, scope


def _repair_splitting(race: WorstCaseRace, solver: Backend, method: DataSplitting) -> tuple[str, bool, str]:
    """Do the same with clusters."""
    race.extend()
    state, scope, splits = Splitting(race, solver, method), "", method.limits()[0]
    state.start_from(race.best)
    for iteration in range(splits + 1):
        if race.budget.exhausted:
            return "time limit reached", False, scope
        if race.out_of_nodes:
            return NODE_LIMIT, False, scope
        step = state.solve(splits + 1 - iteration)
        if step.scope is not None:
            scope = step.scope.replace(race.reduced.scope, race.scope, 1)
        if race.closed:
            return "no attack is left", step.interrupted, scope
        if step.stops:
            return step.message, step.interrupted, scope
        grown = race.extend(state.network)
        state.grow(grown)
        if not state.split() and not len(grown):
            return "every cluster is a single point", False, scope
    return "split limit reached", False, scope


def _with_intervals(problem: Problem) -> Problem:
    """Return the problem with the three-valued model, which without hidden layer is the worst case."""
    settings: dict[str, Any] = {f.name: getattr(problem, f.name) for f in fields(problem) if f.name not in _DERIVED}
    settings["robust_model"] = "interval"
    if problem.validation is not None:
        X, codes = problem.validation
        settings["validation"] = (X, problem.classes[np.asarray(codes)])
    return Problem(**settings, copy=False)
