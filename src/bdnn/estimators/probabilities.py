"""Calibrated probabilities: a regularized logistic regression reads the pre-activations of a network.

Notes
-----
The output of a small network takes few values, the pre-activations of its hidden neurons say more. So the logits are an
affine map of the pre-activations of all neurons (of an ensemble: its sums and votes), by logistic regression.

With the rule "held_out" it is fitted on rows that did not train the network. With "cross_fit" it is fitted on all rows
to the hidden neurons, for the network as for one network per fold, which is trained without the rows of the fold. A
second logistic regression, from these logits and the outputs of the networks of the folds, each on its own fold, to the
labels says how much either is to be trusted on new rows; it is applied to the logits and outputs of the network (as in
stacking: D. H. Wolpert, Stacked generalization, Neural Networks 5 (1992); from outputs alone, for two classes, it is J.
Platt's method, 1999).
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from bdnn.calibration import Calibration, probabilities, probability_rule
from bdnn.estimators.base import BaseClassifier, seed_of
from bdnn.estimators.held_out import folds
from bdnn.estimators.inputs import encoded, rows_of_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from bdnn.budget import Budget
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array, Floats, Indices, Reals

# inverse strengths of the regularization, by log-loss on the tables of `benchmarks/probabilities.py`: in cross-fitting
# the second regression corrects the first, which may shrink more
_READING, _TRUST = {"cross_fit": 0.3, "held_out": 1.0}, 1.0
_ITERATIONS = 1000  # of L-BFGS, which needs tens on standardized values
# rows drawn for the regressions: more change nothing about few numbers, and cost memory
_MOST_ROWS = 100_000
_LEAST_SECONDS = 1e-3  # of a fold, which has no time left: the least that a budget takes
NETWORK_SHARE = 0.5
"""Part of the time that the network itself gets if networks of folds follow."""


# what the networks of folds do without
_PLAIN: dict[str, Any] = {
    "probability": False,
    "decision_threshold": None,
    "certificate": False,
    "checkpoint": None,
    "warm_start": False,
    "verbose": 0,
}
UNCALIBRATED = "it was interrupted before probabilities could be calibrated"
"""What fell short."""


class _Affine(NamedTuple):
    """Logits as an affine map of values that are clipped."""

    weights: Floats
    bias: Floats
    low: Floats
    high: Floats

    def __call__(self, values: Floats) -> Floats:
        return np.clip(values, self.low, self.high) @ self.weights.T + self.bias


def own_time(budget: Budget, probability: object) -> Budget:
    """Return the budget of the network itself, started: the rest is for the networks of the folds."""
    if probability_rule(probability) == "cross_fit" and math.isfinite(budget.seconds):
        return budget.within(NETWORK_SHARE * budget.remaining)
    return budget


def calibrated(
    estimator: Any,
    rule: str,
    data: tuple[Reals | RawTable, Indices, Floats | None],
    held_out: Indices | None,
    fold: Callable[[Indices, float], Any],
    budget: Budget,
) -> Calibration | None:
    """Return the calibration of a classifier that has just been trained.

    Parameters
    ----------
    estimator : BDNNClassifier or BDNNEnsembleClassifier
        Itself; its `calibration_values` of its inputs, of which the last `calibration_outputs` are outputs, are what
        logits are an affine map of.
    rule : {"cross_fit", "held_out"}
        From `probability_rule`.
    data : tuple
        Columns, codes of the labels, and weights of the rows or None.
    held_out : ndarray of int or None
        Rows that it was not trained on.
    fold : callable
        Returns such a classifier that is trained on some rows within so many seconds, or None if that was interrupted.
    budget : Budget
        Of the whole fit.

    Returns
    -------
    Calibration or None
        None if it was interrupted.
    """
    columns, codes, weight = data
    generator = np.random.default_rng(budget.seed)

    def drawn(rows: Indices) -> Indices:
        return rows if len(rows) <= _MOST_ROWS else np.sort(generator.choice(rows, _MOST_ROWS, replace=False))

    def values_of(classifier: Any, rows: Indices) -> Floats:
        inputs = encoded(classifier.encoder_, rows_of_columns(columns, rows), warns=False)
        found: Floats = classifier.calibration_values(inputs)
        return found

    def some(rows: Indices) -> Floats | None:
        return None if weight is None else weight[rows]

    if rule == "held_out":
        assert held_out is not None
        rows = drawn(held_out)
        values = values_of(estimator, rows)
        reading = _reading(values, codes[rows], some(rows), _READING[rule])
        return _calibration(rule, reading, reading(values), codes[rows], some(rows))
    parts = folds(columns, codes, budget.seed)
    left, order, found = (1 - NETWORK_SHARE) * budget.seconds / len(parts), [], []
    for number, (training, others) in enumerate(parts):
        other = fold(training, max(min(left, budget.remaining / (len(parts) - number)), _LEAST_SECONDS))
        if other is None:
            return None
        rows = drawn(training)
        signals = _signals(other, values_of(other, rows), codes[rows], some(rows), _READING[rule])
        order.append(drawn(others))
        found.append(signals(values_of(other, order[-1])))
    rows, seen = np.concatenate(order), np.concatenate(found)
    slope, shift = _logistic(seen, codes[rows], some(rows), _TRUST)
    everything = drawn(np.arange(len(codes)))
    values = values_of(estimator, everything)
    own = _signals(estimator, values, codes[everything], some(everything), _READING[rule])
    both = own._replace(weights=slope @ own.weights, bias=slope @ own.bias + shift)
    return _calibration(rule, both, seen @ slope.T + shift, codes[rows], some(rows))


def _signals(estimator: Any, values: Floats, codes: Indices, weight: Floats | None, inverse: float) -> _Affine:
    """Fit what the second regression sees: logits that hidden neurons give, and standardized outputs.

    Outputs fit the rows of the training too well to be weighed there.
    """
    n_outputs = estimator.calibration_outputs
    hidden, outputs = np.split(values, [values.shape[1] - n_outputs], axis=1)
    if not n_outputs or not hidden.shape[1]:
        return _reading(values, codes, weight, inverse)
    logits = _reading(hidden, codes, weight, inverse)
    scale = outputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    corner = np.zeros((len(logits.weights), n_outputs))
    return _Affine(
        np.block([[logits.weights, corner], [np.zeros((n_outputs, hidden.shape[1])), np.diag(1 / scale)]]),
        np.concatenate([logits.bias, -outputs.mean(axis=0) / scale]),
        values.min(axis=0),
        values.max(axis=0),
    )


def _reading(values: Floats, codes: Indices, weight: Floats | None, inverse: float) -> _Affine:
    """Fit logits to values by logistic regression on standardized values."""
    center, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    weights, bias = _logistic((values - center) / scale, codes, weight, inverse)
    weights = weights / scale
    return _Affine(weights, bias - weights @ center, values.min(axis=0), values.max(axis=0))


def _logistic(values: Floats, codes: Indices, weight: Floats | None, inverse: float) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=inverse, max_iter=_ITERATIONS).fit(values, codes, weight)
    return fitted.coef_, fitted.intercept_


def _calibration(rule: str, affine: _Affine, logits: Floats, codes: Indices, weight: Floats | None) -> Calibration:
    shares = probabilities(logits)
    truth = np.arange(shares.shape[1]) == codes[:, None]
    # a probability that is rounded to 0 counts as the least above it
    right = np.maximum(shares[truth], np.finfo(np.float64).tiny)
    squares = ((shares - truth) ** 2).sum(axis=1) / (2 if shares.shape[1] == 2 else 1)
    return Calibration(
        rule, *affine, rows=len(codes),
        log_loss=float(np.average(-np.log(right), weights=weight)), brier=float(np.average(squares, weights=weight)),
    )  # fmt: skip


def _has_probabilities(estimator: Any) -> bool:
    """Return whether there are probabilities, or raise AttributeError that says how to get them."""
    name = type(estimator).__name__
    if getattr(estimator, "calibration_", None) is not None:
        return True
    if not hasattr(estimator, "calibration_") and probability_rule(estimator.probability) is not None:
        return True  # once it is fitted
    if probability_rule(estimator.probability) is None:
        raise AttributeError(
            f"predict_proba is not available when probability=False, because calibration takes rows and time: set "
            f"{name}(probability=True) before fit. decision_function needs no calibration"
        )
    raise AttributeError(
        f"predict_proba is not available: this {name} has no calibration, as its training was interrupted, or its "
        f"model file has none; fit it again"
    )


class ProbabilisticClassifier(BaseClassifier):
    """A classifier that has calibrated probabilities if it is asked for them."""

    probability: bool | str
    calibration_: Calibration | None
    _interrupted: bool

    @property
    def calibration_outputs(self) -> int:
        """How many of the calibration values, the last ones, are outputs."""
        return 0

    _warns = True  # an ensemble warns of all its members together, and so does a fit of the networks of folds

    def _seed_of_rows(self) -> int:
        """Return the seed of what is held out, which draws nothing from a generator if nothing is."""
        return 0 if probability_rule(self.probability) is None else seed_of(self.random_state)

    def _calibrate(
        self, columns: Reals | RawTable, labels: Array, weight: Floats | None, held_out: Indices | None, budget: Budget
    ) -> bool:
        """Calibrate after the training, and return whether nothing fell short."""
        self.calibration_ = None
        rule = probability_rule(self.probability)
        if rule is not None and not self._interrupted:
            names = getattr(self, "feature_names_in_", None)

            def fold(rows: Indices, seconds: float) -> ProbabilisticClassifier | None:
                made: ProbabilisticClassifier = clone(self)
                own = made.get_params(deep=False)
                made.set_params(**{name: value for name, value in _PLAIN.items() if name in own})
                made.set_params(random_state=budget.seed, time_limit=None if math.isinf(seconds) else seconds)
                made._warns = False
                named = {"feature_names": names} if names is not None and "checkpoint" in own else {}
                made.fit(
                    rows_of_columns(columns, rows), labels[rows], None if weight is None else weight[rows], **named
                )
                return None if made._interrupted else made

            data = columns, np.searchsorted(self.classes_, labels), weight
            # a request to stop ends what is asked for beyond the network, which stays
            with suppress(KeyboardInterrupt):
                self.calibration_ = calibrated(self, rule, data, held_out, fold, budget)
        return rule is None or self.calibration_ is not None

    def calibration_values(self, inputs: Reals) -> Floats:
        """Return what logits are an affine map of, for checked inputs."""
        raise NotImplementedError

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return calibrated probabilities of the classes; needs ``probability=True``.

        They are those of the rows as they are given to `fit`, with their sample weights and without class weights. The
        class of the largest one is not always the prediction, which is made by the network alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        assert self.calibration_ is not None
        return self.calibration_.probabilities(self.calibration_values(self._inputs(X)))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Return the logarithms of `predict_proba`, of shape (n_samples, n_classes)."""
        with np.errstate(divide="ignore"):
            logarithms: Floats = np.log(self.predict_proba(X))
        return logarithms
