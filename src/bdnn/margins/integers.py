"""Lossless integers: small integer weights that decide every given point as given real weights do.

With the activations of the points fixed, layers and neurons are independent: a neuron needs integer weights w and an
integer bias b with w·s + b >= 0 at the distinct integer inputs s at which it is on and w·s + b <= -1 at those at which
it is off; the outputs of an argmax head need integer scores with the same winners, ties to the lowest index. Biases are
free, so for given weights they are a system of difference constraints, which has integer solutions if it has any.

The smallest largest weight P is enclosed: below by the linear program min ‖w‖_∞ over real weights and by what is proven
afterwards, above by solutions found by rounding multiples of several directions, by repairing such roundings with steps
of ±1, by enumeration where there are few candidates and by a mixed-integer program on a growing set of points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bdnn.clock import reading
from bdnn.linear_programs import LinearProgram
from bdnn.margins.ordering import GROUND, Comparisons, by_linear_program, euclidean
from bdnn.status import Status
from bdnn.types import Array, Bools, Floats, Indices

_NEAR = 1000
_FACTORS = 32
_FEW_CANDIDATES = 50_000
_MOST_COLUMNS = 300
_LARGEST_SUM = 2.0**51
_LARGEST_WEIGHT = 2**40
_SAFE_COEFFICIENT = 1e6
# any slack beyond 1 will do; without a limit the first rows may leave the program unbounded
_LARGEST_SLACK = 1e6
# the least P itself, not one that is nearly the least
_EXACT = {"mip_rel_gap": 0.0, "mip_feasibility_tolerance": 1e-9}


class _Grid(Protocol):
    @property
    def offset(self) -> Floats: ...
    @property
    def step(self) -> Floats: ...
    @property
    def bits(self) -> int: ...
    def quantise(self, X: Any) -> Floats: ...


class _Network(Protocol):
    """What is used of a `Network`, which stands below this module."""

    @property
    def layers(self) -> tuple[Any, ...]: ...
    @property
    def head(self) -> Any: ...
    @property
    def grid(self) -> Any: ...
    @property
    def is_integer(self) -> bool: ...
    def activations(self, X: Any) -> list[NDArray[np.uint8]]: ...
    def predict_index(self, X: Any) -> Indices: ...


N = TypeVar("N", bound=_Network)


@dataclass(frozen=True, eq=False, slots=True)
class Rounding(Generic[N]):
    """Outcome of a search for small integer weights.

    Attributes
    ----------
    network : Network or None
        With integer weights and the same decisions on the data; None if there is none, or none was found.
    largest : tuple of int
        Largest absolute weight of each of its layers, empty without network.
    bounds : tuple of int
        For each layer a number that the largest absolute weight of no such layer is below.
    reason : str or None
        Why there is no network.
    """

    network: N | None
    largest: tuple[int, ...]
    bounds: tuple[int, ...]
    reason: str | None = None

    @property
    def proven(self) -> bool:
        """Whether every layer's largest weight is the smallest one."""
        return self.network is not None and self.largest == self.bounds


