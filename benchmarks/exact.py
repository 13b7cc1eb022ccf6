"""Proofs of optimality: branch and cut over activations beside the paper's model, on one thread.

    python benchmarks/exact.py [--data DIR] [--seconds 300] [--only TEXT] [--ours] [--workers 1]

Ours is `method="exact"` as it comes, local search included, the median of three seeds; the rival is the model of the
paper on HiGHS and on SCIP, without a start from our search, the faster of the two (a solver that reaches the time limit
runs once, else three times). Who is not done by then counts as the limit. Ours is measured alone on the machine where a
time is demanded; the other runs share it, one core each, if there are several workers. What was measured before is
kept, except with --ours, which measures ours anew. The course of losses and bounds of the first run is stored, for the
integrals of the gaps over one and five minutes. Rewrites benchmarks/results/exact.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from statistics import median

import numpy as np
from common import RESULTS, add_data_option, drawn, load, write_results

from bdnn import Budget, Problem, Status
from bdnn.methods import METHODS
from bdnn.tables import read_table

REPEATS = 3
RIVALS = ("highs", "scip")
HORIZONS = (60.0, 300.0)  # seconds over which gaps are integrated


def instances(folder):
    """Yield name, data, hidden neurons, and whether a proof is demanded within a time (else None)."""
    cancer = load(folder, "breast_cancer_wisconsin_bdnn.csv")
    pima = load(folder, "pima_diabetes.csv")
    credit = load(folder, "default_credit_card.csv.gz")
    ionosphere, sonar, banknote = (load(folder, f"{name}.csv") for name in ("ionosphere", "sonar", "banknote"))
    table = read_table(folder / "heart_cleveland.csv", "target")
    complete = ~np.isnan(table.X).any(axis=1)
    heart = table.X[complete], table.labels[complete]

    def every(data):
        return drawn(*data, len(data[0]))

    yield "breast cancer, all, no hidden", every(cancer), 0, 2.0
    yield "pima m=60, no hidden", drawn(*pima, 60), 0, 0.5
    yield "pima m=100, no hidden", drawn(*pima, 100), 0, 20.0
    yield "ionosphere, all, no hidden", every(ionosphere), 0, 60.0
    yield "credit card m=100, no hidden", drawn(*credit, 100), 0, 0.3
    yield "sonar, all, no hidden", every(sonar), 0, 1.0
    yield "banknote, all, no hidden", every(banknote), 0, 1.0
    yield "breast cancer, all, no hidden, ternary", every(cancer), 0, 5.0
    yield "breast cancer m=300, 2 hidden", drawn(*cancer, 300), 2, 4.0
    yield "heart m=100, 2 hidden", drawn(*heart, 100), 2, 3.0
    yield "pima m=60, 2 hidden", drawn(*pima, 60), 2, 3.0
    yield "pima m=40, 3 hidden", drawn(*pima, 40), 3, None
    yield "heart m=60, 3 hidden", drawn(*heart, 60), 3, None
    yield "heart, all, no hidden", every(heart), 0, None
    yield "credit card m=200, no hidden", drawn(*credit, 200), 0, None
    yield "credit card m=300, no hidden", drawn(*credit, 300), 0, None
    yield "pima m=200, no hidden", drawn(*pima, 200), 0, None
    yield "breast cancer, all, 2 hidden", every(cancer), 2, None


def measure(problem, seconds, repeats, **settings):
    """Return median seconds, bound, loss and nodes of some runs; one is enough if it reaches the limit."""
    runs, course = [], {}
    for seed in range(repeats):
        began = time.perf_counter()
        result = METHODS["exact"](**settings)(problem, Budget(seconds=seconds, seed=seed))
        proven = result.status == Status.OPTIMAL
        runs.append((time.perf_counter() - began if proven else seconds, result.bound, result.objective, result.nodes))
        if not seed:
            course = {
                "losses": [(round(step.seconds, 3), step.objective) for step in result.history],
                "bounds": [(round(step.seconds, 3), step.bound) for step in result.bounds],
            }
        if not proven:
            break
    names = ("seconds", "bound", "loss", "nodes")
    return dict(zip(names, (round(median(column), 3) for column in zip(*runs, strict=True)), strict=True)) | {
        "runs": len(runs),
        "course": course,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=300.0, help="time limit of each run")
    parser.add_argument("--only", default="", help="only instances with this in their name")
    parser.add_argument("--ours", action="store_true", help="measure ours anew, the rival only where it is missing")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, each on its own core")
    options = parser.parse_args()
    path = RESULTS / "exact.json"
    known = json.loads(path.read_text())["results"] if path.exists() else {}
    rows = {row["instance"]: row for row in known.get("rows", []) if known["time_limit"] == options.seconds}
    compiled = Problem(X=np.arange(12.0)[:, None], y=np.arange(12) % 2, hidden_layer_sizes=(2,))
    METHODS["exact"]()(compiled, Budget(seconds=300))
    order, missing = [], []

    def note(name, who, shown):
        rows[name][who] = shown
        print(f"{name:32} {who:6} {shown['seconds']:8.2f} s  {shown['bound']:g}..{shown['loss']:g}", flush=True)
        done = [rows[name] for name in order if {"ours", *RIVALS} <= rows.get(name, {}).keys()]
        for row in done:
            best = min(row[solver]["seconds"] for solver in RIVALS)
            row["ratio"] = round(best / max(row["ours"]["seconds"], 1e-3), 2)
        results = {"time_limit": options.seconds, "rows": [rows[name] for name in order if name in rows]}
        write_results("exact", results | (summary(done, options.seconds) if done else {}))

    found = list(instances(options.data))
    order = [name for name, *_ in found]
    for name, (X, y), hidden, target in found:
        kind = {"weights": "integer", "weight_bound": 1} if "ternary" in name else {}
        problem = Problem(X=X, y=y, hidden_layer_sizes=(hidden,) if hidden else (), **kind)
        if options.only in name:
            row = rows.setdefault(name, {"instance": name, "target": target})
            if options.ours or "ours" not in row:
                if target is None:
                    missing.append((name, problem, "ours"))
                else:
                    note(name, "ours", measure(problem, options.seconds, REPEATS))
            missing += [(name, problem, solver) for solver in RIVALS if solver not in row]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = {}
        for name, problem, who in missing:
            paper = {"solver": who, "formulation": "big_m", "incumbents": "none"}
            job = pool.submit(measure, problem, options.seconds, REPEATS, **({} if who == "ours" else paper))
            jobs[job] = name, who
        for job in as_completed(jobs):
            note(*jobs[job], job.result())


def finished(row, limit):
    """Tell whether somebody was done in time."""
    return any(row[who]["seconds"] < limit for who in ("ours", *RIVALS))


def summary(rows, limit) -> dict[str, float]:
    """Return geometric means of the ratios, and by how many seconds we are slower at most."""

    def mean(ratios):
        return round(math.exp(sum(map(math.log, ratios)) / max(1, len(ratios))), 2)

    slower = max(row["ours"]["seconds"] - min(row[solver]["seconds"] for solver in RIVALS) for row in rows)
    return {
        "geometric_mean_of_ratios": mean([row["ratio"] for row in rows]),
        "of_rows_that_somebody_finished": mean([row["ratio"] for row in rows if finished(row, limit)]),
        "most_seconds_slower": round(slower, 3),
    }


def integral(steps, start, until, gap) -> float:
    """Return the integral of the gap from 0 to a time, of (seconds, value), with one value before the first."""
    total, now, value = 0.0, 0.0, start
    for seconds, following in [*steps, (until, None)]:
        total += (min(seconds, until) - now) * gap(value)
        now, value = min(seconds, until), following
    return total


def integrals(row, who, until) -> tuple[float, float]:
    """Return the primal integral (T. Berthold, doi:10.1016/j.orl.2013.08.007) and that of the gap to the bound.

    Gaps are shares of the larger of two values, 1 without a network; of the first run.
    """
    best, course = min(row[each]["loss"] for each in ("ours", *RIVALS)), row[who]["course"]

    def share(high, low):
        return 1.0 if high is None else (high - low) / high if high > low else 0.0

    primal = integral(course["losses"], None, until, lambda loss: share(loss, best))
    steps = sorted([(s, 0, v) for s, v in course["losses"]] + [(s, 1, v) for s, v in course["bounds"]])
    pair, pairs = [None, 0.0], []
    for seconds, kind, value in steps:
        pair[kind] = value
        pairs.append((seconds, tuple(pair)))
    return primal, integral(pairs, (None, 0.0), until, lambda both: share(*both))


def anytime(results) -> list[str]:
    """Return a table of integrals as lines of Markdown, of the rows whose courses are stored."""
    rows = [row for row in results["rows"] if all("course" in row.get(who, {}) for who in ("ours", *RIVALS))]
    if not rows:
        return []
    names = ("activation", "HiGHS", "SCIP")
    columns = [f"{name}, {until:g} s" for until in HORIZONS for name in names]
    lines = ["", "Primal integral / integral of the gap, in seconds:", ""]
    lines += [f"| | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for row in rows:
        pairs = [integrals(row, who, until) for until in HORIZONS for who in ("ours", *RIVALS)]
        lines.append(f"| {row['instance']} | {' | '.join(f'{a:.1f} / {b:.1f}' for a, b in pairs)} |")
    return lines


def text(results) -> str:
    """Return results as Markdown."""
    limit = results["time_limit"]

    def cell(shown):
        return f"{shown['seconds']:.2f}" if shown["seconds"] < limit else f"{shown['bound']:g}..{shown['loss']:g}"

    head = f"seconds, or bound..loss at {limit:g} s"
    lines = [f"| {head} | activation | paper, HiGHS | paper, SCIP | ratio |", "|---|---|---|---|---|"]
    for row in results["rows"]:
        if "ratio" not in row:
            continue
        ratio = f"{row['ratio']:.1f}" if finished(row, limit) else "–"
        lines.append(f"| {row['instance']} | {' | '.join(cell(row[who]) for who in ('ours', *RIVALS))} | {ratio} |")
    means = results["geometric_mean_of_ratios"], results["of_rows_that_somebody_finished"]
    lines += ["", f"Geometric mean of the ratios: {means[1]:g}; {means[0]:g} if rows that nobody finished count as 1."]
    return "\n".join([*lines, *anytime(results)])


if __name__ == "__main__":
    main()
