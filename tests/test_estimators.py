"""The scikit-learn face: settings, data of all kinds, and what scikit-learn expects of a classifier."""

from __future__ import annotations

import copy
import json
import pickle
import signal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget
from bdnn.errors import BDNNError, InputError
from bdnn.estimators.base import seed_of
from bdnn.problem.audit import audit
from bdnn.problem.problem import Problem
from processes import code_begun

SQUARE, PARITY = [[0, 0], [0, 1], [1, 0], [1, 1]], ["same", "differ", "differ", "same"]


def three_blobs(seed: int = 0, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    return rng.normal(size=(count, 2)) + 4 * np.array([[0, 0], [1, 0], [0, 1]])[y], np.array(["a", "b", "c"])[y]


def noisy(seed: int = 0, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, (count, 2)), rng.integers(0, 2, count)


def test_parity_is_learnt():
    clf = BDNNClassifier(hidden_layer_sizes=(2,), random_state=0).fit(SQUARE, PARITY)
    assert clf.predict(SQUARE).tolist() == PARITY
    assert clf.score(SQUARE, PARITY) == 1
    assert (clf.result_.status, clf.result_.objective, clf.result_.bound) == ("optimal", 0, 0)
    assert clf.classes_.tolist() == ["differ", "same"]
    assert clf.n_features_in_ == 2
    assert clf.network_ is clf.result_.network
    assert not hasattr(clf, "feature_names_in_")


@pytest.mark.parametrize("head", ["auto", "threshold", "argmax"])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("method", ["exact", "local_search"])
def test_three_classes_of_strings(method, weights, head):
    X, y = three_blobs()
    clf = BDNNClassifier((3,), method, weights, weight_bound=2, head=head, random_state=1, time_limit=0.7).fit(X, y)
    assert clf.network_.head == ("threshold" if head == "threshold" else "argmax")
    assert clf.predict(X).dtype == y.dtype
    assert clf.score(X, y) >= 0.9
    scores = clf.decision_function(X)
    assert scores.shape == (30, 3)
    np.testing.assert_array_equal(clf.classes_[np.argmax(scores, axis=1)], clf.predict(X))


@pytest.mark.parametrize("labels", [[0, 1], [-1, 1], [False, True], ["no", "yes"], [2.0, 7.0], [10, 3]])
def test_labels_of_any_kind_come_back(labels):
    y = np.array(labels)[[0, 1, 1, 0]]
    clf = BDNNClassifier(random_state=0).fit(SQUARE, y)
    predicted = clf.predict(SQUARE)
    assert predicted.dtype == y.dtype
    np.testing.assert_array_equal(predicted, y)


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("method", ["exact", "local_search"])
def test_the_decision_function_of_two_classes_is_positive_for_the_second(method, biases, weights, head):
    X, y = noisy()
    clf = BDNNClassifier((1,), method, weights, head=head, fit_intercept=biases, time_limit=0.3).fit(X, y)
    assert biases or not any(np.any(layer.bias) for layer in clf.network_.layers)
    # a grid on which integer pre-activations are often exactly 0
    grid = np.array([[a, b] for a in range(-3, 8) for b in range(-3, 8)])
    scores = clf.decision_function(grid)
    assert scores.shape == (121,)
    np.testing.assert_array_equal(scores > 0, clf.predict(grid) == 1)


def test_a_point_on_the_threshold_fires():
    clf = BDNNClassifier((), weights="integer").fit([[0], [1], [2]], [0, 1, 1])
    on_threshold = clf.network_.decision_function([[0], [1], [2]]) == 0
    assert on_threshold.any()
    assert np.all(clf.decision_function([[0], [1], [2]])[on_threshold] > 0)
    assert np.all(clf.predict([[0], [1], [2]])[on_threshold] == 1)


def test_pipeline_grid_search_and_cross_validation():
    X, y = three_blobs()
    y = (y == "a").astype(int)
    pipeline = make_pipeline(StandardScaler(), BDNNClassifier(random_state=0, time_limit=5))
    grid = {"bdnnclassifier__hidden_layer_sizes": [(), (1,)], "bdnnclassifier__weights": ["continuous", "integer"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_score_ >= 0.8
    assert search.best_params_.keys() == grid.keys()
    assert search.predict(X).shape == (30,)
    assert cross_val_score(BDNNClassifier((), time_limit=5), X, y, cv=3, scoring="roc_auc").min() > 0.8


def test_clones_have_the_settings_and_nothing_else():
    clf = BDNNClassifier((3, 2), weights="integer", weight_bound=4, random_state=5, time_limit=1.5, head="argmax")
    copied = clone(clf.set_params(hidden_layer_sizes=(1,)).fit(SQUARE, PARITY))
    assert copied.get_params() == clf.get_params()
    assert copied.hidden_layer_sizes == (1,)
    assert not hasattr(copied, "network_")


@pytest.mark.parametrize("duplicate", [lambda clf: pickle.loads(pickle.dumps(clf)), copy.deepcopy])
def test_pickles_and_copies_predict_the_same(duplicate):
    X, y = three_blobs()
    clf = BDNNClassifier((), time_limit=1, weights="integer", input_bits=4).fit(X, y)
    other = duplicate(clf)
    np.testing.assert_array_equal(other.predict(X), clf.predict(X))
    assert other.network_ == clf.network_
    assert other.result_.to_dict() == clf.result_.to_dict()


def test_single_precision_is_trained_and_predicted_as_it_is(monkeypatch):
    given = []
    monkeypatch.setattr("bdnn.estimators.classifier.Problem", lambda **data: given.append(data["X"]) or Problem(**data))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2)).astype(np.float32)
    y = X[:, 0] + X[:, 1] > 0
    single, double = (BDNNClassifier((), random_state=0).fit(data, y) for data in (X, X.astype(np.float64)))
    assert np.shares_memory(given[0], X) and X.flags.writeable
    assert single.network_ == double.network_
    assert single.result_.objective == double.result_.objective == 0
    assert single.predict(X).tolist() == double.predict(X.astype(np.float64)).tolist() == y.tolist()
    assert single.decision_function(X).tolist() == double.decision_function(X.astype(np.float64)).tolist()


def test_names_of_a_data_frame_are_kept_and_checked():
    frame = pd.DataFrame(SQUARE, columns=["width", "height"])
    clf = BDNNClassifier().fit(frame, pd.Series(PARITY))
    assert clf.feature_names_in_.tolist() == ["width", "height"]
    assert clf.network_.feature_names == ("width", "height")
    assert clf.predict(frame).tolist() == PARITY
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame[["height", "width"]])
    clf.fit(SQUARE, PARITY)
    assert not hasattr(clf, "feature_names_in_")
    assert clf.network_.feature_names is None
    clf.fit(SQUARE, PARITY, feature_names=["a", "b"])
    assert clf.network_.feature_names == ("a", "b")
    with pytest.raises(InputError, match="one name per column"):
        clf.fit(SQUARE, PARITY, feature_names=["a"])


