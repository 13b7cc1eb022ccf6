"""``bdnn pack``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bdnn.cli.options import FILE, OUT
from bdnn.cli.output import check_files, save_output, say
from bdnn.cli.reading import model_features
from bdnn.cli.table_options import TABLE, format_options
from bdnn.files import write
from bdnn.model_file.contents import Model
from bdnn.model_file.packed import pack as packed_model
from bdnn.model_file.packed import schema_file
from bdnn.model_file.reading import load_any
from bdnn.network.schema import Schema

if TYPE_CHECKING:
    from bdnn.tables import Reading


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option("--out", type=OUT, required=True, help="File to write; its schema goes beside it.")
@click.option(
    "--data",
    type=TABLE,
    default=None,
    help="Table that says which columns hold integers, from where to where, and where values are missing.",
)
@format_options
def pack(model_file: Path, out: Path, data: Path | None, reading: Reading) -> None:
    """Write a model as few bytes, without names, labels and settings; these go to OUT.schema.json.

    With a table the bytes are fewer, and the packed model is only for rows that keep to it. The packed file can be used
    as MODEL wherever a model without its settings and probabilities will do, such as in predict, as long as its schema
    is beside it.
    """
    beside = schema_file(out)
    check_files({"--out": out, "its schema": beside}, {"MODEL": model_file, "--data": data})
    model = load_any(model_file)
    known = model.schema if isinstance(model, Model) and data is None else None
    schema = known or Schema.of(model, None if data is None else model_features(model, data, reading))
    contents = packed_model(model, schema)
    text = json.dumps(schema.to_dict()) + "\n"
    save_output("schema", beside, lambda place: write(place, text.encode()))
    save_output("packed model", out, lambda place: write(place, contents))
    say(f"{len(contents)} bytes; their schema is in {beside}")
