"""What an attacker may do to an input: norm, scale, bounds and frozen features, with exact distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import real_numbers
from bdnn.certification.support import INF, NORMS, ONE, largest_move
from bdnn.columns import numbers_in_order
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats

_LARGE = 1e300  # distances below it were rounded up without an overflow
_MAX_INTEGER = 2.0**53  # doubles hold all integers up to it


class Features(Protocol):
    """What is perturbed: the inputs of a network, or the columns of a table."""

    @property
    def n_features(self) -> int:
        """Their number."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Their names."""


@dataclass(frozen=True, eq=False, slots=True)
class Perturbations:
    """A norm ‖δ / scale‖, bounds of the perturbed inputs and the features that may change.

    Attributes
    ----------
    norm : int
        `support.INF`, `support.ONE` or `support.TWO`.
    scale : ndarray of shape (n,)
        Positive, in units of the features.
    lower, upper : ndarray of shape (n,)
        Bounds of the perturbed inputs, infinite where there are none.
    free : ndarray of shape (n,), bool
        Features that may change.
    """

    norm: int
    scale: Floats
    lower: Floats
    upper: Floats
    free: Bools

    def room(self, x: Floats) -> tuple[Floats, Floats]:
        """Return how far each feature of a point can go down (<= 0) and up, in units of the scale, rounded outward."""
        with np.errstate(over="ignore"):
            down = np.nextafter(np.nextafter(self.lower - x, -np.inf) / self.scale, -np.inf)
            up = np.nextafter(np.nextafter(self.upper - x, np.inf) / self.scale, np.inf)
        down, up = np.where(self.lower == x, 0.0, down), np.where(self.upper == x, 0.0, up)
        return np.where(self.free, down, 0.0), np.where(self.free, up, 0.0)

    def clip(self, x: Floats, z: Floats) -> Floats:
        """Return z moved into the bounds, with the frozen features of x."""
        return np.where(self.free, np.clip(z, self.lower, self.upper), x)

    def measure(self, x: Floats, z: Floats) -> Fraction:
        """Return the distance exactly; for norm 2 its square."""
        moved = np.flatnonzero(x != z)
        if self.norm == INF and len(moved) > 1:
            # only the largest quotients matter, and rounding moves them by a few units in the last place
            quotients = np.abs(z[moved] - x[moved]) / self.scale[moved]
            moved = moved[quotients >= quotients.max() * (1.0 - 1e-14)]
        ways = list(zip(z[moved].tolist(), x[moved].tolist(), self.scale[moved].tolist(), strict=True))
        # many features go the same way
        far = {(a, b, unit): abs(Fraction(a) - Fraction(b)) / Fraction(unit) for a, b, unit in set(ways)}
        if self.norm == INF:
            return max(far.values(), default=Fraction(0))
        return sum((far[way] if self.norm == ONE else far[way] ** 2 for way in ways), Fraction(0))

    def distance(self, x: Floats, z: Floats) -> float:
        """Return the distance of two points, rounded up."""
        if self.norm == INF and np.all(self.scale == 1.0):
            far = float(largest_move(x, z))
            if far < _LARGE:
                return far
        exact = self.measure(x, z)
        return float_above(exact) if self.norm in (INF, ONE) else root_above(exact)

    def within(self, x: Floats, z: Floats, radius: float) -> bool:
        """Whether z is allowed and at distance at most `radius` of x, exactly."""
        if np.any(z[~self.free] != x[~self.free]) or np.any(z < self.lower) or np.any(z > self.upper):
            return False
        if radius == math.inf:
            return True
        exact = self.measure(x, z)
        return exact <= Fraction(radius) if self.norm in (INF, ONE) else exact <= Fraction(radius) ** 2

    def pulled_in(self, x: Floats, z: Floats, radius: float) -> Floats:
        """Return z with each feature at most `radius` scales away from x, to the last float (norm inf)."""
        with np.errstate(over="ignore", invalid="ignore"):
            excess = np.abs(z - x) >= self.scale * (radius * (1.0 - 1e-12))
        z = z.copy()
        for j in np.flatnonzero(excess).tolist():
            far = Fraction(radius) * Fraction(float(self.scale[j]))
            start, side = Fraction(float(x[j])), 1 if z[j] > x[j] else -1
            end = float(start + side * far)
            z[j] = end if abs(Fraction(end) - start) <= far else math.nextafter(end, float(x[j]))
        return self.clip(x, z)


