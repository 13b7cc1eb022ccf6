"""Bounds by clauses learned from conflicts: they are found where linear programs see nothing.

With a hidden layer, the linear program of a tree gives every neuron a share of every point, and its bound stays near 0.
But a solution that costs at most a few units is soon refuted by logic: an inseparable set is a clause for each neuron,
a linking row is one, and a limit on the costs stands beside them. Activations that meet all clauses known are looked
for; where a neuron cannot have them, inseparable sets say why, and are new clauses. That ends with a network, or with a
refutation, which is checked before it counts.

Notes
-----
Clauses for what a continuous relaxation cannot have are called lazy clause generation, or satisfiability modulo
theories (Nieuwenhuis, Oliveras & Tinelli 2006, doi:10.1145/1217856.1217859); here the theory is that of separability.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import Clauses, refutes
from bdnn.branch_and_cut.lemmas import Lemmas

if TYPE_CHECKING:
    from bdnn.branch_and_cut.rank_rows import RankRows
    from bdnn.branch_and_cut.tree import Tree
    from bdnn.types import Bools, Floats, Integers

# conflicts until new sets are taken in; literals and reasons that are kept: 100 MB
_CONFLICTS, _MOST_NUMBERS = 2000, 25_000_000
# sets sought for a neuron: rounds, after each of which one point of a set is given up, and linear programs in a round
_ROUNDS, _TRIES = 100, 3

_REFUTED, _MODEL = 0, 1  # what `Clauses.solve` returns


class Verdict(Enum):
    """What came of a search."""

    REFUTED = "refuted"
    """No solution costs so little: there is a new rank row of all points."""
    FOUND = "found"
    """There was a solution: its network was evaluated."""
    FAILED = "failed"
    """It cannot be decided: rounding errors, or too many clauses."""
    INTERRUPTED = "interrupted"
    """It can be gone on with."""


class ClauseSearch:
    """A search for a solution of a program that costs at most so much.

    Parameters
    ----------
    ranks : RankRows
        Of the program; receives a row of all points if there is none.
    most : int
        What the solution may cost, in units.
    evaluate : callable
        Receives the weights of a network, which go with the signed rows, and returns what it costs.
    rng : numpy.random.Generator
        Of the choice of sets.
    record : bool
        Whether the refutation is written down.
    """

    def __init__(
        self,
        ranks: RankRows,
        most: int,
        evaluate: Callable[[Floats], float],
        rng: np.random.Generator,
        *,
        record: bool,
    ) -> None:
        self._ranks, self._program, self._cuts = ranks, ranks.program, ranks.cuts
        self._most, self._evaluate, self._rng, self._record = most, evaluate, rng, record
        self._wrong: set[int] = set()  # sets that could not be proven
        self._begin()

    def work(self, proceed: Callable[[], bool]) -> Verdict:
        """Go on until there is a verdict, or `proceed` says no."""
        self._cuts.proceed = proceed
        try:
            while proceed():
                self._take_sets()
                outcome = self._clauses.solve(_CONFLICTS, proceed)
                if outcome == _REFUTED:
                    verdict = self._refute()
                elif outcome == _MODEL:
                    verdict = self._realize(self._clauses.columns_on(), proceed)
                else:
                    # the more sets, the fewer conflicts
                    self._seek_sets(self._clauses.columns_on())
                    verdict = Verdict.FAILED if self._clauses.numbers > _MOST_NUMBERS else Verdict.INTERRUPTED
                if verdict is not Verdict.INTERRUPTED:
                    return verdict
            return Verdict.INTERRUPTED
        finally:
            self._cuts.proceed = None

    def _begin(self) -> None:
        program = self._program
        self._clauses, self._taken = Clauses(program.cost, self._most), 0
        # of each clause, as in `Lemmas.rows`
        self._source: list[tuple[int, int]] = []
        for number in range(len(program.linking_rows) + (program.always >= 0)):
            self._source.append((-1 - number, -1))
            self._clauses.add(self._clause(*self._source[-1]))

    def _take_sets(self) -> None:
        """Make clauses of new sets for all neurons."""
        for number in range(self._taken, len(self._cuts)):
            if number not in self._wrong:
                self._clauses.add_set(self._cuts.sets[number], self._program.columns)
                self._source += [(number, neuron) for neuron in range(self._program.n_neurons)]
        self._taken = len(self._cuts)

    def _realize(self, x: Bools, proceed: Callable[[], bool]) -> Verdict:
        """Make a network of a solution, or find sets that show why there is none."""
        if self._seek_sets(x) or not proceed():
            return Verdict.INTERRUPTED
        given = x[self._program.columns].T
        weights = np.empty((self._program.n_neurons, self._cuts.points.rows.shape[1]))
        for neuron, each in enumerate(given):
            separating, inseparable = self._cuts.weights(each)
            if inseparable is not None and self._cuts.add(inseparable) >= 0:
                return Verdict.INTERRUPTED
            if separating is None:
                return Verdict.FAILED
            weights[neuron] = separating
        return Verdict.FOUND if self._evaluate(weights) <= self._most else Verdict.FAILED

    def _seek_sets(self, x: Bools) -> int:
        """Find sets that neurons cannot have; return how many are new."""
        before = len(self._cuts)
        for given in x[self._program.columns].T:
            self._seek(given.astype(np.float64), given.copy())
        return len(self._cuts) - before

    def _seek(self, given: Floats, avoided: Bools) -> None:
        """Find many sets that differ: one requirement of each is given up before the next."""
        for _ in range(_ROUNDS):
            found = self._cuts.separate(given, _TRIES, avoided)
            if not found:
                return
            for support in found:
                self._cuts.add(support)
            one = self._cuts.points.row_requirement[self._rng.choice(found[0])]
            given[one], avoided[one] = 1.0, True

    def _refute(self) -> Verdict:
        """Store what was shown, if it holds; else go on without the sets that could not be proven."""
        numbers, literals, literal_ends, reasons, reason_ends = self._clauses.refutation()
        rows = np.array([self._source[number] for number in numbers.tolist()], dtype=np.int64).reshape(-1, 2)
        lemmas = Lemmas(rows, literals, literal_ends, reasons, reason_ends)
        if wrong := {cut for cut, sure in self._cuts.proven(lemmas.cuts).items() if not sure}:
            self._wrong |= wrong
            self._begin()
            return Verdict.INTERRUPTED
        clauses = [self._clause(*row) for row in rows.tolist()]
        ends = np.cumsum([0, *map(len, clauses)])
        given = np.concatenate([*clauses, np.zeros(0, dtype=np.int64)])
        if not refutes(self._program.cost, self._most, given, ends, literals, literal_ends, reasons, reason_ends):
            return Verdict.FAILED
        points = np.arange(len(self._program.points), dtype=np.int64)
        self._ranks.add(points, self._most + 1, lemmas if self._record else None)
        return Verdict.REFUTED

    def _clause(self, cut: int, neuron: int) -> Integers:
        """Return the literals of a row; beyond the linking rows stands the column that is always 1."""
        if cut >= 0:
            return 2 * np.unique(self._program.columns[self._cuts.sets[cut], neuron])
        if -1 - cut == len(self._program.linking_rows):
            return np.array([2 * self._program.always], dtype=np.int64)
        columns = self._program.linking_rows[-1 - cut][2]
        return np.concatenate([2 * columns[:1], 2 * columns[1:] + 1])


class ClauseSearches:
    """The search for the tree that holds the bound down, one after another.

    Parameters
    ----------
    seed : int
        Of the choice of sets.
    record : bool
        Whether refutations are written down.
    """

    def __init__(self, seed: int, *, record: bool) -> None:
        self._seed, self._record = seed, record
        self._number, self._most = -1, -1
        self._search: ClauseSearch | None = None
        self._failed: set[int] = set()  # programs for which nothing more is tried

    def promise(self, trees: list[Tree]) -> bool:
        """Whether there is something to look for: only with hidden neurons linear programs see too little."""
        number = self._next(trees)
        tree = trees[number]
        if tree.program.n_neurons < 2 or not tree.program.points.exact or number in self._failed:
            return False
        return tree.ranks is not None and tree.bound <= tree.cutoff

    def work(self, trees: list[Tree], proceed: Callable[[], bool]) -> bool:
        """Look for a solution that costs no more than the lowest bound; return whether that was decided."""
        number = self._next(trees)
        tree = trees[number]
        least = int(tree.program.points.weight.min())
        most = min(int(tree.bound) + max(least, 1) - 1, int(tree.cutoff))
        if self._search is None or (number, most) != (self._number, self._most):
            assert tree.ranks is not None
            self._number, self._most = number, most
            rng = np.random.default_rng([self._seed, number, most])
            self._search = ClauseSearch(tree.ranks, most, tree.evaluate, rng, record=self._record)
        verdict = self._search.work(proceed)
        if verdict is Verdict.INTERRUPTED:
            return False
        self._search = None
        if verdict is Verdict.FAILED:
            self._failed.add(number)
        return verdict is not Verdict.FAILED

    def _next(self, trees: list[Tree]) -> int:
        """Return the tree that holds the bound down: of several, the one whose search was begun."""

        def place(number: int) -> tuple[float, bool, int]:
            return trees[number].bound, self._search is None or number != self._number, trees[number].nodes

        return min(range(len(trees)), key=place)
