"""Model files: versioned JSON without pickle, floats that round-trip exactly, everything checked on load.

A file holds the network and, where known, the settings and the result of its training and how its table was read.
A reader meets hostile files too, so size and bracket count are checked before parsing (they bound the memory that
parsing can take), and every value is checked after it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bdnn.checks import label_array, name_tuple
from bdnn.errors import InputError, ModelFileError
from bdnn.files import FilePath, write
from bdnn.labels import MISSING_RULES, plain
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer, Network
from bdnn.problem.audit import Audit
from bdnn.result import BoundStep, Incumbent, Result
from bdnn.splitting import SPLIT_VERSION
from bdnn.status import Status
from bdnn.types import Indices
from bdnn.version import __version__

FORMAT, VERSION = "bdnn-model", 1
ENSEMBLE_FORMAT, ENSEMBLE_VERSION = "bdnn-ensemble", 1

_EVERY_CLASSIFIER = "every classifier on these inputs"
_MOST_BYTES = 64 * 2**20
_MOST_BRACKETS = 500_000
# a double has 24 characters at most; settings, and the courses of incumbents and bounds, have room to spare in the rest
_DOUBLE_BYTES, _OTHER_BYTES, _OTHER_BRACKETS = 25, 2**20, 20_000
_LARGEST_FLOAT = sys.float_info.max
_LABEL_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str"}


@dataclass(frozen=True, slots=True)
class TableInfo:
    """How the table that a model was trained on was read.

    Attributes
    ----------
    target : str
        Name of the target column.
    missing : str
        Rule for missing values: "median" or "error".
    fill : tuple of float or None
        Replacement of a missing value in each feature, in units of the feature; None if none was allowed, and in older
        files also if no value was missing in the training.
    drop : tuple of str
        Columns left out.
    test_fraction : float or None
        Part of the rows held out for testing; None if that is not known.
    seed : int or None
        Seed of that split.
    split : int
        Rule of that split; see `bdnn.splitting`.
    missing_labels : str
        Rule for rows without a label: "error" or "drop".
    """

    target: str
    missing: str
    fill: tuple[float, ...] | None
    drop: tuple[str, ...] = ()
    test_fraction: float | None = None
    seed: int | None = None
    split: int = SPLIT_VERSION
    missing_labels: str = "error"


@dataclass(frozen=True, slots=True)
class Model:
    """Contents of a model file.

    Attributes
    ----------
    network : Network
        What predicts.
    settings : dict or None
        Parameters of the estimator that trained it.
    result : Result or None
        How the training ended.
    table : TableInfo or None
        How the training table was read.
    """

    network: Network
    settings: dict[str, Any] | None = None
    result: Result | None = None
    table: TableInfo | None = None


@dataclass(frozen=True, eq=False, slots=True)
class EnsembleMember:
    """A network of an ensemble, and what of the whole problem it knows.

    Attributes
    ----------
    network : Network
        What predicts.
    features : ndarray of shape (n_used,)
        Indices of the features that it takes, in its order.
    """

    network: Network
    features: Indices


@dataclass(frozen=True, eq=False, slots=True)
class EnsembleModel:
    """Contents of a file of an ensemble.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    n_features : int
        Features of the whole problem.
    feature_names : tuple of str or None
        Their names.
    members : tuple of EnsembleMember
        In the order in which they were trained.
    settings : dict
        Parameters of the ensemble but for the estimator.
    estimator : dict
        Parameters of the estimator that was trained.
    """

    classes: NDArray[Any]
    n_features: int
    feature_names: tuple[str, ...] | None
    members: tuple[EnsembleMember, ...]
    settings: dict[str, Any]
    estimator: dict[str, Any]


def save_model(path: FilePath | IO[bytes], model: Model | EnsembleModel) -> None:
    """Write a model file; an existing one is replaced only when the new one is complete.

    Parameters
    ----------
    path : path-like or binary file
        Where to, usually ``.json``.
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
        if len(text) > _MOST_BYTES:  # a third of it is white space
            text = json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the model cannot be saved: {error}") from None
    raw = text.encode("ascii")
    if len(raw) > _MOST_BYTES:
        raise InputError(f"the model cannot be saved: its file would be larger than {_MOST_BYTES // 2**20} MiB")
    if raw.count(b"[") + raw.count(b"{") > _MOST_BRACKETS:
        raise InputError(f"the model cannot be saved: it would have more than {_MOST_BRACKETS} lists and objects")
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
    size += sum(len(json.dumps(name)) + 1 for name in feature_names) + _OTHER_BYTES
    if size > _MOST_BYTES or n_neurons > _MOST_BRACKETS - _OTHER_BRACKETS:
        raise InputError(
            f"the network could not be saved: with {n_weights + n_neurons} weights and biases, its file can be larger "
            f"than the {_MOST_BYTES // 2**20} MiB that model files may have; take fewer neurons or features, or leave "
            f"the file out"
        )


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
        A file written by `save_model`.

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
    with open(path, "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    try:
        return _parse(raw)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: {error}") from None


def _parse(raw: bytes) -> Model | EnsembleModel:
    if len(raw) > _MOST_BYTES:
        raise ModelFileError(f"it is larger than {_MOST_BYTES // 2**20} MiB")
    if raw.count(b"[") + raw.count(b"{") > _MOST_BRACKETS:
        raise ModelFileError(f"it has more than {_MOST_BRACKETS} lists and objects")
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ModelFileError("it is nested too deeply") from None
    except ValueError as error:
        raise ModelFileError(f"it is not valid JSON ({error})") from None
    kind = data.get("format") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in (FORMAT, ENSEMBLE_FORMAT):
        raise ModelFileError(f"it does not say that its format is {FORMAT!r} or {ENSEMBLE_FORMAT!r}")
    known = VERSION if kind == FORMAT else ENSEMBLE_VERSION
    if data.get("version") != known or type(data["version"]) is not int:
        raise ModelFileError(f"its version is {_shown(data.get('version'))}; this bdnn reads version {known}")
    try:
        if kind == ENSEMBLE_FORMAT:
            return _ensemble(data)
        network = _network(_part(data, "network", dict))
        return Model(
            network,
            settings=_settings(_part(data, "settings", dict, optional=True)),
            result=_result(_part(data, "result", dict, optional=True), network),
            table=_table(_part(data, "table", dict, optional=True), network.n_features),
        )
    except InputError as error:
        raise ModelFileError(_shortened(str(error), 300)) from None


def _no_constant(name: str) -> Any:
    raise ModelFileError(f"it holds {name}, which is not a number")


def _shown(value: Any) -> str:
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
    if isinstance(value, int | float) and not abs(value) <= (2**53 if isinstance(value, int) else _LARGEST_FLOAT):
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
            if type(entry) not in allowed or (type(entry) is int and abs(entry) > 2**53):
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
    names = _part(data, "feature_names", list, optional=True)
    return EnsembleModel(
        label_array("classes", classes),
        n_features,
        name_tuple("feature_names", names, n_features),
        tuple(members),
        _settings(_part(data, "settings", dict)) or {},
        _settings(_part(data, "estimator", dict)) or {},
    )


def _classes(data: dict[str, Any]) -> Any:
    kind, values = _part(data, "kind", str), _part(data, "values", list)
    python = {"bool": bool, "int": int, "float": float, "str": str}.get(kind)
    if python is None:
        raise ModelFileError(f"the kind of the classes must be bool, int, float or str, got {_shown(kind)}")
    if not all(type(v) is python or (python is float and type(v) is int) for v in values):
        raise ModelFileError(f"the classes must be of kind {kind}")
    # NumPy gives every string the room of the longest
    if python is str and len(values) * max(map(len, values), default=0) > _MOST_BYTES // 4:
        raise ModelFileError("the class labels are too long")
    try:
        labels: Any = np.array(values, dtype="u8" if kind == "int" and max(values, default=0) >= 2**63 else python)
    except (OverflowError, ValueError):
        raise ModelFileError("a class label is too large") from None
    if python is str and labels.tolist() != values:
        raise ModelFileError("a class label ends in a null character")
    return labels


def _settings(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Check that settings are scalars, or lists of scalars."""
    for name, value in (data or {}).items():
        entries = value if isinstance(value, list) else [value]
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
    )


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
    drop = _part(data, "drop", list, optional=True) or []  # older files do not have it, nor what follows
    if not all(isinstance(name, str) for name in drop):
        raise ModelFileError("'drop' must hold strings")
    fraction, seed = _amount(data, "test_fraction", optional=True), _amount(data, "seed", int, optional=True)
    if fraction is not None and fraction >= 1:
        raise ModelFileError(f"'test_fraction' must be below 1, got {_shown(fraction)}")
    split = _amount(data, "split", int, optional=True)
    missing_labels = _part(data, "missing_labels", str, optional=True) or "error"
    if missing_labels not in MISSING_RULES:
        known = ", ".join(MISSING_RULES)
        raise ModelFileError(f"'missing_labels' must be one of {known}, got {_shown(missing_labels)}")
    return TableInfo(
        _part(data, "target", str), _part(data, "missing", str), fill, tuple(drop), fraction, seed,
        1 if split is None else split, missing_labels,
    )  # fmt: skip


def _to_json(model: Model) -> dict[str, Any]:
    network, table = model.network, model.table
    return {
        "format": FORMAT,
        "version": VERSION,
        "bdnn": __version__,
        "network": _network_to_json(network),
        "settings": model.settings,
        "result": None if model.result is None else model.result.to_dict(),
        "table": None if table is None else {f.name: getattr(table, f.name) for f in fields(table)},
    }


def _ensemble_to_json(model: EnsembleModel) -> dict[str, Any]:
    return {
        "format": ENSEMBLE_FORMAT,
        "version": ENSEMBLE_VERSION,
        "bdnn": __version__,
        "classes": _classes_to_json(model.classes),
        "n_features": model.n_features,
        "feature_names": None if model.feature_names is None else list(model.feature_names),
        "settings": model.settings,
        "estimator": model.estimator,
        "members": [
            {"features": member.features.tolist(), "network": _network_to_json(member.network)}
            for member in model.members
        ],
    }


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


def _classes_to_json(classes: NDArray[Any]) -> dict[str, Any]:
    classes = np.asarray(plain(classes))
    kind, labels = _LABEL_KINDS.get(classes.dtype.kind), classes.tolist()
    if kind is None and all(isinstance(label, str) for label in labels):
        kind = "str"
    if kind is None:
        raise InputError(f"labels of type {classes.dtype} cannot be saved; use integers, floats, booleans or strings")
    return {"kind": kind, "values": labels}
