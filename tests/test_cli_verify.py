"""The command line and certificates: ``bdnn train --certificate`` and ``bdnn verify``."""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bdnn
from bdnn import tables
from bdnn.cli.reading import TableChoice, read_training_table
from bdnn.errors import CertificateError, InputError
from bdnn.estimators.classifier import BDNNClassifier
from bdnn.result import NO_TIME_FOR_CERTIFICATE
from certificates import made
from processes import bdnn_done

TABLE = "a,b,more,label\n" + "".join(
    f"{a},{b},{k},{c}\n" for k, (a, b, c) in enumerate([
        (0, 0, "n"), (1, "?", "y"), (0, 1, "y"), (1, 0, "y"), (0.5, 0.5, "n"), (0.25, 0.75, "n"), (0.5, 2, "y"),
        (0.1, 0.1, "n")])
)  # fmt: skip


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
            inputs = self.encoder_.transform(X).tolist()
            self.result_ = dataclasses.replace(self.result_, certificate=certificate(inputs, y.tolist()))
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
    other = {(): ("--seed", 3), ("--test-fraction", 0): ("--test-fraction", 0.25)}.get(
        options, ("--test-fraction", 0.25, "--seed", 4)
    )
    code, out, err = run(*verifying, *other)
    assert (code, out) == (1, "") and err.count("\n") == 1 and "not verified: data: " in err
    assert "Give --test-fraction, --seed, --drop, --weight and --missing as in the training." in err


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
    # the network is reported and saved, but an output that was asked for is missing
    assert code == 1 and model.exists() and not path.exists()
    assert out.splitlines()[-1] == f"saved to          {model}" and err.count("\n") == 1
    assert f"bdnn: error: no certificate was written to {path}: this run has no proof to write down (it ended w" in err
    code, out, _ = run(*words, "--certificate", path, "--json")
    report = json.loads(out)["certificate"]
    assert code == 1 and report["file"] is None and err.strip().endswith(report["reason"])
    # and without the option there is nothing to say
    monkeypatch.undo()
    code, out, _ = run(*words, "--json")
    assert code == 0 and "certificate" not in json.loads(out)


def test_without_time_for_the_certificate_one_line_says_so_and_the_exit_code(run, tmp_path, words, monkeypatch):
    class Estimator(BDNNClassifier):
        def fit(self, X, y, **more):
            self.set_params(certificate=False, checkpoint=None).fit_plain(X, y, **more)
            self.set_params(certificate=True)
            late = (NO_TIME_FOR_CERTIFICATE, "the limit left no time to make the margins larger")
            self.result_ = dataclasses.replace(self.result_, shortfalls=late)
            return self

        def fit_plain(self, X, y, **more):
            return super().fit(X, y, **more)

    monkeypatch.setattr(bdnn, "BDNNClassifier", Estimator, raising=False)
    path, state = tmp_path / "c.json", tmp_path / "state"
    code, out, err = run(*words, "--certificate", path, "--checkpoint", state)
    assert code == 1 and "certificate" not in out and not path.exists()
    warned, said = err.splitlines()
    assert warned.endswith(": the limit left no time to make the margins larger; raise the limit")
    assert said == (
        f"bdnn: error: no certificate was written to {path}: the time limit left no time to write it; the proof is "
        f"kept in {state}, from which the same command with a longer --time-limit writes it"
    )


def test_the_model_is_saved_before_the_certificate(run, tmp_path, words, monkeypatch):
    trained_with(lambda X, y: made(X, y) | {"more": 1}, monkeypatch)
    path, model = tmp_path / "c.json", tmp_path / "m.json"
    path.write_text("old")
    code, _, err = run(*words, "--certificate", path, "--out", model)
    assert code == 1 and "unknown name 'more'" in err and err.count("\n") == 1
    assert bdnn.load(model).n_features_in_ == 2 and path.read_text() == "old"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--method", "auto"), "--certificate needs --method exact, got 'auto'"),
        (("--method", "local_search"), "--certificate needs --method exact"),
        (("--validation-fraction", "0.2"), "--certificate needs --validation-fraction 0"),
        (("--out", "c.json"), "must be different files"),
        (("--certificate", "no/such/folder/c.json"), "not a writable folder"),
    ],
)
def test_wrong_usage(run, tmp_path, words, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words, "--certificate", "c.json", *options)
    assert (code, out) == (2, "") and match in err and err.count("\n") == 1
    assert not (tmp_path / "c.json").exists()


CANCER = Path(__file__).parent.parent / "examples" / "data" / "breast_cancer_wisconsin.csv"


