"""The shape of a network that a user leaves open: how many hidden neurons, and which inputs, by held-out rows.

Notes
-----
Every width is tried with the columns as they are and with thresholds in the place of numbers, by short runs of local
search without some of the rows, and judged by the accuracy on these, weighted as the loss is. The best of them get
longer runs (successive halving: K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter
optimization, AISTATS 2016).

Up to `_FEW_ROWS` rows each is judged by four runs, without a fold of the rows each; with more rows two parts or one are
held out, and of many rows a sample trains. Rows are soon learned by heart, so how long to search is chosen as well: a
shape that does best after few rounds is trained on all rows for as many rounds, with the same seed.
`benchmarks/accuracy.py` compares what is chosen with other classifiers.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import clone

from bdnn.backends.threads import INTERRUPTED
from bdnn.calibration import FRACTION
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.estimators.held_out import drawn, folds_of_some
from bdnn.estimators.inputs import column_names, encoded, fitted_encoder, numbers_as_table
from bdnn.methods.local_search import LocalSearch
from bdnn.problem import shapes
from bdnn.problem.shapes import AUTO, THRESHOLDS, USUAL, has_thresholds
from bdnn.splitting import split
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.result import Result
    from bdnn.status import Progress, ProgressCallback
    from bdnn.types import Array, Indices, Reals

Estimator = TypeVar("Estimator")

_FEW_ROWS = 1000  # up to here four folds judge a shape: a quarter of few rows says little, and runs on them are short
_SOME_ROWS = 4000  # up to here two parts judge it, beyond one
# rows of runs for each second of the fit, at least and at most: presolve alone takes some hundredths of a second for
# 10,000 rows, and there are a dozen runs and more
_ROWS_PER_SECOND, _LEAST_ROWS, _MOST_ROWS = 1200, 4000, 50_000
_MOST_JUDGES = 8000  # rows that judge a shape, to a third of a percent
_SHARE = 0.6  # of the time for the fit; the network that is chosen often needs little more
_SECONDS = 60.0  # the time for a fit without a limit, as the default has it
_LEAST_SECONDS = 1.0  # for the fit: with less, runs end before their first local optimum
_MOMENT = 0.05  # seconds for a network where nothing else is known
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
_STEPS = (
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


class Choice(NamedTuple):
    """What was chosen: inputs, the problem, how long to search, and what was tried, the winner first.

    If that was interrupted, the network of the best run comes with it.
    """

    inputs: Inputs
    problem: Problem
    method: LocalSearch
    budget: Budget
    tried: tuple[Tried, ...]
    interrupted: Network | None

    def train(self, on_progress: ProgressCallback | None) -> Result:
        """Train; after an interruption, take the network of the best run."""
        if self.interrupted is None:
            return self.method(self.problem, self.budget, None, on_progress)
        none = self.budget.within(0.0)
        result = replace(self.method, polish="none")(self.problem, none, self.interrupted, on_progress)
        return replace(result, message=INTERRUPTED, interrupted=True, shortfalls=())


def is_open(settings: Any) -> bool:
    """Whether the hidden layers of an estimator are left open, or raise InputError if they are another word."""
    sizes = settings.hidden_layer_sizes
    if isinstance(sizes, str) and sizes != AUTO:
        raise InputError(
            f"hidden_layer_sizes must be a sequence of positive integers, got {sizes!r}, or {AUTO!r}, which chooses"
        )
    return isinstance(sizes, str)


def usual_sizes(settings: Any) -> Any:
    """Return the hidden layers of an estimator where nothing is tried: those of its start, if there is one."""
    if not is_open(settings):
        return settings.hidden_layer_sizes
    return settings.network_.widths[:-1] if _has_start(settings) else USUAL


def with_usual_sizes(estimator: Estimator) -> Estimator:
    """Return the settings of an estimator that chooses nothing; itself, if it leaves nothing open."""
    if not is_open(estimator):
        return estimator
    settings: Estimator = clone(estimator)
    settings.set_params(hidden_layer_sizes=USUAL)  # type: ignore[attr-defined]  # scikit-learn is untyped
    return settings


def _has_start(settings: Any) -> bool:
    return bool(settings.warm_start) and hasattr(settings, "network_")


def chooses(settings: Any, problem: Problem, budget: Budget) -> bool:
    """Whether shapes are tried for a problem that local search suits: not with what asks for a certain shape."""
    return (
        is_open(settings)
        and not _has_start(settings)
        and not problem.robust
        and settings.max_features is None
        and settings.monotonic is None
        and budget.remaining >= _LEAST_SECONDS
        and len(np.unique(problem.codes[np.asarray(problem.sample_weight) > 0])) == len(problem.classes)
    )


def chosen(
    settings: Any,
    data: tuple[Reals | RawTable, Array, slice | Indices],
    given: Inputs,
    make: Callable[[Inputs, Any], Problem],
    method: LocalSearch,
    budget: Budget,
    on_progress: ProgressCallback | None,
) -> Choice:
    """Try shapes and return the best.

    Parameters
    ----------
    settings : BDNNClassifier
        What it leaves open is chosen.
    data : tuple
        Columns, labels and the rows for training.
    given : Inputs
        Columns as they are, or as the settings say.
    make : callable
        Returns the problem of such inputs and hidden layers.
    method : LocalSearch
        It trains.
    budget : Budget
        Of the training, whose clock runs; a part of it is used.
    on_progress : callable or None
        Receives the progress of runs.

    Returns
    -------
    Choice
        With a start, if the training goes on from a run.
    """
    ways = [given]
    if settings.thresholds is None and (bits := _with_thresholds(settings, *data, given, budget.seed)) is not None:
        ways.append(bits)
    trials = [_Trial(way, make(way, width), width) for way in ways for width in shapes.WIDTHS]
    left = budget.remaining if math.isfinite(budget.remaining) else _SECONDS
    halving = _Halving(trials, method, budget, on_progress)
    try:
        halving.run(_SHARE * left)
    except KeyboardInterrupt:
        halving.interrupted = True
    if not halving.judged:  # it was interrupted in the first run: what a moment gives is better than nothing
        usual = make(given, usual_sizes(settings))
        quick = replace(method, polish="none")(usual, budget.within(_MOMENT)).network
        return Choice(given, usual, method, budget, (), quick)
    best, *_ = halving.judged
    if best.problem.validation is None and best.rounds < _STEPS[-1].rounds:
        method, budget = limited(method, best.problem, best.rounds, best.longer), with_rounds(budget, best.rounds)
    tried = tuple(trial.tried() for trial in halving.judged)
    return Choice(best.way, best.problem, method, budget, tried, best.network if halving.interrupted else None)


def _with_thresholds(
    settings: Any, columns: Reals | RawTable, labels: Array, rows: slice | Indices, given: Inputs, seed: int
) -> Inputs | None:
    """Return inputs with thresholds in the place of numbers; None where that is the same, or too much."""
    if not has_thresholds(len(labels), sum(c.kind == "numeric" and c.used for c in given.encoder.columns)):
        return None
    other = copy.copy(settings)
    other.thresholds = THRESHOLDS
    table = numbers_as_table(columns, column_names(settings)) if isinstance(columns, np.ndarray) else columns
    with warnings.catch_warnings():  # they were given for the columns as they are
        warnings.simplefilter("ignore")
        encoder = fitted_encoder(other, table, labels, rows, other, seed)
        if encoder.n_inputs == given.encoder.n_inputs:  # numbers of two values
            return None
        return Inputs(THRESHOLDS, encoder, encoded(encoder, table, warns=False))


class _Trial:
    """A shape and what is known of it."""

    def __init__(self, way: Inputs, problem: Problem, width: tuple[int, ...]) -> None:
        self.way, self.problem, self.width = way, problem, width
        self.accuracy, self.rounds, self.longer, self.seconds = -1.0, 0, 1, 0.0
        self.network: Network | None = None

    @property
    def order(self) -> tuple[float, int, int]:
        """The most accurate one first, of equals the one with the least neurons and inputs."""
        return -self.accuracy, sum(self.width), self.way.encoder.n_inputs

    def tried(self) -> Tried:
        return Tried(self.width, self.way.thresholds, self.accuracy, self.rounds, self.longer, self.seconds)


class _Halving:
    """Runs of shapes, fewer and longer ones in each step."""

    def __init__(
        self, trials: list[_Trial], method: LocalSearch, budget: Budget, on_progress: ProgressCallback | None
    ) -> None:
        self._trials, self._method, self._budget, self._on_progress = trials, method, budget, on_progress
        self._parts = _parts(trials[0].problem, budget)
        self.interrupted = False

    @property
    def judged(self) -> list[_Trial]:
        """Shapes that were tried, the best first."""
        return sorted((trial for trial in self._trials if trial.accuracy >= 0), key=lambda trial: trial.order)

    def run(self, seconds: float) -> None:
        """Try shapes until the time is over."""
        until, left = reading() + seconds, self._trials
        for step in _STEPS:
            left = left[: step.shapes]
            end = min(reading() + step.share * seconds, until)
            for position, trial in enumerate(left):
                remaining = end - reading()
                if remaining <= 0 and self.judged:
                    break
                self._try(trial, step, remaining / (len(left) - position))
                if self.interrupted:
                    return
            left = [trial for trial in self.judged if trial in left]
            if left and left[0].accuracy >= 1 - _SURE:
                return  # nothing can be better

    def _try(self, trial: _Trial, step: _Step, seconds: float) -> None:
        """Judge a shape by runs without each of the parts."""
        began, right, total, cut = reading(), 0.0, 0.0, False
        # a polish takes most of the time of a short run, and changes no decision on the rows that train
        method = limited(replace(self._method, polish="none"), trial.problem, step.rounds, step.longer)
        for position, (training, others) in enumerate(self._parts):
            given = trial.problem
            X, y, weight = (np.asarray(each) for each in (given.X, given.y, given.sample_weight))
            part = replace(
                trial.problem, X=X[training], y=y[training], sample_weight=weight[training], validation=None, copy=False
            )
            limits = with_rounds(self._budget.within(began + seconds - reading()), step.rounds)
            limits = limits.within(limits.remaining / (len(self._parts) - position))
            result = method(part, limits, None, self._listener(trial))
            if result.interrupted:
                self.interrupted = True
                return
            trial.network = result.network
            # a search that the time cut off says nothing of what a whole one would do
            cut |= step.rounds > 0 and result.nodes < (limits.rounds or 0) and result.status != Status.OPTIMAL
            if others is None:
                assert trial.problem.validation is not None
                asked, codes, counts = (np.asarray(each) for each in trial.problem.validation)
            else:
                asked, codes, counts = X[others], trial.problem.codes[others], weight[others]
            right += float(counts @ (result.network.predict_index(asked) == codes))
            total += float(counts.sum())
        trial.seconds += reading() - began
        if not cut and right / total > trial.accuracy + _SURE:
            trial.accuracy, trial.rounds, trial.longer = right / total, step.rounds, step.longer

    def _listener(self, trial: _Trial) -> ProgressCallback | None:
        listener, phase = self._on_progress, f"choosing, {trial.tried().described}"
        if listener is None:
            return None

        def told(progress: Progress) -> None:
            listener(replace(progress, seconds=self._budget.elapsed, phase=phase))

        return told


def _parts(problem: Problem, budget: Budget) -> list[tuple[Indices, Indices | None]]:
    """Return rows that train and rows that judge, for each run of a shape; None for those that a problem holds out."""
    seed, rng = budget.seed, np.random.default_rng(budget.seed)
    rows = np.flatnonzero(np.asarray(problem.sample_weight) > 0)
    most = int(np.clip(_ROWS_PER_SECOND * min(budget.seconds, _SECONDS), _LEAST_ROWS, _MOST_ROWS))

    def some(of: Indices, number: int) -> Indices:
        return drawn(of, problem.codes, number, rng)

    if problem.validation is not None:
        return [(some(rows, most), None)]
    rows = some(rows, _MOST_ROWS)
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
