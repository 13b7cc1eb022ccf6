"""What the straight-through rival trains: the inputs and shapes of ours, without rules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log2

import numpy as np
from packed_networks import Front, known
from pool import BUDGETS, Candidate, Rows, everything
from sources import Split

from bdnn.compact import proposals
from bdnn.compact.inputs import BitInputs, GridInputs

TREE_BITS = (6, 10)
BITS = (12, 32, 96, 256)
GRIDS = ((5, 4), (8, 8), (64, 2), (64, 4), (64, 8))
"""Features and bits."""
BOUNDS = {"bits": (1, 7), "coarse": (1, 7), "fine": (63,)}
"""Largest weights of networks without hidden neurons, on thresholds, grids of few bits and of eight."""
HIDDEN = ((3, 1), (12, 1), (32, 3))
"""Hidden neurons and largest weights of the others."""


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


class Fronts:
    """Inputs from few to many, by name: thresholds that trees choose, and grids of the most important features.

    They are made from the rows that a network is trained on, and from no others.
    """

    def __init__(self, split: Split, seed: int) -> None:
        self._split, self._seed = split, seed
        self._made: dict[int, tuple[Rows, dict[str, Front]]] = {}
        whole = self.of(everything(split))
        sizes = {name: len(front.feature) for name, front in whole.items()}
        stumps = [f"{number} bits of boosted stumps" for number in BITS]
        # where there are not many more thresholds, one front with all of them is enough
        fuller = [b for a, b in pairwise(stumps) if sizes[b] > 1.2 * sizes[a]]
        self.names = [name for name in whole if name not in stumps[1:] or name in fuller]

    def of(self, rows: Rows) -> dict[str, Front]:
        """Return the fronts of these rows."""
        if id(rows) not in self._made:
            self._made[id(rows)] = rows, _fronts(rows, self._split, self._seed)
        return self._made[id(rows)][1]

    def whole(self, name: str) -> Front:
        """Return the front of all rows but the test."""
        return self.of(everything(self._split))[name]


def _fronts(rows: Rows, split: Split, seed: int) -> dict[str, Front]:
    source, _ = known(split)
    given = proposals.Rows(*rows, weight=np.ones(len(rows[1])))
    found: dict[str, Front] = {}
    for number in TREE_BITS:
        found[f"{number} bits of a tree"] = BitInputs.of(proposals.tree_bits(given, source, seed, number))
    bits = stumps(rows, split, seed, max(BITS))
    for number in BITS:
        found[f"{number} bits of boosted stumps"] = BitInputs.of(bits[:number])
    order = proposals.importance(given, seed)
    for most, width in GRIDS:
        some = min(most, len(order))
        found[f"{some} grids of {width} bits"] = GridInputs.of(order[:some], rows[0], source, width)
    return found


def stumps(rows: Rows, split: Split, seed: int, most: int) -> list[tuple[int, float]]:
    """Return different features and thresholds in the order in which boosted stumps take them."""
    given = proposals.Rows(*rows, weight=np.ones(len(rows[1])))
    return proposals.stump_bits(given, known(split)[0], seed, most, lambda: False)


def plain_plans(given: Fronts) -> list[Plan]:
    """Return the plans without hidden neurons."""
    kinds = {name: "bits" if "grids" not in name else "fine" if "8 bits" in name else "coarse" for name in given.names}
    return [Plan(name, 0, bound) for name in given.names for bound in BOUNDS[kinds[name]]]


def hidden_plans(split: Split, given: Fronts, found: dict[Plan, list[Candidate]]) -> list[Plan]:
    """Return shapes with hidden neurons that fit the budgets, on the fronts that did best without any."""
    merits = {
        name: max(c.validation for p, each in found.items() if p.front == name for c in each) for name in given.names
    }
    order = sorted(given.names, key=lambda name: (-merits[name], len(given.whole(name).feature)))
    plans = []
    for hidden, bound in HIDDEN:
        fitting = [n for n in order if _estimated_bytes(given.whole(n), split, hidden, bound) <= max(BUDGETS)]
        plans += [Plan(name, hidden, bound) for name in fitting[:2]]
    return plans


def _estimated_bytes(front: Front, split: Split, hidden: int, bound: int) -> float:
    """Return about how many bytes a network takes that uses all inputs."""
    outputs = 1 if split.classes == 2 else split.classes
    width = log2(2 * bound + 1)
    k = len(front.feature)
    inputs = k * (2 + ceil(log2(max(len(split.columns), 2))) + (8 if isinstance(front, BitInputs) else 6))
    weights = k * (hidden or outputs) * width + hidden * (4 + width * outputs)
    return (inputs + weights) / 8
