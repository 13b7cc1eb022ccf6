"""Calibrated probabilities against calibrated logistic regression, on numeric tables of the study and beyond.

    python benchmarks/probabilities.py [--data DIR] [--seconds 4] [--seeds 2]

Log-loss and Brier score on 30 % of the rows that no one has seen, mean over the seeds; at most 3,000 rows of a table.
Every fit has the same time, which "cross_fit" shares among five networks. Maps that were not chosen are fitted on the
held-out rows and the network of "held_out". Rewrites benchmarks/results/probabilities.json.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import add_data_option, drawn, load, write_results
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_wine
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bdnn import BDNNClassifier, BDNNEnsembleClassifier
from bdnn.reports.metrics import measures
from bdnn.splitting import split

TABLES = {
    "breast cancer": "breast_cancer_wisconsin_bdnn.csv",
    "pima": "pima_diabetes.csv",
    "heart": "heart_cleveland.csv",
    "ionosphere": "ionosphere.csv",
    "sonar": "sonar.csv",
    "spambase": "spambase.csv",
    "banknote": "banknote.csv",
    "credit card": "default_credit_card.csv.gz",
    "wine": "",
    "covertype": "covertype_15120.csv.gz",
}
MOST_ROWS = 3000
TEST = 0.3
REFERENCE = "calibrated logistic regression"
CHOSEN = ("2 neurons", "8 neurons", "ensemble")


def data(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and codes of labels."""
    X, y = load(folder, TABLES[name]) if TABLES[name] else load_wine(return_X_y=True)
    X, y = drawn(X, y, MOST_ROWS)
    return X, np.unique(y, return_inverse=True)[1]


def figures(shares: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return log-loss, Brier score and accuracy of probabilities."""
    classes = np.arange(shares.shape[1])
    found = measures(classes, truth, shares.argmax(axis=1), shares, np.clip(shares, 1e-6, 1))
    return {name: found[name] for name in ("log_loss", "brier", "accuracy")}


def other_maps(clf: BDNNClassifier, X: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return probabilities of new rows by maps of the output alone, fitted on the rows that `clf` held out."""
    _, held_out = split(X, y, 0.25, np.random.RandomState(seed).randint(2**31 - 1))
    known, wanted = (values.reshape(len(values), -1) for values in map(clf.decision_function, (X[held_out], new)))
    scale = known.std(axis=0) + 1e-300
    platt = LogisticRegression(max_iter=1000).fit(known / scale, y[held_out])
    found = {"Platt, output": platt.predict_proba(wanted / scale)}
    if known.shape[1] == 1:
        isotonic = IsotonicRegression(y_min=1e-3, y_max=1 - 1e-3, out_of_bounds="clip")
        second = isotonic.fit(known[:, 0], y[held_out]).predict(wanted[:, 0])
        found["isotonic, output"] = np.stack([1 - second, second], axis=1)
    return found


def cell(folder: Path, name: str, seed: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return the figures of every way on one table."""
    X, y = data(folder, name)
    training, test = train_test_split(np.arange(len(y)), test_size=TEST, random_state=seed, stratify=y)
    shares: dict[str, np.ndarray] = {}
    common: dict[str, Any] = {"time_limit": seconds, "random_state": seed}
    fit = X[training], y[training]
    for size in (2, 8):
        local = BDNNClassifier((size,), "local_search", **common)
        shares[f"{size} neurons"] = local.set_params(probability="cross_fit").fit(*fit).predict_proba(X[test])
        clf = local.set_params(probability="held_out").fit(*fit)
        shares[f"{size} neurons, held_out"] = clf.predict_proba(X[test])
        for way, values in other_maps(clf, *fit, X[test], seed).items():
            shares[f"{size} neurons, {way}"] = values
    ensemble = BDNNEnsembleClassifier(n_estimators=5, probability=True, **common)
    shares["ensemble"] = ensemble.fit(*fit).predict_proba(X[test])
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    shares["logistic regression"] = logistic.fit(*fit).predict_proba(X[test])
    shares[REFERENCE] = CalibratedClassifierCV(logistic, cv=5).fit(*fit).predict_proba(X[test])
    return {way: figures(values, y[test]) for way, values in shares.items()}


def tables(results: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Return the tables of the docs."""

    def mean(name: str, way: str, what: str) -> float:
        return float(np.mean([one[way][what] for one in results[name]]))

    ways = (*CHOSEN, REFERENCE, "logistic regression")
    lines = ["| table | " + " | ".join(ways) + " |", "|---|" + "---|" * len(ways)]
    for name in results:
        cells = [f"{mean(name, way, 'log_loss'):.3f} / {mean(name, way, 'brier'):.3f}" for way in ways]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    every = sorted({way for each in results.values() for one in each for way in one})
    lines += ["", f"Ratios to {REFERENCE}; below 1 is better. The maps that are named were not chosen:", ""]
    lines += [
        "| way | log-loss, median ratio | Brier score, median ratio | tables with a smaller log-loss |",
        "|---|---|---|---|",
    ]
    for way in every:
        if way == REFERENCE:
            continue
        names = [name for name in results if all(way in one for one in results[name])]
        ratio = {
            what: float(np.median([mean(n, way, what) / mean(n, REFERENCE, what) for n in names]))
            for what in ("log_loss", "brier")
        }
        better = sum(mean(n, way, "log_loss") < mean(n, REFERENCE, "log_loss") for n in names)
        lines.append(f"| {way} | {ratio['log_loss']:.2f} | {ratio['brier']:.2f} | {better} of {len(names)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of margins that had no time, and of logistic regressions
    results = {
        name: [cell(options.data, name, seed, options.seconds) for seed in range(options.seeds)] for name in TABLES
    }
    text = tables(results)
    print(text)
    write_results("probabilities", {"seconds": options.seconds, "tables": results})


if __name__ == "__main__":
    main()
