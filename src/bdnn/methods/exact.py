"""Exact training: branch and cut over activations where that covers the problem, else a mixed-integer program."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bdnn.backends import backend
from bdnn.backends.threads import INTERRUPTED
from bdnn.branch_and_cut.crew import Threads
from bdnn.branch_and_cut.program import covers
from bdnn.cluster.connection import check_answer, check_cluster
from bdnn.cluster.subtrees import cluster_crew
from bdnn.errors import InputError, NotCoveredError
from bdnn.formulations import training
from bdnn.methods import exact_enumeration, exact_halfspaces, few_features
from bdnn.methods.exact_activation import ActivationTraining
from bdnn.methods.exact_milp import train_with_program
from bdnn.methods.exact_pairs import MAX_FEATURES
from bdnn.methods.exact_supports import relaxed, train_over_supports
from bdnn.methods.incumbents import NO_TIME_TO_POLISH, polish, submit_given, submit_incumbents, submit_starts
from bdnn.methods.method import INCUMBENTS, Ending, TrainingMethod
from bdnn.problem.problem import Problem
from bdnn.search.descents import Descents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bdnn.branch_and_cut.crew import OpenCrew
    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network

FORMULATIONS = ("activation", "big_m", "enumeration")

# share of the time that is left within which all weights must be gone through by estimate
_ENUMERATION_SHARE = 0.7
# share of the time for bounds that leave signs and integers out, where only a program decides what they leave open
_RELAXED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ExactTraining(TrainingMethod):
    """Train to global optimality, or to a bound, by a mixed-integer program.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes the fastest installed one that can do what is needed.
    formulation : {"auto", "activation", "big_m", "enumeration"}
        "activation" is a branch and cut of our own over the activations of the points: no big constants, no margin, no
        solver; for continuous weights with biases, and no hidden layer or one: of up to five neurons with two classes,
        of one to three with more, see `bdnn.branch_and_cut.output_maps.output_maps`. "big_m" is the model of the
        paper, section 2. "enumeration" goes through all networks: without hidden layer all integer weights of one
        neuron, for all choices of columns if these are limited, or, with continuous weights and at most four
        independent columns, all halfspaces of the points; with two hidden neurons, two classes, continuous weights
        and at most two independent columns all pairs of halfspaces. "auto" takes the first where it can, or the last
        where it is done well within the time, unless a solver was named.
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
    cluster : distributed.Client, str or None, default=None
        Where "activation" has subtrees worked on: a client of Dask, the address of its scheduler, or "local:N" for N
        processes of this machine. None for the threads of the budget.

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
    cluster: object = None

    def _check(self, problem: Problem, budget: Budget) -> None:
        backend(self.solver, problem)
        check_cluster(self.cluster)
        check_answer(self.cluster, budget.seconds)

    def _train(self, run: Run, start: Network | None) -> Ending:
        uncovered, searches = self._uncovered(run), self.incumbents == "search"
        self._check_covered(run, uncovered)
        limits = run.problem.limits
        activation = self.formulation == "activation" or (self._free and not uncovered)
        if activation and not limits:
            path = None if self.checkpoint is None else Path(self.checkpoint)
            crew: OpenCrew | None = None
            if run.budget.threads > 1:
                crew = partial(Threads, size=run.budget.threads, make_descend=Descents)
            if self.cluster is not None:
                crew = partial(cluster_crew, cluster=self.cluster, make_descend=Descents)
            training_run = ActivationTraining(
                run, path, searches=searches, certificate=self.certificate, crew=crew,
                enumerates=self._free and self.cluster is None,
            )  # fmt: skip
            return Ending(*training_run.train(start))
        if self.checkpoint is not None:
            raise InputError(
                'a checkpoint can be written only by formulation "activation", and only without limits on columns'
            )
        if self.cluster is not None:
            raise InputError(
                f'a cluster works on formulation "activation" only, which does not cover {uncovered or "this run"}: '
                "leave cluster out, or choose that formulation, without limits on columns"
            )
        if self.certificate:
            raise InputError(
                f"no certificate can be written for {uncovered or self._not_proven(run)}: certificates are for "
                'formulation "activation", which covers two classes, continuous weights with biases, and at most '
                "one hidden layer of up to five neurons, and for problems without limits on columns"
            )
        if self.formulation == "enumeration" and run.problem.weights == "continuous":
            return self._over_few_features(run, start)
        with run.phase("start"):
            if not searches or not submit_incumbents(run, start):
                submit_starts(run, start)
        if activation or self.formulation == "enumeration":
            return self._over_supports(run, run.budget)
        if self._free and self._has_bounds_of_supports(run):
            decides = not exact_enumeration.covers(run.reduced)
            share = 1.0 if decides else _RELAXED_SHARE
            ending = self._over_supports(run, run.budget.within(share * run.budget.remaining))
            if run.closed or ending.interrupted or run.budget.exhausted or run.out_of_nodes:
                return ending
            # choices of columns were left undecided
        solver = backend(self.solver, run.problem)
        return Ending(*train_with_program(run, solver, self.reductions))

    @property
    def _free(self) -> bool:
        """Whether the formulation may be chosen."""
        return self.formulation == "auto" and self.solver == "auto"

    def _uncovered(self, run: Run) -> str:
        """Return why branch and cut alone does not decide a problem, or an empty string."""
        if run.problem.limits.signed:
            return "signs of weights"
        return covers(run.reduced)

    def _has_bounds_of_supports(self, run: Run) -> bool:
        """Whether branching over columns is worth its time on a problem of integers or with signs."""
        if run.problem.limits:
            enumerable = not exact_enumeration.covers(run.reduced)
            return enumerable or (not run.problem.robust and not covers(relaxed(run.problem, run.reduced)))
        if exact_enumeration.covers(run.reduced):
            return False
        return exact_enumeration.seconds_of_weights(run.reduced) <= _ENUMERATION_SHARE * run.budget.remaining

    def _not_proven(self, run: Run) -> str:
        return "a limit on the columns" if run.problem.limits and self._free else "the paper-style model"

    def _over_supports(self, run: Run, budget: Budget) -> Ending:
        """Branch over the columns, after the starts."""
        bounds = self.formulation != "enumeration" and bool(run.problem.limits)
        return self._worked(run, partial(train_over_supports, run, budget, bounds=bounds))

    def _over_few_features(self, run: Run, start: Network | None) -> Ending:
        """Go through all networks of few features: no search finds one as fast."""
        with run.phase("start"):
            submit_given(run, start)
        return self._worked(
            run, partial(exact_halfspaces.see_all, run, few_features.all_networks(run.reduced), run.budget)
        )

    def _worked(self, run: Run, work: Callable[[], str]) -> Ending:
        """Raise the bound by work that says why it ended, and make the margins larger."""
        message, interrupted = "nothing left to improve", False
        try:
            message = work()
            if not run.closed and run.bound <= run.reduced.irreducible and run.budget.exhausted:
                run.fell_short("the time limit passed before a bound was computed")
            if not polish(run, run.budget) and not run.budget.exhausted:
                run.fell_short(NO_TIME_TO_POLISH)
        except KeyboardInterrupt:
            message, interrupted = INTERRUPTED, True
        return Ending(message, interrupted)

    def _check_covered(self, run: Run, uncovered: str) -> None:
        """Raise an error if what is asked for is not covered by branch and cut."""
        if self.formulation == "activation" and uncovered:
            raise NotCoveredError(
                f'formulation "activation" does not cover {uncovered}: it needs continuous weights with biases, and at '
                "most one hidden layer, of up to five neurons with two classes and of up to three with more classes, "
                "depending on their number, and with an argmax head over more than two classes no equal rows with "
                'different labels; use "big_m" or "auto"',
                uncovered,
            )
        kind = few_features if run.problem.weights == "continuous" else exact_enumeration
        if self.formulation == "enumeration" and (what := kind.covers(run.reduced)):
            raise NotCoveredError(
                f'formulation "enumeration" does not cover {what}: it needs no hidden layer, biases, and either '
                "integer weights, two classes and a threshold head, or continuous weights and at most "
                f"{exact_halfspaces.MAX_FEATURES} independent columns; or two hidden neurons, continuous weights, two "
                f'classes and at most {MAX_FEATURES} independent columns; use "big_m" or "auto"',
                what,
            )
        n_classes = len(run.problem.classes)
        if self.certificate and n_classes > 2:
            raise InputError(
                f"no certificate can be written for {n_classes} classes, only for two: leave certificate out"
            )
