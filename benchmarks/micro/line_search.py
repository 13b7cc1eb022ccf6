"""One exact line search over a million points, against numpy's sorting of a million numbers.

    python benchmarks/micro/line_search.py [--points 1000000] [--repeats 15]

"noisy labels": a neuron whose labels follow another plane, tilted a little, with noise. "no structure": labels by
chance. "alternating": gains +1 and -1 in the order of the breakpoints, so that the minimum may lie in any bucket and
all of them are sorted. "integer steps": as the first, with integer steps. argsort and sort get the breakpoints -a/s.
Target: half the time of argsort. Medians; all in turns on one thread. Rewrites benchmarks/results/line_search.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import write_results

from bdnn.search.kernels import line_search

SHARE = 0.5


def noisy(rng, points):
    a, s = rng.normal(size=(2, points))
    wanted = rng.random(points) < 1 / (1 + np.exp(-2 * (a + 0.3 * s)))
    return a, s, np.where(wanted, -1.0, 1.0), False


def random(rng, points):
    a, s = rng.normal(size=(2, points))
    return a, s, rng.choice([-1.0, 1.0], points), False


def alternating(rng, points):
    a, s = rng.normal(size=(2, points))
    jumps = np.empty(points)
    jumps[np.argsort(-a / s)] = np.where(np.arange(points) % 2, 1.0, -1.0)
    return a, s, np.sign(s) * jumps, False


def integer(rng, points):
    a, s, g, _ = noisy(rng, points)
    return np.rint(1000 * a), np.where(s > 0, np.ceil(3 * s), np.floor(3 * s)), g, True


CASES = {"noisy labels": noisy, "no structure": random, "alternating": alternating, "integer steps": integer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    points = options.points
    tie = np.array([12345], dtype=np.uint64)
    rows = []
    for name, draw in CASES.items():
        a, s, g, whole = draw(np.random.default_rng(0), points)
        breakpoints = -a / s
        steps = {
            "line_search": lambda a=a, s=s, g=g, whole=whole: line_search(a, s, g, whole, tie),
            "argsort": breakpoints.argsort,
            "sort": lambda values=breakpoints: np.sort(values),
        }
        times = {step: [] for step in steps}
        for repeat in range(options.repeats + 1):
            for step, call in steps.items():
                began = time.perf_counter()
                call()
                if repeat:  # the first takes memory
                    times[step].append(time.perf_counter() - began)
        row = {"case": name} | {f"{step}_ms": round(1e3 * median(values), 2) for step, values in times.items()}
        row["to_argsort"] = round(row["line_search_ms"] / row["argsort_ms"], 3)
        row["to_sort"] = round(row["line_search_ms"] / row["sort_ms"], 3)
        row["met"] = row["to_argsort"] <= SHARE
        rows.append(row)
        print(row, flush=True)
    write_results("line_search", {"points": points, "repeats": options.repeats, "target": SHARE, "cases": rows})


if __name__ == "__main__":
    main()
