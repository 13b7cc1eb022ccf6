"""Labels: from text, as classes of a model, and from columns of every kind; the two faces agree."""

import io
import json

import numpy as np
import pandas as pd
import pytest

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network, Problem
from bdnn.errors import InputError, UnknownLabelError
from bdnn.labels import from_text, is_missing, is_number, label_array, label_codes, text_codes
from bdnn.regression_targets import check_discrete, regression_hint

EXACT = {"method": "exact", "hidden_layer_sizes": (), "incumbents": "none", "random_state": 0}


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "-3", "0"], "i"),
        (["0.5", "1.0", "1e+20", "-2.25"], "f"),
        (["01", "02"], "U"),
        (["01", "1"], "U"),
        (["1_1", "11", "1_2"], "U"),
        (["9e10", "90e9"], "U"),
        (["1", "2.5"], "U"),  # 1.0 would be written
        (["1.50", "2.5"], "U"),
        (["+1", "1"], "U"),
        (["-0", "0"], "U"),
        (["１", "1"], "U"),
        (["0x10", "16"], "U"),
        (["infinity", "1"], "U"),
        (["True", "1"], "U"),
        (["9223372036854775807", "1"], "i"),
        (["9223372036854775808", "1"], "U"),
        (["1" * 5000, "1"], "U"),
    ],
)
def test_labels_are_numbers_only_if_writing_them_again_gives_the_same_text(cells, kind):
    labels = from_text([*cells, *cells])
    assert labels.dtype.kind == kind
    assert list(map(str, labels.tolist())) == [*cells, *cells]
    assert len(set(labels.tolist())) == len(cells)


@pytest.mark.parametrize(
    ("classes", "cells", "codes"),
    [
        ([False, True], ["True", "FALSE", "true", "0", "1", "1.0", "01", "yes", "2"], [1, 0, 1, 0, 1, 1, 1, -1, -1]),
        ([1, 2], ["1", "02", "1.0", "2e0", "+1", "1.5", "1_0", "TRUE", "1e999999999999999999999"],
         [0, 1, 0, 1, 0, -1, -1, -1, -1]),
        ([2**53, 2**53 + 1], ["9007199254740992", "9007199254740993", "9007199254740993.0"], [0, 1, 1]),
        ([1.0, 2.5], ["1", "1.0", "2.50", "01", "3", "nan"], [0, 0, 1, 0, -1, -1]),
        (["0", "1"], ["0", "1", "1.0", "01", "True"], [0, 1, -1, -1, -1]),
        (["01", "02"], ["01", "02", "1"], [0, 1, -1]),
        (["NA", "x"], ["NA", "x", "na"], [0, 1, -1]),
        (["True", "False"], ["True", "False", "TRUE"], [0, 1, -1]),
        (["x", "x "], ["x", "x ", " x", "x  ", "X"], [0, 1, 0, 0, -1]),
        ([" 1", "2"], ["1", " 1", " 2", "1.0"], [0, 0, 1, -1]),
        ([" x", "x "], ["x", " x", "x ", "  x"], [-1, 0, 1, -1]),
        ([" ", "x"], [" ", "", "  ", "x"], [0, -1, -1, 1]),
        ([1, 2], [" 1", "2 "], [0, 1]),
    ],
)  # fmt: skip
def test_text_is_read_as_the_classes_of_a_model(classes, cells, codes):
    assert text_codes(cells, np.array(classes)).tolist() == codes
    if isinstance(classes[0], str):
        assert text_codes(cells, np.array(classes, dtype=object)).tolist() == codes


def test_marks_of_missing_labels_and_plain_numbers():
    assert all(map(is_missing, ["", "?", "NA", "na", "NaN", "nan", "null", "NULL", "N/A", "#N/A", "<NA>"]))
    assert not any(map(is_missing, ["0", "none", "no", "nano", "-"]))
    assert all(map(is_number, ["0", "-1.", "+.5", "1e5", "1.5E-3"]))
    assert not any(map(is_number, ["", ".", "1_1", "0x10", "inf", "nan", "e5", "1e", "１", "1 "]))


