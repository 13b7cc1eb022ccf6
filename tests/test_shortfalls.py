"""What a limit cuts off is said, once, and something better than a constant is returned all the same.

Time is that of a clock that the tests own: it passes the limit at a given reading, however busy the machine is.
"""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, clock
from bdnn.backends import available
from bdnn.backends import threads as running
from bdnn.backends.highs import Highs
from clocks import Hand

X2, y2 = load_breast_cancer(return_X_y=True)
X3, y3 = load_iris(return_X_y=True)
EXAMPLE = Path(__file__).parents[1] / "examples" / "data" / "breast_cancer_wisconsin.csv"

LATE = {
    "default": {},
    "local search": {"method": "local_search"},
    "local search, integers": {"method": "local_search", "weights": "integer"},
    "local search, no polish": {"method": "local_search", "polish": "none"},
    "local search, held out": {"method": "local_search", "validation_fraction": 0.3},
    "local search, deep": {"method": "local_search", "hidden_layer_sizes": (4, 3)},
    "local search, robust": {"method": "local_search", "robust_radius": 0.01},
    "exact": {"method": "exact"},
    "exact, plain": {"method": "exact", "incumbents": "none"},
    "exact, integers": {"method": "exact", "weights": "integer"},
    "exact, big_m": {"method": "exact", "formulation": "big_m"},
    "exact, robust": {"method": "exact", "robust_radius": 0.01},
    "exact, regularized": {"method": "exact", "regularizer": "l0", "regularization": "lexicographic"},
    "alternating": {"method": "alternating"},
    "alternating, plain": {"method": "alternating", "incumbents": "none"},
    "data splitting": {"method": "data_splitting"},
    "data splitting, plain": {"method": "data_splitting", "incumbents": "none"},
}
SETS = {"two classes": (X2, y2, 0.85), "three classes": (X3, y3, 0.75)}


def late(step=100.0):
    """A clock that moves on by so many seconds at every reading."""
    readings = itertools.count()
    return clock.replaced(lambda: step * next(readings))


def told(action):
    """What warnings an action gives of shortfalls."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        action()
    return [str(warning.message) for warning in found if warning.category is ConvergenceWarning]


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("settings", LATE)
def test_a_limit_that_has_passed_leaves_a_linear_network_and_one_warning(settings, data):
    X, y, accuracy = SETS[data]
    clf = BDNNClassifier(time_limit=1.0, random_state=0, **({"hidden_layer_sizes": (3,)} | LATE[settings]))
    with late():
        messages = told(lambda: clf.fit(X, y))
    result = clf.result_
    assert clf.score(X, y) >= (accuracy if clf.weights == "continuous" else accuracy - 0.05), result.message
    assert len(messages) == 1 and len(result.shortfalls) >= 1
    assert messages[0].startswith("training is incomplete within the time limit of 1 s: ")
    assert messages[0].endswith("; raise the limit")
    assert all(what in result.message and what in messages[0] for what in result.shortfalls)
    assert "\n" not in messages[0]


def test_blocks_that_are_too_large_for_the_time_are_told():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    # by the speed that the solver has on paper, building the program of the hidden layer takes too long
    clf = BDNNClassifier((4,), "alternating", incumbents="none", time_limit=60, solver="highs", random_state=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Highs, "capabilities", replace(Highs.capabilities, entries_per_second=200))
        messages = told(lambda: clf.fit(X, y))
    assert len(messages) == 1 and "the time limit is too short for a program of" in messages[0]
    assert messages[0].count("too short") == 1 and clf.result_.message.count("too short") == 1


def test_the_worst_case_too():
    clf = BDNNClassifier(
        (2,), "exact", robust_radius=0.01, robust_model="worst_case", time_limit=1.0, solver="highs", random_state=0
    )
    with late():
        messages = told(lambda: clf.fit(X2, y2))
    assert clf.result_.objective < 0.25 * len(y2) and len(messages) == 1


@pytest.mark.parametrize("settings", [{}, {"weights": "integer"}], ids=str)
def test_an_ordinary_fit_gives_no_warning(settings):
    for method in ("auto", "local_search", "exact", "alternating", "data_splitting"):
        clf = BDNNClassifier(method=method, random_state=0, **settings)
        X, y = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 1]], [0, 1, 1, 0, 0]
        assert told(lambda clf=clf, X=X, y=y: clf.fit(X, y)) == []
        assert clf.result_.shortfalls == ()


@pytest.mark.parametrize("solver", ["highs", "cpsat"])
def test_a_gap_that_stays_open_is_no_shortfall(solver, monkeypatch):
    """The limit passes only after the solver has bounded the program: that is what limits are for."""
    if solver not in available():
        pytest.skip(f"solver {solver} is not installed")
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, (40, 5)), rng.integers(0, 2, 40)
    hand, tell = Hand(), running.Run.tell

    def telling(run, x, bound=-math.inf, nodes=0, last=False):
        hand.now += 0.1  # as solvers report ten times a second
        tell(run, x, bound, nodes, last)
        if math.isfinite(bound):
            hand.now = 100.0

    monkeypatch.setattr(running.Run, "tell", telling)
    with clock.replaced(hand):
        clf = BDNNClassifier((3,), "exact", weights="integer", solver=solver, time_limit=60, random_state=0)
        messages = told(lambda: clf.fit(X, y))
        for thread in threading.enumerate():  # a solver that is left behind still tells
            if thread.name == f"bdnn-{solver}":
                thread.join()
    assert hand.now == 100.0 and clf.result_.status == "feasible" and clf.result_.message == "time limit reached"
    assert messages == [] and clf.result_.shortfalls == ()


def test_an_ensemble_says_once_how_many_members_are_untrained():
    ensemble = BDNNEnsembleClassifier(n_estimators=4, time_limit=1.0, random_state=0)
    with late():
        messages = told(lambda: ensemble.fit(X3, y3))
    assert len(messages) == 1 and "(4 of 4 training runs)" in messages[0]
    assert ensemble.score(X3, y3) >= 0.75
    assert told(lambda: ensemble.set_params(time_limit=None, n_estimators=1).fit(X3[::10], y3[::10])) == []


def test_a_search_that_reaches_no_local_optimum():
    """The clock passes the limit while the first descent is on its way."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    from bdnn.search import engine, smooth

    begun, turns = [], engine.Search._improve

    def counted(search, neurons):
        begun.append(1)
        turns(search, neurons)

    clf = BDNNClassifier((6,), "local_search", time_limit=10.0, random_state=0)
    with pytest.MonkeyPatch.context() as patch, clock.replaced(lambda: 100.0 if begun else 0.0):
        patch.setattr(engine.Search, "_improve", counted)
        patch.setattr(smooth, "_STEPS", 1)
        messages = told(lambda: clf.fit(X, y))
    assert len(begun) == 1
    assert "before the search reached a first local optimum" in clf.result_.message and len(messages) == 1


def test_the_command_says_it_in_one_line_from_a_fresh_process():
    settings = "--target target --hidden 2 --method local_search --time-limit 1e-9 --test-fraction 0 --quiet --json"
    done = subprocess.run(
        [sys.executable, "-m", "bdnn", "train", str(EXAMPLE), *settings.split()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("bdnn: warning: training is incomplete within the time limit of 1e-09 s: ")
    assert json.loads(done.stdout)["training_loss"] <= 50  # a constant errs 241 times
