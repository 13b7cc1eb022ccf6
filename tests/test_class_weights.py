"""Class weights: exact sums, every method against rows that are repeated, certificates and the command line."""

import itertools
import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Problem
from bdnn.errors import CertificateError
from bdnn.estimators.base import seed_of
from bdnn.estimators.class_weights import class_weights
from bdnn.methods import METHODS
from bdnn.network.losses import step
from bdnn.problem.audit import audit
from bdnn.splitting import split


def blobs(m=24, seed=0, classes=2, rare=4):
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(m) % rare == 0, 1 + np.arange(m) // rare % (classes - 1), 0)
    return rng.integers(0, 4, (m, 2)).astype(float), y


COUNTS = [[5, 3], [357, 212], [1, 1000], [7, 7], [4, 6, 9], [1, 2, 3, 5, 7], [2, 0, 6]]


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("weight", [None, 0.375, 6.0])
def test_balanced_weights_are_in_exact_ratio(counts, weight):
    codes = np.repeat(np.arange(len(counts)), counts)
    own = None if weight is None else np.where(np.arange(len(codes)) % 3, weight, 2 * weight)
    found = class_weights("balanced", np.arange(len(counts)), codes, own)
    rows = found[codes] * (1.0 if own is None else own)
    exact = [
        Fraction(found[c]) * Fraction(w)
        for c, w in zip(codes.tolist(), (np.ones(len(codes)) if own is None else own).tolist(), strict=True)
    ]
    assert [Fraction(w) for w in rows.tolist()] == exact
    totals = {sum(w for w, c in zip(exact, codes.tolist(), strict=True) if c == k) for k in set(codes.tolist())}
    assert len(totals) == 1
    assert step(rows) > 0
    assert 0.7 < sum(exact) / Fraction(len(codes) if own is None else float(own.sum())) < 1.5


def test_balanced_weights_of_many_primes_are_rounded():
    counts = [101, 103, 107, 109, 113, 127, 131, 137]
    codes = np.repeat(np.arange(len(counts)), counts)
    found = class_weights("balanced", np.arange(len(counts)), codes)
    np.testing.assert_allclose(found, sum(counts) / (len(counts) * np.array(counts)), atol=2.0**-21, rtol=0)
    assert np.array_equal(np.ldexp(found, 20), np.rint(np.ldexp(found, 20))) and step(found[codes]) > 0
    reals = np.random.default_rng(0).random(len(codes))
    found = class_weights("balanced", np.arange(len(counts)), codes, reals)
    totals = [reals[codes == k].sum() * found[k] for k in range(len(counts))]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)


def test_given_weights_are_kept_or_rounded_to_a_millionth_of_the_largest():
    classes, codes = np.array(["a", "b", "c"]), np.array([0, 1, 2])
    for kept in ([1.0, 2.5, 7.0], [1e7, 1.0, 3.0], [0.375, 0.0, 96.0], [0.1, 0.1, 0.2]):
        assert class_weights(dict(zip("abc", kept, strict=True)), classes, codes).tolist() == kept
    found = class_weights({"a": 0.1, "b": 0.7, "c": 1.0}, classes, codes)
    np.testing.assert_allclose(found, [0.1, 0.7, 1.0], atol=2.0**-20, rtol=0)
    assert step(found) == 2.0**-19 * np.gcd.reduce(np.rint(found * 2**19).astype(int))
    with pytest.warns(UserWarning, match="class_weight of b is less than a millionth of the largest and counts as 0"):
        assert class_weights({"a": 1000, "b": 0.0001, "c": 1}, classes, codes).tolist() == [1000.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("equal", "None, 'balanced' or a dict"),
        ([1, 2], "None, 'balanced' or a dict"),
        ({"yes": -1}, "not negative, got -1"),
        ({"yes": np.inf}, "not negative, got inf"),
        ({"yes": "2"}, "not negative, got '2'"),
        ({"maybe": 2}, "names 'maybe', which is no class; the classes are no, yes"),
        ({1: 2}, "names 1, which is no class"),
        ({"no": 0, "yes": 0}, "class_weight must not be 0 for every class"),
    ],
    ids=str,
)
def test_odd_class_weights_are_refused(given, message):
    X, y = blobs()
    labels = np.array(["no", "yes"])[y]
    for estimator in (BDNNClassifier(class_weight=given), BDNNEnsembleClassifier(class_weight=given)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, labels)


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [False, True], [0.0, 2.0]], ids=str)
def test_labels_are_found_by_value_and_by_text(labels):
    classes = np.array(labels)
    for key in (labels[1], str(labels[1]), classes[1]):
        assert class_weights({key: 5}, classes, np.array([0, 1])).tolist() == [1.0, 5.0]


