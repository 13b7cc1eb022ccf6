"""Whole models as few bytes: the packed format of docs/packed_format.md, for networks with their encoder and ensembles.

Settings, results of the training, calibrations and names are not part of the bytes.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError, PackedError
from bdnn.model_file.contents import EnsembleMember, EnsembleModel, Model
from bdnn.network.packing import (
    ENSEMBLE,
    KINDS,
    SHOWN,
    Front,
    input_ranges,
    numbers_of,
    packed,
    spread,
    taken,
    unpacked,
)
from bdnn.network.packing_inputs import encoder_of, read_inputs, read_selection, write_inputs, write_selection
from bdnn.network.packing_layers import read_grid, read_network, write_grid, write_network
from bdnn.network.packing_numbers import Reader, Writer
from bdnn.network.schema import Schema

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.network.grid import InputGrid
    from bdnn.network.packing_reduction import Reduced
    from bdnn.types import Indices

SCHEMA_SUFFIX = ".schema.json"

_SCHEMES = ("one_vs_one", "one_vs_rest", "multiclass")
_VOTINGS = ("majority", "sum")

_NO_GRID, _COMMON, _OWN = range(3)
"""Whether members have grids: the same on the inputs that they share, or each its own or none."""


def pack(model: Model | EnsembleModel, schema: Schema) -> bytes:
    """Return a model as bytes.

    Parameters
    ----------
    model : Model or EnsembleModel
        Contents of a model file.
    schema : Schema
        What the reader knows; `Schema.of` makes it from the model, and perhaps data.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If the schema does not fit the model, or the model takes what no packed model can hold.
    """
    if isinstance(model, Model):
        return packed(model.network, schema, model.encoder_in_use)
    out, numbers = _written(model, schema, model.encoder_in_use)
    return out.to_bytes(numbers, schema.layout.slots)


def ensemble_size(model: EnsembleModel, schema: Schema) -> int:
    """Return the number of bytes of an ensemble, without its encoder.

    Parameters
    ----------
    model : EnsembleModel
        Contents of a model file.
    schema : Schema
        A schema whose columns are the inputs of the ensemble.

    Returns
    -------
    int
    """
    out, numbers = _written(model, schema, None)
    return out.size(numbers, schema.layout.slots)


def unpack(data: bytes, schema: Schema) -> Model | EnsembleModel:
    """Return the model of bytes.

    Parameters
    ----------
    data : bytes
        What `pack` returned, or hostile.
    schema : Schema
        The one that they were made with.

    Returns
    -------
    Model or EnsembleModel
        Without settings, results and calibration.

    Raises
    ------
    PackedError
        If the bytes hold no model of this schema.
    InputError
        If they are no bytes, or it is no schema.
    """
    if not isinstance(data, bytes) or not isinstance(schema, Schema):
        kinds = type(data).__name__, type(schema).__name__
        raise InputError(f"packed models are bytes, read by a bdnn.Schema; got {kinds[0]} and {kinds[1]}")
    reader = Reader(data, schema.layout.slots)
    kind = reader.digit(KINDS)
    model: Model | EnsembleModel
    try:
        if kind == ENSEMBLE:
            model = _ensemble(reader, schema)
        else:
            network, encoder = unpacked(reader, kind, schema)
            model = Model(network, encoder=encoder)
        reader.end()
    except (InputError, PackedError) as error:
        raise PackedError(f"these bytes are no model of this schema: {error}"[:SHOWN]) from None
    return model


def schema_file(path: str | os.PathLike[str]) -> Path:
    """Return the file of the schema of a packed file."""
    return Path(f"{os.fspath(path)}{SCHEMA_SUFFIX}")


def unpack_file(data: bytes, schema_text: bytes) -> Model | EnsembleModel:
    """Return the model of a packed file and of its schema, which may both be hostile.

    Raises
    ------
    PackedError
        If they hold no model, or no schema.
    """
    try:
        schema = Schema.from_dict(json.loads(schema_text))
    except RecursionError:
        raise PackedError("its schema is nested too deeply") from None
    except ValueError as error:
        raise PackedError(f"its schema cannot be used: {error}"[:SHOWN]) from None
    return unpack(data, schema)


def _written(model: EnsembleModel, schema: Schema, encoder: Encoder | None) -> tuple[Writer, int]:
    """Return the digits of an ensemble, and how many numbers a reader makes of them."""
    if model.classes.tolist() != list(schema.classes):
        raise InputError("the schema has other classes than the ensemble, or in another order")
    front, out = Front(schema, encoder), Writer()
    nets = [_reduced(front, member) for member in model.members]
    own = [member.features[net.used] for member, net in zip(model.members, nets, strict=True)]
    union = np.unique(np.concatenate(own)).astype(np.intp)
    out.digit(ENSEMBLE, KINDS)
    scheme = model.settings.get("scheme", "multiclass")
    out.digit(_SCHEMES.index(scheme), len(_SCHEMES))
    out.digit(_VOTINGS.index(model.settings.get("voting", "sum")), len(_VOTINGS))
    out.count(len(nets) - 1)
    _write_classes(out, [m.network.classes.tolist() for m in model.members], scheme, len(schema.classes))
    inputs = front.inputs.take(union)
    write_inputs(out, inputs, front.fills, front.layout)
    places = [np.searchsorted(union, features) for features in own]
    grids = [
        None if m.network.grid is None else taken(m.network.grid, net.used)
        for m, net in zip(model.members, nets, strict=True)
    ]
    common = _common(grids, places, len(union))
    way = _NO_GRID if all(grid is None for grid in grids) else _OWN if common is None else _COMMON
    out.digit(way, 3)
    if common is not None and way == _COMMON:
        write_grid(out, common, inputs, front.layout)
    for member, net, place, grid in zip(model.members, nets, places, grids, strict=True):
        write_selection(out, place, len(union))
        if way == _OWN:
            out.digit(grid is not None, 2)
            if grid is not None:
                write_grid(out, grid, inputs.take(place), front.layout)
        write_network(out, net, len(member.network.classes))
    return out, len(union) + sum(numbers_of(net, 1) for net in nets) + 2 * len(nets)


def _reduced(front: Front, member: EnsembleMember) -> Reduced:
    if np.any(np.diff(member.features) <= 0):
        raise InputError("an ensemble can only be packed if the features of each member ascend")
    if not member.network.is_integer and front.idle[member.features].any():
        raise InputError("members see where values are missing, but the schema says that none are; give its own schema")
    return front.reduced(member.network, member.features, scores=True)


def _common(grids: Sequence[InputGrid | None], places: Sequence[Indices], n: int) -> InputGrid | None:
    """Return the grid of all inputs that members share, None if they have none or different ones."""
    first = next((grid for grid in grids if grid is not None), None)
    if first is None:
        return None
    offset, step = np.full(n, np.nan), np.full(n, np.nan)
    for grid, place in zip(grids, places, strict=True):
        if grid is None or grid.bits != first.bits:
            return None
        for mine, all_ in ((grid.offset, offset), (grid.step, step)):
            if not np.all(np.isnan(all_[place]) | (all_[place] == mine)):
                return None
            all_[place] = mine
    return type(first)(offset, step, first.bits)


def _expected(scheme: str, members: int, classes: int) -> list[list[int]] | None:
    """Return the classes of the members as they are trained, None if there are not as many members for all."""
    groups: list[list[int]] = [list(range(classes))]
    if scheme == "one_vs_one":
        groups = [list(pair) for pair in itertools.combinations(range(classes), 2)]
    elif scheme == "one_vs_rest":
        groups = [[-1, c] for c in range(classes)]
    each, rest = divmod(members, len(groups))
    return None if rest else [group for group in groups for _ in range(each)]


def _write_classes(out: Writer, given: list[list[int]], scheme: str, classes: int) -> None:
    usual = given == _expected(scheme, len(given), classes)
    out.digit(usual, 2)
    if not usual:
        for codes in given:
            out.digit(len(codes) - 2, classes)
            for code in codes:
                out.digit(code + 1, classes + 1)


def _read_classes(data: Reader, members: int, scheme: str, classes: int) -> list[list[int]]:
    if not data.digit(2):
        return [
            [data.digit(classes + 1) - 1 for _ in range(data.charge(data.digit(classes) + 2))] for _ in range(members)
        ]
    expected = _expected(scheme, members, classes)
    if expected is None:
        raise PackedError("they hold fewer members for some classes than for others")
    return expected


def _ensemble(data: Reader, schema: Schema) -> EnsembleModel:
    """Return an ensemble whose kind is read already."""
    scheme, voting = _SCHEMES[data.digit(len(_SCHEMES))], _VOTINGS[data.digit(len(_VOTINGS))]
    n_members = data.charge(data.count() + 1)
    codes = _read_classes(data, n_members, scheme, len(schema.classes))
    inputs, fills = read_inputs(data, schema.layout)
    way, n = data.digit(3), len(inputs.column)
    common = read_grid(data, inputs, schema.layout) if way == _COMMON else None
    encoder, place = encoder_of(schema.layout, schema.named, inputs, fills)
    names = encoder.network_names
    members = []
    for each in codes:
        chosen = read_selection(data, n)
        grid = common if common is None else taken(common, chosen)
        if way == _OWN and data.digit(2):
            grid = read_grid(data, inputs.take(chosen), schema.layout)
        low, high = (ends[chosen] for ends in input_ranges(inputs, fills, None, schema))
        if grid is not None:
            low, high = np.zeros(len(chosen)), np.full(len(chosen), 2.0**grid.bits - 1)
        layers, head = read_network(data, len(each), low, high, 1)
        features = place[chosen] if len(chosen) else np.zeros(1, dtype=np.intp)  # a constant gives its input no weight
        own = None if names is None else tuple(names[j] for j in features)
        network = spread(layers, head, grid, np.arange(len(chosen)), len(features), np.array(each), own)
        members.append(EnsembleMember(network, features))
    settings = {"scheme": scheme, "voting": voting}
    return EnsembleModel(schema.labels, encoder.n_inputs, names, tuple(members), settings, {}, encoder)
