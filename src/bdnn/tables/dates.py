"""Formats of dates, and what looks like dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

_DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_NAMED_DAYS = ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y", "%d. %B %Y", "%d-%B-%Y",
               "%b %d %Y", "%B %d %Y", "%a, %d %b %Y", "%A, %B %d, %Y")  # fmt: skip
_NAMED_MONTHS = ("%b %Y", "%B %Y")
_NAMED_STAMPS = ("%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y",
                 "%d/%b/%Y:%H:%M:%S %z")  # fmt: skip
_NUMERIC = (*(day + time for day in _DAYS for time in _TIMES), "%Y-%m", "%m/%Y", "%G-W%V")
_NAMED = (*(day + time for day in _NAMED_DAYS for time in _TIMES), *_NAMED_STAMPS, *_NAMED_MONTHS)
_WORD = re.compile(r"[A-Za-z]{3}")
_DIGIT = re.compile("[0-9]")
_NO_DATE = "NaT"  # a missing date, as pandas writes it
_MONTH = (r"(?:jan(?:uar|uary|vier)?|feb(?:ruar|ruary)?|f[ée]v(?:rier)?|m[aä]r(?:ch|z|s)?|mrz|apr(?:il)?|avr(?:il)?|"
          r"ma[yi]|june?|juni|jul[yi]?|juin|juillet|aug(?:ust)?|ao[ûu]t|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|"
          r"nov(?:ember|embre)?|de[cz](?:ember|embre)?|d[ée]c(?:embre)?)\.?")  # fmt: skip
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_LIKE_DATE = re.compile(
    rf"(?:\w{{2,10}}\.?,? )?{_DAY}(?:\.|st|nd|rd|th)?[ /-]*{_MONTH}(?:[ ,/'-]*(?:[0-9]{{2}}){{1,2}})?(?:[ ,].*)?"
    rf"|(?:\w{{2,10}}\.?,? )?{_MONTH}[ /'-]*{_DAY}(?:st|nd|rd|th)?(?:,? *[0-9]{{4}})?(?:[ ,].*)?"
    rf"|{_MONTH}[ /'-]*(?:[0-9]{{2}}){{1,2}}|(?:[0-9]{{2}}){{1,2}}[ /'-]*{_MONTH}"
    rf"|{_DAY}([./-]){_DAY}\1(?:(?:[0-9]{{2}}){{1,2}})?(?:[ T].*)?"
    r"|(?:19|20)[0-9]{2}[ /-]?(?:W|KW|Q)[ ]?[0-9]{1,2}|(?:W|KW|Q)[ ]?[0-9]{1,2}[ /-](?:19|20)?[0-9]{2}",
    re.IGNORECASE,
)


def is_date(text: str, form: str) -> bool:
    """Return whether text is a date of a format; the empty format is one that begins with year, month and day."""
    if text == _NO_DATE:
        return True
    try:
        if form.endswith("%V"):  # of a week; Python wants a day
            datetime.strptime(f"{text} 1", f"{form} %u")
        elif form:
            datetime.strptime(text, form)
        else:
            datetime.fromisoformat(text.replace("/", "-").strip()[:10])
    except ValueError:
        # 2026-1-2 is a date for the database
        return not form and re.match(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}\b", text) is not None
    return True


def formats_of(texts: Sequence[str], share: float = 1.0) -> list[str]:
    """Return the formats of which at least a share of texts are dates."""
    least = share * len(texts)
    if sum(_DIGIT.search(text) is not None or text == _NO_DATE for text in texts) < least:
        return []
    named = sum(_WORD.search(text) is not None and text != _NO_DATE for text in texts)
    tried = ("", *(_NUMERIC if len(texts) - named >= least else ()), *(_NAMED if named else ()))
    return [form for form in tried if sum(is_date(text, form) for text in texts) >= least]


def look_like_dates(texts: Sequence[str]) -> bool:
    """Return whether most of some texts look like dates, whether or not there is a format for them."""
    return 2 * sum(_LIKE_DATE.fullmatch(text) is not None for text in texts) > len(texts)