SETTINGS = {
    "exact": dict(method="exact", hidden_layer_sizes=(1,)),
    "big_m": dict(method="exact", hidden_layer_sizes=(), formulation="big_m"),
    "integers": dict(method="exact", hidden_layer_sizes=(), weights="integer"),
    "robust": dict(method="exact", hidden_layer_sizes=(), robust_radius=0.25),
    "worst case": dict(method="exact", hidden_layer_sizes=(), robust_radius=0.25, robust_model="worst_case"),
    "l0": dict(method="exact", hidden_layer_sizes=(), regularizer="l0", regularization=0.25),
    "argmax": dict(method="exact", hidden_layer_sizes=(), head="argmax"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_exact_methods_minimize_the_weighted_loss_as_if_rows_were_repeated(name):
    X, y = blobs(8, seed=3)
    fit = BDNNClassifier(class_weight={1: 3}, random_state=0, **SETTINGS[name]).fit(X, y)
    rows = np.concatenate([np.arange(len(y)), *[np.flatnonzero(y == 1)] * 2])
    repeated = BDNNClassifier(random_state=0, **SETTINGS[name]).fit(X[rows], y[rows])
    assert fit.result_.status == repeated.result_.status == "optimal"
    assert fit.result_.objective == pytest.approx(repeated.result_.objective, rel=1e-9)
    assert fit.result_.bound == pytest.approx(repeated.result_.bound, rel=1e-9)
    assert fit.result_.irreducible == repeated.result_.irreducible
    assert fit.result_.weighted and fit.result_.class_weight == (1.0, 3.0)
    assert not repeated.result_.weighted and repeated.result_.class_weight is None


def test_the_weighted_optimum_is_that_of_brute_force():
    X, y = blobs(16, seed=1)
    clf = BDNNClassifier((), "exact", weights="integer", class_weight={0: 1.0, 1: 2.5}).fit(X, y)
    weight = np.where(y == 1, 2.5, 1.0)
    best = min(
        weight[(X @ np.array(w) + b >= 0) != (y == 1)].sum()
        for w in itertools.product((-1, 0, 1), repeat=2)
        for b in range(-8, 9)
    )
    assert clf.result_.objective == clf.result_.bound == best
    assert clf.result_.audit.n_wrong == np.sum(clf.predict(X) != y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_method_weighs_classes(method, classes):
    X, y = blobs(40, classes=classes)
    labels = np.array(["a", "b", "c"])[y]
    clf = BDNNClassifier((2,), method, class_weight="balanced", time_limit=0.5, random_state=0, max_splits=3)
    clf.fit(X, labels)
    counts = np.bincount(y)
    assert len({Fraction(w) * int(n) for w, n in zip(clf.class_weight_.tolist(), counts, strict=True)}) == 1
    weight = clf.class_weight_[y]
    wrong = clf.predict(X) != labels
    assert clf.result_.objective == weight[wrong].sum()
    assert clf.result_.objective == audit(clf.network_, Problem(X=X, y=labels, sample_weight=weight)).loss
    # a constant answer, which every method starts from, loses all classes but one
    assert clf.result_.objective <= weight.sum() * (1 - 1 / classes) + 1e-9


def test_class_weights_multiply_sample_weights_and_warm_starts_keep_the_better_network():
    X, y = blobs(30)
    own = np.where(np.arange(30) % 2, 1.0, 2.0)
    clf = BDNNClassifier((2,), "local_search", class_weight={1: 4}, time_limit=0.2, random_state=0, warm_start=True)
    clf.fit(X, y, own)
    weight = np.where(y == 1, 4.0, 1.0) * own
    first = clf.result_.objective
    assert first == weight[clf.predict(X) != y].sum()
    assert clf.set_params(time_limit=0.1, random_state=1).fit(X, y, own).result_.objective <= first


def test_held_out_rows_choose_by_balanced_accuracy():
    X, y = blobs(120, rare=6)
    X[:, 0] += y
    clf = BDNNClassifier((2,), "local_search", class_weight="balanced", validation_fraction=0.5, random_state=0)
    clf.set_params(time_limit=0.5).fit(X, y)
    training, held_out = split(X, y, 0.5, seed_of(0))
    right = clf.predict(X[held_out]) == y[held_out]
    recalls = [right[y[held_out] == c].mean() for c in (0, 1)]
    assert clf.result_.validation_accuracy == pytest.approx(np.mean(recalls), rel=1e-12)
    totals = np.bincount(y[training]) * clf.class_weight_
    assert totals[0] == totals[1]


@pytest.mark.parametrize("scheme", ["one_vs_one", "one_vs_rest", "multiclass"])
def test_ensembles_weigh_classes_like_repeated_rows(scheme, monkeypatch):
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: bdnn.Budget(**(limits | {"rounds": 5})))
    X, y = blobs(60, classes=3)
    member = BDNNClassifier((3,), "local_search", weights="integer")
    made = BDNNEnsembleClassifier(member, scheme, 2, class_weight={1: 2, 2: 2}, random_state=0).fit(X, y)
    own = np.where(y == 0, 1.0, 2.0)
    same = BDNNEnsembleClassifier(member, scheme, 2, random_state=0).fit(X, y, own)
    assert [m.network for m in made.members_] == [m.network for m in same.members_]
    with pytest.raises(ValueError, match="give it to the ensemble"):
        BDNNEnsembleClassifier(BDNNClassifier(class_weight={1: 2})).fit(X, y)


def test_settings_survive_a_file(tmp_path):
    X, y = blobs(30)
    for labels in (np.array(["no", "yes"])[y], y, y == 1, y * 2.0):
        weights = {labels[y == 1][0]: 2.5}
        for clf in (
            BDNNClassifier((1,), "local_search", class_weight=weights, time_limit=0.1, random_state=0),
            BDNNEnsembleClassifier(
                BDNNClassifier((1,), "local_search"), n_estimators=1, class_weight=weights, time_limit=0.1
            ),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # of the margins
                clf.fit(X, labels).save(tmp_path / "m.json")
            again = bdnn.load(tmp_path / "m.json")
            assert again.class_weight == weights
            assert class_weights(again.class_weight, again.classes_, y).tolist() == [1.0, 2.5]
            if isinstance(clf, BDNNClassifier):
                assert again.class_weight_.tolist() == clf.class_weight_.tolist() == [1.0, 2.5]


@pytest.mark.parametrize("given", ["balanced", {1: 3}], ids=str)
def test_certificates_know_the_weights(given, tmp_path):
    X, y = blobs(14, seed=3)
    clf = BDNNClassifier((), "exact", class_weight=given, certificate=True, random_state=0).fit(X, y)
    content = clf.result_.certificate
    proven = bdnn.verify_certificate(content, X, y)
    assert proven.optimal and proven.loss == Fraction(clf.result_.objective)
    assert "weighted loss" in proven.statement and ("balanced" in proven.statement) == (given == "balanced")
    bdnn.save_certificate(content, tmp_path / "c.json.gz")
    assert bdnn.verify_certificate(tmp_path / "c.json.gz", X, y).loss == proven.loss
    for change, message in (
        ({"weights": [1.0, 7.0], "rule": "given"}, "sha256"),
        ({"weights": [1.0, -7.0], "rule": "given"}, "not negative"),
        ({"weights": [1.0], "rule": "given"}, "length 2"),
        ({"weights": [1.0, 1.0], "rule": "magic"}, "must be 'given' or 'balanced'"),
        ({"weights": content["class_weight"]["weights"]}, "'rule' is missing"),
    ):
        with pytest.raises(CertificateError, match=message):
            bdnn.verify_certificate(content | {"class_weight": change}, X, y)
    if given != "balanced":
        lie = content | {"class_weight": content["class_weight"] | {"rule": "balanced"}}
        with pytest.raises(CertificateError, match="says 'balanced', but the classes have total weights"):
            bdnn.verify_certificate(lie, X, y)


@pytest.fixture
def table(tmp_path):
    X, y = blobs(48, seed=3)
    lines = [f"{a:g},{b:g},{('no', 'yes')[c]}" for (a, b), c in zip(X.tolist(), y.tolist(), strict=True)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,b,target", *lines]) + "\n")
    return path


def test_the_command_line(table, tmp_path, run):
    model, proof = tmp_path / "m.json", tmp_path / "c.json"
    words = ["--target", "target", "--hidden", "none", "--method", "exact", "--quiet", "--class-weight", "balanced"]
    code, out, _ = run("train", table, *words, "--out", model, "--certificate", proof)
    assert code == 0 and "weighted loss" in out and "class weights" in out and "training errors" in out
    assert "weighted loss" in run("inspect", model)[1]
    for more in ((), ("--seed", "0", "--target", "target")):
        code, out, err = run("verify", proof, table, *more)
        assert (code, err) == (0, "") and "weighted loss" in out and "balanced" in out
    loss = json.loads(model.read_text())["result"]["objective"]
    bound = ["bound", table, "--target", "target", "--class-weight", "balanced", "--quiet"]
    assert json.loads(run(*bound, "--json")[1])["bound"] == loss
    assert f"no weighted loss is below {loss:g}" in run(*bound)[1]
    for wrong in ("yes", "yes=x", "=2", "yes=1,"):
        code, _, err = run("train", table, "--target", "target", "--class-weight", wrong)
        assert code == 2 and "such as no=1,yes=5" in err
    code, _, err = run("train", table, "--target", "target", "--class-weight", "maybe=2", "--quiet")
    assert code == 2 and "names 'maybe', which is no class; the classes are no, yes" in err
    code, out, _ = run("train", table, *words[:-1], "no=1,yes=2.5", "--out", model, "--json")
    report = json.loads(out)
    assert report["weighted"] and report["class_weight"] == {"no": 1.0, "yes": 2.5}
    assert report["training_errors"] == bdnn.load(model).result_.audit.n_wrong
