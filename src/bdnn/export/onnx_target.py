"""Target ``onnx``: from the values of a table to labels, in onnxruntime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.errors import ExportError, InputError
from bdnn.export.onnx_columns import Feeds, write_columns
from bdnn.export.onnx_file import Value, label_array, need, ran, serialized
from bdnn.export.onnx_graph import Graph, element_of
from bdnn.export.onnx_network import write_networks
from bdnn.export.parts import Parts

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.export.request import Files, ModelRequest
    from bdnn.types import Indices


class Onnx:
    """See the module."""

    name = "onnx"
    summary = "a model for onnxruntime that takes the values of the table"

    def files(self, request: ModelRequest) -> dict[str, bytes]:
        """Return the model."""
        return {f"{request.name}.onnx": model_octets(request)}

    def check_tools(self) -> None:
        """Raise MissingDependencyError if onnx or onnxruntime is not installed."""
        need("onnx", "onnxruntime")

    def decide(self, request: ModelRequest, files: Files, table: RawTable) -> Indices:
        """Run rows in onnxruntime."""
        octets = files[f"{request.name}.onnx"]
        assert isinstance(octets, bytes)
        encoder = request.model.encoder_in_use
        feeds = Feeds.of(encoder)
        index, labels = ran(octets, feeds.of_table(table), ("index", "label"))
        if not np.array_equal(label_array(request.model.classes)[index], labels):
            raise ExportError("onnxruntime gave labels that are not those of the indices of the classes")
        return index.astype(np.intp)


def _read(request: ModelRequest) -> tuple[Parts, Feeds]:
    """Return the networks of a model, and the inputs of its graph."""
    encoder = request.model.encoder_in_use
    inputs = None if request.table is None else encoder.transform(request.table)
    parts = Parts.of(request.model, inputs, request.input_bits)
    return parts, Feeds.of(encoder)


def model_octets(request: ModelRequest) -> bytes:
    """Return the model as a file."""
    need("onnx")
    parts, feeds = _read(request)
    if taken := {"index", "label"} & set(feeds.names):
        raise InputError(f"a column is named {taken.pop()!r}, as an output of the graph; rename it and train again")
    graph = Graph.beside(feeds.names)
    inputs, ranges = write_columns(graph, feeds, request.interface.ranges)
    labels = label_array(parts.classes)
    index = write_networks(graph, inputs, parts, ranges, "index")
    graph.add("Gather", graph.constant(labels), index, axis=0, output="label")
    given: list[Value] = [
        (name, feeds.element(number), ["rows", feeds.width(number)]) for number, name in enumerate(feeds.names)
    ]
    return serialized(
        graph, request, given, [("label", element_of(labels), ["rows"]), ("index", "int64", ["rows"])],
        {"columns": json.dumps(_described(feeds)), **request.facts},
    )  # fmt: skip


def _described(feeds: Feeds) -> list[dict[str, Any]]:
    """Return what is said of the columns that are given."""
    found: list[dict[str, Any]] = []
    for j, text in zip(feeds.columns, feeds.missing, strict=True):
        code = feeds.encoder.columns[j]
        parts = {"parts": code.parts} if code.parts else {}
        missing = text if code.kind == "categorical" else "NaN"
        found.append({"column": code.name, "kind": code.kind, **parts, "missing": missing})
    return found
