"""The registry of solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.backends.cpsat import CpSat
from bdnn.backends.gurobi import Gurobi
from bdnn.backends.highs import Highs
from bdnn.backends.scip import Scip
from bdnn.errors import InputError, MissingDependencyError
from bdnn.problem.problem import Problem, choice

if TYPE_CHECKING:
    from bdnn.backends.protocol import Backend

BACKENDS: dict[str, type[Backend]] = {solver.name: solver for solver in (Highs, Scip, CpSat, Gurobi)}

# The fastest comes first, by benchmarks/solvers.py. Gurobi is used only when asked for: whether its license allows more
# than toy programs is not known before it is taken.
AUTO_INTEGER = ("cpsat", "highs", "scip")
AUTO_CONTINUOUS = ("highs", "scip")


def available() -> list[str]:
    """Return the names of the solvers whose packages are installed."""
    return [name for name, backend in BACKENDS.items() if backend.is_available()]


def backend(name: str, problem: Problem) -> Backend:
    """Return a solver for a problem.

    Parameters
    ----------
    name : str
        A name in `BACKENDS`, or "auto" for the first solver in `AUTO_INTEGER` (for integer weights) or
        `AUTO_CONTINUOUS` (for continuous ones) that is installed and can do what the problem needs.
    problem : Problem
        The problem that it is needed for.

    Returns
    -------
    Backend
        A solver that is ready to use.

    Raises
    ------
    InputError
        If the name is unknown, or the solver cannot do what the problem needs.
    MissingDependencyError
        If the solver's package, or every one that could do it, is not installed.
    """
    choice("solver", name, ("auto", *BACKENDS))
    able = [n for n, b in BACKENDS.items() if not _lacks(b, problem)]
    if name != "auto":
        if lack := _lacks(BACKENDS[name], problem):
            raise InputError(f"solver {name!r} cannot {lack}; choose one of {', '.join(able)}, or 'auto'")
        if not BACKENDS[name].is_available():
            raise MissingDependencyError(f"solver {name!r} is not installed; run: pip install 'bdnn[{name}]'")
        return BACKENDS[name]()
    for candidate in AUTO_INTEGER if problem.weights == "integer" else AUTO_CONTINUOUS:
        if candidate in able and BACKENDS[candidate].is_available():
            return BACKENDS[candidate]()
    raise MissingDependencyError(f"no solver for this problem is installed; run: pip install 'bdnn[{able[0]}]'")


def _lacks(solver: type[Backend], problem: Problem) -> str:
    """Say what a problem needs that a solver cannot do; empty if there is nothing."""
    if problem.weights == "continuous" and not solver.capabilities.continuous:
        return "train continuous weights (it takes integers only)"
    if problem.robust and not solver.capabilities.continuous and np.array_equal(problem.X, np.rint(problem.X)):
        return "train integer inputs with a radius (perturbed inputs are real)"
    if problem.regularizer == "l2" and not solver.capabilities.quadratic:
        return "minimize the quadratic regularizer 'l2'"
    return ""
