"""The registry of training methods: each takes a Problem, a Budget and perhaps a start, and returns a Result."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.backends import BACKENDS
from bdnn.errors import InputError
from bdnn.methods.alternating import AlternatingSearch
from bdnn.methods.data_splitting import DataSplitting
from bdnn.methods.exact import ExactTraining
from bdnn.methods.local_search import LocalSearch
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.methods.method import TrainingMethod
    from bdnn.problem.problem import Problem

METHODS: dict[str, type[TrainingMethod]] = {
    kind.name: kind for kind in (ExactTraining, LocalSearch, AlternatingSearch, DataSplitting)
}

# activations up to which "auto" tries to prove optimality
_MAX_BINARIES = 300
# rows of which the distinct ones are counted, which takes a sort; more are searched
_MAX_ROWS = 10_000


def automatic(problem: Problem) -> str:
    """Return the method that suits a problem: "exact" if its program is small or it has a regularizer to minimize."""
    if problem.regularizer is not None:
        return "exact"
    positive = np.asarray(problem.sample_weight) > 0
    if np.count_nonzero(positive) > _MAX_ROWS and problem.robust_model != "worst_case":
        return "local_search"
    # distinct rows, so that weights and repeated rows come to the same
    binaries = len(np.unique(np.asarray(problem.X)[positive], axis=0)) * sum(problem.widths)
    if binaries <= _MAX_BINARIES:
        return "exact"
    return "data_splitting" if problem.robust and problem.robust_model == "worst_case" else "local_search"


def check_settings(settings: Any) -> None:
    """Raise `InputError` if a setting of an estimator cannot be used, be it one of a method that is not chosen."""
    choice("method", settings.method, ("auto", *METHODS))
    choice("solver", settings.solver, ("auto", *BACKENDS))
    for each in METHODS.values():
        each.check_settings(settings)


def method_for(settings: Any, problem: Problem) -> Any:
    """Return the method that trains for a problem, with those of its settings that the estimator has."""
    chosen = automatic(problem) if settings.method == "auto" else settings.method
    kind: type[Any] = METHODS[chosen]
    method = kind(**{f.name: getattr(settings, f.name) for f in fields(kind) if hasattr(settings, f.name)})
    wanted = {
        "certificate": settings.certificate or None,
        "checkpoint": settings.checkpoint,
        "cluster": settings.cluster,
    }
    for name, value in wanted.items():
        if value is not None and not hasattr(method, name):
            by = "" if settings.method == chosen else ", which method='auto' chose for this problem"
            raise InputError(
                f"{name}={value!r} needs method='exact', got {chosen!r}{by}: other methods have no proof to keep or to "
                f"share out; set method='exact' or leave {name} out"
            )
    return method
