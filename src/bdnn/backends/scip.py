"""SCIP, an open-source solver with native indicator rows; extra ``scip``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bdnn.backends import threads as running
from bdnn.backends.protocol import Capabilities, EventCallback, MilpSolution
from bdnn.clock import reading
from bdnn.milp.tolerances import Tolerances
from bdnn.status import Status

if TYPE_CHECKING:
    import pyscipopt
    import scipy.sparse as sp

    from bdnn.budget import Budget
    from bdnn.milp.program import Cone, Milp
    from bdnn.types import Floats

_MAX_SECONDS = 1e20  # SCIP takes no more
# squares of the sides of a cone may differ by 1e-7, so the sides of one near 0 by 3e-4 / scale
_CONE_SCALE = 100.0


class Scip:
    """SCIP (S. Bolusani et al., arXiv:2402.17702), by PySCIPOpt. One thread."""

    name: ClassVar[str] = "scip"
    capabilities: ClassVar[Capabilities] = Capabilities(
        continuous=True,
        indicators=True,
        quadratic=True,
        # in numerical trouble, SCIP asks its LP solver for 1e-3 of this, and the LP solver accepts no less than 1e-10
        tolerances=Tolerances(integrality=1e-7, feasibility=1e-7),
        entries_per_second=300_000,
    )

    @classmethod
    def is_available(cls) -> bool:
        """Whether PySCIPOpt is installed."""
        return find_spec("pyscipopt") is not None

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimize; see `Backend.solve`."""
        budget, began = budget.start(), reading()
        try:
            model, variables, slacks, square = _model(milp, budget)
        except running.Late:
            return running.too_late(began)
        tolerances = self.capabilities.tolerances
        model.setParams(
            {
                "limits/nodes": -1 if budget.nodes is None else budget.nodes,
                "limits/gap": 0.0,
                "randomization/randomseedshift": budget.seed,
                "numerics/feastol": tolerances.feasibility,
                "misc/catchctrlc": False,
                # this is not needed for cones, and its solver has crashed in a process that had loaded Gurobi
                "nlp/disable": True,
            }
        )
        if start is not None:
            solution = model.createSol()
            for variable, value in zip(variables, start.tolist(), strict=True):
                model.setSolVal(solution, variable, value)
            # each indicator row has a slack that takes its violation where it does not apply
            row = milp.indicators.rows @ start
            for (variable, r, on), excess in zip(slacks, _excess(milp, slacks, row), strict=True):
                if excess > 0 and (start[milp.indicators.binary[r]] > 0.5) != on:
                    model.setSolVal(solution, variable, excess)
            if square is not None and milp.quadratic is not None:
                model.setSolVal(solution, square, float(milp.quadratic @ (start * start)))
            model.addSol(solution)
        if math.isfinite(budget.seconds):
            model.setParam("limits/time", min(max(budget.remaining, 1e-3), _MAX_SECONDS))
        return running.solve_on_thread(
            milp, budget, lambda run: _job(model, variables, run), on_event, self.name, began
        )


def _entries(cone: Cone) -> Iterator[tuple[int, float]]:
    return zip(cone.columns.tolist(), cone.coefficients.tolist(), strict=True)


def _excess(milp: Milp, slacks: list[tuple[pyscipopt.Variable, int, bool]], row: Floats) -> list[float]:
    """Return by how much each indicator row would be violated if it applied."""
    cond = milp.indicators
    return [float(cond.lower_on[r] - row[r] if on else row[r] - cond.upper_off[r]) for _, r, on in slacks]


