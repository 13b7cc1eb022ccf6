"""Rank rows of all programs of a problem: they are sought where the bound is lowest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn.branch_and_cut.rank_rows import RankRows, ranks_to_arrays, restore_ranks
from bdnn.branch_and_cut.rank_work import RankWork
from bdnn.branch_and_cut.tree import Tree

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.program import Program
    from bdnn.branch_and_cut.proof_log import Record
    from bdnn.branch_and_cut.rank_blocks import Separators
    from bdnn.network.network import Network
    from bdnn.types import Array


class RankSearches:
    """Rank rows of some programs.

    Parameters
    ----------
    programs : list of Program
        One for each output function.
    cuts : Cuts
        Inseparable sets, shared with trees.
    submit : callable
        Receives a network and returns its audited objective, in units.
    seed : int
        Of the choice of subsets.
    separators : Separators or None
        Finds networks of one neuron.
    record : bool
        Whether proofs are written down.

    Attributes
    ----------
    rows : list of RankRows
        One for each program.
    """

    def __init__(
        self,
        programs: list[Program],
        cuts: Cuts,
        submit: Callable[[Network], float],
        seed: int,
        separators: Separators | None,
        *,
        record: bool,
    ) -> None:
        self.rows = [RankRows(program, cuts) for program in programs]
        self._works: list[RankWork | None] = [None] * len(programs)
        self._earlier = 0  # nodes of earlier runs
        self._submit, self._seed, self._separators, self._record = submit, seed, separators, record

    @property
    def nodes(self) -> int:
        """Nodes solved, by earlier runs too."""
        return self._earlier + sum(work.nodes for work in self._works if work is not None)

    @property
    def records(self) -> list[Record]:
        """The records of all rank rows, if proofs are written down."""
        return [row.record for ranks in self.rows for row in ranks.rows if row.record is not None]

    def done(self, trees: list[Tree]) -> bool:
        """Whether no more rank rows are sought for the one of `trees` that holds the bound down."""
        work = self._works[_lowest(trees)]
        return work is not None and work.done

    def work(self, trees: list[Tree], proceed: Callable[[], bool]) -> None:
        """Seek rank rows for the tree that holds the bound down, and begin it anew where they help.

        Parameters
        ----------
        trees : list of Tree
            Of the programs; a new one takes the place of one that has not proven more than its root.
        proceed : callable
            Asked at every node and round; if it says no, the work can be gone on with.
        """
        number = _lowest(trees)
        work = self._works[number]
        if work is None:
            seed = [self._seed, number, len(self.rows[number])]
            work = RankWork(self.rows[number], seed, self._separators, record=self._record)
            self._works[number] = work
        deals = work.deals
        work.work(proceed)
        if work.deals > deals:
            trees[number] = self._renewed(trees[number], proceed)

    def _renewed(self, tree: Tree, proceed: Callable[[], bool]) -> Tree:
        """Return a new tree if its root proves more than the old one has."""
        new = Tree(
            tree.program, tree.cuts, tree.best, self._submit, step=tree.step, record=self._record, ranks=tree.ranks
        )
        new.run(lambda: not new.nodes and proceed())
        if new.bound <= tree.bound:
            return tree
        new.nodes += tree.nodes
        return new

    def state(self) -> dict[str, Array]:
        """Return the rank rows, to be stored."""
        arrays: dict[str, Array] = {"rank nodes": np.array(self.nodes, dtype=np.int64)}
        for number, ranks in enumerate(self.rows):
            arrays |= ranks_to_arrays(ranks, f"{number}")
        return arrays

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take over the rank rows that an earlier run on the same programs has stored.

        The cuts must have been restored. Errors of damaged arrays are those of
        `bdnn.branch_and_cut.checkpoint.undamaged`.
        """
        self._earlier = int(arrays.get("rank nodes", 0))
        if self._earlier < 0:
            raise ValueError("rank nodes")
        for number, ranks in enumerate(self.rows):
            restore_ranks(arrays, f"{number}", ranks, record=self._record)


def _lowest(trees: list[Tree]) -> int:
    return min(range(len(trees)), key=lambda k: trees[k].bound)
