"""From the columns of parts of the rows to blocks of encoded inputs, and what is known of all rows after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.arrays import runs
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.partitions.store import BLOCK_ROWS, Store, packed

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.types import Array, Bools, Floats, Indices


class RowsOfPart(Protocol):
    """Some rows in a row."""

    @property
    def first(self) -> int:
        """Number of the first one, through all rows."""

    @property
    def table(self) -> RawTable:
        """Columns of the inputs."""

    @property
    def codes(self) -> Indices | None:
        """Index of the class of each row, -1 where it has no label."""

    @property
    def weight(self) -> Floats | None:
        """Weights of the rows."""


@dataclass(slots=True)
class Facts:
    """What is known of all rows that were prepared.

    Attributes
    ----------
    reach : ndarray of shape (n_inputs,)
        Largest absolute value of each input.
    of_class : ndarray of shape (n_classes,)
        Total weight of the training rows of each class, before the weights of classes.
    n_training, n_held_out, n_unlabeled : int
        Rows.
    missing, unseen : dict of str to int
        Missing values, and rows with levels that the encoder does not know, by column.
    """

    reach: Floats
    of_class: Floats
    n_training: int = 0
    n_held_out: int = 0
    n_unlabeled: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)

    def add(self, other: Facts) -> None:
        """Add what is known of other rows."""
        self.reach, self.of_class = np.maximum(self.reach, other.reach), self.of_class + other.of_class
        self.n_training += other.n_training
        self.n_held_out += other.n_held_out
        self.n_unlabeled += other.n_unlabeled
        self.missing.update(other.missing)
        self.unseen.update(other.unseen)


def inputs_of(encoder: Encoder, table: RawTable) -> list[Array]:
    """Return the inputs that matched columns become, each as an array of its own."""
    inputs: list[Array] = []
    for code, column in zip(encoder.columns, table.columns, strict=True):
        if code.n_inputs:
            out = np.empty((len(table), code.n_inputs))
            code.write(column, code.group_of(column.levels), out)
            inputs += list(np.ascontiguousarray(out.T))
    return inputs


def as_encoded(encoder: Encoder, table: RawTable) -> RawTable:
    """Return the columns of an encoder: those that it does not use are taken to be missing."""
    nothing = np.full(len(table), np.nan)
    columns = {column.name: column for column in table.columns}
    return RawTable(tuple(columns.get(name) or RawColumn(name, "numeric", nothing) for name in encoder.names))


def with_rare(encoder: Encoder, levels: Mapping[str, Iterable[str]]) -> Encoder:
    """Return an encoder whose rare levels include those that it does not know, where rare ones have a bit."""
    columns = []
    for code in encoder.columns:
        known = {*code.levels, *code.rare}
        new = tuple(sorted(set(levels.get(code.name, ())) - known)) if code.rare and code.used else ()
        columns.append(replace(code, rare=(*code.rare, *new)) if new else code)
    return replace(encoder, columns=tuple(columns))


def prepare(
    parts: Iterable[RowsOfPart],
    encoder: Encoder,
    facts: Facts,
    training: Store,
    held_out: Store | None = None,
    holds_out: Callable[[int, int], Bools] | None = None,
    merges: bool = False,
    most: int = BLOCK_ROWS,
) -> None:
    """Encode parts of the rows into blocks.

    Parameters
    ----------
    parts : iterable of RowsOfPart
        In the order of their rows.
    encoder : Encoder
        Of the columns.
    facts : Facts
        Is brought up to date after each part.
    training, held_out : Store
        Receive the rows; rows without a label go nowhere.
    holds_out : callable or None
        Returns which of some rows in a row are held out, given the first and how many.
    merges : bool
        Whether equal rows of one label become one, in each block of rows that have no weights.
    most : int
        Rows of a block.

    Raises
    ------
    InputError
        If a column cannot be read as its kind, or a value is missing that has no replacement.
    OutputError
        If there is no room for the rows.
    """
    for part in parts:
        table = encoder.matched(as_encoded(encoder, part.table))
        encoder.check_gaps(table)
        used = [column for column, code in zip(table.columns, encoder.columns, strict=True) if code.used]
        facts.missing.update({c.name: int(c.missing.sum()) for c in used if c.missing.any()})
        facts.unseen.update(encoder.unseen(table))
        assert part.codes is not None
        for start in range(0, len(part.codes), most):
            rows = slice(start, start + most)
            weight = None if part.weight is None else part.weight[rows]
            _encode(
                encoder, table.take(rows), part.codes[rows], weight, part.first + start, facts, training, held_out,
                holds_out, merges,
            )  # fmt: skip


def _encode(
    encoder: Encoder,
    table: RawTable,
    codes: Indices,
    weight: Floats | None,
    first: int,
    facts: Facts,
    training: Store,
    held_out: Store | None,
    holds_out: Callable[[int, int], Bools] | None,
    merges: bool,
) -> None:
    """Encode some rows as a block of the training and one of what is held out; see `prepare`."""
    inputs = inputs_of(encoder, table)
    facts.reach = np.maximum(facts.reach, [_largest(column) for column in inputs])
    small = [packed(column) for column in inputs]
    del inputs
    labeled = codes >= 0
    out = np.zeros(len(codes), dtype=bool) if holds_out is None else holds_out(first, len(codes))
    facts.n_unlabeled += int(np.count_nonzero(~labeled))
    for store, rows in ((training, labeled & ~out), (held_out, labeled & out)):
        if store is None or not rows.any():
            continue
        some, own = [column[rows] for column in small], codes[rows]
        weights = None if weight is None else weight[rows]
        if merges and weights is None:
            store.append(*_merged(some, own))
        else:
            store.append(some, own, weights)
        if store is training:
            facts.of_class += np.bincount(own, weights, len(facts.of_class))
            facts.n_training += len(own)
        else:
            facts.n_held_out += len(own)


def _largest(column: Array) -> float:
    """Return the largest absolute value, which must be finite."""
    largest = max(-float(column.min(initial=0.0)), float(column.max(initial=0.0)))
    if not largest < np.inf:
        raise InputError("a column holds an infinite number; accepted are finite numbers, and missing values")
    return largest


def _merged(inputs: list[Array], codes: Indices) -> tuple[list[Array], Indices, None, Floats]:
    """Return different rows and labels, and how many rows each stands for."""
    whole = np.column_stack([*inputs, codes]).astype(np.float64)
    whole += 0.0  # no negative zeros
    order, differs = runs(whole, whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1]))).ravel())
    first = order[differs]
    counts = np.diff(np.flatnonzero(differs), append=len(order))
    sequence = np.argsort(first)
    first = first[sequence]
    return [column[first] for column in inputs], codes[first], None, counts[sequence].astype(np.float64)
