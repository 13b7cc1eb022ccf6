"""Target ``c``: one header and one source file in C99, a header of conversions, and a self-test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bdnn.export import host
from bdnn.export.c_header import CNames, banner, conversions_text, header_text, value_type
from bdnn.export.c_layers import MemberCode
from bdnn.export.c_selftest import selftest_header, selftest_text
from bdnn.export.c_text import (
    Expressions,
    Tables,
    counter_type,
    flash_macros,
    ones_function,
    ruler_function,
    step_function,
)
from bdnn.export.program import smallest_type

if TYPE_CHECKING:
    from bdnn.export.c_costs import Layout
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers


class C:
    """See the module."""

    name = "c"
    summary = "C99 for any device: a header and a source file, integers only"

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout

    def files(self, request: Request) -> dict[str, str]:
        """Return header, source, conversions and self-test."""
        names, name = CNames.of(request.program, request.name), request.name
        source, n_bytes = source_text(request, names, self.layout)
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


def source_text(request: Request, names: CNames, layout: Layout | None = None) -> tuple[str, int]:
    """Return the source, and the bytes of its tables."""
    program, name, upper = request.program, request.name, request.name.upper()
    tables = Tables(name)
    expressions = Expressions(program.inputs, names.places, tables, program.signals())
    functions: list[str] = []
    answer = f"uint{8 if len(program.classes) <= 256 else 16}_t"
    if program.voting is None:
        functions.append(_single(request, expressions, answer, layout))
    else:
        functions += _ensemble(request, expressions, answer, layout)
    parts = [banner(request, "decisions, see the header"), f'#include "{name}.h"\n']
    if tables.texts:
        parts += [flash_macros(upper), *tables.texts]
    if "step" in expressions.helpers:
        parts.append(step_function(name, expressions.value_type))
    if "ruler" in expressions.helpers:
        parts.append(ruler_function(name, expressions.value_type, expressions.ruler_type))
    parts += [ones_function(name, bits) for bits in (8, 32) if f"ones{bits}" in expressions.helpers]
    return "\n".join([*parts, *functions]), tables.n_bytes


def layer_types(bounds: Sequence[Sequence[tuple[int, int]]]) -> list[str]:
    """Return the smallest type of the pre-activations of each layer that the proven bounds allow."""
    return [smallest_type(min(low for low, _ in layer), max(high for _, high in layer)) for layer in bounds]


def _function(head: str, code: MemberCode, begin: Sequence[str], end: Sequence[str]) -> str:
    body = [*code.declared, *begin, "", *code.lines, *end]
    uses_x = any("x[" in line or "x," in line for line in code.lines)
    if not uses_x:
        body.insert(len(code.declared) + len(begin), "(void)x;")
    return f"{head}\n{{\n" + "\n".join(f"    {line}".rstrip() for line in body) + "\n}\n"


def _single(request: Request, expressions: Expressions, answer: str, layout: Layout | None) -> str:
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
    return "/* The class of a row of inputs. */\n" + _function(head, code, [], end)


def _ensemble(request: Request, expressions: Expressions, answer: str, layout: Layout | None) -> list[str]:
    program, name = request.program, request.name
    ends = program.sum_bounds
    total = f"{smallest_type(min(low for low, _ in ends), max(high for _, high in ends))}_t"
    majority, n = program.voting == "majority", len(program.classes)
    vote = counter_type(len(program.members))
    arguments = f"{total} *sums" + (f", {vote} *votes" if majority else "")
    functions, calls = [], []
    for number, (member, bounds) in enumerate(zip(program.members, program.bounds, strict=True)):
        types = layer_types(bounds)
        code = MemberCode(member, types, expressions, request.optimize, layout)
        _shares(code, total, vote, majority)
        head = f"static void {name}_member{number}(const {name}_value *x, {arguments})"
        functions.append(f"/* Member {number + 1} of {len(program.members)}. */\n" + _function(head, code, [], []))
        calls.append(f"{name}_member{number}(x, sums{', votes' if majority else ''});")
    better = "sums[c] > sums[winner]"
    if majority:
        better = f"votes[c] > votes[winner] || (votes[c] == votes[winner] && {better})"
    counter = counter_type(n)
    lines = [
        f"{total} sums[{n}];",
        *([f"{vote} votes[{n}];"] if majority else []),
        f"{counter} c, winner = 0u;",
        "",
        f"for (c = 0u; c < {n}u; c++) {{",
        "    sums[c] = 0;",
        *(["    votes[c] = 0u;"] if majority else []),
        "}",
        *calls,
        f"for (c = 1u; c < {n}u; c++) {{",
        f"    if ({better}) {{",
        "        winner = c;",
        "    }",
        "}",
        f"return ({answer})winner;",
    ]
    head = f"{answer} {name}_predict(const {name}_value x[{name.upper()}_INPUTS])"
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return [*functions, f"/* The class of a row of inputs. */\n{head}\n{{\n{body}\n}}\n"]


def _shares(code: MemberCode, total: str, vote: str, majority: bool) -> None:
    """Write a member that adds its shares to the sums, and its vote."""
    codes, several = code.member.codes, len(code.member.layers[-1].bias) > 1
    kind, a_last = f"{code.types[-1]}_t", f"a{len(code.types) - 1}"
    if several:
        if majority:
            code.declare(f"{kind} best = 0;")
            code.declare("uint16_t winner = 0u;")

        def sink(a: str, j: int | str) -> list[str]:
            if isinstance(j, str):
                kind_of, tables = "uint16", code.expressions.tables
                where = j if list(codes) == list(range(len(codes))) else tables.read(
                    tables.add("codes", codes, kind_of), j, kind_of)  # fmt: skip
            else:
                where = str(codes[j])
            lines = [f"sums[{where}] = ({total})(sums[{where}] + ({total}){a});"]
            if majority:
                first = f"{j} == 0u || " if isinstance(j, str) else "" if j else None
                if first is None:
                    return [*lines, f"best = {a};", f"winner = {where}u;"]
                index = f"(uint16_t){where}" if isinstance(j, str) else f"{where}u"
                lines += [f"if ({first}{a} > best) {{", f"    best = {a};", f"    winner = {index};", "}"]
            return lines

        code.write(sink)
        if majority:
            code.say(f"votes[winner] = ({vote})(votes[winner] + 1u);")
        return
    code.write(lambda a, j: [])
    code.declare(f"{total} v;")
    code.say(f"v = ({total})(({total}){a_last} + ({total}){a_last} + 1);")
    for place, sign in ((1, "+"), (0, "-")):
        if codes[place] >= 0:
            code.say(f"sums[{codes[place]}] = ({total})(sums[{codes[place]}] {sign} v);")
    if majority:
        for place, test in ((1, ">= 0"), (0, "< 0")):
            if codes[place] >= 0:
                c = codes[place]
                code.say(f"if ({a_last} {test}) {{", f"    votes[{c}] = ({vote})(votes[{c}] + 1u);", "}")
