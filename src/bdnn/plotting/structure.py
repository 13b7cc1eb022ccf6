"""The network itself: its diagram, and the weights of its first layer by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bdnn.errors import InputError
from bdnn.plotting.style import BLUE, VERMILLION, axes_or_new, drawing, input_names, legend, shown, unit_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdnn.network.network import Network
    from bdnn.types import Array, Floats

_ROOM_FOR_BIASES = 16  # lines of text fit between the nodes of a layer that has fewer of them
_ROOM_FOR_NUMBERS = 12  # most columns in which numbers in the small font do not touch


@drawing
def plot_network(
    network: Network,
    feature_names: Sequence[str] | None = None,
    *,
    scale: ArrayLike | None = None,
    max_nodes: int = 20,
    ax: Axes | Figure | None = None,
) -> Axes:
    """Draw a network as layers of neurons joined by their weights.

    Positive weights are solid blue lines, and negative ones are dashed orange lines; wider lines are larger weights
    relative to the others of the same neuron, whose scale has no meaning. Weights of 0 are left out.

    Parameters
    ----------
    network : Network
        What to draw.
    feature_names : sequence of str or None
        Names of the inputs; None for those of the network.
    scale : array-like of shape (n_features,) or None
        Factors of the weights of each feature, such as ``X.std(axis=0)``, so that features of different units compare;
        None for 1.
    max_nodes : int
        Most inputs or neurons of a layer that are drawn: those with the largest weights.
    {ax}

    Raises
    ------
    InputError
        If names or factors do not fit the network.
    {missing_dependency}
    """
    names = input_names(network, feature_names)
    if isinstance(max_nodes, bool) or not isinstance(max_nodes, int) or max_nodes < 1:
        raise InputError(f"max_nodes must be a positive integer, got {max_nodes!r}")
    relative = [_relative(W, b) for W, b in _scaled_layers(network, scale)]
    kept = _kept(relative, max_nodes)
    tallest = max(map(len, kept))
    axes = axes_or_new(ax, 2.4 + 2.2 * len(kept), 1.5 + 0.34 * max(tallest, 6))
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba
    from matplotlib.lines import Line2D

    heights = [_heights(len(nodes), tallest) for nodes in kept]
    for sign, color, style in ((1, BLUE, "solid"), (-1, VERMILLION, (0, (4, 1.5)))):
        segments, sizes = [], []
        for k, (W, _) in enumerate(relative):
            chosen = W[np.ix_(kept[k + 1], kept[k])] * sign
            for row, column in np.argwhere(chosen > 0).tolist():
                segments.append([(k, heights[k][column]), (k + 1, heights[k + 1][row])])
                sizes.append(float(chosen[row, column]))
        axes.add_collection(
            LineCollection(
                segments, linestyles=[style], linewidths=[0.3 + 3.2 * size for size in sizes], zorder=1,
                colors=[to_rgba(color, 0.25 + 0.75 * size) for size in sizes],
            )
        )  # fmt: skip
    area = min(300.0, 5000 / tallest)
    for k, (nodes, y) in enumerate(zip(kept, heights, strict=True)):
        axes.scatter(
            np.full(len(y), k), y, s=area if k else area / 5, zorder=2, edgecolors="black",
            c="white" if k else "0.35", marker="o" if k else "s",
        )  # fmt: skip
        left_out = (network.n_features, *network.widths)[k] - len(nodes)
        if left_out:
            axes.text(k, min(y) - 0.75, f"and {left_out} more", ha="center", va="top", fontsize="small", style="italic")
        if k and tallest <= _ROOM_FOR_BIASES:
            for node, height in zip(nodes, y, strict=True):
                bias = (network.layers if network.is_integer else relative)[k - 1][1][node]
                axes.annotate(
                    f"bias {_short(float(bias))}", (k, height), (0, -0.6 * math.sqrt(area)), fontsize=7, zorder=3,
                    textcoords="offset points", ha="center", va="top",
                )  # fmt: skip
    for node, height in zip(kept[0], heights[0], strict=True):
        axes.text(-0.08, height, names[node], ha="right", va="center", fontsize="small")
    for node, height in zip(kept[-1], heights[-1], strict=True):
        axes.text(len(kept) - 0.84, height, _output_text(network, node), va="center", fontsize="small")
    _label_layers(axes, network, max(map(max, heights)))
    drawn = [Line2D([], [], color=BLUE, lw=2), Line2D([], [], color=VERMILLION, lw=2, ls=(0, (3, 1.5)))]
    labels = ["positive weight", "negative weight; wider: larger beside the others of its neuron"]
    legend(axes, drawn, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize="small")
    axes.set_xlim(-0.9, len(kept) - 0.1)
    axes.set_ylim(min(map(min, heights)) - 1.2, max(map(max, heights)) + 1.6)
    axes.set_axis_off()
    return axes


@drawing
def plot_weights(
    network: Network,
    feature_names: Sequence[str] | None = None,
    *,
    scale: ArrayLike | None = None,
    relative: bool = True,
    max_features: int = 25,
    ax: Axes | Figure | None = None,
) -> Axes:
    """Draw the weights of the first layer as a table of colored cells, with a row per feature and a column per neuron.

    Parameters
    ----------
    network : Network
        What to draw.
    feature_names : sequence of str or None
        Names of the inputs; None for those of the network.
    scale : array-like of shape (n_features,) or None
        Factors of the weights of each feature, such as ``X.std(axis=0)``, so that features of different units compare;
        None for 1.
    relative : bool
        Whether the weights of a neuron are divided by its largest, since positive multiples give the same neuron.
    max_features : int
        Most features that are drawn: those with the largest weights.
    {ax}

    Raises
    ------
    InputError
        If names or factors do not fit the network.
    {missing_dependency}
    """
    names = input_names(network, feature_names)
    if isinstance(max_features, bool) or not isinstance(max_features, int) or max_features < 1:
        raise InputError(f"max_features must be a positive integer, got {max_features!r}")
    W, bias = _scaled_layers(network, scale)[0]
    if relative:
        W, _ = _relative(W, bias)
    order = np.array(heaviest_features(network, scale)[:max_features], dtype=np.intp)
    cells = W[:, order].T
    axes = axes_or_new(ax, 2.9 + min(0.62 * len(W), 9.0), 1.6 + 0.3 * len(order))
    from matplotlib.colors import LinearSegmentedColormap

    most = float(np.abs(cells).max(initial=0.0)) or 1.0
    colors = LinearSegmentedColormap.from_list("signed", [VERMILLION, "white", BLUE])
    image = axes.imshow(cells, cmap=colors, vmin=-most, vmax=most, aspect="auto")
    axes.set_yticks(range(len(order)), [names[j] for j in order.tolist()], fontsize="small")
    step = 1 + len(W) // 16
    axes.set_xticks(range(0, len(W), step), [str(k) for k in range(0, len(W), step)])
    if len(W) <= _ROOM_FOR_NUMBERS:  # not everybody can tell the colors apart, but everybody can read the numbers
        for (row, column), value in np.ndenumerate(cells):
            ink = "white" if abs(value) > 0.7 * most else "black"
            axes.text(column, row, _short(value), ha="center", va="center", color=ink, fontsize=7.5)
    per = "\n" if len(W) < 5 else " "
    axes.set_xlabel(f"{'output' if len(network.widths) == 1 else 'neuron'}{per}of layer 1")
    what = "weight" if scale is None else "weight × scale"
    unit = f"{what} / largest of the neuron" if relative else what
    axes.figure.colorbar(image, ax=axes, label=unit, shrink=0.9)
    left_out = network.n_features - len(order)
    if left_out:
        axes.set_title(f"{len(order)} largest of {network.n_features} features", fontsize="medium")
    return axes


def heaviest_features(network: Network, scale: ArrayLike | None = None) -> list[int]:
    """Return the features by their weights in the first layer, largest first; `scale` as in `plot_weights`."""
    relative, _ = _relative(*_scaled_layers(network, scale)[0])
    return [int(j) for j in np.argsort(-_importance(relative), kind="stable")]


def _scaled_layers(network: Network, scale: ArrayLike | None) -> list[tuple[Floats, Floats]]:
    """Return the layers as doubles, with factors on the weights of the features."""
    factors = unit_scale(network, scale)
    layers = [(np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)) for W, b in network.layers]
    layers[0] = layers[0][0] * factors, layers[0][1]
    return layers


def _relative(weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Divide each neuron by its largest weight; one without weights by its bias."""
    largest = np.abs(weights).max(axis=1, initial=0.0)
    largest = np.where(largest > 0, largest, np.where(bias == 0, 1.0, np.abs(bias)))
    return weights / largest[:, None], bias / largest


