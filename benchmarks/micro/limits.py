"""How long fits, certifications and searches for integers take beyond their time limits.

    python benchmarks/micro/limits.py [--only WORD ...] [--repeat 3]

Each case runs in a process of its own, after a small fit that loads what is compiled; presolve, building of programs,
polish and the last audit count. A limit holds if it is passed by no more than 10 % or 2 s, whichever is more. "wall",
"processor" are the least of the repetitions: on a busy machine the wall clock goes on while the process waits, and with
several threads processor time runs faster, so the lesser of the two is judged. Rewrites
benchmarks/results/limits.json and limits.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import RESULTS, write_results

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget, certify
from bdnn.errors import BDNNError

MOST_SHARE, MOST_SECONDS = 0.1, 2.0

LOCAL = {"method": "local_search"}
CASES: dict[str, dict] = {
    "local search, 200,000 x 50, 64 neurons, 1 s": dict(rows=200_000, hidden=(64,), seconds=1, **LOCAL),
    "local search, 200,000 x 50, 64 neurons, 5 s": dict(rows=200_000, hidden=(64,), seconds=5, **LOCAL),
    "local search, 200,000 x 50, 64-16 neurons, 1 s": dict(rows=200_000, hidden=(64, 16), seconds=1, **LOCAL),
    "local search, integers, 200,000 x 50, 64 neurons, 1 s": dict(
        rows=200_000, hidden=(64,), seconds=1, weights="integer", **LOCAL
    ),
    "local search, robust, 50,000 x 50, 16 neurons, 1 s": dict(
        rows=50_000, hidden=(16,), seconds=1, robust_radius=0.1, **LOCAL
    ),
    "local search, ten classes, 60,000 x 784, 32 neurons, 5 s": dict(
        rows=60_000, features=784, classes=10, hidden=(32,), seconds=5, **LOCAL
    ),
    "local search, held out, 100,000 x 50, 16 neurons, 5 s": dict(
        rows=100_000, hidden=(16,), seconds=5, validation_fraction=0.25, **LOCAL
    ),
    "exact, integers, 5,000 x 200, 2 neurons, 5 s": dict(
        rows=5_000, features=200, hidden=(2,), seconds=5, method="exact", weights="integer"
    ),
    "exact, 5,000 x 200, 2 neurons, 5 s": dict(rows=5_000, features=200, hidden=(2,), seconds=5, method="exact"),
    "exact, HiGHS, 2,000 x 50, 2 neurons, 3 s": dict(
        rows=2_000, hidden=(2,), seconds=3, method="exact", formulation="big_m", solver="highs"
    ),
    "exact, SCIP, 1,000 x 50, 2 neurons, 3 s": dict(
        rows=1_000, hidden=(2,), seconds=3, method="exact", formulation="big_m", solver="scip"
    ),
    "exact, worst case, 500 x 20, 2 neurons, 3 s": dict(
        rows=500, features=20, hidden=(2,), seconds=3, method="exact", robust_radius=0.1, robust_model="worst_case"
    ),
    "exact, 50,000 x 50, no hidden layer, 3 s": dict(rows=50_000, hidden=(), seconds=3, method="exact"),
    "data splitting, 20,000 x 50, 2 neurons, 3 s": dict(rows=20_000, hidden=(2,), seconds=3, method="data_splitting"),
    "alternating, 5,000 x 50, 4 neurons, 3 s": dict(rows=5_000, hidden=(4,), seconds=3, method="alternating"),
    "ensemble, 20,000 x 50, 10 members, 3 s": dict(rows=20_000, hidden=(16,), seconds=3, kind="ensemble"),
    "certify, 500 points, 20 features, 8 neurons, 3 s": dict(
        rows=500, features=20, hidden=(8,), seconds=3, kind="certify"
    ),
    "to_integer, 20,000 x 50, 8 neurons, 3 s": dict(rows=20_000, hidden=(8,), seconds=3, kind="to_integer"),
}


def table(rows: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy labels of linear scores."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, features))
    return X, np.argmax(X @ rng.normal(size=(features, classes)) + rng.normal(size=(rows, classes)), axis=1)


def rounded(clf: BDNNClassifier, X: np.ndarray, seconds: float) -> str:
    """Search for integers with the same decisions."""
    try:
        clf.network_.to_integer(X, time_limit=seconds)
    except BDNNError as error:
        return str(error)
    return "found"


def timed(case: dict) -> dict:
    """Run one case in this process."""
    case = {"features": 50, "classes": 2, "kind": "fit"} | case
    X, y = table(case.pop("rows"), case.pop("features"), case.pop("classes"))
    seconds, kind, hidden = case.pop("seconds"), case.pop("kind"), tuple(case.pop("hidden"))
    few = slice(0, 60)
    warnings.simplefilter("ignore")
    if kind == "fit":
        BDNNClassifier(hidden, time_limit=60, random_state=0, **(case | LOCAL | {"robust_model": "interval"})).fit(
            X[few], y[few]
        )
        BDNNClassifier(hidden, time_limit=2, random_state=0, **case).fit(X[few], y[few])
        clf = BDNNClassifier(hidden, time_limit=seconds, random_state=0, **case)
        action = lambda: clf.fit(X, y).result_.message  # noqa: E731
    elif kind == "ensemble":
        BDNNClassifier(hidden, time_limit=60, weights="integer", **LOCAL).fit(X[few], y[few])
        ensemble = BDNNEnsembleClassifier(BDNNClassifier(hidden, weights="integer", **LOCAL), time_limit=seconds)
        action = lambda: f"{len(ensemble.fit(X, y).members_)} members"  # noqa: E731
    else:
        clf = BDNNClassifier(hidden, time_limit=5, random_state=0, **LOCAL).fit(X, y)
        if kind == "certify":
            certify(clf.network_, X[:2], budget=Budget(seconds=60))
            limit = Budget(seconds=seconds)
            action = lambda: f"{int(certify(clf.network_, X, budget=limit).undecided.sum())} undecided"  # noqa: E731
        else:
            action = lambda: rounded(clf, X, seconds)  # noqa: E731
    began, used = time.monotonic(), time.process_time()
    message = action()
    return {"wall": time.monotonic() - began, "processor": time.process_time() - used, "message": message}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names hold these words; writes no file")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(timed(json.loads(arguments.case))), flush=True)
        os._exit(0)  # a solver that overran may still be stopping
    rows, results = [], {}
    for name, case in CASES.items():
        if not all(word in name for word in arguments.only):
            continue
        command = [sys.executable, __file__, "--case", json.dumps(case)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(arguments.repeat)
        ]
        best = {key: round(min(run[key] for run in runs), 2) for key in ("wall", "processor")}
        seconds = case["seconds"]
        holds = min(best.values()) <= seconds + max(MOST_SHARE * seconds, MOST_SECONDS)
        results[name] = {"limit": seconds, **best, "holds": holds, "message": runs[-1]["message"]}
        rows.append(f"| {name} | {best['wall']:.2f} | {best['processor']:.2f} | {'yes' if holds else '**no**'} |")
        print(rows[-1], runs[-1]["message"], f"(load {os.getloadavg()[0]:.1f})", flush=True)
    if not arguments.only:
        write_results("limits", results)
        head = ["| case and limit | wall, s | processor, s | holds |", "|---|---|---|---|"]
        (RESULTS / "limits.md").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