def test_text_columns_are_inputs_of_their_own():
    frame = pd.DataFrame({"age": [1, 2, 3], "town": ["x", "y", "x"], "job": pd.Categorical(["p", "q", "p"])})
    clf = BDNNClassifier((), random_state=0).fit(frame, [0, 1, 0])
    assert clf.network_.feature_names == ("age", "town=y", "job=q")
    assert clf.predict(frame).tolist() == [0, 1, 0]
    assert BDNNClassifier(()).fit(np.array([["x"], ["y"]]), [0, 1]).predict([["y"], ["x"]]).tolist() == [1, 0]


def test_sample_weights_are_repetitions():
    rng = np.random.default_rng(2)
    for seed, weights in enumerate(["continuous", "integer"] * 2):
        X, y = noisy(seed, 12)
        sample_weight = rng.integers(0, 4, 12) + (np.arange(12) < 2)
        y[:2] = 0, 1
        weighted = BDNNClassifier((1,), weights=weights).fit(X, y, sample_weight)
        repeated = BDNNClassifier((1,), weights=weights).fit(X.repeat(sample_weight, 0), y.repeat(sample_weight))
        assert weighted.result_.status == repeated.result_.status == "optimal"
        assert weighted.result_.objective == repeated.result_.objective
        scaled = BDNNClassifier((1,), weights=weights).fit(X, y, 0.1 * sample_weight)
        assert scaled.result_.objective == pytest.approx(0.1 * weighted.result_.objective)
    assert BDNNClassifier((1,)).fit(X, y, 2.0).result_.objective == 2 * BDNNClassifier((1,)).fit(X, y).result_.objective


