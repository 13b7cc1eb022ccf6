"""Networks and votes as ONNX operators, in integers from the first layer on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError
from bdnn.export.program import INTEGER_TYPES
from bdnn.export.pruning import one_output

if TYPE_CHECKING:
    from bdnn.export.onnx_columns import Ranges
    from bdnn.export.onnx_graph import Graph
    from bdnn.export.parts import Part, Parts
    from bdnn.export.program import IntegerLayer
    from bdnn.network.grid import InputGrid
    from bdnn.network.network import Network
    from bdnn.types import Array

_EXACT = 2**53  # doubles hold all integers up to it


def write_networks(graph: Graph, inputs: str, parts: Parts, ranges: Ranges, output: str | None = None) -> str:
    """Add the networks of a model and return the name of the indices of the classes.

    Parameters
    ----------
    graph : Graph
        What is written to.
    inputs : str
        Doubles of shape (n, n_inputs): the inputs that the encoder makes.
    parts : Parts
        Networks.
    ranges : list of (int, int)
        Of the inputs; values outside are allowed where there is a grid.
    output : str or None
        Name of the result, int64 of shape (n,).

    Raises
    ------
    InputError
        If pre-activations do not fit into 64 bits.
    """
    if parts.voting is None:
        a, kind = _outputs(graph, inputs, parts.parts[0], parts.parts[0].layers, ranges, may_be_real=True)
        return _winner(graph, a, kind, len(parts.parts[0].layers[-1].bias), output)
    shares, winners, where = [], [], []
    for part in parts.parts:
        layers = one_output(part.layers)
        a, kind = _outputs(graph, inputs, part, layers, ranges, may_be_real=False)
        n_outputs = len(layers[-1].bias)
        wide = a if kind == "int64" else graph.cast(a, "int64")
        if n_outputs == 1:
            value = graph.add("Add", graph.add("Mul", wide, graph.integers(2)), graph.integers(1))
            shares.append(value)
            where.append(_places(part.codes, len(parts.classes)) @ np.array([-1, 1]))
            where[-1] = where[-1][:, None]
        else:
            shares.append(wide)
            where.append(_places(part.codes, len(parts.classes)))
        place = _winner(graph, a, kind, n_outputs, None)
        winners.append(
            graph.add("Unsqueeze", graph.add("Gather", graph.integers(part.codes), place), graph.integers([1]))
        )
    together = graph.add("Concat", *shares, axis=1)
    sums = graph.add("MatMul", together, graph.integers(np.hstack(where).T))
    if parts.voting == "majority":
        chosen = graph.add("Unsqueeze", graph.add("Concat", *winners, axis=1), graph.integers([2]))
        ballots = graph.cast(graph.add("Equal", chosen, graph.integers(np.arange(len(parts.classes)))), "int64")
        votes = graph.add("ReduceSum", ballots, graph.integers([1]), keepdims=0)
        most = graph.add("ReduceMax", votes, axes=[1], keepdims=1)
        sums = graph.add("Where", graph.add("Equal", votes, most), sums, graph.integers(INTEGER_TYPES["int64"][0]))
    return graph.add("ArgMax", sums, axis=1, keepdims=0, output=output)


def write_real_network(graph: Graph, inputs: str, network: Network, output: str | None = None) -> str:
    """Add a network of continuous weights in doubles and return the name of the indices of the classes.

    It decides as the network unless a pre-activation is so close to 0, or to another one, that rounding hides its sign.
    """
    signal, a = inputs, inputs
    if network.grid is not None:
        signal = _on_grid(graph, signal, network.grid)
    for k, (weights, bias) in enumerate(network.layers):
        if k:
            signal = graph.cast(graph.add("GreaterOrEqual", a, graph.doubles([0.0])), "float64")
        a = graph.add("Add", graph.add("MatMul", signal, graph.doubles(weights.T)), graph.doubles(bias))
    return _winner(graph, a, "float64", network.widths[-1], output)


def _on_grid(graph: Graph, values: str, grid: InputGrid) -> str:
    """Add the integers of a grid, in the arithmetic that defines them."""
    steps = graph.add("Div", graph.add("Sub", values, graph.doubles(grid.offset)), graph.doubles(grid.step))
    return graph.add("Clip", graph.add("Round", steps), graph.doubles(0.0), graph.doubles(2.0**grid.bits - 1.0))


def _places(codes: Sequence[int], n_classes: int) -> Array:
    """Return which class each output stands for, of shape (n_classes, n_outputs)."""
    return np.asarray(np.equal.outer(np.arange(n_classes), np.array(codes)), dtype=np.int64)


def _outputs(
    graph: Graph, inputs: str, part: Part, layers: Sequence[IntegerLayer], given: Ranges, may_be_real: bool
) -> tuple[str, str]:
    """Add a network up to its outputs, and return them and the type of their elements."""
    features, grid = part.features, part.network.grid
    signal = inputs
    if not np.array_equal(features, np.arange(len(given))):
        signal = graph.add("Gather", inputs, graph.integers(features), axis=1)
    if grid is not None:
        signal = _on_grid(graph, signal, grid)
        ranges = [(0, 2**grid.bits - 1)] * len(features)
    else:
        ranges = [given[i] for i in features.tolist()]
    a, kind = signal, "float64"
    for k, layer in enumerate(layers):
        wanted = _type_of(layer, ranges, real=may_be_real and not k and grid is None)
        if k:
            fired = graph.add("GreaterOrEqual", a, graph.constant(np.zeros(1, dtype=kind)))
            signal, kind = graph.cast(fired, wanted), wanted
        elif wanted != kind:
            signal, kind = graph.cast(signal, wanted), wanted
        weights, bias = layer.weights.T.astype(kind), np.array(layer.bias).astype(kind)
        a = graph.add("Add", graph.add("MatMul", signal, graph.constant(weights)), graph.constant(bias))
        ranges = [(0, 1)] * len(layer.bias)
    return a, kind


def _type_of(layer: IntegerLayer, ranges: Ranges, real: bool) -> str:
    """Return the type in which a layer is exact: that of its inputs if they are values, else integers."""
    most = max(max(-low, high) for low, high in layer.bounds(ranges))
    if real and any(pair != (0, 1) for pair in ranges) and most < _EXACT:
        return "float64"
    if most > INTEGER_TYPES["int64"][1]:
        raise InputError(
            "the pre-activations of the network do not fit into 64 bits; declare smaller ranges of the columns with "
            "--range, or train on smaller weights"
        )
    return "int32" if most <= INTEGER_TYPES["int32"][1] else "int64"


def _winner(graph: Graph, a: str, kind: str, n_outputs: int, output: str | None) -> str:
    """Add the place of the output that wins, int64 of shape (n,)."""
    if n_outputs > 1:
        return graph.add("ArgMax", a, axis=1, keepdims=0, output=output)
    fires = graph.cast(graph.add("GreaterOrEqual", a, graph.constant(np.zeros(1, dtype=kind))), "int64")
    return graph.add("Squeeze", fires, graph.integers([1]), output=output)
