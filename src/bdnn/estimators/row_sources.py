"""Data sets whose rows come in parts, as the estimators take them: Parquet files and dask data frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from bdnn.errors import InputError
from bdnn.estimators.partitioned import fit_rows, fits_in_memory
from bdnn.partitions.preparing import as_encoded, inputs_of
from bdnn.tables.cells import Known
from bdnn.tables.dataset import DataSet
from bdnn.tables.labeled_rows import LabeledRows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.partitioned import RowSource
    from bdnn.network.network import Network
    from bdnn.status import ProgressCallback
    from bdnn.tables.labeled_rows import Part
    from bdnn.types import Array, Indices


def is_rows(X: object) -> TypeGuard[DataSet]:
    """Whether data come in parts."""
    return isinstance(X, DataSet)


def rows_of(X: Any, y: object, sample_weight: object = None) -> RowSource:
    """Return the rows of a data set with columns of labels and weights.

    Raises
    ------
    InputError
        If these are not names of columns.
    """
    for what, name in (("y", y), ("sample_weight", sample_weight)):
        if not isinstance(name, str) and not (what == "sample_weight" and name is None):
            raise InputError(f"{what} must be the name of a column of the data set, got {type(name).__name__}")
    assert isinstance(y, str)
    return LabeledRows(X, y, None if sample_weight is None else str(sample_weight))


def fit_to_rows(clf: Any, X: Any, y: object, sample_weight: object, on_progress: ProgressCallback | None) -> None:
    """Fit a classifier to a data set: as to any table if its rows fit into memory, else part by part."""
    clf.__dict__.pop("partitioned_", None)  # of an earlier fit
    source = rows_of(X, y, sample_weight)
    if fits_in_memory(clf, source):
        table = source.table()
        clf.fit(table.features, table.labels, table.weight, on_progress=on_progress)
    else:
        fit_rows(clf, source, on_progress)


def known_of(encoder: Encoder) -> dict[str, Known]:
    """Return what an encoder says of its columns."""
    return {code.name: Known(code.kind, frozenset((*code.levels, *code.rare))) for code in encoder.columns if code.used}


def answers(network: Network, encoder: Encoder, rows: LabeledRows) -> Iterator[tuple[Part, Indices]]:
    """Yield the parts of a data set, and the index of the predicted class of each row."""
    for part in rows.parts(known_of(encoder)):
        table = encoder.matched(as_encoded(encoder, part.table))
        encoder.check_gaps(table)
        yield part, network.predict_index(np.column_stack(inputs_of(encoder, table)))


def predicted(network: Network, encoder: Encoder, X: DataSet) -> Array:
    """Return the predicted labels of all rows of a data set."""
    labels: Array = network.classes[
        np.concatenate([index for _, index in answers(network, encoder, LabeledRows(X, None))])
    ]
    return labels


def confusion(network: Network, encoder: Encoder, rows: LabeledRows) -> Indices:
    """Return how many rows of each label are predicted as each class, of shape (n_classes, n_classes)."""
    n = len(network.classes)
    rows.find_classes(network.classes)
    found = np.zeros((n, n), dtype=np.intp)
    for part, index in answers(network, encoder, rows):
        assert part.codes is not None
        known = part.codes >= 0
        found += np.bincount(part.codes[known] * n + index[known], minlength=n * n).reshape(n, n)
    return found


def scored(network: Network, encoder: Encoder, X: DataSet, y: ArrayLike, sample_weight: ArrayLike | None) -> float:
    """Return the accuracy on a data set, part by part."""
    rows = rows_of(X, y, sample_weight)
    assert isinstance(rows, LabeledRows)
    rows.find_classes(network.classes)
    right = total = 0.0
    for part, index in answers(network, encoder, rows):
        assert part.codes is not None
        weight = np.ones(len(index)) if part.weight is None else part.weight
        right, total = right + float(weight[part.codes == index].sum()), total + float(weight.sum())
    return right / total
