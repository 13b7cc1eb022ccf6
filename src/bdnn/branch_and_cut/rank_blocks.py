"""Subsets of the points on which networks lose much: blocks, chosen against all networks that are known.

The points are dealt into blocks, and each subset leaves one block out. If r_k is the least cost on the subset without
block k of K, no network costs less than Σ r_k / (K - 1) in all: with two blocks, the sum over two halves. A random deal
gives little. So points change blocks as long as the networks known so far, each at its best subset, lose more; then
networks are sought that do well on the subsets after all, and so on in turn. What comes of it is a guess for trees to
prove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.branch_and_cut.rank_rows import solution
from bdnn.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bdnn.branch_and_cut.program import Program
    from bdnn.types import Bools, Floats, Indices, Integers

# networks that are kept, those that were of use last
_MOST = 2000
# exchanges of two points that are tried in a turn, turns without progress after which a deal is left as it is, and the
# most turns: with 150 points in a half, a turn takes a tenth of a second
_EXCHANGES, _PATIENCE, _TURNS = 1500, 30, 100
# price of networks that are nearly as good as the best, which the next exchanges would let win
_SOFT = 0.02


class Separators(Protocol):
    """Finds neurons with small ``sum of g_i [w.x_i + b >= 0]``; `bdnn.search.halfspace.separators` is one."""

    def __call__(
        self, X: Floats, g: Floats, budget: Budget, rng: np.random.Generator, *, rounds: int
    ) -> Iterator[tuple[Floats, float]]:
        """Give weights and biases, for points by feature of shape (n, p) and gains of shape (p,)."""
        ...


class Patterns:
    """What networks lose: one row for each network that is known.

    Parameters
    ----------
    program : Program
        Of all points.
    rng : numpy.random.Generator
        Of the search.
    separators : Separators or None
        Finds networks of one neuron.
    """

    def __init__(self, program: Program, rng: np.random.Generator, separators: Separators | None) -> None:
        self._program, self._rng, self._separators = program, rng, separators
        points = program.points
        self._n_soft = len(points.weight)
        # of each point, what each network loses there
        self._starts = np.unique(points.soft_point, return_index=True)[1]
        self.losses = np.zeros((0, len(points)), dtype=np.int64)
        self._known: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.losses)

    def add(self, weights: Floats) -> None:
        """Note what a network loses, of weights that go with the signed rows."""
        lost = solution(self._program, weights)[: self._n_soft] * self._program.points.weight
        losses = np.add.reduceat(lost, self._starts)
        if (key := losses.tobytes()) in self._known:
            return
        self._known.add(key)
        self.losses = np.vstack([self.losses[-_MOST + 1 :], losses])

    def seek(self, inside: Bools) -> None:
        """Look for networks that lose little on some of the points; for one neuron and two classes only."""
        points = self._program.points
        if self._separators is None or self._program.n_neurons > 1 or points.n_classes > 2:
            return
        gains = np.where(inside, -points.signs * points.weight, 0.0)
        features = np.ascontiguousarray((points.rows[:, :-1] * points.signs[:, None]).T)
        for weights, bias in self._separators(features, gains, Budget(), self._rng, rounds=1):
            self.add(np.append(weights, bias)[None, :])


def blocks(patterns: Patterns, block: Indices, target: Integers, rng: np.random.Generator) -> Iterator[Indices]:
    """Change the points' blocks; give the best so far, for what `patterns` come to know meanwhile.

    Parameters
    ----------
    patterns : Patterns
        Receives networks.
    block : ndarray of shape (p,)
        Of each point, the number of its block, from 0.
    target : ndarray of shape (p,), int64
        Points change places with those of the same.
    rng : numpy.random.Generator
        Of the exchanges.
    """
    n_blocks = int(block.max()) + 1
    best, idle = block, 0
    for _ in range(_TURNS):
        for k in range(n_blocks):
            patterns.seek(block != k)
        if not len(patterns):
            return
        if idle == 0 or _promise(patterns.losses, block, n_blocks) > _promise(patterns.losses, best, n_blocks):
            best, idle = block, 0
        yield best
        idle += 1
        if idle > _PATIENCE:
            return
        block = _exchanged(patterns.losses, block, target, n_blocks, rng)


def _promise(losses: Integers, block: Indices, n_blocks: int) -> float:
    return float(sum(int((losses @ (block != k)).min()) for k in range(n_blocks)))


def _exchanged(losses: Integers, block: Indices, target: Integers, n_blocks: int, rng: np.random.Generator) -> Indices:
    """Exchange points of two blocks as long as the known networks do not lose less."""
    block = block.copy()
    columns = np.ascontiguousarray(losses.T)
    totals = np.stack([losses @ (block != k) for k in range(n_blocks)])

    def score(totals: Integers) -> float:
        least = totals.min(axis=1, keepdims=True)
        return float(least.sum() - _SOFT * np.exp(least - totals).sum())

    now = score(totals)
    for i, j in rng.integers(len(block), size=(_EXCHANGES, 2)).tolist():
        a, b = int(block[i]), int(block[j])
        if a == b or target[i] != target[j]:
            continue
        moved = totals.copy()
        difference = columns[i] - columns[j]
        moved[a] += difference  # the subset without block a gains point i and loses j
        moved[b] -= difference
        if (then := score(moved)) >= now:
            now, totals, block[i], block[j] = then, moved, b, a
    return block
