"""CP-SAT, the constraint solver of OR-Tools, for programs in integers; extra ``cpsat``."""

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
from bdnn.errors import InputError
from bdnn.milp.tolerances import Tolerances
from bdnn.status import Status

if TYPE_CHECKING:
    import scipy.sparse as sp
    from ortools.sat.python import cp_model

    from bdnn.budget import Budget
    from bdnn.milp.program import Milp
    from bdnn.types import Floats

# integers up to this are exact in the doubles that programs hold, and sums of two thousand of them fit into 64 bits
_LARGEST = 2**52


class CpSat:
    """CP-SAT (L. Perron and F. Didier, https://developers.google.com/optimization), exact arithmetic in integers."""

    name: ClassVar[str] = "cpsat"
    capabilities: ClassVar[Capabilities] = Capabilities(
        continuous=False,
        indicators=True,
        quadratic=True,
        tolerances=Tolerances(integrality=0.0, feasibility=0.0),
        entries_per_second=1_500_000,
    )

    @classmethod
    def is_available(cls) -> bool:
        """Whether OR-Tools is installed."""
        return find_spec("ortools") is not None

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimize; see `Backend.solve`. A node is a conflict of the search."""
        budget, began = budget.start(), reading()
        from ortools.sat.python import cp_model

        try:
            model, variables, scale = _model(milp, budget)
            if start is not None:
                values = zip(variables, np.rint(start).astype(np.int64).tolist(), strict=True)
                for variable, value in running.in_time(values, budget):
                    model.add_hint(variable, value)
        except running.Late:
            return running.too_late(began)
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.num_workers = budget.threads
        parameters.random_seed = budget.seed
        parameters.relative_gap_limit = 0.0
        parameters.absolute_gap_limit = 0.0
        parameters.catch_sigint_signal = False
        if budget.nodes is not None:
            parameters.max_number_of_conflicts = budget.nodes
        if math.isfinite(budget.seconds):
            parameters.max_time_in_seconds = max(budget.remaining, 1e-3)

        def job(run: running.Run) -> tuple[Status | None, str]:
            return _job(solver, model, variables, scale, milp.offset, budget, run)

        return running.solve_on_thread(milp, budget, job, on_event, self.name, began)


def _integers(what: str, values: Floats) -> list[int]:
    whole = np.rint(values)
    if not np.array_equal(whole, values):
        raise InputError(f"solver 'cpsat' needs integers, and {what} of this program are not; use integer weights")
    if np.any(np.abs(whole) > _LARGEST):
        raise InputError(
            f"{what} of this program reach {np.abs(whole).max():.3g}, too large for the 64-bit integers of solver "
            f"'cpsat'; rescale the inputs, or make them non-integer so that they are quantized"
        )
    numbers: list[int] = whole.astype(np.int64).tolist()
    return numbers


def _model(milp: Milp, budget: Budget) -> tuple[cp_model.CpModel, list[cp_model.IntVar], float]:
    """Return the program, its variables, and the factor by which its objective is scaled, or raise `running.Late`.

    Costs that are not integers are scaled and rounded down; their variables are non-negative, so bounds stay bounds.
    """
    from ortools.sat.python import cp_model

    if not np.all(milp.integer | milp.implied):
        raise InputError("solver 'cpsat' accepts only integer variables; use integer weights, or another solver")
    model = cp_model.CpModel()
    low, high = _integers("bounds", milp.lower), _integers("bounds", milp.upper)
    variables = [model.new_int_var(a, b, "") for a, b in running.in_time(zip(low, high, strict=True), budget)]

    def expressions(matrix: sp.csr_matrix) -> Iterator[cp_model.LinearExpr]:
        starts, columns = matrix.indptr.tolist(), matrix.indices.tolist()
        data = _integers("coefficients", matrix.data)
        for a, b in running.in_time(itertools.pairwise(starts), budget):
            yield cp_model.LinearExpr.weighted_sum([variables[j] for j in columns[a:b]], data[a:b])

    # sides of integer expressions may be rounded inward
    sides = [_side(np.ceil(milp.row_lower), cp_model.INT_MIN), _side(np.floor(milp.row_upper), cp_model.INT_MAX)]
    for row, a, b in zip(expressions(milp.rows), *sides, strict=True):
        model.add_linear_constraint(row, a, b)
    cond = milp.indicators
    sides = [_side(np.ceil(cond.lower_on), cp_model.INT_MIN), _side(np.floor(cond.upper_off), cp_model.INT_MAX)]
    for row, binary, a, b in zip(expressions(cond.rows), cond.binary.tolist(), *sides, strict=True):
        if a != cp_model.INT_MIN:
            model.add_linear_constraint(row, a, cp_model.INT_MAX).only_enforce_if(variables[binary])
        if b != cp_model.INT_MAX:
            model.add_linear_constraint(row, cp_model.INT_MIN, b).only_enforce_if(~variables[binary])
    terms, costs = [*variables], [*milp.cost.tolist()]
    largest = float(np.abs(milp.cost) @ np.maximum(np.abs(milp.lower), np.abs(milp.upper)))
    for j in [] if milp.quadratic is None else np.flatnonzero(milp.quadratic).tolist():
        most = max(abs(low[j]), abs(high[j])) ** 2
        square = model.new_int_var(0, most, "")
        model.add_multiplication_equality(square, [variables[j], variables[j]])
        terms.append(square)
        costs.append(float(milp.quadratic[j]))  # type: ignore[index]  # not None in this loop
        largest += costs[-1] * most
    scale = 1.0
    if any(cost != round(cost) for cost in costs):
        scale = 2.0 ** math.floor(math.log2(_LARGEST / 16 / max(largest, 1.0)))
        if np.any((milp.lower < 0) & (milp.cost != 0)):
            raise InputError("solver 'cpsat' needs integer costs on variables that may be negative")
    model.minimize(cp_model.LinearExpr.weighted_sum(terms, [math.floor(cost * scale) for cost in costs]))
    return model, variables, scale


def _side(side: Floats, absent: int) -> list[int]:
    return [int(value) if math.isfinite(value) else absent for value in side.tolist()]


def _job(
    solver: cp_model.CpSolver,
    model: cp_model.CpModel,
    variables: list[cp_model.IntVar],
    scale: float,
    offset: float,
    budget: Budget,
    run: running.Run,
) -> tuple[Status | None, str]:
    from ortools.sat.python import cp_model

    class Listener(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]  # untyped
        def on_solution_callback(self) -> None:
            x = np.array([self.value(variable) for variable in variables], dtype=np.float64)
            run.tell(x, self.best_objective_bound / scale + offset, self.num_conflicts)

    solver.best_bound_callback = lambda bound: run.tell(None, bound / scale + offset)
    run.stop_solver = solver.stop_search
    if run.stopping:
        return None, running.STOPPED
    status = solver.solve(model, Listener())
    known = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    x = np.array([solver.value(variable) for variable in variables], dtype=np.float64) if known else None
    # without a solution, the bound is a meaningless 0; the bounds of the callbacks are valid
    bound = solver.best_objective_bound / scale + offset if known else -math.inf
    run.tell(x, bound, solver.num_conflicts, last=True)
    if status == cp_model.OPTIMAL:
        return Status.OPTIMAL, running.OPTIMAL
    if status == cp_model.INFEASIBLE:
        return Status.INFEASIBLE, running.INFEASIBLE
    if status == cp_model.MODEL_INVALID:
        return Status.FAILED, f"CP-SAT rejects the program: {model.validate()}"
    if run.stopping:
        return None, running.STOPPED
    limited = budget.nodes is not None and solver.num_conflicts >= budget.nodes
    return None, running.NODE_LIMIT if limited else running.TIME_LIMIT
