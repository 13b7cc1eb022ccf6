"""One search: a network as a `State`, starts, descents by turns of neurons, and kicks out of local optima."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.budget import Budget
from bdnn.clock import reading
from bdnn.network.network import Layer, Network
from bdnn.search import kernels
from bdnn.search.halfspace import separators
from bdnn.search.starts import Surrogate
from bdnn.types import Floats, Integers, Singles

if TYPE_CHECKING:
    from bdnn.search.points import Points

_MOST_POINTS = 1 << 21
_SURROGATE_ROWS = 200_000
_SURROGATE_STEPS = 4000
_MANY_FEATURES = 8
_MOST_EPOCHS = 300
_LONGER, _MOST_LONGER, _LONGER_SHARE = 5, 100, 0.4
_SHARP_POINTS, _SHARPER, _SHARPEST = 4000, 0.35, 3.0
_ROWS_AT_ONCE = 4096
_LEAST_SLICE, _MOST_SLICE, _SLICE_SHARE = 0.02, 0.1, 0.01
_NARROW = 16
_SPREAD = 0.5
_ALIKE = 100.0
_MOST_COMPARED = 1000
_KICKS = 40
_HEAT = 2e-4
_REPLACED = 0.1
_MOST_SEPARATED = 2000
_MOST_FEATURES = 100
_SEPARATED = 0.05
_WALKS = 40
_SECONDS_PER_PRODUCT = 1.5e-9


class Search:
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
    total : float
        Loss of the network under search, on the points.
    best : float
        Least loss so far; `best_network` gives the network.
    rounds : int
        Descents and kicks so far.
    optima : list of Network
        Starts, the networks after each sweep of a descent, and where kicks ended, if they are collected; to be emptied
        by the caller.
    """

    def __init__(self, points: Points, seed: int, collect: bool = False) -> None:
        problem = points.reduced.problem
        self.points, self._collect = points, collect
        self.optima: list[Network] = []
        self._rng = np.random.default_rng([seed, 0x5EA2C4])
        self.state = kernels.new_state(
            points.X,
            points.class_weight,
            points.centre,
            points.unit,
            points.reach,
            problem.widths,
            problem.head == "argmax",
            problem.weight_bound if problem.weights == "integer" else 0,
            problem.fit_intercept,
            int(self._rng.integers(1, 2**62)),
        )
        self._inputs = np.concatenate([[points.X.shape[0]], self.state.width[:-1]]).astype(np.int64)
        self._integer = problem.weights == "integer"
        self.total = self.best = math.inf
        self._kept = (self.state.W.copy(), self.state.b.copy())
        self._seconds_of_turn = 0.0
        self._budget = Budget()
        self.rounds = 0

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return len(self.state.b)

    def load(self, network: Network) -> None:
        """Take over a network of the problem's class."""
        reduced = self.points.reduced
        left_out = np.setdiff1d(np.arange(network.n_features), reduced.kept)
        if np.any(network.layers[0].weights[:, left_out]):
            # these columns do not vary: their part goes to the bias
            reduced_layers = reduced.to_layers(network)
            assert reduced_layers is not None
            network = reduced.to_network(reduced_layers)
        layers = [Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in network.layers]
        self._put_layers([Layer(layers[0].weights[:, reduced.kept], layers[0].bias), *layers[1:]])

    def _put_layers(self, layers: list[Layer]) -> None:
        self.state.W[:] = np.concatenate([W.ravel() for W, _ in layers])
        self.state.b[:] = np.concatenate([b for _, b in layers])
        self.total = self._update(-1)
        self._note()

    def _update(self, neuron: int) -> float:
        return kernels.turn(self.state, neuron, 0, 0.0, 1)

    def _layer(self, neuron: int) -> tuple[int, int]:
        """Layer of a neuron and its row there."""
        k = int(np.searchsorted(self.state.b_from, neuron, side="right")) - 1
        return k, neuron - int(self.state.b_from[k])

    def _note(self) -> None:
        if self.total < self.best:
            self._kept = (self.state.W.copy(), self.state.b.copy())
            self.best = self.total

    def best_network(self) -> Network:
        """Return the best network so far."""
        return self._network(*self._kept)

    def _network(self, W: Floats, b: Floats) -> Network:
        st, reduced = self.state, self.points.reduced
        kind: Any = np.int64 if self._integer else np.float64
        layers = []
        for k, (d, n_in) in enumerate(zip(st.width, self._inputs, strict=True)):
            weights = W[st.w_from[k] : st.w_from[k + 1]].reshape(d, n_in)
            if k == 0:
                full = np.zeros((d, len(reduced.centre)))
                full[:, reduced.kept] = weights
                weights = full
            bias = b[st.b_from[k] : st.b_from[k + 1]]
            layers.append(Layer((weights + 0.0).astype(kind), (bias + 0.0).astype(kind)))
        problem = reduced.problem
        return Network(
            tuple(layers),
            head=problem.head,  # type: ignore[arg-type]  # 'auto' was resolved by Problem
            classes=problem.classes,
            grid=reduced.grid,
            feature_names=problem.feature_names,  # type: ignore[arg-type]  # a tuple since validation
        )

    # starts

    def randomise(self) -> None:
        """Start from random weights whose neurons split the points."""
        st, rng = self.state, self._rng
        p = st.loss.shape[0]
        for k, (d, n_in) in enumerate(zip(st.width, self._inputs, strict=True)):
            shape = (int(d), int(n_in))
            if self._integer:
                weights = rng.integers(-st.bound, st.bound + 1, size=shape).astype(np.float64)
            else:
                weights = rng.normal(size=shape) * (st.unit if k == 0 else 1.0)
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
        self._note()

    def smooth(self, budget: Budget) -> Iterator[None]:
        """Start from the best epoch of a surrogate; yields every few hundredths of a second."""
        st, rng = self.state, self._rng
        n, p = st.X.shape
        rows = rng.permutation(p)[:_SURROGATE_ROWS]
        Z, weight, mean = self._standardised(rows)
        rounds, shrunk = self._rounds_in_training(), 1.0
        if rounds:
            shrunk = _shared_spread(Z)
            Z /= np.float32(shrunk)
        network = Surrogate(Z, weight, st.width.tolist(), bool(st.argmax), rng, st.bound if rounds else 0)
        m = len(rows)
        batch = 256 if m >= 1000 else 64
        epochs = int(np.clip(_SURROGATE_STEPS * batch / m, 8, _MOST_EPOCHS))
        longest = max(epochs, min(_LONGER * epochs, _MOST_LONGER)) if rounds and budget.rounds is None else epochs
        best, kept = math.inf, network.values.copy()
        # seconds of a slice, of judging the network, and of taking it over
        slice_, judging, taking = 0.0, 0.0, _SECONDS_PER_PRODUCT * n * p * int(st.width[0])
        late = False
        try:
            number = -1
            while (number := number + 1) < epochs:
                first = began = reading()
                for _ in network.slices(0.01 * (1 - number / epochs) + 1e-4, batch):
                    slice_ = max(slice_, reading() - began)
                    late = budget.remaining < 3 * slice_ + 2 * judging + taking
                    if late:
                        break
                    yield
                    began = reading()
                if number == 0 and longest > epochs:
                    # where many points allow few epochs, integers gain from more
                    each = reading() - first
                    epochs = int(np.clip(_LONGER_SHARE * budget.remaining / each, epochs, longest))
                if number >= epochs // 2 or number % 4 == 3 or late:
                    began = reading()
                    loss = network.loss()
                    judging = max(judging, reading() - began)
                    # rounded networks go on: later ones have wider margins
                    if loss < best or (loss == best and rounds):
                        best, kept = loss, network.values.copy()
                if (best == 0.0 and not rounds) or late:
                    break
        finally:  # also if the caller stops here
            network.values[:] = kept
            if rounds:
                self._put_layers(self._of_integers(network, self._surrogate_unit() / shrunk, mean))
            else:
                layers = [Layer(W.astype(np.float64), b.astype(np.float64)) for W, b in network.layers]
                raw = layers[0].weights * st.unit
                layers[0] = Layer(raw, layers[0].bias - raw @ mean)
                self._put_layers([self._rounded(layer) for layer in layers] if self._integer else layers)

    def _rounds_in_training(self) -> bool:
        """Whether a start rounds before every step: integers act on raw features, so these must be of similar size.

        Otherwise features of large numbers would drown the others, and it is better to round afterwards, which gives
        them no weight.
        """
        unit = self.state.unit
        if not self._integer or len(unit) < _MANY_FEATURES:
            return False  # with few features line searches find the margins themselves, from more varied starts
        low, high = np.quantile(unit, [0.25, 0.75])
        return bool(high < _ALIKE * low)

    def _rounded(self, layer: Layer) -> Layer:
        """Scale every neuron to the largest integer weights and round."""
        size = np.abs(layer.weights).max(axis=1, initial=0.0)
        factor = np.where(size > 0, self.state.bound / np.where(size > 0, size, 1.0), 1.0)
        return Layer(np.rint(layer.weights * factor[:, None]), np.rint(layer.bias * factor))

    def _standardised(self, rows: Integers) -> tuple[Singles, Singles, Floats]:
        """Return points by row of mean 0 and variance near 1, their weights of labels, scaled, and the means.

        A value can be as many standard deviations from the mean as the square root of the number of rows. What is
        further away in units of the features, which then are those of the other values, is brought to that distance,
        and the median takes the place of the mean.
        """
        st = self.state
        m, n = len(rows), st.X.shape[0]
        mean = np.array([column[rows].mean(dtype=np.float64) for column in st.X]) if n else np.zeros(0)
        Z, unit = np.empty((m, n), dtype=np.float32), self._surrogate_unit()
        for start in range(0, m, _ROWS_AT_ONCE):  # little memory beyond Z
            some = slice(start, start + _ROWS_AT_ONCE)
            Z[some] = ((st.X[:, rows[some]].astype(np.float64) - mean[:, None]) * unit[:, None]).T
        far = np.float32(2.0 * math.sqrt(max(m, 1)))
        for j in np.flatnonzero(np.abs(Z).max(axis=0, initial=0.0) > far).tolist():
            column = st.X[j, rows].astype(np.float64)
            mean[j] = np.median(column)
            Z[:, j] = np.clip((column - mean[j]) * unit[j], -far, far)
        weight = st.class_weight[rows].astype(np.float32)
        weight *= np.float32(m / max(float(weight.sum(dtype=np.float64)), 1e-300))
        return Z, weight, mean

    def _of_integers(self, network: Surrogate, unit: Floats, mean: Floats) -> list[Layer]:
        """Return the layers of a surrogate of integers with integer biases: the same, but for ties of the argmax."""
        layers = [Layer(W, b) for W, b in network.integers()]
        W, b = layers[0]
        layers[0] = Layer(W, b / unit[0] - W @ mean)
        return [
            # an integer sum is >= a threshold if it is >= the next integer
            Layer(W, np.rint(b) if self.state.argmax and k == len(layers) - 1 else np.floor(b))
            for k, (W, b) in enumerate(layers)
        ]

    def _surrogate_unit(self) -> Floats:
        """Return the factor of each feature in the surrogate: all the same where it rounds, as raw features have 1."""
        unit = self.state.unit
        return np.full_like(unit, 1 / math.sqrt(np.mean(1 / unit**2))) if self._rounds_in_training() else unit

    # moves

    def _moves(self, neuron: int) -> int:
        k, _ = self._layer(neuron)
        p = max(len(self.state.loss), 1)
        return int(min(np.clip(2 * self._inputs[k], 20, 100), max(8, 2 * 10**8 // p)))

    def _turns(self, neurons: Integers) -> None:
        """Give neurons a turn in this order, without Python's lock."""
        moves = np.array([self._moves(neuron) for neuron in range(self.n_neurons)])[neurons]
        W, b = np.empty_like(self.state.W), np.empty_like(self.state.b)
        self.total, best = kernels.turns(self.state, neurons, moves, _SPREAD, _MOST_POINTS, self.total, self.best, W, b)
        if best < self.best:
            # in this order, as another thread may read them
            self._kept = (W, b)
            self.best = best

    def turns(self, neurons: Integers) -> Iterator[None]:
        """Give neurons a turn in this order; yields every few hundredths of a second."""
        at = 0
        while at < len(neurons):
            slice_ = min(_MOST_SLICE, max(_LEAST_SLICE, _SLICE_SHARE * self._budget.remaining))
            few = max(1, int(slice_ / max(self._seconds_of_turn, 1e-6)))
            some = neurons[at : at + few]
            began = reading()
            self._turns(some)
            self._seconds_of_turn = (reading() - began) / len(some)
            at += len(some)
            yield

    def approach(self) -> Iterator[None]:
        """Prepare a fresh start for the descent."""
        yield from ()

    def descend(self) -> Iterator[None]:
        """Sweep over all neurons until two sweeps bring nothing."""
        stalled = 0
        while stalled < 2 and self.total > 0:
            before = self.total
            yield from self.turns(self._rng.permutation(self.n_neurons))
            stalled = 0 if self.total < before else stalled + 1
            self._collected()
        self.rounds += 1
        self._rescale_outputs()

    def _rescale_outputs(self) -> None:
        """Keep competing outputs, which no turn normalises, within bounds: by a power of two, no winner changes."""
        st = self.state
        outputs = slice(int(st.w_from[-2]), int(st.w_from[-1]))
        size = float(np.abs(st.W[outputs]).max(initial=0.0))
        if self._integer or not st.argmax or not (size > 1e6 or 0 < size < 1e-6):
            return
        factor = 2.0 ** -math.floor(math.log2(size))
        st.W[outputs] *= factor
        st.b[st.b_from[-2] :] *= factor
        for neuron in range(int(st.b_from[-2]), self.n_neurons):
            self.total += self._update(neuron)

    def _collected(self) -> None:
        if self._collect:
            self.optima.append(self._network(self.state.W, self.state.b))

    def _snapshot(self) -> tuple[Floats, Floats]:
        return self.state.W.copy(), self.state.b.copy()

    def restore(self, kept: tuple[Floats, Floats]) -> None:
        """Go back to other weights; only neurons that differ are evaluated again."""
        st, (W, b) = self.state, kept
        for neuron in range(self.n_neurons):
            at = self._weights_of(neuron)
            if st.b[neuron] != b[neuron] or not np.array_equal(st.W[at], W[at]):
                st.W[at], st.b[neuron] = W[at], b[neuron]
                self.total += self._update(neuron)

    def _weights_of(self, neuron: int) -> slice:
        k, row = self._layer(neuron)
        start = int(self.state.w_from[k] + row * self._inputs[k])
        return slice(start, start + int(self._inputs[k]))

    def kick(self) -> int:
        """Disturb one neuron; return which."""
        st, rng = self.state, self._rng
        hidden = self.n_neurons - int(st.width[-1])
        neuron = int(rng.integers(hidden if hidden and rng.random() < 0.9 else self.n_neurons))
        k, _ = self._layer(neuron)
        at, n_in = self._weights_of(neuron), int(self._inputs[k])
        chosen = rng.random(n_in) < rng.random()
        if self._integer:
            chosen &= rng.random(n_in) < min(1.0, 4 / max(n_in, 1))
            st.W[at] = np.where(chosen, rng.integers(-st.bound, st.bound + 1, n_in), st.W[at])
        else:
            unit = st.unit if k == 0 else np.ones(n_in)
            size = float((np.abs(st.W[at]) / unit).max(initial=0.0)) or 1.0
            signal = st.X if k == 0 else st.U[st.b_from[k - 1] : st.b_from[k]]
            if st.intercept and len(st.loss) and rng.random() < _REPLACED:
                # anew, between two points: small changes may have led far away from all
                i, j = rng.integers(len(st.loss), size=2)
                st.W[at] = rng.normal(size=n_in) * unit * size
                st.b[neuron] = -st.W[at] @ (signal[:, i].astype(np.float64) + signal[:, j]) / 2
            else:
                change = np.where(chosen, rng.normal(size=n_in) * unit * size * rng.random(), 0.0)
                st.W[at] += change
                if st.intercept and len(st.loss):
                    st.b[neuron] -= change @ signal[:, int(rng.integers(len(st.loss)))]
        self.total += self._update(neuron)
        return neuron

    def _separates(self) -> bool:
        """Whether the points are few enough for walks over the separators of one neuron."""
        n, p = self.points.X.shape
        continuous = not self._integer and self.state.intercept
        first_competes = self.state.argmax and len(self.state.width) == 1
        return continuous and not first_competes and 0 < n <= _MOST_FEATURES and p <= _MOST_SEPARATED

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
            self._note()
            yield

    def kicks(self, patience: int, budget: Budget) -> Iterator[None]:
        """Kick and repair until so many kicks in a row bring nothing; better and equal networks are kept, mostly."""
        stalled, current, kept = 0, self.total, self._snapshot()
        lowest, best = current, kept
        separates = self._separates()
        while stalled < patience and self.total > 0:
            if separates and self._rng.random() < _SEPARATED:
                neuron = int(self._rng.integers(self.state.width[0]))
                yield from self._separators(neuron, 1, budget)
            else:
                neuron = self.kick()
            if self.n_neurons <= _NARROW:
                order = self._rng.permutation(self.n_neurons)
            else:
                order = np.append(self._rng.permutation(self.n_neurons)[: _NARROW - 1], neuron)
            last = math.inf
            for _ in range(3):
                yield from self.turns(order)
                if not self.total < last:
                    break
                last = self.total
            self.rounds += 1
            if self.total < lowest:
                stalled, lowest, best = 0, self.total, self._snapshot()
            else:
                stalled += 1
            # slightly worse networks too, now and then, which leads out of where better ones are rare
            if self.total <= current + _HEAT * lowest * self._rng.exponential():
                current, kept = self.total, self._snapshot()
            else:
                self.restore(kept)
            self._rescale_outputs()
            yield
        if current > lowest:
            self.restore(best)

    def run(self, budget: Budget, given: Network | None = None) -> Iterator[None]:
        """Search without end: a start and a descent, kicks, and again, or on from the best.

        Yields
        ------
        None
            Every few hundredths of a second, so that the caller can look at the clock, `best` and `rounds`.
        """
        self._budget = budget
        for attempt in itertools.count():
            patience = _KICKS * (1 + attempt // 4)
            if attempt == 0 and given is not None:
                self.load(given)
            elif attempt % 4 == 3:
                self.restore(self._kept)
                patience *= 3
            elif attempt % 2 == 0 and self.state.intercept:
                yield from self.smooth(budget)
            else:
                self.randomise()
            if attempt % 4 != 3:
                self._collected()
                yield
                yield from self.approach()
            yield from self.descend()
            if self.n_neurons == 1 and self._separates() and self.total > 0:
                for _ in self._separators(0, _WALKS * (attempt + 1), budget):
                    self.rounds += 1
                    yield
            yield from self.kicks(patience, budget)
            self._collected()
            if self.best <= 0 and not self._collect:
                return


def _shared_spread(Z: Singles) -> float:
    """Return half the spread of the sum that a random combination of points makes on the points, per unit of its size.

    Features of images, say, move together, so sums spread more widely than those of independent features, and the
    thresholds of a surrogate would pass few gradients. Few points want wide margins, which is what that gives; many
    points, which a network cannot learn by heart, are learned better where each threshold hears only of the points near
    it: the spread of more than 4,000 points is divided by a small power of their number.
    """
    some = Z[:_MOST_COMPARED].astype(np.float64)
    products = some @ some.T
    trace = float(np.trace(products))
    half = 0.5 * math.sqrt(float((products**2).sum()) / (len(some) * trace)) if trace > 0 else 1.0
    return half / float(np.clip((len(Z) / _SHARP_POINTS) ** _SHARPER, 1.0, _SHARPEST))
