"""A training problem: data, architecture and the set of networks that may be chosen. Validated once, then immutable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.arrays import distinct, real_numbers, row_blocks
from bdnn.checks import name_tuple
from bdnn.columns import in_order, names_of, numbers_in_order, quoted
from bdnn.errors import InputError
from bdnn.labels import label_array
from bdnn.network.losses import Head, Loss
from bdnn.problem.feature_limits import FeatureLimits, feature_limits
from bdnn.types import Floats, Indices, Norm, Reals, RobustModel

WeightSet = Literal["continuous", "integer"]
Regularizer = Literal["l1", "l0", "l2"]

_LARGEST_VALUE = 1e150  # squares, and sums of them, stay finite


def choice(what: str, value: object, accepted: Iterable[str]) -> None:
    """Raise InputError unless `value` is one of the accepted names."""
    names = tuple(accepted)
    if not isinstance(value, str) or value not in names:
        raise InputError(f"{what} must be one of {', '.join(map(repr, names))}, got {value!r}")


def positive_integer(what: str, value: object, most: int | None = None) -> int:
    """Return `value` as an int, or raise InputError unless it is an integer >= 1 (and <= `most`)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1 or (most and value > most):
        raise InputError(f"{what} must be a positive integer{f' up to {most}' if most else ''}, got {value!r}")
    return int(value)


