"""A score card: the points of each input, and the risk by score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.errors import InputError
from bdnn.plotting.style import BLUE, VERMILLION, axes_or_new, drawing, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.reports.card import ScoreCard


@drawing
def plot_card(card: ScoreCard, *, kind: str = "points", ax: Axes | Figure | None = None) -> Axes:
    """Draw the points of a score card, or its risks.

    Parameters
    ----------
    card : ScoreCard
        What to draw; see `bdnn.score_card`.
    kind : {"points", "risk"}
        Bars of the points of each input, blue for those that speak for a class and orange for those against it; or the
        risk by score, with the threshold, which needs a card with data.
    {ax}

    Raises
    ------
    InputError
        If the kind is none, or the card has no risks.
    {missing_dependency}
    """
    if kind not in ("points", "risk"):
        raise InputError(f"kind must be 'points' or 'risk', got {kind!r}")
    return _points(card, ax) if kind == "points" else _risk(card, ax)


def _points(card: ScoreCard, ax: Axes | Figure | None) -> Axes:
    several = len(card.scales) > 1
    bars = [
        (f"{scale.label}: {each.name}" if several else each.name, each.points)
        for scale in card.scales
        for each in scale.points
    ]
    axes = axes_or_new(ax, 6.0, 1.2 + 0.32 * max(len(bars), 3))
    places = list(range(len(bars)))
    points = [value for _, value in bars]
    axes.barh(places, points, color=[BLUE if value > 0 else VERMILLION for value in points])
    axes.set_yticks(places, [shown(name) for name, _ in bars])
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", linewidth=0.8)
    for place, value in zip(places, points, strict=True):
        axes.annotate(f"{value:+d}", (value, place), (3 if value > 0 else -3, 0), textcoords="offset points",
                      ha="left" if value > 0 else "right", va="center", fontsize="small")  # fmt: skip
    axes.margins(x=0.15)
    axes.set_xlabel("points" if several else f"points for {shown(card.classes[1])}")
    axes.set_title(shown(card.rule, 90), fontsize="medium")
    return axes


def _risk(card: ScoreCard, ax: Axes | Figure | None) -> Axes:
    if not card.risks:
        raise InputError("this card has no risks: make it of two classes, with the rows of the training")
    assert card.threshold is not None
    axes = axes_or_new(ax, 6.0, 3.6)
    middle = [(each.low + each.high) / 2 for each in card.risks]
    axes.step(middle, [each.risk for each in card.risks], where="mid", color=BLUE)
    axes.scatter(middle, [each.risk for each in card.risks], s=18, color=BLUE)
    axes.axvline(card.threshold, color=VERMILLION, linestyle="dashed", linewidth=1.2)
    axes.annotate(f"{card.threshold} or more: {shown(card.classes[1], 30)}", (card.threshold, 1.0), (4, -2),
                  textcoords="offset points", va="top", fontsize="small")  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("score")
    axes.set_ylabel(f"risk of {shown(card.classes[1])}")
    return axes
