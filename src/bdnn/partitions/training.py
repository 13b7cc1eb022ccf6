"""The training on all rows: begin with networks of a sample, improve the best one, and audit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.network.layer import Layer
from bdnn.partitions.sweeps import Sweeps
from bdnn.partitions.tasks import Audited, AuditSums, Evaluation, Irreducible, Setting, Weights
from bdnn.problem.audit import Audit
from bdnn.result import Incumbent
from bdnn.status import Progress

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network
    from bdnn.partitions.rows import Rows
    from bdnn.partitions.store import Block
    from bdnn.status import ProgressCallback
    from bdnn.types import Floats, Indices

# how much longer than estimated the last audit may take
_RESERVE = 1.2
# what an audit may exceed the time limit by, as a part of it and in seconds: limits hold within 10 % or 2 s
_OVER, _OVER_SECONDS = 0.05, 1.0
# seconds for an audit after Ctrl-C, and between reports of progress
_MOMENT, _REPORT = 1.0, 0.1


class _OutOfTimeError(Exception):
    """The time for the search is over."""


@dataclass(frozen=True, eq=False, slots=True)
class Improved:
    """Outcome of a training on all rows.

    Attributes
    ----------
    network : Network
        The best network.
    audit : Audit
        Of its loss, on the first `n_audited` rows.
    n_audited : int
        All rows, unless there was no time for that.
    confusion : ndarray of shape (n_classes, n_classes)
        These rows by label and predicted class.
    start_loss, loss : float
        Loss on all rows of the network of the sample and of the best one, with exact signs, as the search knows them;
        infinite if there was no time for that.
    irreducible : float
        Loss that no classifier avoids, as far as parts of the rows show.
    rounds, passes : int
        Of the search on all rows.
    message : str
        Why it ended.
    interrupted : bool
        Whether Ctrl-C came.
    history : tuple of Incumbent
        Better networks in turn.
    seconds : dict of str to float
        By step, and of one pass.
    """

    network: Network
    audit: Audit
    n_audited: int
    confusion: Indices
    start_loss: float
    loss: float
    irreducible: float
    rounds: int
    passes: int
    message: str
    interrupted: bool
    history: tuple[Incumbent, ...]
    seconds: dict[str, float]


def improve(
    rows: Rows,
    setting: Setting,
    networks: Sequence[Network],
    sample: Block,
    budget: Budget,
    *,
    repeats: bool,
    allowed: Indices | None = None,
    on_progress: ProgressCallback | None = None,
    interrupted: bool = False,
    expected: int = 0,
) -> Improved:
    """Improve the best of some networks on all rows.

    Parameters
    ----------
    rows : Rows
        All of them.
    setting : Setting
        What they have in common.
    networks : sequence of Network
        Those to begin with, of the same shape; the first is that of a sample.
    sample : Block
        Rows by which directions are chosen.
    budget : Budget
        Whose clock runs; audits included. Its rounds are those of the search.
    repeats : bool
        Whether there are equal rows, whose irreducible loss is looked for.
    allowed : ndarray of int or None
        Inputs of the first layer whose weights may move.
    on_progress : callable or None
        Receives a `Progress` several times a second.
    interrupted : bool
        Whether Ctrl-C came before: then only the audit of a moment is left.
    expected : int
        How many rows there would be if all had been prepared; 0 if they are.

    Returns
    -------
    Improved
    """
    run = _Run(rows, setting, networks, sample, budget, on_progress)
    message = "interrupted"
    if not interrupted:
        try:
            message = run.search(repeats, allowed)
        except KeyboardInterrupt:
            interrupted = True
    return run.outcome(message, interrupted, max(expected, rows.n_rows))


class _Run:
    """A training under way."""

    def __init__(
        self,
        rows: Rows,
        setting: Setting,
        networks: Sequence[Network],
        sample: Block,
        budget: Budget,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._rows, self._setting, self._networks, self._sample = rows, setting, networks, sample
        self._budget, self._on_progress = budget, on_progress
        self._weights, self._loss, self._start_loss = Weights.of(networks[0]), math.inf, math.inf
        self._sweeps: Sweeps | None = None
        self._irreducible, self._audit_seconds = 0.0, 0.0
        self._history: list[Incumbent] = []
        self._seconds: dict[str, float] = {}
        self._reported = -math.inf

    def search(self, repeats: bool, allowed: Indices | None) -> str:
        """Search until nothing is left to improve or the time is over; return why it ended."""
        began = reading()
        self._estimate_audit()
        try:
            self._evaluate_starts()
            if repeats:
                self._irreducible = self._rows.total(Irreducible(self._setting), self._check)
            self._sweeps = Sweeps(
                self._rows, self._setting, self._weights, self._sample, self._budget.seed, self._check, allowed
            )
            self._sweeps.loss = self._loss
            finished = self._improve()
        except _OutOfTimeError:
            return "time limit reached"
        finally:
            self._seconds["search"] = reading() - began
        return "nothing left to improve" if finished else "round limit reached"

    def _estimate_audit(self) -> None:
        """Estimate the time of the last audit by that of some rows."""
        began = reading()
        _, n_rows = next(self._rows.answers(Audited(self._networks[0], self._setting.of_class)))
        self._audit_seconds = (reading() - began) * self._rows.n_rows / max(n_rows, 1)

    def _evaluate_starts(self) -> None:
        began = reading()
        for network in self._networks:
            weights = Weights.of(network)
            loss = float(self._rows.total(Evaluation(self._setting, weights), self._check)[0])
            if network is self._networks[0]:
                self._start_loss = loss
            if loss < self._loss:
                self._take(weights, loss, "sample" if network is self._networks[0] else "start")
        self._seconds["evaluation pass"] = (reading() - began) / len(self._networks)

    def _improve(self) -> bool:
        """Improve round by round, so that every better network is known at once."""
        sweeps, limit = self._sweeps, self._budget.rounds
        assert sweeps is not None
        try:
            finished = sweeps.run(self._irreducible, limit, self._take_swept)
        finally:
            if sweeps.passes:
                self._seconds["pass"] = sweeps.pass_seconds
        return finished

    def _take_swept(self) -> None:
        assert self._sweeps is not None
        if self._sweeps.loss < self._loss:
            self._take(self._sweeps.weights, self._sweeps.loss, "all rows")

    def _take(self, weights: Weights, loss: float, source: str) -> None:
        self._weights, self._loss = weights, loss
        self._history.append(Incumbent(self._budget.elapsed, loss, source))

    def _check(self) -> None:
        """Report progress; raise an error when the time for the search is over."""
        if self._on_progress is not None and reading() - self._reported >= _REPORT:
            self._reported = reading()
            rounds = 0 if self._sweeps is None else self._sweeps.rounds
            progress = Progress(self._budget.elapsed, self._loss, self._irreducible, 0, "search on all rows", rounds)
            self._on_progress(progress)
        if self._budget.remaining < _RESERVE * self._audit_seconds:
            raise _OutOfTimeError

    def network(self) -> Network:
        """Return the best network so far."""
        layers, at, neuron = [], 0, 0
        for width, inputs in zip(self._setting.widths, self._setting.inputs, strict=True):
            W: Floats = self._weights.W[at : at + width * inputs].reshape(width, inputs) + 0.0
            layers.append(Layer(W, self._weights.b[neuron : neuron + width] + 0.0))
            at, neuron = at + width * inputs, neuron + width
        return replace(self._networks[0], layers=tuple(layers))

    def outcome(self, message: str, interrupted: bool, expected: int) -> Improved:
        """Audit the best network, and return it."""
        network, began = self.network(), reading()
        limit = self._budget.remaining + max(_OVER_SECONDS, _OVER * min(self._budget.seconds, 1e9))
        sums: AuditSums | None = None
        n_rows, task = 0, Audited(network, self._setting.of_class)
        try:
            for own, more in self._rows.answers(task):
                sums, n_rows = own if sums is None else task.added(sums, own), n_rows + more
                if reading() - began > (min(limit, _MOMENT) if interrupted else limit):
                    break
        except KeyboardInterrupt:
            if sums is None:
                raise
            interrupted, message = True, "interrupted"
        assert sums is not None
        self._seconds["audit"] = reading() - began
        audit = Audit(math.fsum(sums.terms), sums.n_wrong, sums.n_rational)
        if n_rows < expected:
            message += f"; audited on the first {n_rows:,} of {expected:,} rows"
            if np.isfinite(self._loss):
                message += f", with a loss of {self._loss:.12g} on all rows"
        sweeps = self._sweeps
        rounds, passes = (0, 0) if sweeps is None else (sweeps.rounds, sweeps.passes)
        return Improved(
            network, audit, n_rows, sums.confusion, self._start_loss, self._loss, self._irreducible, rounds, passes,
            message, interrupted, tuple(self._history), dict(self._seconds),
        )  # fmt: skip
