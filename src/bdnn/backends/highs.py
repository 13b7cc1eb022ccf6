"""HiGHS, the solver that comes with the package.

HiGHS runs on a thread of its own and only puts news into a queue; the calling thread reads it. So callbacks run
where the caller is, Ctrl-C is noticed at once, and a solve that overruns its time limit (HiGHS looks at the clock only
between phases) is left behind: it stops by itself at its next check, while the best solution known is returned.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from bdnn.backends.protocol import Capabilities, EventCallback, MilpSolution, SolveEvent
from bdnn.budget import Budget
from bdnn.formulations.margin import Tolerances
from bdnn.milp import Milp
from bdnn.network import Floats
from bdnn.result import Status

_TICK_SECONDS = 0.1
_GRACE_SECONDS = 0.5
_INTERRUPT_GRACE_SECONDS = 1.0
_MOST_NODES = 2**31 - 1


class Highs:
    """HiGHS (J. A. J. Hall et al., https://highs.dev), indicator rows as big-M rows."""

    name: ClassVar[str] = "highs"
    capabilities: ClassVar[Capabilities] = Capabilities(
        continuous=True, indicators=False, warm_start=True, tolerances=Tolerances(integrality=1e-9, feasibility=1e-9)
    )

    @classmethod
    def is_available(cls) -> bool:
        """Whether highspy is installed."""
        return find_spec("highspy") is not None

    def solve(
        self, milp: Milp, budget: Budget, start: Floats | None = None, on_event: EventCallback | None = None
    ) -> MilpSolution:
        """Minimise; see `Backend.solve`."""
        budget = budget.start()
        solution, misread = self._solve(milp, budget, start, on_event)
        if misread and start is not None and not solution.interrupted:
            # HiGHS 1.16 may carry a start over into its presolved program with too small a value, and so cut off
            # better solutions
            solution, _ = self._solve(milp, budget, None, on_event)
        return solution

    def _solve(
        self, milp: Milp, budget: Budget, start: Floats | None, on_event: EventCallback | None
    ) -> tuple[MilpSolution, bool]:
        """Solve once; return also whether HiGHS claimed a smaller value for a solution than it has."""
        began = time.monotonic()
        highs = self._prepared(milp, budget, start)
        run = _Run(highs, milp)
        interrupted = False
        deadline = time.monotonic() + budget.remaining + _GRACE_SECONDS
        while True:
            try:
                finished = run.listen(on_event, deadline)
                break
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                run.stop.set()
                deadline = min(deadline, time.monotonic() + _INTERRUPT_GRACE_SECONDS)
            except BaseException:  # from on_event: the solver must not run on
                run.stop.set()
                raise
        seconds = time.monotonic() - began
        if not finished:
            reason = "stopped by Ctrl-C" if interrupted else "time limit reached"
            return run.solution(None, reason, seconds, interrupted), run.misread
        if run.error is not None:
            return run.solution(Status.FAILED, f"HiGHS failed: {run.error}", seconds, interrupted), False
        return self._outcome(highs, run, seconds, interrupted), run.misread

    def _prepared(self, milp: Milp, budget: Budget, start: Floats | None) -> Any:
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
            options["mip_max_nodes"] = min(budget.nodes, _MOST_NODES)
        for option, value in options.items():
            highs.setOptionValue(option, value)
        if start is not None:
            columns = np.arange(milp.n_columns, dtype=np.int32)
            highs.setSolution(milp.n_columns, columns, np.ascontiguousarray(start, dtype=np.float64))
        if math.isfinite(budget.seconds):
            highs.setOptionValue("time_limit", max(budget.remaining, 1e-3))
        return highs

    def _outcome(self, highs: Any, run: _Run, seconds: float, interrupted: bool) -> MilpSolution:
        import highspy

        model_status, info = highs.getModelStatus(), highs.getInfo()
        kinds = highspy.HighsModelStatus
        run.bound = max(run.bound, info.mip_dual_bound)
        run.nodes = max(run.nodes, int(info.mip_node_count))
        if info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible):
            x = np.array(highs.getSolution().col_value)
            run.compare(info.objective_function_value, x)
            if info.objective_function_value <= run.objective:
                run.objective, run.x = info.objective_function_value, x
        reasons = {
            kinds.kOptimal: (Status.OPTIMAL, "solved to optimality"),
            kinds.kInfeasible: (Status.INFEASIBLE, "the program has no solution"),
            kinds.kTimeLimit: (None, "time limit reached"),
            kinds.kSolutionLimit: (None, "node limit reached"),
            kinds.kInterrupt: (None, "stopped by Ctrl-C" if interrupted else "stopped on request"),
        }
        unknown = (Status.FAILED, f"HiGHS ended with status {model_status.name}")
        status, reason = reasons.get(model_status, unknown)
        return run.solution(status, reason, seconds, interrupted)


