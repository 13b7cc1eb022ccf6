"""Optimal trees: ConTree of all thresholds (pycontree) and STreeD of chosen ones (pystreed), within seconds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np
from coding import storable
from packed_trees import Tree, Trees
from pool import Candidate, Path, Rows, folds, judged
from pycontree import ConTree
from pystreed import STreeDClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sources import Split

SECONDS = 6.0
"""Of one search; in the four folds of small tables a quarter of it. What is found until then is taken."""
SEARCHES = ((2, 0.0), (3, 0.0), (4, 0.0), (4, 0.002))
"""Depth, and price of a split in terms of the share of wrong rows; of ConTree."""
WIDTHS = (16, 32)
"""Of the thresholds of ConTree."""
DEPTHS = {3: (150, range(1, 8)), 4: (50, (8, 9, 10, 11, 12, 13, 15))}
"""Thresholds that STreeD may choose from, and splits at most, by depth."""


def _flat(root, leaf: Callable, split: Callable, children: Callable, label: Callable) -> list[np.ndarray]:
    """Return feature, threshold, children and class of the nodes; splits whose sides say the same are left out."""
    feature, threshold, left, right, value = [], [], [], [], []

    def visit(node) -> int:
        at = len(feature)
        for each, nothing in ((feature, -1), (threshold, 0.0), (left, 0), (right, 0), (value, 0)):
            each.append(nothing)
        if leaf(node):
            value[at] = label(node)
            return at
        feature[at], threshold[at] = split(node)
        left[at], right[at] = (visit(child) for child in children(node))
        a, b = left[at], right[at]
        if feature[a] < 0 and feature[b] < 0 and value[a] == value[b]:
            feature[at], value[at] = -1, value[a]
        return at

    visit(root)
    return [np.array(each) for each in (feature, threshold, left, right, value)]


def _packed(flat: list[np.ndarray], split: Split, width: int) -> Trees:
    feature, threshold, *rest = flat
    stored = storable(threshold.astype(float), np.maximum(feature, 0), split.columns, width)
    return Trees(split.columns, split.classes, [Tree.preorder(feature, stored, *rest)], width=width)


def _seconds(split: Split, rows: Rows) -> float:
    """Return the limit of a search on these rows."""
    parts = folds(split)
    inside = any(rows is some for some, _ in parts)
    return SECONDS / len(parts) if inside else SECONDS


def _of_all_thresholds(split: Split, rows: Rows, depth: int, price: float) -> Path:
    search = ConTree(max_depth=depth, complexity_cost=price, time_limit=_seconds(split, rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells when time is over
        root = search.fit(*rows).get_tree()
    flat = _flat(
        root,
        lambda node: node.is_leaf_node(),
        lambda node: (node.get_split_feature(), node.get_split_threshold()),
        lambda node: (node.get_left(), node.get_right()),
        lambda node: node.get_label(),
    )
    return Path([_packed(flat, split, width) for width in WIDTHS])


def _thresholds(split: Split, rows: Rows, seed: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features and different thresholds t of ``x > t`` that boosted stumps take first, sorted."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.3,
        max_iter=ceil(2 * most / (1 if split.classes == 2 else split.classes)),
        max_leaf_nodes=2,
        min_samples_leaf=min(20, len(rows[1]) // 40 + 1),
        early_stopping=False,
        random_state=seed,
    ).fit(*rows)
    stumps = [
        nodes[~nodes["is_leaf"].astype(bool)] for stage in model._predictors for nodes in (t.nodes for t in stage)
    ]
    pairs = dict.fromkeys((int(n["feature_idx"]), float(n["num_threshold"])) for nodes in stumps for n in nodes)
    feature, threshold = (np.array(each) for each in zip(*list(pairs)[:most], strict=True))
    stored = storable(threshold, feature, split.columns, 16)
    ordered = sorted(set(zip(feature.tolist(), stored.tolist(), strict=True)))
    return np.array([f for f, _ in ordered], dtype=int), np.array([t for _, t in ordered])


def _of_chosen_thresholds(split: Split, rows: Rows, seed: int, depth: int) -> Path:
    number, sizes = DEPTHS[depth]
    feature, threshold = _thresholds(split, rows, seed, number)
    seen = (rows[0][:, feature] > threshold).astype(np.int32)
    search = STreeDClassifier("accuracy", max_depth=depth)
    # of the first, where not even one is found in time
    flat = _flat(None, lambda _: True, tuple, tuple, lambda _: int(np.bincount(rows[1]).argmax()))
    models, left = [], _seconds(split, rows)
    for size in sizes:
        if left > 0.05:  # less is not worth a start
            search.set_params(max_num_nodes=size, time_limit=left)
            began = time.monotonic()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                search.fit(seen, rows[1])
            left -= time.monotonic() - began
            if search.is_fitted() and search.fit_result.is_feasible():
                flat = _flat(
                    search.get_tree(),
                    lambda node: node.is_leaf_node(),
                    lambda node: (feature[node.feature], threshold[node.feature]),
                    lambda node: (node.left_child, node.right_child),
                    lambda node: node.label,
                )
        models.append(_packed(flat, split, 16))
    return Path(models)


def optimal(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Search trees of at most four levels."""
    pool = []
    for depth, price in SEARCHES:
        notes = [f"ConTree, depth {depth}, {price:g} a split, {width} bits" for width in WIDTHS]
        search = partial(_of_all_thresholds, split, depth=depth, price=price)
        pool += judged(split, search, notes.__getitem__)
    for depth, (_, sizes) in DEPTHS.items():
        notes = [f"STreeD, depth {depth}, {size} splits" for size in sizes]
        pool += judged(split, partial(_of_chosen_thresholds, split, seed=seed, depth=depth), notes.__getitem__)
    return {"optimal trees": pool}
