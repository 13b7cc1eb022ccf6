"""Certificates: the proof of a branch and cut run, written down for `bdnn.checker`, which needs no solver."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.branch_and_cut.output_functions import OutputFunction
from bdnn.checker.check import columns, data_hash, merged
from bdnn.checker.data import network_loss
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
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
    claim = min(loss, data.base + data.unit * Fraction(bound))
    return {
        "format": "bdnn-certificate",
        "version": 1,
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
    }


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
    used: dict[int, int] = {}
    nodes: list[Any] = []
    for node in record.nodes:
        if isinstance(node, tuple):
            nodes.append([int(column[node[0]]), node[1], node[2]])
        else:
            if node is None:
                raise BDNNError("a node of the record of a proof was left open")
            nodes.append(used.setdefault(node, len(used)))
    proofs = []
    for number in used:
        rows: _Rows = {"cuts": [], "links": []}
        for (cut, neuron), multiplier in zip(*record.proofs[number], strict=True):
            if cut >= 0:
                rows["cuts"].append([numbers.setdefault(cut, len(numbers)), neuron, int(multiplier)])
            else:
                i, k, _ = program.linking_rows[-1 - cut]
                rows["links"].append([int(rank[i]), k, int(multiplier)])
        proofs.append(rows)
    return {"implicants": [list(s) for s in function.implicants], "nodes": nodes, "proofs": proofs}
