"""What the README shows works."""

import json
import re
import shlex
from pathlib import Path

import pytest

from bdnn import cli

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("&&")[-1].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if "bdnn " in line
]


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_options_that_exist(command):
    program, name, *words = shlex.split(command)
    known = {option for parameter in cli.cli.commands[name].params for option in parameter.opts}
    assert program == "bdnn"
    assert {word for word in words if word.startswith("--")} <= known


def test_the_first_two_commands_are_marked_for_continuous_integration():
    main_job, test_command = README.index("<!-- main job -->"), README.index("<!-- test command -->")
    assert main_job < test_command < README.index("## ")
    assert "bdnn train examples/data/breast_cancer_wisconsin.csv --target target --hidden 2 --method exact" in README


def cells_of(mark):
    """The rows of a table of the README below its head."""
    _, rest = README.split(f"<!-- {mark}: start -->\n")
    table, _ = rest.split(f"<!-- {mark}: end -->")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def results_of(name):
    path = Path(__file__).parents[1] / "benchmarks" / "results" / f"{name}.json"
    if not path.parent.is_dir():
        pytest.skip("the benchmarks are not part of this distribution")
    return json.loads(path.read_text())["results"]


def test_the_table_of_solvers_is_that_of_the_result_file():
    results = results_of("solvers")
    limit, shown = results["time_limit"], cells_of("solvers")
    assert [row[0] for row in shown] == [row["instance"] for row in results["rows"]]
    solvers = [name for name in ("highs", "scip", "cpsat", "gurobi") if any(name in row for row in results["rows"])]
    for cells, row in zip(shown, results["rows"], strict=True):
        for cell, name in zip(cells[1:], solvers, strict=True):
            found = row.get(name, {})
            if "seconds" not in found:
                assert cell == "–"
            elif found["seconds"] < limit:
                assert float(cell) == pytest.approx(found["seconds"], abs=0.006)
            else:
                assert [float(number) for number in cell.split("..")] == [found["bound"], found["loss"]]


def test_the_table_of_robust_models_is_that_of_the_result_file():
    results = results_of("robust_models")
    shown = {(int(rows), model): cells for rows, model, *cells in cells_of("robust models")}
    assert set(shown) == {(row["rows"], model) for row in results for model in ("interval", "pattern")}
    for (rows, model), cells in shown.items():
        found = [row[model] for row in results if row["rows"] == rows]
        for cell, result in zip(cells, found, strict=True):
            numbers = [result["loss"]] if result["status"] == "optimal" else [result["bound"], result["loss"]]
            assert [float(number) for number in cell.split("..")] == numbers
