"""Attack and repair: training for the exact worst case over balls around the training points.

A program with finitely many inputs of the balls bounds the least worst-case loss; certification of its solution finds
the inputs that the next program has as rows, or none. The loss and the program are stated in
docs/mathematics/worst_case.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.backends import backend
from bdnn.backends.threads import NODE_LIMIT, TIME_LIMIT
from bdnn.budget import Budget
from bdnn.errors import InputError
from bdnn.formulations import robust
from bdnn.methods.data_splitting import DataSplitting, Splitting
from bdnn.methods.incumbents import submit_given
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.method import Ending, TrainingMethod
from bdnn.methods.milp_run import solve_into, too_large
from bdnn.methods.worst_case_run import WorstCaseRun
from bdnn.problem.problem import Problem
from bdnn.status import ProgressCallback, Status

if TYPE_CHECKING:
    from bdnn.backends.protocol import Backend
    from bdnn.methods.exact import ExactTraining
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.result import Result

# attributes of a problem that its constructor does not take
_DERIVED = ("classes", "codes")
# shares of the time for a local search and for training with the three-valued loss, which give a network to begin with
_SEARCH_SHARE, _INTERVAL_SHARE = 0.1, 0.5
# share of the time left that one program may take, and the seconds it always has: there are few, and they grow
_SHARE, _MIN_SECONDS = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class AttackAndRepair(TrainingMethod):
    """Train for the worst case: solve, attack the solution, add the attacks as rows, until none is left.

    Parameters
    ----------
    inner : ExactTraining or DataSplitting
        How the programs are solved. Exact: the paper's program to the end, with a bound. Splitting: after every split
        the attacks found join the clusters of their points.

    Notes
    -----
    A limit on nodes holds for all programs together, but not for certification. Without a hidden layer the three-valued
    loss is the worst case, and `inner` trains for it.

    References
    ----------
    The loop is that of cutting planes for robust optimization: A. Mutapcic and S. Boyd, doi:10.1080/10556780802712889.
    """

    name = "worst_case"

    inner: ExactTraining | DataSplitting

    def _check(self, problem: Problem, budget: Budget) -> None:
        if self.inner.name not in ("exact", "data_splitting"):
            raise InputError(
                "robust_model='worst_case' is supported by the methods 'exact' and 'data_splitting'; "
                "'local_search' and 'alternating' support 'interval' and 'pattern'"
            )
        self.inner.check_settings(self.inner)
        if getattr(self.inner, "certificate", False) or getattr(self.inner, "checkpoint", None) is not None:
            raise InputError("robust_model='worst_case' writes neither certificates nor checkpoints; leave both out")
        if problem.hidden_layer_sizes:
            backend(self.inner.solver, problem)
        else:
            self.inner._check(_with_intervals(problem), budget)

    def _begin(self, problem: Problem, budget: Budget, on_progress: ProgressCallback | None) -> Run:
        if not problem.hidden_layer_sizes:
            return self.inner._begin(_with_intervals(problem), budget, on_progress)
        return WorstCaseRun(problem, budget, on_progress)

    def _train(self, run: Run, start: Network | None) -> Ending:
        if not isinstance(run, WorstCaseRun):
            return self.inner._train(run, start)
        message, interrupted = "nothing left to improve", False
        submit_given(run, start, holds_linear=False)  # three-valued training has one
        self._train_with_intervals(run, start)
        if not run.closed:
            solver = backend(self.inner.solver, run.problem)
            if isinstance(self.inner, DataSplitting):
                message, interrupted = _repair_splitting(run, solver, self.inner)
            else:
                message, interrupted = _repair_exactly(run, solver, self.inner.reductions)
            if not run.n_solved and not run.closed and not interrupted:
                run.fell_short("no program was solved")
        return Ending(message, interrupted)

    def _train_with_intervals(self, run: WorstCaseRun, start: Network | None) -> None:
        """Submit networks of the three-valued loss: they are never worse than it says."""
        three_valued = _with_intervals(run.problem)
        trainers: list[tuple[TrainingMethod, float]] = [(self.inner, _INTERVAL_SHARE)]
        if self.inner.incumbents == "search":
            trainers.insert(0, (LocalSearch(), _SEARCH_SHARE))
        for trainer, share in trainers:
            if run.out_of_nodes:
                break
            with run.phase("intervals"):
                limits, searches = run.share(share * run.budget.remaining), isinstance(trainer, LocalSearch)
                result = trainer(three_valued, replace(limits, nodes=None) if searches else limits, start)
                run.count_nodes(run.nodes + (0 if searches else result.nodes))
                run.submit(result.network, "intervals")
            start = result.network
            if result.interrupted:
                raise KeyboardInterrupt
            if run.closed:
                break

    def _result(self, run: Run, ending: Ending) -> Result:
        if not isinstance(run, WorstCaseRun):
            return self.inner._result(run, ending)
        if run.n_undecided:
            run.fell_short(f"{run.n_undecided} points are undecided and counted as wrong")
        return run.result(self.inner.name, f"{ending.message}; {run.n_attacks} attacks", ending.interrupted)


def _repair_exactly(run: WorstCaseRun, solver: Backend, reductions: tuple[str, ...]) -> tuple[str, bool]:
    """Solve the program of the problem, with the attacks so far; return why it stopped, and whether by Ctrl-C."""
    tolerances, seconds = solver.capabilities.tolerances, 0.0
    run.extend(run.incumbent.network)
    while True:
        if run.budget.exhausted:
            return TIME_LIMIT, False
        if run.out_of_nodes:
            return NODE_LIMIT, False
        if reason := too_large(robust.nonzeros(run.reduced), solver, run.budget):
            return reason, False
        inputs = f"{len(run.reduced.X)} inputs"
        with run.phase("build", f"{inputs}: build"):
            model = robust.build_model(run.reduced, tolerances, reductions)
        seconds, bound = max(_SHARE * run.budget.remaining, _MIN_SECONDS, seconds), run.bound
        with run.phase("solve", f"{inputs}: solve"):
            starts = [run.incumbent.network]
            outcome = solve_into(run, solver, model, run.share(seconds), starts, bounds=True)
        solution = outcome.solution
        if run.bound > bound:
            run.covers(model.scope.replace(run.reduced.scope, run.program_scope, 1))
        if run.closed:
            return "no attack is left", False
        if solution.status == Status.FAILED or solution.interrupted:
            return solution.message, solution.interrupted
        new = run.extend(outcome.last.network) if outcome.last else ()
        if not len(new) and (solution.status == Status.OPTIMAL or run.budget.nodes is not None):
            return solution.message, False


def _repair_splitting(run: WorstCaseRun, solver: Backend, method: DataSplitting) -> tuple[str, bool]:
    """Repair with clusters, which are split until each is a single point; return the same as `_repair_exactly`."""
    run.extend()
    state, splits = Splitting(run, solver, method), method.max_splits
    state.start_from(run.best)
    for iteration in range(splits + 1):
        if run.budget.exhausted:
            return TIME_LIMIT, False
        if run.out_of_nodes:
            return NODE_LIMIT, False
        step = state.solve(splits + 1 - iteration)
        if step.scope is not None:
            run.covers(step.scope.replace(run.reduced.scope, run.program_scope, 1))
        if run.closed:
            return "no attack is left", step.interrupted
        if step.stops:
            return step.message, step.interrupted
        grown = run.extend(state.network)
        state.grow(grown)
        if not state.split() and not len(grown):
            return "every cluster is a single point", False
    return "split limit reached", False


def _with_intervals(problem: Problem) -> Problem:
    """Return the problem with the three-valued model, which without hidden layer is the worst case."""
    settings: dict[str, Any] = {f.name: getattr(problem, f.name) for f in fields(problem) if f.name not in _DERIVED}
    settings["robust_model"] = "interval"
    if problem.validation is not None:
        X, codes, weight = problem.validation
        settings["validation"] = (X, problem.classes[np.asarray(codes)], weight)
    return Problem(**settings, copy=False)
