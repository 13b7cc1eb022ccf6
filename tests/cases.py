"""Tiny training problems and their smallest losses by brute force.

The oracle shares nothing with the package's formulations: it lists every activation pattern that one neuron can have
on a few points (continuous weights: a linear program per dichotomy; integer weights: all weights and biases), and
composes layers over the patterns. Behind the first hidden layer the points are the corners of a cube.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bdnn import Network, Problem


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A training problem, and its optimum by brute force."""

    X: Any
    y: Any
    sample_weight: Any = None
    hidden: tuple[int, ...] = ()
    head: str = "threshold"
    weights: str = "continuous"
    bound: int = 1
    biases: bool = True
    bits: int = 8

    def problem(self, **changes: Any) -> Problem:
        settings: dict[str, Any] = {
            "X": self.X,
            "y": self.y,
            "sample_weight": self.sample_weight,
            "hidden_layer_sizes": self.hidden,
            "head": self.head,
            "weights": self.weights,
            "weight_bound": self.bound,
            "fit_intercept": self.biases,
            "input_bits": self.bits,
        }
        return Problem(**(settings | changes))

    def optimum(self) -> float:
        """Smallest loss of any network of the class."""
        X = np.asarray(self.X, dtype=float)
        if self.weights == "integer" and not np.all(X == np.rint(X)):
            X = _quantised(X, self.bits)
        labels = np.unique(self.y)
        weight = np.ones(len(X)) if self.sample_weight is None else np.asarray(self.sample_weight, dtype=float)
        points = np.unique(X, axis=0)
        cost = np.zeros((1, len(points), len(labels)))
        for row, label, w in zip(X, self.y, weight, strict=True):
            cost[0, np.all(points == row, axis=1), labels == label] += w
        kind = (self.weights, self.bound, self.biases)
        for width in self.hidden:
            fired = neuron_patterns(_key(points), *kind)
            chosen = np.array(list(itertools.combinations_with_replacement(range(len(fired)), width)))
            corner = np.zeros((len(chosen), len(points)), dtype=int)
            for neuron in range(width):
                corner = 2 * corner + fired[chosen[:, neuron]]
            visits = (corner[:, None, :] == np.arange(2**width)[:, None]).astype(float)
            cost = np.unique((visits @ cost[:, None]).reshape(-1, 2**width, len(labels)), axis=0)
            points = np.array(list(itertools.product([0.0, 1.0], repeat=width)))
        return float(self._readout(points, cost, kind).min())

    def _readout(self, points: np.ndarray, cost: np.ndarray, kind: tuple[str, int, bool]) -> np.ndarray:
        """Smallest loss of an output layer on points whose labels cost[b, point, label] would be lost or gained."""
        total = cost.sum(axis=(1, 2))
        if self.head == "argmax":
            given = labelings(_key(points), cost.shape[2], *kind)
            gained = (given[:, :, None] == np.arange(cost.shape[2])).astype(float)
            return total - np.max(np.tensordot(cost, gained, axes=([1, 2], [1, 2])), axis=1)
        fired = neuron_patterns(_key(points), *kind).astype(float)
        outputs = [1] if cost.shape[2] == 2 else range(cost.shape[2])
        losses = []
        for label in outputs:
            if_on, if_off = cost.sum(axis=2) - cost[:, :, label], cost[:, :, label]
            losses.append((if_on @ fired.T + if_off @ (1 - fired.T)).min(axis=1))
        return np.sum(losses, axis=0)


def _key(points: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, points.tolist()))


def _quantised(X: np.ndarray, bits: int) -> np.ndarray:
    """Nearest of 2**bits equidistant levels of each column."""
    low, high = X.min(axis=0), X.max(axis=0)
    step = np.where(high > low, (high - low) / (2**bits - 1), 1.0)
    return np.rint((X - low) / step)


def loss_by_hand(network: Network, case: Case) -> float:
    """Loss of a network in rational arithmetic, point by point."""
    total = []
    X = np.asarray(case.X, dtype=float)
    if network.grid is not None:
        X = _quantised(X, case.bits)
    weight = np.ones(len(X)) if case.sample_weight is None else case.sample_weight
    codes = np.searchsorted(np.unique(case.y), case.y)
    for row, code, w in zip(X.tolist(), codes, weight, strict=True):
        signal = [Fraction(value) for value in row]
        for W, b in network.layers:
            pairs = zip(W.tolist(), b.tolist(), strict=True)
            a = [sum((Fraction(v) * s for v, s in zip(v_, signal, strict=True)), Fraction(c)) for v_, c in pairs]
            signal = [Fraction(int(value >= 0)) for value in a]
        if network.head == "argmax":
            wrong = int(a.index(max(a)) != code)
        else:
            target = [code] if len(a) == 1 else [int(c == code) for c in range(len(a))]
            wrong = sum(int(u != t) for u, t in zip(signal, target, strict=True))
        total.append(wrong * float(w))
    return math.fsum(total)


