"""Graphs of ONNX operators as plain values: packages that write them are imported elsewhere, and only if needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Array

OPSET = 17
"""Of the operators: GreaterOrEqual of doubles needs 16; of the later ones nothing is needed."""

ML_OPSET = 3
"""Of the operators of ``ai.onnx.ml``: LabelEncoder of many kinds needs 2."""

ML = "ai.onnx.ml"

Attribute = int | float | str | list[int] | list[str]


class Node(NamedTuple):
    """An operator with one output."""

    op: str
    inputs: tuple[str, ...]
    output: str
    domain: str
    attributes: dict[str, Attribute]


@dataclass
class Graph:
    """Nodes and constants.

    Attributes
    ----------
    prefix : str
        Of all names that are made here.
    nodes : list of Node
        In the order of computation.
    constants : dict of str to ndarray
        By name.
    known : dict of tuple to str
        Names of constants by type, shape and contents.
    """

    prefix: str = "bdnn_"
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    @classmethod
    def beside(cls, names: Iterable[str]) -> Graph:
        """Return an empty graph whose names differ from others."""
        prefix = "bdnn_"
        while any(name.startswith(prefix) for name in names):
            prefix += "_"
        return cls(prefix)

    def add(self, op: str, *inputs: str, domain: str = "", output: str | None = None, **attributes: Attribute) -> str:
        """Add an operator and return the name of its output."""
        name = output or f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, name, domain, attributes))
        return name

    def constant(self, values: Array) -> str:
        """Return the name of a constant; equal ones share it."""
        array = np.asarray(values)
        octets = array.tobytes() if array.dtype.kind != "O" else repr(array.tolist()).encode()
        key = (array.dtype.str, array.shape, octets)
        if key not in self.known:
            self.known[key] = f"{self.prefix}c{len(self.constants)}"
            self.constants[self.known[key]] = array
        return self.known[key]

    def integers(self, values: object) -> str:
        """Return the name of a constant of 64-bit integers."""
        return self.constant(np.array(values, dtype=np.int64))

    def doubles(self, values: object) -> str:
        """Return the name of a constant of doubles."""
        return self.constant(np.array(values, dtype=np.float64))

    def cast(self, value: str, kind: str) -> str:
        """Add a conversion; see `ELEMENTS`."""
        return self.add("Cast", value, to=ELEMENTS[kind])


ELEMENTS = {"float32": 1, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float64": 11}
"""Numbers of the types of elements in ONNX."""


def element_of(values: Array) -> str:
    """Return the type of the elements of an array, a key of `ELEMENTS`."""
    return "string" if values.dtype.kind in "OUS" else str(values.dtype)
