"""``bdnn predict``, ``bdnn evaluate`` and ``bdnn inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from bdnn.cli.options import FILE, TEXT_OUT, label_options
from bdnn.cli.output import check_files, save_csv, say
from bdnn.cli.reading import filled_inputs, model_inputs, model_table, target_of
from bdnn.model_file.reading import load_model
from bdnn.reports import summary as reporting
from bdnn.reports.metrics import measures_text


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=FILE)
@click.option("--out", type=TEXT_OUT, default=None, help="CSV file to write; - is standard output.  [default: -]")
@click.option("--scores", is_flag=True, help="Add the pre-activations of the outputs.")
def predict(model_file: Path, data: Path, out: Path | None, scores: bool) -> None:
    """Predict the rows of a CSV table; other columns than the model's features are ignored."""
    check_files({"--out": out}, {"MODEL": model_file, "DATA": data})
    model = load_model(model_file)
    X, _ = model_inputs(model, data, None)
    columns = {"prediction": model.network.predict(X)}
    if scores:
        values = model.network.decision_function(X)
        names = ["score"] if values.ndim == 1 else [f"score_{label}" for label in model.network.classes]
        columns |= dict(zip(names, np.atleast_2d(values.T), strict=True))
    listed = [column.tolist() for column in columns.values()]
    save_csv("table", out, columns, lambda: zip(*listed, strict=True))


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=FILE)
@label_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(model_file: Path, data: Path, target: str | None, missing_labels: str | None, as_json: bool) -> None:
    """Print accuracy, precision and recall of classes, area under the ROC curve and confusion matrix on a CSV table."""
    model = load_model(model_file)
    table = model_table(model, data, target_of(model, target), missing_labels)
    assert table.labels is not None
    report = reporting.evaluation(model.network, filled_inputs(model, table), table.labels)
    if table.n_unlabeled:
        report["rows_without_label"] = table.n_unlabeled
    say(json.dumps(report) if as_json else measures_text(report))


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model_file: Path, as_json: bool) -> None:
    """Print the layers, weights and training result of a model."""
    model = load_model(model_file)
    say(json.dumps(reporting.model_description(model)) if as_json else reporting.model_text(model))
