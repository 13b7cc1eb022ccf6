"""Networks without hidden layer whose integer weights are rounded from those of a logistic regression."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.arrays import row_blocks
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from bdnn.compact.proposals import Rows
    from bdnn.network.losses import Head
    from bdnn.types import Array, Floats, Indices, Integers

_ITERATIONS = 300
"""Of the regression: enough for bits; it need not converge, as its weights are rounded."""
_SCALES = 12
"""Lengths of the weights that are tried: from those at which the largest fits to twice as long, the largest cut off."""


class Affine(NamedTuple):
    """Logits as an affine map of what a network sees: of the second of two classes, or of each of more."""

    weights: Floats
    bias: Floats
    classes: Indices
    """Codes of the classes, ascending."""


def regression(rows: Rows, penalty: float) -> Affine:
    """Return the logits of a logistic regression, for rows with at least two classes.

    Parameters
    ----------
    rows : Rows
        Integers that the network sees, of shape (m, k).
    penalty : float
        Weight of half the sum of squares, where the inputs are scaled to 1.

    Returns
    -------
    Affine
        Of more than two classes, the weights of an input add up to 0, as only their differences matter.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    largest = np.maximum(np.abs(rows.X).max(axis=0), 1.0)
    model = LogisticRegression(C=1.0 / penalty, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.X / largest, rows.y, rows.weight)
    weights, bias = model.coef_ / largest, model.intercept_
    if len(weights) > 1:
        weights, bias = weights - weights.mean(axis=0), bias - bias.mean()
    return Affine(weights, bias, model.classes_)


def rounded(logits: Affine, X: Array, y: Indices, weight: Floats, bound: int) -> Network:
    """Return a network of integer weights up to a bound that has about these logits.

    Parameters
    ----------
    logits : Affine
        Of a regression on the same rows.
    X : ndarray of shape (m, k)
        Integers that the network sees, of any type.
    y : ndarray of shape (m,)
        Codes of classes, of these only.
    weight : ndarray of shape (m,)
        Of the rows.
    bound : int
        Largest weight.

    Returns
    -------
    Network
        Of the length of weights, of some, that keeps the most log-likelihood.
    """
    weights, bias, classes = logits
    codes = np.searchsorted(classes, y)
    size = np.abs(weights).max(initial=0.0)
    if not size > 0:
        size = 1.0
    best = (-np.inf, np.zeros_like(weights, dtype=np.int64), np.zeros(len(bias), dtype=np.int64))
    for scale in np.geomspace(bound / size, 2.0 * bound / size, _SCALES):
        W = np.clip(np.rint(weights * scale), -bound, bound).astype(np.int64)
        b = np.rint(bias * scale).astype(np.int64)
        fit = _likelihood((_sums(X, W) + b) / scale, codes, weight)
        if fit > best[0]:
            best = (fit, W, b)
    head: Head = "threshold" if len(best[1]) == 1 else "argmax"
    return Network((Layer(best[1], best[2]),), head, classes)


def _sums(X: Array, W: Integers) -> Floats:
    """Return X Wᵀ, without a copy of all of X in doubles."""
    out = np.empty((len(X), len(W)))
    for rows in row_blocks(len(X), X.shape[1]):
        out[rows] = X[rows].astype(np.float64) @ W.T.astype(np.float64)
    return out


def _likelihood(outputs: Floats, codes: Integers, weight: Floats) -> float:
    """Return the weighted log-likelihood of logits, those of two classes as one column."""
    if outputs.shape[1] == 1:
        signed = np.where(codes == 1, outputs[:, 0], -outputs[:, 0])
        return float(-(weight * np.logaddexp(0.0, -signed)).sum())
    outputs = outputs - outputs.max(axis=1, keepdims=True)
    return float((weight * (outputs[np.arange(len(codes)), codes] - np.log(np.exp(outputs).sum(axis=1)))).sum())
