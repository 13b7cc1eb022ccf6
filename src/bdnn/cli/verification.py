"""``bdnn verify``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

import bdnn
from bdnn import tables
from bdnn.checker.check import OTHER_DATA
from bdnn.checker.class_weight import weighted_rows
from bdnn.checker.data import data_hash, merged
from bdnn.checker.file import Certificate, read_certificate
from bdnn.checker.rows import TablePart, read_table_part, table_part
from bdnn.cli.options import FILE, SEED
from bdnn.cli.output import say
from bdnn.cli.reading import TrainingTable, read_training_table
from bdnn.errors import CertificateError, CertificateFileError, InputError, UnknownLabelError
from bdnn.labels import MISSING_RULES
from bdnn.splitting import SPLIT_VERSIONS
from bdnn.types import Array, Floats

_Rows = tuple[Floats, Array, TablePart, dict[str, tuple[int, float]], int]

_DEFAULTS: dict[str, Any] = {"drop": (), "missing": "median", "test_fraction": 0.25, "seed": 0}


@contextmanager
def certificate_errors(certificate: Path | None, hint: str) -> Iterator[None]:
    """Name the file in the errors of a certificate; the hint is given if it is about other data."""
    try:
        yield
    except OSError as error:
        raise InputError(str(error)) from None
    except CertificateFileError as error:
        raise CertificateFileError(f"{certificate} is not a certificate: {error}") from None
    except CertificateError as error:
        more = f" {hint}" * str(error).endswith(OTHER_DATA)
        raise CertificateError(f"{certificate} is not verified: {error}{more}") from None


@click.command()
@click.argument("certificate", type=FILE)
@click.argument("data", type=FILE)
@click.option("--target", default=None, help="Column of the labels.  [default: as in the training]")
@click.option("--drop", multiple=True, help="Column to leave out; may be repeated.  [default: as in the training]")
@click.option(
    "--missing",
    type=click.Choice(tables.MISSING_RULES),
    default=None,
    help="What was done with missing values.  [default: as in the training]",
)
@click.option(
    "--missing-labels",
    type=click.Choice(MISSING_RULES),
    default=None,
    help="What was done with rows without a label.  [default: error]",
)
@click.option(
    "--test-fraction", type=float, default=None, help="Fraction of the rows held out.  [default: as in the training]"
)
@click.option("--seed", type=SEED, default=None, help="Seed of the split.  [default: as in the training]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(certificate: Path, data: Path, as_json: bool, **options: Any) -> None:
    """Check a certificate of optimality against the CSV table it is about, without any solver.

    Certificates say which rows and columns they are about. Only those from Python and of earlier versions do not: for
    them --target is needed, and other options that choose rows and columns must be those of the training. All rows are
    tried first, if none are asked to be held out and their number fits.
    """  # fmt: skip
    given = {name: value for name, value in options.items() if value not in (None, ())}
    with certificate_errors(certificate, ""):
        content = read_certificate(certificate)
    stated = content.table
    if stated is not None and any(getattr(stated, name) != given[name] for name in given if name != "missing_labels"):
        stated = None
    whole = "Give the table of the training, with all of its rows."
    hint = "Give --test-fraction, --seed, --drop and --missing as in the training."
    with certificate_errors(certificate, hint if stated is None else whole):
        try:
            found = _chosen_rows(content, data, given) if stated is None else _stated_rows(content, stated, data)
        except UnknownLabelError as error:
            raise CertificateError(f"data: {error}") from None
        X, labels, part, replaced, n_unlabeled = found
        verified = bdnn.verify_certificate(content, X, labels)
    counts = {"trees": verified.n_trees, "leaves": verified.n_leaves, "cuts": verified.n_cuts}
    if as_json:
        exact = {"loss": str(verified.loss), "bound": str(verified.bound), "optimal": verified.optimal}
        rows = {"checked": part.n_taken, "of": part.n_rows, "test_fraction": part.test_fraction, "seed": part.seed}
        if n_unlabeled:
            rows["without_label"] = n_unlabeled
        about = {"rows": rows, "replaced": {name: list(amount) for name, amount in replaced.items()}}
        said = {"seconds": verified.seconds, "statement": verified.statement}
        say(json.dumps(exact | counts | about | said))
        return
    say(f"verified  {verified.statement}")
    say(f"rows      {part.described(data.name, replaced, stated=stated is not None, n_unlabeled=n_unlabeled)}")
    say(f"checked   {', '.join(f'{n} {what}' for what, n in counts.items())}, in {verified.seconds:.1f} s")


def _stated_rows(content: Certificate, part: TablePart, data: Path) -> _Rows:
    """Return the rows that a certificate says it is about, and how many rows of the table have no label."""
    classes = np.array(content.classes)
    table = tables.read_table(data, part.target, part.features, classes=classes, missing_labels="drop")
    assert table.labels is not None
    rows = part.take(len(table.rows) + table.n_unlabeled)
    places = np.searchsorted(table.rows, rows)
    known = places < len(table.rows)
    known[known] = table.rows[places[known]] == rows[known]
    if not known.all():
        raise CertificateError(f"data: row {rows[~known][0]} (from 0) has no label; {OTHER_DATA}")
    X, replaced = part.filled(table.X[places])
    return X, table.labels[places], part, replaced, table.n_unlabeled


def _chosen_rows(content: Certificate, data: Path, given: dict[str, Any]) -> _Rows:
    """Return the rows that options choose; those not given are as the certificate says, or have their defaults."""
    settings = _DEFAULTS | given
    if content.table is not None:
        settings = {name: getattr(content.table, name) for name in ("target", *_DEFAULTS)} | given
    if "target" not in settings:
        raise InputError(
            "the certificate does not say which rows and columns of a table it is about, as those from Python and of "
            "earlier versions do not: give --target, and also --test-fraction, --seed, --drop and --missing if they "
            "were given for the training"
        )
    read = None
    if content.table is None and "test_fraction" not in given and "seed" not in given:
        read = _all_rows(content, data, settings)
    if read is None:
        read = _split_as_then(content, data, settings)
    else:
        settings["test_fraction"] = 0.0
    settings.pop("missing_labels", None)
    fill = None if read.fill is None else read.fill.tolist()
    rows, n_rows = read.table.rows[read.rows], len(read.table.rows) + read.table.n_unlabeled
    chosen = table_part(features=read.table.names, rows=rows, n_rows=n_rows, fill=fill, **settings)
    part = read_table_part(chosen, len(read.table.names), len(read.rows))
    replaced = part.filled(read.table.X[read.rows])[1]
    return read.X[read.rows], read.labels[read.rows], part, replaced, read.table.n_unlabeled


def _all_rows(content: Certificate, data: Path, settings: dict[str, Any]) -> TrainingTable | None:
    """Read the table with no rows held out, if the certificate is about as many rows."""
    every = settings | {"test_fraction": 0.0}
    read = read_training_table(data, **every, classes=np.array(content.classes))
    return read if len(read.rows) == content.n_rows else None


def _split_as_then(content: Certificate, data: Path, settings: dict[str, Any]) -> TrainingTable:
    """Read the table, with the rows held out by the rule of the training.

    A certificate does not say which rule that was, but it has a hash of its data. If none fits, the rule of today is
    taken.
    """
    classes = np.array(content.classes)
    found: list[TrainingTable] = []
    for version in reversed(SPLIT_VERSIONS):
        read = read_training_table(data, **settings, classes=classes, split_version=version)
        if found and np.array_equal(read.rows, found[0].rows):
            break
        found.append(read)
        labels = read.labels[read.rows]
        weights = weighted_rows(content.class_weight, labels, content.classes, None)
        if data_hash(merged(read.X[read.rows], labels, weights, content.classes)) == content.sha256:
            return read
    return found[0]
