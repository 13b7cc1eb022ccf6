"""Grids that turn real inputs into small integers, and where they begin and end.

A grid spans the values of a column, unless a few extremes would take nearly all of its points: a grid of 256 points
from 18 to 65535 has one for all readings around 20. Then some of the lowest and highest values are left outside and get
the first or the last point to themselves; docs/mathematics/network.md states the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.arrays import frozen, real_numbers
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Floats, Reals

_MAX_ROWS = 4_000  # that are looked at: they tell the shares of pairs to about a hundredth
_MAX_NUMBERS = 40_000_000  # 320 MB
# factor by which moved ends must reduce the pairs that are lost: only extremes cost so many
_GAIN = 8.0


@dataclass(frozen=True, eq=False, slots=True)
class InputGrid:
    """Per-feature grid that turns real inputs into small integers.

    The integer of feature j is ``clip(rint((x_j - offset_j) / step_j), 0, 2**bits - 1)`` in double arithmetic.

    Parameters
    ----------
    offset : ndarray of shape (n,)
        Value of the first grid point, in units of the feature.
    step : ndarray of shape (n,)
        Distance between grid points, positive, in units of the feature.
    bits : int
        Bits per input, 1 to 16.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, a step is not positive or `bits` is out of range.
    """

    offset: Floats
    step: Floats
    bits: int

    def __post_init__(self) -> None:
        offset, step = (
            frozen(real_numbers(what, a)) for what, a in (("grid offsets", self.offset), ("grid steps", self.step))
        )
        if offset.ndim != 1 or offset.shape != step.shape:
            raise InputError(
                f"a grid needs one offset and one step per feature, got shapes {offset.shape}, {step.shape}"
            )
        if not (np.all(np.isfinite(offset)) and np.all(np.isfinite(step)) and np.all(step > 0)):
            raise InputError("grid offsets must be finite and grid steps finite and positive")
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= 16:
            raise InputError(f"input_bits must be an integer from 1 to 16, got {self.bits!r}")
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "step", step)

    @classmethod
    def spanning(cls, X: Floats, bits: int) -> InputGrid:
        """Return a grid with ``2**bits`` points for the columns of X.

        It goes from the smallest to the largest value, unless a few extremes would take nearly all of its points: then
        these go to the first or the last point, and the grid spans the others. See `ends`.
        """
        first, step = ends(X, bits)
        flat = (X.max(axis=0) > X.min(axis=0)) & (step < np.finfo(np.float64).tiny)
        if np.any(flat):
            raise InputError(f"column {np.argmax(flat)} varies too little for a grid; rescale it or leave it out")
        return cls(first, np.where(step > 0, step, 1.0), bits)

    def quantize(self, X: Reals) -> Floats:
        """Return the integers of X, of shape (m, n), as floats with integer values."""
        with np.errstate(over="ignore"):
            return np.clip(np.rint((X - self.offset) / self.step), 0.0, 2.0**self.bits - 1.0)

    quantise = quantize  # an older name


def grid_box(grid: InputGrid, X: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and largest integers that perturbed inputs are rounded to, each of shape (m, n).

    Balls of the norms 1 and 2 are replaced by their bounding boxes. Sums are rounded outward.
    """
    low = np.where(radius > 0, np.nextafter(X - radius, -np.inf), X)
    high = np.where(radius > 0, np.nextafter(X + radius, np.inf), X)
    return grid.quantize(low), grid.quantize(high)


