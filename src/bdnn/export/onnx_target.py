"""Target ``onnx``: from the values of a table to labels, in onnxruntime."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.errors import ExportError, InputError, MissingDependencyError
from bdnn.export.onnx_columns import Feeds, write_columns
from bdnn.export.onnx_graph import ELEMENTS, ML, ML_OPSET, OPSET, Graph, element_of
from bdnn.export.onnx_network import write_networks
from bdnn.export.parts import Parts

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.export.request import Files, ModelRequest
    from bdnn.types import Array, Indices

_IR_VERSION = 8  # the one that belongs to the operators; older versions of onnxruntime read it

Value = tuple[str, str, list[int | str]]
"""Name, type of the elements, and shape of an input or an output."""


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
        parts, feeds = _read(request)
        index, labels = ran(octets, feeds.of_table(table), ("index", "label"))
        if not np.array_equal(label_array(parts.classes)[index], labels):
            raise ExportError("onnxruntime gave labels that are not those of the indices of the classes")
        return index.astype(np.intp)


def need(*packages: str, target: str = "onnx") -> None:
    """Raise MissingDependencyError if a package is not installed."""
    if gone := [package for package in packages if find_spec(package) is None]:
        raise MissingDependencyError(
            f"the target {target} needs {' and '.join(gone)}, which {'are' if len(gone) > 1 else 'is'} not installed; "
            f"run: pip install 'bdnn[onnx]'"
        )


def session_of(octets: bytes) -> Any:
    """Return a session of onnxruntime, on one thread of the processor.

    Raises
    ------
    ExportError
        If it refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(octets, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base of its errors but this one
        raise ExportError(f"onnxruntime does not take the model: {error}") from error


def ran(octets: bytes, feeds: dict[str, Array], outputs: tuple[str, ...]) -> list[Array]:
    """Return outputs of a model in onnxruntime.

    Raises
    ------
    ExportError
        If it does not run.
    """
    session = session_of(octets)
    try:
        found: list[Array] = session.run(list(outputs), feeds)
    except Exception as error:  # see above
        raise ExportError(f"onnxruntime does not run the model: {error}") from error
    return found


def _read(request: ModelRequest) -> tuple[Parts, Feeds]:
    """Return the networks of a model, and the inputs of its graph."""
    encoder = request.model.encoder_in_use
    inputs = None if request.table is None else encoder.transform(request.table)
    parts = Parts.of(request.model, inputs, request.input_bits)
    seen = np.zeros(encoder.n_inputs, dtype=bool)
    for part in parts.parts:
        seen[part.features[np.any(part.network.layers[0].weights != 0, axis=0)]] = True
    return parts, Feeds.of(encoder, seen)


def label_array(classes: Array) -> Array:
    """Return labels as ONNX has them: truth values, 64-bit integers, doubles or strings."""
    kind = classes.dtype.kind
    if kind == "b":
        return classes
    if kind in "iuf":
        return classes.astype(np.float64 if kind == "f" else np.int64)
    return np.array([str(label) for label in classes.tolist()], dtype=object)


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
        (name, feeds.element(number), ["rows", feeds.width()]) for number, name in enumerate(feeds.names)
    ]
    return serialized(
        graph, request, given, [("label", element_of(labels), ["rows"]), ("index", "int64", ["rows"])],
        {"columns": json.dumps(_described(feeds)), **request.facts},
    )  # fmt: skip


def _described(feeds: Feeds) -> list[dict[str, Any]]:
    """Return what is said of the columns that are given."""
    return [
        {"column": code.name, "kind": code.kind, "missing": missing if code.kind == "categorical" else "NaN"}
        for code, missing in (
            (feeds.encoder.columns[j], text) for j, text in zip(feeds.columns, feeds.missing, strict=True)
        )
    ]


def serialized(
    graph: Graph,
    request: ModelRequest,
    inputs: list[Value],
    outputs: list[Value],
    facts: dict[str, str],
    opset: int = OPSET,
    ir_version: int = _IR_VERSION,
) -> bytes:
    """Return a graph as a file, checked by onnx."""
    import onnx
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node(node.op, list(node.inputs), [node.output], domain=node.domain, **node.attributes)
        for node in graph.nodes
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in graph.constants.items()]
    given, results = (
        [helper.make_tensor_value_info(name, ELEMENTS[kind], shape) for name, kind, shape in values]
        for values in (inputs, outputs)
    )
    body = helper.make_graph(nodes, request.name, given, results, tensors)
    used = {node.domain for node in graph.nodes}
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(ML, ML_OPSET)] if ML in used else [])]
    model = helper.make_model(
        body, opset_imports=opsets, producer_name="bdnn", producer_version=request.version, ir_version=ir_version
    )
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    octets: bytes = model.SerializeToString(deterministic=True)
    return octets
