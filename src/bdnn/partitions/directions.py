"""Directions for lines, chosen on a sample of the rows that is in memory: Newton steps, coordinates, few weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bdnn.partitions.line_search import whole_axis
from bdnn.partitions.tasks import Lines, Setting, Weights, places_of
from bdnn.search import kernels

if TYPE_CHECKING:
    from bdnn.partitions.store import Block
    from bdnn.types import Array, Floats, Indices

    Rows = NDArray[np.int32]

# rows of the sample that are looked at for a neuron: enough for directions and the spread of breakpoints
_LOOKED_AT = 2**16
# rows by which the scale of an axis is chosen
_MEASURED = 2**12
# shares of Newton steps, of single weights, and of the bias alone, which is one line at most; the rest combines weights
_NEWTON, _SINGLE = 0.5, 0.3
# most weights that move together besides Newton steps, and inputs that these combine (as in the search in memory)
_FEW, _MOST_NEWTON, _FEW_NEWTON = 4, 128, 32
# range of ridges and widths of Newton steps, as powers of 10 and 2: those of native/search/improve_neuron.hpp
_RIDGE, _NEAREST = 4.0, 6.0


class Directions:
    """Directions for the neurons of a network.

    Parameters
    ----------
    setting : Setting
        As for all rows.
    sample : Block
        Some of the rows.
    seed : int
        Of the choices.
    allowed : ndarray of int or None
        Inputs whose weights in the first layer may move; None for all.
    """

    def __init__(self, setting: Setting, sample: Block, seed: int, allowed: Indices | None = None) -> None:
        self._setting, self._sample = setting, sample
        self._allowed = np.arange(len(setting.center)) if allowed is None else allowed
        self._rng = np.random.default_rng([seed, 0x11E5])
        self._places = places_of(setting)
        self._state: kernels.State | None = None

    def look_at(self, weights: Weights) -> None:
        """Take the network that lines begin at."""
        if self._state is None:
            self._state = self._setting.state(self._sample, weights)
        self._state.W[:], self._state.b[:] = weights.W, weights.b
        kernels.improve_neuron(self._state, -1, 0, 0.0, 1)

    def lines(self, neuron: int, number: int, count: int) -> Lines | None:
        """Return so many lines of a neuron, of so many buckets; None if it matters at no row of the sample."""
        state, rng = self._state, self._rng
        assert state is not None
        p = len(self._sample.codes)
        step = -(-p // _LOOKED_AT)
        first, size = int(rng.integers(step)), p // step + 1
        active, gain, offset = np.empty(size, dtype=np.int32), np.empty(size), np.empty(size)
        q = kernels.gains(state, neuron, first, step, active, gain, offset)
        if q == 0:
            return None
        active, gain = active[:q], gain[:q]
        place, n = self._places[neuron]
        layer = int(np.searchsorted(state.b_from, neuron, side="right")) - 1
        signal = state.X if layer == 0 else state.U[state.b_from[layer - 1] : state.b_from[layer]]
        a = state.b[neuron] - offset[:q] + state.W[place : place + n] @ signal[:, active].astype(np.float64)
        found = [self._direction(k, number, layer, signal, active, a, gain) for k in range(number)]
        directions = np.array([each for each in found if np.any(each)])
        if not len(directions):
            return None
        axes = np.array([whole_axis(self._scale(each, signal, active, a), count) for each in directions])
        return Lines(neuron, directions, axes, count)

    def _direction(
        self, k: int, number: int, layer: int, signal: Array, active: Rows, a: Floats, gain: Floats
    ) -> Floats:
        """Return changes of the weights and, last, of the bias."""
        rng, setting, n = self._rng, self._setting, len(signal)
        free = self._allowed if layer == 0 else np.arange(n)
        step = np.zeros(n + 1)
        if setting.intercept and (k == number - 1 or not len(free)):
            step[-1] = 1.0
            return step
        kind = (k + rng.random()) / number
        if layer == 0 and setting.intercept and len(free) > 1 and kind < _NEWTON:
            most = len(free) if len(free) <= _MOST_NEWTON else _FEW_NEWTON
            chosen = np.sort(rng.choice(free, most, replace=False)).astype(np.int64)
            nearest = np.abs(a[rng.integers(len(a), size=int(2 ** rng.uniform(0.0, _NEAREST)))]).min()
            ridge, start = 10.0 ** -rng.uniform(0.0, _RIDGE), int(rng.integers(len(a)))
            found = kernels.toward(
                signal, setting.center, setting.scale, chosen, active, a, gain, float(nearest), start, float(ridge)
            )
            step[chosen], step[-1] = found[:-1], found[-1]
            return step
        several = kind >= _NEWTON + _SINGLE and len(free) > 1
        size = min(len(free), int(rng.integers(2, _FEW + 1))) if several else 1
        chosen = rng.choice(free, size, replace=False)
        length = setting.scale[chosen] if layer == 0 else np.ones(size)
        step[chosen] = length * (rng.normal(size=size) if several else 1.0)
        if setting.intercept:
            # about a row at which the neuron matters, or the middle of all
            middle = setting.center if layer == 0 else np.full(n, 0.5)
            if rng.random() < 0.5:
                middle = signal[:, active[int(rng.integers(len(active)))]].astype(np.float64)
            step[-1] = -step[:-1] @ middle
        return step

    def _scale(self, direction: Floats, signal: Array, active: Rows, a: Floats) -> float:
        """Return the median distance of breakpoints, so that half of them are in the middle half of the axis."""
        some = slice(None, None, -(-len(active) // _MEASURED))
        slope = direction[:-1] @ signal[:, active[some]].astype(np.float64) + direction[-1]
        with np.errstate(divide="ignore", over="ignore"):
            t = np.abs(a[some][slope != 0.0] / slope[slope != 0.0])
        t = t[np.isfinite(t) & (t > 0.0)]
        return float(np.median(t)) if len(t) else 1.0
