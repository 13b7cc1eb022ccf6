"""Checkpoints of branch and cut: everything that was found, in one file that is replaced as a whole.

The file is a compressed archive of plain arrays (NumPy's ``.npz``, without pickles). It holds the best network, the
bound and how far the run has come (``run``, a text), and of the work on the bound, once there is some, the inseparable
sets, the open nodes of every tree, what branching has learned, and the record for a certificate. A run that is resumed
goes on with the same open nodes, so it ends with the same loss and bound. Files of version 1 hold neither the bound nor
how far the run has come: they were written by trees only.

What is in the arrays is known to those who do the work (`bdnn.branch_and_cut.engine`, `bdnn.branch_and_cut.parts`);
here are the parts that they share.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bdnn.branch_and_cut.frontier import Node
from bdnn.branch_and_cut.tree import Tree
from bdnn.errors import InputError
from bdnn.files import writing
from bdnn.network.network import Layer, Network
from bdnn.types import Array

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.problem.problem import Problem

Arrays = dict[str, Array]

# 1 was written by trees only and has no bound
_VERSION = 2
_READABLE = (1, _VERSION)  # all that were ever written


@dataclass(frozen=True, slots=True)
class Course:
    """How far a run has come, over all the times that it was started.

    Attributes
    ----------
    searched : bool
        Whether the local search at the start is over.
    searched_again : bool
        Whether the longer one is over that follows where a problem turns out not to be easy.
    nodes : int
        Branch-and-bound nodes.
    bound : float
        On the objective of every network.
    """

    searched: bool
    searched_again: bool
    nodes: int
    bound: float


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


def write(path: Path, title: str, arrays: Arrays) -> None:
    """Write a checkpoint; an older file stays until the new one is complete.

    Parameters
    ----------
    path : Path
        Of the file.
    title : str
        From `title`.
    arrays : dict of str to ndarray
        What is kept.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    contents: dict[str, Any] = {"title": np.array(title), **arrays}  # beside arrays, NumPy has a flag
    with writing(path) as file:
        np.savez_compressed(file, **contents)


