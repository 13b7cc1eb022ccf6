"""Proofs by the number of hidden neurons: branch and cut over activations beside the program of the paper.

    python benchmarks/widths.py [--seconds 20] [--seeds 3]

Each problem has random points in the plane with random labels, and a network of 1 to 8 hidden neurons. "activation" has
a tree for each of the 1, 2, 5, 17 and 92 output functions of one to five neurons, and no program beyond; "big_m" is the
program of Kurtz and Bah with the reductions, starts and audits of this package, solved by HiGHS. Both run on one
thread, with the same local search before. Proven losses must agree. Rewrites benchmarks/results/widths.json and
widths.md.
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
from common import RESULTS, write_results

from bdnn import Budget, Problem, Status
from bdnn.methods.exact import ExactTraining

WIDTHS = (1, 2, 3, 4, 5, 6, 8)
POINTS = (12, 18, 24, 36)
WIDEST = 5  # of the output functions that branch and cut has trees for


def measure(points, width, seconds, seeds):
    """Return for each way how many problems were proven, the median seconds, and the sums of bounds and losses."""
    found = {}
    for seed in range(seeds):
        rng = np.random.default_rng([points, seed])
        problem = Problem(X=rng.normal(size=(points, 2)), y=rng.integers(0, 2, points), hidden_layer_sizes=(width,))
        losses = set()
        for way in ("activation", "big_m"):
            if way == "activation" and width > WIDEST:
                continue
            result = ExactTraining(formulation=way)(problem, Budget(seconds=seconds, seed=seed, threads=1))
            proven = result.status == Status.OPTIMAL
            taken = result.timings["total"] if proven else seconds
            each = found.setdefault(way, {"proven": 0, "seconds": [], "bound": 0.0, "loss": 0.0})
            each["proven"] += proven
            each["seconds"].append(taken)
            each["bound"] += result.bound
            each["loss"] += result.objective
            losses |= {result.objective} if proven else set()
        if len(losses) > 1:
            raise SystemExit(f"{points} points, {width} hidden neurons, seed {seed}: proven losses differ: {losses}")
    for each in found.values():
        each["seconds"] = round(median(each["seconds"]), 3)
    return found


def table(rows, seeds) -> str:
    """Return results as Markdown."""

    def cell(found):
        if found is None:
            return "–"
        if found["proven"] == seeds:
            return f"{found['seconds']:.2g} s"
        return f"{found['proven']} of {seeds}; {found['bound']:g}..{found['loss']:g}"

    lines = [
        "| points | hidden neurons | activation | big_m |",
        "|---|---|---|---|",
        *(
            f"| {row['points']} | {row['width']} | {cell(row.get('activation'))} | {cell(row['big_m'])} |"
            for row in rows
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of each run")
    parser.add_argument("--seeds", type=int, default=3, help="problems of each size")
    options = parser.parse_args()
    rows = []
    for points in POINTS:
        for width in WIDTHS:
            rows.append({"points": points, "width": width, **measure(points, width, options.seconds, options.seeds)})
            print(rows[-1], flush=True)
    write_results("widths", {"time_limit": options.seconds, "seeds": options.seeds, "rows": rows})
    what = (
        "Median seconds to the proof; where not all are proven within the limit, how many are, and the sums of bounds "
        "and losses over all."
    )
    (RESULTS / "widths.md").write_text(
        f"# Width and proof\n\n{what}\n\n{table(rows, options.seeds)}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