@pytest.mark.parametrize("settings", [{"method": "exact", "incumbents": "none"}, {"method": "local_search"}], ids=str)
def test_a_warm_start_is_never_worse(settings, monkeypatch):
    limit = "rounds" if settings["method"] == "local_search" else "nodes"
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | {limit: 1})))
    X, y = noisy(3, 60)
    clf = BDNNClassifier((3,), warm_start=True, random_state=0, **settings).fit(X, y)
    first = clf.network_
    clf.fit(X, y)
    assert clf.result_.history[0].source == "start"
    assert clf.result_.objective <= audit(first, Problem(X=X, y=y)).loss
    other_X, other_y = noisy(4, 60)
    before = audit(clf.network_, Problem(X=other_X, y=other_y)).loss
    assert clf.fit(other_X, other_y).result_.objective <= before
    assert clf.set_params(warm_start=False).fit(X, y).result_.history[0].source != "start"


def test_a_warm_start_from_another_architecture_is_refused():
    clf = BDNNClassifier((1,), warm_start=True).fit(SQUARE, PARITY)
    for changes in ({"hidden_layer_sizes": (2,)}, {"weights": "integer", "hidden_layer_sizes": (1,)}):
        with pytest.raises(InputError, match="start network is not of"):
            clf.set_params(**changes).fit(SQUARE, PARITY)
    with pytest.raises(InputError, match="different classes"):
        clf.set_params(weights="continuous").fit(SQUARE, [0, 1, 1, 0])


@pytest.mark.parametrize("method", ["auto", "exact", "local_search", "alternating", "data_splitting"])
@pytest.mark.parametrize("name", ["formulation", "incumbents", "polish", "blocks", "splitter", "initial_clusters"])
def test_misspelt_words_are_errors_whatever_the_method(method, name):
    for wrong in ("fo", None, 3):
        with pytest.raises(InputError, match=f"{name} must be one of '.*', got {wrong!r}"):
            BDNNClassifier((1,), method, time_limit=1, **{name: wrong}).fit(SQUARE, PARITY)


