"""The data that an estimator is given, which its encoder turns into inputs of its network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.utils.validation import check_consistent_length, validate_data

from bdnn.arrays import real_numbers, row_blocks
from bdnn.columns import numbers_in_order, quoted
from bdnn.encoding import kinds
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.fitting import EncoderOptions, fill_values, fit_encoder
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError, UnorderedColumnError
from bdnn.estimators.frames import Categorical, categorical_mask, is_plain, raw_table
from bdnn.problem.feature_limits import input_signs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from sklearn.base import BaseEstimator

    from bdnn.types import Array, Reals

REAL = (np.float64, np.float32)
"""Types of numbers that are kept as they are."""


class EncoderSettings(Protocol):
    """Parameters of an estimator that say how columns become inputs."""

    categorical_features: Categorical
    max_categories: int | None
    min_frequency: int | float | None
    missing_indicator: str
    thresholds: int | None


def options_of(settings: EncoderSettings) -> EncoderOptions:
    """Return the options of an encoder, or raise InputError."""
    return EncoderOptions(
        max_categories=settings.max_categories,
        min_frequency=settings.min_frequency,
        missing_indicator=settings.missing_indicator,
        thresholds=settings.thresholds,
    )


def training_columns(
    estimator: BaseEstimator,
    X: Any,
    y: Array,
    settings: EncoderSettings,
    feature_names: Sequence[str] | None = None,
) -> tuple[Reals | RawTable, Array]:
    """Check the training data.

    Parameters
    ----------
    estimator : BaseEstimator
        It gets the attributes that scikit-learn keeps about inputs, including the names of arrays.
    X : array-like, data frame or RawTable
        Inputs.
    y : array-like
        Labels.
    settings : EncoderSettings
        How columns become inputs.
    feature_names : sequence of str or None
        Names of the columns of an array.

    Returns
    -------
    columns : ndarray of shape (m, n), or RawTable
        An array of numbers, none missing, if all columns are inputs as they are.
    labels : ndarray
        As scikit-learn checks them.

    Raises
    ------
    InputError
        If something cannot be used.
    """
    categorical = settings.categorical_features
    columns: Reals | RawTable
    if is_plain(X, categorical):
        array, labels = validate_data(
            estimator, X, y, dtype=list(REAL), ensure_all_finite="allow-nan", multi_output=True
        )
        categorical_mask(categorical, ())
        _keep_names(estimator, feature_names)
        plain = settings.thresholds is None and not has_nan(array)
        columns = array if plain else numbers_as_table(array, column_names(estimator))
    else:
        labels = validate_data(estimator, y=y, multi_output=True)
        if isinstance(X, RawTable):
            estimator.feature_names_in_ = np.array(X.names, dtype=object)
            estimator.n_features_in_ = len(X.columns)
        else:
            X = validate_data(estimator, X, skip_check_array=True)
        _keep_names(estimator, feature_names)
        columns = _named(raw_table(X, categorical), column_names(estimator))
        check_consistent_length(columns.columns[0].values, labels)
    return columns, labels


def _keep_names(estimator: BaseEstimator, feature_names: Sequence[str] | None) -> None:
    if feature_names is None:
        return
    own = getattr(estimator, "feature_names_in_", None)
    if own is not None and list(own) != list(feature_names):
        raise InputError(
            f"feature_names are {quoted(list(feature_names))}, but the columns of X are {quoted(list(own))}; "
            f"leave feature_names out"
        )
    estimator.feature_names_in_ = np.array(feature_names, dtype=object)


def column_names(estimator: BaseEstimator) -> tuple[str, ...]:
    """Return the names of the columns that an estimator was trained on, ``x0`` and so on if they had none."""
    names = getattr(estimator, "feature_names_in_", None)
    return tuple(f"x{j}" for j in range(estimator.n_features_in_)) if names is None else tuple(map(str, names))


def numbers_as_table(array: Reals, names: Sequence[str]) -> RawTable:
    """Return the columns of an array as a table of numbers; raise InputError if there are more or fewer names."""
    if len(names) != array.shape[1]:
        raise InputError(f"feature_names must have one name per column ({array.shape[1]}), got {len(names)}")
    return RawTable(tuple(kinds.numeric(name, array[:, j]) for j, name in enumerate(names)))


def _named(table: RawTable, names: Sequence[str]) -> RawTable:
    """Return the columns of a table under other names, in the same order."""
    if len(names) != len(table.columns):
        raise InputError(f"feature_names must have one name per column ({len(table.columns)}), got {len(names)}")
    return RawTable(tuple(replace(column, name=name) for column, name in zip(table.columns, names, strict=True)))


def has_nan(array: Reals) -> bool:
    """Return whether an array of numbers holds a NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array)):  # one pass that needs no memory
            return False
    return any(bool(np.isnan(array[rows]).any()) for rows in row_blocks(*array.shape))