def read(path: Path, title: str) -> Arrays:
    """Return the arrays of a checkpoint.

    Raises
    ------
    InputError
        If the file is damaged, about something else than `title`, or of a version that is not known.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["title"]))
        version = about["version"]
    except OSError as error:
        raise InputError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(
            f"{path} is not a checkpoint of this program, or is damaged; give the name of another file, or remove it "
            "to start over"
        ) from None
    if version not in _READABLE:
        raise InputError(
            f"the checkpoint {path} has version {version!r}, and this program reads versions "
            f"{' and '.join(map(str, _READABLE))}: go on with the program that wrote it, or remove it to start over"
        )
    wanted = json.loads(title)
    differs = [name for name in wanted if name != "version" and about.get(name) != wanted[name]]
    if differs == ["certificate"]:
        was, now = ("with", "without") if about.get("certificate") else ("without", "with")
        raise InputError(
            f"the checkpoint {path} is of a run {was} a certificate, and this one is {now}: proofs are recorded from "
            f"the first node on or not at all; go on {was} a certificate, or give another file"
        )
    if differs:
        raise InputError(
            f"the checkpoint {path} belongs to another run (other {', '.join(differs)}): give another file, or remove "
            "it to start over"
        )
    return arrays


@contextmanager
def undamaged(path: Path | None) -> Iterator[None]:
    """Say that a file is damaged where arrays are missing or do not fit.

    Parameters
    ----------
    path : Path or None
        Of the file.

    Raises
    ------
    InputError
        In place of other errors.
    """
    try:
        yield
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"the checkpoint {path} is damaged ({reason}); remove it to start over") from None


def course_to_array(course: Course) -> NDArray[np.str_]:
    """Return how far a run has come as an array, to be stored."""
    return np.array(json.dumps(asdict(course)))


def course_of(arrays: Arrays) -> Course:
    """Return how far the run of a checkpoint has come; in `undamaged`."""
    if "run" not in arrays:  # version 1, where trees followed the search
        n_trees = sum(name.startswith("counts ") for name in arrays)
        return Course(True, False, sum(int(arrays[f"counts {k}"][0]) for k in range(n_trees)), 0.0)
    stored = json.loads(str(arrays["run"]))
    course = Course(**stored)
    flags, numbers = (course.searched, course.searched_again), (course.nodes, course.bound)
    if not all(isinstance(flag, bool) for flag in flags) or any(isinstance(number, bool) for number in numbers):
        raise ValueError("run")
    if not isinstance(course.nodes, int) or course.nodes < 0 or not 0 <= float(course.bound) < np.inf:
        raise ValueError("run")
    return course


def network_to_arrays(network: Network, kind: str = "") -> Arrays:
    """Return a network as arrays, to be stored; `kind` tells several of them apart."""
    arrays: Arrays = {}
    for number, layer in enumerate(network.layers):
        arrays[f"{kind}weights {number}"], arrays[f"{kind}bias {number}"] = layer.weights, layer.bias
    return arrays


def network_of(arrays: Arrays, problem: Problem, kind: str = "") -> Network:
    """Return a network of a checkpoint; in `undamaged`."""
    n = len(problem.hidden_layer_sizes) + 1
    layers = tuple(Layer(arrays[f"{kind}weights {k}"], arrays[f"{kind}bias {k}"]) for k in range(n))
    names = problem.feature_names
    network = Network(layers, head=problem.head, classes=problem.classes, feature_names=names)  # type: ignore[arg-type]  # not "auto"
    if network.widths != problem.widths or network.n_features != np.shape(problem.X)[1]:
        raise ValueError("network")
    return network


def cuts_to_arrays(cuts: Cuts) -> Arrays:
    """Return the inseparable sets that were found as arrays, to be stored."""
    # one that is being added by a thread that was interrupted may lack its support
    supports = cuts.supports[cuts.n_given :]
    return {
        "sets": np.concatenate([*supports, np.zeros(0, dtype=np.int64)]),
        "sizes": np.array([len(support) for support in supports], dtype=np.int64),
    }


def restore_cuts(arrays: Arrays, cuts: Cuts) -> None:
    """Put the inseparable sets of a checkpoint into new cuts; in `undamaged`."""
    n_rows = len(cuts.points.row_requirement)
    sizes, members = arrays["sizes"].astype(np.int64), arrays["sets"].astype(np.int64)
    if np.any(sizes < 1) or sizes.sum() != len(members) or np.any((members < 0) | (members >= n_rows)):
        raise ValueError("sets")
    for part in np.split(members, np.cumsum(sizes)[:-1]) if len(sizes) else []:
        if cuts.add(part) < 0 or np.any(np.diff(part) <= 0):
            raise ValueError("sets")


def tree_to_arrays(tree: Tree, kind: str) -> Arrays:
    """Return the state of a tree as arrays, to be stored; `kind` tells several of them apart."""
    return {f"{name} {kind}": values for name, values in _state(tree).items()}


def restore_tree(arrays: Arrays, kind: str, tree: Tree, n_cuts: int) -> None:
    """Put a new tree where that of a checkpoint stands; in `undamaged`."""
    _restore(tree, {name: arrays[f"{name} {kind}"] for name in _state(tree)}, n_cuts)


def _state(tree: Tree) -> Arrays:
    nodes = tree.open_nodes()
    empty = np.zeros((0, tree.v), dtype=np.int8)
    arrays: Arrays = {
        "nodes": np.array(
            [(n.bound, n.minus_depth, n.serial, n.record_id, n.proof) for n in nodes], dtype=np.int64
        ).reshape(-1, 5),
        "lower": np.array([n.lower for n in nodes]) if nodes else empty,
        "upper": np.array([n.upper for n in nodes]) if nodes else empty,
        "gain": tree.gain,
        "tried": tree.tried,
        "counts": np.array([tree.nodes, -1 if tree.doubtful is None else tree.doubtful]),
    }
    return arrays | (tree.record.to_arrays() if tree.record else {})


def _restore(tree: Tree, arrays: Arrays, n_cuts: int) -> None:
    table, lower, upper = arrays["nodes"], arrays["lower"], arrays["upper"]
    shape = (len(table), tree.v)
    if table.shape[1:] != (5,) or lower.shape != shape or upper.shape != shape:
        raise ValueError("nodes")
    if np.any((lower < 0) | (lower > upper) | (upper > 1)):
        raise ValueError("bounds of nodes")
    if arrays["gain"].shape != (2, tree.v) or arrays["tried"].shape != (2, tree.v):
        raise ValueError("gain")
    nodes = [
        Node(bound, minus_depth, serial, low, high, record_id, proof)
        for (bound, minus_depth, serial, record_id, proof), low, high in zip(
            table.tolist(), lower.astype(np.int8), upper.astype(np.int8), strict=True
        )
    ]
    tree.resume(nodes, arrays["gain"], arrays["tried"], *arrays["counts"].tolist())
    if tree.record:
        tree.record.from_arrays(arrays, n_cuts)
