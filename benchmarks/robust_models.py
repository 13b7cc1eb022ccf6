"""The two robust models: optimal robust losses of both, on rows of the example table, 2 hidden neurons, norm inf.

    python benchmarks/robust_models.py [--seconds 60]

Rewrites benchmarks/results/robust_models.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common import drawn, load, write_results

from bdnn import Budget, Problem
from bdnn.methods import METHODS

EXAMPLES = Path(__file__).parents[1] / "examples" / "data"
ROWS, RADII = (20, 30, 40), (1.0, 1.5, 2.0, 2.5, 3.0)


def shown(cell: dict) -> str:
    return f"{cell['loss']:g}" if cell["status"] == "optimal" else f"{cell['bound']:g}..{cell['loss']:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run")
    options = parser.parse_args()
    table = load(EXAMPLES, "breast_cancer_wisconsin.csv")
    results = []
    for rows in ROWS:
        X, y = drawn(*table, rows)
        for radius in RADII:
            row = {"rows": rows, "radius": radius}
            for model in ("interval", "pattern"):
                problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), robust_radius=radius, robust_model=model)
                result = METHODS["exact"](incumbents="none")(problem, Budget(seconds=options.seconds))
                row[model] = {
                    "loss": result.objective,
                    "bound": result.bound,
                    "status": str(result.status),
                    "seconds": round(result.timings["total"], 2),
                }
            print(row, flush=True)
            results.append(row)
    write_results("robust_models", results)


def table(results: list[dict]) -> str:
    """Return results as Markdown."""
    lines = ["| rows | model | " + " | ".join(f"radius {radius:g}" for radius in RADII) + " |"]
    lines.append("|---|---|" + "---|" * len(RADII))
    for rows in ROWS:
        for model in ("interval", "pattern"):
            cells = [shown(row[model]) for row in results if row["rows"] == rows]
            lines.append(f"| {rows} | {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
