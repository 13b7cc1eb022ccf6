"""Certificates of rows that have weights: the file says which column holds them, and a check needs nothing else."""

import json

import numpy as np
import pandas as pd
import pytest

import bdnn


@pytest.fixture
def weighted(run, tmp_path):
    """Return a table with weights, and a model and a certificate of it."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.integers(0, 5, 24), "b": rng.integers(0, 5, 24)})
    frame["w"] = rng.integers(1, 4, 24)
    frame["y"] = (frame["a"] + frame["b"] > 4) ^ (rng.random(24) < 0.2)
    frame["y"] = frame["y"].astype(int)
    paths = tuple(tmp_path / name for name in ("t.csv", "m.json", "c.json"))
    frame.to_csv(paths[0], index=False)
    words = ("--hidden", "none", "--method", "exact", "-q", "--weight", "w", "--test-fraction", "0")
    code, _, err = run("train", paths[0], *words, "--out", paths[1], "--certificate", paths[2])
    assert code == 0, err
    return frame, *paths


def test_a_certificate_names_the_column_of_weights(run, weighted):
    frame, table, _, proof = weighted
    code, out, err = run("verify", proof, table)
    assert (code, err) == (0, "") and "weighted by column 'w'" in out
    assert run("verify", proof, table, "--seed", "0", "--test-fraction", "0")[0] == 0
    verified = bdnn.verify_certificate(proof, frame)
    assert verified.optimal and "weighted by column 'w'" in verified.rows
    assert run("verify", proof, table, "--weight", "a")[0] == 1
    content = json.loads(proof.read_text())
    assert (content["version"], content["table"].pop("weight")) == (3, "w")
    # as earlier versions wrote it
    proof.write_text(json.dumps(content))
    code, _, err = run("verify", proof, table)
    assert code == 1 and "earlier version, give --weight" in err
    assert run("verify", proof, table, "--weight", "w")[0] == 0
    content["table"]["weight"] = "y"
    proof.write_text(json.dumps(content))
    code, _, err = run("verify", proof, table)
    assert code == 1 and "table: weight: must be a column that is neither the target nor a feature" in err


def test_reports_verify_with_the_weights_of_the_model(run, weighted, tmp_path):
    pytest.importorskip("matplotlib")
    _, table, model, proof = weighted
    page = tmp_path / "card.html"
    code, _, err = run("report", model, table, "--out", page, "--certificate", proof, "--rows", "0", "-q")
    assert code == 0, err
    loss = json.loads(proof.read_text())["loss"]
    assert f"{loss} on the same rows; it is therefore optimal" in page.read_text()
