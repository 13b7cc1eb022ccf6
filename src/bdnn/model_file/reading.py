"""Reading model files that may be hostile: size and brackets are checked before parsing, and every value after it.

The limits on size and brackets bound the memory that parsing can take.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

from bdnn.calibration import Calibration
from bdnn.checks import name_tuple
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, ModelFileError
from bdnn.labels import MISSING_RULES, label_array
from bdnn.model_file import contents
from bdnn.model_file.contents import (
    ENSEMBLE_FORMAT,
    FORMAT,
    VERSION,
    EnsembleMember,
    EnsembleModel,
    Model,
    TableInfo,
)
from bdnn.model_file.packed import schema_file, unpack_file
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer, Network
from bdnn.network.schema import Schema
from bdnn.problem.audit import Audit
from bdnn.result import MEASURES, BoundStep, Incumbent, OperatingPoint, Result
from bdnn.status import Status

_EVERY_CLASSIFIER = "every classifier on these inputs"
_MAX_INTEGER = 2**53  # doubles hold all integers up to it
_MAX_FLOAT = sys.float_info.max


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : path-like
        A file written by `save_model`.

    Returns
    -------
    Model
        Its contents.

    Raises
    ------
    ModelFileError
        If the file is not a sound model file of a known version.
    OSError
        If it cannot be read.
    """
    model = load_any(path)
    if isinstance(model, EnsembleModel):
        raise ModelFileError(
            f"{os.fspath(path)}: not a usable model file: it holds an ensemble; read it with bdnn.load"
        )
    return model


def load_any(path: str | os.PathLike[str]) -> Model | EnsembleModel:
    """Read a file of a model or of an ensemble.

    Parameters
    ----------
    path : path-like
        A file written by `save_model`, or a packed one with its schema beside it.

    Returns
    -------
    Model or EnsembleModel
        Its contents.

    Raises
    ------
    ModelFileError
        If the file is not a sound file of a known version.
    OSError
        If it cannot be read.
    """
    raw = _start_of(path)
    try:
        return unpack_file(raw, _start_of(beside)) if os.path.isfile(beside := schema_file(path)) else _parse(raw)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: {error}") from None


