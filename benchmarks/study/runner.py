"""Runs the cells that have no result yet and appends one JSON line for each to the result file."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from common import machine
from datasets import PARTS, Split, split, stratified
from registry import BY_NAME, Cell
from rivals import TRAINERS, Skipped, warm_up
from threadpoolctl import threadpool_limits
from verify import ends, verify

from bdnn import Budget, Network, Problem
from bdnn.methods import METHODS
from bdnn.network.intervals import robust_losses
from bdnn.polish import polished

Record = dict[str, Any]


def read_results(path: Path) -> tuple[list[Record], dict[str, Record]]:
    """Return the machines, and the last record of each cell; a half-written line is passed over."""
    machines, records = [], {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "machine" in entry:
            machines += [entry["machine"]] if entry["machine"] not in machines else []
        else:
            records[entry["key"]] = entry
    return machines, records


def append(path: Path, entry: Record) -> None:
    """Append a line in one write; a half-written line before it is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        broken = size > 0 and file.read(1) != b"\n"
        file.write((("\n" if broken else "") + json.dumps(entry) + "\n").encode())
        file.flush()


def run(
    cells: Iterable[Cell],
    path: Path,
    folder: Path,
    workers: int = 1,
    pattern: str = "",
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> int:
    """Run what is missing; return how many cells ran. Cells that failed or were skipped are tried again."""
    machines, records = read_results(path)
    missing = [
        cell
        for cell in cells
        if re.search(pattern, f"{cell.data}/{cell.method}/{cell.seed}")
        and records.get(cell.key, {}).get("state") != "done"
    ]
    say(f"{len(missing)} cells to run")
    if missing and _machine() not in machines[-1:]:
        append(path, {"machine": _machine()})
    for number, record in enumerate(_records(missing, folder, workers), start=1):
        append(path, record)
        shown = (
            f"test {record['test']:.3f}, {record['seconds']:.1f} s" if record["state"] == "done" else record["reason"]
        )
        say(f"{number}/{len(missing)} {record['data']}, {record['method']}, seed {record['seed']}: {shown}")
    return len(missing)


def _machine() -> Record:
    described = machine()
    try:
        described["packages"]["torch"] = version("torch")
    except PackageNotFoundError:
        pass
    return described


def _records(cells: list[Cell], folder: Path, workers: int) -> Iterable[Record]:
    if workers <= 1:
        yield from (run_cell(cell, folder) for cell in cells)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from (future.result() for future in as_completed([pool.submit(run_cell, c, folder) for c in cells]))


def run_cell(cell: Cell, folder: Path) -> Record:
    """Return the record of a cell, also of one that fails."""
    record: Record = {"key": cell.key, "data": cell.data, "method": cell.method, "seed": cell.seed}
    record["settings"] = cell.settings
    try:
        parts = split(folder, BY_NAME[cell.data], cell.seed, cell.settings.get("subset"))
        with threadpool_limits(1):
            train = _ours if cell.settings["kind"] == "bdnn" else _rival
            return record | {"state": "done"} | train(cell, parts)
    except Skipped as reason:
        return record | {"state": "skipped", "reason": str(reason)}
    except Exception as error:  # one broken cell must not end a study of hours
        return record | {"state": "failed", "reason": f"{type(error).__name__}: {error}"}


def _accuracies(predict: Callable[[np.ndarray], np.ndarray], X: dict[str, np.ndarray], parts: Split) -> Record:
    return {part: float(np.mean(predict(X[part]) == parts.y[part])) for part in PARTS}


def _rival(cell: Cell, parts: Split) -> Record:
    if cell.settings["kind"] == "relu":
        warm_up()
    began = time.perf_counter()
    predict, size = TRAINERS[cell.settings["kind"]](parts.scaled, parts.y, cell.settings, cell.seed)
    seconds = time.perf_counter() - began
    accuracies = _accuracies(predict, parts.scaled, parts)
    rows = len(parts.y["train"])
    loss = round((1 - accuracies["train"]) * rows)
    return {"rows": rows, "loss": loss, **accuracies, "seconds": round(seconds, 3), "bytes": int(size)}


def _ours(cell: Cell, parts: Split) -> Record:
    settings = cell.settings
    whole = all(np.all(values == np.rint(values)) for values in parts.raw.values())
    X = parts.raw if settings["weights"] == "integer" else parts.scaled
    used = stratified(parts.y["train"], settings["rows"], cell.seed)
    problem = Problem(
        X=X["train"][used],
        y=parts.y["train"][used],
        validation=(X["validation"], parts.y["validation"]) if settings["validation"] else None,
        hidden_layer_sizes=settings["hidden"],
        weights=settings["weights"],
        robust_radius=settings.get("radius", 0.0),
        robust_model=settings.get("model", "interval"),
    )
    searches = settings["method"] == "local_search"
    # the published methods as they are; what the margin polish adds is measured where no held-out data choose
    apart = searches and not settings["validation"]
    plain = {"polish": "none" if apart else "margin"} if searches else {"incumbents": "none"}
    if settings["method"] == "exact":
        plain["formulation"] = "big_m"
    method = METHODS[settings["method"]](**plain, **settings["options"])
    budget = Budget(seconds=settings["seconds"], seed=cell.seed).start()
    result = method(problem, budget)
    network = result.network
    if apart:
        network = polished(network, problem.X, budget=budget.within(0.1 * budget.seconds + budget.remaining))
    seconds = budget.elapsed
    record = {"rows": len(used), "loss": result.objective} | _accuracies(network.predict, X, parts)
    if apart:
        record["unpolished"] = _accuracies(result.network.predict, X, parts)["test"]
    record |= {"seconds": round(seconds, 3), "bytes": result.network.size_bytes}
    record |= {"bound": result.bound if math.isfinite(result.bound) else None, "status": str(result.status)}
    record |= {"solver": result.solver, "message": result.message, "mismatch": result.audit.mismatch}
    if settings["weights"] == "integer":
        record["inputs"] = "raw integers" if whole else "grid"
    if "radius" in settings:
        record["attacks"] = [
            {"radius": radius}
            | attacked(result.network, X["test"], parts.y["test"], radius, settings["draws"], cell.seed)
            for radius in settings["attacks"]
        ]
    return record


def attacked(network: Network, X: np.ndarray, y: np.ndarray, radius: float, draws: int, seed: int) -> Record:
    """Return the mean accuracy under random noise of that size, and shares of points right on whole balls.

    *worst* is the share proven right on the whole ball, *undecided* the share neither proven right nor broken by an
    attack, *certified* the share proven by intervals alone. What must hold between them is checked.
    """
    rng = np.random.default_rng(seed)
    low, high = ends(X, radius)
    noisy = [network.predict(np.where(rng.choice((-1.0, 1.0), X.shape) > 0, high, low)) == y for _ in range(draws)]
    codes = np.searchsorted(network.classes, y)
    losses, _ = robust_losses(network, X, codes, np.full(X.shape[1], radius), "inf", "interval")
    proven, broken, _ = verify(network, X, y, radius)
    undecided = ~proven & ~broken
    if np.any(broken & (losses == 0)):
        raise AssertionError("a point certified by intervals is broken by an attack")
    if np.any(proven & ~np.all(noisy, axis=0)):
        raise AssertionError("noise changes the prediction of a point that is proven right")
    if radius == 0 and (np.any(undecided) or np.any(proven != (network.predict(X) == y))):
        raise AssertionError("without perturbations the worst case is not the accuracy")
    shares = {"noise": np.array(noisy), "certified": losses == 0, "worst": proven, "undecided": undecided}
    return {name: float(np.mean(points)) for name, points in shares.items()} | {"points": len(X)}
