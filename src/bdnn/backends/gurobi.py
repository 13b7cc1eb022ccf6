"""Gurobi, a commercial solver; extra ``gurobi``. The license that comes with its package is limited in size."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp

from bdnn.backends import threads as running
from bdnn.backends.protocol import Capabilities, EventCallback, MilpSolution
from bdnn.clock import reading
from bdnn.errors import InputError, SolverError
from bdnn.milp.tolerances import Tolerances
from bdnn.status import Status

if TYPE_CHECKING:
    import gurobipy

    from bdnn.budget import Budget
    from bdnn.milp.program import Milp
    from bdnn.types import Floats

_FREE_SIZE = 2000  # variables, and rows, of the license that comes with gurobipy
_SIZE_LIMIT_EXCEEDED = 10010  # GRB.Error.SIZE_LIMIT_EXCEEDED
# squares of the sides of a cone may differ by 1e-9, so the sides of one near 0 by 3e-5 / scale
_CONE_SCALE = 10.0


class Gurobi:
    """Gurobi (Gurobi Optimization, LLC, https://www.gurobi.com), by gurobipy."""

    name: ClassVar[str] = "gurobi"
    capabilities: ClassVar[Capabilities] = Capabilities(
        continuous=True,
        indicators=True,
        quadratic=True,
        # they are set to 1e-9 below, but indicator rows whose sides are below 1e-7 were seen to be violated by more
        tolerances=Tolerances(integrality=1e-7, feasibility=1e-7),
        entries_per_second=1_000_000,
    )

    @classmethod
    def is_available(cls) -> bool:
        """Whether gurobipy is installed; takes no license."""
        return find_spec("gurobipy") is not None

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimize; see `Backend.solve`.

        Raises `SolverError` without a license, and `InputError` if the program is too large for it.
        """
        import gurobipy

        budget, began = budget.start(), reading()
        try:
            env = gurobipy.Env(params={"OutputFlag": 0})
            _check_size(env, milp)
            model, x = _model(env, milp, budget)
        except running.Late:
            return running.too_late(began)
        except gurobipy.GurobiError as error:
            raise SolverError(f"Gurobi cannot be used: {error}; set up its license or choose another solver") from None
        parameters = {
            "Threads": budget.threads,
            "Seed": budget.seed % 2_000_000_000,
            "MIPGap": 0.0,
            "MIPGapAbs": 1e-7,
            "IntFeasTol": 1e-9,
            "FeasibilityTol": 1e-9,
            "OptimalityTol": 1e-9,
            "NodeLimit": math.inf if budget.nodes is None else budget.nodes,
            "TimeLimit": max(budget.remaining, 1e-3),
        }
        for name, value in parameters.items():
            model.setParam(name, value)
        if start is not None:
            x.setAttr("Start", start)
        return running.solve_on_thread(milp, budget, lambda run: _job(model, x, run), on_event, self.name, began)


def _check_size(env: gurobipy.Env, milp: Milp) -> None:
    """Raise InputError if the license is limited and the program exceeds it."""
    import gurobipy

    n_rows = milp.rows.shape[0] + len(milp.indicators)
    if max(milp.n_columns, n_rows) <= _FREE_SIZE:
        return
    with gurobipy.Model(env=env) as probe:
        probe.addMVar(_FREE_SIZE + 1)
        try:
            probe.optimize()
        except gurobipy.GurobiError as error:
            if error.errno != _SIZE_LIMIT_EXCEEDED:
                raise
            raise InputError(
                f"the program has {milp.n_columns} variables and {n_rows} rows, but this license of Gurobi is "
                f"limited to {_FREE_SIZE} of each; use a full license, another solver, fewer rows or fewer neurons"
            ) from None


def _model(env: gurobipy.Env, milp: Milp, budget: Budget) -> tuple[gurobipy.Model, gurobipy.MVar]:
    import gurobipy
    from gurobipy import GRB

    model = gurobipy.Model(env=env)
    kinds = np.where(milp.integer, GRB.INTEGER, GRB.CONTINUOUS)
    kinds[milp.integer & (milp.lower >= 0) & (milp.upper <= 1)] = GRB.BINARY
    x = model.addMVar(milp.n_columns, lb=milp.lower, ub=milp.upper, vtype=kinds)
    squares: Any = None
    if milp.quadratic is not None:
        squares = sp.diags(milp.quadratic).tocsr()
    model.setMObjective(squares, milp.cost, milp.offset, x, x, x, GRB.MINIMIZE)
    for side, sense in ((milp.row_lower, GRB.GREATER_EQUAL), (milp.row_upper, GRB.LESS_EQUAL)):
        here = np.isfinite(side)
        if here.any():
            model.addMConstr(milp.rows[here], x, sense, side[here])
    cond = milp.indicators
    variables = x.tolist()
    starts, columns, data = cond.rows.indptr.tolist(), cond.rows.indices.tolist(), cond.rows.data.tolist()
    sides = (cond.binary.tolist(), cond.lower_on.tolist(), cond.upper_off.tolist())
    rows = zip(starts, starts[1:], *sides, strict=False)
    for a, b, binary, low, high in running.in_time(rows, budget):
        row = gurobipy.LinExpr(data[a:b], [variables[j] for j in columns[a:b]])
        if low > -math.inf:
            model.addGenConstrIndicator(variables[binary], True, row, GRB.GREATER_EQUAL, low)
        if high < math.inf:
            model.addGenConstrIndicator(variables[binary], False, row, GRB.LESS_EQUAL, high)
    for cone in milp.cones:
        norm = gurobipy.QuadExpr()
        norm.addTerms(
            [(_CONE_SCALE * c) ** 2 for c in cone.coefficients.tolist()],
            [variables[j] for j in cone.columns.tolist()],
            [variables[j] for j in cone.columns.tolist()],
        )
        model.addQConstr(norm, GRB.LESS_EQUAL, _CONE_SCALE**2 * variables[cone.bound] * variables[cone.bound])
    return model, x


def _job(model: gurobipy.Model, x: gurobipy.MVar, run: running.Run) -> tuple[Status | None, str]:
    from gurobipy import GRB

    variables = x.tolist()

    def callback(model: gurobipy.Model, where: int) -> None:
        if run.stopping:
            model.terminate()
        elif where == GRB.Callback.MIPSOL:
            found = np.array(model.cbGetSolution(variables))
            run.tell(found, model.cbGet(GRB.Callback.MIPSOL_OBJBND), int(model.cbGet(GRB.Callback.MIPSOL_NODCNT)))
        elif where == GRB.Callback.MIP:
            run.tell(None, model.cbGet(GRB.Callback.MIP_OBJBND), int(model.cbGet(GRB.Callback.MIP_NODCNT)))

    run.stop_solver = model.terminate
    model.optimize(callback)
    status = model.Status
    # while it solves, Gurobi handles the Ctrl-C signal itself
    run.interrupted = status == GRB.INTERRUPTED and not run.stopping
    bound = model.ObjBound if model.IsMIP or status == GRB.OPTIMAL else -math.inf
    run.tell(np.array(x.X) if model.SolCount else None, bound, int(model.NodeCount), last=True)
    reasons = {
        GRB.OPTIMAL: (Status.OPTIMAL, running.OPTIMAL),
        GRB.INFEASIBLE: (Status.INFEASIBLE, running.INFEASIBLE),
        GRB.TIME_LIMIT: (None, running.TIME_LIMIT),
        GRB.NODE_LIMIT: (None, running.NODE_LIMIT),
        GRB.INTERRUPTED: (None, running.STOPPED),
    }
    return reasons.get(status, (Status.FAILED, f"Gurobi ended with status {status}"))
