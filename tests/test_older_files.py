"""Files of earlier versions are still read: models, ensembles, certificates, checkpoints.

They were written in November 2026, before modules moved, on the points and labels below:

- ``model.json`` and ``certificate.json``: `BDNNClassifier((), "exact", certificate=True)`;
- ``integer.json``: `BDNNClassifier((2,), weights="integer", input_bits=4)` on the points moved by 0.25;
- ``ensemble.json``: an ensemble for three classes on the points, and the points moved by 3;
- ``checkpoint.npz``: 30 nodes of `ExactTraining` on the table of `noisy`.
"""

import json
import shutil
from pathlib import Path

import numpy as np

import bdnn
from bdnn import Budget, Problem, Status, verify_certificate
from bdnn.methods.exact import ExactTraining

FOLDER = Path(__file__).parent / "older_files"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 1], [1, 2], [2, 2], [0, 2]], dtype=float)
y = np.array(["no", "yes", "yes", "no", "no", "no", "yes", "no"])


def noisy():
    rng = np.random.default_rng(0)
    Z = rng.integers(-9, 10, (40, 3)).astype(float)
    return Z, (Z.sum(axis=1) + rng.normal(0, 14, 40) > 0).astype(int)


def test_models():
    model = bdnn.load(FOLDER / "model.json")
    assert model.predict(X).tolist() == EXPECTED["model"]
    result = model.result_
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, EXPECTED["loss"], EXPECTED["bound"])
    assert np.sum(model.predict(X) != y) == EXPECTED["loss"]
    assert bdnn.load(FOLDER / "integer.json").predict(X + 0.25).tolist() == EXPECTED["integer"]


def test_ensembles():
    assert bdnn.load(FOLDER / "ensemble.json").predict(np.vstack([X, X + 3])).tolist() == EXPECTED["ensemble"]


def test_certificates():
    found = verify_certificate(FOLDER / "certificate.json", X, y)
    assert found.optimal and float(found.bound) == EXPECTED["bound"]


def test_checkpoints(tmp_path):
    Z, z = noisy()
    problem = Problem(X=Z, y=z, hidden_layer_sizes=(2,))
    state = shutil.copy(FOLDER / "checkpoint.npz", tmp_path / "state.npz")
    seen = []
    resumed = ExactTraining(checkpoint=state)(problem, Budget(seconds=60), None, seen.append)
    assert resumed.nodes >= seen[0].nodes >= 30
    fresh = ExactTraining()(problem, Budget(seconds=60))
    assert resumed.status == fresh.status == Status.OPTIMAL and resumed.objective == fresh.objective
