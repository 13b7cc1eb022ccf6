"""Random directions in which many neurons change, and the first change of the decision along them.

Directions push neurons of the first layer into the state that helps, with random weights: neurons count by their effect
on the outputs (weights above multiplied through) and by how near they are to changing. The first change along the way
is bracketed, and the nearest point of the cell found there is taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.point import Pattern, Point
from bdnn.certification.support import INF, ONE, magnitudes, smallest_radii

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats, Indices

_LENGTHS = 24  # lengths at which directions are tried, growing by a factor: up to 1.8 where they span six digits
_HALVINGS = 12  # times that the bracket of the first change is halved, to 1 / 4096: the nearest point is found anyway
_REFINED = 3  # shortest moves that are worth nearest points, which take longer than all of the above


def attack_along_directions(point: Point, rng: np.random.Generator, restarts: int) -> None:
    """Look for attacks on a point along random directions and offer them to it.

    Parameters
    ----------
    point : Point
        Of a network with hidden layers.
    rng : numpy Generator
        Source of the directions.
    restarts : int
        Number of directions.
    """
    if not len(point.columns):
        return
    model = point.relaxed()  # what directions without any rounding lead to is rounded
    if not len(model.columns):
        return
    rays = _Rays(model, _directions(model, rng, restarts))
    start, end = _range(model)
    if not start < end:
        start = end * 1e-3
    lengths = np.geomspace(start, end, _LENGTHS)
    near, far = np.zeros(restarts), np.full(restarts, np.inf)
    for length in lengths:
        left = np.isinf(far)
        if not left.any():
            break
        changed = point.changes(model.columns, rays.moves(left, np.full(int(left.sum()), length)))
        at = np.flatnonzero(left)
        far[at[changed]] = length
        near[at[~changed]] = length
    hits = np.flatnonzero(far < np.inf)
    if not len(hits):
        return
    for _ in range(_HALVINGS):
        middle = 0.5 * (near[hits] + far[hits])
        changed = point.changes(model.columns, rays.moves(hits, middle))
        far[hits[changed]], near[hits[~changed]] = middle[changed], middle[~changed]
    moves = rays.moves(hits, far[hits])
    size = {INF: np.abs(moves).max(axis=1), ONE: np.abs(moves).sum(axis=1)}.get(
        point.allowed.norm, np.linalg.norm(moves, axis=1)
    )
    for k in np.argsort(size)[:_REFINED].tolist():
        point.try_move(model.columns, moves[k])
        if model is point:
            _refine(point, moves[k])


def _directions(point: Point, rng: np.random.Generator, restarts: int) -> Floats:
    """Return directions of shape (restarts, n), one for each class that may win in turn."""
    layers, rows = point.network.layers, point.W
    effect = layers[-1].weights.astype(np.float64)
    for weights, _ in layers[-2:0:-1]:
        effect = effect @ weights
    if len(effect) == 1:
        targets = -effect if point.code == 1 else effect
    else:
        targets = np.delete(effect, point.code, axis=0) - effect[point.code]
    near = np.abs(point.alpha) / np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    unit = float(np.median(near)) or 1.0
    weight = np.exp(-near / (unit * rng.choice([0.25, 1.0, 4.0], restarts)[:, None]))
    weight = weight * (rng.random((restarts, len(near))) < rng.choice([0.3, 0.6, 1.0], restarts)[:, None])
    chosen = targets[np.arange(restarts) % len(targets)]
    directions = np.asarray((chosen * weight / np.maximum(np.linalg.norm(rows, axis=1), 1e-300)) @ rows)
    # some at random, for what all of these miss
    directions[3::4] = rng.normal(size=directions[3::4].shape)
    return directions


def _range(point: Point) -> tuple[float, float]:
    """Return lengths between which the first change is looked for."""
    norm = point.allowed.norm
    sides = np.where(point.alpha >= 0, -1.0, 1.0)
    radii = smallest_radii(norm, point.W * sides[:, None], np.abs(point.alpha), point.low, point.high)
    finite = radii[radii < math.inf]
    if not len(finite):
        return 0.0, 0.0
    end = min(64.0 * float(finite.max()), point.farthest)
    return max(float(finite.min()), end * 1e-6), min(end, point.limit) if point.fixed else end


class _Rays:
    """Moves along directions, as far as bounds allow.

    Parameters
    ----------
    point : Point
        Where they begin.
    directions : ndarray of shape (k, n)
        Of any length.
    """

    def __init__(self, point: Point, directions: Floats) -> None:
        self._norm, self._low, self._high = point.allowed.norm, point.low, point.high
        sizes = np.abs(directions)
        if self._norm == INF:
            self._units = np.sign(directions)
        elif self._norm == ONE:
            # features with the largest weights are filled up first
            order = np.argsort(-sizes, axis=1)
            rows = np.arange(len(order))[:, None]
            cap = np.where(directions != 0, np.where(directions > 0, point.high, -point.low), 0.0)
            self._cap, self._units = cap[rows, order], np.sign(directions)
            self._place = np.empty_like(order)
            self._place[rows, order] = np.arange(order.shape[1])
        else:
            self._units = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)

    def moves(self, chosen: Bools | Indices, lengths: Floats) -> Floats:
        """Return the moves of given lengths along some of the directions."""
        lengths, units = lengths[:, None], self._units[chosen]
        if self._norm == INF:
            return self._clipped(units * lengths)
        if self._norm == ONE:
            used = np.minimum(np.cumsum(np.minimum(self._cap[chosen], lengths), axis=1), lengths)
            used[:, 1:] -= used[:, :-1].copy()
            return np.asarray(used[np.arange(len(used))[:, None], self._place[chosen]] * units)
        moves = units * lengths
        for _ in range(4):  # what the bounds take away goes to the other features
            clipped = self._clipped(moves)
            size = np.sqrt(np.einsum("ij,ij->i", clipped, clipped))[:, None]
            moves = clipped * np.minimum(lengths / np.maximum(size, 1e-300), 4.0)
        return self._clipped(moves)

    def _clipped(self, moves: Floats) -> Floats:
        return np.asarray(np.minimum(np.maximum(moves, self._low), self._high))


def _refine(point: Point, move: Floats) -> None:
    """Take the nearest point of the cell that a move leads to, of as few neurons as will do."""
    known = point.alpha >= 0
    bits = point.W @ move + point.alpha >= 0
    largest = magnitudes(point.allowed.norm, point.W, float(np.abs(move).max()), point.low, point.high)
    matters = (bits != known) | (np.abs(point.alpha) <= largest * (1.0 if point.allowed.norm == INF else 4.0))
    _, (multipliers, *_) = point.search_cell(Pattern(bits & matters, ~bits & matters))
    # neurons that hold the move back and need not
    for i in np.argsort(-multipliers)[:4].tolist():
        if multipliers[i] <= 0:
            break
        without = bits.copy()
        without[i] = not bits[i]
        values = without.astype(np.float64)[None, :]
        layers = point.network.layers
        for weights, bias in layers[1:]:
            sums = values @ weights.T + bias
            values = (sums >= 0).astype(np.float64)
        same = (sums[0, 0] >= 0) == (point.code == 1) if sums.shape[1] == 1 else np.argmax(sums[0]) == point.code
        if not same:
            matters[i] = False
            bits = np.where(matters, bits, without)
            _, (multipliers, *_) = point.search_cell(Pattern(bits & matters, ~bits & matters))
