"""Local search by alternating blocks (J. Kurtz and B. Bah, arXiv:2110.11382): solve one block of neurons at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bdnn.backends import backend
from bdnn.backends.protocol import Backend
from bdnn.backends.threads import NODE_LIMIT
from bdnn.budget import Budget
from bdnn.formulations import block, robust
from bdnn.methods.local_search import INCUMBENTS, enter_incumbents
from bdnn.methods.run import Model, Race, Runner, solve_into, too_large
from bdnn.methods.starts import enter_given
from bdnn.network.network import Layer, Network
from bdnn.problem.presolve import Presolved
from bdnn.problem.problem import Problem, choice, positive_integer
from bdnn.result import Result
from bdnn.status import ProgressCallback, Status
from bdnn.types import Floats

BLOCKS = ("layers", "neurons")

_BLOCK_SHARE = 0.25

Block = tuple[int, tuple[int, ...] | None]
"""A layer, and its neurons in the block (None: all)."""


@dataclass(frozen=True, slots=True)
class AlternatingSearch:
    """Solve for one block of neurons with the others fixed, in turn, until a full round brings nothing.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes the fastest installed one that can do what is needed.
    blocks : {"layers", "neurons"}, default="layers"
        What is solved for at a time; the paper takes layers.
    n_starts : int, default=1
        Starts; the best network of all is returned. A given start comes first, or the network of the local search; the
        others are random.
    incumbents : {"search", "none"}, default="search"
        "search" begins with a short local search; "none" is the paper's method.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, local search heuristic.
    """

    solver: str = "auto"
    blocks: str = "layers"
    n_starts: int = 1
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
            Limits; None for none. A node limit holds for all blocks together.
        start : Network or None
            A network of the problem's class to start from; the result is never worse.
        on_progress : callable or None
            Receives a `Progress` with every new incumbent and several times a second.

        Returns
        -------
        Result
            With the best network found, also after a limit, Ctrl-C or a failure of the solver. Its bound is trivial:
            local search proves nothing.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        MarginError
            If no margin is safe.
        """
        choice("blocks", self.blocks, BLOCKS)
        choice("incumbents", self.incumbents, INCUMBENTS)
        n_starts = positive_integer("n_starts", self.n_starts)
        solver = backend(self.solver, problem)
        budget = (budget or Budget()).start()
        start = None if start is None else start.for_columns(problem.feature_names)
        race = Race(problem, budget, on_progress)
        rng = np.random.default_rng(budget.seed)
        interrupted, message = False, "nothing left to improve"
        try:
            first = start
            if self.incumbents == "none":
                enter_given(race, start)
            elif enter_incumbents(race, start) and race.best is not None:
                first = race.best.network
            for attempt in range(n_starts):
                if race.closed or interrupted or (attempt and race.out_of_nodes):
                    break
                if attempt and budget.exhausted:
                    race.fell_short(f"the time limit passed after {attempt} of {n_starts} starts")
                    break
                network = first if first is not None and attempt == 0 else random_network(race.reduced, rng)
                message, interrupted = self._descend(race, solver, race.enter(network, "random start"))
            if problem.regularization == "lexicographic" and not interrupted and race.best is not None:
                interrupted = shrink_blockwise(race, solver)
            if not race.n_solved and not race.closed:
                race.fell_short("no block was solved")
        except KeyboardInterrupt:
            if race.best is None:
                raise
            message, interrupted = "stopped by Ctrl-C", True
        return race.result("alternating", message, race.reduced.everything, interrupted)

    def _descend(self, race: Race, solver: Backend, current: Runner) -> tuple[str, bool]:
        """Improve a network block by block; return why it stopped, and whether by Ctrl-C."""
        while not race.closed:
            before, note = current.rank, "a full round of blocks brought nothing"
            for layer, neurons in self._blocks(race.problem):
                if race.budget.exhausted:
                    return "time limit reached", False
                if race.out_of_nodes:
                    return NODE_LIMIT, False
                improved, interrupted, failure = improve_block(race, solver, current, layer, neurons)
                note = note if failure is None else failure
                current = improved
                if interrupted or race.closed:
                    return "stopped by Ctrl-C" if interrupted else "nothing left to improve", interrupted
            if not current.rank < before:
                return note, False
        return "nothing left to improve", False

    def _blocks(self, problem: Problem) -> Iterator[Block]:
        for layer, width in enumerate(problem.widths):
            joint = problem.head == "argmax" and layer == len(problem.widths) - 1
            if self.blocks == "layers" or joint:
                yield layer, None
            else:
                yield from ((layer, (neuron,)) for neuron in range(width))


