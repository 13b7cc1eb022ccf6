"""What binarized networks are trained on and in which shapes: the same for ours and for the straight-through rival.

Only rules, hidden neurons that are chosen before, are left to ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log2
from typing import ClassVar, TypeVar

import numpy as np
from coding import storable
from packed_networks import Condition, Front
from pool import BUDGETS, Candidate, Rows, everything
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sources import Columns, Split

TREE_BITS = (6, 10)
BITS = (12, 32, 96, 256)
GRIDS = ((5, 4), (8, 8), (64, 2), (64, 4), (64, 8))
"""Features and bits."""
BOUNDS = {"bits": (1, 7), "coarse": (1, 7), "fine": (63,)}
"""Largest weights of networks without hidden neurons, on thresholds, grids of few bits and of eight."""
HIDDEN = ((3, 1), (12, 1), (32, 3))
"""Hidden neurons and largest weights of the others."""

LEAVES = (4, 8)
"""Of the boosted trees whose leaves are rules."""
RULES = {80: 1, 250: 3, 1000: 3}
"""Most rules, and largest weights of the outputs."""
MOST_VALUES = 32
"""Of a feature, that these trees tell apart, so that rules share thresholds."""


@dataclass(frozen=True)
class Plan:
    """The name of a front, and a network behind it: hidden neurons (0 for none) and the largest weight."""

    front: str
    hidden: int
    bound: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Hidden layers."""
        return (self.hidden,) if self.hidden else ()

    @property
    def note(self) -> str:
        """In words."""
        return f"{self.front}, {self.hidden or 'no'} hidden, weights to {self.bound}"


@dataclass(frozen=True)
class RulePlan:
    """A layer of rules, leaves of trees of so many leaves, so many at most, and the largest weight of the outputs."""

    hidden: ClassVar[int] = 0
    shape: ClassVar[tuple[int, ...]] = ()
    """Of what is searched, behind the rules."""

    leaves: int
    most: int
    bound: int

    @property
    def note(self) -> str:
        """In words."""
        return f"{self.most} rules of trees of {self.leaves} leaves, weights to {self.bound}"


Key = TypeVar("Key")


class Fronts:
    """Inputs from few to many, by name: thresholds that trees choose, and grids of the most important features.

    They are made from the rows that a network is trained on, and from no others.
    """

    def __init__(self, split: Split, seed: int) -> None:
        self._split, self._seed = split, seed
        self._made: dict[int, tuple[Rows, dict[str, Front]]] = {}
        whole = self.of(everything(split))
        sizes = {name: len(front.chosen) for name, front in whole.items()}
        stumps = [f"{number} bits of boosted stumps" for number in BITS]
        # where there are not many more thresholds, one front with all of them is enough
        fuller = [b for a, b in pairwise(stumps) if sizes[b] > 1.2 * sizes[a]]
        self.names = [name for name in whole if name not in stumps[1:] or name in fuller]

    def of(self, rows: Rows) -> dict[str, Front]:
        """Return the fronts of these rows."""
        if id(rows) not in self._made:
            self._made[id(rows)] = rows, _fronts(rows, self._split.columns, self._split.classes, self._seed)
        return self._made[id(rows)][1]

    def whole(self, name: str) -> Front:
        """Return the front of all rows but the test."""
        return self.of(everything(self._split))[name]


def _fronts(rows: Rows, columns: Columns, classes: int, seed: int) -> dict[str, Front]:
    found = {}
    for number in TREE_BITS:
        tree = DecisionTreeClassifier(max_leaf_nodes=number + 1, random_state=seed).fit(*rows).tree_
        inner = tree.feature >= 0
        found[f"{number} bits of a tree"] = Front.of_bits(tree.feature[inner], tree.threshold[inner], columns)
    bits = boosted_bits(rows, classes, seed, max(BITS))
    for number in BITS:
        feature, threshold = (np.array(each) for each in zip(*bits[:number], strict=True))
        found[f"{number} bits of boosted stumps"] = Front.of_bits(feature, threshold, columns)
    forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=seed).fit(*rows)
    order = np.argsort(-forest.feature_importances_, kind="stable")
    for most, width in GRIDS:
        some = min(most, len(columns))
        found[f"{some} grids of {width} bits"] = Front.of_grid(order[:some], rows[0], columns, width)
    return found


