"""``bdnn card``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bdnn.cli.options import FILE, TEXT_OUT
from bdnn.cli.output import STDOUT, check_files, save_output, say, say_saved
from bdnn.cli.reading import filled_inputs, model_table, target_of
from bdnn.cli.stopping import finishing
from bdnn.cli.table_options import TABLE, label_options
from bdnn.cli.training_rows import training_rows_of
from bdnn.errors import InputError
from bdnn.files import write
from bdnn.model_file.reading import load_model
from bdnn.reports.card import score_card
from bdnn.reports.card_text import FORMATS, rendered

if TYPE_CHECKING:
    from bdnn.tables import Reading

_BY_SUFFIX = {".html": "html", ".htm": "html", ".md": "markdown", ".txt": "text", "": "text"}


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option("--data", type=TABLE, default=None, help="Table of the training, for risks, accuracy and an example.")
@label_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default=None,
    help="How to write it.  [default: text, or as --out ends]",
)
@click.option("--out", type=TEXT_OUT, default=None, help="File to write; - is standard output.  [default: -]")
def card(
    model_file: Path,
    data: Path | None,
    target: str | None,
    missing_labels: str | None,
    reading: Reading,
    kind: str | None,
    out: Path | None,
) -> None:
    """Print a network without hidden layer and with small integer weights as a score card.

    With the table of the training, risks are counted on its held-out rows, if the file says which these were.
    """
    check_files({"--out": out}, {"MODEL": model_file, "--data": data})
    suffix = "" if out is None or out == STDOUT else out.suffix.lower()
    if kind is None and suffix not in _BY_SUFFIX:
        raise InputError(
            f"--out must end in {', '.join(filter(None, _BY_SUFFIX))}, got {out}; give --format for another ending, or "
            f"draw a picture with 'bdnn plot card'"
        )
    model = load_model(model_file)
    features = labels = rows = None
    if data is not None:
        table = model_table(model, data, target_of(model, target), missing_labels, reading)
        features, labels = table.features, table.labels
        rows = training_rows_of(model, table, filled_inputs(model, table))
    found = score_card(model, features, labels, training_rows=rows)
    text = rendered(found, kind or _BY_SUFFIX[suffix], f"Score card of {model_file.name}")
    with finishing():
        if out is None or out == STDOUT:
            say(text.rstrip("\n"))
        else:
            save_output("card", out, lambda place: write(place, text.encode("utf-8", "backslashreplace")))
            say_saved("the score card", out)
