"""Branch and cut over activations for a whole problem: one tree per output function, with a shared incumbent."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from bdnn.backends.threads import NODE_LIMIT, TIME_LIMIT
from bdnn.branch_and_cut.certificate import Certificate, certificate
from bdnn.branch_and_cut.checkpoint import Arrays, cuts_to_arrays, restore_cuts, restore_tree, tree_to_arrays
from bdnn.branch_and_cut.clause_search import ClauseSearches
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.guide import guide_of
from bdnn.branch_and_cut.probing import ProbingTrees
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.rank_searches import RankSearches
from bdnn.branch_and_cut.team import Team
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading
from bdnn.status import TeamState

if TYPE_CHECKING:
    from bdnn.branch_and_cut.crew import Crew
    from bdnn.branch_and_cut.guide import MakeDescend
    from bdnn.branch_and_cut.incumbents import Incumbents
    from bdnn.branch_and_cut.rank_blocks import Separators
    from bdnn.network.network import Network

# seconds that one of several trees works: long beside a node, short beside a minute
_SLICE = 2.0
# seconds between reports, and to wait for what comes back at a time
_REPORT, _WAIT = 0.2, 0.2
# what estimates the time for writing a certificate: sets whose multipliers are timed each time that there are twice as
# many, the share that writing adds to finding them, the seconds for each proof of a bound, and how much more is set
# aside, as other programs may want the processor
_SAMPLE, _FILE_SHARE, _SECONDS_PER_PROOF, _CAUTION = 5, 0.3, 5e-5, 1.5
# share of the objective that a better network must save where costs are rounded: less than the error of a run's bounds
_MIN_GAIN = 2e-7
# probing trees help while the bound is below this share of the objective; the trees work alone for some seconds first
_FAR, _ALONE = 0.6, 10.0
# seconds that the probing trees work at a time: twice as long as the trees themselves
_PROBING_SLICE = 4.0
# seconds of the first search by clauses, which double until they are those of the trees; these have as many between,
# and more, up to a limit, while it is they that raise the bound
_SEARCH_SLICE, _MOST_PAUSE = 0.05, 8.0
# seconds of work on rank rows, between those of the trees, which have as many in the end unless rank rows raise the
# bound; while others work on the trees, it is looked after them every so many seconds
_RANK_SLICE, _GLANCE = 12.0, 0.1
# rank rows are looked for while the gap is this share of the objective, and as many typical costs
_WIDE, _MANY = 0.05, 2.0
# and from this bound on, in units: where trees have proven nothing of all points, there is nothing to prove of some
_SOMETHING = 1
# the same of several workers: jobs of probing trees for one of the trees themselves
_PROBING_SHARE = _PROBING_SLICE / _SLICE
# open nodes for each worker, or in all, from which on they are handed out: before, the root and its cuts come first
_NODES_PER_WORKER, _MANY_NODES = 2, 8


class Ending(Enum):
    """Why work on a proof ended."""

    CLOSED = "closed"
    """The bound meets the best objective."""
    ROUNDED = "rounded"
    """All is proven of rounded costs, which leaves a gap."""
    UNDECIDED = "undecided"
    """Nothing is left to do, but rounding errors kept parts of the trees from being decided."""
    PAUSED = "paused"
    """As many nodes are solved as were asked for."""
    NODE_LIMIT = "node limit"
    """The budget's limit on nodes is reached."""
    TIME_LIMIT = "time limit"
    """The budget's time is used up."""

    @property
    def message(self) -> str:
        """What to say of it."""
        return _MESSAGES[self]


_MESSAGES = {
    Ending.CLOSED: "optimal",
    Ending.ROUNDED: "sample weights without a common unit were rounded, which leaves a gap",
    Ending.UNDECIDED: "rounding errors left parts of the tree undecided",
    Ending.PAUSED: "paused",
    Ending.NODE_LIMIT: NODE_LIMIT,
    Ending.TIME_LIMIT: TIME_LIMIT,
}


