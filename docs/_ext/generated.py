"""What pages include and nobody writes: outputs of the examples, tables from result files, lists of public names.

Everything goes to docs/generated. An example is run again only if it is newer than its output: delete the folder after
a change of the library. With BDNN_DOCS_SECONDS the examples' time limits are at most so many seconds, to see quickly
that they run.
"""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from sphinx.addnodes import pending_xref
from sphinx.util import logging

import bdnn

LOGGER = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
OUT = ROOT / "docs" / "generated"
SECONDS = float(os.environ.get("BDNN_DOCS_SECONDS", "inf"))
RUN = "import sys; f = sys.argv[1]; exec(compile(sys.stdin.read(), f, 'exec'), {'__name__': '__main__', '__file__': f})"
"""Runs the script on standard input by the name of its file."""

MODULES = {
    "bdnn.result": "What a run returns",
    "bdnn.network.network": "Networks",
    "bdnn.errors": "Errors",
    "bdnn.polish": "Margin polish",
    "bdnn.problem.audit": "Audit",
    "bdnn.problem.presolve": "Presolve",
    "bdnn.methods.exact": "Exact training",
    "bdnn.methods.local_search": "Local search",
    "bdnn.methods.alternating": "Alternating blocks",
    "bdnn.methods.data_splitting": "Data splitting",
    "bdnn.methods.method": "What methods share",
    "bdnn.methods.run": "Runs of methods",
    "bdnn.milp.program": "Mixed-integer programs",
    "bdnn.formulations.training": "Training program",
    "bdnn.backends.protocol": "Back-ends",
    "bdnn.export.program": "Integer programs",
    "bdnn.export.request": "Targets of exports",
    "bdnn.export.sklearn_onnx": "Classifiers in skl2onnx",
}
"""Modules below the public names that pages refer to, with titles."""


def write(name, text):
    """Write a generated file, unless it is there already, so that Sphinx reads only what has changed."""
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def newer(script, name):
    """Whether a script is newer than what was generated from it."""
    path = OUT / name
    return not path.exists() or path.stat().st_mtime < script.stat().st_mtime


def source(script):
    """Return the text of a script, with lower time limits if `SECONDS` are fewer."""
    limit = re.compile(r"(time_limit(?:=|\": ))([\d.]+)")
    text = script.read_text(encoding="utf-8")
    return limit.sub(lambda found: f"{found[1]}{min(float(found[2]), SECONDS):g}", text)


def examples():
    """Run the scripts of examples/ and keep what they print."""
    for script in sorted((ROOT / "examples").glob("*.py")):
        is_page = script.stem == "walkthrough"
        name = f"{script.stem}.md" if is_page else f"output/{script.stem}.txt"
        if not newer(script, name):
            continue
        LOGGER.info("running %s", script.name)
        with tempfile.TemporaryDirectory() as folder:
            if is_page:
                write(name, notebook(script, folder))
                continue
            words = [sys.executable, "-c", RUN, script]
            done = subprocess.run(words, cwd=folder, input=source(script), capture_output=True, text=True)
        if done.returncode:
            LOGGER.warning("examples/%s does not run: %s", script.name, done.stderr)
        write(name, done.stdout)


