"""How long building the training program takes, and how much memory.

    python benchmarks/micro/model_building.py

Builds the program of a large problem (continuous random data, threshold head) a few times, each time in a process of
its own, and writes benchmarks/results/model_building.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "model_building.json"


def measure(rows: int, features: int, neurons: int) -> dict[str, Any]:
    """Build once, in this process."""
    import numpy as np

    from bdnn import Problem
    from bdnn.formulations import training
    from bdnn.presolve import presolve

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, features)), rng.integers(0, 2, rows)
    began = time.perf_counter()
    problem = Problem(X=X, y=y, hidden_layer_sizes=(neurons,))
    reduced = presolve(problem)
    presolved = time.perf_counter()
    milp = training.build(reduced).milp
    built = time.perf_counter()
    return {
        "presolve_seconds": presolved - began,
        "build_seconds": built - presolved,
        "seconds": built - began,
        # kilobytes on Linux, bytes on macOS
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "columns": milp.n_columns,
        "rows": milp.rows.shape[0] + len(milp.indicators),
        "nonzeros": int(milp.rows.nnz + milp.indicators.rows.nnz),
    }


def machine() -> dict[str, Any]:
    """Describe processor and versions; nothing that names the computer."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("bdnn", "numpy", "scipy")},
    }


def main() -> None:
    """Repeat the measurement in processes of their own and write the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--neurons", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--once", action="store_true", help="measure once in this process and print JSON")
    options = parser.parse_args()
    size = (options.rows, options.features, options.neurons)
    if options.once:
        print(json.dumps(measure(*size)))
        return
    command = [sys.executable, __file__, "--once"]
    command += [f"--{name}={value}" for name, value in zip(("rows", "features", "neurons"), size, strict=True)]
    runs = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(options.repetitions)
    ]
    report = {
        "what": "building the training program: one hidden layer, continuous random data, threshold head",
        "m": options.rows,
        "n": options.features,
        "neurons": options.neurons,
        "repetitions": options.repetitions,
        **{f"median_{key}": statistics.median(run[key] for run in runs) for key in runs[0] if key.endswith("seconds")},
        "largest_peak_bytes": max(run["peak_bytes"] for run in runs),
        **{key: runs[0][key] for key in ("columns", "rows", "nonzeros")},
        "machine": machine(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(
        f"m={options.rows}, n={options.features}, {options.neurons} neurons: {report['median_seconds']:.2f} s "
        f"(presolve {report['median_presolve_seconds']:.2f} s), peak {report['largest_peak_bytes'] / 1e9:.2f} GB, "
        f"{report['nonzeros']:,} entries"
    )


if __name__ == "__main__":
    main()
