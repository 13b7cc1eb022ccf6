"""Branch and cut over activations for a whole problem: one tree per output function, with a shared incumbent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bdnn.activation import checkpoint
from bdnn.activation.certificate import certificate
from bdnn.activation.cuts import Cuts
from bdnn.activation.program import Points, programs
from bdnn.activation.scouts import Scouts
from bdnn.activation.tree import Tree
from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.methods.race import Race
from bdnn.methods.start import constant
from bdnn.network import Network

_SLICE = 2.0
_REPORT = 0.2
_SAVE = 20.0
_SAVE_SHARE = 0.05
_RELATIVE = 2e-7
# of the bound in the objective, up to which scouts are sent; how long the trees work by themselves first
_FAR, _ALONE = 0.6, 10.0
_SCOUTS_SLICE = 4.0


@dataclass(frozen=True, eq=False, slots=True)
class Proof:
    """What a run leaves behind for a certificate.

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
    checkpoint : Path or None
        File that is written now and then.
    title : str
        Of the checkpoint.
    """

    points: Points
    cuts: Cuts
    trees: list[Tree]
    scouts: Scouts | None = None
    checkpoint: Path | None = None
    title: str = ""

    @property
    def bound(self) -> float:
        """No network of any output function costs less, in units."""
        return min(tree.bound for tree in self.trees)

    @property
    def nodes(self) -> int:
        """Nodes solved."""
        return sum(tree.nodes for tree in self.trees) + (self.scouts.nodes if self.scouts is not None else 0)

    def certificate(self, network: Network) -> dict[str, Any] | None:
        """Return the contents of a certificate of recorded trees, or None if there can be none."""
        return certificate(self.cuts, self.trees, network)

    def save(self, network: Network) -> None:
        """Write the checkpoint, if there is one to be written."""
        if self.checkpoint is not None:
            checkpoint.write(self.checkpoint, self.title, self.cuts, self.trees, network)


def compile_kernels() -> None:
    """Call every kernel once; the first time on a machine this compiles for some ten seconds."""
    from bdnn.problem import Problem

    # eleven points in turn off and on, of which a threshold gets five wrong; a tree over them needs all kernels
    problem = Problem(X=np.arange(11.0)[:, None], y=np.arange(11) % 2, hidden_layer_sizes=(2,))
    race = Race(problem, Budget(seconds=60).start(), None)
    race.enter(constant(race.reduced), "constant")
    proof = begin(race)
    work(race, proof)
    proof.trees[0].rows.rebuild()


def begin(race: Race, *, record: bool = False, path: Path | None = None) -> Proof:
    """Set up the trees of a problem that `bdnn.activation.program.covers`.

    Parameters
    ----------
    race : Race
        With a best network.
    record : bool
        Whether the trees are recorded for a certificate.
    path : Path or None
        Checkpoint to be written now and then; if it exists, the run goes on from there.

    Returns
    -------
    Proof
        To be handed to `work`.

    Raises
    ------
    InputError
        If the checkpoint belongs to another run or is damaged.
    """
    arrays: dict[str, Any] | None = None
    title = "" if path is None else checkpoint.title(race.problem, record=record)
    if path is not None and path.exists():
        arrays = checkpoint.read(path, title)
        race.enter(checkpoint.network_of(arrays, race.problem), "checkpoint")
    found = programs(race.reduced)
    points = found[0].points
    cuts = Cuts(points, np.random.default_rng(race.budget.seed))

    def offer(network: Network) -> float:
        return points.units(race.enter(network, "activation").objective)

    assert race.best is not None
    best = points.units(race.best.objective)
    trees = [Tree(p, cuts, best, offer, record=record) for p in found]
    if arrays is not None:
        checkpoint.restore(arrays, cuts, trees)
    scouts = None if record else Scouts(found, cuts, offer)
    return Proof(points, cuts, trees, scouts, path, title)


def work(race: Race, proof: Proof, nodes: int | None = None) -> str:
    """Work on the trees, the lowest bound first, until all are closed or limits are reached; return why it ended.

    Parameters
    ----------
    race : Race
        Receives networks and bounds; its budget holds.
    proof : Proof
        From `begin`.
    nodes : int or None
        Stop when so many nodes were solved in all.
    """
    points, budget = proof.points, race.budget
    limits = [limit for limit in (budget.nodes, nodes) if limit is not None]
    most = min(limits, default=None)
    assert race.best is not None
    reported = 0.0

    saved, pause = reading(), _SAVE

    def proceed() -> bool:
        nonlocal reported, saved, pause
        now = reading()
        if proof.checkpoint is not None and now - saved > pause:
            save()
        if now - reported > _REPORT:
            reported = now
            tell()
        return now < until and not budget.exhausted and (most is None or proof.nodes < most)

    def save() -> None:
        nonlocal saved, pause
        began = reading()
        assert race.best is not None
        proof.save(race.best.network)
        saved = reading()
        pause = max(_SAVE, (saved - began) / _SAVE_SHARE)

    def tell() -> None:
        race.raise_bound(points.loss(proof.bound) / race.reduced.loss_unit)
        race.nodes = proof.nodes
        race.report()

    until, alone = 0.0, reading() + _ALONE
    while not budget.exhausted:
        best = points.units(race.best.objective)
        for tree in proof.trees:
            tree.best = min(tree.best, best)
            tree.step = 1 if points.exact else max(1, int(_RELATIVE * tree.best))
        unfinished = [tree for tree in proof.trees if tree.open]
        if not unfinished or (most is not None and proof.nodes >= most):
            break
        far = proof.scouts is not None and most is None and points.exact and proof.bound <= _FAR * best
        if far and reading() > alone:
            assert proof.scouts is not None
            until = reading() + _SCOUTS_SLICE
            proof.scouts.work(proof.trees, proceed)
            unfinished = [tree for tree in unfinished if tree.open]
            if not unfinished:
                continue
        tree = min(unfinished, key=lambda tree: (tree.bound, tree.nodes))
        until = reading() + (_SLICE if far or len(unfinished) > 1 else np.inf)
        tree.run(proceed)
    tell()
    save()
    if race.closed or all(tree.closed for tree in proof.trees):
        return "optimal"
    if not any(tree.open for tree in proof.trees):
        return "rounding errors left parts of the tree undecided"
    return "node limit reached" if most is not None and proof.nodes >= most else "time limit reached"
