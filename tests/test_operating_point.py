"""Operating points: brute force over all biases, what cannot be reached, and that the network alone decides."""

import json
import warnings

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, Problem
from bdnn.calibration import FRACTION
from bdnn.errors import ModelFileError
from bdnn.estimators.base import seed_of
from bdnn.network.network import Layer
from bdnn.problem.audit import audit
from bdnn.splitting import split


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: bdnn.Budget(**(limits | {"rounds": 3})))


def noisy(m=160, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(m) < 0.4).astype(int)
    return np.round(rng.normal(size=(m, 2)) + y[:, None], 1), np.array(["no", "yes"])[y]


def rates(predicted, truth, positive):
    hit = np.sum((predicted == positive) & (truth == positive))
    called = np.sum(predicted == positive)
    right = np.sum((predicted != positive) & (truth != positive))
    return {
        "recall": hit / np.sum(truth == positive),
        "precision": hit / called if called else 0.0,
        "specificity": right / np.sum(truth != positive),
    }


def reachable(network, X, y, positive):
    """Every way to answer by another bias, except those that are the same for all rows."""
    W, b = network.layers[-1]
    values = network.decision_function(X)
    values = values[:, 1] - values[:, 0] if values.ndim == 2 else values
    # on either side of every row, but not on one, where rounding decides
    steps = np.unique(np.concatenate([-values - 1e-9, -values + 1e-9]))
    found = []
    for shift in steps:
        bias = b.copy()
        bias[-1] += shift
        moved = bdnn.Network((*network.layers[:-1], Layer(W, bias)), network.head, network.classes)
        answers = moved.predict(X)
        if len(set(answers.tolist())) == 2:
            found.append(rates(answers, y, positive))
    return found


