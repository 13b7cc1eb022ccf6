"""What is computed on parts of the rows: pure tasks, whose answers are added up wherever the parts are.

Weights in the search are multiples of one power of two, so small that all sums of them are exact in any order: no
answer depends on how rows are cut into parts. A weight that is no such multiple is rounded, by less than 2^-50 of the
total; audits take the weights as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from bdnn.network.losses import weighted_terms
from bdnn.search import kernels
from bdnn.types import Floats, Indices

if TYPE_CHECKING:
    from bdnn.network.losses import Loss
    from bdnn.network.network import Network
    from bdnn.partitions.store import Block
    from bdnn.types import Array

A = TypeVar("A")

# digits of a double: sums of this many units are exact
_DIGITS = 52
# rows of an audit at a time, whose arrays stay in the cache: measured, ten times as fast as with 2^16 rows
_AUDITED_AT_ONCE = 2**11
# different breakpoints of one line that are collected, a hundred megabytes with what sorting them takes; where there
# are more, buckets are made finer first
MOST_BREAKPOINTS = 2**20


class Task(Generic[A]):
    """A sum over blocks: `of` gives the part of a block, and `added` puts two answers together."""

    __slots__ = ()

    def of(self, block: Block) -> A:
        """Return the answer of a block."""
        raise NotImplementedError

    def added(self, one: A, other: A) -> A:
        """Return the answer of two parts of the rows; it may reuse the first."""
        raise NotImplementedError


def unit_of(total_weight: float, loss: Loss) -> float:
    """Return the power of two that weights in the search are multiples of."""
    most = max(total_weight, 1.0) * 2 * max(loss.largest, 1)
    return 2.0 ** min(math.frexp(most)[1] - _DIGITS, 0)


@dataclass(frozen=True, eq=False, slots=True)
class Setting:
    """What all blocks have in common.

    Attributes
    ----------
    loss : Loss
        Of the network.
    widths : tuple of int
        Neurons of each layer.
    intercept : bool
        Whether neurons have biases.
    of_class : ndarray of shape (n_classes,) or None
        Weights of the classes.
    unit : float
        Power of two of which weights are multiples in the search.
    center, scale, reach : ndarray of shape (n,)
        A typical value of each input, the length of a step along it, and its largest absolute value in all rows.
    """

    loss: Loss
    widths: tuple[int, ...]
    intercept: bool
    of_class: Floats | None
    unit: float
    center: Floats
    scale: Floats
    reach: Floats

    @property
    def inputs(self) -> tuple[int, ...]:
        """Inputs of each layer."""
        return (len(self.center), *self.widths[:-1])

    def state(self, block: Block, weights: Weights) -> kernels.State:
        """Return the state of a network on a block, evaluated but for its loss."""
        m, n_classes = len(block.codes), self.loss.n_classes
        weight = block.weights(self.of_class)
        if block.count is not None:
            weight = block.count if weight is None else weight * block.count
        if weight is not None:
            weight = np.rint(weight / self.unit) * self.unit
        X = block.X
        if X.dtype == np.float32 and weight is not None and not np.array_equal(weight.astype(np.float32), weight):
            X = X.astype(np.float64)
        of_labels = np.zeros((m, n_classes), dtype=X.dtype)
        of_labels[np.arange(m), block.codes] = 1.0 if weight is None else weight
        costs = np.ascontiguousarray(self.loss.label_costs(of_labels))
        state = kernels.new_state(
            X, costs, self.center, self.scale, self.reach, self.widths, self.loss.head == "argmax", 0, self.intercept, 1
        )
        state.W[:], state.b[:] = weights.W, weights.b
        return state


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """All weights and biases of a network, as in `bdnn.search.kernels.State`."""

    W: Floats
    b: Floats

    @staticmethod
    def of(network: Network) -> Weights:
        """Return those of a network."""
        layers = [(np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)) for W, b in network.layers]
        return Weights(np.concatenate([W.ravel() for W, _ in layers]), np.concatenate([b for _, b in layers]))

    def changed(self, change: Change) -> Weights:
        """Return them after a change."""
        W, b = self.W.copy(), self.b.copy()
        W[change.place : change.place + len(change.w)] = change.w
        b[change.neuron] = change.b
        return Weights(W, b)


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """New weights and bias of a neuron, whose weights begin at `place`."""

    neuron: int
    place: int
    w: Floats
    b: float


@dataclass(frozen=True, eq=False, slots=True)
class Evaluation(Task[Floats]):
    """Losses of a network, and after each of several changes, one after the other; of shape (1 + changes,)."""

    setting: Setting
    weights: Weights
    changes: tuple[Change, ...] = ()

    def of(self, block: Block) -> Floats:
        """Return the losses on a block."""
        state = self.setting.state(block, self.weights)
        totals = [kernels.improve_neuron(state, -1, 0, 0.0, 1)]
        for change in self.changes:
            state.W[change.place : change.place + len(change.w)] = change.w
            state.b[change.neuron] = change.b
            totals.append(totals[-1] + kernels.improve_neuron(state, change.neuron, 0, 0.0, 1))
        return np.array(totals)

    def added(self, one: Floats, other: Floats) -> Floats:
        """Return the losses on both."""
        return one + other


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """Lines of a neuron.

    Attributes
    ----------
    neuron : int
        Through all layers.
    directions : ndarray of shape (k, n + 1)
        Changes of weights and, last, of the bias.
    axes : ndarray of shape (k, 3)
        Scale, low end and buckets per unit of ``u = t / (scale + abs(t))``.
    count : int
        Buckets of each.
    """

    neuron: int
    directions: Floats
    axes: Floats
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class Sums:
    """What `Buckets` finds: the loss, and for each set of lines the objective at t = -inf less that at 0, and jumps."""

    loss: float
    before: list[Floats]
    jumps: list[Floats]


@dataclass(frozen=True, eq=False, slots=True)
class Buckets(Task[Sums]):
    """Sums of the jumps in the buckets of lines of several neurons."""

    setting: Setting
    weights: Weights
    lines: tuple[Lines, ...]

    def of(self, block: Block) -> Sums:
        """Return the sums of a block."""
        state = self.setting.state(block, self.weights)
        loss = kernels.improve_neuron(state, -1, 0, 0.0, 1)
        found = Sums(loss, [], [])
        for each in self.lines:
            before, jumps = np.zeros(len(each.axes)), np.zeros((len(each.axes), 2 * each.count))
            kernels.line_sums(state, each.neuron, each.directions, each.axes, before, jumps)
            found.before.append(before)
            found.jumps.append(jumps)
        return found

    def added(self, one: Sums, other: Sums) -> Sums:
        """Return the sums of both."""
        for mine, more in ((one.before, other.before), (one.jumps, other.jumps)):
            for a, b in zip(mine, more, strict=True):
                a += b
        return Sums(one.loss + other.loss, one.before, one.jumps)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Breakpoints, ascending, and the positive and negative jumps at each; `t` is None if there were too many."""

    t: Floats | None
    up: Floats
    down: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Breakpoints(Task[list[Found]]):
    """The breakpoints in the wanted buckets of single lines."""

    setting: Setting
    weights: Weights
    lines: tuple[Lines, ...]
    wanted: tuple[Array, ...]
    most: int = field(default=MOST_BREAKPOINTS)

    def of(self, block: Block) -> list[Found]:
        """Return those of a block."""
        state = self.setting.state(block, self.weights)
        kernels.improve_neuron(state, -1, 0, 0.0, 1)
        return [
            Found(*kernels.line_breakpoints(state, each.neuron, each.directions[0], each.axes[0], wanted))
            for each, wanted in zip(self.lines, self.wanted, strict=True)
        ]

    def added(self, one: list[Found], other: list[Found]) -> list[Found]:
        """Return those of both, with what happens at the same place added up."""
        return [self._merged(a, b) for a, b in zip(one, other, strict=True)]

    def _merged(self, one: Found, other: Found) -> Found:
        nothing = np.zeros(0)
        if one.t is None or other.t is None:
            return Found(None, nothing, nothing)
        t, place = np.unique(np.concatenate([one.t, other.t]), return_inverse=True)
        if len(t) > self.most:
            return Found(None, nothing, nothing)
        up = np.bincount(place, np.concatenate([one.up, other.up]), len(t)).astype(np.float64)
        down = np.bincount(place, np.concatenate([one.down, other.down]), len(t)).astype(np.float64)
        return Found(t, up, down)


