"""Target ``verilog``: a combinational module in Verilog-2001 and its test bench."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import ExportError, MissingDependencyError
from bdnn.export import host
from bdnn.export.c_header import CNames, comment_safe, kind_words
from bdnn.export.names import Identifiers
from bdnn.export.verilog_layers import Network
from bdnn.export.verilog_text import unsigned_width

if TYPE_CHECKING:
    from bdnn.export.program import DeviceInput, IntegerProgram
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers

_SLOT = 32  # bits of an input in the rows of a test bench: those of the widest one


class Verilog:
    """See the module."""

    name = "verilog"
    summary = "a combinational module in Verilog-2001 and a test bench"

    def files(self, request: Request) -> dict[str, str]:
        """Return the module and its test bench."""
        return {f"{request.name}.v": module_text(request), f"{request.name}_tb.v": bench_text(request)}

    def check_tools(self) -> None:
        """Raise MissingDependencyError if Icarus Verilog is not installed."""
        if missing := [tool for tool in ("iverilog", "vvp") if shutil.which(tool) is None]:
            raise MissingDependencyError(
                f"Icarus Verilog simulates the check, but {' and '.join(missing)} is not installed; install the "
                f"package iverilog, or leave the check out"
            )

    def decide(self, request: Request, files: Files, rows: Integers) -> Indices:
        """Simulate rows in Icarus Verilog."""
        return simulated([(request, files, rows)])[0]


def simulated(several: Sequence[tuple[Request, Files, Integers]]) -> list[Indices]:
    """Simulate rows of several modules of different names at once, and return the answers of each."""
    with tempfile.TemporaryDirectory(prefix="bdnn-") as folder:
        texts: dict[str, str | bytes] = {}
        for request, files, rows in several:
            name = request.name
            texts[f"{name}.v"] = files[f"{name}.v"]
            texts[f"{name}_driver.v"] = _driver(request, len(rows))
            texts[f"{name}.hex"] = "\n".join(_word(row) for row in rows.tolist()) + "\n"
        host.write_all(texts, folder)
        sources = [path for path in texts if path.endswith(".v")]
        host.run(["iverilog", "-g2001", "-o", "all.vvp", *sources], folder)
        said = host.run(["vvp", "-n", "all.vvp"], folder).decode("ascii", "replace")
    found = {request.name: np.full(len(rows), -1, dtype=np.intp) for request, _, rows in several}
    for line in said.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in found and words[2].isdecimal():
            found[words[0]][int(words[1])] = int(words[2])
    for name, answers in found.items():
        if len(bad := np.flatnonzero(answers < 0)):
            raise ExportError(f"the simulation of {name} gave no answer to row {bad[0] + 1}")
    return list(found.values())


def ports(program: IntegerProgram) -> list[tuple[str, DeviceInput, int, bool]]:
    """Return names, inputs, bits, and whether they are signed."""
    new, found = Identifiers("x").new, []
    for each in program.inputs:
        ends = [each.low, each.high, *([] if each.missing is None else [each.missing])]
        signed = min(ends) < 0
        bits = max((-min(ends) - 1).bit_length(), max(ends).bit_length()) + 1 if signed else unsigned_width(max(ends))
        found.append((new(each.name).lower(), each, bits, signed))
    return found


def answer_bits(program: IntegerProgram) -> int:
    """Return the bits of the answer."""
    return unsigned_width(len(program.classes) - 1)


def module_text(request: Request) -> str:
    """Return the module."""
    program, listed = request.program, ports(request.program)
    network = Network(program, [(f"x{n}", bits + (not signed)) for n, (_, _, bits, signed) in enumerate(listed)])
    answer, circuit = network.answer(), network.circuit
    declared = [
        f"input {'signed ' if signed else ''}[{bits - 1}:0] {port}" for port, _, bits, signed in listed
    ] + [f"output [{answer_bits(program) - 1}:0] y"]  # fmt: skip
    extended = [
        f"wire signed [{bits - signed}:0] x{n} = {port if signed else '{1' + chr(39) + 'b0, ' + port + '}'};"
        for n, (port, _, bits, signed) in enumerate(listed)
    ]
    body = "\n".join(f"    {line}" for line in [*extended, *circuit.lines, f"assign y = {answer.name};"])
    head = ",\n".join(f"    {line}" for line in declared)
    return f"{_header(request, network, answer.depth)}module {request.name} (\n{head}\n);\n{body}\nendmodule\n"


def _header(request: Request, network: Network, depth: int) -> str:
    program, circuit = request.program, network.circuit
    names = CNames.of(program, request.name)
    lines = [
        f"{request.name}: a binarized neural network, combinational, in integers.",
        f"Made by bdnn {request.version}; changes are lost when it is made again.",
        *(f"{comment_safe(what)}: {comment_safe(text)}" for what, text in request.facts.items()),
        f"additions: {circuit.n_additions}",
        f"comparisons: {circuit.n_comparisons}",
        f"products and quotients with constants that are no powers of two: {circuit.n_products}",
        f"depth: {depth} additions and comparisons, one after the other",
        "Inputs:",
    ]
    for n, (port, each, bits, signed) in enumerate(ports(program)):
        text = f"  {port}: column '{comment_safe(each.column)}', {kind_words(each)}, {bits} bits"
        text += ", signed" if signed else ""
        text += f", from {each.low} to {each.high}"
        text += f", {each.scale} per unit" if each.scale != 1 else ""
        lines.append(text + (f"; missing: {each.missing}" if each.missing is not None else ""))
        lines += [f"    {number}: {code}" for number, code in enumerate(names.codes[n])]
    lines += ["Other integers are not allowed. The output y is the index of a class:"]
    lines += [f"  {number}: {comment_safe(str(label))}" for number, label in enumerate(program.classes)]
    return "".join(f"// {line}\n" for line in lines)


def _word(row: Sequence[int]) -> str:
    """Return a row as one hexadecimal number, the first input last."""
    return "".join(f"{value % 2**_SLOT:08x}" for value in reversed(row)) or "0"


def _instance(request: Request) -> str:
    program = request.program
    given = [f".{port}(row[{n * _SLOT} +: {bits}])" for n, (port, _, bits, _) in enumerate(ports(program))]
    return f"""    reg [{_SLOT * max(len(program.inputs), 1) - 1}:0] row;
    wire [{answer_bits(program) - 1}:0] y;
    integer i;
    {request.name} network ({", ".join([*given, ".y(y)"])});
