"""Target ``vnnlib``: a network and properties in the formats of the VNN competition, to ask other verifiers.

A property describes what must not happen: an input of the box around a row for which another class is decided. A
verifier that answers "unsat" has proven the row robust; "sat" comes with a counterexample. Other tools compute with
floating point, of 32 bits in the network file: what they answer is not a proof in the sense of `bdnn certify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.kinds import level_text
from bdnn.errors import InputError
from bdnn.export.onnx_file import need, serialized, session_of
from bdnn.export.onnx_graph import Graph
from bdnn.model_file.contents import Model

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.export.request import Files, ModelRequest
    from bdnn.network.network import Network
    from bdnn.types import Array, Floats, Indices

_OPSET, _IR_VERSION = 13, 7  # of 2020: verifiers lag behind, and Gemm and Sign have not changed since
_SECONDS = 60  # for a row, as `bdnn certify` has by default


class VnnLib:
    """See the module."""

    name = "vnnlib"
    summary = "a network in ONNX and properties in VNN-LIB, for other verifiers"

    def files(self, request: ModelRequest) -> dict[str, str | bytes]:
        """Return the network, a property for each row, and the list of both."""
        network, encoder = _checked(request)
        need("onnx", target=self.name)
        table = request.table
        assert table is not None
        inputs = encoder.transform(table)
        boxes = Boxes.of(network, encoder, inputs, request)
        real = RealNetwork.of(network)
        classes = network.predict_index(inputs)
        width = len(str(len(inputs)))
        files: dict[str, str | bytes] = {f"onnx/{request.name}.onnx": real.octets(request)}
        listed = []
        for row, c in enumerate(classes.tolist()):
            path = f"vnnlib/row_{row + 1:0{width}}.vnnlib"
            about = [
                f"{request.name}.onnx, row {row + 1}: can an input of this box be decided otherwise than as "
                f"{_plain(str(network.classes[c]))} ({c})?",
                f"sat: yes; unsat: no, the row is robust within radius {request.radius:g} in the norm infinity",
                *real.remarks,
            ]
            files[path] = property_text(about, boxes.lower[row], boxes.upper[row], real.n_outputs, c)
            listed.append(f"onnx/{request.name}.onnx,{path},{_SECONDS}")
        return {**files, "instances.csv": "\n".join(listed) + "\n"}

    def check_tools(self) -> None:
        """Raise MissingDependencyError if onnx or onnxruntime is not installed."""
        need("onnx", "onnxruntime", target=self.name)

    def decide(self, request: ModelRequest, files: Files, table: RawTable) -> Indices:
        """Run rows through the network in onnxruntime, in floats of 32 bits as verifiers read it."""
        network, encoder = _checked(request)
        octets = files[f"onnx/{request.name}.onnx"]
        assert isinstance(octets, bytes)
        inputs = encoder.transform(table)
        signal = (inputs if network.grid is None else network.grid.quantize(inputs)).astype(np.float32)
        session = session_of(octets)
        outputs = np.vstack([session.run(["Y"], {"X": row[None, :]})[0] for row in signal])
        found = outputs[:, 0] >= 0 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        return np.asarray(found, dtype=np.intp)


def _checked(request: ModelRequest) -> tuple[Network, Encoder]:
    """Return network and encoder, or raise InputError if no property can be written."""
    if not isinstance(request.model, Model):
        raise InputError("the target vnnlib takes single networks, and this is an ensemble; export its members alone")
    if request.radius is None:
        raise InputError("the target vnnlib needs a radius, by which numbers may be moved (--radius)")
    if not (np.isfinite(request.radius) and request.radius >= 0):
        raise InputError(f"the radius must be a number of at least 0, got {request.radius}")
    if request.table is None or not len(request.table):
        raise InputError("the target vnnlib needs a table with the rows in question (--data)")
    encoder = request.model.encoder_in_use
    if any(code.thresholds for code in encoder.columns):
        raise InputError("with thresholds the network sees only bits, and no radius moves them; train without "
                         "thresholds")  # fmt: skip
    return request.model.network, encoder


@dataclass(frozen=True, eq=False, slots=True)
class Boxes:
    """Boxes of inputs of the real-valued network, each of shape (m, n_inputs)."""

    lower: Floats
    upper: Floats

    @classmethod
    def of(cls, network: Network, encoder: Encoder, inputs: Floats, request: ModelRequest) -> Boxes:
        """Return the boxes around rows, rounded outward.

        Raises
        ------
        InputError
            If a row is not in the declared range of a column.
        """
        radius = encoder.per_input("the radius", np.full(len(encoder.columns), request.radius), 0.0)
        lower, upper = _outward(inputs, radius)
        for name, (low, high) in request.interface.ranges.items():
            place = dict(zip(encoder.names, encoder.input_slices(), strict=True)).get(name, slice(0)).start
            if place is None or not encoder.numeric_inputs()[place]:  # a part of a date is no column
                raise InputError(f"column {name!r} is not moved, so that it has no range; leave it out of --range")
            values = inputs[:, place]
            outside = np.flatnonzero((values < _below(low)) | (values > _above(high)))
            if len(outside):
                raise InputError(
                    f"row {outside[0] + 1}, column {name!r}: {level_text(float(values[outside[0]]))} is not in the "
                    f"declared range"
                )
            lower[:, place] = np.maximum(lower[:, place], _below(low))
            upper[:, place] = np.minimum(upper[:, place], _above(high))
        if network.grid is not None:  # integers between which the network is asked as if they were real
            lower, upper = network.grid.quantize(lower), network.grid.quantize(upper)
        return cls(lower, upper)


def _outward(values: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Return the nearest doubles that are not within values minus and plus radii."""
    high, error = _sum(values, radius)
    low, other = _sum(values, -radius)
    return np.where(other < 0, np.nextafter(low, -np.inf), low), np.where(error > 0, np.nextafter(high, np.inf), high)


