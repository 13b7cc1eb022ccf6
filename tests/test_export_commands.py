"""`bdnn export --check` with each target that is no C: rows that are equal, and exit code 1 if one is not."""

import importlib.util
import re
import shutil

import numpy as np
import pytest

from bdnn.export.targets import MODEL_TARGETS, TARGETS

TOOLS = {
    "micropython": True,
    "verilog": shutil.which("iverilog") is not None and shutil.which("vvp") is not None,
    "onnx": importlib.util.find_spec("onnx") is not None and importlib.util.find_spec("onnxruntime") is not None,
}
TOOLS["vnnlib"] = TOOLS["onnx"]

ROWS = (
    "temp,color,on,label\n"
    + """20.5,red,true,yes
19.5,green,false,no
?,red,true,yes
21.0,blue,false,no
18.0,,true,no
20.0,red,false,yes
"""
    * 3
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


@pytest.fixture
def model(run, table, tmp_path):
    path = tmp_path / "tank.json"
    words = ("--weights", "integer", "--hidden", "none", "--test-fraction", 0, "--time-limit", 0.1, "--quiet")
    code, _, err = run("train", table, *words, "--missing-indicator", "always", "--out", path)
    assert code == 0, err
    return path


@pytest.mark.parametrize("target", TOOLS)
def test_all_rows_are_equal_or_nothing_is_written(run, model, table, tmp_path, monkeypatch, target):
    if not TOOLS[target]:
        pytest.skip(f"the tools that check {target} are not installed")
    words = ["--scale", "temp=2"] if target in TARGETS else []
    words += ["--radius", 0.5] if target == "vnnlib" else []
    code, said, err = run("export", model, "--to", target, "--out", tmp_path / "out", "--check", table, *words)
    assert code == 0, err
    assert said.splitlines()[-1] == "18 of 18 rows equal"

    kind = type({**TARGETS, **MODEL_TARGETS}[target])
    decide = kind.decide

    def wrong(self, request, files, rows):
        answers = decide(self, request, files, rows)
        return np.where(np.arange(len(answers)) == 4, 1 - answers, answers)

    monkeypatch.setattr(kind, "decide", wrong)
    code, said, err = run("export", model, "--to", target, "--out", tmp_path / "other", "--check", table, *words)
    assert code == 1 and "rows equal" not in said
    assert re.search(r"17 of 18 rows equal: the files decide row 5 first otherwise than the model; nothing", err)
    assert not (tmp_path / "other").exists()


def test_options_that_do_not_fit_are_refused(run, model, table, tmp_path):
    for words, message in (
        (["micropython", "--radius", 1, "--data", table], "a radius is for the target vnnlib, not for 'micropython'"),
        (["onnx", "--scale", "10"], "the target onnx takes the values of the table as they are; leave --scale out"),
        (["vnnlib", "--data", table], "the target vnnlib needs a radius"),
        (["pascal"], "micropython, verilog, onnx, vnnlib, got 'pascal'"),
    ):
        code, _, err = run("export", model, "--to", *words, "--out", tmp_path / "out")
        assert code == 2 and message in err
    assert not (tmp_path / "out").exists()
