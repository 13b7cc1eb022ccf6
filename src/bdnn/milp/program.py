"""A mixed-integer linear program as plain arrays, and a builder that adds whole blocks at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from bdnn.linear_programs import quiet_highs

if TYPE_CHECKING:
    import highspy

    from bdnn.types import Bools, Floats

Index = NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class Indicators:
    """Rows that hold only for one value of a binary variable.

    Row r reads: if ``x[binary[r]] = 1`` then ``rows[r] · x >= lower_on[r]``, and if it is 0 then
    ``rows[r] · x <= upper_off[r]``; an infinite side is absent.

    Attributes
    ----------
    rows : csr_matrix of shape (r, n)
        Left-hand sides; the binary does not occur in its own row.
    binary : ndarray of shape (r,)
        Column of each row's binary.
    lower_on, upper_off : ndarray of shape (r,)
        Right-hand sides; -inf or inf where absent.
    big_m : ndarray of shape (r,)
        Valid M: every point within the column bounds has ``rows · x`` in ``[lower_on - M, upper_off + M]``.
    """

    rows: sp.csr_matrix
    binary: Index
    lower_on: Floats
    upper_off: Floats
    big_m: Floats

    def __len__(self) -> int:
        return len(self.binary)


class Cone(NamedTuple):
    """The constraint ``x[bound] >= ‖coefficients * x[columns]‖₂``, with x[bound] >= 0."""

    bound: int
    columns: Index
    coefficients: Floats

    def excess(self, x: Floats) -> float:
        """Return by how much x violates the cone; negative inside it."""
        return float(np.linalg.norm(self.coefficients * x[self.columns]) - x[self.bound])


@dataclass(frozen=True, eq=False, slots=True)
class Milp:
    """Minimize ``cost · x + quadratic · x² + offset`` subject to rows, column bounds, integrality and indicator rows.

    Attributes
    ----------
    cost, lower, upper : ndarray of shape (n,)
        Objective and column bounds.
    integer : ndarray of shape (n,), bool
        Which columns are integers.
    implied : ndarray of shape (n,), bool
        Which further columns are integers in every solution, without being declared so.
    rows : csr_matrix of shape (r, n)
        Ordinary rows, with `row_lower` <= rows · x <= `row_upper`.
    indicators : Indicators
        Conditional rows.
    offset : float
        Constant of the objective.
    cones : tuple of Cone
        Second-order cones.
    quadratic : ndarray of shape (n,) or None
        Non-negative coefficients of the squares in the objective; None for a linear one.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    integer: Bools
    implied: Bools
    rows: sp.csr_matrix
    row_lower: Floats
    row_upper: Floats
    indicators: Indicators
    offset: float = 0.0
    quadratic: Floats | None = None
    cones: tuple[Cone, ...] = ()

    @property
    def n_columns(self) -> int:
        """Number of variables."""
        return len(self.cost)

    def objective(self, x: Floats) -> float:
        """Return the objective at x."""
        squares = 0.0 if self.quadratic is None else self.quadratic @ (x * x)
        return float(self.cost @ x + squares + self.offset)

    def violation(self, x: Floats) -> float:
        """Return the largest violation of any bound, row, indicator row or integrality at x, of shape (n,)."""
        value, cond = self.rows @ x, self.indicators
        conditional = cond.rows @ x
        on = x[cond.binary] > 0.5
        parts = [
            self.lower - x,
            x - self.upper,
            np.abs(x - np.rint(x))[self.integer],
            self.row_lower - value,
            value - self.row_upper,
            (cond.lower_on - conditional)[on],
            (conditional - cond.upper_off)[~on],
            np.array([cone.excess(x) for cone in self.cones]),
        ]
        # the result must be NaN if x holds NaN, not a maximum that skips it
        return float(np.max([0.0, *(part.max() for part in parts if part.size)]))

    def with_big_m(self) -> tuple[sp.csr_matrix, Floats, Floats]:
        """Return (rows, lower, upper) with each indicator row as one big-M row.

        With the same M for both sides, ``a >= L - M (1 - u)`` and ``a <= U + M u`` have the same left-hand side:
        ``L - M <= a - M u <= U``.
        """
        cond = self.indicators
        if not len(cond):
            return self.rows, self.row_lower, self.row_upper
        count = len(cond)
        switch = sp.csr_matrix((-cond.big_m, cond.binary, np.arange(count + 1, dtype=np.int32)), shape=cond.rows.shape)
        rows = sp.vstack([self.rows, cond.rows + switch], format="csr")
        lower = np.concatenate([self.row_lower, cond.lower_on - cond.big_m])
        return rows, lower, np.concatenate([self.row_upper, cond.upper_off])

    def with_rows(self, rows: sp.csr_matrix, lower: Floats) -> Milp:
        """Return the program with further rows whose values must be at least `lower`."""
        return replace(
            self,
            rows=sp.vstack([self.rows, rows], format="csr"),
            row_lower=np.concatenate([self.row_lower, lower]),
            row_upper=np.concatenate([self.row_upper, np.full(len(lower), np.inf)]),
        )

    def to_highs(self) -> highspy.Highs:
        """Return a `highspy.Highs` that holds this program, with big-M rows and output switched off."""
        import highspy

        rows, lower, upper = self.with_big_m()
        highs = quiet_highs()
        status = highs.passModel(
            self.n_columns,
            rows.shape[0],
            rows.nnz,
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMinimize),
            self.offset,
            self.cost,
            self.lower,
            self.upper,
            lower,
            upper,
            rows.indptr.astype(np.int32, copy=False),
            rows.indices.astype(np.int32, copy=False),
            rows.data,
            self.integer.astype(np.int32),
        )
        if status == highspy.HighsStatus.kError:
            raise ValueError("HiGHS does not accept this program")
        return highs

    def write_mps(self, path: str | Path) -> None:
        """Write the program, with big-M rows, to an MPS file (``.mps``); raise OSError if it cannot be written."""
        import highspy

        if self.to_highs().writeModel(str(path)) == highspy.HighsStatus.kError:
            raise OSError(f"HiGHS cannot write {path}")