COLUMNS = {
    "nullable integers": (pd.Series([1, 2, 1, 2], dtype="Int64"), [1, 2]),
    "nullable booleans": (pd.Series([True, False, True, False], dtype="boolean"), [False, True]),
    "integers as objects": (pd.Series([1, 2, 1, 2], dtype=object), [1, 2]),
    "booleans as objects": (pd.Series([True, False, True, False], dtype=object), [False, True]),
    "booleans": ([True, False, True, False], [False, True]),
    "categories of integers": (pd.Series([1, 2, 1, 2], dtype="category"), [1, 2]),
    "categories of booleans": (pd.Series([True, False, True, False], dtype="category"), [False, True]),
    "categories": (pd.Series(["u", "v", "u", "v"], dtype="category"), ["u", "v"]),
    "strings": (pd.Series(["01", "02", "01", "02"], dtype="string"), ["01", "02"]),
    "NumPy strings": (np.array(["0", "1", "0", "1"], dtype=np.dtypes.StringDType()), ["0", "1"]),
    "floats": (pd.Series([1.0, 2.0, 1.0, 2.0], dtype="Float64"), [1.0, 2.0]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_labels_of_every_kind_of_column_keep_their_kind(name, tmp_path):
    y, classes = COLUMNS[name]
    X = [[0.0], [1.0], [0.25], [2.0]]
    for model in (BDNNClassifier(**EXACT), BDNNEnsembleClassifier(BDNNClassifier(**EXACT), n_estimators=1)):
        model.fit(X, y).save(tmp_path / "m.json")
        for known in (model, bdnn.load(tmp_path / "m.json")):
            assert [(type(c), c) for c in known.classes_.tolist()] == [(type(c), c) for c in classes]
            assert known.predict(X).tolist() == list(y)
    problem = Problem(X=X, y=y)
    assert [(type(c), c) for c in problem.classes.tolist()] == [(type(c), c) for c in classes]
    net = Network([([[1.0]], [-0.5])], "threshold", classes)
    assert label_codes(net.classes, y, 4).tolist() == [classes.index(label) for label in list(y)]
    assert label_array("y", y).tolist() == list(y)


ON_DISK = {
    "booleans": ("True", "False", bool),
    "booleans of a spreadsheet": ("TRUE", "FALSE", bool),
    "0 and 1 as text": ("0", "1", str),
    "01 and 02 as text": ("01", "02", str),
    "01 and 02 as integers": ("01", "02", "int64"),
    "nullable integers": ("1", "2", "Int64"),
    "nullable booleans": ("True", "False", "boolean"),
    "categories": ("3", "11", "category"),
    "floats": ("1", "2", float),
    "text": ("no", "yes", str),
}
# one of each kind of class in a file; pictures take most of the time
DRAWN = ("booleans of a spreadsheet", "01 and 02 as text", "nullable integers")


@pytest.mark.parametrize("name", ON_DISK)
def test_models_from_python_meet_their_table_on_the_command_line(run, tmp_path, name):
    low, high, kind = ON_DISK[name]
    rng = np.random.default_rng(2)
    values = rng.normal(size=(24, 2)).round(2)
    text = [high if a + b > 0 else low for a, b in values]
    table, model, proof = tmp_path / "t.csv", tmp_path / "m.json", tmp_path / "p.json"
    lines = [f"{a},{b},{label}\n" for (a, b), label in zip(values.tolist(), text, strict=True)]
    table.write_text("a,b,y\n" + "".join(lines))
    if kind == "category":
        frame = pd.read_csv(io.StringIO(table.read_text())).astype({"y": "category"})
    else:
        frame = pd.read_csv(io.StringIO(table.read_text()), dtype={"y": kind})
    clf = BDNNClassifier(**{key: v for key, v in EXACT.items() if key != "incumbents"}, certificate=True, time_limit=30)
    clf.fit(frame[["a", "b"]], frame["y"]).save(model)
    bdnn.save_certificate(clf.result_.certificate, proof)
    code, out, err = run("evaluate", model, table, "--target", "y", "--json")
    assert (code, err) == (0, "") and json.loads(out)["accuracy"] == 1.0 and json.loads(out)["rows"] == 24
    assert json.loads(out)["classes"] == clf.classes_.tolist()
    code, out, err = run("certify", model, table, "--target", "y", "--json", "--quiet")
    assert (code, err) == (0, "") and json.loads(out)["clean_accuracy"] == 1.0
    code, out, err = run("verify", proof, table, "--target", "y", "--test-fraction", 0)
    assert (code, err) == (0, "") and out.startswith("verified")
    code, out, err = run("bound", table, "--target", "y", "--test-fraction", 0, "--model", model, "--json", "--quiet")
    assert (code, err) == (0, "") and json.loads(out)["best_loss_known"] == 0
    if name not in DRAWN:
        return
    page = tmp_path / "r.html"
    words = ("--target", "y", "--out", page, "--certificate", proof, "--rows", 2, "--quiet")
    assert run("report", model, table, *words) == (0, f"wrote the model card to {page}\n", "")
    assert "All rows: 100.00% of 24" in page.read_text()
    picture = tmp_path / "r.svg"
    drawing = ("plot", "regions", model, table, "--target", "y", "--out", picture)
    assert run(*drawing) == (0, f"wrote the picture to {picture}\n", "")


def test_labels_of_no_class_are_named_with_their_rows():
    with pytest.raises(UnknownLabelError) as caught:
        label_codes(np.array(["a", "b"]), ["a", "x", "b", "x", "y", *["z"] * 9], 14)
    assert str(caught.value) == (
        "12 of 14 labels are not classes of the network (a, b): 'x' (rows 1, 3), 'y' (row 4), "
        "'z' (rows 5, 6, 7, 8, 9, …)"
    )
    with pytest.raises(UnknownLabelError) as caught:
        label_codes(np.arange(300), [f"c{i}" for i in range(500)], 500)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("model", [BDNNClassifier(**EXACT), BDNNEnsembleClassifier(BDNNClassifier(**EXACT))])
def test_a_continuous_target_gets_a_short_message(model):
    y = np.random.default_rng(0).normal(size=500)
    with pytest.raises(
        InputError, match=r"continuous.*y looks like the target of a regression: 500 different"
    ) as caught:
        model.fit(np.arange(500.0)[:, None], y)
    assert len(str(caught.value)) < 300
    check_discrete("y", np.array(["0.5", "x"]))
    check_discrete("y", np.array(["1", "2.0"]))
    check_discrete("y", np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="2 different numbers"):
        check_discrete("y", np.array([0.5, 1.0]))


@pytest.mark.parametrize("kind", [BDNNClassifier, BDNNEnsembleClassifier])
@pytest.mark.parametrize(
    "y",
    [
        [0.0, np.nan, 1.0, 0.0],
        [1, None, 0, 1],
        ["a", np.nan, "b", "a"],
        pd.Series(["a", None, "b", "a"], dtype="string"),
        pd.Series([1, None, 0, 1], dtype="Int64"),
        pd.Series(["a", None, "b", "a"], dtype="category"),
    ],
)
def test_missing_labels_are_named_with_their_rows(kind, y):
    with pytest.raises(InputError, match=r"^y must not .* in 1 of 4 rows: '.*' \(row 1\); label these rows or leave"):
        kind().fit([[0.0], [1.0], [2.0], [3.0]], y)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("kind", [BDNNClassifier, BDNNEnsembleClassifier])
def test_labels_of_every_kind_of_column_are_scored(kind, name):
    y, X = COLUMNS[name][0], [[0.0], [1.0], [0.25], [2.0]]
    clf = BDNNClassifier(**EXACT)
    model = (clf if kind is BDNNClassifier else kind(clf, n_estimators=1)).fit(X, y)
    assert model.score(X, y) == 1
    assert model.score(X[::-1], y, sample_weight=[1, 0, 0, 0]) == 0


def test_text_of_numbers_is_a_regression_only_if_the_numbers_are_many():
    check_discrete("y", np.array(["0.1", "0.10"] * 9))
    check_discrete("y", np.array([f"{k / 4:.2f}" for k in range(20)]))
    check_discrete("y", np.array([f"{k:03}" for k in range(200)]))
    with pytest.raises(InputError, match=r"21 different numbers, not all whole, such as 0\.25, 0\.5, 0\.75"):
        check_discrete("y", np.array([f"{k / 4:.2f}" for k in range(21)]))


def test_many_whole_numbers_of_few_rows_are_a_regression():
    rng = np.random.default_rng(1)
    target = rng.normal(250, 50, 300).round().astype(int)
    for y in (target, target.astype(float)):
        for model in (BDNNClassifier(**EXACT), BDNNEnsembleClassifier(BDNNClassifier(**EXACT))):
            with pytest.raises(InputError, match=r"^y looks like the target of a regression: \d+ different numbers in"):
                model.fit(np.arange(len(y))[:, None], y)
    # faces of 200 people, letters, a rare class among many, few rows
    for y in (np.arange(1400) % 200, np.arange(500) % 26, np.r_[np.arange(1000) % 60, 60], np.arange(20)):
        check_discrete("y", y)
        assert regression_hint("y", y) == ""
    age = np.r_[np.arange(300) % 39, 39, 40]
    check_discrete("y", age)
    assert regression_hint("y", age).startswith("y looks like the target of a regression: 41 different numbers in 302")
    assert regression_hint("y", age.astype(str)) and not regression_hint("y", np.char.add("c", age.astype(str)))


def test_labels_from_python_that_differ_by_blanks_meet_their_table(run, tmp_path):
    table, model = tmp_path / "t.csv", tmp_path / "m.json"
    for low, high in (("x ", "x"), (" 1", "2")):
        y = [low if x < 4 else high for x in range(8)]
        table.write_text("x,y\n" + "".join(f"{x},{label}\n" for x, label in enumerate(y)))
        BDNNClassifier(**EXACT).fit([[float(x)] for x in range(8)], y).save(model)
        code, out, err = run("evaluate", model, table, "--target", "y", "--json")
        assert (code, err) == (0, "") and json.loads(out)["accuracy"] == 1
