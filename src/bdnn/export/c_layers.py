"""Layers in C, in the layout that costs least: unrolled, packed weights in a loop, bit masks, or trees.

The same statements are those of one network or of several of the same shape in a loop, one after the other: their
layers lie one below the other, and what reads tables goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bdnn.export.c_costs import best_layouts, is_rule, n_planes, weight_width
from bdnn.export.c_fill import filled_values, filled_words
from bdnn.export.c_text import Expressions, counter_type, literal, unsigned_literal
from bdnn.export.c_trees import tree_lines
from bdnn.export.c_weights import decoded, mask_words, packed_bytes
from bdnn.export.program import IntegerLayer, Signal, smallest_type
from bdnn.export.pruning import without_constants

if TYPE_CHECKING:
    from bdnn.export.c_costs import AnyLayout, Layout
    from bdnn.export.program import Member
    from bdnn.export.request import Optimize
    from bdnn.types import Integers

Sink = Callable[[str, "int | str"], list[str]]
"""What is done with the pre-activation of a neuron, given its variable and its number or counter."""


_COUNTER = re.compile(r"uint(\d+)_t (\w+);")
"""Of a declaration, with bits and name."""


@dataclass
class MemberCode:
    """The statements of one network, or of several in a loop.

    Attributes
    ----------
    member : Member
        What is written; layers of several networks lie one below the other.
    types : sequence of str
        Of the pre-activations of each layer.
    expressions : Expressions
        Of signals.
    optimize : {"size", "speed"}
        What is to be little.
    layout : str or None
        The layout of all layers that can have it; None for the one that costs least.
    count : int
        Number of networks.
    declared, once, lines : list of str
        Variables so far, statements before the loop over networks, and statements in it.
    chosen : list of str
        Layouts of the layers so far.
    """

    member: Member
    types: Sequence[str]
    expressions: Expressions
    optimize: Optimize
    layout: AnyLayout | None = None
    count: int = 1
    declared: list[str] = field(default_factory=list)
    once: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    chosen: list[Layout] = field(default_factory=list)

    @property
    def word(self) -> int:
        """Bits of the words that neurons are packed into."""
        return 32 if self.optimize == "speed" else 8

    def declare(self, text: str) -> None:
        """Declare a variable, once: what counts in several loops gets the largest of its types."""
        if (counter := _COUNTER.fullmatch(text)) is not None:
            for place, other in enumerate(self.declared):
                if (known := _COUNTER.fullmatch(other)) is not None and known[2] == counter[2]:
                    if int(counter[1]) > int(known[1]):
                        self.declared[place] = text
                    return
        if text not in self.declared:
            self.declared.append(text)

    def say(self, *lines: str) -> None:
        """Add statements."""
        self.lines.extend(lines)

    def body(self) -> list[str]:
        """Return all statements of the function."""
        lines = [*self.once, *self.lines]
        unused = [] if any("x[" in line or "x," in line for line in lines) else ["(void)x;"]
        if self.count > 1:
            counter = counter_type(self.count)
            loop = f"for (member = 0u; member < {self.count}u; member++) {{"
            lines = [*self.once, loop, *(f"    {line}" for line in self.lines), "}"]
            self.declare(f"{counter} member;")
        return [*self.declared, *unused, "", *lines]

    def write(self, answer: Sink) -> None:
        """Write all layers; `answer` returns what is done with output a of a number or a counter."""
        choice = best_layouts(self.member, self.types, self.optimize, self.count, self.layout)
        assert choice is not None
        if choice.grove is not None:
            self.say(f"/* {len(choice.grove.trees)} trees */")
            self.declare(f"{self.types[1]}_t a1;")
            self.say(*tree_lines(choice.grove, choice.of_trees, self.types[1], self.expressions, self.declare, answer))
            return
        layers = self.member.layers
        for k, (layer, chosen) in enumerate(zip(layers, choice.of_layers, strict=True)):
            signals = self.member.signals if k == 0 else None
            d = len(layer.bias) // self.count
            self.say(f"/* layer {k + 1}: {d} neuron{'s' * (d != 1)} */")
            sink = answer if k == len(layers) - 1 else self._hidden(k, d)
            self.chosen.append(chosen)
            self.declare(f"{self.types[k]}_t a{k};")
            write = {
                "unrolled": self._unrolled,
                "packed": self._packed,
                "listed": self._packed,
                "masks": self._masks,
                "rules": self._rules,
            }
            write[chosen](k, layer, signals, sink)

    def _hidden(self, k: int, d: int) -> Sink:
        """Return what is done with hidden neurons: their bits are put into words."""
        bits, word = self.word, f"uint{self.word}_t"
        if d <= bits:  # one word, which is filled in place
            self.declare(f"{word} h{k}[1];")
            self.say(f"h{k}[0] = 0u;")

            def single(a: str, j: int | str) -> list[str]:
                mask = unsigned_literal(1 << j) if isinstance(j, int) else f"({word})(({word})1u << {j})"
                return [f"if ({a} >= 0) {{", f"    h{k}[0] = ({word})(h{k}[0] | {mask});", "}"]

            return single
        self.declare(f"{word} h{k}[{-(-d // bits)}], w{k} = 0u;")

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

    def _unrolled(self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Sink) -> None:
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
                else:
                    self.say(*_added(a, kind, w, term))
            self.say(*sink(a, j))

    def _packed(self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Sink) -> None:
        """Write two loops over a table of weights: those of all inputs, or of the inputs that each network lists."""
        assert signals is not None
        text, (_, n) = self.expressions, layer.weights.shape
        d, listed = len(layer.bias) // self.count, self.chosen[k] == "listed"
        short = all(text.is_short(each) for each in signals)
        in_place = short and (listed or [each.input for each in signals] == list(range(n)))
        if not in_place:
            ends = [end for signal in signals for end in signal.ends(text.inputs[signal.input])]
            own = f"{smallest_type(min(ends), max(ends), ('uint8', 'int8', 'int16', 'int32', 'int64'))}_t"
            self.once += filled_values(signals, text, own, self.declare)
        place, end, width = "i", f"{n}u", weight_width(layer)
        blocks: list[Integers] = list(layer.weights.reshape(self.count, d, n))
        if listed:
            used = [np.flatnonzero(block.any(axis=0)).tolist() for block in blocks]
            blocks = [block[:, which] for block, which in zip(blocks, used, strict=True)]
            place, end = self._list(k, [[signals[i].input if in_place else i for i in which] for which in used])
        self.declare(f"{counter_type(d)} j;")
        self.declare(f"{counter_type(n)} i;")
        value, (entry, after) = f"{'x' if in_place else 's'}[{place}]", self._bias(k, layer.bias)
        inner = self._terms(k, width, blocks, value)
        self.say(f"for (j = 0u; j < {d}u; j++) {{", f"    a{k} = {entry};", *(f"    {line}" for line in after),
                 f"    for (i = 0u; i < {end}; i++) {{", *(f"        {line}" for line in inner), "    }",
                 *(f"    {line}" for line in sink(f"a{k}", "j")), "}")  # fmt: skip
        if listed:
            self.say(f"f{k} += {end};")

    def _terms(self, k: int, width: int, blocks: Sequence[Integers], value: str) -> list[str]:
        """Return the statements that add one input times its weight, and go on to the next weight."""
        tables, kind, a = self.expressions.tables, f"{self.types[k]}_t", f"a{k}"
        upper = tables.name.upper()
        if width >= 8:
            weights = tables.add("weights", [w for block in blocks for w in block.ravel().tolist()], f"int{width}")
            self.declare(f"const int{width}_t *p{k} = {weights};")
            entry = f"(int{width}_t){upper}_READ{width}(p{k})"
            return [f"{a} = ({kind})({a} + ({kind})(({kind}){entry} * ({kind}){value}));", f"p{k}++;"]
        weights = tables.add("weights", [w for block in blocks for w in packed_bytes(block, width)], "uint8")
        self.declare(f"const uint8_t *p{k} = {weights};")
        self.declare("uint8_t c = 0u;")
        return [f"if ((i & {8 // width - 1}u) == 0u) {{", f"    c = (uint8_t){upper}_READ8(p{k});", f"    p{k}++;",
                "}", "if (c != 0u) {", *(f"    {line}" for line in decoded(width, a, kind, f"({kind}){value}")), "}",
                f"c = (uint8_t)(c >> {width});"]  # fmt: skip

    def _list(self, k: int, used: Sequence[Sequence[int]]) -> tuple[str, str]:
        """Write tables of the inputs that each network uses; return the place of input i and their number."""
        tables = self.expressions.tables
        kind, size = (counter_type(most)[:-2] for most in (max(map(max, used)), max(map(len, used))))
        places = tables.add("inputs", [place for each in used for place in each], kind)
        sizes = tables.add("sizes", [len(each) for each in used], size)
        self.declare(f"const {kind}_t *f{k} = {places};")
        self.declare(f"const {size}_t *z{k} = {sizes};")
        self.declare(f"{size}_t n{k};")
        self.say(f"n{k} = ({size}_t){tables.name.upper()}_READ{size[4:]}(z{k});", f"z{k}++;")
        return tables.read(f"f{k}", "i", kind), f"n{k}"

    def _bias(self, k: int, bias: Sequence[int]) -> tuple[str, list[str]]:
        """Return the expression of the bias of neuron j, and statements that go on to the next one."""
        tables, kind = self.expressions.tables, self.types[k]
        table = tables.add("bias", bias, kind)
        if self.count == 1:
            return tables.read(table, "j", kind), []
        self.declare(f"const {kind}_t *y{k} = {table};")
        return f"({kind}_t){tables.name.upper()}_READ{kind[3:]}(y{k})", [f"y{k}++;"]

    def _rules(self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Sink) -> None:
        """Write a loop over a table of signals that change once, and statements for all others."""
        assert signals is not None
        text, tables, d = self.expressions, self.expressions.tables, len(layer.bias)
        kind, values = f"{self.types[k]}_t", text.value_type
        # a signal is its value below the threshold, which goes into the biases, and a jump
        below = [signal.values[0] if is_rule(signal) else None for signal in signals]
        jumps = [signal.values[1] - signal.values[0] if is_rule(signal) else 0 for signal in signals]
        bias = without_constants(layer, below).bias
        a = f"a{k}" if d == 1 else f"r{k}[j]"
        if d > 1:
            self.declare(f"{kind} r{k}[{d}];")
            self.declare(f"{counter_type(d)} j;")
            table = tables.add("bias", bias, self.types[k])
            self.say(f"for (j = 0u; j < {d}u; j++) {{", f"    {a} = {tables.read(table, 'j', self.types[k])};", "}")
        else:
            self.say(f"{a} = {literal(bias[0])};")
        for signal_kind, test in (("steps", ">="), ("equal", "==")):
            chosen = [i for i, s in enumerate(signals) if is_rule(s) and s.kind == signal_kind]
            if not chosen:
                continue
            weights = (layer.weights[:, chosen] * np.array([jumps[i] for i in chosen])).T
            most = int(np.abs(weights).max())
            stored = smallest_type(-most, most)
            n, places = len(chosen), counter_type(len(text.inputs) - 1)[:-2]
            cuts = tables.add("at", [signals[i].cuts[0] for i in chosen], values)
            where = tables.add("input", [signals[i].input for i in chosen], places)
            p = f"p{k}{signal_kind[0]}"
            self.declare(f"const {stored}_t *{p} = {tables.add('weights', weights.ravel().tolist(), stored)};")
            self.declare(f"{counter_type(n)} i{k};")
            entry = f"({kind})({stored}_t){tables.name.upper()}_READ{stored[3:]}"
            index, cut = tables.read(where, f"i{k}", places), tables.read(cuts, f"i{k}", values)
            self.say(f"for (i{k} = 0u; i{k} < {n}u; i{k}++) {{", f"    if (x[{index}] {test} {cut}) {{")
            if d == 1:
                self.say(f"        {a} = ({kind})({a} + {entry}({p}));", "    }", f"    {p}++;", "}")
            else:
                add = f"{a} = ({kind})({a} + {entry}({p} + j));"
                self.say(f"        for (j = 0u; j < {d}u; j++) {{", f"            {add}", "        }", "    }",
                         f"    {p} += {d};", "}")  # fmt: skip
        others = [i for i, signal in enumerate(signals) if not is_rule(signal)]
        self._add_terms(k, layer, signals, others, [a] if d == 1 else [f"r{k}[{j}]" for j in range(d)])
        if d == 1:
            self.say(*sink(a, 0))
        else:
            lines = [f"    {line}" for line in sink(f"a{k}", "j")]
            self.say(f"for (j = 0u; j < {d}u; j++) {{", f"    a{k} = {a};", *lines, "}")

    def _add_terms(
        self, k: int, layer: IntegerLayer, signals: Sequence[Signal], which: Sequence[int], sums: Sequence[str]
    ) -> None:
        """Write statements that add some signals times their weights to sums."""
        kind, text = f"{self.types[k]}_t", self.expressions
        for i in which:
            term = text.of(signals[i])
            if np.count_nonzero(layer.weights[:, i]) > 1 and not text.is_short(signals[i]):
                low, high = signals[i].ends(text.inputs[signals[i].input])
                self.declare(f"{smallest_type(low, high)}_t s{i};")
                self.say(f"s{i} = ({smallest_type(low, high)}_t){term};")
                term = f"s{i}"
            for w, a in zip(layer.weights[:, i].tolist(), sums, strict=True):
                if w:
                    self.say(*_added(a, kind, w, term))

    def _masks(self, k: int, layer: IntegerLayer, signals: Sequence[Signal] | None, sink: Sink) -> None:
        """Write loops over words of bits: those that count up, and those that count down, for each bit of weights."""
        text, tables, n = self.expressions, self.expressions.tables, layer.weights.shape[1]
        d, bits, kind, a = len(layer.bias) // self.count, self.word, f"{self.types[k]}_t", f"a{k}"
        h, words, planes = f"h{k - 1}", -(-n // bits), n_planes(layer)
        if signals is not None:
            h = "g"
            self.once += filled_words(signals, text, bits, self.declare)
        text.helpers.add(f"ones{bits}")
        entry, after = self._bias(k, layer.bias)
        masks = tables.add("masks", mask_words(layer.weights, planes, bits), f"uint{bits}")
        self.declare(f"const uint{bits}_t *m{k} = {masks};")
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
        self.say(f"    {a} = ({kind})(v{k} + {entry});", *(f"    {line}" for line in (*after, *sink(a, "j"))), "}")


def _added(a: str, kind: str, w: int, term: str) -> list[str]:
    """Return the statements that add a term times a weight, by additions where it is at most 2."""
    if abs(w) > 2:
        return [f"{a} = ({kind})({a} + ({kind})({literal(w)} * ({kind}){term}));"]
    return [f"{a} = ({kind})({a} {'-' if w < 0 else '+'} ({kind}){term});"] * abs(w)
