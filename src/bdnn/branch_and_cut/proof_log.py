"""The record of a branch and cut tree, from which a certificate is written."""

from __future__ import annotations

import numpy as np

from bdnn.errors import BDNNError
from bdnn.types import Array, Integers

Proof = tuple[list[tuple[int, int]], Integers]


RANK = -2
"""What stands in place of a neuron where a row is a rank row."""


class Record:
    """Nodes of a tree as they are branched and closed, or of several that hang from open nodes of another record.

    Proofs are named by their numbers. The number ``-1 - k`` stands for what the other record has proven of the node
    from which tree k hangs.

    Parameters
    ----------
    n_roots : int, default=1
        Trees.

    Attributes
    ----------
    nodes : list
        For each node: None while it is open, its column and two children, or the number of the proof that closes it.
    proofs : list of (rows, multipliers)
        Rows, each as a cut and a neuron, as -1 - linking row and -1, or as -1 - rank row and `RANK`, and their
        multipliers.
    cuts : set of int
        All that the proofs name.
    """

    def __init__(self, n_roots: int = 1) -> None:
        self.nodes: list[tuple[int, int, int] | int | None] = [None] * n_roots
        # the first proves that costs are not negative
        self.proofs: list[Proof] = [([], np.zeros(0, dtype=np.int64))]
        self.cuts: set[int] = set()

    @property
    def last_rank(self) -> int:
        """The last rank row that a proof names, -1 if there is none."""
        return max((-1 - cut for rows, _ in self.proofs for cut, neuron in rows if neuron == RANK), default=-1)

    @property
    def ranks(self) -> set[int]:
        """All rank rows that the proofs of closed nodes name."""
        used = {number for number in self.nodes if isinstance(number, int)}
        return {-1 - cut for number in used for cut, neuron in self.proofs[number][0] if neuron == RANK}

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

    def drop_unused(self, kept: list[int]) -> list[int]:
        """Forget the proofs that neither a node nor `kept` names; return the new numbers of `kept`."""
        named = {entry for entry in self.nodes if isinstance(entry, int)} | set(kept)
        used = [0, *sorted(number for number in named if number > 0)]
        new = {old: number for number, old in enumerate(used)}
        self.proofs = [self.proofs[number] for number in used]
        self.cuts = {cut for rows, _ in self.proofs for cut, _ in rows if cut >= 0}
        self.nodes = [new.get(entry, entry) if isinstance(entry, int) else entry for entry in self.nodes]
        return [new.get(number, number) for number in kept]

    def rename_ranks(self, numbers: list[int]) -> None:
        """Let each rank row k be called ``numbers[k]``."""
        self.proofs = [
            ([(-1 - numbers[-1 - cut], RANK) if neuron == RANK else (cut, neuron) for cut, neuron in rows], factors)
            for rows, factors in self.proofs
        ]

    def graft(self, other: Record, roots: list[tuple[int, int]], cuts: dict[int, int]) -> tuple[int, int]:
        """Let the trees of another record hang from open nodes of this one.

        Parameters
        ----------
        other : Record
            With one tree for each node.
        roots : list of (node, proof)
            The nodes, and what is proven of them.
        cuts : dict of int to int
            What cuts of the other record are called here.

        Returns
        -------
        nodes, proofs : int
            What to add to the numbers of the other record's nodes below its roots, and of its proofs beyond the first.
        """
        for node, _ in roots:
            self._check_open(node)
        more_nodes, more_proofs = len(self.nodes) - len(roots), len(self.proofs) - 1

        def here(entry: tuple[int, int, int] | int | None) -> tuple[int, int, int] | int | None:
            if isinstance(entry, tuple):
                column, low, high = entry
                return column, low + more_nodes, high + more_nodes
            if entry is None or entry == 0:
                return entry
            return entry + more_proofs if entry > 0 else roots[-1 - entry][1]

        # an interruption leaves nodes that nothing leads to, or nodes below the roots that are open
        self.cuts.update(cuts[cut] for cut in other.cuts)
        self.proofs += [
            ([(cuts[cut] if cut >= 0 else cut, neuron) for cut, neuron in rows], multipliers)
            for rows, multipliers in other.proofs[1:]
        ]
        self.nodes += [here(entry) for entry in other.nodes[len(roots) :]]
        for (node, _), entry in zip(roots, other.nodes, strict=False):
            self.nodes[node] = here(entry)
        return more_nodes, more_proofs

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
