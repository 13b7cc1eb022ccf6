"""What all benchmarks share: where the data is, the machine, and writing results."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bdnn.tables import filled, medians, read_table

RESULTS = Path(__file__).parent / "results"
_DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
_PACKAGES = (
    "bdnn",
    "numpy",
    "scipy",
    "scikit-learn",
    "highspy",
    "pyscipopt",
    "ortools",
    "gurobipy",
    "emlearn",
    "m2cgen",
    "micromlgen",
)


def add_data_option(parser: Any) -> None:
    """Add ``--data``; the default is BDNN_DATA, or the folder shared/data beside the repository."""
    default = Path(os.environ.get("BDNN_DATA", _DEFAULT_DATA))
    parser.add_argument("--data", type=Path, default=default, help="folder with the data sets")


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a table of the data folder, missing values replaced by the lower median of their columns."""
    path = folder / name
    if not path.exists():
        sys.exit(f"{path} is missing: give the folder with the data sets as --data or BDNN_DATA")
    table = read_table(path, "target")
    return filled(table, medians(table, np.arange(len(table.X)))), table.labels


def images(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and test images, gray levels 0 to 255 by row, and their labels."""
    arrays = []
    for part in ("train", "test"):
        path = folder / f"{name}_{part}.npz"
        if not path.exists():
            sys.exit(f"{path} is missing: give the folder with the data sets as --data or BDNN_DATA")
        with np.load(path, allow_pickle=False) as file:
            arrays += [file["X"].astype(np.float32), file["y"].astype(np.int64)]
    X, y, X_test, y_test = arrays
    return X, y, X_test, y_test


def drawn(X: np.ndarray, y: np.ndarray, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the first rows of a seeded permutation."""
    chosen = np.random.default_rng(seed).permutation(len(X))[:rows]
    return X[chosen], y[chosen]


def machine() -> dict[str, Any]:
    """Describe processor, Python and package versions."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version(), "packages": versions}


def write_results(name: str, results: Any) -> None:
    """Write results and machine to ``benchmarks/results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")
    print(f"wrote {path.relative_to(Path(__file__).parents[1])}")


def rewrite(name: str, mark: str, text: str) -> None:
    """Replace what stands between ``<!-- MARK: start -->`` and ``<!-- MARK: end -->`` in a file of the repository."""
    path = Path(__file__).parents[1] / name
    before, rest = path.read_text().split(f"<!-- {mark}: start -->\n")
    _, after = rest.split(f"<!-- {mark}: end -->")
    path.write_text(f"{before}<!-- {mark}: start -->\n{text}\n<!-- {mark}: end -->{after}")
