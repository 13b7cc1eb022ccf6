"""The shape of a network that a user leaves open: how many hidden neurons, and which inputs, by held-out rows.

Notes
-----
Every width is tried with the columns as they are and with thresholds in the place of numbers, by short runs of local
search without some of the rows, and judged by the accuracy on these, weighted as the loss is. The best of them get
longer runs (successive halving: K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter
optimization, AISTATS 2016).

Up to a thousand rows each is judged by four runs, without a fold of the rows each; with more rows two parts or one are
held out, and of many rows a sample trains. Rows are soon learned by heart, so how long to search is chosen as well: a
shape that does best after few rounds is trained on all rows for as many rounds, with the same seed.
`benchmarks/accuracy.py` compares what is chosen with other classifiers.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import clone

from bdnn.backends.threads import INTERRUPTED
from bdnn.errors import InputError
from bdnn.estimators.inputs import column_names, encoded, fitted_encoder, numbers_as_table
from bdnn.estimators.shape_trials import SECONDS, STEPS, Halving, Inputs, Trial, Tried, limited, with_rounds
from bdnn.problem import shapes
from bdnn.problem.shapes import AUTO, THRESHOLDS, USUAL, has_thresholds

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.raw import RawTable
    from bdnn.methods.local_search import LocalSearch
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.result import Result
    from bdnn.status import ProgressCallback
    from bdnn.types import Array, Indices, Reals

Estimator = TypeVar("Estimator")

_SHARE = 0.6  # of the time for the fit; the network that is chosen often needs little more
_LEAST_SECONDS = 1.0  # for the fit: with less, runs end before their first local optimum
_MOMENT = 0.05  # seconds for a network where nothing else is known


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
        none = replace(self.budget, seconds=max(self.budget.elapsed, _MOMENT))  # its clock goes on
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
    trials = [Trial(way, make(way, width), width) for way in ways for width in shapes.WIDTHS]
    left = budget.remaining if math.isfinite(budget.remaining) else SECONDS
    halving = Halving(trials, method, budget, on_progress)
    try:
        halving.run(_SHARE * left)
    except KeyboardInterrupt:
        halving.interrupted = True
    if not halving.judged:  # it was interrupted in the first run: what a moment gives is better than nothing
        usual = make(given, usual_sizes(settings))
        quick = replace(method, polish="none")(usual, budget.within(_MOMENT)).network
        return Choice(given, usual, method, budget, (), quick)
    best, *_ = halving.judged
    if best.problem.validation is None and best.rounds < STEPS[-1].rounds:
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
