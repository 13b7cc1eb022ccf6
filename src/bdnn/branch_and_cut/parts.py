"""Bounds at any size: the data are dealt into parts, and no network can do better than best on every part.

The least losses of disjoint parts of the data add up to a bound on the loss on all of them, for every architecture. A
part of a few hundred points is small enough for branch and cut, and its bound is far above what disjoint inseparable
sets of the same points would give, since it may count several errors among sets that overlap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bdnn.branch_and_cut.checkpoint import Arrays, cuts_to_arrays, restore_cuts, restore_tree, tree_to_arrays
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import Points, programs
from bdnn.branch_and_cut.subtree import job_numbers
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading
from bdnn.status import TeamState

if TYPE_CHECKING:
    from bdnn.branch_and_cut.crew import Crew
    from bdnn.branch_and_cut.incumbents import Incumbents
    from bdnn.branch_and_cut.subtree import Site
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Indices

# points of the first parts, for each weight of a neuron and at least: a part with few could be learned without a
# loss, and its bound would be 0
_POINTS_PER_WEIGHT, _MIN_POINTS = 6, 60
# by how much a tree is to raise the bound of a part, in typical costs of a point
_AIM = 2.0
# seconds for a part: what is left then goes to larger parts
_MAX_SECONDS = 10.0
# seconds between reports
_REPORT = 0.2
# seconds to wait for what comes back at a time, and for what was recalled
_WAIT, _PATIENCE = 0.2, 1.0
# parts in a row that a crew loses before they are done here
_MAX_LOST = 10


class Parts:
    """Raises a bound part by part, then with larger parts, until the budget is used up.

    How the points are dealt depends on the seed and the number of the deal alone, so that a run can go on in the midst
    of a deal. It can be kept whenever there is a report.

    Parameters
    ----------
    incumbents : Incumbents
        Of a problem that `bdnn.branch_and_cut.program.covers`.

    Attributes
    ----------
    saving_seconds : float
        How long it took the last time to write the checkpoint.
    """

    def __init__(self, incumbents: Incumbents) -> None:
        self._incumbents, self._points = incumbents, Points.of(incumbents.reduced)
        self._least = max(_MIN_POINTS, _POINTS_PER_WEIGHT * self._points.rows.shape[1])
        self._seed, self._deal, self._number = incumbents.budget.seed, 0, 0
        # of the parts of this deal that are done, in units of sample weight, and of all parts so far
        self._total, self._nodes = incumbents.reduced.irreducible, 0
        self._part: _Part | None = None
        # bounds and nodes of parts that are done beyond that one, by others
        self._done: dict[int, tuple[float, int]] = {}
        self._reported = self.saving_seconds = 0.0

    def state(self) -> Arrays:
        """Return what a later run needs to go on."""
        about = {name: getattr(self, f"_{name}") for name in ("seed", "deal", "number", "total", "nodes")}
        if self._done:
            about["done"] = [[number, *known] for number, known in self._done.items()]
        arrays: Arrays = {"parts": np.array(json.dumps(about))}
        return arrays if self._part is None else arrays | self._part.state()

    def restore(self, arrays: Arrays) -> None:
        """Go on from what an earlier run on the same problem has stored.

        Errors of damaged arrays are those of `bdnn.branch_and_cut.checkpoint.undamaged`.
        """
        about = json.loads(str(arrays["parts"]))
        counts = [about[name] for name in ("seed", "deal", "number", "nodes")]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("parts")
        self._seed, self._deal, self._number, self._nodes = counts
        self._total = float(about["total"])
        if not self._incumbents.reduced.irreducible <= self._total < math.inf or self._number > len(self._dealt()):
            raise ValueError("parts")
        for number, bound, nodes in about.get("done", []):
            if not self._number < number < len(self._dealt()) or not 0.0 <= bound < math.inf or nodes < 0:
                raise ValueError("parts that are done")
            self._done[number] = float(bound), int(nodes)
        if "part" in arrays:
            self._part = self._new_part(self._dealt()[self._number])
            self._part.restore(arrays)

    def work(self, crew: Crew | None = None) -> str:
        """Work until a limit is reached or nothing is left to do; return what the bound is that of.

        Parameters
        ----------
        crew : Crew or None
            Workers, which do a part each; None to do one after the other here.
        """
        while True:
            parts = self._dealt()
            message = f"the data are large: the bound is that of {len(parts)} parts of about {len(parts[0])} points"
            if crew is not None and len(parts) > 1:
                self._together(parts, crew)
            while self._number < len(parts) and not self._stopped:
                seconds = self._seconds(len(parts), 1)
                if self._part is None:
                    self._part = self._new_part(parts[self._number])
                self._work_on(self._part, reading() + seconds)
                self._report()
                if not self._stopped:  # else a later run goes on with it
                    self._finish(self._number, self._part.bound, self._part.nodes)
            if self._stopped or len(parts) == 1:
                return message
            self._deal, self._number, self._total = self._deal + 1, 0, self._incumbents.reduced.irreducible

    def _seconds(self, n_parts: int, n_workers: int) -> float:
        """Return how long a part may take."""
        left = n_parts - self._number - len(self._done)
        seconds = self._incumbents.budget.remaining * min(n_workers, left) / left
        return min(seconds, _MAX_SECONDS) if n_parts > 1 else seconds

    def _finish(self, number: int, bound: float, nodes: int) -> None:
        """Note what a part brought, and go on to the first that is not done."""
        self._done[number] = bound, nodes
        if number == self._number:
            self._part = None
        while self._number in self._done:
            bound, nodes = self._done.pop(self._number)
            self._total += bound
            self._nodes += nodes
            self._number += 1

    def _together(self, parts: list[Indices], crew: Crew) -> None:
        """Let a crew do the parts of this deal, until a limit is reached, all are done or nobody is left to do them."""
        waiting = [number for number in range(self._number, len(parts)) if number not in self._done]
        out: dict[int, tuple[int, int]] = {}  # parts of jobs, and the nodes they may solve
        lost = 0
        while (waiting or out) and not self._stopped and lost < _MAX_LOST:
            for site in crew.wanted() if waiting else []:
                left = self._incumbents.nodes_left
                spare = None if left is None else left - sum(nodes for _, nodes in out.values())
                if not waiting or (spare is not None and spare <= 0):
                    break
                number, job = waiting.pop(0), next(job_numbers)
                out[job] = number, 0 if spare is None else -(-spare // crew.size)
                crew.hand_out(site, job, self._job_of(parts, number, crew.size, out[job][1]))
            if not out:
                return
            for returned in crew.returned(_WAIT):
                if returned.job not in out:
                    continue
                number, _ = out.pop(returned.job)
                if isinstance(returned.outcome, PartBound):
                    lost = 0
                    self._take(number, returned.outcome, parts)
                else:
                    lost += 1
                    waiting.insert(0, number)
            if reading() - self._reported > _REPORT:
                self._report(TeamState(crew.size, len(out), len(waiting)))
        crew.recall()
        end = reading() + _PATIENCE
        while out and crew.n_out and reading() < end:
            for returned in crew.returned(_PATIENCE / 10):
                if returned.job in out and isinstance(returned.outcome, PartBound):
                    self._take(out.pop(returned.job)[0], returned.outcome, parts)
        self._report()

    def _job_of(self, parts: list[Indices], number: int, n_workers: int, nodes: int) -> PartJob:
        begun = self._part.state() if self._part is not None and number == self._number else None
        seed = (self._seed, self._deal, number)
        remaining = self._incumbents.budget.remaining
        return PartJob(parts[number], seed, self._seconds(len(parts), n_workers), remaining, nodes, begun)

    def _take(self, number: int, found: PartBound, parts: list[Indices]) -> None:
        """Note what came back of a part; of the first that is not done, a later run may go on with what there is."""
        if found.state is None or not self._stopped:
            self._finish(number, found.bound, found.nodes)
        elif number == self._number:
            self._part = self._new_part(parts[number])
            self._part.restore(found.state)

    @property
    def _stopped(self) -> bool:
        incumbents = self._incumbents
        return incumbents.budget.exhausted or incumbents.out_of_nodes or incumbents.closed

    def _dealt(self) -> list[Indices]:
        """Return the points of each part of this deal; every deal has parts of twice the size of the last one."""
        points, size = self._points, self._least << self._deal
        order = points.point[np.random.default_rng([self._seed, self._deal]).permutation(len(points))]
        return np.array_split(order, max(1, round(len(order) / size)))

    def _new_part(self, points: Indices) -> _Part:
        return _part_of(self._incumbents.reduced, points, (self._seed, self._deal, self._number))

    def _work_on(self, part: _Part, deadline: float) -> None:
        def proceed() -> bool:
            self._count()
            if reading() - self._reported > _REPORT:
                self._report()
            return reading() < deadline and not self._stopped

        part.work(proceed)

    def _count(self, team: TeamState | None = None) -> None:
        nodes = self._nodes + sum(nodes for _, nodes in self._done.values())
        self._incumbents.count_nodes(nodes + (0 if self._part is None else self._part.nodes), team)

    def _report(self, team: TeamState | None = None) -> None:
        """Raise the bound to that of the parts that are done and of the one that is worked on, and report."""
        self._count(team)
        self._reported = reading()
        total = self._total + sum(bound for bound, _ in self._done.values())
        total += 0.0 if self._part is None else self._part.bound
        self._incumbents.raise_bound(total / self._incumbents.reduced.loss_unit)
        self._incumbents.report()


class _Part:
    """Bounds the loss on a part of the points, beyond what is irreducible, by trees that aim low.

    Such trees close soon, and fix much; their cuts remain. The least of the bounds of all output functions counts, so
    that it is the one to raise.
    """

    def __init__(self, reduced: Presolved, rng: np.random.Generator) -> None:
        self._programs = programs(reduced)
        self._points = points = self._programs[0].points
        self._cuts = Cuts(points, rng)
        # both, and bounds, in units of the points
        self._most, self._step = float(points.weight.sum()), float(points.weight.mean())
        # of each output function, by trees that are done
        self._bounds, self._nodes = [0.0] * len(self._programs), 0
        self._number = 0
        self._tree: Tree | None = None  # of that number

    @property
    def bound(self) -> float:
        """No network loses less, in units of sample weight."""
        bounds = list(self._bounds)
        if self._tree is not None:
            bounds[self._number] = max(bounds[self._number], self._tree.bound)
        return min(bounds) * self._points.unit

    @property
    def nodes(self) -> int:
        """Nodes solved."""
        return self._nodes + (0 if self._tree is None else self._tree.nodes)

    def work(self, proceed: Callable[[], bool]) -> None:
        """Work until `proceed` says no, or nothing is left to do."""
        while min(self._bounds) < self._most and proceed():
            if self._tree is None:
                self._number = self._bounds.index(least := min(self._bounds))
                # the first tree finds out what its root brings
                aim = min(self._most, least + _AIM * self._step) if self._nodes else self._most
                self._tree = self._new_tree(aim)
            tree, first = self._tree, not self._nodes

            def go_on(tree: Tree = tree, first: bool = first) -> bool:
                return proceed() and not (first and tree.nodes)

            tree.run(go_on)
            if not (tree.closed or (first and tree.nodes)):
                return
            self._bounds[self._number] = max(self._bounds[self._number], tree.bound)
            self._nodes, self._tree = self._nodes + tree.nodes, None

    def state(self) -> Arrays:
        """Return what a later run needs to go on."""
        aim = None if self._tree is None else self._tree.best
        about = {"bounds": self._bounds, "nodes": self._nodes, "number": self._number, "aim": aim}
        arrays = {"part": np.array(json.dumps(about)), **cuts_to_arrays(self._cuts)}
        return arrays if self._tree is None else arrays | tree_to_arrays(self._tree, "0")

    def restore(self, arrays: Arrays) -> None:
        """Go on from stored arrays of the same part."""
        about = json.loads(str(arrays["part"]))
        bounds, nodes, number, aim = (about[name] for name in ("bounds", "nodes", "number", "aim"))
        values = bounds if aim is None else [*bounds, aim]
        if len(bounds) != len(self._programs) or not all(0.0 <= value <= self._most for value in values):
            raise ValueError("bounds of a part")
        if not all(type(count) is int and count >= 0 for count in (nodes, number)) or number >= len(bounds):
            raise ValueError("part")
        restore_cuts(arrays, self._cuts)
        self._bounds, self._nodes, self._number = [float(b) for b in bounds], nodes, number
        if aim is not None:
            self._tree = self._new_tree(float(aim))
            restore_tree(arrays, "0", self._tree, len(self._cuts))

    def _new_tree(self, aim: float) -> Tree:
        return Tree(self._programs[self._number], self._cuts, aim, _ignored)


@dataclass(frozen=True, slots=True)
class PartJob:
    """A job: the bound of a part.

    Attributes
    ----------
    part : ndarray of int
        Its points.
    seed : tuple of int
        Of its trees.
    seconds, limit : float
        Time to work, and time after which all work ends: what is begun then is of use to a later run.
    nodes : int
        Nodes to solve at most; 0 for no limit.
    begun : dict of str to ndarray, or None
        State of an earlier run to go on from.
    """

    part: Indices
    seed: tuple[int, int, int]
    seconds: float
    limit: float
    nodes: int
    begun: Arrays | None
    kind: ClassVar[str] = "part"

    def do(self, site: Site, stopped: Callable[[], bool]) -> PartBound:
        """Bound the part, with trees of its own."""
        began, broken = reading(), False
        part = _part_of(site.reduced, self.part, self.seed)
        if self.begun is not None:
            part.restore(self.begun)
        before = part.nodes

        def proceed() -> bool:
            nonlocal broken
            worked = reading() - began
            full = 0 < self.nodes <= part.nodes - before
            broken = broken or stopped() or full or worked >= self.limit
            return not broken and worked < self.seconds

        part.work(proceed)
        return PartBound(part.bound, part.nodes, part.state() if broken else None)


@dataclass(frozen=True, slots=True)
class PartBound:
    """What a `PartJob` brings: its bound, in units of sample weight, its nodes, and its state if it was broken off."""

    bound: float
    nodes: int
    state: Arrays | None


def _part_of(reduced: Presolved, points: Indices, seed: tuple[int, int, int]) -> _Part:
    return _Part(reduced.restricted(np.sort(points)), np.random.default_rng(seed))


def _ignored(network: Network) -> float:
    """Networks of a part are of no interest."""
    return math.inf
