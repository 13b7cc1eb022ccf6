"""Local search on ten thousand to ten million rows of 28 features as float32 and a 28-3-1 network.

    python benchmarks/micro/search_scaling.py [--rows 10000 100000 1000000 10000000] [--seconds 60 20]

The rows are noise around a network of that shape: a third of its labels are wrong. "sweep": each neuron gets one turn
of 10 line searches, over all points ("all") and as the search does it, over a part of very many ("part"); always from
the same network, so equal work. "fit": LocalSearch with time limits on the most rows, which are read-only, so that they
need not be copied, each in a process of its own; memory is the peak beyond the data, as a multiple of X, at most 1.5;
it must stop within 10 % of the limit, or 2 s if that is more; "start" is the audit of the constant network. "threads":
rounds a second of two threads against one; it tells little unless two cores are idle, so the load of the machine is
noted. Rewrites benchmarks/results/search_scaling.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import write_results

from bdnn import Budget, Network, Problem
from bdnn.methods.local_search import LocalSearch
from bdnn.problem.presolve import presolve

FEATURES, NEURONS, MOVES, WRONG = 28, 3, 10, 1 / 3
LINEAR = 1.5
"""Seconds a row on the most rows, at most, as a multiple of the least on fewer rows."""
MEMORY = 1.5
"""Peak beyond the data on the most rows, at most, as a multiple of the data."""
BLOCK = 1_000_000


def memory(name: str) -> int:
    """Bytes that the process holds (VmRSS) or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this system does not report {name}")


def network(rng) -> Network:
    layers = [(rng.normal(size=(NEURONS, FEATURES)), rng.normal(size=NEURONS)), (np.ones((1, NEURONS)), [-1.5])]
    return Network(layers, head="threshold", classes=[0, 1])


def synthetic(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    planted = network(rng)
    X, y = np.empty((rows, FEATURES), dtype=np.float32), np.empty(rows, dtype=np.int64)
    for start in range(0, rows, BLOCK):  # little beyond the data
        block = slice(start, min(start + BLOCK, rows))
        X[block] = rng.standard_normal((block.stop - start, FEATURES), dtype=np.float32)
        y[block] = planted.predict(X[block]) ^ (rng.random(block.stop - start) < WRONG)
    for array in (X, y):
        array.setflags(write=False)
    return X, y


def sweep(rows: int, repeats: int) -> dict:
    from bdnn.search import kernels
    from bdnn.search.engine import _MAX_POINTS, Search
    from bdnn.search.points import points

    X, y = synthetic(rows)
    search = Search(points(presolve(Problem(X=X, y=y, hidden_layer_sizes=(NEURONS,), copy=False)), "float32"), 0)
    state = search.state
    search.load(network(np.random.default_rng(1)))
    weights, bias = state.W.copy(), state.b.copy()
    result = {"rows": rows, "loss_before": search.total}
    for name, most in (("all", rows), ("part", _MAX_POINTS)):
        times, change = [], 0.0
        for _ in range(repeats):
            state.W[:], state.b[:], state.rng[0] = weights, bias, 12345
            kernels.improve_neuron(state, -1, 0, 0.0, 1)
            began = time.perf_counter()
            change = sum(kernels.improve_neuron(state, neuron, MOVES, 0.5, most) for neuron in range(search.n_neurons))
            times.append(time.perf_counter() - began)
        result[name] = {
            "seconds": round(median(times), 5),
            "nanoseconds_per_row": round(1e9 * median(times) / rows, 1),
            "loss_after": search.total + change,
        }
    return result


def fit(rows: int, seconds: float) -> dict:
    X, y = synthetic(rows)
    held, load = memory("VmRSS"), os.getloadavg()[0]
    began = time.perf_counter()
    problem = Problem(X=X, y=y, hidden_layer_sizes=(NEURONS,))
    built, built_peak = time.perf_counter(), memory("VmHWM")
    result = LocalSearch()(problem, Budget(seconds=seconds))
    done = time.perf_counter()
    peak, allowed = (memory("VmHWM") - held) / X.nbytes, seconds + max(0.1 * seconds, 2.0)
    return {
        "rows": rows,
        "limit": seconds,
        "data_gigabytes": round(X.nbytes / 1e9, 2),
        "problem_seconds": round(built - began, 2),
        "problem_peak": round((built_peak - held) / X.nbytes, 2),
        "seconds": round(done - built, 2),
        "peak": round(peak, 2),
        "error": round(result.objective / rows, 4),
        "least_possible_error": round(WRONG, 4),
        "rounds": result.nodes,
        "message": result.message,
        "timings": {name: round(value, 2) for name, value in result.timings.items()},
        "history": [[round(step.seconds, 1), round(step.objective / rows, 4)] for step in result.history],
        "load_before": round(load, 2),
        "limit_met": done - built <= allowed,
        "memory_met": peak <= MEMORY,
    }


def threads(seeds: int, seconds: float = 10.0) -> dict:
    rates: dict[str, list[float]] = {"1": [], "2": []}
    X, y = synthetic(5000)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(NEURONS,))
    load = os.getloadavg()[0]
    for seed in range(seeds):
        for count, found in rates.items():
            budget = Budget(seconds=seconds, seed=seed, threads=int(count))
            result = LocalSearch(polish="none", n_starts=8)(problem, budget)
            found.append(result.nodes / result.timings["search"])
    one, two = (median(found) for found in rates.values())
    return {
        "rows": len(X),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "rounds_per_second": {count: [round(rate, 1) for rate in found] for count, found in rates.items()},
        "ratio": round(two / one, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 20.0], help="time limits of the fits")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=["sweep", "fit", "threads"], default=["sweep", "fit", "threads"])
    parser.add_argument("--once", nargs="+", metavar="PART", help="run one part in this process and print JSON")
    options = parser.parse_args()
    if options.once:
        part, *numbers = options.once
        call = {"sweep": sweep, "fit": fit, "threads": threads}[part]
        print(json.dumps(call(*(float(n) if "." in n else int(n) for n in numbers))))
        return
    environment = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

    def once(*words: object) -> dict:
        command = [sys.executable, __file__, "--once", *map(str, words)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
        result = json.loads(done.stdout.splitlines()[-1])
        print(words[0], result, flush=True)
        return result

    path = Path(__file__).parents[1] / "results" / "search_scaling.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    results |= {"features": FEATURES, "neurons": NEURONS, "moves": MOVES}
    if "sweep" in options.parts:
        rows = [once("sweep", rows, options.repeats) for rows in options.rows]
        per_row = [row["all"]["nanoseconds_per_row"] for row in rows]
        growth = round(per_row[-1] / min(per_row), 2)
        results["sweep"] = {"cases": rows, "growth_per_row": growth, "target": LINEAR, "met": growth <= LINEAR}
        print(f"seconds a row grow by {growth}")
    if "fit" in options.parts:
        fits = [once("fit", options.rows[-1], seconds) for seconds in options.seconds]
        met = all(case["limit_met"] and case["memory_met"] for case in fits)
        results["fit"] = {"cases": fits, "memory_target": MEMORY, "met": met}
    if "threads" in options.parts:
        results["threads"] = once("threads", options.repeats)
    write_results("search_scaling", results)


if __name__ == "__main__":
    main()
