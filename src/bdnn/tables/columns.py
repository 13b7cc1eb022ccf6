"""The columns of a table as they are found."""

from __future__ import annotations

from dataclasses import dataclass, field

from bdnn.encoding.raw import RawColumn


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a column is left out.

    Attributes
    ----------
    words : str
        What makes it useless.
    keepable : bool
        Whether it gives inputs if its kind is given.
    """

    words: str
    keepable: bool = True


@dataclass(slots=True)
class Columns:
    """The columns of a table, and what was assumed of them.

    Attributes
    ----------
    columns : list of RawColumn
        Those that are read.
    notes : list of str
        What was assumed.
    forms : dict of str to str
        Formats of dates.
    decimal : str
        Decimal sign.
    left_out : dict of str to Reason
        Columns that are not read, and why.
    date_notes : dict of str to str
        What was assumed of columns of dates.
    """

    columns: list[RawColumn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    forms: dict[str, str] = field(default_factory=dict)
    decimal: str = "."
    left_out: dict[str, Reason] = field(default_factory=dict)
    date_notes: dict[str, str] = field(default_factory=dict)
