"""The rival FIGS (Y. S. Tan et al., arXiv:2201.11931) of the package imodels: trees grow together and are added."""

from __future__ import annotations

import warnings
from itertools import count

import numpy as np
from codebook import Codebooks, Sum
from coding import storable
from imodels import FIGSClassifier
from packed_shared import short_half
from packed_trees import Tree
from pool import FEW, Candidate, Path, Rows, everything, judged
from sources import Columns, Split

RULES = {True: 128, False: 80}
"""Splits in all, of tables up to `FEW` rows and of larger ones; a split takes the longer the more there are."""


class Growing(FIGSClassifier):
    """The same classifier; it predicts whole columns at a time, and remembers its trees after every split."""

    def _fit_candidate_stumps(self, X, potential_splits, y_residuals_per_tree, sample_weight):
        self.history.append([_nodes(root) for root in self.trees_])
        return super()._fit_candidate_stumps(X, potential_splits, y_residuals_per_tree, sample_weight)

    def fit(self, X, y):
        """Fit and keep the trees after every split as `history`."""
        self.history: list[list[list[tuple]]] = []
        state = np.random.get_state()  # noqa: NPY002 - its stumps break ties by the global generator alone
        np.random.seed(self.random_state)  # noqa: NPY002
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return super().fit(X, y)
        finally:
            np.random.set_state(state)  # noqa: NPY002

    def _predict_tree(self, root, X):
        predicted = np.zeros((len(X), self.n_outputs))
        waiting = [(root, np.arange(len(X)))]
        while waiting:
            node, rows = waiting.pop()
            if node.left is None:
                predicted[rows] = np.ravel(node.value)
                continue
            right = X[rows, node.feature] > node.threshold
            waiting += [(node.left, rows[~right]), (node.right, rows[right])]
        return predicted


def _nodes(root) -> list[tuple]:
    """Return feature (-1 for a leaf), threshold, and value of the nodes in preorder."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        inner = node.left is not None
        found.append(
            (int(node.feature) if inner else -1, float(node.threshold) if inner else 0.0, np.ravel(node.value))
        )
        if inner:
            waiting += [node.right, node.left]
    return found


def _tree(nodes: list[tuple], X: np.ndarray, columns: Columns) -> tuple[Tree, np.ndarray]:
    """Return a tree with short thresholds between the same rows, and the values of its leaves."""
    right, waiting, leaves = [0] * len(nodes), [], count()
    feature, threshold, value = np.array([n[0] for n in nodes]), np.zeros(len(nodes)), np.zeros(len(nodes), dtype=int)
    for k, (of, limit, _) in enumerate(nodes):
        if of >= 0:
            threshold[k] = _short(limit, of, X[:, of], columns)
            waiting.append(k)
        else:
            value[k] = next(leaves)
            if waiting:
                right[waiting.pop()] = k + 1
    return Tree(feature, threshold, np.array(right), value), np.array([n[2] for n in nodes if n[0] < 0])


def _short(limit: float, feature: int, column: np.ndarray, columns: Columns) -> float:
    if columns.bits[feature]:
        return float(storable(np.array([limit]), np.array([feature]), columns, 16)[0])
    above = column > limit
    return short_half(float(column[~above].max()), float(column[above].min()))


DEPTHS = (None, 2)
"""Of the trees at most."""


def figs(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Grow with both depths; the sum after every split is a candidate, with codebooks of all sizes."""
    pool = []
    for depth in DEPTHS:
        notes: list[str] = []
        pool += judged(
            split,
            lambda rows, depth=depth, notes=notes: _sums(split, rows, seed, depth, notes),
            lambda k, notes=notes: notes[k],
        )
    return {"FIGS": pool}


def _sums(split: Split, rows: Rows, seed: int, depth: int | None, notes: list[str]) -> Joined:
    """Return the sums after every split, and put down what they are."""
    most = RULES[len(everything(split)[1]) <= FEW]
    model = Growing(max_rules=most, max_depth=depth, random_state=seed).fit(*rows)
    order = np.argsort([int(model.class_map[k]) for k in range(split.classes)])
    paths = []
    for trees in model.history:
        made = [_tree(nodes, rows[0], split.columns) for nodes in trees]
        values = [found[:, order] for _, found in made]
        if split.classes == 2:
            values = [found[:, 1:] - found[:, :1] for found in values]
        whole = Sum([tree for tree, _ in made], values, np.zeros(values[0].shape[1]))
        paths.append(Codebooks(split, whole, rows, [len(made)]))
    # it ends early where all leaves are pure
    paths += paths[-1:] * (most - len(paths))
    if not notes:
        text = "any depth" if depth is None else f"depth {depth}"
        notes += [f"{k + 1} splits, {text}, {path.note(m)}" for k, path in enumerate(paths) for m in range(len(path))]
    return Joined(paths)


class Joined(Path):
    """Several paths, one after the other."""

    def __init__(self, paths: list[Codebooks]) -> None:
        self._paths = paths

    def predictions(self, X):
        """Yield what each of the models predicts."""
        for path in self._paths:
            yield from path.predictions(X)

    def sizes(self):
        """Return the bytes of each model."""
        return [size for path in self._paths for size in path.sizes()]

    def model(self, number):
        """Return one of the models."""
        for path in self._paths:
            if number < len(path):
                return path.model(number)
            number -= len(path)
        raise IndexError(number)
