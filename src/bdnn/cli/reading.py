"""Reading tables as commands want them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np

from bdnn import tables
from bdnn.columns import quoted
from bdnn.errors import InputError
from bdnn.labels import check_discrete, regression_hint
from bdnn.splitting import SPLIT_VERSION, split

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model
    from bdnn.types import Array, Floats


class TrainingTable(NamedTuple):
    """A table without missing values, and its rows for training and for testing."""

    table: tables.Table
    X: Floats
    labels: Array
    rows: Array
    held_out: Array
    fill: Floats | None


def read_training_table(
    data: Path,
    target: str,
    drop: tuple[str, ...],
    missing: str,
    test_fraction: float,
    seed: int,
    missing_labels: str = "error",
    *,
    classes: Array | None = None,
    split_version: int = SPLIT_VERSION,
    model: Model | None = None,
    as_predicted: bool = False,
) -> TrainingTable:
    """Read what is trained on, for training and for the check of its certificate.

    Labels are read as `classes`, if they are known, and rows are held out by the rule `split_version`. Missing values
    are replaced as by `model`, if it is given and keeps replacements. If it keeps none, they are refused if everything
    must be `as_predicted` by the model, and replaced by medians otherwise.
    """
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction must be at least 0 and below 1, got {test_fraction:g}")
    table = tables.read_table(data, target, drop=drop, classes=classes, missing_labels=missing_labels)
    assert table.labels is not None
    hint = ""
    if classes is None:
        what = f"The target column {target!r} of {data}"
        check_discrete(what, table.labels)
        hint = regression_hint(what, table.labels)
        if table.merged:
            warnings.warn(
                f"{what} has labels that differ only by blanks: {table.merged}. They are read as one: "
                f"blanks around labels do not count",
                stacklevel=2,
            )
    try:
        rows, held_out = split_rows(table.X, table.labels, test_fraction, seed, split_version)
    except InputError as error:
        raise InputError(f"{hint}; {error}" if hint else str(error)) from None
    if hint:
        warnings.warn(hint, stacklevel=2)
    fill, reason = None, "--missing error keeps no replacements"
    if missing == "median":
        # other columns than the model's are refused by the training
        known = model is not None and _takes(model, table.names)
        if known and model is not None:
            fill, reason = _kept(model, table.names), _nothing_kept(model)
        if fill is None and not (known and as_predicted):
            fill = tables.medians(table, rows)
    X = tables.filled(table, fill, reason)
    return TrainingTable(table, X, table.labels, rows, held_out, fill)


def split_rows(
    X: Array, labels: Array, test_fraction: float, seed: int, version: int = SPLIT_VERSION
) -> tuple[Array, Array]:
    """Return the rows for training and for testing; X has NaN where values are missing."""
    rows = np.arange(len(labels))
    if test_fraction == 0:
        return rows, rows[:0]
    try:
        return split(X, labels, test_fraction, seed, version)
    except InputError as error:
        raise InputError(
            f"cannot hold out {test_fraction:g} of the rows ({error}); if these are classes, train on all rows with "
            f"--test-fraction 0"
        ) from None


def model_table(model: Model, data: Path, target: str | None, missing_labels: str | None = None) -> tables.Table:
    """Return the columns that the model takes, with NaN for missing values, and the labels if there is a target.

    Labels are read as classes of the model. Rows without one are refused or left out, as in the training for None.
    """
    network, info = model.network, model.table
    names = network.feature_names
    drop = [] if names is not None or info is None or info.target == target else [info.target]
    rule = missing_labels or ("error" if info is None else info.missing_labels)
    table = tables.read_table(data, target, names, drop, classes=network.classes, missing_labels=rule)
    if len(table.names) != network.n_features:
        raise InputError(
            f"the model takes {network.n_features} features whose names it does not know, but {data} has "
            f"{len(table.names)} columns for them: {quoted(table.names)}; leave the others out of the file"
        )
    if table.n_unlabeled:
        click.echo(f"rows without a label left out: {table.n_unlabeled}", err=True)
    return table


def filled_inputs(model: Model, table: tables.Table) -> Array:
    """Return inputs with missing values replaced as in the training."""
    info = model.table
    return model.network.check_inputs(tables.filled(table, None if info is None else info.fill, _nothing_kept(model)))


def _takes(model: Model, names: Sequence[str]) -> bool:
    """Return whether a model takes these columns, in any order."""
    own = model.network.feature_names
    return len(names) == model.network.n_features if own is None else sorted(own) == sorted(names)


def _kept(model: Model, names: Sequence[str]) -> Floats | None:
    """Return the replacements that a model keeps, in the order of the names of its columns, or None."""
    if model.table is None or model.table.fill is None:
        return None
    values = dict(zip(model.network.feature_names or names, model.table.fill, strict=True))
    return np.array([values[name] for name in names])


def _nothing_kept(model: Model) -> str:
    """Say why a model keeps no replacements, if it does not."""
    info = model.table
    if info is None:
        return "the model was not trained by 'bdnn train' and has nothing to replace them with"
    if info.missing == "error":
        return "the model was trained with --missing error, which keeps no replacements"
    return "the model file is from a version that kept medians only if the training rows had missing values"


def model_inputs(
    model: Model, data: Path, target: str | None, missing_labels: str | None = None
) -> tuple[Array, Array | None]:
    """Return the features, and the labels if there is a target, as the model wants them."""
    table = model_table(model, data, target, missing_labels)
    return filled_inputs(model, table), table.labels


def target_of(model: Model, target: str | None) -> str:
    """Return the target column: the given one, or that of the training."""
    target = target or (model.table.target if model.table is not None else None)
    if target is None:
        raise InputError("the model file does not name its target column; give it with --target")
    return target
