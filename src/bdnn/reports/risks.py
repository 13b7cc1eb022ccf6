"""Risks by score: how often rows with a score belong to the second class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices


# rows of the base rate that are mixed into every score, so that a single row does not count as certainty
_PRIOR = 2.0
# a range of fewer rows is joined to its neighbor: a share of so few rows is chance
_FEWEST = 5
# most scores that are listed one by one, and most ranges otherwise
_MOST_SCORES, _RANGES = 15, 10


class Calibrated(Protocol):
    """A map from pre-activations to probabilities."""

    def probabilities(self, values: Floats) -> Floats:
        """Return the probabilities of the classes."""
        ...


@dataclass(frozen=True, slots=True)
class Risk:
    """The risk of some scores.

    Attributes
    ----------
    low, high : float
        Least and largest of these scores.
    rows, events : int
        Number of rows with these scores, and of those among them that belong to the second class.
    risk : float
        Estimated probability of the second class.
    """

    low: float
    high: float
    rows: int
    events: int
    risk: float

    @property
    def scores(self) -> str:
        """The scores as text."""
        return f"{self.low:.10g}" if self.low == self.high else f"{self.low:.10g} to {self.high:.10g}"


def risks_of_scores(
    scores: Floats, codes: Indices, threshold: int, calibration: Calibrated | None = None
) -> tuple[tuple[Risk, ...], str]:
    """Return the risks of the scores of some rows, and a description of how they were estimated.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        Of each row.
    codes : ndarray of shape (m,)
        Class of each row, 0 or 1.
    threshold : int
        Least score of the second class; no range goes across it.
    calibration : Calibration or None
        That of the model. Without one, the share of the second class among the rows of a score is mixed with two rows
        of the base rate, and neighbors are pooled until risks grow with the score; ranges of fewer than five rows on
        one side of the threshold are joined.
    """
    distinct = np.unique(scores)
    starts = distinct
    if len(distinct) > _MOST_SCORES:
        wanted = np.quantile(scores, np.linspace(0, 1, _RANGES + 1)[1:-1], method="higher")
        above = distinct[distinct >= threshold][:1]
        starts = np.unique(np.concatenate([distinct[:1], wanted, above]))
    if calibration is None:
        starts = _joined(starts, scores, threshold)
    group = np.searchsorted(starts, scores, side="right") - 1
    rows = np.bincount(group, minlength=len(starts))
    events = np.bincount(group, weights=codes, minlength=len(starts))
    if calibration is not None:
        middle = np.array([np.median(scores[group == number]) for number in range(len(starts))])
        risk = calibration.probabilities((middle - threshold)[:, None])[:, 1]
        rule = "by the calibration of the model, at the median score of each range"
    else:
        base = float(codes.mean())
        weights = rows.astype(np.float64) + _PRIOR
        risk = _increasing((events.astype(np.float64) + _PRIOR * base) / weights, weights)
        rule = (
            f"from the rows of each score, mixed with {_PRIOR:g} rows of the base rate {base:.1%}, and made to grow "
            f"with the score"
        )
    found = [
        Risk(float(part.min()), float(part.max()), int(n), int(e), float(r))
        for part, n, e, r in zip((scores[group == g] for g in range(len(starts))), rows, events, risk, strict=True)
    ]
    return tuple(found), rule


def _joined(starts: Floats, scores: Floats, threshold: int) -> Floats:
    """Return the starts of the ranges left after those of few rows joined a neighbor on their side of the threshold.

    Ranges are visited from the highest down; the rows left over at the low end of a side join the range above.
    """
    kept: list[float] = []
    for below in (True, False):
        side, inside = (values[(values < threshold) == below] for values in (starts, scores))
        taken: list[float] = []
        for start in side[::-1].tolist():
            if np.sum((inside >= start) & (inside < (taken[-1] if taken else np.inf))) >= _FEWEST:
                taken.append(start)
        if len(side):
            kept += [float(side[0]), *taken[:-1][::-1]]
    return np.array(kept)


def _increasing(values: Array, weights: Array) -> Floats:
    """Return the nearest values that do not decrease, by pooling adjacent violators."""
    pools: list[list[float]] = []  # value, weight, count
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            v, w, n = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + v * w) / (before[1] + w)
            before[1] += w
            before[2] += n
    return np.repeat([pool[0] for pool in pools], [int(pool[2]) for pool in pools])
