"""Logistic regressions that give logits: they are fitted, and compared and measured on rows that did not fit them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.calibration import probabilities

if TYPE_CHECKING:
    from bdnn.types import Floats, Indices

_ITERATIONS = 1000  # of L-BFGS, which needs only tens of them on standardized values


class Affine(NamedTuple):
    """Logits as an affine map of values that are clipped."""

    weights: Floats
    bias: Floats
    low: Floats
    high: Floats

    def __call__(self, values: Floats) -> Floats:
        """Return the logits of values."""
        return np.clip(values, self.low, self.high) @ self.weights.T + self.bias


Fit = Callable[["Floats", "Indices", "Floats | None"], Affine]
"""Returns logits for values, codes of classes, and weights of the rows or None."""


class Figures(NamedTuple):
    """How good probabilities are."""

    log_loss: float
    brier: float


def figures(logits: Floats, codes: Indices, weight: Floats | None) -> Figures:
    """Return log-loss and Brier score of logits."""
    shares = probabilities(logits)
    truth = np.arange(shares.shape[1]) == codes[:, None]
    # a probability that is rounded to 0 counts as the least number above 0
    right = np.maximum(shares[truth], np.finfo(np.float64).tiny)
    squares = ((shares - truth) ** 2).sum(axis=1) / (2 if shares.shape[1] == 2 else 1)
    return Figures(float(np.average(-np.log(right), weights=weight)), float(np.average(squares, weights=weight)))


def best(
    fits: Sequence[Fit],
    data: tuple[Floats, Indices, Floats | None],
    parts: Iterable[tuple[Indices, Indices]],
) -> tuple[Affine, Figures]:
    """Return the fit of the least log-loss on rows that did not fit it, fitted to all rows, and its figures there.

    Parameters
    ----------
    fits : sequence of callable
        Ways to fit.
    data : tuple
        Values, codes of classes, and weights of the rows or None.
    parts : iterable of tuple
        Rows that fit, with every class, and others that measure; no row measures twice.
    """
    values, codes, weight = data
    pairs = list(parts)
    rows = np.concatenate([others for _, others in pairs])

    def some(chosen: Indices) -> Floats | None:
        return None if weight is None else weight[chosen]

    def measured(fit: Fit) -> Figures:
        logits = [fit(values[own], codes[own], some(own))(values[others]) for own, others in pairs]
        return figures(np.concatenate(logits), codes[rows], some(rows))

    found = [measured(fit) for fit in fits]
    least = min(range(len(fits)), key=lambda number: found[number].log_loss)
    return fits[least](values, codes, weight), found[least]


def reading(inverse: float) -> Fit:
    """Return logistic regression on standardized values, of this inverse strength of the regularization."""

    def fit(values: Floats, codes: Indices, weight: Floats | None) -> Affine:
        center, scale = values.mean(axis=0), values.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        weights, bias = _logistic((values - center) / scale, codes, weight, inverse)
        weights = weights / scale
        return Affine(weights, bias - weights @ center, values.min(axis=0), values.max(axis=0))

    return fit


def separate(inverse: float) -> Fit:
    """Return logistic regression on values as they are, without ends."""

    def fit(values: Floats, codes: Indices, weight: Floats | None) -> Affine:
        return _endless(*_logistic(values, codes, weight, inverse))

    return fit


def shared(n_blocks: int, n_classes: int) -> Fit:
    """Return logistic regression on values as they are, without ends, by one slope for each of the first blocks.

    A block has one value for each class. One block is the scaling of logits by a temperature, with a bias for each
    class. Slopes and biases are regularized by half of their squares, as slopes are in that of scikit-learn with C=1.
    """

    def fit(values: Floats, codes: Indices, weight: Floats | None) -> Affine:
        from scipy.optimize import minimize

        parts = [values[:, k * n_classes : (k + 1) * n_classes] for k in range(n_blocks)]
        truth = np.arange(n_classes) == codes[:, None]
        counts = np.ones(len(codes)) if weight is None else weight

        def loss(unknown: Floats) -> tuple[float, Floats]:
            logits = np.tile(unknown[n_blocks:], (len(codes), 1))
            for slope, part in zip(unknown[:n_blocks], parts, strict=True):
                logits += slope * part
            logits -= logits.max(axis=1, keepdims=True)
            powers = np.exp(logits)
            totals = powers.sum(axis=1)
            value = counts @ (np.log(totals) - logits[truth]) + unknown @ unknown / 2
            slack = counts[:, None] * (powers / totals[:, None] - truth)
            return float(value), np.array([*(np.sum(slack * part) for part in parts), *slack.sum(axis=0)]) + unknown

        start = np.zeros(n_blocks + n_classes)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
        weights = np.zeros((n_classes, values.shape[1]))
        for k, slope in enumerate(found[:n_blocks]):
            weights[:, k * n_classes : (k + 1) * n_classes] = slope * np.eye(n_classes)
        return _endless(weights, found[n_blocks:])

    return fit


def _logistic(values: Floats, codes: Indices, weight: Floats | None, inverse: float) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=inverse, max_iter=_ITERATIONS).fit(values, codes, weight)
    return fitted.coef_, fitted.intercept_


def _endless(weights: Floats, bias: Floats) -> Affine:
    ends = np.full(weights.shape[1], np.inf)
    return Affine(weights, bias, -ends, ends)
