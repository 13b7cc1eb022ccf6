"""Rules of a packed network that are the leaves of trees, written as trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.errors import PackedError
from bdnn.network.layer import Layer
from bdnn.network.packing_layers import MOST_DRAWN, MOST_DRAWS
from bdnn.network.packing_numbers import LARGEST, Writer
from bdnn.network.trees import MOST_LEVELS, Inner, Node, trees_of_rules

if TYPE_CHECKING:
    from bdnn.network.losses import Head
    from bdnn.network.packing_numbers import Reader
    from bdnn.network.packing_reduction import Reduced
    from bdnn.types import Array, Bools, Integers


class Forest(NamedTuple):
    """Trees whose leaves are all neurons of a hidden layer, and the layer of their outputs."""

    trees: list[Inner]
    output: list[int]
    """Which output each tree is of; -1 if leaves have a value for each."""
    values: Array
    """Of shape (neurons, outputs)."""
    bias: Array
    head: Head
    bits: int

    @property
    def is_large(self) -> bool:
        """Whether trees are surely shorter than rules one by one, which it would take long to count."""
        return len(self.values) * self.bits > MOST_DRAWS and 2 * len(self.trees) <= len(self.values)

    def levels(self) -> Iterator[list[Node]]:
        """Yield the nodes below the roots, level by level, in the order of the trees."""
        above: list[Node] = [*self.trees]
        while nodes := [child for node in above if isinstance(node, Inner) for child in (node.low, node.high)]:
            yield nodes
            above = nodes


def forest_of(net: Reduced) -> Forest | None:
    """Return the network as a sum of trees, None if it is no hidden layer of rules on bits."""
    if len(net.layers) != 2 or net.layers[0].weights.dtype.kind != "i" or np.isnan(net.low).any():
        return None
    (W, b), (V, c) = net.layers
    if net.low.any() or np.any(net.high != 1):
        return None
    found = trees_of_rules(W, b, V.T)
    if found is None:
        return None
    return Forest([tree for _, tree in found], [output for output, _ in found], V.T, c, net.head, W.shape[1])


def write_forest(out: Writer, forest: Forest) -> None:
    """Append a sum of trees: head, biases, roots, which nodes have children, what those ask for, values of leaves."""
    outputs, n = len(forest.bias), forest.bits
    out.digit(forest.head == "argmax", 2)
    out.integers(forest.bias)
    alone = forest.output[0] >= 0
    if outputs > 1:
        out.digit(alone, 2)
    counts = np.bincount(forest.output, minlength=outputs) if alone else np.array([len(forest.trees)])
    out.integers(counts)
    roots = np.array([tree.bit for tree in forest.trees])
    for group in np.split(roots, np.cumsum(counts)[:-1]):
        # trees come in the order of their roots: how many have each root
        ends = np.cumsum(np.bincount(group, minlength=n))[:-1] + np.arange(n - 1)
        out.choice(ends.tolist(), n + len(group) - 1)
    asked: list[int] = []
    leaves: list[int] = []
    of_leaf: list[int] = []
    owners = forest.output
    for nodes in forest.levels():
        owners = [owner for owner in owners for _ in range(2)]
        inner = [isinstance(node, Inner) for node in nodes]
        draws(out, np.array(inner, dtype=np.int64), 2)
        asked += [node.bit for node in nodes if isinstance(node, Inner)]
        leaves += [-1 if node is None else node for node in nodes if not isinstance(node, Inner)]
        of_leaf += [owner for owner, within in zip(owners, inner, strict=True) if not within]
        owners = [owner for owner, within in zip(owners, inner, strict=True) if within]
    draws(out, np.array(asked, dtype=np.int64), n)
    neurons = np.array(leaves)
    values = np.where(neurons[:, None] < 0, 0, forest.values[neurons])
    flat = (values[np.arange(len(neurons)), of_leaf] if alone else values.ravel()).astype(np.int64)
    largest = max(int(np.abs(flat).max()), 1)
    out.count(largest - 1)
    draws(out, flat + largest, 2 * largest + 1)


def draws(out: Writer, values: Integers, size: int) -> None:
    """Append values from 0 to ``size - 1``, from an urn or as digits, whichever is shorter."""
    if not len(values) or size == 1:
        return
    plain, drawn = Writer(), Writer()
    plain.digits(values, size)
    if len(values) > MOST_DRAWS or size > 2 * MOST_DRAWN + 1:
        out.append(plain)
        return
    drawn.urn(values, size)
    out.shortest([(0, plain), (1, drawn)], 2)


def read_draws(data: Reader, n: int, size: int) -> Array:
    """Read as `draws`."""
    if not n or size == 1:
        return np.zeros(n, dtype=np.int64)
    if n > MOST_DRAWS or size > 2 * MOST_DRAWN + 1 or not data.digit(2):
        return data.digits(n, size)
    return data.urn(n, size)


def numbers_of_forest(forest: Forest, slots: int) -> int:
    """Return how many numbers a reader makes of a forest; see `Reader.charge`."""
    nodes = len(forest.trees) + sum(map(len, forest.levels()))
    leaves = (nodes + len(forest.trees)) // 2
    outputs = len(forest.bias)
    wide = 1 if forest.output[0] >= 0 else outputs
    return outputs + nodes * (max(slots, forest.bits) + 2) + leaves * wide


def read_forest(data: Reader, classes: int, n: int, width: int) -> tuple[list[Layer], Head]:
    """Read as `write_forest`: a layer of rules and a layer of outputs.

    Parameters
    ----------
    data : Reader
        Where from.
    classes : int
        Of the network.
    n : int
        Bits that trees may ask for.
    width : int
        How many inputs the first layer is to have in the end.
    """
    head: Head = "argmax" if data.digit(2) else "threshold"
    outputs = 1 if head == "threshold" and classes == 2 else classes
    data.charge(outputs)
    bias = data.integers(outputs)
    alone = outputs == 1 or bool(data.digit(2))
    counts = data.integers(outputs if alone else 1).tolist()
    if min(counts) < 0 or not any(counts) or n == 0:
        raise PackedError("they hold no trees, or less")
    each = max(width, n) + 2
    data.charge(sum(counts) * each)
    bits = np.concatenate([_roots(data, k, n) for k in counts])
    levels: list[Bools] = [np.ones(len(bits), dtype=bool)]
    while within := int(levels[-1].sum()):
        if len(levels) > MOST_LEVELS:
            raise PackedError("they hold a tree of too many levels")
        data.charge(2 * within * each)
        levels.append(read_draws(data, 2 * within, 2) == 1)
    asked = np.concatenate([bits, read_draws(data, sum(int(level.sum()) for level in levels[1:]), n)]).astype(np.int64)
    leaves = sum(int((~level).sum()) for level in levels)
    largest = data.count() + 1
    if largest > LARGEST:
        raise PackedError("they hold a weight beyond 2**53")
    wide = 1 if alone else outputs
    data.charge(leaves * wide)
    flat = read_draws(data, leaves * wide, 2 * largest + 1) - largest
    order, W = _paths(levels, asked, n)
    owner = _owners(levels, np.repeat(np.arange(outputs), counts) if alone else np.zeros(len(bits), dtype=np.int64))
    values = np.zeros((leaves, outputs), dtype=np.int64)
    if alone:
        values[np.arange(leaves), owner] = flat
    else:
        values[:] = flat.reshape(leaves, outputs)
    values = values[order]
    kept = values.any(axis=1)
    if not kept.any():
        raise PackedError("they hold trees without values")
    W, values = W[kept], values[kept]
    return [Layer(W, -(W > 0).sum(axis=1)), Layer(np.ascontiguousarray(values.T), bias)], head


def _roots(data: Reader, k: int, n: int) -> Array:
    """Return the roots of k trees, ascending."""
    ends = np.array([-1, *data.choice(n - 1, n + k - 1), n + k - 1])
    return np.repeat(np.arange(n), np.diff(ends) - 1)


def _owners(levels: Sequence[Bools], owner: Array) -> Array:
    """Return the tree's number, or whatever trees are said to be of, of each leaf, in the order of the levels."""
    found = []
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        found.append(owner[~level])
        if following is not None:
            owner = np.repeat(owner[level], 2)
    return np.concatenate(found)


def _paths(levels: Sequence[Bools], asked: Integers, n: int) -> tuple[Array, Array]:
    """Return leaves in the order of the trees, the low side first, and what each of them asks for: 1 or -1."""
    W = np.zeros((len(levels[0]), n), dtype=np.int64)
    place: list[tuple[int, ...]] = [(k,) for k in range(len(W))]
    begun, rows, places = 0, [], []
    for level in levels:
        rows.append(W[~level])
        places += [each for each, inner in zip(place, level.tolist(), strict=True) if not inner]
        W = np.repeat(W[level], 2, axis=0)
        bits = np.repeat(asked[begun : begun + int(level.sum())], 2)
        begun += int(level.sum())
        at = np.arange(len(W))
        if np.any(W[at, bits]):
            raise PackedError("they hold a tree that asks twice for the same bit")
        W[at, bits] = np.where(at % 2, 1, -1)
        place = [(*each, side) for each, inner in zip(place, level.tolist(), strict=True) if inner for side in (0, 1)]
    order = sorted(range(len(places)), key=places.__getitem__)
    return np.array(order, dtype=np.intp), np.concatenate(rows)[order]
