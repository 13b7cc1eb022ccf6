"""Trees in C: a walk over a table of nodes, or a branch of code for each node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.export.c_text import counter_type, literal
from bdnn.export.program import smallest_type
from bdnn.network.trees import Inner, Node

if TYPE_CHECKING:
    from bdnn.export.c_text import Expressions
    from bdnn.export.groves import Grove, TreeLayout

Sink = Callable[[str, "int | str"], list[str]]


def tree_lines(
    grove: Grove, layout: TreeLayout, kind: str, expressions: Expressions, declare: Callable[[str], None], sink: Sink
) -> list[str]:
    """Return the statements of a network of trees.

    Parameters
    ----------
    grove : Grove
        The trees.
    layout : {"trees", "branches"}
        A table, or code.
    kind : str
        Type of the sums.
    expressions : Expressions
        Of signals.
    declare : callable
        Declares a variable.
    sink : callable
        What is done with the sum ``a1`` of an output, given by number or counter.
    """
    write = (
        _Branches(grove, kind, expressions)
        if layout == "branches"
        else _Walk(grove, kind, expressions, declare, layout == "jumps")
    )
    d = len(grove.member.layers[1].bias)
    if not grove.is_shared:
        return write.alone(sink)
    declare(f"{kind}_t r[{d}];")
    declare(f"{counter_type(d)} j;")
    tables = expressions.tables
    bias = tables.read(tables.add("bias", grove.member.layers[1].bias, kind), "j", kind)
    each = f"for (j = 0u; j < {d}u; j++) {{"
    ending = [f"    {line}" for line in ("a1 = r[j];", *sink("a1", "j"))]
    return [each, f"    r[j] = {bias};", "}", *write.shared(), each, *ending, "}"]


@dataclass
class _Walk:
    """A loop over the table of all trees.

    Without distances every node is passed: those of subtrees that do not count only change how many such subtrees are
    left (``past``), and those that come after the way of a tree are counted on it (``later``).
    """

    grove: Grove
    kind: str
    text: Expressions
    declare: Callable[[str], None]
    jumps: bool

    def alone(self, sink: Sink) -> list[str]:
        """Return statements of trees that are parts of one output each."""
        bias = self.grove.member.layers[1].bias
        wide = "int16" if self._code == "uint8" else "int32"
        add = f"a1 = ({self.kind}_t)(a1 + ({self.kind}_t)(({wide}_t)c - {literal(self.grove.zero)}));"
        table, sizes = self.grove.entries(self.jumps)
        if len(bias) == 1:
            return [f"a1 = {literal(bias[0])};", *self._loop("i = 0u", table, [add]), *sink("a1", 0)]
        tables, ends = self.text.tables, np.cumsum(sizes).tolist()
        kind_of_end = counter_type(len(table))[:-2]
        end = tables.read(tables.add("ends", ends, kind_of_end), "j", kind_of_end)
        start = tables.read(tables.add("bias", bias, self.kind), "j", self.kind)
        self.declare(f"{counter_type(len(bias))} j;")
        self.declare(f"{counter_type(len(table))} end;")
        body = [f"a1 = {start};", f"end = {end};", *self._loop("", table, [add], "end"), *sink("a1", "j")]
        return ["i = 0u;", f"for (j = 0u; j < {len(bias)}u; j++) {{", *(f"    {line}" for line in body), "}"]

    def shared(self) -> list[str]:
        """Return statements of trees whose leaves have a value for each output."""
        grove, tables = self.grove, self.text.tables
        d = len(grove.member.layers[1].bias)
        values = grove.shared_values()
        stored = smallest_type(min(values), max(values))
        table = tables.add("values", values, stored)
        self.declare(f"const {stored}_t *w{'' if self.jumps else f' = {table}'};")
        entry = f"({self.kind}_t)({stored}_t){tables.name.upper()}_READ{stored[3:]}(w + j)"
        add = [f"for (j = 0u; j < {d}u; j++) {{", f"    r[j] = ({self.kind}_t)(r[j] + {entry});", "}"]
        if self.jumps:
            add.insert(0, f"w = {table} + (uint16_t)(c - {len(grove.order)}u);")
        return self._loop("i = 0u", self.grove.entries(self.jumps)[0], add, after="" if self.jumps else f"w += {d};")

    @property
    def _code(self) -> str:
        code = self.grove.code_type(self.jumps)
        assert code is not None
        return code

    def _loop(self, start: str, table: list[int], leaf: list[str], end: str = "", after: str = "") -> list[str]:
        """Return the loop over entries up to an end; `leaf` adds a value, and `after` comes after every leaf."""
        tables, n = self.text.tables, len(self.grove.order)
        end = end or f"{len(table)}u"
        counter = counter_type(len(table))
        self.declare(f"{counter} i;")
        self.declare(f"{self._code}_t c;")
        entry = tables.read(tables.add("trees", table, self._code), "i", self._code)
        if self.jumps:
            self.declare(f"{counter} next;")
            question = self._question([f"i = ({counter})(i + {entry});"], [])
            return [
                f"for ({start}; i < {end}; i = next) {{",
                f"    next = ({counter})(i + 1u + {entry});",
                "    i++;",
                f"    c = {entry};",
                f"    while (c < {n}u) {{",
                "        i++;",
                *(f"        {line}" for line in question),
                "        i++;",
                f"        c = {entry};",
                "    }",
                *(f"    {line}" for line in leaf),
                "}",
            ]
        self.declare("uint8_t later = 0u, past = 0u;")
        finish = [f"    {after}"] if after else []
        passing = [f"if (c < {n}u) {{", "    past++;", "} else {", "    past--;", *finish, "}"]
        reached = [*leaf, *([after] if after else []), "past = later;", "later = 0u;"]
        return [
            f"for ({start}; i < {end}; i++) {{",
            f"    c = {entry};",
            "    if (past != 0u) {",
            *(f"        {line}" for line in passing),
            f"    }} else if (c >= {n}u) {{",
            *(f"        {line}" for line in reached),
            "    } else {",
            *(f"        {line}" for line in self._question(["past = 1u;"], ["later++;"])),
            "    }",
            "}",
        ]

    def _question(self, one: list[str], zero: list[str]) -> list[str]:
        """Return statements that ask for the bit c, and what is done if it is 1 and if it is 0."""
        text, tables, signals = self.text, self.text.tables, self.grove.member.signals
        steps, equal, others = self.grove.groups
        tests: list[tuple[str, str]] = []
        looked_up = [*steps, *equal]
        if looked_up:
            places = counter_type(len(text.inputs) - 1)[:-2]
            cuts = tables.add("at", [signals[i].cuts[0] for i in looked_up], text.value_type)
            where = tables.add("input", [signals[i].input for i in looked_up], places)
            x, cut = f"x[{tables.read(where, 'c', places)}]", tables.read(cuts, "c", text.value_type)
            if steps:
                tests.append((f"c < {len(steps)}u", f"{x} >= {cut}"))
            if equal:
                tests.append((f"c < {len(looked_up)}u", f"{x} == {cut}"))
        for number, i in enumerate(others, start=len(looked_up)):
            tests.append((f"c == {number}u", text.condition(signals[i])))
        lines, condition = [], tests[0][1]
        if len(tests) > 1:
            self.declare("uint8_t b;")
            for number, (which, test) in enumerate(tests):
                head = "} else {" if number == len(tests) - 1 else f"{'} else ' if number else ''}if ({which}) {{"
                lines += [head, f"    b = (uint8_t)(({test}) ? 1 : 0);"]
            lines.append("}")
            condition = "b != 0u"
        otherwise = ["} else {", *(f"    {line}" for line in zero)] if zero else []
        return [*lines, f"if ({condition}) {{", *(f"    {line}" for line in one), *otherwise, "}"]


@dataclass
class _Branches:
    """A branch of code for each node."""

    grove: Grove
    kind: str
    text: Expressions

    def alone(self, sink: Sink) -> list[str]:
        """Return statements of trees that are parts of one output each."""
        lines: list[str] = []
        for output, bias in enumerate(self.grove.member.layers[1].bias):
            lines.append(f"a1 = {literal(bias)};")
            for of, tree in self.grove.trees:
                if of == output:
                    lines += self._of(tree, of)
            lines += sink("a1", output)
        return lines

    def shared(self) -> list[str]:
        """Return statements of trees whose leaves have a value for each output."""
        return [line for _, tree in self.grove.trees for line in self._of(tree, -1)]

    def _of(self, node: Node, of: int) -> list[str]:
        if not isinstance(node, Inner):
            outputs = range(len(self.grove.member.layers[1].bias)) if of < 0 else [of]
            added = [("a1" if of >= 0 else f"r[{output}]", self.grove.value(node, output)) for output in outputs]
            return [f"{a} = ({self.kind}_t)({a} {'-' if v < 0 else '+'} {literal(abs(v))});" for a, v in added if v]
        low, high = ([f"    {line}" for line in self._of(child, of)] for child in (node.low, node.high))
        condition = self.text.condition(self.grove.member.signals[node.bit])
        if not low:
            return [f"if ({condition}) {{", *high, "}"] if high else []
        if not high:
            return [f"if (!({condition})) {{", *low, "}"]
        return [f"if ({condition}) {{", *high, "} else {", *low, "}"]
