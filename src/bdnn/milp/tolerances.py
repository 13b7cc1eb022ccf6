"""How far solvers may leave what they are given."""

from __future__ import annotations

from dataclasses import dataclass

CONE_TOLERANCE = 1e-6
"""By how much a solver may violate a second-order cone."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a solver may leave an integer value, and a row."""

    integrality: float = 1e-9
    feasibility: float = 1e-9

    def slack(self, big_m: float) -> float:
        """Largest violation of a row with this big-M by a solution that the solver accepts."""
        return 2 * big_m * self.integrality + self.feasibility


DEFAULT_TOLERANCES = Tolerances()
