"""Layers in C, in the layout that costs least: unrolled, packed weights in a loop, or bit masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.export.c_text import Expressions, counter_type, literal, unsigned_literal
from bdnn.export.program import IntegerLayer, Signal, smallest_type

if TYPE_CHECKING:
    from bdnn.export.program import Member

Layout = Literal["unrolled", "packed", "masks"]
Optimize = Literal["size", "speed"]

LAYOUTS: tuple[Layout, ...] = ("unrolled", "packed", "masks")

# Bytes and cycles on a machine of 8 bits with 16-bit sums, counted in avr-gcc's output for loads of an input, additions
# of two bytes, comparisons with a constant and loops; they only rank the layouts.
_TERM, _BIT, _NEURON = 8, 10, 14
_LOOP, _MASK_LOOP, _FILL = 90, 130, 12
_TERM_CYCLES, _PACKED_CYCLES, _WORD_CYCLES = 8, 24, 60


def layouts_of(layer: IntegerLayer, signals: Sequence[Signal] | None, wide: bool) -> list[Layout]:
    """Return the layouts that a layer can have; no signals if its inputs are neurons."""
    if wide or not layer.weights.size:
        return ["unrolled"]
    bits = signals is None or all(signal.is_bit for signal in signals)
    return ["unrolled", *(["packed"] if signals is not None else []), *(["masks"] if bits else [])]  # type: ignore[list-item]


def cost(layout: Layout, layer: IntegerLayer, signals: Sequence[Signal] | None, optimize: Optimize) -> float:
    """Return about how many bytes or cycles a layout takes."""
    d, n = layer.weights.shape
    d, n = int(d), int(n)
    used = int(np.count_nonzero(layer.weights))
    planes = _n_planes(layer)
    words = -(-n // 8)
    fill = 0 if signals is None else sum(0 if s.kind == "value" else _FILL for s in signals)
    if optimize == "speed":
        return {
            "unrolled": fill + used * _TERM_CYCLES,
            "packed": fill + d * n * _PACKED_CYCLES,
            "masks": fill + d * words * planes * 2 * _WORD_CYCLES,
        }[layout]
    term = _TERM if signals is not None and not all(s.is_bit for s in signals) else _BIT
    if layout == "unrolled":
        return used * term + d * _NEURON + (fill if d > 1 else 0)
    if layout == "packed":
        same = signals is not None and all(s.kind == "value" and s.missing is None for s in signals)
        return _LOOP + d * (-(-n * _width(layer) // 8) + 2) + (0 if same else fill + 8 * n)
    return _MASK_LOOP + d * (words * planes * 2 + 2) + fill


def _width(layer: IntegerLayer) -> int:
    """Return the bits of a packed weight: 2 for ternary ones, 4 up to 7, else those of a type."""
    most = int(np.abs(layer.weights).max(initial=0))
    return 2 if most <= 1 else 4 if most <= 7 else int(smallest_type(-most, most)[3:])


def _n_planes(layer: IntegerLayer) -> int:
    return max(int(np.abs(layer.weights).max(initial=0)).bit_length(), 1)


@dataclass
class MemberCode:
    """The statements of one network.

    Attributes
    ----------
    member : Member
        What is written.
    types : sequence of str
        Of the pre-activations of each layer.
    expressions : Expressions
        Of signals.
    optimize : {"size", "speed"}
        What is to be little.
    layout : str or None
        The layout of all layers that can have it; None for the one that costs least.
    """

    member: Member
    types: Sequence[str]
    expressions: Expressions
    optimize: Optimize
    layout: Layout | None = None
    declared: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    chosen: list[Layout] = field(default_factory=list)

    @property
    def word(self) -> int:
        """Bits of the words that neurons are packed into."""
        return 32 if self.optimize == "speed" else 8

    def declare(self, text: str) -> None:
        """Declare a variable, once."""
        if text not in self.declared:
            self.declared.append(text)

    def say(self, *lines: str) -> None:
        """Add statements."""
        self.lines.extend(lines)

    def write(self, answer: Callable[[str, int | str], list[str]]) -> None:
        """Write all layers; `answer` returns what is done with output a of a number or a counter."""
        layers = self.member.layers
        for k, layer in enumerate(layers):
            signals = self.member.signals if k == 0 else None
            self.say(f"/* layer {k + 1}: {len(layer.bias)} neuron{'s' * (len(layer.bias) != 1)} */")
            sink = answer if k == len(layers) - 1 else self._hidden(k, len(layer.bias))
            can = layouts_of(layer, signals, self.types[k] == "int64")
            best = min(can, key=lambda each: cost(each, layer, signals, self.optimize))
            chosen = self.layout if self.layout in can else best
            assert chosen is not None
            self.chosen.append(chosen)
            self.declare(f"{self.types[k]}_t a{k};")
            {"unrolled": self._unrolled, "packed": self._packed, "masks": self._masks}[chosen](k, layer, signals, sink)

    def _hidden(self, k: int, d: int) -> Callable[[str, int | str], list[str]]:
        """Return what is done with hidden neurons: their bits are put into words."""
        bits, word = self.word, f"uint{self.word}_t"
        self.declare(f"{word} h{k}[{max(-(-d // bits), 1)}], w{k} = 0u;")

        def sink(a: str, j: int | str) -> list[str]:
            if isinstance(j, int):
                mask = unsigned_literal(1 << (j % bits))
                lines = [f"if ({a} >= 0) {{", f"    w{k} = ({word})(w{k} | {mask});", "}"]
                if j % bits == bits - 1 or j == d - 1:
                    lines += [f"h{k}[{j // bits}] = w{k};", *([f"w{k} = 0u;"] * (j < d - 1))]
                return lines
            last = f"({j} & {bits - 1}u) == {bits - 1}u || {j} == {d - 1}u"
            return [
                f"if ({a} >= 0) {{",
                f"    w{k} = ({word})(w{k} | ({word})(({word})1u << ({j} & {bits - 1}u)));",
                "}",
                f"if ({last}) {{",
                f"    h{k}[{j} / {bits}u] = w{k};",
                f"    w{k} = 0u;",
                "}",
            ]

        return sink

    def _unrolled(
        self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Callable[[str, int | str], list[str]]
    ) -> None:
        """Write one statement for each weight."""
        kind, a = f"{self.types[k]}_t", f"a{k}"
        often = np.count_nonzero(layer.weights, axis=0)
        terms: list[str] = []
        conditions: list[str | None] = []
        for i in range(layer.weights.shape[1]):
            if signals is None:
                mask = unsigned_literal(1 << (i % self.word))
                terms.append("")
                conditions.append(f"(h{k - 1}[{i // self.word}] & {mask}) != 0u")
                continue
            signal, text = signals[i], self.expressions
            bit = signal.is_bit and text.is_condition(signal)
            if often[i] > 1 and not text.is_short(signal):
                low, high = signal.ends(text.inputs[signal.input])
                own = "uint8_t" if bit else f"{smallest_type(low, high)}_t"
                self.declare(f"{own} s{i};")
                self.say(f"s{i} = ({own}){text.of(signal)};")
                terms.append(f"s{i}")
                conditions.append(f"s{i} != 0u" if bit else None)
            else:
                terms.append(text.of(signal))
                conditions.append(text.condition(signal) if bit else None)
        for j, (row, bias) in enumerate(zip(layer.weights.tolist(), layer.bias, strict=True)):
            self.say(f"{a} = {literal(bias)};")
            for w, term, condition in zip(row, terms, conditions, strict=True):
                if not w:
                    continue
                sign, size = ("-" if w < 0 else "+"), abs(w)
                if condition is not None:
                    self.say(f"if ({condition}) {{", f"    {a} = ({kind})({a} {sign} {literal(size)});", "}")
                elif size <= 2:  # no multiplication
                    self.say(f"{a} = ({kind})({a} {sign} ({kind}){term});", *(
                        [f"{a} = ({kind})({a} {sign} ({kind}){term});"] * (size == 2)))  # fmt: skip
                else:
                    self.say(f"{a} = ({kind})({a} + ({kind})({literal(w)} * ({kind}){term}));")
            self.say(*sink(a, j))

    def _packed(
        self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Callable[[str, int | str], list[str]]
    ) -> None:
        """Write two loops over a table of weights."""
        assert signals is not None
        text, tables, (d, n) = self.expressions, self.expressions.tables, layer.weights.shape
        kind, a, i, j = f"{self.types[k]}_t", f"a{k}", "i", "j"
        in_place = [s.input for s in signals] == list(range(n)) and all(text.is_short(s) for s in signals)
        s = "x" if in_place else "s"
        if not in_place:
            ends = [end for signal in signals for end in signal.ends(text.inputs[signal.input])]
            own = f"{smallest_type(min(ends), max(ends), ('uint8', 'int8', 'int16', 'int32', 'int64'))}_t"
            self.declare(f"{own} s[{n}];")
            self.say(*(f"s[{place}] = ({own}){text.of(signal)};" for place, signal in enumerate(signals)))
        width = _width(layer)
        bias = tables.add("bias", layer.bias, self.types[k])
        self.declare(f"{counter_type(d)} {j};")
        self.declare(f"{counter_type(n)} {i};")
        self.say(f"for ({j} = 0u; {j} < {d}u; {j}++) {{", f"    {a} = {tables.read(bias, j, self.types[k])};")
        if width >= 8:
            weights = tables.add("weights", layer.weights.ravel().tolist(), f"int{width}")
            self._pointer(f"const int{width}_t *p{k} = {weights};")
            entry = f"(int{width}_t){tables.name.upper()}_READ{width}(p{k})"
            self.say(f"    for ({i} = 0u; {i} < {n}u; {i}++) {{",
                     f"        {a} = ({kind})({a} + ({kind})(({kind}){entry} * ({kind}){s}[{i}]));",
                     f"        p{k}++;", "    }")  # fmt: skip
        else:
            weights = tables.add("weights", _packed_bytes(layer.weights, width), "uint8")
            self._pointer(f"const uint8_t *p{k} = {weights};")
            self.declare("uint8_t c = 0u;")
            each = 8 // width
            self.say(f"    for ({i} = 0u; {i} < {n}u; {i}++) {{",
                     f"        if (({i} & {each - 1}u) == 0u) {{",
                     f"            c = (uint8_t){tables.name.upper()}_READ8(p{k});", f"            p{k}++;",
                     "        }", "        if (c != 0u) {",
                     *(f"            {line}" for line in _decoded(width, a, kind, f"({kind}){s}[{i}]")), "        }",
                     f"        c = (uint8_t)(c >> {width});", "    }")  # fmt: skip
        self.say(*(f"    {line}" for line in sink(a, j)), "}")

    def _pointer(self, text: str) -> None:
        self.declare(text)

    def _masks(
        self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Callable[[str, int | str], list[str]]
    ) -> None:
        """Write loops over words of bits: those that count up, and those that count down, for each bit of weights."""
        text, tables, (d, n) = self.expressions, self.expressions.tables, layer.weights.shape
        bits, kind, a = self.word, f"{self.types[k]}_t", f"a{k}"
        h, words, planes = f"h{k - 1}", -(-n // bits), _n_planes(layer)
        if signals is not None:
            h = "g"
            self.declare(f"uint{bits}_t g[{words}], b = 0u;")
            for place, signal in enumerate(signals):
                mask = unsigned_literal(1 << (place % bits))
                self.say(f"if ({text.condition(signal)}) {{", f"    b = (uint{bits}_t)(b | {mask});", "}")
                if place % bits == bits - 1 or place == n - 1:
                    self.say(f"g[{place // bits}] = b;", *(["b = 0u;"] * (place < n - 1)))
        text.helpers.add(f"ones{bits}")
        bias = tables.add("bias", layer.bias, self.types[k])
        masks = tables.add("masks", _mask_words(layer.weights, planes, bits), f"uint{bits}")
        self._pointer(f"const uint{bits}_t *m{k} = {masks};")
        read, ones = f"(uint{bits}_t){tables.name.upper()}_READ{bits}(m{k}", f"{tables.name}_ones"
        self.declare(f"{counter_type(d)} j;")
        self.declare(f"{counter_type(words)} i{k};")
        count = [
            f"for (i{k} = 0u; i{k} < {words}u; i{k}++) {{",
            f"    v{k} = ({kind})(v{k} + ({kind}){ones}((uint{bits}_t)({h}[i{k}] & {read}))));",
            f"    v{k} = ({kind})(v{k} - ({kind}){ones}((uint{bits}_t)({h}[i{k}] & {read} + 1))));",
            f"    m{k} += 2;",
            "}",
        ]
        self.declare(f"{kind} v{k};")
        self.say(f"for (j = 0u; j < {d}u; j++) {{", f"    v{k} = 0;")
        if planes == 1:
            self.say(*(f"    {line}" for line in count))
        else:
            self.declare(f"uint8_t q{k};")
            self.say(f"    for (q{k} = 0u; q{k} < {planes}u; q{k}++) {{", f"        v{k} = ({kind})(v{k} + v{k});",
                     *(f"        {line}" for line in count), "    }")  # fmt: skip
        self.say(f"    {a} = ({kind})(v{k} + {tables.read(bias, 'j', self.types[k])});",
                 *(f"    {line}" for line in sink(a, "j")), "}")  # fmt: skip


def _packed_bytes(weights: np.ndarray[tuple[int, ...], np.dtype[np.int64]], width: int) -> list[int]:
    """Return weights packed, sign in the highest bit of each, low bits first, every row from a new byte on."""
    codes = np.abs(weights) | np.where(weights < 0, 1 << (width - 1), 0)
    each = 8 // width
    padded = np.pad(codes, ((0, 0), (0, -weights.shape[1] % each)))
    shifts = np.arange(each) * width
    return [int(v) for v in (padded.reshape(len(weights), -1, each) << shifts).sum(axis=2).ravel()]


def _decoded(width: int, a: str, kind: str, term: str) -> list[str]:
    """Return the statements that add a term times the weight in the lowest bits of c, without a multiplication."""
    sign = 1 << (width - 1)
    if width == 2:
        return [
            "if ((c & 1u) != 0u) {",
            f"    {a} = ({kind})((c & {sign}u) != 0u ? {a} - {term} : {a} + {term});",
            "}",
        ]
    lines = [
        f"const {kind} t = ({kind})((c & {sign}u) != 0u ? -{term} : {term});",
        f"{kind} v = 0;",
    ]
    for plane in range(width - 2, -1, -1):  # from the highest bit on, so that no number exceeds that of the weight
        lines += [f"v = ({kind})(v + v);"] * (plane < width - 2)
        lines += [f"if ((c & {1 << plane}u) != 0u) {{", f"    v = ({kind})(v + t);", "}"]
    return [*lines, f"{a} = ({kind})({a} + v);"]


def _mask_words(weights: np.ndarray[tuple[int, ...], np.dtype[np.int64]], planes: int, bits: int) -> list[int]:
    """Return masks of each neuron: by bit of the weights from the highest on, by word, those that add and subtract."""
    words: list[int] = []
    for row in weights.tolist():
        for plane in range(planes - 1, -1, -1):
            for start in range(0, len(row), bits):
                part = row[start : start + bits]
                for sign in (1, -1):
                    words.append(sum(1 << i for i, w in enumerate(part) if w * sign > 0 and abs(w) >> plane & 1))
    return words
