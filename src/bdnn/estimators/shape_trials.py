"""Trials of shapes of a network: short runs without some of the rows, fewer and longer ones in each step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.calibration import FRACTION
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.estimators.held_out import drawn, folds_of_some
from bdnn.parallel import Workers
from bdnn.problem import shapes
from bdnn.splitting import split
from bdnn.status import Progress, Status, TrialState
from bdnn.stopping import Stop, Teller

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.encoder import Encoder
    from bdnn.methods.local_search import LocalSearch
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.status import ProgressCallback
    from bdnn.types import Indices, Reals

SECONDS = 60.0  # the time for a fit without a limit, as the default has it
_FEW_ROWS = 1000  # up to here four folds judge a shape: a quarter of few rows says little, and runs on them are short
_SOME_ROWS = 4000  # up to here two parts judge it, beyond one
# rows of runs for each second of the fit, at least and at most: presolve alone takes some hundredths of a second for
# 10,000 rows, and there are a dozen runs and more
_ROWS_PER_SECOND, _LEAST_ROWS, MOST_ROWS = 1200, 4000, 50_000
_MOST_JUDGES = 8000  # rows that judge a shape, to a third of a percent
_NOTHING = Progress(0.0, math.inf, -math.inf, 0, "choosing")  # beside a shape that is judged
_SURE = 1e-9  # accuracies closer than that differ by rounding


class _Step(NamedTuple):
    """A step of the halving: how many shapes are left, rounds and epochs of their runs, and its part of the time."""

    shapes: int
    rounds: int
    longer: int
    share: float


# A surrogate without a descent, 0 rounds, takes tenths of a second and is the best network for other data where these
# are noisy, as most tables are; so all shapes get one, and the most time is for that. Four times the epochs help wide
# networks on many classes (2 % of covertype's rows), and a descent where labels have little noise
STEPS = (
    _Step(2 * len(shapes.WIDTHS), 0, 1, 0.4),
    _Step(3, 0, 4, 0.25),
    _Step(3, 1, 1, 0.15),
    _Step(2, 30, 1, 0.1),
    _Step(1, 300, 1, 0.1),
)


@dataclass(frozen=True, slots=True)
class Tried:
    """A shape that was tried.

    Attributes
    ----------
    hidden_layer_sizes : tuple of int
        Neurons of each hidden layer.
    thresholds : int or None
        Most bits in the place of a number, None for its value.
    accuracy : float
        On held-out rows, weighted as the loss is.
    rounds : int
        Limit on the rounds of the search with that accuracy; 0 is the surrogate of a start without a descent.
    longer : int
        Factor of the epochs of that surrogate.
    seconds : float
        Of all its runs.
    """

    hidden_layer_sizes: tuple[int, ...]
    thresholds: int | None
    accuracy: float
    rounds: int
    longer: int
    seconds: float

    @property
    def described(self) -> str:
        """The shape in words."""
        count = sum(self.hidden_layer_sizes)
        text = f"{count or 'no'} hidden neuron{'s' if count != 1 else ''}"
        return text if self.thresholds is None else f"{text}, thresholds {self.thresholds}"


class Inputs(NamedTuple):
    """A way from columns to inputs: most thresholds of a number, the encoder, and what the rows become."""

    thresholds: int | None
    encoder: Encoder
    inputs: Reals


class Trial:
    """A shape and what is known of it."""

    def __init__(self, way: Inputs, problem: Problem, width: tuple[int, ...]) -> None:
        self.way, self.problem, self.width = way, problem, width
        self.accuracy, self.rounds, self.longer, self.seconds = -1.0, 0, 1, 0.0
        self.network: Network | None = None

    @property
    def order(self) -> tuple[float, int, int]:
        """The most accurate one first, of equals the one with the least neurons and inputs."""
        return -self.accuracy, sum(self.width), self.way.encoder.n_inputs

    def take(self, judged: list[_Judged], step: _Step) -> float | None:
        """Take what runs without each of the parts say; return their accuracy, None if one was cut off."""
        self.network = judged[-1].network
        self.seconds += sum(each.seconds for each in judged)
        accuracy = sum(each.right for each in judged) / sum(each.total for each in judged)
        if any(each.cut for each in judged):
            return None
        if accuracy > self.accuracy + _SURE:
            self.accuracy, self.rounds, self.longer = accuracy, step.rounds, step.longer
        return accuracy

    def tried(self) -> Tried:
        """Return what is said of it."""
        return Tried(self.width, self.way.thresholds, self.accuracy, self.rounds, self.longer, self.seconds)


@dataclass(frozen=True, eq=False, slots=True)
class _Runs:
    """What all runs need: the problems of the shapes, rows that train and that judge, and the method."""

    problems: list[Problem]
    parts: list[tuple[Indices, Indices | None]]
    method: LocalSearch


@dataclass(frozen=True, slots=True)
class _Run:
    """A run: the shape, the part that judges it, and its part of the time of its step."""

    trial: int
    part: int
    step: _Step
    budget: Budget
    following: int
    tell: Teller


@dataclass(frozen=True, slots=True)
class _Judged:
    """The network of a run, the weights of the rows that it has right and of all rows, and how it ended."""

    network: Network
    right: float
    total: float
    cut: bool
    seconds: float
    interrupted: bool


class Halving:
    """Runs of shapes, fewer and longer ones in each step."""

    def __init__(
        self, trials: list[Trial], method: LocalSearch, budget: Budget, on_progress: ProgressCallback | None
    ) -> None:
        self._trials, self._budget, self._on_progress = trials, budget, on_progress
        # a polish takes most of the time of a short run, and changes no decision on the rows that train
        plain = replace(method, polish="none", n_starts=1)
        self._runs = _Runs([trial.problem for trial in trials], _parts(trials[0].problem, budget), plain)
        self.interrupted = False

    @property
    def judged(self) -> list[Trial]:
        """Shapes that were tried, the best first."""
        return sorted((trial for trial in self._trials if trial.accuracy >= 0), key=lambda trial: trial.order)

    def run(self, seconds: float) -> None:
        """Try shapes until the time is over."""
        until, left = reading() + seconds, self._trials
        with Workers(self._budget.threads, self._runs) as workers:
            for step in STEPS:
                left = left[: step.shapes]
                self._try(left, step, min(reading() + step.share * seconds, until), workers)
                self.interrupted |= workers.stop.requested
                if self.interrupted:
                    return
                left = [trial for trial in self.judged if trial in left]
                if left and left[0].accuracy >= 1 - _SURE:
                    return  # nothing can be better

    def _try(self, trials: list[Trial], step: _Step, end: float, workers: Workers[_Runs]) -> None:
        """Judge shapes by runs without each of the parts, until some moment."""
        parts, budget = len(self._runs.parts), self._budget.within(end - reading())
        found: dict[int, dict[int, _Judged]] = {}
        given = list[tuple[Trial, int]]()

        def runs() -> Iterator[_Run]:
            for position, trial in enumerate(trials):
                if budget.exhausted and self.judged:
                    return
                for part in range(parts):
                    if self.interrupted or workers.stop.requested:
                        return
                    following = math.ceil(((len(trials) - position) * parts - part) / workers.count)
                    given.append((trial, part))
                    tell = Teller(workers.stop, self._listener(trial, step))
                    yield _Run(self._trials.index(trial), part, step, budget, following, tell)

        for number, judged in workers.do(_judged_run, runs()):
            trial, part = given[number]
            if judged.interrupted:
                self.interrupted = True
                workers.stop.request()
            if self.interrupted:
                continue
            found.setdefault(id(trial), {})[part] = judged
            if len(found[id(trial)]) == parts:
                accuracy = trial.take([found[id(trial)][k] for k in range(parts)], step)
                if self._on_progress is not None and accuracy is not None:
                    self._on_progress(self._told(_NOTHING, trial, step, accuracy))

    def _listener(self, trial: Trial, step: _Step) -> ProgressCallback | None:
        listener = self._on_progress
        return None if listener is None else lambda progress: listener(self._told(progress, trial, step))

    def _told(self, of_run: Progress, trial: Trial, step: _Step, accuracy: float | None = None) -> Progress:
        """Return what is told of a shape: the state of one of its runs, or its accuracy."""
        what = trial.tried().described
        what += f", {step.longer} times the epochs" * (step.longer > 1)
        what += f", {step.rounds} round{'s' * (step.rounds > 1)} of search" * (step.rounds > 0)
        return replace(of_run, seconds=self._budget.elapsed, phase="choosing", trial=TrialState(what, accuracy))


def _judged_run(shared: _Runs, task: _Run, stop: Stop) -> _Judged:
    """Train without some rows, and count what the network has right of them."""
    began, given, step = reading(), shared.problems[task.trial], task.step
    training, others = shared.parts[task.part]
    X, y, weight = (np.asarray(each) for each in (given.X, given.y, given.sample_weight))
    part = replace(given, X=X[training], y=y[training], sample_weight=weight[training], validation=None, copy=False)
    limits = with_rounds(task.budget.within(task.budget.remaining / task.following), step.rounds)
    result = limited(shared.method, given, step.rounds, step.longer)(part, limits, None, task.tell)
    # a search that the time cut off says nothing of what a whole one would do
    cut = step.rounds > 0 and result.nodes < (limits.rounds or 0) and result.status != Status.OPTIMAL
    if others is None:
        assert given.validation is not None
        asked, codes, counts = (np.asarray(each) for each in given.validation)
    else:
        asked, codes, counts = X[others], given.codes[others], weight[others]
    right = float(counts @ (result.network.predict_index(asked) == codes))
    return _Judged(result.network, right, float(counts.sum()), cut, reading() - began, result.interrupted)


def _parts(problem: Problem, budget: Budget) -> list[tuple[Indices, Indices | None]]:
    """Return rows that train and rows that judge, for each run of a shape; None for those that a problem holds out."""
    seed, rng = budget.seed, np.random.default_rng(budget.seed)
    rows = np.flatnonzero(np.asarray(problem.sample_weight) > 0)
    most = int(np.clip(_ROWS_PER_SECOND * min(budget.seconds, SECONDS), _LEAST_ROWS, MOST_ROWS))

    def some(of: Indices, number: int) -> Indices:
        return drawn(of, problem.codes, number, rng)

    if problem.validation is not None:
        return [(some(rows, most), None)]
    rows = some(rows, MOST_ROWS)
    X, codes = np.asarray(problem.X)[rows], problem.codes[rows]
    found: list[tuple[Indices, Indices]] = []
    if len(rows) > _FEW_ROWS:
        with suppress(InputError):  # of classes with one row
            found = [split(X, codes, FRACTION, seed + k) for k in range(1 + (len(rows) <= _SOME_ROWS))]
    found = found or folds_of_some(X, codes, seed)
    return [(some(rows[training], most), some(rows[others], _MOST_JUDGES)) for training, others in found]


def limited(method: LocalSearch, problem: Problem, rounds: int, longer: int) -> LocalSearch:
    """Return a method for so many rounds: a surrogate alone for 0, where weights have biases that it can train."""
    return replace(method, descends=rounds > 0 or not problem.fit_intercept, longer=longer)


def with_rounds(budget: Budget, rounds: int) -> Budget:
    """Return a budget with at most so many rounds, one or more."""
    most = max(rounds, 1)
    return replace(budget, rounds=most if budget.rounds is None else min(most, budget.rounds))
