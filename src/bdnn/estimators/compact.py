"""The scikit-learn interface of the search for the best network within a number of bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.compact.choice import Search
from bdnn.compact.inputs import Source
from bdnn.compact.outcome import Chosen
from bdnn.compact.proposals import Rows
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.estimators.base import seed_of, storable
from bdnn.estimators.class_weights import training_weights, with_class_weight
from bdnn.estimators.classifier import BDNNClassifier
from bdnn.estimators.devices import Exportable
from bdnn.estimators.fitted import FittedNetwork
from bdnn.estimators.frames import Categorical
from bdnn.estimators.held_out import drawn, folds_of_some, held_out_rows
from bdnn.estimators.inputs import encoded, fitted_encoder, options_of
from bdnn.estimators.probabilities import UNCALIBRATED, own_time
from bdnn.libraries import limited_threads
from bdnn.methods.run import Run
from bdnn.model_file.contents import Model, TableInfo
from bdnn.network.schema import Schema
from bdnn.problem.problem import Problem, checked_weights
from bdnn.stopping import Stop, Teller

if TYPE_CHECKING:
    from bdnn.compact.plans import Plan
    from bdnn.compact.training import Retraining
    from bdnn.encoding.encoder import Encoder
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
    most important inputs, behind them there may be a hidden layer, of neurons that are searched for, or of rules that
    the leaves of boosted trees propose; or boosted trees are the network as they are, each leaf a hidden neuron. The
    network that is returned is an ordinary one with an ordinary encoder: it can be certified, exported and reported on.

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
    probability : bool, "cross_fit" or "held_out", default=False
        As for `bdnn.BDNNClassifier`; the networks of the folds are made as the network that was chosen is. The bytes of
        the network stay the same.

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
    calibration_, classes_, class_weight_, n_features_in_, feature_names_in_ : optional
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
        probability: bool | str = False,
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
        self.probability = probability

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
        X, y, sample_weight, feature_names : optional
            As for `bdnn.BDNNClassifier.fit`.
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
        if classes.dtype.kind in "mM":
            raise InputError(
                f"y holds labels of type {classes.dtype}, which have no place in packed bytes: give integers, floats, "
                "booleans or strings"
            )
        if len(classes) < 2:
            raise InputError(
                f"y must have at least two classes, got only 1 class, {classes[0]}; give rows of another one"
            )
        training, held_out = held_out_rows(columns, labels, {"probability": self.probability}, budget.seed)
        encoder = fitted_encoder(self, columns, labels, training, self, budget.seed)
        weight, class_weight = training_weights(self.class_weight, labels, given, training)
        if weight is not None and not weight.any():
            raise InputError("sample_weight and class_weight must not be zero in every row")
        inputs = np.asarray(encoded(encoder, columns), dtype=np.float64)
        _check_size(inputs, encoder)
        self.schema_ = Schema.of(_Encoding(encoder, classes), columns if isinstance(columns, RawTable) else inputs)
        inputs, codes = inputs[training], codes[training].astype(np.intp)
        # 1 on average, as trees and regressions weigh them against numbers of rows
        everything = Rows(inputs, codes, np.ones(len(codes)) if weight is None else weight / weight.mean())
        own = own_time(budget, self.probability)
        listener = on_progress or (_to_stderr if self.verbose else None)
        search = _search(everything, encoder, self.schema_, budgets, own, listener)
        with limited_threads(1):
            self.front_ = tuple(search.run())
            self.tried_, self._interrupted = search.tried, search.interrupted
            audited = columns, training, labels[training], weight
            self.models_ = {each.max_bytes: self._model(each, audited, class_weight, budget) for each in self.front_}
            calibrated = self._calibrated(search, everything, (columns, labels, given), held_out, budget)
        largest = self.models_[budgets[-1]]
        self.network_, self.encoder_, self.result_ = largest.network_, largest.encoder_, largest.result_
        self.classes_, self.class_weight_, self.calibration_ = classes, largest.class_weight_, largest.calibration_
        self.size_bytes_ = self.front_[-1].size_bytes
        unfinished = search.unfinished and not search.interrupted
        shortfalls = ["not everything was tried"] * unfinished + [UNCALIBRATED] * (not calibrated)
        if shortfalls:
            self._warn(shortfalls)
        return self

    def _model(
        self,
        chosen: Chosen,
        data: tuple[Reals | RawTable, slice | Indices, Array, Floats | None],
        class_weight: Floats | None,
        budget: Budget,
    ) -> BDNNClassifier:
        """Return the network of a budget as a fitted classifier, its loss audited on all rows of the training."""
        (columns, training, labels, weight), network = data, chosen.placed.network
        encoder = chosen.placed.encoder
        bound = max(1, *(int(np.abs(layer.weights).max(initial=0)) for layer in network.layers))
        clf = BDNNClassifier(
            network.widths[:-1], method="local_search", weights="integer", weight_bound=bound, head=network.head,
            input_bits=8 if network.grid is None else network.grid.bits,
            categorical_features=self.categorical_features, max_categories=self.max_categories,
            min_frequency=self.min_frequency, missing_indicator=self.missing_indicator, class_weight=self.class_weight,
            probability=self.probability, time_limit=self.time_limit, n_jobs=self.n_jobs,
            random_state=self.random_state,
        )  # fmt: skip
        inputs = encoded(encoder, columns, warns=False)[training]
        result = _audited(clf, (inputs, labels, weight), chosen, budget, self._interrupted)
        clf.result_ = with_class_weight(result, class_weight, self.class_weight)
        clf.network_, clf.encoder_, clf.classes_ = network, encoder, network.classes
        clf.class_weight_ = np.ones(len(network.classes)) if class_weight is None else class_weight
        clf.calibration_, clf.selection_, clf.schema_ = None, (), self.schema_
        clf.n_features_in_, clf._interrupted = self.n_features_in_, self._interrupted
        if hasattr(self, "feature_names_in_"):
            clf.feature_names_in_ = self.feature_names_in_
        return clf

    def _calibrated(
        self,
        search: Search,
        everything: Rows,
        data: tuple[Reals | RawTable, Array, Floats | None],
        held_out: Indices | None,
        budget: Budget,
    ) -> bool:
        """Calibrate the classifiers of all budgets, and return whether nothing fell short."""
        found: dict[int, BDNNClassifier] = {}
        for chosen in self.front_:
            clf = self.models_[chosen.max_bytes]
            same = found.setdefault(id(chosen.placed), clf)
            if same is not clf:
                clf.calibration_, clf.result_ = same.calibration_, same.result_
            elif not clf._calibrate(
                *data, held_out, budget, partial(_of_fold, search.retraining, everything, chosen.plan)
            ):
                clf.result_ = replace(clf.result_, shortfalls=(*clf.result_.shortfalls, UNCALIBRATED))
        return all(UNCALIBRATED not in clf.result_.shortfalls for clf in self.models_.values())

    def _contents(self, table: TableInfo | None = None) -> Model:
        model = self.models_[max(self.models_)]
        settings = storable(model.get_params())
        settings["hidden_layer_sizes"] = list(self.network_.widths[:-1])
        return Model(
            self.network_, settings, self.result_, table, self.encoder_, self.calibration_, schema=self.schema_
        )


def _of_fold(
    retraining: Retraining, everything: Rows, plan: Plan | None, rows: Indices, seconds: float, stop: Stop
) -> BDNNClassifier | None:
    """Return a classifier of some rows by the network of a plan, None if its training was interrupted."""
    budget = Budget(seconds=seconds, seed=retraining.seed).start()
    try:
        made = retraining(plan, _weighing(everything.take(rows)), budget, Teller(stop)).placed()
    except KeyboardInterrupt:
        if not stop.requested:
            raise
        return None
    clf = BDNNClassifier()
    clf.network_, clf.encoder_ = made.network, made.encoder
    return clf


def _budgets(given: object) -> tuple[int, ...]:
    """Return budgets, ascending, or raise InputError."""
    listed = [given] if isinstance(given, Integral) else given
    if isinstance(listed, Sequence | np.ndarray) and not isinstance(listed, str) and len(listed):
        whole = [each for each in listed if isinstance(each, Integral) and not isinstance(each, bool | np.bool_)]
        if len(whole) == len(listed) and all(1 <= int(each) <= _LARGEST_BUDGET for each in whole):
            return tuple(sorted({int(each) for each in whole}))
    raise InputError(f"max_bytes must be an integer from 1 to {_LARGEST_BUDGET}, or several, got {given!r}")


def _search(
    everything: Rows,
    encoder: Encoder,
    schema: Schema,
    budgets: tuple[int, ...],
    budget: Budget,
    listener: Callable[[str], None] | None,
) -> Search:
    """Return the search on all rows that count, or, if these are very many, on some."""
    rows = _weighing(everything)
    generator = np.random.default_rng(budget.seed)
    rows = rows.take(drawn(np.arange(len(rows.y)), rows.y, _MOST_LAST_ROWS, generator))
    source = Source.of(encoder, everything.X)
    return Search(rows, _folds(rows, budget.seed), source, schema, budgets, budget, listener)


def _weighing(rows: Rows) -> Rows:
    """Return the rows that have a weight."""
    return rows if rows.weight.all() else rows.take(np.flatnonzero(rows.weight))


def _folds(rows: Rows, seed: int) -> list[tuple[Indices, Indices]]:
    """Return rows to train on and rows to judge by."""
    taken = drawn(np.arange(len(rows.y)), rows.y, _MOST_ROWS, np.random.default_rng(seed))
    codes = np.unique(rows.y[taken], return_inverse=True)[1]
    if not np.any(np.bincount(codes) > 1):  # nothing to judge by
        return [(taken, taken)]
    found = folds_of_some(rows.X[taken], codes, seed, together=False)
    if len(taken) > _FEW_ROWS:
        found = found[:_FOLDS_OF_MANY]
    return [(taken[training], taken[held_out]) for training, held_out in found]


def _check_size(inputs: Floats, encoder: Encoder) -> None:
    """Raise InputError if values are too large for the trees that propose thresholds."""
    most = float(np.finfo(np.float32).max)
    if inputs.size and (largest := np.abs(inputs).max(axis=0)).max() > most:
        column = int(largest.argmax())
        names = encoder.network_names
        raise InputError(
            f"X holds values above {most:.2g} in column {names[column] if names else column}; rescale that column"
        )


def _audited(
    clf: BDNNClassifier,
    data: tuple[Reals, Array, Floats | None],
    chosen: Chosen,
    budget: Budget,
    interrupted: bool,
) -> Result:
    """Return the result of a network that was found otherwise: its loss on all rows."""
    (inputs, labels, weight), network = data, chosen.placed.network
    problem = partial(
        Problem, X=inputs, y=labels, sample_weight=weight, hidden_layer_sizes=network.widths[:-1],
        weight_bound=clf.weight_bound, head=network.head, input_bits=clf.input_bits,
        feature_names=chosen.placed.encoder.network_names, copy=False,
    )  # fmt: skip
    try:
        run = Run(problem(weights="integer"), budget, None)
    except InputError:  # the values are too large for integer weights, which a constant network does not look at
        run = Run(problem(weights="continuous"), budget, None)
    run.submit(network, "compact")
    result = run.result("compact", f"within {chosen.max_bytes} bytes: {chosen.text}", interrupted)
    return replace(result, validation_accuracy=chosen.accuracy)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
