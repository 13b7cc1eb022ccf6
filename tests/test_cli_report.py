"""The command line and model cards: ``bdnn report``."""

import html
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import bdnn
from bdnn.model_file import load_model, save_model


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(48, 3)).round(1)
    y = np.where(X[:, 0] + X[:, 1] + 0.3 * rng.normal(size=48) > 0, "yes", "no")
    lines = [f"{a},{b},{c},{k},{label}" for k, ((a, b, c), label) in enumerate(zip(X.tolist(), y, strict=True))]
    lines[5] = lines[5].replace(lines[5].split(",")[1], "?", 1)
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,c,number,my label", *lines]) + "\n")
    return path


TRAIN = ("--target", "my label", "--drop", "number", "--hidden", "none", "--method", "exact", "--seed", 4,
         "--test-fraction", 0.375, "--no-intercept", "--formulation", "big_m", "--quiet")  # fmt: skip


@pytest.fixture
def model(run, table, tmp_path):
    path = tmp_path / "my model.json"
    code, _, err = run("train", table, *TRAIN, "--out", path)
    assert (code, err) == (0, "")
    return path


def page_of(path):
    return path.read_text(encoding="utf-8")


def facts_of(path):
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page_of(path))
    return {html.unescape(name): html.unescape(re.sub("<.*?>", "", text)) for name, text in pairs}


def commands_of(path):
    text = html.unescape(re.search(r"<pre>(.*?)</pre>", page_of(path), re.DOTALL).group(1))
    return [shlex.split(line) for line in text.splitlines() if line]


def test_training_and_held_out_rows_are_told_apart(run, model, table, tmp_path):
    out = tmp_path / "r.html"
    words = ("report", model, table, "--out", out, "--rows", 6, "--quiet")
    assert run(*words) == (0, f"wrote the model card to {out}\n", "")
    facts, result = facts_of(out), load_model(model).result
    assert facts["table"] == "t.csv" and facts["rows"] == "48: 30 training rows, 18 held-out rows"
    assert facts["columns"] == "3 features, target 'my label'" and facts["columns left out"] == "number"
    assert facts["missing values"] == "1, replaced by the medians that the model keeps"
    assert facts["wrong rows"] == f"{result.audit.n_wrong} of 30" and facts["bound"] == f"{result.bound:g}"
    assert "6 drawn at random (seed 0) from 18 held-out rows" in page_of(out)
    # the rows that are called held out are those that the training held out
    known = json.loads(run("train", table, *TRAIN, "--json")[1])
    assert f"Held-out rows: {known['held_out_accuracy']:.2%} of 18" in page_of(out)
    assert f"Training rows: {known['training_accuracy']:.2%} of 30" in page_of(out)


def test_other_data_are_not_taken_for_the_training_table(run, model, table, tmp_path):
    out = tmp_path / "r.html"
    lines = table.read_text().splitlines()
    flipped = [line.replace("yes", "NO").replace("no", "yes").replace("NO", "no") for line in lines[1:]]
    for changed in ([lines[0], *flipped], lines[:20], lines[:3]):
        table.write_text("\n".join(changed) + "\n")
        assert run("report", model, table, "--out", out, "--rows", 0)[0] == 0
        assert "whether the network was trained on some of them is not known" in page_of(out)
        assert "All rows:" in page_of(out) and "Not certified" in page_of(out)


def test_models_that_do_not_say_how_their_table_was_split(run, model, table, tmp_path):
    stored = load_model(model)
    save_model(model, type(stored)(stored.network, stored.settings, stored.result, None))
    words = ("report", model, table, "--out", tmp_path / "r.html", "--rows", 0)
    code, _, err = run(*words)
    assert code == 2 and "give it with --target" in err
    code, _, err = run(*words, "--target", "my label")
    assert code == 2 and "values are missing" in err
    table.write_text(table.read_text().replace("?", "0"))
    assert run(*words, "--target", "my label")[0] == 0
    assert "All rows:" in page_of(tmp_path / "r.html")


def test_the_commands_reproduce_the_model(run, model, table, tmp_path):
    out = tmp_path / "r.html"
    run("report", model, table, "--out", out, "--rows", 0)
    (train, *again) = commands_of(out)
    assert train[:3] == ["bdnn", "train", str(table)] and again == [
        ["bdnn", "evaluate", str(model), str(table), "--target", "my label"]
    ]
    before = load_model(model)
    model.unlink()
    code, _, _ = run(*train[1:], "--quiet")
    after = load_model(model)
    assert code == 0 and after.network == before.network and after.settings == before.settings
    assert after.table == before.table
    code, text, _ = run(*again[0][1:], "--json")
    right = json.loads(text)["accuracy"] * 48
    accuracies = re.findall(r"rows: ([\d.]+)% of (\d+)", page_of(out))
    assert right == pytest.approx(sum(float(part) / 100 * int(count) for part, count in accuracies), abs=0.01)


