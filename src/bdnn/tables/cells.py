"""The appearance of the different cells of a column, and the levels that they stand for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bdnn.encoding.raw import Kind
from bdnn.labels import is_missing, is_number
from bdnn.tables.database import Markers, TextProfile

_WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]*))\.0*")


@dataclass(frozen=True, slots=True)
class Known:
    """What a model says about one of its columns.

    Attributes
    ----------
    kind : str
        What it holds.
    levels : frozenset of str
        The levels that the model knows.
    form : str or None
        Format of dates; None to find out.
    """

    kind: Kind
    levels: frozenset[str] = frozenset()
    form: str | None = None


def text_profile(cells: Mapping[str, int], markers: Markers, decimal: str) -> TextProfile:
    """Return what a column looks like, given its different cells and how often each occurs."""
    counts: Counter[str] = Counter()
    for cell, count in cells.items():
        if not markers.means_missing(cell):
            counts[cell.strip()] += count
    numbers = {text: float(plain) for text in counts if is_number(plain := _with_point(text, decimal))}
    return TextProfile(
        counts.total(), len(counts), sum(n for text, n in counts.items() if text.lower() in ("true", "false")),
        sum(counts[text] for text in numbers), len(set(numbers.values())), min(counts, default=""),
        max(counts, default=""),
    )  # fmt: skip


def _with_point(text: str, decimal: str) -> str:
    if decimal == ".":
        return text
    return "" if "." in text else text.replace(",", ".")


def level_names(texts: Sequence[str], known: Known | None) -> dict[str, str]:
    """Return the levels of texts: as a model knows them, or as equal numbers and truth values of frames are written."""
    if known is not None:
        return {text: text if text in known.levels else _other_text(text, known.levels) for text in texts}
    if all(map(is_number, texts)):
        return {text: m[1] if (m := _WHOLE.fullmatch(text)) else text for text in texts}
    if {text.lower() for text in texts} <= {"true", "false"}:
        return {text: text.lower() for text in texts}
    return {text: text for text in texts}


def _other_text(level: str, known: frozenset[str]) -> str:
    """Return another way to write a level that a model knows: 1.0 as 1, TRUE as true, 1 as true."""
    other = {"true": "true", "false": "false"}.get(level.lower(), level)
    if m := _WHOLE.fullmatch(level):
        other = m[1]
    elif level + ".0" in known:
        other = level + ".0"
    return other if other in known else level


def means_a_number(text: str) -> bool:
    """Whether text that is not a plain number is one in another notation, or says that there is none."""
    try:
        float(text)
    except ValueError:
        try:
            int(text, 0)
        except ValueError:
            return is_missing(text)
    return True
