"""Hidden layers and thresholds that are left open: what is tried, what wins, and where nothing is tried."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re

import numpy as np
import pandas as pd
import pytest

import bdnn.estimators.classifier as classifier_module
import bdnn.problem.shapes as shapes
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget, Problem, load
from bdnn.errors import InputError
from bdnn.methods.local_search import LocalSearch
from bdnn.progress import ProgressLines
from clocks import ticking

SETTINGS = {"random_state": 0, "time_limit": 20.0}


@pytest.fixture(autouse=True)
def few_short_runs(monkeypatch):
    """Fewer widths, and a clock that makes limits of time the same on every machine."""
    monkeypatch.setattr(shapes, "WIDTHS", ((), (4,), (16,)))
    with ticking(step=1e-3) as clock:
        yield clock


def parity(m, seed=0):
    """Points in four squares, of which opposite ones have the same label: no neuron alone tells them apart."""
    X = np.random.default_rng(seed).uniform(-1, 1, (m, 2))
    return X, np.where(X[:, 0] * X[:, 1] > 0, "same", "differ")


def stripes(m, seed=0):
    """Points of one column that matters, whose label changes seven times, and others that do not."""
    X = np.random.default_rng(seed).uniform(0, 8, (m, 3))
    return X, X[:, 0].astype(int) % 2


def fit(X, y, **settings):
    return BDNNClassifier(**SETTINGS | settings).fit(X, y)


def test_neurons_are_chosen_where_none_is_not_enough(monkeypatch):
    monkeypatch.undo()  # all widths
    clf = fit(*parity(120))
    best, *others = clf.selection_
    assert best.hidden_layer_sizes == clf.network_.widths[:-1] and sum(best.hidden_layer_sizes) >= 2
    assert clf.score(*parity(1000, seed=1)) > 0.85
    assert {each.hidden_layer_sizes for each in clf.selection_} == {(), (2,), (4,), (8,), (16,), (32,)}
    assert {each.thresholds for each in clf.selection_} == {None, 16} and len(clf.selection_) == 12
    accuracies = [each.accuracy for each in clf.selection_]
    assert accuracies == sorted(accuracies, reverse=True) and 0 < accuracies[-1] < 0.95 < accuracies[0] + 0.1
    alone = next(each for each in others if each.hidden_layer_sizes == () and each.thresholds is None)
    assert alone.accuracy < 0.8  # three of four squares at best
    assert clf.hidden_layer_sizes == "auto" and clf.get_params()["hidden_layer_sizes"] == "auto"


def test_thresholds_are_chosen_where_a_number_is_not_enough_and_kept_in_model_files(tmp_path):
    X, y = stripes(240)
    clf = fit(X, y)
    assert clf.selection_[0].thresholds == 16 and clf.network_.n_features > 3
    X_new, y_new = stripes(500, seed=1)
    assert clf.score(X_new, y_new) > 0.8
    clf.save(tmp_path / "model.json")
    again = load(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(X_new), clf.predict(X_new))
    assert tuple(again.hidden_layer_sizes) == clf.network_.widths[:-1] and again.thresholds == 16
    assert again.selection_ == ()


def test_equal_seeds_choose_the_same():
    X, y = parity(120)
    one, two = fit(X, y), fit(X, y)
    assert [(each.described, each.accuracy, each.rounds) for each in one.selection_] == [
        (each.described, each.accuracy, each.rounds) for each in two.selection_
    ]
    assert one.network_ == two.network_


def test_thresholds_that_are_given_are_not_chosen():
    X, y = stripes(200)
    assert {each.thresholds for each in fit(X, y, thresholds=7, time_limit=5).selection_} == {7}
    X, y = parity(200)
    few = fit((X > 0) * 1.0, y, time_limit=5)  # four different rows
    assert few.selection_ == () and few.network_.widths == (2, 1)


LEFT = {
    "few rows": ({}, 90),
    "exact": ({"method": "exact", "time_limit": 0.3}, 120),
    "alternating": ({"method": "alternating", "time_limit": 0.3, "incumbents": "none"}, 120),
    "data splitting": ({"method": "data_splitting", "time_limit": 0.3}, 120),
    "regularizer": ({"regularizer": "l1", "regularization": 0.1, "time_limit": 0.3}, 120),
    "robust": ({"robust_radius": 0.01, "time_limit": 0.3, "method": "local_search"}, 120),
    "few columns": ({"max_features": 1, "time_limit": 2}, 120),
    "signs": ({"monotonic": [1, 0], "time_limit": 2}, 120),
    "no time": ({"time_limit": 0.1}, 120),
}


@pytest.mark.parametrize("name", LEFT)
def test_where_nothing_is_tried_there_are_two_neurons(name, recwarn):
    settings, m = LEFT[name]
    with ticking(step=1e-3):
        clf = fit(*parity(m), **settings)
    assert clf.selection_ == () and clf.network_.widths == (2, 1)


def test_a_warm_start_keeps_its_layers():
    X, y = parity(120)
    clf = fit(X, y, hidden_layer_sizes=(3,), warm_start=True, time_limit=5)
    first = clf.result_.objective
    clf.set_params(hidden_layer_sizes="auto").fit(X, y)
    assert clf.network_.widths == (3, 1) and clf.selection_ == () and clf.result_.objective <= first


def test_accuracies_are_weighted_as_the_loss_is():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), np.arange(200) % 10 == 0  # labels that mean nothing
    plain, balanced = (fit(X, y, class_weight=given, time_limit=5).selection_ for given in (None, "balanced"))
    assert plain[0].accuracy >= 0.85 and balanced[0].accuracy <= 0.75
    weight = np.where(y, 9.0, 1.0)
    weighted = BDNNClassifier(**SETTINGS | {"time_limit": 5}).fit(X, y, weight).selection_
    assert weighted[0].accuracy <= 0.75


def test_rows_of_a_validation_fraction_judge():
    X, y = parity(200)
    clf = fit(X, y, validation_fraction=0.3, time_limit=5)
    assert clf.selection_ and clf.result_.n_rows == 140 and clf.result_.validation_accuracy is not None
    assert {round(each.accuracy * 60, 6) % 1 for each in clf.selection_} == {0}  # of the 60 rows


def test_several_classes_and_rare_ones():
    X, _ = parity(130)
    y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
    y[0] = 4  # a class of one row
    clf = fit(X, y, time_limit=5)
    assert clf.selection_ and clf.network_.head == "argmax" and len(clf.classes_) == 5
    assert np.mean(clf.predict(X) == y) > 0.8


def test_networks_of_folds_have_the_shape_that_was_chosen(monkeypatch):
    calls = []
    original = classifier_module.chosen

    def counted(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(classifier_module, "chosen", counted)
    X, y = parity(120)
    clf = fit(X, y, probability=True)
    assert len(calls) == 1 and clf.calibration_ is not None
    assert clf.predict_proba(X).shape == (120, 2)


def test_ctrl_c_while_shapes_are_tried_leaves_the_best_so_far():
    seen = []

    def listener(progress):
        if progress.phase == "choosing":
            seen.append(progress.trial.what)
            if len(set(seen)) == 3:
                raise KeyboardInterrupt

    X, y = parity(130)
    clf = BDNNClassifier(**SETTINGS).fit(X, y, on_progress=listener)
    assert clf.result_.interrupted and len(clf.selection_) == 2
    assert clf.network_.widths[:-1] == clf.selection_[0].hidden_layer_sizes
    assert clf.result_.objective == np.sum(clf.predict(X) != y)


SHAPE = r"(no|\d+) hidden neurons?(, thresholds 16)?(, \d+ times the epochs)?(, \d+ rounds? of search)?"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_lines_of_shapes_have_their_accuracy_and_no_incumbent(n_jobs):
    X, y = parity(130)
    told = []
    clf = BDNNClassifier(**SETTINGS, n_jobs=n_jobs).fit(X, y, on_progress=told.append)
    lines = lines_of(told, every=math.inf)
    of_trials = [line for line in lines if "choosing" in line]
    form = re.compile(rf" *[\d.]+ s  choosing, {SHAPE}(: [\d.]+% of held-out rows| under way)")
    assert of_trials and all(form.fullmatch(line) for line in of_trials), of_trials
    judged = [line.split("choosing, ")[1] for line in of_trials if "under way" not in line]
    assert {line.split(":")[0] for line in judged} >= {tried.described for tried in clf.selection_}
    best = clf.selection_[0]
    assert any(line.startswith(best.described) and f": {best.accuracy:.1%} of" in line for line in judged)
    # after the trials the incumbents are those of the fit, and only get better
    after = [progress for progress in told if progress.trial is None]
    objectives = [progress.objective for progress in after]
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] == clf.result_.objective
    assert f"incumbent {clf.result_.objective:g}" in lines[-1]


def lines_of(told, every):
    """What is printed of the progress that was told."""
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        listener = ProgressLines(every)
        for progress in told:
            listener(progress)
    return shown.getvalue().splitlines()


@pytest.mark.parametrize("after", [1, 40, 200])
def test_the_clock_goes_on_after_ctrl_c(after):
    told = []

    def listener(progress):
        told.append(progress.seconds)
        if len(told) == after:
            raise KeyboardInterrupt

    X, y = parity(400)
    clf = BDNNClassifier(random_state=0, time_limit=20).fit(X, y, on_progress=listener)
    assert clf.result_.interrupted and told == sorted(told) and len(told) >= after
    assert clf.result_.timings["total"] >= told[-1]


def test_members_of_an_ensemble_choose_nothing():
    X, y = parity(120)
    member = BDNNClassifier(method="local_search")
    ensemble = BDNNEnsembleClassifier(member, n_estimators=2, time_limit=4, random_state=0).fit(X, y)
    assert {each.network.widths for each in ensemble.members_} == {(2, 1)}
    assert member.hidden_layer_sizes == "auto"


def test_other_words_are_refused():
    with pytest.raises(InputError, match=r"positive integers, got 'wide', or 'auto'"):
        fit(*parity(20), hidden_layer_sizes="wide")


def test_a_search_that_does_not_descend_is_a_start():
    X, y = parity(130)
    y = np.where(np.arange(130) % 5 == 0, "same", y)  # a fifth has nothing to do with X
    problem = Problem(X=X, y=y, hidden_layer_sizes=(8,))
    start = LocalSearch(polish="none", descends=False)(problem, Budget(seed=0))
    whole = LocalSearch(polish="none")(problem, Budget(seed=0, rounds=5))
    assert start.nodes == 0 and whole.nodes == 5
    assert whole.objective < start.objective < 65  # of a constant


def test_the_command_says_what_was_chosen(run, tmp_path):
    X, y = parity(160)
    table, model = tmp_path / "table.csv", tmp_path / "model.json"
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "target": y}).to_csv(table, index=False)
    words = ("train", table, "--target", "target", "--time-limit", 20, "--quiet")
    code, out, err = run(*words, "--json", "--out", model)
    assert code == 0, err
    report = json.loads(out)
    best, following, *_ = report["selection"]
    assert best["hidden_layer_sizes"] == list(load(model).network_.widths[:-1])
    code, out, _ = run(*words)
    line = next(line for line in out.splitlines() if line.startswith("chosen"))
    assert f"{best['described']}, by held-out accuracy {best['accuracy']:.1%} (next: {following['described']}, " in line
    code, out, _ = run(*words, "--hidden", "4")
    assert code == 0 and "chosen" not in out
    assert run(*words, "--hidden", "some")[0] == 2
