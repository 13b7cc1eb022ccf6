"""Exact training with a limit on the columns, or with signs: branching over the columns, above branch and cut.

A bound for networks that may use a set of columns holds for those that use any part of it, whatever else is asked of
them. So a node is a set of columns that may be used, some of which are taken for sure: if its bound, that of the plain
branch and cut over activations with real weights, is no better than the best network, no choice below it is. Else a
column is left out in one child, where the bound rises, and taken for sure in the other one, where it stays. With as
many columns as allowed the branch and cut decides the node, or for integer weights all of them are gone through.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.backends.threads import NODE_LIMIT, TIME_LIMIT
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import covers, n_columns, programs
from bdnn.branch_and_cut.tree import Tree
from bdnn.clock import reading
from bdnn.methods import exact_enumeration
from bdnn.methods.starts import linear
from bdnn.problem.audit import audit
from bdnn.problem.presolve import Presolved, presolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.types import Indices

# seconds between reports
_REPORT = 0.2
# nodes of branch and cut for a set of columns with several choices below it, and how many these must be: a bound that
# closes nothing is time lost
_NODES, _WORTH = 1, 6
# seconds of going through all weights that are not worth a bound first
_QUICK = 0.15
# seconds for a choice of columns beside its weights
_SECONDS_PER_CHOICE = 2e-3
# share of the time for a bound on all columns before all weights are gone through
_ROOT_SHARE = 0.05
# share of the time that is left in which all weights must be gone through by estimate, or bounds come first
_WEIGHTS_SHARE = 0.9
# points times neurons beyond which trees are too slow to be of use
_MAX_COLUMNS = 2500
# of the objective: what a better network must save where costs are rounded
_MIN_GAIN = 2e-7


def relaxed(problem: Problem, reduced: Presolved) -> Presolved:
    """Return the problem without limits, with real weights on the inputs that its networks see."""
    X = np.asarray(problem.X)
    if reduced.grid is not None:
        X = reduced.grid.quantise(X.astype(np.float64))
    free = replace(
        problem, X=X, weights="continuous", weight_bound=1, max_features=None, monotonic=None, feature_groups=None,
        validation=None, y=problem.classes[problem.codes], copy=False,
    )  # fmt: skip
    return presolve(free)


@dataclass(order=True, slots=True)
class _Node:
    """Columns that may be used, and those of them that are taken for sure: `all_of_them` have weights.

    Nodes are ordered by bound; among equals the one with the most decided columns comes first.
    """

    bound: float
    minus_decided: int
    serial: int
    allowed: tuple[int, ...] = field(compare=False)
    taken: tuple[int, ...] = field(compare=False)
    bounded: bool = field(compare=False)
    all_of_them: bool = field(compare=False, default=False)


class SupportTree:
    """Branching over columns.

    Parameters
    ----------
    run : Run
        With a best network; receives others, and bounds.
    budget : Budget
        Limits of the work.
    bounds : bool, default=True
        Whether branch and cut bounds sets of columns; else all weights of all choices are gone through.

    Attributes
    ----------
    undecided : float
        Least bound of the choices of columns that could not be decided; infinite if there are none.
    """

    def __init__(self, run: Run, budget: Budget, *, bounds: bool = True) -> None:
        self._budget = budget
        self._serial, self._reported, self._nodes = itertools.count(), 0.0, 0
        self._current: _Node | None = None
        # until something is known of parts of it
        self._heap = [_Node(run.bound, 0, next(self._serial), (), (), False)]
        self.undecided = math.inf
        self._run, self._reduced, limits = run, run.reduced, run.problem.limits
        groups = limits.groups[run.reduced.kept]
        self._inputs = [run.reduced.kept[groups == group] for group in np.unique(groups)]
        self._most = min(limits.most or len(self._inputs), len(self._inputs))
        self._enumerable = not exact_enumeration.covers(run.reduced)
        asked = bounds
        if self._enumerable and self.seconds_of_weights <= _WEIGHTS_SHARE * budget.remaining:
            bounds = False  # they take longer
        self._relaxed = relaxed(run.problem, run.reduced) if bounds else None
        self._rng = np.random.default_rng(run.budget.seed)
        self._same_class = run.problem.weights == "continuous" and not limits.signed
        if self._enumerable and not bounds and asked:
            self._bound_everything()
        if bounds or not self.single:
            everything = tuple(self._by_strength())
            self._heap = [_Node(run.bound, 0, next(self._serial), everything, (), False)]
        else:
            self._heap = self._all_choices()
            heapq.heapify(self._heap)

    def _bound_everything(self) -> None:
        """Raise the bound by what a short branch and cut on all columns shows, for runs that end early."""
        run, part = self._run, relaxed(self._run.problem, self._reduced)
        if not part.n_points or n_columns(part) > _MAX_COLUMNS or covers(part):
            return
        node = _Node(run.bound, 0, 0, (), (), False)

        def loss_of(network: Network) -> float:
            return audit(network, part.problem).loss

        relaxation = _Relaxation(part, run.incumbent.objective, loss_of, self._rng)
        relaxation.work(node, self._limited(_ROOT_SHARE * self._budget.remaining), None)
        run.restore_bound(min(node.bound, run.incumbent.objective))

    @property
    def single(self) -> bool:
        """Whether every column has one input."""
        return all(len(inputs) == 1 for inputs in self._inputs)

    @property
    def seconds_of_weights(self) -> float:
        """About how many seconds all weights of all choices of columns take."""
        groups = self._reduced.problem.limits.groups[self._reduced.kept]
        columns = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        seconds = exact_enumeration.seconds_of_choices(self._reduced, columns, self._most, nonzero=self.single)
        return seconds + _SECONDS_PER_CHOICE * sum(math.comb(len(columns), k) for k in range(self._most + 1))

    def _all_choices(self) -> list[_Node]:
        """Return a node for each choice of as many columns as are allowed, or fewer."""
        nodes = []
        for count in range(self._most + 1):
            for chosen in itertools.combinations(range(len(self._inputs)), count):
                node = _Node(0.0, -count, next(self._serial), chosen, chosen, True, True)
                node.bound = self._reduced.on_columns(self._columns(node)).irreducible
                nodes.append(node)
                if self._budget.exhausted:
                    return [_Node(self._run.bound, 0, next(self._serial), tuple(range(len(self._inputs))), (), False)]
        return nodes

    def _by_strength(self) -> list[int]:
        """Return the columns, those that a network on all of them would miss most first."""
        reduced = self._reduced if self._relaxed is None else self._relaxed
        if not reduced.n_points:
            return list(range(len(self._inputs)))
        weights = np.abs(linear(reduced).layers[0].weights).sum(axis=0)
        size = np.zeros(len(weights))
        size[reduced.kept] = weights[reduced.kept] * reduced.scale[reduced.kept] * reduced.strength
        strength = [float(size[inputs].max(initial=0.0)) for inputs in self._inputs]
        return [int(column) for column in np.argsort(-np.array(strength), kind="stable")]

    @property
    def bound(self) -> float:
        """No network has a smaller loss."""
        known = [node.bound for node in (*self._heap[:1], self._current) if node is not None]
        return min([self.undecided, self._run.incumbent.objective, *known])

    def work(self) -> str:
        """Work until nothing is left or a limit is reached; return why it ended."""
        run, message = self._run, "optimal"
        # beyond what is undecided, no bound can rise
        while self._heap and not run.closed and self._heap[0].bound < self.undecided:
            if self._budget.exhausted or run.out_of_nodes:
                message = NODE_LIMIT if run.out_of_nodes else TIME_LIMIT
                break
            # still counted until it is decided
            self._current = node = self._heap[0]
            heapq.heappop(self._heap)
            for child in self._process(node):
                heapq.heappush(self._heap, child)
            self._current = None
            self._nodes += 1
            self._proceed()
        self._report()
        if not run.closed and self.undecided <= self.bound:
            message = "signs or integers leave choices of columns undecided"
        return message

    def _proceed(self) -> bool:
        """Report now and then; return whether to go on."""
        if reading() - self._reported > _REPORT:
            self._report()
        return not self._budget.exhausted

    def _report(self) -> None:
        self._reported = reading()
        self._run.count_nodes(self._nodes)
        self._run.restore_bound(self.bound)
        self._run.report()

    # nodes

    def _process(self, node: _Node) -> list[_Node]:
        """Bound a set of columns, and return what is left to do: nothing, itself if time ran out, or children."""
        leaf, below = len(node.allowed) <= self._most, self._choices_below(node)
        finished = True
        if not node.bounded and self._relaxed is not None and (leaf or below >= _WORTH):
            finished = self._raise(node, leaf)
        node.bounded = True
        if node.bound >= self._run.incumbent.objective:
            return []
        if not leaf:
            return self._children(node)
        if not finished and self._budget.exhausted:
            return [node]
        return self._decide(node)

    def _choices_below(self, node: _Node) -> int:
        return math.comb(len(node.allowed) - len(node.taken), max(self._most - len(node.taken), 0))

    def _columns(self, node: _Node) -> Indices:
        return np.sort(
            np.concatenate([self._inputs[column] for column in node.allowed] or [np.zeros(0, dtype=np.intp)])
        )

    def _raise(self, node: _Node, leaf: bool) -> bool:
        """Raise the bound of a node by branch and cut with real weights; return whether that came to an end."""
        assert self._relaxed is not None
        columns = self._columns(node)
        part = self._relaxed.on_columns(columns)
        node.bound = max(node.bound, part.irreducible)
        best = self._run.incumbent.objective
        if node.bound >= best or not part.n_points or n_columns(part) > _MAX_COLUMNS or covers(part):
            return True
        seconds = math.inf
        if leaf and not self._same_class and self._enumerable:
            # a bound that takes as long as the weights is of no use
            seconds = exact_enumeration.seconds_of_weights(self._reduced.on_columns(columns))
            if seconds < _QUICK:
                return True
        return _Relaxation(part, best, self._submit, self._rng).work(
            node, self._limited(seconds), None if leaf else _NODES
        )

    def _limited(self, seconds: float) -> Callable[[], bool]:
        end = reading() + seconds
        return lambda: self._proceed() and reading() < end

    def _submit(self, network: Network) -> float:
        """Take a network of real weights without limits; return its loss."""
        run = self._run
        if self._same_class and not run.problem.limits.violation(network):
            return run.submit(network, "activation").objective
        assert self._relaxed is not None
        return audit(network, self._relaxed.problem).loss

    def _children(self, node: _Node) -> list[_Node]:
        """Leave out, or take for sure, the first column that is not decided."""
        column = next(column for column in node.allowed if column not in node.taken)
        others = tuple(other for other in node.allowed if other != column)
        taken = (*node.taken, column)
        full = len(taken) == self._most
        decided = node.minus_decided - 1
        return [
            _Node(node.bound, decided, next(self._serial), others, node.taken, False),
            _Node(node.bound, decided, next(self._serial), taken if full else node.allowed, taken, not full),
        ]

    def _decide(self, node: _Node) -> list[_Node]:
        """Go through all weights of a choice of columns, if they are integers that can be; else leave it undecided."""
        run, best = self._run, self._run.incumbent.objective
        if self._enumerable:
            part = self._reduced.on_columns(self._columns(node))
            if exact_enumeration.seconds_of_weights(part) <= self._budget.seconds:
                finished, loss, network = exact_enumeration.best_integers(
                    part, best, self._proceed, nonzero=node.all_of_them
                )
                if network is not None:
                    run.submit(network, "enumeration", loss)
                if finished:
                    return []
                return [node]
        self.undecided = min(self.undecided, node.bound)
        return []


class _Relaxation:
    """Branch and cut over activations for one set of columns: a tree for each output function."""

    def __init__(
        self, reduced: Presolved, best: float, submit: Callable[[Network], float], rng: np.random.Generator
    ) -> None:
        each = programs(reduced)
        self._points = points = each[0].points
        cuts = Cuts(points, rng)

        def units(network: Network) -> float:
            return points.units(submit(network))

        target = points.units(best)
        step = 1 if points.exact else max(1, int(_MIN_GAIN * target))
        self._trees = [Tree(program, cuts, target, units, step=step) for program in each]

    def work(self, node: _Node, proceed: Callable[[], bool], nodes: int | None) -> bool:
        """Raise the bound of a node until the trees are done, or have so many nodes; return whether they are."""
        going = True

        def go_on() -> bool:
            nonlocal going
            node.bound = max(node.bound, self.bound)
            going = proceed()
            return going

        while going and (left := [tree for tree in self._trees if tree.open and not self._enough(tree, nodes)]):
            tree = min(left, key=lambda tree: tree.bound)
            best = min(each.best for each in self._trees)
            tree.best = min(tree.best, best)
            tree.run(lambda tree=tree: go_on() and not self._enough(tree, nodes))  # type: ignore[misc]
        node.bound = max(node.bound, self.bound)
        return going

    @property
    def bound(self) -> float:
        """No network on these columns has a smaller loss."""
        return self._points.loss(min(tree.bound for tree in self._trees))

    @staticmethod
    def _enough(tree: Tree, nodes: int | None) -> bool:
        return nodes is not None and tree.nodes >= nodes


def train_over_supports(run: Run, budget: Budget, *, bounds: bool = True) -> str:
    """Branch over the columns until the bound meets the best network or a limit is reached; return why it ended.

    Parameters
    ----------
    run : Run
        With a best network.
    budget : Budget
        Limits of this work.
    bounds : bool, default=True
        As for `SupportTree`.
    """
    message = "nothing left to improve"
    if not run.closed:
        with run.phase("build"):
            tree = SupportTree(run, budget, bounds=bounds)
        with run.phase("solve"):
            message = tree.work()
    if run.bound > run.reduced.irreducible or run.closed:
        run.covers(run.reduced.scope)
    return message
