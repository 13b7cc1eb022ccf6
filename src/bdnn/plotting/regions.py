"""Decision regions over two features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import real_numbers
from bdnn.columns import numbers_in_order
from bdnn.errors import InputError
from bdnn.labels import label_codes
from bdnn.network.grid import ends
from bdnn.plotting.style import COLORS, MARKERS, axes_or_new, drawing, feature_index, input_names, legend, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.network.network import Network
    from bdnn.types import Array, Floats

_WINDOW_BITS = 6  # bits of the grid whose ends bound the window, so that a few points far out do not stretch it
_MAX_POINTS = 2000  # more points would hide each other and make the file large
_MAX_IN_LEGEND = 10  # entries that fit next to a picture
_WORTH_A_LABEL = 0.01
"""Least fraction of the picture at which a region is named in it."""


@drawing
def plot_decision_regions(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    features: Sequence[int | str] = (0, 1),
    *,
    values: ArrayLike | Mapping[int | str, float] | None = None,
    resolution: int = 200,
    ax: Axes | Figure | None = None,
) -> Axes:
    """Draw what a network predicts over two features, with the points of a data set.

    The regions are a slice through the input space: all other features are fixed. Points are placed by their two
    features, whatever their other features are, so their predictions, which are marked where wrong, may differ from
    the region's.

    Parameters
    ----------
    network : Network
        A trained network.
    X : array-like of shape (m, n_features)
        Points; those at the same place are drawn as one larger point.
    y : array-like of shape (m,)
        Their labels.
    features : pair of int or str
        Indices or names of the features on the horizontal and the vertical axis.
    values : array-like of shape (n_features,), mapping or None
        Values of the other features in their units, for all of them, or for some by index or name. The rest, and all of
        them for None, are at their medians in X.
    resolution : int
        Number of inputs per axis at which the network is evaluated.
    {ax}

    Raises
    ------
    InputError
        If data, features or values do not fit the network.
    {missing_dependency}
    """
    inputs = network.check_inputs(X)
    if not len(inputs):
        raise InputError("there are no points to draw; X has no rows")
    codes = label_codes(network.classes, y, len(inputs))
    if isinstance(features, str) or not np.iterable(features) or len(features) != 2:
        raise InputError(f"features must be two names or indices, got {features!r}")
    i, j = (feature_index(network, feature) for feature in features)
    if i == j:
        raise InputError(f"the two features must be different, got {features[0]!r} twice")
    if isinstance(resolution, bool) or not isinstance(resolution, int) or not 2 <= resolution <= 2000:
        raise InputError(f"resolution must be an integer from 2 to 2000, got {resolution!r}")
    base, medians = _fixed(network, inputs, values, {i, j})
    axes = axes_or_new(ax, 6.4, 4.8)

    # cell centers, with a margin around the points
    low, high = _window(inputs[:, [i, j]].astype(np.float64))
    room = 0.06 * np.where(high > low, high - low, 1.0)
    low, high = low - room, high + room
    steps = (np.arange(resolution) + 0.5) / resolution
    across, up = (low[k] + steps * (high[k] - low[k]) for k in (0, 1))
    grid = np.tile(base, (resolution * resolution, 1))
    grid[:, i], grid[:, j] = np.tile(across, resolution), np.repeat(up, resolution)
    regions = network.predict_index(grid).reshape(resolution, resolution)
    _draw_regions(axes, network, regions, across, up, (low[0], high[0], low[1], high[1]))
    inside = np.all((inputs[:, [i, j]] >= low) & (inputs[:, [i, j]] <= high), axis=1)
    wrong = network.predict_index(inputs) != codes
    drawn = _draw_points(axes, network, inputs[inside][:, [i, j]], codes[inside], wrong[inside])

    names = input_names(network, None)
    axes.set_xlabel(names[i])
    axes.set_ylabel(names[j])
    fixed = ("other features at their medians" if medians else "other features fixed") if len(base) > 2 else ""
    part = f"{drawn} of {len(inputs)} rows" if drawn < len(inputs) else f"{len(inputs)} rows"
    beyond = "" if inside.all() else f"{np.sum(~inside)} far outside"
    axes.set_title(", ".join(filter(None, ["Predicted classes", fixed, part, beyond])), fontsize="medium")
    return axes


def _window(places: Floats) -> tuple[Floats, Floats]:
    """Return the ends of both axes: the extremes, unless a few points would leave no room for all the others."""
    low, high = places.min(axis=0), places.max(axis=0)
    first, step = ends(places, _WINDOW_BITS)
    points = 2.0**_WINDOW_BITS - 1.0
    moved = step < (high - low) / points
    return np.where(moved, first, low), np.where(moved, first + step * points, high)


def _fixed(
    network: Network, inputs: Array, values: ArrayLike | Mapping[int | str, float] | None, free: set[int]
) -> tuple[Floats, bool]:
    """Return values of all features, and whether those that are not free are at their medians."""
    base = np.median(inputs, axis=0).astype(np.float64)
    if values is None:
        return base, True
    if isinstance(values, Mapping):
        given = {feature_index(network, name): value for name, value in values.items()}
        where = list(given)
        base[where] = real_numbers("values", list(given.values()))
    else:
        where = list(range(len(base)))
        array = real_numbers("values", numbers_in_order("values", values, network.feature_names))
        if array.shape != base.shape:
            raise InputError(f"values must be one per feature ({len(base)}), or a mapping, got shape {array.shape}")
        base = array.copy()
    if not np.all(np.isfinite(base)):
        raise InputError("values must be finite numbers")
    return base, not set(where) - free


def _draw_regions(
    ax: Axes,
    network: Network,
    regions: Array,
    across: Floats,
    up: Floats,
    extent: tuple[float, float, float, float],
) -> None:
    from matplotlib.colors import ListedColormap, to_rgb
    from scipy.ndimage import distance_transform_edt

    n = len(network.classes)
    light = [0.68 + 0.32 * np.array(to_rgb(COLORS[c % len(COLORS)])) for c in range(n)]
    ax.imshow(
        regions, origin="lower", extent=extent, aspect="auto", interpolation="nearest",
        cmap=ListedColormap(light), vmin=-0.5, vmax=n - 0.5,
    )  # fmt: skip
    for c in np.unique(regions).tolist():
        inside = regions == c
        if not inside.all():
            ax.contour(across, up, inside, levels=[0.5], colors="0.25", linewidths=0.8)
        if inside.mean() >= _WORTH_A_LABEL:
            # the name of the region goes where it is widest, so that the picture can be read without colors
            depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(np.argmax(depth), depth.shape)
            ax.text(
                across[column], up[row], shown(network.classes[c], 16), ha="center", va="center", zorder=4,
                fontweight="bold", bbox={"boxstyle": "round", "fc": "white", "ec": "0.4", "alpha": 0.85},
            )  # fmt: skip


def _draw_points(ax: Axes, network: Network, places: Array, codes: Array, wrong: Array) -> int:
    """Draw points, equal ones as one, and a legend; return the number of rows drawn."""
    from matplotlib.lines import Line2D

    table, counts = np.unique(np.column_stack([places, codes, wrong]), axis=0, return_counts=True)
    kept = np.arange(len(table))
    if len(table) > _MAX_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(len(table), _MAX_POINTS, replace=False))
    table, counts = table[kept], counts[kept]
    sizes = 18 * (1 + np.log2(counts))
    # if several classes share a place, the most frequent one lies below the others
    order = np.lexsort((-counts, table[:, 1], table[:, 0]))
    _, firsts = np.unique(table[order, :2], axis=0, return_index=True)
    below = np.isin(np.arange(len(table)), order[firsts])
    handles, labels = [], []
    for c, label in enumerate(network.classes.tolist()):
        color, marker = COLORS[c % len(COLORS)], MARKERS[c % len(MARKERS)]
        for level, chosen in ((2.4, below), (2.6, ~below)):
            own = (table[:, 2] == c) & chosen
            ax.scatter(
                table[own, 0], table[own, 1], s=sizes[own], c=color, marker=marker, edgecolors="white", linewidths=0.6,
                zorder=level,
            )  # fmt: skip
        handles.append(Line2D([], [], color=color, marker=marker, ls="none"))
        labels.append(shown(label))
    if len(labels) > _MAX_IN_LEGEND:
        handles, labels = handles[:_MAX_IN_LEGEND], [*labels[: _MAX_IN_LEGEND - 1], "…"]
    bad = table[:, 3] == 1
    if bad.any():
        ax.scatter(
            table[bad, 0], table[bad, 1], s=2.6 * sizes[bad] + 20, facecolors="none", edgecolors="black",
            linewidths=1.2, zorder=3,
        )  # fmt: skip
        handles.append(Line2D([], [], color="black", marker="o", mfc="none", ms=9, ls="none"))
        labels.append("predicted wrong")
    legend(ax, handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return int(counts.sum())
