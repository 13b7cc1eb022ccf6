"""Starts, shapes, folds, members, compact candidates and certification: the same wherever they are done, in time."""

import signal

import numpy as np
import pytest

from backends_of_joblib import AWAY, BACKENDS, cluster, configured
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget, CompactBDNNClassifier, Network, Problem, certify
from bdnn.estimators import shape_trials
from bdnn.methods import many_starts
from bdnn.methods.local_search import LocalSearch
from bdnn.problem.audit import audit
from clocks import ticking

assert cluster  # a fixture

RNG = np.random.default_rng(0)
X = RNG.integers(0, 6, (90, 4)).astype(float)
Y = (X[:, 0] * 2 - X[:, 1] + RNG.normal(size=90) > X[:, 2]).astype(int) + (X[:, 3] > 4)
PROBLEM = Problem(X=X, y=Y, hidden_layer_sizes=(3,))
HELD_OUT = Problem(X=X[:60], y=Y[:60], hidden_layer_sizes=(2,), validation=(X[60:], Y[60:]))
NETWORK = Network(
    [(RNG.normal(size=(6, 4)), RNG.normal(size=6)), (RNG.normal(size=(1, 6)), [0.1])], head="threshold", classes=[0, 1]
)


def starts(problem, **settings):
    result = LocalSearch(n_starts=4)(problem, Budget(rounds=3, seed=5, threads=2))
    return result.network, result.objective, result.nodes, result.message, result.validation_accuracy


def members(**settings):
    member = BDNNClassifier((1,), "local_search", weights="integer")
    clf = BDNNEnsembleClassifier(member, n_estimators=3, n_jobs=2, time_limit=None, random_state=1, **settings)
    clf.fit(X[:30], Y[:30])
    return [each.network for each in clf.members_], clf.predict(X).tolist()


def certified(**settings):
    found = certify(NETWORK, X[:12], n_jobs=2, **settings)
    return [np.asarray(each).tolist() for each in (found.radius, found.distance, found.nodes, found.undecided)]


def rows():
    table = np.empty((30, 2), dtype=object)
    table[:, 0], table[:, 1] = X[:30, 0], np.where(X[:30, 1] > 2, "much", "little")
    clf = BDNNClassifier((2,), "local_search", random_state=0, time_limit=None).fit(table, Y[:30] > 0)
    found = clf.certify(table[:6], level_changes=1, n_jobs=2)
    return found.radius.tolist(), found.changed.tolist()


def shapes(monkeypatch):
    monkeypatch.setattr("bdnn.problem.shapes.WIDTHS", ((), (2,)))
    monkeypatch.setattr("bdnn.estimators.shape_trials.STEPS", shape_trials.STEPS[:3])  # of at most one round
    clf = BDNNClassifier(method="local_search", time_limit=1e6, n_jobs=2, random_state=0).fit(X, Y)
    return clf.network_, [(each.hidden_layer_sizes, each.accuracy, each.rounds) for each in clf.selection_]


def probabilities():
    few, label = X[:24], Y[:24] > 0
    clf = BDNNClassifier((), "exact", time_limit=None, n_jobs=2, probability=True, random_state=0).fit(few, label)
    return clf.predict_proba(few).tolist(), clf.calibration_.log_loss


def compact():
    clf = CompactBDNNClassifier(3, time_limit=None, n_jobs=2, random_state=3).fit(X[:24], Y[:24] > 0)
    return clf.network_, [(each.text, each.size_bytes, each.accuracy) for each in clf.tried_]


WORK = {
    "starts": lambda _: starts(PROBLEM),
    "starts, held-out rows": lambda _: starts(HELD_OUT),
    "members": lambda _: members(),
    "members, random": lambda _: members(hidden="random", scheme="one_vs_one"),
    "certification": lambda _: certified(),
    "certification, few nodes": lambda _: certified(budget=Budget(nodes=50)),
    "rows of a table": lambda _: rows(),
    "shapes": shapes,
    "probabilities": lambda _: probabilities(),
    "compact": lambda _: compact(),
}


@pytest.fixture(scope="module")
def expected():
    """What one worker finds, once for each kind of work."""
    known = {}

    def of(kind, monkeypatch):
        if kind not in known:
            with configured("sequential"):
                known[kind] = WORK[kind](monkeypatch)
        return known[kind]

    return of


@pytest.mark.parametrize("kind", WORK)
@pytest.mark.parametrize("backend", ["none", "loky", "dask"])
def test_the_same_seed_gives_the_same_wherever_it_is_done(kind, backend, cluster, expected, monkeypatch):
    with configured(backend, cluster):
        found = WORK[kind](monkeypatch)
    assert found == expected(kind, monkeypatch)


def test_any_number_of_workers_gives_the_same(expected, monkeypatch):
    for threads in (1, 3, 16):
        result = LocalSearch(n_starts=4)(PROBLEM, Budget(rounds=3, seed=5, threads=threads))
        assert (result.network, result.objective) == expected("starts", monkeypatch)[:2]
        assert certify(NETWORK, X[:12], n_jobs=threads).nodes.tolist() == expected("certification", monkeypatch)[2]


def test_the_limit_on_nodes_was_reached(expected, monkeypatch):
    nodes, undecided = expected("certification, few nodes", monkeypatch)[2:]
    assert any(undecided) and not all(undecided) and 50 <= sum(nodes) < 60


def test_starts_end_at_the_first_one_that_leaves_nothing_to_improve():
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 0], hidden_layer_sizes=(2,))
    one, many = (LocalSearch(n_starts=n)(problem, Budget(threads=2, seed=1)) for n in (1, 50))
    assert one.objective == many.objective == 0.0
    with ticking() as clock:
        LocalSearch(n_starts=50)(problem, Budget(seed=1))
    assert clock.readings < 3000


@pytest.mark.parametrize("backend", AWAY)
def test_ctrl_c_returns_the_best_of_starts_elsewhere(backend, cluster, monkeypatch):
    """It comes when the first search has ended, and others are at work."""
    problem = Problem(X=RNG.normal(size=(300, 5)), y=RNG.integers(0, 2, 300), hidden_layer_sizes=(3,))
    take, found_first = many_starts._Starts.take, []

    def taken(tasks, number, found):
        take(tasks, number, found)
        if not found_first:
            found_first.append(found)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(many_starts._Starts, "take", taken)
    with configured(backend, cluster):
        result = LocalSearch(n_starts=8, polish="none")(problem, Budget(rounds=60, seed=2, threads=2))
    assert result.interrupted and result.message == "stopped by Ctrl-C"
    assert 60 <= result.nodes < 5 * 60
    assert result.objective <= audit(found_first[0].networks[0], problem).loss


@pytest.mark.parametrize("backend", BACKENDS)
def test_limits_hold_wherever_points_are_decided(backend, cluster):
    with configured(backend, cluster):
        found = certify(NETWORK, X[:4], n_jobs=2, budget=Budget(seconds=1e-6))
    assert found.undecided.all() and not found.interrupted
