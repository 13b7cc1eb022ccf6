"""Branch and cut for one output function: a tree over activations, with bounds that exact arithmetic confirms."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.branch_and_cut import linear_program as covering
from bdnn.branch_and_cut.cut_pool import GONE, Rows
from bdnn.branch_and_cut.frontier import Frontier, Node
from bdnn.branch_and_cut.proof_log import RANK
from bdnn.errors import BDNNError

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.guide import Guide
    from bdnn.branch_and_cut.program import Program
    from bdnn.branch_and_cut.rank_rows import RankRows
    from bdnn.network.network import Network
    from bdnn.types import Floats, Integers

_Verdict = Literal["closed", "open", "doubtful", "stopped"]

# rows that a linear program may hold: at most, for each column, and beyond those: its inverse is that large
_CAPACITY, _ROWS_PER_COLUMN, _SPARE_ROWS = 4000, 6, 500
# rows that stay free for cuts of one round, and rows beyond which those that do not bind are dropped
_FREE_ROWS, _KEPT_ROWS = 200, 120
# rounds of cuts at the root and below: bounds of the root count for all nodes, so it has more
_ROOT_ROUNDS, _ROUNDS = 100, 8
# linear programs of a separation, each with other costs
_ROOT_TRIES, _TRIES = 20, 6
# rounds in a row that raise the bound by less than a gain, in units of a typical cost, after which cutting ends
_ROOT_STALL, _STALL, _ROOT_GAIN, _GAIN = 6, 2, 1e-3, 0.02
# violated rows of known cuts: with more, none are sought, and of even more the worst are taken
_ENOUGH, _MAX_ROWS = 10, 60
# how much a row must be violated: well above the tolerances of the linear program
_VIOLATION = 1e-4
# strong branching: columns tried at a node, trials after which pseudo-costs are relied on, pivots of a trial
_STRONG, _RELIABLE, _TRIAL_PIVOTS = 6, 4, 60
# the smallest gain that counts in a product of two
_MIN_SCORE = 1e-4
# distance from 0 and 1 within which a column counts as an integer
_INTEGRAL = 1e-6
# linear programs of a node that may end in trouble before it is branched or given up
_RETRIES = 3
_NOTHING = np.zeros(0, dtype=np.int64)  # labels


class Tree(Frontier):
    """Branch and cut for one program.

    Parameters
    ----------
    program : Program
        To be solved.
    cuts : Cuts
        Inseparable sets, shared with other trees.
    best : float
        Objective of the best network known, in units.
    submit : callable
        Receives a network and returns its audited objective, in units.
    step : int
        Solutions that save less than this many units are of no interest; at least 1.
    record : bool
        Whether the proof is written down.
    ranks : RankRows or None
        Rank rows of the program, shared with other trees.
    guide : Guide or None
        Makes networks of fractional solutions, shared with other trees.

    Attributes
    ----------
    gain, tried : ndarray of shape (2, v)
        Pseudo-costs: how much branching on each column down and up has raised the bound, and how often.
    """

    def __init__(
        self,
        program: Program,
        cuts: Cuts,
        best: float,
        submit: Callable[[Network], float],
        *,
        step: int = 1,
        record: bool = False,
        ranks: RankRows | None = None,
        guide: Guide | None = None,
    ) -> None:
        self.ranks, self._ranks_taken, self._guide = ranks, 0, guide
        self.program, self.cuts, self._submit = program, cuts, submit
        self.v = len(program.cost)
        lower = np.zeros(self.v, dtype=np.int8)
        if program.always >= 0:
            lower[program.always] = 1
        super().__init__(Node(0, 0, 0, lower, np.ones(self.v, dtype=np.int8)), best, step, record)
        self.rows = Rows(program.cost, min(_CAPACITY, _ROWS_PER_COLUMN * self.v + _SPARE_ROWS))
        self._max_size = min(self.rows.room - _FREE_ROWS, _KEPT_ROWS + self.v // 4)
        self._trial = covering.dictionary(self.rows.scaled_cost, self.rows.room, self.rows.room)
        self._source: list[tuple[int, int]] = []  # of each row, as in the proofs of a `Record`
        self._taken = 0
        self.gain, self.tried = np.zeros((2, self.v)), np.zeros((2, self.v))
        for number, (_, _, columns) in enumerate(program.linking_rows):
            values = np.where(np.arange(len(columns)) == 0, 1, -1).astype(np.int64)
            self.rows.add(columns, values, 2 - len(columns))
            self._source.append((-1 - number, -1))

    def run(self, proceed: Callable[[], bool]) -> None:
        """Work until the tree is closed or `proceed`, which is asked at every node and round, says no."""
        self.rows.proceed = self.cuts.proceed = proceed
        try:
            while self.n_waiting and proceed():
                # still counted until decided, and before it is taken, so that an interruption loses nothing
                self._current = node = self._heap[0]
                heapq.heappop(self._heap)
                for child in self._process(node, proceed):
                    heapq.heappush(self._heap, child)
                self._current = None
        except BaseException:
            heapq.heapify(self._heap)  # which an interruption while nodes were compared leaves in any order
            # a node may be in the record already, as branched or closed, and then cannot be begun anew
            self.torn = self.record is not None and self._current is not None
            raise
        finally:
            self.rows.proceed = self.cuts.proceed = None

    def resume(self, nodes: list[Node], gain: Floats, tried: Floats, solved: int, doubtful: int) -> None:
        """Go on from the nodes and numbers of an earlier run; `doubtful` is -1 for none."""
        self.replace(nodes, solved, None if doubtful < 0 else doubtful)
        self.gain, self.tried = gain.copy(), tried.copy()

    def take_floor(self) -> None:
        """Raise what is left to do to what a rank row of all points proves; between runs."""
        if self.ranks is None or self.ranks.floor is None:
            return
        number = self.ranks.floor
        bound = self.ranks.rows[number].bound
        if bound > self.floor:
            rows, multipliers = [(-1 - number, RANK)], np.array([self.rows.scale], dtype=np.int64)
            self.lift(bound, 0 if self.record is None else self.record.proof(rows, multipliers))

    def cuts_in_use(self) -> set[int]:
        """Return the cuts whose rows the linear program holds."""
        slots = self.rows.slot
        return {cut for cut, _ in self._named(np.flatnonzero((slots >= 0) & (slots < GONE))) if cut >= 0}

    # one node

    def _process(self, node: Node, proceed: Callable[[], bool]) -> list[Node]:
        """Bound, cut and branch; return what is left to do, the first to go on with first."""
        lower, upper = node.lower.astype(np.float64), node.upper.astype(np.float64)
        state = self._bound_node(node, lower, upper, proceed)
        if state == "stopped":
            return [node]
        self.nodes += 1
        if state == "closed":
            return []
        if state == "doubtful":
            return self._give_up(node)
        x = self.rows.D.x[: self.v].copy()
        self._imitate(x)
        column, first = self._choose(x, lower, upper)
        if column < 0:
            return self._integral(node, x)
        children = []
        ids = self.record.branch(node.record_id, column) if self.record else (0, 0)
        for side in (first, 1 - first):
            low, high = node.lower.copy(), node.upper.copy()
            (low if side else high)[column] = side
            children.append(
                Node(node.bound, node.minus_depth - 1, next(self._serial), low, high, ids[side], node.proof)
            )
        return children

    def _give_up(self, node: Node) -> list[Node]:
        """Leave a node undecided, for good."""
        self.doubtful = node.bound if self.doubtful is None else min(self.doubtful, node.bound)
        if self.record:
            self.record.close(node.record_id, node.proof)
        return []

    def _bound_node(self, node: Node, lower: Floats, upper: Floats, proceed: Callable[[], bool]) -> _Verdict:
        """Solve and cut until the node is closed, or cuts bring nothing; fix columns by reduced costs."""
        if self.record and node.bound > self.cutoff:
            self.record.close(node.record_id, node.proof)
            return "closed"
        rows, root = self.rows, node.minus_depth == 0
        last, stalled, failures = -np.inf, 0, 0
        for number in itertools.count():
            if number and not proceed():
                return "stopped"
            status, total, unsure = rows.bound(lower, upper, self.cutoff, 2.0 * max(self.best, 1.0))
            failures += status == covering.UNFINISHED
            if not self._sound(unsure):
                continue
            if total > self.cutoff * rows.scale:
                if self.record:
                    self.record.close(node.record_id, self._proof())
                return "closed"
            if status != covering.OPTIMAL:
                rows.rebuild()
                failures += 1
                if failures > _RETRIES:
                    return "open" if status == covering.CUT_OFF else "doubtful"
                continue
            if (bound := -(-total // rows.scale)) > node.bound:
                node.bound = bound
                if self.record:
                    node.proof = self._proof()
            objective = rows.objective(rows.D)
            self._fix(node, lower, upper, total)
            x = rows.D.x[: self.v].copy()
            if rows.D.size[0] > self._max_size or rows.room < _FREE_ROWS:
                rows.drop()
            stalled = stalled + 1 if objective - last < (_ROOT_GAIN if root else _GAIN) else 0
            last = objective
            if number >= (_ROOT_ROUNDS if root else _ROUNDS) or stalled >= (_ROOT_STALL if root else _STALL):
                # its rows count, too
                return "open"
            if not self._cut(x, lower, _ROOT_TRIES if root else _TRIES):
                return "open"
        raise AssertionError

    def _fix(self, node: Node, lower: Floats, upper: Floats, total: int) -> None:
        """Fix columns whose other value would cost too much."""
        slack = int(np.floor(self.cutoff * self.rows.scale)) - total
        fixed = self.rows.fix(slack, (node.lower, node.upper), (lower, upper))
        if fixed is None or not self.record:
            return
        proof = self._proof()
        for columns, value in zip(fixed, (0, 1), strict=True):
            for column in columns.tolist():
                ids = self.record.branch(node.record_id, column)
                self.record.close(ids[1 - value], proof)
                node.record_id = ids[value]

    # rows

    def _named(self, labels: Integers) -> list[tuple[int, int]]:
        return [self._source[label] for label in labels.tolist()]

    def _proof(self) -> int:
        """Record the proof of the last bound; return its number."""
        if self.record is None:
            raise BDNNError("a tree that is not recorded has no proofs")
        labels, multipliers = self.rows.proof()
        return self.record.proof(self._named(labels), multipliers)

    def _sound(self, labels: Integers) -> bool:
        """Prove the cuts behind some rows; take out those that cannot be proven."""
        if not len(labels):
            return True
        proven = self.cuts.proven({cut for cut, _ in self._named(labels) if cut >= 0})
        if bad := {cut for cut, holds in proven.items() if not holds}:
            self.rows.discard([label for label, (cut, _) in enumerate(self._source) if cut in bad])
            return False
        self.rows.mark_sure(labels)
        return True

    def _store(self) -> Integers:
        """Make rows of new cuts for all neurons, and of new rank rows; return their labels."""
        n_cuts, n_ranks = len(self.cuts), len(self.ranks) if self.ranks is not None else 0
        if (self._taken, self._ranks_taken) == (n_cuts, n_ranks):
            return _NOTHING
        labels: list[int] = []
        for number in self._new_sets():
            stored = self.rows.add_set(self.cuts.sets[number], self.program.columns, self.program.always)
            for neuron, label in enumerate(stored.tolist()):
                if label >= 0:
                    self._source.append((number, neuron))
                    labels.append(label)
        self._taken = n_cuts
        if self.ranks is not None:
            entered = self.ranks.entered(self.rows, self._ranks_taken)
            self._source += [(-1 - rank, RANK) for rank, _ in entered]
            labels += [label for _, label in entered]
            self._ranks_taken = n_ranks
        return np.array(labels, dtype=np.int64)

    def _new_sets(self) -> Iterable[int]:
        """Return the sets of use here that no rows were made of yet."""
        return range(self._taken, len(self.cuts))

    def _cut(self, x: Floats, lower: Floats, tries: int) -> int:
        """Enter violated rows, known ones first; return how many."""
        self._store()
        entered = self.rows.enter_violated(x, most=_MAX_ROWS)
        if entered > _ENOUGH:
            return entered
        for neuron in range(self.program.n_neurons):
            columns = self.program.columns[:, neuron]
            for members in self.cuts.separate(x[columns], tries, lower[columns] > 0.5):
                self.cuts.add(members)
        new = self._store()
        return entered + (self.rows.enter(new[self.rows.gaps(new, x) < -_VIOLATION]) if len(new) else 0)

    # branching

    def _choose(self, x: Floats, lower: Floats, upper: Floats) -> tuple[int, int]:
        """Return the column to branch on, -1 if all are integers, and the side to begin with."""
        D = self.rows.D
        free = np.flatnonzero((upper > lower) & (np.abs(x - 0.5) < 0.5 - _INTEGRAL) & (D.place[: self.v] < 0))
        if not len(free):
            return -1, 0
        tried = np.maximum(self.tried, 1.0)
        mean = self.gain.sum(axis=1) / np.maximum(self.tried.sum(axis=1), 1.0)
        expected = np.where(self.tried > 0, self.gain / tried, mean[:, None])[:, free]
        distance = np.array([x[free], 1.0 - x[free]])
        promised = covering.penalties_of(D, free)
        scores = np.prod(np.maximum(np.maximum(expected * distance, promised), _MIN_SCORE), axis=0)
        best, first, best_score, since, trials = -1, 0, -1.0, 0, 0
        objective = self.rows.objective(D)
        for k in np.argsort(-scores, kind="stable").tolist():
            column = int(free[k])
            if np.all(self.tried[:, column] >= _RELIABLE):
                gains = expected[:, k] * distance[:, k]
            elif trials < _STRONG:
                trials += 1
                gains = self._try(column, objective)
                self.gain[:, column] += gains / distance[:, k]
                self.tried[:, column] += 1.0
            else:
                continue
            score = float(np.prod(np.maximum(gains, _MIN_SCORE)))
            if score > best_score:
                best, first, best_score, since = column, int(gains[1] < gains[0]), score, 0
            else:
                since += 1
                if since >= _STRONG:
                    break
        return best, first

    def _try(self, column: int, objective: float) -> Floats:
        """Return by how much the objective rises if a column is 0, and if it is 1."""
        gains = np.empty(2)
        for side in (0, 1):
            covering.copy_into(self._trial, self.rows.D)
            (self._trial.lower if side else self._trial.upper)[column] = float(side)
            status = self.rows.resolve(self._trial, self.cutoff, _TRIAL_PIVOTS)
            reached = self.rows.objective(self._trial)
            if status in (covering.CUT_OFF, covering.INFEASIBLE):
                reached = max(self.best, objective + 0.5)
            gains[side] = max(reached - objective, 0.0)
        return gains

    def _imitate(self, x: Floats) -> None:
        """Look for a better network near a fractional solution, now and then."""
        if self._guide is None:
            return
        gap = (self.best - self.bound) / max(self.best, 1.0)
        network = self._guide.network(self.program, x, gap)
        if network is not None:
            self.best = min(self.best, self._submit(network))

    def evaluate(self, weights: Floats) -> float:
        """Return what a network costs."""
        return self._submit(self.program.network(weights))

    def _integral(self, node: Node, x: Floats) -> list[Node]:
        """Make a network of an integral solution, or find out why there is none."""
        if self._cut(x, x, _ROOT_TRIES):  # the rounds were used up before
            return [node]
        if np.any(np.abs(x - 0.5) < 0.5 - _INTEGRAL):  # of columns that were fixed since the program was solved
            return [node]
        given = x > 0.5
        weights = np.empty((self.program.n_neurons, self.cuts.points.rows.shape[1]))
        for neuron in range(self.program.n_neurons):
            separating, inseparable = self.cuts.weights(given[self.program.columns[:, neuron]])
            if inseparable is not None and self.cuts.add(inseparable) >= 0:
                return [node]
            if separating is None:
                return self._give_up(node)
            weights[neuron] = separating
        self.best = min(self.best, self.evaluate(weights))
        # everything in the node costs at least as much, which its rows show when it is solved again
        return [node] if node.bound > self.cutoff else self._give_up(node)
