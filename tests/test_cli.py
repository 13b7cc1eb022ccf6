"""The command line, in process where that is enough, as a process where signals and exit codes matter."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import bdnn
from bdnn import Budget
from bdnn.cli import training
from bdnn.estimators.classifier import BDNNClassifier
from bdnn.model_file import load_model
from processes import bdnn_begun

CANCER = Path(__file__).parent.parent / "examples" / "data" / "breast_cancer_wisconsin.csv"
XOR = "a,b,target\n0,0,even\n0,1,odd\n1,0,odd\n1,1,even\n"


@pytest.fixture
def xor(tmp_path):
    path = tmp_path / "xor.csv"
    path.write_text(XOR)
    return path


def test_train_evaluate_predict_inspect(run, xor, tmp_path):
    model = tmp_path / "model.json"
    code, out, err = run("train", xor, "--target", "target", "--test-fraction", 0, "--out", model)
    assert code == 0
    assert "incumbent" in err and "bound" in err and "gap" in err
    lines = dict(line.split(None, 1) for line in out.replace("training loss", "loss").splitlines())
    assert lines["loss"].startswith("0 (audited)") and lines["status"].startswith("optimal")
    for needed in (
        "rows read",
        "after merging duplicates",
        "irreducible loss",
        "bound",
        "gap",
        "network size",
        "bytes",
    ):
        assert needed in out
    code, out, err = run("evaluate", model, xor, "--json")
    assert (code, err) == (0, "")
    perfect = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2}
    assert json.loads(out) == {
        "rows": 4,
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "classes": ["even", "odd"],
        "by_class": [perfect, perfect],
        "confusion": [[2, 0], [0, 2]],
        "roc_auc": 1.0,
        "roc_auc_of": "scores",
    }
    code, out, _ = run("evaluate", model, xor)
    assert code == 0 and re.search(r"^accuracy +100.00%$", out, re.MULTILINE) and "confusion matrix" in out
    code, out, _ = run("predict", model, xor)
    assert out.splitlines() == ["prediction", "even", "odd", "odd", "even"]
    code, out, _ = run("predict", model, xor, "--scores", "--out", tmp_path / "p.csv")
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert (code, out, rows[0]) == (0, "", ["prediction", "score"])
    assert all((float(score) >= 0) == (label == "odd") for label, score in rows[1:])
    code, out, _ = run("inspect", model)
    assert code == 0 and "optimal: loss 0" in out and "layer 2 (output)" in out and "bias" in out
    described = json.loads(run("inspect", model, "--json")[1])
    assert described["feature_names"] == ["a", "b"] and described["result"]["gap"] == 0
    network = bdnn.load(model).network_
    assert described["layers"] == [{"weights": W.tolist(), "bias": b.tolist()} for W, b in network.layers]


def test_split_imputation_and_report_agree_with_the_estimator(run, tmp_path):
    model = tmp_path / "model.json"
    code, out, err = run(
        *("train", CANCER, "--target", "target", "--hidden", "none", "--time-limit", 5, "--quiet", "--json"),
        *("--out", model, "--seed", 3, "--weights", "integer"),
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["rows"], report["training_rows"], report["held_out_rows"]) == (699, 524, 175)
    assert report["missing_replaced"] == {"bare_nuclei": 16}
    assert report["irreducible_loss"] <= report["bound"] <= report["training_loss"]
    clf = bdnn.load(model)
    assert clf.result_.objective == report["training_loss"]
    evaluated = json.loads(run("evaluate", model, CANCER, "--json")[1])
    wrong = (1 - report["training_accuracy"]) * 524 + (1 - report["held_out_accuracy"]) * 175
    assert evaluated["accuracy"] == pytest.approx(1 - wrong / 699)


def test_the_model_file_says_how_its_table_was_read(run, tmp_path):
    model = tmp_path / "model.json"
    words = ("--drop", "mitoses", "--test-fraction", 0.4, "--seed", 5, "--hidden", "none", "--method", "local_search")
    run("train", CANCER, "--target", "target", *words, "--time-limit", 0.5, "--out", model, "--quiet")
    table = load_model(model).table
    assert (table.target, table.missing, table.drop) == ("target", "median", ("mitoses",))
    assert (table.test_fraction, table.seed) == (0.4, 5)
    codes = load_model(model).encoder.columns
    assert len(codes) == 8 and all(code.fill is not None for code in codes)


def test_every_estimator_parameter_has_an_option():
    options = {parameter.name for parameter in training.train.params}
    # warm_start is --start, verbose is --quiet, and files have no types that could say which columns are categorical
    assert set(BDNNClassifier().get_params()) - {"warm_start", "verbose", "categorical_features"} <= options


def test_start_from_a_model_is_never_worse(run, tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    common = ("train", CANCER, "--target", "target", "--quiet", "--json", "--test-fraction", 0)
    loss = json.loads(run(*common, "--time-limit", 0.5, "--out", first)[1])["training_loss"]
    again = json.loads(run(*common, "--time-limit", 0.2, "--start", first, "--out", second)[1])["training_loss"]
    assert again <= loss


def test_model_without_matching_columns(run, xor, tmp_path):
    model, other = tmp_path / "model.json", tmp_path / "other.csv"
    words = ("--test-fraction", 0, "--missing", "error", "--out", model, "--quiet")
    run("train", xor, "--target", "target", *words)
    other.write_text("a,c,target\n0,0,even\n")
    code, _, err = run("predict", model, other)
    assert code == 2 and "no column 'b'" in err
    other.write_text("b,more,a,target\n1,x,0,neither\n")
    assert run("predict", model, other)[1].splitlines() == ["prediction", "odd"]
    code, _, err = run("evaluate", model, other)
    assert code == 2 and "neither" in err and "even, odd" in err
    other.write_text("a,b\n0,?\n")
    code, _, err = run("predict", model, other)
    assert code == 2 and "1 values are missing in column 'b', and the model was trained with --missing error" in err


BAD = {
    "nan": ("a,target\n-nan,0\n1,1\n", (), "holds '-nan' in line 2"),
    "inf": ("a,target\n1,0\n-inf,1\n", (), "holds '-inf' in line 3"),
    "empty": ("", (), "is empty"),
    "no target": ("a,b\n1,0\n", (), "no column 'target'; its columns are 'a', 'b'"),
    "one class": ("a,target\n1,0\n2,0\n", (), "only one class"),
    "continuous target": ("a,target\n1,0.5\n2,0.7\n3,0.1\n", (), "continuous"),
    "zero time": (XOR, ("--time-limit", "0"), "time limit must be a positive number"),
    "negative time": (XOR, ("--time-limit", "-3"), "time limit must be a positive number"),
    "solver": (XOR, ("--solver", "cplex"), "solver must be one of 'auto', 'highs'.*'cplex'"),
    "method": (XOR, ("--method", "magic"), "method must be one of .*'magic'"),
    "head": (XOR, ("--head", "softmax"), "head must be one of .*'softmax'"),
    "weights": (XOR, ("--weights", "real"), "weights must be one of .*'real'"),
    "hidden zero": (XOR, ("--hidden", "0"), "hidden layer size must be a positive integer up to 10000, got 0"),
    "hidden negative": (XOR, ("--hidden", "4,-1"), "hidden layer size must be a positive integer up to 10000, got -1"),
    "hidden text": (XOR, ("--hidden", "two"), "'two' is not a list of layer sizes"),
    "test fraction": (XOR, ("--test-fraction", "1.5"), "--test-fraction must be at least 0 and below 1"),
    "too few to hold out": (XOR, ("--test-fraction", "0.1"), "train on all rows with --test-fraction 0"),
    "option": (XOR, ("--bogus",), "No such option"),
    "seed": (XOR, ("--seed", "-1"), "--seed"),
    "missing refused": ("a,target\n?,0\n1,1\n", ("--missing", "error"), "1 values are missing"),
    "no folder": (XOR, ("--out", "no/such/folder/model.json"), "not a writable folder"),
    "huge value": ("a,target\n1e200,0\n1,1\n", (), "column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, case):
    text, words, message = BAD[case]
    data = tmp_path / "data.csv"
    data.write_text(text)
    fraction = () if "--test-fraction" in words else ("--test-fraction", 0)
    code, out, err = run("train", data, "--target", "target", "--quiet", *fraction, *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and err.startswith("bdnn: error: ")
    assert re.search(message, err), err


def test_missing_file_and_bad_model_file(run, tmp_path, xor):
    code, _, err = run("train", tmp_path / "none.csv", "--target", "t")
    assert code == 2 and "does not exist" in err and len(err.splitlines()) == 1
    code, _, err = run("predict", xor, xor)
    assert code == 2 and "not a usable model file" in err and len(err.splitlines()) == 1


def test_constant_columns_are_no_error(run, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a,b,target\n1,7,0\n2,7,1\n3,7,1\n")
    code, out, _ = run(
        "train", data, "--target", "target", "--hidden", "none", "--test-fraction", 0, "--quiet", "--json"
    )
    assert code == 0 and json.loads(out)["training_loss"] == 0
    data.write_text("b,target\n7,0\n7,1\n7,1\n")
    code, out, _ = run("train", data, "--target", "target", "--test-fraction", 0, "--quiet", "--json")
    report = json.loads(out)
    assert code == 0 and (report["training_loss"], report["irreducible_loss"], report["status"]) == (1, 1, "optimal")


def test_polish_moves_weights_and_no_decision(run, tmp_path, monkeypatch):
    # a limit on rounds, unlike one on time, lets trainings repeat
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | {"rounds": 3})))
    models = [tmp_path / f"{polish}.json" for polish in ("none", "margin")]
    for model in models:
        words = ("--method", "local_search", "--polish", model.stem, "--test-fraction", 0, "--out", model, "--quiet")
        assert run("train", CANCER, "--target", "target", *words)[0] == 0
    assert bdnn.load(models[0]).network_ != bdnn.load(models[1]).network_
    assert len({run("predict", model, CANCER)[1] for model in models}) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("method", ["exact", "local_search"])
def test_ctrl_c_saves_the_best_network(tmp_path, method):
    model, table = tmp_path / "model.json", tmp_path / "noise.csv"
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 5)).round(3), rng.integers(0, 2, 1000)
    lines = [",".join(map(str, (*x, label))) for x, label in zip(X, y, strict=True)]
    table.write_text("\n".join(["a,b,c,d,e,target", *lines]) + "\n")
    words = ["train", str(table), "--target", "target", "--time-limit", "300", "--out", str(model), "--json"]
    words += ["--method", method, "--hidden", "8"]
    process = bdnn_begun(*words, text=True)
    assert process.stderr.readline()  # the first progress line: a network is known
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    report = json.loads(out)
    assert report["status"] == "feasible" and "Ctrl-C" in report["message"]
    result = bdnn.load(model).result_
    assert result.interrupted and result.objective == report["training_loss"]


def test_progress_is_a_live_line_on_a_terminal(monkeypatch):
    import io

    from bdnn.progress import shown_progress
    from bdnn.status import Progress, TrialState

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with shown_progress(10.0) as listener:
        for number, accuracy in enumerate((None, 0.93125)):
            trial = TrialState("8 hidden neurons", accuracy)
            listener(Progress(0.5 + number / 4, 14.0 + number, 0.0, 0, "choosing", trial=trial))
        listener(Progress(1.0, 12.0, 3.0, 5, "solve"))
    shown = sys.stderr.getvalue()
    assert "solve: incumbent 12  bound 3  gap 75.0%" in shown
    # of what is tried there is no incumbent, and a line stays that says how it was judged
    assert "incumbent" not in shown.split("solve:")[0]
    assert "    0.8 s  choosing, 8 hidden neurons: 93.1% of held-out rows" in shown


def test_help_and_version(run):
    code, out, _ = run("--version")
    assert code == 0 and bdnn.__version__ in out
    for command in ("train", "predict", "evaluate", "inspect"):
        code, out, _ = run(command, "--help")
        assert code == 0 and "Usage" in out


def test_certify_keeps_the_named_columns_integer(run, xor, tmp_path):
    model = tmp_path / "model.json"
    run("train", xor, "--target", "target", "--test-fraction", 0, "--out", model, "--quiet")
    words = ("certify", model, xor, "--json", "--quiet")
    settings = {"none": (), "b": ("--integer-column", "b"), "both": ("--integer-column", "b", "--integer-column", "a"),
                "all": ("--integer",)}  # fmt: skip
    found = {name: json.loads(run(*words, *more)[1])["distance"] for name, more in settings.items()}
    assert found["both"] == found["all"] == [1.0] * 4
    assert all(x <= y <= 1 for x, y in zip(found["none"], found["b"], strict=True))
    assert found["none"] != found["b"] != found["all"]
    code, _, err = run(*words, "--integer", "--integer-column", "a")
    assert code == 2 and "leave it or --integer-column out" in err
    code, _, err = run(*words, "--integer-column", "c")
    assert code == 2 and "integer must hold" in err and len(err.splitlines()) == 1


def test_predictions_of_numbers_keep_their_kind(run, tmp_path):
    data, model = tmp_path / "d.csv", tmp_path / "m.json"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    rows = "".join(f"{a!r},{b!r},{int(a > 0) + int(a > 1)}\n" for a, b in x.tolist())
    data.write_text("a,b,target\n" + rows)
    run("train", data, "--target", "target", "--hidden", "none", "--test-fraction", 0, "--out", model, "--quiet")
    out = run("predict", model, data, "--scores")[1].splitlines()
    assert out[0] == "prediction,score_0,score_1,score_2"
    assert [line.split(",")[0] for line in out[1:]] == [str(int(a > 0) + int(a > 1)) for a, _ in x]


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "alternating", "--starts", "2", "--blocks", "neurons"),
        ("--method", "data_splitting", "--max-splits", "3", "--splitter", "svm", "--batch-size", "30"),
        ("--method", "data_splitting", "--validation-fraction", "0.3", "--initial-clusters", "class"),
        ("--method", "data_splitting", "--max-splits", "2", "--incumbents", "none"),
        ("--method", "exact", "--regularizer", "l0", "--regularization", "lexicographic", "--hidden", "none"),
        ("--method", "exact", "--incumbents", "none"),
        ("--method", "local_search"),
        ("--method", "local_search", "--polish", "none", "--jobs", "2"),
        ("--method", "local_search", "--validation-fraction", "0.3", "--head", "argmax"),
    ],
)
def test_methods_and_regularizers(run, tmp_path, words):
    model = tmp_path / "m.json"
    common = ("train", CANCER, "--target", "target", "--weights", "integer", "--time-limit", 2, "--quiet", "--json")
    code, out, err = run(*common, *words, "--out", model)
    report, result = json.loads(out), bdnn.load(model).result_
    # on a busy machine a method may not get as far as it promises, and says so
    assert code == 0 and err.count("bdnn: warning: training is incomplete") == len(err.splitlines())
    assert bool(err) == bool(result.shortfalls)
    assert result.method == words[1] and result.objective == report["objective"]
    assert report["training_accuracy"] > 0.6
    if "--validation-fraction" in words:
        assert result.validation_accuracy == report["validation_accuracy"] > 0.6
        assert words[1] == "local_search" or any(entry.clusters for entry in result.history)
    if words[1] == "local_search":
        assert report["training_accuracy"] > 0.95
        assert {entry.source for entry in result.history} <= {"constant", "linear", "search"}
    if "--incumbents" in words:
        assert "search" not in {entry.source for entry in result.history}
    if "--regularizer" in words:
        assert report["penalty"] == sum(np.count_nonzero(W) for W, _ in bdnn.load(model).network_.layers)
