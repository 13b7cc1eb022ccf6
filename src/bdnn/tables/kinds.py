"""What columns hold, by all of their cells: numbers, truth values, levels or dates; and advice if that is unclear."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.raw import Kind, RawColumn
from bdnn.errors import InputError
from bdnn.tables import advice
from bdnn.tables.cells import Known, is_date, level_names, means_a_number, text_profile
from bdnn.tables.columns import Columns
from bdnn.tables.database import Column, Profile, TextProfile, literal
from bdnn.tables.notation import Notation, notations
from bdnn.tables.scan import Scan

if TYPE_CHECKING:
    from bdnn.types import Array, Floats

_DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%m/%d/%y", "%d/%m/%y",
         "%d.%m.%y")  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMATS = ("", *(day + time for day in _DAYS for time in _TIMES))
_THOUSANDS = re.compile(Notation(",", ".").pattern)
_ODD = "isinf(v) OR isnan(v) OR contains(t, '_')"  # numbers that are none for us
_TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}  # true is 1, and false is 0
# text among more different numbers than codes of classes have, or among numbers that mostly differ, is a slip
_FEW_CODES = 20
_DIGITS = 310  # of the largest double; Python makes no integers of thousands of digits
_TRIED_CELLS = 16  # which show whether a column holds dates at all
_CLOCK = re.compile(r"\d{1,2}[:.]\d\d(?:[:.]\d\d(?:\.\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?")
# of more different texts than this, most of them in one row only, no level says anything about another row
_MANY_LEVELS = 1000


@dataclass(slots=True)
class Reader:
    """Reads columns of a table.

    Attributes
    ----------
    what : str
        Name of the file.
    scan : Scan
        Its table.
    names : mapping of str to int
        Columns by name.
    n_rows : int
        How many rows it has.
    asked : mapping of str to str
        Kinds of columns that are given.
    known : mapping of str to Known
        Columns of a model.
    where : callable
        Returns the lines of rows.
    day_first : bool
        Whether 1/2/2026 is in February, if nothing else says so.
    free_decimal : bool
        Whether the decimal sign may turn out to be a comma.
    tidy : bool
        Whether text that differs in all or most rows is left out.
    """

    what: str
    scan: Scan
    names: Mapping[str, int]
    n_rows: int
    asked: Mapping[str, str]
    known: Mapping[str, Known]
    where: Callable[[Sequence[int]], list[str]]
    day_first: bool = False
    free_decimal: bool = True
    tidy: bool = False

    def read(self, names: Sequence[str]) -> Columns:
        """Return columns in this order.

        Raises
        ------
        InputError
            If a column holds what it should not.
        """
        found = Columns(decimal=self.scan.decimal)
        kinds: dict[str, Kind] = {}
        useless: dict[str, str] = {}
        checked = [name for name in names if self._column(name).kind in ("", "numeric")]
        profiles = dict(zip(checked, self.scan.profiles([self.names[n] for n in checked]), strict=True))
        if self._turns_to_commas(profiles):
            found.notes.append("commas are decimal signs (--decimal)")
            found.decimal = self.scan.decimal = ","
            profiles = dict(zip(checked, self.scan.profiles([self.names[n] for n in checked]), strict=True))
        for name in names:
            if (kind := self._kind_of_numbers(name, profiles.get(name), found)) is not None:
                kinds[name] = kind
        texts = [name for name in names if name not in kinds]
        cells = dict(zip(texts, self.scan.different([self.names[n] for n in texts]), strict=True))
        many = [name for name in texts if cells[name] is None]
        profiles_of_many = dict(zip(many, self.scan.text_profiles([self.names[n] for n in many]), strict=True))
        for name in texts:
            few = cells[name]
            profile = profiles_of_many[name] if few is None else text_profile(few, self.scan.markers, self.scan.decimal)
            kinds[name] = self._kind_of_text(name, profile, found)
            if self.tidy and kinds[name] == "categorical" and not self._wanted(name) and (why := _too_many(profile)):
                useless[name] = why
        found.left_out = useless
        names = [name for name in names if name not in useless]
        numeric = [name for name in names if kinds[name] == "numeric"]
        self._note_ambiguous(numeric, found)
        numbers = dict(zip(numeric, self.scan.numbers([self.names[n] for n in numeric], self.n_rows), strict=True))
        for name, values in numbers.items():
            self._note_rounded(name, values, found)
        coded: dict[int, list[str]] = {}
        for name in names:
            if kinds[name] == "categorical" or (kinds[name] == "boolean" and self._column(name).kind != "boolean"):
                few, j = cells[name], self.names[name]
                coded[j] = sorted(self.scan.texts_of(j) if few is None else few)
        codes = self.scan.codes(coded, self.n_rows)
        for name in names:
            j, kind = self.names[name], kinds[name]
            if j in codes:
                found.columns.append(self._coded(name, kind, coded[j], codes.pop(j)))
            elif kind == "date":
                form = found.forms.get(name, "")
                found.columns.append(RawColumn(name, kind, self.scan.dates(j, form, self.n_rows)))
            else:
                values = numbers.pop(name) if kind == "numeric" else self.scan.numbers([j], self.n_rows)[0]
                found.columns.append(RawColumn(name, kind, values))
        return found

    def _note_rounded(self, name: str, values: Floats, found: Columns) -> None:
        """Say that whole numbers are rounded, if some are."""
        if np.nanmax(np.abs(values), initial=0.0) < advice.EXACT:
            return
        large = self.scan.places(
            self.names[name], f"abs(v) >= {advice.EXACT!r} AND regexp_full_match(t, '[+-]?[0-9]+')"
        )
        if odd := [(row, cell) for row, cell in large if int(cell[:_DIGITS]) != float(cell[:_DIGITS])]:
            found.notes.append(advice.rounded(name, self._shown(odd[:1])))

    def _note_ambiguous(self, numeric: Sequence[str], found: Columns) -> None:
        """Say where decimal signs could separate thousands, in files that are written as where decimals have commas."""
        if not (self.day_first and self.free_decimal):
            return
        columns = [
            j for name in numeric if not self._column(name).kind and (j := self.names[name]) not in self.scan.written
        ]
        if unclear := self.scan.ambiguous(columns):
            found.notes.append(
                advice.ambiguous([name for name in numeric if self.names[name] in unclear], self.scan.decimal)
            )

    def _column(self, name: str) -> Column:
        return self.scan.columns[self.names[name]]

    def _turns_to_commas(self, profiles: Mapping[str, Profile]) -> bool:
        """Return whether numbers are written with decimal commas, which the first lines did not show."""
        if not self.free_decimal or self.scan.decimal == ",":
            return False
        for name, p in profiles.items():
            if p.commas and p.numbers + p.gaps + p.commas == p.rows and self.asked.get(name) != "categorical":
                if name in self.known and self.known[name].kind != "numeric":
                    continue
                cells = self.scan.places(self.names[name], "v IS NULL")
                if not all(_THOUSANDS.fullmatch(cell) for _, cell in cells):
                    return True
        return False

    def _wanted(self, name: str) -> str:
        """Return the kind that is asked for or that the model needs, or nothing."""
        return self.known[name].kind if name in self.known else self.asked.get(name, "").partition(":")[0]

    def _kind_of_numbers(self, name: str, profile: Profile | None, found: Columns) -> Kind | None:
        """Return the kind of a column of numbers, and of one whose kind the file says; else None."""
        stated, wanted = self._column(name).kind, self._wanted(name)
        if stated in ("boolean", "date"):
            if wanted in ("", stated):
                return "boolean" if stated == "boolean" else "date"
            return "numeric" if (stated, wanted) == ("boolean", "numeric") else None
        if stated == "categorical" or wanted in ("categorical", "date") or profile is None:
            return None
        if profile.numbers + profile.gaps < profile.rows:
            return None
        if profile.odd and (odd := self.scan.places(self.names[name], _ODD)):
            plain = self.scan.places(self.names[name], f"v IS NOT NULL AND NOT ({_ODD})", 1)
            if stated or wanted == "numeric" or plain or not all("_" in cell for _, cell in odd):
                raise self._no_number(name, odd)
            found.notes.append(advice.written_text(name, self._shown(odd[:1])))
            return None  # codes such as 1_1 and 1_2
        if wanted == "boolean":
            return None
        if profile.padded and wanted != "numeric":
            found.notes.append(
                f"column {name!r} holds codes with leading zeros and is read as text (--numeric {shlex.quote(name)} "
                f"reads numbers)"
            )
            return None
        return "numeric"

    def _kind_of_text(self, name: str, profile: TextProfile, found: Columns) -> Kind:
        wanted, j = self._wanted(name), self.names[name]
        if wanted in ("numeric", "boolean"):
            if profile.truths + profile.numbers < profile.known or (wanted == "numeric" and profile.numbers):
                if wanted == "numeric" and self._otherwise_written(name, self.scan.places(j, "v IS NULL"), found):
                    return "numeric"
                raise self._not_of_kind(name, wanted, some=profile.truths + profile.numbers > 0)
            return "boolean"
        if wanted == "categorical":
            return "categorical"
        if wanted == "date":
            self._date_form(name, profile, found, must=True)
            return "date"
        if profile.known and profile.truths == profile.known:
            return "boolean"
        if not profile.known:
            return "numeric"
        if self._date_form(name, profile, found):
            return "date"
        others = self.scan.places(j, "v IS NULL")
        if self._otherwise_written(name, others, found):
            return "numeric"
        if others:  # without others these are codes with leading zeros, of which that is said
            self._check_slips(name, profile, others, found)
        return "categorical"

    def _otherwise_written(self, name: str, others: list[tuple[int, str]], found: Columns) -> bool:
        """Find out how numbers are written, given the first cells that are no plain ones; return whether all are.

        If only the cells that are given are, another cell is added to these.
        """
        j, decimal = self.names[name], self.scan.decimal
        for way in notations([text for _, text in others], decimal, free=self.free_decimal):
            if strays := self.scan.places(j, f"NOT regexp_full_match(t, {literal(way.pattern)})", 1):
                others += strays
                return False
            self.scan.written[j] = way
            shown, given = self._shown(others[:1]), name in self.known or name in self.asked
            found.notes.append(advice.other_notation(name, way, shown, others[0][1], given=given, decimal=decimal))
            return True
        return False

    def _check_slips(self, name: str, profile: TextProfile, others: list[tuple[int, str]], found: Columns) -> None:
        """Raise an error if a column of numbers or dates holds some cells that are none; say so if it may be text."""
        what, markers = self._what(name), self.scan.markers
        strays = [place for place in others if not advice.is_written_number(place[1])]
        written, mostly_written = not strays, 2 * len(strays) < len(others)
        shown, cell = self._shown((strays if mostly_written and strays else others)[:1]), (strays or others)[0][1]
        # levels come again and again, measures do not
        many = profile.different > _FEW_CODES or 2 * profile.different > profile.known > 2
        if not profile.numbers and not mostly_written:
            if slips := self._date_slips(name, profile):
                if many:
                    raise advice.slip(what, "dates", self._shown(slips[:1]), slips[0][1], name, markers)
                found.notes.append(
                    advice.mixed(name, "dates", self._shown(slips[:1]), advice.na_option(markers, slips[0][1]))
                )
            elif all(_CLOCK.fullmatch(text) for _, text in others):
                found.notes.append(advice.clock_text(name, shown))
            return
        with_points = written and self.scan.decimal == ","
        if profile.numbers and not with_points and all(means_a_number(text) for _, text in others):
            raise self._no_number(name, others)
        mostly = mostly_written or 2 * profile.numbers >= profile.known
        if not mostly_written:
            many = profile.different_numbers > _FEW_CODES or 2 * profile.different_numbers > profile.numbers > 1
        if mostly and many:
            if written:
                raise advice.written(what, shown, cell, name, self.scan.decimal)
            count = 1 if mostly_written else profile.known - profile.numbers
            raise advice.slip(what, "numbers", shown, cell, name, markers, count)
        option = advice.na_option(markers, cell) if mostly else ""
        note = advice.written_text(name, shown) if written else advice.mixed(name, "numbers", shown, option)
        found.notes.append(note)

    def _date_slips(self, name: str, profile: TextProfile) -> list[tuple[int, str]]:
        """Return the first cells that are no dates in a column most of whose cells are dates of one format."""
        j = self.names[name]
        some = [text for _, text in self.scan.places(j, "TRUE", _TRIED_CELLS)]
        formats = [form for form in _FORMATS if 2 * sum(is_date(text, form) for text in some) >= len(some)]
        counts = self.scan.count_dates(j, formats)
        best = max(counts, default=0)
        return self.scan.not_dates(j, formats[counts.index(best)]) if 2 * best >= profile.known else []

    def _date_form(self, name: str, profile: TextProfile, found: Columns, *, must: bool = False) -> str:
        """Find the format of a column of dates; return whether there is one."""
        given = self.known[name].form if name in self.known else self.asked.get(name, "").partition(":")[2] or None
        ends = (profile.low, profile.high)
        formats = (
            [given] if given is not None else [form for form in _FORMATS if all(is_date(end, form) for end in ends)]
        )
        counts = self.scan.count_dates(self.names[name], formats)
        fitting = [form for form, count in zip(formats, counts, strict=True) if count == profile.known]
        if not fitting:
            if must and profile.known:
                tried = formats or [""]
                best = tried[counts.index(max(counts))] if counts else ""
                slips = self.scan.not_dates(self.names[name], best)[:1] or [(-1, profile.low)]
                raise advice.no_date(
                    self._what(name), self._shown(slips), slips[0][1], given, name, self.scan.markers,
                    free=name not in self.known,
                )  # fmt: skip
            return ""
        month_first = [form for form in fitting if form.startswith("%m/%d")]
        day_first = [form for form in fitting if form.startswith("%d/%m")]
        form = fitting[0]
        unclear = bool(month_first and day_first)
        if unclear:
            form = day_first[0] if self.day_first else month_first[0]
        found.forms[name] = form
        if given is None and name not in self.known:
            how = f" of the format {form}" if form else ""
            doubt = "; day and month could be the other way round, which --types FILE can say" if unclear else ""
            found.date_notes[name] = (
                f"column {name!r} holds dates{how}, which become year, month, day, weekday and, where it differs, hour"
                f"{doubt}"
            )
        return "date"

    def _coded(self, name: str, kind: Kind, cells: Sequence[str], codes: Array) -> RawColumn:
        """Return a column from the different cells in it and where these are."""
        markers = self.scan.markers
        texts = [None if markers.means_missing(cell) else cell.strip() for cell in cells]
        if kind == "boolean":
            truth = np.array([np.nan if text is None else _TRUTHS.get(text.lower(), np.inf) for text in texts])
            values = truth[codes]
            if np.isinf(values).any():
                row = int(np.argmax(np.isinf(values)))
                raise self._not_of_kind(name, "boolean", [(row, cells[codes[row]])])
            return RawColumn(name, "numeric" if self._wanted(name) == "numeric" else "boolean", values)
        names = level_names([text for text in texts if text is not None], self.known.get(name))
        levels = sorted(set(names.values()))
        place = {level: code for code, level in enumerate(levels)}
        code_of = np.array([-1 if text is None else place[names[text]] for text in texts], dtype=np.int32)
        return RawColumn(name, kind, code_of[codes], tuple(levels))

    def _shown(self, places: Sequence[tuple[int, str]]) -> str:
        lines = self.where([row for row, _ in places]) if places and places[0][0] >= 0 else [""] * len(places)
        cells = [advice.cut(cell) for _, cell in places]
        return ", ".join(f"{c!r} in {line}" if line else repr(c) for c, line in zip(cells, lines, strict=True))

    def _no_number(self, name: str, places: list[tuple[int, str]]) -> InputError:
        return advice.no_number(
            self._what(name), self._shown(places[:1]), places[0][1], self.scan.markers, self.scan.decimal
        )

    def _what(self, name: str) -> str:
        return f"column {name!r} of {self.what}"

    def _not_of_kind(
        self, name: str, kind: str, places: list[tuple[int, str]] | None = None, *, some: bool = True
    ) -> InputError:
        """Return an error about a column of another kind, of which some cells may be of the kind that is wanted."""
        others = self.scan.places(self.names[name], "v IS NULL") if places is None else places
        if kind == "numeric" and (slips := [place for place in others if means_a_number(place[1])]):
            return self._no_number(name, slips)
        must = "must hold numbers" if kind == "numeric" else "must hold true and false"
        if name in self.known:
            must += ", as in the training,"
        else:
            must += ", by --numeric," if kind == "numeric" else ", by --types,"
        said = f"{self._what(name)} {must} but holds {self._shown(others[:1])}"
        return advice.not_of_kind(
            said, name, [cell for _, cell in others[:1] if some], self.scan.markers, free=name not in self.known
        )


def _too_many(profile: TextProfile) -> str:
    """Return why the levels of a column say nothing about other rows, or an empty string."""
    if profile.different == profile.known > 2:
        return "text that differs in all rows"
    if profile.different > _MANY_LEVELS and 2 * profile.different > profile.known:
        return "text that differs in most rows"
    return ""
