"""``bdnn predict``, ``bdnn evaluate`` and ``bdnn inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from bdnn.calibration import pre_activations
from bdnn.cli.data_sets import evaluated, model_rows, predictions
from bdnn.cli.options import FILE, TEXT_OUT
from bdnn.cli.output import check_files, save_csv, say
from bdnn.cli.reading import answers, model_table, target_of
from bdnn.cli.table_options import ROWS, Names, format_options, label_options
from bdnn.errors import InputError
from bdnn.labels import label_codes
from bdnn.model_file.contents import EnsembleModel
from bdnn.model_file.reading import load_any, load_model
from bdnn.reports import summary as reporting
from bdnn.reports.metrics import measures, measures_text
from bdnn.tables.dataset import is_pattern

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model
    from bdnn.tables import Reading
    from bdnn.types import Array, Reals


def _single(model_file: Path, model: Model | EnsembleModel) -> Model:
    """Return the model of one network, which alone goes through data sets part by part."""
    if isinstance(model, EnsembleModel):
        raise InputError(
            f"{model_file} holds an ensemble, and rows of several Parquet files are decided by single networks only: "
            "give one file after the other"
        )
    return model


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=ROWS)
@click.option("--out", type=TEXT_OUT, default=None, help="CSV file to write; - is standard output.  [default: -]")
@click.option("--scores", is_flag=True, help="Add the pre-activations of the outputs.")
@click.option("--proba", is_flag=True, help="Add the probabilities of the classes; needs a model of --probability.")
@click.option(
    "--keep",
    multiple=True,
    type=Names(),
    metavar="COLUMN[,COLUMN]",
    help="Columns of DATA to write beside the predictions, as they are; may be repeated.",
)
@format_options
def predict(
    model_file: Path,
    data: Path,
    out: Path | None,
    scores: bool,
    proba: bool,
    keep: tuple[str, ...],
    reading: Reading,
) -> None:
    """Predict the rows of a table; other columns than the model's features are ignored.

    The model may be a network or an ensemble. Columns that name rows (--id of the training) and those to keep come
    first.
    """
    check_files({"--out": out}, {"MODEL": model_file, "DATA": data})
    model = load_any(model_file)
    if proba and model.calibration is None:
        kind, how = "the network", "with --probability"
        if isinstance(model, EnsembleModel):
            kind, how = "the ensemble", "as BDNNEnsembleClassifier(probability=True)"
        raise InputError(
            f"{model_file} has no probabilities: train it {how}, which calibrates them; --scores gives the outputs of "
            f"{kind} as they are"
        )
    names = ["prediction"]
    if scores:
        single = len(model.classes) == 2 if isinstance(model, EnsembleModel) else model.network.widths[-1] == 1
        names += ["score"] if single else [f"score_{label}" for label in model.classes]
    if proba:
        names += [f"probability_{label}" for label in model.classes]
    if is_pattern(data):
        network = _single(model_file, model)

        def more(X: Reals) -> list[Array]:
            columns: list[Array] = []
            if scores:
                columns += list(np.atleast_2d(network.network.decision_function(X).T))
            if proba and network.calibration is not None:
                columns += list(network.calibration.probabilities(pre_activations(network.network, X)).T)
            return columns

        rows = model_rows(network, data, None, None, reading, keep)
        save_csv("table", out, [*rows.carry, *names], predictions(network, rows, more))
        return
    table = model_table(model, data, None, reading=reading, carry=keep)
    found = answers(model_file, model, table)
    columns = [model.classes[found.codes]]
    if scores:
        columns += list(np.atleast_2d(found.scores.T))
    if proba and found.probabilities is not None:
        columns += list(found.probabilities.T)
    listed = [*table.carried.values(), *(column.tolist() for column in columns)]
    save_csv("table", out, [*table.carried, *names], lambda: zip(*listed, strict=True))


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=ROWS)
@label_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    model_file: Path, data: Path, target: str | None, missing_labels: str | None, reading: Reading, as_json: bool
) -> None:
    """Print accuracy, precision and recall of classes, area under the ROC curve and confusion matrix on a table.

    The model may be a network or an ensemble.
    """
    model = load_any(model_file)
    if is_pattern(data):
        network = _single(model_file, model)
        rows = model_rows(network, data, target_of(model, target), missing_labels, reading)
        report = evaluated(network, rows)
        unlabeled = rows.n_rows - report["rows"]
    else:
        table = model_table(model, data, target_of(model, target), missing_labels, reading)
        assert table.labels is not None
        found = answers(model_file, model, table)
        truth = label_codes(model.classes, table.labels, len(table.labels))
        report, unlabeled = measures(model.classes, truth, *found), table.n_unlabeled
    if unlabeled:
        report["rows_without_label"] = unlabeled
    say(json.dumps(report) if as_json else measures_text(report))


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model_file: Path, as_json: bool) -> None:
    """Print the layers, weights and training result of a model."""
    model = load_model(model_file)
    say(json.dumps(reporting.model_description(model)) if as_json else reporting.model_text(model))