@functools.cache
def neuron_patterns(
    points: tuple[tuple[float, ...], ...], weights: str = "continuous", bound: int = 1, biases: bool = True
) -> np.ndarray:
    """All patterns, of shape (count, p), that [w·x + b >= 0] takes on distinct points.

    Without biases, continuous weights: those of a neuron that is nowhere 0, except at x = 0 where it must be.
    """
    x = np.array(points)
    if weights == "integer":
        scores = _integer_scores(x, bound, biases, offset=int(np.abs(x).sum(axis=1).max()) * bound + 1)
        return np.unique(scores >= 0, axis=0)
    lifted = np.hstack([x, np.full((len(x), int(biases)), 1.0)])
    origin = ~lifted.any(axis=1)
    signs = (np.array(s) for s in itertools.product([-1.0, 1.0], repeat=len(x)))
    return np.array([s > 0 for s in signs if np.all(s[origin] > 0) and _satisfiable((s[:, None] * lifted)[~origin])])


@functools.cache
def labelings(
    points: tuple[tuple[float, ...], ...], n_classes: int, weights: str, bound: int, biases: bool
) -> np.ndarray:
    """All labelings, of shape (count, p), by the largest of `n_classes` scores, the first on a tie."""
    x = np.array(points)
    if weights == "integer":
        # a constant added to all biases changes nothing: those of the first score are 0
        reach = 2 * int(np.abs(x).sum(axis=1).max()) * bound + 1
        scores = np.unique(_integer_scores(x, bound, biases, reach), axis=0)
        first = _integer_scores(x, bound, False, 0)
        found = set()
        for others in itertools.product(range(len(scores)), repeat=n_classes - 2):
            fixed = [scores[k] for k in others]
            for start in first:
                stack = np.stack([np.broadcast_to(s, scores.shape) for s in (start, *fixed)] + [scores])
                found.update(map(bytes, np.argmax(stack, axis=0).astype(np.uint8)))
        return np.array([list(f) for f in found])
    lifted = np.hstack([x, np.full((len(x), int(biases)), 1.0)])
    possible = []
    for labels in itertools.product(range(n_classes), repeat=len(x)):
        rows = []
        for row, label in zip(lifted, labels, strict=True):
            for other in range(n_classes):
                # at the origin, without biases, all scores are 0 and the first wins
                if other != label and (row.any() or label != 0):
                    difference = np.zeros((n_classes, lifted.shape[1]))
                    difference[label], difference[other] = row, -row
                    rows.append(difference.ravel())
        if _satisfiable(np.array(rows).reshape(-1, n_classes * lifted.shape[1])):
            possible.append(labels)
    return np.array(possible)


def _satisfiable(rows: np.ndarray) -> bool:
    """Whether some v has rows @ v > 0."""
    if not len(rows):
        return True
    found = linprog(np.zeros(rows.shape[1]), A_ub=-rows, b_ub=-np.ones(len(rows)), bounds=(None, None))
    assert found.status in (0, 2), found.message
    return bool(found.status == 0)


def _integer_scores(x: np.ndarray, bound: int, biases: bool, offset: int) -> np.ndarray:
    """Scores, of shape (count, p), of every integer weight vector with every bias up to `offset`."""
    span = np.arange(-bound, bound + 1)
    W = np.array(list(itertools.product(span, repeat=x.shape[1])))
    b = np.arange(-offset, offset + 1) if biases else np.zeros(1)
    return ((W @ x.T)[:, None, :] + b[:, None]).reshape(-1, len(x))


def all_labels(count: int, n_classes: int = 2) -> list[np.ndarray]:
    """Every labeling of `count` points in which each class occurs."""
    found = (np.array(labels) for labels in itertools.product(range(n_classes), repeat=count))
    return [y for y in found if len(np.unique(y)) == n_classes]


def some_labels(seed: int, count: int, how_many: int, n_classes: int = 2) -> list[np.ndarray]:
    """A sample of the labelings in which each class occurs."""
    rng = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    while len(found) < how_many:
        y = rng.integers(0, n_classes, count)
        if len(np.unique(y)) == n_classes:
            found.append(y)
    return found


POINTS = {
    "line": [[0], [1], [2], [4], [7]],
    "line with repeats": [[0], [0], [1], [1], [2], [2]],
    "square": [[0, 0], [0, 1], [1, 0], [1, 1]],
    "collinear in the plane": [[0, 0], [1, 2], [2, 4], [3, 6], [1, 1]],
    "square with center, doubled": [[0, 0], [0, 2], [2, 0], [2, 2], [1, 1], [1, 1]],
    "eight in the plane": [[0, 0], [3, 1], [1, 4], [5, 5], [2, 2], [6, 0], [0, 6], [4, 3]],
    "three by three without a corner": [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]],
}
"""Small point sets in one and two dimensions; several have repeats or three points on a line."""
