"""The team behind a proof: it hands out open nodes to a crew, and puts what comes back in its place.

All that counts is here: open nodes, the best network, the record. Nodes that are out are open until an outcome that
was asked for is there, so that the bound and a checkpoint hold at any moment, whatever becomes of the workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.proof_log import Record
from bdnn.branch_and_cut.subtree import (
    Nodes,
    NumberedRanks,
    NumberedSets,
    Pruned,
    PseudoCosts,
    Subtree,
    job_numbers,
)
from bdnn.clock import reading
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.branch_and_cut.crew import Crew
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.tree import Tree
    from bdnn.network.network import Network

# seconds of a job: as a rule, and at most
_USUAL, _LONG = 1.0, 10.0
# open nodes for each worker from which on jobs are of the usual length
_PLENTY = 4
# a job takes so many times as long as it takes to hand out one for each worker and put it in its place
_WORK_PER_HANDLING = 2.0
# share of what was measured last in running means
_FRESH = 0.2
# nodes of a job at most: what is left of them travels back
_MAX_NODES = 256
# by what the nodes of a job become more where they were all raised above those outside, or fewer where they were not
_MORE, _FEWER = 1.5, 0.8
# seconds to wait for outcomes of jobs that were recalled
_PATIENCE = 1.0
# times in a row that jobs are lost before nothing more is handed out
_MAX_LOST = 10


@dataclass(frozen=True, slots=True)
class _Out:
    """A job that is out: of which tree, the nodes that it may solve, the objective and the ceiling it was given."""

    tree: Tree
    max_nodes: int
    best: float
    ceiling: float


class Team:
    """Works on trees with a crew.

    Parameters
    ----------
    crew : Crew
        Who does the jobs.
    cuts : Cuts
        Inseparable sets of all trees; those that others find are added.
    submit : callable
        Receives a network and returns its audited objective, in units.

    Attributes
    ----------
    lost : int
        Jobs that were lost since one came back.
    """

    def __init__(self, crew: Crew, cuts: Cuts, submit: Callable[[Network], float]) -> None:
        self._crew, self._cuts, self._submit = crew, cuts, submit
        self._out: dict[int, _Out] = {}
        self._sent: dict[str, int] = {}  # sets that each site was sent
        self._ranks_sent: dict[tuple[str, int], int] = {}  # rank rows of each program that each site was sent
        self._handling = 0.0
        self._width = 1.0  # nodes of a job
        self.lost = 0

    @property
    def size(self) -> int:
        """Workers."""
        return self._crew.size

    @property
    def n_out(self) -> int:
        """Jobs that are out."""
        return len(self._out)

    @property
    def gives_up(self) -> bool:
        """Whether so many jobs were lost that there is no use in handing out more."""
        return self.lost >= _MAX_LOST

    def jobs_of(self, trees: list[Tree]) -> int:
        """Return how many jobs of some trees are out."""
        return sum(out.tree in trees for out in self._out.values())

    def hand_out(
        self,
        choose: Callable[[], tuple[int, Tree] | None],
        limit: float,
        nodes: int | None,
        record: bool,
        *,
        busy: bool = False,
    ) -> None:
        """Hand out jobs wherever they are wanted, as long as there are open nodes.

        Parameters
        ----------
        choose : callable
            Returns the tree to take nodes from and the number of its program, or None if there are no nodes.
        limit : float
            Seconds after which all work ends.
        nodes : int or None
            Nodes that may be solved; None for no limit.
        record : bool
            Whether trees are recorded.
        busy : bool
            Whether there is other work here: then one worker less has jobs if they are threads of this process.
        """
        wanted = self._crew.wanted()
        if busy and self._crew.here:
            wanted = wanted[1:]
        for number, site in enumerate(wanted):
            left = None if nodes is None else nodes - sum(out.max_nodes for out in self._out.values())
            if (left is not None and left <= 0) or (picked := choose()) is None:
                return
            began = reading()
            program, tree = picked
            most = None if left is None else max(1, left // (len(wanted) - number))
            self._hand_out(site, program, tree, limit, most, record)
            self._handling += _FRESH * (reading() - began - self._handling)

    def _hand_out(self, site: str, program: int, tree: Tree, limit: float, most: int | None, record: bool) -> None:
        job = next(job_numbers)
        share = max(1, tree.n_waiting // (2 * max(1, self._crew.size)))
        nodes = tree.hand_out(job, min(share, max(1, int(self._width))))
        ceiling = float(tree.least) if tree.n_waiting else tree.best
        self._out[job] = _Out(tree, most or 0, tree.best, ceiling)
        known = max(self._cuts.n_given, self._sent.get(site, 0))
        self._sent[site] = len(self._cuts)
        ranks = NumberedRanks.of(tree.ranks, self._ranks_sent.get((site, program), 0))
        self._ranks_sent[site, program] = len(tree.ranks) if tree.ranks is not None else 0
        seconds = min(self._seconds(tree), limit)
        self._crew.hand_out(
            site,
            job,
            Subtree(
                program=program,
                nodes=Nodes.of(nodes),
                best=tree.best,
                step=tree.step,
                ceiling=ceiling,
                seconds=seconds,
                limit=limit,
                max_nodes=most,
                pseudo_costs=PseudoCosts.of(tree.gain, tree.tried),
                sets=NumberedSets.of(self._cuts, list(range(known, len(self._cuts)))),
                ranks=ranks,
                record=record,
            ),
        )

    def _seconds(self, tree: Tree) -> float:
        """Return how long a job is to take: short while others may wait for nodes, long enough to be worth it."""
        size = max(1, self._crew.size)
        usual = min(_LONG, max(_USUAL, _WORK_PER_HANDLING * size * self._handling))
        supply = min(1.0, tree.n_waiting / (_PLENTY * size))
        return max(self._crew.shortest, supply * usual)

    def collect(self, seconds: float) -> None:
        """Put what has come back in its place, waiting up to so many seconds for the first."""
        for returned in self._crew.returned(seconds):
            out = self._out.get(returned.job)
            if out is None:
                continue  # it was taken for lost
            began = reading()
            pruned = returned.outcome
            if isinstance(pruned, Pruned) and self._accept(returned.job, out, pruned):
                self._learn(out, pruned)
                self.lost = 0
            elif pruned is None or isinstance(pruned, Pruned):
                out.tree.put_back(returned.job)
                self.lost += 1
            else:
                raise BDNNError(f"a worker returned {type(pruned).__name__} for a subtree")
            del self._out[returned.job]
            self._handling += _FRESH * (2.0 * (reading() - began) - self._handling)

    def _accept(self, job: int, out: _Out, pruned: Pruned) -> bool:
        """Put the outcome of a job in its place; return False if it is not to be believed."""
        tree = out.tree
        reached = min([out.best, *(self._submit(network) for network in pruned.networks)])
        if reached > pruned.best:  # nodes were closed for a network that is not as good as was said
            return False
        tree.best = min(tree.best, reached)
        names = dict(pruned.known.tolist())
        if any(not 0 <= number < len(self._cuts) for number in names.values()):
            raise BDNNError("a worker named a set that is not known")
        names |= {number: self._cuts.put(support) for number, support in pruned.sets}
        record = None
        if pruned.record is not None:
            record = Record()
            record.from_arrays(pruned.record, 1 + max(names, default=-1))
            if record.last_rank >= (len(tree.ranks) if tree.ranks is not None else 0):
                raise BDNNError("a worker named a rank row that is not known")
        tree.gain[:, pruned.pseudo_costs.columns] += pruned.pseudo_costs.gain
        tree.tried[:, pruned.pseudo_costs.columns] += pruned.pseudo_costs.tried
        tree.nodes += pruned.solved
        tree.graft(job, pruned.nodes.unpacked(tree.v), pruned.doubtful, record, names)
        return True

    def _learn(self, out: _Out, pruned: Pruned) -> None:
        """Note whether a job had enough nodes of low bounds for its time."""
        factor = _MORE if np.all(pruned.nodes.numbers[:, 0] > out.ceiling) else _FEWER
        self._width = min(float(_MAX_NODES), max(1.0, factor * self._width))

    def close(self, *, orderly: bool) -> None:
        """End all jobs; what they have is put in its place if the end is orderly, else their nodes are put back."""
        self._crew.recall()
        end = reading() + _PATIENCE
        while orderly and self._out and reading() < end and self._crew.n_out:
            self.collect(_PATIENCE / 10)
        for out in self._out.values():
            out.tree.put_back()
        self._out.clear()