def fitted_encoder(
    estimator: BaseEstimator,
    columns: Reals | RawTable,
    labels: Array,
    rows: Array | slice,
    settings: EncoderSettings,
    seed: int,
) -> Encoder:
    """Return the encoder that is made from the training rows.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose columns these are.
    columns : ndarray of shape (m, n), or RawTable
        From `training_columns`.
    labels : ndarray of shape (m,)
        Labels.
    rows : slice or ndarray of int
        Training rows.
    settings : EncoderSettings
        How columns become inputs.
    seed : int
        Of the fit.

    Returns
    -------
    Encoder
    """
    options, names = options_of(settings), column_names(estimator)
    named = hasattr(estimator, "feature_names_in_")
    if not isinstance(columns, RawTable):
        if len(names) != columns.shape[1]:
            raise InputError(f"feature_names must have one name per column ({columns.shape[1]}), got {len(names)}")
        return Encoder.identity(names if named else None, len(names), fill_values(columns[rows]))
    training = columns if isinstance(rows, slice) else columns.take(rows)
    return fit_encoder(training, np.unique(labels[rows], return_inverse=True)[1].ravel(), options, seed, named)


def made_encoder(estimator: Any, columns: Reals | RawTable, labels: Array, rows: Array | slice, seed: int) -> Encoder:
    """Return the encoder of a fit that may start from the network of an earlier one.

    Parameters
    ----------
    estimator : BDNNClassifier
        Its parameters are the settings.
    columns, labels, rows, seed : optional
        See `fitted_encoder`.

    Returns
    -------
    Encoder
        That of the network to start from, with its columns in the order of the data, or a new one.

    Raises
    ------
    InputError
        If the network to start from has other columns.
    """
    old: Encoder | None = getattr(estimator, "encoder_", None)
    if old is None or not estimator.warm_start or not hasattr(estimator, "network_"):
        return fitted_encoder(estimator, columns, labels, rows, estimator, seed)
    named, names = hasattr(estimator, "feature_names_in_"), column_names(estimator)
    kept = old.for_columns(names) if named and old.named else old.renamed(names, named)
    if any(code.fill is None and code.used for code in kept.columns):  # it comes from an older file
        kept = kept.with_fill_of(fitted_encoder(estimator, columns, labels, rows, estimator, seed))
    return kept


def radius_of_inputs(encoder: Encoder, radius: float | ArrayLike) -> float | ArrayLike:
    """Return the robust radius of inputs.

    Parameters
    ----------
    encoder : Encoder
        How columns become inputs.
    radius : float or array-like
        Of columns.

    Returns
    -------
    float or array-like
        The same if columns are inputs; else 0 for bits and dates.

    Raises
    ------
    InputError
        If there is not one radius for each column, or numbers are replaced by thresholds.
    """
    if encoder.is_identity or (np.ndim(radius) == 0 and radius == 0):
        return radius
    if any(code.thresholds for code in encoder.columns):
        raise InputError(
            "robust_radius moves numbers, and with thresholds the network sees only bits; leave either out"
        )
    values = real_numbers("robust_radius", numbers_in_order("the numbers of robust_radius", radius, encoder.names))
    each = values if values.ndim else np.full(len(encoder.columns), values)
    return encoder.per_input("robust_radius", each, 0.0)


