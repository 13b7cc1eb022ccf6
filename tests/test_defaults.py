"""Features through the default settings of the estimator, against the plain variants that other tests know well."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bdnn import BDNNClassifier, load
from bdnn.backends import available

EXAMPLE = Path(__file__).parents[1] / "examples" / "data" / "breast_cancer_wisconsin.csv"

FEATURES = {
    "nothing": {},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "two hidden layers": {"hidden_layer_sizes": (2, 2)},
    "integers": {"weights": "integer", "weight_bound": 2},
    "no biases": {"fit_intercept": False},
    "argmax": {"head": "argmax"},
    "l0": {"regularizer": "l0", "regularization": 0.2},
    "l1": {"regularizer": "l1", "regularization": 0.2},
    "l0, integers": {"regularizer": "l0", "regularization": 0.2, "weights": "integer"},
    "lexicographic": {"regularizer": "l0", "regularization": "lexicographic", "weights": "integer"},
    "robust": {"robust_radius": 0.4},
    "robust, norm 1": {"robust_radius": 0.4, "robust_norm": "1", "hidden_layer_sizes": ()},
    "robust, pattern": {"robust_radius": 0.4, "robust_model": "pattern"},
    "robust, integers": {"robust_radius": 1.0, "weights": "integer"},
    "worst case": {"robust_radius": 0.4, "robust_model": "worst_case"},
    "certificate": {"certificate": True, "hidden_layer_sizes": ()},
    "margin": {"margin": 0.01},
    "big_m": {"formulation": "big_m", "hidden_layer_sizes": ()},
}


def data(classes=2):
    rng = np.random.default_rng(5)
    return rng.integers(0, 5, (9, 2)).astype(float), rng.permutation(np.arange(9) % classes)


@functools.cache
def optimum(feature, classes):
    """What the exact method finds as it comes."""
    settings = {"hidden_layer_sizes": (1,), "random_state": 0} | FEATURES[feature]
    return BDNNClassifier(method="exact", **settings).fit(*data(classes)).result_


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("feature", FEATURES)
def test_the_exact_method_finds_the_optimum_of_the_plain_one(feature, classes):
    if classes == 3 and feature == "certificate":
        pytest.skip("certificates are for two classes")
    (X, y), settings = data(classes), {"hidden_layer_sizes": (1,), "random_state": 0} | FEATURES[feature]
    default = optimum(feature, classes)
    plain = BDNNClassifier(method="exact", incumbents="none", **settings).fit(X, y).result_
    assert default.status == plain.status == "optimal", (default.message, plain.message)
    assert default.objective == pytest.approx(plain.objective, rel=1e-5)
    assert (
        default.penalty == pytest.approx(plain.penalty, rel=1e-5) or settings.get("regularization") != "lexicographic"
    )
    assert default.audit.n_mismatched == 0 and default.shortfalls == ()
    assert (default.certificate is not None) == settings.get("certificate", False)


@pytest.mark.parametrize("feature", [name for name in FEATURES if name not in ("certificate", "worst case")])
@pytest.mark.parametrize("method", ["local_search", "alternating", "data_splitting"])
def test_heuristics_are_no_better_than_the_optimum_and_no_worse_than_a_constant(method, feature):
    (X, y), settings = data(), {"hidden_layer_sizes": (1,), "random_state": 0, "time_limit": 0.5} | FEATURES[feature]
    best = optimum(feature, 2)
    found = BDNNClassifier(method=method, **settings).fit(X, y).result_
    if settings.get("regularization") == "lexicographic":
        assert found.objective >= best.objective
    else:
        assert found.objective >= best.objective * (1 - 1e-5)
    assert found.objective <= 4 + 1e-9  # four of nine points are of the rarer class
    assert found.audit.n_mismatched == 0


COMMANDS = {
    "nothing": "",
    "integers": "--weights integer",
    "held out": "--validation-fraction 0.2",
    "robust": "--robust-radius 0.5",
    "data splitting": "--method data_splitting --max-splits 2",
    "alternating": "--method alternating",
    "no hidden layer, exact": "--method exact --hidden none",
}


@pytest.mark.parametrize("settings", COMMANDS)
def test_the_command(settings, run, tmp_path):
    model, table = tmp_path / "model.json", tmp_path / "table.csv"
    table.write_text("".join(EXAMPLE.read_text().splitlines(keepends=True)[:300]))
    words = f"train {table} {COMMANDS[settings]} --target target --time-limit 0.5 --out {model} --json --quiet".split()
    if settings == "nothing":  # as users start it
        command = [sys.executable, "-m", "bdnn", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code, out, err = run(*words)
    assert code == 0, err
    report = json.loads(out)
    assert report["training_accuracy"] >= 0.9 and report["held_out_accuracy"] >= 0.85
    assert load(model).result_.objective == report["objective"]


def test_all_solvers_by_their_names():
    X, y = data()
    found = {
        solver: BDNNClassifier((1,), "exact", weights="integer", solver=solver, random_state=0).fit(X, y).result_
        for solver in available()
    }
    assert len({result.objective for result in found.values()}) == 1 and "highs" in found
    assert {result.status for result in found.values()} == {"optimal"}
