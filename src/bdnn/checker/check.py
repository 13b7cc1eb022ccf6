r"""The independent checker of certificates: proofs that no network of a class has a smaller loss on given data.

It needs no solver and shares no code with the training of networks. Every decision rests on integer arithmetic: on
Python's integers, or on 64-bit ones where a bound on the magnitudes shows that nothing overflows.

Notes
-----
*Data.* Equal rows of positive weight are merged. Point i has a sign s_i (+1 if the second class weighs more there) and
a cost W_i, the difference of the weights of its classes in multiples of a unit; rows whose classes weigh the same are
no points. A classifier has loss base + unit · Σ W_i e_i, where e_i = 1 if it disagrees with s_i.

*Networks.* The second class is what the output of a threshold head fires for, or what an argmax head says where the
second of its two outputs is larger: where the difference of the two is positive. On finitely many rows a neuron for
that difference can be on and off at the same rows. With one hidden layer of d neurons and one output, inverting a
neuron together with its output weight changes nothing on finitely many rows. So the output is a monotone threshold
function f of d bits, up to the order of the neurons one of those that need all d bits (fewer are covered: a neuron that
is always on is added by a conjunction). One tree is demanded for each. Without a hidden layer f is the identity of one
bit.

*Program of f.* Implicants are the minimal sets S with f(1_S) = 1, blockers the minimal sets that meet every implicant.
Variables are e_i and z_il (neuron l is not required to be right at point i: on for s_i = +1, off for -1); z_il is e_i
itself if {l} is a blocker (s_i = +1) or an implicant (s_i = -1). Every network satisfies two kinds of rows:

- link (i, k): e_i - Σ_{l in Q} z_il >= 1 - |Q| for the k-th set Q of two or more among the blockers (s_i = +1) or the
  implicants (s_i = -1);
- cut (c, l): Σ_{i in S} x_il >= 1, where S are the points of cut c and x_il is the variable that stands for z_il. A cut
  is proven by positive integers μ_i with Σ μ_i s_i (x_i, 1) = 0: a neuron that is right at all of S would make
  Σ μ_i s_i (w·x_i + b) positive.

*Trees.* Each branch fixes one 0/1 variable, both sides are there, and each leaf names a proof: multipliers L >= 0 of
rows. Their dual bound over the box of the leaf,

.. math::

    \sum_r L_r \, \text{rhs}_r + \sum_j \min_{x_j} \, r_j x_j, \qquad r_j = \text{scale} \cdot W_j - \sum_r L_r a_{rj},

divided by the scale and rounded up to the next possible loss, is not above Σ W_i e_i of any network in the leaf. Over
the box without fixings it is Σ L_r rhs_r + Σ_j min(r_j, 0); each fixing adds max(-r_j, 0) if it is to 0 and max(r_j, 0)
if it is to 1. So many leaves can share one proof, as those do that fixing by reduced costs cuts off.

References
----------
S. Muroga, Threshold Logic and Its Applications, 1971: integer weights of threshold functions.
K. K. H. Cheung, A. Gleixner and D. E. Steffy, Verifying integer programming results, IPCO 2017,
doi:10.1007/978-3-319-59250-3_13.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.checker.class_weight import weighted_rows
from bdnn.checker.data import MergedData, data_hash, doubles, integer_columns, merged, network_loss
from bdnn.checker.file import LEAF, Certificate, Cut, Proof, Tree, read_certificate, save_certificate
from bdnn.checker.functions import Sets, blockers, canonical, check_functions, columns, functions, links, width_of
from bdnn.checker.values import OTHER_DATA
from bdnn.errors import CertificateError, InputError

__all__ = [
    "OTHER_DATA",
    "Verified",
    "blockers",
    "columns",
    "data_hash",
    "functions",
    "links",
    "merged",
    "save_certificate",
    "verify_certificate",
]

Table = Mapping[str, ArrayLike]
"""Columns by name; a data frame counts as well."""

# arrays of half a megabyte are allocated and freed without system calls
_BATCH_NUMBERS = 2**16
_GROUP_NUMBERS = 2**21  # of proofs that are checked together: 16 MB
_CLIMBERS = 2**15  # leaves that go up their trees together, so that their columns stay in the cache
_SAFE = 2**62  # int64 sums below it have a bit to spare


@dataclass(frozen=True, slots=True)
class Verified:
    """What a certificate proves.

    Attributes
    ----------
    loss : Fraction
        Exact weighted loss of the stored network.
    bound : Fraction
        No network of the class has a smaller loss.
    optimal : bool
        Whether the two are equal.
    n_cuts : int
        Inseparable sets that were checked.
    n_leaves : int
        Leaves that were checked.
    n_trees : int
        Output functions that were checked.
    seconds : float
        Time it took.
    statement : str
        One sentence that says what was proven about which networks.
    rows : str
        Which rows of a table it was proven for, if the certificate said so; else empty.
    """

    loss: Fraction
    bound: Fraction
    optimal: bool
    n_cuts: int
    n_leaves: int
    n_trees: int
    seconds: float
    statement: str
    rows: str = ""


def verify_certificate(
    certificate: str | os.PathLike[str] | Mapping[str, Any] | Certificate,
    X: ArrayLike | Table,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Verified:
    """Check a certificate against the data it is about.

    Parameters
    ----------
    certificate : path-like, mapping or Certificate
        A certificate file (JSON; compressed if its name ends in ``.gz``), or its contents.
    X : array-like of shape (m, n), or a table
        Inputs, in any order of the rows. Without `y`, the whole table that the certificate is about, as a data frame or
        a mapping of columns in any order, with NaN for missing values: certificates written by ``bdnn train`` say which
        of its rows and columns they are about, and what replaces missing values.
    y : array-like of shape (m,) or None
        Labels; None if X is a table.
    sample_weight : array-like of shape (m,) or None
        Weights as they were given to `fit`; None for 1 each, or for those in the column of the table that the
        certificate names. Weights of classes are in the certificate.

    Returns
    -------
    Verified
        What is proven.

    Raises
    ------
    CertificateError
        If a check fails; the message names it. Cuts, trees, proofs, nodes, points and neurons are counted from 0.
    InputError
        If the data are unusable, or there are no labels and the certificate does not say where they are in a table.
    OSError
        If the file cannot be read.
    """
    began = time.perf_counter()
    content = read_certificate(certificate)
    rows = ""
    if y is None:
        X, y, rows, own = _training_rows(content, X)
        sample_weight = own if sample_weight is None else sample_weight
    weights = weighted_rows(content.class_weight, y, content.classes, sample_weight)
    data = merged(cast("ArrayLike", X), y, weights, content.classes)
    _check_data(content, data)
    if content.class_weight is not None:
        content.class_weight.check_rule(data)
    loss = network_loss(content.layers, data, content.head)
    if loss != content.loss:
        raise CertificateError(f"loss: the network has loss {loss}, the file says {content.loss}")
    if content.bound > loss:
        raise CertificateError(f"bound: {content.bound} is above the loss {loss} of the stored network")
    cuts = _checked_cuts(content.cuts, data)
    width = (content.hidden_layer_sizes or (1,))[0]
    check_functions([tree.implicants for tree in content.trees], width)
    # losses are base + unit * integer, so the bound holds if this many units cannot be undercut
    needed = -((data.base - content.bound) // data.unit)
    n_leaves = 0
    for t, tree in enumerate(content.trees):
        program = _Program(canonical(tree.implicants), data, cuts)
        n_leaves += _check_tree(t, tree, program, content.scale, needed, data)
    return Verified(
        loss=loss,
        bound=content.bound,
        optimal=content.bound == loss,
        n_cuts=len(cuts),
        n_leaves=n_leaves,
        n_trees=len(content.trees),
        seconds=time.perf_counter() - began,
        statement=_statement(content, loss),
        rows=rows,
    )


def _training_rows(
    content: Certificate, table: ArrayLike | Table
) -> tuple[NDArray[np.float64], list[Any], str, NDArray[np.float64] | None]:
    """Return inputs and labels of a certificate's table, a description of which rows these are, and their weights."""
    part = content.table
    if part is None:
        raise InputError(
            "the certificate does not say which rows of a table it is about; give their inputs X and labels y"
        )
    if not isinstance(table, Mapping) and not hasattr(table, "columns"):
        raise InputError(f"without labels y, X must be a table with named columns, got {type(table).__name__}")
    known = table if isinstance(table, Mapping) else list(table.columns)
    own = () if part.weight is None else (part.weight,)
    if absent := [name for name in (part.target, *part.features, *own) if name not in known]:
        raise InputError(f"the table has no column {absent[0]!r}, which the certificate is about")
    given = cast("Table", table)
    labels: Any = given[part.target]
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    taken = part.take(len(labels))
    columns = [doubles(f"column {name!r}", given[name]) for name in (*part.features, *own)]
    if any(column.shape != (len(labels),) for column in columns):
        raise InputError("the columns of the table must have one dimension and be equally long")
    weights = columns.pop()[taken] if own else None
    X, replaced = part.filled(np.column_stack(columns)[taken])
    return X, [labels[row] for row in taken.tolist()], part.described("the table", replaced), weights


