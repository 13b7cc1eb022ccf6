"""Linear programs for HiGHS: a session that is silent, keeps its basis between solves and stops at a deadline.

HiGHS (J. A. J. Hall et al., https://highs.dev) goes on from the last basis when rows are added or bounds change, which
is what row generation and dives need. The mixed-integer programs of training go through `bdnn.backends`; columns that
must be integers are for the small programs of single neurons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.status import Status

if TYPE_CHECKING:
    import highspy

    from bdnn.types import Bools, Floats, Indices

# seconds of a solve whose deadline has passed: enough for a basis that is still optimal
_MIN_SECONDS = 0.01


def quiet_highs() -> highspy.Highs:
    """Return an empty `highspy.Highs` that prints nothing."""
    import highspy

    class Quiet(highspy.Highs):  # type: ignore[misc]  # highspy is untyped
        def enableCallbacks(self) -> None:  # the constructor calls it, and it prints a banner
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Quiet()


class LinearProgram:
    """Minimize ``cost · x`` within column bounds and rows; one thread.

    Parameters
    ----------
    cost : ndarray of shape (n,)
        Objective.
    lower, upper : ndarray of shape (n,)
        Bounds of the columns, infinite where absent.
    rows : tuple of ndarray, of shapes (r, n), (r,) and (r,), or None
        First rows, their lower and their upper sides; None for none.
    integer : ndarray of shape (n,), bool, or None
        Columns that must be integers; None for none.
    options : mapping
        Further options of HiGHS.
    """

    def __init__(
        self,
        cost: Floats,
        lower: Floats,
        upper: Floats,
        rows: tuple[Floats, Floats, Floats] | None = None,
        *,
        integer: Bools | None = None,
        options: Mapping[str, float | str] | None = None,
    ) -> None:
        import highspy

        self._codes, self._deadline = highspy, math.inf
        self._highs = quiet_highs()
        for option, value in {"threads": 1, **(options or {})}.items():
            self._highs.setOptionValue(option, value)
        matrix, row_lower, row_upper = rows or (np.zeros((0, len(cost))), np.zeros(0), np.zeros(0))
        column, row = np.nonzero(matrix.T)
        starts = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=len(cost)))])
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(cost), len(row_lower)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
        lp.row_lower_, lp.row_upper_ = row_lower, row_upper
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = starts, row, matrix[row, column]
        if integer is not None:
            kinds = highspy.HighsVarType
            lp.integrality_ = [kinds.kInteger if whole else kinds.kContinuous for whole in integer.tolist()]
        self._highs.passModel(lp)
        if integer is not None:
            self._stop_at_deadline()

    def _stop_at_deadline(self) -> None:
        """Let the package's clock stop a search, beside the limit that HiGHS looks at only now and then."""

        def callback(
            kind: object, message: str, out: object, reply: highspy.cb.HighsCallbackInput, data: object
        ) -> None:
            if reading() > self._deadline and reply is not None:
                reply.user_interrupt = True

        self._highs.setCallback(callback, None)
        kinds = self._codes.cb.HighsCallbackType
        for kind in (kinds.kCallbackMipInterrupt, kinds.kCallbackSimplexInterrupt):
            self._highs.startCallback(kind)

    def add_rows(self, rows: Floats, lower: Floats | float, upper: Floats | float) -> None:
        """Add rows ``lower <= rows · x <= upper``; `rows` has shape (r, n), the sides shape (r,) or are numbers."""
        count = len(rows)
        row, column = np.nonzero(rows)
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))])[:-1]
        sides = (np.array(np.broadcast_to(side, count), dtype=np.float64) for side in (lower, upper))
        self._highs.addRows(
            count, *sides, len(row), starts.astype(np.int32), column.astype(np.int32), rows[row, column]
        )  # fmt: skip

    def set_bounds(self, columns: Indices, lower: Floats | float, upper: Floats | float) -> None:
        """Set the bounds of some columns, each of shape (k,) or one number for all."""
        sides = (np.array(np.broadcast_to(side, len(columns)), dtype=np.float64) for side in (lower, upper))
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), *sides)

    def solve(self, deadline: float = math.inf) -> Status:
        """Solve, from the last basis if there is one.

        Parameters
        ----------
        deadline : float
            Reading of `bdnn.clock` at which to stop.

        Returns
        -------
        Status
            `optimal`; `infeasible`; `feasible` if `x` is a solution but not known to be the best; else `no_solution`.
        """
        self._deadline = deadline
        left = max(deadline - reading(), _MIN_SECONDS)
        self._highs.setOptionValue("time_limit", float(self._highs.getRunTime()) + left)
        if self._highs.run() == self._codes.HighsStatus.kError:
            # the number of threads was fixed when HiGHS first ran on this thread, perhaps by others
            self._highs.setOptionValue("threads", 0)
            self._highs.run()
        known, ended = self._codes.HighsModelStatus, self._highs.getModelStatus()
        if ended == known.kOptimal:
            return Status.OPTIMAL
        if ended == known.kInfeasible:
            return Status.INFEASIBLE
        feasible = int(self._codes.SolutionStatus.kSolutionStatusFeasible)
        return Status.FEASIBLE if self._highs.getInfo().primal_solution_status == feasible else Status.NO_SOLUTION

    @property
    def x(self) -> Floats:
        """The point of the last solve, of shape (n,)."""
        return np.array(self._highs.getSolution().col_value, dtype=np.float64)

    @property
    def multipliers(self) -> Floats:
        """Dual values of the rows in the last solve, of shape (r,)."""
        return np.array(self._highs.getSolution().row_dual, dtype=np.float64)

    @property
    def bound(self) -> float:
        """Lower bound on the objective that the last search over integers proved, -inf if none."""
        return float(self._highs.getInfo().mip_dual_bound)
