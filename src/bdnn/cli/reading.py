"""Reading tables as commands want them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bdnn import tables
from bdnn.errors import InputError
from bdnn.io import Model
from bdnn.network import Array, Floats


class TrainingTable(NamedTuple):
    """A table without missing values, and its rows for training and for testing."""

    table: tables.Table
    X: Floats
    labels: Array
    rows: Array
    held_out: Array
    fill: Floats | None


def read_training_table(
    data: Path, target: str, drop: tuple[str, ...], missing: str, test_fraction: float, seed: int
) -> TrainingTable:
    """Read what is trained on, for training and for the check of its certificate."""
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction must be at least 0 and below 1, got {test_fraction:g}")
    table = tables.read_table(data, target, drop=drop)
    assert table.labels is not None
    rows, held_out = split_rows(table.labels, test_fraction, seed)
    fill = tables.medians(table, rows) if missing == "median" and table.n_missing.any() else None
    return TrainingTable(table, tables.filled(table, fill), table.labels, rows, held_out, fill)


def split_rows(labels: Array, test_fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the rows for training and for testing."""
    rows = np.arange(len(labels))
    if test_fraction == 0:
        return rows, rows[:0]
    from sklearn.model_selection import train_test_split

    try:
        kept, held_out = train_test_split(rows, test_size=test_fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise InputError(f"cannot hold out {test_fraction:g} of the rows ({error}); try --test-fraction 0") from None
    return np.sort(kept), np.sort(held_out)


def model_table(model: Model, data: Path, target: str | None) -> tables.Table:
    """Return the columns that the model takes, with NaN for missing values, and the labels if there is a target."""
    names = model.network.feature_names
    drop = [] if names is not None or model.table is None else [model.table.target]
    return tables.read_table(data, target, names, drop)


def filled_inputs(model: Model, table: tables.Table) -> Array:
    """Return inputs with missing values replaced as in the training."""
    return model.network.check_inputs(tables.filled(table, None if model.table is None else model.table.fill))


def model_inputs(model: Model, data: Path, target: str | None) -> tuple[Array, Array | None]:
    """Return the features, and the labels if there is a target, as the model wants them."""
    table = model_table(model, data, target)
    return filled_inputs(model, table), table.labels


def target_of(model: Model, target: str | None) -> str:
    """Return the target column: the given one, or that of the training."""
    target = target or (model.table.target if model.table is not None else None)
    if target is None:
        raise InputError("the model file does not name its target column; give it with --target")
    return target
