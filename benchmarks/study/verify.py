"""Decides exactly whether a point stays right under every perturbation of its features by at most a radius.

Hidden neurons that are constant on the ball are fixed, the others enumerated. A linear program looks for an input with
an activation pattern whose class is wrong. Nothing is believed of the program: an input counts only if it lies in the
closed ball and the network itself predicts a wrong label there, and a pattern is excluded only by a non-negative
combination of its inequalities that no point of the ball fulfills, checked in rational arithmetic. What neither settles
is left undecided.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from bdnn import Network
from bdnn.exact import signs

MOST_NEURONS = 12


class Verdicts(NamedTuple):
    """What was found, by point.

    Attributes
    ----------
    proven, broken : ndarray of shape (m,)
        Whether the prediction is right on the whole ball; whether it is wrong at the attack. Neither: undecided.
    attacks : ndarray of shape (m, n)
        Inputs within the ball that are predicted wrong, where there are any, else the points themselves.
    """

    proven: np.ndarray
    broken: np.ndarray
    attacks: np.ndarray


def ends(X: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest floats that differ from X by at most the radius, in exact arithmetic."""
    far = (X - radius, X + radius)
    low, high = (np.where(_apart(X, end, radius), np.nextafter(end, X), end) for end in far)
    return low, high


def _apart(X: np.ndarray, Z: np.ndarray, radius: float) -> np.ndarray:
    """Where |X - Z| exceeds the radius, in exact arithmetic."""
    pairs = zip(X.ravel().tolist(), Z.ravel().tolist(), strict=True)
    return np.array([abs(Fraction(x) - Fraction(z)) > Fraction(radius) for x, z in pairs], dtype=bool).reshape(X.shape)


def verify(network: Network, X: np.ndarray, y: np.ndarray, radius: float) -> Verdicts:
    """Decide for each point whether an input of the closed ∞-ball around it is predicted wrong.

    Parameters
    ----------
    network : Network
        With one or more hidden layers, few neurons in the first one, and no grid.
    X : ndarray of shape (m, n)
        Points.
    y : ndarray of shape (m,)
        Their labels.
    radius : float
        Radius of all balls, which are not clipped to the range of the data.

    Returns
    -------
    Verdicts
    """
    if network.grid is not None or len(network.layers) < 2 or network.widths[0] > MOST_NEURONS:
        raise ValueError(f"verification needs a hidden layer of at most {MOST_NEURONS} neurons and no grid")
    X = network.check_inputs(X)
    radius = float(radius)
    patterns = np.array(list(product((False, True), repeat=network.widths[0])))
    classes = Network(network.layers[1:], network.head, network.classes).predict(patterns.astype(float))
    low, high = ends(X, radius)
    broken, attacks = network.predict(X) != y, X.copy()
    proven = np.zeros(len(X), dtype=bool)
    first = _FirstLayer(network, radius)
    for i in np.flatnonzero(~broken):
        ball = _Ball(first, X[i], low[i], high[i])
        wrong, left = patterns[ball.may_hold(patterns) & (classes != y[i])], False
        while len(wrong):
            pattern = wrong[0]
            attack, excluded = ball.decide(network, pattern, y[i])
            if attack is not None:
                broken[i], attacks[i] = True, attack
                break
            if excluded is None:
                left, excluded = True, np.ones(len(pattern), dtype=bool)
            wrong = wrong[(wrong != pattern)[:, excluded].any(axis=1)]
        proven[i] = not broken[i] and not left
    if np.any(_apart(X, attacks, radius)) or np.any(network.predict(attacks[broken]) == y[broken]):
        raise AssertionError("an attack lies outside its ball or is predicted right")
    return Verdicts(proven, broken, attacks)


class _FirstLayer:
    """The first layer in floats and in rationals, and how far its pre-activations reach on a ball."""

    def __init__(self, network: Network, radius: float):
        self.weights, self.bias = (a.astype(np.float64) for a in network.layers[0])
        self.exact = [[Fraction(w) for w in row] for row in self.weights.tolist()]
        self.radius = Fraction(radius)
        self.reach = [self.radius * sum(map(abs, row)) for row in self.exact]


class _Ball:
    """The ball around one point."""

    def __init__(self, first: _FirstLayer, x: np.ndarray, low: np.ndarray, high: np.ndarray):
        self.first, self.x, self.low, self.high = first, x, low, high
        self.center = [signs.rational(x, w, b) for w, b in zip(first.weights, first.bias, strict=True)]
        pairs = list(zip(self.center, first.reach, strict=True))
        self.may_fire = np.array([a + reach >= 0 for a, reach in pairs])
        self.may_rest = np.array([a - reach < 0 for a, reach in pairs])

    def may_hold(self, patterns: np.ndarray) -> np.ndarray:
        """Which patterns give every neuron a state that it takes somewhere in the ball."""
        return np.all(np.where(patterns, self.may_fire, self.may_rest), axis=1)

    def decide(
        self, network: Network, pattern: np.ndarray, label: object
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return an input of the ball that is predicted wrong, or the neurons whose states exclude each other."""
        point, multipliers = self._program(pattern)
        excluded = self._excluded(pattern, multipliers)
        if excluded is None and network.predict(point[None, :])[0] != label:
            return point, None
        return None, excluded

    def _program(self, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the point where the least slack is largest, in units of the reaches, and the rows' multipliers."""
        opened = np.flatnonzero(self.may_fire & self.may_rest)
        reach = np.array([float(self.first.reach[j]) for j in opened])
        side = np.where(pattern[opened], 1.0, -1.0) / reach
        radius, n = float(self.first.radius), len(self.x)
        solved = linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.hstack([-side[:, None] * self.first.weights[opened] * radius, np.ones((len(opened), 1))]),
            b_ub=side * np.array([float(self.center[j]) for j in opened]),
            bounds=[(-1.0, 1.0)] * n + [(None, None)],
            method="highs",
        )
        multipliers = np.zeros(len(pattern))
        if solved.status != 0:
            return self.x, multipliers
        multipliers[opened] = -solved.ineqlin.marginals
        return np.clip(self.x + radius * solved.x[:n], self.low, self.high), multipliers

    def _excluded(self, pattern: np.ndarray, multipliers: np.ndarray) -> np.ndarray | None:
        """Return the neurons with multipliers if these prove that no point of the ball has their states."""
        first, used = self.first, np.flatnonzero(multipliers > 1e-12)
        for digits in (10**18, 1000):  # ties need the multipliers without their rounding errors
            factors = {
                j: (1 if pattern[j] else -1) * Fraction(multipliers[j]).limit_denominator(digits) / first.reach[j]
                for j in used
            }
            value = sum((factor * self.center[j] for j, factor in factors.items()), Fraction(0))
            slopes = (sum(factor * first.exact[j][k] for j, factor in factors.items()) for k in range(len(self.x)))
            most = value + first.radius * sum(map(abs, slopes))
            # a neuron at rest is below 0, so a combination with one of them must be above 0, not only at least 0
            if most < 0 or (most == 0 and any(factor < 0 for factor in factors.values())):
                return np.isin(np.arange(len(pattern)), used)
        return None
