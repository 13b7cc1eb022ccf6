"""The exact method on the breast cancer table of the examples."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bdnn import BDNNClassifier, Budget, Problem
from bdnn.methods.exact import ExactTraining
from bdnn.problem.audit import audit
from clocks import ticking

plain = partial(ExactTraining, incumbents="none")
TABLE = Path(__file__).parents[2] / "examples" / "data" / "breast_cancer_wisconsin.csv"


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """All 699 rows, missing values replaced by the median of their column."""
    with TABLE.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    values = np.array([[float(entry) if entry != "?" else np.nan for entry in row] for row in rows])
    X, y = values[:, :-1], values[:, -1].astype(int)
    return np.where(np.isnan(X), np.nanmedian(X, axis=0), X), y


def drawn(table, count: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(0).permutation(699)[:count]
    return table[0][chosen], table[1][chosen]


@pytest.mark.parametrize(
    ("count", "hidden", "weights", "optimum"),
    [(100, (2,), "continuous", 0), (100, (2,), "integer", 0), (300, (), "continuous", 1), (300, (), "integer", 4)],
)
def test_the_optimum_does_not_depend_on_units(table, count, hidden, weights, optimum):
    X, y = drawn(table, count)
    column = np.arange(9)
    units = [X, X * 1e6, X + 1e7, X - 1e7 * (column % 3)]
    if weights == "continuous":  # integer weights depend on the proportions of the columns
        units.append(X * np.where(column % 2, 1e6, 1e-3) + 1e7 * (column % 3 == 0))
    for inputs in units:
        problem = Problem(X=inputs, y=y, hidden_layer_sizes=hidden, weights=weights)
        result = plain()(problem, Budget(seconds=60))
        assert (result.status, result.objective, result.bound) == ("optimal", optimum, optimum)
        assert audit(result.network, problem).loss == optimum
        assert np.count_nonzero(result.network.predict(inputs) != y) == optimum
        assert result.audit.n_mismatched == 0


def test_a_loose_bound_is_a_bound(table):
    X, y = drawn(table, 300)
    stopped = plain()(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(nodes=1))
    assert stopped.bound <= 1 <= stopped.objective


@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_a_time_limit_on_the_whole_table(table, incumbents):
    X, y = table
    with ticking(2.0, step=2e-3, most_late=200):
        clf = BDNNClassifier((2,), method="exact", incumbents=incumbents, time_limit=2, random_state=0).fit(X, y)
    result = clf.result_
    assert (result.status, result.message) == ("feasible", "time limit reached")
    # no hidden layer at all reaches 13
    assert result.objective == audit(clf.network_, Problem(X=X, y=y)).loss <= 20
    assert 0 <= result.bound < result.objective
    assert result.gap == (result.objective - result.bound) / result.objective
    assert 2 <= result.timings["total"] < 2.5
    assert (result.n_rows, result.n_distinct) == (699, len(np.unique(X, axis=0)))
    assert result.irreducible == 0
    assert clf.score(X, y) == 1 - result.audit.n_wrong / 699
