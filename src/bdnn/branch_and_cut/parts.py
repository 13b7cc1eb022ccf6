"""Bounds at any size: the data are dealt into parts, and no network can do better than best on every part.

The least losses of disjoint parts of the data add up to a bound on the loss on all of them, for every architecture. A
part of a few hundred points is small enough for branch and cut, and its bound is far above what disjoint inseparable
sets of the same points would give, since it may count several errors among sets that overlap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.checkpoint import Arrays, cuts_to_arrays, restore_cuts, restore_tree, tree_to_arrays
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import Points, programs
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading

if TYPE_CHECKING:
    from bdnn.branch_and_cut.incumbents import Incumbents
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


class Parts:
    """Raises a bound part by part, then with larger parts, until the budget is used up.

    How the points are dealt depends on the seed and the number of the deal alone, so that a run can go on in the midst
    of a deal. It can be kept whenever there is a report.

    Parameters
    ----------
    incumbents : Incumbents
        Of a problem that `bdnn.branch_and_cut.program.covers`.
    """

    def __init__(self, incumbents: Incumbents) -> None:
        self._incumbents, self._points = incumbents, Points.of(incumbents.reduced)
        self._least = max(_MIN_POINTS, _POINTS_PER_WEIGHT * self._points.rows.shape[1])
        self._seed, self._deal, self._number = incumbents.budget.seed, 0, 0
        # of the parts of this deal that are done, in units of sample weight, and of all parts so far
        self._total, self._nodes = incumbents.reduced.irreducible, 0
        self._part: _Part | None = None
        self._reported = 0.0

    def state(self) -> Arrays:
        """Return what a later run needs to go on."""
        about = {name: getattr(self, f"_{name}") for name in ("seed", "deal", "number", "total", "nodes")}
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
        if "part" in arrays:
            self._part = self._new_part(self._dealt()[self._number])
            self._part.restore(arrays)

    def work(self) -> str:
        """Work until a limit is reached or nothing is left to do; return what the bound is that of."""
        while True:
            parts = self._dealt()
            message = f"the data are large: the bound is that of {len(parts)} parts of about {len(parts[0])} points"
            while self._number < len(parts) and not self._stopped:
                seconds = self._incumbents.budget.remaining / (len(parts) - self._number)
                if len(parts) > 1:
                    seconds = min(seconds, _MAX_SECONDS)
                if self._part is None:
                    self._part = self._new_part(parts[self._number])
                self._work_on(self._part, reading() + seconds)
                self._report()
                if not self._stopped:  # else a later run goes on with it
                    self._total += self._part.bound
                    self._nodes += self._part.nodes
                    self._number, self._part = self._number + 1, None
            if self._stopped or len(parts) == 1:
                return message
            self._deal, self._number, self._total = self._deal + 1, 0, self._incumbents.reduced.irreducible

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
        rng = np.random.default_rng([self._seed, self._deal, self._number])
        return _Part(self._incumbents.reduced.restricted(np.sort(points)), rng)

    def _work_on(self, part: _Part, deadline: float) -> None:
        def proceed() -> bool:
            self._count()
            if reading() - self._reported > _REPORT:
                self._report()
            return reading() < deadline and not self._stopped

        part.work(proceed)

    def _count(self) -> None:
        self._incumbents.count_nodes(self._nodes + (0 if self._part is None else self._part.nodes))

    def _report(self) -> None:
        """Raise the bound to that of the parts that are done and of the one that is worked on, and report."""
        self._count()
        self._reported = reading()
        total = self._total + (0.0 if self._part is None else self._part.bound)
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


def _ignored(network: Network) -> float:
    """Networks of a part are of no interest."""
    return math.inf
