"""Exact training: presolve, a start, the mixed-integer program, and an audit of everything it proposes."""

from __future__ import annotations

from dataclasses import dataclass

from bdnn.backends import backend
from bdnn.backends.protocol import Backend
from bdnn.budget import Budget
from bdnn.formulations import robust, training
from bdnn.methods.local_search import INCUMBENTS, enter_incumbents
from bdnn.methods.race import Race, solve_into, too_large
from bdnn.methods.start import enter_starts
from bdnn.network import Network
from bdnn.problem import Problem, choice
from bdnn.result import ProgressCallback, Result, Status

FORMULATIONS = ("big_m",)

_LOSS_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class ExactTraining:
    """Train to global optimality, or to a bound, by a mixed-integer program.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes the fastest installed one that can do what is needed.
    formulation : {"auto", "big_m"}
        "big_m" is the model of the paper, section 2.
    reductions : tuple of str
        Symmetry reductions, see `bdnn.formulations.training`.
    incumbents : {"search", "none"}, default="search"
        "search" begins with a short local search, whose network the solver starts from.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, section 2.
    """

    solver: str = "auto"
    formulation: str = "auto"
    reductions: tuple[str, ...] = training.REDUCTIONS
    incumbents: str = "search"

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
            With the best network found, also after a limit, Ctrl-C or a failure of the solver.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        MarginError
            If no margin is safe.
        """
        choice("formulation", self.formulation, ("auto", *FORMULATIONS))
        choice("incumbents", self.incumbents, INCUMBENTS)
        solver = backend(self.solver, problem)
        budget = (budget or Budget()).start()
        race = Race(problem, budget, on_progress)
        scope, interrupted = "every classifier on these inputs", False
        try:
            with race.timed("start"):
                if self.incumbents == "none" or not enter_incumbents(race, start):
                    enter_starts(race, start)
            message = "nothing left to improve" if race.closed else ""
            if not message and (reason := too_large(robust.nonzeros(race.reduced), solver, budget)):
                message = f"{reason}; no bound was computed"
            if not message:
                message, interrupted, proven = self._solve(race, solver)
                scope = proven or scope
            if problem.regularization == "lexicographic" and not interrupted and race.budget.remaining > 0:
                message, interrupted = self._minimise_penalty(race, solver, message)
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        return race.result("exact", message, scope, interrupted)

    def _solve(self, race: Race, solver: Backend) -> tuple[str, bool, str]:
        """Return message, whether Ctrl-C came, and what the bound bounds (empty: no better than trivial)."""
        race.phase = "build"
        race.report()
        with race.timed("build"):
            model = robust.build_model(race.reduced, solver.capabilities.tolerances, self.reductions)
        race.phase = "solve"
        assert race.best is not None
        budget = race.budget
        if race.problem.regularization == "lexicographic":
            budget = budget.within(_LOSS_SHARE * budget.remaining)
        with race.timed("solve"):
            starts = [runner.network for runner in sorted(race.starts, key=lambda runner: runner.rank)]
            solution = solve_into(race, solver, model, budget, starts, bounds=True).solution
        improved = race.bound > race.reduced.irreducible or solution.status == Status.OPTIMAL
        return solution.message, solution.interrupted, model.scope if improved else ""

    def _minimise_penalty(self, race: Race, solver: Backend, message: str) -> tuple[str, bool]:
        """Second step of a lexicographic minimisation: the least regulariser at the loss reached."""
        assert race.best is not None
        race.penalty_proven = race.best.penalty == 0
        if race.penalty_proven:
            return message, False
        race.phase = "build"
        with race.timed("build"):
            tolerances, loss = solver.capabilities.tolerances, race.best.objective
            model = robust.build_model(race.reduced, tolerances, self.reductions, loss_at_most=loss)
        race.phase = "regularise"
        with race.timed("solve"):
            start = [race.best.network]
            outcome = solve_into(race, solver, model, race.budget, start, bounds=False, compares=False)
        solution = outcome.solution
        penalty, least = race.best.penalty, max(0.0, solution.bound)
        race.penalty_proven = penalty - least <= 1e-6 * max(1.0, penalty)
        said = "proven least" if race.penalty_proven else f"lower bound {least:.6g}, {solution.message}"
        return f"{message}; {race.problem.regularizer} {penalty:.6g} at this loss ({said})", solution.interrupted
