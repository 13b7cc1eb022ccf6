"""Target ``c``: one header and one source file in C99, a header of conversions, and a self-test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.export import host
from bdnn.export.c_ensembles import ensemble_functions, layer_types
from bdnn.export.c_header import CNames, banner, conversions_text, header_text, value_type
from bdnn.export.c_layers import MemberCode
from bdnn.export.c_selftest import selftest_header, selftest_text
from bdnn.export.c_text import (
    Expressions,
    Tables,
    flash_macros,
    function_text,
    ones_function,
    ruler_function,
    step_function,
)

if TYPE_CHECKING:
    from bdnn.export.c_costs import AnyLayout
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers


class C:
    """See the module."""

    name = "c"
    summary = "C99 for any device: a header and a source file, integers only"

    def __init__(self, layout: AnyLayout | None = None, stacks: bool | None = None) -> None:
        self.layout, self.stacks = layout, stacks

    def files(self, request: Request) -> dict[str, str]:
        """Return header, source, conversions and self-test."""
        names, name = CNames.of(request.program, request.name), request.name
        source, n_bytes = source_text(request, names, self.layout, self.stacks)
        files = {
            f"{name}.h": header_text(request, names, n_bytes),
            f"{name}.c": source,
            f"{name}_selftest.h": selftest_header(request),
            f"{name}_selftest.c": selftest_text(request),
        }
        if conversions := conversions_text(request, names):
            files[f"{name}_convert.h"] = conversions
        return files

    def check_tools(self) -> None:
        """Raise MissingDependencyError if there is no C compiler."""
        host.compiler()

    def decide(self, request: Request, files: Files, rows: Integers) -> Indices:
        """Compile the source for this machine, and run rows through it."""
        kind = value_type(request.program)
        return host.answers_of_c(files, [f"{request.name}.c"], host.driver(request, kind), rows)


def source_text(
    request: Request, names: CNames, layout: AnyLayout | None = None, stacks: bool | None = None
) -> tuple[str, int]:
    """Return the source, and the bytes of its tables."""
    program, name, upper = request.program, request.name, request.name.upper()
    tables = Tables(name)
    expressions = Expressions(program.inputs, names.places, tables, program.signals())
    functions: list[str] = []
    answer = f"uint{8 if len(program.classes) <= 256 else 16}_t"
    if program.voting is None:
        functions.append(_single(request, expressions, answer, layout))
    else:
        functions += ensemble_functions(request, expressions, answer, layout, stacks)
    parts = [banner(request, "decisions, see the header"), f'#include "{name}.h"\n']
    if tables.texts:
        parts += [flash_macros(upper), *tables.texts]
    if "step" in expressions.helpers:
        parts.append(step_function(name, expressions.value_type))
    if "ruler" in expressions.helpers:
        parts.append(ruler_function(name, expressions.value_type, expressions.ruler_type))
    parts += [ones_function(name, bits) for bits in (8, 32) if f"ones{bits}" in expressions.helpers]
    return "\n".join([*parts, *functions]), tables.n_bytes


def _single(request: Request, expressions: Expressions, answer: str, layout: AnyLayout | None) -> str:
    program = request.program
    member, types = program.members[0], layer_types(program.bounds[0])
    code = MemberCode(member, types, expressions, request.optimize, layout)
    several = len(member.layers[-1].bias) > 1
    if several:
        code.declare(f"{types[-1]}_t best = 0;")
        code.declare(f"{answer} winner = 0u;")

    def sink(a: str, j: int | str) -> list[str]:
        if not several:
            return [f"return ({answer})({a} >= 0 ? {member.codes[1]}u : {member.codes[0]}u);"]
        index = f"{j}u" if isinstance(j, int) else f"({answer}){j}"
        if j == 0:
            return [f"best = {a};"]
        first = f"{j} == 0u || " if isinstance(j, str) else ""
        return [f"if ({first}{a} > best) {{", f"    best = {a};", f"    winner = {index};", "}"]

    if not several:
        inner = sink

        def sink(a: str, j: int | str) -> list[str]:  # a loop of one neuron ends before the answer is given
            return inner(a, j) if isinstance(j, int) else []

    code.write(sink)
    head = f"{answer} {request.name}_predict(const {request.name}_value x[{request.name.upper()}_INPUTS])"
    end = ["return winner;"] if several else []
    if not several and not code.lines[-1].startswith("return"):
        end = inner(f"a{len(types) - 1}", 0)
    return function_text(f"/* The class of a row of inputs. */\n{head}", [*code.body(), *end])