def bdnn_process(*words, **settings):
    """Run the command as a user would, in a process of its own."""
    command = [sys.executable, "-m", "bdnn", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """A certificate that a training in default settings has written."""
    path = tmp_path_factory.mktemp("proven") / "proof.json"
    done = bdnn_done("train", CANCER, "--target", "target", "--hidden", "none", "--method", "exact", "--seed", 4,
                     "--test-fraction", 0.4, "--drop", "mitoses", "--certificate", path, "-q", text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def test_file_and_table_are_all_that_verify_needs(proven):
    done = bdnn_process("verify", proven, CANCER)
    assert (done.returncode, done.stderr) == (0, "")
    verified, rows, _ = done.stdout.splitlines()
    assert verified.startswith("verified  No network with no hidden layers")
    assert rows.startswith("rows      419 of 699 rows of breast_cancer_wisconsin.csv, ")
    assert "stated to be the training rows of --test-fraction 0.4 --seed 4, without column 'mitoses', missing " in rows
    assert "in 'bare_nuclei' by 1" in rows


def test_verify_takes_the_rows_from_the_certificate_and_the_columns_by_name(run, proven, tmp_path):
    cells = [line.split(",") for line in CANCER.read_text().splitlines()]
    order = np.random.default_rng(0).permutation(len(cells[0]))
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("".join(",".join(row[k] for k in order) + "\n" for row in cells))
    expected = json.loads(run("verify", proven, CANCER, "--json")[1])
    found = json.loads(run("verify", proven, shuffled, "--json")[1])
    assert found | {"seconds": 0} == expected | {"seconds": 0}
    assert found["rows"] == {"checked": 419, "of": 699, "test_fraction": 0.4, "seed": 4} and found["optimal"]
    # options that say the same change nothing, and others are other rows
    for options in (("--target", "target"), ("--seed", 4, "--drop", "mitoses"), ("--missing", "median")):
        code, out, err = run("verify", proven, CANCER, *options)
        assert (code, err) == (0, "") and "419 of 699" in out
    for options in (("--seed", 5), ("--test-fraction", 0), ("--drop", "bare_nuclei"), ("--missing", "error")):
        code, out, err = run("verify", proven, CANCER, *options)
        assert code in (1, 2) and out == "" and err.count("\n") == 1


def test_verify_says_that_the_table_is_another_one(run, proven, tmp_path):
    lines = CANCER.read_text().splitlines(keepends=True)
    table = tmp_path / "t.csv"
    table.write_text("".join(lines[:-1]))
    code, out, err = run("verify", proven, table)
    assert (code, out) == (1, "") and "the table has 698 rows, the certificate's table has 699" in err
    document = json.loads(proven.read_text())
    taken, left_out = document["table"]["rows"][:2]
    first = 1 if taken else 1 + left_out  # line of the first training row
    cells = lines[first].split(",")
    cells[0] = str(int(cells[0]) + 1)
    table.write_text("".join([*lines[:first], ",".join(cells), *lines[first + 1 :]]))
    code, out, err = run("verify", proven, table)
    assert (code, out) == (1, "") and "not verified: data: " in err and "Give the table of the training" in err
    table.write_text(CANCER.read_text().replace("bare_nuclei", "nuclei", 1))
    code, out, err = run("verify", proven, table)
    assert (code, out) == (2, "") and "no column 'bare_nuclei'" in err


def test_certificates_of_before_are_verified_by_the_options(run, proven, tmp_path):
    document = json.loads(proven.read_text())
    old = tmp_path / "old.json"
    old.write_text(json.dumps({name: part for name, part in document.items() if name != "table"} | {"version": 1}))
    code, out, err = run("verify", old, CANCER)
    assert (code, out) == (2, "") and "as those from Python and of earlier versions do not: give --target" in err
    words = ("--target", "target", "--seed", 4, "--test-fraction", 0.4, "--drop", "mitoses")
    code, out, err = run("verify", old, CANCER, *words)
    assert (code, err) == (0, "") and "419 of 699 rows of breast_cancer_wisconsin.csv, the training rows of" in out
    code, out, err = run("verify", old, CANCER, *words[:-2])
    assert (code, out) == (1, "") and "Give --test-fraction, --seed, --drop, --weight and --missing as in" in err


@pytest.mark.parametrize("n_unlabeled", [0, 1, 2])
def test_a_certificate_from_python_is_first_taken_to_be_about_all_rows(run, table, tmp_path, n_unlabeled):
    X = tables.read_table(table, "label", drop=["more"])
    filled = tables.filled(X, tables.medians(X, np.arange(len(X.X))))
    path = tmp_path / "c.json"
    bdnn.save_certificate(made(filled.tolist(), X.labels.tolist()), path)
    table.write_text(TABLE + "1,1,0,?\n" * n_unlabeled)
    code, out, err = run("verify", path, table)
    assert (code, out) == (2, "") and "as those from Python" in err and "of a version" not in err
    words = (
        "verify",
        path,
        table,
        "--target",
        "label",
        "--drop",
        "more",
        *("--missing-labels", "drop") * bool(n_unlabeled),
    )
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    some = (
        "all 8 rows of t.csv, without column",
        "8 of 9 rows of t.csv, all that have a label, 1 row without a label left out",
        "8 of 10 rows of t.csv, all that have a label, 2 rows without a label left out",
    )[n_unlabeled]
    assert some in out
    rows = json.loads(run(*words, "--json")[1])["rows"]
    assert (rows["checked"], rows["test_fraction"], rows.get("without_label", 0)) == (8, 0, n_unlabeled)
    # a split that is asked for is taken
    code, out, err = run(*words, "--test-fraction", 0.25)
    assert (code, out) == (1, "") and "n_rows is 6 for these data, 8 in the file" in err
    # a certificate of part of the rows is about the default split
    read = read_training_table(table, TableChoice("label", ("more",), missing_labels="drop"), tidy=False)
    inputs = tables.filled(read.table, tables.medians(read.table, read.rows))[read.rows]
    bdnn.save_certificate(made(inputs.tolist(), read.labels[read.rows].tolist()), path)
    code, out, err = run(*words)
    assert (code, err) == (0, "") and "the training rows of --test-fraction 0.25 --seed 0" in out
    assert ("without a label" in out) == bool(n_unlabeled)


def test_rows_without_a_label_are_counted_among_those_of_a_certificate(run, table, tmp_path, words, monkeypatch):
    trained_with(made, monkeypatch)
    table.write_text(TABLE + "1,1,0,?\n")
    path = tmp_path / "c.json"
    code, _, err = run(*words, "--missing-labels", "drop", "--test-fraction", 0, "--certificate", path)
    assert (code, err) == (0, "")
    code, out, err = run("verify", path, table)
    assert (code, err) == (0, "")
    assert "8 of 9 rows of t.csv, all that have a label, 1 row without a label left out, without column 'more'" in out


def test_a_data_frame_is_verified_without_choosing_rows(proven):
    frame = pd.read_csv(CANCER, na_values="?")
    verified = bdnn.verify_certificate(proven, frame[frame.columns[::-1]])
    assert verified.optimal and verified.rows.startswith("419 of 699 rows of the table, stated to be the training rows")
    columns = {name: frame[name].tolist() for name in frame}
    assert bdnn.verify_certificate(proven, columns).rows == verified.rows
    with pytest.raises(CertificateError, match="the table has 698 rows"):
        bdnn.verify_certificate(proven, frame[1:])
    with pytest.raises(InputError, match="no column 'bare_nuclei'"):
        bdnn.verify_certificate(proven, frame.drop(columns="bare_nuclei"))
    with pytest.raises(InputError, match="X must be a table with named columns, got ndarray"):
        bdnn.verify_certificate(proven, frame.to_numpy())
    document = made([[0.0], [1.0]], ["n", "y"], None, 1)
    with pytest.raises(InputError, match="does not say which rows of a table it is about"):
        bdnn.verify_certificate(document, frame)


HOSTILE = {
    "no table": (None, "must be an object, got None"),
    "name": ({"more": 1}, "unknown name 'more'"),
    "target": ({"target": 7}, "table: target: must be the name of a column"),
    "features": ({"features": ["a"] * 8}, "must be different columns"),
    "a feature too few": ({"features": ["a"]}, "must have length 8, got 1"),
    "target as feature": ({"target": "clump_thickness"}, "none of them the target"),
    "rows": ({"rows": [10**9, 1, 10**9, 1, 10**9]}, "must add up to less than"),
    "huge": ({"rows": [10**400]}, "table: rows: must be an integer"),
    "negative": ({"rows": [420, 5, -1]}, "table: rows: must be an integer, at least 0"),
    "nothing": ({"rows": [419, 0, 0]}, "be positive except for the first one"),
    "fewer rows": ({"rows": [418, 281]}, "418 rows are taken, and data has n_rows 419"),
    "text": ({"rows": "419"}, "table: rows: must be a list"),
    "fill": ({"fill": [1.0]}, "table: fill: must have length 8"),
    "infinite fill": ({"fill": [1e999] * 8}, "Infinity is not a number"),
    "missing": ({"missing": "mean"}, "must be 'median' or 'error'"),
    "fraction": ({"test_fraction": 1.0}, "must be from 0 to below 1"),
    "seed": ({"seed": -1}, "table: seed: must be an integer"),
    "other rows": ({"rows": [419, 280]}, "not verified: data: "),
    "other fill": ({"fill": [2.0] * 8}, "not verified: data: "),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_table_part_is_one_clear_error(run, proven, tmp_path, case):
    change, match = HOSTILE[case]
    document = json.loads(proven.read_text())
    document["table"] = None if change is None else document["table"] | change
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))
    code, out, err = run("verify", path, CANCER)
    assert code in (1, 2) and out == "" and match in err and err.count("\n") == 1
