"""Which rows of a table a model was trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.calibration import held_out_fraction
from bdnn.cli.reading import split_rows
from bdnn.errors import InputError
from bdnn.splitting import SPLIT_VERSIONS, drawn_seed, split

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model
    from bdnn.tables import Table
    from bdnn.types import Array


def training_rows_of(model: Model, table: Table, X: Array) -> Array | None:
    """Return the rows that the model was trained on, or None if the table is not, or not surely, that of the training.

    It is if the split of the training leaves as many rows, of which the network decides as many wrong. X are the inputs
    of the table with missing values replaced.
    """
    info, result, settings, labels = model.table, model.result, model.settings or {}, table.labels
    if info is None or result is None or labels is None or info.test_fraction is None or info.seed is None:
        return None
    if info.split not in SPLIT_VERSIONS:
        return None
    validated = held_out_fraction(settings)
    try:
        rows, _ = split_rows(table.features, labels, info.test_fraction, info.seed, info.split)
        trained_on = len(rows) - math.ceil(validated * len(rows))
        if validated and info.split > 1:
            seed = drawn_seed(np.random.RandomState(settings.get("random_state")))
            columns = table.features.take(rows).numbers(whole_hours=info.split > 2)
            trained_on = len(split(columns, labels[rows], validated, seed, info.split)[0])
    except InputError:
        return None
    if trained_on != result.n_rows:
        return None
    wrong = int(np.sum(model.network.predict(X[rows]) != labels[rows]))
    comparable = not validated and not np.any(settings.get("robust_radius", 0.0))
    return rows if wrong == result.audit.n_wrong or not comparable else None
