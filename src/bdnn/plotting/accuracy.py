"""Accuracies: certified and attacked ones against radii, and accuracies against the size of networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bdnn.errors import InputError
from bdnn.plotting.style import BLUE, COLORS, GRAY, MARKERS, VERMILLION, axes_or_new, drawing, legend, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.certification.result import Certification
    from bdnn.types import Floats

_VISIBLE = 1e-3
"""Least fraction of the picture at which an area is worth a line in the legend."""
_CROWDED = 100.0
"""Ratio of sizes above which an axis has labels at powers of ten only."""

_NORMS = {"inf": r"$\|\delta / \mathrm{scale}\|_\infty$"}


@drawing
def plot_certified(
    certification: Certification, radii: ArrayLike | None = None, ax: Axes | Figure | None = None
) -> Axes:
    """Draw certified and attacked accuracy against radii.

    The true robust accuracy lies between the two. Between the given radii, the
    steps err on the safe side.

    Parameters
    ----------
    certification : Certification
        Verdicts on some points.
    radii : array-like of shape (k,) or None
        Radii, increasing, in units of the scale; None for all at which an accuracy changes.
    {ax}

    Raises
    ------
    InputError
        If a radius is negative or NaN, or they do not increase.
    {missing_dependency}
    """
    where = _steps(certification) if radii is None else np.atleast_1d(np.asarray(radii, dtype=np.float64))
    curve = certification.curve(where)
    r, certified, attacked = curve
    if np.any(np.diff(r) <= 0):
        raise InputError("radii must increase")
    axes = axes_or_new(ax, 6.4, 4.0)
    proven = np.append(certified[1:], certified[-1:])
    area = axes.fill_between(r, proven, attacked, step="post", color="0.85", lw=0)
    drawn: list[Any] = [
        axes.plot(r, certified, drawstyle="steps-pre", color=BLUE, lw=3)[0],
        axes.plot(r, attacked, drawstyle="steps-post", color=VERMILLION, lw=1.5, ls="--")[0],
        axes.axhline(certification.clean_accuracy, color=GRAY, lw=1.2, ls=":"),
    ]
    names = ["certified, at least", "without a known attack, at most", "clean accuracy"]
    if np.sum((attacked - proven)[:-1] * np.diff(r)) > _VISIBLE * r[-1]:
        drawn, names = [*drawn, area], [*names, "neither proven nor attacked"]
    if certification.asked is not None:
        drawn.append(axes.axvline(certification.asked, color="black", lw=1, ls="-."))
        names.append(f"radius in question, {certification.asked:g}")
    for line in drawn[:2] if radii is not None else ():
        line.set_marker("o")
    norm = _NORMS.get(certification.norm, rf"$\|\delta / \mathrm{{scale}}\|_{certification.norm}$")
    axes.set_xlabel(f"radius of the perturbation, {norm}")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlim(0, max(float(r[-1]), math.ulp(0.0)) * 1.02 if r[-1] > 0 else 1.0)
    undecided = int(certification.undecided.sum())
    where_asked = "" if certification.asked is None else f" at radius {certification.asked:g}"
    axes.set_title(f"{len(certification.robust)} points, {undecided} of them undecided{where_asked}", fontsize="medium")
    legend(axes, drawn, names, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return axes


def _steps(certification: Certification) -> Floats:
    """Return 0 and all radii at which an accuracy changes, up to the radius in question."""
    # where an attack attains the distance, the point is proven robust only just below it
    attained = certification.radius[certification.attained & np.isfinite(certification.radius)]
    below = np.nextafter(attained[attained > 0], 0.0)
    ends = np.concatenate([certification.radius, below, certification.distance])
    ends = ends[np.isfinite(ends)]
    if certification.asked is not None:
        ends = np.append(ends[ends <= certification.asked], certification.asked)
    return np.unique(np.append(ends, [0.0, ends.max(initial=0.0) * 1.05 if certification.asked is None else 0.0]))


class _Point(NamedTuple):
    size: float
    accuracy: float
    deviation: float


@drawing
def plot_pareto(
    points: Mapping[str, Sequence[float]], *, accuracy: str = "accuracy", ax: Axes | Figure | None = None
) -> Axes:
    """Draw accuracies against sizes for several methods, and join those that no other method beats in both.

    Parameters
    ----------
    points : mapping of str to (bytes, accuracy) or (bytes, accuracy, deviation)
        Size in bytes, positive; accuracy from 0 to 1; its standard deviation.
    accuracy : str
        Which accuracy it is, for the label of the axis.
    {ax}

    Raises
    ------
    InputError
        If there are no points, or one is not as described.
    {missing_dependency}

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = plot_pareto({"ternary": (120, 0.94, 0.01), "ReLU": (4096, 0.96)}, ax=Figure())
    >>> ax.get_xlabel()
    'size of the network (bytes)'
    """
    read = {name: _point(name, values) for name, values in points.items()}
    if not read:
        raise InputError("there are no points to draw; give a mapping of method to (bytes, accuracy)")
    axes = axes_or_new(ax, 6.4, 4.2)
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    best = _front(list(read.values()))
    front = axes.plot([p.size for p in best], [p.accuracy for p in best], drawstyle="steps-post", color="0.45",
                    ls="--", lw=1.4, zorder=1)[0]  # fmt: skip
    drawn, names = [], []
    for k, (name, point) in enumerate(read.items()):
        color, marker = COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)]
        drawn.append(
            axes.errorbar(
                point.size, point.accuracy, yerr=point.deviation or None, fmt=marker, color=color, ecolor=color,
                ms=8, capsize=3, mec="black" if point in best else "none", mew=1.4, zorder=2,
            )
        )  # fmt: skip
        names.append(shown(name, 40))
    axes.set_xscale("log")
    sizes = [point.size for point in read.values()]
    wide = max(sizes) > _CROWDED * min(sizes)  # labels would run into each other
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("size of the network (bytes)")
    axes.set_ylabel(accuracy)
    axes.yaxis.set_major_formatter("{x:.1%}")
    axes.grid(alpha=0.3)
    bars = ", bars: standard deviation" if any(point.deviation for point in read.values()) else ""
    legend(axes, [*drawn, front], [*names, "Pareto front (outlined)"], loc="center left", bbox_to_anchor=(1.01, 0.5),
           frameon=False)  # fmt: skip
    axes.set_title(f"{len(read)} methods{bars}", fontsize="medium")
    return axes


def _point(name: str, values: Sequence[float]) -> _Point:
    try:
        size, accuracy, deviation = (float(v or 0.0) for v in (values if len(values) > 2 else (*values, 0.0)))
    except (TypeError, ValueError):
        raise InputError(
            f"{name!r} must have (bytes, accuracy) or (bytes, accuracy, deviation), got {values!r}"
        ) from None
    if not (0 < size < math.inf and 0 <= accuracy <= 1 and 0 <= deviation < math.inf):
        raise InputError(
            f"{name!r} must have bytes above 0, an accuracy from 0 to 1 and a deviation of at least 0, got {values!r}"
        )
    return _Point(size, accuracy, deviation)


def _front(points: list[_Point]) -> list[_Point]:
    """Return the points that no other point beats in size and accuracy, by size."""
    front: list[_Point] = []
    for point in sorted(points, key=lambda p: (p.size, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front
