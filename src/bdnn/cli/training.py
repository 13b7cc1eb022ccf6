"""``bdnn train`` and ``bdnn bound``."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import bdnn
from bdnn.checker.rows import table_part
from bdnn.cli.compact import Budgets, train_compact
from bdnn.cli.data_sets import MemoryForTable, rows_beyond_memory, train_on_rows, with_rows
from bdnn.cli.options import (
    CLASS_WEIGHT,
    CLUSTER_HELP,
    FILE,
    JOBS_HELP,
    OUT,
    SEED,
    TEXT_OUT,
    HiddenSizes,
    estimator_options,
)
from bdnn.cli.output import STDOUT, Ending, check_files, save_output, say
from bdnn.cli.reading import (
    TrainingTable,
    inputs_of,
    nothing_kept,
    read_training_table,
    refuse_gaps,
    start_encoder,
    table_choice,
    table_info,
)
from bdnn.cli.stopping import finishing, heard, repeated, requested
from bdnn.cli.table_options import ROWS, TABLE, table_options
from bdnn.encoding.codes import PARTS
from bdnn.errors import InputError, NotCoveredError, OutputError, UnorderedColumnError
from bdnn.model_file.contents import Model, TableInfo
from bdnn.model_file.reading import load_model
from bdnn.model_file.writing import check_size
from bdnn.network.losses import Loss
from bdnn.problem.shapes import AUTO, largest
from bdnn.progress import shown_progress
from bdnn.reports import summary as reporting
from bdnn.result import CERTIFICATE_SHORTFALLS, NO_TIME_FOR_CERTIFICATE

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawColumn
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.network.network import Network


@click.command()
@click.argument("data", type=ROWS)
@table_options
@estimator_options
@click.option(
    "--start",
    type=FILE,
    default=None,
    help="Model file to start from; the result is never worse, and keeps its medians.",
)
@click.option(
    "--out",
    type=TEXT_OUT,
    default=None,
    help="Model file to write; - is standard output, and the report then goes to standard error.",
)
@click.option(
    "--certificate",
    type=TEXT_OUT,
    default=None,
    help="Certificate of the bound to write, compressed if its name ends in .gz, for 'bdnn verify'; method exact only.",
)
@click.option(
    "--max-bytes",
    type=Budgets(),
    default=None,
    help="Search for the most accurate network of at most so many bytes, such as 128; of several numbers, such as "
    "32,128,512, for one each, with a model file each.",
)
@click.option(
    "--front",
    type=OUT,
    default=None,
    help="Picture of accuracy over bytes, with --max-bytes: .png, .svg or .pdf.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")  # fmt: skip
def train(
    data: Path,
    start: Path | None,
    out: Path | None,
    certificate: Path | None,
    max_bytes: tuple[int, ...] | None,
    front: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a network on a table and save it.

    DATA is a CSV file of any delimiter, packed or not, or a Parquet file; - is standard input. A folder of Parquet
    files, or a pattern such as 'data/*.parquet', is a data set, whose rows need not fit into memory. What has to be
    assumed of it is said on standard error.
    """  # fmt: skip
    choice, settings = table_choice(settings)
    if max_bytes is not None:
        if start is not None or certificate is not None:
            raise InputError(
                "--max-bytes searches anew and proves nothing: leave it, or --start and --certificate, out"
            )
        train_compact(data, choice, settings, max_bytes, out, front, as_json, quiet)
        return
    if front is not None:
        raise InputError("--front is the picture of what --max-bytes finds; give it, or leave --front out")
    outputs = {"--out": out, "--certificate": certificate, "--checkpoint": settings["checkpoint"]}
    check_files(outputs, {"DATA": data, "--start": start})
    if certificate is not None:
        _check_certifiable(settings)
        settings["certificate"] = True
    if settings["checkpoint"] is not None and settings["method"] != "exact":
        raise InputError(
            f"--checkpoint needs --method exact, got {settings['method']!r}: other methods write no state to go on from"
        )
    clf = bdnn.BDNNClassifier(**settings)
    classes = model = None
    if start is not None:
        model = load_model(start)
        clf.set_params(warm_start=True)
        clf.network_, clf.encoder_ = model.network, start_encoder(model)
        classes = clf.network_.classes
    if (rows := rows_beyond_memory(clf, data, choice)) is not None:
        read = train_on_rows(clf, rows, choice, quiet)
        info = replace(table_info(clf, read, choice), test_fraction=None, seed=None)
        _name_signal(clf)
    else:
        memory = MemoryForTable(clf, data, choice)
        read = read_training_table(data, choice, classes=classes, model=model, check=memory.check_cells)
        memory.check(read)
        if out is not None:
            _check_size(read, settings)
        _fit(clf, read, settings["time_limit"], quiet)
        info = table_info(clf, read, choice)
    with finishing():
        report = reporting.training_report(clf.result_, read.table, read.rows, clf.encoder_)
        if rows is not None:
            report = with_rows(report, clf)
        if len(read.held_out):
            inputs = inputs_of(clf.encoder_, clf.encoder_.matched(read.columns(read.held_out)))
            measured = reporting.evaluation(Model(clf.network_), inputs, read.labels[read.held_out])
            report |= {f"held_out_{name}": measured[name] for name in ("rows", "accuracy", "balanced_accuracy")}
        if clf.calibration_ is not None:
            report["calibration"] = reporting.calibration_report(clf.calibration_)
        report["selection"] = reporting.selection_report(clf.selection_)
        report["model_file"] = None
        # whatever cannot be printed or saved must not cost the rest
        ending, tell = Ending(), partial(say, err=STDOUT in (out, certificate))
        if not as_json:
            ending.attempt(tell, reporting.training_text(report))
        if out is not None and ending.attempt(save_output, "network", out, lambda place: clf.save(place, info)):
            report["model_file"] = str(out)
            if not as_json:
                ending.attempt(tell, f"{'saved to':<18}{out}")
        if certificate is not None:
            report["certificate"], line = _written(clf, certificate, read, info, ending, settings["checkpoint"])
            if line and not as_json:
                ending.attempt(tell, f"{'certificate':<18}{line}")
        if as_json:
            ending.attempt(tell, json.dumps(report, indent=1))
        ending.close()


