"""Columns that cannot help any network: row numbers, constant and repeated ones, and text that differs in most rows."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bdnn.columns import listed
from bdnn.encoding.raw import RawColumn
from bdnn.tables.advice import EXACT
from bdnn.tables.columns import Reason

_LONG_SEQUENCE = 100  # 0, 1, 2, … are row numbers from this length on, whatever their name; a measure may be shorter
_NUMBERING = re.compile(
    r"(?:row|record|sample|case|obs|observation|instance|entry|line|item)?[ _.#-]?"
    r"(?:id|idx|index|ix|nr|no|num|number|names?|s\.?no)?\.?|#|key|seq|sequence",
    re.IGNORECASE,
)

_NAME_OF_ID = re.compile(r".*[ _.-][Ii][Dd]|.*[a-z0-9](?:Id|ID)")
_FEW_ROWS = 20  # whose numbers may rise by chance


def without_useless(
    columns: Sequence[RawColumn], left_out: Mapping[str, Reason], unnamed: Collection[str], asked: Collection[str]
) -> tuple[list[RawColumn], list[str]]:
    """Leave out columns that cannot help any network, unless they are asked for or nothing would be left.

    Parameters
    ----------
    columns : sequence of RawColumn
        As read.
    left_out : mapping of str to Reason
        Columns that were left out before, and why.
    unnamed : collection of str
        Names of columns that the file does not name.
    asked : collection of str
        Columns whose kind is given, which are kept.

    Returns
    -------
    columns : list of RawColumn
        Those that stay.
    notes : list of str
        What was left out, and how to keep it.
    """
    kept: list[RawColumn] = []
    texts = {*left_out, *(column.name for column in columns if column.kind == "categorical")}
    dates = {column.name for column in columns if column.kind == "date"}
    reasons: dict[Reason, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    rising: list[str] = []
    seen: dict[tuple[str, bytes], str] = {}
    for column in columns:
        reason = None if column.name in asked else _uselessness(column, column.name in unnamed)
        if not reason and column.name not in asked:
            key = _content(column)
            reason = Reason(f"equal to column {seen[key]!r}") if key in seen else None
            seen.setdefault(key, column.name)
        if not reason and column.name not in asked and _names_rows(column):
            rising.append(column.name)
        if reason:
            reasons.setdefault(reason, []).append(column.name)
        else:
            kept.append(column)
    if not kept:
        return list(columns), []
    notes = []
    for reason, names in reasons.items():
        option, name = "--categorical" if names[0] in texts else "--numeric", shlex.quote(names[0])
        if names[0] in dates:
            option, name = "--types", "FILE"
        several = len(names) > 1
        shown = "columns without a name" if several and set(names) <= set(unnamed) else listed(names)
        keeps = f" ({option} {name} keeps {'the first of them' if several else 'it'})" if reason.keepable else ""
        notes.append(f"{shown} {'are' if several else 'is'} left out: {reason.words}{keeps}")
    for name in rising:
        notes.append(
            f"column {name!r} holds whole numbers that rise from row to row, as names of rows do (--id "
            f"{shlex.quote(name)} leaves it out)"
        )
    return kept, notes


def _names_rows(column: RawColumn) -> bool:
    """Return whether a column may hold the names of rows, by its name and by its numbers, which rise."""
    values = column.values
    if column.kind != "numeric" or len(values) < _FEW_ROWS:
        return False
    if not (_NUMBERING.fullmatch(column.name) or _NAME_OF_ID.fullmatch(column.name)):
        return False
    return bool((values[1:] > values[:-1]).all() and (values == np.rint(values)).all())


def _uselessness(column: RawColumn, unnamed: bool) -> Reason | None:
    """Return why a column says nothing about rows that are not in the table, or nothing if it may."""
    missing, n_rows = column.missing, len(column.values)
    if missing.all():
        return Reason("no value is known", keepable=False)
    if missing.any() or n_rows < 2:
        return None
    values = column.values
    if (values == values[0]).all():
        rounded = column.kind == "numeric" and abs(values[0]) >= EXACT
        words = f"the same in all rows{', rounded to doubles' if rounded else ''}"
        return Reason(words, keepable=column.kind != "categorical")
    numbering = unnamed or n_rows >= _LONG_SEQUENCE or _NUMBERING.fullmatch(column.name)
    counts = column.kind == "numeric" and numbering and values[0] in (0, 1)
    numbers = counts and np.array_equal(values, np.arange(values[0], values[0] + n_rows))
    return Reason("row numbers") if numbers else None


def _content(column: RawColumn) -> tuple[str, bytes]:
    """Return a key that is equal for two columns of one kind that tell the same rows apart."""
    values = column.values
    if column.kind == "categorical":
        known, first, codes = np.unique(values, return_index=True, return_inverse=True)
        rank = np.empty(len(known), dtype=np.int64)
        rank[np.argsort(first)] = np.arange(len(known))
        values = np.where(values < 0, -1, rank[codes])
    elif column.kind != "date":
        values = np.where(np.isnan(values), np.nan, values + 0)
    return column.kind, hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
