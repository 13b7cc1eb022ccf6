"""The registry of training methods: each takes a Problem, a Budget and perhaps a start, and returns a Result."""

from __future__ import annotations

from bdnn.methods.alternating import AlternatingSearch
from bdnn.methods.data_splitting import DataSplitting
from bdnn.methods.exact import ExactTraining
from bdnn.methods.local_search import LocalSearch
from bdnn.problem import Problem

METHODS = {
    "exact": ExactTraining,
    "local_search": LocalSearch,
    "alternating": AlternatingSearch,
    "data_splitting": DataSplitting,
}

_MOST_BINARIES = 300


def automatic(problem: Problem) -> str:
    """Return the method that suits a problem: "exact" if its program is small or it has a regulariser to minimise."""
    binaries = len(problem.codes) * sum(problem.widths)
    return "exact" if binaries <= _MOST_BINARIES or problem.regularizer is not None else "local_search"
