"""The scikit-learn interface of the search for the best network within a number of bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from bdnn.compact.choice import Chosen, Search
from bdnn.compact.inputs import Source
from bdnn.compact.proposals import Rows
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.estimators.base import seed_of, storable
from bdnn.estimators.class_weights import training_weights, with_class_weight
from bdnn.estimators.classifier import BDNNClassifier
from bdnn.estimators.devices import Exportable
from bdnn.estimators.fitted import FittedNetwork
from bdnn.estimators.frames import Categorical
from bdnn.estimators.held_out import folds_of_some
from bdnn.estimators.inputs import encoded, fitted_encoder, options_of
from bdnn.libraries import limited_threads
from bdnn.methods.run import Run
from bdnn.model_file.contents import Model, TableInfo
from bdnn.model_file.writing import save_model
from bdnn.network.schema import Schema
from bdnn.problem.problem import Problem, checked_weights

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.encoding.encoder import Encoder
    from bdnn.files import FilePath
    from bdnn.result import Result
    from bdnn.types import Array, Floats, Indices, Reals

_FEW_ROWS = 1000
"""Up to so many rows, plans are judged by all of them, in four folds; of more, by two of these folds."""
_FOLDS_OF_MANY = 2
_MOST_ROWS = 8000
"""Rows that plans are trained and judged on; the networks that are chosen are trained on more."""
_MOST_LAST_ROWS = 50_000
"""Rows that the networks that are chosen are trained on: more of them hardly change a network of some bytes."""
_LARGEST_BUDGET = 2**20
"""Bytes; far more than any plan takes."""


class _Encoding(NamedTuple):
    """What a schema is made of."""

    encoder_in_use: Encoder
    classes: Array


class CompactBDNNClassifier(Exportable, FittedNetwork):
    """The most accurate network of integers that takes at most so many bytes.

    Inputs, shapes, weight bounds and sums of networks are searched for within the budget, and judged by rows that
    were not trained on: the inputs are thresholds that boosted stumps and trees propose, or grids of few bits of the
    most important inputs, behind them there may be a hidden layer, of neurons that are searched for or of rules that
    the leaves of boosted trees propose. Trees only propose; every weight comes from exact line searches. The network
    that is returned is an ordinary one with an ordinary encoder: it can be certified, exported and reported on.

    Parameters
    ----------
    max_bytes : int or sequence of int, default=128
        Most bytes of the packed network, see `bdnn.Network.to_bytes`. Of several budgets, there is a network for each
        in `models_`, all from one search; the one of the largest budget predicts.
    categorical_features, max_categories, min_frequency, missing_indicator, class_weight : optional
        As for `bdnn.BDNNClassifier`. Class weights count in the training and in the accuracy by which is chosen.
    time_limit : float or None, default=60.0
        Seconds for the whole fit; None for no limit. The search ends before if it has tried everything it knows.
    n_jobs : int or None, default=None
        Networks that are trained side by side, counted as joblib counts: None means what `joblib.parallel_config` says
        or else 1. They are trained by threads, unless `joblib.parallel_config` names processes or a cluster.
    random_state : int, RandomState instance or None, default=None
        Seed. The same seed gives the same networks if the time is enough, whatever `n_jobs` is.
    verbose : int, default=0
        1 prints a line for every plan that was tried to stderr.

    Attributes
    ----------
    network_ : Network
        The network of the largest budget; it alone predicts.
    encoder_ : bdnn.encoding.encoder.Encoder
        How columns become its inputs.
    size_bytes_ : int
        What it takes.
    schema_ : Schema
        Columns and labels: what the reader of the bytes knows without them.
    result_ : Result
        Its audited loss on all rows. The search is for accuracy on other rows, so the bound is the trivial one.
    models_ : dict of int to BDNNClassifier
        Fitted classifiers by budget.
    front_ : tuple of Chosen
        For each budget the bytes, the accuracy on held-out rows, the plan in words, and why it was chosen.
    tried_ : tuple of Tried
        Everything that was tried: plan, bytes, accuracy on held-out rows, seconds.
    classes_, class_weight_, n_features_in_, feature_names_in_ : optional
        As of `bdnn.BDNNClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from bdnn import CompactBDNNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = CompactBDNNClassifier(max_bytes=16, time_limit=5, random_state=0).fit(X, y)
    >>> clf.size_bytes_ <= 16
    True
    """

    thresholds = None
    probability = False

    def __init__(
        self,
        max_bytes: int | Sequence[int] = 128,
        categorical_features: Categorical = "from_dtype",
        max_categories: int | None = 20,
        min_frequency: int | float | None = None,
        missing_indicator: str = "auto",
        class_weight: Mapping[Any, float] | str | None = None,
        time_limit: float | None = 60.0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.max_bytes = max_bytes
        self.categorical_features = categorical_features
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.missing_indicator = missing_indicator
        self.class_weight = class_weight
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike | RawTable,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        feature_names: Sequence[str] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Search.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or data frame
            Columns of numbers, truth values, text, categories or dates, in which values may be missing.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,) or None
            Non-negative weights of the samples.
        feature_names : sequence of str or None
            Names of the columns of an array; a data frame brings its own.
        on_progress : callable or None
            Receives a line of text for every plan that was tried.

        Returns
        -------
        CompactBDNNClassifier
            This estimator.

        Raises
        ------
        InputError
            (a ValueError) If a setting or the data cannot be used.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the time was too short for everything that was to be tried.
        """
        budget = self._budget(seed_of(self.random_state))
        budgets = _budgets(self.max_bytes)
        options_of(self)
        columns, labels, given = self._training_data(X, y, sample_weight, self, feature_names)
        checked_weights(given, len(labels), copy=False)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"y must have at least two classes, got only 1 class, {classes[0]}; give rows of another one"
            )
        encoder = fitted_encoder(self, columns, labels, slice(None), self, budget.seed)
        weight, class_weight = training_weights(self.class_weight, labels, given, slice(None))
        inputs = np.asarray(encoded(encoder, columns), dtype=np.float64)
        rows = Rows(inputs, codes.astype(np.intp), np.ones(len(codes)) if weight is None else weight)
        some = _drawn(rows, _MOST_LAST_ROWS, budget.seed)
        rows = rows if some is None else rows.take(some)
        listener = on_progress or (_to_stderr if self.verbose else None)
        self.schema_ = Schema.of(_Encoding(encoder, classes), columns if isinstance(columns, RawTable) else inputs)
        search = Search(
            rows, _folds(rows, budget.seed), Source.of(encoder, rows.X), self.schema_, budgets, budget, listener
        )
        with limited_threads(1):
            self.front_ = tuple(search.run())
            self.models_ = {
                chosen.max_bytes: self._model(chosen, (columns, labels, weight), class_weight, budget, search)
                for chosen in self.front_
            }
        largest = self.models_[budgets[-1]]
        self.tried_ = search.tried
        self.network_, self.encoder_, self.result_ = largest.network_, largest.encoder_, largest.result_
        self.classes_, self.class_weight_, self.calibration_ = classes, largest.class_weight_, None
        self.size_bytes_ = self.front_[-1].size_bytes
        self._interrupted = search.interrupted
        if search.unfinished:
            self._warn(["not everything was tried"])
        return self

    def _model(
        self,
        chosen: Chosen,
        data: tuple[Reals | RawTable, Array, Floats | None],
        class_weight: Floats | None,
        budget: Budget,
        search: Search,
    ) -> BDNNClassifier:
        """Return the network of a budget as a fitted classifier, its loss audited on all rows."""
        (columns, labels, weight), network, encoder = data, chosen.placed.network, chosen.placed.encoder
        bound = max(1, *(int(np.abs(layer.weights).max(initial=0)) for layer in network.layers))
        clf = BDNNClassifier(
            network.widths[:-1], method="local_search", weights="integer", weight_bound=bound, head=network.head,
            input_bits=8 if network.grid is None else network.grid.bits,
            categorical_features=self.categorical_features, max_categories=self.max_categories,
            min_frequency=self.min_frequency, missing_indicator=self.missing_indicator, class_weight=self.class_weight,
            time_limit=self.time_limit, n_jobs=self.n_jobs, random_state=self.random_state,
        )  # fmt: skip
        inputs = encoded(encoder, columns, warns=False)
        result = _audited(clf, (inputs, labels, weight), chosen, budget, search.interrupted)
        clf.result_ = with_class_weight(result, class_weight, self.class_weight)
        clf.network_, clf.encoder_, clf.classes_ = network, encoder, network.classes
        clf.class_weight_ = np.ones(len(network.classes)) if class_weight is None else class_weight
        clf.calibration_, clf.selection_, clf.schema_ = None, (), self.schema_
        clf.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            clf.feature_names_in_ = self.feature_names_in_
        return clf

    def save(self, path: FilePath | IO[bytes], table: TableInfo | None = None) -> None:
        """Write the network of the largest budget to a JSON model file, which `bdnn.load` reads as a `BDNNClassifier`.

        Parameters
        ----------
        path : path-like or binary file
            Where to write.
        table : TableInfo or None
            How the training table was read, if it came from a file.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If a label or a setting cannot be stored, or the file would be too large.
        OutputError
            (an OSError) If the file cannot be written.
        """
        check_is_fitted(self)
        save_model(path, self._contents(table))

    def _contents(self, table: TableInfo | None = None) -> Model:
        model = self.models_[max(self.models_)]
        settings = storable(model.get_params())
        settings["hidden_layer_sizes"] = list(self.network_.widths[:-1])
        return Model(self.network_, settings, self.result_, table, self.encoder_, schema=self.schema_)


def _budgets(given: object) -> tuple[int, ...]:
    """Return budgets, ascending, or raise InputError."""
    listed = [given] if isinstance(given, Integral) else given
    if isinstance(listed, Sequence | np.ndarray) and not isinstance(listed, str) and len(listed):
        whole = [each for each in listed if isinstance(each, Integral) and not isinstance(each, bool | np.bool_)]
        if len(whole) == len(listed) and all(1 <= int(each) <= _LARGEST_BUDGET for each in whole):
            return tuple(sorted({int(each) for each in whole}))
    raise InputError(f"max_bytes must be an integer from 1 to {_LARGEST_BUDGET}, or several, got {given!r}")


def _drawn(rows: Rows, most: int, seed: int) -> Indices | None:
    """Return as many rows at most, stratified; None for all."""
    if len(rows.y) <= most:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows.y))
    ranks = np.empty(len(order))
    for label in np.unique(rows.y):
        own = order[rows.y[order] == label]
        ranks[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(np.argsort(ranks, kind="stable")[:most])


def _folds(rows: Rows, seed: int) -> list[tuple[Indices, Indices]]:
    """Return rows to train on and rows to judge by."""
    some = _drawn(rows, _MOST_ROWS, seed)
    taken = np.arange(len(rows.y)) if some is None else some
    codes = np.unique(rows.y[taken], return_inverse=True)[1]
    if not np.any(np.bincount(codes) > 1):  # nothing to judge by
        return [(taken, taken)]
    found = folds_of_some(rows.X[taken], codes, seed)
    if len(taken) > _FEW_ROWS:
        found = found[:_FOLDS_OF_MANY]
    return [(taken[training], taken[held_out]) for training, held_out in found]


def _audited(
    clf: BDNNClassifier,
    data: tuple[Reals, Array, Floats | None],
    chosen: Chosen,
    budget: Budget,
    interrupted: bool,
) -> Result:
    """Return the result of a network that was found otherwise: its loss on all rows."""
    (inputs, labels, weight), network = data, chosen.placed.network
    problem = Problem(
        X=inputs, y=labels, sample_weight=weight, hidden_layer_sizes=network.widths[:-1], weights="integer",
        weight_bound=clf.weight_bound, head=network.head, input_bits=clf.input_bits,
        feature_names=chosen.placed.encoder.network_names, copy=False,
    )  # fmt: skip
    run = Run(problem, budget, None)
    run.submit(network, "compact")
    result = run.result("compact", f"within {chosen.max_bytes} bytes: {chosen.text}", interrupted)
    return replace(result, validation_accuracy=chosen.accuracy)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
