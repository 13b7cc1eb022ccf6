"""Exact training on few features: all halfspaces of the points, or all pairs of them, beside branch and cut.

    python benchmarks/few_features.py [--data DIR] [--seconds 60] [--only TEXT]

Both train the same problem on one thread, from reading no more than arrays to the returned network; seconds are of
processor time, the median of three runs (one where a run takes more than five seconds). "enumeration" is
`formulation="enumeration"`, "tree" is `formulation="activation"` with its local search, which stops at the limit;
"automatic" is `method="exact"` as it comes. Random rows have labels that depend on nothing. A target is what the
enumeration is to take on one core. Rewrites benchmarks/results/few_features.json and few_features.md.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from common import RESULTS, add_data_option, drawn, load, write_results

from bdnn import Budget, Problem, Status
from bdnn.methods.exact import ExactTraining

WAYS = {"enumeration": "enumeration", "automatic": "auto", "tree": "activation"}
REPEATS, LONG = 3, 5.0


def instances(folder):
    """Yield name, data, hidden neurons and the seconds that are the target."""
    yield "voicepath, 704 x 2", load(folder, "voicepath.csv"), 0, 0.1
    yield "Haberman, 306 x 3", load(folder, "haberman.csv"), 0, 1.0
    for rows, columns, target in ((5000, 2, 5.0), (700, 3, 20.0), (100, 4, None)):
        rng = np.random.default_rng(rows)
        X, y = rng.normal(size=(rows, columns)), rng.integers(0, 2, rows)
        yield f"random, {rows:,} x {columns}", (X, y), 0, target
    # many in line and in planes
    rng = np.random.default_rng(1)
    yield "random digits, 700 x 3", (rng.integers(0, 10, (700, 3)).astype(float), rng.integers(0, 2, 700)), 0, None
    yield "voicepath, 150 x 2, 2 hidden", drawn(*load(folder, "voicepath.csv"), 150), 2, None
    for rows in (60, 150):
        rng = np.random.default_rng(rows)
        yield f"random, {rows} x 2, 2 hidden", (rng.normal(size=(rows, 2)), rng.integers(0, 2, rows)), 2, None


def measure(problem, seconds, formulation):
    """Return median processor seconds, bound, loss and status of some runs."""
    runs = []
    for seed in range(REPEATS):
        began = time.process_time()
        result = ExactTraining(formulation=formulation)(problem, Budget(seconds=seconds, seed=seed, threads=1))
        runs.append(time.process_time() - began)
        if runs[-1] > LONG or result.status != Status.OPTIMAL:
            break
    return {
        "seconds": round(median(runs), 4),
        "bound": result.bound,
        "loss": result.objective,
        "proven": result.status == Status.OPTIMAL,
    }


def table(rows) -> str:
    """Return results as Markdown."""
    lines = [
        f"| processor seconds, or bound..loss | least loss | target | {' | '.join(WAYS)} |",
        "|---|---|---|---|---|---|",
    ]

    def cell(shown):
        return f"{shown['seconds']:.3g}" if shown["proven"] else f"{shown['bound']:g}..{shown['loss']:g}"

    for row in rows:
        best = row["enumeration"]
        target = "–" if row["target"] is None else f"{row['target']:g}"
        least = f"{best['loss']:g}" if best["proven"] else "–"
        cells = " | ".join(cell(row[way]) for way in WAYS)
        lines.append(f"| {row['instance'].replace(' x ', ' × ')} | {least} | {target} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run")
    parser.add_argument("--only", default="", help="only instances with this in their name; writes nothing")
    options = parser.parse_args()
    # what is imported at first use is no part of the first run
    ExactTraining()(Problem(X=np.arange(12.0)[:, None], y=np.arange(12) % 2, hidden_layer_sizes=()))
    rows = []
    for name, (X, y), hidden, target in instances(options.data):
        if options.only not in name:
            continue
        problem = Problem(X=X, y=y, hidden_layer_sizes=(hidden,) if hidden else ())
        row = {"instance": name, "target": target}
        for way, formulation in WAYS.items():
            row[way] = shown = measure(problem, options.seconds, formulation)
            print(f"{name:28} {way:11} {shown['seconds']:8.3f} s  {shown['bound']:g}..{shown['loss']:g}", flush=True)
        losses = {row[way]["loss"] for way in WAYS if row[way]["proven"]}
        if len(losses) > 1:
            raise SystemExit(f"{name}: proven losses differ: {losses}")
        rows.append(row)
    if not options.only:
        write_results("few_features", {"time_limit": options.seconds, "rows": rows})
        (RESULTS / "few_features.md").write_text(f"# Few features\n\n{table(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