@pytest.mark.parametrize(
    "words",
    [
        ("--hidden", "3,2", "--method", "local_search", "--robust-radius", "0.1,0,0.2", "--polish", "none"),
        ("--hidden", "2", "--method", "alternating", "--weights", "integer", "--weight-bound", "2", "--starts", "2"),
        (
            "--hidden",
            "none",
            "--regularizer",
            "l1",
            "--regularization",
            "lexicographic",
            "--validation-fraction",
            "0.25",
        ),
    ],
)
def test_options_of_the_training_come_back_as_settings(run, table, tmp_path, words):
    first, out = tmp_path / "m.json", tmp_path / "r.html"
    common = ("train", table, "--target", "my label", "--drop", "number", "--time-limit", "0.5", "--quiet")
    assert run(*common, *words, "--out", first)[0] == 0
    settings = load_model(first).settings
    assert run("report", first, table, "--out", out, "--rows", 0)[0] == 0
    assert run(*commands_of(out)[0][1:], "--quiet")[0] == 0
    assert load_model(first).settings == settings


def test_a_certificate_is_verified(run, table, tmp_path):
    proof, model, out = tmp_path / "proof.json", tmp_path / "m.json", tmp_path / "r.html"
    words = ("--target", "my label", "--drop", "number", "--hidden", "none", "--method", "exact", "--quiet")
    code, text, _ = run("train", table, *words, "--certificate", proof, "--out", model, "--incumbents", "none")
    assert code == 0 and proof.exists(), text
    report = ("report", model, table, "--certificate", proof, "--out", out, "--rows", 0)
    assert run(*report) == (0, f"wrote the model card to {out}\n", "")
    result = load_model(model).result
    assert "verified</span> No network with no hidden layers" in page_of(out)
    assert facts_of(out)["loss of this network"].startswith(f"{result.audit.n_wrong} on the same rows")
    assert [command[1] for command in commands_of(out)] == ["train", "evaluate", "verify"]
    code, text, _ = run(*commands_of(out)[2][1:])
    assert code == 0 and text.startswith("verified")
    out.unlink()
    proof.write_text(json.dumps(json.loads(proof.read_text()) | {"loss": "77"}))
    code, text, err = run(*report)
    assert (code, text) == (1, "") and "is not verified: loss" in err and err.count("\n") == 1
    proof.write_text("{}")
    code, text, err = run(*report)
    assert (code, text) == (2, "") and "is not a certificate" in err and err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--radius", "-1"), "radii must be"),
        (("--radius", "x"), "--radius"),
        (("--norm", "3"), "norm"),
        (("--rows", "-1"), "--rows"),
        (("--target", "none"), "no column 'none'"),
        (("--time-limit", "0"), "time limit"),
        (("--certificate", "none.json"), "does not exist"),
        (("--target", "number"), "are not classes"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, model, table, tmp_path, words, message):
    code, out, err = run("report", model, table, "--out", tmp_path / "r.html", "--quiet", *words)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_without_jinja_exit_code_2(run, model, table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = run("report", model, table, "--out", tmp_path / "r.html")
    assert code == 2 and "pip install 'bdnn[plot]'" in err


def test_commands_do_not_load_what_draws():
    code = (
        "import sys, bdnn.cli as c; loaded = [c.cli.get_command(None, name) for name in c.cli.list_commands(None)]; "
        "assert all(loaded) and not {'matplotlib', 'jinja2', 'sklearn'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    assert bdnn.report.__module__ == "bdnn.reports.page"


def test_what_perturbations_may_do(run, table, model, tmp_path):
    out = tmp_path / "card.html"
    words = ("--lower", -1.5, "--upper", 1.5, "--frozen", "b", "--scale", "range", "--norm", 1, "--rows", 5, "--quiet")
    assert run("report", model, table, "--out", out, *words)[0] == 2  # rows lie beyond the bounds
    assert not out.exists()
    words = ("--lower", -9, "--upper", 9, *words[4:])
    assert run("report", model, table, "--out", out, *words)[0] == 0
    assert "stay at -9 or above; stay at 9 or below; b cannot change" in page_of(out)
    assert "norm 1 and the given units of the features" in page_of(out)
    code, _, err = run("report", model, table, "--out", out, "--integer", "--integer-column", "a")
    assert code == 2 and "--integer-column" in err
    code, _, err = run("report", model, table, "--out", out, "--frozen", "z")
    assert code == 2 and "'z'" in err
