"""Reading tables as commands want them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

import bdnn
from bdnn import tables
from bdnn.calibration import pre_activations
from bdnn.cli.output import say
from bdnn.cli.table_options import FORMAT_OPTIONS, reading_of
from bdnn.columns import listed, quoted
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.labels import label_codes
from bdnn.model_file.contents import EnsembleModel, TableInfo
from bdnn.regression_targets import check_discrete, regression_hint
from bdnn.splitting import SPLIT_VERSION, split
from bdnn.tables import Known, Reading, Table

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.model_file.contents import Model
    from bdnn.types import Array, Floats

_PLAIN = Reading()


class TableChoice(NamedTuple):
    """Which rows and columns of a table are trained on, and how it is read."""

    target: str | None
    drop: tuple[str, ...] = ()
    missing: str = "median"
    test_fraction: float = 0.25
    seed: int = 0
    missing_labels: str = "error"
    weight: str | None = None
    ids: tuple[str, ...] = ()
    reading: Reading = _PLAIN


def table_choice(values: dict[str, Any]) -> tuple[TableChoice, dict[str, Any]]:
    """Return what the values of `bdnn.cli.options.table_options` choose, and the other values."""
    others, format_names = dict(values), (*FORMAT_OPTIONS, "numeric", "categorical", "types")
    reading = reading_of(**{name: others.pop(name) for name in format_names})
    own = {name: others.pop(name) for name in TableChoice._fields if name in others}
    return TableChoice(**own, seed=others["random_state"], reading=reading), others


class TrainingTable(NamedTuple):
    """A table, and its rows for training and for testing."""

    table: Table
    labels: Array
    rows: Array
    held_out: Array

    @property
    def target(self) -> str:
        """Name of the target column."""
        assert self.table.target is not None
        return self.table.target

    def columns(self, rows: Array) -> RawTable:
        """Return the columns of some rows."""
        return self.table.features.take(rows)

    def weight(self, rows: Array) -> Array | None:
        """Return the weights of some rows."""
        return None if self.table.weight is None else self.table.weight[rows]


def read_training_table(
    data: Path,
    choice: TableChoice,
    *,
    classes: Array | None = None,
    split_version: int = SPLIT_VERSION,
    model: Model | None = None,
    tidy: bool = True,
    check: Callable[[int, int], None] | None = None,
) -> TrainingTable:
    """Read what is trained on, for training and for the check of its certificate.

    Labels are read as `classes`, if they are known, and rows are held out by the rule `split_version`. Columns of a
    `model` are read as it has them. Columns that cannot help are left out if it is to be `tidy`. What `check` is given
    and does is said at `bdnn.tables.reading.read_table`.
    """
    target, test_fraction = choice.target, choice.test_fraction
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction must be at least 0 and below 1, got {test_fraction:g}")
    if target == "":
        raise InputError("--target must be the name of a column")
    table = tables.read_table(
        data,
        tables.GUESS if target is None else target,
        drop=choice.drop,
        ids=choice.ids,
        classes=classes,
        missing_labels=choice.missing_labels,
        reading=choice.reading,
        known=None if model is None else known_columns(model),
        weight=choice.weight,
        tidy=tidy,
        check=check,
    )
    show_notes(data, table)
    assert table.labels is not None
    hint = ""
    if classes is None:
        what = f"The target column {table.target!r} of {data}"
        try:
            check_discrete(what, table.labels)
        except InputError as error:
            if target is not None:
                raise
            raise InputError(f"{error}; another column is taken with --target") from None
        hint = regression_hint(what, table.labels)
        if table.merged:
            how = "by blanks around them" if table.labels.dtype.kind == "U" else "in how a number is written"
            alike = f"{what} has labels that differ only {how}: {table.merged}. They are read as one"
            warnings.warn(alike, stacklevel=2)
    try:
        rows, held_out = split_rows(table.features, table.labels, test_fraction, choice.seed, split_version)
    except InputError as error:
        raise InputError(f"{hint}; {error}" if hint else str(error)) from None
    if hint:
        warnings.warn(hint, stacklevel=2)
    if choice.missing == "error":
        refuse_gaps(table.features, "--missing error keeps no replacements")
    return TrainingTable(table, table.labels, rows, held_out)


def table_info(clf: BDNNClassifier, read: TrainingTable, choice: TableChoice) -> TableInfo:
    """Return what a model file says of the table."""
    table, encoder, fill = read.table, clf.encoder_, None
    if choice.missing == "median" and encoder.is_identity and all(code.fill is not None for code in encoder.columns):
        fill = tuple(float(code.fill or 0) for code in encoder.columns)
    return TableInfo(
        read.target,
        choice.missing,
        fill,
        table.drop,
        choice.test_fraction,
        choice.seed,
        missing_labels=choice.missing_labels,
        id=table.ids,
        weight=choice.weight,
        na=choice.reading.na,
        dates={name: form for name, form in table.forms.items() if name in encoder.names},
        n_columns=None if table.header else table.n_columns,
    )


def show_notes(data: Path, table: Table) -> None:
    """Say on standard error what was assumed of a table."""
    name = "standard input" if data == tables.STANDARD_INPUT else data.name
    for note in table.notes:
        say(f"{name}: {note}", err=True)


def split_rows(
    features: RawTable, labels: Array, test_fraction: float, seed: int, version: int = SPLIT_VERSION
) -> tuple[Array, Array]:
    """Return the rows for training and for testing."""
    rows = np.arange(len(labels))
    if test_fraction == 0:
        return rows, rows[:0]
    try:
        return split(features.numbers(whole_hours=version > 2), labels, test_fraction, seed, version)
    except InputError as error:
        raise InputError(
            f"cannot hold out {test_fraction:g} of the rows ({error}); if these are classes, train on all rows with "
            f"--test-fraction 0"
        ) from None


def known_columns(model: Model | EnsembleModel) -> dict[str, Known]:
    """Return what a model says of its columns; nothing if it does not know their names."""
    return columns_of(model.encoder_in_use, {} if model.table is None else model.table.dates)


def columns_of(encoder: Encoder, forms: Mapping[str, str]) -> dict[str, Known]:
    """Return what an encoder and formats of dates say of columns; nothing if these have no names."""
    if not encoder.named:
        return {}
    return {
        code.name: Known(code.kind, frozenset((*code.levels, *code.rare)), forms.get(code.name))
        for code in encoder.columns
        if code.used
    }


def model_table(
    model: Model | EnsembleModel,
    data: Path,
    target: str | None,
    missing_labels: str | None = None,
    reading: Reading = _PLAIN,
    carry: Sequence[str] | None = None,
    weight: str | None = None,
) -> Table:
    """Return the columns that the model takes, and the labels if there is a target.

    Labels are read as classes of the model. Rows without one are refused or left out, as in the training for None.
    Columns are carried along for a prediction, and those that name rows; none if `carry` is None. Weights of rows are
    read if their column is given.
    """
    info, encoder = model.table, model.encoder_in_use
    known = known_columns(model)
    drop = [] if encoder.named or info is None or info.target == target else [info.target]
    rule = missing_labels or ("error" if info is None else info.missing_labels)
    if info is not None and info.na is not None and reading.na is None:
        reading = replace(reading, na=info.na)
    table = tables.read_table(
        data,
        target,
        tuple(known) or None,
        drop,
        classes=model.classes,
        missing_labels=rule,
        reading=reading,
        known=known,
        weight=weight,
        carry=() if carry is None else carry,
        carry_if_any=() if carry is None or info is None else info.id,
    )
    show_notes(data, table)
    if len(table.names) != len(known or encoder.columns):
        raise InputError(
            f"the model takes {len(encoder.columns)} features whose names it does not know, but {data} has "
            f"{len(table.names)} columns for them: {quoted(table.names)}; leave the others out of the file"
        )
    if info is not None and info.n_columns is not None and not table.header:
        _check_headerless(data, table, info.n_columns, info.target)
    if table.n_unlabeled:
        click.echo(f"rows without a label left out: {table.n_unlabeled}", err=True)
    return replace(table, features=as_in_training(encoder, table.features))


def _check_headerless(data: Path, table: Table, n_columns: int, target: str) -> None:
    """Raise an error if columns without names are not surely those of the training."""
    without_target = n_columns - 1 if target == f"column{n_columns}" else n_columns
    if table.n_columns not in (n_columns, without_target):
        raise InputError(
            f"{data} has {table.n_columns} columns without names, and the table of the training had {n_columns}, of "
            f"which {target!r} was the target: give the same columns, or write a line of names above them"
        )


def as_in_training(encoder: Encoder, features: RawTable) -> RawTable:
    """Return the columns of an encoder: those that it does not use are taken to be missing."""
    if not encoder.named:
        named = zip(features.columns, encoder.names, strict=True)
        return RawTable(tuple(replace(column, name=name) for column, name in named))
    columns = {column.name: column for column in features.columns}
    nothing = np.full(len(features), np.nan)
    return RawTable(tuple(columns.get(name) or RawColumn(name, "numeric", nothing) for name in encoder.names))


def model_features(model: Model | EnsembleModel, data: Path, reading: Reading = _PLAIN) -> RawTable:
    """Return the columns that a model takes of a table, where nothing is missing that it has no replacement for."""
    features = model_table(model, data, None, reading=reading).features
    _refuse_lasting_gaps(model, features)
    return features


class Answers(NamedTuple):
    """What a model says of rows: indices of classes, scores, and probabilities if it has them."""

    codes: Array
    scores: Floats
    probabilities: Floats | None


def answers(model_file: Path, model: Model | EnsembleModel, table: Table) -> Answers:
    """Return what the model of a file says of the rows of a table."""
    shares = None
    if isinstance(model, EnsembleModel):
        ensemble, features = bdnn.load(model_file), table.features
        _refuse_lasting_gaps(model, features)
        say_unseen(model.encoder_in_use.unseen(features))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of levels that were not seen, as was just said
            labels, scores = ensemble.predict(features), ensemble.decision_function(features)
            if model.calibration is not None:
                shares = ensemble.predict_proba(features)
        return Answers(label_codes(model.classes, labels, len(labels)), scores, shares)
    X = filled_inputs(model, table)
    if model.calibration is not None:
        shares = model.calibration.probabilities(pre_activations(model.network, X))
    return Answers(model.network.predict_index(X), model.network.decision_function(X), shares)


def _refuse_lasting_gaps(model: Model | EnsembleModel, features: RawTable) -> None:
    # a packed model has replacements for those columns only in which values may be missing
    own = model.table is None
    codes = enumerate(model.encoder_in_use.columns)
    used = [features.columns[j] for j, code in codes if code.used and not (own and code.fill is not None)]
    refuse_gaps(RawTable(tuple(used)), nothing_kept(model))


def filled_inputs(model: Model, table: Table) -> Array:
    """Return the inputs of the network that the columns of a table become; see `inputs_of`."""
    encoder, features = model.encoder_in_use, table.features
    _refuse_lasting_gaps(model, features)
    return model.network.check_inputs(inputs_of(encoder, features))


def inputs_of(encoder: Encoder, features: RawTable) -> Floats:
    """Return the inputs that columns become; levels that the encoder does not know are counted on standard error."""
    say_unseen(encoder.unseen(features))
    return encoder.transform(features)


def say_unseen(unseen: Mapping[str, int]) -> None:
    """Say in how many rows of each column there are levels that the encoder does not know, if there are any."""
    if unseen:
        counts = ", ".join(
            f"{count} row{'s' if count > 1 else ''} of column {name!r}" for name, count in unseen.items()
        )
        say(f"levels that were not seen in the training, in {counts}; they set none of the inputs", err=True)


def start_encoder(model: Model) -> Encoder:
    """Return the encoder of a model to start from, without replacements if it is to keep none."""
    encoder = model.encoder_in_use
    if not nothing_kept(model):
        return encoder
    return replace(encoder, columns=tuple(replace(code, fill=None) for code in encoder.columns))


def refuse_gaps(features: RawTable, reason: str) -> None:
    """Raise an error if values are missing and there is a reason why nothing can replace them."""
    if reason and (counts := features.n_missing).any():
        names = [name for name, count in zip(features.names, counts, strict=True) if count]
        raise InputError(
            f"{int(counts.sum())} values are missing in {listed(names)}, and {reason}: fill them in or leave these "
            f"rows out, or train with 'bdnn train --missing median', which keeps replacements"
        )


def nothing_kept(model: Model | EnsembleModel) -> str:
    """Return why a model keeps no replacements of missing values, empty if it does."""
    info = model.table
    if info is not None and info.missing == "error":
        return "the model was trained with --missing error, which keeps no replacements"
    if all(code.fill is not None for code in model.encoder_in_use.columns if code.used):
        return ""
    if info is None:
        return "the model was not trained by 'bdnn train' and has nothing to replace them with"
    return "the model file is from a version that kept medians only if the training rows had missing values"


def model_inputs(
    model: Model,
    data: Path,
    target: str | None,
    missing_labels: str | None = None,
    reading: Reading = _PLAIN,
) -> tuple[Array, Array | None]:
    """Return the inputs of the network, and the labels if there is a target."""
    table = model_table(model, data, target, missing_labels, reading)
    return filled_inputs(model, table), table.labels


def target_of(model: Model | EnsembleModel, target: str | None) -> str:
    """Return the target column: the given one, or that of the training."""
    target = target or (model.table.target if model.table is not None else None)
    if target is None:
        raise InputError("the model file does not name its target column; give it with --target")
    return target
