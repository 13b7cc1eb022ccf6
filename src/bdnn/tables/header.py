"""The header of a text file: whether there is one, the names that it gives, and the units below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bdnn.columns import quoted
from bdnn.labels import is_missing, is_number
from bdnn.tables.rows import Row, rows

_MOST_UNITS = 3  # rows below the header: units, kinds of averages, and one more
_MOST_TITLES = 20  # lines above the header that hold one cell at most
_RULE = re.compile(r"[-+=:|\s]{3,}")
_MADE_UP = re.compile(r"column\d+")  # names that are given to columns without one
_CONSECUTIVE = 3  # numbers 0, 1, 2 or 1, 2, 3 in a first line are names, as pandas writes them


def is_unnamed(name: str) -> bool:
    """Return whether a name in a header is only what programs write where they have no name."""
    return name == "" or name.lower().startswith("unnamed: ") or bool(re.fullmatch(r"\.\.\.\d+", name))


@dataclass(frozen=True, slots=True)
class Called:
    """Names of columns, each of one column.

    Attributes
    ----------
    all : tuple of str
        What the file calls them, or column1, column2 and so on; repeats have a number behind.
    unnamed : frozenset of str
        Those of columns without a name in the file.
    repeats : mapping of str to str
        Those with a number behind, and the name that the file has.
    """

    all: tuple[str, ...]
    unnamed: frozenset[str]
    repeats: Mapping[str, str]


def called(written: Sequence[str], header: bool = True) -> Called:
    """Return names of columns for those in a header; those without one are called by their position, from 1."""
    names: list[str] = []
    unnamed, repeats, there = set(), {}, set(written)
    taken: set[str] = set()
    for j, name in enumerate(written, start=1):
        own = f"column{j}"
        if header and is_unnamed(name) and own not in there:
            unnamed.add(own)
            name = own
        if name in taken:
            free = (f"{name}_{k}" for k in range(1, len(written) + 1))
            new = next(other for other in free if other not in there and other not in taken)
            repeats[new], name = name, new
        names.append(name)
        taken.add(name)
    return Called(tuple(names), frozenset(unnamed), repeats)


def stripped(cells: Sequence[str]) -> tuple[str, ...]:
    """Return cells without blanks around them."""
    return tuple(cell.strip() for cell in cells)


def number(cell: str, decimal: str) -> bool:
    """Return whether a cell is a number with a decimal sign."""
    return is_number(cell.replace(",", ".") if decimal == "," else cell)


def gap(cell: str) -> bool:
    """Return whether a cell means a missing value in a column of numbers."""
    return is_missing(cell) or cell in ("-", "--", ".", "\\N")


def names_in_comment(above: Sequence[str], delimiter: str, width: int, comment: str) -> list[str] | None:
    """Return names from the last comment line above data without a header, as ``numpy.savetxt`` writes them."""
    if not comment or not above:
        return None
    text = above[-1].strip().lstrip(comment).strip()
    for row in rows([text], delimiter):
        names = [cell.strip() for cell in row.cells]
        if len(names) == width and not any(map(is_number, names)) and all(names):
            return names
    return None


def is_wanted(
    names: Sequence[str], body: Sequence[Sequence[str]], expected: Sequence[str], asked: Sequence[str]
) -> bool | None:
    """Return whether a first row is a header by the names that it must hold; None if these do not tell.

    Parameters
    ----------
    names : sequence of str
        The cells of the row.
    body : sequence of sequence of str
        The rows below it.
    expected : sequence of str
        Names of columns that a model needs.
    asked : sequence of str
        Names of columns that the user gave, some of which may be several with commas between them.
    """
    there = set(names) - {""}
    if any(part.strip() in there for word in asked for part in (word, *word.split(","))):
        return True
    if not expected:
        return None
    if not there.intersection(expected):
        return False if all(map(_MADE_UP.fullmatch, expected)) else None
    # columns without a name, and repeated names, have others in the model
    known = set(expected).intersection(called(with_row_names(list(names), body)).all)
    return True if 2 * len(known) >= len(set(expected)) else None


def is_header(names: Sequence[str], body: Sequence[Sequence[str]], decimal: str) -> bool:
    """Return whether a first row names the columns below it, by what these columns hold."""
    names_over_numbers = numbers = names_over_text = text = 0
    for j, name in enumerate(names):
        column = [row[j].strip() for row in body if j < len(row)]
        known = [cell for cell in column if not gap(cell)]
        if gap(name) or (not known and not number(name, decimal)):
            continue
        if not known or all(number(cell, decimal) for cell in known):
            numbers += number(name, decimal)
            names_over_numbers += not number(name, decimal)
        else:
            levels = set(known)
            text += name in levels
            names_over_text += name not in levels and 2 * len(levels) <= len(known)
    whole = [int(name) for name in names if name.isdecimal()]
    if names_over_numbers:
        return numbers == 0 or (len(whole) == numbers and len(set(whole)) == numbers)
    if numbers:
        follow = len(whole) >= _CONSECUTIVE and whole[0] in (0, 1) and whole == list(range(whole[0], whole[-1] + 1))
        return follow and len(whole) == numbers and not text and len(body) > 1
    return text == 0 or names_over_text > text


def units(below: Sequence[Row], decimal: str) -> int:
    """Return how many rows below the header hold units: text, or nothing, above nothing but numbers; or are rules."""
    count = 0
    while count < min(_MOST_UNITS, len(below) - 1):
        if _is_rule(below[count].cells):
            count += 1
            continue
        rest = below[count + 1 :]
        told = False
        for j, cell in enumerate(text.strip() for text in below[count].cells):
            known = [row.cells[j].strip() for row in rest if j < len(row.cells) and not gap(row.cells[j].strip())]
            # kinds of averages are in the row below the units
            known = known[_MOST_UNITS - 1 - count :] or known
            if known and all(number(other, decimal) for other in known):
                if number(cell, decimal):
                    return count
                told = told or not gap(cell)
            elif cell in known and not gap(cell):
                return count
        if not told:
            return count
        count += 1
    return count


def _is_rule(cells: Sequence[str]) -> bool:
    filled = list(filter(None, stripped(cells)))
    return bool(filled) and all(map(_RULE.fullmatch, filled))


def units_note(names: Sequence[str], cells: Sequence[str]) -> str:
    """Return a note on the row below the header, which is left out."""
    if _is_rule(cells):
        return "the line below the header is left out: it is a rule"
    shown, alone = stripped(cells), len(set(names)) == len(names) and all(names)
    if alone or not all(shown) or len(set(shown)) < len(shown):
        return f"the row below the header is left out: it holds units ({quoted(shown)})"
    return (
        f"the row below the header is left out: it holds units, or names ({quoted(shown)}); if these are the names, "
        f"remove the line above them"
    )


def with_whole_rules(table: Sequence[Row], width: int) -> list[Row]:
    """Return rows in which a line such as ``---+---`` has a cell for each column."""
    return [
        Row(row.cells * width, row.first, row.last)
        if len(row.cells) == 1 and _is_rule(row.cells) and index < 2
        else row
        for index, row in enumerate(table)
    ]


def below_titles(table: Sequence[Row], top: int) -> int:
    """Return the index of what may be the header, below titles: rows of the usual length of one filled cell at most."""
    for index, row in enumerate(table[top : top + _MOST_TITLES], start=top):
        cells = stripped(row.cells)
        filled = list(filter(None, cells))
        if len(filled) > 1 or (len(cells) < 3 and cells[-1]):
            whole = len(filled) == len(cells) == len(set(cells)) > 1
            return index if whole and not any(map(is_number, cells)) else top
    return top


def with_row_names(names: list[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return names, plus one for a column without one in the header: names of rows in front, or blanks at the end.

    Names of rows are all different; other rows are longer than the header by mistake.
    """
    width = Counter(len(row) for row in body).most_common(1)[0][0] if body else len(names)
    if width != len(names) + 1:
        return names
    if all(len(row) < width or not row[-1].strip() for row in body):
        return [*names, ""]
    first = [row[0].strip() for row in body if len(row) == width]
    return ["", *names] if len(set(first)) == len(first) else names
