"""Subtrees as jobs: some open nodes go out, and what is left of them comes back, with all that was learned.

A job is pure: whatever it brings is true of the problem, and nothing else depends on it. If it is lost, its nodes are
open as before, and if it is done twice, either outcome will do. Trees and inseparable sets stay at the `Site` where it
is done, so that the next job begins with a warm linear program and need not be sent what is there.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.frontier import Node
from bdnn.branch_and_cut.guide import guide_of
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.proof_log import Record
from bdnn.branch_and_cut.rank_rows import RankRows
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading
from bdnn.problem.audit import audit

if TYPE_CHECKING:
    from bdnn.branch_and_cut.guide import MakeDescend
    from bdnn.branch_and_cut.program import Program
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Array, Bits, Bytes, Floats, Integers

# share of its time that a job goes on with nodes whose bounds are above those of nodes outside of it
_PATIENCE = 0.1


job_numbers = itertools.count()
"""The number of the next job: none is used twice, so that what comes late is never taken for another one."""


class Job(Protocol):
    """Work that can be done anywhere; `kind` is what it is called."""

    kind: ClassVar[str]

    def do(self, site: Site, stopped: Callable[[], bool]) -> object:
        """Do it at a site, until it is done or `stopped` says so; return what it brings."""
        ...


def _packed(sides: list[Bits]) -> Bytes:
    return np.packbits(np.array(sides, dtype=np.uint8), axis=1) if sides else np.zeros((0, 0), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Open nodes in few bytes.

    Attributes
    ----------
    numbers : ndarray of shape (n, 4), int64
        Bound, minus depth, number in the record and proof of each.
    lower, upper : ndarray of shape (n, ceil(v / 8)), uint8
        Their boxes, eight columns to a byte.
    """

    numbers: Integers
    lower: Bytes
    upper: Bytes

    @classmethod
    def of(cls, nodes: list[Node]) -> Nodes:
        """Pack nodes."""
        numbers = [(node.bound, node.minus_depth, node.record_id, node.proof) for node in nodes]
        lower, upper = _packed([node.lower for node in nodes]), _packed([node.upper for node in nodes])
        return cls(np.array(numbers, dtype=np.int64).reshape(-1, 4), lower, upper)

    def __len__(self) -> int:
        return len(self.numbers)

    def unpacked(self, v: int) -> list[Node]:
        """Return nodes of `v` columns that share nothing with those that were packed."""
        if not len(self):
            return []
        lower, upper = (np.unpackbits(side, axis=1, count=v).astype(np.int8) for side in (self.lower, self.upper))
        return [
            Node(bound, depth, number, low.copy(), high.copy(), record_id, proof)
            for number, ((bound, depth, record_id, proof), low, high) in enumerate(
                zip(self.numbers.tolist(), lower, upper, strict=True)
            )
        ]


@dataclass(frozen=True, slots=True)
class NumberedSets:
    """Inseparable sets, by what makes them so, in few bytes.

    Attributes
    ----------
    numbers : ndarray of shape (k,), int64
        What they are called by who sends them.
    sizes : ndarray of shape (k,), int64
        Signed rows of each.
    rows : ndarray of int32
        The signed rows, one set after the other.
    """

    numbers: Integers
    sizes: Integers
    rows: Array

    @classmethod
    def of(cls, cuts: Cuts, numbers: list[int]) -> NumberedSets:
        """Pack some sets."""
        supports = [cuts.supports[number] for number in numbers]
        rows = np.concatenate([*supports, np.zeros(0, dtype=np.int64)]).astype(np.int32)
        sizes = np.array([len(support) for support in supports], dtype=np.int64)
        return cls(np.array(numbers, dtype=np.int64), sizes, rows)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, Integers]]:
        if len(self):
            supports = np.split(self.rows.astype(np.int64), np.cumsum(self.sizes)[:-1])
            yield from zip(self.numbers.tolist(), supports, strict=True)


@dataclass(frozen=True, slots=True)
class NumberedRanks:
    """Rank rows, by their points and bounds, in few bytes.

    Attributes
    ----------
    numbers : ndarray of shape (k, 3), int64
        What each is called by who sends it, its bound, and how many points it has.
    points : ndarray of int32
        The points, those of one row after those of the other.
    """

    numbers: Integers
    points: Array

    @classmethod
    def of(cls, ranks: RankRows | None, begin: int) -> NumberedRanks:
        """Pack the rank rows from a number on."""
        rows = ranks.rows[begin:] if ranks is not None else []
        points = np.concatenate([*(row.points for row in rows), np.zeros(0, dtype=np.int64)]).astype(np.int32)
        numbers = [(number, row.bound, len(row.points)) for number, row in enumerate(rows, start=begin)]
        return cls(np.array(numbers, dtype=np.int64).reshape(-1, 3), points)

    def __iter__(self) -> Iterator[tuple[int, int, Integers]]:
        if len(self.numbers):
            points = np.split(self.points.astype(np.int64), np.cumsum(self.numbers[:, 2])[:-1])
            for (number, bound, _), own in zip(self.numbers.tolist(), points, strict=True):
                yield number, bound, own