@click.command()
@click.argument("data", type=TABLE)
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
    help="Model file whose architecture and loss are used, if its inputs are not rounded to a grid (integer weights); "
    "its loss on the rows, with gaps filled by what the model keeps, is audited.",
)
@CLASS_WEIGHT
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--checkpoint",
    type=OUT,
    default=None,
    help="File to write the state of the run to, and to go on from if it exists.",
)
@click.option("--jobs", "n_jobs", type=int, default=1, show_default=True, help=f"Threads; {JOBS_HELP}.")
@click.option("--cluster", default=None, help=CLUSTER_HELP)
@click.option(
    "--seed", "random_state", type=SEED, default=0, show_default=True, help="Seed of the split and of the run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")  # fmt: skip
def bound(
    data: Path,
    hidden_layer_sizes: tuple[int, ...],
    model_file: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Bound the training loss of every network of an architecture on a CSV table, however large.

    Rows are chosen as by 'bdnn train': the bound is for the training rows.
    """
    choice, settings = table_choice(settings)
    check_files({"--checkpoint": settings["checkpoint"]}, {"DATA": data, "--model": model_file})
    clf = bdnn.BDNNClassifier(method="exact", formulation="activation", **settings)
    classes = model = None
    if model_file is not None:
        model = load_model(model_file)
        _check_bounded(model.network, model_file)
        clf.network_, clf.encoder_ = model.network, start_encoder(model)
        classes = clf.network_.classes
        clf.set_params(warm_start=True, head=clf.network_.head)
        hidden_layer_sizes = clf.network_.widths[:-1]
    clf.set_params(hidden_layer_sizes=hidden_layer_sizes)
    read = read_training_table(data, choice, classes=classes, model=model)
    if model is not None:
        refuse_gaps(read.table.features, nothing_kept(model))
    if hidden_layer_sizes in ((), (2,)) and len(np.unique(read.labels[read.rows])) == 2:
        clf.set_params(formulation="auto")  # branch and cut covers it, and of few features all networks may be seen
    try:
        _fit(clf, read, settings["time_limit"], quiet)
    except NotCoveredError as error:
        smaller = "a smaller --hidden" if model is None else "--hidden instead of --model"
        raise InputError(
            f"'bdnn bound' does not cover {error.reason}: it needs at most one hidden layer, of up to five neurons "
            f"with two classes and of up to three with more classes, depending on their number, and with more classes "
            f"equal rows must have equal labels; give {smaller}, such as none, if the layers are the reason, or "
            f"compute the bound with 'bdnn train --method exact'"
        ) from None
    report = reporting.bound_report(clf.result_)
    with finishing():
        say(json.dumps(report, indent=1) if as_json else reporting.bound_text(report))


def _fit(clf: BDNNClassifier, read: TrainingTable, time_limit: float, quiet: bool) -> None:
    """Train on the training rows, with progress; the best network stays if a signal ends the training."""
    repeated(0.0)  # what was swallowed while modules were imported and the table was read
    clf._warns = not clf.certificate
    try:
        with shown_progress(time_limit, quiet) as listener:
            clf.fit(
                read.columns(read.rows),
                read.labels[read.rows],
                sample_weight=read.weight(read.rows),
                on_progress=heard(listener),
            )
    except UnorderedColumnError as error:
        single, sign = error.example
        raise InputError(f"{error.before}--monotonic {quote(f'{single}={sign:+d}')}{error.after}") from None
    except KeyboardInterrupt:
        if not hasattr(clf, "result_"):  # else the training was over
            raise
    if clf.certificate:  # that one is missing is an error, which is said at the end
        clf._warns = True
        clf._warn(what for what in clf.result_.shortfalls if what not in CERTIFICATE_SHORTFALLS)
    _name_signal(clf)


def _name_signal(clf: BDNNClassifier) -> None:
    """Say in the result which signal ended the training, if one did."""
    if (asked := requested()) and clf.result_.interrupted:
        clf.result_ = replace(clf.result_, message=clf.result_.message.replace("Ctrl-C", asked))


def _check_size(read: TrainingTable, settings: dict[str, Any]) -> None:
    """Refuse a network that could not be saved before it is trained."""
    if settings["hidden_layer_sizes"] == AUTO:
        n_numeric = sum(column.kind == "numeric" for column in read.table.features.columns)
        settings = largest(settings, len(read.rows), n_numeric)
    hidden, n_classes = settings["hidden_layer_sizes"], len(np.unique(read.labels[read.rows]))
    loss = Loss("argmax" if settings["head"] == "argmax" else "threshold", n_classes)
    if all(size > 0 for size in hidden):  # else the training says what is wrong
        integer = settings["weights"] == "integer"
        names = [name for column in read.table.features.columns for name in _possible_inputs(column, settings)]
        check_size((len(names), *hidden, loss.n_outputs), names, settings["weight_bound"] if integer else None)


def _possible_inputs(column: RawColumn, settings: dict[str, Any]) -> list[str]:
    """Return names as long and as many as those of the inputs that a column can have."""
    count, longest = 1, ""
    if column.kind == "categorical":
        count = min(len(column.levels), settings.get("max_categories") or len(column.levels))
        longest = max(column.levels, key=len, default="")
    elif column.kind == "date":
        count, longest = len(PARTS), max(PARTS, key=len)
    elif settings.get("thresholds"):
        count, longest = settings["thresholds"], repr(0.1)
    name = f"{column.name} {longest}" if longest else column.name
    return [name] * (count + bool(column.missing.any()))


def _check_bounded(network: Network, path: Path) -> None:
    """Refuse a model that is not of the class of continuous weights: one whose inputs are rounded to a grid."""
    if network.grid is None:
        return
    largest = max(int(np.abs(W).max(initial=0)) for W, _ in network.layers)
    hidden = ",".join(map(str, network.widths[:-1])) or "none"
    raise InputError(
        f"'bdnn bound' covers continuous weights on the inputs as they are, and {path} has integer weights on inputs "
        f"rounded to a grid: give --hidden {hidden} instead of --model to bound the loss for continuous weights, or "
        f"bound it for integer weights by 'bdnn train --method exact --weights integer "
        f"--weight-bound {max(largest, 1)} --hidden {hidden}' with the --input-bits {network.grid.bits} and the rows "
        f"of the model"
    )


def _check_certifiable(settings: dict[str, Any]) -> None:
    if settings["method"] != "exact":
        raise InputError(
            f"--certificate needs --method exact, got {settings['method']!r}: other methods prove no bound"
        )
    held_out = {"--validation-fraction 0": settings["validation_fraction"]}
    held_out["no --decision-threshold"] = settings["decision_threshold"] is not None
    for needed, given in held_out.items():
        if given:
            raise InputError(f"--certificate needs {needed}: 'bdnn verify' takes all of the training rows")


def _written(
    clf: BDNNClassifier, path: Path, read: TrainingTable, info: TableInfo, ending: Ending, checkpoint: Path | None
) -> tuple[dict[str, Any], str]:
    """Write the certificate of a result; return what to report of it, as values and as a line, empty if that failed."""
    result, encoder, inputs = clf.result_, clf.encoder_, None
    content = result.certificate
    if content is None:
        reason = (
            f"this run has no proof to write down (it ended with: {result.message}); there is one if branch and cut "
            f"has begun and the sample weights are multiples of a common unit"
        )
        if NO_TIME_FOR_CERTIFICATE in result.shortfalls:
            reason = (
                f"the time limit left no time to write it; the proof is kept in {checkpoint}, from which the same "
                f"command with a longer --time-limit writes it"
            )
        ending.errors.append(OutputError(f"no certificate was written to {path}: {reason}"))
        return {"file": None, "reason": reason}, ""
    if not encoder.is_identity:
        na = None if info.na is None else list(info.na)
        inputs = {"encoder": encoder.to_json(), "na": na, "dates": dict(info.dates)}
    table = table_part(
        target=info.target,
        features=read.table.names,
        drop=info.drop,
        missing=info.missing,
        fill=None if inputs is not None else info.fill,
        rows=read.table.rows[read.rows],
        n_rows=len(read.table.rows) + read.table.n_unlabeled,
        test_fraction=info.test_fraction,
        seed=info.seed,
        inputs=inputs,
        weight=info.weight,
    )
    plain = inputs is None and info.weight is None
    content = content | {"version": max(content["version"], 2 if plain else 3), "table": table}
    if not plain:
        content.setdefault("class_weight", None)
    if not ending.attempt(save_output, "certificate", path, lambda place: bdnn.save_certificate(content, place)):
        return {"file": None, "reason": str(ending.errors[-1])}, ""
    cuts, leaves = len(content["cuts"]), sum(type(node) is int for tree in content["trees"] for node in tree["nodes"])
    optimal = content["bound"] == content["loss"]
    claim = f"loss {content['loss']} is optimal" if optimal else f"no network has a loss below {content['bound']}"
    report = {"file": str(path), "cuts": cuts, "leaves": leaves, "claim": claim}
    return report, f"{path}: {cuts} cuts, {leaves} leaves; claims that {claim}"
