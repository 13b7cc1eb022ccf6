"""Score cards of at most five columns: their proofs, and their accuracy beside logistic regression.

Every proof is for the whole table, from a search of a few seconds on; accuracies are means over stratified splits with
a quarter of the rows held out. Writes results/cards.json and the tables in docs/cards.md; ``--proofs`` and ``--splits``
measure one part and keep the other.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import numpy as np
from common import RESULTS, add_data_option, load, write_results
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bdnn import BDNNClassifier

TABLES = {"breast cancer": "breast_cancer_wisconsin_bdnn.csv", "heart": "heart_cleveland.csv"}
MOST, P, THRESHOLDS, SPLITS = 5, 5, 3, 10
LIMITS = (60.0, 300.0)
CARDS = {
    "real weights": {"weights": "continuous"},
    f"integers up to {P}": {"weights": "integer", "weight_bound": P},
    f"integers up to {P}, {THRESHOLDS} thresholds a column": {
        "weights": "integer", "weight_bound": P, "thresholds": THRESHOLDS,
    },
}  # fmt: skip


def card(seconds: float, seed: int = 0, **settings: object) -> BDNNClassifier:
    return BDNNClassifier((), max_features=MOST, time_limit=seconds, random_state=seed, **settings)


def proof(X: np.ndarray, y: np.ndarray, settings: dict, formulation: str, seconds: float) -> dict:
    """Train on all rows; return loss, bound and time."""
    clf, began = card(seconds, method="exact", formulation=formulation, **settings), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = clf.fit(X, y).result_
    return {
        "loss": result.objective,
        "bound": result.bound,
        "seconds": result.timings["total"],
        "processor_seconds": time.process_time() - began,
        "limit": seconds,
    }


def limited_regression(X: np.ndarray, y: np.ndarray) -> object:
    """Return the l1 regression with the least penalty of those with at most five coefficients."""
    best = None
    for C in np.geomspace(1e-3, 10, 60):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, l1_ratio=1.0, solver="liblinear"))
        model.fit(X, y)
        if np.count_nonzero(model[-1].coef_) <= MOST:
            best = model
    return best


def splits(X: np.ndarray, y: np.ndarray, seconds: float) -> dict:
    """Return the test accuracies of all models."""
    found: dict[str, list[float]] = {}
    for seed, (rows, others) in enumerate(StratifiedShuffleSplit(SPLITS, test_size=0.25, random_state=0).split(X, y)):
        models = {f"card, {name}": card(seconds, seed, method="local_search", **s) for name, s in CARDS.items()}
        models["logistic regression, all columns"] = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        for name, model in models.items():
            found.setdefault(name, []).append(float(model.fit(X[rows], y[rows]).score(X[others], y[others])))
        few = limited_regression(X[rows], y[rows])
        found.setdefault(f"logistic regression, ℓ1, {MOST} columns", []).append(few.score(X[others], y[others]))
    return found


def text(results: dict) -> str:
    lines = [
        "| table | weights | formulation | limit | loss | bound | gap | seconds (of a processor) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results.get("proofs", []):
        gap = (each["loss"] - each["bound"]) / each["loss"] if each["loss"] else 0.0
        state = "proven" if gap == 0 else f"{gap:.0%}"
        lines.append(
            f"| {each['table']} | {each['weights']} | {each['formulation']} | {each['limit']:g} s | {each['loss']:g} | "
            f"{each['bound']:g} | {state} | {each['seconds']:.1f} ({each['processor_seconds']:.1f}) |"
        )
    accuracies = results.get("splits", {})
    lines += ["", f"| test accuracy, % | {' | '.join(accuracies)} |", "|---" * (1 + len(accuracies)) + "|"]
    for name in next(iter(accuracies.values()), {}):
        cells = [f"{100 * np.mean(each[name]):.1f} ± {100 * np.std(each[name]):.1f}" for each in accuracies.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--proofs", action="store_true", help="only the proofs")
    parser.add_argument("--splits", action="store_true", help="only the accuracies")
    parser.add_argument("--limit", type=float, nargs="*", default=LIMITS, help="seconds for a proof, in turn")
    parser.add_argument("--search", type=float, default=3.0, help="seconds for a card of a split")
    arguments = parser.parse_args()
    path = RESULTS / "cards.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    tables = {name: load(arguments.data, file) for name, file in TABLES.items()}
    if not arguments.splits:
        results["proofs"] = []
        for name, (X, y) in tables.items():
            for weights, settings in CARDS.items():
                for formulation in ("auto",) if "thresholds" in settings else ("auto", "big_m"):
                    for seconds in arguments.limit[: 1 if formulation == "big_m" else None]:
                        found = proof(X, y, settings, formulation, seconds)
                        about = {"table": name, "weights": weights, "formulation": formulation}
                        results["proofs"].append(about | found)
                        print(results["proofs"][-1], flush=True)
                        write_results("cards", results)
                        if found["loss"] == found["bound"]:
                            break
    if not arguments.proofs:
        results["splits"] = {name: splits(X, y, arguments.search) for name, (X, y) in tables.items()}
    write_results("cards", results)


if __name__ == "__main__":
    main()
