"""The four methods on the same rows: what they find, and what they prove."""

from pathlib import Path

import pandas as pd

from bdnn import BDNNClassifier

table = pd.read_csv(Path(__file__).parent / "data" / "breast_cancer_wisconsin.csv", na_values="?")
table = table.fillna(table.median()).sample(frac=1, random_state=0)
X, y = table.drop(columns="target"), table["target"]
training, test = slice(0, 150), slice(150, None)

print(f"{'method':<16}{'status':<10}{'loss':>6}{'bound':>7}{'test':>8}  why it stopped")
for method in ("exact", "local_search", "alternating", "data_splitting"):
    # "none": no short local search before the programs, so that each method shows what it does by itself
    clf = BDNNClassifier((2,), method=method, incumbents="none", max_splits=5, time_limit=5, random_state=0)
    clf.fit(X[training], y[training])
    result = clf.result_
    accuracy = clf.score(X[test], y[test])
    print(f"{method:<16}{result.status:<10}{result.objective:6g}{result.bound:7g}{accuracy:8.3f}  {result.message}")