MOST_NEURONS = 10_000
"""Of a hidden layer: more would take gigabytes, and more time than there is."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Problem:
    """Data and the class of networks to train on it.

    Parameters
    ----------
    X : array-like of shape (m, n)
        Inputs, finite and at most 1e150 in absolute value. An array of float32 is kept as it is, everything else
        becomes float64.
    y : array-like of shape (m,)
        Labels of at least two classes.
    sample_weight : array-like of shape (m,) or None
        Non-negative weights ω_i of the points in the loss; None for 1 each.
    hidden_layer_sizes : sequence of int
        Neurons of each hidden layer; () for none.
    head : {"auto", "threshold", "argmax"}
        Output layer; "auto" takes threshold for two classes and argmax for more. See `Network`.
    weights : {"continuous", "integer"}
        Continuous weights lie in [-1, 1] after scaling the inputs, which loses no generality; integer weights in
        {-weight_bound..weight_bound}. Biases are free, of the same kind.
    weight_bound : int
        P, for integer weights only, 1 (ternary) to 2**15.
    fit_intercept : bool
        Whether neurons have biases.
    margin : float or None
        Distance ε that every pre-activation of a training point keeps from 0, on inputs scaled to at most 1 in absolute
        value and weights scaled to at most 1; None chooses the smallest that is safe for the solver (1e-4 or more;
        below 1e-5 solvers were seen to return wrong bounds). Continuous weights only.
    input_bits : int
        Bits per input of the grid used for integer weights when an input is not an integer, 1 to 16.
    regularizer : {"l1", "l0", "l2"} or None
        Norm of the weights to keep small: sum of absolute values, number of non-zeros, or sum of squares, over all
        layers, biases left out; continuous weights are measured on scaled inputs.
    regularization : float or "lexicographic"
        Factor ρ of the regularizer, in units of sample weight; "lexicographic" minimizes the loss first and the
        regularizer second.
    robust_radius : float or array-like of shape (n,)
        Radius r of the ball around each training point on which the loss must hold: perturbations δ with ‖δ / r‖ <= 1,
        in units of the features; 0 for none. With an array, features with radius 0 are not perturbed.
    robust_norm : {"inf", "1", "2"}
        Norm of the ball.
    robust_model : {"interval", "pattern", "worst_case"}
        "interval": a point counts as right if its output is right whatever the neurons do that are not constant on its
        ball. "pattern" (the paper): the hidden neurons of the first layer must be constant on the ball of every
        training point. "worst_case": a point counts as right if and only if no input of its ball is decided wrong;
        this needs continuous weights, one output or an argmax head, and no regularizer.
    validation : tuple of array-like or None
        Held-out inputs of shape (v, n) and labels (v,), and weights (v,) if rows do not count alike; methods then
        return the network of highest accuracy, so weighted, on them.
    feature_names : sequence of str or None
        Names of the columns of X; None for those of a data frame.
    max_features : int or None
        Columns with a weight other than 0 in any neuron of the first layer, at most; None for any number.
    monotonic : dict of str to int, array-like of shape (n,) or None
        For each column 1, -1 or 0, as in scikit-learn's ``monotonic_cst``: with 1 the network can only go over to the
        second class as the column grows, with -1 only to the first one. The weights of the first layer have this sign,
        those of later layers are not negative. For two classes and a threshold head, without a radius.
    feature_groups : array-like of shape (n,) of int, or None
        Columns of X with the same number come from one column of a table, and count as one for `max_features`; None:
        every column by itself.
    copy : bool
        Whether arrays that somebody could write to are copied, which keeps the problem immutable. False takes them as
        they are where their layout allows, for callers who do not change them while the problem is in use. An array
        that is read-only, like the one it is a view of, is never copied.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    codes : ndarray of shape (m,)
        Index into `classes` of each label.
    limits : FeatureLimits
        `max_features`, `monotonic` and `feature_groups`.

    Raises
    ------
    InputError
        If anything is not as described.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, section 2.
    """

    X: ArrayLike
    y: ArrayLike
    sample_weight: ArrayLike | None = None
    hidden_layer_sizes: Sequence[int] = (2,)
    head: Literal["auto"] | Head = "auto"
    weights: WeightSet = "continuous"
    weight_bound: int = 1
    fit_intercept: bool = True
    margin: float | None = None
    input_bits: int = 8
    regularizer: Regularizer | None = None
    regularization: float | Literal["lexicographic"] = 0.0
    robust_radius: float | ArrayLike = 0.0
    robust_norm: Norm = "inf"
    robust_model: RobustModel = "interval"
    validation: tuple[ArrayLike, ...] | None = None
    feature_names: Sequence[str] | None = None
    max_features: int | None = None
    monotonic: Mapping[str, int] | ArrayLike | None = None
    feature_groups: ArrayLike | None = None
    copy: InitVar[bool] = True
    classes: NDArray[Any] = None  # type: ignore[assignment]  # derived
    codes: Indices = None  # type: ignore[assignment]  # derived
    limits: FeatureLimits = None  # type: ignore[assignment]  # derived

    def __post_init__(self, copy: bool) -> None:
        def put(name: str, value: object) -> None:
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

        X = _finite_matrix(self.X, copy, self.feature_names)
        m, n = X.shape
        put("feature_names", _feature_names(self.feature_names, self.X, n))
        y = label_array("y", self.y)
        if y.shape != (m,):
            raise InputError(f"y must have shape ({m},), one label per row of X, got {y.shape}")
        classes = distinct(y)
        if len(classes) < 2:
            raise InputError(f"training needs at least two classes in y, got only one class: {classes.tolist()!r}")
        put("X", X)
        codes = np.empty(m, dtype=np.intp)
        for rows in row_blocks(m, 1):
            codes[rows] = np.searchsorted(classes, y[rows])
        put("y", _own(y, self.y, copy))
        put("classes", classes)
        put("codes", codes)
        put("sample_weight", checked_weights(self.sample_weight, m, copy))
        put("hidden_layer_sizes", _sizes(self.hidden_layer_sizes))
        choice("head", self.head, ("auto", *get_args(Head)))
        if self.head == "auto":
            put("head", "threshold" if len(classes) == 2 else "argmax")
        choice("weights", self.weights, get_args(WeightSet))
        put("weight_bound", positive_integer("weight_bound", self.weight_bound, 2**15))
        put("input_bits", positive_integer("input_bits", self.input_bits, 16))
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise InputError(f"fit_intercept must be True or False, got {self.fit_intercept!r}")
        put("fit_intercept", bool(self.fit_intercept))
        if self.margin is not None:
            if self.weights == "integer":
                raise InputError("margin applies to continuous weights only; leave it as None for integer weights")
            if isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not 0 < self.margin < 1:
                raise InputError(f"margin must be None or a number between 0 and 1, got {self.margin!r}")
        self._check_regularizer()
        put("robust_radius", _radius(numbers_in_order("radii", self.robust_radius, self.feature_names), n))
        choice("robust_norm", self.robust_norm, get_args(Norm))
        choice("robust_model", self.robust_model, get_args(RobustModel))
        if self.robust and not self.fit_intercept:
            raise InputError("robust training needs biases: set fit_intercept=True, or robust_radius=0")
        if self.robust and self.robust_model == "worst_case":
            self._check_worst_case()
        limits = feature_limits(self.feature_labels, self.max_features, self.monotonic, self.feature_groups)
        put("limits", limits)
        if limits.signed:
            self._check_monotonic()
        if self.validation is not None:
            put("validation", _validation(self.validation, self.feature_names, n, classes, copy))

    def _check_regularizer(self) -> None:
        factor = self.regularization
        number = isinstance(factor, int | float) and not isinstance(factor, bool) and 0 <= factor < np.inf
        if factor != "lexicographic" and not number:
            raise InputError(f"regularization must be a non-negative number or 'lexicographic', got {factor!r}")
        if self.regularizer is not None:
            choice("regularizer", self.regularizer, get_args(Regularizer))
        if (self.regularizer is None) != (factor == 0):
            raise InputError(
                f"regularizer {self.regularizer!r} cannot be combined with regularization {factor!r}: give a name "
                f"(l1, l0, l2) and a positive factor or 'lexicographic', or neither (None and 0)"
            )

    def _check_monotonic(self) -> None:
        refused = {
            f"{len(self.classes)} classes": len(self.classes) > 2,
            "an argmax head": self.head == "argmax",
            "a robust radius": self.robust,
        }
        for what, given in refused.items():
            if given:
                raise InputError(
                    f"monotonic does not support {what}; it needs two classes, a threshold head (head='auto' takes "
                    f"one), and robust_radius=0"
                )

    def _check_worst_case(self) -> None:
        refused = {
            "integer weights": self.weights == "integer",
            "a threshold head with an output for each of several classes": self.head == "threshold"
            and self.n_outputs > 1,
            "a regularizer": self.regularizer is not None,
        }
        for what, given in refused.items():
            if given:
                raise InputError(
                    f"robust_model='worst_case' does not support {what}; it needs continuous weights, two classes or "
                    f"an argmax head, and no regularizer; 'interval' supports all"
                )

    @property
    def robust(self) -> bool:
        """Whether there is a radius."""
        return bool(np.any(np.asarray(self.robust_radius) > 0))

    @property
    def penalty_factor(self) -> float:
        """ρ, 0 if there is no regularizer or it comes second."""
        return 0.0 if self.regularization == "lexicographic" else float(self.regularization)

    @property
    def loss(self) -> Loss:
        """What the outputs of its networks cost."""
        return Loss(self.head, len(self.classes))  # type: ignore[arg-type]  # 'auto' was resolved

    @property
    def n_outputs(self) -> int:
        """Neurons of the output layer: 1 for two classes with a threshold head, else one per class."""
        return self.loss.n_outputs

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each layer, outputs included."""
        return (*self.hidden_layer_sizes, self.n_outputs)

    @property
    def feature_labels(self) -> list[str]:
        """Names of the columns, ``x0``, ``x1``, … if none were given."""
        return list(self.feature_names or (f"x{j}" for j in range(np.shape(self.X)[1])))