def _model(
    milp: Milp, budget: Budget
) -> tuple[
    pyscipopt.Model,
    list[pyscipopt.Variable],
    list[tuple[pyscipopt.Variable, int, bool]],
    pyscipopt.Variable | None,
]:
    """Return the program, its variables, and two kinds of variables that SCIP needs besides, or raise `running.Late`.

    These are the slack of each indicator row (with the row and whether it holds for 1), and the variable that bounds
    the quadratic part of the objective, or None.
    """
    import pyscipopt

    model = pyscipopt.Model()
    model.hideOutput()
    kinds = np.where(milp.integer, "I", np.where(milp.implied, "M", "C"))
    kinds[milp.integer & (milp.lower >= 0) & (milp.upper <= 1)] = "B"
    variables = [
        model.addVar(vtype=kind, lb=None if low == -np.inf else low, ub=None if high == np.inf else high, obj=cost)
        for kind, low, high, cost in zip(
            kinds.tolist(), milp.lower.tolist(), milp.upper.tolist(), milp.cost.tolist(), strict=True
        )
    ]
    model.addObjoffset(milp.offset)

    def expressions(matrix: sp.csr_matrix) -> Iterator[pyscipopt.Expr]:
        starts, columns, data = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
        for a, b in running.in_time(itertools.pairwise(starts), budget):
            yield pyscipopt.quicksum(data[k] * variables[columns[k]] for k in range(a, b))

    for row, low, high in zip(expressions(milp.rows), milp.row_lower.tolist(), milp.row_upper.tolist(), strict=True):
        if low == high:
            model.addCons(row == low)
            continue
        if low > -np.inf:
            model.addCons(row >= low)
        if high < np.inf:
            model.addCons(row <= high)
    cond = milp.indicators
    sides = (cond.binary.tolist(), cond.lower_on.tolist(), cond.upper_off.tolist())
    slacks = []
    for r, (row, binary, low, high) in enumerate(zip(expressions(cond.rows), *sides, strict=True)):
        if low > -np.inf:
            added = model.addConsIndicator(-row <= -low, binvar=variables[binary])
            slacks.append((model.getSlackVarIndicator(added), r, True))
        if high < np.inf:
            added = model.addConsIndicator(row <= high, binvar=variables[binary], activeone=False)
            slacks.append((model.getSlackVarIndicator(added), r, False))
    for cone in milp.cones:
        terms = ((_CONE_SCALE * c) ** 2 * variables[j] * variables[j] for j, c in _entries(cone))
        model.addCons(pyscipopt.quicksum(terms) <= _CONE_SCALE**2 * variables[cone.bound] * variables[cone.bound])
    square = None
    if milp.quadratic is not None:
        square = model.addVar(lb=0.0, obj=1.0)
        used = np.flatnonzero(milp.quadratic).tolist()
        terms = (float(milp.quadratic[j]) * variables[j] * variables[j] for j in used)
        model.addCons(pyscipopt.quicksum(terms) <= square)
    return model, variables, slacks, square


def _job(model: pyscipopt.Model, variables: list[pyscipopt.Variable], run: running.Run) -> tuple[Status | None, str]:
    import pyscipopt

    kinds = pyscipopt.SCIP_EVENTTYPE
    caught = (kinds.BESTSOLFOUND, kinds.NODESOLVED, kinds.LPSOLVED)

    def vector() -> Floats:
        best = model.getBestSol()
        return np.array([model.getSolVal(best, variable) for variable in variables])

    class Listener(pyscipopt.Eventhdlr):  # type: ignore[misc]  # untyped
        def eventinit(self) -> None:
            for kind in caught:
                model.catchEvent(kind, self)

        def eventexit(self) -> None:
            for kind in caught:
                model.dropEvent(kind, self)

        def eventexec(self, event: pyscipopt.Event) -> None:
            if run.stopping:
                model.interruptSolve()
            new = event.getType() == kinds.BESTSOLFOUND
            run.tell(vector() if new else None, model.getDualbound(), model.getNTotalNodes())

    model.includeEventhdlr(Listener(), "bdnn", "reports progress")
    model.optimizeNogil()
    status = model.getStatus()
    run.tell(vector() if model.getNSols() else None, model.getDualbound(), model.getNTotalNodes(), last=True)
    reasons = {
        "optimal": (Status.OPTIMAL, running.OPTIMAL),
        "infeasible": (Status.INFEASIBLE, running.INFEASIBLE),
        "timelimit": (None, running.TIME_LIMIT),
        "nodelimit": (None, running.NODE_LIMIT),
        "totalnodelimit": (None, running.NODE_LIMIT),
        "userinterrupt": (None, running.STOPPED),
    }
    return reasons.get(status, (Status.FAILED, f"SCIP ended with status {status}"))
