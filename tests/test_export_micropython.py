"""The target micropython: plain integers, in the words of MicroPython, that decide as the model."""

import ast
from dataclasses import replace

import numpy as np
import pytest

from bdnn import BDNNClassifier
from bdnn.errors import ExportError
from bdnn.export.micropython import MicroPython, module_text
from export_loop import cases

N_MODELS = 200
TARGET = MicroPython()

WORDS = (
    ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.If,
    ast.For, ast.While, ast.IfExp, ast.ListComp, ast.comprehension, ast.Call, ast.Name, ast.Load, ast.Store,
    ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Subscript, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.BinOp,
    ast.UnaryOp, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.LShift, ast.USub, ast.Lt, ast.Gt, ast.GtE, ast.LtE,
    ast.Eq, ast.In,
)  # fmt: skip
"""What modules may be made of: no import, no f-string, no annotation, no true division."""


@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_modules_decide_as_the_models(optimize):
    for case, request, rows in cases(0, N_MODELS):
        asked = replace(request, optimize=optimize)
        answers = TARGET.decide(asked, TARGET.files(asked), rows)
        assert np.array_equal(answers, request.program.run(rows)), request.name
        assert np.array_equal(answers[: len(case.answers)], case.answers), request.name


@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_modules_are_in_the_words_of_micropython(optimize):
    for _, request, _ in cases(0, N_MODELS)[:60]:
        text = module_text(replace(request, optimize=optimize))
        tree = ast.parse(text)
        odd = {type(node).__name__ for node in ast.walk(tree) if not isinstance(node, WORDS)}
        assert not odd and text.isascii()
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert all(isinstance(value, int | str | bytes) for value in values)
        assert not any(node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg))


def test_large_layers_become_tables_for_size_and_sums_for_speed():
    requests = [request for _, request, _ in cases(0, N_MODELS)]
    small = [module_text(replace(request, optimize="size")) for request in requests]
    fast = [module_text(replace(request, optimize="speed")) for request in requests]
    assert sum("_layer(s" in text for text in small) > N_MODELS / 10
    assert not any("_layer(s" in text for text in fast)


@pytest.fixture(scope="module")
def hostile():
    """A classifier whose names and labels are as bad as they can be."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 50, 80) / 10, rng.integers(0, 3, 80)])
    y = np.where(X[:, 0] > 2.5, 'yes"""', "n\\o\u00fc")
    clf = BDNNClassifier(weights="integer", method="local_search", time_limit=0.3, random_state=0, input_bits=4)
    import pandas as pd

    return clf, pd.DataFrame(X, columns=['C:\\users "x"""', "für\n*/"]), y


def test_names_and_labels_of_any_text(hostile, tmp_path):
    clf, table, y = hostile
    clf.fit(table, y)
    done = clf.export("micropython", tmp_path / "out", name="tank", scale=10, check=table)
    assert done.n_checked == len(table)
    module = {}
    exec((tmp_path / "out" / "tank.py").read_text(encoding="utf-8"), module)
    assert module["TANK_CLASS_NAMES"] == tuple(clf.classes_.tolist())
    where = [place for place, each in enumerate(done.program.inputs) if each.column.startswith("C:")]
    assert where and '\'C:\\users "x"""\'' in module["__doc__"]
    assert module["from_ratio"](where[0], 254, 100) == 25 and module["from_ratio"](where[0], 255, 100) == 26
    assert module["from_ratio"](where[0], -5, 100) == -1


def test_the_self_test_counts(tmp_path, monkeypatch, capsys):
    _, request, _ = next(item for item in cases(0, N_MODELS) if len(item[1].program.inputs) > 1)
    for path, text in TARGET.files(request).items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    selftest = __import__(f"{request.name}_selftest")
    assert selftest.wrong() == 0
    assert capsys.readouterr().out == f"{len(request.rows)} of {len(request.rows)} rows equal\n"
    monkeypatch.setattr(selftest, "ROWS", [(x, answer + 1) for x, answer in selftest.ROWS])
    assert selftest.wrong() == len(request.rows)


def test_a_wrong_module_is_refused(hostile, tmp_path, monkeypatch):
    clf, table, y = hostile
    clf.fit(table, y)
    text = module_text
    monkeypatch.setattr(
        "bdnn.export.micropython.module_text",
        lambda request: text(request).replace(">= 0", "> 0").replace(" + ", " - "),
    )
    with pytest.raises(ExportError, match="of 80 rows equal: the files decide row"):
        clf.export("micropython", tmp_path / "out", scale=10, check=table)
    assert not (tmp_path / "out").exists()
