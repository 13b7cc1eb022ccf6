"""Encoded rows in blocks: in memory as far as a limit allows, the rest in a temporary file that is read again.

The file is read, not mapped: mapped pages would count as memory of the process, and a block is needed once per pass.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import OutputError

if TYPE_CHECKING:
    from types import TracebackType

    from bdnn.types import Array, Floats

BLOCK_ROWS = 2**18
"""Rows of a block, at most: a block of twenty inputs takes tens of megabytes, and work per block does not show."""

# types that a column is tried in, the smallest first; numbers are exact in the one that is taken
_WHOLE = (np.int8, np.int16, np.int32)
_EXACT_SINGLE = 2**24  # integers up to here are exact in single precision


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Some rows, as the search wants them.

    Attributes
    ----------
    X : ndarray of shape (n, m), float32 or float64
        Inputs, by input.
    codes : ndarray of shape (m,)
        Index of the class of each row.
    weight : ndarray of shape (m,) or None
        Weights of the rows; None if all are 1.
    count : ndarray of shape (m,) or None
        How many equal rows of the same label each stands for; None if all are 1.
    """

    X: Array
    codes: Array
    weight: Floats | None = None
    count: Floats | None = None

    @property
    def n_rows(self) -> int:
        """How many rows it stands for."""
        return len(self.codes) if self.count is None else int(self.count.sum())

    def weights(self, of_class: Floats | None) -> Floats | None:
        """Return the weight in the loss of one of the rows that each stands for; None if all are 1."""
        if of_class is None:
            return self.weight
        own = of_class[self.codes]
        return own if self.weight is None else own * self.weight


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where the arrays of a block are, and their types."""

    types: tuple[str, ...]
    n_inputs: int
    m: int
    single: bool
    weighted: bool
    counted: bool
    place: int
    memory: bytes | None

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return self.m * sum(np.dtype(name).itemsize for name in self.types)


def packed(column: Array) -> Array:
    """Return a column in the smallest type that holds all of its numbers exactly."""
    if not len(column):
        return column.astype(np.int8)
    low, high = float(column.min()), float(column.max())
    if column.dtype != np.float32 or (low == np.rint(low) and high == np.rint(high)):
        for whole in _WHOLE:
            info = np.iinfo(whole)
            if info.min <= low and high <= info.max:
                if np.array_equal(tried := column.astype(whole), column):
                    return tried
                break
    if column.dtype == np.float32:
        return column
    with np.errstate(over="ignore", under="ignore"):
        single = column.astype(np.float32)
    return single if np.array_equal(single, column) else np.ascontiguousarray(column, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks in memory, which may be sent from one process to another."""

    stored: tuple[_Stored, ...]

    @property
    def n_rows(self) -> int:
        """How many rows they stand for."""
        return sum(block.n_rows for block in self)

    def __iter__(self) -> Iterator[Block]:
        for each in self.stored:
            assert each.memory is not None
            yield _block_of(each, each.memory)


def _block_of(stored: _Stored, content: bytes | bytearray) -> Block:
    """Return the block of some bytes."""
    arrays, start = [], 0
    for name in stored.types:
        arrays.append(np.frombuffer(content, dtype=name, count=stored.m, offset=start))
        start += np.dtype(name).itemsize * stored.m
    X = np.empty((stored.n_inputs, stored.m), dtype=np.float32 if stored.single else np.float64)
    for j in range(stored.n_inputs):
        X[j] = arrays[j]
    rest = arrays[stored.n_inputs + 1 :]
    # copies, as arrays in the middle of bytes are not aligned
    weight = rest[0].copy() if stored.weighted else None
    count = rest[-1].copy() if stored.counted else None
    return Block(X, arrays[stored.n_inputs], weight, count)


class Store:
    """Blocks of encoded rows.

    Parameters
    ----------
    memory : float
        Bytes that blocks may take in memory; further ones are written to a file.
    folder : path-like or None
        Where the temporary folder is made; None for that of the system.
    """

    def __init__(self, memory: float, folder: str | Path | None = None) -> None:
        self._memory, self._folder = memory, folder
        self._blocks: list[_Stored] = []
        self._place: Path | None = None
        self._file: FileIO | None = None
        self._written = 0
        self._reading = threading.Lock()
        self.n_rows = 0

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def n_points(self) -> int:
        """How many rows there are after merging."""
        return sum(stored.m for stored in self._blocks)

    @property
    def file_bytes(self) -> int:
        """Size of the temporary file."""
        return self._written

    def close(self) -> None:
        """Delete what was written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None
        self._blocks.clear()

    def append(
        self, columns: Sequence[Array], codes: Array, weight: Floats | None = None, count: Floats | None = None
    ) -> None:
        """Add a block of columns, in the smallest types that hold them.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        small = [packed(column) for column in columns]
        single = all(
            c.dtype != np.float64 and (c.dtype != np.int32 or not len(c) or np.abs(c).max() <= _EXACT_SINGLE)
            for c in small
        )
        arrays = [*small, codes.astype(np.uint16)]
        arrays += [each for each in (weight, count) if each is not None]
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        stored = _Stored(
            tuple(array.dtype.str for array in arrays), len(columns), len(codes), single, weight is not None,
            count is not None, self._written, None,
        )  # fmt: skip
        if len(content) <= self._memory:
            self._memory -= len(content)
            self._blocks.append(replace(stored, memory=content))
        else:
            self._memory = 0.0  # smaller blocks that come later are written as well, so that all is read in order
            self._write(content)
            self._blocks.append(stored)
        self.n_rows += len(codes) if count is None else int(count.sum())

    def _write(self, content: bytes) -> None:
        try:
            if self._file is None:
                self._place = Path(tempfile.mkdtemp(prefix="bdnn-rows-", dir=self._folder))
                self._file = FileIO(self._place / "blocks", "w+")
            self._file.seek(self._written)
            at = 0
            while at < len(content):
                at += self._file.write(content[at:]) or 0
        except OSError as error:
            place = self._place or self._folder or tempfile.gettempdir()
            raise OutputError(
                f"cannot write encoded rows to {place} ({error.strerror}): they take as much room as the data set; "
                f"give another folder by TMPDIR, or a larger memory limit"
            ) from error
        self._written += len(content)

    def block(self, number: int) -> Block:
        """Return a block."""
        stored = self._blocks[number]
        if stored.memory is not None:
            return _block_of(stored, stored.memory)
        assert self._file is not None
        content = bytearray(stored.size)
        with self._reading:
            self._file.seek(stored.place)
            at, view = 0, memoryview(content)
            while at < len(content) and (got := self._file.readinto(view[at:])):
                at += got
        return _block_of(stored, content)

    def frozen(self) -> Blocks:
        """Return blocks that are all in memory."""
        return Blocks(tuple(self._blocks))

    def __iter__(self) -> Iterator[Block]:
        for number in range(len(self._blocks)):
            yield self.block(number)
