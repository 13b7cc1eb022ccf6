"""Largest margins: linear scores that order given points in a given way, as clearly as possible.

Comparisons, the reference and the margin are defined in docs/mathematics/polish.md.
`bdnn.margins.support_vectors` finds the largest margin for the Euclidean norm, and `bdnn.margins.margin_programs` for
the other norms. Both use a working set of comparisons, to which those that fail are added.
"""

from __future__ import annotations

import numpy as np

from bdnn.types import Bools, Floats, Indices

REFERENCE = -1
"""The node whose score is 0."""

Scores = tuple[Floats, Floats]
"""Weights of shape (d, n) and biases of shape (d,)."""


class OrderingConstraints:
    """Which nodes must beat which others, and at which points.

    Parameters
    ----------
    points : ndarray of shape (p, n)
        Inputs.
    point, better, worse : ndarray of shape (r,), int
        Comparison r holds at ``points[point[r]]``: node ``better[r]`` beats node ``worse[r]``; -1 is the reference.
    n_nodes : int
        Number of nodes, not counting the reference.
    """

    def __init__(self, points: Floats, point: Indices, better: Indices, worse: Indices, n_nodes: int) -> None:
        self.points, self.point, self.better, self.worse = points, point, better, worse
        self.n_nodes = n_nodes

    @classmethod
    def of_neuron(cls, points: Floats, on: Bools) -> OrderingConstraints:
        """Return the comparisons of a neuron that must be on at some points and off at the others."""
        return cls(points, np.arange(len(points)), np.where(on, 0, REFERENCE), np.where(on, REFERENCE, 0), 1)

    @classmethod
    def of_argmax(cls, points: Floats, winners: Indices, n_nodes: int) -> OrderingConstraints:
        """Return the comparisons of outputs where the given one must have the largest score at each point."""
        point, worse = np.nonzero(winners[:, None] != np.arange(n_nodes))
        return cls(points, point, winners[point], worse, n_nodes)

    def __len__(self) -> int:
        return len(self.point)

    def differences(self, weights: Floats, bias: Floats) -> Floats:
        """Return by how much the better node leads in each comparison, of shape (r,)."""
        scores = self.points @ weights.T + bias
        if self.n_nodes == 1:
            a = scores[:, 0] if len(self) == len(scores) else scores[self.point, 0]
            return np.where(self.better == 0, a, -a)
        padded = np.hstack([scores, np.zeros((len(scores), 1))])
        return np.asarray(padded[self.point, self.better] - padded[self.point, self.worse])

    def rows(self, which: Indices, shift: Floats | None = None) -> tuple[Floats, Floats]:
        """Return coefficients of weights, (k, n_nodes * n), and of biases, (k, n_nodes), of some comparisons."""
        x = self.points[self.point[which]]
        if shift is not None:
            x = x - shift
        k, n = x.shape
        weights, bias = np.zeros((k, self.n_nodes, n)), np.zeros((k, self.n_nodes))
        for nodes, sign in ((self.better[which], 1.0), (self.worse[which], -1.0)):
            some = np.flatnonzero(nodes != REFERENCE)
            weights[some, nodes[some]] = sign * x[some]
            bias[some, nodes[some]] = sign
        return weights.reshape(k, -1), bias


def least(values: Floats, among: Indices, count: int) -> Indices:
    """Return the places with the least values, at most the given number of them."""
    return among if len(among) <= count else among[np.argpartition(values[among], count - 1)[:count]]


def first_rows(lead: Floats, n: int) -> Indices:
    """Return the first working set: comparisons with the least leads, a few more than can bind in n dimensions."""
    return np.sort(least(lead, np.arange(len(lead)), 200 + 2 * n))


def next_rows(lead: Floats, failing: Indices, size: int) -> Indices:
    """Return the failing comparisons that enter the working set: the worst, in proportion to the number of unknowns."""
    return least(lead, failing, 50 + size // 4)
