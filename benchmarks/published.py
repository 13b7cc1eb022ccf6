"""Losses that others published as least for networks without hidden layer, beside ours, with proof.

    python benchmarks/published.py [--data DIR] [--seconds 60] [--certificates]

The published figures are those of E01Loss, the library of X. He and M. A. Little (arXiv:2306.12344), as its README at
https://github.com/XiHegrt/E01Loss gives them: 19 of 704 rows for its own data, and percentages for tables of the UCI
repository. Of these, the tables that are among our data are trained by `method="exact"` as it comes. A loss counts as
proven if the bound for any real weights meets it; with ``--certificates`` branch and cut proves it once more within the
time limit, and the independent checker has to accept its certificate. Rewrites benchmarks/results/published.json and
published.md.

Nothing is taken from papers on networks with a hidden layer (J. Kurtz and B. Bah, arXiv:2007.03326 and
arXiv:2110.11382; A. M. Bernardelli et al., arXiv:2212.03659): we know of no training loss in them whose rows are named,
so there is none to reproduce. `benchmarks/study` and `benchmarks/few_shot.py` compare accuracies.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from common import RESULTS, add_data_option, load, write_results

from bdnn import Budget, Problem, Status, verify_certificate
from bdnn.methods.exact import ExactTraining

PUBLISHED = {"voicepath": (19, "19 of 704"), "haberman": (66, "21.6 %"), "caesarian": (18, "22.5 %")}
"""Table: rows in error, and what was published."""
NOISE, DRAWS = 1e-6, 20
"""What separates equal rows, small beside the distances of others, and how often it is drawn."""


def separated(X, y, seed):
    """Return the least loss where noise has made all rows different."""
    moved = X + NOISE * np.random.default_rng(seed).normal(size=X.shape)
    result = ExactTraining()(Problem(X=moved, y=y, hidden_layer_sizes=()), Budget(seconds=60))
    return result.objective if result.status == Status.OPTIMAL else None


def measure(name, X, y, options):
    """Return ours for a table."""
    errors, text = PUBLISHED[name]
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    began = time.process_time()
    result = ExactTraining()(problem, Budget(seconds=options.seconds))
    row = {
        "table": name, "rows": len(X), "distinct": result.n_distinct, "columns": X.shape[1], "published": errors,
        "published_as": text, "loss": result.objective, "bound": result.bound, "bound_of": result.bound_of,
        "proven": result.status == Status.OPTIMAL, "irreducible": result.irreducible, "message": result.message,
        "processor_seconds": round(time.process_time() - began, 3),
    }  # fmt: skip
    if options.certificates:
        certified = ExactTraining(certificate=True)(problem, Budget(seconds=options.seconds))
        verified = verify_certificate(certified.certificate, X, y) if certified.certificate else None
        row["certified_bound"] = None if verified is None else float(verified.bound)
    if result.objective != errors:
        row["with_noise"] = [separated(X, y, seed) for seed in range(DRAWS)]
    return row


def text(rows) -> str:
    """Return results as Markdown."""
    lines = [
        "| table | rows × columns | distinct rows | published | ours | proven | processor s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        proven = "yes" if row["proven"] else f"bound {row['bound']:g}"
        if row.get("certified_bound") is not None:
            proven += f", certificate for {row['certified_bound']:g}"
        published = f"{row['published']} ({row['published_as']})"
        lines.append(
            f"| {row['table']} | {row['rows']} × {row['columns']} | {row['distinct']} | {published} | {row['loss']:g} "
            f"| {proven} | {row['processor_seconds']:.2g} |"
        )
    for row in rows:
        if "with_noise" not in row:
            continue
        found = sorted({loss for loss in row["with_noise"] if loss is not None})
        shown = ", ".join(f"{loss:g}" for loss in found)
        lines += [
            "",
            f"{row['table']}: no real weights reach the published figure on the rows as they are. Equal rows with "
            f"different labels cost {row['irreducible']:g} whatever the classifier; the library asks for points in "
            f"general position, so equal rows have to go, or to be made different. With noise of {NOISE:g} on every "
            f"number the least loss, proven in {len(row['with_noise'])} draws, is {shown}: this does not explain the "
            "figure, and how the rows were prepared is not said.",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run")
    parser.add_argument("--certificates", action="store_true", help="check certificates of branch and cut, too")
    options = parser.parse_args()
    # what is imported at first use is no part of the first run
    ExactTraining()(Problem(X=np.arange(12.0)[:, None], y=np.arange(12) % 2, hidden_layer_sizes=()))
    rows = [measure(name, *load(options.data, f"{name}.csv"), options) for name in PUBLISHED]
    write_results("published", {"time_limit": options.seconds, "rows": rows})
    (RESULTS / "published.md").write_text(f"# Published losses\n\n{text(rows)}\n", encoding="utf-8")
    print(text(rows))


if __name__ == "__main__":
    main()
