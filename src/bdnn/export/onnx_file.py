"""Files of ONNX, and onnxruntime, which runs them: both are imported only where they are used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.errors import ExportError, MissingDependencyError
from bdnn.export.onnx_graph import ELEMENTS, ML, ML_OPSET, OPSET, Graph

if TYPE_CHECKING:
    from bdnn.export.request import ModelRequest
    from bdnn.types import Array

_IR_VERSION = 8  # the one that belongs to the operators; older versions of onnxruntime read it

Value = tuple[str, str, list[int | str]]
"""Name, type of the elements, and shape of an input or an output."""


def need(*packages: str, target: str = "onnx") -> None:
    """Raise MissingDependencyError if a package is not installed."""
    specs = {package: find_spec(package) for package in packages}
    # a folder of the same name, such as one of exports, looks like a package without an origin
    if gone := [package for package, spec in specs.items() if spec is None or spec.origin is None]:
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


def label_array(classes: Array) -> Array:
    """Return labels as ONNX has them: truth values, 64-bit integers, doubles or strings."""
    kind = classes.dtype.kind
    if kind == "b":
        return classes
    if kind in "iuf":
        return classes.astype(np.float64 if kind == "f" else np.int64)
    return np.array([str(label) for label in classes.tolist()], dtype=object)


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
