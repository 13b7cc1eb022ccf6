"""Ours: the public `CompactBDNNClassifier`: one search for all budgets, each network written to bytes and read back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from bitstream import Writer
from coding import Packed
from pool import BUDGETS, Candidate, everything
from sklearn.exceptions import ConvergenceWarning
from sources import Split

import bdnn

SECONDS = 240.0
"""Of the whole search; nearly all end before, as they have tried everything."""


@dataclass(frozen=True, eq=False)
class Compact(Packed):
    """A network of the package as bytes."""

    classifier: bdnn.BDNNClassifier
    schema: bdnn.Schema

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        return self.classifier.predict(X)

    def encode(self) -> bytes:
        """Return the bytes."""
        return self.classifier.to_bytes(self.schema)

    def decoded(self, data: bytes) -> Compact:
        """Return the model of these bytes."""
        return Compact(self.columns, self.classes, bdnn.from_bytes(data, self.schema), self.schema)

    def write(self, out: Writer) -> None:
        """Write the bytes."""
        for byte in self.encode():
            out.unsigned(byte, 8)

    @classmethod
    def decode(cls, data, columns, classes):
        """Refuse: a schema is needed, see `decoded`."""
        raise NotImplementedError


def ours(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Return the network for each budget."""
    X, y = everything(split)
    clf = bdnn.CompactBDNNClassifier(BUDGETS, time_limit=SECONDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, y)
    pool = []
    for chosen in clf.front_:
        model = Compact(split.columns, split.classes, clf.models_[chosen.max_bytes], clf.schema_)
        pool.append(Candidate(chosen.size_bytes, chosen.score, lambda model=model: model, chosen.text))
    return {"ours": pool}
