"""The rows of a covering program: all that were found, those the linear program holds, and exact bounds from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.tree import CutPool
from bdnn.branch_and_cut import linear_program as covering

if TYPE_CHECKING:
    from bdnn.branch_and_cut.linear_program import Dictionary
    from bdnn.types import Bits, Floats, Integers

GONE = 1 << 40
"""Slots from this on are of rows that are gone for good; the core numbers them so."""

# multipliers are rounded to this many bits, or fewer so that sums with all costs are exact in doubles and 64 bits
_SCALE_BITS, _SUM_BITS = 30, 46
# costs up to which a linear program is not scaled: its tolerances are absolute
_SMALL_COST = 1000
# pivots after which the inverse is computed anew, for its accuracy, and after which a linear program is given up
_FRESH_PIVOTS, _MAX_PIVOTS = 2000, 20000
# how far beyond the cutoff a linear program goes on, so that rounding does not end it before its bound is proven
_CUTOFF = 1e-5
# how much a row must be violated to be entered, how much slack it has when it does not bind, and rows entered at once
_VIOLATION, _SLACK, _MAX_ROWS = 1e-4, 1e-6, 60


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
    scale : int
        Multipliers are rounded to multiples of its inverse.
    proceed : callable or None
        Asked about every 10 ms while `bound` solves the linear program; if it says no, it ends as at a limit of pivots.
    """

    def __init__(self, cost: Integers, capacity: int) -> None:
        self.cost, self.v = cost.astype(np.int64), len(cost)
        # programs are solved in units of a typical cost
        self._norm = 1.0 if cost.max(initial=0) <= _SMALL_COST else float(cost[cost > 0].mean())
        self.D: Dictionary = covering.dictionary(self.scaled_cost, capacity, capacity)
        self._pool = CutPool(self.cost, capacity)
        self.proceed: Callable[[], bool] | None = None
        self.scale = 1 << max(min(_SCALE_BITS, _SUM_BITS - int(self.cost.sum()).bit_length()), 0)

    @property
    def n_rows(self) -> int:
        """Rows in all; they are labeled from 0."""
        return len(self._pool)

    @property
    def slot(self) -> Integers:
        """Of each row its label in the linear program, -1 if it is outside, at least ``2**40`` if it is gone."""
        return self._pool.slots

    def add(self, columns: Integers, values: Integers, rhs: int) -> int:
        """Store a row, without entering it into the linear program; return its label, -1 if it is there already."""
        return self._pool.add(columns, values, rhs)

    def add_set(self, members: Integers, columns: Integers, always: int) -> Integers:
        """Store the rows that not all requirements of a set are met, one for each neuron.

        Parameters
        ----------
        members : ndarray of shape (k,), int64
            The requirements.
        columns : ndarray of shape (m, d), int64
            Column that says whether a neuron need not meet a requirement.
        always : int
            Column that is always 1: rows with it ask for nothing. -1 if there is none.

        Returns
        -------
        ndarray of shape (d,), int64
            Labels; -1 for a row that is there already, -2 for one that asks for nothing.
        """
        return self._pool.add_set(members, columns, always)

    @property
    def scaled_cost(self) -> Floats:
        """The objective of the linear program."""
        return self.cost / self._norm

    def objective(self, D: Dictionary) -> float:
        """Return the objective that a linear program with these costs has reached."""
        return float(D.state[covering.OBJECTIVE]) * self._norm

    def resolve(self, D: Dictionary, cutoff: float, most: int = _MAX_PIVOTS) -> int:
        """Solve a linear program with these costs after its bounds changed."""
        covering.settle(D)
        return covering.dual_simplex(D, cutoff / self._norm + _CUTOFF, most)

    def bound(self, lower: Floats, upper: Floats, cutoff: float, farkas: float) -> tuple[int, int, Integers]:
        """Solve the linear program within bounds on the columns, and prove a lower bound.

        Parameters
        ----------
        lower, upper : ndarray of shape (v,)
            The box; integers.
        cutoff : float
            Stop as soon as the objective exceeds this.
        farkas : float
            What the bound is to be about if the program turns out to be infeasible.

        Returns
        -------
        status : int
            How the linear program ended; the program was made anew if it did not.
        total : int
            The bound times `scale`, exact, as `prove` returns it.
        unsure : ndarray of shape (k,), int64
            Rows that the bound rests on and that were not marked by `mark_sure`.
        """
        return self._pool.solve(
            self.D, lower, upper, cutoff / self._norm + _CUTOFF, _MAX_PIVOTS, _FRESH_PIVOTS, farkas, self._norm,
            self.scale, self.proceed,
        )  # fmt: skip

    def proof(self) -> tuple[Integers, Integers]:
        """Return the rows of the last bound, and their prices times `scale`."""
        return self._pool.proof()

    def mark_sure(self, labels: Integers) -> None:
        """Note that there is no doubt that some rows hold."""
        self._pool.mark_sure(labels)

    def fix(self, slack: int, node: tuple[Bits, Bits], box: tuple[Floats, Floats]) -> tuple[Integers, Integers] | None:
        """Fix columns whose other value costs more than `slack`, by the reduced costs of the last bound.

        Parameters
        ----------
        slack : int
            By how much the bound may rise, times `scale`.
        node, box : tuple of ndarray of shape (v,)
            Lower and upper bounds, changed in place: columns between 0 and 1 in `node` may be fixed, in both.

        Returns
        -------
        tuple of ndarray of int64, or None
            Columns that stay at 0, and at 1; None if there are none.
        """
        return self._pool.fix(slack, *node, *box)

    def enter_violated(self, x: Floats, least: float = _VIOLATION, most: int = _MAX_ROWS) -> int:
        """Put rows into the linear program that a point violates, at most some; return how many."""
        return self._pool.enter_violated(self.D, x, least, most)

    def row(self, label: int) -> tuple[Integers, Integers, int]:
        """Return columns, values and right-hand side of a row."""
        return self._pool.row(label)

    @property
    def room(self) -> int:
        """Rows that still fit into the linear program."""
        return self._pool.room

    def enter(self, labels: Integers) -> int:
        """Put rows into the linear program, as many as there is room for; return how many."""
        return self._pool.enter(self.D, labels)

    def gaps(self, labels: Integers, x: Floats) -> Floats:
        """Return by how much a point exceeds the right-hand side of each of some rows."""
        return self._pool.gaps(labels, x)

    def drop(self, least: float = _SLACK) -> None:
        """Take rows out of the linear program that do not bind."""
        self._pool.drop(self.D, least)

    def violated(self, x: Floats, least: float = _VIOLATION, most: int = _MAX_ROWS) -> Integers:
        """Return rows outside the linear program that a point violates, the worst if they are more than `most`."""
        return self._pool.violated(x, least, most)

    def solve(self, lower: Floats, upper: Floats, cutoff: float) -> int:
        """Solve the linear program within bounds on the columns."""
        D = self.D
        D.lower[: self.v], D.upper[: self.v] = lower, upper
        if D.state[covering.PIVOTS] > _FRESH_PIVOTS:
            self.rebuild()
        return self.resolve(D, cutoff)

    def rebuild(self) -> None:
        """Make the linear program anew of its rows, with the same basis."""
        self._pool.rebuild(self.D)

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
        return self._pool.bound(self.D, farkas, self._norm, self.scale, lower, upper)

    def discard(self, labels: list[int]) -> None:
        """Take rows out for good: they turned out not to hold."""
        self._pool.discard(self.D, np.array(labels, dtype=np.int64))
