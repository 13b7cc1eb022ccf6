"""Grids, heads and layers of packed networks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError, PackedError
from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer
from bdnn.network.packing_numbers import LARGEST, Writer
from bdnn.network.packing_reduction import Reduced, sums

if TYPE_CHECKING:
    from bdnn.network.column_format import Layout
    from bdnn.network.losses import Head
    from bdnn.network.packing_inputs import Inputs
    from bdnn.network.packing_numbers import Reader
    from bdnn.types import Array, Bools, Floats, Integers

MOST_DRAWN = 127
"""Largest weight that an urn has a value for: of larger ones, most occur once or never."""

MOST_PLACED = 64
"""Weights of a neuron that stand at places of their own: of more, to read the places would take long."""

MOST_DRAWS = 2**17
"""Weights of a layer that come from an urn: of more, the time that grows with their square would be seconds."""

MOST_HIDDEN = 1000
"""Hidden layers: of more, few bytes would take much time."""

_DIGITS = (6, 9, 12, 15, 17)  # of decimals, from those of few to those of all doubles
_INSIDE = LARGEST // 2  # of sums: their differences are doubles as well
_EXPONENTS = 1074  # of powers of two that are doubles, normal or not, below 1; above there are fewer


def write_grid(out: Writer, grid: InputGrid, inputs: Inputs, layout: Layout) -> None:
    """Append a grid: its bits, and how its points lie, in the shortest of three ways.

    These are first points and steps, first and last points, and steps of powers of two whose multiples are the first
    points. Where the grid of a bit or of a short column of integers is the natural one, nothing is said of it.
    """
    out.digit(grid.bits - 1, 16)
    last = 2.0**grid.bits - 1
    offset, step = grid.offset, grid.step
    ways = [(0, _points(offset, step, _natural(0, grid.bits, inputs, layout), grid))]
    natural = _natural(1, grid.bits, inputs, layout)
    end = _ends(offset, step, last)
    if end is not None:
        ways.append((1, _points(offset, end, natural, grid)))
    exponent, place = np.frexp(step)[1] - 1, offset / step
    if np.array_equal(np.ldexp(1.0, exponent), step) and np.all(np.rint(place) == place) and np.all(
        np.abs(place) <= LARGEST
    ) and np.array_equal(place * step, offset):  # fmt: skip
        way = Writer()
        own = _own(way, _natural(2, grid.bits, inputs, layout), grid)
        way.integers(exponent[own].astype(np.int64))
        way.integers(place[own].astype(np.int64))
        ways.append((2, way))
    out.shortest(ways, 3)


def _ends(offset: Floats, step: Floats, last: float) -> Floats | None:
    """Return the last points from which the steps are computed again, None if they are not found."""
    with np.errstate(over="ignore"):
        end = offset + step * last
    found = np.full(len(end), np.nan)
    for digits in _DIGITS:  # sums are rounded; the value of the table has fewer digits
        tried = np.array([float(f"{value:.{digits}g}") for value in end.tolist()])
        found = np.where(np.isnan(found) & ((tried - offset) / last == step), tried, found)
    return found if np.all(np.isfinite(found)) else None


def _points(first: Floats, second: Floats, natural: tuple[Bools, Floats, Floats], grid: InputGrid) -> Writer:
    way = Writer()
    own = _own(way, natural, grid)
    way.reals(first[own])
    way.reals(second[own])
    return way


def _natural(way: int, bits: int, inputs: Inputs, layout: Layout) -> tuple[Bools, Floats, Floats]:
    """Return for which inputs nothing may be said, and the first points and steps that they have then."""
    last = 2.0**bits - 1
    column = inputs.column
    of_value = layout.numeric[column] & ~inputs.has_threshold & (inputs.part >= 0)
    is_bit = ~of_value & ~(layout.date[column] & (inputs.part >= 0))
    offset, step = np.zeros(len(column)), np.full(len(column), 1.0 if way == 2 else 1.0 / last)
    if way == 2:
        low, high = layout.low[column], layout.high[column]
        short = of_value & (layout.scale[column] == 1) & (high - low <= last)
        offset[short] = low[short]
        is_bit |= short
    return is_bit, offset, step


def _own(way: Writer, natural: tuple[Bools, Floats, Floats], grid: InputGrid) -> Bools:
    """Append whether natural grids are left out, if there may be any; return which grids are not."""
    which, offset, step = natural
    if not which.any():
        return ~which
    implied = np.array_equal(grid.offset[which], offset[which]) and np.array_equal(grid.step[which], step[which])
    way.digit(int(implied), 2)
    return ~which if implied else np.ones(len(which), dtype=bool)


def read_grid(data: Reader, inputs: Inputs, layout: Layout) -> InputGrid:
    """Read as `write_grid`."""
    bits = data.digit(16) + 1
    way = data.digit(3)
    which, offset, step = _natural(way, bits, inputs, layout)
    own = ~which if which.any() and data.digit(2) else np.ones(len(which), dtype=bool)
    n = int(own.sum())
    if way == 2:
        exponent = data.integers(n)
        if np.any(np.abs(exponent) > _EXPONENTS):
            raise PackedError("they hold a step that is no double")
        with np.errstate(over="ignore"):
            step[own] = np.ldexp(1.0, exponent)
            offset[own] = data.integers(n) * step[own]
    else:
        offset[own], second = data.reals(n), data.reals(n)
        with np.errstate(over="ignore"):
            step[own] = second if way == 0 else (second - offset[own]) / (2.0**bits - 1)
    return InputGrid(offset, step, bits)


def write_network(out: Writer, net: Reduced, outputs: int) -> None:
    """Append head, widths, and layer after layer.

    Parameters
    ----------
    out : Writer
        Where to.
    net : Reduced
        What to write.
    outputs : int
        Classes of the network.
    """
    if len(net.layers) - 1 > MOST_HIDDEN:
        raise InputError(
            f"a network of more than {MOST_HIDDEN} hidden layers cannot be packed, got {len(net.layers) - 1}"
        )
    out.digit(net.head == "argmax", 2)
    integer = net.layers[0].weights.dtype.kind == "i"
    out.digit(not integer, 2)
    out.count(len(net.layers) - 1)
    for layer in net.layers[:-1]:
        out.count(len(layer.bias) - 1)
    for k, layer in enumerate(net.layers):
        if integer:
            fires = k < len(net.layers) - 1 or (net.head == "threshold" and outputs == 2)
            _write_integers(out, layer, net.ranges(k) if fires else None)
        else:
            _write_reals(out, layer)


def _write_integers(out: Writer, layer: Layer, ends: tuple[Floats, Floats] | None) -> None:
    """Append weights, as digits or from an urn, and biases.

    Biases are integers, or digits in the range where a neuron is not constant, or those of neurons that fire if the sum
    is the largest there is.
    """
    W, b = layer
    if W.size:
        flat = W.ravel()
        P = max(int(flat.max()), -int(flat.min()), 1)
        out.count(P - 1)
        plain = Writer()
        plain.digits(flat + P, 2 * P + 1)
        if W.size > MOST_DRAWS:
            out.shortest([(0, plain), *_placed(W, P)], 2)
        elif P > MOST_DRAWN:
            out.append(plain)
        else:
            drawn = Writer()
            drawn.urn(flat + P, 2 * P + 1)
            out.shortest([(0, plain), (1, drawn)], 2)
    way = Writer()
    way.integers(b)
    if ends is None:
        out.append(way)
        return
    ways, (low, high) = [(0, way)], ends
    if np.all(low + b < 0) and np.all(high + b >= 0) and max(np.abs(low).max(), np.abs(high).max()) < _INSIDE:
        inside = Writer()
        for value, base in zip(
            (b + high).astype(np.int64).tolist(), (high - low).astype(np.int64).tolist(), strict=True
        ):
            inside.digit(value, base)
        ways.append((1, inside))
        if np.all(b == -high):
            ways.append((2, Writer()))
    out.shortest(ways, 3)


def _placed(W: Array, P: int) -> list[tuple[int, Writer]]:
    """Return the way of large layers with few weights to a neuron: how many they are, where, and which."""
    rows, columns = np.nonzero(W)
    counts = np.bincount(rows, minlength=len(W))
    if counts.max() > MOST_PLACED:
        return []
    way = Writer()
    way.integers(counts)
    for chosen in np.split(columns, np.cumsum(counts)[:-1]):
        way.choice(chosen.tolist(), W.shape[1])
    values = W[rows, columns]
    way.digits(np.where(values < 0, values + P, values + P - 1), 2 * P)
    return [(1, way)]


def _read_placed(data: Reader, d: int, before: int, P: int) -> Array:
    """Read as `_placed`."""
    counts = data.integers(d)
    if counts.min() < 0 or counts.max() > min(MOST_PLACED, before):
        raise PackedError("they say that a neuron has more weights than it may")
    W = np.zeros((d, before), dtype=np.int64)
    places = [data.choice(count, before) for count in counts.tolist()]
    found = data.digits(int(counts.sum()), 2 * P)
    W[np.repeat(np.arange(d), counts), np.array(list(chain.from_iterable(places)), dtype=np.intp)] = np.where(
        found < P, found - P, found - P + 1
    )
    return W


def _write_reals(out: Writer, layer: Layer) -> None:
    """Append continuous weights, all or those that are not 0, and biases."""
    flat = layer.weights.ravel()
    every, some = Writer(), Writer()
    every.reals(flat)
    filled = flat != 0
    if len(flat) > MOST_DRAWS:
        out.append(every)
    else:
        some.urn(filled.astype(np.int64), 2)
        some.reals(flat[filled])
        out.shortest([(0, every), (1, some)], 2)
    out.reals(layer.bias)


def read_network(data: Reader, outputs: int, low: Floats, high: Floats, width: int) -> tuple[list[Layer], Head]:
    """Read as `write_network`; `width` is how many inputs the first layer is to have in the end."""
    head: Head = "argmax" if data.digit(2) else "threshold"
    real = data.digit(2)
    hidden = data.charge(data.count())
    if hidden > MOST_HIDDEN:
        raise PackedError(f"they have more than {MOST_HIDDEN} hidden layers")
    widths = [0] * hidden
    widths = [data.charge(data.count() + 1) for _ in widths]
    widths.append(1 if head == "threshold" and outputs == 2 else outputs)
    layers: list[Layer] = []
    before, most = len(low), max(width, len(low))
    for k, d in enumerate(widths):
        data.charge(d * (most + 1))
        if real:
            layers.append(_read_reals(data, d, before))
        else:
            fires = k < len(widths) - 1 or (head == "threshold" and outputs == 2)
            bounded = fires and (k > 0 or not np.isnan(low).any())
            layers.append(_read_integers(data, d, before, (low, high) if k == 0 else (None, None), bounded))
        before = most = d
    return layers, head


def _read_integers(
    data: Reader, d: int, before: int, ends: tuple[Floats, Floats] | tuple[None, None], bounded: bool
) -> Layer:
    W = np.zeros((d, before), dtype=np.int64)
    if W.size:
        P = data.count() + 1
        if P > LARGEST:
            raise PackedError("they hold a weight beyond 2**53")
        large = W.size > MOST_DRAWS
        if (large or P <= MOST_DRAWN) and data.digit(2):
            W = _read_placed(data, d, before, P) if large else data.urn(W.size, 2 * P + 1).reshape(d, before) - P
        else:
            W = data.digits(W.size, 2 * P + 1).reshape(d, before) - P
    way = data.digit(3) if bounded else 0
    if way == 0:
        return Layer(W, data.integers(d))
    low, high = sums(W, *ends)
    if np.any(low >= high) or max(np.abs(low).max(), np.abs(high).max()) >= _INSIDE:
        raise PackedError("they say that the bias of a neuron lies between ends that it does not have")
    b: Integers = -high.astype(np.int64)
    if way == 1:
        b = b + np.array([data.digit(base) for base in (high - low).astype(np.int64).tolist()], dtype=np.int64)
    return Layer(W, b)


def _read_reals(data: Reader, d: int, before: int) -> Layer:
    if d * before > MOST_DRAWS or not data.digit(2):
        return Layer(data.reals(d * before).reshape(d, before), data.reals(d))
    filled = data.urn(d * before, 2) == 1
    W = np.zeros(d * before)
    W[filled] = data.reals(int(filled.sum()))
    return Layer(W.reshape(d, before), data.reals(d))
