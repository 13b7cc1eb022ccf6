"""The study's runner and tables: finished cells are not run again, tables come from the result file alone."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODULES = ("common", "registry", "datasets", "rivals", "verify", "runner", "tables")


@pytest.fixture
def study(monkeypatch):
    if not (BENCHMARKS / "study").is_dir():
        pytest.skip("the benchmarks are not part of this distribution")
    others = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "study"))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]
    sys.modules.update(others)


def tiny_cells(study):
    wanted = ("exact, continuous", "robust, radius 0.05, interval", "decision tree")
    return [
        study["registry"].Cell(cell.data, cell.method, cell.seed, cell.settings | {"subset": 40})
        for cell in study["registry"].cells(quick=True)
        if cell.data == "iris" and cell.method in wanted and cell.seed == 0
    ]


def test_finished_cells_are_not_run_again_and_tables_need_only_the_file(study, tmp_path, monkeypatch):
    cells, path = tiny_cells(study), tmp_path / "study.jsonl"
    runner, tables = study["runner"], study["tables"]
    assert len(cells) == 3
    assert runner.run(cells, path, tmp_path, say=lambda line: None) == 3
    before = path.read_bytes()

    def refuse(*arguments):
        raise AssertionError("a finished cell was run again")

    monkeypatch.setattr(runner, "run_cell", refuse)
    assert runner.run(cells, path, tmp_path, say=lambda line: None) == 0
    assert path.read_bytes() == before

    first = tables.write(path, cells, "Tiny").read_text()
    path.with_suffix(".md").unlink()
    assert tables.write(path, cells, "Tiny").read_text() == first
    for expected in (
        "3 of 3 cells",
        "Machine: ",
        "## iris",
        "| exact, continuous | 2 | 1 |",
        "| 0.05, interval | 1 |",
        "worst case 0.2",
    ):
        assert expected in first


def test_half_written_line_is_run_again(study, tmp_path):
    cells, path = tiny_cells(study)[:1], tmp_path / "study.jsonl"
    runner = study["runner"]
    runner.run(cells, path, tmp_path, say=lambda line: None)
    path.write_bytes(path.read_bytes()[:-20])
    assert runner.run(cells, path, tmp_path, say=lambda line: None) == 1
    machines, records = runner.read_results(path)
    assert len(machines) == 1 and records[cells[0].key]["state"] == "done"


def test_other_settings_make_another_key_and_failures_are_recorded(study, tmp_path):
    cell = tiny_cells(study)[0]
    other = study["registry"].Cell(cell.data, cell.method, cell.seed, cell.settings | {"seconds": 9.0})
    broken = study["registry"].Cell(cell.data, "broken", cell.seed, cell.settings | {"hidden": [-1]})
    assert cell.key != other.key
    record = study["runner"].run_cell(broken, tmp_path)
    assert record["state"] == "failed" and "hidden layer size" in record["reason"]
