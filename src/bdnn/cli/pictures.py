"""``bdnn plot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import bdnn
from bdnn.certification.columns import certify_table
from bdnn.cli.options import FILE, JOBS_HELP, OUT, attacker, attacker_options
from bdnn.cli.output import check_files, save_output, say_saved
from bdnn.cli.reading import filled_inputs, model_inputs, model_table, target_of
from bdnn.cli.stopping import finishing, heard
from bdnn.cli.table_options import TABLE, label_options
from bdnn.errors import InputError
from bdnn.files import write
from bdnn.model_file.reading import load_model
from bdnn.plotting.files import KINDS, picture
from bdnn.plotting.structure import heaviest_features
from bdnn.progress import attacks_text, shown_progress
from bdnn.reports.card import score_card

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.model_file.contents import Model
    from bdnn.tables import Reading
    from bdnn.types import Array

Drawing = Callable[[Any], Any]
"""Draws on the figure that it is given."""


@click.command()
@click.argument("kind", type=click.Choice(["history", "regions", "network", "weights", "certified", "card"]))
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=TABLE, required=False)
@label_options
@click.option("--out", type=OUT, required=True, help="Picture to write: .png, .svg or .pdf.")
@click.option(
    "--feature", "features", multiple=True, help="Regions: column of an axis; twice.  [default: the two weightiest]"
)
@click.option(
    "--rows", type=click.IntRange(1), default=200, show_default=True, help="Certified: rows, drawn at random."
)
@click.option("--radius", type=float, default=None, help="Certified: one radius.  [default: all radii]")
@attacker_options
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Certified: seconds for all rows.")
@click.option("--jobs", "n_jobs", type=int, default=1, show_default=True, help=f"Certified: threads; {JOBS_HELP}.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Certified: of the draw.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def plot(
    kind: str,
    model_file: Path,
    data: Path | None,
    target: str | None,
    missing_labels: str | None,
    reading: Reading,
    out: Path,
    features: tuple[str, ...],
    **options: Any,
) -> None:
    """Draw history, decision regions, the network, its weights, its certified accuracy or its score card.

    Regions and certified accuracy need DATA, a table; what perturbations may do is for the latter. With DATA, the
    pictures of network and weights show weights in units of standard deviations of the features.
    """
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in KINDS:
        raise InputError(f"--out must end in .{', .'.join(KINDS)}, got {out}")
    check_files({"--out": out}, {"MODEL": model_file, "DATA": data})
    model = load_model(model_file)
    if kind in ("regions", "certified") and data is None:
        raise InputError(f"a picture of kind {kind!r} needs a CSV table, or another one, after the model file")
    if kind == "history":
        drawing = _history(model, model_file)
    elif kind == "card":
        drawing = _card(model, data, reading)
    elif kind in ("network", "weights"):
        drawing = _structure(kind, model, data, reading)
    else:
        assert data is not None
        table = model_table(model, data, target_of(model, target), missing_labels, reading)
        X, labels = filled_inputs(model, table), table.labels
        assert labels is not None
        if kind == "regions":
            drawing = _regions(model, X, labels, features)
        else:
            drawing = _certified(model, table.features, labels, **options)
    with finishing():
        contents = picture(drawing, suffix)
        save_output("picture", out, lambda place: write(place, contents))
        say_saved("the picture", out)


def _history(model: Model, path: Path) -> Drawing:
    result = model.result
    if result is None:
        raise InputError(f"{path} does not hold the result of a training run, so there is no history to draw")
    return lambda figure: bdnn.plotting.plot_history(result, figure)


def _card(model: Model, data: Path | None, reading: Reading) -> Drawing:
    features = None
    if data is not None:
        table = model_table(model, data, None, None, reading)
        filled_inputs(model, table)  # it says what is not known
        features = table.features
    found = score_card(model, features)
    return lambda figure: bdnn.plotting.plot_card(found, ax=figure)


def _structure(kind: str, model: Model, data: Path | None, reading: Reading) -> Drawing:
    network, scale = model.network, None
    if data is not None:
        scale = model_inputs(model, data, None, reading=reading)[0].std(axis=0)
    if kind == "network":
        return lambda figure: bdnn.plotting.plot_network(network, scale=scale, ax=figure)
    relative = not network.is_integer or scale is not None
    return lambda figure: bdnn.plotting.plot_weights(network, scale=scale, relative=relative, ax=figure)


def _regions(model: Model, X: Array, labels: Array, features: tuple[str, ...]) -> Drawing:
    network = model.network
    if network.n_features < 2:
        raise InputError("decision regions need a network of two features or more")
    if len(features) not in (0, 2):
        raise InputError(f"give --feature twice, for the two axes, or not at all; got {len(features)}")
    chosen: list[Any] = list(features) or heaviest_features(network, X.std(axis=0))[:2]
    return lambda figure: bdnn.plotting.plot_decision_regions(network, X, labels, chosen, ax=figure)


def _certified(
    model: Model,
    columns: RawTable,
    labels: Array,
    *,
    rows: int,
    seed: int,
    time_limit: float,
    quiet: bool,
    radius: float | None,
    n_jobs: int,
    **changes: Any,
) -> Drawing:
    settings = attacker(columns.numbers(), **changes)
    if len(columns) > rows:
        chosen = np.sort(np.random.default_rng(seed).choice(len(columns), rows, replace=False))
        columns, labels = columns.take(chosen), labels[chosen]
    with shown_progress(time_limit, quiet, attacks_text) as listener:
        budget = bdnn.Budget(seconds=time_limit)
        found = certify_table(
            model.network,
            model.encoder_in_use,
            columns,
            labels,
            radius=radius,
            budget=budget,
            n_jobs=n_jobs,
            on_progress=heard(listener),
            **settings,
        )
    return lambda figure: bdnn.plotting.plot_certified(found, ax=figure)