def _feature_names(given: Sequence[str] | None, X: object, n: int) -> tuple[str, ...] | None:
    """Return the names that are given for the columns of X, or those that a data frame brings, which must agree."""
    names, own = name_tuple("feature_names", given, n), names_of(X)
    if own is None or not all(isinstance(name, str) for name in own):
        return names
    if names is not None and names != own:
        raise InputError(
            f"feature_names are {quoted(names)}, but the columns of X are {quoted(own)}; leave feature_names out"
        )
    return own


def _own(values: NDArray[Any], given: object, copy: bool) -> NDArray[Any]:
    """Return `values`, which were made of what was given, as a C-contiguous read-only array that nobody else changes.

    They are copied unless they are a copy already, nobody can write to them, or the caller does not want it.
    """
    converted = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.dtype != values.dtype)
    if not values.flags.c_contiguous or (copy and not converted and not _is_frozen(values)):
        values = np.array(values, order="C")
    elif not converted:
        values = values.view()  # so that the caller's array stays writeable
    values.setflags(write=False)
    return values


def _is_frozen(values: NDArray[Any]) -> bool:
    """Whether an array and all that it is a view of are read-only."""
    owner: object = values
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    return owner is None or isinstance(owner, bytes)


def _finite_matrix(X: ArrayLike, copy: bool, names: Sequence[str] | None = None) -> Reals:
    values = real_numbers("X", X, single=True)
    if values.ndim != 2 or values.shape[0] < 1:
        raise InputError(f"X must have shape (m, n) with at least one row, got {values.shape}")
    values = _own(values, X, copy)
    with np.errstate(invalid="ignore"):
        blocks = (values[rows] for rows in row_blocks(*values.shape))
        extremes = np.array([(block.min(initial=0.0), block.max(initial=0.0)) for block in blocks], dtype=np.float64)
    # asked so that NaN fails, too
    if np.all(np.abs(extremes) <= _LARGEST_VALUE):
        return values
    if not np.all(np.isfinite(values)):
        bad = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"X holds NaN or infinity (first in row {bad[0]}, column {bad[1]}); remove or impute such values"
        )
    column = int(np.argmax(np.abs(values).max(axis=0)))
    raise InputError(
        f"X holds values above {_LARGEST_VALUE:g} in column {_in_words(column, names)}; rescale that column"
    )


