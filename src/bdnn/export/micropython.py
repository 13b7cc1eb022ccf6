"""Target ``micropython``: one module of plain integers, and a self-test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.export.c_header import CNames, input_words
from bdnn.export.micropython_layers import Layers

if TYPE_CHECKING:
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers


class MicroPython:
    """See the module."""

    name = "micropython"
    summary = "a module of plain integers for MicroPython, CircuitPython and Python"

    def files(self, request: Request) -> dict[str, str]:
        """Return the module and its self-test."""
        return {f"{request.name}.py": module_text(request), f"{request.name}_selftest.py": selftest_text(request)}

    def check_tools(self) -> None:
        """Do nothing: Python itself runs the module."""

    def decide(self, request: Request, files: Files, rows: Integers) -> Indices:
        """Run rows through the module in Python."""
        predict = loaded(str(files[f"{request.name}.py"]), request.name)
        return np.array([predict(row) for row in rows.tolist()], dtype=np.intp)


def loaded(text: str, name: str) -> Callable[[list[int]], int]:
    """Return the function ``predict`` of the text of a module."""
    module: dict[str, Any] = {"__name__": name}
    exec(compile(text, f"{name}.py", "exec"), module)
    predict: Callable[[list[int]], int] = module["predict"]
    return predict


def module_text(request: Request) -> str:
    """Return the module."""
    program, names, upper = request.program, CNames.of(request.program, request.name), request.name.upper()
    layers = Layers(request)
    parts = [_docstring(request, names)]
    for each, codes, place, missing, scale in zip(
        program.inputs, names.codes, names.places, names.missing, names.scales, strict=True
    ):
        parts.append(f"{place} = {names.places.index(place)}")
        parts += [f"{code} = {number}" for number, code in enumerate(codes)]
        parts += [] if missing is None else [f"{missing} = {each.missing}"]
        parts += [] if scale is None else [f"{scale} = {each.scale}"]
    parts.append(f"{upper}_INPUTS = {len(program.inputs)}")
    parts += [f"{label} = {number}" for number, label in enumerate(names.classes)]
    labels = ", ".join(label_text(label) for label in program.classes)
    parts += [f"{upper}_CLASSES = {len(program.classes)}", f"{upper}_CLASS_NAMES = ({labels})"]
    blocks = ["\n".join(parts), layers.text(), _convert(request, names).strip()]
    return "\n\n\n".join(block for block in blocks if block) + "\n"


def label_text(label: object) -> str:
    """Return a label as Python writes it, in ASCII; numbers with a point become text, since boards may lack them."""
    return repr(label) if isinstance(label, bool | int) else ascii(str(label))


def plain(text: str) -> str:
    r"""Return a text that can be in a docstring, in ASCII.

    Examples
    --------
    >>> print(plain('für "C:\\users"'))
    f\\xfcr \"C:\\users\"
    """
    return text.encode("ascii", "backslashreplace").decode().replace("\\", "\\\\").replace('"', '\\"')


def _docstring(request: Request, names: CNames) -> str:
    program = request.program
    lines = [
        f'"""{request.name}: a binarized neural network in integers.',
        "",
        f"Made by bdnn {request.version}; changes are lost when it is made again.",
        "",
        *(f"{plain(what)}: {plain(text)}" for what, text in request.facts.items()),
        *([""] if request.facts else []),
        "predict(x) takes a list of integers, one per input, and returns the index of a class.",
        "",
        "Inputs:",
        *(
            f"- {place} ({number}): {plain(input_words(each, names, number))}"
            for number, (each, place) in enumerate(zip(program.inputs, names.places, strict=True))
        ),
        *([] if program.inputs else ["none: one class is best for all"]),
        "",
        "Integers outside of these ranges are not allowed.",
        "",
        "Classes:",
        *(
            f"- {name} ({number}): {plain(str(label))}"
            for number, (name, label) in enumerate(zip(names.classes, program.classes, strict=True))
        ),
        '"""',
        "",
    ]
    return "\n".join(lines)


def _convert(request: Request, names: CNames) -> str:
    """Return the function that makes integers of fractions; empty if no input has a scale."""
    if not any(names.scales):
        return ""
    bounds = ", ".join(
        f"{place}: ({each.scale}, {each.low}, {each.high})"
        for each, place, scale in zip(request.program.inputs, names.places, names.scales, strict=True)
        if scale is not None
    )
    return f'''

_SCALES = {{{bounds}}}


def from_ratio(place, numerator, denominator):
    """Return the integer of an input for numerator / denominator units, such as 2350 / 100 for 23.5.

    It is the nearest one, halves away from 0, and the ends of the range beyond them. The denominator is above 0.
    """
    scale, low, high = _SCALES[place]
    k = (2 * abs(numerator) * scale + denominator) // (2 * denominator)
    k = k if numerator >= 0 else -k
    return low if k < low else high if k > high else k
'''


def selftest_text(request: Request) -> str:
    """Return a module that runs golden rows on the board and says how many are right."""
    rows = "\n".join(
        f"    (({''.join(f'{v}, ' for v in row)}), {answer}),"
        for row, answer in zip(request.rows.tolist(), request.answers.tolist(), strict=True)
    )
    return f'''"""Rows with known answers, some of them on thresholds: import it on the board."""

import {request.name}

ROWS = (
{rows}
)


def wrong():
    """Return how many answers are wrong, 0 if all is well."""
    return sum(1 for x, answer in ROWS if {request.name}.predict(x) != answer)


print("%d of %d rows equal" % (len(ROWS) - wrong(), len(ROWS)))
'''