def _statement(content: Certificate, loss: Fraction) -> str:
    if content.hidden_layer_sizes:
        count = content.hidden_layer_sizes[0]
        layer = f"one hidden layer of {count} threshold neuron{'s' if count > 1 else ''}"
    else:
        layer = "no hidden layers"
    output = "two outputs of which the larger wins" if content.head == "argmax" else "one threshold output"
    kind = f"No network with {layer}, {output} and arbitrary real weights and biases"
    rows, weighted = f"these {content.n_rows} rows", ""
    if content.class_weight is not None:
        rows, weighted = f"{rows} ({content.class_weight.described})", "weighted "
    if content.bound == loss:
        return (
            f"{kind} has a {weighted}loss below {loss} on {rows}, the loss of the stored network, which is therefore "
            f"optimal."
        )
    return f"{kind} has a {weighted}loss below {content.bound} on {rows}; the stored network has loss {loss}."


def _check_data(content: Certificate, data: MergedData) -> None:
    pairs = (
        ("n_rows", content.n_rows, data.n_rows),
        ("n_features", content.n_features, data.values.shape[1]),
        ("n_points", content.n_points, len(data.points)),
        ("sha256", content.sha256, data_hash(data)),
    )
    for name, claimed, true in pairs:
        if claimed != true:
            raise CertificateError(f"data: {name} is {true} for these data, {claimed} in the file; {OTHER_DATA}")


