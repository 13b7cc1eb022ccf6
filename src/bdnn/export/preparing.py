"""A model made ready for an export: an integer program that decides a table alike, golden rows, and facts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import ExportError
from bdnn.export.building import integer_program
from bdnn.export.golden import golden_rows
from bdnn.export.inputs import Interface, device_rows
from bdnn.export.request import Optimize, Request
from bdnn.model_file.contents import Model

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.files import FilePath
    from bdnn.model_file.contents import EnsembleModel
    from bdnn.types import Indices, Integers


def prepared(
    model: Model | EnsembleModel,
    name: str,
    interface: Interface,
    predict: Callable[[RawTable], Indices],
    known: RawTable | None,
    *,
    optimize: Optimize = "size",
    input_bits: int = 8,
    certificate: FilePath | None = None,
) -> tuple[Request, Integers | None]:
    """Return a model as an integer program with golden rows, and the device integers of a table, if one is known.

    Raises
    ------
    InputError
        If something cannot be expressed by integers.
    ExportError
        If the integers decide a row of the table otherwise than the model.
    """
    program = integer_program(model, interface, known, input_bits)
    rows = None
    if known is not None:
        rows = device_rows(program.inputs, known)
        if np.any(wrong := program.run(rows) != predict(known)):
            raise ExportError(
                f"integers decide row {np.argmax(wrong) + 1} and {int(wrong.sum()) - 1} others otherwise than the "
                f"model; train on integer weights, or use more input bits (--input-bits)"
            )
    golden = golden_rows(program, rows)
    request = Request(
        program=program, name=name, optimize=optimize, rows=golden, answers=program.run(golden),
        facts=facts_of(model, certificate),
    )  # fmt: skip
    return request, rows


def facts_of(model: Model | EnsembleModel, certificate: FilePath | None) -> dict[str, str]:
    """Return lines about a model for readers of its files."""
    facts: dict[str, str] = {}
    if isinstance(model, Model):
        network, result = model.network, model.result
        widths = " - ".join(map(str, (network.n_features, *network.widths)))
        facts["network"] = f"{widths} ({network.head} head)"
        if result is not None:
            facts["training rows right"] = (
                f"{result.n_rows - result.audit.n_wrong} of {result.n_rows} "
                f"({1 - result.audit.n_wrong / max(result.n_rows, 1):.4f})"
            )
            facts["training loss"] = f"{result.audit.loss:g}; objective {result.objective:g}, bound {result.bound:g} " \
                                     f"({result.status})"  # fmt: skip
            if result.validation_accuracy is not None:
                facts["validation accuracy"] = f"{result.validation_accuracy:.4f}"
        facts["numbers of the network"] = f"{network.size_bytes} bytes"
    else:
        facts["ensemble"] = f"{len(model.members)} networks, voting {model.settings.get('voting')}"
        facts["numbers of the networks"] = f"{sum(m.network.size_bytes for m in model.members)} bytes"
    if certificate is not None:
        facts["certificate (SHA-256)"] = hashlib.sha256(Path(certificate).read_bytes()).hexdigest()
    return facts