@dataclass(frozen=True, eq=False, slots=True)
class AuditSums:
    """Parts of an audit.

    Attributes
    ----------
    terms : list of float
        Numbers whose exact sum is the loss.
    n_wrong, n_rational : int
        As in `bdnn.problem.audit.Audit`.
    confusion : ndarray of shape (n_classes, n_classes)
        Rows by label and predicted class.
    """

    terms: list[float]
    n_wrong: int
    n_rational: int
    confusion: Indices


@dataclass(frozen=True, eq=False, slots=True)
class Audited(Task[AuditSums]):
    """The loss of a network with exact signs and exact sums."""

    network: Network
    of_class: Floats | None

    def of(self, block: Block) -> AuditSums:
        """Return the sums of a block."""
        network, codes = self.network, np.asarray(block.codes, dtype=np.intp)
        n, m = network.loss.n_classes, len(codes)
        losses, index = np.empty(m, dtype=np.intp), np.empty(m, dtype=np.intp)
        simple, rational = network.loss.one_per_point and n == 2, 0
        for start in range(0, m, _AUDITED_AT_ONCE):
            piece = slice(start, start + _AUDITED_AT_ONCE)
            X = np.ascontiguousarray(block.X[:, piece].T, dtype=np.float64)
            for rows, found, more in network.losses_by_block(X, own := codes[piece]):
                losses[piece][rows] = found
                rational += more
            # of two classes a wrong answer says which it was
            index[piece] = np.where(losses[piece] > 0, 1 - own, own) if simple else network.predict_index(X)
        counts = np.bincount(codes * n + index, block.count, n * n)
        confusion = np.rint(counts).astype(np.int64).reshape(n, n)
        weight = block.weights(self.of_class)
        weight = np.ones(m) if weight is None else weight
        if block.count is not None:
            weight = weight * block.count  # only rows without weights of their own are merged: the product is exact
        terms = exact_parts(weighted_terms(weight, losses))
        wrong = int(confusion.sum() - np.trace(confusion))
        return AuditSums(terms, wrong, rational, confusion)

    def added(self, one: AuditSums, other: AuditSums) -> AuditSums:
        """Return the sums of both."""
        terms = exact_parts([*one.terms, *other.terms])
        wrong, rational = one.n_wrong + other.n_wrong, one.n_rational + other.n_rational
        return AuditSums(terms, wrong, rational, one.confusion + other.confusion)


