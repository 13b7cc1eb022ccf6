"""Bounds of what layers say on boxes of inputs, with bounds of their rounding errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Floats

UNIT = 2.0**-52  # of sums, a bound twice as large as the rounding of one operation
_TINY = 1e-300  # products that underflow


class Rows(NamedTuple):
    """Rows of a layer whose signs are asked for, and bounds of the sizes of their weights and biases."""

    weights: Floats
    bias: Floats
    sizes: Floats


def rows_of(W: Floats, b: Floats) -> Rows:
    """Return the rows of a layer."""
    weights, bias = W.astype(np.float64), b.astype(np.float64)
    return Rows(weights, bias, np.abs(np.column_stack([weights, bias])))


def claims(network: Network, code: int) -> Rows:
    """Return rows of the last layer that are positive if the decision is that of a code."""
    W, b, sizes = rows_of(*network.layers[-1])
    if len(b) == 1:
        sign = 1.0 if code == 1 else -1.0
        return Rows(sign * W, sign * b, sizes)
    others = np.arange(len(b)) != code
    return Rows(W[code] - W[others], b[code] - b[others], sizes[code] + sizes[others])


def ranges(rows: Rows, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the least and the largest values of rows on a box, and bounds of their errors."""
    up, down = np.maximum(rows.weights, 0.0), np.minimum(rows.weights, 0.0)
    size = rows.sizes[:, :-1] @ np.maximum(np.abs(low), np.abs(high)) + rows.sizes[:, -1]
    error = (len(low) + 8) * UNIT * size + _TINY
    return up @ low + down @ high + rows.bias, up @ high + down @ low + rows.bias, error
