"""Ensembles of binarized networks: many small ones that vote, each on some classes or some features."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError, ModelFileError, PackedError
from bdnn.estimators.base import generator_of, storable
from bdnn.estimators.class_weights import by_label, class_weights, row_weights
from bdnn.estimators.classifier import BDNNClassifier, from_model
from bdnn.estimators.devices import Exportable
from bdnn.estimators.held_out import held_out_rows
from bdnn.estimators.inputs import encoded, fitted_encoder, options_of
from bdnn.estimators.member_training import Training, trained_members
from bdnn.estimators.members import (
    Task,
    check_contents,
    check_members,
    check_random,
    is_integer,
    outputs_of,
)
from bdnn.estimators.probabilities import ProbabilisticClassifier, own_time
from bdnn.estimators.selection import with_usual_sizes
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.model_file.packed import ensemble_size, unpack
from bdnn.model_file.reading import load_any
from bdnn.model_file.writing import save_model
from bdnn.network.schema import Schema
from bdnn.problem.problem import choice, positive_integer

if TYPE_CHECKING:
    from bdnn.files import FilePath
    from bdnn.types import Array, Floats, Integers, Reals

SCHEMES = ("one_vs_one", "one_vs_rest", "multiclass")
VOTINGS = ("majority", "sum")
HIDDEN = ("trained", "random", "comparisons")

_ENCODER_SEED = 0  # seed of the parts of the rows on which missing bits are tried; any will do
_DEFAULT_HIDDEN = (32,)  # neurons: members are many, and small ones train fast


class BDNNEnsembleClassifier(Exportable, ProbabilisticClassifier):
    """Ensemble of binarized networks that vote.

    With little data, many small networks on different random features generalize better than one network of the same
    total size.

    Parameters
    ----------
    estimator : BDNNClassifier or None, default=None
        Settings of the members, and of the encoder that they share; None for 32 hidden neurons and ternary weights,
        trained by local search. ``hidden_layer_sizes="auto"`` is (2,) here, as members have no time to choose. Its
        time limit, threads and seed are set by the ensemble.
    scheme : {"one_vs_one", "one_vs_rest", "multiclass"}, default="multiclass"
        What a member decides: between two classes, between one class and all others, or among all.
    n_estimators : int, default=10
        Members for each pair of classes, for each class, or in all.
    max_features : int or float, default=1.0
        Inputs of a member, drawn at random without replacement: a number, or a fraction of all.
    voting : {"majority", "sum"}, default="sum"
        "majority": each member has one vote, for the class that it predicts; a one-vs-rest member votes only if that is
        its class. Ties are broken by the sums of the "sum" rule, and what is still equal goes to the lower class.
        "sum": a member adds its output pre-activations to the classes of its outputs; one that decides between two
        classes adds its decision value to the second and subtracts it from the first (one-vs-rest: adds it to its
        class). That is the pre-activation a of a single output, or the lead of the second of two; for integer weights
        2 a + 1 or 2 lead - 1, since a >= 0 means the second class, and so does a lead >= 1. Equal sums go to the lower
        class. Votes and, with integer weights, sums are integers and exact; sums of continuous weights are rounded to
        doubles, in the order of the members.
    hidden : {"trained", "random", "comparisons"}, default="trained"
        "trained": each member is trained by itself. The others draw hidden layers at random and train the outputs of
        all members that decide the same together, as one layer on the signals of all their hidden neurons; they need
        integer weights and voting "sum". Many members of few features and few neurons are then fast to train, and
        often better on few rows. Weights are drawn from all integers up to the bound but 0. "random": thresholds lie
        midway between two random rows. "comparisons": they are 0, so that a neuron tells whether some features add up
        to at least as much as others, which does not change if all of them are multiplied by the same number. This
        suits features of one kind that are 0 where there is nothing, such as the pixels of images.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss of every member, by label, as in `BDNNClassifier`; "balanced" gives all
        classes the same total weight on all rows. "balanced" in the settings of the members balances what each of them
        decides between.
    probability : bool, "cross_fit" or "held_out", default=False
        Whether there are calibrated probabilities (`predict_proba`), and by which rows, as in `BDNNClassifier`: all,
        by four more ensembles in half of the time, or a quarter that no member is trained on.
    time_limit : float or None, default=60.0
        Seconds for the whole fit, shared evenly among the members that are still to be trained; None for no limit.
    n_jobs : int or None, default=None
        Members that are trained at the same time, counted as joblib counts: None means what `joblib.parallel_config`
        says or else 1, -1 all processors that may be used, -2 all but one. They are trained by threads, unless
        `joblib.parallel_config` names processes or a cluster.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    members_ : tuple of bdnn.model_file.EnsembleMember
        Networks and their inputs. Classes of a network are codes: indices into `classes_`; those of a one-vs-rest
        member -1 (the others) and the code of its class.
    encoder_ : bdnn.encoding.encoder.Encoder
        How columns become inputs.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    class_weight_ : ndarray of shape (n_classes,)
        Weight of each class in the loss, before those of the samples.
    calibration_ : Calibration or None
        How probabilities come from sums and votes, if they were asked for.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had string column names.

    References
    ----------
    One-vs-one ensembles of binarized networks for few images: A. Bernardelli, S. Gualandi, H. C. Lau and S. Milanesi,
    The BeMi Stardust: a Structured Ensemble of Binarized Neural Networks, LION 2023, arXiv:2212.03659. Random neurons:
    A. Rahimi and B. Recht, Weighted sums of random kitchen sinks, NIPS 2008; with thresholds 0 they measure angles:
    Y. Cho and L. K. Saul, Kernel methods for deep learning, NIPS 2009.

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
        hidden: str = "trained",
        class_weight: Mapping[Any, float] | str | None = None,
        probability: bool | str = False,
        time_limit: float | None = 60.0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.scheme = scheme
        self.n_estimators = n_estimators
        self.max_features = max_features
        self.voting = voting
        self.hidden = hidden
        self.class_weight = class_weight
        self.probability = probability
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike | RawTable, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train all members.

        Ctrl-C ends the training: members that decide among all classes and are not trained yet are left out, and all
        others get the least possible time.

        Parameters
        ----------
        X, y, sample_weight : array-like
            As for `bdnn.BDNNClassifier.fit`.

        Returns
        -------
        BDNNEnsembleClassifier
            This estimator.

        Raises
        ------
        InputError
            (a ValueError) If a setting or the data cannot be used.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the time was too short for more than closing the gaps of members.
        """
        budget = self._budget()
        choice("scheme", self.scheme, SCHEMES)
        choice("voting", self.voting, VOTINGS)
        choice("hidden", self.hidden, HIDDEN)
        positive_integer("n_estimators", self.n_estimators)
        if self.estimator is not None and not isinstance(self.estimator, BDNNClassifier):
            raise InputError(f"estimator must be a BDNNClassifier or None, got {self.estimator!r}")
        if self.hidden != "trained":
            check_random(self._settings(), self.hidden, self.voting)
        options_of(self._settings())
        columns, labels, weight = self._training_data(X, y, sample_weight, self._settings())
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y must hold at least two classes, got one class: {self.classes_.tolist()[0]!r}")
        check_members(self._settings())
        generator, seed = generator_of(self.random_state), self._seed_of_rows()
        everything = (columns, labels, weight)
        training, held_out = held_out_rows(columns, labels, {"probability": self.probability}, seed)
        self.encoder_ = fitted_encoder(self, columns, labels, training, self._settings(), _ENCODER_SEED)
        inputs = encoded(self.encoder_, columns)
        inputs, codes, weight = inputs[training], codes[training], None if weight is None else weight[training]
        weights = class_weights(self.class_weight, self.classes_, codes, weight)
        weight = row_weights(weights, codes, weight)
        if weight is not None and not weight.any():
            raise InputError("sample_weight and class_weight must not be zero in every row")
        self.class_weight_ = np.ones(len(self.classes_)) if weights is None else weights
        limits, budget = budget, own_time(budget, self.probability)
        tasks = self._tasks(generator)
        together = 1 if self.hidden == "trained" else self.n_estimators
        groups = [tasks[start : start + together] for start in range(0, len(tasks), together)]
        training_data = Training(self._settings(), inputs, codes, weight, self.scheme, self.hidden)
        members, short, self._interrupted = trained_members(training_data, groups, budget, self._stop)
        self.members_ = tuple(members)
        if not self._interrupted and self._warns:
            self._warn(f"{what} ({count} of {len(groups)} training runs)" for what, count in sorted(short.items()))
        self._calibrate(*everything, held_out, replace(limits, seed=seed))
        return self

    def _settings(self) -> BDNNClassifier:
        if self.estimator is not None:
            return with_usual_sizes(self.estimator)
        return BDNNClassifier(_DEFAULT_HIDDEN, method="local_search", weights="integer")

    def _tasks(self, rng: np.random.RandomState) -> list[Task]:
        C, n, most = len(self.classes_), self.encoder_.n_inputs, self.max_features
        if isinstance(most, bool) or not isinstance(most, Real) or not 0 < most <= (n if is_integer(most) else 1):
            raise InputError(
                f"max_features must be an integer from 1 to the number of inputs ({n}) or a part of them above 0.0 "
                f"and up to 1.0, got {most!r}"
            )
        used = int(most) if is_integer(most) else max(1, round(float(most) * n))
        groups: Iterable[tuple[int, ...]] = [tuple(range(C))]
        if self.scheme == "one_vs_one":
            groups = itertools.combinations(range(C), 2)
        elif self.scheme == "one_vs_rest":
            groups = [(-1, c) for c in range(C)]
        return [
            Task(group, np.sort(rng.permutation(n)[:used]), int(rng.randint(2**31 - 1)))
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
        """Bytes of the packed networks and of what they share, as `bdnn.Network` counts them: without the encoder."""
        check_is_fitted(self)
        model = self._contents()
        return ensemble_size(model, Schema.plain(None, model.n_features, self.classes_.tolist()))

    def votes(self, X: ArrayLike | RawTable) -> tuple[Integers, Floats]:
        """Count the votes and add the outputs, as described under `voting`.

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
        return self._counted(X)

    def _counted(self, X: ArrayLike | RawTable, with_votes: bool = True) -> tuple[Integers, Floats]:
        """Return votes, 0 if not wanted, and sums; see `votes`."""
        return self._counted_inputs(self._inputs(X), with_votes)

    def _counted_inputs(self, inputs: Reals, with_votes: bool = True) -> tuple[Integers, Floats]:
        """Return the same of checked inputs."""
        inputs = inputs.astype(np.float64, copy=False)
        rows, shape = np.arange(len(inputs)), (len(inputs), len(self.classes_))
        votes, sums = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        for member in self.members_:
            every = len(member.features) == inputs.shape[1]
            values, codes = inputs if every else inputs[:, member.features], member.network.classes
            outputs = outputs_of(member.network, values)
            for column, code in enumerate(codes):
                if code >= 0:
                    sums[:, code] += outputs[:, column]
            if with_votes:
                chosen = codes[member.network.predict_index(values)]
                votes[rows[chosen >= 0], chosen[chosen >= 0]] += 1
        return votes, sums

    def calibration_values(self, inputs: Reals) -> Floats:
        """Return sums and votes, for checked inputs."""
        votes, sums = self._counted_inputs(inputs)
        return np.hstack([sums, votes])

    def decision_function(self, X: ArrayLike | RawTable) -> Floats:
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
        majority = self.voting == "majority"
        votes, sums = self._counted(X, with_votes=majority)
        scores = sums
        if majority:
            # how many classes have a smaller sum
            scores = votes + (sums[:, :, None] > sums[:, None, :]).sum(axis=2) / len(self.classes_)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike | RawTable) -> Array:
        """Return the predicted label of each row of X, shape (n_samples,)."""
        scores = self.decision_function(X)
        index = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: Array = self.classes_[index]
        return labels

    def save(self, path: FilePath | IO[bytes]) -> None:
        """Write the fitted ensemble to a JSON file; `bdnn.load` reads it.

        Parameters
        ----------
        path : path-like or binary file
            Where to write.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the ensemble is not fitted.
        InputError
            If a label or a setting cannot be stored, or the file would be too large.
        OutputError
            (an OSError) If the file cannot be written.
        """
        check_is_fitted(self)
        save_model(path, self._contents())

    def _contents(self) -> EnsembleModel:
        """Return what a model file holds."""
        return EnsembleModel(
            self.classes_,
            self.encoder_.n_inputs,
            self.encoder_.network_names,
            self.members_,
            storable({name: value for name, value in self.get_params(deep=False).items() if name != "estimator"}),
            storable(self._settings().get_params()),
            self.encoder_,
            calibration=self.calibration_,
        )


