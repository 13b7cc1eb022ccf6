"""Local search by alternating blocks (J. Kurtz and B. Bah, arXiv:2110.11382): solve one block of neurons at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bdnn.backends import backend
from bdnn.backends.threads import INTERRUPTED, NODE_LIMIT, TIME_LIMIT
from bdnn.methods.block_steps import improve_block, shrink_penalty
from bdnn.methods.incumbents import submit_given, submit_incumbents
from bdnn.methods.method import INCUMBENTS, Ending, TrainingMethod
from bdnn.methods.starts import random_network
from bdnn.problem.problem import Problem

if TYPE_CHECKING:
    from bdnn.backends.protocol import Backend
    from bdnn.budget import Budget
    from bdnn.methods.candidate import Candidate
    from bdnn.methods.run import Run
    from bdnn.network.network import Network

BLOCKS = ("layers", "neurons")

Block = tuple[int, tuple[int, ...] | None]
"""A layer, and its neurons in the block (None: all)."""


@dataclass(frozen=True, slots=True)
class AlternatingSearch(TrainingMethod):
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

    Notes
    -----
    A limit on nodes holds for all blocks together. The bound is trivial: local search proves nothing.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, local search heuristic.
    """

    name = "alternating"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"blocks": BLOCKS, "incumbents": INCUMBENTS}
    counts: ClassVar[Mapping[str, Sequence[object]]] = {"n_starts": ()}

    solver: str = "auto"
    blocks: str = "layers"
    n_starts: int = 1
    incumbents: str = "search"

    def _check(self, problem: Problem, budget: Budget) -> None:
        backend(self.solver, problem)

    def _train(self, run: Run, start: Network | None) -> Ending:
        solver, rng = backend(self.solver, run.problem), np.random.default_rng(run.budget.seed)
        interrupted, message = False, "nothing left to improve"
        if self.incumbents == "none":
            submit_given(run, start)
        elif submit_incumbents(run, start):
            start = run.incumbent.network
        for attempt in range(self.n_starts):
            if run.closed or interrupted or (attempt and run.out_of_nodes):
                break
            if attempt and run.budget.exhausted:
                run.fell_short(f"the time limit passed after {attempt} of {self.n_starts} starts")
                break
            network = start if start is not None and attempt == 0 else random_network(run.reduced, rng)
            message, interrupted = self._descend(run, solver, run.submit(network, "random start"))
        if run.problem.regularization == "lexicographic" and not interrupted:
            interrupted = shrink_penalty(run, solver)
        if not run.n_solved and not run.closed:
            run.fell_short("no block was solved")
        return Ending(message, interrupted)

    def _descend(self, run: Run, solver: Backend, current: Candidate) -> tuple[str, bool]:
        """Improve a network block by block; return why it stopped, and whether by Ctrl-C."""
        while not run.closed:
            before, note = current.rank, "a full round of blocks brought no improvement"
            for layer, neurons in self._blocks(run.problem):
                if run.budget.exhausted:
                    return TIME_LIMIT, False
                if run.out_of_nodes:
                    return NODE_LIMIT, False
                improved, interrupted, failure = improve_block(run, solver, current, layer, neurons)
                note = note if failure is None else failure
                current = improved
                if interrupted or run.closed:
                    return INTERRUPTED if interrupted else "nothing left to improve", interrupted
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
