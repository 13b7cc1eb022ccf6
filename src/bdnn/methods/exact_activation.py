"""Exact training by branch and cut over activations: starts, the proof, its checkpoint and its certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from bdnn.backends.threads import INTERRUPTED, Late
from bdnn.branch_and_cut import engine
from bdnn.branch_and_cut.engine import Proof
from bdnn.branch_and_cut.parts import Parts
from bdnn.branch_and_cut.program import n_columns
from bdnn.clock import reading
from bdnn.libraries import limited_threads
from bdnn.methods import exact_halfspaces, few_features
from bdnn.methods.autosave import Autosave
from bdnn.methods.incumbents import NO_TIME_TO_POLISH, polish, submit_given, submit_incumbents, submit_starts
from bdnn.result import NO_CERTIFICATE, NO_TIME_FOR_CERTIFICATE, NOTHING_TO_CERTIFY
from bdnn.search.descents import Descents
from bdnn.search.halfspace import separators

if TYPE_CHECKING:
    from bdnn.branch_and_cut.certificate import Certificate
    from bdnn.branch_and_cut.crew import Crew, OpenCrew
    from bdnn.budget import Budget
    from bdnn.methods.exact_halfspaces import FewFeatures
    from bdnn.methods.run import Run
    from bdnn.network.network import Network

# columns of the program beyond which the bound is that of parts of the data, which are small enough for trees
_MAX_COLUMNS = 2500
# rounds of the first search (on more points than these): rounds of one neuron are long, and few are needed
_FIRST_ROUNDS, _FIRST_ROUNDS_OF_ONE, _FIRST_ROUNDS_OF_MANY, _MANY_POINTS = 40, 3, 1, 500
# nodes after which a problem counts as hard and a longer search begins
_FIRST_NODES = 200
# the longer search may take this many times as long as the proof so far
_SEARCH_PER_PROOF = 2.0
# time beyond the limit for the polish and for writing a certificate: a share of the limit, and some seconds
_OVERTIME_SHARE, _OVERTIME = 0.05, 1.0
# seconds of seeing all halfspaces that are not worth waiting for a tree, share of the time in which they must be seen
# by estimate, and nodes of a tree between looks at whether it takes longer than they
_AT_ONCE, _HALFSPACES_SHARE, _FEW_NODES = 1.5, 0.7, 10
# the shortest time that a budget may have
_MIN_SECONDS = 1e-3


class ActivationTraining:
    """One run of branch and cut.

    Parameters
    ----------
    run : Run
        Of a problem that `bdnn.branch_and_cut.program.covers`.
    checkpoint : Path or None
        Where its state is kept.
    searches : bool
        Whether local searches look for networks, before the proof and where it takes long.
    certificate : bool
        Whether the proof is recorded and written down.
    crew : callable or None
        Gives the workers that bound the loss; None for none but this thread.
    enumerates : bool
        Whether all networks of few features may be gone through instead, where there is neither checkpoint nor
        certificate, nor a limit on nodes.
    """

    def __init__(
        self, run: Run, checkpoint: Path | None, *,
        searches: bool, certificate: bool, crew: OpenCrew | None, enumerates: bool = False,
    ) -> None:  # fmt: skip
        self._open_crew = crew
        self._run, self._searches, self._certificate = run, searches, certificate
        enumerates = enumerates and checkpoint is None and not certificate and run.budget.nodes is None
        covered = enumerates and not few_features.covers(run.reduced)
        self._arrangement = few_features.all_networks(run.reduced) if covered else None
        self._autosave = Autosave(run, checkpoint, certificate)
        self._keeps = checkpoint is not None
        self._proof: Proof | None = None

    def train(self, start: Network | None) -> tuple[str, bool, Certificate | None]:
        """Submit networks and raise the bound until it meets the best of them or a limit is reached.

        Parameters
        ----------
        start : Network or None
            A network of the problem's class.

        Returns
        -------
        message : str
            Why it ended.
        interrupted : bool
            Whether Ctrl-C came.
        certificate : dict or None
            If one was asked for and can be given.
        """
        run, message, interrupted = self._run, "nothing left to improve", False
        try:
            message = self._work(start)
        except KeyboardInterrupt:
            if run.best is None:
                raise
            message, interrupted = INTERRUPTED, True
        run.save_with(None)
        self._autosave.save()
        if run.budget.exhausted and not interrupted and not run.closed and run.nodes == 0:
            run.fell_short("the time limit passed before a bound was computed")
        if not interrupted:
            try:
                if not polish(run, _with_overtime(run.budget)):
                    run.fell_short(NO_TIME_TO_POLISH)
            except KeyboardInterrupt:  # after the proof: its ending, what it bounds and its certificate stay
                message, interrupted = f"{message}; {INTERRUPTED}", True
        if self._autosave.trouble is not None:
            message += f"; {self._autosave.trouble}"
        self._cover()
        content = self._written(interrupted) if self._certificate and self._proof is not None else None
        return message, interrupted, content

    def _cover(self) -> None:
        """Say what the bound bounds, if it is better than trivial."""
        run = self._run
        if run.bound > run.reduced.irreducible or run.closed:
            run.covers(run.reduced.scope)

    def _work(self, start: Network | None) -> str:
        """Search, and work on the bound; return why that ended."""
        run = self._run
        self._autosave.begin()
        if self._arrangement is not None and self._arrangement.seconds <= _AT_ONCE:
            with run.phase("start"):
                submit_given(run, start)
            return "nothing left to improve" if run.closed else self._see_all(self._arrangement)
        with run.phase("start"):
            self._first_search(start)
        self._autosave.save()
        if n_columns(run.reduced) > _MAX_COLUMNS and not run.closed and self._is_short(self._arrangement):
            return self._see_all(self._arrangement)
        if n_columns(run.reduced) > _MAX_COLUMNS:
            with run.phase("build"):
                parts = Parts(run)
                self._autosave.keep(parts)
            with self._crew() as crew, run.phase("solve"):
                return parts.work(crew)
        if run.closed and not self._certificate:
            return "nothing left to improve"
        if not len(run.reduced.class_weight):
            run.fell_short(NOTHING_TO_CERTIFY)
            return "nothing left to improve"
        with run.phase("build"):
            self._proof = proof = Proof(run, record=self._certificate, separators=separators, make_descend=Descents)
            self._autosave.keep(proof)
        if run.closed:
            return "nothing left to improve"
        with self._crew() as crew:
            return self._prove(proof, start, crew)

    @contextmanager
    def _crew(self) -> Iterator[Crew | None]:
        """Give the workers."""
        if self._open_crew is None:
            yield None
            return
        with limited_threads(1, "blas"), self._open_crew(self._run.reduced, self._run.budget.seed) as crew:
            yield crew

    def _first_search(self, start: Network | None) -> None:
        """Submit starting networks: those that need no search, and unless an earlier run has done so, of a search."""
        run = self._run
        if run.best is not None:  # of an earlier run
            submit_given(run, start)
            start = run.best.network
        if self._autosave.searched:
            return
        rounds = _FIRST_ROUNDS
        if not run.problem.hidden_layer_sizes:
            rounds = _FIRST_ROUNDS_OF_MANY if run.reduced.n_distinct > _MANY_POINTS else _FIRST_ROUNDS_OF_ONE
        searched = self._searches and submit_incumbents(run, start, rounds, polishes=False)
        if not searched:
            submit_starts(run, start)
        # if there was only no time for the search, a later run may do it
        self._autosave.searched = searched or not self._searches or run.closed

    def _prove(self, proof: Proof, start: Network | None, crew: Crew | None) -> str:
        """Work on the proof until it is closed or a limit is reached; return why it ended."""
        run, autosave = self._run, self._autosave
        may_search = self._searches and not autosave.searched_again
        if self._arrangement is not None:
            ending = self._prove_for(proof, self._arrangement.seconds)
            if ending is not engine.Ending.PAUSED:
                return ending.message
            if self._is_short(self._arrangement):
                return self._see_all(self._arrangement)
        with run.phase("solve"):
            ending = engine.work(run, proof, _FIRST_NODES if may_search else None, crew)
        if ending is engine.Ending.PAUSED:
            # it is not easy, so a better network is worth more time
            with run.phase("start"):
                spare = max(_MIN_SECONDS, run.budget.remaining - proof.ending_seconds)
                seconds = min(_SEARCH_PER_PROOF * proof.seconds, spare)
                submit_incumbents(run, start, max_seconds=seconds, polishes=False)
            autosave.searched_again = True
            autosave.save()
            with run.phase("solve"):
                ending = engine.work(run, proof, crew=crew)
        return ending.message

    def _prove_for(self, proof: Proof, seconds: float) -> engine.Ending:
        """Work on the proof for about so many seconds at most."""
        with self._run.phase("solve"):
            ending = engine.Ending.PAUSED
            while ending is engine.Ending.PAUSED and proof.seconds < seconds:
                ending = engine.work(self._run, proof, proof.nodes + _FEW_NODES)
        return ending

    def _is_short(self, arrangement: FewFeatures | None) -> TypeGuard[FewFeatures]:
        """Whether there are few features, and by estimate there is time to see them all."""
        return arrangement is not None and arrangement.seconds <= _HALFSPACES_SHARE * self._run.budget.remaining

    def _see_all(self, arrangement: FewFeatures) -> str:
        """See all networks; return why that ended."""
        return exact_halfspaces.see_all(self._run, arrangement, self._run.budget)

    def _written(self, interrupted: bool) -> Certificate | None:
        """Return the certificate, or None if the limit passes meanwhile and the proof is kept in the checkpoint."""
        run, budget = self._run, self._run.budget
        end = budget.seconds + max(_OVERTIME, _OVERTIME_SHARE * budget.seconds)
        kept = self._keeps and self._autosave.trouble is None

        def proceed() -> None:
            run.report()
            if kept and budget.elapsed > end:
                raise Late

        assert run.chosen is not None
        assert self._proof is not None
        # with no report as it begins: after Ctrl-C a listener is not asked again
        with run.phase("certificate", reports=False):
            try:
                written = self._proof.certificate(run.chosen.network, None if interrupted else proceed)
                if written is None:
                    run.fell_short(NO_CERTIFICATE)
                return written
            except Late:
                run.fell_short(NO_TIME_FOR_CERTIFICATE)
                return None


def _with_overtime(budget: Budget) -> Budget:
    """Return a budget for the polish: it takes milliseconds on few points, and a limit is reached without it."""
    seconds = max(budget.remaining, min(_OVERTIME, _OVERTIME_SHARE * budget.seconds))
    return replace(budget, seconds=max(seconds, _MIN_SECONDS), started=reading())
