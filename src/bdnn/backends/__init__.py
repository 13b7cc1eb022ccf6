"""The registry of solvers."""

from __future__ import annotations

from bdnn.backends.highs import Highs
from bdnn.backends.protocol import Backend
from bdnn.errors import MissingDependencyError
from bdnn.problem import choice

BACKENDS: dict[str, type[Backend]] = {Highs.name: Highs}


def available() -> list[str]:
    """Return the names of the solvers whose packages are installed."""
    return [name for name, backend in BACKENDS.items() if backend.is_available()]


def backend(name: str = "auto") -> Backend:
    """Return a solver.

    Parameters
    ----------
    name : str
        A name in `BACKENDS`, or "auto" for the default, HiGHS.

    Returns
    -------
    Backend
        Ready to solve.

    Raises
    ------
    InputError
        If the name is unknown.
    MissingDependencyError
        If the solver's package is not installed.
    """
    choice("solver", name, ("auto", *BACKENDS))
    chosen = BACKENDS[Highs.name if name == "auto" else name]
    if not chosen.is_available():
        raise MissingDependencyError(f"solver {name!r} is not installed; run: pip install 'bdnn[{name}]'")
    return chosen()
