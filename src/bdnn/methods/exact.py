"""Exact training: presolve, a start, branch and cut or a mixed-integer program, and an audit of all they propose."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bdnn.backends import backend
from bdnn.backends.protocol import Backend
from bdnn.backends.threads import Late
from bdnn.branch_and_cut.program import covers, n_columns
from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.errors import InputError, NotCoveredError
from bdnn.formulations import robust, training
from bdnn.methods.autosave import Keeper
from bdnn.methods.local_search import INCUMBENTS, NO_TIME_TO_POLISH, enter_incumbents, polish
from bdnn.methods.run import Race, solve_into, too_large
from bdnn.methods.starts import enter_given, enter_starts
from bdnn.network.network import Network
from bdnn.problem.problem import Problem, choice
from bdnn.result import Result
from bdnn.status import ProgressCallback, Status

if TYPE_CHECKING:
    from bdnn.branch_and_cut.engine import Proof

Certificate = dict[str, Any]

FORMULATIONS = ("activation", "big_m")

_LOSS_SHARE = 0.7
# rounds of one neuron are long, and few are needed, on many points one
_FIRST_ROUNDS_OF_ONE, _FIRST_ROUNDS, _MANY_POINTS = 3, 40, 500
_MOST_COLUMNS = 2500
_FIRST_NODES = 200
_OVERTIME_SHARE, _MOST_OVERTIME = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class ExactTraining:
    """Train to global optimality, or to a bound, by a mixed-integer program.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes the fastest installed one that can do what is needed.
    formulation : {"auto", "activation", "big_m"}
        "activation" is a branch and cut of our own over the activations of the points: no big constants, no margin, no
        solver; for continuous weights with biases, and no hidden layer or one: of up to five neurons with two classes,
        of one to three with more, see `bdnn.branch_and_cut.output_maps.output_maps`. "big_m" is the model of the
        paper, section 2. "auto" takes the first where it can and no solver was named.
    reductions : tuple of str
        Symmetry reductions, see `bdnn.formulations.training`.
    incumbents : {"search", "none"}, default="search"
        "search" begins with a short local search, whose network the solver starts from.
    certificate : bool, default=False
        Whether the result carries a certificate that `bdnn.verify_certificate` can check. Only "activation" can write
        one, and only for two classes.
    checkpoint : path-like or None
        File to which "activation" writes its state, from the first second on and at least once a minute, whatever it is
        doing, and from which it goes on if it exists already. It must be of the same data and architecture.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, section 2.
    """

    solver: str = "auto"
    formulation: str = "auto"
    reductions: tuple[str, ...] = training.REDUCTIONS
    incumbents: str = "search"
    certificate: bool = False
    checkpoint: str | os.PathLike[str] | None = None

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
        start = None if start is None else start.for_columns(problem.feature_names)
        race = Race(problem, budget, on_progress)
        scope, interrupted = race.reduced.everything, False
        uncovered = covers(race.reduced)
        if self.formulation == "activation" and uncovered:
            raise NotCoveredError(
                f'formulation "activation" does not cover {uncovered}: it takes continuous weights with biases, and no '
                "hidden layer or one: of up to five neurons with two classes, of up to three with more classes, "
                'depending on their number; use "big_m" or "auto"',
                uncovered,
            )
        if self.certificate and len(problem.classes) > 2:
            raise InputError(
                f"no certificate can be written for {len(problem.classes)} classes, only for two: leave certificate out"
            )
        activation = self.formulation == "activation" or (
            self.formulation == "auto" and self.solver == "auto" and not uncovered
        )
        try:
            if activation:
                message, interrupted, content = self._branch_and_cut(race, start)
                if race.bound > race.reduced.irreducible or race.closed:
                    scope = race.reduced.scope
                return replace(race.result("exact", message, scope, interrupted), certificate=content)
            if self.checkpoint is not None:
                raise InputError('a checkpoint can be written only by formulation "activation"')
            if self.certificate:
                raise InputError(
                    f"no certificate can be written for {uncovered or 'the paper-style model'}: certificates are for "
                    'formulation "activation", which takes two classes, continuous weights with biases, and no hidden '
                    "layer or one of up to five neurons"
                )
            with race.timed("start"):
                if self.incumbents == "none" or not enter_incumbents(race, start):
                    enter_starts(race, start)
            if race.closed:
                message = "nothing left to improve"
            elif (reason := too_large(robust.nonzeros(race.reduced), solver, budget)) is not None:
                message = f"{reason}; no bound was computed"
                race.fell_short(message)
            else:
                message, interrupted, proven = self._solve(race, solver)
                scope = scope if proven is None else proven
            if problem.regularization == "lexicographic" and not interrupted:
                message, interrupted = self._minimise_penalty(race, solver, message)
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
            if activation and race.bound > race.reduced.irreducible:
                scope = race.reduced.scope
        return race.result("exact", message, scope, interrupted)

    def _branch_and_cut(self, race: Race, start: Network | None) -> tuple[str, bool, Certificate | None]:
        """Return message, whether Ctrl-C came, and the certificate."""
        message, interrupted, budget = "nothing left to improve", False, race.budget
        proof: Proof | None = None
        keeper = Keeper(race, None if self.checkpoint is None else Path(self.checkpoint), self.certificate)
        try:
            keeper.begin()
            with race.timed("start"):
                self._search(race, keeper, start)
            keeper.save()
            from bdnn.branch_and_cut.engine import Proof
            from bdnn.branch_and_cut.parts import Parts

            race.phase = "build"
            if n_columns(race.reduced) > _MOST_COLUMNS:
                with race.timed("build"):
                    parts = Parts(race)
                    keeper.hand_over(parts)
                race.phase = "solve"
                race.report()
                with race.timed("solve"):
                    message = parts.work()
            elif not race.closed or self.certificate:
                with race.timed("build"):
                    proof = Proof(race, record=self.certificate)
                    keeper.hand_over(proof)
                if not race.closed:
                    message = self._prove(race, keeper, proof, start)
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        race.keep = None
        keeper.save()
        if budget.exhausted and not interrupted and not race.closed and race.nodes == 0:
            race.fell_short("the time limit passed before a bound was computed")
        if not interrupted:
            try:
                if not polish(race, _with_overtime(budget)):
                    message += f"; {NO_TIME_TO_POLISH}"
            except KeyboardInterrupt:  # after the proof: its ending, what it bounds and its certificate stay
                interrupted = True
        if keeper.trouble is not None:
            message += f"; {keeper.trouble}"
        kept = self.checkpoint is not None and keeper.trouble is None
        content = self._written(race, proof, interrupted, kept) if self.certificate and proof is not None else None
        return message, interrupted, content

    def _written(self, race: Race, proof: Proof, interrupted: bool, kept: bool) -> Certificate | None:
        """Return the certificate, or None if the limit passes meanwhile and the proof is kept in the checkpoint."""
        budget, race.phase = race.budget, "certificate"
        end = budget.seconds + max(_MOST_OVERTIME, _OVERTIME_SHARE * budget.seconds)

        def proceed() -> None:
            race.report()
            if kept and budget.elapsed > end:
                raise Late

        assert race.chosen is not None
        with race.timed("certificate"):
            try:
                return proof.certificate(race.chosen.network, None if interrupted else proceed)
            except Late:
                race.fell_short("the time limit passed while the certificate was written; the checkpoint has the proof")
                return None

    def _search(self, race: Race, keeper: Keeper, start: Network | None) -> None:
        """Enter starting networks: those that need no search, and unless an earlier run has done so, of a search."""
        if race.best is not None:  # of an earlier run
            enter_given(race, start)
            start = race.best.network
        if keeper.searched:
            return
        many = race.reduced.n_distinct > _MANY_POINTS
        rounds = _FIRST_ROUNDS if race.problem.hidden_layer_sizes else 1 if many else _FIRST_ROUNDS_OF_ONE
        searches = self.incumbents == "search"
        searched = searches and enter_incumbents(race, start, rounds, polishes=False)
        if not searched:
            enter_starts(race, start)
        # if the search was only not ready in time, a later run may do it
        keeper.searched = searched or not searches or race.closed

    def _prove(self, race: Race, keeper: Keeper, proof: Proof, start: Network | None) -> str:
        """Work on the proof until it is closed or a limit is reached; return why it ended."""
        from bdnn.branch_and_cut.engine import Ending, work

        may_search = self.incumbents == "search" and not keeper.searched_again
        race.phase = "solve"
        with race.timed("solve"):
            ending = work(race, proof, _FIRST_NODES if may_search else None)
        if ending is Ending.PAUSED:
            # it is not easy, so a better network is worth more time
            with race.timed("start"):
                spare = max(1e-3, race.budget.remaining - proof.writing_seconds)
                enter_incumbents(race, start, most_seconds=min(2 * proof.seconds, spare), polishes=False)
            keeper.searched_again = True
            keeper.save()
            race.phase = "solve"
            with race.timed("solve"):
                ending = work(race, proof)
        return ending.message

    def _solve(self, race: Race, solver: Backend) -> tuple[str, bool, str | None]:
        """Return message, whether Ctrl-C came, and what the bound bounds (None: no better than trivial)."""
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
        if race.budget.exhausted and not race.n_solved and not race.closed:
            race.fell_short("the time limit passed before a bound was computed")
        improved = race.bound > race.reduced.irreducible or solution.status == Status.OPTIMAL
        return solution.message, solution.interrupted, model.scope if improved else None

    def _minimise_penalty(self, race: Race, solver: Backend, message: str) -> tuple[str, bool]:
        """Second step of a lexicographic minimisation: the least regulariser at the loss reached."""
        assert race.best is not None
        race.penalty_proven = race.best.penalty == 0
        if race.penalty_proven or race.out_of_nodes:
            return message, False
        if race.budget.exhausted:
            race.fell_short("the time limit passed before the regularizer was minimised")
            return message, False
        race.phase = "build"
        with race.timed("build"):
            tolerances, loss = solver.capabilities.tolerances, race.best.objective
            model = robust.build_model(race.reduced, tolerances, self.reductions, loss_at_most=loss)
        race.phase = "regularise"
        with race.timed("solve"):
            start = [race.best.network]
            limits = race.share(race.budget.remaining)
            outcome = solve_into(race, solver, model, limits, start, bounds=False, compares=False)
        solution = outcome.solution
        penalty, least = race.best.penalty, max(0.0, solution.bound)
        race.penalty_proven = penalty - least <= 1e-6 * max(1.0, penalty)
        said = "proven least" if race.penalty_proven else f"lower bound {least:.6g}, {solution.message}"
        return f"{message}; {race.problem.regularizer} {penalty:.6g} at this loss ({said})", solution.interrupted


def _with_overtime(budget: Budget) -> Budget:
    """Return a budget for the polish: it takes milliseconds on few points, and a limit is reached without it."""
    seconds = max(budget.remaining, min(_MOST_OVERTIME, _OVERTIME_SHARE * budget.seconds))
    return replace(budget, seconds=max(seconds, 1e-3), started=reading())