def notebook(script, folder):
    """Return a page of a script's ``# %%`` cells, each with what it prints."""
    parts, names = [], {"__name__": "__main__", "__file__": str(script)}
    for kind, cell in re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", source(script), re.M | re.S):
        if kind:
            parts.append(re.sub(r"^# ?", "", cell.strip(), flags=re.M))
            continue
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            exec(compile(cell, script.name, "exec"), names)
        parts.append(f"```python\n{cell.strip()}\n```")
        if printed.getvalue():
            parts.append(f"```text\n{printed.getvalue().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def tables():
    """Write the tables of the benchmarks from their result files, by the functions of their scripts."""
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "study")]
    try:
        registry, study, results = (importlib.import_module(name) for name in ("registry", "tables", "common"))
        write("tables/which_method.md", study.overview(results.RESULTS / "study.jsonl", registry.cells()) + "\n")
        titled, untitled = ("study", "bytes", "device", "few_features", "published", "widths"), ("few_shot", "mnist")
        for name, title in [*((name, 1) for name in titled), *((name, 0) for name in untitled)]:
            text = (results.RESULTS / f"{name}.md").read_text(encoding="utf-8").split("\n", title)[title]
            write(f"tables/{name}.md", text.replace(" ± ", "\u00a0±\u00a0"))  # without its title, lines unbroken
        for name in ("reading", "parallel"):
            write(f"tables/{name}.md", (results.RESULTS / f"{name}.md").read_text(encoding="utf-8"))
        for name, table in (
            ("exact", "text"),
            ("certify", "text"),
            ("local_search", "table"),
            ("robust_models", "table"),
        ):
            content = json.loads((results.RESULTS / f"{name}.json").read_text())["results"]
            write(f"tables/{name}.md", getattr(importlib.import_module(name), table)(content) + "\n")
        cards = json.loads((results.RESULTS / "cards.json").read_text())["results"]
        write("tables/cards.md", importlib.import_module("cards").text(cards) + "\n")
        probabilities = json.loads((results.RESULTS / "probabilities.json").read_text())["results"]["tables"]
        write("tables/probabilities.md", importlib.import_module("probabilities").tables(probabilities) + "\n")
        accuracy = importlib.import_module("accuracy")
        runs = accuracy.known(accuracy.FILE, range(3))
        write("tables/accuracy.md", (accuracy.report(runs) or "Not all methods have been run.") + "\n")
        robust = json.loads((results.RESULTS / "robust_training.json").read_text())["results"]
        module = importlib.import_module("robust_training")
        write("tables/robust_training.md", module.table_of_scale(robust["scale"]) + "\n")
        write("tables/repair.md", module.table_of_repair(robust["repair"]) + "\n")
        solvers = json.loads((results.RESULTS / "solvers.json").read_text())["results"]
        text = importlib.import_module("solvers").table(solvers["rows"], solvers["time_limit"])
        write("tables/solvers.md", text + "\n")
    finally:
        del sys.path[:2]


def reference():
    """Write a page for each public name and for each of `MODULES`."""
    for name in bdnn.__all__:
        thing = getattr(bdnn, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            continue  # with the others, in bdnn.errors
        kind = "class" if isinstance(thing, type) else "module" if isinstance(thing, types.ModuleType) else "function"
        members = "   :members:\n   :exclude-members: set_fit_request, set_score_request\n" * (kind != "function")
        write(f"api/{name}.rst", f"{name}\n{'=' * len(name)}\n\n.. auto{kind}:: bdnn.{name}\n{members}")
    public = [getattr(bdnn, name) for name in bdnn.__all__]
    for name, title in MODULES.items():
        module = importlib.import_module(name)
        own = {key for key, thing in vars(module).items() if getattr(thing, "__module__", "") == name}
        elsewhere = sorted(key for key in own if name != "bdnn.errors" and vars(module)[key] in public)
        exclude = f"   :exclude-members: {', '.join(elsewhere)}\n" if elsewhere else ""
        heading = f"{title}\n{'=' * len(title)}\n\n"
        write(f"api/modules/{name}.rst", f"{heading}.. automodule:: {name}\n   :members:\n{exclude}")


def generate(app):
    """Write everything that is included."""
    examples()
    tables()
    reference()


def readable(app, what, name, obj, options, lines):
    """Make reStructuredText of docstrings: bars are absolute values and trailing underscores belong to names."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[k] = re.sub(
                r"(?<![`\\\w])(\w+)_(?=[\s,.:);]|$)", r"\1\\_", re.sub(r"(?<![`\\])\|(?!`)", r"\\|", line)
            )


def literal_options(app, ctx, lines):
    """Set options that a help text names as code, so that their dashes stay two."""
    for k, line in enumerate(lines):
        if not line.startswith(".. "):
            line = re.sub(r"'([^' ]*\*[^' ]*)'", r"``\1``", line)  # a pattern of files, whose star would be emphasis
            lines[k] = re.sub(r"(?<![`\w-])(--[a-z][\w-]*)", r"``\1``", line)


def plain_shapes(app, doctree):
    """Unlink what is not a class in the types of parameters: (n_samples, n_features) is no reference to a property."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("refspecific") and node["reftarget"].islower():
            node.replace_self(node.children)


def setup(app):
    """Generate before pages are read."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", readable)
    app.connect("sphinx-click-process-description", literal_options)
    app.connect("sphinx-click-process-options", literal_options)
    app.connect("doctree-read", plain_shapes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
