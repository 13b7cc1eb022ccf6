"""Bounds at any size: the data are dealt into parts, and no network can do better than best on every part.

The least losses of disjoint parts of the data add up to a bound on the loss on all of them, for every architecture. A
part of a few hundred points is small enough for branch and cut, and its bound is far above what disjoint inseparable
sets of the same points would give, since it may count several errors among sets that overlap.
"""

from __future__ import annotations

import math

import numpy as np

from bdnn.activation.cuts import Cuts
from bdnn.activation.program import Points, programs
from bdnn.activation.tree import Tree
from bdnn.clock import reading
from bdnn.methods.race import Race
from bdnn.network import Network
from bdnn.presolve import Presolved

_POINTS_PER_WEIGHT = 6
_LEAST_PART = 60
_MARGIN = 2.0
_MOST_SECONDS = 10.0


def work_on_parts(race: Race) -> str:
    """Raise the bound part by part, then with larger parts, until the budget is used up; return what was done.

    Parameters
    ----------
    race : Race
        Of a problem that `bdnn.activation.program.covers`.
    """
    points = Points.of(race.reduced)
    size = max(_LEAST_PART, _POINTS_PER_WEIGHT * points.rows.shape[1])
    rng = np.random.default_rng(race.budget.seed)
    n_parts, dealt = 1, len(points)
    while not race.budget.exhausted and not race.closed:
        order = points.point[rng.permutation(len(points))]
        n_parts = max(1, round(len(order) / size))
        total, bounded = race.reduced.irreducible, 0
        for number, part in enumerate(np.array_split(order, n_parts)):
            if race.budget.exhausted:
                break
            seconds = race.budget.remaining / (n_parts - number)
            if n_parts > 1:  # what is left then goes to larger parts
                seconds = min(seconds, _MOST_SECONDS)
            total += _bound_of(race.reduced.restricted(np.sort(part)), reading() + seconds, rng, race)
            bounded += 1
            race.raise_bound(total / race.reduced.loss_unit)
            race.report()
        dealt = len(order) // n_parts
        if n_parts == 1:
            break
        size *= 2
    return f"the data are large: the bound is that of {n_parts} parts of about {dealt} points"


def _bound_of(part: Presolved, deadline: float, rng: np.random.Generator, race: Race) -> float:
    """Return how much more than their irreducible loss every network loses on some points."""
    found = programs(part)
    points = found[0].points
    if not len(points):
        return 0.0
    cuts = Cuts(points, rng)
    total, step = float(points.weight.sum()), float(points.weight.mean())
    # the least of the bounds of all output functions counts, so that it is the one to raise
    bounds = [0.0] * len(found)
    nodes = 0

    def offer(network: Network) -> float:
        return math.inf

    while reading() < deadline and min(bounds) < total:
        number = bounds.index(min(bounds))
        # trees that aim low close soon, and fix much; the cuts remain
        target = min(total, bounds[number] + _MARGIN * step) if bounds[number] or nodes else total
        tree = Tree(found[number], cuts, target, offer)
        limit = 1 if target == total else math.inf

        def proceed(tree: Tree = tree, limit: float = limit) -> bool:
            return reading() < deadline and tree.nodes < limit

        tree.run(proceed)
        nodes += tree.nodes
        if limit > 1 and not tree.closed:
            bounds[number] = max(bounds[number], tree.bound)
            break
        bounds[number] = max(bounds[number], tree.bound)
    race.nodes += nodes
    return min(bounds) * points.unit
