"""Time and memory of Problem, presolve and audit on many rows: 28 features as float32, two classes, a 28-3-1 network.

    python benchmarks/micro/large_data.py [--rows 1000000 10000000]

"distinct": no two rows are equal. "repeated": every row occurs twice. "frozen": X and y are read-only, so that Problem
need not copy them. Each case has a process of its own, with one thread. Memory is the peak of the process so far, less
what it held once the data was there, as a multiple of the size of X. Target for ten million rows: Problem 2 s, presolve
15 s, audit 10 s. Rewrites benchmarks/results/large_data.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import write_results

from bdnn import Network, Problem
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve

FEATURES, NEURONS = 28, 3
KINDS = ("distinct", "distinct, frozen", "repeated")


def memory(name: str) -> int:
    """Bytes that the process holds (VmRSS) or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this system does not report {name}")


def run(rows: int, kind: str) -> dict:
    rng = np.random.default_rng(0)
    X = np.empty((rows, FEATURES), dtype=np.float32)
    distinct = X[: rows // 2] if kind == "repeated" else X
    rng.standard_normal(out=distinct, dtype=np.float32)
    if kind == "repeated":
        X[rows // 2 :] = distinct
    y = rng.integers(0, 2, size=rows)
    if "frozen" in kind:
        for array in (X, y):
            array.setflags(write=False)
    layers = [(rng.normal(size=(NEURONS, FEATURES)), rng.normal(size=NEURONS)), (rng.normal(size=(1, NEURONS)), [0.1])]
    network = Network(layers, head="threshold", classes=[0, 1])
    held, result = memory("VmRSS"), {"rows": rows, "kind": kind, "data_gigabytes": round(X.nbytes / 1e9, 2)}

    def measured(name, step, *arguments):
        began = time.perf_counter()
        value = step(*arguments)
        result[f"{name}_seconds"] = round(time.perf_counter() - began, 2)
        result[f"{name}_peak"] = round((memory("VmHWM") - held) / X.nbytes, 2)
        return value

    problem = measured("problem", lambda: Problem(X=X, y=y, hidden_layer_sizes=(NEURONS,)))
    reduced = measured("presolve", presolve, problem)
    told = measured("audit", audit, network, problem)
    assert reduced.n_distinct == len(distinct) and told.loss == told.n_wrong
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--once", nargs=2, metavar=("ROWS", "KIND"), help="run in this process and print JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(run(int(options.once[0]), options.once[1])))
        return
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    results = []
    for rows in options.rows:
        for kind in KINDS:
            command = [sys.executable, __file__, "--once", str(rows), kind]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
            results.append(json.loads(done.stdout))
            print(results[-1], flush=True)
    write_results("large_data", {"features": FEATURES, "neurons": NEURONS, "cases": results})


if __name__ == "__main__":
    main()
