"""Pieces of C: types, literals, tables in flash, and expressions of signals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bdnn.export.program import INTEGER_TYPES, smallest_type
from bdnn.export.rulers import Ruler, ruler_of

if TYPE_CHECKING:
    from bdnn.export.program import DeviceInput, Signal

_INLINE_CUTS = 3  # steps that are compared one by one; more become a table
_COLUMNS = 110  # of a line of a table


def literal(value: int) -> str:
    """Return an integer as C writes it on machines whose int has 16 bits.

    Examples
    --------
    >>> literal(7), literal(-40000), literal(-2**31)
    ('7', '-40000L', '(-2147483647L - 1)')
    """
    for suffix, bits in (("", 16), ("L", 32), ("LL", 64)):
        if -(2 ** (bits - 1)) < value < 2 ** (bits - 1):
            return f"{value}{suffix}"
        if value == -(2 ** (bits - 1)):
            return f"({value + 1}{suffix} - 1)"
    raise ValueError(f"{value} has more than 64 bits")


def unsigned_literal(value: int) -> str:
    """Return a mask of up to 32 bits as C writes it."""
    return f"0x{value:X}u" if value < 2**16 else f"0x{value:X}UL"


def counter_type(count: int) -> str:
    """Return the type of a number that counts up to `count`."""
    return "uint8_t" if count < 2**8 else "uint16_t" if count < 2**16 else "uint32_t"


def wrapped(items: Sequence[str], indent: str = "    ") -> str:
    """Return items in lines, separated by commas."""
    lines, line = [], indent
    for number, item in enumerate(items):
        piece = item + ("," if number < len(items) - 1 else "")
        if len(line) + len(piece) + 1 > _COLUMNS and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += piece + " "
    return "\n".join([*lines, line.rstrip()])


def function_text(head: str, lines: Iterable[str]) -> str:
    """Return a function of some statements."""
    return f"{head}\n{{\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n}\n"


@dataclass
class Tables:
    """Constant tables of a source file; equal ones are one."""

    name: str
    texts: list[str] = field(default_factory=list)
    n_bytes: int = 0
    known: dict[tuple[str, tuple[int, ...]], str] = field(default_factory=dict)

    def add(self, what: str, values: Sequence[int], type_name: str) -> str:
        """Return the name of a table of integers of a type such as uint8."""
        key = type_name, tuple(values)
        if key not in self.known:
            table = f"{self.name}_{what}{len(self.known)}"
            self.known[key] = table
            self.n_bytes += len(values) * int(type_name.lstrip("uint")) // 8
            body = wrapped([literal(v) if type_name[0] != "u" else unsigned_literal(v) for v in values])
            self.texts.append(
                f"static const {type_name}_t {table}[{len(values)}] {self.name.upper()}_FLASH = {{\n{body}\n}};\n"
            )
        return self.known[key]

    def read(self, table: str, index: str, type_name: str) -> str:
        """Return the expression of an entry."""
        bits = type_name.lstrip("uint")
        return f"({type_name}_t){self.name.upper()}_READ{bits}(&{table}[{index}])"


@dataclass
class Expressions:
    """Expressions of signals.

    Attributes
    ----------
    inputs : sequence of DeviceInput
        Of the program.
    places : sequence of str
        Names of their places in the array that is given.
    tables : Tables
        Where tables of steps are put.
    signals : iterable of Signal
        All that are written.
    helpers : set of str
        Names of the functions that are called.
    rulers : dict
        Rulers of steps, by their cuts.
    """

    inputs: Sequence[DeviceInput]
    places: Sequence[str]
    tables: Tables
    signals: Iterable[Signal] = ()
    helpers: set[str] = field(default_factory=set)
    rulers: dict[tuple[int, ...], Ruler] = field(init=False)

    def __post_init__(self) -> None:
        cuts = {signal.cuts for signal in self.signals if signal.kind == "steps"}
        self.rulers = {each: ruler for each in cuts if (ruler := ruler_of(each)) is not None}

    @property
    def value_type(self) -> str:
        """The narrowest type that holds the integers of all inputs."""
        ends = [end for each in self.inputs for end in (each.low, each.high, each.missing) if end is not None]
        return smallest_type(min(ends, default=0), max(ends, default=0), tuple(t for t in INTEGER_TYPES))

    @property
    def ruler_type(self) -> str:
        """The narrowest type that holds all rulers."""
        numbers = [number for ruler in self.rulers.values() for number in ruler]
        # numbers of the same sign are compared, also where int has 16 bits
        among = ("int32",) if self.value_type == "uint16" else ("int16", "int32")
        return smallest_type(min(numbers, default=0), max(numbers, default=0), among)

    def raw(self, signal: Signal) -> str:
        """Return the integer of its input."""
        return f"x[{self.places[signal.input]}]"

    def condition(self, signal: Signal) -> str:
        """Return when a signal of two values has the second one."""
        x, source = self.raw(signal), self.inputs[signal.input]
        if signal.kind == "equal":
            return " || ".join(f"{x} == {literal(code)}" for code in signal.cuts)
        above = f"{x} >= {literal(signal.cuts[0])}"
        if signal.missing is None or source.missing is None:
            return above
        gone = literal(source.missing)
        return f"{above} || {x} == {gone}" if signal.missing == signal.values[1] else f"{above} && {x} != {gone}"

    def is_condition(self, signal: Signal) -> bool:
        """Whether a signal has two values."""
        return len(signal.values) == 2 and signal.missing in (None, *signal.values)

    def is_short(self, signal: Signal) -> bool:
        """Whether an expression is as short as reading a variable."""
        return signal.kind == "value" and signal.missing is None

    def of(self, signal: Signal) -> str:
        """Return the expression of a signal, in brackets if need be."""
        x, source = self.raw(signal), self.inputs[signal.input]
        if self.is_condition(signal):
            condition = self.condition(signal)
            if signal.is_bit:
                return f"({condition})"
            low, high = map(literal, signal.values)
            return f"(({condition}) ? {high} : {low})"
        if signal.kind == "value":
            text = x
        elif len(signal.cuts) <= _INLINE_CUTS:
            text = literal(signal.values[0])
            for cut, value in zip(signal.cuts, signal.values[1:], strict=True):
                text = f"{x} >= {literal(cut)} ? {literal(value)} : {text}"
            text = f"({text})"
        else:
            text = self._stairs(signal, x)
        if signal.missing is None or source.missing is None:
            return text
        return f"({x} == {literal(source.missing)} ? {literal(signal.missing)} : {text})"

    def _stairs(self, signal: Signal, x: str) -> str:
        """Return a call that finds the step of an integer by a ruler, or by bisection in a table of the cuts."""
        if signal.cuts in self.rulers:
            self.helpers.add("ruler")
            table = self.tables.add("ruler", self.rulers[signal.cuts], self.ruler_type)
            step = f"{self.tables.name}_ruler({table}, {len(signal.cuts)}u, {x})"
        else:
            self.helpers.add("step")
            cuts = self.tables.add("cuts", signal.cuts, self.value_type)
            step = f"{self.tables.name}_step({cuts}, {len(signal.cuts)}u, {x})"
        first = signal.values[0]
        if all(value == first + n for n, value in enumerate(signal.values)):
            return step if first == 0 else f"({literal(first)} + {step})"
        kind = smallest_type(min(signal.values), max(signal.values), ("uint8", "uint16", "int32"))
        values = self.tables.add("levels", signal.values, kind)
        return self.tables.read(values, step, kind)


def flash_macros(upper: str) -> str:
    """Return the macros that put constants into flash on AVR and read them."""
    reads = (("8", "byte"), ("16", "word"), ("32", "dword"), ("64", "qword"))
    return (
        "#if defined(__AVR__)\n#include <avr/pgmspace.h>\n"
        f"#define {upper}_FLASH PROGMEM\n"
        + "".join(f"#define {upper}_READ{bits}(p) pgm_read_{word}(p)\n" for bits, word in reads[:3])
        + f"#else\n#define {upper}_FLASH\n"
        + "".join(f"#define {upper}_READ{bits}(p) (*(p))\n" for bits, _ in reads[:3])
        + "#endif\n"
    )


def step_function(name: str, value_type: str) -> str:
    """Return the function that counts the cuts that are not above an integer."""
    bits = value_type.lstrip("uint")
    return f"""/* Number of cuts, ascending, that are not above x. */
