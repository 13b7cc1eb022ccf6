"""Networks without a fold of the rows each, and what the second regression of probabilities sees of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.estimators.inputs import encoded, rows_of_columns
from bdnn.estimators.regressions import Affine, reading

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.raw import RawTable
    from bdnn.stopping import Stop
    from bdnn.types import Floats, Indices, Reals

# inverse strengths of the regularization, for two classes and for more, as in `bdnn.estimators.probabilities`
_READING, _READING_OF_MORE = 0.3, 1.0
_LEAST_NETWORKS = 0.5  # part of what is left that networks of folds get though regressions were slow, as at first use
_LEAST_SECONDS = 1e-3  # of a fold, which has no time left: the least that a budget takes
NETWORK_SHARE = 0.5
"""Part of the time that the network itself gets if networks of folds follow."""


@dataclass(frozen=True, eq=False, slots=True)
class Folds:
    """Columns, codes of the labels and weights of all rows, and how a classifier is trained on some of them."""

    columns: Reals | RawTable
    codes: Indices
    weight: Floats | None
    train: Callable[[Indices, float, Stop], Any]
    n_outputs: int

    def values_of(self, classifier: Any, rows: Indices) -> Floats:
        """Return what logits of a classifier are an affine map of."""
        inputs = encoded(classifier.encoder_, rows_of_columns(self.columns, rows), warns=False)
        found: Floats = classifier.calibration_values(inputs)
        return found

    def fitted(self, rows: Indices) -> tuple[Indices, Floats | None]:
        """Return the labels and weights of rows."""
        return self.codes[rows], None if self.weight is None else self.weight[rows]

    def signals(self, classifier: Any, rows: Indices) -> Affine:
        """Return what the second regression sees of a classifier, fitted on some rows."""
        return _signals(self.values_of(classifier, rows), *self.fitted(rows), self.n_outputs)


@dataclass(frozen=True, eq=False, slots=True)
class Fold:
    """A fold, and how much of the time is for it.

    Attributes
    ----------
    training, others : ndarray of int
        Rows of the training, and the others.
    budget : Budget
        Of the whole fit.
    following, in_all : int
        Rounds of folds that are trained at the same time: from this one on, and of all.
    regressions : float
        Seconds that have to be left.
    over : float
        Seconds that the last fold took beyond its limit, as many rows do: the others will take them, too.
    """

    training: Indices
    others: Indices
    budget: Budget
    following: int
    in_all: int
    regressions: float
    over: float


def trained_fold(shared: Folds, task: Fold, stop: Stop) -> tuple[Floats, float] | None:
    """Return what the second regression sees on a fold, and what the training took beyond its limit.

    None if that was interrupted.
    """
    budget = task.budget
    began = budget.remaining
    left = max(began - task.regressions, _LEAST_NETWORKS * began) / task.following - task.over
    limit = max(min((1 - NETWORK_SHARE) * budget.seconds / task.in_all, left), _LEAST_SECONDS)
    classifier = None if stop.requested else shared.train(task.training, limit, stop)
    over = max(began - budget.remaining - limit, 0.0) if math.isfinite(began) else 0.0
    if classifier is None:
        return None
    signals = shared.signals(classifier, task.training)
    return signals(shared.values_of(classifier, task.others)), over


def _signals(values: Floats, codes: Indices, weight: Floats | None, n_outputs: int) -> Affine:
    """Fit what the second regression sees: logits that hidden neurons give, and standardized outputs.

    Outputs fit the rows of the training too well to be weighed there.
    """
    hidden, outputs = np.split(values, [values.shape[1] - n_outputs], axis=1)
    first = reading(_READING if codes.max() < 2 else _READING_OF_MORE)
    if not n_outputs or not hidden.shape[1]:
        return first(values, codes, weight)
    logits = first(hidden, codes, weight)
    scale = outputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    corner = np.zeros((len(logits.weights), n_outputs))
    return Affine(
        np.block([[logits.weights, corner], [np.zeros((n_outputs, hidden.shape[1])), np.diag(1 / scale)]]),
        np.concatenate([logits.bias, -outputs.mean(axis=0) / scale]),
        values.min(axis=0),
        values.max(axis=0),
    )
