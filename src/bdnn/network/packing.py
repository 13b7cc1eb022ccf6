"""Networks as few bytes: the packed format of docs/packed_format.md, for one network behind an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, PackedError
from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer
from bdnn.network.network import Network
from bdnn.network.packing_inputs import Fill, Inputs, encoder_of, fills_of, ranges, read_inputs, write_inputs
from bdnn.network.packing_layers import read_grid, read_network, write_grid, write_network
from bdnn.network.packing_numbers import Reader, Writer
from bdnn.network.packing_reduction import Reduced, reduced
from bdnn.network.packing_trees import forest_of, numbers_of_forest, read_forest, write_forest
from bdnn.network.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.network.losses import Head
    from bdnn.types import Array, Bools, Floats, Indices

KINDS = 4
"""Values of the first digit."""

CONSTANT, NETWORK, ENSEMBLE, LATER = range(4)
"""Of what version 1 does not know, one more digit of base 2 says what it is."""

_TREES = 0
"""A sum of trees; 1 is left for later versions."""

SHOWN = 300  # characters of a message


class Front:
    """What all networks of a model see: its inputs, and what is known of them."""

    def __init__(self, schema: Schema, encoder: Encoder | None) -> None:
        self.schema, self.layout = schema, schema.layout
        if encoder is not None and encoder.names != tuple(column.name for column in schema.columns):
            raise InputError("the schema has other columns than the model, or in another order")
        self.inputs = Inputs.plain(len(schema.columns)) if encoder is None else Inputs.of(encoder)
        self.fills: Sequence[Fill] | None = None if encoder is None else fills_of(encoder)
        # where nothing is missing, bits that say so are always 0
        self.idle = (self.inputs.part < 0) & ~self.layout.missing[self.inputs.column]

    def reduced(self, network: Network, features: Indices | None, scores: bool) -> Reduced:
        """Return the network without what does not matter."""
        inputs = self.inputs if features is None else self.inputs.take(features)
        if network.n_features != len(inputs.column):
            raise InputError(
                f"the network takes {network.n_features} inputs, but the schema is of {len(inputs.column)}"
            )
        idle = self.idle if features is None else self.idle[features]
        layers = list(network.layers)
        if idle.any():
            layers[0] = _without(layers[0], idle, network.grid)
        if network.grid is None:
            low, high = ranges(self.layout, inputs, self.fills)
        else:
            low, high = np.zeros(len(idle)), np.full(len(idle), 2.0**network.grid.bits - 1)
        return reduced(layers, network.head, low, high, scores)


def _without(layer: Layer, idle: Bools, grid: InputGrid | None) -> Layer:
    """Return a layer with weight 0 for inputs that are always 0 before the grid."""
    W = np.where(idle, 0, layer.weights)
    zero = np.zeros(len(idle)) if grid is None else grid.quantize(np.zeros((1, len(idle))))[0]
    if not zero[idle].any():
        return Layer(W, layer.bias)
    if layer.weights.dtype.kind != "i":
        raise InputError("the model tells where values are missing, but the schema says that none are; give its own")
    return Layer(W, layer.bias + layer.weights[:, idle] @ zero[idle].astype(np.int64))


def packed(network: Network, schema: Schema, encoder: Encoder | None = None) -> bytes:
    """Return a network as bytes.

    Parameters
    ----------
    network : Network
        What predicts.
    schema : Schema
        What the reader knows.
    encoder : Encoder or None
        How the columns of the schema become inputs of the network; None if they are its inputs.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If network, encoder and schema do not fit one another.
    """
    out, weights = _written(network, schema, encoder)
    return out.to_bytes(weights, schema.layout.slots)


def packed_size(network: Network, schema: Schema, encoder: Encoder | None = None) -> int:
    """Return the number of bytes of `packed`, mostly without computing them.

    Parameters
    ----------
    network, schema, encoder : optional
        As for `packed`.

    Returns
    -------
    int

    Raises
    ------
    InputError
        As `packed` does.
    """
    out, weights = _written(network, schema, encoder)
    return out.size(weights, schema.layout.slots)


def _written(network: Network, schema: Schema, encoder: Encoder | None) -> tuple[Writer, int]:
    """Return the digits of a network, and how many numbers a reader makes of them."""
    if network.classes.tolist() != list(schema.classes):
        raise InputError("the schema has other classes than the network, or in another order")
    front, out = Front(schema, encoder), Writer()
    net = front.reduced(network, None, scores=False)
    if not len(net.used):
        out.digit(CONSTANT, KINDS)
        out.digit(_constant(network, net), len(schema.classes))
        return out, 0
    inputs = front.inputs.take(net.used)
    trees = None
    if network.grid is None and (forest := forest_of(net)) is not None:
        trees = Writer()
        trees.digit(LATER, KINDS)
        trees.digit(_TREES, 2)
        write_inputs(trees, inputs, front.fills, front.layout, short=True)
        write_forest(trees, forest)
        numbers = len(net.used) + numbers_of_forest(forest, front.layout.slots)
        if forest.is_large:
            return trees, numbers
    out.digit(NETWORK, KINDS)
    write_inputs(out, inputs, front.fills, front.layout)
    grid = network.grid
    out.digit(grid is not None, 2)
    if grid is not None:
        write_grid(out, taken(grid, net.used), inputs, front.layout)
    write_network(out, net, len(schema.classes))
    if trees is not None and trees.bits < out.bits:
        return trees, numbers
    return out, numbers_of(net, front.layout.slots)


def numbers_of(net: Reduced, slots: int) -> int:
    """Return how many numbers a reader makes of a network; see `Reader.charge`."""
    total = len(net.used) + len(net.layers)
    before = max(slots, len(net.used))
    for layer in net.layers:
        total += len(layer.bias) * (before + 2)
        before = len(layer.bias)
    return total


def _constant(network: Network, net: Reduced) -> int:
    """Return the class of a network whose inputs do not matter."""
    if net.layers[0].weights.dtype.kind == "i":
        bias = net.layers[0].bias
        return int(bias[0] >= 0) if len(bias) == 1 else int(np.argmax(bias))
    return int(network.predict_index(np.zeros((1, network.n_features)))[0])


def taken(grid: InputGrid, which: Indices) -> InputGrid:
    """Return the grid of some inputs."""
    return InputGrid(grid.offset[which], grid.step[which], grid.bits)


def schema_of(network: Network) -> Schema:
    """Return what is known of the inputs of a network without data."""
    return Schema.plain(network.feature_names, network.n_features, network.classes.tolist())


def network_of(data: bytes, schema: Schema) -> Network:
    """Return the network of bytes that were packed without an encoder; see `Network.from_bytes`."""
    reader = Reader(data, schema.layout.slots)
    kind = reader.digit(KINDS)
    try:
        network, encoder = unpacked(reader, kind, schema)
        reader.end()
    except InputError as error:
        raise PackedError(f"these bytes are no network of this schema: {error}"[:SHOWN]) from None
    if not encoder.is_identity:
        raise PackedError("these bytes hold a model with an encoder; read them with bdnn.from_bytes")
    return network


def unpacked(reader: Reader, kind: int, schema: Schema) -> tuple[Network, Encoder]:
    """Return a network, or a constant, and the encoder that it stands behind; the kind is read already.

    Raises
    ------
    PackedError, InputError
        If the bytes hold something else.
    """
    if kind == CONSTANT:
        return _always(reader.digit(len(schema.classes)), schema)
    if kind == ENSEMBLE:
        raise PackedError("they hold an ensemble; read them with bdnn.from_bytes")
    trees = kind == LATER
    if trees and reader.digit(2) != _TREES:
        raise PackedError("they are of a version that this bdnn does not read, or damaged")
    inputs, fills = read_inputs(reader, schema.layout, short=trees)
    grid = read_grid(reader, inputs, schema.layout) if not trees and reader.digit(2) else None
    low, high = input_ranges(inputs, fills, grid, schema)
    if not trees:
        layers, head = read_network(reader, len(schema.classes), low, high, schema.layout.slots)
    elif np.all(low == 0) and np.all(high == 1):
        layers, head = read_forest(reader, len(schema.classes), len(low), schema.layout.slots)
    else:
        raise PackedError("they hold trees on inputs that are no bits")
    encoder, place = encoder_of(schema.layout, schema.named, inputs, fills)
    return spread(layers, head, grid, place, encoder.n_inputs, schema.labels, encoder.network_names), encoder


def spread(
    layers: Sequence[Layer],
    head: Head,
    grid: InputGrid | None,
    place: Indices,
    n: int,
    classes: Array,
    names: tuple[str, ...] | None,
) -> Network:
    """Return a network of n inputs of which it uses those of some places; the others have weight 0."""
    if grid is not None:
        offset, step = np.zeros(n), np.ones(n)
        offset[place], step[place] = grid.offset, grid.step
        grid = InputGrid(offset, step, grid.bits)
    W = np.zeros((len(layers[0].bias), n), dtype=layers[0].weights.dtype)
    W[:, place] = layers[0].weights
    return Network((Layer(W, layers[0].bias), *layers[1:]), head, classes, grid, names)


def input_ranges(
    inputs: Inputs, fills: dict[int, Fill], grid: InputGrid | None, schema: Schema
) -> tuple[Floats, Floats]:
    """Return the least and the largest value of each input that was read, NaN where they are not known integers."""
    n = len(inputs.column)
    if grid is not None:
        return np.zeros(n), np.full(n, 2.0**grid.bits - 1)
    return ranges(schema.layout, inputs, [fills.get(c) for c in range(len(schema.columns))])


def _always(code: int, schema: Schema) -> tuple[Network, Encoder]:
    nobody = Inputs.plain(0)
    encoder, place = encoder_of(schema.layout, schema.named, nobody, {})
    classes = len(schema.classes)
    bias = np.array([code - 1] if classes == 2 else [int(c == code) for c in range(classes)])
    layer = Layer(np.zeros((len(bias), 0), dtype=np.int64), bias)
    head: Head = "threshold" if classes == 2 else "argmax"
    return spread([layer], head, None, place, encoder.n_inputs, schema.labels, encoder.network_names), encoder
