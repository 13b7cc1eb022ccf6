"""The command line and certificates: ``bdnn train --certificate`` and ``bdnn verify``."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

import bdnn
from bdnn import cli, tables
from bdnn.estimators import BDNNClassifier
from certificates import made

TABLE = "a,b,more,label\n" + "".join(
    f"{a},{b},{k},{c}\n" for k, (a, b, c) in enumerate([
        (0, 0, "n"), (1, "?", "y"), (0, 1, "y"), (1, 0, "y"), (0.5, 0.5, "n"), (0.25, 0.75, "n"), (0.5, 2, "y"),
        (0.1, 0.1, "n")])
)  # fmt: skip


@pytest.fixture
def run(capsys):
    def runner(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return runner


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def words(table):
    """A training that is done at once."""
    options = ("--method", "exact", "--hidden", "none", "--formulation", "big_m", "--incumbents", "none", "--quiet")
    return ("train", table, "--target", "label", "--drop", "more", *options)


def trained_with(certificate, monkeypatch):
    """Let trainings end with the certificate that a function makes of the rows."""

    class Estimator(BDNNClassifier):
        def fit(self, X, y, **more):
            asked, self.certificate = self.certificate, False
            super().fit(X, y, **more)
            assert asked is True
            self.result_ = dataclasses.replace(self.result_, certificate=certificate(X.tolist(), y.tolist()))
            return self

    monkeypatch.setattr(bdnn, "BDNNClassifier", Estimator, raising=False)


def test_verify(run, tmp_path, table):
    X = tables.read_table(table, "label", drop=["more"])
    filled = tables.filled(X, tables.medians(X, np.arange(len(X.X))))
    document = made(filled.tolist(), X.labels.tolist(), None, 1)
    path = tmp_path / "c.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    words = ("verify", path, table, "--target", "label", "--test-fraction", "0", "--drop", "more")
    code, out, err = run(*words)
    assert (code, err) == (0, "") and out.startswith(
        "verified  No network with one hidden layer of 1 threshold neuron,"
    )
    code, out, _ = run(*words, "--json")
    report = json.loads(out)
    assert code == 0 and report["optimal"] is True and report["loss"] == report["bound"] == document["loss"]
    code, out, err = run(*words[:-2])
    assert (code, out) == (1, "") and "is not verified: data: n_features" in err and err.count("\n") == 1
    path.write_bytes(gzip.compress(json.dumps(document | {"loss": "77"}).encode()))
    code, out, err = run(*words)
    assert (code, out) == (1, "") and "not verified: loss: the network has loss" in err and err.count("\n") == 1
    assert "--seed" not in err
    path.write_text("no gzip")
    assert run(*words)[0] == 2
    for wrong in (("verify", table, table, "--target", "label"), (*words[:4], "none"), ("verify", path, table),
                  ("verify", tmp_path / "none", table, "--target", "label"), (*words, "--missing", "error"),
                  (*words, "--test-fraction", "1"), (*words, "--seed", "-1")):  # fmt: skip
        code, out, err = run(*wrong)
        assert (code, out) == (2, "") and err


@pytest.mark.parametrize("name", ["c.json", "c.json.gz"])
@pytest.mark.parametrize("options", [(), ("--seed", 5), ("--test-fraction", 0.5), ("--test-fraction", 0)])
def test_what_train_writes_is_verified_with_the_same_options(run, tmp_path, table, words, monkeypatch, name, options):
    trained_with(made, monkeypatch)
    path, model = tmp_path / name, tmp_path / "m.json"
    code, out, err = run(*words, *options, "--certificate", path, "--out", model)
    assert (code, err) == (0, "") and model.exists()
    raw = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    document = json.loads(raw)
    cuts, leaves = len(document["cuts"]), sum(type(n) is int for n in document["trees"][0]["nodes"])
    line = f"{path}: {cuts} cuts, {leaves} leaves; claims that loss {document['loss']} is optimal"
    assert out.splitlines()[-1] == f"certificate       {line}"
    verifying = ("verify", path, table, "--target", "label", "--drop", "more")
    code, out, err = run(*verifying, *options)
    assert (code, err) == (0, "") and out.startswith("verified  No network with no hidden layers")
    assert f"{leaves} leaves, {cuts} cuts" in out
    other = {(): ("--seed", 3), ("--test-fraction", 0): ("--test-fraction", 0.25)}.get(options, ("--test-fraction", 0.25, "--seed", 4))
    code, out, err = run(*verifying, *other)
    assert (code, out) == (1, "") and err.count("\n") == 1 and "not verified: data: " in err
    assert "Give --test-fraction, --seed, --drop and --missing as in the training." in err


def test_the_report_of_a_weaker_claim(run, tmp_path, words, monkeypatch):
    trained_with(lambda X, y: made(X, y, bound=-1) if len(set(y)) > 1 else None, monkeypatch)
    path = tmp_path / "c.json"
    code, out, _ = run(*words, "--certificate", path, "--json")
    report = json.loads(out)["certificate"]
    assert code == 0 and (report["file"], report["claim"]) == (str(path), "no network has a loss below -1")
    assert report["leaves"] == 1 and report["cuts"] == len(json.loads(path.read_text())["cuts"])


def test_no_certificate_is_a_line_that_says_why(run, tmp_path, words, monkeypatch):
    trained_with(lambda X, y: None, monkeypatch)
    path, model = tmp_path / "c.json", tmp_path / "m.json"
    code, out, err = run(*words, "--certificate", path, "--out", model)
    assert (code, err) == (0, "") and model.exists() and not path.exists()
    line = out.splitlines()[-1]
    assert line.startswith("certificate       none written: this run has no proof to write down (it ended with: ")
    report = json.loads(run(*words, "--certificate", path, "--json")[1])["certificate"]
    assert report["file"] is None and line.endswith(report["reason"])
    # and without the option there is nothing to say
    monkeypatch.undo()
    code, out, _ = run(*words, "--json")
    assert code == 0 and "certificate" not in json.loads(out)


def test_the_model_is_saved_before_the_certificate(run, tmp_path, words, monkeypatch):
    trained_with(lambda X, y: made(X, y) | {"more": 1}, monkeypatch)
    path, model = tmp_path / "c.json", tmp_path / "m.json"
    path.write_text("old")
    code, _, err = run(*words, "--certificate", path, "--out", model)
    assert code == 1 and "unknown name 'more'" in err and err.count("\n") == 1
    assert bdnn.load(model).network_.n_features == 2 and path.read_text() == "old"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--method", "auto"), "--certificate needs --method exact, got 'auto'"),
        (("--method", "local_search"), "--certificate needs --method exact"),
        (("--validation-fraction", "0.2"), "--certificate needs --validation-fraction 0"),
        (("--out", "c.json"), "must be two files"),
        (("--certificate", "no/such/folder/c.json"), "not a writable folder"),
    ],
)
def test_wrong_usage(run, tmp_path, words, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words, "--certificate", "c.json", *options)
    assert (code, out) == (2, "") and match in err and err.count("\n") == 1
    assert not (tmp_path / "c.json").exists()
