"""``bdnn verify``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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
from bdnn.cli.reading import (
    TableChoice,
    TrainingTable,
    as_in_training,
    columns_of,
    read_training_table,
    show_notes,
)
from bdnn.cli.table_options import TABLE, Names, format_options
from bdnn.encoding.encoder import Encoder
from bdnn.errors import CertificateError, CertificateFileError, InputError, UnknownLabelError
from bdnn.labels import MISSING_RULES
from bdnn.splitting import SPLIT_VERSION, SPLIT_VERSIONS
from bdnn.tables import Known, Reading
from bdnn.types import Array, Floats

_Rows = tuple[Floats, Array, Floats | None, TablePart, dict[str, tuple[int, float | str]], int]

_UNSTATED = ("missing_labels", "weight")
# the defaults of the options of `bdnn train`, which chose the rows if the certificate does not say how
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
@click.argument("data", type=TABLE)
@click.option("--target", default=None, help="Column of the labels.  [default: as in the training]")
@click.option(
    "--drop",
    multiple=True,
    type=Names(),
    metavar="COLUMN[,COLUMN]",
    help="Columns to leave out; may be repeated.  [default: as in the training]",
)
@click.option("--weight", default=None, help="Column of the weights of rows.  [default: as in the training]")
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
@format_options
def verify(certificate: Path, data: Path, as_json: bool, reading: Reading, **options: Any) -> None:
    """Check a certificate of optimality against the table it is about, without any solver.

    Certificates say which rows and columns they are about. Only those from Python and of earlier versions do not: for
    them --target is needed, and other options that choose rows and columns must be those of the training. All rows are
    tried first, if none are asked to be held out and their number fits.
    """  # fmt: skip
    given = {name: value for name, value in options.items() if value not in (None, ())}
    with certificate_errors(certificate, ""):
        content = read_certificate(certificate)
    stated = content.table
    if stated is not None and any(getattr(stated, name) != given[name] for name in given if name not in _UNSTATED):
        stated = None
    whole = "Give the table of the training, with all of its rows."
    if stated is not None and stated.weight is None and "weight" not in given:
        whole += " If rows had weights, and the certificate is of an earlier version, give --weight."
    hint = "Give --test-fraction, --seed, --drop, --weight and --missing as in the training."
    with certificate_errors(certificate, hint if stated is None else whole):
        try:
            how = (content, data, reading)
            found = _chosen_rows(*how, given) if stated is None else _stated_rows(*how, stated, given)
        except UnknownLabelError as error:
            raise CertificateError(f"data: {error}") from None
        X, labels, weights, part, replaced, n_unlabeled = found
        verified = bdnn.verify_certificate(content, X, labels, weights)
    counts = {"trees": verified.n_trees, "leaves": verified.n_leaves, "cuts": verified.n_cuts}
    if verified.n_lemmas:
        counts["lemmas"] = verified.n_lemmas
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


def _stated_rows(content: Certificate, data: Path, reading: Reading, part: TablePart, given: dict[str, Any]) -> _Rows:
    """Return the rows that a certificate says it is about, and how many rows of the table have no label."""
    encoder: Encoder | None = None
    forms: dict[str, str] = {}
    known = {name: Known("numeric") for name in part.features}
    if part.inputs is not None:
        encoder, forms, na = _way_to_inputs(part)
        known = columns_of(encoder, forms)
        reading = replace(reading, na=reading.na or na)
    # certificates of earlier versions do not say which column holds the weights
    part = replace(part, weight=given.get("weight", part.weight))
    table = tables.read_table(
        data,
        part.target,
        tuple(known),
        classes=np.array(content.classes),
        missing_labels="drop",
        reading=reading,
        known=known,
        weight=part.weight,
    )
    assert table.labels is not None
    show_notes(data, table)
    rows = part.take(len(table.rows) + table.n_unlabeled)
    places = np.searchsorted(table.rows, rows)
    there = places < len(table.rows)
    there[there] = table.rows[places[there]] == rows[there]
    if not there.all():
        raise CertificateError(f"data: row {rows[~there][0]} (from 0) has no label; {OTHER_DATA}")
    replaced: dict[str, tuple[int, float | str]] = {}
    if encoder is None:
        X, numbers = part.filled(table.X[places])
        replaced.update(numbers)
    else:
        features = as_in_training(encoder, table.features.take(places))
        codes = zip(encoder.columns, features.n_missing.tolist(), strict=True)
        replaced = {c.name: (count, c.fill) for c, count in codes if count and c.used and c.fill is not None}
        X = encoder.transform(features)
    weights = None if table.weight is None else table.weight[places]
    return X, table.labels[places], weights, part, replaced, table.n_unlabeled


def _way_to_inputs(part: TablePart) -> tuple[Encoder, dict[str, str], tuple[str, ...] | None]:
    """Return the encoder of a certificate, formats of dates, and what stands for missing values."""
    inputs = part.inputs or {}
    try:
        encoder = Encoder.from_json(inputs["encoder"])
    except InputError as error:
        raise CertificateFileError(f"table: inputs: {error}") from None
    forms, na = inputs["dates"], inputs["na"]
    texts = [*(forms.values() if isinstance(forms, dict) else [None]), *(na if isinstance(na, list) else [na or ""])]
    if encoder.names != part.features or not all(isinstance(text, str) for text in texts):
        raise CertificateFileError("table: inputs: must have an encoder of the features, and texts")
    return encoder, forms, None if na is None else tuple(na)


class _Found(NamedTuple):
    """A table without missing values, and what replaced these."""

    read: TrainingTable
    X: Floats
    fill: Floats | None

    @property
    def data(self) -> tuple[Floats, Array, Floats | None]:
        """Inputs, labels and weights of the training rows."""
        rows = self.read.rows
        return self.X[rows], self.read.labels[rows], self.read.weight(rows)


def _chosen_rows(content: Certificate, data: Path, reading: Reading, given: dict[str, Any]) -> _Rows:
    """Return the rows that options choose; those not given are as the certificate says, or have their defaults."""
    settings = _DEFAULTS | given
    if content.table is not None:
        settings = {name: getattr(content.table, name) for name in ("target", "weight", *_DEFAULTS)} | given
    if "target" not in settings:
        raise InputError(
            "the certificate does not say which rows and columns of a table it is about, as those from Python and of "
            "earlier versions do not: give --target, and also --test-fraction, --seed, --drop and --missing if they "
            "were given for the training"
        )
    choice = TableChoice(**settings, reading=reading)
    found = None
    if content.table is None and "test_fraction" not in given and "seed" not in given:
        found = _all_rows(content, data, choice)
    if found is None:
        found = _split_as_then(content, data, choice)
    else:
        choice = choice._replace(test_fraction=0.0)
    read, table = found.read, found.read.table
    chosen = table_part(
        target=read.target,
        features=table.names,
        drop=table.drop,
        missing=choice.missing,
        fill=None if found.fill is None else found.fill.tolist(),
        rows=table.rows[read.rows],
        n_rows=len(table.rows) + table.n_unlabeled,
        test_fraction=choice.test_fraction,
        seed=choice.seed,
        weight=choice.weight,
    )
    part = read_table_part(chosen, len(table.names), len(read.rows))
    replaced: dict[str, tuple[int, float | str]] = {}
    replaced.update(part.filled(table.X[read.rows])[1])
    return *found.data, part, replaced, table.n_unlabeled


def _all_rows(content: Certificate, data: Path, choice: TableChoice) -> _Found | None:
    """Read the table with no rows held out, if the certificate is about as many rows."""
    found = _found(content, data, choice._replace(test_fraction=0.0))
    return found if len(found.read.rows) == content.n_rows else None


def _found(content: Certificate, data: Path, choice: TableChoice, version: int = SPLIT_VERSION) -> _Found:
    """Read the table, all of it as numbers, since older certificates know no other columns."""
    read = read_training_table(data, choice, classes=np.array(content.classes), split_version=version, tidy=False)
    fill = tables.medians(read.table, read.rows) if choice.missing == "median" else None
    return _Found(read, tables.filled(read.table, fill), fill)


def _split_as_then(content: Certificate, data: Path, choice: TableChoice) -> _Found:
    """Read the table, with the rows held out by the rule of the training.

    A certificate does not say which rule that was, but it has a hash of its data. If none fits, the rule of today is
    taken.
    """
    every: list[_Found] = []
    for version in reversed(SPLIT_VERSIONS):
        found = _found(content, data, choice, version)
        if any(np.array_equal(found.read.rows, other.read.rows) for other in every):
            continue
        every.append(found)
        X, labels, given = found.data
        weights = weighted_rows(content.class_weight, labels, content.classes, given)
        if data_hash(merged(X, labels, weights, content.classes)) == content.sha256:
            return found
    return every[0]
