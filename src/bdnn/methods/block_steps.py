"""Solving for one block of neurons with the others fixed: for the loss, or for the least regularizer at a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.formulations import block, robust
from bdnn.methods.milp_run import NetworkModel, solve_into, too_large
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.backends.protocol import Backend
    from bdnn.methods.candidate import Candidate
    from bdnn.methods.run import Run

# share of the time left that one block may take, and the seconds that it always has: a hard one must not take the time
# of all others
_BLOCK_SHARE, _MIN_SECONDS = 0.25, 1.0


def improve_block(
    run: Run,
    solver: Backend,
    current: Candidate,
    layer: int,
    neurons: tuple[int, ...] | None,
    loss_at_most: float | None = None,
) -> tuple[Candidate, bool, str | None]:
    """Solve for one block of the current network; there must be nodes left.

    Parameters
    ----------
    run : Run
        Receives all networks.
    solver : Backend
        Solves.
    current : Candidate
        The network.
    layer : int
        Index of the block's layer.
    neurons : tuple of int or None
        Its neurons; None for all.
    loss_at_most : float or None
        If given, minimize the regularizer at no more than this loss.

    Returns
    -------
    best : Candidate
        The better of the current network and that of the solver; the latter if they are equal.
    interrupted : bool
        Whether Ctrl-C came.
    failure : str or None
        Why the block could not be solved at all, if so.
    """
    seconds = max(_MIN_SECONDS, _BLOCK_SHARE * run.budget.remaining)
    shown = f"layer {layer + 1}" if neurons is None else f"layer {layer + 1}, neuron {neurons[0] + 1}"
    is_robust = run.problem.robust
    entries = robust.nonzeros(run.reduced) if is_robust else block.nonzeros(run.reduced, layer, neurons)
    if reason := too_large(entries, solver, run.budget):
        run.fell_short(reason)
        return current, False, reason
    with run.phase("build", shown):
        tolerances = solver.capabilities.tolerances
        model: NetworkModel
        if is_robust:
            whole = robust.build(run.reduced, tolerances, (), loss_at_most=loss_at_most)
            model = robust.with_fixed_layers(whole, current.network, layer, neurons)
        else:
            model = block.build(run.reduced, current.network, layer, neurons, tolerances, loss_at_most=loss_at_most)
    with run.phase("solve", shown):
        budget = run.share(seconds)
        compares = run.problem.regularizer is None
        outcome = solve_into(run, solver, model, budget, [current.network], bounds=False, compares=compares)
    solution, best = outcome.solution, outcome.best
    failure = solution.message if solution.status == Status.FAILED else None
    if best is None or best.rank > current.rank:
        return current, solution.interrupted, failure
    return best, solution.interrupted, failure


def shrink_penalty(run: Run, solver: Backend) -> bool:
    """Minimize the regularizer layer by layer at no more than the best loss; return whether Ctrl-C came."""
    run.prove_penalty(run.incumbent.penalty == 0)
    if run.budget.exhausted and not run.penalty_proven:
        run.fell_short("the time limit passed before the regularizer was minimized")
    current, before = run.incumbent, (np.inf, np.inf)
    while current.rank < before:
        before = current.rank
        for layer in range(len(run.problem.widths)):
            if run.budget.exhausted or run.out_of_nodes:
                return False
            current, interrupted, _ = improve_block(run, solver, current, layer, None, current.audit.loss)
            if interrupted:
                return True
    return False
