"""Ensembles: votes against a count by hand, ties, what members are trained on, settings, files."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget, Network, Schema
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators.random_layers import with_outputs
from bdnn.model_file import EnsembleMember, load_model
from clocks import ticking

TERNARY = BDNNClassifier((), method="local_search", weights="integer")
HIDDEN = BDNNClassifier((3,), method="local_search", weights="integer", head="argmax")
DEEP = BDNNClassifier((3, 2), method="local_search", weights="integer")
REAL = BDNNClassifier((2,), method="local_search")
SCHEMES = ["one_vs_one", "one_vs_rest", "multiclass"]


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    """A limit on rounds, unlike one on time, lets fits repeat."""
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | {"rounds": 5})))


def blobs(seed=0, count=48, n_classes=4, n=5):
    rng = np.random.default_rng(seed)
    centers = rng.integers(0, 12, (n_classes, n))
    y = np.arange(count) % n_classes
    return centers[y] + rng.integers(-2, 3, (count, n)), np.array(["d", "b", "a", "c"])[:n_classes][y]


def by_hand(clf, x):
    """Votes and sums at one point, from the members' weights alone."""
    C = len(clf.classes_)
    votes, sums = [0] * C, [0] * C
    for member in clf.members_:
        signal = [int(x[j]) for j in member.features]
        network, outputs = member.network, []
        for k, (W, b) in enumerate(network.layers):
            outputs = [sum(int(w) * s for w, s in zip(row, signal, strict=True)) + int(c) for row, c in zip(W, b)]  # noqa: B905
            if k < len(network.layers) - 1:
                signal = [int(a >= 0) for a in outputs]
        codes = network.classes.tolist()
        if len(outputs) == 1:
            winner, outputs = int(outputs[0] >= 0), [-2 * outputs[0] - 1, 2 * outputs[0] + 1]
        else:
            winner = outputs.index(max(outputs))
            if len(outputs) == 2:
                lead = outputs[1] - outputs[0]
                outputs = [1 - 2 * lead, 2 * lead - 1]
        for code, output in zip(codes, outputs, strict=True):
            if code >= 0:
                sums[code] += output
        if codes[winner] >= 0:
            votes[codes[winner]] += 1
    return votes, sums


