"""Networks without what no decision depends on: unused inputs and neurons, common divisors, a second output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.network.layer import Layer
from bdnn.network.packing_numbers import LARGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.network.losses import Head
    from bdnn.types import Array, Floats, Indices, Integers

_EXACT = 2**52  # sums up to it are exact in doubles, with bits to spare for one more term


@dataclass(frozen=True, eq=False, slots=True)
class Reduced:
    """Layers, the inputs that they take, and the range of each of these.

    Attributes
    ----------
    layers : tuple of Layer
        All integers or all floats.
    head : {"threshold", "argmax"}
        As in `bdnn.Network`.
    used : ndarray of shape (n_used,)
        Inputs of the network that the first layer takes.
    low, high : ndarray of shape (n_used,)
        Least and largest value of each, NaN where they are not known to be integers.
    """

    layers: tuple[Layer, ...]
    head: Head
    used: Indices
    low: Floats
    high: Floats

    @property
    def whole(self) -> bool:
        """Whether the first layer is known to take integers of known ranges only."""
        return bool(not np.isnan(self.low).any())

    def ranges(self, k: int) -> tuple[Floats, Floats] | None:
        """Return the least and the largest sum of weighted inputs of the neurons of layer k, None if not known."""
        if k == 0 and not self.whole:
            return None
        return sums(self.layers[k].weights, *((self.low, self.high) if k == 0 else (None, None)))


def sums(W: Array, low: Floats | None, high: Floats | None) -> tuple[Floats, Floats]:
    """Return the least and the largest sum of weighted inputs; bits if no ranges are given."""
    if low is None or high is None:
        both, apart = W.sum(axis=1, dtype=float), np.abs(W).sum(axis=1, dtype=float)
        return (both - apart) / 2, (both + apart) / 2
    up, down = np.maximum(W, 0).astype(float), np.minimum(W, 0).astype(float)
    return down @ high + up @ low, down @ low + up @ high


def reduced(layers: Sequence[Layer], head: Head, low: Floats, high: Floats, scores: bool) -> Reduced:
    """Return a network that decides the same with fewer numbers.

    Parameters
    ----------
    layers : sequence of Layer
        At least one.
    head : {"threshold", "argmax"}
        As in `bdnn.Network`.
    low, high : ndarray of shape (n,)
        Least and largest value of each input, NaN where they are not known to be integers.
    scores : bool
        Whether it is a member of an ensemble, whose outputs count and not only their order. With integer weights the
        outputs of two classes may still become one, since the ensemble takes the same from it; continuous weights are
        left as they are, since sums of doubles depend on their order.

    Returns
    -------
    Reduced
    """
    net = Reduced(tuple(layers), head, np.arange(len(low)), low, high)
    integer = layers[0].weights.dtype.kind == "i"
    if not integer:
        return net if scores else _without_unused(net)
    if head == "argmax" and len(layers[-1].bias) == 2 and (len(layers) > 1 or net.whole):
        (W, b), below = layers[-1], layers[:-1]
        lead = Layer(W[1:] - W[:1], b[1:] - b[:1] - 1)
        if max(np.abs(lead.weights).max(initial=0), abs(int(lead.bias[0]))) <= LARGEST:
            net = replace(net, layers=(*below, lead), head="threshold")
    size = -1
    while size != (size := sum(layer.weights.size for layer in net.layers)):
        net = _folded(_without_unused(net))
    net = _divided(net, scores)
    return net if scores else _decided(_leveled(net))


def _leveled(net: Reduced) -> Reduced:
    """Let the least bias of outputs that compete be 0: only their differences matter."""
    W, b = net.layers[-1]
    if net.head == "threshold" or int(b.max()) - int(b.min()) > LARGEST:
        return net
    return replace(net, layers=(*net.layers[:-1], Layer(W, b - b.min())))


def _decided(net: Reduced) -> Reduced:
    """Leave out all inputs if the only output always fires or never does."""
    last = len(net.layers) - 1
    bias, ends = net.layers[-1].bias, net.ranges(last)
    if net.head == "argmax" or len(bias) > 1 or ends is None or (last == 0 and _too_large(net, 0)):
        return net
    always = bool(ends[0][0] + bias[0] >= 0)
    if not always and ends[1][0] + bias[0] >= 0:
        return net
    nobody = np.zeros(0)
    layer = Layer(np.zeros((1, 0), dtype=np.int64), np.array([always - 1]))
    return Reduced((layer,), net.head, nobody.astype(np.intp), nobody, nobody)


def _without_unused(net: Reduced) -> Reduced:
    """Leave out hidden neurons that no weight uses, and then inputs."""
    layers = list(net.layers)
    for k in range(len(layers) - 1, 0, -1):
        used = np.any(layers[k].weights != 0, axis=0)
        if not used.all():
            layers[k] = Layer(layers[k].weights[:, used], layers[k].bias)
            layers[k - 1] = Layer(layers[k - 1].weights[used], layers[k - 1].bias[used])
    used = np.any(layers[0].weights != 0, axis=0)
    if used.all():
        return replace(net, layers=tuple(layers))
    layers[0] = Layer(layers[0].weights[:, used], layers[0].bias)
    return replace(net, layers=tuple(layers), used=net.used[used], low=net.low[used], high=net.high[used])


def _folded(net: Reduced) -> Reduced:
    """Make neurons that always or never fire parts of the biases above them."""
    for k in range(len(net.layers) - 1):
        W, b = net.layers[k]
        ends = net.ranges(k)
        if ends is None:  # only neurons without weights are known not to change
            nothing = ~np.any(W != 0, axis=1)
            ends = np.where(nothing, 0.0, -np.inf), np.where(nothing, 0.0, np.inf)
        always, never = ends[0] + b >= 0, ends[1] + b < 0
        if not (always | never).any() or _too_large(net, k):
            continue
        kept = ~(always | never)
        above = net.layers[k + 1]
        bias = above.bias + above.weights[:, always].sum(axis=1)
        layers = list(net.layers)
        layers[k : k + 2] = [Layer(W[kept], b[kept]), Layer(above.weights[:, kept], bias)]
        net = replace(net, layers=tuple(layers))
    empty = [k for k, layer in enumerate(net.layers) if not layer.weights.shape[1]]
    if empty and empty[-1] > 0:  # nothing below a layer without inputs matters
        nobody = np.zeros(0)
        net = Reduced(net.layers[empty[-1] :], net.head, nobody.astype(np.intp), nobody, nobody)
    return net


def _too_large(net: Reduced, k: int) -> bool:
    """Whether sums of a layer, or those above it, might be beyond the integers that doubles hold."""
    W, b = net.layers[k]
    reach = 1.0 if k or not net.whole else float(np.maximum(np.abs(net.low), np.abs(net.high)).max(initial=1))
    largest = float(np.abs(W).astype(float).sum() * reach + np.abs(b).astype(float).sum())
    if k + 1 < len(net.layers):
        W, b = net.layers[k + 1]
        largest = max(largest, float(np.abs(W).astype(float).sum() + np.abs(b).max(initial=0)))
    return largest > _EXACT


def _divided(net: Reduced, scores: bool) -> Reduced:
    """Divide neurons that only fire or not by the common divisor of their weights."""
    layers = list(net.layers)
    last = len(layers) - 1
    for k, (W, b) in enumerate(layers):
        single = net.head == "threshold" and len(b) == 1
        if (k == last and (scores or not single)) or not W.size or np.abs(W).max() == 1:
            continue
        divisor = np.gcd.reduce(W, axis=1)
        if k == 0 and not net.whole:
            divisor = np.gcd(divisor, b)  # the inputs may be any numbers
        divisor = np.maximum(divisor, 1)
        layers[k] = Layer(W // divisor[:, None], _floor_divided(b, divisor))
    return replace(net, layers=tuple(layers))


def _floor_divided(b: Integers, divisor: Integers) -> Integers:
    return np.asarray(b // divisor, dtype=np.int64)