@pytest.mark.parametrize("method", ["auto", "local_search", "alternating", "data_splitting"])
@pytest.mark.parametrize("settings", [{"certificate": True}, {"checkpoint": "state"}], ids=str)
def test_proofs_are_not_asked_of_methods_that_have_none(tmp_path, monkeypatch, method, settings):
    monkeypatch.chdir(tmp_path)
    X, y = noisy(0, 200)
    with pytest.raises(InputError, match=r"needs method='exact', got '.*set method='exact' or leave"):
        BDNNClassifier((40,), method, time_limit=0.2, **settings).fit(X, y)
    assert list(tmp_path.iterdir()) == []
    assert BDNNClassifier((1,), time_limit=5, **settings).fit(SQUARE, PARITY).result_.method == "exact"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weights": "integer", "input_bits": 3, "random_state": np.int64(7)},
        {"hidden_layer_sizes": np.array([2, 1]), "time_limit": None, "random_state": np.random.RandomState(0)},
        {"hidden_layer_sizes": [1], "time_limit": float("inf"), "margin": 0.001, "n_jobs": None, "head": "argmax"},
    ],
)
def test_saved_models_predict_the_same(settings, tmp_path):
    X, y = np.array(SQUARE) * 0.7 + 0.1, PARITY
    frame = pd.DataFrame(X, columns=["p", "q"])
    clf = BDNNClassifier(**settings).fit(frame, y)
    clf.save(tmp_path / "model.json")
    other = bdnn.load(tmp_path / "model.json")
    points = pd.DataFrame(np.random.default_rng(5).uniform(-1, 2, (200, 2)), columns=["p", "q"])
    np.testing.assert_array_equal(other.predict(points), clf.predict(points))
    np.testing.assert_array_equal(other.decision_function(points), clf.decision_function(points))
    assert other.network_ == clf.network_
    assert other.classes_.tolist() == clf.classes_.tolist()
    assert other.feature_names_in_.tolist() == ["p", "q"]
    assert other.result_.to_dict() == clf.result_.to_dict()
    assert other.weights == clf.weights
    assert tuple(other.hidden_layer_sizes) == clf.network_.widths[:-1]
    other.fit(frame, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, "method must be one of 'auto', 'exact', 'local_search', .*got 'magic'"),
        ({"incumbents": "given"}, "incumbents must be one of 'search', 'none', got 'given'"),
        ({"method": "local_search", "polish": "wax"}, "polish must be one of 'margin', 'none', got 'wax'"),
        ({"solver": "cplex"}, "solver must be one of 'auto', 'highs'.*got 'cplex'"),
        ({"head": "softmax"}, "head must be one of 'auto', 'threshold', 'argmax', got 'softmax'"),
        ({"weights": "binary"}, "weights must be one of 'continuous', 'integer', got 'binary'"),
        ({"formulation": 3}, "formulation must be one of .* got 3"),
        ({"hidden_layer_sizes": (0,)}, "hidden layer size must be a positive integer up to 10000, got 0"),
        ({"hidden_layer_sizes": (2, -1)}, "hidden layer size must be a positive integer up to 10000, got -1"),
        ({"hidden_layer_sizes": (1.5,)}, "hidden layer size must be a positive integer up to 10000, got 1.5"),
        ({"hidden_layer_sizes": "22"}, "hidden_layer_sizes must be a sequence of positive integers, got '22'"),
        ({"hidden_layer_sizes": None}, "hidden_layer_sizes must be a sequence"),
        ({"time_limit": -1}, "time limit must be a positive number of seconds .*got -1"),
        ({"time_limit": 0}, "time limit must be a positive number of seconds"),
        ({"time_limit": "long"}, "time limit must be a positive number of seconds"),
        ({"n_jobs": 0}, "n_jobs must be a positive integer, .*got 0"),
        ({"weight_bound": 0, "weights": "integer"}, "weight_bound must be a positive integer"),
        ({"input_bits": 17}, "input_bits must be a positive integer up to 16, got 17"),
        ({"margin": -0.1}, "margin must be None or a number between 0 and 1, got -0.1"),
        ({"margin": 0.1, "weights": "integer"}, "margin applies to continuous weights only"),
        ({"random_state": "seed"}, "cannot be used to seed"),
    ],
)
def test_unusable_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        BDNNClassifier(**settings).fit(SQUARE, PARITY)
    assert isinstance(error.value, BDNNError) or "random_state" in settings


def test_unusable_data_are_named():
    clf = BDNNClassifier()
    with pytest.raises(ValueError, match="y should be a 1d array, got an array of shape"):
        clf.fit(SQUARE, [[0, 1], [1, 0], [1, 0], [0, 1]])
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        clf.fit(SQUARE, [[0], [1], [1], [0]])
    with pytest.raises(ValueError, match="one class"):
        clf.fit(SQUARE, [1, 1, 1, 1])
    with pytest.raises(ValueError, match="continuous"):
        clf.fit(SQUARE, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="infinity"):
        clf.fit([[np.inf, 1], [0, 1]], [0, 1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(SQUARE, [0, 1])
    with pytest.raises(ValueError, match=r"sample_weight must be finite and non-negative, got -1\.0 for row 3"):
        clf.fit(SQUARE, PARITY, [1, 1, 1, -1])
    with pytest.raises(TypeError, match="Sparse data"):
        import scipy.sparse

        clf.fit(scipy.sparse.csr_array(np.array(SQUARE, dtype=float)), PARITY)
    with pytest.raises(ValueError, match="expecting 2 features"):
        clf.fit(SQUARE, PARITY).predict([[1.0]])


def test_an_unfitted_estimator_says_so(tmp_path):
    for action in (
        lambda clf: clf.predict(SQUARE),
        lambda clf: clf.decision_function(SQUARE),
        lambda clf: clf.save(tmp_path / "model.json"),
    ):
        with pytest.raises(NotFittedError):
            action(BDNNClassifier())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"method": "exact", "incumbents": "none"}, {"method": "local_search"}], ids=str)
