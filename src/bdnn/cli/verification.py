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
from bdnn.cli.options import FILE, SEED, table_options
from bdnn.cli.reading import TrainingTable, read_training_table
from bdnn.errors import CertificateError, CertificateFileError, InputError, UnknownLabelError
from bdnn.splitting import SPLIT_VERSIONS
from bdnn.verify import OTHER_DATA
from bdnn.verify_data import data_hash, merged
from bdnn.verify_file import read_certificate


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
@table_options
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the split.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(certificate: Path, data: Path, as_json: bool, **options: Any) -> None:
    """Check a certificate of optimality against the CSV table it is about, without any solver.

    The options that choose rows and columns must be those of the training.
    """
    with certificate_errors(certificate, "Give --test-fraction, --seed, --drop and --missing as in the training."):
        read = _rows_of(certificate, data, options)
        verified = bdnn.verify_certificate(certificate, read.X[read.rows], read.labels[read.rows])
    counts = {"trees": verified.n_trees, "leaves": verified.n_leaves, "cuts": verified.n_cuts}
    if as_json:
        exact = {"loss": str(verified.loss), "bound": str(verified.bound), "optimal": verified.optimal}
        click.echo(json.dumps(exact | counts | {"seconds": verified.seconds, "statement": verified.statement}))
        return
    click.echo(f"verified  {verified.statement}")
    click.echo(f"checked   {', '.join(f'{n} {what}' for what, n in counts.items())}, in {verified.seconds:.1f} s")


def _rows_of(certificate: Path, data: Path, options: dict[str, Any]) -> TrainingTable:
    """Read the table, with labels as classes of the certificate and the rows held out by the rule that it was made by.

    A certificate does not say which, but it has a hash of its data. If none fits, the rule of today is taken.
    """
    content = read_certificate(certificate)
    classes = np.array(content.classes)
    found: list[TrainingTable] = []
    try:
        for version in reversed(SPLIT_VERSIONS):
            read = read_training_table(data, **options, classes=classes, split_version=version)
            if found and np.array_equal(read.rows, found[0].rows):
                break
            found.append(read)
            kept = merged(read.X[read.rows], read.labels[read.rows], classes=content.classes)
            if data_hash(kept) == content.sha256:
                return read
    except UnknownLabelError as error:
        raise CertificateError(f"data: {error}") from None
    return found[0]
