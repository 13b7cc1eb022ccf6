"""The house: floors that import only from floors below, no cycles, short chains, short files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bdnn
from house import House, module_level

ROOT = Path(bdnn.__file__).parent
HOUSE = House(ROOT)
NAMES = sorted(HOUSE.trees)

FLOORS = [
    [
        "arrays",
        "budget",
        "checks",
        "clock",
        "columns",
        "errors",
        "files",
        "labels",
        "libraries",
        "linear_programs",
        "parallel",
        "regression_targets",
        "status",
        "stopping",
        "types",
        "version",
    ],
    ["checker"],
    ["exact"],
    ["margins"],
    ["encoding"],
    ["network"],
    ["problem"],
    ["result"],
    ["milp"],
    ["backends"],
    ["formulations"],
    ["branch_and_cut", "certification", "polish", "rounding", "search"],
    ["cluster", "partitions"],
    ["methods"],
    [
        "__init__",
        "__main__",
        "calibration",
        "cli",
        "compact",
        "devices",
        "export",
        "estimators",
        "model_file",
        "plotting",
        "progress",
        "reports",
        "splitting",
        "tables",
    ],
]
"""From the ground up: folders, and modules that lie in the package itself. A floor stands on those before it."""

BESIDE = {0, len(FLOORS) - 1}
"""Floors whose rooms may import one another: the vocabulary, and the faces."""

LONGEST_CHAIN, LONGEST_FILE, LONG_FILE, LONG_SHARE = 13, 500, 350, 0.1

OPTIONAL = {
    "dask",
    "distributed",
    "duckdb",
    "pyscipopt",
    "ortools",
    "gurobipy",
    "matplotlib",
    "torch",
    "onnx",
    "jinja2",
    "pandas",
    "highspy",
    "sklearn",
}
SCIKIT_LEARN = "estimators"
"""The floor that may import scikit-learn at module level."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room(name):
    return name.split(".")[0]


def ours(names):
    """Those that are modules in Python: the compiled core lies below all of them."""
    return sorted(name for name in names if room(name) != "_native")


def test_every_room_has_its_floor():
    rooms = {room(name) for name in NAMES}
    assert rooms == set(FLOOR), f"put into FLOORS, or take out: {', '.join(sorted(rooms ^ set(FLOOR)))}"
    assert len(FLOOR) == sum(map(len, FLOORS))


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_down(name):
    mine = FLOOR[room(name)]
    for other in ours(HOUSE.imports(name, at_import=False)):
        if other == "__init__":
            # commands call the public API
            assert room(name) == "cli", f"{name} imports from bdnn itself; name the module instead"
            continue
        theirs = FLOOR[room(other)]
        inside = room(other) == room(name) or (theirs == mine and mine in BESIDE)
        assert theirs < mine or inside, f"{name} imports {other}, which is not on a floor below"


def test_no_cycles():
    assert HOUSE.cycles() == []


def test_own_modules_are_imported_at_the_top():
    assert [place for place in HOUSE.lazy_imports() if place[0] != "__init__"] == []


def test_chains_are_short():
    chain = HOUSE.longest_chain()
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_files_are_short():
    lengths = {name: source.count("\n") for name, source in HOUSE.sources.items()}
    assert [name for name, lines in lengths.items() if lines > LONGEST_FILE] == []
    long = sorted(name for name, lines in lengths.items() if lines > LONG_FILE)
    assert len(long) <= LONG_SHARE * len(lengths), long


@pytest.mark.parametrize("name", NAMES)
def test_optional_packages_are_imported_at_use(name):
    at_import = set(imported(module_level(HOUSE.trees[name]))) & OPTIONAL
    allowed = {"sklearn"} if room(name) == SCIKIT_LEARN else set()
    assert at_import <= allowed, f"{name} imports {at_import - allowed} at module level; import it where it is used"


def imported(nodes):
    """Packages that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}; write it in full"
            yield node.module.split(".")[0]


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
    assert not {"dask", "distributed", "highspy"} & set(loaded)


def test_a_command_loads_no_other():
    loaded = set(in_a_process("import sys, bdnn.cli; bdnn.cli.cli.get_command(None, 'inspect'); print(*sys.modules)"))
    assert "bdnn.cli.models" in loaded
    assert not {"bdnn.cli.training", "bdnn.cli.certification", "bdnn.cli.export", "bdnn.cli.reports"} & loaded


def test_what_is_measured(tmp_path):
    """The tests above see what they should, on a house with every fault."""
    (tmp_path / "inner").mkdir()
    files = {
        "__init__.py": "",
        "inner/__init__.py": "",
        "inner/one.py": "from bdnn.inner import two\nLIMIT = 3\n",
        "inner/two.py": "import highspy\ndef f(x: Any):\n    from bdnn import three\n    _MORE = 4\n",
        "three.py": "from typing import TYPE_CHECKING\nimport bdnn.inner.one\n_A, _B = 1, 2  # why\n"
        "if TYPE_CHECKING:\n    from bdnn.inner.two import f\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    house = House(tmp_path)
    assert house.imports("inner.one") == {"inner.two"}
    assert house.imports("inner.two") == set() and house.imports("inner.two", at_import=False) == {"three"}
    assert house.lazy_imports() == [("inner.two", 3, "three")]
    assert house.cycles() == [["inner.one", "inner.two", "three"]]
    assert house.longest_chain() == ["three", "inner.one", "inner.two"]
    assert sorted(house.constants()) == [("inner.one", "LIMIT", False), ("three", "_A", True), ("three", "_B", True)]
    assert house.any_parameters() == [("inner.two", "f", "x")]
    assert set(imported(module_level(house.trees["inner.two"]))) == {"highspy"}
