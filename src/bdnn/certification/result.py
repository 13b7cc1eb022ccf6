"""What certification returns: by point, what is proven and what was found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import real_numbers
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.types import Bools, Floats, Integers


class Curve(NamedTuple):
    """Accuracies over radii.

    Attributes
    ----------
    radii : ndarray of shape (k,)
        Radii of closed balls, in units of the scale.
    certified : ndarray of shape (k,)
        Fraction of the points that are proven to keep their decision; never above the true robust accuracy.
    attacked : ndarray of shape (k,)
        Fraction of the points without a known attack; never below it.
    """

    radii: Floats
    certified: Floats
    attacked: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certification:
    """Verdicts on m points. Distances are ‖δ / scale‖ in the norm asked for.

    Parameters
    ----------
    robust : ndarray of shape (m,), bool
        Proven: right at the point, and no input within the radius in question changes the decision. Without a radius
        in question that is radius 0.
    undecided : ndarray of shape (m,), bool
        Neither proven nor attacked in the time, or the smallest perturbation is known to less than six digits.
    radius : ndarray of shape (m,)
        Certified, rounded down: no allowed input at distance up to this one, included, changes the decision; inf where
        none at all does. Where `attained`, only inputs nearer than that are covered. Where all features that matter
        are integers it is a distance that integers have: that of the smallest perturbation, or if that is not known
        the last one that is proven. In norm inf it is exact behind a grid as well.
    attained : ndarray of shape (m,), bool
        Whether the attack lies at a distance of exactly `radius`, as it does for points that are wrong themselves.
    attack : ndarray of shape (m, n)
        The nearest input found that is decided differently, verified by `Network.predict`; NaN where there is none.
    distance : ndarray of shape (m,)
        Its distance, rounded up; inf where there is none.
    clean : ndarray of shape (m,), bool
        Whether the point itself is right.
    seconds : ndarray of shape (m,)
        Time by point.
    nodes : ndarray of shape (m,)
        Nodes of branch and bound by point.
    asked : float or None
        The radius in question; None if the smallest perturbations were.
    norm : str
        The norm.
    interrupted : bool
        Whether Ctrl-C ended the run.
    level_changes : int or None
        Most columns whose level could change; None if that was not asked.
    changed : ndarray of shape (m,) or None
        Columns whose level changes in the attack; with `level_changes` only.
    columns : RawTable or None
        The points as columns of their table, with those of the attacks changed; from columns only.
    """

    robust: Bools
    undecided: Bools
    radius: Floats
    attained: Bools
    attack: Floats
    distance: Floats
    clean: Bools
    seconds: Floats
    nodes: Integers
    asked: float | None
    norm: str
    interrupted: bool = False
    level_changes: int | None = None
    changed: Integers | None = None
    columns: RawTable | None = None

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the points that are proven robust; undecided ones do not count."""
        return _mean(self.robust)

    @property
    def attacked_accuracy(self) -> float:
        """Fraction of the points without a known attack within the radius in question."""
        return _mean(self.distance > (0.0 if self.asked is None else self.asked))

    @property
    def clean_accuracy(self) -> float:
        """Fraction of the points that are right themselves."""
        return _mean(self.clean)

    def curve(self, radii: ArrayLike) -> Curve:
        """Return the certified accuracy and the accuracy under the attacks found, over radii.

        Parameters
        ----------
        radii : array-like of shape (k,)
            Radii of closed balls, not negative.

        Returns
        -------
        Curve
            One value of each per radius. After a run with a radius in question, neither says anything beyond it.

        Raises
        ------
        InputError
            If a radius is negative or NaN.
        """
        r = np.atleast_1d(real_numbers("radii", radii))
        if r.ndim != 1 or not np.all(r >= 0):
            raise InputError("radii must be numbers >= 0, one after the other")
        if not len(self.clean):
            return Curve(r, np.ones(len(r)), np.ones(len(r)))
        radius, holds, clean = self.radius[:, None], ~self.attained[:, None], self.clean[:, None]
        certified = (clean & ((radius > r) | (holds & (radius == r)))).mean(axis=0)
        attacked = (self.distance[:, None] > r).mean(axis=0)
        return Curve(r, certified, attacked)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, attacks left out; infinite numbers become None."""
        known = self.radius[self.clean & ~self.undecided]
        return {
            "points": len(self.robust),
            "norm": self.norm,
            "asked_radius": self.asked,
            "clean_accuracy": self.clean_accuracy,
            "attacked_accuracy": self.attacked_accuracy,
            "certified_accuracy": self.robust_accuracy,
            "undecided": int(self.undecided.sum()),
            "median_radius": None if self.asked is not None or not len(known) else _plain(float(np.median(known))),
            "seconds": float(self.seconds.sum()),
            "nodes": int(self.nodes.sum()),
            "interrupted": self.interrupted,
            **self._levels(),
            "robust": self.robust.tolist(),
            "undecided_points": self.undecided.tolist(),
            "radius": [_plain(r) for r in self.radius.tolist()],
            "distance": [_plain(d) for d in self.distance.tolist()],
        }

    def _levels(self) -> dict[str, Any]:
        """Return what was asked of levels, and found, if anything was."""
        if self.changed is None:
            return {}
        return {"level_changes": self.level_changes, "changed_levels": self.changed.tolist()}

    def summary(self) -> str:
        """Return the figures as lines of text."""
        d = self.to_dict()
        where = "smallest perturbations" if self.asked is None else f"radius {self.asked:g}"
        if self.level_changes:
            where += f", at most {self.level_changes} change{'s' if self.level_changes > 1 else ''} of level"
        lines = [
            ("points", f"{d['points']}, {where}, norm {self.norm}"),
            ("clean accuracy", f"{self.clean_accuracy:.2%}"),
            ("attacked accuracy", f"{self.attacked_accuracy:.2%}, at most"),
            ("certified accuracy", f"{self.robust_accuracy:.2%}, at least"),
            ("undecided", f"{d['undecided']}{', stopped by Ctrl-C' if self.interrupted else ''}"),
            ("median radius", None if d["median_radius"] is None else f"{d['median_radius']:.6g} of the right points"),
            ("time", f"{d['seconds']:.1f} s, {d['nodes']} nodes"),
        ]
        return "\n".join(f"{name:<20}{text}" for name, text in lines if text is not None)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: Bools) -> float:
    return float(values.mean()) if len(values) else 1.0
