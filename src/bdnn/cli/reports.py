"""``bdnn report``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bdnn
from bdnn.cli.options import FILE, JOBS_HELP, SEED, TEXT_OUT, attacker, attacker_options
from bdnn.cli.output import check_files, save_output, say_saved
from bdnn.cli.reading import filled_inputs, model_table, target_of
from bdnn.cli.stopping import finishing, heard
from bdnn.cli.table_options import TABLE, label_options
from bdnn.cli.training_rows import training_rows_of
from bdnn.cli.verification import certificate_errors
from bdnn.errors import InputError
from bdnn.files import write
from bdnn.model_file.contents import Model
from bdnn.model_file.reading import load_any, load_model
from bdnn.progress import attacks_text, shown_progress
from bdnn.reports.contents import Source

if TYPE_CHECKING:
    from bdnn.tables import Reading, Table


_ROWS = 200  # that are certified: enough to tell accuracies to a few percent, and soon done
_ROWS_MOVED = 20  # on an interactive page: somebody chooses one from a list


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=TABLE)
@label_options
@click.option("--out", type=TEXT_OUT, required=True, help="HTML file to write; - is standard output.")
@click.option("--certificate", type=FILE, default=None, help="Certificate of the bound, to be verified.")
@click.option(
    "--radius",
    "radii",
    type=float,
    multiple=True,
    help="Radius in the table of certified accuracies; may be repeated.  [default: round ones]",
)
@attacker_options
@click.option(
    "--interactive",
    is_flag=True,
    help="Write a page with sliders for the inputs of a row, which decides in the browser as the model does.",
)
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=None,
    help="Rows that are certified, drawn at random from the held-out ones if they are known; 0 for none.  "
    f"[default: {_ROWS}, or {_ROWS_MOVED} with --interactive]",
)
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds for certifying all rows.")
@click.option("--jobs", "n_jobs", type=int, default=1, show_default=True, help=f"Threads; {JOBS_HELP}.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the rows that are certified.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def report(
    model_file: Path,
    data: Path,
    target: str | None,
    missing_labels: str | None,
    reading: Reading,
    out: Path,
    certificate: Path | None,
    radii: tuple[float, ...],
    interactive: bool,
    rows: int | None,
    time_limit: float,
    n_jobs: int,
    seed: int,
    quiet: bool,
    **changes: Any,
) -> None:
    """Write a model card: one HTML page on the data, the network, its training, proofs, accuracy and robustness.

    Training rows are reported apart from held-out ones if DATA is the table that 'bdnn train' read. With --interactive
    the page is another one: the inputs of a row are moved by sliders, and it shows the decision, which neurons fire,
    the certified radii of some rows and the nearest attacks. It loads and sends nothing. Ensembles have this page only.
    """  # fmt: skip
    check_files({"--out": out}, {"MODEL": model_file, "DATA": data, "--certificate": certificate})
    if interactive:
        if certificate is not None or radii or rows == 0:
            words = "--certificate and --radius; leave them out" if rows != 0 else "--rows 0; it starts from a row"
            raise InputError(f"an interactive page has no place for {words}")
        settings = {"points": _ROWS_MOVED if rows is None else rows, "time_limit": time_limit, "n_jobs": n_jobs}
        with shown_progress(time_limit, quiet, attacks_text) as listener:
            page = _interactive(
                model_file, data, target, missing_labels, reading, changes, random_state=seed,
                on_progress=heard(listener), **settings,
            )  # fmt: skip
        _save("interactive page", page, out)
        return
    model = load_model(model_file)
    target = target_of(model, target)
    weight = None if certificate is None or model.table is None else model.table.weight
    table = model_table(model, data, target, missing_labels, reading, weight=weight)
    assert table.labels is not None
    X = filled_inputs(model, table)
    training_rows = training_rows_of(model, table, X)
    source = Source(data.name, target, () if model.table is None else model.table.drop, _missing(model, table))
    with (
        shown_progress(time_limit, quiet, attacks_text) as listener,
        certificate_errors(certificate, "The table must be the one of the training, with all of its rows."),
    ):
        page = bdnn.report(
            model,
            X,
            table.labels,
            title=f"Model card: {model_file.name}",
            training_rows=training_rows,
            certificate=certificate,
            sample_weight=table.weight,
            radii=radii,
            attacker=attacker(table.features.numbers(), **changes),
            columns=table.features,
            points=_ROWS if rows is None else rows,
            time_limit=time_limit,
            n_jobs=n_jobs,
            random_state=seed,
            source=source,
            commands=_commands(model, model_file, data, target, certificate),
            on_progress=heard(listener),
        )
    _save("model card", page, out)


def _save(what: str, page: str, out: Path) -> None:
    contents = page.encode("utf-8", "backslashreplace")  # names of files may hold what is no text
    with finishing():
        save_output(what, out, lambda place: write(place, contents))
        say_saved(f"the {what}", out)


def _interactive(
    model_file: Path,
    data: Path,
    target: str | None,
    missing_labels: str | None,
    reading: Reading,
    changes: dict[str, Any],
    **settings: Any,
) -> str:
    """Return the interactive page of a model, an ensemble or not; labels are shown if their column is known."""
    model = load_any(model_file)
    target = target or (None if model.table is None else model.table.target)
    table = model_table(model, data, target, missing_labels, reading)
    training_rows = None
    if isinstance(model, Model):
        X = filled_inputs(model, table)
        training_rows = None if table.labels is None else training_rows_of(model, table, X)
    # what predicts of an ensemble is its classifier
    return bdnn.interactive_report(
        model if isinstance(model, Model) else bdnn.load(model_file),
        table.features,
        table.labels,
        title=f"{model_file.name} at work",
        training_rows=training_rows,
        row_numbers=table.rows,
        attacker=attacker(table.features.numbers(), **changes),
        **settings,
    )


def _missing(model: Model, table: Table) -> dict[str, tuple[int, float | str]]:
    """Return for columns with missing values how many there are, and what replaced them."""
    codes = zip(model.encoder_in_use.columns, table.n_missing.tolist(), strict=True)
    return {code.name: (count, code.fill) for code, count in codes if count and code.used and code.fill is not None}


def _commands(model: Model, model_file: Path, data: Path, target: str, certificate: Path | None) -> list[str]:
    """Return the commands that train the model, check its certificate and measure it, as far as they are known."""
    table, model_name, proof = str(data), str(model_file), [] if certificate is None else [str(certificate)]
    again: list[list[str]] = [["evaluate", model_name, table, "--target", target]]
    info = model.table
    # a network within a number of bytes is found by a search that its settings do not describe
    described = model.settings is not None and not (model.result is not None and model.result.method == "compact")
    if info is not None and info.test_fraction is not None and info.seed is not None and described:
        rows = ["--target", target, "--missing", info.missing, "--test-fraction", repr(info.test_fraction)]
        rows += [word for name in info.drop for word in ("--drop", name)] + ["--seed", str(info.seed)]
        rows += ["--missing-labels", info.missing_labels] * (info.missing_labels != "error")
        rows += [word for name in info.id for word in ("--id", name)]
        rows += ["--weight", info.weight] if info.weight is not None else []
        rows += ["--na", ",".join(info.na)] if info.na is not None else []
        options = [*_training_options(model.settings or {}), *(["--certificate", *proof] if proof else [])]
        again.insert(0, ["train", table, *rows, *options, "--out", model_name])
        again += [["verify", *proof, table, *rows]] if proof else []
    return [shlex.join(["bdnn", *words]) for words in again]


def _training_options(settings: dict[str, Any]) -> list[str]:
    """Return the options of 'bdnn train' that make an estimator of the given settings, defaults left out."""
    words: list[str] = []
    defaults = bdnn.BDNNClassifier().get_params()
    root = click.get_current_context().find_root()
    assert isinstance(root.command, click.Group)
    train = root.command.get_command(root, "train")
    assert train is not None
    for option in train.params:
        name = str(option.name)
        # the seed is among the options of the rows, and a checkpoint belongs to one run
        if name not in settings or name in ("random_state", "checkpoint", "certificate"):
            continue
        value, default = settings[name], defaults[name]
        if name == "fit_intercept":
            words += [] if value else ["--no-intercept"]
        elif name == "probability":
            if value:
                words += ["--probability"] if value is True else ["--probability", str(value).replace("_", "-")]
        elif value != (list(default) if isinstance(default, tuple) else default):
            words += [option.opts[0], _word(value)]
    return words


def _word(value: object) -> str:
    """Return a setting as the word of its option."""
    if value is None:
        return "inf"  # the time limit alone can be None and differ from its default
    if isinstance(value, dict):
        return ",".join(f"{name}={each}" for name, each in value.items())
    return ",".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
