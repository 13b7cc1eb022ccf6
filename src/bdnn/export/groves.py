"""Rules that are the leaves of trees, as tables of nodes, and about what their layouts in C cost.

As neurons, rules take a weight for each bit of each leaf. Of the leaves of a tree only one fires, and the nodes on the
way to it ask for one bit each, so that a tree takes a byte for each node, and only one way is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.network.trees import Inner, Node, trees_of_rules

if TYPE_CHECKING:
    from bdnn.export.program import Member, Signal
    from bdnn.export.request import Optimize

TreeLayout = Literal["trees", "jumps", "branches"]

TREE_LAYOUTS: tuple[TreeLayout, ...] = ("trees", "jumps", "branches")
"""Tables of nodes, which are all passed, tables with the distances of those that are next, and code."""

_WALKS: tuple[TreeLayout, ...] = ("trees", "jumps")
_MOST_BRANCHES = 1_000  # nodes: more fill 32 kB of flash on a machine of 8 bits
# bytes on a machine of 8 bits, counted in avr-gcc's output: the walk, what it has more for several outputs, for bits
# that ask for one integer, and for a bit that asks otherwise; a bit in the tables; a branch, and adding a value
_WALK, _OUTPUTS, _EQUAL, _OTHER, _BIT, _BRANCH, _LEAF = 100, 40, 20, 20, 3, 10, 8
# cycles, counted in the same output: a node that is passed, one that is asked, a branch, and adding a value
_NODE_CYCLES, _JUMP_CYCLES, _BRANCH_CYCLES, _LEAF_CYCLES = 30, 40, 9, 6


@dataclass(frozen=True)
class Grove:
    """The trees of a network with one hidden layer.

    Attributes
    ----------
    member : Member
        The network.
    trees : sequence of (int, Inner)
        As `trees_of_rules` returns them.
    """

    member: Member
    trees: Sequence[tuple[int, Inner]]

    @property
    def is_shared(self) -> bool:
        """Whether leaves have a value for each output."""
        return self.trees[0][0] < 0

    @cached_property
    def order(self) -> list[int]:
        """Signals that nodes ask for: first bits that are 1 from an integer on, then at one integer, then others."""
        signals = self.member.signals
        asked = {node.bit for _, tree in self.trees for node in _nodes(tree) if isinstance(node, Inner)}
        return sorted(asked, key=lambda i: (_kind(signals[i]), signals[i].input, signals[i].cuts))

    @cached_property
    def groups(self) -> list[list[int]]:
        """The same, by the three kinds."""
        return [[i for i in self.order if _kind(self.member.signals[i]) == kind] for kind in range(3)]

    def value(self, leaf: Node, output: int) -> int:
        """Return what a leaf adds to an output."""
        return 0 if leaf is None else int(self.member.layers[1].weights[output, leaf])

    @cached_property
    def leaves(self) -> list[tuple[int, Node]]:
        """Leaves in the order of the table, with the outputs that they are of."""
        return [(of, node) for of, tree in self.trees for node in _nodes(tree) if not isinstance(node, Inner)]

    @property
    def n_inner(self) -> int:
        """Nodes that ask for a bit."""
        return len(self.leaves) - len(self.trees)

    @property
    def least(self) -> int:
        """The smallest value of a leaf that is of one output."""
        return 0 if self.is_shared else min(self.value(leaf, of) for of, leaf in self.leaves)

    @cached_property
    def n_nodes(self) -> int:
        """Nodes and leaves."""
        return len(self.leaves) + self.n_inner

    def code_type(self, jumps: bool = False) -> str | None:
        """Return the type of an entry of the table: a bit, a value after the bits, or a distance.

        None if none is large enough.
        """
        n = len(self.order)
        if self.is_shared:
            most = n + (self._values * (len(self.leaves) - 1) if jumps else 0)
        else:
            most = n + max(self.value(leaf, of) for of, leaf in self.leaves) - self.least
        if jumps:
            most = max(most, *(_n_entries(tree) for _, tree in self.trees))
        return None if max(most, 2 * self.n_nodes) >= 2**16 else "uint8" if most < 2**8 else "uint16"

    @property
    def zero(self) -> int:
        """The entry of a leaf whose value is 0."""
        return len(self.order) - self.least

    def entries(self, jumps: bool) -> tuple[list[int], list[int]]:
        """Return the entries of all trees, and how many there are of each output.

        A node is the place of its bit in `order`, then come its side of 0 and its side of 1; a leaf is `zero` plus its
        value, or the number of bits if it has several. With distances, a tree begins with the number of its entries,
        the place of a bit is followed by the number of those of the side of 0, and a leaf of several values is the
        number of bits plus their place in `shared_values`.
        """
        place = {signal: number for number, signal in enumerate(self.order)}
        n, n_leaves = len(place), 0
        found: list[int] = []
        sizes = [0] * len(self.member.layers[1].bias)

        def put(node: Node, of: int) -> None:
            nonlocal n_leaves
            if isinstance(node, Inner):
                found.append(place[node.bit])
                if jumps:
                    found.append(_n_entries(node.low))
                put(node.low, of)
                put(node.high, of)
                return
            shared = n + len(sizes) * n_leaves if jumps else n
            found.append(shared if of < 0 else self.zero + self.value(node, of))
            n_leaves += 1

        for of, tree in self.trees:
            before = len(found)
            if jumps:
                found.append(_n_entries(tree))
            put(tree, of)
            sizes[of] += len(found) - before
        return found, sizes

    def shared_values(self) -> list[int]:
        """Return the values of all leaves, for each output one after the other."""
        outputs = range(len(self.member.layers[1].bias))
        return [self.value(leaf, output) for _, leaf in self.leaves for output in outputs]

    def costs(self, optimize: Optimize) -> dict[TreeLayout, float]:
        """Return about how many bytes or cycles the layouts take that these trees can have."""
        outputs, n_leaves = len(self.member.layers[1].bias), len(self.leaves)
        sizes = {each: {"uint8": 1, "uint16": 2}.get(self.code_type(each == "jumps") or "") for each in _WALKS}
        found: dict[TreeLayout, float] = {}
        if optimize == "speed":
            depth, added = sum(_mean_depth(tree) for _, tree in self.trees), len(self.trees) * self._values
            found["trees"] = _NODE_CYCLES * self.n_nodes
            found["jumps"] = _JUMP_CYCLES * (depth + len(self.trees)) + _LEAF_CYCLES * added
            found["branches"] = _BRANCH_CYCLES * depth + _LEAF_CYCLES * added
        else:
            single, equal, others = map(len, self.groups)
            walk = _WALK + _OUTPUTS * (outputs > 1) + _EQUAL * (equal > 0) + _OTHER * others + _BIT * (single + equal)
            values = outputs * n_leaves if self.is_shared else 0
            found["trees"] = walk + values + (sizes["trees"] or 0) * self.n_nodes
            found["jumps"] = walk + values + (sizes["jumps"] or 0) * (self.n_nodes + self.n_inner + len(self.trees))
            found["branches"] = _BRANCH * self.n_inner + _LEAF * n_leaves * self._values
        if self.n_nodes > _MOST_BRANCHES:
            del found["branches"]
        return {each: price for each, price in found.items() if each == "branches" or sizes[each]}

    @property
    def _values(self) -> int:
        return len(self.member.layers[1].bias) if self.is_shared else 1


def grove_of(member: Member) -> Grove | None:
    """Return the trees of a network, None if it has not one hidden layer of rules on bits."""
    if len(member.layers) != 2 or not all(signal.is_bit for signal in member.signals):
        return None
    hidden, last = member.layers
    trees = trees_of_rules(hidden.weights, np.array(hidden.bias, dtype=object), last.weights.T)
    return None if trees is None else Grove(member, trees)


def _kind(signal: Signal) -> int:
    if signal.missing is not None or len(signal.cuts) != 1:
        return 2
    return 0 if signal.kind == "steps" else 1


def _nodes(node: Node) -> Iterator[Node]:
    """Yield nodes, each before those below it, the side of 0 first."""
    yield node
    if isinstance(node, Inner):
        yield from _nodes(node.low)
        yield from _nodes(node.high)


def _n_entries(node: Node) -> int:
    """Return the entries of a node and what is below it in a table with distances."""
    return 2 + _n_entries(node.low) + _n_entries(node.high) if isinstance(node, Inner) else 1


def _mean_depth(node: Node) -> float:
    """Return how many nodes are asked, if both answers of each are equally frequent."""
    return 1 + (_mean_depth(node.low) + _mean_depth(node.high)) / 2 if isinstance(node, Inner) else 0
