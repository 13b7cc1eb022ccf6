"""Kernels of the search, from the compiled core: exact line search, gains of a neuron, improving one.

A network under search is a `State`: all arrays are updated in place. Inputs are stored by feature, weights act on raw
inputs, so the numbers in a state are those of the network it stands for. Layers are numbered from 0, neurons through
all of them; *signal* is what a layer reads. Kernels run without Python's lock; a state is for one thread at a time.

The attributes of a `State`, all views of its own memory except for the first five, which it was made from:

X : ndarray of shape (n, p), float32 or float64
    Points by feature.
class_weight : ndarray of shape (p, C), of the same type
    Weight of each label at each point.
center, unit : ndarray of shape (n,)
    A typical value of each feature, and the length of a step along it.
reach : ndarray of shape (n,)
    Largest absolute value of each feature.
width : ndarray of shape (K,), int64
    Neurons of each layer.
W, b : ndarray
    All weights and biases, layer by layer, row by row.
w_from, b_from : ndarray of shape (K + 1,), int64
    Where each layer begins in `W` and `b`.
doubt : ndarray of shape (sum of widths,)
    Bound on the rounding error of the pre-activations of each neuron.
U : ndarray of shape (sum of widths, p), uint8
    What each neuron fires; the rows of an argmax output are not used.
A : ndarray of shape (p, sum of widths)
    Pre-activations of the layers above the first, or of the only one.
loss : ndarray of shape (p,)
    Of each point.
sign : ndarray, int8
    Of each weight in `W`: 1 if it must not be negative, -1 if not positive, 0 if it is free, as at first. Searches keep
    signs of weights that have them; the robust search does not look at them.
argmax : bool
    Head.
bound : int
    Largest absolute weight of integer networks; 0 for continuous ones.
intercept : bool
    Whether neurons have biases.
rng : ndarray of shape (1,), uint64
    State of the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bdnn._native.search import (
    BLOCK,
    State,
    gains,
    improve_neuron,
    improve_neurons,
    lattice_search,
    line_breakpoints,
    line_search,
    line_sums,
    toward,
)

if TYPE_CHECKING:
    from bdnn.types import Array, Floats

__all__ = [
    "BLOCK",
    "State",
    "gains",
    "improve_neuron",
    "improve_neurons",
    "lattice_search",
    "line_breakpoints",
    "line_search",
    "line_sums",
    "new_state",
    "toward",
]


def new_state(
    X: Array,
    class_weight: Array,
    center: Floats,
    unit: Floats,
    reach: Floats,
    widths: Sequence[int],
    argmax: bool,
    bound: int,
    intercept: bool,
    seed: int,
) -> State:
    """Return a state with all weights 0 whose activations are not computed; see the module for the arguments.

    Parameters
    ----------
    X, class_weight, center, unit, reach : ndarray
        Are shared with the state, not copied.
    widths : sequence of int
        Neurons of each layer, outputs included.
    argmax : bool
        Whether outputs compete.
    bound : int
        Largest absolute weight of integer networks; 0 for continuous ones.
    intercept : bool
        Whether neurons have biases.
    seed : int
        Of the generator, from 1 to 2**64 - 1.

    Returns
    -------
    State
        With weights, biases and losses of 0.

    Raises
    ------
    InputError
        For arrays of other types and shapes, or of numbers that are not finite.
    """
    return State(
        X, class_weight, center, unit, reach, [int(width) for width in widths], bool(argmax), int(bound),
        bool(intercept), int(seed),
    )  # fmt: skip
