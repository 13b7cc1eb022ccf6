"""What the documentation shows works: its code, its commands, its formulas and its links. Building it is .ci/run's."""

import contextlib
import importlib
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from bdnn import cli
from bdnn.devices.models import no_compiler
from bdnn.devices.registry import installed
from export_cases import ARDUINO_H
from processes import sooner

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if not {"generated", "_build"} & set(page.parts))
TEXTS = {str(page.relative_to(ROOT / "docs")): page.read_text(encoding="utf-8") for page in PAGES}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


NEEDED = {"cluster.md": ("distributed",), "onnx.md": ("onnx", "onnxruntime", "skl2onnx")}
"""Packages of extras without which a page's examples are skipped."""


def import_needed(name):
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)


WITH_PYTHON = [name for name, text in TEXTS.items() if blocks(text, "python")]
WITH_COMMANDS = [name for name, text in TEXTS.items() if blocks(text, "bash")]


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks_run_one_after_the_other(name, tmp_path):
    import_needed(name)
    names = {"__name__": "docs"}
    with contextlib.chdir(tmp_path):
        for block in blocks(TEXTS[name], "python"):
            exec(compile(sooner(block), name, "exec"), names)


def run_commands(name, tmp_path):
    """Run the commands of a page in a folder with the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    left_out = []
    with contextlib.chdir(tmp_path):
        for command in "".join(blocks(TEXTS[name], "bash")).replace("\\\n", " ").splitlines():
            program, *words = shlex.split(sooner(command))
            if program == "pip":
                assert words[0] == "install" and words[1].startswith(".")
                assert set(re.findall(r"\w+", words[1])) <= set(EXTRAS)
            elif words[0] == "size" and not installed():
                left_out.append(command)
            else:
                assert program == "bdnn", command
                with pytest.raises(SystemExit) as stop:
                    cli.main(words)
                assert stop.value.code == 0, command
    if left_out:
        pytest.skip(f"{no_compiler()}: {'; '.join(left_out)}")


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_run_one_after_the_other(name, tmp_path):
    import_needed(name)
    run_commands(name, tmp_path)


SESSIONS = ("raw_csv.md",)
"""Pages that show what the commands on them print."""


@pytest.mark.parametrize("name", SESSIONS)
def test_commands_print_what_pages_show(name, tmp_path, run):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with contextlib.chdir(tmp_path):
        for session in blocks(TEXTS[name], "console"):
            command, shown = session.split("\n", 1)
            prompt, program, *words = shlex.split(command)
            code, out, err = run(*words)
            assert (prompt, program, code) == ("$", "bdnn", 0)
            assert in_no_time(err + out) == in_no_time(shown)


def in_no_time(text):
    """Leave out how long something took."""
    return re.sub(r"\d+\.\d s\b", "? s", text)


CONNECTING = {
    "asyncio",
    "ftplib",
    "http",
    "imaplib",
    "poplib",
    "requests",
    "smtplib",
    "socket",
    "ssl",
    "urllib",
    "xmlrpc",
}
"""Modules that open connections."""


def test_no_module_opens_a_connection_as_the_questions_page_says():
    assert "no module of it imports what would" in TEXTS["faq.md"]
    found = set()
    for file in (ROOT / "src" / "bdnn").rglob("*.py"):
        found |= set(re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"numpy", "click"} <= found and not CONNECTING & found


def skip_without(packages):
    """Skip a test, and say which packages of Debian it lacks, if a tool of theirs is not installed."""
    if gone := [package for tool, package in packages.items() if shutil.which(tool) is None]:
        pytest.skip(f"not installed (packages of Debian): {', '.join(gone)}")


GUIDE = "microcontroller.md"
"""The page whose programs are compiled and run, on an emulator and as a sketch."""


def test_the_firmware_prints_what_the_page_shows(tmp_path):
    skip_without({"cc": "gcc", "avr-gcc": "gcc-avr and avr-libc", "simavr": "simavr"})
    run_commands(GUIDE, tmp_path)
    (program,), (session,) = blocks(TEXTS[GUIDE], "c"), blocks(TEXTS[GUIDE], "console")
    (tmp_path / "main.c").write_text(program, encoding="utf-8")
    printed = ""
    for line in session.splitlines():
        if line.startswith("$ "):
            done = subprocess.run(
                shlex.split(line[2:]), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            printed += done.stderr  # simavr says on standard output what it loads, and here what the serial line gets
    shown = [line for line in session.splitlines() if not line.startswith("$ ")]
    assert re.sub(r"\x1b\[\d+m", "", printed).split("\n") == [*shown, ""]


def test_the_sketch_prints_the_same_lines(tmp_path):
    skip_without({"cc": "gcc", "c++": "g++"})
    run_commands(GUIDE, tmp_path)
    (sketch,), (session,) = blocks(TEXTS[GUIDE], "cpp"), blocks(TEXTS[GUIDE], "console")
    source = f"{ARDUINO_H}\n{sketch}\nint main(void) {{ setup(); return 0; }}\n"
    (tmp_path / "sketch.cpp").write_text(source, encoding="utf-8")
    library = tmp_path / "tissue" / "src"
    for words in (
        ["cc", "-c", *sorted(map(str, library.glob("*.c")))],
        ["c++", f"-I{library}", "-o", "sketch", "sketch.cpp", "tissue.o", "tissue_selftest.o"],
    ):
        subprocess.run(words, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "sketch"], capture_output=True, text=True, check=True).stdout
    shown = [line.removesuffix(".") for line in session.splitlines() if not line.startswith("$ ")]
    assert said.splitlines() == shown


def test_scripts_and_extras_that_are_named_exist():
    for name, text in TEXTS.items():
        for script in re.findall(r"`python (benchmarks/[\w/.]+)", text):
            assert (ROOT / script).exists(), f"{name} names {script}"
        for extra in re.findall(r"'\.\[(\w+)\]'", text):
            assert extra in EXTRAS, f"{name} names the extra {extra}"


def test_modules_and_tests_that_are_named_exist():
    for name, text in TEXTS.items():
        for dotted in re.findall(r"`(bdnn(?:\.\w+)+)", text):
            parts = dotted.split(".")
            for k in range(len(parts), 0, -1):
                with contextlib.suppress(ImportError):
                    thing = importlib.import_module(".".join(parts[:k]))
                    break
            for part in parts[k:]:
                assert hasattr(thing, part) or part in getattr(thing, "__annotations__", {}), f"{name} names {dotted}"
                thing = getattr(thing, part, None)
        for path in re.findall(r"`((?:src|tests|examples|docs)/[\w/]+\.\w+)`", text):
            assert (ROOT / path).exists() or "NAME" in path, f"{name} names {path}"


@pytest.mark.parametrize("model", ["training", "robust", "block"])
def test_models_are_stated_once(model):
    page, code = TEXTS[f"mathematics/{model}.md"], importlib.import_module(f"bdnn.formulations.{model}").__doc__
    numbers = [int(number) for number in re.findall(r"\\tag\{(\d)\}", code)]
    assert f".. automodule:: bdnn.formulations.{model}\n" in page and "$$" not in page
    assert numbers == list(range(1, len(numbers) + 1)) and numbers


def test_pages_that_docstrings_name_exist():
    for file in (ROOT / "src").rglob("*.py"):
        for path in re.findall(r"docs/[\w/]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{file} names {path}"


PUBLISHED = sorted({*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))})


@pytest.mark.parametrize("page", PUBLISHED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository(page):
    """Not to those that are there only when the documentation was built."""
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        place = (page.parent / target).resolve()
        assert place.exists() and place.is_relative_to(ROOT), f"{page} links to {target}"
        assert not {"generated", "_build"} & set(place.parts), f"{page} links to {target}"


def test_every_page_is_in_a_table_of_contents():
    listed = "\n".join(re.findall(r"```\{toctree\}\n(.*?)```", "\n".join(TEXTS.values()), flags=re.DOTALL))
    for name in TEXTS:
        assert name == "index.md" or re.search(rf"^{re.escape(name.removesuffix('.md'))}$", listed, flags=re.MULTILINE)
