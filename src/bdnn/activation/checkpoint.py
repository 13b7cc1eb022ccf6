"""Checkpoints of branch and cut: everything that was found, in one file that is replaced as a whole.

The file is a compressed archive of plain arrays (NumPy's ``.npz``, without pickles) and holds the inseparable sets, the
open nodes of every tree, what branching has learnt, the record for a certificate, and the best network. A run that is
resumed goes on with the same open nodes, so it ends with the same loss and bound.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from bdnn.activation.cuts import Cuts
from bdnn.activation.tree import Node, Tree
from bdnn.errors import InputError
from bdnn.files import writing
from bdnn.network import Layer, Network
from bdnn.problem import Problem

_VERSION = 1
_Arrays = dict[str, Any]


def title(problem: Problem, *, record: bool) -> str:
    """Return what a checkpoint must be about to be of use: data, architecture, and whether there is a record."""
    digest = hashlib.sha256()
    for array in (problem.X, problem.codes, problem.sample_weight):
        digest.update(f"{np.asarray(array).shape} {np.asarray(array).dtype} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    about = {
        "version": _VERSION,
        "data": digest.hexdigest(),
        "hidden_layer_sizes": list(problem.hidden_layer_sizes),
        "head": problem.head,
        "certificate": record,
    }
    return json.dumps(about)


def write(path: Path, title: str, cuts: Cuts, trees: list[Tree], network: Network) -> None:
    """Write a checkpoint; an older file stays until the new one is complete.

    Parameters
    ----------
    path : Path
        Of the file.
    title : str
        From `title`.
    cuts : Cuts
        Inseparable sets.
    trees : list of Tree
        Not being worked on.
    network : Network
        The best one.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    found = cuts.supports[cuts.n_given :]
    sizes = np.array([len(support) for support in found], dtype=np.int64)
    arrays: _Arrays = {
        "title": np.array(title),
        "sets": np.concatenate([*found, np.zeros(0, dtype=np.int64)]),
        "sizes": sizes,
    }
    for number, layer in enumerate(network.layers):
        arrays[f"weights {number}"], arrays[f"bias {number}"] = layer.weights, layer.bias
    for number, tree in enumerate(trees):
        arrays |= {f"{name} {number}": values for name, values in _state(tree).items()}
    with writing(path) as file:
        np.savez_compressed(file, **arrays)


def read(path: Path, title: str) -> _Arrays:
    """Return the arrays of a checkpoint.

    Raises
    ------
    InputError
        If the file is damaged, or about something else than `title`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = str(arrays["title"])
        about = json.loads(found)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a checkpoint of this program ({error}); remove it to start anew") from None
    if found != title:
        wanted = json.loads(title)
        differs = [name for name in wanted if not isinstance(about, dict) or about.get(name) != wanted[name]]
        raise InputError(
            f"the checkpoint {path} belongs to another run (other {', '.join(differs)}): give another file, or remove "
            "it to start anew"
        )
    return arrays


def network_of(arrays: _Arrays, problem: Problem) -> Network:
    """Return the network of a checkpoint."""
    try:
        n = len(problem.hidden_layer_sizes) + 1
        layers = tuple(Layer(arrays[f"weights {k}"], arrays[f"bias {k}"]) for k in range(n))
        return Network(layers, head=problem.head, classes=problem.classes)  # type: ignore[arg-type]  # not "auto"
    except KeyError as error:
        raise InputError(f"the checkpoint is damaged: {error} is missing; remove it to start anew") from None


def restore(arrays: _Arrays, cuts: Cuts, trees: list[Tree]) -> None:
    """Put cuts and trees, made anew, where a checkpoint stands.

    Raises
    ------
    InputError
        If arrays are missing or do not fit.
    """
    try:
        n_rows = len(cuts.points.row_demand)
        sizes, members = arrays["sizes"].astype(np.int64), arrays["sets"].astype(np.int64)
        if np.any(sizes < 1) or sizes.sum() != len(members) or np.any((members < 0) | (members >= n_rows)):
            raise ValueError("sets")
        for part in np.split(members, np.cumsum(sizes)[:-1]) if len(sizes) else []:
            if cuts.add(part) < 0 or np.any(np.diff(part) <= 0):
                raise ValueError("sets")
        for number, tree in enumerate(trees):
            _restore(tree, {name: arrays[f"{name} {number}"] for name in _state(tree)}, len(cuts))
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise InputError(f"the checkpoint is damaged ({error}); remove it to start anew") from None


def _state(tree: Tree) -> _Arrays:
    nodes = tree.open_nodes()
    empty = np.zeros((0, tree.v), dtype=np.int8)
    arrays: _Arrays = {
        "nodes": np.array([(n.level, n.rank, n.tie, n.spot, n.proof) for n in nodes], dtype=np.int64).reshape(-1, 5),
        "lower": np.array([n.lower for n in nodes]) if nodes else empty,
        "upper": np.array([n.upper for n in nodes]) if nodes else empty,
        "gain": tree.gain,
        "tried": tree.tried,
        "counts": np.array([tree.nodes, -1 if tree.doubtful is None else tree.doubtful]),
    }
    return arrays | (tree.record.to_arrays() if tree.record else {})


def _restore(tree: Tree, arrays: _Arrays, n_cuts: int) -> None:
    table, lower, upper = arrays["nodes"], arrays["lower"], arrays["upper"]
    shape = (len(table), tree.v)
    if table.shape[1:] != (5,) or lower.shape != shape or upper.shape != shape:
        raise ValueError("nodes")
    if np.any((lower < 0) | (lower > upper) | (upper > 1)):
        raise ValueError("bounds of nodes")
    if arrays["gain"].shape != (2, tree.v) or arrays["tried"].shape != (2, tree.v):
        raise ValueError("gain")
    nodes = [
        Node(level, rank, tie, low, high, spot, proof)
        for (level, rank, tie, spot, proof), low, high in zip(
            table.tolist(), lower.astype(np.int8), upper.astype(np.int8), strict=True
        )
    ]
    tree.resume(nodes, arrays["gain"], arrays["tried"], *arrays["counts"].tolist())
    if tree.record:
        tree.record.from_arrays(arrays, n_cuts)
