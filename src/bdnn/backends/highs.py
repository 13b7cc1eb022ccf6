"""HiGHS, the solver that comes with the package."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bdnn.backends import threads as running
from bdnn.backends.protocol import Capabilities, EventCallback, MilpSolution, SolveEvent
from bdnn.clock import reading
from bdnn.milp.program import Milp, first_tangents, tangents
from bdnn.milp.tolerances import CONE_TOLERANCE, Tolerances
from bdnn.status import Status

if TYPE_CHECKING:
    import highspy

    from bdnn.budget import Budget
    from bdnn.types import Floats

_MAX_NODES = 2**31 - 1  # HiGHS counts in 32 bits


class Highs:
    """HiGHS (J. A. J. Hall et al., https://highs.dev); indicator rows become big-M rows."""

    name: ClassVar[str] = "highs"
    capabilities: ClassVar[Capabilities] = Capabilities(
        continuous=True,
        indicators=False,
        quadratic=False,
        tolerances=Tolerances(integrality=1e-9, feasibility=1e-9),
        entries_per_second=4_000_000,
    )

    @classmethod
    def is_available(cls) -> bool:
        """Whether highspy is installed."""
        return find_spec("highspy") is not None

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimize; see `Backend.solve`."""
        budget = budget.start()
        if milp.cones:
            return self._with_tangents(milp, budget, start, on_event)
        check = _Claims(milp)
        solution = self._solve(milp, budget, start, on_event, check)
        if check.broken and start is not None and not solution.interrupted:
            # HiGHS 1.16 may carry a start over into its presolved program with too small a value, and so cut off
            # better solutions
            left = _left(budget, solution.nodes)
            if left is not None:
                first = solution.nodes

                def counted(event: SolveEvent) -> bool:
                    return on_event is not None and on_event(replace(event, nodes=first + event.nodes))

                again = self._solve(milp, left, None, counted, _Claims(milp))
                solution = replace(again, nodes=first + again.nodes)
        return solution

    def _with_tangents(
        self, milp: Milp, budget: Budget, start: Floats | None, on_event: EventCallback | None
    ) -> MilpSolution:
        """Replace cones by tangent rows, adding those that a solution violates until it violates none."""
        began, nodes, bound = reading(), 0, -math.inf
        best: Floats | None = start if start is not None and milp.violation(start) <= CONE_TOLERANCE else None
        relaxed = replace(milp, cones=()).with_rows(*first_tangents(milp))
        wants_stop = False

        def listener(event: SolveEvent) -> bool:
            nonlocal best, wants_stop
            x = event.x if event.x is not None and milp.violation(event.x) <= CONE_TOLERANCE else None
            if x is not None and best is not None and milp.objective(x) >= milp.objective(best):
                x = None  # each round starts from scratch
            best = best if x is None else x
            event = replace(event, x=x)
            value = math.inf if best is None else milp.objective(best)
            told = replace(event, objective=value, bound=max(bound, event.bound), nodes=nodes + event.nodes)
            wants_stop = on_event is not None and on_event(told)
            return wants_stop

        while True:
            left = _left(budget, nodes)
            if left is None:
                status = Status.NO_SOLUTION if best is None else Status.FEASIBLE
                value, seconds = math.inf if best is None else milp.objective(best), reading() - began
                return MilpSolution(status, best, value, bound, nodes, seconds, running.NODE_LIMIT)
            solution = self.solve(relaxed, left, start, listener)
            nodes, bound = nodes + solution.nodes, max(bound, solution.bound)
            value = math.inf if best is None else milp.objective(best)
            told = replace(solution, objective=value, bound=bound, nodes=nodes, seconds=reading() - began)
            if solution.status not in (Status.OPTIMAL, Status.FEASIBLE, Status.NO_SOLUTION):
                return replace(told, x=best)
            violated = solution.x is not None and milp.violation(solution.x) > CONE_TOLERANCE
            if solution.status == Status.OPTIMAL and not violated:
                return replace(told, x=solution.x, objective=milp.objective(solution.x))  # type: ignore[arg-type]
            if solution.status != Status.OPTIMAL or wants_stop or budget.exhausted or solution.x is None:
                status = Status.NO_SOLUTION if best is None else Status.FEASIBLE
                message = running.TIME_LIMIT if solution.status == Status.OPTIMAL else solution.message
                return replace(told, x=best, status=status, message=message)
            relaxed = relaxed.with_rows(*tangents(milp, solution.x))

    def _solve(
        self, milp: Milp, budget: Budget, start: Floats | None, on_event: EventCallback | None, check: _Claims
    ) -> MilpSolution:
        began = reading()
        highs = milp.to_highs()
        tolerances = self.capabilities.tolerances
        options = {
            "threads": budget.threads,
            "random_seed": budget.seed,
            "mip_feasibility_tolerance": tolerances.integrality,
            "primal_feasibility_tolerance": tolerances.feasibility,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 1e-7,
        }
        if budget.nodes is not None:
            options["mip_max_nodes"] = min(budget.nodes, _MAX_NODES)
        for option, value in options.items():
            highs.setOptionValue(option, value)
        if start is not None:
            columns = np.arange(milp.n_columns, dtype=np.int32)
            highs.setSolution(milp.n_columns, columns, np.ascontiguousarray(start, dtype=np.float64))
        if math.isfinite(budget.seconds):
            highs.setOptionValue("time_limit", max(budget.remaining, 1e-3))
        return running.solve_on_thread(milp, budget, lambda run: _job(highs, run, check), on_event, self.name, began)


def _left(budget: Budget, nodes: int) -> Budget | None:
    """Return what a budget leaves for another solve after this many nodes; None if nothing is left."""
    if budget.nodes is None:
        return budget.within(budget.remaining)
    return None if nodes >= budget.nodes else replace(budget.within(budget.remaining), nodes=budget.nodes - nodes)


class _Claims:
    """Whether HiGHS claimed a smaller value for a solution than it has, which makes its bounds invalid."""

    def __init__(self, milp: Milp) -> None:
        self._milp, self.broken = milp, False

    def compare(self, claimed: float, x: Floats) -> None:
        value = self._milp.objective(x)
        self.broken |= claimed < value - 1e-6 * max(1.0, abs(value))


def _job(highs: highspy.Highs, run: running.Run, check: _Claims) -> tuple[Status | None, str]:
    import highspy

    kinds = highspy.cb.HighsCallbackType

    def callback(
        kind: highspy.cb.HighsCallbackType,
        message: str,
        out: highspy.cb.HighsCallbackOutput,
        reply: highspy.cb.HighsCallbackInput | None,
        data: object,
    ) -> None:
        if run.stopping or check.broken:
            if reply is not None:
                reply.user_interrupt = True
            return
        x = np.array(out.mip_solution, dtype=np.float64) if kind == kinds.kCallbackMipImprovingSolution else None
        if x is not None:
            check.compare(out.objective_function_value, x)
        run.tell(x, -math.inf if check.broken else out.mip_dual_bound, int(out.mip_node_count))

    highs.setCallback(callback, None)
    for kind in (kinds.kCallbackMipImprovingSolution, kinds.kCallbackMipLogging, kinds.kCallbackMipInterrupt):
        highs.startCallback(kind)
    highs.run()
    info, model_status = highs.getInfo(), highs.getModelStatus()
    feasible = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    x = np.array(highs.getSolution().col_value) if feasible else None
    if x is not None:
        check.compare(info.objective_function_value, x)
        run.claimed = info.objective_function_value
    run.tell(x, -math.inf if check.broken else info.mip_dual_bound, int(info.mip_node_count), last=True)
    if check.broken:
        return None, "HiGHS misread a solution"
    known = highspy.HighsModelStatus
    reasons = {
        known.kOptimal: (Status.OPTIMAL, running.OPTIMAL),
        known.kInfeasible: (Status.INFEASIBLE, running.INFEASIBLE),
        known.kTimeLimit: (None, running.TIME_LIMIT),
        known.kSolutionLimit: (None, running.NODE_LIMIT),
        known.kInterrupt: (None, running.STOPPED),
    }
    return reasons.get(model_status, (Status.FAILED, f"HiGHS ended with status {model_status.name}"))
