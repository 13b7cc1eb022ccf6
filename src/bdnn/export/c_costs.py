"""Layouts of layers in C, and about what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.export.program import IntegerLayer, Signal, smallest_type

if TYPE_CHECKING:
    from bdnn.export.request import Optimize

Layout = Literal["unrolled", "packed", "masks", "rules"]

LAYOUTS: tuple[Layout, ...] = ("unrolled", "packed", "masks", "rules")

# These are bytes on a machine of 8 bits with 16-bit sums, counted in avr-gcc's output for loads of an input, additions
# of two bytes, comparisons with a constant and loops; they only rank the layouts.
_TERM, _BIT, _NEURON = 8, 10, 14
_LOOP, _MASK_LOOP, _FILL = 90, 130, 12  # the code of a loop over weights, of one over masks, and of storing a bit
_RULE = 3  # an index and a threshold of two bytes
_MOST_UNROLLED = 1_000  # weights: more fill the flash of small devices, and the caches of large ones
# cycles, counted in the same output: adding a weight, unpacking and adding one, counting the bits of a masked byte
_TERM_CYCLES, _PACKED_CYCLES, _WORD_CYCLES = 8, 24, 60


def layouts_of(layer: IntegerLayer, signals: Sequence[Signal] | None, wide: bool) -> list[Layout]:
    """Return the layouts that a layer can have; no signals if its inputs are neurons."""
    if wide or not layer.weights.size:
        return ["unrolled"]
    found: list[Layout] = ["unrolled"]
    if signals is not None:
        found.append("packed")
        if any(map(is_rule, signals)):
            found.append("rules")
    if signals is None or all(signal.is_bit for signal in signals):
        found.append("masks")
    return found


def is_rule(signal: Signal) -> bool:
    """Whether a signal changes at one integer only: from there on, or there alone."""
    return signal.kind != "value" and len(signal.cuts) == 1 and signal.missing is None


def cost(layout: Layout, layer: IntegerLayer, signals: Sequence[Signal] | None, optimize: Optimize) -> float:
    """Return about how many bytes or cycles a layout takes."""
    d, n = layer.weights.shape
    d, n = int(d), int(n)
    used = int(np.count_nonzero(layer.weights))
    planes = n_planes(layer)
    words = -(-n // 8)
    fill = 0 if signals is None else sum(0 if s.kind == "value" else _FILL for s in signals)
    if optimize == "speed" and layout == "unrolled" and used > _MOST_UNROLLED:
        return math.inf
    if optimize == "speed":
        return {
            "unrolled": fill + used * _TERM_CYCLES,
            "packed": fill + d * n * _PACKED_CYCLES,
            "rules": n * _PACKED_CYCLES + used * _TERM_CYCLES,
            "masks": fill + d * words * planes * 2 * _WORD_CYCLES,
        }[layout]
    term = _TERM if signals is not None and not all(s.is_bit for s in signals) else _BIT
    if layout == "unrolled":
        return used * term + d * _NEURON + (fill if d > 1 else 0)
    if layout == "rules":
        rules = sum(map(is_rule, signals or ()))
        others = int(np.count_nonzero(layer.weights[:, [not is_rule(s) for s in signals or ()]]))
        return _LOOP + rules * (_RULE + d) + others * term + d * 2
    if layout == "packed":
        same = signals is not None and all(s.kind == "value" and s.missing is None for s in signals)
        return _LOOP + d * (-(-n * weight_width(layer) // 8) + 2) + (0 if same else fill + 8 * n)
    return _MASK_LOOP + d * (words * planes * 2 + 2) + fill


def weight_width(layer: IntegerLayer) -> int:
    """Return the bits of a packed weight: 2 for ternary ones, 4 up to 7, else those of a type."""
    most = int(np.abs(layer.weights).max(initial=0))
    return 2 if most <= 1 else 4 if most <= 7 else int(smallest_type(-most, most)[3:])


def n_planes(layer: IntegerLayer) -> int:
    """Return the bits of the largest absolute weight."""
    return max(int(np.abs(layer.weights).max(initial=0)).bit_length(), 1)