@pytest.mark.parametrize("voting", ["majority", "sum"])
@pytest.mark.parametrize("member", [TERNARY, HIDDEN], ids=["single layer", "hidden"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_predictions_are_votes_counted_by_hand(n_classes, scheme, member, voting):
    X, y = blobs(n_classes=n_classes)
    clf = BDNNEnsembleClassifier(member, scheme, 2, 0.6, voting, random_state=0).fit(X, y)
    points = np.random.default_rng(1).integers(-3, 15, (200, X.shape[1]))
    votes, sums = clf.votes(points)
    predicted = clf.predict(points)
    for i, x in enumerate(points):
        expected = by_hand(clf, x)
        assert (votes[i].tolist(), sums[i].tolist()) == expected
        keys = list(zip(*expected, strict=True)) if voting == "majority" else expected[1]
        best = keys.index(max(keys))
        assert predicted[i] == clf.classes_[best]
    scores = clf.decision_function(points)
    chosen = (scores > 0).astype(int) if n_classes == 2 else scores.argmax(axis=1)
    assert clf.classes_[chosen].tolist() == predicted.tolist()


def with_members(networks, n_classes, **settings):
    clf = BDNNEnsembleClassifier(**settings).fit([[k] for k in range(n_classes)], list(range(n_classes)))
    clf.members_ = tuple(EnsembleMember(network, np.array([0])) for network in networks)
    return clf


def constant(code_0, code_1, output):
    """Member of two classes with this decision value everywhere."""
    return Network([([[0]], [output])], head="threshold", classes=[code_0, code_1])


def test_ties_go_to_the_larger_sum_and_then_to_the_lower_class():
    pairs = {"scheme": "one_vs_one", "estimator": TERNARY, "random_state": 0}
    circle = [constant(0, 1, 3), constant(0, 2, -2), constant(1, 2, 1)]  # 1 beats 0, 0 beats 2, 2 beats 1
    clf = with_members(circle, 3, voting="majority", **pairs)
    assert clf.votes([[0]])[0].tolist() == [[1, 1, 1]]
    assert clf.votes([[0]])[1].tolist() == [[-4, 4, 0]]
    assert clf.predict([[0]]).tolist() == [1]
    assert clf.decision_function([[0]])[0].argmax() == 1
    even = [constant(0, 1, 2), constant(0, 2, -3), constant(1, 2, 2)]
    assert with_members(even, 3, voting="majority", **pairs).votes([[0]])[1].tolist() == [[0, 0, 0]]
    assert with_members(even, 3, voting="majority", **pairs).predict([[0]]).tolist() == [0]
    assert with_members(even, 3, voting="sum", **pairs).predict([[0]]).tolist() == [0]


@pytest.mark.parametrize("voting", ["majority", "sum"])
def test_a_single_member_decides_as_its_network(voting):
    points = np.arange(-3, 4)[:, None]
    outputs = [([[1]], [1]), ([[-1]], [0]), ([[1.0]], [0.5]), ([[-1.0]], [0.25])]
    networks = [Network([layer], head="threshold", classes=[0, 1]) for layer in outputs]
    networks += [Network([([[1], [2]], [0, b])], head="argmax", classes=[0, 1]) for b in (-1, 0, 1)]
    for network in networks:
        clf = with_members([network], 2, voting=voting, estimator=TERNARY, random_state=0)
        assert clf.predict(points).tolist() == network.predict(points).tolist()


@pytest.mark.parametrize("hidden", ["random", "comparisons"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("n_classes", "member"), [(2, HIDDEN), (4, HIDDEN), (4, DEEP)])
def test_random_hidden_layers_under_outputs_trained_together(n_classes, member, scheme, hidden):
    X, y = blobs(n_classes=n_classes)
    made = [BDNNEnsembleClassifier(member, scheme, 30, 3, hidden=hidden, random_state=0).fit(X, y) for _ in range(2)]
    clf = made[0]
    assert [m.network for m in clf.members_] == [m.network for m in made[1].members_]
    for member in clf.members_:
        (W, b), *_ = member.network.layers
        assert set(np.abs(W).ravel()) == {1}
        sums = X[:, member.features] @ W.T
        assert not b.any() if hidden == "comparisons" else np.all((sums.min(0) <= -b) & (-b <= sums.max(0)))
    points = np.concatenate([X, np.random.default_rng(1).integers(-3, 15, (20, X.shape[1]))])
    expected = [by_hand(clf, x)[1] for x in points]
    assert clf.votes(points)[1].tolist() == expected
    assert clf.predict(points).tolist() == [clf.classes_[sums.index(max(sums))] for sums in expected]
    assert clf.score(X, y) > 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_shared_outputs_decide_as_one_layer_on_all_hidden_neurons(n_classes, count):
    rng = np.random.default_rng(0)
    empty = Network([([[1]], [-1]), (np.zeros((n_classes, 1), int), [0] * n_classes)], "argmax", range(n_classes))
    clf = with_members([empty], n_classes, estimator=TERNARY, random_state=0)
    clf.n_features_in_ = count
    signals = list(itertools.product([0, 1], repeat=count))
    for _ in range(10):
        outputs = rng.integers(-1, 2, (n_classes, count)), rng.integers(-1, 2, n_classes)
        joint = Network([outputs], head="argmax", classes=range(n_classes))
        shared = with_outputs([empty] * count, joint)
        clf.members_ = tuple(EnsembleMember(network, np.array([j])) for j, network in enumerate(shared))
        assert clf.predict(signals).tolist() == joint.predict(signals).tolist()


def test_random_hidden_layers_on_a_grid():
    X, y = blobs()
    clf = BDNNEnsembleClassifier(HIDDEN, n_estimators=30, max_features=3, hidden="random", random_state=0)
    assert clf.fit(X / 3, y).score(X / 3, y) > 0.9
    assert all(member.network.grid is not None for member in clf.members_)


@pytest.fixture
def fits(monkeypatch):
    """Time limits of members as they are trained, and what happens at some of them."""
    plain, limits, events = BDNNClassifier.fit, [], {}

    def fit(self, *arguments):
        limits.append(self.time_limit)
        if events.get(len(limits)) == "between":
            raise KeyboardInterrupt
        plain(self, *arguments)
        if events.get(len(limits)) == "within":
            self.result_ = replace(self.result_, interrupted=True)
        return self

    monkeypatch.setattr(BDNNClassifier, "fit", fit)
    return limits, events


@pytest.mark.parametrize(("when", "kept"), [("between", 2), ("within", 3)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_interrupt_keeps_what_is_trained(scheme, when, kept, fits):
    X, y = blobs()
    whole = BDNNEnsembleClassifier(TERNARY, scheme, 5, random_state=0).fit(X, y)
    limits, events = fits
    limits.clear()
    events[3] = when
    clf = BDNNEnsembleClassifier(TERNARY, scheme, 5, random_state=0).fit(X, y)
    assert [m.network for m in clf.members_[:kept]] == [m.network for m in whole.members_[:kept]]
    assert len(clf.members_) == (kept if scheme == "multiclass" else len(whole.members_))
    assert limits[3:] == [1e-3] * (len(clf.members_) - kept)
    assert set(clf.predict(X)) <= set(y)


def test_an_interrupt_ends_members_that_are_trained_at_the_same_time(fits):
    X, y = blobs()
    fits[1][2] = "within"
    clf = BDNNEnsembleClassifier(TERNARY, n_estimators=40, n_jobs=2, random_state=0).fit(X, y)
    assert 2 <= len(clf.members_) <= 4


@pytest.mark.parametrize("at", [[1], [2, 3]], ids=["before anything is trained", "again"])
def test_an_interrupt_that_is_meant(at, fits):
    X, y = blobs()
    fits[1].update(dict.fromkeys(at, "between"))
    with pytest.raises(KeyboardInterrupt):
        BDNNEnsembleClassifier(TERNARY, "one_vs_one", 1, random_state=0).fit(X, y)


def test_features_of_a_member_take_what_their_choice_takes():
    X, y = np.random.default_rng(0).integers(0, 9, (12, 100)), [0, 1] * 6
    sizes = {}
    for used in (2, 20, 100):
        clf = BDNNEnsembleClassifier(TERNARY, n_estimators=1, max_features=used, random_state=0).fit(X, y)
        plain = clf.schema()
        schema = Schema.plain(None, 100, [0, 1])
        assert plain.columns[0].missing and len(clf.to_bytes(plain)) >= clf.size_bytes == len(clf.to_bytes(schema))
        sizes[used] = clf.size_bytes
    assert sizes[2] <= 6 and sizes[2] < sizes[20] < sizes[100] < 30


@pytest.mark.parametrize(("scheme", "count"), [("one_vs_one", 6), ("one_vs_rest", 4), ("multiclass", 1)])
def test_members_have_their_classes_and_features(scheme, count):
    X, y = blobs()
    clf = BDNNEnsembleClassifier(TERNARY, scheme, 3, 2, random_state=0).fit(X, y)
    assert len(clf.members_) == 3 * count
    assert {len(member.features) for member in clf.members_} == {2}
    assert len({tuple(member.features) for member in clf.members_}) > 1
    groups = [tuple(member.network.classes.tolist()) for member in clf.members_]
    expected = {
        "one_vs_one": {(i, j) for i in range(4) for j in range(i + 1, 4)},
        "one_vs_rest": {(-1, c) for c in range(4)},
        "multiclass": {(0, 1, 2, 3)},
    }
    assert set(groups) == expected[scheme] and all(groups.count(group) == 3 for group in groups)
    assert clf.n_parameters == sum(W.size + b.size for m in clf.members_ for W, b in m.network.layers)
    # the choice of two of five inputs takes less than a byte; biases are kept as they are, since sums are compared
    assert clf.size_bytes <= sum(m.network.size_bytes + 2 for m in clf.members_)
    assert all(np.abs(W).max() <= 1 for m in clf.members_ for W, _ in m.network.layers)


def test_a_pair_is_trained_on_its_two_classes_alone():
    X, y = blobs()
    first = BDNNEnsembleClassifier(TERNARY, "one_vs_one", 1, random_state=3).fit(X, y)
    moved = X.copy()
    moved[y == "a"] = X[y == "b"]  # no member can tell the two apart any more
    second = BDNNEnsembleClassifier(TERNARY, "one_vs_one", 1, random_state=3).fit(moved, y)
    pairs = [tuple(member.network.classes.tolist()) for member in first.members_]
    assert pairs == list(itertools.combinations(range(4), 2))
    same = [one.network == other.network for one, other in zip(first.members_, second.members_, strict=True)]
    # code 0 is "a": the networks of the three other pairs stay, that of a and b cannot
    assert same[3:] == [True] * 3 and not same[0]
    assert (
        second.members_[0].network.predict_index(moved[y == "a"]).tolist()
        == [second.members_[0].network.predict_index(moved[y == "b"]).tolist()][0]
    )


def test_seeds_and_jobs_do_not_matter_for_the_answer():
    X, y = blobs()
    settings = {"scheme": "one_vs_one", "n_estimators": 2, "max_features": 0.5, "time_limit": None}
    one, again, two = (
        BDNNEnsembleClassifier(HIDDEN, **settings, n_jobs=jobs, random_state=5).fit(X, y) for jobs in (1, 1, 2)
    )
    other = BDNNEnsembleClassifier(HIDDEN, **settings, random_state=6).fit(X, y)
    networks = [[member.network for member in clf.members_] for clf in (one, again, two, other)]
    assert networks[0] == networks[1] == networks[2] != networks[3]


def test_weights_of_samples_count():
    X, y = [[0], [1], [1], [2]], [0, 1, 0, 1]
    for weight, label in (([1, 5, 1, 1], 1), ([1, 1, 5, 1], 0)):
        clf = BDNNEnsembleClassifier(TERNARY, n_estimators=1, random_state=0).fit(X, y, weight)
        assert clf.predict([[1]]).tolist() == [label]


def test_the_time_limit_is_for_all_members(monkeypatch):
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, (300, 6)), rng.integers(0, 4, 300)
    with ticking(3.0, step=2e-3):
        clf = BDNNEnsembleClassifier(HIDDEN, "one_vs_one", 2, time_limit=3.0, random_state=0).fit(X, y)
    assert len(clf.members_) == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "pairs"}, "scheme must be one of 'one_vs_one', 'one_vs_rest', 'multiclass', got 'pairs'"),
        ({"voting": "mean"}, "voting must be one of"),
        ({"n_estimators": 0}, "n_estimators must be a positive integer, got 0"),
        ({"max_features": 0}, "max_features must be"),
        ({"max_features": 6}, r"max_features must be an integer from 1 to the number of inputs \(5\)"),
        ({"max_features": 1.5}, "max_features must be"),
        ({"max_features": True}, "max_features must be"),
        ({"time_limit": -1}, "time limit"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"estimator": "big"}, "estimator must be a BDNNClassifier or None, got 'big'"),
        ({"hidden": "drawn"}, "hidden must be one of 'trained', 'random', 'comparisons', got 'drawn'"),
        ({"hidden": "random", "voting": "majority"}, "hidden='random' needs voting='sum'"),
        ({"hidden": "comparisons", "estimator": REAL}, "hidden='comparisons' needs an estimator of integer weights"),
        ({"hidden": "random", "estimator": TERNARY}, "needs an estimator with hidden layers"),
        ({"hidden": "random", "estimator": BDNNClassifier(0, weights="integer")}, "each hidden layer size"),
        (
            {"hidden": "random", "estimator": BDNNClassifier((2,), weights="integer", robust_radius=1.0)},
            "needs an estimator with robust_radius=0",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    X, y = blobs()
    with pytest.raises(InputError, match=message):
        BDNNEnsembleClassifier(**settings).fit(X, y)


def test_bad_data_are_refused():
    X, y = blobs()
    with pytest.raises(InputError, match="at least two classes"):
        BDNNEnsembleClassifier(TERNARY).fit(X, ["a"] * len(X))
    with pytest.raises(InputError, match="sample_weight must have shape"):
        BDNNEnsembleClassifier(TERNARY).fit(X, y, [1.0, 2.0])
    with pytest.raises(NotFittedError):
        BDNNEnsembleClassifier(TERNARY).predict(X)


@pytest.mark.parametrize("member", [TERNARY, REAL, None], ids=["ternary", "continuous", "default"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_files_come_back(scheme, member, tmp_path):
    X, y = blobs()
    frame = pd.DataFrame(X + 0.25, columns=list("vwxyz"))
    clf = BDNNEnsembleClassifier(member, scheme, 2, 0.5, "majority", random_state=np.random.RandomState(0))
    clf.fit(frame, y).save(tmp_path / "ensemble.json")
    again = bdnn.load(tmp_path / "ensemble.json")
    assert isinstance(again, BDNNEnsembleClassifier)
    np.testing.assert_array_equal(again.decision_function(frame), clf.decision_function(frame))
    assert again.predict(frame).tolist() == clf.predict(frame).tolist()
    assert again.feature_names_in_.tolist() == list("vwxyz")
    assert (again.scheme, again.voting, again.max_features, again.random_state) == (scheme, "majority", 0.5, None)
    again.save(tmp_path / "twice.json")
    assert (tmp_path / "twice.json").read_text() == (tmp_path / "ensemble.json").read_text()
    with pytest.raises(ModelFileError, match="holds an ensemble"):
        load_model(tmp_path / "ensemble.json")


def test_files_of_single_networks_still_give_classifiers(tmp_path):
    X, y = blobs()
    BDNNClassifier((2,), method="local_search").fit(X, y).save(tmp_path / "model.json")
    assert type(bdnn.load(tmp_path / "model.json")) is BDNNClassifier


@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"]], ids=len)
def test_commands_predict_and_evaluate_by_files_of_ensembles(labels, tmp_path, run):
    X, letters = blobs()
    codes = np.unique(letters, return_inverse=True)[1] % len(labels)
    y = np.array(labels)[codes]
    frame = pd.DataFrame(X.astype(int), columns=list("vwxyz")).assign(color=np.where(codes > 0, "red", "blue"))
    clf = BDNNEnsembleClassifier(TERNARY, n_estimators=2, probability="held_out", time_limit=0.6, random_state=0)
    clf.fit(frame, y).save(tmp_path / "m.json")
    frame.loc[0, "color"] = "green"
    frame.loc[1, "v"] = None
    frame.assign(label=y, name=[f"row {i}" for i in range(len(y))]).to_csv(tmp_path / "t.csv", index=False)
    files = tmp_path / "m.json", tmp_path / "t.csv"
    code, out, err = run("predict", *files, "--scores", "--proba", "--keep", "name")
    assert code == 0 and "not seen in the training, in 1 row of column 'color'" in err and len(err.splitlines()) == 1
    found = pd.read_csv(io.StringIO(out))
    assert found.pop("name").tolist() == [f"row {i}" for i in range(len(y))]
    assert found.pop("prediction").tolist() == clf.predict(frame).tolist()
    scores = ["score"] if len(labels) == 2 else [f"score_{label}" for label in labels]
    assert [*found] == scores + [f"probability_{label}" for label in labels]
    np.testing.assert_array_equal(np.squeeze(found[scores].to_numpy()), clf.decision_function(frame))
    np.testing.assert_array_equal(found.iloc[:, len(scores) :].to_numpy(), clf.predict_proba(frame))
    code, out, err = run("evaluate", *files, "--target", "label", "--json")
    report = json.loads(out)
    assert (code, report["rows"], report["classes"]) == (0, len(y), labels)
    assert report["accuracy"] == clf.score(frame, y)
    assert report["log_loss"] == pytest.approx(log_loss(y, clf.predict_proba(frame)), rel=1e-12)
    code, out, err = run("evaluate", *files)
    assert (code, out) == (2, "") and "does not name its target column; give it with --target" in err


def test_what_commands_cannot_predict_by_an_ensemble(tmp_path, run):
    X, y = blobs()
    BDNNEnsembleClassifier(TERNARY, n_estimators=1, time_limit=0.3, random_state=0).fit(X, y).save(tmp_path / "m.json")
    np.savetxt(tmp_path / "t.csv", X, delimiter=",", header="a,b,c,d,e", comments="")
    code, out, err = run("predict", tmp_path / "m.json", tmp_path / "t.csv", "--proba")
    assert (code, out) == (2, "") and "has no probabilities: train it as BDNNEnsembleClassifier(probability=" in err
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    code, out, err = run("predict", tmp_path / "m.json", tmp_path / "t.csv")
    assert (code, out) == (2, "") and "takes 5 features whose names it does not know" in err
    data = json.loads((tmp_path / "m.json").read_text())
    data["settings"]["scheme"] = "pairs"
    (tmp_path / "m.json").write_text(json.dumps(data))
    (tmp_path / "t.csv").write_text("a,b,c,d,e\n1,2,3,4,5\n")
    code, out, err = run("predict", tmp_path / "m.json", tmp_path / "t.csv")
    assert (code, out) == (2, "") and "m.json: not a usable model file: scheme must be one of" in err


def changed(data, path, value):
    *way, last = path
    for key in way:
        data = data[key]
    data[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["version"], 3),
        (["version"], True),
        (["members"], []),
        (["members"], {}),
        (["members", 0], 3),
        (["members", 0, "features"], [0, 99]),
        (["members", 0, "features"], [-1, 0]),
        (["members", 0, "features"], [0]),
        (["members", 0, "network", "classes", "values"], [0, 7]),
        (["members", 0, "network", "classes"], {"kind": "str", "values": ["0", "1"]}),
        (["classes", "values"], ["a", "a", "b", "c"]),
        (["classes", "values"], ["a"]),
        (["n_features"], 10**30),
        (["feature_names"], ["x"]),
        (["settings", "scheme"], "pairs"),
        (["settings", "voting"], 5),
        (["settings", "hidden"], "drawn"),
        (["settings", "estimator"], 1),
        (["settings", "more"], 1),
        (["estimator", "more"], 1),
        (["estimator"], [1]),
    ],
    ids=str,
)
def test_damaged_files_are_refused(path, value, tmp_path):
    X, y = blobs()
    file = tmp_path / "ensemble.json"
    BDNNEnsembleClassifier(TERNARY, "one_vs_one", 1, 2, random_state=0).fit(X, y).save(file)
    data = json.loads(file.read_text())
    bdnn.load(file)
    changed(data, path, value)
    file.write_text(json.dumps(data))
    with pytest.raises(ModelFileError, match="not a usable model file"):
        bdnn.load(file)
