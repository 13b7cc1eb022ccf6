"""``bdnn export``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bdnn
from bdnn.cli.options import FILE, Command, with_options
from bdnn.cli.output import say
from bdnn.cli.reading import model_features
from bdnn.cli.table_options import TABLE, Names, format_options
from bdnn.errors import InputError
from bdnn.export.inputs import for_numbers, ranged
from bdnn.export.names import name_of
from bdnn.export.targets import names as target_names
from bdnn.model_file.reading import load_any

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.tables import Reading


_MANY = 20  # files whose names are not said: more are one for each row, and the packages of C have fewer


def interface_options(command: Command) -> Command:
    """Give a command the options on what a device gives, and what the files are to be made for."""
    options = (
        click.option(
            "--scale",
            multiple=True,
            metavar="COLUMN=N[,...]",
            help="Integers per unit: with temp=100, 2350 stands for 23.5; N alone is for all other numeric columns.",
        ),
        click.option(
            "--range",
            "ranges",
            multiple=True,
            metavar="COLUMN=LOW:HIGH[,...]",
            help="Least and largest value of a column, or of a part of a date ('day year=2000:2099'); LOW:HIGH alone "
            "is for all other numeric columns.  [default: those of a type that holds the data]",
        ),
        click.option(
            "--missing",
            multiple=True,
            type=Names(),
            metavar="COLUMN[,COLUMN]",
            help="Columns whose values may be missing on the device, besides those of the model and the data.",
        ),
        click.option(
            "--optimize",
            type=click.Choice(["size", "speed"]),
            default="size",
            show_default=True,
            help="What is to be little.",
        ),
        click.option(
            "--input-bits",
            type=int,
            default=8,
            show_default=True,
            help="Bits of each input, where continuous weights are made integers.",
        ),
    )
    return with_options(command, options)


def declared(encoder: Encoder, scale: Sequence[str], ranges: Sequence[str], missing: Sequence[str]) -> dict[str, Any]:
    """Return what is declared of columns, as `export` and `device_size` take it, of the words of options."""
    each, every = _scales(scale, encoder.names)
    return {
        "scale": each,
        "every_scale": every,
        "ranges": _ranges(ranges, encoder.columns),
        "missing": _columns(missing, encoder.names),
    }


@click.command()
@click.argument("model_file", metavar="MODEL", type=FILE)
@click.option("--to", "target", required=True, help=f"What to write: {', '.join(target_names())}.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder to write to; it must not hold other files."
)
@click.option("--name", default=None, help="Of files and functions.  [default: from the name of MODEL]")
@click.option(
    "--check",
    type=TABLE,
    default=None,
    help="Table whose rows the files decide on this machine, and that must get the answers of the model.",
)
@click.option(
    "--data",
    type=TABLE,
    default=None,
    help="Table that says which integers occur, such as that of the training; continuous weights need it.  "
    "[default: that of --check]",
)
@interface_options
@click.option(
    "--radius", type=float, default=None, help="With vnnlib: how far each number of a row may be moved, in its units."
)
@click.option("--certificate", type=FILE, default=None, help="Certificate file whose hash is noted in the files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@format_options
def export(
    model_file: Path,
    target: str,
    out: Path,
    name: str | None,
    check: Path | None,
    data: Path | None,
    scale: tuple[str, ...],
    ranges: tuple[str, ...],
    missing: tuple[str, ...],
    as_json: bool,
    reading: Reading,
    **settings: Any,
) -> None:  # fmt: skip
    """Write files that decide as a model does on a device, in integers only; or ONNX, or properties to verify.

    Every way from columns to inputs goes along: thresholds, grids, categories, missing values. With --check the files
    are built and run on this machine first, and are written only if all rows get the answers of the model.
    """
    model, classifier = load_any(model_file), bdnn.load(model_file)
    tables = {path: model_features(model, path, reading) for path in {check, data} if path is not None}
    done = classifier.export(
        target,
        out,
        name=name_of(model_file.stem) if name is None else name,
        data=None if data is None else tables[data],
        check=None if check is None else tables[check],
        **declared(model.encoder_in_use, scale, ranges, missing),
        **settings,
    )
    if as_json:
        say(json.dumps({"files": done.files, "rows_checked": done.n_checked, "rows_equal": done.n_checked}))
        return
    many = len(done.files) > _MANY
    say(f"wrote {len(done.files)} files to {out}" if many else f"wrote {', '.join(done.files)}")
    if check is not None:
        say(f"{done.n_checked} of {done.n_checked} rows equal")


def _pairs(option: str, values: Sequence[str], names: Sequence[str], form: str) -> list[tuple[str, str]]:
    """Return columns and what they are given, of words such as a=1,b=2; a column's name may have commas in it."""
    found: list[tuple[str, str]] = []
    for value in values:
        rest = value
        while rest:
            known = [name for name in names if rest.startswith(f"{name}=")]
            name = max(known, key=len) if known else rest.partition("=")[0]
            given, _, rest = rest.removeprefix(f"{name}=").partition(",") if "=" in rest else (rest, "", "")
            if not given or name == given:
                raise InputError(f"{option} must be such as {form}, got {value!r}")
            found.append((name, given))
    return found


def _scales(values: Sequence[str], names: Sequence[str]) -> tuple[dict[str, int], int | None]:
    numbers = [value for value in values if value.isdecimal()]
    pairs = _pairs("--scale", [value for value in values if not value.isdecimal()], names, "temp=100,mass=1000 or 100")
    if bad := [given for _, given in pairs if not given.isdecimal()]:
        raise InputError(f"--scale takes integers per unit, got {bad[0]!r}")
    return {name: int(given) for name, given in pairs}, int(numbers[-1]) if numbers else None


def _ranges(values: Sequence[str], columns: Sequence[ColumnCode]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    form = "temp=-20:60, or -20:60 for all numeric columns"
    for value in (value for value in values if "=" not in value):
        found |= for_numbers(columns, _ends(value, form))
    for name, given in _pairs("--range", [value for value in values if "=" in value], ranged(columns), form):
        found[name] = _ends(given, form, f"{name}=")
    return found


def _ends(given: str, form: str, before: str = "") -> tuple[str, str]:
    low, colon, high = given.partition(":")
    if not colon:
        raise InputError(f"--range must be such as {form}, got {before}{given}")
    return low, high


def _columns(values: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for value in values for part in ([value] if value in names else value.split(",")))
