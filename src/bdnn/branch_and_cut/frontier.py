"""The open nodes of a tree: what is left to do, what of it others work on, and the bound that follows."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.proof_log import Record
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.types import Bits


@dataclass(order=True)
class Node:
    """An open node: a box, and what is proven of it. The least one is next.

    Attributes
    ----------
    bound : int
        No solution in it costs less, in units.
    minus_depth : int
        Among equals the deepest is next.
    serial : int
        Order of creation.
    lower, upper : ndarray of shape (v,), int8
        The box.
    record_id : int
        Its number in the record.
    proof : int
        In the record, of its bound.
    """

    bound: int
    minus_depth: int
    serial: int
    lower: Bits = field(compare=False)
    upper: Bits = field(compare=False)
    record_id: int = field(compare=False, default=0)
    proof: int = field(compare=False, default=0)


class Frontier:
    """Open nodes, the least first.

    Parameters
    ----------
    root : Node
        The first one.
    best : float
        Objective of the best network known, in units. What is to be shown is that nothing costs less; it falls with
        every better network.
    step : int
        Solutions that save less than this many units are of no interest; at least 1.
    record : bool
        Whether the proof is written down.

    Attributes
    ----------
    nodes : int
        Nodes solved.
    doubtful : int or None
        Least bound of the nodes that rounding errors kept from being decided.
    floor : int
        Bound of all of the tree that was proven elsewhere.
    torn : bool
        Whether an interruption came where the record and `open_nodes` need not fit together: what is proven holds, but
        the tree cannot be gone on with.
    """

    def __init__(self, root: Node, best: float, step: int, record: bool) -> None:
        self.best, self.step = best, step
        self.record = Record() if record else None
        self._serial = itertools.count()
        self.nodes = 0
        self.doubtful: int | None = None
        self.torn = False
        self._heap = [root]
        self._current: Node | None = None
        # nodes that others work on, by the number of the job
        self._out: dict[int, list[Node]] = {}
        self.floor, self._floor_proof = 0, 0

    @property
    def cutoff(self) -> float:
        """The cost that a node must be shown to exceed before it is closed."""
        return self.best - self.step

    @property
    def closed(self) -> bool:
        """Whether nothing is left that could be better."""
        return self.bound > self.cutoff

    @property
    def bound(self) -> float:
        """No solution costs less, in units."""
        away = (node for nodes in self._out.values() for node in nodes)
        bounds = [float(node.bound) for node in (*self._heap[:1], self._current, *away) if node is not None]
        if self.doubtful is not None:
            bounds.append(float(self.doubtful))
        # closed nodes cost more than the cutoff; costs are integers
        return min([*bounds, float(np.floor(self.cutoff)) + 1.0])

    @property
    def open(self) -> bool:
        """Whether there is something left to do."""
        return self.n_waiting > 0 or (bool(self._out) and not self.closed)

    @property
    def n_waiting(self) -> int:
        """Nodes that nobody works on, 0 if none of them can be better."""
        return len(self._heap) if self._heap and (self.record is not None or self.least <= self.cutoff) else 0

    @property
    def busy(self) -> bool:
        """Whether a node is being solved here."""
        return self._current is not None

    @property
    def least(self) -> int:
        """The least bound of the nodes that nobody works on; there must be one."""
        return self._heap[0].bound

    def finish_record(self) -> Record:
        """Close the nodes that are open with what is proven of them, and return the record."""
        if self.record is None:
            raise ValueError("the tree is not recorded")
        for node in self.open_nodes():
            self.record.close_below(node.record_id, node.proof)
        self._heap.clear()
        return self.record

    def open_nodes(self) -> list[Node]:
        """Return what is left to do; between runs, or when `proceed` is asked or a network submitted."""
        current = [] if self._current is None else [self._current]
        away = [node for nodes in self._out.values() for node in nodes]
        # an interruption may have left some of them in two places
        return list({id(node): node for node in (*self._heap, *current, *away)}.values())

    def replace(self, nodes: list[Node], solved: int, doubtful: int | None) -> None:
        """Put other nodes and numbers in the place of all that there are."""
        self._heap, self._current, self._out = list(nodes), None, {}
        self.floor, self._floor_proof = 0, 0
        heapq.heapify(self._heap)
        self.nodes, self.doubtful = solved, doubtful
        self._serial = itertools.count(1 + max((node.serial for node in nodes), default=0))

    def lift(self, bound: int, proof: int = 0) -> None:
        """Raise what is left to do to a bound that was proven elsewhere; between runs.

        If the tree is recorded, `proof` is the number of a proof of it in the record.
        """
        if self.record is not None and not proof:
            raise ValueError("what was proven elsewhere is not in the record of this tree")
        for node in self.open_nodes():
            if node.bound < bound:
                node.bound, node.proof = bound, proof
        heapq.heapify(self._heap)
        if bound > self.floor:
            self.floor, self._floor_proof = bound, proof
        if self.record is None:
            self.doubtful = None if self.doubtful is None else max(self.doubtful, bound)
        elif bound > self.cutoff:
            for node in self._heap:
                self.record.close(node.record_id, node.proof)
            self._heap.clear()

    # nodes that others work on

    def hand_out(self, job: int, most: int) -> list[Node]:
        """Take out up to so many nodes, the least first; they stay open until `graft` or `put_back`."""
        self._out[job] = taken = heapq.nsmallest(most, self._heap)
        with self._orderly():
            for _ in taken:
                heapq.heappop(self._heap)
        return taken

    def put_back(self, job: int | None = None) -> None:
        """Take back the nodes of a job that brought nothing, or of all jobs."""
        for number in list(self._out) if job is None else [job]:
            self._push(self._out[number])
            del self._out[number]

    def graft(
        self, job: int, nodes: list[Node], doubtful: int | None, record: Record | None, cuts: dict[int, int]
    ) -> None:
        """Put what others left open of the nodes of a job in their place.

        Parameters
        ----------
        job : int
            Given to `hand_out`.
        nodes : list of Node
            What is open, numbered as in `record`.
        doubtful : int or None
            Least bound of the nodes that were given up.
        record : Record or None
            Of what was closed and branched.
        cuts : dict of int to int
            What its cuts are called here.
        """
        roots = [(node.record_id, node.proof) for node in self._out[job]]
        torn, self.torn = self.torn, self.record is not None
        if self.record is not None:
            if record is None:
                raise BDNNError("a recorded tree needs the record of what others did")
            more_nodes, more_proofs = self.record.graft(record, roots, cuts)
            for node in nodes:
                here = node.record_id
                node.record_id = roots[here][0] if here < len(roots) else here + more_nodes
                if node.proof:
                    node.proof = node.proof + more_proofs if node.proof > 0 else roots[-1 - node.proof][1]
        if doubtful is not None:
            doubtful = max(doubtful, self.floor if self.record is None else 0)
            self.doubtful = doubtful if self.doubtful is None else min(self.doubtful, doubtful)
        for node in nodes:
            node.serial = next(self._serial)
            if node.bound < self.floor:
                node.bound, node.proof = self.floor, self._floor_proof
        self._push(nodes)
        del self._out[job]
        self.torn = torn

    def _push(self, nodes: list[Node]) -> None:
        with self._orderly():
            for node in nodes:
                heapq.heappush(self._heap, node)

    @contextmanager
    def _orderly(self) -> Iterator[None]:
        """Order the heap anew after an interruption while nodes were compared, which leaves it in any order."""
        try:
            yield
        except BaseException:
            heapq.heapify(self._heap)
            raise
