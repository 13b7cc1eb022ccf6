"""Limits of a computation, handed to every method and back-end as one object."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

from bdnn.clock import place, reading
from bdnn.errors import InputError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on time, nodes, rounds and threads, and the seed.

    A budget that has not been started is a plain setting and can be reused; `start` returns a copy whose clock runs.
    A budget that travels to another machine, whose clock says something else, has as much time left there as here.

    Parameters
    ----------
    seconds : float, default=inf
        Wall-clock limit for the whole computation, presolve and model building included.
    nodes : int or None, default=None
        Limit on the branch-and-bound nodes of the whole computation, all its programs and trees (in certification: all
        points) together; None for no limit. Nodes of an earlier run that a checkpoint brings along do not count. The
        solver CP-SAT, which has no nodes, counts conflicts instead.
    threads : int, default=1
        Threads a solver may use.
    seed : int, default=0
        Seed of every random choice, from 0 to 2**31 - 1.
    started : float or None, default=None
        Reading of `bdnn.clock` at the start; set by `start`.
    rounds : int or None, default=None
        Limit on the rounds of each thread of a local search (a round is a descent, or a kick and its repair); None for
        no limit.

    Raises
    ------
    InputError
        If a limit is not a positive number, or the seed is out of range.
    """

    seconds: float = math.inf
    nodes: int | None = None
    threads: int = 1
    seed: int = 0
    started: float | None = None
    rounds: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, Real) or not self.seconds > 0:
            raise InputError(f"the time limit must be a positive number of seconds (or inf), got {self.seconds!r}")
        try:
            object.__setattr__(self, "seconds", float(self.seconds))
        except OverflowError:  # an int may be too large for a float
            object.__setattr__(self, "seconds", math.inf)
        if self.nodes is not None:
            self._put_integer("nodes", "the node limit must be a positive integer or None", 1)
        if self.rounds is not None:
            self._put_integer("rounds", "the limit on rounds must be a positive integer or None", 1)
        self._put_integer("threads", "the number of threads must be a positive integer", 1)
        self._put_integer("seed", "the seed must be an integer from 0 to 2**31 - 1", 0, 2**31 - 1)

    def _put_integer(self, name: str, rule: str, least: int, most: float = math.inf) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
            raise InputError(f"{rule}, got {value!r}")
        object.__setattr__(self, name, int(value))

    def __reduce__(self) -> tuple[Callable[..., Budget], tuple[object, ...]]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _arrived, (values, self.elapsed, place())

    def start(self) -> Budget:
        """Return a budget whose clock runs: this one if it does already, else a copy started now."""
        return self if self.started is not None else replace(self, started=reading())

    def within(self, seconds: float) -> Budget:
        """Return a budget that starts now and ends after `seconds`, or with this one if that is earlier."""
        return replace(self, seconds=max(min(seconds, self.remaining), 1e-3), started=reading())

    @property
    def elapsed(self) -> float:
        """Seconds since the start; 0 if not started."""
        return 0.0 if self.started is None else reading() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def exhausted(self) -> bool:
        """Whether the time is used up."""
        return self.remaining <= 0.0


def _arrived(values: dict[str, Any], elapsed: float, origin: str) -> Budget:
    """Return a budget that was sent from somewhere."""
    comparable = origin == place() != ""
    if values["started"] is not None and not comparable:
        values = values | {"started": reading() - elapsed}
    return Budget(**values)
