"""The class of single inputs: by compiled sums where rounding errors cannot change a sign, exactly elsewhere.

The bound on rounding errors is that of `bdnn.signs`; evaluating one input at a time in numpy takes most of its time for
calls.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bdnn import signs
from bdnn.network import Floats, Network

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False}
_jit = numba.njit(**_OPTIONS)

_UNIT = 2.0**-53
_TINY = 5e-324


@_jit
def _sums(W: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """Return W x + b and bounds on the rounding errors, infinite where a sum is not finite."""
    d, n = W.shape
    values, radius = np.empty(d), np.empty(d)
    for i in range(d):
        total, size = b[i], abs(b[i])
        for j in range(n):
            product = W[i, j] * x[j]
            total += product
            size += abs(product)
        values[i] = total
        # 1.01: the size is itself rounded; the last term covers products that underflow
        radius[i] = 1.01 * (n + 2) * _UNIT * size + (n + 1) * _TINY if np.isfinite(size) else np.inf
    return values, radius


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
        for i in np.flatnonzero(~(np.abs(values) > radius)).tolist():
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
