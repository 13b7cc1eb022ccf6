"""What all pictures share: axes, colors that color-blind readers can tell apart, and labels from data."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from bdnn.checks import name_tuple
from bdnn.columns import numbers_in_order
from bdnn.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.network.network import Network
    from bdnn.types import Floats

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, YELLOW, GRAY = "#CC79A7", "#56B4E9", "#F0E442", "#595959"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, YELLOW, GRAY)
"""M. Okabe and K. Ito, Color Universal Design, 2008."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h")
"""The number of these is larger than that of the colors and not a multiple of it, so that pairs repeat late."""

_MAX_LETTERS = 28  # of a label: as many as fit next to a picture
_SHARED_TEXTS = {
    "{ax}": "ax : matplotlib.axes.Axes, matplotlib.figure.Figure or None\n"
    "        Where to draw: on axes, on a figure that gets axes and a fitting size, or, for None, on a new figure of "
    "pyplot.\n\n    Returns\n    -------\n    matplotlib.axes.Axes\n        The axes.",
    "{missing_dependency}": "MissingDependencyError\n        If matplotlib is not installed.",
}

Function = TypeVar("Function", bound=Callable[..., Any])


def drawing(function: Function) -> Function:
    """Complete the docstring of a function that draws on axes with what all such docstrings have in common.

    Parameters
    ----------
    function : callable
        Its docstring has ``{ax}`` for its last parameter and the axes it returns, and ``{missing_dependency}`` for that
        error.

    Returns
    -------
    callable
        The function itself.
    """
    if function.__doc__ is not None:  # it is None with python -OO
        for mark, text in _SHARED_TEXTS.items():
            function.__doc__ = function.__doc__.replace(mark, text)
    return function


def require_matplotlib() -> None:
    """Raise MissingDependencyError if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("pictures need matplotlib, which is not installed; run: pip install 'bdnn[plot]'")


def axes_or_new(ax: Axes | Figure | None, width: float, height: float) -> Axes:
    """Return the given axes, or new ones on the given figure or on a pyplot figure, with a size in inches.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import figure as figures

    if ax is None:
        from matplotlib import pyplot

        figure = pyplot.figure()
    elif isinstance(ax, figures.Figure):
        figure = ax
    else:
        return ax
    figure.set_layout_engine("constrained")
    figure.set_size_inches(width, height)
    made: Axes = figure.subplots()
    return made


def shown(text: object, most: int = _MAX_LETTERS) -> str:
    """Return a name from data as a label: on one line, not too long, and with no dollar sign that starts a formula."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return (line if len(line) <= most else line[: most - 1] + "…").replace("$", r"\$")


def input_names(network: Network, feature_names: Sequence[str] | None) -> list[str]:
    """Return one label per input: of the given names, else of the network's, else x0, x1, …."""
    names = name_tuple("feature_names", feature_names, network.n_features) or network.feature_names
    return [shown(name) for name in names or (f"x{j}" for j in range(network.n_features))]


def feature_index(network: Network, feature: int | str) -> int:
    """Return the index of a feature given as index or name, or raise InputError."""
    if isinstance(feature, str):
        names = network.feature_names or ()
        if feature in names:
            return names.index(feature)
        known = ", ".join(map(repr, names[:8])) or "the network has no names"
        raise InputError(f"no feature {feature!r}; known are {known}{', …' if len(names) > 8 else ''}")
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, int | np.integer):
        raise InputError(f"a feature must be a name or an index, got {feature!r}")
    if not 0 <= feature < network.n_features:
        raise InputError(f"features are numbered from 0 to {network.n_features - 1}, got {feature}")
    return int(feature)


def unit_scale(network: Network, scale: ArrayLike | None) -> Floats:
    """Return the factor of each feature's weights, shape (n_features,), 1 each for None, or raise InputError."""
    if scale is None:
        return np.ones(network.n_features)
    factors = np.asarray(numbers_in_order("the numbers of scale", scale, network.feature_names), dtype=np.float64)
    if factors.shape != (network.n_features,) or not np.all(np.isfinite(factors)) or np.any(factors < 0):
        raise InputError(f"scale must be {network.n_features} finite numbers >= 0, one per feature")
    return factors


def legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], **where: Any) -> Any:
    """Add a legend whose labels may be anything; matplotlib leaves out those that begin with an underscore."""
    made = ax.legend(handles, [f"{k}" for k in range(len(labels))], **where)
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)
    return made
