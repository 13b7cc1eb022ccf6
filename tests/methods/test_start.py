"""Starting networks belong to the problem's class, and the constant one errs as little as a constant can."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bdnn import Budget, Problem, clock
from bdnn.methods import starts as start
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve

HEADS = [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)]


def problems(n_classes: int, head: str):
    rng = np.random.default_rng(n_classes)
    for weights, hidden, biases in itertools.product(["continuous", "integer"], [(), (3,), (4, 2)], [True, False]):
        X = rng.normal(size=(60, 3)) * [1, 100, 0.01] + [0, 1000, 0]
        y = np.concatenate([np.arange(n_classes), (X[n_classes:, 0] > 0).astype(int)])
        yield Problem(
            X=X,
            y=np.array(["a", "b", "c"])[y],
            sample_weight=rng.integers(1, 5, 60),
            hidden_layer_sizes=hidden,
            head=head,
            weights=weights,
            weight_bound=3,
            fit_intercept=biases,
        )


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_networks_belong_to_the_class_and_beat_the_constant(head, n_classes):
    for problem in problems(n_classes, head):
        reduced = presolve(problem)
        constant = start.constant(reduced)
        networks = list(start.layered(reduced, Budget(seed=1).start()))
        assert len(networks) == 8
        for network in (constant, *networks):
            layers = reduced.to_layers(network)
            assert layers is not None, problem
            assert np.all(np.abs(np.concatenate([W.ravel() for W, _ in layers])) <= 3)
        if problem.fit_intercept:
            best = min(audit(network, problem).loss for network in networks)
            # the labels are all but linear in the first column
            assert best <= 0.5 * audit(constant, problem).loss, problem


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_the_constant_network_errs_least(head, n_classes):
    for problem in problems(n_classes, head):
        if not problem.fit_intercept:
            continue
        network = start.constant(presolve(problem))
        assert len(np.unique(network.decision_function(problem.X), axis=0)) == 1
        total = np.bincount(problem.codes, weights=problem.sample_weight)
        if head == "argmax" or n_classes == 2:
            least = total.sum() - total.max()
        else:
            least = np.minimum(total, total.sum() - total).sum()
        assert audit(network, problem).loss == least


def test_the_constant_network_without_biases():
    X, hidden = [[1.0], [2.0], [3.0]], (2,)
    for weights in ("continuous", "integer"):
        for y, least in [([0, 0, 1], 1), ([1, 1, 0], 1)]:
            problem = Problem(X=X, y=y, hidden_layer_sizes=hidden, weights=weights, fit_intercept=False)
            assert audit(start.constant(presolve(problem)), problem).loss == least


def test_the_seed_decides():
    for problem in [p for p in problems(2, "threshold") if p.fit_intercept]:
        reduced = presolve(problem)
        first, again, other = (list(start.layered(reduced, Budget(seed=seed).start())) for seed in (3, 3, 4))
        assert first == again
        if problem.weights == "continuous":  # integer weights leave little choice
            assert first != other
            assert all(a != b for a, b in itertools.combinations(first, 2))


def test_no_network_is_begun_when_a_fifth_of_the_time_has_passed():
    reduced = presolve(next(iter(problems(2, "threshold"))))
    budget = Budget(seconds=100.0).start()
    networks = start.layered(reduced, budget)
    with clock.replaced(lambda: budget.started + 19.9):
        next(networks)
    with clock.replaced(lambda: budget.started + 20.1):
        assert list(networks) == []


def test_large_tables_are_sampled(monkeypatch):
    fitted = []
    logistic = start.logistic
    monkeypatch.setattr(start, "logistic", lambda X, y, weight: fitted.append(len(X)) or logistic(X, y, weight))
    rng = np.random.default_rng(5)
    X = rng.normal(size=(5000, 2))
    problem = Problem(X=X, y=X[:, 0] + rng.normal(size=5000) > 0, hidden_layer_sizes=(2,))
    networks = list(start.layered(presolve(problem), Budget(seed=0).start()))
    assert len(networks) == 8
    assert max(fitted) == 2000
    assert audit(networks[0], problem).n_wrong < 0.4 * 5000


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_data_without_columns_or_with_one_class_left(weights):
    # the second label has no weight, so that only one class is left
    problem = Problem(X=[[1.0], [2.0]], y=[0, 1], sample_weight=[1, 0], weights=weights)
    assert list(start.layered(presolve(problem), Budget().start())) == []
    assert audit(start.constant(presolve(problem)), problem).loss == 0
    problem = Problem(X=np.ones((3, 1)), y=[0, 1, 1], weights=weights)
    assert min(audit(network, problem).loss for network in start.layered(presolve(problem), Budget().start())) == 1


@pytest.mark.parametrize("n_classes", [2, 4])
def test_logistic_regression_is_that_of_scikit_learn(n_classes):
    rng = np.random.default_rng(n_classes)
    X, y, weight = rng.normal(size=(90, 3)) * 5.0, rng.integers(n_classes, size=90), rng.exponential(size=90)
    W, b = start.logistic(X, y, weight)
    scale = np.abs(X).max()
    model = LogisticRegression(C=100.0, max_iter=10_000, tol=1e-10)
    model.fit(X / scale, y, weight * (len(y) / weight.sum()))
    assert W.shape == model.coef_.shape
    assert W * scale == pytest.approx(model.coef_, abs=1e-2)
    # softmax does not tell a shift of all intercepts
    shift = (b - model.intercept_).mean() if n_classes > 2 else 0.0
    assert b - shift == pytest.approx(model.intercept_, abs=1e-2)


def test_starts_do_not_warn_of_what_did_not_converge(recwarn):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 60)) * 10.0 ** rng.uniform(-4, 4, size=60), rng.integers(3, size=300)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    assert len(list(start.layered(presolve(problem), Budget(seconds=60).start()))) > 0
    assert not [str(w.message) for w in recwarn if "converge" in str(w.message)]
