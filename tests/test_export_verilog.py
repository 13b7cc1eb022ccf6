"""The target verilog: a circuit that decides as the model, in Icarus Verilog, and its cost."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from bdnn.errors import MissingDependencyError
from bdnn.export.program import DeviceInput, IntegerLayer, IntegerProgram, Member, Signal
from bdnn.export.request import Request
from bdnn.export.verilog import Verilog, module_text, simulated
from export_loop import cases

N_MODELS = 60
TARGET = Verilog()
ICARUS = pytest.mark.skipif(
    shutil.which("iverilog") is None or shutil.which("vvp") is None, reason="Icarus Verilog is not installed"
)


@ICARUS
def test_circuits_decide_as_the_models():
    listed = cases(0, N_MODELS)
    answers = simulated([(request, TARGET.files(request), rows) for _, request, rows in listed])
    for (case, request, rows), found in zip(listed, answers, strict=True):
        assert np.array_equal(found, request.program.run(rows)), request.name
        assert np.array_equal(found[: len(case.answers)], case.answers), request.name


@ICARUS
def test_the_test_bench_counts_and_complains(tmp_path):
    _, request, _ = next(item for item in cases(0, N_MODELS) if len(set(item[1].answers.tolist())) > 1)
    right, name, m = TARGET.files(request), request.name, len(request.rows)
    benches = {f"{name}.v": right[f"{name}.v"], f"{name}_tb.v": right[f"{name}_tb.v"]}
    # a bench of another name that expects an answer that is not the first one's
    wrong = re.sub(r"answers\[0\] = \d+", f"answers[0] = {1 - request.answers[0] % 2}", right[f"{name}_tb.v"])
    benches["wrong_tb.v"] = wrong.replace(f"module {name}_tb", "module wrong_tb").replace("$finish;", "")
    benches[f"{name}_tb.v"] = benches[f"{name}_tb.v"].replace("$finish;", "")
    for path, text in benches.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    said = subprocess.run(
        f"iverilog -g2001 -Wall -o all.vvp {' '.join(benches)} && vvp -n all.vvp",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    lines = said.stdout.splitlines()
    assert not said.stderr
    assert f"{m} of {m} rows equal" in lines and f"{m - 1} of {m} rows equal" in lines
    assert sum(line.startswith("row 0: ") for line in lines) == 1


@pytest.fixture
def two_bits():
    """Two thresholds, one hidden layer of two neurons, one output."""
    inputs = (DeviceInput("age", "numeric", 0, 100), DeviceInput("wire", "numeric", -50, 50, 10))
    signals = (Signal(0, "steps", (18,), (0, 1)), Signal(1, "steps", (-3,), (0, 1)))
    layers = (IntegerLayer(np.array([[1, 1], [1, -1]]), (-2, 0)), IntegerLayer(np.array([[3, -1]]), (-1,)))
    program = IntegerProgram(inputs, (Member(signals, layers, (0, 1)),), ("no", "yes"))
    rows = np.array([[17, -4], [18, -4], [17, -3], [18, -3]])
    return Request(program=program, name="tiny", rows=rows, answers=program.run(rows))


@ICARUS
def test_grids_of_sixteen_bits_are_lines():
    """Thousands of steps at equal distances: every cut and the integer below, the ends, and a missing value."""
    cuts = tuple((-30_000 + 73 * k) // 10 for k in range(900))
    source = DeviceInput("x", "numeric", -(2**31) + 1, 2**31 - 1, 1, -(2**31))
    signals = (Signal(0, "steps", cuts, tuple(range(-2, 899)), missing=5),)
    ends = [source.low, -3001, cuts[-1] + 1, source.high, -(2**31)]
    rows = np.array([*cuts, *(cut - 1 for cut in cuts), *ends])[:, None]
    listed = []
    for place, cut in enumerate((-2, 0, 5, 6, 449, 897, 898)):
        member = Member(signals, (IntegerLayer(np.array([[1]]), (-cut,)),), (0, 1))
        program = IntegerProgram((source,), (member,), ("below", "not"))
        request = Request(program=program, name=f"line{place}", rows=rows[:2], answers=program.run(rows[:2]))
        listed.append((request, TARGET.files(request), rows))
    assert all(len(files[f"{request.name}.v"]) < 3000 for request, files, _ in listed)
    for (request, _, _), found in zip(listed, simulated(listed), strict=True):
        assert np.array_equal(found, request.program.run(rows))


def test_the_cost_is_that_of_the_circuit(two_bits):
    text = module_text(two_bits)
    # two thresholds; two additions in the first hidden neuron, one in the second, two in the output
    for line in ("additions: 5", "comparisons: 2", "no powers of two: 0", "depth: 5 additions and comparisons"):
        assert line in text
    body = text[text.index("module tiny") :]
    assert body.count(" >= ") == 2 and body.count(" + ") == 5
    assert "input [6:0] x_age," in text and "input signed [6:0] x_wire," in text and "output [0:0] y" in text


def test_a_check_without_icarus_names_it(two_bits, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="iverilog and vvp is not installed; install the package iverilog"):
        TARGET.check_tools()
