"""Exact training with a certificate: the proof is written down, and checked by a program that trusts nothing."""

from pathlib import Path

import pandas as pd

from bdnn import BDNNClassifier, save_certificate, verify_certificate
from bdnn.errors import CertificateError

table = pd.read_csv(Path(__file__).parent / "data" / "breast_cancer_wisconsin.csv", na_values="?")
table = table.fillna(table.median())  # 16 of the grades are missing
X, y = table.drop(columns="target"), table["target"]

# a single neuron on all 699 rows: no threshold of a weighted sum makes fewer errors than this one
clf = BDNNClassifier((), method="exact", certificate=True, time_limit=60, random_state=0).fit(X, y)
result = clf.result_
print(f"{result.status}: {result.objective:g} errors, bound {result.bound:g}, {result.nodes} nodes")

save_certificate(result.certificate, "proof.json.gz")
checked = verify_certificate("proof.json.gz", X, y)
print(f"verified: {checked.statement}")
print(f"{checked.n_cuts} inseparable sets and {checked.n_leaves} leaves, in integers and fractions")

# a certificate is about these data and no others
try:
    verify_certificate("proof.json.gz", X[1:], y[1:])
except CertificateError as error:
    print(f"refused: {error}")