def _checked_cuts(cuts: list[Cut], data: MergedData) -> list[list[int]]:
    """Return the points of the cuts, each set shown to be inseparable."""
    points = list(data.points)
    values = integer_columns(data.values[points])[0]
    signed = [[s * v for s, v in zip(data.signs, column, strict=True)] for column in [[1] * len(points), *values]]
    for c, cut in enumerate(cuts):
        if not cut.points or max(cut.points) >= len(points):
            raise CertificateError(f"cut {c}: must have points, from 0 to {len(points) - 1}")
        if len(set(cut.points)) < len(cut.points):
            raise CertificateError(f"cut {c}: names a point twice")
        multipliers = [int(digits, 16) for digits in cut.multipliers]
        if min(multipliers) <= 0:
            raise CertificateError(f"cut {c}: has a multiplier that is not positive")
        for k, column in enumerate(signed):
            if sum(map(mul, multipliers, [column[i] for i in cut.points])):
                what = f"feature {k - 1}" if k else "the constant"
                raise CertificateError(f"cut {c}: the combination of its points does not vanish in {what}")
    return [cut.points for cut in cuts]


class _Paths(NamedTuple):
    """The parent of each node, and the column that the branch above fixes: sign +1 means to 1, -1 to 0; 0 at the root.

    The leaves come in the order of their proofs.
    """

    parent: NDArray[np.int64]
    column: NDArray[np.int64]
    sign: NDArray[np.int64]
    leaves: NDArray[np.int64]
    proofs: NDArray[np.int64]


