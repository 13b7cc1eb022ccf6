"""Exact training: branch and cut over activations where that covers the problem, else a mixed-integer program."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bdnn.backends import backend
from bdnn.branch_and_cut.program import covers
from bdnn.errors import InputError, NotCoveredError
from bdnn.formulations import training
from bdnn.methods.exact_activation import ActivationTraining
from bdnn.methods.exact_milp import train_with_program
from bdnn.methods.method import INCUMBENTS, Ending, TrainingMethod
from bdnn.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network

FORMULATIONS = ("activation", "big_m")


@dataclass(frozen=True, slots=True)
class ExactTraining(TrainingMethod):
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

    name = "exact"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"formulation": ("auto", *FORMULATIONS), "incumbents": INCUMBENTS}

    solver: str = "auto"
    formulation: str = "auto"
    reductions: tuple[str, ...] = training.REDUCTIONS
    incumbents: str = "search"
    certificate: bool = False
    checkpoint: str | os.PathLike[str] | None = None

    def _check(self, problem: Problem, budget: Budget) -> None:
        backend(self.solver, problem)

    def _train(self, run: Run, start: Network | None) -> Ending:
        uncovered, searches = covers(run.reduced), self.incumbents == "search"
        self._check_covered(run.problem, uncovered)
        if self.formulation == "activation" or (self.formulation == "auto" and self.solver == "auto" and not uncovered):
            path = None if self.checkpoint is None else Path(self.checkpoint)
            training_run = ActivationTraining(run, path, searches=searches, certificate=self.certificate)
            return Ending(*training_run.train(start))
        if self.checkpoint is not None:
            raise InputError('a checkpoint can be written only by formulation "activation"')
        if self.certificate:
            raise InputError(
                f"no certificate can be written for {uncovered or 'the paper-style model'}: certificates are for "
                'formulation "activation", which covers two classes, continuous weights with biases, and at most '
                "one hidden layer of up to five neurons"
            )
        solver = backend(self.solver, run.problem)
        return Ending(*train_with_program(run, solver, self.reductions, start, searches=searches))

    def _check_covered(self, problem: Problem, uncovered: str) -> None:
        """Raise an error if what is asked for is not covered by branch and cut."""
        if self.formulation == "activation" and uncovered:
            raise NotCoveredError(
                f'formulation "activation" does not cover {uncovered}: it needs continuous weights with biases, and at '
                "most one hidden layer, of up to five neurons with two classes and of up to three with more classes, "
                'depending on their number; use "big_m" or "auto"',
                uncovered,
            )
        if self.certificate and len(problem.classes) > 2:
            raise InputError(
                f"no certificate can be written for {len(problem.classes)} classes, only for two: leave certificate out"
            )
