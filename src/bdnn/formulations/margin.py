"""The margin ε: large enough that a solver's tolerances cannot turn a wrong sign into a right one.

Nor may it be so small that it is lost in a solver's own cuts, or these cut off feasible solutions and the bound is
wrong: with ε = 5e-8, HiGHS 1.16 at tolerances of 1e-9 gave a wrong bound for one in forty programs of two neurons and
five to eight points, with 1e-5 for one in 2,600, with 1e-4 for none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bdnn.errors import MarginError
from bdnn.presolve import Presolved

_SAFETY = 4.0
_LEAST_MARGIN = 1e-4
_LARGEST_MARGIN = 1e-2
_LARGEST_INTEGER_SLACK = 0.125


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a solver may leave an integer value, and a row."""

    integrality: float = 1e-9
    feasibility: float = 1e-9

    def slack(self, big_m: float) -> float:
        """Largest violation of a row with this big-M by a solution that the solver accepts."""
        return 2 * big_m * self.integrality + self.feasibility


DEFAULT_TOLERANCES = Tolerances()


def safe_margin(presolved: Presolved, reach: list[float], argmax: bool, tolerances: Tolerances) -> float:
    """Choose ε, the distance that pre-activations keep from 0.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem.
    reach : list of float
        Largest weighted sum of inputs of each layer.
    argmax : bool
        Whether differences of two outputs are compared in the last layer.
    tolerances : Tolerances
        Of the solver.

    Returns
    -------
    float
        The margin asked for, or else 1e-4 or, if that is more, a small multiple of the largest violation that the
        solver may accept; 0 for integer weights, where it is only checked that the tolerances cannot bridge a unit.

    Raises
    ------
    MarginError
        If no margin is safe.
    """
    problem = presolved.problem
    # sums reach r, biases b̄ up to r + 1; differences of two outputs twice that
    big_m = max((2 if argmax and k == len(reach) - 1 else 1) * (2 * r + 2.0) for k, r in enumerate(reach))
    slack = tolerances.slack(big_m)
    if problem.weights == "integer":
        if slack > _LARGEST_INTEGER_SLACK:
            raise MarginError(
                f"integer weights on these inputs give sums up to {big_m:.3g}, too large for the solver's "
                f"tolerance {tolerances.integrality:g}; rescale {_widest(presolved)}, or make it non-integer so that "
                f"it is quantised"
            )
        return 0.0
    if problem.margin is None:
        if _SAFETY * slack > _LARGEST_MARGIN:
            raise MarginError(
                f"with {presolved.X.shape[1]} varying columns no margin up to {_LARGEST_MARGIN:g} is safe for the "
                f"solver's tolerance {tolerances.integrality:g}; use fewer columns"
            )
        return max(_SAFETY * slack, _LEAST_MARGIN)
    if problem.margin < 2 * slack:
        raise MarginError(
            f"margin {problem.margin:g} is too small for the solver's tolerances: it needs at least {2 * slack:.3g} "
            f"here; leave it None to choose it automatically"
        )
    return float(problem.margin)


def _widest(presolved: Presolved) -> str:
    spread = np.abs(presolved.X).max(axis=0, initial=0.0)
    return f"column {presolved.problem.feature_labels[presolved.kept[int(np.argmax(spread))]]!r}"
