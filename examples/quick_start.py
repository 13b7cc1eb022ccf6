"""A classifier on a data frame: train, read the proof, save, load, predict."""

from pathlib import Path

import pandas as pd

from bdnn import BDNNClassifier, load

table = pd.read_csv(Path(__file__).parent / "data" / "breast_cancer_wisconsin.csv", na_values="?")
table = table.dropna().sample(300, random_state=0)
X = table.drop(columns="target")
y = table["target"].map({0: "benign", 1: "malignant"})  # labels may be strings

# no hidden layer, a single neuron; at this size "auto" trains exactly
clf = BDNNClassifier(hidden_layer_sizes=(), time_limit=20, random_state=0).fit(X, y)

result = clf.result_
print(f"{result.method}: {result.status}, {result.objective:g} of {result.n_rows} rows wrong, bound {result.bound:g}")
print(f"which covers: {result.bound_of}")

# the file holds the network, the column names and what was proven about it
clf.save("quick_start.json")
again = load("quick_start.json")
assert (again.predict(X) == clf.predict(X)).all()
print("first rows:", *again.predict(X.head(3)))
