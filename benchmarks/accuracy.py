"""Held-out accuracy of the defaults on raw tables, beside scikit-learn's classifiers with theirs.

Every classification table of the data folder is taken as it is, text columns and missing values included: ours gets the
data frame, the rivals get it through one-hot encoding, imputation and scaling. Three stratified splits, a quarter held
out (``adult`` has a test file of its own). Ours has the defaults and ``time_limit=10``, so it chooses its
shape; the network of scikit-learn has as many hidden neurons as ours chose on the same split, two at least.

    python benchmarks/accuracy.py [--data DIR] [--only NAME,NAME] [--seeds 3] [--first-seed 0] [--file FILE] [--tables]

Results go to ``benchmarks/results/accuracy.jsonl``, one line per run; runs that are there are not repeated. Lines of
ours and of that network without their ``width`` are of older defaults, two neurons, and do not count. Seeds from 100 on
are for development, with a ``--file`` of their own.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, add_data_option, machine
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from bdnn import BDNNClassifier

TABLES = (
    "adult_train.csv.gz", "bank_marketing_full.csv.gz", "banknote.csv", "breast_cancer_wisconsin_uci.csv",
    "caesarian.csv", "covertype_15120.csv.gz", "default_credit_card.csv.gz", "haberman.csv", "heart_cleveland.csv",
    "ionosphere.csv", "mushroom.csv", "pima_diabetes.csv", "sonar.csv", "spambase.csv",
    "uniform/Uniform_N10_m1000_0.csv.gz", "uniform/Uniform_N100_m200_0.csv.gz", "voicepath.csv",
    "wine_quality_red.csv", "wine_quality_white.csv",
)  # fmt: skip
"""All but second copies (heart_kaggle, breast_cancer_wisconsin_bdnn, the other uniform ones) and regressions."""

OURS, AS_WIDE = "bdnn", "MLP"
LEAST_WIDTH = 2
"""Neurons of the rival where ours chose none."""
SECONDS = 10.0
FILE = RESULTS / "accuracy.jsonl"


def encoded(classifier: Any) -> Any:
    """Return a rival behind the usual way from a table to numbers."""
    text = make_column_selector(dtype_exclude="number")
    numbers = make_column_selector(dtype_include="number")
    way = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ]
    )
    return make_pipeline(way, classifier)


RIVALS: dict[str, Callable[[int, int], Any]] = {
    "logistic regression": lambda width, seed: encoded(LogisticRegression(max_iter=1000)),
    "tree": lambda width, seed: encoded(DecisionTreeClassifier(random_state=seed)),
    "forest": lambda width, seed: encoded(RandomForestClassifier(random_state=seed)),
    "boosting": lambda width, seed: encoded(HistGradientBoostingClassifier(random_state=seed)),
    "MLP": lambda width, seed: encoded(MLPClassifier((width,), random_state=seed)),
}


def read(folder: Path, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return columns and labels of a table as pandas reads it."""
    frame = pd.read_csv(folder / name, na_values="?")
    return frame.drop(columns="target"), frame["target"]


def splits(folder: Path, name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    """Return training and test columns, training and test labels."""
    X, y = read(folder, name)
    if name == "adult_train.csv.gz":
        X_test, y_test = read(folder, "adult_test.csv.gz")
        return X, X_test, y, y_test
    return tuple(train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y))


def run(name: str, method: str, seed: int, folder: Path, width: int) -> dict[str, Any]:
    """Train once; `width` is what ours chose."""
    X, X_test, y, y_test = splits(folder, name, seed)
    ours = BDNNClassifier(time_limit=SECONDS, random_state=seed)
    classifier = ours if method == OURS else RIVALS[method](max(width, LEAST_WIDTH), seed)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(X, y)
        seconds = time.perf_counter() - began
        accuracy = float(np.mean(classifier.predict(X_test) == y_test))
        training = float(np.mean(classifier.predict(X) == y))
    line = {
        "table": name, "method": method, "seed": seed, "accuracy": accuracy, "training": training,
        "seconds": round(seconds, 2),
    }  # fmt: skip
    if method == OURS:
        chosen = ours.selection_[0].thresholds if ours.selection_ else None
        return line | {"width": sum(ours.network_.widths[:-1]), "thresholds": chosen}
    return line | {"width": max(width, LEAST_WIDTH)} if method == AS_WIDE else line


def chosen_width(lines: list[dict[str, Any]], name: str, seed: int) -> int | None:
    """Return how many hidden neurons ours chose on a split, None if it was not trained."""
    return next((ln["width"] for ln in lines if (ln["table"], ln["method"], ln["seed"]) == (name, OURS, seed)), None)


def known(path: Path, seeds: range) -> list[dict[str, Any]]:
    """Return the runs of a result file for some seeds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        line
        for line in lines
        if "table" in line and line["seed"] in seeds and (line["method"] not in (OURS, AS_WIDE) or "width" in line)
    ]


def report(lines: list[dict[str, Any]]) -> str:
    """Return the table of means over the seeds, in percent."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in lines:
        cells[line["table"], line["method"]].append(100 * line["accuracy"])
    widths: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line["method"] == OURS:
            widths[line["table"]].append(line["width"])
    methods = [OURS, *RIVALS]
    tables = [name for name in TABLES if all((name, method) in cells for method in methods)]
    value = {key: mean(found) for key, found in cells.items()}
    if not tables:
        return ""
    rows = ["| table | neurons | " + " | ".join(methods) + " |", "|---" * (len(methods) + 2) + "|"]
    for name in tables:
        short = Path(name).name.split(".")[0]
        chosen = ", ".join(map(str, widths[name]))
        rows.append(f"| {short} | {chosen} | " + " | ".join(f"{value[name, method]:.1f}" for method in methods) + " |")
    rows.append("| mean | | " + " | ".join(f"{mean(value[n, m] for n in tables):.1f}" for m in methods) + " |")
    level = {m: sum(round(value[n, OURS], 1) >= round(value[n, m], 1) for n in tables) for m in RIVALS}
    rows += [
        "",
        f"No worse than the rival, of {len(tables)} tables: " + ", ".join(f"{m} {k}" for m, k in level.items()),
    ]
    return "\n".join(rows) + "."


def main() -> None:
    """Run what has not been run, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--only", default="", help="names of tables, separated by commas")
    parser.add_argument("--methods", default=",".join([OURS, *RIVALS]))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--file", type=Path, default=FILE, help="lines of runs")
    parser.add_argument("--tables", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    lines = known(options.file, seeds)
    done = {(line["table"], line["method"], line["seed"]) for line in lines}
    if not options.tables:
        with options.file.open("a") as file:
            if not file.tell():
                file.write(json.dumps({"machine": machine()}) + "\n")
            for name in TABLES:
                if options.only and not any(part in name for part in options.only.split(",")):
                    continue
                for seed in seeds:
                    for method in options.methods.split(","):
                        width = chosen_width(lines, name, seed)
                        if (name, method, seed) not in done and (method != AS_WIDE or width is not None):
                            lines.append(run(name, method, seed, options.data, width or 0))
                            file.write(json.dumps(lines[-1]) + "\n")
                            file.flush()
    print(report(lines) or "no table has runs of all methods")


if __name__ == "__main__":
    main()
