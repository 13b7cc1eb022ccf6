"""What the README shows works, and its figures are those of the result files."""

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from bdnn import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("&&")[-1].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if "bdnn " in line
]
PYTHON = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("block", "shown"), PYTHON)
def test_python_blocks_print_what_is_shown(block, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "README.md", "exec"), {})
    assert printed.getvalue() == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_options_that_exist(command):
    program, name, *words = shlex.split(command)
    known = {
        option for parameter in cli.cli.get_command(click.Context(cli.cli), name).params for option in parameter.opts
    }
    assert program == "bdnn"
    assert {word for word in words if word.startswith("--")} <= known


def test_the_first_two_commands_are_marked_for_continuous_integration():
    main_job, test_command = README.index("<!-- main job -->"), README.index("<!-- test command -->")
    assert main_job < test_command < README.index("## From Python")
    assert "bdnn train examples/data/breast_cancer_wisconsin.csv --target target --hidden 2 --method exact" in README


def test_it_is_short_and_has_an_example():
    assert PYTHON
    assert len(README.splitlines()) <= 150
    assert len(README.encode()) <= 9_000


def test_links_lead_to_files():
    if not (ROOT / "docs").is_dir():
        pytest.skip("the documentation is not part of this distribution")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


@pytest.fixture
def headline(monkeypatch):
    """The module that makes the table."""
    path = ROOT / "benchmarks" / "headline.py"
    if not path.exists():
        pytest.skip("the benchmarks are not part of this distribution")
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    spec = importlib.util.spec_from_file_location("headline", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_those_of_the_result_files(headline):
    shown = README.split("<!-- headline: start -->\n")[1].split("\n<!-- headline: end -->")[0]
    assert shown == headline.table()
    assert sum(any(character.isdigit() for character in line) for line in shown.splitlines()) >= len(headline.ROWS)
