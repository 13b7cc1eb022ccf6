"""Ensembles of binarized networks: many small ones, each of some classes or some features, that vote."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from bdnn.budget import Budget
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators import BDNNClassifier, from_model
from bdnn.io import EnsembleMember, EnsembleModel, load_any, save_model
from bdnn.network import Array, Floats, Network
from bdnn.problem import choice, positive_integer

SCHEMES = ("one_vs_one", "one_vs_rest", "multiclass")
VOTINGS = ("majority", "sum")

_DEFAULT_HIDDEN = (32,)


class _Task(NamedTuple):
    """A member to be trained: the codes of its classes, its features and its seed."""

    classes: tuple[int, ...]
    features: NDArray[np.intp]
    seed: int


class BDNNEnsembleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Ensemble of binarized networks that vote.

    With few data, many small networks of different random features generalise better than one of the same size.

    Parameters
    ----------
    estimator : BDNNClassifier or None, default=None
        Settings of the members; None for 32 hidden neurons and ternary weights, trained by local search. Its time
        limit, threads and seed are set by the ensemble.
    scheme : {"one_vs_one", "one_vs_rest", "multiclass"}, default="multiclass"
        What a member decides: between two classes, between one class and all others, or among all.
    n_estimators : int, default=10
        Members for each pair of classes, for each class, or in all.
    max_features : int or float, default=1.0
        Features of a member, drawn at random without replacement: a number, or a part of all.
    voting : {"majority", "sum"}, default="sum"
        "majority": each member has one vote, for the class that it predicts; a one-vs-rest member votes only if that is
        its class. Ties are broken by the sums of the "sum" rule, and what is still equal goes to the lower class.
        "sum": a member adds its output pre-activations to the classes of its outputs; one that decides between two
        classes adds its decision value to the second and subtracts it from the first (one-vs-rest: adds it to its
        class). That is the pre-activation a of a single output, or the lead of the second of two; for integer weights
        2 a + 1 or 2 lead - 1, since a >= 0 means the second class, and so does a lead >= 1. Equal sums go to the lower
        class. Votes and, with integer weights, sums are integers and exact; sums of continuous weights are rounded to
        doubles, in the order of the members.
    time_limit : float or None, default=60.0
        Seconds for the whole fit, shared evenly among the members that are still to be trained; None for no limit.
    n_jobs : int or None, default=1
        Members that are trained at the same time; None means 1, -1 all cores.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    members_ : tuple of bdnn.io.EnsembleMember
        Networks and their features. Classes of a network are codes: indices into `classes_`; those of a one-vs-rest
        member -1 (the others) and the code of its class.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string column names.

    References
    ----------
    One-vs-one ensembles of binarized networks for few images: A. Bernardelli, S. Gualandi, H. C. Lau and S. Milanesi,
    The BeMi Stardust: a Structured Ensemble of Binarized Neural Networks, LION 2023, arXiv:2212.03659.

    Examples
    --------
    >>> from bdnn import BDNNClassifier, BDNNEnsembleClassifier
    >>> X, y = [[0, 0], [0, 3], [3, 0], [3, 3]], ["low", "left", "right", "high"]
    >>> ternary = BDNNClassifier((), weights="integer")
    >>> pairs = BDNNEnsembleClassifier(ternary, "one_vs_one", n_estimators=1, voting="majority", random_state=0)
    >>> pairs.fit(X, y).predict([[0, 4], [4, 4]]).tolist()
    ['left', 'high']
    >>> len(pairs.members_), pairs.n_parameters
    (6, 18)
    """

    def __init__(
        self,
        estimator: BDNNClassifier | None = None,
        scheme: str = "multiclass",
        n_estimators: int = 10,
        max_features: float = 1.0,
        voting: str = "sum",
        time_limit: float | None = 60.0,
        n_jobs: int | None = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.scheme = scheme
        self.n_estimators = n_estimators
        self.max_features = max_features
        self.voting = voting
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train all members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, finite numbers.
        y : array-like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_samples,) or None
            Non-negative weights of the samples in the loss.

        Returns
        -------
        BDNNEnsembleClassifier
            This estimator.

        Raises
        ------
        InputError
            (a ValueError) If a setting or the data cannot be used.
        """
        limit = math.inf if self.time_limit is None else self.time_limit
        if isinstance(limit, np.integer | np.floating):
            limit = limit.item()
        jobs = 1 if self.n_jobs is None else self.n_jobs
        threads = (os.cpu_count() or 1) if jobs == -1 else positive_integer("n_jobs (or -1 for all cores)", jobs)
        budget = Budget(seconds=limit, threads=threads).start()
        choice("scheme", self.scheme, SCHEMES)
        choice("voting", self.voting, VOTINGS)
        positive_integer("n_estimators", self.n_estimators)
        if self.estimator is not None and not isinstance(self.estimator, BDNNClassifier):
            raise InputError(f"estimator must be a BDNNClassifier or None, got {self.estimator!r}")
        inputs, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True)
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y must hold at least two classes, got one class: {self.classes_[0]!r}")
        weight = None
        if sample_weight is not None:
            given = np.full(len(codes), sample_weight) if np.isscalar(sample_weight) else sample_weight
            weight = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
            if weight.shape != (len(codes),):
                raise InputError(f"sample_weight must have shape ({len(codes)},), got {weight.shape}")
        tasks = self._tasks(check_random_state(self.random_state))
        prepare(self._settings(), inputs, budget)

        def train(task: _Task, number: int) -> EnsembleMember:
            rounds = math.ceil((len(tasks) - number) / budget.threads)
            seconds = None if math.isinf(budget.remaining) else max(budget.remaining / rounds, 1e-3)
            rows, targets = _part_of(task, codes, self.scheme)
            clf = clone(self._settings()).set_params(random_state=task.seed, n_jobs=1, time_limit=seconds)
            clf.fit(inputs[np.ix_(rows, task.features)], targets, None if weight is None else weight[rows])
            return EnsembleMember(clf.network_, task.features)

        self.members_ = tuple(_in_order(train, tasks, budget.threads))
        return self

    def _settings(self) -> BDNNClassifier:
        if self.estimator is not None:
            return self.estimator
        return BDNNClassifier(_DEFAULT_HIDDEN, method="local_search", weights="integer")

    def _tasks(self, rng: np.random.RandomState) -> list[_Task]:
        C, n, most = len(self.classes_), self.n_features_in_, self.max_features
        if isinstance(most, bool) or not isinstance(most, Real) or not 0 < most <= (n if _whole(most) else 1):
            raise InputError(
                f"max_features must be an integer from 1 to the number of features ({n}) or a part of them above 0.0 "
                f"and up to 1.0, got {most!r}"
            )
        used = int(most) if _whole(most) else max(1, round(float(most) * n))
        groups: Iterable[tuple[int, ...]] = [tuple(range(C))]
        if self.scheme == "one_vs_one":
            groups = itertools.combinations(range(C), 2)
        elif self.scheme == "one_vs_rest":
            groups = [(-1, c) for c in range(C)]
        return [
            _Task(group, np.sort(rng.permutation(n)[:used]), int(rng.randint(2**31 - 1)))
            for group in groups
            for _ in range(self.n_estimators)
        ]

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases of all members, zeros included."""
        check_is_fitted(self)
        return sum(member.network.n_parameters for member in self.members_)

    @property
    def size_bytes(self) -> int:
        """Bytes of all members, see `bdnn.Network`, and a bit per feature for each that does not take all."""
        check_is_fitted(self)
        mask = math.ceil(self.n_features_in_ / 8)
        return sum(
            member.network.size_bytes + (mask if len(member.features) < self.n_features_in_ else 0)
            for member in self.members_
        )

    def votes(self, X: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
        """Count the votes and add the outputs, as described at `voting`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        votes : ndarray of shape (n_samples, n_classes), int64
            Members that vote for each class.
        sums : ndarray of shape (n_samples, n_classes)
            Sums of outputs.
        """
        check_is_fitted(self)
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        shape = (len(inputs), len(self.classes_))
        votes, sums = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        rows = np.arange(len(inputs))
        for member in self.members_:
            every = len(member.features) == inputs.shape[1]
            codes, index, outputs = _decided(member.network, inputs if every else inputs[:, member.features])
            for column, code in enumerate(codes):
                if code >= 0:
                    sums[:, code] += outputs[:, column]
            chosen = codes[index]
            votes[rows[chosen >= 0], chosen[chosen >= 0]] += 1
        return votes, sums

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return a score of each class whose largest value, the first of equal ones, is the prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Sums of outputs, or votes and, below 1, the rank of the sum among the sums of all classes. Two classes: the
            difference of the two, > 0 for the second class.
        """
        votes, sums = self.votes(X)
        scores = sums
        if self.voting == "majority":
            # how many classes have a smaller sum
            scores = votes + (sums[:, :, None] > sums[:, None, :]).sum(axis=2) / len(self.classes_)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> Array:
        """Return the predicted label of each row of X, shape (n_samples,)."""
        scores = self.decision_function(X)
        index = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: Array = self.classes_[index]
        return labels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted ensemble to a JSON file; `bdnn.load` reads it.

        Parameters
        ----------
        path : path-like
            Where to.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the ensemble is not fitted.
        InputError
            If a label or a setting cannot be stored.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        model = EnsembleModel(
            self.classes_,
            self.n_features_in_,
            None if names is None else tuple(map(str, names)),
            self.members_,
            _storable(self.get_params(deep=False), without="estimator"),
            _storable(self._settings().get_params()),
        )
        save_model(path, model)


def load(path: str | os.PathLike[str]) -> BDNNClassifier | BDNNEnsembleClassifier:
    """Read a model file as a fitted classifier.

    Parameters
    ----------
    path : path-like
        A file written by `BDNNClassifier.save`, `BDNNEnsembleClassifier.save` or ``bdnn train``.

    Returns
    -------
    BDNNClassifier or BDNNEnsembleClassifier
        Fitted; the `result_` of a BDNNClassifier is there if the file has it.

    Raises
    ------
    ModelFileError
        If the file is damaged, hostile, of another kind or of an unknown version.
    OSError
        If it cannot be read.
    """
    model = load_any(path)
    if not isinstance(model, EnsembleModel):
        return from_model(model, path)
    try:
        return _from_ensemble(model)
    except InputError as error:
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: {error}") from None


def prepare(estimator: BDNNClassifier, X: Array, budget: Budget) -> None:
    """Compile the search for members before their clocks run, which is done once on a machine.

    Parameters
    ----------
    estimator : BDNNClassifier
        Settings of the members.
    X : ndarray of shape (m, n)
        Inputs.
    budget : Budget
        Limits of the whole fit.
    """
    if estimator.method in ("auto", "local_search") or estimator.incumbents == "search":
        from bdnn.search.points import dtype_of
        from bdnn.search.ready import ready

        robust = bool(np.any(np.asarray(estimator.robust_radius, dtype=object) != 0))
        ready(np.dtype(dtype_of(X.size)), robust, budget)


def _from_ensemble(model: EnsembleModel) -> BDNNEnsembleClassifier:
    allowed = set(BDNNEnsembleClassifier().get_params(deep=False)) - {"estimator"}
    unknown = sorted((set(model.settings) - allowed) | (set(model.estimator) - set(BDNNClassifier().get_params())))
    if unknown:
        raise InputError(f"unknown setting {unknown[0][:40]!r}")
    ensemble = BDNNEnsembleClassifier(BDNNClassifier(**model.estimator), **model.settings)
    choice("scheme", ensemble.scheme, SCHEMES)
    choice("voting", ensemble.voting, VOTINGS)
    known, C = set(range(-1, len(model.classes))), len(model.classes)
    if C < 2 or len(set(model.classes.tolist())) != C:
        raise InputError(f"classes must be at least two different labels, got {model.classes.tolist()!r}"[:200])
    for number, member in enumerate(model.members, start=1):
        codes = member.network.classes
        if codes.dtype.kind != "i" or not set(codes.tolist()) <= known:
            raise InputError(f"the classes of member {number} must be integers from -1 to {C - 1}")
    if not model.members:
        raise InputError("an ensemble needs at least one member")
    ensemble.classes_, ensemble.n_features_in_, ensemble.members_ = model.classes, model.n_features, model.members
    if model.feature_names is not None:
        ensemble.feature_names_in_ = np.array(model.feature_names, dtype=object)
    return ensemble


def _whole(value: object) -> bool:
    return isinstance(value, Integral)


def _part_of(task: _Task, codes: NDArray[np.intp], scheme: str) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the rows that a member is trained on and their targets: codes of classes, or -1 for the rest."""
    if scheme == "one_vs_rest":
        return np.arange(len(codes)), np.where(codes == task.classes[1], codes, -1).astype(np.int64)
    rows = np.flatnonzero(np.isin(codes, task.classes))
    return rows, codes[rows].astype(np.int64)


def _in_order(
    train: Callable[[_Task, int], EnsembleMember], tasks: list[_Task], threads: int
) -> Iterator[EnsembleMember]:
    numbers = range(len(tasks))
    if threads == 1:
        yield from map(train, tasks, numbers)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(train, tasks, numbers)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decided(network: Network, X: Array) -> tuple[NDArray[np.int64], NDArray[np.intp], Floats]:
    """Return the codes of a member's classes, the index of the one it predicts, and one output for each."""
    outputs = network.decision_function(X)
    if outputs.ndim == 1:
        value = 2 * outputs + 1 if network.is_integer else outputs
        return network.classes, (outputs >= 0).astype(np.intp), np.stack([-value, value], axis=1)
    if outputs.shape[1] == 2:
        lead = outputs[:, 1] - outputs[:, 0]
        value = 2 * lead - 1 if network.is_integer else lead
        outputs = np.stack([-value, value], axis=1)
    return network.classes, network.predict_index(X), outputs


def _storable(settings: dict[str, Any], without: str = "") -> dict[str, Any]:
    """Return settings as scalars and lists."""
    stored = {name: value for name, value in settings.items() if name != without}
    for name, value in stored.items():
        if isinstance(value, np.random.RandomState):
            value = None  # a generator has moved on; it cannot be stored
        elif isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, float) and math.isinf(value):
            value = None
        stored[name] = list(value) if isinstance(value, tuple) else value
    return stored
