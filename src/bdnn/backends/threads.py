"""A solve on a thread of its own.

The solver's thread only puts news into a queue; the calling thread reads it. So callbacks run where the caller is,
Ctrl-C is noticed at once, and a solve that overruns its time limit (solvers look at the clock only between phases) is
left behind: it stops by itself at its next check, while the best solution known is returned.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from bdnn.backends.protocol import EventCallback, MilpSolution, SolveEvent
from bdnn.clock import reading
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.milp.program import Milp
    from bdnn.types import Floats

# how often the calling thread looks at the clock: rarely enough to cost nothing, often enough for limits of a second
_TICK_SECONDS = 0.1
# how long a solver may take to stop before it is left behind: its last solution may still come
_GRACE_SECONDS = 0.5  # after its limit
_INTERRUPT_GRACE_SECONDS = 1.0  # after Ctrl-C
_INFINITE = 1e20  # SCIP's infinity, which is the smallest of all solvers, stands for an absent bound
_CHECKED = 64  # rows between looks at the clock: well below a millisecond

T = TypeVar("T")

TIME_LIMIT, NODE_LIMIT, OPTIMAL = "time limit reached", "node limit reached", "solved to optimality"
INTERRUPTED = "stopped by Ctrl-C"
INFEASIBLE, STOPPED = "the program has no solution", "stopped on request"


class Late(Exception):
    """The time limit was reached while a program was handed to a solver."""


def in_time(items: Iterable[T], budget: Budget) -> Iterator[T]:
    """Yield items, and raise `Late` once a budget is used up."""
    for number, item in enumerate(items):
        if number % _CHECKED == 0 and budget.exhausted:
            raise Late
        yield item


def too_late(began: float) -> MilpSolution:
    """Return the outcome of a solve that did not start in time; `began` is as for `solve_on_thread`."""
    return MilpSolution(Status.NO_SOLUTION, None, math.inf, -math.inf, 0, reading() - began, TIME_LIMIT)


class Run:
    """The exchange of news and requests with a solver's thread.

    Parameters
    ----------
    milp : Milp
        Gives the value of each solution.

    Attributes
    ----------
    stop_solver : callable or None
        Function that makes the solver stop soon; it is called on the listener's thread. Solvers that poll look at
        `stopping` instead.
    interrupted : bool
        Set by a solver that took Ctrl-C for itself.
    claimed : float
        Set by a solver whose bound is to be raised to the value that it claims for an optimal solution.
    """

    def __init__(self, milp: Milp) -> None:
        self._milp = milp
        self.x: Floats | None = None
        self.objective, self.bound, self.nodes = math.inf, -math.inf, 0
        self.stop_solver: Callable[[], None] | None = None
        self.interrupted = False
        self.claimed = -math.inf
        self._stop = threading.Event()
        self._next_report = 0.0
        self._news: queue.SimpleQueue[SolveEvent | None] = queue.SimpleQueue()
        self._ended: tuple[Status | None, str] = (Status.FAILED, "the solver's thread ended without a word")

    @property
    def stopping(self) -> bool:
        """Whether the solver should stop, for the solver's thread to ask."""
        return self._stop.is_set()

    def tell(self, x: Floats | None, bound: float = -math.inf, nodes: int = 0, last: bool = False) -> None:
        """Pass on a solution or the state (ten times a second, and at the end); called on the solver's thread."""
        now = reading()
        if x is None and not last and now < self._next_report:
            return
        self._next_report = now + _TICK_SECONDS
        # a solver may report the value of one solution with the vector of another: the value is computed here
        self._news.put(SolveEvent(x, math.inf if x is None else self._milp.objective(x), bound, nodes))

    def start(self, job: Callable[[Run], tuple[Status | None, str]], name: str) -> None:
        """Run `job` on a thread; it returns status (None: depends on whether there is a solution) and message."""

        def work() -> None:
            try:
                self._ended = job(self)
            except Exception as error:  # whatever a solver throws must reach the caller, not kill the thread silently
                self._ended = (Status.FAILED, f"{name} failed: {error}")
            finally:
                self._news.put(None)

        # not a daemon: the interpreter must not be torn down under a solver that is still stopping
        self._thread = threading.Thread(target=work, name=f"bdnn-{name}")
        self._thread.start()

    def stop(self) -> None:
        """Ask the solver to stop."""
        self._stop.set()
        if self.stop_solver is not None:
            self.stop_solver()

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
            wants_stop = on_event is not None and on_event(SolveEvent(x, self.objective, self.bound, self.nodes))
            if wants_stop and not self.stopping:
                self.stop()
            if reading() > deadline:
                self.stop()
                return False

    def _note(self, event: SolveEvent) -> bool:
        """Take over the news, and return whether there is a new incumbent."""
        self.bound = max(self.bound, event.bound) if abs(event.bound) < _INFINITE else self.bound
        self.nodes = max(self.nodes, event.nodes)
        if event.x is None or event.objective >= self.objective:
            return False
        self.x, self.objective = event.x, event.objective
        return True

    def outcome(self, finished: bool, interrupted: bool, seconds: float) -> MilpSolution:
        """Return the outcome as it is known so far."""
        status, message = self._ended if finished else (None, TIME_LIMIT)
        interrupted |= self.interrupted
        if interrupted and status is None:
            message = INTERRUPTED
        if status == Status.OPTIMAL:
            # HiGHS can end this way with the bound from before its tree was exhausted
            self.bound = max(self.bound, min(self.claimed, self.objective))
        if status is None:
            status = Status.FEASIBLE if self.x is not None else Status.NO_SOLUTION
        return MilpSolution(status, self.x, self.objective, self.bound, self.nodes, seconds, message, interrupted)


def solve_on_thread(
    milp: Milp,
    budget: Budget,
    job: Callable[[Run], tuple[Status | None, str]],
    on_event: EventCallback | None,
    name: str,
    began: float,
) -> MilpSolution:
    """Run a solver's job and listen to it.

    Parameters
    ----------
    milp : Milp
        The program.
    budget : Budget
        Its clock must run.
    job : callable
        Solves on the new thread; gets the `Run` to tell news to, returns status (None: `feasible` if there is a
        solution, else `no_solution`) and message.
    on_event : callable or None
        Listener, on the calling thread; returning True stops the solve.
    name : str
        Of the solver.
    began : float
        Reading of `bdnn.clock` when the back-end was called.

    Returns
    -------
    MilpSolution
        The outcome, also after a limit, Ctrl-C or a failure.
    """
    run = Run(milp)
    run.start(job, name)
    interrupted = False
    deadline = reading() + budget.remaining + _GRACE_SECONDS
    while True:
        try:
            finished = run.listen(on_event, deadline)
            break
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            run.stop()
            deadline = min(deadline, reading() + _INTERRUPT_GRACE_SECONDS)
        except BaseException:  # on_event raised it, and the solver must not go on running
            run.stop()
            raise
    return run.outcome(finished, interrupted, reading() - began)
