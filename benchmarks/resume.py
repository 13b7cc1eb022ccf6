"""Kill exact training at random moments, again and again, and compare what remains with undisturbed runs.

Every run is the command ``bdnn`` in a process of its own, killed by SIGKILL. Three kinds of runs: such as close, which
must end with the loss, bound and status of the undisturbed run; hard ones, of which the bound that is shown may never
fall and every start must use its time; and the sequence of a long run that is killed late and started anew.

    python benchmarks/resume.py
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import add_data_option, load, write_results

TOLD = re.compile(r"incumbent (\S+)  bound (\S+)  gap .*(?:nodes|rounds) (\d+)")

# name, table, rows drawn (None: all), options, seconds of a run that closes (None: it will not)
CASES: list[tuple[str, str, int | None, list[str], float | None]] = [
    ("breast cancer, no hidden", "breast_cancer_wisconsin_bdnn.csv", None, ["--hidden", "none"], 120),
    ("pima m=100, no hidden", "pima_diabetes.csv", 100, ["--hidden", "none"], 120),
    ("pima m=80, certificate", "pima_diabetes.csv", 80, ["--hidden", "none", "--certificate"], 120),
    ("haberman m=60, 2 hidden", "haberman.csv", 60, ["--hidden", "2"], 120),
    ("heart, no hidden", "heart_cleveland.csv", None, ["--hidden", "none"], None),
    ("heart, 2 hidden", "heart_cleveland.csv", None, ["--hidden", "2"], None),
    ("heart, certificate", "heart_cleveland.csv", None, ["--hidden", "none", "--certificate"], None),
    ("pima, 3 hidden, in parts", "pima_diabetes.csv", None, ["--hidden", "3"], None),
    ("red wine m=120, six classes", "wine_quality_red.csv", 120, ["--hidden", "none", "--head", "threshold"], None),
]


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--starts", type=int, default=6, help="starts of a hard case, all but the last one killed")
    parser.add_argument("--seconds", type=float, default=12.0, help="longest time until a kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (case, file, rows, words, closes) in enumerate(CASES):
            if options.only not in case:
                continue
            table = written(options.data, file, rows, folder / f"{number}.csv")
            found.append(study(case, table, words, closes, folder / f"{number}", options, rng))
            print(json.dumps(found[-1]), flush=True)
        if not options.only:
            table = written(options.data, "heart_cleveland.csv", None, folder / "heart.csv")
            found.append(sequence(table, folder / "sequence"))
            print(json.dumps(found[-1]), flush=True)
    if not options.only:
        write_results("resume", {"starts": options.starts, "seed": options.seed, "cases": found})


def written(data: Path, file: str, rows: int | None, path: Path) -> Path:
    """Write some rows of a table to a file."""
    X, y = load(data, file)
    chosen = np.arange(len(X)) if rows is None else np.random.default_rng(0).permutation(len(X))[:rows]
    names = [*(f"x{j}" for j in range(X.shape[1])), "target"]
    lines = [",".join(map(str, [*X[i].tolist(), y[i]])) for i in chosen]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def command(table: Path, words: list[str], state: Path, seconds: float) -> list[str]:
    """Return the words of a command in its default settings."""
    words = [word if word != "--certificate" else f"--certificate={state}.proof.json" for word in words]
    settings = ["--target", "target", "--method", "exact", "--test-fraction", "0", "--time-limit", f"{seconds:g}"]
    start = [sys.executable, "-m", "bdnn", "train", str(table), *settings, *words, "--json"]
    return [*start, "--checkpoint", str(state)]


def started(words: list[str], kill_after: float | None) -> tuple[dict[str, Any] | None, list[tuple[float, ...]]]:
    """Run a command, killed after some seconds; return its report, None if it was killed, and what it told."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, told = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            out, told = process.communicate()
    lines = [tuple(map(float, match.groups())) for match in map(TOLD.search, told.splitlines()) if match]
    if process.returncode not in (0, -9):
        sys.exit(f"{' '.join(words)} ended with {process.returncode}: {told}")
    return json.loads(out) if process.returncode == 0 else None, lines


def study(
    case: str, table: Path, words: list[str], closes: float | None, state: Path, options: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """Kill and start one case until it is closed, or as often as asked for."""
    outcome: dict[str, Any] = {"case": case, "kills": 0}
    limit = 20.0 if closes is None else closes
    if closes is not None:
        began = time.monotonic()
        undisturbed, _ = started(command(table, words, Path(f"{state}.undisturbed"), limit), None)
        assert undisturbed is not None
        outcome["undisturbed"] = {n: undisturbed[n] for n in ("status", "training_loss", "bound", "nodes")}
        longest = min(options.seconds, time.monotonic() - began)
    else:
        longest = options.seconds
    bounds, losses, nodes = [0.0], [np.inf], [0.0]
    report = None
    most = 8 if closes is not None else options.starts - 1
    while report is None:
        after = None if outcome["kills"] >= most else float(rng.uniform(1.0, longest))
        report, told = started(command(table, words, state, limit), after)
        for loss, bound, count in told:
            losses.append(loss)
            bounds.append(bound)
            nodes.append(count)
        outcome["kills"] += report is None
    outcome["final"] = {n: report[n] for n in ("status", "training_loss", "bound", "nodes", "message", "seconds")}
    bounds.append(report["bound"])
    outcome["bound_never_falls"] = bool(np.all(np.diff(bounds) >= 0))
    if closes is not None:
        final = {n: report[n] for n in ("status", "training_loss", "bound")}
        outcome["same_answer"] = final == {n: outcome["undisturbed"][n] for n in final}
        if "--certificate" in words:
            verify = [sys.executable, "-m", "bdnn", "verify", f"{state}.proof.json", str(table), "--target", "target"]
            done = subprocess.run([*verify, "--test-fraction", "0"], capture_output=True, check=False)
            outcome["certificate_holds"] = done.returncode == 0
    return outcome


def sequence(table: Path, state: Path) -> dict[str, Any]:
    """Kill a long run after 55 s, and start it again with 30 s, twice."""
    words = ["--hidden", "none"]
    _, told = started(command(table, words, state, 100), 55.0)
    again = [started(command(table, words, state, 30), None)[0] for _ in range(2)]
    keys = ("status", "training_loss", "bound", "nodes", "message", "seconds")
    return {
        "case": "heart, no hidden: killed after 55 s, twice 30 s",
        "told_last": dict(zip(("training_loss", "bound", "nodes"), told[-1], strict=True)),
        "again": [{key: report[key] for key in keys} for report in again if report is not None],
    }


if __name__ == "__main__":
    main()
