"""Exact training by a mixed-integer program and a solver: the least loss, and then perhaps the least regularizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.formulations import robust
from bdnn.methods.milp_run import solve_into, too_large
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.backends.protocol import Backend
    from bdnn.methods.run import Run

# share of the time for the loss: a regularizer that comes second has the rest
_LOSS_SHARE = 0.7
# relative gap up to which a regularizer counts as least: what solvers leave open
_PENALTY_GAP = 1e-6


def train_with_program(run: Run, solver: Backend, reductions: tuple[str, ...]) -> tuple[str, bool]:
    """Solve the program of the problem.

    Parameters
    ----------
    run : Run
        With starting networks; receives others, and bounds.
    solver : Backend
        Solves.
    reductions : tuple of str
        Of symmetries, see `bdnn.formulations.training`.

    Returns
    -------
    message : str
        Why it ended.
    interrupted : bool
        Whether Ctrl-C came.
    """
    interrupted = False
    if run.closed:
        message = "nothing left to improve"
    elif (reason := too_large(robust.nonzeros(run.reduced), solver, run.budget)) is not None:
        message = f"{reason}; no bound was computed"
        run.fell_short(message)
    else:
        message, interrupted = _minimize_loss(run, solver, reductions)
    if run.problem.regularization == "lexicographic" and not interrupted:
        message, interrupted = _minimize_penalty(run, solver, reductions, message)
    return message, interrupted


def _minimize_loss(run: Run, solver: Backend, reductions: tuple[str, ...]) -> tuple[str, bool]:
    """Minimize the loss; return why the solver ended, and whether by Ctrl-C."""
    with run.phase("build"):
        model = robust.build_model(run.reduced, solver.capabilities.tolerances, reductions)
    with run.phase("solve"):
        budget = run.budget
        if run.problem.regularization == "lexicographic":
            budget = budget.within(_LOSS_SHARE * budget.remaining)
        starts = [candidate.network for candidate in sorted(run.starts, key=lambda candidate: candidate.rank)]
        solution = solve_into(run, solver, model, budget, starts, bounds=True).solution
    if run.budget.exhausted and not run.n_solved and not run.closed:
        run.fell_short("the time limit passed before a bound was computed")
    if run.bound > run.reduced.irreducible or solution.status == Status.OPTIMAL:
        run.covers(model.scope)
    return solution.message, solution.interrupted


def _minimize_penalty(run: Run, solver: Backend, reductions: tuple[str, ...], message: str) -> tuple[str, bool]:
    """Minimize the regularizer at the loss that was reached: the second step of a lexicographic minimization."""
    run.prove_penalty(run.incumbent.penalty == 0)
    if run.penalty_proven or run.out_of_nodes:
        return message, False
    if run.budget.exhausted:
        run.fell_short("the time limit passed before the regularizer was minimized")
        return message, False
    with run.phase("build"):
        tolerances, loss = solver.capabilities.tolerances, run.incumbent.objective
        model = robust.build_model(run.reduced, tolerances, reductions, loss_at_most=loss)
    with run.phase("solve", "regularize"):
        limits, start = run.share(run.budget.remaining), run.incumbent.network
        outcome = solve_into(run, solver, model, limits, [start], bounds=False, compares=False)
    solution = outcome.solution
    penalty, least = run.incumbent.penalty, max(0.0, solution.bound)
    run.prove_penalty(penalty - least <= _PENALTY_GAP * max(1.0, penalty))
    said = "proven least" if run.penalty_proven else f"lower bound {least:.6g}, {solution.message}"
    return f"{message}; {run.problem.regularizer} {penalty:.6g} at this loss ({said})", solution.interrupted
