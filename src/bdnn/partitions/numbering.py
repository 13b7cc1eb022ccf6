"""Random choices of rows by their number alone, so that they do not depend on how rows are cut into parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bdnn.types import Bools

# the constants of splitmix64 (G. L. Steele, D. Lea and C. H. Flood, doi:10.1145/2660193.2660195)
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SHIFTS = 30, 27, 31  # of the same
_BITS = 2**64  # numbers that 64 bits hold
_PURPOSES = 2**32  # seeds of one purpose, so that those of two never meet


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw, which says for rows in a row which of them are drawn; see `drawn`."""

    share: float
    seed: int
    purpose: int

    def __call__(self, first: int, count: int) -> Bools:
        """Return which of the rows first, first + 1, … are drawn."""
        return drawn(first, count, self.share, self.seed, self.purpose)


def drawn(first: int, count: int, share: float, seed: int, purpose: int) -> Bools:
    """Return which of the rows first, first + 1, … are drawn.

    Parameters
    ----------
    first, count : int
        Numbers of the rows.
    share : float
        Of all rows, from 0 to 1.
    seed : int
        Of the run.
    purpose : int
        What they are drawn for: draws for different purposes are independent.

    Returns
    -------
    ndarray of shape (count,), bool

    Examples
    --------
    >>> import numpy as np
    >>> whole = drawn(0, 1000, 0.25, 7, 0)
    >>> bool(np.array_equal(whole[300:], drawn(300, 700, 0.25, 7, 0))), int(whole.sum())
    (True, 249)
    """
    if share >= 1.0:
        return np.ones(count, dtype=bool)
    z: NDArray[np.uint64] = np.arange(first, first + count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = (z + np.uint64((seed + purpose * _PURPOSES + 1) * _GOLDEN % _BITS)) * np.uint64(_GOLDEN)
        z = (z ^ (z >> np.uint64(_SHIFTS[0]))) * np.uint64(_FIRST)
        z = (z ^ (z >> np.uint64(_SHIFTS[1]))) * np.uint64(_SECOND)
        z ^= z >> np.uint64(_SHIFTS[2])
    return np.asarray(z < np.uint64(int(max(share, 0.0) * float(_BITS)) if share > 0 else 0))
