"""Local search in weight space on all the data: exact line search, many starts, and a margin polish at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from bdnn.errors import InputError
from bdnn.methods.incumbents import NO_TIME_TO_POLISH, polish, search_into, seconds_of_polish, submit_given
from bdnn.methods.many_starts import Settings, starts_into
from bdnn.methods.method import Ending, TrainingMethod
from bdnn.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.result import Result

POLISHES = ("margin", "none")

# share of the time for the polish; one that is estimated to take longer has a larger share, or else is left out
_POLISH_SHARE, _MAX_POLISH_SHARE = 0.1, 0.3
# the last audit, and one more in reserve
_AUDITS_AT_END = 2


@dataclass(frozen=True, slots=True)
class LocalSearch(TrainingMethod):
    """Train by local search with exact line searches along directions in weight space.

    The loss is piecewise constant along every direction; its breakpoints are sorted and the best interval is taken. A
    descent improves every neuron of every layer until nothing helps, then neurons are perturbed and repaired.
    Starts come from a gradient surrogate and at random.

    Parameters
    ----------
    polish : {"margin", "none"}, default="margin"
        "margin" moves every neuron of the best network to the separator of largest margin between the training points
        it fires on and the others, which changes no decision on them; of up to 10^8 input numbers.
    descends : bool, default=True
        False ends the search with the gradient surrogate of the first start, whose loss is larger than what descents
        reach. On data that are learned by heart it often is the better network for other data.
    longer : int, default=1
        Factor of the epochs of gradient surrogates.
    n_starts : int, default=1
        Independent searches, each with a seed of its own and its part of the time, of which the best network counts.
        As many as the budget has threads, or `joblib.parallel_config` has workers, are done at the same time.

    Notes
    -----
    Equal seeds give equal networks if the time does not end the search, on any number of threads or workers. Without a
    limit on rounds a search ends when many rounds in a row bring nothing. There are no branch-and-bound nodes to be
    limited; ``nodes`` of the result are rounds. The bound is trivial: local search proves nothing.

    References
    ----------
    Exact line search for the 0/1 loss: T. Nguyen and S. Sanner, Algorithms for direct 0-1 loss optimization in binary
    classification, ICML 2013.
    """

    name = "local_search"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"polish": POLISHES}
    counts: ClassVar[Mapping[str, Sequence[object]]] = {"n_starts": ()}

    polish: str = "margin"
    descends: bool = True
    longer: int = 1
    n_starts: int = 1

    def _check(self, problem: Problem, budget: Budget) -> None:
        if budget.nodes is not None:
            raise InputError(
                f"local search has no branch-and-bound nodes to be limited, got Budget(nodes={budget.nodes}): limit "
                "its rounds with Budget(rounds=...)"
            )

    def _train(self, run: Run, start: Network | None) -> Ending:
        polishes, message, interrupted = self.polish == "margin", "nothing left to improve", False
        with run.phase("start"):
            submit_given(run, start)
        if not run.closed:
            limits = self._time_to_search(run)
            if self.n_starts > 1:
                settings = Settings(polishes, self.descends, self.longer)
                message, interrupted = starts_into(run, limits, start, self.n_starts, settings)
            else:
                message, interrupted = search_into(
                    run, limits, start, polishes=polishes, promised=True, descends=self.descends, longer=self.longer
                )
        if polishes and not interrupted and not polish(run, run.budget):
            run.fell_short(NO_TIME_TO_POLISH)
        return Ending(message, interrupted)

    def _time_to_search(self, run: Run) -> Budget:
        """Return the budget of the search: the rest is for the polish and the last audit."""
        remaining = run.budget.remaining - _AUDITS_AT_END * run.audit_seconds
        least, share = seconds_of_polish(run), 0.0
        if self.polish == "margin" and least <= _MAX_POLISH_SHARE * remaining:
            share = max(_POLISH_SHARE, least / remaining if remaining else 0.0)
        return run.budget.within((1 - share) * remaining)

    def _result(self, run: Run, ending: Ending) -> Result:
        return replace(TrainingMethod._result(self, run, ending), nodes=run.rounds)
