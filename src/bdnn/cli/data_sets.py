"""Commands on Parquet data sets, folders or patterns, whose rows need not fit into memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.arrays import distinct
from bdnn.calibration import pre_activations
from bdnn.cli.output import say
from bdnn.cli.reading import TableChoice, TrainingTable, columns_of, refuse_gaps, say_unseen, show_notes
from bdnn.cli.stopping import heard, repeated
from bdnn.errors import InputError
from bdnn.partitions.preparing import as_encoded, inputs_of
from bdnn.progress import shown_progress
from bdnn.reports.metrics import measures
from bdnn.tables.database import connection
from bdnn.tables.dataset import DataSet, is_parquet, is_pattern, open_parquet, parquet_command
from bdnn.tables.labeled_rows import LabeledRows, Part
from bdnn.tables.options import Reading
from bdnn.tables.reading import guessed_target, split_names
from bdnn.tables.source import STANDARD_INPUT

if TYPE_CHECKING:
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.model_file.contents import Model
    from bdnn.types import Array, Floats, Reals

# different scores of rows that are kept for the area under the curve: with more, it is left out
_MOST_SCORES = 2**21


def opened(data: Path, drop: Sequence[str] = (), reading: Reading | None = None) -> DataSet:
    """Return a data set, from which columns are left out, with the settings for reading that apply to Parquet files."""
    found = open_parquet(data)
    kinds = dict(reading.kinds) if reading is not None else {}
    out = (*split_names(drop, list(found.columns)), *(name for name, kind in kinds.items() if kind == "drop"))
    if absent := [name for name in (*out, *kinds) if name not in found.columns]:
        raise InputError(f"{found.name} has no column {absent[0]!r}")
    kinds = {name: kind for name, kind in kinds.items() if kind != "drop"}
    na = None if reading is None else reading.na
    return replace(found, drop=tuple(dict.fromkeys(out)), na=na, kinds=kinds)


def rows_beyond_memory(clf: BDNNClassifier, data: Path, choice: TableChoice) -> LabeledRows | None:
    """Return the rows of a data set that does not fit into memory, and say so; None for any other table."""
    if not is_pattern(data) and not (clf.memory_limit is not None and is_parquet(data)):
        return None
    found = opened(data, (*choice.drop, *choice.ids), choice.reading)
    target, guess = choice.target, ""
    if target is None:
        target, guess = guessed_target([name for name in found.names if name != choice.weight])
    rows = LabeledRows(found, target, choice.weight, choice.missing_labels)
    fits = clf._fits_in_memory(rows, choice.test_fraction)
    if guess and not fits:  # else it is said when all rows are read
        say(f"{found.name}: {guess}", err=True)
    how = "fit into memory" if fits else "do not fit into memory: a sample is trained on, and improved on all of them"
    files = f"{len(found.files)} file{'s' * (len(found.files) != 1)}"
    say(f"{found.name}: {found.n_rows} rows in {files} {how}", err=True)
    return None if fits else rows


class MemoryForTable:
    """The memory that a limit leaves for a table which is no data set, and so has to fit; none without a limit.

    Parameters
    ----------
    clf : BDNNClassifier
        What trains.
    data : Path
        The table.
    choice : TableChoice
        Which rows are held out.
    """

    def __init__(self, clf: BDNNClassifier, data: Path, choice: TableChoice) -> None:
        self._clf, self._data, self._choice = clf, data, choice
        free = clf.memory_limit is None or is_pattern(data) or is_parquet(data)
        self._room = math.inf
        if not free:
            connection()  # what reads is a part of the program
            self._room = clf._memory.room(clf.memory_limit)

    def check_cells(self, n_rows: int, n_columns: int) -> None:
        """Raise `InputError` if the cells of a table alone take more, before they are read."""
        self._check(n_rows, self._clf._memory.cell_bytes(n_rows, n_columns))

    def check(self, read: TrainingTable) -> None:
        """Raise `InputError` if a table takes more while it trains."""
        kinds, m = [column.kind for column in read.table.features.columns], len(read.labels)
        label = read.labels.itemsize if read.labels.dtype.kind == "U" else 0
        memory = self._clf._memory
        size = memory.LabelSize(len(distinct(read.labels)), label)
        self._check(m, memory.training_bytes(self._clf, m, kinds, self._choice.test_fraction, size))

    def _check(self, n_rows: int, needed: float) -> None:
        if needed <= self._room:
            return
        made = "rows.parquet" if self._data == STANDARD_INPUT else f"{self._data.name.split('.')[0]}.parquet"
        command = parquet_command("/dev/stdin" if self._data == STANDARD_INPUT else str(self._data), made)
        raise InputError(
            f"{self._data}: {n_rows} rows take about {needed / 1e6:.0f} MB while they train, and --memory-limit "
            f"{self._clf.memory_limit} leaves {self._room / 1e6:.0f} MB beside the program: raise it, or make a "
            f"Parquet file, whose rows need not fit into memory: {command}"
        )


def train_on_rows(clf: BDNNClassifier, rows: LabeledRows, choice: TableChoice, quiet: bool) -> TrainingTable:
    """Train on rows beyond memory; return the sample as the table of the training."""
    if not 0 <= choice.test_fraction < 1:
        raise InputError(f"--test-fraction must be at least 0 and below 1, got {choice.test_fraction:g}")
    repeated(0.0)
    limit = math.inf if clf.time_limit is None else clf.time_limit
    with shown_progress(limit, quiet) as listener:
        clf._fit_rows(rows, heard(listener), choice.test_fraction, choice.seed)
    names = list(rows.data.columns)
    drop, ids = (tuple(split_names(each, names)) for each in (choice.drop, choice.ids))
    sample = replace(clf.partitioned_.sample, drop=drop, ids=ids)
    show_notes(Path(rows.data.name), sample)
    if choice.missing == "error":
        refuse_gaps(sample.features, "--missing error keeps no replacements")
    assert sample.labels is not None
    every = np.arange(len(sample.labels))
    return TrainingTable(sample, sample.labels, every, every[:0])


def with_rows(report: dict[str, Any], clf: BDNNClassifier) -> dict[str, Any]:
    """Return the report of a training with the figures of rows beyond memory in the place of those of the sample."""
    found, report = clf.partitioned_, dict(report)
    report |= {
        "rows": found.n_rows - found.n_unlabeled,
        "rows_without_label": found.n_unlabeled,
        "missing_replaced": dict(found.missing),
        "training_rows": found.n_training,
    }
    if (audited := clf.result_.n_rows) < found.n_training:  # how many of the rest are equal is not known
        report |= {"audited_rows": audited, "distinct_training_rows": found.n_training}
    if found.confusion is not None:
        right = np.diagonal(found.confusion)
        support = found.confusion.sum(axis=1)
        report |= {
            "held_out_rows": int(support.sum()),
            "held_out_accuracy": float(right.sum() / support.sum()),
            "held_out_balanced_accuracy": float(np.mean(right[support > 0] / support[support > 0])),
        }
    report["beyond_memory"] = {
        "sample_rows": len(found.sample.rows),
        "sample_loss": found.sample_loss if math.isfinite(found.sample_loss) else None,
        "loss": found.loss if math.isfinite(found.loss) else None,
        "passes": found.passes,
        "blocks": found.n_blocks,
        "file_bytes": found.file_bytes,
        "unseen": dict(found.unseen),
        "seconds": dict(found.seconds),
    }
    return report


def evaluated(model: Model, rows: LabeledRows) -> dict[str, Any]:
    """Return the figures of a model on a data set, part by part; see `bdnn.reports.metrics.measures`."""
    network = model.network
    rows.find_classes(network.classes)
    parts: list[Array] = []
    n_known, widest = 0, len(network.classes)
    for part, X in _encoded(model, rows):
        assert part.codes is not None
        known = part.codes >= 0
        n_known += int(np.count_nonzero(known))
        figures = [part.codes[known], network.predict_index(X[known]), *_columns(network.decision_function(X[known]))]
        if model.calibration is not None:
            figures += _columns(model.calibration.probabilities(pre_activations(network, X[known])))
        parts.append(_counted(np.column_stack([*figures, np.ones(len(figures[0]))])))
        if len(parts) > 1:
            parts = [_counted(np.concatenate(parts))]
        if len(parts[0]) > _MOST_SCORES:
            parts[0][:, 2:-1] = 0.0
            parts = [_counted(parts[0])]
            widest = -1
    if not n_known:
        raise InputError(f"the data set {rows.data.name} has no row with a label")
    (table,) = parts
    truth, predicted, counts = table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), table[:, -1].astype(np.intp)
    n_scores = table.shape[1] - 3 - (0 if model.calibration is None else len(network.classes))
    scores = table[:, 2 : 2 + n_scores]
    shares = None if model.calibration is None else table[:, 2 + n_scores : -1]
    if widest < 0:
        return measures(network.classes, truth, predicted, None, None, counts)
    return measures(network.classes, truth, predicted, scores[:, 0] if n_scores == 1 else scores, shares, counts)


def _columns(values: Floats) -> list[Array]:
    return list(np.atleast_2d(values.T))


def _counted(rows: Floats) -> Floats:
    """Return different rows, the last column of which counts them."""
    different, place = np.unique(rows[:, :-1], axis=0, return_inverse=True)
    return np.column_stack([different, np.bincount(place.ravel(), rows[:, -1], len(different))])


def model_rows(
    model: Model,
    data: Path,
    target: str | None,
    missing_labels: str | None,
    reading: Reading,
    carry: Sequence[str] = (),
) -> LabeledRows:
    """Return the rows of a data set for a model."""
    info = model.table
    if not model.encoder_in_use.named:
        raise InputError(f"the model does not know the names of its columns, which a data set such as {data} needs")
    na = reading.na if reading.na is not None or info is None else info.na
    found = opened(data, (), Reading(na=na))
    names = list(found.columns)
    ids = () if info is None else tuple(name for name in info.id if name in names)
    kept = tuple(dict.fromkeys((*ids, *split_names(carry, names))))
    if absent := [name for name in kept if name not in names]:
        raise InputError(f"{found.name} has no column {absent[0]!r}")
    rule = missing_labels or ("error" if info is None else info.missing_labels)
    return LabeledRows(found, target, None, rule, carry=kept)


def predictions(
    model: Model, rows: LabeledRows, more: Callable[[Reals], list[Array]]
) -> Callable[[], Iterator[Sequence[Any]]]:
    """Return a function that yields the rows of a table of predictions, part by part."""

    def each() -> Iterator[Sequence[Any]]:
        for part, X in _encoded(model, rows):
            columns = [model.network.predict(X), *more(X)]
            yield from zip(*part.carried.values(), *(column.tolist() for column in columns), strict=True)

    return each


def _encoded(model: Model, rows: LabeledRows) -> Iterator[tuple[Part, Reals]]:
    encoder, unseen = model.encoder_in_use, Counter[str]()
    known = columns_of(encoder, {} if model.table is None else model.table.dates)
    for part in rows.parts(known):
        table = encoder.matched(as_encoded(encoder, part.table))
        encoder.check_gaps(table)
        unseen.update(encoder.unseen(table))
        yield part, model.network.check_inputs(np.column_stack(inputs_of(encoder, table)))
    say_unseen(unseen)
