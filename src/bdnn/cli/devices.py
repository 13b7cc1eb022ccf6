"""``bdnn size``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bdnn
from bdnn.cli.export import declared, interface_options
from bdnn.cli.options import FILE
from bdnn.cli.output import say
from bdnn.cli.reading import model_features
from bdnn.cli.table_options import TABLE, format_options
from bdnn.devices.registry import DEVICES
from bdnn.devices.wording import lines_of
from bdnn.errors import ExportError
from bdnn.model_file.reading import load_any

if TYPE_CHECKING:
    from bdnn.tables import Reading


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="DEVICE",
    help=f"Device: {', '.join(DEVICES)}; may be repeated.  [default: all whose compiler is installed]",
)
@click.option(
    "--data",
    type=TABLE,
    default=None,
    help="Table whose rows are run besides golden ones, and that says which integers occur; continuous weights need "
    "one.",
)
@interface_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@format_options
def size(
    model_file: Path,
    targets: tuple[str, ...],
    data: Path | None,
    scale: tuple[str, ...],
    ranges: tuple[str, ...],
    missing: tuple[str, ...],
    as_json: bool,
    reading: Reading,
    **settings: Any,
) -> None:
    """Measure how many bytes and cycles a model takes on devices, as the C of 'bdnn export'.

    A program with the model and one with a stub in its place are compiled and linked for each device; the difference
    is what the model takes. Rows are then run on an emulated device, and must get the answers of the model.
    """
    model, classifier = load_any(model_file), bdnn.load(model_file)
    found = classifier.device_size(
        list(targets) or None,
        data=None if data is None else model_features(model, data, reading),
        **declared(model.encoder_in_use.names, scale, ranges, missing),
        **settings,
    )
    if as_json:
        say(json.dumps([asdict(each) for each in found.values()]))
    else:
        say("\n".join(lines_of(found.values())))
    wrong = [f"{each.wrong_rows} of {each.rows} on {name}" for name, each in found.items() if each.wrong_rows]
    if wrong:
        raise ExportError(f"some rows get another answer than that of the model: {', '.join(wrong)}")
