"""The rows of a covering program: all that were found, those the linear program holds, and exact bounds from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdnn.activation import covering
from bdnn.activation.covering import Dictionary
from bdnn.compilation import compiled

_jit = compiled(nogil=True, error_model="numpy", boundscheck=False)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SCALE_BITS = 30
_SUM_BITS = 46
_LARGEST = 2.0**62
_SMALL_COST = 1000
_FRESH_PIVOTS = 2000
_CUTOFF = 1e-5
_GONE = 1 << 40


@_jit
def _violated(
    starts: Any, columns: Any, values: Any, rhs: Any, used: Any, n_rows: int, x: Any, least: float, out: Any, gaps: Any
) -> int:
    count = 0
    for r in range(n_rows):
        if used[r] >= 0:
            continue
        total = -rhs[r]
        for k in range(starts[r], starts[r + 1]):
            total += values[k] * x[columns[k]]
        if total < -least and count < len(out):
            out[count], gaps[count] = r, total
            count += 1
    return count


@_jit
def _bound(
    starts: Any,
    columns: Any,
    values: Any,
    rhs: Any,
    labels: Any,
    L: Any,
    cost: Any,
    scale: int,
    lower: Any,
    upper: Any,
    r: Any,
) -> tuple[int, float]:
    """Write exact reduced costs times `scale` to r; return the bound times `scale` and the sum of all magnitudes."""
    size, total = 0.0, 0
    for j in range(len(r)):
        r[j] = scale * cost[j]
        size += abs(float(scale) * float(cost[j]))
    for k in range(len(labels)):
        row, multiplier = labels[k], L[k]
        total += multiplier * rhs[row]
        size += abs(float(multiplier) * float(rhs[row]))
        for e in range(starts[row], starts[row + 1]):
            r[columns[e]] -= multiplier * values[e]
            size += abs(float(multiplier) * float(values[e]))
    for j in range(len(r)):
        total += min(r[j] * lower[j], r[j] * upper[j])
    return total, size


@_jit
def _enter(D: Dictionary, labels: Any, slots: Any, starts: Any, columns: Any, values: Any, rhs: Any) -> None:
    for k in range(len(labels)):
        part = slice(starts[labels[k]], starts[labels[k] + 1])
        covering.add_row(D, slots[k], columns[part], values[part].astype(np.float64), float(rhs[labels[k]]))


class Rows:
    """Rows a·x >= h with integer coefficients, of a program with columns between 0 and 1.

    Parameters
    ----------
    cost : ndarray of shape (v,), int64
        Objective.
    capacity : int
        Rows that the linear program may hold at once.

    Attributes
    ----------
    D : Dictionary
        The linear program.
    n_rows : int
        Rows in all; they are labelled from 0.
    scale : int
        Multipliers are rounded to multiples of its inverse.
    """

    def __init__(self, cost: Integers, capacity: int) -> None:
        self.cost, self.v = cost.astype(np.int64), len(cost)
        # programs are solved in units of a typical cost
        self._norm = 1.0 if cost.max(initial=0) <= _SMALL_COST else float(cost[cost > 0].mean())
        self.D: Dictionary = covering.dictionary(self.scaled_cost, capacity, capacity)
        self.n_rows = 0
        self.scale = 1 << max(min(_SCALE_BITS, _SUM_BITS - int(self.cost.sum()).bit_length()), 0)
        self._starts = np.zeros(1025, dtype=np.int64)
        self._columns, self._values = np.zeros(16384, dtype=np.int64), np.zeros(16384, dtype=np.int64)
        self._rhs, self.slot = np.zeros(1024, dtype=np.int64), np.full(1024, -1, dtype=np.int64)
        self._label = np.full(capacity, -1, dtype=np.int64)
        self._free = list(range(capacity - 1, -1, -1))
        self._dropped = np.zeros(capacity, dtype=np.int64)
        self._multipliers = np.zeros(capacity)
        self._known: dict[bytes, int] = {}
        self._r = np.zeros(self.v, dtype=np.int64)

    def add(self, columns: Integers, values: Integers, rhs: int) -> int:
        """Store a row, without entering it into the linear program; return its label, -1 if it is there already."""
        key = columns.tobytes() + b"|" + values.tobytes() + rhs.to_bytes(8, "little", signed=True)
        if key in self._known:
            return -1
        label, end = self.n_rows, int(self._starts[self.n_rows])
        self._known[key] = label
        if label == len(self._rhs):
            self._starts = np.concatenate([self._starts, np.zeros(label, dtype=np.int64)])
            self._rhs = np.concatenate([self._rhs, np.zeros(label, dtype=np.int64)])
            self.slot = np.concatenate([self.slot, np.full(label, -1, dtype=np.int64)])
        while end + len(columns) > len(self._columns):
            self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)])
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._columns[end : end + len(columns)], self._values[end : end + len(columns)] = columns, values
        self._rhs[label], self._starts[label + 1] = rhs, end + len(columns)
        self.n_rows += 1
        return label

    @property
    def scaled_cost(self) -> Floats:
        """The objective of the linear program."""
        return self.cost / self._norm

    def objective(self, D: Dictionary) -> float:
        """Return the objective that a linear program with these costs has reached."""
        return float(D.state[covering.OBJECTIVE]) * self._norm

    def resolve(self, D: Dictionary, cutoff: float, most: int = 20000) -> int:
        """Solve a linear program with these costs after its bounds changed."""
        covering.settle(D)
        return int(covering.dual_simplex(D, cutoff / self._norm + _CUTOFF, most))

    def row(self, label: int) -> tuple[Integers, Integers, int]:
        """Return columns, values and right-hand side of a row."""
        part = slice(self._starts[label], self._starts[label + 1])
        return self._columns[part], self._values[part], int(self._rhs[label])

    @property
    def room(self) -> int:
        """Rows that still fit into the linear program."""
        return len(self._free)

    def enter(self, labels: Integers) -> int:
        """Put rows into the linear program, as many as there is room for; return how many."""
        labels = labels[: len(self._free)]
        if not len(labels):
            return 0
        slots = np.array(self._free[-len(labels) :], dtype=np.int64)
        del self._free[-len(labels) :]
        self.slot[labels], self._label[slots] = slots, labels
        _enter(self.D, labels, slots, self._starts, self._columns, self._values, self._rhs)
        return len(labels)

    def gaps(self, labels: Integers, x: Floats) -> Floats:
        """Return by how much a point exceeds the right-hand side of each of some rows."""
        return np.array([float(a @ x[c]) - h for c, a, h in (self.row(label) for label in labels.tolist())])

    def drop(self, least: float = 1e-6) -> None:
        """Take rows out of the linear program that do not bind."""
        count = covering.drop_slack_rows(self.D, least, self._dropped)
        for slot in self._dropped[:count].tolist():
            self.slot[self._label[slot]] = -1
            self._label[slot] = -1
            self._free.append(slot)

    def violated(self, x: Floats, least: float = 1e-4, most: int = 60) -> Integers:
        """Return rows outside the linear program that a point violates, the worst first."""
        out, gaps = np.empty(self.n_rows, dtype=np.int64), np.empty(self.n_rows)
        count = _violated(
            self._starts, self._columns, self._values, self._rhs, self.slot, self.n_rows, x, least, out, gaps
        )  # fmt: skip
        found = out[:count]
        if count > most:
            return found[np.argpartition(gaps[:count], most - 1)[:most]]
        return found

    def solve(self, lower: Floats, upper: Floats, cutoff: float) -> int:
        """Solve the linear program within bounds on the columns."""
        D = self.D
        D.lower[: self.v], D.upper[: self.v] = lower, upper
        if D.state[covering.PIVOTS] > _FRESH_PIVOTS:
            self.rebuild()
        return self.resolve(D, cutoff)

    def rebuild(self) -> None:
        """Make the linear program's dictionary anew."""
        used = np.flatnonzero(self._label >= 0)
        size = int(used[-1]) + 1 if len(used) else 0
        starts, columns, values, rhs = np.zeros(size + 1, dtype=np.int64), [], [], np.zeros(size)
        for slot in range(size):
            if self._label[slot] >= 0:
                c, a, h = self.row(int(self._label[slot]))
                columns.append(c)
                values.append(a.astype(np.float64))
                rhs[slot] = h
                starts[slot + 1] = starts[slot] + len(c)
            else:
                starts[slot + 1] = starts[slot]
        entries, factors = [np.zeros(0, dtype=np.int64), *columns], [np.zeros(0), *values]
        covering.rebuild(self.D, used, starts, np.concatenate(entries), np.concatenate(factors), rhs)

    def prove(self, lower: Floats, upper: Floats, *, farkas: float = 0.0) -> tuple[int, Integers, Integers, Integers]:
        """Return an exact lower bound within a box, from the prices of the linear program, rounded.

        Parameters
        ----------
        lower, upper : ndarray of shape (v,)
            The box; integers.
        farkas : float, default=0
            If positive: the program was found infeasible, and its bound is to be about this.

        Returns
        -------
        total : int
            The bound times `scale`, exact.
        labels, multipliers : ndarray of shape (k,), int64
            The proof: rows and their prices times `scale`.
        reduced : ndarray of shape (v,), int64
            Reduced costs times `scale`: by so much the bound rises if the column leaves its better end.
        """
        covering.multipliers(self.D, farkas / self._norm, self._multipliers)
        scale = self.scale * self._norm
        slots = np.flatnonzero(self._multipliers > 0.25 / scale)
        labels = self._label[slots]
        L = np.rint(self._multipliers[slots] * scale).astype(np.int64)
        total, size = _bound(
            self._starts, self._columns, self._values, self._rhs, labels, L, self.cost, self.scale,
            lower.astype(np.int64), upper.astype(np.int64), self._r,
        )  # fmt: skip
        if size > _LARGEST:  # may have overflowed
            return -(2**62), labels, L, np.zeros_like(self._r)
        return int(total), labels, L, self._r

    def discard(self, labels: list[int]) -> None:
        """Take rows out for good: they turned out not to hold."""
        for label in labels:
            slot = int(self.slot[label])
            if 0 <= slot < _GONE:
                self._label[slot] = -1
                self._free.append(slot)
            self.slot[label] = _GONE
        self.rebuild()
