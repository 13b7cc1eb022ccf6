"""What the README shows works."""

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


def test_tables_come_from_result_files():
    for mark, results in (("solvers", "solvers.json"), ("robust models", "robust_models.json")):
        _, rest = README.split(f"<!-- {mark}: start -->\n")
        table, _ = rest.split(f"<!-- {mark}: end -->")
        assert table.count("\n") >= 5
        assert (Path(__file__).parents[1] / "benchmarks" / "results" / results).exists()
