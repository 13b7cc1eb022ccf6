"""scikit-learn's own checks of an estimator, without exceptions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import bdnn.backends
from bdnn import BDNNClassifier, Budget
from bdnn.backends.highs import Highs
from bdnn.backends.protocol import MilpSolution


class Idle(Highs):
    """A solver that finds nothing, so that the starting network is the answer: fast, and the same on every machine."""

    name = "idle"

    def solve(self, *call: Any) -> MilpSolution:
        return MilpSolution("no_solution", None, math.inf, -math.inf, 0, 0.0, "idle")


PLAIN = {"method": "exact", "incumbents": "none"}
VARIANTS = [
    BDNNClassifier(solver="idle", **PLAIN),
    BDNNClassifier(solver="idle", weights="integer", **PLAIN),
    BDNNClassifier(solver="idle", head="argmax", **PLAIN),
    # really solved, up to the root node
    BDNNClassifier(hidden_layer_sizes=(), **PLAIN),
    BDNNClassifier((2,), "local_search", random_state=0),
    BDNNClassifier((2,), "local_search", weights="integer", random_state=0),
]
# a limit on nodes and rounds, unlike one on time, lets fits repeat
LIMITS = {"exact": {"nodes": 1}, "local_search": {"rounds": 5}}


@parametrize_with_checks(VARIANTS)
def test_scikit_learn_agrees(
    estimator: BDNNClassifier, check: Callable[[BDNNClassifier], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = LIMITS[estimator.method]
    monkeypatch.setitem(bdnn.backends.BACKENDS, "idle", Idle)
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | limit)))
    check(estimator)