SETTINGS = {
    "no hidden layer": dict(hidden_layer_sizes=()),
    "hidden": dict(hidden_layer_sizes=(3,)),
    "argmax": dict(hidden_layer_sizes=(3,), head="argmax"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "wanted", [{"recall": 0.9}, {"precision": 0.8}, {"specificity": 0.9, "positive": "no"}], ids=str
)
def test_the_best_point_of_all_biases(name, wanted):
    X, y = noisy()
    clf = BDNNClassifier(method="local_search", decision_threshold=wanted, random_state=0, **SETTINGS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf.fit(X, y)
    training, held_out = split(X, y, FRACTION, seed_of(0))
    point, positive = clf.result_.operating_point, wanted.get("positive", "yes")
    measure, value = next(iter(wanted.items()))
    found = rates(clf.predict(X[held_out]), y[held_out], positive)
    assert {name: getattr(point, name) for name in found} == pytest.approx(found)
    before = BDNNClassifier(method="local_search", random_state=0, **SETTINGS[name]).fit(X[training], y[training])
    every = reachable(before.network_, X[held_out], y[held_out], positive)
    other = "precision" if measure == "recall" else "recall"
    good = [each for each in every if each[measure] >= value]
    assert point.met == bool(good)
    best = max(good, key=lambda each: each[other]) if good else max(every, key=lambda each: each[measure])
    assert found[other if good else measure] == pytest.approx(best[other if good else measure])
    assert np.unique(np.round(point.reachable, 9)).tolist() == np.unique([round(e[measure], 9) for e in every]).tolist()
    # the network was moved, nothing else
    changed = [
        not np.array_equal(mine, theirs)
        for a, b in zip(clf.network_.layers, before.network_.layers, strict=True)
        for mine, theirs in zip(a, b, strict=True)
    ]
    assert not any(changed[:-1])
    result = clf.result_
    problem = Problem(X=X[training], y=y[training], head=clf.network_.head, hidden_layer_sizes=clf.hidden_layer_sizes)
    assert result.objective == result.audit.loss == audit(clf.network_, problem).loss
    assert result.bound <= result.objective and result.n_rows == len(training) and point.rows == len(held_out)
    assert "the output was moved for" in result.message


@pytest.mark.parametrize("head", ["auto", "argmax"])
def test_integer_networks_stay_integer(head):
    X, y = noisy()
    clf = BDNNClassifier((), "exact", weights="integer", weight_bound=2, head=head, input_bits=4, random_state=0)
    clf.set_params(decision_threshold={"recall": 0.9}).fit(X, y)
    point = clf.result_.operating_point
    assert clf.network_.is_integer and point.met and point.recall >= 0.9 and point.shift == round(point.shift)
    assert clf.result_.status == "feasible" and "hidden neurons" in clf.result_.bound_of
    held_out = split(X, y, FRACTION, seed_of(0))[1]
    assert rates(clf.predict(X[held_out]), y[held_out], "yes")["recall"] == point.recall


def test_what_cannot_be_reached_is_said():
    X, y = noisy()
    clf = BDNNClassifier((1,), "local_search", decision_threshold={"precision": 1.0}, random_state=0)
    with pytest.warns(
        UserWarning, match=r"precision of 1 for class 'yes' is not reached .* 2 decision values .* reach 0\."
    ):
        clf.fit(X, y)
    point = clf.result_.operating_point
    assert not point.met and len(point.reachable) == 1 and point.precision == point.reachable[0] < 1
    assert "not reached" in clf.result_.message
    # a constant network has nothing to move
    same = np.zeros((40, 1))
    same[:2] = 1.0
    labels = np.array([0, 1] * 20)
    with pytest.warns(UserWarning, match="only one decision value"):
        clf.set_params(decision_threshold={"recall": 0.5}).fit(same, labels)


BAD = [
    (0.5, "must be None or a dict such as"),
    ({}, "with one of recall"),
    ({"f1": 0.5}, "with one of recall, precision, specificity"),
    ({"recall": 0.5, "precision": 0.5}, "with one of recall"),
    ({"positive": "yes"}, "with one of recall"),
    ({"recall": 1.5}, "must be above 0 and at most 1, got 1.5"),
    ({"recall": True}, "must be above 0 and at most 1, got True"),
    ({"recall": 0.5, "positive": "maybe"}, "names 'maybe', which is no class"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=str)
def test_odd_settings_are_refused(given, message):
    X, y = noisy()
    with pytest.raises(ValueError, match=message):
        BDNNClassifier(decision_threshold=given).fit(X, y)


def test_two_classes_only_and_probabilities_beside():
    X, y = noisy()
    with pytest.raises(ValueError, match="for two classes, and y has 3"):
        BDNNClassifier(decision_threshold={"recall": 0.5}).fit(X, np.arange(len(y)) % 3)
    clf = BDNNClassifier((2,), "local_search", decision_threshold={"recall": 0.8}, random_state=0)
    clf.set_params(probability="held_out", class_weight="balanced", validation_fraction=0.4).fit(X, y)
    held_out = split(X, y, 0.4, seed_of(0))[1]
    assert clf.calibration_.rows == len(held_out) == clf.result_.operating_point.rows
    assert clf.result_.validation_accuracy is not None and clf.result_.weighted


def test_files_and_the_command_line(run, tmp_path):
    X, y = noisy()
    table, model, page = tmp_path / "table.csv", tmp_path / "m.json", tmp_path / "page.html"
    lines = [f"{a!r},{b!r},{label}" for (a, b), label in zip(X.tolist(), y.tolist(), strict=True)]
    table.write_text("\n".join(["p,q,target", *lines]) + "\n")
    words = ["train", table, "--target", "target", "--method", "local_search", "--hidden", "none", "--quiet"]
    code, out, _ = run(*words, "--decision-threshold", "recall=0.9,positive=no", "--out", model)
    assert code == 0 and "operating point   recall 9" in out and "rows held out to move the output" in out
    document = json.loads(model.read_text())
    assert document["settings"]["decision_threshold"] == {"recall": 0.9, "positive": "no"}
    assert document["result"]["operating_point"]["recall"] >= 0.9
    clf = bdnn.load(model)
    assert clf.result_.to_dict() == document["result"]
    assert clf.decision_threshold == {"recall": 0.9, "positive": "no"}
    assert run("report", model, table, "--out", page, "--rows", 0)[0] == 0
    html = page.read_text()
    assert (
        "training and validation rows" in html and "recall=0.9,positive=no" in html and "the output was moved" in html
    )
    for damage in ({"measure": "f1"}, {"recall": 2.0}, {"rows": -1}, {"positive": []}, {"reachable": ["x"]}):
        result = document["result"] | {"operating_point": document["result"]["operating_point"] | damage}
        model.write_text(json.dumps(document | {"result": result}))
        with pytest.raises(ModelFileError):
            bdnn.load(model)
    for wrong, message in (("recall", "such as recall=0.9"), ("magic=1", "with one of"), ("recall=2", "at most 1")):
        code, _, err = run(*words, "--decision-threshold", wrong)
        assert code == 2 and message in err
    proof = ["--method", "exact", "--certificate", tmp_path / "c.json", "--decision-threshold", "recall=0.5"]
    code, _, err = run("train", table, "--target", "target", *proof)
    assert code == 2 and "needs no --decision-threshold" in err
