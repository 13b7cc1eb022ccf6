"""What is known of one point: the evidence that searches collect, and the verdict that it amounts to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.types import Floats

_DIGITS = 1e-6  # a smallest perturbation counts as decided once proof and attack agree to six digits


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What is known of one point in the end.

    Attributes
    ----------
    radius : float
        No input up to this distance, included unless the attack lies there, changes the decision.
    attack : ndarray of shape (n,) or None
        The nearest input found that is decided otherwise.
    distance : float
        Its distance, rounded up; inf without an attack.
    decided : bool
        Whether the question asked is answered.
    nodes : int
        Nodes of branch and bound.
    seconds : float
        Time spent.
    changed : int
        Columns of a row whose level the attack changes.
    """

    radius: float = 0.0
    attack: Floats | None = None
    distance: float = math.inf
    decided: bool = False
    nodes: int = 0
    seconds: float = 0.0
    changed: int = 0

    @property
    def robust(self) -> bool:
        """Whether the point is proven robust."""
        return self.decided and self.distance == math.inf


@dataclass(slots=True, eq=False)
class Evidence:
    """What the searches around one point have found so far; they share it, and add to it.

    Attributes
    ----------
    attack : ndarray of shape (n,) or None
        The nearest attack so far.
    distance : float
        Its distance, rounded up.
    floor : float
        Radius that the search in progress has proven.
    least : float
        Smallest radius that a cell was proven for, where that was not the radius asked for.
    doubtful : bool
        Whether a cell within the radius in question could be neither excluded nor attacked.
    """

    attack: Floats | None = None
    distance: float = math.inf
    floor: float = 0.0
    least: float = math.inf
    doubtful: bool = False

    def offer(self, z: Floats, distance: float) -> None:
        """Keep an attack if it is nearer than the one known."""
        if distance < self.distance:
            self.attack, self.distance = z, distance

    def doubt(self, radius: float) -> None:
        """Note that a cell could not be excluded beyond a radius."""
        self.least = min(self.least, radius)

    def within(self, limit: float, finished: bool, nodes: int, seconds: float) -> Verdict:
        """Return the verdict on a radius in question."""
        decided = self.attack is not None or (finished and not self.doubtful)
        radius = limit if decided and self.attack is None else 0.0
        return Verdict(radius, self.attack, self.distance, decided, nodes, seconds)

    def smallest(self, proven: float, finished: bool, nodes: int, seconds: float) -> Verdict:
        """Return the verdict on the smallest perturbation, of which a search has proven a lower bound."""
        radius = min(proven, self.least)
        decided = finished and (self.distance <= radius * (1.0 + _DIGITS) or radius == math.inf)
        return Verdict(min(radius, self.distance), self.attack, self.distance, decided, nodes, seconds)
