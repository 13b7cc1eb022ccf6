"""scikit-learn's own checks of an estimator, without exceptions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget

MEMBER = BDNNClassifier((2,), method="local_search", weights="integer")
VARIANTS = [
    BDNNEnsembleClassifier(MEMBER, "one_vs_one", 1, voting="majority", random_state=0),
    BDNNEnsembleClassifier(MEMBER, "one_vs_rest", 1, random_state=0),
    BDNNEnsembleClassifier(MEMBER, n_estimators=2, random_state=0),
    BDNNEnsembleClassifier(MEMBER, n_estimators=20, hidden="random", random_state=0),
]


@parametrize_with_checks(VARIANTS)
def test_scikit_learn_agrees(
    estimator: BDNNEnsembleClassifier, check: Callable[[BDNNEnsembleClassifier], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a limit on rounds, unlike one on time, lets fits repeat
    monkeypatch.setattr("bdnn.estimators.base.Budget", lambda **limits: Budget(**(limits | {"rounds": 5})))
    check(estimator)
