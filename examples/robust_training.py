"""Robust training and certification: how far grades of cells can be off before the diagnosis changes."""

from pathlib import Path

import pandas as pd

from bdnn import BDNNClassifier, attack

table = pd.read_csv(Path(__file__).parent / "data" / "breast_cancer_wisconsin.csv", na_values="?")
table = table.fillna(table.median()).sample(frac=1, random_state=0)
X, y = table.drop(columns="target"), table["target"]  # nine grades from 1 to 10
training, test = slice(0, 400), slice(400, 500)

# the robust network must be right on the training points even if every grade is off by up to 1
settings = {"hidden_layer_sizes": (2,), "method": "local_search", "time_limit": 4, "random_state": 0}
nominal = BDNNClassifier(**settings).fit(X[training], y[training])
robust = BDNNClassifier(**settings, robust_radius=1.0, robust_norm="inf").fit(X[training], y[training])

# for every test point, the smallest change of all grades together (norm inf) that changes the diagnosis; the bounds
# keep the attacker to grades that exist
radii = [0.0, 0.5, 1.0, 1.5]
print("certified test accuracy at radius  " + "  ".join(f"{r:5.1f}" for r in radii))
for name, clf in (("nominal", nominal), ("robust", robust)):
    found = clf.certify(X[test], y[test], norm="inf", lower=1, upper=10)
    certified = found.curve(radii).certified
    print(f"{name:<35}" + "  ".join(f"{share:5.2f}" for share in certified))

# an attack is an input that the network itself decides differently; the quick search does not prove that there is no
# nearer one, so its distance is at least the certified radius
point = X[test].head(1)
exact = robust.certify(point, lower=1, upper=10).radius[0]
quick = attack(robust.network_, point, lower=1, upper=10).distance[0]
print(f"one point: certified up to {exact:.4f}, quick attack at {quick:.4f}")
