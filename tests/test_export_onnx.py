"""The target onnx: models that decide as ours in onnxruntime, on values as they are in the table."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, CompactBDNNClassifier, Network
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import ExportError, InputError, MissingDependencyError
from bdnn.export import onnx_file, onnx_target
from bdnn.export.inputs import Interface
from bdnn.export.onnx_target import Onnx
from bdnn.export.request import ModelRequest
from bdnn.export.steps import doubles
from export_loop import cases

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

N_MODELS = 200
TARGET = Onnx()


def asked(case, name="model"):
    return ModelRequest(model=case.model, name=name, table=None, interface=case.interface)


def table_of(program, encoder, rows):
    """The values that device integers stand for."""
    place = {each.column: number for number, each in enumerate(program.inputs)}
    columns = []
    for code in encoder.columns:
        each = program.inputs[place[code.name]] if code.name in place else None
        k = rows[:, place[code.name]] if each else np.zeros(len(rows), dtype=np.int64)
        gap = np.zeros(len(rows), dtype=bool) if each is None or each.missing is None else k == each.missing
        if code.kind == "categorical":
            levels = (*code.levels, *code.rare[:1], "never seen")
            columns.append(RawColumn(code.name, code.kind, np.where(gap, -1, k).astype(np.int32), levels))
        else:
            values = doubles(k, each.scale if each else 1)
            columns.append(RawColumn(code.name, code.kind, np.where(gap, np.nan, values)))
    return RawTable(tuple(columns))


def test_models_decide_as_the_networks_and_as_the_integer_programs():
    seen, refused = set(), 0
    for case, request, rows in cases(0, N_MODELS):
        try:
            files = TARGET.files(asked(case))
        except InputError:  # 64 bits are too few where no range is declared
            refused += 1
            continue
        more = table_of(request.program, case.model.encoder_in_use, rows)
        both = [TARGET.decide(asked(case), files, table) for table in (case.table, more)]
        assert np.array_equal(both[0], case.answers), request.name
        assert np.array_equal(both[1], request.program.run(rows)), request.name
        seen |= {node.op_type for node in onnx.load_from_string(files["model.onnx"]).graph.node}
    assert {"MatMul", "Add", "GreaterOrEqual", "ArgMax", "Where", "LabelEncoder", "Round", "IsNaN"} <= seen
    assert "Gemm" not in seen and refused < N_MODELS / 20


def test_layers_are_in_integers():
    kinds = set()
    for case, _, _ in cases(0, N_MODELS)[:60]:
        graph = onnx.load_from_string(TARGET.files(asked(case))["model.onnx"]).graph
        constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
        products = [constants[node.input[1]] for node in graph.node if node.op_type == "MatMul"]
        kinds |= set(products)
        hidden = products[1:] if case.model.encoder_in_use.is_identity else []
        assert set(hidden) <= {onnx.TensorProto.INT32, onnx.TensorProto.INT64}
    assert {onnx.TensorProto.INT32, onnx.TensorProto.INT64} <= kinds


@pytest.fixture(scope="module")
def mixed():
    """A classifier of numbers, truth values and levels with gaps, and its table."""
    rng = np.random.default_rng(1)
    m = 120
    table = pd.DataFrame({
        "size (cm)": np.where(rng.random(m) < 0.1, np.nan, rng.normal(170, 10, m)),
        "color": pd.Series(rng.choice(["red", "grün", "blue"], m)).where(rng.random(m) < 0.9),
        "paid": rng.random(m) < 0.5,
    })  # fmt: skip
    y = np.where((table["size (cm)"].fillna(170) > 172) ^ (table["color"] == "red"), "ja", "nö")
    clf = BDNNClassifier((3,), weights="integer", method="local_search", time_limit=0.5, random_state=0)
    return clf.fit(table, y), table


def test_values_as_they_are_in_the_table(mixed, tmp_path):
    clf, table = mixed
    done = clf.export("onnx", tmp_path / "out", name="tall", check=table)
    assert done.n_checked == len(table) and done.program is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bdnn-export.json", "tall.onnx"]
    session = runtime.InferenceSession(tmp_path / "out" / "tall.onnx")
    assert {each.name: (each.type, each.shape) for each in session.get_inputs()} == {
        "size (cm)": ("tensor(double)", ["rows", 1]), "color": ("tensor(string)", ["rows", 1]),
        "paid": ("tensor(double)", ["rows", 1]),
    }  # fmt: skip
    given = {
        "size (cm)": table[["size (cm)"]].to_numpy(), "paid": table[["paid"]].to_numpy(dtype=float),
        "color": table[["color"]].fillna("").to_numpy(dtype=object),
    }  # fmt: skip
    label, index = session.run(["label", "index"], given)
    assert label.tolist() == clf.predict(table).tolist()
    assert np.array_equal(clf.classes_[index], label)
    one = session.run(["label"], {name: values[:1] for name, values in given.items()})[0]
    assert one.tolist() == label[:1].tolist()
    props = {each.key: each.value for each in onnx.load(tmp_path / "out" / "tall.onnx").metadata_props}
    assert [each["missing"] for each in json.loads(props["columns"])] == ["NaN", "", "NaN"]


def test_every_double_is_decided_as_by_predict():
    """Values at the ends of the grid's points and next to them, to the last bit."""
    rng = np.random.default_rng(2)
    X = np.round(rng.normal(0, 3, (60, 2)), 2)
    clf = BDNNClassifier(weights="integer", method="local_search", time_limit=0.4, random_state=0, input_bits=4)
    clf.fit(X, X[:, 0] + X[:, 1] > 0)
    grid = clf.network_.grid
    points = (grid.offset + grid.step * (np.arange(-2, 18)[:, None] + 0.5)).ravel()
    near = np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf), [1e300, -1e300]])
    rows = np.column_stack([near, rng.permutation(near)])
    files = TARGET.files(ModelRequest(model=clf._contents(), name="model", table=None, interface=Interface()))
    (index,) = onnx_file.ran(files["model.onnx"], {"X": rows}, ("index",))
    assert np.array_equal(clf.classes_[index], clf.predict(rows))
    assert len(set(index.tolist())) == 2