def _in_words(column: int, names: Sequence[str] | None) -> str:
    return f"{column} (from 0)" if names is None or column >= len(names) else repr(names[column])


def checked_weights(sample_weight: ArrayLike | None, m: int, copy: bool) -> Floats:
    """Return weights of m rows, or raise InputError if they are none; 1 for None."""
    if sample_weight is None:
        # takes no memory
        return np.broadcast_to(np.float64(1.0), (m,))
    w = _own(real_numbers("sample_weight", sample_weight), sample_weight, copy)
    if w.shape != (m,):
        raise InputError(f"sample_weight must have shape ({m},), got {w.shape}")
    bad = ~np.isfinite(w) | (w < 0)
    if np.any(bad):
        raise InputError(f"sample_weight must be finite and non-negative, got {w[bad][0]} for row {np.argmax(bad)}")
    with np.errstate(over="ignore"):
        total = w.sum()
    if not 0 < total <= _LARGEST_VALUE:
        raise InputError(
            f"sample_weight must not be zero in every row and must have a positive sum of at most {_LARGEST_VALUE:g}, "
            f"got {total}"
        )
    return w


def _radius(radius: float | ArrayLike, n: int) -> Floats:
    """Return one radius per feature."""
    values = real_numbers("robust_radius", radius)
    if values.shape not in ((), (n,)):
        raise InputError(f"robust_radius must be a number or have one entry per column ({n},), got {values.shape}")
    values = np.array(np.broadcast_to(values, (n,)))
    if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values > _LARGEST_VALUE):
        bad = values[~(np.isfinite(values) & (values >= 0))]
        raise InputError(f"robust_radius must be finite and not negative, got {bad[0] if len(bad) else values.max()}")
    return values


def _validation(
    validation: tuple[ArrayLike, ...],
    names: Sequence[str] | None,
    n: int,
    classes: NDArray[Any],
    copy: bool,
) -> tuple[Reals, Indices, Floats]:
    """Return inputs, codes and weights."""
    if not isinstance(validation, tuple) or len(validation) not in (2, 3):
        raise InputError("validation must be a pair of inputs and labels, or these and weights, or None")
    inputs = in_order("validation inputs", validation[0], names)
    X, y = _finite_matrix(inputs, copy), label_array("validation labels", validation[1])
    if X.shape[1] != n or y.shape != (len(X),):
        raise InputError(f"validation must have shapes (v, {n}) and (v,), got {X.shape} and {y.shape}")
    if not np.all(np.isin(y, classes)):
        raise InputError("validation holds labels that do not occur in y")
    codes = np.searchsorted(classes, y)
    codes.setflags(write=False)
    return X, codes, checked_weights(validation[2] if len(validation) > 2 else None, len(X), copy)


def _sizes(sizes: Sequence[int] | int) -> tuple[int, ...]:
    listed = (sizes,) if isinstance(sizes, int | np.integer) else sizes
    if isinstance(listed, str) or not np.iterable(listed):
        raise InputError(f"hidden_layer_sizes must be a sequence of positive integers, got {sizes!r}")
    return tuple(positive_integer("each hidden layer size", size, MOST_NEURONS) for size in listed)
