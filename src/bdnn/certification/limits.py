"""Limits of time for one point."""

from __future__ import annotations

from collections.abc import Callable

from bdnn.clock import reading


class Stopped(Exception):
    """The time for a point is up, or the user pressed Ctrl-C."""


class Clock:
    """Limits of time for one point, and a place to report to.

    Parameters
    ----------
    end : float
        Reading of `bdnn.clock` at which the point must be left.
    report : callable
        Called with the number of new nodes; raises `Stopped` to end.
    """

    def __init__(self, end: float, report: Callable[[int], None]) -> None:
        self.end, self.report, self.nodes = end, report, 0

    def count(self, nodes: int) -> None:
        """Count nodes of a search that has a clock of its own."""
        self.nodes += nodes
        self.report(nodes)

    def __call__(self, nodes: int) -> None:
        """Count nodes and stop if the time is up."""
        self.nodes += nodes
        self.report(nodes)
        if reading() >= self.end:
            raise Stopped