def _start_of(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read(contents.MAX_BYTES + 1)


def _parse(raw: bytes) -> Model | EnsembleModel:
    if len(raw) > contents.MAX_BYTES:
        raise ModelFileError(f"it is larger than {contents.MAX_BYTES // 2**20} MiB")
    if raw.count(b"[") + raw.count(b"{") > contents.MAX_BRACKETS:
        raise ModelFileError(f"it has more than {contents.MAX_BRACKETS} lists and objects")
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ModelFileError("it is nested too deeply") from None
    except ValueError as error:
        raise ModelFileError(f"it is not valid JSON ({error})") from None
    kind = data.get("format") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in (FORMAT, ENSEMBLE_FORMAT):
        raise ModelFileError(f"it does not say that its format is {FORMAT!r} or {ENSEMBLE_FORMAT!r}")
    if type(data.get("version")) is not int or not 1 <= data["version"] <= VERSION:
        raise ModelFileError(f"its version is {_shown(data.get('version'))}; this bdnn reads versions 1 to {VERSION}")
    try:
        if kind == ENSEMBLE_FORMAT:
            return _ensemble(data)
        network = _network(_part(data, "network", dict))
        calibration = _part(data, "calibration", dict, optional=True)
        schema = _part(data, "schema", dict, optional=True)
        return Model(
            network,
            settings=_settings(_part(data, "settings", dict, optional=True)),
            result=_result(_part(data, "result", dict, optional=True), network),
            table=_table(_part(data, "table", dict, optional=True), network.n_features),
            encoder=_encoder(_part(data, "encoder", dict, optional=True), network.n_features, network.feature_names),
            calibration=_calibration(calibration, sum(network.widths), len(network.classes)),
            schema=None if schema is None else Schema.from_dict(schema),
        )
    except InputError as error:
        raise ModelFileError(_shortened(str(error), 300)) from None


def _no_constant(name: str) -> Any:
    raise ModelFileError(f"it holds {name}, which is not a number")


def _shown(value: object) -> str:
    # a list or object may be huge, and too deep for repr
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else _shortened(repr(value), 40)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _part(data: dict[str, Any], name: str, kind: type | tuple[type, ...], optional: bool = False) -> Any:
    value = data.get(name)
    if value is None and optional:
        return None
    allowed = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        expected = " or ".join(k.__name__ for k in allowed)
        raise ModelFileError(f"{_shown(name)} must be of type {expected}, got {_shown(value)}")
    if isinstance(value, int | float) and not abs(value) <= (_MAX_INTEGER if isinstance(value, int) else _MAX_FLOAT):
        raise ModelFileError(f"{_shown(name)} is too large: {_shown(value)}")
    return value


def _numbers(value: Any, name: str, integer: bool, depth: int = 1) -> Any:
    """Return a list (of lists, for depth 2) of numbers as an array."""
    rows = value if depth == 2 and isinstance(value, list) else [value]
    if not isinstance(value, list) or not all(isinstance(row, list) for row in rows):
        raise ModelFileError(f"{name} must be a list{' of lists' if depth == 2 else ''} of numbers")
    if len({len(row) for row in rows}) > 1:
        raise ModelFileError(f"the rows of {name} differ in length")
    allowed = (int,) if integer else (int, float)
    for row in rows:
        for entry in row:
            if type(entry) not in allowed or (type(entry) is int and abs(entry) > _MAX_INTEGER):
                raise ModelFileError(f"{name} must hold {'integers' if integer else 'numbers'}, got {_shown(entry)}")
    array = np.array(value, dtype=np.int64 if integer else np.float64)
    if not np.all(np.isfinite(array)):
        raise ModelFileError(f"{name} holds a number that is too large")
    return array.reshape(len(rows), len(rows[0]) if rows else 0) if depth == 2 else array


def _network(data: dict[str, Any]) -> Network:
    integer = _part(data, "weights", str) == "integer"
    if not integer and data["weights"] != "continuous":
        raise ModelFileError(f"'weights' must be 'continuous' or 'integer', got {_shown(data['weights'])}")
    layers = []
    for k, layer in enumerate(_part(data, "layers", list), start=1):
        if not isinstance(layer, dict):
            raise ModelFileError(f"layer {k} must be an object with 'weights' and 'bias'")
        W = _numbers(layer.get("weights"), f"the weights of layer {k}", integer, depth=2)
        layers.append(Layer(W, _numbers(layer.get("bias"), f"the bias of layer {k}", integer)))
    grid = None
    if (stored := _part(data, "input_grid", dict, optional=True)) is not None:
        offset, step = (_numbers(stored.get(name), f"the grid's {name}", False) for name in ("offset", "step"))
        grid = InputGrid(offset, step, _part(stored, "bits", int))
    names = _part(data, "feature_names", list, optional=True)
    if names is not None and not all(isinstance(name, str) for name in names):
        raise ModelFileError("'feature_names' must hold strings")
    return Network(tuple(layers), _part(data, "head", str), _classes(_part(data, "classes", dict)), grid, names)


def _calibration(data: dict[str, Any] | None, n_values: int, n_classes: int) -> Calibration | None:
    return None if data is None else Calibration.from_json(data, n_values, n_classes)


def _ensemble(data: dict[str, Any]) -> EnsembleModel:
    classes, n_features = _classes(_part(data, "classes", dict)), _part(data, "n_features", int)
    members = []
    for number, item in enumerate(_part(data, "members", list), start=1):
        if not isinstance(item, dict):
            raise ModelFileError("'members' must hold objects")
        network = _network(_part(item, "network", dict))
        features = _numbers(item.get("features"), f"the features of member {number}", True)
        if len(features) != network.n_features or not np.all((features >= 0) & (features < n_features)):
            raise ModelFileError(f"the features of member {number} do not fit its network or the ensemble")
        members.append(EnsembleMember(network, features.astype(np.intp)))
    names = name_tuple("feature_names", _part(data, "feature_names", list, optional=True), n_features)
    calibration = _part(data, "calibration", dict, optional=True)
    return EnsembleModel(
        label_array("classes", classes),
        n_features,
        names,
        tuple(members),
        _settings(_part(data, "settings", dict)) or {},
        _settings(_part(data, "estimator", dict)) or {},
        _encoder(_part(data, "encoder", dict, optional=True), n_features, names),
        _calibration(calibration, 2 * len(classes), len(classes)),
    )


def _encoder(data: dict[str, Any] | None, n_inputs: int, names: tuple[str, ...] | None) -> Encoder | None:
    """Return the encoder, whose inputs must match those of the network."""
    if data is None:
        return None
    encoder = Encoder.from_json(data)
    if encoder.n_inputs != n_inputs:
        raise ModelFileError(f"the encoder gives {encoder.n_inputs} inputs, but the network takes {n_inputs}")
    if encoder.network_names != names:
        raise ModelFileError("the encoder gives inputs of other names than the network takes")
    return encoder


def _classes(data: dict[str, Any]) -> Any:
    kind, values = _part(data, "kind", str), _part(data, "values", list)
    python = {"bool": bool, "int": int, "float": float, "str": str}.get(kind)
    if python is None:
        raise ModelFileError(f"the kind of the classes must be bool, int, float or str, got {_shown(kind)}")
    if not all(type(v) is python or (python is float and type(v) is int) for v in values):
        raise ModelFileError(f"the classes must be of kind {kind}")
    # NumPy gives every string as much room as the longest one takes
    if python is str and len(values) * max(map(len, values), default=0) > contents.MAX_BYTES // 4:
        raise ModelFileError("the class labels are too long")
    try:
        labels: Any = np.array(values, dtype="u8" if kind == "int" and max(values, default=0) >= 2**63 else python)
    except (OverflowError, ValueError):
        raise ModelFileError("a class label is too large") from None
    if python is str and labels.tolist() != values:
        raise ModelFileError("a class label ends in a null character")
    return labels


def _settings(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Check that settings are scalars, lists of scalars, or objects of one or more."""
    for name, value in (data or {}).items():
        entries = value if isinstance(value, list) else [value]
        if isinstance(value, dict) and value:
            entries = list(value.values())
        for entry in entries:
            _part({name: entry}, name, (str, int, float, bool), optional=True)
    return data


def _result(data: dict[str, Any] | None, network: Network) -> Result | None:
    if data is None:
        return None
    status = _part(data, "status", str)
    if status not in list(Status):
        raise ModelFileError(f"'status' must be one of {', '.join(Status)}, got {_shown(status)}")
    audit = _part(data, "audit", dict)
    history = []
    for item in _part(data, "history", list):
        if not isinstance(item, dict):
            raise ModelFileError("'history' must hold objects")
        history.append(
            Incumbent(
                _amount(item, "seconds"),
                _amount(item, "objective"),
                _part(item, "source", str),
                **{n: _amount(item, n, optional=True) for n in ("validation_accuracy", "solve_seconds")},
                **{n: _amount(item, n, int, optional=True) for n in ("clusters", "binaries")},
            )
        )
    bounds = _part(data, "bounds", list, optional=True) or []  # older files have none
    if not all(isinstance(item, dict) for item in bounds):
        raise ModelFileError("'bounds' must hold objects")
    shortfalls = _part(data, "shortfalls", list, optional=True) or []  # older files have none
    if not all(isinstance(item, str) for item in shortfalls):
        raise ModelFileError("'shortfalls' must hold texts")
    timings = _part(data, "timings", dict)
    return Result(
        network=network,
        status=Status(status),
        **{name: _amount(data, name) for name in ("objective", "bound", "irreducible")},
        **{name: _part(data, name, str) for name in ("bound_of", "method", "solver", "message")},
        **{name: _amount(data, name, int) for name in ("n_rows", "n_distinct", "nodes")},
        interrupted=_part(data, "interrupted", bool),
        audit=Audit(
            loss=_amount(audit, "loss"),
            solver_loss=_amount(audit, "solver_loss", optional=True),
            **{name: _amount(audit, name, int) for name in ("n_wrong", "n_rational", "n_mismatched")},
        ),
        penalty=_amount(data, "penalty"),
        validation_accuracy=_amount(data, "validation_accuracy", optional=True),
        history=tuple(history),
        bounds=tuple(BoundStep(_amount(item, "seconds"), _amount(item, "bound")) for item in bounds),
        timings={name: _amount(timings, name) for name in timings},
        # older files have neither
        grid_loss=_amount(data, "grid_loss", optional=True) or 0.0,
        irreducible_of=_part(data, "irreducible_of", str, optional=True) or _EVERY_CLASSIFIER,
        shortfalls=tuple(shortfalls),
        weighted=_part(data, "weighted", bool, optional=True) or False,
        class_weight=_class_weight(data, len(network.classes)),
        operating_point=_operating_point(_part(data, "operating_point", dict, optional=True)),
    )


def _operating_point(data: dict[str, Any] | None) -> OperatingPoint | None:
    if data is None:
        return None
    measure = _part(data, "measure", str)
    if measure not in MEASURES:
        raise ModelFileError(f"the measure of the operating point must be one of {', '.join(MEASURES)}")
    rates = {name: _amount(data, name) for name in ("wanted", *MEASURES)}
    if max(rates.values()) > 1:
        raise ModelFileError("the rates of the operating point must not be above 1")
    return OperatingPoint(
        measure=measure,
        positive=_part(data, "positive", (str, int, float, bool)),
        rows=_amount(data, "rows", int),
        shift=_part(data, "shift", (int, float)),
        reachable=tuple(_numbers(data.get("reachable"), "what the operating point could be", False).tolist()),
        **rates,
    )


def _class_weight(data: dict[str, Any], n_classes: int) -> tuple[float, ...] | None:
    if data.get("class_weight") is None:
        return None
    weights = _numbers(data["class_weight"], "'class_weight'", False)
    if weights.shape != (n_classes,) or np.any(weights < 0):
        raise ModelFileError(f"'class_weight' must hold {n_classes} numbers that are not negative")
    return tuple(weights.tolist())


def _amount(
    data: dict[str, Any], name: str, kind: type | tuple[type, ...] = (int, float), optional: bool = False
) -> Any:
    """Return a loss, a time or a count: a number that is not negative."""
    value = _part(data, name, kind, optional)
    if value is not None and value < 0:
        raise ModelFileError(f"{_shown(name)} must not be negative, got {_shown(value)}")
    return value


def _table(data: dict[str, Any] | None, n_features: int) -> TableInfo | None:
    if data is None:
        return None
    fill = data.get("fill")
    if fill is not None:
        fill = tuple(_numbers(fill, "the table's fill", False).tolist())
        if len(fill) != n_features:
            raise ModelFileError(f"the table's fill must have {n_features} numbers, got {len(fill)}")
    drop = _texts(data, "drop") or ()  # older files have neither this nor what follows
    fraction, seed = _amount(data, "test_fraction", optional=True), _amount(data, "seed", int, optional=True)
    if fraction is not None and fraction >= 1:
        raise ModelFileError(f"'test_fraction' must be below 1, got {_shown(fraction)}")
    split = _amount(data, "split", int, optional=True)
    dates = _part(data, "dates", dict, optional=True) or {}
    if not all(isinstance(form, str) for form in dates.values()):
        raise ModelFileError("'dates' must hold strings")
    missing_labels = _part(data, "missing_labels", str, optional=True) or "error"
    if missing_labels not in MISSING_RULES:
        known = ", ".join(MISSING_RULES)
        raise ModelFileError(f"'missing_labels' must be one of {known}, got {_shown(missing_labels)}")
    return TableInfo(
        _part(data, "target", str), _part(data, "missing", str), fill, drop, fraction, seed,
        1 if split is None else split, missing_labels, _texts(data, "id") or (),
        _part(data, "weight", str, optional=True), _texts(data, "na"), dates,
        _amount(data, "n_columns", int, optional=True),
    )  # fmt: skip


def _texts(data: dict[str, Any], name: str) -> tuple[str, ...] | None:
    texts = _part(data, name, list, optional=True)
    if not all(isinstance(text, str) for text in texts or ()):
        raise ModelFileError(f"{name!r} must hold strings")
    return None if texts is None else tuple(texts)