def test_columns_that_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (60, 6)).astype(float)
    clf = CompactBDNNClassifier(max_bytes=12, time_limit=0.5, random_state=0).fit(X, (X[:, 2] > 4).astype(int))
    assert not all(code.used for code in clf.encoder_.columns)
    assert clf.export("onnx", tmp_path / "out", check=X).n_checked == 60


@pytest.mark.parametrize("labels", [[False, True], [-3, 7], [1.0, 2.0], ["a", "ß"]])
def test_labels_keep_their_kind(labels, tmp_path):
    X = np.array([[0], [1], [2], [3]])
    clf = BDNNClassifier(weights="integer", method="local_search", time_limit=0.2, random_state=0)
    clf.fit(X, np.array(labels)[[0, 0, 1, 1]])
    clf.export("onnx", tmp_path / "out", check=X)
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    found = session.run(["label"], {"X": X.astype(np.float64)})[0].tolist()
    assert found == clf.predict(X).tolist() and type(found[0]) is type(labels[0])


def test_continuous_weights_become_integers_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    X = rng.normal(0, 1, (40, 2))
    clf = BDNNClassifier(method="local_search", time_limit=0.2, random_state=0).fit(X, X[:, 0] > 0.1)
    with pytest.raises(InputError, match="the network has continuous weights"):
        clf.export("onnx", tmp_path / "out")
    calls, real = [], Network.to_integer
    monkeypatch.setattr(Network, "to_integer", lambda *a, **k: calls.append(1) or real(*a, **k))
    assert clf.export("onnx", tmp_path / "out", check=X).n_checked == 40
    assert len(calls) == 1


def test_a_wrong_model_is_refused(mixed, tmp_path, monkeypatch):
    clf, table = mixed
    right = onnx_target.write_networks

    def wrong(graph, inputs, parts, ranges, output):
        index = right(graph, inputs, parts, ranges)
        return graph.add("Sub", graph.integers(1), index, output=output)

    monkeypatch.setattr(onnx_target, "write_networks", wrong)
    with pytest.raises(ExportError, match="0 of 120 rows equal: the files decide row 1 first"):
        clf.export("onnx", tmp_path / "out", check=table)
    assert not (tmp_path / "out").exists()


def test_what_is_refused(mixed, tmp_path, monkeypatch):
    clf, table = mixed
    with pytest.raises(InputError, match="takes the values of the table as they are; leave --scale out"):
        clf.export("onnx", tmp_path / "out", scale=10)
    with pytest.raises(InputError, match="a radius is for the target vnnlib, not for 'c'"):
        clf.export("c", tmp_path / "out", radius=0.1, data=table)
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="needs onnx and onnxruntime, which are not installed; run: pip"):
        clf.export("onnx", tmp_path / "out", check=table)


@pytest.mark.parametrize("weights", ["integer", "continuous"])
def test_pipelines_of_scikit_learn(weights):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.datasets import load_iris
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bdnn.export.sklearn_onnx import register

    register(BDNNClassifier, BDNNEnsembleClassifier)
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    clf = BDNNClassifier((2,), weights=weights, method="local_search", time_limit=0.3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of skl2onnx
        for model, target in ((clf, y), (make_pipeline(StandardScaler(), clf), names)):
            model.fit(X, target)
            converted = skl2onnx.to_onnx(model, X[:1])
            session = runtime.InferenceSession(converted.SerializeToString())
            assert [each.name for each in session.get_outputs()] == ["label"]
            assert session.run(None, {"X": X})[0].tolist() == model.predict(X).tolist()
        ensemble = BDNNEnsembleClassifier(clf.set_params(time_limit=0.05), n_estimators=2).fit(X, y)
        if weights == "integer":
            session = runtime.InferenceSession(skl2onnx.to_onnx(ensemble, X[:1]).SerializeToString())
            assert session.run(None, {"X": X})[0].tolist() == ensemble.predict(X).tolist()
        else:
            with pytest.raises(InputError, match="ensembles of continuous weights"):
                skl2onnx.to_onnx(ensemble, X[:1])
