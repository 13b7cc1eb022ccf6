"""Calibrated probabilities: a regularized logistic regression reads the pre-activations of a network.

Notes
-----
The output of a small network takes few values, the pre-activations of its hidden neurons say more. So the logits are an
affine map of the pre-activations of all neurons (of an ensemble: its sums and votes), by logistic regression.

With the rule "held_out" it is fitted on rows that did not train the network; its figures come from parts of
these rows that did not fit it. With "cross_fit" it is fitted on all rows
to the hidden neurons, for the network as for one network per fold, which is trained without the rows of the fold. A
second logistic regression, from these logits and the outputs of the networks of the folds, each on its own fold, to the
labels says how much either is to be trusted on new rows; it is applied to the logits and outputs of the network (as in
stacking: D. H. Wolpert, Stacked generalization, Neural Networks 5 (1992); from outputs alone, for two classes, it is J.
Platt's method, 1999). With more than two classes its slopes are the same for all of them, as in the scaling by a
temperature (C. Guo et al., On calibration of modern neural networks, 2017). Whether outputs help then, and the figures,
come from each fold by a second regression that is fitted on the other folds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from bdnn.calibration import Calibration, probability_rule
from bdnn.estimators.base import BaseClassifier, seed_of
from bdnn.estimators.fold_training import NETWORK_SHARE, Fold, Folds, trained_fold
from bdnn.estimators.held_out import drawn, folds, folds_of_some
from bdnn.estimators.inputs import rows_of_columns
from bdnn.estimators.regressions import Affine, Figures, Fit, best, reading, separate, shared
from bdnn.libraries import limited_threads
from bdnn.parallel import Workers
from bdnn.stopping import Stop

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array, Floats, Indices, Reals

# inverse strengths of the regularization, by log-loss on the tables of `benchmarks/probabilities.py`: in cross-fitting
# the second regression corrects the first, which may shrink more, most of all with one slope for two classes
_READING_OF_HELD_OUT, _TRUST = 1.0, 1.0
# rows drawn for the networks of folds and the regressions: more change little, and cost memory and time
_MOST_ROWS = 20_000


# what the networks of folds do without
_PLAIN: dict[str, Any] = {
    "probability": False,
    "decision_threshold": None,
    "certificate": False,
    "checkpoint": None,
    "cluster": None,
    "warm_start": False,
    "verbose": 0,
}
UNCALIBRATED = "it was interrupted before probabilities could be calibrated"
"""What fell short."""


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
    fold: Callable[[Indices, float, Stop], Any],
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
        Returns such a classifier that is trained on some rows within so many seconds, or None if that was interrupted,
        as a request to stop does.
    budget : Budget
        Of the whole fit.

    Returns
    -------
    Calibration or None
        None if it was interrupted.
    """
    columns, codes, weight = data
    generator = np.random.default_rng(budget.seed)

    def some(rows: Indices, most: int = _MOST_ROWS) -> Indices:
        return drawn(rows, codes, most, generator)

    everything = Folds(columns, codes, weight, fold, estimator.calibration_outputs)
    if rule == "held_out":
        assert held_out is not None
        rows = some(held_out)
        parts = folds_of_some(rows_of_columns(columns, rows), codes[rows], budget.seed)
        asked = (everything.values_of(estimator, rows), *everything.fitted(rows))
        found = best([reading(_READING_OF_HELD_OUT)], asked, parts)
        return _calibration(rule, *found, len(rows))
    # first, as the time that it takes is that of the other regressions, which the networks of the folds have to leave
    began = budget.remaining
    own = everything.signals(estimator, some(np.arange(len(codes))))
    each = began - budget.remaining if math.isfinite(began) else 0.0
    made, trusts = folds(columns, codes, budget.seed), _trusts(len(own.bias), len(estimator.classes_))
    # of very many rows, all would cost more time to prepare than there is
    parts_of = [(some(training), some(others, _MOST_ROWS // len(made))) for training, others in made]
    found_of: dict[int, Floats] = {}
    over = [0.0]
    with Workers(min(budget.threads, len(made)), everything) as workers:

        def tasks() -> Iterator[Fold]:
            in_all = math.ceil(len(made) / workers.count)
            for number, (training, others) in enumerate(parts_of):
                following = math.ceil((len(made) - number) / workers.count)
                regressions = each * (following + len(trusts) * (len(made) + 1))
                yield Fold(training, others, budget, following, in_all, regressions, over[-1])

        for number, found_here in workers.do(trained_fold, tasks()):
            if found_here is None:
                return None
            found_of[number] = found_here[0]
            over.append(found_here[1])
        if workers.stop.requested:
            return None
    order, seen = [others for _, others in parts_of], [found_of[number] for number in range(len(made))]
    rows, fold_of = np.concatenate(order), np.repeat(np.arange(len(made)), [len(part) for part in order])
    parts = [(np.flatnonzero(fold_of != one), np.flatnonzero(fold_of == one)) for one in range(len(made))]
    trust, measured = best(trusts, (np.concatenate(seen), *everything.fitted(rows)), parts)
    both = own._replace(weights=trust.weights @ own.weights, bias=trust.weights @ own.bias + trust.bias)
    return _calibration(rule, both, measured, len(rows))


def _trusts(n_signals: int, n_classes: int) -> list[Fit]:
    """Return ways to fit the second regression: with more than two classes, slopes that are the same for all of them.

    A slope for each signal and class would have few rows for each of many slopes, and be too sure.
    """
    if n_classes == 2:
        return [separate(_TRUST)]
    return [shared(blocks, n_classes) for blocks in (1, 2) if blocks * n_classes <= n_signals]


def _calibration(rule: str, affine: Affine, measured: Figures, rows: int) -> Calibration:
    return Calibration(rule, *affine, rows=rows, log_loss=measured.log_loss, brier=measured.brier)


class _IfCalibrated:
    """A method that is there only if there are probabilities; otherwise the AttributeError says how to get them.

    The `available_if` of scikit-learn hides that in the cause of an error of its own.
    """

    def __init__(self, method: Callable[..., Floats]) -> None:
        self._method = method
        update_wrapper(self, method)  # type: ignore[arg-type]  # which asks for a callable, as functions are

    def __get__(self, estimator: Any, owner: type | None = None) -> Callable[..., Floats]:
        if estimator is None:
            return self._method  # of the class, for its documentation
        _check_probabilities(estimator)
        return MethodType(self._method, estimator)


def _check_probabilities(estimator: Any) -> None:
    """Raise AttributeError if there are no probabilities."""
    name = type(estimator).__name__
    if getattr(estimator, "calibration_", None) is not None:
        return
    if not hasattr(estimator, "calibration_") and probability_rule(estimator.probability) is not None:
        return  # once it is fitted
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

    _stop: Stop | None = None  # who may end a fit of the network of a fold
    _warns = True  # an ensemble warns of all its members together, and so does a fit of the networks of folds

    def _seed_of_rows(self) -> int:
        """Return the seed of what is held out, which draws nothing from a generator if nothing is."""
        return 0 if probability_rule(self.probability) is None else seed_of(self.random_state)

    def _calibrate(
        self,
        columns: Reals | RawTable,
        labels: Array,
        weight: Floats | None,
        held_out: Indices | None,
        budget: Budget,
        fold: Callable[[Indices, float, Stop], Any] | None = None,
    ) -> bool:
        """Calibrate after the training, and return whether nothing fell short; `fold` is as in `calibrated`."""
        self.calibration_ = None
        rule = probability_rule(self.probability)
        if rule is not None and not self._interrupted:
            fold = fold or partial(self._of_fold, (columns, labels, weight), budget.seed)
            data = columns, np.searchsorted(self.classes_, labels), weight
            # a request to stop ends what is asked for beyond the network, which stays
            # and threads of BLAS beyond those that were asked for would wait for each other on a busy machine
            with suppress(KeyboardInterrupt), limited_threads(budget.threads, "blas"):
                self.calibration_ = calibrated(self, rule, data, held_out, fold, budget)
        return rule is None or self.calibration_ is not None

    def _of_fold(
        self, data: tuple[Reals | RawTable, Array, Floats | None], seed: int, rows: Indices, seconds: float, stop: Stop
    ) -> ProbabilisticClassifier | None:
        """Return such a classifier of some rows, None if its training was interrupted."""
        columns, labels, weight = data
        made: ProbabilisticClassifier = clone(self)
        own = made.get_params(deep=False)
        made.set_params(**{name: value for name, value in _PLAIN.items() if name in own})
        made.set_params(**self._shape())
        made.set_params(random_state=seed, time_limit=None if math.isinf(seconds) else seconds, n_jobs=1)
        made._warns, made._stop = False, stop
        names = getattr(self, "feature_names_in_", None)
        named = {"feature_names": names} if names is not None and "checkpoint" in own else {}
        made.fit(rows_of_columns(columns, rows), labels[rows], None if weight is None else weight[rows], **named)
        return None if made._interrupted else made

    def _shape(self) -> dict[str, Any]:
        """Return parameters for classifiers that are trained on parts of the rows, if they were chosen by all."""
        return {}

    def calibration_values(self, inputs: Reals) -> Floats:
        """Return what logits are an affine map of, for checked inputs."""
        raise NotImplementedError

    @_IfCalibrated
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

    @_IfCalibrated
    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Return the logarithms of `predict_proba`, of shape (n_samples, n_classes)."""
        with np.errstate(divide="ignore"):
            logarithms: Floats = np.log(self.predict_proba(X))
        return logarithms
