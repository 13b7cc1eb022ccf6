"""Proofs and nodes of the trees in a certificate: millions of numbers, read into arrays."""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.checker.values import MAX_BITS, exactly, fail, integer, items, shown

LEAF = -1  # no column has this number
LARGEST_INDEX = 2**31  # more than a file that can be read lists
_WRITTEN = {2: "two", 3: "three"}  # how many numbers there are, for messages


class Proof(NamedTuple):
    """Multipliers that prove the bounds of leaves: indices of cuts and links, in pairs, and of ranks, and multiples."""

    cuts: NDArray[np.int64]
    cut_multipliers: NDArray[Any]
    links: NDArray[np.int64]
    link_multipliers: NDArray[Any]
    ranks: NDArray[np.int64]
    rank_multipliers: NDArray[Any]
    largest: int

    @property
    def n_rows(self) -> int:
        """Rows that it names."""
        return len(self.cuts) + len(self.links) + len(self.ranks)


class Nodes(NamedTuple):
    """Nodes of a tree, one a row: column, child for 0, child for 1; or `LEAF`, number of the proof, 0."""

    table: NDArray[np.int64]

    @classmethod
    def of(cls, flat: array[int]) -> Nodes:
        """Return nodes that were read one after the other."""
        return cls(_table(flat, 3))


def read_node(value: object, k: int, tree: str) -> tuple[int, ...]:
    """Return the k-th node of a tree as a row of `Nodes`."""
    if type(value) is int and 0 <= value < LARGEST_INDEX:
        return LEAF, value, 0
    place = f"node {k} of {tree}"
    if not isinstance(value, list):
        raise fail(place, f"must be a list or the number of a proof, got {shown(value)}")
    return tuple(integer(place, number, 0, LARGEST_INDEX) for number in items(place, value, 3))


def _table(flat: array[int], width: int) -> NDArray[np.int64]:
    return np.array(flat, dtype=np.int64).reshape(-1, width)


def read_proof(value: object, k: int, tree: str) -> Proof:
    """Return the k-th proof of a tree."""
    place = f"proof {k} of {tree}"
    # versions before 4 have no ranks, and may not name any: there are none to be named
    with_ranks = isinstance(value, dict) and "ranks" in value
    parts = exactly(place, value, "cuts links ranks" if with_ranks else "cuts links")
    cuts, on_cuts, most_on_cuts = _tuples(f"{place}: cuts", parts["cuts"], 3)
    links, on_links, most_on_links = _tuples(f"{place}: links", parts["links"], 3)
    ranks, on_ranks, most_on_ranks = _tuples(f"{place}: ranks", parts["ranks"] if with_ranks else [], 2)
    largest = max(most_on_cuts, most_on_links, most_on_ranks)
    return Proof(cuts, on_cuts, links, on_links, ranks[:, 0], on_ranks, largest)


def _tuples(place: str, value: object, width: int) -> tuple[NDArray[np.int64], NDArray[Any], int]:
    """Return indices, multipliers and the largest multiplier of a list of tuples, each of which ends in a multiplier.

    Only builtins look at the millions of numbers: an array would take both True and 1.5 for 1.
    """
    tuples = items(place, value)
    if not set(map(type, tuples)) <= {list} or not set(map(len, tuples)) <= {width}:
        raise fail(place, f"must hold lists of {_WRITTEN[width]} integers")
    flat = list(chain.from_iterable(tuples))
    if not set(map(type, flat)) <= {int}:
        raise fail(place, "must hold integers only")
    if not flat:
        return np.empty((0, width - 1), dtype=np.int64), np.empty(0, dtype=np.int64), 0
    try:
        table = _table(array("q", flat), width)
        indices, multipliers = table[:, :-1], table[:, -1]
    except OverflowError:
        multipliers = np.array(flat[width - 1 :: width], dtype=object)
        del flat[width - 1 :: width]
        longest = max(flat, key=abs)
        if longest.bit_length() > 63:
            raise fail(place, f"names a row that does not exist: {shown(longest)}") from None
        indices = np.array(flat, dtype=np.int64).reshape(-1, width - 1)
    smallest, largest = min(int(indices.min()), int(multipliers.min())), int(multipliers.max())
    if smallest < 0:
        raise fail(place, f"must not hold negative numbers, got {shown(smallest)}")
    if largest.bit_length() > MAX_BITS:
        raise fail(place, f"must hold integers of at most {MAX_BITS} bits, got {shown(largest)}")
    return indices, multipliers, largest
