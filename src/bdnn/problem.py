"""A training problem: data, architecture and the set of networks that may be chosen. Validated once, then immutable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.checks import label_array, name_tuple, real_numbers
from bdnn.errors import InputError
from bdnn.network import Floats, Head

WeightSet = Literal["continuous", "integer"]

_LARGEST_VALUE = 1e150


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


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Problem:
    """Data and the class of networks to train on it.

    Parameters
    ----------
    X : array-like of shape (m, n)
        Inputs, finite and at most 1e150 in absolute value.
    y : array-like of shape (m,)
        Labels of at least two classes.
    sample_weight : array-like of shape (m,) or None
        Non-negative weights ω_i of the points in the loss; None for 1 each.
    hidden_layer_sizes : sequence of int
        Neurons of each hidden layer; () for none.
    head : {"auto", "threshold", "argmax"}
        Output layer; "auto" takes threshold for two classes and argmax for more. See `Network`.
    weights : {"continuous", "integer"}
        Continuous weights lie in [-1, 1] after scaling the inputs, which is no loss of generality; integer weights in
        {-weight_bound..weight_bound}. Biases are free, of the same kind.
    weight_bound : int
        P, for integer weights only, 1 (ternary) to 2**15.
    fit_intercept : bool
        Whether neurons have biases.
    margin : float or None
        Distance ε that every pre-activation of a training point keeps from 0, on inputs scaled to at most 1 in absolute
        value and weights scaled to at most 1; None chooses the smallest that is safe for the solver. Continuous weights
        only.
    input_bits : int
        Bits per input of the grid used for integer weights when an input is not an integer, 1 to 16.
    feature_names : sequence of str or None
        Names of the columns of X.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    codes : ndarray of shape (m,)
        Index into `classes` of each label.

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
    feature_names: Sequence[str] | None = None
    classes: NDArray[Any] = None  # type: ignore[assignment]  # derived
    codes: NDArray[np.intp] = None  # type: ignore[assignment]  # derived

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

        X = _finite_matrix(self.X)
        m, n = X.shape
        y = label_array("y", self.y)
        if y.shape != (m,):
            raise InputError(f"y must have shape ({m},), one label per row of X, got {y.shape}")
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"training needs at least two classes in y, got one class only: {classes.tolist()!r}")
        put("X", X)
        put("y", y.copy())
        put("classes", classes)
        put("codes", codes.ravel())
        put("sample_weight", _weights(self.sample_weight, m))
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
                raise InputError("margin applies to continuous weights only; leave it None for integer weights")
            if isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not 0 < self.margin < 1:
                raise InputError(f"margin must be None or a number between 0 and 1, got {self.margin!r}")
        put("feature_names", name_tuple("feature_names", self.feature_names, n))

    @property
    def n_outputs(self) -> int:
        """Neurons of the output layer: 1 for two classes with a threshold head, else one per class."""
        return 1 if self.head == "threshold" and len(self.classes) == 2 else len(self.classes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each layer, outputs included."""
        return (*self.hidden_layer_sizes, self.n_outputs)

    @property
    def feature_labels(self) -> list[str]:
        """Names of the columns, ``x0``, ``x1``, … if none were given."""
        return list(self.feature_names or (f"x{j}" for j in range(np.shape(self.X)[1])))


def _finite_matrix(X: ArrayLike) -> Floats:
    values = np.array(real_numbers("X", X), order="C")
    if values.ndim != 2 or values.shape[0] < 1:
        raise InputError(f"X must have shape (m, n) with at least one row, got {values.shape}")
    if not np.all(np.isfinite(values)):
        bad = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"X holds NaN or infinity (first in row {bad[0]}, column {bad[1]}); remove or impute such values"
        )
    if np.any(np.abs(values) > _LARGEST_VALUE):
        column = int(np.argmax(np.abs(values).max(axis=0)))
        raise InputError(f"X holds values above {_LARGEST_VALUE:g} in column {column}; rescale that column")
    return values


def _weights(sample_weight: ArrayLike | None, m: int) -> Floats:
    if sample_weight is None:
        return np.ones(m)
    w = real_numbers("sample_weight", sample_weight).copy()
    if w.shape != (m,):
        raise InputError(f"sample_weight must have shape ({m},), got {w.shape}")
    bad = ~np.isfinite(w) | (w < 0)
    if np.any(bad):
        raise InputError(f"sample_weight must be finite and non-negative, got {w[bad][0]} for row {np.argmax(bad)}")
    with np.errstate(over="ignore"):
        total = w.sum()
    if not 0 < total <= _LARGEST_VALUE:
        raise InputError(
            f"sample_weight must not be zero in every row but have a positive sum of at most {_LARGEST_VALUE:g}, "
            f"got {total}"
        )
    return w


def _sizes(sizes: Sequence[int] | int) -> tuple[int, ...]:
    listed = (sizes,) if isinstance(sizes, int | np.integer) else sizes
    if isinstance(listed, str) or not np.iterable(listed):
        raise InputError(f"hidden_layer_sizes must be a sequence of positive integers, got {sizes!r}")
    return tuple(positive_integer("each hidden layer size", size) for size in listed)
