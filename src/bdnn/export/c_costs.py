"""Layouts of layers in C, and about what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.export.groves import TREE_LAYOUTS, Grove, TreeLayout, grove_of
from bdnn.export.program import IntegerLayer, Member, Signal, smallest_type

if TYPE_CHECKING:
    from bdnn.export.request import Optimize

Layout = Literal["unrolled", "packed", "listed", "masks", "rules"]

AnyLayout = Layout | TreeLayout

LAYOUTS: tuple[AnyLayout, ...] = ("unrolled", "packed", "listed", "masks", "rules", *TREE_LAYOUTS)

# These are bytes on a machine of 8 bits with 16-bit sums, counted in avr-gcc's output for loads of an input, additions
# of two bytes, comparisons with a constant and loops; they only rank the layouts.
_TERM, _BIT, _NEURON = 8, 10, 14
_LOOP, _MASK_LOOP, _FILL = 90, 130, 12  # the code of a loop over weights, of one over masks, and of storing a bit
_LISTED_LOOP = 120  # the code of a loop over weights of inputs that are listed
_RULE = 3  # an index and a threshold of two bytes
_RULES_LOOP = 90  # the code of a loop over thresholds
_COPY = 8  # storing a value
_MOST_UNROLLED = 3_000  # weights: more fill 32 kB of flash on a machine of 8 bits
# cycles, counted in the same output: adding a weight, unpacking and adding one, counting the bits of a masked byte
_TERM_CYCLES, _PACKED_CYCLES, _LISTED_CYCLES, _WORD_CYCLES = 8, 24, 32, 60


@dataclass(frozen=True)
class Choice:
    """The layouts of a network that cost least: of each layer, or of the trees that its rules are.

    Attributes
    ----------
    price : float
        About how many bytes or cycles they take.
    of_layers : tuple of str
        By layer.
    grove : Grove or None
        The trees, if the network is written as such.
    of_trees : str
        Their layout.
    """

    price: float
    of_layers: tuple[Layout, ...]
    grove: Grove | None = None
    of_trees: TreeLayout = "trees"


def best_layouts(
    member: Member, types: Sequence[str], optimize: Optimize, count: int = 1, forced: AnyLayout | None = None
) -> Choice | None:
    """Return the layouts that cost least.

    Parameters
    ----------
    member : Member
        A network, or several ones, whose layers lie one below the other.
    types : sequence of str
        Of the pre-activations of each layer.
    optimize : {"size", "speed"}
        What is to be little.
    count : int
        Number of networks.
    forced : str or None
        The layout of whatever can have it; None for the one that costs least.

    Returns
    -------
    Choice or None
        None if several networks cannot be in a loop.
    """
    total, chosen = 0.0, []
    for k, (layer, kind) in enumerate(zip(member.layers, types, strict=True)):
        signals = member.signals if k == 0 else None
        prices = {
            each: cost(each, layer, signals, optimize, count)
            for each in layouts_of(layer, signals, kind == "int64", count > 1)
        }
        if not prices:
            return None
        chosen.append(forced if forced in prices else min(prices, key=prices.__getitem__))
        total += min(prices.values())
    best = Choice(total, tuple(chosen))
    if count > 1 or "int64" in types or (grove := grove_of(member)) is None:
        return best
    found = grove.costs(optimize)
    if forced is not None:
        return Choice(found[forced], (), grove, forced) if forced in found else best
    cheapest = min(found, key=found.__getitem__, default=None)
    return best if cheapest is None or found[cheapest] >= total else Choice(found[cheapest], (), grove, cheapest)


def layouts_of(
    layer: IntegerLayer, signals: Sequence[Signal] | None, wide: bool, stacked: bool = False
) -> list[Layout]:
    """Return the layouts that a layer can have, or layers of several networks in a loop.

    Parameters
    ----------
    layer : IntegerLayer
        Of one network, or those of several networks one below the other.
    signals : sequence of Signal or None
        Its inputs; None if they are neurons.
    wide : bool
        Whether sums need 64 bits.
    stacked : bool
        Whether it is of several networks.

    Returns
    -------
    list of str
        Empty if networks cannot be in a loop.
    """
    if wide or not layer.weights.size:
        return [] if stacked else ["unrolled"]
    found: list[Layout] = [] if stacked else ["unrolled"]
    if signals is not None:
        found.append("packed")
        if stacked:
            found.append("listed")
        elif any(map(is_rule, signals)):
            found.append("rules")
    if signals is None or all(signal.is_bit for signal in signals):
        found.append("masks")
    return found


def is_rule(signal: Signal) -> bool:
    """Whether a signal changes at one integer only: from there on, or there alone."""
    return signal.kind != "value" and len(signal.cuts) == 1 and signal.missing is None


def n_looped(signals: Sequence[Signal]) -> int:
    """Return how many of the first signals are computed in loops over a table: first thresholds, then equalities."""
    n = 0
    for kind in ("steps", "equal"):
        while n < len(signals) and is_rule(signals[n]) and signals[n].is_bit and signals[n].kind == kind:
            n += 1
    return n if _RULES_LOOP + n * _RULE < n * _FILL else 0


def fill_cost(signals: Sequence[Signal] | None, copied: bool = False) -> int:
    """Return about how many bytes of code and tables compute signals, and put them into an array if `copied`."""
    if signals is None:
        return 0
    n = n_looped(signals)
    rest = signals[n:]
    statements = sum(_FILL for s in rest if s.kind != "value") + (_COPY * len(rest) if copied else 0)
    return statements + (_RULES_LOOP + n * _RULE if n else 0)


def cost(
    layout: Layout, layer: IntegerLayer, signals: Sequence[Signal] | None, optimize: Optimize, count: int = 1
) -> float:
    """Return about how many bytes or cycles a layout takes, in a loop over some number of networks if it is above 1."""
    d, n = layer.weights.shape
    d, n = int(d), int(n)
    used = int(np.count_nonzero(layer.weights))
    planes = n_planes(layer)
    words = -(-n // 8)
    if optimize == "speed" and layout == "unrolled" and used > _MOST_UNROLLED:
        return math.inf
    if optimize == "speed":
        fill = 0 if signals is None else sum(0 if s.kind == "value" else _FILL for s in signals)
        return {
            "unrolled": fill + used * _TERM_CYCLES,
            "packed": fill + d * n * _PACKED_CYCLES,
            "listed": fill + n_listed(layer, count) * (d // count) * _LISTED_CYCLES,
            "rules": n * _PACKED_CYCLES + used * _TERM_CYCLES,
            "masks": fill + d * words * planes * 2 * _WORD_CYCLES,
        }[layout]
    term = _TERM if signals is not None and not all(s.is_bit for s in signals) else _BIT
    if layout == "unrolled":
        fill = 0 if signals is None else sum(0 if s.kind == "value" else _FILL for s in signals)
        return used * term + d * _NEURON + (fill if d > 1 else 0)
    if layout == "rules":
        rules = sum(map(is_rule, signals or ()))
        others = int(np.count_nonzero(layer.weights[:, [not is_rule(s) for s in signals or ()]]))
        return _LOOP + rules * (_RULE + d) + others * term + d * 2
    same = signals is not None and all(s.kind == "value" and s.missing is None for s in signals)
    if layout == "packed":
        return _LOOP + d * (-(-n * weight_width(layer) // 8) + 2) + (0 if same else fill_cost(signals, copied=True))
    if layout == "listed":
        # places of one byte, and weights from a new byte on for every neuron
        places = n_listed(layer, count)
        weights = places * (d // count) * weight_width(layer) / 8 + d / 2
        return _LISTED_LOOP + count + places + weights + 2 * d + (0 if same else fill_cost(signals, copied=True))
    return _MASK_LOOP + d * (words * planes * 2 + 2) + fill_cost(signals)


def n_listed(layer: IntegerLayer, count: int) -> int:
    """Return the number of inputs with a weight, summed over networks whose layers lie one below the other."""
    d, n = layer.weights.shape
    used = layer.weights.reshape(count, d // count, n) != 0
    return int(np.count_nonzero(used.any(axis=1)))


def weight_width(layer: IntegerLayer) -> int:
    """Return the bits of a packed weight: 2 for ternary ones, 4 up to 7, else those of a type."""
    most = int(np.abs(layer.weights).max(initial=0))
    return 2 if most <= 1 else 4 if most <= 7 else int(smallest_type(-most, most)[3:])


def n_planes(layer: IntegerLayer) -> int:
    """Return the bits of the largest absolute weight."""
    return max(int(np.abs(layer.weights).max(initial=0)).bit_length(), 1)
