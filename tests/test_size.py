"""`bdnn size`, `device_size` and the section of reports on devices."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, Network
from bdnn.devices import DEVICES, Measured, models
from bdnn.devices.registry import installed
from bdnn.devices.wording import lines_of
from bdnn.network.grid import InputGrid
from bdnn.reports import on_device
from device_code import need_device, without_emulator

TABLE = Path(__file__).parents[1] / "examples" / "data" / "breast_cancer_wisconsin.csv"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network of ternary weights without hidden layer, for breast cancer."""
    path = tmp_path_factory.mktemp("size") / "cells.json"
    words = ["--weights", "integer", "--hidden", "none", "--time-limit", "0.5", "--quiet", "--out", str(path)]
    with pytest.raises(SystemExit) as stop:
        bdnn.cli.main(["train", str(TABLE), *words])
    assert stop.value.code == 0
    return path


def test_bytes_and_cycles_of_all_devices(run, model):
    usable = [name for name, device in DEVICES.items() if device.has_compiler and device.has_emulator]
    if not usable:
        pytest.skip(f"no device can be measured (Debian: {', '.join(d.compiler_package for d in DEVICES.values())})")
    targets = [word for name in usable for word in ("--target", name)]
    code, said, err = run("size", model, "--data", TABLE, *targets, "--json")
    assert code == 0, err
    found = {each["device"]: each for each in json.loads(said)}
    assert [*found] == usable
    for each in found.values():
        assert (each["rows"], each["wrong_rows"], each["float_functions"]) == (699 + 32, 0, [])
        assert each["ram"] == 0 and each["flash"] < 250 and each["cycles_most"] >= each["cycles_mean"] > 10
    if "atmega328p" in found:
        assert found["atmega328p"]["ram"] + found["atmega328p"]["stack"] < 64


def test_the_table_is_aligned_and_says_what_it_was_made_with(run, model, monkeypatch):
    need_device("atmega328p")
    code, said, err = run("size", model, "--target", "atmega328p", "--target", "atmega328p", "--range", "mitoses=0:20")
    assert (code, err) == (0, "")
    head, line, *rest = said.splitlines()
    assert len(head) == len(line) and re.fullmatch(r"device +flash +RAM +stack +mean +most +of what +rows equal", head)
    assert re.fullmatch(r"atmega328p +\d+ +0 +\d+ +\d+\.\d +\d+ +cycles +32 of 32", line)
    assert len(rest) == 1 and re.match(r"atmega328p: compiled by avr-gcc .*, run by simavr$", rest[0])
    without_emulator(monkeypatch, "atmega328p")
    code, said, err = run("size", model, "--target", "atmega328p")
    assert (code, err) == (0, "")
    assert re.search(r"atmega328p +\d+ +0 +- +- +- +- +-\n", said)
    assert "not run, the emulator no-such-emulator is not installed; on Debian, run: apt install simavr" in said


def test_a_wrong_row_is_an_error(run, model, monkeypatch):
    need_device("atmega328p")

    def altered(*given):
        code = original(*given)
        return replace(code, expected=np.where(np.arange(len(code.expected)) == 3, 1 - code.expected, code.expected))

    original = models.code_of
    monkeypatch.setattr(models, "code_of", altered)
    code, said, err = run("size", model, "--target", "atmega328p")
    assert code == 1 and "31 of 32" in said and "row 3 is the first wrong one" in said
    assert "another answer than that of the model: 1 of 32 on atmega328p" in err


def test_wrong_usage_and_missing_compilers(run, model, monkeypatch, tmp_path):
    code, _, err = run("size", model, "--target", "z80")
    assert code == 2 and "device must be one of atmega328p, cortex-m0, cortex-m4, rv32imac, got 'z80'" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said, err = run("size", model, "--target", "rv32imac")
    assert (code, said) == (2, "") and "apt install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf" in err
    code, said, err = run("size", model)
    assert (code, said) == (2, "") and "no compiler for a device is installed" in err


def test_continuous_weights_need_rows():
    need_device("atmega328p")
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (40, 3)).astype(float)
    y = (X @ [1.0, 0.5, -1.0] > 2).astype(int)
    clf = BDNNClassifier((), method="local_search", time_limit=0.2, random_state=0).fit(X, y)
    with pytest.raises(bdnn.errors.InputError, match="continuous weights"):
        clf.device_size(["atmega328p"])
    found = clf.device_size(["atmega328p"], data=X, scale=1)["atmega328p"]
    assert (found.rows, found.wrong_rows) == (72, 0)


def test_what_is_said_of_floating_point_and_emulators():
    found = Measured(
        device="atmega328p", optimize="size", flash=10, ram=2, stack=3, rows=4, compiler="cc 1",
        float_functions=("__addsf3",), remark="two emulators differ",
    )  # fmt: skip
    assert lines_of([found])[1:] == [
        "atmega328p     10    2      3     -     -  -            4 of 4",
        "atmega328p: two emulators differ",
        "atmega328p: floating point by __addsf3",
        "atmega328p: compiled by cc 1, run by simavr",
    ]


def section(page):
    text = re.search(r'<section id="device">.*?</section>', page, re.DOTALL)[0]
    return " ".join(html.unescape(re.sub("<.*?>", " ", text)).split())


X, Y = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 0.0], [0.0, 0.0]]), [0, 1, 1, 0]


def test_reports_show_bytes_and_cycles(run, model, tmp_path, monkeypatch):
    """As by default, on all devices whose compilers are there."""
    need_device("atmega328p")
    monkeypatch.setattr(on_device, "installed", installed)
    out = tmp_path / "r.html"
    assert run("report", model, TABLE, "--out", out, "--rows", 0)[::2] == (0, "")
    shown = section(out.read_text())
    assert re.search(r"atmega328p \d+ 0 \d+ [\d.]+ \d+ cycles 100 of 100", shown)
    for name, device in DEVICES.items():
        assert (f"{name} " if device.has_compiler else device.without_compiler) in shown


def test_reports_declare_decimals():
    need_device("atmega328p")
    net = Network([([[1, -1]], [-1])], "threshold", [0, 1], InputGrid([0.0, 0.0], [0.5, 0.25], 3))
    shown = section(bdnn.report(net, X, Y, points=0, devices=["atmega328p"]))
    assert "36 of 36" in shown and "x0: 10 integers are one unit" in shown and "x1:" not in shown


def test_reports_say_why_nothing_is_measured(monkeypatch):
    net = Network([([[1, 1]], [-1])], "threshold", [0, 1])
    assert "no compiler for a device is installed; on Debian" in section(bdnn.report(net, X, Y, points=0))
    monkeypatch.setattr("bdnn.reports.on_device.installed", lambda: ("atmega328p",))
    assert "no devices were asked for" in section(bdnn.report(net, X, Y, points=0, devices=()))
    continuous = Network([([[1.0, 0.5]], [-1.0])], "threshold", [0, 1])
    assert "bdnn size MODEL --data TABLE makes them integers" in section(bdnn.report(continuous, X, Y, points=0))


def test_reports_say_what_cannot_be_exported():
    """The first column is no integer, and no grid makes it one."""
    need_device("atmega328p", emulator=False)
    net = Network([([[1, 1]], [-1])], "threshold", [0, 1])
    shown = section(bdnn.report(net, X, Y, points=0, devices=["atmega328p"]))
    assert "Not measured: row 1, column 'x0': 0.5 is no integer on the scale 1" in shown and "avr-gcc" not in shown
