"""Certification of a network on the columns of a table, from which an encoder makes its inputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.certification.attacker import (
    Perturbations,
    check_points,
    feature_mask,
    integer_features,
    integer_mask,
    perturbations,
)
from bdnn.certification.engine import Question, certify, decided, point_seconds, right_points
from bdnn.certification.levels import Choice, Cost, LevelSearch, Task
from bdnn.certification.limits import Clock
from bdnn.certification.result import Certification
from bdnn.certification.support import TWO
from bdnn.certification.verdict import Verdict
from bdnn.checks import radius_limit, thread_count
from bdnn.clock import reading
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.network.network import Network
from bdnn.status import ProgressCallback

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.types import Array, Bools, Floats


def certify_columns(
    network: Network,
    encoder: Encoder,
    table: RawTable,
    y: ArrayLike | None = None,
    *,
    radius: float | None = None,
    norm: str = "inf",
    scale: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    frozen: ArrayLike | None = None,
    integer: ArrayLike = False,
    level_changes: int = 0,
    budget: Budget | None = None,
    point_time_limit: float = 60.0,
    n_jobs: int | None = 1,
    on_progress: ProgressCallback | None = None,
) -> Certification:
    """Decide exactly whether changes of the cells of rows change the decisions of a network.

    Numbers are perturbed as by `bdnn.certify`, also where the network sees them through thresholds. Levels of
    categorical and boolean columns may change to any other level of the training, in at most `level_changes` columns of
    a row at once, which does not count as distance. Dates stay as they are, and so do cells without a value.

    Parameters
    ----------
    network : Network
        Trained.
    encoder : Encoder
        How columns become its inputs.
    table : RawTable
        Rows; columns are found by name.
    y : array-like of shape (m,) or None
        Their labels: a row that is predicted wrong is not robust. None: the predictions must not change.
    radius : float or None
        Decide whether a perturbation of numbers within this distance, included, changes the decision together with
        changes of levels; None: find the smallest one.
    norm : {"inf", "1", "2"}
        Norm of δ / scale.
    scale, lower, upper : array-like of shape (n_columns,), number or None
        See `bdnn.certify`; of numeric columns.
    frozen : array-like or None
        Columns that do not change: a mask, indices or names.
    integer : bool or array-like
        Numeric columns that hold integers and stay so: all, none, a mask, indices or names.
    level_changes : int
        Most columns whose level changes; 0 for none.
    budget, point_time_limit, n_jobs, on_progress : optional
        See `bdnn.certify`.

    Returns
    -------
    Certification
        Attacks are inputs of the network, and in `Certification.columns` cells of the table.

    Raises
    ------
    InputError
        If the data or a setting is not as described.

    Examples
    --------
    >>> from bdnn.encoding.codes import ColumnCode
    >>> encoder = Encoder((ColumnCode("a", "numeric", 0.0), ColumnCode("b", "categorical", "x", ("x", "y"))))
    >>> net = Network([([[1.0, 1.0]], [-1.5])], head="threshold", classes=["no", "yes"])
    >>> b = RawColumn("b", "categorical", np.array([0]), ("x",))
    >>> table = RawTable((RawColumn("a", "numeric", np.array([0.0])), b))
    >>> [certify_columns(net, encoder, table, level_changes=k).radius.round(6).tolist() for k in (0, 1)]
    [[1.5], [0.5]]
    """
    space = _Space(network, encoder, encoder.matched(table))
    allowed = space.allowed(perturbations(space.names, norm, scale, lower, upper, frozen))
    limit, seconds, threads = radius_limit(radius), point_seconds(point_time_limit), thread_count(n_jobs)
    if isinstance(level_changes, bool) or not isinstance(level_changes, int | np.integer) or level_changes < 0:
        raise InputError(f"level_changes must be a number of columns, at least 0, got {level_changes!r}")
    integers = space.integers(integer)
    codes = network.predict_index(space.inputs)
    still = feature_mask(space.names, "frozen", frozen)
    changed = np.zeros(len(codes), dtype=np.int64)

    def answer(i: int, report: Callable[[int], None]) -> Verdict:
        own = replace(allowed, free=allowed.free & ~space.gaps[i])
        choices = space.ranges(i, own, integers) + (space.levels(i, still) if level_changes else [])
        task = space.search(i, int(codes[i]), own, integers, limit)
        found = LevelSearch(task, choices, int(level_changes)).run(Clock(reading() + seconds, report))
        changed[i] = found.changed
        return found.verdict

    clean = right_points(network, codes, y)
    found = decided(space.points, clean, answer, radius, norm, budget, threads, on_progress)
    attacked = np.isfinite(found.distance)
    attack = np.full(space.inputs.shape, np.nan)
    attack[attacked] = space.seen(found.attack[attacked])
    columns = space.table_of(np.where(attacked[:, None], found.attack, space.points))
    found = replace(found, attack=attack, columns=columns)
    if not level_changes:
        return found
    # changes of level alone, at radius 0, may have changed a decision, or not be decided
    robust = found.robust if radius is not None else clean & ((found.radius > 0) | (~found.undecided & ~found.attained))
    return replace(found, robust=robust, level_changes=int(level_changes), changed=changed)


def certify_table(
    network: Network, encoder: Encoder, table: RawTable, y: ArrayLike | None = None, **settings: Any
) -> Certification:
    """Certify rows by `bdnn.certify` if their columns are numbers that the network takes as they are, else by columns.

    Parameters
    ----------
    network : Network
        Trained.
    encoder : Encoder
        How columns become its inputs.
    table : RawTable
        Rows; columns are found by name.
    y : array-like of shape (m,) or None
        Their labels.
    **settings : Any
        The keywords of `certify_columns`.

    Returns
    -------
    Certification

    Raises
    ------
    InputError
        If the data or a setting is not as described.
    """
    rows = encoder.matched(table)
    plain = encoder.is_identity and all(code.kind == "numeric" for code in encoder.columns)
    if not plain or rows.n_missing.any() or settings.get("level_changes"):
        return certify_columns(network, encoder, rows, y, **settings)
    settings.pop("level_changes", None)
    return certify(network, encoder.transform(rows), y, **settings)


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


class _Space:
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

    def search(self, i: int, code: int, allowed: Perturbations, integers: Bools, limit: float) -> Task:
        """Return what is asked of one row."""
        point = self.points[i]
        still = ~allowed.free

        def box(reach: float) -> tuple[Floats, Floats]:
            far = np.nextafter(reach * allowed.scale, np.inf)
            low = np.maximum(np.nextafter(point - far, -np.inf), allowed.lower)
            high = np.minimum(np.nextafter(point + far, np.inf), allowed.upper)
            seen = self.seen(np.where(still | (reach == 0.0), point, [low, high]))
            low, high = seen if self.network.grid is None else self.network.grid.quantise(seen)
            return low, high

        def leaf(z: Floats, x: Floats, seconds: float, report: Callable[[int], None]) -> Verdict:
            if self.network.predict_index(x[None, :])[0] != code:
                return Verdict(0.0, z, allowed.distance(point, np.where(still, point, z)), True)
            if self.bits or still.all():
                return Verdict(math.inf, None, math.inf, True)
            return Question(self.network, allowed, integers, limit, seconds).answer(z, code, report)

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