class Proof:
    """What is known of a bound: it can be worked on, kept in a checkpoint and written down as a certificate.

    Parameters
    ----------
    incumbents : Incumbents
        With a best network.
    record : bool
        Whether the trees are recorded for a certificate.
    separators : Separators or None
        Finds networks of one neuron, against which subsets of the points for rank rows are chosen.
    make_descend : callable or None
        Gives descents on a problem, for networks near fractional solutions.

    Attributes
    ----------
    points : Points
        Of the problem.
    cuts : Cuts
        Inseparable sets.
    trees : list of Tree
        One for each output function.
    ranks : RankSearches
        Rank rows of the same programs.
    clauses : ClauseSearches
        Of the same programs.
    probing : ProbingTrees or None
        Of the same programs, unless the trees are recorded.
    submit : callable
        Receives a network and returns its audited objective, in units.
    seconds : float
        Worked on it, by earlier runs too.
    saving_seconds : float
        How long it took the last time to write the checkpoint.
    """

    def __init__(
        self,
        incumbents: Incumbents,
        *,
        record: bool,
        separators: Separators | None = None,
        make_descend: MakeDescend | None = None,
    ) -> None:
        each = programs(incumbents.reduced)
        self.points = points = each[0].points
        self.cuts = Cuts(points, np.random.default_rng(incumbents.budget.seed))

        def submit(network: Network) -> float:
            incumbents.count_nodes(self.nodes)
            return points.units(incumbents.submit(network, "activation").objective)

        best = points.units(incumbents.incumbent.objective)
        self.submit = submit
        self.ranks = RankSearches(each, self.cuts, submit, incumbents.budget.seed, separators, record=record)
        # with a limit on nodes, no clock decides what is done
        clocked = incumbents.budget.nodes is None
        guide = guide_of(incumbents.reduced, incumbents.budget.seed, make_descend if clocked else None)
        self.trees = [
            Tree(program, self.cuts, best, submit, record=record, ranks=ranks, guide=guide)
            for program, ranks in zip(each, self.ranks.rows, strict=True)
        ]
        self.clauses = ClauseSearches(incumbents.budget.seed, record=record)
        self.probing = None if record else ProbingTrees(each, self.cuts, submit, self.ranks.rows, guide)
        self.seconds = self.saving_seconds = 0.0
        self._sampled: dict[int, float] = {}
        self._next_sample = 1
        # of rank rows whose records were looked at: how many these are, the cuts they name, and their proofs
        self._counted_ranks, self._rank_cuts, self._rank_proofs = 0, set[int](), 0

    @property
    def bound(self) -> float:
        """No network of any output function costs less, in units."""
        return min(tree.bound for tree in self.trees)

    @property
    def nodes(self) -> int:
        """Nodes solved, by earlier runs too."""
        probing = self.probing.nodes if self.probing is not None else 0
        return sum(tree.nodes for tree in self.trees) + probing + self.ranks.nodes

    @property
    def writing_seconds(self) -> float:
        """Estimate of the seconds that writing the certificate takes, 0 if the trees are not recorded."""
        records = [tree.record for tree in self.trees if tree.record is not None]
        ranks = self.ranks.records
        for record in ranks[self._counted_ranks :]:  # they do not change any more
            self._rank_cuts |= record.cuts
            self._rank_proofs += len(record.proofs)
        self._counted_ranks = len(ranks)
        named = self._rank_cuts.union(*(record.cuts for record in records))
        if len(named) >= self._next_sample:
            self._next_sample = 2 * max(len(named), _SAMPLE)
            others = sorted(named - self._sampled.keys())
            # what is found is kept for the certificate
            for cut in others[:: -(-len(others) // _SAMPLE) or 1]:
                began = reading()
                self.cuts.multipliers(cut)
                self._sampled[cut] = reading() - began
        if not self._sampled:
            return 0.0
        each = float(np.mean(sorted(self._sampled.values())[: max(1, len(self._sampled) - 1)]))  # one may have waited
        n_proofs = self._rank_proofs + sum(len(record.proofs) for record in records)
        return (1.0 + _FILE_SHARE) * each * len(named) + _SECONDS_PER_PROOF * n_proofs

    @property
    def ending_seconds(self) -> float:
        """The seconds to set aside for writing checkpoint and certificate, 0 if the trees are not recorded."""
        writing = self.writing_seconds
        # a checkpoint may have been begun just before, and there is one more at the end
        return _CAUTION * writing + 2 * self.saving_seconds if writing else 0.0

    def certificate(self, network: Network, proceed: Callable[[], None] | None = None) -> Certificate | None:
        """Return the contents of a certificate of recorded trees, or None if there can be none.

        `proceed` is called several times a second meanwhile.
        """
        asked = -np.inf

        def report() -> None:
            nonlocal asked
            if proceed is not None and reading() - asked > _REPORT:
                asked = reading()
                proceed()

        return certificate(self.cuts, self.trees, network, report)

    def state(self) -> Arrays | None:
        """Return what a later run needs to go on; None after an interruption in the midst of a recorded node."""
        if any(tree.torn for tree in self.trees):
            return None
        arrays = {"seconds": np.array(self.seconds), **cuts_to_arrays(self.cuts)}
        for number, tree in enumerate(self.trees):
            arrays |= tree_to_arrays(tree, f"{number}")
        arrays |= self.ranks.state()
        return arrays | (self.probing.state() if self.probing is not None else {})

    def restore(self, arrays: Arrays) -> None:
        """Go on from what an earlier run on the same problem has stored.

        Errors of damaged arrays are those of `bdnn.branch_and_cut.checkpoint.undamaged`.
        """
        restore_cuts(arrays, self.cuts)
        self.ranks.restore(arrays)
        for number, tree in enumerate(self.trees):
            restore_tree(arrays, f"{number}", tree, len(self.cuts))
        if self.probing is not None:
            self.probing.restore(arrays)
        self.seconds = float(arrays.get("seconds", 0.0))
        if not 0.0 <= self.seconds < np.inf:
            raise ValueError("seconds")


def work(incumbents: Incumbents, proof: Proof, pause: int | None = None, crew: Crew | None = None) -> Ending:
    """Work on the trees, the lowest bound first, until all are closed or a limit is reached.

    Parameters
    ----------
    incumbents : Incumbents
        Receives networks and bounds; its budget holds.
    proof : Proof
        Of its problem. It can be kept whenever there is a report.
    pause : int or None
        Stop when so many nodes were solved in all, by earlier runs too.
    crew : Crew or None
        Of the same problem: workers that do the work; None to do it here.

    Returns
    -------
    Ending
        Why it ended.
    """
    return _Work(incumbents, proof, pause, crew).run()


class _Work:
    """One stretch of work on a proof.

    Parameters
    ----------
    incumbents, proof, pause, crew
        As for `work`.
    """

    def __init__(self, incumbents: Incumbents, proof: Proof, pause: int | None, crew: Crew | None) -> None:
        self._incumbents, self._proof, self._pause, self._crew = incumbents, proof, pause, crew
        self._limited = pause is not None or incumbents.budget.nodes is not None
        self._reported, self._counted = 0.0, reading()
        self._end = reading() + incumbents.budget.remaining - proof.ending_seconds
        self._until = 0.0  # of the slice of one tree, or of the probing trees
        self._alone = reading() + _ALONE - proof.seconds
        self._renewal = 0.0  # when trees are begun anew
        self._slice = _SLICE  # of one of several trees
        # of the search by clauses, and of the trees between
        self._search_slice = self._pause_of_search = _SEARCH_SLICE
        self._bound_of_search = proof.bound

    def run(self) -> Ending:
        """Work until a limit is reached or nothing is left to do."""
        proof = self._proof
        while not self._over():
            best = self._lower_cutoffs()
            if not self._open() or self._enough():
                break
            if self._crew is not None and self._enough_for(self._crew):
                if not self._together(self._crew):
                    self._crew = None  # the work goes on here
                continue
            searching = self._searching()
            if searching and self._search():
                continue
            ranked = not searching and self._ranked(best)
            if ranked:
                self._rank()
                if not self._open():
                    continue
            probing = self._probing(best)
            if probing is not None and reading() > self._alone:
                self._until = reading() + _PROBING_SLICE
                probing.work(proof.trees, self._proceed)
                if not self._open():
                    continue
            unfinished = self._open()
            tree = min(unfinished, key=lambda tree: (tree.bound, tree.nodes))
            if searching or ranked or probing is not None or len(unfinished) > 1:
                self._until = reading() + (min(self._slice, self._pause_of_search) if searching else self._slice)
            else:
                self._until = self._alone if reading() < self._alone else np.inf
            tree.run(self._proceed)
        self._report()
        return self._ending()

    def _lower_cutoffs(self) -> float:
        """Let the trees know the best objective, and return it, in units."""
        points = self._proof.points
        best = points.units(self._incumbents.incumbent.objective)
        for tree in self._proof.trees:
            tree.best = min(tree.best, best)
            tree.take_floor()
            tree.step = 1 if points.exact else max(1, int(_MIN_GAIN * tree.best))
        return best

    def _enough_for(self, crew: Crew) -> bool:
        """Whether there are enough open nodes to begin to hand them out."""
        wanted = min(_NODES_PER_WORKER * crew.size, _MANY_NODES)
        return wanted > 0 and sum(tree.n_waiting for tree in self._proof.trees) >= wanted

    def _together(self, crew: Crew) -> bool:
        """Work with a crew until a limit is reached or nothing is left; return whether there is use in going on so."""
        proof, orderly = self._proof, False
        team = Team(crew, proof.cuts, proof.submit)
        try:
            while not self._over() and not team.gives_up:
                best = self._lower_cutoffs()
                if not self._open() or self._enough():
                    break
                searching = self._searching()
                ranked, left = not searching and self._ranked(best), self._nodes_left()
                busy = searching or ranked
                team.hand_out(lambda: self._choice(team), self._end - reading(), left, proof.probing is None, busy=busy)
                if not team.n_out:  # for want of workers, say
                    break
                if reading() - self._reported > _REPORT:
                    self._report(TeamState(team.size, team.n_out, sum(tree.n_waiting for tree in proof.trees)))
                if ranked:
                    self._rank_meanwhile()
                if searching:
                    self._search_meanwhile()
                team.collect(0.0 if busy else max(0.0, min(_WAIT, self._end - reading())))
                self._close_probing(team)
            orderly = True
        finally:
            team.close(orderly=orderly)
        return not team.gives_up

    def _searching(self) -> bool:
        """Whether clauses may help."""
        return self._incumbents.budget.nodes is None and self._proof.clauses.promise(self._proof.trees)

    def _search(self) -> bool:
        """Search by clauses for a while; return whether something came of it."""
        proof, slice_ = self._proof, self._search_slice
        raised = proof.bound > self._bound_of_search  # by the trees
        self._until = reading() + slice_
        decided = proof.clauses.work(proof.trees, self._proceed)
        self._bound_of_search = proof.bound
        self._pause_of_search = min(2.0 * self._pause_of_search, _MOST_PAUSE) if raised and not decided else slice_
        self._search_slice = slice_ if decided else min(2.0 * slice_, _SLICE)
        return decided

    def _rank(self) -> None:
        """Work on rank rows, begin a tree anew if that helps, and give the trees more time if it does not."""
        proof, bound = self._proof, self._proof.bound
        for work in (proof.ranks.work, proof.ranks.renew):
            self._until = reading() + _RANK_SLICE
            work(proof.trees, self._proceed)
        self._slice = _SLICE if proof.bound > bound else min(2.0 * self._slice, _RANK_SLICE)

    def _search_meanwhile(self) -> None:
        """Search by clauses for a moment, while others work on the trees."""
        until = min(reading() + _GLANCE, self._end)
        self._proof.clauses.work(self._proof.trees, lambda: reading() < until)

    def _rank_meanwhile(self) -> None:
        """Work on rank rows for a moment, while others work on the trees; begin a tree anew now and then."""
        ranks, trees, until = self._proof.ranks, self._proof.trees, min(reading() + _GLANCE, self._end)

        def proceed() -> bool:
            return reading() < until

        if reading() < self._renewal or not ranks.renew(trees, proceed):
            ranks.work(trees, proceed)
        elif not ranks.renewing:
            self._renewal = reading() + _RANK_SLICE

    def _choice(self, team: Team) -> tuple[int, Tree] | None:
        """Return the tree to take nodes from and the number of its program; None if there are no nodes."""
        trees = self._proof.trees
        probing = self._probing(trees[0].best)
        if probing is not None and reading() > self._alone:
            found, at_work = probing.lowest(trees), team.jobs_of([tree for _, tree in probing.begun()])
            if found is not None and found[1].n_waiting and at_work <= _PROBING_SHARE * team.jobs_of(trees):
                return found
        waiting = [(tree.least, team.jobs_of([tree]), number) for number, tree in enumerate(trees) if tree.n_waiting]
        if not waiting:
            return None
        number = min(waiting)[2]
        return number, trees[number]

    def _close_probing(self, team: Team) -> None:
        """Let the trees profit from the probing trees that are done."""
        if self._proof.probing is None:
            return
        for number, tree in self._proof.probing.begun():
            if not tree.open and not team.jobs_of([tree]) and not self._proof.probing.close(number, self._proof.trees):
                self._alone = reading() + _ALONE  # it would fail again

    def _nodes_left(self) -> int | None:
        """Return how many nodes may be solved before a limit or a pause."""
        left = self._incumbents.nodes_left
        if self._pause is None:
            return left
        until = self._pause - self._proof.nodes
        return until if left is None else min(left, until)

    def _open(self) -> list[Tree]:
        """Return the trees that are not finished."""
        return [tree for tree in self._proof.trees if tree.open]

    def _probing(self, best: float) -> ProbingTrees | None:
        """Return the probing trees if they may help: while the bound is far from the best network."""
        proof = self._proof
        if self._limited or not proof.points.exact or proof.bound > _FAR * best:
            return None
        return proof.probing

    def _ranked(self, best: float) -> bool:
        """Whether rank rows may help: the trees have worked alone and proven something, and much is left."""
        proof = self._proof
        if self._limited or reading() <= self._alone or proof.ranks.done(proof.trees):
            return False
        typical = float(proof.points.weight.mean()) if len(proof.points.weight) else 1.0
        if proof.bound < _SOMETHING:
            return False
        return best - proof.bound >= max(_WIDE * best, _MANY * typical)

    def _proceed(self) -> bool:
        """Report now and then; return whether to go on."""
        now = reading()
        if now - self._reported > _REPORT:
            self._report()
        if self._crew is not None and self._enough_for(self._crew):
            return False
        return now < min(self._until, self._end) and not (self._limited and self._enough())

    def _over(self) -> bool:
        return reading() >= self._end

    def _enough(self) -> bool:
        """Whether there are as many nodes as are allowed, or were asked for."""
        nodes = self._proof.nodes
        self._incumbents.count_nodes(nodes)
        return self._incumbents.out_of_nodes or (self._pause is not None and nodes >= self._pause)

    def _report(self, team: TeamState | None = None) -> None:
        incumbents, proof = self._incumbents, self._proof
        spare = incumbents.budget.remaining - proof.ending_seconds
        self._reported = now = reading()
        self._end = now + spare
        proof.seconds, self._counted = proof.seconds + now - self._counted, now
        incumbents.raise_bound(proof.points.loss(proof.bound) / incumbents.reduced.loss_unit, exact=True)
        incumbents.count_nodes(proof.nodes, team)
        incumbents.report()

    def _ending(self) -> Ending:
        if self._incumbents.closed:
            return Ending.CLOSED
        if all(tree.closed for tree in self._proof.trees):
            return Ending.CLOSED if self._proof.points.exact else Ending.ROUNDED
        if not self._open():
            return Ending.UNDECIDED
        if self._incumbents.out_of_nodes:
            return Ending.NODE_LIMIT
        return Ending.PAUSED if self._enough() and not self._over() else Ending.TIME_LIMIT
