"""Classifiers in pipelines of scikit-learn, for skl2onnx.

Examples
--------
>>> from bdnn import BDNNClassifier
>>> from bdnn.export.sklearn_onnx import register
>>> register(BDNNClassifier)  # doctest: +SKIP
>>> onnx_model = skl2onnx.to_onnx(pipeline, X.astype(np.float64))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bdnn.errors import InputError
from bdnn.export.onnx_columns import MATRIX, Feeds, write_columns
from bdnn.export.onnx_file import label_array, need
from bdnn.export.onnx_graph import ELEMENTS, Graph, element_of
from bdnn.export.onnx_network import write_networks, write_real_network
from bdnn.export.parts import Parts

if TYPE_CHECKING:
    from bdnn.model_file.contents import EnsembleModel, Model
    from bdnn.network.network import Network


def register(*classifiers: type) -> None:
    """Tell skl2onnx how classifiers of bdnn become ONNX operators; there is one output, the label.

    With double inputs, ``skl2onnx.to_onnx(pipeline, X.astype(np.float64))``, integer weights decide exactly what they
    are given. What comes before them in the pipeline is exact as far as its operators are: a scaler in ONNX may differ
    from that of scikit-learn in the last bit. Continuous weights are summed in doubles, where `predict` decides every
    sign exactly.

    Parameters
    ----------
    *classifiers : type
        `bdnn.BDNNClassifier`, `bdnn.BDNNEnsembleClassifier`, or classes derived from them.

    Raises
    ------
    MissingDependencyError
        If skl2onnx is not installed.
    """
    need("onnx", "skl2onnx", target="onnx")
    from skl2onnx import update_registered_converter

    for kind in classifiers:
        update_registered_converter(kind, _alias(kind), _shapes, _convert, parser=_parse)


def _alias(kind: type) -> str:
    return f"Bdnn{kind.__name__}"


def write_classifier(graph: Graph, contents: Model | EnsembleModel) -> str:
    """Add a classifier of a matrix of numbers to a graph and return the name of the labels.

    Raises
    ------
    InputError
        If it takes anything but numbers, or is an ensemble of continuous networks.
    """
    encoder = contents.encoder_in_use
    feeds = Feeds.of(encoder)
    if not feeds.is_matrix:
        raise InputError("skl2onnx converts classifiers of numbers, and this one was trained on columns that are none; "
                         "use clf.export('onnx', ...)")  # fmt: skip
    inputs, ranges = write_columns(graph, feeds)
    network: Network | None = getattr(contents, "network", None)  # which ensembles have not
    if network is not None and not network.is_integer:
        index = write_real_network(graph, inputs, network)
    else:
        try:
            parts = Parts.of(contents, None, 1)
        except InputError:
            raise InputError("ensembles of continuous weights have no ONNX operators that sum as they do; train on "
                             "integer weights") from None  # fmt: skip
        index = write_networks(graph, inputs, parts, ranges)
    return graph.add("Gather", graph.constant(label_array(contents.classes)), index, axis=0)


def _parse(scope: Any, model: Any, inputs: list[Any], custom_parsers: object = None) -> list[Any]:
    """Declare the operator of a classifier in a graph of skl2onnx."""
    operator = scope.declare_local_operator(_alias(type(model)), model)
    operator.inputs = list(inputs)
    operator.outputs.append(scope.declare_local_variable("label", _type_of(model)()))
    outputs: list[Any] = operator.outputs
    return outputs


def _type_of(model: Any) -> Callable[..., Any]:
    from skl2onnx.common import data_types

    kinds: dict[str, Callable[..., Any]] = {
        "string": data_types.StringTensorType, "int64": data_types.Int64TensorType,
        "float64": data_types.DoubleTensorType, "bool": data_types.BooleanTensorType,
    }  # fmt: skip
    return kinds[element_of(label_array(model.classes_))]


def _shapes(operator: Any) -> None:
    """Say what the operator gives: a label for each row."""
    operator.outputs[0].type = _type_of(operator.raw_operator)([None])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the operators of a classifier into a graph of skl2onnx."""
    # names of ours, and what skl2onnx calls them
    names: dict[str, str] = {f"given {k}": variable.onnx_name for k, variable in enumerate(operator.inputs)}
    graph, given = Graph(), [*names]

    def unique(name: str) -> str:
        if name not in names:
            names[name] = scope.get_unique_variable_name(name)
        return names[name]

    doubles = [graph.cast(name, "float64") for name in given]
    graph.add("Concat", *doubles, axis=1, output=MATRIX)
    label = write_classifier(graph, operator.raw_operator._contents())
    names[label] = operator.outputs[0].onnx_name
    for name, values in graph.constants.items():
        container.add_initializer(
            unique(name), ELEMENTS[element_of(values)], list(values.shape), values.ravel().tolist()
        )
    for node in graph.nodes:
        container.add_node(
            node.op, [unique(name) for name in node.inputs], [unique(node.output)], op_domain=node.domain,
            name=scope.get_unique_operator_name(node.op), **node.attributes,
        )  # fmt: skip