class _Program:
    """The rows of one output function, one after another: all cuts for neuron 0, those for neuron 1, …, all links."""

    def __init__(self, function: Sets, data: MergedData, cuts: list[list[int]]):
        p, self.width, self.n_cuts = len(data.points), width_of(function), len(cuts)
        column = np.array(columns(function, data.signs), dtype=np.int64).reshape(p, self.width)
        self.n_columns = max(p, 1 + int(column.max(initial=-1)))
        self.costs = np.zeros(self.n_columns, dtype=object)
        self.costs[:p] = data.costs
        self.total_cost = sum(data.costs)
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
        self.typical_size = 1 + len(self.entries) // max(len(sizes), 1)
        self.reach = int((sizes + np.abs(self.rhs)).max(initial=1))

    def kinds(self, proof: Proof, scale: int) -> tuple[Any, Any]:
        """Return the type for the sums of a proof's multipliers, and the type for all of its numbers: int64 or object.

        A multiplier occurs once for each entry of its row and once for its right-hand side, and a cost occurs once.
        Fixings remove terms from the sum of the negative r_j, or add positive ones.
        """
        sums = proof.largest * (len(proof.cuts) + len(proof.links)) * self.reach
        all_numbers = sums + scale * max(self.total_cost, 1)
        return np.int64 if sums < _SAFE else object, np.int64 if all_numbers < _SAFE else object


def _check_tree(t: int, tree: Tree, program: _Program, scale: int, needed: int, data: MergedData) -> int:
    """Check that a tree is one and that all of its leaves prove what is needed; return how many there are."""
    paths = _paths(t, tree, program.n_columns)
    group: list[int] = []
    kinds: tuple[Any, Any] | None = None
    for k, proof in enumerate(tree.proofs):
        own = program.kinds(proof, scale)
        if group and (own != kinds or len(group) * program.n_columns >= _GROUP_NUMBERS):
            _check_group(t, tree, group, program, scale, needed, data, paths)
            group = []
        group.append(k)
        kinds = own
    _check_group(t, tree, group, program, scale, needed, data, paths)
    return len(paths.leaves)


def _paths(t: int, tree: Tree, n_columns: int) -> _Paths:
    """Check that the nodes are a tree, that no path fixes a column twice, and that leaves and proofs fit together."""
    nodes = tree.nodes
    if not len(nodes):
        raise CertificateError(f"tree {t}: has no nodes")
    # every node but the first must be the child of exactly one node before it, so that they form one tree
    branches, leaves = np.flatnonzero(nodes[:, 0] != LEAF), np.flatnonzero(nodes[:, 0] == LEAF)
    owners, children = np.repeat(branches, 2), nodes[branches, 1:].ravel()
    for k in np.flatnonzero((children <= owners) | (children >= len(nodes)))[:1]:
        raise CertificateError(
            f"node {owners[k]} of tree {t}: child {children[k]} is not between {owners[k] + 1} and {len(nodes) - 1}"
        )
    count = np.bincount(children, minlength=len(nodes))
    for child in np.flatnonzero(count > 1)[:1]:
        first, second = owners[children == child][:2]
        raise CertificateError(f"node {child} of tree {t}: is a child of node {first} and of {second}")
    for number in np.flatnonzero(count[1:] == 0)[:1] + 1:
        raise CertificateError(f"node {number} of tree {t}: is the child of no node")
    for number in branches[nodes[branches, 0] >= n_columns][:1]:
        raise CertificateError(f"node {number} of tree {t}: there is no column {nodes[number, 0]}, only {n_columns}")
    parent, column, sign = np.zeros((3, len(nodes)), dtype=np.int64)
    parent[children], column[children], sign[children] = owners, nodes[owners, 0], np.tile([-1, 1], len(branches))
    _check_columns(t, nodes, n_columns)
    proofs = nodes[leaves, 1]
    for k in np.flatnonzero(proofs >= len(tree.proofs))[:1]:
        raise CertificateError(f"node {leaves[k]} of tree {t}: there is no proof {proofs[k]}, only {len(tree.proofs)}")
    for k in np.flatnonzero(np.bincount(proofs, minlength=len(tree.proofs)) == 0)[:1]:
        raise CertificateError(f"proof {k} of tree {t}: belongs to no leaf")
    order = np.argsort(proofs, kind="stable")
    return _Paths(parent, column, sign, leaves[order], proofs[order])