def first_tangents(milp: Milp) -> tuple[sp.csr_matrix, Floats]:
    """Return rows that every cone implies: its bound is at least each entry, with either sign, and their mean norm."""
    gradients = []
    for cone in milp.cones:
        n = len(cone.columns)
        for j in range(n):
            for sign in (1.0, -1.0):
                gradients.append((cone, sign * cone.coefficients * (np.arange(n) == j)))
        for sign in (1.0, -1.0):
            gradients.append((cone, sign * cone.coefficients / math.sqrt(n)))
    return _tangent_rows(milp, gradients)


def tangents(milp: Milp, x: Floats) -> tuple[sp.csr_matrix, Floats]:
    """Return the tangent rows of the cones that x violates, at x (J. E. Kelley, doi:10.1137/0108053)."""
    gradients = []
    for cone in milp.cones:
        if cone.excess(x) > 0:
            point = cone.coefficients * x[cone.columns]
            gradients.append((cone, cone.coefficients * point / np.linalg.norm(point)))
    return _tangent_rows(milp, gradients)


def _tangent_rows(milp: Milp, gradients: list[tuple[Cone, Floats]]) -> tuple[sp.csr_matrix, Floats]:
    rows = sp.lil_matrix((len(gradients), milp.n_columns))
    for r, (cone, gradient) in enumerate(gradients):
        rows[r, cone.columns] = -gradient
        rows[r, cone.bound] = 1.0
    return rows.tocsr(), np.zeros(len(gradients))


