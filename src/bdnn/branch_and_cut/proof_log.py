"""The record of a branch and cut tree, from which a certificate is written."""

from __future__ import annotations

import numpy as np

from bdnn.errors import BDNNError
from bdnn.types import Array, Integers

Proof = tuple[list[tuple[int, int]], Integers]


class Record:
    """Nodes of a tree as they are branched and closed.

    Attributes
    ----------
    nodes : list
        For each node: None while it is open, its column and two children, or the number of the proof that closes it.
    proofs : list of (rows, multipliers)
        Rows, each as a cut and a neuron, or as -1 - linking row and -1, and their multipliers.
    cuts : set of int
        All that the proofs name.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, int] | int | None] = [None]
        # the first proves that costs are not negative
        self.proofs: list[Proof] = [([], np.zeros(0, dtype=np.int64))]
        self.cuts: set[int] = set()

    def proof(self, rows: list[tuple[int, int]], multipliers: Integers) -> int:
        """Store multipliers; return their number."""
        self.proofs.append((rows, multipliers.copy()))
        self.cuts.update(cut for cut, _ in rows if cut >= 0)
        return len(self.proofs) - 1

    def branch(self, node: int, column: int) -> tuple[int, int]:
        """Branch a node that is open; return the children where the column is 0, and where it is 1."""
        self._check_open(node)
        first = len(self.nodes)
        self.nodes[node] = column, first, first + 1
        self.nodes += [None, None]
        return first, first + 1

    def close_below(self, node: int, proof: int) -> None:
        """Close everything that is open at a node and below it."""
        below = [node]
        while below:
            entry = self.nodes[here := below.pop()]
            if entry is None:
                self.nodes[here] = proof
            elif isinstance(entry, tuple):
                below += entry[1:]

    def to_arrays(self) -> dict[str, Array]:
        """Return the record as arrays, to be stored."""
        nodes = [(-1, -1) if n is None else (n[0], n[1]) if isinstance(n, tuple) else (-2, n) for n in self.nodes]
        rows = [pair for proof in self.proofs for pair in proof[0]]
        return {
            "record": np.array(nodes, dtype=np.int64).reshape(-1, 2),
            "proof sizes": np.array([len(proof[1]) for proof in self.proofs], dtype=np.int64),
            "proof rows": np.array(rows, dtype=np.int64).reshape(-1, 2),
            "proof multipliers": np.concatenate([proof[1] for proof in self.proofs]),
        }

    def from_arrays(self, arrays: dict[str, Array], n_cuts: int) -> None:
        """Take over stored arrays; what they prove is checked by those who read the certificate."""
        rows, multipliers = arrays["proof rows"], arrays["proof multipliers"]
        ends = np.cumsum(arrays["proof sizes"])
        if rows.shape != (len(multipliers), 2) or ends[-1] != len(multipliers) or rows[:, 0].max(initial=-1) >= n_cuts:
            raise ValueError("proofs")
        self.proofs = [
            ([(int(cut), int(neuron)) for cut, neuron in part], factors.copy())
            for part, factors in zip(np.split(rows, ends[:-1]), np.split(multipliers, ends[:-1]), strict=True)
        ]
        self.cuts = {int(cut) for cut in np.unique(rows[:, 0]) if cut >= 0}
        self.nodes = [
            None if kind == -1 else value if kind == -2 else (kind, value, value + 1)
            for kind, value in arrays["record"].tolist()
        ]

    def close(self, node: int, proof: int) -> None:
        """Close a node that is open."""
        self._check_open(node)
        self.nodes[node] = proof

    def _check_open(self, node: int) -> None:
        if self.nodes[node] is not None:
            raise BDNNError(f"node {node} of the record of a proof was branched or closed before")