def _importance(weights: Floats) -> Array:
    """Return the sum of the absolute values of the weights that leave each node."""
    return np.asarray(np.abs(weights).sum(axis=0))


def _kept(layers: list[tuple[Floats, Floats]], most: int) -> list[list[int]]:
    """Return which inputs and neurons are drawn: those with the largest outgoing weights, and the first outputs."""
    kept = []
    for W, _ in layers:
        chosen = np.argsort(-_importance(W), kind="stable")[:most]
        kept.append(np.sort(chosen).tolist())
    return [*kept, list(range(len(layers[-1][0])))[:most]]


def _heights(count: int, tallest: int) -> list[float]:
    """Return the places of the nodes of a layer, from top to bottom."""
    space = min(tallest / count, 2.5)
    return [((count - 1) / 2 - k) * space for k in range(count)]


def _output_text(network: Network, node: int) -> str:
    classes = network.classes
    if network.widths[-1] == 1:
        return f"fires: {shown(classes[1], 16)}\nelse: {shown(classes[0], 16)}"
    return shown(classes[node], 16)


def _label_layers(ax: Axes, network: Network, top: float) -> None:
    n = len(network.widths)
    kinds = {"threshold": "fire if sum ≥ 0", "argmax": "largest sum wins"}
    for k in range(n + 1):
        if k == 0:
            text = f"{network.n_features} inputs"
        elif k < n:
            text = f"{network.widths[k - 1]} neurons\nfire if sum ≥ 0"
        else:
            text = f"output\n{kinds[network.head]}"
        ax.text(k, top + 0.75, text, ha="center", va="bottom", fontsize="small")


def _short(value: float) -> str:
    """Return a number with its sign in a few characters."""
    if value == 0:
        return "0"
    text = f"{value:+.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:+.2g}"
    return text.replace("-", "−")
