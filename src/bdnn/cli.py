"""The command line: ``bdnn train``, ``predict``, ``evaluate``, ``certify``, ``inspect``, ``bound`` and ``verify``.

Exit codes: 0 done, 1 the run could not produce its output or a certificate does not hold, 2 wrong usage or input (one
line on stderr).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

import bdnn
from bdnn import reporting, tables
from bdnn.errors import (
    BDNNError,
    CertificateError,
    CertificateFileError,
    InputError,
    MissingDependencyError,
    ModelFileError,
    SolverError,
)
from bdnn.io import Model, TableInfo, load_model
from bdnn.network import Array, Floats
from bdnn.progress import shown_progress
from bdnn.result import Result
from bdnn.verify import OTHER_DATA

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_SEED = click.IntRange(0, 2**31 - 1)


class _HiddenSizes(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``16,8`` for two hidden layers, ``none`` for no hidden layer."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if value.strip().lower() == "none":
            return ()
        try:
            return tuple(int(size) for size in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of layer sizes such as 2 or 16,8, nor 'none'", param, ctx)


class _Factor(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A number, or ``lexicographic``."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "lexicographic":
            return "lexicographic"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'lexicographic'", param, ctx)


class _Radius(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``0.1`` for all features, ``1,0,2.5`` for one radius each."""

    name = "radius"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | list[float]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a number, nor numbers separated by commas", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


