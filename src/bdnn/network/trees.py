"""Rules of a hidden layer as the leaves of trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Array, Bools

MOST_LEVELS = 64
"""Of a tree: more would let few bytes take much time."""

_MOST_RULES = 2**14
"""More are not looked at."""

_MOST_ROUNDS = 3
"""How often neurons are put into the order of their trees, and trees looked for again."""

_MOST_OPEN = 64
"""Trees that a rule is tried to belong to, the latest ones first."""


class Inner(NamedTuple):
    """A node that asks for a bit."""

    bit: int
    low: Node
    high: Node


Node = Inner | int | None
"""A leaf is the number of its neuron, or None if it has none, as its output is 0."""


class Rule(NamedTuple):
    """Bits that must be 1 and bits that must be 0, as sets of bits of integers, and the number of the neuron."""

    ones: int
    zeros: int
    neuron: int


def trees_of_rules(weights: Array, bias: Array, values: Array) -> list[tuple[int, Inner]] | None:
    """Return trees whose leaves are all neurons of a hidden layer that has bits as inputs.

    Parameters
    ----------
    weights : ndarray of shape (d, n), int64
        Of the hidden layer.
    bias : ndarray of shape (d,)
        Of the hidden layer.
    values : ndarray of shape (d, n_outputs)
        Weights of the outputs.

    Returns
    -------
    list of (int, Inner) or None
        Trees in the order of their outputs and roots, each with the output whose sum its leaves are parts of; -1 if
        some neuron is part of several. None if the neurons are no rules, which fire if some bits are 1 and others 0.

    Examples
    --------
    >>> trees_of_rules(np.array([[1, 0], [-1, 1]]), np.array([-1, -1]), np.array([[3], [4]]))
    [(0, Inner(bit=0, low=Inner(bit=1, low=None, high=1), high=0))]
    """
    W = weights
    if not 0 < len(W) <= _MOST_RULES or np.abs(W).max(initial=0) != 1:
        return None
    if not np.array_equal(bias, -(W > 0).sum(axis=1)) or np.abs(W).sum(axis=1).max() > MOST_LEVELS:
        return None
    if not W.any(axis=1).all():
        return None
    alone = bool(np.all((values != 0).sum(axis=1) <= 1))
    of = np.abs(values).argmax(axis=1).tolist() if alone else [-1] * len(W)
    rules = [Rule(ones, zeros, k) for k, (ones, zeros) in enumerate(zip(_sets(W > 0), _sets(W < 0), strict=True))]
    found: list[tuple[int, Inner]] = []
    order = [*range(len(W))]
    for _ in range(_MOST_ROUNDS):
        found = []
        for output in sorted(set(of)):
            trees = _trees([rules[k] for k in order if of[k] == output])
            found += sorted(((output, tree) for tree in trees), key=lambda each: (each[0], each[1].bit))
        before, order = order, [k for _, tree in found for k in _neurons(tree)]
        if order == before:
            break  # so what is read from packed bytes is written in the same way
    return found


def _neurons(node: Node) -> Iterator[int]:
    """Yield the neurons of a tree in the order in which a reader makes them."""
    if isinstance(node, Inner):
        yield from _neurons(node.low)
        yield from _neurons(node.high)
    elif node is not None:
        yield node


def _sets(which: Bools) -> list[int]:
    """Return the rows of a matrix as integers, column k as bit k."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(which, axis=1, bitorder="little")]


def _trees(rules: Sequence[Rule]) -> list[Inner]:
    """Return trees of which each rule is a leaf.

    Rules that follow each other are tried to belong together: they exclude each other, and have a bit in common.
    """
    groups: list[list[Rule]] = []
    common: list[int] = []
    for rule in rules:
        uses = rule.ones | rule.zeros
        for at in range(len(groups) - 1, max(len(groups) - _MOST_OPEN, 0) - 1, -1):
            if common[at] & uses and all(rule.ones & each.zeros or rule.zeros & each.ones for each in groups[at]):
                groups[at].append(rule)
                common[at] &= uses
                break
        else:
            groups.append([rule])
            common.append(uses)
    trees: list[Inner] = []
    for group in groups:
        rest = group
        while rest:  # once, unless rules were taken for those of one tree that are not
            tree, size = _tree(rest), len(rest)
            while tree is None:
                size -= 1
                tree = _tree(rest[:size])
            trees.append(tree)
            rest = rest[size:]
    return trees


def _tree(rules: Sequence[Rule]) -> Inner | None:
    """Return the tree with these leaves, None if there is none."""
    try:
        tree = _grown(rules)
    except LookupError:
        return None
    assert isinstance(tree, Inner)
    return tree


def _grown(rules: Sequence[Rule]) -> Node:
    """Return the tree of what is left of rules that exclude each other; LookupError if there is none."""
    if not rules:
        return None
    shared, ones, zeros = -1, 0, 0
    for rule in rules:
        shared &= rule.ones | rule.zeros
        ones |= rule.ones
        zeros |= rule.zeros
    if not shared:
        if len(rules) > 1:
            raise LookupError
        return rules[0].neuron
    both = shared & ones & zeros
    place = ((both or shared) & -(both or shared)).bit_length() - 1
    bit = 1 << place
    low = [Rule(rule.ones, rule.zeros ^ bit, rule.neuron) for rule in rules if rule.zeros & bit]
    high = [Rule(rule.ones ^ bit, rule.zeros, rule.neuron) for rule in rules if rule.ones & bit]
    return Inner(place, _grown(low), _grown(high))
