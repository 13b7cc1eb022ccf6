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
    from bdnn.branch_and_cut.lemmas import Lemmas
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
        self._promising: set[int] = set()  # programs that have new rank rows
        self._renewed: dict[int, Tree] = {}  # new trees of some programs, of which the root is being solved
        self._earlier = 0  # nodes of earlier runs
        self._submit, self._seed, self._separators, self._record = submit, seed, separators, record

    @property
    def nodes(self) -> int:
        """Nodes solved, by earlier runs too."""
        return self._earlier + sum(work.nodes for work in self._works if work is not None)

    @property
    def records(self) -> list[Record | Lemmas]:
        """The records of all rank rows, if proofs are written down."""
        return [row.record for ranks in self.rows for row in ranks.rows if row.record is not None]

    def done(self, trees: list[Tree]) -> bool:
        """Whether nothing is left to do for the one of `trees` that holds the bound down."""
        work = self._works[number := self._lowest(trees)]
        return work is not None and work.done and not self.promises(number)

    @property
    def renewing(self) -> bool:
        """Whether a tree is being begun anew."""
        return bool(self._renewed)

    def promises(self, number: int) -> bool:
        """Whether a program has rank rows from which its tree was not begun anew."""
        return number in self._promising or number in self._renewed

    def work(self, trees: list[Tree], proceed: Callable[[], bool]) -> None:
        """Seek rank rows for the tree that holds the bound down.

        Parameters
        ----------
        trees : list of Tree
            Of the programs.
        proceed : callable
            Asked at every node and round; if it says no, the work can be gone on with.
        """
        number = self._lowest(trees)
        work = self._works[number]
        if work is None:
            seed = [self._seed, number, len(self.rows[number])]
            work = RankWork(self.rows[number], seed, self._separators, record=self._record)
            self._works[number] = work
        deals = work.deals
        work.work(proceed)
        if work.deals > deals:
            self._promising.add(number)

    def renew(self, trees: list[Tree], proceed: Callable[[], bool]) -> bool:
        """Begin the tree anew that holds the bound down if it has new rank rows; return whether that was to be done.

        Parameters
        ----------
        trees : list of Tree
            Of the programs; a new one takes the place of one that has not proven more than the root of the new one.
        proceed : callable
            Asked at every round; if it says no, the work can be gone on with.
        """
        number = self._lowest(trees)
        old, new = trees[number], self._renewed.get(number)
        if new is None:
            if number not in self._promising:
                return False
            self._promising.discard(number)
            new = self._renewed[number] = Tree(
                old.program, old.cuts, old.best, self._submit, step=old.step, record=self._record, ranks=old.ranks
            )
        new.best = min(new.best, old.best)
        new.run(lambda: not new.nodes and proceed())
        if new.nodes or not new.open:
            del self._renewed[number]
            if new.bound > old.bound:
                new.nodes += old.nodes
                trees[number] = new
        return True

    def _lowest(self, trees: list[Tree]) -> int:
        """Return the tree that holds the bound down: of several, one for which there is something to do."""

        def place(number: int) -> tuple[float, bool]:
            work = self._works[number]
            return trees[number].bound, work is not None and work.done and not self.promises(number)

        return min(range(len(trees)), key=place)

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
