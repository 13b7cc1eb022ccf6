"""What branch and cut knows of the run that it works for: who takes its networks and bounds, and how far it may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.status import TeamState


class Evaluated(Protocol):
    """A network that was audited."""

    @property
    def objective(self) -> float:
        """What it costs."""
        ...


class Incumbents(Protocol):
    """Keeps the best network and the bound; `bdnn.methods.run.Run` is one."""

    @property
    def reduced(self) -> Presolved:
        """The problem, presolved."""
        ...

    @property
    def budget(self) -> Budget:
        """Limits, with a running clock."""
        ...

    @property
    def incumbent(self) -> Evaluated:
        """The best network so far; there must be one."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the bound meets the objective of the best network."""
        ...

    @property
    def out_of_nodes(self) -> bool:
        """Whether the limit on nodes is reached."""
        ...

    @property
    def nodes_left(self) -> int | None:
        """Nodes that may still be solved; None for no limit."""
        ...

    def submit(self, network: Network, source: str) -> Evaluated:
        """Audit a network, keep it if it is better than the best, and return its evaluation."""
        ...

    def count_nodes(self, nodes: int, team: TeamState | None = None) -> None:
        """Note how many nodes there are so far, those of earlier runs included, and how several workers stand."""
        ...

    def raise_bound(self, bound: float, *, exact: bool = False) -> None:
        """Take a bound, in units of the loss, if it is better; an exact one is right up to the rounding of sums."""
        ...

    def report(self) -> None:
        """Save and tell where things stand."""
        ...
