"""Integer weights of the surrogate: what a network of real weights becomes when they are rounded before every step.

Each step evaluates rounded weights and moves the real ones behind them, as if rounding passed gradients unchanged
(M. Courbariaux, Y. Bengio and J.-P. David, BinaryConnect, NeurIPS 2015, arXiv:1511.00363; ternary: F. Li, B. Zhang and
B. Liu, arXiv:1605.04711). A neuron is measured in units of the spread that its sum would have on independent signals,
so large weights do not make it surer; what makes a point surer is a wider margin, which is why steps go on after the
last error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from bdnn.compilation import compiled

F = TypeVar("F", bound=Callable[..., Any])

_STEP = 1.4
_FINER = 0.6
_GAIN = 1.6
_SIGNAL_SPREAD = 0.5


def _inner(function: F) -> F:
    kept: F = compiled(nogil=True, error_model="numpy", boundscheck=False)(function)
    return kept


@_inner
def rounded(values: Any, width: Any, n: int, bound: int, argmax: bool, used: Any, factor: Any) -> None:
    """Write the rounded network into `used`, laid out as `values`, so that the forward pass is the same.

    Parameters
    ----------
    values : ndarray of shape (size,)
        Real weights and biases of each layer. Biases are those of centred signals: 0 is a neuron that fires at half of
        what its weights add up to.
    width : ndarray of shape (K,), int64
        Neurons of each layer.
    n : int
        Inputs.
    bound : int
        Largest absolute weight P. The grid step is 1.4 times the mean absolute weight for P = 1, which drops weights
        below 0.7 times the mean, and finer for larger P.
    argmax : bool
        Whether outputs compete; their biases are whole multiples of their factor then.
    used : ndarray of shape (size,)
        Receives factor times integer weights, and biases of signals that are 0 or 1.
    factor : ndarray of shape (neurons,)
        Receives the factor of each neuron, the same for outputs that compete.
    """
    layers, at, neuron, n_in = width.shape[0], 0, 0, n
    for k in range(layers):
        d, last = width[k], k == layers - 1
        spread = 1.0 if k == 0 else _SIGNAL_SPREAD
        gain = _GAIN if last else 1.0
        together = 0.0
        for c in range(d):
            row, out = values[at + c * n_in : at + (c + 1) * n_in], used[at + c * n_in : at + (c + 1) * n_in]
            total = 0.0
            for j in range(n_in):
                total += abs(row[j])
            per_step = n_in * bound**_FINER / (_STEP * total) if total > 0 else 0.0
            squares = 0.0
            for j in range(n_in):
                q = min(max(np.rint(row[j] * per_step), -bound), bound)
                out[j] = q
                squares += q * q
            factor[neuron + c] = gain / (spread * np.sqrt(max(squares, 1.0)))
            together += squares
        if last and argmax:
            factor[neuron : neuron + d] = gain / (spread * np.sqrt(max(together / d, 1.0)))
        for c in range(d):
            f, out = factor[neuron + c], used[at + c * n_in : at + (c + 1) * n_in]
            total = 0.0
            for j in range(n_in):
                total += out[j]
                out[j] *= f
            bias = values[at + d * n_in + c]
            if k > 0:
                bias -= 0.5 * f * total
                if last and argmax:
                    bias = f * np.rint(bias / f)
            used[at + d * n_in + c] = bias
        at, neuron, n_in = at + d * (n_in + 1), neuron + d, d
