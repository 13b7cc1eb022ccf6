"""The point of a polyhedron that is nearest to the origin, with multipliers that prove it.

The polyhedron is {e : W e + alpha >= 0, L <= e <= U} with L <= 0 <= U. The methods for the three norms are named in
docs/mathematics/certification.md. Multipliers are never trusted: see `support`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bdnn._native import certify

if TYPE_CHECKING:
    from bdnn.types import Floats


class Nearest(NamedTuple):
    """A nearest point.

    Attributes
    ----------
    point : ndarray of shape (n,)
        About the nearest point, feasible up to rounding if the solver ended well.
    factors : ndarray of shape (k,)
        Multipliers >= 0 of the rows.
    radius : float
        About its distance, from the multipliers; inf if there is no such point.
    """

    point: Floats
    factors: Floats
    radius: float


def nearest(
    norm: int,
    W: Floats,
    alpha: Floats,
    L: Floats,
    U: Floats,
    stop: float,
    pause: Callable[[int], None] | None = None,
) -> Nearest:
    """Find the nearest point; give up once the distance exceeds `stop`.

    Parameters
    ----------
    norm : int
        `support.INF`, `support.ONE` or `support.TWO`.
    W, alpha : ndarray of shape (k, n), (k,)
        Rows, contiguous float64.
    L, U : ndarray of shape (n,)
        Bounds, which may be infinite.
    stop : float
        Distances beyond this do not matter; not used for norm 1.
    pause : callable or None
        Called with 0 several times in 50 ms; what it raises ends the work.

    Returns
    -------
    Nearest

    Raises
    ------
    InputError
        If an array is not as described, or holds NaN.
    """
    return Nearest(*certify.nearest(norm, W, alpha, L, U, stop, pause))
