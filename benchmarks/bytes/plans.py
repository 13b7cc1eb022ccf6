"""What binarized networks are trained on and in which shapes: the same for ours and for the straight-through rival."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from coding import Front
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sources import Split

BITS = (12, 32, 80, 192)
GRIDS = (5, 64)
GRID_BITS = (2, 4)
BOUNDS = (1, 7)
"""Largest weights of networks without hidden neurons."""
HIDDEN = ((2, 1), (4, 3), (12, 1), (32, 3))
"""Hidden neurons and largest weights of the others."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A front and a network behind it: hidden neurons (0 for none) and the largest weight."""

    front: Front
    name: str
    hidden: int
    bound: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Hidden layers."""
        return (self.hidden,) if self.hidden else ()

    @property
    def note(self) -> str:
        """In words."""
        return f"{self.name}, {self.hidden or 'no'} hidden, weights to {self.bound}"


def fronts(split: Split, seed: int) -> dict[str, Front]:
    """Return inputs from few to many: thresholds that trees chose, and grids of the most important features."""
    rows, columns = (split.X["train"], split.y["train"]), split.columns
    n = len(columns)
    found = {}
    tree = DecisionTreeClassifier(max_leaf_nodes=7, random_state=seed).fit(*rows).tree_
    inner = tree.feature >= 0
    found["6 bits of a tree"] = Front.of_bits(tree.feature[inner], tree.threshold[inner], columns)
    bits = _boosted_bits(split, seed, max(BITS))
    for number in sorted({min(each, len(bits)) for each in BITS}):
        feature, threshold = (np.array(each) for each in zip(*bits[:number], strict=True))
        found[f"{number} bits of boosted stumps"] = Front.of_bits(feature, threshold, columns)
    forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=seed).fit(*rows)
    order = np.argsort(-forest.feature_importances_, kind="stable")
    for some in sorted({min(each, n) for each in GRIDS}):
        for width in GRID_BITS:
            found[f"{some} grids of {width} bits"] = Front.of_grid(order[:some], rows[0], columns, width)
    return {name: front for name, front in found.items() if len(front.chosen)}


def _boosted_bits(split: Split, seed: int, most: int) -> list[tuple[int, float]]:
    """Return different thresholds in the order in which boosting takes them."""
    outputs = 1 if split.classes == 2 else split.classes
    model = HistGradientBoostingClassifier(
        learning_rate=0.3,
        max_iter=ceil(2 * most / outputs),
        max_leaf_nodes=2,
        min_samples_leaf=min(20, len(split.y["train"]) // 40 + 1),
        early_stopping=False,
        random_state=seed,
    ).fit(split.X["train"], split.y["train"])
    seen: dict[tuple[int, float], None] = {}
    for stage in model._predictors:
        for grown in stage:
            for node in grown.nodes:
                if not node["is_leaf"]:
                    seen[int(node["feature_idx"]), float(node["num_threshold"])] = None
    return list(seen)[:most]


def estimated_bytes(front: Front, split: Split, hidden: int, bound: int) -> float:
    """Return about how many bytes a network takes that uses all inputs."""
    outputs = 1 if split.classes == 2 else split.classes
    width = log2(2 * bound + 1)
    k = len(front.chosen)
    inputs = k * (2 + ceil(log2(max(len(split.columns), 2))) + (8 if front.threshold is not None else 6))
    weights = k * (hidden or outputs) * width + hidden * (4 + width * outputs)
    return (inputs + weights) / 8
