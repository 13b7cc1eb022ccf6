"""Layers without what does not matter: constant inputs, and neurons that nothing depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bdnn.export.program import IntegerLayer

if TYPE_CHECKING:
    from bdnn.types import Array


def pruned(layers: Sequence[IntegerLayer]) -> list[IntegerLayer]:
    """Return layers without the hidden neurons whose outgoing weights are all 0.

    Examples
    --------
    >>> hidden, out = IntegerLayer(np.array([[1], [2]]), (0, 0)), IntegerLayer(np.array([[0, 1]]), (0,))
    >>> [layer.weights.tolist() for layer in pruned([hidden, out])]
    [[[2]], [[1]]]
    """
    kept = list(layers)
    for k in range(len(kept) - 1, 0, -1):
        seen = np.any(kept[k].weights != 0, axis=0)
        kept[k] = IntegerLayer(kept[k].weights[:, seen], kept[k].bias)
        kept[k - 1] = without_neurons(kept[k - 1], seen)
    return kept


def without_neurons(layer: IntegerLayer, kept: Sequence[bool] | Array) -> IntegerLayer:
    """Return some neurons of a layer."""
    chosen = np.flatnonzero(np.array(kept, dtype=bool))
    return IntegerLayer(layer.weights[chosen], tuple(layer.bias[j] for j in chosen.tolist()))


def without_constants(layer: IntegerLayer, values: Sequence[int | None]) -> IntegerLayer:
    """Return a layer without its constant inputs, which become parts of its biases; None for those that vary."""
    bias = tuple(
        b + sum(w * v for w, v in zip(row, values, strict=True) if v is not None)
        for b, row in zip(layer.bias, layer.weights.tolist(), strict=True)
    )
    return IntegerLayer(layer.weights[:, np.array([v is None for v in values], dtype=bool)], bias)


def one_output(layers: list[IntegerLayer]) -> list[IntegerLayer]:
    """Return layers whose two outputs, if they have two, are one: the second wins if a₁ - a₀ - 1 >= 0."""
    weights, bias = layers[-1].weights, layers[-1].bias
    if len(bias) != 2:
        return layers
    return [*layers[:-1], IntegerLayer(weights[1:] - weights[:1], (bias[1] - bias[0] - 1,))]
