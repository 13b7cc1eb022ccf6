"""Probing trees (destructive bounds): they aim lower than the best network, close sooner, and lift other trees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.checkpoint import Arrays, restore_tree, tree_to_arrays
from bdnn.branch_and_cut.tree import Tree

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.guide import Guide
    from bdnn.branch_and_cut.program import Program
    from bdnn.branch_and_cut.rank_rows import RankRows
    from bdnn.network.network import Network

# share of the gap by which a probing tree is to raise the bound: small aims are reached soon
_SHARE = 0.1


class ProbingTrees:
    """Raises the bounds of the trees of a problem while these are far from the best network.

    A tree that is only to show that nothing costs less than a little more than its bound fixes more columns, and its
    nodes are closed higher up. Its cuts remain.

    Parameters
    ----------
    programs : list of Program
        One for each output function.
    cuts : Cuts
        Inseparable sets, shared with other trees.
    submit : callable
        Receives a network and returns its audited objective, in units.
    ranks : list of RankRows
        Of the same programs.
    guide : Guide or None
        Makes networks of fractional solutions.

    Attributes
    ----------
    nodes : int
        Nodes solved.
    """

    def __init__(
        self,
        programs: list[Program],
        cuts: Cuts,
        submit: Callable[[Network], float],
        ranks: list[RankRows],
        guide: Guide | None = None,
    ) -> None:
        self._programs, self._cuts, self._submit, self._ranks, self._guide = programs, cuts, submit, ranks, guide
        self._trees: list[Tree | None] = [None] * len(programs)
        self._nodes = 0

    @property
    def nodes(self) -> int:
        """Nodes solved."""
        return self._nodes + sum(tree.nodes for tree in self._trees if tree is not None)

    def state(self) -> Arrays:
        """Return the trees that are being worked on, to be stored."""
        begun = [tree is not None for tree in self._trees]
        arrays: Arrays = {"scouts": np.array([self._nodes, *begun], dtype=np.int64)}
        for number, tree in enumerate(self._trees):
            if tree is not None:
                arrays |= {f"aim {number}": np.array(tree.best), **tree_to_arrays(tree, f"scout {number}")}
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """Go on with the trees of an earlier run on the same programs, if it has stored any.

        The cuts must have been restored. Errors of damaged arrays are those of
        `bdnn.branch_and_cut.checkpoint.undamaged`.
        """
        if "scouts" not in arrays:  # version 1
            return
        self._nodes, *begun = arrays["scouts"].tolist()
        if self._nodes < 0 or len(begun) != len(self._trees):
            raise ValueError("scouts")
        for number in np.flatnonzero(begun).tolist():
            aim = float(arrays[f"aim {number}"])
            if not math.isfinite(aim):
                raise ValueError("aim of a probing tree")
            tree = self._new_tree(number, aim)
            restore_tree(arrays, f"scout {number}", tree, len(self._cuts))
            self._trees[number] = tree

    def work(self, trees: list[Tree], proceed: Callable[[], bool]) -> None:
        """Work on what holds the bound down, until `proceed` says no or nothing is to be gained; lift `trees`.

        Parameters
        ----------
        trees : list of Tree
            Of the same programs; they are not recorded.
        proceed : callable
            Asked at every node and round.
        """
        while proceed():
            if (found := self.lowest(trees)) is None:
                return
            number, tree = found
            tree.run(proceed)
            if not tree.open and not self.close(number, trees):
                return

    def lowest(self, trees: list[Tree]) -> tuple[int, Tree] | None:
        """Return a tree that may lift the one of `trees` that holds the bound down, and the number of its program.

        None if there is nothing to be gained.
        """
        number = min(range(len(trees)), key=lambda k: trees[k].bound)
        main, tree = trees[number], self._trees[number]
        if tree is None:
            aim = main.bound + max(1, math.ceil(_SHARE * (main.best - main.bound)))
            if aim >= main.best:
                return None
            tree = self._trees[number] = self._new_tree(number, aim)
        return number, tree

    def begun(self) -> list[tuple[int, Tree]]:
        """Return the trees that are being worked on, and the numbers of their programs."""
        return [(number, tree) for number, tree in enumerate(self._trees) if tree is not None]

    def close(self, number: int, trees: list[Tree]) -> bool:
        """Lift one of `trees` by the tree of the same program, which is done; return whether that raised its bound."""
        tree = self._trees[number]
        if tree is None:
            return False
        self._nodes += tree.nodes
        self._trees[number] = None
        if tree.bound <= trees[number].bound:  # rounding errors
            return False
        trees[number].lift(int(tree.bound))
        return True

    def _new_tree(self, number: int, aim: float) -> Tree:
        return Tree(self._programs[number], self._cuts, aim, self._submit, ranks=self._ranks[number], guide=self._guide)
