"""``bdnn verify``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import bdnn
from bdnn.cli.options import FILE, SEED, table_options
from bdnn.cli.reading import read_training_table
from bdnn.errors import CertificateError, CertificateFileError, InputError
from bdnn.verify import OTHER_DATA


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
        read = read_training_table(data, **options)
        verified = bdnn.verify_certificate(certificate, read.X[read.rows], read.labels[read.rows])
    counts = {"trees": verified.n_trees, "leaves": verified.n_leaves, "cuts": verified.n_cuts}
    if as_json:
        exact = {"loss": str(verified.loss), "bound": str(verified.bound), "optimal": verified.optimal}
        click.echo(json.dumps(exact | counts | {"seconds": verified.seconds, "statement": verified.statement}))
        return
    click.echo(f"verified  {verified.statement}")
    click.echo(f"checked   {', '.join(f'{n} {what}' for what, n in counts.items())}, in {verified.seconds:.1f} s")
