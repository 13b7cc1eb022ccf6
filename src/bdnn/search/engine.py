"""One search: starts, descents that improve one neuron after another, and perturbations out of local optima."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.search import kernels
from bdnn.search.halfspace import separators
from bdnn.search.searched_network import SearchedNetwork
from bdnn.search.smooth import SmoothStart

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.search.points import Points
    from bdnn.types import Integers

# points on which a direction is judged, to bound the time of one neuron
_MAX_POINTS = 1 << 21
# seconds between looks at the clock, within limits a share of the time
_MIN_SLICE, _MAX_SLICE, _SLICE_SHARE = 0.02, 0.1, 0.01
# directions for a neuron: twice its inputs within limits, fewer if they would read too many numbers, but always some
_MIN_MOVES, _MAX_MOVES, _MAX_NUMBERS, _FEW_MOVES = 20, 100, 2 * 10**8, 8
# share of directions that combine features
_SPREAD = 0.5
# neurons that are improved after a perturbation: the perturbed one and some of the others
_NARROW = 16
# perturbations without success that end a phase, how much worse a network may be and still be accepted, and how often a
# neuron of the last layer is chosen or a neuron is replaced: rarely, so that most attempts are small changes
_PATIENCE, _HEAT, _OUTPUT_SHARE, _REPLACED = 40, 2e-4, 0.1, 0.1
# weights of a neuron of integers that one perturbation changes on average
_CHANGED = 4
# points and features up to which walks over separators are fast, how often one takes the place of a perturbation, and
# rounds of walks for a network of one neuron
_MAX_SEPARATED, _MAX_FEATURES, _SEPARATED, _WALKS = 2000, 100, 0.05, 40


class Search(SearchedNetwork):
    """A search on one thread.

    Parameters
    ----------
    points : Points
        What to train on.
    seed : int
        Of all its random choices.
    collect : bool, default=False
        Collect local optima, and go on when no point is wrong any more.

    Attributes
    ----------
    rounds : int
        Descents and perturbations so far.
    longer : int
        Factor of the epochs of surrogates.
    started : bool
        Whether the first start is there, from which the first descent begins.
    optima : list of Network
        Starts, the networks after each sweep of a descent, and where perturbations ended, if they are collected; to be
        emptied by the caller.
    """

    def __init__(self, points: Points, seed: int, collect: bool = False) -> None:
        self._rng, self._collect = np.random.default_rng([seed, 0x5EA2C4]), collect
        super().__init__(points, self._rng)
        self.optima: list[Network] = []
        self._seconds_of_neuron = 0.0
        self._budget = Budget()
        self.rounds, self.longer, self.started = 0, 1, False

    def begin(self, budget: Budget) -> None:
        """Take the limits of the search."""
        self._budget = budget

    # starts

    def randomize(self) -> None:
        """Start from random weights whose neurons split the points."""
        st, rng = self.state, self._rng
        p = st.loss.shape[0]
        for k, (d, n_in) in enumerate(zip(st.width, self._inputs, strict=True)):
            shape = (int(d), int(n_in))
            if self._integer:
                weights = rng.integers(-st.bound, st.bound + 1, size=shape).astype(np.float64)
            else:
                weights = rng.normal(size=shape) * (st.unit if k == 0 else 1.0)
            if self._signed:
                sign = st.sign[st.w_from[k] : st.w_from[k + 1]].reshape(shape)
                weights = np.where(sign != 0, np.abs(weights) * sign, weights)
            bias = np.zeros(d)
            if st.intercept and p:
                for row in range(d):
                    # halfway between two random points or patterns
                    if k == 0:
                        i, j = rng.integers(p, size=2)
                        middle = weights[row] @ (st.X[:, i].astype(np.float64) + st.X[:, j]) / 2
                    else:
                        middle = weights[row] @ rng.random(n_in)
                    bias[row] = -np.floor(middle) if self._integer else -middle
            st.W[st.w_from[k] : st.w_from[k + 1]] = weights.ravel()
            st.b[st.b_from[k] : st.b_from[k + 1]] = bias
        self.total = self._update(-1)
        self._keep_best()

    def smooth(self, budget: Budget) -> Iterator[None]:
        """Start from the best epoch of a surrogate; yields every few hundredths of a second."""
        start = SmoothStart(self.state, self._rng, self.longer)
        try:
            yield from start.train(budget)
        finally:  # also if the caller stops here
            self.set_layers(start.layers())

    # improving neurons

    def _moves(self, neuron: int) -> int:
        """Return how many directions are tried for a neuron."""
        k, _ = self._layer(neuron)
        p = max(len(self.state.loss), 1)
        return int(min(np.clip(2 * self._inputs[k], _MIN_MOVES, _MAX_MOVES), max(_FEW_MOVES, _MAX_NUMBERS // p)))

    def _improve(self, neurons: Integers) -> None:
        """Improve neurons in this order, without Python's lock."""
        moves = np.array([self._moves(neuron) for neuron in range(self.n_neurons)])[neurons]
        W, b = np.empty_like(self.state.W), np.empty_like(self.state.b)
        self.total, best = kernels.improve_neurons(
            self.state, neurons, moves, _SPREAD, _MAX_POINTS, self.total, self.best, W, b
        )
        if best < self.best:
            # in this order, as another thread may read them
            self._saved = (W, b)
            self.best = best

    def improve(self, neurons: Integers) -> Iterator[None]:
        """Improve neurons in this order; yields every few hundredths of a second."""
        at = 0
        while at < len(neurons):
            slice_ = min(_MAX_SLICE, max(_MIN_SLICE, _SLICE_SHARE * self._budget.remaining))
            count = max(1, int(slice_ / max(self._seconds_of_neuron, 1e-6)))
            batch = neurons[at : at + count]
            began = reading()
            self._improve(batch)
            self._seconds_of_neuron = (reading() - began) / len(batch)
            at += len(batch)
            yield

    def approach(self) -> Iterator[None]:
        """Prepare a fresh start for the descent."""
        yield from ()

    def descend(self) -> Iterator[None]:
        """Sweep over all neurons until two sweeps bring nothing."""
        stalled = 0
        while stalled < 2 and self.total > 0:
            before = self.total
            yield from self.improve(self._rng.permutation(self.n_neurons))
            stalled = 0 if self.total < before else stalled + 1
            self._collect_optimum()
        self.rounds += 1
        self._rescale_outputs()

    def _collect_optimum(self) -> None:
        if self._collect:
            self.optima.append(self.network())

    # perturbations

    def perturb(self) -> int:
        """Perturb one neuron; return which."""
        st, rng = self.state, self._rng
        hidden = self.n_neurons - int(st.width[-1])
        neuron = int(rng.integers(hidden if hidden and rng.random() < 1 - _OUTPUT_SHARE else self.n_neurons))
        k, _ = self._layer(neuron)
        at, n_in = self._weights_of(neuron), int(self._inputs[k])
        chosen = rng.random(n_in) < rng.random()
        if self._integer:
            chosen &= rng.random(n_in) < min(1.0, _CHANGED / max(n_in, 1))
            st.W[at] = np.where(chosen, rng.integers(-st.bound, st.bound + 1, n_in), st.W[at])
            self._with_signs(at)
        else:
            unit = st.unit if k == 0 else np.ones(n_in)
            size = float((np.abs(st.W[at]) / unit).max(initial=0.0)) or 1.0
            signal = st.X if k == 0 else st.U[st.b_from[k - 1] : st.b_from[k]]
            if st.intercept and len(st.loss) and rng.random() < _REPLACED:
                # anew, between two points: small changes may have led far away from all
                i, j = rng.integers(len(st.loss), size=2)
                st.W[at] = rng.normal(size=n_in) * unit * size
                self._with_signs(at)
                st.b[neuron] = -st.W[at] @ (signal[:, i].astype(np.float64) + signal[:, j]) / 2
            else:
                change = np.where(chosen, rng.normal(size=n_in) * unit * size * rng.random(), 0.0)
                before = st.W[at].copy() if self._signed else None
                st.W[at] += change
                if before is not None:
                    self._with_signs(at)
                    change = st.W[at] - before
                if st.intercept and len(st.loss):
                    st.b[neuron] -= change @ signal[:, int(rng.integers(len(st.loss)))]
        self.total += self._update(neuron)
        return neuron

    def _separates(self) -> bool:
        """Whether the points are few enough for walks over the separators of one neuron."""
        n, p = self.points.X.shape
        continuous = not self._integer and self.state.intercept
        first_competes = self.state.argmax and len(self.state.width) == 1
        return continuous and not self._signed and not first_competes and 0 < n <= _MAX_FEATURES and p <= _MAX_SEPARATED

    def _separators(self, neuron: int, rounds: int, budget: Budget) -> Iterator[None]:
        """Put a neuron of the first layer on separators of the points at which it matters, one after the other."""
        st, p = self.state, len(self.state.loss)
        active, g, offset = np.empty(p, dtype=np.int32), np.empty(p), np.empty(p)
        q = kernels.gains(st, neuron, 0, 1, active, g, offset)
        if q == 0:
            return
        X = st.X[:, active[:q]].astype(np.float64)
        at = self._weights_of(neuron)
        start = (st.W[at].copy(), float(st.b[neuron]))
        for w, b in separators(X, g[:q], budget, self._rng, start=start, rounds=rounds):
            st.W[at], st.b[neuron] = w, b
            self.total += self._update(neuron)
            self._keep_best()
            yield

    def perturbations(self, patience: int, budget: Budget) -> Iterator[None]:
        """Perturb and repair until so many attempts bring nothing; networks that are no worse are kept, mostly."""
        stalled, current, saved = 0, self.total, self.snapshot()
        lowest, best = current, saved
        separates = self._separates()
        while stalled < patience and self.total > 0:
            if separates and self._rng.random() < _SEPARATED:
                neuron = int(self._rng.integers(self.state.width[0]))
                yield from self._separators(neuron, 1, budget)
            else:
                neuron = self.perturb()
            if self.n_neurons <= _NARROW:
                order = self._rng.permutation(self.n_neurons)
            else:
                order = np.append(self._rng.permutation(self.n_neurons)[: _NARROW - 1], neuron)
            last = math.inf
            for _ in range(3):
                yield from self.improve(order)
                if not self.total < last:
                    break
                last = self.total
            self.rounds += 1
            if self.total < lowest:
                stalled, lowest, best = 0, self.total, self.snapshot()
            else:
                stalled += 1
            # slightly worse networks too, now and then, which leads out of where better ones are rare
            if self.total <= current + _HEAT * lowest * self._rng.exponential():
                current, saved = self.total, self.snapshot()
            else:
                self.restore(saved)
            self._rescale_outputs()
            yield
        if current > lowest:
            self.restore(best)

    def run(self, budget: Budget, given: Network | None = None) -> Iterator[None]:
        """Search without end: a start and a descent, perturbations, and again, or on from the best.

        Yields
        ------
        None
            Every few hundredths of a second, so that the caller can look at the clock, `best` and `rounds`.
        """
        self.begin(budget)
        for attempt in itertools.count():
            patience = _PATIENCE * (1 + attempt // 4)
            if attempt == 0 and given is not None:
                self.load(given)
            elif attempt % 4 == 3:
                self.restore(self._saved)
                patience *= 3
            elif attempt % 2 == 0 and self.state.intercept:
                yield from self.smooth(budget)
            else:
                self.randomize()
            if attempt % 4 != 3:
                self._collect_optimum()
                self.started = True
                yield
                yield from self.approach()
            yield from self.descend()
            if self.n_neurons == 1 and self._separates() and self.total > 0:
                for _ in self._separators(0, _WALKS * (attempt + 1), budget):
                    self.rounds += 1
                    yield
            yield from self.perturbations(patience, budget)
            self._collect_optimum()
            if self.best <= 0 and not self._collect:
                return