def _estimator_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per parameter of the estimator."""
    options = (
        click.option("--hidden", "hidden_layer_sizes", type=_HiddenSizes(), default="2", show_default=True,
                     help="Neurons of each hidden layer, such as 2 or 16,8; 'none' for no hidden layer."),
        click.option("--method", default="auto", show_default=True,
                     help="auto, exact, local_search, alternating or data_splitting."),
        click.option("--weights", default="continuous", show_default=True, help="continuous or integer."),
        click.option("--weight-bound", type=int, default=1, show_default=True,
                     help="Integer weights lie in {-B..B}; 1 is ternary."),
        click.option("--intercept/--no-intercept", "fit_intercept", default=True, show_default=True,
                     help="Whether neurons have biases."),
        click.option("--head", default="auto", show_default=True, help="auto, threshold or argmax."),
        click.option("--formulation", default="auto", show_default=True,
                     help="Exact: auto, activation or big_m (the paper)."),
        click.option("--solver", default="auto", show_default=True, help="auto, highs, scip, cpsat or gurobi."),
        click.option("--regularizer", default=None, help="l1, l0 or l2: keep the weights small."),
        click.option("--regularization", type=_Factor(), default="0", show_default=True,
                     help="Factor of the regularizer, or 'lexicographic': loss first, regularizer second."),
        click.option("--max-splits", type=int, default=20, show_default=True, help="Data splitting: number of splits."),
        click.option("--splitter", default="kmeans", show_default=True, help="Data splitting: kmeans or svm."),
        click.option("--batch-size", type=int, default=None,
                     help="Data splitting: random points per program.  [default: all]"),
        click.option("--initial-clusters", default="one", show_default=True,
                     help="Data splitting: one cluster, or one per class."),
        click.option("--blocks", default="layers", show_default=True, help="Alternating: layers or neurons."),
        click.option("--starts", "n_starts", type=int, default=1, show_default=True,
                     help="Alternating: starts."),
        click.option("--checkpoint", type=_OUT, default=None,
                     help="Exact, activation: file to write the state of the run to, and to go on from if it exists."),
        click.option("--incumbents", default="search", show_default=True,
                     help="Programs start from a short local search, or none."),
        click.option("--polish", default="margin", show_default=True,
                     help="Local search: margin (largest margins at the end) or none."),
        click.option("--robust-radius", type=_Radius(), default="0", show_default=True,
                     help="Points must stay right within this radius: a number, or one per feature, as 1,0,2.5."),
        click.option("--robust-norm", default="inf", show_default=True, help="inf, 1 or 2."),
        click.option("--robust-model", default="interval", show_default=True, help="interval or pattern (the paper)."),
        click.option("--validation-fraction", type=float, default=0.0, show_default=True,
                     help="Part of the training rows held out to choose the network by its accuracy there."),
        click.option("--margin", type=float, default=None, help="Least distance of pre-activations from 0, on inputs "
                     "and weights scaled to 1.  [default: the smallest that is safe]"),
        click.option("--input-bits", type=int, default=8, show_default=True,
                     help="Bits per input for integer weights, unless all inputs are integers."),
        click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds for the whole fit."),
        click.option("--jobs", "n_jobs", type=int, default=1, show_default=True,
                     help="Threads of the solver or of the search; -1 for all cores."),
        click.option("--seed", "random_state", type=_SEED, default=0, show_default=True,
                     help="Seed of the split and of the training."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _table_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which rows and columns of a table are trained on."""
    options = (
        click.option("--target", required=True, help="Column of the labels."),
        click.option("--drop", multiple=True, help="Column to leave out; may be repeated."),
        click.option("--missing", type=click.Choice(tables.MISSING_RULES), default="median", show_default=True,
                     help="Missing values (empty or ?): replace by the median of the training rows, or refuse."),
        click.option("--test-fraction", type=float, default=0.25, show_default=True,
                     help="Part of the rows held out for the accuracy, stratified; 0 for none."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bdnn.__version__, prog_name="bdnn")
def cli() -> None:
    """Train binarized neural networks by mathematical optimization, with audited losses and bounds."""


@cli.command()
@click.argument("data", type=_FILE)
@_table_options
@_estimator_options
@click.option("--start", type=_FILE, default=None, help="Model file to start from; the result is never worse.")
@click.option("--out", type=_OUT, default=None, help="Model file to write.")
@click.option(
    "--certificate",
    type=_OUT,
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
    read = _read(data, target, drop, missing, test_fraction, settings["random_state"])
    X, labels, rows, held_out = read.X, read.labels, read.rows, read.held_out
    with shown_progress(settings["time_limit"], quiet) as listener:
        clf.fit(X[rows], labels[rows], feature_names=read.table.names, on_progress=listener)
    if out is not None:
        clf.save(out, TableInfo(target, missing, None if read.fill is None else tuple(read.fill.tolist())))
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


@cli.command()
@click.argument("data", type=_FILE)
@_table_options
@click.option(
    "--hidden",
    "hidden_layer_sizes",
    type=_HiddenSizes(),
    default="none",
    show_default=True,
    help="Neurons of the hidden layer, up to 5, or 'none'; not with --model.",
)
@click.option(
    "--model",
    "model_file",
    type=_FILE,
    default=None,
    help="Model file whose architecture and loss are taken; its loss on the rows is audited.",
)
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--seed", "random_state", type=_SEED, default=0, show_default=True, help="Seed of the split and of the run."
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
    read = _read(data, target, drop, missing, test_fraction, settings["random_state"])
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


class _TrainingTable(NamedTuple):
    """A table without missing values, and its rows for training and for testing."""

    table: tables.Table
    X: Floats
    labels: Array
    rows: Array
    held_out: Array
    fill: Floats | None


def _read(
    data: Path, target: str, drop: tuple[str, ...], missing: str, test_fraction: float, seed: int
) -> _TrainingTable:
    """Read what is trained on, for training and for the check of its certificate."""
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction must be at least 0 and below 1, got {test_fraction:g}")
    table = tables.read_table(data, target, drop=drop)
    assert table.labels is not None
    rows, held_out = _split(table.labels, test_fraction, seed)
    fill = tables.medians(table, rows) if missing == "median" and table.n_missing.any() else None
    return _TrainingTable(table, tables.filled(table, fill), table.labels, rows, held_out, fill)


def _split(labels: Array, test_fraction: float, seed: int) -> tuple[Array, Array]:
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


@cli.command()
@click.argument("model_file", metavar="MODEL", type=_FILE)
@click.argument("data", type=_FILE)
@click.option("--out", type=_OUT, default=None, help="CSV file to write.  [default: standard output]")
@click.option("--scores", is_flag=True, help="Add the pre-activations of the outputs.")
def predict(model_file: Path, data: Path, out: Path | None, scores: bool) -> None:
    """Predict the rows of a CSV table; other columns than the model's features are ignored."""
    model = load_model(model_file)
    X, _ = _inputs(model, data, None)
    columns = {"prediction": model.network.predict(X)}
    if scores:
        values = model.network.decision_function(X)
        names = ["score"] if values.ndim == 1 else [f"score_{label}" for label in model.network.classes]
        columns |= dict(zip(names, np.atleast_2d(values.T), strict=True))
    with _writer(out) as write:
        write(columns)
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            write(row)


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[Any], Any]]:
    import csv

    if out is None:
        yield csv.writer(sys.stdout, lineterminator="\n").writerow
        return
    with out.open("w", encoding="utf-8", newline="") as file:
        yield csv.writer(file, lineterminator="\n").writerow


def _inputs(model: Model, data: Path, target: str | None) -> tuple[Array, Array | None]:
    """Return the features, and the labels if there is a target, as the model wants them."""
    names = model.network.feature_names
    drop = [] if names is not None or model.table is None else [model.table.target]
    table = tables.read_table(data, target, names, drop)
    X = tables.filled(table, None if model.table is None else model.table.fill)
    return model.network.check_inputs(X), table.labels


