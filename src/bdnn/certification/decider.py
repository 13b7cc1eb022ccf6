"""The class of single inputs: by compiled sums where rounding errors cannot change a sign, exactly elsewhere.

The bound on rounding errors is that of `bdnn.signs`; evaluating one input at a time in numpy takes most of its time for
calls. Inputs on borders are what attacks are made of, so sums that are not sure are formed again in twice the precision
(T. Ogita, S. M. Rump and S. Oishi, Accurate sum and dot product, doi:10.1137/030601818), and rationally where even that
leaves the sign open.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdnn import signs
from bdnn.certification.support import UNIT
from bdnn.compilation import compiled
from bdnn.network import Floats, Network

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = compiled(**_OPTIONS)

_TINY = 5e-324
_EXACT = 2.0**53
_SPLIT = 2.0**27 + 1.0
_LARGE = 1e140
"""Sums of larger numbers are not bounded here; neither are those with factors that are larger."""


@_jit
def _sums(W: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """Return W x + b and bounds on the errors: 0 where they are exact, infinite where a sum is not finite."""
    d, n = W.shape
    values, radius = np.empty(d), np.empty(d)
    for i in range(d):
        total, size, whole = b[i], abs(b[i]), b[i] == np.rint(b[i])
        for j in range(n):
            product = W[i, j] * x[j]
            total += product
            size += abs(product)
            whole = whole and W[i, j] == np.rint(W[i, j]) and x[j] == np.rint(x[j])
        values[i] = total
        if not size < _LARGE:
            radius[i] = np.inf
            continue
        if whole and size < _EXACT:
            radius[i] = 0.0
            continue
        # 1.01: the size is itself rounded; the last term covers products that underflow
        radius[i] = 1.01 * (n + 2) * UNIT * size + (n + 1) * _TINY
        if not abs(total) > radius[i]:
            values[i] = _twice(W[i], b[i], x)
            radius[i] = 2.0 * UNIT * abs(values[i]) + 4.0 * ((n + 2) * UNIT) ** 2 * size + 8.0 * (n + 1) * _TINY
    return values, radius


@_jit
def _twice(w: Any, b: float, x: Any) -> float:
    """Return w x + b as if it were summed in twice the precision."""
    total, lost = b, 0.0
    for j in range(len(w)):
        product = w[j] * x[j]
        w_high, x_high = _upper(w[j]), _upper(x[j])
        w_low, x_low = w[j] - w_high, x[j] - x_high
        lost += w_low * x_low - (((product - w_high * x_high) - w_low * x_high) - w_high * x_low)
        before, total = total, total + product
        part = total - before
        lost += (before - (total - part)) + (product - part)
    return total + lost


@_jit
def _upper(a: float) -> float:
    """Return the upper half of the digits."""
    scaled = _SPLIT * a
    return scaled - (scaled - a)


class Decider:
    """The class of single inputs.

    Parameters
    ----------
    network : Network
        With or without a grid.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._layers = [tuple(np.ascontiguousarray(a, dtype=np.float64) for a in layer) for layer in network.layers]

    def __call__(self, z: Floats) -> int:
        """Return the index of the class of an input of shape (n,)."""
        if self._network.grid is not None:
            return int(self._network.predict_index(z[None, :])[0])
        signal = np.ascontiguousarray(z, dtype=np.float64)
        for W, b in self._layers[:-1]:
            signal = self._fires(signal, W, b).astype(np.float64)
        W, b = self._layers[-1]
        return int(self._fires(signal, W, b)[0]) if len(b) == 1 else self._winner(signal, W, b)

    @staticmethod
    def _fires(x: Floats, W: Floats, b: Floats) -> NDArray[np.bool_]:
        values, radius = _sums(W, b, x)
        fires: NDArray[np.bool_] = values >= 0.0
        for i in np.flatnonzero(~((np.abs(values) > radius) | (radius == 0.0))).tolist():
            fires[i] = signs.rational(x, W[i], b[i]) >= 0
        return fires

    @staticmethod
    def _winner(x: Floats, W: Floats, b: Floats) -> int:
        values, radius = _sums(W, b, x)
        # of sums that are not finite nothing is known
        known = radius < np.inf
        sure = np.max(values[known] - radius[known], initial=-np.inf)
        values[~known], radius[~known] = np.inf, 0.0
        candidates = np.flatnonzero(values + radius >= sure)
        if len(candidates) == 1:
            return int(candidates[0])
        exact = [signs.rational(x, W[c], b[c]) for c in candidates.tolist()]
        return int(candidates[exact.index(max(exact))])
