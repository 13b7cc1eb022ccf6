"""What the two estimators share: limits, validation of inputs and labels, score, warnings and saved settings."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from bdnn.budget import Budget
from bdnn.checks import thread_count
from bdnn.errors import InputError
from bdnn.estimators.inputs import REAL, EncoderSettings, encoded, given_columns, training_columns
from bdnn.labels import check_present, plain
from bdnn.regression_targets import check_discrete
from bdnn.result import CERTIFICATE_IMPOSSIBLE
from bdnn.splitting import drawn_seed

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array, Floats, Reals


class BaseClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A classifier with `time_limit`, `n_jobs` and `random_state` as parameters, without the training."""

    time_limit: float | None
    n_jobs: int | None
    random_state: int | np.random.RandomState | None
    encoder_: Encoder

    def _budget(self, seed: int = 0) -> Budget:
        """Return the limits of a fit, started."""
        limit = self.time_limit
        if isinstance(limit, np.integer | np.floating):
            limit = limit.item()
        seconds = math.inf if limit is None else limit
        return Budget(seconds=seconds, threads=thread_count(self.n_jobs), seed=seed).start()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags

    def _training_data(
        self,
        X: ArrayLike | RawTable,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        settings: EncoderSettings,
        feature_names: Sequence[str] | None = None,
    ) -> tuple[Reals | RawTable, Array, Floats | None]:
        """Return columns, labels and weights, checked, and set what scikit-learn keeps of the inputs."""
        columns, labels = training_columns(self, X, given_targets(y), settings, feature_names)
        labels = _checked_targets(labels)
        if sample_weight is None:
            return columns, labels, None
        given = np.full(len(labels), sample_weight) if np.isscalar(sample_weight) else sample_weight
        weight = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weight.shape != labels.shape:
            raise InputError(f"sample_weight must have shape ({len(labels)},), got {weight.shape}")
        return columns, labels, weight

    def _columns(self, X: ArrayLike | RawTable, dtypes: Iterable[DTypeLike] = REAL) -> Reals | RawTable:
        """Return checked columns to be predicted: an array if they are the inputs of the network themselves."""
        check_is_fitted(self)
        return given_columns(self, self.encoder_, X, dtypes)

    def _inputs(self, X: ArrayLike | RawTable, dtypes: Iterable[DTypeLike] = REAL) -> Reals:
        """Return the checked inputs of the network that columns to be predicted become."""
        columns = self._columns(X, dtypes)
        return encoded(self.encoder_, columns)

    def _warn(self, shortfalls: Iterable[str]) -> None:
        """Warn the caller of `fit` about what could not be done in time, if anything."""
        if listed := list(shortfalls):
            warnings.warn(_shortfall_warning(self.time_limit, listed), ConvergenceWarning, stacklevel=3)

    def score(self, X: ArrayLike | RawTable, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the fraction of the rows of X whose predicted label is correct.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,)
            Labels, of a column of any kind that `fit` takes.
        sample_weight : array-like of shape (n_samples,) or None
            Weights of the samples.

        Returns
        -------
        float
            Accuracy.
        """
        return float(super().score(X, given_targets(y), sample_weight))


def generator_of(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Return the generator that a `random_state` stands for, or raise InputError."""
    try:
        generator: np.random.RandomState = check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise InputError(f"random_state must be None, a seed or a numpy.random.RandomState: {error}") from None
    return generator


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed that a `random_state` stands for, of both the validation rows and the search of a fit."""
    return drawn_seed(generator_of(random_state))


def given_targets(y: ArrayLike) -> Any:
    """Return targets in a form that scikit-learn accepts, or raise InputError if labels are missing."""
    check_present("y", y)
    return plain(y)


def _checked_targets(y: Array) -> Array:
    """Return validated targets as labels of shape (m,), or raise an error if they are not classes."""
    labels: Array = column_or_1d(y, warn=True)
    if labels.dtype.kind in "fiu":
        check_discrete("y", labels)
    check_classification_targets(labels)
    return labels


def storable(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as scalars, lists and dictionaries by text, which a model file can hold."""
    stored = {name: value for name, value in settings.items() if name != "cluster"}  # of one run, as addresses are
    for name, value in stored.items():
        if isinstance(value, np.random.RandomState):
            value = None  # a generator has moved on; it cannot be stored
        elif isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, float) and math.isinf(value):
            value = None
        elif isinstance(value, Mapping):
            value = {str(key): each.item() if isinstance(each, np.generic) else each for key, each in value.items()}
        stored[name] = list(value) if isinstance(value, tuple) else value
    return stored


def _shortfall_warning(time_limit: float | None, shortfalls: Iterable[str]) -> str:
    """Return the text of a warning about what could not be done, for lack of time or for good.

    Parameters
    ----------
    time_limit : float or None
        Of the fit.
    shortfalls : iterable of str
        What could not be done.

    Returns
    -------
    str
        One line.
    """
    shortfalls = list(shortfalls)
    if CERTIFICATE_IMPOSSIBLE.issuperset(shortfalls):  # more time would not help
        return "; ".join(shortfalls)
    if time_limit is None:
        return f"training is incomplete: {'; '.join(shortfalls)}"
    return f"training is incomplete within the time limit of {time_limit:g} s: {'; '.join(shortfalls)}; raise the limit"
