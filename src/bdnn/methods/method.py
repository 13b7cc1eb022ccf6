"""What training methods share: how they are called, what is checked first, and what Ctrl-C leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from bdnn.backends.threads import INTERRUPTED
from bdnn.budget import Budget
from bdnn.errors import InputError
from bdnn.methods.run import Run
from bdnn.problem.problem import choice, positive_integer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdnn.branch_and_cut.certificate import Certificate
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.result import Result
    from bdnn.status import ProgressCallback

INCUMBENTS = ("search", "none")
"""What the setting `incumbents` of methods may be."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a method ended.

    Attributes
    ----------
    message : str
        Why it ended.
    interrupted : bool
        Whether Ctrl-C came.
    certificate : dict or None
        That of its proof.
    """

    message: str
    interrupted: bool = False
    certificate: Certificate | None = None


class TrainingMethod(ABC):
    """A training method: a frozen dataclass whose fields are settings.

    Calling it trains. Settings are keywords of the constructor; one that does not exist is an `InputError`, and so is,
    when it is called, one whose value cannot be used.
    """

    __slots__ = ()

    name: ClassVar[str]
    """In the registry `bdnn.methods.METHODS`."""

    choices: ClassVar[Mapping[str, Sequence[str]]] = {}
    """What settings that are words may be."""

    counts: ClassVar[Mapping[str, Sequence[object]]] = {}
    """Settings that are positive integers, each with what else it may be."""

    def __new__(cls, *args: object, **settings: object) -> Self:
        """Refuse settings that do not exist."""
        accepted = list[str](getattr(cls, "__dataclass_fields__", ()))
        if unknown := sorted(settings.keys() - set(accepted)):
            raise InputError(
                f"the method {cls.name!r} has no setting {', '.join(map(repr, unknown))}; its settings are "
                f"{', '.join(accepted)}"
            )
        return super().__new__(cls)

    def __call__(
        self,
        problem: Problem,
        budget: Budget | None = None,
        start: Network | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Result:
        """Train.

        Parameters
        ----------
        problem : Problem
            What to train on; with held-out data, the network of highest accuracy on them is returned.
        budget : Budget or None
            Limits; None for none.
        start : Network or None
            A network of the problem's class to start from; the result is never worse.
        on_progress : callable or None
            Receives a `Progress` with every new incumbent and several times a second.

        Returns
        -------
        Result
            With the best network found, also after a limit, Ctrl-C or a failure of the solver.

        Raises
        ------
        InputError
            If a setting, the data or the start cannot be used.
        MarginError
            If no margin is safe.
        """
        self.check_settings(self)
        self._check(problem, budget or Budget())
        budget = (budget or Budget()).start()
        start = None if start is None else start.for_columns(problem.feature_names)
        run = self._begin(problem, budget, on_progress)
        try:
            ending = self._train(run, start)
        except KeyboardInterrupt:
            if run.best is None:
                raise
            ending = Ending(INTERRUPTED, interrupted=True)
        return self._result(run, ending)

    @classmethod
    def check_settings(cls, holder: object) -> None:
        """Raise `InputError` if a setting that a method, or an estimator, holds is none of its choices, or no count."""
        for name, options in cls.choices.items():
            choice(name, getattr(holder, name), options)
        for name, others in cls.counts.items():
            value = getattr(holder, name)
            plain = int(value) if isinstance(value, np.integer) else value
            if not any(type(plain) is type(other) and plain == other for other in others):
                positive_integer(name, value)

    @abstractmethod
    def _check(self, problem: Problem, budget: Budget) -> None:
        """Raise `InputError` if a setting or a limit cannot be used for a problem."""

    @abstractmethod
    def _train(self, run: Run, start: Network | None) -> Ending:
        """Submit networks and raise bounds until a limit is reached or nothing is left to do."""

    def _begin(self, problem: Problem, budget: Budget, on_progress: ProgressCallback | None) -> Run:
        """Return the run that the method works on."""
        return Run(problem, budget, on_progress)

    def _result(self, run: Run, ending: Ending) -> Result:
        """Return the outcome of a run."""
        return replace(run.result(self.name, ending.message, ending.interrupted), certificate=ending.certificate)
