"""What columns hold, by all of their cells: numbers, truth values, levels or dates; and advice if that is unclear."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.encoding.raw import FEW_LEVELS, Kind, RawColumn
from bdnn.errors import InputError
from bdnn.tables import advice
from bdnn.tables.cells import Known, level_names, means_a_number, text_profile
from bdnn.tables.columns import Columns, Reason
from bdnn.tables.database import Column, Profile, TextProfile, literal
from bdnn.tables.dates import formats_of
from bdnn.tables.notation import Notation, notations
from bdnn.tables.scan import Scan
from bdnn.tables.slips import CellsOf, notes_on_slips

if TYPE_CHECKING:
    from bdnn.types import Array, Floats

_THOUSANDS = re.compile(Notation(",", ".").pattern)
_DIGIT_OR_DATE = re.compile("[0-9]|NaT")
_ODD = "isinf(v) OR isnan(v) OR contains(t, '_')"  # numbers that are none for us
_TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}  # true is 1, and false is 0
_DIGITS = 310  # of the largest double; Python makes no integers of thousands of digits
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
        useless: dict[str, Reason] = {}
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
            kinds[name] = self._kind_of_text(name, profile, few, found)
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
            found.notes.append(advice.rounded(name, self._at(name).shown(odd[:1])))

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
                raise self._at(name).no_number(odd)
            found.notes.append(advice.written_text(name, self._at(name).shown(odd[:1])))
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

    def _kind_of_text(self, name: str, profile: TextProfile, few: Mapping[str, int] | None, found: Columns) -> Kind:
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
        if few is not None and not profile.numbers and not any(map(_DIGIT_OR_DATE.search, few)):
            return "categorical"  # there is nothing to be said of words alone
        if self._date_form(name, profile, found):
            return "date"
        others = self.scan.places(j, "v IS NULL")
        if self._otherwise_written(name, others, found):
            return "numeric"
        if others:  # without others these are codes with leading zeros, of which that is said
            found.notes += notes_on_slips(self._at(name), profile, others)
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
            shown, given = self._at(name).shown(others[:1]), name in self.known or name in self.asked
            found.notes.append(advice.other_notation(name, way, shown, others[0][1], given=given, decimal=decimal))
            return True
        return False

    def _date_form(self, name: str, profile: TextProfile, found: Columns, *, must: bool = False) -> str:
        """Find the format of a column of dates; return whether there is one."""
        given = self.known[name].form if name in self.known else self.asked.get(name, "").partition(":")[2] or None
        formats = formats_of((profile.low, profile.high)) if given is None else [given]
        counts = self.scan.count_dates(self.names[name], formats)
        fitting = [form for form, count in zip(formats, counts, strict=True) if count == profile.known]
        if not fitting:
            if must and profile.known:
                tried = formats or [""]
                best = tried[counts.index(max(counts))] if counts else ""
                slips = self.scan.not_dates(self.names[name], best)[:1] or [(-1, profile.low)]
                raise advice.no_date(
                    self._at(name).what, self._at(name).shown(slips), slips[0][1], given, name, self.scan.markers,
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

    def _at(self, name: str) -> CellsOf:
        return CellsOf(name, self.what, self.scan, self.names[name], self.where)

    def _not_of_kind(
        self, name: str, kind: str, places: list[tuple[int, str]] | None = None, *, some: bool = True
    ) -> InputError:
        """Return an error about a column of another kind, of which some cells may be of the kind that is wanted."""
        others = self.scan.places(self.names[name], "v IS NULL") if places is None else places
        if kind == "numeric" and (slips := [place for place in others if means_a_number(place[1])]):
            return self._at(name).no_number(slips)
        must = "must hold numbers" if kind == "numeric" else "must hold true and false"
        if name in self.known:
            must += ", as in the training,"
        else:
            must += ", by --numeric," if kind == "numeric" else ", by --types,"
        said = f"{self._at(name).what} {must} but holds {self._at(name).shown(others[:1])}"
        return advice.not_of_kind(
            said, kind, name, [cell for _, cell in others[:1] if some], self.scan.markers, free=name not in self.known
        )


def _too_many(profile: TextProfile) -> Reason | None:
    """Return why the levels of a column say nothing about other rows, or nothing if they may."""
    if profile.different == profile.known > 2:
        return Reason("text that differs in all rows", keepable=profile.known <= FEW_LEVELS)
    if profile.different > _MANY_LEVELS and 2 * profile.different > profile.known:
        return Reason("text that differs in most rows")
    return None
