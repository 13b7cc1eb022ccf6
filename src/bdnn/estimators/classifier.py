"""The scikit-learn interface: validate, make a Problem, run a method, keep the Network. It has no mathematics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators import memory
from bdnn.estimators.base import seed_of, storable
from bdnn.estimators.class_weights import by_label, training_weights, validation_weights, with_class_weight
from bdnn.estimators.devices import Exportable
from bdnn.estimators.fitted import FittedNetwork
from bdnn.estimators.frames import Categorical
from bdnn.estimators.held_out import held_out_rows
from bdnn.estimators.inputs import (
    encoded,
    made_encoder,
    options_of,
    radius_of_inputs,
    signs_of_inputs,
)
from bdnn.estimators.operating_point import moved, wanted_point
from bdnn.estimators.partitioned import fit_rows, fits_in_memory
from bdnn.estimators.probabilities import UNCALIBRATED, own_time
from bdnn.estimators.row_sources import fit_to_rows, is_rows
from bdnn.estimators.selection import chooses, chosen, usual_sizes
from bdnn.estimators.shape_trials import Inputs, Tried
from bdnn.libraries import limited_threads
from bdnn.methods import automatic, check_settings, method_for
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.worst_case import AttackAndRepair
from bdnn.model_file.contents import Model, TableInfo
from bdnn.problem.problem import Problem
from bdnn.problem.shapes import AUTO
from bdnn.progress import ProgressLines
from bdnn.stopping import Teller

if TYPE_CHECKING:
    from bdnn.estimators.partitioned import RowSource
    from bdnn.network.network import Network
    from bdnn.status import ProgressCallback

# parameters that a problem takes, and checks, as they are
_AS_GIVEN = (
    "head", "weights", "weight_bound", "fit_intercept", "margin", "input_bits", "regularizer",
    "regularization", "robust_norm", "robust_model", "max_features",
)  # fmt: skip


_MAPPINGS = ("class_weight", "decision_threshold", "monotonic")
"""Settings that may be objects."""


class BDNNClassifier(Exportable, FittedNetwork):
    """Binarized deep neural network, trained by mathematical optimization.

    Neurons fire 1 if their pre-activation is >= 0, otherwise 0. The reported loss is always recomputed with exact
    signs.

    Parameters
    ----------
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Neurons of each hidden layer; () for a single layer. "auto" tries none, 2, 4, 8, 16 and 32 neurons in the first
        part of the time, with the columns as they are and, if `thresholds` is None, with 16 thresholds for each number,
        and trains the shape of the highest accuracy on held-out rows, weighted as the loss is, on all rows; see
        `selection_`. Few rows are soon learned by heart, so it also chooses how long to search, and may end early. It
        is (2,) without a choice where a proof is near or another choice is made: with up to 100 different rows, methods
        but local search, a regularizer, `certificate`, `checkpoint`, a robust radius, `max_features`, `monotonic`, and
        less than a second of time; the layers of the network that a warm start goes on from.
    method : {"auto", "exact", "local_search", "alternating", "data_splitting"}, default="auto"
        How to train. "exact": mixed-integer program, with a bound on the loss of every network of the class.
        "local_search": exact line searches in weight space, for any amount of data; they reach by far the best loss in
        a given time.
        "alternating": programs for one layer or neuron at a time. "data_splitting": programs in which clusters of
        points share their activations. "auto" is "exact" for small problems and "local_search" for all others.
    weights : {"continuous", "integer"}, default="continuous"
        Kind of weights and biases.
    weight_bound : int, default=1
        Integer weights lie in {-weight_bound..weight_bound}; 1 is ternary. Biases are free integers. Continuous weights
        need no bound.
    fit_intercept : bool, default=True
        Whether neurons have biases.
    head : {"auto", "threshold", "argmax"}, default="auto"
        Output layer; "auto" is threshold for two classes and argmax for more. See `bdnn.Network`.
    formulation : {"auto", "activation", "big_m", "enumeration"}, default="auto"
        Exact method: "activation" is our own branch and cut, for continuous weights with biases and at most one
        hidden layer, of up to five neurons with two classes and of up to three with more; "big_m" is the program of
        the paper; "enumeration" goes through all networks: without hidden layer for integer weights or few features,
        with two hidden neurons for at most two features.
        "auto" uses the first where it can, and the last where it is quick, unless a solver is named.
    solver : {"auto", "highs", "scip", "cpsat", "gurobi"}, default="auto"
        Solver of the programs; "auto" uses the fastest that is installed and can do what is needed. "cpsat"
        accepts only integer weights.
    regularizer : {"l1", "l0", "l2"} or None, default=None
        Keep the weights small: sum of absolute values, number of non-zeros or sum of squares ("l2" needs SCIP, Gurobi,
        or CP-SAT with integer weights).
    regularization : float or "lexicographic", default=0.0
        Factor of the regularizer, in units of sample weight; "lexicographic" minimizes the loss first and then the
        regularizer.
    max_splits : int, default=20
        Data splitting: how often a cluster is split.
    splitter : {"kmeans", "svm"}, default="kmeans"
        Data splitting: how a cluster is split.
    batch_size : int or None, default=None
        Data splitting: random points per program; None for all.
    initial_clusters : {"one", "class"}, default="one"
        Data splitting: start with one cluster, or one per class.
    blocks : {"layers", "neurons"}, default="layers"
        Alternating: the parts that are solved for one at a time.
    n_starts : int, default=1
        Alternating and local search: number of starts. Those of a local search are independent and share the time.
    certificate : bool, default=False
        Exact method, formulation "activation": whether ``result_.certificate`` holds a proof that
        `bdnn.verify_certificate` can check without a solver; for two classes. It is an error with other methods.
    checkpoint : path-like or None, default=None
        Exact method, formulation "activation": file to which the state of the run is written, from the first second
        on and at least once a minute; if it exists, the run goes on from there.
    cluster : distributed.Client, str or None, default=None
        Exact method, formulation "activation": where subtrees are worked on: a client, an address or "local:N".
    incumbents : {"search", "none"}, default="search"
        The methods that solve programs: "search" begins with a short local search; "none" gives the plain method.
    polish : {"margin", "none"}, default="margin"
        Local search: "margin" moves every neuron to the separator of largest margin, which keeps all decisions on the
        training data and helps on other data.
    robust_radius : float or array-like of shape (n_features,), default=0.0
        Radius of the ball around each training point on which the loss must hold, for each feature, in its unit: a
        point counts as right only if no perturbation δ with ‖δ / r‖ <= 1 makes it wrong.
    robust_norm : {"inf", "1", "2"}, default="inf"
        Norm of the ball.
    robust_model : {"interval", "pattern", "worst_case"}, default="interval"
        "interval" is our model, "pattern" is the paper's, which is never better. "worst_case" counts a point as wrong
        only if an input of its ball is decided wrong: exact and data splitting train for it in a loop of attacks and
        repairs. See `bdnn.Problem`.
    validation_fraction : float, default=0.0
        Fraction of the data, stratified, that is held out; the network with the highest accuracy on it is kept (the
        paper takes 0.25 to 0.5), weighted by `class_weight`: "balanced" takes the balanced accuracy. Equal rows are
        held out together. 0 keeps the network of least loss.
    margin : float or None, default=None
        Least distance of pre-activations from 0 in training, for inputs and weights scaled to 1; None takes the
        smallest that is safe. Continuous weights only.
    input_bits : int, default=8
        Bits per input of the grid that quantizes inputs for integer weights, unless all inputs are integers.
    categorical_features : "from_dtype", None, or sequence, default="from_dtype"
        Columns that are categorical besides those of text: those whose type in a data frame is categorical; none, so
        that categories that are numbers are numbers; or those of a sequence of indices or names, or a mask.
    max_categories : int or None, default=20
        Most bits of a categorical column; the less frequent levels share one of them. None for no limit.
    min_frequency : int, float or None, default=None
        Least number of rows, or least part of the known ones, of a level with a bit of its own; None for 1.
    missing_indicator : {"auto", "always", "never"}, default="auto"
        Whether columns with missing values get a bit that says where. "auto": where frequencies of the classes among
        the training rows, cross-validated, say that it pays. Missing values are replaced in any case.
    thresholds : int or None, default=None
        Most bits x >= t that take the place of a numeric column, at quantiles; None for its value as it is, or what
        ``hidden_layer_sizes="auto"`` chooses.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, by label; labels that are left out weigh 1. "balanced" gives all classes the
        same total weight on the training rows, in an exact ratio where integers below 2^30 allow it.
    max_features : int or None, default=None
        Columns that the network may use, at most: those with a weight in any neuron of the first layer. None for any
        number.
    monotonic : dict of str to int, array-like of shape (n_features,) or None, default=None
        As ``monotonic_cst`` of scikit-learn: for columns by name, or for all of them, 1 where the second of `classes_`
        may only become more likely as the column grows, -1 where only less, 0 where it is free. For two classes. The
        weights of the first layer have these signs, and those of later layers are not negative.
    probability : bool, "cross_fit" or "held_out", default=False
        Whether there are calibrated probabilities (`predict_proba`), and by which rows. "cross_fit", or True, trains
        four more networks, each without a fold of the rows, in half of the time; the network itself is trained on all
        rows. "held_out" needs no more time, but a quarter of the rows, or those of `validation_fraction`.
    decision_threshold : dict or None, default=None
        Where two classes are told apart: {"recall": 0.9}, or a "precision" or "specificity" of the second class, or of
        the label that "positive" names. The bias of the output is moved so that held-out rows (a quarter, or those of
        `validation_fraction`) have that value or more, and the best counterpart; if none has, a warning says what can
        be reached. None keeps the network of the training.
    time_limit : float or None, default=60.0
        Seconds for the whole fit; None for no limit.
    n_jobs : int or None, default=None
        Threads of the solver, or starts of a local search, shapes and folds that are trained at the same time, counted
        as joblib counts: None means what `joblib.parallel_config` says or else 1, -1 all processors that may be used,
        -2 all but one. What is independent is done by threads, unless `joblib.parallel_config` names processes or a
        cluster; the same seed gives the same network, if the time does not end the search.
    random_state : int, RandomState instance or None, default=None
        Seed.
    warm_start : bool, default=False
        Whether to start from the network of the previous fit, with its columns found by name if both data have names;
        the new one is then never worse on the new data.
    verbose : int, default=0
        1 prints a line with every improvement to stderr.
    memory_limit : int, str or None, default=None
        Bytes, such as "4GB", for a fit to a data set (`bdnn.open_parquet`); if its rows do not fit, a sample is trained
        on and improved on all of them. None for half of the memory; see the guide.

    Attributes
    ----------
    network_ : Network
        The trained network; it alone predicts.
    encoder_ : bdnn.encoding.encoder.Encoder
        How columns become inputs of the network.
    selection_ : tuple of Tried
        With ``hidden_layer_sizes="auto"`` the shapes that were tried, the chosen one first: `hidden_layer_sizes`,
        `thresholds`, `accuracy` on held-out rows, the `rounds` of search that it is of, and `seconds`. Empty if none
        were.
    result_ : Result
        Status, audited loss, bound, gap and history of the training.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    class_weight_ : ndarray of shape (n_classes,)
        Weight of each class in the loss, before those of the samples.
    calibration_ : Calibration or None
        How probabilities come from pre-activations, if they were asked for.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had string column names.

    References
    ----------
    J. Kurtz and B. Bah, Efficient and Robust Mixed-Integer Optimization Methods for Training Binarized Deep Neural
    Networks, arXiv:2110.11382.

    Examples
    --------
    >>> from bdnn import BDNNClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["same", "differ", "differ", "same"]
    >>> clf = BDNNClassifier(hidden_layer_sizes=(2,), random_state=0).fit(X, y)
    >>> clf.predict([[1, 1], [0, 1]]).tolist()
    ['same', 'differ']
    >>> str(clf.result_.status), clf.result_.objective
    ('optimal', 0.0)
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] | str = AUTO,
        method: str = "auto",
        weights: str = "continuous",
        weight_bound: int = 1,
        fit_intercept: bool = True,
        head: str = "auto",
        formulation: str = "auto",
        solver: str = "auto",
        regularizer: str | None = None,
        regularization: float | str = 0.0,
        max_splits: int = 20,
        splitter: str = "kmeans",
        batch_size: int | None = None,
        initial_clusters: str = "one",
        blocks: str = "layers",
        n_starts: int = 1,
        certificate: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        cluster: object = None,
        incumbents: str = "search",
        polish: str = "margin",
        robust_radius: float | ArrayLike = 0.0,
        robust_norm: str = "inf",
        robust_model: str = "interval",
        validation_fraction: float = 0.0,
        margin: float | None = None,
        input_bits: int = 8,
        categorical_features: Categorical = "from_dtype",
        max_categories: int | None = 20,
        min_frequency: int | float | None = None,
        missing_indicator: str = "auto",
        thresholds: int | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        max_features: int | None = None,
        monotonic: Mapping[str, int] | ArrayLike | None = None,
        probability: bool | str = False,
        decision_threshold: Mapping[str, Any] | None = None,
        time_limit: float | None = 60.0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        memory_limit: int | str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.method = method
        self.weights = weights
        self.weight_bound = weight_bound
        self.fit_intercept = fit_intercept
        self.head = head
        self.formulation = formulation
        self.solver = solver
        self.regularizer = regularizer
        self.regularization = regularization
        self.max_splits = max_splits
        self.splitter = splitter
        self.batch_size = batch_size
        self.initial_clusters = initial_clusters
        self.blocks = blocks
        self.n_starts = n_starts
        self.certificate = certificate
        self.checkpoint = checkpoint
        self.cluster = cluster
        self.incumbents = incumbents
        self.polish = polish
        self.robust_radius = robust_radius
        self.robust_norm = robust_norm
        self.robust_model = robust_model
        self.validation_fraction = validation_fraction
        self.margin = margin
        self.input_bits = input_bits
        self.categorical_features = categorical_features
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.missing_indicator = missing_indicator
        self.thresholds = thresholds
        self.class_weight = class_weight
        self.max_features = max_features
        self.monotonic = monotonic
        self.probability = probability
        self.decision_threshold = decision_threshold
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.memory_limit = memory_limit

    def __sklearn_clone__(self) -> Self:
        cluster, self.cluster = self.cluster, None  # a client is not to be copied
        try:
            copied: Self = super().__sklearn_clone__()
        finally:
            self.cluster = cluster
        copied.cluster = cluster
        return copied

    def fit(
        self,
        X: ArrayLike | RawTable,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        feature_names: Sequence[str] | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), data frame or data set
            Columns of numbers, truth values, text, categories or dates, in which values may be missing.
        y : array-like of shape (n_samples,), or str
            Labels of at least two classes; of a data set the name of their column.
        sample_weight : array-like of shape (n_samples,), str or None
            Non-negative weights of the samples in the loss; of a data set the name of their column.
        feature_names : sequence of str or None
            Names of the columns of an array; a data frame brings its own.
        on_progress : callable or None
            Receives a `bdnn.status.Progress` several times a second.

        Returns
        -------
        BDNNClassifier
            This estimator.

        Raises
        ------
        InputError
            (a ValueError) If a setting or the data cannot be used.

        Warns
        -----
        UserWarning
            If a column gives no inputs.
        sklearn.exceptions.ConvergenceWarning
            If the time was too short for more than closing the gap; ``result_.shortfalls`` says what was cut off.
        """
        if is_rows(X):
            fit_to_rows(self, X, y, sample_weight, on_progress)
            return self
        check_settings(self)
        budget, *_ = self._budget(seed_of(self.random_state)), options_of(self), memory.bytes_of(self.memory_limit)
        columns, labels, weight = self._training_data(X, y, sample_weight, self, feature_names)
        wanted = None
        if self.decision_threshold is not None:
            wanted = wanted_point(self.decision_threshold, np.unique(labels))
            if self.certificate:
                raise InputError(
                    "certificate=True needs decision_threshold=None: the proof would be of the network before its "
                    "output was moved; leave either out"
                )
        training, held_out = held_out_rows(columns, labels, self.get_params(deep=False), budget.seed)
        encoder = made_encoder(self, columns, labels, training, budget.seed)
        given = Inputs(self.thresholds, encoder, encoded(encoder, columns))
        row_weight, class_weight = training_weights(self.class_weight, labels, weight, training)

        def problem_of(way: Inputs, sizes: Sequence[int]) -> Problem:
            encoder, inputs = way.encoder, way.inputs
            validation: tuple[Any, ...] | None = None
            if held_out is not None and self.validation_fraction:
                shares = validation_weights(self.class_weight, labels, held_out)
                validation = (inputs[held_out], labels[held_out], *shares)
            return Problem(
                X=inputs[training],
                y=labels[training],
                sample_weight=row_weight,
                hidden_layer_sizes=sizes,
                validation=validation,
                robust_radius=radius_of_inputs(encoder, self.robust_radius),
                monotonic=signs_of_inputs(encoder, self.monotonic),
                feature_groups=None if encoder.is_identity else encoder.column_of_input,
                feature_names=encoder.network_names,
                copy=False,  # the problem is not kept
                **{name: getattr(self, name) for name in _AS_GIVEN},
            )

        problem = problem_of(given, usual_sizes(self))
        method = method_for(self, problem)
        if problem.robust and self.robust_model == "worst_case":
            method = AttackAndRepair(method)
        start: Network | None = getattr(self, "network_", None) if self.warm_start else None
        listener = on_progress or (ProgressLines() if self.verbose else None)
        if self._stop is not None:
            listener = Teller(self._stop, listener)
        # more BLAS threads than were asked for would wait for each other on a busy machine
        with limited_threads(budget.threads, "blas"):
            own = own_time(budget, self.probability)
            self.selection_: tuple[Tried, ...] = ()
            searched = isinstance(method, LocalSearch) and automatic(problem) == LocalSearch.name  # no proof is near
            if searched and chooses(self, problem, own):
                found = chosen(self, (columns, labels, training), given, problem_of, method, own, listener)
                given, problem, self.selection_ = found.inputs, found.problem, found.tried
                result = found.train(listener)
            else:
                result = method(problem, own, start, listener)
        inputs, self.encoder_ = given.inputs, given.encoder
        result = with_class_weight(result, class_weight, self.class_weight)
        if wanted is not None and held_out is not None:
            rows = (inputs[held_out], labels[held_out], None if weight is None else weight[held_out])
            result = moved(result, problem, wanted, rows, warns=self._warns)
        self.result_, self.network_, self.classes_ = result, result.network, problem.classes
        self.__dict__.pop("schema_", None)  # of a network that was loaded
        self._interrupted = result.interrupted
        if not self._calibrate(columns, labels, weight, held_out, budget):
            self.result_ = replace(result, shortfalls=(*result.shortfalls, UNCALIBRATED))
        self.class_weight_ = np.ones(len(problem.classes)) if class_weight is None else class_weight
        if self._warns:
            self._warn(self.result_.shortfalls)
        return self

    _memory = memory  # for commands, which do not import estimators

    def _fits_in_memory(self, rows: RowSource, held_out: float = 0.0) -> bool:
        return fits_in_memory(self, rows, held_out)

    def _fit_rows(self, rows: RowSource, told: ProgressCallback | None, test_fraction: float, seed: int) -> None:
        fit_rows(self, rows, told, test_fraction, seed)

    def _shape(self) -> dict[str, Any]:
        """Return the parameters that give the shape of the network without a choice."""
        thresholds = self.selection_[0].thresholds if self.selection_ else self.thresholds
        return {"hidden_layer_sizes": self.network_.widths[:-1], "thresholds": thresholds}

    def _contents(self, table: TableInfo | None = None) -> Model:
        """Return the contents of a model file."""
        settings = storable(self.get_params())
        settings |= storable(self._shape())
        settings["robust_radius"] = np.asarray(self.robust_radius, dtype=float).tolist()
        result, schema = (getattr(self, name, None) for name in ("result_", "schema_"))
        return Model(self.network_, settings, result, table, self.encoder_, self.calibration_, schema)


def from_model(model: Model, path: str | os.PathLike[str] = "model") -> BDNNClassifier:
    """Return the contents of a model file as a fitted classifier; `path` is named in errors."""
    settings = dict(model.settings or {})
    simple = (str, int, float, type(None))
    listed = ("hidden_layer_sizes", "robust_radius", "categorical_features", *_MAPPINGS)
    unknown = set(settings) - set(BDNNClassifier().get_params())
    odd = [k for k, v in settings.items() if not isinstance(v, simple) and k not in listed]
    if unknown or odd:
        name = sorted(unknown or odd)[0]
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: unknown or malformed setting {name[:40]!r}")
    settings["hidden_layer_sizes"] = model.network.widths[:-1]
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = by_label(settings["class_weight"], model.network.classes)
    clf = BDNNClassifier(**settings)
    network, encoder = model.network, model.encoder_in_use
    clf.network_, clf.classes_, clf.encoder_ = network, network.classes, encoder
    clf.n_features_in_ = len(encoder.columns)
    clf.calibration_, clf.selection_ = model.calibration, ()
    if model.schema is not None:
        clf.schema_ = model.schema
    if model.result is not None:
        clf.result_ = model.result
        clf.class_weight_ = np.array(model.result.class_weight or np.ones(len(network.classes)))
    if encoder.named:
        clf.feature_names_in_ = np.array(encoder.names, dtype=object)
    return clf
