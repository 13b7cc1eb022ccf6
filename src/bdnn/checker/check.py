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
itself if {l} is a blocker (s_i = +1) or an implicant (s_i = -1). Every network satisfies three kinds of rows:

- link (i, k): e_i - Σ_{l in Q} z_il >= 1 - |Q| for the k-th set Q of two or more among the blockers (s_i = +1) or the
  implicants (s_i = -1);
- rank (q): Σ_{i in S} W_i e_i >= bound, where S are the points of rank q. It is proven by a tree like those below,
  whose costs are W_i in S and 0 elsewhere, and whose proofs may name the ranks before it, or by lemmas, see below;
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

*Lemmas.* A cut says that one of its variables is 1; a link that e_i is, or one of its z_il is not. Such clauses and the
limit Σ_{i in S} W_i e_i <= bound - 1 contradict each other. A lemma is a clause that follows: let all of its literals
be false; its reasons are clauses known by then, or the limit. A clause of which all literals but one are false makes
that one true, and the limit makes each variable 0 that would exceed it. The last reason has no literal left, or the
limit is exceeded. The last lemma is the empty clause (reverse unit propagation, with hints).

References
----------
E. Goldberg and Y. Novikov, Verification of proofs of unsatisfiability for CNF formulas, DATE 2003,
doi:10.1109/DATE.2003.1253718.
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
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.checker.class_weight import weighted_rows
from bdnn.checker.data import MergedData, data_hash, doubles, integer_columns, merged, network_loss
from bdnn.checker.file import Certificate, Cut, Rank, read_certificate, save_certificate
from bdnn.checker.functions import blockers, canonical, check_functions, columns, functions, links
from bdnn.checker.refutations import check_lemmas
from bdnn.checker.trees import Program, check_tree
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

_MAX_RANK_COST = 2**31  # of a point: sums over as many as a file lists stay below 2**62


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
    n_lemmas : int
        Lemmas that were checked.
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
    n_lemmas: int
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
    n_leaves = n_lemmas = 0
    for t, tree in enumerate(content.trees):
        program = Program(canonical(tree.implicants), data, cuts, _checked_ranks(tree.ranks, data, t))
        for q, rank in enumerate(tree.ranks):
            program.ask(q, rank.points)
            name = f"rank {q} of tree {t}"
            if rank.lemmas is not None:
                n_lemmas += check_lemmas(name, rank.lemmas, program, rank.bound)
            else:
                n_leaves += check_tree(name, rank, program, content.scale, rank.bound, data)
        program.ask(len(tree.ranks), range(len(data.points)))
        n_leaves += check_tree(f"tree {t}", tree, program, content.scale, needed, data)
    return Verified(
        loss=loss,
        bound=content.bound,
        optimal=content.bound == loss,
        n_cuts=len(cuts),
        n_leaves=n_leaves,
        n_trees=len(content.trees),
        n_lemmas=n_lemmas,
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


def _checked_ranks(ranks: list[Rank], data: MergedData, t: int) -> list[Rank]:
    """Return the ranks, whose points are shown to be there, and whose sums fit into 64 bits."""
    if ranks and max(data.costs, default=0) >= _MAX_RANK_COST:
        raise CertificateError(f"tree {t}: ranks need costs of points below {_MAX_RANK_COST}")
    for q, rank in enumerate(ranks):
        place = f"rank {q} of tree {t}"
        if not rank.points or max(rank.points) >= len(data.points):
            raise CertificateError(f"{place}: must have points, from 0 to {len(data.points) - 1}")
        if len(set(rank.points)) < len(rank.points):
            raise CertificateError(f"{place}: names a point twice")
        if rank.bound > (most := sum(data.costs[i] for i in rank.points)):
            raise CertificateError(f"{place}: bound: {rank.bound} is more than {most}, the cost of all its points")
    return ranks
