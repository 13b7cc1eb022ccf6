"""Iterative data splitting."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.errors import InputError
from bdnn.methods import METHODS
from bdnn.methods.data_splitting import DataSplitting, point_losses
from bdnn.methods.starts import random_network
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve


def problem_of(seed, points=8, **settings):
    rng = np.random.default_rng(seed)
    classes = settings.pop("classes", 2)
    X, y = rng.integers(0, 4, size=(points, 2)).astype(float), rng.integers(0, classes, size=points)
    y[:classes] = range(classes)
    return Problem(X=X, y=y, **settings)


plain = partial(DataSplitting, incumbents="none")
ARCHITECTURES = [
    dict(hidden_layer_sizes=()),
    dict(hidden_layer_sizes=(2,)),
    dict(hidden_layer_sizes=(2, 2), weights="integer"),
    dict(hidden_layer_sizes=(1,), classes=3, head="threshold"),
    dict(hidden_layer_sizes=(2,), classes=3, head="argmax", weights="integer"),
    dict(hidden_layer_sizes=(), classes=3, head="argmax"),
    dict(hidden_layer_sizes=(1,), fit_intercept=False),
]


@pytest.mark.parametrize(("splitter", "seed"), [("kmeans", 0), ("svm", 1)])
@pytest.mark.parametrize("settings", ARCHITECTURES, ids=str)
def test_enough_splits_give_the_optimum(settings, splitter, seed):
    problem = problem_of(seed, **settings)
    exact = METHODS["exact"](incumbents="none")(problem, Budget(seconds=60))
    result = plain(max_splits=20, splitter=splitter)(problem, Budget(seconds=120, seed=seed))
    assert exact.status == result.status == Status.OPTIMAL
    assert result.objective == exact.objective


def test_the_criterion_of_the_paper_is_not_enough():
    """Clusters {1, 4}, {2}, {3} with labels +, -, -: single points carry the loss, yet one more split lowers it."""
    problem = Problem(X=[[1.0], [2.0], [3.0], [4.0]], y=[1, 0, 0, 1], hidden_layer_sizes=())
    from bdnn.formulations import clusters as clustered

    reduced = presolve(problem)
    clusters = np.array([0, 1, 2, 0])
    model = clustered.build(reduced, clusters)
    from bdnn.backends.highs import Highs

    solution = Highs().solve(model.milp, Budget())
    assert solution.status == Status.OPTIMAL and round(solution.objective) == 2
    assert METHODS["exact"](incumbents="none")(problem).objective == 1
    assert plain()(problem).objective == 1


@pytest.mark.parametrize("batch", [None, 3, 6])
@pytest.mark.parametrize("initial", ["one", "class"])
@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_never_worse_than_its_start_and_history_is_complete(incumbents, initial, batch):
    problem = problem_of(5, points=20, hidden_layer_sizes=(2,), weights="integer")
    start = random_network(presolve(problem), np.random.default_rng(1))
    method = DataSplitting(incumbents=incumbents, max_splits=4, batch_size=batch, initial_clusters=initial)
    result = method(problem, Budget(seconds=30), start)
    assert result.objective <= audit(start, problem).loss
    assert result.audit.n_mismatched == 0
    iterations = [entry for entry in result.history if entry.source == "data splitting"]
    assert 1 <= len(iterations) <= 5
    for entry in iterations:
        assert entry.clusters >= 1 and entry.binaries == 3 * entry.clusters and entry.solve_seconds >= 0
        assert entry.objective >= result.objective
    if batch is None:
        first = 1 if initial == "one" else 2
        assert [entry.clusters for entry in iterations] == list(range(first, first + len(iterations)))


@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_validation_chooses_the_network(incumbents):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] + 0.8 * rng.normal(size=60) > 0).astype(int)
    problem = Problem(X=X[:30], y=y[:30], validation=(X[30:], y[30:]), hidden_layer_sizes=(2,))
    result = DataSplitting(max_splits=6, incumbents=incumbents)(problem, Budget(seconds=20))
    accuracies = [entry.validation_accuracy for entry in result.history]
    assert None not in accuracies
    assert result.validation_accuracy == max(accuracies)
    assert np.mean(result.network.predict(X[30:]) == y[30:]) == result.validation_accuracy


@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_seed_decides(incumbents):
    problem = problem_of(6, points=30, hidden_layer_sizes=(2,), weights="integer")
    method = DataSplitting(max_splits=3, batch_size=8, incumbents=incumbents)
    runs = [method(problem, Budget(seconds=60, seed=4)) for _ in range(2)]
    assert runs[0].network == runs[1].network


@pytest.mark.parametrize(
    "kind",
    [{"splitter": "median"}, {"initial_clusters": "two"}, {"max_splits": -1}, {"batch_size": 0}, {"incumbents": "all"}],
)
def test_bad_settings(kind):
    with pytest.raises(InputError, match=next(iter(kind))):
        DataSplitting(**kind)(problem_of(0))


def test_settings_may_be_integers_of_numpy():
    settings = {"max_splits": np.int64(0), "batch_size": np.int32(3)}
    assert DataSplitting(**settings)(problem_of(0), Budget(seconds=20)).network is not None


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=str)
def test_point_losses_sum_to_the_audited_loss(settings):
    problem = problem_of(7, points=30, **settings)
    reduced, rng = presolve(problem), np.random.default_rng(0)
    for _ in range(10):
        network = random_network(reduced, rng)
        total = point_losses(reduced, network).sum() + reduced.irreducible
        assert total == pytest.approx(audit(network, problem).loss)


FORKS = """
import os
import numpy as np
from bdnn import BDNNClassifier

def fit():
    X = np.random.default_rng(0).normal(size=(40, 4))
    clf = BDNNClassifier((2,), "data_splitting", max_splits=2, incumbents="none", n_jobs=2, random_state=0)
    return len(clf.fit(X, X[:, 0] * X[:, 1] > 0).result_.history)

assert fit() >= 2
child = os.fork()
if child == 0:
    os._exit(0 if fit() >= 2 else 1)
print("exit code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_splitting_in_the_child_of_a_fork():
    """The child of a process that used several threads of OpenMP may not use them; the limit only ends a hang."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=180, check=False)
    assert (done.stdout, done.returncode) == ("exit code 0\n", 0), done.stderr
