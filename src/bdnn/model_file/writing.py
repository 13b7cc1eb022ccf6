"""Writing model files: as a whole, and only if they can be read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bdnn.errors import InputError
from bdnn.files import FilePath, write
from bdnn.labels import plain
from bdnn.model_file import contents
from bdnn.model_file.contents import ENSEMBLE_FORMAT, FORMAT, VERSION, EnsembleModel, Model
from bdnn.version import __version__

if TYPE_CHECKING:
    from bdnn.calibration import Calibration
    from bdnn.network.network import Network
    from bdnn.types import Array

# a double has 24 characters at most; settings, and the courses of incumbents and bounds, have room to spare in the rest
_DOUBLE_BYTES, _OTHER_BYTES, _OTHER_BRACKETS = 25, 2**20, 20_000
_COLUMN_BYTES = 40  # {"name":,"kind":"numeric","fill":},
_LABEL_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str"}


def save_model(path: FilePath | IO[bytes], model: Model | EnsembleModel) -> None:
    """Write a model file; an existing one is replaced only when the new one is complete.

    Parameters
    ----------
    path : path-like or binary file
        Where to write, usually ``.json``.
    model : Model or EnsembleModel
        What to write.

    Raises
    ------
    InputError
        If the labels are not integers, floats, booleans or strings, a setting or a number of the result cannot be
        stored, or the file would be too large to be read again.
    OutputError
        (an OSError) If the file cannot be written.
    """
    try:
        data = _ensemble_to_json(model) if isinstance(model, EnsembleModel) else _to_json(model)
        text = json.dumps(data, allow_nan=False, indent=1) + "\n"
        if len(text) > contents.MAX_BYTES:  # a third of it is white space
            text = json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the model cannot be saved: {error}") from None
    raw = text.encode("ascii")
    if len(raw) > contents.MAX_BYTES:
        raise InputError(f"the model cannot be saved: its file would be larger than {contents.MAX_BYTES // 2**20} MiB")
    if raw.count(b"[") + raw.count(b"{") > contents.MAX_BRACKETS:
        raise InputError(
            f"the model cannot be saved: it would have more than {contents.MAX_BRACKETS} lists and objects"
        )
    write(path, raw)


def check_size(widths: Sequence[int], feature_names: Sequence[str], weight_bound: int | None = None) -> None:
    """Check, before a network is trained, that its model file will not be too large, whatever the weights.

    Parameters
    ----------
    widths : sequence of int
        Features, neurons of each hidden layer, outputs.
    feature_names : sequence of str
        Names of the features.
    weight_bound : int or None
        Largest integer weight; None for continuous weights.

    Raises
    ------
    InputError
        If it can be too large.
    """
    n_weights = sum(m * n for m, n in pairwise(widths))
    n_neurons = sum(widths[1:])
    # digits and a comma of a double, of a bias (or of a replacement of missing values), of an integer weight
    digits = _DOUBLE_BYTES if weight_bound is None else len(f"-{weight_bound},")
    size = digits * n_weights + _DOUBLE_BYTES * (n_neurons + widths[0]) + 2 * n_neurons
    # names stand there twice, as those of inputs and of columns
    size += sum(2 * len(json.dumps(name)) + _COLUMN_BYTES for name in feature_names) + _OTHER_BYTES
    if size > contents.MAX_BYTES or n_neurons + widths[0] > contents.MAX_BRACKETS - _OTHER_BRACKETS:
        raise InputError(
            f"the network could not be saved: with {n_weights + n_neurons} weights and biases, its file can be larger "
            f"than the {contents.MAX_BYTES // 2**20} MiB that model files may have; use fewer neurons or features, or "
            f"leave the file out"
        )


def _to_json(model: Model) -> dict[str, Any]:
    network, table = model.network, model.table
    return (
        {
            "format": FORMAT,
            "version": _version(model),
            "bdnn": __version__,
            "network": _network_to_json(network),
            "encoder": None if model.encoder is None else model.encoder.to_json(),
            "settings": model.settings,
            "result": None if model.result is None else model.result.to_dict(),
            "table": None if table is None else {f.name: getattr(table, f.name) for f in fields(table)},
        }
        | _calibration_to_json(model.calibration)
        | ({} if model.schema is None else {"schema": model.schema.to_dict()})
    )


def _version(model: Model | EnsembleModel) -> int:
    """Return the oldest version that is sufficient: earlier readers need no replacements of missing values."""
    plain = model.calibration is None and (model.encoder is None or model.encoder.is_identity)
    return 1 if plain else VERSION


def _ensemble_to_json(model: EnsembleModel) -> dict[str, Any]:
    return {
        "format": ENSEMBLE_FORMAT,
        "version": _version(model),
        "bdnn": __version__,
        "classes": _classes_to_json(model.classes),
        "n_features": model.n_features,
        "feature_names": None if model.feature_names is None else list(model.feature_names),
        "encoder": None if model.encoder is None else model.encoder.to_json(),
        "settings": model.settings,
        "estimator": model.estimator,
        "members": [
            {"features": member.features.tolist(), "network": _network_to_json(member.network)}
            for member in model.members
        ],
    } | _calibration_to_json(model.calibration)


def _calibration_to_json(calibration: Calibration | None) -> dict[str, Any]:
    return {} if calibration is None else {"calibration": calibration.to_json()}


def _network_to_json(network: Network) -> dict[str, Any]:
    grid = network.grid
    return {
        "head": network.head,
        "weights": "integer" if network.is_integer else "continuous",
        "classes": _classes_to_json(network.classes),
        "feature_names": None if network.feature_names is None else list(network.feature_names),
        "input_grid": None
        if grid is None
        else {"bits": grid.bits, "offset": grid.offset.tolist(), "step": grid.step.tolist()},
        "layers": [{"weights": W.tolist(), "bias": b.tolist()} for W, b in network.layers],
    }


def _classes_to_json(classes: Array) -> dict[str, Any]:
    classes = np.asarray(plain(classes))
    kind, labels = _LABEL_KINDS.get(classes.dtype.kind), classes.tolist()
    if kind is None and all(isinstance(label, str) for label in labels):
        kind = "str"
    if kind is None:
        raise InputError(f"labels of type {classes.dtype} cannot be saved; use integers, floats, booleans or strings")
    return {"kind": kind, "values": labels}
