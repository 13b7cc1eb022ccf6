"""The direction of imports: every module imports only modules that stand above it in one list."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bdnn

ROOT = Path(bdnn.__file__).parent

ORDER = [
    "errors",
    "files",
    "clock",
    "budget",
    "labels",
    "splitting",
    "checks",
    "columns",
    "verify_data",
    "verify_parts",
    "verify_rows",
    "verify_file",
    "verify_functions",
    "verify",
    "rows",
    "signs",
    "separation",
    "rounding",
    "grid_ends",
    "network",
    "robustness",
    "polish",
    "problem",
    "overlaps",
    "presolve",
    "audit",
    "result",
    "io",
    "milp",
    "formulations",
    "formulations.margin",
    "formulations.model",
    "formulations.blocks",
    "formulations.training",
    "formulations.robust",
    "formulations.clustered",
    "formulations.block",
    "backends.protocol",
    "backends.running",
    "backends.highs",
    "backends.scip",
    "backends.cpsat",
    "backends.gurobi",
    "backends",
    "search",
    "search.kernels",
    "search.separator",
    "search.surrogate",
    "search.points",
    "search.engine",
    "search.robust_surrogate",
    "search.robust",
    "activation",
    "activation.lifting",
    "activation.exact",
    "activation.functions",
    "activation.heads",
    "activation.covering",
    "activation.alternative",
    "activation.rows",
    "activation.program",
    "activation.cuts",
    "activation.record",
    "activation.tree",
    "activation.checkpoint",
    "activation.scouts",
    "activation.certificate",
    "methods.race",
    "methods.start",
    "activation.engine",
    "activation.parts",
    "activation.keeper",
    "methods.local_search",
    "methods.exact",
    "methods.alternating",
    "methods.data_splitting",
    "methods",
    "certification",
    "certification.support",
    "certification.steps",
    "certification.cell",
    "certification.perturbation",
    "certification.decider",
    "certification.point",
    "certification.borders",
    "certification.whole",
    "certification.lattice",
    "certification.moves",
    "certification.shallow",
    "certification.attack",
    "certification.deep",
    "certification.result",
    "certification.engine",
    "methods.worst_case",
    "methods.repair",
    "progress",
    "estimators",
    "members",
    "ensemble",
    "tables",
    "reporting",
    "plotting.style",
    "plotting.history",
    "plotting.regions",
    "plotting.structure",
    "plotting.accuracy",
    "plotting.files",
    "plotting",
    "reports",
    "reports.contents",
    "reports.wording",
    "reports.page",
    "cli.stopping",
    "cli.output",
    "cli.options",
    "cli.reading",
    "cli.training",
    "cli.models",
    "cli.certification",
    "cli.verification",
    "cli.pictures",
    "cli.reports",
    "cli",
    "__main__",
    "__init__",
]
"""Every module, each below all that it may import; a package stands for its __init__, which collects its modules."""

OPTIONAL = {"pyscipopt", "ortools", "gurobipy", "matplotlib", "torch", "onnx", "jinja2", "pandas", "highspy", "sklearn"}
AT_MODULE_LEVEL = {("estimators", "sklearn"), ("ensemble", "sklearn")}

FILES = sorted(ROOT.rglob("*.py"))


def name_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


NAMES = {name_of(file) for file in FILES}


def module_level(node):
    """Nodes that run when the module is imported: all but the bodies of functions and of TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from module_level(child)


def imported(nodes, relative_to):
    """Full names of what import statements name; `from a import b` counts as a.b where that is a module of ours."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative_to} has a relative import in line {node.lineno}; write it in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("bdnn.") in NAMES else node.module


def ours(names):
    """Those of our own modules; the package itself is `__init__`, and the compiled core lies below all of them."""
    for name in names:
        if name.startswith("bdnn._native"):
            continue
        if name == "bdnn":
            yield "__init__"
        elif name.startswith("bdnn."):
            yield name.removeprefix("bdnn.")


def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def test_every_module_has_its_place():
    unknown = sorted(NAMES - set(ORDER))
    assert not unknown, f"put {', '.join(unknown)} into ORDER, below all modules that it imports"
    gone = sorted(set(ORDER) - NAMES)
    assert not gone, f"remove {', '.join(gone)} from ORDER: there is no such module"
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_upwards(file):
    name = name_of(file)
    above = ORDER[: ORDER.index(name)]
    for other in ours(imported(ast.walk(tree_of(file)), name)):
        if other == "__init__":
            # the version is the only thing that lies in the package itself; commands call the public API
            allowed = name.split(".")[0] == "cli" or version_only(file)
            assert allowed, f"{name} imports from bdnn itself; name the module instead"
            continue
        assert other in above, f"{name} imports {other}, which does not stand above it in ORDER"


def version_only(file):
    statements = [n for n in ast.walk(tree_of(file)) if isinstance(n, ast.ImportFrom) and n.module == "bdnn"]
    names = {alias.name for node in statements for alias in node.names}
    plain = any(isinstance(n, ast.Import) and any(a.name == "bdnn" for a in n.names) for n in ast.walk(tree_of(file)))
    return names - NAMES <= {"__version__"} and not plain


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_optional_packages_are_imported_at_use(file):
    name = name_of(file)
    used = {other.split(".")[0] for other in imported(module_level(tree_of(file)), name)} & OPTIONAL
    forbidden = sorted(package for package in used if (name, package) not in AT_MODULE_LEVEL)
    assert not forbidden, f"{name} imports {', '.join(forbidden)} at module level; import it where it is used"


def in_a_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_loads_neither_scikit_learn_nor_a_solver():
    loaded = in_a_process("import sys, bdnn; bdnn.Problem, bdnn.Network; print(*sys.modules)")
    assert "bdnn.network.network" in loaded
    assert not OPTIONAL & set(loaded)


def test_the_estimator_is_loaded_at_first_use():
    loaded = in_a_process("import sys, bdnn; bdnn.BDNNClassifier; print(*sys.modules)")
    assert "sklearn" in loaded
    assert "highspy" not in loaded


def test_the_checker_sees_what_it_should():
    code = """
import numpy as np, highspy
from bdnn import model_file as io
from bdnn.formulations import training
try:
    import torch
except ImportError:
    pass
if TYPE_CHECKING:
    import pandas
class A:
    import onnx
    def f(self):
        import sklearn
        from bdnn.estimators.classifier import load
"""
    tree = ast.parse(code)
    everything, at_import = (set(imported(n, "x")) for n in (ast.walk(tree), module_level(tree)))
    assert everything - at_import == {"pandas", "sklearn", "bdnn.estimators.classifier"}
    assert at_import == {"numpy", "highspy", "bdnn.model_file", "bdnn.formulations.training", "torch", "onnx"}
    assert set(ours(everything | {"bdnn", "bdnnx"})) == {"io", "formulations.training", "estimators", "__init__"}