def boosted_bits(rows: Rows, classes: int, seed: int, most: int) -> list[tuple[int, float]]:
    """Return different thresholds in the order in which boosting takes them."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.3,
        max_iter=ceil(2 * most / (1 if classes == 2 else classes)),
        max_leaf_nodes=2,
        min_samples_leaf=min(20, len(rows[1]) // 40 + 1),
        early_stopping=False,
        random_state=seed,
    ).fit(*rows)
    seen: dict[tuple[int, float], None] = {}
    for stage in model._predictors:
        for grown in stage:
            for node in grown.nodes:
                if not node["is_leaf"]:
                    seen[int(node["feature_idx"]), float(node["num_threshold"])] = None
    return list(seen)[:most]


def rules(rows: Rows, columns: Columns, classes: int, leaves: int, seed: int) -> list[tuple[Condition, ...]]:
    """Return what the leaves of boosted trees ask for, in the order in which boosting takes them.

    One leaf of every tree is left out, as it is where no other one is.
    """
    most = max(RULES)
    model = HistGradientBoostingClassifier(
        learning_rate=0.3,
        max_iter=ceil(1.2 * most / ((leaves - 1) * (1 if classes == 2 else classes))),
        max_leaf_nodes=leaves,
        max_bins=MOST_VALUES,
        min_samples_leaf=min(20, len(rows[1]) // 40 + 1),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    ).fit(*rows)
    seen: dict[tuple[Condition, ...], None] = {}
    for stage in model._predictors:
        for grown in stage:
            found = _leaves(grown.nodes, columns)
            longest = max(range(len(found)), key=lambda k: len(found[k]))
            seen |= dict.fromkeys(rule for k, rule in enumerate(found) if k != longest)
    return list(seen)[:most]


def _leaves(nodes: np.ndarray, columns: Columns) -> list[tuple[Condition, ...]]:
    """Return the conditions of the leaves of a tree; of several on one side of a feature the strictest."""
    found, waiting = [], [(0, {})]
    while waiting:
        number, limits = waiting.pop()
        node = nodes[number]
        if node["is_leaf"]:
            found.append(tuple((feature, limit, over) for (feature, over), limit in sorted(limits.items())))
            continue
        feature = int(node["feature_idx"])
        threshold = float(storable(node["num_threshold"][None], np.array([feature]), columns, 16)[0])
        for child, over in (("left", False), ("right", True)):
            # a child's threshold lies between those above it
            waiting.append((int(node[child]), limits | {(feature, over): threshold}))
    return found


def rule_plans(numbers: dict[int, int]) -> list[RulePlan]:
    """Return plans by the number of rules that trees of so many leaves have; few more are not worth another plan."""
    plans = []
    for leaves, there in numbers.items():
        before = 0
        for most, bound in RULES.items():
            if min(most, there) > 1.2 * before:
                plans.append(RulePlan(leaves, most, bound))
            before = most
    return plans


def plain_plans(given: Fronts) -> list[Plan]:
    """Return the plans without hidden neurons."""
    kinds = {name: "bits" if "grids" not in name else "fine" if "8 bits" in name else "coarse" for name in given.names}
    return [Plan(name, 0, bound) for name in given.names for bound in BOUNDS[kinds[name]]]


def hidden_plans(split: Split, given: Fronts, found: dict[Plan, list[Candidate]]) -> list[Plan]:
    """Return shapes with hidden neurons that fit the budgets, on the fronts that did best without any."""
    merits = {
        name: max(c.validation for p, each in found.items() if p.front == name for c in each) for name in given.names
    }
    order = sorted(given.names, key=lambda name: (-merits[name], len(given.whole(name).chosen)))
    plans = []
    for hidden, bound in HIDDEN:
        fitting = [n for n in order if _estimated_bytes(given.whole(n), split, hidden, bound) <= max(BUDGETS)]
        plans += [Plan(name, hidden, bound) for name in fitting[:2]]
    return plans


def promising(found: dict[Key, list[Candidate]]) -> list[Key]:
    """Return the plans that are best so far within the budgets."""
    of = {id(candidate): plan for plan, each in found.items() for candidate in each}
    everyone = [candidate for each in found.values() for candidate in each]
    order = sorted(everyone, key=lambda each: (-each.validation, each.size))
    fitting = [[each for each in order if each.size <= budget] for budget in BUDGETS]
    return list(dict.fromkeys(of[id(some[0])] for some in fitting if some))


def _estimated_bytes(front: Front, split: Split, hidden: int, bound: int) -> float:
    """Return about how many bytes a network takes that uses all inputs."""
    outputs = 1 if split.classes == 2 else split.classes
    width = log2(2 * bound + 1)
    k = len(front.chosen)
    inputs = k * (2 + ceil(log2(max(len(split.columns), 2))) + (8 if front.threshold is not None else 6))
    weights = k * (hidden or outputs) * width + hidden * (4 + width * outputs)
    return (inputs + weights) / 8
