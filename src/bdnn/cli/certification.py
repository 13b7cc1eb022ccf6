"""``bdnn certify``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import bdnn
from bdnn import tables
from bdnn.certification.columns import certify_table
from bdnn.cli.options import FILE, JOBS_HELP, TEXT_OUT, attacker, attacker_options
from bdnn.cli.output import STDOUT, check_files, save_csv, say
from bdnn.cli.reading import filled_inputs, model_table, target_of
from bdnn.cli.stopping import finishing, heard
from bdnn.cli.table_options import TABLE, label_options
from bdnn.model_file.reading import load_model
from bdnn.progress import attacks_text, shown_progress

if TYPE_CHECKING:
    from bdnn.certification.result import Certification
    from bdnn.network.network import Network


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.argument("data", type=TABLE)
@label_options
@click.option("--radius", type=float, default=None, help="Radius in question.  [default: the smallest perturbations]")
@attacker_options
@click.option(
    "--level-changes",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Most categorical and boolean columns of a row whose level may change as well.",
)
@click.option("--time-limit", type=float, default=None, help="Seconds for all rows.  [default: none]")
@click.option("--point-time-limit", type=float, default=60.0, show_default=True, help="Seconds for a row.")
@click.option("--jobs", "n_jobs", type=int, default=1, show_default=True, help=f"Threads; {JOBS_HELP}.")
@click.option("--out", type=TEXT_OUT, default=None, help="CSV file for the attacks found; - is standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def certify(
    model_file: Path,
    data: Path,
    target: str | None,
    missing_labels: str | None,
    reading: tables.Reading,
    radius: float | None,
    level_changes: int,
    time_limit: float | None,
    point_time_limit: float,
    n_jobs: int,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    **changes: Any,
) -> None:
    """Prove for each row of a table that no perturbation changes its prediction, or find one that does."""
    check_files({"--out": out}, {"MODEL": model_file, "DATA": data})
    model = load_model(model_file)
    network, target = model.network, target_of(model, target)
    table = model_table(model, data, target, missing_labels, reading)
    filled_inputs(model, table)  # it says what is not known
    encoder, columns = model.encoder_in_use, table.features
    budget = bdnn.Budget() if time_limit is None else bdnn.Budget(seconds=time_limit)
    settings = attacker(columns.numbers(), **changes) | {"level_changes": level_changes}
    with shown_progress(time_limit, quiet, attacks_text) as listener:
        found = certify_table(
            network, encoder, columns, table.labels, radius=radius, budget=budget, point_time_limit=point_time_limit,
            n_jobs=n_jobs, on_progress=heard(listener), **settings,
        )  # fmt: skip
    report = found.to_dict() | ({"rows": table.rows.tolist()} if table.n_unlabeled else {})
    with finishing():
        say(json.dumps(report) if as_json else found.summary(), err=out == STDOUT)
        if out is not None:
            header = ["row", "distance", "prediction", *encoder.names]
            save_csv("table of attacks", out, header, lambda: _attacks(network, found, table))


def _attacks(network: Network, found: Certification, table: tables.Table) -> Iterator[list[Any]]:
    """Yield for each attack its row in the file, its distance, what is predicted there, and the cells of the row."""
    attacked = np.flatnonzero(np.isfinite(found.distance))
    cells = found.attack[attacked].tolist()
    if found.columns is not None:
        cells = list(zip(*(column.texts(attacked) for column in found.columns.columns), strict=True))
    for i, row in zip(attacked.tolist(), cells, strict=True):
        yield [int(table.rows[i]), found.distance[i], network.predict(found.attack[i : i + 1])[0], *row]
