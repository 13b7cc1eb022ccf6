"""Subsets of the points on which a conjunction of neurons, or a disjunction of them, loses something.

If the output fires where all d hidden neurons do, each point on which it must not fire is turned off by some neuron.
Two such points are in *conflict* if no neuron that is on at all points of the other class is off at both: then neurons
that turn them off differ. So of d + 1 points in conflict with each other, together with the points of the other class
that make each pair of them inseparable, one is lost, and with two neurons one of each odd cycle of conflicts. The
linear program does not see it: it turns every point off by a d-th of every neuron, and loses nothing. Disjunctions are
the same with on and off exchanged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bdnn.branch_and_cut.cuts import Cuts
    from bdnn.branch_and_cut.program import Program
    from bdnn.types import Bools, Indices, Integers

# points that are tried, those nearest to the other class, and cliques or cycles that are kept
_MOST_POINTS, _MOST_CLIQUES = 100, 5000
# what a point costs for each subset that it is in, for subsets to differ, and at most: sets must cost less than one
_USED, _MOST_USED = 1e-3, 0.02
_PAIR_OF_NEURONS = 3  # the size of cliques of two neurons


def roles(program: Program) -> tuple[Indices, Indices] | None:
    """Return the points that all neurons have to get right, and those of which one neuron is enough.

    Places in `Points.point`. None unless the output is a conjunction or a disjunction of two neurons or more.
    """
    points, d = program.points, program.n_neurons
    n_soft = len(points.weight)
    if d < 2 or points.n_classes > 2 or len(points.signs) != n_soft:
        return None
    own = np.arange(n_soft)
    strict = (program.columns == own[:, None]).all(axis=1)
    linked = np.zeros(n_soft, dtype=bool)
    for soft, _, members in program.linking_rows:
        linked[soft] = len(members) == d + 1
    if not np.array_equal(linked, ~strict) or strict.all() or not strict.any():
        return None
    return points.soft_point[strict], points.soft_point[linked]


class Conflicts:
    """Subsets of the points on which something is lost, of cliques of points that are in conflict.

    Parameters
    ----------
    program : Program
        That has `roles`.
    cuts : Cuts
        Finds inseparable sets.
    rng : numpy.random.Generator
        Of the order of the subsets.
    """

    def __init__(self, program: Program, cuts: Cuts, rng: np.random.Generator) -> None:
        found = roles(program)
        assert found is not None
        self._strict, free = found
        self._cuts, self._rng, self._size = cuts, rng, program.n_neurons + 1
        self._used = np.zeros(len(program.points))
        X = program.points.rows[:, :-1] * program.points.signs[:, None]
        distance = ((X[free] - X[self._strict].mean(axis=0)) ** 2).sum(axis=1)
        self._free: Indices = free[np.argsort(distance, kind="stable")]

    def subsets(self) -> Iterator[Indices | None]:
        """Give subsets, ascending, each of which takes a linear program or a few; None where there is none yet."""
        near: list[int] = []
        neighbors: dict[int, set[int]] = {}
        for point in self._free.tolist():
            if len(near) == _MOST_POINTS:
                break
            if self._inseparable([point]) is not None:
                yield None  # lost, or what makes it so; the linear program knows it
                continue
            neighbors[point] = set()
            for other in near:
                if self._inseparable([point, other]) is not None:
                    neighbors[point].add(other)
                    neighbors[other].add(point)
                yield None
            near.append(point)
        found = list(itertools.islice(_cliques(near, neighbors, self._size), _MOST_CLIQUES))
        groups = [list(itertools.combinations(clique, 2)) for clique in found]
        if self._size == _PAIR_OF_NEURONS:
            groups += itertools.islice(_cycles(near, neighbors), _MOST_CLIQUES)
        members = [sorted({point for pair in group for point in pair}) for group in groups]
        while groups:
            wear = np.array([self._used[points].mean() for points in members])
            number = int(np.argmin(wear + self._rng.random(len(groups))))
            subset = self._around(groups[number])
            if subset is None:
                groups.pop(number)
                members.pop(number)
                yield None
                continue
            self._used[subset] += 1
            yield subset

    def _around(self, pairs: list[tuple[int, int]]) -> Indices | None:
        """Return points in conflict with those of the other class that make the pairs inseparable."""
        subset: set[int] = set()
        for pair in pairs:
            found = self._inseparable(list(pair))
            if found is None:
                return None
            subset |= {*pair, *found.tolist()}
        return np.array(sorted(subset), dtype=np.int64)

    def _inseparable(self, free: list[int]) -> Integers | None:
        """Return points of an inseparable set of some points and those that all neurons have to get right."""
        given = np.minimum(_USED * self._used, _MOST_USED)
        given[free] = 0.0
        avoided: Bools = np.ones(len(given), dtype=bool)
        avoided[self._strict] = False
        avoided[free] = False
        given[avoided] = 1.0
        found = self._cuts.separate(given, 1, avoided)
        return self._cuts.points.row_requirement[found[0]] if found else None


def _cliques(points: list[int], neighbors: dict[int, set[int]], size: int) -> Iterator[tuple[int, ...]]:
    """Yield sets of points of some size that are all neighbors of each other."""

    def grown(clique: tuple[int, ...], common: list[int]) -> Iterator[tuple[int, ...]]:
        if len(clique) == size:
            yield clique
            return
        for place, point in enumerate(common):
            yield from grown((*clique, point), [other for other in common[place + 1 :] if other in neighbors[point]])

    yield from grown((), points)


def _cycles(points: list[int], neighbors: dict[int, set[int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the cycles of five points of which no others are neighbors, as pairs."""
    place = {point: number for number, point in enumerate(points)}
    for a in points:  # the first one of its cycle
        for b, e in itertools.combinations(sorted(neighbors[a], key=place.__getitem__), 2):
            if place[b] < place[a] or place[e] < place[a] or e in neighbors[b]:
                continue
            for c in neighbors[b] - neighbors[a] - neighbors[e] - {a}:
                for d in (neighbors[c] & neighbors[e]) - neighbors[a] - neighbors[b] - {a}:
                    if place[c] > place[a] and place[d] > place[a]:
                        yield [(a, b), (b, c), (c, d), (d, e), (e, a)]
