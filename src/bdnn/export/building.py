"""Models made into integer programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.export.inputs import (
    HIGHEST,
    LOWEST,
    Interface,
    coded_input,
    date_input,
    numeric_input,
    part_code,
    scales_of,
)
from bdnn.export.parts import Part, Parts
from bdnn.export.program import INTEGER_TYPES, DeviceInput, IntegerLayer, IntegerProgram, Member, Signal
from bdnn.export.pruning import pruned, without_constants, without_neurons
from bdnn.export.steps import Rising, rises
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.network.grid import InputGrid

if TYPE_CHECKING:
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.types import Floats

_UNSEEN_ROWS, _UNSEEN_COLUMNS = 200, 20  # with a level that is new, for each of so many columns
_EXACT = 2**53  # up to it, sums of doubles, in which ensembles are decided, are sums of integers


def integer_program(
    model: Model | EnsembleModel, interface: Interface | None = None, data: RawTable | None = None, input_bits: int = 8
) -> IntegerProgram:
    """Return a model as an integer program.

    Parameters
    ----------
    model : Model or EnsembleModel
        What predicts.
    interface : Interface or None
        What is declared of the columns.
    data : RawTable or None
        Rows that say of which size integers are; continuous weights are made integers that decide them alike.
    input_bits : int
        Bits of the grids of networks that are made integers.

    Returns
    -------
    IntegerProgram

    Raises
    ------
    InputError
        If the model cannot be expressed by integers; the message says why, and what helps.
    """
    interface = interface or Interface()
    encoder = model.encoder_in_use
    interface.check_names(encoder.columns)
    table = None if data is None else encoder.matched(data)
    inputs = None if table is None else _with_unseen(encoder, table)
    parts = Parts.of(model, inputs, input_bits)
    columns = _Columns(encoder, interface, table, parts.parts)
    members = columns.members()
    program = IntegerProgram(columns.inputs, members, tuple(parts.classes.tolist()), parts.voting)
    _check_sizes(program)
    return program


def _with_unseen(encoder: Encoder, table: RawTable) -> Floats:
    """Return the inputs of a table, and of some of its rows with levels that the training did not have.

    These decide nothing in the table, so that integers that decide it alike may do anything there.
    """
    found = [encoder.transform(table)]
    some = table.take(np.linspace(0, len(table) - 1, min(len(table), _UNSEEN_ROWS)).astype(np.intp))
    categorical = [j for j, code in enumerate(encoder.columns) if code.kind == "categorical" and code.n_inputs]
    for j in categorical[:_UNSEEN_COLUMNS]:
        columns = list(some.columns)
        level = max((*encoder.columns[j].levels, *encoder.columns[j].rare, *columns[j].levels), key=len) + "+"
        columns[j] = RawColumn(columns[j].name, "categorical", np.zeros(len(some), dtype=np.int32), (level,))
        found.append(encoder.transform(RawTable(tuple(columns))))
    return np.vstack(found)


def _check_sizes(program: IntegerProgram) -> None:
    low, high = INTEGER_TYPES["int64"]
    ends = [end for member in program.bounds for layer in member for pair in layer for end in pair]
    if ends and not (low <= min(ends) and max(ends) <= high):
        raise InputError(
            "the pre-activations of the network do not fit into 64 bits; declare smaller ranges of the columns with "
            "--range, or train on smaller weights"
        )
    if program.voting is not None and max(max(-low, high) for low, high in program.sum_bounds) > _EXACT:
        raise InputError("the sums of the ensemble exceed 2^53, beyond which `predict` rounds them; declare smaller "
                         "ranges of the columns with --range")  # fmt: skip


class _Columns:
    """The columns, and parts of dates, that some networks use, as device inputs, and signals of them."""

    def __init__(self, encoder: Encoder, interface: Interface, table: RawTable | None, parts: Sequence[Part]) -> None:
        self.encoder, self.parts = encoder, parts
        self.slices = list(encoder.input_slices())
        used = np.zeros(encoder.n_inputs, dtype=bool)
        raw = np.zeros(encoder.n_inputs, dtype=bool)
        self.layers = []
        for part in parts:
            layers = part.least_layers()
            mine = part.features[np.any(layers[0].weights != 0, axis=0)]
            used[mine] = True
            raw[mine] |= part.network.grid is None
            self.layers.append(layers)
        # a column, and which part of it if it is a date; that a date is missing is seen in the first part that is used
        self.sources: list[tuple[int, int]] = []
        for j, (code, place) in enumerate(zip(encoder.columns, self.slices, strict=True)):
            seen: list[int] = np.flatnonzero(used[place]).tolist()
            numbers = [nth for nth in seen if nth < code.n_values] if code.kind == "date" else []
            self.sources += [(j, nth) for nth in numbers or [0][: len(seen)]]
        columns = sorted({j for j, _ in self.sources})
        taken = {j: bool(raw[self.slices[j]].any()) and not encoder.columns[j].thresholds for j in columns}
        known = None if table is None else {column.name: column for column in table.columns}
        self.scales = scales_of([encoder.columns[j] for j in columns], [taken[j] for j in columns], interface, known)
        self.inputs = tuple(
            self._input(j, nth, interface, taken[j], None if known is None else known[encoder.columns[j].name])
            for j, nth in self.sources
        )

    def _input(
        self, j: int, nth: int, interface: Interface, as_integers: bool, column: RawColumn | None
    ) -> DeviceInput:
        code = self.encoder.columns[j]
        if code.kind == "date":
            return date_input(code, nth, interface, column)
        if code.kind != "numeric":
            return coded_input(code, interface, column)
        scale = self.scales[code.name]
        known = code.name in interface.ranges or (column is not None and not column.missing.all())
        if as_integers or known:
            return numeric_input(code, scale, interface, None, column)
        functions = [function for part in self.parts for function in self._functions(part, j)]
        cuts = sorted({cut for function in functions for cut in rises(function, LOWEST, HIGHEST, scale)[0]})
        return numeric_input(code, scale, interface, cuts, column)

    def _functions(self, part: Part, j: int) -> list[Rising]:
        """Return the inputs of a network that come from a numeric column, but for its missing bit."""
        place, code = self.slices[j], self.encoder.columns[j]
        return [
            _rising(part.network.grid, position, code.thresholds[i - place.start] if code.thresholds else None)
            for position, i in enumerate(part.features.tolist())
            if place.start <= i < place.start + code.n_values
        ]

    def members(self) -> tuple[Member, ...]:
        """Return the networks on signals of the device inputs, and leave only device inputs that matter."""
        members, where = [], self._numbers()
        for part, layers in zip(self.parts, self.layers, strict=True):
            signals = [
                self._signal(part, position, i, where[i]) if i in where else _constant(0, 0)
                for position, i in enumerate(part.features.tolist())
            ]
            members.append(Member(tuple(signals), tuple(layers), part.codes))
        members = [_simplified(member, self.inputs) for member in members]
        kept = sorted({signal.input for member in members for signal in member.signals})
        place = {old: new for new, old in enumerate(kept)}
        self.inputs = tuple(self.inputs[old] for old in kept)
        return tuple(
            replace(member, signals=tuple(replace(s, input=place[s.input]) for s in member.signals))
            for member in members
        )

    def _numbers(self) -> dict[int, int]:
        """Return which device input gives an input of the encoder, for those that networks use."""
        found: dict[int, int] = {}
        for number, (j, nth) in enumerate(self.sources):
            place, code = self.slices[j], self.encoder.columns[j]
            if code.kind == "date":
                found[place.start + nth] = number
                if code.missing_bit:
                    found.setdefault(place.start + code.n_values, number)
            else:
                found |= dict.fromkeys(range(place.start, place.stop), number)
        return found

    def _signal(self, part: Part, position: int, i: int, number: int) -> Signal:
        """Return the signal of input i of the encoder, which is at a position among those of a network."""
        j = self.sources[number][0]
        code, source, nth, grid = (
            self.encoder.columns[j],
            self.inputs[number],
            i - self.slices[j].start,
            part.network.grid,
        )
        bit = _on_grid(grid, position, np.array([0.0, 1.0]))
        if nth == code.n_values:  # the missing bit
            if source.missing is None:
                return _constant(number, bit[0])
            return Signal(number, "equal", (source.missing,), bit)
        if code.kind == "date":
            code, nth = part_code(code, nth), 0
        if code.kind != "numeric":
            return Signal(number, "equal", _codes_of_bit(code, source, nth), bit)
        fill = 0.0 if code.fill is None else float(code.fill)
        if grid is None and not code.thresholds:
            if source.missing is None:
                return Signal(number, "value")
            if not fill.is_integer():
                raise InputError(f"column {code.name!r} replaces missing values by {fill:g}, which is no integer")
            return Signal(number, "value", missing=int(fill))
        function = _rising(grid, position, code.thresholds[nth] if code.thresholds else None)
        cuts, values = rises(function, source.low, source.high, source.scale)
        missing = None if source.missing is None else int(function(np.array([fill]))[0])
        if missing is not None and source.missing is not None:
            # where missing values are below or above all others, the steps may say it already
            if missing == values[0 if source.missing < source.low else -1]:
                missing = None
        return Signal(number, "steps", cuts, values, missing)


def _constant(number: int, value: int) -> Signal:
    return Signal(number, "steps", (), (value,))


def _codes_of_bit(code: ColumnCode, source: DeviceInput, nth: int) -> tuple[int, ...]:
    """Return the device integers at which a bit of a boolean or categorical column is on."""
    if code.kind == "boolean":
        on, filled = 1, code.fill == 1
    else:
        on = nth + len(code.groups) - code.n_values
        filled = int(code.group_of(())[-1]) == on
    return (on, source.missing) if filled and source.missing is not None else (on,)


def _rising(grid: InputGrid | None, position: int, threshold: float | None) -> Rising:
    """Return the input of a network at a position as a function of the value of a numeric column."""
    one = None if grid is None else _grid_of(grid, position)

    def function(values: Floats) -> Floats:
        bits = values if threshold is None else (values >= threshold).astype(np.float64)
        return bits if one is None else one.quantize(bits[:, None])[:, 0]

    return function


def _grid_of(grid: InputGrid, position: int) -> InputGrid:
    """Return the grid of one of the inputs."""
    here = slice(position, position + 1)
    return InputGrid(grid.offset[here], grid.step[here], grid.bits)


def _on_grid(grid: InputGrid | None, position: int, values: Floats) -> tuple[int, ...]:
    found = values if grid is None else _grid_of(grid, position).quantize(values[:, None])[:, 0]
    return tuple(int(v) for v in found)


def _simplified(member: Member, inputs: Sequence[DeviceInput]) -> Member:
    """Return a member without signals and neurons that are constant, or that nothing depends on."""
    signals, layers = list(member.signals), list(member.layers)
    ends = [s.ends(None if s.is_constant else inputs[s.input]) for s in signals]
    for k, layer in enumerate(layers):
        fixed = [low if low == high else None for low, high in ends]
        layers[k] = without_constants(layer, fixed)
        if k == 0:
            signals = [signal for signal, value in zip(signals, fixed, strict=True) if value is None]
        else:
            layers[k - 1] = without_neurons(layers[k - 1], [value is None for value in fixed])
        ends = [e for e, value in zip(ends, fixed, strict=True) if value is None]
        sums = layers[k].sums(ends)
        ends = [(int(low >= 0), int(high >= 0)) for low, high in sums]
    layers = pruned(layers)
    # what comes before a layer without inputs does not matter
    layers = layers[max(k for k, layer in enumerate(layers) if k == 0 or not layer.weights.shape[1]) :]
    seen = np.any(layers[0].weights != 0, axis=0)
    layers[0] = IntegerLayer(layers[0].weights[:, seen], layers[0].bias)
    signals = [signal for signal, kept in zip(signals, seen.tolist(), strict=True) if kept] if len(seen) else []
    return replace(member, signals=tuple(signals), layers=tuple(layers))
