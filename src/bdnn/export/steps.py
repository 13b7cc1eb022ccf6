"""Where functions of an integer rise, found by bisection on the functions themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Floats, Integers

Rising = Callable[["Floats"], "Floats"]
"""A function of doubles, element by element, that never falls and whose values are integers."""


def doubles(integers: Integers, scale: int) -> Floats:
    """Return the doubles that device integers stand for: those nearest to k / scale."""
    return np.asarray(integers / np.float64(scale))


def rises(function: Rising, low: int, high: int, scale: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where a function of k / scale rises for integers k of a range, and its values.

    Parameters
    ----------
    function : callable
        Never falling.
    low, high : int
        Ends of the range, below 2^53.
    scale : int
        Integers per unit.

    Returns
    -------
    cuts : tuple of int
        Each k from ``low + 1`` on at which it is larger than at k - 1.
    values : tuple of int
        Its values, one more than cuts.

    Examples
    --------
    >>> rises(lambda x: np.clip(np.rint(x / 2.5), 0, 2), -100, 100, 10)
    ((13, 38), (0, 1, 2))
    """

    def at(k: Integers) -> Integers:
        return function(doubles(k, scale)).astype(np.int64)

    first, last = at(np.array([low, high], dtype=np.int64)).tolist()
    # the smallest k whose value is at least each of those that may occur
    wanted = np.arange(first + 1, last + 1, dtype=np.int64)
    below, above = np.full(len(wanted), low, dtype=np.int64), np.full(len(wanted), high, dtype=np.int64)
    while np.any(above - below > 1):
        middle = below + (above - below) // 2
        reached = at(middle) >= wanted
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    cuts = np.unique(above)
    return tuple(cuts.tolist()), (first, *at(cuts).tolist())
