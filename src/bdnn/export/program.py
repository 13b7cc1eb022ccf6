"""Integer programs: a model as additions and comparisons of integers, exactly as a device is to do them.

A program takes one integer per column of the table that it needs, makes the inputs of the first layers out of them
(signals), and goes through the layers of one network or of the members of an ensemble. `IntegerProgram.run` is the
reference that every target has to equal.

Examples
--------
>>> age = DeviceInput("age", "numeric", 0, 120)
>>> adult = Signal(0, "steps", cuts=(18,), values=(0, 1))
>>> member = Member((adult,), (IntegerLayer(np.array([[1]]), (-1,)),), (0, 1))
>>> IntegerProgram((age,), (member,), ("no", "yes")).run(np.array([[17], [18]])).tolist()
[0, 1]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.encoding.raw import Kind
    from bdnn.types import Array, Indices, Integers

INTEGER_TYPES = {
    name: (-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    for name, bits, signed in (
        ("int8", 8, 1), ("uint8", 8, 0), ("int16", 16, 1), ("uint16", 16, 0), ("int32", 32, 1), ("int64", 64, 1),
    )
}  # fmt: skip
"""Ranges of the types that a device has, narrow ones first."""

INPUT_TYPES = ("int8", "uint8", "int16", "uint16", "int32")
ACCUMULATOR_TYPES = ("int8", "int16", "int32", "int64")

SignalKind = Literal["value", "steps", "equal"]
Voting = Literal["sum", "majority"]


def smallest_type(low: int, high: int, among: Sequence[str] = ACCUMULATOR_TYPES) -> str:
    """Return the narrowest type that holds all integers of a range.

    Raises
    ------
    InputError
        If none does.
    """
    for name in among:
        first, last = INTEGER_TYPES[name]
        if first <= low and high <= last:
            return name
    raise InputError(f"numbers from {low} to {high} do not fit into {among[-1]}")


@dataclass(frozen=True, slots=True)
class DeviceInput:
    """One integer that a device gives to the network: a column of the table, or a part of a date.

    Attributes
    ----------
    column : str
        Its name.
    kind : {"numeric", "boolean", "categorical", "date"}
        As in `bdnn.encoding.raw`.
    low, high : int
        Range of the integers, but for that of a missing value. Numeric: the integer k stands for the double nearest to
        k / `scale`. Boolean: 0 and 1. Categorical: codes of `levels`, then one of all rare levels if there are any,
        then one of all others. Date: the number of the part.
    scale : int
        Integers per unit of a numeric column.
    missing : int or None
        The integer of a missing value; None if values must not be missing.
    levels : tuple of str
        Levels that have a code of their own, in the order of their codes.
    rare : tuple of str
        Levels that share the code ``len(levels)``; empty if there is no such code.
    declared : bool
        Whether the range was declared; else it is that of the type.
    part : str
        Of a date, among `bdnn.encoding.codes.PARTS`; empty for other columns.
    """

    column: str
    kind: Kind
    low: int
    high: int
    scale: int = 1
    missing: int | None = None
    levels: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    declared: bool = False
    part: str = ""

    @property
    def name(self) -> str:
        """The column, and the part of a date: the name of the input that it becomes."""
        return f"{self.column} {self.part}" if self.part else self.column

    @property
    def type(self) -> str:
        """The narrowest type of `INPUT_TYPES` that holds the range and the integer of a missing value."""
        ends = [self.low, self.high] + ([] if self.missing is None else [self.missing])
        return smallest_type(min(ends), max(ends), INPUT_TYPES)

    @property
    def other(self) -> int | None:
        """Code of levels that were not seen in the training; None if it is not categorical."""
        return len(self.levels) + bool(self.rare) if self.kind == "categorical" else None

    def accepts(self, values: Array) -> Array:
        """Return which integers are in the range, or that of a missing value."""
        inside = (values >= self.low) & (values <= self.high)
        return np.asarray(inside if self.missing is None else inside | (values == self.missing))


@dataclass(frozen=True, slots=True)
class Signal:
    """An input of a first layer, as a function of one device input.

    Attributes
    ----------
    input : int
        Index of the device input.
    kind : {"value", "steps", "equal"}
        Value: the integer itself. Steps: ``values[number of cuts that are <= the integer]``. Equal: ``values[1]`` if
        the integer is among the cuts, else ``values[0]``.
    cuts : tuple of int
        Ascending.
    values : tuple of int
        One more than cuts for steps, two for equal, none for value.
    missing : int or None
        Its value where the device input is missing; None if that does not differ.
    """

    input: int
    kind: SignalKind
    cuts: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    missing: int | None = None

    @property
    def is_bit(self) -> bool:
        """Whether it is 0 or 1."""
        return self.kind != "value" and self.values == (0, 1)

    @property
    def is_constant(self) -> bool:
        """Whether it has one value only, whatever the device gives."""
        return len(self.values) == 1 and self.missing is None

    def of(self, integers: Integers, source: DeviceInput) -> Integers:
        """Return the signal of integers of its device input, of shape (m,)."""
        if self.kind == "value":
            out = integers.astype(np.int64)
        elif self.kind == "steps":
            place = np.searchsorted(np.array(self.cuts, dtype=np.int64), integers, side="right")
            out = np.array(self.values, dtype=np.int64)[place]
        else:
            out = np.array(self.values, dtype=np.int64)[np.isin(integers, self.cuts).astype(np.intp)]
        if self.missing is not None and source.missing is not None:
            out = np.where(integers == source.missing, self.missing, out)
        return out

    def ends(self, source: DeviceInput | None) -> tuple[int, int]:
        """Return the smallest and the largest value that it can have; only values as they are depend on the input."""
        values = list(self.values) if self.kind != "value" or source is None else [source.low, source.high]
        if self.missing is not None:
            values.append(self.missing)
        return min(values), max(values)


@dataclass(frozen=True, eq=False, slots=True)
class IntegerLayer:
    """A layer: weights of shape (d, d_in), int64, and d biases."""

    weights: Integers
    bias: tuple[int, ...]

    @property
    def is_ternary(self) -> bool:
        """Whether no weight is beyond -1 and 1."""
        return not self.weights.size or int(np.abs(self.weights).max()) <= 1

    def bounds(self, ends: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return for each neuron a range that holds its pre-activation, partial sums in any order, and inputs.

        Parameters
        ----------
        ends : sequence of (int, int)
            Range of each input.
        """
        found = []
        for row, bias in zip(self.weights.tolist(), self.bias, strict=True):
            used = [(w, *pair) for w, pair in zip(row, ends, strict=True) if w]
            terms = [sorted((w * low, w * high)) for w, low, high in used]
            down, up = sum(min(t[0], 0) for t in terms), sum(max(t[1], 0) for t in terms)
            inputs = [end for _, *pair in used for end in pair]
            # a sum may begin with the bias or end with it
            found.append((min(down, down + bias, bias, *inputs), max(up, up + bias, bias, *inputs)))
        return found

    def sums(self, ends: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the range of the pre-activation of each neuron, given those of the inputs."""
        found = []
        for row, bias in zip(self.weights.tolist(), self.bias, strict=True):
            terms = [sorted((w * low, w * high)) for w, (low, high) in zip(row, ends, strict=True)]
            found.append((bias + sum(t[0] for t in terms), bias + sum(t[1] for t in terms)))
        return found

    def of(self, signals: Integers) -> Integers:
        """Return pre-activations of shape (m, d)."""
        return np.asarray(signals @ self.weights.T + np.array(self.bias, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Member:
    """A network: signals, layers, and the class that each output stands for.

    Attributes
    ----------
    signals : tuple of Signal
        Inputs of the first layer.
    layers : tuple of IntegerLayer
        Neurons of all but the last one fire 1 if their pre-activation is >= 0, else 0.
    codes : tuple of int
        Of the outputs: indices of classes, or -1 for none. A single output a has two: the class that wins if a < 0, and
        the one that wins otherwise; in a sum of members the former gets -(2 a + 1) and the latter 2 a + 1. Of three or
        more outputs, the first one of the largest pre-activation wins, and each gives it to the sum. There are never
        two: their difference decides, less 1.
    """

    signals: tuple[Signal, ...]
    layers: tuple[IntegerLayer, ...]
    codes: tuple[int, ...]

    def outputs(self, columns: Integers, inputs: Sequence[DeviceInput]) -> Integers:
        """Return the pre-activations of the outputs of rows of device integers, of shape (m, n_outputs)."""
        signal = np.zeros((len(columns), len(self.signals)), dtype=np.int64)
        for place, each in enumerate(self.signals):
            signal[:, place] = each.of(columns[:, each.input], inputs[each.input])
        for layer in self.layers[:-1]:
            signal = (layer.of(signal) >= 0).astype(np.int64)
        return self.layers[-1].of(signal)

    def bounds(self, inputs: Sequence[DeviceInput]) -> list[list[tuple[int, int]]]:
        """Return `IntegerLayer.bounds` of each layer."""
        ends = [signal.ends(inputs[signal.input]) for signal in self.signals]
        found = []
        for layer in self.layers:
            found.append(layer.bounds(ends))
            ends = [(0, 1)] * len(layer.bias)
        return found

    def winner(self, outputs: Integers) -> Indices:
        """Return the place in `codes` of the class that wins."""
        if outputs.shape[1] == 1:
            return np.asarray(outputs[:, 0] >= 0, dtype=np.intp)
        return np.asarray(outputs.argmax(axis=1), dtype=np.intp)

    def shares(self, outputs: Integers) -> Integers:
        """Return what each of `codes` gets in a sum of members, of shape (m, len(codes))."""
        if outputs.shape[1] > 2:
            return outputs
        value = 2 * outputs[:, 0] + 1
        return np.stack([-value, value], axis=1)

    def share_bounds(self, last: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return ranges of `shares`, given those of the pre-activations."""
        if len(last) > 2:
            return list(last)
        low, high = last[0]
        most = 2 * max(abs(low), abs(high)) + 1
        return [(-most, most)] * 2


@dataclass(frozen=True, eq=False)
class IntegerProgram:
    """A model as integer operations; see the module.

    Attributes
    ----------
    inputs : tuple of DeviceInput
        Those that matter, in the order of the table.
    members : tuple of Member
        One for a single network.
    classes : tuple
        Labels.
    voting : {"sum", "majority"} or None
        None for a single network. Sum: the class of the largest sum of shares. Majority: the class of the most votes,
        of those the one of the largest sum. The first class of equal ones.
    """

    inputs: tuple[DeviceInput, ...]
    members: tuple[Member, ...]
    classes: tuple[object, ...]
    voting: Voting | None = None

    def run(self, rows: Array) -> Indices:
        """Return the index of the class of each row.

        Parameters
        ----------
        rows : ndarray of shape (m, n_inputs)
            Device integers.

        Returns
        -------
        ndarray of shape (m,)

        Raises
        ------
        InputError
            If the shape is another one, or an integer is out of the range of its input.
        """
        columns = np.asarray(rows)
        if columns.ndim != 2 or columns.shape[1] != len(self.inputs) or columns.dtype.kind not in "iu":
            raise InputError(f"rows must be integers of shape (m, {len(self.inputs)}), got {columns.dtype} of shape "
                             f"{columns.shape}")  # fmt: skip
        for place, each in enumerate(self.inputs):
            wrong = np.flatnonzero(~each.accepts(columns[:, place]))
            if len(wrong):
                raise InputError(
                    f"row {wrong[0] + 1}, column {each.name!r}: {columns[wrong[0], place]} is not in the range from "
                    f"{each.low} to {each.high}"
                )
        columns = columns.astype(np.int64)
        if self.voting is None:
            member = self.members[0]
            return np.array(member.codes, dtype=np.intp)[member.winner(member.outputs(columns, self.inputs))]
        votes, sums = self.tallies(columns)
        if self.voting == "majority":
            sums = np.where(votes == votes.max(axis=1, keepdims=True), sums, np.iinfo(np.int64).min)
        return np.asarray(sums.argmax(axis=1), dtype=np.intp)

    def tallies(self, columns: Integers) -> tuple[Integers, Integers]:
        """Return votes and sums of the classes, each of shape (m, n_classes)."""
        votes = np.zeros((len(columns), len(self.classes)), dtype=np.int64)
        sums, rows = votes.copy(), np.arange(len(columns))
        for member in self.members:
            outputs = member.outputs(columns, self.inputs)
            shares, codes = member.shares(outputs), np.array(member.codes)
            for place, code in enumerate(member.codes):
                if code >= 0:
                    sums[:, code] += shares[:, place]
            chosen = codes[member.winner(outputs)]
            votes[rows[chosen >= 0], chosen[chosen >= 0]] += 1
        return votes, sums

    @cached_property
    def bounds(self) -> list[list[list[tuple[int, int]]]]:
        """Proven ranges of the pre-activations: by member, layer and neuron; see `IntegerLayer.bounds`."""
        return [member.bounds(self.inputs) for member in self.members]

    @cached_property
    def sum_bounds(self) -> list[tuple[int, int]]:
        """Proven ranges of the sums of the classes, in any order of the members, and of each member's share."""
        ends = [(0, 0) for _ in self.classes]
        for member, bounds in zip(self.members, self.bounds, strict=True):
            for code, (low, high) in zip(member.codes, member.share_bounds(bounds[-1]), strict=True):
                if code >= 0:
                    ends[code] = ends[code][0] + min(low, 0), ends[code][1] + max(high, 0)
        return ends

    @property
    def n_additions(self) -> int:
        """Number of weights that are not 0."""
        return sum(int(np.count_nonzero(layer.weights)) for member in self.members for layer in member.layers)

    def thresholds_of(self, place: int) -> list[int]:
        """Return all integers of a device input at which a signal changes, ascending."""
        found: set[int] = set()
        for signal in self.signals():
            if signal.input == place:
                found.update(signal.cuts)
        return sorted(found)

    def signals(self) -> Iterable[Signal]:
        """Yield the signals of all members."""
        for member in self.members:
            yield from member.signals
