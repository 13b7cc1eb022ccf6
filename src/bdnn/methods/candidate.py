"""A network that was submitted to a run, and its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.audit import Audit


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A network that was submitted to a run.

    Attributes
    ----------
    network : Network
        Itself.
    audit : Audit
        Its sign-exact evaluation.
    penalty : float
        Its regularizer, without the factor.
    objective : float
        Loss plus weighted regularizer.
    accuracy : float or None
        On the held-out data.
    """

    network: Network
    audit: Audit
    penalty: float
    objective: float
    accuracy: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """Objective, then regularizer: lower is better."""
        return self.objective, self.penalty
