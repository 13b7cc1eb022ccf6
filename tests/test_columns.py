"""Named columns: wherever a table with names meets a network or model that has names, the names decide."""

import narwhals
import numpy as np
import pandas as pd
import pytest

import bdnn
from bdnn import BDNNClassifier, Network, Problem, attack, certify
from bdnn.columns import in_order, names_of
from bdnn.errors import InputError
from bdnn.network.grid import InputGrid
from bdnn.polish import polished
from bdnn.problem.audit import audit
from bdnn.reports.contents import Source

NAMES = ["a", "b", "c"]
X = pd.DataFrame(
    {"a": [100.0, 200.0, 300.0, 400.0], "b": [1.0, -1.0, 2.0, -2.0], "c": [0.5, 0.25, 0.125, 0.75]}, columns=NAMES
)
Y = np.array(["no", "yes", "no", "yes"])
NET = Network([([[0.0, -1.0, 0.01]], [0.0])], head="threshold", classes=["no", "yes"], feature_names=NAMES)
MIXED = X[["c", "a", "b"]]
MORE = MIXED.assign(note="text").iloc[:, [3, 0, 1, 2]]
EXACT = {"method": "exact", "hidden_layer_sizes": (), "incumbents": "none", "formulation": "big_m", "solver": "highs"}


class Plain:
    """A frame of another library: names, columns by name, and nothing else."""

    def __init__(self, frame):
        self.columns, self._frame = list(frame.columns), frame

    def __getitem__(self, name):
        return self._frame[name].to_numpy()


class Interchanged(Plain):
    """A frame whose names are told by the interchange protocol alone."""

    def __init__(self, frame):
        super().__init__(frame)
        self.names, self.columns = self.columns, None

    def __dataframe__(self):
        return self

    def column_names(self):
        return iter(self.names)


FRAMES = [MIXED, MORE, narwhals.from_native(MIXED), narwhals.from_native(MORE), Plain(MORE), Interchanged(MORE)]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_a_network_takes_columns_by_name(frame):
    grid = InputGrid(np.array([0.0, -2.0, 0.0]), np.array([100.0, 1.0, 0.25]), 4)
    quantized = Network([([[1, -3, 0]], [2])], "threshold", [0, 1], grid, NAMES)
    for net in (NET, quantized):
        np.testing.assert_array_equal(net.check_inputs(frame), X.to_numpy())
        np.testing.assert_array_equal(net.predict(frame), net.predict(X.to_numpy()))
        np.testing.assert_array_equal(net.decision_function(frame), net.decision_function(X))
        np.testing.assert_array_equal(net.activations(frame)[0], net.activations(X)[0])
        np.testing.assert_array_equal(net.losses(frame, [0, 1, 0, 1])[0], net.losses(X, [0, 1, 0, 1])[0])
    assert NET.to_integer(frame) == NET.to_integer(X)
    assert polished(NET, frame) == polished(NET, X)


@pytest.mark.parametrize("frame", FRAMES[:2], ids=["mixed", "more"])
def test_robustness_and_reports_take_columns_by_name(frame):
    for settings in ({}, {"frozen": ["b"]}, {"norm": "1", "upper": [500.0, 5.0, 5.0]}):
        found, known = certify(NET, frame, Y, **settings), certify(NET, X.to_numpy(), Y, **settings)
        np.testing.assert_array_equal(found.radius, known.radius)
        np.testing.assert_array_equal(found.attack, known.attack)
        np.testing.assert_array_equal(attack(NET, frame, **settings).distance, attack(NET, X, **settings).distance)
    pages = [bdnn.report(NET, some, Y, points=2, source=Source("t", "y", (), {})) for some in (frame, X)]
    cut = [page.split("<h2>Network")[0] for page in pages]
    assert cut[0] == cut[1] and "100.00%" in cut[0]
    axes = [bdnn.plotting.plot_decision_regions(NET, some, Y, ["a", "b"]) for some in (frame, X)]
    regions = [ax.images[0].get_array() for ax in axes]
    np.testing.assert_array_equal(regions[0], regions[1])


def test_numbers_of_features_are_taken_by_name():
    spread = pd.DataFrame(MORE).drop(columns="note").std()
    assert list(spread.index) == ["c", "a", "b"]
    by_position = spread[NAMES].to_numpy()
    for key, series, values in (
        ("scale", spread, by_position),
        ("lower", -1000 * spread, -1000 * by_position),
        ("upper", 1000 * spread, 1000 * by_position),
        ("frozen", spread > 50, by_position > 50),
        ("integer", spread > 50, by_position > 50),
    ):
        found, known = certify(NET, X, **{key: series}), certify(NET, X, **{key: values})
        np.testing.assert_array_equal(found.radius, known.radius)
    weights = bdnn.plotting.structure._scaled_layers
    np.testing.assert_array_equal(weights(NET, spread)[0][0], weights(NET, by_position)[0][0])
    problem = Problem(X=X, y=Y, robust_radius=spread)
    assert np.asarray(problem.robust_radius).tolist() == by_position.tolist()
    with pytest.raises(InputError, match="the numbers of scale have no column 'b'"):
        certify(NET, X, scale=spread.drop("b"))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (X.drop(columns=["b", "c"]), "inputs have no columns 'b', 'c'; their columns are 'a'"),
        (X.rename(columns={"b": "B"}), "inputs have no column 'b'; their columns are 'a', 'B', 'c'"),
        (pd.concat([MIXED, X[["b"]]], axis=1), "inputs have more than one column 'b'"),
    ],
)
def test_columns_that_are_missing_or_there_twice_are_refused(frame, message):
    for use in (NET.predict, NET.activations, NET.to_integer, lambda some: certify(NET, some)):
        with pytest.raises(InputError, match=message):
            use(frame)


