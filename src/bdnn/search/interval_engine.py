"""Search under perturbations: neurons are stable or unstable, and the loss counts every instability.

The model is that of `bdnn.network.intervals`; how line search applies to it is in docs/mathematics/robust.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.search import RobustState, improve_robust_neuron
from bdnn.network.grid import grid_box
from bdnn.search.engine import Search
from bdnn.search.interval_starts import RobustSurrogate
from bdnn.search.smooth import Sample

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.search.points import Points
    from bdnn.types import Array, Floats, Integers

_NORMS = ("inf", "1", "2")
# directions for a neuron: fewer than without a radius, as each takes longer
_MAX_MOVES = 60
# share of directions that combine features
_SPREAD = 0.3
# shares of the radius on the way to the whole of it, and sweeps over all neurons at each
_SHARES, _SWEEPS = (0.2, 0.4, 0.6, 0.8), 3
# share of the time for a smooth start, its learning rate, and the seconds that it always has
_SMOOTH_SHARE, _RATE, _MIN_SECONDS = 0.4, 0.01, 1e-3
# bits after the binary point, and sums, for which doubles are exact; squares have half as many bits
_BITS, _MAX_SUM, _BITS_OF_SQUARES, _MAX_SUM_OF_SQUARES = 20, 2.0**32, 10, 2.0**16


def _few_bits(radius: Floats, norm: str, largest: int) -> bool:
    """Whether doubles compare integers rightly with how far balls reach, for integer weights up to the largest.

    Sums are exact; those of squares too if they have half as many bits, and their root is an integer or far from all.
    """
    bits, limit = (_BITS_OF_SQUARES, _MAX_SUM_OF_SQUARES) if norm == "2" else (_BITS, _MAX_SUM)
    return bool(np.all(np.fmod(radius, 2.0**-bits) == 0)) and largest * float(radius.sum()) < limit


class RobustSearch(Search):
    """A search for the robust loss; see `Search`."""

    def __init__(self, points: Points, seed: int, collect: bool = False) -> None:
        super().__init__(points, seed, collect)
        reduced, st = points.reduced, self.state
        problem = reduced.problem
        low = high = points.X
        radius = np.asarray(problem.robust_radius)[reduced.kept].astype(np.float64)
        if reduced.grid is not None:
            low, high = self._sides(1.0)
            radius = np.zeros_like(radius)
        self.robust = RobustState(
            st,  # what it says to fire surely does, which is what perturbations look at
            low,
            high,
            radius,
            np.maximum(st.reach, np.abs(high).max(axis=1, initial=0.0)) + radius,
            _NORMS.index(problem.robust_norm),
            # in the model of the paper, loss of a point at which a neuron of the first layer is unstable: more than all
            # others together, as such networks are not of the model
            1.0 + 2.0 * float(st.class_weight.sum()) * max(problem.n_outputs, 1)
            if problem.robust_model == "pattern"
            else 0.0,
            self._integer and _few_bits(radius, problem.robust_norm, 2 * problem.weight_bound),
        )
        self._radius = radius.copy()
        self._approaching = self._at_radius = False

    def smooth(self, budget: Budget) -> Iterator[None]:
        """Start from a surrogate of the robust loss; yields every few hundredths of a second."""
        if self._integer:
            yield from super().smooth(budget)
            return
        # in units of the radii, one scale for all: what a ball can do to a neuron is a sum over features
        state, moving, scale = self.state, self.robust.radius > 0, self.state.unit.copy()
        sample = Sample.of(state, self._rng, scale)
        deviation = self.robust.radius[moving] * scale[moving]
        factor = 1.0 / deviation / math.sqrt(np.mean(deviation**-2.0)) if moving.any() else deviation
        sample.Z[:, moving] *= factor.astype(np.float32)
        scale[moving] *= factor
        radius, norm = self.robust.radius * scale, _NORMS[self.robust.norm]
        network = RobustSurrogate(
            sample.Z, radius, norm, sample.weight, state.width.tolist(), bool(state.argmax), self._rng
        )
        batch, epochs = sample.schedule
        try:
            yield from network.train(epochs, _RATE, batch, max(_SMOOTH_SHARE * budget.remaining, _MIN_SECONDS))
        finally:  # also if the caller stops here
            self.set_layers(sample.raw_layers(network.layers, scale))
            self._at_radius = True

    def approach(self) -> Iterator[None]:
        """Let the radius grow: where every neuron is unstable at every point, no move changes the loss."""
        if self._at_radius:
            self._at_radius = False
            return
        self._approaching = True
        for share in _SHARES:
            self._scale(share)
            for _ in range(_SWEEPS):
                before = self.total
                yield from self.improve(self._rng.permutation(self.n_neurons))
                if not self.total < before:
                    break
        self._approaching = False
        self._scale(1.0)
        self._keep_best()

    def _scale(self, share: float) -> None:
        """Work with a part of the radius."""
        self.robust.radius[:] = self._radius * share
        if self.points.reduced.grid is not None:
            for side, low_or_high in zip(self._sides(share), (self.robust.low, self.robust.high), strict=True):
                low_or_high[:] = side
        self.total = self._update(-1)

    def _sides(self, share: float) -> list[Array]:
        """Least and largest inputs on the grid, by feature."""
        reduced = self.points.reduced
        assert reduced.grid is not None
        radius = np.asarray(reduced.problem.robust_radius) * share
        sides = grid_box(reduced.grid, reduced.raw_points.astype(np.float64), radius)
        return [np.ascontiguousarray(side[:, reduced.kept].T).astype(self.points.X.dtype) for side in sides]

    def _separates(self) -> bool:
        return False

    def _keep_best(self) -> None:
        if not self._approaching:
            super()._keep_best()

    def _improve(self, neurons: Integers) -> None:
        for neuron in neurons:
            self.total += self._improve_neuron(int(neuron))
            self._keep_best()

    def _improve_neuron(self, neuron: int) -> float:
        moves = min(self._moves(neuron), _MAX_MOVES)
        return improve_robust_neuron(self.robust, neuron, moves, _SPREAD)

    def _update(self, neuron: int) -> float:
        return improve_robust_neuron(self.robust, neuron, 0, 0.0)
