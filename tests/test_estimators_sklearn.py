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


VARIANTS = [
    BDNNClassifier(solver="idle"),
    BDNNClassifier(solver="idle", weights="integer"),
    BDNNClassifier(solver="idle", head="argmax"),
    # really solved, up to the root node
    BDNNClassifier(hidden_layer_sizes=()),
]


@pytest.fixture(autouse=True)
def deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bdnn.backends.BACKENDS, "idle", Idle)
    monkeypatch.setattr("bdnn.estimators.Budget", lambda **limits: Budget(**(limits | {"nodes": 1})))


@parametrize_with_checks(VARIANTS)
def test_scikit_learn_agrees(estimator: BDNNClassifier, check: Callable[[BDNNClassifier], None]) -> None:
    check(estimator)
