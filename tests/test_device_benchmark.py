"""The device benchmark: tables come from the result file alone, the choice is that of the text, C code is checked."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
OWN = ("samples", "candidates", "training", "own_networks", "sizes", "figures")
NAMES = (*OWN, "sources", "common", "registry", "datasets", "rivals", "verify", "runner")


@pytest.fixture
def bench(monkeypatch):
    if not (BENCHMARKS / "device").is_dir():
        pytest.skip("the benchmarks are not part of this distribution")
    others = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    for folder in (".", "study", "bytes", "device"):
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    yield {name: importlib.import_module(name) for name in OWN}
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(others)


def row(method, flash, test, reached=True, **more):
    figures = {"form": "size", "flash": flash, "ram": 0, "stack": 4, "mean": 30.0, "rows": 5, "wrong": 0, "floats": []}
    figures |= {"most": 31, "unit": "cycles", "compiler": "a compiler", "columns": 3} | more
    setting = "no hidden, weights to 1" if method == "bdnn" else "3 leaves"
    devices = {"atmega328p": figures}
    return {
        "method": method,
        "setting": setting,
        "reached": reached,
        "validation": 0.9,
        "test": test,
        "devices": devices,
    }


def lines(rows):
    settings = {"devices": ["atmega328p"]}
    record = {"key": "a", "data": "heart", "seed": 0, "settings": settings, "anchors": {"ours": 0.9, "rival": 0.9}}
    pairs = [each for rival in rows[1:] for each in (rows[0], rival)]
    record |= {"found": {"ours": rows, "rival": rows, "pairs": pairs}, "test_rows": 61, "cpu": 60.0, "candidates": {}}
    machine = {"processor": "a processor", "cores": 1, "python": "3.11", "packages": {"bdnn": "0.1"}}
    return "".join(json.dumps(each) + "\n" for each in ({"machine": machine}, record))


def page(bench, tmp_path, rows):
    path = tmp_path / "device.jsonl"
    path.write_text(lines(rows))
    text = bench["figures"].write(path)
    assert path.with_suffix(".md").read_text() == text
    return text


def test_a_smaller_rival_is_a_loss(bench, tmp_path):
    won = page(bench, tmp_path, [row("bdnn", 50, 0.9), row("emlearn MLP", 80, 0.9, mean=40.0)])
    assert "| At our accuracy | 1 of 1 | 1 of 1 | 1 of 1 |" in won and "\n\nNothing.\n\n" in won
    lost = page(bench, tmp_path, [row("bdnn", 50, 0.9), row("emlearn MLP", 50, 0.9, mean=30.0)])
    assert "| At our accuracy | 0 of 1 | 0 of 1 | 0 of 1 |" in lost
    assert lost.count("ours 50 on ATmega328P (test 90.0 %); emlearn MLP 50 on ATmega328P (test 90.0 %)") == 3


def test_pairs_are_judged_one_by_one(bench, tmp_path):
    text = page(bench, tmp_path, [row("bdnn", 50, 0.9), row("emlearn tree", 40, 0.9), row("emlearn forest", 60, 0.9)])
    assert "| At each rival's own accuracy, one by one | 1 of 2 | 1 of 2 |" in text
    assert "| At our accuracy | 0 of 1 | 0 of 1 |" in text


def test_a_rival_below_the_anchor_can_still_be_better_on_the_test_part(bench, tmp_path):
    rows = [row("bdnn", 50, 0.9), row("emlearn tree", 40, 0.95, reached=False)]
    text = page(bench, tmp_path, rows)
    assert "| At our accuracy | 1 of 1 | 0 of 1 | 0 of 0 |" in text and r"| emlearn tree | 3 leaves | 90.0 \* |" in text
    missed = page(bench, tmp_path, [row("bdnn", 50, 0.9, reached=False), row("emlearn tree", 400, 0.8)])
    assert (
        "| At our accuracy | 0 of 1 | 1 of 1 |" in missed and "we do not reach the anchor; emlearn tree 400" in missed
    )


def test_what_does_not_fit_and_floats_and_wrong_rows_are_said(bench, tmp_path):
    rows = [
        row("bdnn", 50, 0.9, stack=70, floats=["__addsf3"], wrong=2),
        row("emlearn tree", 40_000, 0.9, too_large=True),
    ]
    text = page(bench, tmp_path, rows)
    assert "(40,000)" in text and "1 of 1 | 1 of 1" in text and "__addsf3" in text
    assert "take at most 70 bytes of RAM" in text and "not below 64" in text and "same code on a host: 6." in text


def test_the_page_is_that_of_the_results(bench, tmp_path):
    there = BENCHMARKS / "results" / "device.jsonl"
    path = tmp_path / there.name
    path.write_bytes(there.read_bytes())
    assert bench["figures"].write(path) == there.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("column", "factor"),
    [([1, 2, 3], 1), ([0.5, 2.25], 100), ([0.5, 11_000.0], 1), ([1 / 3, 1.0], 1000), ([0, 100_000], 0.1)],
)
def test_columns_become_integers_of_16_bits(bench, column, factor):
    found = bench["samples"].power_of_ten(np.array(column, dtype=float))
    assert found == pytest.approx(factor) and np.abs(np.rint(np.array(column) * found)).max() < 2**15


def sample(bench):
    X = np.arange(10, dtype=np.int16)[:, None]
    parts = dict.fromkeys(("train", "validation", "test"), X)
    return bench["samples"].Sample(parts, dict.fromkeys(parts, (X[:, 0] > 4).astype(int)), 2)


def stump(bench, threshold, weight=1, form="a", setting=None, expected=None):
    code = f"#include <stdint.h>\nstatic int over(const int16_t *x) {{ return x[0] > {threshold}; }}\n"
    files = {bench["candidates"].HEADER: code}
    return bench["candidates"].Candidate(
        method="stump", form=form, setting=setting or str(threshold), weight=weight, write=lambda: files,
        predict="over(x)", element="int16_t", rows=lambda X: X, expected=expected, sample=sample(bench),
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed; on Debian, run: apt install gcc")
def test_accuracies_are_those_of_the_c_code_and_must_agree_with_the_model(bench):
    assert (stump(bench, 4).validation, stump(bench, 5).test) == (1.0, 0.9)
    assert stump(bench, 4, expected=lambda X: X[:, 0] > 4).test == 1.0
    with pytest.raises(AssertionError, match="1 validation rows differ"):
        _ = stump(bench, 4, expected=lambda X: X[:, 0] > 5).test


def test_the_smallest_setting_that_reaches_the_anchor_is_taken(bench, monkeypatch):
    by_setting = {"exact": 4, "near": 5, "far": 2}
    made = [
        stump(bench, threshold, weight, form, setting, lambda X, t=threshold: X[:, 0] > t)
        for weight, (setting, threshold) in enumerate(by_setting.items())
        for form in ("a", "b")
    ]
    bytes_of = {("exact", "a"): 90, ("exact", "b"): 70, ("near", "a"): 60, ("near", "b"): None, ("far", "a"): 20}
    sizes = bench["sizes"].Sizes(["atmega328p", "rv32imac"])

    def order(each, device):
        found = bytes_of.get((each.setting, each.form), 10)
        return None if found is None else (each.setting == "far" and each.form == "b", found)

    monkeypatch.setattr(sizes, "order", order)
    monkeypatch.setattr(
        bench["sizes"], "_measured", lambda each, device, run, optimize: {"form": each.form, "device": device}
    )
    for each in made:
        each.__dict__["answers"] = {"test": each.expected(each.sample.X["test"])}  # no compiler is needed
    wanted = {
        1.0: ("exact", "b", True),
        0.905: ("near", "a", True),
        0.8: ("far", "a", True),
        1.1: ("exact", "b", False),
    }
    for least, (setting, form, reached) in wanted.items():
        found = sizes.smallest(made, least)
        assert (found["setting"], found["reached"]) == (setting, reached)
        assert {each["form"] for each in found["devices"].values()} == {form}
    assert bench["sizes"].anchors(made) == {"ours": 0.0, "rival": 1.0}
