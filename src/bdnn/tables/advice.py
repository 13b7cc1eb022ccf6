"""Messages on columns that cannot be read as they are: what was found, and what to type."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Container, Mapping, Sequence

from bdnn.columns import listed
from bdnn.errors import InputError
from bdnn.labels import is_number
from bdnn.tables.database import READABLE, Column, Markers
from bdnn.tables.notation import Notation, one_group

EXACT = 2.0**53  # larger whole numbers are rounded to doubles
_MOST_SHOWN = 40  # characters of a cell in a message
_SIGN = r"(?:[$€£¥]|EUR|USD|GBP|CHF)"
_WRITTEN_NUMBER = re.compile(
    rf"[<>≤≥~≈]?\s?{_SIGN}?\s?[+\-−–]?\s?{_SIGN}?(?:\d{{1,3}}(?:[,.'’_\s\u00a0\u202f]?\d{{3}})*|\d+)(?:[.,]\d+)?\s?(?:{_SIGN}|[%‰])?"
    r"|[+-]?0[xX][0-9a-fA-F]+"
)
_TYPES = {"STRUCT": "structures", "MAP": "maps", "UNION": "unions", "BLOB": "bytes", "INTERVAL": "durations"}


def refuse_types(what: str, columns: Sequence[tuple[str, Column]], advice: str = "leave it out with --drop") -> None:
    """Raise an error if a column of a Parquet file is of a type that is neither a number, text nor a date.

    Parameters
    ----------
    what : str
        Name of the file.
    columns : sequence of (str, Column)
        Columns that are to be read, by name.
    advice : str
        Advice that precedes the name of the column.
    """
    for name, column in columns:
        if column.kind not in READABLE:
            head = column.kind.partition("(")[0]
            holds = "lists" if column.kind.endswith("]") else _TYPES.get(head, f"values of the type {column.kind[:40]}")
            raise InputError(
                f"column {name!r} of {what} holds {holds}, which are neither numbers, text nor dates; {advice} "
                f"{shlex.quote(name)}"
            )


def repeats(what: str, repeated: Mapping[str, str], used: Sequence[str], single: Container[str | None]) -> list[str]:
    """Return a note on names that several columns have; raise an error if there must be one of a name."""
    found = {new: name for new, name in repeated.items() if new in used or name in used}
    for name in found.values():
        if name in single:
            raise InputError(f"{what} has more than one column {name!r}; rename or remove the others")
    if not found:
        return []
    shown = ", ".join(map(repr, dict.fromkeys(found.values())))
    several = "names are there" if len(set(found.values())) > 1 else "name is there"
    return [f"{several} more than once: {shown}; the others are called {', '.join(map(repr, found))}"]


def absent(names: Sequence[str], there: Sequence[str], target: str | None) -> str:
    """Return what to type where columns are missing."""
    lower = {name.lower(): name for name in there}
    hint = f"; did you mean {lower[names[0].lower()]!r}?" if names[0].lower() in lower else ""
    return f"{hint}; --target says which column holds the labels" if names[0] == target else hint


def is_written_number(text: str) -> bool:
    """Whether text is a number with a thousands separator, a currency, a percent sign or something similar."""
    return _WRITTEN_NUMBER.fullmatch(text) is not None


def cut(cell: str) -> str:
    """Return a cell as messages show it."""
    return cell if len(cell) <= _MOST_SHOWN else f"{cell[:_MOST_SHOWN]}…"


def na_option(markers: Markers, cell: str) -> str:
    """Return the option that makes a cell a missing value in addition to those given; empty if no option can."""
    if "," in cell or len(cell) > _MOST_SHOWN:
        return ""
    words = ",".join((*(markers.given or ()), cell))
    return f"--na{'=' if words.startswith('-') else ' '}{shlex.quote(words)}"


def no_number(what: str, shown: str, cell: str, markers: Markers, decimal: str = ".") -> InputError:
    """Return an error about a cell that is not accepted as a number."""
    option = na_option(markers, cell)
    words = "empty cells, '?' or NA"
    if markers.given is not None:
        words = " or ".join(["empty cells", *map(repr, markers.given)])
    return InputError(
        f"{what} holds {shown}; accepted are finite decimal numbers such as 12, -0{decimal}5 or 1{decimal}5e3, and "
        f"{words} for missing values{f'; {option} reads it as missing' if option else ''}"
    )


def not_of_kind(said: str, kind: str, name: str, cells: Sequence[str], markers: Markers, *, free: bool) -> InputError:
    """Return an error about a column that must be of a kind; its kind is free without a model."""
    options = [f"{o} says that this means a missing value" for c in cells if (o := na_option(markers, c))]
    if free:
        options.append(f"--categorical {shlex.quote(name)} reads the column as text")
    else:
        accepted = "plain numbers such as 12 or -0.5" if kind == "numeric" else "true and false, or 1 and 0"
        options.append(f"write {accepted}, and leave missing cells empty")
    return InputError("; ".join([said, *options]))


def _way_out(name: str) -> str:
    word = shlex.quote(name)
    return f"read the column as text with --categorical {word}, or leave it out with --drop {word}"


def slip(what: str, kind: str, shown: str, cell: str, name: str, markers: Markers, count: int = 1) -> InputError:
    """Return an error about text among many numbers or dates."""
    more = f" and {count - 1} other cells that are no {kind}" if count > 1 else ""
    option = na_option(markers, cell)
    missing = f"say with {option} that this means a missing value, " if option else ""
    return InputError(f"{what} holds {kind}, and {shown}{more}: correct the cells, {missing}{_way_out(name)}")


def mixed(name: str, kind: str, shown: str, option: str) -> str:
    """Return a note on text among few numbers or dates; it names an option that makes it missing if it may be."""
    missing = f"say with {option} that this means a missing value, or " if option else ""
    word = shlex.quote(name)
    return (
        f"column {name!r} holds {kind} and text ({shown}) and is read as text; {missing}say with --categorical "
        f"{word} that it is text"
    )


_NOT_READ = "numbers with currencies, percent signs or their like are not read"


def written(what: str, shown: str, cell: str, name: str, decimal: str) -> InputError:
    """Return an error about numbers in another notation."""
    why = _NOT_READ
    if decimal == "," and is_number(cell):
        why = "the decimal sign is a comma, and points do not separate thousands in all cells"
    elif cell[-1:].isdigit():
        why += ", nor are separators of thousands that not all cells agree on"
    return InputError(f"{what} holds {shown}: {why}; write plain numbers, or {_way_out(name)}")


def other_notation(name: str, way: Notation, shown: str, cell: str, *, given: bool, decimal: str) -> str:
    """Return a note on numbers with separators of thousands, or with another decimal sign than the file."""
    options = [] if given else [f"--categorical {shlex.quote(name)} reads the column as text"]
    if way == Notation(",", ".") and re.fullmatch(one_group(","), cell) and decimal == ".":
        options.insert(0, "--decimal , if they are decimal signs")
    how = f"column {name!r} is read as numbers {way.in_words()}: {shown} is {way.plain(cell)}"
    return "; ".join([how, *options])


def ambiguous(names: Sequence[str], decimal: str) -> str:
    """Return a note on numbers whose decimal sign could separate thousands."""
    signs, other = ("points", ",") if decimal == "." else ("commas", ".")
    columns = "in each of these columns" if len(names) > 1 else "in it"
    return (
        f"{listed(names)}: {signs} are read as decimal signs, but three digits follow each of them {columns}, as if "
        f"they separated thousands; --decimal {other} says that they do"
    )


def written_text(name: str, shown: str) -> str:
    """Return a note on few different numbers in another notation."""
    word = shlex.quote(name)
    return (
        f"column {name!r} holds {shown} and is read as text: {_NOT_READ}; write plain numbers, or say with "
        f"--categorical {word} that it is text"
    )


def no_date(
    what: str, shown: str, cell: str, form: str | None, name: str, markers: Markers, *, free: bool
) -> InputError:
    """Return an error about a cell that is no date of a format, which is free without a model."""
    how = f"of the format {form}" if form else "such as 2026-01-31 12:00:00"
    why = "" if free else ", as in the training"
    options = [f"{option} says that this means a missing value"] if (option := na_option(markers, cell)) else []
    if free:
        options.append(f'--types FILE with {{"{name}": "date:%d/%m/%Y"}} gives another format')
    return InputError("; ".join([f"{what} must hold dates {how}{why}, but holds {shown}", *options]))


def two_formats(
    what: str, counts: Sequence[int], formats: Sequence[str], shown: Sequence[str], name: str
) -> InputError:
    """Return an error about dates of two formats."""
    each = " and ".join(
        f"{count} of the format {form or '2026-01-31'} ({cell})"
        for count, form, cell in zip(counts, formats, shown, strict=True)
    )
    return InputError(
        f"{what} holds dates of two formats, {each}: write all of them in one format, or {_way_out(name)}"
    )


def like_dates(name: str, shown: str) -> str:
    """Return a note on what looks like dates."""
    return (
        f"column {name!r} looks like dates ({shown}), but of no format that is known: write dates such as 2026-01-31, "
        f"give the format by --types FILE with {json.dumps({name: 'date:%d.%m.%Y'})}, or say with --categorical "
        f"{shlex.quote(name)} that it is text"
    )


def units(name: str, shown: str) -> str:
    """Return a note on numbers with units."""
    return (
        f"column {name!r} holds numbers with words ({shown}), which are read as text: write plain numbers, all in one "
        f"unit, or say with --categorical {shlex.quote(name)} that it is text"
    )


def clock_text(name: str, shown: str) -> str:
    """Return a note on times of day."""
    return f"column {name!r} holds times of day ({shown}), which are read as text; hours such as 10.25 are numbers"


def rounded(name: str, shown: str) -> str:
    """Return a note on whole numbers that no double is equal to."""
    word = shlex.quote(name)
    return (
        f"column {name!r} holds whole numbers beyond 2^53 ({shown}), which are rounded; --categorical {word} reads "
        f"them as text, --id {word} as names of rows"
    )


def copy_of_target(name: str, target: str | None) -> str:
    """Return a note on a column that says the same as the target in every row."""
    return (
        f"column {name!r} says the same as the target {target!r} in every row; if it is not known when a prediction is "
        f"made, --drop {shlex.quote(name)} leaves it out"
    )
