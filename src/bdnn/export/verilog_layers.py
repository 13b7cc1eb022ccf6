"""Signals, layers and votes as wires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bdnn.export.rulers import ruler_of
from bdnn.export.verilog_text import Circuit, Wire, constant, levels, unsigned_width, width

if TYPE_CHECKING:
    from bdnn.export.program import IntegerProgram, Member, Signal


_MOST_CUTS = 255  # those of grids of 8 bits: more comparisons cost more than a division by a constant
_LINE = 36  # bits of a line of steps: its terms are below 2^31, and inputs and their differences below 2^33


class _Input(NamedTuple):
    """An input of a layer: one bit that stands for two values, or a number."""

    wire: Wire
    values: tuple[int, int] | None
    """Of the bit, if it is one."""


class Network:
    """A program as a circuit.

    Parameters
    ----------
    program : IntegerProgram
        What it computes.
    inputs : sequence of (str, int)
        Signed wires of the device inputs, and their bits.
    """

    def __init__(self, program: IntegerProgram, inputs: Sequence[tuple[str, int]]) -> None:
        self.program, self.inputs = program, inputs
        self.circuit = Circuit()
        self.known: dict[Signal, _Input] = {}

    def answer(self) -> Wire:
        """Declare all wires and return that of the index of the class."""
        program, circuit = self.program, self.circuit
        bits = unsigned_width(len(program.classes) - 1)
        if program.voting is None:
            return self._winner(program.members[0], self._outputs(0), bits)
        # a class that is none has an index of its own
        vote_bits, none = unsigned_width(len(program.classes)), len(program.classes)
        shares: list[list[tuple[str, int]]] = [[] for _ in program.classes]
        votes: list[list[tuple[Wire, int]]] = [[] for _ in program.classes]
        for number, member in enumerate(program.members):
            outputs = self._outputs(number)
            for code, share in zip(member.codes, self._shares(outputs), strict=True):
                if code >= 0:
                    shares[code].append(share)
            if program.voting == "majority":
                winner = self._winner(member, outputs, vote_bits, none)
                for code in {code for code in member.codes if code >= 0}:
                    circuit.n_comparisons += 1
                    text = f"{winner.name} == {vote_bits}'d{code}"
                    votes[code].append((circuit.bit(text, winner.depth + 1), 1))
        total_bits = width(min(low for low, _ in program.sum_bounds), max(high for _, high in program.sum_bounds))
        sums = [circuit.total(terms, total_bits) for terms in shares]
        if program.voting == "sum":
            keys: list[tuple[Wire, ...]] = [(total,) for total in sums]
            return circuit.first_largest([(key, c) for c, key in enumerate(keys)], [total_bits], bits)
        count_bits = width(0, len(program.members))
        counts = [
            circuit.total(
                [(f"({w.name} ? {constant(v, count_bits)} : {constant(0, count_bits)})", w.depth) for w, v in bits_of],
                count_bits,
            )
            for bits_of in votes
        ]
        entries = [((count, total), c) for c, (count, total) in enumerate(zip(counts, sums, strict=True))]
        return circuit.first_largest(entries, [count_bits, total_bits], bits)

    def signal(self, signal: Signal) -> _Input:
        """Declare a signal, once."""
        if signal not in self.known:
            self.known[signal] = self._signal(signal)
        return self.known[signal]

    def _signal(self, signal: Signal) -> _Input:
        circuit, source = self.circuit, self.program.inputs[signal.input]
        name, x_bits = self.inputs[signal.input]
        x = Wire(name)
        is_missing = None
        if signal.missing is not None and source.missing is not None:
            circuit.n_comparisons += 1
            is_missing = f"{name} == {constant(source.missing, x_bits + 1)}"
        pair = signal.values if len(signal.values) == 2 else None
        if pair is not None and (is_missing is None or signal.missing in pair):
            test = self._test(signal, x, x_bits + 1)
            if is_missing is not None:
                test = f"{is_missing} ? 1'b{int(signal.missing == pair[1])} : ({test})"
            return _Input(circuit.bit(test, 1), (pair[0], pair[1]))
        low, high = signal.ends(source)
        bits = max(width(low, high), x_bits if signal.kind == "value" else 0)
        if signal.kind == "value":
            text, depth = name, int(is_missing is not None)
        elif signal.kind == "equal":
            test = self._test(signal, x, x_bits + 1)
            text, depth = f"(({test}) ? {constant(signal.values[1], bits)} : {constant(signal.values[0], bits)})", 1
        else:
            text, depth = self._steps(x, signal, bits, x_bits + 1)
        if is_missing is not None and signal.missing is not None:
            text = f"{is_missing} ? {constant(signal.missing, bits)} : {text}"
        return _Input(circuit.signed(text, bits, depth), None)

    def _steps(self, x: Wire, signal: Signal, bits: int, x_bits: int) -> tuple[str, int]:
        """Return the expression of steps, and its depth: a search tree, or a line where there are very many."""
        cuts, first = signal.cuts, signal.values[0]
        is_count = signal.values == tuple(range(first, first + len(signal.values)))
        ruler = ruler_of(cuts) if len(cuts) > _MOST_CUTS and is_count else None
        if ruler is None:
            return self.circuit.tree(x, cuts, signal.values, bits, x_bits), max(levels(len(signal.values)), 1)
        moved = f"({x.name} - {constant(ruler.first, _LINE)})"
        shifted = f"(({moved} <<< {ruler.bits}) + {constant(ruler.offset, _LINE)})"
        line = f"({shifted} / {constant(ruler.step, _LINE)} + {constant(first + 1, _LINE)})"
        self.circuit.n_additions += 3
        self.circuit.n_comparisons += 2
        self.circuit.n_products += ruler.step & (ruler.step - 1) != 0
        text = (
            f"({x.name} < {constant(ruler.first, x_bits)} ? {constant(first, bits)} : {x.name} >= "
            f"{constant(ruler.last, x_bits)} ? {constant(first + len(cuts), bits)} : {line})"
        )
        return text, 4  # subtraction, addition, division, addition

    def _test(self, signal: Signal, x: Wire, bits: int) -> str:
        sign = "==" if signal.kind == "equal" else ">="
        self.circuit.n_comparisons += len(signal.cuts)
        return " || ".join(f"{x.name} {sign} {constant(cut, bits)}" for cut in signal.cuts)

    def _outputs(self, number: int) -> list[tuple[Wire, int]]:
        """Declare a member up to its outputs, and return them with their bits."""
        member, bounds = self.program.members[number], self.program.bounds[number]
        given = [self.signal(signal) for signal in member.signals]
        outputs: list[tuple[Wire, int]] = []
        for layer, ends in zip(member.layers, bounds, strict=True):
            outputs = [
                self._sum(row, bias, given, pair)
                for row, bias, pair in zip(layer.weights.tolist(), layer.bias, ends, strict=True)
            ]
            if layer is not member.layers[-1]:
                given = [
                    _Input(self.circuit.bit(f"~{wire.name}[{bits - 1}]", wire.depth), (0, 1)) for wire, bits in outputs
                ]
        return outputs

    def _sum(self, row: Sequence[int], bias: int, given: Sequence[_Input], ends: tuple[int, int]) -> tuple[Wire, int]:
        used = [(w, each) for w, each in zip(row, given, strict=True) if w]
        constants = [w * v for w, each in used for v in each.values or (w,)]
        bits = width(min(ends[0], bias, *constants, 0), max(ends[1], bias, *constants, 0))
        terms = [(self._term(w, each, bits), each.wire.depth) for w, each in used]
        if bias or not terms:
            terms.append((constant(bias, bits), 0))
        return self.circuit.total(terms, bits), bits

    def _term(self, w: int, each: _Input, bits: int) -> str:
        name = each.wire.name
        if each.values is not None:
            off, on = (constant(w * v, bits) for v in each.values)
            return f"({name} ? {on} : {off})"
        if abs(w) == 1:
            return name if w > 0 else f"(-{name})"
        self.circuit.n_products += abs(w) & (abs(w) - 1) != 0
        return f"({constant(w, bits)} * {name})"

    def _winner(self, member: Member, outputs: Sequence[tuple[Wire, int]], bits: int, none: int = 0) -> Wire:
        """Declare the index of the class that a member decides for; `none` stands for no class."""
        codes = [none if code < 0 else code for code in member.codes]
        if len(outputs) == 1:
            wire, wide = outputs[0]
            name = self.circuit.name()
            self.circuit.lines.append(
                f"wire [{bits - 1}:0] {name} = {wire.name}[{wide - 1}] ? {bits}'d{codes[0]} : {bits}'d{codes[1]};"
            )
            return Wire(name, wire.depth)
        most = max(wide for _, wide in outputs)
        entries = [((wire,), code) for (wire, _), code in zip(outputs, codes, strict=True)]
        return self.circuit.first_largest(entries, [most], bits)

    def _shares(self, outputs: Sequence[tuple[Wire, int]]) -> list[tuple[str, int]]:
        """Return what each class of a member gets, and its depth."""
        if len(outputs) > 1:
            return [(wire.name, wire.depth) for wire, _ in outputs]
        wire, bits = outputs[0]
        twice = self.circuit.signed(f"{{{wire.name}, 1'b1}}", bits + 1, wire.depth)
        return [(f"(-{twice.name})", twice.depth), (twice.name, twice.depth)]
