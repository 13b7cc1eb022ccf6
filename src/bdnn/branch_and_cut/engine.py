"""Branch and cut over activations for a whole problem: one tree per output function, with a shared incumbent."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

from bdnn.backends.threads import NODE_LIMIT, TIME_LIMIT
from bdnn.branch_and_cut.certificate import certificate
from bdnn.branch_and_cut.checkpoint import Arrays, cuts_to_arrays, restore_cuts, restore_tree, tree_to_arrays
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.probing import Scouts
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading
from bdnn.methods.run import Race
from bdnn.network.network import Network

_SLICE = 2.0
_REPORT = 0.2
# of a certificate: sets whose writing is timed, what is done with their multipliers as a share of finding them, and
# seconds for each proof of a bound
_SAMPLE, _FILE_SHARE, _SECONDS_PER_PROOF = 5, 0.3, 5e-5
_RELATIVE = 2e-7
# of the bound in the objective, up to which scouts are sent; how long the trees work by themselves first
_FAR, _ALONE = 0.6, 10.0
_SCOUTS_SLICE = 4.0


class Ending(Enum):
    """Why work on a proof ended."""

    CLOSED = "closed"
    """The bound meets the best objective."""
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
    Ending.UNDECIDED: "rounding errors left parts of the tree undecided",
    Ending.PAUSED: "paused",
    Ending.NODE_LIMIT: NODE_LIMIT,
    Ending.TIME_LIMIT: TIME_LIMIT,
}


class Proof:
    """What is known of a bound: it can be worked on, kept in a checkpoint and written down as a certificate.

    Parameters
    ----------
    race : Race
        With a best network.
    record : bool
        Whether the trees are recorded for a certificate.

    Attributes
    ----------
    points : Points
        Of the problem.
    cuts : Cuts
        Inseparable sets.
    trees : list of Tree
        One for each output function.
    scouts : Scouts or None
        Of the same programs, unless the trees are recorded.
    seconds : float
        Worked on it, by earlier runs too.
    """

    def __init__(self, race: Race, *, record: bool) -> None:
        found = programs(race.reduced)
        self.points = points = found[0].points
        self.cuts = Cuts(points, np.random.default_rng(race.budget.seed))

        def offer(network: Network) -> float:
            race.nodes = self.nodes
            return points.units(race.enter(network, "activation").objective)

        best = points.units(race.incumbent.objective)
        self.trees = [Tree(p, self.cuts, best, offer, record=record) for p in found]
        self.scouts = None if record else Scouts(found, self.cuts, offer)
        self.seconds = 0.0
        self._sampled: dict[int, float] = {}

    @property
    def bound(self) -> float:
        """No network of any output function costs less, in units."""
        return min(tree.bound for tree in self.trees)

    @property
    def nodes(self) -> int:
        """Nodes solved, by earlier runs too."""
        return sum(tree.nodes for tree in self.trees) + (self.scouts.nodes if self.scouts is not None else 0)

    @property
    def writing_seconds(self) -> float:
        """Estimate of the seconds that writing the certificate takes, 0 if the trees are not recorded."""
        records = [tree.record for tree in self.trees if tree.record is not None]
        named = set().union(*(record.cuts for record in records))
        if len(self._sampled) < _SAMPLE:
            # what is found is kept for the certificate
            for cut in sorted(named - self._sampled.keys())[: _SAMPLE - len(self._sampled)]:
                began = reading()
                self.cuts.multipliers(cut)
                self._sampled[cut] = reading() - began
        if not self._sampled:
            return 0.0
        each = float(np.median(list(self._sampled.values())))
        n_proofs = sum(len(record.proofs) for record in records)
        return (1.0 + _FILE_SHARE) * each * len(named) + _SECONDS_PER_PROOF * n_proofs

    def certificate(self, network: Network, proceed: Callable[[], None] | None = None) -> dict[str, Any] | None:
        """Return the contents of a certificate of recorded trees, or None if there can be none.

        `proceed` is called several times a second meanwhile.
        """
        told = -np.inf

        def tell() -> None:
            nonlocal told
            if proceed is not None and reading() - told > _REPORT:
                told = reading()
                proceed()

        return certificate(self.cuts, self.trees, network, tell)

    def state(self) -> Arrays | None:
        """Return what a later run needs to go on; None after an interruption in the midst of a recorded node."""
        if any(tree.torn for tree in self.trees):
            return None
        arrays = {"seconds": np.array(self.seconds), **cuts_to_arrays(self.cuts)}
        for number, tree in enumerate(self.trees):
            arrays |= tree_to_arrays(tree, f"{number}")
        return arrays | (self.scouts.state() if self.scouts is not None else {})

    def restore(self, arrays: Arrays) -> None:
        """Go on from what an earlier run on the same problem has stored.

        Errors of damaged arrays are those of `bdnn.branch_and_cut.checkpoint.undamaged`.
        """
        restore_cuts(arrays, self.cuts)
        for number, tree in enumerate(self.trees):
            restore_tree(arrays, f"{number}", tree, len(self.cuts))
        if self.scouts is not None:
            self.scouts.restore(arrays)
        self.seconds = float(arrays.get("seconds", 0.0))
        if not 0.0 <= self.seconds < np.inf:
            raise ValueError("seconds")


def work(race: Race, proof: Proof, pause: int | None = None) -> Ending:
    """Work on the trees, the lowest bound first, until all are closed or a limit is reached.

    Parameters
    ----------
    race : Race
        Receives networks and bounds; its budget holds.
    proof : Proof
        Of its problem. It can be kept whenever the race reports.
    pause : int or None
        Stop when so many nodes were solved in all, by earlier runs too.

    Returns
    -------
    Ending
        Why it ended.
    """
    points, budget = proof.points, race.budget
    reported, counted = 0.0, reading()
    limited = pause is not None or budget.nodes is not None
    end = reading() + budget.remaining - proof.writing_seconds

    def proceed() -> bool:
        now = reading()
        if now - reported > _REPORT:
            tell()
        return now < min(until, end) and not (limited and enough())

    def over() -> bool:
        return reading() >= end

    def enough() -> bool:
        race.nodes = proof.nodes
        return race.out_of_nodes or (pause is not None and race.nodes >= pause)

    def tell() -> None:
        nonlocal reported, counted, end
        spare = budget.remaining - proof.writing_seconds
        reported = now = reading()
        end = now + spare
        proof.seconds, counted = proof.seconds + now - counted, now
        race.raise_bound(points.loss(proof.bound) / race.reduced.loss_unit)
        race.nodes = proof.nodes
        race.report()

    until, alone = 0.0, reading() + _ALONE - proof.seconds
    while not over():
        best = points.units(race.incumbent.objective)
        for tree in proof.trees:
            tree.best = min(tree.best, best)
            tree.step = 1 if points.exact else max(1, int(_RELATIVE * tree.best))
        unfinished = [tree for tree in proof.trees if tree.open]
        if not unfinished or enough():
            break
        scouts = None if limited or not points.exact or proof.bound > _FAR * best else proof.scouts
        if scouts is not None and reading() > alone:
            until = reading() + _SCOUTS_SLICE
            scouts.work(proof.trees, proceed)
            unfinished = [tree for tree in unfinished if tree.open]
            if not unfinished:
                continue
        tree = min(unfinished, key=lambda tree: (tree.bound, tree.nodes))
        until = reading() + (_SLICE if scouts is not None or len(unfinished) > 1 else np.inf)
        tree.run(proceed)
    tell()
    if race.closed or all(tree.closed for tree in proof.trees):
        return Ending.CLOSED
    if not any(tree.open for tree in proof.trees):
        return Ending.UNDECIDED
    if race.out_of_nodes:
        return Ending.NODE_LIMIT
    return Ending.PAUSED if enough() and not over() else Ending.TIME_LIMIT
