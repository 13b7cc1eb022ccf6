"""Text among numbers or dates: whether it is a slip, or whether all of it may be levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bdnn.errors import InputError
from bdnn.tables import advice
from bdnn.tables.cells import means_a_number
from bdnn.tables.database import TextProfile
from bdnn.tables.dates import formats_of, look_like_dates
from bdnn.tables.notation import have_units
from bdnn.tables.scan import Scan

# text among more different numbers than codes of classes have, or among numbers that mostly differ, is a slip
_FEW_CODES = 20
_TRIED_CELLS = 16  # which show whether a column holds dates at all
_MOSTLY = 0.5  # as many cells at least are dates where others are slips
_CLOCK = re.compile(r"\d{1,2}[:.]\d\d(?:[:.]\d\d(?:\.\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?")


@dataclass(frozen=True, slots=True)
class CellsOf:
    """The cells of a column, for messages.

    Attributes
    ----------
    name : str
        Its name.
    file : str
        Name of the file.
    scan : Scan
        Its table.
    j : int
        Which column of the table it is.
    where : callable
        Returns the lines of rows.
    """

    name: str
    file: str
    scan: Scan
    j: int
    where: Callable[[Sequence[int]], list[str]]

    @property
    def what(self) -> str:
        """The column in words."""
        return f"column {self.name!r} of {self.file}"

    def shown(self, places: Sequence[tuple[int, str]]) -> str:
        """Return cells, which may be cut, and their lines; a row below 0 is not known."""
        lines = self.where([row for row, _ in places]) if places and places[0][0] >= 0 else [""] * len(places)
        cells = [advice.cut(cell) for _, cell in places]
        return ", ".join(f"{c!r} in {line}" if line else repr(c) for c, line in zip(cells, lines, strict=True))

    def no_number(self, places: Sequence[tuple[int, str]]) -> InputError:
        """Return an error about cells that are not accepted as numbers."""
        return advice.no_number(self.what, self.shown(places[:1]), places[0][1], self.scan.markers, self.scan.decimal)


def notes_on_slips(at: CellsOf, profile: TextProfile, others: list[tuple[int, str]]) -> list[str]:
    """Return what is to be said of a column of text with numbers or dates; raise an error if it is no text.

    Parameters
    ----------
    at : CellsOf
        The column.
    profile : TextProfile
        What it looks like.
    others : list of (int, str)
        The first cells that are no numbers.
    """
    what, name, markers = at.what, at.name, at.scan.markers
    strays = [place for place in others if not advice.is_written_number(place[1])]
    written, mostly_written = not strays, 2 * len(strays) < len(others)
    shown, cell = at.shown((strays if mostly_written and strays else others)[:1]), (strays or others)[0][1]
    notes: list[str] = []
    # levels come again and again, measures do not
    many = profile.different > _FEW_CODES or 2 * profile.different > profile.known > 2
    if not profile.numbers and not mostly_written:
        texts = [text for _, text in others]
        if slips := _date_slips(at, profile, many=many):
            option = advice.na_option(markers, slips[0][1])
            notes.append(advice.mixed(name, "dates", at.shown(slips[:1]), option))
        elif all(map(_CLOCK.fullmatch, texts)):
            notes.append(advice.clock_text(name, shown))
        elif look_like_dates(texts):
            notes.append(advice.like_dates(name, shown))
        elif have_units(texts):
            notes.append(advice.units(name, shown))
        return notes
    with_points = written and at.scan.decimal == ","
    if profile.numbers and not with_points and all(means_a_number(text) for _, text in others):
        raise at.no_number(others)
    mostly = mostly_written or 2 * profile.numbers >= profile.known
    if not mostly_written:
        many = profile.different_numbers > _FEW_CODES or 2 * profile.different_numbers > profile.numbers > 1
    if mostly and many:
        if written:
            raise advice.written(what, shown, cell, name, at.scan.decimal)
        count = 1 if mostly_written else profile.known - profile.numbers
        raise advice.slip(what, "numbers", shown, cell, name, markers, count)
    option = advice.na_option(markers, cell) if mostly else ""
    note = advice.written_text(name, shown) if written else advice.mixed(name, "numbers", shown, option)
    return [note]


def _date_slips(at: CellsOf, profile: TextProfile, *, many: bool) -> list[tuple[int, str]]:
    """Return the first cells that are no dates in a column most of whose cells are; raise an error if these differ.

    The others may be dates of another format.
    """
    form, count = _best(at, at.scan.places(at.j, "TRUE", _TRIED_CELLS))
    if not count:
        return []
    slips = at.scan.not_dates(at.j, form)
    other, more = _best(at, slips)
    if more > count:
        form, count, other, more, slips = other, more, form, count, at.scan.not_dates(at.j, other)
    if count < _MOSTLY * profile.known:
        return []
    if many and count + more >= profile.known:
        shown = [at.shown(at.scan.first_date(at.j, form)), at.shown(slips[:1])]
        raise advice.two_formats(at.what, (count, profile.known - count), (form, other), shown, at.name)
    if many:
        raise advice.slip(at.what, "dates", at.shown(slips[:1]), slips[0][1], at.name, at.scan.markers)
    return slips


def _best(at: CellsOf, places: Sequence[tuple[int, str]]) -> tuple[str, int]:
    """Return the format of most dates, if most of some cells are of it, and how many of all cells are."""
    formats = formats_of([text for _, text in places], _MOSTLY) if places else []
    counts = at.scan.count_dates(at.j, formats)
    best = max(counts, default=0)
    return (formats[counts.index(best)], best) if best else ("", 0)