def load(path: str | os.PathLike[str]) -> BDNNClassifier | BDNNEnsembleClassifier:
    """Read a model file as a fitted classifier.

    Parameters
    ----------
    path : path-like
        A file written by `BDNNClassifier.save`, `BDNNEnsembleClassifier.save` or ``bdnn train``.

    Returns
    -------
    BDNNClassifier or BDNNEnsembleClassifier
        A fitted classifier; a BDNNClassifier has `result_` if the file does.

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
        return ensemble_of(model)
    except InputError as error:
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: {error}") from None


def from_bytes(data: bytes, schema: Schema) -> BDNNClassifier | BDNNEnsembleClassifier:
    """Return the fitted classifier of packed bytes.

    Parameters
    ----------
    data : bytes
        What `to_bytes` of a classifier returned.
    schema : Schema
        The one that they were made with: columns and labels, which are not part of the bytes.

    Returns
    -------
    BDNNClassifier or BDNNEnsembleClassifier
        It takes the same columns and predicts the same; of the training it knows nothing.

    Raises
    ------
    PackedError
        (a ValueError) If the bytes hold no model of this schema.
    """
    model = unpack(data, schema)
    if isinstance(model, Model):
        return from_model(model)
    try:
        return ensemble_of(model)
    except InputError as error:
        raise PackedError(f"these bytes are no model of this schema: {error}") from None


def ensemble_of(model: EnsembleModel) -> BDNNEnsembleClassifier:
    """Return the contents of a file as a fitted ensemble, or raise InputError if they do not fit one another."""
    allowed = set(BDNNEnsembleClassifier().get_params(deep=False)) - {"estimator"}
    unknown = sorted((set(model.settings) - allowed) | (set(model.estimator) - set(BDNNClassifier().get_params())))
    if unknown:
        raise InputError(f"unknown setting {unknown[0][:40]!r}")
    settings = dict(model.settings)
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = by_label(settings["class_weight"], model.classes)
    ensemble = BDNNEnsembleClassifier(BDNNClassifier(**model.estimator), **settings)
    choice("scheme", ensemble.scheme, SCHEMES)
    choice("voting", ensemble.voting, VOTINGS)
    choice("hidden", ensemble.hidden, HIDDEN)
    check_contents(model)
    encoder = model.encoder_in_use
    ensemble.calibration_ = model.calibration
    ensemble.classes_, ensemble.encoder_, ensemble.members_ = model.classes, encoder, model.members
    ensemble.n_features_in_ = len(encoder.columns)
    if encoder.named:
        ensemble.feature_names_in_ = np.array(encoder.names, dtype=object)
    return ensemble
