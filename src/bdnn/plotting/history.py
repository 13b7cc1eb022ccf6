"""The course of a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bdnn.errors import InputError
from bdnn.plotting.style import BLUE, GRAY, VERMILLION, axes_or_new, drawing, legend
from bdnn.status import relative_gap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.result import Result

_WIDE = 10
"""An axis is logarithmic if its last value is at least this many times the first, or the reverse."""


@drawing
def plot_history(result: Result, ax: Axes | Figure | None = None) -> Axes:
    """Draw the best objective, the bound and the gap of a training over time.

    The gap has axes of its own, on the right, which share the time axis with those that are returned.

    Parameters
    ----------
    result : Result
        Result with its history; where the course of the bound is not known, the final bound is drawn.
    {ax}

    Raises
    ------
    InputError
        If there is no history.
    {missing_dependency}
    """
    steps = _best(result)
    if not steps:
        raise InputError("the result has no history to draw: no network of finite objective was recorded")
    axes = axes_or_new(ax, 6.4, 4.0)
    bounds = [(step.seconds, step.bound) for step in result.bounds]
    last = max([result.timings.get("total", 0.0), steps[-1][0], *(seconds for seconds, _ in bounds[-1:])])
    first = steps[0][0]
    known = bool(bounds)
    bounds = bounds or [(first, result.bound)]
    gaps = _gaps(steps, bounds, last)
    right = axes.twinx()
    right.set_zorder(axes.get_zorder() - 1)  # the gap lies behind the other curves
    axes.patch.set_visible(False)
    lines = [
        axes.plot(*zip(*steps, (last, steps[-1][1]), strict=True), drawstyle="steps-post", color=BLUE, lw=2,
                marker="o", ms=4, markevery=range(len(steps)))[0],
        axes.plot(*zip(*bounds, (last, bounds[-1][1]), strict=True), drawstyle="steps-post", color=VERMILLION, lw=2,
                ls="--", marker="^", ms=4, markevery=range(len(bounds) if known and len(bounds) < 50 else 0))[0],
        right.plot(*zip(*gaps, strict=True), drawstyle="steps-post", color=GRAY, lw=1.2, ls=":")[0],
    ]  # fmt: skip
    regularized = result.objective != result.audit.loss
    axes.set_ylabel("objective: loss + regularizer" if regularized else "training loss (sample weight)")
    axes.set_xlabel("time (s)")
    values = [value for _, value in [*steps, *bounds] if value > 0]
    if values and steps[0][1] > _WIDE * steps[-1][1]:
        # linear below the least value, since losses may be 0
        linear = 10.0 ** math.floor(math.log10(min(values)))
        axes.set_yscale("symlog", linthresh=linear)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(-0.1 * linear, 1.5 * max(values))
    else:
        axes.set_ylim(-0.03 * max(values, default=1.0))
    right.set_ylabel("gap, (loss − bound) / loss")
    right.set_ylim(-0.03, 1.05)
    right.yaxis.set_major_formatter("{x:.0%}")
    if 0 < first * _WIDE < last:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(first * 0.9, last * 1.1)
    axes.set_title(f"{result.method.replace('_', ' ')}, {result.status}: loss {result.objective:g}, "
                 f"bound {result.bound:g}", fontsize="medium")  # fmt: skip
    names = ["best network", "bound" if known else "final bound", "gap (right axis)"]
    legend(axes, lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return axes


def _best(result: Result) -> list[tuple[float, float]]:
    """Return time and objective of every network that was better than all before it."""
    best, steps = math.inf, []
    for step in result.history:
        if step.objective < best:
            best = step.objective
            steps.append((step.seconds, best))
    return steps


def _gaps(
    steps: list[tuple[float, float]], bounds: list[tuple[float, float]], last: float
) -> list[tuple[float, float]]:
    """Return the relative gap from the first network on, at every change of objective or bound."""
    gaps = []
    for now in sorted({max(seconds, steps[0][0]) for seconds, _ in [*steps, *bounds]} | {last}):
        objective = [value for seconds, value in steps if seconds <= now][-1]
        bound = max([value for seconds, value in bounds if seconds <= now], default=0.0)
        gaps.append((now, min(relative_gap(objective, bound), 1.0)))
    return gaps
