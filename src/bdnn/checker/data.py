"""The data as certificates see them: equal rows merged, weights as rationals, losses in exact arithmetic.

This module and its neighbors `bdnn.checker.file` and `bdnn.checker.check` are one independent checker: they share no
code with the training of networks, so that an error there cannot be repeated here and go unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.errors import CertificateError, InputError

Label = bool | int | float | str
Floats = NDArray[np.float64]
Real = float | Fraction
Layers = Sequence[tuple[Sequence[Sequence[Real]], Sequence[Real]]]


@dataclass(frozen=True, eq=False, slots=True)
class MergedData:
    """Different rows of positive weight in lexicographic order, and the points among them: those that are not tied.

    Losses of classifiers are ``base + unit * sum(costs[i] for wrong points i)``.

    Attributes
    ----------
    values : ndarray of shape (r, n)
        The different rows, first column compared first, no negative zeros.
    class_weights : tuple of pairs of Fraction
        Total sample weight of each of the two classes at each of these rows.
    classes : pair of bool, int, float or str
        Labels; output 1 of a network means the second one.
    n_rows : int
        Number of all rows, including those of weight zero.
    points : tuple of int
        Rows of `values` whose classes have different weights.
    signs : tuple of int
        For each point, +1 if the second class weighs more there, else -1.
    costs : tuple of int
        For each point, the difference of the weights in multiples of `unit`; their greatest common divisor is 1.
    unit : Fraction
        Largest number of which all differences are multiples; 1 if there are no points.
    base : Fraction
        Weight that no classifier gets right.
    """

    values: Floats
    class_weights: tuple[tuple[Fraction, Fraction], ...]
    classes: tuple[Label, Label]
    n_rows: int
    points: tuple[int, ...]
    signs: tuple[int, ...]
    costs: tuple[int, ...]
    unit: Fraction
    base: Fraction


def merged(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, classes: Sequence[Label] | None = None
) -> MergedData:
    """Return the data in the order and the units that certificates use.

    Parameters
    ----------
    X : array-like of shape (m, n)
        Finite inputs, which are taken exactly as the doubles that they are.
    y : array-like of shape (m,)
        Labels of two classes.
    sample_weight : array-like of shape (m,) or None
        Finite non-negative weights, as doubles; None for 1 each.
    classes : pair of labels or None
        The class of output 0 and that of output 1; None for the two labels of y in ascending order.

    Returns
    -------
    MergedData
        The merged data; rows of weight zero are counted but otherwise left out.

    Raises
    ------
    InputError
        If the data are not as described.
    CertificateError
        If `classes` are given and y holds another label.

    Examples
    --------
    >>> data = merged([[1.0], [0.0], [1.0], [2.0]], ["a", "b", "b", "b"], [1.0, 0.5, 2.0, 0.25])
    >>> data.values[:, 0].tolist(), data.signs, data.costs, data.unit, data.base
    ([0.0, 1.0, 2.0], (1, 1, 1), (2, 4, 1), Fraction(1, 4), Fraction(1, 1))
    """
    values = doubles("X", X)
    if values.ndim != 2 or not values.shape[0] or not values.shape[1]:
        raise InputError(f"X must have shape (m, n) with at least one row and one column, got {values.shape}")
    if not np.all(np.isfinite(values)):
        raise InputError("X holds NaN or infinity; a certificate is about finite numbers only")
    labels = _labels(y, len(values))
    pair = _two_labels(labels) if classes is None else (classes[0], classes[1])
    codes = _codes(labels, pair)
    weights, denominator = _integer_weights(sample_weight, len(values))
    used = np.array([w > 0 for w in weights])
    if not used.any():
        raise InputError("sample_weight must not be zero in every row")
    kept = np.flatnonzero(used)
    rows = values[kept] + 0.0  # which turns -0.0 into 0.0
    order = np.lexsort(rows.T[::-1])
    rows, kept = rows[order], kept[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = np.any(rows[1:] != rows[:-1], axis=1)
    totals = [[0, 0] for _ in range(int(first.sum()))]
    for row, place in zip(kept.tolist(), (np.cumsum(first) - 1).tolist(), strict=True):
        totals[place][codes[row]] += weights[row]
    points = tuple(k for k, (zero, one) in enumerate(totals) if zero != one)
    differences = [totals[k][1] - totals[k][0] for k in points]
    unit = math.gcd(*differences) if differences else denominator
    return MergedData(
        values=rows[first],
        class_weights=tuple((Fraction(zero, denominator), Fraction(one, denominator)) for zero, one in totals),
        classes=pair,
        n_rows=len(values),
        points=points,
        signs=tuple(1 if difference > 0 else -1 for difference in differences),
        costs=tuple(abs(difference) // unit for difference in differences),
        unit=Fraction(unit, denominator),
        base=Fraction(sum(min(pair) for pair in totals), denominator),
    )


def data_hash(data: MergedData) -> str:
    """Return the SHA-256 of the data, in hexadecimal digits; the order of the rows does not matter.

    Parameters
    ----------
    data : MergedData
        From `merged`.

    Returns
    -------
    str
        64 digits.

    Notes
    -----
    The bytes are three lines of ASCII, each ended by a line feed: ``bdnn-data 1``; the number of all rows, of columns
    and of different rows of positive weight; the classes as a JSON list. Then come, for each of those different rows,
    its numbers as IEEE doubles, most significant byte first, and a line with the weights of the two classes, rationals
    in lowest terms such as ``3`` or ``1/2``.
    """
    n_different, n_features = data.values.shape
    head = f"bdnn-data 1\n{data.n_rows} {n_features} {n_different}\n{json.dumps(list(data.classes), allow_nan=False)}\n"
    digest = hashlib.sha256(head.encode("ascii"))
    raw, width = data.values.astype(">f8").tobytes(), 8 * n_features
    for k, (zero, one) in enumerate(data.class_weights):
        digest.update(raw[k * width : (k + 1) * width])
        digest.update(f"{zero} {one}\n".encode("ascii"))
    return digest.hexdigest()


def integer_columns(values: Floats) -> tuple[list[list[int]], list[int]]:
    """Return the columns of an array of doubles as integers, and the power of two each column was multiplied by."""
    columns, shifts = [], []
    for column in values.T:
        if np.all(np.abs(column) < 2.0**53) and np.all(column == np.rint(column)):
            columns.append(column.astype(np.int64).tolist())
            shifts.append(0)
            continue
        ratios = [value.as_integer_ratio() for value in column.tolist()]
        shift = max(denominator for _, denominator in ratios).bit_length() - 1
        columns.append([top << (shift - bottom.bit_length() + 1) for top, bottom in ratios])
        shifts.append(shift)
    return columns, shifts


def network_loss(layers: Layers, data: MergedData, head: str = "threshold") -> Fraction:
    """Return the exact weight of the rows that a network of threshold neurons gets wrong.

    Parameters
    ----------
    layers : sequence of (weights, biases)
        Finite numbers; a neuron fires 1 if its pre-activation is >= 0 and else 0.
    data : MergedData
        The data that it is judged on.
    head : {"threshold", "argmax"}
        Threshold: one output, which fires for the second class. Argmax: two, of which the larger pre-activation wins,
        the first one if they are equal.

    Returns
    -------
    Fraction
        Its loss.
    """
    columns, shifts = integer_columns(data.values)
    signals: list[tuple[int, ...]] = list(zip(*columns, strict=True))
    fires_for = 1
    if head == "argmax":
        # a neuron that fires where the first output is not behind, which means the first class
        *hidden, ((first, second), (bias, other)) = layers
        ahead = [Fraction(a) - Fraction(b) for a, b in zip(first, second, strict=True)]
        layers, fires_for = [*hidden, ([ahead], [Fraction(bias) - Fraction(other)])], 0
    for weights, biases in layers:
        neurons = [
            _integer_neuron(row, bias, shifts or [0] * len(row)) for row, bias in zip(weights, biases, strict=True)
        ]
        # only a few patterns reach later layers
        fired = {
            signal: tuple(int(sum(map(mul, row, signal)) + bias >= 0) for row, bias in neurons)
            for signal in set(signals)
        }
        signals, shifts = [fired[signal] for signal in signals], []
    wrong = (pair[int(signal[0] != fires_for)] for pair, signal in zip(data.class_weights, signals, strict=True))
    return _sum(wrong)


def _integer_neuron(weights: Sequence[Real], bias: Real, shifts: Sequence[int]) -> tuple[list[int], int]:
    """Return a positive multiple of a neuron for inputs that were multiplied by powers of two."""
    numbers = [Fraction(w) / (1 << shift) for w, shift in zip(weights, shifts, strict=True)] + [Fraction(bias)]
    common = math.lcm(*(number.denominator for number in numbers))
    scaled = [number.numerator * (common // number.denominator) for number in numbers]
    return scaled[:-1], scaled[-1]


def _sum(numbers: Iterable[Fraction]) -> Fraction:
    """Add fractions over their common denominator: one reduction instead of one per term."""
    listed = list(numbers)
    common = math.lcm(*(number.denominator for number in listed))
    return Fraction(sum(number.numerator * (common // number.denominator) for number in listed), common)


def doubles(what: str, values: ArrayLike) -> Floats:
    """Return real numbers as doubles; NaN and infinity pass."""
    try:
        raw = np.asarray(values)
        if raw.dtype.kind in "fiub" or (
            raw.dtype.kind == "O" and not any(isinstance(v, str | bytes) for v in raw.flat)
        ):
            return raw.astype(np.float64)
        reason = f"got an array of {raw.dtype}"
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
    raise InputError(f"{what} must be real numbers: {reason}")


def _labels(y: ArrayLike, m: int) -> list[Label]:
    # this avoids an array, which would turn a list of numbers and strings into strings
    given: Any = y.tolist() if hasattr(y, "tolist") else y
    listed = [v.item() if isinstance(v, np.generic) else v for v in given] if np.iterable(given) else []
    if len(listed) != m:
        raise InputError(f"y must hold {m} labels, one per row of X, got {len(listed)}")
    for row, label in enumerate(listed):
        if not isinstance(label, bool | int | float | str) or (isinstance(label, float) and not math.isfinite(label)):
            raise InputError(f"y must hold finite numbers or strings, got {label!r} in row {row}")
    return listed


def _two_labels(labels: list[Label]) -> tuple[Label, Label]:
    distinct: set[Any] = set(labels)
    if len(distinct) != 2 or len({isinstance(label, str) for label in distinct}) > 1:
        raise InputError(f"y must hold two classes, all numbers or all strings, got {len(distinct)} different labels")
    low, high = sorted(distinct)
    return low, high


def _codes(labels: list[Label], classes: tuple[Label, Label]) -> list[int]:
    index = {classes[0]: 0, classes[1]: 1}
    codes = [index.get(label, -1) for label in labels]
    if -1 in codes:
        row = codes.index(-1)
        raise CertificateError(f"data: label {labels[row]!r} of row {row} is not one of the classes {list(classes)!r}")
    return codes


def _integer_weights(sample_weight: ArrayLike | None, m: int) -> tuple[list[int], int]:
    """Return the weights over a common denominator."""
    if sample_weight is None:
        return [1] * m, 1
    weights = doubles("sample_weight", sample_weight)
    if weights.shape != (m,):
        raise InputError(f"sample_weight must have shape ({m},), got {weights.shape}")
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise InputError("sample_weight must be finite and non-negative")
    ((integers,), (shift,)) = integer_columns(weights[:, None])
    return integers, 1 << shift
