"""The cells of the benchmark, and the running of those that have no result yet."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from common import machine
from diet import diet
from opponents import boosting, forests, logistic, networks, trees
from ours import ours
from pool import BUDGETS, Candidate, chosen
from registry import Cell
from runner import append, read_results
from slim import slim
from sources import MOST_ROWS, QUICK, SOURCES, Split, split
from threadpoolctl import threadpool_limits

SEEDS = 5
METHODS: dict[str, Callable[[Split, int], dict[str, list[Candidate]]] | tuple[str, str]] = {
    "ours": ours,
    "tree": trees,
    "forest": forests,
    "boosting": boosting,
    "logistic": logistic,
    "mlp": networks,
    "straight-through": ("straight", "straight_through"),
    "diet": diet,
    "optimal trees": ("optimal", "optimal"),
    "figs": ("figs", "figs"),
    "slim": slim,
}
"""Functions, or module and name of those that need the extra `bench`."""
VERSION = dict.fromkeys(METHODS, 1) | {"ours": 8, "straight-through": 4, "mlp": 3, "logistic": 2, "slim": 2}
"""To be raised when a method changes, so that its cells run again."""


def cells(quick: bool = False) -> list[Cell]:
    """Return all cells, seed by seed, so that an unfinished run is balanced."""
    settings = {method: {"version": VERSION[method], "budgets": BUDGETS, "rows": MOST_ROWS} for method in METHODS}
    return [
        Cell(name, method, seed, settings[method])
        for seed in range(1 if quick else SEEDS)
        for name in (QUICK if quick else SOURCES)
        for method in METHODS
    ]


def run(wanted: Iterable[Cell], path: Path, folder: Path, pattern: str = "") -> None:
    """Run what is missing and append one line for each cell."""
    machines, records = read_results(path)
    missing = [
        cell
        for cell in wanted
        if re.search(pattern, f"{cell.data}/{cell.method}/{cell.seed}")
        and records.get(cell.key, {}).get("state") != "done"
    ]
    print(f"{len(missing)} cells to run", flush=True)
    if missing and machine() not in machines[-1:]:
        append(path, {"machine": machine()})
    for number, cell in enumerate(missing, start=1):
        record = run_cell(cell, folder)
        append(path, record)
        shown = record.get("reason") or ", ".join(
            f"{variant} {np.mean([result['test'] for result in found.values()]):.3f}"
            for variant, found in record["results"].items()
        )
        print(f"{number}/{len(missing)} {cell.data}, seed {cell.seed}, {shown}", flush=True)


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """Return the record of a cell, also of one that fails."""
    record = {"key": cell.key, "data": cell.data, "method": cell.method, "seed": cell.seed, "settings": cell.settings}
    train = METHODS[cell.method]
    try:
        if isinstance(train, tuple):
            train = getattr(import_module(train[0]), train[1])
        parts = split(folder, cell.data, cell.seed)
        with threadpool_limits(1):
            began = time.process_time()
            pools = train(parts, cell.seed)
            seconds = time.process_time() - began
            results = {variant: chosen(pool, parts) for variant, pool in pools.items()}
        record |= {"state": "done", "cpu": round(seconds, 2), "candidates": sum(map(len, pools.values()))}
        return record | {"cpu_with_refits": round(time.process_time() - began, 2), "results": results}
    except ImportError as error:
        return record | {"state": "skipped", "reason": f"{error} (extra bench)"}
    except Exception as error:  # one broken cell must not end the run
        return record | {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
