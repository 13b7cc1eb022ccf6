"""Headers in C: names of inputs, classes and codes, what is said of them, and conversions of real values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bdnn.export.c_text import Expressions, Tables, literal, wrapped
from bdnn.export.names import Identifiers

if TYPE_CHECKING:
    from bdnn.export.program import DeviceInput, IntegerProgram
    from bdnn.export.request import Request

TAKEN = (
    "H",
    "CONVERT_H",
    "INPUTS",
    "CLASSES",
    "VERSION",
    "FLASH",
    "READ8",
    "READ16",
    "READ32",
    "READ64",
    "CLASS_NAMES",
)
"""Endings of macros that are no column."""


@dataclass
class CNames:
    """Identifiers of a header.

    Attributes
    ----------
    places : list of str
        Of the device inputs.
    classes : list of str
        Of the classes.
    codes : list of list of str
        Of the codes of categorical inputs.
    missing : list of str or None
        Of the integers that say that a value is missing.
    scales : list of str or None
        Of the scales of numeric inputs.
    """

    places: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    codes: list[list[str]] = field(default_factory=list)
    missing: list[str | None] = field(default_factory=list)
    scales: list[str | None] = field(default_factory=list)

    @classmethod
    def of(cls, program: IntegerProgram, name: str) -> CNames:
        """Return the names of a program."""
        new, found = Identifiers(name.upper(), TAKEN).new, cls()
        found.places = [new(each.name) for each in program.inputs]
        found.classes = [new("class", str(label)) for label in program.classes]
        for each in program.inputs:
            levels = [*each.levels, *(["rare"] if each.rare else []), *(["other"] if each.other is not None else [])]
            found.codes.append([new(each.name, level) for level in levels])
            found.missing.append(None if each.missing is None else new(each.name, "missing"))
            found.scales.append(new(each.name, "scale") if each.kind == "numeric" and each.scale != 1 else None)
        return found


def value_type(program: IntegerProgram) -> str:
    """Return the type of the integers that are given, that of all inputs."""
    return Expressions(program.inputs, (), Tables("")).value_type


def banner(request: Request, what: str) -> str:
    """Return the first lines of a file."""
    return (
        f"/* {request.name}: {what}.\n   Made by bdnn {request.version}; changes are lost when it is made again. */\n"
    )


def comment_safe(text: str) -> str:
    """Return a text that can be in a comment of C: printable ASCII that does not end the comment."""
    plain = "".join(c if " " <= c <= "~" else f"\\u{ord(c):04x}" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def header_text(request: Request, names: CNames, n_bytes: int) -> str:
    """Return the header."""
    program, name = request.program, request.name
    upper, kind = name.upper(), value_type(request.program)
    lines = [
        f"/** \\file\n * {name}: a binarized neural network in integers.\n *\n"
        f" * Made by bdnn {request.version}; changes are lost when it is made again.\n *",
        *(f" * {comment_safe(what)}: {comment_safe(text)}" for what, text in request.facts.items()),
        f" * constant tables: {n_bytes} bytes",
        " *\n * Inputs, one integer each:\n *",
    ]
    for number, (each, place) in enumerate(zip(program.inputs, names.places, strict=True)):
        lines.append(f" * - {place} ({number}): {input_words(each, names, number)}")
    lines += [
        " *\n * Integers outside of these ranges are not allowed. The answer is the index of a class:\n *",
        *(f" * - {label} ({c})" for c, label in enumerate(names.classes)),
        " */",
        f'#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern "C" {{\n#endif\n',
        f"/** Places of the inputs. */\nenum {{\n{wrapped([f'{p} = {n}' for n, p in enumerate(names.places)])}\n}};\n"
        if names.places
        else "",
        f"/** Number of inputs. */\n#define {upper}_INPUTS {max(len(program.inputs), 1)}\n",
        f"/** Classes. */\nenum {{\n{wrapped([f'{p} = {n}' for n, p in enumerate(names.classes)])}\n}};\n",
        f'/** Version of bdnn that made this. */\n#define {upper}_VERSION "{request.version}"\n',
        f"/** Number of classes. */\n#define {upper}_CLASSES {len(program.classes)}\n",
        f"/** Labels of the classes. */\n#define {upper}_CLASS_NAMES {{{', '.join(map(_string, program.classes))}}}\n",
    ]
    for each, codes, missing, scale in zip(program.inputs, names.codes, names.missing, names.scales, strict=True):
        column = comment_safe(each.name)
        if codes:
            lines.append(
                f"/** Codes of {column}. */\nenum {{\n{wrapped([f'{p} = {n}' for n, p in enumerate(codes)])}\n}};\n"
            )
        if missing is not None and each.missing is not None:
            lines.append(f"/** A missing value of {column}. */\n#define {missing} {literal(each.missing)}\n")
        if scale is not None:
            lines.append(f"/** Integers per unit of {column}. */\n#define {scale} {literal(each.scale)}\n")
    lines.append(
        f"/** Type of the inputs. */\ntypedef {kind}_t {name}_value;\n\n"
        f"/** Returns the index of the class of one row of inputs. */\n"
        f"uint{8 if len(program.classes) <= 256 else 16}_t {name}_predict(const {name}_value x[{upper}_INPUTS]);\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )
    return "\n".join(line for line in lines if line)


def kind_words(each: DeviceInput) -> str:
    """Return the kind of an input."""
    return f"{each.part} of the {each.kind}{', 0 is Monday' * (each.part == 'weekday')}" if each.part else each.kind


def input_words(each: DeviceInput, names: CNames, number: int) -> str:
    """Return what is said of an input."""
    text = f"column '{comment_safe(each.column)}', {kind_words(each)}, {each.type}_t"
    if each.kind == "categorical":
        text += f", codes 0 to {each.high}"
        if each.rare:
            shown = ", ".join(each.rare[:8]) + (", ..." if len(each.rare) > 8 else "")
            text += f" (RARE stands for: {comment_safe(shown)})"
    elif each.scale != 1:
        text += f", {each.scale} per unit, from {each.low} to {each.high} ({each.low / each.scale:g} to " \
                f"{each.high / each.scale:g})"  # fmt: skip
    else:
        text += f", from {each.low} to {each.high}"
    return text + (f"; missing: {names.missing[number]} ({each.missing})" if each.missing is not None else "")


def _string(label: object) -> str:
    """Return a label as a string of C, in ASCII."""
    octets = str(label).encode("utf-8")
    return '"' + "".join(chr(c) if 32 <= c < 127 and chr(c) not in '"\\?' else f"\\{c:03o}" for c in octets) + '"'


def conversions_text(request: Request, names: CNames) -> str:
    """Return the header that makes integers of real values; empty if no input has a scale."""
    name, upper, parts = request.name, request.name.upper(), []
    for each, scale in zip(request.program.inputs, names.scales, strict=True):
        if scale is None:
            continue
        place, kind = scale.removesuffix("_SCALE"), f"{each.type}_t"
        low, high = literal(each.low), literal(each.high)
        parts.append(f"""/** Returns the integer of {comment_safe(each.column)} for `numerator` / `denominator` units,
 * such as 2350 / 100 for 23.5: the nearest integer, halves away from 0, and the ends of the range beyond them.
 * The denominator is above 0. */
static inline {kind} {place.lower()}_from_ratio(int32_t numerator, int32_t denominator)
{{
    const int64_t twice = 2 * (int64_t)numerator * {scale};
    const int64_t half = numerator < 0 ? -(int64_t)denominator : (int64_t)denominator;
    const int64_t k = (twice + half) / (2 * (int64_t)denominator);
    return ({kind})(k < {low} ? {low} : k > {high} ? {high} : k);
}}

/** The same for a value of a floating-point type, on hosts that have it; it must be in the range. */
#define {place}_FROM_REAL(v) (({kind})((v) < 0 ? (v) * {scale} - 0.5 : (v) * {scale} + 0.5))
""")
    if not parts:
        return ""
    guard = f"{upper}_CONVERT_H"
    top = banner(request, "integers from real values; nothing here is used by the network")
    return f'{top}#ifndef {guard}\n#define {guard}\n\n#include "{name}.h"\n\n' + "\n".join(parts) + "\n#endif\n"
