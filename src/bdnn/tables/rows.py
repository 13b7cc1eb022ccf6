"""Rows of lines: cells between delimiters, or between any number of blanks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CELLS = re.compile(r'"((?:[^"]|"")*)"|[^\s"]\S*')


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, and the numbers of the first and last line that they are written in, from 1."""

    cells: list[str]
    first: int
    last: int


def rows(lines: Iterable[str], delimiter: str, comment: str = "") -> Iterator[Row]:
    """Yield the rows of lines that hold anything, with the lines that they are written in.

    Raises
    ------
    csv.Error
        If a quoted cell does not end, or continues after its closing quote.
    """
    if delimiter == "":
        for number, line in enumerate(lines, start=1):
            cells = [m[0] if m[1] is None else m[1].replace('""', '"') for m in _CELLS.finditer(line)]
            if cells and not (comment and line.lstrip().startswith(comment)):
                yield Row(cells, number, number)
        return
    before = 0
    if comment:
        lines = ("\n" if line.lstrip().startswith(comment) else line for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield Row(cells, before + 1, reader.line_num)
        before = reader.line_num
