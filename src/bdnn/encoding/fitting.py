"""Encoders made from training rows: which levels are kept, where thresholds lie, and which columns get missing bits.

Notes
-----
*Levels.* Those with fewer rows than `min_frequency` are rare, and if more than `max_categories` groups would be left,
the less frequent ones are, too; of equally frequent levels those later in the order of text. A text column in which no
value occurs twice and that has more values than `max_categories` (20 if there is no cap) names rows, and gives no
inputs; neither does a column without any known value.

*Thresholds.* A column of at most k + 1 different values gets one threshold between any two neighbors. Others get at
most k: for q = 1, …, k the gap between neighbors that divides the rows nearest to q : k + 1 - q, the lower one of two.
A threshold is the middle of its gap, rounded to twelve digits if these separate the two values, so that it is above the
lower value and at most the upper one.

*Missing bits*, if they are "auto". A column is looked at by itself: numbers are cut into at most ten ranges of about
the same number of rows. Missing values are counted as a range of their own, or in the range of what replaces them. On
each of five parts of the rows in turn, the likelihood of the labels is computed from the frequencies of the classes in
the ranges of the other four parts. The bit pays if the sum of the logarithms is larger with a range of their own, by
more than half of its standard error. Of columns with gaps in the same rows, only the first one can get a bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.codes import PARTS, ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.kinds import counts_of, level_text, lower_median
from bdnn.encoding.raw import FEW_LEVELS, RawColumn, RawTable
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices

INDICATORS = ("auto", "always", "never")

_FOLDS = 5  # the usual number, enough for a yes or no
_ERRORS = 0.5  # of 200 columns whose gaps mean nothing, 4 to 9 % get a bit, and few that matter are missed
_RANGES = 10  # fine enough for any simple dependence, coarse enough for counts of few rows
_DIGITS = 12  # of a threshold: more than tables have, and fewer than rounding errors show in
_PRIOR = 1.0  # rows that the frequencies of a range start from, spread as the classes are: no logarithm of 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """Options for making an encoder.

    Parameters
    ----------
    max_categories : int or None
        Most bits of a categorical column, including that of the rare levels; None for no limit.
    min_frequency : int, float or None
        Least number of rows, or least part of the known ones, of a level that is not rare; None for 1.
    missing_indicator : {"auto", "always", "never"}
        Whether columns with missing values get a missing bit.
    thresholds : int or None
        Most thresholds of a numeric column; None for its value as it is.

    Raises
    ------
    InputError
        If one is not as described.
    """

    max_categories: int | None = FEW_LEVELS
    min_frequency: int | float | None = None
    missing_indicator: str = "auto"
    thresholds: int | None = None

    def __post_init__(self) -> None:
        for what, value in (("max_categories", self.max_categories), ("thresholds", self.thresholds)):
            if value is not None and (not _whole(value) or value < 1):
                raise InputError(f"{what} must be a positive integer or None, got {value!r}")
        least = self.min_frequency
        part = isinstance(least, Real) and not _whole(least) and not isinstance(least, bool) and 0 < least < 1
        if least is not None and not part and not (_whole(least) and least >= 1):
            raise InputError(f"min_frequency must be a positive integer, a part of 1 or None, got {least!r}")
        if not isinstance(self.missing_indicator, str) or self.missing_indicator not in INDICATORS:
            raise InputError(
                f"missing_indicator must be one of {', '.join(map(repr, INDICATORS))}, got {self.missing_indicator!r}"
            )


def fit_encoder(
    raw: RawTable, codes: Indices, options: EncoderOptions | None = None, seed: int = 0, named: bool = True
) -> Encoder:
    """Make an encoder of training rows.

    Parameters
    ----------
    raw : RawTable
        The rows.
    codes : ndarray of shape (m,)
        Index of the class of each row; they decide on missing bits and nothing else.
    options : EncoderOptions or None
        Settings; None for the defaults.
    seed : int
        Of the parts of the rows on which missing bits are tried.
    named : bool
        Whether the names of the columns are those of a table.

    Returns
    -------
    Encoder

    Raises
    ------
    InputError
        If no column gives inputs.

    Warns
    -----
    UserWarning
        If columns are left out because they hold nothing, or text that never occurs twice.

    Examples
    --------
    >>> size = RawColumn("size", "numeric", np.array([1.0, 2.0, 2.0, 8.0]))
    >>> fit_encoder(RawTable((size,)), np.array([0, 0, 1, 1]), EncoderOptions(thresholds=5)).input_names
    ('size>=1.5', 'size>=5')
    """
    options = EncoderOptions() if options is None else options
    seen: set[Hashable] = set()
    columns = tuple(_column_code(column, codes, options, seed, seen) for column in raw.columns)
    empty = [code.name for code in columns if code.fill is None]
    if empty:
        _warn(empty, "no value", "known in the training rows")
    if distinct := [code.name for code in columns if _names_rows(code)]:
        _warn(distinct, "text", "that is different in every row")
    return Encoder(columns, named)


def fill_values(X: Array) -> Floats:
    """Return the lower median of each column of an array of shape (m, n) with no missing numbers."""
    return np.array([lower_median(X[:, j]) for j in range(X.shape[1])], dtype=np.float64)


def _warn(names: list[str], holds: str, which: str) -> None:
    shown = ", ".join(map(repr, names[:8])) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
    what = "columns" if len(names) > 1 else "column"
    verb = "hold" if len(names) > 1 else "holds"
    give = "give" if len(names) > 1 else "gives"
    warnings.warn(f"{what} {shown} {verb} {holds} {which}, and {give} no inputs", UserWarning, stacklevel=3)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def _column_code(
    column: RawColumn, codes: Indices, options: EncoderOptions, seed: int, seen: set[Hashable]
) -> ColumnCode:
    gaps = column.missing
    if gaps.all():
        return ColumnCode(column.name, column.kind, used=False)
    known = column.values[~gaps] if gaps.any() else column.values
    code = _known_code(column, known, options)
    if _names_rows(code) or not gaps.any() or options.missing_indicator == "never":
        return code
    if options.missing_indicator == "auto":
        same = np.packbits(gaps).tobytes()
        if same in seen or not _pays(column, code, codes, seed):
            return code
        seen.add(same)
    constant = (float(known[0]),) if code.kind == "numeric" and not code.used else code.thresholds
    return replace(code, missing_bit=True, used=True, thresholds=constant)


def _names_rows(code: ColumnCode) -> bool:
    """Whether a column is text that never occurs twice."""
    return code.kind == "categorical" and code.fill is not None and not code.levels and not code.rare


def _known_code(column: RawColumn, known: Array, options: EncoderOptions) -> ColumnCode:
    """Return how the known values of a column become inputs."""
    name = column.name
    if column.kind == "categorical":
        return _categorical_code(column, len(known), options)
    middle = lower_median(known)
    if column.kind == "date":
        timed = bool(np.any(known != known.astype("datetime64[D]")))
        return ColumnCode(name, "date", level_text(middle), parts=PARTS if timed else PARTS[:-1])
    if column.kind == "boolean" or options.thresholds is None:
        return ColumnCode(name, column.kind, float(middle))
    cuts = thresholds_of(known, options.thresholds)
    return ColumnCode(name, "numeric", float(middle), thresholds=cuts, used=bool(cuts))


def _categorical_code(column: RawColumn, n_known: int, options: EncoderOptions) -> ColumnCode:
    counts, cap = counts_of(column), options.max_categories
    # the most frequent first, and equally frequent ones in the order of their text
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda level: (-counts[level], column.levels[level]))
    fill = column.levels[order[0]]
    if len(order) == n_known > (cap or FEW_LEVELS):
        return ColumnCode(column.name, "categorical", fill, used=False)
    least = options.min_frequency or 1
    least = least if _whole(least) else least * n_known
    kept = sum(int(counts[level]) >= least for level in order)
    if cap is not None and kept + (kept < len(order)) > cap:
        kept = cap - 1
    levels, rare = (tuple(sorted(column.levels[level] for level in part)) for part in (order[:kept], order[kept:]))
    return ColumnCode(column.name, "categorical", fill, levels, rare, used=len(levels) + bool(rare) > 1)


def thresholds_of(values: Floats | Array, most: int) -> tuple[float, ...]:
    """Return at most some thresholds between different values; see the module.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Numbers, at least one and none of them missing.
    most : int
        Positive.

    Returns
    -------
    tuple of float
        Ascending; none if all values are equal.

    Examples
    --------
    >>> thresholds_of(np.arange(101.0), 3)
    (24.5, 49.5, 75.5)
    """
    different, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    gaps = np.arange(len(different) - 1)
    if len(gaps) > most:
        below = np.cumsum(counts)[:-1]  # rows below each gap
        wanted = np.arange(1, most + 1) * (len(values) / (most + 1))
        after = np.clip(np.searchsorted(below, wanted), 1, len(below) - 1)
        nearer = wanted - below[after - 1] <= below[after] - wanted
        gaps = np.unique(after - nearer)
    low, high = different[gaps], different[gaps + 1]
    return tuple(_between(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))


def _between(low: float, high: float) -> float:
    """Return the middle of two numbers, with few digits if these are enough."""
    middle = low / 2 + high / 2
    found = [value for value in (float(f"{middle:.{_DIGITS}g}"), middle) if low < value <= high]
    return found[0] if found else high


def _pays(column: RawColumn, code: ColumnCode, codes: Indices, seed: int) -> bool:
    """Whether the labels are more likely if gaps have a range of their own; see the module."""
    gaps = column.missing
    group, of_fill = _ranges(column, code)
    apart, filled = np.where(gaps, group.max() + 1, group), np.where(gaps, of_fill, group)
    part = np.random.default_rng(seed).permutation(np.arange(len(codes)) % _FOLDS)
    # no other rows are affected
    concerned = np.flatnonzero(filled == of_fill)
    gain = np.zeros(len(concerned))
    for fold in range(_FOLDS):
        rest, asked = part != fold, part[concerned] == fold
        rows = concerned[asked]
        for groups, sign in ((apart, 1.0), (filled, -1.0)):
            gain[asked] += sign * _log_likelihood(groups[rest], codes[rest], groups[rows], codes[rows])
    spread = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    return bool(gain.sum() > _ERRORS * spread)


def _log_likelihood(groups: Indices, codes: Indices, asked_groups: Indices, asked_codes: Indices) -> Floats:
    """Return logarithms of the frequencies of classes in groups, smoothed by the frequencies of all rows."""
    n_groups = int(max(groups.max(initial=0), asked_groups.max(initial=0))) + 1
    n_classes = int(max(codes.max(initial=0), asked_codes.max(initial=0))) + 1
    counts = np.bincount(groups * n_classes + codes, minlength=n_groups * n_classes).reshape(n_groups, n_classes)
    every = (counts.sum(axis=0) + 1.0) / (len(codes) + n_classes)
    chance = (counts + _PRIOR * every) / (counts.sum(axis=1, keepdims=True) + _PRIOR)
    return np.asarray(np.log(chance[asked_groups, asked_codes]))


def _ranges(column: RawColumn, code: ColumnCode) -> tuple[Indices, int]:
    """Return the range of each value of a column, anything where it is missing, and that of its replacement."""
    if column.kind == "categorical":
        groups = code.group_of(column.levels)
        return groups[column.values], int(groups[-1])
    values = column.values
    if column.kind == "date":
        known = np.where(column.missing, np.datetime64(str(code.fill), "us"), values).astype(np.int64).astype(float)
    else:
        known = np.where(column.missing, float(code.fill or 0.0), values)
    cuts = np.array(thresholds_of(known[~column.missing], _RANGES - 1))
    fill = known[np.flatnonzero(column.missing)[0]]
    return np.searchsorted(cuts, known, side="right"), int(np.searchsorted(cuts, fill, side="right"))
