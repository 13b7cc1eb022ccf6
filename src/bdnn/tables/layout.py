"""The layout of a text file as a table: delimiter, lines before the header, header, units below it, decimal sign.

All of this is given or found from the first lines. Notes report whatever is found to differ from the rule, which is
commas, a header in the first line, and decimal points.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bdnn.errors import InputError
from bdnn.labels import is_number
from bdnn.tables.header import (
    below_titles,
    gap,
    is_header,
    is_wanted,
    names_in_comment,
    number,
    stripped,
    units,
    units_note,
    with_row_names,
    with_whole_rules,
)
from bdnn.tables.rows import Row, rows

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", "": "blanks"}
"""Delimiters by name; the empty one stands for any number of blanks and tabs."""

_RARE = ("^", "~", "\x1f", "\x01", ":")  # these are used only where no other delimiter makes columns
_COMMENTS = ("#", "%", "//")
_TOTALS = frozenset({"total", "totals", "grand total", "sum", "average", "mean", "summe", "gesamt", "insgesamt"})
_TRIED_LINES = 2000  # lines of the sample that are tried; later ones look the same
_MOST_NARROW = 0.4  # share of rows of another length, above which a delimiter makes no table
_HEADERLESS = (
    "the first line looks like data, so the columns are named column1, column2, … (write a line of names above it if "
    "it is a header)"
)
_NAMED_ABOVE = "the names of the columns are read from the comment line above the data"
_ROW_NAMES = "the header has no name for the first column, whose cells all differ: it is taken to hold names of rows"
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")
_SEP = re.compile(r'^"?sep=(.)"?$', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """Of a text file.

    Attributes
    ----------
    delimiter : str
        A key of `DELIMITERS`, or any other text.
    names : tuple of str
        Of the columns, as written but without blanks around them; column1, column2, … without a header.
    header : bool
        Whether the file names its columns.
    start : int
        Lines before the first row of data.
    plain : bool
        Whether these lines are one per row of names and units, none of them blank.
    decimal : str
        Decimal sign.
    comment : str
        The text with which lines that are not rows begin; empty if there are none.
    notes : tuple of str
        What was found to differ from the rule.
    again : tuple of str
        The header if it is there again among the rows, which are no rows then; empty if it is not.
    totals : str
        The note on a last row that may hold totals; empty without one.
    """

    delimiter: str
    names: tuple[str, ...]
    header: bool
    start: int
    plain: bool
    decimal: str
    comment: str
    notes: tuple[str, ...]
    again: tuple[str, ...] = ()
    totals: str = ""

    def is_row(self, cells: Sequence[str]) -> bool:
        """Return whether cells are a row, and not the header again."""
        return not self.again or len(cells) != len(self.again) or stripped(cells) != self.again


def find_layout(
    name: str,
    sample: str,
    whole: bool,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    expected: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> Layout:
    """Return how a text is laid out.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    sample : str
        Its first lines.
    whole : bool
        Whether these are all.
    delimiter, decimal : str or None
        Those that are given; None to find out.
    header : bool or None
        Whether there is one; None to find out.
    expected : sequence of str
        Names of columns that a model needs: a line that holds half of them is a header.
    asked : sequence of str
        Names of columns that the user gave: a line that holds one of them is a header.

    Raises
    ------
    InputError
        If there are no rows.
    """
    lines = list(itertools.islice(io.StringIO(sample, newline=""), _TRIED_LINES))
    complete = whole and len(lines) < _TRIED_LINES
    skipped, comment, separator = _before(lines)
    given = delimiter is not None
    delimiter = _found_delimiter(lines[skipped:], separator, complete) if delimiter is None else delimiter
    table = _some_rows(lines[skipped:], delimiter, complete, comment)
    if not table:
        raise InputError(f"{name} is empty; a table with a header line and at least one row is needed")
    table = with_whole_rules(table, Counter(len(row.cells) for row in table).most_common(1)[0][0])
    if not comment and (comment := _comment_among(table)):
        table = [row for row in table if not row.cells[0].lstrip().startswith(comment)]
    top, decimal_found = _top(table, delimiter, decimal)
    width = Counter(len(row.cells) for row in table[top:]).most_common(1)[0][0]
    repeated = _repeated(stripped(table[top].cells), table[top + 1 :])
    places_again = {row.first for row in repeated}
    table = [row for row in table[top:] if row.first not in places_again]
    from_comment = names_in_comment(lines[:skipped], delimiter, width, comment) if top == 0 else None
    if header is None:
        header = is_wanted(stripped(table[0].cells), [row.cells for row in table[1:]], expected, asked)
    judged = header is None
    if header is None:
        header = is_header(stripped(table[0].cells), [row.cells for row in table[1:]], decimal_found)
    notes: list[str] = []
    before = skipped + table[0].first - 1
    if not given and delimiter != ",":
        notes.append(f"{DELIMITERS.get(delimiter, f'characters {delimiter!r}')} separate the columns (--delimiter)")
    if any(line.strip() for line in lines[:before]) and (header or from_comment is None):
        what = "header" if header else "data"
        notes.append(f"{before} line{'s are' if before > 1 else ' is'} left out before the {what}")
    if header:
        names, n_above, some = _below_header(table, decimal_found)
        notes += some
        first_row = table[n_above - 1].last + 1
    else:
        names, n_above, first_row = from_comment or [f"column{j + 1}" for j in range(width)], 0, table[0].first
        if from_comment is not None:
            notes.append(_NAMED_ABOVE)
        elif judged:
            notes.append(_HEADERLESS)
    start = skipped + first_row - 1
    again = stripped(table[0].cells) if header and repeated else ()
    if again:
        notes.append(f"the header is there again{_in_lines([skipped + r.first for r in repeated])}: it is left out")
    if inside := [i for i, line in enumerate(lines, 1) if comment and i > start and line.lstrip().startswith(comment)]:
        notes.append(f"lines that begin with {comment!r} are left out among the rows:{_in_lines(inside)}")
    if totals := _totals(table[n_above:], skipped) if complete else "":
        notes.append(totals)
    if decimal is None and decimal_found == ",":
        notes.append("commas are decimal signs (--decimal)")
    plain = start == n_above and not comment and not again
    return Layout(
        delimiter, tuple(names), header or from_comment is not None, start, plain, decimal_found, comment, tuple(notes),
        again, totals,
    )  # fmt: skip


def _comment_among(table: Sequence[Row]) -> str:
    """Return the sign of comments where all rows that begin with it are of another length; empty if there is none."""
    width = Counter(len(row.cells) for row in table).most_common(1)[0][0]
    for sign in _COMMENTS:
        marked = [row for row in table[1:] if row.cells[0].lstrip().startswith(sign)]
        if marked and all(len(row.cells) != width for row in marked):
            return sign
    return ""


def _top(table: Sequence[Row], delimiter: str, decimal: str | None) -> tuple[int, str]:
    """Return the index of the header or the first row of data, below titles, and the decimal sign."""
    first = _first_of_table(table)
    for top in (below_titles(table, first), first):
        found = _decimal(table[top:], delimiter) if decimal is None else decimal
        if top == first or is_header(stripped(table[top].cells), [row.cells for row in table[top + 1 :]], found):
            break
    return top, found


def _below_header(table: Sequence[Row], decimal: str) -> tuple[list[str], int, list[str]]:
    """Return the names in a header, how many rows it and the units below it are, and notes."""
    written, n_units = stripped(table[0].cells), units(table[1:], decimal)
    notes = [units_note(written, table[1].cells)] if n_units else []
    names = with_row_names(list(written), [row.cells for row in table[1 + n_units :]])
    if len(names) > len(written) and names[0] == "":
        notes.append(_ROW_NAMES)
    return names, 1 + n_units, notes


def _totals(body: Sequence[Row], skipped: int) -> str:
    """Return a note on a last row with a word for totals that no other row has in its column; empty without one."""
    for j, cell in enumerate(stripped(body[-1].cells) if len(body) > 1 else ()):
        if cell.lower().rstrip(":") in _TOTALS and not any(
            row.cells[j].strip().lower() == cell.lower() for row in body[:-1] if j < len(row.cells)
        ):
            return (
                f"line {skipped + body[-1].first} may hold totals of the rows above it ({cell!r}): remove it if it does"
            )
    return ""


def _repeated(names: tuple[str, ...], below: Sequence[Row]) -> list[Row]:
    """Return the rows that are equal to a first one of names, as in files that were joined."""
    if len(names) < 2 or any(is_number(name) or not name for name in names):
        return []
    return [row for row in below if row.cells[0].strip() == names[0] and stripped(row.cells) == names]


def _in_lines(numbers: Sequence[int]) -> str:
    """Return where something is, with the first of several lines."""
    return f" in line {numbers[0]}" if len(numbers) == 1 else f" in {len(numbers)} lines, the first is {numbers[0]}"


def _before(lines: Sequence[str]) -> tuple[int, str, str | None]:
    """Return how many lines at the top are blank, comments or name the delimiter; the comment sign; that delimiter."""
    comment, asked = "", None
    for index, line in enumerate(lines):
        text = line.strip()
        if found := _SEP.match(text):
            asked = found[1]
        elif text and (sign := next((sign for sign in _COMMENTS if text.startswith(sign)), None)):
            if index + 1 < len(lines) and _is_name_line(text, lines[index + 1 :]):
                return index, "", asked
            comment = sign
        elif text:
            return index, comment, asked
    return len(lines), comment, asked


def _is_name_line(text: str, below: Sequence[str]) -> bool:
    """Return whether a first line is a header whose first name begins like a comment: ``#id,a,b`` above no numbers.

    Only what follows it distinguishes it from a comment that holds a header; other comments are not headers.
    """
    return bool(re.match(r"^#\s*(id|nr|no)?[,;\t|]", text)) and not below[0].lstrip().startswith("#")


def _some_rows(lines: Sequence[str], delimiter: str, complete: bool, comment: str = "") -> list[Row]:
    """Return rows, up to the first one that is not CSV; the last one may be cut off."""
    found: list[Row] = []
    try:
        for row in rows(lines, delimiter, comment):
            found.append(row)
    except csv.Error:
        complete = True
    return found if complete or len(found) < 2 else found[:-1]


def _found_delimiter(lines: Sequence[str], asked: str | None, complete: bool) -> str:
    """Return the delimiter that makes columns of the most rows; commas if none does."""
    if asked is not None and any(asked in line for line in lines):
        return asked
    best, best_score = ",", (0.0, 0.0, 0)
    for rank, delimiter in enumerate((",", ";", "\t", "|")):
        if score := _score(lines, delimiter, complete):
            if (*score, -rank) > best_score:
                best, best_score = delimiter, (*score, -rank)
    if best_score[0] > 0:
        return best
    for delimiter in ("", *_RARE):
        if score := _score(lines, delimiter, complete):
            if score[0] >= 1.0:
                return delimiter
    return ","


def _score(lines: Sequence[str], delimiter: str, complete: bool) -> tuple[float, float] | None:
    """Return the share of rows of one length, in tenths, and of cells that hold no other delimiter."""
    table = _some_rows(lines, delimiter, complete)
    widths = Counter(len(row.cells) for row in table)
    widths.pop(1, None)
    if not widths:
        return None
    width, _ = widths.most_common(1)[0]
    if width < 2:
        return None
    share = sum(abs(len(row.cells) - width) <= (len(row.cells) > width and not row.cells[-1].strip()) for row in table)
    others = [other for other in (";", "\t", "|") if other != delimiter]
    cells = [cell for row in table for cell in row.cells]
    clean = sum(not any(other in cell for other in others) for cell in cells) / len(cells)
    fraction = share / len(table)
    return None if fraction < 1 - _MOST_NARROW and len(table) > 2 else (round(fraction, 1), round(clean, 1))


def _first_of_table(table: Sequence[Row]) -> int:
    """Return the index of the header or, without one, of the first row of data: rows before it are of another length.

    A header may lack the name of the first column, which R does not write.
    """
    width = Counter(len(row.cells) for row in table[len(table) // 4 :]).most_common(1)[0][0]
    if width < 2:
        return 0
    for index, row in enumerate(table[: len(table) - 1]):
        wide = len(row.cells) == width or (
            len(row.cells) == width - 1 and len(table[index + 1].cells) == width and all(c.strip() for c in row.cells)
        )
        if wide and len(table[index + 1].cells) in (width, width - 1):
            # rows that are too long are ragged data, unless a line of names follows them
            data_like = any(is_number(cell.strip().replace(",", ".")) for cell in row.cells)
            return 0 if index and data_like and len(table[0].cells) > width else index
    return 0


def _decimal(table: Sequence[Row], delimiter: str) -> str:
    """Return a comma if more columns are numbers only with decimal commas than with points.

    Points before three digits in all cells may separate thousands and do not count.
    """
    if delimiter == ",":
        return "."
    commas = points = 0
    columns = itertools.zip_longest(*(row.cells for row in table[1:]), fillvalue="")
    for column in columns:
        cells = [cell.strip() for cell in column if not gap(cell.strip())]
        if not cells:
            continue
        with_comma = [cell for cell in cells if "," in cell]
        if with_comma and all(number(cell, ",") for cell in cells):
            commas += 1
        elif not with_comma and all(map(is_number, cells)):
            points += any("." in cell and not _THOUSANDS.fullmatch(cell) for cell in cells)
    return "," if commas > points else "."