def test_the_random_state_decides(settings, monkeypatch):
    limit = "rounds" if settings["method"] == "local_search" else "nodes"
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | {limit: 1})))
    X, y = noisy(6, 40)
    X = X + np.random.default_rng(6).normal(size=X.shape)
    first, again, other = (BDNNClassifier((2,), random_state=s, **settings).fit(X, y) for s in (0, 0, 1))
    assert first.network_ == again.network_
    assert first.network_ != other.network_
    generator = np.random.RandomState(0)
    assert seed_of(generator) != seed_of(generator)
    assert BDNNClassifier(n_jobs=-1)._budget().threads >= 1


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "exact"),
        ({"hidden_layer_sizes": (4,)}, "local_search"),
        ({"hidden_layer_sizes": (4,), "regularizer": "l1", "regularization": 0.1}, "exact"),
    ],
)
def test_the_size_of_the_problem_chooses_the_method(changes, method):
    X, y = noisy(7, 90)
    X = X + np.random.default_rng(7).normal(size=X.shape)
    clf = BDNNClassifier(**({"hidden_layer_sizes": (1,), "time_limit": 0.4} | changes))
    assert clf.fit(X, y).result_.method == method
    # equal rows do not count, nor do rows without weight
    twice = clf.fit(np.vstack([X, X]), np.append(y, y), np.append(np.ones(90), np.zeros(90)))
    assert twice.result_.method == method
    assert twice.result_.n_distinct == 90


def test_progress_goes_to_the_listener_or_to_stderr(capsys):
    X, y = noisy()
    seen = []
    BDNNClassifier((1,), verbose=1).fit(X, y, on_progress=seen.append)
    assert capsys.readouterr() == ("", "")
    assert seen
    BDNNClassifier((1,), verbose=1).fit(X, y)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "incumbent" in shown.err and "bound" in shown.err
    BDNNClassifier((1,)).fit(X, y)
    assert capsys.readouterr() == ("", "")


INTERRUPTED = """
import json, sys
import numpy as np
from bdnn import BDNNClassifier

method, phase, threads = sys.argv[1:]
rng = np.random.default_rng(0)
X, y = rng.normal(size=(1000, 6)), rng.integers(0, 2, 1000)
said = []
def listener(progress):
    if progress.phase == phase and not said:
        said.append(phase)
        print(phase, file=sys.stderr, flush=True)
clf = BDNNClassifier((3,), method=method, time_limit=None, n_jobs=int(threads)).fit(X, y, on_progress=listener)
print(json.dumps(clf.result_.to_dict() | {"score": clf.score(X, y)}))
"""


@pytest.mark.parametrize(
    ("method", "phase", "threads"),
    [("exact", "solve", 1), ("exact", "search", 1), ("local_search", "search", 1), ("local_search", "search", 2)],
)
def test_ctrl_c_in_a_terminal_keeps_the_network(method, phase, threads):
    process = code_begun(INTERRUPTED, method, phase, threads, text=True)
    try:
        assert process.stderr.readline() == f"{phase}\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    result = json.loads(out)
    assert (result["interrupted"], result["status"], result["message"]) == (True, "feasible", "stopped by Ctrl-C")
    assert result["score"] == pytest.approx(1 - result["objective"] / 1000)
    assert 0 <= result["bound"] < result["objective"]
    assert result["method"] == method


@pytest.mark.parametrize("estimator", [BDNNClassifier, BDNNEnsembleClassifier])
@pytest.mark.parametrize("value", ["seven", -1, 0.5])
def test_a_random_state_that_is_none_is_one_clear_error(estimator, value):
    with pytest.raises(InputError, match="random_state must be None, a seed or a numpy"):
        estimator(random_state=value).fit(SQUARE, PARITY)
