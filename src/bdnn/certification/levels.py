"""Which changes of cells with few states, beside perturbations of numbers, change the decision on a row: exactly.

Such cells are levels, which may change in some columns at most, and numbers behind thresholds, of which the network
sees only between which two of them they lie. The search goes through these columns depth first, the most influential
one first; a node has chosen the states of some of them. Before it branches it asks whether any choice of the others,
and any perturbation, could change the decision: each neuron of the first layer gets what the others can add to it at
most and at least, and intervals of signals are propagated from there. What these bounds cannot exclude is branched on,
down to rows of which every state is chosen; if there are numbers that the network sees as they are, these rows are
certified as any other point is.

Distances are exact. A number that must get below a threshold comes as near to it as it likes, but does not reach it:
such a distance counts as a little larger than it is. If the smallest one is in question, the radius of the search is
doubled until there is an attack, and the search goes on for nearer ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.certification.attacker import float_below, root_below
from bdnn.certification.limits import Clock, Stopped
from bdnn.certification.row_bounds import UNIT, claims, ranges, rows_of
from bdnn.certification.support import INF, TWO
from bdnn.certification.verdict import Verdict
from bdnn.clock import reading

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Floats

Cost = tuple[Fraction, int]
"""A distance (of norm 2: its square), and 1 if it is not reached, but only any larger one."""

NOTHING: Cost = (Fraction(0), 0)  # no change of the inputs costs no distance, and that distance is reached


class Choice(NamedTuple):
    """A column whose state may change.

    Attributes
    ----------
    inputs : slice
        Inputs of the network that it gives.
    place : slice
        Where it is in a point.
    states : ndarray of shape (n_states, n_inputs)
        Inputs of the other states.
    points : ndarray of shape (n_states, n_place)
        The same in a point.
    costs : tuple of Cost
        How far each state is; none for levels, which count instead.
    """

    inputs: slice
    place: slice
    states: Floats
    points: Floats
    costs: tuple[Cost, ...] = ()

    @property
    def is_level(self) -> bool:
        """Whether it is a change of level."""
        return not self.costs


class Task(NamedTuple):
    """What is asked of one row.

    Attributes
    ----------
    network : Network
        Of inputs.
    code : int
        Its decision on the row.
    x : ndarray of shape (n_inputs,)
        Inputs of the row.
    z : ndarray
        The point, in which states are changed.
    norm : int
        As in `Perturbations`.
    limit : float
        Radius in question, inf for the smallest perturbation.
    box : callable
        Returns the smallest and the largest inputs within a radius, with all states as they are.
    leaf : callable
        Certifies a variant of the point: takes it, its inputs, the seconds left and what nodes are reported to.
    """

    network: Network
    code: int
    x: Floats
    z: Floats
    norm: int
    limit: float
    box: Callable[[float], tuple[Floats, Floats]]
    leaf: Callable[[Floats, Floats, float, Callable[[int], None]], Verdict]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found: the verdict on the point, and how many levels change in its attack."""

    verdict: Verdict
    changed: int


class _Reach(NamedTuple):
    """What is known of the rows within a radius.

    Attributes
    ----------
    least, largest, error : ndarray of shape (d,)
        Values of the rows with all states as they are, and bounds of their errors.
    up, down : ndarray of shape (n_choices + 1, d)
        What states of the columns from each one on, but for levels, can add at most and at least.
    """

    least: Floats
    largest: Floats
    error: Floats
    up: Floats
    down: Floats