def rounded(
    network: N,
    X: Floats,
    *,
    grid: _Grid | None = None,
    weight_bound: int | None = None,
    time_limit: float = 10.0,
) -> Rounding[N]:
    """Search for the integer network with the same decisions on X and the smallest largest weight per layer.

    Parameters
    ----------
    network : Network
        Any.
    X : ndarray of shape (m, n_features)
        At least one row; integers unless there is a grid.
    grid : InputGrid or None
        Quantisation to put in front of the network; None for that of the network, or none.
    weight_bound : int or None
        Largest absolute weight that is accepted.
    time_limit : float
        Seconds for the search. Checks on all points are not interrupted.

    Returns
    -------
    Rounding
        All activations and the predicted classes on X are those of `network`, verified exactly. The largest weights
        are the smallest ones found, and the smallest ones there are only where the bound is met. Bounds come from
        multipliers of the linear program, checked in integer arithmetic for single neurons and up to a tolerance for
        outputs that are compared with each other, from enumeration, and from the mixed-integer solver's word.

    Notes
    -----
    Decisions are kept neuron by neuron: another integer network with other activations but the same predictions may
    have smaller weights. Layers and neurons are numbered from 1 in messages.
    """
    deadline = reading() + time_limit
    grid = grid if grid is not None else network.grid
    signals = [X if grid is None else grid.quantise(X), *(u.astype(np.float64) for u in network.activations(X))]
    fired = [u.astype(bool) for u in signals[1:]]
    predicted = network.predict_index(X)
    n_layers = len(network.layers)
    layers: list[_Layer] = []
    for k, (W, b) in enumerate(network.layers):
        if k == 0 and grid is not None and network.grid is None:
            W, b = W * grid.step, b + W @ grid.offset  # nearly the same scores, of grid integers
        layer = _Layer(k + 1, signals[k], np.asarray(W), np.asarray(b), network.is_integer)
        last = k == n_layers - 1
        winners = predicted if last and len(b) > 1 else None
        reason = layer.prepare(None if last and network.head == "argmax" else fired[k], winners, grid)
        if reason is not None:
            return Rounding(None, (), tuple(1 for _ in network.layers), reason)
        layers.append(layer)
    for left, layer in zip(range(n_layers, 0, -1), reversed(layers), strict=True):  # later layers are fast
        layer.search(reading() + max(deadline - reading(), 0.0) / left, weight_bound)
    bounds = tuple(layer.bound for layer in layers)
    for layer in layers:
        reason = layer.failure(weight_bound, grid)
        if reason is not None:
            return Rounding(None, (), bounds, reason)
    numbers = [layer.numbers() for layer in layers]
    for k, (_, bias) in enumerate(numbers, start=1):
        if any(abs(int(b)) > 2**53 for b in bias):
            return Rounding(None, (), bounds, f"layer {k}: biases exceed 2**53; shift or rescale the inputs")
    found = replace(network, layers=tuple(numbers), grid=grid)  # type: ignore[type-var]
    largest = tuple(int(np.abs(W).max(initial=0)) for W, _ in found.layers)
    same = np.array_equal(found.predict_index(X), predicted) and all(
        np.array_equal(new, old) for new, old in zip(found.activations(X), fired, strict=True)
    )
    if not same:
        return Rounding(None, (), bounds, "the integers that were found do not survive the exact check of decisions")
    return Rounding(found, largest, bounds)


