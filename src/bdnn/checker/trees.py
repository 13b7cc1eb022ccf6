"""The trees of a certificate: their rows, their leaves, and what these prove, in integers.

What they are about is explained in `bdnn.checker.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.checker.data import MergedData
from bdnn.checker.file import Rank, Tree
from bdnn.checker.functions import Sets, columns, links, width_of
from bdnn.checker.proofs import LEAF, Proof
from bdnn.errors import CertificateError

# arrays of half a megabyte are allocated and freed without system calls
_BATCH_NUMBERS = 2**16
_GROUP_NUMBERS = 2**21  # of proofs that are checked together: 16 MB
_CLIMBERS = 2**15  # leaves that go up their trees together, so that their columns stay in the cache
_SAFE = 2**62  # int64 sums below it have a bit to spare


class _Paths(NamedTuple):
    """The parent of each node, and the column that the branch above fixes: sign +1 means to 1, -1 to 0; 0 at the root.

    The leaves come in the order of their proofs.
    """

    parent: NDArray[np.int64]
    column: NDArray[np.int64]
    sign: NDArray[np.int64]
    leaves: NDArray[np.int64]
    proofs: NDArray[np.int64]


class Program:
    """The rows of one output function, one after another: cuts for neuron 0, cuts for neuron 1, …, links, ranks.

    A rank says of its points what was proven of them: Σ W_i e_i >= its bound.
    """

    def __init__(self, function: Sets, data: MergedData, cuts: list[list[int]], ranks: list[Rank]):
        p, self.width, self.n_cuts = len(data.points), width_of(function), len(cuts)
        column = np.array(columns(function, data.signs), dtype=np.int64).reshape(p, self.width)
        self.n_columns = max(p, 1 + int(column.max(initial=-1)))
        self._data = data
        self.ask(0, range(p))
        sets = {sign: links(function, sign) for sign in (1, -1)}
        self.n_links = np.array([len(sets[sign]) for sign in data.signs], dtype=np.int64)
        self.first_link = self.n_cuts * self.width + np.cumsum(self.n_links) - self.n_links
        linked = [(i, q) for i, sign in enumerate(data.signs) for q in sets[sign]]
        points = np.array([i for cut in cuts for i in cut], dtype=np.int64)
        z = column.tolist()
        self.entries = np.concatenate(
            [
                column[points].T.ravel(),
                np.array([j for i, q in linked for j in (i, *(z[i][neuron] for neuron in q))], dtype=np.int64),
            ]
        )
        self.coefficients = np.ones(len(self.entries), dtype=np.int64)
        sizes = np.array([len(cut) for cut in cuts] * self.width + [1 + len(q) for _, q in linked], dtype=np.int64)
        self.starts = np.cumsum(sizes) - sizes
        self.sizes = sizes
        self.rhs = np.ones(len(sizes), dtype=np.int64)
        if linked:
            first = self.n_cuts * self.width
            self.rhs[first:] = 2 - sizes[first:]
            self.coefficients[self.starts[first] :] = -1
            self.coefficients[self.starts[first:]] = 1
        reach = sizes + np.abs(self.rhs)
        self.first_rank = len(sizes)
        if ranks:
            parts = [np.array(rank.points, dtype=np.int64) for rank in ranks]
            costs = [np.array([data.costs[i] for i in rank.points], dtype=np.int64) for rank in ranks]
            bounds = np.array([rank.bound for rank in ranks], dtype=np.int64)
            self.entries = np.concatenate([self.entries, *parts])
            self.coefficients = np.concatenate([self.coefficients, *costs])
            self.sizes = np.concatenate([sizes, [len(part) for part in parts]])
            self.starts = np.cumsum(self.sizes) - self.sizes
            self.rhs = np.concatenate([self.rhs, bounds])
            reach = np.concatenate([reach, [sum(part.tolist()) for part in costs] + bounds])
        self.typical_size = 1 + len(self.entries) // max(len(sizes), 1)
        self.reach = int(reach.max(initial=1))

    def ask(self, n_ranks: int, points: Sequence[int]) -> None:
        """Let the costs be those of some points alone, and the rows all but those of ranks from a number on."""
        self.n_ranks = n_ranks
        self.costs = np.zeros(self.n_columns, dtype=object)
        self.costs[points] = [self._data.costs[i] for i in points]
        self.total_cost = int(self.costs.sum())

    def kinds(self, proof: Proof, scale: int) -> tuple[Any, Any]:
        """Return the type for the sums of a proof's multipliers, and the type for all of its numbers: int64 or object.

        A multiplier occurs once for each entry of its row and once for its right-hand side, and a cost occurs once.
        Fixings remove terms from the sum of the negative r_j, or add positive ones.
        """
        sums = proof.largest * proof.n_rows * self.reach
        all_numbers = sums + scale * max(self.total_cost, 1)
        return np.int64 if sums < _SAFE else object, np.int64 if all_numbers < _SAFE else object


def check_tree(name: str, tree: Tree | Rank, program: Program, scale: int, needed: int, data: MergedData) -> int:
    """Check that a tree is one and that all of its leaves prove what is needed; return how many there are."""
    paths = _paths(name, tree, program.n_columns)
    group: list[int] = []
    kinds: tuple[Any, Any] | None = None
    for k, proof in enumerate(tree.proofs):
        own = program.kinds(proof, scale)
        if group and (own != kinds or len(group) * program.n_columns >= _GROUP_NUMBERS):
            _check_group(name, tree, group, program, scale, needed, data, paths)
            group = []
        group.append(k)
        kinds = own
    _check_group(name, tree, group, program, scale, needed, data, paths)
    return len(paths.leaves)


def _paths(name: str, tree: Tree | Rank, n_columns: int) -> _Paths:
    """Check that the nodes are a tree, that no path fixes a column twice, and that leaves and proofs fit together."""
    nodes = tree.nodes
    if not len(nodes):
        raise CertificateError(f"{name}: has no nodes")
    # every node but the first must be the child of exactly one node before it, so that they form one tree
    branches, leaves = np.flatnonzero(nodes[:, 0] != LEAF), np.flatnonzero(nodes[:, 0] == LEAF)
    owners, children = np.repeat(branches, 2), nodes[branches, 1:].ravel()
    for k in np.flatnonzero((children <= owners) | (children >= len(nodes)))[:1]:
        raise CertificateError(
            f"node {owners[k]} of {name}: child {children[k]} is not between {owners[k] + 1} and {len(nodes) - 1}"
        )
    count = np.bincount(children, minlength=len(nodes))
    for child in np.flatnonzero(count > 1)[:1]:
        first, second = owners[children == child][:2]
        raise CertificateError(f"node {child} of {name}: is a child of node {first} and of {second}")
    for number in np.flatnonzero(count[1:] == 0)[:1] + 1:
        raise CertificateError(f"node {number} of {name}: is the child of no node")
    for number in branches[nodes[branches, 0] >= n_columns][:1]:
        raise CertificateError(f"node {number} of {name}: there is no column {nodes[number, 0]}, only {n_columns}")
    parent, column, sign = np.zeros((3, len(nodes)), dtype=np.int64)
    parent[children], column[children], sign[children] = owners, nodes[owners, 0], np.tile([-1, 1], len(branches))
    _check_columns(name, nodes, n_columns)
    proofs = nodes[leaves, 1]
    for k in np.flatnonzero(proofs >= len(tree.proofs))[:1]:
        raise CertificateError(f"node {leaves[k]} of {name}: there is no proof {proofs[k]}, only {len(tree.proofs)}")
    for k in np.flatnonzero(np.bincount(proofs, minlength=len(tree.proofs)) == 0)[:1]:
        raise CertificateError(f"proof {k} of {name}: belongs to no leaf")
    order = np.argsort(proofs, kind="stable")
    return _Paths(parent, column, sign, leaves[order], proofs[order])


def _check_columns(name: str, nodes: NDArray[np.int64], n_columns: int) -> None:
    """Check that no path fixes a column twice."""
    columns, zeros, ones = (part.tolist() for part in nodes.T)
    fixed = bytearray(n_columns)
    # a node to enter, or -1 - column to free a column when everything below its branch is done
    todo = [0]
    while todo:
        number = todo.pop()
        if number < 0:
            fixed[-1 - number] = 0
            continue
        column = columns[number]
        if column == LEAF:
            continue
        if fixed[column]:
            raise CertificateError(f"node {number} of {name}: column {column} is fixed already")
        fixed[column] = 1
        todo += (-1 - column, ones[number], zeros[number])


def _check_group(
    name: str,
    tree: Tree | Rank,
    group: list[int],
    program: Program,
    scale: int,
    needed: int,
    data: MergedData,
    paths: _Paths,
) -> None:
    """Check the leaves of consecutive proofs whose numbers fit into the same kinds of integers."""
    kinds = program.kinds(tree.proofs[group[0]], scale)
    bases = np.zeros(len(group), dtype=kinds[1])
    rests = np.zeros((len(group), program.n_columns), dtype=kinds[1])
    begin, numbers = 0, 0
    for end, k in enumerate(group, start=1):
        proof = tree.proofs[k]
        numbers += program.n_columns + proof.n_rows * program.typical_size
        if numbers >= _BATCH_NUMBERS or end == len(group):
            batch = group[begin:end]
            bases[begin:end], rests[begin:end] = _rests(name, batch, tree.proofs, program, scale, kinds)
            begin, numbers = end, 0
    first, last = np.searchsorted(paths.proofs, [group[0], group[-1] + 1])
    for start in range(first, last, _CLIMBERS):
        part = slice(start, min(start + _CLIMBERS, last))
        leaves, own = paths.leaves[part], paths.proofs[part] - group[0]
        values = bases[own] + _gains(leaves, own, rests, paths)
        for number, value in zip(leaves.tolist(), values.tolist(), strict=True):
            proven = -(-value // scale)
            if proven < needed:
                raise CertificateError(
                    f"leaf {number} of {name} proves {_amount(data, proven)}, the claim needs {_amount(data, needed)}"
                )


def _gains(leaves: NDArray[np.int64], own: NDArray[np.int64], rests: NDArray[Any], paths: _Paths) -> NDArray[Any]:
    """Return what the fixings on the paths add to the bounds of leaves, all paths climbed at the same time."""
    gains = np.zeros(len(leaves), dtype=rests.dtype)
    flat = rests.ravel()
    still, at, offset = np.arange(len(leaves)), leaves, own * rests.shape[1]
    while (n_below := np.count_nonzero(at)) > 0:
        if 2 * n_below < len(at):
            below = np.flatnonzero(at)
            still, at, offset = still[below], at[below], offset[below]
        gains[still] += np.maximum(flat[offset + paths.column[at]] * paths.sign[at], 0)
        at = paths.parent[at]
    return gains


def _rests(
    name: str, batch: list[int], proofs: list[Proof], program: Program, scale: int, kinds: tuple[Any, Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bounds of proofs over the box without fixings, and their r_j, multiplied by the scale."""
    for_sums, for_all = kinds
    rows, owners, multipliers = _rows(name, batch, proofs, program)
    multipliers = multipliers.astype(for_sums)
    values = np.zeros(len(batch), dtype=for_sums)
    np.add.at(values, owners, multipliers * program.rhs[rows])
    # all entries of all rows, one after another
    sizes = program.sizes[rows]
    ends = np.cumsum(sizes)
    entries = np.repeat(program.starts[rows] - ends + sizes, sizes) + np.arange(sizes.sum())
    places = np.repeat(owners * program.n_columns, sizes) + program.entries[entries]
    sums = np.zeros(len(batch) * program.n_columns, dtype=for_sums)
    np.add.at(sums, places, np.repeat(multipliers, sizes) * program.coefficients[entries])
    costs = scale * program.costs  # Python integers
    rests = costs.astype(for_all) - sums.astype(for_all).reshape(len(batch), program.n_columns)
    return values.astype(for_all) + np.minimum(rests, 0).sum(axis=1), rests