def exact_parts(terms: Iterable[float]) -> list[float]:
    """Return a few numbers with the exact sum of many: the rounded sum, what that leaves, and so on.

    Examples
    --------
    >>> exact_parts([1e16, 1.0, 1e-3])
    [1.0000000000000002e+16, -0.999, -8.673617379884035e-19]
    """
    rest, parts = list(terms), []
    while rest and (part := math.fsum(rest)):
        parts.append(part)
        rest.append(-part)
    return parts


@dataclass(frozen=True, eq=False, slots=True)
class Irreducible(Task[float]):
    """Loss that no classifier avoids, as equal rows of one block have different labels; a lower bound for all rows."""

    setting: Setting

    def of(self, block: Block) -> float:
        """Return that of a block."""
        weight = block.weights(self.setting.of_class)
        weight = np.ones(len(block.codes)) if weight is None else weight
        if block.count is not None:
            weight = weight * block.count
        first, index = np.unique(block.X.T, axis=0, return_index=True, return_inverse=True)[1:]
        if len(first) == len(index):
            return 0.0
        n = self.setting.loss.n_classes
        totals = np.bincount(index.ravel() * n + block.codes, weight, len(first) * n).astype(np.float64)
        return self.setting.loss.irreducible(totals.reshape(len(first), n))

    def added(self, one: float, other: float) -> float:
        """Return the sum."""
        return one + other


def places_of(setting: Setting) -> Sequence[tuple[int, int]]:
    """Return where the weights of each neuron begin, and how many there are."""
    found, at = [], 0
    for width, inputs in zip(setting.widths, setting.inputs, strict=True):
        for _ in range(width):
            found.append((at, inputs))
            at += inputs
    return found