class _Layer:
    """One layer: its distinct inputs and the independent searches for its neurons."""

    def __init__(self, number: int, signal: Floats, weights: Array, bias: Array, is_integer: bool) -> None:
        self.number, self.weights, self.bias, self.is_integer = number, weights, bias, is_integer
        small = signal.astype(_smallest_type(signal))
        _, self.rows, self.cell = np.unique(small, axis=0, return_index=True, return_inverse=True)
        self.cell = self.cell.ravel()
        points = signal[self.rows]
        self.kept = np.flatnonzero(points.max(axis=0, initial=-np.inf) > points.min(axis=0, initial=np.inf))
        self.centre = np.sort(points, axis=0)[len(points) // 2]
        self.points = points[:, self.kept] - self.centre[self.kept]
        self.tasks: list[tuple[Indices, _Task]] = []
        self.largest_given = int(np.abs(weights).max(initial=0)) if is_integer else None

    def prepare(self, fired: Bools | None, winners: Indices | None, grid: _Grid | None) -> str | None:
        """Set up the searches; return why there is no solution if equal inputs need different decisions."""
        cells = len(self.rows)
        for j, column in enumerate(fired.T if fired is not None else ()):
            on = np.bincount(self.cell, weights=column, minlength=cells)
            mixed = (on > 0) & (on < np.bincount(self.cell, minlength=cells))
            if np.any(mixed):
                return self._conflict(
                    f"neuron {j + 1}", mixed[self.cell].sum(), grid, "be on at some and off at others"
                )
        if winners is not None:
            mixed = np.zeros(cells, dtype=bool)
            mixed[self.cell[winners != winners[self.rows][self.cell]]] = True
            if np.any(mixed):
                what = "predict one class at some and another at others"
                return self._conflict("the output layer", mixed[self.cell].sum(), grid, what)
        p, C = len(self.points), len(self.bias)
        if fired is None:
            assert winners is not None
            comparisons = Comparisons.of_argmax(self.points, winners[self.rows], C)
            self._add(np.arange(C), comparisons, comparisons.better > comparisons.worse)
            return None
        on_at = fired[self.rows]
        several = np.flatnonzero(on_at.sum(axis=1) != 1) if winners is not None else np.arange(0)
        if len(several):
            # where not exactly one output fires, the outputs are compared with each other
            assert winners is not None
            point, node = np.divmod(np.arange(p * C), C)
            fires = on_at.ravel()
            some = Comparisons.of_argmax(self.points[several], winners[self.rows][several], C)
            comparisons = Comparisons(
                self.points,
                np.concatenate([point, several[some.point]]),
                np.concatenate([np.where(fires, node, GROUND), some.better]),
                np.concatenate([np.where(fires, GROUND, node), some.worse]),
                C,
            )
            self._add(np.arange(C), comparisons, np.concatenate([~fires, some.better > some.worse]))
            return None
        for j in range(C):
            self._add(np.array([j]), Comparisons.of_neuron(self.points, on_at[:, j]), ~on_at[:, j])
        return None

    def _conflict(self, where: str, count: int, grid: _Grid | None, what: str) -> str:
        bits = "" if grid is None else f" of {grid.bits} bits"
        remedy = "raise input_bits" if grid is None or grid.bits < 16 else "leave out such points or rescale the inputs"
        return (
            f"layer {self.number}, {where}: it has to {what} of {count} points, "
            f"which the grid{bits} maps to the same integers; {remedy}"
        )

    def _add(self, nodes: Indices, comparisons: Comparisons, strict: Bools) -> None:
        W = self.weights[nodes].astype(np.float64)
        b = self.bias[nodes] + W @ self.centre
        self.tasks.append((nodes, _Task(comparisons, strict.astype(np.float64), W[:, self.kept], b)))

    @property
    def bound(self) -> int:
        """Lower bound on the largest weight."""
        return max(task.bound for _, task in self.tasks)

    def search(self, deadline: float, weight_bound: int | None) -> None:
        """Find small weights for every neuron, then try again for the one that has the largest."""
        most = _LARGEST_WEIGHT if weight_bound is None else weight_bound
        for left, (_, task) in zip(range(len(self.tasks), 0, -1), self.tasks, strict=True):
            if self.largest_given is not None:
                task.accept_given()
            task.begin(reading() + max(deadline - reading(), 0.0) / (2 * left), most)
        if any(task.impossible or (task.weights is None and task.bound > most) for _, task in self.tasks):
            return
        while reading() < deadline:
            task = max((task for _, task in self.tasks), key=lambda t: t.largest)
            if task.largest <= self.bound or task.exhausted:
                return
            task.improve(self.bound, deadline, most)

    def failure(self, weight_bound: int | None, grid: _Grid | None) -> str | None:
        """Return why no weights were found, None if they were."""
        if self._given_is_best and (weight_bound is None or (self.largest_given or 0) <= weight_bound):
            return None
        for nodes, task in self.tasks:
            if task.weights is not None and (weight_bound is None or task.largest <= weight_bound):
                continue
            where = f"layer {self.number}, " + (f"neuron {nodes[0] + 1}" if len(nodes) == 1 else "the output layer")
            if task.impossible:
                wrong = int(np.count_nonzero(task.comparisons.differences(*task.given) < 0))
                return (
                    f"{where}: no weights keep its decisions on the grid, not even real ones; the original weights "
                    f"fail in {wrong} comparisons of distinct grid points; raise input_bits"
                )
            if weight_bound is not None and task.bound > weight_bound:
                return (
                    f"{where}: it needs integer weights of at least {task.bound} to keep its decisions, "
                    f"weight_bound is {weight_bound}; raise it"
                )
            tried = f" up to weight_bound {weight_bound}" if weight_bound is not None else ""
            bits = ", or use other input_bits" if grid is not None else ", or make them smaller integers"
            return (
                f"{where}: no integer weights{tried} were found that keep its decisions (at least {task.bound} is "
                f"needed); raise weight_bound or time_limit, polish the network first "
                f"(from bdnn.polish import polished){bits}"
            )
        return None

    def numbers(self) -> tuple[Array, Array]:
        """Return the integer weights and biases on uncentred inputs."""
        if self._given_is_best:
            return self.weights, self.bias
        weights = np.zeros(self.weights.shape, dtype=np.int64)
        bias = np.zeros(len(self.bias), dtype=object)
        for nodes, task in self.tasks:
            assert task.weights is not None and task.bias is not None
            weights[np.ix_(nodes, self.kept)] = task.weights
            for j, b in zip(nodes, task.bias, strict=True):
                bias[j] = b - sum(int(w) * int(c) for w, c in zip(weights[j], self.centre, strict=True))
        return weights, bias if any(abs(b) > 2**53 for b in bias) else bias.astype(np.int64)

    @property
    def _given_is_best(self) -> bool:
        """Whether the layer has integer weights and no smaller ones were found."""
        return self.largest_given is not None and (max(task.largest for _, task in self.tasks) >= self.largest_given)


def _smallest_type(a: Floats) -> Any:
    low, high = a.min(initial=0.0), a.max(initial=0.0)
    return next(
        t for t in (np.int8, np.int16, np.int32, np.int64) if np.iinfo(t).min <= low and high <= np.iinfo(t).max
    )


class _Task:
    """Integer scores of one neuron, or of outputs that are compared with each other, at distinct integer points.

    Parameters
    ----------
    comparisons : Comparisons
    strict : ndarray of shape (r,)
        Least difference in each: 1 where a tie does not do, else 0.
    weights, bias : ndarray of shape (d, n) and (d,)
        Real scores that make them.
    """

    def __init__(self, comparisons: Comparisons, strict: Floats, weights: Floats, bias: Floats) -> None:
        self.comparisons, self.strict, self.given = comparisons, strict, (weights, bias)
        self.weights: Array | None = None
        self.bias: list[int] | None = None
        self.bound = 0
        self.impossible = self.exhausted = self._halved = False
        self._directions: list[Floats] = []
        self._near = np.arange(0)
        sums = np.abs(comparisons.points).sum(axis=1)
        self._most = int(min(_LARGEST_WEIGHT, _LARGEST_SUM / max(float(sums.max(initial=0.0)), 1.0)))

    @property
    def largest(self) -> float:
        """Largest weight found, infinite if none."""
        return math.inf if self.weights is None else int(np.abs(self.weights).max(initial=0))

    def accept_given(self) -> None:
        """Take the given weights, which are integers, as a solution."""
        self._accept(self.given[0])

    def begin(self, deadline: float, most: int) -> None:
        """Find a bound and a first solution."""
        W, b = self.given
        if self.largest == 0 or self._accept(np.zeros_like(W)):
            return
        self.bound = 1
        lead = self.comparisons.differences(W, b)
        first = min(_NEAR, len(lead))
        self._near = np.argpartition(lead, first - 1)[:first]
        self._directions = [W]
        program = by_linear_program(self.comparisons, (W, b), deadline, 1e-9, norm="1", required=self.strict)
        if program.gap > 1e-9:
            self._directions.append(program.weights)
            binding = program.rows[program.multipliers > 0]
            self._near = np.union1d(self._near, binding)
            self.bound = max(self.bound, self._proven(program.rows, program.multipliers, program.gap))
        elif program.finished and float(lead.min()) < 0:
            self.impossible = self.weights is None
            return
        left = reading() + 0.5 * (deadline - reading())
        if W.size <= 2000 and left > reading():
            rounder = euclidean(self.comparisons, (W, b), left, 1e-3)
            if np.all(np.isfinite(rounder.weights)):
                self._directions.append(rounder.weights)
        if len(b) > 1:
            # the same number for all nodes changes no difference
            self._directions = [D - (D.max(axis=0) + D.min(axis=0)) / 2 for D in self._directions] + [W]
        self._scan(deadline, most)

    def _proven(self, rows: Indices, multipliers: Floats, gap: float) -> int:
        """Lower bound on the largest weight from multipliers of the linear program.

        For one neuron: with μ >= 0 and equal sums over the points that are on and off, so that the bias cancels,
        Σ_off μ <= Σ ±μ w·s <= P ‖Σ ±μ s‖_1. Multipliers are made integers first, so nothing is rounded.
        """
        if self.comparisons.n_nodes > 1:
            return math.ceil((1 - 1e-6) / gap - 1e-6) if gap > 1e-12 else 1
        used = np.flatnonzero(multipliers > 0)
        if not len(used):
            return 1
        rows, top = rows[used], float(multipliers.max())
        whole = [round(v / top * 2**40) for v in multipliers[used].tolist()]
        on = [bool(v) for v in self.comparisons.better[rows] == 0]
        excess = sum(v if o else -v for v, o in zip(whole, on, strict=True))
        side = [i for i, o in enumerate(on) if o == (excess < 0)]
        if not side:
            return 1
        whole[max(side, key=lambda i: whole[i])] += abs(excess)
        signed = np.array([v if o else -v for v, o in zip(whole, on, strict=True)], dtype=object)
        points = self.comparisons.points[self.comparisons.point[rows]].astype(np.int64).astype(object)
        total = int(sum(abs(int(v)) for v in signed @ points))
        return -(-sum(v for v, o in zip(whole, on, strict=True) if not o) // total) if total else 1

    def _biases(self, weights: Floats) -> tuple[list[int] | None, Indices]:
        """Return integer biases for integer weights, None if there are none, and comparisons that decide this."""
        zero = np.zeros(len(weights))
        needed = self.strict - self.comparisons.differences(weights, zero)
        if len(weights) == 1:
            on = self.comparisons.better == 0
            # b >= needed where on, -b >= needed where off
            ends = [
                np.flatnonzero(side)[[np.argmax(needed[side])]] if side.any() else np.arange(0) for side in (on, ~on)
            ]
            low = int(needed[ends[0][0]]) if len(ends[0]) else None
            high = -int(needed[ends[1][0]]) if len(ends[1]) else None
            which = np.concatenate(ends)
            if low is None or high is None:
                return [low if low is not None else high if high is not None else 0], which
            return ([(low + high) // 2] if low <= high else None), which
        return self._potentials(needed)

    def _potentials(self, needed: Floats) -> tuple[list[int] | None, Indices]:
        """Solve b_better - b_worse >= needed in integers by longest paths; the last node is the ground."""
        C = self.comparisons.n_nodes
        better, worse = self.comparisons.better % (C + 1), self.comparisons.worse % (C + 1)
        pair = better * (C + 1) + worse
        order = np.lexsort((needed, pair))
        final = order[np.flatnonzero(np.append(np.diff(pair[order]) != 0, True))]
        edges = [(int(worse[r]), int(better[r]), int(needed[r])) for r in final]
        ways = []
        for backwards in (False, True):
            level = [0] * (C + 1)
            for _ in range(C + 2):
                changed = False
                for low, high, gap in edges:
                    a, z = (high, low) if backwards else (low, high)
                    if level[a] + gap > level[z]:
                        level[z], changed = level[a] + gap, True
                if not changed:
                    break
            else:
                return None, final
            ways.append([-v for v in level] if backwards else level)
        ways = [[v - way[C] for v in way] for way in ways]  # the ground is at 0
        return [(a + z) // 2 for a, z in zip(*ways, strict=True)][:C], final

    def _accept(self, weights: Floats) -> bool:
        """Take integer weights if they make all comparisons and are smaller; else remember what fails."""
        size = float(np.abs(weights).max(initial=0.0))
        if size > self._most or size >= self.largest:
            return False
        bias, decisive = self._biases(weights)
        if bias is None:
            self._near = np.union1d(self._near, decisive)
            return False
        if any(abs(b) > 2**52 for b in bias):
            return False
        self.weights, self.bias = weights.astype(np.int64), bias
        return True

    def _passing(self, candidates: Floats) -> Iterator[Floats]:
        """Yield those of shape (d, n) among (k, d, n) candidates that make the comparisons near the boundary."""
        near = self._near
        if candidates.shape[1] > 1:
            some = self._restricted(near)
            yield from (W for W in candidates if some._biases(W)[0] is not None)
            return
        values = self.comparisons.points[self.comparisons.point[near]] @ candidates[:, 0].T
        on = self.comparisons.better[near] == 0
        good = values[on].min(axis=0, initial=np.inf) > values[~on].max(axis=0, initial=-np.inf)
        yield from candidates[good]

    def _restricted(self, rows: Indices) -> _Task:
        c = self.comparisons
        point, place = np.unique(c.point[rows], return_inverse=True)
        some = Comparisons(c.points[point], place.ravel(), c.better[rows], c.worse[rows], c.n_nodes)
        return _Task(some, self.strict[rows], *self.given)

    def _try(self, P: int) -> bool:
        """Round multiples of the directions to weights up to P."""
        candidates = [np.zeros((0, *self.given[0].shape))]
        for direction in self._directions:
            top = float(np.abs(direction).max(initial=0.0))
            if not (0 < top < math.inf):
                continue
            # beyond P + 1/2 the largest weights are cut
            factors = np.concatenate(
                [np.linspace(P - 0.499, P + 0.499, _FACTORS), np.linspace(P + 0.5, 1.5 * P + 0.5, 8)]
            )
            scaled = np.rint(factors[:, None, None] * (direction / top))
            candidates.append(np.clip(scaled, -P, P))
        distinct = np.unique(np.concatenate(candidates), axis=0)
        for W in sorted(self._passing(distinct), key=lambda W: float(np.abs(W).max())):
            if self._accept(W):
                return True
        return False

    def _scan(self, deadline: float, most: int) -> None:
        """Try growing weights until a rounding works, then those between the last two."""
        most = int(min(most, self._most, self.largest - 1))
        last, P = self.bound - 1, self.bound
        exact = self.given[0] / max(_divisor(self.given[0]), 1e-300)
        if np.all(exact == np.rint(exact)) and np.abs(exact).max() <= most:
            self._accept(exact)
            most = int(min(most, self.largest - 1))
        while P <= most and not self._try(P):
            last, P = P, P + 1 if P < self.bound + 12 else max(P + 1, int(1.2 * P))
            if reading() > deadline:  # it takes longer than wished: larger steps
                P = max(P, 2 * last)
        if last < P and self.weights is not None:
            for middle in np.unique(np.linspace(last + 1, P - 1, 16).astype(int)).tolist():
                if last < middle < self.largest and reading() < deadline and self._try(middle):
                    break

    def improve(self, floor: int, deadline: float, most: int) -> None:
        """Try to find smaller weights, or to prove that there are none; weights of `floor` are small enough."""
        if not self._halved:
            self._halved = True
            if self.given[0].size <= _MOST_COLUMNS:
                self._bisect(max(self.bound, floor, 1) - 1, int(min(self.largest, self._most + 1, most + 1)), deadline)
            return
        before = self.largest
        if not self._enumerate(most):
            self._program(reading() + 0.5 * (deadline - reading()), most)
        self.exhausted = self.largest >= before

    def _bisect(self, low: int, high: int, deadline: float) -> None:
        """Look for the size between `low`, too small, and `high` from which on heuristics find weights."""
        while high - low > max(1, low // 100) and reading() < deadline:
            middle = (low + high) // 2 if high < 4 * max(low, 1) else math.isqrt(max(low, 1) * high)
            share = reading() + 0.25 * (deadline - reading())
            if self._repair(middle, share) or self._dive(middle, deadline):
                high = int(self.largest)
            else:
                low = middle

    def _repair(self, P: int, deadline: float) -> bool:
        """Round to weights up to P and change single ones by 1 while this lessens the total violation."""
        if len(self.given[1]) > 1:
            return False
        for direction in self._directions:
            top = float(np.abs(direction).max(initial=0.0)) or 1.0
            for factor in (P + 0.499, P + 1.0):
                w = np.clip(np.rint(direction[0] / top * factor), -P, P)
                for _ in range(20):
                    if reading() > deadline:
                        return False
                    w, done = self._descend(w, P)
                    if not done:
                        break
                    if self._accept(w[None, :]):
                        return True
        return False

    def _descend(self, w: Floats, P: int) -> tuple[Floats, bool]:
        rows = self._near
        S, on = self.comparisons.points[self.comparisons.point[rows]], self.comparisons.better[rows] == 0
        a = S @ w
        sign = np.where(on, 1.0, -1.0)
        violation = math.inf
        for _ in range(4 * len(w) + 20):
            # the threshold t with on: a >= t and off: a <= t - 1 that violates least is a kind of median
            ends = np.sort(np.where(on, a, a + 1.0))
            k = int((~on).sum())
            t = ends[min(k, len(ends) - 1)] if k == 0 else ends[k - 1]
            edge = np.where(on, t, 1.0 - t)
            now = float(np.maximum(edge - sign * a, 0.0).sum())
            if now == 0.0:
                return w, True
            if now >= violation:
                return w, False
            violation = now
            moved = sign[:, None] * S
            base = (edge - sign * a)[:, None]
            up, down = np.maximum(base - moved, 0.0).sum(axis=0), np.maximum(base + moved, 0.0).sum(axis=0)
            up[w >= P], down[w <= -P] = np.inf, np.inf
            j, step = (int(np.argmin(up)), 1.0) if up.min() <= down.min() else (int(np.argmin(down)), -1.0)
            w = w.copy()
            w[j] += step
            a = a + step * S[:, j]
        return w, False

    def _dive(self, P: int, deadline: float) -> bool:
        """Fix one weight after another to an integer up to P, with the others free to make up for it.

        The columns of the widest range come first: their rounding errors weigh most.
        """
        d, n = self.given[0].shape
        size = d * n
        low = np.concatenate([np.full(size, -float(P)), np.full(d + 1, -np.inf)])
        high = np.concatenate([np.full(size, float(P)), np.full(d, np.inf), [_LARGEST_SLACK]])
        program = LinearProgram(np.append(np.zeros(size + d), -1.0), low, high)
        points = self.comparisons.points
        spread = np.repeat(np.ptp(points, axis=0)[None, :], d, axis=0).ravel()
        order = np.argsort(-spread, kind="stable")

        def slack() -> tuple[float, Floats]:
            if program.solve(deadline) != Status.OPTIMAL:
                return -math.inf, np.zeros(size + d + 1)
            x = program.x
            return float(x[-1]), x

        rows, entered = self._near, np.arange(0)
        for _ in range(10):
            A, T = self.comparisons.rows(rows)
            program.add_rows(np.hstack([A, T, -np.ones((len(rows), 1))]), self.strict[rows], np.inf)
            entered = np.union1d(entered, rows)
            program.set_bounds(order, -float(P), float(P))
            best, x = slack()
            for j in order:
                if best < -1e-7 or reading() > deadline:
                    return False
                near = float(np.clip(np.rint(x[j]), -P, P))
                other = float(np.clip(near + (1.0 if x[j] > near else -1.0), -P, P))
                program.set_bounds(np.array([j]), near, near)
                best, y = slack()
                if best < -1e-7:
                    program.set_bounds(np.array([j]), other, other)
                    best, y = slack()
                x = y
            if best < -1e-7:
                return False
            W = np.rint(x[:size]).reshape(d, n)
            if self._accept(W):
                return True
            lead = self.comparisons.differences(W, x[size : size + d]) - self.strict
            lead[entered] = np.inf
            failing = np.flatnonzero(lead < -1e-6)
            if len(failing) > 50:
                failing = failing[np.argpartition(lead[failing], 49)[:50]]
            rows = np.union1d(np.setdiff1d(self._near, entered), failing)
            if not len(rows):
                return False
        return False

    def _enumerate(self, most: int) -> bool:
        """Try all weights smaller than the best where these are few; return whether this was done."""
        P, (d, n) = int(min(self.largest - 1, most)), self.given[0].shape
        if d * n * math.log(2 * P + 1) > math.log(_FEW_CANDIDATES):
            return False
        every = np.array(list(itertools.product(range(-P, P + 1), repeat=d * n)), dtype=np.float64)
        size = np.abs(every).max(axis=1, initial=0.0)
        order = np.argsort(size, kind="stable")
        candidates = every[order[size[order] >= self.bound]].reshape(-1, d, n)
        for start in range(0, len(candidates), 4096):
            if any(self._accept(W) for W in self._passing(candidates[start : start + 4096])):
                self.bound = int(self.largest)
                return True
        self.bound = P + 1
        return True

    def _program(self, deadline: float, most: int) -> None:
        """Minimise the largest weight by mixed-integer programs over the comparisons near the boundary.

        Biases may be real: if there are real ones there are integers.
        """
        d, n = self.given[0].shape
        if d * n > _MOST_COLUMNS:
            return
        size = d * n
        ceiling = int(min(self.largest - 1, most, self._most))
        widest = float(np.abs(self.comparisons.points).max())
        if ceiling < self.bound or widest * ceiling > _SAFE_COEFFICIENT:
            return  # sums so large are beyond the solver's tolerances
        # columns: weights, biases, the largest weight
        low = np.concatenate([np.full(size, -ceiling), np.full(d, -np.inf), [self.bound]]).astype(np.float64)
        high = np.concatenate([np.full(size, ceiling), np.full(d, np.inf), [ceiling]]).astype(np.float64)
        cost = np.append(np.zeros(size + d), 1.0)
        whole = np.concatenate([np.ones(size), np.zeros(d), [1]]).astype(bool)
        sides = np.zeros((2 * size, size + d + 1))
        sides[np.arange(2 * size), np.repeat(np.arange(size), 2)] = np.tile([1.0, -1.0], size)
        sides[:, -1] = 1.0
        program = LinearProgram(cost, low, high, integer=whole, options=_EXACT)
        program.add_rows(sides, 0.0, np.inf)
        entered = np.arange(0)
        rows = self._near
        while reading() < deadline:
            program.add_rows(
                np.hstack([*self.comparisons.rows(rows), np.zeros((len(rows), 1))]), self.strict[rows], np.inf
            )
            entered = np.union1d(entered, rows)
            status = program.solve(deadline)
            if status == Status.INFEASIBLE:
                self.bound = ceiling + 1
                return
            if math.isfinite(program.bound):
                self.bound = max(self.bound, min(math.ceil(program.bound - 1e-6), ceiling + 1))
            if status == Status.NO_SOLUTION:
                return
            x = program.x
            W = np.rint(x[:size]).reshape(d, n)
            if self._accept(W):
                return
            lead = self.comparisons.differences(W, x[size : size + d]) - self.strict
            lead[entered] = np.inf
            rows = np.setdiff1d(self._near, entered)
            failing = np.flatnonzero(lead < -1e-6)
            if len(failing) > 50:
                failing = failing[np.argpartition(lead[failing], 49)[:50]]
            rows = np.union1d(rows, failing)
            if not len(rows):
                return


def _divisor(weights: Floats) -> float:
    """Largest number of which all integers among the weights are multiples; 1 if they are not integers."""
    if not np.all(weights == np.rint(weights)) or np.abs(weights).max(initial=0.0) > 2.0**53:
        return 1.0
    return float(math.gcd(*(int(v) for v in np.unique(np.abs(weights)))) or 1)
