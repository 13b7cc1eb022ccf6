"""Runs the data sets that have no result yet."""

from __future__ import annotations

import time
from pathlib import Path

from common import machine
from own_networks import own
from registry import Cell
from rivals_in_c import rivals
from runner import append, read_results
from samples import SETS, sample
from sizes import COMPILED, MOST_ROWS, TOLERANCE, of_data_set
from threadpoolctl import threadpool_limits

SEED = 0
VERSION = 4
"""To be raised when grids or choices change, so that everything runs again."""


def cells(devices: tuple[str, ...]) -> list[Cell]:
    """Return a cell for each data set."""
    settings = {
        "version": VERSION, "tolerance": TOLERANCE, "compiled": COMPILED, "rows": MOST_ROWS, "devices": list(devices)
    }  # fmt: skip
    return [Cell(name, "all", SEED, settings) for name in SETS]


def run(path: Path, folder: Path, only: str, devices: tuple[str, ...]) -> None:
    """Run what is missing and append one line for each data set."""
    machines, records = read_results(path)
    missing = [cell for cell in cells(devices) if only in cell.data and cell.key not in records]
    print(f"{len(missing)} data sets to run", flush=True)
    if missing and machine() not in machines[-1:]:
        append(path, {"machine": machine()})
    for cell in missing:
        began = time.process_time()
        with threadpool_limits(1):
            data = sample(folder, cell.data, cell.seed)
            candidates = [*own(data), *rivals(data)]
            trained = time.process_time() - began
            print(f"{cell.data}: {len(candidates)} candidates, {trained:.0f} s", flush=True)
            found = of_data_set(candidates, devices)
        record = {"key": cell.key, "data": cell.data, "seed": cell.seed, "settings": cell.settings} | found
        append(path, record | {"cpu": round(time.process_time() - began, 1)})
        print(f"{cell.data}: {time.process_time() - began:.0f} s in all, compilers aside", flush=True)
