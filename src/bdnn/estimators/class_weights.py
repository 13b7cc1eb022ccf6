"""Weights of classes in the loss, as numbers whose sums over rows are exact."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.checker.class_weight import class_weight_part
from bdnn.errors import InputError
from bdnn.labels import listed, text_codes
from bdnn.network.losses import step

if TYPE_CHECKING:
    from bdnn.result import Result
    from bdnn.types import Array, Floats, Indices

BALANCED = "balanced"

# up to here products of weights are integer multiples of one unit for `bdnn.network.losses.step`, and so are losses
_LARGEST_MULTIPLE = 2**30
# binary digits of rounded weights: their error is below a millionth of the largest
_DIGITS = 20


def class_weights(
    class_weight: object, classes: Array, codes: Indices, sample_weight: Floats | None = None
) -> Floats | None:
    """Return the weight of each class.

    Parameters
    ----------
    class_weight : None, "balanced" or mapping of label to float
        As the estimators take it. Labels are also found by their text; those that are left out weigh 1.
    classes : ndarray of shape (n_classes,)
        Labels.
    codes : ndarray of shape (m,)
        Index into `classes` of each row.
    sample_weight : ndarray of shape (m,) or None
        Weights of the rows.

    Returns
    -------
    ndarray of shape (n_classes,) or None
        None if `class_weight` is None.

    Raises
    ------
    InputError
        If `class_weight` is not as described, or names something that is not a class.

    Notes
    -----
    Weights that are integers times a common power of two, below 2^30, or integers below 2^53, are taken as they are.
    Others are rounded to multiples of 2^-20 of the least power of two above the largest, so that sums of them are exact
    and certificates can be written; a class that weighs less than half of that counts as 0, with a warning.

    Balanced weights give all classes the same total weight, and the sum of all rows a weight near what it was before.
    With totals n_c before, they are lcm(n) / n_c times a power of two, so that the ratio is exact and every sum of them
    is, as long as these integers, times the sample weights in their unit, stay below 2^30. Otherwise they are
    Σ n / (k n_c) for k classes, rounded to a multiple of 2^-20, or of a larger power of two where they reach 2^10.

    Examples
    --------
    >>> class_weights("balanced", np.array(["no", "yes"]), np.array([0, 0, 0, 1])).tolist()
    [0.5, 1.5]
    >>> class_weights({"yes": 5}, np.array(["no", "yes"]), np.array([0, 1])).tolist()
    [1.0, 5.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == BALANCED:
        return _balanced(len(classes), codes, sample_weight)
    if not isinstance(class_weight, Mapping):
        raise InputError(
            f"class_weight must be None, 'balanced' or a dict of weights by label, got {_shown(class_weight)}"
        )
    weights = np.ones(len(classes))
    for label, weight in class_weight.items():
        if isinstance(weight, bool | np.bool_) or not isinstance(weight, Real) or not 0 <= float(weight) < math.inf:
            raise InputError(
                f"class_weight must hold finite numbers that are not negative, got {_shown(weight)} for class "
                f"{_shown(label)}"
            )
        weights[code_of(label, classes, "class_weight")] = float(weight)
    if not weights.any():
        raise InputError("class_weight must not be 0 for every class: some class must count")
    kept = weights if step(weights) > 0 else _rounded(weights, _DIGITS - _exponent(weights))
    if nothing := classes[(weights > 0) & (kept == 0)].tolist():
        warnings.warn(
            f"class_weight of {listed(nothing)} is less than a millionth of the largest and counts as 0", stacklevel=4
        )
    return kept


def code_of(label: object, classes: Array, what: str) -> int:
    """Return the index in the classes of a label or its text, or raise InputError, which says that `what` named it."""
    values = classes.tolist()
    plain: Any = label.item() if isinstance(label, np.generic) else label
    for code, value in enumerate(values):
        if isinstance(value, str) == isinstance(plain, str) and value == plain:
            return code
    code = int(text_codes([plain], classes)[0]) if isinstance(plain, str) else -1
    if code < 0:
        raise InputError(f"{what} names {_shown(label)}, which is no class; the classes are {listed(values)}")
    return code


def training_weights(
    class_weight: object, labels: Array, sample_weight: Floats | None, rows: slice | Indices
) -> tuple[Floats | None, Floats | None]:
    """Return the weights in the loss of some rows, and those of the classes; None if there are none."""
    own = None if sample_weight is None else sample_weight[rows]
    if class_weight is None:
        return own, None
    classes, codes = np.unique(labels, return_inverse=True)
    weights = class_weights(class_weight, classes, codes[rows], own)
    return row_weights(weights, codes[rows], own), weights


def validation_weights(class_weight: object, labels: Array, rows: Indices) -> tuple[Floats, ...]:
    """Return the weights of held-out rows in the accuracy by which a network is chosen, if they do not count alike.

    Balanced weights are those of the held-out rows, so that their accuracy is the balanced one.
    """
    weights, _ = training_weights(class_weight, labels, None, rows)
    return () if weights is None else (weights,)


def row_weights(weights: Floats | None, codes: Indices, sample_weight: Floats | None) -> Floats | None:
    """Return the weights of rows in the loss: those of their classes times their own; None if there are none."""
    if weights is None:
        return sample_weight
    return weights[codes] if sample_weight is None else weights[codes] * sample_weight


def with_class_weight(result: Result, weights: Floats | None, class_weight: object) -> Result:
    """Return a result that says how classes were weighted, as its certificate does."""
    if weights is None:
        return result
    certificate = result.certificate
    if certificate is not None:
        part = class_weight_part(weights, class_weight == BALANCED)
        certificate = certificate | {"version": max(3, certificate["version"]), "table": None, "class_weight": part}
    return replace(result, class_weight=tuple(weights.tolist()), certificate=certificate)


def by_label(stored: Mapping[str, Any], classes: Array) -> dict[Any, Any]:
    """Replace the keys of a mapping, which are labels as text, with the labels themselves."""
    labels = classes.tolist()
    return {labels[code_of(text, classes, "class_weight")]: value for text, value in stored.items()}


def _balanced(n_classes: int, codes: Indices, sample_weight: Floats | None) -> Floats:
    if sample_weight is None:
        unit, largest = 1.0, 1
        totals = [Fraction(int(count)) for count in np.bincount(codes, minlength=n_classes)]
    else:
        unit = step(sample_weight) if sample_weight.any() else 0.0
        largest = int(sample_weight.max() / unit) if unit else 0
        totals = [_total(sample_weight[codes == code], unit) for code in range(n_classes)]
    present = [code for code, total in enumerate(totals) if total > 0]  # the others have no rows of positive weight
    weights = np.ones(n_classes)
    everything, k = sum(totals), len(present)
    if unit:
        multiples = [int(totals[code] / Fraction(unit)) for code in present]
        common = math.lcm(*multiples)
        # the products have no more digits than their integers, and those of the unit
        units = largest * Fraction(unit).numerator
        if units * max(common // n for n in multiples) < _LARGEST_MULTIPLE:
            power = round(math.log2(Fraction(common * k, sum(multiples))))
            weights[present] = [math.ldexp(float(common // n), -power) for n in multiples]
            return weights
    exact = np.array([float(everything / (k * totals[code])) for code in present])
    digits = min(_DIGITS, _LARGEST_MULTIPLE.bit_length() - 1 - _exponent(exact))
    weights[present] = np.maximum(_rounded(exact, digits), math.ldexp(1.0, -digits))  # none is rounded away
    return weights


def _rounded(weights: Floats, digits: int) -> Floats:
    """Return weights as multiples of 2^-digits."""
    return np.ldexp(np.rint(np.ldexp(weights, digits)), -digits)


def _exponent(weights: Floats) -> int:
    """Return the exponent of the least power of two above all weights."""
    return int(np.frexp(weights.max(initial=0.0))[1])


def _total(weights: Floats, unit: float) -> Fraction:
    """Return a sum of weights: exact if they are multiples of a unit, else correctly rounded."""
    if not unit:
        return Fraction(math.fsum(weights))
    return sum((int(w) for w in np.rint(weights / unit).tolist()), 0) * Fraction(unit)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
