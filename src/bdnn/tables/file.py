"""A file as the table of a query: as it is if the reader accepts it, else as a temporary copy in plain CSV."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bdnn.errors import InputError
from bdnn.labels import is_number
from bdnn.tables import database
from bdnn.tables.advice import cut
from bdnn.tables.database import Column
from bdnn.tables.dataset import DataSet, is_pattern, open_parquet
from bdnn.tables.layout import Layout, find_layout
from bdnn.tables.rows import rows
from bdnn.tables.source import NotInEncodingError, Source, open_source, temporary_file, unlimited_cells

if TYPE_CHECKING:
    from bdnn.tables.options import Reading

_DIRECT = ("none", "gzip", "zstd")  # the reader itself unpacks these
_SMALL = 2**23  # bytes of a file whose cells are kept: they take up to eight times as much


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file that can be queried.

    Attributes
    ----------
    name : str
        Its name in messages.
    table : str
        The table in a query.
    columns : tuple of Column
        Its columns.
    names : tuple of str
        Their names as written, empty for none.
    header : bool
        Whether the file names them.
    decimal : str
        Decimal sign.
    delimiter : str
        Between columns; empty for blanks and for Parquet files.
    notes : tuple of str
        What was assumed.
    lines : callable
        Returns the numbers of the lines of rows; of a Parquet file those of the rows.
    word : str
        What these numbers count: ``line`` or ``row``.
    totals : str
        The note on a last row that may hold totals; empty without one.
    small : bool
        Whether its cells take little memory.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    header: bool
    decimal: str
    delimiter: str
    notes: tuple[str, ...]
    lines: Callable[[Sequence[int]], list[int]]
    word: str = "line"
    totals: str = ""
    small: bool = False


@contextmanager
def table_file(
    path: str | os.PathLike[str] | DataSet,
    reading: Reading,
    expected: Sequence[str] = (),
    asked: Sequence[str] = (),
    *,
    copied: bool = False,
) -> Iterator[TableFile]:
    """Open a file; what is temporary is deleted at the end.

    Parameters
    ----------
    path : path-like or DataSet
        The file; ``-`` is standard input, and a folder or pattern a Parquet data set.
    reading : Reading
        The settings for reading that are given.
    expected : sequence of str
        Columns that a model needs.
    asked : sequence of str
        Columns that the user named.
    copied : bool
        Whether to read it row by row in any case, which finds the fault of a file that the reader refuses.

    Raises
    ------
    InputError
        If it is not a table.
    OSError
        If it cannot be read.
    """
    unlimited_cells()
    if isinstance(path, DataSet) or is_pattern(path):
        yield _data_set(path if isinstance(path, DataSet) else open_parquet(path))
        return
    source = open_source(path, reading.encoding)
    if source.parquet:
        yield _parquet(source)
        return
    with ExitStack() as stack:
        try:
            opened = _csv(source, reading, expected, asked, copied, stack)
        except NotInEncodingError:
            if reading.encoding is not None or not source.is_utf8:
                raise
            # the first bytes were UTF-8, but later ones are not
            opened = _csv(source.in_windows_1252(), reading, expected, asked, copied, stack)
        yield opened


def _data_set(data: DataSet) -> TableFile:
    return TableFile(
        data.name, database.parquet_table(*map(Path, data.files)), tuple(data.columns.values()), tuple(data.columns),
        True, ".", "", (), list, "row",
    )  # fmt: skip


def _parquet(source: Source) -> TableFile:
    try:
        columns = database.parquet_columns(source.path)
    except database.failures() as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{source.name} cannot be read as a table ({reason})") from None
    return TableFile(
        source.name, database.parquet_table(source.path), tuple(columns.values()), tuple(columns), True, ".", "", (),
        list, "row",
    )  # fmt: skip


def _csv(
    source: Source, reading: Reading, expected: Sequence[str], asked: Sequence[str], copied: bool, stack: ExitStack
) -> TableFile:
    layout = find_layout(
        source.name,
        source.sample,
        source.whole,
        delimiter=reading.delimiter,
        decimal=reading.decimal,
        header=reading.header,
        expected=expected,
        asked=asked,
    )
    notes = [*_notes(source), *layout.notes]
    width = len(layout.names)
    direct = layout.plain and layout.delimiter and source.is_utf8 and not source.zeros and source.packed in _DIRECT
    table = database.csv_table(source.path, source.packed, layout.delimiter, layout.start, width)
    plain = source.path if source.packed == "none" else None
    if copied or not direct:
        copy = stack.enter_context(temporary_file())
        longest = _copy_rows(source, layout, copy)
        table = database.csv_table(copy, "none", ",", 0, width, longest)
        plain = copy
    columns = tuple(Column(f"c{j}") for j in range(width))

    def lines(wanted: Sequence[int]) -> list[int]:
        return _lines(source, layout, wanted)

    return TableFile(
        source.name, table, columns, layout.names, layout.header, layout.decimal, layout.delimiter, tuple(notes), lines,
        totals=layout.totals, small=plain is not None and plain.stat().st_size <= _SMALL,
    )  # fmt: skip


def _notes(source: Source) -> Iterator[str]:
    spoken = {
        "utf-8-sig": "the text is UTF-8 with a byte-order mark",
        "cp1252": "the text is not UTF-8 and is read as Windows-1252 (--encoding)",
        "latin-1": "the text is not UTF-8 and is read as Latin-1 (--encoding)",
    }
    if source.encoding in spoken:
        yield spoken[source.encoding]
    elif source.encoding.startswith("utf-16"):
        yield "the text is UTF-16 (--encoding)"
    if source.zeros:
        yield "NUL characters are left out"


def _copy_rows(source: Source, layout: Layout, copy: Path) -> int:
    """Write the rows of a file as plain CSV and return the length of the longest, or say what is wrong with one."""
    width, n_rows, longest = len(layout.names), 0, 0
    with open(copy, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        write = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerow
        for cells, line in _rows(source, layout):
            if len(cells) != width:
                if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
                    cells = cells[:width]
                else:
                    raise _ragged(source, layout, cells, line)
            longest = max(longest, write(cells))
            n_rows += 1
    if not n_rows:
        raise InputError(f"{source.name} has a header but no rows")
    return longest


def _ragged(source: Source, layout: Layout, cells: list[str], line: int) -> InputError:
    width = len(layout.names)
    than = f"the header has {width}" if layout.header else f"other rows have {width}"
    filled = [cell.strip() for cell in cells if cell.strip()]
    advice = "write missing cells as empty ones"
    if len(cells) > width:
        sign = {"\t": "a tab", "": "blanks"}.get(layout.delimiter, repr(layout.delimiter))
        advice = f"put text that holds {sign} in double quotes, or give another --delimiter"
        if layout.header and len(cells) == width + 1 and line == layout.start + 1:
            advice += ", or add the name that the header lacks"
    elif len(filled) == 1 and not is_number(filled[0]):
        advice = f"if this is a note ({cut(filled[0])!r}) and no row, remove the line; if it is a row, {advice}"
    count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    return InputError(f"{source.name}, line {line}: {count}, but {than}; {advice}")


def _rows(source: Source, layout: Layout) -> Iterator[tuple[list[str], int]]:
    """Yield the rows of data, each with its line."""
    line = layout.start
    try:
        for row in rows(itertools.islice(source.lines(), layout.start, None), layout.delimiter, layout.comment):
            line = layout.start + row.first
            if layout.is_row(row.cells):
                yield row.cells, line
            line = layout.start + row.last
    except csv.Error as error:
        raise InputError(
            f"{source.name}, line {line + 1}: not a CSV file ({error}); a cell in quotes ends with a quote, and a "
            f"quote inside it is written twice"
        ) from None


def _lines(source: Source, layout: Layout, wanted: Sequence[int]) -> list[int]:
    """Return the lines of rows; the file is read again for that."""
    places = dict.fromkeys(wanted, 0)
    last = max(wanted, default=-1)
    for number, (_, line) in enumerate(_rows(source, layout)):
        if number in places:
            places[number] = line
        if number >= last:
            break
    return [places[row] for row in wanted]