"""


def _driver(request: Request, m: int) -> str:
    """Return a module that prints the answers to the rows of a file."""
    name, bits = request.name, _SLOT * max(len(request.program.inputs), 1)
    return f"""module {name}_driver;
{_instance(request)}    reg [{bits - 1}:0] rows [0:{max(m, 1) - 1}];
    initial begin
        $readmemh("{name}.hex", rows);
        for (i = 0; i < {m}; i = i + 1) begin
            row = rows[i];
            #1 $display("{name} %0d %0d", i, y);
        end
    end
endmodule
"""


def bench_text(request: Request) -> str:
    """Return the test bench, with its rows."""
    name, bits, m = request.name, _SLOT * max(len(request.program.inputs), 1), len(request.rows)
    rows = "\n".join(
        f"        rows[{i}] = {bits}'h{_word(row)}; answers[{i}] = {answer};"
        for i, (row, answer) in enumerate(zip(request.rows.tolist(), request.answers.tolist(), strict=True))
    )
    return f"""// {name}: a test bench with golden rows, some of them on thresholds.
// Made by bdnn {request.version}; changes are lost when it is made again.
// iverilog -g2001 -o {name}_tb.vvp {name}.v {name}_tb.v && vvp {name}_tb.vvp
module {name}_tb;
{_instance(request)}    integer wrong;
    reg [{bits - 1}:0] rows [0:{m - 1}];
    reg [{answer_bits(request.program) - 1}:0] answers [0:{m - 1}];
    initial begin
{rows}
        wrong = 0;
        for (i = 0; i < {m}; i = i + 1) begin
            row = rows[i];
            #1;
            if (y !== answers[i]) begin
                wrong = wrong + 1;
                $display("row %0d: %0d instead of %0d", i, y, answers[i]);
            end
        end
        $display("%0d of %0d rows equal", {m} - wrong, {m});
        $finish;
    end
endmodule
"""