@cli.command()
@click.argument("model_file", metavar="MODEL", type=_FILE)
@click.argument("data", type=_FILE)
@click.option("--target", default=None, help="Column of the labels.  [default: the one the model was trained on]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(model_file: Path, data: Path, target: str | None, as_json: bool) -> None:
    """Print accuracy and confusion matrix of a model on a CSV table."""
    model = load_model(model_file)
    X, labels = _inputs(model, data, _target(model, target))
    assert labels is not None
    report = reporting.evaluation(model.network, X, labels)
    click.echo(json.dumps(report) if as_json else reporting.evaluation_text(report))


@cli.command()
@click.argument("model_file", metavar="MODEL", type=_FILE)
@click.argument("data", type=_FILE)
@click.option("--target", default=None, help="Column of the labels.  [default: the one the model was trained on]")
@click.option("--radius", type=float, default=None, help="Radius in question.  [default: the smallest perturbations]")
@click.option("--norm", default="inf", show_default=True, help="inf, 1 or 2.")
@click.option("--lower", type=_Radius(), default=None, help="Least value of perturbed features: a number, or one each.")
@click.option("--upper", type=_Radius(), default=None, help="Largest value, likewise.")
@click.option("--frozen", multiple=True, help="Column that an attacker cannot change; may be repeated.")
@click.option("--integer", is_flag=True, help="Perturbed features are integers, as those of the table; norm inf.")
@click.option(
    "--scale",
    type=click.Choice(["one", "range"]),
    default="one",
    show_default=True,
    help="Unit of each feature's perturbation: 1, or its range in the table.",
)
@click.option("--time-limit", type=float, default=None, help="Seconds for all rows.  [default: none]")
@click.option("--point-time-limit", type=float, default=60.0, show_default=True, help="Seconds for a row.")
@click.option("--jobs", "n_jobs", type=int, default=1, show_default=True, help="Threads; -1 for all cores.")
@click.option("--out", type=_OUT, default=None, help="CSV file for the attacks found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def certify(
    model_file: Path,
    data: Path,
    target: str | None,
    scale: str,
    frozen: tuple[str, ...],
    time_limit: float | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Prove for each row of a CSV table that no perturbation changes its prediction, or find one that does."""
    model = load_model(model_file)
    network, target = model.network, _target(model, target)
    X, labels = _inputs(model, data, target)
    budget = bdnn.Budget() if time_limit is None else bdnn.Budget(seconds=time_limit)
    if scale == "range":
        width = np.ptp(X.astype(np.float64), axis=0)
        settings["scale"] = np.where(width > 0, width, 1.0)
    with shown_progress(time_limit, quiet, lambda p: f"{p.phase}, {p.bound:g} attacked") as listener:
        found = bdnn.certify(
            network, X, labels, frozen=list(frozen) or None, budget=budget, on_progress=listener, **settings
        )
    if out is not None:
        names = network.feature_names or tuple(f"x{j}" for j in range(network.n_features))
        with _writer(out) as write:
            write(["row", "distance", "prediction", *names])
            for i in np.flatnonzero(np.isfinite(found.distance)).tolist():
                label = network.predict(found.attack[i : i + 1])[0]
                write([i, found.distance[i], label, *found.attack[i].tolist()])
    click.echo(json.dumps(found.to_dict()) if as_json else found.summary())


def _target(model: Model, target: str | None) -> str:
    target = target or (model.table.target if model.table is not None else None)
    if target is None:
        raise InputError("the model file does not name its target column; give it with --target")
    return target


@cli.command()
@click.argument("model_file", metavar="MODEL", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model_file: Path, as_json: bool) -> None:
    """Print the layers, weights and training result of a model."""
    model = load_model(model_file)
    click.echo(json.dumps(reporting.model_description(model)) if as_json else reporting.model_text(model))


@cli.command()
@click.argument("certificate", type=_FILE)
@click.argument("data", type=_FILE)
@_table_options
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Seed of the split.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(certificate: Path, data: Path, as_json: bool, **options: Any) -> None:
    """Check a certificate of optimality against the CSV table it is about, without any solver.

    The options that choose rows and columns must be those of the training.
    """
    try:
        read = _read(data, **options)
        verified = bdnn.verify_certificate(certificate, read.X[read.rows], read.labels[read.rows])
    except OSError as error:
        raise InputError(str(error)) from None
    except CertificateFileError as error:
        raise CertificateFileError(f"{certificate} is not a certificate: {error}") from None
    except CertificateError as error:
        hint = " Give --test-fraction, --seed, --drop and --missing as in the training." * str(error).endswith(
            OTHER_DATA
        )
        raise CertificateError(f"{certificate} is not verified: {error}{hint}") from None
    counts = {"trees": verified.n_trees, "leaves": verified.n_leaves, "cuts": verified.n_cuts}
    if as_json:
        exact = {"loss": str(verified.loss), "bound": str(verified.bound), "optimal": verified.optimal}
        click.echo(json.dumps(exact | counts | {"seconds": verified.seconds, "statement": verified.statement}))
        return
    click.echo(f"verified  {verified.statement}")
    click.echo(f"checked   {', '.join(f'{n} {what}' for what, n in counts.items())}, in {verified.seconds:.1f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str or None
        Words after the program's name; None for those of the process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    code = _run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.name.startswith("bdnn-") for thread in threading.enumerate()):
        os._exit(code)  # a solver that overran its limit is still stopping; nothing waits for its answer
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="bdnn", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (InputError, ModelFileError, CertificateFileError, MissingDependencyError) as error:
        return _fail(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped by Ctrl-C before a network was found", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SolverError, BDNNError, MemoryError, OSError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    except (TypeError, ValueError) as error:  # scikit-learn's own checks of the data
        return _fail(str(error), 2)
    return 0


def _fail(message: str, code: int) -> int:
    click.echo(f"bdnn: error: {' '.join(message.split())}", err=True)
    return code
