"""Score cards: SLIM (B. Ustun and C. Rudin, arXiv:1502.04269), small integers for thresholds that are passed.

The objective is SLIM's: the share of wrong rows, and a price for every weight that is not 0. An exact search takes
hours on most tables. Here, rounded logistic regression, which is all that imodels has without a commercial solver, is
the beginning; then every weight in turn takes the best of all integers within the bound, as long as that helps.
"""

from __future__ import annotations

import warnings

import numpy as np
from packed_networks import Binarized, Front
from plans import stumps
from pool import Candidate, Path, Rows, judged
from sklearn.linear_model import LogisticRegression
from sources import Split

from bdnn import Network
from bdnn.compact.inputs import BitInputs

THRESHOLDS = (5, 12, 32, 96, 256)
"""To choose from, those that boosting takes first."""
BOUNDS = (2, 5, 20)
"""Of the weights."""
PRICES = (0.0002, 0.002, 0.008)
PASSES = 6
WIDER = 8
"""Biases may be as large as so many of the largest weights."""


def _needed(sums: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what output k needs to win, and who wins without it; ties go to the lowest class."""
    if sums.shape[1] == 1:
        return np.zeros(len(sums), dtype=np.int64), np.zeros(len(sums), dtype=np.int64)
    others = sums.copy()
    others[:, k] = np.iinfo(np.int64).min
    best = others.argmax(axis=1)
    return others[np.arange(len(sums)), best] + (best < k), best


def _errors(missing: np.ndarray, own: np.ndarray, right: np.ndarray, bound: int) -> np.ndarray:
    """Return the errors for each weight from -bound to bound, of rows that can be right.

    Parameters
    ----------
    missing : ndarray of int
        The least weight that makes the output win.
    own : ndarray of bool
        Rows of the output's class, which are right if it wins.
    right : ndarray of bool
        Rows that are right if it does not.
    """
    at = np.clip(missing, -bound, bound + 1) + bound
    wins_own = np.cumsum(np.bincount(at[own], minlength=2 * bound + 2))[:-1]
    wins_right = np.cumsum(np.bincount(at[right], minlength=2 * bound + 2))[:-1]
    return own.sum() - wins_own + wins_right


def improved(
    seen: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, bound: int, price: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases after coordinate descent on SLIM's objective, which never rises."""
    W, b = W.copy(), b.copy()
    sums = seen @ W.T + b
    passing = [np.flatnonzero(column) for column in seen.T]
    for _ in range(PASSES):
        changed = False
        for k in range(len(W)):
            need, other = _needed(sums, k)
            own = y == (k if len(W) > 1 else 1)
            right = ~own & (other == y)
            for j in (*range(W.shape[1]), -1):
                rows = passing[j] if j >= 0 else slice(None)
                most = bound if j >= 0 else WIDER * bound
                old = W[k, j] if j >= 0 else b[k]
                missing = need[rows] - (sums[rows, k] - old)
                cost = _errors(missing, own[rows], right[rows], most).astype(float)
                if j >= 0:
                    cost += price * len(y) * (np.arange(-most, most + 1) != 0)
                least = np.flatnonzero(cost <= cost.min() + 1e-9)
                new = int(least[len(least) // 2]) - most  # the middle of equal ones
                if cost[new + most] >= cost[old + most] - 1e-9:
                    continue
                sums[rows, k] += new - old
                if j >= 0:
                    W[k, j] = new
                else:
                    b[k] = new
                changed = True
        if not changed:
            break
    return W, b


def slim(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Round and improve cards of all bounds and prices."""
    notes = [
        f"{number} thresholds, weights to {bound}, {price:g} a weight"
        for number in THRESHOLDS
        for bound in BOUNDS
        for price in PRICES
    ]

    def cards(rows: Rows) -> Path:
        models = []
        for number in THRESHOLDS:
            front = BitInputs.of(stumps(rows, split, seed, number))
            seen = front.values(rows[0]).astype(np.int64)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it need not converge
                model = LogisticRegression(max_iter=100).fit(seen, rows[1])
            for bound in BOUNDS:
                for price in PRICES:
                    models.append(_card(split, front, seen, rows[1], model, bound, price))
        return Path(models)

    return {"SLIM": judged(split, cards, lambda k: notes[k])}


def _card(
    split: Split, front: Front, seen: np.ndarray, y: np.ndarray, model: LogisticRegression, bound: int, price: float
) -> Binarized:
    scale = bound / max(np.abs(model.coef_).max(), 1e-12)
    W = np.rint(scale * model.coef_).astype(np.int64)
    b = np.clip(np.rint(scale * model.intercept_), -WIDER * bound, WIDER * bound).astype(np.int64)
    head = "threshold" if split.classes == 2 else "argmax"
    network = Network([improved(seen, y, W, b, bound, price)], head=head, classes=range(split.classes))
    return Binarized.of(split, front, network)
