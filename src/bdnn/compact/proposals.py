"""What trees propose: thresholds, rules, and the importance of inputs.

These trees only propose. Which of the thresholds and rules a network uses, and with which weights, is left to the
search; trees that are networks as they are come from `bdnn.compact.boosting`.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bdnn.compact.inputs import Source
    from bdnn.types import Floats, Indices

Rule = tuple[tuple[int, float, bool], ...]
"""Conditions on inputs that must all hold: input j, threshold t, and whether x >= t or not."""

_RATE = 0.3
"""Learning rate of boosting: larger steps repeat thresholds less often than the default of 0.1."""
_VALUES_OF_RULES = 32
"""Most values of an input that the trees of rules tell apart, so that rules share thresholds."""
_TREES_OF_FOREST, _ROWS_OF_A_LEAF = 50, 3
"""Of the forest that orders the inputs: fewer trees than decide well, and no leaves of single rows."""
_SPARE_STUMPS, _SPARE_RULES = 2.0, 1.2
"""How many times the trees are grown that would do if none repeated what another one asks for."""
_SHRINKAGE = 1.0
"""Of the values of leaves, the l2 regularization of boosting: few rows are no reason for large values."""
_WEIGHTED_BINS = 63
"""Most values of an input that boosting tells apart where rows have weights."""
_AT_ONCE = 32
"""Rounds of boosting between two looks at the clock."""


class Rows(NamedTuple):
    """Rows to train on or to judge by: inputs of the encoder, class indices, and weights."""

    X: Floats
    y: Indices
    weight: Floats

    def take(self, rows: Indices) -> Rows:
        """Return some rows."""
        return Rows(self.X[rows], self.y[rows], self.weight[rows])


def _boosted(rows: Rows, seed: int, trees: int, enough: Callable[[], bool], **settings: Any) -> Iterator[Any]:
    """Yield the nodes of trees in the order in which boosting grows them, some at a time, until it is enough."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        **{"learning_rate": _RATE} | settings,
        min_samples_leaf=min(20, len(rows.y) // 40 + 1),  # as by default, less for few rows
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )
    # equal weights are left out: with weights, scikit-learn 1.9 takes a hundred times as long to find bins
    weight = None if np.all(rows.weight == rows.weight[0]) else rows.weight
    if weight is not None:
        model.set_params(max_bins=min(model.max_bins, _WEIGHTED_BINS))
    stages, done = 0, 0
    while stages < trees and not enough():
        stages = min(stages + _AT_ONCE, trees)
        model.set_params(max_iter=stages).fit(rows.X, rows.y, weight)
        for stage in model._predictors[done:]:
            for tree in stage:
                yield tree.nodes
        done = stages


def _usable(rows: Rows, source: Source) -> Rows:
    """Return rows in which parts of dates are constant, so that no tree asks for them."""
    return rows._replace(X=np.where(source.dated, 0.0, rows.X)) if source.dated.any() else rows


def stump_bits(rows: Rows, source: Source, seed: int, most: int, enough: Callable[[], bool]) -> list[tuple[int, float]]:
    """Return different pairs of input and threshold in the order in which boosted stumps take them, `most` at most."""
    trees = ceil(_SPARE_STUMPS * most / _outputs(rows))
    found: dict[tuple[int, float], None] = {}
    for nodes in _boosted(_usable(rows, source), seed, trees, enough, max_leaf_nodes=2):
        for node in nodes:
            if not node["is_leaf"]:
                j = int(node["feature_idx"])
                found[j, source.threshold(j, float(node["num_threshold"]))] = None
        if len(found) >= most:
            break
    return list(found)[:most]


def tree_bits(rows: Rows, source: Source, seed: int, most: int) -> list[tuple[int, float]]:
    """Return the pairs of input and threshold of one tree with so many inner nodes."""
    from sklearn.tree import DecisionTreeClassifier

    usable = _usable(rows, source)
    fitted = DecisionTreeClassifier(max_leaf_nodes=most + 1, random_state=seed).fit(usable.X, rows.y, rows.weight).tree_
    inner = fitted.feature >= 0
    pairs = zip(fitted.feature[inner].tolist(), fitted.threshold[inner].tolist(), strict=True)
    return [(j, source.threshold(j, above)) for j, above in pairs]


def rules(rows: Rows, source: Source, seed: int, leaves: int, most: int, enough: Callable[[], bool]) -> list[Rule]:
    """Return what the leaves of boosted trees ask for, in the order in which boosting grows them, `most` at most.

    One leaf of every tree is left out, as it is where no other one is.
    """
    trees = ceil(_SPARE_RULES * most / ((leaves - 1) * _outputs(rows)))
    found: dict[Rule, None] = {}
    for nodes in _boosted(
        _usable(rows, source), seed, trees, enough, max_leaf_nodes=leaves, max_bins=_VALUES_OF_RULES,
        l2_regularization=_SHRINKAGE,
    ):  # fmt: skip
        listed = _leaves(nodes, source)
        longest = max(range(len(listed)), key=lambda k: len(listed[k]))
        found |= dict.fromkeys(rule for k, rule in enumerate(listed) if k != longest and rule)
        if len(found) >= most:
            break
    return list(found)[:most]


def _outputs(rows: Rows) -> int:
    n_classes = len(np.unique(rows.y))
    return 1 if n_classes == 2 else n_classes


def _leaves(nodes: Any, source: Source) -> list[Rule]:
    """Return the conditions of the leaves of a tree, all of them, so that the packed format finds the tree again."""
    found: list[Rule] = []
    waiting: list[tuple[int, dict[tuple[int, float], bool]]] = [(0, {})]
    while waiting:
        number, limits = waiting.pop()
        node = nodes[number]
        if node["is_leaf"]:
            found.append(tuple((j, t, holds) for (j, t), holds in sorted(limits.items())))
            continue
        j = int(node["feature_idx"])
        t = source.threshold(j, float(node["num_threshold"]))
        waiting += [(int(node[child]), limits | {(j, t): holds}) for child, holds in (("left", False), ("right", True))]
    return found


def importance(rows: Rows, seed: int) -> Indices:
    """Return the inputs in the order of their importance to a forest."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(_TREES_OF_FOREST, min_samples_leaf=_ROWS_OF_A_LEAF, random_state=seed)
    return np.argsort(-forest.fit(rows.X, rows.y, rows.weight).feature_importances_, kind="stable")
