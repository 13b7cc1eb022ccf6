"""Settings by which users say how a table is read."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from bdnn.encoding.raw import Kind
from bdnn.errors import InputError
from bdnn.labels import is_number
from bdnn.tables.database import Markers

KINDS = (*get_args(Kind), "drop")
"""The kinds that columns can be declared to have; dates also with a format, as in ``date:%d/%m/%Y``."""

MISSING = ("", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "\\n", "#null!")
"""What stands for a missing value in any column, in any case; ``\\N`` is how databases write one."""

MISSING_NUMBERS = (".", "-", "--", "none", "n.a.", "missing", "#div/0!", "#value!")
"""What also stands for missing values in columns of numbers; in columns of text, these can be levels."""

_DECIMALS = (".", ",")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
# one blank is the same as any number of them, since cells hold no blanks in this case
_SPOKEN = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": "", " ": "", "": ","}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read; None for what is to be detected.

    Attributes
    ----------
    delimiter : str or None
        Between columns; empty for any number of blanks and tabs.
    decimal : str or None
        Decimal sign.
    encoding : str or None
        Of the text, by Python's name.
    na : tuple of str or None
        What stands for a missing value, in any case; None for `MISSING` and `MISSING_NUMBERS`.
    header : bool or None
        Whether the file names its columns.
    kinds : mapping of str to str
        Kinds of columns: a `bdnn.encoding.raw.Kind`, a date with a format, as in ``date:%d/%m/%Y``, or ``drop``.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    na: tuple[str, ...] | None = None
    header: bool | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            delimiter = _SPOKEN.get(self.delimiter.lower(), self.delimiter)
            if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
                raise InputError(f"--delimiter must be one character, tab or space, got {self.delimiter!r}")
            object.__setattr__(self, "delimiter", delimiter)
        if self.decimal is not None and self.decimal not in _DECIMALS:
            raise InputError(f"--decimal must be a point or a comma, got {self.decimal!r}")
        for name, kind in self.kinds.items():
            if kind.partition(":")[0] not in KINDS:
                raise InputError(f"the kind of column {name!r} must be one of {', '.join(KINDS)}, got {kind!r}")

    @property
    def markers(self) -> Markers:
        """What stands for missing values."""
        if self.na is None:
            return Markers(MISSING, MISSING_NUMBERS)
        words = tuple(word.strip() for word in self.na)
        # an empty cell is never anything else
        numbers = tuple(float(w) for w in words if is_number(w) or _INFINITE.fullmatch(w))
        return Markers(("", *(w.lower() for w in words)), (), numbers, tuple(w for w in words if w))


def kinds_from_file(path: Path) -> dict[str, str]:
    """Return the kinds of columns from a file: a JSON object, or CSV lines of a column and its kind.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.

    Raises
    ------
    InputError
        If the file is neither.
    OSError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8") from None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not valid JSON ({error})") from None
        if not all(isinstance(kind, str) for kind in found.values()):
            raise InputError(f'{path} must hold texts such as {{"age": "numeric", "zip": "categorical"}}')
        return dict(found)
    kinds: dict[str, str] = {}
    try:
        for row in csv.reader(text.splitlines()):
            if not row or (not kinds and [cell.strip().lower() for cell in row] == ["column", "kind"]):
                continue
            if len(row) != 2:
                raise InputError(f"{path} must hold lines of two cells, a column and its kind, got {row!r}")
            kinds[row[0].strip()] = row[1].strip()
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file ({error})") from None
    return kinds
