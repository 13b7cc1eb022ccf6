"""Rows cut into parts, for tests."""

import itertools

import numpy as np

from bdnn.network.losses import Loss
from bdnn.partitions.rows import StoredRows
from bdnn.partitions.store import Store
from bdnn.partitions.tasks import Setting, Weights, unit_of


def cuts_of(m, parts, rng):
    """Where m rows are cut into so many parts, of any lengths."""
    inner = np.sort(rng.choice(np.arange(1, m), parts - 1, replace=False)) if parts > 1 else []
    return [0, *np.asarray(inner, dtype=int).tolist(), m]


def stored(X, codes, weight=None, cuts=(0, None), memory=1e9, folder=None):
    """A store with rows, X of shape (n, m), in one block between two cuts each."""
    store = Store(memory, folder)
    for start, stop in itertools.pairwise(cuts):
        piece = slice(start, stop)
        store.append([column[piece] for column in X], codes[piece], None if weight is None else weight[piece])
    return store


def setting_of(X, loss, widths, total):
    n = len(X)
    return Setting(
        loss, widths, True, None, unit_of(total, loss), np.zeros(n), np.ones(n), np.abs(X).max(axis=1).astype(float)
    )


class Case:
    """Random rows with ties and duplicates, a network, and its setting."""

    def __init__(self, seed, m=None):
        rng = self.rng = np.random.default_rng(seed)
        self.m, n = int(rng.integers(8, 300)) if m is None else m, int(rng.integers(1, 5))
        integers = rng.random() < 0.5
        self.X = (rng.integers(-3, 4, (n, self.m)) if integers else rng.normal(size=(n, self.m))).astype(float)
        n_classes = int(rng.choice([2, 3]))
        self.codes = rng.integers(0, n_classes, self.m)
        self.weight = rng.random(self.m) if rng.random() < 0.4 else None
        self.loss = Loss(str(rng.choice(["threshold", "argmax"])), n_classes)
        hidden = [(), (2,), (3, 2)][int(rng.integers(3))]
        self.widths = (*hidden, self.loss.n_outputs)
        total = self.m if self.weight is None else float(self.weight.sum())
        self.setting = setting_of(self.X, self.loss, self.widths, total)
        sizes = [width * inputs for width, inputs in zip(self.widths, self.setting.inputs, strict=True)]
        W, b = rng.normal(size=sum(sizes)), rng.normal(size=sum(self.widths))
        self.weights = Weights(np.rint(W), np.rint(b)) if integers else Weights(W, b)

    def stored(self, parts, memory=1e9, folder=None):
        """A store to be closed, with the rows in so many blocks."""
        cuts = cuts_of(self.m, parts, np.random.default_rng(parts))
        return stored(self.X, self.codes, self.weight, cuts, memory, folder)

    def rows(self, parts):
        """The rows in so many blocks, in memory."""
        return StoredRows(self.stored(parts))
