"""Ours: the public `CompactBDNNClassifier`: one search for all budgets, each network written to bytes and read back."""

from __future__ import annotations

import warnings

from packed_networks import Binarized
from pool import BUDGETS, Candidate, everything
from sklearn.exceptions import ConvergenceWarning
from sources import Split

import bdnn

SECONDS = 240.0
"""Of the whole search; nearly all end before, as they have tried everything."""


def ours(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Return the network for each budget."""
    X, y = everything(split)
    clf = bdnn.CompactBDNNClassifier(BUDGETS, time_limit=SECONDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, y)
    pool = []
    for chosen in clf.front_:
        model = Binarized(split.columns, split.classes, clf.models_[chosen.max_bytes], clf.schema_)
        pool.append(Candidate(chosen.size_bytes, chosen.score, lambda model=model: model, chosen.text))
    return {"ours": pool}
