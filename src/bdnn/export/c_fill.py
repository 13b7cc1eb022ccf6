"""Signals in C, computed one after the other into an array of values or into words of bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bdnn.export.c_costs import n_looped
from bdnn.export.c_text import Expressions, counter_type, unsigned_literal

if TYPE_CHECKING:
    from bdnn.export.program import Signal

Declare = Callable[[str], None]


def filled_values(signals: Sequence[Signal], text: Expressions, own: str, declare: Declare) -> list[str]:
    """Return statements that put signals into the array ``s`` of a type."""
    lines, done = _loops(signals, text, declare, lambda test: [f"s[e] = ({own})({test} ? 1 : 0);"])
    declare(f"{own} s[{len(signals)}];")
    return [
        *lines,
        *(f"s[{place}] = ({own}){text.of(each)};" for place, each in enumerate(signals) if place >= done),
    ]


def filled_words(signals: Sequence[Signal], text: Expressions, bits: int, declare: Declare) -> list[str]:
    """Return statements that put signals that are bits into the words ``g``."""
    word, n = f"uint{bits}_t", len(signals)

    def put(test: str) -> list[str]:
        return [
            f"if ({test}) {{",
            f"    b = ({word})(b | ({word})(({word})1u << (e & {bits - 1}u)));",
            "}",
            f"if ((e & {bits - 1}u) == {bits - 1}u || e == {n - 1}u) {{",
            f"    g[e / {bits}u] = b;",
            "    b = 0u;",
            "}",
        ]

    lines, done = _loops(signals, text, declare, put)
    declare(f"{word} g[{-(-n // bits)}], b = 0u;")
    for place in range(done, n):
        mask = unsigned_literal(1 << (place % bits))
        lines += [f"if ({text.condition(signals[place])}) {{", f"    b = ({word})(b | {mask});", "}"]
        if place % bits == bits - 1 or place == n - 1:
            lines += [f"g[{place // bits}] = b;", *(["b = 0u;"] * (place < n - 1))]
    return lines


def _loops(
    signals: Sequence[Signal], text: Expressions, declare: Declare, put: Callable[[str], list[str]]
) -> tuple[list[str], int]:
    """Return loops over tables of the first signals, if they are many that change once, and how many these are."""
    n = n_looped(signals)
    if not n:
        return [], 0
    tables, values, places = text.tables, text.value_type, counter_type(len(text.inputs) - 1)[:-2]
    cuts = tables.add("at", [each.cuts[0] for each in signals[:n]], values)
    where = tables.add("input", [each.input for each in signals[:n]], places)
    index, cut = tables.read(where, "e", places), tables.read(cuts, "e", values)
    declare(f"{counter_type(len(signals))} e;")
    steps = sum(each.kind == "steps" for each in signals[:n])
    lines: list[str] = []
    for first, end, sign in ((0, steps, ">="), (steps, n, "==")):
        if first < end:
            body = put(f"x[{index}] {sign} {cut}")
            lines += [f"for (e = {first}u; e < {end}u; e++) {{", *(f"    {line}" for line in body), "}"]
    return lines, n
