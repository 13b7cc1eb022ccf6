"""The margin ε: large enough that a solver's tolerances cannot turn a wrong sign into a right one.

Nor may it be so small that it is lost in a solver's own cuts: these would cut off feasible solutions, and the bound
would be wrong. With ε = 5e-8, HiGHS 1.16 at tolerances of 1e-9 gave a wrong bound for one in forty programs of two
neurons and five to eight points, with 1e-5 for one in 2,600, and with 1e-4 for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import MarginError
from bdnn.milp.tolerances import CONE_TOLERANCE, Tolerances
from bdnn.network.intervals import dual_norm

if TYPE_CHECKING:
    from bdnn.problem.presolve import Presolved
    from bdnn.problem.problem import Problem
    from bdnn.types import Floats

# the margin must be twice the violation that tolerances allow; it is doubled again to be safe
_SAFETY = 4.0
# below 1e-5 solvers were seen to return wrong bounds
_MIN_MARGIN = 1e-4
# larger margins would exclude networks that matter, those with weights up to 1 on inputs up to 1
_LARGEST_MARGIN = 1e-2
# with a regularizer, weights shrink until the margin stops them, so the margin sets their scale
_REGULARIZED_MARGIN = 1e-2
# integers a and -1 - a are told apart as long as tolerances let less than 1/2 slip, from either side; a quarter of it
_LARGEST_INTEGER_SLACK = 0.125
# smallest gap between sums of perturbed integers, which are not integers: well above the tolerances of all solvers
_SMALLEST_GAP = 1e-6


def regularized_margin(problem: Problem) -> float | None:
    """Return the margin of continuous weights under ℓ1 or ℓ2, None in all other cases.

    Such weights become as small as the margin allows, so it must be well above noise: 0.01 unless another is asked for.
    """
    if problem.weights == "integer" or problem.regularizer not in ("l1", "l2"):
        return None
    return problem.margin or _REGULARIZED_MARGIN


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
    # sums reach r, and biases b̄ reach r + 1; differences of two outputs reach twice that
    big_m = max((2 if argmax and k == len(reach) - 1 else 1) * (2 * r + 2.0) for k, r in enumerate(reach))
    slack = tolerances.slack(big_m)
    if problem.robust and problem.robust_norm == "2":
        slack += CONE_TOLERANCE
    if problem.weights == "integer":
        if slack > _LARGEST_INTEGER_SLACK:
            raise MarginError(
                f"integer weights on these inputs give sums up to {big_m:.3g}, too large for the solver's "
                f"tolerance {tolerances.integrality:g}; rescale {_widest(presolved)}, or make it non-integer so that "
                f"it is quantized"
            )
        return 0.0
    margin = regularized_margin(problem) or problem.margin
    if margin is None:
        if _SAFETY * slack > _LARGEST_MARGIN:
            raise MarginError(
                f"with {presolved.X.shape[1]} varying columns no margin up to {_LARGEST_MARGIN:g} is safe for the "
                f"solver's tolerance {tolerances.integrality:g}; use fewer columns"
            )
        return max(_SAFETY * slack, _MIN_MARGIN)
    if margin < 2 * slack:
        raise MarginError(
            f"margin {margin:g} is too small for the solver's tolerances: it needs at least {2 * slack:.3g} "
            f"here; leave it as None to choose it automatically"
        )
    return float(margin)


def _widest(presolved: Presolved) -> str:
    spread = np.abs(presolved.X).max(axis=0, initial=0.0)
    return f"column {presolved.problem.feature_labels[presolved.kept[int(np.argmax(spread))]]!r}"


@dataclass(frozen=True, eq=False, slots=True)
class Scales:
    """Margin and bounds that every program of a reduced problem shares.

    Attributes
    ----------
    margin : float
        ε, or 0 for integer weights.
    on, off : float
        Least pre-activation of a neuron that fires, and largest of one that does not.
    weight : float
        w̄, the largest absolute weight.
    norms : ndarray of shape (p,)
        ‖x_i‖₁ of the reduced points.
    reach : list of float
        Largest weighted sum of inputs of each layer.
    bias_bounds : list of float
        b̄ of each layer.
    tolerances : Tolerances
        Tolerances for which the margin was chosen.
    zero_fires : bool
        Continuous weights without biases: a neuron whose inputs are all 0 fires, and no margin can be asked of it.
    """

    margin: float
    on: float
    off: float
    weight: float
    norms: Floats
    reach: list[float]
    bias_bounds: list[float]
    tolerances: Tolerances
    zero_fires: bool

    @classmethod
    def of(cls, presolved: Presolved, tolerances: Tolerances) -> Scales:
        """Return the scales of a reduced problem; raise `MarginError` if no margin is safe."""
        problem, integer = presolved.problem, presolved.problem.weights == "integer"
        weight = float(problem.weight_bound) if integer else 1.0
        norms = np.abs(presolved.X).sum(axis=1)
        if problem.robust and presolved.grid is not None:
            norms = np.maximum(*(np.abs(side) for side in presolved.box())).sum(axis=1)
        elif problem.robust:
            norms = norms + dual_norm(presolved.radius[None, :], problem.robust_norm)[0]
        reach = [float(norms.max(initial=0.0)) * weight, *(d * weight for d in problem.widths[:-1])]
        margin = safe_margin(presolved, reach, problem.head == "argmax", tolerances)
        # b̄ must allow a neuron to be constant with its margin
        slack = [1.0 if integer or r == 0 else margin for r in reach]
        bias_bounds = [(r + s) * problem.fit_intercept for r, s in zip(reach, slack, strict=True)]
        if integer:
            bias_bounds = [float(np.ceil(bound)) for bound in bias_bounds]
        on, off = (0.0, -1.0) if integer else (margin, -margin)
        if integer and problem.robust and presolved.grid is None:  # perturbed sums are not integers
            off = -max(_SMALLEST_GAP, _SAFETY * tolerances.slack(2 * reach[0] + 2.0))
        zero_fires = not integer and not problem.fit_intercept
        return cls(margin, on, off, weight, norms, reach, bias_bounds, tolerances, zero_fires)

    def above(self, width: int) -> tuple[float, float, float]:
        """Return (on, off, ε) for rows of a layer with `width` binary inputs u, which read a - ε Σ_j u_j in place of a.

        Where a zero input fires, this asks for 0 and -ε (1 + width), so for ε on both sides when some input is 1;
        elsewhere ε is 0.
        """
        return (0.0, -self.margin * (1 + width), self.margin) if self.zero_fires else (self.on, self.off, 0.0)

    def big_m(self, layer: int, reach: Floats | float | None = None) -> Floats:
        """Return a valid M of each point (or, deeper than layer 0, of all points) for rows of a layer.

        `reach` bounds the weighted sums if they are not those of free weights.
        """
        if reach is None:
            reach = self.norms * self.weight if layer == 0 else self.reach[layer]
        slack = max(self.on, -self.off)
        if layer and self.zero_fires:
            slack = self.margin * (1 + 2 * self.reach[layer] / self.weight)
        return np.asarray(reach + self.bias_bounds[layer] + slack)