def test_without_names_the_position_decides():
    swapped = X[["b", "a", "c"]]
    nameless = Network(NET.layers, NET.head, NET.classes)
    np.testing.assert_array_equal(nameless.predict(swapped), NET.predict(swapped.to_numpy()))
    numbered = swapped.set_axis([0, 1, 2], axis=1)
    np.testing.assert_array_equal(NET.predict(numbered), NET.predict(swapped.to_numpy()))
    assert names_of(numbered) is None and names_of(X.to_numpy()) is None and names_of([[1.0]]) is None
    twice = X.set_axis(["a", "a", "c"], axis=1)
    assert in_order("X", twice, ["a", "a", "c"]) is twice  # as it was trained


def test_a_start_is_put_in_the_order_of_the_data():
    first = BDNNClassifier(warm_start=True, random_state=0, **EXACT).fit(X, Y)
    assert first.result_.objective == 0
    before = first.network_
    first.fit(MIXED, Y)
    assert (first.result_.history[0].source, first.result_.history[0].objective) == ("start", 0.0)
    assert first.network_.feature_names == ("c", "a", "b")
    np.testing.assert_array_equal(first.network_.predict(X), before.predict(X))
    with pytest.raises(InputError, match=r"the data lack 'b' and also have 'B'"):
        first.fit(X.rename(columns={"b": "B"}), Y)


@pytest.mark.parametrize(
    "settings",
    [
        EXACT,
        {"method": "exact", "hidden_layer_sizes": ()},
        {"method": "local_search", "hidden_layer_sizes": ()},
        {"method": "alternating", "hidden_layer_sizes": (), "incumbents": "none", "solver": "highs"},
        {"method": "data_splitting", "hidden_layer_sizes": (), "incumbents": "none", "solver": "highs"},
        EXACT | {"robust_radius": 0.1, "robust_model": "worst_case"},
    ],
    ids=["big_m", "activation", "local_search", "alternating", "data_splitting", "repair"],
)
def test_every_method_starts_by_name(settings):
    clf = BDNNClassifier(warm_start=True, random_state=0, time_limit=20, **settings)
    clf.network_ = Network([([[0.0, -1.0, 0.0]], [0.0])], "threshold", ["no", "yes"], None, NAMES)
    clf.fit(MIXED, Y)
    assert (clf.result_.history[0].source, clf.result_.history[0].objective) == ("start", 0.0)


def test_grids_of_starts_and_audits_follow_their_columns():
    grid = InputGrid(np.array([0.0, -2.0, 0.0]), np.array([100.0, 1.0, 0.25]), 4)
    net = Network([([[1, -3, 0]], [2])], "threshold", ["no", "yes"], grid, NAMES)
    moved = net.for_columns(["c", "a", "b"])
    np.testing.assert_array_equal(moved.predict(MIXED.to_numpy()), net.predict(X.to_numpy()))
    assert moved.for_columns(NAMES) == net
    assert audit(NET, Problem(X=MIXED, y=Y)).loss == audit(NET, Problem(X=X, y=Y)).loss == 0


def test_a_problem_takes_the_names_of_a_frame():
    assert Problem(X=X, y=Y).feature_names == ("a", "b", "c")
    assert Problem(X=X, y=Y, feature_names=NAMES).feature_names == ("a", "b", "c")
    checked = Problem(X=X, y=Y, validation=(MORE, Y)).validation[0]
    np.testing.assert_array_equal(checked, X.to_numpy())
    with pytest.raises(InputError, match="feature_names are 'b', 'a', 'c', but the columns of X are 'a', 'b', 'c'"):
        Problem(X=X, y=Y, feature_names=["b", "a", "c"])
    with pytest.raises(InputError, match="feature_names are 'b', 'a', 'c', but the columns of X are 'a', 'b', 'c'"):
        BDNNClassifier(**EXACT).fit(X, Y, feature_names=["b", "a", "c"])


def test_estimators_refuse_another_order_as_scikit_learn_does(tmp_path):
    clf = BDNNClassifier(random_state=0, **EXACT).fit(X, Y)
    clf.save(tmp_path / "m.json")
    ensemble = bdnn.BDNNEnsembleClassifier(BDNNClassifier(**EXACT), n_estimators=1, random_state=0).fit(X, Y)
    for model in (clf, bdnn.load(tmp_path / "m.json"), ensemble):
        for use in (model.predict, model.decision_function, getattr(model, "certify", model.predict)):
            with pytest.raises(ValueError, match="same order"):
                use(MIXED)
        assert (model.predict(X) == Y).all()
