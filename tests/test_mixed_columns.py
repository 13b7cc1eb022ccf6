"""Tables of mixed columns through estimators, ensembles, files and fresh processes."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import get_tags

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network, load
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators.frames import raw_table

LISTS = {
    "size": [1.5, None, 3.0, 4.25, 5.0, 6.0, 0.5, 2.0],
    "color": ["red", "blue", None, "red", " red", "green", "blue", "green"],
    "old": [True, False, None, True, False, False, True, None],
    "count": [1, 2, None, 4, 5, 6, 7, 8],
    "grade": ["a", "b", "a", None, "b", "a", "b", "a"],
    "born": [datetime.date(2000, 1, 31), None, *(datetime.date(1990, 5, 1 + d) for d in range(6))],
    "seen": [datetime.datetime(2024, 1, 1, 13), None, *(datetime.datetime(2024, 1, 1 + d, d) for d in range(6))],
}
Y = np.array(["no", "yes"] * 4)
SETTINGS = {"method": "local_search", "hidden_layer_sizes": (3,), "time_limit": 0.3, "random_state": 0}
BITS = SETTINGS | {"missing_indicator": "always"}


def pandas_frame():
    return pd.DataFrame(
        {
            "size": LISTS["size"],
            "color": pd.Series(LISTS["color"], dtype="string"),
            "old": pd.array(LISTS["old"], dtype="boolean"),
            "count": pd.array(LISTS["count"], dtype="Int64"),
            "grade": pd.Categorical(LISTS["grade"]),
            "born": LISTS["born"],
            "seen": pd.to_datetime(pd.Series(LISTS["seen"])),
        }
    )


def object_frame():
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in LISTS.items()})


def arrow_backed_frame():
    pytest.importorskip("pyarrow")
    return pandas_frame().convert_dtypes(dtype_backend="pyarrow").astype({"grade": "category"})


def polars_frame():
    polars = pytest.importorskip("polars")
    return polars.DataFrame(LISTS).with_columns(polars.col("grade").cast(polars.Categorical))


def arrow_table():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(LISTS)
    return table.set_column(4, "grade", table["grade"].dictionary_encode())


FRAMES = [pandas_frame, object_frame, arrow_backed_frame, polars_frame, arrow_table]


def unwarned(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args)


def fitted(settings=BITS, table=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BDNNClassifier(**settings).fit(pandas_frame() if table is None else table, Y)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_table_is_the_same_whoever_keeps_it(frame):
    clf = fitted()
    X = clf.encoder_.transform(raw_table(pandas_frame()))
    np.testing.assert_array_equal(clf.encoder_.transform(raw_table(frame())), X)
    assert unwarned(clf.predict, frame()).tolist() == clf.network_.predict(X).tolist()
    assert fitted(table=frame()).encoder_ == clf.encoder_


def test_a_list_of_rows_is_a_table_without_names():
    rows = [list(row) for row in zip(*LISTS.values(), strict=True)]
    clf, named = fitted(table=rows), fitted()
    assert not hasattr(clf, "feature_names_in_") and clf.n_features_in_ == 7
    np.testing.assert_array_equal(
        clf.encoder_.transform(raw_table(rows)), named.encoder_.transform(raw_table(pandas_frame()))
    )
    assert clf.network_.feature_names[:3] == ("x0", "x0 missing", "x1=blue")
    assert unwarned(clf.predict, rows).tolist() == unwarned(named.predict, pandas_frame()).tolist()


def test_inputs_have_names_and_columns_too():
    clf = fitted()
    assert clf.feature_names_in_.tolist() == list(LISTS) and clf.n_features_in_ == len(LISTS)
    assert clf.network_.feature_names == clf.encoder_.input_names
    assert clf.network_.feature_names[:6] == (
        "size",
        "size missing",
        "color=blue",
        "color=green",
        "color=red",
        "color missing",
    )
    assert clf.score(pandas_frame(), Y) == np.mean(clf.predict(pandas_frame()) == Y)
    assert clf.decision_function(pandas_frame()).shape == (8,)


def test_tags_say_what_is_taken():
    for estimator in (BDNNClassifier(), BDNNEnsembleClassifier()):
        tags = get_tags(estimator).input_tags
        assert tags.allow_nan and tags.categorical and tags.string


FRESH = """
import json, sys
import pandas as pd
import bdnn
clf = bdnn.load(sys.argv[1])
frame = pd.read_pickle(sys.argv[2])
print(json.dumps([clf.predict(frame).tolist(), clf.decision_function(frame).tolist()]))
"""


@pytest.mark.parametrize("ensemble", [False, True])
def test_files_predict_the_same_in_a_fresh_process(ensemble, tmp_path):
    clf = fitted(BITS | {"thresholds": 3})
    if ensemble:
        member = BDNNClassifier(**BITS | {"thresholds": 3, "weights": "integer"})
        clf = BDNNEnsembleClassifier(member, n_estimators=3, max_features=0.5, time_limit=0.6, random_state=0)
        clf.fit(pandas_frame(), Y)
    frame = pandas_frame()
    frame.loc[0, "color"] = "never seen"
    clf.save(tmp_path / "model.json")
    frame.to_pickle(tmp_path / "frame.pkl")
    assert json.loads((tmp_path / "model.json").read_text())["version"] == 2
    command = [sys.executable, "-W", "ignore", "-c", FRESH, tmp_path / "model.json", tmp_path / "frame.pkl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    with pytest.warns(UserWarning, match="not seen in the training, in 1 row of column 'color'"):
        assert json.loads(done.stdout) == [clf.predict(frame).tolist(), clf.decision_function(frame).tolist()]
    again = load(tmp_path / "model.json")
    assert again.encoder_ == clf.encoder_ and again.n_features_in_ == 7
    assert again.feature_names_in_.tolist() == list(LISTS)


def test_numbers_alone_are_files_of_the_first_version(tmp_path):
    X = np.random.default_rng(0).normal(size=(12, 2))
    clf = BDNNClassifier(**SETTINGS).fit(X, np.arange(12) % 2)
    clf.save(tmp_path / "model.json")
    assert json.loads((tmp_path / "model.json").read_text())["version"] == 1
    again = load(tmp_path / "model.json")
    gap = [[np.nan, 1.0]]
    middle = [[np.sort(X[:, 0])[5], 1.0]]  # the lower median is kept
    assert again.decision_function(gap).tolist() == clf.decision_function(middle).tolist()
    assert not hasattr(again, "feature_names_in_") and again.network_.feature_names is None


def test_arrays_of_numbers_are_inputs_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr(Network, "predict", lambda self, X: seen.append(X) or np.zeros(len(X)))
    for dtype in (np.float64, np.float32):
        X = np.random.default_rng(0).normal(size=(12, 2)).astype(dtype)
        clf = BDNNClassifier(**SETTINGS).fit(X, np.arange(12) % 2)
        clf.predict(X)
        assert seen.pop() is X  # not even copied


def test_nan_in_arrays_is_missing():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    X[(y == 1) & (np.arange(60) % 3 > 0), 0] = np.nan
    for dtype in (np.float64, np.float32):
        clf = BDNNClassifier((), method="local_search", time_limit=0.3, random_state=0).fit(X.astype(dtype), y)
        assert clf.network_.feature_names == ("x0", "x0 missing", "x1")
        assert clf.predict(X.astype(dtype)).shape == (60,)
        assert clf.score(X.astype(dtype), y) >= 40 / 60  # the gaps alone tell so much


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ("from_dtype", "numeric categorical categorical"),
        (None, "numeric numeric categorical"),
        ([0], "categorical numeric categorical"),
        (["a", "b"], "categorical categorical categorical"),
        ([True, False, False], "categorical numeric categorical"),
        (np.array([False, True, False]), "numeric categorical categorical"),
    ],
)
def test_which_columns_are_categorical(setting, kinds):
    frame = pd.DataFrame({"a": [1, 2, 3, 1], "b": pd.Categorical([1.0, 2.0, 1.0, 2.0]), "c": ["x", "y", "y", "x"]})
    clf = BDNNClassifier((), categorical_features=setting, random_state=0).fit(frame, [0, 1, 1, 0])
    assert " ".join(code.kind for code in clf.encoder_.columns) == kinds
    assert clf.predict(frame).tolist() == [0, 1, 1, 0]


def test_an_array_of_codes_is_categorical_where_that_is_said():
    X = np.array([[0.0, 1.0], [1.0, 5.0], [2.0, 2.0], [0.0, 3.0]])
    clf = BDNNClassifier((), categorical_features=[0], random_state=0).fit(X, [0, 1, 0, 0])
    assert clf.network_.feature_names == ("x0=0", "x0=1", "x0=2", "x1")
    with pytest.warns(UserWarning, match="1 row of column 'x0'"):
        clf.predict([[7.0, 1.0]])


@pytest.mark.parametrize("setting", ["all", 3, [7], ["z"], [True], [1.5]])
def test_odd_categorical_features_are_refused(setting):
    with pytest.raises(InputError, match="categorical_features must be"):
        BDNNClassifier(categorical_features=setting).fit(np.zeros((4, 2)), [0, 1, 0, 1])


@pytest.mark.parametrize("name", ["max_categories", "min_frequency", "missing_indicator", "thresholds"])
def test_odd_options_are_refused_by_both_estimators(name):
    clf = BDNNClassifier(**{name: "odd"})
    for estimator in (clf, BDNNEnsembleClassifier(clf)):
        with pytest.raises(InputError, match=f"{name} must be"):
            estimator.fit(np.zeros((4, 2)), [0, 1, 0, 1])


def test_a_raw_table_is_taken_by_name():
    table = raw_table(pandas_frame())
    clf = fitted(table=table)
    assert clf.encoder_ == fitted().encoder_
    more = RawTable((RawColumn("more", "numeric", np.zeros(8)), *table.columns[::-1]))
    assert clf.predict(more).tolist() == clf.predict(table).tolist()
    with pytest.raises(InputError, match="inputs have no column 'size'"):
        clf.predict(RawTable(table.columns[1:]))


def test_other_columns_than_those_of_the_training_are_refused():
    clf = fitted()
    with pytest.raises(ValueError, match="yet now missing"):
        clf.predict(pandas_frame().drop(columns="size"))
    with pytest.raises(InputError, match="column 'size' holds 'large', but was trained on as numbers"):
        clf.predict(pandas_frame().assign(size="large"))
    with pytest.raises(InputError, match="column 'born' is numeric, but was trained on as date"):
        clf.predict(pandas_frame().assign(born=3))


def test_a_start_keeps_its_encoder():
    clf = fitted(BITS | {"warm_start": True})
    first, frame = clf.encoder_, pandas_frame().iloc[:, ::-1].iloc[1:]
    frame.loc[3, "color"] = "never seen"
    with pytest.warns(UserWarning, match="1 row of column 'color'"):
        clf.fit(frame, Y[1:])
    assert clf.encoder_ == first.for_columns(list(frame.columns)) and clf.encoder_ != first
    assert clf.result_.history[0].source == "start"
    with pytest.raises(InputError, match="the data lack 'size' and also have 'SIZE'"):
        clf.fit(frame.rename(columns={"size": "SIZE"}), Y[1:])


def test_encoders_are_made_of_training_rows_only():
    frame = pd.DataFrame({"a": np.arange(40.0), "b": [f"{i % 2}{'x' * (i == 7)}" for i in range(40)]})
    settings = SETTINGS | {"validation_fraction": 0.5}
    levels = set()
    for seed in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf = BDNNClassifier(**settings | {"random_state": seed}).fit(frame, np.arange(40) // 2 % 2)
        levels.add(clf.encoder_.columns[1].levels)
    assert levels == {("0", "1"), ("0", "1", "1x")}


def test_robust_radii_are_those_of_numeric_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=20), "b": ["x", "y"] * 10, "c": rng.normal(size=20)})
    y = (frame["a"] + (frame["b"] == "x") > 0.4).to_numpy()
    seen = []
    for radius in (0.1, [0.1, 5.0, 0.0]):
        clf = BDNNClassifier((), robust_radius=radius, random_state=0, time_limit=5).fit(frame, y)
        found = clf.network_.layers
        seen.append(len(found[0].weights[0]))
    assert seen == [3, 3]
    with pytest.raises(InputError, match="robust_radius must be a number or one per column"):
        BDNNClassifier((), robust_radius=[0.1, 0.2]).fit(frame, y)
    with pytest.raises(InputError, match="with thresholds the network sees only bits"):
        BDNNClassifier((), robust_radius=0.1, thresholds=2).fit(frame, y)


def test_an_ensemble_makes_one_encoder():
    member = BDNNClassifier((2,), method="local_search", weights="integer", max_categories=2, thresholds=2)
    clf = BDNNEnsembleClassifier(member, n_estimators=4, max_features=3, time_limit=0.5, random_state=0)
    clf.fit(pandas_frame(), Y)
    assert {len(m.features) for m in clf.members_} == {3}
    assert clf.encoder_.columns[1].rare == ("blue", "green") and clf.n_features_in_ == 7
    X = clf.encoder_.transform(raw_table(pandas_frame()))
    seen = [m.network.predict_index(X[:, m.features]) for m in clf.members_]
    assert np.all(clf.votes(pandas_frame())[0].sum(axis=1) == 4) and len(seen) == 4
    np.testing.assert_array_equal(clf.votes(pandas_frame())[0][:, 1], np.sum(seen, axis=0))


def test_bits_for_thresholds():
    X = np.array([[30.0], [39.0], [40.0], [65.0]])
    clf = BDNNClassifier((), thresholds=3, random_state=0).fit(X, [0, 0, 1, 1], feature_names=["age"])
    assert clf.network_.feature_names == ("age>=34.5", "age>=39.5", "age>=52.5")
    assert clf.encoder_.transform(RawTable((RawColumn("age", "numeric", np.array([39.5, 39.4])),)))[:, 1].tolist() == [
        1,
        0,
    ]
    assert clf.predict(X).tolist() == [0, 0, 1, 1]


TABLE = """age,job,smoker,score,class
20,cook,yes,1.5,well
31,nurse,no,,well
44,clerk,no,0.5,well
39,cook,yes,2.5,ill
52,nurse,no,0.5,ill
61,clerk,yes,,ill
47,cook,no,-1.5,well
55,nurse,yes,1.0,ill
"""


@pytest.mark.parametrize("more", [(), ("--thresholds", 3)], ids=["numbers", "thresholds"])
def test_the_command_certifies_levels_and_writes_cells(run, tmp_path, more):
    data, model, out = tmp_path / "t.csv", tmp_path / "m.json", tmp_path / "attacks.csv"
    data.write_text(TABLE)
    words = ("--target", "class", "--hidden", "none", "--test-fraction", 0, "--quiet", *more)
    assert run("train", data, *words, "--out", model)[0] == 0
    counts = []
    for level_changes in (0, 1):
        asked = ("certify", model, data, "--radius", 2, "--level-changes", level_changes, "--quiet")
        code, text, _ = run(*asked, "--json", "--out", out)
        found = json.loads(text)
        counts.append(sum(found["robust"]))
        attacks = pd.read_csv(out, keep_default_na=False)
        assert code == 0 and list(attacks)[3:] == ["age", "job", "smoker", "score"]
        raw = pd.read_csv(data, keep_default_na=False).iloc[attacks["row"]]
        moved = (attacks[["job", "smoker"]].to_numpy() != raw[["job", "smoker"]].to_numpy()).sum(axis=1)
        assert moved.max(initial=0) <= level_changes
        assert ((attacks["score"] == "") == (raw["score"].to_numpy() == "")).all()  # what is missing stays so
        attacks.assign(**{"class": "ill"}).to_csv(tmp_path / "again.csv", index=False)
        again = run("predict", model, tmp_path / "again.csv")[1].splitlines()[1:]
        assert [line.split(",")[-1] for line in again] == attacks["prediction"].tolist()
    assert counts[0] > counts[1]
    assert run("certify", model, data, "--level-changes", -1)[0] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["encoder"]["columns"].pop(), "the encoder gives .* inputs, but the network takes"),
        (lambda data: data["encoder"]["columns"][0].update(name="SIZE"), "inputs of other names than the network"),
        (lambda data: data["encoder"]["columns"][1].update(levels=["red"] * 3), "must have different levels"),
        (lambda data: data["encoder"].update(named=None), "an encoder must be an object"),
        (lambda data: data.update(encoder=[]), "'encoder' must be of type dict"),
        (lambda data: data.update(version=3), "this bdnn reads versions 1 to 2"),
    ],
)
@pytest.mark.parametrize("ensemble", [False, True])
def test_damaged_encoders_in_files_are_refused(change, message, ensemble, tmp_path):
    clf = fitted()
    if ensemble:
        clf = BDNNEnsembleClassifier(BDNNClassifier(**BITS), n_estimators=1, time_limit=0.2, random_state=0)
        clf.fit(pandas_frame(), Y)
    clf.save(tmp_path / "model.json")
    data = json.loads((tmp_path / "model.json").read_text())
    change(data)
    (tmp_path / "model.json").write_text(json.dumps(data))
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "model.json")


def test_a_lazy_frame_is_answered_with_what_to_do():
    lazy = polars_frame().lazy()
    with pytest.raises(InputError, match=r"X is a LazyFrame.*give X\.collect\(\)"):
        BDNNClassifier(time_limit=1).fit(lazy, [0, 1] * 2)
