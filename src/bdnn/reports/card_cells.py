"""The points on a score card of cells that are not numbers, or that are levels without a line of their own."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.kinds import level_text
from bdnn.encoding.raw import RawColumn
from bdnn.reports.card_points import Cells, signed, whole

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.reports.card_points import Points, Scale
    from bdnn.types import Floats


def cells_of(scale: Scale, encoder: Encoder) -> tuple[Cells, ...]:
    """Return the points of missing values and of levels without a line of their own, for each column that has points.

    Parameters
    ----------
    scale : Scale
        Points by input.
    encoder : Encoder
        How columns become inputs.

    Returns
    -------
    tuple of Cells
    """
    found: list[Cells] = []
    for code, place in zip(encoder.columns, encoder.input_slices(), strict=True):
        points = [each for each in scale.points if place.start <= each.index < place.stop]
        if points:
            found += _of_column(code, points, place.start)
    return tuple(found)


def _of_column(code: ColumnCode, points: list[Points], first: int) -> list[Cells]:
    found = []
    if code.fill is not None:
        gap = _sum(points, _inputs(code, _gap(code)), first)
        found.append(Cells(code.name, f"missing, which counts as {fill_text(code)}{_bit(code, points, first)}", gap))
    if code.kind != "categorical":
        return found
    known = (*code.levels, *code.rare)
    column = RawColumn(code.name, "categorical", np.arange(len(known), dtype=np.int32), known)
    sums = [_sum(points, row[None, :], first) for row in _inputs(code, column)]
    if code.rare:
        found.append(Cells(code.name, f"a rare level: {_names(code.rare)}", sums[-1]))
    if nothing := [level for level, total in zip(code.levels, sums, strict=False) if total == signed(0)]:
        found.append(Cells(code.name, _names(nothing), signed(0)))
    return [*found, Cells(code.name, "any other level", signed(0))]


def _names(levels: tuple[str, ...] | list[str]) -> str:
    """Return all levels: somebody who adds points by hand needs every one of them."""
    return ", ".join(map(repr, levels))


def _gap(code: ColumnCode) -> RawColumn:
    """Return a column that holds a single missing value."""
    if code.kind == "categorical":
        return RawColumn(code.name, "categorical", np.array([-1], dtype=np.int32))
    gap = np.datetime64("NaT", "us") if code.kind == "date" else np.nan
    return RawColumn(code.name, code.kind, np.array([gap]))


def _inputs(code: ColumnCode, column: RawColumn) -> Floats:
    out = np.empty((len(column.values), code.n_inputs))
    code.write(column, code.group_of(column.levels), out)
    return out


def _sum(points: list[Points], inputs: Floats, first: int) -> str:
    """Return the points of the inputs of one cell."""
    total = sum((Fraction(each.of(float(inputs[0, each.index - first]))) for each in points), Fraction(0))
    return signed(whole(total))


def _bit(code: ColumnCode, points: list[Points], first: int) -> str:
    """Return a phrase that says that a bit for missing values is in the sum."""
    if not code.missing_bit:
        return ""
    of_bit = [each.of(1.0) for each in points if each.index == first + code.n_values]
    return f", with {signed(of_bit[0])} for {code.input_names[-1]}" if of_bit else ""


def fill_text(code: ColumnCode) -> str:
    """Return what a missing value counts as."""
    if code.kind == "boolean":
        return "true" if code.fill == 1 else "false"
    return code.fill if isinstance(code.fill, str) else level_text(code.fill or 0.0)


def cell_text(encoder: Encoder, table: RawTable, row: int, index: int) -> str | None:
    """Return the cell that an input comes from as text; None if it is the input itself.

    Parameters
    ----------
    encoder : Encoder
        How columns become inputs.
    table : RawTable
        The columns of the encoder.
    row : int
        Of the table.
    index : int
        Of the input.
    """
    number = int(encoder.column_of_input[index])
    column, code = table.columns[number], encoder.columns[number]
    if column.missing[row]:
        return f"missing, counts as {fill_text(code)}"
    (cell,) = column.texts(np.array([row]))
    return cell if isinstance(cell, str) else f"{cell:.10g}"
