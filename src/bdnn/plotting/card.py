"""A score card: the points of each input, and the risk by score."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bdnn.errors import InputError
from bdnn.plotting.style import BLUE, VERMILLION, axes_or_new, drawing, shown
from bdnn.reports.card_points import ScoreCard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# letters in a line of the title that fit above a picture of 6 inches, and letters in ten such lines
_WIDTH, _LETTERS = 64, 640


@drawing
def plot_card(card: ScoreCard, *, kind: str = "points", ax: Axes | Figure | None = None) -> Axes:
    """Draw the points of a score card, or its risks.

    Parameters
    ----------
    card : ScoreCard
        What to draw; see `bdnn.score_card`.
    kind : {"points", "risk"}
        Bars of the points of each input, blue for points in favor of a class and orange for points against it; or the
        risk by score, with the threshold, which needs a card with data.
    {ax}

    Raises
    ------
    InputError
        If this is not a card, the kind is unknown, or the card has no risks.
    {missing_dependency}
    """
    if not isinstance(card, ScoreCard):
        raise InputError(f"card must be a score card, got {type(card).__name__}; pass bdnn.score_card(clf, X, y)")
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
    # next to bars of starts, which can be hundreds of points, none of the other bars would be visible
    starts = ", ".join(f"{shown(scale.label)} {scale.start:+d}" for scale in card.scales if scale.start)
    label = f"points; every row starts with {starts}" if starts else "points"
    axes.set_xlabel(textwrap.fill(label, _WIDTH) if several else f"points for {shown(card.classes[1])}")
    axes.set_title(textwrap.fill(shown(card.rule, _LETTERS), _WIDTH), fontsize="medium")
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
