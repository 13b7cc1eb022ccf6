"""The way from the values of a table to the inputs of a network as ONNX operators, in doubles and strings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.codes import date_parts
from bdnn.export.inputs import HIGHEST, LOWEST
from bdnn.export.onnx_graph import ML, Graph

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawColumn, RawTable
    from bdnn.types import Array

MATRIX = "X"
"""Name of the one input where all columns are numbers."""


@dataclass(frozen=True, slots=True)
class Feeds:
    """Inputs of a graph.

    Attributes
    ----------
    encoder : Encoder
        The columns.
    columns : tuple of int
        Indices of those that are given.
    names : tuple of str
        Of the inputs: one of all columns as a matrix of doubles, or one for each column; that of a date has a column
        for each of its parts.
    missing : tuple of str
        For each of the columns, the text of a missing level.
    """

    encoder: Encoder
    columns: tuple[int, ...]
    names: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> Feeds:
        """Return the inputs for an encoder."""
        kinds = [code.kind for code in encoder.columns]
        if all(kind in ("numeric", "boolean") for kind in kinds):
            return cls(encoder, tuple(range(len(kinds))), (MATRIX,), ("",) * len(kinds))
        owners = [j for j, code in enumerate(encoder.columns) if code.n_inputs]
        names = [encoder.columns[j].name or f"column {j}" for j in owners]
        return cls(encoder, tuple(owners), tuple(names), tuple(_missing_text(encoder.columns[j]) for j in owners))

    @property
    def is_matrix(self) -> bool:
        """Whether there is one matrix."""
        return self.names == (MATRIX,) and all(code.kind in ("numeric", "boolean") for code in self.encoder.columns)

    def element(self, number: int) -> str:
        """Return the type of the elements of an input."""
        is_text = not self.is_matrix and self.encoder.columns[self.columns[number]].kind == "categorical"
        return "string" if is_text else "float64"

    def width(self, number: int) -> int:
        """Return the number of columns of an input."""
        if self.is_matrix:
            return len(self.columns)
        return max(len(self.encoder.columns[self.columns[number]].parts), 1)

    def of_table(self, table: RawTable) -> dict[str, Array]:
        """Return what is given for the rows of a table."""
        chosen = self.encoder.matched(table).columns
        each = [_values(chosen[j], text) for j, text in zip(self.columns, self.missing, strict=True)]
        if self.is_matrix:
            return {MATRIX: np.hstack(each)}
        return {name: values[:, : self.width(n)] for n, (name, values) in enumerate(zip(self.names, each, strict=True))}


def _missing_text(code: ColumnCode) -> str:
    """Return the text of a missing level, which no level is: empty if possible."""
    text = ""
    while text in code.levels or text in code.rare:
        text += "?"
    return text


def _values(column: RawColumn, missing: str) -> Array:
    """Return what is given for a column, of shape (m, 1), or (m, 5) for a date."""
    if column.kind == "categorical":
        return np.array([*column.levels, missing], dtype=object)[column.values][:, None]
    if column.kind == "date":
        gaps = column.missing
        return np.where(gaps[:, None], np.nan, date_parts(np.where(gaps, np.datetime64(0, "us"), column.values)))
    return np.asarray(column.values, dtype=np.float64)[:, None]


Ranges = list[tuple[int, int]]


def write_columns(
    graph: Graph, feeds: Feeds, declared: Mapping[str, tuple[Fraction, Fraction]] | None = None
) -> tuple[str, Ranges]:
    """Add the inputs of the networks and return their name, doubles of shape (n, n_inputs), and their ranges.

    Inputs of columns that are not given do not matter, and are 0. Numbers have 32 bits where no range is declared.
    """
    encoder = feeds.encoder
    ranges = [each for code in encoder.columns for each in _ranges(code, declared or {})]
    if encoder.is_identity and feeds.is_matrix:
        fills = [np.nan if code.fill is None else float(code.fill) for code in encoder.columns]
        return _filled(graph, MATRIX, np.array(fills)), ranges
    blocks, zeros = [], None
    given = {j: number for number, j in enumerate(feeds.columns)}
    for j, code in enumerate(encoder.columns):
        if not code.n_inputs:
            continue
        if j in given:
            if feeds.is_matrix:
                source = graph.add("Gather", MATRIX, graph.integers([j]), axis=1)
            else:
                source = feeds.names[given[j]]
            blocks += _column(graph, code, source, feeds.missing[given[j]])
        else:
            zeros = zeros or _zero(graph, feeds)
            blocks.append(graph.add("MatMul", zeros, graph.doubles(np.zeros((1, code.n_inputs)))))
    return (blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)), ranges


def _ranges(code: ColumnCode, declared: Mapping[str, tuple[Fraction, Fraction]]) -> Ranges:
    """Return the ranges of the inputs of a column, as integers around them."""
    if not code.n_inputs:
        return []
    values = [(0, 1)] * code.n_values
    if code.kind in ("numeric", "date") and not code.thresholds:
        fills = np.zeros(code.n_values) if code.fill is None else _fill(code)
        for n, fill in enumerate(map(int, fills.tolist())):
            low, high = declared.get(code.input_names[n], (LOWEST, HIGHEST))
            values[n] = (min(math.floor(low), fill), max(math.ceil(high), fill))
    return values + [(0, 1)] * (code.n_inputs - code.n_values)


def _zero(graph: Graph, feeds: Feeds) -> str:
    """Return zeros of shape (n, 1)."""
    name = feeds.names[0]
    if feeds.element(0) == "string":
        name = graph.add("LabelEncoder", name, domain=ML, keys_strings=[""], values_int64s=[0], default_int64=0)
        return graph.cast(name, "float64")
    if feeds.width(0) > 1:
        name = graph.add("Gather", name, graph.integers([0]), axis=1)
    gap = graph.add("IsNaN", name)
    return graph.cast(graph.add("And", gap, graph.add("Not", gap)), "float64")


def _filled(graph: Graph, name: str, fill: Array) -> str:
    """Add the replacement of missing values, if any is known."""
    if np.all(np.isnan(fill)):
        return name
    return graph.add("Where", graph.add("IsNaN", name), graph.doubles(fill), name)


def _column(graph: Graph, code: ColumnCode, source: str, missing: str) -> list[str]:
    """Add the inputs of a column, and return their names."""
    if code.kind == "categorical":
        return _levels(graph, code, source, missing)
    first = source
    if code.kind == "date" and code.missing_bit:
        first = graph.add("Gather", source, graph.integers([0]), axis=1)
    gap = [graph.cast(graph.add("IsNaN", first), "float64")] if code.missing_bit else []
    value = source if code.fill is None else _filled(graph, source, _fill(code))
    if code.thresholds:
        value = graph.cast(graph.add("GreaterOrEqual", value, graph.doubles([code.thresholds])), "float64")
    return [value, *gap]


def _fill(code: ColumnCode) -> Array:
    """Return the replacement of a missing number or truth value, or those of the parts of a date."""
    if code.kind == "date":
        return date_parts(np.array([code.fill], dtype="datetime64[us]"))[0, : code.n_values]
    return np.array([code.fill], dtype=np.float64)


def _levels(graph: Graph, code: ColumnCode, source: str, missing: str) -> list[str]:
    blocks, known = [], [*code.levels, *code.rare]
    if code.n_values:
        groups = code.group_of(known).tolist()  # the last one is that of a missing level
        number = graph.add(
            "LabelEncoder", source, domain=ML, keys_strings=[*known, missing], values_int64s=groups, default_int64=-1
        )
        first = len(code.groups) - code.n_values
        wanted = graph.integers(np.arange(first, first + code.n_values)[None, :])
        blocks.append(graph.cast(graph.add("Equal", number, wanted), "float64"))
    if code.missing_bit:
        gap = graph.add("LabelEncoder", source, domain=ML, keys_strings=[missing], values_int64s=[1], default_int64=0)
        blocks.append(graph.cast(gap, "float64"))
    return blocks
