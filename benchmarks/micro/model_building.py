"""Time and memory of building the training program: m = 20,000 points, n = 50 features, 20 hidden neurons.

    python benchmarks/micro/model_building.py [--repeats 3]

Each repetition has a process of its own. Target: at most 5 s and 2 GB. Rewrites benchmarks/results/model_building.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import write_results

from bdnn import Problem
from bdnn.formulations import training
from bdnn.problem.presolve import presolve

POINTS, FEATURES, NEURONS = 20_000, 50, 20


def run() -> dict:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(POINTS, FEATURES)), rng.integers(0, 2, size=POINTS)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(NEURONS,))
    began = time.perf_counter()
    reduced = presolve(problem)
    presolved = time.perf_counter()
    milp = training.build(reduced).milp
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    entries = milp.rows.nnz + milp.indicators.rows.nnz
    rows = milp.rows.shape[0] + len(milp.indicators)
    return {
        "presolve_seconds": round(presolved - began, 2),
        "build_seconds": round(done - presolved, 2),
        "peak_gigabytes": round(peak, 2),
        "columns": milp.n_columns,
        "rows": rows,
        "entries": int(entries),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="run once in this process and print JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(run()))
        return
    runs = []
    for _ in range(options.repeats):
        done = subprocess.run([sys.executable, __file__, "--once"], check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout))
    summary = {key: median(run[key] for run in runs) for key in runs[0]}
    print(summary)
    write_results("model_building", {"points": POINTS, "features": FEATURES, "neurons": NEURONS, **summary})


if __name__ == "__main__":
    main()
