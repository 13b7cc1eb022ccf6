"""From a data frame to a saved network of integers, in cells that notebooks and editors understand."""

# %% [markdown]
# # From a table to an integer network
#
# This page is the script `examples/walkthrough.py`, cell by cell, with what it prints. It goes from a data frame to a
# saved network of small integers: look at the data, train, read the bound, compare widths on held-out rows, turn the
# weights into integers, certify, save.
#
# The data are the Breast Cancer Wisconsin (Original) table of W. Wolberg, UCI Machine Learning Repository,
# [doi:10.24432/C5HP4Z](https://doi.org/10.24432/C5HP4Z), CC BY 4.0: nine grades from 1 to 10 for each of 699 samples of
# cells.

# %%
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from bdnn import BDNNClassifier, load

data = Path(__file__).parent / "data" / "breast_cancer_wisconsin.csv"
table = pd.read_csv(data, na_values="?")
print(table.describe().loc[["count", "min", "50%", "max"]].T.to_string())

# %% [markdown]
# One column has missing values. They are replaced by the median of the training rows only, so that the test rows stay
# unseen. Labels can be numbers or strings; here they get names.

# %%
X, y = table.drop(columns="target"), table["target"].map({0: "benign", 1: "malignant"})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
median = X_train.median()
X_train, X_test = X_train.fillna(median), X_test.fillna(median)
print(len(X_train), "rows to train on,", len(X_test), "to test")

# %% [markdown]
# ## One neuron, to the optimum
#
# Begin with the smallest network. The exact method finds the least number of training errors that a single threshold
# of a weighted sum can make, and proves it.

# %%
one = BDNNClassifier((), method="exact", time_limit=30, random_state=0).fit(X_train, y_train)
print(f"{one.result_.status}: {one.result_.objective:g} errors, bound {one.result_.bound:g}")
print(f"test accuracy {one.score(X_test, y_test):.3f}")

# %% [markdown]
# A proven optimum is an answer: whoever wants fewer training errors needs hidden neurons. It says nothing about unseen
# rows, so the width is chosen on held-out ones.
#
# ## Wider networks, by local search
#
# Local search takes any width. A part of the training rows is held out to choose among the networks it finds. Weights
# are ternary here, the least that can be stored.

# %%
kept = {}
for hidden in ((2,), (5,), (10,)):
    clf = BDNNClassifier(
        hidden, method="local_search", weights="integer", validation_fraction=0.25, time_limit=2, random_state=0
    ).fit(X_train, y_train)
    kept[hidden] = clf
    print(
        f"{hidden[0]:>2} hidden: {clf.result_.objective:g} errors on the rows it was trained on, "
        f"{clf.result_.validation_accuracy:.3f} held out, {clf.network_.size_bytes} bytes"
    )

# %% [markdown]
# The test rows had no say in this. They are asked once, for the network with the best accuracy on the held-out part.

# %%
best = max(kept.values(), key=lambda clf: clf.result_.validation_accuracy)
print(f"{best.hidden_layer_sizes[0]} hidden neurons, test accuracy {best.score(X_test, y_test):.3f}")

# %% [markdown]
# ## Real weights, turned into integers
#
# A network with real weights can be turned into integers afterward: `to_integer` looks for the smallest integers that
# decide every given row as the real weights do. Nothing is rounded away: the decisions on these rows are compared
# exactly.

# %%
whole = one.network_.to_integer(X_train)
assert (whole.predict(X_train) == one.predict(X_train)).all()
largest = max(abs(layer.weights).max() for layer in whole.layers)
print(f"{one.network_.size_bytes} bytes with real weights, {whole.size_bytes} with integers up to {largest}")
(weights,), (bias,) = whole.layers[0]
terms = [f"{w:+d} {name}" for name, w in zip(X.columns, weights.tolist(), strict=True) if w]
print(f"{whole.classes[1]} if", *terms, f"{bias:+d} >= 0", sep="\n    ")

# %% [markdown]
# ## How far can the grades be off?
#
# The grades are integers, and so are an attacker's. For each test row the smallest change of the grades that changes
# the diagnosis is found, with a proof that no smaller one does.

# %%
found = best.certify(X_test, y_test, norm="inf", integer=True, lower=1, upper=10)
print(found.summary())

# %% [markdown]
# ## Save
#
# The file is plain JSON: network, names of the columns, and what was proven. The loaded network decides as the
# saved one does.

# %%
best.save("cells.json")
again = load("cells.json")
assert (again.predict(X_test) == best.predict(X_test)).all()
print(Path("cells.json").stat().st_size, "characters of JSON;", again.network_.size_bytes, "bytes as packed integers")