class _Run:
    """One solve on a thread of its own, and the best that is known of it."""

    def __init__(self, highs: Any, milp: Milp) -> None:
        import highspy

        self._milp = milp
        self.x: Floats | None = None
        self.objective, self.bound, self.nodes = math.inf, -math.inf, 0
        self.stop = threading.Event()
        self.misread = False
        self.error: Exception | None = None
        self._next_report = 0.0
        self._news: queue.SimpleQueue[SolveEvent | None] = queue.SimpleQueue()
        kinds = highspy.cb.HighsCallbackType
        self._improving = kinds.kCallbackMipImprovingSolution
        highs.setCallback(self._fire, None)
        for kind in (self._improving, kinds.kCallbackMipLogging, kinds.kCallbackMipInterrupt):
            highs.startCallback(kind)
        # not a daemon: the interpreter must not be torn down under a solver that is still stopping
        self._thread = threading.Thread(target=self._solve, args=(highs,), name="bdnn-highs")
        self._thread.start()

    def _solve(self, highs: Any) -> None:
        try:
            highs.run()
        except Exception as error:  # whatever the solver throws must reach the caller, not kill the thread silently
            self.error = error
        finally:
            self._news.put(None)

    def _fire(self, kind: Any, message: str, out: Any, reply: Any, data: Any) -> None:
        """HiGHS callback; it runs on the solver's thread and must not raise."""
        if self.stop.is_set():
            if reply is not None:
                reply.user_interrupt = True
            return
        x = np.array(out.mip_solution, dtype=np.float64) if kind == self._improving else None
        now = time.monotonic()
        if x is None and now < self._next_report:
            return
        self._next_report = now + _TICK_SECONDS
        value = self.compare(out.objective_function_value, x) if x is not None else math.inf
        self._news.put(SolveEvent(x, value, out.mip_dual_bound, int(out.mip_node_count)))

    def compare(self, claimed: float, x: Floats) -> float:
        """Return the value of a solution, and stop if it is larger than claimed."""
        value = self._milp.objective(x)
        if claimed < value - 1e-6 * max(1.0, abs(value)):
            self.misread = True
            self.stop.set()
        return value

    def listen(self, on_event: EventCallback | None, deadline: float) -> bool:
        """Pass news on until the solver ends (True) or the deadline passes (False)."""
        while True:
            try:
                event = self._news.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                event = SolveEvent(None, self.objective, self.bound, self.nodes)
            if event is None:
                self._thread.join()
                return True
            x = event.x if self._note(event) else None
            if on_event is not None and on_event(SolveEvent(x, self.objective, self.bound, self.nodes)):
                self.stop.set()
            if time.monotonic() > deadline:
                self.stop.set()
                return False

    def _note(self, event: SolveEvent) -> bool:
        """Take over what is new, and say whether there is a new incumbent."""
        self.bound = max(self.bound, event.bound) if abs(event.bound) < 1e30 else self.bound
        self.nodes = max(self.nodes, event.nodes)
        if event.x is None or event.objective >= self.objective:
            return False
        self.x, self.objective = event.x, event.objective
        return True

    def solution(self, status: Status | None, message: str, seconds: float, interrupted: bool) -> MilpSolution:
        """Return what is known; a status of None depends on whether there is an incumbent."""
        if status is None:
            status = Status.FEASIBLE if self.x is not None else Status.NO_SOLUTION
        return MilpSolution(status, self.x, self.objective, self.bound, self.nodes, seconds, message, interrupted)