def float_above(value: Fraction) -> float:
    """Return the least float that is not below a number."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


def float_below(value: Fraction) -> float:
    """Return the largest float that does not exceed a number."""
    near = float_above(value)
    return near if Fraction(near) == value else math.nextafter(near, -math.inf)


def root_below(value: Fraction) -> float:
    """Return the largest float that does not exceed the square root of a number."""
    near = root_above(value)
    return near if Fraction(near) ** 2 == value else math.nextafter(near, -math.inf)


def root_above(value: Fraction) -> float:
    """Return the least float that is not below the square root of a number."""
    near = math.sqrt(float_above(value))
    while near > 0 and Fraction(math.nextafter(near, 0.0)) ** 2 >= value:
        near = math.nextafter(near, 0.0)
    while Fraction(near) ** 2 < value:
        near = math.nextafter(near, math.inf)
    return near


def perturbations(
    network: Features,
    norm: str | int,
    scale: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    frozen: ArrayLike | None = None,
) -> Perturbations:
    """Check the settings of an attacker.

    Parameters
    ----------
    network : Network
        Whose inputs are perturbed, or anything else with features.
    norm : {"inf", "1", "2"}
        Norm of δ / scale.
    scale : array-like of shape (n,), number or None
        Positive units; None for 1.
    lower, upper : array-like of shape (n,), number or None
        Bounds; None for none.
    frozen : array-like or None
        Features that do not change: a mask of shape (n,), indices, or names.

    Returns
    -------
    Perturbations

    Raises
    ------
    InputError
        If a setting is not as described.
    """
    if norm in (1, 2) and not isinstance(norm, bool):
        norm = str(norm)
    if not isinstance(norm, str) or norm not in NORMS:
        raise InputError(f"norm must be 'inf', '1' or '2', got {norm!r}")
    units = _per_feature("scale", 1.0 if scale is None else scale, network)
    if not (np.all(np.isfinite(units)) and np.all(units > 0)):
        bad = int(np.argmax(~(np.isfinite(units) & (units > 0))))
        raise InputError(
            f"scale must be finite and positive, got {units[bad]:g} for feature {bad}; freeze features that do not vary"
        )
    low = _per_feature("lower", -np.inf if lower is None else lower, network)
    high = _per_feature("upper", np.inf if upper is None else upper, network)
    if np.any(np.isnan(low)) or np.any(np.isnan(high)):
        raise InputError("lower and upper must not hold NaN; use -inf and inf where there is no bound")
    if np.any(low > high):
        j = int(np.argmax(low > high))
        raise InputError(f"lower must not exceed upper, got {low[j]:g} > {high[j]:g} for feature {j}")
    return Perturbations(NORMS[norm], units, low, high, ~feature_mask(network, "frozen", frozen))


def check_points(allowed: Perturbations, X: Floats) -> None:
    """Raise InputError if a point lies outside the bounds."""
    outside = (X < allowed.lower) | (X > allowed.upper)
    if np.any(outside):
        i, j = np.argwhere(outside)[0].tolist()
        raise InputError(
            f"row {i} has {X[i, j]:g} in feature {j}, outside the bounds {allowed.lower[j]:g} to "
            f"{allowed.upper[j]:g}; widen lower and upper so that they hold all points"
        )


def _per_feature(what: str, values: ArrayLike, network: Features) -> Floats:
    n = network.n_features
    array = real_numbers(what, numbers_in_order(f"the numbers of {what}", values, network.feature_names))
    if array.ndim == 0:
        return np.full(n, float(array))
    if array.shape != (n,):
        raise InputError(f"{what} must be a number or one per feature, of shape ({n},), got shape {array.shape}")
    return array


def feature_mask(network: Features, what: str, chosen: ArrayLike | None) -> Bools:
    """Return which features are chosen.

    Parameters
    ----------
    network : Network
        Whose features these are.
    what : str
        Name of the setting, for messages.
    chosen : array-like or None
        A mask of shape (n,), indices, or names; None for no feature.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    InputError
        If a feature is unknown or the mask has another length.
    """
    n = network.n_features
    mask = np.zeros(n, dtype=bool)
    if chosen is None:
        return mask
    chosen = numbers_in_order(f"the entries of {what}", chosen, network.feature_names)
    listed: list[Any] = [chosen] if isinstance(chosen, str) else list(np.ravel(np.asarray(chosen, dtype=object)))
    if listed and all(isinstance(f, bool | np.bool_) for f in listed):
        if len(listed) != n:
            raise InputError(f"{what} as a mask needs one entry per feature ({n}), got {len(listed)}")
        return np.array(listed, dtype=bool)
    names: Sequence[str] = network.feature_names or ()
    for f in listed:
        if isinstance(f, str) and f in names:
            mask[names.index(f)] = True
        elif isinstance(f, int | np.integer) and not isinstance(f, bool) and 0 <= f < n:
            mask[int(f)] = True
        else:
            known = f" or one of the names {', '.join(names[:8])}" if names else " (this network has no feature names)"
            raise InputError(f"{what} must hold indices from 0 to {n - 1}{known}, or be a mask, got {f!r}")
    return mask


def integer_mask(network: Features, integer: ArrayLike | None) -> Bools:
    """Return which features are integers, where True and False stand for all and none; else as `feature_mask`."""
    if isinstance(integer, bool | np.bool_):
        return np.full(network.n_features, bool(integer))
    return feature_mask(network, "integer", integer)


def integer_features(network: Features, integer: ArrayLike, points: Floats) -> Bools:
    """Return which features are integers; check that those of the points are.

    Parameters
    ----------
    network : Network
        Whose features these are.
    integer : bool or array-like
        Whether all are; or a mask of shape (n,), indices, or names.
    points : ndarray of shape (m, n)
        The points.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    InputError
        If a feature is unknown, or a point has no integer in one of these features.
    """
    mask = integer_mask(network, integer)
    for wrong, what in (
        (points != np.rint(points), "integers"),
        (np.abs(points) > _MAX_INTEGER, "integers up to 2**53"),
    ):
        if np.any(wrong & mask):
            i, j = np.argwhere(wrong & mask)[0].tolist()
            asked = "integer=True" if isinstance(integer, bool | np.bool_) else f"integer with feature {j}"
            raise InputError(f"{asked} needs {what}, but row {i} has {points[i, j]:g} in feature {j}")
    return mask
