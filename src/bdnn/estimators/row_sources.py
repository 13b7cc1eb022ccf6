"""Data sets whose rows come in parts, as the estimators take them: Parquet files and dask data frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from bdnn.errors import InputError
from bdnn.estimators.dask_rows import DaskRows, is_dask
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
    """Whether data come in parts: a data set of files, or a data frame of dask."""
    return isinstance(X, DataSet) or is_dask(X)


def rows_of(X: Any, y: object, sample_weight: object = None, categorical: Any = "from_dtype") -> RowSource:
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
    weight = None if sample_weight is None else str(sample_weight)
    return DaskRows(X, y, weight, categorical) if is_dask(X) else LabeledRows(X, y, weight)


def fit_to_rows(clf: Any, X: Any, y: object, sample_weight: object, on_progress: ProgressCallback | None) -> None:
    """Fit a classifier to a data set: as to any table if its rows fit into memory, else part by part."""
    clf.__dict__.pop("partitioned_", None)  # of an earlier fit
    source = rows_of(X, y, sample_weight, clf.categorical_features)
    if fits_in_memory(clf, source):
        table = source.table()
        clf.fit(table.features, table.labels, table.weight, on_progress=on_progress)
    else:
        fit_rows(clf, source, on_progress)


def known_of(encoder: Encoder) -> dict[str, Known]:
    """Return what an encoder says of its columns."""
    return {code.name: Known(code.kind, frozenset((*code.levels, *code.rare))) for code in encoder.columns if code.used}


def answers(network: Network, encoder: Encoder, rows: LabeledRows | DaskRows) -> Iterator[tuple[Part, Indices]]:
    """Yield the parts of a data set, and the index of the predicted class of each row."""
    for part in rows.parts(known_of(encoder)):
        table = encoder.matched(as_encoded(encoder, part.table))
        encoder.check_gaps(table)
        yield part, network.predict_index(np.column_stack(inputs_of(encoder, table)))


def predicted(network: Network, encoder: Encoder, X: Any) -> Array:
    """Return the predicted labels of all rows of a data set."""
    rows = DaskRows(X, None) if is_dask(X) else LabeledRows(X, None)
    labels: Array = network.classes[np.concatenate([index for _, index in answers(network, encoder, rows)])]
    return labels


def scored(network: Network, encoder: Encoder, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> float:
    """Return the accuracy on a data set, part by part."""
    rows = rows_of(X, y, sample_weight)
    assert isinstance(rows, LabeledRows | DaskRows)
    rows.find_classes(network.classes)
    right = total = 0.0
    for part, index in answers(network, encoder, rows):
        assert part.codes is not None
        weight = np.ones(len(index)) if part.weight is None else part.weight
        right, total = right + float(weight[part.codes == index].sum()), total + float(weight.sum())
    return right / total
