"""Time and memory of reading tables: this reader, that of another commit, polars and pandas where they are installed.

    python benchmarks/micro/reading.py [--rows 300000] [--before ../before/src]

"numbers": 30 columns of numbers and a target. "mixed": of these columns three are text of four levels, which the
rivals make codes of, as this reader does. "long text": a twentieth of the rows, two columns of numbers and a column of
20 kB cells that all differ; the rivals read only the others, since they do not know better. Each case has a process of
its own with one thread. Time is that of the processor in seconds, the least of three runs. Memory is the peak of the
process in MB beyond what it held when the libraries were loaded, and also as a multiple of the table of doubles.
Rewrites benchmarks/results/reading.json and reading.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import RESULTS, write_results

COLUMNS, TEXTS, LEVELS, LONG, RUNS = 30, 3, ("red", "green", "blue", "dark blue"), 20_000, 3
KINDS = ("numbers", "mixed", "long text")
READERS = {"bdnn": "bdnn", "before": "bdnn before", "polars": "polars", "pandas": "pandas"}
THREADS = {name: "1" for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def write_table(path: Path, kind: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    if kind == "long text":
        with path.open("w") as file:
            file.write("note,a,b,y\n")
            for i in range(rows // 20):
                file.write(f"{'w' * LONG}{i},{i % 7},{i % 11}.5,{'no' if i % 3 else 'yes'}\n")
        return
    X = rng.normal(size=(rows, COLUMNS)).round(4)
    texts = np.array(LEVELS)[rng.integers(0, len(LEVELS), (rows, TEXTS))].tolist()
    n_text = TEXTS if kind == "mixed" else 0
    with path.open("w") as file:
        file.write(",".join([*(f"f{j}" for j in range(COLUMNS)), "y"]) + "\n")
        for x, words in zip(X.tolist(), texts, strict=True):
            cells = [*map(repr, x[n_text:]), *words[:n_text], "yes" if x[0] > 0 else "no"]
            file.write(",".join(cells) + "\n")


def memory(name: str) -> int:
    """Bytes that the process holds (VmRSS) or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this system does not report {name}")


def child(reader: str, path: str, kind: str) -> None:
    """Read a table once and print time, memory and shape."""
    if reader == "polars":
        import polars
    elif reader == "pandas":
        import pandas
    else:
        if reader == "bdnn":
            import duckdb  # noqa: F401  # which would be loaded at the first use
        from bdnn.tables import read_table
    held, start = memory("VmRSS"), time.process_time()
    drop = ["note"] if kind == "long text" else []
    if reader == "polars":
        lazy = polars.scan_csv(path).drop(drop).drop("y")
        frame = lazy.with_columns(polars.col(polars.String).cast(polars.Categorical).to_physical()).collect()
        shape = frame.cast(polars.Float64).to_numpy().shape
    elif reader == "pandas":
        frame = pandas.read_csv(path, usecols=lambda name: name not in ("y", *drop))
        for name in frame.columns:
            if frame[name].dtype.kind not in "if":
                frame[name] = frame[name].astype("category").cat.codes
        shape = frame.to_numpy(dtype=np.float64).shape
    elif reader == "bdnn":
        features = read_table(path, "y", tidy=True).features
        shape = len(features), len(features.columns)
    else:
        shape = read_table(path, "y", drop=drop).X.shape
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "bytes": memory("VmHWM") - held, "shape": shape}))


def measured(reader: str, path: Path, kind: str, before: str | None) -> dict[str, object] | None:
    """Return the least of several runs; None if a reader does not take the table."""
    paths = [*([before] if reader == "before" and before else []), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | THREADS | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = [sys.executable, __file__, "--child", reader, str(path), kind]
    found = []
    for _ in range(RUNS):
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            print(f"{reader}, {kind}: {done.stderr.strip().splitlines()[-1][:150]}")
            return None
        found.append(json.loads(done.stdout))
    best = min(found, key=lambda one: one["seconds"])
    rows, columns = best["shape"]
    size = min(one["bytes"] for one in found)
    return {
        "seconds": round(best["seconds"], 2),
        "MB": round(size / 1e6),
        "times": round(size / (8 * rows * columns), 1),
    }


def text(cases: list[dict[str, object]]) -> str:
    """Return the results as a table."""
    lines = ["| table | reader | seconds | MB | times the table |", "|---|---|---|---|---|"]
    for case in cases:
        cells = [case["kind"], case["reader"]]
        cells += [case["seconds"], case["MB"], case["times"]] if "seconds" in case else ["refused", "", ""]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--before", help="folder of the package of another commit")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    readers = ["bdnn", *(["before"] if args.before else [])]
    readers += [name for name in ("polars", "pandas") if importlib.util.find_spec(name)]
    cases: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / "table.csv"
            write_table(path, kind, args.rows)
            for reader in readers:
                found = measured(reader, path, kind, args.before)
                cases.append({"kind": kind, "reader": READERS[reader]} | (found or {}))
                print(cases[-1])
    write_results("reading", {"rows": args.rows, "columns": COLUMNS, "cases": cases})
    (RESULTS / "reading.md").write_text(text(cases) + "\n")


if __name__ == "__main__":
    main()