def _sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return a rounded sum and what it lacks to the exact one (Knuth's two-sum)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _below(value: Fraction) -> float:
    """Return the largest double that is not above a fraction."""
    near = float(value)
    return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))


def _above(value: Fraction) -> float:
    return -_below(-value)


@dataclass(frozen=True, eq=False, slots=True)
class RealNetwork:
    """A network of which hidden neurons are signs -1 and 1, in floats of 32 bits.

    Attributes
    ----------
    layers : list of (weights, bias)
        In doubles, exact but for the rounding to 32 bits that follows.
    remarks : list of str
        What a reader of a property has to know.
    """

    layers: list[tuple[Array, Array]]
    remarks: list[str]

    @classmethod
    def of(cls, network: Network) -> RealNetwork:
        """Return a network whose neurons fire -1 or 1.

        Integer outputs are moved so that none is 0 and no two are equal, which keeps every decision: a property has no
        strict inequalities.
        """
        layers = []
        for k, (weights, bias) in enumerate(network.layers):
            w, b = weights.astype(np.float64), bias.astype(np.float64)
            layers.append((w / 2, b + w.sum(axis=1) / 2) if k else (w, b))
        remarks = []
        if network.grid is not None:
            remarks.append("the inputs are the integers of the grid, and the box holds all real numbers between them: "
                           "an answer sat may be none of them")  # fmt: skip
        if network.is_integer and len(layers) > 1:
            w, b = layers[-1]
            n = len(b)
            factor = 1 if n == 1 else 2 ** (n - 1).bit_length()
            layers[-1] = (w * factor, b + 0.5 if n == 1 else b * factor - np.arange(n))
        else:
            remarks.append("inputs that are exactly on the boundary between two classes satisfy the property as well")
        if any(not np.array_equal(a.astype(np.float32), a) for layer in layers for a in layer):
            remarks.append("the numbers of the network are rounded to 32 bits, which can change decisions")
        return cls(layers, remarks)

    @property
    def n_outputs(self) -> int:
        """Number of outputs; the second class wins if a single one is positive."""
        return len(self.layers[-1][1])

    def octets(self, request: ModelRequest) -> bytes:
        """Return the network as a file."""
        graph, signal = Graph(), "X"
        for k, (weights, bias) in enumerate(self.layers):
            last = k == len(self.layers) - 1
            signal = graph.add(
                "Gemm", signal, graph.constant(weights.astype(np.float32)), graph.constant(bias.astype(np.float32)),
                transB=1, output="Y" if last else None,
            )  # fmt: skip
            if not last:  # the sign of 0 is 0, and neurons fire at 0
                moved = graph.add("Add", graph.add("Sign", signal), graph.constant(np.array([0.1], dtype=np.float32)))
                signal = graph.add("Sign", moved)
        n = self.layers[0][0].shape[1]
        facts = {**request.facts, **{f"remark {number}": text for number, text in enumerate(self.remarks, start=1)}}
        return serialized(
            graph, request, [("X", "float32", [1, n])], [("Y", "float32", [1, self.n_outputs])], facts,
            opset=_OPSET, ir_version=_IR_VERSION,
        )  # fmt: skip


def property_text(about: list[str], lower: Floats, upper: Floats, n_outputs: int, c: int) -> str:
    """Return a property: an input in a box that is not decided as class c.

    Examples
    --------
    >>> print(property_text(["a row"], np.array([0.5]), np.array([1e-7]), 1, 1), end="")
    ; a row
    (declare-const X_0 Real)
    (declare-const Y_0 Real)
    (assert (>= X_0 0.5))
    (assert (<= X_0 0.0000001))
    (assert (<= Y_0 0.0))
    """
    lines = [f"; {line}" for line in about]
    lines += [f"(declare-const X_{i} Real)" for i in range(len(lower))]
    lines += [f"(declare-const Y_{j} Real)" for j in range(n_outputs)]
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        lines += [f"(assert (>= X_{i} {_decimal(low)}))", f"(assert (<= X_{i} {_decimal(high)}))"]
    if n_outputs == 1:
        lines.append(f"(assert ({'<=' if c else '>='} Y_0 0.0))")
    else:
        others = " ".join(f"(and (>= Y_{j} Y_{c}))" for j in range(n_outputs) if j != c)
        lines.append(f"(assert (or {others}))")
    return "\n".join(lines) + "\n"


def _decimal(value: float) -> str:
    """Return a double without an exponent, which the language does not have."""
    return np.format_float_positional(value, unique=True, trim="0")


def _plain(text: str) -> str:
    """Return a text that can be in a comment, in ASCII."""
    return ascii(text)
