"""Training on more rows than memory holds: synthetic rows in Parquet files, trained on within a limit of memory.

Labels are those of a network of threshold neurons that is not told, a tenth of them turned over, so that no classifier
can be right on more than 90 % of new rows. ``bdnn train`` runs in a process of its own, whose private memory is limited
by the system (RLIMIT_DATA); its largest resident set is reported. Writes results/rows_beyond_memory.json and .md, with
a line for each number of rows; the rows themselves are deleted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import RESULTS, machine

from bdnn.cli import main as bdnn_main
from bdnn.estimators.memory import bytes_of
from bdnn.tables.database import connection, literal

REALS, WHOLE = 12, 8
"""Columns of real numbers in single precision, and of small integers."""
TRUE_NEURONS = 8
TURNED = 0.1
"""Share of the labels that are turned over."""
FILE_ROWS = 1_000_000
HELD_OUT = 0.01


class Truth:
    """The network behind the labels."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        self.first = rng.normal(size=(TRUE_NEURONS, REALS + WHOLE)).astype(np.float32)
        self.first[:, REALS:] /= 8.0  # the integers have a standard deviation of 8
        self.bias = (0.5 * rng.normal(size=TRUE_NEURONS)).astype(np.float32)
        self.last = rng.normal(size=TRUE_NEURONS)
        self.middle = np.median(self._fired(self._inputs(rng, 100_000)) @ self.last)

    @staticmethod
    def _inputs(rng: np.random.Generator, count: int) -> np.ndarray:
        X = rng.standard_normal((count, REALS + WHOLE), dtype=np.float32)
        X[:, REALS:] = np.rint(8.0 * X[:, REALS:])
        return X

    def _fired(self, X: np.ndarray) -> np.ndarray:
        return (X @ self.first.T + self.bias >= 0).astype(np.float64)

    def rows(self, seed: int, number: int, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Return inputs and labels of a file, and how many of them the true network has wrong."""
        rng = np.random.default_rng([seed, 11, number])
        X = self._inputs(rng, count)
        turned = rng.random(count) < TURNED
        label = (self._fired(X) @ self.last >= self.middle) ^ turned
        return X, label.astype(np.int8), int(turned.sum())


def written(folder: Path, rows: int, seed: int) -> int:
    """Write the rows as Parquet files; return how many labels the true network has wrong."""
    truth, wrong, db = Truth(seed), 0, connection()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        X, label, more = truth.rows(seed, number, min(FILE_ROWS, rows - start))
        wrong += more
        columns = {f"x{j}": np.ascontiguousarray(X[:, j]) for j in range(REALS)}
        columns |= {f"n{j}": X[:, REALS + j].astype(np.int8) for j in range(WHOLE)}
        db.register("rows", columns | {"label": label})
        place = literal(str(folder / f"part-{number:04}.parquet"))
        db.execute(f"COPY (SELECT * FROM rows) TO {place} (FORMAT parquet)")
        db.unregister("rows")
    return wrong


def trained(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """Run the command in a process of its own, and return its report and what it took."""
    report = folder.parent / "report.json"
    pid = os.fork()
    if pid == 0:
        limit = bytes_of(args.memory)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        os.environ["TMPDIR"] = str(folder.parent)
        with open(report, "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
        program = [sys.executable, str(Path(__file__).absolute()), "--command"]
        command = [
            "train", str(folder), "--hidden", str(args.hidden), "--time-limit", str(args.seconds),
            "--memory-limit", args.memory, "--test-fraction", str(HELD_OUT), "--jobs", str(args.jobs),
            "--out", str(folder.parent / "model.json"), "--json", "--quiet",
        ]  # fmt: skip
        os.execv(sys.executable, [*program, *command])
    began = time.monotonic()
    _, status, used = os.wait4(pid, 0)
    if status:
        sys.exit(f"bdnn train failed with status {status}")
    figures = json.loads(report.read_text(encoding="utf-8"))
    figures["wall_seconds"] = time.monotonic() - began
    figures["processor_seconds"] = used.ru_utime + used.ru_stime
    figures["peak_memory_bytes"] = used.ru_maxrss * 1024
    return figures


def run(rows: int, args: argparse.Namespace) -> dict[str, object]:
    """Make the rows, train on them, and return what is reported."""
    scratch = Path(tempfile.mkdtemp(prefix="bdnn-benchmark-", dir=args.scratch))
    try:
        folder = scratch / "rows"
        folder.mkdir()
        began = time.monotonic()
        wrong = written(folder, rows, args.seed)
        made = time.monotonic() - began
        size = sum(file.stat().st_size for file in folder.iterdir())
        r = trained(folder, args)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    more = r["beyond_memory"]
    return {
        "rows": rows,
        "columns": REALS + WHOLE,
        "hidden": args.hidden,
        "memory_limit": args.memory,
        "time_limit": args.seconds,
        "jobs": args.jobs,
        "seed": args.seed,
        "parquet_bytes": size,
        "making_seconds": round(made, 1),
        "wall_seconds": round(r["wall_seconds"], 1),
        "processor_seconds": round(r["processor_seconds"], 1),
        "peak_memory_bytes": r["peak_memory_bytes"],
        "beyond_memory": more,
        "training_rows": r["training_rows"],
        "training_loss": r["training_loss"],
        "training_accuracy": r["training_accuracy"],
        "held_out_rows": r["held_out_rows"],
        "held_out_accuracy": r["held_out_accuracy"],
        "accuracy_of_true_network": 1 - wrong / rows,
        "training_seconds": r["seconds"],
        "message": r["message"],
    }


def table(runs: list[dict[str, object]]) -> str:
    """Return the figures as a table."""
    head = (
        "rows", "Parquet", "peak memory", "sampling, s", "sample, s", "reading, s", "a pass, s", "passes",
        "loss of the sample's network", "final loss", "held-out accuracy", "true network",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for each in runs:
        more = each["beyond_memory"]
        seconds = more["seconds"] if more else {}
        cells = (
            f"{each['rows']:,}", f"{each['parquet_bytes'] / 1e9:.2f} GB", f"{each['peak_memory_bytes'] / 1e9:.2f} GB",
            f"{seconds.get('sampling', 0):.0f}", f"{seconds.get('sample', 0):.0f}", f"{seconds.get('reading', 0):.0f}",
            f"{seconds.get('pass', 0):.0f}", str(more["passes"] if more else 0),
            f"{more['sample_loss']:,.0f}" if more and more["sample_loss"] else "", f"{each['training_loss']:,.0f}",
            f"{each['held_out_accuracy']:.3%}", f"{each['accuracy_of_true_network']:.3%}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e7, 1e8])
    parser.add_argument("--memory", default="4GB", help="limit of memory")
    parser.add_argument("--seconds", type=float, default=600.0, help="time limit of the training")
    parser.add_argument("--hidden", type=int, default=TRUE_NEURONS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=None, help="folder for the rows, about 100 bytes each")
    args = parser.parse_args()
    place = RESULTS / "rows_beyond_memory.json"
    before = json.loads(place.read_text(encoding="utf-8"))["runs"] if place.exists() else []
    for rows in map(int, args.rows):
        runs = [each for each in before if each["rows"] != rows] + [run(rows, args)]
        before = sorted(runs, key=lambda each: each["rows"])
        place.write_text(json.dumps({"machine": machine(), "runs": before}, indent=1) + "\n", encoding="utf-8")
        text = f"# Rows beyond memory\n\n`python benchmarks/rows_beyond_memory.py`\n\n{table(before)}\n"
        (RESULTS / "rows_beyond_memory.md").write_text(text, encoding="utf-8")
        print(table(before))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--command"]:
        bdnn_main(sys.argv[2:])
    main()
