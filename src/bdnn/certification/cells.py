"""The points in which rows of a table are perturbed: what they are, what may change in them, and back to cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bdnn.certification.attacker import Perturbations, check_points, integer_features, integer_mask
from bdnn.certification.levels import Choice, Cost, Task
from bdnn.certification.support import TWO
from bdnn.certification.verdict import Verdict
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.network.network import Network

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.types import Array, Bools, Floats

Decide = Callable[[float, "Floats", int, Callable[[int], None]], Verdict]
"""Decides an input of a network, of some class, within so many seconds, and reports how many nodes that took."""


@dataclass(frozen=True)
class Columns:
    """Columns, as what settings of perturbations are about.

    Attributes
    ----------
    n_features : int
        Their number.
    feature_names : tuple of str or None
        Their names.
    """

    n_features: int
    feature_names: tuple[str, ...] | None

    @classmethod
    def of(cls, encoder: Encoder) -> Columns:
        """Return the columns of an encoder."""
        return cls(len(encoder.columns), encoder.names if encoder.named else None)


class Space:
    """The space in which rows are perturbed: numbers as they are, and all else as the network sees it."""

    def __init__(self, network: Network, encoder: Encoder, table: RawTable) -> None:
        if encoder.n_inputs != network.n_features:
            raise InputError(f"the encoder gives {encoder.n_inputs} inputs, but the network takes {network.n_features}")
        self.network, self.encoder, self.table = network, encoder, table
        codes = tuple(replace(code, thresholds=()) for code in encoder.columns)
        self.plain = Encoder(codes, encoder.named)
        self.points = np.ascontiguousarray(self.plain.transform(table))
        self.inputs = network.check_inputs(self.seen(self.points)).astype(np.float64, copy=False)
        self.numbers = self.plain.numeric_inputs()
        missing = np.stack([column.missing for column in table.columns], axis=1)
        self.gaps: Bools = missing[:, self.plain.column_of_input]
        self.names = Columns.of(encoder)
        self.bits = any(code.thresholds for code in encoder.columns)

    def spans(self) -> list[tuple[ColumnCode, slice, slice]]:
        """Return for each column its code, its inputs and its place in a point."""
        return list(zip(self.encoder.columns, self.encoder.input_slices(), self.plain.input_slices(), strict=True))

    def seen(self, points: Floats) -> Floats:
        """Return the inputs of points."""
        inputs = np.empty((len(points), self.encoder.n_inputs))
        for code, place, own in self.spans():
            if code.thresholds:
                cuts = place.start + len(code.thresholds)
                inputs[:, place.start : cuts] = points[:, own.start, None] >= np.array(code.thresholds)
                inputs[:, cuts : place.stop] = points[:, own.start + 1 : own.stop]
            else:
                inputs[:, place] = points[:, own]
        return inputs

    def allowed(self, by_column: Perturbations) -> Perturbations:
        """Return what an attacker may do to points, given what he may do to columns."""
        allowed = Perturbations(
            by_column.norm,
            self.plain.per_input("scale", by_column.scale, 1.0),
            self.plain.per_input("lower", by_column.lower, -np.inf),
            self.plain.per_input("upper", by_column.upper, np.inf),
            by_column.free[self.plain.column_of_input] & self.numbers,
        )
        if self.bits and any(
            code.kind == "numeric" and not code.thresholds and by_column.free[j]
            for j, code in enumerate(self.encoder.columns)
            if code.used
        ):
            raise InputError("numbers as they are beside numbers behind thresholds: freeze the columns of either kind")
        check_points(allowed, self.points)
        return allowed

    def integers(self, integer: ArrayLike) -> Bools:
        """Return which numbers of points are integers."""
        chosen = integer_mask(self.names, integer)[self.plain.column_of_input] & self.numbers
        return integer_features(Columns(self.plain.n_inputs, None), chosen, self.points)

    def levels(self, i: int, frozen: Bools) -> list[Choice]:
        """Return the columns of a row whose level may change."""
        found = []
        for j, (code, inputs, place) in enumerate(self.spans()):
            gap = self.table.columns[j].missing[i]
            if code.kind in ("categorical", "boolean") and code.n_values and not frozen[j] and not gap:
                own = slice(place.start, place.start + code.n_values)
                states = code.states()
                other = states[np.any(states != self.points[i, own], axis=1)]
                found.append(Choice(slice(inputs.start, inputs.start + code.n_values), own, other, other))
        return found

    def ranges(self, i: int, allowed: Perturbations, integers: Bools) -> list[Choice]:
        """Return the columns of a row whose number lies between two thresholds and may get between others."""
        found = []
        for code, inputs, place in self.spans():
            j = place.start
            if code.thresholds and allowed.free[j]:
                bits = slice(inputs.start, inputs.start + code.n_values)
                ways = list(_ways(code.thresholds, float(self.points[i, j]), j, allowed, bool(integers[j])))
                if ways:
                    values = np.array([value for value, _ in ways])
                    states = (values[:, None] >= np.array(code.thresholds)).astype(np.float64)
                    costs = tuple(cost for _, cost in ways)
                    found.append(Choice(bits, slice(j, j + 1), states, values[:, None], costs))
        return found

    def search(self, i: int, code: int, allowed: Perturbations, integers: Bools, limit: float, decide: Decide) -> Task:
        """Return what is asked of one row; `decide` decides single inputs of the network."""
        point = self.points[i]
        still = ~allowed.free

        def box(reach: float) -> tuple[Floats, Floats]:
            far = np.nextafter(reach * allowed.scale, np.inf)
            low = np.maximum(np.nextafter(point - far, -np.inf), allowed.lower)
            high = np.minimum(np.nextafter(point + far, np.inf), allowed.upper)
            seen = self.seen(np.where(still | (reach == 0.0), point, [low, high]))
            low, high = seen if self.network.grid is None else self.network.grid.quantize(seen)
            return low, high

        def leaf(z: Floats, x: Floats, seconds: float, report: Callable[[int], None]) -> Verdict:
            if self.network.predict_index(x[None, :])[0] != code:
                return Verdict(0.0, z, allowed.distance(point, np.where(still, point, z)), True)
            if self.bits or still.all():
                return Verdict(math.inf, None, math.inf, True)
            return decide(seconds, z, code, report)

        return Task(self.network, code, self.inputs[i], point, allowed.norm, limit, box, leaf)

    def table_of(self, points: Floats) -> RawTable:
        """Return the table with the cells of points in which they differ from its rows."""
        columns = []
        for column, code, place in zip(self.table.columns, self.plain.columns, self.plain.input_slices(), strict=True):
            own = slice(place.start, place.start + code.n_values)
            moved = np.flatnonzero(np.any(points[:, own] != self.points[:, own], axis=1))
            columns.append(_moved(column, code, moved, points[moved, own]) if len(moved) else column)
        return RawTable(tuple(columns))


def _ways(
    cuts: Sequence[float], value: float, j: int, allowed: Perturbations, integer: bool
) -> Iterator[tuple[float, Cost]]:
    """Yield for each other range between thresholds its number that is nearest to a value, and its distance."""
    for low, high in itertools.pairwise((-math.inf, *cuts, math.inf)):
        if low <= value < high:
            continue
        # the range and the bounds, its upper end included only if it is a bound
        start, stop = max(low, float(allowed.lower[j])), min(high, math.nextafter(float(allowed.upper[j]), math.inf))
        if integer:
            nearest = float(math.ceil(start) if value < low else math.ceil(stop) - 1)
            reached, end = True, nearest
        else:
            reached = value < low or stop < high
            nearest = start if value < low else math.nextafter(stop, -math.inf)
            end = nearest if reached else stop
        if not start <= nearest < stop or not math.isfinite(end):
            continue
        far = abs(Fraction(end) - Fraction(value)) / Fraction(float(allowed.scale[j]))
        yield nearest, (far * far if allowed.norm == TWO else far, int(not reached))


def _moved(column: RawColumn, code: ColumnCode, rows: Array, inputs: Floats) -> RawColumn:
    """Return a column with some cells of the inputs given."""
    values = column.values.copy()
    if code.kind != "categorical":
        values[rows] = inputs[:, 0]
        return replace(column, values=values)
    levels = list(column.levels)
    # of rare levels, which the network cannot tell from each other, the first one
    names = (*code.levels, *code.rare[:1])
    for state, name in zip(code.states(), names, strict=True):
        here = rows[np.all(inputs == state, axis=1)]
        if len(here):
            if name not in levels:
                levels.append(name)
            values[here] = levels.index(name)
    return replace(column, values=values, levels=tuple(levels))
