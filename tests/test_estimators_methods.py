"""Every method and its settings through the estimator."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError

from bdnn import BDNNClassifier, load
from bdnn.estimators.classifier import from_model
from bdnn.methods import METHODS
from bdnn.model_file import Model
from clocks import ticking


@pytest.fixture
def xor():
    return np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array(["even", "odd", "odd", "even"])


def test_save_and_load(xor, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.integers(0, 3, size=30)
    methods = (dict(method="alternating"), dict(method="local_search", polish="none", incumbents="none"))
    for settings in (dict(weights="integer", input_bits=5), dict(head="threshold"), *methods):
        clf = BDNNClassifier((3,), time_limit=0.3, random_state=1, **settings).fit(X, y)
        clf.save(tmp_path / "m.json")
        again = load(str(tmp_path / "m.json"))
        assert again.network_ == clf.network_
        np.testing.assert_array_equal(again.predict(X), clf.predict(X))
        np.testing.assert_array_equal(again.decision_function(X), clf.decision_function(X))
        assert again.get_params() == clf.get_params()
        assert again.result_.to_dict() == clf.result_.to_dict()
    with pytest.raises(NotFittedError):
        BDNNClassifier().save(tmp_path / "n.json")
    assert not (tmp_path / "n.json").exists()
    bare = from_model(Model(clf.network_))
    np.testing.assert_array_equal(bare.predict(X), clf.predict(X))


@pytest.mark.parametrize("method", ["data_splitting", "local_search"])
def test_validation_fraction_holds_rows_out(method):
    X, y = load_breast_cancer(return_X_y=True)
    clf = BDNNClassifier((3,), method=method, validation_fraction=0.4, max_splits=3, time_limit=1.5)
    clf.set_params(random_state=0).fit(X, y)
    assert clf.result_.n_rows == 341
    assert clf.result_.validation_accuracy > 0.7


def test_time_limit_bounds_the_whole_fit():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1500, 20)), rng.integers(0, 2, size=1500)
    for method in METHODS:
        with ticking(1.5, most_late=200):
            clf = BDNNClassifier((5,), method=method, time_limit=1.5).fit(X, y)
        assert clf.result_.objective <= 750 and clf.result_.bound <= clf.result_.objective


BAD = [
    (dict(hidden_layer_sizes=(0,)), "hidden layer size must be a positive integer up to 10000, got 0"),
    (dict(hidden_layer_sizes=(2, -1)), "got -1"),
    (dict(hidden_layer_sizes="2"), "sequence of positive integers"),
    (dict(method="magic"), "method must be one of"),
    (dict(weights="real"), "weights must be one of"),
    (dict(weight_bound=0), "weight_bound must be a positive integer"),
    (dict(head="softmax"), "head must be one of"),
    (dict(solver="cplex"), "solver must be one of"),
    (dict(solver="cpsat"), "cannot train continuous weights"),
    (dict(formulation="magic"), "formulation must be one of"),
    (dict(margin=-1.0), "margin must be None or a number between 0 and 1"),
    (dict(input_bits=17, weights="integer"), "input_bits must be a positive integer up to 16"),
    (dict(time_limit=0), "time limit must be a positive number"),
    (dict(time_limit=-1.0), "time limit must be a positive number"),
    (dict(n_jobs=0), "n_jobs"),
    (dict(validation_fraction=1.0), "validation_fraction must be a number from 0 to below 1"),
    (dict(validation_fraction=0.01), "cannot hold out"),
    (dict(method="data_splitting", splitter="median"), "splitter must be one of"),
    (dict(method="data_splitting", max_splits=-1), "max_splits"),
    (dict(method="local_search", max_splits=-1), "max_splits must be a positive integer, got -1"),
    (dict(method="local_search", batch_size=0), "batch_size must be a positive integer, got 0"),
    (dict(method="local_search", solver="foo"), "solver must be one of 'auto', 'highs'"),
    (dict(method="exact", n_starts=0), "n_starts must be a positive integer, got 0"),
    (dict(memory_limit="abc"), "memory_limit must be a number of bytes, or text such as '4GB'"),
    (dict(method="alternating", blocks="all"), "blocks must be one of"),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=str)
def test_bad_settings_are_value_errors(settings, message, xor):
    with pytest.raises(ValueError, match=message):
        BDNNClassifier(**settings).fit(*xor)
