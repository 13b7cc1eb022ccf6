"""The command line and its tables: order of columns, kinds of labels, gaps, rows that are equal."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier
from bdnn.model_file import TableInfo, load_model
from bdnn.splitting import split
from bdnn.tables import read_table
from processes import bdnn_done


def fresh(*words):
    done = subprocess.run(
        [sys.executable, "-m", "bdnn", *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def tables(tmp_path):
    """One table thrice: as it is, with its columns in another order, and with more columns."""
    rng = np.random.default_rng(3)
    rows = [
        {"a": round(1000 * a, 1), "b": b, "c": round(c, 3), "y": "yes" if b + a > 0 else "no", "note": f"n{i}"}
        for i, (a, b, c) in enumerate(rng.normal(size=(40, 3)).round(3).tolist())
    ]
    paths = []
    for name, columns in (("plain", "abcy"), ("mixed", "cyba"), ("more", ["note", "c", "y", "b", "note", "a"])):
        lines = [",".join(columns), *(",".join(str(row[column]) for column in columns) for row in rows)]
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


SHORT = ("--target", "y", "--hidden", "none", "--method", "exact", "--test-fraction", 0, "--quiet")


@pytest.fixture
def model(run, tables, tmp_path):
    path = tmp_path / "model.json"
    assert run("train", tables[0], *SHORT, "--out", path)[0] == 0
    assert load_model(path).result.objective == 0
    return path


def wrote(what, path):
    return f"wrote the {what} to {path}\n"


def test_the_order_of_columns_does_not_matter_to_a_model(run, model, tables, tmp_path):
    answers = []
    for number, table in enumerate(tables):
        attacks, page, picture = (tmp_path / f"{number}.{suffix}" for suffix in ("csv", "html", "svg"))
        certified = json.loads(run("certify", model, table, "--json", "--quiet", "--out", attacks)[1])
        certified.pop("seconds")
        assert run("report", model, table, "--out", page, "--rows", 3, "--quiet") == (0, wrote("model card", page), "")
        assert run("plot", "regions", model, table, "--out", picture) == (0, wrote("picture", picture), "")
        described = page.read_text().replace(table.name, "table").replace(str(table.parent), "")
        answers.append([
            run("predict", model, table, "--scores"), run("evaluate", model, table), certified, attacks.read_text(),
            re.sub(r"[\d.]+ s\b", "", described.split("<h2>")[1]), picture.read_text().split("</metadata>")[-1],
        ])  # fmt: skip
    for other in answers[1:]:
        for found, known in zip(other, answers[0], strict=True):
            assert found == known


@pytest.mark.parametrize("command", ["train", "bound"])
def test_a_model_to_start_from_is_put_in_the_order_of_the_table(run, model, tables, monkeypatch, tmp_path, command):
    results = []

    class Kept(BDNNClassifier):
        def fit(self, *data, **more):
            super().fit(*data, **more)
            results.append(self.result_)
            return self

    monkeypatch.setattr(bdnn, "BDNNClassifier", Kept, raising=False)
    words = {"train": (*SHORT, "--start", model), "bound": (*SHORT[:2], *SHORT[6:], "--model", model)}[command]
    for table in tables[:2]:
        code, out, err = run(command, table, *words, "--json")
        assert (code, err) == (0, ""), err
        (result,) = results
        # the start itself, before anything is improved
        assert (result.history[0].source, result.history[0].objective) == ("start", 0.0)
        assert json.loads(out)["best_loss_known" if command == "bound" else "training_loss"] == 0
        results.clear()
    code, out, err = run(command, tables[2], *words, "--drop", "note")
    assert code == 0, err
    tables[1].write_text(tables[1].read_text().replace("a", "A", 1).replace("A", "a", 0))
    lines = tables[0].read_text().splitlines()
    tables[0].write_text("\n".join(["a,b,d,y", *lines[1:]]) + "\n")
    code, out, err = run(command, tables[0], *words)
    assert (code, out) == (2, "") and "takes the columns 'a', 'b', 'c', but the data lack 'c' and also have 'd'" in err


def test_labels_come_back_as_they_were_written(run, tmp_path):
    table, model = tmp_path / "t.csv", tmp_path / "m.json"
    for names in (("01", "02"), ("01", "1"), ("1_1", "1_2"), ("9e10", "90e9"), ("1", "2"), ("TRUE", "FALSE")):
        rows = [f"{x},{names[x > 4]}" for x in range(10)]
        table.write_text("\n".join(["x,y", *rows]) + "\n")
        assert run("train", table, *SHORT, "--out", model)[0] == 0
        assert len(load_model(model).network.classes) == 2
        assert run("predict", model, table)[1].split()[1:] == [row.split(",")[1] for row in rows]
        assert json.loads(run("evaluate", model, table, "--json")[1])["accuracy"] == 1


@pytest.mark.parametrize("cell", ["1_1", "１", "0x10", "infinity", "-nan", "1e999"])
def test_features_are_plain_numbers(run, tmp_path, cell):
    table = tmp_path / "t.csv"
    table.write_text(f"x,y\n1,0\n2,1\n{cell},1\n", encoding="utf-8")
    code, out, err = run("train", table, *SHORT)
    assert (code, out) == (2, "") and f"column 'x' of {table} holds '{cell}' in line 4; accepted are finite" in err


def gaps(tmp_path):
    table = tmp_path / "t.csv"
    labels = ["0"] * 8 + ["1"] * 8
    for row, mark in ((1, "NA"), (3, ""), (9, "NaN"), (12, "null"), (15, "?")):
        labels[row] = mark
    table.write_text("x,y\n" + "".join(f"{x},{label}\n" for x, label in enumerate(labels)))
    return table


def test_rows_without_a_label_are_refused_or_left_out(run, tmp_path):
    table, model, attacks = gaps(tmp_path), tmp_path / "m.json", tmp_path / "a.csv"
    code, out, err = run("train", table, *SHORT, "--out", model)
    assert (code, out, err.count("\n")) == (2, "", 1) and not model.exists()
    assert "no label in 5 of 16 rows: 'NA' (line 3), '' (line 5), 'NaN' (line 11), 'null' (line 14), '?'" in err
    code, out, err = run("train", table, *SHORT, "--missing-labels", "drop", "--out", model)
    assert (code, err) == (0, "") and "without a label   5 rows, left out" in out
    assert load_model(model).table.missing_labels == "drop" and load_model(model).network.classes.tolist() == [0, 1]
    # the model knows how its table is read
    code, out, err = run("evaluate", model, table, "--json")
    report = json.loads(out)
    assert (code, err) == (0, "rows without a label left out: 5\n")
    assert (report["rows"], report["rows_without_label"], report["accuracy"]) == (11, 5, 1)
    assert run("evaluate", model, table, "--missing-labels", "error")[0] == 2
    code, out, err = run("certify", model, table, "--quiet", "--json", "--out", attacks)
    kept = [row for row in range(16) if row not in (1, 3, 9, 12, 15)]
    assert code == 0 and json.loads(out)["rows"] == kept
    assert [int(line.split(",")[0]) for line in attacks.read_text().splitlines()[1:]] == kept
    assert run("plot", "certified", model, table, "--quiet", "--out", tmp_path / "c.svg")[0] == 0
    page = tmp_path / "r.html"
    assert run("report", model, table, "--out", page, "--rows", 0)[0] == 0
    assert "Training rows: 100.00% of 11" in page.read_text() and "--missing-labels drop" in page.read_text()
    # predictions need no labels
    assert len(run("predict", model, table)[1].split()) == 17


def test_labels_of_no_class_are_named_with_their_lines(run, model, tables, tmp_path):
    lines = tables[0].read_text().splitlines()
    for number in (4, 7, 30):
        lines[number] = lines[number].rsplit(",", 1)[0] + ",maybe"
    tables[0].write_text("\n".join(lines) + "\n")
    words = (("evaluate",), ("certify",), ("report", "--out", tmp_path / "r.html"),
             ("plot", "regions", "--out", tmp_path / "r.svg"))  # fmt: skip
    for command, *more in words:
        code, out, err = run(command, *more[:1] * (command == "plot"), model, tables[0], *more[command == "plot" :])
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "3 of 40 labels in the target column 'y'" in err and "(no, yes): 'maybe' (lines 5, 8, 31)" in err
    code, out, err = run("bound", tables[0], *SHORT[:2], *SHORT[6:], "--model", model)
    assert (code, out) == (2, "") and "'maybe' (lines 5, 8, 31)" in err


def test_a_target_that_is_no_class_gets_a_short_message(run, tmp_path):
    table = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    for values, needed in (
        (rng.normal(size=600).tolist(), "continuous. The target column 'y'"),
        ([f"{v:.2f}" for v in rng.normal(size=600)], "looks like the target of a regression"),
        (rng.permutation(600).tolist(), "600 different numbers in 600 rows, 600 of them in only one row"),
        ([*range(39)] * 7 + [39, 40], "a regression: 41 different numbers in 275 rows. Each is taken as a class"),
        ([f"c{k}" for k in range(600)], "600 of 600 classes have only one row"),
    ):
        table.write_text("x,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))
        code, out, err = run("train", table, "--target", "y", "--quiet")
        assert (code, out, err.count("\n")) == (2, "", 1) and needed in err and len(err) < 500


def test_random_labels_on_repeated_rows_are_not_told_by_heart(run, tmp_path):
    rng = np.random.default_rng(11)
    X, order = rng.normal(size=(12, 2)).round(2).tolist(), rng.permutation(120).tolist()
    table, model, page = tmp_path / "t.csv", tmp_path / "m.json", tmp_path / "r.html"
    lines = [f"{X[k % 12][0]},{X[k % 12][1]},{k % 2}" for k in order]
    table.write_text("a,b,y\n" + "\n".join(lines) + "\n")
    words = ("--target", "y", "--hidden", "none", "--method", "exact", "--incumbents", "none", "--quiet", "--json")
    code, out, _ = run("train", table, *words, "--out", model)
    report = json.loads(out)
    # 25 %, 30 rows, are three of twelve groups
    assert code == 0 and (report["training_rows"], report["distinct_training_rows"]) == (90, 9)
    assert report["held_out_rows"] == 30
    assert run("report", model, table, "--out", page, "--rows", 0)[0] == 0
    assert f"Held-out rows: {report['held_out_accuracy']:.2%} of 30" in page.read_text()
    # also where rows for validation are held out of the rest
    code, out, _ = run("train", table, *words, "--validation-fraction", 0.3, "--out", model)
    assert code == 0 and run("report", model, table, "--out", page, "--rows", 0)[0] == 0
    assert f"Held-out rows: {json.loads(out)['held_out_accuracy']:.2%} of 30" in page.read_text()


def test_models_and_certificates_of_the_older_split_are_read_as_ever(run, tmp_path):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(20, 2)).round(2), 2, axis=0)
    table, model, page, proof = (tmp_path / name for name in ("t.csv", "m.json", "r.html", "p.json"))
    table.write_text("a,b,y\n" + "".join(f"{a},{b},0{int(a + b > 0) + 1}\n" for a, b in X.tolist()))
    # as an older version read it: labels 1 and 2, equal rows on both sides, no medians without gaps
    y = (X.sum(axis=1) > 0).astype(int) + 1
    rows, held_out = split(X, y, 0.25, 0, version=1)
    assert split(X, y, 0.25, 0)[0].tolist() != rows.tolist()
    clf = BDNNClassifier((), method="exact", certificate=True, random_state=0)
    clf.fit(X[rows], y[rows], feature_names=["a", "b"])
    clf.save(model, TableInfo("y", "median", None, (), 0.25, 0))
    stored = json.loads(model.read_text())
    del stored["table"]["split"], stored["table"]["missing_labels"], stored["encoder"]
    model.write_text(json.dumps(stored))
    assert (load_model(model).table.split, load_model(model).table.missing_labels) == (1, "error")
    right = np.mean(clf.network_.predict(X[held_out]) == y[held_out])
    assert run("report", model, table, "--out", page, "--rows", 0) == (0, wrote("model card", page), "")
    assert (
        "Training rows: 100.00% of 30" in page.read_text() and f"Held-out rows: {right:.2%} of 10" in page.read_text()
    )
    bdnn.save_certificate(clf.result_.certificate, proof)
    code, out, err = run("verify", proof, table, "--target", "y")
    assert (code, err) == (0, "") and out.startswith("verified")
    table.write_text(table.read_text().replace(",01\n", ",03\n"))
    code, out, err = run("verify", proof, table, "--target", "y")
    assert (code, out) == (1, "") and "not verified: data: " in err and "'03' (lines " in err
    table.write_text("a,b\n1,\n")
    code, out, err = run("predict", model, table)
    assert code == 2 and "the model file is from a version that kept medians only if the training rows had" in err


def test_medians_are_kept_though_nothing_was_missing(run, tmp_path):
    table, gap, twice, model = (tmp_path / name for name in ("t.csv", "gap.csv", "twice.csv", "m.json"))
    table.write_text("a,b,y\n" + "".join(f"{x},{x % 3},{int(x > 5)}\n" for x in range(12)))
    gap.write_text("a,b\n9,1\n,1\n1,?\n")
    twice.write_text("note,a,b,note,\n,9,1,x,\n7,1,1,text,?\n")
    words = ("--target", "y", "--hidden", "none", "--test-fraction", 0, "--quiet")
    trained = bdnn_done("train", table, *words, "--out", model, text=True)
    code, out, err = trained.returncode, trained.stdout, trained.stderr
    assert (code, err) == (0, "") and "missing values" not in out
    assert load_model(model).table.fill == (5.0, 1.0)
    assert fresh("predict", model, gap) == (0, "prediction\n1\n0\n0\n", "")
    assert run("predict", model, twice) == (0, "prediction\n1\n0\n", "")
    run("train", table, *words, "--missing", "error", "--out", model)
    code, out, err = run("predict", model, gap)
    assert (code, out) == (2, "") and "2 values are missing in columns 'a', 'b', and the model was trained with" in err
    assert "--missing error" in err and "--missing median" in err
    clf = BDNNClassifier((), method="exact", incumbents="none").fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    clf.save(model)
    assert run("predict", model, gap)[0] == 0
    stored = json.loads(model.read_text())
    del stored["encoder"]
    model.write_text(json.dumps(stored))
    code, out, err = run("predict", model, gap)
    assert code == 2 and "was not trained by 'bdnn train'" in err
    code, out, err = run("predict", model, table)
    assert code == 2 and "takes 2 features whose names it does not know" in err and "has 3 columns" in err


def test_unused_columns_may_be_anything(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,b,x,a,,\nfoo,1,,2,?,\nNA,3,1_1,4,,\n")
    read = read_table(path, features=["a", "b"])
    assert read.X.tolist() == [[2, 1], [4, 3]] and read.rows.tolist() == [0, 1]
    assert not read.notes
    with pytest.raises(bdnn.errors.InputError, match="more than one column 'x'"):
        read_table(path, "x")


@pytest.fixture
def whole_and_gappy(tmp_path):
    """A table that is complete, and one whose first gap is right only with the median of the other table."""
    whole, gappy = tmp_path / "whole.csv", tmp_path / "gappy.csv"
    whole.write_text("a,b,y\n" + "".join(f"{i},1,0\n{i + 20},2,1\n" for i in range(1, 9)))
    gappy.write_text("b,a,y\n1,,0\n1,30,1\n1,31,1\n2,32,1\n1,3,0\n")
    return whole, gappy


LINEAR = ("--target", "y", "--hidden", "none", "--test-fraction", 0, "--quiet")


def test_a_model_to_start_from_or_to_bound_fills_gaps_as_it_predicts(run, tmp_path, whole_and_gappy):
    whole, gappy = whole_and_gappy
    model, second = tmp_path / "m.json", tmp_path / "second.json"
    assert run("train", whole, *LINEAR, "--out", model)[0] == 0
    assert json.loads(run("evaluate", model, gappy, "--json")[1])["accuracy"] == 1
    words = ("--target", "y", "--test-fraction", 0, "--quiet", "--json")
    code, out, err = run("bound", gappy, *words, "--model", model)
    assert (code, err) == (0, "") and json.loads(out)["best_loss_known"] == 0
    code, out, err = run("train", gappy, *LINEAR, "--json", "--start", model, "--out", second)
    assert (code, err) == (0, "") and json.loads(out)["training_loss"] == 0
    # the features of the second table are in another order
    first, kept = load_model(model).table.fill, load_model(second).table.fill
    assert kept == first[::-1] and first == (8, 1)
    assert json.loads(run("evaluate", second, gappy, "--json")[1])["accuracy"] == 1


def test_a_model_without_medians_bounds_no_table_with_gaps(run, tmp_path, whole_and_gappy):
    whole, gappy = whole_and_gappy
    model, second = tmp_path / "m.json", tmp_path / "second.json"
    assert run("train", whole, *LINEAR, "--missing", "error", "--out", model)[0] == 0
    refused = run("evaluate", model, gappy)
    words = ("--target", "y", "--test-fraction", 0, "--quiet", "--model", model)
    code, out, err = run("bound", gappy, *words)
    assert refused == (code, out, err) and (code, out) == (2, "") and "trained with --missing error" in err
    assert run("bound", whole, *words)[0] == 0
    # a new model has medians of its own
    assert run("train", gappy, *LINEAR, "--start", model, "--out", second)[0] == 0
    assert load_model(second).table.fill == (1, 30)


@pytest.fixture
def rounded(run, tables, tmp_path):
    """A model with integer weights on a grid of real inputs."""
    path = tmp_path / "rounded.json"
    words = ("--target", "y", "--hidden", "none", "--weights", "integer", "--weight-bound", 2)
    assert run("train", tables[0], *words, "--time-limit", 0.3, "--quiet", "--out", path)[0] == 0
    assert load_model(path).network.grid is not None
    return path


def test_bound_says_that_rounded_inputs_are_not_covered(run, tables, rounded):
    words = ("--target", "y", "--quiet", "--time-limit", 0.3)
    code, out, err = run("bound", tables[0], *words, "--model", rounded)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "covers continuous weights" in err and "integer weights on inputs rounded to a grid" in err
    assert "give --hidden none instead of --model" in err
    assert run("bound", tables[0], *words, "--hidden", "none")[0] == 0
    advised = re.search(r"'bdnn (train .*)' with the (--input-bits \d+)", err)
    code, out, err = run(*advised[1].split(), *advised[2].split(), tables[0], *words, "--start", rounded)
    assert code == 0, err


def test_bound_takes_integer_weights_on_integer_inputs(run, tmp_path):
    table, model = tmp_path / "t.csv", tmp_path / "m.json"
    table.write_text("a,b,y\n" + "".join(f"{i},{i % 3},{int(i > 5)}\n" for i in range(12)))
    words = ("--target", "y", "--test-fraction", 0, "--quiet")
    trained = run("train", table, *words, "--hidden", "none", "--weights", "integer", "--out", model, "--json")
    network = load_model(model).network
    assert network.is_integer and network.grid is None
    code, out, err = run("bound", table, *words, "--model", model, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["best_loss_known"] == json.loads(trained[1])["training_loss"] == 0


def test_a_start_of_another_class_is_told_what_differs(run, tables, rounded):
    words = ("train", tables[0], "--target", "y", "--quiet", "--time-limit", 0.3, "--start", rounded)
    integer = ("--hidden", "none", "--weights", "integer", "--weight-bound", 2)
    assert run(*words, *integer)[0] == 0
    cases = (
        ((*integer, "--seed", 1), "it has a different input grid: the grid is made from the training rows"),
        ((*integer, "--input-bits", 4), "it has a different input grid: 8 bits, not 4"),
        (("--hidden", "none"), "it has inputs rounded to a grid"),
        (("--hidden", "2", *integer[2:]), "it has a different architecture: 3-1 with threshold head, not 3-2-1 with"),
    )
    for options, difference in cases:
        code, out, err = run(*words, *options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert difference in err and err.count(";") == 0


def test_the_advice_of_bound_is_about_bound(run, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i % 6}\n" for i in range(60)))
    for hidden, reason in (("3,3", "more than one hidden layer"), ("6", "more than five hidden neurons")):
        code, out, err = run("bound", table, "--target", "y", "--hidden", hidden, "--quiet")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"'bdnn bound' does not cover {reason}" in err and "give a smaller --hidden, such as none," in err
        assert "big_m" not in err and "formulation" not in err
    words = (table, "--target", "y", "--hidden", "none", "--quiet", "--test-fraction", 0, "--time-limit", 1)
    assert run("bound", *words)[0] == 0
    table.write_text("x,y\n1,0\n1,1\n2,2\n3,1\n1,0\n3,2\n")
    code, out, err = run("bound", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "does not cover equal rows with different labels" in err and "with 'bdnn train --method exact'" in err
    assert run("train", *words, "--method", "exact")[0] == 0


@pytest.mark.parametrize("method", ["auto", "local_search", "alternating", "data_splitting"])
def test_a_method_without_checkpoints_refuses_one(run, tables, tmp_path, method):
    state = tmp_path / "state.npz"
    words = ("train", tables[0], *SHORT[:2], "--hidden", "none", "--quiet", "--time-limit", 0.3, "--checkpoint", state)
    code, out, err = run(*words, "--method", method)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"--checkpoint needs --method exact, got '{method}'" in err and not state.exists()


def test_a_target_of_many_numbers_and_labels_that_differ_by_blanks_are_warned_of(run, tmp_path):
    table = tmp_path / "t.csv"
    words = ("--target", "y", "--hidden", "none", "--test-fraction", 0, "--quiet", "--time-limit", 0.5)
    values = [*range(21)] * 3 + [21]
    table.write_text("x,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))
    code, _, err = run("train", table, *words)
    assert code == 0 and err.count("looks like the target of a regression: 22 different numbers in 64 rows") == 1
    table.write_text("x,y\n1,a\n2, a\n3,b\n4,b\n5,a\n")
    code, _, err = run("train", table, *words)
    assert code == 0 and "'a' (lines 2, 6), ' a' (line 3). They are read as one" in err
    table.write_text("x,y\n1, 0\n2,0\n3, b\n4, b\n".replace("b", "1"))
    assert run("train", table, *words)[::2] == (0, "")


def test_labels_that_are_nearly_the_same_are_named(run, tmp_path):
    table, out = tmp_path / "t.csv", tmp_path / "m.json"
    words = ("--target", "y", "--hidden", "none", "--test-fraction", 0, "--quiet", "--time-limit", 0.5, "--out", out)
    table.write_text("x,y\n1,1\n2,1.0\n3,2\n4,2.0\n5,1\n")
    code, _, err = run("train", table, *words)
    assert code == 0 and "only in how a number is written: '1' (lines 2, 6), '1.0' (line 3), '2' (line 4)" in err
    assert bdnn.load(out).classes_.tolist() == [1, 2]
    table.write_text("x,y\n1,no\n2,No\n3,yes\n4,no\n")
    code, _, err = run("train", table, *words)
    assert code == 0 and "labels that differ only by upper and lower case are different classes: 'No', 'no'" in err
    assert bdnn.load(out).classes_.tolist() == ["No", "no", "yes"]


def test_rows_that_differ_by_seconds_only_stay_together(run, tmp_path):
    rng, table = np.random.default_rng(0), tmp_path / "t.csv"
    rows = [f"{a:.3f},2024-03-{k % 28 + 1:02d} {k % 24:02d}" for k, a in enumerate(rng.normal(size=30))]
    labels = rng.integers(0, 2, 300)
    times = rng.integers(0, 60, (300, 2))
    lines = [f"{rows[k % 30]}:{s:02d}:{t:02d},{y}" for k, ((s, t), y) in enumerate(zip(times, labels, strict=True))]
    table.write_text("\n".join(["a,when,y", *lines]) + "\n")
    features, y = (read := bdnn.tables.read_table(table, "y")).features, read.labels
    training, held_out = split(features.numbers(), y, 0.25, 0)
    assert {k % 30 for k in training} & {k % 30 for k in held_out} == set()
    training, held_out = split(features.numbers(whole_hours=False), y, 0.25, 0)
    assert {k % 30 for k in training} & {k % 30 for k in held_out}


def test_a_copy_of_the_target_is_named(run, tmp_path):
    table, words = tmp_path / "t.csv", ("--target", "y", "--hidden", "none", "--quiet", "--time-limit", 0.5)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40).round(3).tolist(), rng.integers(0, 3, 40).tolist()
    lines = [f"{a},{'pqr'[b]},{min(b, 1)},{b}" for a, b in zip(x, y, strict=True)]
    table.write_text("\n".join(["x,again,nearly,y", *lines]) + "\n")
    code, _, err = run("train", table, *words, "--out", tmp_path / "m.json")
    said = "column 'again' says the same as the target 'y' in every row"
    assert code == 0 and err.count("says the same as the target") == 1
    assert f"{said}; if it is not known when a prediction is made, --drop again leaves it out" in err
    table.write_text("\n".join(["x,again,nearly,y", *lines[:19]]) + "\n")
    assert "says the same" not in run("train", table, *words, "--out", tmp_path / "n.json")[2]
    table.write_text("\n".join(["x,again,nearly,y", *lines, "0.5,p,0,2"]) + "\n")
    assert "says the same" not in run("train", table, *words, "--out", tmp_path / "o.json")[2]
