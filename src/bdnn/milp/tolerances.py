"""How far solvers may violate the constraints that they are given."""

from __future__ import annotations

from dataclasses import dataclass

CONE_TOLERANCE = 1e-6
"""By how much a solver may violate a second-order cone."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a solver may deviate from an integer value, and by how much it may violate a row."""

    integrality: float = 1e-9
    feasibility: float = 1e-9

    def slack(self, big_m: float) -> float:
        """Return the largest violation of a row with this big-M by a solution that the solver accepts."""
        return 2 * big_m * self.integrality + self.feasibility


DEFAULT_TOLERANCES = Tolerances()
