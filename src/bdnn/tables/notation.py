"""Numbers with separators of thousands, or with another decimal sign than other columns: how they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SEPARATORS = {",": "commas", ".": "points", "'": "apostrophes", "\u2019": "apostrophes", " ": "blanks",
               "\u00a0": "blanks", "\u202f": "blanks", "\u2009": "blanks", "": ""}  # fmt: skip
_MOST_UNITS = 3  # different ones in a column; more are parts of codes
_DIGITS = r"[0-9](?:[0-9.,' ]*[0-9])?"
_UNIT_BEHIND = re.compile(rf"[+-]?{_DIGITS} ?([^\W\d_][^\d,;:]{{0,15}})")
_UNIT_BEFORE = re.compile(rf"([^\W\d_]{{2,12}}\.?) (?!0[0-9]){_DIGITS}")
# 3h 20m, PT5M3S, 5'11"
_DURATION = re.compile(
    r"P(?:T?[0-9.]+[YMWDHS])+|[0-9]+ ?(?:[^\W\d_]{1,7}|['\u2032]),? ?[0-9.]+ ?(?:[^\W\d_]{1,7}|[\"\u2033])?"
    r"(?: ?[0-9.]+ ?[^\W\d_]{1,7})?"
)
_ONE_GROUP = "[+-]?[1-9][0-9]{0,2}"


@dataclass(frozen=True, slots=True)
class Notation:
    """A way to write numbers.

    Attributes
    ----------
    separator : str
        Between groups of three digits; empty for none.
    decimal : str
        Decimal sign; empty for whole numbers.
    """

    separator: str
    decimal: str

    @property
    def pattern(self) -> str:
        """Regular expression of all numbers that are written so; those below 1000 need no separator."""
        groups = f"[1-9][0-9]{{0,2}}(?:{re.escape(self.separator)}[0-9]{{3}})+|" if self.separator else ""
        fraction = f"(?:{re.escape(self.decimal)}[0-9]+)?" if self.decimal else ""
        return f"[+-]?(?:{groups}[0-9]+){fraction}"

    def plain(self, text: str) -> str:
        """Return a number that is written so as a plain one."""
        return (text.replace(self.separator, "") if self.separator else text).replace(",", ".")

    def in_words(self) -> str:
        """Return what is special about it."""
        if self.separator:
            return f"whose {_SEPARATORS[self.separator]} separate thousands"
        return f"with decimal {_SEPARATORS[self.decimal]}"


def notations(cells: Sequence[str], decimal: str, *, free: bool) -> list[Notation]:
    """Return the ways in which cells that are no plain numbers may be written, the likeliest first.

    Parameters
    ----------
    cells : sequence of str
        Some cells, without blanks around them.
    decimal : str
        Decimal sign of the file.
    free : bool
        Whether this sign may mean something else in a column.
    """
    ways = [Notation(sign, decimal) for sign in _SEPARATORS if sign not in ("", decimal)]
    if free:
        other = "." if decimal == "," else ","
        ways.append(Notation(decimal, ""))
        # three digits behind the sign in all cells do not show that it is one
        if any(other in cell and not re.fullmatch(one_group(other), cell) for cell in cells):
            ways += [Notation(sign, other) for sign in ("", *_SEPARATORS) if sign != other]
    return [way for way in ways if cells and all(re.fullmatch(way.pattern, cell) for cell in cells)]


def one_group(decimal: str) -> str:
    """Return the regular expression of numbers whose decimal sign could as well separate thousands, such as 1.234."""
    return f"{_ONE_GROUP}{re.escape(decimal)}[0-9]{{3}}"


def have_units(cells: Sequence[str]) -> bool:
    """Return whether most of some cells are a number and a unit, one of few, or a duration such as 3h 20m."""
    if 2 * sum(_DURATION.fullmatch(cell) is not None for cell in cells) > len(cells):
        return True
    for pattern in (_UNIT_BEHIND, _UNIT_BEFORE):
        units = [found[1].lower() for cell in cells if (found := pattern.fullmatch(cell))]
        if 2 * len(units) > len(cells) and len(set(units)) <= _MOST_UNITS:
            return True
    return False