def improve_block(
    race: Race,
    solver: Backend,
    current: Runner,
    layer: int,
    neurons: tuple[int, ...] | None,
    loss_at_most: float | None = None,
) -> tuple[Runner, bool, str | None]:
    """Solve for one block of the current network; there must be nodes left.

    Parameters
    ----------
    race : Race
        Receives all networks.
    solver : Backend
        Solves.
    current : Runner
        The network.
    layer : int
        Index of the block's layer.
    neurons : tuple of int or None
        Its neurons; None for all.
    loss_at_most : float or None
        If given, minimise the regulariser at no more than this loss.

    Returns
    -------
    best : Runner
        The better of the current and the found network; the found one if they are equal.
    interrupted : bool
        Whether Ctrl-C came.
    failure : str or None
        Why the block could not be solved at all, if so.
    """
    seconds = max(1.0, _BLOCK_SHARE * race.budget.remaining)
    race.phase = f"layer {layer + 1}" if neurons is None else f"layer {layer + 1}, neuron {neurons[0] + 1}"
    is_robust = race.problem.robust
    entries = robust.nonzeros(race.reduced) if is_robust else block.nonzeros(race.reduced, layer, neurons)
    if reason := too_large(entries, solver, race.budget):
        return current, False, reason
    with race.timed("build"):
        tolerances = solver.capabilities.tolerances
        model: Model
        if is_robust:
            whole = robust.build(race.reduced, tolerances, (), loss_at_most=loss_at_most)
            model = robust.with_fixed_layers(whole, current.network, layer, neurons)
        else:
            model = block.build(race.reduced, current.network, layer, neurons, tolerances, loss_at_most=loss_at_most)
    with race.timed("solve"):
        budget = race.share(seconds)
        compares = race.problem.regularizer is None
        outcome = solve_into(race, solver, model, budget, [current.network], bounds=False, compares=compares)
    solution, found = outcome.solution, outcome.best
    failure = solution.message if solution.status == Status.FAILED else None
    if found is None or found.rank > current.rank:
        return current, solution.interrupted, failure
    return found, solution.interrupted, failure


def shrink_blockwise(race: Race, solver: Backend) -> bool:
    """Minimise the regulariser layer by layer at no more than the best loss; return whether Ctrl-C came."""
    assert race.best is not None
    race.penalty_proven = race.best.penalty == 0
    if race.budget.exhausted and not race.penalty_proven:
        race.fell_short("the time limit passed before the regularizer was minimised")
    current, before = race.best, (np.inf, np.inf)
    while current.rank < before:
        before = current.rank
        for layer in range(len(race.problem.widths)):
            if race.budget.exhausted or race.out_of_nodes:
                return False
            current, interrupted, _ = improve_block(race, solver, current, layer, None, current.audit.loss)
            if interrupted:
                return True
    return False


def random_network(reduced: Presolved, rng: np.random.Generator) -> Network:
    """Return a network with random weights whose neurons split the points.

    Parameters
    ----------
    reduced : Presolved
        The reduced problem.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Network
        Of the problem's class.
    """
    problem, signal, layers = reduced.problem, reduced.X, []
    integer = problem.weights == "integer"
    for k, width in enumerate(problem.widths):
        shape = (width, signal.shape[1])
        if integer:
            W = rng.integers(-problem.weight_bound, problem.weight_bound + 1, size=shape).astype(np.float64)
        else:
            W = rng.uniform(-1, 1, size=shape)
        b = np.zeros(width)
        argmax = k == len(problem.widths) - 1 and problem.head == "argmax"
        if problem.fit_intercept and not argmax and len(signal):
            b = _splitting_biases(signal @ W.T, rng, integer)
        layers.append(Layer(W, b))
        signal = (signal @ W.T + b >= 0).astype(np.float64)
    return reduced.to_network(layers)


def _splitting_biases(sums: Floats, rng: np.random.Generator, integer: bool) -> Floats:
    """Biases that put each threshold halfway between two random points."""
    pairs = rng.integers(len(sums), size=(2, sums.shape[1]))
    middle = sums[pairs, np.arange(sums.shape[1])].mean(axis=0)
    return np.asarray(-np.floor(middle) if integer else -middle)