def signs_of_inputs(
    encoder: Encoder, monotonic: Mapping[str, int] | ArrayLike | None
) -> Mapping[str, int] | ArrayLike | None:
    """Return the signs of the weights of inputs, as `bdnn.Problem` takes them.

    Parameters
    ----------
    encoder : Encoder
        How columns become inputs.
    monotonic : mapping, array-like or None
        Signs of columns, or by name of single inputs.

    Returns
    -------
    mapping, array-like or None
        The same if columns are inputs; else an array. The bits of a column with thresholds have its sign, the bit of
        its missing values has none.

    Raises
    ------
    InputError
        If a sign is asked for of a column without an order.
    """
    if monotonic is None or encoder.is_identity:
        return monotonic
    by_input, columns = {}, monotonic
    if isinstance(monotonic, Mapping):
        by_input = {name: sign for name, sign in monotonic.items() if name not in encoder.names}
        columns = {name: sign for name, sign in monotonic.items() if name in encoder.names}
    signs = input_signs(encoder.input_names, by_input)
    for column, sign in enumerate(input_signs(encoder.names, columns).tolist()):
        code = encoder.columns[column]
        if sign and code.kind in ("categorical", "date"):
            single = next(iter(code.input_names), "")
            what = "its levels have" if code.kind == "categorical" else "its parts have"
            raise UnorderedColumnError(
                f"monotonic: {code.name!r} is a column of kind {code.kind}, and {what} no order: leave it out, give a "
                f"sign to one of its inputs, such as ",
                (single, sign),
                ", or turn it into numbers",
            )
        if sign:
            signs[np.flatnonzero(encoder.column_of_input == column)[: code.n_values]] = sign
    return signs


def rows_of_columns(columns: Reals | RawTable, rows: Array) -> Reals | RawTable:
    """Return some rows of columns from `training_columns`."""
    return columns.take(rows) if isinstance(columns, RawTable) else columns[rows]


def encoded(encoder: Encoder, columns: Reals | RawTable, warns: bool = True) -> Reals:
    """Return the inputs that columns become.

    Parameters
    ----------
    encoder : Encoder
        Made of the training rows.
    columns : ndarray of shape (m, n), or RawTable
        From `training_columns` or `given_columns`.
    warns : bool
        Whether levels that were not seen are worth a warning.

    Returns
    -------
    ndarray of shape (m, n_inputs)

    Raises
    ------
    InputError
        If a column is missing or cannot be read as in the training.

    Warns
    -----
    UserWarning
        If there are levels that the training did not have.
    """
    if not isinstance(columns, RawTable):
        return columns if encoder.is_identity else encoder.transform(numbers_as_table(columns, encoder.names))
    table = encoder.matched(columns)
    if warns:
        warn_unseen(encoder.unseen(table))
    return encoder.transform(table)


def warn_unseen(unseen: dict[str, int]) -> None:
    """Warn about levels that were not seen in the training, given the number of rows that have them by column."""
    if unseen:
        where = [f"{count} row{'s' if count != 1 else ''} of column {name!r}" for name, count in unseen.items()]
        shown = ", ".join(where[:8]) + (f", … ({len(where)} columns in all)" if len(where) > 8 else "")
        warnings.warn(
            f"levels that were not seen in the training, in {shown}; they set none of the inputs of their column",
            UserWarning,
            stacklevel=2,
        )


def given_columns(
    estimator: BaseEstimator, encoder: Encoder, X: Any, dtypes: Iterable[DTypeLike] = REAL
) -> Reals | RawTable:
    """Check the data to be predicted.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted.
    encoder : Encoder
        Its encoder.
    X : array-like, data frame or RawTable
        Inputs.
    dtypes : iterable
        Types of numbers that are kept as they are.

    Returns
    -------
    ndarray of shape (m, n), or RawTable
        An array of numbers, none missing, if it is the inputs as it is.

    Raises
    ------
    InputError
        If something cannot be used.
    """
    if isinstance(X, RawTable):
        return X if encoder.named else _named(X, encoder.names)
    if is_plain(X, None):
        array = validate_data(estimator, X, dtype=list(dtypes), reset=False, ensure_all_finite="allow-nan")
        return array if encoder.is_identity and not has_nan(array) else numbers_as_table(array, encoder.names)
    validate_data(estimator, X, skip_check_array=True, reset=False)
    # names have been compared, so the columns are in the order of the training
    return _named(raw_table(X), encoder.names)
