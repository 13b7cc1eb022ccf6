"""One layer of a network, and the check of one that is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import frozen
from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.types import Array


class Layer(NamedTuple):
    """Weights of shape (d, d_in) and biases of shape (d,), both float64 or both int64."""

    weights: Array
    bias: Array


def checked_layer(k: int, layer: Sequence[ArrayLike]) -> Layer:
    """Return layer k of a network, counted from 1, or raise InputError if it is not one."""
    if not np.iterable(layer) or len(pair := list(layer)) != 2:
        raise InputError(f"layer {k} must be a pair (weights, bias), got {layer!r}")
    try:
        W, b = (np.asarray(a) for a in pair)
    except ValueError:
        raise InputError(f"layer {k} has rows that differ in length") from None
    if W.ndim != 2 or b.ndim != 1 or W.shape[0] != b.shape[0] or W.shape[0] < 1:
        raise InputError(
            f"layer {k} needs weights of shape (d, d_in) and biases of shape (d,), got {W.shape} and {b.shape}"
        )
    if W.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        raise InputError(f"the weights of layer {k} must be numbers, got {W.dtype} and {b.dtype}")
    integer = W.dtype.kind in "iu" and b.dtype.kind in "iu"
    if integer and any(np.any(a > 2**53) or np.any(a < -(2**53)) for a in (W, b)):
        raise InputError(f"the integers of layer {k} must not exceed 2**53 in absolute value")
    kind = np.int64 if integer else np.float64
    with np.errstate(over="ignore"):
        W, b = W.astype(kind), b.astype(kind)
    if not all(np.all(np.isfinite(a)) for a in (W, b)):
        raise InputError(f"the weights of layer {k} must be finite, got NaN or infinity")
    return Layer(frozen(W), frozen(b))
