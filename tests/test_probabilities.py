"""Calibrated probabilities: which rows they come from, what they are, and their way through files and commands."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import bdnn
import bdnn.estimators.fold_training as fold_training
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network
from bdnn.calibration import FRACTION, Calibration, held_out_fraction, pre_activations, probabilities
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators.base import seed_of
from bdnn.estimators.held_out import FOLDS, folds, folds_of_some
from bdnn.reports.metrics import measures
from bdnn.splitting import split


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: bdnn.Budget(**(limits | {"rounds": 3})))


def noisy(m=200, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, m)
    return rng.normal(size=(m, 3)) + 1.2 * np.eye(3)[y], np.array(["a", "b", "c"])[y]


def local(**settings):
    return BDNNClassifier((2,), "local_search", random_state=0, **settings)


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_pre_activations_are_those_that_the_network_signs(weights):
    X, y = noisy(80, 3)
    clf = BDNNClassifier((3, 2), "local_search", weights=weights, random_state=0).fit(X, y)
    values = pre_activations(clf.network_, X)
    fired = clf.network_.activations(X)
    np.testing.assert_array_equal(values[:, :3] >= 0, fired[0])
    np.testing.assert_array_equal(values[:, 3:5] >= 0, fired[1])
    np.testing.assert_array_equal(values[:, 5:], clf.decision_function(X))


def test_off_by_default_with_advice():
    X, y = noisy()
    for estimator in (local(), BDNNEnsembleClassifier(local(), n_estimators=1)):
        for one in (estimator, clone(estimator).fit(X, y)):
            assert not hasattr(one, "predict_proba") and not hasattr(one, "predict_log_proba")
            with pytest.raises(AttributeError) as raised:
                one.predict_proba  # noqa: B018
            assert f"set {type(one).__name__}(probability=True) before fit" in str(raised.value)
        assert one.calibration_ is None
    plain = local().fit(X, y)
    assert plain.network_ == local(probability="cross_fit").fit(X, y).network_, "cross-fitting costs no rows"


@pytest.mark.parametrize("rule", [True, "cross_fit", "held_out"])
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_probabilities_and_better_than_the_shares_of_the_classes(rule, classes):
    X, y = noisy(400, classes)
    new_X, new_y = noisy(400, classes, seed=1)
    for estimator in (local(), BDNNEnsembleClassifier(local(), n_estimators=2, random_state=0)):
        clf = estimator.set_params(probability=rule).fit(X, y)
        shares = clf.predict_proba(new_X)
        assert shares.shape == (400, classes) and np.all(shares >= 0)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_allclose(clf.predict_log_proba(new_X), np.log(shares))
        prior = np.tile(np.unique(y, return_counts=True)[1] / 400, (400, 1))
        assert log_loss(new_y, shares) < 0.85 * log_loss(new_y, prior)
        assert clf.calibration_.rule == ("cross_fit" if rule is True else rule)
        if rule != "held_out":  # by few rows
            assert abs(clf.calibration_.log_loss - log_loss(new_y, shares)) < 0.1


@pytest.mark.parametrize("rule", ["cross_fit", "held_out"])
def test_with_many_classes_the_figures_are_not_better_than_those_of_new_rows(rule):
    X, y = load_digits(return_X_y=True)
    new = np.arange(len(y)) % 2 == 0
    clf = BDNNClassifier((6,), "local_search", probability=rule, random_state=0).fit(X[~new], y[~new])
    shares = clf.predict_proba(X[new])
    found = measures(clf.classes_, y[new], shares.argmax(axis=1), shares, shares)
    assert clf.calibration_.log_loss > 0.9 * found["log_loss"]
    assert clf.calibration_.brier > 0.9 * found["brier"]
    assert shares.max(axis=1).mean() < found["accuracy"] + 0.02, "not surer than right"


def test_a_class_with_one_held_out_row_is_fitted_but_not_measured():
    X, y = noisy(120, 2)
    X, y = np.vstack([X, np.full((4, 3), 5.0) + np.eye(4)[:, :3]]), np.append(y, ["c"] * 4)
    clf = local(probability="held_out").fit(X, y)
    held_out = split(X, y, FRACTION, seed_of(0))[1]
    assert np.sum(y[held_out] == "c") == 1 and clf.calibration_.rows == len(held_out)
    parts = folds_of_some(X[held_out], np.unique(y[held_out], return_inverse=True)[1], seed_of(0))
    measured = np.concatenate([others for _, others in parts])
    assert sorted(measured) == np.flatnonzero(y[held_out] != "c").tolist()
    assert all(set(y[held_out][training]) == {"a", "b", "c"} for training, _ in parts)
    assert clf.calibration_.log_loss < 1 and clf.predict_proba(X).shape == (124, 3)


def test_held_out_rows_train_nothing_and_are_what_is_fitted():
    X, y = noisy()
    clf = local(probability="held_out").fit(X, y)
    training, held_out = split(X, y, FRACTION, seed_of(0))
    assert clf.result_.n_rows == len(training) and clf.calibration_.rows == len(held_out)
    assert clf.network_ == local().fit(X[training], y[training]).network_
    values, truth = pre_activations(clf.network_, X[held_out]), y[held_out]

    def by_hand(rows, others):
        center, scale = values[rows].mean(axis=0), values[rows].std(axis=0)
        scale = np.where(scale > 0, scale, 1)
        model = LogisticRegression(C=1.0, max_iter=1000).fit((values[rows] - center) / scale, truth[rows])
        clipped = np.clip(values[others], values[rows].min(axis=0), values[rows].max(axis=0))
        return model.predict_proba((clipped - center) / scale)

    # measured on parts that did not fit
    shares, everything = np.zeros((len(held_out), 2)), np.arange(len(held_out))
    for rows, others in folds(X[held_out], (truth == "b").astype(int), seed_of(0)):
        shares[others] = by_hand(rows, others)
    assert clf.calibration_.log_loss == pytest.approx(log_loss(truth, shares), rel=1e-9)
    second = brier_score_loss(truth, shares[:, 1], pos_label="b")
    assert clf.calibration_.brier == pytest.approx(second, rel=1e-9)
    shares = clf.predict_proba(X[held_out])
    np.testing.assert_allclose(shares, by_hand(everything, everything), rtol=1e-9)
    assert clf.calibration_.log_loss > log_loss(truth, shares)
    # and far away from them nothing is extrapolated
    assert clf.predict_proba(1e6 * X).max() <= clf.predict_proba(X).max() + 0.2


@pytest.mark.parametrize("classes", [2, 3])
def test_cross_fitting_by_hand(classes):
    X, y = noisy(120, classes)
    weight = np.random.default_rng(0).integers(1, 3, len(y)).astype(float)
    clf = local(probability=True).fit(X, y, weight)
    codes, seed = np.unique(y, return_inverse=True)[1], seed_of(0)

    outputs, inverse = (1, 0.3) if classes == 2 else (3, 1.0)

    def read(network, rows):
        values = pre_activations(network, X[rows])
        hidden, out = values[:, :-outputs], values[:, -outputs:]
        center, scale = hidden.mean(axis=0), hidden.std(axis=0)
        model = LogisticRegression(C=inverse, max_iter=1000).fit((hidden - center) / scale, codes[rows], weight[rows])

        def signals(others):
            clipped = np.clip(pre_activations(network, X[others]), values.min(axis=0), values.max(axis=0))
            found = model.decision_function((clipped[:, :-outputs] - center) / scale)
            spread = np.where(out.std(axis=0) > 0, out.std(axis=0), 1)
            return np.column_stack([found, (clipped[:, -outputs:] - out.mean(axis=0)) / spread])

        return signals

    made, order = [], []
    for training, others in folds(X, codes, seed):
        other = local().set_params(random_state=seed).fit(X[training], y[training], weight[training])
        made.append(read(other.network_, training)(others))
        order.append(others)
    rows = np.concatenate(order)
    assert sorted(rows) == list(range(len(y))) and len(order) == FOLDS
    seen, fold = np.concatenate(made), np.repeat(np.arange(FOLDS), [len(part) for part in order])

    def separate(fitted, others):
        model = LogisticRegression(C=1.0, max_iter=1000).fit(seen[fitted], codes[rows][fitted], weight[rows][fitted])
        return model.predict_proba(others)

    def alike(n_blocks):
        def fit(fitted, others):
            truth, counts = codes[rows][fitted], weight[rows][fitted]

            def logits(unknown, values):
                blocks = values.reshape(len(values), -1, classes)[:, :n_blocks]
                return np.tensordot(unknown[:n_blocks], blocks, axes=(0, 1)) + unknown[n_blocks:]

            def loss(unknown):
                right = logits(unknown, seen[fitted])
                return counts @ (logsumexp(right, axis=1) - right[np.arange(len(truth)), truth]) + unknown @ unknown / 2

            return softmax(logits(minimize(loss, np.zeros(n_blocks + classes)).x, others), axis=1)

        return fit

    losses, ways = [], [separate] if classes == 2 else [alike(1), alike(2)]
    for way in ways:
        shares = np.zeros((len(rows), classes))
        for one in range(FOLDS):
            shares[fold == one] = way(fold != one, seen[fold == one])
        losses.append(log_loss(codes[rows], shares, sample_weight=weight[rows]))
    assert clf.calibration_.log_loss == pytest.approx(min(losses), rel=1e-4)
    best = ways[int(np.argmin(losses))]
    expected = best(np.full(len(rows), True), read(clf.network_, np.arange(len(y)))(np.arange(len(y))))
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-6 if best is separate else 1e-3)


def test_folds_keep_equal_rows_together_and_every_class_in_training():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (60, 2)).astype(float)
    codes = np.arange(60) % 3
    for training, others in folds(X, codes, 0):
        assert not {tuple(x) for x in X[training].tolist()} & {tuple(x) for x in X[others].tolist()}
        assert set(codes[training]) == {0, 1, 2}
    # two different rows only: together they would leave a class out
    for training, _ in folds(np.repeat([[0.0], [1.0]], 4, axis=0), np.repeat([0, 1], 4), 0):
        assert set(np.repeat([0, 1], 4)[training]) == {0, 1}
    for rule, y, message in (
        (True, [0] * 5 + [1], "at least two rows of each class"),
        ("held_out", [0] * 9 + [1] * 2, "cannot hold out a fraction=0.25|needs held-out rows of every class"),
    ):
        few = rng.normal(size=(len(y), 2))
        few[-1] = few[-2]
        for estimator in (local(probability=rule), BDNNEnsembleClassifier(local(), probability=rule)):
            with pytest.raises(InputError, match=message):
                estimator.fit(few, y)


def test_class_weights_move_the_network_but_not_the_probabilities():
    X, y = noisy(600)
    rare = (y == "a") | (np.arange(600) % 5 == 0)
    X, y = X[rare], y[rare]
    clf = local(probability=True, class_weight="balanced").fit(X, y)
    assert abs(clf.predict_proba(X)[:, 1].mean() - np.mean(y == "b")) < 0.03
    assert np.mean(clf.predict(X) == "b") > 1.3 * np.mean(y == "b")


def test_an_interrupted_fit_says_that_it_has_no_probabilities():
    X, y = noisy()

    def stop(progress):
        raise KeyboardInterrupt

    clf = local(probability=True)
    with pytest.warns(UserWarning, match="interrupted before probabilities could be calibrated"):
        clf.fit(X, y, on_progress=stop)
    assert clf.result_.interrupted and clf.calibration_ is None and not hasattr(clf, "predict_proba")
    with pytest.raises(AttributeError) as raised:
        clf.predict_proba  # noqa: B018
    assert "has no calibration" in str(raised.value)


@pytest.mark.parametrize("given", ["yes", 1, None])
def test_odd_settings_are_refused(given):
    X, y = noisy()
    for estimator in (local(probability=given), BDNNEnsembleClassifier(probability=given)):
        with pytest.raises(ValueError, match="probability must be False, True, 'cross_fit' or 'held_out'"):
            estimator.fit(X, y)
    for settings, message in (
        ({"probability": True}, "give it to the ensemble"),
        ({"decision_threshold": {"recall": 0.9}}, "compare predict_proba"),
    ):
        with pytest.raises(ValueError, match=message):
            BDNNEnsembleClassifier(local(**settings)).fit(X, y)
    assert held_out_fraction({"validation_fraction": 0.1, "probability": "held_out"}) == 0.1
    assert held_out_fraction({"probability": "cross_fit"}) == 0 == held_out_fraction({})


def test_files(tmp_path):
    X, y = noisy(120, 3)
    path = tmp_path / "m.json"
    for estimator in (local(), BDNNEnsembleClassifier(local(), n_estimators=2, random_state=0)):
        clone(estimator).fit(X, y).save(path)
        assert json.loads(path.read_text())["version"] == 1, "older versions can read it"
        clf = estimator.set_params(probability=True).fit(X, y)
        clf.save(path)
        document = json.loads(path.read_text())
        assert document["version"] == 2
        again = bdnn.load(path)
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert again.get_params(deep=False).keys() == clf.get_params(deep=False).keys() and again.probability is True
        good = document["calibration"]
        damages = (
            {"rule": "magic"}, {"rule": []}, {"weights": good["weights"][:-1]}, {"weights": 3}, {"bias": ["1", 2, 3]},
            {"weights": [[1], [1, 2]]}, {"bias": [1.0]}, {"rows": 0}, {"high": [-1e9] * len(good["low"])},
            {"rows": True}, {"log_loss": -1.0}, {"brier": None}, {"high": [1e400] * len(good["low"])},
            {"bias": [10**400] * 3}, {"low": [True] * len(good["low"])},
        )  # fmt: skip
        for damage in damages:
            path.write_text(json.dumps(document | {"calibration": good | damage}))
            with pytest.raises(ModelFileError, match=r"calibration|not a number"):
                bdnn.load(path)
        path.write_text(json.dumps({name: part for name, part in document.items() if name != "calibration"}))
        assert not hasattr(bdnn.load(path), "predict_proba")


def test_logits_become_probabilities_without_overflow():
    assert probabilities(np.array([[0.0], [1e5], [-1e5]])).tolist() == [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(probabilities(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])
    made = Calibration("held_out", np.array([[1.0]]), np.array([0.0]), np.array([-1.0]), np.array([1.0]), 1, 0.0, 0.0)
    assert made.probabilities(np.array([[9.0]])).tolist() == made.probabilities(np.array([[1.0]])).tolist()
    assert Calibration.from_json(made.to_json(), 1, 2).to_json() == made.to_json()


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for classes in (np.array(["n", "y"]), np.array([1, 2, 3])):
        k = len(classes)
        truth, predicted = rng.integers(0, k, 50), rng.integers(0, k, 50)
        shares = rng.dirichlet(np.ones(k), 50)
        found = measures(classes, truth, predicted, np.zeros((50, k)), shares)
        assert found["log_loss"] == pytest.approx(log_loss(truth, shares))
        assert found["accuracy"] == np.mean(truth == predicted) and sum(map(sum, found["confusion"])) == 50
        recalls = [np.mean(predicted[truth == c] == c) for c in range(k)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
        assert [each["recall"] for each in found["by_class"]] == pytest.approx(recalls)
        if k == 2:
            assert found["brier"] == pytest.approx(brier_score_loss(truth, shares[:, 1]))
            assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, shares[:, 1]))
        else:
            assert found["brier"] == pytest.approx(np.mean(((shares - np.eye(3)[truth]) ** 2).sum(axis=1)))
            assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, shares, multi_class="ovr"))
    ones = np.ones(3, dtype=int)
    alone = measures(np.array([0, 1]), ones, ones, np.array([1.0, 2.0, 3.0]))
    assert alone["roc_auc"] is None and alone["balanced_accuracy"] == 1.0 and "log_loss" not in alone


def test_the_command_line(run, tmp_path):
    X, y = noisy(160)
    table, model = tmp_path / "table.csv", tmp_path / "m.json"
    lines = [",".join([*map(repr, row), label]) for row, label in zip(X.tolist(), y.tolist(), strict=True)]
    table.write_text("\n".join(["p,q,r,target", *lines]) + "\n")
    words = ["train", table, "--target", "target", "--method", "local_search", "--quiet", "--out", model]
    assert run(*words)[0] == 0
    code, _, err = run("predict", model, table, "--proba")
    assert code == 2 and "train it with --probability" in err
    code, out, _ = run(*words[:2], "--probability", "held-out", *words[2:])
    assert code == 0 and "which did not train the network" in out
    assert bdnn.load(model).probability == bdnn.load(model).calibration_.rule == "held_out"
    code, _, err = run(*words, "--probability", "platt")
    assert code == 2 and "'platt' is neither cross-fit nor held-out" in err
    code, out, _ = run(*words[:2], "--probability", *words[2:])
    assert code == 0 and "probabilities     log-loss" in out and bdnn.load(model).calibration_.rule == "cross_fit"
    clf = bdnn.load(model)
    rows = [line.split(",") for line in run("predict", model, table, "--proba")[1].splitlines()]
    assert rows[0] == ["prediction", "probability_a", "probability_b"]
    np.testing.assert_array_equal([[float(cell) for cell in row[1:]] for row in rows[1:]], clf.predict_proba(X))
    figures = json.loads(run("evaluate", model, table, "--json")[1])
    assert figures["roc_auc_of"] == "probabilities"
    assert figures["log_loss"] == pytest.approx(log_loss(y, clf.predict_proba(X)))
    assert "Brier score" in run("evaluate", model, table)[1]
    assert "log-loss" in run("inspect", model)[1]
    assert json.loads(run("inspect", model, "--json")[1])["calibration"]["rows"] == 120
    page = tmp_path / "report.html"
    assert run("report", model, table, "--out", page, "--rows", 0)[0] == 0
    assert "--probability" in page.read_text() and "Brier score" in page.read_text()
    assert isinstance(clf.network_, Network)


def test_networks_of_folds_leave_time_for_the_regressions(monkeypatch):
    late, given = [0.0], []

    def slow(*call):
        late[0] += 1.0
        return signals(*call)

    def limited(**limits):
        given.append(limits["seconds"])
        return bdnn.Budget(**(limits | {"rounds": 3}))

    monkeypatch.setattr("bdnn.budget.reading", lambda: late[0])
    monkeypatch.setattr("bdnn.estimators.base.Budget", limited)
    signals = fold_training._signals
    monkeypatch.setattr(fold_training, "_signals", slow)
    X, y = noisy()
    local(probability=True, time_limit=19).fit(X, y)
    # of the 18 s that are left at the start of four networks, 9 regressions may take as long as the first one, 1 s
    assert given[:2] == [19, (18 - 9) / FOLDS] and len(given) == 1 + FOLDS