def _check_columns(t: int, nodes: NDArray[np.int64], n_columns: int) -> None:
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
            raise CertificateError(f"node {number} of tree {t}: column {column} is fixed already")
        fixed[column] = 1
        todo += (-1 - column, ones[number], zeros[number])


def _check_group(
    t: int, tree: Tree, group: list[int], program: _Program, scale: int, needed: int, data: MergedData, paths: _Paths
) -> None:
    """Check the leaves of consecutive proofs whose numbers fit into the same kinds of integers."""
    kinds = program.kinds(tree.proofs[group[0]], scale)
    bases = np.zeros(len(group), dtype=kinds[1])
    rests = np.zeros((len(group), program.n_columns), dtype=kinds[1])
    begin, numbers = 0, 0
    for end, k in enumerate(group, start=1):
        proof = tree.proofs[k]
        numbers += program.n_columns + (len(proof.cuts) + len(proof.links)) * program.typical_size
        if numbers >= _BATCH_NUMBERS or end == len(group):
            batch = group[begin:end]
            bases[begin:end], rests[begin:end] = _rests(t, batch, tree.proofs, program, scale, kinds)
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
                    f"leaf {number} of tree {t} proves {_amount(data, proven)}, the claim needs {_amount(data, needed)}"
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
    t: int, batch: list[int], proofs: list[Proof], program: _Program, scale: int, kinds: tuple[Any, Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bounds of proofs over the box without fixings, and their r_j, multiplied by the scale."""
    for_sums, for_all = kinds
    rows, owners, multipliers = _rows(t, batch, proofs, program)
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
    t: int, batch: list[int], proofs: list[Proof], program: _Program
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Return the rows that proofs use, the place in the batch of the proof of each row, and the multipliers."""
    order, used = np.arange(len(batch)), [proofs[k] for k in batch]
    cuts = np.concatenate([proof.cuts for proof in used])
    cut_owners = np.repeat(order, [len(proof.cuts) for proof in used])
    strange = (cuts[:, 0] >= program.n_cuts) | (cuts[:, 1] >= program.width)
    for k in np.flatnonzero(strange)[:1]:
        raise CertificateError(f"proof {batch[cut_owners[k]]} of tree {t}: there is no cut {cuts[k].tolist()}")
    pairs = np.concatenate([proof.links for proof in used])
    link_owners = np.repeat(order, [len(proof.links) for proof in used])
    strange = pairs[:, 0] >= len(program.n_links)
    if not strange.any():
        strange = pairs[:, 1] >= program.n_links[pairs[:, 0]]
    for k in np.flatnonzero(strange)[:1]:
        raise CertificateError(f"proof {batch[link_owners[k]]} of tree {t}: there is no link {pairs[k].tolist()}")
    rows = np.concatenate([cuts[:, 1] * program.n_cuts + cuts[:, 0], program.first_link[pairs[:, 0]] + pairs[:, 1]])
    multipliers = [proof.cut_multipliers for proof in used] + [proof.link_multipliers for proof in used]
    return rows, np.concatenate([cut_owners, link_owners]), np.concatenate(multipliers)
