"""Which solver for what: seconds to optimality on one thread, medians over seeds. Supports `bdnn.backends.AUTO_*`.

    python benchmarks/solvers.py [--data DIR] [--seconds 30] [--seeds 3]

A run that is not optimal by the time limit counts as the limit. Rewrites benchmarks/results/solvers.json.
"""

from __future__ import annotations

import argparse
import math
import time
from statistics import median

from common import add_data_option, drawn, load, write_results
from sklearn.datasets import load_iris, load_wine

from bdnn import Budget, Problem, Status
from bdnn.backends import available, backend
from bdnn.errors import InputError, SolverError
from bdnn.methods import METHODS


def instances(folder):
    cancer = load(folder, "breast_cancer_wisconsin_bdnn.csv")
    credit = load(folder, "default_credit_card.csv.gz")
    pima = load(folder, "pima_diabetes.csv")
    iris = load_iris(return_X_y=True)
    wine = load_wine(return_X_y=True)
    yield "credit card m=100, no hidden", drawn(*credit, 100), dict(hidden_layer_sizes=())
    yield "pima m=60, no hidden", drawn(*pima, 60), dict(hidden_layer_sizes=())
    yield "breast cancer m=300, no hidden", drawn(*cancer, 300), dict(hidden_layer_sizes=())
    yield "breast cancer m=200, 2 hidden", drawn(*cancer, 200), dict(hidden_layer_sizes=(2,))
    yield "credit card m=80, 2 hidden", drawn(*credit, 80), dict(hidden_layer_sizes=(2,))
    yield "pima m=40, 2 hidden", drawn(*pima, 40), dict(hidden_layer_sizes=(2,))
    yield "iris, argmax, no hidden", iris, dict(hidden_layer_sizes=())
    yield "iris m=50, one-hot, 2 hidden", drawn(*iris, 50), dict(hidden_layer_sizes=(2,), head="threshold")
    integer = dict(weights="integer")
    yield "breast cancer m=300, no hidden, ternary", drawn(*cancer, 300), dict(hidden_layer_sizes=(), **integer)
    yield "breast cancer m=100, 2 hidden, ternary", drawn(*cancer, 100), dict(hidden_layer_sizes=(2,), **integer)
    yield "pima m=60, no hidden, ternary", drawn(*pima, 60), dict(hidden_layer_sizes=(), **integer)
    yield "wine m=60, argmax, no hidden, ternary", drawn(*wine, 60), dict(hidden_layer_sizes=(), **integer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="time limit of each run")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name, (X, y), settings in instances(options.data):
        problem = Problem(X=X, y=y, **settings)
        row = {"instance": name}
        for solver in available():
            try:
                backend(solver, problem)
                runs = []
                for seed in range(options.seeds):
                    began = time.perf_counter()
                    method = METHODS["exact"](solver=solver, incumbents="none")
                    result = method(problem, Budget(seconds=options.seconds, seed=seed))
                    seconds = time.perf_counter() - began
                    proven = result.status == Status.OPTIMAL
                    runs.append((seconds if proven else options.seconds, result.objective, result.bound))
            except (InputError, SolverError) as error:
                row[solver] = {"refused": str(error)[:60]}
                continue
            row[solver] = {
                "seconds": round(median(run[0] for run in runs), 3),
                "loss": median(run[1] for run in runs),
                "bound": median(run[2] for run in runs),
            }
            shown = row[solver]
            print(f"{name:42} {solver:7} {shown['seconds']:7.2f} s  {shown['bound']:g}..{shown['loss']:g}", flush=True)
        rows.append(row)
    summary = {}
    for kind, chosen in (
        ("continuous", [r for r in rows if "ternary" not in r["instance"]]),
        ("integer", [r for r in rows if "ternary" in r["instance"]]),
    ):
        for solver in available():
            times = [r[solver]["seconds"] for r in chosen if "seconds" in r.get(solver, {})]
            if len(times) == len(chosen):
                mean = math.exp(sum(math.log(max(t, 0.01)) for t in times) / len(times))
                summary[f"{kind}, {solver}"] = round(mean, 3)
    print("geometric means of seconds:", summary)
    write_results("solvers", {"time_limit": options.seconds, "rows": rows, "geometric_means": summary})


def table(rows: list[dict], limit: float) -> str:
    """Return the rows as Markdown: seconds, or bound..loss where time ran out."""
    solvers = [name for name in ("highs", "scip", "cpsat", "gurobi") if any(name in row for row in rows)]
    lines = [f"| seconds (limit {limit:g}) | {' | '.join(solvers)} |", "|---|" + "---|" * len(solvers)]
    for row in rows:
        cells = []
        for solver in solvers:
            cell = row.get(solver, {})
            if "seconds" not in cell:
                cells.append("–")
            elif cell["seconds"] < limit:
                cells.append(f"{cell['seconds']:.2f}")
            else:
                cells.append(f"{cell['bound']:g}..{cell['loss']:g}")
        lines.append(f"| {row['instance']} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