static uint16_t {name}_step(const {value_type}_t *cuts, uint16_t count, {value_type}_t x)
{{
    uint16_t low = 0u, high = count;
    while (low < high) {{
        const uint16_t middle = (uint16_t)(low + ((uint16_t)(high - low) >> 1));
        if (({value_type}_t){name.upper()}_READ{bits}(&cuts[middle]) <= x) {{
            low = (uint16_t)(middle + 1u);
        }} else {{
            high = middle;
        }}
    }}
    return low;
}}
"""


def ruler_function(name: str, value_type: str, ruler_type: str) -> str:
    """Return the function that counts cuts at equal distances, by a division in shifts and subtractions."""
    read = f"({ruler_type}_t){name.upper()}_READ{ruler_type[3:]}"
    return f"""/* Number of cuts, at equal distances, that are not above x. */
static uint16_t {name}_ruler(const {ruler_type}_t *ruler, uint16_t count, {value_type}_t x)
{{
    const {ruler_type}_t first = {read}(&ruler[0]), last = {read}(&ruler[1]);
    uint32_t rest, part = (uint32_t){read}(&ruler[3]);
    uint16_t bit = 1u, steps = 1u;
    if (x < first) {{
        return 0u;
    }}
    if (x >= last) {{
        return count;
    }}
    rest = (((uint32_t)x - (uint32_t)first) << {read}(&ruler[4])) + (uint32_t){read}(&ruler[2]);
    while (part <= (rest >> 1)) {{
        part <<= 1;
        bit = (uint16_t)(bit << 1);
    }}
    while (bit != 0u) {{
        if (rest >= part) {{
            rest -= part;
            steps = (uint16_t)(steps + bit);
        }}
        part >>= 1;
        bit = (uint16_t)(bit >> 1);
    }}
    return steps;
}}
"""


def ones_function(name: str, bits: int) -> str:
    """Return the function that counts the bits of a word that are set."""
    if bits == 8:
        return f"""/* Number of bits that are set. */
static uint8_t {name}_ones(uint8_t word)
{{
    uint8_t count = 0u;
    while (word != 0u) {{
        word = (uint8_t)(word & (uint8_t)(word - 1u));
        count++;
    }}
    return count;
}}
"""
    return f"""/* Number of bits that are set. */
static uint8_t {name}_ones(uint32_t word)
{{
    word = word - ((word >> 1) & 0x55555555UL);
    word = (word & 0x33333333UL) + ((word >> 2) & 0x33333333UL);
    word = (word + (word >> 4)) & 0x0F0F0F0FUL;
    word = word + (word >> 8);
    return (uint8_t)((word + (word >> 16)) & 63u);
}}
"""