class MilpBuilder:
    """Collects variables and rows in blocks; `build` joins them once."""

    def __init__(self) -> None:
        self._columns: list[tuple[Floats, ...]] = []
        self._n = 0
        self._blocks: list[tuple[Any, ...]] = []
        self._conditional: list[tuple[Any, ...]] = []
        self._cones: list[Cone] = []
        self._quadratic: list[tuple[Index, Floats]] = []
        self.offset = 0.0

    def variables(
        self,
        shape: tuple[int, ...],
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        cost: ArrayLike = 0.0,
        integer: bool = False,
        implied: bool = False,
    ) -> Index:
        """Add a block of variables and return their column numbers in an array of that shape."""
        values = (lower, upper, cost, float(integer), float(implied))
        columns = tuple(np.broadcast_to(np.asarray(a, dtype=float), shape).ravel() for a in values)
        self._columns.append(columns)
        index = np.arange(self._n, self._n + len(columns[0]), dtype=np.int32).reshape(shape)
        self._n += index.size
        return index

    def rows(self, columns: Index, coefficients: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> None:
        """Add rows ``lower <= Σ_k coefficients[., k] x[columns[., k]] <= upper``; `columns` has shape (r, k)."""
        self._blocks.append((*_dense_rows(columns, coefficients), *_sides(len(columns), lower, upper)))

    def indicators(
        self,
        block: tuple[Index, Floats, Index],
        binary: Index,
        lower_on: ArrayLike,
        upper_off: ArrayLike,
        big_m: ArrayLike,
    ) -> None:
        """Add conditional rows whose left-hand sides are the CSR arrays (indptr, data, indices) in `block`."""
        indptr, data, indices = block
        sides = _sides(len(binary), lower_on, upper_off)
        big = np.broadcast_to(np.asarray(big_m, dtype=float), len(binary))
        self._conditional.append((indptr, data, indices, *sides, binary, big))

    def cone(self, bound: int, columns: Index, coefficients: Floats) -> None:
        """Add the cone ``x[bound] >= ‖coefficients * x[columns]‖₂``."""
        self._cones.append(Cone(bound, columns.copy(), np.asarray(coefficients, dtype=float)))

    def squares(self, columns: Index, coefficients: ArrayLike) -> None:
        """Add ``Σ coefficients · x[columns]²`` to the objective; the coefficients must not be negative."""
        flat = columns.ravel()
        self._quadratic.append((flat, np.broadcast_to(np.asarray(coefficients, dtype=float), flat.shape)))

    def build(self) -> Milp:
        """Return the program."""
        lower, upper, cost, integer, implied = (
            np.concatenate([c[k] for c in self._columns]) if self._columns else np.zeros(0) for k in range(5)
        )
        quadratic = np.zeros(self._n)
        for columns, coefficients in self._quadratic:
            np.add.at(quadratic, columns, coefficients)
        row_lower, row_upper = (_joined([b[k] for b in self._blocks]) for k in (3, 4))
        on, off, big = (_joined([b[k] for b in self._conditional]) for k in (3, 4, 6))
        binary = np.concatenate([b[5] for b in self._conditional] or [np.zeros(0, dtype=np.int32)]).astype(np.int32)
        rows = self._matrix(self._blocks)
        conditional = self._matrix(self._conditional)
        indicators = Indicators(conditional, binary, on, off, big)
        return Milp(
            cost,
            lower,
            upper,
            integer > 0,
            implied > 0,
            rows,
            row_lower,
            row_upper,
            indicators,
            self.offset,
            quadratic if self._quadratic else None,
            tuple(self._cones),
        )

    def _matrix(self, blocks: list[tuple[Any, ...]]) -> sp.csr_matrix:
        starts = np.cumsum([0, *(len(b[1]) for b in blocks)])
        indptr = np.concatenate([[0], *(b[0][1:].astype(np.int64) + s for b, s in zip(blocks, starts, strict=False))])
        if len(blocks) == 1:
            data, indices = blocks[0][1], blocks[0][2]
        else:
            data = _joined([b[1] for b in blocks])
            indices = np.concatenate([b[2] for b in blocks] or [np.zeros(0, dtype=np.int32)])
        return sp.csr_matrix((data, indices, indptr.astype(np.int32)), shape=(len(indptr) - 1, self._n))


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)


def _sides(count: int, *sides: ArrayLike) -> list[Floats]:
    return [np.broadcast_to(np.asarray(side, dtype=float), count) for side in sides]


def _dense_rows(columns: Index, coefficients: ArrayLike) -> tuple[Index, Floats, Index]:
    """CSR arrays (indptr, data, indices) of rows that all have the same number of entries."""
    count, width = columns.shape
    data = np.ascontiguousarray(np.broadcast_to(np.asarray(coefficients, dtype=float), columns.shape)).ravel()
    return np.arange(0, count * width + 1, max(width, 1), dtype=np.int32), data, columns.ravel().astype(np.int32)