def ends(X: Floats, bits: int) -> tuple[Floats, Floats]:
    """Return the first point of a grid and the distance between its points, for each column.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Rows, at least one. Of very many rows, some and the extremes are looked at.
    bits : int
        There are ``2**bits`` points.

    Returns
    -------
    first, step : ndarray of shape (n,)
        The step is 0 for columns of one value.

    Examples
    --------
    >>> first, step = ends(np.array([[0.0], [1.0], [3.0]]), 2)
    >>> first.tolist(), step.tolist()
    ([0.0], [1.0])
    >>> first, step = ends(np.array([[15.0], [18.0], [20.0], [22.0], [29.0], [65535.0]]), 4)
    >>> first.tolist(), step.tolist()
    ([15.0], [1.0])
    """
    first, high = (np.asarray(side, dtype=np.float64) for side in (X.min(axis=0), X.max(axis=0)))
    step = (high - first) / (2**bits - 1)
    stride = -(-len(X) // min(_MAX_ROWS, max(_MAX_NUMBERS // X.shape[1], 2))) if X.shape[1] else 1
    parts = [X] if stride == 1 else [X[::stride], first[None, :], high[None, :]]
    values = np.sort(np.vstack(parts).astype(np.float64, copy=False).T, axis=1)
    for j in np.flatnonzero(step >= np.finfo(np.float64).tiny).tolist():
        if (moved := _moved(values[j], float(first[j]), float(step[j]), bits)) is not None:
            first[j], step[j] = moved
    return first, step


def _moved(values: Floats, first: float, step: float, bits: int) -> tuple[float, float] | None:
    """Return other ends of the grid of sorted values if they are worth it, else None."""
    same, points = _share_equal(values), 2.0**bits
    lost = _share_equal(_on_grid(values, first, step, bits)) - same
    # evenly spread values lose 1 / points of their pairs, and a bell curve from end to end about 2.5 times as many; of
    # few values, a pair or two may be equal by chance
    if lost <= max(4.0 / (points + 2.5), 0.1 / len(values)):
        return None
    unavoidable = max(1.0 / points - same, 0.0)
    tried = _tried(values, bits)
    excess = {ends: share - same - unavoidable for ends, (share, _) in tried.items()}
    worth = min(2.0 * min(excess.values()) + 1.0 / points, (lost - unavoidable) / _GAIN)
    # of those that are about as good, the one that leaves the fewest values outside
    best = min(excess, key=lambda ends: (excess[ends] > worth, sum(ends), excess[ends]))
    return tried[best][1] if excess[best] <= worth else None


def _tried(values: Floats, bits: int) -> dict[tuple[int, int], tuple[float, tuple[float, float] | None]]:
    """Return ends by how many values they leave outside, below and above, and the shares of pairs that are equal."""
    m, gaps = len(values), np.diff(values)
    below, above = [0], [0]
    size = 1
    while size <= m - 2:
        most = min(2 * size, m - 1)  # one value, two or three, four to seven …: where the gap to the others is widest
        below.append(size + int(np.argmax(gaps[size - 1 : most - 1])))
        above.append(size + int(np.argmax(gaps[::-1][size - 1 : most - 1])))
        size *= 2
    tried: dict[tuple[int, int], tuple[float, tuple[float, float] | None]] = {}

    def best(several: Iterable[tuple[int, int]]) -> tuple[int, int]:
        def share(ends: tuple[int, int]) -> float:
            if ends not in tried:
                placed = _placed(values, *ends, bits)
                tried[ends] = (np.inf if placed is None else _share_equal(_on_grid(values, *placed, bits)), placed)
            return tried[ends][0]

        return min(several, key=lambda ends: (share(ends), sum(ends)))

    # both sides at once, since one extreme hides what is gained by leaving another one outside; then side by side
    found = best([*zip(below, above, strict=True), *((b, 0) for b in below), *((0, a) for a in above)])
    found = best((b, found[1]) for b in below)
    best((found[0], a) for a in above)
    return tried


def _placed(values: Floats, below: int, above: int, bits: int) -> tuple[float, float] | None:
    """Return the ends of a grid whose first and last points are those of values outside, if there are any."""
    if below + above > len(values) - 2:
        return None
    first, last = (1 if below else 0), 2**bits - (2 if above else 1)
    if last <= first:  # of two points, values outside share that of the nearest others
        first, last = 0, 1
    low, high = float(values[below]), float(values[len(values) - 1 - above])
    step = (high - low) / (last - first)
    return (low - first * step, step) if step >= np.finfo(np.float64).tiny else None


def _on_grid(values: Floats, first: float, step: float, bits: int) -> Floats:
    with np.errstate(over="ignore"):
        return np.clip(np.rint((values - first) / step), 0.0, 2.0**bits - 1.0)


def _share_equal(values: Floats) -> float:
    """Return the share of equal values among all pairs, of sorted values."""
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) != 0)
    counts = np.diff(starts, append=len(values)).astype(np.float64)
    return float(np.dot(counts, counts)) / len(values) ** 2