class LevelSearch:
    """The search for one row.

    Parameters
    ----------
    task : Task
        What is asked.
    choices : list of Choice
        Columns whose state may change.
    most : int
        In how many of them levels may change.
    """

    def __init__(self, task: Task, choices: list[Choice], most: int) -> None:
        self.task, self.most = task, most
        network = task.network
        self.claims = claims(network, task.code)
        self.rows = self.claims if len(network.layers) == 1 else rows_of(*network.layers[0])
        self.hidden = [rows_of(*layer) for layer in network.layers[1:-1]]
        moves = [self._moves(choice) for choice in choices]
        order = sorted(range(len(choices)), key=lambda c: -float(np.abs(moves[c][0]).max(axis=0).sum()))
        self.choices, self.moves = [choices[c] for c in order], [moves[c][0] for c in order]
        self.error = np.sum([error for _, error in moves], axis=0) if moves else np.zeros(len(self.rows.bias))
        none = np.zeros((1, len(self.rows.bias)))
        levels = [
            np.vstack([none, move * choice.is_level]) for choice, move in zip(self.choices, self.moves, strict=True)
        ]
        self.up = np.array([level.max(axis=0) for level in levels]).reshape(-1, none.shape[1])
        self.down = np.array([-level.min(axis=0) for level in levels]).reshape(-1, none.shape[1])
        self.bits = any(not choice.is_level for choice in choices)
        self.reach: tuple[object, _Reach] | None = None
        self.limit: Cost | None = None
        self.best = Verdict(math.inf, None, math.inf, True)
        self.best_cost: Cost | None = None
        self.changed, self.undecided = 0, False

    def _moves(self, choice: Choice) -> tuple[Floats, Floats]:
        """Return what each other state adds to the rows, of shape (n_states, d), and bounds of the errors."""
        inputs = np.repeat(self.task.x[None, :], len(choice.states) + 1, axis=0)
        inputs[1:, choice.inputs] = choice.states
        grid = self.task.network.grid
        seen = (inputs if grid is None else grid.quantise(inputs))[:, choice.inputs]
        weights, sizes = self.rows.weights[:, choice.inputs], self.rows.sizes[:, choice.inputs]
        size = sizes @ np.abs(seen).max(axis=0)
        return (seen[1:] - seen[0]) @ weights.T, 4 * (seen.shape[1] + 8) * UNIT * size

    def run(self, clock: Clock) -> Found:
        """Search until everything is decided, or the clock stops it.

        Parameters
        ----------
        clock : Clock
            Limits.

        Returns
        -------
        Found
            Undecided if the clock stopped the search before an attack within the radius in question was found.
        """
        began, finished, fixed, proven = reading(), True, self.task.limit < math.inf, 0.0
        try:
            for limit in self._limits():
                self.limit = limit
                self._visit(0, self.most, {}, np.zeros(len(self.rows.bias)), NOTHING, clock)
                if self.best.attack is not None:
                    break
                if limit is not None:
                    proven = self._below(limit)
        except Stopped:
            finished = False
        best, attacked = self.best, self.best.attack is not None
        decided = (fixed and attacked) or (finished and not self.undecided)
        radius = best.radius if finished else proven
        if fixed:
            radius = self.task.limit if decided and not attacked else 0.0
        verdict = Verdict(
            min(radius, best.distance), best.attack, best.distance, decided, clock.nodes, reading() - began
        )
        return Found(verdict, self.changed)

    def _limits(self) -> list[Cost | None]:
        """Return the radii to search within, one after the other; None for all."""
        if self.task.limit < math.inf:
            return [self._cost(Fraction(self.task.limit))]
        far = sorted({cost[0] for choice in self.choices for cost in choice.costs if cost[0]})
        if not far:
            return [None]
        most, limits, size = (sum(far) * len(self.choices)), [], far[0]
        while size < most:
            limits.append((size, 1))
            size *= 4 if self.task.norm == TWO else 2
        return [*limits, None]

    def _cost(self, distance: Fraction) -> Cost:
        return (distance * distance if self.task.norm == TWO else distance, 0)

    def _below(self, cost: Cost) -> float:
        """Return the distance, rounded down."""
        return root_below(cost[0]) if self.task.norm == TWO else float_below(cost[0])

    def _together(self, one: Cost, other: Cost) -> Cost:
        if self.task.norm == INF:
            return max(one, other)
        return one[0] + other[0], one[1] | other[1]

    def _counts(self, cost: Cost) -> bool:
        """Whether a distance is within the radius, and less than that of the best attack."""
        return (self.limit is None or cost <= self.limit) and (self.best_cost is None or cost < self.best_cost)

    def _visit(self, depth: int, left: int, chosen: dict[int, int], added: Floats, cost: Cost, clock: Clock) -> bool:
        """Search below a node; return whether an attack ends the search."""
        if depth == len(self.choices):
            return self._leaf(chosen, cost, clock)
        clock(1)
        if self._is_safe(depth, left, added):
            return False
        choice, move = self.choices[depth], self.moves[depth]
        if self._visit(depth + 1, left, chosen, added, cost, clock):
            return True
        for state in range(len(choice.states)) if left or not choice.is_level else ():
            far = cost if choice.is_level else self._together(cost, choice.costs[state])
            if self._counts(far) and self._visit(
                depth + 1, left - choice.is_level, chosen | {depth: state}, added + move[state], far, clock
            ):
                return True
        return False

    def _leaf(self, chosen: dict[int, int], cost: Cost, clock: Clock) -> bool:
        """Certify the row with chosen states; return whether an attack ends the search."""
        clock(1)
        z, x = self.task.z.copy(), self.task.x.copy()
        for c, state in chosen.items():
            choice = self.choices[c]
            z[choice.place], x[choice.inputs] = choice.points[state], choice.states[state]
        # the count of nodes is that of the leaves' own searches, too
        verdict, best = self.task.leaf(z, x, clock.end - reading(), clock.count), self.best
        self.undecided |= not verdict.decided
        attack, distance, radius = best.attack, best.distance, verdict.radius
        if self.bits and verdict.attack is not None:
            radius = self._below(cost)
            if verdict.distance > self.task.limit:  # there are numbers within the radius, but no doubles
                self.undecided = True
                return False
            self.best_cost = cost
        if verdict.attack is not None and (attack is None or verdict.distance < distance):
            attack, distance = verdict.attack, verdict.distance
            self.changed = sum(self.choices[c].is_level for c in chosen)
        self.best = Verdict(min(best.radius, radius), attack, distance, True)
        return attack is not None and (self.task.limit < math.inf or distance == 0.0)

    def _is_safe(self, depth: int, left: int, added: Floats) -> bool:
        """Whether no choice of the other states, and no perturbation that counts, changes the decision."""
        within = self._within()
        if within is None:
            return False
        least, largest, error, up, down = within
        more, fewer = up[depth] + _largest(self.up[depth:], left), down[depth] + _largest(self.down[depth:], left)
        error = (
            error
            + self.error
            + 4 * (len(self.choices) + 8) * UNIT * (np.abs(least) + np.abs(largest) + np.abs(added) + more + fewer)
        )
        low, high = least + added - fewer, largest + added + more
        if len(self.task.network.layers) == 1:
            return bool(np.all(low > error))
        on, maybe = low > error, ~(high < -error)
        for rows in self.hidden:
            low, high, error = ranges(rows, on.astype(np.float64), maybe.astype(np.float64))
            on, maybe = low > error, ~(high < -error)
        low, _, error = ranges(self.claims, on.astype(np.float64), maybe.astype(np.float64))
        return bool(np.all(low > error))

    def _within(self) -> _Reach | None:
        """Return what is known of the rows within the distances that count; None if that is too far."""
        radius = self.task.limit if self.task.limit < math.inf else self.best.radius
        if radius == math.inf and not self.bits:
            return None
        key = (self.limit, self.best_cost) if self.bits else radius
        if self.reach is not None and self.reach[0] == key:
            return self.reach[1]
        # numbers as they are do not move beside numbers behind thresholds
        low, high = self.task.box(0.0 if self.bits else radius)
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
            return None
        spread = ranges(self.rows, low, high)
        up, down = (np.zeros((len(self.choices) + 1, len(self.rows.bias))) for _ in range(2))
        for c in reversed(range(len(self.choices))):
            up[c], down[c] = up[c + 1], down[c + 1]
            choice = self.choices[c]
            near = [s for s, cost in enumerate(choice.costs) if self._counts(cost)]
            if near:
                up[c] += np.maximum(self.moves[c][near].max(axis=0), 0.0)
                down[c] -= np.minimum(self.moves[c][near].min(axis=0), 0.0)
        found = _Reach(*spread, up, down)
        self.reach = (key, found)
        return found


def _largest(values: Floats, count: int) -> Floats:
    """Return the sum of the largest `count` numbers of each column, none of them negative."""
    if count < len(values):
        values = np.partition(values, len(values) - count, axis=0)[len(values) - count :] if count else values[:0]
    return np.asarray(values.sum(axis=0))
