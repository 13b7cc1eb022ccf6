"""Files of exports: the command, the estimators, packages for devices, folders, and what is refused."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network, cli
from bdnn.errors import ExportError, InputError, MissingDependencyError
from bdnn.export import host
from bdnn.export.c import C
from bdnn.export.exporting import MANIFEST
from bdnn.export.names import checked_name, name_of
from bdnn.export.targets import TARGETS
from bdnn.files import write_folder
from export_cases import ARDUINO_H

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is installed")

HEAD = "temp,color,on,day,label\n"
ROWS = """20.5,red,true,1,yes
19.5,green,false,2,no
?,red,true,3,yes
21.0,blue,false,4,no
18.0,,true,5,no
20.0,red,false,6,yes
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    path.write_text(HEAD + ROWS * 4, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(table):
    path = table.parent / "My model.json"
    words = (
        "--weights",
        "integer",
        "--hidden",
        "2",
        "--thresholds",
        3,
        "--missing-indicator",
        "always",
        "--drop",
        "day",
    )
    words = ("train", table, *words, "--test-fraction", 0, "--time-limit", 0.3, "--quiet", "--out", path)
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    assert not stop.value.code
    return path


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@needs_cc
def test_the_command_writes_files_that_were_checked(run, model, table, tmp_path):
    out = tmp_path / "new" / "device"
    code, said, _ = run("export", model, "--to", "c", "--out", out, "--check", table, "--scale", "temp=2")
    assert code == 0 and said.splitlines()[-1] == "24 of 24 rows equal"
    assert MANIFEST in listing(out) and {"my_model.c", "my_model.h"} < set(listing(out))
    manifest = json.loads((out / MANIFEST).read_text())
    assert [*manifest["files"], MANIFEST] == sorted(listing(out), key=[*manifest["files"], MANIFEST].index)
    header = (out / "my_model.h").read_text()
    assert "MY_MODEL_CLASS_YES" in header and "training rows right" in header
    main = (
        '#include <stdio.h>\n#include "my_model_selftest.h"\nint main(void) { printf("%d\\n", my_model_selftest()); }\n'
    )
    (tmp_path / "main.c").write_text(main)
    sources = [tmp_path / "main.c", out / "my_model.c", out / "my_model_selftest.c"]
    subprocess.run(["cc", "-std=c99", f"-I{out}", "-o", tmp_path / "main", *sources], check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout == b"0\n"
    # the same again, as another target: what is left of the first one goes
    assert run("export", model, "--to", "arduino", "--out", out, "--data", table, "--scale", "2")[0] == 0
    assert "my_model.c" not in listing(out) and "src/my_model.c" in listing(out)


@needs_cc
def test_a_difference_is_an_error_and_nothing_is_written(run, model, table, tmp_path, monkeypatch):
    honest = C.files

    def broken(self, request):
        files = honest(self, request)
        files["my_model.c"] = files["my_model.c"].replace(">= 0 ? 1u : 0u", ">= 0 ? 0u : 1u")
        return files

    monkeypatch.setattr(C, "files", broken)
    out = tmp_path / "out"
    code, said, err = run("export", model, "--to", "c", "--out", out, "--check", table, "--scale", "temp=2")
    assert (code, said) == (1, "") and "0 of 24 rows equal: the files decide row 1 first otherwise" in err
    assert not out.exists()


REFUSED = {
    "target": (["--to", "pascal"], "the target must be one of c, "),
    "scale": (["--to", "c"], r"--scale temp=2 or give|--scale temp="),
    "name": (["--to", "c", "--name", "while"], "the name 'while' is a word of a language"),
    "identifier": (["--to", "c", "--name", "1st"], "the name '1st' is no identifier"),
    "column": (["--to", "c", "--scale", "tmp=2"], "scales are declared for column 'tmp'"),
    "form": (["--to", "c", "--scale", "temp"], "--scale must be such as"),
    "range": (["--to", "c", "--scale", "2", "--range", "temp=5"], "--range must be such as temp=-20:60"),
    "range of all": (["--to", "c", "--scale", "2", "--range", "5"], "such as temp=-20:60, or -20:60 for all numeric"),
    "numbers of all": (
        ["--to", "c", "--scale", "2", "--range", "a:b"],
        "the range of column 'temp' must be two numbers",
    ),
    "narrow for all": (
        ["--to", "c", "--scale", "2", "--range", "0:20", "--data", "TABLE"],
        "row 1, column 'temp': 20.5 is not",
    ),
    "numbers": (["--to", "c", "--scale", "2", "--range", "temp=a:b"], "the range of column 'temp' must be two numbers"),
    "narrow": (
        ["--to", "c", "--scale", "2", "--range", "temp=0:20", "--data", "TABLE"],
        "row 1, column 'temp': 20.5 is not",
    ),
    "scale of data": (["--to", "c", "--scale", "1", "--data", "TABLE"], "row 1, column 'temp': 20.5 is no integer on"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(run, model, table, tmp_path, what):
    words, message = REFUSED[what]
    out = tmp_path / "out"
    code, _, err = run("export", model, *[table if w == "TABLE" else w for w in words], "--out", out)
    assert code == 2 and err.startswith("bdnn: error: ") and len(err.splitlines()) == 1
    assert any(part in err for part in message.split("|")), err
    assert not out.exists()


def test_one_range_is_for_all_numeric_columns_but_those_that_have_their_own(tmp_path, run):
    X = pd.DataFrame(itertools.product([0, 3], ["red", "green"], [0, 3]), columns=["a", "color", "b"])
    clf = BDNNClassifier((), weights="integer", method="exact").fit(X, X.a + X.b > 3)
    clf.save(tmp_path / "m.json")

    def ranges(folder):
        inputs = json.loads((folder / MANIFEST).read_text())["inputs"]
        return {each["column"]: (each["low"], each["high"]) for each in inputs if each["kind"] == "numeric"}

    words = ("--to", "c", "--range", "b=0:7", "--range", "-3:99", "--out", tmp_path / "one")
    assert run("export", tmp_path / "m.json", *words)[0] == 0
    assert ranges(tmp_path / "one") == {"a": (-3, 99), "b": (0, 7)}
    clf.export("c", tmp_path / "two", ranges=(-3, "99"))
    assert ranges(tmp_path / "two") == {"a": (-3, 99), "b": (-3, 99)}
    with pytest.raises(InputError, match="the range of column 'a' must go from a number to a larger one"):
        clf.export("c", tmp_path / "three", ranges=(4, 3))


def test_folders_of_others_are_refused(run, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    words = ("--to", "c", "--scale", "2")
    code, _, err = run("export", model, *words, "--out", out)
    assert code == 2 and "holds other files, such as notes.txt" in err and listing(out) == ["notes.txt"]
    code, _, err = run("export", model, *words, "--out", out / "notes.txt")
    assert code == 2 and "is no folder" in err
    (out / "notes.txt").unlink()
    assert run("export", model, *words, "--out", out)[0] == 0
    code, _, err = run("export", model, *words, "--out", out, "--name", "other")
    assert code == 2 and "holds an export of the name 'my_model'" in err
    (out / MANIFEST).write_text('{"name": "my_model", "files": ["../rows.csv", "my_model.c"]}')
    code, _, err = run("export", model, *words, "--out", out)
    assert code == 2 and "holds other files" in err
    (out / MANIFEST).write_text("[]")
    code, _, err = run("export", model, *words, "--out", out)
    assert code == 2 and "is no list of the files of an export" in err


def test_a_compiler_is_needed_for_a_check_only(run, model, table, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    words = ("--to", "c", "--scale", "2", "--out", tmp_path / "out")
    code, _, err = run("export", model, *words, "--check", table)
    assert code == 2 and "the compiler 'no-such-compiler' of the variable CC is not there" in err
    assert run("export", model, *words)[0] == 0
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="no C compiler is installed"):
        host.compiler()


def test_all_files_or_none(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_folder(out, {"a": b"1", "sub/b": b"2"})
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_folder(out, {"a": b"3", "more/c": b"4"})
    assert listing(out) == ["a", "sub/b"] and (out / "a").read_bytes() == b"1" and not (out / "more").exists()


EXAMPLES = {
    "arduino": ("examples/selftest/selftest.ino", "void setup(); int main(void) { setup(); return 0; }"),
    "platformio": ("examples/selftest/src/main.c", ""),
    "esp-idf": ("examples/selftest/main/main.c", "void app_main(void); int main(void) { app_main(); return 0; }"),
    "zephyr": ("samples/selftest/src/main.c", ""),
}
STUBS = {
    "Arduino.h": ARDUINO_H,
    "zephyr/kernel.h": "",
    "zephyr/sys/printk.h": "#include <stdio.h>\n#define printk printf\n",
}


@pytest.mark.parametrize("target", EXAMPLES)
@needs_cc
def test_packages_build_their_examples(run, model, table, tmp_path, target):
    out = tmp_path / "pkg"
    assert run("export", model, "--to", target, "--out", out, "--check", table, "--scale", "2", "--name", "net")[0] == 0
    example, main = EXAMPLES[target]
    text = (out / example).read_text()
    build = tmp_path / "build"
    write_folder(build, {path: stub.encode() for path, stub in STUBS.items()})
    sketch = target == "arduino"
    (build / ("main.cpp" if sketch else "main.c")).write_text(
        ('#include "Arduino.h"\n' if sketch else "") + text + main
    )
    includes = [f"-I{build}", *(f"-I{out / folder}" for folder in ("include", "src"))]
    if sketch and shutil.which("c++") is None:
        pytest.skip("not installed: c++")
    for source in (out / "src" / "net.c", out / "src" / "net_selftest.c"):
        subprocess.run(["cc", "-std=c99", *includes, "-c", source], cwd=build, check=True)
    words = ["c++", "main.cpp"] if sketch else ["cc", "-std=c99", "main.c"]
    subprocess.run([*words, *includes, "-o", "main", "net.o", "net_selftest.o"], cwd=build, check=True)
    said = subprocess.run([build / "main"], capture_output=True, check=True).stdout
    assert said == b"net: wrong answers: 0\n"
    version = json.loads((out / MANIFEST).read_text())["bdnn"]
    manifests = [
        path for path in listing(out) if path.endswith(("properties", "library.json", "component.yml", "Kconfig"))
    ]
    assert any(version in (out / path).read_text() for path in manifests)


def test_the_targets_have_what_a_target_has():
    assert [*TARGETS] == [target.name for target in TARGETS.values()]
    assert all(target.summary for target in TARGETS.values())


@needs_cc
def test_estimators_export_themselves(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 10, (60, 4)).astype(float)
    y = np.array(["a", "b", "c"])[(X[:, 0] > 4).astype(int) + (X[:, 1] > 6)]
    clf = BDNNClassifier((2,), method="local_search", weights="integer", time_limit=0.2, random_state=0).fit(X, y)
    done = clf.export("c", tmp_path / "one", data=X, check=X[:20], ranges={"x0": (0, 9)})
    assert done.n_checked == 20 and str(tmp_path / "one" / "model.c") in done.files
    ensemble = BDNNEnsembleClassifier(clf, scheme="one_vs_one", n_estimators=1, time_limit=0.5, random_state=0).fit(
        X, y
    )
    assert ensemble.export("c", tmp_path / "many", check=X, optimize="speed").n_checked == 60
    with pytest.raises(InputError, match="optimize must be one of 'size', 'speed'"):
        clf.export("c", tmp_path / "two", optimize="beauty")
    real = BDNNClassifier((2,), time_limit=0.2, random_state=0).fit(X, y)
    with pytest.raises(InputError, match=r"continuous weights.*\(--data\)"):
        real.export("c", tmp_path / "two")
    assert real.export("c", tmp_path / "two", data=X, check=X).n_checked == 60


@pytest.mark.parametrize("settings", [{"max_features": 2, "thresholds": 2}, {"thresholds": 4}, {}])
@pytest.mark.parametrize("hidden", [(), (2,)])
def test_levels_that_are_new_are_decided_as_by_predict(tmp_path, settings, hidden):
    """Integers of continuous weights are free to do anything with what no row has."""
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"a": rng.integers(0, 51, 300), "b": rng.integers(0, 51, 300),
                          "c": rng.choice(["red", "blue", "green"], 300)})  # fmt: skip
    y = np.where(rng.random(300) < 0.9, table["a"] + table["b"] > 50, rng.random(300) < 0.5).astype(int)
    clf = BDNNClassifier(hidden, time_limit=0.5, random_state=0, **settings).fit(table, y)
    new = table[:100].assign(c="violet")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="levels that were not seen")
        done = clf.export("micropython", tmp_path / "out", data=table, check=new)
    assert done.n_checked == 100
    weights = clf.network_.layers[0].weights
    if not np.any(weights[:, [name.startswith("c=") for name in clf.network_.feature_names]]):
        assert "c" not in [each.column for each in done.program.inputs]


def test_the_header_holds_the_hash_of_a_certificate(run, model, tmp_path):
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1]
    clf = BDNNClassifier((), method="exact", certificate=True, random_state=0).fit(X, y)
    proof, out = tmp_path / "proof.json", tmp_path / "out"
    bdnn.save_certificate(clf.result_.certificate, proof)
    clf.export("c", out, data=X, certificate=proof)
    digest = hashlib.sha256(proof.read_bytes()).hexdigest()
    assert f"certificate (SHA-256): {digest}" in (out / "model.h").read_text()
    other = BDNNClassifier((), weights="integer", time_limit=0.2, random_state=0).fit([[0], [1]], [0, 1])
    with pytest.raises(InputError, match="2 inputs"):
        other.export("c", tmp_path / "none", certificate=proof)
    proof.write_bytes(b"{}")
    with pytest.raises(InputError, match="is no certificate"):
        clf.export("c", tmp_path / "none", data=X, certificate=proof)
    code, _, said = run("export", model, "--to", "c", "--out", tmp_path / "none", "--scale", 2, "--certificate", proof)
    assert code == 2 and "is no certificate" in said and not (tmp_path / "none").exists()


@needs_cc
def test_what_does_not_compile_is_an_error(tmp_path, monkeypatch):
    X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
    clf = BDNNClassifier((), weights="integer", time_limit=0.2, random_state=0).fit(X, y)
    monkeypatch.setattr(C, "files", lambda self, request: {f"{request.name}.c": "#error no\n", f"{request.name}.h": ""})
    with pytest.raises(ExportError, match="failed with code"):
        clf.export("c", tmp_path / "out", check=X)
    assert not (tmp_path / "out").exists()


def test_names():
    assert (
        name_of("My model (2)") == "my_model_2" and name_of("2nd") == "model_2nd" and name_of("while") == "while_model"
    )
    assert name_of("é" * 90) == "e" * 40
    for name in ("a b", "", "x" * 41, "é", "int", "module"):
        with pytest.raises(InputError, match="give one of letters, digits and underscores"):
            checked_name(name)


@needs_cc
@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_layers_of_more_than_255_neurons(tmp_path, optimize):
    """What counts neurons of one layer may count those of another, too."""
    rng = np.random.default_rng(0)
    hidden = np.where(rng.random((300, 30)) < 0.5, rng.choice([-1, 1], (300, 30)), 0)
    layers = [(hidden, -(hidden > 0).sum(axis=1)), (rng.integers(-3, 4, (1, 300)), [5])]
    network = Network(layers, head="threshold", classes=[0, 1])
    clf = bdnn.from_bytes(network.to_bytes(), network.schema)
    X = rng.integers(0, 2, (200, 30))
    assert clf.export("c", tmp_path / "wide", check=X, optimize=optimize, ranges=(0, 1)).n_checked == 200


def test_values_that_no_scale_has_are_to_be_rounded(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    clf = BDNNClassifier((), method="local_search", weights="integer", time_limit=0.2, random_state=0)
    clf.fit(X, (X[:, 0] > X[:, 1]).astype(int))
    with pytest.raises(InputError, match=r"on the scale 1000; no scale of 16 bits .* to 3 decimals"):
        clf.export("c", tmp_path / "raw", check=X, scale=1000)
    with pytest.raises(InputError, match=r"on the scale 10; declare a finer one with --scale x0=1000"):
        clf.export("c", tmp_path / "raw", check=X.round(3), scale=10)
    assert not (tmp_path / "raw").exists()