@dataclass(frozen=True, slots=True)
class PseudoCosts:
    """What branching has learned of the columns that it has tried.

    Attributes
    ----------
    columns : ndarray of shape (k,), int64
        The columns.
    gain, tried : ndarray of shape (2, k)
        As in `Tree`.
    """

    columns: Integers
    gain: Floats
    tried: Floats

    @classmethod
    def of(cls, gain: Floats, tried: Floats) -> PseudoCosts:
        """Leave out columns that were not tried."""
        columns = np.flatnonzero(tried.any(axis=0))
        return cls(columns, gain[:, columns], tried[:, columns])

    def unpacked(self, v: int) -> tuple[Floats, Floats]:
        """Return gain and tried of all `v` columns."""
        gain, tried = np.zeros((2, v)), np.zeros((2, v))
        gain[:, self.columns], tried[:, self.columns] = self.gain, self.tried
        return gain, tried


@dataclass(frozen=True, slots=True)
class Subtree:
    """A job: some open nodes of a tree.

    Attributes
    ----------
    program : int
        Of the problem, the one that the tree is of.
    nodes : Nodes
        What to work on. If the tree is recorded, node k is called k, and what is proven of it -1 - k.
    best, step
        As in `Tree`.
    ceiling : float
        Nodes outside have bounds from this on: nodes above it are gone on with for a part of the time only.
    seconds, limit : float
        Time to work: the node that is being solved then is finished, but after `limit` nothing is.
    max_nodes : int or None
        Nodes to solve at most; None for no limit.
    pseudo_costs : PseudoCosts
        What is known.
    sets : NumberedSets
        Inseparable sets that the site may lack.
    ranks : NumberedRanks
        Rank rows of the program that the site may lack.
    record : bool
        Whether what is closed is written down.
    """

    program: int
    nodes: Nodes
    best: float
    step: int
    ceiling: float
    seconds: float
    limit: float
    max_nodes: int | None
    pseudo_costs: PseudoCosts
    sets: NumberedSets
    ranks: NumberedRanks
    record: bool
    kind: ClassVar[str] = "subtree"

    def do(self, site: Site, stopped: Callable[[], bool]) -> Pruned:
        """Work on the nodes with a bench of the site."""
        site.receive(self)
        with site.bench() as bench:
            return bench.work(self, stopped)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a `Subtree` brings.

    Attributes
    ----------
    nodes : Nodes
        What is left open; numbers and proofs are those of `record`.
    solved : int
        Nodes solved.
    doubtful : int or None
        Least bound of the nodes that were given up.
    best : float
        Nodes above this were closed: lower than that of the job if a better network was found.
    networks : list of Network
        Better ones.
    pseudo_costs : PseudoCosts
        What was learned.
    sets : NumberedSets
        Inseparable sets that were of use, or that the record names, and that the sender of the job may not know.
    known : ndarray of shape (k, 2), int64
        Sets that the record names and that the sender knows: what they are called here and there.
    record : dict of str to ndarray, or None
        That of the nodes, as `Record.to_arrays` gives it; rank rows are called what the sender of the job calls them.
    seconds : float
        How long it took.
    """

    nodes: Nodes
    solved: int
    doubtful: int | None
    best: float
    networks: list[Network]
    pseudo_costs: PseudoCosts
    sets: NumberedSets
    known: Integers
    record: dict[str, Array] | None
    seconds: float


class Site:
    """What the workers of one process share: the problem, and the sets and rank rows that they were sent.

    Parameters
    ----------
    reduced : Presolved
        The problem.
    seed : int
        Of the variety of the sets that are found here.
    make_descend : callable or None
        Gives descents on a problem, for networks near fractional solutions.

    Attributes
    ----------
    received : list of (number, members)
        Inseparable sets.
    received_ranks : dict of int to list of (number, bound, points)
        Rank rows of each program.
    """

    def __init__(self, reduced: Presolved, seed: int, make_descend: MakeDescend | None = None) -> None:
        self.reduced, self.seed, self.make_descend = reduced, seed, make_descend
        self._lock = Lock()
        self._programs: list[Program] | None = None
        self._idle: list[_Bench] = []
        self._n_benches = 0
        self.received: list[tuple[int, Integers]] = []
        self._numbers: set[int] = set()
        self.received_ranks: dict[int, list[tuple[int, int, Integers]]] = defaultdict(list)
        self._rank_numbers: set[tuple[int, int]] = set()

    def receive(self, job: Subtree) -> None:
        """Take the sets and rank rows of a job, for all workers here."""
        with self._lock:
            for number, support in job.sets:
                if number not in self._numbers:
                    self._numbers.add(number)
                    self.received.append((number, support))
            for rank in job.ranks:
                if (key := (job.program, rank[0])) not in self._rank_numbers:
                    self._rank_numbers.add(key)
                    self.received_ranks[job.program].append(rank)

    @contextmanager
    def bench(self) -> Iterator[_Bench]:
        """Give a bench that nobody else works at; after an error it is not used again."""
        with self._lock:
            if self._programs is None:
                self._programs = programs(self.reduced)
            bench = self._idle.pop() if self._idle else None
            if bench is None:
                self._n_benches += 1
                rng = np.random.default_rng([self.seed, self._n_benches])
                bench = _Bench(self, self._programs, rng, self._n_benches)
        yield bench
        with self._lock:
            self._idle.append(bench)


class _Bench:
    """Trees and sets of one worker, which stay as they are between its jobs."""

    def __init__(self, site: Site, each: list[Program], rng: np.random.Generator, number: int) -> None:
        self._site, self._programs = site, each
        self._guide = guide_of(site.reduced, site.seed + number, site.make_descend)
        self._cuts = Cuts(each[0].points, rng)
        self._trees: dict[int, Tree] = {}
        # rank rows of each program, and what the sender of jobs calls them
        self._ranks = [RankRows(program, self._cuts) for program in each]
        self._rank_names: list[list[int]] = [[] for _ in each]
        self._read = 0  # of the sets that the site has received
        # of the cuts here that the sender of jobs knows, what they are called there
        self._theirs = {number: number for number in range(self._cuts.n_given)}
        self._sent: set[int] = set()
        self._found: list[Network] = []

    def work(self, job: Subtree, stopped: Callable[[], bool]) -> Pruned:
        """Do a job."""
        began = reading()
        self._take(job.program)
        tree = self._tree(job)
        given = job.pseudo_costs.unpacked(tree.v)
        tree.resume(job.nodes.unpacked(tree.v), *given, 0, -1)
        for number, node in enumerate(tree.open_nodes()):
            node.record_id, node.proof = (number, -1 - number if node.proof else 0) if job.record else (0, 0)
        tree.best, tree.step = job.best, job.step
        tree.record = Record(len(job.nodes)) if job.record else None
        self._found = []
        patience = _PATIENCE * job.seconds

        def proceed() -> bool:
            worked = reading() - began
            if worked >= job.limit or stopped() or (job.max_nodes is not None and tree.nodes >= job.max_nodes):
                return False
            if tree.busy:
                return True
            in_time = worked < (job.seconds if tree.bound <= job.ceiling else patience) or not tree.nodes
            return in_time and not self._found  # a better network is of use to all

        tree.run(proceed)
        return self._outcome(job, tree, given, reading() - began)

    def _take(self, program: int) -> None:
        """Take over what the site was sent."""
        names = self._rank_names[program]
        for number, bound, points in self._site.received_ranks[program][len(names) :]:
            self._ranks[program].add(points, bound)
            names.append(number)
        received = self._site.received
        while self._read < len(received):
            number, support = received[self._read]
            self._theirs[self._cuts.put(support)] = number
            self._read += 1

    def _tree(self, job: Subtree) -> Tree:
        if job.program not in self._trees:
            self._trees[job.program] = Tree(
                self._programs[job.program], self._cuts, job.best, self._submit,
                ranks=self._ranks[job.program], guide=self._guide if job.max_nodes is None else None,
            )  # fmt: skip
        return self._trees[job.program]

    def _submit(self, network: Network) -> float:
        reduced, points = self._site.reduced, self._programs[0].points
        loss = audit(network, reduced.problem).loss
        if not math.isfinite(loss):
            return math.inf
        self._found.append(network)
        return points.units(loss)

    def _outcome(self, job: Subtree, tree: Tree, given: tuple[Floats, Floats], seconds: float) -> Pruned:
        nodes = [node for node in tree.open_nodes() if job.record or node.bound <= tree.cutoff]
        record, named = tree.record, set[int]()
        if record is not None:
            proofs = record.drop_unused([node.proof for node in nodes])
            for node, proof in zip(nodes, proofs, strict=True):
                node.proof = proof
            record.rename_ranks(self._rank_names[job.program])
            named = record.cuts
        new = {cut for cut in tree.cuts_in_use() if cut not in self._theirs and cut not in self._sent}
        new |= {cut for cut in named if cut not in self._theirs}
        self._sent |= new
        known = [(cut, self._theirs[cut]) for cut in sorted(named) if cut in self._theirs]
        return Pruned(
            nodes=Nodes.of(nodes),
            solved=tree.nodes,
            doubtful=tree.doubtful,
            best=tree.best,
            networks=self._found,
            pseudo_costs=PseudoCosts.of(tree.gain - given[0], tree.tried - given[1]),
            sets=NumberedSets.of(self._cuts, sorted(new)),
            known=np.array(known, dtype=np.int64).reshape(-1, 2),
            record=None if record is None else record.to_arrays(),
            seconds=seconds,
        )