def _amount(data: MergedData, units: int) -> str:
    """Return a loss as text that is short even if it comes from absurd multipliers."""
    text = str(data.base + units * data.unit)
    return text if len(text) <= 60 else f"{'less' if units < 0 else 'more'} than can be shown"


def _rows(
    name: str, batch: list[int], proofs: list[Proof], program: Program
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Return the rows that proofs use, the place in the batch of the proof of each row, and the multipliers."""
    order, used = np.arange(len(batch)), [proofs[k] for k in batch]
    cuts = np.concatenate([proof.cuts for proof in used])
    cut_owners = np.repeat(order, [len(proof.cuts) for proof in used])
    strange = (cuts[:, 0] >= program.n_cuts) | (cuts[:, 1] >= program.width)
    for k in np.flatnonzero(strange)[:1]:
        raise CertificateError(f"proof {batch[cut_owners[k]]} of {name}: there is no cut {cuts[k].tolist()}")
    pairs = np.concatenate([proof.links for proof in used])
    link_owners = np.repeat(order, [len(proof.links) for proof in used])
    strange = pairs[:, 0] >= len(program.n_links)
    if not strange.any():
        strange = pairs[:, 1] >= program.n_links[pairs[:, 0]]
    for k in np.flatnonzero(strange)[:1]:
        raise CertificateError(f"proof {batch[link_owners[k]]} of {name}: there is no link {pairs[k].tolist()}")
    ranks = np.concatenate([proof.ranks for proof in used])
    rank_owners = np.repeat(order, [len(proof.ranks) for proof in used])
    for k in np.flatnonzero(ranks >= program.n_ranks)[:1]:
        raise CertificateError(
            f"proof {batch[rank_owners[k]]} of {name}: names rank {ranks[k]}, and there are {program.n_ranks} before it"
        )
    rows = np.concatenate(
        [
            cuts[:, 1] * program.n_cuts + cuts[:, 0],
            program.first_link[pairs[:, 0]] + pairs[:, 1],
            program.first_rank + ranks,
        ]
    )
    multipliers = [proof.cut_multipliers for proof in used] + [proof.link_multipliers for proof in used]
    multipliers += [proof.rank_multipliers for proof in used]
    return rows, np.concatenate([cut_owners, link_owners, rank_owners]), np.concatenate(multipliers)
