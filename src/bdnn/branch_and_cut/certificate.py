"""Certificates: the proof of a branch and cut run, written down for `bdnn.checker`, which needs no solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.branch_and_cut.lemmas import Lemmas
from bdnn.branch_and_cut.output_functions import OutputFunction
from bdnn.branch_and_cut.proof_log import RANK
from bdnn.checker.check import columns, data_hash, merged
from bdnn.checker.data import network_loss
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.proof_log import Record
    from bdnn.branch_and_cut.rank_rows import RankRow
    from bdnn.branch_and_cut.tree import Tree
    from bdnn.network.network import Network
    from bdnn.types import Integers

Certificate = dict[str, Any]
"""Contents of a certificate file, see `bdnn.checker.file`."""

_Rows = dict[str, list[list[int]]]


def certificate(
    cuts: Cuts, trees: list[Tree], network: Network, proceed: Callable[[], None] = lambda: None
) -> Certificate | None:
    """Return the contents of a certificate file, see `bdnn.checker.file`.

    Parameters
    ----------
    cuts : Cuts
        Inseparable sets.
    trees : list of Tree
        Recorded ones, of all output functions; they cannot be worked on any more afterward.
    network : Network
        The best one.
    proceed : callable
        Called before every step of at most some milliseconds.

    Returns
    -------
    dict or None
        None if there are more than two classes, costs are not multiples of a common unit that is large enough, or
        multipliers cannot be computed.
    """
    points = cuts.points
    problem = points.reduced.problem
    classes = problem.classes.tolist()
    if len(classes) > 2:
        return None
    data = merged(problem.X, problem.y, problem.sample_weight, classes)
    raw = points.reduced.raw_points[points.point]
    order = np.lexsort(raw.T[::-1]) if raw.shape[1] else np.arange(len(raw))
    if not points.exact or list(data.costs) != points.weight[order].tolist():
        return None
    rank: Integers = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    bound = min(tree.bound for tree in trees)
    numbers: dict[int, int] = {}
    proceed()
    written = [_tree(tree, rank, numbers, data.signs) for tree in trees]
    sets = []
    for cut in numbers:
        proceed()
        combination = cuts.multipliers(cut)
        if combination is None:
            return None
        members, factors = combination
        sets.append({"points": rank[members].tolist(), "multipliers": [hex(factor) for factor in factors]})
    layers = [{"weights": W.tolist(), "biases": b.tolist()} for W, b in network.layers]
    loss = network_loss([(layer["weights"], layer["biases"]) for layer in layers], data, problem.head)
    with_ranks = any("ranks" in tree for tree in written)
    with_lemmas = any("lemmas" in each for tree in written for each in tree.get("ranks", []))
    newest: dict[str, Any] = {"table": None, "class_weight": None} if with_ranks else {}
    if with_ranks:
        for tree in written:
            tree.setdefault("ranks", [])
    claim = min(loss, data.base + data.unit * Fraction(bound))
    return {
        "format": "bdnn-certificate",
        "version": 5 if with_lemmas else 4 if with_ranks else 1,
        "data": {
            "sha256": data_hash(data),
            "n_rows": data.n_rows,
            "n_features": int(np.shape(problem.X)[1]),
            "n_points": len(points),
            "classes": classes,
        },
        "architecture": {
            "hidden_layer_sizes": list(problem.hidden_layer_sizes),
            "head": problem.head,
            "weights": problem.weights,
            "fit_intercept": problem.fit_intercept,
        },
        "network": {"layers": layers},
        "loss": str(loss),
        "bound": str(claim),
        "scale": trees[0].rows.scale,
        "cuts": sets,
        "trees": written,
    } | newest


def _tree(tree: Tree, rank: Integers, numbers: dict[int, int], signs: tuple[int, ...]) -> dict[str, Any]:
    """Return a tree in the numbering of the checker; `numbers` receives the cuts that it uses."""
    record, program, function = tree.finish_record(), tree.program, tree.program.function
    if not isinstance(function, OutputFunction):
        raise BDNNError("certificates are written for two classes only")
    theirs = columns(function.implicants, signs)
    column = np.zeros(len(program.cost), dtype=np.int64)
    for i, row in enumerate(program.columns.tolist()):
        column[i] = rank[i]
        for neuron, mine in enumerate(row):
            column[mine] = theirs[rank[i]][neuron]
    ranks = _ranks_behind(record, tree)
    place = {number: k for k, number in enumerate(ranks)}
    names = _Names(rank, column, numbers, place, program.linking_rows)
    written: dict[str, Any] = {"implicants": [list(s) for s in function.implicants], **names.parts(record)}
    if ranks:
        written["ranks"] = [
            {"points": rank[row.points].tolist(), "bound": row.bound}
            | (names.lemmas(row.record) if isinstance(row.record, Lemmas) else names.parts(row.record))
            for row in ranks.values()
            if row.record is not None
        ]
    return written


def _ranks_behind(record: Record, tree: Tree) -> dict[int, RankRow]:
    """Return the rank rows that a record rests on, and those that these rest on, in the order of their numbers."""
    rows = tree.ranks.rows if tree.ranks is not None else []
    behind = record.ranks
    for number in reversed(range(len(rows))):  # each rests on earlier ones
        if number in behind:
            own = rows[number].record
            if own is None:
                raise BDNNError("a rank row of a recorded tree has no record")
            behind |= own.ranks
    return {number: rows[number] for number in sorted(behind)}


@dataclass(frozen=True, slots=True)
class _Names:
    """What the checker calls points, columns, cuts and rank rows; cuts are numbered as they come."""

    point: Integers
    column: Integers
    cuts: dict[int, int]
    ranks: dict[int, int]
    linking_rows: list[tuple[int, int, Integers]]

    def parts(self, record: Record) -> dict[str, Any]:
        """Return the nodes and proofs of a record."""
        used: dict[int, int] = {}
        nodes: list[Any] = []
        for node in record.nodes:
            if isinstance(node, tuple):
                nodes.append([int(self.column[node[0]]), node[1], node[2]])
            else:
                if node is None:
                    raise BDNNError("a node of the record of a proof was left open")
                nodes.append(used.setdefault(node, len(used)))
        return {"nodes": nodes, "proofs": [self._proof(*record.proofs[number]) for number in used]}

    def lemmas(self, record: Lemmas) -> dict[str, Any]:
        """Return the parts of a refutation; cuts come before links."""
        rows = record.rows.tolist()
        order = sorted(range(len(rows)), key=lambda number: rows[number][0] < 0)
        numbers = np.empty(len(rows), dtype=np.int64)
        numbers[order] = np.arange(len(rows))
        reasons = record.reasons.copy()
        given = (reasons >= 0) & (reasons < len(rows))
        reasons[given] = numbers[reasons[given]]
        literals = 2 * self.column[record.literals >> 1] + (record.literals & 1)
        linked = [self.linking_rows[-1 - cut] for cut, _ in (rows[number] for number in order) if cut < 0]
        return {
            "cuts": [
                [self.cuts.setdefault(cut, len(self.cuts)), neuron]
                for cut, neuron in (rows[number] for number in order)
                if cut >= 0
            ],
            "links": [[int(self.point[i]), k] for i, k, _ in linked],
            "lemmas": [part.tolist() for part in np.split(literals, record.literal_ends[1:-1])],
            "reasons": [part.tolist() for part in np.split(reasons, record.reason_ends[1:-1])],
        }

    def _proof(self, rows: list[tuple[int, int]], multipliers: Integers) -> _Rows:
        named: _Rows = {"cuts": [], "links": []}
        for (cut, neuron), multiplier in zip(rows, multipliers.tolist(), strict=True):
            if cut >= 0:
                named["cuts"].append([self.cuts.setdefault(cut, len(self.cuts)), neuron, multiplier])
            elif neuron == RANK:
                named.setdefault("ranks", []).append([self.ranks[-1 - cut], multiplier])
            else:
                i, k, _ = self.linking_rows[-1 - cut]
                named["links"].append([int(self.point[i]), k, multiplier])
        return named
