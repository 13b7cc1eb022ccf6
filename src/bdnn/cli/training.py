"""``bdnn train`` and ``bdnn bound``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

import bdnn
from bdnn import reporting
from bdnn.cli.options import FILE, OUT, SEED, HiddenSizes, estimator_options, table_options
from bdnn.cli.reading import read_training_table
from bdnn.errors import InputError
from bdnn.io import TableInfo, load_model
from bdnn.progress import shown_progress
from bdnn.result import Result


@click.command()
@click.argument("data", type=FILE)
@table_options
@estimator_options
@click.option("--start", type=FILE, default=None, help="Model file to start from; the result is never worse.")
@click.option("--out", type=OUT, default=None, help="Model file to write.")
@click.option(
    "--certificate",
    type=OUT,
    default=None,
    help="Certificate of the bound to write, compressed if its name ends in .gz, for 'bdnn verify'; method exact only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")  # fmt: skip
def train(
    data: Path,
    target: str,
    drop: tuple[str, ...],
    missing: str,
    test_fraction: float,
    start: Path | None,
    out: Path | None,
    certificate: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a network on a CSV table and save it."""
    for path in (out, certificate):
        if path is not None and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise InputError(f"cannot write {path}: {path.parent} is not a writable folder")
    if certificate is not None:
        _check_certifiable(certificate, out, settings)
        settings["certificate"] = True
    clf = bdnn.BDNNClassifier(**settings)
    if start is not None:
        clf.set_params(warm_start=True)
        clf.network_ = load_model(start).network
    read = read_training_table(data, target, drop, missing, test_fraction, settings["random_state"])
    X, labels, rows, held_out = read.X, read.labels, read.rows, read.held_out
    with shown_progress(settings["time_limit"], quiet) as listener:
        clf.fit(X[rows], labels[rows], feature_names=read.table.names, on_progress=listener)
    if out is not None:
        fill = None if read.fill is None else tuple(read.fill.tolist())
        clf.save(out, TableInfo(target, missing, fill, drop, test_fraction, settings["random_state"]))
    report = reporting.training_report(clf.result_, read.table, rows, read.fill)
    if len(held_out):
        right = clf.network_.predict(X[held_out]) == labels[held_out]
        report |= {"held_out_rows": len(held_out), "held_out_accuracy": float(right.mean())}
    report["model_file"] = None if out is None else str(out)
    lines = []
    if certificate is not None:
        report["certificate"], line = _written(clf.result_, certificate)
        lines = [f"{'certificate':<18}{line}"]
    click.echo(json.dumps(report, indent=1) if as_json else "\n".join([reporting.training_text(report), *lines]))


@click.command()
@click.argument("data", type=FILE)
@table_options
@click.option(
    "--hidden",
    "hidden_layer_sizes",
    type=HiddenSizes(),
    default="none",
    show_default=True,
    help="Neurons of the hidden layer, up to 5, or 'none'; not with --model.",
)
@click.option(
    "--model",
    "model_file",
    type=FILE,
    default=None,
    help="Model file whose architecture and loss are taken; its loss on the rows is audited.",
)
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--checkpoint",
    type=OUT,
    default=None,
    help="File to write the state of the run to, and to go on from if it exists.",
)
@click.option(
    "--seed", "random_state", type=SEED, default=0, show_default=True, help="Seed of the split and of the run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")  # fmt: skip
def bound(
    data: Path,
    target: str,
    drop: tuple[str, ...],
    missing: str,
    test_fraction: float,
    hidden_layer_sizes: tuple[int, ...],
    model_file: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Bound the training loss of every network of an architecture on a CSV table, however large.

    Rows are chosen as by 'bdnn train': the bound is for the training rows.
    """
    read = read_training_table(data, target, drop, missing, test_fraction, settings["random_state"])
    clf = bdnn.BDNNClassifier(method="exact", formulation="activation", **settings)
    if model_file is not None:
        clf.network_ = load_model(model_file).network
        clf.set_params(warm_start=True, head=clf.network_.head)
        hidden_layer_sizes = clf.network_.widths[:-1]
    clf.set_params(hidden_layer_sizes=hidden_layer_sizes)
    with shown_progress(settings["time_limit"], quiet) as listener:
        clf.fit(read.X[read.rows], read.labels[read.rows], feature_names=read.table.names, on_progress=listener)
    report = reporting.bound_report(clf.result_)
    click.echo(json.dumps(report, indent=1) if as_json else reporting.bound_text(report))


def _check_certifiable(certificate: Path, out: Path | None, settings: dict[str, Any]) -> None:
    if settings["method"] != "exact":
        raise InputError(
            f"--certificate needs --method exact, got {settings['method']!r}: other methods prove no bound"
        )
    if settings["validation_fraction"]:
        raise InputError("--certificate needs --validation-fraction 0: 'bdnn verify' takes all of the training rows")
    if out is not None and out.resolve() == certificate.resolve():
        raise InputError(f"--out and --certificate must be two files, got {out} for both")


def _written(result: Result, path: Path) -> tuple[dict[str, Any], str]:
    """Write the certificate of a result; return what to report of it, as values and as a line."""
    content = result.certificate
    if content is None:
        reason = (
            f"this run has no proof to write down (it ended with: {result.message}); there is one when branch and cut "
            f"has begun and the sample weights are multiples of a common unit"
        )
        return {"file": None, "reason": reason}, f"none written: {reason}"
    bdnn.save_certificate(content, path)
    cuts, leaves = len(content["cuts"]), sum(type(node) is int for tree in content["trees"] for node in tree["nodes"])
    optimal = content["bound"] == content["loss"]
    claim = f"loss {content['loss']} is optimal" if optimal else f"no network has a loss below {content['bound']}"
    report = {"file": str(path), "cuts": cuts, "leaves": leaves, "claim": claim}
    return report, f"{path}: {cuts} cuts, {leaves} leaves; claims that {claim}"
