"""Networks as few bytes: the packed format of docs/packed_format.md, for one network behind an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, PackedError
from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer
from bdnn.network.packing_inputs import Fill, Inputs, encoder_of, fills_of, ranges, read_inputs, write_inputs
from bdnn.network.packing_layers import read_grid, read_network, write_grid, write_network
from bdnn.network.packing_numbers import Reader, Writer
from bdnn.network.packing_reduction import Reduced, reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bdnn.network.losses import Head
    from bdnn.network.schema import Schema
    from bdnn.types import Array, Bools, Floats, Indices

KINDS = 4
"""Values of the first digit: a constant, a network, an ensemble, and what later versions will say otherwise."""

CONSTANT, NETWORK, ENSEMBLE = range(3)


class Predicting(Protocol):
    """A `bdnn.Network`, which imports this module."""

    @property
    def layers(self) -> Sequence[Layer]:
        """Weights and biases."""

    @property
    def head(self) -> Head:
        """How outputs become a class."""

    @property
    def classes(self) -> Array:
        """Labels."""

    @property
    def grid(self) -> InputGrid | None:
        """How inputs become integers."""

    @property
    def n_features(self) -> int:
        """Number of inputs."""

    def predict_index(self, X: ArrayLike) -> Indices:
        """Return indices of classes."""


@dataclass(frozen=True, eq=False, slots=True)
class Unpacked:
    """A network that was read: its numbers, and the encoder whose inputs it takes."""

    layers: tuple[Layer, ...]
    head: Head
    grid: InputGrid | None
    encoder: Encoder


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

    def reduced(self, network: Predicting, features: Indices | None, scores: bool) -> Reduced:
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


def packed(network: Predicting, schema: Schema, encoder: Encoder | None = None) -> bytes:
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


def packed_size(network: Predicting, schema: Schema, encoder: Encoder | None = None) -> int:
    """Return the number of bytes of `packed`, mostly without computing them.

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
    int

    Raises
    ------
    InputError
        If network, encoder and schema do not fit one another.
    """
    out, weights = _written(network, schema, encoder)
    return out.size(weights, schema.layout.slots)


def _written(network: Predicting, schema: Schema, encoder: Encoder | None) -> tuple[Writer, int]:
    """Return the digits of a network, and how many numbers a reader makes of them."""
    if network.classes.tolist() != list(schema.classes):
        raise InputError("the schema has other classes than the network, or in another order")
    front, out = Front(schema, encoder), Writer()
    net = front.reduced(network, None, scores=False)
    if not len(net.used):
        out.digit(CONSTANT, KINDS)
        out.digit(_constant(network, net), len(schema.classes))
        return out, 0
    out.digit(NETWORK, KINDS)
    inputs = front.inputs.take(net.used)
    write_inputs(out, inputs, front.fills, front.layout)
    grid = network.grid
    out.digit(grid is not None, 2)
    if grid is not None:
        write_grid(out, taken(grid, net.used), inputs, front.layout)
    write_network(out, net, len(schema.classes))
    return out, numbers_of(net, front.layout.slots)


def numbers_of(net: Reduced, slots: int) -> int:
    """Return how many numbers a reader makes of a network; see `Reader.charge`."""
    total = len(net.used) + len(net.layers)
    before = max(slots, len(net.used))
    for layer in net.layers:
        total += len(layer.bias) * (before + 2)
        before = len(layer.bias)
    return total


def _constant(network: Predicting, net: Reduced) -> int:
    """Return the class of a network whose inputs do not matter."""
    if net.layers[0].weights.dtype.kind == "i":
        bias = net.layers[0].bias
        return int(bias[0] >= 0) if len(bias) == 1 else int(np.argmax(bias))
    return int(network.predict_index(np.zeros((1, network.n_features)))[0])


def taken(grid: InputGrid, which: Indices) -> InputGrid:
    """Return the grid of some inputs."""
    return InputGrid(grid.offset[which], grid.step[which], grid.bits)


def unpacked(data: bytes, schema: Schema) -> Unpacked:
    """Return the network of bytes.

    Parameters
    ----------
    data : bytes
        Of `packed`, or hostile.
    schema : Schema
        The same that it was packed with.

    Returns
    -------
    Unpacked

    Raises
    ------
    PackedError
        If they are no bytes of a network of this schema.
    """
    reader = Reader(data, schema.layout.slots)
    kind = reader.digit(KINDS)
    if kind == ENSEMBLE:
        raise PackedError("these bytes hold an ensemble; read them with bdnn.from_bytes")
    try:
        found = unpacked_from(reader, kind, schema)
        reader.end()
    except InputError as error:
        raise PackedError(f"these bytes are no network of this schema: {error}"[:300]) from None
    return found


def unpacked_from(reader: Reader, kind: int, schema: Schema) -> Unpacked:
    """Return a network or a constant whose kind is read already."""
    if kind == CONSTANT:
        return _always(reader.digit(len(schema.classes)), schema)
    if kind != NETWORK:
        raise PackedError("they are of a version that this bdnn does not read, or damaged")
    inputs, fills = read_inputs(reader, schema.layout)
    grid = read_grid(reader, inputs, schema.layout) if reader.digit(2) else None
    low, high = input_ranges(inputs, fills, grid, schema)
    layers, head = read_network(reader, len(schema.classes), low, high, schema.layout.slots)
    encoder, place = encoder_of(schema.layout, schema.named, inputs, fills)
    n = encoder.n_inputs
    if grid is not None:
        offset, step = np.zeros(n), np.ones(n)
        offset[place], step[place] = grid.offset, grid.step
        grid = InputGrid(offset, step, grid.bits)
    W = np.zeros((len(layers[0].bias), n), dtype=layers[0].weights.dtype)
    W[:, place] = layers[0].weights
    return Unpacked((Layer(W, layers[0].bias), *layers[1:]), head, grid, encoder)


def input_ranges(
    inputs: Inputs, fills: dict[int, Fill], grid: InputGrid | None, schema: Schema
) -> tuple[Floats, Floats]:
    """Return the least and the largest value of each input that was read, NaN where they are not known integers."""
    n = len(inputs.column)
    if grid is not None:
        return np.zeros(n), np.full(n, 2.0**grid.bits - 1)
    return ranges(schema.layout, inputs, [fills.get(c) for c in range(len(schema.columns))])


def _always(code: int, schema: Schema) -> Unpacked:
    nobody = Inputs.plain(0)
    encoder, _ = encoder_of(schema.layout, schema.named, nobody, {})
    classes = len(schema.classes)
    bias = np.array([code - 1] if classes == 2 else [int(c == code) for c in range(classes)])
    weights = np.zeros((len(bias), encoder.n_inputs), dtype=np.int64)
    return Unpacked((Layer(weights, bias),), "threshold" if classes == 2 else "argmax", None, encoder)
